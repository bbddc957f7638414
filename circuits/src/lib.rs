//! Quantized ONNX graphs as integer programs and halo2 circuits.
#![forbid(unsafe_code)]

pub mod chips;
pub mod circuit;
pub mod compile;
pub mod lower;
pub mod onnx;
pub mod ops;
pub mod plan;
pub mod program;
pub mod testing;
