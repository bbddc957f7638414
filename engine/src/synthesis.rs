//! What a circuit assigns, collected from halo2's `synthesize`.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use ff::Field;
use halo2_proofs::circuit::Value;
use halo2_proofs::plonk::{
    Advice, Any, Assigned, Assignment, Circuit, Column as Halo2Column,
    ConstraintSystem as Halo2System, Error, Fixed, FloorPlanner, Instance, Selector,
};
use pasta_curves::Fp;
use pasta_curves::arithmetic::VartimeBatchInvert;
use zkonnx_verifier::cs::{Column, ColumnKind};

use crate::permutation::Assembly;

/// The index of a halo2 column, which is private: the column's `Hash` hands it over as its only `usize`.
/// [`indices_are_readable`] checks that this is so.
fn column_index(column: &impl Hash) -> usize {
    #[derive(Default)]
    struct Probe(Option<usize>);
    impl Hasher for Probe {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, _: &[u8]) {}
        fn write_isize(&mut self, _: isize) {}
        fn write_usize(&mut self, index: usize) {
            self.0.get_or_insert(index);
        }
    }
    let mut probe = Probe::default();
    column.hash(&mut probe);
    // Out of any range, so that a column whose index cannot be read is reported as out of bounds.
    probe.0.unwrap_or(usize::MAX)
}

/// Whether [`column_index`] works with this build of halo2.
pub(crate) fn indices_are_readable() -> bool {
    let mut meta = Halo2System::<Fp>::default();
    (0..3).all(|i| {
        let (advice, fixed, instance) = (
            meta.advice_column(),
            meta.fixed_column(),
            meta.instance_column(),
        );
        let any: [Halo2Column<Any>; 3] = [advice.into(), fixed.into(), instance.into()];
        [
            column_index(&advice),
            column_index(&fixed),
            column_index(&instance),
        ] == [i; 3]
            && any.iter().all(|column| column_index(column) == i)
    })
}

fn column(column: &Halo2Column<Any>) -> Column {
    let kind = match column.column_type() {
        Any::Advice => ColumnKind::Advice,
        Any::Fixed => ColumnKind::Fixed,
        Any::Instance => ColumnKind::Instance,
    };
    Column {
        kind,
        index: u32::try_from(column_index(column)).unwrap_or(u32::MAX),
    }
}

/// Columns of values, whose divisions are done at the end, all at once.
#[derive(Debug)]
struct Columns {
    values: Vec<Vec<Fp>>,
    /// Denominators of the cells that hold a fraction, by column and row.
    fractions: HashMap<(usize, usize), Fp>,
}

impl Columns {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            values: vec![vec![Fp::ZERO; rows]; columns],
            fractions: HashMap::new(),
        }
    }

    fn assign(
        &mut self,
        column: usize,
        row: usize,
        value: Value<Assigned<Fp>>,
    ) -> Result<(), Error> {
        let cell = self
            .values
            .get_mut(column)
            .and_then(|values| values.get_mut(row));
        let cell = cell.ok_or(Error::BoundsFailure)?;
        let mut known = None;
        value.map(|value| known = Some(value));
        let value = known.ok_or(Error::Synthesis)?;
        *cell = value.numerator();
        if let Some(denominator) = value.denominator() {
            self.fractions.insert((column, row), denominator);
        } else if !self.fractions.is_empty() {
            self.fractions.remove(&(column, row));
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Vec<Fp>> {
        self.fractions.values_mut().batch_invert_vartime();
        for ((column, row), inverse) in self.fractions {
            self.values[column][row] *= inverse;
        }
        self.values
    }
}

/// Runs `synthesize` of `circuit` against `target`.
fn synthesize<C: Circuit<Fp>>(circuit: &C, target: &mut impl Assignment<Fp>) -> Result<(), Error> {
    let mut meta = Halo2System::default();
    let config = C::configure(&mut meta);
    C::FloorPlanner::synthesize(target, circuit, config, Vec::new())
}

/// The fixed columns and the copies of `circuit`.
pub(crate) fn fixed<C: Circuit<Fp>>(
    circuit: &C,
    fixed: usize,
    permutation: Assembly,
    (k, n, usable): (u32, usize, usize),
) -> Result<(Vec<Vec<Fp>>, Assembly), Error> {
    let mut target = FixedTarget {
        k,
        usable,
        columns: Columns::new(fixed, n),
        permutation,
    };
    synthesize(circuit, &mut target)?;
    Ok((target.columns.finish(), target.permutation))
}

/// The advice columns of `circuit`, up to the last usable row.
pub(crate) fn advice<C: Circuit<Fp>>(
    circuit: &C,
    advice: usize,
    instances: &[Vec<Fp>],
    (k, usable): (u32, usize),
) -> Result<Vec<Vec<Fp>>, Error> {
    let mut target = AdviceTarget {
        k,
        usable,
        columns: Columns::new(advice, usable),
        instances,
    };
    synthesize(circuit, &mut target)?;
    Ok(target.columns.finish())
}

struct FixedTarget {
    k: u32,
    usable: usize,
    columns: Columns,
    permutation: Assembly,
}

struct AdviceTarget<'a> {
    k: u32,
    usable: usize,
    columns: Columns,
    instances: &'a [Vec<Fp>],
}

fn in_range(row: usize, usable: usize, k: u32) -> Result<(), Error> {
    if row < usable {
        Ok(())
    } else {
        Err(Error::NotEnoughRowsAvailable { current_k: k })
    }
}

impl Assignment<Fp> for FixedTarget {
    fn enter_region<NR: Into<String>, N: FnOnce() -> NR>(&mut self, _: N) {}

    fn exit_region(&mut self) {}

    fn enable_selector<A: FnOnce() -> AR, AR: Into<String>>(
        &mut self,
        _: A,
        _: &Selector,
        _: usize,
    ) -> Result<(), Error> {
        // Constraint systems with selectors are refused before synthesis.
        Err(Error::Synthesis)
    }

    fn query_instance(&self, _: Halo2Column<Instance>, row: usize) -> Result<Value<Fp>, Error> {
        in_range(row, self.usable, self.k)?;
        Ok(Value::unknown())
    }

    fn assign_advice<V, VR, A, AR>(
        &mut self,
        _: A,
        _: Halo2Column<Advice>,
        _: usize,
        _: V,
    ) -> Result<(), Error>
    where
        V: FnOnce() -> Value<VR>,
        VR: Into<Assigned<Fp>>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        Ok(())
    }

    fn assign_fixed<V, VR, A, AR>(
        &mut self,
        _: A,
        column: Halo2Column<Fixed>,
        row: usize,
        to: V,
    ) -> Result<(), Error>
    where
        V: FnOnce() -> Value<VR>,
        VR: Into<Assigned<Fp>>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        in_range(row, self.usable, self.k)?;
        self.columns
            .assign(column_index(&column), row, to().into_field())
    }

    fn copy(
        &mut self,
        left: Halo2Column<Any>,
        left_row: usize,
        right: Halo2Column<Any>,
        right_row: usize,
    ) -> Result<(), Error> {
        in_range(left_row, self.usable, self.k)?;
        in_range(right_row, self.usable, self.k)?;
        let ends = [(column(&left), left_row), (column(&right), right_row)];
        self.permutation.copy(ends[0], ends[1]).map_err(|missing| {
            Error::ColumnNotInPermutation(if missing.column == ends[0].0 {
                left
            } else {
                right
            })
        })
    }

    fn fill_from_row(
        &mut self,
        column: Halo2Column<Fixed>,
        row: usize,
        to: Value<Assigned<Fp>>,
    ) -> Result<(), Error> {
        in_range(row, self.usable, self.k)?;
        let index = column_index(&column);
        (row..self.usable).try_for_each(|row| self.columns.assign(index, row, to))
    }

    fn push_namespace<NR: Into<String>, N: FnOnce() -> NR>(&mut self, _: N) {}

    fn pop_namespace(&mut self, _: Option<String>) {}
}

impl Assignment<Fp> for AdviceTarget<'_> {
    fn enter_region<NR: Into<String>, N: FnOnce() -> NR>(&mut self, _: N) {}

    fn exit_region(&mut self) {}

    fn enable_selector<A: FnOnce() -> AR, AR: Into<String>>(
        &mut self,
        _: A,
        _: &Selector,
        _: usize,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn query_instance(
        &self,
        column: Halo2Column<Instance>,
        row: usize,
    ) -> Result<Value<Fp>, Error> {
        in_range(row, self.usable, self.k)?;
        let column = self.instances.get(column_index(&column));
        let value = column.and_then(|column| column.get(row));
        value
            .map(|value| Value::known(*value))
            .ok_or(Error::BoundsFailure)
    }

    fn assign_advice<V, VR, A, AR>(
        &mut self,
        _: A,
        column: Halo2Column<Advice>,
        row: usize,
        to: V,
    ) -> Result<(), Error>
    where
        V: FnOnce() -> Value<VR>,
        VR: Into<Assigned<Fp>>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        in_range(row, self.usable, self.k)?;
        self.columns
            .assign(column_index(&column), row, to().into_field())
    }

    fn assign_fixed<V, VR, A, AR>(
        &mut self,
        _: A,
        _: Halo2Column<Fixed>,
        _: usize,
        _: V,
    ) -> Result<(), Error>
    where
        V: FnOnce() -> Value<VR>,
        VR: Into<Assigned<Fp>>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        Ok(())
    }

    fn copy(
        &mut self,
        _: Halo2Column<Any>,
        _: usize,
        _: Halo2Column<Any>,
        _: usize,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn fill_from_row(
        &mut self,
        _: Halo2Column<Fixed>,
        _: usize,
        _: Value<Assigned<Fp>>,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn push_namespace<NR: Into<String>, N: FnOnce() -> NR>(&mut self, _: N) {}

    fn pop_namespace(&mut self, _: Option<String>) {}
}
