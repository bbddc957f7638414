//! Sums and casts of integers that stand for themselves: places of extremes, accumulators.

use crate::error::NodeError;
use crate::eval::Binary;
use crate::graph::NodeView;
use crate::group::importer::{Done, Importer};
use crate::group::real::Value;
use zkonnx_circuits::ops::{
    Lanes, MatMul, Move, Offset, Requantize, Reshape, Rule, Steps, Table, WeightedSum, broadcast,
    broadcast_places,
};
use zkonnx_circuits::program::{DataType, Range, TensorId, elements};

/// Most integers that are given another type one by one.
const MAX_ENUMERATION: i64 = 1 << 16;

/// `Add` and `Sub` of integers that are not dequantized: with a constant, or of two int64 tensors. Sums that may leave
/// their type are refused, so that none wraps around.
pub(crate) fn sum(
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

/// What becomes of an integer that is cast: whether it is zero, or its lowest bits.
fn wrapped(v: i64, to: DataType) -> i64 {
    match to {
        DataType::Bool => i64::from(v != 0),
        DataType::I64 => v,
        _ => {
            let range = Range::of(to);
            let count = range.hi - range.lo + 1;
            (v - range.lo).rem_euclid(count) + range.lo
        }
    }
}

/// `Cast` of integers to another integer type. Those of at most 16 bits, or of as few values, wrap
/// around; others that may leave the type are refused.
pub(crate) fn cast(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: TensorId,
    to: DataType,
) -> Result<Done, NodeError> {
    let fact = cx.builder.fact(x).clone();
    let (range, of) = (fact.range, Range::of(to));
    let fits = of.lo <= range.lo && range.hi <= of.hi;
    let tensor = match to {
        DataType::Bool => {
            // Not zero: below it, at it, above it.
            let mut steps = vec![(0, 0), (1, 1)];
            steps.retain(|(at, _)| *at > range.lo && *at <= range.hi);
            let first = i64::from(range.lo != 0);
            let mut last = first;
            steps.retain(|(_, value)| std::mem::replace(&mut last, *value) != *value);
            let rule = Rule::Steps(Steps::new(first, steps)?);
            cx.push(node, Requantize::new(to, vec![rule], Lanes::Tensor)?, &[x])?
        }
        DataType::I64 => cx.push(node, WeightedSum::new(vec![1], 0)?, &[x])?,
        DataType::I32 if fits => {
            // A product with one is a number that costs nothing.
            let column = Reshape {
                shape: vec![elements(&fact.shape), 1],
            };
            let column = cx.push(node, Move(column), &[x])?;
            let product = cx.push(node, MatMul::new(vec![1], vec![0], 0)?, &[column])?;
            let shape = fact.shape;
            cx.push(node, Move(Reshape { shape }), &[product])?
        }
        _ if matches!(fact.dtype.width(), 8 | 16) => {
            let all = Range::of(fact.dtype);
            let table = (all.lo..=all.hi).map(|v| wrapped(v, to)).collect();
            let table = Table::new(fact.dtype, to, vec![table], Lanes::Tensor)?;
            cx.push(node, table, &[x])?
        }
        _ if range.hi.saturating_sub(range.lo) < MAX_ENUMERATION => {
            let rule = Rule::Steps(Steps::enumerate(range, |v| wrapped(v, to)));
            cx.push(node, Requantize::new(to, vec![rule], Lanes::Tensor)?, &[x])?
        }
        _ => {
            return Err(NodeError::Attribute {
                name: "to",
                reason: "an integer may not fit the type, in which it would wrap around; cast to a wider one",
            });
        }
    };
    Ok(Done::int(tensor))
}

/// A clamp of integers: of 8-bit and 16-bit types by a table, of others by steps.
pub(crate) fn clamp_integers(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    tensor: TensorId,
    lo: i64,
    hi: i64,
) -> Result<Done, NodeError> {
    let fact = cx.builder.fact(tensor);
    let (dtype, known) = (fact.dtype, fact.range);
    let range = Range::of(dtype);
    if dtype.width() > 16 {
        if lo <= known.lo && known.hi <= hi {
            return Ok(Done::int(tensor));
        }
        let limited = |v: i64| v.max(lo).min(hi);
        let (least, most) = (limited(known.lo), limited(known.hi));
        if most.saturating_sub(least) >= MAX_LIMITED {
            let reason =
                "its integers have more than 16 bits, and the limits leave more than 65536 of them";
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason,
            });
        }
        let steps = (least + 1..=most).map(|v| (v, v)).collect();
        let rule = Rule::Steps(Steps::new(least, steps)?);
        let op = Requantize::new(dtype, vec![rule], Lanes::Tensor)?;
        return Ok(Done::int(cx.push(node, op, &[tensor])?));
    }
    let table = (range.lo..=range.hi)
        .map(|v| v.max(lo).min(hi).clamp(range.lo, range.hi))
        .collect();
    let table = Table::new(dtype, dtype, vec![table], Lanes::Tensor)?;
    Ok(Done::int(cx.push(node, table, &[tensor])?))
}

/// Most integers between the limits of a clamp of wide ones.
const MAX_LIMITED: i64 = 1 << 16;
