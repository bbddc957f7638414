//! `Gather` of constants by indices that depend on the input: a table of the index.

use std::sync::Arc;

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use crate::group::exactness::Status;
use crate::group::expr::{Expr, Rows};
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized, real_constant};
use crate::group::real::{Base, Real, Value};
use zkonnx_circuits::ops::{Expand, Lanes, Move, Requantize, Reshape, Rule, Steps};
use zkonnx_circuits::program::{DataType, Range, TensorId, elements};

/// Most indices that are told apart.
const MAX_ROWS: i64 = 4096;
/// Most elements of the result.
const MAX_RESULT: usize = 1 << 16;

const fn bad(input: usize, what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what,
        reason,
    }
}

/// The index of each element of the result, and where the result stands around it.
struct Places {
    index: TensorId,
    range: Range,
    /// Shape of the result.
    shape: Vec<usize>,
    /// Extents of the data before the axis, along it, and after it.
    outer: usize,
    extent: usize,
    inner: usize,
    /// Number of indices.
    count: usize,
}

impl Places {
    fn new(
        cx: &mut Importer<'_>,
        node: &NodeView<'_>,
        index: TensorId,
        data: &[usize],
        axis: usize,
    ) -> Result<Self, NodeError> {
        let fact = cx.builder.fact(index).clone();
        let extent = data[axis];
        let rows = extent as i64;
        if fact.range.lo < -rows || fact.range.hi >= rows {
            return Err(bad(
                1,
                "the indices",
                "one that the model may compute does not exist",
            ));
        }
        if fact.range.hi - fact.range.lo >= MAX_ROWS {
            return Err(bad(1, "the indices", "they may differ by more than 4095"));
        }
        let (before, after) = (&data[..axis], &data[axis + 1..]);
        let shape = [before, fact.shape.as_slice(), after].concat();
        if elements(&shape) > MAX_RESULT {
            return Err(bad(
                0,
                "the data",
                "the result has more than 65536 elements",
            ));
        }
        let ones = |n: usize| vec![1; n];
        let aligned = [ones(before.len()), fact.shape.clone(), ones(after.len())].concat();
        let index = cx.push(node, Move(Reshape { shape: aligned }), &[index])?;
        let expanded = Expand {
            shape: shape.clone(),
        };
        Ok(Self {
            index: cx.push(node, Move(expanded), &[index])?,
            range: fact.range,
            outer: elements(before),
            extent,
            inner: elements(after),
            count: elements(&fact.shape),
            shape,
        })
    }

    /// The place in the data of an index, in the row of the data that element `i` of the result comes from.
    fn of(&self, i: usize, index: i64) -> usize {
        let inner = i % self.inner;
        let outer = i / self.inner / self.count.max(1);
        let index = index.rem_euclid(self.extent as i64) as usize;
        (outer * self.extent + index) * self.inner + inner
    }

    /// The integers that the indices pick.
    fn integers(
        &self,
        cx: &mut Importer<'_>,
        node: &NodeView<'_>,
        dtype: DataType,
        data: &[i64],
    ) -> Result<TensorId, NodeError> {
        let rule = |i: usize| Rule::Steps(Steps::enumerate(self.range, |x| data[self.of(i, x)]));
        let rows: Vec<Rule> = (0..self.outer * self.inner)
            .map(|row| {
                let (outer, inner) = (row / self.inner, row % self.inner);
                rule(outer * self.count * self.inner + inner)
            })
            .collect();
        let of = |i: usize| {
            let outer = i / self.inner / self.count.max(1);
            rows[outer * self.inner + i % self.inner].clone()
        };
        let each: Vec<Rule> = (0..elements(&self.shape)).map(of).collect();
        let (rules, lanes) = Lanes::by_element(&each);
        cx.push(node, Requantize::new(dtype, rules, lanes)?, &[self.index])
    }
}

/// `Gather` of a constant by indices of the program.
pub(crate) fn lookup(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    index: TensorId,
    data: &Value,
    axis: usize,
) -> Result<Done, NodeError> {
    match data {
        Value::Const(c) => match &c.data {
            Data::Int(dtype, ints) => {
                let places = Places::new(cx, node, index, &c.shape, axis)?;
                Ok(Done::int(places.integers(cx, node, *dtype, ints)?))
            }
            Data::Float(_) => floats(cx, node, index, c, axis),
            _ => Err(bad(0, "the data", "their element type is not supported")),
        },
        Value::Weights(w) => {
            let Some(ints) = w
                .data
                .as_ints()
                .filter(|_| w.params.axis.is_none() && w.is_for_kernels())
            else {
                return floats(cx, node, index, &real_constant(w), axis);
            };
            let places = Places::new(cx, node, index, &w.data.shape, axis)?;
            let tensor = places.integers(cx, node, w.params.dtype, ints)?;
            let params = w.params.clone();
            Ok(Done::pending(Real::new(
                Base::Quantized(Quantized { tensor, params }),
                places.shape,
            )))
        }
        _ => Err(NodeError::NotConstant {
            input: 1,
            what: "the indices",
        }),
    }
}

/// Floats wait for their quantization as a function of the index.
fn floats(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    index: TensorId,
    data: &Constant,
    axis: usize,
) -> Result<Done, NodeError> {
    let others = || (0..data.shape.len()).filter(|&d| d != axis && data.shape[d] > 1);
    let along = others().next();
    if others().count() > 1 {
        return Err(bad(
            0,
            "the data",
            "they are floats and have more than two axes",
        ));
    }
    let values = data.as_floats().unwrap_or_default();
    let rank = cx.builder.fact(index).shape.len();
    let places = Places::new(cx, node, index, &data.shape, axis)?;
    let lanes = places.outer * places.inner;
    let row = |lane: usize| {
        let (outer, inner) = (lane / places.inner, lane % places.inner);
        let first = outer * places.extent * places.inner + inner;
        let at = |i: usize| values[first + i * places.inner];
        (0..places.extent).map(at).collect()
    };
    // An axis after that of the data has moved by those of the indices.
    let moved = |d: usize| if d > axis { d + rank - 1 } else { d };
    let rows = Rows {
        axis: along.map(moved),
        rows: (0..lanes).map(row).collect(),
    };
    let params = Params {
        scale: vec![1.0],
        zero: vec![0],
        axis: None,
        dtype: cx.builder.fact(places.index).dtype,
    };
    let index = Quantized {
        tensor: places.index,
        params,
    };
    let mut real = Real::new(Base::Quantized(index), places.shape);
    real.expr = Arc::new(Expr::Lookup(Arc::new(Expr::X), Arc::new(rows)));
    Ok(Done::new(Value::Real(Arc::new(real)), Status::Group))
}
