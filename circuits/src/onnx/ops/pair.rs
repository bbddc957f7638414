//! Two quantized tensors combined element by element: no function of one integer.
//!
//! The float rule of ONNX Runtime is `y = class(a, b)`. If there are integers `m_a`, `m_b` such that the values of
//! `P = m_a·a + m_b·b` of different classes do not interleave, then `y` is a step function of `P`, exactly. That is
//! certified here on all pairs of inputs of the two types (65,536 for 8-bit ones), for the shortest fixed-point ratios
//! that pass. Where none pass, the thresholds with the fewest differing pairs are the rule, and their number is
//! reported.

use super::super::Status;
use super::super::close::{quantize, saturate};
use super::super::error::NodeError;
use super::super::expr::Expr;
use super::super::importer::Importer;
use super::super::node::NodeView;
use super::super::real::{Pair, PairOp, Params, Quantized};
use crate::ops::{Lanes, Move, Product, Requantize, Reshape, Rule, Steps, Table, WeightedSum};
use crate::program::{DataType, Range, TensorId};

/// Bits of the fixed-point ratios that are tried.
const FRACTION_BITS: std::ops::RangeInclusive<u32> = 2..=34;
/// Bits that are tried where no ratios separate the classes.
const FALLBACK_BITS: std::ops::RangeInclusive<u32> = 12..=24;
/// Largest coefficient.
const MAX_COEFFICIENT: f64 = (1u64 << 36) as f64;

/// The float rule of a pair.
struct PairRule<'a> {
    op: PairOp,
    a: (f32, i64),
    b: (f32, i64),
    y: (f32, i64),
    expr: &'a Expr,
    range: Range,
}

impl PairRule<'_> {
    /// The rule of the kernel, with any clamp applied to its result; other functions on the float sum.
    fn eval(&self, a: i64, b: i64) -> i64 {
        let ((sa, za), (sb, zb), (sy, zy)) = (self.a, self.b, self.y);
        let kernel = match self.op {
            PairOp::Add => {
                let (ra, rb) = (sa / sy, sb / sy);
                let fixed = zy as f32 - (za as f32).mul_add(ra, rb * zb as f32);
                let inner = (b as f32).mul_add(rb, fixed);
                saturate((a as f32).mul_add(ra, inner), 0, self.range)
            }
            PairOp::Sub => quantize(self.real(a, b), sy, zy, self.range),
            PairOp::Mul => return self.of_product((a - za) * (b - zb)),
        };
        match self.expr.as_clamp() {
            Some((lo, hi)) => {
                let limit = |v: f32| quantize(v, sy, zy, self.range);
                kernel.clamp(limit(lo), limit(hi))
            }
            None => quantize(self.expr.eval(self.real(a, b), 0), sy, zy, self.range),
        }
    }

    /// The rule of a product, which is a function of the integer product alone.
    fn of_product(&self, product: i64) -> i64 {
        let ((sa, _), (sb, _), (sy, zy)) = (self.a, self.b, self.y);
        let y = saturate(product as f32 * (sa * sb / sy) + zy as f32, 0, self.range);
        match self.expr.as_clamp() {
            Some((lo, hi)) => {
                let limit = |v: f32| quantize(v, sy, zy, self.range);
                y.clamp(limit(lo), limit(hi))
            }
            None => quantize(
                self.expr.eval(product as f32 * (sa * sb), 0),
                sy,
                zy,
                self.range,
            ),
        }
    }

    /// The result as a float.
    fn real(&self, a: i64, b: i64) -> f32 {
        let (x, y) = (
            (a - self.a.1) as f32 * self.a.0,
            (b - self.b.1) as f32 * self.b.0,
        );
        match self.op {
            PairOp::Add => x + y,
            PairOp::Sub => x - y,
            PairOp::Mul => x * y,
        }
    }
}

/// Coefficients and thresholds, and how many pairs they get wrong.
struct Fit {
    coefficients: [i64; 2],
    steps: Steps,
    differing: u32,
}

/// Closes a pair by a weighted sum and its steps.
pub(crate) fn close(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    pair: &Pair,
    expr: &Expr,
    y: &Params,
) -> Result<(TensorId, Status), NodeError> {
    let several = NodeError::Island {
        reason: "its scales follow an axis",
    };
    let (Some(sa), Some(sb), Some(sy)) = (
        pair.a.params.uniform(),
        pair.b.params.uniform(),
        y.uniform(),
    ) else {
        return Err(several);
    };
    if expr.spread() != Some(super::super::expr::Spread::Tensor) {
        return Err(several);
    }
    let rule = PairRule {
        op: pair.op,
        a: sa,
        b: sb,
        y: sy,
        expr,
        range: y.range(),
    };
    let (ra, rb) = (pair.a.params.range(), pair.b.params.range());
    if pair.a.params.dtype.width() > 8 || pair.b.params.dtype.width() > 8 {
        return Err(NodeError::Island {
            reason: "two 16-bit tensors are combined; only 8-bit ones are supported",
        });
    }
    if pair.a.tensor == pair.b.tensor {
        let table = (ra.lo..=ra.hi).map(|v| rule.eval(v, v)).collect();
        let table = Table::new(pair.a.params.dtype, y.dtype, vec![table], Lanes::Tensor)?;
        return Ok((cx.push(node, table, &[pair.a.tensor])?, Status::Exact));
    }
    if pair.op == PairOp::Mul {
        return close_product(cx, node, pair, &rule, y);
    }
    let classes: Vec<i64> = (ra.lo..=ra.hi)
        .flat_map(|a| (rb.lo..=rb.hi).map(move |b| (a, b)))
        .map(|(a, b)| rule.eval(a, b))
        .collect();
    let sign = if pair.op == PairOp::Sub { -1.0 } else { 1.0 };
    let ratios = (
        f64::from(sa.0) / f64::from(sy.0),
        sign * f64::from(sb.0) / f64::from(sy.0),
    );
    let fit = fit(&classes, ra, rb, ratios)?;
    let sum = WeightedSum::new(fit.coefficients.to_vec(), 0)?;
    let sum = cx.push(node, sum, &[pair.a.tensor, pair.b.tensor])?;
    let requantize = Requantize::new(y.dtype, vec![Rule::Steps(fit.steps)], Lanes::Tensor)?;
    let tensor = cx.push(node, requantize, &[sum])?;
    Ok((tensor, status_of(fit.differing)))
}

/// A comparison of two tensors of different scales, of their dequantized binary32 values.
pub(crate) fn close_comparison(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    a: &Quantized,
    b: &Quantized,
    f: fn(f32, f32) -> bool,
) -> Result<(TensorId, Status), NodeError> {
    let (Some((sa, za)), Some((sb, zb))) = (a.params.uniform(), b.params.uniform()) else {
        return Err(NodeError::Island {
            reason: "its scales follow an axis",
        });
    };
    if a.params.dtype.width() > 8
        || b.params.dtype.width() > 8
        || f(0.0, 0.0) && !f(0.0, 1.0) && !f(1.0, 0.0)
    {
        let reason =
            "it compares tensors of different scales, which is supported for 8-bit orders only";
        return Err(NodeError::Island { reason });
    }
    let (ra, rb) = (a.params.range(), b.params.range());
    let class = |a: i64, b: i64| i64::from(f((a - za) as f32 * sa, (b - zb) as f32 * sb));
    let pairs = (ra.lo..=ra.hi).flat_map(|a| (rb.lo..=rb.hi).map(move |b| (a, b)));
    let classes: Vec<i64> = pairs.map(|(a, b)| class(a, b)).collect();
    // The sum has to grow where the comparison becomes true.
    let sign = if f(1.0, 0.0) { 1.0 } else { -1.0 };
    let unit = f64::from(sa.max(sb));
    let fit = fit(
        &classes,
        ra,
        rb,
        (sign * f64::from(sa) / unit, -sign * f64::from(sb) / unit),
    )?;
    let sum = WeightedSum::new(fit.coefficients.to_vec(), 0)?;
    let sum = cx.push(node, sum, &[a.tensor, b.tensor])?;
    let op = Requantize::new(DataType::Bool, vec![Rule::Steps(fit.steps)], Lanes::Tensor)?;
    let tensor = cx.push(node, op, &[sum])?;
    Ok((tensor, status_of(fit.differing)))
}

fn status_of(differing: u32) -> Status {
    match differing {
        0 => Status::Exact,
        n => Status::Documented {
            rule: "Two inputs",
            differing_pairs: Some(n),
        },
    }
}

/// A product is one integer, and the rule a function of it.
fn close_product(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    pair: &Pair,
    rule: &PairRule<'_>,
    y: &Params,
) -> Result<(TensorId, Status), NodeError> {
    if rule.expr.as_clamp().is_none() {
        return Err(NodeError::Island {
            reason: "a function follows a product of activations",
        });
    }
    let mut shapes = [&pair.a, &pair.b].map(|q| cx.builder.fact(q.tensor).shape.clone());
    let mut tensors = [pair.a.tensor, pair.b.tensor];
    for (tensor, shape) in tensors.iter_mut().zip(&mut shapes) {
        // A product of numbers is one of 1 × 1 matrices.
        let matrices = [shape.as_slice(), &[1, 1]].concat();
        *tensor = cx.push(node, Move(Reshape { shape: matrices }), &[*tensor])?;
    }
    let (za, zb) = (rule.a.1, rule.b.1);
    let product = cx.push(node, Product::new(za, zb)?, &tensors)?;
    let fact = cx.builder.fact(product).clone();
    let shape = fact.shape[..fact.shape.len() - 2].to_vec();
    let product = cx.push(node, Move(Reshape { shape }), &[product])?;
    let steps = Steps::bisect(fact.range, |p| rule.of_product(p));
    let requantize = Requantize::new(y.dtype, vec![Rule::Steps(steps)], Lanes::Tensor)?;
    Ok((cx.push(node, requantize, &[product])?, Status::Exact))
}

/// The shortest coefficients whose sums separate the classes, or those that come closest.
fn fit(classes: &[i64], ra: Range, rb: Range, ratios: (f64, f64)) -> Result<Fit, NodeError> {
    for bits in FRACTION_BITS {
        let Some(coefficients) = coefficients_of(ratios, bits) else {
            continue;
        };
        if let Some(steps) = separate(classes, ra, rb, coefficients) {
            return Ok(Fit {
                coefficients,
                steps,
                differing: 0,
            });
        }
    }
    // None separates them. More bits than these only widen the circuit's range checks.
    let mut best: Option<Fit> = None;
    for bits in FALLBACK_BITS.step_by(3) {
        let Some(coefficients) = coefficients_of(ratios, bits) else {
            continue;
        };
        let steps = nearest(classes, ra, rb, coefficients)?;
        let wrong = sums(ra, rb, coefficients)
            .zip(classes)
            .filter(|(p, c)| steps.eval(*p) != **c);
        let differing = wrong.count() as u32;
        if best.as_ref().is_none_or(|b| differing < b.differing) {
            best = Some(Fit {
                coefficients,
                steps,
                differing,
            });
        }
    }
    best.ok_or(NodeError::Island {
        reason: "its scales are too far apart",
    })
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

/// `P` of every pair, in the order of the classes.
fn sums(ra: Range, rb: Range, [ma, mb]: [i64; 2]) -> impl Iterator<Item = i64> {
    (ra.lo..=ra.hi).flat_map(move |a| (rb.lo..=rb.hi).map(move |b| ma * a + mb * b))
}

/// Steps at the smallest sum of each class, if the classes do not interleave.
fn separate(classes: &[i64], ra: Range, rb: Range, coefficients: [i64; 2]) -> Option<Steps> {
    let lowest = classes.iter().copied().min()?;
    let highest = classes.iter().copied().max()?;
    // Classes are values of a type of at most 16 bits, so they number few.
    let mut bounds: Vec<Option<(i64, i64)>> = vec![None; (highest - lowest + 1) as usize];
    for (p, &class) in sums(ra, rb, coefficients).zip(classes) {
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
fn nearest(
    classes: &[i64],
    ra: Range,
    rb: Range,
    coefficients: [i64; 2],
) -> Result<Steps, NodeError> {
    let mut points: Vec<(i64, i64)> = sums(ra, rb, coefficients)
        .zip(classes.iter().copied())
        .collect();
    points.sort_unstable();
    let mut present: Vec<i64> = classes.to_vec();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// QLinearAdd of ONNX Runtime rounds a product and a sum together, as measured on all pairs of bytes; where it did
    /// not, each of these would be one more or one less.
    #[test]
    fn adds_products_that_are_not_rounded() {
        let rule = |a, b, y| PairRule {
            op: PairOp::Add,
            a,
            b,
            y,
            expr: &Expr::X,
            range: Range::of(DataType::U8),
        };
        let first = rule((0.04, 159), (0.13, 122), (0.34, 67));
        for (a, b, y) in [
            (15, 165, 67),
            (16, 81, 34),
            (31, 113, 49),
            (33, 81, 36),
            (46, 145, 63),
            (50, 81, 38),
        ] {
            assert_eq!(first.eval(a, b), y, "{a}, {b}");
        }
        let second = rule((0.17, 150), (0.17, 44), (0.52, 188));
        for (a, b, y) in [
            (11, 209, 197),
            (12, 208, 196),
            (15, 49, 145),
            (20, 200, 197),
        ] {
            assert_eq!(second.eval(a, b), y, "{a}, {b}");
        }
        let third = rule((0.00639, 8), (0.02765, 29), (0.02938, 115));
        for (a, b, y) in [(36, 56, 146), (122, 34, 145), (221, 77, 207)] {
            assert_eq!(third.eval(a, b), y, "{a}, {b}");
        }
    }
}
