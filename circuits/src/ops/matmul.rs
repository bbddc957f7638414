//! `matmul`: product with a constant matrix, exact integer accumulators.
//!
//! `y[…, n] = bias[n] + Σ_k (x[…, k] − x_zero) · w[k, n]`, weights with their zero point subtracted.
//!
//! # Circuit
//!
//! One linear form for each output, constant `bias[n] − x_zero · Σ_k w[k, n]`. As for `conv`, no cell is made, and
//! `facts` refuses weights with which an accumulator might leave int32. **Assumes** bounded cells. **Guarantees** exact
//! sums over the integers. **Needs** an equation that reads the form, which is where it is proved.

use std::sync::Arc;

use super::{SumBounds, check_size, only};
use crate::lower::{LinearForms, LowerError, Lowering, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("matmul");
const NAME: &str = ID.name;

/// Product of `[…, K]` with constant weights `[K, N]`; the output `[…, N]` has type `i32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// `[K, N]`, row-major, zero point subtracted.
    weights: Arc<[i64]>,
    bias: Arc<[i64]>,
    x_zero: i64,
}

impl MatMul {
    /// Weights `[K, N]` with the zero point subtracted, `N = bias.len()`.
    pub fn new(weights: Vec<i64>, bias: Vec<i64>, x_zero: i64) -> Result<Self, OpError> {
        let bad = |parameter| {
            Err(OpError::Parameter {
                op: NAME,
                parameter,
            })
        };
        if weights.is_empty() || bias.is_empty() || !weights.len().is_multiple_of(bias.len()) {
            return bad("the number of weights");
        }
        let narrow = |v: &i64| Range::of(DataType::I32).contains(*v);
        if !weights.iter().chain(&bias).all(narrow) || !narrow(&x_zero) {
            return bad("a weight, bias or zero point");
        }
        Ok(Self {
            weights: weights.into(),
            bias: bias.into(),
            x_zero,
        })
    }

    /// Zero point of the input (i64), bias (`ints`), weights (`ints`).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let (x_zero, bias) = (reader.i64()?, reader.ints()?);
        Ok(Arc::new(Self::new(reader.ints()?, bias, x_zero)?))
    }

    fn k(&self) -> usize {
        self.weights.len() / self.n()
    }

    fn n(&self) -> usize {
        self.bias.len()
    }

    fn shape(&self, input: &[usize]) -> Result<Vec<usize>, OpError> {
        let expected = "the last axis has as many elements as the weights have rows";
        match input.split_last() {
            Some((&k, rest)) if k == self.k() => {
                let shape = [rest, &[self.n()]].concat();
                check_size(NAME, &shape)?;
                Ok(shape)
            }
            _ => Err(OpError::Shape {
                op: NAME,
                expected,
                got: input.to_vec(),
            }),
        }
    }
}

impl Operator for MatMul {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let mut sums: Vec<SumBounds> = self.bias.iter().map(|&b| SumBounds::of(b)).collect();
        for row in self.weights.chunks(self.n()) {
            for (sum, w) in sums.iter_mut().zip(row) {
                sum.add(*w, x.range, self.x_zero, false);
            }
        }
        // There is a column.
        let all = sums.into_iter().reduce(SumBounds::union);
        let all = all.unwrap_or(SumBounds::of(0));
        Ok(vec![all.fact(NAME, DataType::I32, shape)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let mut data = Vec::with_capacity(elements(&shape));
        for row in x.data.chunks(self.k()) {
            let mut acc = self.bias.to_vec();
            for (x, weights) in row.iter().zip(self.weights.chunks(self.n())) {
                for (acc, w) in acc.iter_mut().zip(weights) {
                    *acc += (x - self.x_zero) * w;
                }
            }
            data.extend(acc);
        }
        Ok(vec![Tensor::new(DataType::I32, shape, data)])
    }

    fn describe(&self) -> String {
        format!(
            "{} to {} features, zero point {}",
            self.k(),
            self.n(),
            self.x_zero
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.x_zero);
        out.ints(&self.bias);
        out.ints(&self.weights);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        _: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let mut sums = vec![0; self.n()];
        for row in self.weights.chunks(self.n()) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += w);
        }
        let constants = self
            .bias
            .iter()
            .zip(&sums)
            .map(|(b, sum)| b - self.x_zero * sum)
            .collect();
        let rows = inputs[0].len() / self.k();
        let forms = MatMulForms {
            weights: self.weights.clone(),
            constants,
            rows,
            k: self.k(),
        };
        Ok(vec![cx.linear(NAME, &inputs[0], Arc::new(forms))?])
    }
}

/// The outputs of a product as linear forms; grid: rows (if above one), columns.
#[derive(Debug)]
struct MatMulForms {
    weights: Arc<[i64]>,
    constants: Vec<i64>,
    rows: usize,
    k: usize,
}

impl LinearForms for MatMulForms {
    fn grid(&self) -> Vec<usize> {
        if self.rows == 1 {
            vec![self.constants.len()]
        } else {
            vec![self.rows, self.constants.len()]
        }
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        let width = self.constants.len();
        let (row, n) = (out / width, out % width);
        for k in 0..self.k {
            match self.weights[k * width + n] {
                0 => {}
                w => f(row * self.k + k, w),
            }
        }
    }

    fn constant(&self, out: usize) -> i64 {
        self.constants[out % self.constants.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_rows_bias_and_zero_point() {
        let weights: Vec<i64> = (0..12).map(|i| i * 29 % 23 - 11).collect();
        let op = MatMul::new(weights, vec![100, -3, 0], 9).unwrap();
        for shape in [vec![4], vec![1, 4], vec![2, 3, 4]] {
            testing::check(&op, &[Fact::any(DataType::U8, shape)], MatMul::decode, 10);
        }
    }

    #[test]
    fn rejects_other_widths_and_overflow() {
        let op = MatMul::new(vec![1 << 24; 6], vec![0; 3], 0).unwrap();
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![1, 3])]).is_err());
        let fact = Fact::any(DataType::U8, vec![1, 2]);
        assert!(matches!(op.facts(&[&fact]), Err(OpError::Overflow { .. })));
        assert!(MatMul::new(vec![1; 5], vec![0; 3], 0).is_err());
    }
}
