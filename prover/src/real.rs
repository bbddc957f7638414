//! Between real numbers and the integers of a program's inputs and outputs.
//!
//! This is the only arithmetic on floats of the command line, and it is outside of every proof: ONNX's QuantizeLinear
//! and DequantizeLinear with the scales that are part of the program.

use zkonnx_circuits::program::{Quantization, Range};

/// Why a real number has no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RealError {
    /// Not a number.
    #[error("NaN cannot be quantized")]
    NotANumber,
}

/// The scales of a port, ready for its elements.
#[derive(Clone, Copy, Debug)]
pub struct Scale<'a> {
    quantization: &'a Quantization,
    /// Elements between neighbours along the axis of the scales, and the extent of the axis.
    stride: usize,
    extent: usize,
}

impl<'a> Scale<'a> {
    /// The scales of a port of the given shape.
    pub fn new(quantization: &'a Quantization, shape: &[usize]) -> Self {
        let axis = quantization.axis.filter(|axis| *axis < shape.len());
        let (stride, extent) = match axis {
            Some(axis) => (shape[axis + 1..].iter().product(), shape[axis]),
            None => (1, 1),
        };
        Self {
            quantization,
            stride,
            extent,
        }
    }

    fn of(&self, index: usize) -> (f32, i64) {
        let at = index / self.stride.max(1) % self.extent.max(1);
        let at = at.min(self.quantization.scale_bits.len().saturating_sub(1));
        let bits = self
            .quantization
            .scale_bits
            .get(at)
            .copied()
            .unwrap_or(f32::to_bits(1.0));
        (
            f32::from_bits(bits),
            self.quantization.zero_point.get(at).copied().unwrap_or(0),
        )
    }

    /// QuantizeLinear: `x / scale` in binary32, rounded half to even, plus the zero point, saturated to `range`.
    /// `index` is the row-major position, within one sample or several.
    pub fn quantize(&self, x: f32, index: usize, range: Range) -> Result<i64, RealError> {
        if x.is_nan() {
            return Err(RealError::NotANumber);
        }
        let (scale, zero) = self.of(index);
        // The conversion saturates, so infinities end at the range's ends as well.
        let rounded = (x / scale).round_ties_even() as i64;
        Ok(rounded.saturating_add(zero).clamp(range.lo, range.hi))
    }

    /// DequantizeLinear: `(value - zero point) · scale` in binary32.
    pub fn dequantize(&self, value: i64, index: usize) -> f32 {
        let (scale, zero) = self.of(index);
        (value - zero) as f32 * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U8: Range = Range::new(0, 255);

    #[test]
    fn accepts_ties_and_saturates() {
        let quantization = Quantization {
            scale_bits: vec![0.5f32.to_bits()],
            zero_point: vec![10],
            axis: None,
        };
        let scale = Scale::new(&quantization, &[1, 4]);
        for (x, expected) in [
            (0.0, 10),
            (0.25, 10),
            (0.75, 12),
            (-0.25, 10),
            (-0.75, 8),
            (1e30, 255),
            (-1e30, 0),
            (f32::INFINITY, 255),
            (f32::NEG_INFINITY, 0),
        ] {
            assert_eq!(scale.quantize(x, 0, U8), Ok(expected), "{x}");
        }
        assert_eq!(scale.dequantize(12, 0), 1.0);
    }

    #[test]
    fn accepts_a_scale_for_each_index_of_an_axis() {
        let scale_bits = vec![1f32.to_bits(), 2f32.to_bits()];
        let quantization = Quantization {
            scale_bits,
            zero_point: vec![0, 1],
            axis: Some(1),
        };
        let scale = Scale::new(&quantization, &[1, 2, 3]);
        let got: Vec<_> = (0..12)
            .map(|i| scale.quantize(4.0, i, U8).unwrap())
            .collect();
        assert_eq!(got, [4, 4, 4, 3, 3, 3, 4, 4, 4, 3, 3, 3]);
    }

    #[test]
    fn rejects_nan() {
        let quantization = Quantization {
            scale_bits: vec![1f32.to_bits()],
            zero_point: vec![0],
            axis: None,
        };
        assert_eq!(
            Scale::new(&quantization, &[1]).quantize(f32::NAN, 0, U8),
            Err(RealError::NotANumber)
        );
    }
}
