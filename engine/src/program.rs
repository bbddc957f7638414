//! Constraints compiled to a flat program.
//!
//! A program is a list of instructions over blocks of rows: it is decoded once per block of [`ROWS`] rows instead of
//! once per row, reads columns where they lie, and keeps what it computes in a few registers that stay in the
//! first-level cache. Sums are flattened, so that a dot product of two hundred columns is one instruction, whose
//! products are accumulated unreduced.

use ff::Field;
use pasta_curves::Fp;
use pasta_curves::deferred::DeferredField;
use zkonnx_verifier::cs::{ColumnKind, ConstraintSystem, Expression, Node};

use crate::arith::Wide;

/// Rows that an instruction works on.
pub(crate) const ROWS: usize = 64;

/// Products that are accumulated together.
const RUN: usize = 4;

/// A polynomial that constraints may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Poly {
    /// A column of the circuit.
    Column(ColumnKind, u32),
    /// The permutation polynomial of the column at this position of the permutation.
    Sigma(u32),
    /// The running product of a chunk of the permutation.
    PermutationProduct(u32),
    /// The sorted input of a lookup.
    PermutedInput(u32),
    /// The table of a lookup, aligned with its sorted input.
    PermutedTable(u32),
    /// The running product of a lookup.
    LookupProduct(u32),
    /// One on the first row.
    First,
    /// One on the row that closes the running products.
    Last,
    /// The polynomial `X`.
    Identity,
}

/// A polynomial, some rows below the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) poly: Poly,
    pub(crate) rotation: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Slot(u32),
    Register(u32),
}

#[derive(Clone, Copy, Debug)]
enum Coefficient {
    One,
    MinusOne,
    Other(Fp),
}

#[derive(Clone, Copy, Debug)]
struct Term {
    coefficient: Coefficient,
    a: Operand,
    b: Option<Operand>,
}

/// A sum of products that has not been computed yet. It owns the registers it reads: each is read once.
#[derive(Debug)]
pub(crate) struct Value {
    constant: Fp,
    terms: Vec<Term>,
}

#[derive(Debug)]
enum Op {
    /// One product.
    Product { to: u32, a: Operand, b: Operand },
    /// `constant + Σ coefficient·a·b`.
    Sum {
        to: u32,
        constant: Fp,
        terms: Vec<Term>,
        wide: bool,
    },
    /// Adds `weight·from` to the output.
    Output { weight: Fp, from: Operand },
}

/// A compiled program with one output per row.
#[derive(Debug, Default)]
pub(crate) struct Program {
    slots: Vec<Slot>,
    ops: Vec<Op>,
    registers: u32,
}

impl Coefficient {
    fn new(value: Fp) -> Self {
        if value == Fp::ONE {
            Self::One
        } else if value == -Fp::ONE {
            Self::MinusOne
        } else {
            Self::Other(value)
        }
    }

    fn value(self) -> Fp {
        match self {
            Self::One => Fp::ONE,
            Self::MinusOne => -Fp::ONE,
            Self::Other(value) => value,
        }
    }
}

impl Value {
    pub(crate) fn constant(constant: Fp) -> Self {
        Self {
            constant,
            terms: Vec::new(),
        }
    }

    fn operand(a: Operand) -> Self {
        Self {
            constant: Fp::ZERO,
            terms: vec![Term {
                coefficient: Coefficient::One,
                a,
                b: None,
            }],
        }
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.constant += other.constant;
        self.terms.extend(other.terms);
        self
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(other.scaled(-Fp::ONE))
    }

    pub(crate) fn scaled(mut self, factor: Fp) -> Self {
        self.constant *= factor;
        for term in &mut self.terms {
            term.coefficient = Coefficient::new(term.coefficient.value() * factor);
        }
        self
    }
}

/// Compiles expressions, one after the other, into a program.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    program: Program,
    index: std::collections::HashMap<Slot, u32>,
    free: Vec<u32>,
}

impl Compiler {
    /// The value of a polynomial.
    pub(crate) fn read(&mut self, poly: Poly, rotation: i32) -> Value {
        let slot = Slot { poly, rotation };
        let slots = &mut self.program.slots;
        let index = *self.index.entry(slot).or_insert_with(|| {
            slots.push(slot);
            slots.len() as u32 - 1
        });
        Value::operand(Operand::Slot(index))
    }

    /// The product of two values.
    pub(crate) fn product(&mut self, a: Value, b: Value) -> Value {
        if a.terms.is_empty() {
            return b.scaled(a.constant);
        }
        if b.terms.is_empty() {
            return a.scaled(b.constant);
        }
        let (a_coefficient, a) = self.factor(a);
        let (b_coefficient, b) = self.factor(b);
        Value {
            constant: Fp::ZERO,
            terms: vec![Term {
                coefficient: Coefficient::new(a_coefficient * b_coefficient),
                a,
                b: Some(b),
            }],
        }
    }

    /// The value as a coefficient times an operand.
    fn factor(&mut self, value: Value) -> (Fp, Operand) {
        if let (
            [
                Term {
                    coefficient,
                    a,
                    b: None,
                },
            ],
            true,
        ) = (&value.terms[..], value.constant == Fp::ZERO)
        {
            return (coefficient.value(), *a);
        }
        if let (
            [
                Term {
                    coefficient,
                    a,
                    b: Some(b),
                },
            ],
            true,
        ) = (&value.terms[..], value.constant == Fp::ZERO)
        {
            let coefficient = coefficient.value();
            let to = self.allocate();
            self.release(*a);
            self.release(*b);
            self.program.ops.push(Op::Product { to, a: *a, b: *b });
            return (coefficient, Operand::Register(to));
        }
        let to = self.allocate();
        for term in &value.terms {
            self.release(term.a);
            if let Some(b) = term.b {
                self.release(b);
            }
        }
        // A reduction costs about as much as it saves on two products.
        let products = value
            .terms
            .iter()
            .filter(|term| term.b.is_some() || matches!(term.coefficient, Coefficient::Other(_)))
            .count();
        self.program.ops.push(Op::Sum {
            to,
            constant: value.constant,
            terms: value.terms,
            wide: products > 2,
        });
        (Fp::ONE, Operand::Register(to))
    }

    /// Adds `weight·value` to the output.
    pub(crate) fn output(&mut self, weight: Fp, value: Value) {
        if value.terms.is_empty() {
            // A constant constraint: it has to be added on every row like the others.
            let to = self.allocate();
            self.program.ops.push(Op::Sum {
                to,
                constant: value.constant,
                terms: Vec::new(),
                wide: false,
            });
            self.program.ops.push(Op::Output {
                weight,
                from: Operand::Register(to),
            });
            self.free.push(to);
            return;
        }
        let (coefficient, from) = self.factor(value);
        self.program.ops.push(Op::Output {
            weight: weight * coefficient,
            from,
        });
        self.release(from);
    }

    /// An expression of the constraint system. Its postfix form has been checked.
    pub(crate) fn expression(&mut self, cs: &ConstraintSystem, expression: &Expression) -> Value {
        let mut stack: Vec<Value> = Vec::new();
        let zero = || Value::constant(Fp::ZERO);
        for node in &expression.nodes {
            let value = match node {
                Node::Constant(constant) => Value::constant(*constant),
                Node::Fixed(i) => self.query(&cs.fixed_queries, *i),
                Node::Advice(i) => self.query(&cs.advice_queries, *i),
                Node::Instance(i) => self.query(&cs.instance_queries, *i),
                Node::Negated => stack.pop().unwrap_or_else(zero).scaled(-Fp::ONE),
                Node::Scaled(factor) => stack.pop().unwrap_or_else(zero).scaled(*factor),
                Node::Sum => {
                    let right = stack.pop().unwrap_or_else(zero);
                    stack.pop().unwrap_or_else(zero).plus(right)
                }
                Node::Product => {
                    let right = stack.pop().unwrap_or_else(zero);
                    let left = stack.pop().unwrap_or_else(zero);
                    self.product(left, right)
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or_else(zero)
    }

    fn query(&mut self, queries: &[zkonnx_verifier::cs::Query], index: u32) -> Value {
        let query = queries[index as usize];
        self.read(
            Poly::Column(query.column.kind, query.column.index),
            query.rotation,
        )
    }

    /// How many polynomials of the witness have been read.
    pub(crate) fn witness_polynomials(&self) -> usize {
        let of_key = |poly: &Poly| {
            matches!(
                poly,
                Poly::Column(ColumnKind::Fixed, _) | Poly::Sigma(_) | Poly::Identity
            ) || matches!(poly, Poly::First | Poly::Last)
        };
        let polys = self
            .program
            .slots
            .iter()
            .map(|slot| slot.poly)
            .filter(|poly| !of_key(poly));
        polys.collect::<std::collections::HashSet<Poly>>().len()
    }

    /// The program.
    pub(crate) fn finish(self) -> Program {
        self.program
    }

    fn allocate(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.program.registers += 1;
            self.program.registers - 1
        })
    }

    fn release(&mut self, operand: Operand) {
        if let Operand::Register(register) = operand {
            self.free.push(register);
        }
    }
}

impl Program {
    /// Whether the program does nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// What the program reads, in the order in which [`Self::run`] expects it.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Evaluates all rows: `out[i]` becomes the output at row `i`. `columns` are the polynomials of [`Self::slots`], all
    /// as long as `out`, and rotations wrap around.
    pub(crate) fn run(&self, columns: &[&[Fp]], out: &mut [Fp]) {
        use rayon::prelude::*;
        let n = out.len();
        // Several blocks per task, so that registers are allocated once for many rows.
        let task = (ROWS * 4).min(n.max(1));
        out.par_chunks_mut(task).enumerate().for_each(|(i, out)| {
            let mut machine = Machine::new(self, columns, n);
            for (block, out) in out.chunks_mut(ROWS).enumerate() {
                machine.block(i * task + block * ROWS, out);
            }
        });
    }

    /// The output for one row, given the value of each slot.
    pub(crate) fn evaluate(&self, values: &[Fp]) -> Fp {
        let columns: Vec<&[Fp]> = values.iter().map(std::slice::from_ref).collect();
        let mut out = [Fp::ZERO];
        Machine::new(self, &columns, 1).block(0, &mut out);
        out[0]
    }
}

type Block = [Fp; ROWS];

/// The factors of some products, row by row.
type Factors<'a> = [(&'a [Fp], &'a [Fp]); RUN];

/// The registers of one thread.
struct Machine<'a> {
    program: &'a Program,
    columns: &'a [&'a [Fp]],
    /// First row of each slot in this block, or a copy where the rotation wraps around.
    starts: Vec<usize>,
    wrapped: Vec<Option<Vec<Fp>>>,
    registers: Vec<Block>,
    n: usize,
    len: usize,
}

impl<'a> Machine<'a> {
    fn new(program: &'a Program, columns: &'a [&'a [Fp]], n: usize) -> Self {
        Self {
            program,
            columns,
            starts: vec![0; columns.len()],
            wrapped: vec![None; columns.len()],
            registers: vec![[Fp::ZERO; ROWS]; program.registers as usize],
            n,
            len: 0,
        }
    }

    /// Rows `first..first + out.len()`.
    fn block(&mut self, first: usize, out: &mut [Fp]) {
        self.len = out.len();
        for (i, slot) in self.program.slots.iter().enumerate() {
            let start =
                (first as i64 + i64::from(slot.rotation)).rem_euclid(self.n as i64) as usize;
            self.starts[i] = start;
            self.wrapped[i] = (start + out.len() > self.n).then(|| {
                (start..start + out.len())
                    .map(|row| self.columns[i][row % self.n])
                    .collect()
            });
        }
        let mut sum = [Wide::default(); ROWS];
        for op in &self.program.ops {
            match op {
                Op::Product { to, a, b } => {
                    let mut result = [Fp::ZERO; ROWS];
                    for ((result, a), b) in result.iter_mut().zip(self.load(*a)).zip(self.load(*b))
                    {
                        *result = a * b;
                    }
                    self.registers[*to as usize] = result;
                }
                Op::Sum {
                    to,
                    constant,
                    terms,
                    wide,
                } => {
                    let result = if *wide {
                        self.wide_sum(*constant, terms)
                    } else {
                        self.plain_sum(*constant, terms)
                    };
                    self.registers[*to as usize] = result;
                }
                Op::Output { weight, from } => {
                    for (sum, value) in sum.iter_mut().zip(self.load(*from)) {
                        Fp::mul_accumulate(sum, weight, value);
                    }
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sum) {
            *out = Fp::reduce(sum);
        }
    }

    fn load(&self, operand: Operand) -> &[Fp] {
        match operand {
            Operand::Register(register) => &self.registers[register as usize][..self.len],
            Operand::Slot(slot) => {
                let slot = slot as usize;
                match &self.wrapped[slot] {
                    Some(copy) => copy,
                    None => &self.columns[slot][self.starts[slot]..self.starts[slot] + self.len],
                }
            }
        }
    }

    fn plain_sum(&self, constant: Fp, terms: &[Term]) -> Block {
        let mut result = [constant; ROWS];
        for term in terms {
            let a = self.load(term.a);
            match (term.coefficient, term.b.map(|b| self.load(b))) {
                (Coefficient::One, None) => result.iter_mut().zip(a).for_each(|(r, a)| *r += a),
                (Coefficient::MinusOne, None) => {
                    result.iter_mut().zip(a).for_each(|(r, a)| *r -= a)
                }
                (Coefficient::Other(c), None) => {
                    result.iter_mut().zip(a).for_each(|(r, a)| *r += c * a)
                }
                (Coefficient::One, Some(b)) => result
                    .iter_mut()
                    .zip(a.iter().zip(b))
                    .for_each(|(r, (a, b))| *r += a * b),
                (Coefficient::MinusOne, Some(b)) => {
                    result
                        .iter_mut()
                        .zip(a.iter().zip(b))
                        .for_each(|(r, (a, b))| *r -= a * b);
                }
                (Coefficient::Other(c), Some(b)) => {
                    result
                        .iter_mut()
                        .zip(a.iter().zip(b))
                        .for_each(|(r, (a, b))| *r += c * a * b);
                }
            }
        }
        result
    }

    fn wide_sum(&self, constant: Fp, terms: &[Term]) -> Block {
        let mut result = [constant; ROWS];
        let mut wide = [Wide::default(); ROWS];
        // Plain products come in runs, of which several at a time share the loads and stores of the accumulators.
        let mut rest = terms;
        while let Some((term, after)) = rest.split_first() {
            if let Some((products, after)) = self.products(rest) {
                for (row, wide) in wide.iter_mut().enumerate().take(self.len) {
                    let mut sum = *wide;
                    for (a, b) in &products {
                        Fp::mul_accumulate(&mut sum, &a[row], &b[row]);
                    }
                    *wide = sum;
                }
                rest = after;
                continue;
            }
            rest = after;
            let a = self.load(term.a);
            match (term.coefficient, term.b.map(|b| self.load(b))) {
                (Coefficient::One, None) => result.iter_mut().zip(a).for_each(|(r, a)| *r += a),
                (Coefficient::MinusOne, None) => {
                    result.iter_mut().zip(a).for_each(|(r, a)| *r -= a)
                }
                (Coefficient::Other(c), None) => {
                    wide.iter_mut()
                        .zip(a)
                        .for_each(|(w, a)| Fp::mul_accumulate(w, &c, a));
                }
                (coefficient, Some(b)) => {
                    let scale = coefficient.value();
                    let factors = wide.iter_mut().zip(a.iter().zip(b));
                    match coefficient {
                        Coefficient::One => {
                            factors.for_each(|(w, (a, b))| Fp::mul_accumulate(w, a, b))
                        }
                        Coefficient::MinusOne => {
                            factors.for_each(|(w, (a, b))| Fp::mul_accumulate(w, &-a, b))
                        }
                        Coefficient::Other(_) => {
                            factors.for_each(|(w, (a, b))| Fp::mul_accumulate(w, &(scale * a), b))
                        }
                    }
                }
            }
        }
        for (result, wide) in result.iter_mut().zip(wide).take(self.len) {
            *result += Fp::reduce(wide);
        }
        result
    }

    /// The factors of the first [`RUN`] terms, if all of them are plain products.
    fn products<'t>(&self, terms: &'t [Term]) -> Option<(Factors<'_>, &'t [Term])> {
        let (run, after) = terms.split_at_checked(RUN)?;
        let mut products: Factors<'_> = [(&[], &[]); RUN];
        for (product, term) in products.iter_mut().zip(run) {
            let (Coefficient::One, Some(b)) = (term.coefficient, term.b) else {
                return None;
            };
            *product = (&self.load(term.a)[..self.len], &self.load(b)[..self.len]);
        }
        Some((products, after))
    }
}
