//! Bounds that an operator claims and nothing here proves: named, recorded, listed.

use std::sync::Arc;

use super::{LinearForms, LowerError, Lowering, Wire, Wires};
use crate::program::Range;

/// A bound that an operator assumed of its forms, because of equations that it made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The operator.
    pub op: &'static str,
    /// Its node in the program.
    pub node: u32,
    /// The map, by its place in [`Lowering::maps`].
    pub map: u32,
    /// Where all of its forms are said to lie.
    pub range: Range,
    /// Of how many forms this says more than interval arithmetic finds.
    pub forms: usize,
    /// Why it holds, in the operator's words.
    pub reason: &'static str,
}

impl Lowering {
    /// Linear forms that are **assumed** to lie in `range` *because of the equations that are collected already*, for
    /// a `reason` that `zkonnx check` and `zkonnx inspect` show.
    ///
    /// Interval arithmetic does not see that `v − 2^b·⌊v / 2^b⌋` is small, or that a maximum is not below its inputs.
    /// The caller does, and argues it in its documentation. It is sound because blocks are proved in order: the cells
    /// of earlier blocks are functions of the inputs, whatever the prover does, so a bound that holds for these
    /// functions holds for every accepted proof, and packing may rely on it as on one that a lookup enforces. A bound
    /// that does not hold makes the circuit unsound, or an honest prover fail. No constraint tells: the test harness
    /// ([`crate::testing`]) searches for inputs that break it. Where interval arithmetic finds the bound by itself,
    /// nothing is assumed, and nothing recorded. Forms of such forms are forms of cells, of which nothing is assumed.
    pub fn assume_within(
        &mut self,
        op: &'static str,
        inputs: &[Wire],
        forms: Arc<dyn LinearForms>,
        range: Range,
        reason: &'static str,
    ) -> Result<Wires, LowerError> {
        let wires = self.linear(op, inputs, forms)?;
        let Some(&Wire::Sum { map, .. }) = wires.first() else {
            return Ok(wires);
        };
        let mut tightened = 0;
        for form in &mut self.maps[map as usize].ranges {
            let within = Range::new(form.lo.max(range.lo), form.hi.min(range.hi));
            if within.lo > within.hi {
                return Err(LowerError::Excluded { op, range });
            }
            tightened += usize::from(within != *form);
            *form = within;
        }
        if tightened > 0 {
            let assumption = Assumption {
                op,
                node: self.node,
                map,
                range,
                forms: tightened,
                reason,
            };
            self.assumed.insert(map, assumption);
        }
        Ok(wires)
    }

    /// All that is assumed, in the order of the equations.
    pub fn assumptions(&self) -> impl Iterator<Item = &Assumption> {
        self.assumed.values()
    }

    /// What is assumed of the forms of a map.
    pub fn assumption_of(&self, map: u32) -> Option<&Assumption> {
        self.assumed.get(&map)
    }
}
