//! Functions of one and of two numbers, with ONNX Runtime's results.
//!
//! What IEEE 754 defines is computed step by step in the type of the numbers, in the order of ONNX Runtime's kernels.
//! Sigmoid and Tanh are the rational functions of its kernels with fused multiply-adds. Other functions are computed in
//! binary64 by `math` and rounded once: the same bits on every machine, while ONNX Runtime's differ in the last ones.

use std::cmp::Ordering;

use crate::math;

/// Numbers of a float type.
pub(crate) trait Float:
    Copy
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Rem<Output = Self>
    + std::ops::Neg<Output = Self>
    + From<f32>
    + Into<f64>
{
    /// Rounds once.
    fn of(x: f64) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_ties_even(self) -> Self;
}

macro_rules! float {
    ($t:ty) => {
        impl Float for $t {
            fn of(x: f64) -> Self {
                x as $t
            }
            fn abs(self) -> Self {
                self.abs()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn floor(self) -> Self {
                self.floor()
            }
            fn ceil(self) -> Self {
                self.ceil()
            }
            fn round_ties_even(self) -> Self {
                self.round_ties_even()
            }
        }
    };
}
float!(f32);
float!(f64);

/// Elementwise functions of one argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Relu,
    /// Lower, upper limit.
    Clip(f32, f32),
    Sigmoid,
    Tanh,
    LeakyRelu(f32),
    Elu(f32),
    Selu(f32, f32),
    Celu(f32),
    HardSigmoid(f32, f32),
    HardSwish,
    ThresholdedRelu(f32),
    /// Bias, lambda.
    Shrink(f32, f32),
    Softplus,
    Softsign,
    Mish,
    Gelu,
    /// The approximation of Gelu by tanh.
    GeluTanh,
    Swish(f32),
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Abs,
    Neg,
    Sign,
    Floor,
    Ceil,
    Round,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
}

/// Elementwise functions of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    /// First argument where it is not negative, else the product of both.
    PRelu,
    /// The remainder, with the sign of the first argument.
    Remainder,
}

/// The larger of two numbers, the second of equal ones; not a number if one is not.
fn larger<T: Float>(a: T, b: T) -> T {
    match a.partial_cmp(&b) {
        Some(Ordering::Greater) => a,
        Some(_) => b,
        None => a + b,
    }
}

/// The smaller of two numbers, the second of equal ones; not a number if one is not.
fn smaller<T: Float>(a: T, b: T) -> T {
    match a.partial_cmp(&b) {
        Some(Ordering::Less) => a,
        Some(_) => b,
        None => a + b,
    }
}

/// A clamp that leaves what is not a number, and that a limit which is not a number does not touch.
pub(crate) fn clip<T: PartialOrd>(x: T, lo: T, hi: T) -> T {
    let x = if x < lo { lo } else { x };
    if x > hi { hi } else { x }
}

impl Unary {
    /// The limits of a clamp.
    pub(crate) fn limits(self) -> Option<(f32, f32)> {
        match self {
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clip(lo, hi) => Some((lo, hi)),
            _ => None,
        }
    }

    pub(crate) fn eval(self, x: f32) -> f32 {
        if let Some(y) = self.algebraic(x) {
            return y;
        }
        let one = |f: fn(f64) -> f64, x: f32| f(f64::from(x)) as f32;
        match self {
            Self::Sigmoid => math::sigmoid32(x),
            Self::Tanh => math::tanh32(x),
            Self::Elu(alpha) if x < 0.0 => alpha * (one(math::exp, x) - 1.0),
            Self::Selu(alpha, gamma) if x <= 0.0 => gamma * (alpha * (one(math::exp, x) - 1.0)),
            Self::Selu(_, gamma) => gamma * x,
            Self::Celu(alpha) if x < 0.0 => alpha * (one(math::exp, x / alpha) - 1.0),
            Self::Elu(_) | Self::Celu(_) => x,
            Self::Softplus => one(math::softplus, x),
            Self::Mish => x * math::tanh32(one(math::softplus, x)),
            Self::Gelu => {
                let inner = x * std::f32::consts::FRAC_1_SQRT_2;
                x * 0.5 * (1.0 + one(math::erf, inner))
            }
            Self::GeluTanh => {
                // The square root of 2/π, and that of 0.044715².
                const B: f32 = 0.797_884_6;
                const C: f32 = 0.044715 * B;
                x * 0.5 * (1.0 + math::tanh32(x * (C * x * x + B)))
            }
            Self::Swish(alpha) => x * math::sigmoid32(alpha * x),
            other => other.eval64(f64::from(x)).map_or(f32::NAN, |y| y as f32),
        }
    }

    /// The functions that ONNX Runtime computes in binary64 too; `None` for the others, and for angles that binary64
    /// does not reduce well.
    pub(crate) fn eval_double(self, x: f64) -> Option<f64> {
        match self {
            Self::Relu | Self::Clip(..) | Self::Shrink(..) | Self::Sqrt | Self::Reciprocal => {}
            Self::Abs | Self::Neg | Self::Sign | Self::Floor | Self::Ceil | Self::Round => {}
            Self::Sin | Self::Cos if x.abs() >= math::LARGE_ANGLE => return None,
            Self::Exp | Self::Log | Self::Sin | Self::Cos => return self.eval64(x),
            Self::Sigmoid => return Some(math::sigmoid(x)),
            Self::Tanh => return Some(math::tanh(x)),
            Self::Swish(alpha) => return Some(x * math::sigmoid(f64::from(alpha) * x)),
            _ => return None,
        }
        self.algebraic(x)
    }

    /// The functions that are a few operations of IEEE 754.
    fn algebraic<T: Float>(self, x: T) -> Option<T> {
        let of = <T as From<f32>>::from;
        let (zero, one) = (of(0.0), of(1.0));
        Some(match self {
            Self::Relu if x < zero => zero,
            Self::Relu => x,
            Self::Clip(lo, hi) => clip(x, of(lo), of(hi)),
            Self::LeakyRelu(alpha) if x < zero => of(alpha) * x,
            Self::LeakyRelu(_) => x,
            Self::HardSigmoid(alpha, beta) => clip(of(alpha) * x + of(beta), zero, one),
            Self::HardSwish => x * clip(of(1.0 / 6.0) * x + of(0.5), zero, one),
            Self::ThresholdedRelu(alpha) if x > of(alpha) => x,
            Self::ThresholdedRelu(_) => zero,
            Self::Shrink(bias, lambda) if x < of(-lambda) => x + of(bias),
            Self::Shrink(bias, lambda) if x > of(lambda) => x - of(bias),
            Self::Shrink(..) => zero,
            Self::Softsign => x * (one / (one + x.abs())),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => one / x,
            Self::Abs => x.abs(),
            Self::Neg => -x,
            Self::Sign if x > zero => one,
            Self::Sign if x < zero => -one,
            Self::Sign if x == zero => zero,
            Self::Sign => x,
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            _ => return None,
        })
    }

    /// Functions without an exact definition, in binary64; the caller rounds once.
    fn eval64(self, x: f64) -> Option<f64> {
        Some(match self {
            Self::Erf => math::erf(x),
            Self::Exp => math::exp(x),
            Self::Log => math::ln(x),
            Self::Sin => math::sin(x),
            Self::Cos => math::cos(x),
            Self::Tan => math::tan(x),
            Self::Asin => math::asin(x),
            Self::Acos => math::acos(x),
            Self::Atan => math::atan(x),
            Self::Sinh => math::sinh(x),
            Self::Cosh => math::cosh(x),
            Self::Asinh => math::asinh(x),
            Self::Acosh => math::acosh(x),
            Self::Atanh => math::atanh(x),
            _ => return None,
        })
    }

    /// Whether the function never decreases.
    pub(crate) fn is_monotone(self) -> bool {
        match self {
            Self::Relu
            | Self::Clip(..)
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softplus
            | Self::Softsign => true,
            Self::Erf | Self::Exp | Self::Sign | Self::Floor | Self::Ceil | Self::Round => true,
            Self::Atan | Self::Sinh | Self::Asinh => true,
            Self::LeakyRelu(alpha) | Self::Elu(alpha) => alpha >= 0.0,
            Self::Celu(alpha) => alpha > 0.0,
            Self::Selu(alpha, gamma) => alpha >= 0.0 && gamma >= 0.0,
            Self::HardSigmoid(alpha, _) => alpha >= 0.0,
            Self::ThresholdedRelu(alpha) => alpha >= 0.0,
            _ => false,
        }
    }
}

impl Binary {
    /// `single` says that the second argument is one for all elements: then a third power is two multiplications.
    pub(crate) fn eval<T: Float>(self, a: T, b: T, single: bool) -> T {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => smaller(a, b),
            Self::Max => larger(a, b),
            Self::Pow if single && b == T::from(2.0) => a * a,
            Self::Pow if single && b == T::from(3.0) => a * a * a,
            Self::Pow => T::of(math::pow(a.into(), b.into())),
            Self::Remainder => a % b,
            Self::PRelu if a < T::from(0.0) => a * b,
            Self::PRelu => a,
        }
    }
}
