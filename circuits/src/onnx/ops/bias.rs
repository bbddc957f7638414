//! The bias of a linear operator, as int32 accumulators.

use super::super::close::{at, quantize};
use super::super::error::NodeError;
use super::super::importer::Importer;
use super::super::node::NodeView;
use super::super::real::{Acc, Base, Real, Value};
use super::quantization::dequantize;
use crate::program::{DataType, Range};

/// Largest relative distance between a bias scale and the product of the scales that is taken for rounding.
const BIAS_TOLERANCE: f32 = 1.0 / (1 << 20) as f32;

impl Importer<'_> {
    /// The integers of a bias for `n` channels whose accumulators have these scales.
    pub(super) fn bias(
        &self,
        value: Option<Value>,
        input: usize,
        scales: &[f32],
        n: usize,
    ) -> Result<Vec<i64>, NodeError> {
        let bad = |reason| NodeError::Input {
            input,
            what: "the bias",
            reason,
        };
        let (reals, integers) = match value {
            None => return Ok(vec![0; n]),
            Some(Value::Const(c)) => match c.as_ints() {
                Some(ints) => (Vec::new(), Some(ints.to_vec())),
                None => (c.as_floats().unwrap_or_default().to_vec(), None),
            },
            Some(Value::Weights(w)) => {
                let near = |(i, s): (usize, &f32)| {
                    let scale = at(scales, i.min(scales.len() - 1));
                    (s - scale).abs() <= scale * BIAS_TOLERANCE
                };
                let same = w.params.scale.len() == 1
                    && scales
                        .iter()
                        .all(|s| near((0, s)) && near((0, &w.params.scale[0])));
                let each = w.params.scale.len() == scales.len()
                    && w.params.scale.iter().enumerate().all(near);
                let zero = w.params.zero.iter().all(|z| *z == 0);
                let ints = w
                    .data
                    .as_ints()
                    .filter(|_| zero && (same || each))
                    .map(<[i64]>::to_vec);
                (dequantize(&w), ints)
            }
            Some(_) => {
                return Err(NodeError::NotConstant {
                    input,
                    what: "the bias",
                });
            }
        };
        let range = Range::of(DataType::I32);
        let bias = match integers {
            Some(ints) => ints,
            None => {
                let len = reals.len();
                let value = |c: usize| {
                    let scale = at(scales, c.min(scales.len() - 1));
                    quantize(reals[if len == 1 { 0 } else { c }], scale, 0, range)
                };
                if reals.iter().any(|v| !v.is_finite()) {
                    return Err(bad("it is not finite"));
                }
                (0..if len == 1 { n } else { len }).map(value).collect()
            }
        };
        let bias = if bias.len() == 1 {
            vec![bias[0]; n]
        } else {
            bias
        };
        if bias.len() != n {
            return Err(bad("it has neither one value nor one for each channel"));
        }
        if !bias.iter().all(|v| range.contains(*v)) {
            return Err(bad("it lies outside int32"));
        }
        Ok(bias)
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
            return Ok(None);
        }
        let scales: Vec<f32> = acc.w_scale.iter().map(|w| acc.x_scale * w).collect();
        let bias = self.bias(Some(value), input, &scales, n)?;
        let tensor = self.builder.push1(&node.name(), rebias(&bias)?, &[acc.x])?;
        let acc = Acc {
            tensor,
            rebias: None,
            ..acc.clone()
        };
        Ok(Some(Real::new(Base::Acc(acc), shape)))
    }
}
