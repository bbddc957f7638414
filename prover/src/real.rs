//! The real numbers that a program's outputs stand for.
//!
//! This is outside of every proof: ONNX's DequantizeLinear with the scales that are part of the program. Inputs go the
//! other way in [`zkonnx_onnx::quantize_input`].

use zkonnx_circuits::program::Quantization;

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

    /// DequantizeLinear: `(value - zero point) · scale` in binary32.
    pub fn dequantize(&self, value: i64, index: usize) -> f32 {
        let (scale, zero) = self.of(index);
        (value - zero) as f32 * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_one_scale_for_all() {
        let (scale_bits, zero_point) = (vec![0.5f32.to_bits()], vec![10]);
        let quantization = Quantization {
            scale_bits,
            zero_point,
            axis: None,
        };
        let scale = Scale::new(&quantization, &[1, 4]);
        assert_eq!(
            [12, 10, 0].map(|value| scale.dequantize(value, 3)),
            [1.0, 0.0, -5.0]
        );
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
        let got: Vec<_> = (0..12).map(|i| scale.dequantize(4, i)).collect();
        assert_eq!(
            got,
            [4.0, 4.0, 4.0, 6.0, 6.0, 6.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0]
        );
    }
}
