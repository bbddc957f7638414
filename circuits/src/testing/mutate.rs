//! Mutation: lies about whole models, and which constraints catch them.
//!
//! A mutant is an honest witness with one lie in it. Cells that others copy are lied about in two ways: the one cell
//! alone, and the whole class of copies with everything downstream computed honestly from the lie, so that nothing
//! but the constraint that defines the value can object. A mutant that no constraint rejects is a *survivor*: a cell
//! that an honest verifier does not know. The score of a sound circuit is 100 %.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ff::Field;
use pasta_curves::Fp;

use crate::chips::{BYTE_BITS, ConstraintName};
use crate::circuit::{Advice, Assembly, Lies, Witness, limb, small};
use crate::lower::{Block, Lowering, VarId};
use crate::plan::{Cell, Host};

use super::checker::Checker;
use super::map::Map;
use super::mutants::{Mutant, Shift};
use super::operator::Rng;
use super::session::Session;

/// What became of the mutants of one model.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Number of mutants.
    pub mutants: usize,
    /// Mutants that nothing rejects.
    pub survivors: Vec<Mutant>,
    /// For each constraint, how many mutants it rejects; of a hasty run, for how many it was found first.
    pub rejected_by: BTreeMap<ConstraintName, usize>,
    /// For each constraint, how many mutants only it rejects; not known of a hasty run.
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
        for &name in violated {
            *self.rejected_by.entry(name).or_default() += 1;
        }
        self.mutants += 1;
        match violated.iter().collect::<Vec<_>>().as_slice() {
            [] => self.survivors.push(mutant),
            [only] => *self.rejected_only_by.entry(**only).or_default() += 1,
            _ => {}
        }
    }

    fn record_first(&mut self, mutant: Mutant, objection: Option<ConstraintName>) {
        self.mutants += 1;
        match objection {
            Some(name) => *self.rejected_by.entry(name).or_default() += 1,
            None => self.survivors.push(mutant),
        }
    }
}

/// A model with an honest witness, ready to be lied about.
#[derive(Debug)]
pub struct Mutator<'a> {
    pub(super) lowering: &'a Lowering,
    pub(super) assembly: &'a Assembly,
    pub(super) checker: Checker<'a>,
    pub(super) map: Map,
    inputs: Vec<i64>,
    pub(super) public: Vec<Fp>,
    pub(super) witness: Witness,
    pub(super) honest: Advice,
    /// Private inputs: a lie about one of them is another inference, and a true one.
    pub(super) free: HashSet<VarId>,
    /// Outputs, whose public values a liar may claim.
    pub(super) outputs: HashSet<VarId>,
}

/// A mutant as it is told to the verifier.
#[derive(Clone, Debug)]
pub struct Told {
    /// The advice columns.
    pub advice: Advice,
    /// The public values.
    pub public: Vec<Fp>,
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
        let public_inputs: HashSet<VarId> = lowering.blocks().iter().flat_map(inputs_of).collect();
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
            map: Map::new(lowering, assembly),
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

    /// What the honest witness violates if every cell that it does not assign holds something: nothing, since no
    /// equation may hear of a cell that a prover is free to fill. Limbs and bytes stay in their ranges.
    pub fn noise_violations(&self, seed: u64) -> BTreeSet<ConstraintName> {
        let shape = &self.assembly.layout.shape;
        let assigned: HashSet<Cell> = self.assembly.assigned.iter().copied().collect();
        let checked = shape.range(0)..shape.first_host() + shape.bytes;
        // A width that is listed, and places in it.
        let widest = self.assembly.layout.widths().last().copied().unwrap_or(0);
        let places = shape.d(0, 0)..shape.width(0);
        let widths = shape.width(0)..shape.range(0);
        let (mut rng, mut noisy, mut cells) = (Rng(seed), self.honest.clone(), Vec::new());
        for (column, values) in noisy.columns.iter_mut().enumerate() {
            for (value, row) in values.iter_mut().zip(0..) {
                let cell = Cell {
                    column: column as u32,
                    row,
                };
                if !assigned.contains(&cell) {
                    let bits = shape.range_bits.min(BYTE_BITS);
                    *value = Fp::from(match column {
                        c if checked.contains(&c) => rng.next() % (1 << bits),
                        c if shape.limbs() == 0 && places.contains(&c) => rng.next() % (widest + 1),
                        c if shape.limbs() == 0 && widths.contains(&c) => widest,
                        _ => rng.next(),
                    });
                    cells.push(cell);
                }
            }
        }
        self.checker.violated(&noisy, &self.public, &cells)
    }

    /// A witness to judge mutants on, one after the other.
    pub fn session(&self) -> Session<'_, 'a> {
        Session::new(self)
    }

    /// Judges mutants, with all constraints that reject them.
    pub fn score(&self, mutants: impl Iterator<Item = Mutant>) -> Score {
        let (mut score, mut session) = (Score::default(), self.session());
        for mutant in mutants {
            let violated = session.judge(&mutant);
            score.record(mutant, &violated);
        }
        score
    }

    /// Judges mutants, each until something rejects it, which is much faster on a large model.
    pub fn score_hastily(&self, mutants: impl Iterator<Item = Mutant>) -> Score {
        let (mut score, mut session) = (Score::default(), self.session());
        for mutant in mutants {
            let objection = session.objection(&mutant);
            score.record_first(mutant, objection);
        }
        score
    }

    /// Judges mutants of all kinds, `stride` apart.
    pub fn run(&self, stride: usize) -> Score {
        self.score(self.mutants(stride))
    }

    /// What a mutant writes, computed from the inputs on: the slow way, which [`Session`] is compared with.
    pub fn apply(&self, mutant: &Mutant) -> Told {
        let layout = &self.assembly.layout;
        let mut public = self.public.clone();
        let Some(lies) = self.lies(mutant) else {
            let mut advice = self.honest.clone();
            for (cell, content) in self.contents(mutant) {
                advice.columns[cell.column as usize][cell.row as usize] = content;
            }
            if matches!(mutant, Mutant::Summed(..) | Mutant::Distances(..)) {
                advice.sum(layout);
            }
            return Told { advice, public };
        };
        let witness = Witness::solve_with(self.lowering, layout, &self.inputs, &lies);
        let mut advice = match witness {
            Ok(witness) => witness.advice_with(layout, &self.public, &lies),
            Err(_) => self.honest.clone(),
        };
        if matches!(mutant, Mutant::Claimed(..)) {
            advice.close_public(layout, &mut public);
        }
        Told { advice, public }
    }

    /// The lie of a mutant that is told of values; `None` for one of cells.
    pub(super) fn lies(&self, mutant: &Mutant) -> Option<Lies> {
        let mut lies = Lies::default();
        match *mutant {
            Mutant::Cell(..) | Mutant::Summed(..) | Mutant::Carry(..) | Mutant::Distances(..) => {
                return None;
            }
            Mutant::Class(var, content) | Mutant::Claimed(var, content) => {
                lies.vars.insert(var, content);
            }
            Mutant::Bare(var, content) => {
                lies.vars.insert(var, content);
                lies.bare = true;
            }
            Mutant::Top(step, by) => {
                lies.tops.insert(step, by);
            }
            Mutant::Argument(step, by) => {
                lies.shifts.insert(step, by);
            }
            Mutant::Packed(first, second) => lies.shifts.extend([first, second]),
            Mutant::Copies(group, var, content) => {
                lies.copies.insert((group, var), content);
            }
        }
        Some(lies)
    }

    /// The cells that a mutant of cells changes, but for sums.
    pub(super) fn contents(&self, mutant: &Mutant) -> Vec<(Cell, Fp)> {
        let honest = |cell: Cell| self.honest.columns[cell.column as usize][cell.row as usize];
        match *mutant {
            Mutant::Cell(cell, content) | Mutant::Summed(cell, content) => vec![(cell, content)],
            Mutant::Carry(low, high) => {
                let radix = crate::chips::power_of_two(self.assembly.layout.shape.range_bits);
                let empty = bool::from(honest(high).is_zero());
                let sign = if empty { -Fp::ONE } else { Fp::ONE };
                vec![
                    (low, honest(low) + radix * sign),
                    (high, honest(high) - sign),
                ]
            }
            Mutant::Distances(first, second) => [first, second]
                .into_iter()
                .flat_map(|shift| self.shifted(shift))
                .collect(),
            _ => vec![],
        }
    }

    /// The limbs of a distance from a maximum that is larger by some amount.
    fn shifted(&self, of: Shift) -> Vec<(Cell, Fp)> {
        let shape = &self.assembly.layout.shape;
        let row = &self.assembly.layout.rows[of.row as usize];
        let window = row.maxima.iter().find(|&&(slot, _)| slot == of.slot);
        let Some(&(_, window)) = window else {
            return vec![];
        };
        let (slot, member) = (of.slot as usize, of.member as usize);
        let distance = self.witness.windows[window as usize][member] + of.by;
        let cell = |i: usize| {
            let column = shape.distance(slot, member, i) as u32;
            let content = limb(distance, i, shape.max_limbs, shape.range_bits);
            (
                Cell {
                    column,
                    row: of.row,
                },
                small(content),
            )
        };
        (0..shape.max_limbs).map(cell).collect()
    }

    /// The variable that a step or a window defines.
    pub(super) fn output_of(&self, (block, window, id): (u32, bool, u32)) -> VarId {
        let layout = &self.assembly.layout;
        match &self.lowering.blocks()[block as usize] {
            Block::Max { windows, .. } if window => {
                windows[layout.windows[id as usize].window as usize].1
            }
            Block::Step { lanes, .. } => lanes[layout.steps[id as usize].lane as usize].out,
            Block::Max { windows, .. } => windows[0].1,
            Block::Input { cells, .. } => cells[layout.steps[id as usize].lane as usize],
        }
    }
}
