//! `one_hot`: indices as rows of truths.
//!
//! With a new axis of extent `n`, `y[…, j, …] = 1` if `x = j` or `x = j − n`, else 0: an index below zero counts from
//! the end, and one outside `−n..n` gives a row of zeros.
//!
//! # Circuit
//!
//! One form `x − j` for each output, and one step function for all of them that is 1 at 0 and at `−n` and 0 elsewhere,
//! on all that the circuit lets `x − j` be. **Assumes** bounded cells. **Guarantees** one `y` for each `x`. **Needs**
//! the step: it is what makes the cell.

use std::sync::Arc;

use super::{check_size, only, reach};
use crate::lower::{LinearForms, LowerError, Lowering, StepRule, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("one_hot");
const NAME: &str = ID.name;

/// Longest new axis.
const MAX_DEPTH: usize = 4096;
/// Widest range of the indices: the step function is enumerated.
const MAX_WIDTH: i64 = 1 << 16;

/// Indices as rows of booleans along a new axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    axis: usize,
    depth: usize,
}

impl OneHot {
    /// Rows of `depth` elements along the new axis `axis`.
    pub fn new(axis: usize, depth: usize) -> Result<Self, OpError> {
        match depth {
            1..=MAX_DEPTH => Ok(Self { axis, depth }),
            _ => Err(OpError::Parameter {
                op: NAME,
                parameter: "the depth",
            }),
        }
    }

    /// Axis, depth (counts).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let axis = reader.count()?;
        Ok(Arc::new(Self::new(axis, reader.count()?)?))
    }

    fn shape(&self, of: &[usize]) -> Result<Vec<usize>, OpError> {
        if self.axis > of.len() {
            return Err(OpError::Rank {
                op: NAME,
                expected: self.axis,
                got: of.len(),
            });
        }
        let mut shape = of.to_vec();
        shape.insert(self.axis, self.depth);
        check_size(NAME, &shape)?;
        Ok(shape)
    }

    /// For an output, the input that it is about, and its index along the new axis.
    fn place(&self, shape: &[usize]) -> impl Fn(usize) -> (usize, usize) + use<> {
        let (depth, inner) = (self.depth, elements(&shape[self.axis..]).max(1));
        move |out| {
            let (line, rest) = (out / inner, out % inner);
            (line / depth * inner + rest, line % depth)
        }
    }

    fn hit(&self, difference: i64) -> i64 {
        i64::from(difference == 0 || difference == -(self.depth as i64))
    }
}

impl Operator for OneHot {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        if x.range.span() >= MAX_WIDTH as u64 {
            return Err(OpError::Type {
                op: NAME,
                got: x.dtype,
            });
        }
        Ok(vec![Fact {
            dtype: DataType::Bool,
            shape: self.shape(&x.shape)?,
            range: Range::new(0, 1),
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let place = self.place(&x.shape);
        let value = |out| {
            let (element, j) = place(out);
            self.hit(x.data[element] - j as i64)
        };
        let data = (0..elements(&shape)).map(value).collect();
        Ok(vec![Tensor::new(DataType::Bool, shape, data)])
    }

    fn describe(&self) -> String {
        format!("{} along axis {}", self.depth, self.axis)
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
        out.count(self.depth);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let of = &facts[0].shape;
        let places: Vec<(usize, usize)> = {
            let place = self.place(of);
            (0..elements(of) * self.depth).map(place).collect()
        };
        let range = reach(cx, NAME, &inputs[0])?;
        let forms = cx.linear(NAME, &inputs[0], Arc::new(Differences(places)))?;
        StepRule::check_enumerable(range)?;
        let domain = Range::new(range.lo - self.depth as i64 + 1, range.hi);
        let rule = StepRule::table(domain, |difference| self.hit(difference))?;
        Ok(vec![cx.steps(&forms, vec![Arc::new(rule)], |_| 0)?])
    }
}

/// `x[element] − j` for each pair; grid: the pairs.
#[derive(Debug)]
struct Differences(Vec<(usize, usize)>);

impl LinearForms for Differences {
    fn grid(&self) -> Vec<usize> {
        vec![self.0.len()]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(self.0[out].0, 1);
    }

    fn constant(&self, out: usize) -> i64 {
        -(self.0[out].1 as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_operator, mutate_operator};

    fn indices(shape: &[usize], lo: i64, hi: i64) -> Fact {
        Fact {
            dtype: DataType::I64,
            shape: shape.to_vec(),
            range: Range::new(lo, hi),
        }
    }

    #[test]
    fn accepts_indices_from_both_ends_and_outside() {
        let x = Tensor::new(DataType::I64, vec![4], vec![2, -1, 3, -4]);
        let op = OneHot::new(1, 3).unwrap();
        let y = &op.eval(&[&x]).unwrap()[0];
        assert_eq!(y.shape, [4, 3]);
        assert_eq!(y.data, [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn accepts_every_axis_and_no_lie() {
        for axis in 0..3 {
            let op = OneHot::new(axis, 3).unwrap();
            let facts = [indices(&[2, 2], -4, 4)];
            check_operator(&op, &facts, OneHot::decode, 20);
            let score = mutate_operator(Arc::new(op), &facts, 1);
            assert!(score.survivors.is_empty(), "{:?}", score.survivors);
        }
    }

    #[test]
    fn rejects_a_depth_of_zero_and_an_axis_that_is_not_there() {
        assert!(OneHot::new(0, 0).is_err());
        assert!(OneHot::new(0, MAX_DEPTH + 1).is_err());
        let op = OneHot::new(2, 3).unwrap();
        assert!(op.facts(&[&indices(&[4], 0, 2)]).is_err());
    }

    #[test]
    fn rejects_indices_of_a_wide_range() {
        let op = OneHot::new(0, 3).unwrap();
        assert!(op.facts(&[&indices(&[4], 0, MAX_WIDTH)]).is_err());
        assert!(op.facts(&[&Fact::any(DataType::I64, vec![4])]).is_err());
    }
}
