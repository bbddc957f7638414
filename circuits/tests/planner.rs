//! The planner takes layer stacks that nobody tuned it for, and MockProver accepts what it makes of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::Arc;

use common::{Random, Stack, assert_pinned, digest, mock_accepts, random_stack};
use zkonnx_circuits::chips::{Check, Chips, Guests, Shape};
use zkonnx_circuits::circuit::Assembly;
use zkonnx_circuits::plan::{PlanError, PlanOptions, place_shape, plan};
use zkonnx_circuits::program::Range;
use zkonnx_circuits::testing::Checker;

#[test]
fn plans_two_hundred_stacks_that_it_was_never_tuned_for() {
    for seed in 1..=200 {
        let model = random_stack(seed);
        let options = PlanOptions::default();
        let (layout, cost) = plan(&model.lowering, &model.public, model.elements, &options)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(cost.proof_bytes <= options.max_proof_bytes, "seed {seed}");
        assert!(cost.memory_bytes < 500 << 20, "seed {seed}");
        let assembly = Arc::new(Assembly::new(layout).unwrap());
        let (_, witness, instance) = model.solve(&assembly.layout, &mut Random::new(seed));
        let advice = witness.advice(&assembly.layout, &instance);
        let violated = Checker::new(&assembly).violated_anywhere(&advice, &instance);
        assert!(violated.is_empty(), "seed {seed}: {violated:?}");
        // MockProver is the independent judge, and a slow one.
        if seed % 4 == 0 {
            assert!(mock_accepts(&assembly, advice, &instance), "seed {seed}");
        }
    }
}

#[test]
fn planning_is_a_function_of_the_model() {
    for seed in [3, 8, 21] {
        let layouts: Vec<_> = (0..2)
            .map(|_| {
                let model = random_stack(seed);
                std::thread::spawn(move || {
                    plan(
                        &model.lowering,
                        &model.public,
                        model.elements,
                        &PlanOptions::default(),
                    )
                    .unwrap()
                    .0
                })
                .join()
                .unwrap()
            })
            .collect::<Vec<_>>();
        assert_eq!(layouts[0], layouts[1]);
    }
}

/// The search ends at its count of steps with the best plan so far, and that plan is as good a circuit as any.
#[test]
fn a_search_that_is_cut_short_ends_with_a_valid_plan() {
    let mut cut_short = 0;
    for seed in [1, 3, 8, 13, 21] {
        let model = random_stack(seed);
        let plan_in = |search_steps: u64| {
            let options = PlanOptions {
                search_steps,
                ..PlanOptions::default()
            };
            plan(&model.lowering, &model.public, model.elements, &options)
        };
        let (whole, best) = plan_in(PlanOptions::default().search_steps).unwrap();
        for steps in [10_000, 100_000, 1_000_000] {
            match plan_in(steps) {
                Ok((layout, cost)) => {
                    assert!(cost.prove_cpu_s >= 0.9 * best.prove_cpu_s, "seed {seed}");
                    cut_short += usize::from(layout != whole);
                    assert_eq!(plan_in(steps).unwrap().0, layout, "seed {seed}");
                    let assembly = Assembly::new(layout).unwrap();
                    let (_, witness, instance) =
                        model.solve(&assembly.layout, &mut Random::new(seed));
                    let advice = witness.advice(&assembly.layout, &instance);
                    let violated = Checker::new(&assembly).violated_anywhere(&advice, &instance);
                    assert!(violated.is_empty(), "seed {seed}: {violated:?}");
                }
                Err(error) => {
                    assert!(
                        matches!(error, PlanError::NoShape { ended: true, .. }),
                        "{error}"
                    );
                }
            }
        }
    }
    assert!(
        cut_short > 0,
        "some plans are others than those of a whole search"
    );
}

/// A shape that no search would choose.
fn random_shape(r: &mut Random) -> Shape {
    let guests = [Guests::None, Guests::Values, Guests::Starts, Guests::All];
    let limbs = r.between(0, 3) as usize;
    let units = r.between(1, 9) as usize;
    let banks = r.between(1, 1.max(units as i64 / 2)) as usize;
    Shape {
        k: 13,
        range_bits: r.between(8, 12) as u32,
        check: match limbs {
            0 => Check::Width(r.between(20, 120) as u32),
            limbs => Check::Limbs(limbs),
        },
        unit_banks: (0..units).map(|u| u % banks).collect(),
        banks,
        maxima: r.between(1, 4) as usize,
        max_limbs: 4,
        max_top: true,
        shared_slots: limbs > 0 && r.between(0, 1) == 1,
        guests: guests[r.between(0, 3) as usize],
        bytes: r.between(1, 4) as usize,
        plain: r.between(1, 9) as usize,
        accumulators: r.between(2, 9) as usize,
    }
}

/// Either the placement says why it cannot, or every copy has its place and the honest witness satisfies all
/// constraints.
#[test]
fn places_models_in_any_shape() {
    let mut placed = 0;
    for seed in 0..240 {
        let mut r = Random::new(seed);
        let model = random_stack(1000 + seed % 24);
        let shape = random_shape(&mut r);
        let layout = place_shape(&model.lowering, &model.public, model.elements, &shape);
        let layout = match layout {
            Ok(layout) => layout,
            Err(PlanError::TooManyRows { .. } | PlanError::NoTables { .. }) => continue,
            Err(error) => panic!("seed {seed}: {error} in {shape:?}"),
        };
        placed += 1;
        let assembly = Assembly::new(layout).unwrap();
        let (_, witness, instance) = model.solve(&assembly.layout, &mut r);
        let advice = witness.advice(&assembly.layout, &instance);
        let violated = Checker::new(&assembly).violated_anywhere(&advice, &instance);
        assert!(
            violated.is_empty(),
            "seed {seed}: {violated:?} in {shape:?}"
        );
    }
    assert!(placed > 100, "{placed}");
}

/// All of a value, in a few letters.
/// A plan decides the verifying key, so none changes unnoticed, neither for the better nor for the worse.
#[test]
fn plans_are_those_that_are_pinned() {
    use zkonnx_circuits::plan::Objective::{Memory, ProofSize, Prover, Verifier};
    let mut lines = Vec::new();
    for seed in [3, 8, 17, 21, 33, 40, 52, 64] {
        let model = random_stack(seed);
        for objective in [Prover, Verifier, ProofSize, Memory] {
            let options = PlanOptions {
                objective,
                ..PlanOptions::default()
            };
            let planned = plan(&model.lowering, &model.public, model.elements, &options);
            let (layout, cost) = planned.unwrap();
            let (k, columns) = (layout.shape.k, layout.shape.advice_columns());
            let digest = digest(&layout);
            lines.push(format!(
                "{seed} {objective:?} k={k} columns={columns} rows={} table={} {digest} {cost:?}",
                layout.rows.len(),
                layout.table_rows(),
            ));
        }
    }
    assert_pinned("plans.txt", &lines);
}

/// The same for placements in shapes that somebody else chose, and for what these are refused with.
#[test]
fn placements_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for seed in 0..48 {
        let mut r = Random::new(seed);
        let model = random_stack(1000 + seed % 24);
        let shape = random_shape(&mut r);
        let placed = place_shape(&model.lowering, &model.public, model.elements, &shape);
        lines.push(match placed {
            Ok(layout) => format!("{seed} rows={} {}", layout.rows.len(), digest(&layout)),
            Err(error) => format!("{seed} {error}"),
        });
    }
    assert_pinned("placements.txt", &lines);
}

/// The constraint system of a shape, and what its columns are for.
#[test]
fn constraint_systems_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for seed in 0..48 {
        let shape = random_shape(&mut Random::new(seed));
        let chips = Chips::new(&shape);
        let columns: Vec<_> = chips.table_columns().collect();
        lines.push(format!(
            "{seed} advice={} fixed={} permuted={} weights={} step={} table={} {} {}",
            shape.advice_columns(),
            chips.cs.num_fixed,
            shape.permuted_columns().len(),
            shape.weights(),
            shape.max_step_width(),
            shape.table_capacity(),
            digest(&columns),
            digest(&chips),
        ));
    }
    assert_pinned("constraints.txt", &lines);
}

/// Shapes come from files too: one without the slots that a model needs is refused.
#[test]
fn rejects_shapes_without_slots() {
    let mut r = Random::new(3);
    let mut stack = Stack::new(16, Range::new(0, 255));
    stack.conv(&mut r, 1, 2, 3, true);
    stack.overlapping_max(2);
    let model = stack.finish();
    let shape = Shape {
        k: 12,
        range_bits: 9,
        check: Check::Limbs(2),
        unit_banks: vec![0, 0],
        banks: 1,
        maxima: 2,
        max_limbs: 4,
        max_top: true,
        shared_slots: false,
        guests: Guests::None,
        bytes: 2,
        plain: 6,
        accumulators: 4,
    };
    let place = |shape: Shape| place_shape(&model.lowering, &model.public, model.elements, &shape);
    assert!(place(shape.clone()).is_ok());
    let none = Shape {
        maxima: 0,
        ..shape.clone()
    };
    assert!(matches!(place(none), Err(PlanError::NoSlot { .. })));
    let no_top = Shape {
        max_top: false,
        ..shape
    };
    assert!(matches!(place(no_top), Err(PlanError::NoSlot { .. })));
}

/// The node of an error is what a message names.
#[test]
fn errors_of_a_node_say_which() {
    let of_node = [
        PlanError::WideMaximum { node: 7, bits: 8 },
        PlanError::NoRoom { node: 7 },
        PlanError::NoSlot { node: 7 },
        PlanError::NoByte { node: 7 },
    ];
    assert!(of_node.iter().all(|error| error.node() == Some(7)));
    assert_eq!(PlanError::NoUnit { bank: 7 }.node(), None);
}
