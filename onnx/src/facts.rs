//! What is said of an operator before any model is seen: types, limits and exactness, in one line each.
//!
//! `zkonnx ops` and `docs/OPERATORS.md` are made of these lines. Operators that one function imports share their facts,
//! so that a new activation needs none of its own.

use crate::group::exactness::{Relation, Relations};

/// What is said of an operator before any model is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Types of the activations.
    pub(crate) types: &'static str,
    /// What is refused.
    pub(crate) limits: &'static str,
    /// The rules that close groups around it.
    pub(crate) exactness: Relations,
}

const fn facts(types: &'static str, limits: &'static str, exactness: &'static [Relation]) -> Facts {
    Facts {
        types,
        limits,
        exactness: Relations(exactness),
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
    &[Relation::Kernel, Relation::Steps, Relation::Pairs],
);
pub(crate) const BOOLEAN: Facts = facts("bool", "none", &[Relation::Kernel]);
pub(crate) const CHOICE: Facts = facts(
    NARROW,
    "one output scale; QuantizeLinear or data movement follows directly",
    &[Relation::Kernel, Relation::Steps],
);
pub(crate) const FUNCTION: Facts = facts(
    NARROW,
    "between DequantizeLinear and QuantizeLinear; after MaxPool only if monotone",
    &[Relation::Steps, Relation::Functions],
);
pub(crate) const CLAMP: Facts = facts(
    NARROW,
    "limits constant; in a QDQ group or on integers",
    &[Relation::Kernel, Relation::Steps],
);
pub(crate) const PAIR: Facts = facts(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    &[Relation::Kernel, Relation::Pairs],
);
pub(crate) const TERMS: Facts = facts(
    "u8, i8; i32, i64 as they are",
    "activations of one scale each, accumulators, or a constant: one axis, or at most 1024 elements; integers with constants",
    &[
        Relation::Kernel,
        Relation::Steps,
        Relation::Pairs,
        Relation::Sum,
    ],
);
pub(crate) const SEVERAL: Facts = facts(
    "u8, i8, u16, i16; accumulators",
    "activations of one scale each, accumulators, constants; at most 32",
    &[Relation::Steps, Relation::Sum],
);
pub(crate) const PRODUCT: Facts = facts(
    BYTES,
    "two activations of one scale each, or a constant: one axis, or at most 1024 elements",
    &[Relation::Kernel, Relation::Steps, Relation::Pairs],
);
pub(crate) const WITH_CONSTANT: Facts = facts(
    NARROW,
    "one input constant: one axis, or at most 1024 elements; or both made of one tensor",
    &[Relation::Steps, Relation::Functions],
);
pub(crate) const EXTREME: Facts = facts(
    NARROW,
    "constants as scalars or along one axis",
    &[Relation::Steps],
);
pub(crate) const AVERAGE: Facts = facts(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Sum],
);
pub(crate) const GLOBAL_AVERAGE: Facts = facts(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Kernel, Relation::Sum],
);
pub(crate) const TREES: Facts = facts(
    "float32 features, and integers that are cast to them",
    "sums and averages; at most 65000 thresholds of a feature; scores as they are, through Sigmoid or Softmax",
    &[Relation::Leaves],
);
pub(crate) const MAXIMUM: Facts = facts(BYTES, "no indices", &[Relation::Kernel]);
pub(crate) const NORMALIZATION: Facts = facts(
    NARROW,
    "inference; constant statistics, one table for each channel",
    &[Relation::Steps],
);
pub(crate) const SUM: Facts = facts(
    BYTES,
    "constant axes; one scale for the input",
    &[Relation::Sum],
);
pub(crate) const RUNNING_SUM: Facts = facts(
    BYTES,
    "constant axis of at most 1024 elements; one scale for the input",
    &[Relation::Sum],
);
pub(crate) const ROWS: Facts = facts(
    "all integers",
    "computed indices; constant depth of at most 4096; the values 0 and 1, or integers",
    &[Relation::Kernel],
);
pub(crate) const SOFTMAX: Facts = facts(
    BYTES,
    "one scale of at most 2^16; at most 4096 elements along the axis; scores scaled by a number and masked by a constant; QuantizeLinear or data movement follows directly",
    &[Relation::Softmax],
);
pub(crate) const RANKING: Facts = facts(
    NARROW,
    "one scale; at most 4096 elements along the axis; k constant",
    &[Relation::Kernel],
);
pub(crate) const EXTREME_ALONG: Facts = facts(
    BYTES,
    "constant axes; one scale for the input",
    &[Relation::Kernel],
);
pub(crate) const WEIGHTED: Facts = facts(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel, Relation::Sum],
);
/// A kernel as it stands.
pub(crate) const WEIGHTED_KERNEL: Facts = facts(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel],
);
pub(crate) const PRODUCT_KERNEL: Facts = facts(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Kernel],
);
/// ONNX Runtime has no integer kernel of it.
pub(crate) const TRANSPOSED: Facts = facts(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Sum],
);
/// A matrix product with a bias.
pub(crate) const GEMM: Facts = facts(
    "u8, i8; weights u8, i8",
    "constant weights, scales per tensor or output channel; accumulators within int32",
    &[Relation::Kernel, Relation::Steps, Relation::Sum],
);
pub(crate) const MEAN_KERNEL: Facts = facts(
    BYTES,
    "one scale for the input; channels first",
    &[Relation::Kernel],
);
pub(crate) const PRODUCT_OF_MATRICES: Facts = facts(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Kernel, Relation::Steps, Relation::Sum],
);
pub(crate) const ACCUMULATED: Facts = facts(
    "u8, i8 to i32",
    "one constant operand, of MatMulInteger at most; one zero point for the activation; accumulators within int32",
    &[Relation::Kernel],
);
/// The kernel's sums, times their scale.
pub(crate) const ACCUMULATED_FLOATS: Facts = facts(
    "u8, i8",
    "constant weights, or two activations of one scale each; accumulators within int32",
    &[Relation::Steps],
);
pub(crate) const EINSUM: Facts = facts(
    "u8, i8; all integers where elements only move",
    "one operand that is transposed, or two, one of which may be constant, as a product of matrices",
    &[Relation::Kernel, Relation::Sum],
);
pub(crate) const QUANTIZATION: Facts = facts(
    "u8, i8, u16, i16; i32 for biases",
    "constant, positive, normal scales, per tensor or axis; constants of 4 bits too, and in blocks",
    &[Relation::Kernel, Relation::Steps],
);
pub(crate) const CONVERSION: Facts = facts(
    ANY,
    "integers to float32, as scale one and zero point zero, and to integers, from 32 bits on where they fit; constants to any type",
    &[Relation::Kernel],
);
pub(crate) const MOVEMENT: Facts = facts(
    ANY,
    "constant shapes, axes and indices; at most 8 axes",
    &[Relation::Kernel],
);
pub(crate) const PICKED: Facts = facts(
    ANY,
    "constant indices; or constants at computed indices that exist, of at most 4096 values",
    &[Relation::Kernel, Relation::Steps],
);
pub(crate) const JOINED: Facts = facts(
    ANY,
    "constant shapes; parts of unequal scales are requantized first",
    &[Relation::Kernel, Relation::Steps],
);
pub(crate) const PADDING: Facts = facts(
    ANY,
    "constant pads; constant, reflect, edge and wrap",
    &[Relation::Kernel],
);
pub(crate) const NEAREST: Facts = facts(
    ANY,
    "nearest; constant sizes or scales",
    &[Relation::Kernel],
);
pub(crate) const SHAPES: Facts = facts("int64, float32", "constants only", &[Relation::AtImport]);
pub(crate) const REFUSED: Facts = facts(
    "none",
    "always refused: its scale depends on the data",
    &[Relation::AtImport],
);
