//! The `zkonnx` command.

fn main() -> std::process::ExitCode {
    zkonnx_prover::cli::main()
}
