//! What may be said to the circuit, and what is refused.

use std::sync::Arc;

use super::*;

/// Forms from a list of terms and constants.
fn forms(forms: &[(&[(usize, i64)], i64)]) -> Arc<dyn LinearForms> {
    let forms: Vec<_> = forms.iter().map(|(t, c)| (t.to_vec(), *c)).collect();
    Arc::new(Explicit {
        grid: vec![forms.len()],
        forms,
    })
}

fn with_inputs(n: usize, lo: i64, hi: i64) -> (Collector, Wires) {
    let mut collector = Collector::new();
    let x = collector.inputs(0, n, Range::new(lo, hi)).unwrap();
    (collector, x)
}

fn rule(lo: i64, hi: i64, f: impl Fn(i64) -> i64) -> Vec<Arc<StepRule>> {
    vec![Arc::new(StepRule::table(Range::new(lo, hi), f).unwrap())]
}

#[test]
fn rejects_rules_that_do_not_cover_what_the_circuit_allows() {
    let (mut collector, x) = with_inputs(2, 0, 9);
    let cx = collector.node(0);
    let sum = cx
        .linear("test", &x, forms(&[(&[(0, 1), (1, -1)], 5)]))
        .unwrap();
    let domain = |value, lo, hi| Err(LowerError::Step(StepError::Domain { value, lo, hi }));
    assert_eq!(cx.steps(&x, rule(0, 8, |v| v), |_| 0), domain(9, 0, 8));
    assert_eq!(cx.steps(&x, rule(1, 9, |v| v), |_| 0), domain(0, 1, 9));
    assert_eq!(
        cx.steps(&sum, rule(-4, 13, |v| v), |_| 0),
        domain(14, -4, 13)
    );
    assert_eq!(
        cx.steps(&sum, rule(-3, 14, |v| v), |_| 0),
        domain(-4, -3, 14)
    );
    assert!(cx.steps(&sum, rule(-4, 14, |v| v), |_| 0).is_ok());
    let seven = [Wire::Const(7)];
    assert_eq!(cx.steps(&seven, rule(0, 6, |v| v), |_| 0), domain(7, 0, 6));
    assert_eq!(
        cx.steps(&seven, rule(0, 7, |v| 2 * v), |_| 0),
        Ok(vec![Wire::Const(14)])
    );
    let none = cx.steps(&x, rule(0, 9, |v| v), |i| i);
    assert_eq!(none, Err(LowerError::NoSuchRule { rules: 1 }));
}

#[test]
fn rejects_elements_that_nothing_defines() {
    let (mut collector, x) = with_inputs(2, 0, 9);
    let cx = collector.node(0);
    let sum = cx.linear("test", &x, forms(&[(&[(0, 1)], 0)])).unwrap();
    // The next cell to be made: a step of itself would have any fixed point for a value.
    let next = Wire::Cell(VarId(2));
    let beyond = Wire::Sum { map: 0, index: 1 };
    let nowhere = Wire::Sum { map: 1, index: 0 };
    assert_eq!(sum, [Wire::Sum { map: 0, index: 0 }]);
    for wire in [next, beyond, nowhere] {
        let missing = |op| Err(LowerError::NoSuchElement { op, wire });
        assert_eq!(
            cx.steps(&[wire], rule(0, 9, |v| v), |_| 0),
            missing("a step function")
        );
        assert_eq!(
            cx.linear("test", &[wire], forms(&[(&[(0, 1)], 0)])),
            missing("test")
        );
        assert_eq!(cx.max("test", vec![vec![x[0], wire]]), missing("test"));
        assert_eq!(collector_of(wire), missing("test").map(|_: Wires| ()));
    }
}

/// What the compiler says of an output.
fn collector_of(wire: Wire) -> Result<(), LowerError> {
    let (mut collector, x) = with_inputs(2, 0, 9);
    collector
        .node(0)
        .linear("test", &x, forms(&[(&[(0, 1)], 0)]))
        .unwrap();
    collector.check("test", &[vec![wire]], &[1])
}

#[test]
fn rejects_outputs_that_were_not_promised() {
    let (collector, x) = with_inputs(2, 0, 9);
    assert_eq!(
        collector.check("test", std::slice::from_ref(&x), &[2]),
        Ok(())
    );
    for promised in [&[3][..], &[2, 0], &[], &[1, 1]] {
        let refused = collector.check("test", std::slice::from_ref(&x), promised);
        let expected = promised.iter().sum();
        let op = "test";
        assert_eq!(
            refused,
            Err(LowerError::Outputs {
                op,
                expected,
                got: 2
            })
        );
    }
}

#[test]
fn rejects_equations_of_another_collector() {
    let (mut collector, x) = with_inputs(2, 0, 9);
    let (mut other, _) = with_inputs(2, 0, 1);
    std::mem::swap(collector.node(0), other.node(0));
    let refused = collector.check("test", &[x], &[2]);
    assert_eq!(refused, Err(LowerError::Exchanged { op: "test" }));
}

#[test]
fn rejects_forms_beyond_their_inputs_and_maxima_of_nothing() {
    let (mut collector, x) = with_inputs(2, 0, 9);
    let cx = collector.node(0);
    let refused = cx.linear("test", &x, forms(&[(&[(0, 1)], 0), (&[(2, 1)], 0)]));
    let (op, input, inputs) = ("test", 2, 2);
    assert_eq!(refused, Err(LowerError::NoSuchInput { op, input, inputs }));
    let refused = cx.max("test", vec![vec![x[0]], vec![]]);
    assert_eq!(refused, Err(LowerError::EmptyWindow { op }));
}

#[test]
fn rejects_values_of_more_than_62_bits() {
    let (mut collector, x) = with_inputs(2, -1, 1);
    let cx = collector.node(0);
    let (op, half) = ("test", 1 << 61);
    let at_most = cx
        .linear(op, &x, forms(&[(&[(0, half), (1, half)], 0)]))
        .unwrap();
    assert_eq!(
        cx.range_of(op, at_most[0]),
        Ok(Range::new(-(1 << 62), 1 << 62))
    );
    // Parts count even where they cancel.
    for (terms, constant) in [
        (&[(0, half), (1, half)][..], 1),
        (&[(0, half), (1, 1 - half)], half),
    ] {
        let refused = cx.linear(op, &x, forms(&[(terms, constant)]));
        assert!(
            matches!(refused, Err(LowerError::TooWide { .. })),
            "{refused:?}"
        );
    }
    let wide = StepRule::monotone(Range::new(-1, 1), None, |v| v * (1 << 62));
    let refused = cx.steps(&x, vec![Arc::new(wide)], |_| 0);
    assert!(
        matches!(refused, Err(LowerError::TooWide { .. })),
        "{refused:?}"
    );
    // Bisection reaches all of them.
    let all = StepRule::monotone(Range::new(-(1 << 62), 1 << 62), None, |v| {
        i64::from(v >= 77)
    });
    assert_eq!(all.pieces(), [(-(1 << 62), 0), (77, 1)]);
}

#[test]
fn records_what_is_assumed_and_no_more() {
    let (mut collector, x) = with_inputs(2, 0, 9);
    let cx = collector.node(4);
    let sums = || forms(&[(&[(0, 1), (1, 1)], 0), (&[(0, 1)], 0)]);
    let said = cx
        .assume_within("test", &x, sums(), Range::new(0, 18), "it is so")
        .unwrap();
    assert_eq!(cx.assumptions().count(), 0, "intervals say as much");
    let less = cx
        .assume_within("test", &x, sums(), Range::new(-5, 17), "it is so")
        .unwrap();
    let made: Vec<_> = cx.assumptions().cloned().collect();
    let expected = Assumption {
        op: "test",
        node: 4,
        map: 1,
        range: Range::new(-5, 17),
        forms: 1,
        reason: "it is so",
    };
    assert_eq!(made, [expected]);
    assert_eq!(cx.range_of("test", said[0]), Ok(Range::new(0, 18)));
    assert_eq!(cx.range_of("test", less[0]), Ok(Range::new(0, 17)));
    assert_eq!(cx.range_of("test", less[1]), Ok(Range::new(0, 9)));
    // A form of the form is one of cells, and knows nothing of it.
    let twice = cx.linear("test", &less, forms(&[(&[(0, 2)], 0)])).unwrap();
    assert_eq!(cx.range_of("test", twice[0]), Ok(Range::new(0, 36)));
    let range = Range::new(10, 12);
    let refused = cx.assume_within("test", &x, sums(), range, "it is not so");
    assert_eq!(refused, Err(LowerError::Excluded { op: "test", range }));
    // One value is left of each.
    let one = cx
        .assume_within("test", &x, sums(), Range::new(9, 9), "it is so")
        .unwrap();
    assert_eq!(cx.range_of("test", one[0]), Ok(Range::new(9, 9)));
    assert_eq!(cx.assumptions().last().map(|a| a.forms), Some(2));
}

#[test]
fn accepts_a_table_of_one_argument() {
    let one = StepRule::table(Range::new(3, 3), |v| 2 * v).unwrap();
    assert_eq!(one.pieces(), [(3, 6)]);
    assert_eq!((one.eval(3), one.outputs()), (Ok(6), Range::new(6, 6)));
}

#[test]
fn rejects_pieces_that_do_not_partition_the_domain() {
    let domain = Range::new(0, 9);
    let refused = Err(StepError::Pieces { lo: 0, hi: 9 });
    for pieces in [
        vec![],
        vec![(1, 5)],
        vec![(0, 5), (4, 6), (4, 7)],
        vec![(0, 5), (6, 6), (4, 7)],
        vec![(0, 5), (4, 5)],
        vec![(0, 5), (10, 6)],
    ] {
        assert_eq!(StepRule::from_pieces(domain, pieces), refused);
    }
    let rule = StepRule::from_pieces(domain, vec![(0, 5), (9, 6)]).unwrap();
    assert_eq!((rule.eval(8), rule.eval(9)), (Ok(5), Ok(6)));
    assert_eq!(rule.outputs(), Range::new(5, 6));
    let long = StepRule::table(Range::new(0, 1 << 22), |v| v);
    assert!(matches!(long, Err(StepError::TooLong { .. })));
    let all = StepRule::table(Range::new(i64::MIN, i64::MAX), |v| v);
    assert!(matches!(all, Err(StepError::TooLong { .. })));
    assert!(StepRule::table(Range::new(1, 0), |v| v).is_err());
}

/// The blocks of four elements that `f` has been applied to, and then the largest of.
fn pooled(
    f: impl Fn(i64) -> i64,
    change: impl FnOnce(&mut Collector, &Wires) -> Wires,
) -> Lowering {
    let (mut collector, x) = with_inputs(4, 0, 15);
    let cx = collector.node(0);
    let y = cx.steps(&x, rule(0, 15, f), |_| 0).unwrap();
    let mut out = cx.max("test", vec![y.clone()]).unwrap();
    out.extend(change(&mut collector, &y));
    collector.finish(out.iter()).unwrap()
}

fn is_pooled(lowering: &Lowering) -> bool {
    let max = |b: &Block| matches!(b, Block::Max { .. });
    !lowering.blocks().iter().any(max)
}

#[test]
fn moves_maxima_before_steps_where_that_is_exact() {
    let nothing = |_: &mut Collector, _: &Wires| Wires::new();
    let steps = pooled(|v| v / 3, nothing);
    assert!(is_pooled(&steps));
    assert_eq!(steps.vars().len(), 5, "the cells of single steps are gone");
    let gone = steps.renumbered(Wire::Cell(VarId(5)));
    assert!(
        matches!(gone, Err(LowerError::NoSuchElement { .. })),
        "{gone:?}"
    );
    assert_eq!(
        steps.renumbered(Wire::Cell(VarId(8))),
        Ok(Wire::Cell(VarId(4)))
    );
}

#[test]
fn keeps_maxima_of_functions_that_fall() {
    let nothing = |_: &mut Collector, _: &Wires| Wires::new();
    assert!(!is_pooled(&pooled(|v| v * 7 % 16, nothing)));
    assert!(!is_pooled(&pooled(|v| 15 - v, nothing)));
    // It falls once, by one.
    assert!(!is_pooled(&pooled(
        |v| if v == 15 { 6 } else { v / 2 },
        nothing
    )));
}

#[test]
fn keeps_maxima_of_elements_that_others_read() {
    let output = |_: &mut Collector, y: &Wires| vec![y[2]];
    assert!(!is_pooled(&pooled(|v| v / 3, output)));
    let sum = |c: &mut Collector, y: &Wires| {
        c.node(0)
            .linear("test", y, forms(&[(&[(3, 1)], 0)]))
            .unwrap()
    };
    assert!(!is_pooled(&pooled(|v| v / 3, sum)));
    let twice =
        |c: &mut Collector, y: &Wires| c.node(0).max("test", vec![y[..2].to_vec()]).unwrap();
    assert!(!is_pooled(&pooled(|v| v / 3, twice)));
}

#[test]
fn keeps_maxima_over_different_functions_and_blocks() {
    let (mut collector, x) = with_inputs(4, 0, 15);
    let cx = collector.node(0);
    let rules: Vec<_> = [3, 4].map(|by| rule(0, 15, move |v| v / by)).concat();
    let y = cx.steps(&x, rules, |i| i % 2).unwrap();
    let out = cx.max("test", vec![y]).unwrap();
    assert!(!is_pooled(&collector.finish(out.iter()).unwrap()));

    let (mut collector, x) = with_inputs(4, 0, 15);
    let cx = collector.node(0);
    let mut y = cx.steps(&x[..2], rule(0, 15, |v| v / 3), |_| 0).unwrap();
    y.extend(cx.steps(&x[2..], rule(0, 15, |v| v / 3), |_| 0).unwrap());
    let out = cx.max("test", vec![y]).unwrap();
    assert!(!is_pooled(&collector.finish(out.iter()).unwrap()));

    // A pooled step is not pooled again, and an input has no step.
    let (mut collector, x) = with_inputs(4, 0, 15);
    let out = collector.node(0).max("test", vec![x]).unwrap();
    assert!(!is_pooled(&collector.finish(out.iter()).unwrap()));
}

#[test]
fn bounds_of_maxima_and_floors() {
    let (mut collector, x) = with_inputs(6, -3, 9);
    let cx = collector.node(0);
    let high = cx.steps(&x[..1], rule(-3, 9, |v| v + 10), |_| 0).unwrap();
    let largest = cx
        .max("test", vec![vec![x[1], high[0]], x.clone()])
        .unwrap();
    assert_eq!(cx.range_of("test", largest[0]), Ok(Range::new(7, 19)));
    assert_eq!(cx.range_of("test", largest[1]), Ok(Range::new(-3, 9)));
    let Wire::Cell(top) = largest[0] else {
        panic!("a maximum is a cell");
    };
    assert_eq!(cx.var(top).offset, -3, "the lowest of the offsets");
    let floor = |cx: &mut Lowering, c| cx.max("test", vec![vec![x[0], Wire::Const(c)]]).unwrap()[0];
    assert_eq!(floor(cx, -3), x[0]);
    let raised = floor(cx, -2);
    assert_eq!(cx.range_of("test", raised), Ok(Range::new(-2, 9)));
    let constants = cx.max("test", vec![vec![Wire::Const(4), Wire::Const(6)]]);
    assert_eq!(constants, Ok(vec![Wire::Const(6)]));
}

#[test]
fn rejects_maxima_of_sums_that_lie_far_apart() {
    let (mut collector, x) = with_inputs(2, 0, 1);
    let cx = collector.node(0);
    let apart = |cx: &mut Lowering, hi: i64| {
        let sums = cx.linear(
            "test",
            &x,
            forms(&[(&[(0, 1)], -(1 << 11)), (&[(1, 1)], hi)]),
        );
        cx.max("test", vec![sums.unwrap()])
    };
    assert!(apart(cx, (1 << 11) - 1).is_ok());
    let refused = Err(LowerError::NotRequantized { op: "test" });
    assert_eq!(apart(cx, 1 << 11), refused);
    let at = |cx: &mut Lowering, constant: i64| {
        let sums = cx.linear(
            "test",
            &x,
            forms(&[(&[(0, 1)], constant), (&[(1, 1)], constant)]),
        );
        cx.max("test", vec![sums.unwrap()])
    };
    assert!(at(cx, (1 << 12) - 1).is_ok());
    assert_eq!(at(cx, 1 << 12), refused);
    assert!(at(cx, -(1 << 12)).is_ok());
    assert_eq!(at(cx, -(1 << 12) - 1), refused);
}

#[test]
fn counts_cells_from_zero_or_from_their_lowest_value() {
    let (mut collector, x) = with_inputs(1, 0, 9);
    let cx = collector.node(0);
    for (by, offset) in [(3, 0), (0, 0), (-3, -3)] {
        let y = cx.steps(&x, rule(0, 9, |v| v + by), |_| 0).unwrap();
        let Wire::Cell(cell) = y[0] else {
            panic!("a step is a cell");
        };
        assert_eq!(cx.var(cell).offset, offset);
    }
}

#[test]
fn forms_of_forms_keep_the_factors_of_constants() {
    let (mut collector, x) = with_inputs(1, 0, 9);
    let cx = collector.node(0);
    let sum = cx.linear("test", &x, forms(&[(&[(0, 2)], 1)])).unwrap();
    let both = [sum[0], Wire::Const(5)];
    let outer = cx
        .linear("test", &both, forms(&[(&[(0, 3), (1, -7)], 4)]))
        .unwrap();
    assert_eq!(cx.range_of("test", outer[0]), Ok(Range::new(-28, 26)));
}
