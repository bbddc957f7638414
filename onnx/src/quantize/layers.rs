//! Which tensors are quantized, and which share a scale.

use std::collections::{HashMap, HashSet};

use super::QuantizeError;
use super::front::front;
use super::fuse::{fused, is_function};
use super::integral::integral;
use super::proved;
use super::scores::{self, Scores};
use crate::graph::{Graph, InputType, Node, ValueId};
use crate::trees::is_forest;

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
    /// For each node, whether it stays float before the first quantized tensors.
    pub(super) front: Vec<bool>,
    /// For each node, whether it stays float after the last quantized tensor.
    pub(super) tail: Vec<bool>,
    /// Float tensors that are quantized, in order of execution, with the operator that makes them.
    pub(super) quantized: Vec<(ValueId, String)>,
    /// For each quantized tensor, the one whose scale it has.
    pub(super) scale_of: HashMap<ValueId, ValueId>,
    /// Tensors of whole numbers.
    pub(super) integral: HashSet<ValueId>,
    /// What a linear model is.
    pub(super) scores: Scores,
}

impl Layers {
    pub(super) fn new(graph: &Graph) -> Result<Self, QuantizeError> {
        let layers = Self::behind(graph, front(graph)?);
        // A preparation with nothing behind it that is quantized is all that there is to prove.
        match layers {
            Err(QuantizeError::Nothing { .. }) => {
                Self::behind(graph, vec![false; graph.nodes.len()])
            }
            layers => layers,
        }
    }

    fn behind(graph: &Graph, front: Vec<bool>) -> Result<Self, QuantizeError> {
        let scores = scores::find(graph, &front);
        let mut tail = tail(graph, &front)?;
        if !scores.is_empty() {
            tail.clone_from(&scores.after);
        }
        let outside: Vec<bool> = (0..graph.nodes.len())
            .map(|i| front[i] || tail[i] || is_forest(&graph.nodes[i]))
            .collect();
        let mut inside = absorbed(graph, &outside);
        inside.extend(fused(graph, &outside, &inside));
        inside.extend(&scores.sums);
        let mut quantized = Vec::new();
        let mut scale_of: HashMap<ValueId, ValueId> = HashMap::new();
        let used: HashSet<ValueId> = proved_nodes(graph, &outside)
            .flat_map(|node| node.inputs.iter().flatten().copied())
            .collect();
        for input in graph.inputs.iter().filter(|i| used.contains(&i.value)) {
            if input.dtype == InputType::Float {
                quantized.push((input.value, "input".into()));
                scale_of.insert(input.value, input.value);
            }
        }
        for (node, _) in graph.nodes.iter().zip(&front).filter(|(_, front)| **front) {
            for output in node
                .made()
                .filter(|o| graph.is_float(*o) && used.contains(o))
            {
                quantized.push((output, node.op.clone()));
                scale_of.insert(output, output);
            }
        }
        for node in proved_nodes(graph, &outside) {
            for output in node.made().filter(|o| graph.is_float(*o)) {
                if inside.contains(&output) {
                    continue;
                }
                let first = node.input(0).and_then(|x| scale_of.get(&x));
                let root = match first {
                    Some(root) if SELECTING.contains(&node.op.as_str()) => *root,
                    _ => output,
                };
                quantized.push((output, node.op.clone()));
                scale_of.insert(output, root);
            }
        }
        if quantized.is_empty() && !graph.nodes.iter().any(is_forest) {
            let mut ops: Vec<&str> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
            ops.sort_unstable();
            ops.dedup();
            return Err(QuantizeError::Nothing {
                ops: ops.join(", "),
            });
        }
        Ok(Self {
            front,
            tail,
            quantized,
            scale_of,
            integral: integral(graph),
            scores,
        })
    }
}

/// The nodes that are not in the tail.
fn proved_nodes<'g>(graph: &'g Graph, tail: &'g [bool]) -> impl Iterator<Item = &'g Node> {
    let nodes = graph.nodes.iter().zip(tail);
    nodes.filter(|(_, tail)| !**tail).map(|(node, _)| node)
}

/// Whether a node is the usual end of a classifier: exact in float after the proof, where there is one before it.
fn ends(graph: &Graph, node: &Node) -> bool {
    let read = |value| graph.nodes.iter().any(|n| n.reads().any(|x| x == value));
    node.is_any(&["Softmax", "LogSoftmax"])
        && !node
            .inputs
            .iter()
            .flatten()
            .any(|x| graph.input(*x).is_some())
        && !node.made().any(read)
}

/// The nodes from the first operators on that are not proved. Nothing after them may need the proof.
fn tail(graph: &Graph, front: &[bool]) -> Result<Vec<bool>, QuantizeError> {
    let mut outside: HashMap<ValueId, &Node> = HashMap::new();
    let mut tail = Vec::with_capacity(graph.nodes.len());
    for (node, front) in graph.nodes.iter().zip(front) {
        if *front {
            tail.push(false);
            continue;
        }
        let cause = match proved(node) && !ends(graph, node) {
            false => Some(node),
            true => node.reads().find_map(|value| outside.get(&value).copied()),
        };
        tail.push(cause.is_some());
        if is_forest(node) {
            // What follows trees is float, or integers that the import finds.
            outside.extend(node.made().map(|value| (value, node)));
        }
        let Some(cause) = cause else { continue };
        if node.is_any(&["Conv", "ConvTranspose", "Gemm", "MatMul"]) {
            return Err(QuantizeError::Island {
                node: graph.node_name(cause),
                op: cause.op.clone(),
                before: graph.node_name(node),
                before_op: node.op.clone(),
            });
        }
        outside.extend(node.made().map(|value| (value, cause)));
    }
    Ok(tail)
}

/// Tensors that stay float between an operator and the activation or bias that it absorbs.
fn absorbed(graph: &Graph, tail: &[bool]) -> HashSet<ValueId> {
    let mut absorbed = HashSet::new();
    for node in proved_nodes(graph, tail) {
        let Some(output) = node.only_output() else {
            continue;
        };
        if !ABSORBING.contains(&node.op.as_str())
            || graph.uses(output) != 1
            || is_function(graph, &absorbed, node)
        {
            continue;
        }
        let reads = |n: &&Node| n.reads().any(|value| value == output);
        let Some(next) = proved_nodes(graph, tail).find(reads) else {
            continue;
        };
        let mut others = next.reads().filter(|value| *value != output);
        let clamp = next.is_any(&["Relu", "Clip"]) && others.all(|v| graph.is_constant(v));
        if clamp || bias_of(graph, node, next).is_some() {
            absorbed.insert(output);
        }
    }
    absorbed
}

/// The constant that `next` adds to the result of a matrix product, one value for each column.
pub(super) fn bias_of(graph: &Graph, product: &Node, next: &Node) -> Option<ValueId> {
    let output = product.output(0)?;
    if !product.is("MatMul") || !next.is("Add") {
        return None;
    }
    let columns = graph.constant(product.input(1)?)?.shape.last()?;
    let bias = next.reads().find(|value| *value != output)?;
    let shape = &graph.constant(bias)?.shape;
    (shape.as_slice() == [*columns]).then_some(bias)
}
