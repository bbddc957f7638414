//! `constant`: a tensor of the model.
//!
//! # Circuit
//!
//! Its elements are constants of the equations that use them, hence in fixed columns and part of the verifying key; it
//! costs no rows, and there is no cell that a prover could choose.

use std::sync::Arc;

use super::check_size;
use crate::lower::{LowerError, Lowering, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("constant");
const NAME: &str = ID.name;

/// A constant tensor; an operator without inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    dtype: DataType,
    shape: Vec<usize>,
    data: Vec<i64>,
}

impl Constant {
    /// A tensor of the given elements, all within the type.
    pub fn new(dtype: DataType, shape: Vec<usize>, data: Vec<i64>) -> Result<Self, OpError> {
        check_size(NAME, &shape)?;
        let range = Range::of(dtype);
        if elements(&shape) != data.len() || !data.iter().all(|v| range.contains(*v)) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the number or range of elements",
            });
        }
        Ok(Self { dtype, shape, data })
    }

    /// Type (its code), shape (`counts`), elements (`ints`).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let dtype =
            DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"))?;
        let shape = reader.counts()?;
        Ok(Arc::new(Self::new(dtype, shape, reader.ints()?)?))
    }
}

impl Operator for Constant {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        if !inputs.is_empty() {
            return Err(OpError::Arity {
                op: NAME,
                expected: 0,
                got: inputs.len(),
            });
        }
        Ok(vec![Fact {
            dtype: self.dtype,
            shape: self.shape.clone(),
            range: super::hull(self.data.iter().copied()),
        }])
    }

    fn eval(&self, _: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![Tensor::new(
            self.dtype,
            self.shape.clone(),
            self.data.clone(),
        )])
    }

    fn encode(&self, out: &mut Encoder) {
        out.u8(self.dtype.code());
        out.counts(&self.shape);
        out.ints(&self.data);
    }

    fn lower(&self, _: &mut Lowering, _: &[Wires], _: &[&Fact]) -> Result<Vec<Wires>, LowerError> {
        Ok(vec![self.data.iter().map(|&v| Wire::Const(v)).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_its_elements() {
        let op = Constant::new(DataType::I8, vec![2, 2], vec![-128, 0, 5, 127]).unwrap();
        testing::check(&op, &[], Constant::decode, 1);
    }

    #[test]
    fn rejects_elements_outside_the_type() {
        assert!(Constant::new(DataType::I8, vec![1], vec![128]).is_err());
        assert!(Constant::new(DataType::I8, vec![2], vec![1]).is_err());
    }
}
