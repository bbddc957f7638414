//! The search for the cheapest shape.
//!
//! For each shape the rows that its groups take are counted from the boxes of [`super::tiles`] in closed form
//! ([`super::estimate`]); the cheapest shapes are then placed for real, in order, until one fits.

use std::collections::HashMap;
use std::rc::Rc;

use crate::chips::{BYTE_BITS, Check, Guests, RESERVED_ROWS, Shape};
use crate::lower::Lowering;

use super::cost::{Cost, predict};
use super::jobs::{Jobs, Tables};
use super::layout::Layout;
use super::{PlanError, PlanOptions, PublicElement};

#[cfg(test)]
mod tests;

/// Candidates are kept up to this multiple of the best cost, because an estimate may be too good.
const SLACK: f64 = 1.5;
/// Among candidates that cost up to this multiple of the cheapest, which is less than the error of the cost model, the
/// one with the fewest columns is taken: it has fewest idle cells and takes least memory.
const NEAR: f64 = 1.04;
/// Candidates that are kept for each `k`.
const KEPT: usize = 24;
/// How many candidates are placed whatever their search has taken.
const LEAST_ATTEMPTS: usize = 4;
/// Largest percentage of the rows that is left free because an estimate was too good.
const MAX_MARGIN: usize = 15;
/// Smallest `k` that is tried.
const LEAST_K: u32 = 5;
/// Most plain columns that are tried.
const MAX_PLAIN: usize = 192;
/// Numbers of accumulators that are tried.
const ACCUMULATORS: [usize; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20];
/// Most units that are tried.
const MAX_UNITS: usize = 32;
/// Most banks of tables that are tried.
const MAX_BANKS: usize = 12;
/// Widest steps that are tried where widths are looked up.
const WIDTHS: [u32; 17] = [
    12, 16, 22, 31, 44, 63, 90, 127, 180, 255, 360, 510, 720, 1020, 1440, 2040, 4080,
];

/// A shape that the estimate accepts, with the tables chosen for it.
struct Candidate {
    shape: Shape,
    tables: Rc<Tables>,
    cost: Cost,
    /// Rows that it seems to need.
    rows: usize,
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
    let jobs = Jobs::new(lowering, public, options.search_steps)?;
    let place = |c: &Candidate| jobs.place(&c.shape, &c.tables, public_elements);
    let found = jobs.cheapest(public_elements, options, place)?;
    found.ok_or_else(|| jobs.no_shape(options, public_elements))
}

/// By how much circuits that were placed took more rows than was estimated.
#[derive(Default)]
struct Overruns(HashMap<(u32, Check, Guests), usize>);

impl Overruns {
    /// Estimates are off by like amounts where rows and the columns of copies are alike.
    fn key(shape: &Shape) -> (u32, Check, Guests) {
        (shape.k, shape.check, shape.guests)
    }

    /// Percent of the rows that have to be left free.
    fn margin(&self, shape: &Shape) -> usize {
        self.0.get(&Self::key(shape)).copied().unwrap_or(0)
    }

    fn add(&mut self, shape: &Shape, estimated: usize, placed: usize) {
        let over = placed.saturating_sub(estimated);
        let percent = over.saturating_mul(100).div_ceil(placed.max(1));
        let known = self.0.entry(Self::key(shape)).or_default();
        *known = (*known).max(percent);
    }
}

/// Places a model in a shape of the caller's choice, each block with a table of its own for each rule.
pub fn place_shape(
    lowering: &Lowering,
    public: &[PublicElement],
    public_elements: usize,
    shape: &Shape,
) -> Result<Layout, PlanError> {
    let jobs = Jobs::new(lowering, public, u64::MAX)?;
    let tables = jobs
        .choose_tables(shape)
        .ok_or(PlanError::NoTables { k: shape.k })?;
    jobs.place(shape, &tables, public_elements)
}

impl Jobs<'_> {
    /// The cheapest candidate that `place` finds room for, as long as the budget lasts.
    fn cheapest(
        &self,
        public_elements: usize,
        options: &PlanOptions,
        place: impl Fn(&Candidate) -> Result<Layout, PlanError>,
    ) -> Result<Option<(Layout, Cost)>, PlanError> {
        let score = |c: &Candidate| options.objective.score(&c.cost);
        let mut next_k = LEAST_K;
        let mut candidates = Vec::new();
        let mut overruns = Overruns::default();
        for attempt in 0.. {
            if attempt >= LEAST_ATTEMPTS && self.budget.is_spent() {
                break;
            }
            if candidates.is_empty() {
                // At first, and should no candidate fit after all.
                candidates = self.candidates(public_elements, options, &mut next_k);
            }
            let Some(least) = candidates.iter().map(score).min_by(f64::total_cmp) else {
                break;
            };
            let near = candidates.iter().enumerate();
            let near = near.filter(|(_, c)| score(c) <= NEAR * least);
            let best = near.min_by(|(_, a), (_, b)| {
                let columns = |c: &Candidate| c.shape.advice_columns();
                let by_columns = columns(a).cmp(&columns(b));
                by_columns.then(score(a).total_cmp(&score(b)))
            });
            let Some((index, _)) = best else { break };
            let candidate = candidates.swap_remove(index);
            let mut retry = |margin: usize| {
                let Candidate { shape, tables, .. } = &candidate;
                let again = (margin <= MAX_MARGIN)
                    .then(|| self.complete(shape, tables, options, margin, f64::INFINITY));
                candidates.extend(again.flatten());
            };
            // What other candidates have shown of the estimate is taken to heart before a circuit is placed.
            let needed = overruns.margin(&candidate.shape);
            if candidate.margin < needed {
                retry(needed);
                continue;
            }
            match place(&candidate) {
                Ok(layout) => return Ok(Some((layout, candidate.cost))),
                Err(PlanError::TooManyRows { rows: placed, .. }) => {
                    overruns.add(&candidate.shape, candidate.rows, placed);
                    let needed = overruns.margin(&candidate.shape);
                    retry(needed.max(candidate.margin + 1));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Candidates from `next_k` on, which is left where the search has stopped.
    fn candidates(
        &self,
        public_elements: usize,
        options: &PlanOptions,
        next_k: &mut u32,
    ) -> Vec<Candidate> {
        let score = |cost: &Cost| options.objective.score(cost);
        let mut found: Vec<Candidate> = Vec::new();
        let mut best = f64::INFINITY;
        while *next_k <= options.max_k {
            let k = *next_k;
            *next_k += 1;
            let mut of_k: Vec<Candidate> = Vec::new();
            for (shape, tables) in self.skeletons(k) {
                let some = !(found.is_empty() && of_k.is_empty());
                if self.budget.is_spent() || some && self.budget.choice_is_over() {
                    *next_k = u32::MAX;
                    break;
                }
                if shape.usable_rows() < public_elements {
                    continue;
                }
                let bound = SLACK * best;
                if let Some(candidate) = self.complete(&shape, &tables, options, 0, bound) {
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

    /// The fewest host columns with which the model seems to fit, if that costs less than `bound`.
    fn complete(
        &self,
        shape: &Shape,
        tables: &Rc<Tables>,
        options: &PlanOptions,
        margin: usize,
        bound: f64,
    ) -> Option<Candidate> {
        let usable = shape.usable_rows() * 100usize.saturating_sub(margin) / 100;
        let enough = self.byte_inputs().div_ceil(shape.usable_rows());
        let with = |bytes: usize, plain: usize| Shape {
            bytes,
            plain,
            ..shape.clone()
        };
        let affordable = |shape: &Shape, bound: f64| {
            let cost = predict(shape);
            let affordable = cost.proof_bytes <= options.max_proof_bytes
                && options.objective.score(&cost) < bound;
            affordable.then_some(cost)
        };
        affordable(&with(enough, 1), bound)?;
        let estimate = self.estimate(shape, tables);
        let fits = |shape: &Shape| estimate.rows(shape, &self.budget) <= usable;
        let mut best: Option<Candidate> = None;
        for bytes in [enough, enough + 1] {
            // Rows fall as columns are added: the fewest columns that do.
            let (mut few, mut many) = (1, MAX_PLAIN);
            if !fits(&with(bytes, many)) {
                continue;
            }
            while few < many {
                let middle = (few + many) / 2;
                if fits(&with(bytes, middle)) {
                    many = middle;
                } else {
                    few = middle + 1;
                }
            }
            let shape = with(bytes, few);
            let bound = best
                .as_ref()
                .map_or(bound, |b| options.objective.score(&b.cost));
            if let Some(cost) = affordable(&shape, bound) {
                best = Some(Candidate {
                    rows: estimate.rows(&shape, &self.budget),
                    shape,
                    tables: tables.clone(),
                    cost,
                    margin,
                });
            }
        }
        best
    }

    /// By how much the model fails to fit the largest circuit that is allowed.
    fn no_shape(&self, options: &PlanOptions, public_elements: usize) -> PlanError {
        let mut nearest: Option<(usize, usize)> = None;
        for (shape, tables) in self.skeletons(options.max_k) {
            let with = |plain: usize| Shape {
                bytes: self.byte_inputs().div_ceil(shape.usable_rows()),
                plain,
                ..shape.clone()
            };
            // Each column makes the proof longer.
            let fits = |plain| predict(&with(plain)).proof_bytes <= options.max_proof_bytes;
            let (mut widest, mut beyond) = (0, MAX_PLAIN + 1);
            while beyond - widest > 1 {
                let middle = (widest + beyond) / 2;
                if fits(middle) {
                    widest = middle;
                } else {
                    beyond = middle;
                }
            }
            if widest == 0 {
                continue;
            }
            let estimate = self.estimate(&shape, &tables);
            let rows = estimate.rows(&with(widest), &self.budget);
            let rows = rows.max(public_elements);
            if nearest.is_none_or(|(least, _)| rows < least) {
                nearest = Some((rows, shape.usable_rows()));
            }
            if self.budget.is_overdrawn() {
                break;
            }
        }
        PlanError::NoShape {
            node: self.largest_node(),
            max_k: options.max_k,
            max_proof_bytes: options.max_proof_bytes,
            nearest,
            ended: self.budget.is_spent(),
        }
    }

    /// Shapes without host columns, for one `k`, with their tables.
    fn skeletons(&self, k: u32) -> Vec<(Shape, Rc<Tables>)> {
        let (slots, max_top) = self.needs_slots();
        let mut out = Vec::new();
        for (check, range_bits) in self.checks(k) {
            let mut shape = Shape {
                max_top,
                ..bare(k, range_bits, check)
            };
            let Some(tables) = self.fewest_banks(&mut shape) else {
                continue;
            };
            shape.max_limbs = self
                .distance_bits(&tables.forms)
                .div_ceil(range_bits)
                .max(1) as usize;
            let least = self.unit_lanes().div_ceil(shape.usable_rows());
            let slots_of = |lanes: usize| {
                if slots {
                    counts(lanes, MAX_UNITS)
                } else {
                    vec![0]
                }
            };
            let maxima = slots_of(self.slot_lanes().div_ceil(shape.usable_rows()).max(1));
            for units in counts(least.max(shape.banks), MAX_UNITS) {
                for (&maxima, shared_slots) in maxima.iter().flat_map(|q| [(q, false), (q, true)]) {
                    if shared_slots && (maxima == 0 || shape.limbs() == 0) {
                        continue;
                    }
                    for &guests in guests(&shape) {
                        out.extend(ACCUMULATORS.map(|accumulators| {
                            let shape = Shape {
                                unit_banks: tables.unit_banks(units),
                                maxima,
                                shared_slots,
                                guests,
                                accumulators,
                                ..shape.clone()
                            };
                            (shape, tables.clone())
                        }));
                    }
                }
            }
        }
        out
    }

    /// Adds banks until the tables fit.
    fn fewest_banks(&self, shape: &mut Shape) -> Option<Rc<Tables>> {
        for banks in 1..=MAX_BANKS {
            shape.banks = banks;
            if let Some(tables) = self.choose_tables(shape) {
                return Some(tables);
            }
        }
        None
    }

    /// The ways to check steps that are worth trying, and the bits of a limb.
    fn checks(&self, k: u32) -> Vec<(Check, u32)> {
        let (slots, _) = self.needs_slots();
        let usable = (1usize << k).saturating_sub(RESERVED_ROWS);
        if self.byte_inputs() > 0 && 1 << BYTE_BITS > usable {
            return Vec::new();
        }
        let largest = (4..k).rev().find(|&bits| 1 << bits <= usable);
        let Some(largest) = largest else {
            return Vec::new();
        };
        // A shorter limb may fit the distances of a maximum better; it must hold the values themselves.
        let widest_maximum = self.widest_maximum();
        let limbs: Vec<u32> = match slots {
            true => (BYTE_BITS.min(largest).max(widest_maximum)..=largest)
                .rev()
                .collect(),
            false => vec![largest],
        };
        // Of all widths, the one whose tables are shortest.
        let banks = WIDTHS.iter().filter_map(|&widest| {
            let mut shape = bare(k, largest, Check::Width(widest));
            self.fewest_banks(&mut shape)?;
            Some((shape.banks, std::cmp::Reverse(widest)))
        });
        let width = banks.min().map(|(_, widest)| Check::Width(widest.0));
        let checks = (1..=4).map(Check::Limbs).chain(width);
        checks
            .flat_map(|check| limbs.iter().map(move |&bits| (check, bits)))
            .collect()
    }
}

/// A shape with one unit and one accumulator and nothing else.
pub(super) fn bare(k: u32, range_bits: u32, check: Check) -> Shape {
    Shape {
        k,
        range_bits,
        check,
        unit_banks: vec![0],
        banks: 1,
        maxima: 0,
        max_limbs: 1,
        max_top: false,
        shared_slots: false,
        guests: Guests::None,
        bytes: 0,
        plain: 0,
        accumulators: 1,
    }
}

/// The kinds of guests that are worth trying.
fn guests(shape: &Shape) -> &'static [Guests] {
    const ALL: [Guests; 4] = [Guests::None, Guests::Values, Guests::Starts, Guests::All];
    if shape.range_bits >= BYTE_BITS && (shape.limbs() > 0 || shape.maxima > 0) {
        &ALL
    } else {
        &ALL[..3]
    }
}

/// Numbers from `least` on, ever further apart.
fn counts(least: usize, most: usize) -> Vec<usize> {
    let least = least.max(1);
    let steps = [0, 1, 2, 3, 4, 6, 8, 12].iter().map(|step| least + step);
    steps.filter(|&n| n <= most && n <= 3 * least).collect()
}
