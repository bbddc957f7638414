//! What follows from a constraint system and a size: degree, blinding rows, chunks of the permutation.

use zkonnx_verifier::KeyError;
use zkonnx_verifier::cs::ConstraintSystem;

/// Numbers that follow from a constraint system and a size; they are halo2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Binary logarithm of the number of rows.
    pub k: u32,
    /// Number of rows.
    pub n: usize,
    /// Degree of the constraint system, with its arguments.
    pub degree: usize,
    /// Rows at the end that hold random values in each witness column.
    pub blinding_factors: usize,
    /// Columns that share one product of the permutation argument.
    pub chunk: usize,
}

impl Shape {
    /// Checks the constraint system for a circuit of `2^k` rows, and derives its shape.
    pub fn new(cs: &ConstraintSystem, k: u32) -> Result<Self, KeyError> {
        cs.validate(k)?;
        Ok(Self {
            k,
            n: 1 << k,
            degree: cs.degree() as usize,
            blinding_factors: cs.blinding_factors() as usize,
            chunk: cs.permutation_chunk(),
        })
    }

    /// Rows that a circuit may assign; the first unusable one closes the running products.
    #[must_use]
    pub fn usable_rows(&self) -> usize {
        self.n - self.blinding_factors - 1
    }

    /// Pieces of the quotient, which is also the number of cosets that determine it.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.degree - 1
    }

    /// The rotation from the first row to the row that closes the running products.
    #[must_use]
    pub fn last_rotation(&self) -> i32 {
        // The blinding rows are fewer than the rows, which are at most 2^18.
        -(self.blinding_factors as i32 + 1)
    }
}
