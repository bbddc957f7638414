//! The final multiplication is the one that the stock verifier assembles.
//!
//! The stock library can capture its final sum. Its fields are private, so each of our terms is subtracted from it
//! through its public interface, after which every scalar it prints must be zero.

use alloc::format;
use alloc::vec::Vec;

use ff::Field;
use halo2_proofs::plonk::fingerprint::{ChallengeRecorder, capture_proof_fingerprint};
use halo2_proofs::transcript::Challenge255;
use pasta_curves::{EqAffine, Fp};

use crate::common::{Proved, Setup, Spec};
use crate::opening::Opening;
use crate::verify::open_circuits;
use crate::{Params, Work};

type Recorder<'a> = ChallengeRecorder<&'a [u8], EqAffine, Challenge255<EqAffine>>;

/// The nonzero field elements in a captured sum after our terms are subtracted, and the challenges.
fn residue(setup: &Setup, proved: &Proved, opening: &Opening) -> (usize, Vec<Fp>) {
    let columns: Vec<Vec<&[Fp]>> = proved
        .instances
        .iter()
        .map(|columns| columns.iter().map(Vec::as_slice).collect())
        .collect();
    let columns: Vec<&[&[Fp]]> = columns.iter().map(Vec::as_slice).collect();
    let mut recorder = Recorder::init(proved.proof.as_slice());
    let vk = setup.pk.get_vk();
    let mut sum =
        capture_proof_fingerprint(&setup.stock_params, vk, &columns, &mut recorder).unwrap();
    let key = &setup.key;
    let commitments = key
        .fixed_commitments()
        .iter()
        .chain(key.permutation_commitments());
    let key_terms = opening
        .key_scalars
        .iter()
        .copied()
        .zip(commitments.copied());
    for (scalar, point) in opening.terms.iter().copied().chain(key_terms) {
        sum.append_term(-scalar, point);
    }
    sum.add_constant_term(-opening.g0);
    sum.add_to_w_scalar(-opening.w);
    sum.add_to_u_scalar(-opening.u);
    // Our right side, c · s(u), is the stock sum's -c · s(u).
    let mut s = alloc::vec![opening.c];
    for challenge in opening.challenges.iter().rev() {
        let upper: Vec<Fp> = s.iter().map(|value| value * challenge).collect();
        s.extend(upper);
    }
    sum.add_to_g_scalars(&s);
    (nonzero_scalars(&format!("{sum:?}")), recorder.challenges)
}

/// Counts the scalars of a printed sum that are not zero: those of g, w and u, and the first of each other term.
fn nonzero_scalars(text: &str) -> usize {
    let (_, fields) = text.rsplit_once(", g_scalars: ").unwrap();
    let (generators, other) = fields.split_once(", other: ").unwrap();
    let is_zero = |digits: &str| digits.chars().take(64).all(|digit| digit == '0');
    let generators = generators
        .split("0x")
        .skip(1)
        .filter(|digits| !is_zero(digits));
    // Each entry prints as x: (scalar, y).
    let other = other
        .split(": (0x")
        .skip(1)
        .filter(|digits| !is_zero(digits));
    generators.count() + other.count()
}

#[test]
fn accepts_the_final_sum_and_the_challenges_of_the_stock_verifier() {
    let params = Params::derive(6).unwrap();
    for seed in 0..12 {
        let setup = Setup::new(Spec::random(300 + seed, 5 + seed as u32 % 2));
        let proved = setup.prove(1 + seed % 4);
        let mut opening = open_circuits(
            &setup.key,
            &params,
            &proved.instances,
            &proved.proof,
            &mut Work::default(),
        )
        .unwrap();
        let (left, challenges) = residue(&setup, &proved, &opening);
        assert_eq!(left, 0, "seed {seed}");
        assert!(challenges.ends_with(&opening.challenges));
        // The comparison sees a difference in any term.
        opening.terms[0].0 += Fp::ONE;
        opening.w += Fp::ONE;
        assert_eq!(residue(&setup, &proved, &opening).0, 2, "seed {seed}");
    }
}
