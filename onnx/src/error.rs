//! Why a model is refused.

use std::fmt;

use zkonnx_circuits::program::{OpError, ProgramError};

/// Why a model cannot become a program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The bytes are not a protobuf message of a model.
    #[error("this is not an ONNX model: {0}")]
    NotOnnx(String),
    /// The model has no graph.
    #[error("this is not an ONNX model: it has no graph")]
    NoGraph,
    /// The file format is older or newer than what is read.
    #[error("the model has ir_version {0}; versions 3 to 13 are read")]
    IrVersion(i64),
    /// The model does not say which operator set it uses.
    #[error("the model imports no operator set of the ONNX domain")]
    NoOpset,
    /// An operator set that is not supported.
    #[error(
        "the model imports opset {version} of domain `{domain}`; {supported} are supported: convert it \
         (onnx.version_converter.convert_version in Python)"
    )]
    Opset {
        /// The domain; `ai.onnx` for the standard operators.
        domain: String,
        /// The version.
        version: i64,
        /// The versions that are supported.
        supported: &'static str,
    },
    /// A name is defined twice.
    #[error("`{0}` is defined twice")]
    Duplicate(String),
    /// A tensor is used but nothing makes it.
    #[error("node `{node}` uses tensor `{tensor}`, which nothing defines")]
    Missing {
        /// The node.
        node: String,
        /// The tensor.
        tensor: String,
    },
    /// A graph output that nothing makes.
    #[error("output `{0}` is made by no node")]
    MissingOutput(String),
    /// Functions of one name that are told apart by their arguments.
    #[error(
        "function `{0}` is overloaded, which is not supported; export the model with its functions inlined"
    )]
    Overload(String),
    /// An inner graph with other inputs than its node gives.
    #[error("node `{node}` holds a graph of {expected} inputs and gives it {got}")]
    InnerInputs {
        /// The node.
        node: String,
        /// Inputs of the inner graph.
        expected: usize,
        /// Values that it is given.
        got: usize,
    },
    /// The nodes depend on each other in a circle.
    #[error("the graph has a cycle through node `{0}`")]
    Cycle(String),
    /// A graph without outputs.
    #[error("the graph has no outputs")]
    NoOutput,
    /// More of something than the cap.
    #[error("the model has more than {max} {what}")]
    TooMany {
        /// What is capped.
        what: &'static str,
        /// The cap.
        max: usize,
    },
    /// A constant tensor that cannot be read.
    #[error("tensor `{name}`: {source}")]
    Tensor {
        /// The tensor.
        name: String,
        /// Why.
        #[source]
        source: TensorProblem,
    },
    /// A graph input that cannot be an input of a program.
    #[error("input `{name}`: {source}")]
    Input {
        /// The input.
        name: String,
        /// Why.
        #[source]
        source: InputProblem,
    },
    /// A binding of a dimension that is not open.
    #[error("no input has an open dimension `{name}`; {}", match open.is_empty() {
        true => "all dimensions of the model are fixed".to_owned(),
        false => format!("the model has {open}"),
    })]
    UnknownDim {
        /// The dimension.
        name: String,
        /// The open ones.
        open: String,
    },
    /// No part of the model is quantized.
    #[error(
        "this is a float model: nothing in it is quantized; make a quantized one first: \
         zkonnx quantize MODEL --calibrate SAMPLES.npz -o OUT.onnx"
    )]
    FloatModel,
    /// Nodes that are not supported; all of them.
    #[error("{}", Problems(.0))]
    Unsupported(Vec<NodeProblem>),
    /// The nodes do not form a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Why a constant tensor cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorProblem {
    /// Data in another file.
    #[error("its data is in another file; save the model with its data inside")]
    External,
    /// An element type that is not read.
    #[error("element type {0} is not supported")]
    Type(i32),
    /// A negative extent.
    #[error("it has a negative extent")]
    Negative,
    /// More elements or axes than the cap.
    #[error("it has more than {0} elements or 8 axes")]
    TooLarge(usize),
    /// Fewer or more data than the shape asks for.
    #[error("its shape asks for {expected} elements, its data has {got}")]
    Length {
        /// Elements of the shape.
        expected: usize,
        /// Elements of the data.
        got: usize,
    },
    /// A value outside the element type.
    #[error("a value lies outside its element type")]
    Value,
    /// Strings that a node, which is named, computes with.
    #[error(
        "it holds strings, which are labels that may be picked, and node `{0}` computes with them; encode strings as integers before the model"
    )]
    Strings(String),
    /// A sparse tensor.
    #[error("sparse tensors are not supported")]
    Sparse,
}

/// Why a graph input cannot be an input of a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputProblem {
    /// Not a tensor.
    #[error("it is not a tensor")]
    NotTensor,
    /// An element type that is not supported.
    #[error("element type {0} is not supported")]
    Type(i32),
    /// A float of another size, under a quantization of its own.
    #[error(
        "it is not float32; quantize the float model with `zkonnx quantize`, which makes float32 of it"
    )]
    NotFloat32,
    /// No shape.
    #[error("it has no shape")]
    NoShape,
    /// An extent that is not known.
    #[error("axis {axis} has no fixed extent: give one, such as --dim {dim}=16")]
    Open {
        /// The axis.
        axis: usize,
        /// The dimension's name, or `INPUT:AXIS`.
        dim: String,
    },
    /// An extent that is negative or zero, or too many elements.
    #[error("axis {0} has an extent that is not supported")]
    Extent(usize),
}

/// A node that is not supported.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeProblem {
    /// Name of the node, or of its first output.
    pub node: String,
    /// Operator.
    pub op: String,
    /// Domain of the operator; `ai.onnx` for the standard ones.
    pub domain: String,
    /// Opset of that domain that the model imports.
    pub opset: i64,
    /// Why.
    pub reason: NodeError,
}

impl fmt::Display for NodeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node `{}` ({}.{}, opset {}): {}",
            self.node, self.domain, self.op, self.opset, self.reason
        )
    }
}

struct Problems<'a>(&'a [NodeProblem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 {
            "node is"
        } else {
            "nodes are"
        };
        write!(f, "{} {plural} not supported:", self.0.len())?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl NodeError {
    /// Why, without the advice to quantize the float model, for a model that was made by doing that.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Float { input, what } => format!("input {input} ({what}) would stay float"),
            Self::Island { reason } => (*reason).to_owned(),
            Self::Dynamic => "its scale depends on the data".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Why one node is not supported, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// An operator that is not known.
    #[error(
        "the operator is not supported; remove it, or express it by supported ones (`zkonnx ops`)"
    )]
    Unknown,
    /// An opset outside the operator's range.
    #[error("the operator is supported in opsets {min} to {max}; convert the model")]
    Opset {
        /// First supported opset.
        min: i64,
        /// Last supported opset.
        max: i64,
    },
    /// Scales that depend on the data.
    #[error(
        "its scale depends on the data, so every input would need a circuit of its own; `zkonnx quantize` restores the \
         float model and gives it fixed scales"
    )]
    Dynamic,
    /// Integers whose scale depends on the data, for another use than to stand for reals.
    #[error(
        "it needs integers of a dynamic quantization as such, which fixed scales do not give; quantize the float model that \
         the file was made of"
    )]
    IntegersNeeded,
    /// A branch or a loop that constants do not decide.
    #[error(
        "the data decide what its inner graph computes, or how often it runs, and a circuit is the same for all data; cut \
         the model before this node"
    )]
    DataDependent,
    /// An attribute with a value that is not supported.
    #[error("attribute `{name}`: {reason}")]
    Attribute {
        /// The attribute.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An attribute that the operator is not known to have.
    #[error("attribute `{name}` is not known; remove it if it has no meaning")]
    UnknownAttribute {
        /// The attribute.
        name: String,
    },
    /// Too few or too many inputs or outputs.
    #[error("it has {got} {what}, {expected} are expected")]
    Arity {
        /// Inputs or outputs.
        what: &'static str,
        /// How many are expected.
        expected: &'static str,
        /// How many there are.
        got: usize,
    },
    /// An input that has to be a constant.
    #[error("input {input} ({what}) has to be a constant")]
    NotConstant {
        /// The input.
        input: usize,
        /// What it is.
        what: &'static str,
    },
    /// An input of a type or shape that is not supported.
    #[error("input {input} ({what}): {reason}")]
    Input {
        /// The input.
        input: usize,
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Float weights or activations where quantized ones are needed.
    #[error(
        "input {input} ({what}) is float; quantize it (QuantizeLinear and DequantizeLinear before this node), as `zkonnx \
         quantize MODEL --calibrate SAMPLES.npz -o OUT.onnx` does for the float model"
    )]
    Float {
        /// The input.
        input: usize,
        /// What it is.
        what: &'static str,
    },
    /// A float value that no integer rule is known for.
    #[error(
        "{reason}; put QuantizeLinear and DequantizeLinear around it, as `zkonnx quantize MODEL --calibrate SAMPLES.npz -o \
         OUT.onnx` does for the float model"
    )]
    Island {
        /// Why it cannot be expressed.
        reason: &'static str,
    },
    /// A scale that is not a positive normal number.
    #[error("scale {0} is not a positive normal number")]
    Scale(f32),
    /// A multiplier that leaves the range of normal numbers.
    #[error("the quotient of its scales, {0}, is not a positive normal number")]
    Multiplier(f32),
    /// Elements of a type that the operator does not take, or that are computed with in no way here.
    #[error(
        "input {input} is of element type {got}, which this operator is not evaluated for; cast it before"
    )]
    ElementType {
        /// The input.
        input: usize,
        /// Its element type.
        got: &'static str,
    },
    /// Arithmetic on constants without a value that all machines agree on.
    #[error("{reason}, which has no value that holds on every machine; change the constant")]
    Undefined {
        /// What happens.
        reason: &'static str,
    },
    /// A constant that cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorProblem),
    /// The integer operator refuses it.
    #[error(transparent)]
    Op(#[from] OpError),
}
