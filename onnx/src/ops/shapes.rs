//! What is known at import of tensors that are not: shapes; and constants.

use std::sync::Arc;

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{ALL, D, F, I16, I64, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::{Relation, Status};
use crate::group::importer::{Done, Importer};
use crate::group::real::Value;
use crate::operator::{EXACT, Facts, LAST, Operator, PRESENTING};

const SHAPES: Facts = Facts::new("int64, float32", "constants only", &[Relation::AtImport]);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Constant")
        .attributes(&[
            ("sparse_value", 11, LAST),
            ("value_float", 12, LAST),
            ("value_floats", 12, LAST),
            ("value_int", 12, LAST),
            ("value_ints", 12, LAST),
        ])
        .value(ALL, TypeRule::Zeros(1), eval::shape::constant)
        .integers(constants_only, &SHAPES)
        .is(EXACT | PRESENTING),
    Operator::onnx("ConstantOfShape")
        .since(9)
        .value(I64, TypeRule::Zeros(0), eval::shape::constant_of_shape)
        .integers(constants_only, &SHAPES)
        .is(EXACT),
    Operator::onnx("Range")
        .since(11)
        .value(F | D | I16 | WORDS, TypeRule::Zeros(0), eval::shape::range)
        .integers(constants_only, &SHAPES),
    Operator::onnx("Shape")
        .restored(|r| r.untouched())
        .attributes(&[("end", 15, LAST), ("start", 15, LAST)])
        .value(ALL, TypeRule::Zeros(1), eval::shape::shape)
        .integers(shape, &SHAPES)
        .is(PRESENTING),
    Operator::onnx("Size")
        .restored(|r| r.untouched())
        .value(ALL, TypeRule::Zeros(1), eval::shape::shape)
        .integers(shape, &SHAPES),
];

/// `Shape` and `Size`: known at import.
pub(crate) fn shape(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let known = eval::of_shape(node, &shape)?.into_iter();
    let values = known.map(|c| Value::Const(Arc::new(c))).collect();
    let status = Status::Folded;
    Ok(Done { values, status })
}

/// An operator whose inputs have to be constants; with such it never comes here.
pub(crate) fn constants_only(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let variable =
        (0..node.inputs()).find(|&i| !matches!(cx.maybe(node, i), Some(Value::Const(_))));
    let (input, what) = (variable.unwrap_or(0), "a constant");
    Err(NodeError::NotConstant { input, what })
}
