//! Homes for the inputs that no chain has taken in.

use crate::lower::{Block, VarId};

use super::PlanError;
use super::layout::{Cell, Host, Row, StepUse};
use super::place::{Placer, UNPLACED};

impl Placer<'_> {
    /// Gives each input a place that has none yet: bytes go to byte columns, others to units that are free, in the
    /// rows there are or in new ones. Must come last.
    pub(crate) fn inputs(&mut self, block: u32, table: Option<u32>) -> Result<(), PlanError> {
        let Block::Input { cells, node, .. } = &self.lowering.blocks()[block as usize] else {
            return Err(PlanError::WrongBlock { block });
        };
        match table {
            Some(table) => self.unit_inputs(block, cells, *node, table),
            None => self.byte_inputs(cells, *node),
        }
    }

    fn byte_inputs(&mut self, cells: &[VarId], node: u32) -> Result<(), PlanError> {
        let mut free = Vec::new();
        let mut row = 0;
        for &var in cells {
            if self.homes[var.0 as usize] != UNPLACED {
                continue;
            }
            while free.is_empty() {
                if self.shape.bytes == 0 {
                    return Err(PlanError::NoByte { node });
                }
                if row == self.rows.len() {
                    self.add_row(node);
                }
                let taken: Vec<u32> = self.rows[row].hosts.iter().map(|host| host.0).collect();
                let bytes = (0..self.shape.bytes).rev();
                let bytes = bytes.map(|l| self.shape.host(l) as u32);
                free.extend(bytes.filter(|l| !taken.contains(l)).map(|l| (row, l)));
                row += 1;
            }
            let (row, column) = free.pop().ok_or(PlanError::NoByte { node })?;
            self.rows[row].hosts.push((column, Host::Var(var)));
            self.homes[var.0 as usize] = Cell {
                column,
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
        let units = (0..self.shape.units()).filter(|&u| self.shape.unit_banks[u] == bank);
        let units: Vec<u32> = units.map(|u| u as u32).collect();
        if units.is_empty() {
            return Err(PlanError::NoUnit { bank });
        }
        let mut free: Vec<(usize, u32)> = Vec::new();
        let mut row = 0;
        for (lane, var) in cells.iter().enumerate() {
            while free.is_empty() {
                if row == self.rows.len() {
                    self.add_row(node);
                }
                let own = units.iter().rev().copied();
                free.extend(own.filter(|&u| self.is_free(row, u)).map(|u| (row, u)));
                row += 1;
            }
            let (row, unit) = free.pop().ok_or(PlanError::NoUnit { bank })?;
            let id = self.layout_steps.len() as u32;
            self.layout_steps.push(StepUse {
                block,
                lane: lane as u32,
                multiplier: 1,
                table,
            });
            self.rows[row].units.push((unit, id));
            self.homes[var.0 as usize] = Cell {
                column: self.shape.y(unit as usize) as u32,
                row: row as u32,
            };
        }
        Ok(())
    }

    /// Whether no unit, slot or copy stands in the columns of a unit.
    fn is_free(&self, row: usize, unit: u32) -> bool {
        let row = &self.rows[row];
        let slots = row.maxima.iter();
        let slots = slots.flat_map(|&(q, _)| self.shape.slot(q as usize));
        let hosts = row.hosts.iter().map(|&(column, _)| column as usize);
        let taken: Vec<usize> = slots.chain(hosts).collect();
        let free = self.shape.unit(unit as usize).all(|c| !taken.contains(&c));
        free && row.units.iter().all(|&(u, _)| u != unit)
    }

    fn add_row(&mut self, node: u32) {
        self.rows.push(Row {
            node,
            ..Row::default()
        });
    }
}
