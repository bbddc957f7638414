//! The graph of a model, decoded and checked before any operator is looked at.
//!
//! Everything that a hostile file may hold is refused here or capped: sizes, names defined twice, tensors that nothing
//! makes, cycles, data in other files. What follows may rely on it: every tensor has one maker, and nodes stand in an
//! order in which inputs precede their use.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};

use super::constant::{Constant, FLOAT, integer_type};
use super::error::{ImportError, InputProblem, TensorProblem};
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_NODES, MAX_PORTS, MAX_RANK, elements};

/// The standard domain, in the form in which it is reported.
pub(crate) const STANDARD: &str = "ai.onnx";
/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// First and last supported opset of the standard domain.
pub(crate) const OPSETS: (i64, i64) = (10, 26);

/// Largest number of elements of all constants together.
const MAX_CONSTANT_ELEMENTS: usize = 1 << 26;

/// Type of a graph input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputType {
    Float,
    Int(DataType),
}

/// A graph input that is not a constant.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) dtype: InputType,
    pub(crate) shape: Vec<usize>,
}

/// A checked graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<String>,
    pub(crate) constants: HashMap<String, Constant>,
    /// In topological order.
    pub(crate) nodes: Vec<NodeProto>,
    opsets: HashMap<String, i64>,
}

/// A domain as it is reported and looked up.
pub(crate) fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { STANDARD } else { domain }
}

impl Graph {
    /// Decodes and checks a model.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        if bytes.is_empty() {
            return Err(ImportError::Empty);
        }
        let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
        Self::check(model)
    }

    /// Checks a decoded model.
    pub(crate) fn check(model: ModelProto) -> Result<Self, ImportError> {
        let opsets = opsets(&model)?;
        let graph = model.graph.ok_or(ImportError::NoGraph)?;
        cap("nodes", MAX_NODES, graph.node.len())?;
        cap("inputs", MAX_NODES, graph.input.len())?;
        cap("outputs", MAX_PORTS, graph.output.len())?;
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse
                .values
                .as_ref()
                .map(|v| v.name.clone())
                .unwrap_or_default();
            return Err(ImportError::Tensor {
                name,
                source: TensorProblem::Sparse,
            });
        }
        let constants = constants(&graph)?;
        let inputs = inputs(&graph, &constants)?;
        cap("inputs", MAX_PORTS, inputs.len())?;
        let outputs: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
        if outputs.is_empty() {
            return Err(ImportError::NoOutput);
        }
        let known: HashSet<&str> = constants
            .keys()
            .map(String::as_str)
            .chain(inputs.iter().map(|i| i.name.as_str()))
            .collect();
        let order = sort(&graph.node, &known)?;
        let made: HashSet<&str> = graph
            .node
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str))
            .collect();
        if let Some(output) = outputs
            .iter()
            .find(|o| !made.contains(o.as_str()) && !known.contains(o.as_str()))
        {
            return Err(ImportError::MissingOutput(output.clone()));
        }
        let mut nodes: Vec<Option<NodeProto>> = graph.node.into_iter().map(Some).collect();
        let nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
        Ok(Self {
            inputs,
            outputs,
            constants,
            nodes,
            opsets,
        })
    }

    /// A part of this graph that starts from given tensors.
    pub(crate) fn part(
        &self,
        nodes: Vec<NodeProto>,
        outputs: Vec<String>,
        constants: HashMap<String, Constant>,
    ) -> Self {
        Self {
            inputs: Vec::new(),
            outputs,
            constants,
            nodes,
            opsets: self.opsets.clone(),
        }
    }

    /// The opset of a domain, if the model imports it.
    pub(crate) fn opset(&self, domain: &str) -> Option<i64> {
        self.opsets.get(domain_name(domain)).copied()
    }
}

/// Name of a node, or that of its first output.
pub(crate) fn node_name(node: &NodeProto) -> String {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output.clone(),
        (name, _) => name.to_owned(),
    }
}

fn cap(what: &'static str, max: usize, len: usize) -> Result<(), ImportError> {
    if len > max {
        Err(ImportError::TooMany { what, max })
    } else {
        Ok(())
    }
}

fn opsets(model: &ModelProto) -> Result<HashMap<String, i64>, ImportError> {
    if model.graph.is_none() {
        return Err(ImportError::NoGraph);
    }
    if !(3..=13).contains(&model.ir_version) {
        return Err(ImportError::IrVersion(model.ir_version));
    }
    let mut opsets = HashMap::new();
    for import in &model.opset_import {
        let domain = domain_name(&import.domain).to_owned();
        if opsets
            .insert(domain.clone(), import.version)
            .is_some_and(|v| v != import.version)
        {
            return Err(ImportError::Duplicate(format!("opset_import of {domain}")));
        }
    }
    let refused = |domain: &str, version, supported| {
        Err(ImportError::Opset {
            domain: domain.to_owned(),
            version,
            supported,
        })
    };
    match opsets.get(STANDARD) {
        None => return Err(ImportError::NoOpset),
        Some(&v) if v < OPSETS.0 || v > OPSETS.1 => return refused(STANDARD, v, "10 to 26"),
        Some(_) => {}
    }
    match opsets.get(MICROSOFT) {
        Some(&v) if v != 1 => refused(MICROSOFT, v, "version 1"),
        _ => Ok(opsets),
    }
}

fn constants(graph: &GraphProto) -> Result<HashMap<String, Constant>, ImportError> {
    let mut constants = HashMap::new();
    let mut total = 0usize;
    for proto in &graph.initializer {
        let name = proto.name.clone();
        let constant = Constant::read(proto).map_err(|source| ImportError::Tensor {
            name: name.clone(),
            source,
        })?;
        total = total.saturating_add(constant.len());
        cap("elements in constants", MAX_CONSTANT_ELEMENTS, total)?;
        if name.is_empty() || constants.insert(name.clone(), constant).is_some() {
            return Err(ImportError::Duplicate(name));
        }
    }
    Ok(constants)
}

fn inputs(
    graph: &GraphProto,
    constants: &HashMap<String, Constant>,
) -> Result<Vec<Input>, ImportError> {
    let mut names = HashSet::new();
    let mut inputs = Vec::new();
    for info in &graph.input {
        if !names.insert(info.name.as_str()) || info.name.is_empty() {
            return Err(ImportError::Duplicate(info.name.clone()));
        }
        // Old files list initializers as inputs too; the constant is the default, and defaults are what is proved.
        if constants.contains_key(&info.name) {
            continue;
        }
        let (dtype, shape) = input_type(info).map_err(|source| ImportError::Input {
            name: info.name.clone(),
            source,
        })?;
        inputs.push(Input {
            name: info.name.clone(),
            dtype,
            shape,
        });
    }
    Ok(inputs)
}

fn input_type(info: &ValueInfoProto) -> Result<(InputType, Vec<usize>), InputProblem> {
    let value = info.r#type.as_ref().and_then(|t| t.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = value else {
        return Err(InputProblem::NotTensor);
    };
    let dtype = match tensor.elem_type {
        FLOAT => InputType::Float,
        code => InputType::Int(integer_type(code).ok_or(InputProblem::Type(code))?),
    };
    let dims = &tensor.shape.as_ref().ok_or(InputProblem::NoShape)?.dim;
    if dims.len() > MAX_RANK {
        return Err(InputProblem::Extent(MAX_RANK));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for (axis, dim) in dims.iter().enumerate() {
        shape.push(match dim.value {
            Some(dimension::Value::DimValue(v)) if v > 0 => usize::try_from(v)
                .ok()
                .filter(|&v| v <= MAX_ELEMENTS)
                .ok_or(InputProblem::Extent(axis))?,
            // An open first axis is the batch, and a proof is about one sample.
            None | Some(dimension::Value::DimParam(_)) if axis == 0 => 1,
            Some(dimension::Value::DimValue(-1)) if axis == 0 => 1,
            Some(dimension::Value::DimValue(_)) => return Err(InputProblem::Extent(axis)),
            _ => return Err(InputProblem::Symbolic(axis)),
        });
        if elements(&shape) > MAX_ELEMENTS {
            return Err(InputProblem::Extent(axis));
        }
    }
    Ok((dtype, shape))
}

/// An order of the nodes in which inputs precede their use (Kahn's algorithm, smallest index first by construction).
fn sort(nodes: &[NodeProto], known: &HashSet<&str>) -> Result<Vec<usize>, ImportError> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if known.contains(output.as_str()) || makers.insert(output, i).is_some() {
                return Err(ImportError::Duplicate(output.clone()));
            }
        }
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for input in node
            .input
            .iter()
            .filter(|n| !n.is_empty() && !known.contains(n.as_str()))
        {
            let maker = *makers
                .get(input.as_str())
                .ok_or_else(|| ImportError::Missing {
                    node: node_name(node),
                    tensor: input.clone(),
                })?;
            users[maker].push(i);
            waiting[i] += 1;
        }
    }
    let mut ready: std::collections::BTreeSet<usize> =
        (0..nodes.len()).filter(|&i| waiting[i] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &user in &users[i] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.insert(user);
            }
        }
    }
    match (0..nodes.len()).find(|&i| waiting[i] > 0) {
        Some(i) => Err(ImportError::Cycle(node_name(&nodes[i]))),
        None => Ok(order),
    }
}
