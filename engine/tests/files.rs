//! Keys and parameters survive being stored, and files that are not what they should be are refused by name.

mod common;

use std::io::{self, Write};

use common::random::{RandomCircuit, Spec, with};
use common::stock_proof;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zkonnx_engine::{
    FileError, Options, Params, ProvingKey, Tag, constraint_system, keygen, prove,
};

const OWNER: Tag = Tag([7; 32]);

/// The specification of a circuit with all features, parameters for it, and its key.
fn example() -> (Spec, RandomCircuit, Params, ProvingKey) {
    let full = |seed: &u64| {
        let spec = Spec::random(&mut StdRng::seed_from_u64(*seed));
        !spec.gates.is_empty()
            && !spec.lookups.is_empty()
            && spec.copies.len() > 5
            && spec.minimum_degree.is_some()
    };
    let seed = (0..).find(full).unwrap();
    let spec = Spec::random(&mut StdRng::seed_from_u64(seed));
    let params = Params::derive(spec.k).unwrap();
    let circuit = RandomCircuit::random(&spec, 1, 2);
    let key = with(&spec, || {
        let cs = constraint_system::<RandomCircuit>().unwrap();
        keygen(&params, &cs, &circuit, OWNER).unwrap()
    });
    (spec, circuit, params, key)
}

fn bytes(key: &ProvingKey) -> Vec<u8> {
    let mut bytes = vec![];
    key.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn accepts_a_stored_key_and_proves_with_it() {
    let (spec, circuit, params, key) = example();
    let mut stored = vec![];
    params.write(&mut stored).unwrap();
    let params = Params::read(stored.as_slice()).unwrap();
    let read = ProvingKey::read(bytes(&key).as_slice(), Some(&OWNER)).unwrap();
    assert!(read == key);
    let instances = [circuit.instance.clone()];
    with(&spec, || {
        let (_, expected) = stock_proof(
            &params.to_halo2().unwrap(),
            std::slice::from_ref(&circuit),
            &instances,
            3,
        );
        let proof = prove(
            &params,
            &read,
            &[circuit],
            &instances,
            StdRng::seed_from_u64(3),
            Options::default(),
        );
        assert!(proof.unwrap() == expected);
    });
}

#[test]
fn accepts_parameters_of_halo2() {
    let own = Params::derive(4).unwrap();
    let converted = Params::from_halo2(&own.to_halo2().unwrap()).unwrap();
    assert_eq!(converted.digest(), own.digest());
    assert_eq!(
        Params::from_halo2(&halo2_proofs::poly::commitment::Params::new(4))
            .unwrap()
            .digest(),
        own.digest()
    );
    assert_ne!(Params::derive(5).unwrap().digest(), own.digest());
    let (mut a, mut b) = (vec![], vec![]);
    own.write(&mut a).unwrap();
    converted.write(&mut b).unwrap();
    assert!(a == b);
}

#[test]
fn rejects_files_of_another_kind_version_or_byte_order() {
    let (_, _, params, key) = example();
    let good = bytes(&key);
    let read = |bytes: &[u8]| {
        ProvingKey::read(bytes, Some(&OWNER))
            .map(|_| ())
            .unwrap_err()
    };
    let mut stored = vec![];
    params.write(&mut stored).unwrap();
    assert!(matches!(read(&stored), FileError::Kind { .. }));
    assert!(matches!(
        Params::read(good.as_slice()).unwrap_err(),
        FileError::Kind { .. }
    ));
    let mut other = good.clone();
    other[8..12].reverse();
    assert!(matches!(read(&other), FileError::ByteOrder));
    let mut other = good.clone();
    other[12] += 1;
    assert!(matches!(
        read(&other),
        FileError::Version {
            expected: 2,
            got: 3
        }
    ));
}

#[test]
fn rejects_keys_of_another_owner() {
    let (_, _, _, key) = example();
    let error = ProvingKey::read(bytes(&key).as_slice(), Some(&Tag([8; 32])))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(
        error,
        FileError::Owner {
            expected: Tag([8, ..]),
            got: OWNER
        }
    ));
    assert!(ProvingKey::read(bytes(&key).as_slice(), None).is_ok());
}

#[test]
fn rejects_damaged_and_truncated_files() {
    let (_, _, params, key) = example();
    let good = bytes(&key);
    for position in (0..good.len()).step_by(good.len() / 200 + 1) {
        let mut damaged = good.clone();
        damaged[position] ^= 1;
        assert!(
            ProvingKey::read(damaged.as_slice(), Some(&OWNER)).is_err(),
            "byte {position}"
        );
    }
    let mut damaged = good.clone();
    let last = damaged.len() - 33;
    damaged[last - 1] ^= 1;
    let error = ProvingKey::read(damaged.as_slice(), None)
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, FileError::Checksum | FileError::Range { .. }),
        "{error}"
    );
    for len in (0..good.len()).step_by(good.len() / 50 + 1) {
        assert!(matches!(
            ProvingKey::read(&good[..len], Some(&OWNER))
                .map(|_| ())
                .unwrap_err(),
            FileError::Io(_)
        ));
    }
    let mut stored = vec![];
    params.write(&mut stored).unwrap();
    let middle = stored.len() / 2;
    stored[middle] ^= 1;
    assert!(Params::read(stored.as_slice()).is_err());
    stored[middle] ^= 1;
    // The x coordinate of the first generator.
    stored[20] ^= 1;
    assert!(matches!(
        Params::read(stored.as_slice()).unwrap_err(),
        FileError::Point
    ));
}

#[test]
fn rejects_writing_to_a_full_disk() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_, _, _, key) = example();
    let len = bytes(&key).len();
    for room in [0, len / 2, len - 1] {
        assert!(matches!(
            key.write(Full(room)).unwrap_err(),
            FileError::Io(_)
        ));
    }
    key.write(Full(len)).unwrap();
}
