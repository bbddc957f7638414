//! Sums of integers that stand for themselves: places of extremes, accumulators.

use super::super::expr::Binary;
use super::super::importer::{Done, Importer};
use super::super::real::Value;
use crate::error::NodeError;
use crate::graph::NodeView;
use zkonnx_circuits::ops::{Offset, WeightedSum, broadcast, broadcast_places};
use zkonnx_circuits::program::{DataType, TensorId};

/// `Add` and `Sub` of integers that are not dequantized: with a constant, or of two int64 tensors. Sums that may leave
/// their type are refused, so that none wraps around.
pub(super) fn sum(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    f: Binary,
    (a, b): (&Value, &Value),
) -> Result<Done, NodeError> {
    let bad = |reason| NodeError::Input {
        input: 0,
        what: "a",
        reason,
    };
    let sign = match f {
        Binary::Add => 1,
        Binary::Sub => -1,
        _ => {
            return Err(bad(
                "of integers that are not dequantized only sums are supported",
            ));
        }
    };
    let tensor = match (a, b) {
        (Value::Int(x), Value::Const(c)) => {
            let (dtype, constants) = (c.dtype(), c.as_ints());
            add(cx, node, *x, (dtype, constants, &c.shape), sign)?
        }
        (Value::Const(c), Value::Int(x)) if sign == 1 => {
            let (dtype, constants) = (c.dtype(), c.as_ints());
            add(cx, node, *x, (dtype, constants, &c.shape), 1)?
        }
        (Value::Int(x), Value::Int(y)) => {
            let types = [x, y].map(|t| cx.builder.fact(*t).dtype);
            if types != [DataType::I64; 2] {
                return Err(bad(
                    "sums of two integer tensors are supported for int64 only",
                ));
            }
            cx.push(node, WeightedSum::new(vec![1, sign], 0)?, &[*x, *y])?
        }
        _ => return Err(bad("neither input is a dequantized activation")),
    };
    Ok(Done::int(tensor))
}

fn add(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: TensorId,
    (dtype, constants, of): (Option<DataType>, Option<&[i64]>, &[usize]),
    sign: i64,
) -> Result<TensorId, NodeError> {
    let bad = |reason| NodeError::Input {
        input: 1,
        what: "the constant",
        reason,
    };
    let fact = cx.builder.fact(x);
    let shape = fact.shape.clone();
    let Some(constants) = constants.filter(|_| dtype == Some(fact.dtype)) else {
        return Err(bad("it has another type than the activation"));
    };
    if broadcast(&shape, of).as_deref() != Some(shape.as_slice()) || of.len() > shape.len() {
        return Err(bad(
            "its shape does not broadcast to that of the activation",
        ));
    }
    let places = broadcast_places(&shape, of);
    let constants = places
        .into_iter()
        .map(|p| constants[p].saturating_mul(sign));
    let offset = Offset::new(shape.clone(), constants.collect())?;
    cx.push(node, offset, &[x])
}
