//! One evaluator of ONNX operators on known tensors, with ONNX Runtime's results.
//!
//! Constants are folded with it, `quantize` runs samples through it, and the float tail is computed by it: so a
//! constant has one value, whoever asks. It knows nodes and tensors and nothing of the importer.
//!
//! Results are those of the CPU provider of the ONNX Runtime that `models/requirements.txt` pins, on one thread: the
//! types, the wrap-around of integers, what becomes of values that are not numbers. What C++ leaves undefined there
//! (a float outside the integer that it is cast to, a division by zero) is refused: no machine has to agree with
//! another. Sums of floats, whose order no text fixes, are added up in binary64 and rounded once, which is the exact sum
//! unless that lies within the rounding errors of binary64 of a tie; SEMANTICS.md gives the distances.
//!
//! Which function computes an operator, and for which types, is part of its declaration (`operator.rs`).

pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod conv;
pub(crate) mod index;
pub(crate) mod inputs;
pub(crate) mod logic;
pub(crate) mod movement;
pub(crate) mod norm;
pub(crate) mod order;
pub(crate) mod places;
pub(crate) mod pool;
pub(crate) mod product;
pub(crate) mod quantization;
pub(crate) mod reduce;
pub(crate) mod resize;
pub(crate) mod scalar;
pub(crate) mod shape;
pub(crate) mod trees;
pub(crate) mod types;

pub(crate) use arithmetic::function;
pub(crate) use norm::factors;
pub(crate) use quantization::{quantize, saturate};
pub(crate) use resize::lines as resize_lines;
pub(crate) use scalar::{Binary, Unary};
pub(crate) use shape::of_shape;
pub(crate) use types::{Operand, Operands, zeros};
