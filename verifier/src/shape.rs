//! What follows from a constraint system: degrees, blinding rows, the columns of a permutation product. The numbers
//! are halo2's, because the proof's length and the order of its parts depend on them.

use alloc::vec::Vec;

use crate::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Query};
use crate::error::KeyError;

/// Smallest supported circuit: 2^4 rows.
pub const MIN_K: u32 = 4;
/// Largest supported circuit: 2^15 rows, the largest for which parameters are pinned. Planners, provers and verifiers all
/// stop here, so that nothing is planned or proved that cannot be verified.
pub const MAX_K: u32 = 15;
/// Largest number of columns of each kind.
pub const MAX_COLUMNS: usize = 4096;
/// Largest number of queries of each kind.
pub const MAX_QUERIES: usize = 8192;
/// Largest number of gates.
pub const MAX_GATES: usize = 8192;
/// Largest number of lookup arguments.
pub const MAX_LOOKUPS: usize = 1024;
/// Largest number of columns of one lookup argument.
pub const MAX_LOOKUP_WIDTH: usize = 64;
/// Largest number of expression nodes of a key.
pub const MAX_NODES: usize = 1 << 18;
/// Largest degree of the constraints.
pub const MAX_DEGREE: u32 = 16;

impl Lookup {
    /// The degree that the argument needs: at least 4, else 2 + input degree + table degree.
    pub fn required_degree(&self) -> u32 {
        let largest = |list: &[Expression]| {
            list.iter()
                .map(Expression::degree)
                .max()
                .unwrap_or(0)
                .max(1)
        };
        largest(&self.inputs)
            .saturating_add(largest(&self.tables))
            .saturating_add(2)
            .max(4)
    }
}

impl ConstraintSystem {
    /// The degree of the constraints, arguments included: at least 3.
    pub fn degree(&self) -> u32 {
        let lookups = self.lookups.iter().map(Lookup::required_degree).max();
        let gates = self.gates.iter().map(Expression::degree).max();
        3.max(lookups.unwrap_or(1))
            .max(gates.unwrap_or(0))
            .max(self.minimum_degree.unwrap_or(1))
    }

    /// The rows at the end that hold randomness: two more than the queries of the most queried advice column, and at
    /// least five.
    pub fn blinding_factors(&self) -> u32 {
        let mut columns: Vec<u32> = self
            .advice_queries
            .iter()
            .map(|query| query.column.index)
            .collect();
        columns.sort_unstable();
        let most = columns
            .chunk_by(|a, b| a == b)
            .map(|queries| u32::try_from(queries.len()).unwrap_or(u32::MAX))
            .max();
        most.unwrap_or(1).max(3).saturating_add(2)
    }

    /// The rows that a circuit of 2^k rows can use, or `None` if the blinding leaves too few.
    pub fn usable_rows(&self, k: u32) -> Option<usize> {
        let reserved = usize::try_from(self.blinding_factors())
            .ok()?
            .checked_add(1)?;
        let usable = 1usize.checked_shl(k)?.checked_sub(reserved)?;
        // One row for the permutation's first value and one to use, as halo2 asks for.
        (usable >= 2).then_some(usable)
    }

    /// The columns that share one permutation product: two fewer than the degree.
    pub fn permutation_chunk(&self) -> usize {
        usize::try_from(self.degree().saturating_sub(2))
            .unwrap_or(1)
            .max(1)
    }

    /// The list of queries of a kind.
    pub fn queries(&self, kind: ColumnKind) -> &[Query] {
        match kind {
            ColumnKind::Instance => &self.instance_queries,
            ColumnKind::Advice => &self.advice_queries,
            ColumnKind::Fixed => &self.fixed_queries,
        }
    }

    /// The number of columns of a kind.
    pub fn columns(&self, kind: ColumnKind) -> usize {
        let count = match kind {
            ColumnKind::Instance => self.num_instance,
            ColumnKind::Advice => self.num_advice,
            ColumnKind::Fixed => self.num_fixed,
        };
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The position of a column's query on the current row.
    pub fn current_query(&self, column: Column) -> Option<usize> {
        self.queries(column.kind)
            .iter()
            .position(|query| query.column == column && query.rotation == 0)
    }

    /// Checks everything that the verifier relies on, for a circuit of 2^k rows.
    pub fn validate(&self, k: u32) -> Result<(), KeyError> {
        if !(MIN_K..=MAX_K).contains(&k) {
            return Err(KeyError::SizeOutOfRange { k });
        }
        for kind in [ColumnKind::Instance, ColumnKind::Advice, ColumnKind::Fixed] {
            self.validate_queries(kind, k)?;
        }
        self.validate_permutation()?;
        self.validate_expressions()?;
        if self.minimum_degree == Some(0) {
            return Err(KeyError::ZeroMinimumDegree);
        }
        let degree = self.degree();
        if degree > MAX_DEGREE {
            return Err(KeyError::DegreeTooLarge { degree });
        }
        match self.usable_rows(k) {
            Some(_) => Ok(()),
            None => Err(KeyError::NotEnoughRows {
                k,
                blinding_factors: self.blinding_factors(),
            }),
        }
    }

    fn validate_queries(&self, kind: ColumnKind, k: u32) -> Result<(), KeyError> {
        let columns = self.columns(kind);
        if columns > MAX_COLUMNS {
            return Err(KeyError::TooManyColumns { kind, got: columns });
        }
        let queries = self.queries(kind);
        if queries.len() > MAX_QUERIES {
            return Err(KeyError::TooManyQueries {
                kind,
                got: queries.len(),
            });
        }
        // Rotations below half the rows are distinct modulo the rows, so distinct queries of a column are distinct
        // cells. halo2 refuses every proof of a circuit where two coincide.
        let half = 1u32 << (k - 1);
        for (index, query) in queries.iter().enumerate() {
            if query.column.kind != kind {
                return Err(KeyError::QueryKind { kind, index });
            }
            if !usize::try_from(query.column.index).is_ok_and(|column| column < columns) {
                return Err(KeyError::QueryColumn { kind, index });
            }
            let rotation = query.rotation;
            let allowed = match kind {
                ColumnKind::Fixed => rotation == 0,
                _ => rotation.unsigned_abs() < half,
            };
            if !allowed {
                return Err(KeyError::QueryRotation {
                    kind,
                    index,
                    rotation,
                });
            }
        }
        let mut cells: Vec<(u32, i32)> = queries
            .iter()
            .map(|query| (query.column.index, query.rotation))
            .collect();
        cells.sort_unstable();
        let len = cells.len();
        cells.dedup();
        if cells.len() != len {
            return Err(KeyError::DuplicateQuery { kind });
        }
        Ok(())
    }

    fn validate_permutation(&self) -> Result<(), KeyError> {
        // Duplicates first: without them the list is no longer than there are columns.
        let mut columns = self.permutation.clone();
        columns.sort_unstable();
        columns.dedup();
        if columns.len() != self.permutation.len() {
            return Err(KeyError::DuplicatePermutationColumn);
        }
        let mut current: Vec<Column> =
            [ColumnKind::Instance, ColumnKind::Advice, ColumnKind::Fixed]
                .into_iter()
                .flat_map(|kind| self.queries(kind))
                .filter(|query| query.rotation == 0)
                .map(|query| query.column)
                .collect();
        current.sort_unstable();
        for (index, column) in self.permutation.iter().enumerate() {
            let exists =
                usize::try_from(column.index).is_ok_and(|index| index < self.columns(column.kind));
            if !exists {
                return Err(KeyError::PermutationColumn { index });
            }
            if current.binary_search(column).is_err() {
                return Err(KeyError::PermutationNotQueried { index });
            }
        }
        Ok(())
    }

    fn validate_expressions(&self) -> Result<(), KeyError> {
        if self.gates.len() > MAX_GATES {
            return Err(KeyError::TooManyGates {
                got: self.gates.len(),
            });
        }
        if self.lookups.len() > MAX_LOOKUPS {
            return Err(KeyError::TooManyLookups {
                got: self.lookups.len(),
            });
        }
        for (lookup, argument) in self.lookups.iter().enumerate() {
            let (inputs, tables) = (argument.inputs.len(), argument.tables.len());
            if inputs == 0 || inputs != tables || inputs > MAX_LOOKUP_WIDTH {
                return Err(KeyError::LookupArity {
                    lookup,
                    inputs,
                    tables,
                });
            }
        }
        let nodes = self.expressions().fold(0usize, |nodes, expression| {
            nodes.saturating_add(expression.nodes.len())
        });
        if nodes > MAX_NODES {
            return Err(KeyError::TooManyNodes);
        }
        for (gate, expression) in self.gates.iter().enumerate() {
            expression
                .analyse(self)
                .map_err(|source| KeyError::Gate { gate, source })?;
        }
        for (lookup, argument) in self.lookups.iter().enumerate() {
            for expression in argument.inputs.iter().chain(&argument.tables) {
                expression
                    .analyse(self)
                    .map_err(|source| KeyError::Lookup { lookup, source })?;
            }
        }
        Ok(())
    }

    /// All expressions: gates, then the inputs and tables of each lookup.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let lookups = self
            .lookups
            .iter()
            .flat_map(|lookup| lookup.inputs.iter().chain(&lookup.tables));
        self.gates.iter().chain(lookups)
    }
}
