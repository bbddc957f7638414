//! The rows of a chain: where copies, units and slots stand.

use crate::chips::{BYTE_BITS, Shape, serves};
use crate::lower::VarId;

use super::PlanError;
use super::layout::{Cell, Group, Host, Row};
use super::place::{Placer, UNPLACED};

/// The rows of one group: which cell of which row holds what.
pub(super) struct Chain {
    pub(super) first_row: usize,
    /// Row (within the circuit) and number of the host column of each copy.
    pub(super) hosts: Vec<(usize, usize)>,
    /// Row and unit of each step.
    pub(super) units: Vec<(usize, usize)>,
    /// Row and slot of each window or pooled lane.
    pub(super) slots: Vec<(usize, usize)>,
}

/// What the lanes of a chain need, beside copies.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Class of equations and bank of each step.
    pub(super) units: Vec<(usize, usize)>,
    /// Class of equations of each window or pooled lane.
    pub(super) slots: Vec<usize>,
}

impl Placer<'_> {
    /// Adds rows that hold these copies, units and slots.
    pub(super) fn chain(
        &mut self,
        node: u32,
        hosts: &[Host],
        needs: &Needs,
    ) -> Result<Chain, PlanError> {
        let wide = hosts.iter().filter(|host| self.is_wide(host)).count();
        let (units, unit_rows) = deal_units(self.shape, &needs.units)?;
        let (slots, slot_rows) = deal_slots(self.shape, &needs.slots, node)?;
        let content = Content {
            hosts: hosts.len(),
            wide,
            units: units.len(),
            slots: slots.len(),
        };
        let own = own_rows(self.shape, unit_rows, slot_rows);
        let rows = content.rows(self.shape).max(own);
        // Slots that stand in the columns of units leave the first rows to these.
        let first_slot = if self.shape.shared_slots {
            unit_rows
        } else {
            0
        };
        let first_row = self.rows.len();
        // Rows beyond the usable ones are placed all the same, so that `finish` can tell how many are missing.
        let usable = self.shape.usable_rows();
        if first_row.saturating_add(rows) > 2 * usable {
            return Err(PlanError::TooManyRows {
                rows: first_row.saturating_add(rows),
                usable,
            });
        }
        self.rows.extend((0..rows).map(|i| Row {
            node,
            write: i + 1 < rows,
            carry: i > 0,
            ..Row::default()
        }));
        let below = |first: usize, list: Vec<(usize, usize)>| -> Vec<(usize, usize)> {
            let places = list.into_iter();
            places.map(|(row, place)| (first + row, place)).collect()
        };
        let units = below(first_row, units);
        let slots = below(first_row + first_slot, slots);
        let hosts = self.place_hosts(hosts, first_row, &units, &slots);
        let hosts = hosts.ok_or(PlanError::NoRoom { node })?;
        let count = |done: usize, new: usize| done as u32..(done + new) as u32;
        self.groups.push(Group {
            rows: count(first_row, rows),
            steps: count(self.layout_steps.len(), units.len()),
            windows: count(self.windows.len(), slots.len()),
        });
        Ok(Chain {
            first_row,
            hosts,
            units,
            slots,
        })
    }

    /// Whether a copy may be too large for a column of bytes.
    fn is_wide(&self, host: &Host) -> bool {
        match host {
            Host::Var(v) => {
                let info = self.lowering.var(*v);
                info.range.hi - info.offset >= 1 << BYTE_BITS
            }
            Host::Public(_) => true,
        }
    }

    fn wants_home(&self, host: &Host) -> Option<VarId> {
        match host {
            Host::Var(v) => {
                let homeless = self.homes[v.0 as usize] == UNPLACED;
                (homeless && self.is_byte_input[v.0 as usize]).then_some(*v)
            }
            Host::Public(_) => None,
        }
    }

    /// Puts each copy into a free host column of the rows from `first_row` on. An 8-bit input that has no home yet
    /// makes one of a byte cell, if there is one left.
    fn place_hosts(
        &mut self,
        hosts: &[Host],
        first_row: usize,
        units: &[(usize, usize)],
        slots: &[(usize, usize)],
    ) -> Option<Vec<(usize, usize)>> {
        let shape = self.shape;
        let mut busy = vec![vec![false; shape.advice_columns()]; self.rows.len() - first_row];
        for &(row, unit) in units {
            shape
                .unit(unit)
                .for_each(|column| busy[row - first_row][column] = true);
        }
        for &(row, slot) in slots {
            shape
                .slot(slot)
                .for_each(|column| busy[row - first_row][column] = true);
        }
        let values = shape.own_hosts() + shape.value_guests();
        let busy = &busy;
        let cells = |columns: std::ops::Range<usize>| {
            (0..busy.len())
                .flat_map(move |row| columns.clone().map(move |l| (row, l)))
                .filter(|&(row, l)| !busy[row][shape.host(l)])
                .map(|(row, l)| (first_row + row, l))
        };
        let mut bytes = cells(0..shape.bytes);
        let mut plain = cells(shape.bytes..values);
        let mut limbs = cells(values..shape.hosts());
        let mut out = vec![(0, 0); hosts.len()];
        // Those that can stand in few columns choose first, then those that would like a byte.
        let rank = |host: &Host| match host {
            host if self.is_wide(host) => 0,
            host if self.wants_home(host).is_some() => 1,
            _ => 2,
        };
        let mut order: Vec<usize> = (0..hosts.len()).collect();
        order.sort_by_key(|&i| rank(&hosts[i]));
        for i in order {
            let host = hosts[i];
            let home = self.wants_home(&host);
            let found = if self.is_wide(&host) {
                plain.next()
            } else if home.is_some() {
                let byte = bytes.next().or_else(|| limbs.next());
                byte.or_else(|| plain.next())
            } else {
                let limb = limbs.next().or_else(|| plain.next());
                limb.or_else(|| bytes.next())
            };
            let (row, l) = found?;
            let column = shape.host(l) as u32;
            out[i] = (row, l);
            self.rows[row].hosts.push((column, host));
            if let (Some(v), true) = (home, l < shape.bytes) {
                let row = row as u32;
                self.homes[v.0 as usize] = Cell { column, row };
            }
        }
        Some(out)
    }
}

/// What a chain holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Content {
    /// Copies.
    pub(super) hosts: usize,
    /// How many of them do not fit a byte.
    pub(super) wide: usize,
    /// Units in use.
    pub(super) units: usize,
    /// Slots in use.
    pub(super) slots: usize,
}

impl Content {
    /// The fewest rows that have room for it.
    pub(super) fn rows(&self, shape: &Shape) -> usize {
        if self.hosts == 0 {
            return 1;
        }
        let rows = |cells: usize, columns: usize| match (cells, columns) {
            (0, _) => 1,
            (_, 0) => usize::MAX,
            _ => cells.div_ceil(columns),
        };
        let values = shape.value_guests();
        let of_unit = values / shape.units().max(1);
        let limbs = shape.hosts() - shape.own_hosts() - values;
        let (of_unit_limbs, of_slot) = if limbs > 0 {
            // Where slots share the columns of units, limbs of `e` may be among the hosts too.
            let shared = limbs.saturating_sub(shape.units() * shape.limbs());
            let shared = if shape.shared_slots { shared } else { 0 };
            (
                shape.limbs() + shared.min(shape.limbs()),
                shape.slot_columns(),
            )
        } else {
            (0, 0)
        };
        let taken = self.units * (of_unit + of_unit_limbs) + self.slots * of_slot;
        let all = rows(self.hosts + taken, shape.hosts());
        let wide = match self.wide {
            0 => 1,
            wide => rows(wide + self.units * of_unit, shape.plain + values),
        };
        all.max(wide)
    }
}

/// The rows of a chain whose units and slots need so many.
pub(super) fn own_rows(shape: &Shape, units: usize, slots: usize) -> usize {
    if shape.shared_slots {
        units.saturating_add(slots)
    } else {
        units.max(slots)
    }
}

/// The rows that lanes need, by class of equations, where `members` units or slots share the classes out.
pub(super) fn dealt_rows(lanes: &[usize], members: usize, classes: usize) -> usize {
    if members == 0 {
        return if lanes.iter().all(|&n| n == 0) {
            0
        } else {
            usize::MAX
        };
    }
    if members <= classes {
        let of = |rank: usize| lanes.iter().skip(rank).step_by(members).sum();
        return (0..members).map(of).fold(0, usize::max);
    }
    let share = |c: usize| members / classes + usize::from(c < members % classes);
    let rows = lanes.iter().enumerate().map(|(c, &n)| n.div_ceil(share(c)));
    rows.fold(0, usize::max)
}

/// A unit of the right bank and class for each step, and the rows that this takes.
fn deal_units(
    shape: &Shape,
    steps: &[(usize, usize)],
) -> Result<(Vec<(usize, usize)>, usize), PlanError> {
    let mut out = vec![(0, 0); steps.len()];
    let mut rows = 0;
    for bank in 0..shape.banks {
        let of_bank = (0..steps.len()).filter(|&i| steps[i].1 == bank);
        let lanes: Vec<(usize, usize)> = of_bank.map(|i| (i, steps[i].0)).collect();
        let units: Vec<usize> = (0..shape.units())
            .filter(|&u| shape.unit_banks[u] == bank)
            .collect();
        let dealt = deal(&lanes, &units, shape.classes(), &mut out);
        rows = rows.max(dealt.ok_or(PlanError::NoUnit { bank })?);
    }
    Ok((out, rows))
}

/// A slot of the right class for each window, and the rows that this takes.
fn deal_slots(
    shape: &Shape,
    windows: &[usize],
    node: u32,
) -> Result<(Vec<(usize, usize)>, usize), PlanError> {
    if (shape.maxima == 0 || shape.max_limbs == 0) && !windows.is_empty() {
        return Err(PlanError::NoSlot { node });
    }
    let mut out = vec![(0, 0); windows.len()];
    let lanes: Vec<(usize, usize)> = windows.iter().copied().enumerate().collect();
    let slots: Vec<usize> = (0..shape.maxima).collect();
    let rows = deal(&lanes, &slots, shape.classes(), &mut out);
    Ok((out, rows.ok_or(PlanError::NoSlot { node })?))
}

/// For each lane (number and class) a row and one of the members that serve its class: in each class the members take
/// turns, row by row. `None` if no member serves a class.
fn deal(
    lanes: &[(usize, usize)],
    members: &[usize],
    classes: usize,
    out: &mut [(usize, usize)],
) -> Option<usize> {
    let mut used = vec![0; members.len()];
    for &(lane, class) in lanes {
        let serving =
            (0..members.len()).filter(|&rank| serves(rank, members.len(), classes, class));
        let rank = serving.min_by_key(|&rank| (used[rank], rank))?;
        out[lane] = (used[rank], members[rank]);
        used[rank] += 1;
    }
    Some(used.into_iter().fold(0, usize::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chips::{Check, Guests};
    use crate::lower::Collector;
    use crate::program::Range;

    #[test]
    fn lanes_are_dealt_in_as_many_rows_as_are_estimated() {
        for members in 1..9 {
            for classes in 1..6 {
                for n in 0..30 {
                    let shares: Vec<usize> = super::super::pack::share(n, classes).collect();
                    let lanes = shares.iter().enumerate();
                    let lanes = lanes.flat_map(|(c, &count)| vec![c; count]);
                    let lanes: Vec<_> = lanes.enumerate().collect();
                    let slots: Vec<usize> = (0..members).collect();
                    let mut out = vec![(0, 0); n];
                    let rows = deal(&lanes, &slots, classes, &mut out);
                    let rows = rows.expect("there are members of each class");
                    assert_eq!(rows, dealt_rows(&shares, members, classes));
                    let mut taken = out.clone();
                    taken.sort_unstable();
                    taken.dedup();
                    assert_eq!(taken.len(), n, "no place is taken twice");
                    for (&(row, member), &(_, c)) in out.iter().zip(&lanes) {
                        assert!(row < rows && serves(member, members, classes, c));
                    }
                }
            }
        }
    }

    #[test]
    fn the_busiest_member_counts_whichever_it_is() {
        // Two members serve the classes in turn: 1 + 2 and 5 + 1.
        assert_eq!(dealt_rows(&[1, 5, 2, 1], 2, 4), 6);
        assert_eq!(dealt_rows(&[5, 1, 1, 2], 2, 4), 6);
        // Two members for the first class, one for each other.
        assert_eq!(dealt_rows(&[5, 2, 1], 4, 3), 3);
    }

    fn shape(unit_banks: &[usize], maxima: usize, guests: Guests, shared_slots: bool) -> Shape {
        Shape {
            k: 10,
            range_bits: 8,
            check: Check::Limbs(2),
            unit_banks: unit_banks.to_vec(),
            banks: 2,
            maxima,
            max_limbs: 1,
            max_top: false,
            shared_slots,
            guests,
            bytes: 3,
            plain: 2,
            accumulators: 4,
        }
    }

    #[test]
    fn copies_need_the_columns_that_units_and_slots_leave() {
        let rows = |shape: &Shape, hosts, wide, units, slots| {
            let content = Content {
                hosts,
                wide,
                units,
                slots,
            };
            content.rows(shape)
        };
        let none = shape(&[0, 1], 1, Guests::None, false);
        assert_eq!(rows(&none, 0, 0, 9, 9), 1, "nothing is copied");
        assert_eq!(rows(&none, 5, 2, 2, 1), 1);
        assert_eq!(rows(&none, 6, 2, 2, 1), 2);
        assert_eq!(rows(&none, 5, 3, 2, 1), 2, "two columns hold wide values");
        // Five columns of its own and `y` and `t` of two units: two of nine are busy for each unit in use.
        let starts = shape(&[0, 1], 0, Guests::Starts, false);
        assert_eq!(rows(&starts, 5, 0, 2, 0), 1);
        assert_eq!(rows(&starts, 6, 0, 2, 0), 2);
        assert_eq!(rows(&starts, 4, 3, 2, 0), 2, "7 of 6 wide columns");
        assert_eq!(rows(&starts, 4, 2, 2, 0), 1);
        let one = shape(&[0], 0, Guests::Values, false);
        assert_eq!(rows(&one, 5, 0, 1, 0), 1);
        assert_eq!(rows(&one, 6, 0, 1, 0), 2);
        // Two limbs of `d` for each unit, and the four columns of a slot.
        let all = shape(&[0, 1], 1, Guests::All, false);
        assert_eq!(all.hosts(), 5 + 4 + 4 + 4);
        assert_eq!(rows(&all, 5, 0, 2, 1), 1);
        assert_eq!(rows(&all, 6, 0, 2, 1), 2);
        assert_eq!(rows(&all, 9, 0, 1, 1), 1);
        assert_eq!(rows(&all, 10, 0, 1, 1), 2);
        // Three slots reach beyond the limbs of `d` into those of `e`.
        let shared = shape(&[0, 1], 2, Guests::All, true);
        assert_eq!(shared.hosts(), 5 + 4 + 8);
        assert_eq!(rows(&shared, 5, 0, 2, 0), 1);
        assert_eq!(rows(&shared, 6, 0, 2, 0), 2);
        let idle = shape(&[], 1, Guests::None, false);
        assert_eq!(rows(&idle, 5, 0, 0, 1), 1);
    }

    #[test]
    fn steps_are_dealt_to_the_units_of_their_bank() {
        let shape = shape(&[0, 1, 0, 0], 0, Guests::None, false);
        assert_eq!(shape.classes(), 3);
        let steps = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 0)];
        let (units, rows) = deal_units(&shape, &steps).unwrap();
        assert_eq!(units, [(0, 0), (0, 2), (0, 3), (0, 1), (1, 1), (1, 0)]);
        assert_eq!(rows, 2);
        assert_eq!(deal_units(&shape, &[]), Ok((vec![], 0)));
        assert_eq!(
            deal_units(&shape_without_bank(), &[(0, 1)]),
            Err(PlanError::NoUnit { bank: 1 })
        );
    }

    fn shape_without_bank() -> Shape {
        shape(&[0, 0], 0, Guests::None, false)
    }

    #[test]
    fn windows_need_a_slot() {
        let one = shape(&[0, 1], 1, Guests::None, false);
        let placed = (vec![(0, 0), (1, 0)], 2);
        assert_eq!(deal_slots(&one, &[0, 0], 5), Ok(placed));
        let none = shape(&[0, 1], 0, Guests::None, false);
        assert_eq!(deal_slots(&none, &[], 5), Ok((vec![], 0)));
        let refused = Err(PlanError::NoSlot { node: 5 });
        assert_eq!(deal_slots(&none, &[0], 5), refused);
        let without_limbs = Shape {
            max_limbs: 0,
            ..one
        };
        assert_eq!(deal_slots(&without_limbs, &[0], 5), refused);
    }

    #[test]
    fn a_chain_is_refused_beyond_twice_the_rows_that_there_are() {
        let (shape, lowering) = (shape(&[0, 1], 1, Guests::None, false), Collector::new());
        let lowering = lowering.finish([].iter()).unwrap();
        let usable = shape.usable_rows();
        // Row 0 is taken.
        for (rows, fits) in [(2 * usable - 1, true), (2 * usable, false)] {
            let mut placer = Placer::new(&shape, &lowering, Vec::new());
            let needs = Needs {
                units: Vec::new(),
                slots: vec![0; rows],
            };
            let chain = placer.chain(0, &[], &needs).map(|chain| chain.slots.len());
            let rows = 1 + rows;
            let refused = PlanError::TooManyRows { rows, usable };
            assert_eq!(chain, if fits { Ok(rows - 1) } else { Err(refused) });
        }
    }

    #[test]
    fn values_of_more_than_a_byte_are_wide() {
        let mut collector = Collector::new();
        for (hi, offset_of) in [(255, 0), (256, 0), (511, 0), (258, 3)] {
            let wires = collector.inputs(0, 1, Range::new(offset_of, hi)).unwrap();
            assert_eq!(wires.len(), 1);
        }
        let lowering = collector.lowering();
        let shape = shape(&[0], 0, Guests::None, false);
        let placer = Placer::new(&shape, lowering, Vec::new());
        let wide = |v| {
            let info = lowering.var(VarId(v));
            let is = placer.is_wide(&Host::Var(VarId(v)));
            assert_eq!(is, info.range.hi - info.offset > 255);
            is
        };
        assert_eq!([wide(0), wide(1), wide(2)], [false, true, true]);
        assert!(placer.is_wide(&Host::Public(0)));
    }
}
