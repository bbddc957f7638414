//! The columns and constraints that all operators share.
//!
//! Every row of a circuit looks alike. It has *value columns*, whose cells are weighted by fixed columns and summed
//! into *accumulators*; some of the value columns are range-checked, some belong to *units* that prove one value of
//! a step function, some to *maximum slots*. [`Shape`] says how many of each there are, and [`Chips::new`] turns it
//! into a constraint system, which is plain data.
//!
//! # Columns
//!
//! | kind    | name         | number             | holds                                                        |
//! |---------|--------------|--------------------|--------------------------------------------------------------|
//! | advice  | `y_u`, `t_u` | one pair a unit    | value of the step function, start of its step                |
//! | advice  | `r_h`        | `range_columns()`  | limbs, each in `[0, 2^range_bits)`; first `d`, then `e` limbs |
//! | advice  | `b_i`        | `bytes`            | 8-bit inputs, and copies of bytes                            |
//! | advice  | `p_i`        | `plain`            | copies of cells                                              |
//! | advice  | `s_g`        | `accumulators`     | running sums                                                 |
//! | fixed   | `q`, `c`     | 1 each             | this row writes the sums; it continues those of the row above |
//! | fixed   | `k_g`        | `accumulators`     | constant that enters the sum                                 |
//! | fixed   | `w_{g,l}`    | one a weighted cell | packed weights                                               |
//! | fixed   | `tag_u`      | one a unit         | which table the unit reads; 0 where it is idle               |
//! | fixed   | `m_q`        | one a maximum slot | 1 where the slot is in use                                   |
//! | fixed   | tables       | 2 + 4 a bank       | limbs; bytes; rows (tag, tag·y, tag·start, tag·(width-1))    |
//! | instance | `i`         | 1                  | context, public inputs and outputs                           |
//!
//! # Constraints
//!
//! | degree | name    | constraint                                                                           |
//! |--------|---------|--------------------------------------------------------------------------------------|
//! | 2      | `dot`   | `q·s_g(0) - c·s_g(-1) - Σ_l w_{g,l}·x_l - k_g = 0`, `x_l` over all weighted columns   |
//! | lookup | `range` | `r_h ∈ [0, 2^range_bits)`                                                            |
//! | lookup | `byte`  | `b_i ∈ [0, 2^8)`                                                                     |
//! | lookup | `step`  | `(tag, tag·y, tag·t, tag·(d + e))` is a row of the bank's table                      |
//! | 5      | `max`   | `m·f_1·f_2·f_3·f_4 = 0`, each `f_i` a sum of limbs                                   |
//! | copy   | `copy`  | a value that is used again is the same cell, or a public value                       |
//!
//! # Soundness
//!
//! **dot.** A chain of rows has `c = 0` on its first row and `q = 0` on its last. By induction over its rows the
//! gates say that a weighted sum over all cells of the chain, plus constants, is zero; the first row starts from
//! nothing, because `c = 0` there. The sums in between are functions of the cells. The sum of the last row is not
//! a cell: `q = 0`, and the next row has `c = 0`.
//!
//! **step.** With a tag other than zero the unit's cells satisfy `y = y_j`, `t = T_j`, `d + e = W_j - 1` for one row
//! `j` of the table with that tag: multiplication by a non-zero tag is injective. `d` and `e` are sums of limbs
//! times powers of `2^range_bits`, hence integers in `[0, 2^(range_bits·limbs))`, and as their sum is an integer
//! below the modulus, `0 ≤ d ≤ W_j - 1`. So `t + d` lies in step `j`, and `y` is the value of that step. Steps
//! partition the domain: given `t + d`, all of `j`, `y`, `t`, `d`, `e` are forced, and the limbs with them. A row
//! with tag zero looks up zeros, which the table's first row holds; its cells are free for other use.
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

/// How many columns of each kind a circuit has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The circuit has `2^k` rows.
    pub k: u32,
    /// Bits of a range-checked limb.
    pub range_bits: u32,
    /// Limbs on each side of a step.
    pub limbs: usize,
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
    /// The range column at which the slots begin: 0 to share those of the units, or after them.
    pub max_base: usize,
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

    /// Range columns of one maximum slot: the distances, limb by limb, then the maximum.
    pub fn slot_columns(&self) -> usize {
        MAX_FAN_IN * self.max_limbs + usize::from(self.max_top)
    }

    /// Range columns of all slots, as an interval.
    fn slots(&self) -> std::ops::Range<usize> {
        self.max_base..self.max_base + self.maxima * self.slot_columns()
    }

    /// The first weighted range columns, which have no gap: the `d` limbs, and slots that share them.
    fn leading_range_columns(&self) -> usize {
        let own = self.units() * self.limbs;
        if self.max_base <= own {
            own.max(self.slots().end)
        } else {
            own
        }
    }

    /// Range columns that carry weights: the `d` limbs and the maximum slots.
    pub fn weighted_range_columns(&self) -> usize {
        let leading = self.leading_range_columns();
        leading
            + if self.max_base > self.units() * self.limbs {
                self.slots().len()
            } else {
                0
            }
    }

    /// All range columns: `d` limbs, `e` limbs, and what the maximum slots need.
    pub fn range_columns(&self) -> usize {
        (2 * self.units() * self.limbs).max(if self.maxima > 0 { self.slots().end } else { 0 })
    }

    /// Columns whose cells enter the sums: `y`, `t`, the weighted range columns and the plain ones.
    pub fn weighted_columns(&self) -> usize {
        2 * self.units() + self.weighted_range_columns() + self.bytes + self.plain
    }

    /// Advice columns.
    pub fn advice_columns(&self) -> usize {
        2 * self.units() + self.range_columns() + self.bytes + self.plain + self.accumulators
    }

    /// Rows that may hold something.
    pub fn usable_rows(&self) -> usize {
        (1usize << self.k).saturating_sub(RESERVED_ROWS)
    }

    /// Rows that a table may fill: halo2 repeats its first row below it, at least once.
    pub fn table_capacity(&self) -> usize {
        self.usable_rows().saturating_sub(1)
    }

    /// Widest step that a unit can prove.
    pub fn max_step_width(&self) -> u64 {
        1 << (self.range_bits as usize * self.limbs).min(62)
    }

    /// Index of the advice column `y` of unit `u`.
    pub fn y(&self, u: usize) -> usize {
        2 * u
    }

    /// Index of the advice column `t` of unit `u`.
    pub fn t(&self, u: usize) -> usize {
        2 * u + 1
    }

    /// Index of range column `h`.
    pub fn range(&self, h: usize) -> usize {
        2 * self.units() + h
    }

    /// Index of limb `i` of `d` of unit `u`.
    pub fn d(&self, u: usize, i: usize) -> usize {
        self.range(u * self.limbs + i)
    }

    /// Index of limb `i` of `e` of unit `u`.
    pub fn e(&self, u: usize, i: usize) -> usize {
        self.range(self.units() * self.limbs + u * self.limbs + i)
    }

    /// Index of byte column `i`; the plain columns follow.
    pub fn byte(&self, i: usize) -> usize {
        2 * self.units() + self.range_columns() + i
    }

    /// Whether every cell of an advice column is proved to be a byte.
    pub fn holds_bytes(&self, advice: usize) -> bool {
        let limbs = self.range(0)..self.range(self.range_columns());
        let bytes = self.byte(0)..self.byte(self.bytes);
        bytes.contains(&advice) || (self.range_bits == BYTE_BITS && limbs.contains(&advice))
    }

    /// Index of accumulator `g`.
    pub fn accumulator(&self, g: usize) -> usize {
        2 * self.units() + self.range_columns() + self.bytes + self.plain + g
    }

    /// Index of limb `i` of distance `j` of slot `q`.
    pub fn distance(&self, q: usize, j: usize, i: usize) -> usize {
        self.range(self.max_base + q * self.slot_columns() + j * self.max_limbs + i)
    }

    /// The advice columns of the distances of slot `q`.
    pub fn distances(&self, q: usize) -> std::ops::Range<usize> {
        self.distance(q, 0, 0)..self.distance(q, MAX_FAN_IN, 0)
    }

    /// Index of the maximum of slot `q`, if slots have a column for it.
    pub fn top(&self, q: usize) -> usize {
        self.range(self.max_base + (q + 1) * self.slot_columns() - 1)
    }

    /// The advice columns of slot `q`.
    pub fn slot(&self, q: usize) -> std::ops::Range<usize> {
        let first = self.max_base + q * self.slot_columns();
        self.range(first)..self.range(first + self.slot_columns())
    }

    /// The advice column of weighted column `l`.
    pub fn weighted(&self, l: usize) -> usize {
        let leading = 2 * self.units() + self.leading_range_columns();
        let own = 2 * self.units() + self.weighted_range_columns();
        match l {
            l if l < leading => l,
            l if l < own => self.range(self.max_base) + l - leading,
            l => self.byte(l - own),
        }
    }

    /// The inverse of [`Shape::weighted`]; `None` for a column without weights.
    pub fn weight_index(&self, advice: usize) -> Option<usize> {
        let leading = 2 * self.units() + self.leading_range_columns();
        let own = 2 * self.units() + self.weighted_range_columns();
        let free = self.byte(0)..self.accumulator(0);
        let slots = self.range(self.slots().start)..self.range(self.slots().end);
        match advice {
            a if a < leading => Some(a),
            a if slots.contains(&a) => Some(leading + a - slots.start),
            a if free.contains(&a) => Some(own + a - free.start),
            _ => None,
        }
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
    /// `w_{g,l}`, by accumulator and weighted column.
    pub weights: Vec<Vec<Column>>,
    /// `tag_u`.
    pub tags: Vec<Column>,
    /// `m_q`.
    pub maxima: Vec<Column>,
    /// The table of limbs.
    pub range_table: Column,
    /// The table of bytes; the table of limbs, if these are bytes or there is no byte column.
    pub byte_table: Column,
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
            .map(|_| (0..shape.weighted_columns()).map(|_| b.fixed()).collect())
            .collect();
        let tags: Vec<_> = (0..shape.units()).map(|_| b.fixed()).collect();
        let maxima: Vec<_> = (0..shape.maxima).map(|_| b.fixed()).collect();
        // Table columns come last, in the order in which halo2 is asked to make them.
        let range_table = b.fixed();
        let own_bytes = shape.bytes > 0 && shape.range_bits != BYTE_BITS;
        let byte_table = if own_bytes { b.fixed() } else { range_table };
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
        for h in 0..shape.range_columns() {
            let limb = b.cell(advice[shape.range(h)]);
            b.lookup(vec![(limb, range_table)]);
            lookup_names.push(ConstraintName::Range(h));
        }
        for i in 0..shape.bytes {
            let byte = b.cell(advice[shape.byte(i)]);
            b.lookup(vec![(byte, byte_table)]);
            lookup_names.push(ConstraintName::Byte(i));
        }
        for (u, &tag) in tags.iter().enumerate() {
            let inputs = step(&mut b, shape, &advice, tag, u);
            let bank = banks[shape.unit_banks[u]];
            b.lookup(inputs.into_iter().zip(bank).collect());
            lookup_names.push(ConstraintName::Step(u));
        }
        for l in 0..shape.weighted_columns() {
            b.permute(advice[shape.weighted(l)]);
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
            banks,
            gate_names,
            lookup_names,
        }
    }

    /// Table columns, which halo2 wants to be made as such, in order.
    pub fn table_columns(&self) -> impl Iterator<Item = Column> + '_ {
        let own_bytes = Some(self.byte_table).filter(|&t| t != self.range_table);
        std::iter::once(self.range_table)
            .chain(own_bytes)
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
    (constant, weights): (Column, &[Column]),
) -> Poly {
    // The sums are functions of the weighted cells, which range, step and copy constraints bound.
    let sum = advice[shape.accumulator(g)];
    let mut poly = b.cell(write).times(b.cell(sum));
    poly = poly.minus(b.cell(carry).times(b.query(sum, -1)));
    for (l, &weight) in weights.iter().enumerate() {
        let term = b.cell(advice[shape.weighted(l)]).times(b.cell(weight));
        poly = poly.minus(term);
    }
    poly.minus(b.cell(constant))
}

/// `(tag, tag·y, tag·t, tag·(d + e))` for unit `u`.
fn step(b: &mut Builder, shape: &Shape, advice: &[Column], tag: Column, u: usize) -> [Poly; 4] {
    // y and t are bounded by the table, the limbs of d and e by their range checks.
    let y = b.cell(advice[shape.y(u)]);
    let t = b.cell(advice[shape.t(u)]);
    let mut width = b
        .cell(advice[shape.d(u, 0)])
        .plus(b.cell(advice[shape.e(u, 0)]));
    for i in 1..shape.limbs {
        let bits = shape.range_bits * i as u32;
        width = width.plus(b.cell(advice[shape.d(u, i)]).shifted(bits));
        width = width.plus(b.cell(advice[shape.e(u, i)]).shifted(bits));
    }
    let tag = b.cell(tag);
    [
        tag.clone(),
        tag.clone().times(y),
        tag.clone().times(t),
        tag.times(width),
    ]
}
