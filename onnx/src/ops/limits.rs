//! Clip, Min and Max: of reals as part of a group, of integers as they are.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{I16, NUMBERS, U16};
use crate::eval::types::TypeRule;
use crate::eval::{Binary, Unary};
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::integer::clamp_integers;
use crate::group::pointwise::{binary, unary};
use crate::group::real::{Base, Real, Value};
use crate::operator::{
    CLAMPING, Chain, EXACT, Facts, NARROW, OF_SCORES, Operator, PREPARING, Parts,
};
use crate::rewrite::decompose;
use zkonnx_circuits::ops::{Constant, Maximum, broadcast};

const EXTREME: Facts = Facts::new(
    NARROW,
    "constants as scalars or along one axis",
    &[Relation::Steps],
);

pub(crate) const CLAMP: Facts = Facts::new(
    NARROW,
    "limits constant; in a QDQ group or on integers",
    &[Relation::Kernel, Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Clip")
        .whole(0..usize::MAX)
        .chains(Chain::Limits)
        .decomposed(Parts::One(decompose::computed_limits))
        .upgraded(11, |u| u.clip())
        .attributes(&[("max", 10, 10), ("min", 10, 10)])
        .inputs(&[(11, 1)])
        .value(NUMBERS, TypeRule::First, eval::arithmetic::clip)
        .integers(clip, &CLAMP)
        .is(CLAMPING | EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Max")
        .whole(0..usize::MAX)
        .chains(Chain::Extreme)
        .decomposed(Parts::One(decompose::expanded))
        .value(
            NUMBERS & !(I16 | U16),
            TypeRule::Broadcast,
            eval::arithmetic::several,
        )
        .integers(extreme, &EXTREME)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Min")
        .whole(0..usize::MAX)
        .chains(Chain::Extreme)
        .decomposed(Parts::One(decompose::expanded))
        .value(
            NUMBERS & !(I16 | U16),
            TypeRule::Broadcast,
            eval::arithmetic::several,
        )
        .integers(extreme, &EXTREME)
        .is(EXACT | PREPARING | OF_SCORES),
];

/// `Clip`, with limits as attributes (until opset 10) or inputs.
pub(crate) fn clip(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    if let Value::Int(tensor) = cx.value(node, 0)? {
        let limit = |input, default| match cx.maybe_constant(node, input, "the limit")? {
            None => Ok(default),
            Some(c) => c.as_int().ok_or(NodeError::Input {
                input,
                what: "the limit",
                reason: "it is not one integer",
            }),
        };
        let (lo, hi) = (limit(1, i64::MIN)?, limit(2, i64::MAX)?);
        return clamp_integers(cx, node, tensor, lo, hi);
    }
    let limit = |input, name, default: f32| -> Result<f32, NodeError> {
        let attribute = node.maybe_float(name)?;
        let given = match cx.maybe_constant(node, input, "the limit")? {
            Some(c) => match c.as_floats() {
                Some(&[v]) => Some(v),
                _ => {
                    let reason = "it is not one float";
                    return Err(NodeError::Input {
                        input,
                        what: "the limit",
                        reason,
                    });
                }
            },
            None => attribute,
        };
        Ok(given.unwrap_or(default))
    };
    // ONNX Runtime takes a Relu before any input of a Clip for one of the data, and its limit for zero at least.
    for input in [1, 2] {
        if node
            .input(input)
            .is_some_and(|value| cx.is_lone_relu(value))
        {
            return Err(NodeError::Input {
                input,
                what: "the limit",
                reason: "a Relu gives it, which ONNX Runtime confuses with one of the data; give the limit as a constant",
            });
        }
    }
    // A limit that is left out is the last finite number.
    let lo = limit(1, "min", f32::MIN)?;
    let hi = limit(2, "max", f32::MAX)?;
    unary(cx, node, Unary::Clip(lo, hi))
}

/// `Min` and `Max` of constants and activations.
pub(crate) fn extreme(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let largest = node.op() == "Max";
    let f = if largest { Binary::Max } else { Binary::Min };
    let values = (0..node.inputs())
        .map(|i| cx.value(node, i))
        .collect::<Result<Vec<_>, _>>()?;
    let reals: Vec<Real> = values
        .iter()
        .filter_map(|v| {
            if let Value::Real(real) = v {
                Some((**real).clone())
            } else {
                None
            }
        })
        .collect();
    match (values.as_slice(), reals.as_slice()) {
        ([_], _) => crate::ops::movement::identity(cx, node),
        (all, []) if all.iter().any(|v| matches!(v, Value::Int(_))) => {
            extreme_integers(cx, node, all, largest)
        }
        ([_, _], [_]) => binary(cx, node, f),
        _ if reals.len() == values.len() => {
            let mut shape = Vec::new();
            for real in &reals {
                shape = broadcast(&shape, &real.shape).ok_or(NodeError::Input {
                    input: 1,
                    what: "b",
                    reason: "its shape does not broadcast to that of a",
                })?;
            }
            let size = reals.iter().map(|r| r.size + 1).sum();
            let real = Real::new(Base::Extreme(reals, largest), shape);
            Ok(Done::pending(real.grown(size)?))
        }
        _ => Err(NodeError::Island {
            reason: "it mixes several activations with constants",
        }),
    }
}

/// `Max` and `Min` of integers.
fn extreme_integers(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    values: &[Value],
    largest: bool,
) -> Result<Done, NodeError> {
    let mut tensors = Vec::with_capacity(values.len());
    for (input, value) in values.iter().enumerate() {
        let bad = |reason| NodeError::Input {
            input,
            what: "x",
            reason,
        };
        let tensor = match value {
            Value::Int(tensor) => *tensor,
            Value::Const(c) => {
                let (Some(dtype), Some(data)) = (c.dtype(), c.as_ints()) else {
                    return Err(bad("it is not an integer"));
                };
                let constant = Constant::new(dtype, c.shape.clone(), data.to_vec())?;
                cx.push(node, constant, &[])?
            }
            _ => return Err(bad("it is not an integer")),
        };
        if cx.builder.fact(tensor).dtype.width() > 16 {
            return Err(bad("only 8-bit and 16-bit integers are supported"));
        }
        tensors.push(match largest {
            true => tensor,
            false => cx.mirror(node, tensor)?,
        });
    }
    let tensor = cx.push(node, Maximum, &tensors)?;
    Ok(Done::int(match largest {
        true => tensor,
        false => cx.mirror(node, tensor)?,
    }))
}
