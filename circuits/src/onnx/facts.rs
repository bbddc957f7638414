//! What is said of an operator before any model is seen: types, limits and exactness, in one line each.
//!
//! `zkonnx ops` and `docs/OPERATORS.md` are made of these lines. Operators that one function imports share their facts,
//! so that a new activation needs none of its own.

use std::fmt;

/// How the integers of an operator relate to those of the ONNX Runtime kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exactness {
    /// Equal to the last bit.
    Exact,
    /// Equal wherever the float functions of both are correctly rounded.
    RoundedFunctions,
    /// A rule of this project's; the section of SEMANTICS.md.
    Documented(&'static str),
    /// No arithmetic of activations: computed at import.
    AtImport,
}

impl fmt::Display for Exactness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::RoundedFunctions => {
                f.write_str("exact where the float function is correctly rounded")
            }
            Self::Documented(section) => write!(f, "SEMANTICS.md, \"{section}\""),
            Self::AtImport => f.write_str("computed at import"),
        }
    }
}

/// What is said of an operator before any model is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Types of the activations.
    pub(crate) types: &'static str,
    /// What is refused.
    pub(crate) limits: &'static str,
    pub(crate) exactness: Exactness,
}

const fn facts(types: &'static str, limits: &'static str, exactness: Exactness) -> Facts {
    Facts {
        types,
        limits,
        exactness,
    }
}

/// Types with a table of all their values.
const NARROW: &str = "u8, i8, u16, i16";
/// Types of the QLinear operators and of everything with two inputs.
const BYTES: &str = "u8, i8";
const ANY: &str = "all integers, bool";

pub(crate) const COMPARISON: Facts = facts(
    "u8, i8 to bool",
    "one scale for each tensor; constants as scalars or along one axis",
    Exactness::Documented("Two inputs"),
);
pub(crate) const BOOLEAN: Facts = facts("bool", "none", Exactness::Exact);
pub(crate) const CHOICE: Facts = facts(
    NARROW,
    "one output scale; QuantizeLinear or data movement follows directly",
    Exactness::Exact,
);
pub(crate) const FUNCTION: Facts = facts(
    NARROW,
    "between DequantizeLinear and QuantizeLinear; after MaxPool only if monotone",
    Exactness::RoundedFunctions,
);
pub(crate) const CLAMP: Facts = facts(
    NARROW,
    "limits constant; in a QDQ group or on integers",
    Exactness::Exact,
);
pub(crate) const PAIR: Facts = facts(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    Exactness::Documented("Two inputs"),
);
pub(crate) const TERMS: Facts = facts(
    "u8, i8; i32, i64 as they are",
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements; integers with constants",
    Exactness::Documented("Two inputs"),
);
pub(crate) const PRODUCT: Facts = facts(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    Exactness::Exact,
);
pub(crate) const WITH_CONSTANT: Facts = facts(
    NARROW,
    "one input constant: one axis, or at most 1024 elements; or both made of one tensor",
    Exactness::RoundedFunctions,
);
pub(crate) const EXTREME: Facts = facts(
    NARROW,
    "constants as scalars or along one axis",
    Exactness::Exact,
);
pub(crate) const AVERAGE: Facts = facts(
    BYTES,
    "one scale for the input; channels first",
    Exactness::Documented("Averages"),
);
pub(crate) const GLOBAL_AVERAGE: Facts = facts(
    BYTES,
    "one scale for the input; channels first",
    Exactness::Exact,
);
pub(crate) const MAXIMUM: Facts = facts(BYTES, "no indices", Exactness::Exact);
pub(crate) const NORMALIZATION: Facts = facts(
    NARROW,
    "inference; constant statistics, one table for each channel",
    Exactness::RoundedFunctions,
);
pub(crate) const SUM: Facts = facts(
    BYTES,
    "constant axes; one scale for the input",
    Exactness::Documented("Averages"),
);
pub(crate) const RUNNING_SUM: Facts = facts(
    BYTES,
    "constant axis of at most 1024 elements; one scale for the input",
    Exactness::Documented("Averages"),
);
pub(crate) const ROWS: Facts = facts(
    "all integers",
    "computed indices; constant depth of at most 4096; the values 0 and 1, or integers",
    Exactness::Exact,
);
pub(crate) const SOFTMAX: Facts = facts(
    BYTES,
    "one scale of at most 2; at most 4096 elements along the axis; QuantizeLinear or data movement follows directly",
    Exactness::Documented("Softmax"),
);
pub(crate) const RANKING: Facts = facts(
    NARROW,
    "one scale; at most 4096 elements along the axis; k constant",
    Exactness::Exact,
);
pub(crate) const EXTREME_ALONG: Facts = facts(
    BYTES,
    "constant axes; one scale for the input",
    Exactness::Exact,
);
pub(crate) const WEIGHTED: Facts = facts(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    Exactness::Exact,
);
pub(crate) const PRODUCT_OF_MATRICES: Facts = facts(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    Exactness::Exact,
);
pub(crate) const ACCUMULATED: Facts = facts(
    "u8, i8 to i32",
    "constant weights; one zero point for the activation; accumulators within int32",
    Exactness::Exact,
);
pub(crate) const QUANTIZATION: Facts = facts(
    "u8, i8, u16, i16; i32 for biases",
    "constant, positive, normal scales, per tensor or axis; no blocks",
    Exactness::Exact,
);
pub(crate) const CONVERSION: Facts = facts(
    ANY,
    "to float32 only, as scale one and zero point zero; constants to any type",
    Exactness::Exact,
);
pub(crate) const MOVEMENT: Facts = facts(
    ANY,
    "constant shapes, axes and indices; at most 8 axes",
    Exactness::Exact,
);
pub(crate) const PICKED: Facts = facts(
    ANY,
    "constant indices; or constants at computed indices that exist, of at most 4096 values",
    Exactness::Exact,
);
pub(crate) const JOINED: Facts = facts(
    ANY,
    "constant shapes; parts of unequal scales are requantized first",
    Exactness::Exact,
);
pub(crate) const PADDING: Facts = facts(
    ANY,
    "constant pads; constant, reflect, edge and wrap",
    Exactness::Exact,
);
pub(crate) const NEAREST: Facts = facts(ANY, "nearest; constant sizes or scales", Exactness::Exact);
pub(crate) const SHAPES: Facts = facts("int64, float32", "constants only", Exactness::AtImport);
pub(crate) const REFUSED: Facts = facts(
    "none",
    "always refused: its scale depends on the data",
    Exactness::AtImport,
);
