//! Rules by which nodes become others: those of old opsets, of classical learning, of dynamic quantization, and those that
//! `quantize` takes apart. Which operator has which rule is part of its declaration.

pub(crate) mod decompose;
pub(crate) mod einsum;
pub(crate) mod interpolate;
pub(crate) mod recurrent;
pub(crate) mod restore;
pub(crate) mod upgrade;

use crate::error::NodeError;
use crate::graph::constant::Element;
use crate::graph::{Attribute, Draft, Graph, Made, Node, NodeView, ValueId};
use crate::proto::tensor::FLOAT;

pub(crate) fn attribute(name: &'static str, reason: &'static str) -> NodeError {
    NodeError::Attribute { name, reason }
}

/// A node that is taken apart.
pub(crate) struct Rewrite<'g> {
    pub(crate) p: Draft<'g>,
    pub(crate) node: NodeView<'g>,
}

impl Rewrite<'_> {
    pub(crate) fn input(&self, input: usize) -> Result<ValueId, NodeError> {
        self.node.input(input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got: self.node.inputs(),
        })
    }

    pub(crate) fn element(&self, input: usize) -> Result<Element, NodeError> {
        let value = self.input(input)?;
        let ty = self.p.graph().ty(value);
        ty.map(|ty| ty.element).ok_or(NodeError::Input {
            input,
            what: "x",
            reason: "its type is not known",
        })
    }

    pub(crate) fn shape(&self, input: usize) -> Result<Vec<usize>, NodeError> {
        self.node.shape(input).ok_or(NodeError::Input {
            input,
            what: "x",
            reason: "its shape is not known",
        })
    }

    pub(crate) fn cast(&mut self, x: ValueId, to: i64) -> ValueId {
        self.p.with("Cast", &[x], vec![Attribute::int("to", to)])
    }

    /// An input as float32.
    pub(crate) fn float(&mut self, input: usize) -> Result<ValueId, NodeError> {
        let x = self.input(input)?;
        match self.element(input)? {
            Element::Float => Ok(x),
            Element::Int(_) => Ok(self.cast(x, i64::from(FLOAT))),
            _ => Err(NodeError::Input {
                input,
                what: "x",
                reason: "it is none of float32, integers and booleans",
            }),
        }
    }

    /// One value for each of the last axis' indices, or one for all.
    pub(crate) fn features(
        &mut self,
        name: &'static str,
        missing: f32,
    ) -> Result<ValueId, NodeError> {
        let values = self.node.maybe_floats(name)?.unwrap_or_default();
        let extent = self.shape(0)?.last().copied().unwrap_or(1);
        match values.len() {
            0 => Ok(self.p.floats(&[1], vec![missing])),
            n if n == 1 || n == extent => Ok(self.p.floats(&[n], values.to_vec())),
            _ => Err(attribute(
                name,
                "it has neither one value nor one for each feature",
            )),
        }
    }

    /// Along a last axis that is added, whether `x` is each of some numbers.
    pub(crate) fn equal_to(&mut self, x: ValueId, keys: &[f32]) -> ValueId {
        let last = self.p.ints(&[-1]);
        let wide = self.p.op("Unsqueeze", &[x, last]);
        let keys = self.p.floats(&[keys.len()], keys.to_vec());
        self.p.op("Equal", &[wide, keys])
    }
}

/// From a node to its results.
pub(crate) type Rule = fn(&mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError>;

pub(crate) fn made(graph: &Graph, node: &Node, rule: Rule) -> Result<Made, NodeError> {
    let name = node.made().next().map_or("", |value| graph.name(value));
    let mut rewrite = Rewrite {
        p: Draft::of_opset(graph, name, OPSET),
        node: NodeView::new(graph, node),
    };
    let results = rule(&mut rewrite)?;
    rewrite.node.check_attributes()?;
    let results: Vec<Option<ValueId>> = results.into_iter().map(Some).collect();
    Ok(rewrite.p.finish(&results, &node.outputs))
}

/// Opset of the operators that are added.
const OPSET: i64 = 13;
