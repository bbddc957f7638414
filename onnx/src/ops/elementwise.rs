//! Elementwise float operators between DequantizeLinear and QuantizeLinear.

use crate::error::NodeError;
use crate::eval;
use crate::eval::Binary;
use crate::eval::inputs::{D, F, NUMBERS, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::{Relation, Status};
use crate::group::importer::{Done, Importer};
use crate::group::params::scalar;
use crate::group::pointwise::{binary, one_real, operand_of, two_reals};
use crate::group::real::{Base, Pair, PairOp, Real, Value};
use crate::group::routes::Origin;
use crate::operator::{
    ABSORBING, BYTES, Chain, EXACT, Facts, NARROW, OF_SCORES, Operator, PREPARING, Parts,
    QUANTIZED, SCORING,
};
use crate::rewrite::decompose;

use zkonnx_circuits::ops::broadcast;

const TERMS: Facts = Facts::new(
    "u8, i8; i32, i64 as they are",
    "activations of one scale each, accumulators, or a constant: one axis, or at most 1024 elements; integers with constants",
    &[
        Relation::Kernel,
        Relation::Steps,
        Relation::Pairs,
        Relation::Sum,
    ],
);

const WITH_CONSTANT: Facts = Facts::new(
    NARROW,
    "one input constant: one axis, or at most 1024 elements; or both made of one tensor",
    &[Relation::Steps, Relation::Functions],
);

const PRODUCT: Facts = Facts::new(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    &[Relation::Kernel, Relation::Steps, Relation::Pairs],
);

const SEVERAL: Facts = Facts::new(
    "u8, i8, u16, i16; accumulators",
    "activations of one scale each, accumulators, constants; at most 32",
    &[Relation::Steps, Relation::Sum],
);

const PAIR: Facts = Facts::new(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    &[Relation::Kernel, Relation::Pairs],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Add")
        .whole(0..usize::MAX)
        .chains(Chain::Pair)
        .decomposed(Parts::One(decompose::expanded))
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &TERMS)
        .is(ABSORBING | EXACT | PREPARING | SCORING | OF_SCORES),
    Operator::onnx("Div")
        .chains(Chain::Pair)
        .decomposed(Parts::One(decompose::expanded))
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &WITH_CONSTANT)
        .is(EXACT | PREPARING | SCORING | OF_SCORES),
    Operator::onnx("Mean")
        .decomposed(Parts::One(decompose::sum))
        .value(F, TypeRule::Broadcast, eval::arithmetic::several),
    Operator::onnx("Mod")
        .since(10)
        .chains(Chain::Pair)
        .value(NUMBERS, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &WITH_CONSTANT),
    Operator::onnx("Mul")
        .whole(0..usize::MAX)
        .chains(Chain::Pair)
        .decomposed(Parts::One(decompose::expanded))
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &PRODUCT)
        .is(ABSORBING | EXACT | PREPARING | SCORING | OF_SCORES),
    Operator::onnx("PRelu")
        .chains(Chain::Pair)
        .upgraded(7, |u| u.slopes())
        .value(F, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &WITH_CONSTANT)
        .is(EXACT),
    Operator::onnx("Pow")
        .chains(Chain::Pair)
        .decomposed(Parts::One(decompose::expanded))
        .upgraded(7, |u| u.aligned())
        .value(F | D | WORDS, TypeRule::Broadcast, eval::arithmetic::power)
        .integers(arithmetic, &WITH_CONSTANT)
        .is(OF_SCORES),
    Operator::onnx("Sub")
        .whole(0..usize::MAX)
        .chains(Chain::Pair)
        .decomposed(Parts::One(decompose::expanded))
        .upgraded(7, |u| u.aligned())
        .value(NUMBERS, TypeRule::Broadcast, eval::arithmetic::binary)
        .integers(arithmetic, &TERMS)
        .is(ABSORBING | EXACT | PREPARING | SCORING | OF_SCORES),
    Operator::onnx("Sum")
        .decomposed(Parts::One(decompose::sum))
        .value(F | D, TypeRule::Broadcast, eval::arithmetic::several)
        .integers(sum, &SEVERAL),
    Operator::microsoft("QLinearAdd")
        .typed(TypeRule::Own(eval::types::qlinear_pair))
        .closing(qlinear, &PAIR)
        .is(QUANTIZED),
    Operator::microsoft("QLinearMul")
        .typed(TypeRule::Own(eval::types::qlinear_pair))
        .closing(qlinear, &PRODUCT)
        .is(QUANTIZED),
];

/// `Sum`, of one input after the other. ONNX Runtime has no kernel of it.
pub(crate) fn sum(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    if node.inputs() == 1 {
        return crate::ops::movement::identity(cx, node);
    }
    let mut total = cx.value(node, 0)?;
    for input in 1..node.inputs() {
        let next = cx.value(node, input)?;
        let done = match (&total, &next) {
            (Value::Real(x), Value::Real(y)) => two_reals(cx, node, Binary::Add, x, y)?,
            (Value::Real(x), other) => one_real(cx, node, Binary::Add, x, other, false)?,
            (other, Value::Real(x)) => one_real(cx, node, Binary::Add, x, other, true)?,
            _ => {
                return Err(NodeError::Input {
                    input,
                    what: "x",
                    reason: "neither it nor what stands before it is a dequantized activation; let an activation be first",
                });
            }
        };
        total = done.values.into_iter().next().ok_or(NodeError::Unknown)?;
    }
    Ok(Done::new(total, Status::Group))
}

/// `Add`, `Sub`, `Mul`, `Div`, `Pow`, `PRelu`, and `Mod` of reals.
pub(crate) fn arithmetic(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let f = match node.op() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => Binary::Pow,
        "PRelu" => Binary::PRelu,
        // Without it, Mod is defined for integers only.
        "Mod" if node.flag("fmod", false)? => Binary::Remainder,
        "Mod" => {
            return Err(NodeError::Attribute {
                name: "fmod",
                reason: "it has to be set, as for all reals",
            });
        }
        _ => return Err(NodeError::Unknown),
    };
    binary(cx, node, f)
}

/// `com.microsoft.QLinearAdd` and `com.microsoft.QLinearMul`.
pub(crate) fn qlinear(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let op = if node.op() == "QLinearMul" {
        PairOp::Mul
    } else {
        PairOp::Add
    };
    let (a, b) = (operand_of(cx, node, 0)?, operand_of(cx, node, 3)?);
    let y = cx.output_params(node, &scalar(6, 7, a.params.dtype))?;
    let shapes = [&a, &b].map(|q| cx.builder.fact(q.tensor).shape.clone());
    let bad = NodeError::Input {
        input: 3,
        what: "b",
        reason: "its shape does not broadcast to that of a",
    };
    let shape = broadcast(&shapes[0], &shapes[1]).ok_or(bad)?;
    let origin = Origin::kernel();
    let real = Real::new(Base::Pair(Pair { op, a, b, origin }), shape);
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}
