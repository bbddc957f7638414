//! One walk over the nodes in order, which leaves of each what it means.
//!
//! A node of an old opset is rewritten (`upgrade.rs`), a branch that a constant chooses and a loop that constants count
//! become their bodies (`control.rs`), operators of classical learning become standard ones (`learning.rs`), what depends on constants alone becomes a constant, and every other value gets its
//! type (`fold.rs`). These are one walk, since each needs what the others know of the values before: a condition is
//! constant once shapes are, and shapes follow from types. Movement by constant places becomes a Gather (`picked.rs`).

use std::collections::VecDeque;

use crate::error::{ImportError, NodeError};
use crate::graph::{Draft, Folded, Graph, Made, Node, NodeView, STANDARD, ValueId};
use crate::operator::{CONTROL, Operator};
use crate::passes::control::{Inlined, Task};
use crate::passes::{control, fold};
use crate::proto::Library;
use crate::rewrite::made;
use crate::rewrite::upgrade::upgraded;
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
        let operator = vocabulary::of(&node);
        if node.fault.is_none() {
            node.fault = operator.and_then(|operator| operator.exists(node.opset).err());
        }
        match replaced(graph, &node, operator, opset) {
            Ok(Some(made)) => {
                let nodes = made.apply(graph).into_iter().rev();
                nodes.for_each(|node| waiting.push_front(Task::Node(Box::new(node))));
                continue;
            }
            Ok(None) => {}
            Err(fault) => node.fault = Some(fault),
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

/// What stands for a node: what it is in a later opset, the standard operators that one of classical learning stands for,
/// or movement by constant places.
fn replaced(
    graph: &Graph,
    node: &Node,
    operator: Option<&Operator>,
    opset: i64,
) -> Result<Option<Made>, NodeError> {
    if node.fault.is_some() {
        return Ok(None);
    }
    // The nodes of an inner graph are of the opset that the file gives.
    let holds_graph = operator.is_some_and(|operator| operator.has(CONTROL));
    if node.domain == STANDARD && node.opset < opset && !holds_graph {
        let draft = Draft::new(graph, &graph.node_name(node));
        let rule = operator.and_then(|operator| operator.upgraded);
        return upgraded(draft, node, opset, rule).map(Some);
    }
    let Some(operator) = operator else {
        return Ok(None);
    };
    if let Some(rule) = operator.expressed {
        return made(graph, node, rule).map(Some);
    }
    if let Some(rule) = operator.picked
        && !node.reads().all(|value| graph.is_constant(value))
    {
        return Ok(picked(graph, node, rule));
    }
    Ok(None)
}

/// The movement by constant places that a node is.
fn picked(
    graph: &Graph,
    node: &Node,
    rule: fn(&mut Draft<'_>, &NodeView<'_>) -> Option<ValueId>,
) -> Option<Made> {
    let view = NodeView::new(graph, node);
    let mut draft = Draft::new(graph, graph.name(node.output(0)?));
    let result = rule(&mut draft, &view)?;
    // An attribute that nobody asked for may say something else.
    view.check_attributes().ok()?;
    Some(draft.finish(&[Some(result)], &node.outputs))
}
