//! Operators that are not proved themselves, taken apart into those that are.

use crate::error::ImportError;
use crate::graph::{Draft, Graph, Made, Node, NodeView};
use crate::operator::Parts;
use crate::passes::refresh;
use crate::vocabulary;
use zkonnx_circuits::program::MAX_NODES;

/// Replaces the nodes that can be expressed by others and whose inputs' shapes are known, until there are none.
pub(crate) fn decompose(graph: &mut Graph) -> Result<(), ImportError> {
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
    let parts = vocabulary::of(node)?.decomposed?;
    let view = NodeView::new(graph, node);
    let first = node.made().next()?;
    let mut draft = Draft::new(graph, graph.name(first));
    let results = match parts {
        Parts::One(part) => vec![Some(part(&mut draft, &view)?)],
        Parts::Several(parts) => parts(&mut draft, &view)?,
    };
    Some(draft.finish(&results, &node.outputs))
}
