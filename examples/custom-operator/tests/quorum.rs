//! A model that uses the operator: imported, stored, read again, proved.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::{ops, program::Program};
use zkonnx_custom_operator::{models, programs};
use zkonnx_onnx::{import_with, quantize_input};
use zkonnx_prover::cache::Cache;
use zkonnx_prover::keys::Keys;
use zkonnx_prover::progress::Progress;
use zkonnx_prover::prover::{How, prove};
use zkonnx_verifier::InputVisibility;

const MODEL: &[u8] = include_bytes!("../models/quorum.onnx");

#[test]
fn accepts_without_the_operator_only_what_precedes_it() {
    let op = |imported: zkonnx_onnx::Imported| imported.tail.into_iter().map(|node| node.op);
    let unknown: Vec<String> = op(zkonnx_onnx::import(MODEL).unwrap()).collect();
    assert_eq!(unknown, ["Quorum"]);
    assert_eq!(op(import_with(MODEL, &models()).unwrap()).count(), 0);
}

#[test]
fn accepts_the_program_from_its_bytes() {
    let program = import_with(MODEL, &models()).unwrap().program;
    let bytes = program.encode();
    assert!(Program::decode(&bytes, &ops::registry()).is_err());
    let again = Program::decode(&bytes, &programs()).unwrap();
    assert_eq!(again.id(), program.id());
}

#[test]
fn rejects_an_operator_that_exists() {
    let mut registry = models();
    let taken = zkonnx_onnx::Extension {
        domain: "ai.onnx",
        name: "Conv",
        min_opset: 1,
        max_opset: 30,
        rule: "",
        import: |_, _| Ok(vec![]),
    };
    assert!(!registry.register(taken));
}

#[test]
fn accepts_a_proof_of_the_vote() {
    let program = import_with(MODEL, &models()).unwrap().program;
    let port = &program.inputs()[0];
    let fact = program.fact(port.tensor);
    let samples: Vec<f32> = (0..fact.len()).map(|i| i as f32 * 0.2 - 0.1).collect();
    let input = quantize_input(port, fact, &samples).unwrap();
    let (cache, progress) = (Cache::of_user(), Progress::hidden());
    let keys = Keys::generate(
        Arc::new(program),
        InputVisibility::Public,
        &PlanOptions::default(),
        &cache,
        &progress,
    )
    .unwrap();
    // `prove` verifies the receipt from its bytes.
    let proved = prove(
        &keys,
        &[&[input]],
        &[[0; 32]],
        How::default(),
        &cache,
        &progress,
    )
    .unwrap();
    assert_eq!(proved.receipt.claims().len(), 1);
}

/// The binary of this crate is the whole command line, and each command knows the operator.
#[test]
fn accepts_the_model_in_every_command() {
    let dir = std::env::temp_dir().join(format!("zkonnx-quorum-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/quorum.onnx");
    let program = import_with(MODEL, &models()).unwrap().program;
    let port = &program.inputs()[0];
    let len = program.fact(port.tensor).len();
    let samples: Vec<String> = (0..len)
        .map(|i| format!("{:.1}", i as f32 * 0.2 - 0.1))
        .collect();
    let input = format!("{{\"input_data\": [[{}]]}}", samples.join(","));
    std::fs::write(dir.join("input.json"), input).unwrap();
    let command = |line: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_zkonnx-custom-operator"))
            .args(line.split(' ').map(|word| word.replace("MODEL", model)))
            .current_dir(&dir)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(command("check MODEL --json").contains("\"not_proved\":[]"));
    command("run MODEL --input input.json");
    command("mock MODEL --input input.json");
    command("setup MODEL -o keys");
    assert!(command("inspect keys/program").contains("org.example.quorum"));
    command("prove keys --input input.json -o receipt");
    command("verify receipt --vk keys/vk");
    command("verify receipt --model MODEL");
    std::fs::remove_dir_all(&dir).unwrap();
}
