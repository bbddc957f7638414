//! What operators assume of their equations, for a stated reason, and no constraint says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zkonnx_circuits::compile::{CompileError, assumptions};
use zkonnx_circuits::lower::Assumption;
use zkonnx_circuits::program::Program;

use super::style::table;

/// The assumptions of a program that may have no circuit, as JSON and as text.
pub(super) fn of_program(program: &Program) -> (Value, String) {
    match assumptions(program) {
        Ok(list) => (
            assumed_json(program, list.iter()),
            assumed_text(program, list.iter()),
        ),
        Err(error) => (Value::Null, no_circuit(&error)),
    }
}

fn no_circuit(error: &CompileError) -> String {
    format!("It has no circuit: {error}\n")
}

fn name(program: &Program, node: u32) -> String {
    let node_of = program.nodes().get(node as usize);
    let name = node_of
        .map(|node| node.name.clone())
        .filter(|n| !n.is_empty());
    name.unwrap_or_else(|| format!("%{node}"))
}

/// Operator, node, bound and reason of each.
pub(super) fn assumed_json<'a>(
    program: &Program,
    list: impl Iterator<Item = &'a Assumption>,
) -> Value {
    list.map(|assumed| {
        json!({
            "op": assumed.op,
            "node": name(program, assumed.node),
            "bound": [assumed.range.lo, assumed.range.hi],
            "forms": assumed.forms,
            "reason": assumed.reason,
        })
    })
    .collect()
}

/// One line for each node and reason.
pub(super) fn assumed_text<'a>(
    program: &Program,
    list: impl Iterator<Item = &'a Assumption>,
) -> String {
    let mut lines: BTreeMap<(u32, &str, &str), (usize, i64, i64)> = BTreeMap::new();
    for of in list {
        let line = lines.entry((of.node, of.op, of.reason));
        let line = line.or_insert((0, of.range.lo, of.range.hi));
        line.0 += 1;
        line.1 = line.1.min(of.range.lo);
        line.2 = line.2.max(of.range.hi);
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["assumed of", "bounds", "within", "since"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for ((node, op, reason), (bounds, lo, hi)) in lines {
        rows.push(vec![
            format!("{op} `{}`", name(program, node)),
            bounds.to_string(),
            format!("{lo} to {hi}"),
            reason.to_owned(),
        ]);
    }
    format!("\n{}", table(&rows))
}
