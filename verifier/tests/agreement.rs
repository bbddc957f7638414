//! The same verdicts as the stock verifier, on honest and on mutated proofs.

mod common;

use common::{Proved, Setup, Spec, mix};
use ff::Field;
use pasta_curves::Fp;
use zkonnx_verifier::{CircuitKey, Params, VerifyError};

/// Mutants that a run tries; `ZKONNX_MUTANTS` asks for more.
fn mutants() -> usize {
    let count = std::env::var("ZKONNX_MUTANTS").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(500)
}

#[test]
fn accepts_the_key_text_and_digest_that_halo2_has() {
    for seed in 0..12 {
        let setup = Setup::new(Spec::random(seed, 6));
        let vk = setup.pk.get_vk();
        let pinned = format!("{:?}", vk.pinned());
        assert_eq!(String::from_utf8(setup.key.pinned_text()).unwrap(), pinned);
        assert_eq!(setup.key.pinned_bytes(), pinned.len() as u64);
        let text = format!("{vk:?}");
        let (_, repr) = text.rsplit_once("transcript_repr: ").unwrap();
        let repr = repr.trim_end_matches(" }");
        assert_eq!(
            format!("{:?}", setup.key.transcript_repr()),
            repr,
            "seed {seed}"
        );
    }
}

#[test]
fn accepts_honest_proofs_of_random_circuits() {
    let params = common::params(7);
    for seed in 0..16 {
        let setup = Setup::new(Spec::random(seed, 5 + seed as u32 % 3));
        let circuits = 1 + seed % 4;
        let proved = setup.prove(circuits);
        assert!(setup.stock_accepts(&proved), "seed {seed}");
        let verdict = setup.key.verify(&params, &proved.instances, &proved.proof);
        assert_eq!(verdict, Ok(()), "seed {seed}: {:?}", setup.spec);
    }
}

#[test]
fn accepts_the_circuits_without_gates_lookups_or_instance_values() {
    let params = common::params(5);
    for (copies, instances) in [(1, vec![0]), (4, vec![]), (2, vec![3, 0, 1])] {
        let setup = Setup::new(Spec {
            seed: 1,
            k: 5,
            copies,
            instances,
            ..Spec::default()
        });
        let proved = setup.prove(1);
        assert!(setup.stock_accepts(&proved));
        assert!(setup.accepts(&params, &proved));
    }
}

/// A proof or an instance that is not the honest one.
fn mutate(honest: &Proved, other: &Proved, state: &mut u64) -> Proved {
    let mut mutant = honest.clone();
    let len = honest.proof.len();
    let items = len / 32;
    let offset = mix(state) as usize % len;
    let item = 32 * (mix(state) as usize % items);
    let target = 32 * (mix(state) as usize % items);
    match mix(state) % 16 {
        0..=5 => mutant.proof[offset] ^= 1 << (mix(state) % 8),
        6 => mutant.proof[offset] = mix(state) as u8,
        7 => mutant.proof.truncate(offset),
        // The identity's encoding, and the scalar zero.
        8 => mutant.proof[item..item + 32].fill(0),
        // Neither a reduced scalar nor a reduced coordinate.
        9 => mutant.proof[item..item + 32].fill(0xff),
        10 => {
            let bytes = honest.proof[target..target + 32].to_vec();
            mutant.proof[item..item + 32].copy_from_slice(&bytes);
        }
        11 => {
            for index in 0..32 {
                mutant.proof.swap(item + index, target + index);
            }
        }
        12 => {
            let from = item.min(other.proof.len() - 32);
            mutant.proof[item..item + 32].copy_from_slice(&other.proof[from..from + 32]);
        }
        // The sign of a point.
        13 => mutant.proof[item + 31] ^= 0x80,
        14 => mutant.instances = other.instances.clone(),
        _ => {
            let circuits = mutant.instances.len();
            let circuit = &mut mutant.instances[mix(state) as usize % circuits];
            let columns = circuit.len();
            let column = &mut circuit[mix(state) as usize % columns];
            match column.len() {
                0 => mutant.proof[offset] ^= 1,
                len => column[mix(state) as usize % len] += Fp::ONE,
            }
        }
    }
    mutant
}

#[test]
fn accepts_exactly_the_mutants_that_the_stock_verifier_accepts() {
    let params = common::params(7);
    let setups: Vec<Setup> = (0..5)
        .map(|seed| Setup::new(Spec::random(100 + seed, 5 + seed as u32 % 3)))
        .collect();
    let mut state = 2026;
    let (mut accepted, mut rejected) = (0, 0);
    let rounds = mutants().div_ceil(setups.len());
    for (index, setup) in setups.iter().enumerate() {
        let honest = setup.prove(1 + index as u64 % 3);
        let mut other = setup.clone_with_other_witness(honest.instances.len());
        if other.instances == honest.instances {
            other.instances.reverse();
        }
        for round in 0..rounds {
            let mutant = mutate(&honest, &other, &mut state);
            let (ours, stock) = (
                setup.accepts(&params, &mutant),
                setup.stock_accepts(&mutant),
            );
            assert_eq!(ours, stock, "circuit {index}, mutant {round}");
            // Some mutations change nothing, and only those are accepted.
            let unchanged = mutant.proof == honest.proof && mutant.instances == honest.instances;
            assert_eq!(ours, unchanged, "circuit {index}, mutant {round}");
            match ours {
                true => accepted += 1,
                false => rejected += 1,
            }
        }
    }
    println!("{rejected} mutants rejected by both, {accepted} accepted by both");
    assert!(rejected > 9 * accepted);
}

#[test]
fn rejects_a_flipped_bit_at_every_offset() {
    let params = common::params(5);
    let setup = Setup::new(Spec {
        seed: 3,
        k: 5,
        instances: vec![2],
        gates: vec![vec![0, 1]],
        lookups: vec![1],
        copies: 1,
        ..Spec::default()
    });
    let honest = setup.prove(1);
    assert!(setup.accepts(&params, &honest));
    for offset in 0..honest.proof.len() {
        let mut mutant = honest.clone();
        mutant.proof[offset] ^= 1 << (offset % 8);
        assert!(!setup.accepts(&params, &mutant), "offset {offset}");
    }
}

#[test]
fn rejects_honest_proofs_under_another_circuit() {
    let params = common::params(6);
    let setups: Vec<Setup> = (0..4)
        .map(|seed| Setup::new(Spec::random(200 + seed, 6)))
        .collect();
    for (a, prover) in setups.iter().enumerate() {
        let proved = prover.prove(1);
        for (b, verifier) in setups.iter().enumerate() {
            assert_eq!(verifier.accepts(&params, &proved), a == b);
            // The stock verifier panics on a wrong number of columns only where it is asked to commit to them.
            if proved.instances[0].len() == verifier.spec.instances.len() {
                assert_eq!(verifier.stock_accepts(&proved), a == b);
            }
        }
    }
}

/// The key with one part changed.
fn other_keys(key: &CircuitKey) -> Vec<CircuitKey> {
    let (fixed, permutation) = (key.fixed_commitments(), key.permutation_commitments());
    let mut keys = Vec::new();
    let mut swapped = fixed.to_vec();
    swapped.swap(0, 1);
    keys.push(CircuitKey::new(
        key.k(),
        key.cs().clone(),
        swapped,
        permutation.to_vec(),
    ));
    let mut negated = permutation.to_vec();
    negated[0] = -negated[0];
    keys.push(CircuitKey::new(
        key.k(),
        key.cs().clone(),
        fixed.to_vec(),
        negated,
    ));
    let mut fewer = key.cs().clone();
    fewer.gates.pop();
    keys.push(CircuitKey::new(
        key.k(),
        fewer,
        fixed.to_vec(),
        permutation.to_vec(),
    ));
    let mut minimum = key.cs().clone();
    minimum.minimum_degree = Some(key.degree());
    keys.push(CircuitKey::new(
        key.k(),
        minimum,
        fixed.to_vec(),
        permutation.to_vec(),
    ));
    keys.into_iter().map(Result::unwrap).collect()
}

#[test]
fn rejects_honest_proofs_under_a_key_that_differs_in_one_part() {
    let params = common::params(5);
    let setup = Setup::new(Spec {
        seed: 5,
        k: 5,
        instances: vec![1],
        gates: vec![vec![0, 1], vec![0]],
        copies: 2,
        ..Spec::default()
    });
    let proved = setup.prove(1);
    for key in other_keys(&setup.key) {
        assert_ne!(key.transcript_repr(), setup.key.transcript_repr());
        let verdict = key.verify(&params, &proved.instances, &proved.proof);
        assert_eq!(verdict, Err(VerifyError::InvalidProof));
    }
}

/// The deliberate differences: the stock verifier ignores what follows a proof, and pads instances with zeros.
#[test]
fn rejects_trailing_bytes_where_the_stock_verifier_does_not_look() {
    let params = common::params(5);
    let setup = Setup::new(Spec::random(7, 5));
    let mut proved = setup.prove(1);
    proved.proof.push(0);
    assert!(setup.stock_accepts(&proved));
    assert!(matches!(
        setup.key.verify(&params, &proved.instances, &proved.proof),
        Err(VerifyError::ProofLength { .. })
    ));
}

/// At the level of the bare protocol padding is the same statement, as in halo2; a receipt's layout leaves no choice of
/// length, so there it cannot be expressed.
#[test]
fn accepts_padded_instances_only_where_the_caller_gives_the_length() {
    let params = common::params(5);
    let setup = Setup::new(Spec {
        seed: 9,
        k: 5,
        instances: vec![2],
        copies: 1,
        ..Spec::default()
    });
    let mut proved = setup.prove(1);
    // One element more, and as many as there are rows for.
    for len in [3, setup.key.instance_rows()] {
        proved.instances[0][0].resize(len, Fp::ZERO);
        assert!(setup.stock_accepts(&proved), "{len}");
        assert!(setup.accepts(&params, &proved), "{len}");
    }
}

#[test]
fn rejects_shapes_before_any_work() {
    let params = common::params(5);
    let small: Params = common::params(4);
    let setup = Setup::new(Spec {
        seed: 11,
        k: 5,
        instances: vec![1, 1],
        copies: 1,
        ..Spec::default()
    });
    let proved = setup.prove(1);
    let with = |instances: &[Vec<Vec<Fp>>]| setup.key.verify(&params, instances, &proved.proof);
    assert_eq!(with(&[]), Err(VerifyError::CircuitCount { got: 0 }));
    assert_eq!(
        with(&vec![proved.instances[0].clone(); 65]),
        Err(VerifyError::CircuitCount { got: 65 })
    );
    assert_eq!(
        with(&[vec![vec![]]]),
        Err(VerifyError::InstanceColumns {
            circuit: 0,
            expected: 2,
            got: 1
        })
    );
    let rows = setup.key.instance_rows();
    assert_eq!(
        with(&[vec![vec![], vec![Fp::ONE; rows + 1]]]),
        Err(VerifyError::InstanceTooLong {
            circuit: 0,
            got: rows + 1,
            max: rows
        })
    );
    assert_eq!(
        setup.key.verify(&small, &proved.instances, &proved.proof),
        Err(VerifyError::ParamsTooSmall {
            needed: 5,
            available: 4
        })
    );
}

#[test]
fn rejects_malformed_items_of_a_proof_by_name() {
    let params = common::params(5);
    let setup = Setup::new(Spec {
        seed: 13,
        k: 5,
        instances: vec![1],
        copies: 1,
        ..Spec::default()
    });
    let honest = setup.prove(1);
    let with = |offset: usize, fill: u8| {
        let mut proof = honest.proof.clone();
        proof[offset..offset + 32].fill(fill);
        setup.key.verify(&params, &honest.instances, &proof)
    };
    let last = honest.proof.len() - 32;
    assert_eq!(with(0, 0xff), Err(VerifyError::InvalidPoint { offset: 0 }));
    assert_eq!(with(0, 0), Err(VerifyError::IdentityPoint { offset: 0 }));
    assert_eq!(
        with(last, 0xff),
        Err(VerifyError::InvalidScalar { offset: last })
    );
    assert_eq!(with(last, 0), Err(VerifyError::InvalidProof));
}
