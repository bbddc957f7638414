//! `transpose`: axes in another order. Axis `d` of the output is axis `perm[d]` of the input.

use super::{Movement, Source, each_index, only, strides};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId};

/// Axes in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// The axis of the input that becomes each axis of the output.
    pub perm: Vec<usize>,
}

impl Movement for Transpose {
    const ID: OpId = super::super::id("transpose");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.len()) {
            let expected = "the permutation names every axis once";
            return Err(OpError::Shape {
                op: Self::ID.name,
                expected,
                got: x.to_vec(),
            });
        }
        Ok(self.perm.iter().map(|&axis| x[axis]).collect())
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let steps = strides(inputs[0]);
        let shape: Vec<usize> = self.perm.iter().map(|&axis| inputs[0][axis]).collect();
        let mut sources = Vec::new();
        each_index(&shape, |at| {
            let index = at
                .iter()
                .zip(&self.perm)
                .map(|(i, &axis)| i * steps[axis])
                .sum();
            sources.push(Source::Element { input: 0, index });
        });
        Ok(sources)
    }

    fn describe(&self) -> String {
        format!("axes {:?}", self.perm)
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.perm);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            perm: reader.counts()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator, Tensor};

    #[test]
    fn accepts_every_order_of_axes() {
        for perm in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let op = Move(Transpose {
                perm: perm.to_vec(),
            });
            testing::check(
                &op,
                &[Fact::any(DataType::U8, vec![2, 3, 4])],
                Move::<Transpose>::decode,
                4,
            );
        }
        let x = Tensor::new(DataType::U8, vec![2, 3], (0..6).collect());
        let y = Move(Transpose { perm: vec![1, 0] }).eval(&[&x]).unwrap();
        assert_eq!(y[0].data, [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn rejects_what_is_not_a_permutation() {
        for perm in [vec![0, 0], vec![0], vec![0, 2]] {
            assert!(
                Move(Transpose { perm })
                    .facts(&[&Fact::any(DataType::U8, vec![2, 3])])
                    .is_err()
            );
        }
    }
}
