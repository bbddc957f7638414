//! The keys and proofs of real models are those of `halo2_proofs`, byte for byte.

use rand::SeedableRng;
use rand::rngs::StdRng;
use zkonnx_onnx::Bindings;
use zkonnx_prover::backend;
use zkonnx_prover::cache::Cache;
use zkonnx_prover::input::{Meaning, Samples, read_inputs};
use zkonnx_prover::keys::Keys;
use zkonnx_prover::model::Model;
use zkonnx_prover::progress::Progress;
use zkonnx_tests::model;
use zkonnx_verifier::InputVisibility::{self, Private, Public};

/// Proves the first samples of a test split with both provers and one seed.
fn check(name: &str, samples: &str, visibility: InputVisibility, count: usize) {
    let (cache, progress) = (Cache::none(), Progress::hidden());
    let imported = Model::load(&model(name), &Bindings::default()).unwrap();
    let keys = Keys::generate(
        imported.program.clone(),
        visibility,
        &zkonnx_circuits::plan::PlanOptions::default(),
        &cache,
        &progress,
    )
    .unwrap();
    let names: Vec<&str> = imported
        .program
        .inputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    let inputs = read_inputs(&model(samples), &names).unwrap();
    let samples = Samples::new(&imported.program, inputs, Meaning::Model).unwrap();
    let inferences: Vec<_> = samples
        .iter()
        .take(count)
        .map(|sample| keys.compiled.infer(sample, [7; 32]).unwrap())
        .collect();
    let seed = || StdRng::seed_from_u64(1);
    let stock = backend::prove_stock(&keys.params, &keys.compiled, &inferences, seed()).unwrap();
    let text = String::from_utf8(keys.verifying.circuit().pinned_text()).unwrap();
    assert!(text == stock.pinned, "{name}: the keys differ");
    let own = backend::prove(
        &keys.params,
        &keys.proving,
        &keys.compiled,
        &inferences,
        seed(),
        zkonnx_engine::Options::default(),
    );
    assert!(own.unwrap() == stock.proof, "{name}: the proofs differ");
}

#[test]
fn accepts_the_stock_prover_s_bytes() {
    check(
        "digits_mlp/qdq_u8s8_per_tensor.onnx",
        "digits_mlp/samples.npz",
        Public,
        1,
    );
    check(
        "digits_mlp/qoperator_u8s8_per_channel.onnx",
        "digits_mlp/samples.npz",
        Private,
        2,
    );
    check(
        "digits_cnn/qdq_u8s8_per_tensor.onnx",
        "digits_cnn/samples.npz",
        Public,
        1,
    );
    check(
        "two_io/qdq_s8s8_per_tensor.onnx",
        "two_io/samples.npz",
        Public,
        3,
    );
    check(
        "digits_res/qoperator_u8u8_per_tensor.onnx",
        "digits_res/samples.npz",
        Public,
        1,
    );
}
