//! Verdicts: one receipt at a time, or many in one multiplication.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use ff::PrimeField;
use group::Group;
use pasta_curves::{EqAffine, Fp};

use crate::claim::hash256;
use crate::error::{BatchError, VerifyError};
use crate::key::{CircuitKey, VerifyingKey};
use crate::msm::{msm, to_affine};
use crate::opening::Opening;
use crate::params::Params;
use crate::proof::Proof;
use crate::receipt::{MAX_CLAIMS, Receipt};
use crate::transcript::Transcript;
use crate::work::{Work, amount};

const SEED_PERSONAL: &[u8; 16] = b"zkonnx batch v1.";
const COEFFICIENT_PERSONAL: &[u8; 16] = b"zkonnx coeff v1.";

/// Bytes that a hash of up to a block takes, the block included.
const SMALL_HASH_BYTES: u64 = 128;

/// Checks that the receipt's proof proves its claims under the key.
pub fn verify(key: &VerifyingKey, params: &Params, receipt: &Receipt) -> Result<(), VerifyError> {
    verify_counting(key, params, receipt, &mut Work::default())
}

/// As [`verify`], adding to `work` what was done.
pub fn verify_counting(
    key: &VerifyingKey,
    params: &Params,
    receipt: &Receipt,
    work: &mut Work,
) -> Result<(), VerifyError> {
    let opening = open_receipt(key, params, receipt, work)?;
    check_alone(key.circuit(), &opening, params, work)
}

/// Checks many receipts, of any models and sizes, in one multi-scalar multiplication.
///
/// The equations are added up with coefficients that are a hash of all keys, instances and proofs, so the result is the
/// same everywhere, and nobody can choose proofs that are wrong and cancel. If the sum is wrong, each receipt is checked
/// alone, and the error names those that fail. No receipts are no failure.
pub fn verify_batch(
    items: &[(&VerifyingKey, &Receipt)],
    params: &Params,
) -> Result<(), BatchError> {
    verify_batch_counting(items, params, &mut Work::default())
}

/// As [`verify_batch`], adding to `work` what was done.
pub fn verify_batch_counting(
    items: &[(&VerifyingKey, &Receipt)],
    params: &Params,
    work: &mut Work,
) -> Result<(), BatchError> {
    let mut failures = Vec::new();
    let mut openings = Vec::new();
    for (index, (key, receipt)) in items.iter().enumerate() {
        match open_receipt(key, params, receipt, work) {
            Ok(opening) => openings.push((index, key.circuit(), opening)),
            Err(error) => failures.push((index, error)),
        }
    }
    let seals = openings.iter().map(|(_, _, opening)| &opening.seal);
    let coefficients = coefficients(seals, work);
    let mut sum = Combination::new();
    let mut equations = openings.iter().zip(&coefficients);
    let added = equations.try_for_each(|((_, circuit, opening), coefficient)| {
        sum.add(circuit, opening, *coefficient, params, work)
    });
    let holds = added.is_ok() && sum.vanishes(params, work);
    if !holds {
        for (index, circuit, opening) in &openings {
            if let Err(error) = check_alone(circuit, opening, params, work) {
                failures.push((*index, error));
            }
        }
        failures.sort_unstable_by_key(|&(index, _)| index);
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(BatchError { failures }),
    }
}

impl CircuitKey {
    /// Checks a proof of one or more circuits, given the instance columns of each. This is the bare protocol, for
    /// circuits that are not a program's; receipts go through [`verify`].
    ///
    /// Every instance column has to have exactly the elements it was proved with: halo2 pads with zeros, so `[1]` and
    /// `[1, 0]` are the same to it. What the right number is only the caller knows.
    pub fn verify(
        &self,
        params: &Params,
        instances: &[Vec<Vec<Fp>>],
        proof: &[u8],
    ) -> Result<(), VerifyError> {
        let work = &mut Work::default();
        let opening = open_circuits(self, params, instances, proof, work)?;
        check_alone(self, &opening, params, work)
    }
}

/// Checks a receipt against its key and reduces its proof to an equation.
pub(crate) fn open_receipt(
    key: &VerifyingKey,
    params: &Params,
    receipt: &Receipt,
    work: &mut Work,
) -> Result<Opening, VerifyError> {
    if receipt.vk_id() != key.id() {
        return Err(VerifyError::WrongKey);
    }
    let mut instances = Vec::with_capacity(receipt.claims().len());
    for (claim, statement) in receipt.claims().iter().enumerate() {
        if statement.program_id() != key.program_id() {
            return Err(VerifyError::WrongProgram { claim });
        }
        let instance = key
            .layout()
            .instance(statement)
            .map_err(|source| VerifyError::Layout { claim, source })?;
        work.field_muls += key.layout().value_count();
        instances.push(vec![instance]);
    }
    open_circuits(key.circuit(), params, &instances, receipt.proof(), work)
}

/// Reduces a proof to an equation.
pub(crate) fn open_circuits(
    key: &CircuitKey,
    params: &Params,
    instances: &[Vec<Vec<Fp>>],
    proof: &[u8],
    work: &mut Work,
) -> Result<Opening, VerifyError> {
    let rows = params
        .lagrange(key.k())
        .ok_or(VerifyError::ParamsTooSmall {
            needed: key.k(),
            available: params.k(),
        })?;
    check_shape(key, instances, proof)?;
    let commitments = instances
        .iter()
        .map(|columns| {
            let commit = |column: &Vec<Fp>| commit_instance(column, rows, params, work);
            columns.iter().map(commit).collect()
        })
        .collect();
    let mut transcript = Transcript::new(proof, params.roots());
    let proof = Proof::read(key, commitments, &mut transcript, work)?;
    let opening = Opening::read(key, &proof, &mut transcript, work)?;
    match transcript.is_finished() {
        true => Ok(opening),
        // The length was checked, so the reader and the length formula disagree.
        false => Err(VerifyError::InconsistentKey),
    }
}

/// Everything that can be refused before any curve arithmetic.
fn check_shape(
    key: &CircuitKey,
    instances: &[Vec<Vec<Fp>>],
    proof: &[u8],
) -> Result<(), VerifyError> {
    if instances.is_empty() || instances.len() > MAX_CLAIMS {
        return Err(VerifyError::CircuitCount {
            got: instances.len(),
        });
    }
    let expected = key.cs().columns(crate::cs::ColumnKind::Instance);
    let max = key.instance_rows();
    for (circuit, columns) in instances.iter().enumerate() {
        if columns.len() != expected {
            return Err(VerifyError::InstanceColumns {
                circuit,
                expected,
                got: columns.len(),
            });
        }
        if let Some(got) = columns.iter().map(Vec::len).find(|&len| len > max) {
            return Err(VerifyError::InstanceTooLong { circuit, got, max });
        }
    }
    let expected = key.proof_size(instances.len()).bytes();
    if proof.len() != expected {
        return Err(VerifyError::ProofLength {
            expected,
            got: proof.len(),
        });
    }
    Ok(())
}

/// The commitment to public values under the Lagrange points of their rows, which has the blinding factor one.
pub(crate) fn commit_instance(
    values: &[Fp],
    rows: &[EqAffine],
    params: &Params,
    work: &mut Work,
) -> EqAffine {
    let terms: Vec<(Fp, EqAffine)> = values
        .iter()
        .copied()
        .zip(rows.iter().copied())
        .chain([(Fp::one(), params.w())])
        .collect();
    to_affine(&msm(&terms, work))
}

/// Checks one equation by itself.
pub(crate) fn check_alone(
    key: &CircuitKey,
    opening: &Opening,
    params: &Params,
    work: &mut Work,
) -> Result<(), VerifyError> {
    let mut sum = Combination::new();
    sum.add(key, opening, Fp::one(), params, work)?;
    match sum.vanishes(params, work) {
        true => Ok(()),
        false => Err(VerifyError::InvalidProof),
    }
}

/// A coefficient of 128 bits for each equation, from the digests of all of them.
pub(crate) fn coefficients<'a>(
    seals: impl Iterator<Item = &'a [u8; 64]>,
    work: &mut Work,
) -> Vec<Fp> {
    let mut bytes = Vec::new();
    let mut count = 0u64;
    for seal in seals {
        bytes.extend_from_slice(seal);
        count += 1;
    }
    let seed = hash256(SEED_PERSONAL, &bytes);
    work.hashed_bytes += amount(bytes.len()) + SMALL_HASH_BYTES * (count + 1);
    (0..count)
        .map(|index| {
            let mut message = seed.to_vec();
            message.extend_from_slice(&index.to_le_bytes());
            let hash = hash256(COEFFICIENT_PERSONAL, &message);
            let low = hash.first_chunk().copied().unwrap_or_default();
            Fp::from_u128(u128::from_le_bytes(low))
        })
        .collect()
}

/// A sum of equations with coefficients, which is zero if all of them hold.
pub(crate) struct Combination {
    /// Terms that belong to one equation.
    terms: Vec<(Fp, EqAffine)>,
    /// Terms of the keys' commitments, added up over the proofs under the same key.
    key_terms: Vec<(Fp, EqAffine)>,
    /// Where the terms of a key start, by its transcript digest.
    keys: BTreeMap<[u8; 32], usize>,
    /// Scalars of the generators.
    g: Vec<Fp>,
    w: Fp,
    u: Fp,
}

impl Combination {
    pub(crate) fn new() -> Self {
        Self {
            terms: Vec::new(),
            key_terms: Vec::new(),
            keys: BTreeMap::new(),
            g: Vec::new(),
            w: Fp::zero(),
            u: Fp::zero(),
        }
    }

    /// Adds an equation.
    pub(crate) fn add(
        &mut self,
        key: &CircuitKey,
        opening: &Opening,
        coefficient: Fp,
        params: &Params,
        work: &mut Work,
    ) -> Result<(), VerifyError> {
        self.add_left(key, opening, coefficient, work);
        self.add_right(&opening.challenges, coefficient * opening.c, params, work)
    }

    /// Adds the left side of an equation: everything but c · ⟨s(u), G⟩.
    pub(crate) fn add_left(
        &mut self,
        key: &CircuitKey,
        opening: &Opening,
        coefficient: Fp,
        work: &mut Work,
    ) {
        let terms = opening.terms.iter();
        self.terms
            .extend(terms.map(|&(scalar, point)| (scalar * coefficient, point)));
        // Equal digests mean equal commitments, so proofs under the same key share their terms.
        let commitments = key
            .fixed_commitments()
            .iter()
            .chain(key.permutation_commitments());
        let start = *self
            .keys
            .entry(key.transcript_repr().to_repr())
            .or_insert_with(|| {
                let start = self.key_terms.len();
                self.key_terms
                    .extend(commitments.map(|&point| (Fp::zero(), point)));
                start
            });
        for ((sum, _), scalar) in self
            .key_terms
            .iter_mut()
            .skip(start)
            .zip(&opening.key_scalars)
        {
            *sum += *scalar * coefficient;
        }
        self.add_to_g(0, opening.g0 * coefficient);
        self.w += opening.w * coefficient;
        self.u += opening.u * coefficient;
        work.field_muls += amount(opening.terms.len() + opening.key_scalars.len()) + 3;
    }

    /// Adds a point.
    pub(crate) fn add_point(&mut self, point: EqAffine, coefficient: Fp) {
        self.terms.push((coefficient, point));
    }

    /// Subtracts scale · ⟨s(u), G⟩.
    pub(crate) fn add_right(
        &mut self,
        challenges: &[Fp],
        scale: Fp,
        params: &Params,
        work: &mut Work,
    ) -> Result<(), VerifyError> {
        let k = u32::try_from(challenges.len()).unwrap_or(u32::MAX);
        let too_small = VerifyError::ParamsTooSmall {
            needed: k,
            available: params.k(),
        };
        let n = params.generators(k).ok_or(too_small)?.len();
        // The coefficients of Π (1 + u_j X^(2^(k-1-j))), doubling in number with every factor.
        let mut s = Vec::with_capacity(n);
        s.push(-scale);
        for challenge in challenges.iter().rev() {
            let upper = s.len();
            for index in 0..upper {
                let lower = s.get(index).copied().unwrap_or_default();
                s.push(lower * challenge);
            }
        }
        if self.g.len() < n {
            self.g.resize(n, Fp::zero());
        }
        for (sum, scalar) in self.g.iter_mut().zip(s) {
            *sum += scalar;
        }
        work.field_muls += amount(n);
        Ok(())
    }

    fn add_to_g(&mut self, index: usize, scalar: Fp) {
        if self.g.len() <= index {
            self.g.resize(index + 1, Fp::zero());
        }
        if let Some(sum) = self.g.get_mut(index) {
            *sum += scalar;
        }
    }

    /// All terms, the generators' included.
    pub(crate) fn into_terms(self, params: &Params) -> Vec<(Fp, EqAffine)> {
        let generators = params.generators(params.k()).unwrap_or_default();
        let mut terms = self.terms;
        terms.extend(self.key_terms);
        terms.push((self.w, params.w()));
        terms.push((self.u, params.u()));
        terms.extend(self.g.into_iter().zip(generators.iter().copied()));
        terms
    }

    /// Whether the sum is the identity.
    pub(crate) fn vanishes(self, params: &Params, work: &mut Work) -> bool {
        msm(&self.into_terms(params), work).is_identity().into()
    }
}
