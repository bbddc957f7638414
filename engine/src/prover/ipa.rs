//! The inner product argument that opens one commitment at one point.
//!
//! The argument halves the vectors round by round, and its definition folds the generators as well, which costs a
//! scalar multiplication for each of them. Here they are not folded: a folded generator is a known combination of the
//! original ones, so each round's commitments are computed as multi-scalar multiplications over the original, tabulated
//! generators.

use ff::Field;
use pasta_curves::arithmetic::VartimeField;
use pasta_curves::{EqAffine, Fp};
use rand_core::Rng;

use super::run::{Polynomial, commit};
use super::transcript::Transcript;
use super::{ProveError, single};
use crate::arith::inner_product;
use crate::msm::{Term, Values};
use crate::params::Params;

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
    transcript.points(&[crate::params::affine(&(correction + commitment))])?;
    let (xi, z) = (transcript.challenge(), transcript.challenge());
    let mut p = blinding.coefficients;
    p.iter_mut().zip(&polynomial.coefficients).for_each(|(s, p)| *s = *s * xi + p);
    let value = inner_product(&p, &powers);
    p[0] -= value;
    let blind = blinding.blind * xi + polynomial.blind;
    rounds(params, p, powers, blind, z, rng, transcript)
}

fn rounds(
    params: &Params,
    mut p: Vec<Fp>,
    mut b: Vec<Fp>,
    mut blind: Fp,
    z: Fp,
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    let n = p.len();
    // The folded generator i is Σ_j weights[j]·G[i + j·len], with `len` the current length.
    let mut weights = vec![Fp::ONE];
    while p.len() > 1 {
        let half = p.len() / 2;
        let (p_low, p_high) = p.split_at(half);
        let (b_low, b_high) = b.split_at(half);
        let (mut left, mut right) = (vec![Fp::ZERO; n], vec![Fp::ZERO; n]);
        let blocks = left.chunks_exact_mut(2 * half).zip(right.chunks_exact_mut(2 * half));
        for ((left, right), weight) in blocks.zip(&weights) {
            left[..half].iter_mut().zip(p_high).for_each(|(l, p)| *l = *weight * p);
            right[half..].iter_mut().zip(p_low).for_each(|(r, p)| *r = *weight * p);
        }
        let values = [inner_product(p_high, b_low) * z, inner_product(p_low, b_high) * z];
        let random = [Fp::random(&mut *rng), Fp::random(&mut *rng)];
        let job = |side: usize, scalars| {
            let scalars = Term { first: 0, values: Values::Full(scalars) };
            vec![scalars, single(params.u_index(), &values[side]), single(params.w_index(), &random[side])]
        };
        transcript.points(&commit(params.monomial(), &[job(0, &left), job(1, &right)]))?;

        let u = transcript.challenge();
        let u_inverse = u.invert_vartime().ok_or(ProveError::Degenerate)?;
        for i in 0..half {
            p[i] = p[i] + p[i + half] * u_inverse;
            b[i] = b[i] + b[i + half] * u;
        }
        p.truncate(half);
        b.truncate(half);
        weights = weights.iter().flat_map(|weight| [*weight, *weight * u]).collect();
        blind += random[0] * u_inverse + random[1] * u;
    }
    transcript.scalars(&[p[0], blind])
}
