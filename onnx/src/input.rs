//! Quantization of float inputs, outside the proof.

use crate::group::rules::quantize;
use zkonnx_circuits::program::{Fact, Port, Quantization, Range, Tensor};

/// Why floats cannot be an input of a program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The wrong number of values.
    #[error("input `{name}` takes {expected} values (shape {shape:?}), not {got}")]
    Length {
        /// The input.
        name: String,
        /// Number of values it takes.
        expected: usize,
        /// Its shape.
        shape: Vec<usize>,
        /// Number of values given.
        got: usize,
    },
    /// A value that is not a number.
    #[error("input `{name}` is not a number at position {index}")]
    NotANumber {
        /// The input.
        name: String,
        /// The position, row-major.
        index: usize,
    },
    /// A float that is not an integer of the input's type, for an input that the model does not quantize.
    #[error("input `{name}` takes integers from {lo} to {hi}; position {index} is {value}")]
    NotAnInteger {
        /// The input.
        name: String,
        /// The position, row-major.
        index: usize,
        /// The value.
        value: f32,
        /// Smallest integer.
        lo: i64,
        /// Largest integer.
        hi: i64,
    },
}

/// The integers of a program input: floats through the model's own QuantizeLinear (true division, half to even,
/// saturation), or floats that are integers where the model takes integers. NaN is refused.
pub fn quantize_input(port: &Port, fact: &Fact, values: &[f32]) -> Result<Tensor, InputError> {
    let name = || port.name.clone();
    if values.len() != fact.len() {
        let (expected, shape) = (fact.len(), fact.shape.clone());
        return Err(InputError::Length {
            name: name(),
            expected,
            shape,
            got: values.len(),
        });
    }
    if let Some(index) = values.iter().position(|v| v.is_nan()) {
        return Err(InputError::NotANumber {
            name: name(),
            index,
        });
    }
    let range = Range::of(fact.dtype);
    let Some(q) = &port.quantization else {
        let integer = |(index, &value): (usize, &f32)| {
            let v = f64::from(value);
            if v.fract() == 0.0 && v >= range.lo as f64 && v <= range.hi as f64 {
                Ok(v as i64)
            } else {
                Err(InputError::NotAnInteger {
                    name: name(),
                    index,
                    value,
                    lo: range.lo,
                    hi: range.hi,
                })
            }
        };
        let data = values
            .iter()
            .enumerate()
            .map(integer)
            .collect::<Result<_, _>>()?;
        return Ok(Tensor::new(fact.dtype, fact.shape.clone(), data));
    };
    let integer = |(i, &value): (usize, &f32)| {
        let (scale, zero) = lane(q, &fact.shape, i);
        quantize(value, scale, zero, range)
    };
    let data = values.iter().enumerate().map(integer).collect();
    Ok(Tensor::new(fact.dtype, fact.shape.clone(), data))
}

/// Scale and zero point of an element.
fn lane(q: &Quantization, shape: &[usize], index: usize) -> (f32, i64) {
    let inner: usize = q
        .axis
        .map_or(1, |axis| shape.iter().skip(axis + 1).product());
    let lane = (index / inner.max(1)) % q.scale_bits.len().max(1);
    (f32::from_bits(q.scale_bits[lane]), q.zero_point[lane])
}

/// The positions of the floats that lie beyond what the integers of an input represent, so that [`quantize_input`]
/// takes the nearest end of the range for them. Without a quantization there are none: those are refused.
pub fn saturated(port: &Port, fact: &Fact, values: &[f32]) -> Vec<usize> {
    let Some(q) = &port.quantization else {
        return Vec::new();
    };
    let range = Range::of(fact.dtype);
    // One more on each side tells the ends of the range from what lies beyond them.
    let wider = Range {
        lo: range.lo.saturating_sub(1),
        hi: range.hi.saturating_add(1),
    };
    let beyond = |(i, &value): (usize, &f32)| {
        let (scale, zero) = lane(q, &fact.shape, i);
        let integer = quantize(value, scale, zero, wider);
        (!range.contains(integer)).then_some(i)
    };
    values.iter().enumerate().filter_map(beyond).collect()
}
