//! Canonical bytes: every value has one encoding, and every other input is refused by name.

mod common;

use common::claims::Model;
use common::mix;
use zkonnx_verifier::{
    Claim, ClaimError, ClaimInput, DataType, DecodeError, MAX_CLAIMS, MAX_PORTS, MAX_PROOF_BYTES,
    Receipt, ReceiptError, TensorData, VerifyingKey, leaf_digest,
};

fn tensor() -> TensorData {
    TensorData::new(DataType::I16, vec![2], vec![-1, 300]).unwrap()
}

fn claim() -> Claim {
    let inputs = vec![ClaimInput::Public(tensor()), ClaimInput::Private];
    Claim::new([1; 32], inputs, vec![tensor(), tensor()], [2; 32]).unwrap()
}

/// Every prefix is too short, and one more byte is too long.
fn assert_exact<T: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) {
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "prefix of {len} bytes");
    }
    let longer = [bytes, &[0]].concat();
    assert_eq!(
        decode(&longer),
        Err(DecodeError::TrailingBytes { count: 1 })
    );
}

#[test]
fn accepts_claims_and_receipts_in_exactly_one_form() {
    let claim = claim();
    assert_eq!(Claim::decode(&claim.encode()), Ok(claim.clone()));
    assert_exact(&claim.encode(), Claim::decode);
    let receipt = Receipt::new([3; 32], vec![claim.clone(), claim], vec![5; 70]).unwrap();
    assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt.clone()));
    assert_exact(&receipt.encode(), Receipt::decode);
}

#[test]
fn accepts_only_one_digest_for_a_claim_and_another_for_any_other() {
    let bytes = claim().encode();
    let digest = claim().digest();
    let mut other = 0;
    for offset in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[offset] ^= 1;
        if let Ok(claim) = Claim::decode(&bytes) {
            assert_eq!(claim.encode(), bytes, "offset {offset}");
            assert_ne!(claim.digest(), digest, "offset {offset}");
            other += 1;
        }
    }
    assert!(other > 64);
}

#[test]
fn rejects_headers_and_tags_by_name() {
    let bytes = claim().encode();
    let with = |offset: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[offset] = value;
        Claim::decode(&bytes)
    };
    assert_eq!(
        with(0, b'y'),
        Err(DecodeError::WrongMagic { expected: *b"zkxC" })
    );
    assert_eq!(
        with(4, 1),
        Err(DecodeError::UnknownVersion {
            expected: 2,
            got: 1
        })
    );
    let tag = 6 + 64 + 1;
    for reserved in [2, 3, 4] {
        assert!(matches!(
            with(tag, reserved),
            Err(DecodeError::ReservedInputTag { tag, .. }) if tag == reserved
        ));
    }
    for unknown in [5, 255] {
        assert_eq!(
            with(tag, unknown),
            Err(DecodeError::UnknownInputTag { tag: unknown })
        );
    }
    assert_eq!(
        with(tag + 1, 77),
        Err(DecodeError::UnknownDataType { code: 77 })
    );
    assert!(matches!(with(tag + 2, 9), Err(DecodeError::Tensor(_))));
}

#[test]
fn rejects_counts_beyond_the_caps() {
    let many = vec![tensor(); MAX_PORTS + 1];
    let new = |inputs: Vec<TensorData>, outputs| {
        Claim::new([0; 32], ClaimInput::public(inputs), outputs, [0; 32])
    };
    assert_eq!(
        new(many.clone(), vec![tensor()]),
        Err(ClaimError::TooManyInputs { got: 65 })
    );
    assert_eq!(
        new(vec![], many),
        Err(ClaimError::TooManyOutputs { got: 65 })
    );
    assert_eq!(new(vec![], vec![]), Err(ClaimError::NoOutputs));
    let receipt = |claims, proof| Receipt::new([0; 32], claims, proof);
    assert_eq!(receipt(vec![], vec![]), Err(ReceiptError::NoClaims));
    assert_eq!(
        receipt(vec![claim(); MAX_CLAIMS + 1], vec![]),
        Err(ReceiptError::TooManyClaims { got: 65 })
    );
    let got = MAX_PROOF_BYTES + 1;
    assert_eq!(
        receipt(vec![claim()], vec![0; got]),
        Err(ReceiptError::ProofTooLong { got })
    );
    let most = receipt(vec![claim(); MAX_CLAIMS], vec![]).unwrap();
    assert_eq!(Receipt::decode(&most.encode()), Ok(most));
    // The same in encoded form.
    let mut bytes = receipt(vec![claim()], vec![]).unwrap().encode();
    bytes[38] = 0;
    assert!(Receipt::decode(&bytes).is_err());
    bytes[38] = 65;
    assert_eq!(
        Receipt::decode(&bytes),
        Err(DecodeError::Receipt(ReceiptError::TooManyClaims {
            got: 65
        }))
    );
}

#[test]
fn accepts_keys_in_exactly_one_form() {
    let model = Model::small(20, 5);
    let bytes = model.key.encode();
    let decoded = VerifyingKey::decode(&bytes).unwrap();
    assert_eq!(decoded, model.key);
    assert_eq!(decoded.id(), model.key.id());
    assert_eq!(decoded.transcript_repr(), model.setup.key.transcript_repr());
    assert_exact(&bytes, VerifyingKey::decode);
    assert!(bytes.len() < 8192, "{} bytes", bytes.len());
}

#[test]
fn rejects_a_flipped_key_or_gives_it_another_id() {
    let model = Model::small(21, 5);
    let bytes = model.key.encode();
    let mut state = 7;
    let mut decoded = 0;
    for offset in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[offset] ^= 1 << (mix(&mut state) % 8);
        if let Ok(key) = VerifyingKey::decode(&bytes) {
            assert_eq!(key.encode(), bytes, "offset {offset}");
            assert_ne!(key.id(), model.key.id(), "offset {offset}");
            decoded += 1;
        }
    }
    println!(
        "{decoded} of {} flipped keys are keys of their own",
        bytes.len()
    );
}

#[test]
fn rejects_malformed_parts_of_keys_by_name() {
    let model = Model::small(22, 5);
    let bytes = model.key.encode();
    let len = bytes.len();
    // The last coordinate: not reduced, then not on the curve.
    let mut unreduced = bytes.clone();
    unreduced[len - 1] = 0xff;
    assert_eq!(
        VerifyingKey::decode(&unreduced),
        Err(DecodeError::NonCanonicalField)
    );
    let mut off_curve = bytes.clone();
    off_curve[len - 32] ^= 1;
    assert_eq!(
        VerifyingKey::decode(&off_curve),
        Err(DecodeError::PointNotOnCurve)
    );
    let mut identity = bytes.clone();
    identity[len - 64..].fill(0);
    assert_eq!(
        VerifyingKey::decode(&identity),
        Err(DecodeError::PointNotOnCurve)
    );
    let mut version = bytes;
    version[4] = 9;
    assert_eq!(
        VerifyingKey::decode(&version),
        Err(DecodeError::UnknownVersion {
            expected: 2,
            got: 9
        })
    );
}

/// A claim's digest is over the digests of its leaves, so that a kind of leaf that comes later changes no claim.
#[test]
fn accepts_the_digest_of_a_claim_from_those_of_its_leaves() {
    let hash = |personal: &[u8; 16], bytes: &[u8]| {
        let hash = blake2b_simd::Params::new()
            .hash_length(32)
            .personal(personal)
            .hash(bytes);
        <[u8; 32]>::try_from(hash.as_bytes()).unwrap()
    };
    let claim = claim();
    // An i16 tensor of two values, -1 and 300.
    let values = [1, 4, 1, 2, 0, 0, 0, 0xff, 0xff, 0x2c, 0x01];
    let public = hash(b"zkonnx leaf v1..", &values);
    let private = hash(b"zkonnx leaf v1..", &[0]);
    assert_eq!(claim.inputs()[0].digest(), public);
    assert_eq!(claim.inputs()[1].digest(), private);
    assert_eq!(leaf_digest(&claim.outputs()[0]), public);
    let leaves = [&[2][..], &public, &private, &[2], &public, &public].concat();
    let bytes = [&[1; 32][..], &[2; 32], &leaves].concat();
    assert_eq!(claim.digest(), hash(b"zkonnx claim v2.", &bytes));
}
