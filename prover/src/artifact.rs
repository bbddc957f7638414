//! Telling artifacts apart by their first bytes, and reading those that the verifier defines.

use std::fmt;
use std::path::Path;

use zkonnx_verifier::{
    CLAIM_MAGIC, Claim, DecodeError, KEY_MAGIC, PARAMS_MAGIC, RECEIPT_MAGIC, Receipt, VerifyingKey,
};

use crate::error::Error;
use crate::files;

/// Largest receipt or claim, in bytes.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 27;
/// Largest verifying key, in bytes: above what the caps of its format add up to.
pub const MAX_KEY_BYTES: u64 = 1 << 24;
/// Largest model or program, in bytes.
pub const MAX_MODEL_BYTES: u64 = 1 << 30;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Claims with a proof.
    Receipt,
    /// A claim.
    Claim,
    /// A verifying key.
    VerifyingKey,
    /// A proving key.
    ProvingKey,
    /// Parameters for verification.
    Params,
    /// Parameters for proving.
    ProverParams,
    /// An integer program.
    Program,
    /// A file that may be an ONNX model, which has no mark of its own.
    Model,
}

const MARKS: [(&[u8], Kind); 7] = [
    (&RECEIPT_MAGIC, Kind::Receipt),
    (&CLAIM_MAGIC, Kind::Claim),
    (&KEY_MAGIC, Kind::VerifyingKey),
    (&PARAMS_MAGIC, Kind::Params),
    (b"zkxp", Kind::Program),
    (b"zkoprove", Kind::ProvingKey),
    (b"zkoparam", Kind::ProverParams),
];

impl Kind {
    /// The kind of a file that starts with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let found = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
        found.map_or(Self::Model, |(_, kind)| *kind)
    }

    /// A short name, stable for programs that read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Claim => "claim",
            Self::VerifyingKey => "verifying_key",
            Self::ProvingKey => "proving_key",
            Self::Params => "params",
            Self::ProverParams => "prover_params",
            Self::Program => "program",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receipt => "a receipt",
            Self::Claim => "a claim",
            Self::VerifyingKey => "a verifying key",
            Self::ProvingKey => "a proving key",
            Self::Params => "a file of verification parameters",
            Self::ProverParams => "a file of proving parameters",
            Self::Program => "a program",
            Self::Model => "an ONNX model or something unknown",
        })
    }
}

fn read<T>(
    path: &Path,
    expected: Kind,
    max: u64,
    what: &'static str,
    decode: fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, Error> {
    let bytes = files::read(path, max, what)?;
    let got = Kind::of(&bytes);
    if got != expected && got != Kind::Model {
        return Err(Error::Kind {
            path: path.into(),
            expected,
            got,
        });
    }
    decode(&bytes).map_err(|source| Error::Decode {
        path: path.into(),
        what,
        source,
    })
}

/// Reads a receipt.
pub fn read_receipt(path: &Path) -> Result<Receipt, Error> {
    read(
        path,
        Kind::Receipt,
        MAX_ARTIFACT_BYTES,
        "receipt",
        Receipt::decode,
    )
}

/// Reads a claim.
pub fn read_claim(path: &Path) -> Result<Claim, Error> {
    read(
        path,
        Kind::Claim,
        MAX_ARTIFACT_BYTES,
        "claim",
        Claim::decode,
    )
}

/// Reads a verifying key, and validates everything in it.
pub fn read_verifying_key(path: &Path) -> Result<VerifyingKey, Error> {
    read(
        path,
        Kind::VerifyingKey,
        MAX_KEY_BYTES,
        "verifying key",
        VerifyingKey::decode,
    )
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hexadecimal digits, with or without `0x` before them.
pub fn parse_hex32(text: &str) -> Result<[u8; 32], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wrong = || {
        format!(
            "expected 64 hexadecimal digits (32 bytes), got {} characters",
            digits.chars().count()
        )
    };
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_hexadecimal_of_32_bytes() {
        let text = "00ff".repeat(16);
        let bytes = parse_hex32(&text).unwrap();
        assert_eq!(hex(&bytes), text);
        assert_eq!(
            parse_hex32(&format!("0x{}", text.to_uppercase())),
            Ok(bytes)
        );
    }

    #[test]
    fn rejects_other_texts() {
        for text in [
            "",
            "0x",
            "00",
            &"0".repeat(63),
            &"0".repeat(65),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert!(parse_hex32(text).is_err(), "{text}");
        }
    }
}
