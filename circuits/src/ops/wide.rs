//! Arithmetic on integers of the circuit that are wider than a table: digits, and products of wide integers.
//!
//! No operator of its own: `softmax` is made of these.
//!
//! # Digits
//!
//! `v` in `0..=hi` has the digits `v = Σ_i 2^{7i}·v_i`. From the highest on, `v_i = ⌊rest / 2^{7i}⌋` is a step of the
//! linear form `rest = v − Σ_{j>i} 2^{7j}·v_j`. **Assumes** that `v` lies in `0..=hi`. **Guarantees** one list of
//! digits, each in `0..128`: once `v_j` is forced to be the quotient, the next rest is the remainder, which lies in
//! `0..2^{7j}`. That is the bound it is declared with ([`Lowering::assume_within`]): interval arithmetic would not see
//! it, and the table would have to cover values that cannot occur.
//!
//! # Products
//!
//! The product of two digits is a difference of quarter squares, as in `product`: `a·b = ⌊(a+b)²/4⌋ − ⌊(a−b)²/4⌋`, two
//! lookups in one table. `⌊a·b / 2^{7t}⌋` of wide integers is the schoolbook's: with `D_k = Σ_{i+j=k} a_i·b_j`, carries
//! `c = ⌊(c + D_k + 2^7·D_{k+1}) / 2^14⌋` over the low diagonals (one diagonal at a time where one is left), then
//! `c + Σ_{k≥t} 2^{7(k−t)}·D_k`. **Assumes** `a·b ≤ limit`: digits whose product times their weight exceeds it are not
//! multiplied, since one of them is zero. **Guarantees** exactness: nothing is dropped but such zeros. Sums of products
//! of digits are not negative, which is the lower bound they are declared with; their differences of squares hide it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lower::{Explicit, LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::Range;

/// Bits of a digit.
pub(super) const DIGIT_BITS: u32 = 7;
const DIGIT: i64 = (1 << DIGIT_BITS) - 1;

/// A sum of elements with coefficients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Combo {
    terms: Vec<(Wire, i64)>,
}

impl Combo {
    /// One element.
    pub(super) fn of(wire: Wire) -> Self {
        Self {
            terms: vec![(wire, 1)],
        }
    }

    /// Adds an element.
    pub(super) fn add(&mut self, wire: Wire, factor: i64) {
        self.terms.push((wire, factor));
    }

    /// Adds a sum.
    pub(super) fn add_all(&mut self, other: &Self, factor: i64) {
        let terms = other.terms.iter().map(|&(w, c)| (w, c * factor));
        self.terms.extend(terms);
    }

    /// The coefficient of each cell, in order of appearance, and the constant.
    fn collect(&self) -> (Vec<(Wire, i64)>, i64) {
        let mut constant = 0;
        let mut terms: Vec<(Wire, i64)> = Vec::with_capacity(self.terms.len());
        let mut places: HashMap<Wire, usize> = HashMap::new();
        for &(wire, factor) in &self.terms {
            match wire {
                Wire::Const(v) => constant += v * factor,
                _ => match places.get(&wire) {
                    Some(&place) => terms[place].1 += factor,
                    None => {
                        places.insert(wire, terms.len());
                        terms.push((wire, factor));
                    }
                },
            }
        }
        terms.retain(|&(_, factor)| factor != 0);
        (terms, constant)
    }
}

/// The sums as linear forms whose values lie in `range`, for a reason; see [`Lowering::assume_within`].
/// `row` neighbours share inputs. Sums of constants become constants.
pub(super) fn forms(
    cx: &mut Lowering,
    op: &'static str,
    combos: &[Combo],
    row: usize,
    (range, reason): (Range, &'static str),
) -> Result<Wires, LowerError> {
    let mut inputs = Wires::new();
    let mut places: HashMap<Wire, usize> = HashMap::new();
    let mut out = Wires::with_capacity(combos.len());
    let mut explicit = Vec::with_capacity(combos.len());
    for combo in combos {
        let (terms, constant) = combo.collect();
        if terms.is_empty() {
            out.push(Wire::Const(constant));
            continue;
        }
        let mut place = |wire: Wire| {
            *places.entry(wire).or_insert_with(|| {
                inputs.push(wire);
                inputs.len() - 1
            })
        };
        let index = explicit.len() as u32;
        explicit.push((
            terms.into_iter().map(|(w, c)| (place(w), c)).collect(),
            constant,
        ));
        out.push(Wire::Sum { map: 0, index });
    }
    if explicit.is_empty() {
        return Ok(out);
    }
    let count = explicit.len();
    let grid = match count.is_multiple_of(row) && count == combos.len() {
        true => vec![count / row, row],
        false => vec![count],
    };
    let forms = Arc::new(Explicit {
        grid,
        forms: explicit,
    });
    let made = cx.assume_within(op, &inputs, forms, range, reason)?;
    let wire = |w| match w {
        Wire::Sum { index, .. } => made[index as usize],
        other => other,
    };
    Ok(out.into_iter().map(wire).collect())
}

/// A step of each sum. The sums lie in the rule's domain, for a reason.
pub(super) fn step(
    cx: &mut Lowering,
    op: &'static str,
    combos: &[Combo],
    row: usize,
    (rule, reason): (StepRule, &'static str),
) -> Result<Wires, LowerError> {
    let sums = forms(cx, op, combos, row, (rule.domain(), reason))?;
    cx.steps(&sums, vec![Arc::new(rule)], |_| 0)
}

/// The number of digits of the integers up to `hi`, at least one.
pub(super) fn digit_count(hi: i64) -> usize {
    let bits = i64::BITS - hi.max(1).leading_zeros();
    bits.div_ceil(DIGIT_BITS) as usize
}

/// Digit `i` of an integer that is not negative.
pub(super) fn digit(value: i64, i: usize) -> i64 {
    (value >> (DIGIT_BITS * i as u32).min(63)) & DIGIT
}

/// Why what is left of an integer without its higher digits is small.
const REMAINDER: &str = "a remainder is not negative and below its divisor";
/// Why sums of products are not negative.
const NOT_NEGATIVE: &str = "sums of products of digits are not negative, and digits are below 128";
/// Why sums and differences of digits stay small.
const DIGITS: &str = "digits are not negative and below 128";

/// The digits of each value of `0..=hi`, low ones first: for each place, a cell for each value.
pub(super) fn digits(
    cx: &mut Lowering,
    op: &'static str,
    values: &[Combo],
    (hi, reason): (i64, &'static str),
) -> Result<Vec<Wires>, LowerError> {
    let mut rest = values.to_vec();
    let mut top = hi;
    let mut out = Vec::new();
    for i in (0..digit_count(hi)).rev() {
        let shift = DIGIT_BITS * i as u32;
        let rule = StepRule::monotone(Range::new(0, top), None, |v| v >> shift);
        let reason = if top == hi { reason } else { REMAINDER };
        let digits = step(cx, op, &rest, 1, (rule, reason))?;
        for (rest, &digit) in rest.iter_mut().zip(&digits) {
            rest.add(digit, -(1 << shift));
        }
        top = (1 << shift) - 1;
        out.push(digits);
    }
    out.reverse();
    Ok(out)
}

/// A sum of products of digits, and the largest value that it may have.
#[derive(Clone, Debug, Default)]
struct Diagonal {
    sums: Vec<Combo>,
    hi: i64,
}

impl Diagonal {
    fn add(&mut self, other: &Self, factor: i64) {
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            sum.add_all(other, factor);
        }
        self.hi += other.hi * factor;
    }
}

/// `⌊a·b / 2^{7t}⌋` for integers given by their digits, low ones first; `a·b ≤ limit`.
pub(super) fn product(
    cx: &mut Lowering,
    op: &'static str,
    (a, b): (&[Wires], &[Wires]),
    limit: i64,
    t: usize,
) -> Result<Vec<Combo>, LowerError> {
    let count = a.first().map_or(0, Vec::len);
    let none = Diagonal {
        sums: vec![Combo::default(); count],
        hi: 0,
    };
    let mut diagonals = vec![none.clone(); a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            // Both digits being positive, the product would exceed the limit: one of them is zero.
            if i128::from(limit) >> (DIGIT_BITS as usize * (i + j)) == 0 {
                continue;
            }
            let diagonal = &mut diagonals[i + j];
            multiply(cx, op, (x, y), &mut diagonal.sums)?;
            diagonal.hi += DIGIT * DIGIT;
        }
    }
    let (low, high) = diagonals.split_at(t.min(diagonals.len()));
    let mut carry = none.clone();
    for pair in low.chunks(2) {
        let mut sum = carry;
        for (k, diagonal) in pair.iter().enumerate() {
            sum.add(diagonal, 1 << (DIGIT_BITS as usize * k));
        }
        let shift = DIGIT_BITS as usize * pair.len();
        let rule = StepRule::monotone(Range::new(0, sum.hi), None, |v| v >> shift);
        let carries = step(cx, op, &sum.sums, 1, (rule, NOT_NEGATIVE))?;
        carry = Diagonal {
            sums: carries.into_iter().map(Combo::of).collect(),
            hi: sum.hi >> shift,
        };
    }
    for (k, diagonal) in high.iter().enumerate() {
        carry.add(diagonal, 1 << (DIGIT_BITS as usize * k).min(62));
    }
    Ok(carry.sums)
}

/// Adds the product of each pair of digits.
fn multiply(
    cx: &mut Lowering,
    op: &'static str,
    (x, y): (&Wires, &Wires),
    sums: &mut [Combo],
) -> Result<(), LowerError> {
    // One table for all pairs.
    let quarter = StepRule::table(Range::new(-DIGIT, 2 * DIGIT), |v| v * v / 4)?;
    for sign in [1, -1] {
        let combos: Vec<Combo> = x
            .iter()
            .zip(y)
            .map(|(&x, &y)| {
                let mut combo = Combo::of(x);
                combo.add(y, sign);
                combo
            })
            .collect();
        let squares = step(cx, op, &combos, 1, (quarter.clone(), DIGITS))?;
        for (sum, &square) in sums.iter_mut().zip(&squares) {
            sum.add(square, sign);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::Collector;

    #[test]
    fn accepts_the_digits_of_an_integer() {
        for value in [0, 1, 127, 128, 300_000, (1 << 41) - 5] {
            let count = digit_count(value);
            let sum: i64 = (0..count).map(|i| digit(value, i) << (7 * i)).sum();
            assert_eq!(sum, value);
            assert_eq!(digit(value, count), 0);
            assert!(count == 1 || digit(value, count - 1) > 0);
        }
    }

    #[test]
    fn accepts_sums_that_cancel_as_constants() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 2, Range::new(0, 9)).unwrap();
        let cx = collector.node(0);
        let mut gone = Combo::of(x[0]);
        gone.add(x[0], -1);
        gone.add(Wire::Const(4), 3);
        let mut left = Combo::of(x[1]);
        left.add(x[1], 2);
        let range = (Range::new(0, 27), "it is its range");
        let made = forms(cx, "test", &[gone, left], 1, range).unwrap();
        assert_eq!(made[0], Wire::Const(12));
        let Wire::Sum { map, index } = made[1] else {
            panic!("{made:?}");
        };
        assert_eq!(cx.form_range(map, index), Range::new(0, 27));
        assert_eq!(cx.assumptions().count(), 0, "intervals say the same");
        let mut seen = Vec::new();
        cx.maps()[map as usize]
            .forms
            .terms(index as usize, &mut |j, c| seen.push((j, c)));
        assert_eq!(seen, [(0, 3)]);
    }

    #[test]
    fn accepts_tighter_bounds_than_those_of_intervals() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 1, Range::new(0, 1000)).unwrap();
        let cx = collector.node(5);
        let value = [Combo::of(x[0])];
        let found = digits(cx, "test", &value, (1000, "it is its range")).unwrap();
        assert_eq!(found.len(), 2);
        // The low digit's table covers 128 values, not the 2,000 that the difference might have.
        let domains: Vec<Range> = cx
            .blocks()
            .iter()
            .filter_map(|block| match block {
                crate::lower::Block::Step { rules, .. } => Some(rules[0].domain()),
                _ => None,
            })
            .collect();
        assert_eq!(domains, [Range::new(0, 1000), Range::new(0, 127)]);
        let assumed: Vec<_> = cx
            .assumptions()
            .map(|a| (a.node, a.range, a.reason))
            .collect();
        assert_eq!(assumed, [(5, Range::new(0, 127), REMAINDER)]);
    }
}
