//! Pinned digests of the parameters with their tables of multiples, the same as in `params/PROVER_DIGESTS`.

use hex_literal::hex;
use zkonnx_verifier::{MAX_K, MIN_K};

/// The digest of the stored parameters of each size from 2^[`MIN_K`] to 2^[`MAX_K`] rows. They change with the layout of
/// the tables, and then the file's version changes too.
pub(crate) const PARAMS_DIGESTS: [[u8; 32]; (MAX_K - MIN_K + 1) as usize] = [
    hex!("5cabc3810e4ec87e6d0bb9d0ae373c92eb9a7a03993f28f9de2a5f3a2b41aad2"),
    hex!("ff83f4e1b53780f092be9aea93d27afc28cff296d800b94ecb4ae0230c9c20e6"),
    hex!("e7df2bec0586bc2c8481c14db9fa0aef784c710125e1578463ba240754f22485"),
    hex!("7c00390b2981e1c7d0e518549d2c351c4cdce01495191bfe295170e81a7a2a8e"),
    hex!("3e4541ee4a01f5d542ab236a6c682e5003180703030ac2de626be59366ebebda"),
    hex!("ebbd647f85f7f8fad58f8e32992dbcdfa43ebe89fb8a92125dc2789838bad2b6"),
    hex!("b89d225d4e2861017d083eaf2b81ef2217a6c3c0f6c3f6e19ed1a827ed2d7c38"),
    hex!("dd88ff9aa21b55ad78b03b486a6f15377d0abaec1372194953a087c26b12f31a"),
    hex!("2b326b72f0ec4831536232ca004dbc4185e78858b736ea0bd1a8ccfb4d673543"),
    hex!("d212382ae4d255685c834a0bcd5cea5924c70397446d3c74d71152bc4231d307"),
    hex!("4cd01e49193994ebb318b35af0c0650d45b0f99fd5f77b052b0465d3e4d9c919"),
    hex!("d477d1c54bc42a0b7d43fbe8461a70ccea2d4cfbdd18519138512750ecdfb319"),
];
