//! Circuits for tests, and the stock prover as the reference.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

pub mod random;
pub mod wide;

use std::io;

use halo2_proofs::plonk::{
    Circuit, SingleVerifier, VerifyingKey, create_proof, keygen_pk, keygen_vk, verify_proof,
};
use halo2_proofs::poly::commitment::Params as Halo2Params;
use halo2_proofs::transcript::{
    Blake2bRead, Blake2bWrite, Challenge255, EncodedChallenge, Transcript,
};
use pasta_curves::{EqAffine, Fp};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Reads the digest of a key, which halo2 shows to a transcript only.
pub fn digest(vk: &VerifyingKey<EqAffine>) -> Fp {
    struct Capture(Option<Fp>);
    impl Transcript<EqAffine, Challenge255<EqAffine>> for Capture {
        fn squeeze_challenge(&mut self) -> Challenge255<EqAffine> {
            Challenge255::new(&[0; 64])
        }
        fn common_point(&mut self, _: EqAffine) -> io::Result<()> {
            Ok(())
        }
        fn common_scalar(&mut self, scalar: Fp) -> io::Result<()> {
            self.0 = Some(scalar);
            Ok(())
        }
    }
    let mut capture = Capture(None);
    vk.hash_into(&mut capture).unwrap();
    capture.0.unwrap()
}

/// Instances as the stock library wants them.
fn slices(instances: &[Vec<Vec<Fp>>]) -> Vec<Vec<&[Fp]>> {
    instances
        .iter()
        .map(|columns| columns.iter().map(Vec::as_slice).collect())
        .collect()
}

/// Proves with the stock prover; returns its key and the proof.
pub fn stock_proof<C: Circuit<Fp> + Clone>(
    params: &Halo2Params<EqAffine>,
    circuits: &[C],
    instances: &[Vec<Vec<Fp>>],
    seed: u64,
) -> (VerifyingKey<EqAffine>, Vec<u8>) {
    let vk = keygen_vk(params, &circuits[0]).unwrap();
    let pk = keygen_pk(params, vk.clone(), &circuits[0]).unwrap();
    let slices = slices(instances);
    let slices: Vec<&[&[Fp]]> = slices.iter().map(Vec::as_slice).collect();
    let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(vec![]);
    create_proof(
        params,
        &pk,
        circuits,
        &slices,
        StdRng::seed_from_u64(seed),
        &mut transcript,
    )
    .unwrap();
    (vk, transcript.finalize())
}

/// Whether the stock verifier accepts.
pub fn stock_accepts(
    params: &Halo2Params<EqAffine>,
    vk: &VerifyingKey<EqAffine>,
    instances: &[Vec<Vec<Fp>>],
    proof: &[u8],
) -> bool {
    let slices = slices(instances);
    let slices: Vec<&[&[Fp]]> = slices.iter().map(Vec::as_slice).collect();
    let mut transcript = Blake2bRead::<_, _, Challenge255<_>>::init(proof);
    verify_proof(
        params,
        vk,
        SingleVerifier::new(params),
        &slices,
        &mut transcript,
    )
    .is_ok()
}
