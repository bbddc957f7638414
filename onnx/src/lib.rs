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

mod error;
mod eval;
mod extension;
mod graph;
mod group;
mod head;
mod import;
mod input;
mod math;
mod operator;
mod ops;
mod passes;
mod proto;
pub mod quantize;
mod report;
mod rewrite;
mod run;
mod tail;
#[cfg(test)]
mod tests;
mod trees;
mod vocabulary;

pub use error::{ImportError, InputProblem, NodeError, NodeProblem, TensorProblem};
pub use extension::{Activation, Context, Extension, ImportNode, Output, Registry};
pub use graph::NodeView;
pub use group::exactness::{Exactness, Relation, Relations, Status};
pub use head::{FloatHead, HeadError, HeadInput, HeadTensor};
pub use input::{InputError, quantize_input, saturated};
pub use proto::{Bindings, OpenInput};
pub use report::{Imported, NodeReport, TailNode};
pub use tail::{FloatTail, TailData, TailError, TailTensor};

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
    import::import(&passes::prepare_import(bytes, bindings)?, registry)
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
    let operators = ops::FILES.iter().flat_map(|(_, operators)| *operators);
    let mut all: Vec<Supported> = operators
        // Those are known only to be refused with the reason.
        .filter(|operator| !operator.has(operator::DYNAMIC))
        .filter_map(|operator| {
            let facts = operator.integers?.facts;
            let (min_opset, max_opset) = operator.opsets();
            Some(Supported {
                domain: operator.domain,
                name: operator.name,
                min_opset,
                max_opset,
                types: facts.types,
                limits: facts.limits,
                exactness: facts.exactness,
            })
        })
        .collect();
    all.sort_unstable();
    all
}
