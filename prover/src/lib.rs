//! Proving and verifying quantized ONNX inferences: keys, parameters, proofs and the command line.
//!
//! The meaning of a model is not here but in `zkonnx-circuits`, the verdict on a receipt not here but in
//! `zkonnx-verifier`. This crate moves files between them.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod artifact;
pub mod backend;
pub mod cache;
pub mod cli;
mod demo_model;
pub mod drawing;
pub mod error;
pub mod files;
pub mod input;
pub mod keys;
pub mod measure;
pub mod model;
pub mod numpy;
mod operators;
pub mod pace;
pub mod places;
pub mod progress;
pub mod prover;
pub mod real;
mod report;

pub use cli::main_with;
pub use error::{Error, Exit};
pub use operators::Operators;
