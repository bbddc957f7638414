//! Proofs are byte for byte those of the stock prover, whatever features the circuit uses.

mod common;

use std::collections::BTreeMap;

use common::random::{Kind, RandomCircuit, Spec, with};
use common::wide::{Wide, WideCircuit};
use common::{digest, stock_accepts, stock_proof};
use halo2_proofs::poly::commitment::Params as Halo2Params;
use pasta_curves::{EqAffine, Fp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zkonnx_engine::{
    AdviceColumn, Memory, Options, Params, ProveError, Tag, constraint_system, keygen, prove,
    prove_witness,
};

const SMALLEST: u32 = 5;

/// Parameters for `k` from 5, of halo2 and of the engine.
fn params(ks: std::ops::RangeInclusive<u32>) -> Vec<(Halo2Params<EqAffine>, Params)> {
    let both = |k| (Halo2Params::new(k), Params::derive(k).unwrap());
    ks.map(both).collect()
}

fn check(params: &[(Halo2Params<EqAffine>, Params)], spec: &Spec, count: u64, seed: u64) {
    let circuits: Vec<RandomCircuit> = (0..count)
        .map(|i| RandomCircuit::random(spec, seed, seed * 10 + i))
        .collect();
    let instances: Vec<_> = circuits
        .iter()
        .map(|circuit| circuit.instance.clone())
        .collect();
    with(spec, || {
        let (halo2, own) = &params[(spec.k - SMALLEST) as usize];
        let (vk, expected) = stock_proof(halo2, &circuits, &instances, seed);
        let cs = constraint_system::<RandomCircuit>().unwrap();
        let key = keygen(own, &cs, &circuits[0], Tag::default()).unwrap();
        assert_eq!(key.transcript_repr(), digest(&vk), "seed {seed}: {spec:?}");
        let memory =
            Memory::predict(&cs, spec.k, circuits.len(), rayon::current_num_threads()).unwrap();
        // A third of the cases is proved in the lean way, where that needs less.
        let max_memory = seed.is_multiple_of(3).then_some(memory.lean_total());
        let options = Options {
            max_memory,
            ..Options::default()
        };
        let proof = prove(
            own,
            &key,
            &circuits,
            &instances,
            StdRng::seed_from_u64(seed),
            options,
        );
        let proof = proof.unwrap_or_else(|error| panic!("seed {seed}: {error} {spec:?}"));
        assert!(proof == expected, "seed {seed}: {spec:?}");
        assert!(stock_accepts(halo2, &vk, &instances, &proof), "seed {seed}");
    });
}

#[test]
fn accepts_random_circuits_as_the_stock_prover_does() {
    const CASES: u64 = 98;
    let params = params(SMALLEST..=6);
    let mut features: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..CASES {
        let mut rng = StdRng::seed_from_u64(seed);
        let spec = Spec::random_of_degree(3 + seed as usize % 7, &mut rng);
        let count = rng.random_range(1..=4);
        for feature in spec.features() {
            *features.entry(feature).or_default() += 1;
        }
        *features.entry(format!("{count} circuits")).or_default() += 1;
        check(&params, &spec, count, seed);
    }
    for (feature, cases) in &features {
        assert!(
            *cases >= CASES / 10,
            "{feature}: {cases} of {CASES} cases; all: {features:?}"
        );
    }
    let expected = 7 + 3 + 2 + 4 + 2 + 2 + 3 + 4;
    assert!(
        features.len() >= expected,
        "{} features: {features:?}",
        features.len()
    );
}

#[test]
fn accepts_larger_circuits_as_the_stock_prover_does() {
    let params = params(SMALLEST..=9);
    for (k, seed) in [(8, 1000), (9, 1001)] {
        let spec = Spec::random_of_size(k, &mut StdRng::seed_from_u64(seed));
        check(&params, &spec, 2, seed);
    }
}

#[test]
fn accepts_the_wide_circuit_from_columns_of_small_integers() {
    let circuit = WideCircuit::new(
        Wide {
            k: 8,
            values: 5,
            accumulators: 2,
            lookups: 3,
        },
        99,
    );
    let halo2 = Halo2Params::new(8);
    let own = Params::derive(8).unwrap();
    let instances = [vec![vec![Fp::from(0)]]];
    let (_, expected) = stock_proof(&halo2, std::slice::from_ref(&circuit), &instances, 5);
    let cs = constraint_system::<WideCircuit>().unwrap();
    let key = keygen(&own, &cs, &circuit, Tag::default()).unwrap();
    let small = |values: &Vec<Fp>| -> Option<Vec<i64>> {
        values
            .iter()
            .map(|value| (0..256).find(|small| Fp::from(*small as u64) == *value))
            .collect()
    };
    let column = |values: &Vec<Fp>| {
        small(values).map_or_else(|| AdviceColumn::Full(values.clone()), AdviceColumn::Small)
    };
    let witness: Vec<AdviceColumn> = circuit.advice().map(column).collect();
    assert!(
        witness
            .iter()
            .filter(|column| matches!(column, AdviceColumn::Small(_)))
            .count()
            >= 8
    );
    let rng = StdRng::seed_from_u64(5);
    let proof = prove_witness(
        &own,
        &key,
        vec![witness.clone()],
        &instances,
        rng,
        Options::default(),
    )
    .unwrap();
    assert!(proof == expected);

    // A lean proof is the same proof, and a limit below it is an error.
    let memory = Memory::predict(&cs, 8, 1, rayon::current_num_threads()).unwrap();
    assert!(memory.lean_total() < memory.total());
    let limited = |max_memory| {
        let options = Options {
            max_memory: Some(max_memory),
            ..Options::default()
        };
        prove_witness(
            &own,
            &key,
            vec![witness.clone()],
            &instances,
            StdRng::seed_from_u64(5),
            options,
        )
    };
    assert!(limited(memory.lean_total()).unwrap() == expected);
    assert!(limited(memory.total()).unwrap() == expected);
    let needed = memory.lean_total();
    let error = limited(needed - 1).unwrap_err();
    assert!(
        matches!(error, ProveError::Memory { needed: n, limit } if n == needed && limit == needed - 1)
    );
}

#[test]
fn accepts_any_number_of_threads() {
    let params = params(SMALLEST..=6);
    let mut rng = StdRng::seed_from_u64(77);
    let spec = Spec::random(&mut rng);
    for threads in [1, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| check(&params, &spec, 2, 77));
    }
}

#[test]
fn accepts_that_every_kind_is_copied() {
    // A guard on the generator: over some specifications, copies reach all kinds of columns.
    let kinds = (0..40).flat_map(|seed| Spec::random(&mut StdRng::seed_from_u64(seed)).copies);
    let kinds: Vec<Kind> = kinds.flat_map(|(a, b)| [a.0, b.0]).collect();
    assert!(
        [Kind::Advice, Kind::Fixed, Kind::Instance]
            .iter()
            .all(|kind| kinds.contains(kind))
    );
}
