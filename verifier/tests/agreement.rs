//! The same verdicts as the stock verifier, on honest and on mutated proofs.

mod common;

use common::{Proved, Setup, Spec, mix};
use ff::Field;
use pasta_curves::Fp;
use zkonnx_verifier::{Params, VerifyError};

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
    let params = common::params(6);
    for seed in 0..10 {
        let setup = Setup::new(Spec::random(seed, 5 + seed as u32 % 2));
        let circuits = 1 + seed % 4;
        let proved = setup.prove(circuits);
        assert!(setup.stock_accepts(&proved), "seed {seed}");
        let verdict = setup.key.verify(&params, &proved.instances, &proved.proof);
        assert_eq!(verdict, Ok(()), "seed {seed}: {:?}", setup.spec);
    }
}
