//! Elementwise float expressions of one real number, as they stand between DequantizeLinear and QuantizeLinear.
//!
//! They are evaluated at import only, to fill tables and to find thresholds. Every step is an IEEE binary32 operation,
//! or a function of `math` that is computed in binary64 by additions, multiplications and divisions alone and then
//! rounded: the same bits on every machine.

use std::sync::Arc;

use super::math;

/// A float that multiplies, is added, …: one for all elements, or several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Scalar(f32),
    /// One for each index of an axis.
    Axis(usize, Vec<f32>),
}

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
    /// First argument where it is positive or zero, else the product of both.
    PRelu,
    /// The remainder, with the sign of the first argument.
    Remainder,
}

/// An expression of one real variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    X,
    Const(Operand),
    Unary(Unary, Arc<Expr>),
    Binary(Binary, Arc<Expr>, Arc<Expr>),
    /// The value is a place in a row of floats.
    Lookup(Arc<Expr>, Arc<Rows>),
}

/// Rows of floats to look up, as many in each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// The axis that several rows follow.
    pub(crate) axis: Option<usize>,
    /// One, or one for each index of the axis; places below zero count from the end.
    pub(crate) rows: Vec<Vec<f32>>,
}

impl Rows {
    fn at(&self, place: f32, lane: usize) -> f32 {
        let row = self.rows.get(if self.axis.is_some() { lane } else { 0 });
        let row = row.map_or(&[][..], Vec::as_slice);
        let place = (place as i64).rem_euclid(row.len().max(1) as i64);
        row.get(place as usize).copied().unwrap_or(f32::NAN)
    }
}

/// Which of the operands' values apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    Tensor,
    /// Axis and its extent.
    Axis(usize, usize),
}

impl Unary {
    pub(crate) fn eval(self, x: f32) -> f32 {
        match self {
            Self::Relu => {
                if x > 0.0 {
                    x
                } else {
                    0.0
                }
            }
            Self::Clip(lo, hi) => x.max(lo).min(hi),
            Self::LeakyRelu(alpha) => {
                if x >= 0.0 {
                    x
                } else {
                    alpha * x
                }
            }
            Self::HardSigmoid(alpha, beta) => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::ThresholdedRelu(alpha) => {
                if x > alpha {
                    x
                } else {
                    0.0
                }
            }
            Self::Shrink(bias, lambda) if x < -lambda => x + bias,
            Self::Shrink(bias, lambda) if x > lambda => x - bias,
            Self::Shrink(..) => 0.0,
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Abs => x.abs(),
            Self::Neg => -x,
            Self::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            transcendental => transcendental.eval64(f64::from(x)) as f32,
        }
    }

    /// Functions without an exact binary32 definition, in binary64; the caller rounds once.
    fn eval64(self, x: f64) -> f64 {
        let elu = |alpha: f64, x: f64| if x >= 0.0 { x } else { alpha * math::exp_m1(x) };
        match self {
            Self::Sigmoid => math::sigmoid(x),
            Self::Tanh => math::tanh(x),
            Self::Elu(alpha) => elu(f64::from(alpha), x),
            Self::Selu(alpha, gamma) => f64::from(gamma) * elu(f64::from(alpha), x),
            Self::Celu(alpha) => {
                let alpha = f64::from(alpha);
                if x >= 0.0 {
                    x
                } else {
                    alpha * math::exp_m1(x / alpha)
                }
            }
            Self::Softplus => math::softplus(x),
            Self::Mish => x * math::tanh(math::softplus(x)),
            Self::Gelu => 0.5 * x * (1.0 + math::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + math::tanh(inner))
            }
            Self::Swish(alpha) => x * math::sigmoid(f64::from(alpha) * x),
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
            exact => f64::from(exact.eval(x as f32)),
        }
    }

    /// Whether the function never decreases.
    fn is_monotone(self) -> bool {
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
    pub(crate) fn eval(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Pow => math::pow(f64::from(a), f64::from(b)) as f32,
            Self::Remainder => a % b,
            Self::PRelu => {
                if a >= 0.0 {
                    a
                } else {
                    a * b
                }
            }
        }
    }
}

impl Operand {
    fn at(&self, lane: usize) -> f32 {
        match self {
            Self::Scalar(v) => *v,
            Self::Axis(_, values) => values[lane],
        }
    }

    fn all(&self, f: impl Fn(f32) -> bool) -> bool {
        match self {
            Self::Scalar(v) => f(*v),
            Self::Axis(_, values) => values.iter().all(|v| f(*v)),
        }
    }
}

impl Expr {
    pub(crate) fn unary(self: &Arc<Self>, f: Unary) -> Arc<Self> {
        Arc::new(Self::Unary(f, self.clone()))
    }

    /// The expression of another expression's value.
    pub(crate) fn of(self: &Arc<Self>, inner: &Arc<Self>) -> Arc<Self> {
        match self.as_ref() {
            Self::X => inner.clone(),
            Self::Const(_) => self.clone(),
            Self::Unary(f, a) => Arc::new(Self::Unary(*f, a.of(inner))),
            Self::Binary(f, a, b) => Arc::new(Self::Binary(*f, a.of(inner), b.of(inner))),
            Self::Lookup(a, rows) => Arc::new(Self::Lookup(a.of(inner), rows.clone())),
        }
    }

    /// The value at `x` for the lane, which is an index of the axis of [`Expr::spread`].
    pub(crate) fn eval(&self, x: f32, lane: usize) -> f32 {
        match self {
            Self::X => x,
            Self::Const(operand) => operand.at(lane),
            Self::Unary(f, a) => f.eval(a.eval(x, lane)),
            Self::Binary(f, a, b) => f.eval(a.eval(x, lane), b.eval(x, lane)),
            Self::Lookup(a, rows) => rows.at(a.eval(x, lane), lane),
        }
    }

    /// Which lanes the operands distinguish; `None` if they follow several axes.
    pub(crate) fn spread(&self) -> Option<Spread> {
        match self {
            Self::X | Self::Const(Operand::Scalar(_)) => Some(Spread::Tensor),
            Self::Const(Operand::Axis(axis, values)) => Some(Spread::Axis(*axis, values.len())),
            Self::Unary(_, a) => a.spread(),
            Self::Binary(_, a, b) => join(a.spread()?, b.spread()?),
            Self::Lookup(a, rows) => {
                let own = |axis| Spread::Axis(axis, rows.rows.len());
                join(a.spread()?, rows.axis.map_or(Spread::Tensor, own))
            }
        }
    }

    /// Whether the expression is known never to decrease in `x`.
    pub(crate) fn is_monotone(&self) -> bool {
        match self {
            Self::X | Self::Const(_) => true,
            Self::Lookup(..) => false,
            Self::Unary(f, a) => f.is_monotone() && a.is_monotone(),
            Self::Binary(Binary::Add | Binary::Min | Binary::Max, a, b) => {
                a.is_monotone() && b.is_monotone()
            }
            Self::Binary(f, a, b) => match (f, a.as_ref(), b.as_ref()) {
                (Binary::Sub, a, Self::Const(_)) => a.is_monotone(),
                (Binary::Mul | Binary::Div, a, Self::Const(c)) => {
                    a.is_monotone() && c.all(|v| v >= 0.0)
                }
                (Binary::Mul, Self::Const(c), b) => b.is_monotone() && c.all(|v| v >= 0.0),
                _ => false,
            },
        }
    }

    /// The limits, if the expression is a clamp of its variable and nothing else.
    pub(crate) fn as_clamp(&self) -> Option<(f32, f32)> {
        match self {
            Self::X => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Unary(f, a) => {
                let (lo, hi) = a.as_clamp()?;
                let (min, max) = match f {
                    Unary::Relu => (0.0, f32::INFINITY),
                    Unary::Clip(min, max) => (*min, *max),
                    _ => return None,
                };
                Some((lo.max(min).min(max), hi.max(min).min(max)))
            }
            _ => None,
        }
    }
}

/// The lanes that distinguish what both distinguish.
pub(crate) fn join(a: Spread, b: Spread) -> Option<Spread> {
    match (a, b) {
        (Spread::Tensor, other) | (other, Spread::Tensor) => Some(other),
        (a, b) => (a == b).then_some(a),
    }
}
