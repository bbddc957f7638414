//! Evaluations at the challenge point, and the check that they satisfy the constraints.

use std::collections::BTreeMap;

use ff::Field;
use pasta_curves::Fp;
use zkonnx_verifier::cs::ColumnKind;

use super::ProveError;
use super::run::{Polynomial, Run};
use super::transcript::Transcript;
use crate::arith::{inner_product, powers};
use crate::constraints::{Class, chunks};
use crate::key::ProvingKey;
use crate::program::{Poly, Slot};

/// Names a committed polynomial of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// Of one circuit.
    Run(usize, Poly),
    /// Of the key.
    Key(Poly),
    /// The quotient, folded.
    Quotient,
    /// The polynomial that blinds the quotient.
    Random,
}

/// A polynomial in the form in which it is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'a> {
    /// Coefficients, with the blinding factor of the commitment.
    Coefficients(&'a Polynomial),
    /// Values on coset 0; the commitment is blinded with one.
    Coset(&'a [Fp]),
}

/// All polynomials that a proof opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'a> {
    pub(super) key: &'a ProvingKey,
    pub(super) runs: &'a [Run],
    pub(super) quotient: &'a Polynomial,
    pub(super) random: &'a Polynomial,
}

impl<'a> Opened<'a> {
    /// The polynomial of that name, which exists.
    pub(super) fn form(&self, name: Name) -> Form<'a> {
        match name {
            Name::Run(circuit, poly) => self.runs[circuit]
                .get(poly)
                .map_or(Form::Coset(&[]), Form::Coefficients),
            Name::Key(Poly::Sigma(position)) => Form::Coset(&self.key.sigma[position as usize][0]),
            Name::Key(Poly::Column(_, index)) => {
                Form::Coset(&self.key.fixed[index as usize].cosets[0])
            }
            Name::Key(_) => Form::Coset(&[]),
            Name::Quotient => Form::Coefficients(self.quotient),
            Name::Random => Form::Coefficients(self.random),
        }
    }

    fn column_queries(
        &self,
        circuit: usize,
        kind: ColumnKind,
    ) -> impl Iterator<Item = (Name, i32)> + 'a {
        let queries = self.key.circuit.cs().queries(kind).iter();
        queries.map(move |query| {
            let poly = Poly::Column(query.column.kind, query.column.index);
            let name = if kind == ColumnKind::Fixed {
                Name::Key(poly)
            } else {
                Name::Run(circuit, poly)
            };
            (name, query.rotation)
        })
    }

    fn sigmas(&self) -> impl Iterator<Item = (Name, i32)> + 'a {
        (0..self.key.sigma.len() as u32).map(|position| (Name::Key(Poly::Sigma(position)), 0))
    }

    /// What is evaluated and written, in order. The folded quotient is not: its value follows from the others.
    fn written(&self) -> Vec<(Name, i32)> {
        let (cs, shape) = (self.key.circuit.cs(), &self.key.shape);
        let circuits = || 0..self.runs.len();
        let mut list: Vec<(Name, i32)> = Vec::new();
        list.extend(
            circuits().flat_map(|circuit| self.column_queries(circuit, ColumnKind::Instance)),
        );
        list.extend(
            circuits().flat_map(|circuit| self.column_queries(circuit, ColumnKind::Advice)),
        );
        list.extend(self.column_queries(0, ColumnKind::Fixed));
        list.push((Name::Random, 0));
        list.extend(self.sigmas());
        let chunks = chunks(cs, shape) as u32;
        for circuit in circuits() {
            for chunk in 0..chunks {
                let name = Name::Run(circuit, Poly::PermutationProduct(chunk));
                list.extend([(name, 0), (name, 1)]);
                if chunk + 1 < chunks {
                    list.push((name, shape.last_rotation()));
                }
            }
        }
        for circuit in circuits() {
            for lookup in 0..cs.lookups.len() as u32 {
                let name = |poly| Name::Run(circuit, poly);
                list.extend([
                    (name(Poly::LookupProduct(lookup)), 0),
                    (name(Poly::LookupProduct(lookup)), 1),
                    (name(Poly::PermutedInput(lookup)), 0),
                    (name(Poly::PermutedInput(lookup)), -1),
                    (name(Poly::PermutedTable(lookup)), 0),
                ]);
            }
        }
        list
    }

    /// What is opened, in the order that decides which openings share a polynomial.
    pub(super) fn opened(&self) -> Vec<(Name, i32)> {
        let (cs, shape) = (self.key.circuit.cs(), &self.key.shape);
        let chunks = chunks(cs, shape) as u32;
        let mut list: Vec<(Name, i32)> = Vec::new();
        for circuit in 0..self.runs.len() {
            list.extend(self.column_queries(circuit, ColumnKind::Instance));
            list.extend(self.column_queries(circuit, ColumnKind::Advice));
            let product = |chunk| Name::Run(circuit, Poly::PermutationProduct(chunk));
            list.extend((0..chunks).flat_map(|chunk| [(product(chunk), 0), (product(chunk), 1)]));
            list.extend(
                (0..chunks)
                    .rev()
                    .skip(1)
                    .map(|chunk| (product(chunk), shape.last_rotation())),
            );
            for lookup in 0..cs.lookups.len() as u32 {
                let name = |poly| Name::Run(circuit, poly);
                list.extend([
                    (name(Poly::LookupProduct(lookup)), 0),
                    (name(Poly::PermutedInput(lookup)), 0),
                    (name(Poly::PermutedTable(lookup)), 0),
                    (name(Poly::PermutedInput(lookup)), -1),
                    (name(Poly::LookupProduct(lookup)), 1),
                ]);
            }
        }
        list.extend(self.column_queries(0, ColumnKind::Fixed));
        list.extend(self.sigmas());
        list.extend([(Name::Quotient, 0), (Name::Random, 0)]);
        list
    }

    /// Evaluates all polynomials at `x`, rotated as the constraints read them, and writes the values.
    pub(super) fn evaluate(
        &self,
        x: Fp,
        transcript: &mut Transcript,
    ) -> Result<Evaluations, ProveError> {
        use rayon::prelude::*;
        let (domain, n) = (&self.key.domain, self.key.shape.n);
        let written = self.written();
        let mut tables: BTreeMap<i32, Vec<Fp>> = written
            .iter()
            .map(|(_, rotation)| (*rotation, Vec::new()))
            .collect();
        tables
            .par_iter_mut()
            .for_each(|(rotation, table)| *table = powers(domain.rotate(x, *rotation), n));
        let lagrange = domain.barycentric(x, 0).ok_or(ProveError::Degenerate)?;
        let evaluate = |(name, rotation): &(Name, i32)| match self.form(*name) {
            Form::Coefficients(polynomial) => {
                inner_product(&polynomial.coefficients, &tables[rotation])
            }
            Form::Coset(values) => inner_product(values, &lagrange),
        };
        let values: Vec<Fp> = written.par_iter().map(evaluate).collect();
        transcript.scalars(&values)?;
        Ok(Evaluations {
            quotient: inner_product(&self.quotient.coefficients, &tables[&0]),
            values: written.into_iter().zip(values).collect(),
        })
    }
}

/// The values that a proof contains.
#[derive(Debug)]
pub(super) struct Evaluations {
    values: BTreeMap<(Name, i32), Fp>,
    quotient: Fp,
}

impl Evaluations {
    /// Whether the values satisfy the constraints, as a verifier will check. If not, the witness is wrong: the division
    /// by `X^n − 1` had a remainder.
    pub(super) fn satisfied(
        &self,
        opened: &Opened<'_>,
        classes: &[Class],
        circuit_weight: Fp,
        x: Fp,
        xn: Fp,
    ) -> bool {
        let shape = &opened.key.shape;
        let lagrange = |row: usize| {
            // l_r(x) = ω^r·(x^n − 1)/(n·(x − ω^r)).
            let point = opened.key.domain.rotate(Fp::ONE, row as i32);
            let denominator: Option<Fp> = ((x - point) * Fp::from(shape.n as u64)).invert().into();
            denominator.unwrap_or(Fp::ZERO) * point * (xn - Fp::ONE)
        };
        let first = lagrange(0);
        let last = lagrange(shape.usable_rows());
        let active = (shape.usable_rows()..shape.n).fold(Fp::ONE, |sum, row| sum - lagrange(row));
        let value = |circuit: usize, slot: &Slot| match slot.poly {
            Poly::First => first,
            Poly::Last => last,
            Poly::Identity => x,
            Poly::Column(ColumnKind::Fixed, _) | Poly::Sigma(_) => {
                self.get(Name::Key(slot.poly), slot.rotation)
            }
            _ => self.get(Name::Run(circuit, slot.poly), slot.rotation),
        };
        let mut sum = Fp::ZERO;
        for circuit in 0..opened.runs.len() {
            sum *= circuit_weight;
            for class in classes {
                let slots = class.program.slots().iter();
                let values: Vec<Fp> = slots.map(|slot| value(circuit, slot)).collect();
                let value = class.program.evaluate(&values);
                sum += if class.active { active * value } else { value };
            }
        }
        sum == self.quotient * (xn - Fp::ONE)
    }

    fn get(&self, name: Name, rotation: i32) -> Fp {
        self.values
            .get(&(name, rotation))
            .copied()
            .unwrap_or(Fp::ZERO)
    }
}
