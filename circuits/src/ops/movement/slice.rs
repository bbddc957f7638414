//! `slice`: every `step`-th index along each axis, from `start` on; steps may be negative.

use super::{Movement, Source, each_index, only, strides};
use crate::program::{DecodeError, Decoder, Encoder, OpError, OpId};

/// A regular selection of indices along every axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First index along each axis.
    pub starts: Vec<usize>,
    /// Distance between indices along each axis, not zero.
    pub steps: Vec<i64>,
    /// Number of indices along each axis.
    pub extents: Vec<usize>,
}

impl Slice {
    fn missing(&self, of: &[usize]) -> OpError {
        OpError::Shape {
            op: Self::ID.name,
            expected: "every selected index exists",
            got: of.to_vec(),
        }
    }

    /// The index that becomes index `i` of axis `d`.
    fn place(&self, d: usize, i: usize) -> Option<usize> {
        let offset = i64::try_from(i).ok()?.checked_mul(self.steps[d])?;
        let place = i64::try_from(self.starts[d]).ok()?.checked_add(offset)?;
        usize::try_from(place).ok()
    }
}

impl Movement for Slice {
    const ID: OpId = super::super::id("slice");

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        let x = only(Self::ID.name, inputs)?;
        let rank = x.len();
        let lengths =
            self.starts.len() == rank && self.steps.len() == rank && self.extents.len() == rank;
        let within = |d: usize| {
            let last = self.extents[d]
                .checked_sub(1)
                .and_then(|last| self.place(d, last));
            self.steps[d] != 0 && self.starts[d] < x[d] && last.is_some_and(|last| last < x[d])
        };
        if lengths && (0..rank).all(within) {
            return Ok(self.extents.clone());
        }
        Err(self.missing(x))
    }

    fn sources(&self, inputs: &[&[usize]]) -> Result<Vec<Source>, OpError> {
        let widths = strides(inputs[0]);
        let mut sources = Some(Vec::new());
        each_index(&self.extents, |at| {
            let place = |d: usize| Some(self.place(d, at[d])? * widths[d]);
            let index: Option<usize> = (0..at.len()).map(place).sum();
            let list = sources.take().zip(index);
            sources = list.map(|(mut list, index)| {
                list.push(Source::Element { input: 0, index });
                list
            });
        });
        sources.ok_or_else(|| self.missing(inputs[0]))
    }

    fn describe(&self) -> String {
        format!(
            "from {:?} by {:?}, {:?} of them",
            self.starts, self.steps, self.extents
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.starts);
        out.ints(&self.steps);
        out.counts(&self.extents);
    }

    fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            starts: reader.counts()?,
            steps: reader.ints()?,
            extents: reader.counts()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Move, testing};
    use crate::program::{DataType, Fact, Operator, Tensor};

    fn slice(starts: &[usize], steps: &[i64], extents: &[usize]) -> Move<Slice> {
        Move(Slice {
            starts: starts.to_vec(),
            steps: steps.to_vec(),
            extents: extents.to_vec(),
        })
    }

    #[test]
    fn accepts_steps_of_both_signs() {
        let op = slice(&[3, 1], &[-2, 1], &[2, 2]);
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![4, 3])],
            Move::<Slice>::decode,
            4,
        );
        let x = Tensor::new(DataType::U8, vec![4, 3], (0..12).collect());
        assert_eq!(op.eval(&[&x]).unwrap()[0].data, [10, 11, 4, 5]);
    }

    #[test]
    fn rejects_indices_that_do_not_exist() {
        let fact = Fact::any(DataType::U8, vec![4, 3]);
        for op in [
            slice(&[3, 1], &[-2, 1], &[3, 2]),
            slice(&[4, 0], &[1, 1], &[1, 1]),
            slice(&[0, 0], &[0, 1], &[1, 1]),
            slice(&[0], &[1], &[1]),
            slice(&[0, 0], &[i64::MAX, 1], &[3, 1]),
        ] {
            assert!(op.facts(&[&fact]).is_err(), "{op:?}");
        }
    }
}
