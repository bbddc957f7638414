//! Proves one inference of a model that uses the operator, and verifies it.

use std::error::Error;
use std::sync::Arc;

use zkonnx_circuits::plan::PlanOptions;
use zkonnx_custom_operator::models;
use zkonnx_onnx::{import_with, quantize_input};
use zkonnx_prover::cache::Cache;
use zkonnx_prover::keys::Keys;
use zkonnx_prover::progress::Progress;
use zkonnx_prover::prover::{How, prove};
use zkonnx_verifier::InputVisibility;

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = include_bytes!("../models/quorum.onnx");
    let program = import_with(bytes, &models())?.program;
    let port = &program.inputs()[0];
    let fact = program.fact(port.tensor);
    let samples: Vec<f32> = (0..fact.len()).map(|i| i as f32 * 0.2 - 0.1).collect();
    let input = quantize_input(port, fact, &samples)?;

    let (cache, progress) = (Cache::of_user(), Progress::stderr());
    let keys = Keys::generate(
        Arc::new(program),
        InputVisibility::Public,
        &PlanOptions::default(),
        &cache,
        &progress,
    )?;
    // What is proved is verified before it is given back.
    let proved = prove(
        &keys,
        &[&[input]],
        &[[0; 32]],
        How::default(),
        &cache,
        &progress,
    )?;
    progress.clear();
    for output in proved.inferences[0].trace.outputs() {
        println!("agreed: {:?}", output.data);
    }
    println!(
        "proved in {:.2} CPU seconds, verified in {:.3}",
        proved.prove_cpu_s, proved.verify_cpu_s
    );
    Ok(())
}
