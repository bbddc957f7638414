//! What an operator is imported with: what its operands are, and the program that is built.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::NodeError;
use crate::graph::constant::Constant;
use crate::graph::{Graph, NodeView, ValueId};
use crate::group::exactness::{Exactness, Status};
use crate::group::params::{Blocked, Params};
use crate::group::real::{Real, Value};
use crate::group::routes::Routes;
use zkonnx_circuits::program::{Builder, Fact, Operator, Quantization, TensorId};

/// The results of a node, and how it is reported.
pub(crate) struct Done {
    pub(crate) values: Vec<Value>,
    pub(crate) status: Status,
}

impl Done {
    pub(crate) fn new(value: Value, status: Status) -> Self {
        Self {
            values: vec![value],
            status,
        }
    }

    /// Integers by a rule.
    pub(crate) fn closed(tensor: TensorId, exactness: Exactness) -> Self {
        Self::new(Value::Int(tensor), Status::Closed(exactness))
    }

    /// A pending real, closed by the next QuantizeLinear.
    pub(crate) fn pending(real: Real) -> Self {
        Self::new(Value::Real(Arc::new(real)), Status::Group)
    }

    pub(crate) fn int(tensor: TensorId) -> Self {
        Self::closed(tensor, Exactness::Kernel)
    }
}

/// What operators read and add to.
pub(crate) struct Importer<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) builder: Builder,
    pub(crate) values: HashMap<ValueId, Value>,
    /// Program inputs made from float inputs of the graph, with their quantization.
    pub(crate) quantized_inputs: HashMap<usize, (Params, TensorId)>,
    /// Constants that were dequantized in blocks.
    pub(crate) blocked: HashMap<ValueId, Arc<Blocked>>,
    /// Inputs of the program that the model computes, in order.
    pub(crate) derived: Vec<Derived>,
    /// Who makes and who reads each tensor.
    pub(crate) routes: Routes<'a>,
}

impl<'a> Importer<'a> {
    /// Nothing is known yet.
    pub(crate) fn new(graph: &'a Graph, routes: Routes<'a>) -> Self {
        Self {
            graph,
            builder: Builder::new(),
            values: HashMap::new(),
            quantized_inputs: HashMap::new(),
            blocked: HashMap::new(),
            derived: Vec::new(),
            routes,
        }
    }

    /// Name of a float input of the graph.
    pub(crate) fn input_name(&self, index: usize) -> &'a str {
        self.graph.name(self.graph.inputs[index].value)
    }

    /// Whether an output of a node is read by some node, or is an output of the graph.
    pub(crate) fn is_used(&self, node: &NodeView<'_>, output: usize) -> bool {
        let value = node.node().output(output);
        value.is_some_and(|value| self.routes.is_used(value))
    }

    /// The value of an input; `None` if it is left out.
    pub(crate) fn maybe(&self, node: &NodeView<'_>, input: usize) -> Option<Value> {
        node.input(input)
            .and_then(|value| self.values.get(&value))
            .cloned()
    }

    /// What a value of the graph is, if it has been visited.
    pub(crate) fn value_of(&self, value: ValueId) -> Option<&Value> {
        self.values.get(&value)
    }

    /// The value of an input that has to be there.
    pub(crate) fn value(&self, node: &NodeView<'_>, input: usize) -> Result<Value, NodeError> {
        let got = node.inputs();
        self.maybe(node, input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got,
        })
    }

    /// A constant input that has to be there.
    pub(crate) fn constant(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Arc<Constant>, NodeError> {
        self.maybe_constant(node, input, what)?
            .ok_or(NodeError::NotConstant { input, what })
    }

    /// A constant input, if it is there.
    pub(crate) fn maybe_constant(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Option<Arc<Constant>>, NodeError> {
        match self.maybe(node, input) {
            None => Ok(None),
            Some(Value::Const(c)) => Ok(Some(c)),
            Some(_) => Err(NodeError::NotConstant { input, what }),
        }
    }

    /// Adds an integer operator with one output.
    pub(crate) fn push(
        &mut self,
        node: &NodeView<'_>,
        op: impl Operator,
        inputs: &[TensorId],
    ) -> Result<TensorId, NodeError> {
        Ok(self.builder.push1(&node.name(), Arc::new(op), inputs)?)
    }
}

/// An input of the program that the model computes.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) value: ValueId,
    pub(crate) fact: Fact,
    pub(crate) quantization: Option<Quantization>,
    pub(crate) tensor: TensorId,
}
