//! The columns and constraints that all operators share.
//!
//! Every row of a circuit looks alike. It has *host columns*, whose cells are copies of earlier cells; *units*, each of
//! which proves one value of a step function; *maximum slots*; and *accumulators*, which sum all of these with fixed
//! weights. Columns of units and slots may be hosts too, where they are idle ([`Guests`]). [`Shape`] says how many of each there are, and [`Chips::new`] turns it into a constraint system, which is
//! plain data.
//!
//! # Columns
//!
//! | kind    | name         | number              | holds                                                       |
//! |---------|--------------|---------------------|-------------------------------------------------------------|
//! | advice  | `y_u`, `t_u` | one pair a unit     | value of the step function, start of its step               |
//! | advice  | `r_h`        | `range_columns()`   | limbs, each in `[0, 2^range_bits)`: of `d`, `e` and slots    |
//! | advice  | `d_u`, `v_u` | one pair a unit     | place in the step, width of the step less one (by width)    |
//! | advice  | `b_i`        | `bytes`             | 8-bit inputs, and copies of bytes                           |
//! | advice  | `p_i`        | `plain`             | copies of cells                                             |
//! | advice  | `s_g`        | `accumulators`      | running sums                                                |
//! | fixed   | `q`, `c`     | 1 each              | this row writes the sums; it continues those of the row above |
//! | fixed   | `k_g`        | `accumulators`      | constant that enters the sum                                |
//! | fixed   | `w_{g,l}`    | `weights()`         | packed weights                                              |
//! | fixed   | `tag_u`      | one a unit          | which table the unit reads; 0 where it is idle              |
//! | fixed   | `m_q`        | one a maximum slot  | 1 where the slot is in use                                  |
//! | fixed   | tables       | as needed, 4 a bank | limbs; bytes; widths (width-1, place); rows (tag, tag·y, tag·start, tag·(width-1)) |
//! | instance | `i`         | 1                   | context, public inputs and outputs                          |
//!
//! # Terms
//!
//! What an accumulator weighs is a *term*: a host cell, `t + d` of a unit, or a distance or the maximum of a slot.
//! Hosts serve all accumulators. A unit, and a slot, belongs to some of them: the units that read one bank share the
//! accumulators out among themselves ([`Shape::weighs`]). That keeps fixed columns, and so the proof, few.
//!
//! # Constraints
//!
//! | degree | name    | constraint                                                                           |
//! |--------|---------|--------------------------------------------------------------------------------------|
//! | 2      | `dot`   | `q·s_g(0) - c·s_g(-1) - Σ_l w_{g,l}·x_l - k_g = 0`, `x_l` over the terms of `g`        |
//! | lookup | `range` | `r_h ∈ [0, 2^range_bits)`                                                            |
//! | lookup | `byte`  | `b_i ∈ [0, 2^8)`                                                                     |
//! | lookup | `step`  | `(tag, tag·y, tag·t, tag·(d + e))`, or with `v` for `d + e`, is a row of the bank's table |
//! | lookup | `width` | `(v, d)` is a row of the table of widths                                             |
//! | 5      | `max`   | `m·f_1·f_2·f_3·f_4 = 0`, each `f_i` a sum of limbs                                   |
//! | copy   | `copy`  | a value that is used again is the same cell, or a public value                       |
//!
//! # Soundness
//!
//! **dot.** A chain of rows has `c = 0` on its first row and `q = 0` on its last. By induction over its rows the
//! gates say that a weighted sum over all terms of the chain, plus constants, is zero; the first row starts from
//! nothing, because `c = 0` there. The sums in between are functions of the cells. The sum of the last row is not
//! a cell: `q = 0`, and the next row has `c = 0`.
//!
//! **step.** The tag is fixed. With a tag other than zero the unit's cells satisfy `y = y_j`, `t = T_j` and
//! `d + e = W_j - 1`, or `v = W_j - 1`, for one row `j` of the table with that tag. A circuit has one of two
//! [`Check`]s that `d` is a place in that step:
//!
//! - *limbs*: `d` and `e` are sums of limbs times powers of `2^range_bits`, hence integers in
//!   `[0, 2^(range_bits·limbs))`, and as their sum is an integer below the modulus, `0 ≤ d ≤ W_j - 1`;
//! - *width*: `(v, d)` is a row of the table of widths, which holds `(W - 1, 0)` to `(W - 1, W - 1)` for every width
//!   `W` that any step has, and no others. Its rows with `v = W_j - 1` say `0 ≤ d ≤ W_j - 1`.
//!
//! So `t + d` lies in step `j`, and `y` is the value of that step. Steps partition the domain: given `t + d`, all of
//! `j`, `y`, `t`, `d`, `e` or `v` are forced, and the limbs with them. Multiplication by a tag other than zero is
//! injective. A row with tag zero looks up zeros, which the first row of a bank's table holds, so the cells of an idle
//! unit are free for other use.
//!
//! **max.** See [`crate::plan::place`]: `f_i = M - y_i` by a dot chain, `f_i` is a sum of limbs, hence an integer not
//! below zero and far below the modulus, and one of them is zero by `max`, because a field has no zero divisors.
//!
//! **packing.** What one equation of a chain says of several integers at once is argued in [`crate::plan::pack`].

mod builder;

pub(crate) use builder::power_of_two;
use builder::{Builder, Poly};
use zkonnx_verifier::cs::{Column, ConstraintSystem};

/// Inputs of a maximum slot.
pub const MAX_FAN_IN: usize = 4;
/// Bits of a byte.
pub const BYTE_BITS: u32 = 8;
/// Degree of the constraint system. Constraints of degree 4 and 5 need the same extended domain, and 5 lets three
/// columns share one permutation product.
pub const DEGREE: u32 = 5;
/// Rows at the end of the circuit that halo2 keeps for blinding: five blinding factors and the last active row.
/// The accumulators are queried at two rotations, which is below the three queries that halo2 counts at least.
pub const RESERVED_ROWS: usize = 6;

/// How a unit proves that a value lies in a step, once the start and the width of the step are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// The distances to both ends of the step are sums of this many range-checked limbs.
    Limbs(usize),
    /// The pair of width and distance is looked up. Steps are cut until none is wider than this.
    Width(u32),
}

/// Which columns of idle units and slots hold copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guests {
    /// None.
    #[default]
    None,
    /// The `y` of units, which are under the permutation in any case.
    Values,
    /// The `y` and `t` of units.
    Starts,
    /// The `y`, `t` and limbs of `d` of units, and all columns of slots. The limbs are bytes at least.
    All,
}

/// How many columns of each kind a circuit has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The circuit has `2^k` rows.
    pub k: u32,
    /// Bits of a range-checked limb.
    pub range_bits: u32,
    /// How units prove that values lie in their steps.
    pub check: Check,
    /// The table bank that each unit reads.
    pub unit_banks: Vec<usize>,
    /// Number of table banks.
    pub banks: usize,
    /// Maximum slots.
    pub maxima: usize,
    /// Limbs of each distance in a maximum slot.
    pub max_limbs: usize,
    /// Whether a slot has a column for the maximum itself (maxima of steps have it in their unit).
    pub max_top: bool,
    /// Whether slots stand in the limbs of the units, in rows where these are idle.
    pub shared_slots: bool,
    /// Which columns of units and slots hold copies where they are idle.
    pub guests: Guests,
    /// Columns of bytes: copies, and the homes of 8-bit inputs.
    pub bytes: usize,
    /// Columns that hold nothing but copies.
    pub plain: usize,
    /// Accumulators.
    pub accumulators: usize,
}

impl Shape {
    /// Number of units.
    pub fn units(&self) -> usize {
        self.unit_banks.len()
    }

    /// Limbs on each side of a step; none where widths are looked up.
    pub fn limbs(&self) -> usize {
        match self.check {
            Check::Limbs(limbs) => limbs,
            Check::Width(_) => 0,
        }
    }

    /// Widest step that a unit can prove.
    pub fn max_step_width(&self) -> u64 {
        match self.check {
            Check::Limbs(limbs) => 1 << (self.range_bits as usize * limbs).min(62),
            Check::Width(widest) => u64::from(widest),
        }
    }

    /// Range columns of one maximum slot: the distances, limb by limb, then the maximum.
    pub fn slot_columns(&self) -> usize {
        MAX_FAN_IN * self.max_limbs + usize::from(self.max_top)
    }

    /// All range columns: `d` limbs, `e` limbs, and those of the maximum slots.
    pub fn range_columns(&self) -> usize {
        let units = 2 * self.units() * self.limbs();
        units.max(self.first_slot() + self.maxima * self.slot_columns())
    }

    /// The first range column of the slots.
    fn first_slot(&self) -> usize {
        if self.shared_slots {
            0
        } else {
            2 * self.units() * self.limbs()
        }
    }

    /// Columns of one unit that are no limbs.
    fn unit_columns(&self) -> usize {
        match self.check {
            Check::Limbs(_) => 2,
            Check::Width(_) => 4,
        }
    }

    /// Columns that hold nothing but copies and bytes.
    pub fn own_hosts(&self) -> usize {
        self.bytes + self.plain
    }

    /// Number of host columns: first those of bytes, then the plain ones, then those of units, then those of slots.
    pub fn hosts(&self) -> usize {
        let guests = self.value_guests()
            + self
                .limb_guests()
                .map(|part| part.len())
                .iter()
                .sum::<usize>();
        self.own_hosts() + guests
    }

    /// Columns `y` and `t` that are hosts.
    pub fn value_guests(&self) -> usize {
        match self.guests {
            Guests::None => 0,
            Guests::Values => self.units(),
            Guests::Starts | Guests::All => 2 * self.units(),
        }
    }

    /// The range columns that are hosts, in two parts.
    fn limb_guests(&self) -> [std::ops::Range<usize>; 2] {
        if self.guests != Guests::All {
            return [0..0, 0..0];
        }
        let d = self.units() * self.limbs();
        let first = self.first_slot();
        let slots = first..first + self.maxima * self.slot_columns();
        if self.shared_slots {
            [0..d.max(slots.end), 0..0]
        } else {
            [0..d, slots]
        }
    }

    /// Advice columns.
    pub fn advice_columns(&self) -> usize {
        self.accumulator(self.accumulators)
    }

    /// Columns under the permutation, the instance column left out: those of which there are copies, and those that
    /// hold copies.
    pub fn permuted_columns(&self) -> Vec<usize> {
        let tops = (0..self.maxima).filter(|_| self.max_top);
        let hosts = (0..self.hosts()).map(|l| self.host(l));
        let mut columns: Vec<usize> = (0..self.units())
            .map(|u| self.y(u))
            .chain(tops.map(|q| self.top(q)))
            .chain(hosts)
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Rows that may hold something.
    pub fn usable_rows(&self) -> usize {
        (1usize << self.k).saturating_sub(RESERVED_ROWS)
    }

    /// Rows that a table may fill: halo2 repeats its first row below it, at least once.
    pub fn table_capacity(&self) -> usize {
        self.usable_rows().saturating_sub(1)
    }

    /// Index of the advice column `y` of unit `u`.
    pub fn y(&self, u: usize) -> usize {
        u
    }

    /// Index of the advice column `t` of unit `u`.
    pub fn t(&self, u: usize) -> usize {
        self.units() + u
    }

    /// Index of the advice column `v` of unit `u`, where widths are looked up.
    pub fn width(&self, u: usize) -> usize {
        3 * self.units() + u
    }

    /// Index of range column `h`.
    pub fn range(&self, h: usize) -> usize {
        self.unit_columns() * self.units() + h
    }

    /// Index of limb `i` of `d` of unit `u`, or of `d` itself where widths are looked up.
    pub fn d(&self, u: usize, i: usize) -> usize {
        match self.check {
            Check::Limbs(limbs) => self.range(u * limbs + i),
            Check::Width(_) => 2 * self.units() + u,
        }
    }

    /// Index of limb `i` of `e` of unit `u`.
    pub fn e(&self, u: usize, i: usize) -> usize {
        self.range((self.units() + u) * self.limbs() + i)
    }

    /// The advice columns of unit `u`.
    pub fn unit(&self, u: usize) -> impl Iterator<Item = usize> + '_ {
        let limbs = (0..self.limbs()).flat_map(move |i| [self.d(u, i), self.e(u, i)]);
        let place = (self.limbs() == 0).then(|| [self.d(u, 0), self.width(u)]);
        let place = place.into_iter().flatten();
        [self.y(u), self.t(u)].into_iter().chain(place).chain(limbs)
    }

    /// The advice column of host `l`.
    pub fn host(&self, l: usize) -> usize {
        let own = self.own_hosts();
        let values = own + self.value_guests();
        match l {
            l if l < own => self.first_host() + l,
            l if l < values => l - own,
            l => {
                let [first, second] = self.limb_guests();
                let h = l - values;
                self.range(if h < first.len() {
                    h
                } else {
                    second.start + h - first.len()
                })
            }
        }
    }

    /// The advice column of the first host that is no guest.
    pub fn first_host(&self) -> usize {
        self.range(self.range_columns())
    }

    /// Index of accumulator `g`.
    pub fn accumulator(&self, g: usize) -> usize {
        self.first_host() + self.own_hosts() + g
    }

    /// Index of limb `i` of distance `j` of slot `q`.
    pub fn distance(&self, q: usize, j: usize, i: usize) -> usize {
        let first = self.first_slot() + q * self.slot_columns();
        self.range(first + j * self.max_limbs + i)
    }

    /// The advice columns of the distances of slot `q`.
    pub fn distances(&self, q: usize) -> std::ops::Range<usize> {
        self.distance(q, 0, 0)..self.distance(q, MAX_FAN_IN, 0)
    }

    /// The advice columns of slot `q`.
    pub fn slot(&self, q: usize) -> std::ops::Range<usize> {
        self.distance(q, 0, 0)..self.distance(q + 1, 0, 0)
    }

    /// Index of the maximum of slot `q`, if slots have a column for it.
    pub fn top(&self, q: usize) -> usize {
        self.distance(q, MAX_FAN_IN, 0)
    }

    /// Number of terms that accumulators weigh.
    pub fn terms(&self) -> usize {
        self.top_term(self.maxima)
    }

    /// The term of unit `u`: `t + d`. Those of the hosts come first.
    pub fn unit_term(&self, u: usize) -> usize {
        self.hosts() + u
    }

    /// The term of distance `j` of slot `q`.
    pub fn distance_term(&self, q: usize, j: usize) -> usize {
        self.unit_term(self.units()) + q * MAX_FAN_IN + j
    }

    /// The term of the maximum of slot `q`.
    pub fn top_term(&self, q: usize) -> usize {
        self.distance_term(self.maxima, 0) + if self.max_top { q } else { 0 }
    }

    /// Calls `f(advice column, power of two)` for each cell of a term.
    pub fn for_term(&self, term: usize, mut f: impl FnMut(usize, u32)) {
        let units = self.unit_term(0);
        let slots = self.distance_term(0, 0);
        let tops = self.distance_term(self.maxima, 0);
        let bits = |limb: usize| self.range_bits * limb as u32;
        match term {
            l if l < units => f(self.host(l), 0),
            l if l < slots => {
                f(self.t(l - units), 0);
                (0..self.limbs().max(1)).for_each(|i| f(self.d(l - units, i), bits(i)));
            }
            l if l < tops => {
                let (q, j) = ((l - slots) / MAX_FAN_IN, (l - slots) % MAX_FAN_IN);
                (0..self.max_limbs).for_each(|i| f(self.distance(q, j, i), bits(i)));
            }
            l => f(self.top(l - tops), 0),
        }
    }

    /// Whether accumulator `g` weighs a term.
    pub fn weighs(&self, g: usize, term: usize) -> bool {
        let units = self.unit_term(0);
        let slots = self.distance_term(0, 0);
        let tops = self.distance_term(self.maxima, 0);
        match term {
            l if l < units => true,
            l if l < slots => {
                let bank = self.unit_banks[l - units];
                let before = self.unit_banks[..l - units].iter();
                let rank = before.filter(|&&b| b == bank).count();
                serves(rank, self.units_of(bank), self.accumulators, g)
            }
            l if l < tops => serves((l - slots) / MAX_FAN_IN, self.maxima, self.accumulators, g),
            l => serves(l - tops, self.maxima, self.accumulators, g),
        }
    }

    /// Accumulators whose numbers are equal modulo this are weighed by the same units and slots.
    pub fn classes(&self) -> usize {
        let banks = (0..self.banks).map(|bank| self.units_of(bank));
        let members = banks.chain([self.maxima]).filter(|&n| n > 0);
        members.fold(1, lcm).min(self.accumulators)
    }

    /// Number of units that read a bank.
    pub fn units_of(&self, bank: usize) -> usize {
        self.unit_banks.iter().filter(|&&b| b == bank).count()
    }

    /// Number of weight columns.
    pub fn weights(&self) -> usize {
        // However members share the accumulators out, each member and each accumulator has a partner.
        let shared = |members: usize| match members {
            0 => 0,
            n => n.max(self.accumulators),
        };
        let units: usize = (0..self.banks)
            .map(|bank| shared(self.units_of(bank)))
            .sum();
        let of_slot = MAX_FAN_IN + usize::from(self.max_top);
        self.hosts() * self.accumulators + units + of_slot * shared(self.maxima)
    }
}

/// The least common multiple of two numbers above zero.
fn lcm(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}

/// Whether the member of this rank, of so many that share the accumulators out, serves accumulator `g`: if there are
/// more accumulators than members, each serves several, else each accumulator has several.
pub(crate) fn serves(rank: usize, members: usize, accumulators: usize, g: usize) -> bool {
    if members <= accumulators {
        g % members == rank
    } else {
        rank % accumulators == g
    }
}

/// What a constraint is, for messages and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConstraintName {
    /// The sum of accumulator `.0`.
    Dot(usize),
    /// The maximum slot `.0`.
    Max(usize),
    /// The range check of range column `.0`.
    Range(usize),
    /// The range check of byte column `.0`.
    Byte(usize),
    /// The step lookup of unit `.0`.
    Step(usize),
    /// The lookup of width and distance of unit `.0`.
    Width(usize),
    /// Equality of cells.
    Copy,
}

impl std::fmt::Display for ConstraintName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dot(g) => write!(f, "dot[{g}]"),
            Self::Max(q) => write!(f, "max[{q}]"),
            Self::Range(h) => write!(f, "range[{h}]"),
            Self::Byte(i) => write!(f, "byte[{i}]"),
            Self::Step(u) => write!(f, "step[{u}]"),
            Self::Width(u) => write!(f, "width[{u}]"),
            Self::Copy => write!(f, "copy"),
        }
    }
}

/// Fixed columns of one table bank: tag, tag·y, tag·start, tag·(width - 1).
pub type Bank = [Column; 4];

/// The constraint system of a shape, and where its fixed columns are.
#[derive(Clone, Debug)]
pub struct Chips {
    /// The shape.
    pub shape: Shape,
    /// The constraint system, as data.
    pub cs: ConstraintSystem,
    /// `q`: this row writes the sums.
    pub write: Column,
    /// `c`: this row continues the sums of the row above.
    pub carry: Column,
    /// `k_g`.
    pub constants: Vec<Column>,
    /// `w_{g,l}`, by accumulator and term.
    pub weights: Vec<Vec<Option<Column>>>,
    /// `tag_u`.
    pub tags: Vec<Column>,
    /// `m_q`.
    pub maxima: Vec<Column>,
    /// The table of limbs, where there are limbs.
    pub range_table: Option<Column>,
    /// The table of bytes, where there are bytes; the table of limbs, if these are bytes.
    pub byte_table: Option<Column>,
    /// The table of widths less one and places, where widths are looked up.
    pub width_table: Option<[Column; 2]>,
    /// The tables of steps.
    pub banks: Vec<Bank>,
    /// Name of each gate, in the order of `cs.gates`.
    pub gate_names: Vec<ConstraintName>,
    /// Name of each lookup, in the order of `cs.lookups`.
    pub lookup_names: Vec<ConstraintName>,
}

impl Chips {
    /// The constraint system of `shape`.
    pub fn new(shape: &Shape) -> Self {
        let mut b = Builder::default();
        let instance = b.instance();
        let advice: Vec<_> = (0..shape.advice_columns()).map(|_| b.advice()).collect();
        let write = b.fixed();
        let carry = b.fixed();
        let constants: Vec<_> = (0..shape.accumulators).map(|_| b.fixed()).collect();
        let weights: Vec<Vec<_>> = (0..shape.accumulators)
            .map(|g| {
                let terms = 0..shape.terms();
                terms
                    .map(|l| shape.weighs(g, l).then(|| b.fixed()))
                    .collect()
            })
            .collect();
        let tags: Vec<_> = (0..shape.units()).map(|_| b.fixed()).collect();
        let maxima: Vec<_> = (0..shape.maxima).map(|_| b.fixed()).collect();
        // Table columns come last, in the order in which halo2 is asked to make them.
        let range_table = (shape.range_columns() > 0).then(|| b.fixed());
        let byte_table = match range_table {
            _ if shape.bytes == 0 => None,
            Some(limbs) if shape.range_bits == BYTE_BITS => Some(limbs),
            _ => Some(b.fixed()),
        };
        let width_table = (shape.limbs() == 0).then(|| [b.fixed(), b.fixed()]);
        let banks: Vec<Bank> = (0..shape.banks)
            .map(|_| [(); 4].map(|()| b.fixed()))
            .collect();

        let mut gate_names = Vec::new();
        for g in 0..shape.accumulators {
            let poly = dot(
                &mut b,
                shape,
                &advice,
                (write, carry),
                g,
                (constants[g], &weights[g]),
            );
            b.gate(poly);
            gate_names.push(ConstraintName::Dot(g));
        }
        for (q, &on) in maxima.iter().enumerate() {
            let mut poly = b.cell(on);
            for i in 0..MAX_FAN_IN {
                let mut f = b.cell(advice[shape.distance(q, i, 0)]);
                for limb in 1..shape.max_limbs {
                    let next = b.cell(advice[shape.distance(q, i, limb)]);
                    f = f.plus(next.shifted(shape.range_bits * limb as u32));
                }
                poly = poly.times(f);
            }
            b.gate(poly);
            gate_names.push(ConstraintName::Max(q));
        }
        let mut lookup_names = Vec::new();
        // There is a table wherever there is a column to look up in it.
        for (h, table) in (0..shape.range_columns()).zip(range_table.into_iter().cycle()) {
            let limb = b.cell(advice[shape.range(h)]);
            b.lookup(vec![(limb, table)]);
            lookup_names.push(ConstraintName::Range(h));
        }
        for (i, table) in (0..shape.bytes).zip(byte_table.into_iter().cycle()) {
            let byte = b.cell(advice[shape.host(i)]);
            b.lookup(vec![(byte, table)]);
            lookup_names.push(ConstraintName::Byte(i));
        }
        for (u, &tag) in tags.iter().enumerate() {
            let inputs = step(&mut b, shape, &advice, tag, u);
            let bank = banks[shape.unit_banks[u]];
            b.lookup(inputs.into_iter().zip(bank).collect());
            lookup_names.push(ConstraintName::Step(u));
        }
        for (u, table) in (0..shape.units()).zip(width_table.into_iter().cycle()) {
            let inputs = [
                b.cell(advice[shape.width(u)]),
                b.cell(advice[shape.d(u, 0)]),
            ];
            b.lookup(inputs.into_iter().zip(table).collect());
            lookup_names.push(ConstraintName::Width(u));
        }
        for column in shape.permuted_columns() {
            b.permute(advice[column]);
        }
        b.permute(instance);
        Self {
            shape: shape.clone(),
            cs: b.finish(DEGREE),
            write,
            carry,
            constants,
            weights,
            tags,
            maxima,
            range_table,
            byte_table,
            width_table,
            banks,
            gate_names,
            lookup_names,
        }
    }

    /// Table columns, which halo2 wants to be made as such, in order.
    pub fn table_columns(&self) -> impl Iterator<Item = Column> + '_ {
        let own_bytes = self
            .byte_table
            .filter(|_| self.byte_table != self.range_table);
        self.range_table
            .into_iter()
            .chain(own_bytes)
            .chain(self.width_table.into_iter().flatten())
            .chain(self.banks.iter().flatten().copied())
    }
}

/// `q·s(0) - c·s(-1) - Σ_l w_l·x_l - k` for accumulator `g`.
fn dot(
    b: &mut Builder,
    shape: &Shape,
    advice: &[Column],
    (write, carry): (Column, Column),
    g: usize,
    (constant, weights): (Column, &[Option<Column>]),
) -> Poly {
    // The sums are functions of the terms, whose cells range, step, width and copy constraints bound.
    let sum = advice[shape.accumulator(g)];
    let mut poly = b.cell(write).times(b.cell(sum));
    poly = poly.minus(b.cell(carry).times(b.query(sum, -1)));
    for (l, weight) in weights.iter().enumerate() {
        let Some(weight) = *weight else { continue };
        let mut term: Option<Poly> = None;
        shape.for_term(l, |column, bits| {
            let cell = b.cell(advice[column]).shifted(bits);
            term = Some(match term.take() {
                Some(cells) => cells.plus(cell),
                None => cell,
            });
        });
        let Some(term) = term else { continue };
        poly = poly.minus(term.times(b.cell(weight)));
    }
    poly.minus(b.cell(constant))
}

/// `(tag, tag·y, tag·t, tag·(d + e))`, or with `v` for `d + e`, for unit `u`.
fn step(b: &mut Builder, shape: &Shape, advice: &[Column], tag: Column, u: usize) -> [Poly; 4] {
    // y and t are bounded by the table, the limbs of d and e by their range checks.
    let width = match shape.check {
        Check::Width(_) => b.cell(advice[shape.width(u)]),
        Check::Limbs(limbs) => {
            let mut width = b
                .cell(advice[shape.d(u, 0)])
                .plus(b.cell(advice[shape.e(u, 0)]));
            for i in 1..limbs {
                let bits = shape.range_bits * i as u32;
                width = width.plus(b.cell(advice[shape.d(u, i)]).shifted(bits));
                width = width.plus(b.cell(advice[shape.e(u, i)]).shifted(bits));
            }
            width
        }
    };
    let y = b.cell(advice[shape.y(u)]);
    let t = b.cell(advice[shape.t(u)]);
    let tag = b.cell(tag);
    [
        tag.clone(),
        tag.clone().times(y),
        tag.clone().times(t),
        tag.times(width),
    ]
}
