//! Recurrent layers, which `quantize` takes apart.

use crate::operator::{DYNAMIC, Operator, Parts, QUANTIZED};
use crate::rewrite;

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("GRU").decomposed(Parts::Several(rewrite::recurrent::unrolled)),
    Operator::onnx("LSTM").decomposed(Parts::Several(rewrite::recurrent::unrolled)),
    Operator::onnx("RNN").decomposed(Parts::Several(rewrite::recurrent::unrolled)),
    Operator::microsoft("DynamicQuantizeLSTM")
        .restored(|r| r.recurrent())
        .is(DYNAMIC | QUANTIZED),
];
