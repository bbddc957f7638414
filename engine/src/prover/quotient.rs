//! The quotient of all constraints by `X^n − 1`.
//!
//! Coset by coset: the polynomials that constraints read there are evaluated, the programs run, and the values are
//! forgotten. A class of constraints that needs `c` cosets takes part in the first `c` only; its quotient is recovered
//! from them, and the quotients of all classes are added.
//!
//! Constraints that hold on the usable rows only are a product with a polynomial that every proof shares. The other
//! factor is known on the rows, where the running products were computed, so it is evaluated on one coset less than the
//! product needs, and extended to that coset: once for all constraints of a class together, not polynomial by polynomial.

use std::collections::{BTreeMap, BTreeSet};

use ff::{Field, PrimeField};
use pasta_curves::Fp;
use zkonnx_verifier::cs::ColumnKind;

use super::run::Run;
use crate::arith::powers;
use crate::constraints::Class;
use crate::key::ProvingKey;
use crate::program::{Poly, Program, Slot};
use crate::secret::Secret;

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

/// By number of cosets, what the active constraints amount to on the rows that are not usable.
pub(super) type Tails = BTreeMap<usize, Vec<Fp>>;

/// Evaluates the active constraints, without their common factor, on the rows where they need not vanish.
pub(super) fn tails(
    key: &ProvingKey,
    runs: &[Run],
    classes: &[Class],
    circuit_weight: Fp,
) -> Tails {
    let (n, usable) = (key.shape.n, key.shape.usable_rows());
    let omegas = powers(key.domain.omega(), n);
    let deltas = powers(Fp::DELTA, key.sigma.len());
    let value = |run: &Run, slot: &Slot, row: usize| {
        let row = (row as i64 + i64::from(slot.rotation)).rem_euclid(n as i64) as usize;
        let indicator = |own: usize| if own == row { Fp::ONE } else { Fp::ZERO };
        match slot.poly {
            Poly::First => indicator(0),
            Poly::Last => indicator(usable),
            Poly::Identity => omegas[row],
            Poly::Sigma(position) => {
                let next = key.mapping[position as usize * n + row] as usize;
                deltas[next / n] * omegas[next % n]
            }
            Poly::Column(kind, index) => {
                let values = run.column(key, kind, index);
                values.get(row).copied().unwrap_or(Fp::ZERO)
            }
            poly => run.get(poly).map_or(Fp::ZERO, |p| p.values[row]),
        }
    };
    let mut tails = Tails::new();
    for run in runs {
        tails
            .values_mut()
            .flatten()
            .for_each(|sum| *sum *= circuit_weight);
        for class in classes.iter().filter(|class| class.active) {
            let tail = tails.entry(class.cosets);
            let tail = tail.or_insert_with(|| vec![Fp::ZERO; n - usable]);
            for (sum, row) in tail.iter_mut().zip(usable..) {
                let slots = class.program.slots().iter();
                let values: Vec<Fp> = slots.map(|slot| value(run, slot, row)).collect();
                *sum += class.program.evaluate(&values);
            }
        }
    }
    tails
}

/// The pieces of the quotient, of `n` coefficients each. `circuit_weight` separates the circuits of the proof. In the
/// `lean` way each program has only its own witness polynomials in memory, and shared ones are evaluated again.
pub(super) fn quotient(
    key: &ProvingKey,
    runs: &[Run],
    classes: &[Class],
    circuit_weight: Fp,
    tails: &Tails,
    lean: bool,
) -> Vec<Vec<Fp>> {
    use rayon::prelude::*;
    let n = key.shape.n;
    // For each number of cosets, the values on them of what is divisible by X^n − 1.
    let mut values: BTreeMap<usize, Vec<Vec<Fp>>> = BTreeMap::new();
    // The same for active constraints, without their common factor.
    let mut factors: BTreeMap<usize, Vec<Vec<Fp>>> = BTreeMap::new();
    let mut active = Vec::new();
    for coset in 0..key.shape.pieces() {
        let common = Common::new(key, coset);
        let classes: Vec<&Class> = classes
            .iter()
            .filter(|class| class.cosets > coset)
            .collect();
        let sums = on_coset(key, runs, &classes, circuit_weight, &common, coset, lean);
        for ((cosets, active), sum) in sums {
            let list = if active { &mut factors } else { &mut values };
            list.entry(cosets).or_default().push(sum);
        }
        active.push(common.active);
    }
    for (cosets, factor) in factors {
        let tail = tails.get(&cosets).map_or(&[][..], Vec::as_slice);
        let products = activate(key, factor, tail, &active);
        let sums = values.entry(cosets + 1);
        let sums = sums.or_insert_with(|| vec![vec![Fp::ZERO; n]; cosets + 1]);
        for (sum, product) in sums.iter_mut().flatten().zip(products.iter().flatten()) {
            *sum += product;
        }
    }
    let mut pieces = vec![vec![Fp::ZERO; n]; key.shape.pieces()];
    for mut remainders in values.into_values() {
        remainders
            .par_iter_mut()
            .enumerate()
            .for_each(|(coset, values)| {
                let inverse = key.domain.vanishing_inverse(coset);
                values.iter_mut().for_each(|value| *value *= inverse);
                key.domain.interpolate_coset(values, coset);
            });
        for (piece, part) in pieces.iter_mut().zip(key.domain.split(&remainders)) {
            piece
                .iter_mut()
                .zip(part)
                .for_each(|(sum, value)| *sum += value);
        }
    }
    pieces
}

/// Multiplies a polynomial with the one that is one on the usable rows and zero on the others, `active`.
///
/// The polynomial is given by its values on some cosets and on the last rows, `tail`. On the usable rows it vanishes,
/// if the witness is right; together that determines it, on the one more coset that the product needs as well.
fn activate(
    key: &ProvingKey,
    mut values: Vec<Vec<Fp>>,
    tail: &[Fp],
    active: &[Vec<Fp>],
) -> Vec<Vec<Fp>> {
    use rayon::prelude::*;
    let domain = &key.domain;
    let remainders: Vec<Vec<Fp>> = values
        .par_iter()
        .enumerate()
        .map(|(coset, values)| {
            let mut remainder = values.clone();
            domain.interpolate_coset(&mut remainder, coset);
            remainder
        })
        .collect();
    let mut rows = vec![Fp::ZERO; key.shape.usable_rows()];
    rows.extend(tail);
    domain.interpolate(&mut rows);
    values.push(domain.extend(&remainders, &rows, remainders.len()));
    for (value, active) in values.iter_mut().flatten().zip(active.iter().flatten()) {
        *value *= active;
    }
    values
}

/// The values of the constraints on a coset, by the number of cosets that determine them and whether they are active.
fn on_coset(
    key: &ProvingKey,
    runs: &[Run],
    classes: &[&Class],
    circuit_weight: Fp,
    common: &Common,
    coset: usize,
    lean: bool,
) -> BTreeMap<(usize, bool), Vec<Fp>> {
    let n = key.shape.n;
    let mut sums: BTreeMap<(usize, bool), Vec<Fp>> = classes
        .iter()
        .map(|class| ((class.cosets, class.active), vec![Fp::ZERO; n]))
        .collect();
    // Programs of a group share the witness polynomials on the coset.
    let group = if lean { 1 } else { classes.len().max(1) };
    for run in runs {
        for sum in sums.values_mut() {
            sum.iter_mut().for_each(|sum| *sum *= circuit_weight);
        }
        for group in classes.chunks(group) {
            let witness = evaluate(key, run, group.iter().map(|class| &class.program), coset);
            for Class {
                cosets,
                active,
                program,
            } in group
            {
                let slots = program.slots().iter();
                let columns: Vec<&[Fp]> = slots
                    .map(|slot| column(key, &witness, common, slot.poly, coset))
                    .collect();
                let mut out = vec![Fp::ZERO; n];
                program.run(&columns, &mut out);
                let sum = sums.entry((*cosets, *active)).or_default();
                sum.iter_mut().zip(out).for_each(|(sum, out)| *sum += out);
            }
        }
    }
    sums
}

/// The witness polynomials that `programs` read, on a coset.
fn evaluate<'a>(
    key: &ProvingKey,
    run: &Run,
    programs: impl Iterator<Item = &'a Program>,
    coset: usize,
) -> BTreeMap<Poly, Secret> {
    use rayon::prelude::*;
    let polys: BTreeSet<Poly> = programs
        .flat_map(|program| program.slots())
        .map(|slot| slot.poly)
        .collect();
    polys
        .into_par_iter()
        .filter_map(|poly| {
            run.get(poly)
                .map(|p| (poly, Secret(key.domain.evaluate(&p.coefficients, coset))))
        })
        .collect()
}

fn column<'a>(
    key: &'a ProvingKey,
    witness: &'a BTreeMap<Poly, Secret>,
    common: &'a Common,
    poly: Poly,
    coset: usize,
) -> &'a [Fp] {
    match poly {
        Poly::First => &common.first,
        Poly::Last => &common.last,
        Poly::Identity => &common.identity,
        Poly::Column(ColumnKind::Fixed, index) => &key.fixed[index as usize].cosets[coset],
        Poly::Sigma(position) => &key.sigma[position as usize][coset],
        _ => witness.get(&poly).map_or(&[], |values| values.as_slice()),
    }
}
