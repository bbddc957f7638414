//! Keys: no panic, bounded memory, one encoding; and a key that decodes gives a verdict within its cost.
#![no_main]

mod memory;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use zkonnx_verifier::{Params, VerifyError, VerifyingKey, cost};

fn params() -> &'static Params {
    static PARAMS: OnceLock<Params> = OnceLock::new();
    PARAMS.get_or_init(|| Params::decode(include_bytes!("../../verifier/vectors/params-6.bin")).unwrap())
}

fuzz_target!(|data: &[u8]| {
    params();
    let Ok(key) = memory::bounded(data, VerifyingKey::decode) else {
        return;
    };
    assert_eq!(key.encode(), data);
    let mut proof = vec![0; cost(&key).proof_bytes(1)];
    if proof.len() > 1 << 14 || key.circuit().k() > 6 {
        return;
    }
    // These bytes are a point of the curve, x = 1, and the scalar one, so the proof is read to its end.
    for item in proof.chunks_exact_mut(32) {
        item[0] = 1;
    }
    let instance = vec![vec![Default::default(); key.layout().element_count()]];
    let verdict = key.circuit().verify(params(), &[instance], &proof);
    assert!(matches!(
        verdict,
        Err(VerifyError::InvalidProof | VerifyError::DegenerateChallenge)
    ));
});
