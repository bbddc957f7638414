//! The polynomials that a proof shows to vanish on every row: gates, permutation argument, lookup arguments.
//!
//! Their order fixes the power of `y` that each is multiplied with, so it is halo2's. They are compiled into one program
//! for each number of cosets that is needed: a constraint of degree `d` is evaluated on `d − 1` cosets, however large
//! the degree of the constraint system is.
//!
//! The steps of the running products are switched off on the last rows, by a factor that is one on the usable rows. That
//! factor is left out of the programs: what remains vanishes on the usable rows, so its values on all rows are known
//! without a transform, and it needs one coset less.

use std::collections::BTreeMap;

use ff::{Field, PrimeField};
use pasta_curves::Fp;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression};

use crate::program::{Compiler, Poly, Program, Value};
use crate::shape::Shape;

/// Challenges that enter the constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenges {
    pub(crate) theta: Fp,
    pub(crate) beta: Fp,
    pub(crate) gamma: Fp,
    pub(crate) y: Fp,
}

/// The constraints of one circuit instance that are determined by their values on `cosets` cosets and, if they are
/// `active`, on the rows.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) cosets: usize,
    /// What the program computes is to be multiplied with the polynomial that is one on the usable rows and zero on the
    /// others.
    pub(crate) active: bool,
    pub(crate) program: Program,
}

#[derive(Clone, Copy, Debug)]
enum Constraint<'a> {
    Gate(&'a Expression),
    /// `l_0·(1 − z_0) = 0`.
    FirstProduct,
    /// `l_last·(z² − z) = 0` for the last chunk.
    LastProduct(u32),
    /// `l_0·(z_i − z_{i−1}(ω^last X)) = 0`.
    LinkedProduct(u32),
    /// The step of the running product of a chunk, on the usable rows.
    ProductStep(u32),
    /// `l_0·(1 − z) = 0`.
    LookupFirst(u32),
    /// `l_last·(z² − z) = 0`.
    LookupLast(u32),
    /// The step of the running product of a lookup, on the usable rows.
    LookupStep(u32),
    /// `l_0·(a' − s') = 0`.
    LookupHead(u32),
    /// `(a' − s')·(a' − a'(ω^{−1}X)) = 0`, on the usable rows.
    LookupRun(u32),
}

/// Number of chunks of the permutation argument.
pub(crate) fn chunks(cs: &ConstraintSystem, shape: &Shape) -> usize {
    cs.permutation.len().div_ceil(shape.chunk)
}

fn list<'a>(cs: &'a ConstraintSystem, shape: &Shape) -> Vec<Constraint<'a>> {
    let mut list: Vec<Constraint<'a>> = cs.gates.iter().map(Constraint::Gate).collect();
    let chunks = chunks(cs, shape) as u32;
    if chunks > 0 {
        list.push(Constraint::FirstProduct);
        list.push(Constraint::LastProduct(chunks - 1));
        list.extend((1..chunks).map(Constraint::LinkedProduct));
        list.extend((0..chunks).map(Constraint::ProductStep));
    }
    for lookup in 0..cs.lookups.len() as u32 {
        list.extend([
            Constraint::LookupFirst(lookup),
            Constraint::LookupLast(lookup),
            Constraint::LookupStep(lookup),
            Constraint::LookupHead(lookup),
            Constraint::LookupRun(lookup),
        ]);
    }
    list
}

/// Number of constraints, which is the number of powers of `y` that one circuit instance uses.
pub(crate) fn count(cs: &ConstraintSystem, shape: &Shape) -> usize {
    list(cs, shape).len()
}

/// The columns of a chunk of the permutation, with their positions in it.
pub(crate) fn chunk_columns<'a>(
    cs: &'a ConstraintSystem,
    shape: &Shape,
    chunk: u32,
) -> impl Iterator<Item = (u32, Column)> + 'a {
    let first = chunk as usize * shape.chunk;
    let columns = cs.permutation[first..].iter().take(shape.chunk);
    columns
        .enumerate()
        .map(move |(i, column)| ((first + i) as u32, *column))
}

/// Whether a constraint holds on the usable rows only, and is compiled without the factor that says so.
fn is_active(constraint: Constraint<'_>) -> bool {
    matches!(
        constraint,
        Constraint::ProductStep(_) | Constraint::LookupStep(_) | Constraint::LookupRun(_)
    )
}

/// The degree of a constraint, with all factors.
fn degree(cs: &ConstraintSystem, shape: &Shape, constraint: Constraint<'_>) -> usize {
    match constraint {
        Constraint::Gate(expression) => expression.degree() as usize,
        Constraint::FirstProduct | Constraint::LinkedProduct(_) => 2,
        Constraint::LookupFirst(_) | Constraint::LookupHead(_) => 2,
        Constraint::LastProduct(_) | Constraint::LookupLast(_) | Constraint::LookupRun(_) => 3,
        Constraint::ProductStep(chunk) => 2 + chunk_columns(cs, shape, chunk).count(),
        Constraint::LookupStep(lookup) => cs.lookups[lookup as usize].required_degree() as usize,
    }
}

/// Compiles all constraints of one circuit instance, in classes of increasing `cosets`. A class is split when its
/// constraints read `polynomials` polynomials of the witness.
pub(crate) fn compile(
    cs: &ConstraintSystem,
    shape: &Shape,
    challenges: &Challenges,
    polynomials: usize,
) -> Vec<Class> {
    let list = list(cs, shape);
    let mut compilers: BTreeMap<(usize, bool), Compiler> = BTreeMap::new();
    let mut classes = Vec::new();
    let powers = crate::arith::powers(challenges.y, list.len());
    for (constraint, weight) in list.iter().zip(powers.iter().rev()) {
        // A constraint of degree at most one vanishes everywhere or nowhere; one coset tells.
        let active = is_active(*constraint);
        let degree = degree(cs, shape, *constraint) - usize::from(active);
        let cosets = degree.saturating_sub(1).max(1);
        let compiler = compilers.entry((cosets, active)).or_default();
        let value = build(compiler, cs, shape, challenges, *constraint);
        compiler.output(*weight, value);
        if compiler.witness_polynomials() >= polynomials {
            let program = std::mem::take(compiler).finish();
            classes.push(Class {
                cosets,
                active,
                program,
            });
        }
    }
    let rest = compilers
        .into_iter()
        .map(|((cosets, active), compiler)| Class {
            cosets,
            active,
            program: compiler.finish(),
        });
    classes.extend(rest.filter(|class| !class.program.is_empty()));
    classes.sort_by_key(|class| class.cosets);
    classes
}

fn build(
    c: &mut Compiler,
    cs: &ConstraintSystem,
    shape: &Shape,
    challenges: &Challenges,
    constraint: Constraint<'_>,
) -> Value {
    let one = || Value::constant(Fp::ONE);
    match constraint {
        Constraint::Gate(expression) => c.expression(cs, expression),
        Constraint::FirstProduct => {
            let value = one().minus(c.read(Poly::PermutationProduct(0), 0));
            times(c, value, Poly::First)
        }
        Constraint::LastProduct(chunk) => boolean(c, Poly::PermutationProduct(chunk)),
        Constraint::LinkedProduct(chunk) => {
            let before = c.read(Poly::PermutationProduct(chunk - 1), shape.last_rotation());
            let value = c.read(Poly::PermutationProduct(chunk), 0).minus(before);
            times(c, value, Poly::First)
        }
        Constraint::ProductStep(chunk) => product_step(c, cs, shape, challenges, chunk),
        Constraint::LookupFirst(lookup) => {
            let value = one().minus(c.read(Poly::LookupProduct(lookup), 0));
            times(c, value, Poly::First)
        }
        Constraint::LookupLast(lookup) => boolean(c, Poly::LookupProduct(lookup)),
        Constraint::LookupStep(lookup) => lookup_step(c, cs, challenges, lookup),
        Constraint::LookupHead(lookup) => {
            let table = c.read(Poly::PermutedTable(lookup), 0);
            let value = c.read(Poly::PermutedInput(lookup), 0).minus(table);
            times(c, value, Poly::First)
        }
        Constraint::LookupRun(lookup) => {
            let (table, above) = (
                c.read(Poly::PermutedTable(lookup), 0),
                c.read(Poly::PermutedInput(lookup), -1),
            );
            let differs = c.read(Poly::PermutedInput(lookup), 0).minus(table);
            let moves = c.read(Poly::PermutedInput(lookup), 0).minus(above);
            c.product(differs, moves)
        }
    }
}

fn times(c: &mut Compiler, value: Value, poly: Poly) -> Value {
    let factor = c.read(poly, 0);
    c.product(value, factor)
}

/// `l_last·(z² − z)`.
fn boolean(c: &mut Compiler, poly: Poly) -> Value {
    let (a, b) = (c.read(poly, 0), c.read(poly, 0));
    let square = c.product(a, b);
    let value = square.minus(c.read(poly, 0));
    times(c, value, Poly::Last)
}

/// `z(ωX)·Π(p + β·σ + γ) − z·Π(p + β·δ^i·X + γ)`.
fn product_step(
    c: &mut Compiler,
    cs: &ConstraintSystem,
    shape: &Shape,
    challenges: &Challenges,
    chunk: u32,
) -> Value {
    let Challenges { beta, gamma, .. } = *challenges;
    let mut left = c.read(Poly::PermutationProduct(chunk), 1);
    let mut right = c.read(Poly::PermutationProduct(chunk), 0);
    for (position, column) in chunk_columns(cs, shape, chunk) {
        let values = Poly::Column(column.kind, column.index);
        let sigma = c.read(Poly::Sigma(position), 0).scaled(beta);
        let permuted = c.read(values, 0).plus(sigma).plus(Value::constant(gamma));
        left = c.product(left, permuted);
        let shift = beta * Fp::DELTA.pow_vartime([u64::from(position)]);
        let identity = c.read(Poly::Identity, 0).scaled(shift);
        let own = c
            .read(values, 0)
            .plus(identity)
            .plus(Value::constant(gamma));
        right = c.product(right, own);
    }
    left.minus(right)
}

/// `z(ωX)·(a' + β)·(s' + γ) − z·(a + β)·(s + γ)`.
fn lookup_step(
    c: &mut Compiler,
    cs: &ConstraintSystem,
    challenges: &Challenges,
    lookup: u32,
) -> Value {
    let Challenges {
        theta, beta, gamma, ..
    } = *challenges;
    let argument = &cs.lookups[lookup as usize];
    let input = c
        .read(Poly::PermutedInput(lookup), 0)
        .plus(Value::constant(beta));
    let table = c
        .read(Poly::PermutedTable(lookup), 0)
        .plus(Value::constant(gamma));
    let both = c.product(input, table);
    let next = c.read(Poly::LookupProduct(lookup), 1);
    let left = c.product(next, both);
    let input = compress(c, cs, &argument.inputs, theta).plus(Value::constant(beta));
    let table = compress(c, cs, &argument.tables, theta).plus(Value::constant(gamma));
    let both = c.product(input, table);
    let current = c.read(Poly::LookupProduct(lookup), 0);
    let right = c.product(current, both);
    left.minus(right)
}

/// `θ^{m−1}·e_0 + … + e_{m−1}`.
pub(crate) fn compress(
    c: &mut Compiler,
    cs: &ConstraintSystem,
    expressions: &[Expression],
    theta: Fp,
) -> Value {
    let mut sum = Value::constant(Fp::ZERO);
    for expression in expressions {
        let value = c.expression(cs, expression);
        sum = sum.scaled(theta).plus(value);
    }
    sum
}

/// A program that computes the compressed expressions of one side of a lookup.
pub(crate) fn compile_compression(
    cs: &ConstraintSystem,
    expressions: &[Expression],
    theta: Fp,
) -> Program {
    let mut compiler = Compiler::default();
    let value = compress(&mut compiler, cs, expressions, theta);
    compiler.output(Fp::ONE, value);
    compiler.finish()
}

/// For each fixed column and each permutation polynomial, the number of cosets on which constraints read it; and
/// whether the values of the fixed column are read row by row, by a lookup or by the permutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) fixed: Vec<usize>,
    pub(crate) sigma: Vec<usize>,
    pub(crate) fixed_values: Vec<bool>,
}

/// What a proving key has to hold.
pub(crate) fn needs(cs: &ConstraintSystem, shape: &Shape) -> Needs {
    // The challenges do not matter, as long as no coefficient vanishes.
    let any = Challenges {
        theta: Fp::from(7),
        beta: Fp::from(11),
        gamma: Fp::from(13),
        y: Fp::from(17),
    };
    let mut needs = Needs {
        fixed: vec![1; cs.num_fixed as usize],
        sigma: vec![1; cs.permutation.len()],
        fixed_values: vec![false; cs.num_fixed as usize],
    };
    for class in compile(cs, shape, &any, usize::MAX) {
        for slot in class.program.slots() {
            let need = match slot.poly {
                Poly::Column(ColumnKind::Fixed, index) => &mut needs.fixed[index as usize],
                Poly::Sigma(position) => &mut needs.sigma[position as usize],
                _ => continue,
            };
            *need = class.cosets.max(*need);
        }
    }
    for lookup in &cs.lookups {
        for side in [&lookup.inputs, &lookup.tables] {
            for slot in compile_compression(cs, side, any.theta).slots() {
                if let Poly::Column(ColumnKind::Fixed, index) = slot.poly {
                    needs.fixed_values[index as usize] = true;
                }
            }
        }
    }
    for column in cs
        .permutation
        .iter()
        .filter(|column| column.kind == ColumnKind::Fixed)
    {
        needs.fixed_values[column.index as usize] = true;
    }
    needs
}
