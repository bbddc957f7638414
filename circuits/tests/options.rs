//! What the planner is asked to make small gets smaller, and what cannot be placed is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use common::{Model, Random, Stack};
use zkonnx_circuits::chips::{Check, Guests, Shape};
use zkonnx_circuits::plan::cost::Cost;
use zkonnx_circuits::plan::{Objective, PlanError, PlanOptions, place_shape, plan};
use zkonnx_circuits::program::Range;

fn model() -> Model {
    let mut r = Random::new(4);
    let mut stack = Stack::new(200, Range::new(0, 255));
    stack.dense(&mut r, 60, true);
    stack.dense(&mut r, 20, false);
    stack.finish()
}

fn planned(options: &PlanOptions) -> Result<Cost, PlanError> {
    let model = model();
    plan(&model.lowering, &model.public, model.elements, options).map(|(_, cost)| cost)
}

#[test]
fn each_objective_is_best_at_its_own() {
    let of = |objective| {
        let options = PlanOptions {
            objective,
            max_k: 12,
            ..PlanOptions::default()
        };
        planned(&options).unwrap()
    };
    let prover = of(Objective::Prover);
    assert!(of(Objective::ProofSize).proof_bytes <= prover.proof_bytes);
    assert!(of(Objective::Verifier).verify_cpu_s <= prover.verify_cpu_s);
    assert!(of(Objective::Memory).memory_bytes <= prover.memory_bytes);
    assert!(prover.prove_cpu_s <= of(Objective::ProofSize).prove_cpu_s);
}

#[test]
fn the_length_of_the_proof_is_a_hard_limit() {
    let options = PlanOptions {
        max_proof_bytes: 7_000,
        ..PlanOptions::default()
    };
    assert!(planned(&options).unwrap().proof_bytes <= 7_000);
}

#[test]
fn rejects_what_does_not_fit_and_names_the_layer() {
    let options = PlanOptions {
        max_proof_bytes: 1_000,
        ..PlanOptions::default()
    };
    let error = planned(&options).unwrap_err();
    assert!(
        matches!(
            error,
            PlanError::NoShape {
                node: Some(0),
                ended: false,
                ..
            }
        ),
        "{error}"
    );
}

/// With too few rows the error says how many the model needs, and they are about what it takes where there are enough.
#[test]
fn rejects_too_many_rows_and_says_by_how_much() {
    let mut r = Random::new(5);
    let mut stack = Stack::new(64, Range::new(0, 255));
    stack.dense(&mut r, 6_000, false);
    stack.dense(&mut r, 10, false);
    let model = stack.finish();
    let plan_in = |max_k| {
        let options = PlanOptions {
            max_k,
            max_proof_bytes: 8_000,
            ..PlanOptions::default()
        };
        plan(&model.lowering, &model.public, model.elements, &options)
    };
    let layout = plan_in(15).unwrap().0;
    let error = plan_in(layout.shape.k - 1).unwrap_err();
    let PlanError::NoShape {
        nearest: Some((rows, usable)),
        ended: false,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(rows > usable && rows < 4 * usable, "{error}");
    let percent = (100 * (rows - usable)).div_ceil(usable);
    assert!(
        error.to_string().contains(&format!("{percent} % too many")),
        "{error}"
    );
}

#[test]
fn rejects_tables_that_do_not_fit_and_says_so() {
    let model = model();
    let options = PlanOptions {
        max_k: 6,
        ..PlanOptions::default()
    };
    let error = plan(&model.lowering, &model.public, model.elements, &options).unwrap_err();
    assert!(
        matches!(error, PlanError::NoShape { nearest: None, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("tables"), "{error}");
}

/// Inputs that are no bytes, or steps, whose table stands in a bank that no unit reads: shapes come from files too.
#[test]
fn rejects_shapes_without_a_unit_for_a_bank() {
    let mut r = Random::new(6);
    // The values from 0 to 255 take more rows than the inputs, so that these have the second bank.
    let mut stack = Stack::new(10, Range::new(3, 90));
    stack.dense(&mut r, 4, false);
    let model = stack.finish();
    let place = |unit_banks: &[usize]| {
        let shape = Shape {
            k: 11,
            range_bits: 9,
            check: Check::Limbs(2),
            unit_banks: unit_banks.to_vec(),
            banks: 2,
            maxima: 0,
            max_limbs: 1,
            max_top: false,
            shared_slots: false,
            guests: Guests::None,
            bytes: 0,
            plain: 6,
            accumulators: 2,
        };
        place_shape(&model.lowering, &model.public, model.elements, &shape)
    };
    assert!(place(&[0, 1]).is_ok());
    assert_eq!(place(&[0, 0]), Err(PlanError::NoUnit { bank: 1 }));
    assert!(matches!(
        place(&[1, 1]),
        Err(PlanError::TooManyRows {
            rows: usize::MAX,
            ..
        } | PlanError::NoUnit { bank: 0 })
    ));
}
