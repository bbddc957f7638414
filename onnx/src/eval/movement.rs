//! Operators that move elements and change none.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, numbers, one};
use crate::eval::places::{Places, each, strides};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::{DataType, elements};

/// The same elements under another shape of as many.
fn reshaped(x: &Constant, shape: Vec<usize>) -> Results {
    match elements(&shape) == x.len() {
        true => one(shape, x.data.clone()),
        false => Err(bad(1, "the shape", "it has another number of elements")),
    }
}

/// Elements by place.
fn picked(x: &Constant, shape: Vec<usize>, places: &[usize]) -> Results {
    one(shape, x.data.pick(places))
}

pub(crate) fn identity(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    Ok(vec![inputs.get(0)?.clone()])
}

/// `Dropout` in inference: the identity, and a mask that is true everywhere.
pub(crate) fn dropout(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    node.float("ratio", 0.5)?;
    node.int("seed", 0)?;
    if inputs
        .maybe_ints(2)?
        .is_some_and(|t| t.iter().any(|&v| v != 0))
    {
        return Err(bad(
            2,
            "training_mode",
            "the model is exported for training",
        ));
    }
    let x = inputs.get(0)?;
    let mask = Constant::ints(DataType::Bool, x.shape.clone(), vec![1; x.len()]);
    Ok(vec![x.clone(), mask])
}

pub(crate) fn reshape(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let allow_zero = node.flag("allowzero", false)?;
    let wanted = inputs.ints(1)?;
    let wrong = |reason| bad(1, "the shape", reason);
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (d, &extent) in wanted.iter().enumerate() {
        let copied = || x.shape.get(d).copied();
        shape.push(match extent {
            0 if !allow_zero => copied().ok_or(wrong("it copies an axis that does not exist"))?,
            -1 if open.is_none() => {
                open = Some(d);
                1
            }
            v => usize::try_from(v).map_err(|_| wrong("it has a negative extent"))?,
        });
    }
    if let Some(d) = open {
        let rest = elements(&shape);
        if rest == 0 || !x.len().is_multiple_of(rest) {
            return Err(wrong("it does not divide the number of elements"));
        }
        shape[d] = x.len() / rest;
    }
    inputs.count(&shape)?;
    reshaped(x, shape)
}

pub(crate) fn flatten(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let (rank, axis) = (x.shape.len(), node.int("axis", 1)?);
    let axis = match axis == rank as i64 {
        true => rank,
        false => node.axis("axis", axis, rank)?,
    };
    let shape = vec![elements(&x.shape[..axis]), elements(&x.shape[axis..])];
    reshaped(x, shape)
}

/// Axes of a tensor of `rank` axes, in order and each once.
fn axes(node: &NodeView<'_>, given: &[i64], rank: usize) -> Result<Vec<usize>, NodeError> {
    let mut axes = given
        .iter()
        .map(|&axis| node.axis("axes", axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    match axes.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(attribute("axes", "an axis is given twice")),
        false => Ok(axes),
    }
}

pub(crate) fn squeeze(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let axes = match numbers(node, "axes", inputs, 1)? {
        None => (0..rank).filter(|&d| x.shape[d] == 1).collect(),
        Some(given) => axes(node, &given, rank)?,
    };
    if axes.iter().any(|&axis| x.shape[axis] != 1) {
        return Err(attribute("axes", "an axis has more than one index"));
    }
    let kept = (0..rank).filter(|d| !axes.contains(d));
    let shape = kept.map(|d| x.shape[d]).collect();
    reshaped(x, shape)
}

pub(crate) fn unsqueeze(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let given = numbers(node, "axes", inputs, 1)?;
    let given = given.ok_or(attribute("axes", "they are missing"))?;
    let rank = x.shape.len() + given.len();
    let axes = axes(node, &given, rank)?;
    let mut rest = x.shape.iter().copied();
    let mut shape = Vec::with_capacity(rank);
    for d in 0..rank {
        let own = if axes.contains(&d) {
            Some(1)
        } else {
            rest.next()
        };
        shape.extend(own);
    }
    inputs.count(&shape)?;
    reshaped(x, shape)
}

pub(crate) fn transpose(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let perm: Vec<usize> = match node.maybe_ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => perm
            .iter()
            .map(|&axis| node.axis("perm", axis, rank))
            .collect::<Result<_, _>>()?,
    };
    transposed(x, &perm)
}

/// The tensor with its axes in another order.
fn transposed(x: &Constant, perm: &[usize]) -> Results {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.shape.len()) {
        return Err(attribute("perm", "it is no permutation of the axes"));
    }
    let shape: Vec<usize> = perm.iter().map(|&d| x.shape[d]).collect();
    let from = strides(&x.shape);
    let mut places = Vec::with_capacity(x.len());
    each(&shape, |index| {
        places.push(index.iter().zip(perm).map(|(i, &d)| i * from[d]).sum());
    });
    picked(x, shape, &places)
}

pub(crate) fn concat(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let parts = inputs.all()?;
    let first = inputs.get(0)?;
    let axis = node.axis("axis", node.int("axis", 0)?, first.shape.len())?;
    let fits = |part: &&Constant| {
        let mut shape = part.shape.clone();
        if let Some(extent) = shape.get_mut(axis) {
            *extent = first.shape[axis];
        }
        shape == first.shape
    };
    if let Some(input) = parts.iter().position(|part| !fits(part)) {
        return Err(bad(input, "x", "its shape does not fit the first"));
    }
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
    inputs.count(&shape)?;
    // All elements in one list, then picked line by line.
    let mut data = first.data.clone();
    for (input, part) in parts.iter().enumerate().skip(1) {
        if !data.extend(&part.data) {
            return Err(bad(
                input,
                "x",
                "it has another element type than the first",
            ));
        }
    }
    let outer = elements(&shape[..axis]);
    let mut places = Vec::with_capacity(data.len());
    for line in 0..outer {
        let mut start = 0;
        for part in &parts {
            let run = part.len() / outer.max(1);
            places.extend(start + line * run..start + (line + 1) * run);
            start += part.len();
        }
    }
    one(shape, data.pick(&places))
}

/// The part of a tensor along an axis.
fn part(x: &Constant, axis: usize, start: usize, size: usize) -> Constant {
    let mut shape = x.shape.clone();
    let inner = elements(&shape[axis + 1..]);
    let (line, outer) = (shape[axis] * inner, elements(&shape[..axis]));
    shape[axis] = size;
    let run = |o: usize| o * line + start * inner..o * line + (start + size) * inner;
    let places: Vec<usize> = (0..outer).flat_map(run).collect();
    x.pick(shape, &places)
}

pub(crate) fn split(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let axis = node.axis("axis", node.int("axis", 0)?, x.shape.len())?;
    let outputs = node.outputs();
    let wrong = attribute("split", "it does not fit the axis");
    let parts = usize::try_from(node.int("num_outputs", outputs as i64)?).unwrap_or(0);
    let extent = x.shape[axis];
    let sizes: Vec<usize> = match numbers(node, "split", inputs, 1)? {
        Some(sizes) => sizes
            .iter()
            .map(|&size| usize::try_from(size).map_err(|_| wrong.clone()))
            .collect::<Result<_, _>>()?,
        None if parts == 0 || node.opset < 18 && !extent.is_multiple_of(parts) => {
            return Err(wrong);
        }
        None => {
            let size = extent.div_ceil(parts);
            let rest = |i: usize| extent.saturating_sub(i * size);
            (0..parts).map(|i| size.min(rest(i))).collect()
        }
    };
    let total = sizes
        .iter()
        .fold(0usize, |sum, &size| sum.saturating_add(size));
    if sizes.len() != outputs || total != extent {
        return Err(wrong);
    }
    let mut start = 0;
    let results = sizes.into_iter().map(|size| {
        start += size;
        part(x, axis, start - size, size)
    });
    Ok(results.collect())
}

pub(crate) fn slice(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let missing = |name| attribute(name, "they are missing");
    let starts = numbers(node, "starts", inputs, 1)?.ok_or(missing("starts"))?;
    let ends = numbers(node, "ends", inputs, 2)?.ok_or(missing("ends"))?;
    let axes = numbers(node, "axes", inputs, 3)?;
    let axes = axes.unwrap_or((0..starts.len() as i64).collect());
    let steps = inputs.maybe_ints(4)?.map(<[i64]>::to_vec);
    let steps = steps.unwrap_or(vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(attribute("starts", "the lists differ in length"));
    }
    let mut lines: Vec<Vec<usize>> = x.shape.iter().map(|&n| (0..n).collect()).collect();
    let mut seen = vec![false; rank];
    for (i, &axis) in axes.iter().enumerate() {
        let d = node.axis("axes", axis, rank)?;
        if std::mem::replace(&mut seen[d], true) {
            return Err(attribute("axes", "an axis is given twice"));
        }
        lines[d] = line(x.shape[d], starts[i], ends[i], steps[i])
            .ok_or(attribute("steps", "a step is zero"))?;
    }
    along(inputs, &lines)
}

/// The indices of a slice of an axis.
fn line(extent: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let n = extent as i64;
    let own = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let mut indices = Vec::new();
    match step {
        0 => return None,
        1.. => {
            let (mut at, end) = (own(start).clamp(0, n), own(end).clamp(0, n));
            while at < end {
                indices.push(at as usize);
                at = at.saturating_add(step);
            }
        }
        _ => {
            let (mut at, end) = (own(start).clamp(-1, n - 1), own(end).clamp(-1, n - 1));
            while at > end {
                indices.push(at as usize);
                at = at.saturating_add(step);
            }
        }
    }
    Some(indices)
}

/// The elements at some indices of each axis.
pub(crate) fn along(inputs: &Inputs<'_>, lines: &[Vec<usize>]) -> Results {
    let x = inputs.get(0)?;
    let shape: Vec<usize> = lines.iter().map(Vec::len).collect();
    let from = strides(&x.shape);
    let mut places = Vec::with_capacity(inputs.count(&shape)?);
    each(&shape, |index| {
        let own = |(d, i): (usize, &usize)| lines[d][*i] * from[d];
        places.push(index.iter().enumerate().map(own).sum());
    });
    picked(x, shape, &places)
}

pub(crate) fn expand(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let wrong = bad(1, "the shape", "it is not a shape to expand to");
    let wanted = inputs.ints(1)?.iter().map(|&d| usize::try_from(d).ok());
    let wanted: Option<Vec<usize>> = wanted.collect();
    let shape = wanted.and_then(|w| broadcast(&x.shape, &w)).ok_or(wrong)?;
    let len = inputs.count(&shape)?;
    let places = Places::new(&x.shape, &shape);
    let places: Vec<usize> = (0..len).map(|i| places.at(i)).collect();
    picked(x, shape, &places)
}

pub(crate) fn tile(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let wrong = bad(1, "the repeats", "there is not one for each axis");
    let repeats: Option<Vec<usize>> = inputs
        .ints(1)?
        .iter()
        .map(|&r| usize::try_from(r).ok())
        .collect();
    let repeats = repeats.filter(|r| r.len() == x.shape.len()).ok_or(wrong)?;
    let long = |(&n, &r): (&usize, &usize)| n.saturating_mul(r);
    inputs.count(&x.shape.iter().zip(&repeats).map(long).collect::<Vec<_>>())?;
    let line = |(&n, &r): (&usize, &usize)| (0..n * r).map(|i| i % n).collect();
    let lines: Vec<Vec<usize>> = x.shape.iter().zip(&repeats).map(line).collect();
    along(inputs, &lines)
}

/// `Pad`: a border of one value, or of elements.
pub(crate) fn pad(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let given = numbers(node, "pads", inputs, 1)?.ok_or(attribute("pads", "they are missing"))?;
    let axes: Vec<usize> = match inputs.maybe_ints(3)? {
        Some(axes) => axes
            .iter()
            .map(|&axis| node.axis("axes", axis, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if given.len() != 2 * axes.len() {
        return Err(attribute("pads", "there are not two for each axis"));
    }
    let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (given[i], given[axes.len() + i]);
    }
    let mode = node.text("mode", "constant")?;
    let attribute_value = node.float("value", 0.0)?;
    let mut lines = Vec::with_capacity(rank);
    for d in 0..rank {
        let indices = border(mode, x.shape[d], before[d], after[d])?;
        let wrong = attribute("pads", "the border is wider than the axis allows");
        lines.push(indices.ok_or(wrong)?);
    }
    let shape: Vec<usize> = lines.iter().map(Vec::len).collect();
    let from = strides(&x.shape);
    let mut places = Vec::with_capacity(inputs.count(&shape)?);
    // The value of the border stands behind the elements.
    each(&shape, |index| {
        let own = |(d, i): (usize, &usize)| Some(lines[d][*i]? * from[d]);
        let place: Option<usize> = index.iter().enumerate().map(own).sum();
        places.push(place.unwrap_or(x.len()));
    });
    let mut data = x.data.clone();
    let value = match inputs.maybe(2) {
        Some(value) if value.len() == 1 => value.data.clone(),
        Some(_) => return Err(bad(2, "the constant", "it is not one value")),
        None if x.element() == Element::Float => Data::Float(vec![attribute_value]),
        None => crate::eval::cast::convert(&Data::Int(DataType::I64, vec![0]), x.element())?,
    };
    if !data.extend(&value) {
        return Err(bad(2, "the constant", "it has another element type than x"));
    }
    one(shape, data.pick(&places))
}

/// Indices of an axis with a border, `None` for the constant; `None` instead of all if a mirror reaches too far.
fn border(
    mode: &str,
    extent: usize,
    before: i64,
    after: i64,
) -> Result<Option<Vec<Option<usize>>>, NodeError> {
    let n = extent as i64;
    let far = |side: i64| side.saturating_abs() > zkonnx_circuits::program::MAX_ELEMENTS as i64;
    if far(before) || far(after) || mode != "constant" && before.max(after) > 0 && n == 0 {
        return Ok(None);
    }
    let reaches = before >= n || after >= n;
    let place = |i: i64| -> Option<i64> {
        match mode {
            "constant" => (0..n).contains(&i).then_some(i),
            "edge" => Some(i.clamp(0, n - 1)),
            "wrap" => Some(i.rem_euclid(n)),
            _ if i < 0 => Some(-i),
            _ if i >= n => Some(2 * (n - 1) - i),
            _ => Some(i),
        }
    };
    match mode {
        "constant" | "edge" | "wrap" => {}
        "reflect" if reaches => return Ok(None),
        "reflect" => {}
        _ => return Err(attribute("mode", "the value is not known")),
    }
    Ok(Some(
        (-before..n + after)
            .map(|i| place(i).map(|i| i as usize))
            .collect(),
    ))
}

/// Four axes and the block of DepthToSpace and SpaceToDepth.
fn blocks(node: &NodeView<'_>, x: &Constant) -> Result<([usize; 4], usize), NodeError> {
    let &[n, c, h, w] = x.shape.as_slice() else {
        return Err(bad(0, "x", "it has not four axes"));
    };
    let block = usize::try_from(node.int("blocksize", 0)?).ok();
    let block = block.filter(|b| (1..=1 << 10).contains(b));
    let wrong = attribute("blocksize", "it does not divide the axes");
    Ok(([n, c, h, w], block.ok_or(wrong)?))
}

/// Reshape, transpose, reshape.
fn rearranged(x: &Constant, split: Vec<usize>, perm: &[usize], shape: Vec<usize>) -> Results {
    let wrong = attribute("blocksize", "it does not divide the axes");
    if elements(&split) != x.len() {
        return Err(wrong);
    }
    let data = x.data.clone();
    let moved = transposed(&Constant { shape: split, data }, perm)?;
    let moved = moved.into_iter().next().ok_or(wrong)?;
    reshaped(&moved, shape)
}

pub(crate) fn depth_to_space(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let ([n, c, h, w], b) = blocks(node, x)?;
    let c = c / (b * b);
    let shape = vec![n, c, h * b, w * b];
    match node.text("mode", "DCR")? {
        "DCR" => rearranged(x, vec![n, b, b, c, h, w], &[0, 3, 4, 1, 5, 2], shape),
        "CRD" => rearranged(x, vec![n, c, b, b, h, w], &[0, 1, 4, 2, 5, 3], shape),
        _ => Err(attribute("mode", "the value is not known")),
    }
}

pub(crate) fn space_to_depth(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let ([n, c, h, w], b) = blocks(node, x)?;
    let (h, w) = (h / b, w / b);
    let shape = vec![n, c * b * b, h, w];
    rearranged(x, vec![n, c, h, b, w, b], &[0, 3, 5, 1, 2, 4], shape)
}
