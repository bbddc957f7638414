//! The evaluation domain `H` of size `n = 2^k`, and cosets of it.
//!
//! A constraint of degree `d` has a quotient by `X^n − 1` of degree below `(d − 1)·n`, so its values on `d − 1` cosets
//! of `H` determine it. The engine therefore works coset by coset, each of size `n`, and never on an extended domain:
//! constraints of degree 2, which is where the many weight columns are, need one coset only, and what is in memory at a
//! time is one coset of each column.
//!
//! The coset `j` is `g^{j+1}·H` with `g` the generator of the multiplicative group, so all of them are distinct and
//! none is `H`. On a coset, `X^n` is constant.

use ff::{Field, PrimeField};
use pasta_curves::Fp;
use pasta_curves::arithmetic::{VartimeBatchInvert, VartimeField};

use crate::arith::powers;

/// Up to this length a transform loops over its stages instead of recursing.
const LOOP_LEN: usize = 64;

/// Below this length a transform does not fork.
const FORK_LEN: usize = 1 << 13;

/// Twiddle factors of a transform, stage by stage: the stage that joins halves of length `h` starts at `h − 1`.
#[derive(Clone, Debug)]
struct Twiddles {
    factors: Vec<Fp>,
    /// The first factor of each stage is one: the transform is over a subgroup, not a coset.
    starts_at_one: bool,
}

impl Twiddles {
    /// For evaluation on `shift·⟨omega⟩`, `omega` of order `n`.
    fn new(k: u32, omega: Fp, shift: Fp) -> Self {
        let n = 1usize << k;
        let mut factors = vec![Fp::ONE; n.max(2) - 1];
        let (mut omega, mut shift) = (omega, shift);
        for stage in (0..k).rev() {
            let half = 1 << stage;
            let mut factor = shift;
            for slot in &mut factors[half - 1..2 * half - 1] {
                *slot = factor;
                factor *= omega;
            }
            omega = omega.square();
            shift = shift.square();
        }
        Self {
            factors,
            starts_at_one: shift == Fp::ONE,
        }
    }

    /// Decimation in time: `a` in bit-reversed order becomes the evaluations in natural order.
    fn transform(&self, a: &mut [Fp]) {
        let len = a.len();
        if len <= LOOP_LEN {
            let mut half = 1;
            while half < len {
                a.chunks_exact_mut(2 * half)
                    .for_each(|block| self.join(block));
                half *= 2;
            }
            return;
        }
        let (low, high) = a.split_at_mut(len / 2);
        if len > FORK_LEN {
            rayon::join(|| self.transform(low), || self.transform(high));
        } else {
            self.transform(low);
            self.transform(high);
        }
        self.join(a);
    }

    /// The last stage of a transform of the length of `a`.
    #[inline]
    fn join(&self, a: &mut [Fp]) {
        let half = a.len() / 2;
        let (low, high) = a.split_at_mut(half);
        let factors = &self.factors[half - 1..2 * half - 1];
        let skip = usize::from(self.starts_at_one);
        if self.starts_at_one {
            (low[0], high[0]) = (low[0] + high[0], low[0] - high[0]);
        }
        for ((low, high), factor) in low[skip..]
            .iter_mut()
            .zip(&mut high[skip..])
            .zip(&factors[skip..])
        {
            let product = *high * factor;
            *high = *low - product;
            *low += product;
        }
    }
}

/// A coset `shift·H`.
#[derive(Clone, Debug)]
struct Coset {
    shift: Fp,
    /// `X^n − 1` on the coset, inverted.
    vanishing_inverse: Fp,
    /// `X^n` on the coset.
    power: Fp,
    twiddles: Twiddles,
}

/// The evaluation domain of a circuit size, with as many cosets as the degree of the circuit asks for.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    k: u32,
    omega: Fp,
    omega_inverse: Fp,
    n_inverse: Fp,
    inverse: Twiddles,
    cosets: Vec<Coset>,
}

impl Domain {
    /// The domain of size `2^k` with `cosets` cosets. `k` is at most the two-adicity of the field.
    pub(crate) fn new(k: u32, cosets: usize) -> Self {
        let mut omega = Fp::ROOT_OF_UNITY;
        for _ in k..Fp::S {
            omega = omega.square();
        }
        let omega_inverse = invert(omega);
        let n = 1u64 << k;
        let mut shift = Fp::ONE;
        let cosets = (0..cosets)
            .map(|_| {
                shift *= Fp::MULTIPLICATIVE_GENERATOR;
                let power = shift.pow_vartime([n]);
                Coset {
                    shift,
                    vanishing_inverse: invert(power - Fp::ONE),
                    power,
                    twiddles: Twiddles::new(k, omega, shift),
                }
            })
            .collect();
        Self {
            k,
            omega,
            omega_inverse,
            n_inverse: invert(Fp::from(n)),
            inverse: Twiddles::new(k, omega_inverse, Fp::ONE),
            cosets,
        }
    }

    /// Number of rows.
    pub(crate) fn n(&self) -> usize {
        1 << self.k
    }

    /// Generator of `H`.
    pub(crate) fn omega(&self) -> Fp {
        self.omega
    }

    /// `x·omega^rotation`.
    pub(crate) fn rotate(&self, x: Fp, rotation: i32) -> Fp {
        let base = if rotation < 0 {
            self.omega_inverse
        } else {
            self.omega
        };
        x * base.pow_vartime([u64::from(rotation.unsigned_abs())])
    }

    /// From the values on `H` to the coefficients.
    pub(crate) fn interpolate(&self, values: &mut [Fp]) {
        self.inverse_transform(values);
        for value in values {
            *value *= self.n_inverse;
        }
    }

    /// From the coefficients to the values on coset `coset`.
    pub(crate) fn evaluate(&self, coefficients: &[Fp], coset: usize) -> Vec<Fp> {
        let mut values = coefficients.to_vec();
        bit_reverse(&mut values, self.k);
        self.cosets[coset].twiddles.transform(&mut values);
        values
    }

    /// From the values on coset `coset` to the coefficients.
    pub(crate) fn interpolate_coset(&self, values: &mut [Fp], coset: usize) {
        self.inverse_transform(values);
        let step = invert(self.cosets[coset].shift);
        let mut factor = self.n_inverse;
        for value in values {
            *value *= factor;
            factor *= step;
        }
    }

    fn inverse_transform(&self, values: &mut [Fp]) {
        bit_reverse(values, self.k);
        self.inverse.transform(values);
    }

    /// The points of coset `coset`, which are the values of the polynomial `X`.
    pub(crate) fn points(&self, coset: usize) -> Vec<Fp> {
        let mut points = powers(self.omega, self.n());
        for point in &mut points {
            *point *= self.cosets[coset].shift;
        }
        points
    }

    /// `1/(X^n − 1)` on coset `coset`.
    pub(crate) fn vanishing_inverse(&self, coset: usize) -> Fp {
        self.cosets[coset].vanishing_inverse
    }

    /// Values on coset `coset` of the Lagrange polynomials that are one on `rows`, summed.
    ///
    /// `l_r(X) = (X^n − 1)/n · 1/(X·ω^{−r} − 1)`, so the values of each are those of `l_0`, rotated by `r`.
    pub(crate) fn first_lagrange(&self, coset: usize) -> Vec<Fp> {
        let mut values = self.points(coset);
        for value in &mut values {
            *value -= Fp::ONE;
        }
        values.iter_mut().batch_invert_vartime();
        let scale = (self.cosets[coset].power - Fp::ONE) * self.n_inverse;
        for value in &mut values {
            *value *= scale;
        }
        values
    }

    /// Values at `x` of the Lagrange polynomials of coset `coset`: the inner product with the values of a polynomial
    /// of degree below `n` on that coset is its value at `x`. `None` if `x` lies on the coset.
    pub(crate) fn barycentric(&self, x: Fp, coset: usize) -> Option<Vec<Fp>> {
        let Coset { shift, .. } = &self.cosets[coset];
        let z = x * invert(*shift);
        let zn = z.pow_vartime([self.n() as u64]) - Fp::ONE;
        if zn.is_zero_vartime() {
            return None;
        }
        // l_i(z) = (z^n − 1)/n · ω^i/(z − ω^i).
        let omegas = powers(self.omega, self.n());
        let mut values: Vec<Fp> = omegas.iter().map(|omega| z - omega).collect();
        values.iter_mut().batch_invert_vartime();
        let scale = zn * self.n_inverse;
        for (value, omega) in values.iter_mut().zip(&omegas) {
            *value *= scale * omega;
        }
        Some(values)
    }

    /// The values on coset `coset` of a polynomial of degree below `(c + 1)·n` that is given by its remainders modulo
    /// `X^n − c_j` on the first `c` cosets and modulo `X^n − 1` on the rows.
    pub(crate) fn extend(&self, remainders: &[Vec<Fp>], rows: &[Fp], coset: usize) -> Vec<Fp> {
        let powers = self.cosets[..remainders.len()].iter();
        let nodes: Vec<Fp> = powers.map(|own| own.power).chain([Fp::ONE]).collect();
        let at = self.cosets[coset].power;
        let weight = |j: usize| {
            let others = nodes.iter().enumerate().filter(|(i, _)| *i != j);
            let (above, below) = others.fold((Fp::ONE, Fp::ONE), |(above, below), (_, node)| {
                (above * (at - node), below * (nodes[j] - node))
            });
            above * invert(below)
        };
        let columns: Vec<(Fp, &[Fp])> = remainders
            .iter()
            .map(Vec::as_slice)
            .chain([rows])
            .enumerate()
            .map(|(j, column)| (weight(j), column))
            .collect();
        let mut sum = vec![Fp::ZERO; self.n()];
        crate::arith::add_combination(&mut sum, &columns);
        self.evaluate(&sum, coset)
    }

    /// Splits a polynomial `Σ_m X^{m·n}·piece_m(X)` of `remainders.len()` pieces, given by its remainders modulo
    /// `X^n − c_j` with `c_j` the value of `X^n` on coset `j`, into its pieces.
    pub(crate) fn split(&self, remainders: &[Vec<Fp>]) -> Vec<Vec<Fp>> {
        use rayon::prelude::*;
        let count = remainders.len();
        let inverse = self.inverse_vandermonde(count);
        (0..count)
            .into_par_iter()
            .map(|piece| {
                let columns: Vec<(Fp, &[Fp])> = remainders
                    .iter()
                    .enumerate()
                    .map(|(j, column)| (inverse[j][piece], column.as_slice()))
                    .collect();
                let mut sum = vec![Fp::ZERO; self.n()];
                crate::arith::add_combination(&mut sum, &columns);
                sum
            })
            .collect()
    }

    /// Row `j` lists the coefficients of the polynomial that is one at `c_j` and zero at the other `c_i`.
    fn inverse_vandermonde(&self, count: usize) -> Vec<Vec<Fp>> {
        let nodes: Vec<Fp> = self.cosets[..count]
            .iter()
            .map(|coset| coset.power)
            .collect();
        nodes
            .iter()
            .enumerate()
            .map(|(j, own)| {
                let mut poly = vec![Fp::ONE];
                let mut scale = Fp::ONE;
                for (_, node) in nodes.iter().enumerate().filter(|(i, _)| *i != j) {
                    scale *= *own - node;
                    poly.push(Fp::ZERO);
                    for i in (0..poly.len()).rev() {
                        let below = if i == 0 { Fp::ZERO } else { poly[i - 1] };
                        poly[i] = below - poly[i] * node;
                    }
                }
                let scale = invert(scale);
                poly.iter().map(|c| *c * scale).collect()
            })
            .collect()
    }
}

/// The inverse of an element that is not zero by construction.
fn invert(x: Fp) -> Fp {
    x.invert_vartime().unwrap_or(Fp::ZERO)
}

fn bit_reverse(values: &mut [Fp], k: u32) {
    if k == 0 {
        return;
    }
    let shift = usize::BITS - k;
    for i in 0..values.len() {
        let j = i.reverse_bits() >> shift;
        if i < j {
            values.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::inner_product;

    fn polynomial(n: usize) -> Vec<Fp> {
        (0..n as u64)
            .map(|i| Fp::from(i * i + 3).square())
            .collect()
    }

    fn horner(poly: &[Fp], x: Fp) -> Fp {
        poly.iter().rev().fold(Fp::ZERO, |sum, c| sum * x + c)
    }

    #[test]
    fn accepts_transforms_that_agree_with_evaluation() {
        for k in 1..7 {
            let domain = Domain::new(k, 3);
            let poly = polynomial(domain.n());
            for coset in 0..3 {
                let mut values = domain.evaluate(&poly, coset);
                for (value, point) in values.iter().zip(domain.points(coset)) {
                    assert_eq!(*value, horner(&poly, point));
                }
                let x = Fp::from(12345);
                let weights = domain.barycentric(x, coset).unwrap();
                assert_eq!(inner_product(&values, &weights), horner(&poly, x));
                domain.interpolate_coset(&mut values, coset);
                assert_eq!(values, poly);
            }
            let mut values: Vec<Fp> = powers(domain.omega(), domain.n())
                .into_iter()
                .map(|point| horner(&poly, point))
                .collect();
            domain.interpolate(&mut values);
            assert_eq!(values, poly);
        }
    }

    #[test]
    fn accepts_lagrange_values_by_rotation() {
        let domain = Domain::new(4, 2);
        let n = domain.n();
        let first = domain.first_lagrange(1);
        for row in [0, 3, n - 1] {
            let mut lagrange = vec![Fp::ZERO; n];
            lagrange[row] = Fp::ONE;
            domain.interpolate(&mut lagrange);
            let values = domain.evaluate(&lagrange, 1);
            for i in 0..n {
                assert_eq!(values[i], first[(i + n - row) % n]);
            }
        }
    }

    #[test]
    fn accepts_values_on_one_more_coset() {
        let domain = Domain::new(3, 4);
        for count in 1..=3 {
            let long = polynomial((count + 1) * domain.n());
            let values = |points: &[Fp]| points.iter().map(|x| horner(&long, *x)).collect();
            let remainders: Vec<Vec<Fp>> = (0..count)
                .map(|coset| {
                    let mut values: Vec<Fp> = values(&domain.points(coset));
                    domain.interpolate_coset(&mut values, coset);
                    values
                })
                .collect();
            let mut rows: Vec<Fp> = values(&powers(domain.omega(), domain.n()));
            domain.interpolate(&mut rows);
            let expected: Vec<Fp> = values(&domain.points(count));
            assert_eq!(domain.extend(&remainders, &rows, count), expected);
        }
    }

    #[test]
    fn accepts_pieces_of_a_long_polynomial() {
        let domain = Domain::new(3, 5);
        let n = domain.n();
        for count in 1..=5 {
            let long = polynomial(count * n);
            let remainders: Vec<Vec<Fp>> = (0..count)
                .map(|coset| {
                    let mut values: Vec<Fp> = domain
                        .points(coset)
                        .iter()
                        .map(|x| horner(&long, *x))
                        .collect();
                    domain.interpolate_coset(&mut values, coset);
                    values
                })
                .collect();
            assert_eq!(domain.split(&remainders).concat(), long);
        }
    }
}
