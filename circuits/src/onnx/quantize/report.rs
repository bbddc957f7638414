//! How far the quantized model is from the float one, measured on the samples.

use std::collections::HashMap;

use rayon::prelude::*;

use super::eval::{Evaluator, Values};
use super::{QuantizeError, proved};
use crate::onnx::constant::Constant;

/// Error of a quantized tensor against the float model, over all samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerError {
    /// Name of the tensor in the float model.
    pub tensor: String,
    /// The operator that makes it; `input` for an input of the model.
    pub op: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Mean absolute difference.
    pub mean_abs: f64,
    /// Root of the summed squared differences over that of the summed squared values; 0 for a tensor of zeros.
    pub relative_rms: f64,
}

/// Error of an output against the float model, over all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputError {
    /// The output's name and its errors.
    pub error: LayerError,
    /// For outputs with two axes: of how many samples the largest value is at the same place, for each sample whether.
    pub same_argmax: Option<usize>,
    /// The place of the largest value of each sample: float, quantized. Empty unless the output has two axes.
    pub argmax: Vec<(usize, usize)>,
}

/// A quantized tensor: its name in the float graph, in the quantized one, and the operator that makes it.
pub(super) type Pair = (String, String, String);

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    max: f64,
    absolute: f64,
    squared: f64,
    energy: f64,
    count: u64,
}

impl Sums {
    fn of(a: &Constant, b: &Constant) -> Self {
        let mut sums = Self::default();
        let mut add = |x: f64, y: f64| {
            let difference = (x - y).abs();
            // A float model's infinities have no distance to anything.
            if difference.is_finite() {
                sums.max = sums.max.max(difference);
                sums.absolute += difference;
                sums.squared += difference * difference;
                sums.energy += x * x;
                sums.count += 1;
            }
        };
        match (a.as_floats(), b.as_floats(), a.as_ints(), b.as_ints()) {
            (Some(a), Some(b), ..) => a
                .iter()
                .zip(b)
                .for_each(|(x, y)| add(f64::from(*x), f64::from(*y))),
            (_, _, Some(a), Some(b)) => {
                a.iter().zip(b).for_each(|(x, y)| add(*x as f64, *y as f64))
            }
            _ => {}
        }
        sums
    }

    fn join(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            absolute: self.absolute + other.absolute,
            squared: self.squared + other.squared,
            energy: self.energy + other.energy,
            count: self.count + other.count,
        }
    }

    fn error(self, tensor: &str, op: &str) -> LayerError {
        LayerError {
            tensor: tensor.into(),
            op: op.into(),
            max_abs: self.max,
            mean_abs: self.absolute / self.count.max(1) as f64,
            relative_rms: if self.energy > 0.0 {
                (self.squared / self.energy).sqrt()
            } else {
                0.0
            },
        }
    }
}

/// The place of the largest value of the only row of a matrix.
fn argmax(value: &Constant) -> Option<usize> {
    let data = value.as_floats().filter(|_| value.shape.len() == 2)?;
    let best = data
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, &v)| {
            if v > best.1 { (i, v) } else { best }
        });
    Some(best.0)
}

/// Runs both models on all samples and compares their tensors.
pub(super) fn compare(
    float: &Evaluator<'_>,
    quantized: &Evaluator<'_>,
    pairs: &[Pair],
    outputs: &[String],
    samples: &[Values],
) -> Result<(Vec<LayerError>, Vec<OutputError>), QuantizeError> {
    let measured: Vec<_> = samples
        .par_iter()
        .map(|sample| {
            let a = float.run(sample.clone(), proved)?;
            let b = quantized.run(sample.clone(), proved)?;
            let sums = |x: &str, y: &str| match (a.get(x), b.get(y)) {
                (Some(x), Some(y)) => Sums::of(x, y),
                _ => Sums::default(),
            };
            let layers: Vec<Sums> = pairs.iter().map(|(x, y, _)| sums(x, y)).collect();
            let results: Vec<(Sums, Option<(usize, usize)>)> = outputs
                .iter()
                .map(|name| {
                    let place = |values: &Values| argmax(values.get(name)?);
                    (sums(name, name), place(&a).zip(place(&b)))
                })
                .collect();
            Ok((layers, results))
        })
        .collect::<Result<_, QuantizeError>>()?;
    let total = |pick: &dyn Fn(usize) -> Sums| {
        (0..measured.len()).fold(Sums::default(), |sum, i| sum.join(pick(i)))
    };
    let layers = pairs.iter().enumerate().map(|(l, (name, _, op))| {
        let sums = total(&|sample| measured[sample].0[l]);
        sums.error(name, op)
    });
    let makers: HashMap<&str, &str> = pairs
        .iter()
        .map(|(name, _, op)| (name.as_str(), op.as_str()))
        .collect();
    let results = outputs.iter().enumerate().map(|(o, name)| {
        let sums = total(&|sample| measured[sample].1[o].0);
        let argmax: Vec<(usize, usize)> = measured.iter().filter_map(|m| m.1[o].1).collect();
        OutputError {
            error: sums.error(name, makers.get(name.as_str()).copied().unwrap_or("tail")),
            same_argmax: (!argmax.is_empty())
                .then(|| argmax.iter().filter(|(a, b)| a == b).count()),
            argmax,
        }
    });
    Ok((layers.collect(), results.collect()))
}
