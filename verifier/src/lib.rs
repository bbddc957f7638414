//! Verification of zkonnx receipts.
//!
//! An independent implementation of the halo2 verifier (Vesta commitments, inner product argument, BLAKE2b transcript)
//! that works from bytes alone: a verifying key and a receipt. It runs without the standard library, has no source of
//! randomness, no clock and no threads, and answers every input with a verdict or an error.
//!
//! ```
//! use zkonnx_verifier::{Params, Receipt, VerifyingKey, cost, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Loaded once: the transparent parameters, whose digest is pinned, and a key whose id somebody vouches for.
//! let params = Params::decode(include_bytes!("../vectors/params-6.bin"))?;
//! let key = VerifyingKey::decode(include_bytes!("../vectors/key-a.bin"))?;
//!
//! let receipt = Receipt::decode(include_bytes!("../vectors/receipt-a3.bin"))?;
//! assert_eq!(receipt.vk_id(), key.id());
//! println!("at most {:?}", cost(&key).single(receipt.claims().len()));
//! verify(&key, &params, &receipt)?;
//! for claim in receipt.claims() {
//!     println!("{:02x?} gives {:?}", claim.digest(), claim.outputs());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The modules, from the outside in: `claim`, `receipt`, `interface`, `layout`, `key` and `params` are the formats
//! (FORMATS.md);
//! `verify`, `deferred` and `cost` what callers ask for; `proof`, `quotient` and `opening` the protocol, over `plan`,
//! `transcript`, `decompress`, `msm` and `curve`; `cs`, `shape`, `expr` and `pinned` the circuit as data.
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
// The test circuits are shared with the integration tests, which know the crate by its name.
#[cfg(test)]
extern crate self as zkonnx_verifier;
#[cfg(all(test, not(feature = "std")))]
extern crate std;

#[cfg(test)]
mod batch_tests;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(test)]
mod fingerprint_tests;

mod claim;
mod codec;
mod cost;
pub mod cs;
mod curve;
mod decompress;
mod deferred;
mod digests;
mod error;
mod expr;
mod field;
pub mod interface;
mod key;
mod key_codec;
mod layout;
mod msm;
mod opening;
mod params;
mod pinned;
mod plan;
mod proof;
mod quotient;
mod receipt;
mod shape;
mod tensor;
mod transcript;
mod verify;
mod work;

pub use claim::{CLAIM_MAGIC, CLAIM_VERSION, Claim, ClaimInput, MAX_PORTS, leaf_digest};
pub use cost::{Cost, batch_cost, cost};
pub use deferred::{
    Deferred, DischargeError, Rejected, Verified, discharge_all, verify_deferred,
    verify_deferred_counting,
};
pub use error::{
    BatchError, ClaimError, DecodeError, ExpressionError, KeyError, LayoutError, ParamsError,
    ReceiptError, TensorError, VerifyError,
};
pub use expr::MAX_STACK;
pub use interface::{Interface, InterfaceError, Quantization};
pub use key::{CircuitKey, VerifyingKey};
pub use key_codec::{KEY_MAGIC, KEY_VERSION};
pub use layout::{CONTEXT_ELEMENTS, InputVisibility, PublicLayout, context_elements};
pub use params::{MAX_INSTANCE_ROWS, PARAMS_MAGIC, PARAMS_VERSION, Params};
pub use plan::{MAX_POINT_SETS, MAX_ROTATIONS};
pub use receipt::{MAX_CLAIMS, MAX_PROOF_BYTES, RECEIPT_MAGIC, RECEIPT_VERSION, Receipt};
pub use shape::{
    MAX_COLUMNS, MAX_DEGREE, MAX_GATES, MAX_K, MAX_LOOKUP_WIDTH, MAX_LOOKUPS, MAX_NODES,
    MAX_QUERIES, MIN_K,
};
pub use tensor::{DataType, ELEMENT_BITS, MAX_ELEMENTS, MAX_RANK, PortSpec, TensorData};
pub use verify::{verify, verify_batch, verify_batch_counting, verify_counting};
pub use work::Work;
