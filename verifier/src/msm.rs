//! Multi-scalar multiplication: Σ scalar · point.
//!
//! Pippenger's buckets with signed windows. Within a window the points are sorted by bucket and added pairwise in affine
//! coordinates, all pairs of a round sharing one inversion: 6 multiplications per addition where mixed coordinates take
//! 11. What is left when a round has too few pairs to pay for its inversion goes through Jacobian coordinates.
//!
//! Variable time: everything a verifier multiplies is public.

use alloc::vec;
use alloc::vec::Vec;

use ff::{Field, PrimeField};
use group::Group;
use pasta_curves::arithmetic::{CurveExt, VartimeField};
use pasta_curves::{Eq, EqAffine, Fp, Fq};

use crate::curve::{Affine, Jacobian, add_with_inverse, denominator};
use crate::field::coordinates;
use crate::work::{Work, amount};

/// Bits that a scalar's windows cover: 255, and one for the carry of the topmost signed digit.
const SCALAR_BITS: u32 = 256;

/// Pairs below which a shared inversion does not pay.
const MIN_PAIRS: usize = 24;

/// Largest window, in bits.
const MAX_WINDOW: u32 = 13;

/// The windows for so many points: the width that takes the fewest additions, a bucket's two counting more than a
/// point's one because they are not affine.
fn window_bits(points: usize) -> u32 {
    let cost = |bits: u32| {
        let windows = u64::from(SCALAR_BITS.div_ceil(bits));
        windows.saturating_mul(
            amount(points)
                .saturating_mul(6)
                .saturating_add((1 << (bits - 1)) * 28),
        )
    };
    (2..=MAX_WINDOW).min_by_key(|&bits| cost(bits)).unwrap_or(2)
}

/// The additions of a multiplication of so many points with windows of so many bits.
fn additions(points: usize, bits: u32) -> u64 {
    let window = amount(points).saturating_add(2 * (1u64 << (bits - 1)) + 1);
    window.saturating_mul(u64::from(SCALAR_BITS.div_ceil(bits)))
}

/// The most that a multiplication of up to so many points does.
pub(crate) fn msm_cost(points: usize) -> Work {
    // A narrower window takes more additions than a wider one just where the choice changes, so fewer points can cost
    // more. The bound is over all widths up to the one chosen, each at the most points it is chosen for.
    let most = (2..=window_bits(points)).map(|bits| {
        let (mut low, mut high) = (0, points);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if window_bits(middle) <= bits {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        additions(low, bits)
    });
    Work {
        group_additions: most.max().unwrap_or(0),
        group_doublings: u64::from(SCALAR_BITS + MAX_WINDOW),
        ..Work::default()
    }
}

/// Σ scalar · point.
pub(crate) fn msm(terms: &[(Fp, EqAffine)], work: &mut Work) -> Eq {
    let mut points = Vec::with_capacity(terms.len());
    let mut scalars = Vec::with_capacity(terms.len());
    for (scalar, point) in terms {
        // The identity adds nothing, whatever its scalar.
        if let Some((x, y)) = coordinates(point) {
            if !scalar.is_zero_vartime() {
                points.push(Affine { x, y });
                scalars.push(limbs(scalar));
            }
        }
    }
    let bits = window_bits(terms.len());
    let sums = window_sums(&points, &scalars, bits, work);
    let mut sum = Jacobian::IDENTITY;
    for window in sums.iter().rev() {
        if !sum.is_identity() {
            for _ in 0..bits {
                sum = sum.double();
            }
            work.group_doublings += u64::from(bits);
        }
        sum = sum.add(window);
        work.group_additions += 1;
    }
    // Sums of points on the curve are on the curve, so the check passes; its failure would be a fault of this module,
    // and is answered with a point that no equation of the verifier is satisfied by.
    let point: Option<Eq> = Eq::new_jacobian(sum.x, sum.y, sum.z).into();
    point.unwrap_or_else(Eq::generator)
}

/// The sum of each window, from the lowest.
fn window_sums(
    points: &[Affine],
    scalars: &[[u64; 4]],
    bits: u32,
    work: &mut Work,
) -> Vec<Jacobian> {
    let windows = SCALAR_BITS.div_ceil(bits);
    #[cfg(feature = "parallel")]
    if let Some(sums) = parallel::window_sums(points, scalars, bits, windows, work) {
        return sums;
    }
    let mut buckets = Buckets::new(points.len(), bits);
    (0..windows)
        .map(|window| buckets.sum(points, scalars, window, work))
        .collect()
}

/// Windows on several threads. They are independent, and each does the same as alone, so the result and the count of
/// the work do not depend on the number of threads.
#[cfg(feature = "parallel")]
mod parallel {
    use std::thread;

    use super::{Affine, Buckets, Jacobian, Vec, Work};

    /// Points below which starting threads costs more than it saves.
    const MIN_POINTS: usize = 512;

    /// `None` if there is nothing to gain, or no thread to be had.
    pub(super) fn window_sums(
        points: &[Affine],
        scalars: &[[u64; 4]],
        bits: u32,
        windows: u32,
        work: &mut Work,
    ) -> Option<Vec<Jacobian>> {
        let threads = u32::try_from(thread::available_parallelism().ok()?.get()).ok()?;
        if threads < 2 || points.len() < MIN_POINTS {
            return None;
        }
        let share = windows.div_ceil(threads);
        let parts: Option<Vec<(Vec<Jacobian>, Work)>> = thread::scope(|scope| {
            let start = |first: u32| {
                let run = move || {
                    let mut buckets = Buckets::new(points.len(), bits);
                    let mut work = Work::default();
                    let sums = (first..windows.min(first + share))
                        .map(|window| buckets.sum(points, scalars, window, &mut work))
                        .collect();
                    (sums, work)
                };
                thread::Builder::new().spawn_scoped(scope, run).ok()
            };
            let starts = (0..windows).step_by(share as usize);
            let threads: Vec<_> = starts.map(start).collect();
            threads
                .into_iter()
                .map(|thread| thread?.join().ok())
                .collect()
        });
        let mut sums = Vec::new();
        for (part, done) in parts? {
            sums.extend(part);
            *work = work.plus(done);
        }
        Some(sums)
    }
}

/// A scalar as little-endian words.
fn limbs(scalar: &Fp) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(scalar.to_repr().chunks_exact(8)) {
        *limb = bytes
            .iter()
            .rev()
            .fold(0, |acc, &byte| (acc << 8) | u64::from(byte));
    }
    limbs
}

/// The signed digit of a window, between -2^(bits-1) and 2^(bits-1), as magnitude and sign.
///
/// A window whose top bit is set stands for its value minus 2^bits, and the next window adds one for it. The bit below
/// a window tells whether that happened, so each digit can be read on its own.
fn digit(scalar: &[u64; 4], window: u32, bits: u32) -> (usize, bool) {
    let start = window * bits;
    let read = |bit: u32| -> u64 {
        let limb = usize::try_from(bit / 64).unwrap_or(usize::MAX);
        let shift = bit % 64;
        let low = scalar.get(limb).copied().unwrap_or(0) >> shift;
        let high = match shift {
            0 => 0,
            _ => scalar.get(limb + 1).copied().unwrap_or(0) << (64 - shift),
        };
        low | high
    };
    let value = read(start) & ((1 << bits) - 1);
    let carry = match start {
        0 => 0,
        _ => read(start - 1) & 1,
    };
    let half = 1u64 << (bits - 1);
    let (magnitude, negative) = if value >= half {
        ((1 << bits) - value - carry, true)
    } else {
        (value + carry, false)
    };
    // At most 2^(MAX_WINDOW - 1).
    (magnitude as usize, negative)
}

/// The scratch space of one window.
struct Buckets {
    bits: u32,
    /// Number of points in each bucket, by magnitude minus one.
    lens: Vec<u32>,
    /// Where the next point of each bucket goes while sorting.
    next: Vec<u32>,
    /// Magnitude and sign of each point.
    digits: Vec<(u32, bool)>,
    /// The points, bucket by bucket.
    sorted: Vec<Affine>,
    /// The same after a round.
    reduced: Vec<Affine>,
    /// The denominators of a round's additions, then their inverses.
    inverses: Vec<Fq>,
    /// Products of the denominators before each.
    products: Vec<Fq>,
}

impl Buckets {
    fn new(points: usize, bits: u32) -> Self {
        let buckets = 1usize << (bits - 1);
        Self {
            bits,
            lens: vec![0; buckets],
            next: vec![0; buckets],
            digits: Vec::with_capacity(points),
            sorted: Vec::with_capacity(points),
            reduced: Vec::with_capacity(points),
            inverses: Vec::with_capacity(points / 2),
            products: Vec::with_capacity(points / 2),
        }
    }

    /// Σ digit · point over one window.
    fn sum(
        &mut self,
        points: &[Affine],
        scalars: &[[u64; 4]],
        window: u32,
        work: &mut Work,
    ) -> Jacobian {
        self.sort(points, scalars, window);
        while self.pairs() >= MIN_PAIRS {
            self.reduce(work);
        }
        // Σ magnitude · bucket, from the largest magnitude: each bucket is counted once more with every step down.
        let (mut running, mut total) = (Jacobian::IDENTITY, Jacobian::IDENTITY);
        let mut rest = self.sorted.as_slice();
        for &len in self.lens.iter().rev() {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let Some((head, bucket)) = rest
                .len()
                .checked_sub(len)
                .and_then(|at| rest.split_at_checked(at))
            else {
                break;
            };
            rest = head;
            for point in bucket {
                running = running.add_affine(point);
            }
            work.group_additions += amount(bucket.len());
            if !running.is_identity() {
                total = total.add(&running);
                work.group_additions += 1;
            }
        }
        total
    }

    /// Places the points of a window by the magnitudes of their digits, negated where the digit is.
    fn sort(&mut self, points: &[Affine], scalars: &[[u64; 4]], window: u32) {
        self.lens.fill(0);
        self.digits.clear();
        for scalar in scalars {
            let (magnitude, negative) = digit(scalar, window, self.bits);
            if let Some(len) = magnitude
                .checked_sub(1)
                .and_then(|bucket| self.lens.get_mut(bucket))
            {
                *len += 1;
            }
            self.digits.push((magnitude as u32, negative));
        }
        let mut start = 0;
        for (next, len) in self.next.iter_mut().zip(&self.lens) {
            *next = start;
            start += len;
        }
        let filler = Affine {
            x: Fq::ZERO,
            y: Fq::ZERO,
        };
        self.sorted.clear();
        self.sorted.resize(start as usize, filler);
        for (point, &(magnitude, negative)) in points.iter().zip(&self.digits) {
            let bucket = magnitude.checked_sub(1).map(|bucket| bucket as usize);
            let Some(next) = bucket.and_then(|bucket| self.next.get_mut(bucket)) else {
                continue;
            };
            if let Some(slot) = self.sorted.get_mut(*next as usize) {
                let y = if negative { -point.y } else { point.y };
                *slot = Affine { x: point.x, y };
            }
            *next += 1;
        }
    }

    /// The additions that the next round would do.
    fn pairs(&self) -> usize {
        self.lens.iter().map(|&len| (len / 2) as usize).sum()
    }

    /// Adds neighbours of the same bucket, halving each bucket.
    fn reduce(&mut self, work: &mut Work) {
        self.inverses.clear();
        let mut rest = self.sorted.as_slice();
        for &len in &self.lens {
            let Some((bucket, tail)) = rest.split_at_checked(len as usize) else {
                break;
            };
            rest = tail;
            for pair in bucket.chunks_exact(2) {
                if let [a, b] = pair {
                    self.inverses.push(denominator(a, b));
                }
            }
        }
        work.group_additions += amount(self.inverses.len());
        invert_all(&mut self.inverses, &mut self.products);
        self.reduced.clear();
        let mut inverses = self.inverses.iter();
        let mut rest = self.sorted.as_slice();
        for len in &mut self.lens {
            let Some((bucket, tail)) = rest.split_at_checked(*len as usize) else {
                break;
            };
            rest = tail;
            let before = self.reduced.len();
            for pair in bucket.chunks(2) {
                match pair {
                    [a, b] => {
                        let inverse = inverses.next().unwrap_or(&Fq::ZERO);
                        self.reduced.extend(add_with_inverse(a, b, inverse));
                    }
                    single => self.reduced.extend_from_slice(single),
                }
            }
            *len = (self.reduced.len() - before) as u32;
        }
        core::mem::swap(&mut self.sorted, &mut self.reduced);
    }
}

/// Replaces every element, none of which is zero, by its inverse.
fn invert_all(values: &mut [Fq], products: &mut Vec<Fq>) {
    products.clear();
    let mut product = Fq::ONE;
    for value in values.iter() {
        products.push(product);
        product *= value;
    }
    // Zero if a value is: then all inverses are, and the sums are wrong, not undefined.
    let mut inverse = product.invert_vartime().unwrap_or(Fq::ZERO);
    for (value, before) in values.iter_mut().zip(products.iter()).rev() {
        let own = inverse * before;
        inverse *= *value;
        *value = own;
    }
}

/// The affine form of a point.
pub(crate) fn to_affine(point: &Eq) -> EqAffine {
    point.to_affine_vartime()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    fn scalars(count: usize, seed: u64) -> Vec<Fp> {
        let mut work = Work::default();
        let roots = crate::decompress::Roots::new();
        let mut transcript = Transcript::new(&[], &roots);
        transcript.absorb_scalar(&Fp::from(seed), &mut work);
        (0..count)
            .map(|_| transcript.challenge(&mut work))
            .collect()
    }

    fn naive(terms: &[(Fp, EqAffine)]) -> Eq {
        terms.iter().map(|&(scalar, point)| point * scalar).sum()
    }

    #[test]
    fn accepts_sums_of_all_sizes_and_stays_within_its_cost() {
        let generator = Eq::generator();
        for count in [0, 1, 2, 3, 7, 31, 32, 100, 700] {
            let points = scalars(count, 1);
            let terms: Vec<(Fp, EqAffine)> = scalars(count, 2)
                .into_iter()
                .zip(points)
                .map(|(scalar, point)| (scalar, to_affine(&(generator * point))))
                .collect();
            let mut work = Work::default();
            assert_eq!(msm(&terms, &mut work), naive(&terms), "{count} points");
            assert!(work.within(&msm_cost(count)), "{count} points: {work:?}");
        }
    }

    #[test]
    fn accepts_equal_opposite_and_absent_points_and_extreme_scalars() {
        use group::CurveAffine as _;
        let generator = EqAffine::from(Eq::generator());
        let extremes = [
            Fp::zero(),
            Fp::one(),
            -Fp::one(),
            Fp::from(2).pow_vartime([254u64]),
            Fp::from(2).pow_vartime([254u64]) - Fp::one(),
            Fp::TWO_INV,
        ];
        let mut terms = Vec::new();
        for round in 0..40u64 {
            for scalar in extremes {
                terms.push((scalar, generator));
                terms.push((scalar, -generator));
                terms.push((scalar * Fp::from(round), generator));
                terms.push((scalar, EqAffine::identity()));
            }
        }
        for count in [1, 2, 5, 48, terms.len()] {
            let terms = &terms[..count];
            assert_eq!(
                msm(terms, &mut Work::default()),
                naive(terms),
                "{count} terms"
            );
        }
    }

    #[test]
    fn accepts_digits_that_add_up_to_the_scalar() {
        for bits in 2..=MAX_WINDOW {
            for scalar in scalars(20, 3).into_iter().chain([-Fp::one(), Fp::zero()]) {
                let base = Fp::from(1 << bits);
                let sum = (0..SCALAR_BITS.div_ceil(bits))
                    .rev()
                    .fold(Fp::zero(), |sum, window| {
                        let (magnitude, negative) = digit(&limbs(&scalar), window, bits);
                        let value = Fp::from(magnitude as u64);
                        sum * base + if negative { -value } else { value }
                    });
                assert_eq!(sum, scalar, "{bits} bits");
            }
        }
    }
}
