//! Key generation and proving for the protocol of `halo2_proofs` 0.4, over Vesta.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod arith;
mod constraints;
mod domain;
mod file;
mod key;
mod key_file;
mod memory;
mod msm;
mod params;
mod permutation;
mod pinned;
mod program;
mod prover;
mod shape;
mod synthesis;

pub use file::{FileError, Tag};
pub use key::{Cell, KeygenError, ProvingKey, keygen, keygen_columns};
pub use memory::Memory;
pub use params::{MAX_K, Params};
pub use permutation::NotInPermutation;
pub use pinned::{PinnedError, constraint_system, parse as parse_pinned};
pub use prover::{AdviceColumn, Options, ProveError, Stage, prove, prove_witness};
pub use shape::Shape;
