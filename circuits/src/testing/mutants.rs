//! What lies there are about a model, and how some of them are drawn.

use std::collections::BTreeMap;

use ff::{Field, PrimeField};
use pasta_curves::Fp;

use crate::chips::MAX_FAN_IN;
use crate::circuit::small_value;
use crate::lower::{Block, VarId};
use crate::plan::{Cell, Host};

use super::map::Definition;
use super::mutate::Mutator;
use super::operator::Rng;

/// A distance of a slot from its maximum, and by how much it is said to be larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The row.
    pub row: u32,
    /// The slot.
    pub slot: u32,
    /// Which of its distances.
    pub member: u32,
    /// How much larger.
    pub by: i64,
}

/// What a lie is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// One cell has another content, all else is as before.
    Cell(Cell, Fp),
    /// One cell has another content, and the sums of its chain follow from it.
    Summed(Cell, Fp),
    /// A variable has another content in all its copies, told with a fitting table row; all that follows is honest.
    Class(VarId, i64),
    /// The same, told with the table row of the truth.
    Bare(VarId, i64),
    /// An output has another content, told with a fitting table row, and is claimed: the public values say the same.
    Claimed(VarId, i64),
    /// One is taken from the second limb (a cell) and added to the first, or the other way round.
    Carry(Cell, Cell),
    /// A step on a maximum claims a larger one, or a smaller one; all that follows is honest.
    Top(u32, i64),
    /// A step claims another argument, told with a fitting table row; all that follows is honest.
    Argument(u32, i64),
    /// The arguments of two steps that one equation packs change so that the equation stands: what the first gains
    /// is carried from the second. All that follows is honest.
    Packed((u32, i64), (u32, i64)),
    /// Two distances from maxima that one equation packs change so that the equation stands: what the first gains is
    /// carried from the second. Nothing else changes but sums.
    Distances(Shift, Shift),
    /// The copies of a variable in one group have another content, and all that follows is honest.
    Copies(u32, VarId, i64),
}

/// A kind of lie: the kind of mutant, where it is told, and what is said. A sample has lies of every kind.
pub(super) type Stratum = (u8, u32, u8);

impl Mutator<'_> {
    /// All mutants of all kinds, `stride` apart; 1 is the full run.
    pub fn mutants(&self, stride: usize) -> impl Iterator<Item = Mutant> + '_ {
        self.candidates()
            .step_by(stride.max(1))
            .map(|(_, mutant)| mutant)
    }

    /// `count` mutants drawn without repetition, or all if there are fewer. Half of them are shared evenly among the
    /// kinds of lies (each kind of mutant, by column or node, by what is said), the others are drawn from all alike.
    pub fn sample(&self, count: usize, seed: u64) -> impl Iterator<Item = Mutant> + '_ {
        let mut left: BTreeMap<Stratum, usize> = BTreeMap::new();
        for (stratum, _) in self.candidates() {
            *left.entry(stratum).or_default() += 1;
        }
        let mut wanted = allot(&left, count);
        let mut rng = Rng(seed);
        // Selection sampling: an element is taken with probability wanted / left, which is exact at the end.
        self.candidates().filter_map(move |(stratum, mutant)| {
            let (left, wanted) = (left.get_mut(&stratum)?, wanted.get_mut(&stratum)?);
            let taken = rng.next() % (*left as u64) < *wanted as u64;
            *left -= 1;
            *wanted -= usize::from(taken);
            taken.then_some(mutant)
        })
    }

    fn candidates(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let cells = self.assembly.assigned.iter();
        let vars = (0..self.lowering.vars().len() as u32).flat_map(|v| self.about_var(VarId(v)));
        cells
            .flat_map(|&cell| self.about_cell(cell))
            .chain(vars)
            .chain(self.about_limbs())
            .chain(self.about_maxima())
            .chain(self.about_arguments())
            .chain(self.about_packing())
            .chain(self.about_packed_maxima())
            .chain(self.about_copies())
    }

    fn about_cell(&self, cell: Cell) -> Vec<(Stratum, Mutant)> {
        let layout = &self.assembly.layout;
        let column = &self.honest.columns[cell.column as usize];
        let value = column[cell.row as usize];
        let neighbour = column[(cell.row as usize + 1) % column.len()];
        let carry = crate::chips::power_of_two(layout.shape.range_bits);
        let contents = [
            value + Fp::ONE,
            value - Fp::ONE,
            Fp::ZERO,
            -Fp::ONE,
            value + carry,
            value - carry,
            neighbour,
            // Large, and as good as random.
            (value + Fp::from(u64::from(cell.row) + 3))
                .square()
                .square()
                * Fp::MULTIPLICATIVE_GENERATOR,
        ];
        let is_sum = cell.column as usize >= layout.shape.accumulator(0);
        let mut out = Vec::with_capacity(2 * contents.len());
        for (way, &content) in contents.iter().enumerate() {
            if content == value || contents[..way].contains(&content) {
                continue;
            }
            let way = way as u8;
            out.push(((0, cell.column, way), Mutant::Cell(cell, content)));
            if !is_sum {
                out.push(((1, cell.column, way), Mutant::Summed(cell, content)));
            }
        }
        out
    }

    fn about_var(&self, var: VarId) -> Vec<(Stratum, Mutant)> {
        let info = self.lowering.var(var);
        let mut out = Vec::new();
        if self.free.contains(&var) {
            // Another input is another inference, and a true one, unless it leaves its range.
            let outside = [-1, info.range.hi - info.offset + 1];
            for (content, way) in outside.into_iter().zip(0..) {
                out.push(((2, info.node, way), Mutant::Class(var, content)));
            }
            return out;
        }
        let value = self.witness.vars[var.0 as usize];
        let other = self.witness.vars[(var.0 as usize + 1) % self.witness.vars.len()];
        let contents = [value + 1, value - 1, 0, other, value + 256];
        for (way, &content) in contents.iter().enumerate() {
            if content == value || contents[..way].contains(&content) {
                continue;
            }
            let way = way as u8;
            out.push(((3, info.node, way), Mutant::Class(var, content)));
            out.push(((4, info.node, way), Mutant::Bare(var, content)));
            if self.outputs.contains(&var) {
                out.push(((5, info.node, way), Mutant::Claimed(var, content)));
            }
        }
        if let (_, Definition::Window(id)) = self.map.defined[var.0 as usize] {
            // Only the slot objects to a maximum if what follows from it is claimed too: the next larger one, and
            // the second largest of the elements.
            let contents = [value + 1, value - self.smallest_distance(id)];
            for (content, way) in contents.into_iter().zip(8..) {
                out.push(((5, info.node, way), Mutant::Claimed(var, content)));
            }
        }
        out
    }

    /// How far the second largest member of a window is below the largest; one if all are equal.
    fn smallest_distance(&self, window: u32) -> i64 {
        let distances = self.witness.windows[window as usize].iter().copied();
        distances.filter(|&f| f > 0).min().unwrap_or(1)
    }

    /// Limbs of the same value with another radix: only their range checks object.
    fn about_limbs(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let layout = &self.assembly.layout;
        let shape = &layout.shape;
        layout.rows.iter().zip(0..).flat_map(move |(row, r)| {
            let units = row.units.iter().flat_map(move |&(u, _)| {
                let u = u as usize;
                (1..shape.limbs()).flat_map(move |i| {
                    [
                        (shape.d(u, i - 1), shape.d(u, i)),
                        (shape.e(u, i - 1), shape.e(u, i)),
                    ]
                })
            });
            let maxima = row.maxima.iter().flat_map(move |&(q, _)| {
                let q = q as usize;
                let limbs = (0..MAX_FAN_IN).flat_map(|j| (1..shape.max_limbs).map(move |i| (j, i)));
                limbs.map(move |(j, i)| (shape.distance(q, j, i - 1), shape.distance(q, j, i)))
            });
            units.chain(maxima).map(move |(low, high)| {
                let cell = |column: usize| Cell {
                    column: column as u32,
                    row: r,
                };
                ((6, low as u32, 0), Mutant::Carry(cell(low), cell(high)))
            })
        })
    }

    fn about_maxima(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let layout = &self.assembly.layout;
        let groups = layout.groups.iter();
        groups
            .filter(|g| !g.windows.is_empty() && !g.steps.is_empty())
            .flat_map(|g| g.steps.clone())
            .flat_map(|id| {
                let step = layout.steps[id as usize];
                let window = self.map.places.window_of_step.get(&id);
                let second = window.map_or(1, |&w| self.smallest_distance(w) / step.multiplier);
                [
                    ((7, step.block, 0), Mutant::Top(id, 1)),
                    ((7, step.block, 1), Mutant::Top(id, -1)),
                    ((7, step.block, 2), Mutant::Top(id, -second)),
                ]
            })
    }

    /// Arguments beside the true one, most of which have the same value.
    fn about_arguments(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let steps = self.assembly.layout.steps.iter().zip(0..);
        // The range check of an input has no argument but the input.
        let steps = steps.filter(|(s, _)| {
            let block = &self.lowering.blocks()[s.block as usize];
            matches!(block, Block::Step { .. })
        });
        steps.flat_map(|(step, id)| {
            [
                ((10, step.block, 0), Mutant::Argument(id, 1)),
                ((10, step.block, 1), Mutant::Argument(id, -1)),
            ]
        })
    }

    /// Neighbours in the equation of an accumulator, by the weights that the starts of their steps have there.
    fn about_packing(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let layout = &self.assembly.layout;
        let shape = &layout.shape;
        // A pooled step stands in the equations of all its members.
        let groups = layout.groups.iter().filter(|g| g.windows.is_empty());
        groups.flat_map(move |group| {
            let mut packed: Vec<(u32, Fp, u32)> = Vec::new();
            for row in &layout.rows[group.rows.start as usize..group.rows.end as usize] {
                for &(u, id) in &row.units {
                    let start = shape.unit_term(u as usize) as u32;
                    let weights = row.weights.iter().filter(|w| w.1 == start);
                    packed.extend(weights.map(|&(g, _, weight)| (g, weight, id)));
                }
            }
            packed.sort_by_key(|&(g, weight, _)| (g, magnitude(weight)));
            let mut out = Vec::new();
            for pair in packed.windows(2) {
                let [(g, low, first), (h, high, second)] = *pair else {
                    continue;
                };
                let ratio = low.invert().into_option().map(|inverse| high * inverse);
                let ratio = ratio.as_ref().and_then(small_value);
                if let Some(ratio) = ratio.filter(|_| g == h) {
                    let lie = |way, by: i64| {
                        let mutant = Mutant::Packed((first, by * ratio), (second, -by));
                        ((8, g, way), mutant)
                    };
                    out.extend([lie(0, 1), lie(1, -1)]);
                }
            }
            out
        })
    }

    /// Neighbours in the equation of an accumulator, by the weights that distances from a maximum have there.
    fn about_packed_maxima(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let layout = &self.assembly.layout;
        let shape = &layout.shape;
        let groups = layout.groups.iter().filter(|g| !g.windows.is_empty());
        groups.flat_map(move |group| {
            let mut packed: Vec<(u32, Fp, Shift)> = Vec::new();
            let rows = &layout.rows[group.rows.start as usize..group.rows.end as usize];
            for (row, r) in rows.iter().zip(group.rows.clone()) {
                for &(slot, _) in &row.maxima {
                    for member in 0..MAX_FAN_IN as u32 {
                        let term = shape.distance_term(slot as usize, member as usize) as u32;
                        let shift = Shift {
                            row: r,
                            slot,
                            member,
                            by: 0,
                        };
                        let weights = row.weights.iter().filter(|w| w.1 == term);
                        packed.extend(weights.map(|&(g, _, weight)| (g, weight, shift)));
                    }
                }
            }
            // Pooled steps add their distances, maxima take them away.
            packed.sort_by_key(|&(g, weight, _)| (g, magnitude(weight).min(magnitude(-weight))));
            let mut out = Vec::new();
            for pair in packed.windows(2) {
                let [(g, low, first), (h, high, second)] = *pair else {
                    continue;
                };
                let ratio = low.invert().into_option().map(|inverse| high * inverse);
                let ratio = ratio.as_ref().and_then(small_value);
                if let Some(ratio) = ratio.filter(|_| g == h) {
                    let lie = |way, by: i64| {
                        let first = Shift {
                            by: by * ratio,
                            ..first
                        };
                        let second = Shift { by: -by, ..second };
                        ((11, g, way), Mutant::Distances(first, second))
                    };
                    out.extend([lie(0, 1), lie(1, -1)]);
                }
            }
            out
        })
    }

    fn about_copies(&self) -> impl Iterator<Item = (Stratum, Mutant)> + '_ {
        let layout = &self.assembly.layout;
        let groups = layout.groups.iter().zip(0..);
        groups.flat_map(move |(group, g)| {
            let rows = &layout.rows[group.rows.start as usize..group.rows.end as usize];
            let hosts = rows.iter().zip(group.rows.clone());
            let hosts = hosts.flat_map(|(row, r)| row.hosts.iter().map(move |h| (r, h)));
            hosts.filter_map(move |(row, &(column, host))| match host {
                // An input may be at home here; then this is no copy.
                Host::Var(v) if layout.homes[v.0 as usize] != (Cell { column, row }) => {
                    let value = self.witness.vars[v.0 as usize];
                    let lie = if value > 0 { value - 1 } else { value + 1 };
                    Some(((9, column, 0), Mutant::Copies(g, v, lie)))
                }
                _ => None,
            })
        })
    }
}

/// Orders `-2^i` by `i`.
fn magnitude(weight: Fp) -> [u8; 32] {
    let mut repr = (-weight).to_repr();
    repr.reverse();
    repr
}

/// Shares `count` among strata of the given sizes, exactly, or takes all.
fn allot(sizes: &BTreeMap<Stratum, usize>, count: usize) -> BTreeMap<Stratum, usize> {
    let total: usize = sizes.values().sum();
    let count = count.min(total);
    let mut out: BTreeMap<Stratum, usize> = sizes.keys().map(|&k| (k, 0)).collect();
    // Evenly: from the smallest stratum to the largest, so that what a small one leaves goes to the others.
    let mut by_size: Vec<_> = sizes.iter().map(|(&k, &n)| (n, k)).collect();
    by_size.sort_unstable();
    let mut even = count / 2;
    for (i, &(size, stratum)) in by_size.iter().enumerate() {
        let share = size.min(even / (by_size.len() - i));
        out.insert(stratum, share);
        even -= share;
    }
    // In proportion: the cumulative share is rounded, so that roundings cancel.
    let given: usize = out.values().sum();
    let (rest, pool) = (count - given, total - given);
    let (mut seen, mut done) = (0, 0);
    for (stratum, &size) in sizes {
        if let Some(share) = out.get_mut(stratum) {
            seen += size - *share;
            let upto = if pool == 0 {
                0
            } else {
                (rest as u128 * seen as u128 / pool as u128) as usize
            };
            *share += upto - done;
            done = upto;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_every_stratum_has_one() {
        let sizes: BTreeMap<Stratum, usize> = (0..40)
            .map(|i| ((0, i, 0), 1 + (i * i * i) as usize))
            .collect();
        let total: usize = sizes.values().sum();
        for count in [0, 1, 100, 999, 5000, total, total + 7] {
            let shares = allot(&sizes, count);
            assert_eq!(shares.values().sum::<usize>(), count.min(total));
            assert!(shares.iter().all(|(k, &n)| n <= sizes[k]));
            assert!(count < 100 || shares.values().all(|&n| n > 0));
        }
    }
}
