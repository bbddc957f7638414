//! `zkonnx check`: what can be proved of a model, how exactly, and at what cost.

use serde_json::{Value, json};
use zkonnx_circuits::chips::Shape;
use zkonnx_circuits::compile::{Compiled, compile};
use zkonnx_engine::Memory;
use zkonnx_onnx::{ImportError, NodeProblem, NodeReport, Status};

use super::Session;
use super::answer::{Answer, error_json};
use super::args::CheckArgs;
use super::assumed::{assumed_json, assumed_text};
use super::style::{Style, bytes, plain, seconds, table};
use super::values::{load_model_to_plan, tail_json, tail_text};
use crate::artifact::hex;
use crate::drawing::page;
use crate::error::{Error, Exit};
use crate::keys::visibility_name;
use crate::measure::{peak_rss_bytes, resident_bytes};
use crate::pace::pace;
use crate::{files, places};

pub(super) fn check(args: &CheckArgs, session: &Session) -> Result<Answer, Error> {
    places::check(args.html.as_slice(), &[&args.model])?;
    session.progress.step("importing");
    let model = match load_model_to_plan(&args.model, &args.dims) {
        Ok(model) => model,
        Err(error) => {
            return match &error {
                Error::Import { source, .. } => match source.as_ref() {
                    ImportError::Unsupported(problems) => {
                        Ok(unsupported(&error, problems, session.style))
                    }
                    _ => Err(error),
                },
                _ => Err(error),
            };
        }
    };
    let report = model
        .import
        .as_ref()
        .map_or(&[][..], |import| &import.report);
    session.progress.step("planning the circuit");
    let compiled = compile(
        model.program.clone(),
        args.visibility.visibility(),
        &args.plan.options(),
    )?;
    if let Some(path) = &args.html {
        let title = args.model.display().to_string();
        files::write(path, page(&title, &compiled).as_bytes())?;
    }
    let mut text = nodes_text(report, session.style);
    text.push_str(&tail_text(&model));
    let assumed = || compiled.lowering.assumptions();
    text.push_str(&assumed_text(&compiled.program, assumed()));
    let predicted = Predicted::new(&compiled, session)?;
    text.push_str(&circuit_text(&compiled, &predicted, session.style));
    let json = json!({
        "supported": true,
        "program_id": hex(&compiled.program_id),
        "interface_hash": hex(&compiled.program.interface().hash()),
        "body_hash": hex(&compiled.program.body_hash()),
        "visibility": visibility_name(args.visibility.visibility()),
        "nodes": report.iter().map(node_json).collect::<Vec<_>>(),
        "not_proved": tail_json(&model),
        "assumptions": assumed_json(&compiled.program, assumed()),
        "circuit": circuit_json(&compiled),
        "predicted": predicted.json(),
    });
    Ok(Answer::yes(json, text))
}

fn unsupported(error: &Error, problems: &[NodeProblem], style: Style) -> Answer {
    let mut text = String::new();
    for problem in problems {
        let problem = plain(&problem.to_string());
        text.push_str(&format!("{} {problem}\n", style.bad("unsupported")));
    }
    let nodes = if problems.len() == 1 {
        "1 node is"
    } else {
        &format!("{} nodes are", problems.len())
    };
    text.push_str(&format!(
        "{nodes} not supported; this model cannot be proved as it is\n"
    ));
    let mut json = error_json(error);
    json["supported"] = json!(false);
    Answer::new(json, text, Exit::BadInput)
}

/// A word for what became of a node, and the rest of the story.
fn status(node: &NodeReport) -> (&'static str, String) {
    match &node.status {
        Status::Closed(exactness) if exactness.is_exact() => ("exact", exactness.to_string()),
        Status::Closed(exactness) => ("documented", exactness.to_string()),
        Status::Group => (
            "group",
            "part of the group that the next QuantizeLinear closes".to_owned(),
        ),
        Status::Folded => ("folded", "computed at import".to_owned()),
        Status::Outside if !node.is_known() => (
            "outside",
            "an operator of an unknown domain, not proved".to_owned(),
        ),
        Status::Head => (
            "before",
            "float arithmetic before the integers, not proved".to_owned(),
        ),
        Status::Outside => ("outside", "float arithmetic, not proved".to_owned()),
        _ => ("other", String::new()),
    }
}

fn node_json(node: &NodeReport) -> Value {
    let (word, detail) = status(node);
    let (rule, distance) = match &node.status {
        Status::Closed(exactness) => (Some(exactness.relation().to_string()), exactness.distance()),
        _ => (None, None),
    };
    json!({
        "node": node.node,
        "op": node.op,
        "domain": node.domain,
        "opset": node.opset,
        "status": word,
        "detail": detail,
        "rule": rule,
        "distance": distance,
    })
}

fn nodes_text(report: &[NodeReport], style: Style) -> String {
    if report.is_empty() {
        return String::new();
    }
    let row = |cells: [&str; 4]| {
        cells
            .iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>()
    };
    let mut rows = vec![row(["node", "operator", "exactness", ""])];
    for node in report {
        let (word, detail) = status(node);
        let domain = if node.domain == "ai.onnx" {
            String::new()
        } else {
            format!("{}.", node.domain)
        };
        rows.push(vec![
            node.node.clone(),
            format!("{domain}{}", node.op),
            word.to_owned(),
            detail,
        ]);
    }
    let table = table(&rows);
    let (head, body) = table.split_once('\n').unwrap_or((&table, ""));
    format!("{}\n{body}\n", style.bold(head))
}

/// What the circuit will cost on this machine.
struct Predicted {
    /// Seconds here for one second of the cost model.
    pace: f64,
    prove_cpu_s: f64,
    keygen_cpu_s: f64,
    verify_cpu_s: f64,
    proof_bytes: usize,
    peak_rss_bytes: u64,
    pk_bytes: u64,
    vk_bytes: usize,
}

impl Predicted {
    fn new(compiled: &Compiled, session: &Session) -> Result<Self, Error> {
        let (cs, k) = (
            &compiled.assembly.chips.cs,
            compiled.assembly.layout.shape.k,
        );
        let memory = Memory::predict(cs, k, 1, rayon::current_num_threads())?;
        // What the model and its circuit take is here already, and is measured.
        let peak = peak_rss_bytes().unwrap_or(0);
        let held = resident_bytes().unwrap_or(0);
        let cost = &compiled.cost;
        let pace = pace(&session.cache, &session.progress)?;
        Ok(Self {
            pace,
            prove_cpu_s: cost.prove_cpu_s * pace,
            keygen_cpu_s: cost.keygen_cpu_s * pace,
            verify_cpu_s: cost.verify_cpu_s * pace,
            proof_bytes: cost.proof_bytes,
            peak_rss_bytes: peak.max(held + memory.total()),
            pk_bytes: memory.key,
            vk_bytes: cost.key_bytes,
        })
    }

    fn json(&self) -> Value {
        json!({
            "pace": self.pace,
            "prove_cpu_s": self.prove_cpu_s,
            "keygen_cpu_s": self.keygen_cpu_s,
            "verify_cpu_s": self.verify_cpu_s,
            "proof_bytes": self.proof_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "pk_bytes": self.pk_bytes,
            "vk_bytes": self.vk_bytes,
        })
    }
}

/// Share of the rows and columns that hold something: assigned advice cells by all advice cells.
fn filled(compiled: &Compiled) -> f64 {
    let shape = &compiled.assembly.layout.shape;
    compiled.assembly.assigned.len() as f64 / (shape.advice_columns() * shape.usable_rows()) as f64
}

fn fixed_columns(compiled: &Compiled) -> u32 {
    compiled.assembly.chips.cs.num_fixed
}

fn circuit_json(compiled: &Compiled) -> Value {
    let layout = &compiled.assembly.layout;
    let shape: &Shape = &layout.shape;
    json!({
        "k": shape.k,
        "rows": 1u64 << shape.k,
        "rows_used": layout.rows.len(),
        "table_rows": layout.table_rows(),
        "advice_columns": shape.advice_columns(),
        "fixed_columns": fixed_columns(compiled),
        "permutation_columns": compiled.assembly.chips.cs.permutation.len(),
        "accumulators": shape.accumulators,
        "host_columns": shape.own_hosts(),
        "units": shape.units(),
        "widths": shape.limbs() == 0,
        "weights": shape.weights(),
        "lookups": compiled.assembly.chips.cs.lookups.len(),
        "public_elements": layout.public_elements,
        "filled": filled(compiled),
    })
}

fn circuit_text(compiled: &Compiled, predicted: &Predicted, style: Style) -> String {
    let layout = &compiled.assembly.layout;
    let shape = &layout.shape;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let circuit = table(&[
        row("program", hex(&compiled.program_id)),
        row(
            "rows",
            format!(
                "2^{} = {}, {} used by the model, {} by tables",
                shape.k,
                1u64 << shape.k,
                layout.rows.len(),
                layout.table_rows()
            ),
        ),
        row(
            "columns",
            format!(
                "{} advice, {} fixed, {} under the permutation",
                shape.advice_columns(),
                fixed_columns(compiled),
                compiled.assembly.chips.cs.permutation.len()
            ),
        ),
        row(
            "filled",
            format!("{:.1} % of the advice cells", 100.0 * filled(compiled)),
        ),
        row(
            "lookups",
            compiled.assembly.chips.cs.lookups.len().to_string(),
        ),
    ]);
    let costs = table(&[
        row("prove", format!("{} CPU", seconds(predicted.prove_cpu_s))),
        row(
            "keys",
            format!("{} CPU, once", seconds(predicted.keygen_cpu_s)),
        ),
        row("verify", format!("{} CPU", seconds(predicted.verify_cpu_s))),
        row("proof", bytes(predicted.proof_bytes as u64)),
        row("verifying key", bytes(predicted.vk_bytes as u64)),
        row("proving key", bytes(predicted.pk_bytes)),
        row("memory", bytes(predicted.peak_rss_bytes)),
    ]);
    format!(
        "{}\n{circuit}\n{}\n{costs}",
        style.bold("circuit"),
        style.bold("predicted for this machine")
    )
}
