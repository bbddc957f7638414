//! Operators that hold graphs, which constants decide.

use crate::operator::Operator;

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("If"),
    Operator::onnx("Loop"),
    Operator::onnx("Scan").since(8),
];
