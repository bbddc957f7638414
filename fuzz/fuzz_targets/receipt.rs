//! Receipts: no panic, bounded memory, one encoding.
#![no_main]

mod memory;

use libfuzzer_sys::fuzz_target;
use zkonnx_verifier::Receipt;

fuzz_target!(|data: &[u8]| {
    if let Ok(receipt) = memory::bounded(data, Receipt::decode) {
        assert_eq!(receipt.encode(), data);
    }
});
