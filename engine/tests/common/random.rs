//! Random circuits that use every feature of the protocol, with witnesses that satisfy them.

use std::cell::RefCell;
use std::collections::HashMap;

use ff::Field;
use halo2_proofs::circuit::{Cell as Halo2Cell, Layouter, SimpleFloorPlanner, Value};
use halo2_proofs::plonk::{
    Advice, Circuit, Column, ConstraintSystem, Error, Expression, Fixed, Instance, TableColumn,
    VirtualCells,
};
use halo2_proofs::poly::Rotation;
use pasta_curves::Fp;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// An expression over the free columns.
#[derive(Clone, Debug)]
pub enum Tree {
    Constant(Fp),
    Advice(usize, i32),
    Fixed(usize),
    Instance(usize, i32),
    Negated(Box<Tree>),
    Sum(Box<Tree>, Box<Tree>),
    Product(Box<Tree>, Box<Tree>),
    Scaled(Box<Tree>, Fp),
}

/// The kind of a cell that may be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Advice,
    Fixed,
    Instance,
}

pub type CellRef = (Kind, usize, usize);

/// What `configure` builds.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub k: u32,
    pub free_advice: usize,
    pub free_fixed: usize,
    pub instances: usize,
    /// Each gate defines one more advice column, on the rows where its selector is one.
    pub gates: Vec<Tree>,
    /// Number of columns of each lookup, and the degree of its inputs.
    pub lookups: Vec<(usize, usize)>,
    /// Free columns under the permutation.
    pub permutation: Vec<(Kind, usize)>,
    pub copies: Vec<(CellRef, CellRef)>,
    pub minimum_degree: Option<usize>,
    /// Rows at both ends without gates, so that rotations stay inside.
    pub margin: usize,
    pub usable: usize,
}

impl Spec {
    /// A specification of 2^5 or 2^6 rows.
    pub fn random(rng: &mut StdRng) -> Self {
        let k = rng.random_range(5..=6);
        Self::random_of_size(k, rng)
    }

    /// A specification of that degree.
    pub fn random_of_degree(degree: usize, rng: &mut StdRng) -> Self {
        let k = rng.random_range(5..=6);
        Self::random_of(k, degree, rng)
    }

    /// The features that the circuit uses, by name.
    pub fn features(&self) -> Vec<String> {
        let mut meta = ConstraintSystem::default();
        with(self, || RandomCircuit::configure(&mut meta));
        let cs = zkonnx_engine::constraint_system::<RandomCircuit>().unwrap();
        let mut features = vec![format!("degree {}", cs.degree())];
        features.push(format!(
            "{} lookups",
            if self.lookups.len() > 1 {
                "several"
            } else if self.lookups.is_empty() {
                "no"
            } else {
                "one"
            }
        ));
        if self.lookups.iter().any(|(columns, _)| *columns == 1) {
            features.push("lookup of one column".into());
        }
        if self.lookups.iter().any(|(columns, _)| *columns > 1) {
            features.push("lookup of several columns".into());
        }
        let chunk = cs.permutation_chunk();
        features.push(match self.permutation.len() {
            0 => "no permutation".into(),
            len if len > chunk => "several chunks".into(),
            _ => "one chunk".into(),
        });
        let kinds: std::collections::HashSet<Kind> =
            self.permutation.iter().map(|(kind, _)| *kind).collect();
        if kinds.len() == 3 {
            features.push("permutation over all kinds of columns".into());
        }
        features.push(if self.instances == 0 {
            "no instance".into()
        } else {
            "instance columns".into()
        });
        if cs.advice_queries.iter().any(|query| query.rotation < 0)
            && cs.advice_queries.iter().any(|query| query.rotation > 0)
        {
            features.push("rotations up and down".into());
        }
        if cs.instance_queries.iter().any(|query| query.rotation != 0) {
            features.push("rotations of instances".into());
        }
        features.push(if cs.blinding_factors() > 5 {
            "more blinding rows".into()
        } else {
            "least blinding rows".into()
        });
        features.push(if self.gates.is_empty() {
            "no gate".into()
        } else {
            "gates".into()
        });
        features
    }

    /// A specification of `2^k` rows.
    pub fn random_of_size(k: u32, rng: &mut StdRng) -> Self {
        let degree = rng.random_range(3..=9);
        Self::random_of(k, degree, rng)
    }

    fn random_of(k: u32, degree: usize, rng: &mut StdRng) -> Self {
        let mut spec = Self {
            k,
            free_advice: rng.random_range(1..=6),
            free_fixed: rng.random_range(0..=4),
            instances: rng.random_range(0..=2),
            margin: 4,
            ..Self::default()
        };
        if rng.random_bool(0.7) {
            spec.gates = (0..rng.random_range(1..=4))
                .map(|_| spec.tree(rng.random_range(1..degree), rng))
                .collect();
        }
        if degree > 3 && rng.random_bool(0.6) {
            let inputs = (degree - 3).clamp(1, 4);
            let lookup = |rng: &mut StdRng| (rng.random_range(1..=3), rng.random_range(1..=inputs));
            spec.lookups = (0..rng.random_range(1..=3)).map(|_| lookup(rng)).collect();
        }
        let plain = with(&spec, zkonnx_engine::constraint_system::<RandomCircuit>).unwrap();
        if (plain.degree() as usize) < degree {
            spec.minimum_degree = Some(degree);
        }
        if rng.random_bool(0.8) {
            spec.permutation
                .extend((0..spec.free_advice).map(|i| (Kind::Advice, i)));
            spec.permutation
                .extend((0..spec.free_fixed).map(|i| (Kind::Fixed, i)));
            spec.permutation
                .extend((0..spec.instances).map(|i| (Kind::Instance, i)));
            spec.permutation.retain(|_| rng.random_bool(0.8));
            for i in (1..spec.permutation.len()).rev() {
                let j = rng.random_range(0..=i);
                spec.permutation.swap(i, j);
            }
        }
        let mut meta = ConstraintSystem::default();
        with(&spec, || RandomCircuit::configure(&mut meta));
        spec.usable = (1 << spec.k) - meta.blinding_factors() - 1;
        if !spec.permutation.is_empty() {
            let count = rng.random_range(0..40);
            let cell = |rng: &mut StdRng| {
                let (kind, column) = spec.permutation[rng.random_range(0..spec.permutation.len())];
                (kind, column, rng.random_range(0..spec.usable))
            };
            // Two instance cells, or two fixed cells that differ, cannot be copied here.
            let both = |rng: &mut StdRng| (cell(rng), cell(rng));
            spec.copies = (0..count)
                .map(|_| both(rng))
                .filter(|(a, b)| a.0 == Kind::Advice || b.0 == Kind::Advice)
                .collect();
            let mut classes = Classes::default();
            spec.copies.retain(|(a, b)| classes.merge(*a, *b));
        }
        spec
    }

    fn tree(&self, degree: usize, rng: &mut StdRng) -> Tree {
        if degree > 1 && rng.random_bool(0.7) {
            let left = rng.random_range(1..degree);
            let (a, b) = (self.tree(left, rng), self.tree(degree - left, rng));
            return Tree::Product(a.into(), b.into());
        }
        match rng.random_range(0..9) {
            0 => Tree::Sum(self.tree(degree, rng).into(), self.tree(degree, rng).into()),
            1 => Tree::Negated(self.tree(degree, rng).into()),
            2 => Tree::Scaled(self.tree(degree, rng).into(), Fp::from(rng.next_u64())),
            3 => Tree::Constant(Fp::random(&mut *rng)),
            4 if self.free_fixed > 0 => Tree::Fixed(rng.random_range(0..self.free_fixed)),
            5 if self.instances > 0 => Tree::Instance(
                rng.random_range(0..self.instances),
                rng.random_range(-2..=2),
            ),
            _ => Tree::Advice(
                rng.random_range(0..self.free_advice),
                rng.random_range(-4..=4),
            ),
        }
    }
}

/// Classes of cells that copies make equal, each with at most one fixed cell and one instance cell.
#[derive(Clone, Debug, Default)]
struct Classes {
    members: HashMap<CellRef, usize>,
    classes: Vec<Vec<CellRef>>,
}

impl Classes {
    fn class(&mut self, cell: CellRef) -> usize {
        *self.members.entry(cell).or_insert_with(|| {
            self.classes.push(vec![cell]);
            self.classes.len() - 1
        })
    }

    fn merge(&mut self, a: CellRef, b: CellRef) -> bool {
        let (a, b) = (self.class(a), self.class(b));
        if a == b {
            return true;
        }
        let public = |class: usize| {
            self.classes[class]
                .iter()
                .filter(|cell| cell.0 != Kind::Advice)
                .count()
        };
        if public(a) + public(b) > 1 {
            return false;
        }
        let moved = std::mem::take(&mut self.classes[b]);
        for cell in &moved {
            self.members.insert(*cell, a);
        }
        self.classes[a].extend(moved);
        true
    }
}

thread_local!(static SPEC: RefCell<Spec> = RefCell::default());

/// Runs `f` with the shape that `configure` needs.
pub fn with<T>(spec: &Spec, f: impl FnOnce() -> T) -> T {
    SPEC.with(|slot| slot.replace(spec.clone()));
    f()
}

#[derive(Clone, Debug)]
pub struct RandomCircuit {
    pub spec: Spec,
    /// Values of the free columns.
    pub advice: Vec<Vec<Fp>>,
    pub fixed: Vec<Vec<Fp>>,
    pub instance: Vec<Vec<Fp>>,
    seed: u64,
}

/// Selector of a lookup, and its inputs with their table columns.
type LookupColumns = (Column<Fixed>, Vec<(Column<Advice>, TableColumn)>);

#[derive(Clone, Debug)]
pub struct Config {
    advice: Vec<Column<Advice>>,
    fixed: Vec<Column<Fixed>>,
    instance: Vec<Column<Instance>>,
    gates: Vec<(Column<Fixed>, Column<Advice>)>,
    lookups: Vec<LookupColumns>,
}

impl RandomCircuit {
    /// A circuit of `spec` with a random witness. `fixed_seed` decides the fixed columns, `seed` the witness.
    pub fn random(spec: &Spec, fixed_seed: u64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(fixed_seed);
        let small = |rng: &mut StdRng| match rng.random_range(0..3) {
            0 => Fp::from(rng.random_range(0..300)),
            1 => -Fp::from(rng.random_range(0..300)),
            _ => Fp::random(&mut *rng),
        };
        let columns = |count: usize, rows: usize, rng: &mut StdRng| -> Vec<Vec<Fp>> {
            (0..count)
                .map(|_| (0..rows).map(|_| small(rng)).collect())
                .collect()
        };
        let fixed = columns(spec.free_fixed, spec.usable, &mut rng);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut circuit = Self {
            advice: columns(spec.free_advice, spec.usable, &mut rng),
            instance: columns(spec.instances, spec.usable, &mut rng),
            fixed,
            spec: spec.clone(),
            seed,
        };
        let mut classes = Classes::default();
        for (a, b) in &spec.copies {
            classes.merge(*a, *b);
        }
        for class in &classes.classes {
            let Some(source) = class
                .iter()
                .find(|cell| cell.0 != Kind::Advice)
                .or(class.first())
            else {
                continue;
            };
            let value = circuit.get(*source);
            for (kind, column, row) in class {
                if *kind == Kind::Advice {
                    circuit.advice[*column][*row] = value;
                }
            }
        }
        circuit
    }

    fn get(&self, (kind, column, row): CellRef) -> Fp {
        match kind {
            Kind::Advice => self.advice[column][row],
            Kind::Fixed => self.fixed[column][row],
            Kind::Instance => self.instance[column][row],
        }
    }

    fn evaluate(&self, tree: &Tree, row: usize) -> Fp {
        let at = |rotation: i32| (row as i32 + rotation) as usize;
        match tree {
            Tree::Constant(value) => *value,
            Tree::Advice(column, rotation) => self.advice[*column][at(*rotation)],
            Tree::Fixed(column) => self.fixed[*column][row],
            Tree::Instance(column, rotation) => self.instance[*column][at(*rotation)],
            Tree::Negated(a) => -self.evaluate(a, row),
            Tree::Sum(a, b) => self.evaluate(a, row) + self.evaluate(b, row),
            Tree::Product(a, b) => self.evaluate(a, row) * self.evaluate(b, row),
            Tree::Scaled(a, factor) => self.evaluate(a, row) * factor,
        }
    }
}

fn expression(tree: &Tree, config: &Config, cells: &mut VirtualCells<'_, Fp>) -> Expression<Fp> {
    match tree {
        Tree::Constant(value) => Expression::Constant(*value),
        Tree::Advice(column, rotation) => {
            cells.query_advice(config.advice[*column], Rotation(*rotation))
        }
        Tree::Fixed(column) => cells.query_fixed(config.fixed[*column]),
        Tree::Instance(column, rotation) => {
            cells.query_instance(config.instance[*column], Rotation(*rotation))
        }
        Tree::Negated(a) => -expression(a, config, cells),
        Tree::Sum(a, b) => expression(a, config, cells) + expression(b, config, cells),
        Tree::Product(a, b) => expression(a, config, cells) * expression(b, config, cells),
        Tree::Scaled(a, factor) => expression(a, config, cells) * *factor,
    }
}

impl Circuit<Fp> for RandomCircuit {
    type Config = Config;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        self.clone()
    }

    fn configure(meta: &mut ConstraintSystem<Fp>) -> Config {
        let spec = SPEC.with(|slot| slot.borrow().clone());
        let mut config = Config {
            advice: (0..spec.free_advice)
                .map(|_| meta.advice_column())
                .collect(),
            fixed: (0..spec.free_fixed).map(|_| meta.fixed_column()).collect(),
            instance: (0..spec.instances)
                .map(|_| meta.instance_column())
                .collect(),
            gates: spec
                .gates
                .iter()
                .map(|_| (meta.fixed_column(), meta.advice_column()))
                .collect(),
            lookups: vec![],
        };
        for (tree, (q, out)) in spec.gates.iter().zip(config.gates.clone()) {
            meta.create_gate("gate", |cells| {
                let q = cells.query_fixed(q);
                let out = cells.query_advice(out, Rotation::cur());
                vec![q * (out - expression(tree, &config, cells))]
            });
        }
        for (columns, degree) in &spec.lookups {
            let q = meta.fixed_column();
            let columns: Vec<_> = (0..*columns)
                .map(|_| (meta.advice_column(), meta.lookup_table_column()))
                .collect();
            meta.lookup(|cells| {
                let q = cells.query_fixed(q);
                let input = |cells: &mut VirtualCells<'_, Fp>, column: Column<Advice>| {
                    let value = cells.query_advice(column, Rotation::cur());
                    (1..*degree).fold(value, |value, _| q.clone() * value)
                };
                columns
                    .iter()
                    .map(|(column, table)| (input(cells, *column), *table))
                    .collect()
            });
            config.lookups.push((q, columns));
        }
        for (kind, column) in &spec.permutation {
            match kind {
                Kind::Advice => meta.enable_equality(config.advice[*column]),
                Kind::Fixed => meta.enable_equality(config.fixed[*column]),
                Kind::Instance => meta.enable_equality(config.instance[*column]),
            }
        }
        if let Some(degree) = spec.minimum_degree {
            meta.set_minimum_degree(degree);
        }
        config
    }

    fn synthesize(&self, config: Config, mut layouter: impl Layouter<Fp>) -> Result<(), Error> {
        let spec = &self.spec;
        let entries = spec.usable / 2;
        let entry = |column: usize, row: usize| {
            Fp::from(if row == 0 {
                0
            } else {
                (row * (7 + column)) as u64
            })
        };
        for (_, columns) in &config.lookups {
            layouter.assign_table(
                || "table",
                |mut table| {
                    for (i, (_, column)) in columns.iter().enumerate() {
                        for row in 0..entries {
                            table.assign_cell(
                                || "",
                                *column,
                                row,
                                || Value::known(entry(i, row)),
                            )?;
                        }
                    }
                    Ok(())
                },
            )?;
        }
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x5eed);
        let cells = layouter.assign_region(
            || "all",
            |mut region| {
                let mut cells: HashMap<CellRef, Halo2Cell> = HashMap::new();
                for row in 0..spec.usable {
                    for (i, column) in config.advice.iter().enumerate() {
                        let cell = region.assign_advice(
                            || "",
                            *column,
                            row,
                            || Value::known(self.advice[i][row]),
                        )?;
                        cells.insert((Kind::Advice, i, row), cell.cell());
                    }
                    for (i, column) in config.fixed.iter().enumerate() {
                        let cell = region.assign_fixed(
                            || "",
                            *column,
                            row,
                            || Value::known(self.fixed[i][row]),
                        )?;
                        cells.insert((Kind::Fixed, i, row), cell.cell());
                    }
                }
                for row in spec.margin..spec.usable - spec.margin {
                    for (tree, (q, out)) in spec.gates.iter().zip(&config.gates) {
                        region.assign_fixed(|| "", *q, row, || Value::known(Fp::ONE))?;
                        region.assign_advice(
                            || "",
                            *out,
                            row,
                            || Value::known(self.evaluate(tree, row)),
                        )?;
                    }
                    for (q, columns) in &config.lookups {
                        region.assign_fixed(|| "", *q, row, || Value::known(Fp::ONE))?;
                        let choice = rng.random_range(0..entries);
                        for (i, (column, _)) in columns.iter().enumerate() {
                            region.assign_advice(
                                || "",
                                *column,
                                row,
                                || Value::known(entry(i, choice)),
                            )?;
                        }
                    }
                }
                for (a, b) in &spec.copies {
                    if a.0 != Kind::Instance && b.0 != Kind::Instance {
                        region.constrain_equal(cells[a], cells[b])?;
                    }
                }
                Ok(cells)
            },
        )?;
        for (a, b) in &spec.copies {
            let (cell, instance) = if a.0 == Kind::Instance {
                (b, a)
            } else {
                (a, b)
            };
            if instance.0 == Kind::Instance {
                layouter.constrain_instance(
                    cells[cell],
                    config.instance[instance.1],
                    instance.2,
                )?;
            }
        }
        Ok(())
    }
}
