//! Sums of points, bucket by bucket, in affine coordinates.
//!
//! An affine addition needs one inversion, and a batch of additions shares it: about six field multiplications per
//! addition, against eleven for the mixed addition in projective coordinates. The points of each bucket are added in
//! pairs, round by round, so that all additions of a round are independent.

use ff::Field;
use pasta_curves::arithmetic::VartimeField;
use pasta_curves::{EqAffine, Fq};

use super::Digit;

/// Additions that share an inversion. The scratch memory of a batch stays within the first-level cache.
const BATCH: usize = 256;

/// A point of the curve in affine coordinates; the identity is `(0, 0)`, and no point has `y = 0` because the order of
/// the group is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Point {
    pub(crate) x: Fq,
    pub(crate) y: Fq,
}

impl Point {
    pub(crate) const IDENTITY: Self = Self {
        x: Fq::ZERO,
        y: Fq::ZERO,
    };

    fn is_identity(&self) -> bool {
        self.y.is_zero_vartime()
    }

    /// The point in the curve library's form. It was computed from points on the curve by the addition law.
    pub(crate) fn affine(&self) -> EqAffine {
        EqAffine::from_xy_unchecked(self.x, self.y)
    }

    fn signed(self, negative: bool) -> Self {
        Self {
            x: self.x,
            y: if negative { -self.y } else { self.y },
        }
    }
}

/// The sums of the points that `digits` assigns to each bucket below `buckets`, in increasing order of buckets, without
/// the buckets that are empty or sum to the identity.
pub(super) fn sum_buckets(table: &[Point], digits: &[Digit], buckets: usize) -> Vec<(usize, Point)> {
    let mut ends = vec![0u32; buckets + 1];
    for digit in digits {
        ends[digit.bucket as usize + 1] += 1;
    }
    for bucket in 0..buckets {
        ends[bucket + 1] += ends[bucket];
    }
    let mut sorted = vec![0u32; digits.len()];
    for digit in digits {
        let slot = &mut ends[digit.bucket as usize];
        sorted[*slot as usize] = digit.point;
        *slot += 1;
    }
    // Now `ends[b]` is where bucket `b` ends, and also where the next one starts.
    let mut counts: Vec<(u32, u32)> = Vec::with_capacity(buckets);
    let mut start = 0;
    for (bucket, end) in ends[..buckets].iter().enumerate() {
        if *end > start {
            counts.push((bucket as u32, *end - start));
        }
        start = *end;
    }
    let mut points = Vec::with_capacity(digits.len() / 2 + counts.len());
    let mut scratch = Scratch::default();
    add_pairs(sorted.len(), |i| table[(sorted[i] >> 1) as usize].signed(sorted[i] & 1 == 1), &mut counts, &mut points, &mut scratch);
    while counts.iter().any(|(_, count)| *count > 1) {
        let mut next = Vec::with_capacity(points.len() / 2 + counts.len());
        add_pairs(points.len(), |i| points[i], &mut counts, &mut next, &mut scratch);
        points = next;
    }
    counts
        .iter()
        .zip(points)
        .filter(|(_, point)| !point.is_identity())
        .map(|((bucket, _), point)| (*bucket as usize, point))
        .collect()
}

#[derive(Debug, Default)]
struct Scratch {
    pairs: Vec<(Point, Point)>,
    denominators: Vec<Fq>,
    prefixes: Vec<Fq>,
    slots: Vec<usize>,
}

/// One round: adds the points of each bucket in pairs, and halves the counts.
fn add_pairs(
    len: usize,
    get: impl Fn(usize) -> Point,
    counts: &mut [(u32, u32)],
    out: &mut Vec<Point>,
    scratch: &mut Scratch,
) {
    let mut next = 0;
    for (_, count) in counts.iter_mut() {
        let end = next + *count as usize;
        while next + 1 < end {
            scratch.pairs.push((get(next), get(next + 1)));
            scratch.slots.push(out.len());
            out.push(Point::IDENTITY);
            next += 2;
            if scratch.pairs.len() == BATCH {
                flush(scratch, out);
            }
        }
        if next < end {
            out.push(get(next));
            next += 1;
        }
        *count = count.div_ceil(2);
    }
    debug_assert_eq!(next, len);
    flush(scratch, out);
}

/// Adds the pairs of a batch and clears it.
fn flush(scratch: &mut Scratch, out: &mut [Point]) {
    let Scratch { pairs, denominators, prefixes, slots } = scratch;
    denominators.clear();
    prefixes.clear();
    // Four running products, because one multiplication waits for the one before it.
    let mut running = [Fq::ONE; 4];
    for (i, (p, q)) in pairs.iter().enumerate() {
        let mut denominator = q.x - p.x;
        if denominator.is_zero_vartime() || p.is_identity() || q.is_identity() {
            // Not the generic case; a double is the only one that needs the inverse.
            denominator = if p == q && !p.is_identity() { p.y.double() } else { Fq::ONE };
        }
        let lane = &mut running[i % 4];
        prefixes.push(*lane);
        *lane *= denominator;
        denominators.push(denominator);
    }
    let [a, b, c, d] = running;
    let (ab, cd) = (a * b, c * d);
    // Each factor is a non-zero denominator, so the product has an inverse.
    let inverse = (ab * cd).invert_vartime().unwrap_or(Fq::ZERO);
    let (inverse_ab, inverse_cd) = (inverse * cd, inverse * ab);
    let mut running = [inverse_ab * b, inverse_ab * a, inverse_cd * d, inverse_cd * c];
    for (i, (p, q)) in pairs.iter().enumerate().rev() {
        let lane = &mut running[i % 4];
        let inverse = *lane * prefixes[i];
        *lane *= denominators[i];
        out[slots[i]] = add(p, q, inverse);
    }
    pairs.clear();
    slots.clear();
}

/// `p + q`, given the inverse of `q.x − p.x`, or of `2·p.y` if they are equal.
fn add(p: &Point, q: &Point, inverse: Fq) -> Point {
    let rise = q.y - p.y;
    let run = q.x - p.x;
    let slope = if run.is_zero_vartime() || p.is_identity() || q.is_identity() {
        if p.is_identity() {
            return *q;
        }
        if q.is_identity() {
            return *p;
        }
        if !rise.is_zero_vartime() {
            return Point::IDENTITY;
        }
        let square = p.x.square();
        (square.double() + square) * inverse
    } else {
        rise * inverse
    };
    let x = slope.square() - p.x - q.x;
    Point {
        x,
        y: slope * (p.x - x) - p.y,
    }
}
