//! QuantizeLinear and DequantizeLinear.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, one, wrong_type};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data};
use crate::proto::tensor::integer_type;
use zkonnx_circuits::program::{DataType, Range, elements};

/// Scales and zero points, one or one for each index of an axis.
struct Scales<'a> {
    scale: &'a [f32],
    zero: Option<&'a Constant>,
    inner: usize,
}

impl<'a> Scales<'a> {
    fn new(node: &NodeView<'_>, inputs: &Inputs<'a>, shape: &[usize]) -> Result<Self, NodeError> {
        if node.int("block_size", 0)? != 0 {
            return Err(attribute(
                "block_size",
                "blocked quantization is not supported",
            ));
        }
        let scale = inputs.floats(1)?;
        let zero = inputs.maybe(2);
        let (rank, axis) = (shape.len(), node.int("axis", 1)?);
        let inner = match scale.len() {
            1 => elements(shape).max(1),
            n => {
                let axis = if rank <= 1 && axis == 1 { 0 } else { axis };
                let axis = node.axis("axis", axis, rank)?;
                if shape[axis] != n {
                    return Err(bad(
                        1,
                        "the scale",
                        "it has not one value for each index of its axis",
                    ));
                }
                elements(&shape[axis + 1..]).max(1)
            }
        };
        if zero.is_some_and(|zero| zero.len() != scale.len()) {
            return Err(bad(
                2,
                "the zero point",
                "it has another length than the scale",
            ));
        }
        Ok(Self { scale, zero, inner })
    }

    /// Scale and zero point of an element.
    fn of(&self, i: usize) -> (f32, i64) {
        let lane = i / self.inner % self.scale.len();
        let zero = self
            .zero
            .and_then(|zero| zero.as_ints()?.get(lane).copied());
        (self.scale[lane], zero.unwrap_or(0))
    }
}

/// A number of steps as an integer: half to even, saturation. What is not a number becomes the lowest value.
pub(crate) fn saturate(x: f32, zero: i64, range: Range) -> i64 {
    if x.is_nan() {
        return range.lo;
    }
    // Clamped before the conversion, so that infinities and huge values saturate.
    let rounded = f64::from(x.round_ties_even()).clamp(-1e12, 1e12) as i64;
    (rounded + zero).clamp(range.lo, range.hi)
}

/// A real as an integer: true division, then [`saturate`].
pub(crate) fn quantize(x: f32, scale: f32, zero: i64, range: Range) -> i64 {
    saturate(x / scale, zero, range)
}

pub(crate) fn quantize_linear(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    // Both concern other types than those here.
    node.int("saturate", 1)?;
    node.int("precision", 0)?;
    let x = inputs.get(0)?;
    let scales = Scales::new(node, inputs, &x.shape)?;
    let given = i32::try_from(node.int("output_dtype", 0)?).ok();
    let dtype = match (scales.zero, given) {
        (Some(zero), _) => zero.dtype().ok_or_else(|| wrong_type(2, zero))?,
        (None, Some(0)) => DataType::U8,
        (None, code) => code
            .and_then(integer_type)
            .ok_or(attribute("output_dtype", "the type is not supported"))?,
    };
    if dtype.width() > 16 || dtype == DataType::Bool {
        return Err(bad(
            2,
            "the zero point",
            "only 8-bit and 16-bit integers are supported",
        ));
    }
    let value = |(i, &v): (usize, &f32)| {
        let (scale, zero) = scales.of(i);
        quantize(v, scale, zero, Range::of(dtype))
    };
    let data = inputs.floats(0)?.iter().enumerate().map(value).collect();
    one(x.shape.clone(), Data::Int(dtype, data))
}

pub(crate) fn dequantize_linear(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    if !matches!(node.int("output_dtype", 0)?, 0 | 1) {
        return Err(attribute("output_dtype", "only float32 is supported"));
    }
    let x = inputs.get(0)?;
    let scales = Scales::new(node, inputs, &x.shape)?;
    if scales
        .zero
        .is_some_and(|zero| zero.element() != x.element())
    {
        return Err(bad(2, "the zero point", "it has another type than x"));
    }
    let value = |(i, &v): (usize, &i64)| {
        let (scale, zero) = scales.of(i);
        (v - zero) as f32 * scale
    };
    let data = inputs.ints(0)?.iter().enumerate().map(value).collect();
    one(x.shape.clone(), Data::Float(data))
}
