//! Sliding windows over spatial axes, as convolution and pooling use them.

use crate::program::{DecodeError, Decoder, Encoder, MAX_ELEMENTS, MAX_RANK, OpError, elements};

/// A window that slides over `D` spatial axes. Padding positions hold no element.
///
/// The ceiling mode of ONNX has been resolved at import into padding at the end, so extents round down here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window along each axis.
    pub kernel: Vec<usize>,
    /// Distance between neighbouring windows.
    pub strides: Vec<usize>,
    /// Distance between neighbouring taps of one window.
    pub dilations: Vec<usize>,
    /// Padding positions before the first element.
    pub pads_begin: Vec<usize>,
    /// Padding positions after the last element.
    pub pads_end: Vec<usize>,
}

/// Largest extent, stride, dilation or padding along one axis.
const MAX_EXTENT: usize = 1 << 16;

/// Which tap of each window meets which element: for output position `p`, `of(p)` lists pairs (tap, element), both
/// row-major. Taps on padding are left out.
#[derive(Clone, Debug)]
pub(crate) struct Taps {
    starts: Vec<u32>,
    pairs: Vec<(u32, u32)>,
}

impl Taps {
    /// Number of output positions.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The taps of one output position.
    pub(crate) fn of(&self, position: usize) -> &[(u32, u32)] {
        &self.pairs[self.starts[position] as usize..self.starts[position + 1] as usize]
    }
}

impl Window {
    /// A window without padding, stride or dilation.
    pub fn dense(kernel: Vec<usize>) -> Self {
        let rank = kernel.len();
        let (ones, zeros) = (vec![1; rank], vec![0; rank]);
        Self {
            kernel,
            strides: ones.clone(),
            dilations: ones,
            pads_begin: zeros.clone(),
            pads_end: zeros,
        }
    }

    /// Number of spatial axes.
    pub fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Checks that the lists agree in length and that every number is sensible.
    pub(crate) fn check(&self, op: &'static str) -> Result<(), OpError> {
        let rank = self.rank();
        let bad = |parameter| Err(OpError::Parameter { op, parameter });
        if rank == 0 || rank + 2 > MAX_RANK {
            return bad("the number of spatial axes");
        }
        let positive = |list: &[usize]| {
            list.len() == rank && list.iter().all(|n| (1..=MAX_EXTENT).contains(n))
        };
        let any = |list: &[usize]| list.len() == rank && list.iter().all(|n| *n <= MAX_EXTENT);
        if !positive(&self.kernel) || elements(&self.kernel) > MAX_ELEMENTS {
            return bad("the kernel shape");
        }
        if !positive(&self.strides) {
            return bad("the strides");
        }
        if !positive(&self.dilations) {
            return bad("the dilations");
        }
        if !any(&self.pads_begin) || !any(&self.pads_end) {
            return bad("the pads");
        }
        Ok(())
    }

    /// Extents of the output for these input extents, or `None` if the window does not fit.
    pub fn output(&self, input: &[usize]) -> Option<Vec<usize>> {
        if input.len() != self.rank() {
            return None;
        }
        (0..self.rank())
            .map(|d| {
                let padded = input[d]
                    .checked_add(self.pads_begin[d])?
                    .checked_add(self.pads_end[d])?;
                let reach = (self.kernel[d] - 1) * self.dilations[d] + 1;
                Some(padded.checked_sub(reach)? / self.strides[d] + 1)
            })
            .collect()
    }

    /// Whether some window may meet padding.
    pub(crate) fn is_padded(&self) -> bool {
        self.pads_begin.iter().chain(&self.pads_end).any(|&p| p > 0)
    }

    /// The position of tap `tap` of the window at `out` along axis `d`, if it is an element.
    fn tap(&self, d: usize, extent: usize, out: usize, tap: usize) -> Option<usize> {
        let at =
            (out * self.strides[d] + tap * self.dilations[d]).checked_sub(self.pads_begin[d])?;
        (at < extent).then_some(at)
    }

    /// All taps for these input extents; `None` if the window does not fit or there are too many taps.
    pub(crate) fn taps(&self, op: &'static str, input: &[usize]) -> Result<Taps, OpError> {
        let expected = "the window fits into the padded input";
        let out = self.output(input).ok_or(OpError::Shape {
            op,
            expected,
            got: input.to_vec(),
        })?;
        let (positions, kernel) = (elements(&out), elements(&self.kernel));
        if positions.saturating_mul(kernel) > MAX_ELEMENTS {
            return Err(OpError::TooLarge {
                op,
                max: MAX_ELEMENTS,
            });
        }
        let mut starts = Vec::with_capacity(positions + 1);
        let mut pairs = Vec::new();
        starts.push(0);
        for position in 0..positions {
            for tap in 0..kernel {
                if let Some(element) = self.element(&out, input, position, tap) {
                    pairs.push((tap as u32, element as u32));
                }
            }
            starts.push(pairs.len() as u32);
        }
        Ok(Taps { starts, pairs })
    }

    /// The element, row-major, under a tap of a window, unless that is padding.
    fn element(
        &self,
        out: &[usize],
        input: &[usize],
        mut position: usize,
        mut tap: usize,
    ) -> Option<usize> {
        let (mut element, mut stride) = (0, 1);
        for d in (0..self.rank()).rev() {
            element += stride * self.tap(d, input[d], position % out[d], tap % self.kernel[d])?;
            stride *= input[d];
            position /= out[d];
            tap /= self.kernel[d];
        }
        Some(element)
    }

    pub(crate) fn describe(&self) -> String {
        let mut text = format!("kernel {:?}", self.kernel);
        let mut add = |name, list: &[usize], default| {
            if list.iter().any(|&n| n != default) {
                text += &format!(" {name} {list:?}");
            }
        };
        add("strides", &self.strides, 1);
        add("dilations", &self.dilations, 1);
        add("pads before", &self.pads_begin, 0);
        add("pads after", &self.pads_end, 0);
        text
    }

    /// Five `counts`: kernel, strides, dilations, pads before, pads after.
    pub(crate) fn encode(&self, out: &mut Encoder) {
        for list in [
            &self.kernel,
            &self.strides,
            &self.dilations,
            &self.pads_begin,
            &self.pads_end,
        ] {
            out.counts(list);
        }
    }

    pub(crate) fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (kernel, strides) = (reader.counts()?, reader.counts()?);
        let (dilations, pads_begin) = (reader.counts()?, reader.counts()?);
        Ok(Self {
            kernel,
            strides,
            dilations,
            pads_begin,
            pads_end: reader.counts()?,
        })
    }
}
