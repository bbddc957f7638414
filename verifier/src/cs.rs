//! The constraint system of a circuit, as data.
//!
//! halo2 keeps its own description of a circuit private, and drives it from code. Here it is a value: the circuit
//! crate builds it, drives halo2's `configure` from it, the proving engine evaluates it, and the verifying key
//! carries it. Rendering it as halo2 renders its own (`ConstraintSystem::pinned`) must give the same bytes, which
//! ties the two together.

use alloc::vec::Vec;
use pasta_curves::Fp;

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnKind {
    /// Public values, committed by the verifier.
    Instance,
    /// Witness values, committed by the prover.
    Advice,
    /// Values of the circuit, committed in the verifying key.
    Fixed,
}

/// A column, by kind and index within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column {
    /// What the column holds.
    pub kind: ColumnKind,
    /// Its index among the columns of the same kind.
    pub index: u32,
}

/// The cell of a column at a distance from the current row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The column that is read.
    pub column: Column,
    /// Rows below the current one; negative is above. Fixed columns are queried at 0 only.
    pub rotation: i32,
}

/// One node of an [`Expression`], which lists its nodes in postfix order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A constant.
    Constant(Fp),
    /// The query with this index in `fixed_queries`.
    Fixed(u32),
    /// The query with this index in `advice_queries`.
    Advice(u32),
    /// The query with this index in `instance_queries`.
    Instance(u32),
    /// Minus the operand.
    Negated,
    /// The sum of the two operands.
    Sum,
    /// The product of the two operands.
    Product,
    /// The operand times a constant.
    Scaled(Fp),
}

/// A polynomial over queried cells, in postfix order.
///
/// halo2's own expressions are trees that nest one level per term of a sum, so whatever walks them by recursion
/// depends on the depth that a key chooses. A postfix list is walked with a stack of known height.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expression {
    /// The nodes, operands before operators, left operand first.
    pub nodes: Vec<Node>,
}

/// A lookup argument: the tuple of inputs is a row of the tuple of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Expressions whose values are looked up.
    pub inputs: Vec<Expression>,
    /// Expressions that list the allowed rows, as many as `inputs`.
    pub tables: Vec<Expression>,
}

/// Columns, queries, gates, lookups and the permutation of a circuit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstraintSystem {
    /// Number of fixed columns.
    pub num_fixed: u32,
    /// Number of advice columns.
    pub num_advice: u32,
    /// Number of instance columns.
    pub num_instance: u32,
    /// Polynomials that vanish on every row, in the order of halo2's gates.
    pub gates: Vec<Expression>,
    /// Queries of advice columns, in halo2's order.
    pub advice_queries: Vec<Query>,
    /// Queries of instance columns, in halo2's order.
    pub instance_queries: Vec<Query>,
    /// Queries of fixed columns, in halo2's order.
    pub fixed_queries: Vec<Query>,
    /// Columns under the permutation argument, in halo2's order.
    pub permutation: Vec<Column>,
    /// Lookup arguments, in halo2's order.
    pub lookups: Vec<Lookup>,
    /// Lower bound on the degree, if the circuit sets one.
    pub minimum_degree: Option<u32>,
}
