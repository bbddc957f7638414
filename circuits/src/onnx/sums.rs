//! Closing sums: the accumulators of linear operators, and averages.
//!
//! Where ONNX Runtime runs an integer kernel, its float32 formula of the accumulator is the rule. Where it adds floats,
//! the rule is that of the float operators on the exact sum, which binary64 holds but for its last bits: the order in
//! which floats are added is nobody's, so results are one apart where the rounding of the float sum reaches a tie.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::close::{
    JUMPS, SEVERAL_AXES, at, beside_thresholds, each_lane, exactness_of, fits_int32, lanes,
    quantize, saturate, scale_rule, spread_of, steps,
};
use super::doubt;
use super::error::NodeError;
use super::exactness::Exactness;
use super::expr::{Expr, Spread, join};
use super::importer::Importer;
use super::kernel::Arithmetic;
use super::node::NodeView;
use super::real::{Acc, Mean, MeanKind, Params};
use crate::ops::{Lanes, Requantize, Rule, Steps};
use crate::program::{Range, TensorId};

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

/// Fails if a float sum may be on the other side of a jump that is more than the step that is said of sums.
fn rejects_jumps(
    expr: &Expr,
    mut values: impl Iterator<Item = f32>,
    lane: usize,
    close: impl Fn(f32) -> i64,
) -> Result<(), NodeError> {
    let far = |x: f32| {
        let (lo, hi) = doubt::bounds_of_sum(expr, x, lane);
        close(lo).abs_diff(close(hi)) > 1
    };
    match values.any(far) {
        true => Err(JUMPS),
        false => Ok(()),
    }
}

impl Importer<'_> {
    /// Accumulators: the float32 scale rule, with any clamp fused, or the thresholds of the float result.
    pub(super) fn close_acc(
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
        if arithmetic == Arithmetic::Float && doubt::jumps(expr, true) {
            for (lane, rule) in rules.iter().enumerate() {
                let values = beside_thresholds(rule, range).map(|v| sum.eval(v, lane));
                rejects_jumps(expr, values, lane, |v| close(lane, v))?;
            }
        }
        let exactness = match arithmetic {
            Arithmetic::Integer => Exactness::Kernel,
            Arithmetic::Float if acc.rounded => Exactness::RoundedConstant,
            Arithmetic::Float => Exactness::Sum,
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
    pub(super) fn close_mean(
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
        for &count in counts {
            if let Entry::Vacant(entry) = known.entry(count) {
                let rule = entry.insert(rule(count)?);
                if doubt::jumps(expr, true) {
                    let values = beside_thresholds(rule, range).map(|v| average_of(v, count));
                    rejects_jumps(expr, values, 0, limit)?;
                }
            }
        }
        let rules: Vec<Rule> = counts.iter().map(|count| known[count].clone()).collect();
        let (rules, lanes) = Lanes::by_element(&rules);
        let op = Requantize::new(y.dtype, rules, lanes)?;
        let tensor = self.push(node, op, &[mean.tensor])?;
        let exactness = match kind {
            MeanKind::Global => Exactness::Kernel,
            MeanKind::Windows | MeanKind::Text => Exactness::Sum,
        };
        Ok((tensor, exactness))
    }
}
