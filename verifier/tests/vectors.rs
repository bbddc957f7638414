//! The test vectors: files that any implementation of the formats can be held against.
//!
//! `vectors/INDEX` has a line for each file. To write them anew after a change of a format:
//! `cargo test -p zkonnx-verifier --test vectors -- --ignored`.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::claims::{Model, PROGRAM};
use common::{Spec, mix};
use zkonnx_verifier::interface::{Interface, body_hash};
use zkonnx_verifier::{
    Claim, ClaimInput, DataType, InputVisibility, Params, Receipt, TensorData, VerifyingKey, Work,
    verify, verify_batch_counting, verify_counting, verify_deferred_counting,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of an error's variant.
fn name_of(error: impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split([' ', '('])
        .next()
        .unwrap_or_default()
        .to_string()
}

/// What a line of the index says of a receipt.
fn verdict(key: &VerifyingKey, params: &Params, bytes: &[u8]) -> String {
    match Receipt::decode(bytes) {
        Err(error) => format!("malformed {}", name_of(error)),
        Ok(receipt) => match verify(key, params, &receipt) {
            Err(error) => format!("invalid {}", name_of(error)),
            Ok(()) => "valid -".to_string(),
        },
    }
}

#[test]
fn accepts_and_rejects_every_vector_as_the_index_says() {
    let index = fs::read_to_string(path("INDEX")).unwrap();
    let mut keys: BTreeMap<String, VerifyingKey> = BTreeMap::new();
    let mut params = None;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in index.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let bytes = fs::read(path(fields[1])).unwrap();
        match fields[0] {
            "params" => {
                assert_eq!(hex(&Params::digest(&bytes)), fields[2]);
                params = Some(Params::decode(&bytes).unwrap());
            }
            "claim" => {
                let claim = Claim::decode(&bytes).unwrap();
                assert_eq!(claim.encode(), bytes);
                assert_eq!(hex(&claim.digest()), fields[2], "{line}");
            }
            "key" => {
                let key = VerifyingKey::decode(&bytes).unwrap();
                assert_eq!(key.encode(), bytes);
                assert_eq!(hex(key.id()), fields[2]);
                assert_eq!(format!("{:?}", key.transcript_repr()), fields[3]);
                keys.insert(fields[1].to_string(), key);
            }
            "receipt" => {
                let got = verdict(&keys[fields[2]], params.as_ref().unwrap(), &bytes);
                assert_eq!(got, fields[3..].join(" "), "{line}");
            }
            kind => panic!("{kind} is not a kind of vector"),
        }
        *counts.entry(fields[0]).or_default() += 1;
    }
    assert!(counts["receipt"] >= 15 && counts["claim"] >= 2 && counts["key"] >= 2);
}

/// What verifying the vectors takes, to the unit: a count that is off makes a price that is.
#[test]
fn accepts_exactly_the_work_on_the_vectors_that_is_pinned() {
    let read = |name: &str| fs::read(path(name)).unwrap();
    let params = Params::decode(&read("params-6.bin")).unwrap();
    let [a, b] = ["key-a.bin", "key-b.bin"].map(|n| VerifyingKey::decode(&read(n)).unwrap());
    let [a1, a3, b3, wrong] = ["a1", "a3", "b3", "flipped"]
        .map(|name| Receipt::decode(&read(&format!("receipt-{name}.bin"))).unwrap());
    let counted = |run: &dyn Fn(&mut Work) -> bool, holds: bool| {
        let mut work = Work::default();
        assert_eq!(run(&mut work), holds);
        [
            work.hashed_bytes,
            work.decompressions,
            work.field_muls,
            work.field_inversions,
            work.group_additions,
            work.group_doublings,
        ]
    };
    let single = |key, receipt, holds| {
        let run = |work: &mut Work| verify_counting(key, &params, receipt, work).is_ok();
        counted(&run, holds)
    };
    let deferred = |key, receipt| {
        let run = |work: &mut Work| verify_deferred_counting(key, &params, receipt, work).is_ok();
        counted(&run, true)
    };
    let batch = |items: &[_], holds| {
        let run = |work: &mut Work| verify_batch_counting(items, &params, work).is_ok();
        counted(&run, holds)
    };
    let work = [
        single(&a, &a1, true),
        single(&a, &a3, true),
        single(&b, &b3, true),
        single(&a, &wrong, false),
        deferred(&a, &a1),
        deferred(&b, &b3),
        batch(&[], true),
        batch(&[(&a, &a1), (&b, &b3), (&a, &a3)], true),
        batch(&[(&a, &a1), (&a, &wrong)], false),
    ];
    let pinned = [
        [6249, 35, 778, 6, 5648, 380],
        [10633, 71, 1476, 6, 8432, 636],
        [10892, 73, 1510, 6, 9110, 634],
        [6249, 35, 778, 6, 5649, 380],
        [6249, 35, 746, 6, 3792, 380],
        [10892, 73, 1446, 6, 6664, 636],
        [128, 0, 0, 0, 128, 0],
        [28478, 179, 3764, 18, 15982, 1146],
        [13010, 70, 1724, 12, 18956, 1012],
    ];
    assert_eq!(work, pinned);
}

/// What this crate knows of the programs of `vectors/PROGRAMS`: their interfaces, and what they hash to.
#[test]
fn accepts_and_rejects_the_interface_of_every_program() {
    let index = fs::read_to_string(path("PROGRAMS")).unwrap();
    let (mut programs, mut refused) = (0, 0);
    for line in index.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let bytes = fs::read(path(fields[1])).unwrap();
        let part = |at: usize| {
            let len = bytes.get(at..at + 4)?.try_into().ok()?;
            bytes.get(at + 4..at + 4 + u32::from_le_bytes(len) as usize)
        };
        let Some(interface) = part(6) else { continue };
        let read = Interface::decode(interface);
        if fields[0] == "malformed" {
            let of_interface = fields[1].starts_with("program-interface-");
            assert_eq!(read.is_err(), of_interface, "{line}");
            refused += usize::from(of_interface);
            continue;
        }
        let (read, body) = (read.unwrap(), part(10 + interface.len()).unwrap());
        assert_eq!(read.encode(), interface);
        let body = body_hash(body);
        let hashes = [read.hash(), body, read.program_id(&body)].map(|hash| hex(&hash));
        assert_eq!(hashes, fields[2..], "{line}");
        programs += 1;
    }
    assert!(programs > 20 && refused > 3);
}

/// Claims of every type and both visibilities.
fn claims() -> Vec<(&'static str, Claim)> {
    let tensor = |dtype, values: &[i64]| {
        TensorData::new(dtype, vec![values.len() as u32], values.to_vec()).unwrap()
    };
    let outputs = vec![
        tensor(DataType::U8, &[0, 255]),
        tensor(DataType::I8, &[-128, 127]),
        tensor(DataType::U16, &[0, 65535]),
        tensor(DataType::I16, &[-32768, 32767]),
        tensor(DataType::U32, &[0, 4_294_967_295]),
        tensor(DataType::I32, &[-2_147_483_648, 2_147_483_647]),
        tensor(DataType::I64, &[i64::MIN, i64::MAX]),
        tensor(DataType::Bool, &[0, 1]),
    ];
    let image = TensorData::new(DataType::U8, vec![1, 2, 3], (0..6).collect()).unwrap();
    let scalar = TensorData::new(DataType::I32, vec![], vec![-1]).unwrap();
    let context = core::array::from_fn(|index| index as u8);
    let new = |inputs, outputs| Claim::new(PROGRAM, inputs, outputs, context).unwrap();
    vec![
        (
            "claim-public.bin",
            new(ClaimInput::public(vec![image, scalar.clone()]), outputs),
        ),
        (
            "claim-private.bin",
            new(ClaimInput::private(1), vec![scalar]),
        ),
    ]
}

/// Variations of a valid receipt that are not valid.
fn spoiled(model: &Model, other: &Model) -> Vec<(&'static str, Vec<u8>)> {
    let honest = model.receipt(1);
    let bytes = honest.encode();
    let proof_at = bytes.len() - honest.proof().len();
    let with = |offset: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[offset] = value;
        bytes
    };
    let fill = |item: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[proof_at + item..proof_at + item + 32].fill(value);
        bytes
    };
    let last = honest.proof().len() - 32;
    let mut state = 5;
    let flipped = proof_at + mix(&mut state) as usize % honest.proof().len();
    let mut foreign = other.receipt(1);
    foreign = Receipt::new(
        *model.key.id(),
        vec![model.claim(0)],
        foreign.proof().to_vec(),
    )
    .unwrap();
    let twice = Receipt::new(
        *honest.vk_id(),
        vec![model.claim(0), model.claim(1)],
        honest.proof().to_vec(),
    );
    vec![
        ("empty", vec![]),
        ("truncated", bytes[..bytes.len() - 1].to_vec()),
        ("trailing", [bytes.as_slice(), &[0]].concat()),
        ("magic", with(0, b'Z')),
        ("version", with(4, 1)),
        ("no-claims", with(38, 0)),
        ("claim-version", with(39 + 4, 1)),
        ("other-key", other.receipt(1).encode()),
        ("other-program", with(39 + 6, 0x55)),
        ("other-context", with(39 + 6 + 32, 0x55)),
        ("flipped", with(flipped, bytes[flipped] ^ 1)),
        ("point-identity", fill(0, 0)),
        ("point-unreduced", fill(0, 0xff)),
        ("scalar-unreduced", fill(last, 0xff)),
        ("scalar-zero", fill(last, 0)),
        ("foreign-proof", foreign.encode()),
        ("one-claim-more", twice.unwrap().encode()),
        ("private-input", {
            let claim = model.claim(0);
            let (program, outputs) = (*claim.program_id(), claim.outputs().to_vec());
            let private =
                Claim::new(program, ClaimInput::private(1), outputs, *claim.context()).unwrap();
            Receipt::new(*honest.vk_id(), vec![private], honest.proof().to_vec())
                .unwrap()
                .encode()
        }),
    ]
}

/// Receipts for the settlement example, whose contexts are hashes of a nonce and a payee: for the requests with nonces 1,
/// then 2 and 3, then 4 with an output that is not the model's, which only the long multiplication can tell.
fn settled(model: &Model) -> Vec<(&'static str, Vec<u8>)> {
    let context = |nonce: u8| {
        let hash = blake2b_simd::Params::new()
            .hash_length(32)
            .personal(b"settlement ctxt.")
            .to_state()
            .update(&[nonce; 32])
            .update(&[0x70 + nonce; 32])
            .finalize();
        <[u8; 32]>::try_from(hash.as_bytes()).unwrap()
    };
    let claim = |nonce: u8| {
        let claim = model.claim(nonce);
        let (program, outputs) = (*claim.program_id(), claim.outputs().to_vec());
        Claim::new(program, claim.inputs().to_vec(), outputs, context(nonce)).unwrap()
    };
    let honest = model.prove(vec![claim(4)]);
    let lie = Claim::new(
        *claim(4).program_id(),
        claim(4).inputs().to_vec(),
        claim(5).outputs().to_vec(),
        context(4),
    );
    let lie = Receipt::new(*honest.vk_id(), vec![lie.unwrap()], honest.proof().to_vec());
    vec![
        ("settle-one", model.prove(vec![claim(1)]).encode()),
        ("settle-two", model.prove(vec![claim(2), claim(3)]).encode()),
        ("settle-lie", lie.unwrap().encode()),
    ]
}

#[test]
#[ignore = "writes the vectors"]
fn write_vectors() {
    let mut index = String::from(
        "# kind file ...: params digest | claim digest | key id transcript-digest | receipt key verdict reason\n",
    );
    let mut write = |name: &str, bytes: &[u8], kind: &str, rest: &str| {
        fs::write(path(name), bytes).unwrap();
        index.push_str(&format!("{kind} {name} {rest}\n"));
    };
    let params = Params::derive(6).unwrap();
    let bytes = params.encode();
    write(
        "params-6.bin",
        &bytes,
        "params",
        &hex(&Params::digest(&bytes)),
    );
    for (name, claim) in claims() {
        write(name, &claim.encode(), "claim", &hex(&claim.digest()));
    }
    let spec = |seed: u64, k: u32| Spec {
        seed,
        k,
        gates: vec![vec![0, 1], vec![-1, 0, 1]],
        lookups: vec![1, 2],
        copies: 3,
        ..Spec::default()
    };
    let a = Model::new(spec(1, 5), InputVisibility::Public, [0xa1; 32]);
    let b = Model::new(spec(2, 6), InputVisibility::Private, [0xb2; 32]);
    for (name, model) in [("key-a.bin", &a), ("key-b.bin", &b)] {
        let rest = format!("{} {:?}", hex(model.key.id()), model.key.transcript_repr());
        write(name, &model.key.encode(), "key", &rest);
    }
    let mut receipt = |name: String, key: &str, model: &Model, bytes: &[u8]| {
        let verdict = verdict(&model.key, &params, bytes);
        write(&name, bytes, "receipt", &format!("{key} {verdict}"));
    };
    for claims in [1, 3] {
        let (of_a, of_b) = (a.receipt(claims).encode(), b.receipt(claims).encode());
        receipt(format!("receipt-a{claims}.bin"), "key-a.bin", &a, &of_a);
        receipt(format!("receipt-b{claims}.bin"), "key-b.bin", &b, &of_b);
    }
    for (name, bytes) in settled(&a) {
        receipt(format!("receipt-{name}.bin"), "key-a.bin", &a, &bytes);
    }
    for (name, bytes) in spoiled(&a, &b) {
        receipt(format!("receipt-{name}.bin"), "key-a.bin", &a, &bytes);
    }
    fs::write(path("INDEX"), index).unwrap();
}
