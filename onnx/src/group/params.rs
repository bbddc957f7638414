//! Integers that stand for reals: scales and zero points, and the constants that have them.

use crate::graph::constant::Constant;
use zkonnx_circuits::program::{DataType, Quantization, Range, TensorId};

/// Scale and zero point of a quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Params {
    /// One, or one for each index of `axis`.
    pub(crate) scale: Vec<f32>,
    /// As many as scales.
    pub(crate) zero: Vec<i64>,
    pub(crate) axis: Option<usize>,
    pub(crate) dtype: DataType,
}

impl Params {
    /// Scale and zero point, if there is one of each.
    pub(crate) fn uniform(&self) -> Option<(f32, i64)> {
        match (self.scale.as_slice(), self.zero.as_slice()) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }

    /// The values of the type.
    pub(crate) fn range(&self) -> Range {
        Range::of(self.dtype)
    }
}

/// Integers that stand for reals: `scale · (integer − zero point)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantized {
    pub(crate) tensor: TensorId,
    pub(crate) params: Params,
}

/// A constant that was dequantized: kept as integers.
#[derive(Clone, Debug)]
pub(crate) struct QuantizedConstant {
    pub(crate) data: Constant,
    pub(crate) params: Params,
}

impl QuantizedConstant {
    /// Whether a kernel may take its integers, by their type: none takes those of 4 bits.
    pub(crate) fn is_for_kernels(&self) -> bool {
        self.data.dtype().is_some()
    }
}

/// A dequantized constant as floats.
pub(crate) fn real_constant(weights: &QuantizedConstant) -> Constant {
    Constant::floats(weights.data.shape.clone(), dequantize(weights))
}

/// Scale and zero point as a port carries them.
pub(crate) fn port_quantization(params: &Params) -> Quantization {
    Quantization {
        scale_bits: params.scale.iter().map(|s| s.to_bits()).collect(),
        zero_point: params.zero.clone(),
        axis: params.axis,
    }
}

/// The integers of a weight, less their zero points, `inner` of them for each index of the quantization's axis.
pub(crate) fn centered(weights: &QuantizedConstant) -> Option<Vec<i64>> {
    let data = weights.data.as_ints()?;
    let inner: usize = match weights.params.axis {
        Some(axis) => weights.data.shape.get(axis + 1..)?.iter().product(),
        None => 1,
    };
    let zero = &weights.params.zero;
    Some(
        data.iter()
            .enumerate()
            .map(|(i, v)| v - zero[(i / inner.max(1)) % zero.len()])
            .collect(),
    )
}

/// The value of a lane: the only one, or the lane's.
pub(crate) fn at<T: Copy>(values: &[T], lane: usize) -> T {
    if values.len() == 1 {
        values[0]
    } else {
        values[lane]
    }
}

/// Whether QuantizeLinear may produce the type.
pub(crate) fn is_quantized_type(dtype: DataType) -> bool {
    matches!(
        dtype,
        DataType::U8 | DataType::I8 | DataType::U16 | DataType::I16
    )
}

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

/// The place of a scale and a zero point that are single values.
pub(crate) const fn scalar(scale: usize, zero: usize, dtype: DataType) -> Place<'static> {
    Place {
        scale,
        zero,
        axis: 0,
        shape: &[],
        dtype,
    }
}

/// Integers less their zero points, and the scales of their blocks.
#[derive(Clone, Debug)]
pub(crate) struct Blocked {
    pub(crate) shape: Vec<usize>,
    pub(crate) centered: Vec<i64>,
    /// As many axes, with an index for each block along one of them.
    pub(crate) scale_shape: Vec<usize>,
    pub(crate) scale: Vec<f32>,
    pub(crate) axis: usize,
    pub(crate) size: usize,
    /// Whether the integers have 4 bits.
    pub(crate) short: bool,
}

/// The lane of each element under a quantization.
pub(crate) fn lane_of<'p>(shape: &[usize], params: &'p Params) -> impl Fn(usize) -> usize + 'p {
    let inner: usize = params
        .axis
        .map_or(1, |axis| shape.iter().skip(axis + 1).product());
    move |i| (i / inner.max(1)) % params.scale.len()
}
