//! Convolutions.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, attribute, bad, one};
use crate::eval::places::{each, strides};
use crate::eval::product::widened;
use crate::graph::NodeView;
use crate::graph::constant::Data;
use zkonnx_circuits::program::elements;

/// The batch, the channels and the spatial extents of `[N, C, …]`.
pub(crate) fn image(shape: &[usize]) -> Result<(usize, usize, &[usize]), NodeError> {
    match shape {
        [n, c, spatial @ ..] if !spatial.is_empty() => Ok((*n, *c, spatial)),
        _ => Err(bad(0, "x", "it has no spatial axes")),
    }
}

/// A list attribute of small numbers.
pub(crate) fn list(
    node: &NodeView<'_>,
    name: &'static str,
    len: usize,
    default: usize,
) -> Result<Vec<usize>, NodeError> {
    let Some(values) = node.maybe_ints(name)? else {
        return Ok(vec![default; len]);
    };
    let narrow = |v: &i64| u16::try_from(*v).ok().map(usize::from);
    let values: Option<Vec<usize>> = values.iter().map(narrow).collect();
    let values = values.ok_or(attribute(name, "a value is negative or above 65,535"))?;
    match values.len() == len {
        true => Ok(values),
        false => Err(attribute(name, "it has the wrong length")),
    }
}

/// A window that slides over spatial axes.
pub(crate) struct Geometry {
    pub(crate) kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    begin: Vec<usize>,
    end: Vec<usize>,
    /// Extents of the result.
    pub(crate) out: Vec<usize>,
}

impl Geometry {
    /// Pooling knows `ceil_mode`.
    pub(crate) fn new(
        node: &NodeView<'_>,
        input: &[usize],
        kernel: Vec<usize>,
        pooling: bool,
    ) -> Result<Self, NodeError> {
        let rank = kernel.len();
        if input.len() != rank || kernel.contains(&0) {
            return Err(attribute(
                "kernel_shape",
                "it does not fit the spatial axes",
            ));
        }
        let strides = list(node, "strides", rank, 1)?;
        let dilations = list(node, "dilations", rank, 1)?;
        let pads = list(node, "pads", 2 * rank, 0)?;
        if strides.contains(&0) || dilations.contains(&0) {
            return Err(attribute("strides", "a stride or a dilation is zero"));
        }
        let (mut begin, mut end) = (pads[..rank].to_vec(), pads[rank..].to_vec());
        let ceil = pooling && node.flag("ceil_mode", false)?;
        let auto = node.text("auto_pad", "NOTSET")?;
        let mut out = Vec::with_capacity(rank);
        for d in 0..rank {
            let (stride, reach) = (strides[d], (kernel[d] - 1) * dilations[d] + 1);
            match auto {
                "NOTSET" | "" => {}
                "VALID" => (begin[d], end[d]) = (0, 0),
                "SAME_UPPER" | "SAME_LOWER" => {
                    let target = input[d].div_ceil(stride).max(1);
                    let covered = (target - 1) * stride + reach;
                    let average = node.op() == "AveragePool" && node.opset >= 19;
                    if pooling && !average && covered < input[d] {
                        let reason = "the strides leave elements out, which pooling does not";
                        return Err(attribute("auto_pad", reason));
                    }
                    let total = covered.saturating_sub(input[d]);
                    let half = if auto == "SAME_UPPER" {
                        total / 2
                    } else {
                        total.div_ceil(2)
                    };
                    (begin[d], end[d]) = (half, total - half);
                }
                _ => return Err(attribute("auto_pad", "the value is not known")),
            }
            let room = (input[d] + begin[d] + end[d]).checked_sub(reach);
            let room = room.ok_or(bad(0, "x", "the window does not fit"))?;
            let mut extent = room / stride + 1;
            if ceil {
                extent = room.div_ceil(stride) + 1;
                // A window that would start in the padding at the end is left out.
                extent -= usize::from((extent - 1) * stride >= input[d] + begin[d]);
            }
            out.push(extent);
        }
        Ok(Self {
            kernel,
            strides,
            dilations,
            begin,
            end,
            out,
        })
    }

    /// The elements under each window, as pairs of a tap and an element, and how many taps lie within the padded input.
    pub(crate) fn windows(&self, input: &[usize]) -> Vec<Window> {
        let rank = self.kernel.len();
        let from = strides(input);
        let mut windows = Vec::with_capacity(elements(&self.out));
        each(&self.out, |position| {
            let mut window = Window {
                taps: Vec::new(),
                padded: 0,
            };
            let mut tap = 0;
            each(&self.kernel, |offset| {
                let (mut place, mut inside, mut padded) = (0, true, true);
                for d in 0..rank {
                    let at = position[d] * self.strides[d] + offset[d] * self.dilations[d];
                    padded &= at < self.begin[d] + input[d] + self.end[d];
                    match at.checked_sub(self.begin[d]).filter(|&at| at < input[d]) {
                        Some(at) => place += at * from[d],
                        None => inside = false,
                    }
                }
                window.padded += usize::from(padded);
                if inside {
                    window.taps.push((tap, place));
                }
                tap += 1;
            });
            windows.push(window);
        });
        windows
    }
}

/// The elements under a window.
pub(crate) struct Window {
    pub(crate) taps: Vec<(usize, usize)>,
    /// Taps within the padded input.
    pub(crate) padded: usize,
}

const WEIGHTS: NodeError = bad(1, "the weights", "their shape does not fit the activation");

fn groups(node: &NodeView<'_>, channels: usize) -> Result<usize, NodeError> {
    let groups = usize::try_from(node.int("group", 1)?).ok();
    let fits = |g: &usize| *g > 0 && channels.is_multiple_of(*g);
    groups
        .filter(fits)
        .ok_or(attribute("group", "it does not fit the channels"))
}

fn bias<'a>(inputs: &Inputs<'a>, n: usize) -> Result<Option<&'a [f32]>, NodeError> {
    match inputs.maybe_floats(2)? {
        Some(b) if b.len() != n => Err(bad(2, "the bias", "it has not one value for each channel")),
        other => Ok(other),
    }
}

/// The kernel of the weights, which the attribute may only repeat.
fn kernel(node: &NodeView<'_>, of: &[usize]) -> Result<Vec<usize>, NodeError> {
    match node.maybe_ints("kernel_shape")? {
        Some(_) if list(node, "kernel_shape", of.len(), 1)? != of => {
            Err(attribute("kernel_shape", "it is not that of the weights"))
        }
        _ => Ok(of.to_vec()),
    }
}

/// Groups and windows of a `Conv` of these shapes.
pub(crate) fn conv_geometry(
    node: &NodeView<'_>,
    x: &[usize],
    w: &[usize],
) -> Result<(usize, Geometry), NodeError> {
    let (_, channels, spatial) = image(x)?;
    let groups = groups(node, channels)?;
    let (outputs, per_group, taps) = image(w)?;
    let fits = per_group.checked_mul(groups) == Some(channels)
        && outputs > 0
        && outputs.is_multiple_of(groups);
    if !fits || taps.len() != spatial.len() {
        return Err(WEIGHTS);
    }
    let geometry = Geometry::new(node, spatial, kernel(node, taps)?, false)?;
    Ok((groups, geometry))
}

/// `Conv`: each sum is rounded, then the bias is added.
pub(crate) fn conv(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, w) = (inputs.get(0)?, inputs.get(1)?);
    let (groups, geometry) = conv_geometry(node, &x.shape, &w.shape)?;
    let ((batch, channels, spatial), (outputs, per_group, _)) =
        (image(&x.shape)?, image(&w.shape)?);
    let bias = bias(inputs, outputs)?;
    let shape = [&[batch, outputs], geometry.out.as_slice()].concat();
    let mut y = Vec::with_capacity(inputs.count(&shape)?);
    let windows = geometry.windows(spatial);
    let (data, weights) = (widened(inputs.floats(0)?), widened(inputs.floats(1)?));
    let (size, kernel) = (elements(spatial), elements(&geometry.kernel));
    for image in 0..batch {
        for output in 0..outputs {
            let first = image * channels + output / (outputs / groups) * per_group;
            for window in &windows {
                let mut sum = 0.0f64;
                for input in 0..per_group {
                    let plane = &data[(first + input) * size..][..size];
                    let row = &weights[(output * per_group + input) * kernel..][..kernel];
                    for &(tap, element) in &window.taps {
                        sum += row[tap] * plane[element];
                    }
                }
                y.push(sum as f32 + bias.map_or(0.0, |b| b[output]));
            }
        }
    }
    one(shape, Data::Float(y))
}

/// Extents of the result of a ConvTranspose, and what is cut off at the start of each axis.
fn turned(
    node: &NodeView<'_>,
    input: &[usize],
    reach: &[usize],
    strides: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), NodeError> {
    let rank = input.len();
    let extra = list(node, "output_padding", rank, 0)?;
    let pads = list(node, "pads", 2 * rank, 0)?;
    let auto = node.text("auto_pad", "NOTSET")?;
    let given = node.maybe_ints("output_shape")?.is_some();
    let given = given
        .then(|| list(node, "output_shape", rank, 1))
        .transpose()?;
    let (mut out, mut begin) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
    for d in 0..rank {
        let full = strides[d] * (input[d].max(1) - 1) + extra[d] + reach[d];
        let wanted = match &given {
            Some(given) => Some(given[d]),
            None => auto
                .starts_with("SAME")
                .then(|| full.min(input[d] * strides[d])),
        };
        if let Some(wanted) = wanted {
            let total = full.saturating_sub(wanted);
            out.push(wanted);
            begin.push(if auto == "SAME_UPPER" {
                total / 2
            } else {
                total - total / 2
            });
            continue;
        }
        let (before, after) = if auto == "VALID" {
            (0, 0)
        } else {
            (pads[d], pads[rank + d])
        };
        let extent = full.checked_sub(before + after).filter(|&n| n > 0);
        out.push(extent.ok_or(attribute("pads", "they leave nothing"))?);
        begin.push(before);
    }
    Ok((out, begin))
}

/// How every element of a `ConvTranspose` spreads.
struct Spread {
    groups: usize,
    taps: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Extents of the result.
    out: Vec<usize>,
    /// What is cut off at the start of each axis.
    begin: Vec<usize>,
}

fn spread(node: &NodeView<'_>, x: &[usize], w: &[usize]) -> Result<Spread, NodeError> {
    let (_, channels, spatial) = image(x)?;
    let groups = groups(node, channels)?;
    let (rows, per_group, taps) = image(w)?;
    let rank = spatial.len();
    if rows != channels || per_group == 0 || taps.len() != rank || taps.contains(&0) {
        return Err(WEIGHTS);
    }
    let taps = kernel(node, taps)?;
    let (strides, dilations) = (
        list(node, "strides", rank, 1)?,
        list(node, "dilations", rank, 1)?,
    );
    if strides.contains(&0) || dilations.contains(&0) {
        return Err(attribute("strides", "a stride or a dilation is zero"));
    }
    let reach: Vec<usize> = (0..rank)
        .map(|d| (taps[d] - 1) * dilations[d] + 1)
        .collect();
    let (out, begin) = turned(node, spatial, &reach, &strides)?;
    Ok(Spread {
        groups,
        taps,
        strides,
        dilations,
        out,
        begin,
    })
}

/// The shape of the result of a `ConvTranspose` of these shapes.
pub(crate) fn transposed_extents(
    node: &NodeView<'_>,
    x: &[usize],
    w: &[usize],
) -> Result<Vec<usize>, NodeError> {
    let spread = spread(node, x, w)?;
    let ((batch, ..), (_, per_group, _)) = (image(x)?, image(w)?);
    Ok([&[batch, per_group * spread.groups], spread.out.as_slice()].concat())
}

/// `ConvTranspose`: every element spreads over the result; the sums are rounded once the bias is added.
pub(crate) fn conv_transpose(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, w) = (inputs.get(0)?, inputs.get(1)?);
    let ((batch, channels, spatial), (_, per_group, _)) = (image(&x.shape)?, image(&w.shape)?);
    let Spread {
        groups,
        taps,
        strides: steps,
        dilations,
        out,
        begin,
    } = spread(node, &x.shape, &w.shape)?;
    let (rank, outputs) = (spatial.len(), per_group * groups);
    let bias = bias(inputs, outputs)?;
    let shape = [&[batch, outputs], out.as_slice()].concat();
    let mut sums = vec![0.0f64; inputs.count(&shape)?];
    // For each element of a plane, the taps that stay within the result and where they fall.
    let to = strides(&out);
    let mut fallen = Vec::with_capacity(elements(spatial));
    each(spatial, |at| {
        let (mut falls, mut tap) = (Vec::new(), 0);
        each(&taps, |offset| {
            let place = (0..rank).map(|d| {
                let place = at[d] * steps[d] + offset[d] * dilations[d];
                let place = place.checked_sub(begin[d]).filter(|&p| p < out[d])?;
                Some(place * to[d])
            });
            falls.extend(place.sum::<Option<usize>>().map(|place| (tap, place)));
            tap += 1;
        });
        fallen.push(falls);
    });
    let (data, weights) = (widened(inputs.floats(0)?), widened(inputs.floats(1)?));
    let (size, area, kernel) = (elements(spatial), elements(&out), elements(&taps));
    for image in 0..batch {
        for channel in 0..channels {
            let group = channel / (channels / groups);
            let plane = &data[(image * channels + channel) * size..][..size];
            for output in 0..per_group {
                let row = &weights[(channel * per_group + output) * kernel..][..kernel];
                let start = (image * outputs + group * per_group + output) * area;
                let target = &mut sums[start..][..area];
                for (value, falls) in plane.iter().zip(&fallen) {
                    for &(tap, place) in falls {
                        target[place] += value * row[tap];
                    }
                }
            }
        }
    }
    let value = |(i, sum): (usize, &f64)| {
        let output = i / area.max(1) % outputs;
        *sum as f32 + bias.map_or(0.0, |b| b[output])
    };
    let y = sums.iter().enumerate().map(value).collect();
    one(shape, Data::Float(y))
}
