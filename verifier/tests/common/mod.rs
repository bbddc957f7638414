//! Randomized small halo2 circuits, and what ties the stock library to this crate in tests.
#![allow(dead_code)] // Every test file uses a part of it.

pub(crate) mod claims;
pub(crate) mod pinned;

use std::cell::RefCell;

use ff::{Field, PrimeField};
use group::GroupEncoding;
use halo2_proofs::circuit::{Cell, Layouter, Region, SimpleFloorPlanner, Value};
use halo2_proofs::plonk::{
    self, Advice, Circuit, Column, ConstraintSystem, Error, Expression, Fixed, Instance,
    SingleVerifier, TableColumn,
};
use halo2_proofs::poly::Rotation;
use halo2_proofs::poly::commitment::Params as StockParams;
use halo2_proofs::transcript::{Blake2bRead, Blake2bWrite, Challenge255};
use pasta_curves::{EqAffine, Fp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use zkonnx_verifier::{CircuitKey, Params};

/// The shape of a test circuit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) seed: u64,
    pub(crate) k: u32,
    /// Elements of each instance column.
    pub(crate) instances: Vec<usize>,
    /// Degree and rotations of each gate; there are as many factors as rotations.
    pub(crate) gates: Vec<Vec<i32>>,
    /// Width of each lookup.
    pub(crate) lookups: Vec<usize>,
    /// Columns of equal values under the permutation, besides the instance.
    pub(crate) copies: usize,
    pub(crate) minimum_degree: Option<usize>,
}

impl Spec {
    /// A random shape for 2^k rows.
    pub(crate) fn random(seed: u64, k: u32) -> Self {
        let mut state = seed ^ 0x5eed;
        let mut pick = |low: u64, high: u64| low + mix(&mut state) % (high - low + 1);
        let instances = (0..pick(1, 3)).map(|_| pick(0, 5) as usize).collect();
        let gates = (0..pick(0, 3))
            .map(|_| (0..pick(1, 8)).map(|_| pick(0, 3) as i32 - 1).collect())
            .collect();
        let lookups = (0..pick(0, 2)).map(|_| pick(1, 3) as usize).collect();
        Self {
            seed,
            k,
            instances,
            gates,
            lookups,
            copies: pick(1, 5) as usize,
            minimum_degree: (pick(0, 2) == 0).then(|| pick(3, 7) as usize),
        }
    }
}

/// SplitMix64.
pub(crate) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn value(seed: u64, circuit: u64, column: usize, row: usize) -> Fp {
    let mut state = seed ^ (circuit << 48) ^ ((column as u64) << 32) ^ row as u64;
    Fp::from(mix(&mut state)) * Fp::from(mix(&mut state))
}

thread_local! {
    static SPEC: RefCell<Spec> = RefCell::default();
}

/// A circuit of the shape that the thread has set, with the witness of a number.
#[derive(Clone, Debug)]
pub(crate) struct TestCircuit {
    spec: Spec,
    number: u64,
    /// With an instance, public cells hold it; else they hold what the number says.
    instance: Option<Vec<Vec<Fp>>>,
    known: bool,
}

/// Selector, coefficient, input and output.
type GateColumns = (Column<Fixed>, Column<Fixed>, Column<Advice>, Column<Advice>);

/// Selector, inputs and tables.
type LookupColumns = (Column<Fixed>, Vec<Column<Advice>>, Vec<TableColumn>);

#[derive(Clone, Debug)]
pub(crate) struct Config {
    instances: Vec<Column<Instance>>,
    gates: Vec<GateColumns>,
    lookups: Vec<LookupColumns>,
    copies: Vec<Column<Advice>>,
}

impl Circuit<Fp> for TestCircuit {
    type Config = Config;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        Self {
            known: false,
            ..self.clone()
        }
    }

    fn configure(meta: &mut ConstraintSystem<Fp>) -> Config {
        let spec = SPEC.with(|spec| spec.borrow().clone());
        let instances: Vec<_> = spec
            .instances
            .iter()
            .map(|_| meta.instance_column())
            .collect();
        let copies: Vec<_> = (0..spec.copies).map(|_| meta.advice_column()).collect();
        for &column in &copies {
            meta.enable_equality(column);
        }
        for &column in &instances {
            meta.enable_equality(column);
        }
        let gates = spec
            .gates
            .iter()
            .map(|rotations| gate(meta, rotations))
            .collect();
        let lookups = spec
            .lookups
            .iter()
            .map(|&width| lookup(meta, width))
            .collect();
        if let Some(degree) = spec.minimum_degree {
            meta.set_minimum_degree(degree);
        }
        Config {
            instances,
            gates,
            lookups,
            copies,
        }
    }

    fn synthesize(&self, config: Config, mut layouter: impl Layouter<Fp>) -> Result<(), Error> {
        for (_, _, tables) in &config.lookups {
            layouter.assign_table(
                || "table",
                |mut table| {
                    for (index, &column) in tables.iter().enumerate() {
                        for row in 0..self.rows() {
                            let entry = table_entry(row, index);
                            table.assign_cell(|| "entry", column, row, || Value::known(entry))?;
                        }
                    }
                    Ok(())
                },
            )?;
        }
        let cells = layouter.assign_region(
            || "all",
            |mut region| {
                self.assign_gates(&config, &mut region)?;
                self.assign_lookups(&config, &mut region)?;
                self.assign_copies(&config, &mut region)
            },
        )?;
        let mut cells = cells.into_iter();
        for (&column, &len) in config.instances.iter().zip(&self.spec.instances) {
            for row in 0..len {
                layouter.constrain_instance(cells.next().ok_or(Error::Synthesis)?, column, row)?;
            }
        }
        Ok(())
    }
}

impl TestCircuit {
    /// The rows that are assigned, which leaves more than the blinding ones.
    fn rows(&self) -> usize {
        let all = 1usize << self.spec.k;
        all - 24.min(all / 2 + 4)
    }

    fn witness(&self, value: Fp) -> Value<Fp> {
        match self.known {
            true => Value::known(value),
            false => Value::unknown(),
        }
    }

    fn assign_gates(&self, config: &Config, region: &mut Region<'_, Fp>) -> Result<(), Error> {
        let spec = &self.spec;
        for (index, (q, f, input, output)) in config.gates.iter().enumerate() {
            let input_at = |row: usize| value(spec.seed, self.number, index, row);
            for row in 0..self.rows() {
                region.assign_advice(|| "in", *input, row, || self.witness(input_at(row)))?;
            }
            for row in 2..self.rows() - 2 {
                let coefficient = value(spec.seed, 0, 100 + index, row);
                let product: Fp = spec.gates[index]
                    .iter()
                    .map(|&rotation| input_at(row.wrapping_add_signed(rotation as isize)))
                    .product();
                let out = product * Fp::from(3) + coefficient - Fp::from(7);
                region.assign_fixed(|| "q", *q, row, || Value::known(Fp::ONE))?;
                region.assign_fixed(|| "f", *f, row, || Value::known(coefficient))?;
                region.assign_advice(|| "out", *output, row + 1, || self.witness(out))?;
            }
        }
        Ok(())
    }

    fn assign_lookups(&self, config: &Config, region: &mut Region<'_, Fp>) -> Result<(), Error> {
        for (lookup, (q, columns, _)) in config.lookups.iter().enumerate() {
            for row in 0..self.rows() / 2 {
                region.assign_fixed(|| "q", *q, row, || Value::known(Fp::ONE))?;
                let mut state =
                    self.spec.seed ^ self.number ^ (lookup as u64) << 20 ^ (row as u64) << 30;
                let entry = mix(&mut state) as usize % self.rows();
                for (index, &column) in columns.iter().enumerate() {
                    let value = self.witness(table_entry(entry, index));
                    region.assign_advice(|| "v", column, row, || value)?;
                }
            }
        }
        Ok(())
    }

    /// Every public value stands in all copy columns; the cells of the last are returned, to be tied to the instance.
    fn assign_copies(
        &self,
        config: &Config,
        region: &mut Region<'_, Fp>,
    ) -> Result<Vec<Cell>, Error> {
        let mut last = Vec::new();
        for (row, entry) in self.public().into_iter().flatten().enumerate() {
            let mut cells = Vec::new();
            for &column in &config.copies {
                let cell = region.assign_advice(|| "copy", column, row, || self.witness(entry))?;
                cells.push(cell.cell());
            }
            for pair in cells.windows(2) {
                region.constrain_equal(pair[0], pair[1])?;
            }
            last.push(cells[cells.len() - 1]);
        }
        Ok(last)
    }
}

/// q · (3 · Π input + f - 7 - output(next)) = 0.
fn gate(meta: &mut ConstraintSystem<Fp>, rotations: &[i32]) -> GateColumns {
    let (q, f) = (meta.fixed_column(), meta.fixed_column());
    let (input, output) = (meta.advice_column(), meta.advice_column());
    meta.create_gate("gate", |meta| {
        let factors: Vec<_> = rotations
            .iter()
            .map(|&rotation| meta.query_advice(input, Rotation(rotation)))
            .collect();
        let product = factors
            .into_iter()
            .reduce(|a, b| a * b)
            .unwrap_or(Expression::Constant(Fp::ONE));
        let sum = product * Fp::from(3) + meta.query_fixed(f) - Expression::Constant(Fp::from(7));
        let output = meta.query_advice(output, Rotation::next());
        vec![meta.query_fixed(q) * (sum - output)]
    });
    (q, f, input, output)
}

fn lookup(meta: &mut ConstraintSystem<Fp>, width: usize) -> LookupColumns {
    let q = meta.fixed_column();
    let columns: Vec<_> = (0..width).map(|_| meta.advice_column()).collect();
    let tables: Vec<_> = (0..width).map(|_| meta.lookup_table_column()).collect();
    meta.lookup(|meta| {
        let q = meta.query_fixed(q);
        columns
            .iter()
            .zip(&tables)
            .map(|(&column, &table)| {
                (
                    q.clone() * meta.query_advice(column, Rotation::cur()),
                    table,
                )
            })
            .collect()
    });
    (q, columns, tables)
}

/// Row 0 is all zero, which is what rows without a lookup look up.
fn table_entry(row: usize, index: usize) -> Fp {
    Fp::from(row as u64).pow_vartime([index as u64 + 1])
}

impl TestCircuit {
    pub(crate) fn new(spec: &Spec, number: u64) -> Self {
        Self {
            spec: spec.clone(),
            number,
            instance: None,
            known: true,
        }
    }

    pub(crate) fn with_instance(spec: &Spec, number: u64, instance: Vec<Vec<Fp>>) -> Self {
        Self {
            instance: Some(instance),
            ..Self::new(spec, number)
        }
    }

    /// The instance columns that the witness satisfies.
    pub(crate) fn public(&self) -> Vec<Vec<Fp>> {
        self.instance.clone().unwrap_or_else(|| {
            let column = |(index, &len): (usize, &usize)| {
                (0..len)
                    .map(|row| value(self.spec.seed, self.number, 1000 + index, row))
                    .collect()
            };
            self.spec.instances.iter().enumerate().map(column).collect()
        })
    }
}

/// A circuit with its keys, stock and ours.
pub(crate) struct Setup {
    pub(crate) spec: Spec,
    pub(crate) stock_params: StockParams<EqAffine>,
    pub(crate) pk: plonk::ProvingKey<EqAffine>,
    pub(crate) key: CircuitKey,
}

/// A proof with its instances.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    pub(crate) instances: Vec<Vec<Vec<Fp>>>,
    pub(crate) proof: Vec<u8>,
}

impl Setup {
    pub(crate) fn new(spec: Spec) -> Self {
        SPEC.with(|current| *current.borrow_mut() = spec.clone());
        let stock_params = StockParams::new(spec.k);
        let circuit = TestCircuit::new(&spec, 0).without_witnesses();
        let vk = plonk::keygen_vk(&stock_params, &circuit).unwrap();
        let key = pinned::key_of(&vk);
        let pk = plonk::keygen_pk(&stock_params, vk, &circuit).unwrap();
        Self {
            spec,
            stock_params,
            pk,
            key,
        }
    }

    pub(crate) fn params(&self) -> Params {
        params(self.spec.k)
    }

    /// A proof of so many circuits, as the stock library makes it.
    pub(crate) fn prove(&self, circuits: u64) -> Proved {
        self.prove_circuits(
            (0..circuits)
                .map(|number| TestCircuit::new(&self.spec, number))
                .collect(),
        )
    }

    /// A proof of as many circuits with other witnesses.
    pub(crate) fn clone_with_other_witness(&self, circuits: usize) -> Proved {
        let circuit = |number| TestCircuit::new(&self.spec, 1000 + number);
        self.prove_circuits((0..circuits as u64).map(circuit).collect())
    }

    pub(crate) fn prove_circuits(&self, circuits: Vec<TestCircuit>) -> Proved {
        SPEC.with(|current| *current.borrow_mut() = self.spec.clone());
        let instances: Vec<_> = circuits.iter().map(TestCircuit::public).collect();
        let mut transcript = Blake2bWrite::<_, _, Challenge255<_>>::init(Vec::new());
        let columns: Vec<Vec<&[Fp]>> = instances
            .iter()
            .map(|columns| columns.iter().map(Vec::as_slice).collect())
            .collect();
        let columns: Vec<&[&[Fp]]> = columns.iter().map(Vec::as_slice).collect();
        let rng = StdRng::seed_from_u64(self.spec.seed);
        plonk::create_proof(
            &self.stock_params,
            &self.pk,
            &circuits,
            &columns,
            rng,
            &mut transcript,
        )
        .unwrap();
        Proved {
            instances,
            proof: transcript.finalize(),
        }
    }

    /// The verdict of the stock verifier.
    pub(crate) fn stock_accepts(&self, proved: &Proved) -> bool {
        let columns: Vec<Vec<&[Fp]>> = proved
            .instances
            .iter()
            .map(|columns| columns.iter().map(Vec::as_slice).collect())
            .collect();
        let columns: Vec<&[&[Fp]]> = columns.iter().map(Vec::as_slice).collect();
        let mut transcript = Blake2bRead::<_, _, Challenge255<_>>::init(proved.proof.as_slice());
        let strategy = SingleVerifier::new(&self.stock_params);
        plonk::verify_proof(
            &self.stock_params,
            self.pk.get_vk(),
            strategy,
            &columns,
            &mut transcript,
        )
        .is_ok()
    }

    /// The verdict of this crate.
    pub(crate) fn accepts(&self, params: &Params, proved: &Proved) -> bool {
        self.key
            .verify(params, &proved.instances, &proved.proof)
            .is_ok()
    }
}

/// Generators, w, u, and the Lagrange points of each size.
pub(crate) type Parts = (Vec<EqAffine>, EqAffine, EqAffine, Vec<Vec<EqAffine>>);

/// Our parameters from the stock ones, which compares the pinned digest.
pub(crate) fn params(k: u32) -> Params {
    let (g, w, u, lagrange) = stock_parts(k);
    Params::new(k, g, w, u, lagrange).unwrap()
}

/// What our parameters consist of, read from the stock ones' bytes.
pub(crate) fn stock_parts(k: u32) -> Parts {
    let stock = |k: u32| {
        let mut bytes = Vec::new();
        StockParams::<EqAffine>::new(k).write(&mut bytes).unwrap();
        let mut points = bytes[4..]
            .chunks_exact(32)
            .map(|chunk| EqAffine::from_bytes(chunk.try_into().unwrap()).unwrap());
        let n = 1usize << k;
        let g: Vec<EqAffine> = points.by_ref().take(n).collect();
        let lagrange: Vec<EqAffine> = points.by_ref().take(n).collect();
        (g, lagrange, points.next().unwrap(), points.next().unwrap())
    };
    let lagrange = (zkonnx_verifier::MIN_K..=k)
        .map(|size| {
            stock(size)
                .1
                .into_iter()
                .take(Params::instance_rows(size))
                .collect()
        })
        .collect();
    let (g, _, w, u) = stock(k);
    (g, w, u, lagrange)
}

/// A field element from its printed form.
pub(crate) fn parse_field<F: PrimeField<Repr = [u8; 32]>>(text: &str) -> F {
    let digits = text.strip_prefix("0x").unwrap();
    let mut repr = [0; 32];
    for (index, byte) in repr.iter_mut().rev().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
    }
    F::from_repr(repr).unwrap()
}
