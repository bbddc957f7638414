//! Data movement, of whatever a value is: integers at once, reals once they are integers again.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, may_compute};
use crate::group::exactness::{Exactness, Status};
use crate::group::importer::{Done, Importer};
use crate::group::params::{Params, Quantized, QuantizedConstant};
use crate::group::real::{Base, Deferred, Real, Value};
use std::sync::Arc;
use zkonnx_circuits::ops::Concat;
use zkonnx_circuits::ops::Move;
use zkonnx_circuits::ops::Movement;
use zkonnx_circuits::ops::Source;
use zkonnx_circuits::program::TensorId;
use zkonnx_circuits::program::elements;

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
