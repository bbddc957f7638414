//! `reshape`: the same elements in the same order under another shape.

use super::{Movement, Source, only};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId, elements};

/// The same elements under another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The new shape, with as many elements as the old one.
    pub shape: Vec<usize>,
}

impl Movement for Reshape {
    const ID: OpId = super::super::id("reshape");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        let expected = "the number of elements stays the same";
        if elements(x) != elements(&self.shape) {
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        Ok(self.shape.clone())
    }

    fn sources(&self, _: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let element = |index| Source::Element { input: 0, index };
        Ok((0..elements(&self.shape)).map(element).collect())
    }

    fn describe(&self) -> String {
        format!("to {:?}", self.shape)
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.shape);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            shape: reader.counts()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator};

    #[test]
    fn accepts_the_same_number_of_elements() {
        let op = Move(Reshape {
            shape: vec![3, 1, 2],
        });
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![2, 3])],
            Move::<Reshape>::decode,
            4,
        );
    }

    #[test]
    fn rejects_another_number_of_elements() {
        let op = Move(Reshape { shape: vec![7] });
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![2, 3])]).is_err());
    }
}
