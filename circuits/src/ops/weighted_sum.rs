//! `weighted_sum`: `y = Σ_i m_i · x_i + c` with constant integers, inputs broadcast against each other.
//!
//! It carries additions of tensors with different scales: `m_i` are the ratios of the scales as fixed-point numbers,
//! and the thresholds of the `requantize` that follows were checked at import against the float rule on every pair of
//! inputs (SEMANTICS.md, "Two inputs").
//!
//! # Circuit
//!
//! One linear form for each output. No cell is made. **Assumes** bounded cells. **Guarantees** exact sums, which `facts`
//! keeps within int64. **Needs** an equation that reads the form, which is where it is proved.

use std::sync::Arc;

use super::{SumBounds, accepted, check_size};
use crate::lower::{LinearForms, LowerError, Lowering, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Tensor, elements,
};

pub(super) const ID: OpId = super::id("weighted_sum");
const NAME: &str = ID.name;

/// Sum of broadcast inputs with constant coefficients; the output has type `i64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedSum {
    coefficients: Vec<i64>,
    constant: i64,
}

impl WeightedSum {
    /// Non-zero coefficients, one for each input, at most 2^40 in magnitude.
    pub fn new(coefficients: Vec<i64>, constant: i64) -> Result<Self, OpError> {
        let limit = 1 << 40;
        let bad = |v: &i64| *v == 0 || v.unsigned_abs() > limit;
        if coefficients.is_empty()
            || coefficients.iter().any(bad)
            || constant.unsigned_abs() > 1 << 60
        {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "a coefficient",
            });
        }
        Ok(Self {
            coefficients,
            constant,
        })
    }

    /// Coefficients (`ints`), constant (i64).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let coefficients = reader.ints()?;
        Ok(Arc::new(Self::new(coefficients, reader.i64()?)?))
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, OpError> {
        if inputs.len() != self.coefficients.len() {
            return Err(OpError::Arity {
                op: NAME,
                expected: self.coefficients.len(),
                got: inputs.len(),
            });
        }
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
}

/// The shape that both shapes broadcast to, as numpy does.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|d| match (extent(a, d), extent(b, d)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// For each element of `shape`, the element of an input of shape `input` that is broadcast there.
///
/// # Panics
///
/// If `input` has more axes than `shape`; [`broadcast`] says whether one fits the other.
pub fn broadcast_places(shape: &[usize], input: &[usize]) -> Vec<usize> {
    let skip = shape.len() - input.len();
    let mut places = Vec::with_capacity(elements(shape));
    let mut index = vec![0usize; shape.len()];
    for _ in 0..elements(shape) {
        let at = |place: usize, (d, &extent): (usize, &usize)| {
            place * extent + if extent == 1 { 0 } else { index[d + skip] }
        };
        places.push(input.iter().enumerate().fold(0, at));
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    places
}

impl Operator for WeightedSum {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let shape = self.shape(&shapes)?;
        let mut sum = SumBounds::of(self.constant);
        for (m, x) in self.coefficients.iter().zip(inputs) {
            sum.add(*m, x.range, 0, false);
        }
        Ok(vec![sum.fact(NAME, DataType::I64, shape)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let shape = self.shape(&shapes)?;
        let mut data = vec![self.constant; elements(&shape)];
        for (m, x) in self.coefficients.iter().zip(inputs) {
            for (sum, place) in data.iter_mut().zip(broadcast_places(&shape, &x.shape)) {
                *sum += m * x.data[place];
            }
        }
        Ok(vec![Tensor::new(DataType::I64, shape, data)])
    }

    fn describe(&self) -> String {
        format!(
            "coefficients {:?}, constant {}",
            self.coefficients, self.constant
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.ints(&self.coefficients);
        out.i64(self.constant);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shapes: Vec<&[usize]> = facts.iter().map(|x| x.shape.as_slice()).collect();
        let shape = accepted(NAME, self.shape(&shapes))?;
        let mut start = 0;
        let mut places = Vec::with_capacity(inputs.len());
        for (wires, fact) in inputs.iter().zip(facts) {
            let mut of = broadcast_places(&shape, &fact.shape);
            of.iter_mut().for_each(|place| *place += start);
            places.push(of);
            start += wires.len();
        }
        let forms = SumForms {
            coefficients: self.coefficients.clone(),
            constant: self.constant,
            shape,
            places,
        };
        Ok(vec![cx.linear(NAME, &inputs.concat(), Arc::new(forms))?])
    }
}

/// The sums as linear forms of all inputs, one after the other; grid: the output's shape.
#[derive(Debug)]
struct SumForms {
    coefficients: Vec<i64>,
    constant: i64,
    shape: Vec<usize>,
    places: Vec<Vec<usize>>,
}

impl LinearForms for SumForms {
    fn grid(&self) -> Vec<usize> {
        if self.shape.is_empty() {
            vec![1]
        } else {
            self.shape.clone()
        }
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        self.coefficients
            .iter()
            .zip(&self.places)
            .for_each(|(m, places)| f(places[out], *m));
    }

    fn constant(&self, _: usize) -> i64 {
        self.constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_inputs_that_broadcast() {
        let op = WeightedSum::new(vec![3, -5, 1000], 17).unwrap();
        let facts = [vec![2, 1, 3], vec![4, 1], vec![]].map(|shape| Fact::any(DataType::I8, shape));
        testing::check(&op, &facts, WeightedSum::decode, 10);
    }

    #[test]
    fn rejects_inputs_that_do_not_broadcast() {
        let op = WeightedSum::new(vec![1, 1], 0).unwrap();
        let facts = [vec![2, 3], vec![2]].map(|shape| Fact::any(DataType::I8, shape));
        assert!(op.facts(&[&facts[0], &facts[1]]).is_err());
        assert!(op.facts(&[&facts[0]]).is_err());
        assert!(WeightedSum::new(vec![0], 0).is_err());
        // The sum is zero, its parts are not.
        let op = WeightedSum::new(vec![1 << 40, -(1 << 40)], 0).unwrap();
        let large = Fact {
            range: crate::program::Range::new(1 << 50, 1 << 50),
            ..Fact::any(DataType::I64, vec![1])
        };
        let refused = op.facts(&[&large, &large]);
        assert!(
            matches!(refused, Err(OpError::Overflow { .. })),
            "{refused:?}"
        );
    }
}
