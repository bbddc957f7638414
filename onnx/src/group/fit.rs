//! Integers whose sum tells the classes of all pairs apart.
//!
//! A float rule of two tensors is a function of all pairs of their integers. It becomes the steps of one integer `P`. For
//! sums, `P = m_a·a + m_b·b` with the shortest fixed-point ratios that keep the classes apart, which is cheapest; where
//! floats that are rounded one by one break ties in a way of their own, no ratio does. Then `P = A[a] + B[b]` with tables
//! of the reals that the float rule adds: it is a function of their exact sum that never decreases, so some number of
//! bits tells all classes apart.

use crate::error::NodeError;
use zkonnx_circuits::ops::Steps;
use zkonnx_circuits::program::Range;

/// Bits of the fixed-point ratios that are tried.
const FRACTION_BITS: std::ops::RangeInclusive<u32> = 2..=34;
/// Largest coefficient.
const MAX_COEFFICIENT: f64 = (1u64 << 36) as f64;
/// Bits of the largest entry of a table that are tried.
const TABLE_BITS: std::ops::RangeInclusive<i32> = 12..=44;

/// A sum of two integers.
pub(crate) enum Sum {
    /// Coefficients.
    Linear([i64; 2]),
    /// What is added for each value of either type, in order.
    Tables([Vec<i64>; 2]),
}

/// A sum, and its steps.
pub(crate) struct Fit {
    pub(crate) sum: Sum,
    pub(crate) steps: Steps,
}

/// The ranges of two types, and the class of each pair of their values in order.
pub(crate) struct Classes {
    pub(crate) ranges: [Range; 2],
    pub(crate) classes: Vec<i64>,
}

const TOO_FAR_APART: NodeError = NodeError::Island {
    reason: "its scales are too far apart",
};

impl Classes {
    pub(crate) fn new(ranges: [Range; 2], class: impl Fn(i64, i64) -> i64) -> Self {
        let classes = pairs(ranges).map(|(a, b)| class(a, b)).collect();
        Self { ranges, classes }
    }

    /// A sum that keeps the classes apart: of the ratios, or of `parts`, the reals of which the class is a function of
    /// the sum that never decreases.
    pub(crate) fn fit(
        &self,
        ratios: (f64, f64),
        parts: [impl Fn(i64) -> f64; 2],
    ) -> Result<Fit, NodeError> {
        for bits in FRACTION_BITS {
            let Some(coefficients) = coefficients_of(ratios, bits) else {
                continue;
            };
            let [ma, mb] = coefficients;
            let sums = pairs(self.ranges).map(|(a, b)| ma * a + mb * b);
            if let Some(steps) = self.separate(sums) {
                let sum = Sum::Linear(coefficients);
                return Ok(Fit { sum, steps });
            }
        }
        self.fit_tables([&parts[0], &parts[1]])
    }

    /// A sum of tables that keeps the classes apart.
    pub(crate) fn fit_tables(&self, parts: [&dyn Fn(i64) -> f64; 2]) -> Result<Fit, NodeError> {
        let [ra, rb] = self.ranges;
        let reals = [
            (ra.lo..=ra.hi).map(parts[0]).collect::<Vec<f64>>(),
            (rb.lo..=rb.hi).map(parts[1]).collect(),
        ];
        // A real may be infinite where a scale is huge. No sum of integers holds it, nor what stands beside it.
        let largest = reals.iter().flatten().fold(0.0, |m: f64, v| m.max(v.abs()));
        let Some(exponent) = (-150..=130).find(|e| largest < 2f64.powi(*e)) else {
            return Err(TOO_FAR_APART);
        };
        for bits in TABLE_BITS {
            let unit = 2f64.powi(bits - exponent);
            let entries = |of: &Vec<f64>| -> Vec<i64> {
                of.iter()
                    .map(|v| (v * unit).round_ties_even() as i64)
                    .collect()
            };
            let tables = [entries(&reals[0]), entries(&reals[1])];
            let sums = tables[0]
                .iter()
                .flat_map(|a| tables[1].iter().map(move |b| a + b));
            if let Some(steps) = self.separate(sums) {
                let sum = Sum::Tables(tables);
                return Ok(Fit { sum, steps });
            }
        }
        Err(TOO_FAR_APART)
    }

    fn separate(&self, sums: impl Iterator<Item = i64>) -> Option<Steps> {
        let points: Vec<(i64, i64)> = sums.zip(self.classes.iter().copied()).collect();
        separate(&points)
    }
}

/// All pairs of values of two types.
pub(crate) fn pairs([ra, rb]: [Range; 2]) -> impl Iterator<Item = (i64, i64)> {
    (ra.lo..=ra.hi).flat_map(move |a| (rb.lo..=rb.hi).map(move |b| (a, b)))
}

/// The ratios as fixed-point numbers, if they are not zero and not too large.
fn coefficients_of(ratios: (f64, f64), bits: u32) -> Option<[i64; 2]> {
    let scale = 2f64.powi(bits as i32);
    let coefficients = [ratios.0 * scale, ratios.1 * scale].map(f64::round_ties_even);
    let usable = coefficients
        .iter()
        .all(|c| (1.0..=MAX_COEFFICIENT).contains(&c.abs()));
    usable.then(|| coefficients.map(|c| c as i64))
}

/// Steps at the smallest sum of each class, if the classes do not interleave.
pub(crate) fn separate(points: &[(i64, i64)]) -> Option<Steps> {
    let classes = || points.iter().map(|(_, class)| *class);
    let (lowest, highest) = (classes().min()?, classes().max()?);
    // Classes are values of a type of at most 16 bits, so they number few.
    let mut bounds: Vec<Option<(i64, i64)>> = vec![None; (highest - lowest + 1) as usize];
    for &(p, class) in points {
        let bound = bounds[(class - lowest) as usize].get_or_insert((p, p));
        *bound = (bound.0.min(p), bound.1.max(p));
    }
    let known = (lowest..=highest).zip(bounds);
    let ordered: Vec<(i64, (i64, i64))> = known.filter_map(|(c, b)| Some((c, b?))).collect();
    if !ordered.windows(2).all(|pair| pair[0].1.1 < pair[1].1.0) {
        return None;
    }
    let (first, rest) = ordered.split_first()?;
    Steps::new(
        first.0,
        rest.iter().map(|(class, (lo, _))| (*lo, *class)).collect(),
    )
    .ok()
}

/// For each pair of neighbouring classes, the threshold that puts the fewest pairs on the wrong side.
pub(crate) fn nearest(points: &[(i64, i64)]) -> Result<Steps, NodeError> {
    let mut points = points.to_vec();
    points.sort_unstable();
    let mut present: Vec<i64> = points.iter().map(|(_, class)| *class).collect();
    present.sort_unstable();
    present.dedup();
    let mut steps = Vec::new();
    let mut from = i64::MIN;
    for &class in &present[1..] {
        // Errors if the threshold lies below all points: every smaller class is on the wrong side.
        let mut errors = points.iter().filter(|(_, c)| *c < class).count() as i64;
        let mut best = (errors, points[0].0);
        for (i, (p, c)) in points.iter().enumerate() {
            errors += if *c < class { -1 } else { 1 };
            let next = points.get(i + 1).map_or(p + 1, |(q, _)| *q);
            if next != *p && next > from && errors < best.0 {
                best = (errors, next);
            }
        }
        from = best.1;
        steps.push((best.1, class));
    }
    // Two classes with one threshold: the lower one is never reached.
    let mut unique: Vec<(i64, i64)> = Vec::with_capacity(steps.len());
    for (start, class) in steps {
        match unique.last_mut() {
            Some(last) if last.0 >= start => last.1 = class,
            _ => unique.push((start, class)),
        }
    }
    Ok(Steps::new(present[0], unique)?)
}
