//! The errors of several proofs must not be able to cancel in a batch.
//!
//! The last scalar of a proof is the blinding factor of its opening. Nothing in the proof comes after it, so a forger can
//! add any amount to it and knows what the proof's equation is then wrong by: that amount times w. Two such proofs cancel
//! as soon as their coefficients can be told before the amounts are chosen.

use alloc::vec;
use alloc::vec::Vec;

use ff::{Field, PrimeField};
use pasta_curves::Fp;

use crate::common::claims::Model;
use crate::verify::{Combination, coefficients, open_receipt};
use crate::{
    BatchError, DischargeError, Params, Receipt, Rejected, VerifyError, VerifyingKey, Work,
    discharge_all, verify, verify_batch, verify_deferred,
};

type Item<'a> = (&'a VerifyingKey, Receipt);

/// The receipt with an amount added to the last scalar of its proof.
fn shifted(receipt: &Receipt, amount: Fp) -> Receipt {
    let (head, last) = receipt.proof().split_last_chunk::<32>().unwrap();
    let scalar = Fp::from_repr(*last).unwrap() + amount;
    let proof = [head, &scalar.to_repr()].concat();
    Receipt::new(*receipt.vk_id(), receipt.claims().to_vec(), proof).unwrap()
}

/// The seals of receipts that can be read, right or wrong.
fn seals(items: &[Item<'_>], params: &Params) -> Vec<[u8; 64]> {
    let seal = |(key, receipt): &Item<'_>| {
        let opening = open_receipt(key, params, receipt, &mut Work::default());
        opening.unwrap().seal
    };
    items.iter().map(seal).collect()
}

fn coefficients_of(seals: &[[u8; 64]]) -> Vec<Fp> {
    coefficients(seals.iter(), &mut Work::default())
}

/// Whether the equations of the items add up to nothing with these coefficients.
fn cancels(items: &[Item<'_>], coefficients: &[Fp], params: &Params) -> bool {
    let work = &mut Work::default();
    let mut sum = Combination::new();
    for ((key, receipt), coefficient) in items.iter().zip(coefficients) {
        let opening = open_receipt(key, params, receipt, work).unwrap();
        let added = sum.add(key.circuit(), &opening, *coefficient, params, work);
        added.unwrap();
    }
    sum.vanishes(params, work)
}

/// Both proofs made wrong by amounts that cancel under these coefficients.
fn forged<'a>(honest: &[Item<'a>], coefficients: &[Fp]) -> Vec<Item<'a>> {
    let amounts = [coefficients[1], -coefficients[0]];
    let pairs = honest.iter().zip(amounts);
    pairs
        .map(|((key, receipt), amount)| (*key, shifted(receipt, amount)))
        .collect()
}

#[test]
fn rejects_two_proofs_whose_errors_cancel_under_coefficients_known_beforehand() {
    let params = Params::derive(6).unwrap();
    let (a, b) = (Model::small(20, 5), Model::small(21, 6));
    let pairs = [
        vec![(&a.key, a.receipt(1)), (&b.key, b.receipt(2))],
        // The same claim of one model, twice.
        vec![(&a.key, a.receipt(1)), (&a.key, a.receipt(1))],
    ];
    for honest in pairs {
        let probe = forged(&honest, &[Fp::ONE, Fp::ONE]);
        let guesses = [
            ("equal", vec![Fp::ONE; 2]),
            ("those of empty seals", coefficients_of(&[[0; 64]; 2])),
            (
                "those of the right proofs",
                coefficients_of(&seals(&honest, &params)),
            ),
            // Right for whatever seals do not change with the amounts.
            (
                "those of other wrong proofs",
                coefficients_of(&seals(&probe, &params)),
            ),
        ];
        for (name, guess) in guesses {
            let items = forged(&honest, &guess);
            assert!(cancels(&items, &guess, &params), "{name}");
            let borrowed: Vec<_> = items.iter().map(|(key, receipt)| (*key, receipt)).collect();
            let failures = vec![
                (0, VerifyError::InvalidProof),
                (1, VerifyError::InvalidProof),
            ];
            assert_eq!(
                verify_batch(&borrowed, &params),
                Err(BatchError { failures }),
                "{name}"
            );
            let deferred = borrowed
                .iter()
                .map(|(key, receipt)| verify_deferred(key, &params, receipt).unwrap())
                .collect();
            let claims = |receipt: &Receipt| -> Vec<[u8; 32]> {
                receipt.claims().iter().map(crate::Claim::digest).collect()
            };
            let rejected = [0, 1].map(|index| Rejected {
                index,
                claims: claims(&items[index].1),
                error: VerifyError::InvalidProof,
            });
            let rejected = rejected.to_vec();
            let verified = vec![];
            assert_eq!(
                discharge_all(deferred, &params),
                Err(DischargeError { rejected, verified }),
                "{name}"
            );
        }
    }
}

#[test]
fn rejects_a_seal_that_leaves_out_a_part_of_key_instance_or_proof() {
    let params = Params::derive(6).unwrap();
    let (model, other) = (Model::small(22, 6), Model::small(23, 6));
    let receipt = model.receipt(1);
    let seal = |key, receipt: &Receipt| seals(&[(key, receipt.clone())], &params)[0];
    let honest = seal(&model.key, &receipt);
    let len = receipt.proof().len();
    // Every scalar, and every point that is still one, takes part.
    let mut read = 0;
    for at in (0..len).step_by(32) {
        let mut proof = receipt.proof().to_vec();
        proof[at] ^= 1;
        let claims = receipt.claims().to_vec();
        let changed = Receipt::new(*receipt.vk_id(), claims, proof).unwrap();
        if let Ok(opening) = open_receipt(&model.key, &params, &changed, &mut Work::default()) {
            read += 1;
            assert_ne!(opening.seal, honest, "offset {at}");
        }
    }
    assert!(read > len / 96, "{read} of {}", len / 32);
    let claims = vec![model.claim(1)];
    let restated = Receipt::new(*receipt.vk_id(), claims, receipt.proof().to_vec()).unwrap();
    assert_ne!(seal(&model.key, &restated), honest);
    assert_ne!(seal(&other.key, &other.receipt(1)), honest);
}

/// As FORMATS.md has it under *Batches*.
#[test]
fn accepts_the_coefficients_that_the_formats_define_and_no_others() {
    let hash = |personal: &[u8; 16], bytes: &[u8]| {
        blake2b_simd::Params::new()
            .hash_length(32)
            .personal(personal)
            .hash(bytes)
    };
    let seals = [[1; 64], [2; 64], [3; 64]];
    let seed = hash(b"zkonnx batch v1.", &seals.concat());
    let expected: Vec<Fp> = (0..3u64)
        .map(|index| {
            let message = [seed.as_bytes(), &index.to_le_bytes()].concat();
            let digest = hash(b"zkonnx coeff v1.", &message);
            let low = digest.as_bytes().first_chunk::<16>().unwrap();
            Fp::from_u128(u128::from_le_bytes(*low))
        })
        .collect();
    assert_eq!(coefficients_of(&seals), expected);
    // Each coefficient depends on every seal, and on their order.
    for (changed, seals) in [
        ("first", [[9; 64], [2; 64], [3; 64]]),
        ("last", [[1; 64], [2; 64], [9; 64]]),
        ("order", [[2; 64], [1; 64], [3; 64]]),
    ] {
        let pairs = coefficients_of(&seals).into_iter().zip(&expected);
        assert!(pairs.into_iter().all(|(got, old)| got != *old), "{changed}");
    }
}

#[test]
fn rejects_single_wrong_proofs_that_the_same_shift_makes() {
    let params = Params::derive(5).unwrap();
    let model = Model::small(24, 5);
    let receipt = model.receipt(1);
    assert_eq!(verify(&model.key, &params, &receipt), Ok(()));
    let wrong = shifted(&receipt, Fp::ONE);
    assert_eq!(
        verify(&model.key, &params, &wrong),
        Err(VerifyError::InvalidProof)
    );
}
