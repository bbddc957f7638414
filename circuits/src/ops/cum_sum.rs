//! `cum_sum`: running sums along an axis.
//!
//! `y[j] = Σ (x[i] − x_zero)` over `i ≤ j`, or `i < j` if the element itself is left out, or `i ≥ j` and `i > j` if the
//! sums run from the end.
//!
//! # Circuit
//!
//! One linear form for each output, all coefficients one. No cell is made. **Assumes** bounded cells. **Guarantees**
//! exact sums. **Needs** an equation that reads the form, which is where it is proved.

use std::sync::Arc;

use super::{accepted, bounded, only};
use crate::lower::{LinearForms, LowerError, Lowering, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("cum_sum");
const NAME: &str = ID.name;

/// Longest axis: the forms have half of its square as terms.
const MAX_EXTENT: usize = 1024;

/// Running sums along an axis; the output has type `i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumSum {
    axis: usize,
    exclusive: bool,
    reverse: bool,
    x_zero: i64,
}

impl CumSum {
    /// Sums along `axis` of the elements less `x_zero`: without the element itself if `exclusive`, from the end if
    /// `reverse`.
    pub fn new(axis: usize, exclusive: bool, reverse: bool, x_zero: i64) -> Result<Self, OpError> {
        if !Range::of(DataType::I32).contains(x_zero) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the zero point",
            });
        }
        Ok(Self {
            axis,
            exclusive,
            reverse,
            x_zero,
        })
    }

    /// Axis (count), exclusive and reverse (flags), zero point (i64).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let axis = reader.count()?;
        let (exclusive, reverse) = (reader.flag()?, reader.flag()?);
        let x_zero = reader.i64()?;
        Ok(Arc::new(Self::new(axis, exclusive, reverse, x_zero)?))
    }

    /// The extent of the axis, and how far apart its elements are.
    fn line(&self, shape: &[usize]) -> Result<(usize, usize), OpError> {
        let bad = |expected| OpError::Shape {
            op: NAME,
            expected,
            got: shape.to_vec(),
        };
        let extent = *shape.get(self.axis).ok_or(bad("the axis exists"))?;
        if extent > MAX_EXTENT {
            return Err(bad("the axis has at most 1024 elements"));
        }
        Ok((extent, elements(&shape[self.axis + 1..])))
    }

    /// The indices along the axis that are summed for index `j`.
    fn summed(&self, j: usize, extent: usize) -> std::ops::Range<usize> {
        match (self.reverse, self.exclusive) {
            (false, false) => 0..j + 1,
            (false, true) => 0..j,
            (true, false) => j..extent,
            (true, true) => j + 1..extent,
        }
    }
}

impl Operator for CumSum {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let (extent, _) = self.line(&x.shape)?;
        // The longest sum, and the shortest.
        let most = extent.saturating_sub(usize::from(self.exclusive)) as i128;
        let least = i128::from(!self.exclusive);
        let [lo, hi, zero] = [x.range.lo, x.range.hi, self.x_zero].map(i128::from);
        let (a, b) = (lo - zero, hi - zero);
        let lo = (a * most).min(a * least);
        let hi = (b * most).max(b * least);
        let shape = x.shape.clone();
        Ok(vec![bounded(NAME, DataType::I32, shape, lo, hi)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let (extent, inner) = self.line(&x.shape)?;
        let sum = |i: usize| {
            let j = i / inner % extent;
            let first = i - j * inner;
            let summed = self.summed(j, extent);
            summed
                .map(|k| x.data[first + k * inner] - self.x_zero)
                .sum()
        };
        let data = (0..x.data.len()).map(sum).collect();
        Ok(vec![Tensor::new(DataType::I32, x.shape.clone(), data)])
    }

    fn describe(&self) -> String {
        let what = if self.exclusive { ", exclusive" } else { "" };
        let from = if self.reverse { ", from the end" } else { "" };
        format!("axis {}{what}{from}, zero point {}", self.axis, self.x_zero)
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
        out.flag(self.exclusive);
        out.flag(self.reverse);
        out.i64(self.x_zero);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shape = &facts[0].shape;
        let (extent, inner) = accepted(NAME, self.line(shape))?;
        let forms = Sums {
            op: *self,
            len: elements(shape),
            extent,
            inner,
        };
        Ok(vec![cx.linear(NAME, &inputs[0], Arc::new(forms))?])
    }
}

/// The sums as linear forms; grid: the elements.
#[derive(Debug)]
struct Sums {
    op: CumSum,
    len: usize,
    extent: usize,
    inner: usize,
}

impl Sums {
    fn index(&self, out: usize) -> usize {
        out / self.inner % self.extent
    }
}

impl LinearForms for Sums {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        let j = self.index(out);
        let first = out - j * self.inner;
        for k in self.op.summed(j, self.extent) {
            f(first + k * self.inner, 1);
        }
    }

    fn constant(&self, out: usize) -> i64 {
        -self.op.x_zero * self.op.summed(self.index(out), self.extent).len() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_operator, mutate_operator};

    #[test]
    fn accepts_all_four_directions() {
        let x = Tensor::new(DataType::U8, vec![2, 3], vec![1, 2, 3, 4, 5, 6]);
        let sums = |axis, exclusive, reverse| {
            let op = CumSum::new(axis, exclusive, reverse, 0).unwrap();
            op.eval(&[&x]).unwrap()[0].data.clone()
        };
        assert_eq!(sums(1, false, false), [1, 3, 6, 4, 9, 15]);
        assert_eq!(sums(1, true, false), [0, 1, 3, 0, 4, 9]);
        assert_eq!(sums(1, false, true), [6, 5, 3, 15, 11, 6]);
        assert_eq!(sums(0, true, true), [4, 5, 6, 0, 0, 0]);
    }

    #[test]
    fn accepts_random_inputs_and_no_lie() {
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let op = CumSum::new(1, exclusive, reverse, 2).unwrap();
            let facts = [Fact {
                dtype: DataType::I8,
                shape: vec![2, 4, 2],
                range: Range::new(-3, 4),
            }];
            check_operator(&op, &facts, CumSum::decode, 20);
            let score = mutate_operator(Arc::new(op), &facts, 1);
            assert!(score.survivors.is_empty(), "{:?}", score.survivors);
        }
    }

    #[test]
    fn rejects_an_axis_that_is_not_there_or_too_long() {
        let op = CumSum::new(1, false, false, 0).unwrap();
        for shape in [vec![4], vec![1, MAX_EXTENT + 1]] {
            assert!(op.facts(&[&Fact::any(DataType::U8, shape)]).is_err());
        }
    }

    #[test]
    fn rejects_a_zero_point_outside_int32() {
        assert!(CumSum::new(0, false, false, 1 << 31).is_err());
    }
}
