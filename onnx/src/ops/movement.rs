//! Data movement, and constants.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{ALL, D, F, H};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::graph::constant::Constant;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::movement::{one, status};
use crate::group::real::Value;
use crate::operator::{
    ANY, COVERING, EXACT, Facts, LAST, MOVING, OF_SCORES, Operator, PREPARING, PRESENTING, ROUTED,
    SELECTING, TRANSPARENT,
};
use std::sync::Arc;

use zkonnx_circuits::ops::{Reshape, Transpose};
use zkonnx_circuits::program::{DataType, MAX_RANK, elements};

pub(crate) const MOVEMENT: Facts = Facts::new(
    ANY,
    "constant shapes, axes and indices; at most 8 axes",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("Dropout")
        .upgraded(12, |u| u.dropout())
        .attributes(&[("ratio", 10, 11), ("seed", 12, LAST)])
        .inputs(&[(12, 1)])
        .value(F | D | H, TypeRule::Zeros(3), eval::movement::dropout)
        .integers(dropout, &MOVEMENT)
        .is(PRESENTING | SELECTING | TRANSPARENT),
    Operator::onnx("Flatten")
        .value(ALL, TypeRule::Zeros(1), eval::movement::flatten)
        .integers(flatten, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PREPARING | PRESENTING | SELECTING | OF_SCORES),
    Operator::onnx("Identity")
        .value(ALL, TypeRule::First, eval::movement::identity)
        .integers(identity, &MOVEMENT)
        .is(COVERING
            | EXACT
            | MOVING
            | PREPARING
            | PRESENTING
            | SELECTING
            | TRANSPARENT
            | OF_SCORES),
    Operator::onnx("Reshape")
        .attributes(&[("allowzero", 14, LAST)])
        .value(ALL, TypeRule::Zeros(1), eval::movement::reshape)
        .integers(reshape, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PREPARING | PRESENTING | ROUTED | SELECTING | OF_SCORES),
    Operator::onnx("Squeeze")
        .upgraded(13, |u| u.axes())
        .attributes(&[("axes", 10, 12)])
        .inputs(&[(13, 1)])
        .value(ALL, TypeRule::Zeros(1), eval::movement::squeeze)
        .integers(squeeze, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PREPARING | PRESENTING | ROUTED | SELECTING | OF_SCORES),
    Operator::onnx("Transpose")
        .value(ALL, TypeRule::Zeros(1), eval::movement::transpose)
        .integers(transpose, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PREPARING | PRESENTING | ROUTED | SELECTING),
    Operator::onnx("Unsqueeze")
        .upgraded(13, |u| u.axes())
        .attributes(&[("axes", 10, 12)])
        .inputs(&[(13, 1)])
        .value(ALL, TypeRule::Zeros(1), eval::movement::unsqueeze)
        .integers(unsqueeze, &MOVEMENT)
        .is(COVERING | EXACT | MOVING | PREPARING | PRESENTING | ROUTED | SELECTING | OF_SCORES),
];

/// `Identity`, and `Cast` to the same type.
pub(crate) fn identity(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    Ok(Done::new(value.clone(), status(&value)))
}

/// `Dropout` in inference: the identity.
pub(crate) fn dropout(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    node.float("ratio", 0.5)?;
    node.int("seed", 0)?;
    let training = cx.numbers(node, 2, "training_mode")?;
    if training.is_some_and(|t| t.iter().any(|&v| v != 0)) {
        let reason = "the model is exported for training";
        return Err(NodeError::Input {
            input: 2,
            what: "training_mode",
            reason,
        });
    }
    let mut done = identity(cx, node)?;
    if node.outputs() > 1 {
        // Nothing is dropped.
        let shape = cx.any_shape(&cx.value(node, 0)?)?;
        let mask = Constant::ints(DataType::Bool, shape.clone(), vec![1; elements(&shape)]);
        done.values.push(Value::Const(Arc::new(mask)));
    }
    Ok(done)
}

/// `Flatten`.
pub(crate) fn flatten(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let axis = node.int("axis", 1)?;
    // The axis may also be the rank itself.
    let axis = if axis == shape.len() as i64 {
        shape.len()
    } else {
        node.axis("axis", axis, shape.len())?
    };
    one(
        cx,
        node,
        Reshape {
            shape: vec![elements(&shape[..axis]), elements(&shape[axis..])],
        },
    )
}

/// `Reshape` to a constant shape.
pub(crate) fn reshape(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let old = cx.any_shape(&cx.value(node, 0)?)?;
    let allow_zero = node.flag("allowzero", false)?;
    let bad = |reason| NodeError::Input {
        input: 1,
        what: "the shape",
        reason,
    };
    let wanted = cx
        .numbers(node, 1, "the shape")?
        .ok_or_else(|| bad("it is missing"))?;
    if wanted.len() > MAX_RANK {
        return Err(bad("it has more than 8 axes"));
    }
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (d, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            0 if !allow_zero => *old
                .get(d)
                .ok_or_else(|| bad("it copies an axis that does not exist"))?,
            -1 if open.is_none() => {
                open = Some(d);
                1
            }
            v => usize::try_from(v).map_err(|_| bad("it has a negative extent"))?,
        });
    }
    if let Some(d) = open {
        let rest = elements(&shape);
        if rest == 0 || !elements(&old).is_multiple_of(rest) {
            return Err(bad("it does not divide the number of elements"));
        }
        shape[d] = elements(&old) / rest;
    }
    // A shape written for another batch size than one cannot be meant: the batch is bound to one.
    one(cx, node, Reshape { shape })
}

/// `Transpose`.
pub(crate) fn transpose(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let rank = cx.any_shape(&cx.value(node, 0)?)?.len();
    let perm = match node.maybe_ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => perm
            .iter()
            .map(|&axis| node.axis("perm", axis, rank))
            .collect::<Result<_, _>>()?,
    };
    one(cx, node, Transpose { perm })
}

/// Axes given as attribute (until opset 12) or as input 1.
fn axes(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    rank: usize,
) -> Result<Option<Vec<usize>>, NodeError> {
    let given = match node.maybe_ints("axes")? {
        Some(axes) => Some(axes.to_vec()),
        None => cx.numbers(node, 1, "the axes")?,
    };
    let Some(given) = given else { return Ok(None) };
    let mut axes = given
        .iter()
        .map(|&axis| node.axis("axes", axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(NodeError::Attribute {
            name: "axes",
            reason: "an axis is given twice",
        });
    }
    Ok(Some(axes))
}

/// `Squeeze`.
pub(crate) fn squeeze(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let axes = match axes(cx, node, shape.len())? {
        None => (0..shape.len()).filter(|&d| shape[d] == 1).collect(),
        Some(axes) => axes,
    };
    if axes.iter().any(|&axis| shape[axis] != 1) {
        return Err(NodeError::Attribute {
            name: "axes",
            reason: "an axis has more than one index",
        });
    }
    let shape = (0..shape.len())
        .filter(|d| !axes.contains(d))
        .map(|d| shape[d])
        .collect();
    one(cx, node, Reshape { shape })
}

/// `Unsqueeze`.
pub(crate) fn unsqueeze(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let shape = cx.any_shape(&cx.value(node, 0)?)?;
    let given = match node.maybe_ints("axes")? {
        Some(axes) => axes.len(),
        None => cx.numbers(node, 1, "the axes")?.map_or(0, |a| a.len()),
    };
    if shape.len() + given > MAX_RANK {
        return Err(NodeError::Attribute {
            name: "axes",
            reason: "the result has more than 8 axes",
        });
    }
    let missing = NodeError::Attribute {
        name: "axes",
        reason: "they are missing",
    };
    let axes = axes(cx, node, shape.len() + given)?.ok_or(missing)?;
    let mut rest = shape.iter().copied();
    let extent = |d| {
        if axes.contains(&d) {
            1
        } else {
            rest.next().unwrap_or(1)
        }
    };
    let shape = (0..shape.len() + given).map(extent).collect();
    one(cx, node, Reshape { shape })
}
