//! How far ONNX Runtime's float functions are from those of `math.rs`, and which table entries that may move.

use crate::eval::{Binary, Unary};
use crate::group::expr::{Expr, Operand};

/// How far a result of ONNX Runtime may be from ours: by units in the last place of binary32, or by an absolute amount
/// where its steps cancel, whichever is more.
#[derive(Clone, Copy, Debug)]
struct Distance {
    units: u32,
    absolute: f32,
}

const fn by(units: u32, absolute: f32) -> Option<Distance> {
    Some(Distance { units, absolute })
}

/// The largest distance of a function, about twice what was measured on a million floats; `None` if both take the same
/// IEEE steps.
fn distance(f: Unary) -> Option<Distance> {
    match f {
        Unary::Relu
        | Unary::Clip(..)
        | Unary::LeakyRelu(_)
        | Unary::HardSigmoid(..)
        | Unary::ThresholdedRelu(_)
        | Unary::Shrink(..)
        | Unary::Sqrt
        | Unary::Reciprocal
        | Unary::Abs
        | Unary::Neg
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round => None,
        Unary::Sigmoid => by(2, 4e-7),
        Unary::Tanh => by(8, 0.0),
        // The exponential less one is taken as it stands.
        Unary::Elu(alpha) | Unary::Celu(alpha) => by(3, 1.5e-7 * alpha.abs()),
        Unary::Selu(alpha, gamma) => by(3, 1.5e-7 * (alpha * gamma).abs()),
        // One is added to what may be next to minus one.
        Unary::Gelu | Unary::GeluTanh | Unary::Mish | Unary::Swish(_) => by(4, 1e-6),
        Unary::HardSwish => by(2, 4e-7),
        Unary::Exp | Unary::Erf | Unary::Sin | Unary::Cos | Unary::Tan | Unary::Softsign => {
            by(2, 0.0)
        }
        Unary::Sinh | Unary::Cosh | Unary::Asinh | Unary::Acosh | Unary::Atanh => by(4, 0.0),
        Unary::Log | Unary::Softplus | Unary::Asin | Unary::Acos | Unary::Atan => by(8, 0.0),
    }
}

/// Whether an expression consists of IEEE operations alone.
pub(crate) fn is_stepwise(expr: &Expr) -> bool {
    match expr {
        Expr::X | Expr::Const(_) => true,
        Expr::Unary(f, a) => distance(*f).is_none() && is_stepwise(a),
        Expr::Binary(f, a, b) => *f != Binary::Pow && is_stepwise(a) && is_stepwise(b),
        Expr::Lookup(a, _) => is_stepwise(a),
    }
}

/// Whether a function that jumps, or has a pole, is taken of what is not IEEE operations alone; of a float sum the
/// variable is not either.
pub(crate) fn jumps(expr: &Expr, of_sum: bool) -> bool {
    let inexact = |e: &Expr| match e {
        Expr::Const(_) => false,
        e => of_sum || !is_stepwise(e),
    };
    match expr {
        Expr::X | Expr::Const(_) => false,
        Expr::Unary(f, a) => {
            let jump = matches!(
                f,
                Unary::Floor
                    | Unary::Ceil
                    | Unary::Round
                    | Unary::Sign
                    | Unary::ThresholdedRelu(_)
                    | Unary::Shrink(..)
                    | Unary::Reciprocal
                    | Unary::Tan
            );
            jump && inexact(a) || jumps(a, of_sum)
        }
        Expr::Binary(f, a, b) => {
            let jump = match f {
                Binary::Remainder => inexact(a) || inexact(b),
                Binary::Div | Binary::Pow => inexact(b),
                _ => false,
            };
            jump || jumps(a, of_sum) || jumps(b, of_sum)
        }
        // The place is a whole number.
        Expr::Lookup(a, _) => inexact(a) || jumps(a, of_sum),
    }
}

/// An interval widened by a distance.
fn widened((lo, hi): (f32, f32), distance: Option<Distance>) -> (f32, f32) {
    let Some(Distance { units, absolute }) = distance else {
        return (lo, hi);
    };
    let below = (0..units).fold(lo, |x, _| x.next_down());
    let above = (0..units).fold(hi, |x, _| x.next_up());
    (below.min(lo - absolute), above.max(hi + absolute))
}

/// What the expression may be at `x` if every function in it is off by its distance.
pub(crate) fn bounds(expr: &Expr, x: f32, lane: usize) -> (f32, f32) {
    within(expr, (x, x), lane)
}

/// The same of a float sum, which is off by its roundings: so much at most.
pub(crate) fn bounds_of_sum(expr: &Expr, x: f32, off: f32, lane: usize) -> (f32, f32) {
    within(expr, widened((x, x), by(1, off)), lane)
}

fn within(expr: &Expr, x: (f32, f32), lane: usize) -> (f32, f32) {
    // Both ends of each part; a part as narrow as a few units in the last place is largest and smallest at its ends, or
    // its function is flat there.
    let ends = |values: &[f32]| {
        let pick = |f: fn(f32, f32) -> f32| values.iter().copied().fold(values[0], f);
        (pick(f32::min), pick(f32::max))
    };
    match expr {
        Expr::Unary(f, a) => {
            let (lo, hi) = within(a, x, lane);
            widened(ends(&[f.eval(lo), f.eval(hi)]), distance(*f))
        }
        Expr::Binary(f, a, b) => {
            let single = matches!(b.as_ref(), Expr::Const(Operand::Scalar(_)));
            let (a, b) = (within(a, x, lane), within(b, x, lane));
            let ends = ends(&[
                f.eval(a.0, b.0, single),
                f.eval(a.0, b.1, single),
                f.eval(a.1, b.0, single),
                f.eval(a.1, b.1, single),
            ]);
            widened(ends, if *f == Binary::Pow { by(2, 0.0) } else { None })
        }
        Expr::X => x,
        Expr::Const(_) | Expr::Lookup(..) => ends(&[expr.eval(x.0, lane), expr.eval(x.1, lane)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn accepts_ieee_steps_as_they_are() {
        let relu = Arc::new(Expr::X).unary(Unary::Relu);
        assert!(is_stepwise(&relu));
        assert_eq!(bounds(&relu, 1.5, 0), (1.5, 1.5));
        assert!(!is_stepwise(&relu.unary(Unary::Exp)));
    }

    #[test]
    fn accepts_bounds_around_what_onnx_runtime_gives() {
        // Functions and results of ONNX Runtime 1.31 at places where they are farthest from ours.
        for (f, x, ort) in [
            (Unary::Sigmoid, -17.7381f32, 1.192_092_9e-7f32),
            (Unary::Elu(1.0), -7.450_11e-9, 0.0),
            (Unary::Gelu, -5.601_25, -0.0),
        ] {
            let (lo, hi) = bounds(&Arc::new(Expr::X).unary(f), x, 0);
            assert!(lo <= ort && ort <= hi, "{f:?} {lo} {hi}");
            assert!(hi - lo < 1e-5);
        }
    }
}
