//! The equations of a whole model: what its compiler holds, and an operator adds to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{LowerError, Lowering, Wire, Wires};
use crate::program::Range;

/// Tells collectors of one process apart; it is part of nothing that is made.
static COLLECTORS: AtomicU64 = AtomicU64::new(0);

/// Collects the equations of a model, node by node.
///
/// Cells that come from outside are made here. An operator is handed a [`Lowering`], which has no way to make one: a
/// cell that no equation defines is a free choice of the prover.
#[derive(Debug)]
pub struct Collector {
    lowering: Lowering,
    stamp: u64,
}

impl Collector {
    /// No equations yet.
    #[allow(clippy::new_without_default, reason = "each collector is another one")]
    pub fn new() -> Self {
        let stamp = COLLECTORS.fetch_add(1, Ordering::Relaxed);
        let lowering = Lowering {
            vars: Vec::new(),
            maps: Vec::new(),
            blocks: Vec::new(),
            assumed: BTreeMap::new(),
            node: 0,
            renumbered: Vec::new(),
            stamp,
        };
        Self { lowering, stamp }
    }

    /// `n` cells that come from outside and belong to `node`, each proved to lie in `range`.
    pub fn inputs(&mut self, node: u32, n: usize, range: Range) -> Result<Wires, LowerError> {
        self.lowering.node = node;
        self.lowering.inputs(n, range)
    }

    /// The equations, to which `node` of the program may add.
    pub fn node(&mut self, node: u32) -> &mut Lowering {
        self.lowering.node = node;
        &mut self.lowering
    }

    /// Checks what an operator has left behind: the equations that it was given, and as many elements as it promised,
    /// all of them defined.
    pub fn check(
        &self,
        op: &'static str,
        outputs: &[Wires],
        expected: &[usize],
    ) -> Result<(), LowerError> {
        if self.lowering.stamp != self.stamp {
            return Err(LowerError::Exchanged { op });
        }
        let count = |lens: &mut dyn Iterator<Item = usize>| lens.sum();
        if !outputs.iter().map(Vec::len).eq(expected.iter().copied()) {
            return Err(LowerError::Outputs {
                op,
                expected: count(&mut expected.iter().copied()),
                got: count(&mut outputs.iter().map(Vec::len)),
            });
        }
        for &wire in outputs.iter().flatten() {
            self.lowering.range_of(op, wire)?;
        }
        Ok(())
    }

    /// The equations of the model, with maxima before steps wherever that is exact; `outputs` leave the graph.
    pub fn finish<'a>(
        mut self,
        outputs: impl Iterator<Item = &'a Wire>,
    ) -> Result<Lowering, LowerError> {
        self.lowering.pool_before_steps(outputs)?;
        Ok(self.lowering)
    }

    /// The equations so far.
    pub fn lowering(&self) -> &Lowering {
        &self.lowering
    }
}
