//! What the search may spend, as a count.
//!
//! A plan has to be the same on every machine, so the search is not ended by a clock but by the number of its steps.
//! One step is about what a processor does in ten nanoseconds; the weights below were fitted to that.

use std::cell::Cell;

/// Steps of a whole search.
pub(super) const SEARCH_STEPS: u64 = 600_000_000;
/// Of these, what the choice of candidates may take in percent; the rest is kept for placing them.
const CHOICE_PERCENT: u64 = 70;

/// Steps for each cell of a circuit that is placed.
pub(super) const PLACED_CELL: u64 = 6;
/// Steps for each kind of group whose rows are counted.
pub(super) const PRICED_GROUP: u64 = 4;

/// A count of steps that runs down.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    spent: Cell<u64>,
}

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self {
            steps,
            spent: Cell::new(0),
        }
    }

    /// What was spent.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        self.spent.get()
    }

    pub(super) fn spend(&self, steps: u64) {
        self.spent.set(self.spent.get().saturating_add(steps));
    }

    /// Whether no more candidates are to be looked for.
    pub(super) fn choice_is_over(&self) -> bool {
        self.spent.get() >= self.steps / 100 * CHOICE_PERCENT
    }

    /// Whether a quarter more is spent: the end of looking for a reason why there is no plan.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.spent.get() / 5 >= self.steps / 4
    }

    /// Whether everything is spent.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get() >= self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_met_by_the_step_that_reaches_it() {
        let budget = Budget::new(1_000);
        let state = || {
            let (choice, all) = (budget.choice_is_over(), budget.is_spent());
            (choice, all, budget.is_overdrawn())
        };
        let mut seen = Vec::new();
        for step in 1..=1_500 {
            budget.spend(1);
            if seen.last().map(|&(_, last)| last) != Some(state()) {
                seen.push((step, state()));
            }
        }
        let expected = [
            (1, (false, false, false)),
            (700, (true, false, false)),
            (1_000, (true, true, false)),
            (1_250, (true, true, true)),
        ];
        assert_eq!(seen, expected);
    }
}
