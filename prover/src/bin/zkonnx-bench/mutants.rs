//! Lies about whole models, and how many of them are caught.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use zkonnx_circuits::compile::compile;
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::{Program, Tensor};
use zkonnx_circuits::testing::{Mutator, Score};
use zkonnx_onnx::import;
use zkonnx_prover::files;
use zkonnx_prover::measure::cpu_seconds;
use zkonnx_verifier::InputVisibility;

use crate::{Failure, name_of};

/// Which mutants are judged, and how.
pub(crate) struct How {
    pub(crate) sample: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) hasty: bool,
    pub(crate) private_input: bool,
}

/// Returns whether no mutant of any model survives.
pub(crate) fn run(models: &[PathBuf], how: &How, out: Option<&Path>) -> Result<bool, Failure> {
    let mut rows = Vec::new();
    let (mut perfect, mut total) = (true, 0);
    println!(
        "| model | mutants | of | rejected | constraints that alone reject one | of | CPU s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for path in models {
        let visibility = if how.private_input {
            InputVisibility::Private
        } else {
            InputVisibility::Public
        };
        let program = Arc::new(import(&std::fs::read(path)?)?.program);
        let compiled = compile(program, visibility, &PlanOptions::default())?;
        let inputs = inputs(&compiled.program);
        let inference = compiled.infer(&inputs, [7; 32])?;
        let start = cpu_seconds();
        let mutator = Mutator::new(
            &compiled.lowering,
            &compiled.assembly,
            &inference.inputs,
            inference.witness.clone(),
            &inference.instance,
        );
        let violated = mutator.honest_violations();
        if !violated.is_empty() {
            return Err(format!(
                "{}: the honest witness violates {violated:?}",
                name_of(path)
            )
            .into());
        }
        let loose = mutator.noise_violations(how.seed);
        if !loose.is_empty() {
            return Err(format!(
                "{}: cells that anyone may fill enter {loose:?}",
                name_of(path)
            )
            .into());
        }
        let all = mutator.mutants(1).count();
        let mutants = mutator.sample(how.sample.unwrap_or(all), how.seed);
        let score = if how.hasty {
            mutator.score_hastily(mutants)
        } else {
            mutator.score(mutants)
        };
        perfect &= score.survivors.is_empty();
        total += score.mutants;
        rows.push(report(path, all, &score, how, cpu_seconds() - start));
    }
    let verdict = if perfect {
        "all rejected"
    } else {
        "SOME SURVIVE"
    };
    println!("{} models, {total} mutants: {verdict}", models.len());
    if let Some(path) = out {
        let result = json!({ "models": rows });
        files::write(path, format!("{result:#}\n").as_bytes())?;
    }
    Ok(perfect)
}

fn report(path: &Path, all: usize, score: &Score, how: &How, cpu: f64) -> Value {
    let alone = if how.hasty {
        "-".to_owned()
    } else {
        score.rejected_only_by.len().to_string()
    };
    println!(
        "| {} | {} | {all} | {:.2} % | {alone} | {} | {cpu:.1} |",
        name_of(path),
        score.mutants,
        score.percent(),
        score.rejected_by.len(),
    );
    for survivor in score.survivors.iter().take(5) {
        println!("survivor: {survivor:?}");
    }
    let alone: serde_json::Map<String, Value> = score
        .rejected_only_by
        .iter()
        .map(|(name, count)| (name.to_string(), json!(count)))
        .collect();
    json!({
        "model": name_of(path),
        "mutants": score.mutants,
        "all_mutants": all,
        "score_percent": score.percent(),
        "survivors": score.survivors.len(),
        "seed": how.seed,
        "rejected_by_one_constraint_alone": (!how.hasty).then_some(alone),
    })
}

/// Inputs that reach all values of their type, the same on every run.
pub(crate) fn inputs(program: &Program) -> Vec<Tensor> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let ports = program.inputs().iter();
    ports
        .map(|port| {
            let fact = program.fact(port.tensor);
            let span = (fact.range.hi - fact.range.lo + 1) as u64;
            let values = (0..fact.len()).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                fact.range.lo + ((state >> 8) % span) as i64
            });
            Tensor::new(fact.dtype, fact.shape.clone(), values.collect())
        })
        .collect()
}
