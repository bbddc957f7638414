//! `quorum`: whether enough elements of a row are large enough.
//!
//! `y = 1` if `#{ j : x[…, j] ≥ threshold } ≥ quorum`, otherwise 0; the last axis keeps extent one. The result is a
//! boolean. Inputs have at most 16 bits.
//!
//! # Circuit
//!
//! | cell  | equation                                   | block              |
//! | ----- | ------------------------------------------ | ------------------ |
//! | `v_j` | 1 if `x_j ≥ threshold`, otherwise 0        | step of two pieces |
//! | `y`   | 1 if `Σ_j v_j ≥ quorum`, otherwise 0       | step of two pieces |
//!
//! **Assumes** nothing but the bounds of the cells `x_j`. **Guarantees** one `y` for each row: a step function has one
//! value at each point of its domain, and its domain is what the form can reach. **Needs** both steps.

use std::sync::Arc;

use zkonnx_circuits::lower::{LinearForms, LowerError, Lowering, StepRule, Wires};
use zkonnx_circuits::ops::reach;
use zkonnx_circuits::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor,
};

/// The identity, which also stands in every program that holds the operator.
pub(crate) const ID: OpId = OpId {
    domain: "org.example",
    name: "quorum",
    version: 1,
};
const NAME: &str = ID.name;

/// Whether at least `quorum` elements along the last axis are at least `threshold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    threshold: i64,
    quorum: usize,
}

impl Quorum {
    /// A vote of the elements that are at least `threshold`.
    pub fn new(threshold: i64, quorum: usize) -> Self {
        Self { threshold, quorum }
    }

    /// The threshold (8 bytes), then the quorum (a count).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self::new(reader.i64()?, reader.count()?)))
    }

    fn decide(&self, votes: i64) -> i64 {
        i64::from(votes >= self.quorum as i64)
    }
}

/// The extent of the last axis, and the shape with one in its place.
fn shape(x: &[usize]) -> Result<(usize, Vec<usize>), OpError> {
    match x.split_last() {
        Some((&extent, outer)) if extent > 0 => Ok((extent, [outer, &[1]].concat())),
        _ => Err(OpError::Shape {
            op: NAME,
            expected: "one axis or more, none of them empty",
            got: x.to_vec(),
        }),
    }
}

fn only<'a, T>(inputs: &[&'a T]) -> Result<&'a T, OpError> {
    match inputs {
        [x] => Ok(x),
        _ => Err(OpError::Arity {
            op: NAME,
            expected: 1,
            got: inputs.len(),
        }),
    }
}

impl Operator for Quorum {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(inputs)?;
        if x.dtype.width() > 16 {
            return Err(OpError::Type {
                op: NAME,
                got: x.dtype,
            });
        }
        let (_, shape) = shape(&x.shape)?;
        Ok(vec![Fact::any(DataType::Bool, shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(inputs)?;
        let (extent, shape) = shape(&x.shape)?;
        let votes = |row: &[i64]| row.iter().filter(|&&v| v >= self.threshold).count() as i64;
        let rows = x.data.chunks(extent);
        let data = rows.map(|row| self.decide(votes(row))).collect();
        Ok(vec![Tensor::new(DataType::Bool, shape, data)])
    }

    fn describe(&self) -> String {
        format!("{} of {} or more", self.quorum, self.threshold)
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.threshold);
        out.count(self.quorum);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let vote = |v: i64| i64::from(v >= self.threshold);
        let vote = StepRule::monotone(reach(cx, NAME, &inputs[0])?, None, vote);
        let votes = cx.steps(&inputs[0], vec![Arc::new(vote)], |_| 0)?;
        // `facts` has accepted the shape, so there is a last axis.
        let extent = facts[0].shape.last().copied().unwrap_or(1);
        let rows = votes.len() / extent;
        let sums = cx.linear(NAME, &votes, Arc::new(Sums { rows, extent }))?;
        let domain = Range::new(0, extent as i64);
        let decide = StepRule::monotone(domain, None, |votes| self.decide(votes));
        Ok(vec![cx.steps(&sums, vec![Arc::new(decide)], |_| 0)?])
    }
}

/// The sum of each row.
#[derive(Debug)]
struct Sums {
    rows: usize,
    extent: usize,
}

impl LinearForms for Sums {
    fn grid(&self) -> Vec<usize> {
        vec![self.rows]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        (0..self.extent).for_each(|j| f(out * self.extent + j, 1));
    }

    fn constant(&self, _: usize) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zkonnx_circuits::testing::{check_operator, mutate_operator};

    fn small(shape: Vec<usize>) -> Fact {
        Fact {
            range: Range::new(0, 3),
            ..Fact::any(DataType::U8, shape)
        }
    }

    #[test]
    fn accepts_every_threshold_and_quorum() {
        for threshold in [-1, 0, 2, 3, 4] {
            for quorum in [0, 1, 3, 4] {
                let op = Quorum::new(threshold, quorum);
                check_operator(&op, &[small(vec![4, 3])], Quorum::decode, 12);
            }
        }
    }

    #[test]
    fn rejects_every_lie() {
        let score = mutate_operator(Arc::new(Quorum::new(2, 2)), &[small(vec![2, 4])], 3);
        assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
    }

    #[test]
    fn rejects_scalars_and_wide_types() {
        let op = Quorum::new(1, 1);
        assert!(op.facts(&[&small(vec![])]).is_err());
        assert!(op.facts(&[&Fact::any(DataType::I32, vec![2])]).is_err());
    }
}
