//! Tools to test a circuit: a checker for single cells, a mutation harness, and both applied to one operator.
//!
//! They are public, so that an operator of another crate is tested the way the operators here are.

mod checker;
mod cone;
mod extremes;
mod map;
mod mutants;
mod mutate;
mod operator;
mod session;

pub use checker::Checker;
pub use extremes::{Extremes, Falsified, extremes};
pub use mutants::{Mutant, Shift};
pub use mutate::{Mutator, Score, Told};
pub use operator::{Rng, check_operator, mutate_operator};
pub use session::Session;
