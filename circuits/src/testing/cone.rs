//! The part of a model's equations that one linear form depends on, evaluated in place.
//!
//! A change of one input is followed through the equations that read it, so that a search over thousands of inputs
//! costs what changes and no more.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use crate::lower::{Block, Lowering, Operand, StepRule, VarId};
use crate::program::Range;

/// How a cell comes to be.
#[derive(Clone, Debug)]
enum Origin {
    Input(Range),
    /// A step of the largest of some forms of a map.
    Step {
        map: u32,
        forms: Vec<u32>,
        rule: Arc<StepRule>,
    },
    Max(Vec<VarId>),
}

/// How every cell of a model comes to be, by number.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    pub(super) lowering: &'a Lowering,
    origins: Vec<Origin>,
    /// The place of each input cell among all input values.
    inputs: HashMap<u32, usize>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(lowering: &'a Lowering) -> Self {
        let mut origins: HashMap<u32, Origin> = HashMap::new();
        let mut inputs = HashMap::new();
        for block in lowering.blocks() {
            match block {
                Block::Input { cells, range, .. } => {
                    for cell in cells {
                        inputs.insert(cell.0, inputs.len());
                        origins.insert(cell.0, Origin::Input(*range));
                    }
                }
                Block::Step {
                    map, rules, lanes, ..
                } => {
                    for lane in lanes {
                        let (forms, rule) = (lane.forms().collect(), &rules[lane.rule as usize]);
                        let (map, rule) = (*map, rule.clone());
                        origins.insert(lane.out.0, Origin::Step { map, forms, rule });
                    }
                }
                Block::Max { windows, .. } => {
                    for (cells, out) in windows {
                        origins.insert(out.0, Origin::Max(cells.clone()));
                    }
                }
            }
        }
        let all = 0..lowering.vars().len() as u32;
        let origins = all.map(|v| {
            let origin = origins.remove(&v);
            origin.unwrap_or_else(|| panic!("nothing defines cell {v}"))
        });
        Self {
            origins: origins.collect(),
            lowering,
            inputs,
        }
    }

    /// Number of input values.
    pub(super) fn input_count(&self) -> usize {
        self.inputs.len()
    }

    fn of(&self, v: u32) -> &Origin {
        &self.origins[v as usize]
    }
}

/// The largest of some linear forms, or one cell: what a search drives to its extremes.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Forms { map: u32, forms: Vec<u32> },
    Cell(VarId),
}

/// A linear form of cells of the cone.
struct Sum {
    value: i128,
    /// The cell whose step reads it, if it is not the target's.
    reader: Option<usize>,
    /// The map that it belongs to.
    map: Option<u32>,
    /// Its cells with their coefficients.
    terms: Vec<(usize, i128)>,
}

/// A step was given an argument outside its domain: what was said of this map does not hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outside {
    pub(super) map: u32,
    pub(super) value: i128,
}

/// A cone with values in it.
pub(super) struct Cone<'a> {
    origins: &'a Origins<'a>,
    /// Cells in the order in which they can be evaluated.
    cells: Vec<u32>,
    values: Vec<i64>,
    sums: Vec<Sum>,
    /// For each cell, the sums that read it, with its coefficient.
    read_by: Vec<Vec<(usize, i128)>>,
    /// For each cell, the maxima that read it.
    maxima: Vec<Vec<usize>>,
    /// For each cell, the sums that its step reads.
    arguments: Vec<Vec<usize>>,
    /// The sums of the target.
    target: Vec<usize>,
    place: HashMap<u32, usize>,
    /// Terms that were followed so far.
    pub(super) work: u64,
}

impl<'a> Cone<'a> {
    pub(super) fn new(origins: &'a Origins<'a>, target: &Target) -> Self {
        let lowering = origins.lowering;
        let read = |map: u32, form: u32, f: &mut dyn FnMut(VarId)| {
            let map = &lowering.maps()[map as usize];
            map.forms.terms(form as usize, &mut |j, _| {
                if let Operand::Cell(v) = map.inputs[j] {
                    f(v);
                }
            });
        };
        let mut cells: BTreeSet<u32> = BTreeSet::new();
        let mut left: Vec<u32> = Vec::new();
        match target {
            Target::Cell(v) => left.push(v.0),
            Target::Forms { map, forms } => {
                forms
                    .iter()
                    .for_each(|&form| read(*map, form, &mut |v| left.push(v.0)));
            }
        }
        while let Some(v) = left.pop() {
            if !cells.insert(v) {
                continue;
            }
            match origins.of(v) {
                Origin::Input(_) => {}
                Origin::Step { map, forms, .. } => {
                    forms
                        .iter()
                        .for_each(|&form| read(*map, form, &mut |v| left.push(v.0)));
                }
                Origin::Max(inputs) => left.extend(inputs.iter().map(|v| v.0)),
            }
        }
        let cells: Vec<u32> = cells.into_iter().collect();
        let place: HashMap<u32, usize> = cells.iter().zip(0..).map(|(&v, i)| (v, i)).collect();
        let mut cone = Self {
            origins,
            values: vec![0; cells.len()],
            sums: Vec::new(),
            read_by: vec![Vec::new(); cells.len()],
            maxima: vec![Vec::new(); cells.len()],
            arguments: vec![Vec::new(); cells.len()],
            target: Vec::new(),
            cells,
            place,
            work: 0,
        };
        cone.connect(target);
        cone
    }

    fn connect(&mut self, target: &Target) {
        for i in 0..self.cells.len() {
            match self.origins.of(self.cells[i]) {
                Origin::Input(_) => {}
                Origin::Step { map, forms, .. } => {
                    self.arguments[i] = forms.iter().map(|&f| self.add(*map, f, Some(i))).collect();
                }
                Origin::Max(inputs) => {
                    for v in inputs {
                        self.maxima[self.place[&v.0]].push(i);
                    }
                }
            }
        }
        self.target = match target {
            Target::Forms { map, forms } => {
                forms.iter().map(|&f| self.add(*map, f, None)).collect()
            }
            Target::Cell(v) => vec![self.add_terms(0, vec![(self.place[&v.0], 1)], None, None)],
        };
    }

    fn add(&mut self, map: u32, form: u32, reader: Option<usize>) -> usize {
        let of = &self.origins.lowering.maps()[map as usize];
        let mut value = i128::from(of.forms.constant(form as usize));
        let mut terms = Vec::new();
        of.forms
            .terms(form as usize, &mut |j, c| match of.inputs[j] {
                Operand::Cell(v) => terms.push((self.place[&v.0], i128::from(c))),
                Operand::Const(k) => value += i128::from(c) * i128::from(k),
            });
        self.add_terms(value, terms, reader, Some(map))
    }

    fn add_terms(
        &mut self,
        value: i128,
        terms: Vec<(usize, i128)>,
        reader: Option<usize>,
        map: Option<u32>,
    ) -> usize {
        let sum = self.sums.len();
        for &(cell, c) in &terms {
            self.read_by[cell].push((sum, c));
        }
        self.sums.push(Sum {
            value,
            reader,
            map,
            terms,
        });
        sum
    }

    /// The input cells: place in the cone and range.
    pub(super) fn inputs(&self) -> Vec<(usize, Range)> {
        let numbered = self.cells.iter().enumerate();
        let of = |(i, &v): (usize, &u32)| match self.origins.of(v) {
            Origin::Input(range) => Some((i, *range)),
            _ => None,
        };
        numbered.filter_map(of).collect()
    }

    /// The value of a cell.
    pub(super) fn value(&self, cell: usize) -> i64 {
        self.values[cell]
    }

    /// The value of the target: that of its largest form.
    pub(super) fn objective(&self) -> i128 {
        let values = self.target.iter().map(|&s| self.sums[s].value);
        values.fold(i128::MIN, i128::max)
    }

    /// Sets all inputs.
    pub(super) fn start(&mut self, inputs: &[(usize, i64)]) -> Result<(), Outside> {
        let all: Vec<(usize, i64)> = inputs.to_vec();
        // Every cell is evaluated once, as cells that are zero by chance are not changed by anything.
        self.change(&all, true)
    }

    /// Sets one input, and all that follows from it.
    pub(super) fn set(&mut self, cell: usize, value: i64) -> Result<(), Outside> {
        self.change(&[(cell, value)], false)
    }

    fn change(&mut self, inputs: &[(usize, i64)], whole: bool) -> Result<(), Outside> {
        let mut queue: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
        let mut queued = BTreeSet::new();
        let mut broken = None;
        for &(cell, value) in inputs {
            self.assign(cell, value, &mut queue, &mut queued);
        }
        if whole {
            let made = (0..self.cells.len())
                .filter(|&i| !matches!(self.origins.of(self.cells[i]), Origin::Input(_)));
            for i in made {
                if queued.insert(i) {
                    queue.push(Reverse(i));
                }
            }
        }
        while let Some(Reverse(cell)) = queue.pop() {
            queued.remove(&cell);
            let value = match self.origins.of(self.cells[cell]) {
                Origin::Input(_) => continue,
                Origin::Step { rule, .. } => {
                    let arguments = self.arguments[cell].iter().map(|&s| &self.sums[s]);
                    let Some(sum) = arguments.max_by_key(|sum| sum.value) else {
                        continue;
                    };
                    let domain = rule.domain();
                    let inside = i64::try_from(sum.value)
                        .ok()
                        .filter(|&v| domain.contains(v));
                    if inside.is_none() {
                        let (map, value) = (sum.map.unwrap_or(u32::MAX), sum.value);
                        broken = broken.or(Some(Outside { map, value }));
                    }
                    // Beyond its domain a step has no value; the search goes on with the nearest.
                    let nearest = sum.value.clamp(domain.lo.into(), domain.hi.into());
                    rule.eval(nearest as i64).expect("it lies in the domain")
                }
                Origin::Max(inputs) => {
                    self.work += inputs.len() as u64;
                    let values = inputs.iter().map(|v| self.values[self.place[&v.0]]);
                    values.fold(i64::MIN, i64::max)
                }
            };
            self.assign(cell, value, &mut queue, &mut queued);
        }
        broken.map_or(Ok(()), Err)
    }

    fn assign(
        &mut self,
        cell: usize,
        value: i64,
        queue: &mut BinaryHeap<Reverse<usize>>,
        queued: &mut BTreeSet<usize>,
    ) {
        let by = i128::from(value) - i128::from(self.values[cell]);
        self.work += 1;
        if by == 0 {
            return;
        }
        self.values[cell] = value;
        let mut push = |reader: usize| {
            if queued.insert(reader) {
                queue.push(Reverse(reader));
            }
        };
        self.work += self.read_by[cell].len() as u64;
        for &(sum, c) in &self.read_by[cell] {
            let sum = &mut self.sums[sum];
            sum.value += c * by;
            sum.reader.into_iter().for_each(&mut push);
        }
        self.maxima[cell].iter().copied().for_each(push);
    }

    /// How much the target grows with each input, by the coefficients of the forms and the mean slopes of the steps
    /// between them. Only its sign is used, and only as a guess where to start.
    pub(super) fn slopes(&self) -> Vec<i128> {
        const UNIT: i128 = 1 << 40;
        let mut slopes = vec![0i128; self.cells.len()];
        for &sum in &self.target {
            for &(cell, c) in &self.sums[sum].terms {
                slopes[cell] = slopes[cell].saturating_add(c.saturating_mul(UNIT));
            }
        }
        for i in (0..self.cells.len()).rev() {
            match self.origins.of(self.cells[i]) {
                Origin::Input(_) => {}
                Origin::Step { rule, .. } => {
                    let (Some(first), Some(last)) = (rule.pieces().first(), rule.pieces().last())
                    else {
                        continue;
                    };
                    let rise = i128::from(last.1) - i128::from(first.1);
                    let run = i128::from(rule.domain().span()).max(1);
                    let slope = slopes[i].saturating_mul(rise) / run;
                    for &sum in &self.arguments[i] {
                        for &(cell, c) in &self.sums[sum].terms {
                            slopes[cell] = slopes[cell].saturating_add(c.saturating_mul(slope));
                        }
                    }
                }
                Origin::Max(inputs) => {
                    for v in inputs {
                        let at = self.place[&v.0];
                        slopes[at] = slopes[at].saturating_add(slopes[i] / inputs.len() as i128);
                    }
                }
            }
        }
        slopes
    }

    /// The values of all inputs of the model: those of the cone, and the lowest of the others.
    pub(super) fn whole_input(&self) -> Vec<i64> {
        let mut out = vec![0; self.origins.input_count()];
        for (&cell, &place) in &self.origins.inputs {
            out[place] = match (self.place.get(&cell), self.origins.of(cell)) {
                (Some(&at), _) => self.values[at],
                (None, Origin::Input(range)) => range.lo,
                (None, _) => 0,
            };
        }
        out
    }
}
