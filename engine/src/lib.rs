//! Key generation and proving for the protocol of `halo2_proofs` 0.4: Vesta commitments without a trusted setup, the
//! inner product argument, BLAKE2b transcripts.
//!
//! Proofs are the stock prover's, byte for byte when both draw from the same generator, so whatever is argued of that
//! protocol (soundness, zero knowledge) holds here: the same polynomials are blinded with the same number of random
//! values, drawn in the same order. What differs is the way the values are computed, and that keys can be stored.
//!
//! - [`Params`] holds the generators with multiples that make commitments cheap, and compares both with pinned digests.
//! - [`keygen`] runs an ordinary halo2 circuit, [`keygen_columns`] takes its fixed columns and copies directly.
//! - [`ProvingKey`] is written and read as a stream, with an owner's [`Tag`], a version and a checksum, and
//!   [`ProvingKey::check`] tells whether one that was read is the one of a circuit.
//! - [`prove`] runs ordinary halo2 circuits, [`prove_witness`] takes advice columns, small integers among them.
//! - [`Memory::predict`] tells what a proof will need, and [`Options::max_memory`] bounds it.
//!
//! A witness that does not satisfy the circuit gives an error and no proof: before opening anything, the prover checks
//! the equation that a verifier will check.
//!
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use zkonnx_engine::{AdviceColumn, Options, Params, Tag, keygen_columns, prove_witness};
//! use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Node, Query};
//!
//! // One gate, a·(a − 1) = 0 on every row.
//! let a = Column { kind: ColumnKind::Advice, index: 0 };
//! let gate = [Node::Advice(0), Node::Advice(0), Node::Product, Node::Advice(0), Node::Negated, Node::Sum];
//! let cs = ConstraintSystem {
//!     num_advice: 1,
//!     advice_queries: vec![Query { column: a, rotation: 0 }],
//!     // The blinding rows are random, so a real circuit switches its gates off there, with a fixed column.
//!     num_fixed: 1,
//!     fixed_queries: vec![Query { column: Column { kind: ColumnKind::Fixed, index: 0 }, rotation: 0 }],
//!     gates: vec![Expression { nodes: [&[Node::Fixed(0)], &gate[..], &[Node::Product]].concat() }],
//!     ..ConstraintSystem::default()
//! };
//! let params = Params::derive(4)?;
//! let q = vec![pasta_curves::Fp::one(); 10];
//! let key = keygen_columns(&params, &cs, vec![q], &[], Tag::default())?;
//! let bits = || vec![vec![AdviceColumn::Small(vec![0, 1, 1, 0])]];
//! let rng = StdRng::seed_from_u64(1); // A real prover uses the operating system's generator.
//! prove_witness(&params, &key, bits(), &[vec![]], rng, Options::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod arith;
mod constraints;
mod digests;
mod domain;
mod file;
mod key;
mod key_check;
mod key_file;
mod memory;
mod msm;
mod params;
mod permutation;
mod pinned;
mod program;
mod prover;
mod secret;
mod shape;
mod synthesis;

pub use file::{FileError, Tag};
pub use key::{Cell, KeygenError, ProvingKey, keygen, keygen_columns};
pub use key_check::KeyMismatch;
pub use memory::Memory;
pub use params::Params;
pub use permutation::NotInPermutation;
pub use pinned::{PinnedError, constraint_system, parse as parse_pinned};
pub use prover::{AdviceColumn, Options, ProveError, Stage, prove, prove_witness};
pub use shape::Shape;
