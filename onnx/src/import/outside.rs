//! What a model computes in float around its integers, in the form in which the interface of its program states it.
//!
//! Two files that mean the same give the same interface, so nothing of it depends on the names of inner tensors and nodes,
//! on their order, or on detours: constants, nodes and reads are numbered by a depth-first walk from the outputs, equal
//! nodes are one, an Identity is what it renames, and what no output needs is left out.

use std::collections::{HashMap, HashSet};

use zkonnx_verifier::interface::{
    Attribute, AttributeValue, ElementType, FloatConstant, FloatNode, InterfaceInput, ModelOutput,
    Source,
};

use crate::error::ImportError;
use crate::graph;
use crate::graph::constant::{Constant, Data, Half};
use crate::graph::{AttributeValue as Kind, Graph, InputType, Node, ValueId};
use crate::group::params::real_constant;
use crate::group::real::Value;
use crate::import::outputs::Outputs;
use zkonnx_circuits::program::Outside;

/// The parts of an interface that follow from the graph: what of its inputs and outputs is not proved, and the rest.
/// `quantized` says of a float input, by number, whether it is an input of the program; `derived` are the values that
/// further inputs of the program are made of.
pub(crate) fn outside(
    graph: &Graph,
    values: &HashMap<ValueId, Value>,
    found: &Outputs,
    derived: &[ValueId],
    quantized: impl Fn(usize) -> bool,
) -> Result<Outside, ImportError> {
    let mut walk = Walk {
        graph,
        values,
        makers: graph
            .nodes
            .iter()
            .flat_map(|node| node.made().map(move |value| (value, node)))
            .collect(),
        starts: found.starts.iter().copied().collect(),
        sources: HashMap::new(),
        constants: HashMap::new(),
        nodes: HashMap::new(),
        outside: Outside::default(),
    };
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (value, place) in graph.outputs.iter().zip(&found.places) {
        let source = match place {
            Some(place) => Source::Output(number(*place)),
            None => walk.source(*value)?,
        };
        let name = graph.name(*value).to_owned();
        outputs.push(ModelOutput { name, source });
    }
    let derived = derived.iter().map(|value| walk.source(*value));
    let derived = derived.collect::<Result<Vec<Source>, ImportError>>()?;
    let mut outside = walk.outside;
    outside.derived = derived;
    outside.outputs = Some(outputs);
    let inputs = graph.inputs.iter().enumerate();
    outside.inputs = inputs
        .filter(|(index, input)| {
            let cast = matches!(values.get(&input.value), Some(Value::Head));
            cast || input.dtype == InputType::Float && !quantized(*index)
        })
        .map(|(index, input)| {
            let input = InterfaceInput {
                name: graph.name(input.value).to_owned(),
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
struct Walk<'a> {
    graph: &'a Graph,
    values: &'a HashMap<ValueId, Value>,
    makers: HashMap<ValueId, &'a Node>,
    starts: HashMap<ValueId, usize>,
    /// What is known of values so far.
    sources: HashMap<ValueId, Source>,
    constants: HashMap<FloatConstant, u32>,
    nodes: HashMap<FloatNode, u32>,
    outside: Outside,
}

impl<'a> Walk<'a> {
    /// Where a value comes from. Iterative, since graphs may be deep.
    fn source(&mut self, value: ValueId) -> Result<Source, ImportError> {
        let mut opened = HashSet::new();
        let mut stack = vec![value];
        let missing = |value| ImportError::MissingOutput(self.graph.name(value).to_owned());
        while let Some(&value) = stack.last() {
            if self.sources.contains_key(&value) {
                stack.pop();
                continue;
            }
            if let Some(source) = self.leaf(value) {
                self.sources.insert(value, source);
                continue;
            }
            let node = *self.makers.get(&value).ok_or_else(|| missing(value))?;
            let waiting = node.reads().filter(|n| !self.sources.contains_key(n));
            let waiting: Vec<ValueId> = waiting.collect();
            if waiting.is_empty() {
                self.enter(node);
            } else if opened.insert(value) {
                stack.extend(waiting.into_iter().rev());
            } else {
                return Err(ImportError::Cycle(self.graph.node_name(node)));
            }
        }
        let source = self.sources.get(&value).copied();
        source.ok_or_else(|| missing(value))
    }

    /// The source of a value that no float node makes.
    fn leaf(&mut self, value: ValueId) -> Option<Source> {
        if let Some(&place) = self.starts.get(&value) {
            return Some(Source::Output(number(place)));
        }
        if let (Some(index), Value::Real(_) | Value::Head) =
            (self.graph.input(value), self.values.get(&value)?)
        {
            return Some(Source::Input(number(index)));
        }
        match self.values.get(&value)? {
            Value::Const(constant) => Some(self.constant(float_constant(constant))),
            Value::Weights(weights) => {
                let constant = real_constant(weights);
                Some(self.constant(float_constant(&constant)))
            }
            Value::Real(_) | Value::Int(_) | Value::Head | Value::Outside | Value::Broken => None,
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
    fn enter(&mut self, node: &'a Node) {
        let known = |value: ValueId| self.sources.get(&value).copied();
        if let (&[Some(input)], &[Some(output)]) = (node.inputs.as_slice(), node.outputs.as_slice())
            && node.is("Identity")
            && let Some(source) = known(input)
        {
            self.sources.insert(output, source);
            return;
        }
        let mut attributes: Vec<Attribute> = node.attributes.iter().map(attribute).collect();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        let captures = node.captures.iter();
        let made = FloatNode {
            domain: node.domain.clone(),
            op: node.op.clone(),
            opset: u32::try_from(node.opset).unwrap_or(u32::MAX),
            attributes,
            inputs: node.inputs.iter().map(|value| known((*value)?)).collect(),
            captures: captures
                .filter_map(|(name, value)| Some((name.clone(), known(*value)?)))
                .collect(),
            outputs: number(node.outputs.len()),
        };
        let next = number(self.outside.nodes.len());
        let at = *self.nodes.entry(made.clone()).or_insert(next);
        if at == next {
            self.outside.nodes.push(made);
        }
        for (place, output) in node.outputs.iter().enumerate() {
            let source = Source::Node(at, number(place));
            if let Some(output) = output {
                self.sources.insert(*output, source);
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
        Data::Int(dtype, data) | Data::Short(dtype, data) => {
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
fn attribute(attribute: &graph::Attribute) -> Attribute {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
    let value = match &attribute.value {
        Kind::Float(v) => AttributeValue::Float(v.to_bits()),
        Kind::Int(v) => AttributeValue::Int(*v),
        Kind::Text(v) => AttributeValue::Bytes(v.clone()),
        Kind::Floats(v) => AttributeValue::Floats(bits(v)),
        Kind::Ints(v) => AttributeValue::Ints(v.clone()),
        Kind::Texts(v) => AttributeValue::Strings(v.clone()),
        Kind::Tensor(tensor) => AttributeValue::Tensor(float_constant(tensor)),
        Kind::Untyped(untyped) => AttributeValue::Encoded(untyped.encoded.clone()),
        Kind::BadTensor(_, encoded) | Kind::Other(encoded) => {
            AttributeValue::Encoded(encoded.clone())
        }
    };
    Attribute {
        name: attribute.name.clone(),
        value,
    }
}
