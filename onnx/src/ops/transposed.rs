//! `ConvTranspose` between DequantizeLinear and QuantizeLinear.
//!
//! It is a convolution with the kernel turned around, over the input with `stride − 1` zeros between neighbours: a real
//! zero is the zero point, so the zeros are constants and cost nothing.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::F;
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::bias::BiasForm;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::params::centered;
use crate::group::real::{Acc, Base, Real};
use crate::operator::{ABSORBING, Facts, LINEAR, Operator};
use crate::ops::pool::list;
use zkonnx_circuits::ops::{Conv, Dilate, Move, Window};
use zkonnx_circuits::program::elements;

/// ONNX Runtime has no integer kernel of it.
const TRANSPOSED: Facts = Facts::new(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Sum],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[Operator::onnx("ConvTranspose")
    .value(
        F,
        TypeRule::Own(eval::types::conv_transpose),
        eval::conv::conv_transpose,
    )
    .closing(conv_transpose, &TRANSPOSED)
    .is(ABSORBING | LINEAR)];

/// Padding and output padding of each spatial axis.
struct Borders {
    begin: Vec<usize>,
    end: Vec<usize>,
    extra: Vec<usize>,
}

fn borders(
    node: &NodeView<'_>,
    input: &[usize],
    reach: &[usize],
    strides: &[usize],
) -> Result<Borders, NodeError> {
    let rank = input.len();
    let mut extra = list(node, "output_padding", rank, 0)?;
    let pads = list(node, "pads", 2 * rank, 0)?;
    let (mut begin, mut end) = (pads[..rank].to_vec(), pads[rank..].to_vec());
    let auto = node.text("auto_pad", "NOTSET")?;
    let wanted = match node.maybe_ints("output_shape")? {
        Some(_) => Some(list(node, "output_shape", rank, 1)?),
        None if auto.starts_with("SAME") => {
            Some((0..rank).map(|d| input[d] * strides[d]).collect())
        }
        None => None,
    };
    if let Some(wanted) = wanted {
        for d in 0..rank {
            let full = strides[d] * (input[d] - 1) + extra[d] + reach[d];
            let total = full.saturating_sub(wanted[d]);
            // What the kernel does not reach is added at the end, where only the bias remains.
            extra[d] += wanted[d].saturating_sub(full);
            let small = total / 2;
            (begin[d], end[d]) = match auto {
                "SAME_UPPER" => (small, total - small),
                _ => (total - small, small),
            };
        }
    } else if auto == "VALID" {
        (begin, end) = (vec![0; rank], vec![0; rank]);
    }
    Ok(Borders { begin, end, extra })
}

/// The window of the convolution that slides over the spread input, and the strides that spread it.
pub(crate) fn turned_window(
    node: &NodeView<'_>,
    input: &[usize],
    kernel: &[usize],
) -> Result<(Window, Vec<usize>), NodeError> {
    let rank = kernel.len();
    let (strides, dilations) = (
        list(node, "strides", rank, 1)?,
        list(node, "dilations", rank, 1)?,
    );
    if strides.contains(&0) || dilations.contains(&0) {
        return Err(NodeError::Attribute {
            name: "strides",
            reason: "a value is zero",
        });
    }
    let reach: Vec<usize> = (0..rank)
        .map(|d| (kernel[d] - 1) * dilations[d] + 1)
        .collect();
    let borders = borders(node, input, &reach, &strides)?;
    let outside = |side: &[usize]| -> Option<Vec<usize>> {
        (0..rank)
            .map(|d| (reach[d] - 1).checked_sub(side[d]))
            .collect()
    };
    let wide = NodeError::Attribute {
        name: "pads",
        reason: "they are wider than the kernel",
    };
    let pads_begin = outside(&borders.begin).ok_or_else(|| wide.clone())?;
    let mut pads_end = outside(&borders.end).ok_or(wide)?;
    pads_end
        .iter_mut()
        .zip(&borders.extra)
        .for_each(|(pad, extra)| *pad += extra);
    let window = Window {
        kernel: kernel.to_vec(),
        strides: vec![1; rank],
        dilations,
        pads_begin,
        pads_end,
    };
    Ok((window, strides))
}

/// `ConvTranspose`.
pub(crate) fn conv_transpose(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let x = cx.activation(node, 0)?;
    let weights = cx.weights(node, 1)?;
    let shape = cx.shape_of(x.tensor);
    let bad = |reason| NodeError::Input {
        input: 1,
        what: "the weights",
        reason,
    };
    let (&[_, channels, ref input @ ..], &[rows, per_group, ref kernel @ ..]) =
        (shape.as_slice(), weights.data.shape.as_slice())
    else {
        return Err(bad("their rank is not that of the activation"));
    };
    if input.len() != kernel.len() || kernel.is_empty() || rows != channels || per_group == 0 {
        return Err(bad("their shape does not fit the activation"));
    }
    let rank = kernel.len();
    if node.maybe_ints("kernel_shape")?.is_some() && list(node, "kernel_shape", rank, 1)? != kernel
    {
        return Err(NodeError::Attribute {
            name: "kernel_shape",
            reason: "it is not that of the weights",
        });
    }
    let groups = usize::try_from(node.int("group", 1)?)
        .ok()
        .filter(|g| *g > 0 && channels.is_multiple_of(*g));
    let groups = groups.ok_or(NodeError::Attribute {
        name: "group",
        reason: "it does not fit the channels",
    })?;
    if weights.params.axis.is_some_and(|axis| axis != 1) {
        return Err(bad("their scales do not follow the output channels"));
    }
    // The output channels of each group have the same scales.
    let w_scale = match weights.params.axis {
        Some(_) => weights.params.scale.repeat(groups),
        None => weights.params.scale.clone(),
    };
    let (window, strides) = turned_window(node, input, kernel)?;
    let values = centered(&weights).ok_or_else(|| bad("they are not integers"))?;
    let outputs = per_group * groups;
    let turned = turn(
        &values,
        channels / groups,
        per_group,
        elements(kernel),
        groups,
    );
    let scales: Vec<f32> = w_scale.iter().map(|w| x.scale * w).collect();
    let origin = cx.origin(node, &[0], None);
    let bias = cx.maybe(node, 2);
    let form = BiasForm::new(cx, (bias.as_ref(), 2), false, &origin);
    let bias = cx.linear_bias(bias, &form, &scales, outputs)?;
    let steps = [&[1, 1], strides.as_slice()].concat();
    let spread = cx.push(
        node,
        Move(Dilate {
            steps,
            value: x.zero,
        }),
        &[x.tensor],
    )?;
    let conv = |bias| Conv::new(turned.clone(), bias, groups, x.zero, window.clone());
    let tensor = cx.push(node, conv(bias.integers)?, &[spread])?;
    let float = match bias.reals {
        Some(reals) => Some((cx.push(node, conv(vec![0; outputs])?, &[spread])?, reals)),
        None => None,
    };
    let acc = Acc {
        tensor,
        x: spread,
        x_scale: x.scale,
        w_scale,
        axis: 1,
        rebias: None,
        float,
        rounded: false,
        terms: turned.len() / outputs.max(1),
        origin,
    };
    Ok(Done::pending(Real::new(
        Base::Acc(acc),
        cx.shape_of(tensor),
    )))
}

/// Weights `[inputs, outputs, …taps]` of each group as `[outputs, inputs, …taps]` with the taps in reverse order.
pub(crate) fn turn<T: Copy>(
    values: &[T],
    inputs: usize,
    outputs: usize,
    taps: usize,
    groups: usize,
) -> Vec<T> {
    let mut turned = Vec::with_capacity(values.len());
    for group in 0..groups {
        for output in 0..outputs {
            for input in 0..inputs {
                let first = ((group * inputs + input) * outputs + output) * taps;
                turned.extend(values[first..first + taps].iter().rev());
            }
        }
    }
    turned
}
