//! From input values to the cells of a circuit.
//!
//! [`Witness::solve`] is the honest prover. [`Witness::advice`] writes a witness into columns, whoever made it: tests
//! hand it lies through the same path.

use std::collections::HashMap;
use std::ops::Range;

use ff::{Field, PrimeField};
use pasta_curves::Fp;

use crate::chips::{Check, MAX_FAN_IN, Shape, power_of_two};
use crate::lower::{Block, Lowering, Operand, VarId};
use crate::plan::{Cell, Group, Host, Layout, StepUse};

/// Why values have no witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Another number of input values was expected.
    #[error("{got} input values were given and {expected} are expected")]
    InputCount {
        /// Values that the circuit takes.
        expected: usize,
        /// Values that were given.
        got: usize,
    },
    /// Layout and equations are not of one model: a defect of the program.
    #[error("block {block} is placed as what it is not; please report this model")]
    WrongBlock {
        /// The block.
        block: u32,
    },
    /// A value lies outside its range.
    #[error("node {node}: the value {value} lies outside the range that the circuit proves")]
    Range {
        /// The node.
        node: u32,
        /// The value.
        value: i64,
    },
}

/// Contents of the cells of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCells {
    /// The value.
    pub y: i64,
    /// Start of the interval.
    pub t: i64,
    /// Distance from the start of the interval.
    pub d: i64,
    /// Distance from its end.
    pub e: i64,
}

/// Contents of all cells, before they are written into columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Content of the cell of each variable.
    pub vars: Vec<i64>,
    /// Cells of each step of the layout.
    pub steps: Vec<StepCells>,
    /// Distances from the maximum, for each window of the layout.
    pub windows: Vec<[i64; MAX_FAN_IN]>,
}

/// What a lying prover claims.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    /// Contents of the cells of variables, their copies included. A step whose value is a lie uses the table row of
    /// that value that is nearest to the truth, if there is one.
    pub vars: HashMap<VarId, i64>,
    /// The same, but the step keeps the table row of the true value.
    pub bare: bool,
    /// How much larger than the truth a step (by its place in [`Layout::steps`]) claims its argument to be.
    pub tops: HashMap<u32, i64>,
    /// The same, counted in what the table is read with, which is the argument times [`StepUse::multiplier`].
    ///
    /// [`StepUse::multiplier`]: crate::plan::StepUse::multiplier
    pub shifts: HashMap<u32, i64>,
    /// Contents of the copies of a variable in one group (by its place in [`Layout::groups`]).
    pub copies: HashMap<(u32, VarId), i64>,
}

impl Lies {
    fn is_empty(&self) -> bool {
        self.vars.is_empty()
            && self.copies.is_empty()
            && self.tops.is_empty()
            && self.shifts.is_empty()
    }
}

impl Witness {
    /// The witness of the given input values, one list after the other in the order of the graph's inputs.
    pub fn solve(
        lowering: &Lowering,
        layout: &Layout,
        inputs: &[i64],
    ) -> Result<Self, WitnessError> {
        Self::solve_with(lowering, layout, inputs, &Lies::default())
    }

    /// The witness of a prover that lies where `lies` says so, and is honest about all that follows.
    pub fn solve_with(
        lowering: &Lowering,
        layout: &Layout,
        inputs: &[i64],
        lies: &Lies,
    ) -> Result<Self, WitnessError> {
        let places = Places::new(lowering, layout);
        let mut out = Self {
            vars: vec![0; lowering.vars().len()],
            steps: vec![StepCells::default(); layout.steps.len()],
            windows: vec![[0; MAX_FAN_IN]; layout.windows.len()],
        };
        Solver {
            lowering,
            layout,
            places: &places,
            lies,
            out: &mut out,
        }
        .run(inputs)?;
        Ok(out)
    }

    /// The cells of every advice column, zero where nothing is assigned; `public` are the elements of the instance.
    pub fn advice(&self, layout: &Layout, public: &[Fp]) -> Advice {
        self.advice_with(layout, public, &Lies::default())
    }

    /// The same for a prover whose copies lie.
    pub fn advice_with(&self, layout: &Layout, public: &[Fp], lies: &Lies) -> Advice {
        let shape = &layout.shape;
        let rows = layout.rows.len();
        let mut advice = Advice {
            columns: vec![vec![Fp::ZERO; rows]; shape.advice_columns()],
        };
        let mut groups = layout.groups.iter().enumerate().peekable();
        for r in 0..rows {
            while groups.next_if(|(_, g)| g.rows.end <= r as u32).is_some() {}
            let group = groups.peek().map_or(u32::MAX, |&(g, _)| g as u32);
            self.write_row(layout, public, lies, group, r, &mut advice);
        }
        for (var, home) in layout.homes.iter().enumerate() {
            self.write_home(VarId(var as u32), *home, &mut advice);
        }
        advice.sum(layout);
        advice
    }

    /// Writes row `r`, which belongs to `group`, but for the sums and for what only [`Self::write_home`] knows.
    pub(crate) fn write_row(
        &self,
        layout: &Layout,
        public: &[Fp],
        lies: &Lies,
        group: u32,
        r: usize,
        advice: &mut Advice,
    ) {
        let (shape, row) = (&layout.shape, &layout.rows[r]);
        let columns = &mut advice.columns;
        for &(u, id) in &row.units {
            let (u, cells) = (u as usize, &self.steps[id as usize]);
            columns[shape.y(u)][r] = small(cells.y);
            columns[shape.t(u)][r] = small(cells.t);
            match shape.check {
                Check::Width(_) => {
                    columns[shape.d(u, 0)][r] = small(cells.d);
                    columns[shape.width(u)][r] = small(cells.d + cells.e);
                }
                Check::Limbs(limbs) => {
                    for i in 0..limbs {
                        let limb = |value| small(limb(value, i, limbs, shape.range_bits));
                        columns[shape.d(u, i)][r] = limb(cells.d);
                        columns[shape.e(u, i)][r] = limb(cells.e);
                    }
                }
            }
        }
        for &(q, id) in &row.maxima {
            for (j, &f) in self.windows[id as usize].iter().enumerate() {
                for i in 0..shape.max_limbs {
                    let limb = limb(f, i, shape.max_limbs, shape.range_bits);
                    columns[shape.distance(q as usize, j, i)][r] = small(limb);
                }
            }
        }
        for &(column, host) in &row.hosts {
            columns[column as usize][r] = match host {
                Host::Var(v) => {
                    let lie = lies.copies.get(&(group, v));
                    small(lie.copied().unwrap_or(self.vars[v.0 as usize]))
                }
                Host::Public(element) => public[element as usize],
            };
        }
    }

    /// The home of a variable holds it; for a step that is its `y`, for an input its byte, for a maximum its slot.
    pub(crate) fn write_home(&self, var: VarId, home: Cell, advice: &mut Advice) {
        advice.columns[home.column as usize][home.row as usize] = small(self.vars[var.0 as usize]);
    }
}

/// A small integer as an element of the field.
pub(crate) fn small(v: i64) -> Fp {
    if v < 0 {
        -Fp::from(v.unsigned_abs())
    } else {
        Fp::from(v as u64)
    }
}

/// Limb `i` of `value`; the highest limb keeps what is left, so that a value that is too large stays wrong.
pub(crate) fn limb(value: i64, i: usize, limbs: usize, bits: u32) -> i64 {
    let shifted = value >> (bits * i as u32).min(63);
    if i + 1 == limbs {
        shifted
    } else {
        shifted & ((1 << bits) - 1)
    }
}

/// Which steps and windows belong to which block and group: the same for all witnesses of a layout.
#[derive(Debug)]
pub(crate) struct Places {
    /// Steps of each block.
    pub(crate) steps: Vec<Vec<u32>>,
    /// Windows of each block.
    pub(crate) windows: Vec<Vec<u32>>,
    /// The group of each step.
    pub(crate) group_of_step: Vec<u32>,
    /// The group of each window.
    pub(crate) group_of_window: Vec<u32>,
    /// The window that holds the distances of a pooled step.
    pub(crate) window_of_step: HashMap<u32, u32>,
}

impl Places {
    pub(crate) fn new(lowering: &Lowering, layout: &Layout) -> Self {
        let blocks = lowering.blocks().len();
        let mut out = Self {
            steps: vec![Vec::new(); blocks],
            windows: vec![Vec::new(); blocks],
            group_of_step: vec![u32::MAX; layout.steps.len()],
            group_of_window: vec![u32::MAX; layout.windows.len()],
            window_of_step: HashMap::new(),
        };
        for (step, id) in layout.steps.iter().zip(0..) {
            out.steps[step.block as usize].push(id);
        }
        for (window, id) in layout.windows.iter().zip(0..) {
            out.windows[window.block as usize].push(id);
        }
        for (group, g) in layout.groups.iter().zip(0..) {
            let (steps, windows) = (group.steps.clone(), group.windows.clone());
            out.window_of_step
                .extend(steps.clone().zip(windows.clone()));
            steps.for_each(|id| out.group_of_step[id as usize] = g);
            windows.for_each(|id| out.group_of_window[id as usize] = g);
        }
        out
    }
}

/// Evaluates steps and windows, in any order in which what they read is there.
pub(crate) struct Solver<'a> {
    pub(crate) lowering: &'a Lowering,
    pub(crate) layout: &'a Layout,
    pub(crate) places: &'a Places,
    pub(crate) lies: &'a Lies,
    pub(crate) out: &'a mut Witness,
}

impl Solver<'_> {
    fn run(&mut self, inputs: &[i64]) -> Result<(), WitnessError> {
        let expected: usize = self
            .lowering
            .blocks()
            .iter()
            .map(|b| {
                if let Block::Input { cells, .. } = b {
                    cells.len()
                } else {
                    0
                }
            })
            .sum();
        if inputs.len() != expected {
            return Err(WitnessError::InputCount {
                expected,
                got: inputs.len(),
            });
        }
        let (lowering, places) = (self.lowering, self.places);
        let mut next_input = 0;
        for (b, block) in lowering.blocks().iter().enumerate() {
            match block {
                Block::Input { cells, node, .. } => {
                    for (lane, &cell) in cells.iter().enumerate() {
                        self.input(cell, inputs[next_input + lane], *node)?;
                    }
                    next_input += cells.len();
                    for &id in &places.steps[b] {
                        self.input_step(id)?;
                    }
                }
                Block::Step { .. } => {
                    for &id in &places.steps[b] {
                        self.step(id)?;
                    }
                }
                Block::Max { .. } => {
                    for &id in &places.windows[b] {
                        self.window(id)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, var: VarId, honest: i64) -> i64 {
        let content = self.lies.vars.get(&var).copied().unwrap_or(honest);
        self.out.vars[var.0 as usize] = content;
        content
    }

    fn input(&mut self, var: VarId, value: i64, node: u32) -> Result<(), WitnessError> {
        let info = self.lowering.var(var);
        if !info.range.contains(value) {
            return Err(WitnessError::Range { node, value });
        }
        self.set(var, value - info.offset);
        Ok(())
    }

    /// The range check of an input.
    pub(crate) fn input_step(&mut self, id: u32) -> Result<(), WitnessError> {
        let StepUse { block, lane, .. } = self.layout.steps[id as usize];
        let Block::Input { cells, .. } = &self.lowering.blocks()[block as usize] else {
            return Err(WitnessError::WrongBlock { block });
        };
        let cell = cells[lane as usize];
        // Each value is a step of its own.
        let y = self.out.vars[cell.0 as usize];
        let (t, d, e) = (y, 0, 0);
        self.out.steps[id as usize] = StepCells { y, t, d, e };
        Ok(())
    }

    /// The value of a cell, as a chain of `group` sees it.
    fn value(&self, group: u32, v: VarId) -> i64 {
        let lie = self.lies.copies.get(&(group, v)).copied();
        lie.unwrap_or(self.out.vars[v.0 as usize]) + self.lowering.var(v).offset
    }

    pub(crate) fn step(&mut self, id: u32) -> Result<(), WitnessError> {
        let lowering = self.lowering;
        let step = self.layout.steps[id as usize];
        let group = self.places.group_of_step[id as usize];
        let Block::Step {
            map, lanes, node, ..
        } = &lowering.blocks()[step.block as usize]
        else {
            let block = step.block;
            return Err(WitnessError::WrongBlock { block });
        };
        let map = &lowering.maps()[*map as usize];
        let lane = lanes[step.lane as usize];
        let sums: Vec<i64> = lane
            .forms()
            .map(|form| {
                let mut sum = map.forms.constant(form as usize);
                map.forms.terms(form as usize, &mut |j, c| {
                    sum += c * match map.inputs[j] {
                        Operand::Cell(v) => self.value(group, v),
                        Operand::Const(value) => value,
                    }
                });
                sum
            })
            .collect();
        let raise = self.lies.tops.get(&id).copied().unwrap_or(0);
        // A lane has one form at least, which comes first.
        let sum = sums.iter().copied().fold(sums[0], i64::max) + raise;
        let table = &self.layout.tables[step.table as usize].table;
        let shift = self.lies.shifts.get(&id).copied().unwrap_or(0);
        let p = sum * step.multiplier + shift;
        // A liar's sum may leave the domain; the nearest row is then as good as any.
        let row = table.find(p.clamp(table.lo, table.hi));
        let in_domain = p >= table.lo && p <= table.hi;
        let row = match row {
            Some(row) if in_domain || !self.lies.is_empty() => row,
            _ => {
                return Err(WitnessError::Range {
                    node: *node,
                    value: sum,
                });
            }
        };
        let y = self.set(lane.out, row.y as i64);
        let mut row = row;
        if y != row.y as i64 && !self.lies.bare {
            // The lie is told with a row of its own, so that only the distances give it away.
            let other = table.rows.iter().filter(|r| r.y as i64 == y);
            row = other
                .min_by_key(|r| (p - table.lo - r.t as i64).abs())
                .copied()
                .unwrap_or(row);
        }
        let d = p - table.lo - row.t as i64;
        self.out.steps[id as usize] = StepCells {
            y,
            t: row.t as i64,
            d,
            e: row.width_less_one as i64 - d,
        };
        if let Some(&window) = self.places.window_of_step.get(&id) {
            let distances = &mut self.out.windows[window as usize];
            for (distance, member) in distances.iter_mut().zip(sums) {
                *distance = p - member * step.multiplier;
            }
        }
        Ok(())
    }

    pub(crate) fn window(&mut self, id: u32) -> Result<(), WitnessError> {
        let lowering = self.lowering;
        let window = self.layout.windows[id as usize];
        let group = self.places.group_of_window[id as usize];
        let Block::Max { windows, .. } = &lowering.blocks()[window.block as usize] else {
            let block = window.block;
            return Err(WitnessError::WrongBlock { block });
        };
        let (inputs, out) = &windows[window.window as usize];
        let values: Vec<i64> = inputs.iter().map(|&v| self.value(group, v)).collect();
        let offset = lowering.var(*out).offset;
        // No window is empty.
        let largest = values.iter().copied().fold(values[0], i64::max);
        let content = self.set(*out, largest - offset);
        for i in 0..MAX_FAN_IN {
            self.out.windows[id as usize][i] = content + offset - values[i.min(values.len() - 1)];
        }
        Ok(())
    }
}

/// The advice columns of a circuit, zero where nothing is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Cells by column and row, as many rows as the layout has.
    pub columns: Vec<Vec<Fp>>,
}

impl Advice {
    /// The value of a term in row `r`.
    fn term(&self, shape: &Shape, term: usize, r: usize) -> Fp {
        let mut sum = Fp::ZERO;
        shape.for_term(term, |column, bits| {
            let cell = self.columns[column][r];
            sum += match bits {
                0 => cell,
                1..64 => cell * Fp::from(1 << bits),
                _ => cell * power_of_two(bits),
            };
        });
        sum
    }

    /// Writes the sums that follow from all other cells.
    pub fn sum(&mut self, layout: &Layout) {
        self.sum_rows(layout, 0..layout.rows.len());
    }

    /// The same for some rows, the first of which continues nothing.
    pub(crate) fn sum_rows(&mut self, layout: &Layout, rows: Range<usize>) {
        let shape = &layout.shape;
        let mut sums = vec![Fp::ZERO; shape.accumulators];
        for (r, row) in rows.clone().zip(&layout.rows[rows]) {
            if !row.carry {
                sums.fill(Fp::ZERO);
            }
            for &(g, l, weight) in &row.weights {
                sums[g as usize] += weight * self.term(shape, l as usize, r);
            }
            for &(g, constant) in &row.constants {
                sums[g as usize] += constant;
            }
            if row.write {
                for (g, sum) in sums.iter().enumerate() {
                    self.columns[shape.accumulator(g)][r] = *sum;
                }
            }
        }
    }

    /// Sets the public elements, cells and values, to what the chains that read them say.
    pub fn close_public(&mut self, layout: &Layout, public: &mut [Fp]) {
        for group in &layout.groups {
            self.close_group(layout, group, public);
        }
        self.sum(layout);
    }

    /// The same for the elements of one chain; its sums are not written.
    pub(crate) fn close_group(&mut self, layout: &Layout, group: &Group, public: &mut [Fp]) {
        let shape = &layout.shape;
        let rows = group.rows.start as usize..group.rows.end as usize;
        let mut sums = vec![Fp::ZERO; shape.accumulators];
        let mut elements = Vec::new();
        for (r, row) in rows.clone().zip(&layout.rows[rows]) {
            for &(column, host) in &row.hosts {
                if let Host::Public(element) = host {
                    self.columns[column as usize][r] = Fp::ZERO;
                    elements.push((r, column as usize, element as usize));
                }
            }
            for &(g, l, weight) in &row.weights {
                sums[g as usize] += weight * self.term(shape, l as usize, r);
            }
            for &(g, constant) in &row.constants {
                sums[g as usize] += constant;
            }
        }
        for (r, column, element) in elements {
            // An element has the weight -1, in one equation.
            let own = |&&(_, l, _): &&(u32, u32, Fp)| {
                (l as usize) < shape.hosts() && shape.host(l as usize) == column
            };
            if let Some(&(g, _, _)) = layout.rows[r].weights.iter().find(own) {
                self.columns[column][r] = sums[g as usize];
                public[element] = sums[g as usize];
            }
        }
    }
}

/// The content of a cell as a signed integer, if it is a small one.
pub fn small_value(cell: &Fp) -> Option<i64> {
    let read = |f: &Fp| {
        let repr = f.to_repr();
        let (low, high) = repr.split_at(8);
        let low = u64::from_le_bytes(low.try_into().ok()?);
        (high.iter().all(|&b| b == 0) && low < 1 << 62).then_some(low as i64)
    };
    read(cell).or_else(|| read(&-cell).map(|v| -v))
}
