//! Integer programs as halo2 circuits.
#![forbid(unsafe_code)]

// The models of the integration tests, which unit tests use too, name the crate.
#[cfg(test)]
extern crate self as zkonnx_circuits;

pub mod chips;
pub mod circuit;
pub mod compile;
pub mod lower;
pub mod ops;
pub mod plan;
pub mod program;
pub mod testing;
