//! Operators with indices: gathers, scatters, triangles, one-hot vectors.

use crate::error::NodeError;
use crate::eval::cast::number;
use crate::eval::inputs::{Inputs, Results, attribute, bad, one};
use crate::eval::places::{each, strides};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use zkonnx_circuits::program::{DataType, elements};

const MISSING: NodeError = bad(1, "the indices", "an index does not exist");

/// An index, counted from the end if it is negative.
fn index_of(i: i64, extent: usize) -> Result<usize, NodeError> {
    let i = if i < 0 {
        i.saturating_add(extent as i64)
    } else {
        i
    };
    usize::try_from(i)
        .ok()
        .filter(|&i| i < extent)
        .ok_or(MISSING)
}

pub(crate) fn gather(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
    let axis = node.axis("axis", node.int("axis", 0)?, x.shape.len())?;
    let extent = x.shape[axis];
    let rows = inputs.ints(1)?.iter().map(|&i| index_of(i, extent));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    let mut places = Vec::with_capacity(inputs.count(&shape)?);
    let inner = elements(&x.shape[axis + 1..]);
    for outer in 0..elements(&x.shape[..axis]) {
        for row in &rows {
            let start = (outer * extent + row) * inner;
            places.extend(start..start + inner);
        }
    }
    one(shape, x.data.pick(&places))
}

/// The place of each index of `GatherElements` and `ScatterElements`.
fn element_places(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Result<Vec<usize>, NodeError> {
    let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
    let rank = x.shape.len();
    let axis = node.axis("axis", node.int("axis", 0)?, rank)?;
    let within = |d: usize| d == axis || indices.shape.get(d).is_some_and(|&n| n <= x.shape[d]);
    if indices.shape.len() != rank || !(0..rank).all(within) {
        return Err(bad(1, "the indices", "their shape does not fit x"));
    }
    let values = inputs.ints(1)?;
    let from = strides(&x.shape);
    let mut places = Vec::with_capacity(values.len());
    let mut values = values.iter();
    let mut wrong = None;
    each(&indices.shape, |index| {
        let own = values
            .next()
            .map_or(Err(MISSING), |&i| index_of(i, x.shape[axis]));
        match own {
            Ok(own) => {
                let at = |(d, i): (usize, &usize)| from[d] * if d == axis { own } else { *i };
                places.push(index.iter().enumerate().map(at).sum());
            }
            Err(error) => wrong = Some(error),
        }
    });
    wrong.map_or(Ok(places), Err)
}

pub(crate) fn gather_elements(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let places = element_places(node, inputs)?;
    one(
        inputs.get(1)?.shape.clone(),
        inputs.get(0)?.data.pick(&places),
    )
}

/// For each tuple of indices, where its slice of the tensor starts, and how long it is.
fn slices(
    x: &Constant,
    indices: &Constant,
    values: &[i64],
    batch: usize,
) -> Result<(Vec<usize>, usize), NodeError> {
    let wrong = || bad(1, "the indices", "their shape does not fit x");
    let (&depth, lead) = indices.shape.split_last().ok_or_else(wrong)?;
    let fits = depth > 0 && batch + depth <= x.shape.len() && batch <= lead.len();
    if !fits || x.shape[..batch] != lead[..batch] {
        return Err(wrong());
    }
    let inner = elements(&x.shape[batch + depth..]);
    let per_batch = elements(&lead[batch..]).max(1);
    let block = elements(&x.shape[batch..]);
    let from = strides(&x.shape);
    let start = |(t, tuple): (usize, &[i64])| {
        let mut place = t / per_batch * block;
        for (d, &i) in tuple.iter().enumerate() {
            place += index_of(i, x.shape[batch + d])? * from[batch + d];
        }
        Ok(place)
    };
    let starts = values.chunks(depth).enumerate().map(start);
    Ok((starts.collect::<Result<_, NodeError>>()?, inner))
}

pub(crate) fn gather_nd(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
    let batch = usize::try_from(node.int("batch_dims", 0)?);
    let batch = batch.map_err(|_| attribute("batch_dims", "it is negative"))?;
    let (starts, inner) = slices(x, indices, inputs.ints(1)?, batch)?;
    let (&depth, lead) = indices.shape.split_last().ok_or(MISSING)?;
    let shape = [lead, &x.shape[batch + depth..]].concat();
    inputs.count(&shape)?;
    let places: Vec<usize> = starts.iter().flat_map(|&s| s..s + inner).collect();
    one(shape, x.data.pick(&places))
}

/// Puts updates at places; where several meet, the last one stays or all are combined.
fn scatter(node: &NodeView<'_>, x: &Constant, updates: &Constant, places: &[usize]) -> Results {
    if updates.len() != places.len() {
        return Err(bad(
            2,
            "the updates",
            "their shape does not fit the indices",
        ));
    }
    if updates.element() != x.element() {
        return Err(bad(
            2,
            "the updates",
            "they have another element type than x",
        ));
    }
    let reduction = node.text("reduction", "none")?;
    let data = match (&x.data, &updates.data) {
        (_, _) if reduction == "none" => {
            let mut from: Vec<usize> = (0..x.len()).collect();
            for (i, &place) in places.iter().enumerate() {
                from[place] = x.len() + i;
            }
            let mut both = x.data.clone();
            both.extend(&updates.data);
            both.pick(&from)
        }
        (Data::Float(x), Data::Float(updates)) => {
            let mut data = x.clone();
            for (&place, &v) in places.iter().zip(updates) {
                let old = data[place];
                data[place] = match reduction {
                    "add" => old + v,
                    "mul" => old * v,
                    _ => return Err(attribute("reduction", "only add and mul are supported")),
                };
            }
            Data::Float(data)
        }
        _ => return Err(attribute("reduction", "it is supported for float only")),
    };
    one(x.shape.clone(), data)
}

pub(crate) fn scatter_elements(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let places = element_places(node, inputs)?;
    let (indices, updates) = (inputs.get(1)?, inputs.get(2)?);
    if indices.shape != updates.shape {
        return Err(bad(
            2,
            "the updates",
            "their shape is not that of the indices",
        ));
    }
    scatter(node, inputs.get(0)?, updates, &places)
}

pub(crate) fn scatter_nd(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, indices) = (inputs.get(0)?, inputs.get(1)?);
    let (starts, inner) = slices(x, indices, inputs.ints(1)?, 0)?;
    let places: Vec<usize> = starts.iter().flat_map(|&s| s..s + inner).collect();
    scatter(node, x, inputs.get(2)?, &places)
}

pub(crate) fn trilu(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let upper = node.flag("upper", true)?;
    let k = match inputs.maybe(1) {
        Some(_) => inputs.int(1, "k")?,
        None => 0,
    };
    let &[.., rows, columns] = x.shape.as_slice() else {
        return Err(bad(0, "x", "it is not a matrix"));
    };
    let zero = crate::eval::cast::convert(&Data::Int(DataType::I64, vec![0]), x.element())?;
    let mut data = x.data.clone();
    data.extend(&zero);
    let place = |i: usize| {
        let (row, column) = (i / columns % rows, i % columns);
        let distance = (column as i64 - row as i64).saturating_sub(k);
        let kept = if upper { distance >= 0 } else { distance <= 0 };
        if kept { i } else { x.len() }
    };
    let places: Vec<usize> = (0..x.len()).map(place).collect();
    one(x.shape.clone(), data.pick(&places))
}

pub(crate) fn one_hot(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, values) = (inputs.get(0)?, inputs.get(2)?);
    let depth = inputs.int(1, "the depth")?;
    let extent = usize::try_from(depth).ok().filter(|&n| n > 0);
    let extent = extent.ok_or(bad(1, "the depth", "it is not positive"))?;
    let axis = node.axis("axis", node.int("axis", -1)?, x.shape.len() + 1)?;
    if values.len() != 2 {
        return Err(bad(2, "the values", "there are not two"));
    }
    let mut shape = x.shape.clone();
    shape.insert(axis, extent);
    let inner = elements(&x.shape[axis..]).max(1);
    let place = |i: usize| {
        let (line, rest) = (i / inner, i % inner);
        let (outer, j) = (line / extent, (line % extent) as i128);
        let index = number(&x.data, outer * inner + rest).ok_or(MISSING)?;
        Ok(usize::from(index == j || index == j - i128::from(depth)))
    };
    let places = (0..inputs.count(&shape)?).map(place);
    let places = places.collect::<Result<Vec<_>, NodeError>>()?;
    one(shape, values.data.pick(&places))
}
