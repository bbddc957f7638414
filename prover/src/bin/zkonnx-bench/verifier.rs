//! The verifier against the stock one, on the circuits of real models, on one thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use halo2_proofs::plonk::{SingleVerifier, keygen_vk, verify_proof};
use halo2_proofs::transcript::{Blake2bRead, Challenge255};
use pasta_curves::{EqAffine, Fp};
use serde_json::{Value, json};
use zkonnx_circuits::circuit::{ModelCircuit, with_chips};
use zkonnx_circuits::compile::{Compiled, compile};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_engine as engine;
use zkonnx_onnx::import;
use zkonnx_prover::backend::{generate, prove, random, verifying_key};
use zkonnx_prover::measure::timed;
use zkonnx_verifier::{InputVisibility, Params, Receipt, VerifyingKey, verify, verify_batch};

use super::mutants::inputs;
use super::{Failure, name_of};

/// A model with its keys and receipts.
struct Ready {
    name: String,
    compiled: Compiled,
    params: engine::Params,
    key: VerifyingKey,
    receipts: Vec<Receipt>,
    instances: Vec<Vec<Fp>>,
}

fn ready(path: &Path, receipts: usize) -> Result<Ready, Failure> {
    let program = Arc::new(import(&std::fs::read(path)?)?.program);
    let compiled = compile(program, InputVisibility::Public, &PlanOptions::default())?;
    let k = compiled.assembly.layout.shape.k;
    let params = engine::Params::derive(k)?;
    let proving_key = generate(&params, &compiled)?;
    let key = verifying_key(&proving_key, &compiled)?;
    let mut made = Vec::new();
    let mut instances = Vec::new();
    for i in 0..receipts {
        // Each receipt has its own context.
        let inference = compiled.infer(&inputs(&compiled.program), [i as u8; 32])?;
        let options = engine::Options::default();
        let one = std::slice::from_ref(&inference);
        let proof = prove(&params, &proving_key, &compiled, one, random()?, options)?;
        made.push(Receipt::new(*key.id(), vec![inference.claim], proof)?);
        instances.push(inference.instance);
    }
    Ok(Ready {
        name: name_of(path),
        compiled,
        params,
        key,
        receipts: made,
        instances,
    })
}

/// The least CPU time of several runs.
fn least(runs: usize, mut f: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let (result, seconds) = timed(&mut f);
        result?;
        best = best.min(seconds);
    }
    Ok(best)
}

/// Compares single verification with the stock verifier, and a batch with as many single verifications.
pub(super) fn run(models: &[PathBuf], batch: usize, out: Option<&Path>) -> Result<bool, Failure> {
    let each = batch.div_ceil(models.len());
    let ready = models
        .iter()
        .map(|path| ready(path, each))
        .collect::<Result<Vec<_>, _>>()?;
    let largest = ready.iter().map(|r| r.key.circuit().k()).max().unwrap_or(0);
    let params = Params::derive(largest)?;
    let encoded = params.encode();
    let load_params = least(5, || {
        Params::decode(&encoded)?;
        Ok(())
    })?;
    let mut rows = Vec::new();
    println!("| model | k | verify ms | stock ms | ratio | key load ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for model in &ready {
        rows.push(compare(model, &params)?);
    }
    let items: Vec<(&VerifyingKey, &Receipt)> = ready
        .iter()
        .flat_map(|r| r.receipts.iter().map(|receipt| (&r.key, receipt)))
        .take(batch)
        .collect();
    let single = least(3, || {
        for (key, receipt) in &items {
            verify(key, &params, receipt)?;
        }
        Ok(())
    })?;
    let together = least(3, || Ok(verify_batch(&items, &params)?))?;
    println!(
        "\n{} receipts: {:.1} ms in a batch, {:.1} ms one by one, ratio {:.3}; parameters loaded in {:.2} ms",
        items.len(),
        1e3 * together,
        1e3 * single,
        together / single,
        1e3 * load_params,
    );
    if let Some(path) = out {
        let result = json!({
            "models": rows,
            "batch": { "receipts": items.len(), "batch_cpu_s": together, "single_cpu_s": single },
            "load_params_cpu_s": load_params,
        });
        zkonnx_prover::files::write(path, format!("{result:#}\n").as_bytes())?;
    }
    Ok(true)
}

fn compare(model: &Ready, params: &Params) -> Result<Value, Failure> {
    let receipt = &model.receipts[0];
    let ours = least(7, || Ok(verify(&model.key, params, receipt)?))?;
    let bytes = model.key.encode();
    let load = least(5, || {
        VerifyingKey::decode(&bytes)?;
        Ok(())
    })?;
    let stock_params = model.params.to_halo2()?;
    let assembly = &model.compiled.assembly;
    let stock = with_chips(&assembly.chips, || -> Result<f64, Failure> {
        let vk = keygen_vk(&stock_params, &ModelCircuit::blank(assembly))?;
        let instance: [&[Fp]; 1] = [&model.instances[0]];
        least(7, || {
            let proof = receipt.proof();
            let mut transcript = Blake2bRead::<_, EqAffine, Challenge255<_>>::init(proof);
            let strategy = SingleVerifier::new(&stock_params);
            verify_proof(&stock_params, &vk, strategy, &[&instance], &mut transcript)?;
            Ok(())
        })
    })?;
    println!(
        "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
        model.name,
        model.key.circuit().k(),
        1e3 * ours,
        1e3 * stock,
        ours / stock,
        1e3 * load,
    );
    Ok(json!({
        "model": model.name,
        "verify_cpu_s": ours,
        "stock_cpu_s": stock,
        "ratio": ours / stock,
        "load_key_cpu_s": load,
    }))
}
