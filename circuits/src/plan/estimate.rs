//! How many rows a model takes in a shape, before anything is placed.

use std::collections::BTreeMap;

use crate::chips::{Guests, MAX_FAN_IN, Shape};

use super::budget::{Budget, PRICED_GROUP};
use super::jobs::{Jobs, Tables, windows_per_group};
use super::pack::{lanes_per_equation, share};
use super::place::lane_bits;
use super::rows::{Content, dealt_rows, own_rows};
use super::tiles::GridBox;

/// Some number of equal groups.
#[derive(Clone, Copy)]
struct Groups {
    count: usize,
    /// Rows that units and slots take.
    own: usize,
    /// What a group holds.
    content: Content,
}

impl Groups {
    fn cells(&self) -> usize {
        self.count * self.content.hosts
    }

    fn rows(&self, shape: &Shape) -> usize {
        let rows = self.content.rows(shape).max(self.own);
        rows.saturating_mul(self.count)
    }
}

/// A way to cut a block: its groups.
struct Way(Vec<Groups>);

impl Way {
    fn one(groups: Groups) -> Vec<Self> {
        vec![Self(vec![groups])]
    }

    fn count(&self) -> usize {
        self.0.iter().map(|groups| groups.count).sum()
    }

    fn cells(&self) -> usize {
        self.0.iter().map(Groups::cells).sum()
    }

    fn own(&self) -> usize {
        total(self.0.iter().map(|g| g.count.saturating_mul(g.own)))
    }

    fn rows(&self, shape: &Shape) -> usize {
        total(self.0.iter().map(|groups| groups.rows(shape)))
    }
}

/// A sum that is as large as it can be where it overflows: rows of what does not fit at all.
fn total(rows: impl Iterator<Item = usize>) -> usize {
    rows.fold(0, usize::saturating_add)
}

/// The rows of a model, for a shape whose host columns are still open.
pub(super) struct Estimate {
    /// For each block, the ways to cut it into groups; the cheapest counts.
    blocks: Vec<Vec<Way>>,
    /// Inputs that are bytes.
    bytes: usize,
    /// Rows that units need for all lanes and inputs.
    units: usize,
}

impl Estimate {
    /// What may be estimated once for all shapes that differ from `shape` in their host columns.
    pub(super) fn key(shape: &Shape) -> Shape {
        Shape {
            guests: Guests::None,
            bytes: 0,
            plain: 0,
            ..shape.clone()
        }
    }

    pub(super) fn new(jobs: &Jobs<'_>, shape: &Shape, tables: &Tables) -> Self {
        let mut blocks: Vec<Vec<Way>> = (0..jobs.steps.len())
            .map(|step| {
                let boxes = jobs.boxes(shape, step, tables);
                efficient(boxes.into_iter().map(|found| found.1).collect())
            })
            .collect();
        for &windows in &jobs.maxima {
            let group = windows_per_group(shape).min(windows);
            let own = rows_of(group, shape.maxima, shape.classes());
            blocks.push(Way::one(Groups {
                count: windows.div_ceil(group.max(1)),
                own: if group == 0 { usize::MAX } else { own },
                content: Content {
                    hosts: group * MAX_FAN_IN,
                    slots: group,
                    ..Content::default()
                },
            }));
        }
        for group in jobs.public.chunks(shape.accumulators) {
            blocks.push(Way::one(Groups {
                count: 1,
                own: 1,
                content: Content {
                    hosts: group.iter().map(|e| e.values.len() + 1).sum(),
                    wide: group.len(),
                    ..Content::default()
                },
            }));
        }
        Self {
            blocks,
            bytes: jobs.byte_inputs(),
            units: (0..shape.banks)
                .map(|bank| tables.lanes_of(bank).div_ceil(shape.units_of(bank).max(1)))
                .max()
                .unwrap_or(0),
        }
    }

    /// Rows, once the host columns are known.
    pub(super) fn rows(&self, shape: &Shape, budget: &Budget) -> usize {
        let mut rows: usize = 1;
        for block in &self.blocks {
            let groups: usize = block.iter().map(|way| way.0.len()).sum();
            budget.spend(PRICED_GROUP * groups as u64);
            let best = block.iter().map(|way| way.rows(shape)).min();
            rows = rows.saturating_add(best.unwrap_or(usize::MAX));
        }
        let bytes = match (self.bytes, shape.bytes) {
            (0, _) => 0,
            (_, 0) => usize::MAX,
            (cells, columns) => cells.div_ceil(columns),
        };
        rows.max(bytes).max(1 + self.units)
    }
}

/// Those that no other beats in both copies and other rows.
fn efficient(mut all: Vec<Way>) -> Vec<Way> {
    all.sort_by_key(|way| (way.own(), way.cells()));
    let mut out: Vec<Way> = Vec::new();
    for way in all {
        let beaten = |other: &Way| other.count() <= way.count() && other.cells() <= way.cells();
        if !out.iter().any(beaten) {
            out.push(way);
        }
    }
    out
}

/// Rows that `n` lanes need, dealt out to all classes, where `members` units or slots share the classes out.
fn rows_of(n: usize, members: usize, classes: usize) -> usize {
    let shares: Vec<usize> = share(n, classes).collect();
    dealt_rows(&shares, members, classes)
}

/// Lanes that one group may have, of a table on this domain.
pub(super) fn capacity(shape: &Shape, (lo, hi): (i64, i64), pooled: bool) -> usize {
    let per_lane = if pooled { MAX_FAN_IN } else { 1 };
    let forms = lanes_per_equation(lane_bits(shape, lo, hi, pooled));
    class_capacity(shape, forms, per_lane)
}

/// Lanes of so many forms that fit, where each equation takes `forms` forms and a lane stays in its class.
pub(super) fn class_capacity(shape: &Shape, forms: usize, per_lane: usize) -> usize {
    let classes = shape.classes();
    let equations = |class: usize| (shape.accumulators - class).div_ceil(classes);
    (0..classes)
        .map(|class| equations(class) * forms / per_lane)
        .sum()
}

impl Jobs<'_> {
    /// The extents of the boxes that take the fewest rows.
    pub(super) fn best_box(
        &self,
        shape: &Shape,
        step: usize,
        tables: &Tables,
    ) -> Option<Vec<usize>> {
        let boxes = self.boxes(shape, step, tables);
        let best = boxes
            .into_iter()
            .min_by_key(|(extents, way)| (way.rows(shape), extents.clone()))?;
        Some(best.0)
    }

    /// The ways to cut a step block into groups.
    fn boxes(&self, shape: &Shape, step: usize, tables: &Tables) -> Vec<(Vec<usize>, Way)> {
        let job = &self.steps[step];
        let capacity = capacity(shape, tables.domains[step], job.pooled);
        if capacity == 0 {
            return Vec::new();
        }
        let units: Vec<usize> = (0..shape.banks).map(|bank| shape.units_of(bank)).collect();
        let classes = shape.classes();
        // Groups of so many lanes, and of these so many for each bank.
        let groups = |count: usize, b: &GridBox, lanes: usize, banks: &[usize]| {
            let banks = banks.iter().zip(&units);
            let banks = banks.map(|(&lanes, &units)| rows_of(lanes, units, classes));
            let slots = if job.pooled {
                rows_of(lanes, shape.maxima, classes)
            } else {
                0
            };
            Groups {
                count,
                own: own_rows(shape, banks.max().unwrap_or(0), slots),
                content: Content {
                    hosts: b.reads,
                    wide: if job.wide { b.reads } else { 0 },
                    units: lanes,
                    slots: if job.pooled { lanes } else { 0 },
                },
            }
        };
        let rule_banks = &tables.rule_banks[step];
        let way = |b: &GridBox| match rule_banks.as_slice() {
            [bank] => {
                // Where not every place has a lane, there are proportionally fewer groups.
                let count = (b.count * job.lanes).div_ceil(job.tiling.size().max(1));
                let mut banks = vec![0; shape.banks];
                banks[*bank] = b.lanes;
                Way(vec![groups(count, b, b.lanes, &banks)])
            }
            rule_banks => {
                let kinds = tables.kinds(step, &b.extents, || {
                    let mut kinds: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
                    for mix in &*job.tiling.mixes(&b.extents) {
                        self.budget.spend(mix.rules.len() as u64);
                        let mut banks = vec![0; shape.banks];
                        for &(rule, lanes) in &mix.rules {
                            banks[rule_banks[rule as usize]] += lanes;
                        }
                        *kinds.entry(banks).or_default() += mix.count;
                    }
                    kinds.into_iter().collect()
                });
                let kinds = kinds.iter();
                Way(kinds
                    .map(|(banks, count)| groups(*count, b, banks.iter().sum(), banks))
                    .collect())
            }
        };
        let boxes = job.tiling.boxes_of(capacity);
        let found: Vec<_> = boxes.iter().map(|b| (b.extents.clone(), way(b))).collect();
        let groups: usize = found.iter().map(|(_, way)| way.0.len()).sum();
        self.budget.spend(PRICED_GROUP * groups as u64);
        self.budget.spend(job.tiling.take_visits());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ways of groups that are given by their number, rows of their own and copies.
    fn way(groups: &[(usize, usize, usize)]) -> Way {
        let groups = groups.iter().map(|&(count, own, hosts)| Groups {
            count,
            own,
            content: Content {
                hosts,
                ..Content::default()
            },
        });
        Way(groups.collect())
    }

    #[test]
    fn sums_are_over_all_groups_and_never_overflow() {
        let two = way(&[(3, 4, 5), (2, 1, 7)]);
        assert_eq!((two.count(), two.own(), two.cells()), (5, 14, 29));
        assert_eq!(way(&[(2, usize::MAX, 0), (1, 1, 0)]).own(), usize::MAX);
    }

    #[test]
    fn a_way_is_dropped_where_another_is_as_good_in_everything() {
        let kept = |ways: Vec<Way>| {
            let kept = efficient(ways);
            let numbers = kept.iter().map(|way| (way.count(), way.own(), way.cells()));
            numbers.collect::<Vec<_>>()
        };
        // Sorted by rows of their own; the second has fewer copies, the third fewer groups.
        let all = [(2, 6, 4), (4, 2, 5), (3, 3, 4)];
        let ways = all.map(|groups| way(&[groups])).into();
        assert_eq!(kept(ways), [(4, 8, 20), (3, 9, 12), (2, 12, 8)]);
        // More groups and as many copies; more copies and as many groups; the same.
        let all = [(2, 2, 6), (3, 2, 4), (2, 3, 7), (2, 2, 6)];
        assert_eq!(kept(all.map(|groups| way(&[groups])).into()), [(2, 4, 12)]);
        assert_eq!(kept(Vec::new()), []);
    }
}
