//! `requantize`: an accumulator becomes a quantized value.
//!
//! `y[i] = rule(i)(x[i])`, where a rule is either the float32 scale rule ([`ScaleRule`]) or explicit steps
//! ([`Steps`]). Rules may follow an axis (per-channel scales) or the element (pooling windows of different sizes).
//!
//! # Circuit
//!
//! One step function for each distinct rule, on exactly the range that the circuit enforces on its arguments. The
//! step gadget proves `T_y ≤ x < T_{y+1}` for the thresholds found by bisecting the very rule that [`Requantize`]
//! evaluates, so the proved function *is* the rule: no approximation, no second definition, one `y` for each `x`.
//!
//! **Assumes** that the cells in the accumulator are bounded; the domain of the step is what follows for the form, and
//! the planner checks it once more. **Guarantees** one `y`: the pieces partition the domain.
//! **Needs** that a scale rule never decreases, which holds because rounding is monotone and the multiplier positive;
//! explicit steps are taken as they are, monotone or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lanes, ScaleRule, hull, only, wire_range};
use crate::lower::{LowerError, Lowering, StepError, StepRule, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor,
};

pub(super) const ID: OpId = super::id("requantize");
const NAME: &str = ID.name;

/// A step function with explicit thresholds: `first` below the first threshold, then the value of the last
/// threshold reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Steps {
    first: i64,
    steps: Vec<(i64, i64)>,
}

impl Steps {
    /// Steps with strictly growing thresholds and values that differ from their predecessor, so that a function has
    /// one representation.
    pub fn new(first: i64, steps: Vec<(i64, i64)>) -> Result<Self, OpError> {
        let growing = steps.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut last = first;
        let changing = steps
            .iter()
            .all(|&(_, value)| std::mem::replace(&mut last, value) != value);
        if growing && changing {
            Ok(Self { first, steps })
        } else {
            Err(OpError::Parameter {
                op: NAME,
                parameter: "the order of thresholds",
            })
        }
    }

    /// The steps of a non-decreasing function on `lo..=hi`, found by bisection.
    pub fn bisect(range: Range, f: impl Fn(i64) -> i64) -> Self {
        let rule = StepRule::monotone(range, None, f);
        let pieces = rule.pieces();
        Self {
            first: pieces[0].1,
            steps: pieces[1..].to_vec(),
        }
    }

    /// The steps of any function on a range small enough to enumerate.
    pub fn enumerate(range: Range, f: impl Fn(i64) -> i64) -> Self {
        let first = f(range.lo);
        let mut steps: Vec<(i64, i64)> = Vec::new();
        for x in range.lo..=range.hi {
            let y = f(x);
            if steps.last().map_or(first, |&(_, last)| last) != y {
                steps.push((x, y));
            }
        }
        Self { first, steps }
    }

    /// The value at `x`.
    pub fn eval(&self, x: i64) -> i64 {
        match self.steps.partition_point(|&(start, _)| start <= x) {
            0 => self.first,
            after => self.steps[after - 1].1,
        }
    }

    /// The part of the function on `domain`.
    pub(super) fn on(&self, domain: Range) -> Result<StepRule, StepError> {
        let inside = |&&(start, _): &&(i64, i64)| domain.lo < start && start <= domain.hi;
        let first = std::iter::once((domain.lo, self.eval(domain.lo)));
        let pieces = first.chain(self.steps.iter().filter(inside).copied());
        StepRule::from_pieces(domain, pieces.collect())
    }

    /// The value before the first threshold, the thresholds, their values.
    pub(super) fn encode(&self, out: &mut Encoder) {
        out.i64(self.first);
        out.ints(&self.steps.iter().map(|s| s.0).collect::<Vec<_>>());
        out.ints(&self.steps.iter().map(|s| s.1).collect::<Vec<_>>());
    }

    /// The inverse of [`Steps::encode`].
    pub(super) fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let first = reader.i64()?;
        let (starts, values) = (reader.ints()?, reader.ints()?);
        if starts.len() != values.len() {
            return Err(DecodeError::Malformed("steps"));
        }
        Ok(Self::new(first, starts.into_iter().zip(values).collect())?)
    }

    /// The places where the value changes, in order.
    pub fn thresholds(&self) -> impl Iterator<Item = i64> + '_ {
        self.steps.iter().map(|&(start, _)| start)
    }

    /// Number of thresholds.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// All values, in order of their pieces.
    pub(super) fn values(&self) -> impl Iterator<Item = i64> + '_ {
        std::iter::once(self.first).chain(self.steps.iter().map(|&(_, value)| value))
    }

    /// Bounds of the values on `range`.
    pub(super) fn outputs(&self, range: Range) -> Range {
        let ends = [self.eval(range.lo), self.eval(range.hi)];
        let inside = self
            .steps
            .iter()
            .filter(|&&(start, _)| range.contains(start))
            .map(|&(_, value)| value);
        hull(ends.into_iter().chain(inside))
    }
}

/// How one accumulator becomes one quantized value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The float32 scale rule.
    Scale(ScaleRule),
    /// Explicit thresholds.
    Steps(Steps),
}

impl Rule {
    /// The value at `x`.
    pub fn eval(&self, x: i64) -> i64 {
        match self {
            Self::Scale(rule) => rule.eval(x),
            Self::Steps(rule) => rule.eval(x),
        }
    }

    fn outputs(&self, range: Range) -> Range {
        match self {
            Self::Scale(rule) => Range::new(rule.eval(range.lo), rule.eval(range.hi)),
            Self::Steps(rule) => rule.outputs(range),
        }
    }

    fn on(&self, domain: Range) -> Result<StepRule, StepError> {
        match self {
            Self::Scale(rule) => {
                let scale = Some(rule.scale());
                Ok(StepRule::monotone(domain, scale, |x| rule.eval(x)))
            }
            Self::Steps(rule) => rule.on(domain),
        }
    }
}

/// Applies a rule to each element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantize {
    dtype: DataType,
    rules: Vec<Rule>,
    lanes: Lanes,
}

impl Requantize {
    /// Rules whose values all lie in `dtype`, and the lanes that refer to each of them.
    pub fn new(dtype: DataType, rules: Vec<Rule>, lanes: Lanes) -> Result<Self, OpError> {
        lanes.check(NAME, rules.len())?;
        let range = Range::of(dtype);
        let fits = |rule: &Rule| match rule {
            Rule::Scale(rule) => {
                range.contains(rule.eval(-(1 << 61))) && range.contains(rule.eval(1 << 61))
            }
            Rule::Steps(rule) => rule.values().all(|v| range.contains(v)),
        };
        if !rules.iter().all(fits) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the clamp",
            });
        }
        Ok(Self {
            dtype,
            rules,
            lanes,
        })
    }

    /// The distinct rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Type of the output (its code), rules (each a tag, 0 scale or 1 steps, and its fields), lanes.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let dtype =
            DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"))?;
        let len = reader.count_of(1)?;
        let rules = (0..len)
            .map(|_| decode_rule(reader))
            .collect::<Result<_, _>>()?;
        let lanes = Lanes::decode(reader)?;
        Ok(Arc::new(Self::new(dtype, rules, lanes)?))
    }
}

fn decode_rule(reader: &mut Decoder<'_>) -> Result<Rule, DecodeError> {
    match reader.u8()? {
        0 => Ok(Rule::Scale(ScaleRule::decode(reader)?)),
        1 => Ok(Rule::Steps(Steps::decode(reader)?)),
        _ => Err(DecodeError::Malformed("rule")),
    }
}

impl Operator for Requantize {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        self.lanes.check_shape(NAME, &x.shape)?;
        let ranges = self.rules.iter().map(|rule| rule.outputs(x.range));
        let range = hull(ranges.flat_map(|r| [r.lo, r.hi]));
        Ok(vec![Fact {
            dtype: self.dtype,
            shape: x.shape.clone(),
            range,
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        self.lanes.check_shape(NAME, &x.shape)?;
        let rule_of = self.lanes.rule_of(&x.shape);
        let data = x
            .data
            .iter()
            .enumerate()
            .map(|(i, &v)| self.rules[rule_of(i)].eval(v))
            .collect();
        Ok(vec![Tensor::new(self.dtype, x.shape.clone(), data)])
    }

    fn describe(&self) -> String {
        let first = match &self.rules[0] {
            Rule::Scale(rule) => {
                let (mantissa, exponent) = rule.scale();
                let (lo, hi) = (rule.eval(-(1 << 61)), rule.eval(1 << 61));
                format!(
                    "x·{mantissa}·2^{exponent} {:+} clamped to {lo}..={hi}",
                    rule.zero_point()
                )
            }
            Rule::Steps(rule) => format!("{} explicit steps", rule.steps.len()),
        };
        match self.rules.len() {
            1 => first,
            n => format!("{n} rules{}, the first {first}", self.lanes.describe()),
        }
    }

    fn encode(&self, out: &mut Encoder) {
        out.u8(self.dtype.code());
        out.count(self.rules.len());
        for rule in &self.rules {
            match rule {
                Rule::Scale(rule) => {
                    out.u8(0);
                    rule.encode(out);
                }
                Rule::Steps(rule) => {
                    out.u8(1);
                    rule.encode(out);
                }
            }
        }
        self.lanes.encode(out);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let rule_of = self.lanes.rule_of(&facts[0].shape);
        let mut domains: BTreeMap<usize, Range> = BTreeMap::new();
        for (i, wire) in inputs[0].iter().enumerate() {
            let range = wire_range(cx, NAME, *wire)?;
            domains
                .entry(rule_of(i))
                .and_modify(|d| *d = d.union(&range))
                .or_insert(range);
        }
        // Rules that no element uses (an empty lane cannot occur, a dropped element can) are left out.
        let numbers: BTreeMap<usize, usize> = domains
            .keys()
            .enumerate()
            .map(|(new, &old)| (old, new))
            .collect();
        let rules = domains
            .iter()
            .map(|(&rule, &domain)| self.rules[rule].on(domain).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(vec![cx.steps(&inputs[0], rules, |i| numbers[&rule_of(i)])?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    fn scale(mantissa: u32, exponent: i32, zero: i64) -> Rule {
        Rule::Scale(ScaleRule::new(mantissa, exponent, zero, 0, 255).unwrap())
    }

    #[test]
    fn accepts_rules_along_an_axis_and_lowers_to_the_same_function() {
        let (rules, lanes) = Lanes::along_axis(
            1,
            &[
                scale(12582912, -30, 3),
                scale(8388608, -29, 3),
                scale(12582912, -30, 3),
            ],
        );
        assert_eq!(rules.len(), 2);
        let op = Requantize::new(DataType::U8, rules, lanes).unwrap();
        let fact = Fact {
            dtype: DataType::I32,
            shape: vec![2, 3],
            range: Range::new(-30000, 30000),
        };
        testing::check(&op, &[fact], Requantize::decode, 20);
    }

    #[test]
    fn accepts_explicit_steps_that_fall_and_rise() {
        let steps = Steps::new(5, vec![(-10, 7), (0, 3), (4, 200)]).unwrap();
        let op = Requantize::new(DataType::U8, vec![Rule::Steps(steps)], Lanes::Tensor).unwrap();
        let fact = Fact {
            dtype: DataType::I32,
            shape: vec![50],
            range: Range::new(-40, 40),
        };
        assert_eq!(op.facts(&[&fact]).unwrap()[0].range, Range::new(3, 200));
        testing::check(&op, &[fact], Requantize::decode, 20);
    }

    #[test]
    fn rejects_steps_and_lanes_that_are_not_canonical() {
        assert!(Steps::new(0, vec![(1, 0)]).is_err());
        assert!(Steps::new(0, vec![(1, 1), (1, 2)]).is_err());
        let rule = scale(8388608, -29, 0);
        let lanes = Lanes::Axis {
            axis: 0,
            rule_of: vec![0, 0],
        };
        assert!(Requantize::new(DataType::U8, vec![rule.clone()], lanes).is_err());
        let lanes = Lanes::Axis {
            axis: 0,
            rule_of: vec![1, 0],
        };
        assert!(
            Requantize::new(
                DataType::U8,
                vec![rule.clone(), scale(8388609, -29, 0)],
                lanes
            )
            .is_err()
        );
        assert!(Requantize::new(DataType::I8, vec![rule], Lanes::Tensor).is_err());
    }
}
