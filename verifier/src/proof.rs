//! The parts of a proof and the challenges between them, in the order in which halo2 writes them.

use alloc::vec::Vec;

use pasta_curves::{EqAffine, Fp};

use crate::error::VerifyError;
use crate::key::CircuitKey;
use crate::plan::{Source, Value};
use crate::transcript::Transcript;
use crate::work::{Work, amount};

/// Bytes of a compressed point, and of a scalar.
const ITEM_BYTES: u64 = 32;

/// The commitments of one circuit of the proof.
#[derive(Debug, Default)]
pub(crate) struct Commitments {
    pub(crate) instance: Vec<EqAffine>,
    pub(crate) advice: Vec<EqAffine>,
    /// Permuted input and table of each lookup.
    pub(crate) permuted: Vec<(EqAffine, EqAffine)>,
    pub(crate) products: Vec<EqAffine>,
    pub(crate) lookup_products: Vec<EqAffine>,
}

/// The evaluations of a permutation product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductEvals {
    pub(crate) current: Fp,
    pub(crate) next: Fp,
    /// At the last usable row; absent for the last product.
    pub(crate) last: Option<Fp>,
}

/// The evaluations of a lookup argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookupEvals {
    pub(crate) product: Fp,
    pub(crate) product_next: Fp,
    pub(crate) input: Fp,
    pub(crate) input_previous: Fp,
    pub(crate) table: Fp,
}

/// The evaluations of one circuit of the proof.
#[derive(Debug, Default)]
pub(crate) struct Evaluations {
    pub(crate) instance: Vec<Fp>,
    pub(crate) advice: Vec<Fp>,
    pub(crate) products: Vec<ProductEvals>,
    pub(crate) lookups: Vec<LookupEvals>,
}

/// The evaluations that all circuits share.
#[derive(Debug)]
pub(crate) struct SharedEvaluations {
    pub(crate) fixed: Vec<Fp>,
    pub(crate) permutation: Vec<Fp>,
    pub(crate) random: Fp,
}

/// The challenges before the opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenges {
    pub(crate) theta: Fp,
    pub(crate) beta: Fp,
    pub(crate) gamma: Fp,
    pub(crate) y: Fp,
    pub(crate) x: Fp,
}

/// A proof up to its opening.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) commitments: Vec<Commitments>,
    pub(crate) random: EqAffine,
    pub(crate) quotient: Vec<EqAffine>,
    pub(crate) evaluations: Vec<Evaluations>,
    pub(crate) shared: SharedEvaluations,
    pub(crate) challenges: Challenges,
}

/// Points and scalars of a proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProofSize {
    pub(crate) points: u64,
    pub(crate) scalars: u64,
}

impl ProofSize {
    pub(crate) fn bytes(&self) -> usize {
        let items = self.points.saturating_add(self.scalars);
        usize::try_from(items.saturating_mul(ITEM_BYTES)).unwrap_or(usize::MAX)
    }
}

impl CircuitKey {
    /// The number of permutation products.
    pub(crate) fn product_count(&self) -> usize {
        self.cs()
            .permutation
            .len()
            .div_ceil(self.cs().permutation_chunk())
    }

    /// The exact size of a proof of so many circuits. No overflow: all counts are capped far below 2^32.
    pub(crate) fn proof_size(&self, circuits: usize) -> ProofSize {
        let cs = self.cs();
        let products = amount(self.product_count());
        let lookups = amount(cs.lookups.len());
        let own_points = u64::from(cs.num_advice) + 3 * lookups + products;
        let own_scalars = amount(cs.instance_queries.len() + cs.advice_queries.len())
            + (3 * products).saturating_sub(1)
            + 5 * lookups;
        // The random polynomial, the quotient's pieces, then f, S and the pairs of the opening's rounds.
        let shared_points = 1 + u64::from(self.degree() - 1) + 2 + 2 * u64::from(self.k());
        // The random polynomial's evaluation, one scalar for each set of points, and the opening's c and f.
        let shared_scalars =
            amount(cs.fixed_queries.len() + cs.permutation.len() + self.plan().sets.len()) + 3;
        ProofSize {
            points: amount(circuits) * own_points + shared_points,
            scalars: amount(circuits) * own_scalars + shared_scalars,
        }
    }
}

impl Proof {
    /// Reads a proof up to its opening. `instance` has the instance commitments of each circuit.
    pub(crate) fn read(
        key: &CircuitKey,
        instance: Vec<Vec<EqAffine>>,
        transcript: &mut Transcript<'_>,
        work: &mut Work,
    ) -> Result<Self, VerifyError> {
        transcript.absorb_scalar(&key.transcript_repr(), work);
        for point in instance.iter().flatten() {
            transcript.absorb_point(point, work)?;
        }
        let mut commitments: Vec<Commitments> = instance
            .into_iter()
            .map(|instance| Commitments {
                instance,
                ..Commitments::default()
            })
            .collect();
        let cs = key.cs();
        for circuit in &mut commitments {
            circuit.advice = points(cs.num_advice, transcript, work)?;
        }
        let theta = transcript.challenge(work);
        for circuit in &mut commitments {
            for _ in &cs.lookups {
                circuit
                    .permuted
                    .push((transcript.read_point(work)?, transcript.read_point(work)?));
            }
        }
        let beta = transcript.challenge(work);
        let gamma = transcript.challenge(work);
        for circuit in &mut commitments {
            for _ in 0..key.product_count() {
                circuit.products.push(transcript.read_point(work)?);
            }
        }
        for circuit in &mut commitments {
            for _ in &cs.lookups {
                circuit.lookup_products.push(transcript.read_point(work)?);
            }
        }
        let random = transcript.read_point(work)?;
        let y = transcript.challenge(work);
        let quotient = points(key.degree() - 1, transcript, work)?;
        let x = transcript.challenge(work);
        let (evaluations, shared) = read_evaluations(key, commitments.len(), transcript, work)?;
        Ok(Self {
            commitments,
            random,
            quotient,
            evaluations,
            shared,
            challenges: Challenges {
                theta,
                beta,
                gamma,
                y,
                x,
            },
        })
    }
}

fn read_evaluations(
    key: &CircuitKey,
    circuits: usize,
    transcript: &mut Transcript<'_>,
    work: &mut Work,
) -> Result<(Vec<Evaluations>, SharedEvaluations), VerifyError> {
    let cs = key.cs();
    let mut own: Vec<Evaluations> = (0..circuits).map(|_| Evaluations::default()).collect();
    for circuit in &mut own {
        circuit.instance = scalars(cs.instance_queries.len(), transcript, work)?;
    }
    for circuit in &mut own {
        circuit.advice = scalars(cs.advice_queries.len(), transcript, work)?;
    }
    let fixed = scalars(cs.fixed_queries.len(), transcript, work)?;
    let random = transcript.read_scalar(work)?;
    let permutation = scalars(cs.permutation.len(), transcript, work)?;
    for circuit in &mut own {
        for left in (0..key.product_count()).rev() {
            circuit.products.push(ProductEvals {
                current: transcript.read_scalar(work)?,
                next: transcript.read_scalar(work)?,
                last: match left {
                    0 => None,
                    _ => Some(transcript.read_scalar(work)?),
                },
            });
        }
    }
    for circuit in &mut own {
        for _ in &cs.lookups {
            circuit.lookups.push(LookupEvals {
                product: transcript.read_scalar(work)?,
                product_next: transcript.read_scalar(work)?,
                input: transcript.read_scalar(work)?,
                input_previous: transcript.read_scalar(work)?,
                table: transcript.read_scalar(work)?,
            });
        }
    }
    let shared = SharedEvaluations {
        fixed,
        permutation,
        random,
    };
    Ok((own, shared))
}

fn points(
    count: u32,
    transcript: &mut Transcript<'_>,
    work: &mut Work,
) -> Result<Vec<EqAffine>, VerifyError> {
    (0..count).map(|_| transcript.read_point(work)).collect()
}

fn scalars(
    count: usize,
    transcript: &mut Transcript<'_>,
    work: &mut Work,
) -> Result<Vec<Fp>, VerifyError> {
    (0..count).map(|_| transcript.read_scalar(work)).collect()
}

impl Commitments {
    /// The commitment of this circuit that a slot of the plan names.
    pub(crate) fn get(&self, source: Source) -> Option<EqAffine> {
        match source {
            Source::Instance(column) => self.instance.get(column).copied(),
            Source::Advice(column) => self.advice.get(column).copied(),
            Source::Product(product) => self.products.get(product).copied(),
            Source::LookupProduct(lookup) => self.lookup_products.get(lookup).copied(),
            Source::LookupInput(lookup) => self.permuted.get(lookup).map(|&(input, _)| input),
            Source::LookupTable(lookup) => self.permuted.get(lookup).map(|&(_, table)| table),
            Source::Fixed(_) | Source::Permutation(_) | Source::Quotient | Source::Random => None,
        }
    }
}

impl Evaluations {
    /// The evaluation of this circuit that a slot of the plan names.
    pub(crate) fn get(&self, value: Value) -> Option<Fp> {
        let product = |index: usize| self.products.get(index);
        let lookup = |index: usize| self.lookups.get(index);
        match value {
            Value::Instance(query) => self.instance.get(query).copied(),
            Value::Advice(query) => self.advice.get(query).copied(),
            Value::ProductCurrent(index) => product(index).map(|evals| evals.current),
            Value::ProductNext(index) => product(index).map(|evals| evals.next),
            Value::ProductLast(index) => product(index).and_then(|evals| evals.last),
            Value::LookupProduct(index) => lookup(index).map(|evals| evals.product),
            Value::LookupProductNext(index) => lookup(index).map(|evals| evals.product_next),
            Value::LookupInput(index) => lookup(index).map(|evals| evals.input),
            Value::LookupInputPrevious(index) => lookup(index).map(|evals| evals.input_previous),
            Value::LookupTable(index) => lookup(index).map(|evals| evals.table),
            Value::Fixed(_) | Value::Permutation(_) | Value::Quotient | Value::Random => None,
        }
    }
}
