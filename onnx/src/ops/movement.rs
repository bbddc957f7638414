//! Data movement, and constants.

use std::sync::Arc;

use crate::Status;
use crate::error::NodeError;
use crate::exactness::Exactness;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, may_compute};
use crate::importer::{Done, Importer};
use crate::real::{Base, Deferred, Params, Quantized, QuantizedConstant, Real, Value};
use zkonnx_circuits::ops::{Concat, Move, Movement, Reshape, Source, Transpose};
use zkonnx_circuits::program::{DataType, MAX_RANK, TensorId, elements};

impl Importer<'_> {
    /// Applies a movement of one input to any value.
    pub(crate) fn apply<M: Movement>(
        &mut self,
        node: &NodeView<'_>,
        value: Value,
        movement: M,
    ) -> Result<Value, NodeError> {
        match value {
            Value::Const(c) => Ok(Value::Const(Arc::new(pick(&c, &movement)?))),
            Value::Weights(w) => {
                let params = move_axis(&w.params, &w.data.shape, &movement)?;
                let data = pick(&w.data, &movement)?;
                Ok(Value::Weights(Arc::new(QuantizedConstant { data, params })))
            }
            Value::Int(tensor) => Ok(Value::Int(self.moved(node, tensor, movement)?)),
            Value::Real(real) => {
                let shape = movement.shape(&[&real.shape])?;
                if let Some(Quantized { tensor, params }) = real.as_quantized()
                    && params.axis.is_none()
                {
                    let tensor = self.moved(node, *tensor, movement)?;
                    let base = Base::Quantized(Quantized {
                        tensor,
                        params: params.clone(),
                    });
                    return Ok(Value::Real(Arc::new(Real::new(base, shape))));
                }
                let mut next = (*real).clone();
                if is_identity(&movement, &real.shape)? {
                    return Ok(Value::Real(Arc::new(next)));
                }
                next.after.push(Deferred::Move(Arc::new(Move(movement))));
                next.shape = shape;
                Ok(Value::Real(Arc::new(next.grown(1)?)))
            }
            Value::Head | Value::Outside | Value::Broken => Ok(value),
        }
    }

    fn moved<M: Movement>(
        &mut self,
        node: &NodeView<'_>,
        tensor: TensorId,
        movement: M,
    ) -> Result<TensorId, NodeError> {
        if is_identity(&movement, &self.builder.fact(tensor).shape)? {
            return Ok(tensor);
        }
        self.push(node, Move(movement), &[tensor])
    }

    /// Shape of any value that has one.
    pub(crate) fn any_shape(&self, value: &Value) -> Result<Vec<usize>, NodeError> {
        match value {
            Value::Const(c) => Ok(c.shape.clone()),
            Value::Weights(w) => Ok(w.data.shape.clone()),
            other => self.shape(other).ok_or(NodeError::Unknown),
        }
    }

    /// The integers of a constant input that describes a shape.
    pub(crate) fn numbers(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Option<Vec<i64>>, NodeError> {
        match self.maybe_constant(node, input, what)? {
            None => Ok(None),
            Some(c) => match c.as_ints() {
                Some(ints) => Ok(Some(ints.to_vec())),
                None => Err(NodeError::Input {
                    input,
                    what,
                    reason: "it is not an integer",
                }),
            },
        }
    }
}

/// Whether a movement leaves every element where it is, under the same shape.
fn is_identity<M: Movement>(movement: &M, shape: &[usize]) -> Result<bool, NodeError> {
    if movement.shape(&[shape])? != shape {
        return Ok(false);
    }
    let still = |(i, source): (usize, Source)| source == Source::Element { input: 0, index: i };
    Ok(movement
        .sources(&[shape])?
        .into_iter()
        .enumerate()
        .all(still))
}

fn pick<M: Movement>(constant: &Constant, movement: &M) -> Result<Constant, NodeError> {
    let shape = movement.shape(&[&constant.shape])?;
    if !may_compute(elements(&shape), constant.len()) {
        return Err(NodeError::Attribute {
            name: "shape",
            reason: "it has too many elements",
        });
    }
    let place = |source| match source {
        Source::Element { index, .. } => Ok(index),
        Source::Constant(_) => Err(NodeError::Unknown),
    };
    let places = movement
        .sources(&[&constant.shape])?
        .into_iter()
        .map(place)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(constant.pick(shape, &places))
}

/// Where the axis of scales goes: found by moving the index of each element along it.
fn move_axis<M: Movement>(
    params: &Params,
    shape: &[usize],
    movement: &M,
) -> Result<Params, NodeError> {
    let Some(axis) = params.axis else {
        return Ok(params.clone());
    };
    let inner: usize = shape[axis + 1..].iter().product();
    let new = movement.shape(&[shape])?;
    let lanes: Vec<usize> = movement
        .sources(&[shape])?
        .into_iter()
        .map(|source| match source {
            Source::Element { index, .. } => index / inner.max(1) % shape[axis],
            Source::Constant(_) => usize::MAX,
        })
        .collect();
    let follows = |d: usize| {
        let inner: usize = new[d + 1..].iter().product();
        new[d] == params.scale.len()
            && lanes
                .iter()
                .enumerate()
                .all(|(i, lane)| i / inner.max(1) % new[d] == *lane)
    };
    match (0..new.len()).find(|&d| follows(d)) {
        Some(d) => Ok(Params {
            axis: Some(d),
            ..params.clone()
        }),
        None => Err(NodeError::Island {
            reason: "its scales follow an axis that the data movement breaks up",
        }),
    }
}

pub(crate) fn one(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    movement: impl Movement,
) -> Result<Done, NodeError> {
    let value = cx.value(node, 0)?;
    let moved = cx.apply(node, value, movement)?;
    Ok(Done::new(moved.clone(), status(&moved)))
}

pub(crate) fn status(value: &Value) -> Status {
    match value {
        Value::Int(_) => Status::Closed(Exactness::Kernel),
        Value::Const(_) | Value::Weights(_) => Status::Folded,
        _ => Status::Group,
    }
}

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

/// Joins integer tensors along an axis.
pub(crate) fn concat(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    tensors: &[TensorId],
    axis: usize,
) -> Result<TensorId, NodeError> {
    match tensors {
        [only] => Ok(*only),
        _ => cx.push(node, Move(Concat { axis }), tensors),
    }
}
