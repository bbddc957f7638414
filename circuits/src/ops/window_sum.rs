//! `window_sum`: the sum over each window, the integer part of every average.
//!
//! `y[n, c, p] = Σ_k (x[n, c, p·stride + k·dilation − pad] − x_zero)` over the taps that are not padding. The division
//! and the rounding are those of the `requantize` that follows, whose rule may differ by element where windows at the
//! border hold fewer elements.
//!
//! # Circuit
//!
//! One linear form for each output, all coefficients one. No cell is made. **Assumes** bounded cells. **Guarantees**
//! exact sums. **Needs** an equation that reads the form, which is where it is proved.

use std::sync::Arc;

use super::window::Taps;
use super::{Window, accepted, bounded, check_size, hull, only};
use crate::lower::{LinearForms, LowerError, Lowering, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("window_sum");
const NAME: &str = ID.name;

/// Sums over sliding windows of `[N, C, …]`; the output has type `i32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSum {
    window: Window,
    x_zero: i64,
}

impl WindowSum {
    /// Sums of the elements less `x_zero`.
    pub fn new(window: Window, x_zero: i64) -> Result<Self, OpError> {
        window.check(NAME)?;
        if !Range::of(DataType::I32).contains(x_zero) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the zero point",
            });
        }
        Ok(Self { window, x_zero })
    }

    /// Zero point (i64), window.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let x_zero = reader.i64()?;
        Ok(Arc::new(Self::new(Window::decode(reader)?, x_zero)?))
    }

    /// Number of elements in each window of an input with these spatial extents, row-major.
    pub fn counts(&self, spatial: &[usize]) -> Result<Vec<u32>, OpError> {
        let taps = self.window.taps(NAME, spatial)?;
        Ok((0..taps.len())
            .map(|position| taps.of(position).len() as u32)
            .collect())
    }

    fn shape(&self, input: &[usize]) -> Result<Vec<usize>, OpError> {
        if input.len() != self.window.rank() + 2 {
            return Err(OpError::Rank {
                op: NAME,
                expected: self.window.rank() + 2,
                got: input.len(),
            });
        }
        let expected = "the window fits into the padded input";
        let bad = OpError::Shape {
            op: NAME,
            expected,
            got: input.to_vec(),
        };
        let shape = [&input[..2], &self.window.output(&input[2..]).ok_or(bad)?].concat();
        check_size(NAME, &shape)?;
        Ok(shape)
    }
}

impl Operator for WindowSum {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let taps = self.window.taps(NAME, &x.shape[2..])?;
        let counts = hull((0..taps.len()).map(|position| taps.of(position).len() as i64));
        let [few, many, lo, hi, zero] =
            [counts.lo, counts.hi, x.range.lo, x.range.hi, self.x_zero].map(i128::from);
        let (a, b) = (lo - zero, hi - zero);
        let lo = (a * few).min(a * many);
        let hi = (b * few).max(b * many);
        Ok(vec![bounded(NAME, DataType::I32, shape, lo, hi)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let taps = self.window.taps(NAME, &x.shape[2..])?;
        let plane = elements(&x.shape[2..]).max(1);
        let mut data = Vec::with_capacity(elements(&shape));
        for plane in x.data.chunks(plane) {
            for position in 0..taps.len() {
                data.push(
                    taps.of(position)
                        .iter()
                        .map(|&(_, element)| plane[element as usize] - self.x_zero)
                        .sum(),
                );
            }
        }
        Ok(vec![Tensor::new(DataType::I32, shape, data)])
    }

    fn describe(&self) -> String {
        format!("{}, zero point {}", self.window.describe(), self.x_zero)
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.x_zero);
        self.window.encode(out);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shape = &facts[0].shape;
        let spatial = accepted(NAME, self.shape(shape))?.split_off(2);
        let taps = accepted(NAME, self.window.taps(NAME, &shape[2..]))?;
        let (planes, plane) = (shape[0] * shape[1], elements(&shape[2..]));
        let forms = SumForms {
            x_zero: self.x_zero,
            planes,
            plane,
            spatial,
            taps,
        };
        Ok(vec![cx.linear(NAME, &inputs[0], Arc::new(forms))?])
    }
}

/// The sums as linear forms; grid: planes, spatial axes.
#[derive(Debug)]
struct SumForms {
    x_zero: i64,
    planes: usize,
    plane: usize,
    spatial: Vec<usize>,
    taps: Taps,
}

impl LinearForms for SumForms {
    fn grid(&self) -> Vec<usize> {
        [&[self.planes], self.spatial.as_slice()].concat()
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        let base = out / self.taps.len() * self.plane;
        for &(_, element) in self.taps.of(out % self.taps.len()) {
            f(base + element as usize, 1);
        }
    }

    fn constant(&self, out: usize) -> i64 {
        -self.x_zero * self.taps.of(out % self.taps.len()).len() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_padded_windows_of_different_sizes() {
        let window = Window {
            kernel: vec![3, 2],
            strides: vec![2, 2],
            dilations: vec![1, 1],
            pads_begin: vec![1, 1],
            pads_end: vec![1, 0],
        };
        let op = WindowSum::new(window, 7).unwrap();
        testing::check(
            &op,
            &[Fact::any(DataType::U8, vec![2, 2, 4, 5])],
            WindowSum::decode,
            10,
        );
        assert_eq!(op.counts(&[4, 5]).unwrap()[..3], [2, 4, 4]);
    }

    #[test]
    fn rejects_an_input_without_spatial_axes() {
        let op = WindowSum::new(Window::dense(vec![2]), 0).unwrap();
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![1, 4])]).is_err());
    }
}
