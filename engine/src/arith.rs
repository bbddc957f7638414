//! Vector arithmetic over the scalar field.
//!
//! Sums of products are accumulated at double width and reduced once: the result is the same field element, at about
//! three fifths of the cost of reducing every product.

use ff::Field;
use pasta_curves::Fp;
use pasta_curves::deferred::DeferredField;

/// An unreduced sum of products.
pub(crate) type Wide = <Fp as DeferredField>::Accumulator;

/// `Σ a_i·b_i`, over the shorter of the two lengths.
pub(crate) fn inner_product(a: &[Fp], b: &[Fp]) -> Fp {
    let mut wide = Wide::default();
    for (a, b) in a.iter().zip(b) {
        Fp::mul_accumulate(&mut wide, a, b);
    }
    Fp::reduce(wide)
}

/// `1, x, x², …`, `len` powers.
pub(crate) fn powers(x: Fp, len: usize) -> Vec<Fp> {
    // Four interleaved chains, because one multiplication waits for the one before it.
    let mut out = Vec::with_capacity(len + 3);
    let mut lane = [Fp::ONE, x, x.square(), x.square() * x];
    let step = lane[3] * x;
    while out.len() < len {
        out.extend_from_slice(&lane);
        for value in &mut lane {
            *value *= step;
        }
    }
    out.truncate(len);
    out
}

/// `Σ weight_i·column_i`, row by row, added to `sum`.
pub(crate) fn add_combination(sum: &mut [Fp], columns: &[(Fp, &[Fp])]) {
    use rayon::prelude::*;
    const ROWS: usize = 64;
    if columns.is_empty() {
        return;
    }
    sum.par_chunks_mut(ROWS)
        .enumerate()
        .for_each(|(block, out)| {
            let first = block * ROWS;
            let mut wide = [Wide::default(); ROWS];
            for (weight, column) in columns {
                for (wide, value) in wide.iter_mut().zip(column[first..].iter().take(out.len())) {
                    Fp::mul_accumulate(wide, weight, value);
                }
            }
            for (out, wide) in out.iter_mut().zip(wide) {
                *out += Fp::reduce(wide);
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_powers_of_every_length() {
        let x = Fp::from(7);
        for len in 0..10 {
            let powers = powers(x, len);
            assert_eq!(powers.len(), len);
            for (i, power) in powers.iter().enumerate() {
                assert_eq!(*power, x.pow_vartime([i as u64]));
            }
        }
    }

    #[test]
    fn accepts_combinations_as_sums() {
        let column: Vec<Fp> = (0..100).map(Fp::from).collect();
        let other: Vec<Fp> = (0..100).map(|i| Fp::from(i * i)).collect();
        let mut sum = column.clone();
        add_combination(&mut sum, &[(Fp::from(3), &column), (-Fp::from(2), &other)]);
        for i in 0..100u64 {
            assert_eq!(sum[i as usize], Fp::from(4 * i) - Fp::from(2 * i * i));
        }
        let all: Fp = column.iter().zip(&other).map(|(a, b)| a * b).sum();
        assert_eq!(inner_product(&column, &other), all);
    }
}
