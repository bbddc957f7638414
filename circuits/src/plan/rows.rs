//! The rows of a chain: where copies, units and slots stand.

use crate::chips::{BYTE_BITS, Shape};

use super::PlanError;
use super::layout::{Cell, Group, Host, Row};
use super::place::{Placer, UNPLACED};

/// The rows of one group: which cell of which row holds what.
pub(super) struct Chain {
    pub(super) first_row: usize,
    /// Row (within the circuit) and weighted column of each host.
    pub(super) hosts: Vec<(usize, usize)>,
    /// Row and unit of each step.
    pub(super) units: Vec<(usize, usize)>,
    /// Row and slot of each window or pooled lane.
    pub(super) slots: Vec<(usize, usize)>,
}

const WIDE: usize = 0;
const LIMB: usize = 1;
const BYTE: usize = 2;

impl Placer<'_> {
    /// Adds rows that hold these copies, one unit for each entry of `banks`, and `slots` maximum slots.
    pub(super) fn chain(
        &mut self,
        node: u32,
        hosts: &[Host],
        banks: &[usize],
        slots: usize,
    ) -> Result<Chain, PlanError> {
        let mut units = vec![0; self.shape.banks];
        banks.iter().for_each(|&bank| units[bank] += 1);
        let mut rows = minimum_rows(self.shape, hosts.len(), &units, slots);
        loop {
            if self.rows.len() + rows > self.shape.usable_rows() {
                return Err(PlanError::TooManyRows {
                    rows: self.rows.len() + rows,
                    usable: self.shape.usable_rows(),
                });
            }
            if let Some(chain) = self.try_chain(node, hosts, banks, slots, rows) {
                return Ok(chain);
            }
            rows += 1;
        }
    }

    fn try_chain(
        &mut self,
        node: u32,
        hosts: &[Host],
        banks: &[usize],
        slots: usize,
        rows: usize,
    ) -> Option<Chain> {
        let first_row = self.rows.len();
        let units = spread_units(self.shape, banks, rows)?;
        let mut new_rows = vec![
            Row {
                node,
                ..Row::default()
            };
            rows
        ];
        let mut busy = vec![vec![false; self.shape.advice_columns()]; rows];
        for (i, row) in new_rows.iter_mut().enumerate() {
            row.write = i + 1 < rows;
            row.carry = i > 0;
        }
        for &(row, unit) in &units {
            self.unit_columns(unit)
                .for_each(|column| busy[row][column] = true);
        }
        let mut placed_slots = Vec::with_capacity(slots);
        for row in (0..rows).cycle().take(rows * self.shape.maxima) {
            if placed_slots.len() == slots {
                break;
            }
            let free = (0..self.shape.maxima).find(|&q| self.shape.slot(q).all(|c| !busy[row][c]));
            if let Some(q) = free {
                self.shape.slot(q).for_each(|c| busy[row][c] = true);
                placed_slots.push((row, q));
            }
        }
        if placed_slots.len() < slots {
            return None;
        }
        let placed = self.place_hosts(hosts, first_row, &mut new_rows, &busy)?;
        self.rows.extend(new_rows);
        let count = |done: usize, new: usize| done as u32..(done + new) as u32;
        self.groups.push(Group {
            rows: count(first_row, rows),
            steps: count(self.layout_steps.len(), banks.len()),
            windows: count(self.windows.len(), slots),
        });
        Some(Chain {
            first_row,
            hosts: placed
                .into_iter()
                .map(|(row, l)| (first_row + row, l))
                .collect(),
            units: units
                .into_iter()
                .map(|(row, unit)| (first_row + row, unit))
                .collect(),
            slots: placed_slots
                .into_iter()
                .map(|(row, q)| (first_row + row, q))
                .collect(),
        })
    }

    /// Puts each copy into a free weighted column. Copies of values that a limb could not hold go to columns without
    /// a range check; an 8-bit input that has no home yet makes one of a byte cell, if there is one left.
    fn place_hosts(
        &mut self,
        hosts: &[Host],
        first_row: usize,
        rows: &mut [Row],
        busy: &[Vec<bool>],
    ) -> Option<Vec<(usize, usize)>> {
        let limbs = self.shape.range(0)..self.shape.range(self.shape.range_columns());
        let mut free = [Vec::new(), Vec::new(), Vec::new()];
        for (row, busy) in busy.iter().enumerate() {
            for l in (0..self.shape.weighted_columns()).rev() {
                let column = self.shape.weighted(l);
                let kind = match column {
                    c if busy[c] => continue,
                    c if self.shape.holds_bytes(c) => BYTE,
                    c if limbs.contains(&c) => LIMB,
                    _ => WIDE,
                };
                free[kind].push((row, l));
            }
        }
        let mut free = free.map(|list| list.into_iter());
        let mut take = |kinds: &[usize]| kinds.iter().find_map(|&kind| free[kind].next());
        let mut out = vec![(0, 0); hosts.len()];
        let orders: Vec<(usize, &[usize])> = hosts
            .iter()
            .enumerate()
            .map(|(i, host)| (i, self.host_order(host)))
            .collect();
        // Those that can stand in few columns choose first, then those that would like a byte.
        for pass in [&[WIDE][..], &[BYTE, WIDE, LIMB], &[WIDE, LIMB, BYTE]] {
            for &(i, order) in orders.iter().filter(|(_, order)| *order == pass) {
                out[i] = take(order)?;
            }
        }
        for (host, &(row, l)) in hosts.iter().zip(&out) {
            let column = self.shape.weighted(l);
            rows[row].hosts.push((column as u32, *host));
            if let Host::Var(v) = host {
                let home = &mut self.homes[v.0 as usize];
                if *home == UNPLACED
                    && self.shape.holds_bytes(column)
                    && self.is_byte_input[v.0 as usize]
                {
                    *home = Cell {
                        column: column as u32,
                        row: (first_row + row) as u32,
                    };
                }
            }
        }
        Some(out)
    }

    /// The kinds of columns that a copy may stand in, best first.
    fn host_order(&self, host: &Host) -> &'static [usize] {
        let Host::Var(v) = host else { return &[WIDE] };
        let info = &self.lowering.vars[v.0 as usize];
        let largest = info.range.hi - info.offset;
        if largest >= 1 << BYTE_BITS.max(self.shape.range_bits) {
            &[WIDE]
        } else if largest < 1 << BYTE_BITS {
            let homeless = self.homes[v.0 as usize] == UNPLACED;
            if homeless && self.is_byte_input[v.0 as usize] {
                &[BYTE, WIDE, LIMB]
            } else {
                &[WIDE, LIMB, BYTE]
            }
        } else {
            &[WIDE]
        }
    }
}

/// The fewest rows that a chain of so many copies, units (of each bank) and slots can have.
pub(crate) fn minimum_rows(shape: &Shape, hosts: usize, units: &[usize], slots: usize) -> usize {
    let total: usize = units.iter().sum();
    let taken = total * (2 + shape.limbs) + slots * shape.slot_columns();
    let mut rows = (hosts + taken).div_ceil(shape.weighted_columns()).max(1);
    let mut unit_rows = 0;
    for (bank, &need) in units.iter().enumerate() {
        let have = shape.unit_banks.iter().filter(|&&b| b == bank).count();
        unit_rows = unit_rows.max(need.div_ceil(have.max(1)));
    }
    rows = rows.max(unit_rows);
    if shape.maxima == 0 {
        return rows;
    }
    // Slots that share the columns of the units are in other rows than these.
    let other_rows = if shape.max_base == 0 { unit_rows } else { 0 };
    rows.max(slots.div_ceil(shape.maxima) + other_rows)
}

/// A unit of the right bank for each step, spread evenly over the rows.
fn spread_units(shape: &Shape, banks: &[usize], rows: usize) -> Option<Vec<(usize, usize)>> {
    let mut out = vec![(0, 0); banks.len()];
    for bank in 0..shape.banks {
        let units: Vec<_> = (0..shape.units())
            .filter(|&u| shape.unit_banks[u] == bank)
            .collect();
        let steps: Vec<_> = (0..banks.len()).filter(|&i| banks[i] == bank).collect();
        if steps.len() > units.len() * rows {
            return None;
        }
        let per_row = steps.len().div_ceil(rows);
        for (n, i) in steps.into_iter().enumerate() {
            out[i] = (n / per_row.max(1), units[n % per_row.max(1)]);
        }
    }
    Some(out)
}
