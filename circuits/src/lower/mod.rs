//! From operators to equations: the model as linear forms, steps and maxima over cells.
//!
//! An operator does not know columns or rows. It says what its outputs are: linear forms of cells with constant
//! coefficients (dot products), step functions of such forms (requantization, tables), maxima of cells. The planner
//! then chooses how these are packed and placed. Three kinds of [`Block`] are all a circuit is made of.

mod explicit;
mod pool;
mod step;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

pub(crate) use explicit::Explicit;
pub use step::{StepError, StepRule};

use crate::chips::MAX_FAN_IN;
use crate::program::Range;

/// A witness cell that others may copy, by number. The cell holds `value - VarInfo::offset`, which is never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// What is known of a [`VarId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarInfo {
    /// Bounds on the value that the circuit enforces (not only those an honest prover keeps).
    pub range: Range,
    /// What is subtracted from the value to get the content of the cell.
    pub offset: i64,
    /// The node of the program that the cell belongs to.
    pub node: u32,
}

/// One element of a tensor during lowering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// A cell.
    Cell(VarId),
    /// A constant of the model.
    Const(i64),
    /// Form `index` of a [`LinearMap`]; not a cell, so it costs nothing by itself.
    Sum {
        /// The map, by its place in [`Lowering::maps`].
        map: u32,
        /// Which of its forms.
        index: u32,
    },
}

/// The elements of a tensor, row-major. Data movement permutes, repeats and drops them, and costs no rows.
pub type Wires = Vec<Wire>;

/// Integer linear forms `out[i] = constant(i) + Σ_j coefficient(i, j) · input[j]` of one input vector.
///
/// The forms stand in a grid (for a convolution: output rows, output columns, output channels), because forms that
/// are close in the grid share inputs, and the planner cuts the grid into boxes whose forms are proved together.
pub trait LinearForms: Debug + Send + Sync {
    /// Extents of the grid of outputs, row-major; forms are numbered in this order.
    fn grid(&self) -> Vec<usize>;

    /// Calls `f(input index, coefficient)` for each non-zero coefficient of form `out`, each input at most once.
    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64));

    /// The constant of form `out`.
    fn constant(&self, out: usize) -> i64;
}

/// Linear forms applied to actual elements.
#[derive(Clone, Debug)]
pub struct LinearMap {
    /// The input vector; cells and constants only.
    pub inputs: Wires,
    /// The forms.
    pub forms: Arc<dyn LinearForms>,
    /// The node of the program that they belong to.
    pub node: u32,
}

/// One step function applied to one linear form, or to the largest of several.
#[derive(Clone, Copy, Debug)]
pub struct StepLane {
    /// Which form of the block's map.
    pub index: u32,
    /// Further forms: the function is applied to the largest of all.
    pub others: Option<[u32; MAX_FAN_IN - 1]>,
    /// Which rule of the block.
    pub rule: u32,
    /// The cell of the result.
    pub out: VarId,
}

impl StepLane {
    /// All forms of the lane.
    pub fn forms(&self) -> impl Iterator<Item = u32> + use<> {
        std::iter::once(self.index).chain(self.others.into_iter().flatten())
    }
}

/// Largest magnitude, and largest extent, of sums that become cells where cells are needed.
const MAX_CELL: i128 = 1 << 12;

/// Inputs and result of the windows of one block of maxima.
type Windows = Vec<(Vec<VarId>, VarId)>;

/// What the circuit has to enforce, in the order in which cells come to be.
#[derive(Clone, Debug)]
pub enum Block {
    /// Cells that come from outside, each proved to lie in its range.
    Input {
        /// The cells, all of the same range.
        cells: Vec<VarId>,
        /// The range.
        range: Range,
        /// The node (or `u32::MAX` for a graph input).
        node: u32,
    },
    /// `out = rule(form)` for each lane, or `rule(max(forms))`; all lanes of a block have one form, or all several.
    Step {
        /// The map, by its place in [`Lowering::maps`].
        map: u32,
        /// The step functions.
        rules: Vec<Arc<StepRule>>,
        /// The lanes.
        lanes: Vec<StepLane>,
        /// The node of the program.
        node: u32,
    },
    /// `out = max(inputs)` for each window.
    Max {
        /// Inputs (two to [`MAX_FAN_IN`]) and result of each window.
        windows: Vec<(Vec<VarId>, VarId)>,
        /// The node of the program.
        node: u32,
    },
}

/// Why an operator cannot be expressed in the circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// An operator needs cells but was given an accumulator that nothing has requantized.
    #[error(
        "an accumulator reaches `{op}` before it is requantized; insert a QuantizeLinear before it"
    )]
    NotRequantized {
        /// The operator that needs cells.
        op: &'static str,
    },
    /// A step function does not cover what its input may reach.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Bounds beyond what 62-bit arithmetic holds.
    #[error("the values of `{op}` may reach {reach}, more than the 62 bits that are supported")]
    TooWide {
        /// The operator.
        op: &'static str,
        /// The largest magnitude.
        reach: i128,
    },
}

/// The equations of a model, as they are collected from its operators.
#[derive(Debug, Default)]
pub struct Lowering {
    /// All cells.
    pub vars: Vec<VarInfo>,
    /// All linear maps.
    pub maps: Vec<LinearMap>,
    /// All blocks, in order of evaluation.
    pub blocks: Vec<Block>,
    /// Bounds on the forms of some maps, by place, that are tighter than interval arithmetic finds.
    within: BTreeMap<u32, Range>,
    node: u32,
    renumbered: Vec<VarId>,
}

impl Lowering {
    /// From here on, what is collected belongs to this node of the program.
    pub fn enter_node(&mut self, node: u32) {
        self.node = node;
    }

    fn var(&mut self, range: Range, offset: i64) -> VarId {
        let id = VarId(self.vars.len() as u32);
        self.vars.push(VarInfo {
            range,
            offset,
            node: self.node,
        });
        id
    }

    /// `n` cells that come from outside, each proved to lie in `range`.
    pub fn inputs(&mut self, n: usize, range: Range) -> Wires {
        let cells: Vec<_> = (0..n).map(|_| self.var(range, range.lo)).collect();
        let wires = cells.iter().map(|&v| Wire::Cell(v)).collect();
        self.blocks.push(Block::Input {
            cells,
            range,
            node: self.node,
        });
        wires
    }

    /// Linear forms of `inputs`; no cell is made. Forms of forms are forms of the cells that these read.
    pub fn linear(
        &mut self,
        op: &'static str,
        inputs: &[Wire],
        forms: Arc<dyn LinearForms>,
    ) -> Result<Wires, LowerError> {
        let (inputs, forms) = match inputs.iter().any(|w| matches!(w, Wire::Sum { .. })) {
            true => explicit::compose(op, &self.maps, inputs, &forms)?,
            false => (inputs.to_vec(), forms),
        };
        let len: usize = forms.grid().iter().product();
        let map = self.maps.len() as u32;
        self.maps.push(LinearMap {
            inputs,
            forms,
            node: self.node,
        });
        Ok((0..len as u32)
            .map(|index| Wire::Sum { map, index })
            .collect())
    }

    /// Linear forms whose values lie in `range` *because of the equations that are collected already*.
    ///
    /// Interval arithmetic does not see that `v − 2^b·⌊v / 2^b⌋` is small, or that a maximum is not below its inputs.
    /// The caller does, and argues it in its documentation. It is sound because blocks are proved in order: the cells
    /// of earlier blocks are functions of the inputs, whatever the prover does, so a bound that holds for these
    /// functions holds for every accepted proof, and packing may rely on it as on one that a lookup enforces. A bound
    /// that does not hold makes the circuit unsound, or an honest prover fail.
    pub fn linear_within(
        &mut self,
        op: &'static str,
        inputs: &[Wire],
        forms: Arc<dyn LinearForms>,
        range: Range,
    ) -> Result<Wires, LowerError> {
        let map = self.maps.len() as u32;
        let wires = self.linear(op, inputs, forms)?;
        self.within.insert(map, range);
        Ok(wires)
    }

    /// Applies step functions: element `i` becomes `rules[rule_of(i)](x[i])`. Constants are folded, cells and
    /// accumulators become new cells.
    pub fn steps(
        &mut self,
        x: &[Wire],
        rules: Vec<Arc<StepRule>>,
        rule_of: impl Fn(usize) -> usize,
    ) -> Result<Wires, LowerError> {
        let mut out = vec![Wire::Const(0); x.len()];
        // Lanes of one map form one block, whatever order the elements stand in after data movement.
        let mut by_map: Vec<(u32, Vec<(usize, u32)>)> = Vec::new();
        let mut bare: Vec<(usize, Wire)> = Vec::new();
        for (i, &wire) in x.iter().enumerate() {
            match wire {
                Wire::Const(v) => out[i] = Wire::Const(rules[rule_of(i)].eval(v)?),
                Wire::Cell(_) => bare.push((i, wire)),
                Wire::Sum { map, index } => match by_map.iter_mut().find(|(m, _)| *m == map) {
                    Some((_, lanes)) => lanes.push((i, index)),
                    None => by_map.push((map, vec![(i, index)])),
                },
            }
        }
        if !bare.is_empty() {
            let inputs: Wires = bare.iter().map(|&(_, w)| w).collect();
            let map = self.maps.len() as u32;
            let forms = Arc::new(Copies { len: inputs.len() });
            self.maps.push(LinearMap {
                inputs,
                forms,
                node: self.node,
            });
            by_map.push((
                map,
                bare.iter()
                    .enumerate()
                    .map(|(j, &(i, _))| (i, j as u32))
                    .collect(),
            ));
        }
        // Rules that share a table must count its values from one offset.
        let offset = rules
            .iter()
            .map(|rule| rule.outputs().lo)
            .min()
            .unwrap_or(0)
            .min(0);
        for (map, elements) in by_map {
            let mut lanes = Vec::with_capacity(elements.len());
            for (i, index) in elements {
                let rule = rule_of(i);
                let var = self.var(rules[rule].outputs(), offset);
                out[i] = Wire::Cell(var);
                lanes.push(StepLane {
                    index,
                    others: None,
                    rule: rule as u32,
                    out: var,
                });
            }
            self.blocks.push(Block::Step {
                map,
                rules: rules.clone(),
                lanes,
                node: self.node,
            });
        }
        Ok(out)
    }

    /// Sums of few values as cells, by steps that change nothing; other elements as they are.
    fn cells(&mut self, op: &'static str, windows: &mut [Wires]) -> Result<(), LowerError> {
        let mut sums: BTreeMap<(u32, u32), Option<Wire>> = BTreeMap::new();
        let mut range: Option<Range> = None;
        for wire in windows.iter().flatten() {
            let &Wire::Sum { map, index } = wire else {
                continue;
            };
            let (lo, hi) = self.form_range(map, index);
            if lo < -MAX_CELL || hi > MAX_CELL {
                return Err(LowerError::NotRequantized { op });
            }
            let own = Range::new(lo as i64, hi as i64);
            range = Some(range.map_or(own, |r| r.union(&own)));
            sums.insert((map, index), None);
        }
        let Some(range) = range.filter(|r| i128::from(r.hi - r.lo) <= MAX_CELL) else {
            let none = sums.is_empty();
            return none.then_some(()).ok_or(LowerError::NotRequantized { op });
        };
        let wires: Wires = sums
            .keys()
            .map(|&(map, index)| Wire::Sum { map, index })
            .collect();
        let rule = StepRule::table(range, |v| v);
        let made = self.steps(&wires, vec![Arc::new(rule)], |_| 0)?;
        sums.values_mut()
            .zip(made)
            .for_each(|(sum, cell)| *sum = Some(cell));
        for wire in windows.iter_mut().flatten() {
            if let &mut Wire::Sum { map, index } = wire
                && let Some(&Some(cell)) = sums.get(&(map, index))
            {
                *wire = cell;
            }
        }
        Ok(())
    }

    /// The largest element of each window. Constants may take part; a window of constants folds. Sums of a few
    /// thousand values at most become cells.
    pub fn max(&mut self, op: &'static str, mut windows: Vec<Wires>) -> Result<Wires, LowerError> {
        self.cells(op, &mut windows)?;
        let mut out = Vec::with_capacity(windows.len());
        let mut levels: Vec<Windows> = Vec::new();
        for window in windows {
            let mut cells = Vec::with_capacity(window.len());
            let mut constant = None;
            for wire in window {
                match wire {
                    Wire::Cell(v) => cells.push(v),
                    Wire::Const(c) => constant = Some(constant.map_or(c, |d: i64| d.max(c))),
                    Wire::Sum { .. } => return Err(LowerError::NotRequantized { op }),
                }
            }
            match (cells.as_slice(), constant) {
                ([], Some(c)) => out.push(Wire::Const(c)),
                (&[only], None) => out.push(Wire::Cell(only)),
                (&[first, ..], Some(floor)) => {
                    cells[0] = self.at_least(first, floor)?;
                    out.push(Wire::Cell(self.max_tree(cells, &mut levels)));
                }
                _ => out.push(Wire::Cell(self.max_tree(cells, &mut levels))),
            }
        }
        for windows in levels {
            self.blocks.push(Block::Max {
                windows,
                node: self.node,
            });
        }
        Ok(out)
    }

    /// `max(cell, floor)`, which is a step function of the cell.
    fn at_least(&mut self, cell: VarId, floor: i64) -> Result<VarId, LowerError> {
        let range = self.vars[cell.0 as usize].range;
        if floor <= range.lo {
            return Ok(cell);
        }
        let rule = StepRule::monotone(range, None, |x| x.max(floor));
        match self
            .steps(&[Wire::Cell(cell)], vec![Arc::new(rule)], |_| 0)?
            .as_slice()
        {
            [Wire::Cell(raised)] => Ok(*raised),
            _ => Ok(cell),
        }
    }

    /// Reduces `cells` by maxima of at most [`MAX_FAN_IN`], one level after the other.
    fn max_tree(&mut self, mut cells: Vec<VarId>, levels: &mut Vec<Windows>) -> VarId {
        let mut level = 0;
        while cells.len() > 1 {
            if levels.len() == level {
                levels.push(Vec::new());
            }
            let mut next = Vec::with_capacity(cells.len().div_ceil(MAX_FAN_IN));
            for window in cells.chunks(MAX_FAN_IN) {
                let &[first, .., _] = window else {
                    next.extend(window);
                    continue;
                };
                let info = |v: &VarId| self.vars[v.0 as usize];
                let (mut range, mut offset) = (info(&first).range, info(&first).offset);
                for other in window.iter().map(info) {
                    range = Range::new(range.lo.max(other.range.lo), range.hi.max(other.range.hi));
                    offset = offset.min(other.offset);
                }
                let var = self.var(range, offset);
                levels[level].push((window.to_vec(), var));
                next.push(var);
            }
            cells = next;
            level += 1;
        }
        cells[0]
    }

    /// Bounds of form `index` of `map`, from the ranges that the circuit enforces on its inputs, and from what
    /// [`Lowering::linear_within`] was told.
    pub fn form_range(&self, map: u32, index: u32) -> (i128, i128) {
        let within = self.within.get(&map);
        let map = &self.maps[map as usize];
        let constant = i128::from(map.forms.constant(index as usize));
        let (mut lo, mut hi) = (constant, constant);
        map.forms.terms(index as usize, &mut |j, c| {
            let range = match map.inputs[j] {
                Wire::Cell(v) => self.vars[v.0 as usize].range,
                Wire::Const(v) => Range::new(v, v),
                Wire::Sum { .. } => unreachable!("maps hold cells and constants only"),
            };
            let (a, b) = (
                i128::from(c) * i128::from(range.lo),
                i128::from(c) * i128::from(range.hi),
            );
            lo += a.min(b);
            hi += a.max(b);
        });
        match within {
            Some(range) => (lo.max(i128::from(range.lo)), hi.min(i128::from(range.hi))),
            None => (lo, hi),
        }
    }
}

/// The identity map.
#[derive(Debug)]
struct Copies {
    len: usize,
}

impl LinearForms for Copies {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(out, 1);
    }

    fn constant(&self, _: usize) -> i64 {
        0
    }
}
