//! Models that a tool has quantized dynamically, or in their weights alone, as the float models that they stand for.
//!
//! Their activations are quantized by scales that depend on the data, which no proof of fixed integers has. Taken out,
//! what is left is a float model whose weights are the dequantized ones; `quantize` gives it scales that are fixed.
//!
//! DynamicQuantizeLinear of `x` gives integers, their scale and their zero point. With `x` itself for the integers, one
//! for the scale and zero for the zero point, all that follows computes with the reals that the integers stood for:
//! MatMulInteger becomes MatMul, ConvInteger becomes Conv, and a cast of their sums to float is the identity.

use crate::error::{NodeError, TensorProblem};
use crate::graph::constant::MAX_COMPUTED_ELEMENTS;
use crate::graph::{Draft, Graph, Made, Node, NodeView, ValueId};
use crate::operator::MOVING;
use crate::rewrite::restore::Restorer;
use crate::run::RunError;
use crate::vocabulary;
use std::collections::HashSet;

/// Takes dynamic quantization out of a resolved graph. Answers the operators that are gone, each once.
///
/// # Errors
///
/// A node whose form is not one that quantizers write, or that needs the integers themselves.
pub(crate) fn restore(graph: &mut Graph) -> Result<Vec<String>, RunError> {
    let (mut gone, mut changed) = (Vec::new(), false);
    // Values that were integers and are reals now.
    let mut real: HashSet<ValueId> = HashSet::new();
    let mut i = 0;
    while i < graph.nodes.len() {
        let node = graph.nodes[i].clone();
        let made = restored(graph, &node, &real).and_then(|made| {
            // Many nodes may read one constant, and each has reals of its own.
            let spare = graph.spare.checked_sub(made.as_ref().map_or(0, Made::len));
            graph.spare = spare.ok_or(TensorProblem::TooLarge(MAX_COMPUTED_ELEMENTS))?;
            Ok(made)
        });
        let made = match made {
            Ok(made) => made,
            Err(source) => {
                return Err(RunError {
                    node: graph.node_name(&node),
                    op: node.op,
                    source,
                });
            }
        };
        let moved = made.is_none() && node.input(0).is_some_and(|x| real.contains(&x));
        let kept = |i: usize| moved && !node.is_any(&["Shape", "Size"]) || makes_integers(&node, i);
        let kept = (0..node.outputs.len()).filter(|i| kept(*i));
        real.extend(kept.filter_map(|i| node.output(i)));
        let Some(made) = made else {
            i += 1;
            continue;
        };
        if !gone.contains(&node.op) && !node.is_any(&["Cast", "DequantizeLinear"]) {
            gone.push(node.op.clone());
        }
        changed = true;
        let nodes = made.apply(graph);
        let count = nodes.len();
        graph.nodes.splice(i..=i, nodes);
        i += count;
    }
    if changed {
        drop_unread(graph);
    }
    match graph.outputs.iter().find(|output| real.contains(output)) {
        Some(output) => Err(RunError {
            node: graph.name(*output).to_owned(),
            op: "DynamicQuantizeLinear".to_owned(),
            source: NodeError::IntegersNeeded,
        }),
        None => Ok(gone),
    }
}

/// Whether an output of a node was integers that stood for reals. The second one of DynamicQuantizeLinear is their scale.
fn makes_integers(node: &Node, output: usize) -> bool {
    match node.is("DynamicQuantizeLinear") {
        true => output != 1,
        false => node.is_any(&["MatMulInteger", "ConvInteger"]),
    }
}

/// What stands for a node, if it is one of dynamic quantization.
fn restored(
    graph: &Graph,
    node: &Node,
    real: &HashSet<ValueId>,
) -> Result<Option<Made>, NodeError> {
    let Some(first) = node.made().next() else {
        return Ok(None);
    };
    let read = |value: &Option<ValueId>| value.is_some_and(|value| real.contains(&value));
    let operator = vocabulary::of(node);
    let rule = operator.and_then(|operator| operator.restored);
    let Some(rule) = rule else {
        let moves = operator.is_some_and(|operator| operator.has(MOVING));
        let mut others = node.inputs.iter().skip(usize::from(moves));
        return match others.any(read) || node.captures.iter().any(|(_, v)| real.contains(v)) {
            true => Err(NodeError::IntegersNeeded),
            false => Ok(None),
        };
    };
    let mut restorer = Restorer {
        draft: Draft::new(graph, graph.name(first)),
        view: NodeView::new(graph, node),
        real,
    };
    let results = rule(&mut restorer)?;
    Ok(results.map(|results| restorer.draft.finish(&results, &node.outputs)))
}

/// Leaves out the nodes of which nobody reads anything.
fn drop_unread(graph: &mut Graph) {
    let mut read: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.made().any(|value| read.contains(&value)) {
            read.extend(node.reads());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
}
