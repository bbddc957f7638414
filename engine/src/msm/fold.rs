//! Combinations of the same bases by the same weights, and sums over points without a table.
//!
//! Both use one pass of bucket sums for everything, and then bits instead of running sums: a bucket `b` is added to the
//! sum of each bit of `b`, affinely and in batches, and the sums of bits are joined by doublings.

use group::Group;
use pasta_curves::arithmetic::CurveExt;
use pasta_curves::{Eq, EqAffine, Fp};

use super::batch::sum_buckets;
use super::{Digit, FixedBases, Point, SCALAR_BITS, signed_digits, signed_limbs};

/// Folded positions that are computed together.
const POSITIONS: usize = 32;

/// For buckets `group·(2^{width−1} + 1) + b` with digits `b`, the sums by `group·width + bit`, in increasing order.
fn bit_sums(table: &[Point], digits: &[Digit], groups: usize, width: u32) -> Vec<(usize, Point)> {
    let stride = stride(width);
    let sums = sum_buckets(table, digits, groups * stride);
    let mut points = Vec::with_capacity(sums.len());
    let mut digits = Vec::with_capacity(3 * sums.len());
    for (bucket, point) in sums {
        let (group, magnitude) = (bucket / stride, bucket % stride);
        for bit in (0..width as usize).filter(|bit| magnitude >> bit & 1 == 1) {
            digits.push(Digit::new(
                (group * width as usize + bit) as u64,
                points.len(),
                false,
            ));
        }
        points.push(point);
    }
    sum_buckets(&points, &digits, groups * width as usize)
}

fn stride(width: u32) -> usize {
    (1 << (width - 1)) + 1
}

impl FixedBases {
    /// The combinations `Σ_b weights[b]·base[i + b·len]` for all `i` below `len`.
    pub(crate) fn fold(&self, weights: &[Fp], len: usize) -> Vec<Point> {
        use rayon::prelude::*;
        let window = self.layout.window;
        let (low, high) = (window.div_ceil(2), window / 2);
        // Half windows, so that the few points of a position meet in few buckets. Digit, row of the table, set.
        let mut digits: Vec<(u64, bool, usize, usize)> = Vec::new();
        let tables = self.layout.tables as usize;
        for (block, weight) in weights.iter().enumerate() {
            let (limbs, negative) = signed_limbs(weight);
            let mut half = 0;
            signed_digits(limbs, [low, high], |magnitude, flip| {
                let (row, set) = (half / 2 % tables, half / 2 / tables * 2 + half % 2);
                if magnitude != 0 {
                    digits.push((
                        magnitude,
                        negative != flip,
                        row * self.layout.bases + block * len,
                        set,
                    ));
                }
                half += 1;
            });
        }
        let sets = 2 * (self.layout.windows().div_ceil(self.layout.tables) as usize);
        let exponent = |index: usize| {
            let (set, bit) = (index / low as usize, index % low as usize);
            (set / 2 * tables * window as usize) + (set % 2) * low as usize + bit
        };
        let chunks: Vec<usize> = (0..len).step_by(POSITIONS).collect();
        let folded: Vec<Vec<Point>> = chunks
            .into_par_iter()
            .map(|first| {
                let count = POSITIONS.min(len - first);
                let bucketed: Vec<Digit> = (0..count)
                    .flat_map(|i| {
                        digits.iter().map(move |(magnitude, negative, base, set)| {
                            let bucket = (i * sets + set) * stride(low) + *magnitude as usize;
                            Digit::new(bucket as u64, base + first + i, *negative)
                        })
                    })
                    .collect();
                let sums = bit_sums(&self.table, &bucketed, count * sets, low);
                let per_position = sets * low as usize;
                let joined: Vec<Eq> = (0..count)
                    .map(|i| {
                        let from = sums.partition_point(|(index, _)| *index < i * per_position);
                        let to = sums.partition_point(|(index, _)| *index < (i + 1) * per_position);
                        join(
                            sums[from..to]
                                .iter()
                                .map(|(index, point)| (exponent(index % per_position), point)),
                        )
                    })
                    .collect();
                let mut affine = vec![EqAffine::default(); count];
                Eq::batch_normalize_vartime(&joined, &mut affine);
                affine.iter().map(Point::from).collect()
            })
            .collect();
        folded.concat()
    }
}

/// `Σ 2^exponent·point`, in increasing order of exponents.
fn join<'a>(sums: impl DoubleEndedIterator<Item = (usize, &'a Point)>) -> Eq {
    let mut total = Eq::identity();
    let mut at = 0;
    for (exponent, point) in sums.rev() {
        if !bool::from(total.is_identity()) {
            (exponent..at).for_each(|_| total = total.double());
        }
        at = exponent;
        total += point.affine();
    }
    (0..at).for_each(|_| total = total.double());
    total
}

/// `Σ scalar·point` over points that have no table and are not the identity.
pub(crate) fn msm_points(points: &[Point], scalars: &[Fp]) -> Eq {
    let width = (usize::BITS - points.len().leading_zeros())
        .saturating_sub(3)
        .clamp(3, 10);
    let mut digits = Vec::new();
    for (index, scalar) in scalars.iter().enumerate() {
        let (limbs, negative) = signed_limbs(scalar);
        let mut group = 0;
        signed_digits(limbs, [width; 2], |magnitude, flip| {
            if magnitude != 0 {
                let bucket = group * stride(width) + magnitude as usize;
                digits.push(Digit::new(bucket as u64, index, negative != flip));
            }
            group += 1;
        });
    }
    let groups = (SCALAR_BITS / width + 2) as usize;
    let sums = bit_sums(points, &digits, groups, width);
    join(sums.iter().map(|(index, point)| (*index, point)))
}
