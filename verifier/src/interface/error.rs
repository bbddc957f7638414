//! Why an interface is refused, and why it does not fit a claim.

use alloc::string::String;

use thiserror::Error;

use crate::error::{DecodeError, TensorError};

/// Why an interface is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// The bytes are not canonical.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More of something than an interface may have.
    #[error("the interface has {got} {what}, more than the {max} it may have")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// A program has at least one output.
    #[error("the interface has no {what}")]
    None {
        /// What is missing.
        what: &'static str,
    },
    /// A name that is too long.
    #[error("the name of {what} {index} is longer than {max} bytes")]
    LongName {
        /// What it names.
        what: &'static str,
        /// Which one.
        index: usize,
        /// How long it may be.
        max: usize,
    },
    /// Text that is no UTF-8.
    #[error("a name is not UTF-8")]
    NotText,
    /// Two inputs of one name.
    #[error("two inputs are called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// A shape that a claim cannot carry.
    #[error("{what} {index}: {source}")]
    Shape {
        /// What has the shape.
        what: &'static str,
        /// Which one.
        index: usize,
        /// Why.
        source: TensorError,
    },
    /// A range that is empty or leaves its type.
    #[error("input {index}: the range from {lo} to {hi} is not one of its type")]
    Range {
        /// Which input.
        index: usize,
        /// Smallest value.
        lo: i64,
        /// Largest value.
        hi: i64,
    },
    /// Scales or zero points that do not fit.
    #[error(
        "{what} {index}: scales have to be positive, normal and as many as the axis has indices, zero points within \
         the type"
    )]
    Quantization {
        /// What is quantized.
        what: &'static str,
        /// Which one.
        index: usize,
    },
    /// A source that does not exist, or stands later.
    #[error("{what} {index} comes from something that does not exist before it")]
    Source {
        /// What has the source.
        what: &'static str,
        /// Which one.
        index: usize,
    },
    /// A constant whose bytes do not fill its shape.
    #[error("constant {index}: {got} bytes do not fill its shape")]
    Constant {
        /// Which one.
        index: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// Attributes out of order, or of one name.
    #[error("the attributes of node {node} are not in the order of their names")]
    AttributeOrder {
        /// The node.
        node: usize,
    },
}

/// Why an interface cannot show what a claim says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Interface and body are not those of the claim's program.
    #[error("interface and body do not hash to the claim's program id")]
    OtherProgram,
    /// The claim's tensors are not those of the interface: no proof of it can exist.
    #[error("the claim's {what} are not those of its program")]
    Tensors {
        /// Inputs or outputs.
        what: &'static str,
    },
    /// No input or output of that name.
    #[error("the model has no {what} `{name}`")]
    Unknown {
        /// Input or output.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// What is computed outside is not part of a claim.
    #[error("{what} `{name}` is not part of the claim: the model computes it outside of the proof")]
    Outside {
        /// Input or output.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A private input.
    #[error("the claim says nothing of input `{name}`, which is private")]
    Private {
        /// The name.
        name: String,
    },
}
