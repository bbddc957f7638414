//! Float kernels of the operators that combine several elements: convolutions, products, pools and reductions.
//!
//! They are the textbook sums in binary32. Nothing here is proved: they serve to find ranges and to measure errors.

use super::super::constant::Constant;
use super::super::error::NodeError;
use super::super::node::NodeView;
use super::super::ops::pool::{kernel_shape, window};
use super::super::ops::transposed::{turn, turned_window};
use super::eval::Inputs;
use crate::ops::Window;
use crate::program::{MAX_ELEMENTS, elements};

/// Why a kernel refuses its inputs.
const fn bad(input: usize, what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what,
        reason,
    }
}

/// The batch, the channels and the spatial extents of `[N, C, …]`.
fn image(shape: &[usize]) -> Result<(usize, usize, &[usize]), NodeError> {
    match shape {
        [n, c, spatial @ ..] if !spatial.is_empty() => Ok((*n, *c, spatial)),
        _ => Err(bad(0, "x", "it has no spatial axes")),
    }
}

/// The number of elements of a result, unless there are too many.
pub(super) fn count(shape: &[usize]) -> Result<usize, NodeError> {
    match elements(shape) {
        n if n <= MAX_ELEMENTS => Ok(n),
        _ => Err(bad(0, "x", "the result has too many elements")),
    }
}

/// Images, `[batch, channels, …spatial]`, with their elements.
struct Images<'a> {
    batch: usize,
    channels: usize,
    spatial: &'a [usize],
    data: &'a [f32],
}

/// The convolution with weights `[outputs, channels / groups, …kernel]`.
fn convolve(
    x: &Images<'_>,
    weights: &[f32],
    bias: Option<&[f32]>,
    (outputs, groups): (usize, usize),
    window: &Window,
) -> Result<Constant, NodeError> {
    let extents = window
        .output(x.spatial)
        .ok_or_else(|| bad(0, "x", "the window does not fit"))?;
    let taps = window.taps("Conv", x.spatial)?;
    let (size, positions) = (elements(x.spatial), taps.len());
    let (inputs, kernel) = (x.channels / groups, elements(&window.kernel));
    let mut y = Vec::with_capacity(count(&[x.batch, outputs, positions])?);
    for image in 0..x.batch {
        for output in 0..outputs {
            let first = output / (outputs / groups) * inputs;
            let start = bias.map_or(0.0, |b| b[output]);
            for position in 0..positions {
                let mut sum = start;
                for input in 0..inputs {
                    let plane = &x.data[(image * x.channels + first + input) * size..][..size];
                    let row = &weights[(output * inputs + input) * kernel..][..kernel];
                    for &(tap, element) in taps.of(position) {
                        sum += row[tap as usize] * plane[element as usize];
                    }
                }
                y.push(sum);
            }
        }
    }
    let shape = [&[x.batch, outputs], extents.as_slice()].concat();
    Ok(Constant::floats(shape, y))
}

fn groups(node: &NodeView<'_>, channels: usize) -> Result<usize, NodeError> {
    let fits = |g: &usize| *g > 0 && channels.is_multiple_of(*g);
    let groups = usize::try_from(node.int("group", 1)?).ok().filter(fits);
    groups.ok_or(NodeError::Attribute {
        name: "group",
        reason: "it does not fit the channels",
    })
}

fn checked_bias(inputs: &Inputs, n: usize) -> Result<Option<&[f32]>, NodeError> {
    match inputs.maybe_floats(2)? {
        Some(b) if b.len() != n => Err(bad(2, "the bias", "it has not one value for each channel")),
        other => Ok(other),
    }
}

const WEIGHTS: NodeError = bad(1, "the weights", "their shape does not fit the activation");

/// `Conv`.
pub(super) fn conv(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let (x, w) = (inputs.get(0)?, inputs.get(1)?);
    let (batch, channels, spatial) = image(&x.shape)?;
    let groups = groups(node, channels)?;
    let (outputs, per_group, kernel) = image(&w.shape)?;
    if per_group * groups != channels
        || outputs == 0
        || !outputs.is_multiple_of(groups)
        || kernel.len() != spatial.len()
    {
        return Err(WEIGHTS);
    }
    let window = window(node, spatial, kernel, false)?;
    let bias = checked_bias(inputs, outputs)?;
    let data = inputs.floats(0)?;
    let images = Images {
        batch,
        channels,
        spatial,
        data,
    };
    convolve(&images, inputs.floats(1)?, bias, (outputs, groups), &window)
}

/// `ConvTranspose`: the convolution with the kernel turned around over the input with zeros in between.
pub(super) fn conv_transpose(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let (x, w) = (inputs.get(0)?, inputs.get(1)?);
    let (batch, channels, spatial) = image(&x.shape)?;
    let groups = groups(node, channels)?;
    let (rows, per_group, kernel) = image(&w.shape)?;
    if rows != channels || per_group == 0 || kernel.len() != spatial.len() {
        return Err(WEIGHTS);
    }
    let (window, strides) = turned_window(node, spatial, kernel)?;
    let weights = turn(
        inputs.floats(1)?,
        channels / groups,
        per_group,
        elements(kernel),
        groups,
    );
    let wide: Vec<usize> = spatial
        .iter()
        .zip(&strides)
        .map(|(n, s)| (n.max(&1) - 1) * s + 1)
        .collect();
    let (size, wide_size) = (elements(spatial), elements(&wide));
    let mut spread = vec![0.0; count(&[batch, channels, wide_size])?];
    for (i, v) in inputs.floats(0)?.iter().enumerate() {
        let (plane, mut rest) = (i / size, i % size);
        let (mut place, mut step) = (0, 1);
        for d in (0..spatial.len()).rev() {
            place += rest % spatial[d] * strides[d] * step;
            rest /= spatial[d];
            step *= wide[d];
        }
        spread[plane * wide_size + place] = *v;
    }
    let outputs = per_group * groups;
    let bias = checked_bias(inputs, outputs)?;
    let images = Images {
        batch,
        channels,
        spatial: &wide,
        data: &spread,
    };
    convolve(&images, &weights, bias, (outputs, groups), &window)
}

/// `a · b` for matrices `[m, k]` and `[k, n]`.
fn product(a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
    let mut y = vec![0.0; m * n];
    for row in 0..m {
        let out = &mut y[row * n..][..n];
        for (i, factor) in a[row * k..][..k].iter().enumerate() {
            for (sum, value) in out.iter_mut().zip(&b[i * n..][..n]) {
                *sum += factor * value;
            }
        }
    }
    y
}

fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns)
        .map(|i| data[i % rows * columns + i / rows])
        .collect()
}

/// `Gemm`.
pub(super) fn gemm(node: &NodeView<'_>, inputs: &Inputs) -> Result<Constant, NodeError> {
    let matrix = |input: usize, turn: bool| -> Result<(Vec<f32>, usize, usize), NodeError> {
        let &[rows, columns] = inputs.get(input)?.shape.as_slice() else {
            return Err(bad(input, "the operand", "it is not a matrix"));
        };
        let data = inputs.floats(input)?;
        Ok(match turn {
            true => (transposed(data, rows, columns), columns, rows),
            false => (data.to_vec(), rows, columns),
        })
    };
    let (a, m, k) = matrix(0, node.flag("transA", false)?)?;
    let (b, rows, n) = matrix(1, node.flag("transB", false)?)?;
    if rows != k {
        return Err(WEIGHTS);
    }
    count(&[m, n])?;
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let mut y = product(&a, &b, (m, k, n));
    y.iter_mut().for_each(|v| *v *= alpha);
    if let Some(c) = inputs.maybe_floats(2)? {
        let place = |i: usize| match (c.len(), inputs.get(2).map(|c| c.shape.clone())) {
            (1, _) => Some(0),
            (_, Ok(shape)) if shape.last() == Some(&n) && c.len() == n => Some(i % n),
            (len, _) if len == m * n => Some(i),
            (_, Ok(shape)) if shape == [m, 1] => Some(i / n),
            _ => None,
        };
        for (i, v) in y.iter_mut().enumerate() {
            let at = place(i).ok_or(bad(2, "the bias", "it does not broadcast to the product"))?;
            *v += beta * c[at];
        }
    }
    Ok(Constant::floats(vec![m, n], y))
}

/// `MatMul`, with leading axes broadcast.
pub(super) fn matmul(inputs: &Inputs) -> Result<Constant, NodeError> {
    let (a, b) = (&inputs.get(0)?.shape, &inputs.get(1)?.shape);
    let (a_vector, b_vector) = (a.len() == 1, b.len() == 1);
    let a = if a_vector { vec![1, a[0]] } else { a.clone() };
    let b = if b_vector { vec![b[0], 1] } else { b.clone() };
    let ([lead_a @ .., m, k], [lead_b @ .., rows, n]) = (a.as_slice(), b.as_slice()) else {
        return Err(bad(0, "a", "it is a scalar"));
    };
    let lead = crate::ops::broadcast(lead_a, lead_b).filter(|_| k == rows);
    let lead = lead.ok_or(WEIGHTS)?;
    let at = |of: &[usize], index: usize| {
        let (mut rest, mut place, mut step) = (index, 0, 1);
        for d in (0..lead.len()).rev() {
            let i = rest % lead[d];
            rest /= lead[d];
            if let Some(own) = (d + of.len()).checked_sub(lead.len()) {
                if of[own] > 1 {
                    place += i * step;
                }
                step *= of[own];
            }
        }
        place
    };
    let (xs, ys) = (inputs.floats(0)?, inputs.floats(1)?);
    let mut out = Vec::with_capacity(count(&[elements(&lead), *m, *n])?);
    for index in 0..elements(&lead) {
        let x = &xs[at(lead_a, index) * m * k..][..m * k];
        let y = &ys[at(lead_b, index) * k * n..][..k * n];
        out.extend(product(x, y, (*m, *k, *n)));
    }
    let mut shape = lead;
    if !a_vector {
        shape.push(*m);
    }
    if !b_vector {
        shape.push(*n);
    }
    Ok(Constant::floats(shape, out))
}

/// How a window becomes one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    Max,
    Average,
}

/// `MaxPool`, `AveragePool` and their global forms.
pub(super) fn pool(
    node: &NodeView<'_>,
    inputs: &Inputs,
    kind: Pool,
    global: bool,
) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let (batch, channels, spatial) = image(&x.shape)?;
    let window = match global {
        true => Window::dense(spatial.to_vec()),
        false => window(node, spatial, &kernel_shape(node, spatial.len())?, true)?,
    };
    let whole = !global && kind == Pool::Average && node.flag("count_include_pad", false)?;
    let extents = window
        .output(spatial)
        .ok_or(bad(0, "x", "the window does not fit"))?;
    let taps = window.taps("MaxPool", spatial)?;
    let size = elements(spatial).max(1);
    let mut y = Vec::with_capacity(count(&[batch, channels, taps.len()])?);
    for plane in inputs.floats(0)?.chunks(size) {
        for position in 0..taps.len() {
            let values = taps.of(position).iter().map(|&(_, e)| plane[e as usize]);
            let count = if whole {
                elements(&window.kernel)
            } else {
                values.len()
            };
            y.push(match kind {
                Pool::Max => values.fold(f32::NEG_INFINITY, f32::max),
                Pool::Average => values.sum::<f32>() / count as f32,
            });
        }
    }
    Ok(Constant::floats(
        [&[batch, channels], extents.as_slice()].concat(),
        y,
    ))
}

/// `BatchNormalization` in inference.
pub(super) fn batch_normalization(
    node: &NodeView<'_>,
    inputs: &Inputs,
) -> Result<Constant, NodeError> {
    let x = inputs.get(0)?;
    let (factors, shifts) = factors(node, inputs)?;
    let inner: usize = x.shape.iter().skip(2).product();
    if x.shape.get(1) != Some(&factors.len()) {
        return Err(bad(1, "the scale", "it has not one float for each channel"));
    }
    let value = |(i, v): (usize, &f32)| {
        let c = i / inner.max(1) % factors.len();
        v * factors[c] + shifts[c]
    };
    let data = inputs.floats(0)?.iter().enumerate().map(value).collect();
    Ok(Constant::floats(x.shape.clone(), data))
}

/// The factor and the shift of each channel of a BatchNormalization.
pub(super) fn factors(
    node: &NodeView<'_>,
    inputs: &Inputs,
) -> Result<(Vec<f32>, Vec<f32>), NodeError> {
    let epsilon = node.float("epsilon", 1e-5)?;
    let (scale, bias) = (inputs.floats(1)?, inputs.floats(2)?);
    let (mean, variance) = (inputs.floats(3)?, inputs.floats(4)?);
    let n = scale.len();
    if n == 0 || [bias, mean, variance].iter().any(|v| v.len() != n) {
        return Err(bad(1, "the scale", "it has not one float for each channel"));
    }
    let factors: Vec<f32> = (0..n)
        .map(|c| scale[c] / (variance[c] + epsilon).sqrt())
        .collect();
    let shifts = (0..n).map(|c| bias[c] - mean[c] * factors[c]).collect();
    Ok((factors, shifts))
}
