//! Proofs are byte for byte those of the stock prover.

mod common;

use common::random::{RandomCircuit, Spec, with};
use common::{digest, stock_accepts, stock_proof};
use halo2_proofs::poly::commitment::Params as Halo2Params;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zkonnx_engine::{Options, Params, Tag, constraint_system, keygen, prove};

fn check(params: &[Halo2Params<pasta_curves::EqAffine>], own: &[Params], seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = Spec::random(&mut rng);
    let count = rng.random_range(1..=4);
    let circuits: Vec<RandomCircuit> = (0..count)
        .map(|i| RandomCircuit::random(&spec, seed, seed * 10 + i))
        .collect();
    let instances: Vec<_> = circuits
        .iter()
        .map(|circuit| circuit.instance.clone())
        .collect();
    with(&spec, || {
        let (params, own) = (&params[spec.k as usize - 5], &own[spec.k as usize - 5]);
        let (vk, expected) = stock_proof(params, &circuits, &instances, seed);
        assert!(
            stock_accepts(params, &vk, &instances, &expected),
            "seed {seed}: stock"
        );
        let cs = constraint_system::<RandomCircuit>().unwrap();
        let key = keygen(own, &cs, &circuits[0], Tag::default()).unwrap();
        assert_eq!(key.transcript_repr(), digest(&vk), "seed {seed}: {spec:?}");
        let proof = prove(
            own,
            &key,
            &circuits,
            &instances,
            StdRng::seed_from_u64(seed),
            Options::default(),
        );
        let proof = proof.unwrap_or_else(|error| panic!("seed {seed}: {error} {spec:?}"));
        assert!(proof == expected, "seed {seed}: {spec:?}");
    });
}

#[test]
fn accepts_random_circuits_as_the_stock_prover_does() {
    let halo2: Vec<_> = (5..=6).map(Halo2Params::new).collect();
    let own: Vec<_> = (5..=6).map(|k| Params::derive(k).unwrap()).collect();
    for seed in 0..40 {
        check(&halo2, &own, seed);
    }
}
