//! All that equations may say, and what neither the planner nor the circuit takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::Arc;

use common::{Matrix, Model, Random, every_constraint, every_kind};
use ff::Field;
use pasta_curves::Fp;
use zkonnx_circuits::chips::{Check, Guests, Shape};
use zkonnx_circuits::circuit::{Assembly, Witness, WitnessError};
use zkonnx_circuits::lower::{Collector, Operand, StepRule, Wire, Wires};
use zkonnx_circuits::plan::{Layout, PlanError, PlanOptions, PublicElement, place_shape, plan};
use zkonnx_circuits::program::Range;
use zkonnx_circuits::testing::{Mutator, Score};

fn layout_of(model: &Model) -> Layout {
    let options = PlanOptions::default();
    let planned = plan(&model.lowering, &model.public, model.elements, &options);
    planned.unwrap().0
}

/// A model that says all that equations may say: constants among the inputs of a form, cells above a byte, maxima over
/// cells that are counted from different offsets, and sums that are public.
fn every_form() -> Model {
    let range = Range::new(3, 90);
    let mut collector = Collector::new();
    let x = collector.inputs(u32::MAX, 8, range).unwrap();
    let cx = collector.node(0);
    let wide = StepRule::monotone(range, None, |v| 5 * v);
    let wide = cx.steps(&x, vec![Arc::new(wide)], |_| 0).unwrap();
    let shifted = StepRule::monotone(range, None, |v| v - 50);
    let shifted = cx.steps(&x, vec![Arc::new(shifted)], |_| 0).unwrap();
    let read: Vec<Wire> = wide.iter().copied().chain([Wire::Const(11)]).collect();
    let matrix = |rows: Vec<Vec<(usize, i64)>>, constant: i64| Matrix {
        grid: vec![rows.len()],
        constants: vec![constant; rows.len()],
        rows,
    };
    let rows = (0..8).map(|i| vec![(i, 1), (7 - i / 2, 2), (8, 3 + i as i64)]);
    let sums = cx
        .linear("test", &read, Arc::new(matrix(rows.collect(), -40)))
        .unwrap();
    let reach = zkonnx_circuits::ops::reach(cx, "test", &sums).unwrap();
    let small = StepRule::monotone(reach, None, |v| v >> 4);
    let small = cx.steps(&sums, vec![Arc::new(small)], |_| 0).unwrap();
    let pairs = shifted.iter().zip(&small).map(|(&a, &b)| vec![a, b]);
    let largest = cx.max("test", pairs.collect()).unwrap();
    // Largest less a constant that a form reads, as a public value without a cell.
    let read: Vec<Wire> = largest.iter().copied().chain([Wire::Const(2)]).collect();
    let rows = (0..8).map(|i| vec![(i, 1), (8, -1)]).collect();
    let public = cx.linear("test", &read, Arc::new(matrix(rows, 1))).unwrap();
    let lowering = collector.finish(public.iter()).unwrap();
    let moved = public.iter().map(|&w| lowering.renumbered(w).unwrap());
    let element = PublicElement {
        row: 2,
        bits: 8,
        offset: 128,
        values: moved.collect(),
    };
    Model {
        lowering,
        inputs: 8,
        input_range: range,
        public: vec![element],
        elements: 3,
    }
}

/// The instance of a model whose public values are sums of cells.
fn instance_of_sums(model: &Model, witness: &Witness) -> Vec<Fp> {
    let lowering = &model.lowering;
    let mut out = vec![Fp::from(7), Fp::from(9), Fp::ZERO];
    for (place, wire) in model.public[0].values.iter().enumerate() {
        let Wire::Sum { map, index } = *wire else {
            panic!("{wire:?} is no sum");
        };
        let map = &lowering.maps()[map as usize];
        let mut value = map.forms.constant(index as usize);
        map.forms.terms(index as usize, &mut |j, c| {
            value += c * match map.inputs[j] {
                Operand::Cell(v) => witness.vars[v.0 as usize] + lowering.var(v).offset,
                Operand::Const(k) => k,
            };
        });
        let digit = Fp::from((value + 128) as u64);
        out[2] += Fp::from(2).pow_vartime([8 * place as u64]) * digit;
    }
    out
}

/// Inputs are private here, so that one outside of its range is a lie that nothing but its range check rejects.
#[test]
fn rejects_every_lie_about_every_form() {
    let model = every_form();
    let [limbs, shared, widths] = every_constraint();
    let mut score = Score::default();
    // Few rows, and few columns in them that hold more than a byte.
    let tight = Shape {
        unit_banks: vec![0, 1, 0, 1, 0, 1, 0, 1],
        accumulators: 4,
        bytes: 6,
        plain: 1,
        guests: Guests::None,
        ..limbs.clone()
    };
    for shape in [limbs, shared, widths, tight] {
        let shape = Shape {
            range_bits: 10,
            ..shape
        };
        let layout = place_shape(&model.lowering, &model.public, model.elements, &shape).unwrap();
        let assembly = Assembly::new(layout).unwrap();
        let inputs = model.random_inputs(&mut Random::new(5));
        let witness = Witness::solve(&model.lowering, &assembly.layout, &inputs).unwrap();
        let instance = instance_of_sums(&model, &witness);
        let mutator = Mutator::new(&model.lowering, &assembly, &inputs, witness, &instance);
        let honest = mutator.honest_violations();
        assert!(honest.is_empty(), "{honest:?}");
        assert!(mutator.noise_violations(1).is_empty());
        score = mutator.run(1);
        let survivors = &score.survivors[..score.survivors.len().min(3)];
        assert!(survivors.is_empty(), "{survivors:?}");
    }
    assert!(score.mutants > 1000);
}

/// Maxima of values that a limb does not hold are refused.
#[test]
fn rejects_maxima_that_are_wider_than_a_limb() {
    let range = Range::new(0, 255);
    let place = |factor: i64| {
        let mut collector = Collector::new();
        let x = collector.inputs(u32::MAX, 8, range).unwrap();
        let cx = collector.node(0);
        let wide = StepRule::monotone(range, None, |v| v * factor);
        let wide = cx.steps(&x, vec![Arc::new(wide)], |_| 0).unwrap();
        // Overlapping windows stay behind the steps.
        let windows = wide.windows(2).map(<[Wire]>::to_vec).collect();
        cx.max("test", windows).unwrap();
        let lowering = collector.finish(x.iter()).unwrap();
        let element = PublicElement {
            row: 2,
            bits: 8,
            offset: 0,
            values: x,
        };
        let [shape, ..] = every_constraint();
        place_shape(&lowering, &[element], 3, &shape)
    };
    assert!(place(2).is_ok(), "510 takes 9 bits");
    let refused = place(3).unwrap_err();
    assert!(
        matches!(refused, PlanError::WideMaximum { bits: 9, .. }),
        "{refused}"
    );
}

/// Scales of channels become multipliers of one table, which the constants of the forms are multiplied with too.
#[test]
fn accepts_constants_under_multipliers() {
    let range = Range::new(0, 255);
    let mut collector = Collector::new();
    let x = collector.inputs(u32::MAX, 8, range).unwrap();
    let cx = collector.node(0);
    let scales: Vec<i64> = (0..14).map(|c| 8_400_000 + 543_217 * c).collect();
    let weight = |c: usize, j: usize| ((c * 5 + j * 7) % 23) as i64 - 9;
    let row = |c: usize| (0..8).map(move |j| (j, weight(c, j))).filter(|t| t.1 != 0);
    let matrix = Matrix {
        grid: vec![scales.len()],
        rows: (0..scales.len()).map(|c| row(c).collect()).collect(),
        constants: (0..scales.len()).map(|c| 777 * c as i64 - 1500).collect(),
    };
    let sums = cx.linear("test", &x, Arc::new(matrix)).unwrap();
    let reach = zkonnx_circuits::ops::reach(cx, "test", &sums).unwrap();
    let rule = |m: i64| {
        let f = move |v: i64| ((v * m) >> 30).clamp(0, 255);
        Arc::new(StepRule::monotone(reach, Some((m as u32, -30)), f))
    };
    let y = cx
        .steps(&sums, scales.iter().copied().map(rule).collect(), |c| c)
        .unwrap();
    let element = |(values, row): (&Wires, u32)| PublicElement {
        row,
        bits: 8,
        offset: 0,
        values: values.clone(),
    };
    let model = Model {
        public: [&x, &y].into_iter().zip(2..).map(element).collect(),
        lowering: collector.finish(x.iter().chain(&y)).unwrap(),
        inputs: 8,
        input_range: range,
        elements: 4,
    };
    // There is no room for a table of each channel.
    let [shape, ..] = every_constraint();
    let shape = Shape {
        check: Check::Limbs(3),
        unit_banks: vec![0, 0],
        banks: 1,
        ..shape
    };
    let layout = place_shape(&model.lowering, &model.public, model.elements, &shape);
    let assembly = Assembly::new(layout.unwrap()).unwrap();
    let mut steps = assembly.layout.steps.iter();
    assert!(steps.any(|step| step.multiplier > 1), "no table is shared");
    let (inputs, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
    let mutator = Mutator::new(&model.lowering, &assembly, &inputs, witness, &instance);
    assert!(mutator.honest_violations().is_empty());
    assert_eq!(mutator.run(1).percent(), 100.0);
}

#[test]
fn rejects_weights_without_a_column() {
    let model = every_kind();
    let mut layout = layout_of(&model);
    let terms = 0..layout.shape.terms();
    let pairs = (0..layout.shape.accumulators).flat_map(|g| terms.clone().map(move |l| (g, l)));
    let missing = pairs.clone().find(|&(g, l)| !layout.shape.weighs(g, l));
    let beyond = (0, layout.shape.terms());
    for (accumulator, term) in missing.into_iter().chain([beyond]) {
        let whole = layout.rows[3].weights.clone();
        layout.rows[3]
            .weights
            .push((accumulator as u32, term as u32, Fp::ONE));
        let refused = Assembly::new(layout.clone()).unwrap_err();
        assert_eq!(refused, PlanError::NoWeight { accumulator, term });
        assert!(refused.is_internal());
        layout.rows[3].weights = whole;
    }
    assert!(Assembly::new(layout).is_ok());
}

#[test]
fn rejects_inputs_that_are_not_of_the_model() {
    let model = every_kind();
    let assembly = Assembly::new(layout_of(&model)).unwrap();
    let solve = |inputs: &[i64]| Witness::solve(&model.lowering, &assembly.layout, inputs);
    let mut inputs = vec![255; model.inputs];
    assert!(solve(&inputs).is_ok());
    let (expected, got) = (model.inputs, model.inputs - 1);
    let short = solve(&inputs[1..]);
    assert_eq!(short, Err(WitnessError::InputCount { expected, got }));
    for value in [-1, 256] {
        inputs[7] = value;
        let node = u32::MAX;
        assert_eq!(solve(&inputs), Err(WitnessError::Range { node, value }));
    }
}
