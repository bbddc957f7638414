//! Movement by places that constants give.

use crate::eval;
use crate::eval::inputs::{ALL, BOOL, D, F, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::constant::Constant;
use crate::graph::{Attribute, Draft, NodeView, ValueId};
use crate::operator::{EXACT, Operator};
use zkonnx_circuits::program::elements;

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("GatherElements")
        .since(11)
        .picked(moved)
        .value(ALL, TypeRule::Zeros(2), eval::index::gather_elements)
        .is(EXACT),
    Operator::onnx("GatherND")
        .since(11)
        .picked(moved)
        .value(ALL, TypeRule::Zeros(2), eval::index::gather_nd)
        .is(EXACT),
    Operator::onnx("ReverseSequence").since(10).picked(moved),
    Operator::onnx("Scatter")
        .since(9)
        .upgraded(11, |u| u.scatter()),
    Operator::onnx("ScatterElements")
        .since(11)
        .picked(scattered)
        .value(ALL, TypeRule::Zeros(3), eval::index::scatter_elements),
    Operator::onnx("ScatterND")
        .since(11)
        .value(ALL, TypeRule::Zeros(3), eval::index::scatter_nd),
    Operator::onnx("Trilu").since(14).picked(moved).value(
        F | D | WORDS | BOOL,
        TypeRule::Zeros(1),
        eval::index::trilu,
    ),
];

/// Most elements of a tensor that is taken apart.
const MAX_PICKED: usize = 1 << 20;

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
