//! Recurrent layers, which `quantize` takes apart.

use crate::operator::{DYNAMIC, Operator, QUANTIZED};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("GRU"),
    Operator::onnx("LSTM"),
    Operator::onnx("RNN"),
    Operator::microsoft("DynamicQuantizeLSTM").is(DYNAMIC | QUANTIZED),
];
