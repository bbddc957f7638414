//! Runs a graph, or a part of one, on tensors: every node by the evaluator.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;

use super::constant::Constant;
use super::error::NodeError;
use super::eval::{Inputs, evaluate};
use super::graph::{Graph, node_name};
use super::node::NodeView;

/// Tensors by name.
pub(crate) type Values = HashMap<String, Arc<Constant>>;

/// Results of a node with their names.
type Named = Vec<(String, Arc<Constant>)>;

/// A node that cannot be evaluated.
#[derive(Debug)]
pub(crate) struct RunError {
    pub(crate) node: String,
    pub(crate) op: String,
    pub(crate) source: NodeError,
}

/// A graph that is ready to be run.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    graph: &'a Graph,
    constants: Values,
    /// Nodes whose results depend on the input, in order.
    nodes: Vec<&'a NodeProto>,
}

impl<'a> Runner<'a> {
    /// Evaluates what depends on constants alone.
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut constants: Values = graph
            .constants
            .iter()
            .map(|(name, c)| (name.clone(), Arc::new(c.clone())))
            .collect();
        let mut nodes = Vec::new();
        for node in &graph.nodes {
            match results(graph, node, &[&constants]) {
                Some(Ok(results)) => constants.extend(results),
                _ => nodes.push(node),
            }
        }
        Self {
            graph,
            constants,
            nodes,
        }
    }

    /// What depends on constants alone, by name.
    pub(crate) fn constants(&self) -> &Values {
        &self.constants
    }

    /// Whether every one of these tensors is computed, and not only what does not follow from unknown operators.
    pub(crate) fn computes(&self, names: &[String], sample: &Values) -> bool {
        let values = self.run_known(sample.clone());
        let mut names = names.iter();
        names.all(|name| values.contains_key(name) || self.constants.contains_key(name))
    }

    /// The nodes that depend on the input.
    pub(crate) fn nodes(&self) -> &[&'a NodeProto] {
        &self.nodes
    }

    /// The tensors that can be evaluated.
    pub(crate) fn run_known(&self, inputs: Values) -> Values {
        let mut values = inputs;
        for node in &self.nodes {
            if let Some(Ok(results)) = results(self.graph, node, &[&values, &self.constants]) {
                values.extend(results);
            }
        }
        values
    }

    /// All tensors that depend on the input. Nodes that `needed` refuses are left out, as is all that follows from
    /// them.
    pub(crate) fn run(
        &self,
        inputs: Values,
        needed: impl Fn(&NodeProto) -> bool,
    ) -> Result<Values, RunError> {
        let mut values = inputs;
        for node in &self.nodes {
            match results(self.graph, node, &[&values, &self.constants]) {
                None => {}
                Some(Ok(results)) => values.extend(results),
                Some(Err(_)) if !needed(node) => {}
                Some(Err(source)) => {
                    return Err(RunError {
                        node: node_name(node),
                        op: node.op_type.clone(),
                        source,
                    });
                }
            }
        }
        Ok(values)
    }
}

/// The named results of a node; `None` if an input is not known.
fn results(graph: &Graph, node: &NodeProto, known: &[&Values]) -> Option<Result<Named, NodeError>> {
    let find = |name: &String| known.iter().find_map(|values| values.get(name));
    let mut values = Vec::with_capacity(node.input.len());
    for name in &node.input {
        values.push(match name.is_empty() {
            true => None,
            false => Some(find(name)?.as_ref()),
        });
    }
    let view = NodeView::new(node, graph.opset(&node.domain).unwrap_or(0));
    let named = |results: Vec<Constant>| {
        let results = results.into_iter().map(Arc::new);
        node.output.iter().cloned().zip(results).collect()
    };
    Some(evaluate(&view, &Inputs::new(values)).map(named))
}
