//! Verifying keys: everything that is known of a circuit before a proof of it arrives.

use alloc::vec;
use alloc::vec::Vec;

use ff::PrimeField;
use group::CurveAffine as _;
use pasta_curves::{EqAffine, Fp};

use crate::claim::hash256;
use crate::cs::{Column, ColumnKind, ConstraintSystem};
use crate::error::{DecodeError, KeyError};
use crate::layout::PublicLayout;
use crate::params::MAX_INSTANCE_ROWS;
use crate::pinned::Pinned;
use crate::plan::Plan;

const ID_PERSONAL: &[u8; 16] = b"zkonnx vk id v1.";

/// A validated circuit: its constraint system and the commitments to its fixed and permutation columns.
///
/// This is what halo2 calls a verifying key, with any number of instance columns and no meaning for them.
/// [`VerifyingKey`] adds what the instance means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitKey {
    k: u32,
    cs: ConstraintSystem,
    fixed_commitments: Vec<EqAffine>,
    permutation_commitments: Vec<EqAffine>,
    degree: u32,
    usable_rows: usize,
    omega: Fp,
    transcript_repr: Fp,
    pinned_bytes: u64,
    plan: Plan,
    permutation_values: Vec<(ColumnKind, usize)>,
}

impl CircuitKey {
    /// Validates the parts and derives the digest that halo2 absorbs for such a key.
    pub fn new(
        k: u32,
        cs: ConstraintSystem,
        fixed_commitments: Vec<EqAffine>,
        permutation_commitments: Vec<EqAffine>,
    ) -> Result<Self, KeyError> {
        cs.validate(k)?;
        let usable_rows = cs.usable_rows(k).unwrap_or(0);
        let expected = cs.columns(ColumnKind::Fixed);
        if fixed_commitments.len() != expected {
            return Err(KeyError::FixedCommitments {
                expected,
                got: fixed_commitments.len(),
            });
        }
        if permutation_commitments.len() != cs.permutation.len() {
            return Err(KeyError::PermutationCommitments {
                expected: cs.permutation.len(),
                got: permutation_commitments.len(),
            });
        }
        let mut commitments = fixed_commitments.iter().chain(&permutation_commitments);
        if commitments.any(|point| bool::from(point.is_identity())) {
            return Err(KeyError::IdentityCommitment);
        }
        let degree = cs.degree();
        let omega = root_of_unity(k);
        let pinned = Pinned {
            k,
            extended_k: extended_k(k, degree),
            omega,
            cs: &cs,
            fixed_commitments: &fixed_commitments,
            permutation_commitments: &permutation_commitments,
        };
        let (transcript_repr, pinned_bytes) = pinned.digest();
        let plan = Plan::new(&cs, 1 << k)?;
        let permutation_values = permutation_values(&cs);
        Ok(Self {
            k,
            cs,
            fixed_commitments,
            permutation_commitments,
            degree,
            usable_rows,
            omega,
            transcript_repr,
            pinned_bytes,
            plan,
            permutation_values,
        })
    }

    /// The binary logarithm of the rows.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The constraint system.
    pub fn cs(&self) -> &ConstraintSystem {
        &self.cs
    }

    /// The commitments to the fixed columns.
    pub fn fixed_commitments(&self) -> &[EqAffine] {
        &self.fixed_commitments
    }

    /// The commitments to the permutation columns.
    pub fn permutation_commitments(&self) -> &[EqAffine] {
        &self.permutation_commitments
    }

    /// The degree of the constraints.
    pub fn degree(&self) -> u32 {
        self.degree
    }

    /// The rows that the circuit can use, which an instance must not exceed.
    pub fn usable_rows(&self) -> usize {
        self.usable_rows
    }

    /// The rows that public values may take: the usable ones, as far as parameters hold their Lagrange points.
    pub fn instance_rows(&self) -> usize {
        self.usable_rows.min(MAX_INSTANCE_ROWS)
    }

    /// The 2^k-th root of unity whose powers are the rows.
    pub fn omega(&self) -> Fp {
        self.omega
    }

    /// The element that halo2 absorbs into a transcript for this key.
    pub fn transcript_repr(&self) -> Fp {
        self.transcript_repr
    }

    /// The length of the text behind [`CircuitKey::transcript_repr`], in bytes.
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// Which commitment is opened where.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// For each column of the permutation, the query of its current row.
    pub(crate) fn permutation_values(&self) -> &[(ColumnKind, usize)] {
        &self.permutation_values
    }

    /// The text of halo2's pinned key, for tests and for people. The verifier itself never holds it.
    pub fn pinned_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Pinned {
            k: self.k,
            extended_k: extended_k(self.k, self.degree),
            omega: self.omega,
            cs: &self.cs,
            fixed_commitments: &self.fixed_commitments,
            permutation_commitments: &self.permutation_commitments,
        }
        .render(&mut out);
        out
    }
}

/// For each column of a validated permutation, the position of the query of its current row.
fn permutation_values(cs: &ConstraintSystem) -> Vec<(ColumnKind, usize)> {
    let current = |kind: ColumnKind| {
        let mut positions = vec![0; cs.columns(kind)];
        for (position, query) in cs.queries(kind).iter().enumerate() {
            let column = usize::try_from(query.column.index).ok();
            let slot = column.and_then(|column| positions.get_mut(column));
            if let (0, Some(slot)) = (query.rotation, slot) {
                *slot = position;
            }
        }
        positions
    };
    let (instance, advice, fixed) = (
        current(ColumnKind::Instance),
        current(ColumnKind::Advice),
        current(ColumnKind::Fixed),
    );
    let position = |column: &Column| {
        let positions = match column.kind {
            ColumnKind::Instance => &instance,
            ColumnKind::Advice => &advice,
            ColumnKind::Fixed => &fixed,
        };
        let index = usize::try_from(column.index).ok();
        index
            .and_then(|index| positions.get(index))
            .copied()
            .unwrap_or(0)
    };
    cs.permutation
        .iter()
        .map(|column| (column.kind, position(column)))
        .collect()
}

/// The 2^k-th root of unity of halo2's domains.
fn root_of_unity(k: u32) -> Fp {
    let mut root = Fp::ROOT_OF_UNITY;
    for _ in k..Fp::S {
        root = root.square();
    }
    root
}

/// The logarithm of halo2's extended domain: the smallest that holds the quotient's degree.
fn extended_k(k: u32, degree: u32) -> u32 {
    let pieces = u64::from(degree.saturating_sub(1));
    let mut extended = k;
    while (1u64 << (extended - k)) < pieces {
        extended += 1;
    }
    extended
}

/// A circuit of a program, with the meaning of its public values.
///
/// That the circuit computes the program is the key's claim: whoever needs it re-derives the key from the model, or
/// registers the id of a key it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    circuit: CircuitKey,
    layout: PublicLayout,
    program_id: [u8; 32],
    id: [u8; 32],
}

impl VerifyingKey {
    /// Validates the parts; the circuit must have one instance column with rows for all elements of the layout.
    pub fn new(
        k: u32,
        cs: ConstraintSystem,
        fixed_commitments: Vec<EqAffine>,
        permutation_commitments: Vec<EqAffine>,
        layout: PublicLayout,
        program_id: [u8; 32],
    ) -> Result<Self, KeyError> {
        if cs.num_instance != 1 {
            return Err(KeyError::InstanceColumns {
                got: cs.num_instance,
            });
        }
        let circuit = CircuitKey::new(k, cs, fixed_commitments, permutation_commitments)?;
        let (got, max) = (layout.element_count(), circuit.instance_rows());
        if got > max {
            return Err(KeyError::InstanceTooLong { got, max });
        }
        let mut key = Self {
            circuit,
            layout,
            program_id,
            id: [0; 32],
        };
        key.id = hash256(ID_PERSONAL, &key.encode());
        Ok(key)
    }

    /// The circuit.
    pub fn circuit(&self) -> &CircuitKey {
        &self.circuit
    }

    /// The layout of the public values.
    pub fn layout(&self) -> &PublicLayout {
        &self.layout
    }

    /// The program that the key claims to be of.
    pub fn program_id(&self) -> &[u8; 32] {
        &self.program_id
    }

    /// BLAKE2b-256 of the canonical bytes, personalized as `zkonnx vk id v1.`.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The element that halo2 absorbs into a transcript for this key.
    pub fn transcript_repr(&self) -> Fp {
        self.circuit.transcript_repr
    }

    /// The canonical bytes, as FORMATS.md lists them.
    pub fn encode(&self) -> Vec<u8> {
        crate::key_codec::encode(self)
    }

    /// The key with these bytes, which have to be canonical and complete. Everything in them is validated here, once.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::key_codec::decode(bytes)
    }
}
