//! Mutation: lies about whole models, and which constraints catch them.
//!
//! A mutant is an honest witness with one lie in it. Cells that others copy are lied about in two ways: the one cell
//! alone, and the whole class of copies with everything downstream computed honestly from the lie, so that nothing
//! but the constraint that defines the value can object. A mutant that no constraint rejects is a *survivor*: a cell
//! that an honest verifier does not know. The score of a sound circuit is 100 %.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ff::Field;
use pasta_curves::Fp;

use crate::chips::{ConstraintName, MAX_FAN_IN};
use crate::circuit::{Advice, Assembly, Lies, Witness};
use crate::lower::{Block, Lowering, VarId};
use crate::plan::{Cell, Host};

use super::checker::Checker;

/// What a lie is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// One cell has another content, all else is as before.
    Cell(Cell, Fp),
    /// One cell has another content, and the sums of its chain follow from it.
    Summed(Cell, Fp),
    /// A variable has another content in all its copies, told with a fitting table row; all that follows is honest.
    Class(VarId, i64),
    /// The same, told with the table row of the truth.
    Bare(VarId, i64),
    /// An output has another content, told with a fitting table row, and is claimed: the public values say the same.
    Claimed(VarId, i64),
    /// One is taken from the second limb (a cell) and added to the first, or the other way round.
    Carry(Cell, Cell),
    /// A step on a maximum claims a larger one, or a smaller one; all that follows is honest.
    Top(u32, i64),
    /// The copies of a variable in one group have another content, and all that follows is honest.
    Copies(u32, VarId, i64),
}

/// What became of the mutants of one model.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Number of mutants.
    pub mutants: usize,
    /// Mutants that nothing rejects.
    pub survivors: Vec<Mutant>,
    /// For each constraint, how many mutants it rejects.
    pub rejected_by: BTreeMap<ConstraintName, usize>,
    /// For each constraint, how many mutants only it rejects.
    pub rejected_only_by: BTreeMap<ConstraintName, usize>,
}

impl Score {
    /// Share of the mutants that are rejected, in percent.
    pub fn percent(&self) -> f64 {
        let killed = self.mutants - self.survivors.len();
        if self.mutants == 0 {
            100.0
        } else {
            100.0 * killed as f64 / self.mutants as f64
        }
    }

    fn record(&mut self, mutant: Mutant, violated: &BTreeSet<ConstraintName>) {
        self.mutants += 1;
        for &name in violated {
            *self.rejected_by.entry(name).or_default() += 1;
        }
        match violated.iter().collect::<Vec<_>>().as_slice() {
            [] => self.survivors.push(mutant),
            [only] => *self.rejected_only_by.entry(**only).or_default() += 1,
            _ => {}
        }
    }
}

/// A model with an honest witness, ready to be lied about.
#[derive(Debug)]
pub struct Mutator<'a> {
    lowering: &'a Lowering,
    assembly: &'a Assembly,
    checker: Checker<'a>,
    inputs: Vec<i64>,
    public: Vec<Fp>,
    witness: Witness,
    honest: Advice,
    /// Private inputs: a lie about one of them is another inference, and a true one.
    free: HashSet<VarId>,
    /// Outputs, whose public values a liar may claim.
    outputs: HashSet<VarId>,
}

/// A mutant as it is told to the verifier.
#[derive(Clone, Debug)]
pub struct Told {
    /// The advice columns.
    pub advice: Advice,
    /// The public values.
    pub public: Vec<Fp>,
    /// The cells that changed, if they are few.
    pub cells: Option<Vec<Cell>>,
}

impl<'a> Mutator<'a> {
    /// Prepares a model whose honest witness is `witness`.
    pub fn new(
        lowering: &'a Lowering,
        assembly: &'a Assembly,
        inputs: &[i64],
        witness: Witness,
        public: &[Fp],
    ) -> Self {
        let honest = witness.advice(&assembly.layout, public);
        let inputs_of = |b: &Block| {
            if let Block::Input { cells, .. } = b {
                cells.clone()
            } else {
                vec![]
            }
        };
        let public_inputs: HashSet<VarId> = lowering.blocks.iter().flat_map(inputs_of).collect();
        let mut free = public_inputs.clone();
        let layout = &assembly.layout;
        let mut outputs = HashSet::new();
        for group in &layout.groups {
            let rows = &layout.rows[group.rows.start as usize..group.rows.end as usize];
            let hosts = || rows.iter().flat_map(|row| &row.hosts);
            if hosts().any(|(_, host)| matches!(host, Host::Public(_))) {
                for (_, host) in hosts() {
                    if let Host::Var(v) = host
                        && !free.remove(v)
                        && !public_inputs.contains(v)
                    {
                        outputs.insert(*v);
                    }
                }
            }
        }
        Self {
            free,
            outputs,
            lowering,
            assembly,
            checker: Checker::new(assembly),
            inputs: inputs.to_vec(),
            public: public.to_vec(),
            witness,
            honest,
        }
    }

    /// What the honest witness violates: nothing.
    pub fn honest_violations(&self) -> BTreeSet<ConstraintName> {
        self.checker.violated_anywhere(&self.honest, &self.public)
    }

    /// All mutants of all kinds, `stride` apart; 1 is the full run.
    pub fn mutants(&self, stride: usize) -> impl Iterator<Item = Mutant> + '_ {
        let cells = self
            .assembly
            .assigned
            .iter()
            .flat_map(|&cell| self.cell_mutants(cell));
        let vars = (0..self.lowering.vars.len() as u32).flat_map(|v| self.var_mutants(VarId(v)));
        let copies = self.copy_mutants();
        let layout = &self.assembly.layout;
        let pooled = layout
            .groups
            .iter()
            .filter(|g| !g.windows.is_empty() && !g.steps.is_empty());
        let tops = pooled
            .flat_map(|g| g.steps.clone())
            .flat_map(|s| [Mutant::Top(s, 1), Mutant::Top(s, -1)]);
        cells
            .chain(vars)
            .chain(self.carry_mutants())
            .chain(tops)
            .chain(copies)
            .step_by(stride.max(1))
    }

    fn cell_mutants(&self, cell: Cell) -> Vec<Mutant> {
        let layout = &self.assembly.layout;
        let column = &self.honest.columns[cell.column as usize];
        let value = column[cell.row as usize];
        let neighbour = column[(cell.row as usize + 1) % column.len()];
        let carry = crate::chips::power_of_two(layout.shape.range_bits);
        let mut contents = vec![
            value + Fp::ONE,
            value - Fp::ONE,
            Fp::ZERO,
            -Fp::ONE,
            value + carry,
            value - carry,
            neighbour,
        ];
        contents.retain(|c| *c != value);
        contents.dedup();
        let is_sum = cell.column as usize >= layout.shape.accumulator(0);
        contents
            .into_iter()
            .flat_map(|c| {
                let alone = Mutant::Cell(cell, c);
                if is_sum {
                    vec![alone]
                } else {
                    vec![alone, Mutant::Summed(cell, c)]
                }
            })
            .collect()
    }

    fn var_mutants(&self, var: VarId) -> Vec<Mutant> {
        if self.free.contains(&var) {
            // Another input is another inference, and a true one, unless it leaves its range.
            let info = self.lowering.vars[var.0 as usize];
            let outside = [-1, info.range.hi - info.offset + 1];
            return outside.map(|c| Mutant::Class(var, c)).into();
        }
        let value = self.witness.vars[var.0 as usize];
        let other = self.witness.vars[(var.0 as usize + 1) % self.witness.vars.len()];
        let mut contents = vec![value + 1, value - 1, 0, other, value + 256];
        contents.retain(|&c| c != value);
        contents.dedup();
        contents
            .into_iter()
            .flat_map(|c| {
                let claimed = self
                    .outputs
                    .contains(&var)
                    .then_some(Mutant::Claimed(var, c));
                [Mutant::Class(var, c), Mutant::Bare(var, c)]
                    .into_iter()
                    .chain(claimed)
            })
            .collect()
    }

    /// Limbs of the same value with another radix: only their range checks object.
    fn carry_mutants(&self) -> Vec<Mutant> {
        let layout = &self.assembly.layout;
        let shape = &layout.shape;
        let mut out = Vec::new();
        for (r, row) in layout.rows.iter().enumerate() {
            let mut pair = |low: usize, high: usize| {
                let cell = |column: usize| Cell {
                    column: column as u32,
                    row: r as u32,
                };
                out.push(Mutant::Carry(cell(low), cell(high)));
            };
            for &(u, _) in &row.units {
                for i in 1..shape.limbs {
                    pair(shape.d(u as usize, i - 1), shape.d(u as usize, i));
                    pair(shape.e(u as usize, i - 1), shape.e(u as usize, i));
                }
            }
            for &(q, _) in &row.maxima {
                for (j, i) in
                    (0..MAX_FAN_IN).flat_map(|j| (1..shape.max_limbs).map(move |i| (j, i)))
                {
                    pair(
                        shape.distance(q as usize, j, i - 1),
                        shape.distance(q as usize, j, i),
                    );
                }
            }
        }
        out
    }

    fn copy_mutants(&self) -> impl Iterator<Item = Mutant> + '_ {
        let layout = &self.assembly.layout;
        layout
            .groups
            .iter()
            .enumerate()
            .flat_map(move |(g, group)| {
                let rows = &layout.rows[group.rows.start as usize..group.rows.end as usize];
                let hosts = rows.iter().zip(group.rows.clone());
                let hosts = hosts.flat_map(|(row, r)| row.hosts.iter().map(move |h| (r, h)));
                hosts.filter_map(move |(row, &(column, host))| match host {
                    // An input may be at home here; then this is no copy.
                    Host::Var(v) if layout.homes[v.0 as usize] != (Cell { column, row }) => {
                        let value = self.witness.vars[v.0 as usize];
                        let lie = if value > 0 { value - 1 } else { value + 1 };
                        Some(Mutant::Copies(g as u32, v, lie))
                    }
                    _ => None,
                })
            })
    }

    /// The constraints that reject a mutant.
    pub fn judge(&self, mutant: &Mutant) -> BTreeSet<ConstraintName> {
        let told = self.apply(mutant);
        match &told.cells {
            Some(cells) => self.checker.violated(&told.advice, &told.public, cells),
            None => self.checker.violated_anywhere(&told.advice, &told.public),
        }
    }

    /// What a mutant writes.
    pub fn apply(&self, mutant: &Mutant) -> Told {
        let mut public = self.public.clone();
        let (advice, cells) = match mutant {
            Mutant::Claimed(var, content) => {
                let lies = Lies {
                    vars: [(*var, *content)].into(),
                    ..Lies::default()
                };
                let mut advice = self.continued(&lies);
                advice.close_public(&self.assembly.layout, &mut public);
                (advice, None)
            }
            other => self.tell(other),
        };
        Told {
            advice,
            public,
            cells,
        }
    }

    fn tell(&self, mutant: &Mutant) -> (Advice, Option<Vec<Cell>>) {
        let layout = &self.assembly.layout;
        match mutant {
            Mutant::Cell(cell, value) => {
                let mut advice = self.honest.clone();
                advice.columns[cell.column as usize][cell.row as usize] = *value;
                (advice, Some(vec![*cell]))
            }
            Mutant::Summed(cell, value) => {
                let mut advice = self.honest.clone();
                advice.columns[cell.column as usize][cell.row as usize] = *value;
                advice.sum(layout);
                let group = layout.groups.iter().find(|g| g.rows.contains(&cell.row));
                let rows = group.map_or(cell.row..cell.row + 1, |g| g.rows.clone());
                let sums = 0..layout.shape.accumulators;
                let mut cells: Vec<_> = rows
                    .flat_map(|row| {
                        sums.clone().map(move |g| Cell {
                            column: layout.shape.accumulator(g) as u32,
                            row,
                        })
                    })
                    .collect();
                cells.push(*cell);
                (advice, Some(cells))
            }
            Mutant::Class(var, content) => (
                self.continued(&Lies {
                    vars: [(*var, *content)].into(),
                    ..Lies::default()
                }),
                None,
            ),
            Mutant::Bare(var, content) | Mutant::Claimed(var, content) => {
                let lies = Lies {
                    vars: [(*var, *content)].into(),
                    bare: true,
                    ..Lies::default()
                };
                (self.continued(&lies), None)
            }
            Mutant::Carry(low, high) => {
                let mut advice = self.honest.clone();
                let radix = crate::chips::power_of_two(layout.shape.range_bits);
                let mut columns = |cell: &Cell, by: Fp| {
                    advice.columns[cell.column as usize][cell.row as usize] += by;
                };
                let high_value = self.honest.columns[high.column as usize][high.row as usize];
                let sign = if bool::from(high_value.is_zero()) {
                    -Fp::ONE
                } else {
                    Fp::ONE
                };
                columns(low, radix * sign);
                columns(high, -sign);
                (advice, Some(vec![*low, *high]))
            }
            Mutant::Top(step, by) => (
                self.continued(&Lies {
                    tops: [(*step, *by)].into(),
                    ..Lies::default()
                }),
                None,
            ),
            Mutant::Copies(group, var, content) => {
                let lies = Lies {
                    copies: [((*group, *var), *content)].into(),
                    ..Lies::default()
                };
                (self.continued(&lies), None)
            }
        }
    }

    fn continued(&self, lies: &Lies) -> Advice {
        let layout = &self.assembly.layout;
        match Witness::solve_with(self.lowering, layout, &self.inputs, lies) {
            Ok(witness) => witness.advice_with(layout, &self.public, lies),
            Err(_) => self.honest.clone(),
        }
    }

    /// Judges mutants, `stride` apart.
    pub fn run(&self, stride: usize) -> Score {
        let mut score = Score::default();
        for mutant in self.mutants(stride) {
            let violated = self.judge(&mutant);
            score.record(mutant, &violated);
        }
        score
    }
}
