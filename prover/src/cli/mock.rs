//! `zkonnx mock`: the constraints of the circuit on an input, without a proof.

use halo2_proofs::dev::{FailureLocation, MockProver, VerifyFailure};
use serde_json::json;
use zkonnx_circuits::circuit::with_chips;
use zkonnx_circuits::compile::{Compiled, Inference, InferenceError, compile};

use super::args::MockArgs;
use super::values::{contexts, load_model, load_samples};
use super::{Answer, Session};
use crate::artifact::{hex, read_claim};
use crate::error::{Error, Exit};

/// Failures that are listed; a lie spreads over a whole circuit.
const LISTED: usize = 20;

pub(super) fn mock(args: &MockArgs, session: &Session) -> Result<Answer, Error> {
    let model = load_model(&args.model)?;
    let samples = load_samples(&model.program, &args.input)?;
    let contexts = contexts(&args.context, samples.len())?;
    session.progress.step("planning the circuit");
    let compiled = compile(
        model.program.clone(),
        args.visibility.visibility(),
        &args.plan.options(),
    )?;
    let claim = args.claim.as_deref().map(read_claim).transpose()?;
    let mut failures = Vec::new();
    for (index, (sample, context)) in samples.iter().zip(&contexts).enumerate() {
        session
            .progress
            .step(format!("checking all constraints, sample {index}"));
        let mut inference = compiled.infer(sample, *context)?;
        if let Some(claim) = &claim {
            if *claim.program_id() != compiled.program_id {
                return Err(Error::Usage(
                    "the claim is about another program than this model",
                ));
            }
            let instance = compiled
                .public
                .instance(claim)
                .map_err(InferenceError::Layout)?;
            // The witness keeps what the execution gave; only what is claimed changes.
            let advice_of = std::mem::replace(&mut inference.instance, instance);
            failures.extend(check(&compiled, &inference, &advice_of));
        } else {
            let instance = inference.instance.clone();
            failures.extend(check(&compiled, &inference, &instance));
        }
    }
    let constraints =
        compiled.assembly.chips.cs.gates.len() + compiled.assembly.chips.cs.lookups.len();
    let mut text = String::new();
    for failure in failures.iter().take(LISTED) {
        text.push_str(&format!(
            "{} {}: {}\n",
            session.style.bad("fails"),
            failure.node,
            failure.what
        ));
    }
    if failures.len() > LISTED {
        text.push_str(&format!("… and {} more\n", failures.len() - LISTED));
    }
    let samples = samples.len();
    text.push_str(&match failures.len() {
        0 => format!(
            "{} {constraints} constraints and {} copies hold on {} rows, {samples} samples\n",
            session.style.good("satisfied:"),
            compiled.assembly.copies.len() + compiled.assembly.public.len(),
            compiled.assembly.layout.rows.len(),
        ),
        count => format!("{count} constraints do not hold\n"),
    });
    let listed = failures.iter().map(
        |failure| json!({"node": failure.node, "constraint": failure.what, "row": failure.row}),
    );
    let json = json!({
        "satisfied": failures.is_empty(),
        "program_id": hex(&compiled.program_id),
        "samples": samples,
        "failures": listed.collect::<Vec<_>>(),
    });
    Ok(Answer {
        json,
        text,
        exit: if failures.is_empty() {
            Exit::Yes
        } else {
            Exit::No
        },
    })
}

/// A constraint that does not hold.
struct Failure {
    node: String,
    what: String,
    row: Option<usize>,
}

/// Runs MockProver with the public values of `inference` and the cells that `witness_instance` gives.
fn check(
    compiled: &Compiled,
    inference: &Inference,
    witness_instance: &[pasta_curves::Fp],
) -> Vec<Failure> {
    let k = compiled.assembly.layout.shape.k;
    let honest = Inference {
        instance: witness_instance.to_vec(),
        ..inference.clone()
    };
    let circuit = compiled.circuit(&honest);
    let result = with_chips(&compiled.assembly.chips, || {
        MockProver::run(k, &circuit, vec![inference.instance.clone()]).map(|prover| prover.verify())
    });
    match result {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(failures)) => failures
            .iter()
            .map(|failure| describe(compiled, failure))
            .collect(),
        Err(error) => vec![Failure {
            node: "circuit".to_owned(),
            what: error.to_string(),
            row: None,
        }],
    }
}

fn describe(compiled: &Compiled, failure: &VerifyFailure) -> Failure {
    let (what, location) = match failure {
        VerifyFailure::ConstraintNotSatisfied {
            constraint,
            location,
            ..
        } => (constraint.to_string(), Some(location)),
        VerifyFailure::Lookup {
            lookup_index,
            location,
        } => (format!("lookup {lookup_index}"), Some(location)),
        VerifyFailure::Permutation { column, location } => {
            (format!("copy in {column:?}"), Some(location))
        }
        other => (other.to_string(), None),
    };
    let row = location.map(|location| match location {
        FailureLocation::InRegion { offset, .. } => *offset,
        FailureLocation::OutsideRegion { row } => *row,
    });
    let node = row.and_then(|row| compiled.assembly.layout.rows.get(row));
    let node = node.and_then(|row| compiled.program.nodes().get(row.node as usize));
    let node = node.map_or("inputs and outputs".to_owned(), |node| {
        format!("node `{}`", node.name)
    });
    let place = row.map_or(String::new(), |row| format!(", row {row}"));
    Failure {
        node,
        what: format!("{}{place}", what.replace('\n', " ")),
        row,
    }
}
