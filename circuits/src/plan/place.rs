//! Placement: from blocks to rows.
//!
//! # Chains
//!
//! A *group* of lanes becomes a chain of rows. Its rows hold a copy of every cell that its lanes read, and the units
//! (or maximum slots) whose results the lanes define; the weights make each accumulator state one packed equation
//! ([`super::pack`]).
//!
//! | lane     | `V` (earlier cells)            | `D` (cells of the chain)          | window                    |
//! |----------|--------------------------------|-----------------------------------|---------------------------|
//! | step     | `m·form - lo`                  | `t + d`                           | domain of the table       |
//! | pooled   | `K + m·form_i - lo`            | `K + t + d - f_i`                 | that, plus `K = 2^{r·F}`  |
//! | maximum  | `2K - y_i + M - f_i`           | `2K`, a constant                  | `4·K`                     |
//! | public   | `value + offset`               | digit of the public element       | bits of the public type   |
//!
//! Here `t`, `d`, `M` and `f_i` are cells of the chain, `d = Σ 2^{r·j}·d_j` and `f_i = Σ 2^{r·j}·f_{i,j}` with limbs of
//! `r` bits, `F` of them in a distance.
//!
//! # Soundness of pooled steps
//!
//! The lanes say `m·form_i - lo = t + d - f_i` for every member `i` of the window, where `t + d` lies in the domain of
//! the table (the step lookup) and `0 ≤ f_i < K` (range checks), so both sides stay in the window. One `f_i` is zero
//! (the product gate), and none is negative: `t + d` is the largest form, and all `f_i` are forced. The rule is
//! non-decreasing, so its value there is the largest value.
//!
//! # Soundness of maxima
//!
//! `M` and `f_i` are range-checked, the inputs `y_i`, counted from the offset of `M`, have enforced ranges below
//! `K = 2^{r·F}`, as is `M`, so
//! `M - f_i - y_i` lies strictly between `-2·K` and `K`, and every `V` is in its window. So
//! `f_i = M - y_i ≥ 0` for every input and, by the product gate, some `f_i = 0`: `M` is the maximum, and every `f_i`
//! is forced. A window of fewer than four inputs repeats its last input, and its distance with it.

use std::collections::HashMap;

use ff::{Field, PrimeField};
use pasta_curves::Fp;

use crate::chips::{BYTE_BITS, MAX_FAN_IN, Shape, power_of_two};
use crate::lower::{Block, Lowering, Operand, VarId, Wire};

use super::layout::{Cell, Group, Host, Layout, MaxUse, PlacedTable, Row, StepUse};
use super::pack::{LanePlace, positions, window_bits};
use super::rows::{Chain, Needs};
use super::tables::CutTable;
use super::{PlanError, PublicElement};

pub(super) const UNPLACED: Cell = Cell {
    column: u32::MAX,
    row: u32::MAX,
};

/// Places blocks one after the other.
pub(crate) struct Placer<'a> {
    pub(super) shape: &'a Shape,
    pub(super) lowering: &'a Lowering,
    pub(super) tables: Vec<PlacedTable>,
    pub(super) layout_steps: Vec<StepUse>,
    pub(super) windows: Vec<MaxUse>,
    pub(super) rows: Vec<Row>,
    pub(super) groups: Vec<Group>,
    pub(super) homes: Vec<Cell>,
    pub(super) is_byte_input: Vec<bool>,
    pub(super) powers: Vec<Fp>,
}

/// Weights of one group, by cell of the group and accumulator.
struct Weights {
    accumulators: usize,
    values: Vec<Fp>,
    constants: Vec<Fp>,
}

impl Weights {
    fn new(cells: usize, accumulators: usize) -> Self {
        Self {
            accumulators,
            values: vec![Fp::ZERO; cells * accumulators],
            constants: vec![Fp::ZERO; accumulators],
        }
    }

    fn add(&mut self, cell: usize, accumulator: usize, weight: Fp) {
        self.values[cell * self.accumulators + accumulator] += weight;
    }
}

/// `v` as a field element.
pub(crate) fn field(v: i128) -> Fp {
    let magnitude = Fp::from_u128(v.unsigned_abs());
    if v.is_negative() {
        -magnitude
    } else {
        magnitude
    }
}

impl<'a> Placer<'a> {
    pub(crate) fn new(shape: &'a Shape, lowering: &'a Lowering, tables: Vec<PlacedTable>) -> Self {
        let mut is_byte_input = vec![false; lowering.vars().len()];
        for block in lowering.blocks() {
            if let Block::Input { cells, range, .. } = block {
                let byte = range.hi - range.lo == (1 << BYTE_BITS) - 1;
                cells
                    .iter()
                    .for_each(|v| is_byte_input[v.0 as usize] = byte);
            }
        }
        Self {
            is_byte_input,
            shape,
            lowering,
            tables,
            layout_steps: Vec::new(),
            windows: Vec::new(),
            // Row 0 stays free of sums: halo2's checker cannot report a failure there, where the row above is hidden.
            rows: vec![Row {
                node: u32::MAX,
                ..Row::default()
            }],
            groups: Vec::new(),
            homes: vec![UNPLACED; lowering.vars().len()],
            powers: (0..super::pack::CAPACITY_BITS).map(power_of_two).collect(),
        }
    }

    /// Finishes: nothing may be left without a place.
    pub(crate) fn finish(self, public_elements: usize) -> Result<Layout, PlanError> {
        let usable = self.shape.usable_rows();
        if self.rows.len() > usable {
            return Err(PlanError::TooManyRows {
                rows: self.rows.len(),
                usable,
            });
        }
        Ok(Layout {
            shape: self.shape.clone(),
            tables: self.tables,
            steps: self.layout_steps,
            windows: self.windows,
            rows: self.rows,
            groups: self.groups,
            homes: self.homes,
            public_elements,
        })
    }

    /// A chain that proves `lanes` (steps of block `block`): form, multiplier and table of each.
    pub(crate) fn step_group(
        &mut self,
        block: u32,
        lanes: &[(u32, i64, u32)],
    ) -> Result<(), PlanError> {
        let lowering = self.lowering;
        let Block::Step {
            map,
            lanes: all,
            node,
            ..
        } = &lowering.blocks()[block as usize]
        else {
            return Err(PlanError::WrongBlock { block });
        };
        let map = &lowering.maps()[*map as usize];
        let mut cells: HashMap<VarId, usize> = HashMap::new();
        let mut order = Vec::new();
        for &(lane, _, _) in lanes {
            for form in all[lane as usize].forms() {
                map.forms.terms(form as usize, &mut |j, _| {
                    if let Operand::Cell(v) = map.inputs[j] {
                        cells.entry(v).or_insert_with(|| {
                            order.push(v);
                            order.len() - 1
                        });
                    }
                });
            }
        }
        let pooled = lanes
            .first()
            .is_some_and(|l| all[l.0 as usize].others.is_some());
        // Lanes of one bank in turns, so that each bank's units are busy in all classes.
        let mut lanes = lanes.to_vec();
        lanes.sort_by_key(|&(_, _, table)| self.tables[table as usize].bank);
        let lanes = lanes.as_slice();
        let windows: Vec<_> = lanes
            .iter()
            .map(|&(lane, _, t)| {
                let bits = step_lane_bits(self.shape, &self.tables[t as usize].table, pooled);
                (all[lane as usize].forms().count(), bits)
            })
            .collect();
        let placed = self.positions(&windows, *node)?;
        let hosts: Vec<_> = order.iter().map(|&v| Host::Var(v)).collect();
        let steps: Vec<_> = lanes
            .iter()
            .map(|&(lane, multiplier, table)| StepUse {
                block,
                lane,
                multiplier,
                table,
            })
            .collect();
        let banks = steps.iter().map(|s| self.tables[s.table as usize].bank);
        let classes = placed.iter().map(|p| p.class);
        let needs = Needs {
            units: classes.clone().zip(banks).collect(),
            slots: classes.filter(|_| pooled).collect(),
        };
        let chain = self.chain(*node, &hosts, &needs)?;

        let mut weights = Weights::new(hosts.len(), self.shape.accumulators);
        for (&(lane, multiplier, table), place) in lanes.iter().zip(&placed) {
            let lo = i128::from(self.tables[table as usize].table.lo);
            let forms = all[lane as usize].forms().zip(&place.forms);
            for (form, &(equation, position)) in forms {
                let shift = self.powers[position as usize];
                let mut constant = i128::from(map.forms.constant(form as usize));
                map.forms
                    .terms(form as usize, &mut |j, c| match map.inputs[j] {
                        Operand::Cell(v) => {
                            let weight = i128::from(c) * i128::from(multiplier);
                            weights.add(cells[&v], equation, field(weight) * shift);
                            constant += i128::from(c) * i128::from(lowering.var(v).offset);
                        }
                        Operand::Const(value) => constant += i128::from(c) * i128::from(value),
                    });
                weights.constants[equation] +=
                    field(constant * i128::from(multiplier) - lo) * shift;
            }
        }
        self.write_weights(&chain, &weights)?;
        for (i, (step, &(row, unit))) in steps.iter().zip(&chain.units).enumerate() {
            let lane = all[step.lane as usize];
            let id = self.layout_steps.len() as u32;
            self.layout_steps.push(*step);
            self.rows[row].units.push((unit as u32, id));
            self.homes[lane.out.0 as usize] = Cell {
                column: self.shape.y(unit) as u32,
                row: row as u32,
            };
            for (member, &(equation, position)) in placed[i].forms.iter().enumerate() {
                let shift = self.powers[position as usize];
                // Limbs may reach beyond the window; the table keeps `t + d` inside it.
                self.weigh(row, self.shape.unit_term(unit), equation, -shift)?;
                if pooled {
                    let (row, slot) = chain.slots[i];
                    let term = self.shape.distance_term(slot, member);
                    self.weigh(row, term, equation, shift)?;
                }
            }
            if pooled {
                let (row, slot) = chain.slots[i];
                let id = self.windows.len() as u32;
                self.windows.push(MaxUse {
                    block,
                    window: step.lane,
                    has_top: false,
                });
                self.rows[row].maxima.push((slot as u32, id));
            }
        }
        Ok(())
    }

    /// Where each lane stands, of so many forms and bits a form.
    fn positions(&self, lanes: &[(usize, u32)], node: u32) -> Result<Vec<LanePlace>, PlanError> {
        let (equations, classes) = (self.shape.accumulators, self.shape.classes());
        positions(lanes, equations, classes).ok_or(PlanError::TooManyLanes {
            node,
            lanes: lanes.len(),
            accumulators: self.shape.accumulators,
        })
    }

    /// A chain that proves maxima.
    pub(crate) fn max_group(&mut self, block: u32, windows: &[u32]) -> Result<(), PlanError> {
        let lowering = self.lowering;
        let Block::Max { windows: all, node } = &lowering.blocks()[block as usize] else {
            return Err(PlanError::WrongBlock { block });
        };
        let mut cells: HashMap<VarId, usize> = HashMap::new();
        let mut order = Vec::new();
        for &w in windows {
            for &v in &all[w as usize].0 {
                cells.entry(v).or_insert_with(|| {
                    order.push(Host::Var(v));
                    order.len() - 1
                });
            }
        }
        if !self.shape.max_top {
            return Err(PlanError::NoSlot { node: *node });
        }
        let bits = max_lane_bits(self.shape);
        let placed = self.positions(&vec![(MAX_FAN_IN, bits); windows.len()], *node)?;
        let needs = Needs {
            units: Vec::new(),
            slots: placed.iter().map(|p| p.class).collect(),
        };
        let chain = self.chain(*node, &order, &needs)?;
        let mut weights = Weights::new(order.len(), self.shape.accumulators);
        let mut own = Vec::new();
        for (i, &w) in windows.iter().enumerate() {
            let (inputs, out) = &all[w as usize];
            let (row, slot) = chain.slots[i];
            let top = self.shape.top(slot);
            let id = self.windows.len() as u32;
            self.windows.push(MaxUse {
                block,
                window: w,
                has_top: true,
            });
            self.rows[row].maxima.push((slot as u32, id));
            self.homes[out.0 as usize] = Cell {
                column: top as u32,
                row: row as u32,
            };
            let out_offset = lowering.var(*out).offset;
            for j in 0..MAX_FAN_IN {
                let input = inputs[j.min(inputs.len() - 1)];
                let info = lowering.var(input);
                let limit = 1i64 << self.shape.range_bits;
                if info.range.hi - out_offset >= limit {
                    return Err(PlanError::WideMaximum {
                        node: *node,
                        bits: self.shape.range_bits,
                    });
                }
                let (equation, position) = placed[i].forms[j];
                let shift = self.powers[position as usize];
                own.push((row, self.shape.top_term(slot), equation, shift));
                own.push((row, self.shape.distance_term(slot, j), equation, -shift));
                weights.add(cells[&input], equation, -shift);
                weights.constants[equation] += field(i128::from(out_offset - info.offset)) * shift;
            }
        }
        self.write_weights(&chain, &weights)?;
        for (row, term, equation, weight) in own {
            self.weigh(row, term, equation, weight)?;
        }
        Ok(())
    }

    /// A chain that ties public elements to the values they carry.
    pub(crate) fn public_group(&mut self, elements: &[PublicElement]) -> Result<(), PlanError> {
        let lowering = self.lowering;
        if elements.len() > self.shape.accumulators {
            return Err(PlanError::TooManyLanes {
                node: u32::MAX,
                lanes: elements.len(),
                accumulators: self.shape.accumulators,
            });
        }
        let mut cells: HashMap<VarId, usize> = HashMap::new();
        let mut hosts: Vec<Host> = elements.iter().map(|e| Host::Public(e.row)).collect();
        let mut terms: Vec<(usize, usize, Fp)> = Vec::new();
        let mut constants = vec![Fp::ZERO; elements.len()];
        for (equation, element) in elements.iter().enumerate() {
            terms.push((equation, equation, -Fp::ONE));
            for (digit, &wire) in element.values.iter().enumerate() {
                let shift = self.powers[digit * element.bits as usize];
                let mut constant = i128::from(element.offset);
                let mut cell = |v: VarId, c: i64, constant: &mut i128| {
                    let at = *cells.entry(v).or_insert_with(|| {
                        hosts.push(Host::Var(v));
                        hosts.len() - 1
                    });
                    *constant += i128::from(c) * i128::from(lowering.var(v).offset);
                    terms.push((at, equation, field(i128::from(c)) * shift));
                };
                match wire {
                    Wire::Cell(v) => cell(v, 1, &mut constant),
                    Wire::Const(value) => constant += i128::from(value),
                    Wire::Sum { map, index } => {
                        let map = &lowering.maps()[map as usize];
                        constant += i128::from(map.forms.constant(index as usize));
                        map.forms
                            .terms(index as usize, &mut |j, c| match map.inputs[j] {
                                Operand::Cell(v) => cell(v, c, &mut constant),
                                Operand::Const(value) => {
                                    constant += i128::from(c) * i128::from(value)
                                }
                            });
                    }
                }
                constants[equation] += field(constant) * shift;
            }
        }
        let chain = self.chain(u32::MAX, &hosts, &Needs::default())?;
        let mut weights = Weights::new(hosts.len(), self.shape.accumulators);
        for (at, equation, weight) in terms {
            weights.add(at, equation, weight);
        }
        weights.constants[..elements.len()].copy_from_slice(&constants);
        self.write_weights(&chain, &weights)?;
        Ok(())
    }

    /// Adds a weight. One that has no column is an error: an equation without it would say something else.
    fn weigh(
        &mut self,
        row: usize,
        term: usize,
        accumulator: usize,
        weight: Fp,
    ) -> Result<(), PlanError> {
        if !self.shape.weighs(accumulator, term) {
            return Err(PlanError::NoWeight { accumulator, term });
        }
        self.rows[row]
            .weights
            .push((accumulator as u32, term as u32, weight));
        Ok(())
    }

    fn write_weights(&mut self, chain: &Chain, weights: &Weights) -> Result<(), PlanError> {
        let equations = 0..weights.accumulators;
        for (cell, &(row, l)) in chain.hosts.iter().enumerate() {
            for g in equations.clone() {
                let weight = weights.values[cell * weights.accumulators + g];
                if !bool::from(weight.is_zero()) {
                    self.weigh(row, l, g, weight)?;
                }
            }
        }
        let last = self.rows.len() - 1;
        debug_assert!(last >= chain.first_row);
        for g in equations {
            if !bool::from(weights.constants[g].is_zero()) {
                self.rows[last]
                    .constants
                    .push((g as u32, weights.constants[g]));
            }
        }
        Ok(())
    }
}

/// Bits of one lane of a maximum.
pub(crate) fn max_lane_bits(shape: &Shape) -> u32 {
    window_bits(4 << (shape.range_bits as usize * shape.max_limbs).min(120))
}

/// Bits of one form of a step lane.
pub(crate) fn step_lane_bits(shape: &Shape, table: &CutTable, pooled: bool) -> u32 {
    lane_bits(shape, table.lo, table.hi, pooled)
}

/// The same for a table on `[lo, hi]`.
pub(super) fn lane_bits(shape: &Shape, lo: i64, hi: i64, pooled: bool) -> u32 {
    let distance = if pooled {
        1u128 << (shape.range_bits as usize * shape.max_limbs).min(120)
    } else {
        0
    };
    window_bits((i128::from(hi) - i128::from(lo) + 1) as u128 + distance).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::search::bare;
    use super::*;
    use crate::chips::Check;
    use crate::lower::Collector;
    use crate::program::Range;

    /// `V` and `D` of every lane, at the ends that the cells of a chain admit, lie in their windows.
    #[test]
    fn windows_hold_all_that_the_cells_admit() {
        for (range_bits, max_limbs) in [(8, 1), (9, 4), (12, 3)] {
            let shape = shape(range_bits, max_limbs);
            let k = 1i128 << (range_bits as usize * max_limbs);
            // A maximum, and its inputs, are below K: 2K - y + M - f reaches from 2 to 3K - 1.
            let largest = 2 * k + (k - 1);
            assert!(largest < 1 << max_lane_bits(&shape));
            for (lo, hi) in [(0, 0), (-5, 4_000), (7, 1 << 40)] {
                let size = i128::from(hi) - i128::from(lo) + 1;
                // t + d - f, counted from 1 - K.
                let pooled = (size - 1) + (k - 1);
                assert!(pooled < 1 << lane_bits(&shape, lo, hi, true));
                assert!(size - 1 < 1 << lane_bits(&shape, lo, hi, false));
                // And are no wider than that takes.
                let bits = |size: i128| 128 - (size - 1).leading_zeros();
                assert_eq!(lane_bits(&shape, lo, hi, true), bits(size + k));
                assert_eq!(lane_bits(&shape, lo, hi, false), bits(size).max(1));
            }
        }
    }

    fn shape(range_bits: u32, max_limbs: usize) -> Shape {
        Shape {
            maxima: 1,
            max_limbs,
            max_top: true,
            bytes: 4,
            plain: 4,
            ..bare(6, range_bits, Check::Limbs(1))
        }
    }

    #[test]
    fn distances_beyond_any_equation_count_as_that_wide() {
        assert_eq!(lane_bits(&shape(16, 7), 0, 0, true), 113);
        assert_eq!(lane_bits(&shape(20, 6), 0, 0, true), 121);
        assert_eq!(lane_bits(&shape(11, 11), 0, 0, true), 121);
        assert_eq!(max_lane_bits(&shape(11, 11)), 122);
    }

    #[test]
    fn rejects_maxima_of_values_wider_than_a_limb() {
        for (hi, fits) in [(15, true), (16, false)] {
            let mut collector = Collector::new();
            let x = collector.inputs(0, 2, Range::new(0, hi)).unwrap();
            let largest = collector.node(3).max("test", vec![x]).unwrap();
            let lowering = collector.finish(largest.iter()).unwrap();
            let shape = shape(4, 1);
            let mut placer = Placer::new(&shape, &lowering, Vec::new());
            let placed = placer.max_group(1, &[0]);
            let refused = PlanError::WideMaximum { node: 3, bits: 4 };
            assert_eq!(placed, if fits { Ok(()) } else { Err(refused) });
        }
    }
}
