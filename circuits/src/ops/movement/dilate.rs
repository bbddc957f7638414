//! `dilate`: a constant between neighbouring elements; with a convolution after it, a transposed convolution.

use super::{Movement, Source, each_index, only, strides};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId, Range};

/// Element `i` of an axis moves to `i · step`; the places between hold a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dilate {
    /// Distance between neighbours along each axis, at least one.
    pub steps: Vec<usize>,
    /// The constant.
    pub value: i64,
}

impl Movement for Dilate {
    const ID: OpId = super::super::id("dilate");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        if self.steps.len() != x.len() || self.steps.contains(&0) || x.contains(&0) {
            let expected = "there is a distance for each axis";
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        let extent = |d: usize| (x[d] - 1).saturating_mul(self.steps[d]).saturating_add(1);
        Ok((0..x.len()).map(extent).collect())
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let widths = strides(inputs[0]);
        let shape = self.shape(inputs)?;
        let mut sources = Vec::new();
        each_index(&shape, |at| {
            let inside = (0..at.len()).all(|d| at[d].is_multiple_of(self.steps[d]));
            sources.push(match inside {
                true => Source::Element {
                    input: 0,
                    index: (0..at.len())
                        .map(|d| at[d] / self.steps[d] * widths[d])
                        .sum(),
                },
                false => Source::Constant(self.value),
            });
        });
        Ok(sources)
    }

    fn describe(&self) -> String {
        format!("by {:?} with {} between", self.steps, self.value)
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.steps);
        out.i64(self.value);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            steps: reader.counts()?,
            value: reader.i64()?,
        })
    }

    fn constants(&self) -> Option<Range> {
        Some(Range::new(self.value, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator};

    #[test]
    fn accepts_different_distances() {
        let op = Move(Dilate {
            steps: vec![1, 2, 3],
            value: 9,
        });
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![2, 3, 2])],
            Move::<Dilate>::decode,
            4,
        );
    }

    #[test]
    fn rejects_a_distance_of_zero() {
        let op = Move(Dilate {
            steps: vec![0],
            value: 9,
        });
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![2])]).is_err());
    }
}
