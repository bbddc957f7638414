//! Reductions over axes: the axes become the window of a pool.

use crate::error::NodeError;
use crate::eval;
use crate::eval::Unary;
use crate::eval::inputs::{BOOL, D, F, I8, U8, WORDS};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::operands::summand;
use crate::group::params::Quantized;
use crate::group::real::{Base, Mean, MeanKind, Real, Value};
use crate::operator::{BYTES, EXACT, Facts, LAST, OF_SCORES, Operator, Parts, SELECTING};
use crate::rewrite::decompose;
use zkonnx_circuits::ops::{
    CumSum, Lanes, MaxPool, Move, Reshape, Table, Transpose, Window, WindowSum,
};
use zkonnx_circuits::program::{DataType, Range, TensorId, elements};

const RUNNING_SUM: Facts = Facts::new(
    BYTES,
    "constant axis of at most 1024 elements; one scale for the input",
    &[Relation::Sum],
);

const SUM: Facts = Facts::new(
    BYTES,
    "constant axes; one scale for the input",
    &[Relation::Sum],
);

const EXTREME_ALONG: Facts = Facts::new(
    BYTES,
    "constant axes; one scale for the input",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("CumSum")
        .since(11)
        .whole(0..1)
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::order::cum_sum)
        .integers(cum_sum, &RUNNING_SUM),
    Operator::onnx("ReduceL1")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .integers(reduce_norm, &SUM),
    Operator::onnx("ReduceL2")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .integers(reduce_norm, &SUM),
    Operator::onnx("ReduceLogSum")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce),
    Operator::onnx("ReduceLogSumExp")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .is(OF_SCORES),
    Operator::onnx("ReduceMax")
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(
            F | D | WORDS | I8 | U8 | BOOL,
            TypeRule::Zeros(1),
            eval::reduce::reduce,
        )
        .integers(reduce_extreme, &EXTREME_ALONG)
        .is(EXACT | SELECTING | OF_SCORES),
    Operator::onnx("ReduceMean")
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .integers(reduce_sum, &SUM),
    Operator::onnx("ReduceMin")
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(
            F | D | WORDS | I8 | U8 | BOOL,
            TypeRule::Zeros(1),
            eval::reduce::reduce,
        )
        .integers(reduce_extreme, &EXTREME_ALONG)
        .is(EXACT | SELECTING),
    Operator::onnx("ReduceProd")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce),
    Operator::onnx("ReduceSum")
        .whole(0..1)
        .upgraded(13, |u| u.axes())
        .attributes(&[("axes", 10, 12), ("noop_with_empty_axes", 13, LAST)])
        .inputs(&[(13, 1)])
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .integers(reduce_sum, &SUM)
        .is(OF_SCORES),
    Operator::onnx("ReduceSumSquare")
        .decomposed(Parts::One(decompose::reduction))
        .upgraded(18, |u| u.axes())
        .attributes(&[("axes", 10, 17), ("noop_with_empty_axes", 18, LAST)])
        .inputs(&[(18, 1)])
        .value(F | D | WORDS, TypeRule::Zeros(1), eval::reduce::reduce)
        .integers(reduce_norm, &SUM),
];

/// A reduction's axes and the shape of its result.
struct Plan {
    reduced: Vec<usize>,
    kept: Vec<usize>,
    shape: Vec<usize>,
}

fn plan(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    shape: &[usize],
) -> Result<Option<Plan>, NodeError> {
    let keep = node.flag("keepdims", true)?;
    let idle = node.flag("noop_with_empty_axes", false)?;
    let given = match node.maybe_ints("axes")? {
        Some(axes) => axes.to_vec(),
        None => cx.numbers(node, 1, "the axes")?.unwrap_or_default(),
    };
    if given.is_empty() && idle {
        return Ok(None);
    }
    let reduced: Vec<usize> = match given.is_empty() {
        true => (0..shape.len()).collect(),
        false => given
            .iter()
            .map(|&a| node.axis("axes", a, shape.len()))
            .collect::<Result<_, _>>()?,
    };
    let kept: Vec<usize> = (0..shape.len()).filter(|d| !reduced.contains(d)).collect();
    let reduced: Vec<usize> = (0..shape.len()).filter(|d| reduced.contains(d)).collect();
    let extent = |d: usize| match (reduced.contains(&d), keep) {
        (false, _) => Some(shape[d]),
        (true, true) => Some(1),
        (true, false) => None,
    };
    let shape = (0..shape.len()).filter_map(extent).collect();
    Ok(Some(Plan {
        reduced,
        kept,
        shape,
    }))
}

impl Importer<'_> {
    /// The tensor as `[1, outer, inner]` with the reduced axes inside, and `inner`.
    fn rows(
        &mut self,
        node: &NodeView<'_>,
        tensor: TensorId,
        plan: &Plan,
    ) -> Result<(TensorId, usize), NodeError> {
        let shape = self.builder.fact(tensor).shape.clone();
        let inner: usize = plan.reduced.iter().map(|&d| shape[d]).product();
        let outer = elements(&shape) / inner.max(1);
        let perm = [plan.kept.as_slice(), &plan.reduced].concat();
        let ordered = perm.iter().copied().eq(0..shape.len());
        let tensor = match ordered {
            true => tensor,
            false => self.push(node, Move(Transpose { perm }), &[tensor])?,
        };
        Ok((
            self.push(
                node,
                Move(Reshape {
                    shape: vec![1, outer, inner],
                }),
                &[tensor],
            )?,
            inner,
        ))
    }
}

/// `ReduceL1`, `ReduceL2` and `ReduceSumSquare`: sums of tables.
pub(crate) fn reduce_norm(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = summand(cx, node)?;
    let fact = cx.builder.fact(x.tensor).clone();
    let squares = node.op() != "ReduceL1";
    // Without axes it is a function of each element, which no quantizer makes.
    let plan = plan(cx, node, &fact.shape)?.ok_or(NodeError::Attribute {
        name: "noop_with_empty_axes",
        reason: "without axes the operator is not supported",
    })?;
    let (scale, zero) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let range = Range::of(fact.dtype);
    let term = |v: i64| {
        if squares {
            (v - zero) * (v - zero)
        } else {
            (v - zero).abs()
        }
    };
    let table = (range.lo..=range.hi).map(term).collect();
    let table = Table::new(fact.dtype, DataType::I32, vec![table], Lanes::Tensor)?;
    let table = cx.push(node, table, &[x.tensor])?;
    let (rows, inner) = cx.rows(node, table, &plan)?;
    let sum = WindowSum::new(Window::dense(vec![inner]), 0)?;
    let sum = cx.push(node, sum, &[rows])?;
    let shape = plan.shape.clone();
    let tensor = cx.push(node, Move(Reshape { shape }), &[sum])?;
    let mean = Mean {
        tensor,
        scale: if squares { scale * scale } else { scale },
        terms: inner,
        counts: vec![1],
        float_counts: None,
        kind: MeanKind::Text,
        origin: cx.origin(node, &[0], None),
    };
    if !mean.scale.is_normal() {
        return Err(NodeError::Scale(scale));
    }
    let mut real = Real::new(Base::Mean(mean), plan.shape);
    if node.op() == "ReduceL2" {
        // A sum of squares is not negative, however it is rounded.
        real.expr = real.expr.unary(Unary::Relu).unary(Unary::Sqrt);
    }
    Ok(Done::pending(real))
}

/// `ReduceMean` and `ReduceSum`: the sum of integers, divided by their number or not.
pub(crate) fn reduce_sum(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = summand(cx, node)?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let Some(plan) = plan(cx, node, &shape)? else {
        return crate::ops::movement::identity(cx, node);
    };
    let (scale, zero) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let (rows, inner) = cx.rows(node, x.tensor, &plan)?;
    let sum = cx.push(
        node,
        WindowSum::new(Window::dense(vec![inner]), zero)?,
        &[rows],
    )?;
    let tensor = cx.push(
        node,
        Move(Reshape {
            shape: plan.shape.clone(),
        }),
        &[sum],
    )?;
    let count = if node.op() == "ReduceMean" {
        u32::try_from(inner).unwrap_or(u32::MAX)
    } else {
        1
    };
    let mean = Mean {
        tensor,
        scale,
        terms: inner,
        counts: vec![count],
        float_counts: None,
        kind: MeanKind::Text,
        origin: cx.origin(node, &[0], None),
    };
    Ok(Done::pending(Real::new(Base::Mean(mean), plan.shape)))
}

/// `CumSum`: sums of integers, quantized by the rule of ReduceSum.
pub(crate) fn cum_sum(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = summand(cx, node)?;
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let axis = cx.constant(node, 1, "the axis")?.as_int();
    let axis = axis.ok_or(NodeError::NotConstant {
        input: 1,
        what: "the axis",
    })?;
    let axis = node.axis("axis", axis, shape.len())?;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let (scale, zero) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let op = CumSum::new(axis, exclusive, reverse, zero)?;
    let mean = Mean {
        tensor: cx.push(node, op, &[x.tensor])?,
        scale,
        terms: shape[axis],
        counts: vec![1],
        float_counts: None,
        kind: MeanKind::Text,
        origin: cx.origin(node, &[0], None),
    };
    Ok(Done::pending(Real::new(Base::Mean(mean), shape)))
}

/// `ReduceMax` and `ReduceMin` of integers or of a quantized tensor.
pub(crate) fn reduce_extreme(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let smallest = node.op() == "ReduceMin";
    let value = cx.value(node, 0)?;
    let (tensor, params) = match &value {
        Value::Int(tensor) => (*tensor, None),
        _ => {
            let x = summand(cx, node)?;
            (x.tensor, Some(x.params))
        }
    };
    let shape = cx.builder.fact(tensor).shape.clone();
    let Some(plan) = plan(cx, node, &shape)? else {
        return crate::ops::movement::identity(cx, node);
    };
    let tensor = if smallest {
        cx.mirror(node, tensor)?
    } else {
        tensor
    };
    let (rows, inner) = cx.rows(node, tensor, &plan)?;
    let best = cx.push(node, MaxPool::new(Window::dense(vec![inner]))?, &[rows])?;
    let best = if smallest {
        cx.mirror(node, best)?
    } else {
        best
    };
    let tensor = cx.push(
        node,
        Move(Reshape {
            shape: plan.shape.clone(),
        }),
        &[best],
    )?;
    Ok(match params {
        None => Done::int(tensor),
        Some(params) => Done::pending(Real::new(
            Base::Quantized(Quantized { tensor, params }),
            plan.shape,
        )),
    })
}
