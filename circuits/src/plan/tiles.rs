//! How the lanes of a step block are cut into groups that are proved together.
//!
//! All lanes of a group share the rows that hold their inputs, so a good group has many lanes and few inputs. Forms
//! that are close in the grid of outputs read overlapping inputs; a group is a box of the grid. The grid is that of the
//! lanes: where a lane takes the largest of several forms, or where not every form is used, its coordinates are those of
//! the lanes' first forms.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::lower::{LinearMap, Operand, StepLane};

/// Box sizes along one axis that are tried.
const SIZES: [usize; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48];

/// The boxes of the grid of one block.
#[derive(Debug)]
pub(crate) struct Tiling<'a> {
    map: &'a LinearMap,
    lanes: &'a [StepLane],
    grid: Vec<usize>,
    /// The place of each lane in the grid.
    places: Vec<usize>,
    /// The lane at each place.
    at: Vec<Option<usize>>,
    /// The axis that the rules of the lanes follow, and the rule at each of its coordinates, where there is one.
    rules: Option<(usize, Vec<u32>)>,
    /// Number of distinct cells that a box in the middle of the grid reads, by its extents.
    reads: RefCell<HashMap<Vec<usize>, usize>>,
    /// Boxes worth trying, by the number of lanes that a group may have.
    boxes: RefCell<HashMap<usize, Rc<[GridBox]>>>,
    /// The boxes that differ in the rules of their lanes, by extents.
    mixes: RefCell<HashMap<Vec<usize>, Rc<[Mix]>>>,
    /// Lanes and terms that were looked at since [`Tiling::take_visits`] was last called.
    visits: Cell<u64>,
}

/// Boxes whose lanes have the same rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Number of such boxes.
    pub(crate) count: usize,
    /// Rules and how many lanes have each.
    pub(crate) rules: Vec<(u32, usize)>,
}

/// A way to cut the grid.
#[derive(Clone, Debug)]
pub(crate) struct GridBox {
    /// Extents of a box.
    pub(crate) extents: Vec<usize>,
    /// Lanes of a whole box.
    pub(crate) lanes: usize,
    /// Distinct cells that a box in the middle of the grid reads.
    pub(crate) reads: usize,
    /// Number of boxes.
    pub(crate) count: usize,
}

impl<'a> Tiling<'a> {
    pub(crate) fn new(map: &'a LinearMap, lanes: &'a [StepLane]) -> Self {
        let forms = map.forms.grid();
        let coordinates = |lane: &StepLane| {
            let mut rest = lane.index as usize;
            let mut out = vec![0; forms.len()];
            for (&n, out) in forms.iter().zip(&mut out).rev() {
                (*out, rest) = (rest % n, rest / n);
            }
            out
        };
        let all: Vec<Vec<usize>> = lanes.iter().map(coordinates).collect();
        let axes: Vec<Vec<usize>> = (0..forms.len())
            .map(|axis| {
                let mut used: Vec<usize> = all.iter().map(|lane| lane[axis]).collect();
                used.sort_unstable();
                used.dedup();
                used
            })
            .collect();
        let grid: Vec<usize> = axes.iter().map(Vec::len).collect();
        let place = |lane: &Vec<usize>| {
            let along = axes.iter().zip(lane);
            along.fold(0, |place, (axis, at)| {
                place * axis.len() + axis.partition_point(|used| used < at)
            })
        };
        let places: Vec<usize> = all.iter().map(place).collect();
        let mut at = vec![None; grid.iter().product()];
        for (lane, &place) in places.iter().enumerate() {
            at[place] = Some(lane);
        }
        let full = at.iter().all(Option::is_some);
        let rules = (0..grid.len()).filter(|_| full).find_map(|axis| {
            let stride: usize = grid[axis + 1..].iter().product();
            let mut rules = vec![None; grid[axis]];
            let follow = lanes.iter().zip(&places).all(|(lane, place)| {
                let known = &mut rules[place / stride % grid[axis]];
                *known.get_or_insert(lane.rule) == lane.rule
            });
            let rules: Option<Vec<u32>> = rules.into_iter().collect();
            Some((axis, rules.filter(|_| follow)?))
        });
        Self {
            map,
            lanes,
            rules,
            grid: if grid.is_empty() { vec![1] } else { grid },
            places,
            at,
            reads: RefCell::default(),
            boxes: RefCell::default(),
            mixes: RefCell::default(),
            visits: Cell::new(0),
        }
    }

    /// How many lanes and terms were looked at since the last call.
    pub(crate) fn take_visits(&self) -> u64 {
        self.visits.take()
    }

    fn visit(&self, n: usize) {
        self.visits.set(self.visits.get().saturating_add(n as u64));
    }

    /// The boxes of these extents, by the rules of their lanes.
    pub(crate) fn mixes(&self, extents: &[usize]) -> Rc<[Mix]> {
        if let Some(known) = self.mixes.borrow().get(extents) {
            return known.clone();
        }
        let mixes: Rc<[Mix]> = match &self.rules {
            Some((axis, rules)) => self.mixes_along(*axis, rules, extents),
            None => self.mixes_of_lanes(extents),
        };
        self.mixes
            .borrow_mut()
            .insert(extents.to_vec(), mixes.clone());
        mixes
    }

    /// The boxes, where every place has a lane and rules follow one axis. Those that the grid cuts off count as whole.
    fn mixes_along(&self, axis: usize, rules: &[u32], extents: &[usize]) -> Rc<[Mix]> {
        let other = |n: &dyn Fn(usize) -> usize| -> usize {
            let axes = (0..self.grid.len()).filter(|&a| a != axis);
            axes.map(n).product()
        };
        let count = other(&|a| self.grid[a].div_ceil(extents[a]));
        let lanes = other(&|a| extents[a]);
        self.visit(rules.len());
        let parts = rules.chunks(extents[axis].max(1));
        let mix = |part: &[u32]| {
            let mut rules: BTreeMap<u32, usize> = BTreeMap::new();
            part.iter()
                .for_each(|&rule| *rules.entry(rule).or_default() += lanes);
            let rules = rules.into_iter().collect();
            Mix { count, rules }
        };
        parts.map(mix).collect()
    }

    fn mixes_of_lanes(&self, extents: &[usize]) -> Rc<[Mix]> {
        self.visit(4 * self.lanes.len());
        let mut boxes: BTreeMap<usize, BTreeMap<u32, usize>> = BTreeMap::new();
        for (i, lane) in self.lanes.iter().enumerate() {
            let rules = boxes.entry(self.box_of(i, extents)).or_default();
            *rules.entry(lane.rule).or_default() += 1;
        }
        let mut counts: BTreeMap<Vec<(u32, usize)>, usize> = BTreeMap::new();
        for rules in boxes.into_values() {
            *counts.entry(rules.into_iter().collect()).or_default() += 1;
        }
        let counts = counts.into_iter();
        counts.map(|(rules, count)| Mix { count, rules }).collect()
    }

    /// Number of places of the grid, with or without a lane.
    pub(crate) fn size(&self) -> usize {
        self.at.len()
    }

    /// Number of boxes of these extents that cover the grid.
    fn boxes(&self, extents: &[usize]) -> usize {
        self.grid
            .iter()
            .zip(extents)
            .map(|(&n, &e)| n.div_ceil(e))
            .product()
    }

    /// The box that holds lane `lane`, as a number that grows with the box's place in the grid.
    pub(crate) fn box_of(&self, lane: usize, extents: &[usize]) -> usize {
        let (mut rest, mut number, mut stride) = (self.places[lane], 0, 1);
        for (&n, &e) in self.grid.iter().zip(extents).rev() {
            number += (rest % n / e) * stride;
            stride *= n.div_ceil(e);
            rest /= n;
        }
        number
    }

    /// Boxes worth trying when a group may have `capacity` lanes.
    pub(crate) fn boxes_of(&self, capacity: usize) -> Rc<[GridBox]> {
        if let Some(known) = self.boxes.borrow().get(&capacity) {
            return known.clone();
        }
        let boxes: Rc<[GridBox]> = self
            .candidates(capacity)
            .into_iter()
            .map(|extents| GridBox {
                lanes: extents.iter().product(),
                reads: self.reads(&extents),
                count: self.boxes(&extents),
                extents,
            })
            .collect();
        self.boxes.borrow_mut().insert(capacity, boxes.clone());
        boxes
    }

    fn candidates(&self, capacity: usize) -> Vec<Vec<usize>> {
        let mut partial: Vec<Vec<usize>> = vec![vec![]];
        for &n in &self.grid {
            let mut next = Vec::new();
            for extents in &partial {
                let room = capacity / extents.iter().product::<usize>().max(1);
                let sizes = SIZES.iter().copied().filter(|&s| s < n).chain([n]);
                for size in sizes.filter(|&s| s <= room.max(1)) {
                    next.push([extents.as_slice(), &[size]].concat());
                }
            }
            partial = next;
        }
        let mut out: Vec<Vec<usize>> = Vec::new();
        for extents in partial {
            // One axis may take all the room that the others leave, in equal parts.
            for axis in 0..self.grid.len() {
                let others: usize = extents.iter().product::<usize>() / extents[axis];
                let most = (capacity / others).clamp(1, self.grid[axis]);
                let parts = self.grid[axis].div_ceil(most);
                let mut filled = extents.clone();
                filled[axis] = self.grid[axis].div_ceil(parts);
                out.push(filled);
            }
        }
        out.sort_unstable();
        out.dedup();
        let largest = out
            .iter()
            .map(|e| e.iter().product::<usize>())
            .max()
            .unwrap_or(1);
        out.retain(|e| 4 * e.iter().product::<usize>() >= largest);
        out
    }

    fn reads(&self, extents: &[usize]) -> usize {
        if let Some(&known) = self.reads.borrow().get(extents) {
            return known;
        }
        let mut seen = vec![false; self.map.inputs.len()];
        let (mut count, mut terms) = (0, seen.len());
        self.for_middle_box(extents, &mut |place| {
            let lane = self.at[place].map(|lane| &self.lanes[lane]);
            for form in lane.into_iter().flat_map(StepLane::forms) {
                self.map.forms.terms(form as usize, &mut |j, _| {
                    terms += 1;
                    if !seen[j] && matches!(self.map.inputs[j], Operand::Cell(_)) {
                        seen[j] = true;
                        count += 1;
                    }
                });
            }
        });
        self.visit(terms);
        self.reads.borrow_mut().insert(extents.to_vec(), count);
        count
    }

    /// The places of a box in the middle of the grid, which is no smaller than the box.
    fn for_middle_box(&self, extents: &[usize], f: &mut dyn FnMut(usize)) {
        let origin: Vec<usize> = self
            .grid
            .iter()
            .zip(extents)
            .map(|(&n, &e)| (n / 2 / e * e).min(n - e))
            .collect();
        let size: usize = extents.iter().product();
        for i in 0..size {
            let (mut rest, mut index, mut stride) = (i, 0, 1);
            for axis in (0..self.grid.len()).rev() {
                let at = origin[axis] + rest % extents[axis];
                index += at * stride;
                stride *= self.grid[axis];
                rest /= extents[axis];
            }
            f(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{Collector, LinearForms};
    use crate::program::Range;
    use std::sync::Arc;

    /// A one-dimensional convolution of width 3 with two output channels, channel first.
    #[derive(Debug)]
    struct Window(usize);

    impl LinearForms for Window {
        fn grid(&self) -> Vec<usize> {
            vec![2, self.0]
        }
        fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
            (0..3).for_each(|i| f(out % self.0 + i, 1));
        }
        fn constant(&self, _: usize) -> i64 {
            0
        }
    }

    #[test]
    fn boxes_share_inputs() {
        let mut collector = Collector::new();
        let inputs = collector.inputs(0, 12, Range::new(0, 1)).unwrap();
        let cx = collector.node(0);
        cx.linear("test", &inputs, Arc::new(Window(10))).unwrap();
        let map = &cx.maps()[0];
        let lane = |index| StepLane {
            index,
            others: None,
            rule: 0,
            out: crate::lower::VarId(0),
        };
        let lanes: Vec<_> = (0..20).map(lane).collect();
        let tiling = Tiling::new(map, &lanes);
        assert_eq!(tiling.reads(&[1, 1]), 3);
        assert_eq!(tiling.reads(&[2, 5]), 7);
        assert_eq!(tiling.boxes(&[2, 4]), 3);
        assert_eq!(tiling.box_of(13, &[2, 4]), 0);
        assert_eq!(tiling.box_of(19, &[2, 4]), 2);
        assert!(tiling.candidates(8).contains(&vec![2, 4]));
        assert!(
            tiling
                .candidates(8)
                .iter()
                .all(|e| e.iter().product::<usize>() <= 8)
        );

        // Every other column, and the form beside it.
        let pairs = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].map(|index| StepLane {
            others: Some([index + 1; 3]),
            ..lane(index)
        });
        let tiling = Tiling::new(map, &pairs);
        assert_eq!(tiling.size(), 10);
        assert_eq!(tiling.reads(&[2, 1]), 4);
        assert_eq!(tiling.box_of(3, &[1, 2]), 1);
    }

    /// Form `i` is input `i`.
    #[derive(Debug)]
    struct Each(Vec<usize>);

    impl LinearForms for Each {
        fn grid(&self) -> Vec<usize> {
            self.0.clone()
        }
        fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
            f(out, 1);
        }
        fn constant(&self, _: usize) -> i64 {
            0
        }
    }

    /// Looks at a grid whose forms read one input each, with a rule for each.
    fn on_grid(grid: &[usize], rule: impl Fn(usize) -> u32, look: impl FnOnce(Tiling<'_>)) {
        let n = grid.iter().product();
        let mut collector = Collector::new();
        let inputs = collector.inputs(0, n, Range::new(0, 1)).unwrap();
        let cx = collector.node(0);
        let forms = Arc::new(Each(grid.to_vec()));
        cx.linear("test", &inputs, forms).unwrap();
        let lanes: Vec<_> = (0..n)
            .map(|index| StepLane {
                index: index as u32,
                others: None,
                rule: rule(index),
                out: crate::lower::VarId(0),
            })
            .collect();
        look(Tiling::new(&cx.maps()[0], &lanes));
    }

    #[test]
    fn boxes_in_the_middle_lie_inside_the_grid() {
        on_grid(
            &[3, 5],
            |_| 0,
            |tiling| {
                let middle = |extents: &[usize]| {
                    let mut places = Vec::new();
                    tiling.for_middle_box(extents, &mut |place| places.push(place));
                    places
                };
                assert_eq!(middle(&[1, 1]), [7]);
                assert_eq!(middle(&[2, 2]), [2, 3, 7, 8]);
                assert_eq!(middle(&[1, 4]), [5, 6, 7, 8]);
                assert_eq!(middle(&[3, 1]), [2, 7, 12]);
                assert_eq!(middle(&[3, 5]), (0..15).collect::<Vec<_>>());
                assert_eq!(tiling.reads(&[2, 3]), 6);
                // Each input is listed, and each term looked at.
                assert_eq!(tiling.take_visits(), 15 + 6);
                assert_eq!(tiling.take_visits(), 0);
                assert_eq!(tiling.reads(&[2, 3]), 6);
                assert_eq!(tiling.take_visits(), 0, "it is known");
                let boxes: Vec<_> = (0..15).map(|lane| tiling.box_of(lane, &[2, 2])).collect();
                assert_eq!(boxes, [0, 0, 1, 1, 2, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5]);
                assert_eq!(tiling.boxes(&[2, 2]), 6);
            },
        );
    }

    #[test]
    fn candidates_fill_what_a_group_may_have() {
        on_grid(
            &[3, 5],
            |_| 0,
            |tiling| {
                let four = [[1, 3], [1, 4], [2, 2], [3, 1]].map(Vec::from);
                assert_eq!(tiling.candidates(4), four);
                assert_eq!(tiling.candidates(1), [[1, 1]]);
                let all = tiling.candidates(100);
                assert!(all.contains(&vec![3, 5]));
                assert!(all.iter().all(|e| e[0] <= 3 && e[1] <= 5));
                let boxes = tiling.boxes_of(4);
                let of = |b: &GridBox| (b.extents.clone(), b.lanes, b.reads, b.count);
                assert_eq!(of(&boxes[2]), (vec![2, 2], 4, 4, 6));
                assert_eq!(of(&boxes[3]), (vec![3, 1], 3, 3, 5));
            },
        );
    }

    #[test]
    fn mixes_count_the_rules_of_boxes() {
        let mix = |count, rules: &[(u32, usize)]| Mix {
            count,
            rules: rules.to_vec(),
        };
        // A rule for each row: two boxes along the other axis, of two lanes a row.
        on_grid(
            &[3, 4],
            |i| (i / 4) as u32,
            |tiling| {
                let two = [mix(2, &[(0, 2), (1, 2)]), mix(2, &[(2, 2)])];
                assert_eq!(*tiling.mixes(&[2, 2]), two);
                let one = [mix(2, &[(0, 2)]), mix(2, &[(1, 2)]), mix(2, &[(2, 2)])];
                assert_eq!(*tiling.mixes(&[1, 2]), one);
            },
        );
        // Rules that follow no axis are counted lane by lane.
        on_grid(
            &[2, 4],
            |i| u32::from(i == 3),
            |tiling| {
                let lanes = [mix(1, &[(0, 3), (1, 1)]), mix(1, &[(0, 4)])];
                let mut made = tiling.mixes(&[2, 2]).to_vec();
                made.sort_by_key(|mix| mix.rules.len());
                made.reverse();
                assert_eq!(made, lanes);
                assert_eq!(tiling.take_visits(), 4 * 8);
            },
        );
    }
}
