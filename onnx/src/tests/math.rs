//! The functions of `math.rs` against those of the system.

use crate::math;

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
    assert!(distance(math::exp, f64::exp, -700.0, 700.0) < bound);
    assert!(distance(math::exp_m1, f64::exp_m1, -20.0, 20.5) < bound);
    assert!(distance(math::ln, f64::ln, 1e-9, 0.9) < bound);
    assert!(distance(math::ln, f64::ln, 1.1, 1e9) < bound);
    assert!(distance(math::tanh, f64::tanh, -30.0, 30.1) < bound);
    assert!(distance(math::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -30.0, 30.0) < bound);
    assert!(distance(math::softplus, |x| x.exp().ln_1p(), -30.0, 30.0) < bound);
    assert!(distance(math::sin, f64::sin, 0.1, 3.0) < bound);
    // Through a zero of the cosine, and a pole of the tangent.
    assert!(distance(math::cos, f64::cos, -1.5, 8.0) < bound);
    assert!(distance(math::tan, f64::tan, 0.1, 8.0) < bound);
    assert!(distance(math::atan, f64::atan, 1e-9, 50.0) < bound);
    assert!(distance(math::asin, f64::asin, 1e-3, 1.0) < bound);
    assert!(distance(math::acos, f64::acos, -1.0, 0.999) < bound);
    assert!(distance(math::sinh, f64::sinh, 1e-9, 700.0) < bound);
    assert!(distance(math::cosh, f64::cosh, -30.0, 30.0) < bound);
    assert!(distance(math::asinh, f64::asinh, 1e-9, 1e6) < bound);
    assert!(distance(math::acosh, f64::acosh, 1.001, 1e6) < bound);
    assert!(distance(math::atanh, f64::atanh, 1e-9, 0.999) < bound);
}

#[test]
fn accepts_huge_angles() {
    for x in [
        1048576.0f32,
        4294967296.0,
        3.4e38,
        -1e20,
        16367173.0 * 2f32.powi(72),
    ] {
        let wide = f64::from(x);
        assert!((math::sin(wide) - wide.sin()).abs() < 1e-15, "{x}");
        assert!((math::cos(wide) - wide.cos()).abs() < 1e-15, "{x}");
    }
}

#[test]
fn accepts_the_special_values_of_powers() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (x, y) in [
        (-2.0, 65.0),
        (-2.0, -9.2e18),
        (-0.5, 65536.0),
        (0.0, -1.0),
        (-0.0, -3.0),
        (-0.0, -2.0),
        (inf, -2.0),
        (-inf, 3.0),
        (-inf, 0.5),
        (-0.0, 0.5),
        (1.0, nan),
        (nan, 0.0),
        (-1.0, inf),
        (-0.5, inf),
        (2.0, -inf),
        (-8.0, 0.3),
        (nan, 2.0),
    ] {
        let (got, want) = (math::pow(x, y), x.powf(y));
        let close = got == want || (got / want - 1.0).abs() < 1e-14;
        let same = close && got.is_sign_negative() == want.is_sign_negative();
        assert!(
            same || got.is_nan() && want.is_nan(),
            "{x}^{y}: {got} instead of {want}"
        );
    }
}

#[test]
fn accepts_the_ends_of_domains() {
    for outside in [
        math::asin(1.1),
        math::acos(-1.1),
        math::acosh(0.9),
        math::acosh(-9e18),
        math::atanh(1.1),
    ] {
        assert!(outside.is_nan());
    }
    assert_eq!(math::acos(-1.0), std::f64::consts::PI);
    assert_eq!(math::asin(1.0), std::f64::consts::FRAC_PI_2);
    assert_eq!(math::atan(f64::INFINITY), std::f64::consts::FRAC_PI_2);
    assert_eq!(math::atanh(-1.0), f64::NEG_INFINITY);
    assert_eq!(math::acosh(1.0), 0.0);
    assert_eq!(math::asinh(f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert_eq!(math::acosh(f64::INFINITY), f64::INFINITY);
    assert_eq!(math::sinh(-800.0), f64::NEG_INFINITY);
    assert_eq!(math::cosh(-800.0), f64::INFINITY);
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
        assert!((math::erf(x) - y).abs() < 1e-14, "{x}: {}", math::erf(x));
        assert_eq!(math::erf(-x), -math::erf(x));
    }
}
