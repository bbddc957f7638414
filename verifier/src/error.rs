//! Everything that can be wrong, one variant per cause.

use alloc::vec::Vec;

use thiserror::Error;

use crate::cs::ColumnKind;
use crate::layout::InputVisibility;
use crate::tensor::DataType;

/// Why a tensor or a port is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// More dimensions than any public tensor has.
    #[error("a tensor of {rank} dimensions has too many")]
    RankTooLarge {
        /// The number of dimensions.
        rank: usize,
    },
    /// A dimension of zero.
    #[error("dimension {axis} is zero; a public tensor has at least one value")]
    EmptyDimension {
        /// Which dimension.
        axis: usize,
    },
    /// The product of the dimensions is too large.
    #[error("the tensor has more elements than any circuit holds")]
    TooManyElements,
    /// The number of values is not the product of the dimensions.
    #[error("the shape asks for {expected} values, there are {got}")]
    WrongLength {
        /// The product of the dimensions.
        expected: usize,
        /// The number of values.
        got: usize,
    },
    /// A value outside its type.
    #[error("value {value} at position {index} is not in the range of {dtype:?}")]
    ValueOutOfRange {
        /// The position in row-major order.
        index: usize,
        /// The value.
        value: i64,
        /// The type it should have.
        dtype: DataType,
    },
}

/// Why a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// More inputs than a claim may have.
    #[error("the claim has {got} inputs, more than a claim may have")]
    TooManyInputs {
        /// The number of inputs.
        got: usize,
    },
    /// A claim says at least one output.
    #[error("the claim has no output")]
    NoOutputs,
    /// More outputs than a claim may have.
    #[error("the claim has {got} outputs, more than a claim may have")]
    TooManyOutputs {
        /// The number of outputs.
        got: usize,
    },
}

/// Why a receipt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// A receipt has at least one claim.
    #[error("the receipt has no claim")]
    NoClaims,
    /// More claims than a receipt may have.
    #[error("the receipt has {got} claims, more than a receipt may have")]
    TooManyClaims {
        /// The number of claims.
        got: usize,
    },
    /// The proof is longer than any proof.
    #[error("the proof has {got} bytes, more than any proof has")]
    ProofTooLong {
        /// The number of bytes.
        got: usize,
    },
}

/// Why a layout is refused, or a claim does not fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// More inputs than a layout may have.
    #[error("the layout has {got} inputs, more than a layout may have")]
    TooManyInputs {
        /// The number of inputs.
        got: usize,
    },
    /// A layout has at least one output.
    #[error("the layout has no output")]
    NoOutputs,
    /// More outputs than a layout may have.
    #[error("the layout has {got} outputs, more than a layout may have")]
    TooManyOutputs {
        /// The number of outputs.
        got: usize,
    },
    /// The claim states an input where the key hides it, or the other way round.
    #[error("the key was made for {expected:?} input and the claim is of the other kind")]
    VisibilityMismatch {
        /// What the key was made for.
        expected: InputVisibility,
    },
    /// Another number of inputs.
    #[error("the key has {expected} inputs, the claim {got}")]
    InputCount {
        /// The key's.
        expected: usize,
        /// The claim's.
        got: usize,
    },
    /// Another number of outputs.
    #[error("the key has {expected} outputs, the claim {got}")]
    OutputCount {
        /// The key's.
        expected: usize,
        /// The claim's.
        got: usize,
    },
    /// An input of another type or shape.
    #[error("input {index} of the claim has another type or shape than the key says")]
    InputSpec {
        /// Which input.
        index: usize,
    },
    /// An output of another type or shape.
    #[error("output {index} of the claim has another type or shape than the key says")]
    OutputSpec {
        /// Which output.
        index: usize,
    },
}

/// Why the nodes of an expression are not an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// No nodes.
    #[error("the expression has no nodes")]
    Empty,
    /// An operator without its operands.
    #[error("the operator at node {node} has no operand")]
    MissingOperand {
        /// The position of the operator.
        node: usize,
    },
    /// Operands without an operator.
    #[error("{count} operands are left over")]
    LeftoverOperands {
        /// How many, beyond the result.
        count: usize,
    },
    /// A query that the constraint system does not list.
    #[error("node {node} reads {kind:?} query {query}, which does not exist")]
    UnknownQuery {
        /// The position of the node.
        node: usize,
        /// Which list of queries.
        kind: ColumnKind,
        /// The index in the list.
        query: u32,
    },
    /// More operands at once than the evaluation stack holds.
    #[error("node {node} needs a deeper evaluation stack than is allowed")]
    TooDeep {
        /// The position of the node.
        node: usize,
    },
}

/// Why a verifying key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The circuit has too few or too many rows.
    #[error("a circuit of 2^{k} rows is outside the supported sizes")]
    SizeOutOfRange {
        /// The binary logarithm of the rows.
        k: u32,
    },
    /// Too many columns of a kind.
    #[error("{got} {kind:?} columns are too many")]
    TooManyColumns {
        /// The kind.
        kind: ColumnKind,
        /// The number of columns.
        got: usize,
    },
    /// A key for receipts has exactly one instance column.
    #[error("the circuit has {got} instance columns; a key for receipts has exactly one")]
    InstanceColumns {
        /// The number of instance columns.
        got: u32,
    },
    /// Too many queries of a kind.
    #[error("{got} {kind:?} queries are too many")]
    TooManyQueries {
        /// The kind.
        kind: ColumnKind,
        /// The number of queries.
        got: usize,
    },
    /// A query in the list of another kind.
    #[error("{kind:?} query {index} reads a column of another kind")]
    QueryKind {
        /// The list's kind.
        kind: ColumnKind,
        /// The position in the list.
        index: usize,
    },
    /// A query of a column that does not exist.
    #[error("{kind:?} query {index} reads a column that does not exist")]
    QueryColumn {
        /// The list's kind.
        kind: ColumnKind,
        /// The position in the list.
        index: usize,
    },
    /// A fixed query off the current row, or any query half the circuit away.
    #[error("{kind:?} query {index} has rotation {rotation}, which is not allowed")]
    QueryRotation {
        /// The list's kind.
        kind: ColumnKind,
        /// The position in the list.
        index: usize,
        /// The rotation.
        rotation: i32,
    },
    /// The same query twice.
    #[error("{kind:?} queries list the same cell twice")]
    DuplicateQuery {
        /// The list's kind.
        kind: ColumnKind,
    },
    /// Too many gates.
    #[error("{got} gates are too many")]
    TooManyGates {
        /// The number of gates.
        got: usize,
    },
    /// Too many lookup arguments.
    #[error("{got} lookup arguments are too many")]
    TooManyLookups {
        /// The number of lookup arguments.
        got: usize,
    },
    /// Too many nodes in all expressions together.
    #[error("the expressions have more nodes than are allowed")]
    TooManyNodes,
    /// A lookup without columns, or with more inputs than tables.
    #[error("lookup {lookup} has {inputs} inputs and {tables} tables")]
    LookupArity {
        /// Which lookup.
        lookup: usize,
        /// The number of input expressions.
        inputs: usize,
        /// The number of table expressions.
        tables: usize,
    },
    /// A gate that is not an expression.
    #[error("gate {gate} is malformed")]
    Gate {
        /// Which gate.
        gate: usize,
        /// What is wrong with it.
        source: ExpressionError,
    },
    /// A lookup with something that is not an expression.
    #[error("lookup {lookup} is malformed")]
    Lookup {
        /// Which lookup.
        lookup: usize,
        /// What is wrong with it.
        source: ExpressionError,
    },
    /// A permutation column that does not exist.
    #[error("permutation column {index} does not exist")]
    PermutationColumn {
        /// The position in the list.
        index: usize,
    },
    /// A permutation column listed twice.
    #[error("the permutation lists a column twice")]
    DuplicatePermutationColumn,
    /// A permutation column that is not queried on the current row.
    #[error("permutation column {index} is not queried on the current row")]
    PermutationNotQueried {
        /// The position in the list.
        index: usize,
    },
    /// The degree of the constraints is too large.
    #[error("constraints of degree {degree} are not supported")]
    DegreeTooLarge {
        /// The degree.
        degree: u32,
    },
    /// A minimum degree of zero says nothing and would be a second form of saying nothing.
    #[error("a minimum degree of zero is not canonical")]
    ZeroMinimumDegree,
    /// The blinding rows leave no row to use.
    #[error("2^{k} rows are too few for {blinding_factors} blinding factors")]
    NotEnoughRows {
        /// The binary logarithm of the rows.
        k: u32,
        /// The number of blinding factors.
        blinding_factors: u32,
    },
    /// Too many distinct rotations.
    #[error("the queries use too many distinct rotations")]
    TooManyRotations,
    /// Too many distinct sets of rotations that columns are queried at.
    #[error("the columns are queried at too many distinct sets of rotations")]
    TooManyPointSets,
    /// Another number of commitments than fixed columns.
    #[error("{expected} fixed columns have {got} commitments")]
    FixedCommitments {
        /// The number of columns.
        expected: usize,
        /// The number of commitments.
        got: usize,
    },
    /// Another number of commitments than permutation columns.
    #[error("{expected} permutation columns have {got} commitments")]
    PermutationCommitments {
        /// The number of columns.
        expected: usize,
        /// The number of commitments.
        got: usize,
    },
    /// A commitment is the identity, which no blinded commitment is.
    #[error("a commitment is the identity")]
    IdentityCommitment,
    /// The public values do not fit the rows.
    #[error("{got} instance elements do not fit the {max} rows there are for them")]
    InstanceTooLong {
        /// The number of elements.
        got: usize,
        /// The number of rows.
        max: usize,
    },
}

/// Why bytes are not what they should encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("the input ends too early")]
    Truncated,
    /// The input goes on after the value.
    #[error("{count} bytes follow the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The first bytes are not the format's.
    #[error("this is another kind of file: it does not start with \"{}\"", expected.escape_ascii())]
    WrongMagic {
        /// The format's first bytes.
        expected: [u8; 4],
    },
    /// A version that this code does not know.
    #[error(
        "it has version {got} of its format, and only version {expected} is read: make it again with this release"
    )]
    UnknownVersion {
        /// The supported version.
        expected: u16,
        /// The version found.
        got: u16,
    },
    /// A code without a meaning.
    #[error("{code} is not the code of a {what}")]
    UnknownCode {
        /// What it should be the code of.
        what: &'static str,
        /// The code.
        code: u8,
    },
    /// A type code without a type.
    #[error("{code} is not the code of a type")]
    UnknownDataType {
        /// The code.
        code: u8,
    },
    /// A leaf that no circuit proves yet.
    #[error("{tag} is reserved for {meaning}, which this release does not verify")]
    ReservedInputTag {
        /// The tag.
        tag: u8,
        /// What it is reserved for.
        meaning: &'static str,
    },
    /// An input that is neither public nor private.
    #[error("{tag} is neither a public nor a private input")]
    UnknownInputTag {
        /// The tag.
        tag: u8,
    },
    /// A column that is neither instance, advice nor fixed.
    #[error("{tag} is not a kind of column")]
    UnknownColumnKind {
        /// The tag.
        tag: u8,
    },
    /// A node code without a node.
    #[error("{tag} is not a kind of expression node")]
    UnknownNode {
        /// The tag.
        tag: u8,
    },
    /// A field element that is not below the modulus.
    #[error("a field element is not reduced")]
    NonCanonicalField,
    /// Coordinates that are not on the curve.
    #[error("a point is not on the curve")]
    PointNotOnCurve,
    /// A malformed tensor.
    #[error("a tensor is malformed")]
    Tensor(#[from] TensorError),
    /// A malformed claim.
    #[error("the claim is malformed")]
    Claim(#[from] ClaimError),
    /// A malformed receipt.
    #[error("the receipt is malformed")]
    Receipt(#[from] ReceiptError),
    /// A malformed layout.
    #[error("the layout of public values is malformed")]
    Layout(#[from] LayoutError),
    /// A malformed key.
    #[error("the verifying key is malformed")]
    Key(#[from] KeyError),
}

/// Why parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The bytes are malformed.
    #[error("the parameters cannot be read")]
    Decode(#[from] DecodeError),
    /// A size without a pinned digest.
    #[error("no digest is pinned for parameters of 2^{k} rows")]
    UnknownSize {
        /// The binary logarithm of the rows.
        k: u32,
    },
    /// Another digest than the pinned one. With other generators proofs mean nothing.
    #[error("parameters of 2^{k} rows have another digest than the pinned one; derive them again")]
    DigestMismatch {
        /// The binary logarithm of the rows.
        k: u32,
    },
    /// Parts whose lengths do not fit the size.
    #[error("the generators of 2^{k} rows are not as many as there have to be")]
    WrongLength {
        /// The binary logarithm of the rows.
        k: u32,
    },
}

/// Why a receipt or a proof is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The receipt names another verifying key.
    #[error("the receipt belongs to another verifying key")]
    WrongKey,
    /// A claim is about another program than the key's.
    #[error("claim {claim} is about another program than the verifying key")]
    WrongProgram {
        /// Which claim.
        claim: usize,
    },
    /// A claim does not fit the key's layout of public values.
    #[error("claim {claim} does not fit the verifying key")]
    Layout {
        /// Which claim.
        claim: usize,
        /// What does not fit.
        source: LayoutError,
    },
    /// No circuits, or more than one proof may have.
    #[error("a proof of {got} circuits is not supported")]
    CircuitCount {
        /// The number of circuits.
        got: usize,
    },
    /// Another number of instance columns than the circuit has.
    #[error("circuit {circuit} has {got} instance columns, the key {expected}")]
    InstanceColumns {
        /// Which circuit of the proof.
        circuit: usize,
        /// The key's number.
        expected: usize,
        /// The number given.
        got: usize,
    },
    /// More instance elements than there are rows for.
    #[error("an instance column of circuit {circuit} has {got} elements for {max} rows")]
    InstanceTooLong {
        /// Which circuit of the proof.
        circuit: usize,
        /// The number of elements.
        got: usize,
        /// The number of rows.
        max: usize,
    },
    /// The parameters are for smaller circuits.
    #[error("the key needs parameters for 2^{needed} rows, these are for 2^{available}")]
    ParamsTooSmall {
        /// The key's size.
        needed: u32,
        /// The parameters' size.
        available: u32,
    },
    /// The proof has another length than proofs under the key have.
    #[error("the proof has {got} bytes, a proof of these claims under the key has {expected}")]
    ProofLength {
        /// The exact length.
        expected: usize,
        /// The length found.
        got: usize,
    },
    /// The proof ends before it is complete, which the check of its length excludes.
    #[error("the proof ends at byte {offset}")]
    ProofTruncated {
        /// Where in the proof.
        offset: usize,
    },
    /// Bytes that are no point of the curve, or not its canonical encoding.
    #[error("the proof has no valid point at byte {offset}")]
    InvalidPoint {
        /// Where in the proof.
        offset: usize,
    },
    /// The identity, which no commitment in a proof may be.
    #[error("the proof has the identity at byte {offset}")]
    IdentityPoint {
        /// Where in the proof.
        offset: usize,
    },
    /// Bytes that are no reduced scalar.
    #[error("the proof has no reduced scalar at byte {offset}")]
    InvalidScalar {
        /// Where in the proof.
        offset: usize,
    },
    /// A challenge fell on a value where the protocol is not defined. No honest proof meets this.
    #[error("a challenge fell on a value that the protocol excludes")]
    DegenerateChallenge,
    /// The proof is well-formed and wrong.
    #[error("the proof does not prove the claims")]
    InvalidProof,
    /// The key contradicts itself, which its validation excludes.
    #[error("the verifying key is inconsistent")]
    InconsistentKey,
}

/// The items of a batch that fail, each with its own error.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} receipts of the batch are rejected", failures.len())]
pub struct BatchError {
    /// Positions in the batch, ascending, and what is wrong there.
    pub failures: Vec<(usize, VerifyError)>,
}
