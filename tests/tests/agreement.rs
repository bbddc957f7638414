//! The verifier gives the stock verifier's verdicts on the receipts of real models, whichever key they are held to.

use std::sync::Arc;

use halo2_proofs::pasta::{EqAffine, Fp};
use halo2_proofs::plonk::{self, SingleVerifier, keygen_vk};
use halo2_proofs::poly::commitment::Params as StockParams;
use halo2_proofs::transcript::{Blake2bRead, Challenge255};
use zkonnx_circuits::circuit::{ModelCircuit, with_chips};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_onnx::Bindings;
use zkonnx_prover::backend;
use zkonnx_prover::cache::Cache;
use zkonnx_prover::input::{Meaning, Samples, read_inputs};
use zkonnx_prover::keys::Keys;
use zkonnx_prover::model::Model;
use zkonnx_prover::progress::Progress;
use zkonnx_tests::model;
use zkonnx_verifier::{InputVisibility, Params};

/// A model with its keys for both verifiers, and one proof.
struct Ready {
    name: &'static str,
    keys: Keys,
    params: Arc<Params>,
    stock_params: StockParams<EqAffine>,
    stock_key: plonk::VerifyingKey<EqAffine>,
    instance: Vec<Fp>,
    proof: Vec<u8>,
}

impl Ready {
    fn new(name: &'static str) -> Self {
        let (cache, progress) = (Cache::none(), Progress::hidden());
        let imported = Model::load(&model(&format!("{name}.onnx")), &Bindings::default()).unwrap();
        let program = imported.program.clone();
        let options = PlanOptions::default();
        let visibility = InputVisibility::Public;
        let keys = Keys::generate(program, visibility, &options, &cache, &progress).unwrap();
        let names: Vec<&str> = imported
            .program
            .inputs()
            .iter()
            .map(|port| port.name.as_str())
            .collect();
        let folder = name.split('/').next().unwrap();
        let inputs = read_inputs(&model(&format!("{folder}/input.json")), &names).unwrap();
        let samples = Samples::new(&imported.program, inputs, Meaning::Model).unwrap();
        let sample = samples.iter().next().unwrap();
        let inference = keys.compiled.infer(sample, [9; 32]).unwrap();
        let proof = backend::prove(
            &keys.params,
            &keys.proving,
            &keys.compiled,
            std::slice::from_ref(&inference),
            backend::random().unwrap(),
            zkonnx_engine::Options::default(),
        );
        let stock_params = keys.params.to_halo2().unwrap();
        let assembly = &keys.compiled.assembly;
        let stock_key = with_chips(&assembly.chips, || {
            keygen_vk(&stock_params, &ModelCircuit::blank(assembly)).unwrap()
        });
        let k = keys.verifying.circuit().k();
        Self {
            name,
            params: cache.verifier(k, &progress).unwrap(),
            stock_params,
            stock_key,
            instance: inference.instance,
            proof: proof.unwrap(),
            keys,
        }
    }

    fn accepts(&self, instance: &[Fp], proof: &[u8]) -> bool {
        let columns = [vec![instance.to_vec()]];
        let circuit = self.keys.verifying.circuit();
        circuit.verify(&self.params, &columns, proof).is_ok()
    }

    fn stock_accepts(&self, instance: &[Fp], proof: &[u8]) -> bool {
        let strategy = SingleVerifier::new(&self.stock_params);
        let mut transcript = Blake2bRead::<_, EqAffine, Challenge255<_>>::init(proof);
        let instances: &[&[&[Fp]]] = &[&[instance]];
        plonk::verify_proof(
            &self.stock_params,
            &self.stock_key,
            strategy,
            instances,
            &mut transcript,
        )
        .is_ok()
    }
}

#[test]
fn gives_the_stock_verdict_under_every_key() {
    let models = [
        "digits_mlp/qdq_u8s8_per_tensor",
        "digits_mlp/qoperator_u8s8_per_channel",
        "digits_cnn/qdq_u8s8_per_tensor",
        "digits_res/qoperator_u8s8_per_tensor",
        "cancer_mlp/qdq_s8s8_per_tensor",
        "two_io/qoperator_u8u8_per_tensor",
    ]
    .map(Ready::new);
    for key in &models {
        for of in &models {
            let ours = key.accepts(&of.instance, &of.proof);
            assert_eq!(ours, key.name == of.name, "{} under {}", of.name, key.name);
            let stock = key.stock_accepts(&of.instance, &of.proof);
            assert_eq!(ours, stock, "{} under {}", of.name, key.name);
        }
        let mut other = key.instance.clone();
        other[0] += Fp::one();
        assert!(!key.accepts(&other, &key.proof) && !key.stock_accepts(&other, &key.proof));
        for at in (0..key.proof.len()).step_by(key.proof.len() / 7) {
            let mut proof = key.proof.clone();
            proof[at] ^= 1;
            let ours = key.accepts(&key.instance, &proof);
            assert!(!ours, "{}: byte {at}", key.name);
            assert_eq!(ours, key.stock_accepts(&key.instance, &proof), "byte {at}");
        }
    }
}
