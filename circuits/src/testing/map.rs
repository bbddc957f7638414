//! Where everything stands and who reads it: what a change of one variable touches.

use std::ops::Range;

use crate::circuit::{Assembly, Places};
use crate::lower::{Block, Lowering, Operand, VarId};
use crate::plan::{Host, Layout};

/// Lists of numbers, by number.
#[derive(Debug)]
pub(super) struct Lists {
    start: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    /// Collects `(list, item)`; `visit` is called twice and has to say the same.
    fn new(lists: usize, visit: impl Fn(&mut dyn FnMut(u32, u32))) -> Self {
        let mut start = vec![0u32; lists + 2];
        visit(&mut |list, _| start[list as usize + 2] += 1);
        for i in 1..start.len() {
            start[i] += start[i - 1];
        }
        let mut items = vec![0; start.last().map_or(0, |&n| n as usize)];
        visit(&mut |list, item| {
            let next = &mut start[list as usize + 1];
            items[*next as usize] = item;
            *next += 1;
        });
        Self { start, items }
    }

    pub(super) fn of(&self, list: u32) -> &[u32] {
        let list = list as usize;
        &self.items[self.start[list] as usize..self.start[list + 1] as usize]
    }
}

/// What defines a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    /// It comes from outside; the step that checks its range, if there is one.
    Input(Option<u32>),
    /// A step.
    Step(u32),
    /// A window.
    Window(u32),
}

/// A run of rows that continue each other's sums.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) rows: Range<u32>,
    /// The block that its steps and windows belong to, if all other cells hold what comes before it or from it: then
    /// no cell here depends on what the block makes, but for the cells that hold just that.
    pub(super) makes: Option<u32>,
    /// Whether it holds public elements.
    pub(super) public: bool,
}

/// The dependencies of a placed model.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) places: Places,
    pub(super) segments: Vec<Segment>,
    pub(super) segment_of_row: Vec<u32>,
    pub(super) group_of_row: Vec<u32>,
    /// Steps that read a variable.
    pub(super) steps_reading: Lists,
    /// Windows that read a variable.
    pub(super) windows_reading: Lists,
    /// Segments with a cell that holds a variable, its home among them.
    pub(super) segments_holding: Lists,
    /// Segments where a step stands.
    pub(super) segments_of_step: Lists,
    /// Segments where a window stands.
    pub(super) segments_of_window: Lists,
    /// Variables at home in a segment.
    pub(super) homes: Lists,
    /// Block and definition of a variable.
    pub(super) defined: Vec<(u32, Definition)>,
}

impl Map {
    pub(super) fn new(lowering: &Lowering, assembly: &Assembly) -> Self {
        let layout = &assembly.layout;
        let places = Places::new(lowering, layout);
        let rows = layout.rows.len();
        let mut group_of_row = vec![u32::MAX; rows];
        for (group, g) in layout.groups.iter().zip(0..) {
            group_of_row[group.rows.start as usize..group.rows.end as usize].fill(g);
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut segment_of_row = Vec::with_capacity(rows);
        for (row, r) in layout.rows.iter().zip(0..) {
            match segments.last_mut().filter(|_| row.carry) {
                Some(segment) => segment.rows.end = r + 1,
                None => segments.push(Segment {
                    rows: r..r + 1,
                    makes: None,
                    public: false,
                }),
            }
            segment_of_row.push(segments.len() as u32 - 1);
        }
        let vars = lowering.vars().len();
        let at = |row: usize| segment_of_row[row];
        let home = |v: u32| at(layout.homes[v as usize].row as usize);
        let numbered = || layout.rows.iter().enumerate();
        let segments_holding = Lists::new(vars, |f| {
            for (r, row) in numbered() {
                for (_, host) in &row.hosts {
                    if let Host::Var(v) = host {
                        f(v.0, at(r));
                    }
                }
            }
            (0..vars as u32).for_each(|v| f(v, home(v)));
        });
        let segments_of_step = Lists::new(layout.steps.len(), |f| {
            for (r, row) in numbered() {
                row.units.iter().for_each(|&(_, id)| f(id, at(r)));
            }
        });
        let segments_of_window = Lists::new(layout.windows.len(), |f| {
            for (r, row) in numbered() {
                row.maxima.iter().for_each(|&(_, id)| f(id, at(r)));
            }
        });
        let homes = Lists::new(segments.len(), |f| {
            (0..vars as u32).for_each(|v| f(home(v), v))
        });
        let mut map = Self {
            steps_reading: Lists::new(vars, |f| steps_reading(lowering, layout, &places, f)),
            windows_reading: Lists::new(vars, |f| windows_reading(lowering, layout, &places, f)),
            defined: definitions(lowering, assembly, &places),
            places,
            segments,
            segment_of_row,
            group_of_row,
            segments_holding,
            segments_of_step,
            segments_of_window,
            homes,
        };
        map.close_segments(assembly);
        map
    }

    fn close_segments(&mut self, assembly: &Assembly) {
        let layout = &assembly.layout;
        for s in 0..self.segments.len() {
            let span = self.segments[s].rows.start as usize..self.segments[s].rows.end as usize;
            let rows = &layout.rows[span];
            let steps = rows.iter().flat_map(|row| &row.units);
            let windows = rows.iter().flat_map(|row| &row.maxima);
            let mut made = steps
                .map(|&(_, id)| layout.steps[id as usize].block)
                .chain(windows.map(|&(_, id)| layout.windows[id as usize].block));
            let first = made.next();
            let block = first.filter(|&b| made.all(|other| other == b));
            let block = block.filter(|&b| {
                let hosts = rows.iter().flat_map(|row| &row.hosts);
                let mut held = hosts.filter_map(|(_, host)| match host {
                    Host::Var(v) => Some(v.0),
                    Host::Public(_) => None,
                });
                let homes = self.homes.of(s as u32).iter();
                let before = |v: u32| self.defined[v as usize].0 <= b;
                held.all(before) && homes.copied().all(before)
            });
            let mut hosts = rows.iter().flat_map(|row| &row.hosts);
            self.segments[s].public = hosts.any(|(_, host)| matches!(host, Host::Public(_)));
            self.segments[s].makes = block;
        }
    }
}

fn definitions(
    lowering: &Lowering,
    assembly: &Assembly,
    places: &Places,
) -> Vec<(u32, Definition)> {
    let layout = &assembly.layout;
    let mut out = vec![(0, Definition::Input(None)); lowering.vars().len()];
    for (block, b) in lowering.blocks().iter().zip(0u32..) {
        let mut define = |v: VarId, what| out[v.0 as usize] = (b, what);
        let steps = &places.steps[b as usize];
        match block {
            Block::Input { cells, .. } => {
                cells
                    .iter()
                    .for_each(|&v| define(v, Definition::Input(None)));
                for &id in steps {
                    let lane = layout.steps[id as usize].lane as usize;
                    define(cells[lane], Definition::Input(Some(id)));
                }
            }
            Block::Step { lanes, .. } => {
                for &id in steps {
                    let lane = layout.steps[id as usize].lane as usize;
                    define(lanes[lane].out, Definition::Step(id));
                }
            }
            Block::Max { windows, .. } => {
                for &id in &places.windows[b as usize] {
                    let window = layout.windows[id as usize].window as usize;
                    define(windows[window].1, Definition::Window(id));
                }
            }
        }
    }
    out
}

fn steps_reading(
    lowering: &Lowering,
    layout: &Layout,
    places: &Places,
    f: &mut dyn FnMut(u32, u32),
) {
    for (block, steps) in lowering.blocks().iter().zip(&places.steps) {
        let Block::Step { map, lanes, .. } = block else {
            continue;
        };
        let map = &lowering.maps()[*map as usize];
        for &id in steps {
            let lane = lanes[layout.steps[id as usize].lane as usize];
            for form in lane.forms() {
                map.forms.terms(form as usize, &mut |j, _| {
                    if let Operand::Cell(v) = map.inputs[j] {
                        f(v.0, id);
                    }
                });
            }
        }
    }
}

fn windows_reading(
    lowering: &Lowering,
    layout: &Layout,
    places: &Places,
    f: &mut dyn FnMut(u32, u32),
) {
    for (block, ids) in lowering.blocks().iter().zip(&places.windows) {
        let Block::Max { windows, .. } = block else {
            continue;
        };
        for &id in ids {
            let window = layout.windows[id as usize].window as usize;
            windows[window].0.iter().for_each(|v| f(v.0, id));
        }
    }
}
