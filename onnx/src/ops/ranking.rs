//! Where the largest and smallest elements stand: ArgMax, ArgMin, TopK, Hardmax; and places as rows: OneHot.

use std::sync::Arc;

use super::super::Status;
use super::super::exactness::Exactness;
use super::super::expr::Expr;
use super::super::importer::{Done, Importer};
use super::super::real::{Acc, Base, Params, Quantized, Real, Value};
use super::pool::summand;
use crate::error::NodeError;
use crate::graph::NodeView;
use zkonnx_circuits::ops::{ArgMax, Lanes, Move, OneHot, Reshape, Table, TopK};
use zkonnx_circuits::program::{DataType, TensorId, elements};

/// Integers whose order is that of input 0, which is integer or quantized with one scale.
///
/// Scales are positive and normal, and binary32 keeps the order of `f32(q − z) · s` for types of at most 16 bits, ties
/// included: the order of the reals is the order of the integers.
fn ordered(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
) -> Result<(TensorId, Option<Params>), NodeError> {
    match cx.value(node, 0)? {
        Value::Int(tensor) => Ok((tensor, None)),
        _ => {
            let x = summand(cx, node)?;
            Ok((x.tensor, Some(x.params)))
        }
    }
}

/// The accumulators of a linear operator, if they have one scale and nothing is pending.
fn accumulators(real: &Real) -> Option<&Acc> {
    match &real.base {
        Base::Acc(acc)
            if *real.expr == Expr::X
                && real.after.is_empty()
                && acc.float.is_none()
                && acc.w_scale.len() == 1
                && acc.w_scale[0] > 0.0 =>
        {
            Some(acc)
        }
        _ => None,
    }
}

/// `ArgMax` and `ArgMin` of integers or of a quantized tensor.
pub(crate) fn arg_extreme(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let sums = match cx.value(node, 0)? {
        Value::Real(real) => accumulators(&real).map(|acc| acc.tensor),
        _ => None,
    };
    let (tensor, params) = match sums {
        Some(tensor) => (tensor, None),
        None => ordered(cx, node)?,
    };
    let mut shape = cx.builder.fact(tensor).shape.clone();
    let axis = node.axis("axis", node.int("axis", 0)?, shape.len())?;
    // Sums of leaves, which ONNX Runtime adds up in float, are the only reals of 64 bits.
    let exactness = match params {
        Some(params) if params.dtype == DataType::I64 => Exactness::Leaves { exact: true },
        _ if sums.is_some() => {
            let apart = shape[axis].saturating_sub(1);
            let apart = u32::try_from(apart).unwrap_or(u32::MAX);
            Exactness::Sum { apart }
        }
        _ => Exactness::Kernel,
    };
    let keep = node.flag("keepdims", true)?;
    // Introduced in opset 12; before, the first one was meant.
    let last = node.flag("select_last_index", false)?;
    let tensor = match node.op() {
        "ArgMin" => cx.mirror(node, tensor)?,
        _ => tensor,
    };
    let place = cx.push(node, ArgMax::new(axis, last), &[tensor])?;
    if keep {
        return Ok(Done::closed(place, exactness));
    }
    shape.remove(axis);
    let place = cx.push(node, Move(Reshape { shape }), &[place])?;
    Ok(Done::closed(place, exactness))
}

/// Booleans as the reals 0 and 1.
fn as_reals(tensor: TensorId, shape: Vec<usize>) -> Real {
    let params = Params {
        scale: vec![1.0],
        zero: vec![0],
        axis: None,
        dtype: DataType::Bool,
    };
    Real::new(Base::Quantized(Quantized { tensor, params }), shape)
}

/// `Hardmax`: one at the first of the largest elements, zero elsewhere.
pub(crate) fn hardmax(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let (mut tensor, _) = ordered(cx, node)?;
    let shape = cx.builder.fact(tensor).shape.clone();
    // Until opset 12 all axes from this one on are one.
    let old = node.opset < 13;
    let axis = node.axis(
        "axis",
        node.int("axis", if old { 1 } else { -1 })?,
        shape.len(),
    )?;
    let mut line = shape.clone();
    if old {
        line = vec![elements(&shape[..axis]), elements(&shape[axis..])];
        let flat = Reshape {
            shape: line.clone(),
        };
        tensor = cx.push(node, Move(flat), &[tensor])?;
    }
    let axis = if old { 1 } else { axis };
    let place = cx.push(node, ArgMax::new(axis, false), &[tensor])?;
    let depth = line.remove(axis);
    let place = cx.push(node, Move(Reshape { shape: line }), &[place])?;
    let mut hot = cx.push(node, OneHot::new(axis, depth)?, &[place])?;
    if old {
        let back = Reshape {
            shape: shape.clone(),
        };
        hot = cx.push(node, Move(back), &[hot])?;
    }
    Ok(Done::pending(as_reals(hot, shape)))
}

/// `OneHot` of computed indices, with a constant depth: reals 0 and 1, or any two integers.
pub(crate) fn one_hot(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let bad = |input, what, reason| NodeError::Input {
        input,
        what,
        reason,
    };
    let Value::Int(tensor) = cx.value(node, 0)? else {
        return Err(bad(0, "the indices", "they are not computed integers"));
    };
    let depth = cx.constant(node, 1, "the depth")?.as_int();
    let depth = depth.and_then(|d| usize::try_from(d).ok());
    let depth = depth.ok_or_else(|| bad(1, "the depth", "it is not one positive integer"))?;
    let values = cx.constant(node, 2, "the values")?;
    let mut shape = cx.builder.fact(tensor).shape.clone();
    let axis = node.axis("axis", node.int("axis", -1)?, shape.len() + 1)?;
    let hot = cx.push(node, OneHot::new(axis, depth)?, &[tensor])?;
    match (values.as_floats(), values.as_ints(), values.dtype()) {
        (Some(&[off, on]), ..) if off == 0.0 && on == 1.0 => {
            shape.insert(axis, depth);
            Ok(Done::pending(as_reals(hot, shape)))
        }
        (_, Some(ints), Some(dtype)) if ints.len() == 2 => {
            let table = Table::new(DataType::Bool, dtype, vec![ints.to_vec()], Lanes::Tensor)?;
            Ok(Done::int(cx.push(node, table, &[hot])?))
        }
        _ => Err(bad(
            2,
            "the values",
            "they are neither 0 and 1 nor integers",
        )),
    }
}

/// `TopK` of integers or of a quantized tensor; always sorted.
pub(crate) fn top_k(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let largest = node.flag("largest", true)?;
    // Without it any order is allowed, the sorted one among them.
    node.flag("sorted", true)?;
    let bad = NodeError::Input {
        input: 1,
        what: "k",
        reason: "it is not one number from 1 to the extent of the axis",
    };
    let k = cx.constant(node, 1, "k")?.as_int();
    let k = k.and_then(|k| usize::try_from(k).ok()).ok_or(bad.clone())?;
    let axis = node.int("axis", -1)?;
    let (tensor, params) = ordered(cx, node)?;
    let axis = node.axis("axis", axis, cx.builder.fact(tensor).shape.len())?;
    let tensor = if largest {
        tensor
    } else {
        cx.mirror(node, tensor)?
    };
    let outputs = cx
        .builder
        .push(&node.name(), Arc::new(TopK::new(axis, k)), &[tensor])?;
    let &[values, indices] = outputs.as_slice() else {
        return Err(NodeError::Unknown);
    };
    let values = if largest {
        values
    } else {
        cx.mirror(node, values)?
    };
    let shape = cx.builder.fact(values).shape.clone();
    let values = match params {
        None => Value::Int(values),
        Some(params) => {
            let base = Base::Quantized(Quantized {
                tensor: values,
                params,
            });
            Value::Real(Arc::new(Real::new(base, shape)))
        }
    };
    Ok(Done {
        values: vec![values, Value::Int(indices)],
        status: Status::Closed(Exactness::Kernel),
    })
}
