//! What a circuit costs, before it is made.
//!
//! The constants are measured once and committed: a plan must not depend on the machine that makes it, because the
//! verifying key does.

use crate::chips::{BYTE_BITS, DEGREE, Shape};

/// Predicted cost of a circuit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// CPU seconds to prove, keys at hand.
    pub prove_cpu_s: f64,
    /// CPU seconds to make the keys.
    pub keygen_cpu_s: f64,
    /// CPU seconds to verify.
    pub verify_cpu_s: f64,
    /// Bytes of the proof of one inference.
    pub proof_bytes: usize,
    /// Peak memory of proving, in bytes.
    pub memory_bytes: usize,
    /// Bytes of the verifying key.
    pub key_bytes: usize,
}

/// Counts that the cost depends on.
#[derive(Clone, Copy, Debug)]
struct Counts {
    k: u32,
    advice: usize,
    accumulators: usize,
    fixed: usize,
    permuted: usize,
    products: usize,
    range_lookups: usize,
    step_lookups: usize,
    advice_queries: usize,
}

impl Counts {
    fn of(shape: &Shape) -> Self {
        let permuted = shape.permuted_columns().len() + 1;
        let range_lookups = shape.range_columns() + shape.bytes;
        let widths = if shape.limbs() == 0 { shape.units() } else { 0 };
        let limb_table = shape.range_columns() > 0;
        let byte_table = shape.bytes > 0 && !(limb_table && shape.range_bits == BYTE_BITS);
        Self {
            k: shape.k,
            advice: shape.advice_columns(),
            accumulators: shape.accumulators,
            fixed: 2
                + shape.accumulators
                + shape.weights()
                + shape.units()
                + shape.maxima
                + usize::from(limb_table)
                + usize::from(byte_table)
                + 2 * usize::from(widths > 0)
                + 4 * shape.banks,
            permuted,
            products: permuted.div_ceil(DEGREE as usize - 2),
            range_lookups,
            step_lookups: shape.units() + widths,
            advice_queries: shape.advice_columns() + shape.accumulators,
        }
    }

    fn lookups(&self) -> usize {
        self.range_lookups + self.step_lookups
    }
}

/// CPU seconds a row, by what fills it; fitted to what
/// `zkonnx-bench suite` measures, which prints both.
mod rates {
    /// A proof of any size.
    pub(super) const PROOF: f64 = 5e-3;
    /// A row: the opening and the fixed part of the quotient.
    pub(super) const ROW: f64 = 48e-6;
    /// An advice column.
    pub(super) const ADVICE: f64 = 0.43e-6;
    /// An accumulator, whose values are full-size.
    pub(super) const ACCUMULATOR: f64 = 1.53e-6;
    /// A fixed column.
    pub(super) const FIXED: f64 = 0.069e-6;
    /// A permuted column and its share of a product.
    pub(super) const PERMUTED: f64 = 1.42e-6;
    /// A lookup in one column.
    pub(super) const RANGE: f64 = 4.6e-6;
    /// A lookup in several columns.
    pub(super) const STEP: f64 = 7.3e-6;
    /// Key generation: a row.
    pub(super) const KEY_ROW: f64 = 8e-6;
    /// Key generation: a fixed column.
    pub(super) const KEY_FIXED: f64 = 0.55e-6;
    /// Key generation: a permuted column.
    pub(super) const KEY_PERMUTED: f64 = 4.0e-6;
    /// Verification of any size.
    pub(super) const VERIFY: f64 = 1.7e-3;
    /// Verification: a row.
    pub(super) const VERIFY_ROW: f64 = 3.6e-6;
    /// Verification: a commitment or an evaluation.
    pub(super) const VERIFY_ITEM: f64 = 4.7e-6;

    /// Memory of the process, in bytes.
    pub(super) const MEMORY: f64 = 19.4e6;
    /// Memory: field elements a row.
    pub(super) const MEMORY_ROW: f64 = 191.6;
    /// Memory: field elements a row of an advice column.
    pub(super) const MEMORY_ADVICE: f64 = 15.5;
    /// Memory: field elements a row of a fixed column.
    pub(super) const MEMORY_FIXED: f64 = 3.7;

    /// Verifying key: bytes of a fixed column, with its gate.
    pub(super) const VK_FIXED: usize = 80;
    /// Verifying key: bytes of a lookup.
    pub(super) const VK_LOOKUP: usize = 94;
}

/// Where the CPU seconds of a proof are predicted to go.
pub fn breakdown(shape: &Shape) -> [(&'static str, f64); 7] {
    let c = Counts::of(shape);
    let n = f64::from(2f32.powi(c.k as i32));
    [
        ("opening and quotient", rates::PROOF + n * rates::ROW),
        ("cells", n * rates::ADVICE * c.advice as f64),
        ("sums", n * rates::ACCUMULATOR * c.accumulators as f64),
        ("weights and tables", n * rates::FIXED * c.fixed as f64),
        ("copies", n * rates::PERMUTED * c.permuted as f64),
        ("range checks", n * rates::RANGE * c.range_lookups as f64),
        ("steps", n * rates::STEP * c.step_lookups as f64),
    ]
}

/// The cost of `shape`.
pub fn predict(shape: &Shape) -> Cost {
    let c = Counts::of(shape);
    let n = f64::from(2f32.powi(c.k as i32));
    let prove_cpu_s = breakdown(shape).iter().map(|part| part.1).sum();
    let keygen_per_row = rates::KEY_ROW
        + rates::KEY_FIXED * c.fixed as f64
        + rates::KEY_PERMUTED * c.permuted as f64;
    let proof_bytes = proof_bytes(&c);
    let memory = rates::MEMORY
        + 32.0
            * n
            * (rates::MEMORY_ROW
                + rates::MEMORY_ADVICE * c.advice as f64
                + rates::MEMORY_FIXED * c.fixed as f64);
    Cost {
        prove_cpu_s,
        keygen_cpu_s: n * keygen_per_row,
        verify_cpu_s: rates::VERIFY
            + n * rates::VERIFY_ROW
            + rates::VERIFY_ITEM * (proof_bytes / 32) as f64,
        proof_bytes,
        memory_bytes: memory as usize,
        key_bytes: 86 + rates::VK_FIXED * c.fixed + rates::VK_LOOKUP * c.lookups(),
    }
}

/// Exact length of a proof of one inference: each commitment and each evaluation is 32 bytes.
fn proof_bytes(c: &Counts) -> usize {
    let lookups = c.lookups();
    let pieces = DEGREE as usize - 1;
    let commitments = c.advice + 3 * lookups + c.products + 1 + pieces;
    // The instance column is queried once; every product but the last is also opened at its last row. There is one at
    // least, because the instance column is permuted.
    let products = 3 * c.products - 1;
    let evaluations = 1 + c.advice_queries + c.fixed + 1 + c.permuted + products + 5 * lookups;
    let opening = 1 + point_sets(c) + 1 + 2 * c.k as usize + 2;
    32 * (commitments + evaluations + opening)
}

/// Distinct sets of points at which polynomials are opened: {x}; {x, x/ω} of the sums; {x, xω} of the last product;
/// {x, xω, x·ω^last} of the others. Lookups add none.
fn point_sets(c: &Counts) -> usize {
    3 + usize::from(c.products > 1)
}
