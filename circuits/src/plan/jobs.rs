//! A model prepared for planning: its groups and its tables.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::chips::{BYTE_BITS, MAX_FAN_IN, Shape};
use crate::lower::{Block, Lowering, Operand};
use crate::program::Range;

use super::budget::{Budget, PLACED_CELL};
use super::choice::Choice;
use super::estimate::{Estimate, capacity, class_capacity};
use super::layout::{Layout, PlacedTable};
use super::pack::{CAPACITY_BITS, lanes_per_equation};
use super::place::{Placer, max_lane_bits};
use super::tables::{Cutting, StepTable, TableForm, TableSize, forms};
use super::tiles::Tiling;
use super::{PlanError, PublicElement};

#[cfg(test)]
mod tests;

/// A step block, prepared.
pub(super) struct StepJob<'a> {
    pub(super) block: u32,
    pub(super) tiling: Tiling<'a>,
    pub(super) lanes: usize,
    pub(super) forms: Vec<TableForm>,
    /// The tables of each form, by their place in [`Jobs::tables`].
    pub(super) tables: Vec<Vec<usize>>,
    /// Lanes of each rule.
    lanes_of_rule: Vec<usize>,
    /// Whether a lane takes the largest of several forms.
    pub(super) pooled: bool,
    /// Whether some input does not fit a column of bytes.
    pub(super) wide: bool,
}

/// An input block, prepared.
pub(super) struct InputJob {
    block: u32,
    cells: usize,
    /// The table that proves its range; none for bytes, which have columns of their own.
    pub(super) table: Option<usize>,
}

/// Chosen tables, by usable rows, cutting and number of banks.
type Chosen = HashMap<(usize, Cutting, usize), Option<Rc<Tables>>>;
/// What tables take, by table and cutting.
type Sizes = HashMap<(usize, Cutting), TableSize>;

/// Estimates that are kept.
const KEPT_ESTIMATES: usize = 256;

/// A model, prepared for the search.
pub(super) struct Jobs<'a> {
    lowering: &'a Lowering,
    pub(super) steps: Vec<StepJob<'a>>,
    pub(super) inputs: Vec<InputJob>,
    /// Number of windows of each maximum block.
    pub(super) maxima: Vec<usize>,
    pub(super) public: &'a [PublicElement],
    /// All tables of all forms.
    pub(super) tables: Vec<StepTable>,
    sizes: RefCell<Sizes>,
    chosen: RefCell<Chosen>,
    /// The last estimates.
    estimates: RefCell<HashMap<Shape, Rc<Estimate>>>,
    pub(super) budget: Budget,
}

/// A form for each step block, and the bank of each table.
pub(super) struct Tables {
    /// For each step block, the number of its form.
    pub(super) forms: Vec<usize>,
    /// For each step block, the domain of its widest table.
    pub(super) domains: Vec<(i64, i64)>,
    /// The tables, by their place in [`Jobs::tables`].
    pub(super) placed: Vec<usize>,
    /// For each of these, its bank.
    pub(super) banks: Vec<usize>,
    /// For each step block, the bank that each rule reads.
    pub(super) rule_banks: Vec<Vec<usize>>,
    /// How many lanes of steps read each bank.
    pub(super) lanes: Vec<usize>,
    /// How many inputs read each bank.
    pub(super) inputs: Vec<usize>,
    /// For a step block and the extents of its boxes: how many boxes have so many lanes for each bank.
    kinds: RefCell<HashMap<(usize, Vec<usize>), Kinds>>,
}

/// Lanes for each bank, and the number of boxes that have them.
type Kinds = Rc<[(Vec<usize>, usize)]>;

impl<'a> Jobs<'a> {
    pub(super) fn new(
        lowering: &'a Lowering,
        public: &'a [PublicElement],
        search_steps: u64,
    ) -> Result<Self, PlanError> {
        let mut jobs = Self {
            lowering,
            steps: vec![],
            inputs: vec![],
            maxima: vec![],
            public,
            tables: vec![],
            sizes: RefCell::default(),
            chosen: RefCell::default(),
            estimates: RefCell::default(),
            budget: Budget::new(search_steps),
        };
        let mut numbers: HashMap<StepTable, usize> = HashMap::new();
        for (i, block) in lowering.blocks().iter().enumerate() {
            match block {
                Block::Input { cells, range, .. } => {
                    let table =
                        (!is_byte(*range)).then(|| jobs.number(&mut numbers, &range_table(*range)));
                    jobs.inputs.push(InputJob {
                        block: i as u32,
                        cells: cells.len(),
                        table,
                    });
                }
                Block::Max { windows, .. } => jobs.maxima.push(windows.len()),
                Block::Step { .. } => {
                    let mut job = step_job(lowering, i)?;
                    for form in &job.forms {
                        let tables = form.tables.iter();
                        job.tables
                            .push(tables.map(|t| jobs.number(&mut numbers, t)).collect());
                    }
                    jobs.steps.push(job);
                }
            }
        }
        Ok(jobs)
    }

    fn number(&mut self, numbers: &mut HashMap<StepTable, usize>, table: &StepTable) -> usize {
        if let Some(&known) = numbers.get(table) {
            return known;
        }
        numbers.insert(table.clone(), self.tables.len());
        self.tables.push(table.clone());
        self.tables.len() - 1
    }

    /// Whether slots for maxima are needed at all, and whether any of them holds its maximum.
    pub(super) fn needs_slots(&self) -> (bool, bool) {
        let top = !self.maxima.is_empty();
        (top || self.steps.iter().any(|job| job.pooled), top)
    }

    /// Lanes that need a unit, inputs that are proved by one included.
    pub(super) fn unit_lanes(&self) -> usize {
        let inputs = self.inputs.iter().filter(|job| job.table.is_some());
        let inputs: usize = inputs.map(|job| job.cells).sum();
        inputs + self.steps.iter().map(|job| job.lanes).sum::<usize>()
    }

    /// Lanes and windows that need a slot.
    pub(super) fn slot_lanes(&self) -> usize {
        let pooled = self.steps.iter().filter(|job| job.pooled);
        pooled.map(|job| job.lanes).sum::<usize>() + self.maxima.iter().sum::<usize>()
    }

    /// Bits of the widest value that a maximum is taken over, counted from the offset of the result: a limb holds it.
    pub(super) fn widest_maximum(&self) -> u32 {
        let vars = self.lowering.vars();
        let windows = self
            .lowering
            .blocks()
            .iter()
            .filter_map(|block| match block {
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

    /// Bits of the largest distance of the chosen forms from their maximum.
    pub(super) fn distance_bits(&self, forms: &[usize]) -> u32 {
        let pooled = self.steps.iter().zip(forms).filter(|(job, _)| job.pooled);
        pooled
            .map(|(job, &form)| job.forms[form].bits())
            .max()
            .unwrap_or(0)
    }

    /// A form for each step block such that all tables fit their banks, or none.
    pub(super) fn choose_tables(&self, shape: &Shape) -> Option<Rc<Tables>> {
        let cutting = Cutting::of(shape);
        let key = (shape.usable_rows(), cutting, shape.banks);
        if let Some(known) = self.chosen.borrow().get(&key) {
            return known.clone();
        }
        let tables = self.search_forms(shape, cutting).map(Rc::new);
        self.chosen.borrow_mut().insert(key, tables.clone());
        tables
    }

    pub(super) fn size(&self, table: usize, cutting: Cutting) -> TableSize {
        let known = self.sizes.borrow().get(&(table, cutting)).copied();
        known.unwrap_or_else(|| {
            let table_steps = &self.tables[table];
            self.budget.spend(table_steps.steps.len() as u64);
            let size = table_steps.size(cutting);
            self.sizes.borrow_mut().insert((table, cutting), size);
            size
        })
    }

    fn search_forms(&self, shape: &Shape, cutting: Cutting) -> Option<Tables> {
        let room = shape.banks * shape.table_capacity();
        let mut choice = Choice::new(self);
        // What each block saves by moving on to its next form, as long as it is known.
        let mut savings: Vec<Option<i64>> = vec![None; self.steps.len()];
        let mut was_hopeless = true;
        loop {
            self.budget.spend(1 + self.steps.len() as u64);
            // A step takes a row at least: where that is too much, it need not be known how steps are cut.
            let hopeless = choice.steps > room;
            if hopeless != was_hopeless {
                savings.fill(None);
                was_hopeless = hopeless;
            }
            // Row 0 of every table is the dummy that idle units look up.
            if !hopeless
                && choice.rows(cutting).saturating_add(shape.banks) <= room
                && let Some(tables) = self.tables(shape, cutting, &choice.forms)
            {
                return Some(tables);
            }
            // The block whose next form saves most rows moves on to it.
            let rows = |job: &StepJob<'_>, form: usize| -> i64 {
                let tables = job.tables[form].iter();
                let rows = |&t: &usize| match hopeless {
                    true => self.tables[t].steps.len(),
                    false => self.size(t, cutting).rows,
                };
                tables.map(rows).fold(0, |a, b| a.saturating_add(b as i64))
            };
            let (saved, block) = (0..self.steps.len())
                .filter(|&i| choice.forms[i] + 1 < self.steps[i].forms.len())
                .map(|i| {
                    let (job, form) = (&self.steps[i], choice.forms[i]);
                    let saved = || rows(job, form) - rows(job, form + 1);
                    (*savings[i].get_or_insert_with(saved), i)
                })
                .max_by_key(|&(saved, i)| (saved, std::cmp::Reverse(i)))?;
            if saved <= 0 {
                return None;
            }
            choice.advance(block);
            savings[block] = None;
        }
    }

    /// The distinct tables of the chosen forms, in order.
    fn placed(&self, chosen: &[usize]) -> Vec<usize> {
        let forms = self.steps.iter().zip(chosen);
        let of_steps = forms.flat_map(|(job, &form)| &job.tables[form]);
        let of_inputs = self.inputs.iter().filter_map(|job| job.table.as_ref());
        let mut seen = vec![false; self.tables.len()];
        let all = of_steps.chain(of_inputs).copied();
        all.filter(|&table| !std::mem::replace(&mut seen[table], true))
            .collect()
    }

    /// The distinct tables of the chosen forms, if they fit.
    fn tables(&self, shape: &Shape, cutting: Cutting, chosen: &[usize]) -> Option<Tables> {
        let forms = self.steps.iter().zip(chosen);
        let placed = self.placed(chosen);
        let sizes: Vec<_> = placed.iter().map(|&t| self.size(t, cutting)).collect();
        if cutting.outer.is_some() {
            let steps = placed.iter().map(|&t| self.tables[t].steps.len() as u64);
            self.budget.spend(steps.sum());
            let widths = placed.iter().flat_map(|&t| self.tables[t].widths(cutting));
            let widths: BTreeSet<u64> = widths.collect();
            let rows: u64 = widths.iter().map(|w| w + 1).sum();
            // One more for the width of idle units.
            if rows + 1 > shape.table_capacity() as u64 {
                return None;
            }
        }
        let rows: Vec<usize> = sizes.iter().map(|size| size.rows).collect();
        let banks = assign_banks(&rows, shape)?;
        let bank_of: HashMap<usize, usize> = placed.iter().copied().zip(banks.clone()).collect();
        let rule_banks: Vec<Vec<usize>> = forms
            .clone()
            .map(|(job, &form)| {
                let rules = job.forms[form].rules.iter();
                rules
                    .map(|&(_, table)| bank_of[&job.tables[form][table]])
                    .collect()
            })
            .collect();
        let mut lanes = vec![0; shape.banks];
        for (job, banks) in self.steps.iter().zip(&rule_banks) {
            for (&bank, count) in banks.iter().zip(&job.lanes_of_rule) {
                lanes[bank] += count;
            }
        }
        let mut inputs = vec![0; shape.banks];
        for job in &self.inputs {
            if let Some(table) = job.table {
                inputs[bank_of[&table]] += job.cells;
            }
        }
        let domains = forms
            .map(|(job, &form)| {
                let sizes = job.tables[form].iter().map(|&t| self.size(t, cutting));
                let domains = sizes.map(|size| (size.lo, size.hi));
                domains.max_by_key(|d| i128::from(d.1) - i128::from(d.0))
            })
            .collect::<Option<_>>()?;
        Some(Tables {
            forms: chosen.to_vec(),
            domains,
            placed,
            banks,
            rule_banks,
            lanes,
            inputs,
            kinds: RefCell::default(),
        })
    }

    /// The estimate for a shape, whatever its host columns.
    pub(super) fn estimate(&self, shape: &Shape, tables: &Tables) -> Rc<Estimate> {
        let key = Estimate::key(shape);
        if let Some(known) = self.estimates.borrow().get(&key) {
            return known.clone();
        }
        let made = Rc::new(Estimate::new(self, shape, tables));
        let mut estimates = self.estimates.borrow_mut();
        // Shapes that differ in their host columns follow closely on one another.
        if estimates.len() >= KEPT_ESTIMATES {
            estimates.clear();
        }
        estimates.insert(key, made.clone());
        made
    }

    /// The node whose steps have most to prove.
    pub(super) fn largest_node(&self) -> Option<u32> {
        let largest = self.steps.iter().max_by_key(|job| job.lanes)?;
        match &self.lowering.blocks()[largest.block as usize] {
            Block::Step { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Inputs that are bytes.
    pub(super) fn byte_inputs(&self) -> usize {
        let bytes = self.inputs.iter().filter(|job| job.table.is_none());
        bytes.map(|job| job.cells).sum()
    }

    pub(super) fn place(
        &self,
        shape: &Shape,
        tables: &Tables,
        public_elements: usize,
    ) -> Result<Layout, PlanError> {
        let cells = shape.advice_columns() * shape.usable_rows();
        self.budget.spend(PLACED_CELL * cells as u64);
        let cutting = Cutting::of(shape);
        let placed = tables.placed.iter().zip(&tables.banks);
        let placed = placed
            .map(|(&table, &bank)| PlacedTable {
                table: self.tables[table].cut(cutting),
                bank,
            })
            .collect();
        let place_of: HashMap<usize, u32> = tables.placed.iter().copied().zip(0..).collect();
        let mut placer = Placer::new(shape, self.lowering, placed);
        let mut step = 0;
        for (i, block) in self.lowering.blocks().iter().enumerate() {
            match block {
                Block::Input { .. } => {}
                Block::Step { .. } => {
                    self.place_steps(&mut placer, shape, step, tables, &place_of)?;
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
        for input in &self.inputs {
            placer.inputs(input.block, input.table.map(|table| place_of[&table]))?;
        }
        placer.finish(public_elements)
    }

    fn place_steps(
        &self,
        placer: &mut Placer<'_>,
        shape: &Shape,
        step: usize,
        chosen: &Tables,
        place_of: &HashMap<usize, u32>,
    ) -> Result<(), PlanError> {
        let job = &self.steps[step];
        let form = chosen.forms[step];
        let Block::Step { lanes, .. } = &self.lowering.blocks()[job.block as usize] else {
            return Err(PlanError::WrongBlock { block: job.block });
        };
        let extents = self.best_box(shape, step, chosen);
        let extents = extents.ok_or(PlanError::TooManyRows {
            rows: usize::MAX,
            usable: shape.usable_rows(),
        })?;
        let capacity = capacity(shape, chosen.domains[step], job.pooled);
        let mut boxes: HashMap<usize, Vec<u32>> = HashMap::new();
        for lane in 0..lanes.len() {
            let number = job.tiling.box_of(lane, &extents);
            boxes.entry(number).or_default().push(lane as u32);
        }
        let mut boxes: Vec<_> = boxes.into_iter().collect();
        boxes.sort_unstable_by_key(|&(number, _)| number);
        for (_, members) in boxes {
            for group in members.chunks(capacity.max(1)) {
                let group: Vec<_> = group
                    .iter()
                    .map(|&i| {
                        let rule = lanes[i as usize].rule as usize;
                        let (multiplier, table) = job.forms[form].rules[rule];
                        (i, multiplier, place_of[&job.tables[form][table]])
                    })
                    .collect();
                placer.step_group(job.block, &group)?;
            }
        }
        Ok(())
    }
}

/// Prepares step block `block`.
fn step_job(lowering: &Lowering, block: usize) -> Result<StepJob<'_>, PlanError> {
    let wrong = PlanError::WrongBlock {
        block: block as u32,
    };
    let Block::Step {
        map,
        rules,
        lanes,
        node,
    } = &lowering.blocks()[block]
    else {
        return Err(wrong);
    };
    let Some(first) = lanes.first() else {
        return Err(wrong);
    };
    for lane in lanes {
        let domain = rules[lane.rule as usize].domain();
        lane.forms()
            .try_for_each(|form| check_domain(lowering, *map, form, domain, *node))?;
    }
    let forms = forms(rules, lowering.var(first.out).offset);
    if let Some(bits) = forms
        .iter()
        .map(TableForm::bits)
        .find(|&b| b > CAPACITY_BITS)
    {
        return Err(PlanError::WideLane {
            node: *node,
            bits,
            max: CAPACITY_BITS,
        });
    }
    let map = &lowering.maps()[*map as usize];
    let wide = map.inputs.iter().any(|input| match input {
        Operand::Cell(v) => {
            let info = lowering.var(*v);
            info.range.hi - info.offset >= 1 << BYTE_BITS
        }
        _ => false,
    });
    let mut lanes_of_rule = vec![0; rules.len()];
    lanes
        .iter()
        .for_each(|lane| lanes_of_rule[lane.rule as usize] += 1);
    Ok(StepJob {
        block: block as u32,
        tiling: Tiling::new(map, lanes),
        lanes: lanes.len(),
        forms,
        tables: Vec::new(),
        lanes_of_rule,
        pooled: lanes.first().is_some_and(|l| l.others.is_some()),
        wide,
    })
}

fn check_domain(
    lowering: &Lowering,
    map: u32,
    form: u32,
    domain: Range,
    node: u32,
) -> Result<(), PlanError> {
    let Range { lo, hi } = lowering.form_range(map, form);
    for reach in [lo, hi].map(i128::from) {
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
    /// What `count` finds for a block and boxes of these extents, counted once.
    pub(super) fn kinds(
        &self,
        step: usize,
        extents: &[usize],
        count: impl FnOnce() -> Kinds,
    ) -> Kinds {
        let key = (step, extents.to_vec());
        if let Some(known) = self.kinds.borrow().get(&key) {
            return known.clone();
        }
        let kinds = count();
        self.kinds.borrow_mut().insert(key, kinds.clone());
        kinds
    }

    /// Lanes and inputs that read a bank.
    pub(super) fn lanes_of(&self, bank: usize) -> usize {
        self.lanes[bank] + self.inputs[bank]
    }

    /// A bank for each unit: one for each bank, the others where most lanes wait for one.
    pub(super) fn unit_banks(&self, units: usize) -> Vec<usize> {
        let banks = self.inputs.len();
        let lanes: Vec<usize> = (0..banks).map(|b| self.lanes_of(b)).collect();
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

/// Windows that one group of maxima holds.
pub(super) fn windows_per_group(shape: &Shape) -> usize {
    if shape.maxima == 0 {
        return 0;
    }
    let forms = lanes_per_equation(max_lane_bits(shape));
    class_capacity(shape, forms, MAX_FAN_IN)
}

/// A bank for each table, of so many rows, such that no bank is longer than the circuit allows: longest table first,
/// emptiest bank.
fn assign_banks(rows: &[usize], shape: &Shape) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i]));
    // Row 0 of every table is the dummy that idle units look up.
    let mut filled = vec![1usize; shape.banks];
    let mut out = vec![0; rows.len()];
    for i in order {
        let bank = (0..shape.banks).min_by_key(|&b| filled[b])?;
        filled[bank] = filled[bank].saturating_add(rows[i]);
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

/// The table that proves that a cell lies in a range: each value is a step of its own.
fn range_table(range: Range) -> StepTable {
    let last = range.hi - range.lo;
    StepTable {
        lo: 0,
        hi: last,
        y_offset: 0,
        steps: (0..=last).map(|v| (v, v)).collect(),
    }
}
