//! The quotient of all constraints by `X^n − 1`.
//!
//! Coset by coset: the polynomials that constraints read there are evaluated, the programs run, and the values are
//! forgotten. A class of constraints that needs `c` cosets takes part in the first `c` only; its quotient is recovered
//! from them, and the quotients of all classes are added.

use std::collections::{BTreeMap, BTreeSet};

use ff::Field;
use pasta_curves::Fp;
use zkonnx_verifier::cs::ColumnKind;

use super::run::Run;
use crate::constraints::Class;
use crate::key::ProvingKey;
use crate::program::{Poly, Program};

/// The polynomials on a coset that all circuits of a proof share.
struct Common {
    first: Vec<Fp>,
    last: Vec<Fp>,
    active: Vec<Fp>,
    identity: Vec<Fp>,
}

impl Common {
    fn new(key: &ProvingKey, coset: usize) -> Self {
        let (n, usable) = (key.shape.n, key.shape.usable_rows());
        let first = key.domain.first_lagrange(coset);
        // The Lagrange polynomial of row r is that of row 0, rotated.
        let row = |r: usize, i: usize| first[(i + n - r) % n];
        let last: Vec<Fp> = (0..n).map(|i| row(usable, i)).collect();
        let active = (0..n)
            .map(|i| (usable..n).fold(Fp::ONE, |sum, r| sum - row(r, i)))
            .collect();
        Self {
            last,
            active,
            identity: key.domain.points(coset),
            first,
        }
    }
}

/// The pieces of the quotient, of `n` coefficients each. `circuit_weight` separates the circuits of the proof. In the
/// `lean` way each program has only its own witness polynomials in memory, and shared ones are evaluated again.
pub(super) fn quotient(
    key: &ProvingKey,
    runs: &[Run],
    classes: &[Class],
    circuit_weight: Fp,
    lean: bool,
) -> Vec<Vec<Fp>> {
    use rayon::prelude::*;
    let n = key.shape.n;
    // For each number of cosets, the values of the quotient on them.
    let mut values: BTreeMap<usize, Vec<Vec<Fp>>> = classes
        .iter()
        .map(|class| (class.cosets, Vec::new()))
        .collect();
    for coset in 0..key.shape.pieces() {
        let active: Vec<&Class> = classes
            .iter()
            .filter(|class| class.cosets > coset)
            .collect();
        for (cosets, sum) in on_coset(key, runs, &active, circuit_weight, coset, lean) {
            values.entry(cosets).or_default().push(sum);
        }
    }
    let mut pieces = vec![vec![Fp::ZERO; n]; key.shape.pieces()];
    for mut remainders in values.into_values() {
        remainders
            .par_iter_mut()
            .enumerate()
            .for_each(|(coset, values)| key.domain.interpolate_coset(values, coset));
        for (piece, part) in pieces.iter_mut().zip(key.domain.split(&remainders)) {
            piece
                .iter_mut()
                .zip(part)
                .for_each(|(sum, value)| *sum += value);
        }
    }
    pieces
}

/// The values of the quotients on a coset, by the number of cosets that determine them.
fn on_coset(
    key: &ProvingKey,
    runs: &[Run],
    active: &[&Class],
    circuit_weight: Fp,
    coset: usize,
    lean: bool,
) -> BTreeMap<usize, Vec<Fp>> {
    let n = key.shape.n;
    let common = Common::new(key, coset);
    let mut sums: BTreeMap<usize, Vec<Fp>> = active
        .iter()
        .map(|class| (class.cosets, vec![Fp::ZERO; n]))
        .collect();
    // Programs of a group share the witness polynomials on the coset.
    let group = if lean { 1 } else { active.len().max(1) };
    for run in runs {
        for sum in sums.values_mut() {
            sum.iter_mut().for_each(|sum| *sum *= circuit_weight);
        }
        for group in active.chunks(group) {
            let witness = evaluate(key, run, group.iter().map(|class| &class.program), coset);
            for Class { cosets, program } in group {
                let slots = program.slots().iter();
                let columns: Vec<&[Fp]> = slots
                    .map(|slot| column(key, &witness, &common, slot.poly, coset))
                    .collect();
                let mut out = vec![Fp::ZERO; n];
                program.run(&columns, &mut out);
                let sum = sums.entry(*cosets).or_default();
                sum.iter_mut().zip(out).for_each(|(sum, out)| *sum += out);
            }
        }
    }
    let inverse = key.domain.vanishing_inverse(coset);
    for sum in sums.values_mut() {
        sum.iter_mut().for_each(|value| *value *= inverse);
    }
    sums
}

/// The witness polynomials that `programs` read, on a coset.
fn evaluate<'a>(
    key: &ProvingKey,
    run: &Run,
    programs: impl Iterator<Item = &'a Program>,
    coset: usize,
) -> BTreeMap<Poly, Vec<Fp>> {
    use rayon::prelude::*;
    let polys: BTreeSet<Poly> = programs
        .flat_map(|program| program.slots())
        .map(|slot| slot.poly)
        .collect();
    polys
        .into_par_iter()
        .filter_map(|poly| {
            run.get(poly)
                .map(|p| (poly, key.domain.evaluate(&p.coefficients, coset)))
        })
        .collect()
}

fn column<'a>(
    key: &'a ProvingKey,
    witness: &'a BTreeMap<Poly, Vec<Fp>>,
    common: &'a Common,
    poly: Poly,
    coset: usize,
) -> &'a [Fp] {
    match poly {
        Poly::First => &common.first,
        Poly::Last => &common.last,
        Poly::Active => &common.active,
        Poly::Identity => &common.identity,
        Poly::Column(ColumnKind::Fixed, index) => &key.fixed[index as usize].cosets[coset],
        Poly::Sigma(position) => &key.sigma[position as usize][coset],
        _ => witness.get(&poly).map_or(&[], Vec::as_slice),
    }
}
