//! Closing sums: the accumulators of linear operators, and averages.
//!
//! Where ONNX Runtime runs an integer kernel, its float32 formula of the accumulator is the rule. Where it adds floats,
//! the rule is that of the float operators on the exact sum, which binary64 holds but for its last bits: the order in
//! which floats are added is nobody's, so results are apart where the rounding of the float sum reaches a tie.
//!
//! How far is counted for whatever order. Each of `n` products takes part in `n` additions at most and is rounded three
//! times before (both factors and their product), so that the float sum is `(n + 4) · 2^-24 · Σ|t|` from the exact one,
//! to first order, the last rounding included. The terms `t` are no larger than the range of the sum allows: interval
//! arithmetic gives `Σ|w|` times the width of the input's range, and no input is further from its zero point than its
//! type is wide.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::NodeError;
use crate::eval::saturate;
use crate::graph::NodeView;
use crate::group::doubt;
use crate::group::exactness::Exactness;
use crate::group::expr::{Expr, Spread, join};
use crate::group::importer::Importer;
use crate::group::kernel::Arithmetic;
use crate::group::params::{Params, at};
use crate::group::real::{Acc, Mean, MeanKind};
use crate::group::rules::{
    JUMPS, SEVERAL_AXES, beside_thresholds, each_lane, exactness_of, fits_int32, lanes, quantize,
    scale_rule, spread_of, steps,
};
use zkonnx_circuits::ops::{Lanes, Requantize, Rule, Steps};
use zkonnx_circuits::program::{Fact, Range, TensorId};

/// The float result of an accumulator, before what follows it.
struct FloatSum<'a> {
    acc: &'a Acc,
    arithmetic: Arithmetic,
    /// What is added in float, one value or one for each lane.
    addend: &'a [f32],
}

impl FloatSum<'_> {
    fn eval(&self, acc: i64, lane: usize) -> f32 {
        let (x, w) = (self.acc.x_scale, at(&self.acc.w_scale, lane));
        if self.arithmetic != Arithmetic::Float {
            return acc as f32 * (x * w);
        }
        let sum = (acc as f64 * (f64::from(x) * f64::from(w))) as f32;
        match self.addend {
            [] => sum,
            addend => sum + at(addend, lane),
        }
    }
}

/// A clamp of a float sum: the scale rule if both have the same thresholds, as that is shorter and its tables can be
/// shared by channels; otherwise the thresholds.
fn shortest(scale: Result<Rule, NodeError>, exact: Rule, range: Range) -> Rule {
    match scale {
        Ok(rule) => {
            let same = Rule::Steps(Steps::bisect(range, |v| rule.eval(v))) == exact;
            if same { rule } else { exact }
        }
        // A multiplier that no kernel takes.
        Err(_) => exact,
    }
}

/// Rounding of one binary32 operation.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// By how much a float sum of so many terms, whose absolute values add up to `reach`, may be off in any order.
pub(crate) fn roundings(terms: usize, reach: f64) -> f32 {
    (ROUNDING * (terms as f64 + 4.0) * reach) as f32
}

fn width(range: Range) -> f64 {
    range.hi as f64 - range.lo as f64
}

/// What the absolute values of the terms of a sum add up to at most, where a term is no larger than so many times the
/// width of its range, or all of them have one sign.
pub(crate) fn reach(sum: Range, times: f64) -> f64 {
    width(sum) * times + sum.lo.unsigned_abs().max(sum.hi.unsigned_abs()) as f64
}

/// How many times wider than its range the type of a tensor is.
pub(crate) fn narrowing(x: &Fact) -> f64 {
    (width(Range::of(x.dtype)) / width(x.range).max(1.0)).max(1.0)
}

/// By how many steps a result may be off whose float sum is off by `off`: at least one. An error if it is more because
/// of a jump.
pub(crate) fn steps_apart(
    expr: &Expr,
    lane: usize,
    (rule, range): (&Rule, Range),
    sum: impl Fn(i64) -> f32,
    close: impl Fn(f32) -> i64,
    (off, scale): (f32, f32),
) -> Result<u32, NodeError> {
    let apart = match rule {
        // A clamp, which takes no two values further apart.
        Rule::Scale(_) => (off / scale).ceil() as u64,
        Rule::Steps(_) => {
            let apart = |v| {
                let x = sum(v);
                let (here, ends) = (
                    close(expr.eval(x, lane)),
                    doubt::bounds_of_sum(expr, x, off, lane),
                );
                let distance = |end| close(end).abs_diff(here);
                distance(ends.0).max(distance(ends.1))
            };
            let most = beside_thresholds(rule, range).map(apart).max().unwrap_or(1);
            // Between thresholds, what is not monotone may come a step nearer to the next class than at their ends.
            most + u64::from(most > 1 && !expr.is_monotone())
        }
    };
    if apart > 1 && doubt::jumps(expr, true) {
        return Err(JUMPS);
    }
    Ok(u32::try_from(apart.max(1)).unwrap_or(u32::MAX))
}

impl Importer<'_> {
    /// Accumulators: the float32 scale rule, with any clamp fused, or the thresholds of the float result.
    pub(crate) fn close_acc(
        &mut self,
        node: &NodeView<'_>,
        acc: &Acc,
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        let arithmetic = self.arithmetic(&acc.origin, expr, y);
        let (tensor, addend) = match (&acc.float, arithmetic) {
            (Some((bare, reals)), Arithmetic::Float) => (*bare, reals.as_slice()),
            _ => (acc.tensor, &[][..]),
        };
        let sum = FloatSum {
            acc,
            arithmetic,
            addend,
        };
        let own = [acc.w_scale.len(), addend.len()].into_iter().max();
        let own = spread_of(Some(acc.axis), own.unwrap_or(1));
        let spread = self.spread(own, expr, y)?;
        let range = self.builder.fact(tensor).range;
        let close = |lane: usize, value: f32| {
            quantize(value, at(&y.scale, lane), at(&y.zero, lane), y.range())
        };
        let rules = each_lane(spread, |lane| {
            let scale = |clamp| {
                let product = acc.x_scale * at(&acc.w_scale, lane);
                scale_rule(product / at(&y.scale, lane), y, lane, clamp)
            };
            let exact = || {
                steps(range, expr.is_monotone(), |v| {
                    close(lane, expr.eval(sum.eval(v, lane), lane))
                })
            };
            match (expr.as_clamp(), arithmetic) {
                (Some(clamp), Arithmetic::Integer) => scale(clamp),
                (Some(clamp), _) if addend.is_empty() => {
                    Ok(shortest(scale(clamp), exact()?, range))
                }
                _ => exact(),
            }
        })?;
        let apart = || -> Result<u32, NodeError> {
            let reach = reach(range, narrowing(self.builder.fact(acc.x)));
            let mut each = rules.iter().enumerate().map(|(lane, rule)| {
                let unit = f64::from(acc.x_scale).abs() * f64::from(at(&acc.w_scale, lane)).abs();
                let added = addend.get(lane.min(addend.len().saturating_sub(1)));
                let added = added.map_or(0.0, |a| f64::from(a.abs()));
                let rest = if acc.rounded { 0.5 * unit } else { 0.0 };
                let off = roundings(acc.terms, reach * unit + added) + rest as f32;
                let sum = |v| sum.eval(v, lane);
                let (close, scale) = (|v| close(lane, v), at(&y.scale, lane));
                steps_apart(expr, lane, (rule, range), sum, close, (off, scale))
            });
            each.try_fold(1, |most, apart| Ok(apart?.max(most)))
        };
        let exactness = match arithmetic {
            Arithmetic::Integer => Exactness::Kernel,
            Arithmetic::Float if acc.rounded => Exactness::RoundedConstant { apart: apart()? },
            Arithmetic::Float => Exactness::Sum { apart: apart()? },
            Arithmetic::IntegerSums => exactness_of(expr, spread, |lane| {
                let doubtful = |v| {
                    let (lo, hi) = doubt::bounds(expr, sum.eval(v, lane), lane);
                    close(lane, lo).abs_diff(close(lane, hi))
                };
                beside_thresholds(&rules[lane], range)
                    .map(doubtful)
                    .collect()
            })?,
        };
        let (rules, lanes) = lanes(spread, &rules);
        let op = Requantize::new(y.dtype, rules, lanes)?;
        Ok((self.push(node, op, &[tensor])?, exactness))
    }

    /// Averages: see SEMANTICS.md, "Averages", for the order of the float32 steps.
    pub(crate) fn close_mean(
        &mut self,
        node: &NodeView<'_>,
        mean: &Mean,
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        let spread = expr.spread().and_then(|e| join(e, Spread::Tensor));
        let (Some((scale, zero)), Some(Spread::Tensor)) = (y.uniform(), spread) else {
            return Err(SEVERAL_AXES);
        };
        let kind = match self.arithmetic(&mean.origin, expr, y) {
            Arithmetic::Integer => mean.kind,
            _ => MeanKind::Text,
        };
        let counts = match (&mean.float_counts, kind) {
            (Some(counts), MeanKind::Text) => counts,
            _ => &mean.counts,
        };
        let range = self.builder.fact(mean.tensor).range;
        let limit = |v: f32| quantize(v, scale, zero, y.range());
        let average_of = |sum: i64, count: u32| sum as f32 * mean.scale / count as f32;
        let rule = |count: u32| -> Result<Rule, NodeError> {
            let n = count as f32;
            let average = |sum: i64| average_of(sum, count);
            match (kind, expr.as_clamp()) {
                (MeanKind::Global, Some(clamp)) => {
                    scale_rule(mean.scale / (scale * n), y, 0, clamp)
                }
                (MeanKind::Windows, Some((lo, hi))) => {
                    let (lo, hi) = (limit(lo), limit(hi));
                    let result = |sum: i64| average(sum) / scale + zero as f32;
                    fits_int32([range.lo, range.hi].map(result))?;
                    steps(range, true, |sum| {
                        saturate(result(sum), 0, y.range()).clamp(lo, hi)
                    })
                }
                _ => steps(range, expr.is_monotone(), |sum| {
                    limit(expr.eval(average(sum), 0))
                }),
            }
        };
        let mut known = BTreeMap::new();
        let mut apart = 1;
        for &count in counts {
            if let Entry::Vacant(entry) = known.entry(count) {
                let rule = entry.insert(rule(count)?);
                let all = f64::from(mean.scale).abs() * reach(range, 1.0);
                let off = roundings(mean.terms, all / f64::from(count));
                let average = |v| average_of(v, count);
                let of = (&*rule, range);
                apart = apart.max(steps_apart(expr, 0, of, average, limit, (off, scale))?);
            }
        }
        let rules: Vec<Rule> = counts.iter().map(|count| known[count].clone()).collect();
        let (rules, lanes) = Lanes::by_element(&rules);
        let op = Requantize::new(y.dtype, rules, lanes)?;
        let tensor = self.push(node, op, &[mean.tensor])?;
        let exactness = match kind {
            MeanKind::Global => Exactness::Kernel,
            MeanKind::Windows | MeanKind::Text => Exactness::Sum { apart },
        };
        Ok((tensor, exactness))
    }
}
