//! The inner product argument that opens one commitment at one point.
//!
//! The argument halves the vectors round by round, and its definition folds the generators as well, which costs a
//! scalar multiplication for each of them in total. Here the first rounds do not fold: a folded generator is a known
//! combination of the original ones, so the round's commitments are multi-scalar multiplications over the original,
//! tabulated generators. Then all generators are folded at once, which shares the recoding of the few weights and all
//! inversions, and the remaining rounds, again without folding, run over the few that are left.

use ff::Field;
use pasta_curves::arithmetic::VartimeField;
use pasta_curves::{Eq, EqAffine, Fp};
use rand_core::Rng;

use super::run::{Polynomial, affine};
use super::transcript::Transcript;
use super::{ProveError, single};
use crate::arith::inner_product;
use crate::msm::{Point, Term, Values, msm_points};
use crate::params::Params;
use crate::secret::Secret;

/// Opens `polynomial` at the point whose powers are `powers`. `blinding` is a random polynomial and `commitment` the
/// commitment to it.
pub(super) fn open(
    params: &Params,
    polynomial: Polynomial,
    mut blinding: Polynomial,
    commitment: EqAffine,
    powers: Vec<Fp>,
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    // Made to vanish at the point, by its constant coefficient.
    let excess = inner_product(&blinding.coefficients, &powers);
    blinding.coefficients[0] -= excess;
    let correction = params.monomial().msm(&[single(0, &-excess)]);
    transcript.points(&affine(&[correction + commitment]))?;
    let (xi, z) = (transcript.challenge(), transcript.challenge());
    let mut p = Secret(std::mem::take(&mut blinding.coefficients));
    p.iter_mut()
        .zip(&polynomial.coefficients)
        .for_each(|(s, p)| *s = *s * xi + p);
    let value = inner_product(&p, &powers);
    p[0] -= value;
    let blind = blinding.blind * xi + polynomial.blind;
    rounds(params, p, powers, blind, z, rng, transcript)
}

/// Rounds over the tabulated generators, before they are folded all at once. A round without a table over a sixteenth
/// of the generators costs a fraction of one with a table over all of them.
const FOLD_ROUNDS: usize = 4;

/// With fewer rows than this the generators are never folded.
const FOLD_ROWS: usize = 256;

/// The generators that are left after some rounds.
struct Generators<'a> {
    params: &'a Params,
    /// The generators after [`FOLD_ROUNDS`] rounds, once they are folded.
    folded: Option<Vec<Point>>,
    /// The current generator `i` is `Σ_j weights[j]·G[i + j·len]` with `G` what is held and `len` the current length.
    weights: Vec<Fp>,
    rounds: usize,
}

impl Generators<'_> {
    /// The scalars of the generators that are held, such that the lower (`side` 0) or upper half of the current ones
    /// gets `values`.
    fn spread(&self, values: &[Fp], side: usize) -> Vec<Fp> {
        let half = values.len();
        let mut scalars = vec![Fp::ZERO; 2 * half * self.weights.len()];
        for (block, weight) in scalars.chunks_exact_mut(2 * half).zip(&self.weights) {
            let block = block[side * half..].iter_mut();
            block
                .zip(values)
                .for_each(|(scalar, value)| *scalar = *weight * value);
        }
        scalars
    }

    fn commit(&self, scalars: &[Fp], [u, w]: [&Fp; 2]) -> Eq {
        let bases = self.params.monomial();
        let [u, w] = [
            single(self.params.u_index(), u),
            single(self.params.w_index(), w),
        ];
        match &self.folded {
            None => bases.msm(&[
                Term {
                    first: 0,
                    values: Values::Full(scalars),
                },
                u,
                w,
            ]),
            Some(points) => msm_points(points, scalars) + bases.msm(&[u, w]),
        }
    }

    /// Replaces each lower generator by itself plus `u` times its upper one.
    fn fold(&mut self, u: Fp, len: usize) {
        self.weights = self
            .weights
            .iter()
            .flat_map(|weight| [*weight, *weight * u])
            .collect();
        self.rounds += 1;
        if self.rounds == FOLD_ROUNDS && len << self.rounds >= FOLD_ROWS {
            self.folded = Some(self.params.monomial().fold(&self.weights, len));
            self.weights = vec![Fp::ONE];
        }
    }
}

fn rounds(
    params: &Params,
    mut p: Secret,
    mut b: Vec<Fp>,
    mut blind: Fp,
    z: Fp,
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    let mut generators = Generators {
        params,
        folded: None,
        weights: vec![Fp::ONE],
        rounds: 0,
    };
    while p.len() > 1 {
        let half = p.len() / 2;
        let (p_low, p_high) = p.split_at(half);
        let (b_low, b_high) = b.split_at(half);
        let [left, right] = [
            inner_product(p_high, b_low) * z,
            inner_product(p_low, b_high) * z,
        ];
        let random = [Fp::random(&mut *rng), Fp::random(&mut *rng)];
        let (left, right) = rayon::join(
            || generators.commit(&generators.spread(p_high, 0), [&left, &random[0]]),
            || generators.commit(&generators.spread(p_low, 1), [&right, &random[1]]),
        );
        transcript.points(&affine(&[left, right]))?;

        let u = transcript.challenge();
        let u_inverse = u.invert_vartime().ok_or(ProveError::Degenerate)?;
        for i in 0..half {
            p[i] = p[i] + p[i + half] * u_inverse;
            b[i] = b[i] + b[i + half] * u;
        }
        p.truncate(half);
        b.truncate(half);
        generators.fold(u, half);
        blind += random[0] * u_inverse + random[1] * u;
    }
    transcript.scalars(&[p[0], blind])
}
