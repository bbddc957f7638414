//! What is counted of a model, at the numbers where it changes.

use std::sync::Arc;

use super::*;
use crate::chips::Check;
use crate::lower::{Collector, Explicit, StepRule, Wire};
use crate::plan::estimate;
use crate::plan::search::bare;

/// The equations that `make` states of so many inputs of one range.
fn lowering(
    inputs: usize,
    range: Range,
    make: impl Fn(&mut Lowering, &[Wire]) -> Vec<Wire>,
) -> Lowering {
    let mut collector = Collector::new();
    let x = collector.inputs(u32::MAX, inputs, range).unwrap();
    let out = make(collector.node(0), &x);
    collector.finish(out.iter()).unwrap()
}

fn jobs(lowering: &Lowering) -> Jobs<'_> {
    Jobs::new(lowering, &[], u64::MAX).unwrap()
}

fn rule(domain: Range, f: impl Fn(i64) -> i64) -> Vec<Arc<StepRule>> {
    vec![Arc::new(StepRule::table(domain, f).unwrap())]
}

#[test]
fn a_table_that_several_blocks_read_is_one() {
    let bytes = Range::new(0, 255);
    let of = |second: i64| {
        let lowering = lowering(3, bytes, |cx, x| {
            let y = cx.steps(x, rule(bytes, |v| v * v % 200), |_| 0).unwrap();
            let again = rule(bytes, move |v| (v * v + second) % 200);
            cx.steps(&y, again, |_| 0).unwrap()
        });
        jobs(&lowering).tables.len()
    };
    assert_eq!([0, 1].map(of), [1, 2]);
}

#[test]
fn values_of_a_maximum_are_counted_from_the_offset_of_the_result() {
    let of = |range: Range| {
        let lowering = lowering(3, range, |cx, x| cx.max("test", vec![x.to_vec()]).unwrap());
        jobs(&lowering).widest_maximum()
    };
    // Inputs are counted from the least.
    assert_eq!(of(Range::new(-128, 127)), 8);
    assert_eq!(of(Range::new(-5, -2)), 2);
    assert_eq!(of(Range::new(3, 90)), 7);
    assert_eq!(of(Range::new(3, 130)), 7);
    assert_eq!(of(Range::new(3, 131)), 8);
}

#[test]
fn the_table_of_widths_may_fill_all_rows_but_one() {
    let shape = bare(5, 4, Check::Width(4080));
    let most = shape.table_capacity() as i64;
    let fits = |width: i64| {
        // One step of this width; idle units add a row for the width of one integer.
        let range = Range::new(0, width - 1);
        let lowering = lowering(1, Range::new(0, 255), |cx, x| {
            let clip = rule(Range::new(0, 255), move |v| v.min(range.hi));
            let y = cx.steps(x, clip, |_| 0).unwrap();
            cx.steps(&y, rule(range, |_| 7), |_| 0).unwrap()
        });
        let mut jobs = jobs(&lowering);
        jobs.steps.remove(0);
        jobs.tables(&shape, Cutting::of(&shape), &[0]).is_some()
    };
    assert!(fits(2) && fits(most - 1));
    assert!(!fits(most) && !fits(most + 1));
}

#[test]
fn no_box_is_found_where_not_one_lane_has_room() {
    let bytes = Range::new(0, 255);
    let lowering = lowering(8, bytes, |cx, x| {
        let halves = cx.steps(x, rule(bytes, |v| v / 2), |_| 0).unwrap();
        let windows = halves.chunks(4).map(<[Wire]>::to_vec).collect();
        cx.max("test", windows).unwrap()
    });
    let jobs = jobs(&lowering);
    assert!(jobs.steps[0].pooled);
    // Four forms of 8 * limbs + 2 bits are stated of 254 bits for each accumulator.
    let found = |max_limbs: usize, accumulators: usize| {
        let shape = Shape {
            maxima: 1,
            max_limbs,
            accumulators,
            bytes: 1,
            plain: 1,
            ..bare(10, 8, Check::Limbs(2))
        };
        let tables = jobs.choose_tables(&shape).unwrap();
        let one = jobs.best_box(&shape, 0, &tables);
        let rows = jobs.estimate(&shape, &tables).rows(&shape, &jobs.budget);
        assert_eq!(one.is_some(), rows < usize::MAX);
        let capacity = estimate::capacity(&shape, tables.domains[0], true);
        (capacity, one.is_some())
    };
    assert_eq!(found(7, 1), (1, true));
    assert_eq!(found(8, 1), (0, false));
    assert_eq!(found(8, 2), (1, true));
}

#[test]
fn each_cell_of_a_circuit_that_is_placed_is_paid_for() {
    let bytes = Range::new(0, 255);
    let lowering = lowering(8, bytes, |cx, x| {
        let sums = Explicit {
            grid: vec![1],
            forms: vec![((0..8).map(|i| (i, 1)).collect(), 0)],
        };
        let sums = cx.linear("test", x, Arc::new(sums)).unwrap();
        let eighth = rule(Range::new(0, 8 * 255), |v| v / 8);
        cx.steps(&sums, eighth, |_| 0).unwrap()
    });
    let jobs = jobs(&lowering);
    let shape = Shape {
        bytes: 1,
        plain: 2,
        ..bare(10, 8, Check::Limbs(2))
    };
    let tables = jobs.choose_tables(&shape).unwrap();
    let before = jobs.budget.spent();
    jobs.place(&shape, &tables, 2).unwrap();
    let cells = shape.advice_columns() * shape.usable_rows();
    assert!(jobs.budget.spent() - before >= PLACED_CELL * cells as u64);
}
