//! Elementary functions from additions, multiplications, divisions and square roots of binary64.
//!
//! Those operations are defined to the last bit by IEEE 754, so the results are the same on every machine, unlike
//! those of a system's mathematical library. Errors stay below 2^-48 of the result, and the caller rounds to 24 bits:
//! the rounded value is the correctly rounded one unless the exact one lies within that distance of a tie.

const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// 2^k for |k| ≤ 1074, by steps that stay normal.
fn scale(mut x: f64, mut k: i32) -> f64 {
    while k > 1000 {
        x *= f64::from_bits(2023 << 52);
        k -= 1000;
    }
    while k < -1000 {
        x *= f64::from_bits(23 << 52);
        k += 1000;
    }
    x * f64::from_bits(((1023 + k) as u64) << 52)
}

/// e^r − 1 for |r| ≤ 0.35, by its series.
fn exp_m1_reduced(r: f64) -> f64 {
    let mut sum = 0.0;
    for n in (1..=20).rev() {
        sum = (sum + 1.0) * r / f64::from(n);
    }
    sum
}

/// The exponential function.
pub(crate) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 710.0 {
        return f64::INFINITY;
    }
    if x < -746.0 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - k * LN2_HI) - k * LN2_LO;
    scale(1.0 + exp_m1_reduced(r), k as i32)
}

/// e^x − 1 without cancellation near zero.
pub(crate) fn exp_m1(x: f64) -> f64 {
    if x.abs() < 0.3 {
        exp_m1_reduced(x)
    } else {
        exp(x) - 1.0
    }
}

/// The natural logarithm, by Newton's method from a series of the mantissa.
pub(crate) fn ln(x: f64) -> f64 {
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    let (mut m, mut k) = (x, 0);
    if m < f64::MIN_POSITIVE {
        m *= f64::from_bits((1023 + 54) << 52);
        k -= 54;
    }
    k += ((m.to_bits() >> 52) as i32) - 1023;
    m = f64::from_bits((m.to_bits() & ((1 << 52) - 1)) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    // ln m = 2·atanh((m − 1)/(m + 1)), whose argument is below 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for n in (0..=14).rev() {
        sum = sum * square + 1.0 / f64::from(2 * n + 1);
    }
    let k = f64::from(k);
    k * LN2_HI + (2.0 * s * sum + k * LN2_LO)
}

/// 1 / (1 + e^−x).
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + exp(-x))
    } else {
        let e = exp(x);
        e / (1.0 + e)
    }
}

/// The hyperbolic tangent.
pub(crate) fn tanh(x: f64) -> f64 {
    let a = x.abs();
    if a > 20.0 {
        return x.signum();
    }
    let e = exp_m1(2.0 * a);
    (e / (e + 2.0)).copysign(x)
}

/// ln(1 + e^x).
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + ln_1p(exp(-x.abs()))
}

/// The error function: its series near zero, a continued fraction of the complement farther out.
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    let two_over_sqrt_pi = std::f64::consts::FRAC_2_SQRT_PI;
    if a < 3.0 {
        // erf x = 2/√π · e^(−x²) · Σ 2^n x^(2n+1) / (1·3·…·(2n+1)): all terms positive, so nothing cancels.
        let (mut term, mut sum) = (a, a);
        for n in 1..120 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
        }
        return (two_over_sqrt_pi * exp(-a * a) * sum).copysign(x);
    }
    let mut fraction = 0.0;
    for n in (1..=80).rev() {
        fraction = f64::from(n) / 2.0 / (a + fraction);
    }
    let complement = exp(-a * a) / ((a + fraction) * std::f64::consts::PI.sqrt());
    (1.0 - complement).copysign(x)
}

/// The power, with the special values of C's `pow`.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let base = x.abs();
    if y.is_infinite() {
        return match (base > 1.0) == (y > 0.0) {
            _ if base == 1.0 => 1.0,
            true => f64::INFINITY,
            false => 0.0,
        };
    }
    let whole = y == y.trunc();
    let odd = whole && y.abs() < (1u64 << 53) as f64 && y as i64 % 2 != 0;
    let magnitude = if base == 0.0 || base.is_infinite() {
        if (base == 0.0) == (y > 0.0) {
            0.0
        } else {
            f64::INFINITY
        }
    } else if x < 0.0 && !whole {
        return f64::NAN;
    } else if whole && y.abs() <= 64.0 {
        let power = (0..y.abs() as u32).fold(1.0, |power, _| power * base);
        if y < 0.0 { 1.0 / power } else { power }
    } else if y == 0.5 {
        base.sqrt()
    } else {
        exp(y * ln(base))
    };
    if odd && x.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// A polynomial by Horner's rule with fused multiply-adds, the coefficient of the highest power first.
fn horner(x: f32, coefficients: &[f32]) -> f32 {
    coefficients
        .iter()
        .fold(0.0, |sum, &c| f32::mul_add(sum, x, c))
}

/// The logistic function as ONNX Runtime's kernels for processors with fused multiply-add compute it, to the last bit:
/// a rational function of binary32 that is 0 below −18 and 1 above 18.
pub(crate) fn sigmoid32(x: f32) -> f32 {
    const P: [f32; 5] = [
        4.370_31e-11,
        1.156_273_2e-7,
        6.085_749e-5,
        8.513_771e-3,
        0.248_287_95,
    ];
    const Q: [f32; 6] = [
        6.102_473_7e-13,
        5.761_021_6e-9,
        6.291_068e-6,
        1.701_988_2e-3,
        0.116_817_65,
        0.993_151_9,
    ];
    let x = x.clamp(-18.0, 18.0);
    let square = x * x;
    let y = horner(square, &P) * x / horner(square, &Q) + 0.5;
    y.clamp(0.0, 1.0)
}

/// The hyperbolic tangent in the same manner.
pub(crate) fn tanh32(x: f32) -> f32 {
    const P: [f32; 7] = [
        -2.760_768_4e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297_2e-8,
        1.485_722_35e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const Q: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3];
    let x = x.clamp(-9.0, 9.0);
    let square = x * x;
    horner(square, &P) * x / horner(square, &Q)
}

/// ln(1 + x) without cancellation near zero.
pub(crate) fn ln_1p(x: f64) -> f64 {
    // ln(1 + x) with the rounding of 1 + x compensated.
    let u = 1.0 + x;
    if u == 1.0 {
        x
    } else if u.is_infinite() || u <= 0.0 {
        ln(u)
    } else {
        ln(u) * x / (u - 1.0)
    }
}

/// The hyperbolic sine.
pub(crate) fn sinh(x: f64) -> f64 {
    let e = exp_m1(x.abs());
    let y = if e.is_infinite() {
        e
    } else {
        (e + e / (e + 1.0)) / 2.0
    };
    y.copysign(x)
}

/// The hyperbolic cosine.
pub(crate) fn cosh(x: f64) -> f64 {
    let e = exp(x.abs());
    (e + 1.0 / e) / 2.0
}

/// The inverse of the hyperbolic sine.
pub(crate) fn asinh(x: f64) -> f64 {
    let a = x.abs();
    if a.is_infinite() {
        return x;
    }
    let square = a * a;
    ln_1p(a + square / (1.0 + (square + 1.0).sqrt())).copysign(x)
}

/// The inverse of the hyperbolic cosine; not a number below one.
pub(crate) fn acosh(x: f64) -> f64 {
    if x < 1.0 {
        return f64::NAN;
    }
    let t = x - 1.0;
    ln_1p(t + (2.0 * t + t * t).sqrt())
}

/// The inverse of the hyperbolic tangent; not a number outside −1 to 1.
pub(crate) fn atanh(x: f64) -> f64 {
    let a = x.abs();
    (0.5 * ln_1p(2.0 * a / (1.0 - a))).copysign(x)
}

/// The inverse of the tangent, by halving the angle until its series is short.
pub(crate) fn atan(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    let turned = a > 1.0;
    let mut t = if turned { 1.0 / a } else { a };
    for _ in 0..2 {
        t /= 1.0 + (1.0 + t * t).sqrt();
    }
    // t is below 0.2.
    let square = t * t;
    let mut sum = 0.0;
    for n in (0..=14).rev() {
        sum = 1.0 / f64::from(2 * n + 1) - square * sum;
    }
    let angle = 4.0 * t * sum;
    let angle = if turned {
        std::f64::consts::FRAC_PI_2 - angle
    } else {
        angle
    };
    angle.copysign(x)
}

/// The inverse of the sine; not a number outside −1 to 1.
pub(crate) fn asin(x: f64) -> f64 {
    atan(x / ((1.0 - x) * (1.0 + x)).sqrt())
}

/// The inverse of the cosine; not a number outside −1 to 1.
pub(crate) fn acos(x: f64) -> f64 {
    2.0 * atan(((1.0 - x) / (1.0 + x)).sqrt())
}

/// Above it, angles are reduced with more digits of π.
pub(crate) const LARGE_ANGLE: f64 = (1u64 << 20) as f64;

/// An angle of binary32 as the nearest number of right angles, modulo four, and the rest.
fn reduced(x: f64) -> (i64, f64) {
    if x.abs() < LARGE_ANGLE || !x.is_finite() {
        const PARTS: [f64; 3] = [
            1.570_796_326_734_125_6,
            6.077_100_506_303_966e-11,
            2.022_266_248_795_951e-21,
        ];
        // A negative zero of `k` would take the sign from one of `x`.
        let k = (x * std::f64::consts::FRAC_2_PI).round_ties_even() + 0.0;
        return (k as i64, PARTS.iter().fold(x, |r, part| r - k * part));
    }
    // 2/π times 2^256, the lowest digit first.
    const DIGITS: [u64; 8] = [
        0xdebb_c561,
        0xfe51_63ab,
        0x3c43_9041,
        0xdb62_9599,
        0xf534_ddc0,
        0xfc27_57d1,
        0x4e44_1529,
        0xa2f9_836e,
    ];
    // |x| = mantissa · 2^exponent with 24 bits of mantissa, exponent from -3 to 104.
    let bits = (x.abs() as f32).to_bits();
    let (mantissa, exponent) = (
        u64::from((bits & 0x7f_ffff) | 0x80_0000),
        (bits >> 23) as i32 - 150,
    );
    let mut product = [0u64; 10];
    for (i, digit) in DIGITS.iter().enumerate() {
        let sum = product[i] + mantissa * digit;
        product[i] = sum & 0xffff_ffff;
        product[i + 1] += sum >> 32;
    }
    // The bits from 2^1 to 2^-126 of the number of right angles.
    let bit = |place: i32| {
        let place = place + 256 - exponent;
        let digit = product.get(place as usize / 32).copied().unwrap_or(0);
        u128::from(digit >> (place % 32) & 1)
    };
    let window = (-126..2)
        .rev()
        .fold(0u128, |window, place| window << 1 | bit(place));
    let (mut right, mut rest) = ((window >> 126) as i64, (window << 2 >> 2) as i128);
    if rest >= 1 << 125 {
        right += 1;
        rest -= 1 << 126;
    }
    let rest = rest as f64 * f64::from_bits((1023 - 126) << 52) * std::f64::consts::FRAC_PI_2;
    if x < 0.0 {
        (-right, -rest)
    } else {
        (right, rest)
    }
}

/// Sine and cosine, of |x| from 2^20 on those of binary32 numbers, by their series.
fn sin_cos(x: f64) -> (f64, f64) {
    let (k, r) = reduced(x);
    let square = r * r;
    let series = |first: u32| {
        let mut sum = 0.0;
        for n in (0..12u32).rev() {
            let d = f64::from((2 * n + first + 1) * (2 * n + first + 2));
            sum = 1.0 - square / d * sum;
        }
        sum
    };
    let (sin, cos) = (r * series(1), series(0));
    match k.rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The sine.
pub(crate) fn sin(x: f64) -> f64 {
    sin_cos(x).0
}

/// The cosine.
pub(crate) fn cos(x: f64) -> f64 {
    sin_cos(x).1
}

/// The tangent.
pub(crate) fn tan(x: f64) -> f64 {
    let (sin, cos) = sin_cos(x);
    sin / cos
}
