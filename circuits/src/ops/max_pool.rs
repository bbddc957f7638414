//! `max_pool`: the largest element of each window.
//!
//! `y[n, c, p] = max x[n, c, p·stride + k·dilation − pad]` over the taps `k` that are not padding. Integers of one
//! scale compare like the reals they stand for, so this is exact; type and scale are those of the input.
//!
//! # Circuit
//!
//! One maximum for each window; a window with a single element is a copy and costs nothing. **Assumes** bounded cells.
//! **Guarantees** the largest element: the maximum is no smaller than any of them, and equal to one. **Needs** that every
//! window meets an element, which `facts` checks.

use std::sync::Arc;

use super::{Window, accepted, check_size, only};
use crate::lower::{LowerError, Lowering, Wires};
use crate::program::{
    DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Tensor, elements,
};

pub(super) const ID: OpId = super::id("max_pool");
const NAME: &str = ID.name;

/// Maximum over sliding windows of `[N, C, …]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    window: Window,
}

impl MaxPool {
    /// Padding must be smaller than the window's reach, so that every window meets an element (`facts` checks it).
    pub fn new(window: Window) -> Result<Self, OpError> {
        window.check(NAME)?;
        Ok(Self { window })
    }

    /// The window.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self::new(Window::decode(reader)?)?))
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
        let spatial = self.window.output(&input[2..]).ok_or(bad)?;
        let shape = [&input[..2], spatial.as_slice()].concat();
        check_size(NAME, &shape)?;
        Ok(shape)
    }

    /// Applies `f` to the elements of each window, given by their places in the input.
    fn windows<T>(
        &self,
        input: &[usize],
        mut f: impl FnMut(&mut dyn Iterator<Item = usize>) -> T,
    ) -> Result<Vec<T>, OpError> {
        let taps = self.window.taps(NAME, &input[2..])?;
        let plane = elements(&input[2..]);
        let mut out = Vec::with_capacity(input[0] * input[1] * taps.len());
        for base in (0..input[0] * input[1]).map(|i| i * plane) {
            for position in 0..taps.len() {
                out.push(f(&mut taps
                    .of(position)
                    .iter()
                    .map(|&(_, element)| base + element as usize)));
            }
        }
        Ok(out)
    }
}

fn without_element(input: &[usize]) -> OpError {
    OpError::Shape {
        op: NAME,
        expected: "every window meets an element",
        got: input.to_vec(),
    }
}

impl Operator for MaxPool {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let taps = self.window.taps(NAME, &x.shape[2..])?;
        if (0..taps.len()).any(|position| taps.of(position).is_empty()) {
            return Err(without_element(&x.shape));
        }
        Ok(vec![Fact { shape, ..x.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let data = self
            .windows(&x.shape, |window| window.map(|i| x.data[i]).max())?
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| without_element(&x.shape))?;
        Ok(vec![Tensor::new(x.dtype, shape, data)])
    }

    fn describe(&self) -> String {
        self.window.describe()
    }

    fn encode(&self, out: &mut Encoder) {
        self.window.encode(out);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let windows = self.windows(&facts[0].shape, |window| {
            window.map(|i| inputs[0][i]).collect::<Wires>()
        });
        Ok(vec![cx.max(NAME, accepted(NAME, windows)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;
    use crate::program::DataType;

    #[test]
    fn accepts_strides_pads_and_dilations() {
        let window = Window {
            kernel: vec![2, 3],
            strides: vec![2, 1],
            dilations: vec![1, 2],
            pads_begin: vec![1, 0],
            pads_end: vec![0, 1],
        };
        let op = MaxPool::new(window).unwrap();
        testing::check(
            &op,
            &[Fact::any(DataType::I8, vec![2, 2, 5, 6])],
            MaxPool::decode,
            10,
        );
    }

    #[test]
    fn rejects_windows_without_an_element() {
        let window = Window {
            pads_begin: vec![2],
            ..Window::dense(vec![2])
        };
        let op = MaxPool::new(window).unwrap();
        assert!(
            op.facts(&[&Fact::any(DataType::I8, vec![1, 1, 4])])
                .is_err()
        );
    }
}
