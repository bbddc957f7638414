//! The halo2 circuit of a placed model.

mod configure;
mod witness;

use std::sync::Arc;

use ff::Field;
use halo2_proofs::circuit::{AssignedCell, Layouter, Region, SimpleFloorPlanner, Value};
use halo2_proofs::plonk::{Circuit, ConstraintSystem, Error};
use pasta_curves::Fp;

pub use configure::{Columns, with_chips};
pub use witness::{Advice, Lies, StepCells, Witness, WitnessError, small_value};
pub(crate) use witness::{Places, Solver, limb, small};

use crate::chips::{BYTE_BITS, Chips};
use crate::plan::{Cell, Host, Layout, PlanError};

/// A placed model with everything that does not depend on the witness.
#[derive(Debug)]
pub struct Assembly {
    /// Columns and constraints.
    pub chips: Arc<Chips>,
    /// Where everything stands.
    pub layout: Layout,
    /// Cells of each fixed column, the tables included; unassigned rows of a table repeat its first row.
    pub fixed: Vec<Vec<Fp>>,
    /// Cells that are assigned, in the order of rows.
    pub assigned: Vec<Cell>,
    /// Equal cells: a copy and the cell that it copies.
    pub copies: Vec<(Cell, Cell)>,
    /// Cells that equal an element of the instance column.
    pub public: Vec<(Cell, u32)>,
}

impl Assembly {
    /// Derives fixed columns and copies from a layout.
    pub fn new(layout: Layout) -> Result<Self, PlanError> {
        let chips = Arc::new(Chips::new(&layout.shape));
        let mut assembly = Self {
            fixed: vec![Vec::new(); chips.cs.num_fixed as usize],
            chips,
            layout,
            assigned: Vec::new(),
            copies: Vec::new(),
            public: Vec::new(),
        };
        assembly.fix_rows()?;
        assembly.fix_tables();
        assembly.collect_cells();
        Ok(assembly)
    }

    fn fix_rows(&mut self) -> Result<(), PlanError> {
        let Self {
            chips,
            layout,
            fixed,
            ..
        } = self;
        let rows = layout.rows.len();
        let tables = chips.table_columns().count();
        let plain = fixed.len() - tables;
        fixed[..plain]
            .iter_mut()
            .for_each(|column| *column = vec![Fp::ZERO; rows]);
        for (r, row) in layout.rows.iter().enumerate() {
            fixed[chips.write.index as usize][r] = Fp::from(u64::from(row.write));
            fixed[chips.carry.index as usize][r] = Fp::from(u64::from(row.carry));
            for &(g, l, weight) in &row.weights {
                let (accumulator, term) = (g as usize, l as usize);
                // Without its weight the equation would say something else.
                let column = chips.weights[accumulator].get(term).copied().flatten();
                let column = column.ok_or(PlanError::NoWeight { accumulator, term })?;
                fixed[column.index as usize][r] += weight;
            }
            for &(g, constant) in &row.constants {
                fixed[chips.constants[g as usize].index as usize][r] += constant;
            }
            for &(u, id) in &row.units {
                let tag = u64::from(layout.steps[id as usize].table) + 1;
                fixed[chips.tags[u as usize].index as usize][r] = Fp::from(tag);
            }
            for &(q, _) in &row.maxima {
                fixed[chips.maxima[q as usize].index as usize][r] = Fp::ONE;
            }
        }
        Ok(())
    }

    fn fix_tables(&mut self) {
        let Self {
            chips,
            layout,
            fixed,
            ..
        } = self;
        let up_to = |bits: u32| (0..1u64 << bits).map(Fp::from).collect();
        if let Some(column) = chips.byte_table {
            fixed[column.index as usize] = up_to(BYTE_BITS);
        }
        if let Some(column) = chips.range_table {
            fixed[column.index as usize] = up_to(layout.shape.range_bits);
        }
        if let Some(columns) = chips.width_table {
            let widths = layout.widths();
            let rows = widths
                .into_iter()
                .flat_map(|w| (0..=w).map(move |d| [w, d]));
            for row in rows {
                for (column, value) in columns.iter().zip(row) {
                    fixed[column.index as usize].push(Fp::from(value));
                }
            }
        }
        for bank in &chips.banks {
            bank.iter()
                .for_each(|column| fixed[column.index as usize] = vec![Fp::ZERO]);
        }
        for (i, placed) in layout.tables.iter().enumerate() {
            let tag = Fp::from(i as u64 + 1);
            let bank = chips.banks[placed.bank].map(|column| column.index as usize);
            for row in &placed.table.rows {
                fixed[bank[0]].push(tag);
                fixed[bank[1]].push(tag * Fp::from(row.y));
                fixed[bank[2]].push(tag * Fp::from(row.t));
                fixed[bank[3]].push(tag * Fp::from(row.width_less_one));
            }
        }
        // halo2 wants all table columns to be of one length.
        let lengths = chips.table_columns().map(|c| fixed[c.index as usize].len());
        let longest = lengths.fold(0, usize::max);
        for column in chips.table_columns() {
            let column = &mut fixed[column.index as usize];
            let first = column[0];
            column.resize(longest, first);
        }
    }

    fn collect_cells(&mut self) {
        let shape = &self.layout.shape;
        for (r, row) in self.layout.rows.iter().enumerate() {
            let cell = |column: usize| Cell {
                column: column as u32,
                row: r as u32,
            };
            for &(u, _) in &row.units {
                self.assigned.extend(shape.unit(u as usize).map(cell));
            }
            for &(q, id) in &row.maxima {
                self.assigned.extend(shape.distances(q as usize).map(cell));
                if self.layout.windows[id as usize].has_top {
                    self.assigned.push(cell(shape.top(q as usize)));
                }
            }
            for &(column, host) in &row.hosts {
                let cell = cell(column as usize);
                self.assigned.push(cell);
                match host {
                    Host::Var(v) => {
                        let home = self.layout.homes[v.0 as usize];
                        if home != cell {
                            self.copies.push((cell, home));
                        }
                    }
                    Host::Public(element) => self.public.push((cell, element)),
                }
            }
            if row.write {
                self.assigned
                    .extend((0..shape.accumulators).map(|g| cell(shape.accumulator(g))));
            }
        }
    }
}

/// Cells that equal a public element, by the element's row.
type PublicCells = Vec<(u32, AssignedCell<Fp, Fp>)>;

/// One inference as a halo2 circuit. To be used inside [`with_chips`].
#[derive(Clone, Debug)]
pub struct ModelCircuit {
    assembly: Arc<Assembly>,
    advice: Option<Arc<Advice>>,
}

impl ModelCircuit {
    /// The circuit without a witness, for key generation.
    pub fn blank(assembly: &Arc<Assembly>) -> Self {
        Self {
            assembly: assembly.clone(),
            advice: None,
        }
    }

    /// The circuit with the given cells.
    pub fn new(assembly: &Arc<Assembly>, advice: Advice) -> Self {
        Self {
            assembly: assembly.clone(),
            advice: Some(Arc::new(advice)),
        }
    }

    fn cell(&self, cell: Cell) -> Value<Fp> {
        match &self.advice {
            Some(advice) => Value::known(advice.columns[cell.column as usize][cell.row as usize]),
            None => Value::unknown(),
        }
    }

    fn assign(&self, columns: &Columns, region: &mut Region<'_, Fp>) -> Result<PublicCells, Error> {
        let assembly = &self.assembly;
        for (column, values) in columns.fixed.iter().zip(&assembly.fixed) {
            for (row, value) in values.iter().enumerate() {
                if !bool::from(value.is_zero()) {
                    region.assign_fixed(|| "", *column, row, || Value::known(*value))?;
                }
            }
        }
        let rows = assembly.layout.rows.len();
        let mut cells: Vec<Option<AssignedCell<Fp, Fp>>> = vec![None; rows * columns.advice.len()];
        let at = |cell: Cell| cell.column as usize * rows + cell.row as usize;
        for &cell in &assembly.assigned {
            let column = columns.advice[cell.column as usize];
            let assigned =
                region.assign_advice(|| "", column, cell.row as usize, || self.cell(cell))?;
            cells[at(cell)] = Some(assigned);
        }
        for &(copy, original) in &assembly.copies {
            let pair = (&cells[at(copy)], &cells[at(original)]);
            let (Some(copy), Some(original)) = pair else {
                return Err(Error::Synthesis);
            };
            region.constrain_equal(copy.cell(), original.cell())?;
        }
        let public = assembly.public.iter();
        public
            .map(|&(cell, row)| Ok((row, cells[at(cell)].clone().ok_or(Error::Synthesis)?)))
            .collect()
    }
}

impl Circuit<Fp> for ModelCircuit {
    type Config = Arc<Columns>;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        Self::blank(&self.assembly)
    }

    fn configure(meta: &mut ConstraintSystem<Fp>) -> Self::Config {
        configure::configure(meta)
    }

    fn synthesize(
        &self,
        columns: Self::Config,
        mut layouter: impl Layouter<Fp>,
    ) -> Result<(), Error> {
        let assembly = &self.assembly;
        layouter.assign_table(
            || "tables",
            |mut table| {
                let first = columns.fixed.len();
                for (column, values) in columns.tables.iter().zip(&assembly.fixed[first..]) {
                    for (row, value) in values.iter().enumerate() {
                        table.assign_cell(|| "", *column, row, || Value::known(*value))?;
                    }
                }
                Ok(())
            },
        )?;
        let public =
            layouter.assign_region(|| "rows", |mut region| self.assign(&columns, &mut region))?;
        for (row, cell) in public {
            layouter.constrain_instance(cell.cell(), columns.instance, row as usize)?;
        }
        Ok(())
    }
}
