//! The running products of the permutation argument.

use ff::Field;
use pasta_curves::Fp;
use pasta_curves::arithmetic::VartimeBatchInvert;
use rand_core::Rng;

use super::draw;
use super::run::{Polynomial, Run};
use crate::constraints::{chunk_columns, chunks};
use crate::key::{ProvingKey, labels};

/// Computes the running product of each chunk of columns, for each circuit, and blinds it.
///
/// With the cell labels `δ^i·ω^j`, the product steps by `Π (v + β·label + γ) / Π (v + β·label(next cell) + γ)`.
pub(super) fn products(
    key: &ProvingKey,
    runs: &mut [Run],
    beta: Fp,
    gamma: Fp,
    rng: &mut impl Rng,
) {
    use rayon::prelude::*;
    let (cs, shape) = (key.circuit.cs(), &key.shape);
    let chunks = chunks(cs, shape) as u32;
    let mut labels = labels(&key.domain, cs.permutation.len());
    labels
        .par_iter_mut()
        .for_each(|label| *label = *label * beta + gamma);
    for run in runs {
        let steps: Vec<Vec<Fp>> = (0..chunks)
            .into_par_iter()
            .map(|chunk| chunk_steps(key, run, &labels, chunk))
            .collect();
        let mut start = Fp::ONE;
        let blinded: Vec<(Vec<Fp>, Fp)> = steps
            .into_iter()
            .map(|steps| {
                let mut values = running_product(start, &steps[..shape.usable_rows()]);
                start = values.last().copied().unwrap_or(start);
                values.extend(draw(rng, shape.blinding_factors));
                (values, Fp::random(&mut *rng))
            })
            .collect();
        run.permutation = blinded
            .into_par_iter()
            .map(|(values, blind)| Polynomial::new(key, values, blind))
            .collect();
    }
}

fn chunk_steps(key: &ProvingKey, run: &Run, labels: &[Fp], chunk: u32) -> Vec<Fp> {
    let n = key.shape.n;
    let mut steps = vec![Fp::ONE; n];
    for (position, column) in chunk_columns(key.circuit.cs(), &key.shape, chunk) {
        let values = run.column(key, column.kind, column.index);
        let next = &key.mapping[position as usize * n..][..n];
        for ((step, value), next) in steps.iter_mut().zip(values).zip(next) {
            *step *= labels[*next as usize] + value;
        }
    }
    steps.iter_mut().batch_invert_vartime();
    for (position, column) in chunk_columns(key.circuit.cs(), &key.shape, chunk) {
        let values = run.column(key, column.kind, column.index);
        let own = &labels[position as usize * n..][..n];
        for ((step, value), own) in steps.iter_mut().zip(values).zip(own) {
            *step *= *own + value;
        }
    }
    steps
}

/// `start, start·s_0, start·s_0·s_1, …`: one more value than steps.
pub(super) fn running_product(start: Fp, steps: &[Fp]) -> Vec<Fp> {
    let mut values = Vec::with_capacity(steps.len() + 16);
    let mut value = start;
    values.push(value);
    for step in steps {
        value *= step;
        values.push(value);
    }
    values
}
