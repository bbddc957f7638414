//! What the search sees and considers, number by number: the plan depends on all of it, and most of it changes no plan of
//! a small model.

#[path = "../../../tests/common/mod.rs"]
mod common;

use common::{Model, Random, Stack, assert_pinned, digest, every_kind, random_stack};

use super::*;
use crate::plan::Objective;
use crate::program::Range;

/// Models with what the planner tells apart: inputs that are bytes and others, tables for each channel, windows with
/// and without overlap, accumulators of many bits, layers that are wider than a circuit is high.
fn models() -> Vec<(String, Model)> {
    let mut models = vec![("every kind".to_owned(), every_kind())];
    models.extend([17, 33, 52].map(|seed| (format!("stack {seed}"), random_stack(seed))));
    let mut r = Random::new(5);
    let mut wide = Stack::new(120, Range::new(-128, 127));
    wide.dense(&mut r, 20, true);
    wide.dense(&mut r, 12, false);
    models.push(("wide".to_owned(), wide.finish()));
    let mut image = Stack::new(144, Range::new(3, 90));
    image.conv(&mut r, 1, 6, 3, true);
    image.overlapping_max(3);
    image.table(&mut r);
    image.dense(&mut r, 11, true);
    models.push(("image".to_owned(), image.finish()));
    models
}

fn jobs(model: &Model, steps: u64) -> Jobs<'_> {
    Jobs::new(&model.lowering, &model.public, steps).unwrap()
}

/// All numbers of a choice of tables.
fn of_tables(tables: &Tables) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        tables.forms,
        tables.domains,
        tables.placed,
        tables.banks,
        tables.rule_banks,
        tables.lanes,
        tables.inputs
    )
}

fn of_candidate(c: &Candidate) -> String {
    let (shape, cost) = (&c.shape, &c.cost);
    let tables = of_tables(&c.tables);
    format!("{shape:?} {tables} {cost:?} {} {}", c.rows, c.margin)
}

#[test]
fn needs_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        let jobs = jobs(&model, u64::MAX);
        lines.push(format!(
            "{name}: slots={:?} units={} slot_lanes={} widest={} bytes={} node={:?} tables={}",
            jobs.needs_slots(),
            jobs.unit_lanes(),
            jobs.slot_lanes(),
            jobs.widest_maximum(),
            jobs.byte_inputs(),
            jobs.largest_node(),
            jobs.tables.len(),
        ));
    }
    assert_pinned("needs.txt", &lines);
}

#[test]
fn shapes_that_are_tried_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        let jobs = jobs(&model, u64::MAX);
        for k in [7, 8, 9, 10] {
            let skeletons = jobs.skeletons(k);
            let texts: Vec<String> = skeletons
                .iter()
                .map(|(shape, tables)| format!("{shape:?} {}", of_tables(tables)))
                .collect();
            let checks = jobs.checks(k);
            let (count, hash) = (texts.len(), digest(&texts));
            lines.push(format!("{name}: k={k} shapes={count} {hash} {checks:?}"));
        }
        lines.push(format!("{name}: spent={}", jobs.budget.spent()));
    }
    assert_pinned("shapes.txt", &lines);
}

#[test]
fn estimates_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        for k in [9, 10] {
            let jobs = jobs(&model, u64::MAX);
            let mut rows = Vec::new();
            for (shape, tables) in jobs.skeletons(k).iter().step_by(71) {
                let estimate = jobs.estimate(shape, tables);
                for (bytes, plain) in [(0, 1), (1, 2), (1, 7), (2, 24), (3, 100)] {
                    let shape = Shape {
                        bytes,
                        plain,
                        ..shape.clone()
                    };
                    rows.push(estimate.rows(&shape, &jobs.budget));
                }
            }
            let (count, least, most) = (rows.len(), rows.iter().min(), rows.iter().max());
            let (hash, spent) = (digest(&rows), jobs.budget.spent());
            lines.push(format!(
                "{name}: k={k} estimates={count} from {least:?} to {most:?} {hash} spent={spent}"
            ));
        }
    }
    assert_pinned("estimates.txt", &lines);
}

#[test]
fn candidates_are_those_that_are_pinned() {
    let usual = PlanOptions::default();
    let of = |objective: Objective| PlanOptions {
        objective,
        ..usual.clone()
    };
    let options = [
        ("usual", usual.clone()),
        ("verifier", of(Objective::Verifier)),
        ("size", of(Objective::ProofSize)),
        ("memory", of(Objective::Memory)),
        (
            "short",
            PlanOptions {
                max_proof_bytes: 5_000,
                ..usual.clone()
            },
        ),
        (
            "low",
            PlanOptions {
                max_k: 9,
                ..usual.clone()
            },
        ),
        (
            "hurried",
            PlanOptions {
                search_steps: 300_000,
                ..usual.clone()
            },
        ),
    ];
    let mut lines = Vec::new();
    for (number, (name, model)) in models().into_iter().enumerate() {
        // The first sees all options, the others one each besides the usual ones: searches take their time.
        let some = |(i, _): &(usize, _)| number == 0 || *i == 0 || *i == number;
        for (_, (kind, options)) in options.iter().enumerate().filter(some) {
            let jobs = jobs(&model, options.search_steps);
            let mut next_k = LEAST_K;
            let candidates = jobs.candidates(model.elements, options, &mut next_k);
            let texts: Vec<String> = candidates.iter().map(of_candidate).collect();
            let (count, hash, spent) = (texts.len(), digest(&texts), jobs.budget.spent());
            lines.push(format!(
                "{name}: {kind} candidates={count} next={next_k} {hash} spent={spent}"
            ));
        }
    }
    assert_pinned("candidates.txt", &lines);
}
