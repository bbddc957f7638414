//! Why an operator, a program or its bytes are refused.

use zkonnx_verifier::{DataType, InterfaceError};

use super::{Range, TensorId};

/// Why an operator refuses its inputs or its own parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// A wrong number of inputs.
    #[error("`{op}` takes {expected} inputs, not {got}")]
    Arity {
        /// The operator.
        op: &'static str,
        /// Inputs that it takes.
        expected: usize,
        /// Inputs that it was given.
        got: usize,
    },
    /// An input of a rank that the operator does not take.
    #[error("`{op}` takes an input of rank {expected}, not {got}")]
    Rank {
        /// The operator.
        op: &'static str,
        /// The rank that it takes.
        expected: usize,
        /// The rank of the input.
        got: usize,
    },
    /// A shape that does not agree with the operator or with another input.
    #[error("`{op}` cannot take an input of shape {got:?}: {expected}")]
    Shape {
        /// The operator.
        op: &'static str,
        /// What the operator asks for.
        expected: &'static str,
        /// The shape of the input.
        got: Vec<usize>,
    },
    /// An element type that the operator does not take.
    #[error("`{op}` does not take elements of type {got:?}")]
    Type {
        /// The operator.
        op: &'static str,
        /// The type of the input.
        got: DataType,
    },
    /// A parameter outside what the operator allows.
    #[error("`{op}`: {parameter} is not valid")]
    Parameter {
        /// The operator.
        op: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// An accumulator that may leave the type it is meant for.
    #[error(
        "`{op}` may reach values from {lo} to {hi}, outside {dtype:?}; use smaller weights or fewer inputs"
    )]
    Overflow {
        /// The operator.
        op: &'static str,
        /// Smallest reachable value.
        lo: i128,
        /// Largest reachable value.
        hi: i128,
        /// The type that should hold them.
        dtype: DataType,
    },
    /// A tensor larger than the cap.
    #[error("`{op}` would make a tensor of more than {max} elements")]
    TooLarge {
        /// The operator.
        op: &'static str,
        /// The cap.
        max: usize,
    },
    /// An element outside the range that the operator covers.
    #[error("`{op}` was given {value}, outside {range:?}")]
    Value {
        /// The operator.
        op: &'static str,
        /// The element.
        value: i64,
        /// What is covered.
        range: Range,
    },
}

/// Why nodes do not form a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A node refers to a tensor that does not precede it.
    #[error("node {node} uses tensor {tensor:?}, which is not defined before it")]
    Undefined {
        /// The node, by number.
        node: usize,
        /// The tensor.
        tensor: TensorId,
    },
    /// An output refers to a tensor that does not exist.
    #[error("output {output} is tensor {tensor:?}, which does not exist")]
    UndefinedOutput {
        /// The output, by number.
        output: usize,
        /// The tensor.
        tensor: TensorId,
    },
    /// A node is refused by its operator.
    #[error("node {node} ({op}): {source}")]
    Op {
        /// The node, by number.
        node: usize,
        /// Its operator.
        op: &'static str,
        /// Why.
        #[source]
        source: OpError,
    },
    /// An interface that is refused.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// An input with values that no program takes.
    #[error("the interface gives input {input} a range wider than 62 bits")]
    InputRange {
        /// The input, by number.
        input: usize,
    },
    /// Inputs of other types or shapes than the interface states.
    #[error("interface and body have different inputs")]
    InputTypes,
    /// Another number of outputs than the interface states.
    #[error("the interface has {stated} outputs, the body {got}")]
    OutputCount {
        /// Outputs of the interface.
        stated: usize,
        /// Outputs of the body.
        got: usize,
    },
    /// An output of another type or shape than the interface states.
    #[error("output {output} is not of the type and shape that the interface states")]
    OutputType {
        /// The output, by number.
        output: usize,
    },
    /// More nodes, ports or elements than the cap.
    #[error("a program may have {max} {what}, this one has more")]
    TooMany {
        /// What is capped.
        what: &'static str,
        /// The cap.
        max: usize,
    },
}

/// Why bytes are not a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early, or announce more than they hold.
    #[error("the program is truncated")]
    Truncated,
    /// The bytes are not of a program.
    #[error("this is not a program")]
    Magic,
    /// The bytes are of another version of the format.
    #[error(
        "the program has format version {got}, this build reads {expected}: import the model again"
    )]
    Version {
        /// The version that this build reads.
        expected: u16,
        /// The version of the bytes.
        got: u16,
    },
    /// Bytes after the end.
    #[error("the program is followed by {0} more bytes")]
    Trailing(usize),
    /// A field has a value without a meaning, or not the only one with its meaning.
    #[error("the program holds a malformed {0}")]
    Malformed(&'static str),
    /// An operator that is not registered.
    #[error("operator `{domain}.{name}` version {version} is not known to this build")]
    UnknownOperator {
        /// Who defines it.
        domain: String,
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The nodes do not form a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// An operator has parameters that it refuses.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// Why a program cannot be executed on some inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// A wrong number of inputs.
    #[error("the program takes {expected} inputs, not {got}")]
    InputCount {
        /// Inputs that it takes.
        expected: usize,
        /// Inputs that it was given.
        got: usize,
    },
    /// An input of the wrong type or shape.
    #[error("input `{name}` is {expected:?}{expected_shape:?}, not {got:?}{got_shape:?}")]
    InputShape {
        /// The input.
        name: String,
        /// Its type.
        expected: DataType,
        /// Its shape.
        expected_shape: Vec<usize>,
        /// The type given.
        got: DataType,
        /// The shape given.
        got_shape: Vec<usize>,
    },
    /// An element of an input outside its type.
    #[error("input `{name}` has {value} at position {index}, outside {range:?}")]
    InputValue {
        /// The input.
        name: String,
        /// Position of the element, row-major.
        index: usize,
        /// The element.
        value: i64,
        /// What it may be.
        range: Range,
    },
    /// An operator fails, which `facts` should have excluded.
    #[error("node {node} ({op}): {source}")]
    Op {
        /// The node, by number.
        node: usize,
        /// Its operator.
        op: &'static str,
        /// Why.
        #[source]
        source: OpError,
    },
    /// An operator returned something else than its facts say: a defect of the operator.
    #[error("node {node} ({op}) does not keep what its facts promise")]
    Promise {
        /// The node, by number.
        node: usize,
        /// Its operator.
        op: &'static str,
    },
}
