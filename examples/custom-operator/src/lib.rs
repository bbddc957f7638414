//! An operator of the domain `org.example`, added to zkonnx from outside.
//!
//! Three things make an operator: its integer rule with its circuit ([`Quorum`]), an entry in the registry of integer
//! operators, so that stored programs can be read ([`programs`]), and an entry in the registry of ONNX operators, so
//! that models can be imported ([`models`]).

mod import;
mod quorum;

pub use quorum::Quorum;

use zkonnx_circuits::{ops, program};

/// The integer operators of zkonnx, and ours.
pub fn programs() -> program::Registry {
    let mut registry = ops::registry();
    registry.register(quorum::ID, Quorum::decode);
    registry
}

/// The ONNX operators that zkonnx does not know.
pub fn models() -> zkonnx_onnx::Registry {
    let mut registry = zkonnx_onnx::Registry::new();
    registry.register(import::QUORUM);
    registry
}
