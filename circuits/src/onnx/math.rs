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

/// x^y for y a small integer or a half, or through the logarithm.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return 1.0;
    }
    if y == y.round_ties_even() && y.abs() <= 64.0 {
        let mut power = 1.0;
        for _ in 0..y.abs() as u32 {
            power *= x;
        }
        return if y < 0.0 { 1.0 / power } else { power };
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if x == 0.0 {
        return if y > 0.0 { 0.0 } else { f64::INFINITY };
    }
    exp(y * ln(x))
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
    let square = a * a;
    ln_1p(a + square / (1.0 + (square + 1.0).sqrt())).copysign(x)
}

/// The inverse of the hyperbolic cosine; not a number below one.
pub(crate) fn acosh(x: f64) -> f64 {
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

/// Sine and cosine for |x| below 2^20, by reduction with a three-part π/2 and their series.
fn sin_cos(x: f64) -> (f64, f64) {
    const PARTS: [f64; 3] = [
        1.570_796_326_734_125_6,
        6.077_100_506_303_966e-11,
        2.022_266_248_795_951e-21,
    ];
    let k = (x * std::f64::consts::FRAC_2_PI).round_ties_even();
    let r = PARTS.iter().fold(x, |r, part| r - k * part);
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
    match (k as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The sine for |x| below 2^20.
pub(crate) fn sin(x: f64) -> f64 {
    sin_cos(x).0
}

/// The cosine for |x| below 2^20.
pub(crate) fn cos(x: f64) -> f64 {
    sin_cos(x).1
}

/// The tangent for |x| below 2^20.
pub(crate) fn tan(x: f64) -> f64 {
    let (sin, cos) = sin_cos(x);
    sin / cos
}

#[cfg(test)]
mod tests {
    /// Largest distance to the system's function, relative to its value, over a grid.
    fn distance(ours: impl Fn(f64) -> f64, theirs: impl Fn(f64) -> f64, lo: f64, hi: f64) -> f64 {
        let points = (0..=20_000).map(|i| lo + (hi - lo) * f64::from(i) / 20_000.0);
        points
            .map(|x| ((ours(x) - theirs(x)) / theirs(x).abs().max(1e-300)).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn accepts_the_values_of_the_system_library_to_2_to_the_minus_46() {
        let bound = 2f64.powi(-46);
        assert!(distance(super::exp, f64::exp, -700.0, 700.0) < bound);
        assert!(distance(super::exp_m1, f64::exp_m1, -20.0, 20.5) < bound);
        assert!(distance(super::ln, f64::ln, 1e-9, 0.9) < bound);
        assert!(distance(super::ln, f64::ln, 1.1, 1e9) < bound);
        assert!(distance(super::tanh, f64::tanh, -30.0, 30.1) < bound);
        assert!(distance(super::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -30.0, 30.0) < bound);
        assert!(distance(super::softplus, |x| x.exp().ln_1p(), -30.0, 30.0) < bound);
        assert!(distance(super::sin, f64::sin, 0.1, 3.0) < bound);
        // Through a zero of the cosine, and a pole of the tangent.
        assert!(distance(super::cos, f64::cos, -1.5, 8.0) < bound);
        assert!(distance(super::tan, f64::tan, 0.1, 8.0) < bound);
        assert!(distance(super::atan, f64::atan, 1e-9, 50.0) < bound);
        assert!(distance(super::asin, f64::asin, 1e-3, 1.0) < bound);
        assert!(distance(super::acos, f64::acos, -1.0, 0.999) < bound);
        assert!(distance(super::sinh, f64::sinh, 1e-9, 700.0) < bound);
        assert!(distance(super::cosh, f64::cosh, -30.0, 30.0) < bound);
        assert!(distance(super::asinh, f64::asinh, 1e-9, 1e6) < bound);
        assert!(distance(super::acosh, f64::acosh, 1.001, 1e6) < bound);
        assert!(distance(super::atanh, f64::atanh, 1e-9, 0.999) < bound);
    }

    #[test]
    fn accepts_the_ends_of_domains() {
        for outside in [
            super::asin(1.1),
            super::acos(-1.1),
            super::acosh(0.9),
            super::atanh(1.1),
        ] {
            assert!(outside.is_nan());
        }
        assert_eq!(super::acos(-1.0), std::f64::consts::PI);
        assert_eq!(super::asin(1.0), std::f64::consts::FRAC_PI_2);
        assert_eq!(super::atan(f64::INFINITY), std::f64::consts::FRAC_PI_2);
        assert_eq!(super::atanh(-1.0), f64::NEG_INFINITY);
        assert_eq!(super::acosh(1.0), 0.0);
        assert_eq!(super::sinh(-800.0), f64::NEG_INFINITY);
        assert_eq!(super::cosh(-800.0), f64::INFINITY);
    }

    #[test]
    fn accepts_known_values_of_erf() {
        for (x, y) in [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.9, 0.999_958_902_121_900_5),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
        ] {
            assert!((super::erf(x) - y).abs() < 1e-14, "{x}: {}", super::erf(x));
            assert_eq!(super::erf(-x), -super::erf(x));
        }
    }
}
