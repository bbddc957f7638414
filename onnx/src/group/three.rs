//! Two or three functions of 8-bit tensors that are added in binary32: the rule on all their integers.
//!
//! Of two, the result is a function of the exact sum that never decreases (`fit.rs`). Of three, the sum of the first two
//! is rounded before the third is added. The rest is a function of the first two; where it decides on which side of a
//! threshold a result lies, it is added to the exact sum, by a table of the pairs.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::fit::{Classes, Sum};
use crate::group::importer::Importer;
use crate::group::weighted::Weight;
use zkonnx_circuits::ops::{Lanes, Requantize, Rule, Steps, WeightedSum};
use zkonnx_circuits::program::{DataType, Range, TensorId};

/// Most pieces of the table of the rests, each a row of a circuit.
const MAX_PIECES: usize = 1 << 15;
/// Bits of the largest sum.
const MAX_BITS: i32 = 50;

/// The integers of a sum under a class that never decreases; `None` if there are more than three terms, or too much
/// depends on what is rounded.
pub(crate) fn close(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    (tensors, values): (&[TensorId], &[Vec<f32>]),
    dtype: DataType,
    class: impl Fn(f32) -> i64,
) -> Result<Option<TensorId>, NodeError> {
    let ranges: Vec<Range> = tensors
        .iter()
        .map(|t| Range::of(cx.builder.fact(*t).dtype))
        .collect();
    let (sum, steps) = match (tensors, values) {
        (&[_, _], [of_a, of_b]) => {
            let value = |of: &[f32], range: Range, v: i64| of[(v - range.lo) as usize];
            let (a, b) = (|v| value(of_a, ranges[0], v), |v| value(of_b, ranges[1], v));
            let classes = Classes::new([ranges[0], ranges[1]], |x, y| class(a(x) + b(y)));
            let fit = classes.fit_tables([&|v| f64::from(a(v)), &|v| f64::from(b(v))])?;
            let Sum::Tables(tables) = fit.sum else {
                return Ok(None);
            };
            let sum = cx.weighted(node, tensors, &tables.map(Weight::Table))?;
            (sum, fit.steps)
        }
        (&[a, b, _], [of_a, of_b, of_c]) => {
            let Some(exact) = Exact::new([of_a, of_b, of_c]) else {
                return Ok(None);
            };
            let steps = exact.steps(class);
            let Some(rests) = exact.rests([of_a, of_b], &steps) else {
                return Ok(None);
            };
            let tables = exact.tables.map(Weight::Table);
            let mut sum = cx.weighted(node, tensors, &tables)?;
            if rests.pieces != [(0, 0)] {
                let (first, second) = if rests.swapped { (1, 0) } else { (0, 1) };
                let lowest = 256 * ranges[first].lo + ranges[second].lo;
                let place = WeightedSum::new(vec![256, 1], -lowest)?;
                let pair = [a, b];
                let place = cx.push(node, place, &[pair[first], pair[second]])?;
                let (start, later) = rests.pieces.split_first().ok_or(NodeError::Unknown)?;
                let rule = Rule::Steps(Steps::new(start.1, later.to_vec())?);
                let rest = Requantize::new(DataType::I64, vec![rule], Lanes::Tensor)?;
                let rest = cx.push(node, rest, &[place])?;
                sum = cx.push(node, WeightedSum::new(vec![1, 1], 0)?, &[sum, rest])?;
            }
            (sum, steps)
        }
        _ => return Ok(None),
    };
    let op = Requantize::new(dtype, vec![Rule::Steps(steps)], Lanes::Tensor)?;
    Ok(Some(cx.push(node, op, &[sum])?))
}

/// Three tables of reals in a unit that says all of them exactly.
struct Exact {
    tables: [Vec<i64>; 3],
    unit: f64,
}

/// What is added at the pairs of the first two, in order of `256·first + second`: where a piece starts, and its value.
struct Rests {
    pieces: Vec<(i64, i64)>,
    /// Whether the second tensor is the first of the pair.
    swapped: bool,
}

/// The place of the last bit of a float that is not zero.
fn last_bit(v: f32) -> i32 {
    let bits = v.to_bits();
    let (exponent, fraction) = ((bits >> 23 & 0xff) as i32, bits & 0x7f_ffff);
    match exponent {
        0 => fraction.trailing_zeros() as i32 - 149,
        _ => (fraction | 0x80_0000).trailing_zeros() as i32 + exponent - 150,
    }
}

impl Exact {
    fn new(values: [&Vec<f32>; 3]) -> Option<Self> {
        let all = || {
            values
                .iter()
                .flat_map(|of| of.iter())
                .filter(|v| **v != 0.0)
        };
        let last = all().map(|v| last_bit(*v)).min().unwrap_or(0);
        let largest = all().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        let unit = 2f64.powi(-last);
        if largest * unit >= 2f64.powi(MAX_BITS) {
            return None;
        }
        let table = |of: &Vec<f32>| of.iter().map(|v| (f64::from(*v) * unit) as i64).collect();
        Some(Self {
            tables: values.map(table),
            unit,
        })
    }

    /// The thresholds of the exact sum.
    fn steps(&self, class: impl Fn(f32) -> i64) -> Steps {
        let end = |f: fn(&[i64]) -> i64| self.tables.iter().map(|t| f(t)).sum::<i64>();
        let lo = end(|t| t.iter().copied().min().unwrap_or(0));
        let hi = end(|t| t.iter().copied().max().unwrap_or(0));
        // The rounded sum may lie a little outside.
        let margin = 1 + (hi - lo).max(hi.abs()).max(lo.abs()) / (1 << 20);
        let range = Range::new(lo - margin, hi + margin);
        Steps::bisect(range, |p| class((p as f64 / self.unit) as f32))
    }

    /// What has to be added so that each of all triples lies on its side of each threshold.
    fn rests(&self, [of_a, of_b]: [&Vec<f32>; 2], steps: &Steps) -> Option<Rests> {
        let thresholds: Vec<i64> = steps.thresholds().collect();
        let [a, b, c] = &self.tables;
        let mut third = c.clone();
        third.sort_unstable();
        third.dedup();
        let mut limits = Vec::with_capacity(of_a.len() * of_b.len());
        for (x, in_a) in of_a.iter().zip(a) {
            for (y, in_b) in of_b.iter().zip(b) {
                let rounded = (f64::from(x + y) * self.unit) as i64;
                limits.push(between(in_a + in_b, rounded, &third, &thresholds)?);
            }
        }
        let columns = of_b.len();
        let straight = pieces((0..limits.len()).map(|i| limits[i]));
        let rows = of_a.len();
        let turned = (0..limits.len()).map(|i| limits[(i % rows) * columns + i / rows]);
        let turned = pieces(turned);
        let swapped = turned.len() < straight.len();
        let pieces = if swapped { turned } else { straight };
        (pieces.len() <= MAX_PIECES).then_some(Rests { pieces, swapped })
    }
}

/// What may be added to the exact sum of a pair so that with each of the third it lies where the rounded one does:
/// from, to. `None` if no integer does.
fn between(exact: i64, rounded: i64, third: &[i64], thresholds: &[i64]) -> Option<(i64, i64)> {
    let (mut lo, mut hi, mut passed) = (i64::MIN, i64::MAX, 0);
    for c in third {
        while thresholds.get(passed).is_some_and(|t| *t <= rounded + c) {
            passed += 1;
        }
        if let Some(below) = passed.checked_sub(1) {
            lo = lo.max(thresholds[below] - exact - c);
        }
        if let Some(above) = thresholds.get(passed) {
            hi = hi.min(above - 1 - exact - c);
        }
    }
    (lo <= hi).then_some((lo, hi))
}

/// The fewest pieces of a function within limits, each of them zero or as near to it as may be.
fn pieces(limits: impl Iterator<Item = (i64, i64)>) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, (i64, i64))> = Vec::new();
    for (place, (lo, hi)) in limits.enumerate() {
        match found.last_mut() {
            Some((_, last)) if last.0.max(lo) <= last.1.min(hi) => {
                *last = (last.0.max(lo), last.1.min(hi));
            }
            _ => found.push((place as i64, (lo, hi))),
        }
    }
    let value = |(place, (lo, hi)): (i64, (i64, i64))| (place, 0i64.clamp(lo, hi));
    found.into_iter().map(value).collect()
}
