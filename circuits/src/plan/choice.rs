//! A choice of forms on its way: which form each step block takes, and what the tables of all of them take.

use super::jobs::Jobs;
use super::tables::Cutting;

/// A form for each step block on the way to a choice, and what its tables take.
pub(super) struct Choice<'a> {
    jobs: &'a Jobs<'a>,
    /// For each step block, the number of its form.
    pub(super) forms: Vec<usize>,
    /// How often each table is used.
    uses: Vec<u32>,
    /// Steps of all tables in use.
    pub(super) steps: usize,
    /// Rows of all tables in use, once they have been asked for.
    rows: Option<(Cutting, usize)>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(jobs: &'a Jobs<'a>) -> Self {
        let mut choice = Self {
            jobs,
            forms: vec![0; jobs.steps.len()],
            uses: vec![0; jobs.tables.len()],
            steps: 0,
            rows: None,
        };
        for job in &jobs.steps {
            job.tables[0].iter().for_each(|&table| choice.add(table));
        }
        let of_inputs = jobs.inputs.iter().filter_map(|job| job.table);
        of_inputs.for_each(|table| choice.add(table));
        choice
    }

    pub(super) fn rows(&mut self, cutting: Cutting) -> usize {
        if let Some((of, rows)) = self.rows
            && of == cutting
        {
            return rows;
        }
        let used = self.uses.iter().enumerate().filter(|(_, uses)| **uses > 0);
        let rows = used.map(|(table, _)| self.jobs.size(table, cutting).rows);
        let rows = rows.fold(0, usize::saturating_add);
        self.rows = Some((cutting, rows));
        rows
    }

    /// Moves a block on to its next form.
    pub(super) fn advance(&mut self, block: usize) {
        let job = &self.jobs.steps[block];
        let form = self.forms[block];
        job.tables[form]
            .iter()
            .for_each(|&table| self.remove(table));
        job.tables[form + 1]
            .iter()
            .for_each(|&table| self.add(table));
        self.forms[block] += 1;
    }

    fn add(&mut self, table: usize) {
        self.uses[table] += 1;
        if self.uses[table] == 1 {
            self.steps += self.jobs.tables[table].steps.len();
            if let Some((cutting, rows)) = &mut self.rows {
                *rows = rows.saturating_add(self.jobs.size(table, *cutting).rows);
            }
        }
    }

    fn remove(&mut self, table: usize) {
        self.uses[table] -= 1;
        if self.uses[table] == 0 {
            self.steps -= self.jobs.tables[table].steps.len();
            if let Some((cutting, rows)) = &mut self.rows {
                *rows = rows.saturating_sub(self.jobs.size(table, *cutting).rows);
            }
        }
    }
}
