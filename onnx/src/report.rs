//! What an import gives: the program, what became of each node, and what stays outside the proof.

use crate::graph;
use crate::group::exactness::Status;
use crate::tail::FloatTail;
use zkonnx_circuits::program::{Program, TensorId};

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
