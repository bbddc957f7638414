//! Operators that hold graphs, which constants decide.

use crate::error::NodeError;
use crate::operator::{CONTROL, Operator};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("If")
        .refused(&NodeError::DataDependent)
        .is(CONTROL),
    Operator::onnx("Loop")
        .refused(&NodeError::DataDependent)
        .is(CONTROL),
    Operator::onnx("Scan")
        .since(8)
        .refused(&NodeError::DataDependent)
        .is(CONTROL),
];
