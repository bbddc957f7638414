//! Inputs of the program that the model computes in float, before there are integers.

use std::collections::HashSet;

use crate::error::NodeError;
use crate::graph::constant::Element;
use crate::graph::{Node, NodeView, ValueId, base};
use crate::group::importer::{Derived, Importer};
use zkonnx_circuits::program::{Fact, Quantization, Range, TensorId};

impl Importer<'_> {
    /// An integer value of the float head, of so many values from zero on, as an input of the program.
    pub(crate) fn integer_head(
        &mut self,
        node: &NodeView<'_>,
        input: usize,
    ) -> Result<TensorId, NodeError> {
        let value = self.head_value(node, input)?;
        let Some((Element::Int(dtype), shape)) = self
            .graph
            .ty(value)
            .map(|ty| (ty.element, ty.shape.clone()))
        else {
            return Err(NodeError::Input {
                input,
                what: "x",
                reason: "it is not an integer",
            });
        };
        let Range { lo, hi } = Range::of(dtype);
        let range = Range::new(lo, hi);
        let fact = Fact {
            dtype,
            shape,
            range,
        };
        Ok(self.derived_input(value, fact, None))
    }

    pub(crate) fn head_value(
        &self,
        node: &NodeView<'_>,
        input: usize,
    ) -> Result<ValueId, NodeError> {
        node.input(input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got: node.inputs(),
        })
    }

    /// Adds an input of the program, named after the first input of the model that it depends on.
    pub(crate) fn derived_input(
        &mut self,
        value: ValueId,
        fact: Fact,
        quantization: Option<Quantization>,
    ) -> TensorId {
        let known = self.derived.iter().find(|known| {
            known.value == value && known.fact == fact && known.quantization == quantization
        });
        if let Some(known) = known {
            return known.tensor;
        }
        let stem = base(
            self.first_input(value)
                .map_or("head", |input| self.graph.name(input)),
        );
        let taken = |name: &str| {
            let mut inputs = self.graph.inputs.iter();
            inputs.any(|input| self.graph.name(input.value) == name)
                || self.builder.inputs().iter().any(|port| port.name == name)
        };
        let mut name = format!("{stem} prepared");
        let mut number = 1;
        while taken(&name) {
            number += 1;
            name = format!("{stem} prepared {number}");
        }
        let tensor = self
            .builder
            .input(&name, fact.clone(), quantization.clone());
        self.derived.push(Derived {
            value,
            fact,
            quantization,
            tensor,
        });
        tensor
    }

    /// Visits a value and all that it depends on, each once, with the nodes that make them.
    pub(crate) fn ancestors(
        &self,
        value: ValueId,
        mut visit: impl FnMut(ValueId, Option<&'_ Node>),
    ) {
        let mut seen = HashSet::new();
        let mut stack = vec![value];
        while let Some(value) = stack.pop() {
            if seen.insert(value) {
                let maker = self.routes.maker(value);
                visit(value, maker);
                stack.extend(maker.into_iter().flat_map(Node::reads));
            }
        }
    }

    /// The first input of the model that a value depends on.
    fn first_input(&self, value: ValueId) -> Option<ValueId> {
        let mut first: Option<usize> = None;
        self.ancestors(value, |value, _| {
            if let Some(index) = self.graph.input(value) {
                first = Some(first.map_or(index, |known| known.min(index)));
            }
        });
        first.map(|index| self.graph.inputs[index].value)
    }
}
