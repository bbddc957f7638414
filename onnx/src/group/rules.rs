//! Rules over integers: what becomes of float32 formulas that are evaluated once, for all of them.

use crate::error::NodeError;
use crate::group::doubt;
use crate::group::exactness::Exactness;
use crate::group::expr::{Expr, Spread};
use crate::group::params::{Params, at};
use zkonnx_circuits::ops::{Lanes, Rule, ScaleRule, Steps};
use zkonnx_circuits::program::Range;

pub(crate) use crate::eval::quantize;

/// Largest number of accumulators that a rule which is not monotone is enumerated on.
const MAX_ENUMERATION: i64 = 1 << 20;

/// The kernels of sums, products and averages convert a float to int32 before it is saturated, and what becomes of one
/// that does not fit is the machine's.
pub(crate) fn fits_int32(results: impl IntoIterator<Item = f32>) -> Result<(), NodeError> {
    if results.into_iter().all(|x| x.abs() < 2_147_483_648.0) {
        return Ok(());
    }
    Err(NodeError::Input {
        input: 1,
        what: "the scale",
        reason: "it is so small that results leave int32, where machines differ; use a larger one",
    })
}

/// The multiplier's mantissa and exponent.
pub(crate) fn split(multiplier: f32) -> Result<(u32, i32), NodeError> {
    if !multiplier.is_normal() || multiplier < 0.0 {
        return Err(NodeError::Multiplier(multiplier));
    }
    let bits = multiplier.to_bits();
    Ok(((bits & 0x7f_ffff) | 0x80_0000, (bits >> 23) as i32 - 150))
}

/// `round(f32(f32(acc) · multiplier)) + zero`, between the limits.
pub(crate) fn scale_rule(
    multiplier: f32,
    y: &Params,
    lane: usize,
    clamp: (f32, f32),
) -> Result<Rule, NodeError> {
    let (mantissa, exponent) = split(multiplier)?;
    let (scale, zero) = (at(&y.scale, lane), at(&y.zero, lane));
    let limit = |v: f32| quantize(v, scale, zero, y.range());
    let (lo, hi) = (limit(clamp.0), limit(clamp.1));
    Ok(Rule::Scale(ScaleRule::new(
        mantissa, exponent, zero, lo, hi,
    )?))
}

pub(crate) fn spread_of(axis: Option<usize>, len: usize) -> Spread {
    match axis {
        Some(axis) if len > 1 => Spread::Axis(axis, len),
        _ => Spread::Tensor,
    }
}

pub(crate) const SEVERAL_AXES: NodeError = NodeError::Island {
    reason: "its scales follow several axes",
};

pub(crate) fn each_lane<T>(
    spread: Spread,
    mut f: impl FnMut(usize) -> Result<T, NodeError>,
) -> Result<Vec<T>, NodeError> {
    let len = match spread {
        Spread::Tensor => 1,
        Spread::Axis(_, len) => len,
    };
    (0..len).map(&mut f).collect()
}

pub(crate) fn lanes<T: Clone + Eq + std::hash::Hash>(
    spread: Spread,
    items: &[T],
) -> (Vec<T>, Lanes) {
    match spread {
        Spread::Tensor => Lanes::by_element(items),
        Spread::Axis(axis, _) => Lanes::along_axis(axis, items),
    }
}

/// The steps of a rule over a range of accumulators.
pub(crate) fn steps(
    range: Range,
    monotone: bool,
    f: impl Fn(i64) -> i64,
) -> Result<Rule, NodeError> {
    if monotone && f(range.lo) <= f(range.hi) {
        return Ok(Rule::Steps(Steps::bisect(range, f)));
    }
    if range.hi - range.lo > MAX_ENUMERATION {
        return Err(NodeError::Island {
            reason: "it applies a function that is not monotone to wide accumulators",
        });
    }
    Ok(Rule::Steps(Steps::enumerate(range, f)))
}

/// The values on both sides of each threshold of a rule: of a function that never decreases, those nearest to ties.
pub(crate) fn beside_thresholds(rule: &Rule, range: Range) -> impl Iterator<Item = i64> + '_ {
    let thresholds = match rule {
        Rule::Steps(steps) => Some(steps.thresholds()),
        Rule::Scale(_) => None,
    };
    let beside = thresholds.into_iter().flatten().flat_map(|t| [t - 1, t]);
    beside.filter(move |v| range.contains(*v))
}

pub(crate) const JUMPS: NodeError = NodeError::Island {
    reason: "a function jumps (Mod, Round, Div, …) where ONNX Runtime's floats may be on the other side; leave it out, or quantize what comes before it",
};

/// What is said of a function of this many entries, of which these may be this many steps apart.
pub(crate) fn doubtful_functions(
    expr: &Expr,
    entries: u32,
    distances: impl Iterator<Item = u64>,
) -> Result<Exactness, NodeError> {
    let (mut doubtful, mut apart) = (0, 0);
    for distance in distances.filter(|d| *d > 0) {
        doubtful += 1;
        apart = apart.max(u32::try_from(distance).unwrap_or(u32::MAX));
    }
    if apart > 1 && doubt::jumps(expr, false) {
        return Err(JUMPS);
    }
    Ok(Exactness::Functions {
        doubtful,
        entries,
        apart,
    })
}

/// What is said of a table or of thresholds of a function: `doubtful` says of a lane by how many steps the result may be
/// another in ONNX Runtime, for each entry.
pub(crate) fn exactness_of(
    expr: &Expr,
    spread: Spread,
    doubtful: impl Fn(usize) -> Vec<u64>,
) -> Result<Exactness, NodeError> {
    if doubt::is_stepwise(expr) {
        return Ok(Exactness::Steps);
    }
    let lanes = match spread {
        Spread::Tensor => 1,
        Spread::Axis(_, len) => len,
    };
    let distances: Vec<u64> = (0..lanes).flat_map(doubtful).collect();
    doubtful_functions(expr, distances.len() as u32, distances.into_iter())
}
