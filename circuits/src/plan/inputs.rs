//! Homes for the inputs that no chain has taken in.

use crate::lower::{Block, VarId};

use super::PlanError;
use super::layout::{Cell, Host, Row, StepUse};
use super::place::{Placer, UNPLACED};

impl Placer<'_> {
    /// Gives each input a place that has none yet: bytes go to byte columns, others to units that are free, in the
    /// rows there are or in new ones. Must come last.
    pub(crate) fn inputs(&mut self, block: u32, table: Option<u32>) -> Result<(), PlanError> {
        let Block::Input { cells, node, .. } = &self.lowering.blocks[block as usize] else {
            return Err(PlanError::WrongBlock { block });
        };
        match table {
            Some(table) => self.unit_inputs(block, cells, *node, table),
            None => self.byte_inputs(cells, *node),
        }
    }

    fn byte_inputs(&mut self, cells: &[VarId], node: u32) -> Result<(), PlanError> {
        let columns: Vec<usize> = (0..self.shape.accumulator(0))
            .filter(|&c| self.shape.weight_index(c).is_some())
            .collect();
        let columns: Vec<usize> = columns
            .into_iter()
            .filter(|&c| self.shape.holds_bytes(c))
            .collect();
        let free_in = |placer: &Self, row: usize| -> Vec<(usize, usize)> {
            let busy = placer.busy(&placer.rows[row]);
            columns
                .iter()
                .filter(|&&c| !busy[c])
                .map(|&c| (row, c))
                .collect()
        };
        let mut row = 0;
        let mut free = Vec::new();
        for &var in cells {
            if self.homes[var.0 as usize] != UNPLACED {
                continue;
            }
            while free.is_empty() {
                if row == self.rows.len() {
                    if columns.is_empty() {
                        return Err(PlanError::NoUnit { bank: 0 });
                    }
                    self.rows.push(Row {
                        node,
                        ..Row::default()
                    });
                }
                free = free_in(self, row);
                row += 1;
            }
            let (row, column) = free.remove(0);
            self.rows[row].hosts.push((column as u32, Host::Var(var)));
            self.homes[var.0 as usize] = Cell {
                column: column as u32,
                row: row as u32,
            };
        }
        Ok(())
    }

    fn unit_inputs(
        &mut self,
        block: u32,
        cells: &[VarId],
        node: u32,
        table: u32,
    ) -> Result<(), PlanError> {
        let bank = self.tables[table as usize].bank;
        let units: Vec<_> = (0..self.shape.units())
            .filter(|&u| self.shape.unit_banks[u] == bank)
            .collect();
        let mut free = Vec::new();
        for (row, content) in self.rows.iter().enumerate() {
            free.extend(
                units
                    .iter()
                    .filter(|&&u| self.unit_is_free(content, u))
                    .map(|&u| (row, u)),
            );
        }
        let mut free = free.into_iter();
        for (lane, var) in cells.iter().enumerate() {
            let (row, unit) = match free.next() {
                Some(found) => found,
                None => {
                    self.rows.push(Row {
                        node,
                        ..Row::default()
                    });
                    let row = self.rows.len() - 1;
                    free = units
                        .iter()
                        .map(|&u| (row, u))
                        .collect::<Vec<_>>()
                        .into_iter();
                    free.next().ok_or(PlanError::NoUnit { bank })?
                }
            };
            let id = self.layout_steps.len() as u32;
            self.layout_steps.push(StepUse {
                block,
                lane: lane as u32,
                multiplier: 1,
                table,
            });
            self.rows[row].units.push((unit as u32, id));
            // The limb itself is the value: `y = t = 0`, and all higher limbs are forced to zero.
            self.homes[var.0 as usize] = Cell {
                column: self.shape.d(unit, 0) as u32,
                row: row as u32,
            };
        }
        Ok(())
    }

    /// Which advice columns of a row hold something.
    pub(super) fn busy(&self, row: &Row) -> Vec<bool> {
        let mut busy = vec![false; self.shape.advice_columns()];
        for &(u, _) in &row.units {
            self.unit_columns(u as usize).for_each(|c| busy[c] = true);
        }
        row.maxima
            .iter()
            .flat_map(|&(q, _)| self.shape.slot(q as usize))
            .for_each(|c| busy[c] = true);
        row.hosts.iter().for_each(|&(c, _)| busy[c as usize] = true);
        busy
    }

    pub(super) fn unit_columns(&self, unit: usize) -> impl Iterator<Item = usize> + '_ {
        let limbs =
            (0..self.shape.limbs).flat_map(move |i| [self.shape.d(unit, i), self.shape.e(unit, i)]);
        [self.shape.y(unit), self.shape.t(unit)]
            .into_iter()
            .chain(limbs)
    }

    fn unit_is_free(&self, row: &Row, unit: usize) -> bool {
        let busy = self.busy(row);
        self.unit_columns(unit).all(|column| !busy[column])
    }
}
