//! Scales and zero points in words.

use core::fmt;

use super::Quantization;

/// `scale m·2^e, zero point z`; with several scales, their number and axis and the first of them.
impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(bits), Some(zero)) = (self.scale_bits.first(), self.zero_point.first()) else {
            return write!(f, "no scale");
        };
        // Only normal positive patterns reach this point, so the hidden bit is set.
        let mut mantissa = (bits & 0x7f_ffff) | 0x80_0000;
        let mut exponent = (bits >> 23) as i32 - 150;
        let zeros = mantissa.trailing_zeros();
        mantissa >>= zeros;
        exponent += zeros as i32;
        match self.axis {
            None => write!(f, "scale {mantissa}·2^{exponent}, zero point {zero}"),
            Some(axis) => write!(
                f,
                "{} scales along axis {axis}, the first {mantissa}·2^{exponent}, zero point {zero}",
                self.scale_bits.len()
            ),
        }
    }
}
