//! Claims: no panic, bounded memory, one encoding.
#![no_main]

mod memory;

use libfuzzer_sys::fuzz_target;
use zkonnx_verifier::Claim;

fuzz_target!(|data: &[u8]| {
    if let Ok(claim) = memory::bounded(data, Claim::decode) {
        assert_eq!(claim.encode(), data);
    }
});
