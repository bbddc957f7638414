//! Functions of a model: nodes that stand for graphs.
//!
//! The decoder's own message lacks two fields that decide what a function means, so its functions are read again here.

use std::collections::HashMap;

use prost::Message;
use tract_onnx::pb::{AttributeProto, NodeProto, OperatorSetIdProto};

use crate::error::ImportError;
use crate::proto::opsets::{Opsets, domain_name, opsets};

/// The functions of a model.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    output: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "9")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(string, tag = "10")]
    domain: String,
    #[prost(message, repeated, tag = "11")]
    defaults: Vec<AttributeProto>,
    #[prost(string, tag = "13")]
    overload: String,
}

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    nodes: Vec<NodeProto>,
    pub(crate) opsets: Opsets,
    defaults: Vec<AttributeProto>,
    /// Bytes of its nodes, and of the names of its results.
    pub(crate) size: usize,
}

/// Functions by domain and name.
pub(crate) type Functions = HashMap<(String, String), Function>;

/// The functions of an encoded model.
pub(crate) fn list(bytes: &[u8]) -> Result<Functions, ImportError> {
    let model = Model::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    let mut functions = Functions::new();
    for proto in model.functions {
        let id = (domain_name(&proto.domain).to_owned(), proto.name);
        if !proto.overload.is_empty() {
            return Err(ImportError::Overload(id.1));
        }
        let nodes: usize = proto.node.iter().map(Message::encoded_len).sum();
        let names: usize = proto.output.iter().map(String::len).sum();
        let function = Function {
            size: nodes.saturating_add(names),
            inputs: proto.input,
            outputs: proto.output,
            nodes: proto.node,
            opsets: opsets(&proto.opset_import)?,
            defaults: proto.defaults,
        };
        if functions.contains_key(&id) {
            return Err(ImportError::Duplicate(format!("{}.{}", id.0, id.1)));
        }
        functions.insert(id, function);
    }
    Ok(functions)
}

impl Function {
    /// The nodes of a call with these attributes.
    pub(crate) fn nodes(&self, given: &[AttributeProto]) -> Vec<NodeProto> {
        let mut nodes = self.nodes.clone();
        let value = |name: &str| {
            let mut all = given.iter().chain(&self.defaults);
            all.find(|attribute| attribute.name == name)
        };
        nodes.iter_mut().for_each(|node| substitute(node, &value));
        nodes
    }
}

/// Gives attributes that refer to those of the call their values; one that the call leaves out is left out.
fn substitute<'a>(node: &mut NodeProto, value: &impl Fn(&str) -> Option<&'a AttributeProto>) {
    node.attribute.retain_mut(|attribute| {
        if !attribute.ref_attr_name.is_empty() {
            let Some(given) = value(&attribute.ref_attr_name) else {
                return false;
            };
            *attribute = AttributeProto {
                name: std::mem::take(&mut attribute.name),
                ..given.clone()
            };
            return true;
        }
        let graphs = attribute.g.iter_mut().chain(&mut attribute.graphs);
        let nodes = graphs.flat_map(|graph| &mut graph.node);
        nodes.for_each(|node| substitute(node, value));
        true
    });
}
