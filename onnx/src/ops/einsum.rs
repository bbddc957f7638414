//! `Einsum` between quantized parts: one operand that is transposed, or two as one product of matrices.
//!
//! ONNX Runtime has no kernel of it and multiplies floats, so a product is the exact sum.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::status;
use crate::group::real::{Deferred, Real, Value};
use crate::group::routes::Origin;
use crate::operator::{Facts, Operator, Parts};
use crate::rewrite;
use crate::rewrite::einsum::terms;
use std::sync::Arc;
use zkonnx_circuits::ops::{Move, Reshape, Transpose};

const EINSUM: Facts = Facts::new(
    "u8, i8; all integers where elements only move",
    "one operand that is transposed, or two, one of which may be constant, as a product of matrices",
    &[Relation::Kernel, Relation::Sum],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[Operator::onnx("Einsum")
    .since(12)
    .decomposed(Parts::One(rewrite::einsum::einsum))
    .integers(einsum, &EINSUM)];

const EQUATION: NodeError = NodeError::Attribute {
    name: "equation",
    reason: "only one operand that is transposed, or two as a product of matrices, are supported; use Transpose, MatMul and ReduceSum",
};

/// Where each of `order` stands in `letters`.
fn places(letters: &[char], order: &[char]) -> Result<Vec<usize>, NodeError> {
    let place = |l: &char| letters.iter().position(|own| own == l);
    let perm: Option<Vec<usize>> = order.iter().map(place).collect();
    perm.filter(|p| p.len() == letters.len()).ok_or(EQUATION)
}

/// An operand as `[batch, rows, columns]`.
fn matrices(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    (value, letters): (Value, &[char]),
    [batch, rows, columns]: [&[char]; 3],
) -> Result<(Value, Vec<usize>), NodeError> {
    let shape = cx.any_shape(&value)?;
    let order = [batch, rows, columns].concat();
    let perm = places(letters, &order)?;
    let extents: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    let value = match perm.iter().copied().eq(0..perm.len()) {
        true => value,
        false => cx.apply(node, value, Transpose { perm })?,
    };
    let (of_batch, rest) = extents.split_at(batch.len());
    let (of_rows, of_columns) = rest.split_at(rows.len());
    let shape = [of_batch, of_rows, of_columns].map(|e| e.iter().product());
    let shape = Reshape {
        shape: shape.to_vec(),
    };
    Ok((cx.apply(node, value, shape)?, extents))
}

/// `Einsum`.
pub(crate) fn einsum(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let (inputs, out) = terms(node.text("equation", "")?).ok_or(EQUATION)?;
    if inputs.len() != node.inputs() {
        return Err(EQUATION);
    }
    for (i, letters) in inputs.iter().enumerate() {
        if cx.any_shape(&cx.value(node, i)?)?.len() != letters.len() {
            return Err(EQUATION);
        }
    }
    let (a, b) = match inputs.as_slice() {
        [letters] => {
            let perm = places(letters, &out)?;
            let value = cx.value(node, 0)?;
            let moved = cx.apply(node, value, Transpose { perm })?;
            return Ok(Done::new(moved.clone(), status(&moved)));
        }
        [a, b] => (a, b),
        _ => return Err(EQUATION),
    };
    let select = |of: &[char], f: &dyn Fn(&char) -> bool| -> Vec<char> {
        of.iter().filter(|l| f(l)).copied().collect()
    };
    let batch = select(&out, &|l| a.contains(l) && b.contains(l));
    let sum = select(a, &|l| b.contains(l) && !out.contains(l));
    let rows = select(&out, &|l| !b.contains(l));
    let columns = select(&out, &|l| !a.contains(l));
    let (left, of_left) = matrices(cx, node, (cx.value(node, 0)?, a), [&batch, &rows, &sum])?;
    let of_b = [&*batch, &*sum, &*columns];
    let (right, of_right) = matrices(cx, node, (cx.value(node, 1)?, b), of_b)?;
    if of_left[..batch.len()] != of_right[..batch.len()]
        || of_left[batch.len() + rows.len()..] != of_right[batch.len()..batch.len() + sum.len()]
    {
        return Err(EQUATION);
    }
    let extents = [
        &of_left[..batch.len() + rows.len()],
        &of_right[batch.len() + sum.len()..],
    ];
    let product = product(cx, node, &left, &right)?;
    // From [batch, rows, columns] to the letters of the result.
    let order = [&*batch, &*rows, &*columns].concat();
    let perm = places(&order, &out)?;
    let extents = extents.concat();
    let mut real = product;
    let ordered = perm.iter().copied().eq(0..perm.len());
    let shape: Vec<usize> = perm.iter().map(|&p| extents[p]).collect();
    let reshape = Move(Reshape { shape: extents });
    real.after.push(Deferred::Move(Arc::new(reshape)));
    if !ordered {
        let transpose = Move(Transpose { perm });
        real.after.push(Deferred::Move(Arc::new(transpose)));
    }
    real.shape = shape;
    Ok(Done::pending(real.grown(2)?))
}

/// The product of two stacks of matrices, in float.
fn product(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    left: &Value,
    right: &Value,
) -> Result<Real, NodeError> {
    let origin: Origin = cx.origin(node, &[], None);
    match (left, right) {
        (Value::Real(_), Value::Real(_)) => {
            let (a, b) = (cx.activation_of(left, 0)?, cx.activation_of(right, 1)?);
            cx.two_activations(node, &a, &b, origin)
        }
        (Value::Real(_), Value::Weights(w)) => {
            let x = cx.activation_of(left, 0)?;
            cx.stacked(node, &x, w, false, origin)
        }
        (Value::Weights(w), Value::Real(_)) => {
            let x = cx.activation_of(right, 1)?;
            cx.stacked(node, &x, w, true, origin)
        }
        _ => Err(NodeError::Input {
            input: 0,
            what: "the operand",
            reason: "neither is a dequantized activation",
        }),
    }
}
