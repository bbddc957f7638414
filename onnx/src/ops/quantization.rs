//! QuantizeLinear, DequantizeLinear and the scales of every quantized operator.

use std::sync::Arc;

use crate::Status;
use crate::close::is_quantized_type;
use crate::error::NodeError;
use crate::expr::Expr;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use crate::importer::{Done, Importer};
use crate::kernel;
use crate::proto::tensor::integer_type;
use crate::real::{Base, Params, Quantized, QuantizedConstant, Real, Value};
use zkonnx_circuits::program::{DataType, Range};

/// Where scale and zero point stand among a node's inputs, and what they belong to.
pub(crate) struct Place<'s> {
    pub(crate) scale: usize,
    pub(crate) zero: usize,
    /// The axis that several scales follow.
    pub(crate) axis: usize,
    /// Shape of the tensor that they belong to.
    pub(crate) shape: &'s [usize],
    /// Type of the tensor, where the zero point does not tell.
    pub(crate) dtype: DataType,
}

impl Importer<'_> {
    /// Scales and zero points, checked: positive normal scales, one or as many as the axis has indices, zero points
    /// within the type.
    pub(crate) fn params(
        &self,
        node: &NodeView<'_>,
        place: &Place<'_>,
    ) -> Result<Params, NodeError> {
        let scale = self.constant(node, place.scale, "the scale")?;
        let input = place.scale;
        let bad = |reason| {
            Err(NodeError::Input {
                input,
                what: "the scale",
                reason,
            })
        };
        let Some(scale) = scale.as_floats().map(<[f32]>::to_vec) else {
            return bad("it is not float32");
        };
        if let Some(&wrong) = scale.iter().find(|s| !s.is_normal() || **s <= 0.0) {
            return Err(NodeError::Scale(wrong));
        }
        let axis = match scale.len() {
            1 => None,
            n if place.shape.get(place.axis) == Some(&n) => Some(place.axis),
            _ => return bad("it has neither one value nor one for each index of its axis"),
        };
        let (mut zero, dtype) = match self.maybe_constant(node, place.zero, "the zero point")? {
            None => (vec![0], place.dtype),
            Some(c) => match &c.data {
                Data::Int(dtype, data) => (data.clone(), *dtype),
                Data::Short(dtype, data) if node.op() == "DequantizeLinear" => {
                    (data.clone(), *dtype)
                }
                _ => {
                    let reason = "it is not an integer";
                    return Err(NodeError::Input {
                        input: place.zero,
                        what: "the zero point",
                        reason,
                    });
                }
            },
        };
        if zero.len() == 1 {
            zero = vec![zero[0]; scale.len()];
        }
        let range = Range::of(dtype);
        let is_infinite = |(s, z): (&f32, &i64)| {
            let real = |v: i64| (v.saturating_sub(*z) as f32 * s).is_infinite();
            real(range.lo) || real(range.hi)
        };
        if scale.iter().zip(&zero).any(is_infinite) {
            return bad("the largest numbers under it are infinite; quantize with a smaller one");
        }
        if zero.len() != scale.len() || !zero.iter().all(|z| Range::of(dtype).contains(*z)) {
            let reason = "it has another length than the scale";
            return Err(NodeError::Input {
                input: place.zero,
                what: "the zero point",
                reason,
            });
        }
        Ok(collapse(Params {
            scale,
            zero,
            axis,
            dtype,
        }))
    }

    /// The quantization of an output, which has to be of a type that QuantizeLinear makes.
    pub(crate) fn output_params(
        &self,
        node: &NodeView<'_>,
        place: &Place<'_>,
    ) -> Result<Params, NodeError> {
        let params = self.params(node, place)?;
        if is_quantized_type(params.dtype) {
            Ok(params)
        } else {
            let reason = "only 8-bit and 16-bit integers are supported";
            Err(NodeError::Input {
                input: place.zero,
                what: "the zero point",
                reason,
            })
        }
    }

    /// The axis of QuantizeLinear and DequantizeLinear.
    pub(crate) fn axis_of(&self, node: &NodeView<'_>, rank: usize) -> Result<usize, NodeError> {
        if node.int("block_size", 0)? != 0 {
            let reason = "blocked quantization is not supported";
            return Err(NodeError::Attribute {
                name: "block_size",
                reason,
            });
        }
        // The axis counts only where there are several scales; a scalar input may leave the default, 1.
        let axis = node.int("axis", 1)?;
        if rank <= 1 && axis == 1 {
            Ok(0)
        } else {
            node.axis("axis", axis, rank.max(1))
        }
    }
}

/// Several equal scales and zero points are one.
fn collapse(params: Params) -> Params {
    let same = |p: &Params| {
        p.scale.iter().all(|s| *s == p.scale[0]) && p.zero.iter().all(|z| *z == p.zero[0])
    };
    if params.axis.is_some() && same(&params) {
        return Params {
            scale: vec![params.scale[0]],
            zero: vec![params.zero[0]],
            axis: None,
            ..params
        };
    }
    params
}

/// `QuantizeLinear`: closes a pending real, or quantizes a constant.
pub(crate) fn quantize_linear(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    // The attribute concerns 8-bit floats only.
    node.int("saturate", 1)?;
    node.int("precision", 0)?;
    let dtype = match node.int("output_dtype", 0)? {
        0 => DataType::U8,
        code => i32::try_from(code)
            .ok()
            .and_then(integer_type)
            .ok_or(NodeError::Attribute {
                name: "output_dtype",
                reason: "only 8-bit and 16-bit integers are supported",
            })?,
    };
    let x = cx.value(node, 0)?;
    let shape = match &x {
        Value::Real(real) => real.shape.clone(),
        _ => {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is not float",
            });
        }
    };
    let axis = cx.axis_of(node, shape.len())?;
    let y = cx.output_params(
        node,
        &Place {
            scale: 1,
            zero: 2,
            axis,
            shape: &shape,
            dtype,
        },
    )?;
    match x {
        Value::Real(real) => {
            // A clamp that is dropped leaves the one before it next to this node.
            let mut expr = &real.expr;
            while let Expr::Unary(f, inner) = &**expr
                && let Some(limits) = f.limits()
                && kernel::drops(limits, &y)
            {
                if kernel::is_lost(limits, &y) {
                    return Err(NodeError::Island {
                        reason: "ONNX Runtime drops the Clip before it, as its scale is so small; leave the Clip out, or quantize with a larger scale",
                    });
                }
                expr = inner;
            }
            let (tensor, exactness) = cx.close(node, &real, &y)?;
            Ok(Done::closed(tensor, exactness))
        }
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not float",
        }),
    }
}

/// The lane of each element under a quantization.
fn lane_of<'p>(shape: &[usize], params: &'p Params) -> impl Fn(usize) -> usize + 'p {
    let inner: usize = params
        .axis
        .map_or(1, |axis| shape.iter().skip(axis + 1).product());
    move |i| (i / inner.max(1)) % params.scale.len()
}

/// `DequantizeLinear`: gives integers a real meaning.
pub(crate) fn dequantize_linear(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    if !matches!(node.int("output_dtype", 0)?, 0 | 1) {
        return Err(NodeError::Attribute {
            name: "output_dtype",
            reason: "only float32 is supported",
        });
    }
    if node.int("block_size", 0)? != 0 {
        return crate::ops::blocks::dequantize(cx, node);
    }
    let x = cx.value(node, 0)?;
    let bad = |reason| NodeError::Input {
        input: 0,
        what: "x",
        reason,
    };
    let (shape, dtype) = match &x {
        Value::Const(c) => match &c.data {
            Data::Int(dtype, _) | Data::Short(dtype, _) => (c.shape.clone(), *dtype),
            _ => return Err(bad("it is not an integer")),
        },
        Value::Int(tensor) => {
            let fact = cx.builder.fact(*tensor);
            (fact.shape.clone(), fact.dtype)
        }
        _ => return Err(bad("it is not an integer")),
    };
    let axis = cx.axis_of(node, shape.len())?;
    let params = cx.params(
        node,
        &Place {
            scale: 1,
            zero: 2,
            axis,
            shape: &shape,
            dtype,
        },
    )?;
    let short = |c: &Constant| matches!(c.data, Data::Short(..));
    let zero = cx.maybe_constant(node, 2, "the zero point")?;
    let differs = zero.is_some_and(|z| short(&z) != matches!(&x, Value::Const(c) if short(c)));
    if params.dtype != dtype || differs {
        return Err(NodeError::Input {
            input: 2,
            what: "the zero point",
            reason: "it has another type than x",
        });
    }
    match x {
        Value::Const(c) => {
            let weights = QuantizedConstant {
                data: (*c).clone(),
                params,
            };
            Ok(Done::new(Value::Weights(Arc::new(weights)), Status::Folded))
        }
        Value::Int(tensor) => Ok(Done::pending(Real::new(
            Base::Quantized(Quantized { tensor, params }),
            shape,
        ))),
        _ => Err(bad("it is not an integer")),
    }
}

/// `DynamicQuantizeLinear`: not supported, because its scale depends on the data.
pub(crate) fn dynamic(_: &mut Importer<'_>, _: &NodeView<'_>) -> Result<Done, NodeError> {
    Err(NodeError::Dynamic)
}

/// A dequantized constant as floats.
pub(crate) fn dequantize(weights: &QuantizedConstant) -> Vec<f32> {
    let lane = lane_of(&weights.data.shape, &weights.params);
    let value = |(i, v): (usize, &i64)| {
        (v - weights.params.zero[lane(i)]) as f32 * weights.params.scale[lane(i)]
    };
    weights
        .data
        .as_ints()
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(value)
        .collect()
}
