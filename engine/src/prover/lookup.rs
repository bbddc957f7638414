//! The lookup arguments: sorted inputs, aligned tables, running products.

use ff::Field;
use pasta_curves::Fp;
use pasta_curves::arithmetic::VartimeBatchInvert;
use rand_core::Rng;
use zkonnx_verifier::cs::Expression;

use super::permutation::running_product;
use super::run::{LookupPolynomials, Polynomial, Run, Work};
use super::transcript::Transcript;
use super::{ProveError, draw};
use crate::constraints::compile_compression;
use crate::key::ProvingKey;
use crate::msm::limbs;
use crate::program::{Poly, Program};
use crate::secret::wipe_with;

/// Compresses, sorts, blinds and commits to the inputs and tables of all lookups.
pub(super) fn commit_permuted(
    work: Work<'_>,
    runs: &mut [Run],
    theta: Fp,
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    use rayon::prelude::*;
    let Work { params, key, .. } = work;
    let cs = key.circuit.cs();
    let hidden = key.shape.blinding_factors + 1;
    for (circuit, run) in runs.iter_mut().enumerate() {
        // Drawn in order before the work is spread.
        let random: Vec<[Vec<Fp>; 3]> = cs
            .lookups
            .iter()
            .map(|_| [draw(rng, hidden), draw(rng, hidden), draw(rng, 2)])
            .collect();
        let lookups: Result<Vec<LookupPolynomials>, ProveError> = cs
            .lookups
            .par_iter()
            .zip(random)
            .enumerate()
            .map(|(lookup, (argument, [input_tail, table_tail, blinds]))| {
                let input = compress(key, run, &argument.inputs, theta);
                let table = compress(key, run, &argument.tables, theta);
                let (mut sorted, mut aligned) = align(&input, &table, key.shape.usable_rows())
                    .ok_or(ProveError::NotInTable { circuit, lookup })?;
                sorted.extend(input_tail);
                aligned.extend(table_tail);
                Ok(LookupPolynomials {
                    input,
                    table,
                    permuted_input: Polynomial::new(key, sorted, blinds[0]),
                    permuted_table: Polynomial::new(key, aligned, blinds[1]),
                    product: Polynomial::default(),
                })
            })
            .collect();
        run.lookups = lookups?;
    }
    let lookups = runs.iter().flat_map(|run| &run.lookups);
    let permuted = lookups.flat_map(|lookup| [&lookup.permuted_input, &lookup.permuted_table]);
    let jobs: Vec<_> = permuted
        .map(|polynomial| polynomial.value_terms(params))
        .collect();
    transcript.points(&work.commit(params.lagrange(), &jobs))
}

/// The compressed expressions on all rows.
fn compress(key: &ProvingKey, run: &Run, expressions: &[Expression], theta: Fp) -> Vec<Fp> {
    let program: Program = compile_compression(key.circuit.cs(), expressions, theta);
    let columns: Vec<&[Fp]> = program
        .slots()
        .iter()
        .map(|slot| match slot.poly {
            Poly::Column(kind, index) => run.column(key, kind, index),
            _ => &[],
        })
        .collect();
    let mut out = vec![Fp::ZERO; key.shape.n];
    program.run(&columns, &mut out);
    out
}

/// The inputs in increasing order, and the table in an order such that each first one of equal inputs stands next to
/// its table entry; the other entries fill the remaining rows from the last to the first. `None` if an input is not in
/// the table.
fn align(input: &[Fp], table: &[Fp], usable: usize) -> Option<(Vec<Fp>, Vec<Fp>)> {
    let (mut inputs, tables) = (sorted(&input[..usable]), sorted(&table[..usable]));
    let mut aligned = vec![None; usable];
    let mut repeated = Vec::with_capacity(usable);
    let mut leftover = Vec::with_capacity(usable);
    let mut next = 0;
    for (row, (value, index)) in inputs.iter().enumerate() {
        if row > 0 && inputs[row - 1].0 == *value {
            repeated.push(row);
            continue;
        }
        while next < tables.len() && tables[next].0 < *value {
            leftover.push(tables[next].1);
            next += 1;
        }
        if tables.get(next).is_none_or(|(entry, _)| entry != value) {
            return None;
        }
        aligned[row] = Some(input[*index as usize]);
        next += 1;
    }
    leftover.extend(tables[next..].iter().map(|(_, index)| *index));
    for (row, index) in repeated.into_iter().rev().zip(leftover) {
        aligned[row] = Some(table[index as usize]);
    }
    let sorted_input = inputs
        .iter()
        .map(|(_, index)| input[*index as usize])
        .collect();
    wipe_with(&mut inputs, ([0; 4], 0));
    Some((
        sorted_input,
        aligned.into_iter().map(Option::unwrap_or_default).collect(),
    ))
}

/// The values with their rows, in increasing order.
fn sorted(values: &[Fp]) -> Vec<([u64; 4], u32)> {
    let mut keyed: Vec<([u64; 4], u32)> = values
        .iter()
        .enumerate()
        .map(|(row, value)| {
            let [a, b, c, d] = limbs(value);
            ([d, c, b, a], row as u32)
        })
        .collect();
    keyed.sort_unstable();
    keyed
}

/// Computes the running product of each lookup and blinds it.
///
/// It steps by `(a + β)·(s + γ) / ((a' + β)·(s' + γ))`.
pub(super) fn products(
    key: &ProvingKey,
    runs: &mut [Run],
    beta: Fp,
    gamma: Fp,
    rng: &mut impl Rng,
) {
    use rayon::prelude::*;
    let shape = &key.shape;
    for run in runs {
        let random: Vec<(Vec<Fp>, Fp)> = run
            .lookups
            .iter()
            .map(|_| (draw(rng, shape.blinding_factors), Fp::random(&mut *rng)))
            .collect();
        run.lookups
            .par_iter_mut()
            .zip(random)
            .for_each(|(lookup, (tail, blind))| {
                let denominators = lookup
                    .permuted_input
                    .values
                    .iter()
                    .zip(&lookup.permuted_table.values);
                let mut steps: Vec<Fp> = denominators
                    .map(|(a, s)| (beta + a) * (gamma + s))
                    .collect();
                steps.iter_mut().batch_invert_vartime();
                for (step, (a, s)) in steps.iter_mut().zip(lookup.input.iter().zip(&lookup.table)) {
                    *step *= (*a + beta) * (*s + gamma);
                }
                let mut values = running_product(Fp::ONE, &steps[..shape.usable_rows()]);
                values.extend(tail);
                lookup.product = Polynomial::new(key, values, blind);
            });
    }
}
