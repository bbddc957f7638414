//! Proofs: a valid one with the input laid over it (exclusive or), so that its length is right and all of it is read.
//! No panic, bounded memory, and only the unchanged proof is valid.
#![no_main]

mod memory;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use zkonnx_verifier::{Params, Receipt, VerifyingKey, verify, verify_deferred};

struct Fixture {
    params: Params,
    key: VerifyingKey,
    receipt: Receipt,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| Fixture {
        params: Params::decode(include_bytes!("../../verifier/vectors/params-6.bin")).unwrap(),
        key: VerifyingKey::decode(include_bytes!("../../verifier/vectors/key-a.bin")).unwrap(),
        receipt: Receipt::decode(include_bytes!("../../verifier/vectors/receipt-a1.bin")).unwrap(),
    })
}

fuzz_target!(|data: &[u8]| {
    let Fixture {
        params,
        key,
        receipt,
    } = fixture();
    let mut proof = receipt.proof().to_vec();
    // From the end, because the last scalars are where a change still leaves a proof that is read through.
    for (byte, mask) in proof.iter_mut().rev().zip(data) {
        *byte ^= mask;
    }
    let unchanged = proof == receipt.proof();
    let mutant = Receipt::new(*receipt.vk_id(), receipt.claims().to_vec(), proof).unwrap();
    let verdict = memory::bounded(&mutant.encode(), |_| verify(key, params, &mutant));
    assert_eq!(verdict.is_ok(), unchanged);
    let deferred = verify_deferred(key, params, &mutant).and_then(|deferred| deferred.discharge(params));
    assert_eq!(deferred.map(|_| ()), verdict);
});
