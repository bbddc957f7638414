//! A graph as nodes and tensors of a file.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{attribute, tensor};
use crate::graph::{Graph, Node, STANDARD, ValueId};

/// A node as a file stores it.
pub(crate) fn node(graph: &Graph, node: &Node) -> NodeProto {
    let name = |value: &Option<ValueId>| value.map_or("", |value| graph.name(value)).to_owned();
    NodeProto {
        name: node.name.clone(),
        domain: match node.domain.as_str() {
            STANDARD => String::new(),
            domain => domain.to_owned(),
        },
        op_type: node.op.clone(),
        input: node.inputs.iter().map(name).collect(),
        output: node.outputs.iter().map(name).collect(),
        attribute: node.attributes.iter().map(attribute::write).collect(),
        ..Default::default()
    }
}

/// A constant as a file stores it.
pub(crate) fn constant(graph: &Graph, value: ValueId) -> Option<TensorProto> {
    let constant = graph.constant(value)?;
    Some(tensor::write(graph.name(value), constant))
}
