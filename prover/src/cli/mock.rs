//! `zkonnx mock`: the constraints of the circuit on an input, without a proof.

use ff::Field;
use halo2_proofs::dev::{FailureLocation, MockProver, VerifyFailure, metadata};
use halo2_proofs::plonk::Any;
use serde_json::json;
use zkonnx_circuits::circuit::{Assembly, with_chips};
use zkonnx_circuits::compile::{Compiled, Inference, InferenceError, compile};
use zkonnx_circuits::plan::Cell;
use zkonnx_circuits::program::Port;
use zkonnx_verifier::{CONTEXT_ELEMENTS, InputVisibility};

use super::Session;
use super::answer::Answer;
use super::args::MockArgs;
use super::style::plain;
use super::values::{contexts, load_model_to_plan, load_samples};
use crate::artifact::{hex, read_claim};
use crate::error::{Error, Exit};

/// Failures that are listed; a lie spreads over a whole circuit.
const LISTED: usize = 20;

pub(super) fn mock(args: &MockArgs, session: &Session) -> Result<Answer, Error> {
    let model = load_model_to_plan(&args.model, &args.dims)?;
    let samples = load_samples(&model.program, &args.input, session)?;
    if args.claim.is_some() && samples.len() > 1 {
        return Err(Error::TooManySamples {
            got: samples.len(),
            max: 1,
            place: "with --claim",
        });
    }
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
            plain(&failure.place),
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
        |failure| json!({"node": failure.node, "place": failure.place, "constraint": failure.what, "row": failure.row}),
    );
    let json = json!({
        "satisfied": failures.is_empty(),
        "program_id": hex(&compiled.program_id),
        "samples": samples,
        "failures": listed.collect::<Vec<_>>(),
    });
    let exit = if failures.is_empty() {
        Exit::Yes
    } else {
        Exit::No
    };
    Ok(Answer::new(json, text, exit))
}

/// A constraint that does not hold.
struct Failure {
    /// The node that states it, if one does.
    node: Option<String>,
    /// That node, or the input or output whose values are tied to the claim, for people.
    place: String,
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
            node: None,
            place: "circuit".to_owned(),
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
            (format!("copy in {column}"), Some(location))
        }
        other => (other.to_string(), None),
    };
    let row = location.map(|location| match location {
        FailureLocation::InRegion { offset, .. } => first_row(&compiled.assembly) + offset,
        FailureLocation::OutsideRegion { row } => *row,
    });
    let public = match failure {
        VerifyFailure::Permutation { column, .. } => {
            row.and_then(|row| public(compiled, column, row))
        }
        _ => None,
    };
    let node = row.and_then(|row| compiled.assembly.layout.rows.get(row));
    let node = node.and_then(|row| compiled.program.nodes().get(row.node as usize));
    // A copy of the claim is no statement of the node whose row has room for it.
    let node = node
        .filter(|_| public.is_none())
        .map(|node| node.name.clone());
    let place = match (public, &node) {
        (Some(element), _) => public_name(compiled, element),
        (None, Some(name)) => format!("node `{name}`"),
        (None, None) => "inputs and outputs".to_owned(),
    };
    let at = row.map_or(String::new(), |row| format!(", row {row}"));
    Failure {
        node,
        place,
        what: format!("{}{at}", what.replace('\n', " ")),
        row,
    }
}

/// The first row that holds anything: halo2 counts the rows of its only region from there.
fn first_row(assembly: &Assembly) -> usize {
    let advice = assembly.assigned.iter().map(|cell| cell.row as usize);
    let fixed = assembly.fixed.iter().filter_map(|column| {
        let mut values = column.iter();
        values.position(|value| !bool::from(value.is_zero()))
    });
    advice.chain(fixed).min().unwrap_or(0)
}

/// The element of the claim that a cell under the permutation holds: one of the instance column, or a cell that is
/// copied to or from the one that is tied to it.
fn public(compiled: &Compiled, column: &metadata::Column, row: usize) -> Option<usize> {
    if *column == metadata::Column::from((Any::Instance, 0)) {
        return Some(row);
    }
    let is_this = |cell: &Cell| {
        cell.row as usize == row
            && *column == metadata::Column::from((Any::Advice, cell.column as usize))
    };
    let copies = &compiled.assembly.copies;
    let original = copies.iter().find(|(copy, _)| is_this(copy));
    let original = original.map(|(_, original)| *original);
    let tied = |cell: &Cell| {
        let copied_from = copies.iter().find(|(copy, _)| copy == cell);
        let root = copied_from.map_or(*cell, |(_, original)| *original);
        is_this(cell) || is_this(&root) || original == Some(root)
    };
    let mut public = compiled.assembly.public.iter();
    let (_, element) = public.find(|(cell, _)| tied(cell))?;
    Some(*element as usize)
}

/// What an element of a claim is of: the context, an input or an output.
fn public_name(compiled: &Compiled, element: usize) -> String {
    let (program, layout) = (&compiled.program, &compiled.public);
    let named = |kind: &'static str, ports: &[Port]| {
        let name = move |port: &Port| format!("{kind} `{}`", port.name);
        ports.iter().map(name).collect::<Vec<_>>()
    };
    let mut names = match layout.visibility() {
        InputVisibility::Public => named("input", program.inputs()),
        InputVisibility::Private => Vec::new(),
    };
    names.extend(named("output", program.outputs()));
    let mut end = CONTEXT_ELEMENTS;
    for (port, name) in layout.public_ports().zip(names) {
        let start = end;
        end += port.element_count();
        if (start..end).contains(&element) {
            return name;
        }
    }
    "the context".to_owned()
}
