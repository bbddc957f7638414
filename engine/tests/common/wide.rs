//! The synthetic circuit of the benchmark: value columns times fixed weight columns, summed in accumulators, and range
//! lookups.

use std::sync::{Arc, Mutex};

use ff::Field;
use halo2_proofs::circuit::{Layouter, SimpleFloorPlanner, Value};
use halo2_proofs::plonk::{
    Advice, Circuit, Column, ConstraintSystem, Error, Expression, Fixed, Instance, TableColumn,
};
use halo2_proofs::poly::Rotation;
use pasta_curves::Fp;

/// Rows that no circuit of this form may use.
const RESERVED: usize = 10;

/// How wide the circuit is.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub k: u32,
    pub values: usize,
    pub accumulators: usize,
    pub lookups: usize,
}

/// What `configure` builds: one shape per process, because `configure` runs on any thread.
static SHAPE: Mutex<Option<Wide>> = Mutex::new(None);

#[derive(Clone, Debug)]
pub struct WideConfig {
    values: Vec<Column<Advice>>,
    weights: Vec<Vec<Column<Fixed>>>,
    accumulators: Vec<Column<Advice>>,
    q: Column<Fixed>,
    ranges: Vec<Column<Advice>>,
    table: TableColumn,
    #[allow(dead_code, reason = "the column is part of the circuit")]
    instance: Column<Instance>,
}

#[derive(Clone, Debug)]
pub struct WideCircuit {
    shape: Wide,
    /// Weights by accumulator, value and row; only key generation reads them.
    weights: Arc<Vec<Vec<Vec<Fp>>>>,
    values: Vec<Vec<Fp>>,
    accumulators: Vec<Vec<Fp>>,
    ranges: Vec<Vec<Fp>>,
}

impl WideCircuit {
    /// A circuit with values that `seed` decides; the weights do not depend on it. `configure` builds this shape from
    /// now on.
    pub fn new(shape: Wide, seed: u64) -> Self {
        *SHAPE.lock().unwrap() = Some(shape);
        let rows = shape.rows();
        let (mut fixed, mut random) = (88_172_645_463_325_252, seed);
        let base = Fp::from(1 << 24);
        let column =
            |value: &mut dyn FnMut() -> Fp| -> Vec<Fp> { (0..rows).map(|_| value()).collect() };
        let mut packed =
            || (0..10).fold(Fp::ZERO, |w, _| w * base + Fp::from(next(&mut fixed) & 127));
        let weights: Vec<Vec<Vec<Fp>>> = (0..shape.accumulators)
            .map(|_| (0..shape.values).map(|_| column(&mut packed)).collect())
            .collect();
        let values: Vec<_> = (0..shape.values)
            .map(|_| column(&mut || Fp::from(next(&mut random) & 255)))
            .collect();
        let ranges = (0..shape.lookups)
            .map(|_| column(&mut || Fp::from(next(&mut random) & 63)))
            .collect();
        let accumulate = |weights: &Vec<Vec<Fp>>| {
            let mut sums = vec![Fp::ZERO];
            for row in 0..rows {
                let products = weights
                    .iter()
                    .zip(&values)
                    .map(|(weights, values)| weights[row] * values[row]);
                sums.push(sums[row] + products.sum::<Fp>());
            }
            sums
        };
        let accumulators = weights.iter().map(accumulate).collect();
        Self {
            shape,
            weights: Arc::new(weights),
            values,
            accumulators,
            ranges,
        }
    }

    /// The advice columns.
    pub fn advice(&self) -> impl Iterator<Item = &Vec<Fp>> {
        self.values
            .iter()
            .chain(&self.accumulators)
            .chain(&self.ranges)
    }
}

impl Wide {
    fn rows(&self) -> usize {
        (1 << self.k) - RESERVED
    }
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

impl Circuit<Fp> for WideCircuit {
    type Config = WideConfig;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        self.clone()
    }

    fn configure(meta: &mut ConstraintSystem<Fp>) -> WideConfig {
        let shape = SHAPE
            .lock()
            .unwrap()
            .expect("WideCircuit::new sets the shape");
        let values: Vec<_> = (0..shape.values).map(|_| meta.advice_column()).collect();
        let weights: Vec<Vec<_>> = (0..shape.accumulators)
            .map(|_| (0..shape.values).map(|_| meta.fixed_column()).collect())
            .collect();
        let accumulators: Vec<_> = (0..shape.accumulators)
            .map(|_| meta.advice_column())
            .collect();
        let ranges: Vec<_> = (0..shape.lookups).map(|_| meta.advice_column()).collect();
        let q = meta.fixed_column();
        let table = meta.lookup_table_column();
        let instance = meta.instance_column();
        meta.enable_equality(instance);
        for column in values.iter().chain(&accumulators).chain(&ranges) {
            meta.enable_equality(*column);
        }
        for (accumulator, weights) in accumulators.iter().zip(&weights) {
            meta.create_gate("accumulate", |cells| {
                let q = cells.query_fixed(q);
                let sum = cells.query_advice(*accumulator, Rotation::cur());
                let next = cells.query_advice(*accumulator, Rotation::next());
                let sum = values
                    .iter()
                    .zip(weights)
                    .fold(sum, |sum, (value, weight)| {
                        sum + cells.query_advice(*value, Rotation::cur())
                            * cells.query_fixed(*weight)
                    });
                vec![q * (next - sum)]
            });
        }
        for range in &ranges {
            meta.lookup(|cells| vec![(cells.query_advice(*range, Rotation::cur()), table)]);
        }
        meta.create_gate("degree 5", |cells| {
            let q = cells.query_fixed(q);
            let a = cells.query_advice(ranges[0], Rotation::cur());
            vec![q.clone() * (Expression::Constant(Fp::ONE) - q) * (a.clone() * a.clone() * a)]
        });
        WideConfig {
            values,
            weights,
            accumulators,
            q,
            ranges,
            table,
            instance,
        }
    }

    fn synthesize(&self, config: WideConfig, mut layouter: impl Layouter<Fp>) -> Result<(), Error> {
        let rows = self.shape.rows();
        layouter.assign_table(
            || "table",
            |mut table| {
                (0..(rows / 2).min(512)).try_for_each(|row| {
                    table.assign_cell(
                        || "",
                        config.table,
                        row,
                        || Value::known(Fp::from(row as u64)),
                    )
                })
            },
        )?;
        layouter.assign_region(
            || "rows",
            |mut region| {
                let advice = config
                    .values
                    .iter()
                    .chain(&config.accumulators)
                    .chain(&config.ranges);
                for (column, values) in advice.zip(self.advice()) {
                    for (row, value) in values.iter().enumerate() {
                        region.assign_advice(|| "", *column, row, || Value::known(*value))?;
                    }
                }
                let weights = config
                    .weights
                    .iter()
                    .flatten()
                    .zip(self.weights.iter().flatten());
                for (column, weights) in weights {
                    for (row, weight) in weights.iter().enumerate() {
                        region.assign_fixed(|| "", *column, row, || Value::known(*weight))?;
                    }
                }
                for row in 0..rows {
                    region.assign_fixed(|| "", config.q, row, || Value::known(Fp::ONE))?;
                }
                Ok(())
            },
        )
    }
}
