//! Movement by places that constants give.

use crate::eval;
use crate::eval::inputs::{ALL, BOOL, D, F, WORDS};
use crate::eval::types::TypeRule;
use crate::operator::{EXACT, Operator};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("GatherElements")
        .since(11)
        .value(ALL, TypeRule::Zeros(2), eval::index::gather_elements)
        .is(EXACT),
    Operator::onnx("GatherND")
        .since(11)
        .value(ALL, TypeRule::Zeros(2), eval::index::gather_nd)
        .is(EXACT),
    Operator::onnx("ReverseSequence").since(10),
    Operator::onnx("Scatter").since(9),
    Operator::onnx("ScatterElements").since(11).value(
        ALL,
        TypeRule::Zeros(3),
        eval::index::scatter_elements,
    ),
    Operator::onnx("ScatterND")
        .since(11)
        .value(ALL, TypeRule::Zeros(3), eval::index::scatter_nd),
    Operator::onnx("Trilu").since(14).value(
        F | D | WORDS | BOOL,
        TypeRule::Zeros(1),
        eval::index::trilu,
    ),
];
