//! Interfaces of programs: no panic, bounded memory, one encoding.
#![no_main]

mod memory;

use libfuzzer_sys::fuzz_target;
use zkonnx_verifier::Interface;

fuzz_target!(|data: &[u8]| {
    if let Ok(interface) = memory::bounded(data, Interface::decode) {
        assert_eq!(interface.encode(), data);
    }
});
