//! Tools to test a circuit: a checker for single cells and a mutation harness.
//!
//! They are public, so that an operator of another crate is tested the way the operators here are.

mod checker;
mod mutate;

pub use checker::Checker;
pub use mutate::{Mutant, Mutator, Score, Told};
