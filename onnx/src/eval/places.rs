//! Where the elements of a tensor that is broadcast lie.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, bad};
use zkonnx_circuits::ops::{broadcast, broadcast_places};

/// For each element of a result, the element of an input.
#[derive(Debug)]
pub(crate) enum Places {
    /// The same one.
    Same,
    /// The only one.
    One,
    At(Vec<usize>),
}

impl Places {
    /// `of` broadcasts to `shape`.
    pub(crate) fn new(of: &[usize], shape: &[usize]) -> Self {
        if of == shape {
            Self::Same
        } else if of.iter().all(|&extent| extent == 1) {
            Self::One
        } else {
            Self::At(broadcast_places(shape, of))
        }
    }

    pub(crate) fn at(&self, i: usize) -> usize {
        match self {
            Self::Same => i,
            Self::One => 0,
            Self::At(places) => places[i],
        }
    }
}

/// The common shape of some inputs, and the places of their elements.
pub(crate) fn together(
    inputs: &Inputs<'_>,
    which: std::ops::Range<usize>,
) -> Result<(Vec<usize>, Vec<Places>), NodeError> {
    let mut shape = Vec::new();
    for input in which.clone() {
        let reason = "its shape does not broadcast to that of the others";
        shape = broadcast(&shape, &inputs.get(input)?.shape).ok_or(bad(input, "x", reason))?;
    }
    inputs.count(&shape)?;
    let places = |input| Ok(Places::new(&inputs.get(input)?.shape, &shape));
    let places = which.map(places).collect::<Result<_, NodeError>>()?;
    Ok((shape, places))
}

/// Steps of a row-major tensor.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// Calls a function with the index of each element of a shape, in order.
pub(crate) fn each(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0usize; shape.len()];
    for _ in 0..zkonnx_circuits::program::elements(shape) {
        f(&index);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
}
