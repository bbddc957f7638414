//! Reductions along axes.

use crate::error::NodeError;
use crate::eval::cast::{number, wrap};
use crate::eval::inputs::{Inputs, Results, bad, numbers, undefined, wrong_type};
use crate::eval::places::strides;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use crate::math;
use zkonnx_circuits::program::{DataType, elements};

/// Lines of elements that are combined: the shape of the result, and for each of its elements those of `x`.
pub(crate) struct Lines {
    pub(crate) shape: Vec<usize>,
    /// The first element of each line.
    starts: Vec<usize>,
    /// Where the others lie after it.
    steps: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(shape: &[usize], axes: &[usize], keep: bool) -> Self {
        let from = strides(shape);
        let offsets = |of: &dyn Fn(usize) -> bool| {
            let mut offsets = vec![0];
            for d in (0..shape.len()).filter(|&d| of(d)) {
                let step = from[d];
                let next = |o: usize| (0..shape[d]).map(move |i| o + i * step);
                offsets = offsets.into_iter().flat_map(next).collect();
            }
            offsets
        };
        let kept = |d: usize| !axes.contains(&d);
        let extents = (0..shape.len()).filter(|&d| keep || kept(d));
        let shape = extents
            .map(|d| if kept(d) { shape[d] } else { 1 })
            .collect();
        let (starts, steps) = (offsets(&kept), offsets(&|d| !kept(d)));
        Self {
            shape,
            starts,
            steps,
        }
    }

    /// The elements of each line, in order.
    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = impl DoubleEndedIterator<Item = usize> + Clone> {
        let line = |start: &usize| {
            let start = *start;
            self.steps.iter().map(move |step| start + step)
        };
        self.starts.iter().map(line)
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }
}

/// The sum of floats: in binary64, each rounding error kept beside it, and rounded once.
pub(crate) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut rest) = (0.0f64, 0.0f64);
    for v in values {
        let next = sum + v;
        // What the addition lost (Neumaier).
        rest += match sum.abs() >= v.abs() {
            true => (sum - next) + v,
            false => (v - next) + sum,
        };
        sum = next;
    }
    if sum.is_finite() { sum + rest } else { sum }
}

/// All reductions.
pub(crate) fn reduce(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let keep = node.flag("keepdims", true)?;
    let idle = node.flag("noop_with_empty_axes", false)?;
    let given = numbers(node, "axes", inputs, 1)?.unwrap_or_default();
    let rank = x.shape.len();
    let axes: Vec<usize> = match given.is_empty() {
        true if idle => Vec::new(),
        true => (0..rank).collect(),
        false => given
            .iter()
            .map(|&axis| node.axis("axes", axis, rank))
            .collect::<Result<_, _>>()?,
    };
    let lines = Lines::new(&x.shape, &axes, keep);
    if lines.len() == 0 || elements(&lines.shape) == 0 {
        return Err(bad(0, "x", "it has no elements"));
    }
    if inputs.folded
        && lines
            .iter()
            .any(|line| has_signless_zero(node.op(), &x.data, line))
    {
        return Err(undefined("it makes a zero of no specified sign"));
    }
    let data = match &x.data {
        Data::Float(data) => {
            let line = |line: &mut dyn Iterator<Item = f32>| floats(node.op(), line, lines.len());
            let results = lines
                .iter()
                .map(|places| line(&mut places.map(|i| data[i])));
            Data::Float(results.collect::<Option<_>>().ok_or(NodeError::Unknown)?)
        }
        Data::Double(data) => {
            let line = |line: &mut dyn Iterator<Item = f64>| doubles(node.op(), line, lines.len());
            let results = lines
                .iter()
                .map(|places| line(&mut places.map(|i| data[i])));
            Data::Double(results.collect::<Option<_>>().ok_or(NodeError::Unknown)?)
        }
        Data::Int(dtype, _) => {
            let line = |values: Vec<i128>| integers(node.op(), &values, *dtype);
            let values = lines.iter().map(|places| {
                let values: Option<Vec<i128>> = places.map(|i| number(&x.data, i)).collect();
                line(values.ok_or_else(|| wrong_type(0, x))?)
            });
            Data::Int(*dtype, values.collect::<Result<_, _>>()?)
        }
        _ => return Err(wrong_type(0, x)),
    };
    Ok(vec![Constant {
        shape: lines.shape,
        data,
    }])
}

/// Whether the sign of a result depends on how ONNX Runtime goes through memory: the sum of negative zeros, which it may
/// add to a positive one, and the extreme of zeros of both signs.
fn has_signless_zero(op: &str, data: &Data, mut line: impl Iterator<Item = usize> + Clone) -> bool {
    // Of other values than zeros: none.
    let negative = |i: usize| match data {
        Data::Float(v) => (v[i] == 0.0).then(|| v[i].is_sign_negative()),
        Data::Double(v) => (v[i] == 0.0).then(|| v[i].is_sign_negative()),
        _ => None,
    };
    match op {
        "ReduceSum" | "ReduceMean" => line.all(|i| negative(i) == Some(true)),
        "ReduceMax" | "ReduceMin" => [true, false]
            .iter()
            .all(|sign| line.clone().any(|i| negative(i) == Some(*sign))),
        _ => false,
    }
}

/// The extreme: the first number, unless a later one lies beyond it. So a first value that is not a number stays, and a
/// later one is passed over.
fn extreme<T: PartialOrd>(
    values: &mut dyn Iterator<Item = T>,
    beyond: fn(&T, &T) -> bool,
) -> Option<T> {
    let first = values.next()?;
    Some(values.fold(first, |best, v| if beyond(&v, &best) { v } else { best }))
}

fn floats(op: &str, values: &mut dyn Iterator<Item = f32>, n: usize) -> Option<f32> {
    let total = |values: &mut dyn Iterator<Item = f32>| sum(values.map(f64::from)) as f32;
    let exp = |v: f32| math::exp(f64::from(v)) as f32;
    let ln = |v: f32| math::ln(f64::from(v)) as f32;
    Some(match op {
        "ReduceMax" => return extreme(values, f32::gt),
        "ReduceMin" => return extreme(values, f32::lt),
        "ReduceSum" => total(values),
        "ReduceMean" => total(values) / n as f32,
        "ReduceProd" => values.fold(1.0, |product, v| product * v),
        "ReduceL1" => total(&mut values.map(f32::abs)),
        "ReduceL2" => total(&mut values.map(|v| v * v)).sqrt(),
        "ReduceSumSquare" => total(&mut values.map(|v| v * v)),
        "ReduceLogSum" => ln(total(values)),
        "ReduceLogSumExp" => {
            let values: Vec<f32> = values.collect();
            let largest = extreme(&mut values.iter().copied(), f32::gt)?;
            let largest = if largest.is_infinite() { 0.0 } else { largest };
            ln(total(&mut values.iter().map(|&v| exp(v - largest)))) + largest
        }
        _ => return None,
    })
}

fn doubles(op: &str, values: &mut dyn Iterator<Item = f64>, n: usize) -> Option<f64> {
    Some(match op {
        "ReduceMax" => return extreme(values, f64::gt),
        "ReduceMin" => return extreme(values, f64::lt),
        "ReduceSum" => sum(values),
        "ReduceMean" => sum(values) / n as f64,
        "ReduceProd" => values.fold(1.0, |product, v| product * v),
        "ReduceL1" => sum(values.map(f64::abs)),
        "ReduceL2" => sum(values.map(|v| v * v)).sqrt(),
        "ReduceSumSquare" => sum(values.map(|v| v * v)),
        "ReduceLogSum" => math::ln(sum(values)),
        "ReduceLogSumExp" => {
            let values: Vec<f64> = values.collect();
            let largest = extreme(&mut values.iter().copied(), f64::gt)?;
            let largest = if largest.is_infinite() { 0.0 } else { largest };
            math::ln(sum(values.iter().map(|&v| math::exp(v - largest)))) + largest
        }
        _ => return None,
    })
}

/// Reductions of integers, which ONNX Runtime computes in binary64 and lets saturate. What binary64 does not hold
/// exactly depends on its order and is refused.
fn integers(op: &str, values: &[i128], dtype: DataType) -> Result<i64, NodeError> {
    const EXACT: i128 = 1 << 53;
    let inexact = undefined("a reduction of integers passes 2^53");
    let held = |v: i128| match v.abs() <= EXACT {
        true => Ok(v),
        false => Err(inexact.clone()),
    };
    let total = |f: fn(i128) -> i128| {
        let add = |sum: i128, v: &i128| sum.saturating_add(f(*v).abs());
        let sum = values.iter().fold(0, add);
        held(sum)?;
        Ok::<i128, NodeError>(values.iter().map(|&v| f(v)).sum())
    };
    let real = |v: f64| {
        let cut = v.trunc();
        cut.is_finite()
            .then_some(cut as i128)
            .ok_or(undefined("a reduction of integers is infinite"))
    };
    let n = values.len() as i128;
    let result = match op {
        "ReduceMax" => values.iter().copied().max().unwrap_or(0),
        "ReduceMin" => values.iter().copied().min().unwrap_or(0),
        "ReduceSum" => total(|v| v)?,
        "ReduceMean" => total(|v| v)? / n,
        "ReduceProd" => values
            .iter()
            .try_fold(1, |product: i128, &v| held(product * v))?,
        "ReduceL1" => total(i128::abs)?,
        "ReduceSumSquare" => total(|v| v * v)?,
        "ReduceL2" => real((total(|v| v * v)? as f64).sqrt())?,
        "ReduceLogSum" => real(math::ln(total(|v| v)? as f64))?,
        "ReduceLogSumExp" => {
            let largest = values.iter().copied().max().unwrap_or(0);
            let below = |&v: &i128| math::exp((v - largest) as f64);
            real(math::ln(sum(values.iter().map(below))) + largest as f64)?
        }
        _ => return Err(NodeError::Unknown),
    };
    let element = Element::Int(dtype);
    let range = [i128::from(i64::MIN), i128::from(i64::MAX)];
    let [lo, hi] = match dtype {
        DataType::I32 => [i128::from(i32::MIN), i128::from(i32::MAX)],
        _ => range,
    };
    let result = result.clamp(lo, hi);
    let fits = wrap(element, result) == Some(result);
    fits.then_some(result as i64).ok_or(inexact)
}
