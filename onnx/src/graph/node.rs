//! Nodes, their attributes, and a view of a node with typed access to them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{NodeError, TensorProblem};
use crate::graph::constant::Constant;
use crate::graph::{Graph, STANDARD, ValueId};

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(crate) enum AttributeValue {
    Int(i64),
    Float(f32),
    Text(Vec<u8>),
    Tensor(Arc<Constant>),
    /// A tensor that cannot be read: why not, and as the file encodes it.
    BadTensor(TensorProblem, Vec<u8>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<Vec<u8>>),
    /// Without a type, as files of the first versions of the format have it: whatever is asked for.
    Untyped(Box<Untyped>),
    /// Of another kind, inner graphs among them: the attribute as the file encodes it, without its description.
    Other(Vec<u8>),
}

/// An attribute of which the file does not say what it is.
#[derive(Clone, Debug)]
pub(crate) struct Untyped {
    pub(crate) int: i64,
    pub(crate) float: f32,
    pub(crate) text: Vec<u8>,
    pub(crate) tensor: Option<Result<Arc<Constant>, TensorProblem>>,
    pub(crate) ints: Vec<i64>,
    pub(crate) floats: Vec<f32>,
    /// As the file encodes it.
    pub(crate) encoded: Vec<u8>,
}

/// An attribute.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: AttributeValue,
}

/// A node of a graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// As the file has it; empty where it has none.
    pub(crate) name: String,
    /// `ai.onnx` for the standard operators.
    pub(crate) domain: String,
    pub(crate) op: String,
    /// Opset of the domain.
    pub(crate) opset: i64,
    /// `None` where one is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(crate) outputs: Vec<Option<ValueId>>,
    pub(crate) attributes: Vec<Attribute>,
    /// What inner graphs take from this one, by growing name.
    pub(crate) captures: Vec<(String, ValueId)>,
    /// Why a pass could not make of it what it should be.
    pub(crate) fault: Option<NodeError>,
}

impl Node {
    /// Whether it is an operator of the standard domain.
    pub(crate) fn is(&self, op: &str) -> bool {
        self.domain == STANDARD && self.op == op
    }

    /// Whether it is one of some operators of the standard domain.
    pub(crate) fn is_any(&self, ops: &[&str]) -> bool {
        self.domain == STANDARD && ops.contains(&self.op.as_str())
    }

    /// The values that it reads, those that inner graphs take included.
    pub(crate) fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        let captures = self.captures.iter().map(|(_, value)| *value);
        self.inputs.iter().flatten().copied().chain(captures)
    }

    /// The values that it makes.
    pub(crate) fn made(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.outputs.iter().flatten().copied()
    }

    pub(crate) fn makes(&self, value: ValueId) -> bool {
        self.outputs.contains(&Some(value))
    }

    /// An input; `None` if it is left out.
    pub(crate) fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// An output; `None` if it is left out.
    pub(crate) fn output(&self, index: usize) -> Option<ValueId> {
        self.outputs.get(index).copied().flatten()
    }

    /// The only output of a node with one.
    pub(crate) fn only_output(&self) -> Option<ValueId> {
        match self.outputs.as_slice() {
            &[output] => output,
            _ => None,
        }
    }
}

impl Attribute {
    pub(crate) fn int(name: &str, value: i64) -> Self {
        Self {
            name: name.into(),
            value: AttributeValue::Int(value),
        }
    }

    pub(crate) fn ints(name: &str, values: &[i64]) -> Self {
        Self {
            name: name.into(),
            value: AttributeValue::Ints(values.to_vec()),
        }
    }
}

/// A node of the graph. Attributes that were asked for are remembered, so that others can be reported: an attribute
/// that nobody looked at might change the node's meaning.
#[derive(Debug)]
pub struct NodeView<'a> {
    graph: &'a Graph,
    node: &'a Node,
    /// Opset of the node's domain.
    pub opset: i64,
    seen: RefCell<HashSet<&'static str>>,
}

impl<'a> NodeView<'a> {
    pub(crate) fn new(graph: &'a Graph, node: &'a Node) -> Self {
        Self {
            graph,
            node,
            opset: node.opset,
            seen: RefCell::default(),
        }
    }

    /// Name of the node, or of its first output.
    pub fn name(&self) -> String {
        self.graph.node_name(self.node)
    }

    /// The node itself.
    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    /// The operator's domain; `ai.onnx` for the standard one.
    pub(crate) fn domain(&self) -> &'a str {
        &self.node.domain
    }

    /// Name of the operator.
    pub fn op(&self) -> &'a str {
        &self.node.op
    }

    /// An input; `None` if it is left out.
    pub(crate) fn input(&self, index: usize) -> Option<ValueId> {
        self.node.input(index)
    }

    /// Name of an input; `None` if it is left out.
    pub fn input_name(&self, index: usize) -> Option<&'a str> {
        self.input(index).map(|value| self.graph.name(value))
    }

    /// Shape of an input, if it is there and its shape is known.
    pub(crate) fn shape(&self, input: usize) -> Option<Vec<usize>> {
        self.graph.shape(self.input(input)?).map(<[usize]>::to_vec)
    }

    /// An input that is a constant.
    pub(crate) fn constant(&self, input: usize) -> Option<&'a Constant> {
        self.graph.constant(self.input(input)?).map(Arc::as_ref)
    }

    /// All inputs, `None` where one is left out, if all that are given are constants.
    pub(crate) fn constants(&self) -> Option<Vec<Option<&'a Constant>>> {
        let one = |input: &Option<ValueId>| match input {
            None => Some(None),
            Some(value) => self.graph.constant(*value).map(|c| Some(c.as_ref())),
        };
        self.node.inputs.iter().map(one).collect()
    }

    /// The elements of an input that is a constant of integers.
    pub(crate) fn constant_ints(&self, input: usize) -> Option<Vec<i64>> {
        Some(self.constant(input)?.as_ints()?.to_vec())
    }

    /// Number of inputs, those left out included.
    pub fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    /// Number of outputs, those left out included.
    pub fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    fn attribute(&self, name: &'static str) -> Result<Option<&'a AttributeValue>, NodeError> {
        self.seen.borrow_mut().insert(name);
        let mut found = self.node.attributes.iter().filter(|a| a.name == name);
        let (first, second) = (found.next(), found.next());
        if second.is_some() {
            return Err(NodeError::Attribute {
                name,
                reason: "it is given twice",
            });
        }
        Ok(first.map(|attribute| &attribute.value))
    }

    /// An integer attribute.
    pub fn int(&self, name: &'static str, default: i64) -> Result<i64, NodeError> {
        Ok(self.maybe_int(name)?.unwrap_or(default))
    }

    /// An integer attribute, if it is there.
    pub fn maybe_int(&self, name: &'static str) -> Result<Option<i64>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Int(v)) => Ok(Some(*v)),
            Some(AttributeValue::Untyped(raw)) => Ok(Some(raw.int)),
            Some(_) => Err(other_type(name)),
        }
    }

    /// An integer attribute that is a flag.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, NodeError> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// A float attribute.
    pub fn float(&self, name: &'static str, default: f32) -> Result<f32, NodeError> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    /// A float attribute, if it is there.
    pub fn maybe_float(&self, name: &'static str) -> Result<Option<f32>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Float(v)) => Ok(Some(*v)),
            Some(AttributeValue::Untyped(raw)) => Ok(Some(raw.float)),
            Some(_) => Err(other_type(name)),
        }
    }

    /// A list of floats, if it is there.
    pub fn maybe_floats(&self, name: &'static str) -> Result<Option<&'a [f32]>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Floats(v)) => Ok(Some(v)),
            Some(AttributeValue::Untyped(raw)) => Ok(Some(&raw.floats)),
            Some(_) => Err(other_type(name)),
        }
    }

    /// A list of integers, if it is there.
    pub fn maybe_ints(&self, name: &'static str) -> Result<Option<&'a [i64]>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Ints(v)) => Ok(Some(v)),
            Some(AttributeValue::Untyped(raw)) => Ok(Some(&raw.ints)),
            Some(_) => Err(other_type(name)),
        }
    }

    /// A list of texts, if it is there.
    pub(crate) fn maybe_texts(
        &self,
        name: &'static str,
    ) -> Result<Option<&'a [Vec<u8>]>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Texts(v)) => Ok(Some(v)),
            Some(_) => Err(other_type(name)),
        }
    }

    /// A text attribute.
    pub fn text(&self, name: &'static str, default: &'static str) -> Result<&'a str, NodeError> {
        let bytes = match self.attribute(name)? {
            None => return Ok(default),
            Some(AttributeValue::Text(v)) => v,
            Some(AttributeValue::Untyped(raw)) => &raw.text,
            Some(_) => return Err(other_type(name)),
        };
        std::str::from_utf8(bytes).map_err(|_| NodeError::Attribute {
            name,
            reason: "it is not valid text",
        })
    }

    /// A tensor attribute, if it is there.
    pub(crate) fn tensor(&self, name: &'static str) -> Result<Option<Arc<Constant>>, NodeError> {
        match self.attribute(name)? {
            None => Ok(None),
            Some(AttributeValue::Tensor(tensor)) => Ok(Some(tensor.clone())),
            Some(AttributeValue::BadTensor(problem, _)) => Err(problem.clone().into()),
            Some(AttributeValue::Untyped(raw)) => Ok(raw.tensor.clone().transpose()?),
            Some(_) => Err(other_type(name)),
        }
    }

    /// Whether there is an attribute of this name, of any type.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.node.attributes.iter().any(|a| a.name == name)
    }

    /// Fails if there is an attribute that was not asked for.
    pub(crate) fn check_attributes(&self) -> Result<(), NodeError> {
        let seen = self.seen.borrow();
        let mut attributes = self.node.attributes.iter();
        match attributes.find(|a| !seen.contains(a.name.as_str())) {
            None => Ok(()),
            Some(a) => Err(NodeError::UnknownAttribute {
                name: a.name.clone(),
            }),
        }
    }

    /// An axis attribute or input as an index below `rank`.
    pub fn axis(&self, name: &'static str, axis: i64, rank: usize) -> Result<usize, NodeError> {
        let rank = rank as i64;
        let axis = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&axis) {
            Ok(axis as usize)
        } else {
            Err(NodeError::Attribute {
                name,
                reason: "the axis does not exist",
            })
        }
    }
}

fn other_type(name: &'static str) -> NodeError {
    NodeError::Attribute {
        name,
        reason: "it has another type",
    }
}
