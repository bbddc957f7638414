//! Arithmetic on constants, computed at import: shapes, limits, and what exporters leave unfolded.

use std::sync::Arc;

use super::super::Status;
use super::super::constant::{Constant, Data, FLOAT, integer_type, may_compute};
use super::super::error::NodeError;
use super::super::expr::Binary;
use super::super::importer::{Done, Importer};
use super::super::node::NodeView;
use super::super::real::{Base, Params, Quantized, Real, Value};
use crate::ops::{Expand, Movement, Source, broadcast};
use crate::program::{DataType, MAX_RANK, Range, elements};

const MISMATCH: NodeError = NodeError::Input {
    input: 1,
    what: "b",
    reason: "it does not fit the other constant",
};

/// Elements of a constant broadcast to a shape.
pub(crate) fn places(of: &[usize], shape: &[usize]) -> Result<Vec<usize>, NodeError> {
    let expand = Expand {
        shape: shape.to_vec(),
    };
    expand.shape(&[of])?;
    let place = |source| {
        if let Source::Element { index, .. } = source {
            index
        } else {
            0
        }
    };
    Ok(expand.sources(&[of])?.into_iter().map(place).collect())
}

/// A function of two constants.
pub(crate) fn binary(f: Binary, a: &Constant, b: &Constant) -> Result<Done, NodeError> {
    let shape = broadcast(&a.shape, &b.shape).ok_or(MISMATCH)?;
    if !may_compute(elements(&shape), a.len().max(b.len())) || shape.len() > MAX_RANK {
        return Err(MISMATCH);
    }
    let (pa, pb) = (places(&a.shape, &shape)?, places(&b.shape, &shape)?);
    let pairs = pa.into_iter().zip(pb);
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => {
            Data::Float(pairs.map(|(i, j)| f.eval(a[i], b[j])).collect())
        }
        (Data::Int(dtype, a), Data::Int(other, b)) if dtype == other => {
            let value = |(i, j): (usize, usize)| integer(f, a[i], b[j]);
            let values: Option<Vec<i64>> = pairs.map(value).collect();
            let range = Range::of(*dtype);
            let fits = |values: &Vec<i64>| values.iter().all(|v| range.contains(*v));
            Data::Int(*dtype, values.filter(fits).ok_or(MISMATCH)?)
        }
        _ => return Err(MISMATCH),
    };
    Ok(Done::folded(Constant { shape, data }))
}

fn integer(f: Binary, a: i64, b: i64) -> Option<i64> {
    match f {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div => a.checked_div(b),
        Binary::Min => Some(a.min(b)),
        Binary::Max => Some(a.max(b)),
        Binary::Pow => a.checked_pow(u32::try_from(b).ok()?),
        Binary::PRelu | Binary::Remainder => None,
    }
}

/// `Shape` and `Size`: known at import.
pub(crate) fn shape(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let numbers: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    if node.op() == "Size" {
        let size = elements(&shape) as i64;
        return Ok(Done::folded(Constant::ints(
            DataType::I64,
            vec![],
            vec![size],
        )));
    }
    let rank = numbers.len() as i64;
    let place = |axis: i64| {
        (if axis < 0 {
            axis.saturating_add(rank)
        } else {
            axis
        })
        .clamp(0, rank) as usize
    };
    let (start, end) = (place(node.int("start", 0)?), place(node.int("end", rank)?));
    let numbers = numbers
        .get(start..end.max(start))
        .unwrap_or_default()
        .to_vec();
    Ok(Done::folded(Constant::ints(
        DataType::I64,
        vec![numbers.len()],
        numbers,
    )))
}

/// `ConstantOfShape`.
pub(crate) fn constant_of_shape(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let bad = |reason| NodeError::Input {
        input: 0,
        what: "the shape",
        reason,
    };
    let wanted = cx.constant(node, 0, "the shape")?;
    let wanted = wanted
        .as_ints()
        .ok_or_else(|| bad("it is not an integer"))?;
    let shape: Option<Vec<usize>> = wanted.iter().map(|&d| usize::try_from(d).ok()).collect();
    let fits = |s: &Vec<usize>| may_compute(elements(s), 1) && s.len() <= MAX_RANK;
    let shape = shape
        .filter(fits)
        .ok_or_else(|| bad("it is negative or too large"))?;
    let value = match node.tensor("value")? {
        Some(proto) => Constant::read(proto)?,
        None => Constant::floats(vec![1], vec![0.0]),
    };
    if value.len() != 1 {
        return Err(NodeError::Attribute {
            name: "value",
            reason: "it is not one value",
        });
    }
    let places = vec![0; elements(&shape)];
    Ok(Done::folded(value.pick(shape, &places)))
}

/// `Range` of constants.
pub(crate) fn range(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let number = |input, what| -> Result<i64, NodeError> {
        let c = cx.constant(node, input, what)?;
        c.as_int().ok_or(NodeError::Input {
            input,
            what,
            reason: "it is not one integer",
        })
    };
    let dtype = cx
        .constant(node, 0, "the start")?
        .dtype()
        .unwrap_or(DataType::I64);
    let (start, limit) = (number(0, "the start")?, number(1, "the limit")?);
    let delta = number(2, "the delta")?;
    let bad = NodeError::Input {
        input: 2,
        what: "the delta",
        reason: "it is zero or too small",
    };
    if delta == 0 {
        return Err(bad);
    }
    let span = i128::from(limit) - i128::from(start);
    let len = (span + i128::from(delta) - i128::from(delta.signum())) / i128::from(delta);
    let len = usize::try_from(len.max(0))
        .ok()
        .filter(|&n| may_compute(n, 1))
        .ok_or(bad)?;
    let value = |i| (i128::from(start) + i * i128::from(delta)) as i64;
    let values = (0..len as i128).map(value).collect();
    Ok(Done::folded(Constant::ints(dtype, vec![len], values)))
}

/// `Cast`: of constants at import, of integers to float by giving them the scale one.
pub(crate) fn cast(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    node.int("saturate", 1)?;
    node.text("round_mode", "up")?;
    let to = i32::try_from(node.int("to", 0)?).unwrap_or(0);
    let bad = |reason| Err(NodeError::Attribute { name: "to", reason });
    match cx.value(node, 0)? {
        Value::Const(c) => match (&c.data, integer_type(to)) {
            (_, None) if to != FLOAT => bad("the type is not supported"),
            (Data::Float(_), None) => Ok(Done::new(Value::Const(c.clone()), Status::Folded)),
            (Data::Int(_, values), None) => {
                let values = values.iter().map(|&v| v as f32).collect();
                Ok(Done::folded(Constant::floats(c.shape.clone(), values)))
            }
            (data, Some(dtype)) => {
                let values: Vec<i64> = match data {
                    Data::Int(_, values) => values.clone(),
                    Data::Float(values) => values.iter().map(|v| v.trunc() as i64).collect(),
                };
                let values: Vec<i64> = match dtype {
                    DataType::Bool => values.iter().map(|&v| i64::from(v != 0)).collect(),
                    _ => values,
                };
                if dtype != DataType::I64 && !values.iter().all(|v| Range::of(dtype).contains(*v)) {
                    return bad("a value does not fit the type");
                }
                Ok(Done::folded(Constant::ints(dtype, c.shape.clone(), values)))
            }
        },
        Value::Int(tensor) => {
            let fact = cx.builder.fact(tensor).clone();
            if integer_type(to) == Some(fact.dtype) {
                return Ok(Done::int(tensor));
            }
            if to != FLOAT {
                return bad("only a cast to float32 is supported");
            }
            let params = Params {
                scale: vec![1.0],
                zero: vec![0],
                axis: None,
                dtype: fact.dtype,
            };
            let real = Real::new(Base::Quantized(Quantized { tensor, params }), fact.shape);
            Ok(Done::pending(real))
        }
        Value::Real(real) if to == FLOAT => {
            Ok(Done::new(Value::Real(Arc::clone(&real)), Status::Group))
        }
        _ => bad("a cast of reals to integers is not supported; use QuantizeLinear"),
    }
}
