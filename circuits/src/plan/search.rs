//! The search for the cheapest shape.
//!
//! For each shape the rows that its groups take are estimated in closed form from the boxes of [`super::tiles`]; the
//! cheapest shapes are then placed for real, in order, until one fits.

use std::rc::Rc;

use crate::chips::{BYTE_BITS, Shape};
use crate::lower::Lowering;

use super::cost::{Cost, predict};
use super::jobs::{Jobs, Tables};
use super::layout::Layout;
use super::{PlanError, PlanOptions, PublicElement};

/// Candidates are kept up to this multiple of the best cost, because an estimate may be too good.
const SLACK: f64 = 3.0;
/// Candidates that are kept for each `k`.
const KEPT: usize = 24;
/// How many candidates are placed at most.
const ATTEMPTS: usize = 200;
/// Numbers of plain columns that are tried.
const PLAIN: [usize; 17] = [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48];

/// A shape that the estimate accepts, with the form chosen for each step block.
struct Candidate {
    shape: Shape,
    tables: Rc<Tables>,
    cost: Cost,
    /// Percent of the rows that the estimate leaves free.
    margin: usize,
}

/// The cheapest layout of a model whose public values are `public`.
pub fn plan(
    lowering: &Lowering,
    public: &[PublicElement],
    public_elements: usize,
    options: &PlanOptions,
) -> Result<(Layout, Cost), PlanError> {
    let jobs = Jobs::new(lowering, public)?;
    let score = |cost: &Cost| options.objective.score(cost);
    let mut candidates = jobs.candidates(public_elements, options);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let best = candidates
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| score(&a.cost).total_cmp(&score(&b.cost)));
        let Some((index, _)) = best else { break };
        let candidate = candidates.swap_remove(index);
        match jobs.place(&candidate.shape, &candidate.tables, public_elements) {
            Ok(layout) => return Ok((layout, candidate.cost)),
            Err(error @ PlanError::TooManyRows { .. }) => {
                last = Some(error);
                // The estimate was too good: the same shape gets another chance with more columns.
                let margin = 2 * candidate.margin + 1;
                candidates.extend(jobs.complete(candidate.shape, options, margin));
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(PlanError::NoShape {
        node: jobs.largest_node(),
        max_k: options.max_k,
        max_proof_bytes: options.max_proof_bytes,
        remedy: "make this layer smaller or split the model, or allow more rows or a longer proof",
    }))
}

/// Places a model in a shape of the caller's choice, each block with a table of its own for each rule.
pub fn place_shape(
    lowering: &Lowering,
    public: &[PublicElement],
    public_elements: usize,
    shape: &Shape,
) -> Result<Layout, PlanError> {
    let jobs = Jobs::new(lowering, public)?;
    let tables = jobs.choose_tables(shape).ok_or(PlanError::NoShape {
        node: None,
        max_k: shape.k,
        max_proof_bytes: 0,
        remedy: "the tables do not fit",
    })?;
    jobs.place(shape, &tables, public_elements)
}

impl Jobs<'_> {
    fn candidates(&self, public_elements: usize, options: &PlanOptions) -> Vec<Candidate> {
        let score = |cost: &Cost| options.objective.score(cost);
        let mut found: Vec<Candidate> = Vec::new();
        let mut best = f64::INFINITY;
        let widest = self.widest_maximum();
        for k in 4..=options.max_k {
            let mut of_k: Vec<Candidate> = Vec::new();
            for shape in skeletons(k, self.needs_slots()) {
                if shape.usable_rows() < public_elements
                    || 1 << shape.range_bits > shape.usable_rows()
                    || shape.range_bits < widest
                {
                    continue;
                }
                if score(&predict(&shape)) > SLACK * best {
                    continue;
                }
                if let Some(candidate) = self.complete(shape, options, 0) {
                    best = best.min(score(&candidate.cost));
                    of_k.push(candidate);
                }
            }
            let none_better = of_k.is_empty() && !found.is_empty();
            of_k.sort_by(|a, b| score(&a.cost).total_cmp(&score(&b.cost)));
            of_k.truncate(KEPT);
            found.extend(of_k);
            if none_better {
                break;
            }
        }
        found
    }

    /// The fewest plain columns with which the model seems to fit.
    fn complete(
        &self,
        mut shape: Shape,
        options: &PlanOptions,
        margin: usize,
    ) -> Option<Candidate> {
        let score = |cost: &Cost| options.objective.score(cost);
        // Banks are added until the tables fit.
        let tables = loop {
            if let Some(tables) = self.choose_tables(&shape) {
                break tables;
            }
            shape.banks += 1;
            if shape.banks > shape.units() {
                return None;
            }
        };
        shape.unit_banks = tables.unit_banks(shape.units());
        shape.max_limbs = self.max_limbs(&shape, &tables.forms);
        if shape.max_base > 0 {
            shape.max_base = 2 * shape.units() * shape.limbs;
        }
        let usable = shape.usable_rows() * 100usize.saturating_sub(margin) / 100;
        let enough = self.byte_inputs().div_ceil(shape.usable_rows());
        let least = if shape.range_bits == BYTE_BITS {
            0
        } else {
            enough
        };
        let mut best: Option<Candidate> = None;
        for bytes in [least, enough, enough + 1] {
            for plain in PLAIN {
                shape = Shape {
                    bytes,
                    plain,
                    ..shape
                };
                let cost = predict(&shape);
                let worse = |b: &Candidate| score(&cost) >= score(&b.cost);
                if cost.proof_bytes > options.max_proof_bytes || best.as_ref().is_some_and(worse) {
                    break;
                }
                if self.estimate_rows(&shape, &tables) <= usable {
                    best = Some(Candidate {
                        shape: shape.clone(),
                        tables: tables.clone(),
                        cost,
                        margin,
                    });
                    break;
                }
            }
        }
        best
    }
}

/// Shapes without plain columns, for one `k`.
fn skeletons(k: u32, (slots, max_top): (bool, bool)) -> Vec<Shape> {
    let mut out = Vec::new();
    let slots: &[usize] = if slots { &[1, 2, 3, 4] } else { &[0] };
    for range_bits in (8..k).rev().take(3) {
        for limbs in 1..=4 {
            for units in 1..=6 {
                for &maxima in slots {
                    for accumulators in [1, 2, 3, 4, 5, 6, 8, 10, 12, 16] {
                        let bases: &[usize] = if maxima > 0 {
                            &[0, 2 * units * limbs]
                        } else {
                            &[0]
                        };
                        out.extend(bases.iter().map(|&max_base| Shape {
                            k,
                            range_bits,
                            limbs,
                            unit_banks: vec![0; units],
                            banks: 1,
                            maxima,
                            max_limbs: 1,
                            max_top,
                            max_base,
                            bytes: 0,
                            plain: 0,
                            accumulators,
                        }));
                    }
                }
            }
        }
    }
    out
}
