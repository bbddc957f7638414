//! The planner: which columns a model gets, and where everything stands.
//!
//! The planner sees the whole graph as blocks ([`crate::lower`]) and chooses the number of rows and columns, the
//! tables and the groups that cost least under a model of the prover ([`cost`]), with the length of the proof as a
//! hard limit. It is a function of the model and the options alone: no clock, no thread count, no randomness.

mod budget;
mod choice;
pub mod cost;
mod estimate;
mod inputs;
mod jobs;
mod layout;
pub mod pack;
pub mod place;
mod rows;
mod search;
pub mod tables;
#[cfg(test)]
mod tests;
mod tiles;

pub use layout::{Cell, Group, Host, Layout, MaxUse, PlacedTable, Row, StepUse};
pub use search::{place_shape, plan};

use crate::lower::Wire;

/// What the planner makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// CPU time of the prover.
    #[default]
    Prover,
    /// CPU time of the verifier.
    Verifier,
    /// Bytes of the proof.
    ProofSize,
    /// Memory of the prover.
    Memory,
}

impl Objective {
    /// What is made small, and how much of the prover's time breaks ties.
    fn score(self, cost: &cost::Cost) -> f64 {
        let (main, scale) = match self {
            Self::Prover => return cost.prove_cpu_s,
            Self::Verifier => (cost.verify_cpu_s, 1.0),
            Self::ProofSize => (cost.proof_bytes as f64, 1e6),
            Self::Memory => (cost.memory_bytes as f64, 1e9),
        };
        main / scale + 1e-6 * cost.prove_cpu_s
    }
}

/// What the planner may choose from.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// What is made small.
    pub objective: Objective,
    /// Longest proof of one inference, in bytes.
    pub max_proof_bytes: usize,
    /// Largest `k` that is tried.
    pub max_k: u32,
    /// Steps that the search may take: a count, so that a plan is the same on every machine.
    pub search_steps: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            objective: Objective::Prover,
            max_proof_bytes: 28_000,
            max_k: zkonnx_verifier::MAX_K,
            search_steps: budget::SEARCH_STEPS,
        }
    }
}

/// An element of the instance column that carries values of the graph.
#[derive(Clone, Debug)]
pub struct PublicElement {
    /// Its row in the instance column.
    pub row: u32,
    /// Bits of a value.
    pub bits: u32,
    /// What is added to a value to get its digit.
    pub offset: u64,
    /// The values, least significant digit first.
    pub values: Vec<Wire>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No shape within the limits holds the model.
    #[error(
        "no circuit of at most 2^{max_k} rows and {max_proof_bytes} proof bytes holds the model{}: {}",
        overrun(*nearest), remedy(*ended)
    )]
    NoShape {
        /// The node with most to prove, where there is one.
        node: Option<u32>,
        /// The largest `k` that was tried.
        max_k: u32,
        /// The limit on the proof.
        max_proof_bytes: usize,
        /// Rows that the model needs in the best of these circuits, and those that it has.
        nearest: Option<(usize, usize)>,
        /// Whether the search ended at its budget of steps, before every circuit was tried.
        ended: bool,
    },
    /// The tables of the model do not fit the shape.
    #[error("the tables do not fit a circuit of 2^{k} rows")]
    NoTables {
        /// The size of the circuit.
        k: u32,
    },
    /// The rows ran out.
    #[error("{rows} rows are needed and {usable} can be used")]
    TooManyRows {
        /// Rows that are needed.
        rows: usize,
        /// Rows that there are.
        usable: usize,
    },
    /// A group has more lanes than its equations hold: a bug of the search.
    #[error("a group of {lanes} lanes exceeds {accumulators} accumulators")]
    TooManyLanes {
        /// The node.
        node: u32,
        /// Lanes of the group.
        lanes: usize,
        /// Accumulators of the shape.
        accumulators: usize,
    },
    /// A maximum of values wider than a limb.
    #[error("the maximum is over values of more than {bits} bits")]
    WideMaximum {
        /// The node.
        node: u32,
        /// Bits of a limb.
        bits: u32,
    },
    /// A linear form may leave the domain of its step function, which lowering has excluded.
    #[error(
        "an accumulator may reach {reach}, outside the domain {lo} to {hi} of its step function"
    )]
    Domain {
        /// The node.
        node: u32,
        /// The value it may reach.
        reach: i128,
        /// Smallest argument.
        lo: i64,
        /// Largest argument.
        hi: i64,
    },
    /// A value does not fit an equation.
    #[error("an accumulator needs {bits} bits, more than the {max} of the field")]
    WideLane {
        /// The node.
        node: u32,
        /// Bits of the window.
        bits: u32,
        /// Bits of an equation.
        max: u32,
    },
    /// A table stands in a bank that no unit reads: a bug of the search.
    #[error("no unit reads table bank {bank}")]
    NoUnit {
        /// The bank.
        bank: usize,
    },
    /// A block of another kind was expected: a bug of the search.
    #[error("block {block} is of another kind")]
    WrongBlock {
        /// The block.
        block: u32,
    },
    /// The rows of a chain have no room for its copies: a bug of the estimate.
    #[error("the rows of a chain have no room for its copies")]
    NoRoom {
        /// The node.
        node: u32,
    },
    /// The shape has no slot for a maximum, or none that holds it.
    #[error("the circuit has no slot for a maximum")]
    NoSlot {
        /// The node.
        node: u32,
    },
    /// An equation weighs a cell of a unit or slot that does not serve it: a bug of the placement.
    #[error("accumulator {accumulator} has no weight for term {term}")]
    NoWeight {
        /// The accumulator.
        accumulator: usize,
        /// The term.
        term: usize,
    },
    /// There is no column of bytes for an input: a bug of the search.
    #[error("no column of bytes is left for an input")]
    NoByte {
        /// The node.
        node: u32,
    },
}

fn overrun(nearest: Option<(usize, usize)>) -> String {
    match nearest {
        None => " (its tables do not fit)".to_owned(),
        Some((usize::MAX, _)) => String::new(),
        Some((rows, usable)) if rows <= usable => {
            format!(" (it seems to need {rows} of {usable} rows, but could not be placed in them)")
        }
        Some((rows, usable)) => {
            let over = (100 * (rows as u128 - usable as u128)).div_ceil(usable.max(1) as u128);
            format!(" (it needs about {rows} rows of {usable}, {over} % too many)")
        }
    }
}

fn remedy(ended: bool) -> &'static str {
    if ended {
        "the search ended at its budget; make the model smaller, split it, or allow a longer proof (`--max-proof-bytes`)"
    } else {
        "make this layer smaller, split the model, or allow a longer proof (`--max-proof-bytes`)"
    }
}

impl PlanError {
    /// Whether it tells of a defect of the planner, which no model should meet.
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::TooManyLanes { .. }
                | Self::Domain { .. }
                | Self::NoUnit { .. }
                | Self::WrongBlock { .. }
                | Self::NoRoom { .. }
                | Self::NoWeight { .. }
                | Self::NoByte { .. }
        )
    }

    /// The node that the error is about.
    pub fn node(&self) -> Option<u32> {
        match self {
            Self::NoShape { node, .. } => *node,
            Self::TooManyLanes { node, .. }
            | Self::WideMaximum { node, .. }
            | Self::Domain { node, .. }
            | Self::WideLane { node, .. }
            | Self::NoRoom { node }
            | Self::NoSlot { node }
            | Self::NoByte { node } => Some(*node),
            _ => None,
        }
    }
}
