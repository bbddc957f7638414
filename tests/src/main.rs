//! The `zkonnx` command, as the tests run it.

fn main() -> std::process::ExitCode {
    zkonnx_prover::cli::main()
}
