//! Multi-scalar multiplication over bases that never change.
//!
//! The generators of the commitment scheme are fixed, so multiples `2^{c·j}·G_i` are tabulated once and stored with the
//! parameters. All windows of `c` bits of all scalars then fall in one set of buckets, and the doublings between
//! windows disappear. What remains is one curve addition per digit that is not zero: a column of small values costs one
//! or two digits per row instead of twenty, and so does a column of small negative values, because a scalar `s` is
//! replaced by `−(p − s)` when that is shorter.
//!
//! Like the stock prover's, these routines run in time that depends on the scalars.

mod batch;
mod fold;

use ff::PrimeField;
use group::{CurveAffine as _, Group};
use pasta_curves::arithmetic::{CurveAffine, CurveExt};
use pasta_curves::{Eq, EqAffine, Fp};

pub(crate) use batch::Point;
use batch::sum_buckets;
pub(crate) use fold::msm_points;

use crate::secret::wipe_with;

/// Scalars are below `2^255`; with the sign taken out, below `2^254`.
const SCALAR_BITS: u32 = 254;

/// `(p − 1)/2`, little-endian limbs: scalars above are negated.
const HALF: [u64; 4] = [
    0xcc96_9876_8000_0000,
    0x1123_4c7e_04a6_7c8d,
    0,
    0x2000_0000_0000_0000,
];

/// The modulus, little-endian limbs.
const MODULUS: [u64; 4] = [
    0x992d_30ed_0000_0001,
    0x2246_98fc_094c_f91b,
    0,
    0x4000_0000_0000_0000,
];

/// Values of consecutive rows, in the form that is cheapest to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    /// Small integers, possibly negative.
    Small(&'a [i64]),
    /// Field elements; small ones among them are recognized.
    Full(&'a [Fp]),
}

/// Scalars for consecutive bases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term<'a> {
    /// Index of the first base.
    pub(crate) first: usize,
    /// One scalar per base.
    pub(crate) values: Values<'a>,
}

/// How the bases are tabulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Number of bases.
    pub(crate) bases: usize,
    /// Bits per window.
    pub(crate) window: u32,
    /// Windows that have a table; the others reuse them, between doublings.
    pub(crate) tables: u32,
}

impl Layout {
    /// The layout for `bases` bases and a table of at most `bytes` bytes.
    pub(crate) fn new(bases: usize, bytes: usize) -> Self {
        let log = usize::BITS - bases.max(2).leading_zeros();
        let window = log.clamp(4, 14);
        let all = Self {
            bases,
            window,
            tables: 1,
        };
        let fit = bytes / (bases.max(1) * 64);
        let tables = u32::try_from(fit)
            .unwrap_or(u32::MAX)
            .clamp(1, all.windows());
        Self { tables, ..all }
    }

    /// Windows of a full-size scalar, with room for the carry of the signed recoding.
    pub(crate) fn windows(self) -> u32 {
        SCALAR_BITS.div_ceil(self.window) + u32::from(SCALAR_BITS.is_multiple_of(self.window))
    }

    /// Number of points in the table.
    pub(crate) fn points(self) -> usize {
        self.bases * self.tables as usize
    }
}

/// Bases with their tabulated multiples.
#[derive(Clone, Debug)]
pub(crate) struct FixedBases {
    layout: Layout,
    /// Multiple `j` of base `i` at `j·bases + i`.
    table: Vec<Point>,
}

impl FixedBases {
    /// Tabulates multiples of `bases`, none of which is the identity.
    pub(crate) fn new(bases: &[EqAffine], layout: Layout) -> Self {
        use rayon::prelude::*;
        let mut table = vec![Point::IDENTITY; layout.points()];
        let mut current: Vec<Eq> = bases.iter().map(|base| base.to_curve()).collect();
        for (j, row) in table.chunks_exact_mut(layout.bases.max(1)).enumerate() {
            row.par_chunks_mut(256)
                .zip(current.par_chunks_mut(256))
                .for_each(|(row, current)| {
                    if j > 0 {
                        for point in current.iter_mut() {
                            for _ in 0..layout.window {
                                *point = point.double();
                            }
                        }
                    }
                    let mut affine = vec![EqAffine::identity(); row.len()];
                    Eq::batch_normalize_vartime(current, &mut affine);
                    for (slot, point) in row.iter_mut().zip(&affine) {
                        *slot = Point::from(point);
                    }
                });
        }
        Self { layout, table }
    }

    /// Bases whose table was stored.
    pub(crate) fn from_table(layout: Layout, table: Vec<Point>) -> Self {
        Self { layout, table }
    }

    /// The table, bases first.
    pub(crate) fn table(&self) -> &[Point] {
        &self.table
    }

    /// The bases themselves.
    pub(crate) fn bases(&self) -> &[Point] {
        &self.table[..self.layout.bases]
    }

    /// `Σ scalar_i·base_i` over all terms.
    pub(crate) fn msm(&self, terms: &[Term<'_>]) -> Eq {
        let sets = self.layout.windows().div_ceil(self.layout.tables) as usize;
        let mut digits = self.digits(terms, sets);
        let mut sum = Eq::identity();
        for digits in digits.iter().rev() {
            if !bool::from(sum.is_identity()) {
                for _ in 0..self.layout.window * self.layout.tables {
                    sum = sum.double();
                }
            }
            sum += self.bucket_sum(digits);
        }
        // They are the scalars, which may be a witness.
        for digits in &mut digits {
            wipe_with(digits, Digit::NONE);
        }
        sum
    }

    /// The digits of all scalars, for each of the `sets` bucket sets.
    fn digits(&self, terms: &[Term<'_>], sets: usize) -> Vec<Vec<Digit>> {
        let rows: usize = terms.iter().map(|term| term.values.len()).sum();
        let mut digits = vec![Vec::with_capacity(rows); sets];
        for term in terms {
            match term.values {
                Values::Small(values) => {
                    for (i, value) in values.iter().enumerate() {
                        let magnitude = [value.unsigned_abs(), 0, 0, 0];
                        self.recode(term.first + i, magnitude, *value < 0, &mut digits);
                    }
                }
                Values::Full(values) => {
                    for (i, value) in values.iter().enumerate() {
                        let (magnitude, negative) = signed_limbs(value);
                        self.recode(term.first + i, magnitude, negative, &mut digits);
                    }
                }
            }
        }
        digits
    }

    /// The digits of one scalar.
    fn recode(&self, base: usize, limbs: [u64; 4], negative: bool, digits: &mut [Vec<Digit>]) {
        let Layout {
            bases,
            window,
            tables,
        } = self.layout;
        let (mut position, mut set) = (0, 0);
        signed_digits(limbs, [window; 2], |magnitude, flip| {
            if magnitude != 0 {
                digits[set].push(Digit::new(
                    magnitude,
                    position * bases + base,
                    negative != flip,
                ));
            }
            position += 1;
            if position == tables as usize {
                (position, set) = (0, set + 1);
            }
        });
    }

    /// `Σ_b b·(sum of the points with digit b)`.
    ///
    /// The bucket numbers are split as `b = 2^h·high + low`, and the buckets are summed by row and by column, which
    /// costs two affine additions per bucket instead of two projective ones, and skips empty buckets.
    fn bucket_sum(&self, digits: &[Digit]) -> Eq {
        let buckets = (1usize << (self.layout.window - 1)) + 1;
        let sums = sum_buckets(&self.table, digits, buckets);
        let low_bits = self.layout.window / 2;
        let (lows, highs) = (1usize << low_bits, (buckets >> low_bits) + 1);
        let mut points = Vec::with_capacity(sums.len());
        let mut digits = Vec::with_capacity(2 * sums.len());
        for (bucket, point) in sums {
            let (high, low) = (bucket >> low_bits, bucket & (lows - 1));
            if high != 0 {
                digits.push(Digit::new(high as u64, points.len(), false));
            }
            if low != 0 {
                digits.push(Digit::new((highs + low) as u64, points.len(), false));
            }
            points.push(point);
        }
        let sums = sum_buckets(&points, &digits, highs + lows);
        let split = sums.partition_point(|(bucket, _)| *bucket < highs);
        let mut sum = weighted_sum(&sums[..split], 0);
        for _ in 0..low_bits {
            sum = sum.double();
        }
        sum + weighted_sum(&sums[split..], highs)
    }
}

/// The signed digits of a number, from the lowest: `Σ ±d_j·2^{e_j}` with windows of `widths[0]` and `widths[1]` bits in
/// turn, each at most 32, and `d_j` at most half of what fits its window.
fn signed_digits(limbs: [u64; 4], widths: [u32; 2], mut emit: impl FnMut(u64, bool)) {
    let top = limbs.iter().rposition(|limb| *limb != 0).unwrap_or(0);
    let bits = 64 * top as u32 + (u64::BITS - limbs[top].leading_zeros());
    // One more limb, so that every window has a next one.
    let limbs = [limbs[0], limbs[1], limbs[2], limbs[3], 0, 0];
    let (mut carry, mut position, mut turn) = (0, 0, 0);
    while carry != 0 || position < bits {
        let width = widths[turn];
        let (limb, shift) = ((position / 64) as usize, position % 64);
        // Shifting in two steps, because a shift by 64 is not defined.
        let window = limbs[limb] >> shift | limbs[limb + 1] << 1 << (63 - shift);
        let value = (window & ((1 << width) - 1)) + carry;
        carry = u64::from(value > 1 << (width - 1));
        emit(
            if carry == 1 {
                (1 << width) - value
            } else {
                value
            },
            carry == 1,
        );
        position += width;
        turn ^= 1;
    }
}

/// `Σ (bucket − origin)·point` over buckets in increasing order.
fn weighted_sum(sums: &[(usize, Point)], origin: usize) -> Eq {
    let (mut running, mut total) = (Eq::identity(), Eq::identity());
    let mut sums = sums.iter().rev().peekable();
    let Some((last, _)) = sums.peek() else {
        return total;
    };
    for bucket in (origin + 1..=*last).rev() {
        if let Some((_, point)) = sums.next_if(|(own, _)| *own == bucket) {
            running += point.affine();
        }
        total += running;
    }
    total
}

/// One addition to do: a point of a table, its sign, and the bucket it goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digit {
    bucket: u32,
    /// Index of the point, times two, plus one if it is negated.
    point: u32,
}

impl Digit {
    const NONE: Self = Self {
        bucket: 0,
        point: 0,
    };

    fn new(magnitude: u64, point: usize, negative: bool) -> Self {
        Self {
            bucket: magnitude as u32,
            point: (point as u32) << 1 | u32::from(negative),
        }
    }
}

impl Values<'_> {
    fn len(self) -> usize {
        match self {
            Self::Small(values) => values.len(),
            Self::Full(values) => values.len(),
        }
    }
}

/// The canonical limbs of `x`, little-endian.
pub(crate) fn limbs(x: &Fp) -> [u64; 4] {
    let repr = x.to_repr();
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(repr.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *limb = u64::from_le_bytes(word);
    }
    limbs
}

/// The shorter of `x` and `p − x`, and whether it is the latter.
fn signed_limbs(x: &Fp) -> ([u64; 4], bool) {
    let limbs = limbs(x);
    if limbs.iter().rev().le(HALF.iter().rev()) {
        return (limbs, false);
    }
    let mut out = [0; 4];
    let mut borrow = false;
    for i in 0..4 {
        let (value, first) = MODULUS[i].overflowing_sub(limbs[i]);
        let (value, second) = value.overflowing_sub(u64::from(borrow));
        out[i] = value;
        borrow = first | second;
    }
    (out, true)
}

impl From<&EqAffine> for Point {
    fn from(point: &EqAffine) -> Self {
        Option::from(point.coordinates()).map_or(
            Self::IDENTITY,
            |c: pasta_curves::arithmetic::Coordinates<EqAffine>| Self {
                x: *c.x(),
                y: *c.y(),
            },
        )
    }
}

#[cfg(test)]
mod tests;
