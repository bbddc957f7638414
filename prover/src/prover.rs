//! One or more inferences, one proof, one receipt.

use zkonnx_circuits::compile::Inference;
use zkonnx_circuits::program::Tensor;
use zkonnx_engine::{Memory, Options, Stage};
use zkonnx_verifier::{MAX_CLAIMS, Receipt, verify};

use crate::backend;
use crate::cache::Cache;
use crate::error::Error;
use crate::keys::Keys;
use crate::measure::{peak_rss_bytes, resident_bytes, timed};
use crate::progress::Progress;

/// Who makes the proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The engine of this project.
    #[default]
    Own,
    /// `halo2_proofs`, the reference, which generates its keys each time.
    Stock,
}

/// How to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Who makes the proof.
    pub engine: Engine,
    /// Bytes of memory that the process must not exceed.
    pub max_memory: Option<u64>,
}

/// A receipt and what it took.
#[derive(Debug)]
pub struct Proved {
    /// The receipt, verified.
    pub receipt: Receipt,
    /// The inferences that it is of.
    pub inferences: Vec<Inference>,
    /// CPU seconds for the keys, if they were generated.
    pub keygen_cpu_s: f64,
    /// CPU seconds for the execution, the witness and the proof.
    pub prove_cpu_s: f64,
    /// CPU seconds to verify the receipt.
    pub verify_cpu_s: f64,
}

/// Proves inferences, and verifies what was proved as anybody else would.
///
/// `samples` are the inputs of each inference, 1 to [`MAX_CLAIMS`], and `contexts` as many.
pub fn prove(
    keys: &Keys,
    samples: &[&[Tensor]],
    contexts: &[[u8; 32]],
    how: How,
    cache: &Cache,
    progress: &Progress,
) -> Result<Proved, Error> {
    if samples.len() > MAX_CLAIMS {
        return Err(Error::TooManySamples {
            got: samples.len(),
            max: MAX_CLAIMS,
            place: "in one receipt",
        });
    }
    let random = backend::random()?;
    progress.step("executing");
    let (inferences, execute_cpu_s) = timed(|| {
        let pairs = samples.iter().zip(contexts);
        pairs
            .map(|(sample, context)| keys.compiled.infer(sample, *context))
            .collect::<Result<Vec<_>, _>>()
    });
    let inferences = inferences?;
    let mut keygen_cpu_s = keys.keygen_cpu_s;
    let (proof, prove_cpu_s) = match how.engine {
        Engine::Own => {
            let limit = how
                .max_memory
                .map(|limit| engine_limit(limit, keys, samples.len()));
            let show = |stage: Stage| progress.step(format!("proving: {}", describe(stage)));
            let options = Options {
                progress: Some(&show),
                max_memory: limit.transpose()?,
            };
            let (proof, cpu) = timed(|| {
                backend::prove(
                    &keys.params,
                    &keys.proving,
                    &keys.compiled,
                    &inferences,
                    random,
                    options,
                )
            });
            (proof?, cpu)
        }
        Engine::Stock => {
            progress.step("proving with the stock prover");
            let stock = backend::prove_stock(&keys.params, &keys.compiled, &inferences, random)?;
            keygen_cpu_s = stock.keygen_cpu_s;
            (stock.proof, stock.prove_cpu_s)
        }
    };
    let claims = inferences
        .iter()
        .map(|inference| inference.claim.clone())
        .collect();
    let receipt = Receipt::new(*keys.verifying.id(), claims, proof)?;
    let params = cache.verifier(keys.verifying.circuit().k(), progress)?;
    progress.step("verifying");
    // From the bytes, as those who receive them will.
    let (verdict, verify_cpu_s) = timed(|| verify(&keys.verifying, &params, &receipt));
    verdict.map_err(Error::SelfCheck)?;
    Ok(Proved {
        receipt,
        inferences,
        keygen_cpu_s,
        prove_cpu_s: execute_cpu_s + prove_cpu_s,
        verify_cpu_s,
    })
}

/// What of a limit on the process is left for the engine's key, parameters and proof.
///
/// The engine predicts what it takes; the model, its circuit and what the allocator keeps are measured, since they are
/// there already. Where the system does not tell, the whole limit is the engine's.
fn engine_limit(limit: u64, keys: &Keys, circuits: usize) -> Result<u64, Error> {
    let circuit = keys.proving.circuit();
    let threads = rayon::current_num_threads();
    let memory = Memory::predict(circuit.cs(), circuit.k(), circuits, threads)?;
    let (Some(resident), Some(peak)) = (resident_bytes(), peak_rss_bytes()) else {
        return Ok(limit);
    };
    let besides = resident.saturating_sub(memory.key + memory.params);
    let needed = peak.max(besides + memory.lean_total());
    if needed > limit {
        return Err(Error::MemoryLimit { needed, limit });
    }
    Ok(limit - besides)
}

fn describe(stage: Stage) -> &'static str {
    match stage {
        Stage::Synthesis | Stage::Witness => "committing to the witness",
        Stage::Lookups => "lookups",
        Stage::Products => "copies and products",
        Stage::Quotient => "quotient",
        Stage::Evaluations => "evaluations",
        Stage::Opening => "opening",
        _ => "",
    }
}
