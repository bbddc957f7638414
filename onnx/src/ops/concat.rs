//! `Concat` and `QLinearConcat`: tensors joined along an axis, of scales that may differ.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::ALL;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant as Folded;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::concat as join;
use crate::group::params::{dequantize, scalar};
use crate::group::real::{Base, Real, Value};
use crate::operator::{ANY, EXACT, Facts, OF_SCORES, Operator, PREPARING, PRESENTING, QUANTIZED};
use crate::ops::selection::TOO_LARGE;
use std::sync::Arc;
use zkonnx_circuits::ops::{Concat, Constant};
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, elements};

const JOINED: Facts = Facts::new(
    ANY,
    "constant shapes; parts of unequal scales are requantized first",
    &[Relation::Kernel, Relation::Steps],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Concat")
        .whole(0..usize::MAX)
        .value(ALL, TypeRule::Zeros(usize::MAX), eval::movement::concat)
        .integers(concat, &JOINED)
        .is(EXACT | PREPARING | PRESENTING | OF_SCORES),
    Operator::microsoft("QLinearConcat")
        .typed(TypeRule::Own(eval::types::qlinear_concat))
        .closing(qlinear_concat, &JOINED)
        .is(QUANTIZED),
];

/// `Concat` of constants, integers or reals.
pub(crate) fn concat(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let values = (0..node.inputs())
        .map(|i| cx.value(node, i))
        .collect::<Result<Vec<_>, _>>()?;
    let shapes = values
        .iter()
        .map(|v| cx.any_shape(v))
        .collect::<Result<Vec<_>, _>>()?;
    let rank = shapes.first().map_or(0, Vec::len);
    let axis = node.axis("axis", node.int("axis", 0)?, rank)?;
    let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let shape = zkonnx_circuits::ops::Movement::shape(&Concat { axis }, &views)?;
    if elements(&shape) > MAX_ELEMENTS {
        return Err(TOO_LARGE);
    }
    let (mut values, mut tensors, mut reals) = (values, Vec::new(), Vec::new());
    if elements(&shape) > 0 {
        // What has no element adds none.
        values.retain(|v| !matches!(v, Value::Const(c) if c.len() == 0));
    }
    for value in &values {
        match value {
            Value::Int(tensor) => tensors.push(*tensor),
            Value::Real(real) => reals.push((**real).clone()),
            Value::Const(c) => match (c.dtype(), c.as_ints()) {
                (Some(dtype), Some(data)) => {
                    let constant = Constant::new(dtype, c.shape.clone(), data.to_vec())?;
                    tensors.push(cx.push(node, constant, &[])?);
                }
                _ => reals.push(Real::new(Base::Constant(c.clone()), c.shape.clone())),
            },
            Value::Weights(w) => {
                let floats = Folded::floats(w.data.shape.clone(), dequantize(w));
                let shape = floats.shape.clone();
                reals.push(Real::new(Base::Constant(Arc::new(floats)), shape));
            }
            _ => {}
        }
    }
    if tensors.len() == values.len() {
        return Ok(Done::int(join(cx, node, &tensors, axis)?));
    }
    if reals.len() != values.len() {
        return Err(NodeError::Island {
            reason: "it joins integers with reals",
        });
    }
    // Equal scales: the integers themselves are joined, at once.
    if let Some(first) = reals[0]
        .as_quantized()
        .map(|q| q.params.clone())
        .filter(|p| p.axis.is_none())
    {
        let all: Vec<_> = reals
            .iter()
            .filter_map(Real::as_quantized)
            .filter(|q| q.params == first)
            .collect();
        if all.len() == reals.len() {
            let tensors: Vec<_> = all.iter().map(|q| q.tensor).collect();
            let tensor = join(cx, node, &tensors, axis)?;
            let base = Base::Quantized(crate::group::params::Quantized {
                tensor,
                params: first,
            });
            return Ok(Done::pending(Real::new(base, shape)));
        }
    }
    let size = reals.iter().map(|r| r.size + 1).sum();
    Ok(Done::pending(
        Real::new(Base::Concat(reals, axis), shape).grown(size)?,
    ))
}

/// `com.microsoft.QLinearConcat`: each part by its own table, then joined.
pub(crate) fn qlinear_concat(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let y = cx.output_params(node, &scalar(0, 1, DataType::U8))?;
    let count = node.inputs().saturating_sub(2);
    if count == 0 || !count.is_multiple_of(3) {
        return Err(NodeError::Arity {
            what: "inputs",
            expected: "2 and 3 for each part",
            got: node.inputs(),
        });
    }
    let mut parts = Vec::new();
    for i in 0..count / 3 {
        let x = crate::group::operands::quantized(cx, node, 2 + 3 * i)?;
        let shape = cx.builder.fact(x.tensor).shape.clone();
        parts.push(Real::new(Base::Quantized(x), shape));
    }
    let axis = node.axis("axis", node.int("axis", 1)?, parts[0].shape.len())?;
    let views: Vec<&[usize]> = parts.iter().map(|p| p.shape.as_slice()).collect();
    let shape = zkonnx_circuits::ops::Movement::shape(&Concat { axis }, &views)?;
    let real = Real::new(Base::Concat(parts.clone(), axis), shape);
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}
