//! `expand`: axes of extent one are repeated, as numpy's broadcasting does.

use super::{Movement, Source, only};
use crate::ops::weighted_sum::{broadcast, broadcast_places};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId};

/// Broadcast to a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expand {
    /// The shape of the output.
    pub shape: Vec<usize>,
}

impl Movement for Expand {
    const ID: OpId = super::super::id("expand");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        if broadcast(x, &self.shape).as_deref() != Some(self.shape.as_slice()) {
            let expected = "it broadcasts to the shape";
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        Ok(self.shape.clone())
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let places = broadcast_places(&self.shape, inputs[0]);
        let element = |index| Source::Element { input: 0, index };
        Ok(places.into_iter().map(element).collect())
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
    fn accepts_axes_of_extent_one() {
        let op = Move(Expand {
            shape: vec![2, 3, 4],
        });
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![3, 1])],
            Move::<Expand>::decode,
            4,
        );
    }

    #[test]
    fn rejects_shapes_that_it_does_not_broadcast_to() {
        let op = Move(Expand { shape: vec![2, 3] });
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![2])]).is_err());
        assert!(
            op.facts(&[&Fact::any(DataType::U8, vec![1, 2, 3])])
                .is_err()
        );
    }
}
