//! Two quantized tensors combined element by element: no function of one integer.
//!
//! The rule of ONNX Runtime, kernel or float operators, is `y = class(a, b)`. It becomes steps of one integer, certified
//! on all pairs of inputs of the two types (65,536 for 8-bit ones): of a sum (`fit.rs`), or of the product.

use crate::error::NodeError;
use crate::eval::saturate;
use crate::graph::NodeView;
use crate::group::doubt;
use crate::group::exactness::Exactness;
use crate::group::expr::Expr;
use crate::group::fit::{Classes, Sum, nearest, pairs, separate};
use crate::group::importer::Importer;
use crate::group::kernel::Arithmetic;
use crate::group::params::{Params, Quantized};
use crate::group::real::{Pair, PairOp};
use crate::group::rules::{doubtful_functions, fits_int32, quantize};
use zkonnx_circuits::ops::{
    Lanes, Move, Product, Requantize, Reshape, Rule, Steps, Table, WeightedSum,
};
use zkonnx_circuits::program::{DataType, Range, TensorId};

/// The float rule of a pair.
struct PairRule<'a> {
    op: PairOp,
    a: (f32, i64),
    b: (f32, i64),
    y: (f32, i64),
    expr: &'a Expr,
    range: Range,
    types: (DataType, DataType),
    /// Whether ONNX Runtime runs its integer kernel; otherwise it takes the float operators one by one.
    kernel: bool,
}

impl PairRule<'_> {
    /// The rule of the kernel, with any clamp applied to its result, or that of the float operators.
    fn eval(&self, a: i64, b: i64) -> i64 {
        let ((_, za), (_, zb), (sy, zy)) = (self.a, self.b, self.y);
        if !self.kernel {
            return quantize(self.expr.eval(self.real(a, b), 0), sy, zy, self.range);
        }
        let kernel = match self.op {
            PairOp::Add => saturate(self.of_sum(a, b), 0, self.range),
            // It has no kernel.
            PairOp::Sub => quantize(self.real(a, b), sy, zy, self.range),
            PairOp::Mul => self.of_product((a - za) * (b - zb)),
        };
        match self.expr.as_clamp() {
            Some((lo, hi)) => {
                let limit = |v: f32| quantize(v, sy, zy, self.range);
                kernel.clamp(limit(lo), limit(hi))
            }
            None => quantize(self.expr.eval(self.real(a, b), 0), sy, zy, self.range),
        }
    }

    /// What the kernel of a sum rounds.
    fn of_sum(&self, a: i64, b: i64) -> f32 {
        let ((sa, za), (sb, zb), (sy, zy)) = (self.a, self.b, self.y);
        let (ra, rb) = (sa / sy, sb / sy);
        let fixed = zy as f32 - (za as f32).mul_add(ra, rb * zb as f32);
        (a as f32).mul_add(ra, (b as f32).mul_add(rb, fixed))
    }

    /// The kernel of a product is a function of the integer product alone.
    fn of_product(&self, product: i64) -> i64 {
        saturate(self.scaled_product(product), 0, self.range)
    }

    fn scaled_product(&self, product: i64) -> f32 {
        let ((sa, _), (sb, _), (sy, zy)) = (self.a, self.b, self.y);
        product as f32 * (sa * sb / sy) + zy as f32
    }

    /// Fails if the kernel may convert what no int32 holds; it never does so between results that it may convert.
    fn check_words(&self) -> Result<(), NodeError> {
        let ends = [Range::of(self.types.0), Range::of(self.types.1)].map(|r| [r.lo, r.hi]);
        let corners = || ends[0].into_iter().flat_map(|a| ends[1].map(|b| (a, b)));
        match self.op {
            _ if !self.kernel => Ok(()),
            PairOp::Sub => Ok(()),
            PairOp::Add => fits_int32(corners().map(|(a, b)| self.of_sum(a, b))),
            PairOp::Mul => fits_int32(
                corners().map(|(a, b)| self.scaled_product((a - self.a.1) * (b - self.b.1))),
            ),
        }
    }

    /// What is said of it if some pairs are put on the wrong side of a threshold.
    fn exactness(&self, differing: u32) -> Result<Exactness, NodeError> {
        let functions = match self.kernel || doubt::is_stepwise(self.expr) {
            true => None,
            false => Some(self.functions()?),
        };
        Ok(match (differing, functions) {
            (0, None) if self.kernel => Exactness::Kernel,
            (0, None) => Exactness::Steps,
            (0, Some(functions)) => functions,
            (differing, None) => Exactness::Pairs { differing },
            (
                differing,
                Some(Exactness::Functions {
                    doubtful, apart, ..
                }),
            ) if apart <= 1 => Exactness::Pairs {
                differing: differing + doubtful,
            },
            (_, Some(_)) => {
                return Err(NodeError::Island {
                    reason: "its scale is smaller than what float functions of a product are known to; quantize with a larger one",
                });
            }
        })
    }

    /// What is said of the float functions alone.
    fn functions(&self) -> Result<Exactness, NodeError> {
        let close = |v| quantize(v, self.y.0, self.y.1, self.range);
        let (ra, rb) = (Range::of(self.types.0), Range::of(self.types.1));
        let pairs = (ra.lo..=ra.hi).flat_map(|a| (rb.lo..=rb.hi).map(move |b| (a, b)));
        let bounds = pairs.map(|(a, b)| doubt::bounds(self.expr, self.real(a, b), 0));
        let distances = bounds.map(|(lo, hi)| close(lo).abs_diff(close(hi)));
        doubtful_functions(self.expr, 1 << 16, distances)
    }

    /// The reals of either operand, of whose exact sum the result is a function that never decreases (if a clamp
    /// follows).
    fn parts(&self) -> [Box<dyn Fn(i64) -> f64>; 2] {
        let ((sa, za), (sb, zb), (sy, zy)) = (self.a, self.b, self.y);
        let sign = if self.op == PairOp::Sub { -1.0 } else { 1.0 };
        if self.kernel {
            let (ra, rb) = (sa / sy, sb / sy);
            let fixed = zy as f32 - (za as f32).mul_add(ra, rb * zb as f32);
            return [
                Box::new(move |a| a as f64 * f64::from(ra)),
                Box::new(move |b| f64::from((b as f32).mul_add(rb, fixed))),
            ];
        }
        let real = |scale: f32, zero: i64, sign: f64| -> Box<dyn Fn(i64) -> f64> {
            Box::new(move |v| sign * f64::from((v - zero) as f32 * scale))
        };
        [real(sa, za, 1.0), real(sb, zb, sign)]
    }

    /// The result as a float.
    fn real(&self, a: i64, b: i64) -> f32 {
        let (x, y) = (
            (a - self.a.1) as f32 * self.a.0,
            (b - self.b.1) as f32 * self.b.0,
        );
        match self.op {
            PairOp::Add => x + y,
            PairOp::Sub => x - y,
            PairOp::Mul => x * y,
        }
    }
}

/// Closes a pair by a weighted sum or a product, and its steps.
pub(crate) fn close(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    pair: &Pair,
    expr: &Expr,
    y: &Params,
) -> Result<(TensorId, Exactness), NodeError> {
    let several = NodeError::Island {
        reason: "its scales follow an axis",
    };
    let (Some(sa), Some(sb), Some(sy)) = (
        pair.a.params.uniform(),
        pair.b.params.uniform(),
        y.uniform(),
    ) else {
        return Err(several);
    };
    if expr.spread() != Some(crate::group::expr::Spread::Tensor) {
        return Err(several);
    }
    let rule = PairRule {
        op: pair.op,
        a: sa,
        b: sb,
        y: sy,
        expr,
        range: y.range(),
        types: (pair.a.params.dtype, pair.b.params.dtype),
        kernel: cx.arithmetic(&pair.origin, expr, y) == Arithmetic::Integer,
    };
    let (ra, rb) = (pair.a.params.range(), pair.b.params.range());
    if pair.a.params.dtype.width() > 8 || pair.b.params.dtype.width() > 8 {
        return Err(NodeError::Island {
            reason: "two 16-bit tensors are combined; only 8-bit ones are supported",
        });
    }
    rule.check_words()?;
    if pair.a.tensor == pair.b.tensor {
        let table = (ra.lo..=ra.hi).map(|v| rule.eval(v, v)).collect();
        let table = Table::new(pair.a.params.dtype, y.dtype, vec![table], Lanes::Tensor)?;
        let tensor = cx.push(node, table, &[pair.a.tensor])?;
        return Ok((tensor, rule.exactness(0)?));
    }
    if pair.op == PairOp::Mul {
        return close_product(cx, node, pair, &rule, y);
    }
    let classes = Classes::new([ra, rb], |a, b| rule.eval(a, b));
    let sign = if pair.op == PairOp::Sub { -1.0 } else { 1.0 };
    let ratios = (
        f64::from(sa.0) / f64::from(sy.0),
        sign * f64::from(sb.0) / f64::from(sy.0),
    );
    let fit = classes.fit(ratios, rule.parts())?;
    let sum = push_sum(cx, node, fit.sum, &pair.a, &pair.b)?;
    let requantize = Requantize::new(y.dtype, vec![Rule::Steps(fit.steps)], Lanes::Tensor)?;
    let tensor = cx.push(node, requantize, &[sum])?;
    Ok((tensor, rule.exactness(0)?))
}

/// The sum that a fit is of.
fn push_sum(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    sum: Sum,
    a: &Quantized,
    b: &Quantized,
) -> Result<TensorId, NodeError> {
    let (coefficients, tensors) = match sum {
        Sum::Linear(coefficients) => (coefficients, [a.tensor, b.tensor]),
        Sum::Tables([of_a, of_b]) => {
            let mut table = |entries, x: &Quantized| {
                let dtype = x.params.dtype;
                let table = Table::new(dtype, DataType::I64, vec![entries], Lanes::Tensor)?;
                cx.push(node, table, &[x.tensor])
            };
            ([1, 1], [table(of_a, a)?, table(of_b, b)?])
        }
    };
    cx.push(node, WeightedSum::new(coefficients.to_vec(), 0)?, &tensors)
}

/// A comparison of two tensors of different scales, of their dequantized binary32 values.
pub(crate) fn close_comparison(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    a: &Quantized,
    b: &Quantized,
    f: fn(f32, f32) -> bool,
) -> Result<(TensorId, Exactness), NodeError> {
    let (Some((sa, za)), Some((sb, zb))) = (a.params.uniform(), b.params.uniform()) else {
        return Err(NodeError::Island {
            reason: "its scales follow an axis",
        });
    };
    if a.params.dtype.width() > 8
        || b.params.dtype.width() > 8
        || f(0.0, 0.0) && !f(0.0, 1.0) && !f(1.0, 0.0)
    {
        let reason =
            "it compares tensors of different scales, which is supported for 8-bit orders only";
        return Err(NodeError::Island { reason });
    }
    let (ra, rb) = (a.params.range(), b.params.range());
    let real = |v: i64, zero: i64, scale: f32| (v - zero) as f32 * scale;
    let class = |a: i64, b: i64| i64::from(f(real(a, za, sa), real(b, zb, sb)));
    let classes = Classes::new([ra, rb], class);
    // The sum has to grow where the comparison becomes true.
    let sign = if f(1.0, 0.0) { 1.0 } else { -1.0 };
    let unit = f64::from(sa.max(sb));
    let ratios = (sign * f64::from(sa) / unit, -sign * f64::from(sb) / unit);
    let part = |zero, scale, sign: f64| move |v| sign * f64::from(real(v, zero, scale));
    let fit = classes.fit(ratios, [part(za, sa, sign), part(zb, sb, -sign)])?;
    let sum = push_sum(cx, node, fit.sum, a, b)?;
    let op = Requantize::new(DataType::Bool, vec![Rule::Steps(fit.steps)], Lanes::Tensor)?;
    Ok((cx.push(node, op, &[sum])?, Exactness::Steps))
}

/// A product is one integer, and the kernel a function of it. The float rule is not, as each operand is rounded before
/// they are multiplied; it is put through all pairs.
fn close_product(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    pair: &Pair,
    rule: &PairRule<'_>,
    y: &Params,
) -> Result<(TensorId, Exactness), NodeError> {
    if !rule.expr.is_monotone() {
        return Err(NodeError::Island {
            reason: "a function that is not monotone follows a product of activations",
        });
    }
    let mut shapes = [&pair.a, &pair.b].map(|q| cx.builder.fact(q.tensor).shape.clone());
    let mut tensors = [pair.a.tensor, pair.b.tensor];
    for (tensor, shape) in tensors.iter_mut().zip(&mut shapes) {
        // A product of numbers is one of 1 × 1 matrices.
        let matrices = [shape.as_slice(), &[1, 1]].concat();
        *tensor = cx.push(node, Move(Reshape { shape: matrices }), &[*tensor])?;
    }
    let (za, zb) = (rule.a.1, rule.b.1);
    let product = cx.push(node, Product::new(za, zb)?, &tensors)?;
    let fact = cx.builder.fact(product).clone();
    let shape = fact.shape[..fact.shape.len() - 2].to_vec();
    let product = cx.push(node, Move(Reshape { shape }), &[product])?;
    let (mut sum, mut differing) = (product, 0);
    let steps = match rule.kernel {
        true => {
            let limits = rule
                .expr
                .as_clamp()
                .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            let limit = |v: f32| quantize(v, rule.y.0, rule.y.1, rule.range);
            let (lo, hi) = (limit(limits.0), limit(limits.1));
            Steps::bisect(fact.range, |p| rule.of_product(p).clamp(lo, hi))
        }
        false => {
            let products = FloatProducts::new(pair, rule)?;
            differing = products.differing;
            if let Some(moves) = products.moves {
                let tensors = [pair.a.tensor, pair.b.tensor];
                let place = cx.push(node, WeightedSum::new(vec![256, 1], 0)?, &tensors)?;
                let op = Requantize::new(DataType::I8, vec![Rule::Steps(moves)], Lanes::Tensor)?;
                let moves = cx.push(node, op, &[place])?;
                sum = cx.push(node, WeightedSum::new(vec![1, 1], 0)?, &[product, moves])?;
            }
            products.steps
        }
    };
    let requantize = Requantize::new(y.dtype, vec![Rule::Steps(steps)], Lanes::Tensor)?;
    let tensor = cx.push(node, requantize, &[sum])?;
    Ok((tensor, rule.exactness(differing)?))
}

/// Most pairs of a float product that are moved to the other side of a threshold: each costs two rows of a table.
const MAX_MOVES: usize = 1024;

/// Furthest that a pair is moved; products leave gaps.
const MAX_MOVE: i64 = 128;

/// The float rule of a product as steps of the integer product. Each operand is rounded before they are multiplied, so
/// that pairs with one product may fall on both sides of a threshold; some of those are moved beyond it.
struct FloatProducts {
    steps: Steps,
    /// What is added to the product at `256·a + b`.
    moves: Option<Steps>,
    differing: u32,
}

impl FloatProducts {
    fn new(pair: &Pair, rule: &PairRule<'_>) -> Result<Self, NodeError> {
        let ranges = [pair.a.params.range(), pair.b.params.range()];
        let product = |a: i64, b: i64| (a - rule.a.1) * (b - rule.b.1);
        let point = |(a, b)| (product(a, b), rule.eval(a, b));
        let points: Vec<(i64, i64)> = pairs(ranges).map(point).collect();
        if let Some(steps) = separate(&points) {
            let (moves, differing) = (None, 0);
            return Ok(Self {
                steps,
                moves,
                differing,
            });
        }
        let steps = nearest(&points)?;
        let wrong = points.iter().filter(|(p, c)| steps.eval(*p) != *c);
        let differing = wrong.count();
        let shift = |a: i64, b: i64| {
            let (p, class) = point((a, b));
            let near = (0..MAX_MOVE).flat_map(|d| [d, -d]);
            near.into_iter().find(|d| steps.eval(p + d) == class)
        };
        let possible = pairs(ranges).all(|(a, b)| shift(a, b).is_some());
        if differing > MAX_MOVES || !possible {
            // More than one step is not what is said of such pairs.
            if points.iter().any(|(p, c)| steps.eval(*p).abs_diff(*c) > 1) {
                return Err(NodeError::Island {
                    reason: "its operands are rounded before they are multiplied, which moves results by more than one step; use a larger scale for the result, or operands of one type",
                });
            }
            let (moves, differing) = (None, differing as u32);
            return Ok(Self {
                steps,
                moves,
                differing,
            });
        }
        let [ra, rb] = ranges;
        let places = Range::new(256 * ra.lo + rb.lo, 256 * ra.hi + rb.hi);
        let moves = Steps::enumerate(places, |place| {
            let a = (place - rb.lo).div_euclid(256);
            shift(a, place - 256 * a).unwrap_or(0)
        });
        Ok(Self {
            steps,
            moves: Some(moves),
            differing: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QLinearAdd of ONNX Runtime rounds a product and a sum together, as measured on all pairs of bytes; where it did
    /// not, each of these would be one more or one less.
    #[test]
    fn adds_products_that_are_not_rounded() {
        let rule = |a, b, y| PairRule {
            op: PairOp::Add,
            a,
            b,
            y,
            expr: &Expr::X,
            range: Range::of(DataType::U8),
            types: (DataType::U8, DataType::U8),
            kernel: true,
        };
        let first = rule((0.04, 159), (0.13, 122), (0.34, 67));
        for (a, b, y) in [
            (15, 165, 67),
            (16, 81, 34),
            (31, 113, 49),
            (33, 81, 36),
            (46, 145, 63),
            (50, 81, 38),
        ] {
            assert_eq!(first.eval(a, b), y, "{a}, {b}");
        }
        let second = rule((0.17, 150), (0.17, 44), (0.52, 188));
        for (a, b, y) in [
            (11, 209, 197),
            (12, 208, 196),
            (15, 49, 145),
            (20, 200, 196),
        ] {
            assert_eq!(second.eval(a, b), y, "{a}, {b}");
        }
        let third = rule((0.00639, 8), (0.02765, 29), (0.02938, 115));
        for (a, b, y) in [(36, 56, 146), (122, 34, 145), (221, 77, 207)] {
            assert_eq!(third.eval(a, b), y, "{a}, {b}");
        }
    }
}
