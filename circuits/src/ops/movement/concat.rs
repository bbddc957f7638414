//! `concat`: tensors joined along an axis.

use super::{Movement, Source};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId, elements};

/// Tensors joined along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Movement for Concat {
    const ID: OpId = super::super::id("concat");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let op = Self::ID.name;
        let Some(first) = inputs.first() else {
            return Err(OpError::Arity {
                op,
                expected: 1,
                got: 0,
            });
        };
        if self.axis >= first.len() {
            return Err(OpError::Shape {
                op,
                expected: "the axis exists",
                got: first.to_vec(),
            });
        }
        let mut shape = first.to_vec();
        shape[self.axis] = 0;
        for input in inputs {
            let fits = input.len() == first.len()
                && (0..first.len()).all(|d| d == self.axis || input[d] == first[d]);
            if !fits {
                let expected = "all extents but that of the axis agree";
                return Err(OpError::Shape {
                    op,
                    expected,
                    got: input.to_vec(),
                });
            }
            shape[self.axis] = shape[self.axis].saturating_add(input[self.axis]);
        }
        Ok(shape)
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let outer = elements(&inputs[0][..self.axis]);
        let mut sources = Vec::new();
        for block in 0..outer {
            for (input, shape) in inputs.iter().enumerate() {
                let len = elements(&shape[self.axis..]);
                sources.extend((0..len).map(|i| Source::Element {
                    input,
                    index: block * len + i,
                }));
            }
        }
        Ok(sources)
    }

    fn describe(&self) -> String {
        format!("axis {}", self.axis)
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            axis: reader.count()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator};

    #[test]
    fn accepts_tensors_of_different_extent_along_the_axis() {
        let op = Move(Concat { axis: 1 });
        let facts = [vec![2, 1, 3], vec![2, 4, 3]].map(|shape| Fact::any(DataType::U8, shape));
        testing::check(&op, &facts, Move::<Concat>::decode, 4);
    }

    #[test]
    fn rejects_other_extents_types_and_axes() {
        let op = Move(Concat { axis: 1 });
        let fact = |shape| Fact::any(DataType::U8, shape);
        assert!(op.facts(&[&fact(vec![2, 1]), &fact(vec![3, 1])]).is_err());
        assert!(op.facts(&[&fact(vec![2])]).is_err());
        assert!(op.facts(&[]).is_err());
        assert!(
            op.facts(&[&fact(vec![2, 1]), &Fact::any(DataType::I8, vec![2, 1])])
                .is_err()
        );
    }
}
