//! Pooling, and the geometry of windows that convolution shares.

use crate::error::NodeError;
use crate::eval;
use crate::eval::inputs::{D, F, I8, U8};
use crate::eval::types::TypeRule;
use crate::graph::NodeView;
use crate::group::exactness::Relation;
use crate::group::importer::{Done, Importer};
use crate::group::operands::{quantized, summand};
use crate::group::params::{Quantized, scalar};
use crate::group::real::{Base, Deferred, Mean, MeanKind, Real, Value};
use crate::group::routes::{Origin, alike};
use crate::operator::{
    BYTES, EXACT, Facts, LAST, MOVING, Operator, Parts, QUANTIZED, ROUTED, SELECTING,
};
use crate::rewrite::decompose;
use zkonnx_circuits::ops::{MaxPool, Window, WindowSum};
use zkonnx_circuits::program::elements;

const AVERAGE: Facts = Facts::new(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Sum],
);

const GLOBAL_AVERAGE: Facts = Facts::new(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Kernel, Relation::Sum],
);

const MAXIMUM: Facts = Facts::new(BYTES, "no indices", &[Relation::Kernel]);

const MEAN_KERNEL: Facts = Facts::new(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Kernel],
);

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::onnx("AveragePool")
        .decomposed(Parts::One(decompose::average_over_edge))
        .attributes(&[("dilations", 19, LAST)])
        .value(F, TypeRule::Own(eval::types::pool), eval::pool::pool)
        .integers(average_pool, &AVERAGE),
    Operator::onnx("GlobalAveragePool")
        .value(F, TypeRule::Own(eval::types::pool), eval::pool::pool)
        .integers(global_average_pool, &GLOBAL_AVERAGE),
    Operator::onnx("GlobalLpPool").decomposed(Parts::One(decompose::lp_pool)),
    Operator::onnx("GlobalMaxPool")
        .value(F, TypeRule::Own(eval::types::pool), eval::pool::pool)
        .integers(global_max_pool, &MAXIMUM)
        .is(SELECTING),
    Operator::onnx("LpPool").decomposed(Parts::One(decompose::lp_pool)),
    Operator::onnx("MaxPool")
        .value(F | D | I8 | U8, TypeRule::Zeros(1), eval::pool::pool)
        .integers(max_pool, &MAXIMUM)
        .is(EXACT | MOVING | ROUTED | SELECTING),
    Operator::microsoft("QLinearAveragePool")
        .typed(TypeRule::Own(eval::types::qlinear_pool))
        .closing(qlinear_average_pool, &AVERAGE)
        .is(QUANTIZED),
    Operator::microsoft("QLinearGlobalAveragePool")
        .typed(TypeRule::Own(eval::types::qlinear_pool))
        .closing(qlinear_global_average_pool, &MEAN_KERNEL)
        .is(QUANTIZED),
];

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
    if values.len() != len {
        return Err(NodeError::Attribute {
            name,
            reason: "it has the wrong length",
        });
    }
    let narrow = |v: &i64| u16::try_from(*v).map(usize::from);
    values
        .iter()
        .map(narrow)
        .collect::<Result<_, _>>()
        .map_err(|_| NodeError::Attribute {
            name,
            reason: "a value is negative or above 65,535",
        })
}

/// The window of a convolution or pooling node over these spatial extents. With `ceil_mode`, extents round up, which
/// becomes padding at the end.
pub(crate) fn window(
    node: &NodeView<'_>,
    input: &[usize],
    kernel: &[usize],
    pooling: bool,
) -> Result<Window, NodeError> {
    let rank = kernel.len();
    if input.len() != rank {
        return Err(NodeError::Attribute {
            name: "kernel_shape",
            reason: "it has not one value for each spatial axis",
        });
    }
    let strides = list(node, "strides", rank, 1)?;
    let dilations = list(node, "dilations", rank, 1)?;
    let pads = list(node, "pads", 2 * rank, 0)?;
    let positive = |name, values: &[usize]| match values.iter().all(|v| *v > 0) {
        true => Ok(()),
        false => Err(NodeError::Attribute {
            name,
            reason: "a value is zero",
        }),
    };
    positive("strides", &strides)?;
    positive("dilations", &dilations)?;
    positive("kernel_shape", kernel)?;
    let mut window = Window {
        kernel: kernel.to_vec(),
        strides,
        dilations,
        pads_begin: pads[..rank].to_vec(),
        pads_end: pads[rank..].to_vec(),
    };
    let reach: Vec<usize> = (0..rank)
        .map(|d| (kernel[d] - 1) * window.dilations[d] + 1)
        .collect();
    match node.text("auto_pad", "NOTSET")? {
        "NOTSET" | "" => {}
        "VALID" => {
            window.pads_begin = vec![0; rank];
            window.pads_end = vec![0; rank];
        }
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            for d in 0..rank {
                let out = input[d].div_ceil(window.strides[d]);
                let needed = (out.max(1) - 1) * window.strides[d] + reach[d];
                let total = needed.saturating_sub(input[d]);
                let begin = if same == "SAME_UPPER" {
                    total / 2
                } else {
                    total.div_ceil(2)
                };
                window.pads_begin[d] = begin;
                window.pads_end[d] = total - begin;
            }
        }
        _ => {
            return Err(NodeError::Attribute {
                name: "auto_pad",
                reason: "the value is not known",
            });
        }
    }
    if pooling && node.flag("ceil_mode", false)? {
        for d in 0..rank {
            let padded = input[d] + window.pads_begin[d] + window.pads_end[d];
            let Some(room) = padded.checked_sub(reach[d]) else {
                continue;
            };
            let mut out = room.div_ceil(window.strides[d]) + 1;
            // A window that would start in the padding at the end is left out.
            if (out - 1) * window.strides[d] >= input[d] + window.pads_begin[d] {
                out -= 1;
            }
            let needed = (out.max(1) - 1) * window.strides[d] + reach[d];
            window.pads_end[d] = needed.saturating_sub(input[d] + window.pads_begin[d]).max(
                if room.is_multiple_of(window.strides[d]) {
                    window.pads_end[d]
                } else {
                    0
                },
            );
        }
    }
    Ok(window)
}

pub(crate) fn kernel_shape(node: &NodeView<'_>, rank: usize) -> Result<Vec<usize>, NodeError> {
    if node.maybe_ints("kernel_shape")?.is_none() {
        return Err(NodeError::Attribute {
            name: "kernel_shape",
            reason: "it is missing",
        });
    }
    list(node, "kernel_shape", rank, 1)
}

/// The spatial extents of `[N, C, …]`.
fn spatial(shape: &[usize]) -> Result<&[usize], NodeError> {
    match shape {
        [_, _, spatial @ ..] if !spatial.is_empty() => Ok(spatial),
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it has no spatial axes",
        }),
    }
}

/// `MaxPool` on integers, or pending on reals.
pub(crate) fn max_pool(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    node.int("storage_order", 0)?;
    if (1..node.outputs()).any(|output| cx.is_used(node, output)) {
        return Err(NodeError::Arity {
            what: "outputs",
            expected: "1 (places of the largest elements are proved of ArgMax and TopK only)",
            got: node.outputs(),
        });
    }
    let x = cx.value(node, 0)?;
    let shape = cx.shape(&x).ok_or(NodeError::Input {
        input: 0,
        what: "x",
        reason: "it is constant",
    })?;
    let spatial = spatial(&shape)?;
    let kernel = kernel_shape(node, spatial.len())?;
    let window = window(node, spatial, &kernel, true)?;
    pool_max(cx, node, x, shape, window)
}

fn pool_max(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: Value,
    shape: Vec<usize>,
    window: Window,
) -> Result<Done, NodeError> {
    let op = MaxPool::new(window.clone())?;
    match x {
        Value::Int(tensor) => Ok(Done::int(cx.push(node, op, &[tensor])?)),
        Value::Real(real) => {
            if let Some(Quantized { tensor, params }) = real.as_quantized()
                && params.axis.is_none()
            {
                let tensor = cx.push(node, op, &[*tensor])?;
                let shape = cx.builder.fact(tensor).shape.clone();
                let base = Base::Quantized(Quantized {
                    tensor,
                    params: params.clone(),
                });
                return Ok(Done::pending(Real::new(base, shape)));
            }
            // Quantization never decreases, so the maximum may be taken of the integers that it makes.
            let bad = NodeError::Attribute {
                name: "kernel_shape",
                reason: "the window does not fit",
            };
            let spatial = window.output(&shape[2..]).ok_or(bad)?;
            let mut next = (*real).clone();
            next.shape = [&shape[..2], spatial.as_slice()].concat();
            next.after.push(Deferred::MaxPool(window));
            Ok(Done::pending(next.grown(1)?))
        }
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not an activation",
        }),
    }
}

/// `GlobalMaxPool`.
pub(crate) fn global_max_pool(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let x = cx.value(node, 0)?;
    let shape = cx.shape(&x).ok_or(NodeError::Input {
        input: 0,
        what: "x",
        reason: "it is constant",
    })?;
    let window = Window::dense(spatial(&shape)?.to_vec());
    pool_max(cx, node, x, shape, window)
}

/// The divisors of each window: those of the kernel, and those of the float operator.
fn divisors(
    node: &NodeView<'_>,
    window: &Window,
    spatial: &[usize],
) -> Result<[Vec<u32>; 2], NodeError> {
    if !node.flag("count_include_pad", false)? {
        let counts = WindowSum::new(window.clone(), 0)?.counts(spatial)?;
        return Ok([counts.clone(), counts]);
    }
    // The kernel divides by the size of the window, also where the ceiling mode leaves part of it outside.
    let whole = vec![u32::try_from(elements(&window.kernel)).unwrap_or(u32::MAX)];
    let pads = list(node, "pads", 2 * spatial.len(), 0)?;
    Ok([whole, within_padding(window, spatial, &pads)?])
}

/// Sums of windows and the divisor of each.
fn sums(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
    x: &Quantized,
    kind: MeanKind,
    origin: Origin,
) -> Result<Real, NodeError> {
    let shape = cx.builder.fact(x.tensor).shape.clone();
    let spatial = spatial(&shape)?;
    let (window, [counts, float_counts]) = if kind == MeanKind::Global {
        let count = u32::try_from(spatial.iter().product::<usize>()).unwrap_or(u32::MAX);
        let counts = vec![count];
        (Window::dense(spatial.to_vec()), [counts.clone(), counts])
    } else {
        let kernel = kernel_shape(node, spatial.len())?;
        let window = window(node, spatial, &kernel, true)?;
        let counts = divisors(node, &window, spatial)?;
        (window, counts)
    };
    if counts.contains(&0) || float_counts.contains(&0) {
        return Err(NodeError::Attribute {
            name: "pads",
            reason: "a window holds no element",
        });
    }
    // No quantized kernel has dilations.
    let spread = window.dilations.iter().any(|d| *d > 1);
    let (scale, zero) = x.params.uniform().ok_or(NodeError::Unknown)?;
    let terms = window.kernel.iter().product();
    let tensor = cx.push(node, WindowSum::new(window, zero)?, &[x.tensor])?;
    let shape = cx.builder.fact(tensor).shape.clone();
    let each = |counts: Vec<u32>| match counts.first() {
        Some(&first) if counts.iter().all(|c| *c == first) => vec![first],
        _ => (0..shape[0] * shape[1])
            .flat_map(|_| counts.iter().copied())
            .collect(),
    };
    let mean = Mean {
        tensor,
        scale,
        terms,
        counts: each(counts),
        float_counts: Some(each(float_counts)),
        kind,
        origin: if spread { origin.in_float() } else { origin },
    };
    Ok(Real::new(Base::Mean(mean), shape))
}

/// How many taps of each window are elements or explicit padding: all of them but where the ceiling mode lets a window
/// reach beyond. `auto_pad` leaves no such place.
fn within_padding(
    window: &Window,
    spatial: &[usize],
    pads: &[usize],
) -> Result<Vec<u32>, NodeError> {
    let rank = spatial.len();
    let explicit = window.pads_begin == pads[..rank];
    // The ceiling mode may also leave out the last window, and padding with it.
    let end = |d: usize| match explicit {
        true => pads[rank + d].min(window.pads_end[d]),
        false => window.pads_end[d],
    };
    let padded: Vec<usize> = (0..rank)
        .map(|d| spatial[d] + window.pads_begin[d] + end(d))
        .collect();
    let beyond = |d: usize| window.pads_end[d] - end(d);
    let all = Window {
        pads_begin: vec![0; rank],
        pads_end: (0..rank).map(beyond).collect(),
        ..window.clone()
    };
    Ok(WindowSum::new(all, 0)?.counts(&padded)?)
}

/// `AveragePool` between DequantizeLinear and QuantizeLinear.
pub(crate) fn average_pool(cx: &mut Importer<'_>, node: &NodeView<'_>) -> Result<Done, NodeError> {
    let x = summand(cx, node)?;
    let origin = cx.origin(node, &[0], alike(&[x.params.dtype]));
    Ok(Done::pending(sums(
        cx,
        node,
        &x,
        MeanKind::Windows,
        origin,
    )?))
}

/// `GlobalAveragePool` between DequantizeLinear and QuantizeLinear.
pub(crate) fn global_average_pool(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    let x = summand(cx, node)?;
    let origin = cx.origin(node, &[0], alike(&[x.params.dtype]));
    Ok(Done::pending(sums(cx, node, &x, MeanKind::Global, origin)?))
}

fn qlinear(cx: &mut Importer<'_>, node: &NodeView<'_>, kind: MeanKind) -> Result<Done, NodeError> {
    if node.flag("channels_last", false)? {
        return Err(NodeError::Attribute {
            name: "channels_last",
            reason: "only 0 is supported",
        });
    }
    let x = quantized(cx, node, 0)?;
    let y = cx.output_params(node, &scalar(3, 4, x.params.dtype))?;
    let real = sums(cx, node, &x, kind, Origin::kernel())?;
    let (tensor, exactness) = cx.close(node, &real, &y)?;
    Ok(Done::closed(tensor, exactness))
}

/// `com.microsoft.QLinearAveragePool`.
pub(crate) fn qlinear_average_pool(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    qlinear(cx, node, MeanKind::Windows)
}

/// `com.microsoft.QLinearGlobalAveragePool`.
pub(crate) fn qlinear_global_average_pool(
    cx: &mut Importer<'_>,
    node: &NodeView<'_>,
) -> Result<Done, NodeError> {
    qlinear(cx, node, MeanKind::Global)
}
