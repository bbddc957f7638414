//! `pad`: a border of a constant around a tensor.

use super::{Movement, Source, each_index, only, strides};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId, Range};

/// A border of a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Indices added before each axis.
    pub before: Vec<usize>,
    /// Indices added after each axis.
    pub after: Vec<usize>,
    /// The constant.
    pub value: i64,
}

impl Movement for Pad {
    const ID: OpId = super::super::id("pad");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        if self.before.len() != x.len() || self.after.len() != x.len() {
            let expected = "there is padding for each axis";
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        let extent = |d: usize| {
            x[d].saturating_add(self.before[d])
                .saturating_add(self.after[d])
        };
        Ok((0..x.len()).map(extent).collect())
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let widths = strides(inputs[0]);
        let shape = self.shape(inputs)?;
        let mut sources = Vec::new();
        each_index(&shape, |at| {
            let place = |d: usize| {
                at[d]
                    .checked_sub(self.before[d])
                    .filter(|&i| i < inputs[0][d])
            };
            let index: Option<usize> = (0..at.len()).map(|d| Some(place(d)? * widths[d])).sum();
            sources.push(match index {
                Some(index) => Source::Element { input: 0, index },
                None => Source::Constant(self.value),
            });
        });
        Ok(sources)
    }

    fn describe(&self) -> String {
        format!(
            "{:?} before and {:?} after with {}",
            self.before, self.after, self.value
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.before);
        out.counts(&self.after);
        out.i64(self.value);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            before: reader.counts()?,
            after: reader.counts()?,
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
    fn accepts_borders_of_different_width() {
        let op = Move(Pad {
            before: vec![1, 0],
            after: vec![0, 2],
            value: 7,
        });
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![2, 3])],
            Move::<Pad>::decode,
            4,
        );
    }

    #[test]
    fn rejects_a_constant_outside_the_type_and_huge_borders() {
        let fact = Fact::any(DataType::U8, vec![2]);
        let op = Move(Pad {
            before: vec![1],
            after: vec![0],
            value: 256,
        });
        assert!(op.facts(&[&fact]).is_err());
        let op = Move(Pad {
            before: vec![usize::MAX],
            after: vec![1],
            value: 0,
        });
        assert!(op.facts(&[&fact]).is_err());
    }
}
