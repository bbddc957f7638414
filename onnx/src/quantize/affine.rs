//! Scales and zero points that are chosen for ranges.

use crate::quantize::Byte;
use zkonnx_circuits::program::DataType;
use zkonnx_circuits::program::Range;

/// Smallest scale: far above the smallest normal number, so that products of two scales are normal too.
pub(crate) const MIN_SCALE: f32 = 1e-15;

/// Scale and zero point of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) zero: i64,
}

impl Affine {
    /// The scale that makes the most of the type for values between `lo ≤ 0` and `hi ≥ 0`.
    pub(crate) fn of((lo, hi): (f32, f32), dtype: DataType) -> Self {
        let range = Range::of(dtype);
        let span = (f64::from(hi) - f64::from(lo)) / (range.hi - range.lo) as f64;
        let scale = if span > 0.0 {
            (span as f32).clamp(MIN_SCALE, 1e30)
        } else {
            1.0
        };
        let zero = range.lo as f64 - f64::from(lo) / f64::from(scale);
        Self {
            scale,
            zero: (zero.round_ties_even() as i64).clamp(range.lo, range.hi),
        }
    }

    /// The scale one, if whole numbers between `lo ≤ 0` and `hi ≥ 0` fit the type.
    pub(crate) fn whole((lo, hi): (f32, f32), byte: Byte) -> Option<Self> {
        let range = Range::of(byte.dtype());
        let fits = f64::from(hi) - f64::from(lo) <= (range.hi - range.lo) as f64;
        // Zero stays the zero point where it can, so that truths are what they were.
        let zero = (range.lo - lo as i64).max(range.lo);
        let zero = if lo as i64 >= range.lo && hi as i64 <= range.hi {
            0
        } else {
            zero
        };
        fits.then_some(Self { scale: 1.0, zero })
    }
}
