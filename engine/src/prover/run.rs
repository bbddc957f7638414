//! The witness polynomials of one circuit, and commitments to them.

use ff::Field;
use group::CurveAffine as _;
use pasta_curves::arithmetic::CurveExt;
use pasta_curves::{Eq, EqAffine, Fp};
use rand_core::Rng;
use zeroize::Zeroize;
use zkonnx_verifier::cs::ColumnKind;

use super::transcript::Transcript;
use super::{ProveError, draw, single};
use crate::key::ProvingKey;
use crate::msm::{FixedBases, Term, Values};
use crate::params::Params;
use crate::program::Poly;
use crate::secret::{Secret, wipe, wipe_with};

/// The values of an advice column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdviceColumn {
    /// Small integers, possibly negative; cheaper to hold.
    Small(Vec<i64>),
    /// Field elements. Small ones among them, and small negative ones, are recognized when committing.
    Full(Vec<Fp>),
}

impl AdviceColumn {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Small(values) => values.len(),
            Self::Full(values) => values.len(),
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, followed by zeros up to `rows`, in a vector with room for `capacity`, and the small integers that they
    /// are.
    fn into_values(self, rows: usize, capacity: usize) -> (Vec<Fp>, Vec<i64>) {
        let element = |value: &i64| {
            let magnitude = Fp::from(value.unsigned_abs());
            if *value < 0 { -magnitude } else { magnitude }
        };
        // Room for the tail too, so that no copy is left behind when it is added.
        let mut out = Vec::with_capacity(capacity);
        let small = match self {
            Self::Full(mut values) => {
                out.extend_from_slice(&values);
                wipe(&mut values);
                Vec::new()
            }
            Self::Small(small) => {
                out.extend(small.iter().map(element));
                small
            }
        };
        out.resize(rows, Fp::ZERO);
        (out, small)
    }
}

/// A witness polynomial, or one that blinds; wiped when it is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Polynomial {
    /// Values on the rows, as long as they are needed.
    pub(super) values: Vec<Fp>,
    /// The first of the values, if they are known to be small integers.
    pub(super) small: Vec<i64>,
    pub(super) coefficients: Vec<Fp>,
    /// Blinding factor of the commitment.
    pub(super) blind: Fp,
}

impl Polynomial {
    /// Interpolates `values`.
    pub(super) fn new(key: &ProvingKey, values: Vec<Fp>, blind: Fp) -> Self {
        let mut coefficients = values.clone();
        key.domain.interpolate(&mut coefficients);
        Self {
            values,
            small: Vec::new(),
            coefficients,
            blind,
        }
    }

    /// The polynomial with these coefficients.
    pub(super) fn of_coefficients(coefficients: Vec<Fp>, blind: Fp) -> Self {
        Self {
            values: Vec::new(),
            small: Vec::new(),
            coefficients,
            blind,
        }
    }

    /// Drops the values on the rows.
    fn forget_values(&mut self) {
        wipe(&mut self.values);
        self.values = Vec::new();
        self.small.zeroize();
        self.small = Vec::new();
    }

    /// The scalars of the commitment in the Lagrange basis.
    pub(super) fn value_terms(&self, params: &Params) -> Vec<Term<'_>> {
        let first = self.small.len();
        vec![
            Term {
                first: 0,
                values: Values::Small(&self.small),
            },
            Term {
                first,
                values: Values::Full(&self.values[first..]),
            },
            single(params.w_index(), &self.blind),
        ]
    }

    /// The scalars of the commitment in the monomial basis.
    pub(super) fn terms(&self, params: &Params) -> Vec<Term<'_>> {
        vec![
            Term {
                first: 0,
                values: Values::Full(&self.coefficients),
            },
            single(params.w_index(), &self.blind),
        ]
    }
}

impl Drop for Polynomial {
    fn drop(&mut self) {
        self.forget_values();
        wipe(&mut self.coefficients);
        wipe_with(std::slice::from_mut(&mut self.blind), Fp::ZERO);
    }
}

/// The polynomials of a lookup.
#[derive(Clone, Debug, Default)]
pub(super) struct LookupPolynomials {
    /// Compressed input and table, on the rows.
    pub(super) input: Vec<Fp>,
    pub(super) table: Vec<Fp>,
    pub(super) permuted_input: Polynomial,
    pub(super) permuted_table: Polynomial,
    pub(super) product: Polynomial,
}

impl LookupPolynomials {
    /// Drops the values on the rows.
    fn forget_values(&mut self) {
        for values in [&mut self.input, &mut self.table] {
            wipe(values);
            *values = Vec::new();
        }
        for polynomial in [
            &mut self.permuted_input,
            &mut self.permuted_table,
            &mut self.product,
        ] {
            polynomial.forget_values();
        }
    }
}

impl Drop for LookupPolynomials {
    fn drop(&mut self) {
        self.forget_values();
    }
}

/// All polynomials of one circuit of the proof.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) instance: Vec<Polynomial>,
    pub(super) advice: Vec<Polynomial>,
    pub(super) lookups: Vec<LookupPolynomials>,
    pub(super) permutation: Vec<Polynomial>,
}

impl Run {
    pub(super) fn new(key: &ProvingKey, instance: &[Vec<Fp>]) -> Self {
        let column = |values: &Vec<Fp>| {
            let mut values = values.clone();
            values.resize(key.shape.n, Fp::ZERO);
            // Public, and blinded with one as halo2 does.
            Polynomial::new(key, values, Fp::ONE)
        };
        Self {
            instance: instance.iter().map(column).collect(),
            advice: Vec::new(),
            lookups: Vec::new(),
            permutation: Vec::new(),
        }
    }

    /// A polynomial of this circuit; `None` for those of the key.
    pub(super) fn get(&self, poly: Poly) -> Option<&Polynomial> {
        match poly {
            Poly::Column(ColumnKind::Instance, index) => self.instance.get(index as usize),
            Poly::Column(ColumnKind::Advice, index) => self.advice.get(index as usize),
            Poly::PermutationProduct(chunk) => self.permutation.get(chunk as usize),
            Poly::PermutedInput(lookup) => {
                self.lookups.get(lookup as usize).map(|l| &l.permuted_input)
            }
            Poly::PermutedTable(lookup) => {
                self.lookups.get(lookup as usize).map(|l| &l.permuted_table)
            }
            Poly::LookupProduct(lookup) => self.lookups.get(lookup as usize).map(|l| &l.product),
            Poly::Column(ColumnKind::Fixed, _) | Poly::Sigma(_) => None,
            Poly::First | Poly::Last | Poly::Identity => None,
        }
    }

    /// The values on the rows of a column.
    pub(super) fn column<'a>(
        &'a self,
        key: &'a ProvingKey,
        kind: ColumnKind,
        index: u32,
    ) -> &'a [Fp] {
        let index = index as usize;
        match kind {
            ColumnKind::Instance => &self.instance[index].values,
            ColumnKind::Advice => &self.advice[index].values,
            ColumnKind::Fixed => key.fixed[index].values.as_deref().unwrap_or(&[]),
        }
    }

    /// Drops the values on the rows, which only the arguments need.
    pub(super) fn forget_values(&mut self) {
        let columns = self
            .instance
            .iter_mut()
            .chain(&mut self.advice)
            .chain(&mut self.permutation);
        columns.for_each(Polynomial::forget_values);
        self.lookups
            .iter_mut()
            .for_each(LookupPolynomials::forget_values);
    }
}

/// What all stages of a proof use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    pub(super) params: &'a Params,
    pub(super) key: &'a ProvingKey,
    /// Whether to spare memory rather than time.
    pub(super) lean: bool,
}

impl Work<'_> {
    /// Commitments, computed side by side, or one after the other where memory is short.
    pub(super) fn commit(self, bases: &FixedBases, jobs: &[Vec<Term<'_>>]) -> Vec<EqAffine> {
        use rayon::prelude::*;
        let sums: Vec<Eq> = if self.lean {
            jobs.iter().map(|terms| bases.msm(terms)).collect()
        } else {
            jobs.par_iter()
                .with_max_len(1)
                .map(|terms| bases.msm(terms))
                .collect()
        };
        affine(&sums)
    }
}

/// Points in affine coordinates.
pub(super) fn affine(points: &[Eq]) -> Vec<EqAffine> {
    let mut affine = vec![EqAffine::identity(); points.len()];
    Eq::batch_normalize_vartime(points, &mut affine);
    affine
}

/// Absorbs the commitments to the public values.
pub(super) fn commit_instances(
    work: Work<'_>,
    runs: &[Run],
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    let params = work.params;
    let columns = runs.iter().flat_map(|run| &run.instance);
    let jobs: Vec<_> = columns.map(|column| column.value_terms(params)).collect();
    transcript.common_points(&work.commit(params.lagrange(), &jobs))
}

/// Blinds the advice columns and commits to them.
pub(super) fn commit_advice(
    work: Work<'_>,
    witnesses: Vec<Vec<AdviceColumn>>,
    runs: &mut [Run],
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    use rayon::prelude::*;
    let Work { params, key, .. } = work;
    let usable = key.shape.usable_rows();
    for (witness, run) in witnesses.into_iter().zip(runs.iter_mut()) {
        let tails: Vec<Vec<Fp>> = witness
            .iter()
            .map(|_| draw(rng, key.shape.n - usable))
            .collect();
        let blinds = draw(rng, witness.len());
        run.advice = witness
            .into_par_iter()
            .zip(tails)
            .zip(blinds)
            .map(|((column, tail), blind)| {
                let (mut values, small) = column.into_values(usable, key.shape.n);
                values.extend_from_slice(&Secret(tail));
                let mut polynomial = Polynomial::new(key, values, blind);
                polynomial.small = small;
                polynomial
            })
            .collect();
    }
    let columns = runs.iter().flat_map(|run| &run.advice);
    let jobs: Vec<_> = columns.map(|column| column.value_terms(params)).collect();
    transcript.points(&work.commit(params.lagrange(), &jobs))
}

/// `Σ_i x^i·polynomial_i`, with the blinding factors.
pub(super) fn fold(polynomials: &[Polynomial], x: Fp) -> Polynomial {
    let weights = crate::arith::powers(x, polynomials.len());
    let n = polynomials
        .first()
        .map_or(0, |polynomial| polynomial.coefficients.len());
    let mut coefficients = vec![Fp::ZERO; n];
    let columns: Vec<(Fp, &[Fp])> = weights
        .iter()
        .zip(polynomials)
        .map(|(weight, p)| (*weight, p.coefficients.as_slice()))
        .collect();
    crate::arith::add_combination(&mut coefficients, &columns);
    let blind = weights
        .iter()
        .zip(polynomials)
        .map(|(weight, p)| *weight * p.blind)
        .sum();
    Polynomial::of_coefficients(coefficients, blind)
}
