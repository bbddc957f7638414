//! `maximum`: the largest of several tensors, element by element, broadcast against each other.
//!
//! `y[i] = max_j x_j[i]`. All inputs have one type and, in a quantized model, one scale.
//!
//! # Circuit
//!
//! One maximum for each element. **Assumes** bounded cells. **Guarantees** the largest of the elements that meet: the
//! maximum is no smaller than any of them, and equal to one. **Needs** one type for all inputs, which `facts` checks, so
//! that cells are counted from one offset.

use std::sync::Arc;

use super::weighted_sum::{broadcast, broadcast_places};
use super::{accepted, check_size};
use crate::lower::{LowerError, Lowering, Wires};
use crate::program::{DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor};

pub(super) const ID: OpId = super::id("maximum");
const NAME: &str = ID.name;

/// Elementwise maximum of two or more inputs of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maximum;

impl Maximum {
    /// It has no parameters.
    pub fn decode(_: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self))
    }
}

fn common(inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    let mut shape: Vec<usize> = Vec::new();
    for input in inputs {
        let expected = "the inputs broadcast";
        shape = broadcast(&shape, input).ok_or(OpError::Shape {
            op: NAME,
            expected,
            got: input.to_vec(),
        })?;
    }
    check_size(NAME, &shape)?;
    Ok(shape)
}

impl Operator for Maximum {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let Some(first) = inputs.first().filter(|_| inputs.len() > 1) else {
            return Err(OpError::Arity {
                op: NAME,
                expected: 2,
                got: inputs.len(),
            });
        };
        if let Some(other) = inputs.iter().find(|x| x.dtype != first.dtype) {
            return Err(OpError::Type {
                op: NAME,
                got: other.dtype,
            });
        }
        let shape = common(
            &inputs
                .iter()
                .map(|x| x.shape.as_slice())
                .collect::<Vec<_>>(),
        )?;
        let largest = |r: Range, x: &&Fact| Range::new(r.lo.max(x.range.lo), r.hi.max(x.range.hi));
        Ok(vec![Fact {
            dtype: first.dtype,
            shape,
            range: inputs.iter().fold(first.range, largest),
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let Some(first) = inputs.first() else {
            return Err(OpError::Arity {
                op: NAME,
                expected: 2,
                got: 0,
            });
        };
        let shape = common(
            &inputs
                .iter()
                .map(|x| x.shape.as_slice())
                .collect::<Vec<_>>(),
        )?;
        let mut data = vec![i64::MIN; crate::program::elements(&shape)];
        for x in inputs {
            for (y, place) in data.iter_mut().zip(broadcast_places(&shape, &x.shape)) {
                *y = (*y).max(x.data[place]);
            }
        }
        Ok(vec![Tensor::new(first.dtype, shape, data)])
    }

    fn encode(&self, _: &mut Encoder) {}

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shapes: Vec<&[usize]> = facts.iter().map(|x| x.shape.as_slice()).collect();
        let shape = accepted(NAME, common(&shapes))?;
        let mut windows = vec![Wires::new(); crate::program::elements(&shape)];
        for (wires, fact) in inputs.iter().zip(facts) {
            for (window, place) in windows
                .iter_mut()
                .zip(broadcast_places(&shape, &fact.shape))
            {
                window.push(wires[place]);
            }
        }
        Ok(vec![cx.max(NAME, windows)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;
    use crate::program::DataType;

    #[test]
    fn accepts_inputs_that_broadcast() {
        let facts = [vec![2, 3], vec![3], vec![2, 1]].map(|shape| Fact::any(DataType::I8, shape));
        testing::check(&Maximum, &facts, Maximum::decode, 10);
    }

    #[test]
    fn rejects_one_input_and_different_types() {
        let fact = Fact::any(DataType::I8, vec![2]);
        assert!(Maximum.facts(&[&fact]).is_err());
        assert!(
            Maximum
                .facts(&[&fact, &Fact::any(DataType::U8, vec![2])])
                .is_err()
        );
        assert!(
            Maximum
                .facts(&[&fact, &Fact::any(DataType::I8, vec![3])])
                .is_err()
        );
    }
}
