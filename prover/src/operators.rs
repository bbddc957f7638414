//! The operators that a binary knows: those of zkonnx, and what a crate outside added before the command line started.

use std::sync::OnceLock;

use zkonnx_circuits::{ops, program};
use zkonnx_onnx::Registry;

/// Where the operators come from: one registry to import models with, one to read stored programs with.
///
/// Both start from what zkonnx has, and neither replaces it: see `examples/custom-operator`.
#[derive(Clone, Copy, Debug)]
pub struct Operators {
    /// The ONNX operators that are added to those of zkonnx.
    pub models: fn() -> Registry,
    /// The integer operators, those of zkonnx with them.
    pub programs: fn() -> program::Registry,
}

impl Default for Operators {
    fn default() -> Self {
        Self {
            models: Registry::new,
            programs: ops::registry,
        }
    }
}

/// A program has one set of operators, as it has one allocator: a file means the same in all of its commands.
static OPERATORS: OnceLock<Operators> = OnceLock::new();

/// Sets the operators of this process. `false` if they are settled already, and stay as they were.
pub(crate) fn settle(operators: Operators) -> bool {
    OPERATORS.set(operators).is_ok()
}

/// The operators of this process; those of zkonnx alone if nobody chose before the first question.
pub(crate) fn operators() -> Operators {
    *OPERATORS.get_or_init(Operators::default)
}
