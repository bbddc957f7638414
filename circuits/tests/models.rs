//! The models of `models/`: circuits that MockProver accepts, and lies about them that are rejected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::path::PathBuf;
use std::sync::Arc;

use halo2_proofs::dev::MockProver;
use zkonnx_circuits::circuit::with_chips;
use zkonnx_circuits::compile::{Compiled, Inference, compile, compile_with_shape};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::Tensor;
use zkonnx_circuits::testing::Mutator;
use zkonnx_onnx::{ImportError, import};
use zkonnx_verifier::InputVisibility;

/// Two forms of each model: thresholds of one table, and of channels that share tables.
const MODELS: [&str; 9] = [
    "digits_mlp/qdq_u8s8_per_tensor",
    "digits_mlp/qoperator_s8s8_per_channel",
    "digits_cnn/qdq_u8s8_per_tensor",
    "digits_cnn/qoperator_u8u8_per_channel",
    "digits_res/qoperator_u8s8_per_tensor",
    "cancer_mlp/qdq_s8s8_per_tensor",
    "cancer_mlp/qoperator_u8s8_per_channel",
    "two_io/qdq_u8u8_per_tensor",
    "two_io/qoperator_s8s8_per_channel",
];

fn compiled(name: &str, visibility: InputVisibility) -> Compiled {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../models")
        .join(name);
    let bytes = std::fs::read(path.with_extension("onnx")).expect("the model is committed");
    let program = Arc::new(import(&bytes).expect("the model is supported").program);
    compile(program, visibility, &PlanOptions::default()).expect("the model has a circuit")
}

/// Inputs that reach all values of their type, the same on every run.
fn inference(compiled: &Compiled, seed: u64) -> Inference {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let program = &compiled.program;
    let inputs: Vec<Tensor> = program
        .inputs()
        .iter()
        .map(|port| {
            let fact = program.fact(port.tensor);
            let span = (fact.range.hi - fact.range.lo + 1) as u64;
            let values = (0..fact.len()).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                fact.range.lo + ((state >> 8) % span) as i64
            });
            Tensor::new(fact.dtype, fact.shape.clone(), values.collect())
        })
        .collect();
    compiled
        .infer(&inputs, [7; 32])
        .expect("the inputs are in range")
}

#[test]
fn mock_prover_accepts_every_model() {
    for name in MODELS {
        let compiled = compiled(name, InputVisibility::Public);
        let inference = inference(&compiled, 1);
        let k = compiled.assembly.layout.shape.k;
        let accepted = with_chips(&compiled.assembly.chips, || {
            let circuit = compiled.circuit(&inference);
            let prover = MockProver::run(k, &circuit, vec![inference.instance.clone()]).unwrap();
            prover.verify().is_ok()
        });
        assert!(accepted, "{name}");
    }
}

#[test]
fn rejects_a_sample_of_lies_about_every_model() {
    let mut total = 0;
    for name in MODELS {
        for visibility in [InputVisibility::Public, InputVisibility::Private] {
            let compiled = compiled(name, visibility);
            let inference = inference(&compiled, 2);
            let mutator = Mutator::new(
                &compiled.lowering,
                &compiled.assembly,
                &inference.inputs,
                inference.witness.clone(),
                &inference.instance,
            );
            assert!(mutator.honest_violations().is_empty(), "{name}");
            assert!(mutator.noise_violations(1).is_empty(), "{name}");
            let score = mutator.score(mutator.sample(1000, 3));
            assert_eq!(score.mutants, 1000, "{name}");
            let survivors = &score.survivors[..score.survivors.len().min(3)];
            assert_eq!(
                score.percent(),
                100.0,
                "{name} {visibility:?}: {survivors:?}"
            );
            total += score.mutants;
        }
    }
    println!("{total} mutants, all rejected");
}

/// Stored keys keep the shape, so that loading them does not repeat the search.
#[test]
fn the_shape_alone_gives_the_same_circuit() {
    for name in MODELS {
        let searched = compiled(name, InputVisibility::Public);
        let shape = &searched.assembly.layout.shape;
        let program = searched.program.clone();
        let placed = compile_with_shape(program, InputVisibility::Public, shape).unwrap();
        assert_eq!(searched.assembly.layout, placed.assembly.layout, "{name}");
    }
}

#[test]
fn layouts_do_not_depend_on_the_thread() {
    let name = "digits_cnn/qdq_u8s8_per_tensor";
    let here = compiled(name, InputVisibility::Public);
    let there = std::thread::spawn(move || compiled(name, InputVisibility::Public))
        .join()
        .unwrap();
    assert_eq!(here.program_id, there.program_id);
    assert_eq!(here.assembly.layout, there.assembly.layout);
    assert_eq!(here.assembly.fixed, there.assembly.fixed);
}

/// A private input leaves no trace in what is public: two inputs with the same output make the same statement.
#[test]
fn private_inputs_with_the_same_output_make_the_same_claim() {
    let compiled = compiled("cancer_mlp/qdq_u8s8_per_tensor", InputVisibility::Private);
    let inferences: Vec<Inference> = (0..400).map(|seed| inference(&compiled, seed)).collect();
    let pair = inferences.iter().enumerate().find_map(|(i, a)| {
        let twin = inferences[..i]
            .iter()
            .find(|b| b.claim.outputs() == a.claim.outputs());
        twin.map(|b| (a, b))
    });
    let (a, b) = pair.expect("two of the inputs have the same output");
    assert_ne!(a.inputs, b.inputs);
    assert_eq!(a.claim, b.claim);
    assert_eq!(a.claim.digest(), b.claim.digest());
    assert_eq!(a.instance, b.instance);
}

/// Both pooling nodes, one behind the other, are of an operator that nobody knows: both are named.
#[test]
fn rejects_unknown_operators_behind_each_other_in_one_report() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../models/digits_cnn/qoperator_u8s8_per_tensor.onnx");
    let mut bytes = std::fs::read(path).expect("the model is committed");
    let known = b"MaxPool";
    let places: Vec<usize> = bytes
        .windows(known.len())
        .enumerate()
        .filter_map(|(at, window)| (window == known).then_some(at))
        .collect();
    assert_eq!(places.len(), 2);
    for at in places {
        bytes[at..at + known.len()].copy_from_slice(b"MaxPoof");
    }
    match import(&bytes) {
        Err(ImportError::Unsupported(problems)) => {
            let nodes: Vec<&str> = problems.iter().map(|p| p.node.as_str()).collect();
            assert_eq!(nodes.len(), 2, "{nodes:?}");
        }
        other => panic!("{other:?}"),
    }
}
