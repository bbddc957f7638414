//! The integer program: what a model means once floats are gone.
//!
//! A [`Program`] is a graph of integer operators in topological order. It is what is executed, compiled, proved and
//! hashed. Nothing in this module, nor below it, holds a float: scales survive as the bit patterns of graph inputs
//! and outputs only, and multipliers as integer mantissas and exponents.

mod builder;
mod codec;
mod display;
mod encoding;
mod error;
mod graph;
mod registry;
mod tensor;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

pub use builder::{Builder, Outside, Renumbering};
pub use codec::{Decoder, Encoder};
pub use error::{DecodeError, ExecuteError, OpError, ProgramError};
pub use graph::elements;
pub use graph::{MAX_ELEMENTS, MAX_NODES, MAX_PORTS, MAX_RANK, Node, Port, Program, Trace};
pub use registry::{DecodeOperator, Registry};
pub use tensor::{Fact, Range, Tensor};
pub use zkonnx_verifier::{DataType, Interface, Quantization};

use crate::lower::{LowerError, Lowering, Wires};

/// A value of the graph, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// Identity of an integer operator: who defines it, its name and the version of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId {
    /// Who defines the operator; `zkonnx` for those of this crate.
    pub domain: &'static str,
    /// Its name, lower case.
    pub name: &'static str,
    /// Raised whenever its rule or its encoding changes.
    pub version: u32,
}

/// An operator of the integer program: its meaning, its encoding and how it is proved.
pub trait Operator: Debug + Send + Sync + 'static {
    /// Who the operator is.
    fn id(&self) -> OpId;

    /// Type, shape and range of the outputs, or why these inputs are refused. Ranges are exact bounds derived from
    /// the operator's own constants (the actual weights), so later stages may rely on them.
    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError>;

    /// The outputs. This is the semantics: executor, witness and tests all call it.
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError>;

    /// The parameters in one line, for an auditor who follows the listing.
    fn describe(&self) -> String {
        String::new()
    }

    /// Writes every parameter that takes part in the meaning, in canonical form.
    fn encode(&self, out: &mut Encoder);

    /// Expresses the outputs as linear forms, steps and maxima of the inputs. `facts` has accepted the inputs.
    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError>;
}
