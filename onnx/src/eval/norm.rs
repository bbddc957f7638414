//! Normalizations.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, one};
use crate::eval::reduce::sum;
use crate::graph::NodeView;
use crate::graph::constant::Data;
use zkonnx_circuits::program::elements;

const CHANNELS: NodeError = bad(1, "the scale", "it has not one float for each channel");

/// `BatchNormalization` in inference: each channel times a factor, plus a shift.
pub(crate) fn batch_normalization(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let read = |input| inputs.floats(input);
    let parts = [read(1)?, read(2)?, read(3)?, read(4)?];
    let (factors, shifts) = factors(node, parts)?;
    let inner: usize = x.shape.iter().skip(2).product();
    if x.shape.get(1) != Some(&factors.len()) {
        return Err(CHANNELS);
    }
    let value = |(i, v): (usize, &f32)| {
        let c = i / inner.max(1) % factors.len();
        v * factors[c] + shifts[c]
    };
    let data = inputs.floats(0)?.iter().enumerate().map(value).collect();
    one(x.shape.clone(), Data::Float(data))
}

/// The factor and the shift of each channel of a BatchNormalization, from its scale, bias, mean and variance.
pub(crate) fn factors(
    node: &NodeView<'_>,
    [scale, bias, mean, variance]: [&[f32]; 4],
) -> Result<(Vec<f32>, Vec<f32>), NodeError> {
    node.float("momentum", 0.9)?;
    node.int("spatial", 1)?;
    if node.flag("training_mode", false)? {
        return Err(attribute(
            "training_mode",
            "the model is exported for training",
        ));
    }
    let epsilon = node.float("epsilon", 1e-5)?;
    let n = scale.len();
    if n == 0 || [bias, mean, variance].iter().any(|v| v.len() != n) {
        return Err(CHANNELS);
    }
    let factor = |c: usize| 1.0 / (variance[c] + epsilon).sqrt() * scale[c];
    let factors: Vec<f32> = (0..n).map(factor).collect();
    let shifts = (0..n).map(|c| bias[c] - mean[c] * factors[c]).collect();
    Ok((factors, shifts))
}

/// Mean and variance of a run of floats.
fn moments(run: &[f32]) -> (f32, f32) {
    let n = run.len() as f64;
    let mean = sum(run.iter().copied().map(f64::from)) / n;
    let square = |v: &f32| (f64::from(*v) - mean) * (f64::from(*v) - mean);
    (mean as f32, (sum(run.iter().map(square)) / n) as f32)
}

/// `InstanceNormalization`: each channel of each image by its own mean and variance.
pub(crate) fn instance_normalization(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let epsilon = node.float("epsilon", 1e-5)?;
    let (scale, bias) = (inputs.floats(1)?, inputs.floats(2)?);
    let channels = *x.shape.get(1).ok_or(bad(0, "x", "it has no channels"))?;
    if scale.len() != channels || bias.len() != channels || x.len() == 0 {
        return Err(CHANNELS);
    }
    let size = elements(&x.shape[2..]);
    let mut y = Vec::with_capacity(x.len());
    for (plane, run) in inputs.floats(0)?.chunks(size).enumerate() {
        let c = plane % channels;
        let (mean, variance) = moments(run);
        let factor = 1.0 / (variance + epsilon).sqrt() * scale[c];
        let shift = bias[c] - mean * factor;
        y.extend(run.iter().map(|v| v * factor + shift));
    }
    one(x.shape.clone(), Data::Float(y))
}

/// `LayerNormalization`: runs of the last axes by their own mean and variance.
pub(crate) fn layer_normalization(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let epsilon = node.float("epsilon", 1e-5)?;
    if node.int("stash_type", 1)? != 1 || node.outputs() > 1 {
        return Err(attribute(
            "stash_type",
            "only the first output in float is supported",
        ));
    }
    let axis = node.axis("axis", node.int("axis", -1)?, x.shape.len())?;
    let size = elements(&x.shape[axis..]).max(1);
    let (scale, bias) = (inputs.floats(1)?, inputs.maybe_floats(2)?);
    if scale.len() != size || bias.is_some_and(|b| b.len() != size) {
        return Err(bad(
            1,
            "the scale",
            "its shape is not that of the last axes",
        ));
    }
    let mut y = Vec::with_capacity(x.len());
    for run in inputs.floats(0)?.chunks(size) {
        let (mean, variance) = moments(run);
        let deviation = (variance + epsilon).sqrt();
        let value = |(i, v): (usize, &f32)| {
            let scaled = (v - mean) / deviation * scale[i];
            bias.map_or(scaled, |b| scaled + b[i])
        };
        y.extend(run.iter().enumerate().map(value));
    }
    one(x.shape.clone(), Data::Float(y))
}
