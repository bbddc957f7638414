//! Operators along one axis: softmax, places of extremes, the largest elements, running sums.

use std::cmp::Ordering;

use crate::error::NodeError;
use crate::eval::cast::{number, wrap};
use crate::eval::inputs::{Inputs, Results, bad, one, undefined, wrong_type};
use crate::eval::reduce::{Lines, sum};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use crate::math;
use zkonnx_circuits::program::{DataType, elements};

/// The lines of Softmax and its kin: one axis, or until opset 12 all from it on.
fn lines(node: &NodeView<'_>, x: &Constant) -> Result<Lines, NodeError> {
    let rank = x.shape.len();
    let old = node.opset < 13;
    let axis = node.int("axis", if old { 1 } else { -1 })?;
    let axis = match old && axis == rank as i64 {
        true => rank,
        false => node.axis("axis", axis, rank)?,
    };
    let axes: Vec<usize> = (axis..if old { rank } else { axis + 1 }).collect();
    Ok(Lines::new(&x.shape, &axes, true))
}

/// `Softmax` and `LogSoftmax`.
pub(crate) fn softmax(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let lines = lines(node, x)?;
    let logarithm = node.op() == "LogSoftmax";
    let largest = |line: &mut dyn Iterator<Item = f64>| line.fold(f64::NEG_INFINITY, f64::max);
    let data = match &x.data {
        Data::Float(data) => {
            let mut y = data.clone();
            let exp = |v: f32| math::exp(f64::from(v)) as f32;
            for line in lines.iter() {
                let top = largest(&mut line.clone().map(|i| f64::from(data[i]))) as f32;
                let terms = line.clone().map(|i| f64::from(exp(data[i] - top)));
                let total = sum(terms) as f32;
                let (share, log) = (1.0 / total, math::ln(f64::from(total)) as f32);
                for i in line {
                    y[i] = match logarithm {
                        true => data[i] - top - log,
                        false => exp(data[i] - top) * share,
                    };
                }
            }
            Data::Float(y)
        }
        Data::Double(data) => {
            let mut y = data.clone();
            for line in lines.iter() {
                let top = largest(&mut line.clone().map(|i| data[i]));
                let total = sum(line.clone().map(|i| math::exp(data[i] - top)));
                for i in line {
                    y[i] = match logarithm {
                        true => data[i] - top - math::ln(total),
                        false => math::exp(data[i] - top) / total,
                    };
                }
            }
            Data::Double(y)
        }
        _ => return Err(wrong_type(0, x)),
    };
    one(x.shape.clone(), data)
}

/// The order of two elements; what is not a number has none.
fn order(data: &Data, i: usize, j: usize) -> Result<Ordering, NodeError> {
    let order = match data {
        Data::Float(v) => v[i].partial_cmp(&v[j]),
        Data::Double(v) => v[i].partial_cmp(&v[j]),
        data => number(data, i).zip(number(data, j)).map(|(a, b)| a.cmp(&b)),
    };
    order.ok_or(undefined("it orders a value that is not a number"))
}

/// The place of the largest element of a line, the first or the last of equal ones.
fn best(
    data: &Data,
    line: impl Iterator<Item = usize>,
    smallest: bool,
    last: bool,
) -> Result<(usize, usize), NodeError> {
    let mut best: Option<(usize, usize)> = None;
    for (place, i) in line.enumerate() {
        let Some((_, so_far)) = best else {
            order(data, i, i)?;
            best = Some((place, i));
            continue;
        };
        let o = order(data, i, so_far)?;
        let o = if smallest { o.reverse() } else { o };
        if o.is_gt() || last && o.is_eq() {
            best = Some((place, i));
        }
    }
    best.ok_or(bad(0, "x", "it has no elements"))
}

/// `Hardmax`.
pub(crate) fn hardmax(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let mut y = vec![0.0; x.len()];
    for line in lines(node, x)?.iter() {
        y[best(&x.data, line, false, false)?.1] = 1.0;
    }
    one(x.shape.clone(), Data::Float(y))
}

/// `ArgMax` and `ArgMin`.
pub(crate) fn arg_extreme(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let axis = node.axis("axis", node.int("axis", 0)?, x.shape.len())?;
    let lines = Lines::new(&x.shape, &[axis], node.flag("keepdims", true)?);
    let last = node.flag("select_last_index", false)?;
    let smallest = node.op() == "ArgMin";
    let place = |line| Ok(best(&x.data, line, smallest, last)?.0 as i64);
    let places = lines.iter().map(place).collect::<Result<_, NodeError>>()?;
    one(lines.shape, Data::Int(DataType::I64, places))
}

/// `TopK`: equal elements by rising index, sorted whatever `sorted` allows.
pub(crate) fn top_k(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let axis = node.axis("axis", node.int("axis", -1)?, x.shape.len())?;
    let largest = node.flag("largest", true)?;
    node.flag("sorted", true)?;
    let k = match node.maybe_int("k")? {
        Some(k) => k,
        None => inputs.int(1, "k")?,
    };
    let extent = x.shape[axis];
    let k = usize::try_from(k).ok().filter(|&k| k <= extent);
    let k = k.ok_or(bad(1, "k", "it is negative or larger than the axis"))?;
    let lines = Lines::new(&x.shape, &[axis], true);
    let mut shape = x.shape.clone();
    shape[axis] = k;
    let inner = elements(&shape[axis + 1..]).max(1);
    let (mut places, mut from) = (vec![0; elements(&shape)], vec![0; elements(&shape)]);
    for (number, line) in lines.iter().enumerate() {
        let mut line: Vec<(i64, usize)> = (0..).zip(line).collect();
        for &(_, i) in &line {
            order(&x.data, i, i)?;
        }
        line.sort_by(|a, b| {
            let o = order(&x.data, a.1, b.1).unwrap_or(Ordering::Equal);
            if largest { o.reverse() } else { o }
        });
        let start = number / inner * k * inner + number % inner;
        for (rank, (place, i)) in line.into_iter().take(k).enumerate() {
            (places[start + rank * inner], from[start + rank * inner]) = (place, i);
        }
    }
    let values = x.pick(shape.clone(), &from);
    Ok(vec![values, Constant::ints(DataType::I64, shape, places)])
}

/// `CumSum`: one element after the other, in the type of the elements.
pub(crate) fn cum_sum(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let axis = node.axis("axis", inputs.int(1, "the axis")?, x.shape.len())?;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let lines = Lines::new(&x.shape, &[axis], true);
    fn run<T: Copy>(
        lines: &Lines,
        (exclusive, reverse): (bool, bool),
        data: &[T],
        zero: T,
        add: impl Fn(T, T) -> T,
    ) -> Vec<T> {
        let mut y = data.to_vec();
        for line in lines.iter() {
            let mut line: Vec<usize> = line.collect();
            if reverse {
                line.reverse();
            }
            let mut sum = zero;
            for i in line {
                let next = add(sum, data[i]);
                y[i] = if exclusive { sum } else { next };
                sum = next;
            }
        }
        y
    }
    let flags = (exclusive, reverse);
    let data = match &x.data {
        Data::Float(data) => Data::Float(run(&lines, flags, data, 0.0, |a, b| a + b)),
        Data::Double(data) => Data::Double(run(&lines, flags, data, 0.0, |a, b| a + b)),
        Data::Int(dtype, data) => {
            let element = Element::Int(*dtype);
            let add = |a: i64, b: i64| {
                let sum = i128::from(a) + i128::from(b);
                wrap(element, sum).map_or(0, |v| v as i64)
            };
            Data::Int(*dtype, run(&lines, flags, data, 0, add))
        }
        _ => return Err(wrong_type(0, x)),
    };
    one(x.shape.clone(), data)
}
