//! The permutation that copies define on the cells of the columns under it.

use std::collections::HashMap;

use zkonnx_verifier::cs::Column;

/// A column of a copy is not under the permutation, or a row is outside the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of {column:?} is not under the permutation")]
pub struct NotInPermutation {
    /// The column.
    pub column: Column,
    /// The row.
    pub row: usize,
}

/// Cycles of equal cells, merged copy by copy.
///
/// Which cell follows which in a cycle depends on the order of the merges; it enters the verifying key, so the order of
/// operations is the one that halo2 documents.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    positions: HashMap<Column, usize>,
    rows: usize,
    /// The next cell of the cycle of each cell; cell `row` of column `position` is `position·rows + row`.
    next: Vec<u32>,
    /// The distinguished cell of each cell's cycle.
    representative: Vec<u32>,
    /// The length of the cycle of each distinguished cell.
    size: Vec<u32>,
}

impl Assembly {
    /// No copies yet, over `rows` rows of `columns`. At most `2^32` cells.
    pub(crate) fn new(columns: &[Column], rows: usize) -> Self {
        let cells = (columns.len() * rows) as u32;
        Self {
            positions: columns
                .iter()
                .enumerate()
                .map(|(i, column)| (*column, i))
                .collect(),
            rows,
            next: (0..cells).collect(),
            representative: (0..cells).collect(),
            size: vec![1; cells as usize],
        }
    }

    fn cell(&self, (column, row): (Column, usize)) -> Result<usize, NotInPermutation> {
        let position = self.positions.get(&column).filter(|_| row < self.rows);
        position
            .map(|position| position * self.rows + row)
            .ok_or(NotInPermutation { column, row })
    }

    /// Makes two cells equal.
    pub(crate) fn copy(
        &mut self,
        left: (Column, usize),
        right: (Column, usize),
    ) -> Result<(), NotInPermutation> {
        let (left, right) = (self.cell(left)?, self.cell(right)?);
        let (mut keep, mut merge) = (self.representative[left], self.representative[right]);
        if keep == merge {
            return Ok(());
        }
        if self.size[keep as usize] < self.size[merge as usize] {
            std::mem::swap(&mut keep, &mut merge);
        }
        self.size[keep as usize] += self.size[merge as usize];
        let mut cell = merge;
        loop {
            self.representative[cell as usize] = keep;
            cell = self.next[cell as usize];
            if cell == merge {
                break;
            }
        }
        self.next.swap(left, right);
        Ok(())
    }

    /// The next cell of each cell's cycle.
    pub(crate) fn into_mapping(self) -> Vec<u32> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zkonnx_verifier::cs::ColumnKind;

    const A: Column = Column {
        kind: ColumnKind::Advice,
        index: 0,
    };
    const B: Column = Column {
        kind: ColumnKind::Fixed,
        index: 0,
    };

    #[test]
    fn accepts_copies_and_makes_cycles() {
        let mut assembly = Assembly::new(&[A, B], 4);
        assembly.copy((A, 0), (B, 1)).unwrap();
        assembly.copy((B, 1), (A, 3)).unwrap();
        assembly.copy((A, 3), (A, 0)).unwrap();
        let mapping = assembly.into_mapping();
        let mut cell = 0;
        let mut cycle = vec![];
        for _ in 0..3 {
            cell = mapping[cell] as usize;
            cycle.push(cell);
        }
        cycle.sort_unstable();
        assert_eq!(cycle, [0, 3, 5]);
        assert_eq!(mapping[1], 1);
    }

    #[test]
    fn rejects_cells_outside() {
        let mut assembly = Assembly::new(&[A], 4);
        assert_eq!(
            assembly.copy((A, 0), (B, 1)),
            Err(NotInPermutation { column: B, row: 1 })
        );
        assert_eq!(
            assembly.copy((A, 4), (A, 1)),
            Err(NotInPermutation { column: A, row: 4 })
        );
    }
}
