//! Activation functions: names, attributes and defaults of ONNX.

use crate::error::NodeError;
use crate::eval;
use crate::eval::function;
use crate::eval::inputs::{D, F, I8, I32, NUMBERS, SIGNED};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::operands::quantized;
use crate::group::params::scalar;
use crate::group::pointwise::unary;
use crate::group::real::{Base, Real};
use crate::operator::{
    BENDING, CLAMPING, EXACT, Facts, NARROW, OF_SCORES, Operator, PREPARING, QUANTIZED, SCORING,
};
use crate::ops::limits::CLAMP;

use std::sync::Arc;

const FUNCTION: Facts = Facts::new(
    NARROW,
    "between DequantizeLinear and QuantizeLinear; after MaxPool only if monotone",
    &[Relation::Steps, Relation::Functions],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Abs")
        .whole(0..1)
        .value(NUMBERS, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT | PREPARING | OF_SCORES),
    Operator::onnx("Acos")
        .since(7)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Acosh")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Asin")
        .since(7)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Asinh")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Atan")
        .since(7)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Atanh")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Ceil")
        .whole(0..0)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT),
    Operator::onnx("Celu")
        .since(12)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Cos")
        .since(7)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Cosh")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Elu")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Erf")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Exp")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(OF_SCORES),
    Operator::onnx("Floor")
        .whole(0..0)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT),
    Operator::onnx("Gelu")
        .since(20)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("HardSigmoid")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("HardSwish")
        .since(14)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("LeakyRelu")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT),
    Operator::onnx("Log")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(BENDING | PREPARING | OF_SCORES),
    Operator::onnx("Mish")
        .since(18)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Neg")
        .whole(0..1)
        .value(F | D | SIGNED, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT | PREPARING | SCORING | OF_SCORES),
    Operator::onnx("Reciprocal")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(OF_SCORES),
    Operator::onnx("Relu")
        .whole(0..1)
        .value(F | D | I8 | I32, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &CLAMP)
        .is(CLAMPING | EXACT),
    Operator::onnx("Round")
        .since(11)
        .whole(0..0)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT),
    Operator::onnx("Selu")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Shrink")
        .since(9)
        .value(NUMBERS, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Sigmoid")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT | SCORING | OF_SCORES),
    Operator::onnx("Sign")
        .since(9)
        .whole(0..0)
        .value(NUMBERS, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT),
    Operator::onnx("Sin")
        .since(7)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Sinh")
        .since(9)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Softplus")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(OF_SCORES),
    Operator::onnx("Softsign")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Sqrt")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT | PREPARING),
    Operator::onnx("Swish")
        .since(24)
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Tan")
        .since(7)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::onnx("Tanh")
        .value(F | D, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION)
        .is(EXACT | OF_SCORES),
    Operator::onnx("ThresholdedRelu")
        .since(10)
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::microsoft("Gelu")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
    Operator::microsoft("QLinearLeakyRelu")
        .typed(TypeRule::Own(eval::types::qlinear_function))
        .closing(qlinear, &FUNCTION)
        .is(QUANTIZED),
    Operator::microsoft("QLinearSigmoid")
        .typed(TypeRule::Own(eval::types::qlinear_function))
        .closing(qlinear, &FUNCTION)
        .is(QUANTIZED),
    Operator::microsoft("QuickGelu")
        .value(F, TypeRule::First, eval::arithmetic::unary)
        .integers(activation, &FUNCTION),
];

/// An elementwise function between DequantizeLinear and QuantizeLinear.
pub(crate) fn activation(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    unary(cx, node, function(node)?)
}

/// `com.microsoft.QLinearSigmoid`, `com.microsoft.QLinearLeakyRelu`: a table.
pub(crate) fn qlinear(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let f = function(node)?;
    let x = quantized(cx, node, 0)?;
    let y = cx.output_params(node, &scalar(3, 4, x.params.dtype))?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let mut real = Real::new(Base::Quantized(x), shape);
    real.expr = Arc::clone(&real.expr).unary(f);
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}
