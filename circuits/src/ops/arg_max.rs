//! `arg_max`: where the largest element along an axis stands.
//!
//! `y = min { i : x[i] = max_j x[j] }` along `axis`, which keeps extent one; the largest such `i` if `last` is set.
//! The result is int64.
//!
//! # Circuit
//!
//! For each line `x_0 … x_{N−1}` along the axis, of types of at most 16 bits:
//!
//! | cell  | equation                              | block                     |
//! | ----- | ------------------------------------- | ------------------------- |
//! | `m`   | `max_i x_i`                           | maximum                   |
//! | `k_i` | `N − i` if `m − x_i ≤ 0`, otherwise 0 | step of two pieces        |
//! | `t`   | `max_i k_i`                           | maximum                   |
//! | `y`   | `N − t`                               | linear form, needs no cell |
//!
//! **Assumes** nothing but the bounds of the cells `x_i`. **Guarantees** one `y` for each line: the maximum forces
//! `m`, so every difference is at least zero and `k_i` is positive exactly where `x_i` is largest; the keys `N − i` are
//! distinct and fall with `i`, so their maximum names the first such place. With `last` the keys are `i + 1`, and
//! `y = t − 1`. **Needs** the maximum `m` to be attained: then some key is positive and `y` lies in `0..N`.

//!
//! Sums of trees and other wide integers are no cells. Of these, each pair is compared:
//!
//! | cell      | equation                                                     | block              |
//! | --------- | ------------------------------------------------------------ | ------------------ |
//! | `b_{i,j}` | for `i < j`, 1 if `x_i − x_j ≥ 0` (`> 0` with `last`), else 0 | step of two pieces |
//! | `w_i`     | 1 if `Σ_{j>i} b_{i,j} + Σ_{j<i} (1 − b_{j,i}) > N − 2`, else 0 | step of two pieces |
//! | `y`       | `Σ i · w_i`                                                  | linear form        |
//!
//! **Guarantees** the same: "not below, and before where equal" orders the places totally, so exactly one of them
//! precedes the `N − 1` others.

use std::sync::Arc;

use super::{accepted, only, reach};
use crate::lower::{Explicit, LinearForms, LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("arg_max");
const NAME: &str = ID.name;

/// Largest extent of the axis: each place takes two rows of a table.
pub(super) const MAX_EXTENT: usize = 4096;

/// The place of the largest element along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgMax {
    axis: usize,
    last: bool,
}

impl ArgMax {
    /// The first place of the largest element along `axis`, or the `last` one.
    pub fn new(axis: usize, last: bool) -> Self {
        Self { axis, last }
    }

    /// The axis (count), then the flag.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self::new(reader.count()?, reader.flag()?)))
    }

    fn line(&self, shape: &[usize]) -> Result<Lines, OpError> {
        Lines::new(NAME, shape, self.axis)
    }
}

/// The lines of a tensor along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) outer: usize,
    pub(super) extent: usize,
    pub(super) inner: usize,
}

impl Lines {
    pub(super) fn new(op: &'static str, shape: &[usize], axis: usize) -> Result<Self, OpError> {
        match shape.get(axis) {
            Some(&extent) if (1..=MAX_EXTENT).contains(&extent) => Ok(Self {
                outer: elements(&shape[..axis]),
                extent,
                inner: elements(&shape[axis + 1..]),
            }),
            _ => Err(OpError::Shape {
                op,
                expected: "the axis exists and has at most 4096 elements",
                got: shape.to_vec(),
            }),
        }
    }

    /// The elements of each line, by place in the tensor.
    pub(super) fn places(self) -> impl Iterator<Item = Vec<usize>> {
        (0..self.outer * self.inner).map(move |line| {
            let (outer, inner) = (line / self.inner, line % self.inner);
            let first = outer * self.extent * self.inner + inner;
            (0..self.extent).map(|i| first + i * self.inner).collect()
        })
    }
}

/// The shape with another extent of the axis.
pub(super) fn resized(shape: &[usize], axis: usize, extent: usize) -> Vec<usize> {
    let of = |(d, &n): (usize, &usize)| if d == axis { extent } else { n };
    shape.iter().enumerate().map(of).collect()
}

/// Longest line of wide integers, each of which is compared with each.
const MAX_WIDE_EXTENT: usize = 64;
/// Widest range of wide integers, whose differences have to fit.
const MAX_WIDE_SPAN: u64 = 1 << 60;

/// Fails for types whose values are too wide for the comparisons of the circuit.
pub(super) fn check_narrow(op: &'static str, dtype: DataType) -> Result<(), OpError> {
    match dtype.width() {
        0..=16 => Ok(()),
        _ => Err(OpError::Type { op, got: dtype }),
    }
}

/// The largest element of each line, the key of each element, and the largest key of each line, all as cells.
pub(super) struct Leaders {
    pub(super) largest: Wires,
    pub(super) keys: Vec<Wires>,
    pub(super) best: Wires,
}

/// Equations of the module's table, for lines of cells (or of constants only) that have more than one element.
pub(super) fn leaders(
    cx: &mut Lowering,
    op: &'static str,
    lines: &[Wires],
    last: bool,
) -> Result<Leaders, LowerError> {
    let largest = cx.max(op, lines.to_vec())?;
    let pairs: Wires = lines
        .iter()
        .zip(&largest)
        .flat_map(|(line, &m)| line.iter().flat_map(move |&x| [m, x]))
        .collect();
    let forms = Differences {
        len: pairs.len() / 2,
        sign: 1,
        constant: 0,
    };
    let differences = cx.linear(op, &pairs, Arc::new(forms))?;
    let domain = reach(cx, op, &differences)?;
    let extent = lines.first().map_or(1, Vec::len);
    let rule = |i: usize| {
        let key = if last { i + 1 } else { extent - i } as i64;
        let of = |d: i64| if d <= 0 { key } else { 0 };
        Arc::new(StepRule::monotone(domain, None, of))
    };
    let rules = (0..extent).map(rule).collect();
    let keys = cx.steps(&differences, rules, |i| i % extent)?;
    let keys: Vec<Wires> = keys.chunks(extent).map(<[Wire]>::to_vec).collect();
    let best = cx.max(op, keys.clone())?;
    Ok(Leaders {
        largest,
        keys,
        best,
    })
}

/// Places from the largest keys: a linear form of each.
pub(super) fn places_of(
    cx: &mut Lowering,
    op: &'static str,
    best: &[Wire],
    extent: usize,
    last: bool,
) -> Result<Wires, LowerError> {
    let (sign, constant) = if last { (1, -1) } else { (-1, extent as i64) };
    let len = best.len();
    cx.linear(
        op,
        best,
        Arc::new(Affine {
            len,
            sign,
            constant,
        }),
    )
}

impl Operator for ArgMax {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let lines = self.line(&x.shape)?;
        if lines.extent > MAX_WIDE_EXTENT || x.range.span() > MAX_WIDE_SPAN {
            check_narrow(NAME, x.dtype)?;
        }
        Ok(vec![Fact {
            dtype: DataType::I64,
            shape: resized(&x.shape, self.axis, 1),
            range: Range::new(0, lines.extent as i64 - 1),
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let place = |line: Vec<usize>| {
            let mut best = 0;
            for (i, &at) in line.iter().enumerate() {
                let (value, least) = (x.data[at], x.data[line[best]]);
                if value > least || (self.last && value == least) {
                    best = i;
                }
            }
            best as i64
        };
        let data = self.line(&x.shape)?.places().map(place).collect();
        Ok(vec![Tensor::new(
            DataType::I64,
            resized(&x.shape, self.axis, 1),
            data,
        )])
    }

    fn describe(&self) -> String {
        let which = if self.last { "last" } else { "first" };
        format!("{which} along axis {}", self.axis)
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
        out.flag(self.last);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let lines = accepted(NAME, self.line(&facts[0].shape))?;
        if lines.extent == 1 {
            return Ok(vec![vec![Wire::Const(0); inputs[0].len()]]);
        }
        let wires: Vec<Wires> = lines
            .places()
            .map(|line| line.iter().map(|&i| inputs[0][i]).collect())
            .collect();
        if check_narrow(NAME, facts[0].dtype).is_err() {
            return Ok(vec![compared(cx, &wires, self.last)?]);
        }
        let leaders = leaders(cx, NAME, &wires, self.last)?;
        Ok(vec![places_of(
            cx,
            NAME,
            &leaders.best,
            lines.extent,
            self.last,
        )?])
    }
}

/// The place of the largest element of each line of two or more, by comparing all pairs.
fn compared(cx: &mut Lowering, lines: &[Wires], last: bool) -> Result<Wires, LowerError> {
    let n = lines.first().map_or(0, Vec::len);
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
        .collect();
    let both = |line: &Wires| {
        let wires = pairs.iter().flat_map(|&(i, j)| [line[i], line[j]]);
        wires.collect::<Wires>()
    };
    let both: Wires = lines.iter().flat_map(both).collect();
    let forms = Differences {
        len: both.len() / 2,
        sign: 1,
        constant: 0,
    };
    let differences = cx.linear(NAME, &both, Arc::new(forms))?;
    let least = i64::from(last);
    let ahead = positive(cx, &differences, |d| d >= least)?;
    let per_line = pairs.len();
    let mut wins = Vec::with_capacity(lines.len() * n);
    for line in 0..lines.len() {
        for i in 0..n {
            let of = pairs.iter().enumerate();
            let terms = of.filter_map(|(at, &(a, b))| {
                let sign = if a == i { 1 } else { -1 };
                (a == i || b == i).then_some((line * per_line + at, sign))
            });
            wins.push((terms.collect(), i as i64));
        }
    }
    let wins = Explicit {
        grid: vec![lines.len(), n],
        forms: wins,
    };
    let wins = cx.linear(NAME, &ahead, Arc::new(wins))?;
    let first = positive(cx, &wins, |wins| wins > n as i64 - 2)?;
    let place = |line: usize| ((1..n).map(|i| (line * n + i, i as i64)).collect(), 0);
    let places = Explicit {
        grid: vec![lines.len()],
        forms: (0..lines.len()).map(place).collect(),
    };
    cx.linear(NAME, &first, Arc::new(places))
}

/// A cell for each element, 1 where a condition holds that larger elements meet too.
fn positive(
    cx: &mut Lowering,
    of: &[Wire],
    holds: impl Fn(i64) -> bool,
) -> Result<Wires, LowerError> {
    let domain = reach(cx, NAME, of)?;
    let rule = StepRule::monotone(domain, None, |v| i64::from(holds(v)));
    cx.steps(of, vec![Arc::new(rule)], |_| 0)
}

/// `x[2i] − sign · x[2i + 1] + constant`.
#[derive(Debug)]
pub(super) struct Differences {
    pub(super) len: usize,
    pub(super) sign: i64,
    pub(super) constant: i64,
}

impl LinearForms for Differences {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(2 * out, 1);
        f(2 * out + 1, -self.sign);
    }

    fn constant(&self, _: usize) -> i64 {
        self.constant
    }
}

/// `sign · x[i] + constant`.
#[derive(Debug)]
struct Affine {
    len: usize,
    sign: i64,
    constant: i64,
}

impl LinearForms for Affine {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(out, self.sign);
    }

    fn constant(&self, _: usize) -> i64 {
        self.constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn narrow(shape: Vec<usize>, hi: i64) -> Fact {
        Fact {
            dtype: DataType::I8,
            shape,
            range: Range::new(-1, hi),
        }
    }

    #[test]
    fn accepts_every_axis_and_ties() {
        for last in [false, true] {
            for (axis, shape) in [
                (0, vec![5]),
                (1, vec![2, 7, 3]),
                (2, vec![2, 1, 4]),
                (1, vec![2, 1]),
            ] {
                // A range of three values makes ties the rule.
                for hi in [1, 127] {
                    let op = ArgMax::new(axis, last);
                    testing::check_operator(&op, &[narrow(shape.clone(), hi)], ArgMax::decode, 12);
                }
            }
        }
    }

    #[test]
    fn accepts_types_of_sixteen_bits() {
        for (dtype, lo, hi) in [
            (DataType::I16, -32_768, 32_767),
            (DataType::U16, 0, 65_535),
            (DataType::I16, -300, -297),
        ] {
            let fact = Fact {
                dtype,
                shape: vec![2, 5],
                range: Range::new(lo, hi),
            };
            testing::check_operator(&ArgMax::new(1, false), &[fact], ArgMax::decode, 12);
        }
    }

    fn wide(shape: &[usize], hi: i64) -> Fact {
        Fact {
            dtype: DataType::I64,
            shape: shape.to_vec(),
            range: Range::new(hi - 255, hi),
        }
    }

    #[test]
    fn accepts_wide_integers_and_their_ties() {
        for last in [false, true] {
            for (axis, shape) in [(0, &[2][..]), (1, &[2, 5, 2]), (1, &[1, 9]), (0, &[1])] {
                for range in [Range::new(0, 1), Range::new(-(1 << 58), 1 << 58)] {
                    let fact = Fact {
                        range,
                        ..wide(shape, 0)
                    };
                    let op = ArgMax::new(axis, last);
                    testing::check_operator(&op, &[fact], ArgMax::decode, 12);
                }
            }
            for n in [2, 4] {
                let op = Arc::new(ArgMax::new(1, last));
                let score = testing::mutate_operator(op, &[wide(&[1, n], 1 << 40)], 3);
                assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
            }
        }
    }

    #[test]
    fn rejects_every_lie_about_sixteen_bits() {
        let fact = Fact {
            dtype: DataType::I16,
            shape: vec![1, 5],
            range: Range::new(-400, -145),
        };
        let score = testing::mutate_operator(Arc::new(ArgMax::new(1, false)), &[fact], 3);
        assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
    }

    #[test]
    fn accepts_all_lines_of_three_small_values() {
        for code in 0..64 {
            let data: Vec<i64> = (0..3).map(|i| (code >> (2 * i)) & 3).collect();
            let x = Tensor::new(DataType::U8, vec![3], data.clone());
            let max = data.iter().max().unwrap();
            let first = data.iter().position(|v| v == max).unwrap() as i64;
            let last = data.iter().rposition(|v| v == max).unwrap() as i64;
            assert_eq!(ArgMax::new(0, false).eval(&[&x]).unwrap()[0].data, [first]);
            assert_eq!(ArgMax::new(0, true).eval(&[&x]).unwrap()[0].data, [last]);
        }
    }

    #[test]
    fn rejects_every_lie() {
        for last in [false, true] {
            let score = testing::mutate_operator(
                Arc::new(ArgMax::new(1, last)),
                &[narrow(vec![1, 6], 2)],
                3,
            );
            assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
            assert!(score.mutants > 100, "{}", score.mutants);
        }
    }

    #[test]
    fn rejects_missing_axes_and_wide_types() {
        let op = ArgMax::new(1, false);
        assert!(op.facts(&[&Fact::any(DataType::I8, vec![4])]).is_err());
        assert!(
            op.facts(&[&Fact::any(DataType::I8, vec![1, 5000])])
                .is_err()
        );
        assert!(op.facts(&[&Fact::any(DataType::I64, vec![1, 5])]).is_err());
        assert!(op.facts(&[&wide(&[1, 65], 0)]).is_err());
        assert!(op.facts(&[]).is_err());
    }
}
