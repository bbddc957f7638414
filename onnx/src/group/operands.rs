//! What the operators of a group read: activations, weights, and their scales.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::Data;
use crate::group::importer::Importer;
use crate::group::params::{Params, Place, Quantized, is_quantized_type, scalar};
use crate::group::real::Value;
use zkonnx_circuits::program::Range;
use zkonnx_circuits::program::TensorId;

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

/// A quantized tensor with one scale, on which sums are taken.
pub(crate) fn summand(cx: &Importer<'_>, node: &NodeView<'_>) -> Result<Quantized, NodeError> {
    let Value::Real(real) = cx.value(node, 0)? else {
        return Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not a quantized activation",
        });
    };
    match real.as_quantized() {
        Some(q) if q.params.axis.is_none() => Ok(q.clone()),
        Some(_) => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "its scales follow an axis",
        }),
        None => Err(NodeError::Float {
            input: 0,
            what: "x",
        }),
    }
}

/// The integer input `first` with the scale and zero point that follow it.
pub(crate) fn quantized(
    cx: &Importer<'_>,
    node: &NodeView<'_>,
    first: usize,
) -> Result<Quantized, NodeError> {
    let bad = |reason| NodeError::Input {
        input: first,
        what: "x",
        reason,
    };
    let Value::Int(tensor) = cx.value(node, first)? else {
        return Err(bad("it is not an integer activation"));
    };
    let dtype = cx.builder.fact(tensor).dtype;
    let params = cx.params(node, &scalar(first + 1, first + 2, dtype))?;
    if params.dtype != dtype {
        return Err(bad("its type is not that of its zero point"));
    }
    Ok(Quantized { tensor, params })
}

impl Importer<'_> {
    /// Shape of an activation; `None` for what is known at import.
    pub(crate) fn shape(&self, value: &Value) -> Option<Vec<usize>> {
        match value {
            Value::Int(tensor) => Some(self.builder.fact(*tensor).shape.clone()),
            Value::Real(real) => Some(real.shape.clone()),
            _ => None,
        }
    }
}

/// The integers of a linear operator's activation.
pub(crate) struct Activation {
    pub(crate) tensor: TensorId,
    pub(crate) scale: f32,
    pub(crate) zero: i64,
}
