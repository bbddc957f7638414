//! Sums of points, bucket by bucket, in affine coordinates.
//!
//! An affine addition needs one inversion, and a batch of additions shares it: about six field multiplications per
//! addition, against eleven for the mixed addition in projective coordinates. The points of each bucket are added in
//! pairs, round by round, so that all additions of a round are independent.

use ff::Field;
use group::Curve;
use pasta_curves::arithmetic::VartimeField;
use pasta_curves::{EqAffine, Fq};

use super::Digit;

/// Additions that share an inversion. What they need stays within the caches.
const BATCH: usize = 256;

/// Points that are gathered and added before the next ones are. They stay within the second-level cache.
const CHUNK: usize = 4096;

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

    /// The point or its negative, without a branch that could not be predicted.
    fn signed(&self, negative: bool) -> Self {
        Self {
            x: self.x,
            y: if negative { -self.y } else { self.y },
        }
    }
}

/// The sums of the points that `digits` assigns to each bucket below `buckets`, in increasing order of buckets, without
/// the buckets that are empty or sum to the identity.
pub(super) fn sum_buckets(
    table: &[Point],
    digits: &[Digit],
    buckets: usize,
) -> Vec<(usize, Point)> {
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
    let mut adder = Adder::default();
    let mut sums = Vec::with_capacity(counts.len());
    let (mut rest, mut references) = (&mut counts[..], &sorted[..]);
    while !rest.is_empty() {
        let (mut buckets, mut points) = (0, 0);
        while buckets < rest.len() && (buckets == 0 || points < CHUNK) {
            points += rest[buckets].1 as usize;
            buckets += 1;
        }
        let (own, others) = rest.split_at_mut(buckets);
        adder.sum(table, &references[..points], own, &mut sums);
        (rest, references) = (others, &references[points..]);
    }
    sums
}

/// Buffers of a chunk of buckets.
#[derive(Debug, Default)]
struct Adder {
    batch: Batch,
    points: Vec<Point>,
    next: Vec<Point>,
}

impl Adder {
    /// Appends the sums of some buckets, which hold the points that are referred to.
    fn sum(
        &mut self,
        table: &[Point],
        references: &[u32],
        counts: &mut [(u32, u32)],
        sums: &mut Vec<(usize, Point)>,
    ) {
        // Gathered before they are added, so that the loads, which miss the caches, overlap.
        let load = |reference: &u32| table[(reference >> 1) as usize].signed(reference & 1 == 1);
        self.points.clear();
        self.points.extend(references.iter().map(load));
        while counts.iter().any(|(_, count)| *count > 1) {
            self.next.resize(halved(counts), Point::IDENTITY);
            add_pairs(&self.points, counts, &mut self.next, &mut self.batch);
            std::mem::swap(&mut self.points, &mut self.next);
        }
        let buckets = counts.iter().map(|(bucket, _)| *bucket as usize);
        let own = buckets.zip(self.points.iter().copied());
        sums.extend(own.filter(|(_, point)| !point.is_identity()));
    }
}

/// Number of points after a round.
fn halved(counts: &[(u32, u32)]) -> usize {
    counts
        .iter()
        .map(|(_, count)| count.div_ceil(2) as usize)
        .sum()
}

/// An addition that waits for its inverse.
#[derive(Clone, Copy, Debug)]
struct Pending {
    p: Point,
    /// `q.x − p.x`, and the product of the denominators before it in its lane.
    run: Fq,
    prefix: Fq,
    /// `q.y − p.y`.
    rise: Fq,
    /// Where the sum goes.
    slot: usize,
}

/// Additions that share an inversion.
#[derive(Debug)]
struct Batch {
    /// The first `len` wait; the others are overwritten in place.
    pending: Vec<Pending>,
    len: usize,
    /// Running products of the denominators; four, because one multiplication waits for the one before it.
    lanes: [Fq; 4],
    /// Whether a sum so far was the identity. Until then, no operand can be.
    identities: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            pending: vec![Pending::EMPTY; BATCH],
            len: 0,
            lanes: [Fq::ONE; 4],
            identities: false,
        }
    }
}

/// One round: adds the points of each bucket in pairs, and halves the counts.
fn add_pairs(points: &[Point], counts: &mut [(u32, u32)], out: &mut [Point], batch: &mut Batch) {
    let (mut next, mut slot) = (0, 0);
    for (_, count) in counts.iter_mut() {
        let end = next + *count as usize;
        while next + 1 < end {
            batch.push(&points[next], &points[next + 1], slot, out);
            next += 2;
            slot += 1;
        }
        if next < end {
            out[slot] = points[next];
            next += 1;
            slot += 1;
        }
        *count = count.div_ceil(2);
    }
    batch.flush(out);
}

impl Pending {
    const EMPTY: Self = Self {
        p: Point::IDENTITY,
        run: Fq::ZERO,
        prefix: Fq::ZERO,
        rise: Fq::ZERO,
        slot: 0,
    };

    fn finish(&self, slope: Fq) -> Point {
        let x = slope.square() - self.p.x.double() - self.run;
        Point {
            x,
            y: slope * (self.p.x - x) - self.p.y,
        }
    }
}

impl Batch {
    fn push(&mut self, p: &Point, q: &Point, slot: usize, out: &mut [Point]) {
        let run = q.x - p.x;
        if run.is_zero_vartime() || (self.identities && (p.is_identity() || q.is_identity())) {
            let sum = p.affine() + q.affine();
            out[slot] = Point::from(&sum.to_affine());
            self.identities |= out[slot].is_identity();
            return;
        }
        let lane = &mut self.lanes[self.len % 4];
        let pending = &mut self.pending[self.len];
        pending.run = run;
        pending.prefix = *lane;
        pending.rise = q.y - p.y;
        pending.slot = slot;
        pending.p = *p;
        *lane *= run;
        self.len += 1;
        if self.len == BATCH {
            self.flush(out);
        }
    }

    /// Completes the pending additions.
    fn flush(&mut self, out: &mut [Point]) {
        let [a, b, c, d] = self.lanes;
        let (ab, cd) = (a * b, c * d);
        // Each factor is a denominator that is not zero, so the product has an inverse.
        let inverse = (ab * cd).invert_vartime().unwrap_or(Fq::ZERO);
        let (inverse_ab, inverse_cd) = (inverse * cd, inverse * ab);
        let mut lanes = [
            inverse_ab * b,
            inverse_ab * a,
            inverse_cd * d,
            inverse_cd * c,
        ];
        let (groups, rest) = self.pending[..self.len].split_at(self.len / 4 * 4);
        for (lane, pending) in lanes.iter_mut().zip(rest) {
            let inverse = *lane * pending.prefix;
            *lane *= pending.run;
            out[pending.slot] = pending.finish(inverse * pending.rise);
        }
        // Four additions in step, because the multiplications of one wait for each other.
        for group in groups.chunks_exact(4).rev() {
            let mut slopes = lanes;
            for ((slope, lane), pending) in slopes.iter_mut().zip(&mut lanes).zip(group) {
                *slope = *lane * pending.prefix;
                *lane *= pending.run;
            }
            for (slope, pending) in slopes.iter_mut().zip(group) {
                *slope *= pending.rise;
            }
            let mut xs = [Fq::ZERO; 4];
            for ((x, slope), pending) in xs.iter_mut().zip(&slopes).zip(group) {
                // q.x = p.x + run.
                *x = slope.square() - pending.p.x.double() - pending.run;
            }
            for ((x, slope), pending) in xs.into_iter().zip(slopes).zip(group) {
                let y = slope * (pending.p.x - x) - pending.p.y;
                out[pending.slot] = Point { x, y };
            }
        }
        self.len = 0;
        self.lanes = [Fq::ONE; 4];
    }
}
