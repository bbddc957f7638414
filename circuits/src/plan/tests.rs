//! What the parts of the planner count, where the numbers can be worked out by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chips::{Check, Shape};
use crate::lower::{Collector, Explicit, Lowering, StepRule, Wire, Wires};
use crate::program::Range;

use super::choice::Choice;
use super::jobs::Jobs;
use super::search::bare;
use super::tables::Cutting;
use super::*;

fn shape() -> Shape {
    bare(12, 8, Check::Limbs(2))
}

/// Rows that `lowering` is estimated to take.
fn rows(lowering: &Lowering, public: &[PublicElement], shape: &Shape) -> usize {
    let jobs = Jobs::new(lowering, public, u64::MAX).unwrap();
    let tables = jobs.choose_tables(shape).unwrap();
    jobs.estimate(shape, &tables).rows(shape, &jobs.budget)
}

/// Inputs and nothing else.
fn inputs(n: usize, range: Range) -> Lowering {
    let mut collector = Collector::new();
    let wires = collector.inputs(u32::MAX, n, range).unwrap();
    collector.finish(wires.iter()).unwrap()
}

/// A layer of `outputs` sums of all inputs, each with a scale of its own, with values from 0 to 255.
fn layer(collector: &mut Collector, wires: &[Wire], outputs: usize) -> Wires {
    let form = |o: usize| {
        let terms = (0..wires.len()).map(|i| (i, 1 + (i + o) as i64 % 3));
        (terms.collect(), 0)
    };
    let forms = Explicit {
        grid: vec![outputs],
        forms: (0..outputs).map(form).collect(),
    };
    let cx = collector.node(0);
    let sums = cx.linear("test", wires, Arc::new(forms)).unwrap();
    let rules = (0..outputs as i64).map(|o| {
        let mantissa = (1 << 23) + o * 40_001;
        let domain = Range::new(0, 255 * 3 * wires.len() as i64);
        let rule = move |x: i64| ((x * mantissa + (1 << 25)) >> 26).clamp(0, 255);
        Arc::new(StepRule::monotone(
            domain,
            Some((mantissa as u32, -26)),
            rule,
        ))
    });
    cx.steps(&sums, rules.collect(), |i| i).unwrap()
}

#[test]
fn inputs_take_the_rows_of_their_columns() {
    // One row is for constants. Of 88 values only units prove that they are no others.
    let of_units = |units: usize| {
        let unit_banks = vec![0; units];
        let shape = Shape {
            unit_banks,
            ..shape()
        };
        rows(&inputs(10, Range::new(3, 90)), &[], &shape)
    };
    assert_eq!([1, 3, 10].map(of_units), [11, 5, 2]);
    let of_bytes = |bytes: usize| {
        let shape = Shape { bytes, ..shape() };
        rows(&inputs(10, Range::new(0, 255)), &[], &shape)
    };
    assert_eq!([0, 1, 3, 20].map(of_bytes), [usize::MAX, 10, 4, 1]);
}

#[test]
fn public_elements_take_a_copy_of_each_value_and_one_more() {
    let element = |values: usize| PublicElement {
        row: 2,
        bits: 8,
        offset: 0,
        values: vec![Wire::Const(0); values],
    };
    let public = [element(4), element(2)];
    let of = |accumulators: usize| {
        let plain = 2;
        let shape = Shape {
            plain,
            accumulators,
            ..shape()
        };
        rows(&inputs(0, Range::new(0, 255)), &public, &shape)
    };
    // 5 and 3 copies in two columns, or all of them together.
    assert_eq!([1, 2].map(of), [1 + 3 + 2, 1 + 4]);
}

#[test]
fn windows_are_grouped_as_their_bits_allow() {
    let mut collector = Collector::new();
    let wires = collector.inputs(u32::MAX, 20, Range::new(0, 255)).unwrap();
    let windows = wires.chunks(4).map(<[Wire]>::to_vec).collect();
    let out = collector.node(0).max("test", windows).unwrap();
    let lowering = collector.finish(out.iter()).unwrap();
    let of = |max_limbs: usize| {
        let shape = Shape {
            maxima: 1,
            max_top: true,
            max_limbs,
            bytes: 4,
            ..shape()
        };
        rows(&lowering, &[], &shape)
    };
    // Each window states four forms of `8 * limbs + 2` bits in 254: two windows, one, or none at all.
    assert_eq!([3, 7, 8].map(of), [1 + 3 * 2, 1 + 5, usize::MAX]);
}

#[test]
fn lanes_take_the_rows_of_the_units_that_share_them() {
    let mut collector = Collector::new();
    let mut wires = collector.inputs(u32::MAX, 3, Range::new(0, 255)).unwrap();
    for _ in 0..2 {
        wires = layer(&mut collector, &wires, 3);
    }
    let lowering = collector.finish(wires.iter()).unwrap();
    let of = |bytes: usize, plain: usize| {
        let unit_banks = vec![0, 0];
        let shape = Shape {
            unit_banks,
            bytes,
            plain,
            accumulators: 2,
            ..shape()
        };
        rows(&lowering, &[], &shape)
    };
    // Three lanes in two units: two rows for each layer, though six lanes fit three rows. All cells are bytes.
    assert_eq!(of(40, 1), 1 + 2 * 2);
    // Three copies in one column.
    assert_eq!(of(1, 0), 1 + 2 * 3);
}

#[test]
fn a_choice_counts_each_table_once_however_it_came_about() {
    let mut collector = Collector::new();
    let inputs = collector.inputs(u32::MAX, 5, Range::new(3, 90)).unwrap();
    // Two layers of the same rules share their tables, one has others.
    let mut outputs = layer(&mut collector, &inputs, 4);
    outputs.extend(layer(&mut collector, &inputs, 4));
    outputs.extend(layer(&mut collector, &outputs.clone(), 3));
    let lowering = collector.finish(outputs.iter()).unwrap();
    let jobs = Jobs::new(&lowering, &[], u64::MAX).unwrap();
    let [narrow, wide] = [20, 200].map(|widest| Cutting {
        widest,
        outer: None,
    });
    let counts = |choice: &mut Choice<'_>| {
        let chosen = jobs.steps.iter().zip(&choice.forms);
        let mut used: BTreeSet<usize> = jobs.inputs.iter().filter_map(|job| job.table).collect();
        used.extend(chosen.flat_map(|(job, &form)| &job.tables[form]));
        let steps = used.iter().map(|&table| jobs.tables[table].steps.len());
        assert_eq!(choice.steps, steps.sum::<usize>());
        for cutting in [narrow, wide, narrow] {
            let rows = used.iter().map(|&t| jobs.tables[t].size(cutting).rows);
            assert_eq!(choice.rows(cutting), rows.sum::<usize>());
        }
    };
    let mut choice = Choice::new(&jobs);
    counts(&mut choice);
    let mut moves = 0;
    for block in 0..jobs.steps.len() {
        while choice.forms[block] + 1 < jobs.steps[block].forms.len() {
            choice.advance(block);
            counts(&mut choice);
            moves += 1;
        }
    }
    assert!(moves > 2, "{moves}");
}

/// Each error, whether a defect causes it, and whether it names a node.
fn errors() -> Vec<(PlanError, bool, Option<u32>)> {
    let node = 7;
    let no_shape = |node| PlanError::NoShape {
        node,
        max_k: 12,
        max_proof_bytes: 9_000,
        nearest: None,
        ended: false,
    };
    let lanes = PlanError::TooManyLanes {
        node,
        lanes: 3,
        accumulators: 2,
    };
    let domain = PlanError::Domain {
        node,
        reach: 5,
        lo: 0,
        hi: 4,
    };
    let wide = PlanError::WideLane {
        node,
        bits: 255,
        max: 254,
    };
    let weight = PlanError::NoWeight {
        accumulator: 1,
        term: 2,
    };
    let rows = PlanError::TooManyRows { rows: 9, usable: 8 };
    vec![
        (no_shape(Some(node)), false, Some(node)),
        (no_shape(None), false, None),
        (PlanError::NoTables { k: 12 }, false, None),
        (rows, false, None),
        (lanes, true, Some(node)),
        (PlanError::WideMaximum { node, bits: 8 }, false, Some(node)),
        (domain, true, Some(node)),
        (wide, false, Some(node)),
        (PlanError::NoUnit { bank: 1 }, true, None),
        (PlanError::WrongBlock { block: 1 }, true, None),
        (PlanError::NoRoom { node }, true, Some(node)),
        (PlanError::NoSlot { node }, false, Some(node)),
        (weight, true, None),
        (PlanError::NoByte { node }, true, Some(node)),
    ]
}

#[test]
fn errors_tell_defects_from_limits_and_name_their_node() {
    for (error, internal, node) in errors() {
        assert_eq!(error.is_internal(), internal, "{error:?}");
        assert_eq!(error.node(), node, "{error:?}");
    }
}

#[test]
fn says_how_far_the_nearest_circuit_is() {
    assert_eq!(overrun(None), " (its tables do not fit)");
    assert_eq!(overrun(Some((usize::MAX, 9))), "");
    let seems = " (it seems to need 9 of 9 rows, but could not be placed in them)";
    assert_eq!(overrun(Some((9, 9))), seems);
    for (rows, usable, over) in [
        (2, 1, 100),
        (3, 0, 300),
        (1_001, 1_000, 1),
        (1_011, 1_000, 2),
    ] {
        let needs = format!(" (it needs about {rows} rows of {usable}, {over} % too many)");
        assert_eq!(overrun(Some((rows, usable))), needs);
    }
    assert!(remedy(true).starts_with("the search ended at its budget"));
    assert!(remedy(false).starts_with("make this layer smaller"));
}

#[test]
fn the_time_of_the_prover_breaks_ties() {
    let cost = cost::Cost {
        prove_cpu_s: 3.0,
        keygen_cpu_s: 100.0,
        verify_cpu_s: 0.5,
        proof_bytes: 20_000,
        memory_bytes: 4_000_000_000,
        key_bytes: 100,
    };
    for (objective, expected) in [
        (Objective::Prover, 3.0),
        (Objective::Verifier, 0.500_003),
        (Objective::ProofSize, 0.020_003),
        (Objective::Memory, 4.000_003),
    ] {
        let score = objective.score(&cost);
        assert!((score - expected).abs() < 1e-12, "{objective:?}: {score}");
    }
}
