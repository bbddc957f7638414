//! The `zkonnx` command with one more operator: all commands, for models and keys that use it.

use zkonnx_custom_operator::{models, programs};
use zkonnx_prover::{Operators, main_with};

fn main() -> std::process::ExitCode {
    main_with(Operators { models, programs })
}
