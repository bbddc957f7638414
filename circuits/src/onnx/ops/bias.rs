//! The bias of a linear operator, as int32 accumulators.

use std::sync::Arc;

use super::super::close::{at, quantize};
use super::super::error::NodeError;
use super::super::importer::Importer;
use super::super::node::NodeView;
use super::super::real::{Acc, Base, Real, Value};
use super::quantization::dequantize;
use crate::ops::{Offset, broadcast, broadcast_places};
use crate::program::{DataType, Range, TensorId};

/// Largest relative distance between a bias scale and the product of the scales that is taken for rounding.
const BIAS_TOLERANCE: f32 = 1.0 / (1 << 20) as f32;

/// The shape of a constant.
fn shape_of(value: &Value) -> Option<&[usize]> {
    match value {
        Value::Const(c) => Some(&c.shape),
        Value::Weights(w) => Some(&w.data.shape),
        _ => None,
    }
}

/// Whether a constant is one value, or a vector along the last axis of `n` channels.
fn is_vector(value: &Value, n: usize) -> bool {
    shape_of(value).is_none_or(|shape| {
        let len: usize = shape.iter().product();
        len == 1 || (len == n && shape.last() == Some(&n))
    })
}

/// A constant along one axis as a vector.
fn vector(value: Value) -> Value {
    match value {
        Value::Const(c) => {
            let mut c = (*c).clone();
            c.shape = vec![c.len()];
            Value::Const(Arc::new(c))
        }
        Value::Weights(w) => {
            let mut w = (*w).clone();
            w.data.shape = vec![w.data.len()];
            w.params.axis = w.params.axis.map(|_| 0);
            Value::Weights(Arc::new(w))
        }
        other => other,
    }
}

const fn bad(input: usize, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what: "the bias",
        reason,
    }
}

impl Importer<'_> {
    /// The integers of a bias for `n` channels whose accumulators have these scales.
    pub(super) fn bias(
        &self,
        value: Option<Value>,
        input: usize,
        scales: &[f32],
        n: usize,
    ) -> Result<Vec<i64>, NodeError> {
        match value {
            None => Ok(vec![0; n]),
            Some(value) if is_vector(&value, n) => {
                self.bias_elements(&value, input, scales, &[n], n)
            }
            Some(_) => Err(bad(
                input,
                "it has neither one value nor one for each channel",
            )),
        }
    }

    /// The integers of a constant that is broadcast to `shape`, whose last axis has `n` channels or one.
    fn bias_elements(
        &self,
        value: &Value,
        input: usize,
        scales: &[f32],
        shape: &[usize],
        n: usize,
    ) -> Result<Vec<i64>, NodeError> {
        let (reals, integers) = match value {
            Value::Const(c) => match c.as_ints() {
                Some(ints) => (Vec::new(), Some(ints.to_vec())),
                None => (c.as_floats().unwrap_or_default().to_vec(), None),
            },
            Value::Weights(w) => {
                let near = |(i, s): (usize, &f32)| {
                    let scale = at(scales, i.min(scales.len() - 1));
                    (s - scale).abs() <= scale * BIAS_TOLERANCE
                };
                let same = w.params.scale.len() == 1
                    && scales
                        .iter()
                        .all(|s| near((0, s)) && near((0, &w.params.scale[0])));
                let each = w.params.scale.len() == scales.len()
                    && w.data.shape.last() == Some(&scales.len())
                    && w.params.axis == Some(w.data.shape.len() - 1)
                    && w.params.scale.iter().enumerate().all(near);
                let zero = w.params.zero.iter().all(|z| *z == 0);
                let ints = w
                    .data
                    .as_ints()
                    .filter(|_| zero && (same || each))
                    .map(<[i64]>::to_vec);
                (dequantize(w), ints)
            }
            _ => {
                return Err(NodeError::NotConstant {
                    input,
                    what: "the bias",
                });
            }
        };
        if reals.iter().any(|v| !v.is_finite()) {
            return Err(bad(input, "it is not finite"));
        }
        let own = shape_of(value).unwrap_or_default();
        // A vector of one value may have more axes than what it is added to.
        let own = match own.iter().product::<usize>() {
            1 => &[],
            _ => own,
        };
        let leading = own.len().saturating_sub(shape.len());
        let own = match own[..leading].iter().all(|d| *d == 1) {
            true => &own[leading..],
            false => own,
        };
        if broadcast(own, shape).as_deref() != Some(shape) {
            return Err(bad(
                input,
                "its shape does not broadcast to that of the result",
            ));
        }
        let range = Range::of(DataType::I32);
        let element = |(i, place): (usize, usize)| match &integers {
            Some(ints) => ints[place],
            None => {
                let scale = at(scales, (i % n.max(1)).min(scales.len() - 1));
                quantize(reals[place], scale, 0, range)
            }
        };
        let places = broadcast_places(shape, own);
        let elements: Vec<i64> = places.into_iter().enumerate().map(element).collect();
        match elements.iter().all(|v| range.contains(*v)) {
            true => Ok(elements),
            false => Err(bad(input, "it lies outside int32")),
        }
    }

    /// Splits off a constant that is no bias because it differs along other axes than the channels.
    pub(super) fn matrix_bias(value: Option<Value>, n: usize) -> (Option<Value>, Option<Value>) {
        match value {
            Some(value) if !is_vector(&value, n) => (None, Some(value)),
            bias => (bias, None),
        }
    }

    /// Adds a constant that differs along several axes to accumulators `[…, n]`.
    pub(super) fn add_matrix(
        &mut self,
        node: &NodeView<'_>,
        acc: Acc,
        value: &Value,
        input: usize,
    ) -> Result<Acc, NodeError> {
        let shape = self.shape_of(acc.tensor);
        let n = shape.last().copied().unwrap_or(1);
        let scales: Vec<f32> = acc.w_scale.iter().map(|w| acc.x_scale * w).collect();
        let constants = self.bias_elements(value, input, &scales, &shape, n)?;
        let tensor: TensorId = self.push(node, Offset::new(shape, constants)?, &[acc.tensor])?;
        Ok(Acc {
            tensor,
            rebias: None,
            ..acc
        })
    }

    /// Adds a constant to pending accumulators by giving their operator another bias; `None` if that is not possible.
    pub(crate) fn add_bias(
        &mut self,
        node: &NodeView<'_>,
        acc: &Acc,
        value: Value,
        input: usize,
    ) -> Result<Option<Real>, NodeError> {
        let Some(rebias) = &acc.rebias else {
            return Ok(None);
        };
        let shape = self.shape_of(acc.tensor);
        let n = shape[acc.axis];
        let of = match &value {
            Value::Const(c) => &c.shape,
            Value::Weights(w) => &w.data.shape,
            _ => return Ok(None),
        };
        // Only a vector along the channels (or one value) is a bias.
        let len: usize = of.iter().product();
        let along = of.len() <= shape.len()
            && (len == 1
                || (len == n
                    && of.len() + acc.axis >= shape.len()
                    && of[of.len() + acc.axis - shape.len()] == n));
        if !along {
            // A matrix that differs along the channels and other axes; what is one value for all channels is a function
            // of the accumulators.
            let fits = acc.axis + 1 == shape.len()
                && of.last() == Some(&n)
                && of.len() <= shape.len()
                && broadcast(of, &shape).as_deref() == Some(shape.as_slice());
            if !fits {
                return Ok(None);
            }
            let acc = self.add_matrix(node, acc.clone(), &value, input)?;
            return Ok(Some(Real::new(Base::Acc(acc), shape)));
        }
        let scales: Vec<f32> = acc.w_scale.iter().map(|w| acc.x_scale * w).collect();
        let bias = self.bias(Some(vector(value)), input, &scales, n)?;
        let tensor = self.builder.push1(&node.name(), rebias(&bias)?, &[acc.x])?;
        let acc = Acc {
            tensor,
            rebias: None,
            ..acc.clone()
        };
        Ok(Some(Real::new(Base::Acc(acc), shape)))
    }
}
