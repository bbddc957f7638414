//! Reals that are added up before any of them is quantized: a residual that the quantizer left in float.
//!
//! ONNX Runtime has no integer kernel of such a sum and adds floats. Of two or three 8-bit tensors every step is known,
//! and the rule is certified on all their integers (`ops/three.rs`). Of accumulators, whose floats it adds in an order of
//! its own, and of more tensors, the rule is the exact sum, rounded once; `sums.rs` argues how far that may be apart.
//!
//! The program holds an integer `P`, the sum in units of a power of two, and thresholds on it.

use crate::error::NodeError;
use crate::eval::Binary;
use crate::graph::NodeView;
use crate::group::exactness::Exactness;
use crate::group::expr::{Expr, Operand, Spread, join};
use crate::group::importer::Importer;
use crate::group::params::{Params, Quantized, at};
use crate::group::real::{Acc, Addend, Affine, Base, PairOp, Real, Term};
use crate::group::rules::{SEVERAL_AXES, each_lane, lanes, quantize, spread_of};
use crate::group::sums::{narrowing, reach, roundings, steps_apart};
use crate::group::weighted::Weight;
use crate::group::{doubt, three};

use zkonnx_circuits::ops::{Requantize, Rule, Steps, broadcast};
use zkonnx_circuits::program::TensorId;

/// Most terms of a sum.
const MAX_TERMS: usize = 32;
/// Most channels of accumulators with scales of their own.
const MAX_CHANNELS: usize = 1 << 12;
/// Most parts of weights with scales of their own.
const MAX_PARTS: usize = 1 << 14;
/// Bits of the largest sum: binary64 holds all of them.
const MAX_BITS: i32 = 51;
/// Largest coefficient.
const MAX_COEFFICIENT: f64 = (1u64 << 40) as f64;

const TOO_FAR_APART: NodeError = NodeError::Island {
    reason: "its scales are too far apart",
};
const NOT_FINITE: NodeError = NodeError::Island {
    reason: "a number that it adds up is not finite",
};

impl Term {
    /// The integers that the real is a function of, but for what is added in float.
    pub(crate) fn tensor(&self) -> TensorId {
        match &self.addend {
            Addend::Acc(acc, _) => acc.float.as_ref().map_or(acc.tensor, |(bare, _)| *bare),
            Addend::Table(x, _) => x.tensor,
        }
    }

    fn negated(self, negate: bool) -> Self {
        Self {
            negative: self.negative != negate,
            ..self
        }
    }

    fn sign(&self) -> f64 {
        if self.negative { -1.0 } else { 1.0 }
    }

    /// What is added in float, for a lane.
    fn added(&self, lane: usize) -> f64 {
        match &self.addend {
            Addend::Acc(_, affine) => self.sign() * at(&affine.plus, lane),
            Addend::Table(..) => 0.0,
        }
    }

    /// The real of each integer of a quantized tensor, in order; none of accumulators.
    fn values(&self) -> Option<Vec<f32>> {
        let Addend::Table(x, expr) = &self.addend else {
            return None;
        };
        let (scale, zero) = x.params.uniform()?;
        let range = x.params.range();
        let real = |v: i64| self.sign() as f32 * expr.eval((v - zero) as f32 * scale, 0);
        Some((range.lo..=range.hi).map(real).collect())
    }

    /// The real of one unit in a lane, and the zero point, of what is proportional to an integer.
    fn factor(&self, lane: usize) -> Option<(f64, i64)> {
        match &self.addend {
            Addend::Acc(acc, affine) => {
                let unit = f64::from(acc.x_scale) * f64::from(at(&acc.w_scale, lane));
                Some((self.sign() * unit * at(&affine.times, lane), 0))
            }
            Addend::Table(x, expr) if **expr == Expr::X => {
                let (scale, zero) = x.params.uniform()?;
                Some((self.sign() * f64::from(scale), zero))
            }
            Addend::Table(..) => None,
        }
    }
}

fn largest(of: impl IntoIterator<Item = f64>) -> f64 {
    of.into_iter().fold(0.0, |m: f64, v| m.max(v.abs()))
}

impl Affine {
    /// What an expression makes of accumulators, if it is only that.
    fn of(acc: &Acc, expr: &Expr) -> Option<Self> {
        let (f, a, b) = match expr {
            Expr::X => {
                let reals = acc.float.as_ref().map_or(&[][..], |(_, reals)| reals);
                let plus: Vec<f64> = reals.iter().map(|v| f64::from(*v)).collect();
                return Some(Self {
                    times: vec![1.0],
                    reach: largest(plus.iter().copied()),
                    plus: if plus.is_empty() { vec![0.0] } else { plus },
                    steps: 0,
                });
            }
            Expr::Binary(f, a, b) => (*f, &**a, &**b),
            _ => return None,
        };
        let (inner, operand) = match (f, a, b) {
            (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, inner, Expr::Const(c))
            | (Binary::Add | Binary::Mul, Expr::Const(c), inner) => (inner, c),
            _ => return None,
        };
        let of = Self::of(acc, inner)?;
        let values: Vec<f64> = match operand {
            Operand::Scalar(v) => vec![f64::from(*v)],
            Operand::Axis(axis, values) if *axis == acc.axis => {
                values.iter().map(|v| f64::from(*v)).collect()
            }
            Operand::Axis(..) => return None,
        };
        let each = |of: &[f64], f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let lanes = 0..of.len().max(values.len());
            lanes
                .map(|lane| f(at(of, lane), at(&values, lane)))
                .collect()
        };
        let more = largest(values.iter().copied());
        let steps = of.steps + 1;
        Some(match f {
            Binary::Add | Binary::Sub => {
                let sign = if f == Binary::Sub { -1.0 } else { 1.0 };
                let plus = each(&of.plus, &|a, b| a + sign * b);
                let reach = of.reach + more;
                Self {
                    plus,
                    reach,
                    steps,
                    ..of
                }
            }
            _ => {
                let apply: &dyn Fn(f64, f64) -> f64 = match f {
                    Binary::Div => &|a, b| a / b,
                    _ => &|a, b| a * b,
                };
                let ones = each(&[1.0], apply);
                Self {
                    times: each(&of.times, apply),
                    plus: each(&of.plus, apply),
                    reach: of.reach * largest(ones),
                    steps,
                }
            }
        })
    }
}

/// The terms that a real adds up, if it is nothing else.
fn terms_of(real: &Real) -> Option<Vec<Term>> {
    if !real.after.is_empty() {
        return None;
    }
    let plain = *real.expr == Expr::X;
    let term = |addend| Term {
        addend,
        negative: false,
    };
    let table = |x: &Quantized| {
        let expr = &real.expr;
        let usable = x.params.uniform().is_some()
            && x.params.dtype.width() <= 16
            && expr.spread() == Some(Spread::Tensor)
            && doubt::is_stepwise(expr)
            && !expr.depends_on_chosen_zero();
        usable.then(|| term(Addend::Table(x.clone(), expr.clone())))
    };
    match &real.base {
        Base::Quantized(x) => Some(vec![table(x)?]),
        Base::Acc(acc) => {
            let affine = Affine::of(acc, &real.expr)?;
            let finite = |of: &[f64]| of.iter().all(|v| v.is_finite());
            let usable = finite(&affine.times) && finite(&affine.plus);
            usable.then(|| vec![term(Addend::Acc(acc.clone(), affine))])
        }
        Base::Pair(pair) if plain && pair.op != PairOp::Mul => {
            let minus = pair.op == PairOp::Sub;
            Some(vec![table(&pair.a)?, table(&pair.b)?.negated(minus)])
        }
        Base::Total(terms) if plain => Some(terms.clone()),
        _ => None,
    }
}

/// The sum of two reals, or their difference, if both are sums of such terms.
pub(crate) fn add(x: &Real, y: &Real, minus: bool) -> Result<Option<Real>, NodeError> {
    let (Some(a), Some(b)) = (terms_of(x), terms_of(y)) else {
        return Ok(None);
    };
    let shape = broadcast(&x.shape, &y.shape).ok_or(NodeError::Input {
        input: 1,
        what: "b",
        reason: "its shape does not broadcast to that of a",
    })?;
    // What is added first stands first.
    let later = a.len() < b.len();
    let b = b.into_iter().map(|term| term.negated(minus));
    let terms: Vec<Term> = match later {
        true => b.chain(a).collect(),
        false => a.into_iter().chain(b).collect(),
    };
    if terms.len() > MAX_TERMS {
        let reason = "it adds up more than 32 tensors before a QuantizeLinear";
        return Err(NodeError::Island { reason });
    }
    let real = Real::new(Base::Total(terms), shape);
    Ok(Some(real.grown(x.size + y.size + 1)?))
}

/// The sum of accumulators of one shape.
pub(crate) fn of(parts: Vec<Real>) -> Result<Real, NodeError> {
    let count = parts.len();
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or(NodeError::Unknown)?;
    if count == 1 {
        return Ok(first);
    }
    let channels = first.shape.last().copied().unwrap_or(1);
    if count.saturating_mul(channels) > MAX_PARTS {
        return Err(NodeError::Input {
            input: 1,
            what: "the weights",
            reason: "they have more than 16384 scales",
        });
    }
    let shape = first.shape.clone();
    let all = std::iter::once(first).chain(parts);
    let terms: Option<Vec<Vec<Term>>> = all.map(|part| terms_of(&part)).collect();
    let terms = terms.ok_or(NodeError::Unknown)?;
    Ok(Real::new(Base::Total(terms.concat()), shape))
}

/// How large terms are, and how far ONNX Runtime's float sum may be from the exact one.
#[derive(Default)]
struct Measure {
    /// What the roundings amount to.
    off: f64,
    /// The distances of all integers from their zero points.
    widths: f64,
    /// The largest sum.
    largest: f64,
    /// The largest real of one unit.
    factor: f64,
}

impl Importer<'_> {
    /// The integers of a sum under a quantization.
    pub(crate) fn close_total(
        &mut self,
        node: &NodeView<'_>,
        (terms, shape): (&[Term], &[usize]),
        expr: &Expr,
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        if !expr.is_monotone() {
            return Err(NodeError::Island {
                reason: "a function that is not monotone follows a sum of values that are not quantized",
            });
        }
        let (scale, zero) = y.uniform().ok_or(SEVERAL_AXES)?;
        let tables: Option<Vec<Vec<f32>>> = terms.iter().map(Term::values).collect();
        let narrow = |tables: &Vec<Vec<f32>>| tables.iter().all(|t| t.len() <= 256);
        if let Some(tables) = tables.filter(narrow)
            && expr.spread() == Some(Spread::Tensor)
            && doubt::is_stepwise(expr)
        {
            if !tables.iter().flatten().all(|v| v.is_finite()) {
                return Err(NOT_FINITE);
            }
            let class = |x: f32| quantize(expr.eval(x, 0), scale, zero, y.range());
            let tensors: Vec<TensorId> = terms.iter().map(Term::tensor).collect();
            let done = three::close(self, node, (&tensors, &tables), y.dtype, class)?;
            if let Some(tensor) = done {
                return Ok((tensor, Exactness::Steps));
            }
        }
        self.exact_sum(node, (terms, shape), expr, (scale, zero), y)
    }

    /// The exact sum, rounded once.
    fn exact_sum(
        &mut self,
        node: &NodeView<'_>,
        (terms, shape): (&[Term], &[usize]),
        expr: &Expr,
        (scale, zero): (f32, i64),
        y: &Params,
    ) -> Result<(TensorId, Exactness), NodeError> {
        let own = self.channels(terms, shape)?;
        let spread = self.spread(own, expr, y)?;
        let measure = self.measure(terms)?;
        let count = match own {
            Spread::Axis(_, len) => len,
            Spread::Tensor => 1,
        };
        let bits = unit_of(terms, &measure, count)?;
        let unit = 2f64.powi(bits);
        let each = (0..count).map(|lane| weights(terms, unit, lane));
        let each: Vec<Vec<Weight>> = each.collect::<Result<_, _>>()?;
        let tensors: Vec<TensorId> = terms.iter().map(Term::tensor).collect();
        let first = each.first().ok_or(SEVERAL_AXES)?;
        let sum = match own {
            Spread::Axis(axis, _) if each.iter().any(|weights| weights != first) => {
                self.by_channel(node, (&tensors, shape), &each, axis)?
            }
            _ => self.weighted(node, &tensors, first)?,
        };
        let range = self.builder.fact(sum).range;
        let close = |value: f32| quantize(value, scale, zero, y.range());
        let real = |lane: usize, p: i64| {
            let added: f64 = terms.iter().map(|t| t.added(lane.min(count - 1))).sum();
            (p as f64 / unit + added) as f32
        };
        let rules = each_lane(spread, |lane| {
            let rule = |p: i64| close(expr.eval(real(lane, p), lane));
            Ok(Rule::Steps(Steps::bisect(range, rule)))
        })?;
        let off = (measure.off + 0.5 * measure.widths / unit) as f32;
        let mut apart = 1;
        for (lane, rule) in rules.iter().enumerate() {
            let (of, sum) = ((rule, range), |p| real(lane, p));
            apart = apart.max(steps_apart(expr, lane, of, sum, close, (off, scale))?);
        }
        let is_rounded = |t: &Term| matches!(&t.addend, Addend::Acc(acc, _) if acc.rounded);
        let exactness = match terms.iter().any(is_rounded) {
            true => Exactness::RoundedConstant { apart },
            false => Exactness::Sum { apart },
        };
        let (rules, lanes) = lanes(spread, &rules);
        let op = Requantize::new(y.dtype, rules, lanes)?;
        Ok((self.push(node, op, &[sum])?, exactness))
    }

    /// The axis along which accumulators have scales or constants of their own.
    fn channels(&self, terms: &[Term], shape: &[usize]) -> Result<Spread, NodeError> {
        let mut all = Spread::Tensor;
        for term in terms {
            let Addend::Acc(acc, affine) = &term.addend else {
                continue;
            };
            let own = affine.times.len().max(affine.plus.len());
            let own = spread_of(Some(acc.axis), own.max(acc.w_scale.len()));
            if own != Spread::Tensor && self.builder.fact(acc.tensor).shape != shape {
                return Err(NodeError::Island {
                    reason: "accumulators with scales of their own for each channel are broadcast",
                });
            }
            all = join(all, own).ok_or(SEVERAL_AXES)?;
        }
        match all {
            Spread::Axis(_, len) if len > MAX_CHANNELS => Err(SEVERAL_AXES),
            all => Ok(all),
        }
    }

    fn measure(&self, terms: &[Term]) -> Result<Measure, NodeError> {
        let mut measure = Measure::default();
        let (mut count, mut all, mut rest) = (terms.len(), 0.0, 0.0);
        for term in terms {
            let range = self.builder.fact(term.tensor()).range;
            match &term.addend {
                Addend::Acc(acc, affine) => {
                    let lanes = 0..acc.w_scale.len().max(affine.times.len());
                    let unit = largest(lanes.filter_map(|lane| Some(term.factor(lane)?.0)));
                    let width = range.lo.unsigned_abs().max(range.hi.unsigned_abs()) as f64;
                    let products = reach(range, narrowing(self.builder.fact(acc.x)));
                    count += acc.terms + 1 + affine.steps;
                    all += products * unit + affine.reach;
                    rest += if acc.rounded { 0.5 * unit } else { 0.0 };
                    measure.widths += width;
                    measure.largest += width * unit;
                    measure.factor = measure.factor.max(unit);
                }
                Addend::Table(..) => {
                    let values = term.values().ok_or(SEVERAL_AXES)?;
                    let most = largest(values.into_iter().map(f64::from));
                    all += most;
                    measure.largest += most;
                    match term.factor(0) {
                        Some((unit, _)) => {
                            measure.widths += range.hi.abs_diff(range.lo) as f64;
                            measure.factor = measure.factor.max(unit.abs());
                        }
                        None => measure.widths += 1.0,
                    }
                }
            }
        }
        if !all.is_finite() || all > f64::from(f32::MAX) {
            return Err(NOT_FINITE);
        }
        measure.off = f64::from(roundings(count, all)) + rest;
        Ok(measure)
    }
}

/// How many bits a unit has behind the point: as few as say all weights exactly, or as many as make the rest smaller
/// than the roundings of the float sum.
fn unit_of(terms: &[Term], measure: &Measure, count: usize) -> Result<i32, NodeError> {
    let fits = |bits: &i32| {
        let unit = 2f64.powi(*bits);
        measure.largest * unit < 2f64.powi(MAX_BITS) && measure.factor * unit <= MAX_COEFFICIENT
    };
    let most = (-150..=200).rev().find(fits).ok_or(TOO_FAR_APART)?;
    let fine = |bits: &i32| 0.5 * measure.widths / 2f64.powi(*bits) <= measure.off;
    let enough = (-150..=most).find(fine).unwrap_or(most);
    let exact = |bits: &i32| {
        let whole = |v: f64| (v * 2f64.powi(*bits)).fract() == 0.0;
        terms.iter().all(|term| match term.factor(0) {
            Some(_) => (0..count).all(|lane| term.factor(lane).is_some_and(|(v, _)| whole(v))),
            None => term
                .values()
                .is_some_and(|all| all.iter().all(|v| whole(f64::from(*v)))),
        })
    };
    Ok((-150..enough).find(exact).unwrap_or(enough))
}

/// The weights of a lane.
fn weights(terms: &[Term], unit: f64, lane: usize) -> Result<Vec<Weight>, NodeError> {
    let whole = |v: f64| (v * unit).round_ties_even() as i64;
    let weight = |term: &Term| match term.factor(lane) {
        Some((factor, zero)) => Some(Weight::Factor(whole(factor), zero)),
        None => {
            let values = term.values()?;
            Some(Weight::Table(
                values.iter().map(|v| whole(f64::from(*v))).collect(),
            ))
        }
    };
    let all = terms.iter().map(weight).collect::<Option<Vec<_>>>();
    let all = all.ok_or(SEVERAL_AXES)?;
    match all.iter().any(|w| matches!(w, Weight::Factor(0, _))) {
        true => Err(TOO_FAR_APART),
        false => Ok(all),
    }
}
