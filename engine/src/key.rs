//! The proving key: what can be computed of a circuit before a witness is known.
//!
//! A polynomial of degree below `n` is determined by its values on one coset. The key therefore holds fixed and
//! permutation columns as their values on the cosets where constraints read them, and nothing else of them: evaluation
//! at a point and linear combination work on those values as well as on coefficients. A weight column that enters
//! constraints of degree 2 only is held once.

use ff::{Field, PrimeField};
use pasta_curves::{EqAffine, Fp};
use thiserror::Error;
use zkonnx_verifier::cs::ConstraintSystem;
use zkonnx_verifier::{CircuitKey, KeyError};

use crate::constraints::needs;
use crate::domain::Domain;
use crate::file::Tag;
use crate::msm::{Term, Values};
use crate::params::Params;
use crate::permutation::{Assembly, NotInPermutation};
use crate::pinned::{PinnedError, constraint_system};
use crate::shape::Shape;
use crate::synthesis;

/// Why a key cannot be generated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// The constraint system cannot be proved.
    #[error("the constraint system is not acceptable: {0}")]
    ConstraintSystem(#[from] KeyError),
    /// The circuit does not have the constraint system it was said to have.
    #[error("the circuit configures another constraint system than the one given")]
    OtherConstraintSystem,
    /// The circuit's own description cannot be read.
    #[error("the circuit's description cannot be read: {0}")]
    Pinned(#[from] PinnedError),
    /// The columns of this build of halo2 do not show their index.
    #[error("this version of halo2_proofs is not supported: the index of a column cannot be read")]
    ColumnIndex,
    /// Synthesis failed.
    #[error("synthesis of the circuit failed: {0}")]
    Synthesis(halo2_proofs::plonk::Error),
    /// A copy names a cell outside the permutation.
    #[error("a copy is not possible: {0}")]
    Copy(#[from] NotInPermutation),
    /// There are not as many fixed columns as the constraint system has, or one has too many rows.
    #[error("expected {columns} fixed columns of at most {rows} rows")]
    FixedColumns {
        /// Number of columns.
        columns: usize,
        /// Number of usable rows.
        rows: usize,
    },
    /// The parameters are for another size.
    #[error("the parameters are too small for the cells under the permutation")]
    TooManyCells,
}

/// A column of a circuit, in the ways in which a prover reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Values on the rows, where the prover needs them.
    pub(crate) values: Option<Vec<Fp>>,
    /// Values on the cosets.
    pub(crate) cosets: Vec<Vec<Fp>>,
}

/// Everything a prover needs of a circuit, apart from the witness.
#[derive(Clone, Debug)]
pub struct ProvingKey {
    pub(crate) shape: Shape,
    pub(crate) circuit: CircuitKey,
    pub(crate) tag: Tag,
    pub(crate) domain: Domain,
    pub(crate) fixed: Vec<KeyColumn>,
    /// Values of the permutation polynomials on the cosets.
    pub(crate) sigma: Vec<Vec<Vec<Fp>>>,
    /// For each cell under the permutation, the next cell of its cycle.
    pub(crate) mapping: Vec<u32>,
}

impl PartialEq for ProvingKey {
    fn eq(&self, other: &Self) -> bool {
        self.circuit == other.circuit
            && self.tag == other.tag
            && self.fixed == other.fixed
            && self.sigma == other.sigma
            && self.mapping == other.mapping
    }
}

impl ProvingKey {
    /// The verifying part: size, constraint system, commitments, digest.
    #[must_use]
    pub fn circuit(&self) -> &CircuitKey {
        &self.circuit
    }

    /// Numbers that follow from the constraint system.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What the key was generated for, such as the id of a program.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The element that stands for the key in transcripts.
    #[must_use]
    pub fn transcript_repr(&self) -> Fp {
        self.circuit.transcript_repr()
    }
}

/// Generates the key of `circuit`, which must configure exactly `cs`.
pub fn keygen<C: halo2_proofs::plonk::Circuit<Fp>>(
    params: &Params,
    cs: &ConstraintSystem,
    circuit: &C,
    tag: Tag,
) -> Result<ProvingKey, KeygenError> {
    if !synthesis::indices_are_readable() {
        return Err(KeygenError::ColumnIndex);
    }
    let shape = Shape::new(cs, params.k())?;
    if constraint_system::<C>()? != *cs {
        return Err(KeygenError::OtherConstraintSystem);
    }
    let assembly = assembly(cs, &shape)?;
    let sizes = (shape.k, shape.n, shape.usable_rows());
    let (fixed, assembly) = synthesis::fixed(circuit, cs.num_fixed as usize, assembly, sizes)
        .map_err(KeygenError::Synthesis)?;
    build(params, cs, fixed, assembly.into_mapping(), tag)
}

/// A cell: column and row.
pub type Cell = (zkonnx_verifier::cs::Column, usize);

/// Generates the key of a circuit that is given as its fixed columns and its copies, in the order in which a circuit
/// would assign them. Columns that are shorter than the circuit end in zeros.
pub fn keygen_columns(
    params: &Params,
    cs: &ConstraintSystem,
    fixed: Vec<Vec<Fp>>,
    copies: &[(Cell, Cell)],
    tag: Tag,
) -> Result<ProvingKey, KeygenError> {
    let shape = Shape::new(cs, params.k())?;
    let fixed = fixed_columns(cs, &shape, fixed)?;
    let mapping = mapping(cs, &shape, copies)?;
    build(params, cs, fixed, mapping, tag)
}

/// The fixed columns, filled up with zeros.
pub(crate) fn fixed_columns(
    cs: &ConstraintSystem,
    shape: &Shape,
    mut fixed: Vec<Vec<Fp>>,
) -> Result<Vec<Vec<Fp>>, KeygenError> {
    let (columns, rows) = (cs.num_fixed as usize, shape.usable_rows());
    if fixed.len() != columns || fixed.iter().any(|column| column.len() > rows) {
        return Err(KeygenError::FixedColumns { columns, rows });
    }
    fixed
        .iter_mut()
        .for_each(|column| column.resize(shape.n, Fp::ZERO));
    Ok(fixed)
}

/// The next cell of each cell's cycle.
pub(crate) fn mapping(
    cs: &ConstraintSystem,
    shape: &Shape,
    copies: &[(Cell, Cell)],
) -> Result<Vec<u32>, KeygenError> {
    let rows = shape.usable_rows();
    let mut assembly = assembly(cs, shape)?;
    for (left, right) in copies {
        if let Some(outside) = [left, right].into_iter().find(|(_, row)| *row >= rows) {
            return Err(NotInPermutation {
                column: outside.0,
                row: outside.1,
            }
            .into());
        }
        assembly.copy(*left, *right)?;
    }
    Ok(assembly.into_mapping())
}

fn assembly(cs: &ConstraintSystem, shape: &Shape) -> Result<Assembly, KeygenError> {
    if u32::try_from(cs.permutation.len() * shape.n).is_err() {
        return Err(KeygenError::TooManyCells);
    }
    Ok(Assembly::new(&cs.permutation, shape.n))
}

fn build(
    params: &Params,
    cs: &ConstraintSystem,
    fixed: Vec<Vec<Fp>>,
    mapping: Vec<u32>,
    tag: Tag,
) -> Result<ProvingKey, KeygenError> {
    use rayon::prelude::*;
    let shape = Shape::new(cs, params.k())?;
    let domain = Domain::new(shape.k, shape.pieces());
    let needs = needs(cs, &shape);
    let labels = labels(&domain, cs.permutation.len());
    let cosets = |values: &[Fp], count: usize| {
        let mut coefficients = values.to_vec();
        domain.interpolate(&mut coefficients);
        (0..count)
            .map(|coset| domain.evaluate(&coefficients, coset))
            .collect::<Vec<_>>()
    };
    let (sigma_commitments, sigma): (Vec<EqAffine>, Vec<_>) = mapping
        .par_chunks(shape.n)
        .zip(&needs.sigma)
        .map(|(next, need)| {
            let values: Vec<Fp> = next.iter().map(|cell| labels[*cell as usize]).collect();
            (commit_public(params, &values), cosets(&values, *need))
        })
        .unzip();
    let (fixed_commitments, fixed): (Vec<EqAffine>, Vec<_>) = fixed
        .into_par_iter()
        .zip(&needs.fixed)
        .zip(&needs.fixed_values)
        .map(|((values, need), keep)| {
            let cosets = cosets(&values, *need);
            let commitment = commit_public(params, &values);
            (
                commitment,
                KeyColumn {
                    values: keep.then_some(values),
                    cosets,
                },
            )
        })
        .unzip();
    let circuit = CircuitKey::new(shape.k, cs.clone(), fixed_commitments, sigma_commitments)?;
    Ok(ProvingKey {
        shape,
        circuit,
        tag,
        domain,
        fixed,
        sigma,
        mapping,
    })
}

/// The label `δ^i·ω^j` of each cell under a permutation of `columns` columns.
pub(crate) fn labels(domain: &Domain, columns: usize) -> Vec<Fp> {
    let omegas = crate::arith::powers(domain.omega(), domain.n());
    let deltas = crate::arith::powers(Fp::DELTA, columns);
    deltas
        .iter()
        .flat_map(|delta| omegas.iter().map(move |omega| *delta * omega))
        .collect()
}

/// The commitment to a public column, which halo2 blinds with one.
pub(crate) fn commit_public(params: &Params, values: &[Fp]) -> EqAffine {
    let sum = params.lagrange().msm(&[
        Term {
            first: 0,
            values: Values::Full(values),
        },
        Term {
            first: params.w_index(),
            values: Values::Full(&[Fp::ONE]),
        },
    ]);
    crate::params::affine(&sum)
}
