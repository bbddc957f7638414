//! Movement by places that constants give, as one Gather of the flattened tensor, which costs nothing in a proof.
//!
//! Elements stay what they are, so this is exact for integers and for reals, before and after their quantization.

use crate::graph::constant::Constant;
use crate::graph::{Attribute, Draft, Graph, Made, Node, NodeView, ValueId};
use zkonnx_circuits::program::elements;

/// Most elements of a tensor that is taken apart.
const MAX_PICKED: usize = 1 << 20;

/// What stands for a node that moves elements by constant places.
pub(crate) fn picked(graph: &Graph, node: &Node) -> Option<Made> {
    let ops = [
        "Trilu",
        "GatherElements",
        "GatherND",
        "ReverseSequence",
        "ScatterElements",
        "Pad",
    ];
    if !node.is_any(&ops) || node.fault.is_some() {
        return None;
    }
    let view = NodeView::new(graph, node);
    let mut draft = Draft::new(graph, graph.name(node.output(0)?));
    let result = match view.op() {
        "ScatterElements" => scattered(&mut draft, &view)?,
        "Pad" => cropped(&mut draft, &view)?,
        _ => moved(&mut draft, &view)?,
    };
    // An attribute that nobody asked for may say something else.
    view.check_attributes().ok()?;
    Some(draft.finish(&[Some(result)], &node.outputs))
}

/// `Pad` by negative numbers: what is cut off is left out, and the rest is padded.
fn cropped(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    if node.opset < 11 {
        return None;
    }
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let (pads, rank) = (node.constant_ints(1)?, shape.len());
    let axes = match node.input(3) {
        None => (0..rank as i64).collect(),
        Some(_) => node.constant_ints(3)?,
    };
    let constant = node.text("mode", "constant").ok()? == "constant";
    if !constant || pads.len() != 2 * axes.len() || pads.iter().all(|pad| *pad >= 0) {
        return None;
    }
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for (i, axis) in axes.iter().enumerate() {
        let extent = *shape.get(node.axis("axes", *axis, rank).ok()?)? as i64;
        let (start, cut) = (pads[i].min(0).checked_neg()?, pads[i + axes.len()].min(0));
        let end = extent.checked_add(cut).filter(|end| *end > start)?;
        starts.push(start);
        ends.push(end);
    }
    let lists = [&starts, &ends, &axes].map(|list| p.ints(list));
    let rest = p.op("Slice", &[x, lists[0], lists[1], lists[2]]);
    let pads: Vec<i64> = pads.iter().map(|pad| (*pad).max(0)).collect();
    let pads = p.ints(&pads);
    let mut inputs = node.node().inputs.clone();
    inputs[0] = Some(rest);
    inputs[1] = Some(pads);
    Some(p.again(node.node(), inputs))
}

/// The index of an element as one number along each axis.
fn coordinates(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for d in (0..shape.len()).rev() {
        at[d] = place % shape[d];
        place /= shape[d];
    }
    at
}

fn place(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |place, (i, n)| place * n + i)
}

fn wrapped(index: i64, extent: usize) -> Option<usize> {
    let index = if index < 0 {
        index + extent as i64
    } else {
        index
    };
    usize::try_from(index).ok().filter(|i| *i < extent)
}

/// Operators that move elements by constant places.
fn moved(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let len = elements(&shape);
    if len == 0 || len > MAX_PICKED {
        return None;
    }
    let (places, to): (Option<Vec<usize>>, Vec<usize>) = match node.op() {
        "Trilu" => (triangle(node, &shape), shape.clone()),
        "ReverseSequence" => (reversed(node, &shape), shape.clone()),
        "GatherElements" => {
            let indices = node.constant(1)?;
            (gathered(node, &shape, indices), indices.shape.clone())
        }
        _ => gathered_runs(node, &shape)?,
    };
    let places = places.filter(|places| !places.is_empty() && places.len() <= MAX_PICKED)?;
    Some(p.pick(x, len, &places, &to))
}

fn triangle(node: &NodeView<'_>, shape: &[usize]) -> Option<Vec<usize>> {
    let upper = node.flag("upper", true).ok()?;
    let k = match node.input(1) {
        Some(_) => node.constant(1)?.as_int()?,
        None => 0,
    };
    let rank = shape.len().checked_sub(2)?;
    let kept = |i: usize| {
        let at = coordinates(i, shape);
        let diagonal = at[rank + 1] as i64 - at[rank] as i64;
        if upper { diagonal >= k } else { diagonal <= k }
    };
    let len = elements(shape);
    Some((0..len).map(|i| if kept(i) { i } else { len }).collect())
}

fn reversed(node: &NodeView<'_>, shape: &[usize]) -> Option<Vec<usize>> {
    let time = node.axis("time_axis", node.int("time_axis", 0).ok()?, shape.len());
    let batch = node.axis("batch_axis", node.int("batch_axis", 1).ok()?, shape.len());
    let (time, batch) = (time.ok()?, batch.ok()?);
    let lengths = node.constant_ints(1)?;
    let from = |i: usize| {
        let mut at = coordinates(i, shape);
        let length = usize::try_from(*lengths.get(at[batch])?).ok()?;
        if length > shape[time] {
            return None;
        }
        if at[time] < length {
            at[time] = length - 1 - at[time];
        }
        Some(place(&at, shape))
    };
    (0..elements(shape)).map(from).collect()
}

fn gathered(node: &NodeView<'_>, shape: &[usize], indices: &Constant) -> Option<Vec<usize>> {
    let axis = node
        .axis("axis", node.int("axis", 0).ok()?, shape.len())
        .ok()?;
    if indices.shape.len() != shape.len() {
        return None;
    }
    let from = |(i, index): (usize, &i64)| {
        let mut at = coordinates(i, &indices.shape);
        at[axis] = wrapped(*index, shape[axis])?;
        let inside = at.iter().zip(shape).all(|(a, n)| a < n);
        inside.then(|| place(&at, shape))
    };
    indices.as_ints()?.iter().enumerate().map(from).collect()
}

/// GatherND without batch axes: each row of indices names a run of elements.
fn gathered_runs(node: &NodeView<'_>, shape: &[usize]) -> Option<(Option<Vec<usize>>, Vec<usize>)> {
    let indices = node.constant(1)?;
    let (lead, depth) = (indices.shape.split_last()?.1, *indices.shape.last()?);
    if node.int("batch_dims", 0).ok()? != 0 || depth == 0 || depth > shape.len() {
        return None;
    }
    let run = elements(&shape[depth..]);
    let mut places = Vec::new();
    for row in indices.as_ints()?.chunks(depth) {
        let at: Option<Vec<usize>> = row
            .iter()
            .zip(shape)
            .map(|(&i, &n)| wrapped(i, n))
            .collect();
        let first = place(&at?, &shape[..depth]) * run;
        places.extend(first..first + run);
        if places.len() > MAX_PICKED {
            return None;
        }
    }
    Some((Some(places), [lead, &shape[depth..]].concat()))
}

/// ScatterElements to constant places: the old elements and the new ones behind each other, then one of them for each
/// place.
fn scattered(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let (indices, updates) = (node.constant(1)?, node.shape(2)?);
    let len = elements(&shape);
    if node.text("reduction", "none").ok()? != "none"
        || indices.shape != updates
        || len == 0
        || len + elements(&updates) > MAX_PICKED
    {
        return None;
    }
    let mut places: Vec<usize> = (0..len).collect();
    for (i, place) in gathered(node, &shape, indices)?.into_iter().enumerate() {
        places[place] = len + i;
    }
    let old = p.reshape(x, &[len]);
    let new = p.reshape(node.input(2)?, &[elements(&updates)]);
    let both = p.with("Concat", &[old, new], vec![Attribute::int("axis", 0)]);
    Some(p.pick(both, len + elements(&updates), &places, &shape))
}
