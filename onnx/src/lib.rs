//! Import: an ONNX file becomes an integer program.
//!
//! No other crate of the circuit knows ONNX, and floats end here. It works from the decoded protobuf,
//! with its own checks and its own shape inference, and identifies an operator by ONNX's (domain, name, opset).
//!
//! A QOperator node (QLinearConv, …) is an integer kernel as it stands. In QDQ form a DequantizeLinear gives integers
//! a real meaning, the float operators between it and the next QuantizeLinear stay pending, and the QuantizeLinear
//! closes the group into the same integer kernel: so both forms of one network become the same program.
//!
//! What stands before the first QuantizeLinear (the quantization of a float input) and after the last
//! DequantizeLinear (a float tail) is outside the proof, and is reported as such.
#![forbid(unsafe_code)]

mod close;
mod derive;
mod doubt;
mod error;
mod eval;
mod exactness;
mod expr;
mod extension;
mod facts;
mod graph;
mod head;
mod ids;
mod importer;
mod input;
mod kernel;
mod math;
mod ops;
mod outputs;
mod outside;
mod passes;
mod proto;
pub mod quantize;
mod real;
mod registry;
mod run;
mod sums;
mod tail;
#[cfg(test)]
mod tests;
mod totals;
mod trees;
mod windows;

pub use error::{ImportError, InputProblem, NodeError, NodeProblem, TensorProblem};
pub use exactness::{Exactness, Relation, Relations};
pub use extension::{Activation, Context, Extension, ImportNode, Output, Registry};
pub use graph::NodeView;
pub use head::{FloatHead, HeadError, HeadInput, HeadTensor};
pub use input::{InputError, quantize_input, saturated};
pub use proto::{Bindings, OpenInput};
pub use tail::{FloatTail, TailData, TailError, TailTensor};

use zkonnx_circuits::program::{Program, TensorId};

/// What the importer did with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Integers by a rule, which says how they relate to those of ONNX Runtime.
    Closed(Exactness),
    /// Part of a group that the next QuantizeLinear closes; how exact it is stands there.
    Group,
    /// Computed at import.
    Folded,
    /// Not proved: float arithmetic before the first QuantizeLinear.
    Head,
    /// Not proved: float arithmetic after the last DequantizeLinear.
    Outside,
}

/// What the importer did with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Name of the node, or of its first output.
    pub node: String,
    /// Operator.
    pub op: String,
    /// Domain; `ai.onnx` for the standard operators.
    pub domain: String,
    /// Opset of that domain.
    pub opset: i64,
    /// What became of it.
    pub status: Status,
    /// The integer operators that it added to the program, in order; those that no output needs are dropped later.
    pub operators: Vec<&'static str>,
}

/// A node before the first integers or after the last ones, which is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailNode {
    /// Name of the node, or of its first output.
    pub node: String,
    /// Operator.
    pub op: String,
    /// Domain.
    pub domain: String,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// Whether it stands before the integers.
    pub before: bool,
}

impl TailNode {
    /// Whether the operator is of a domain that this project knows. Of others, nobody can say here what they compute.
    pub fn is_known(&self) -> bool {
        graph::is_known_domain(&self.domain)
    }
}

impl NodeReport {
    /// As [`TailNode::is_known`].
    pub fn is_known(&self) -> bool {
        graph::is_known_domain(&self.domain)
    }
}

/// A model as an integer program.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The program.
    pub program: Program,
    /// What became of each node, in order of execution.
    pub report: Vec<NodeReport>,
    /// The nodes that are not proved, in order of execution.
    pub tail: Vec<TailNode>,
    /// The same nodes, ready to be evaluated; `None` if there are none.
    pub float_tail: Option<FloatTail>,
    /// The integer tensors of the model that the program computes, by ONNX name, in order of execution.
    pub tensors: Vec<(String, TensorId)>,
}

/// Imports a model. Never panics, whatever the bytes; all unsupported nodes are reported at once.
pub fn import(bytes: &[u8]) -> Result<Imported, ImportError> {
    import_with(bytes, &Registry::new())
}

/// As [`import`], with operators of other crates.
pub fn import_with(bytes: &[u8], registry: &Registry) -> Result<Imported, ImportError> {
    import_bound(bytes, registry, &Bindings::default())
}

/// As [`import_with`], with extents for open dimensions.
pub fn import_bound(
    bytes: &[u8],
    registry: &Registry,
    bindings: &Bindings,
) -> Result<Imported, ImportError> {
    importer::import(&passes::prepare_import(bytes, bindings)?, registry)
}

/// The inputs of a model that have open dimensions.
pub fn open_inputs(bytes: &[u8]) -> Result<Vec<OpenInput>, ImportError> {
    Ok(proto::open_inputs(&proto::decode(bytes)?))
}

/// An ONNX operator that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Supported {
    /// Domain; `ai.onnx` for the standard operators.
    pub domain: &'static str,
    /// Name.
    pub name: &'static str,
    /// First supported opset of the domain.
    pub min_opset: i64,
    /// Last supported opset of the domain.
    pub max_opset: i64,
    /// Types of the activations, in one line.
    pub types: &'static str,
    /// What is refused, in one line.
    pub limits: &'static str,
    /// The rules that close groups around it.
    pub exactness: Relations,
}

/// The operators that are imported, ordered by domain and name.
pub fn supported() -> Vec<Supported> {
    let mut all: Vec<Supported> = registry::list()
        // It is known only to be refused with the reason.
        .filter(|entry| entry.name != "DynamicQuantizeLinear")
        .map(|entry| Supported {
            domain: entry.domain,
            name: entry.name,
            min_opset: entry.min,
            max_opset: entry.max,
            types: entry.facts.types,
            limits: entry.facts.limits,
            exactness: entry.facts.exactness,
        })
        .collect();
    all.sort_unstable();
    all
}
