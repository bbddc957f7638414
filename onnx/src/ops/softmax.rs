//! Softmax and LogSoftmax between quantized parts, and `com.microsoft.QLinearSoftmax`.
//!
//! The tables of the integer operator are evaluated here, once. `UNIT_BITS` decides how exact they are: the logarithm
//! of the sum is off by about half a unit, that is by 2^-22, and a result of 256 levels is then rounded the wrong way
//! where it lies within 256 · 2^-22 of a tie.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{D, F};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::expr::Expr;
use crate::group::importer::{Done, Importer};
use crate::group::operands::{quantized, summand};
use crate::group::params::scalar;
use crate::group::real::{Base, Deferred, Pending, Real};
use crate::group::routes::{Origin, alike};
use crate::group::softmax::{close, lines};
use crate::operator::{BYTES, Facts, OF_SCORES, Operator, PRESENTING, QUANTIZED};
use std::sync::Arc;
use zkonnx_circuits::ops::{Move, Reshape};

const SOFTMAX: Facts = Facts::new(
    BYTES,
    "one scale of at most 2^16; at most 4096 elements along the axis; scores scaled by a number and masked by a constant; QuantizeLinear or data movement follows directly",
    &[Relation::Softmax],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("LogSoftmax")
        .upgraded(13, |u| u.flattened())
        .value(F | D, TypeRule::First, eval::order::softmax)
        .integers(softmax, &SOFTMAX)
        .is(PRESENTING | OF_SCORES),
    Operator::onnx("Softmax")
        .upgraded(13, |u| u.flattened())
        .value(F | D, TypeRule::First, eval::order::softmax)
        .integers(softmax, &SOFTMAX)
        .is(PRESENTING | OF_SCORES),
    Operator::microsoft("QLinearSoftmax")
        .typed(TypeRule::Own(eval::types::qlinear_function))
        .closing(qlinear_softmax, &SOFTMAX)
        .is(QUANTIZED),
];

/// `Softmax` and `LogSoftmax` of a quantized tensor.
pub(crate) fn softmax(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    if let Some(done) = crate::ops::masked::softmax(cx, node)? {
        return Ok(done);
    }
    let x = summand(cx, node)?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let (tensor, axis) = lines(cx, node, &x, node.opset)?;
    let (scale, _) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let log = node.op() == "LogSoftmax";
    let flat = cx.builder.fact(tensor).shape.clone();
    let kernel = alike(&[x.params.dtype]).filter(|_| !log);
    let pending = Pending {
        tensor,
        scale,
        axis,
        log,
        origin: cx.origin(node, &[0], kernel),
    };
    let mut real = Real::new(Base::Softmax(pending), flat);
    if tensor != x.tensor {
        let back = Move(Reshape {
            shape: shape.clone(),
        });
        real.after.push(Deferred::Move(Arc::new(back)));
    }
    real.shape = shape;
    Ok(Done::pending(real))
}

/// `com.microsoft.QLinearSoftmax`.
pub(crate) fn qlinear_softmax(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let x = quantized(cx, node, 0)?;
    let y = cx.output_params(node, &scalar(3, 4, x.params.dtype))?;
    let opset = node.maybe_int("opset")?.ok_or(NodeError::Attribute {
        name: "opset",
        reason: "it is missing",
    })?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let (tensor, axis) = lines(cx, node, &x, opset)?;
    let (scale, _) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let pending = Pending {
        tensor,
        scale,
        axis,
        log: false,
        origin: Origin::kernel(),
    };
    let (mut result, exactness) = close(cx, node, &pending, &Expr::X, &y)?;
    if tensor != x.tensor {
        result = cx.push(node, Move(Reshape { shape }), &[result])?;
    }
    Ok(Done::closed(result, exactness))
}
