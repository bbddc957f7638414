//! Operators that are not proved themselves, expressed by those that are.
//!
//! Each function here is an identity of real functions, as the ONNX text defines them; the quantized model then holds
//! the parts, and any tool can check it.

use super::einsum::einsum;
use super::interpolate::interpolated;
use super::recurrent;
use crate::error::ImportError;
use crate::graph::{Attribute, Draft, Graph, Made, Node, NodeView, STANDARD, ValueId};
use crate::passes::refresh;
use crate::proto::tensor::code;
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::{DataType, MAX_NODES, elements};

/// Most elements of an activation that is expanded to a constant's shape.
const MAX_EXPANDED: usize = 1 << 20;
/// Widest window along channels.
const MAX_WINDOW: i64 = 1 << 12;
/// Most factors of a product along axes.
const MAX_FACTORS: usize = 64;

/// Replaces the nodes that can be expressed by others and whose inputs' shapes are known, until there are none.
pub(super) fn decompose(graph: &mut Graph) -> Result<(), ImportError> {
    while round(graph) {
        // What follows a node that was taken apart is known only now.
        refresh(graph, 0)?;
        graph.verify("decompose");
    }
    Ok(())
}

fn round(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut i = 0;
    while i < graph.nodes.len() {
        let Some(made) = replacement(graph, &graph.nodes[i]) else {
            i += 1;
            continue;
        };
        let count = made.nodes.len();
        // A file of cells that unroll to more than a model may hold is left as it is, and refused.
        if graph.nodes.len() + count > MAX_NODES {
            i += 1;
            continue;
        }
        let nodes = made.apply(graph);
        graph.nodes.splice(i..=i, nodes);
        changed = true;
        i += count;
    }
    changed
}

fn replacement(graph: &Graph, node: &Node) -> Option<Made> {
    if node.domain != STANDARD {
        return None;
    }
    let view = NodeView::new(graph, node);
    let first = node.made().next()?;
    let mut draft = Draft::new(graph, graph.name(first));
    let results = results(&mut draft, &view)?;
    Some(draft.finish(&results, &node.outputs))
}

fn results(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<Vec<Option<ValueId>>> {
    let one = match node.op() {
        "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp"
        | "ReduceProd" => reduction(p, node),
        "Sum" | "Mean" => sum(p, node),
        "AveragePool" => average_over_edge(p, node),
        "LpPool" | "GlobalLpPool" => lp_pool(p, node),
        "LpNormalization" => lp_normalization(p, node),
        "LRN" => local_response(p, node),
        "InstanceNormalization" | "GroupNormalization" => group_normalization(p, node),
        "LayerNormalization" => layer_normalization(p, node),
        "Clip" => computed_limits(p, node),
        "Einsum" => einsum(p, node),
        "Resize" => interpolated(p, node),
        "Gemm" => computed_addend(p, node),
        "Cast" => truth(p, node),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" => expanded(p, node),
        "RNN" | "GRU" | "LSTM" => return recurrent::unrolled(p, node),
        _ => None,
    };
    Some(vec![Some(one?)])
}

/// Of a float, whether it is not zero.
fn truth(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let x = node.input(0).filter(|x| p.graph().is_float(*x))?;
    if node.int("to", 0) != Ok(i64::from(code(DataType::Bool))) {
        return None;
    }
    let zero = p.scalar(0.0);
    let equal = p.op("Equal", &[x, zero]);
    Some(p.op("Not", &[equal]))
}

/// The axes of a reduction: an attribute or an input; all of them if there are none.
fn axes(node: &NodeView<'_>, rank: usize) -> Option<Vec<i64>> {
    let given = match node.maybe_ints("axes").ok()? {
        Some(axes) => axes.to_vec(),
        None => match node.input(1) {
            Some(_) => node.constant_ints(1)?,
            None => Vec::new(),
        },
    };
    let idle = given.is_empty() && node.flag("noop_with_empty_axes", false).ok()?;
    let all = (0..rank as i64).collect();
    (!idle).then_some(if given.is_empty() { all } else { given })
}

fn reduction(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let axes = axes(node, shape.len())?;
    let y = match node.op() {
        "ReduceL1" => {
            let magnitude = p.op("Abs", &[x]);
            p.reduce("ReduceSum", magnitude, &axes)
        }
        "ReduceL2" | "ReduceSumSquare" => {
            let square = p.op("Mul", &[x, x]);
            let sum = p.reduce("ReduceSum", square, &axes);
            match node.op() {
                "ReduceL2" => p.op("Sqrt", &[sum]),
                _ => sum,
            }
        }
        "ReduceLogSum" => {
            let sum = p.reduce("ReduceSum", x, &axes);
            p.op("Log", &[sum])
        }
        "ReduceLogSumExp" => log_sum_exp(p, x, &axes),
        _ => product(p, node, x, &shape, &axes)?,
    };
    if node.flag("keepdims", true).ok()? {
        return Some(y);
    }
    let mut reduced = Vec::new();
    for axis in axes {
        reduced.push(node.axis("axes", axis, shape.len()).ok()?);
    }
    let kept: Vec<usize> = (0..shape.len())
        .filter(|d| !reduced.contains(d))
        .map(|d| shape[d])
        .collect();
    Some(p.reshape(y, &kept))
}

/// `m + ln Σ e^(x − m)` with `m` the largest.
fn log_sum_exp(p: &mut Draft<'_>, x: ValueId, axes: &[i64]) -> ValueId {
    let largest = p.reduce("ReduceMax", x, axes);
    let below = p.op("Sub", &[x, largest]);
    let powers = p.op("Exp", &[below]);
    let sum = p.reduce("ReduceSum", powers, axes);
    let log = p.op("Log", &[sum]);
    p.op("Add", &[largest, log])
}

/// The product along one axis, by halves.
fn product(
    p: &mut Draft<'_>,
    node: &NodeView<'_>,
    x: ValueId,
    shape: &[usize],
    axes: &[i64],
) -> Option<ValueId> {
    let &[axis] = axes else { return None };
    let axis = node.axis("axes", axis, shape.len()).ok()?;
    if shape[axis] > MAX_FACTORS || p.opset() < 10 {
        return None;
    }
    let mut factors: Vec<ValueId> = (0..shape[axis] as i64)
        .map(|i| {
            let numbers = [i, i + 1, axis as i64].map(|v| p.ints(&[v]));
            p.op("Slice", &[x, numbers[0], numbers[1], numbers[2]])
        })
        .collect();
    while factors.len() > 1 {
        factors = factors
            .chunks(2)
            .map(|pair| match pair {
                &[a, b] => p.op("Mul", &[a, b]),
                _ => pair[0],
            })
            .collect();
    }
    factors.pop()
}

/// A Clip of which a limit is computed: `min(max(x, low), high)`.
fn computed_limits(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let mut y = node.input(0)?;
    let limits = [(1, "Max"), (2, "Min")].map(|(i, op)| (node.input(i), op));
    if limits
        .iter()
        .flat_map(|(limit, _)| limit)
        .all(|limit| p.graph().is_constant(*limit))
    {
        return None;
    }
    for (limit, op) in limits {
        if let Some(limit) = limit {
            y = p.op(op, &[y, limit]);
        }
    }
    Some(y)
}

/// A Gemm whose addend is computed: a product, and a sum.
fn computed_addend(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let addend = node.input(2).filter(|_| node.constant(2).is_none())?;
    let beta = node.float("beta", 1.0).ok()?;
    let mut attributes = node.node().attributes.clone();
    attributes.retain(|a| a.name != "beta");
    let product = p.with("Gemm", &[node.input(0)?, node.input(1)?], attributes);
    let scaled = match beta {
        1.0 => addend,
        _ => {
            let factor = p.scalar(beta);
            p.op("Mul", &[addend, factor])
        }
    };
    Some(p.op("Add", &[product, scaled]))
}

/// An operation with a constant of a larger shape than the activation's: the activation is expanded first.
fn expanded(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let [a, b] = [node.input(0)?, node.input(1)?];
    let known = [0, 1].map(|i| node.constant(i).is_some());
    let place = match (node.inputs(), known) {
        (2, [false, true]) => 0,
        (2, [true, false]) => 1,
        _ => return None,
    };
    let (own, other) = (node.shape(place)?, node.shape(1 - place)?);
    let shape = broadcast(&own, &other)?;
    if shape == own || elements(&shape) > MAX_EXPANDED {
        return None;
    }
    node.check_attributes().ok()?;
    let extents: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    let extents = p.ints(&extents);
    let mut operands = [a, b];
    operands[place] = p.op("Expand", &[operands[place], extents]);
    Some(p.op(node.op(), &operands))
}

fn sum(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let mut total = node.input(0)?;
    for input in 1..node.inputs() {
        total = p.op("Add", &[total, node.input(input)?]);
    }
    if node.op() == "Mean" || node.inputs() == 1 {
        let share = p.scalar(1.0 / node.inputs() as f32);
        total = p.op("Mul", &[total, share]);
    }
    Some(total)
}

/// `(Σ |x|^p)^(1/p)` over windows for `p` of 1 and 2: an average times the size of the window.
fn lp_pool(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let power = node.int("p", 2).ok()?;
    let x = node.input(0)?;
    let raised = match power {
        1 => p.op("Abs", &[x]),
        2 => p.op("Mul", &[x, x]),
        _ => return None,
    };
    let (size, average) = if node.op() == "GlobalLpPool" {
        let size = elements(node.shape(0)?.get(2..)?);
        (size, p.op("GlobalAveragePool", &[raised]))
    } else {
        let kernel = node.maybe_ints("kernel_shape").ok()??;
        if node.flag("ceil_mode", false).ok()? || node.maybe_ints("dilations").ok()?.is_some() {
            return None;
        }
        let mut attributes = vec![
            Attribute::ints("kernel_shape", kernel),
            Attribute::int("count_include_pad", 1),
        ];
        for name in ["strides", "pads"] {
            let given = node.maybe_ints(name).ok()?;
            attributes.extend(given.map(|values| Attribute::ints(name, values)));
        }
        if node.text("auto_pad", "NOTSET").ok()? != "NOTSET" {
            return None;
        }
        let size = kernel.iter().try_fold(1i64, |n, k| n.checked_mul(*k))?;
        (
            usize::try_from(size).ok()?,
            p.with("AveragePool", &[raised], attributes),
        )
    };
    let size = p.scalar(size as f32);
    let sum = p.op("Mul", &[average, size]);
    Some(match power {
        1 => sum,
        _ => p.op("Sqrt", &[sum]),
    })
}

/// The padding as a node of its own, where windows both count padding and reach beyond it. They are divided by what they
/// hold of the padded input; the integer kernel divides by the whole window.
fn average_over_edge(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let counted =
        node.flag("count_include_pad", false).ok()? && node.flag("ceil_mode", false).ok()?;
    if !counted || node.text("auto_pad", "NOTSET").ok()? != "NOTSET" {
        return None;
    }
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let spatial = shape.get(2..)?;
    let rank = spatial.len();
    let list = |name: &'static str, count: usize, missing: i64| {
        let given = node.maybe_ints(name).ok()?;
        let values = given.map_or_else(|| vec![missing; count], <[i64]>::to_vec);
        (values.len() == count).then_some(values)
    };
    let kernel = node.maybe_ints("kernel_shape").ok()??;
    let (strides, dilations) = (list("strides", rank, 1)?, list("dilations", rank, 1)?);
    let pads = list("pads", 2 * rank, 0)?;
    if kernel.len() != rank
        || strides.iter().any(|&stride| stride < 1)
        || pads.iter().any(|&pad| pad < 0)
    {
        return None;
    }
    let mut beyond = false;
    for d in 0..rank {
        let before_end = i64::try_from(spatial[d]).ok()?.checked_add(pads[d])?;
        let padded = before_end.checked_add(pads[rank + d])?;
        let reach = kernel[d]
            .checked_sub(1)?
            .checked_mul(dilations[d])?
            .checked_add(1)?;
        let room = u64::try_from(padded.checked_sub(reach)?).ok()?;
        let windows = i64::try_from(room.div_ceil(strides[d] as u64)).ok()?;
        let last = windows.checked_mul(strides[d])?;
        // A window that starts in the padding at the end is left out, and none before it reaches beyond.
        if (before_end..padded).contains(&last) {
            return None;
        }
        beyond |= last < before_end && last.checked_add(reach)? > padded;
    }
    if !beyond {
        return None;
    }
    let mut padded = x;
    if pads.iter().any(|&pad| pad != 0) {
        let (begin, end) = pads.split_at(rank);
        let all = p.ints(&[&[0, 0], begin, &[0, 0], end].concat());
        padded = p.op("Pad", &[x, all]);
    }
    let mut attributes = vec![
        Attribute::ints("kernel_shape", kernel),
        Attribute::ints("strides", &strides),
        Attribute::int("ceil_mode", 1),
    ];
    // ONNX Runtime loads no quantized average with this attribute.
    if dilations.iter().any(|&dilation| dilation != 1) {
        attributes.push(Attribute::ints("dilations", &dilations));
    }
    Some(p.with("AveragePool", &[padded], attributes))
}

fn lp_normalization(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let axis = node.int("axis", -1).ok()?;
    let x = node.input(0)?;
    let norm = match node.int("p", 2).ok()? {
        1 => {
            let magnitude = p.op("Abs", &[x]);
            p.reduce("ReduceSum", magnitude, &[axis])
        }
        2 => {
            let square = p.op("Mul", &[x, x]);
            let sum = p.reduce("ReduceSum", square, &[axis]);
            p.op("Sqrt", &[sum])
        }
        _ => return None,
    };
    let reciprocal = p.op("Reciprocal", &[norm]);
    Some(p.op("Mul", &[x, reciprocal]))
}

/// `x · (bias + alpha / size · Σ x²)^−beta`, the sum over neighbouring channels: an average along them.
fn local_response(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let size = node.int("size", 0).ok()?;
    if !(1..=MAX_WINDOW).contains(&size) {
        return None;
    }
    let &[batch, channels, ..] = shape.as_slice() else {
        return None;
    };
    let square = p.op("Mul", &[x, x]);
    let plane = p.reshape(square, &[batch, 1, channels, elements(&shape[2..])]);
    let (before, after) = ((size - 1) / 2, size / 2);
    let attributes = vec![
        Attribute::ints("kernel_shape", &[size, 1]),
        Attribute::ints("pads", &[before, 0, after, 0]),
        Attribute::int("count_include_pad", 1),
    ];
    let average = p.with("AveragePool", &[plane], attributes);
    let average = p.reshape(average, &shape);
    let alpha = p.scalar(node.float("alpha", 1e-4).ok()?);
    let bias = p.scalar(node.float("bias", 1.0).ok()?);
    let beta = p.scalar(-node.float("beta", 0.75).ok()?);
    let scaled = p.op("Mul", &[average, alpha]);
    let shifted = p.op("Add", &[scaled, bias]);
    let factor = p.op("Pow", &[shifted, beta]);
    Some(p.op("Mul", &[x, factor]))
}

/// InstanceNormalization is GroupNormalization with a group for each channel: mean and variance of each group, then a
/// factor and a shift for each channel.
fn group_normalization(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let &[batch, channels, ..] = shape.as_slice() else {
        return None;
    };
    let groups = match node.op() {
        "InstanceNormalization" => channels,
        _ => usize::try_from(node.int("num_groups", 0).ok()?).ok()?,
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return None;
    }
    let epsilon = node.float("epsilon", 1e-5).ok()?;
    let rows = p.reshape(
        x,
        &[batch, groups, elements(&shape) / (batch * groups).max(1)],
    );
    let normal = standardized(p, rows, &[2], epsilon);
    let normal = p.reshape(normal, &shape);
    let mut y = normal;
    for (input, op) in [(1, "Mul"), (2, "Add")] {
        let values = node.constant(input)?.as_floats()?;
        let each = match values.len() {
            n if n == channels => 1,
            // Until opset 20, GroupNormalization has one for each group.
            n if n == groups => channels / groups,
            _ => return None,
        };
        let data = (0..channels).map(|c| values[c / each]).collect();
        let mut like = vec![1; shape.len() - 1];
        like[0] = channels;
        let factor = p.floats(&like, data);
        y = p.op(op, &[y, factor]);
    }
    Some(y)
}

fn layer_normalization(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<ValueId> {
    // Mean and deviation as results of their own would have to be computed as well.
    if node.node().made().count() > 1 {
        return None;
    }
    let (x, shape) = (node.input(0)?, node.shape(0)?);
    let axis = node
        .axis("axis", node.int("axis", -1).ok()?, shape.len())
        .ok()?;
    let axes: Vec<i64> = (axis..shape.len()).map(|d| d as i64).collect();
    let epsilon = node.float("epsilon", 1e-5).ok()?;
    let mut y = standardized(p, x, &axes, epsilon);
    for (input, op) in [(1, "Mul"), (2, "Add")] {
        if let Some(operand) = node.input(input) {
            y = p.op(op, &[y, operand]);
        }
    }
    Some(y)
}

/// `(x − mean) / sqrt(variance + epsilon)` along axes.
fn standardized(p: &mut Draft<'_>, x: ValueId, axes: &[i64], epsilon: f32) -> ValueId {
    let mean = p.reduce("ReduceMean", x, axes);
    let centered = p.op("Sub", &[x, mean]);
    let square = p.op("Mul", &[centered, centered]);
    let variance = p.reduce("ReduceMean", square, axes);
    let epsilon = p.scalar(epsilon);
    let shifted = p.op("Add", &[variance, epsilon]);
    let deviation = p.op("Sqrt", &[shifted]);
    let factor = p.op("Reciprocal", &[deviation]);
    p.op("Mul", &[centered, factor])
}
