//! How much memory a proof takes, before it is made.
//!
//! What is counted is what grows with the circuit: key, tables of the parameters, polynomials, and the working memory of
//! multi-scalar multiplications. The count is meant to be above what is used, by little.

use zkonnx_verifier::KeyError;
use zkonnx_verifier::cs::ConstraintSystem;

use crate::constraints::{chunks, needs};
use crate::params;
use crate::shape::Shape;

/// Bytes of a field element.
const ELEMENT: u64 = 32;

/// Bytes for each digit of a multi-scalar multiplication: the digit, twice because lists grow by doubling, its place in
/// the order, and what an allocator keeps of lists that were freed, which is measured and varies.
const DIGIT: u64 = 16 + 4 + 108;

/// Bytes that do not depend on the circuit: code, stacks, the points that are added at a time.
const PROCESS: u64 = 1 << 20;

/// Witness polynomials that the lean way holds on a coset at a time.
pub(crate) const LEAN_POLYNOMIALS: usize = 24;

/// Predicted memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The proving key.
    pub key: u64,
    /// The parameters with their tables.
    pub params: u64,
    /// What the prover holds at its peak besides, in the usual way.
    pub proving: u64,
    /// The same in the lean way: commitments one after the other, constraints in groups.
    pub lean: u64,
}

impl Memory {
    /// Predicts the memory of proving `circuits` circuits at once with `threads` threads.
    ///
    /// # Errors
    /// The constraint system is not acceptable at this size.
    pub fn predict(
        cs: &ConstraintSystem,
        k: u32,
        circuits: usize,
        threads: usize,
    ) -> Result<Self, KeyError> {
        let shape = Shape::new(cs, k)?;
        let (circuits, threads) = (circuits as u64, threads.max(1) as u64);
        let column = shape.n as u64 * ELEMENT;
        let needs = needs(cs, &shape);
        let key_columns: usize = needs.fixed.iter().chain(&needs.sigma).sum::<usize>()
            + needs.fixed_values.iter().filter(|needed| **needed).count();
        let cells = (cs.permutation.len() * shape.n) as u64;
        let chunks = chunks(cs, &shape);
        let polynomials =
            (cs.num_advice as usize + cs.num_instance as usize + chunks + 3 * cs.lookups.len())
                as u64;
        // Values and coefficients of everything, and the compressed sides of the lookups.
        let witness = circuits * column * (2 * polynomials + 2 * cs.lookups.len() as u64);
        let labels = cs.permutation.len() as u64 * column + chunks as u64 * column;
        let layout = params::layout(k);
        let scratch = layout.bases as u64 * u64::from(layout.windows()) * DIGIT;
        let classes = 2 * shape.pieces() as u64 * column * 3;
        let quotient =
            |on_coset: u64| circuits * column * polynomials + on_coset * column + classes;
        Ok(Self {
            key: key_columns as u64 * column + 4 * cells,
            params: 2 * 64 * layout.points() as u64,
            proving: PROCESS + (witness + labels + threads * scratch).max(quotient(polynomials)),
            lean: PROCESS
                + (witness + labels + scratch)
                    .max(quotient(polynomials.min(LEAN_POLYNOMIALS as u64 + 8))),
        })
    }

    /// The total, in the usual way.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.key + self.params + self.proving
    }

    /// The total, in the lean way.
    #[must_use]
    pub fn lean_total(&self) -> u64 {
        self.key + self.params + self.lean
    }
}
