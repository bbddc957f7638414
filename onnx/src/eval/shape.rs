//! Shapes, and constants made from numbers.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, one, undefined, wrong_type};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use zkonnx_circuits::program::{DataType, elements};

/// The part of a shape that the attributes of `Shape` ask for.
fn extents(node: &NodeView<'_>, shape: &[usize]) -> Result<Constant, NodeError> {
    let rank = shape.len() as i64;
    let place = |axis: i64| {
        let own = if axis < 0 {
            axis.saturating_add(rank)
        } else {
            axis
        };
        own.clamp(0, rank) as usize
    };
    let (start, end) = (place(node.int("start", 0)?), place(node.int("end", rank)?));
    let part = &shape[start..end.max(start)];
    let numbers = part.iter().map(|&d| d as i64).collect();
    Ok(Constant::ints(DataType::I64, vec![part.len()], numbers))
}

/// `Shape` and `Size` of a tensor of this shape.
pub(crate) fn of_shape(node: &NodeView<'_>, shape: &[usize]) -> Results {
    let result = match node.op() {
        "Size" => Constant::ints(DataType::I64, vec![], vec![elements(shape) as i64]),
        _ => extents(node, shape)?,
    };
    node.check_attributes()?;
    Ok(vec![result])
}

pub(crate) fn shape(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    of_shape(node, &inputs.get(0)?.shape)
}

pub(crate) fn constant(node: &NodeView<'_>, _: &Inputs<'_>) -> Results {
    if let Some(value) = node.tensor("value")? {
        return Ok(vec![(*value).clone()]);
    }
    if let Some(v) = node.maybe_float("value_float")? {
        return one(vec![], Data::Float(vec![v]));
    }
    if let Some(v) = node.maybe_floats("value_floats")? {
        return one(vec![v.len()], Data::Float(v.to_vec()));
    }
    if let Some(v) = node.maybe_int("value_int")? {
        return one(vec![], Data::Int(DataType::I64, vec![v]));
    }
    if let Some(v) = node.maybe_ints("value_ints")? {
        return one(vec![v.len()], Data::Int(DataType::I64, v.to_vec()));
    }
    let reason = "it is missing, or of a kind that is not supported";
    Err(attribute("value", reason))
}

pub(crate) fn constant_of_shape(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let wanted = inputs.ints(0)?.iter().map(|&d| usize::try_from(d).ok());
    let shape: Option<Vec<usize>> = wanted.collect();
    let shape = shape.ok_or(bad(0, "the shape", "it is negative"))?;
    let value = match node.tensor("value")? {
        Some(value) => (*value).clone(),
        None => Constant::floats(vec![1], vec![0.0]),
    };
    if value.len() != 1 {
        return Err(attribute("value", "it is not one value"));
    }
    let places = vec![0; inputs.count(&shape)?];
    one(shape, value.data.pick(&places))
}

/// `Range`: of floats, each number is the one before it and the step.
pub(crate) fn range(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let parts = inputs.all()?;
    let [start, limit, delta] = parts.as_slice() else {
        let (what, expected, got) = ("inputs", "3", parts.len());
        return Err(NodeError::Arity {
            what,
            expected,
            got,
        });
    };
    let wrong = bad(2, "the delta", "it is zero or too small");
    let length = |start: f64, limit: f64, delta: f64| {
        let steps = ((limit - start) / delta).ceil();
        match steps.is_finite() && delta != 0.0 && steps <= inputs.most as f64 {
            true => Ok(steps.max(0.0) as usize),
            false => Err(wrong.clone()),
        }
    };
    let data = match (&start.data, &limit.data, &delta.data) {
        (Data::Float(a), Data::Float(b), Data::Float(c))
            if [a.len(), b.len(), c.len()] == [1; 3] =>
        {
            let n = length(f64::from(a[0]), f64::from(b[0]), f64::from(c[0]))?;
            let next = |v: &f32| Some(v + c[0]);
            Data::Float(std::iter::successors(Some(a[0]), next).take(n).collect())
        }
        (Data::Double(a), Data::Double(b), Data::Double(c))
            if [a.len(), b.len(), c.len()] == [1; 3] =>
        {
            let n = length(a[0], b[0], c[0])?;
            let next = |v: &f64| Some(v + c[0]);
            Data::Double(std::iter::successors(Some(a[0]), next).take(n).collect())
        }
        (Data::Int(dtype, a), Data::Int(_, b), Data::Int(_, c))
            if [a.len(), b.len(), c.len()] == [1; 3] =>
        {
            let big = |v: i64| v.unsigned_abs() > 1 << 53;
            if big(a[0]) || big(b[0]) || big(c[0]) {
                return Err(undefined("a number of Range is above 2^53"));
            }
            let n = length(a[0] as f64, b[0] as f64, c[0] as f64)?;
            Data::Int(*dtype, (0..n as i64).map(|i| a[0] + i * c[0]).collect())
        }
        _ => return Err(wrong_type(0, start)),
    };
    let n = data.len();
    one(vec![inputs.count(&[n])?], data)
}
