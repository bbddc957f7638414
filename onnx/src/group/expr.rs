//! Elementwise float expressions of one real number, as they stand between DequantizeLinear and QuantizeLinear.
//!
//! They are evaluated at import only, to fill tables and to find thresholds, by the functions of the evaluator.

use std::sync::Arc;

pub(crate) use crate::eval::{Binary, Unary};

/// A float that multiplies, is added, …: one for all elements, or several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Scalar(f32),
    /// One for each index of an axis.
    Axis(usize, Vec<f32>),
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
            Self::Binary(f, a, b) => {
                let single = matches!(b.as_ref(), Self::Const(Operand::Scalar(_)));
                f.eval(a.eval(x, lane), b.eval(x, lane), single)
            }
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
                (Binary::Mul, a, Self::Const(c)) => a.is_monotone() && c.all(|v| is_factor(v, a)),
                (Binary::Div, a, Self::Const(c)) => {
                    a.is_monotone() && c.all(|v| v > 0.0 && v.is_finite())
                }
                (Binary::Mul, Self::Const(c), b) => b.is_monotone() && c.all(|v| is_factor(v, b)),
                _ => false,
            },
        }
    }

    /// Whether a result depends on the sign of a zero that Min or Max takes from two. ONNX Runtime takes either, by their
    /// place in memory, and an infinity or the other comes of it.
    pub(crate) fn depends_on_chosen_zero(&self) -> bool {
        match self {
            Self::X | Self::Const(_) => false,
            Self::Lookup(a, _) => a.depends_on_chosen_zero(),
            Self::Unary(f, a) => {
                *f == Unary::Reciprocal && a.may_choose_zero() || a.depends_on_chosen_zero()
            }
            Self::Binary(f, a, b) => {
                let divides = match f {
                    Binary::Div => b.may_choose_zero(),
                    Binary::Pow => a.may_choose_zero() && b.may_be_odd_and_negative(),
                    _ => false,
                };
                divides || a.depends_on_chosen_zero() || b.depends_on_chosen_zero()
            }
        }
    }

    /// Whether the value may come of a zero that Min or Max takes from two of different signs.
    fn may_choose_zero(&self) -> bool {
        match self {
            Self::X | Self::Const(_) | Self::Lookup(..) => false,
            Self::Unary(_, a) => a.may_choose_zero(),
            Self::Binary(f, a, b) => {
                let ([a_plus, a_minus], [b_plus, b_minus]) = (a.zeros(), b.zeros());
                let two = a_plus && b_minus || a_minus && b_plus;
                let chooses = matches!(f, Binary::Min | Binary::Max) && two;
                chooses || a.may_choose_zero() || b.may_choose_zero()
            }
        }
    }

    /// Whether the value may be zero, and negative zero.
    fn zeros(&self) -> [bool; 2] {
        match self {
            Self::Const(c) => {
                let has = |bits: u32| !c.all(|v| v.to_bits() != bits);
                [has(0.0f32.to_bits()), has((-0.0f32).to_bits())]
            }
            _ => [true, true],
        }
    }

    fn may_be_odd_and_negative(&self) -> bool {
        match self {
            Self::Const(c) => !c.all(|v| v >= 0.0 || v % 2.0 == 0.0 || v.fract() != 0.0),
            _ => true,
        }
    }

    /// The limits, if the expression is a clamp of its variable and nothing else.
    pub(crate) fn as_clamp(&self) -> Option<(f32, f32)> {
        match self {
            Self::X => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Unary(f, a) => {
                let (lo, hi) = a.as_clamp()?;
                let (min, max) = f.limits()?;
                Some((lo.max(min).min(max), hi.max(min).min(max)))
            }
            _ => None,
        }
    }
}

/// Whether a factor keeps the order of an expression and makes no infinity or zero that is not a number later. Zero
/// does so where the expression may be infinite.
fn is_factor(v: f32, of: &Expr) -> bool {
    v.is_finite() && (v > 0.0 || v == 0.0 && *of == Expr::X)
}

/// The lanes that distinguish what both distinguish.
pub(crate) fn join(a: Spread, b: Spread) -> Option<Spread> {
    match (a, b) {
        (Spread::Tensor, other) | (other, Spread::Tensor) => Some(other),
        (a, b) => (a == b).then_some(a),
    }
}
