//! Judging one lie after the other on one witness, which is changed in place and set back.
//!
//! Constraints that read no changed cell hold, because the honest witness satisfies all. So only what a lie changes
//! is written and checked: the rows of the chains that hold a changed variable, through the path that writes honest
//! witnesses. Whether anything objects at all is usually known from the chain that defines the variable, whose cells
//! do not depend on what follows from the lie; then the rest is not computed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};

use pasta_curves::Fp;

use crate::chips::ConstraintName;
use crate::circuit::{Advice, Lies, Solver, Witness, WitnessError, small};
use crate::lower::VarId;
use crate::plan::{Cell, Host};

use super::map::Definition;
use super::mutants::Mutant;
use super::mutate::Mutator;

/// Something that is evaluated: block, whether it is a window, number.
type Unit = (u32, bool, u32);

/// A witness to lie in.
#[derive(Debug)]
pub struct Session<'m, 'a> {
    mutator: &'m Mutator<'a>,
    witness: Witness,
    advice: Advice,
    public: Vec<Fp>,
    /// What differs from the honest witness, or may.
    vars: Vec<u32>,
    steps: Vec<u32>,
    windows: Vec<u32>,
    cells: Vec<Cell>,
}

impl<'m, 'a> Session<'m, 'a> {
    pub(super) fn new(mutator: &'m Mutator<'a>) -> Self {
        Self {
            witness: mutator.witness.clone(),
            advice: mutator.honest.clone(),
            public: mutator.public.clone(),
            mutator,
            vars: Vec::new(),
            steps: Vec::new(),
            windows: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// All constraints that reject a mutant.
    pub fn judge(&mut self, mutant: &Mutant) -> BTreeSet<ConstraintName> {
        let public_changed = self.tell(mutant);
        let mut cells = std::mem::take(&mut self.cells);
        self.add_elements(public_changed, &mut cells);
        let checker = &self.mutator.checker;
        let out = checker.violated(&self.advice, &self.public, &cells);
        self.cells = cells;
        self.set_back();
        out
    }

    /// A constraint that rejects a mutant, the first that is found.
    pub fn objection(&mut self, mutant: &Mutant) -> Option<ConstraintName> {
        if let Some(found) = self.objection_nearby(mutant) {
            return Some(found);
        }
        let public_changed = self.tell(mutant);
        let mut cells = std::mem::take(&mut self.cells);
        self.add_elements(public_changed, &mut cells);
        let checker = &self.mutator.checker;
        let out = if checker.unequal(&self.advice, &self.public, &cells) {
            Some(ConstraintName::Copy)
        } else {
            checker.objection(&self.advice, &cells)
        };
        self.cells = cells;
        self.set_back();
        out
    }

    /// An objection close to the lie, if one is found among cells that have their final contents there: nothing that
    /// is computed from the lie may change them.
    fn objection_nearby(&mut self, mutant: &Mutant) -> Option<ConstraintName> {
        let mutator = self.mutator;
        let layout = &mutator.assembly.layout;
        let lies = mutator.lies(mutant)?;
        let step = |id: u32| (layout.steps[id as usize].block, false, id);
        let out = match *mutant {
            Mutant::Class(v, content) | Mutant::Bare(v, content) | Mutant::Claimed(v, content) => {
                let (block, definition) = mutator.map.defined[v.0 as usize];
                match definition {
                    Definition::Input(_) => self.objection_at_home(v, content),
                    Definition::Step(id) => self.objection_of_chains(&lies, &[step(id)]),
                    Definition::Window(id) => self.objection_of_chains(&lies, &[(block, true, id)]),
                }
            }
            Mutant::Top(id, _) | Mutant::Argument(id, _) => {
                self.objection_of_chains(&lies, &[step(id)])
            }
            Mutant::Packed((a, _), (b, _)) => self.objection_of_chains(&lies, &[step(a), step(b)]),
            Mutant::Copies(group, v, content) => self.objection_to_copies(group, v, content),
            Mutant::Cell(..) | Mutant::Summed(..) | Mutant::Carry(..) | Mutant::Distances(..) => {
                None
            }
        };
        self.set_back();
        out
    }

    /// An objection of the chains where some units stand, if these hold nothing else that depends on the units. Their
    /// copies elsewhere are not written, so copies are not compared.
    fn objection_of_chains(&mut self, lies: &Lies, units: &[Unit]) -> Option<ConstraintName> {
        let map = &self.mutator.map;
        let mut own = BTreeSet::new();
        for &(block, window, id) in units {
            let at = if window {
                &map.segments_of_window
            } else {
                &map.segments_of_step
            };
            own.extend(at.of(id));
            if own.iter().any(|&s| {
                let segment = &map.segments[s as usize];
                segment.makes != Some(block) || segment.public
            }) {
                return None;
            }
        }
        for &unit in units {
            self.evaluate(lies, unit, &mut BTreeSet::new());
        }
        own.iter().for_each(|&s| self.rewrite(lies, s));
        self.difference(&own);
        self.mutator.checker.objection(&self.advice, &self.cells)
    }

    /// An objection of a lookup that reads the home of an input and nothing else.
    fn objection_at_home(&mut self, var: VarId, content: i64) -> Option<ConstraintName> {
        let home = self.mutator.assembly.layout.homes[var.0 as usize];
        self.vars.push(var.0);
        self.witness.vars[var.0 as usize] = content;
        self.witness.write_home(var, home, &mut self.advice);
        self.cells.push(home);
        self.mutator.checker.missed_alone(&self.advice, home)
    }

    /// The objection that copies in a group differ from their home, which no lie about them changes.
    fn objection_to_copies(
        &mut self,
        group: u32,
        var: VarId,
        content: i64,
    ) -> Option<ConstraintName> {
        let mutator = self.mutator;
        let layout = &mutator.assembly.layout;
        let rows = layout.groups.get(group as usize)?.rows.clone();
        for row in rows {
            for &(column, host) in &layout.rows[row as usize].hosts {
                let cell = Cell { column, row };
                if host == Host::Var(var) && layout.homes[var.0 as usize] != cell {
                    self.advice.columns[column as usize][row as usize] = small(content);
                    self.cells.push(cell);
                }
            }
        }
        let checker = &mutator.checker;
        let unequal = checker.unequal(&self.advice, &self.public, &self.cells);
        unequal.then_some(ConstraintName::Copy)
    }

    /// Writes a mutant; returns whether the public values may have changed.
    fn tell(&mut self, mutant: &Mutant) -> bool {
        let mutator = self.mutator;
        let layout = &mutator.assembly.layout;
        let Some(lies) = mutator.lies(mutant) else {
            self.tell_cells(mutant);
            return false;
        };
        let mut dirty = BTreeSet::new();
        let mut queue = BinaryHeap::new();
        match mutant {
            Mutant::Copies(group, var, _) => {
                let held = mutator.map.segments_holding.of(var.0).iter();
                dirty.extend(held.filter(|&&s| {
                    let first = mutator.map.segments[s as usize].rows.start;
                    mutator.map.group_of_row[first as usize] == *group
                }));
                self.push_readers(*var, Some(*group), &mut queue);
            }
            Mutant::Packed((a, _), (b, _)) => {
                let unit = |id: u32| Reverse((layout.steps[id as usize].block, false, id));
                queue.extend([unit(*a), unit(*b)]);
            }
            Mutant::Top(id, _) | Mutant::Argument(id, _) => {
                queue.push(Reverse((layout.steps[*id as usize].block, false, *id)));
            }
            Mutant::Class(var, content)
            | Mutant::Bare(var, content)
            | Mutant::Claimed(var, content) => {
                let (block, definition) = mutator.map.defined[var.0 as usize];
                match definition {
                    Definition::Step(id) => queue.push(Reverse((block, false, id))),
                    Definition::Window(id) => queue.push(Reverse((block, true, id))),
                    Definition::Input(check) => {
                        self.change_input(&lies, *var, *content, check, &mut dirty);
                        self.push_readers(*var, None, &mut queue);
                    }
                }
            }
            Mutant::Cell(..) | Mutant::Summed(..) | Mutant::Carry(..) | Mutant::Distances(..) => {}
        }
        self.follow(&lies, queue, &mut dirty);
        dirty.iter().for_each(|&s| self.rewrite(&lies, s));
        let claimed = matches!(mutant, Mutant::Claimed(..));
        if claimed {
            self.claim(&mut dirty);
        }
        self.difference(&dirty);
        claimed
    }

    fn tell_cells(&mut self, mutant: &Mutant) {
        let layout = &self.mutator.assembly.layout;
        for (cell, content) in self.mutator.contents(mutant) {
            self.advice.columns[cell.column as usize][cell.row as usize] = content;
            self.cells.push(cell);
        }
        let summed: &[u32] = match mutant {
            Mutant::Summed(cell, _) => &[cell.row],
            Mutant::Distances(first, second) => &[first.row, second.row],
            _ => &[],
        };
        let map = &self.mutator.map;
        let segments = summed.iter().map(|&row| map.segment_of_row[row as usize]);
        let segments: BTreeSet<u32> = segments.collect();
        for &segment in &segments {
            let rows = &map.segments[segment as usize].rows;
            let rows = rows.start as usize..rows.end as usize;
            self.advice.sum_rows(layout, rows);
        }
        if !segments.is_empty() {
            self.cells.clear();
            self.difference(&segments);
        }
    }

    fn solver<'s>(&'s mut self, lies: &'s Lies) -> Solver<'s> {
        Solver {
            lowering: self.mutator.lowering,
            layout: &self.mutator.assembly.layout,
            places: &self.mutator.map.places,
            lies,
            out: &mut self.witness,
        }
    }

    /// Evaluates for a liar, whose values are never refused: they only fit no table.
    fn told(
        &mut self,
        evaluate: impl FnOnce(&mut Solver<'_>) -> Result<(), WitnessError>,
        lies: &Lies,
    ) {
        let told = evaluate(&mut self.solver(lies));
        debug_assert_eq!(told, Ok(()), "a liar is not refused");
    }

    fn change_input(
        &mut self,
        lies: &Lies,
        var: VarId,
        content: i64,
        check: Option<u32>,
        dirty: &mut BTreeSet<u32>,
    ) {
        let map = &self.mutator.map;
        self.witness.vars[var.0 as usize] = content;
        self.vars.push(var.0);
        dirty.extend(map.segments_holding.of(var.0));
        if let Some(id) = check {
            self.steps.push(id);
            dirty.extend(map.segments_of_step.of(id));
            self.told(|solver| solver.input_step(id), lies);
        }
    }

    /// Evaluates one step or window; returns the variable that it defines, if that has changed.
    fn evaluate(&mut self, lies: &Lies, unit: Unit, dirty: &mut BTreeSet<u32>) -> Option<u32> {
        let map = &self.mutator.map;
        let (_, window, id) = unit;
        let out = self.mutator.output_of(unit);
        let before = self.witness.vars[out.0 as usize];
        self.vars.push(out.0);
        if window {
            self.windows.push(id);
            dirty.extend(map.segments_of_window.of(id));
            self.told(|solver| solver.window(id), lies);
        } else {
            self.steps.push(id);
            dirty.extend(map.segments_of_step.of(id));
            if let Some(&distances) = map.places.window_of_step.get(&id) {
                self.windows.push(distances);
                dirty.extend(map.segments_of_window.of(distances));
            }
            self.told(|solver| solver.step(id), lies);
        }
        let changed = self.witness.vars[out.0 as usize] != before;
        if changed {
            dirty.extend(map.segments_holding.of(out.0));
        }
        changed.then_some(out.0)
    }

    fn push_readers(&self, var: VarId, group: Option<u32>, queue: &mut BinaryHeap<Reverse<Unit>>) {
        let map = &self.mutator.map;
        let layout = &self.mutator.assembly.layout;
        let here = |g: u32| group.is_none_or(|only| only == g);
        for &id in map.steps_reading.of(var.0) {
            if here(map.places.group_of_step[id as usize]) {
                queue.push(Reverse((layout.steps[id as usize].block, false, id)));
            }
        }
        for &id in map.windows_reading.of(var.0) {
            if here(map.places.group_of_window[id as usize]) {
                queue.push(Reverse((layout.windows[id as usize].block, true, id)));
            }
        }
    }

    /// Evaluates all that follows, each once, in the order of the blocks.
    fn follow(
        &mut self,
        lies: &Lies,
        mut queue: BinaryHeap<Reverse<Unit>>,
        dirty: &mut BTreeSet<u32>,
    ) {
        let mut seen = HashSet::new();
        while let Some(Reverse(unit)) = queue.pop() {
            if !seen.insert(unit) {
                continue;
            }
            if let Some(var) = self.evaluate(lies, unit, dirty) {
                self.push_readers(VarId(var), None, &mut queue);
            }
        }
    }

    /// Writes the rows of a segment from the witness.
    fn rewrite(&mut self, lies: &Lies, segment: u32) {
        let mutator = self.mutator;
        let layout = &mutator.assembly.layout;
        let rows = &mutator.map.segments[segment as usize].rows;
        let rows = rows.start as usize..rows.end as usize;
        for r in rows.clone() {
            let group = mutator.map.group_of_row[r];
            self.witness
                .write_row(layout, &self.public, lies, group, r, &mut self.advice);
        }
        for &v in mutator.map.homes.of(segment) {
            let home = layout.homes[v as usize];
            self.witness.write_home(VarId(v), home, &mut self.advice);
        }
        self.advice.sum_rows(layout, rows);
    }

    /// Claims what the chains of public elements say.
    fn claim(&mut self, dirty: &mut BTreeSet<u32>) {
        let mutator = self.mutator;
        let (layout, map) = (&mutator.assembly.layout, &mutator.map);
        let holders = dirty.iter().map(|&s| &map.segments[s as usize]);
        let groups: BTreeSet<u32> = holders
            .filter(|segment| segment.public)
            .map(|segment| map.group_of_row[segment.rows.start as usize])
            .collect();
        for group in groups.iter().filter_map(|&g| layout.groups.get(g as usize)) {
            self.advice.close_group(layout, group, &mut self.public);
            let rows = group.rows.start as usize..group.rows.end as usize;
            dirty.extend(&map.segment_of_row[rows.clone()]);
            self.advice.sum_rows(layout, rows);
        }
    }

    /// Collects the cells of some segments that differ from the honest ones.
    fn difference(&mut self, segments: &BTreeSet<u32>) {
        let honest = &self.mutator.honest.columns;
        for &segment in segments {
            let rows = self.mutator.map.segments[segment as usize].rows.clone();
            for (column, (new, old)) in self.advice.columns.iter().zip(honest).enumerate() {
                for row in rows.clone() {
                    if new[row as usize] != old[row as usize] {
                        self.cells.push(Cell {
                            column: column as u32,
                            row,
                        });
                    }
                }
            }
        }
    }

    /// Adds the cells of public elements that have changed.
    fn add_elements(&self, changed: bool, cells: &mut Vec<Cell>) {
        if changed {
            let public = self.mutator.assembly.public.iter();
            let differs =
                |e: u32| self.public.get(e as usize) != self.mutator.public.get(e as usize);
            cells.extend(public.filter(|&&(_, e)| differs(e)).map(|&(cell, _)| cell));
        }
    }

    fn set_back(&mut self) {
        let mutator = self.mutator;
        for v in self.vars.drain(..) {
            self.witness.vars[v as usize] = mutator.witness.vars[v as usize];
        }
        for id in self.steps.drain(..) {
            self.witness.steps[id as usize] = mutator.witness.steps[id as usize];
        }
        for id in self.windows.drain(..) {
            self.witness.windows[id as usize] = mutator.witness.windows[id as usize];
        }
        for Cell { column, row } in self.cells.drain(..) {
            let honest = mutator.honest.columns[column as usize][row as usize];
            self.advice.columns[column as usize][row as usize] = honest;
        }
        self.public.clone_from(&mutator.public);
    }
}
