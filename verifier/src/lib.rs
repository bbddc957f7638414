//! Verification of zkonnx receipts.
//!
//! An independent implementation of the halo2 verifier (Vesta commitments, inner product argument, BLAKE2b transcript)
//! that works from bytes alone: a verifying key and a receipt. It runs without the standard library, has no source of
//! randomness, no clock and no threads, and answers every input with a verdict or an error.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]
extern crate alloc;

mod claim;
mod codec;
pub mod cs;
mod error;
mod expr;
mod field;
mod key;
mod key_codec;
mod layout;
mod params;
mod pinned;
mod receipt;
mod shape;
mod tensor;

pub use claim::{CLAIM_MAGIC, CLAIM_VERSION, Claim, ClaimInput, MAX_PORTS};
pub use error::{
    ClaimError, DecodeError, ExpressionError, KeyError, LayoutError, ReceiptError, TensorError,
};
pub use expr::MAX_STACK;
pub use key::{CircuitKey, VerifyingKey};
pub use key_codec::{KEY_MAGIC, KEY_VERSION};
pub use layout::{CONTEXT_ELEMENTS, InputVisibility, PublicLayout, context_elements};
pub use params::MAX_INSTANCE_ROWS;
pub use receipt::{MAX_CLAIMS, MAX_PROOF_BYTES, RECEIPT_MAGIC, RECEIPT_VERSION, Receipt};
pub use shape::{
    MAX_COLUMNS, MAX_DEGREE, MAX_GATES, MAX_K, MAX_LOOKUP_WIDTH, MAX_LOOKUPS, MAX_NODES,
    MAX_QUERIES, MIN_K,
};
pub use tensor::{DataType, ELEMENT_BITS, MAX_ELEMENTS, MAX_RANK, PortSpec, TensorData};
