//! Many command lines in one process, so that a differential test of small models does not wait for processes to start.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use zkonnx_prover::{Exit, cli};

use super::Failure;

/// Answers each line of stdin, `["run", "model.onnx", "--input", "x.npz"]`, by a line
/// `{"exit_code": 0, "answer": {…}}`. A panic is the answer of its line, with exit code 3, and not the end of the batch.
pub(super) fn run() -> Result<bool, Failure> {
    // What a panic says is in the answer.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let arguments: Vec<String> = serde_json::from_str(&line?)?;
        // Nothing of a command outlives it, so that a half-done one cannot be seen by the next.
        let (exit, answer) = catch_unwind(AssertUnwindSafe(|| cli::answer(&arguments)))
            .unwrap_or_else(|cause| panicked(cause.as_ref()));
        writeln!(
            out,
            "{}",
            json!({"exit_code": exit as u8, "answer": answer})
        )?;
        out.flush()?;
    }
    Ok(true)
}

fn panicked(cause: &(dyn std::any::Any + Send)) -> (Exit, Value) {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    let error = format!("panic: {}", text.unwrap_or("unknown cause"));
    let error = json!({ "kind": "internal", "message": error });
    (Exit::Failure, json!({ "error": error }))
}
