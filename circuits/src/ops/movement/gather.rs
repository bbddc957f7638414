//! `gather`: the listed indices of an axis, in the listed order; an index may occur more than once or not at all.

use super::{Movement, Source, only};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId, elements};

/// Constant indices along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
    /// The indices.
    pub indices: Vec<usize>,
}

impl Movement for Gather {
    const ID: OpId = super::super::id("gather");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        let exists = |extent: &usize| self.indices.iter().all(|i| i < extent);
        if !x.get(self.axis).is_some_and(exists) {
            let expected = "the axis and every index exist";
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        let mut shape = x.to_vec();
        shape[self.axis] = self.indices.len();
        Ok(shape)
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let (outer, extent) = (elements(&inputs[0][..self.axis]), inputs[0][self.axis]);
        let inner = elements(&inputs[0][self.axis + 1..]);
        let mut sources = Vec::new();
        for block in 0..outer {
            for &i in &self.indices {
                let first = (block * extent + i) * inner;
                sources.extend(
                    (first..first + inner).map(|index| Source::Element { input: 0, index }),
                );
            }
        }
        Ok(sources)
    }

    fn describe(&self) -> String {
        let shown: Vec<String> = self.indices.iter().take(8).map(usize::to_string).collect();
        let more = if self.indices.len() > 8 { ", …" } else { "" };
        format!(
            "axis {}, {} indices: {}{more}",
            self.axis,
            self.indices.len(),
            shown.join(", ")
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
        out.counts(&self.indices);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            axis: reader.count()?,
            indices: reader.counts()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator};

    #[test]
    fn accepts_repeated_indices() {
        let op = Move(Gather {
            axis: 1,
            indices: vec![2, 0, 2, 1],
        });
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![2, 3, 2])],
            Move::<Gather>::decode,
            4,
        );
    }

    #[test]
    fn rejects_indices_and_axes_that_do_not_exist() {
        for (axis, index) in [(0, 2), (1, 3), (2, 0)] {
            let op = Move(Gather {
                axis,
                indices: vec![index],
            });
            assert!(op.facts(&[&Fact::any(DataType::U8, vec![2, 3])]).is_err());
        }
    }
}
