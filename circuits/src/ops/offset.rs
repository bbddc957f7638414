//! `offset`: constants are added, one to each element.
//!
//! `y[i] = x[i] + c[i]`, of the type of `x`. It carries what is no bias: a matrix added to a product, a number added to
//! the place of an extreme.
//!
//! # Circuit
//!
//! One linear form for each output, which is one of the cells that `x` is made of. No cell is made. **Assumes** bounded
//! cells. **Guarantees** exact sums. **Needs** bounds within the type, which `facts` checks: no sum wraps around.

use std::sync::Arc;

use super::{bounded, check_size, hull, only};
use crate::lower::{Explicit, LowerError, Lowering, Wire, Wires};
use crate::program::{
    DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Tensor, elements,
};

pub(super) const ID: OpId = super::id("offset");
const NAME: &str = ID.name;

/// Adds a constant tensor of the input's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    shape: Vec<usize>,
    constants: Vec<i64>,
}

impl Offset {
    /// A constant for each element of a tensor of this shape, at most 2^40 in magnitude.
    pub fn new(shape: Vec<usize>, constants: Vec<i64>) -> Result<Self, OpError> {
        check_size(NAME, &shape)?;
        let wide = |c: &i64| c.unsigned_abs() > 1 << 40;
        if elements(&shape) != constants.len() || constants.iter().any(wide) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the number or range of constants",
            });
        }
        Ok(Self { shape, constants })
    }

    /// Shape (`counts`), constants (`ints`).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let shape = reader.counts()?;
        Ok(Arc::new(Self::new(shape, reader.ints()?)?))
    }

    fn check(&self, shape: &[usize]) -> Result<(), OpError> {
        match shape == self.shape {
            true => Ok(()),
            false => Err(OpError::Shape {
                op: NAME,
                expected: "one constant for each element",
                got: shape.to_vec(),
            }),
        }
    }
}

impl Operator for Offset {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        self.check(&x.shape)?;
        let constants = hull(self.constants.iter().copied());
        let sum = |a: i64, b: i64| i128::from(a) + i128::from(b);
        let (lo, hi) = (sum(constants.lo, x.range.lo), sum(constants.hi, x.range.hi));
        Ok(vec![bounded(NAME, x.dtype, x.shape.clone(), lo, hi)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        self.check(&x.shape)?;
        let data = x.data.iter().zip(&self.constants).map(|(x, c)| x + c);
        Ok(vec![Tensor::new(x.dtype, x.shape.clone(), data.collect())])
    }

    fn describe(&self) -> String {
        let first: Vec<String> = self.constants.iter().take(4).map(i64::to_string).collect();
        format!("constants {} …", first.join(" "))
    }

    fn encode(&self, out: &mut Encoder) {
        out.counts(&self.shape);
        out.ints(&self.constants);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        _: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let form = |(i, &c): (usize, &i64)| (vec![(i, 1)], c);
        let forms = Explicit {
            grid: match self.shape.is_empty() {
                true => vec![1],
                false => self.shape.clone(),
            },
            forms: self.constants.iter().enumerate().map(form).collect(),
        };
        let sums = cx.linear(NAME, &inputs[0], Arc::new(forms))?;
        let folded = |((&sum, &x), c): ((&Wire, &Wire), &i64)| match x {
            Wire::Const(v) => Wire::Const(v + c),
            _ => sum,
        };
        let out = sums.iter().zip(&inputs[0]).zip(&self.constants);
        Ok(vec![out.map(folded).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;
    use crate::program::{DataType, Range};

    fn wide(shape: Vec<usize>) -> Fact {
        Fact {
            dtype: DataType::I32,
            shape,
            range: Range::new(-5, 300),
        }
    }

    #[test]
    fn accepts_a_constant_for_each_element() {
        let op = Offset::new(vec![2, 3], vec![1, -2, 3000, 0, 5, -70]).unwrap();
        testing::check(&op, &[wide(vec![2, 3])], Offset::decode, 10);
        testing::check(
            &Offset::new(vec![], vec![9]).unwrap(),
            &[wide(vec![])],
            Offset::decode,
            4,
        );
    }

    #[test]
    fn rejects_shapes_and_sums_that_do_not_fit() {
        assert!(Offset::new(vec![2], vec![1]).is_err());
        assert!(Offset::new(vec![1], vec![1 << 41]).is_err());
        let op = Offset::new(vec![2], vec![1, 2]).unwrap();
        assert!(op.facts(&[&wide(vec![3])]).is_err());
        assert!(op.facts(&[]).is_err());
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![2])]).is_err());
        assert!(op.facts(&[&wide(vec![2])]).is_ok());
    }

    #[test]
    fn rejects_every_lie_behind_the_place_of_an_extreme() {
        // The place is a sum already: the constant joins its equation.
        use crate::compile::compile;
        use crate::ops::ArgMax;
        use crate::plan::PlanOptions;
        use crate::program::{Builder, Port};
        use crate::testing::Mutator;
        use zkonnx_verifier::InputVisibility;

        let mut builder = Builder::new();
        let x = Fact::any(DataType::U8, vec![2, 5]);
        let x = builder.input("x", x, None);
        let place = builder
            .push1("p", Arc::new(ArgMax::new(1, false)), &[x])
            .unwrap();
        let op = Offset::new(vec![2, 1], vec![10, -3]).unwrap();
        let y = builder.push1("y", Arc::new(op), &[place]).unwrap();
        let port = |name: &str, tensor| Port {
            name: name.to_owned(),
            tensor,
            quantization: None,
        };
        let (program, _) = builder
            .finish(vec![port("p", place), port("y", y)])
            .unwrap();
        let compiled = compile(
            Arc::new(program),
            InputVisibility::Public,
            &PlanOptions::default(),
        )
        .unwrap();
        let data = vec![3, 200, 200, 7, 0, 9, 1, 2, 3, 9];
        let x = Tensor::new(DataType::U8, vec![2, 5], data);
        let inference = compiled.infer(&[x], [0; 32]).unwrap();
        assert_eq!(inference.trace.outputs()[1].data, [11, -3]);
        let mutator = Mutator::new(
            &compiled.lowering,
            &compiled.assembly,
            &inference.inputs,
            inference.witness.clone(),
            &inference.instance,
        );
        assert!(mutator.honest_violations().is_empty());
        assert!(mutator.run(1).survivors.is_empty());
    }
}
