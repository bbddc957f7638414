//! The opening of all commitments at all points, reduced to one equation between points.
//!
//! Commitments with the same set of points are folded with powers of x_1, the sets with powers of x_2 into a polynomial
//! f that must vanish, everything at x_3 with powers of x_4, and the result is opened by the inner product argument. In
//! the end a proof is right if and only if
//!
//!   Σ scalar · point  =  c · ⟨s(u), G⟩
//!
//! where the left side has the proof's points, the key's commitments and a few generators, and s(u) are the
//! coefficients of Π (1 + u_j X^(2^(k-1-j))). The left side is short; the right side is the one long multiplication.

use alloc::vec;
use alloc::vec::Vec;

use ff::Field;
use pasta_curves::arithmetic::VartimeField;
use pasta_curves::{EqAffine, Fp};

use crate::error::VerifyError;
use crate::field::invert_each;
use crate::key::CircuitKey;
use crate::plan::{Slot, Source, Value};
use crate::proof::Proof;
use crate::quotient::expected_quotient;
use crate::transcript::Transcript;
use crate::work::{Work, amount};

/// The equation that a proof comes down to.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// Points of the proof and of the instance, with their scalars.
    pub(crate) terms: Vec<(Fp, EqAffine)>,
    /// Scalars of the key's fixed commitments, then of its permutation commitments.
    pub(crate) key_scalars: Vec<Fp>,
    /// Scalar of the first generator.
    pub(crate) g0: Fp,
    /// Scalar of w.
    pub(crate) w: Fp,
    /// Scalar of u.
    pub(crate) u: Fp,
    /// The scalar c of the right side.
    pub(crate) c: Fp,
    /// The challenges u_1 to u_k.
    pub(crate) challenges: Vec<Fp>,
    /// A digest of the key, the instance and the whole proof.
    pub(crate) seal: [u8; 64],
}

impl Opening {
    /// Reads the rest of the proof and forms the equation.
    pub(crate) fn read(
        key: &CircuitKey,
        proof: &Proof,
        transcript: &mut Transcript<'_>,
        work: &mut Work,
    ) -> Result<Self, VerifyError> {
        let x1 = transcript.challenge(work);
        let x2 = transcript.challenge(work);
        let mut folded = FoldedSets::new(key, proof, x1, work)?;
        let f = transcript.read_point(work)?;
        let x3 = transcript.challenge(work);
        let set_evals = (0..key.plan().sets.len())
            .map(|_| transcript.read_scalar(work))
            .collect::<Result<Vec<_>, _>>()?;
        let f_eval = folded.expected_f(key, proof.challenges.x, x2, x3, &set_evals, work)?;
        let x4 = transcript.challenge(work);
        // f has the highest power of x_4, the last set the lowest.
        let mut value = f_eval;
        for eval in &set_evals {
            value = value * x4 + eval;
        }
        let mut power = Fp::one();
        let mut powers = Vec::with_capacity(set_evals.len());
        for _ in &set_evals {
            powers.push(power);
            power *= x4;
        }
        powers.reverse();
        folded.scale_sets(&powers)?;
        work.field_muls +=
            amount(2 * set_evals.len() + folded.terms.len() + folded.key_terms.len());
        let mut opening = Self {
            terms: folded
                .terms
                .into_iter()
                .map(|(_, scalar, point)| (scalar, point))
                .collect(),
            key_scalars: folded
                .key_terms
                .into_iter()
                .map(|(_, scalar)| scalar)
                .collect(),
            g0: -value,
            w: Fp::zero(),
            u: Fp::zero(),
            c: Fp::zero(),
            challenges: Vec::new(),
            seal: [0; 64],
        };
        opening.terms.push((power, f));
        opening.inner_product(key.k(), x3, transcript, work)?;
        Ok(opening)
    }

    /// The inner product argument: the commitment opens to `-g0` at x_3.
    fn inner_product(
        &mut self,
        k: u32,
        x3: Fp,
        transcript: &mut Transcript<'_>,
        work: &mut Work,
    ) -> Result<(), VerifyError> {
        let s = transcript.read_point(work)?;
        let xi = transcript.challenge(work);
        self.terms.push((xi, s));
        let z = transcript.challenge(work);
        let mut rounds = Vec::new();
        for _ in 0..k {
            let left = transcript.read_point(work)?;
            let right = transcript.read_point(work)?;
            rounds.push((left, right));
            self.challenges.push(transcript.challenge(work));
        }
        let c = transcript.read_scalar(work)?;
        let f = transcript.read_scalar(work)?;
        let mut inverses = self.challenges.clone();
        invert_each(&mut inverses, work)?;
        for (((left, right), challenge), inverse) in
            rounds.into_iter().zip(&self.challenges).zip(inverses)
        {
            self.terms.push((inverse, left));
            self.terms.push((*challenge, right));
        }
        // b = Π (1 + u_j x_3^(2^(k-1-j)))
        let (mut b, mut power) = (Fp::one(), x3);
        for challenge in self.challenges.iter().rev() {
            b *= Fp::one() + *challenge * power;
            power = power.square();
        }
        self.u = -(c * b * z);
        self.w = -f;
        self.c = c;
        self.seal = transcript.challenge_bytes(work);
        work.field_muls += 6 * u64::from(k) + 2;
        Ok(())
    }
}

/// The commitments and evaluations of each set of points, folded with powers of x_1.
struct FoldedSets {
    /// Set, scalar and point of everything that is not in the key.
    terms: Vec<(usize, Fp, EqAffine)>,
    /// Set and scalar of the key's commitments.
    key_terms: Vec<(usize, Fp)>,
    /// For each set the evaluation at each of its points.
    evals: Vec<Vec<Fp>>,
    /// For each set the next power of x_1.
    powers: Vec<Fp>,
}

impl FoldedSets {
    /// Folds from the last commitment to the first, as halo2 does.
    fn new(key: &CircuitKey, proof: &Proof, x1: Fp, work: &mut Work) -> Result<Self, VerifyError> {
        let plan = key.plan();
        let (quotient_eval, xn) = expected_quotient(key, proof, work)?;
        let mut folded = Self {
            terms: Vec::new(),
            key_terms: vec![
                (0, Fp::zero());
                key.cs().columns(crate::cs::ColumnKind::Fixed)
                    + key.cs().permutation.len()
            ],
            evals: plan
                .sets
                .iter()
                .map(|set| vec![Fp::zero(); set.len()])
                .collect(),
            powers: vec![Fp::one(); plan.sets.len()],
        };
        for slot in plan.shared.iter().rev() {
            folded.push_shared(key, proof, slot, quotient_eval, xn, x1)?;
        }
        for (commitments, evaluations) in proof.commitments.iter().zip(&proof.evaluations).rev() {
            for slot in plan.own.iter().rev() {
                let power = folded.fold_evals(slot, x1, |value| evaluations.get(value))?;
                let point = commitments
                    .get(slot.source)
                    .ok_or(VerifyError::InconsistentKey)?;
                folded.terms.push((slot.set, power, point));
            }
        }
        let values = |slots: &[Slot]| {
            slots
                .iter()
                .map(|slot| slot.values.len() + 1)
                .sum::<usize>()
        };
        work.field_muls += amount(
            values(&plan.shared)
                + proof.commitments.len() * values(&plan.own)
                + proof.quotient.len(),
        );
        Ok(folded)
    }

    /// Adds the evaluations of a slot to its set, and returns the power of x_1 that it has.
    fn fold_evals(
        &mut self,
        slot: &Slot,
        x1: Fp,
        get: impl Fn(Value) -> Option<Fp>,
    ) -> Result<Fp, VerifyError> {
        let (Some(sums), Some(next)) =
            (self.evals.get_mut(slot.set), self.powers.get_mut(slot.set))
        else {
            return Err(VerifyError::InconsistentKey);
        };
        let power = *next;
        for (sum, &value) in sums.iter_mut().zip(&slot.values) {
            *sum += power * get(value).ok_or(VerifyError::InconsistentKey)?;
        }
        *next *= x1;
        Ok(power)
    }

    fn push_shared(
        &mut self,
        key: &CircuitKey,
        proof: &Proof,
        slot: &Slot,
        quotient_eval: Fp,
        xn: Fp,
        x1: Fp,
    ) -> Result<(), VerifyError> {
        let shared = &proof.shared;
        let mut power = self.fold_evals(slot, x1, |value| match value {
            Value::Fixed(query) => shared.fixed.get(query).copied(),
            Value::Permutation(column) => shared.permutation.get(column).copied(),
            Value::Quotient => Some(quotient_eval),
            Value::Random => Some(shared.random),
            _ => None,
        })?;
        let key_term = match slot.source {
            Source::Fixed(column) => column,
            Source::Permutation(column) => key.fixed_commitments().len() + column,
            Source::Random => {
                self.terms.push((slot.set, power, proof.random));
                return Ok(());
            }
            Source::Quotient => {
                // The quotient is committed in pieces of n coefficients.
                for &piece in &proof.quotient {
                    self.terms.push((slot.set, power, piece));
                    power *= xn;
                }
                return Ok(());
            }
            _ => return Err(VerifyError::InconsistentKey),
        };
        let term = self
            .key_terms
            .get_mut(key_term)
            .ok_or(VerifyError::InconsistentKey)?;
        *term = (slot.set, power);
        Ok(())
    }

    /// What f must be at x_3: for each set the difference between the claimed evaluation and that of the polynomial
    /// through the set's points, divided by the polynomial that vanishes on them, folded with x_2.
    fn expected_f(
        &self,
        key: &CircuitKey,
        x: Fp,
        x2: Fp,
        x3: Fp,
        set_evals: &[Fp],
        work: &mut Work,
    ) -> Result<Fp, VerifyError> {
        let plan = key.plan();
        let points = opening_points(key, x, work)?;
        let mut denominators = Vec::new();
        for set in &plan.sets {
            for &i in set {
                let at = |i: usize| points.get(i).copied().ok_or(VerifyError::InconsistentKey);
                let point = at(i)?;
                let distance = x3 - point;
                let mut weight = Fp::one();
                for &j in set {
                    if i != j {
                        weight *= point - at(j)?;
                    }
                }
                denominators.push(weight * distance);
                denominators.push(distance);
            }
        }
        invert_each(&mut denominators, work)?;
        work.field_muls += plan.interpolation_muls();
        let mut inverses = denominators.chunks_exact(2);
        let mut f_eval = Fp::zero();
        for (evals, set_eval) in self.evals.iter().zip(set_evals) {
            // The interpolated value over the vanishing polynomial is Σ eval / ((x_3 - p) Π (p - p')).
            let (mut sum, mut vanishing) = (Fp::zero(), Fp::one());
            for eval in evals {
                let Some([weighted, distance]) = inverses.next() else {
                    return Err(VerifyError::InconsistentKey);
                };
                sum += *eval * weighted;
                vanishing *= distance;
            }
            f_eval = f_eval * x2 + (*set_eval * vanishing - sum);
        }
        Ok(f_eval)
    }

    /// Multiplies all terms of each set with the set's factor.
    fn scale_sets(&mut self, factors: &[Fp]) -> Result<(), VerifyError> {
        let factor = |set: usize| factors.get(set).ok_or(VerifyError::InconsistentKey);
        for (set, scalar, _) in &mut self.terms {
            *scalar *= factor(*set)?;
        }
        for (set, scalar) in &mut self.key_terms {
            *scalar *= factor(*set)?;
        }
        Ok(())
    }
}

/// The points at which commitments are opened, in the plan's order.
fn opening_points(key: &CircuitKey, x: Fp, work: &mut Work) -> Result<Vec<Fp>, VerifyError> {
    let omega = key.omega();
    let inverse = omega.invert_vartime().ok_or(VerifyError::InconsistentKey)?;
    // Distinct powers of omega times x are distinct unless x is zero.
    if x.is_zero_vartime() {
        return Err(VerifyError::DegenerateChallenge);
    }
    work.field_inversions += 1;
    work.field_muls +=
        amount(key.plan().rotations.len()).saturating_mul(2 * u64::from(key.k()) + 1);
    Ok(key
        .plan()
        .rotations
        .iter()
        .map(|&rotation| {
            let base = if rotation < 0 { inverse } else { omega };
            x * base.pow_vartime([u64::from(rotation.unsigned_abs())])
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Proved, Setup, Spec};
    use crate::{Params, VerifyError};

    fn setup() -> (Setup, Proved, Params) {
        let setup = Setup::new(Spec::random(400, 5));
        let proved = setup.prove(1);
        (setup, proved, Params::derive(5).unwrap())
    }

    /// An honest proof up to its opening.
    fn read(setup: &Setup, proved: &Proved, params: &Params) -> Proof {
        let work = &mut Work::default();
        let instance = proved.instances.iter().map(|columns| {
            let rows = params.lagrange(setup.spec.k).unwrap();
            let commit =
                |column: &Vec<Fp>| crate::verify::commit_instance(column, rows, params, work);
            columns.iter().map(commit).collect()
        });
        let instance = instance.collect();
        Proof::read(
            &setup.key,
            instance,
            &mut Transcript::new(&proved.proof, params.roots()),
            &mut Work::default(),
        )
        .unwrap()
    }

    /// Challenges are hashes, so no proof leads to these; the functions are handed them.
    #[test]
    fn rejects_challenges_that_the_protocol_excludes() {
        let (setup, proved, params) = setup();
        let key = &setup.key;
        let work = &mut Work::default();
        let honest = read(&setup, &proved, &params);
        assert!(FoldedSets::new(key, &honest, Fp::one(), work).is_ok());
        // A row of the domain, where the vanishing polynomial is zero.
        for row in [0u64, 1, 31] {
            let mut proof = read(&setup, &proved, &params);
            proof.challenges.x = key.omega().pow_vartime([row]);
            let error = FoldedSets::new(key, &proof, Fp::one(), work).err();
            assert_eq!(error, Some(VerifyError::DegenerateChallenge));
        }
        // Zero, where all points fall together.
        assert_eq!(
            opening_points(key, Fp::zero(), work),
            Err(VerifyError::DegenerateChallenge)
        );
        // x_3 on one of the points.
        let folded = FoldedSets::new(key, &honest, Fp::one(), work).unwrap();
        let evals = vec![Fp::one(); key.plan().sets.len()];
        let x = honest.challenges.x;
        for x3 in [x, x * key.omega()] {
            assert_eq!(
                folded.expected_f(key, x, Fp::one(), x3, &evals, work),
                Err(VerifyError::DegenerateChallenge)
            );
        }
        assert!(
            folded
                .expected_f(key, x, Fp::one(), x + x, &evals, work)
                .is_ok()
        );
    }

    /// A challenge of zero has no inverse. Hashes do not lead there, so the proof is read by a transcript of its own.
    #[test]
    fn rejects_zero_among_the_challenges_of_the_rounds() {
        let (setup, proved, params) = setup();
        let mut transcript = Transcript::new(&proved.proof, params.roots());
        let work = &mut Work::default();
        let rows = params.lagrange(setup.spec.k).unwrap();
        let instance = proved.instances.iter().map(|columns| {
            let commit =
                |column: &Vec<Fp>| crate::verify::commit_instance(column, rows, &params, work);
            columns.iter().map(commit).collect()
        });
        let instance = instance.collect();
        let proof = Proof::read(&setup.key, instance, &mut transcript, work).unwrap();
        let mut opening = Opening::read(&setup.key, &proof, &mut transcript, work).unwrap();
        let invert = |mut challenges: Vec<Fp>| invert_each(&mut challenges, &mut Work::default());
        assert_eq!(invert(opening.challenges.clone()), Ok(()));
        let last = opening.challenges.len() - 1;
        opening.challenges[last] = Fp::zero();
        let refused = invert(opening.challenges);
        assert_eq!(refused, Err(VerifyError::DegenerateChallenge));
    }

    #[test]
    fn rejects_parts_that_do_not_fit_the_key() {
        let (setup, proved, params) = setup();
        let work = &mut Work::default();
        let spoil: [fn(&mut Proof); 4] = [
            |proof| proof.evaluations[0].advice.clear(),
            |proof| proof.shared.fixed.clear(),
            |proof| proof.shared.permutation.clear(),
            |proof| proof.commitments[0].advice.clear(),
        ];
        for spoil in spoil {
            let mut proof = read(&setup, &proved, &params);
            spoil(&mut proof);
            let error = FoldedSets::new(&setup.key, &proof, Fp::one(), work).err();
            assert_eq!(error, Some(VerifyError::InconsistentKey));
        }
    }

    #[test]
    fn rejects_a_proof_that_ends_before_it_is_read() {
        let work = &mut Work::default();
        let roots = crate::decompress::Roots::new();
        let mut transcript = Transcript::new(&[1; 31], &roots);
        let truncated = VerifyError::ProofTruncated { offset: 0 };
        assert_eq!(transcript.read_point(work), Err(truncated));
        assert_eq!(transcript.read_scalar(work), Err(truncated));
    }
}
