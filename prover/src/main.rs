//! The `zkonnx` command.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// A private input is in many places while it is proved: the file's bytes, tensors, the trace, the witness, its
/// polynomials, the digits of its commitments. So everything is wiped when it is freed, rather than what somebody
/// remembered to.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    zkonnx_prover::cli::main()
}
