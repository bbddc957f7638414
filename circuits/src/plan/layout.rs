//! Where everything stands: the result of planning, which the circuit follows to the letter.

use std::collections::BTreeSet;

use pasta_curves::Fp;

use crate::chips::Shape;
use crate::lower::VarId;

use super::tables::CutTable;

/// A cell of an advice column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Index of the advice column.
    pub column: u32,
    /// Row.
    pub row: u32,
}

/// The use of a step function on one lane (or of a range check on one input).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUse {
    /// The block of the lowering.
    pub block: u32,
    /// The lane of the block, or the cell of an input block.
    pub lane: u32,
    /// What the form is multiplied with before the table is read.
    pub multiplier: i64,
    /// The table, by its place in [`Layout::tables`].
    pub table: u32,
}

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A cell of the lowering.
    Var(VarId),
    /// An element of the public values, by its row in the instance column.
    Public(u32),
}

/// One row of the circuit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The node that the row belongs to; `u32::MAX` for inputs and outputs.
    pub node: u32,
    /// `q`: the row writes the sums.
    pub write: bool,
    /// `c`: the row continues the sums of the row above.
    pub carry: bool,
    /// Copies: advice column and what it holds.
    pub hosts: Vec<(u32, Host)>,
    /// For each unit in use, the unit and its step (by its place in [`Layout::steps`]).
    pub units: Vec<(u32, u32)>,
    /// For each maximum slot in use, the slot and its window (by its place in [`Layout::windows`]).
    pub maxima: Vec<(u32, u32)>,
    /// Weights: accumulator, term, value.
    pub weights: Vec<(u32, u32, Fp)>,
    /// Constants: accumulator, value.
    pub constants: Vec<(u32, Fp)>,
}

/// A window of a maximum block, or a lane of a step block whose lanes take a maximum, by block and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxUse {
    /// The block of the lowering.
    pub block: u32,
    /// The window of the block.
    pub window: u32,
    /// Whether the slot holds the maximum itself; that of a pooled step is in its unit.
    pub has_top: bool,
}

/// A table and the bank it stands in. Its tag is its place in [`Layout::tables`] plus one.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedTable {
    /// The rows.
    pub table: CutTable,
    /// The bank.
    pub bank: usize,
}

/// A chain of rows and what it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its rows.
    pub rows: std::ops::Range<u32>,
    /// Its steps, by their place in [`Layout::steps`].
    pub steps: std::ops::Range<u32>,
    /// Its windows, by their place in [`Layout::windows`].
    pub windows: std::ops::Range<u32>,
}

/// The placement of a whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Columns.
    pub shape: Shape,
    /// Tables of steps.
    pub tables: Vec<PlacedTable>,
    /// Steps, in order of evaluation.
    pub steps: Vec<StepUse>,
    /// Windows, in order of evaluation.
    pub windows: Vec<MaxUse>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Chains, in order of rows.
    pub groups: Vec<Group>,
    /// The cell that defines each variable.
    pub homes: Vec<Cell>,
    /// Number of elements of the instance column.
    pub public_elements: usize,
}

impl Layout {
    /// The widths less one that the table of widths lists, in order; none where units have limbs.
    pub fn widths(&self) -> Vec<u64> {
        if self.shape.limbs() > 0 {
            return Vec::new();
        }
        let rows = self.tables.iter().flat_map(|placed| &placed.table.rows);
        // Idle units look up the width of a step of one integer.
        let widths: BTreeSet<u64> = rows.map(|row| row.width_less_one).chain([0]).collect();
        widths.into_iter().collect()
    }

    /// Rows of the longest table.
    pub fn table_rows(&self) -> usize {
        let mut banks = vec![1; self.shape.banks];
        for placed in &self.tables {
            banks[placed.bank] += placed.table.rows.len();
        }
        let widths: usize = self.widths().iter().map(|w| *w as usize + 1).sum();
        let limbs = if self.shape.range_columns() > 0 {
            1 << self.shape.range_bits
        } else {
            0
        };
        banks.into_iter().fold(widths.max(limbs), usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::search::bare;
    use super::super::tables::TableRow;
    use super::*;
    use crate::chips::Check;

    fn layout(check: Check, banks: usize, tables: &[(usize, &[u64])]) -> Layout {
        let shape = Shape {
            unit_banks: (0..banks).collect(),
            banks,
            ..bare(13, 5, check)
        };
        let row = |&width_less_one: &u64| TableRow {
            y: 0,
            t: 0,
            width_less_one,
        };
        let place = |&(bank, widths): &(usize, &[u64])| PlacedTable {
            table: CutTable {
                lo: 0,
                hi: 0,
                rows: widths.iter().map(row).collect(),
            },
            bank,
        };
        Layout {
            shape,
            tables: tables.iter().map(place).collect(),
            steps: Vec::new(),
            windows: Vec::new(),
            rows: Vec::new(),
            groups: Vec::new(),
            homes: Vec::new(),
            public_elements: 0,
        }
    }

    #[test]
    fn lists_each_width_once_and_that_of_idle_units() {
        let tables: &[(usize, &[u64])] = &[(0, &[3, 7, 3]), (1, &[7, 1])];
        assert_eq!(layout(Check::Width(8), 2, tables).widths(), [0, 1, 3, 7]);
        assert!(layout(Check::Limbs(1), 2, tables).widths().is_empty());
    }

    #[test]
    fn the_longest_table_is_a_bank_the_limbs_or_the_widths() {
        // Widths of 1, 2, 4 and 8 integers take a row for each pair of width and distance.
        let tables: &[(usize, &[u64])] = &[(0, &[3, 7, 3]), (1, &[7, 1])];
        assert_eq!(layout(Check::Width(8), 2, tables).table_rows(), 15);
        // Limbs of five bits.
        assert_eq!(layout(Check::Limbs(1), 2, tables).table_rows(), 32);
        // The row of idle units, and two tables of one bank.
        let (long, short) = ([0; 40], [0; 30]);
        let tables: &[(usize, &[u64])] = &[(1, &long), (0, &short), (1, &short)];
        assert_eq!(layout(Check::Limbs(1), 2, tables).table_rows(), 71);
        assert_eq!(layout(Check::Width(8), 2, tables).table_rows(), 71);
        assert_eq!(layout(Check::Width(8), 0, &[]).table_rows(), 1);
    }
}
