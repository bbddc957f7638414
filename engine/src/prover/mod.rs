//! The prover.
//!
//! The order of what is written to the transcript and of what is drawn from the generator is halo2's, so that the same
//! generator gives the same proof. Everything between two challenges is independent of the transcript: random values are
//! drawn in order first, and commitments are then computed side by side.

mod evaluation;
mod ipa;
mod lookup;
mod multiopen;
mod permutation;
mod quotient;
mod run;
mod transcript;

use ff::Field;
use halo2_proofs::plonk::Circuit;
use pasta_curves::Fp;
use rand_core::Rng;
use thiserror::Error;

use crate::constraints::{Challenges, compile, count};
use crate::key::ProvingKey;
use crate::memory::{LEAN_POLYNOMIALS, Memory};
use crate::msm::{Term, Values};
use crate::params::Params;
use crate::synthesis;

pub use run::AdviceColumn;
use run::{Polynomial, Run, Work};
use transcript::Transcript;

/// Why a proof cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The parameters are for circuits of another size.
    #[error("the key is for 2^{key} rows and the parameters are for 2^{params}")]
    Size {
        /// Binary logarithm of the rows of the key.
        key: u32,
        /// Binary logarithm of the rows of the parameters.
        params: u32,
    },
    /// The constraint system of the key is not acceptable.
    #[error("the key is not acceptable: {0}")]
    Key(#[from] zkonnx_verifier::KeyError),
    /// There is nothing to prove.
    #[error("at least one circuit is needed")]
    NoCircuit,
    /// There are not as many lists of public values as circuits.
    #[error("{circuits} circuits were given with {instances} lists of public values")]
    InstanceCount {
        /// Number of circuits.
        circuits: usize,
        /// Number of lists.
        instances: usize,
    },
    /// A circuit has another number of columns.
    #[error("circuit {circuit} was given {got} {kind} columns instead of {expected}")]
    Columns {
        /// Index of the circuit.
        circuit: usize,
        /// "advice" or "instance".
        kind: &'static str,
        /// Columns of the constraint system.
        expected: usize,
        /// Columns that were given.
        got: usize,
    },
    /// A column has more values than there are usable rows.
    #[error("circuit {circuit}, {kind} column {column}: {got} values do not fit {rows} rows")]
    Rows {
        /// Index of the circuit.
        circuit: usize,
        /// "advice" or "instance".
        kind: &'static str,
        /// Index of the column.
        column: usize,
        /// Usable rows.
        rows: usize,
        /// Values that were given.
        got: usize,
    },
    /// Synthesis failed.
    #[error("synthesis of circuit {circuit} failed: {source}")]
    Synthesis {
        /// Index of the circuit.
        circuit: usize,
        /// The error of the circuit.
        source: halo2_proofs::plonk::Error,
    },
    /// The columns of this build of halo2 do not show their index.
    #[error("this version of halo2_proofs is not supported: the index of a column cannot be read")]
    ColumnIndex,
    /// The memory limit is too low for this proof.
    #[error("proving needs about {needed} bytes of memory, and {limit} are allowed")]
    Memory {
        /// Predicted need, in bytes.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A lookup's input is not in its table.
    #[error("circuit {circuit}: an input of lookup {lookup} is not in its table")]
    NotInTable {
        /// Index of the circuit.
        circuit: usize,
        /// Index of the lookup.
        lookup: usize,
    },
    /// The witness does not satisfy the constraints.
    #[error("the witness does not satisfy the gates or the copies of the circuit")]
    NotSatisfied,
    /// A commitment is the identity or a challenge is zero: it happens with negligible probability.
    #[error("a commitment or a challenge is degenerate; prove again")]
    Degenerate,
}

/// What the prover is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Running the circuit for its witness.
    Synthesis,
    /// Committing to the witness.
    Witness,
    /// Sorting lookups and committing to them.
    Lookups,
    /// Running products of permutation and lookups.
    Products,
    /// The quotient of all constraints.
    Quotient,
    /// Evaluations at the challenge point.
    Evaluations,
    /// The opening of all commitments.
    Opening,
}

/// How to prove.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Called when a stage starts.
    pub progress: Option<&'a (dyn Fn(Stage) + Sync)>,
    /// Bytes of memory that must not be exceeded, key and parameters included: when the usual way is predicted to need
    /// more, a slower one is taken that needs less. The proof is the same.
    pub max_memory: Option<u64>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("progress", &self.progress.is_some())
            .field("max_memory", &self.max_memory)
            .finish()
    }
}

impl Options<'_> {
    fn stage(&self, stage: Stage) {
        if let Some(progress) = self.progress {
            progress(stage);
        }
    }
}

/// Proves `circuits`, all of the key's circuit, each with its columns of public values.
///
/// # Errors
/// No proof is returned for a witness that does not satisfy the circuit.
pub fn prove<C: Circuit<Fp>, R: Rng>(
    params: &Params,
    key: &ProvingKey,
    circuits: &[C],
    instances: &[Vec<Vec<Fp>>],
    rng: R,
    options: Options<'_>,
) -> Result<Vec<u8>, ProveError> {
    if !synthesis::indices_are_readable() {
        return Err(ProveError::ColumnIndex);
    }
    check_instances(key, circuits.len(), instances)?;
    options.stage(Stage::Synthesis);
    let sizes = (key.shape.k, key.shape.usable_rows());
    let columns = key.circuit.cs().num_advice as usize;
    let witnesses: Result<Vec<Vec<AdviceColumn>>, ProveError> = circuits
        .iter()
        .zip(instances)
        .enumerate()
        .map(|(circuit, (witness, instance))| {
            let advice = synthesis::advice(witness, columns, instance, sizes)
                .map_err(|source| ProveError::Synthesis { circuit, source })?;
            Ok(advice.into_iter().map(AdviceColumn::Full).collect())
        })
        .collect();
    prove_witness(params, key, witnesses?, instances, rng, options)
}

fn check_instances(
    key: &ProvingKey,
    circuits: usize,
    instances: &[Vec<Vec<Fp>>],
) -> Result<(), ProveError> {
    if circuits == 0 {
        return Err(ProveError::NoCircuit);
    }
    if circuits != instances.len() {
        return Err(ProveError::InstanceCount {
            circuits,
            instances: instances.len(),
        });
    }
    let (expected, rows) = (
        key.circuit.cs().num_instance as usize,
        key.shape.usable_rows(),
    );
    for (circuit, columns) in instances.iter().enumerate() {
        if columns.len() != expected {
            return Err(ProveError::Columns {
                circuit,
                kind: "instance",
                expected,
                got: columns.len(),
            });
        }
        for (column, values) in columns.iter().enumerate() {
            if values.len() > rows {
                return Err(ProveError::Rows {
                    circuit,
                    kind: "instance",
                    column,
                    rows,
                    got: values.len(),
                });
            }
        }
    }
    Ok(())
}

fn check_witnesses(key: &ProvingKey, witnesses: &[Vec<AdviceColumn>]) -> Result<(), ProveError> {
    let (expected, rows) = (
        key.circuit.cs().num_advice as usize,
        key.shape.usable_rows(),
    );
    for (circuit, columns) in witnesses.iter().enumerate() {
        if columns.len() != expected {
            return Err(ProveError::Columns {
                circuit,
                kind: "advice",
                expected,
                got: columns.len(),
            });
        }
        for (column, values) in columns.iter().enumerate() {
            if values.len() > rows {
                return Err(ProveError::Rows {
                    circuit,
                    kind: "advice",
                    column,
                    rows,
                    got: values.len(),
                });
            }
        }
    }
    Ok(())
}

/// Proves witnesses that are given as their advice columns, one list per circuit. Columns that are shorter than the
/// usable rows end in zeros.
///
/// # Errors
/// No proof is returned for a witness that does not satisfy the circuit.
pub fn prove_witness<R: Rng>(
    params: &Params,
    key: &ProvingKey,
    witnesses: Vec<Vec<AdviceColumn>>,
    instances: &[Vec<Vec<Fp>>],
    mut rng: R,
    options: Options<'_>,
) -> Result<Vec<u8>, ProveError> {
    if params.k() != key.shape.k {
        return Err(ProveError::Size {
            key: key.shape.k,
            params: params.k(),
        });
    }
    check_instances(key, witnesses.len(), instances)?;
    check_witnesses(key, &witnesses)?;
    let (cs, shape) = (key.circuit.cs(), &key.shape);
    let lean = is_lean(key, witnesses.len(), options)?;
    let work = Work { params, key, lean };
    let mut transcript = Transcript::new(key.transcript_repr())?;

    options.stage(Stage::Witness);
    let mut runs: Vec<Run> = instances
        .iter()
        .map(|instance| Run::new(key, instance))
        .collect();
    run::commit_instances(work, &runs, &mut transcript)?;
    run::commit_advice(work, witnesses, &mut runs, &mut rng, &mut transcript)?;

    options.stage(Stage::Lookups);
    let theta = transcript.challenge();
    lookup::commit_permuted(work, &mut runs, theta, &mut rng, &mut transcript)?;

    options.stage(Stage::Products);
    let (beta, gamma) = (transcript.challenge(), transcript.challenge());
    permutation::products(key, &mut runs, beta, gamma, &mut rng);
    lookup::products(key, &mut runs, beta, gamma, &mut rng);
    let coefficients = draw(&mut rng, shape.n);
    let random = Polynomial::of_coefficients(coefficients, Fp::random(&mut rng));
    commit_products(work, &runs, &random, &mut transcript)?;

    options.stage(Stage::Quotient);
    let y = transcript.challenge();
    let challenges = Challenges {
        theta,
        beta,
        gamma,
        y,
    };
    let polynomials = if lean { LEAN_POLYNOMIALS } else { usize::MAX };
    let classes = compile(cs, shape, &challenges, polynomials);
    let circuit_weight = y.pow_vartime([count(cs, shape) as u64]);
    let tails = quotient::tails(key, &runs, &classes, circuit_weight);
    for run in &mut runs {
        run.forget_values();
    }
    let pieces: Vec<Polynomial> =
        quotient::quotient(key, &runs, &classes, circuit_weight, &tails, lean)
            .into_iter()
            .map(|coefficients| Polynomial::of_coefficients(coefficients, Fp::random(&mut rng)))
            .collect();
    let jobs: Vec<_> = pieces.iter().map(|piece| piece.terms(params)).collect();
    transcript.points(&work.commit(params.monomial(), &jobs))?;

    options.stage(Stage::Evaluations);
    let x = transcript.challenge();
    let xn = x.pow_vartime([shape.n as u64]);
    let quotient = run::fold(&pieces, xn);
    drop(pieces);
    let opened = evaluation::Opened {
        key,
        runs: &runs,
        quotient: &quotient,
        random: &random,
    };
    let evaluations = opened.evaluate(x, &mut transcript)?;
    if !evaluations.satisfied(&opened, &classes, circuit_weight, x, xn) {
        return Err(ProveError::NotSatisfied);
    }

    options.stage(Stage::Opening);
    multiopen::open(work, &opened, x, &mut rng, &mut transcript)?;
    Ok(transcript.finish())
}

/// Whether the memory limit asks for the lean way.
fn is_lean(key: &ProvingKey, circuits: usize, options: Options<'_>) -> Result<bool, ProveError> {
    let Some(limit) = options.max_memory else {
        return Ok(false);
    };
    let memory = Memory::predict(
        key.circuit.cs(),
        key.shape.k,
        circuits,
        rayon::current_num_threads(),
    )?;
    let needed = memory.lean_total();
    if needed > limit {
        return Err(ProveError::Memory { needed, limit });
    }
    Ok(memory.total() > limit)
}

/// Commits to all running products and to the random polynomial, which no challenge separates.
fn commit_products(
    work: Work<'_>,
    runs: &[Run],
    random: &Polynomial,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    let params = work.params;
    let permutations = runs.iter().flat_map(|run| &run.permutation);
    let lookups = runs
        .iter()
        .flat_map(|run| &run.lookups)
        .map(|lookup| &lookup.product);
    let jobs: Vec<_> = permutations
        .chain(lookups)
        .map(|product| product.value_terms(params))
        .collect();
    let products = || work.commit(params.lagrange(), &jobs);
    let random = || work.commit(params.monomial(), &[random.terms(params)]);
    let (products, random) = if work.lean {
        (products(), random())
    } else {
        rayon::join(products, random)
    };
    transcript.points(&products)?;
    transcript.points(&random)
}

/// `count` random field elements.
fn draw(rng: &mut impl Rng, count: usize) -> Vec<Fp> {
    (0..count).map(|_| Fp::random(&mut *rng)).collect()
}

/// The scalar of one base.
fn single(first: usize, value: &Fp) -> Term<'_> {
    Term {
        first,
        values: Values::Full(std::slice::from_ref(value)),
    }
}
