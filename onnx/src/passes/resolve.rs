//! One walk over the nodes in order, which leaves of each what it means.
//!
//! A node of an old opset is rewritten (`upgrade.rs`), a branch that a constant chooses and a loop that constants count
//! become their bodies (`control.rs`), operators of classical learning become standard ones (`learning.rs`), what depends on constants alone becomes a constant, and every other value gets its
//! type (`fold.rs`). These are one walk, since each needs what the others know of the values before: a condition is
//! constant once shapes are, and shapes follow from types. Movement by constant places becomes a Gather (`picked.rs`).

use std::collections::VecDeque;

use crate::error::ImportError;
use crate::graph::{Draft, Folded, Graph};
use crate::passes::control::{Inlined, Task};
use crate::passes::picked::picked;
use crate::passes::upgrade::{is_old, upgraded};
use crate::passes::{control, fold, learning};
use crate::proto::Library;
use crate::vocabulary;
use zkonnx_circuits::program::MAX_NODES;

/// Resolves a graph. Nodes of opsets below `opset` are taken to it.
pub(crate) fn resolve(graph: &mut Graph, library: &Library, opset: i64) -> Result<(), ImportError> {
    fold::inputs(graph);
    graph.opset = graph.opset.max(opset);
    let nodes = std::mem::take(&mut graph.nodes);
    let nodes = nodes.into_iter().map(Box::new);
    let mut waiting: VecDeque<Task> = nodes.map(Task::Node).collect();
    let mut seen = 0usize;
    while let Some(task) = waiting.pop_front() {
        seen += 1;
        if seen > 4 * MAX_NODES || graph.nodes.len() > MAX_NODES {
            let (what, max) = ("nodes", MAX_NODES);
            return Err(ImportError::TooMany { what, max });
        }
        let mut node = *match control::inlined(graph, library, task)? {
            Inlined::Node(node) => node,
            Inlined::Tasks(tasks) => {
                tasks.into_iter().rev().for_each(|t| waiting.push_front(t));
                continue;
            }
        };
        if node.fault.is_none() {
            let known = vocabulary::of(&node);
            node.fault = known.and_then(|operator| operator.exists(node.opset).err());
        }
        if node.fault.is_none() && is_old(&node, opset) {
            let name = graph.node_name(&node);
            match upgraded(Draft::new(graph, &name), &node, opset) {
                Ok(made) => {
                    let nodes = made.apply(graph).into_iter().rev();
                    nodes.for_each(|node| waiting.push_front(Task::Node(Box::new(node))));
                    continue;
                }
                Err(fault) => node.fault = Some(fault),
            }
        }
        match learning::expressed(graph, &node) {
            Some(Ok(made)) => {
                let nodes = made.apply(graph).into_iter().rev();
                nodes.for_each(|node| waiting.push_front(Task::Node(Box::new(node))));
                continue;
            }
            Some(Err(fault)) => node.fault = Some(fault),
            None => {}
        }
        if !node.reads().all(|value| graph.is_constant(value))
            && let Some(made) = picked(graph, &node)
        {
            let nodes = made.apply(graph).into_iter().rev();
            nodes.for_each(|node| waiting.push_front(Task::Node(Box::new(node))));
            continue;
        }
        if fold::folded(graph, &node) {
            let before = graph.nodes.len();
            graph.folded.push(Folded { node, before });
        } else {
            fold::type_results(graph, &node);
            graph.nodes.push(node);
        }
    }
    Ok(())
}
