//! `conv`: convolution with constant weights, exact integer accumulators.
//!
//! `y[n, m, p] = bias[m] + Σ_{c, k} w[m, c, k] · (x[n, c, p·stride + k·dilation − pad] − x_zero)`, where weights have
//! their zero point subtracted already and taps on padding contribute nothing (a real zero).
//!
//! # Circuit
//!
//! One linear form for each output: its coefficients are the weights under the window, its constant is
//! `bias − x_zero · Σ w` over the taps that are not padding. No cell is made: the accumulator stays an expression until
//! a `requantize` closes it. **Assumes** that every input cell is bounded, which [`Lowering`] tracks. **Guarantees**
//! exactness over the integers: the bounds that `facts` derives from the actual weights must fit int32, so nothing
//! wraps around, neither in ONNX's accumulator nor here. **Needs** nothing of its own: the equation that reads the form
//! (a step, or the public output) is what a liar would have to break.

use std::sync::Arc;

use super::window::Taps;
use super::{SumBounds, Window, accepted, check_size, only};
use crate::lower::{LinearForms, LowerError, Lowering, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("conv");
const NAME: &str = ID.name;

/// Convolution over one or more spatial axes; input `[N, C, …]`, output `[N, M, …]` of type `i32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// `[M, C / groups, …kernel]`, row-major, zero point subtracted.
    weights: Arc<[i64]>,
    bias: Arc<[i64]>,
    channels_per_group: usize,
    groups: usize,
    x_zero: i64,
    window: Window,
}

impl Conv {
    /// Weights `[M, C / groups, …kernel]` with the zero point subtracted, `M = bias.len()`.
    pub fn new(
        weights: Vec<i64>,
        bias: Vec<i64>,
        groups: usize,
        x_zero: i64,
        window: Window,
    ) -> Result<Self, OpError> {
        window.check(NAME)?;
        let bad = |parameter| {
            Err(OpError::Parameter {
                op: NAME,
                parameter,
            })
        };
        let (outputs, taps) = (bias.len(), elements(&window.kernel));
        if outputs == 0 || groups == 0 || !outputs.is_multiple_of(groups) {
            return bad("the number of groups");
        }
        let per_output = weights.len() / outputs;
        if weights.is_empty()
            || per_output * outputs != weights.len()
            || !per_output.is_multiple_of(taps)
        {
            return bad("the number of weights");
        }
        let narrow = |v: &i64| Range::of(DataType::I32).contains(*v);
        if !weights.iter().chain(&bias).all(narrow) || !narrow(&x_zero) {
            return bad("a weight, bias or zero point");
        }
        let channels_per_group = per_output / taps;
        Ok(Self {
            weights: weights.into(),
            bias: bias.into(),
            channels_per_group,
            groups,
            x_zero,
            window,
        })
    }

    /// Zero point of the input (i64), groups (u32), bias (`ints`), window, weights (`ints`).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let (x_zero, groups) = (reader.i64()?, reader.count()?);
        let (bias, window) = (reader.ints()?, Window::decode(reader)?);
        Ok(Arc::new(Self::new(
            reader.ints()?,
            bias,
            groups,
            x_zero,
            window,
        )?))
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    fn shape(&self, input: &[usize]) -> Result<Vec<usize>, OpError> {
        if input.len() != self.window.rank() + 2 {
            return Err(OpError::Rank {
                op: NAME,
                expected: self.window.rank() + 2,
                got: input.len(),
            });
        }
        let bad = |expected| OpError::Shape {
            op: NAME,
            expected,
            got: input.to_vec(),
        };
        if input[1] != self.channels_per_group * self.groups {
            return Err(bad("axis 1 has as many channels as the weights"));
        }
        let spatial = self
            .window
            .output(&input[2..])
            .ok_or_else(|| bad("the window fits into the padded input"))?;
        let shape = [&[input[0], self.outputs()], spatial.as_slice()].concat();
        check_size(NAME, &shape)?;
        Ok(shape)
    }

    /// The weights of one output channel, `[C / groups, taps]`.
    fn kernel(&self, output: usize) -> &[i64] {
        let len = self.weights.len() / self.outputs();
        &self.weights[output * len..][..len]
    }

    /// First input channel of the group of an output channel.
    fn first_channel(&self, output: usize) -> usize {
        output / (self.outputs() / self.groups) * self.channels_per_group
    }
}

impl Operator for Conv {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let padded = self.window.is_padded();
        let sums = self.bias.iter().enumerate().map(|(m, bias)| {
            let mut sum = SumBounds::of(*bias);
            let weights = self.kernel(m).iter();
            weights.for_each(|w| sum.add(*w, x.range, self.x_zero, padded));
            sum
        });
        // There is an output channel.
        let all = sums.reduce(SumBounds::union).unwrap_or(SumBounds::of(0));
        Ok(vec![all.fact(NAME, DataType::I32, shape)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let taps = self.window.taps(NAME, &x.shape[2..])?;
        let (plane, kernel) = (elements(&x.shape[2..]), elements(&self.window.kernel));
        let mut data = Vec::with_capacity(elements(&shape));
        for image in x.data.chunks(plane * x.shape[1]).take(x.shape[0]) {
            for m in 0..self.outputs() {
                let (weights, channels) = (self.kernel(m), &image[self.first_channel(m) * plane..]);
                for position in 0..taps.len() {
                    let mut acc = self.bias[m];
                    for (w, x) in weights.chunks(kernel).zip(channels.chunks(plane)) {
                        for &(tap, element) in taps.of(position) {
                            acc += w[tap as usize] * (x[element as usize] - self.x_zero);
                        }
                    }
                    data.push(acc);
                }
            }
        }
        Ok(vec![Tensor::new(DataType::I32, shape, data)])
    }

    fn describe(&self) -> String {
        let (m, c) = (self.outputs(), self.channels_per_group * self.groups);
        let groups = if self.groups > 1 {
            format!(" in {} groups", self.groups)
        } else {
            String::new()
        };
        format!(
            "{c} to {m} channels{groups}, {}, zero point {}",
            self.window.describe(),
            self.x_zero
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.x_zero);
        out.count(self.groups);
        out.ints(&self.bias);
        self.window.encode(out);
        out.ints(&self.weights);
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
        let forms = ConvForms {
            conv: self.clone(),
            batch: shape[0],
            spatial,
            plane: elements(&shape[2..]),
            taps,
        };
        let (positions, outputs) = (forms.taps.len(), self.outputs());
        let sums = cx.linear(NAME, &inputs[0], Arc::new(forms))?;
        // The grid has channels last, because outputs at one position share all inputs; the tensor has them first.
        let mut wires = Vec::with_capacity(sums.len());
        for n in 0..shape[0] {
            for m in 0..outputs {
                wires.extend((0..positions).map(|p| sums[(n * positions + p) * outputs + m]));
            }
        }
        Ok(vec![wires])
    }
}

/// The outputs of a convolution as linear forms; grid: batch (if above one), spatial axes, channels.
#[derive(Debug)]
struct ConvForms {
    conv: Conv,
    batch: usize,
    spatial: Vec<usize>,
    plane: usize,
    taps: Taps,
}

impl ConvForms {
    /// Batch index, position and channel of a form.
    fn split(&self, out: usize) -> (usize, usize, usize) {
        let (rest, m) = (out / self.conv.outputs(), out % self.conv.outputs());
        (rest / self.taps.len(), rest % self.taps.len(), m)
    }
}

impl LinearForms for ConvForms {
    fn grid(&self) -> Vec<usize> {
        let batch = if self.batch == 1 {
            vec![]
        } else {
            vec![self.batch]
        };
        [batch, self.spatial.clone(), vec![self.conv.outputs()]].concat()
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        let (n, position, m) = self.split(out);
        let kernel = elements(&self.conv.window.kernel);
        let channels = self.conv.channels_per_group * self.conv.groups;
        let first = n * channels + self.conv.first_channel(m);
        for (c, weights) in self.conv.kernel(m).chunks(kernel).enumerate() {
            for &(tap, element) in self.taps.of(position) {
                match weights[tap as usize] {
                    0 => {}
                    w => f((first + c) * self.plane + element as usize, w),
                }
            }
        }
    }

    fn constant(&self, out: usize) -> i64 {
        let (_, position, m) = self.split(out);
        if self.conv.x_zero == 0 {
            return self.conv.bias[m];
        }
        let kernel = elements(&self.conv.window.kernel);
        let taps = self.taps.of(position);
        let rows = self.conv.kernel(m).chunks(kernel);
        let sum: i64 = rows
            .map(|w| taps.iter().map(|&(tap, _)| w[tap as usize]).sum::<i64>())
            .sum();
        self.conv.bias[m] - self.conv.x_zero * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    fn numbers(n: usize, seed: i64) -> Vec<i64> {
        (0..n as i64)
            .map(|i| (i * 37 + seed * 11) % 17 - 8)
            .collect()
    }

    #[test]
    fn accepts_strides_pads_dilations_groups_and_zero_points() {
        let window = Window {
            kernel: vec![3, 2],
            strides: vec![2, 1],
            dilations: vec![1, 2],
            pads_begin: vec![1, 0],
            pads_end: vec![0, 1],
        };
        let conv = Conv::new(numbers(4 * 3 * 6, 1), numbers(4, 2), 2, 7, window).unwrap();
        testing::check(
            &conv,
            &[Fact::any(DataType::U8, vec![2, 6, 5, 4])],
            Conv::decode,
            10,
        );
    }

    #[test]
    fn accepts_depthwise_and_one_and_three_spatial_axes() {
        let conv = Conv::new(
            numbers(3 * 3, 1),
            numbers(3, 2),
            3,
            -128,
            Window::dense(vec![3]),
        )
        .unwrap();
        testing::check(
            &conv,
            &[Fact::any(DataType::I8, vec![1, 3, 5])],
            Conv::decode,
            10,
        );
        let conv = Conv::new(
            numbers(2 * 8, 1),
            numbers(2, 2),
            1,
            0,
            Window::dense(vec![2, 2, 2]),
        )
        .unwrap();
        testing::check(
            &conv,
            &[Fact::any(DataType::I8, vec![1, 1, 3, 2, 2])],
            Conv::decode,
            10,
        );
    }

    #[test]
    fn accepts_padding_as_a_real_zero() {
        let window = Window {
            pads_begin: vec![1],
            pads_end: vec![1],
            ..Window::dense(vec![3])
        };
        let conv = Conv::new(vec![1, 1, 1], vec![0], 1, 5, window).unwrap();
        let x = Tensor::new(DataType::U8, vec![1, 1, 2], vec![6, 7]);
        assert_eq!(conv.eval(&[&x]).unwrap()[0].data, [3, 3]);
    }

    #[test]
    fn rejects_accumulators_beyond_int32() {
        let conv = Conv::new(vec![1 << 23], vec![1 << 30], 1, 0, Window::dense(vec![1])).unwrap();
        let fact = Fact::any(DataType::U8, vec![1, 1, 4]);
        assert!(matches!(
            conv.facts(&[&fact]),
            Err(OpError::Overflow { .. })
        ));
    }

    #[test]
    fn rejects_shapes_that_do_not_fit() {
        let conv = Conv::new(numbers(9, 1), vec![0], 1, 0, Window::dense(vec![3, 3])).unwrap();
        for shape in [vec![1, 2, 4, 4], vec![1, 1, 2, 4], vec![1, 4, 4]] {
            assert!(conv.facts(&[&Fact::any(DataType::U8, shape)]).is_err());
        }
        assert!(Conv::new(numbers(9, 1), vec![0; 2], 1, 0, Window::dense(vec![3, 3])).is_err());
        assert!(Conv::new(numbers(9, 1), vec![0], 0, 0, Window::dense(vec![3, 3])).is_err());
    }
}
