//! Why a model is not quantized.

use crate::error::{ImportError, NodeError};
use crate::run::RunError;

/// Why a model is not quantized.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The file is not a model that can be read.
    #[error(transparent)]
    Model(ImportError),
    /// It is quantized already.
    #[error(
        "the model is quantized already: node `{0}`; give the float model that it was made from"
    )]
    AlreadyQuantized(String),
    /// A percentile that is none.
    #[error("the percentile is {0}; between 50 and 100 is meant, such as 99.9")]
    Percentile(f64),
    /// No sample.
    #[error("there is not a single sample to calibrate with")]
    NoSample,
    /// A sample that does not fit the inputs.
    #[error(
        "sample {sample}: input `{input}` of shape {shape:?} needs {expected} {kind}, the sample has {got}"
    )]
    Sample {
        /// Number of the sample.
        sample: usize,
        /// The input.
        input: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// Floats or integers.
        kind: &'static str,
        /// How many the sample has, or what else.
        got: usize,
    },
    /// A sample with something that is no number.
    #[error(
        "sample {sample}: input `{input}` is {value} at position {index}, and has no range; leave the sample out"
    )]
    NotFinite {
        /// Number of the sample.
        sample: usize,
        /// The input.
        input: String,
        /// Position, row-major.
        index: usize,
        /// What it is.
        value: f32,
    },
    /// The quantized model cannot be run on a sample.
    #[error("the quantized model cannot be run on the samples: {reason}")]
    Measure {
        /// Why.
        reason: String,
    },
    /// A node that cannot be evaluated.
    #[error("node `{node}` ({op}): {source}")]
    Evaluate {
        /// The node.
        node: String,
        /// Operator.
        op: String,
        /// Why.
        source: Box<NodeError>,
    },
    /// An operator that is not proved and whose result is computed with.
    #[error(
        "node `{node}` ({op}) is not an operator that is proved (`zkonnx ops`), and node `{before}` ({before_op}) computes with its result; cut the model behind `{node}`, so that its result is the input"
    )]
    Island {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The node that needs its result.
        before: String,
        /// Its operator.
        before_op: String,
    },
    /// Nothing in the model can be quantized.
    #[error(
        "no node of the model computes with the floats of its input in a way that is proved: its operators are {ops}; express it by those that `zkonnx ops` lists"
    )]
    Nothing {
        /// The operators of the model.
        ops: String,
    },
    /// The quantized model is not provable.
    #[error("{}", not_provable(.0))]
    NotProvable(ImportError),
}

impl From<RunError> for QuantizeError {
    fn from(error: RunError) -> Self {
        Self::Evaluate {
            node: error.node,
            op: error.op,
            source: Box::new(error.source),
        }
    }
}

/// What stands in the way, without the advice to do what was just done.
fn not_provable(error: &ImportError) -> String {
    let ImportError::Unsupported(problems) = error else {
        return format!("the quantized model would not be provable: {error}");
    };
    let mut text = "the quantized model would not be provable; cut the model before the first of these nodes, or \
                    express them by other operators that `zkonnx ops` lists:"
        .to_owned();
    for problem in problems {
        let (node, op, cause) = (&problem.node, &problem.op, problem.reason.cause());
        text.push_str(&format!("\n  node `{node}` ({op}): {cause}"));
    }
    text
}
