//! A node with typed access to its attributes.

use std::cell::RefCell;
use std::collections::HashSet;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::error::NodeError;
use super::graph::node_name;

/// A node of the graph. Attributes that were asked for are remembered, so that others can be reported: an attribute
/// that nobody looked at might change the node's meaning.
#[derive(Debug)]
pub struct NodeView<'a> {
    proto: &'a NodeProto,
    /// Opset of the node's domain.
    pub opset: i64,
    seen: RefCell<HashSet<&'static str>>,
}

impl<'a> NodeView<'a> {
    pub(crate) fn new(proto: &'a NodeProto, opset: i64) -> Self {
        Self {
            proto,
            opset,
            seen: RefCell::default(),
        }
    }

    /// Name of the node, or of its first output.
    pub fn name(&self) -> String {
        node_name(self.proto)
    }

    /// The operator's domain; `ai.onnx` for the standard one.
    pub(crate) fn domain(&self) -> &'a str {
        super::graph::domain_name(&self.proto.domain)
    }

    /// Name of the operator.
    pub fn op(&self) -> &'a str {
        &self.proto.op_type
    }

    /// Name of the first output; empty if there is none.
    pub(crate) fn first_output(&self) -> &'a str {
        self.proto.output.first().map_or("", String::as_str)
    }

    /// Name of an input; `None` if it is left out.
    pub fn input(&self, index: usize) -> Option<&'a str> {
        self.proto
            .input
            .get(index)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Number of inputs, those left out included.
    pub fn inputs(&self) -> usize {
        self.proto.input.len()
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> &'a [String] {
        &self.proto.output
    }

    fn attribute(
        &self,
        name: &'static str,
        of: AttributeType,
    ) -> Result<Option<&'a AttributeProto>, NodeError> {
        self.seen.borrow_mut().insert(name);
        let mut found = self.proto.attribute.iter().filter(|a| a.name == name);
        let (first, second) = (found.next(), found.next());
        if second.is_some() {
            return Err(NodeError::Attribute {
                name,
                reason: "it is given twice",
            });
        }
        match first {
            // Files of the first versions of the format leave the type out.
            Some(a) if a.r#type == of as i32 || a.r#type == 0 => Ok(Some(a)),
            Some(_) => Err(NodeError::Attribute {
                name,
                reason: "it has another type",
            }),
            None => Ok(None),
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &'static str, default: i64) -> Result<i64, NodeError> {
        Ok(self
            .attribute(name, AttributeType::Int)?
            .map_or(default, |a| a.i))
    }

    /// An integer attribute, if it is there.
    pub fn maybe_int(&self, name: &'static str) -> Result<Option<i64>, NodeError> {
        Ok(self.attribute(name, AttributeType::Int)?.map(|a| a.i))
    }

    /// An integer attribute that is a flag.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, NodeError> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// A float attribute.
    pub fn float(&self, name: &'static str, default: f32) -> Result<f32, NodeError> {
        Ok(self
            .attribute(name, AttributeType::Float)?
            .map_or(default, |a| a.f))
    }

    /// A float attribute, if it is there.
    pub fn maybe_float(&self, name: &'static str) -> Result<Option<f32>, NodeError> {
        Ok(self.attribute(name, AttributeType::Float)?.map(|a| a.f))
    }

    /// A list of floats, if it is there.
    pub fn maybe_floats(&self, name: &'static str) -> Result<Option<&'a [f32]>, NodeError> {
        Ok(self
            .attribute(name, AttributeType::Floats)?
            .map(|a| a.floats.as_slice()))
    }

    /// A list of integers, if it is there.
    pub fn maybe_ints(&self, name: &'static str) -> Result<Option<&'a [i64]>, NodeError> {
        Ok(self
            .attribute(name, AttributeType::Ints)?
            .map(|a| a.ints.as_slice()))
    }

    /// A text attribute.
    pub fn text(&self, name: &'static str, default: &'static str) -> Result<&'a str, NodeError> {
        match self.attribute(name, AttributeType::String)? {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s).map_err(|_| NodeError::Attribute {
                name,
                reason: "it is not valid text",
            }),
        }
    }

    pub(crate) fn tensor(&self, name: &'static str) -> Result<Option<&'a TensorProto>, NodeError> {
        Ok(self
            .attribute(name, AttributeType::Tensor)?
            .and_then(|a| a.t.as_ref()))
    }

    /// Whether there is an attribute of this name, of any type.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    /// Fails if there is an attribute that was not asked for.
    pub(crate) fn check_attributes(&self) -> Result<(), NodeError> {
        let seen = self.seen.borrow();
        match self
            .proto
            .attribute
            .iter()
            .find(|a| !seen.contains(a.name.as_str()))
        {
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
