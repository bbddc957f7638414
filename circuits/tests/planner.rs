//! The planner takes layer stacks that nobody tuned it for, and MockProver accepts what it makes of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::Arc;

use common::{Model, Random, Stack, mock_accepts};
use zkonnx_circuits::circuit::Assembly;
use zkonnx_circuits::plan::{PlanOptions, plan};
use zkonnx_circuits::program::Range;
use zkonnx_circuits::testing::Checker;

/// A stack of one to four layers of any kind.
fn random_stack(seed: u64) -> Model {
    let mut r = Random::new(seed);
    let range = [
        Range::new(0, 255),
        Range::new(-128, 127),
        Range::new(0, 1),
        Range::new(3, 90),
    ][r.below(4) as usize];
    let convolutional = r.below(2) == 0;
    let mut stack;
    if convolutional {
        let side = r.between(4, 9) as usize;
        stack = Stack::new(side * side, range);
        let channels = r.between(1, 5) as usize;
        let per_channel = r.below(2) == 0;
        stack.conv(&mut r, 1, channels, 3, per_channel);
        match r.below(4) {
            0 => stack.max(4),
            1 => stack.max(r.between(2, 9) as usize),
            2 => stack.overlapping_max(3),
            _ => {}
        }
    } else {
        stack = Stack::new(r.between(1, 80) as usize, range);
    }
    for _ in 0..r.between(1, 3) {
        match r.below(6) {
            0 => stack.table(&mut r),
            _ => {
                let (outputs, per_channel) = (r.between(1, 40) as usize, r.below(3) == 0);
                stack.dense(&mut r, outputs, per_channel);
            }
        }
    }
    stack.finish()
}

#[test]
fn plans_two_hundred_stacks_that_it_was_never_tuned_for() {
    for seed in 1..=200 {
        let model = random_stack(seed);
        let options = PlanOptions::default();
        let (layout, cost) = plan(&model.lowering, &model.public, model.elements, &options)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(cost.proof_bytes <= options.max_proof_bytes, "seed {seed}");
        assert!(cost.memory_bytes < 500 << 20, "seed {seed}");
        let assembly = Arc::new(Assembly::new(layout));
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
