//! Which commitment is opened where, in halo2's order.
//!
//! halo2 finds out during each verification which commitments share their opening points, by comparing the points. They
//! depend on the circuit alone, so a key knows it in advance: the plan lists every commitment once, in the order of its
//! first query, with the set of rotations it is opened at. Points are compared as rotations modulo the rows; that two
//! different rotations of the challenge x coincide only for x = 0 is checked when x is known.

use alloc::vec;
use alloc::vec::Vec;

use crate::cs::{ColumnKind, ConstraintSystem, Query};
use crate::error::KeyError;
use crate::work::amount;

/// Largest number of distinct rotations of a circuit, the verifier's own included.
pub const MAX_ROTATIONS: usize = 64;

/// Largest number of distinct sets of rotations that columns are queried at.
pub const MAX_POINT_SETS: usize = 64;

/// A commitment, by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Instance(usize),
    Advice(usize),
    Product(usize),
    LookupProduct(usize),
    LookupInput(usize),
    LookupTable(usize),
    Fixed(usize),
    Permutation(usize),
    Quotient,
    Random,
}

/// An evaluation, by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Instance(usize),
    Advice(usize),
    ProductCurrent(usize),
    ProductNext(usize),
    ProductLast(usize),
    LookupProduct(usize),
    LookupProductNext(usize),
    LookupInput(usize),
    LookupInputPrevious(usize),
    LookupTable(usize),
    Fixed(usize),
    Permutation(usize),
    Quotient,
    Random,
}

/// A commitment with the set of points it is opened at, and the evaluations there, in the set's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) source: Source,
    pub(crate) set: usize,
    pub(crate) values: Vec<Value>,
}

/// The openings of a proof: those of each circuit, then the shared ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The distinct rotations, in the order of their first use.
    pub(crate) rotations: Vec<i32>,
    /// The distinct sets of rotations, as ascending indices into `rotations`.
    pub(crate) sets: Vec<Vec<usize>>,
    /// The commitments that each circuit of a proof has of its own.
    pub(crate) own: Vec<Slot>,
    /// The commitments that all circuits share.
    pub(crate) shared: Vec<Slot>,
}

impl Plan {
    /// The openings of a validated system over `rows` rows.
    pub(crate) fn new(cs: &ConstraintSystem, rows: u32) -> Result<Self, KeyError> {
        let mut builder = Builder {
            rows: i64::from(rows),
            rotations: Vec::new(),
            slots: Vec::new(),
        };
        builder.columns(cs, ColumnKind::Instance, Source::Instance, Value::Instance);
        builder.columns(cs, ColumnKind::Advice, Source::Advice, Value::Advice);
        builder.products(cs);
        builder.lookups(cs);
        let own = builder.slots.len();
        builder.columns(cs, ColumnKind::Fixed, Source::Fixed, Value::Fixed);
        for column in 0..cs.permutation.len() {
            builder.query(Source::Permutation(column), 0, Value::Permutation(column));
        }
        builder.query(Source::Quotient, 0, Value::Quotient);
        builder.query(Source::Random, 0, Value::Random);
        builder.finish(own)
    }

    /// The multiplications of interpolating all sets at a point: one for each ordered pair of different points of a set,
    /// nine for each point (six of them to invert two values) and two for each set.
    pub(crate) fn interpolation_muls(&self) -> u64 {
        self.sets
            .iter()
            .map(|set| amount(set.len()))
            .map(|len| len * (len + 8) + 2)
            .fold(0, u64::saturating_add)
    }
}

/// The slots while their sets are not known yet. Beyond the cap on rotations it stops taking queries, which `finish` reports.
struct Builder {
    rows: i64,
    rotations: Vec<i32>,
    slots: Vec<(Source, Vec<(usize, Value)>)>,
}

impl Builder {
    /// Adds the query of a commitment that has its slot at the end, or none yet.
    fn query(&mut self, source: Source, rotation: i32, value: Value) {
        self.slots.push((source, Vec::new()));
        let slot = self.slots.len() - 1;
        self.query_slot(slot, rotation, value);
    }

    fn query_slot(&mut self, slot: usize, rotation: i32, value: Value) {
        if self.rotations.len() > MAX_ROTATIONS {
            return;
        }
        let same = |&other: &i32| (i64::from(other) - i64::from(rotation)) % self.rows == 0;
        let point = match self.rotations.iter().position(same) {
            Some(point) => point,
            None => {
                self.rotations.push(rotation);
                self.rotations.len() - 1
            }
        };
        if let Some((_, values)) = self.slots.get_mut(slot) {
            values.push((point, value));
        }
    }

    /// The queries of the columns of a kind: a slot for each queried column, in the order of first queries.
    fn columns(
        &mut self,
        cs: &ConstraintSystem,
        kind: ColumnKind,
        source: fn(usize) -> Source,
        value: fn(usize) -> Value,
    ) {
        let mut slots: Vec<Option<usize>> = vec![None; cs.columns(kind)];
        for (index, Query { column, rotation }) in cs.queries(kind).iter().enumerate() {
            let Ok(column) = usize::try_from(column.index) else {
                continue;
            };
            let Some(known) = slots.get_mut(column) else {
                continue;
            };
            let slot = *known.get_or_insert_with(|| {
                self.slots.push((source(column), Vec::new()));
                self.slots.len() - 1
            });
            self.query_slot(slot, *rotation, value(index));
        }
    }

    /// The permutation products: each at x and the next row, then all but the last, from behind, at the last usable
    /// row.
    fn products(&mut self, cs: &ConstraintSystem) {
        let first = self.slots.len();
        let count = cs.permutation.len().div_ceil(cs.permutation_chunk());
        for product in 0..count {
            self.query(Source::Product(product), 0, Value::ProductCurrent(product));
            self.query_slot(first + product, 1, Value::ProductNext(product));
        }
        // At most a few rows more than an advice column has queries.
        let last = i32::try_from(cs.blinding_factors()).unwrap_or(i32::MAX - 1) + 1;
        for product in (0..count.saturating_sub(1)).rev() {
            self.query_slot(first + product, -last, Value::ProductLast(product));
        }
    }

    fn lookups(&mut self, cs: &ConstraintSystem) {
        for lookup in 0..cs.lookups.len() {
            let product = self.slots.len();
            self.query(
                Source::LookupProduct(lookup),
                0,
                Value::LookupProduct(lookup),
            );
            self.query(Source::LookupInput(lookup), 0, Value::LookupInput(lookup));
            self.query(Source::LookupTable(lookup), 0, Value::LookupTable(lookup));
            self.query_slot(product + 1, -1, Value::LookupInputPrevious(lookup));
            self.query_slot(product, 1, Value::LookupProductNext(lookup));
        }
    }

    /// Groups the slots by the sets of their points.
    fn finish(self, own: usize) -> Result<Plan, KeyError> {
        if self.rotations.len() > MAX_ROTATIONS {
            return Err(KeyError::TooManyRotations);
        }
        let mut sets: Vec<Vec<usize>> = Vec::new();
        let mut slots: Vec<Slot> = Vec::with_capacity(self.slots.len());
        for (source, mut values) in self.slots {
            values.sort_unstable_by_key(|&(point, _)| point);
            let points: Vec<usize> = values.iter().map(|&(point, _)| point).collect();
            let set = sets
                .iter()
                .position(|set| *set == points)
                .unwrap_or_else(|| {
                    sets.push(points);
                    sets.len() - 1
                });
            if sets.len() > MAX_POINT_SETS {
                return Err(KeyError::TooManyPointSets);
            }
            slots.push(Slot {
                source,
                set,
                values: values.into_iter().map(|(_, value)| value).collect(),
            });
        }
        let shared = slots.split_off(own);
        Ok(Plan {
            rotations: self.rotations,
            sets,
            own: slots,
            shared,
        })
    }
}
