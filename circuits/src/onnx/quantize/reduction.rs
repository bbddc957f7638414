//! Float reductions along axes, and the operators of a tail.

use super::super::constant::Constant;
use super::super::error::NodeError;
use super::super::node::NodeView;
use super::eval::Inputs;
use crate::program::{DataType, elements};

/// Runs of elements that are reduced together: shape of the result, and for each of its elements the elements of `x`.
struct Runs {
    shape: Vec<usize>,
    places: Vec<Vec<usize>>,
}

fn runs(shape: &[usize], axes: &[usize], keep: bool) -> Runs {
    let kept = |d: usize| !axes.contains(&d);
    let outer: Vec<usize> = (0..shape.len())
        .map(|d| if kept(d) { shape[d] } else { 1 })
        .collect();
    let mut places = vec![Vec::new(); elements(&outer)];
    for i in 0..elements(shape) {
        let (mut rest, mut place, mut step) = (i, 0, 1);
        for d in (0..shape.len()).rev() {
            if kept(d) {
                place += rest % shape[d] * step;
                step *= shape[d];
            }
            rest /= shape[d];
        }
        places[place].push(i);
    }
    let shape = (0..shape.len())
        .filter(|&d| keep || kept(d))
        .map(|d| outer[d])
        .collect();
    Runs { shape, places }
}

/// `ReduceMean`, `ReduceSum`, `ReduceMax`, `ReduceMin`.
pub(super) fn reduce(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let keep = node.flag("keepdims", true)?;
    let idle = node.flag("noop_with_empty_axes", false)?;
    let given = match node.maybe_ints("axes")? {
        Some(axes) => axes.to_vec(),
        None => inputs
            .maybe(1)
            .and_then(|c| c.as_ints())
            .unwrap_or_default()
            .to_vec(),
    };
    if given.is_empty() && idle {
        return Ok(x.clone());
    }
    let rank = x.shape.len();
    let axes: Vec<usize> = match given.is_empty() {
        true => (0..rank).collect(),
        false => given
            .iter()
            .map(|&a| node.axis("axes", a, rank))
            .collect::<Result<_, _>>()?,
    };
    let runs = runs(&x.shape, &axes, keep);
    if let Some(ints) = x.as_ints() {
        let reduce = |run: &Vec<usize>| {
            let values = run.iter().map(|&i| ints[i]);
            match node.op() {
                "ReduceMax" => values.max(),
                "ReduceMin" => values.min(),
                "ReduceSum" => Some(values.fold(0, i64::saturating_add)),
                _ => None,
            }
        };
        let data: Option<Vec<i64>> = runs.places.iter().map(reduce).collect();
        let data = data.ok_or(NodeError::Unknown)?;
        return Ok(Constant::ints(
            x.dtype().unwrap_or(DataType::I64),
            runs.shape,
            data,
        ));
    }
    let data = inputs.floats(0)?;
    let reduce = |run: &Vec<usize>| {
        let values = run.iter().map(|&i| data[i]);
        match node.op() {
            "ReduceMax" => values.fold(f32::NEG_INFINITY, f32::max),
            "ReduceMin" => values.fold(f32::INFINITY, f32::min),
            "ReduceSum" => values.sum(),
            _ => values.sum::<f32>() / run.len() as f32,
        }
    };
    let values = runs.places.iter().map(reduce).collect();
    Ok(Constant::floats(runs.shape, values))
}

/// `Softmax` and `LogSoftmax`: along one axis, or until opset 12 along all from it on.
pub(super) fn softmax(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let old = node.opset < 13;
    let axis = node.axis("axis", node.int("axis", if old { 1 } else { -1 })?, rank)?;
    let axes: Vec<usize> = (axis..if old { rank } else { axis + 1 }).collect();
    let data = inputs.floats(0)?;
    let mut y = data.to_vec();
    for run in runs(&x.shape, &axes, true).places {
        let largest = run.iter().fold(f32::NEG_INFINITY, |m, &i| m.max(data[i]));
        let sum: f32 = run.iter().map(|&i| (data[i] - largest).exp()).sum();
        for &i in &run {
            y[i] = match node.op() {
                "LogSoftmax" => data[i] - largest - sum.ln(),
                _ => (data[i] - largest).exp() / sum,
            };
        }
    }
    Ok(Constant::floats(x.shape.clone(), y))
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg_extreme(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let axis = node.axis("axis", node.int("axis", 0)?, x.shape.len())?;
    let runs = runs(&x.shape, &[axis], node.flag("keepdims", true)?);
    let last = node.flag("select_last_index", false)?;
    let data = inputs.floats(0)?;
    let smallest = node.op() == "ArgMin";
    let best = |run: &Vec<usize>| {
        let mut best = 0;
        for (i, &place) in run.iter().enumerate() {
            let (a, b) = (data[place], data[run[best]]);
            if (if smallest { a < b } else { a > b }) || last && a == b {
                best = i;
            }
        }
        best as i64
    };
    let indices = runs.places.iter().map(best).collect();
    Ok(Constant::ints(DataType::I64, runs.shape, indices))
}

/// `CumSum`.
pub(super) fn cum_sum(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let axis = inputs.get(1)?.as_int().ok_or(NodeError::Unknown)?;
    let axis = node.axis("axis", axis, x.shape.len())?;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let data = inputs.floats(0)?;
    let mut y = vec![0.0; data.len()];
    for mut run in runs(&x.shape, &[axis], true).places {
        if reverse {
            run.reverse();
        }
        let mut sum = 0.0;
        for place in run {
            y[place] = sum;
            sum += data[place];
            if !exclusive {
                y[place] = sum;
            }
        }
    }
    Ok(Constant::floats(x.shape.clone(), y))
}

/// `Hardmax`: along one axis, or until opset 12 along all from it on.
pub(super) fn hardmax(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let old = node.opset < 13;
    let axis = node.axis("axis", node.int("axis", if old { 1 } else { -1 })?, rank)?;
    let axes: Vec<usize> = (axis..if old { rank } else { axis + 1 }).collect();
    let data = inputs.floats(0)?;
    let mut y = vec![0.0; data.len()];
    for run in runs(&x.shape, &axes, true).places {
        let first = |best: usize, &i: &usize| if data[i] > data[best] { i } else { best };
        if let Some((start, rest)) = run.split_first() {
            y[rest.iter().fold(*start, first)] = 1.0;
        }
    }
    Ok(Constant::floats(x.shape.clone(), y))
}

/// `OneHot` of integers.
pub(super) fn one_hot(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let indices = x.as_ints().ok_or(NodeError::Unknown)?;
    let depth = inputs.get(1)?.as_int().ok_or(NodeError::Unknown)?;
    let values = inputs.get(2)?;
    let axis = node.axis("axis", node.int("axis", -1)?, x.shape.len() + 1)?;
    let inner = elements(&x.shape[axis..]).max(1);
    let mut shape = x.shape.clone();
    shape.insert(
        axis,
        usize::try_from(depth).map_err(|_| NodeError::Unknown)?,
    );
    let count = super::kernels::count(&shape)?;
    let places: Vec<usize> = (0..count)
        .map(|i| {
            let (line, rest) = (i / inner, i % inner);
            let (outer, j) = (line / shape[axis], (line % shape[axis]) as i64);
            let index = indices[outer * inner + rest];
            usize::from(index == j || index == j - depth)
        })
        .collect();
    match values.len() {
        2 => Ok(values.pick(shape, &places)),
        _ => Err(NodeError::Unknown),
    }
}
