//! The float32 scale rule, evaluated on integers.
//!
//! `y = clamp(round_half_even(f32(f32(acc) · M)) + zero_point, lo, hi)` with `M = mantissa · 2^exponent` a binary32
//! number. IEEE 754 defines each step exactly: the conversion and the product round to 24 significant bits, ties to
//! even. Both are done here on integers, so no machine's float unit takes part, and two machines cannot disagree.
//!
//! Subnormal products do not occur: `M` is normal and `|acc| ≥ 1` unless the product is zero. A product beyond the
//! largest float would be an infinity, which saturates like the large integer that stands for it here.

use crate::program::{DecodeError, Decoder, Encoder, OpError};

/// `clamp(round_half_even(f32(f32(acc) · mantissa · 2^exponent)) + zero_point, lo, hi)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScaleRule {
    mantissa: u32,
    exponent: i32,
    zero_point: i64,
    lo: i64,
    hi: i64,
}

impl ScaleRule {
    /// A rule for a normal multiplier: `2^23 ≤ mantissa < 2^24`, `−149 ≤ exponent ≤ 104`. `lo..=hi` is the saturation
    /// of the output type, narrowed by any fused clamp.
    pub fn new(
        mantissa: u32,
        exponent: i32,
        zero_point: i64,
        lo: i64,
        hi: i64,
    ) -> Result<Self, OpError> {
        let bad = |parameter| {
            Err(OpError::Parameter {
                op: "requantize",
                parameter,
            })
        };
        if !(1 << 23..1 << 24).contains(&mantissa) || !(-149..=104).contains(&exponent) {
            return bad("the multiplier");
        }
        let limit = 1 << 32;
        if lo > hi || lo < -limit || hi > limit {
            return bad("the clamp");
        }
        if !(-limit..=limit).contains(&zero_point) {
            return bad("the zero point");
        }
        Ok(Self {
            mantissa,
            exponent,
            zero_point,
            lo,
            hi,
        })
    }

    /// The multiplier's mantissa and exponent.
    pub fn scale(&self) -> (u32, i32) {
        (self.mantissa, self.exponent)
    }

    /// What is added after rounding.
    pub fn zero_point(&self) -> i64 {
        self.zero_point
    }

    /// The value for an accumulator of at most 62 bits.
    pub fn eval(&self, acc: i64) -> i64 {
        let (a, a_exponent) = round24(u128::from(acc.unsigned_abs()));
        let (p, p_exponent) = round24(u128::from(a) * u128::from(self.mantissa));
        let magnitude = round_to_integer(p, a_exponent + p_exponent + self.exponent);
        let rounded = if acc < 0 { -magnitude } else { magnitude };
        (rounded + self.zero_point).clamp(self.lo, self.hi)
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.u32(self.mantissa);
        out.i64(i64::from(self.exponent));
        out.i64(self.zero_point);
        out.i64(self.lo);
        out.i64(self.hi);
    }

    pub(super) fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mantissa = reader.u32()?;
        let exponent =
            i32::try_from(reader.i64()?).map_err(|_| DecodeError::Malformed("exponent"))?;
        Ok(Self::new(
            mantissa,
            exponent,
            reader.i64()?,
            reader.i64()?,
            reader.i64()?,
        )?)
    }
}

/// Drops `shift` bits, rounding half to even.
fn shift_half_even(value: u128, shift: u32) -> u128 {
    if shift == 0 {
        return value;
    }
    if shift > 127 {
        return 0;
    }
    let (quotient, rest, half) = (value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1));
    quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
}

/// `value` rounded to 24 significant bits, as a significand of at most 24 bits and an exponent.
fn round24(value: u128) -> (u32, i32) {
    let bits = 128 - value.leading_zeros();
    let shift = bits.saturating_sub(24);
    let rounded = shift_half_even(value, shift);
    // A carry to 2^24 leaves a power of two, which one more bit represents exactly.
    if rounded == 1 << 24 {
        (1 << 23, shift as i32 + 1)
    } else {
        (rounded as u32, shift as i32)
    }
}

/// `significand · 2^exponent` rounded half to even; capped at 2^40, beyond every clamp.
fn round_to_integer(significand: u32, exponent: i32) -> i64 {
    let cap = 1i64 << 40;
    if significand == 0 {
        return 0;
    }
    if exponent >= 0 {
        return if exponent > 39 {
            cap
        } else {
            (i64::from(significand) << exponent).min(cap)
        };
    }
    shift_half_even(u128::from(significand), exponent.unsigned_abs()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule on the machine's float unit.
    fn native(acc: i64, multiplier: f32, zero_point: i64, lo: i64, hi: i64) -> i64 {
        let product = acc as f32 * multiplier;
        (f64::from(product.round_ties_even()) as i64)
            .saturating_add(zero_point)
            .clamp(lo, hi)
    }

    fn rule(multiplier: f32, zero_point: i64, lo: i64, hi: i64) -> ScaleRule {
        let bits = multiplier.to_bits();
        ScaleRule::new(
            (bits & 0x7f_ffff) | 0x80_0000,
            (bits >> 23) as i32 - 150,
            zero_point,
            lo,
            hi,
        )
        .unwrap()
    }

    struct Rng(u64);
    impl Rng {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let x = self.0 ^ (self.0 >> 33);
            x.wrapping_mul(0xff51afd7ed558ccd) ^ (x >> 29)
        }
    }

    #[test]
    fn accepts_what_the_float_unit_computes_on_millions_of_values() {
        let mut rng = Rng(1);
        for round in 0..4000 {
            let exponent = 96 + (rng.next() % 36) as u32;
            // Short mantissas make ties.
            let mask = if round % 3 == 0 {
                0x7f_ffff
            } else {
                0x7f_ffff << (rng.next() % 24)
            };
            let multiplier =
                f32::from_bits((exponent << 23) | (rng.next() as u32 & mask & 0x7f_ffff));
            let zero = (rng.next() % 256) as i64 - 128;
            let rule = rule(multiplier, zero, -128, 255);
            for _ in 0..1000 {
                let width = rng.next() % 32;
                let acc = (rng.next() as i64) >> (63 - width);
                assert_eq!(
                    rule.eval(acc),
                    native(acc, multiplier, zero, -128, 255),
                    "{acc} {multiplier}"
                );
            }
        }
    }

    #[test]
    fn accepts_what_the_float_unit_computes_around_every_threshold() {
        let mut rng = Rng(2);
        for _ in 0..400 {
            let exponent = 100 + (rng.next() % 27) as u32;
            let multiplier = f32::from_bits((exponent << 23) | (rng.next() as u32 & 0x7f_ffff));
            let rule = rule(multiplier, 3, -1000, 1000);
            for q in -300i64..300 {
                let near = ((q as f64 + 0.5) / f64::from(multiplier)) as i64;
                for acc in near - 4..=near + 4 {
                    assert_eq!(
                        rule.eval(acc),
                        native(acc, multiplier, 3, -1000, 1000),
                        "{acc} {multiplier}"
                    );
                }
            }
        }
    }

    #[test]
    fn accepts_wide_accumulators_and_extreme_multipliers() {
        for multiplier in [f32::MIN_POSITIVE, f32::MAX, 1.0, 0.5, 1.5e-30, 3.0e20] {
            let rule = rule(multiplier, -7, -(1 << 31), (1 << 31) - 1);
            for acc in [
                i64::from(i32::MIN),
                i64::from(i32::MAX),
                (1 << 24) + 1,
                -(1 << 24) - 3,
                0,
                1,
                -1,
            ] {
                let expected = native(acc, multiplier, -7, -(1 << 31), (1 << 31) - 1);
                assert_eq!(rule.eval(acc), expected, "{acc} {multiplier}");
            }
        }
    }

    #[test]
    fn rejects_multipliers_that_are_not_normal() {
        assert!(ScaleRule::new(1 << 22, 0, 0, 0, 255).is_err());
        assert!(ScaleRule::new(1 << 24, 0, 0, 0, 255).is_err());
        assert!(ScaleRule::new(1 << 23, -150, 0, 0, 255).is_err());
        assert!(ScaleRule::new(1 << 23, 0, 0, 5, 4).is_err());
    }
}
