//! A page that draws a circuit: which node stands where, what is idle, where the time is predicted to go.
//!
//! The page is one file without references. Cells are sent as runs, column by column, and drawn on a canvas, so that
//! a circuit of thirty thousand rows is no problem.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zkonnx_circuits::chips::Shape;
use zkonnx_circuits::compile::{Compiled, NO_NODE};
use zkonnx_circuits::plan::cost::breakdown;

/// The script and style of the page.
const TEMPLATE: &str = include_str!("drawing.html");
/// Where the data go in [`TEMPLATE`].
const PLACE: &str = "/*DATA*/null";

/// The page of a compiled model.
pub fn page(title: &str, compiled: &Compiled) -> String {
    // `<` cannot end the script that holds the data.
    let data = data(title, compiled).to_string().replace('<', "\\u003c");
    TEMPLATE.replace(PLACE, &data)
}

fn data(title: &str, compiled: &Compiled) -> Value {
    let layout = &compiled.assembly.layout;
    let shape = &layout.shape;
    let nodes = nodes(compiled);
    let runs = runs(compiled, &nodes);
    let mut cells = vec![0usize; nodes.len()];
    for column in &runs {
        for &(start, end, node) in column {
            cells[node] += end - start;
        }
    }
    let mut rows = vec![0usize; nodes.len()];
    for row in &layout.rows {
        rows[nodes[&row.node]] += 1;
    }
    let named: Vec<Value> = nodes
        .iter()
        .map(|(&node, &index)| {
            let (name, op) = match compiled.program.nodes().get(node as usize) {
                Some(n) => (n.name.clone(), n.op.id().name),
                None => ("inputs and outputs".to_owned(), "public"),
            };
            json!({ "name": name, "op": op, "rows": rows[index], "cells": cells[index] })
        })
        .collect();
    let tables: Vec<Value> = layout
        .tables
        .iter()
        .map(|t| json!({ "bank": t.bank, "rows": t.table.rows.len() }))
        .collect();
    json!({
        "title": title,
        "k": shape.k,
        "usable": shape.usable_rows(),
        "used": layout.rows.len(),
        "columns": columns(shape),
        "runs": runs,
        "nodes": named,
        "tables": tables,
        "limbTable": if shape.range_columns() > 0 { 1u64 << shape.range_bits } else { 0 },
        "widthTable": layout.widths().iter().map(|w| w + 1).sum::<u64>(),
        "time": breakdown(shape).map(|(name, seconds)| json!({ "name": name, "seconds": seconds })),
        "prove": compiled.cost.prove_cpu_s,
        "proof": compiled.cost.proof_bytes,
        "fixed": compiled.assembly.chips.cs.num_fixed,
    })
}

/// The nodes that have rows, numbered in the order of the program.
fn nodes(compiled: &Compiled) -> BTreeMap<u32, usize> {
    let mut nodes: BTreeMap<u32, usize> = BTreeMap::new();
    for row in &compiled.assembly.layout.rows {
        nodes.insert(row.node, 0);
    }
    nodes.insert(NO_NODE, 0);
    for (index, number) in nodes.values_mut().enumerate() {
        *number = index;
    }
    nodes
}

/// For each advice column, the runs of cells of one node: first row, end, number of the node.
fn runs(compiled: &Compiled, nodes: &BTreeMap<u32, usize>) -> Vec<Vec<(usize, usize, usize)>> {
    let layout = &compiled.assembly.layout;
    let mut assigned: Vec<(u32, u32)> = compiled
        .assembly
        .assigned
        .iter()
        .map(|c| (c.column, c.row))
        .collect();
    assigned.sort_unstable();
    assigned.dedup();
    let mut runs: Vec<Vec<(usize, usize, usize)>> = vec![Vec::new(); layout.shape.advice_columns()];
    for (column, row) in assigned {
        let (row, column) = (row as usize, &mut runs[column as usize]);
        let node = nodes[&layout.rows[row].node];
        match column.last_mut() {
            Some(last) if last.1 == row && last.2 == node => last.1 = row + 1,
            _ => column.push((row, row + 1, node)),
        }
    }
    runs
}

/// What each advice column is for.
fn columns(shape: &Shape) -> Vec<&'static str> {
    (0..shape.advice_columns())
        .map(|column| {
            let units = shape.units();
            if column < units {
                "value"
            } else if column < 2 * units {
                "step"
            } else if column < shape.range(0) {
                "width"
            } else if column < shape.first_host() {
                "limb"
            } else if column < shape.first_host() + shape.bytes {
                "byte"
            } else if column < shape.accumulator(0) {
                "copy"
            } else {
                "sum"
            }
        })
        .collect()
}
