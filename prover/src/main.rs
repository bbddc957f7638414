//! The `zkonnx` command.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// The input file, the tensors and the trace of the execution are secret when the input is private. Who holds them is
/// spread over the whole program, so all memory is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    zkonnx_prover::cli::main()
}
