//! From operators to equations: the model as linear forms, steps and maxima over cells.
//!
//! An operator does not know columns or rows. It says what its outputs are: linear forms of cells with constant
//! coefficients (dot products), step functions of such forms (requantization, tables), maxima of cells. The planner
//! then chooses how these are packed and placed. Three kinds of [`Block`] are all a circuit is made of.

mod assume;
mod collect;
mod error;
mod explicit;
mod pool;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

pub use assume::Assumption;
pub use collect::Collector;
pub use error::LowerError;
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

/// What a linear form reads: a form of a form is written out as one of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A cell.
    Cell(VarId),
    /// A constant of the model.
    Const(i64),
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
    /// The input vector.
    pub inputs: Vec<Operand>,
    /// The forms.
    pub forms: Arc<dyn LinearForms>,
    /// The node of the program that they belong to.
    pub node: u32,
    /// Bounds of each form.
    ranges: Vec<Range>,
}

impl LinearMap {
    /// Number of forms.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no form.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
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

/// Bounds on the magnitude of what a form may reach: sums of two such values do not overflow.
const MAX_REACH: i128 = 1 << 62;

/// The equations of a model, as they are collected from its operators.
///
/// An operator adds to them with [`Lowering::linear`], [`Lowering::steps`], [`Lowering::max`] and, visibly,
/// [`Lowering::assume_within`]. It cannot write what is there: bounds of cells follow from the blocks that enforce
/// them. It cannot make a cell that nothing defines either, as only the compiler makes inputs ([`Collector`]).
///
/// ```
/// use zkonnx_circuits::{lower::Lowering, program::Range};
/// fn look(cx: &mut Lowering) -> Range { cx.vars()[0].range }
/// ```
/// ```compile_fail,E0616
/// use zkonnx_circuits::{lower::Lowering, program::Range};
/// fn tighten(cx: &mut Lowering) { cx.vars[0].range = Range::new(0, 1) }
/// ```
/// ```compile_fail,E0616
/// use zkonnx_circuits::lower::Lowering;
/// fn push(cx: &mut Lowering) { cx.blocks.clear() }
/// ```
/// ```compile_fail,E0624
/// use zkonnx_circuits::{lower::Lowering, program::Range};
/// fn hint(cx: &mut Lowering) { cx.inputs(1, Range::new(0, 1)); }
/// ```
#[derive(Debug)]
pub struct Lowering {
    vars: Vec<VarInfo>,
    maps: Vec<LinearMap>,
    blocks: Vec<Block>,
    /// What operators assumed of the forms of some maps, by place.
    assumed: BTreeMap<u32, Assumption>,
    node: u32,
    /// What became of each cell when maxima were moved before steps.
    renumbered: Vec<Option<VarId>>,
    /// Which collector the equations belong to.
    stamp: u64,
}

impl Lowering {
    /// All cells.
    pub fn vars(&self) -> &[VarInfo] {
        &self.vars
    }

    /// What is known of a cell.
    pub fn var(&self, id: VarId) -> VarInfo {
        self.vars[id.0 as usize]
    }

    /// All linear maps.
    pub fn maps(&self) -> &[LinearMap] {
        &self.maps
    }

    /// All blocks, in order of evaluation.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn make_var(
        &mut self,
        op: &'static str,
        range: Range,
        offset: i64,
    ) -> Result<VarId, LowerError> {
        let reach = [i128::from(range.lo).abs(), i128::from(range.hi).abs()];
        let content = i128::from(range.hi) - i128::from(offset);
        let reach = reach.into_iter().fold(content, i128::max);
        if reach > MAX_REACH {
            return Err(LowerError::TooWide { op, reach });
        }
        let id = VarId(self.vars.len() as u32);
        self.vars.push(VarInfo {
            range,
            offset,
            node: self.node,
        });
        Ok(id)
    }

    fn inputs(&mut self, n: usize, range: Range) -> Result<Wires, LowerError> {
        let cells = (0..n)
            .map(|_| self.make_var("input", range, range.lo))
            .collect::<Result<Vec<_>, _>>()?;
        let wires = cells.iter().map(|&v| Wire::Cell(v)).collect();
        self.blocks.push(Block::Input {
            cells,
            range,
            node: self.node,
        });
        Ok(wires)
    }

    /// Bounds that the circuit enforces on an element; `op` is named if there is no such element.
    pub fn range_of(&self, op: &'static str, wire: Wire) -> Result<Range, LowerError> {
        match wire {
            Wire::Const(v) => Some(Range::new(v, v)),
            Wire::Cell(v) => self.vars.get(v.0 as usize).map(|info| info.range),
            Wire::Sum { map, index } => {
                let map = self.maps.get(map as usize);
                map.and_then(|map| map.ranges.get(index as usize)).copied()
            }
        }
        .ok_or(LowerError::NoSuchElement { op, wire })
    }

    /// Adds forms of cells and constants. Their bounds follow from those of the inputs.
    fn push_map(
        &mut self,
        op: &'static str,
        inputs: Vec<Operand>,
        forms: Arc<dyn LinearForms>,
    ) -> Result<u32, LowerError> {
        let of_inputs = inputs
            .iter()
            .map(|operand| match *operand {
                Operand::Cell(v) => self.range_of(op, Wire::Cell(v)),
                Operand::Const(v) => Ok(Range::new(v, v)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let len: usize = forms.grid().iter().product();
        let ranges = (0..len)
            .map(|out| form_bounds(op, forms.as_ref(), out, &of_inputs))
            .collect::<Result<Vec<_>, _>>()?;
        let map = self.maps.len() as u32;
        self.maps.push(LinearMap {
            inputs,
            forms,
            node: self.node,
            ranges,
        });
        Ok(map)
    }

    /// Linear forms of `inputs`; no cell is made. Forms of forms are forms of the cells that these read.
    pub fn linear(
        &mut self,
        op: &'static str,
        inputs: &[Wire],
        forms: Arc<dyn LinearForms>,
    ) -> Result<Wires, LowerError> {
        for &wire in inputs {
            self.range_of(op, wire)?;
        }
        let operand = |wire: &Wire| match *wire {
            Wire::Cell(v) => Some(Operand::Cell(v)),
            Wire::Const(v) => Some(Operand::Const(v)),
            Wire::Sum { .. } => None,
        };
        let (inputs, forms) = match inputs.iter().map(operand).collect::<Option<_>>() {
            None => explicit::compose(op, &self.maps, inputs, &forms)?,
            Some(inputs) => (inputs, forms),
        };
        let map = self.push_map(op, inputs, forms)?;
        let len = self.maps[map as usize].len() as u32;
        Ok((0..len).map(|index| Wire::Sum { map, index }).collect())
    }

    /// Applies step functions: element `i` becomes `rules[rule_of(i)](x[i])`. Constants are folded, cells and
    /// accumulators become new cells. A rule has to cover all that the circuit lets its elements reach.
    pub fn steps(
        &mut self,
        x: &[Wire],
        rules: Vec<Arc<StepRule>>,
        rule_of: impl Fn(usize) -> usize,
    ) -> Result<Wires, LowerError> {
        const OP: &str = "a step function";
        let mut out = vec![Wire::Const(0); x.len()];
        // Lanes of one map form one block, whatever order the elements stand in after data movement.
        let mut by_map: Vec<(u32, Vec<(usize, u32)>)> = Vec::new();
        let mut bare: Vec<(usize, Operand)> = Vec::new();
        for (i, &wire) in x.iter().enumerate() {
            let rule = rules.get(rule_of(i));
            let rule = rule.ok_or(LowerError::NoSuchRule { rules: rules.len() })?;
            rule.check_covers(self.range_of(OP, wire)?)?;
            match wire {
                Wire::Const(v) => out[i] = Wire::Const(rule.eval(v)?),
                Wire::Cell(v) => bare.push((i, Operand::Cell(v))),
                Wire::Sum { map, index } => match by_map.iter_mut().find(|(m, _)| *m == map) {
                    Some((_, lanes)) => lanes.push((i, index)),
                    None => by_map.push((map, vec![(i, index)])),
                },
            }
        }
        if !bare.is_empty() {
            let inputs: Vec<Operand> = bare.iter().map(|&(_, cell)| cell).collect();
            let forms = Arc::new(Copies { len: inputs.len() });
            let map = self.push_map(OP, inputs, forms)?;
            let lanes = bare.iter().zip(0..).map(|(&(i, _), j)| (i, j));
            by_map.push((map, lanes.collect()));
        }
        // Rules that share a table must count its values from one offset.
        let lowest = rules.iter().map(|rule| rule.outputs().lo);
        let offset = lowest.fold(0, i64::min);
        for (map, elements) in by_map {
            let mut lanes = Vec::with_capacity(elements.len());
            for (i, index) in elements {
                let rule = rule_of(i);
                let var = self.make_var(OP, rules[rule].outputs(), offset)?;
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
            let own = self.range_of(op, *wire)?;
            if i128::from(own.lo) < -MAX_CELL || i128::from(own.hi) > MAX_CELL {
                return Err(LowerError::NotRequantized { op });
            }
            range = Some(range.map_or(own, |r| r.union(&own)));
            sums.insert((map, index), None);
        }
        let Some(range) = range else {
            return Ok(());
        };
        if i128::from(range.hi) - i128::from(range.lo) > MAX_CELL {
            return Err(LowerError::NotRequantized { op });
        }
        let wires: Wires = sums
            .keys()
            .map(|&(map, index)| Wire::Sum { map, index })
            .collect();
        let rule = StepRule::table(range, |v| v)?;
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
                self.range_of(op, wire)?;
                match wire {
                    Wire::Cell(v) => cells.push(v),
                    Wire::Const(c) => constant = Some(constant.map_or(c, |d: i64| d.max(c))),
                    Wire::Sum { .. } => return Err(LowerError::NotRequantized { op }),
                }
            }
            match (cells.as_slice(), constant) {
                ([], None) => return Err(LowerError::EmptyWindow { op }),
                ([], Some(c)) => out.push(Wire::Const(c)),
                (&[only], None) => out.push(Wire::Cell(only)),
                (&[first, ..], Some(floor)) => {
                    cells[0] = self.at_least(op, first, floor)?;
                    out.push(Wire::Cell(self.max_tree(op, cells, &mut levels)?));
                }
                _ => out.push(Wire::Cell(self.max_tree(op, cells, &mut levels)?)),
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
    fn at_least(&mut self, op: &'static str, cell: VarId, floor: i64) -> Result<VarId, LowerError> {
        let range = self.vars[cell.0 as usize].range;
        if floor <= range.lo {
            return Ok(cell);
        }
        let rule = StepRule::monotone(range, None, |x| x.max(floor));
        let wire = Wire::Cell(cell);
        let raised = self.steps(&[wire], vec![Arc::new(rule)], |_| 0)?;
        match raised.as_slice() {
            [Wire::Cell(raised)] => Ok(*raised),
            _ => Err(LowerError::NoSuchElement { op, wire }),
        }
    }

    /// Reduces `cells` by maxima of at most [`MAX_FAN_IN`], one level after the other.
    fn max_tree(
        &mut self,
        op: &'static str,
        mut cells: Vec<VarId>,
        levels: &mut Vec<Windows>,
    ) -> Result<VarId, LowerError> {
        let mut level = 0;
        while cells.len() > 1 {
            if levels.len() == level {
                levels.push(Vec::new());
            }
            let mut next = Vec::new();
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
                let var = self.make_var(op, range, offset)?;
                levels[level].push((window.to_vec(), var));
                next.push(var);
            }
            cells = next;
            level += 1;
        }
        match cells[..] {
            [last] => Ok(last),
            _ => Err(LowerError::EmptyWindow { op }),
        }
    }

    /// Bounds of form `index` of `map`: from the ranges that the circuit enforces on its inputs, and from what was
    /// assumed of it.
    pub fn form_range(&self, map: u32, index: u32) -> Range {
        self.maps[map as usize].ranges[index as usize]
    }
}

/// Bounds of one form by interval arithmetic. No partial sum is wider than 62 bits either.
fn form_bounds(
    op: &'static str,
    forms: &dyn LinearForms,
    out: usize,
    inputs: &[Range],
) -> Result<Range, LowerError> {
    let constant = i128::from(forms.constant(out));
    let (mut lo, mut hi, mut reach) = (constant, constant, constant.abs());
    let mut missing = None;
    forms.terms(out, &mut |j, c| {
        let Some(range) = inputs.get(j) else {
            missing = Some(j);
            return;
        };
        let c = i128::from(c);
        let (a, b) = (c * i128::from(range.lo), c * i128::from(range.hi));
        lo = lo.saturating_add(a.min(b));
        hi = hi.saturating_add(a.max(b));
        reach = reach.saturating_add(a.abs().max(b.abs()));
    });
    if let Some(input) = missing {
        let inputs = inputs.len();
        return Err(LowerError::NoSuchInput { op, input, inputs });
    }
    if reach > MAX_REACH {
        return Err(LowerError::TooWide { op, reach });
    }
    Ok(Range::new(lo as i64, hi as i64))
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
