//! What a quantized model computes in float before it quantizes: the preparation of its inputs, and what trees read.
//!
//! A scaler, a logarithm or the replacement of missing values in front of a net gives features of different sizes one
//! size. Behind it one scale of 8 bits serves them all, in front of it it would serve the largest alone. So it stays float,
//! outside of the proof, as does everything that a tree ensemble reads.

use std::collections::HashSet;

use crate::error::NodeError;
use crate::graph::constant::Constant;
use crate::graph::{Graph, Node, ValueId};
use crate::operator::{BENDING, PREPARING};
use crate::quantize::error::QuantizeError;
use crate::trees::is_forest;
use crate::vocabulary;

/// Most tensors that a preparation ends in: what makes more of its inputs, such as their distances from many points, is
/// no preparation.
const MAX_ENDS: usize = 16;

/// For each node, whether it stays float before the first quantized tensors.
pub(crate) fn front(graph: &Graph) -> Result<Vec<bool>, QuantizeError> {
    let mut before: HashSet<ValueId> = graph.inputs.iter().map(|input| input.value).collect();
    // Values whose features were of different sizes, and are made of one.
    let mut prepared: HashSet<ValueId> = HashSet::new();
    let mut may = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        let reads = || node.reads().filter(|value| !graph.is_constant(*value));
        let ready = reads().next().is_some() && reads().all(|value| before.contains(&value));
        // Rows of a table that inputs choose are proved.
        let chosen = node.is("Gather") && node.input(0).is_some_and(|data| graph.is_constant(data));
        may[i] = ready && (vocabulary::has(node, PREPARING) && !chosen || is_forest(node));
        if !may[i] || is_forest(node) {
            continue;
        }
        before.extend(node.made());
        if reads().any(|value| prepared.contains(&value)) || prepares(graph, node) {
            prepared.extend(node.made());
        }
    }
    // Behind the last node of a preparation, and in front of a tree, everything is float.
    let mut needed: HashSet<ValueId> = HashSet::new();
    let mut front = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if is_forest(node) {
            let missing = node
                .reads()
                .find(|v| !graph.is_constant(*v) && !before.contains(v));
            if missing.is_some() {
                return Err(QuantizeError::Evaluate {
                    node: graph.node_name(node),
                    op: node.op.clone(),
                    source: Box::new(NodeError::Input {
                        input: 0,
                        what: "x",
                        reason: "trees are proved where they read inputs of the model, or what is prepared of them",
                    }),
                });
            }
            needed.extend(node.reads());
            continue;
        }
        let ends = node.made().any(|value| prepared.contains(&value));
        if may[i] && (ends || node.made().any(|value| needed.contains(&value))) {
            front[i] = true;
            needed.extend(node.reads());
        }
    }
    // Where it ends in truths, the comparison is one of the model's own.
    let ends = |front: &[bool]| {
        let nodes = || graph.nodes.iter().zip(front);
        let behind = nodes().filter(|(_, front)| !**front);
        let read: HashSet<ValueId> = behind.flat_map(|(node, _)| node.reads()).collect();
        let made = nodes().filter(|(_, front)| **front);
        let made = made.flat_map(|(node, _)| node.made());
        made.filter(|value| read.contains(value))
            .collect::<Vec<ValueId>>()
    };
    let ends = ends(&front);
    let floats = ends.iter().all(|value| graph.is_float(*value));
    if (ends.len() > MAX_ENDS || !floats) && !graph.nodes.iter().any(is_forest) {
        front.fill(false);
    }
    Ok(front)
}

/// Whether a node makes features of different sizes alike, or bends them.
fn prepares(graph: &Graph, node: &Node) -> bool {
    if vocabulary::has(node, BENDING) {
        return true;
    }
    let several = |constant: &Constant| match constant.as_floats() {
        Some([first, rest @ ..]) => rest.iter().any(|v| v != first),
        _ => false,
    };
    let mut constants = node.reads().filter_map(|value| graph.constant(value));
    node.is_any(&["Add", "Div", "Mul", "Sub"]) && constants.any(|constant| several(constant))
}
