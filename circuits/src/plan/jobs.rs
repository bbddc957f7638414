//! A model prepared for planning: its tables, its groups, and the rows that they take in a shape.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::chips::{BYTE_BITS, MAX_FAN_IN, Shape};
use crate::lower::{Block, Lowering};
use crate::program::Range;

use super::layout::{Layout, PlacedTable};
use super::pack::{CAPACITY_BITS, lanes_per_equation};
use super::place::{Placer, max_lane_bits, step_lane_bits};
use super::rows::minimum_rows;
use super::tables::{StepTable, TableForm, forms};
use super::tiles::{GridBox, Tiling};
use super::{PlanError, PublicElement};

/// A step block, prepared.
pub(super) struct StepJob<'a> {
    block: u32,
    tiling: Tiling<'a>,
    lanes: usize,
    forms: Vec<TableForm>,
    /// Lanes of each rule.
    lanes_of_rule: Vec<usize>,
    /// Whether a lane takes the largest of several forms.
    pooled: bool,
}

/// Tables by usable rows, widest step and number of banks.
type Chosen = HashMap<(usize, u64, usize), Option<Rc<Tables>>>;

/// A model, prepared for the search.
pub(super) struct Jobs<'a> {
    lowering: &'a Lowering,
    steps: Vec<StepJob<'a>>,
    /// Input blocks and their ranges.
    inputs: Vec<(u32, Range, usize)>,
    /// Maximum blocks and their number of windows.
    maxima: Vec<(u32, usize)>,
    public: &'a [PublicElement],
    /// Chosen tables, by what they depend on: rows, widest step, banks.
    chosen: RefCell<Chosen>,
}
/// A form for each step block, and the bank of each table.
pub(super) struct Tables {
    /// For each step block, the number of its form.
    pub(super) forms: Vec<usize>,
    collected: Collected,
    /// For each table, its bank.
    banks: Vec<usize>,
    /// For each step block, how many of its lanes read each bank.
    shares: Vec<Vec<usize>>,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(
        lowering: &'a Lowering,
        public: &'a [PublicElement],
    ) -> Result<Self, PlanError> {
        let mut jobs = Self {
            lowering,
            steps: vec![],
            inputs: vec![],
            maxima: vec![],
            public,
            chosen: RefCell::default(),
        };
        for (i, block) in lowering.blocks.iter().enumerate() {
            let block_id = i as u32;
            match block {
                Block::Input { cells, range, .. } => {
                    jobs.inputs.push((block_id, *range, cells.len()))
                }
                Block::Max { windows, .. } => jobs.maxima.push((block_id, windows.len())),
                Block::Step {
                    map,
                    rules,
                    lanes,
                    node,
                } => {
                    for lane in lanes {
                        let domain = rules[lane.rule as usize].domain();
                        lane.forms().try_for_each(|form| {
                            check_domain(lowering, *map, form, domain, *node)
                        })?;
                    }
                    let y_offset = lanes
                        .first()
                        .map_or(0, |l| lowering.vars[l.out.0 as usize].offset);
                    let forms = forms(rules, y_offset);
                    for form in &forms {
                        if form.bits() > CAPACITY_BITS {
                            let bits = form.bits();
                            return Err(PlanError::WideLane {
                                node: *node,
                                bits,
                                max: CAPACITY_BITS,
                            });
                        }
                    }
                    jobs.steps.push(StepJob {
                        block: block_id,
                        tiling: Tiling::new(&lowering.maps[*map as usize]),
                        lanes: lanes.len(),
                        lanes_of_rule: (0..rules.len() as u32)
                            .map(|r| lanes.iter().filter(|l| l.rule == r).count())
                            .collect(),
                        forms,
                        pooled: lanes.first().is_some_and(|l| l.others.is_some()),
                    });
                }
            }
        }
        Ok(jobs)
    }

    /// Whether slots for maxima are needed at all, and whether any of them holds its maximum.
    pub(super) fn needs_slots(&self) -> (bool, bool) {
        let top = !self.maxima.is_empty();
        (top || self.steps.iter().any(|job| job.pooled), top)
    }

    /// Bits of the widest value that a maximum is taken over, counted from the offset of the result: a limb holds it.
    pub(super) fn widest_maximum(&self) -> u32 {
        let vars = &self.lowering.vars;
        let windows = self.lowering.blocks.iter().filter_map(|block| match block {
            Block::Max { windows, .. } => Some(windows),
            _ => None,
        });
        let spans = windows.flatten().flat_map(|(inputs, out)| {
            let offset = vars[out.0 as usize].offset;
            inputs
                .iter()
                .map(move |input| vars[input.0 as usize].range.hi - offset)
        });
        spans
            .max()
            .map_or(0, |span| i64::BITS - span.max(0).leading_zeros())
    }

    /// The limbs that the distances of the chosen forms need.
    pub(super) fn max_limbs(&self, shape: &Shape, forms: &[usize]) -> usize {
        let pooled = self.steps.iter().zip(forms).filter(|(job, _)| job.pooled);
        let bits = pooled
            .map(|(job, &form)| job.forms[form].bits())
            .max()
            .unwrap_or(0);
        bits.div_ceil(shape.range_bits).max(1) as usize
    }
    /// A form for each step block such that all tables fit their banks, or none.
    pub(super) fn choose_tables(&self, shape: &Shape) -> Option<Rc<Tables>> {
        let key = (shape.usable_rows(), shape.max_step_width(), shape.banks);
        if let Some(known) = self.chosen.borrow().get(&key) {
            return known.clone();
        }
        let tables = self
            .search_forms(shape)
            .and_then(|forms| self.tables(shape, forms));
        let tables = tables.map(Rc::new);
        self.chosen.borrow_mut().insert(key, tables.clone());
        tables
    }

    fn tables(&self, shape: &Shape, forms: Vec<usize>) -> Option<Tables> {
        let collected = self.collect_tables(&forms);
        let banks = assign_banks(&collected.tables, shape)?;
        let shares = self
            .steps
            .iter()
            .zip(&forms)
            .zip(&collected.of_step)
            .map(|((job, &form), tables)| {
                let mut share = vec![0; shape.banks];
                for (&(_, table), lanes) in job.forms[form].rules.iter().zip(&job.lanes_of_rule) {
                    share[banks[tables[table] as usize]] += lanes;
                }
                share
            })
            .collect();
        Some(Tables {
            forms,
            collected,
            banks,
            shares,
        })
    }

    fn search_forms(&self, shape: &Shape) -> Option<Vec<usize>> {
        let width = shape.max_step_width();
        let mut chosen = vec![0; self.steps.len()];
        loop {
            let tables = self.collect_tables(&chosen);
            if assign_banks(&tables.tables, shape).is_some() {
                return Some(chosen);
            }
            // The block whose next form saves most rows moves on to it.
            let rows = |job: &StepJob<'_>, form: usize| job.forms[form].row_count(width);
            let (saved, block) = (0..self.steps.len())
                .filter(|&i| chosen[i] + 1 < self.steps[i].forms.len())
                .map(|i| {
                    let job = &self.steps[i];
                    (
                        rows(job, chosen[i]) as i64 - rows(job, chosen[i] + 1) as i64,
                        i,
                    )
                })
                .max_by_key(|&(saved, i)| (saved, std::cmp::Reverse(i)))?;
            if saved <= 0 {
                return None;
            }
            chosen[block] += 1;
        }
    }

    /// The distinct tables of the chosen forms, and where those of each block and input are.
    fn collect_tables(&self, chosen: &[usize]) -> Collected {
        let mut collected = Collected::default();
        for (job, &form) in self.steps.iter().zip(chosen) {
            let places = job.forms[form]
                .tables
                .iter()
                .map(|t| collected.add(t))
                .collect();
            collected.of_step.push(places);
        }
        for &(_, range, _) in &self.inputs {
            if is_byte(range) {
                collected.of_input.push(None);
                continue;
            }
            // One step that covers the whole range and has the value of the offset: a pure range check.
            let table = StepTable {
                lo: 0,
                hi: range.hi - range.lo,
                y_offset: 0,
                steps: vec![(0, 0)],
            };
            let place = collected.add(&table);
            collected.of_input.push(Some(place));
        }
        collected
    }

    /// The node whose steps have most to prove.
    pub(super) fn largest_node(&self) -> Option<u32> {
        let largest = self.steps.iter().max_by_key(|job| job.lanes)?;
        match &self.lowering.blocks[largest.block as usize] {
            Block::Step { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Inputs that are bytes.
    pub(super) fn byte_inputs(&self) -> usize {
        self.inputs
            .iter()
            .filter(|i| is_byte(i.1))
            .map(|i| i.2)
            .sum()
    }

    /// Weighted range cells that units and slots take.
    fn limb_cells(&self, shape: &Shape) -> usize {
        let lanes: usize = self.steps.iter().map(|job| job.lanes).sum();
        let pooled: usize = self
            .steps
            .iter()
            .filter(|job| job.pooled)
            .map(|job| job.lanes)
            .sum();
        let windows: usize = self.maxima.iter().map(|m| m.1).sum();
        lanes * shape.limbs + (pooled + windows) * shape.slot_columns()
    }

    pub(super) fn estimate_rows(&self, shape: &Shape, tables: &Tables) -> usize {
        let mut rows = 0;
        for ((job, &form), share) in self.steps.iter().zip(&tables.forms).zip(&tables.shares) {
            match job.best_box(shape, form, share) {
                Some((_, estimate)) => rows += estimate,
                None => return usize::MAX,
            }
        }
        for &(_, windows) in &self.maxima {
            let group = windows_per_group(shape).min(windows);
            if group == 0 {
                return usize::MAX;
            }
            rows += windows.div_ceil(group) * minimum_rows(shape, group * MAX_FAN_IN, &[], group);
        }
        for group in self.public.chunks(shape.accumulators) {
            let hosts: usize = group.iter().map(|e| e.values.len() + 1).sum();
            rows += minimum_rows(shape, hosts, &[], 0);
        }
        let inputs: usize = self
            .inputs
            .iter()
            .filter(|i| !is_byte(i.1))
            .map(|i| i.2)
            .sum();
        let free_limbs = if shape.range_bits == BYTE_BITS {
            (rows * shape.weighted_range_columns()).saturating_sub(self.limb_cells(shape))
        } else {
            0
        };
        let bytes = self.byte_inputs().saturating_sub(free_limbs / 2);
        if bytes > 0 {
            rows = rows.max(if shape.bytes == 0 {
                usize::MAX
            } else {
                bytes.div_ceil(shape.bytes)
            });
        }
        let steps: usize = self.steps.iter().map(|j| j.lanes).sum();
        rows.max((inputs + steps).div_ceil(shape.units()))
    }

    pub(super) fn place(
        &self,
        shape: &Shape,
        tables: &Tables,
        public_elements: usize,
    ) -> Result<Layout, PlanError> {
        let collected = &tables.collected;
        let placed = collected
            .tables
            .iter()
            .cloned()
            .zip(tables.banks.iter().copied());
        let placed = placed
            .map(|(table, bank)| PlacedTable { table, bank })
            .collect();
        let mut placer = Placer::new(shape, self.lowering, placed);
        let mut step = 0;
        for (i, block) in self.lowering.blocks.iter().enumerate() {
            match block {
                Block::Input { .. } => {}
                Block::Step { .. } => {
                    self.place_steps(&mut placer, shape, step, tables)?;
                    step += 1;
                }
                Block::Max { windows, .. } => {
                    let all: Vec<u32> = (0..windows.len() as u32).collect();
                    for group in all.chunks(windows_per_group(shape).max(1)) {
                        placer.max_group(i as u32, group)?;
                    }
                }
            }
        }
        for group in self.public.chunks(shape.accumulators) {
            placer.public_group(group)?;
        }
        for (&(block, _, _), &table) in self.inputs.iter().zip(&collected.of_input) {
            placer.inputs(block, table)?;
        }
        placer.finish(public_elements)
    }

    fn place_steps(
        &self,
        placer: &mut Placer<'_>,
        shape: &Shape,
        step: usize,
        chosen: &Tables,
    ) -> Result<(), PlanError> {
        let job = &self.steps[step];
        let (form, tables) = (chosen.forms[step], &chosen.collected.of_step[step]);
        let Block::Step { lanes, .. } = &self.lowering.blocks[job.block as usize] else {
            return Err(PlanError::WrongBlock { block: job.block });
        };
        let best = job.best_box(shape, form, &chosen.shares[step]);
        let (extents, _) = best.ok_or(PlanError::TooManyRows {
            rows: usize::MAX,
            usable: shape.usable_rows(),
        })?;
        let form = &job.forms[form];
        let capacity = job.capacity(shape, form) / if job.pooled { MAX_FAN_IN } else { 1 };
        let mut boxes: HashMap<usize, Vec<u32>> = HashMap::new();
        for (i, lane) in lanes.iter().enumerate() {
            boxes
                .entry(job.tiling.box_of(lane.index as usize, &extents))
                .or_default()
                .push(i as u32);
        }
        let mut boxes: Vec<_> = boxes.into_iter().collect();
        boxes.sort_unstable_by_key(|&(number, _)| number);
        for (_, members) in boxes {
            for group in members.chunks(capacity.max(1)) {
                let group: Vec<_> = group
                    .iter()
                    .map(|&i| {
                        let (multiplier, table) = form.rules[lanes[i as usize].rule as usize];
                        (i, multiplier, tables[table])
                    })
                    .collect();
                placer.step_group(job.block, &group)?;
            }
        }
        Ok(())
    }
}

impl StepJob<'_> {
    /// The extents that take the fewest rows, and how many.
    fn best_box(&self, shape: &Shape, form: usize, share: &[usize]) -> Option<(Vec<usize>, usize)> {
        let capacity = self.capacity(shape, &self.forms[form]);
        let per_lane = if self.pooled { MAX_FAN_IN } else { 1 };
        let total: usize = self.tiling.grid().iter().product();
        let boxes = self.tiling.boxes_of(capacity);
        let mut units = vec![0; share.len()];
        let mut rows_of = |b: &GridBox| {
            // Blocks that use only part of their map's forms have proportionally fewer groups.
            let count = (b.count * self.lanes * per_lane).div_ceil(total);
            let lanes = b.forms.div_ceil(per_lane);
            let slots = if self.pooled { lanes } else { 0 };
            for (unit, &share) in units.iter_mut().zip(share) {
                *unit = (lanes * share).div_ceil(self.lanes);
            }
            count * minimum_rows(shape, b.reads, &units, slots)
        };
        let best = boxes.iter().map(|b| (rows_of(b), &b.extents)).min()?;
        Some((best.1.clone(), best.0))
    }

    /// Forms that one group may have.
    fn capacity(&self, shape: &Shape, form: &TableForm) -> usize {
        let bits = form
            .tables
            .iter()
            .map(|t| step_lane_bits(shape, t, self.pooled))
            .max()
            .unwrap_or(0);
        let capacity = lanes_per_equation(bits) * shape.accumulators;
        if self.pooled {
            capacity / MAX_FAN_IN * MAX_FAN_IN
        } else {
            capacity
        }
    }
}

fn check_domain(
    lowering: &Lowering,
    map: u32,
    form: u32,
    domain: Range,
    node: u32,
) -> Result<(), PlanError> {
    let (lo, hi) = lowering.form_range(map, form);
    for reach in [lo, hi] {
        if reach < i128::from(domain.lo) || reach > i128::from(domain.hi) {
            return Err(PlanError::Domain {
                node,
                reach,
                lo: domain.lo,
                hi: domain.hi,
            });
        }
    }
    Ok(())
}

impl Tables {
    /// A bank for each unit: one for each bank, the others where most lanes wait for one.
    pub(super) fn unit_banks(&self, units: usize) -> Vec<usize> {
        let banks = self.shares.first().map_or(1, Vec::len);
        let lanes: Vec<usize> = (0..banks)
            .map(|b| self.shares.iter().map(|share| share[b]).sum())
            .collect();
        let mut counts = vec![1; banks];
        let mut out: Vec<usize> = (0..banks).collect();
        while out.len() < units {
            let busiest =
                (0..banks).max_by_key(|&b| (lanes[b] * 1000 / counts[b], std::cmp::Reverse(b)));
            let bank = busiest.unwrap_or(0);
            counts[bank] += 1;
            out.push(bank);
        }
        out
    }
}

#[derive(Default)]
struct Collected {
    tables: Vec<StepTable>,
    of_step: Vec<Vec<u32>>,
    of_input: Vec<Option<u32>>,
}

impl Collected {
    fn add(&mut self, table: &StepTable) -> u32 {
        let place = self
            .tables
            .iter()
            .position(|t| t == table)
            .unwrap_or_else(|| {
                self.tables.push(table.clone());
                self.tables.len() - 1
            });
        place as u32
    }
}

/// Windows that one group of maxima holds.
fn windows_per_group(shape: &Shape) -> usize {
    if shape.maxima == 0 {
        return 0;
    }
    lanes_per_equation(max_lane_bits(shape)) * shape.accumulators / MAX_FAN_IN
}

/// A bank for each table such that no bank is longer than the rows allow: longest table first, emptiest bank.
fn assign_banks(tables: &[StepTable], shape: &Shape) -> Option<Vec<usize>> {
    let width = shape.max_step_width();
    let counts: Vec<usize> = tables.iter().map(|t| t.row_count(width)).collect();
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(counts[i]));
    // Row 0 of every table is the dummy that idle units look up.
    let mut filled = vec![1; shape.banks];
    let mut out = vec![0; tables.len()];
    for i in order {
        let bank = (0..shape.banks).min_by_key(|&b| filled[b])?;
        filled[bank] += counts[i];
        if filled[bank] > shape.table_capacity() {
            return None;
        }
        out[i] = bank;
    }
    Some(out)
}

/// Whether an input of this range is what a byte column proves.
fn is_byte(range: Range) -> bool {
    range.hi - range.lo == (1 << BYTE_BITS) - 1
}
