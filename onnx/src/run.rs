//! Runs a graph, or a part of one, on tensors: every node by the evaluator.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::NodeError;
use crate::eval::inputs::Inputs;
use crate::graph::constant::Constant;
use crate::graph::{Graph, Node, NodeView, ValueId};
use crate::vocabulary::evaluate;

/// Values by number.
pub(crate) type Values = HashMap<ValueId, Arc<Constant>>;

/// Results of a node.
type Results = Vec<(ValueId, Arc<Constant>)>;

/// A node that cannot be evaluated.
#[derive(Debug)]
pub(crate) struct RunError {
    pub(crate) node: String,
    pub(crate) op: String,
    pub(crate) source: NodeError,
}

/// The values that can be computed.
pub(crate) fn run_known(graph: &Graph, inputs: Values) -> Values {
    let mut values = inputs;
    for node in &graph.nodes {
        if let Some(Ok(results)) = results(graph, node, &values) {
            values.extend(results);
        }
    }
    values
}

/// All values that depend on the input. Nodes that `needed` refuses are left out, as is all that follows from them.
pub(crate) fn run(
    graph: &Graph,
    inputs: Values,
    needed: impl Fn(&Node) -> bool,
) -> Result<Values, RunError> {
    let mut values = inputs;
    for node in &graph.nodes {
        match results(graph, node, &values) {
            None => {}
            Some(Ok(results)) => values.extend(results),
            Some(Err(_)) if !needed(node) => {}
            Some(Err(source)) => {
                return Err(RunError {
                    node: graph.node_name(node),
                    op: node.op.clone(),
                    source,
                });
            }
        }
    }
    Ok(values)
}

/// Whether every one of these values is computed, and not only what does not follow from unknown operators.
pub(crate) fn computes(graph: &Graph, wanted: &[ValueId], sample: &Values) -> bool {
    let values = run_known(graph, sample.clone());
    let mut wanted = wanted.iter();
    wanted.all(|value| values.contains_key(value) || graph.is_constant(*value))
}

/// The results of a node; `None` if an input is not known.
fn results(graph: &Graph, node: &Node, values: &Values) -> Option<Result<Results, NodeError>> {
    let known = |value: ValueId| values.get(&value).or_else(|| graph.constant(value));
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for input in &node.inputs {
        inputs.push(match input {
            None => None,
            Some(value) => Some(known(*value)?.as_ref()),
        });
    }
    let view = NodeView::new(graph, node);
    let named = |results: Vec<Constant>| {
        let results = node.outputs.iter().zip(results);
        let results = results.filter_map(|(output, result)| Some(((*output)?, Arc::new(result))));
        results.collect()
    };
    Some(evaluate(&view, &Inputs::new(inputs)).map(named))
}
