//! Which tensors are quantized, and which share a scale.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::NodeProto;

use super::super::graph::{Graph, InputType, node_name};
use super::super::run::Values;
use super::QuantizeError;
use super::fuse::{fused, is_function};
use super::integral::integral;
use super::proved;
use super::rewrite::uses;

/// Operators whose accumulators become integers only after the activation or the bias that follows.
const ABSORBING: [&str; 8] = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Add",
    "Sub",
    "Mul",
    "BatchNormalization",
];

/// Operators of which a result is always one of the values of the first input.
pub(super) const SELECTING: [&str; 20] = [
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// The roles of nodes and tensors.
#[derive(Debug)]
pub(super) struct Layers {
    /// For each node, whether it stays float after the last quantized tensor.
    pub(super) tail: Vec<bool>,
    /// Float tensors that are quantized, in order of execution, with the operator that makes them.
    pub(super) quantized: Vec<(String, String)>,
    /// For each quantized tensor, the one whose scale it has.
    pub(super) scale_of: HashMap<String, String>,
    /// Tensors of whole numbers.
    pub(super) integral: HashSet<String>,
}

impl Layers {
    /// `values` are those of one sample, to tell floats from integers.
    pub(super) fn new(graph: &Graph, values: &Values) -> Result<Self, QuantizeError> {
        let tail = tail(graph)?;
        let is_float = |name: &str| values.get(name).is_some_and(|v| v.as_floats().is_some());
        let mut inside = absorbed(graph, &tail, values);
        inside.extend(fused(graph, &tail, values, &inside));
        let mut quantized = Vec::new();
        let mut scale_of: HashMap<String, String> = HashMap::new();
        let used: HashSet<&str> = graph
            .nodes
            .iter()
            .zip(&tail)
            .filter(|(_, tail)| !**tail)
            .flat_map(|(n, _)| n.input.iter().map(String::as_str))
            .collect();
        for input in graph
            .inputs
            .iter()
            .filter(|i| used.contains(i.name.as_str()))
        {
            if input.dtype == InputType::Float {
                quantized.push((input.name.clone(), "input".into()));
                scale_of.insert(input.name.clone(), input.name.clone());
            }
        }
        for (node, _) in graph.nodes.iter().zip(&tail).filter(|(_, tail)| !**tail) {
            for output in node.output.iter().filter(|o| is_float(o)) {
                if inside.contains(output) {
                    continue;
                }
                let first = node.input.first().and_then(|x| scale_of.get(x));
                let root = match first {
                    Some(root) if SELECTING.contains(&node.op_type.as_str()) => root.clone(),
                    _ => output.clone(),
                };
                quantized.push((output.clone(), node.op_type.clone()));
                scale_of.insert(output.clone(), root);
            }
        }
        if quantized.is_empty() {
            let mut ops: Vec<&str> = graph.nodes.iter().map(|n| n.op_type.as_str()).collect();
            ops.sort_unstable();
            ops.dedup();
            return Err(QuantizeError::Nothing {
                ops: ops.join(", "),
            });
        }
        Ok(Self {
            tail,
            quantized,
            scale_of,
            integral: integral(graph, values),
        })
    }
}

/// Whether a node is the usual end of a classifier: exact in float after the proof, where there is one before it.
fn ends(graph: &Graph, node: &NodeProto) -> bool {
    let first = |x: &String| graph.inputs.iter().any(|i| i.name == *x);
    ["Softmax", "LogSoftmax"].contains(&node.op_type.as_str())
        && !node.input.iter().any(first)
        && !graph
            .nodes
            .iter()
            .any(|n| n.input.iter().any(|x| node.output.contains(x)))
}

/// The nodes from the first operators on that are not proved. Nothing after them may need the proof.
fn tail(graph: &Graph) -> Result<Vec<bool>, QuantizeError> {
    let mut outside: HashMap<&str, &NodeProto> = HashMap::new();
    let mut tail = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let cause = match proved(node) && !ends(graph, node) {
            false => Some(node),
            true => node
                .input
                .iter()
                .find_map(|n| outside.get(n.as_str()).copied()),
        };
        tail.push(cause.is_some());
        let Some(cause) = cause else { continue };
        if ["Conv", "ConvTranspose", "Gemm", "MatMul"].contains(&node.op_type.as_str()) {
            return Err(QuantizeError::Island {
                node: node_name(cause),
                op: cause.op_type.clone(),
                before: node_name(node),
                before_op: node.op_type.clone(),
            });
        }
        outside.extend(node.output.iter().map(|o| (o.as_str(), cause)));
    }
    Ok(tail)
}

/// Tensors that stay float between an operator and the activation or bias that it absorbs.
fn absorbed(graph: &Graph, tail: &[bool], values: &Values) -> HashSet<String> {
    let mut absorbed = HashSet::new();
    for (node, _) in graph.nodes.iter().zip(tail).filter(|(_, tail)| !**tail) {
        let constant = |n: &String| n.is_empty() || graph.constants.contains_key(n);
        let others_constant = |n: &NodeProto, x: &str| {
            let others = n.input.iter().filter(|i| i.as_str() != x);
            others.into_iter().all(constant)
        };
        let [output] = node.output.as_slice() else {
            continue;
        };
        if !ABSORBING.contains(&node.op_type.as_str())
            || uses(graph, output) != 1
            || is_function(graph, values, &absorbed, node)
        {
            continue;
        }
        let next = graph
            .nodes
            .iter()
            .zip(tail)
            .find(|(n, tail)| !**tail && n.input.contains(output));
        let Some((next, _)) = next else { continue };
        let clamp =
            ["Relu", "Clip"].contains(&next.op_type.as_str()) && others_constant(next, output);
        if clamp || bias_of(graph, node, next).is_some() {
            absorbed.insert(output.clone());
        }
    }
    absorbed
}

/// The constant that `next` adds to the result of a matrix product, one value for each column.
pub(super) fn bias_of<'g>(
    graph: &'g Graph,
    product: &NodeProto,
    next: &'g NodeProto,
) -> Option<&'g str> {
    let output = product.output.first()?;
    if product.op_type != "MatMul" || next.op_type != "Add" {
        return None;
    }
    let columns = graph.constants.get(product.input.get(1)?)?.shape.last()?;
    let bias = next.input.iter().find(|n| *n != output)?;
    let shape = &graph.constants.get(bias)?.shape;
    (shape.as_slice() == [*columns]).then_some(bias.as_str())
}
