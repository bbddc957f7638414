//! `zkonnx prove`: from a model and an input to a receipt.

use std::path::Path;

use serde_json::{Value, json};
use zkonnx_circuits::program::Tensor;

use super::Session;
use super::answer::Answer;
use super::args::{EngineArg, ProveArgs};
use super::run::samples_text;
use super::style::{bytes, seconds};
use super::values::{
    contexts, float_outputs, float_text, floats_json, load_model, load_samples, output_text,
    outputs_json, tail_json, tail_text,
};
use crate::artifact::hex;
use crate::error::Error;
use crate::keys::{Keys, visibility_name};
use crate::measure::{peak_rss_bytes, timed};
use crate::model::Model;
use crate::prover::{Engine, How, Proved, prove as prove_inferences};
use crate::{files, places};

pub(super) fn prove(args: &ProveArgs, session: &Session) -> Result<Answer, Error> {
    let inputs: Vec<&Path> = std::iter::once(&args.model)
        .chain(&args.keys)
        .chain(&args.input.input)
        .map(|path| path.as_path())
        .collect();
    places::check(std::slice::from_ref(&args.output), &inputs)?;
    applicable(args)?;
    session.progress.step("importing");
    let model = load_model(&args.model, &args.dims)?;
    // Before minutes of work for what then does not fit.
    let samples = load_samples(&model.program, &args.input, session)?;
    let contexts = contexts(&args.context, samples.len())?;
    let inputs: Vec<&[Tensor]> = samples.iter().collect();
    let (keys, keys_cpu_s) = timed(|| keys(args, &model, session));
    let keys = keys?;
    let engine = match args.engine {
        EngineArg::Own => Engine::Own,
        EngineArg::Stock => Engine::Stock,
    };
    let how = How {
        engine,
        max_memory: args.max_memory,
    };
    let proved = prove_inferences(
        &keys,
        &inputs,
        &contexts,
        how,
        &session.cache,
        &session.progress,
    )?;
    let encoded = proved.receipt.encode();
    files::write(&args.output, &encoded)?;
    let load_cpu_s = keys_cpu_s - keys.keygen_cpu_s;
    let json = answer_json(
        &keys,
        &proved,
        &model,
        encoded.len(),
        load_cpu_s,
        &args.output,
    );
    let texts = proved.inferences.iter().map(|inference| {
        let outputs = inference.trace.outputs();
        let floats = float_outputs(&model, &outputs);
        let pairs = keys.compiled.program.outputs().iter().zip(outputs);
        let mut text: String = pairs
            .map(|(port, tensor)| output_text(port, tensor))
            .collect();
        text.extend(floats.iter().map(float_text));
        text.push_str(&format!("claim   {}\n", hex(&inference.claim.digest())));
        text
    });
    let mut text = match texts.collect::<Vec<_>>().as_slice() {
        [one] => one.clone(),
        several => samples_text(several),
    };
    text.push_str(&format!(
        "{} {} ({}), proved in {} and verified in {} of CPU{}\n",
        session.style.good("receipt"),
        args.output.display(),
        bytes(encoded.len() as u64),
        seconds(proved.prove_cpu_s),
        seconds(proved.verify_cpu_s),
        match proved.keygen_cpu_s {
            0.0 => String::new(),
            keygen => format!(", keys in {}", seconds(keygen)),
        }
    ));
    text.push_str(&tail_text(&model));
    Ok(Answer::yes(json, text))
}

/// The folder whose keys are used, if any.
fn folder(args: &ProveArgs) -> Option<&Path> {
    let model = args.model.is_dir().then_some(args.model.as_path());
    args.keys.as_deref().or(model)
}

/// Refuses options that would change nothing.
fn applicable(args: &ProveArgs) -> Result<(), Error> {
    if let (Some(folder), Some(option)) = (folder(args), args.plan.given()) {
        return Err(Error::NotApplicable {
            option,
            why: format!(
                "the circuit of the keys in {} is planned already; leave it out, or give it to `zkonnx setup`",
                folder.display()
            ),
        });
    }
    if matches!(args.engine, EngineArg::Stock) && args.max_memory.is_some() {
        return Err(Error::NotApplicable {
            option: "--max-memory",
            why: "the stock prover knows no limit; leave out --engine stock".into(),
        });
    }
    Ok(())
}

/// The keys of a folder, or fresh ones.
fn keys(args: &ProveArgs, model: &Model, session: &Session) -> Result<Keys, Error> {
    let visibility = args.visibility.visibility();
    let Some(folder) = folder(args) else {
        return Keys::generate(
            model.program.clone(),
            visibility,
            &args.plan.options(),
            &session.cache,
            &session.progress,
        );
    };
    let keys = Keys::load(folder, &session.cache, &session.progress)?;
    check_keys(&keys, model, folder)?;
    let of_keys = keys.verifying.layout().visibility();
    if of_keys != visibility {
        return Err(Error::Visibility {
            path: folder.into(),
            keys: visibility_name(of_keys),
        });
    }
    Ok(keys)
}

fn check_keys(keys: &Keys, model: &Model, folder: &Path) -> Result<(), Error> {
    let id = model.program.id();
    if keys.compiled.program_id != id {
        let (keys, model) = (hex(&keys.compiled.program_id), hex(&id));
        return Err(Error::OtherProgram {
            path: folder.into(),
            keys,
            model,
        });
    }
    Ok(())
}

fn answer_json(
    keys: &Keys,
    proved: &Proved,
    model: &Model,
    size: usize,
    load_cpu_s: f64,
    output: &Path,
) -> Value {
    let program = &keys.compiled.program;
    let claims: Vec<Value> = proved
        .inferences
        .iter()
        .map(|inference| {
            let outputs = inference.trace.outputs();
            json!({
                "claim_digest": hex(&inference.claim.digest()),
                "context": hex(inference.claim.context()),
                "outputs": outputs_json(program, &outputs),
                "float_outputs": floats_json(&float_outputs(model, &outputs)),
            })
        })
        .collect();
    let first = claims.first().cloned().unwrap_or_default();
    json!({
        "output": output.display().to_string(),
        "program_id": hex(&keys.compiled.program_id),
        "vk_id": hex(keys.verifying.id()),
        "visibility": visibility_name(keys.verifying.layout().visibility()),
        "k": keys.verifying.circuit().k(),
        "claim_digest": first["claim_digest"],
        "outputs": first["outputs"],
        "claims": claims,
        "not_proved": tail_json(model),
        "keygen_cpu_s": proved.keygen_cpu_s,
        "load_cpu_s": load_cpu_s,
        "prove_cpu_s": proved.prove_cpu_s,
        "verify_cpu_s": proved.verify_cpu_s,
        "proof_bytes": proved.receipt.proof().len(),
        "receipt_bytes": size,
        "peak_rss_bytes": peak_rss_bytes(),
    })
}
