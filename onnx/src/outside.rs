//! What a model computes in float around its integers, in the form in which the interface of its program states it.
//!
//! Two files that mean the same give the same interface, so nothing of it depends on the names of inner tensors and nodes,
//! on their order, or on detours: constants, nodes and reads are numbered by a depth-first walk from the outputs, equal
//! nodes are one, an Identity is what it renames, and what no output needs is left out.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto};
use zkonnx_verifier::interface::{
    Attribute, AttributeValue, ElementType, FloatConstant, FloatNode, InterfaceInput, ModelOutput,
    Source,
};

use super::constant::{Constant, Data, Half};
use super::error::ImportError;
use super::graph::{Graph, InputType, STANDARD, domain_name};
use super::outputs::Outputs;
use super::real::{Base, Value};
use zkonnx_circuits::program::Outside;

/// Names of the tensors that a node reads, those that its inner graphs take from the outer one included.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let inputs = node.input.iter().map(String::as_str);
    let mut all: Vec<&str> = inputs.filter(|name| !name.is_empty()).collect();
    all.extend(captures(node));
    all
}

/// Names that the inner graphs of a node take from the outer one, each once, by growing name.
fn captures(node: &NodeProto) -> Vec<&str> {
    let mut found = HashSet::new();
    for attribute in &node.attribute {
        let graphs = attribute.g.iter().chain(&attribute.graphs);
        graphs.for_each(|graph| captured(graph, &mut found));
    }
    let mut found: Vec<&str> = found.into_iter().collect();
    found.sort_unstable();
    found
}

/// The depth of inner graphs is bounded by that of the protobuf.
fn captured<'n>(graph: &'n GraphProto, found: &mut HashSet<&'n str>) {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let constants = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let made = graph.node.iter().flat_map(|node| &node.output);
    let own: HashSet<&str> = inputs
        .chain(constants)
        .chain(made.map(String::as_str))
        .collect();
    let mut read: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    graph.node.iter().for_each(|node| read.extend(reads(node)));
    found.extend(read.into_iter().filter(|name| !own.contains(name)));
}

/// The parts of an interface that follow from the graph: what of its inputs and outputs is not proved, and the rest.
/// `quantized` says of a float input, by number, whether it is an input of the program.
pub(super) fn outside<'a>(
    graph: &'a Graph,
    values: &HashMap<&'a str, Value>,
    found: &Outputs,
    quantized: impl Fn(usize) -> bool,
) -> Result<Outside, ImportError> {
    let mut walk = Walk {
        graph,
        values,
        makers: graph
            .nodes
            .iter()
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
            .collect(),
        starts: found.starts.iter().map(|(n, p)| (n.as_str(), *p)).collect(),
        sources: HashMap::new(),
        constants: HashMap::new(),
        nodes: HashMap::new(),
        outside: Outside::default(),
    };
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (name, place) in graph.outputs.iter().zip(&found.places) {
        let source = match place {
            Some(place) => Source::Output(number(*place)),
            None => walk.source(name)?,
        };
        let name = name.clone();
        outputs.push(ModelOutput { name, source });
    }
    let mut outside = walk.outside;
    outside.outputs = Some(outputs);
    let inputs = graph.inputs.iter().enumerate();
    outside.inputs = inputs
        .filter(|(index, input)| input.dtype == InputType::Float && !quantized(*index))
        .map(|(index, input)| {
            let input = InterfaceInput {
                name: input.name.clone(),
                shape: input.shape.iter().map(|&extent| number(extent)).collect(),
                integers: None,
            };
            (index, input)
        })
        .collect();
    Ok(outside)
}

/// Counts and extents of a checked graph are capped far below 2^32.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The walk from the outputs.
struct Walk<'a, 'v> {
    graph: &'a Graph,
    values: &'v HashMap<&'a str, Value>,
    makers: HashMap<&'a str, &'a NodeProto>,
    starts: HashMap<&'v str, usize>,
    /// What is known of tensors so far.
    sources: HashMap<&'a str, Source>,
    constants: HashMap<FloatConstant, u32>,
    nodes: HashMap<FloatNode, u32>,
    outside: Outside,
}

impl<'a> Walk<'a, '_> {
    /// Where a tensor comes from. Iterative, since graphs may be deep.
    fn source(&mut self, name: &'a str) -> Result<Source, ImportError> {
        let mut opened = HashSet::new();
        let mut stack = vec![name];
        while let Some(&name) = stack.last() {
            if self.sources.contains_key(name) {
                stack.pop();
                continue;
            }
            if let Some(source) = self.leaf(name) {
                self.sources.insert(name, source);
                continue;
            }
            let node = *self
                .makers
                .get(name)
                .ok_or_else(|| ImportError::MissingOutput(name.to_owned()))?;
            let reads = reads(node);
            let waiting = reads
                .iter()
                .rev()
                .filter(|n| !self.sources.contains_key(*n));
            let waiting: Vec<&str> = waiting.copied().collect();
            if waiting.is_empty() {
                self.enter(node);
            } else if opened.insert(name) {
                stack.extend(waiting);
            } else {
                return Err(ImportError::Cycle(super::graph::node_name(node)));
            }
        }
        let source = self.sources.get(name).copied();
        source.ok_or_else(|| ImportError::MissingOutput(name.to_owned()))
    }

    /// The source of a tensor that no float node makes.
    fn leaf(&mut self, name: &'a str) -> Option<Source> {
        if let Some(&place) = self.starts.get(name) {
            return Some(Source::Output(number(place)));
        }
        match self.values.get(name)? {
            Value::Const(constant) => Some(self.constant(float_constant(constant))),
            Value::Weights(weights) => {
                let data = super::ops::quantization::dequantize(weights);
                let constant = Constant::floats(weights.data.shape.clone(), data);
                Some(self.constant(float_constant(&constant)))
            }
            Value::Real(real) => match real.base {
                Base::Input(index) => Some(Source::Input(number(index))),
                _ => None,
            },
            Value::Int(_) | Value::Outside | Value::Broken => None,
        }
    }

    fn constant(&mut self, constant: FloatConstant) -> Source {
        let next = number(self.outside.constants.len());
        let at = *self.constants.entry(constant.clone()).or_insert(next);
        if at == next {
            self.outside.constants.push(constant);
        }
        Source::Constant(at)
    }

    /// Enters a node whose inputs are all known.
    fn enter(&mut self, node: &'a NodeProto) {
        let known = |name: &str| self.sources.get(name).copied();
        let domain = domain_name(&node.domain);
        let identity = domain == STANDARD && node.op_type == "Identity";
        if let ([input], [output]) = (node.input.as_slice(), node.output.as_slice())
            && identity
            && let Some(source) = known(input)
        {
            self.sources.insert(output, source);
            return;
        }
        let mut attributes: Vec<Attribute> = node.attribute.iter().map(attribute).collect();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        let captures = captures(node);
        let made = FloatNode {
            domain: domain.to_owned(),
            op: node.op_type.clone(),
            opset: u32::try_from(self.graph.opset(&node.domain).unwrap_or(0)).unwrap_or(u32::MAX),
            attributes,
            inputs: node.input.iter().map(|name| known(name)).collect(),
            captures: captures
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), known(name)?)))
                .collect(),
            outputs: number(node.output.len()),
        };
        let next = number(self.outside.nodes.len());
        let at = *self.nodes.entry(made.clone()).or_insert(next);
        if at == next {
            self.outside.nodes.push(made);
        }
        for (output, name) in node.output.iter().enumerate() {
            let source = Source::Node(at, number(output));
            if !name.is_empty() {
                self.sources.insert(name, source);
            }
        }
    }
}

/// A constant in its canonical bytes.
fn float_constant(constant: &Constant) -> FloatConstant {
    let shape = constant
        .shape
        .iter()
        .map(|&extent| number(extent))
        .collect();
    let (element, data) = match &constant.data {
        Data::Float(data) => (
            ElementType::Binary32,
            data.iter()
                .flat_map(|v| v.to_bits().to_le_bytes())
                .collect(),
        ),
        Data::Double(data) => (
            ElementType::Binary64,
            data.iter()
                .flat_map(|v| v.to_bits().to_le_bytes())
                .collect(),
        ),
        Data::Half(half, data) => {
            let element = match half {
                Half::F16 => ElementType::Binary16,
                Half::BFloat16 => ElementType::BFloat16,
            };
            (element, data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Data::Long(data) => (
            ElementType::U64,
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Int(dtype, data) => {
            let bytes = |value: &i64| value.to_le_bytes().into_iter().take(dtype.bytes());
            (
                ElementType::Integer(*dtype),
                data.iter().flat_map(bytes).collect(),
            )
        }
    };
    FloatConstant {
        element,
        shape,
        data,
    }
}

/// An attribute as the file gives it.
fn attribute(proto: &AttributeProto) -> Attribute {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
    let tensor = || proto.t.as_ref().and_then(|t| Constant::read(t).ok());
    let value = match AttributeType::try_from(proto.r#type) {
        Ok(AttributeType::Float) => AttributeValue::Float(proto.f.to_bits()),
        Ok(AttributeType::Int) => AttributeValue::Int(proto.i),
        Ok(AttributeType::String) => AttributeValue::Bytes(proto.s.clone()),
        Ok(AttributeType::Floats) => AttributeValue::Floats(bits(&proto.floats)),
        Ok(AttributeType::Ints) => AttributeValue::Ints(proto.ints.clone()),
        Ok(AttributeType::Strings) => AttributeValue::Strings(proto.strings.clone()),
        Ok(AttributeType::Tensor) => match tensor() {
            Some(constant) => AttributeValue::Tensor(float_constant(&constant)),
            None => encoded(proto),
        },
        _ => encoded(proto),
    };
    Attribute {
        name: proto.name.clone(),
        value,
    }
}

fn encoded(proto: &AttributeProto) -> AttributeValue {
    let bare = AttributeProto {
        doc_string: String::new(),
        ..proto.clone()
    };
    AttributeValue::Encoded(bare.encode_to_vec())
}
