//! Keys and parameters survive being stored, and files that are not what they should be are refused by name.

mod common;

use std::io::{self, Write};

use common::random::{RandomCircuit, Spec, with};
use common::stock_proof;
use ff::{Field, PrimeField};
use group::{Curve, GroupEncoding};
use pasta_curves::arithmetic::CurveAffine;
use pasta_curves::{Eq, EqAffine, Fp, Fq};
use rand::SeedableRng;
use rand::rngs::StdRng;
use zkonnx_engine::{
    Cell, FileError, KeyMismatch, Options, Params, ProvingKey, Tag, constraint_system, keygen,
    keygen_columns, prove,
};
use zkonnx_verifier::ParamsError;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

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

fn stored(params: &Params) -> Vec<u8> {
    let mut bytes = vec![];
    params.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn accepts_parameters_of_halo2() {
    for k in [4, 7] {
        let own = stored(&Params::derive(k).unwrap());
        let halo2 = halo2_proofs::poly::commitment::Params::new(k);
        assert!(stored(&Params::from_halo2(&halo2).unwrap()) == own);
        assert!(stored(&Params::read(own.as_slice()).unwrap()) == own);
    }
}

/// The verifier pins its own list; the points that both have are the same.
#[test]
fn accepts_the_points_of_the_verifiers_parameters() {
    let (own, other) = (
        Params::derive(6).unwrap(),
        zkonnx_verifier::Params::derive(6).unwrap().encode(),
    );
    let points = [own.w(), own.u()].into_iter().chain(own.g());
    let lagrange = own.g_lagrange();
    let bytes = |point: EqAffine| {
        let coordinates = point.coordinates().unwrap();
        [coordinates.x().to_repr(), coordinates.y().to_repr()].concat()
    };
    let head: Vec<u8> = points.flat_map(bytes).collect();
    assert!(other[7..].starts_with(&head));
    let tail: Vec<u8> = lagrange.flat_map(bytes).collect();
    assert!(other.ends_with(&tail));
}

/// Bytes before the points: magic, byte order, version, k.
const HEAD: usize = 8 + 4 + 4 + 4;

/// The file with a checksum that matches, as whoever changed it would write it.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let mut state = blake2b_simd::blake2bp::Params::new()
        .hash_length(32)
        .to_state();
    state.update(&bytes[..end]);
    bytes[end..].copy_from_slice(state.finalize().as_bytes());
    bytes
}

#[track_caller]
fn assert_not_pinned(bytes: &[u8], expected: u32) {
    match Params::read(bytes).map(|_| ()).unwrap_err() {
        FileError::NotPinned { k } if k == expected => {}
        error => panic!("{error}"),
    }
}

fn point_at(index: usize) -> std::ops::Range<usize> {
    HEAD + 64 * index..HEAD + 64 * (index + 1)
}

#[test]
fn rejects_a_poisoned_point_or_multiple_in_every_section() {
    const K: u32 = 5;
    let good = stored(&Params::derive(K).unwrap());
    assert!(resealed(good.clone()) == good);
    let rows = 1usize << K;
    let bases = rows + 2;
    // Points of one basis, with its multiples.
    let table = (good.len() - HEAD - 32) / 64 / 2;
    assert!(table > bases && table.is_multiple_of(bases));
    let sections = [
        ("g", 0, rows),
        ("w", rows, bases - 1),
        ("u", rows + 1, bases),
        ("first multiples", bases, 2 * bases),
        ("last multiples", table - bases, table),
    ];
    for basis in [0, table] {
        for (name, start, end) in sections {
            for at in [basis + start, basis + end - 1] {
                // A point of the curve, so that only the digest can tell: another of the same file, or its negative.
                let other = if at == 1 { 2 } else { 1 };
                let mut bytes = good.clone();
                bytes.copy_within(point_at(other), point_at(at).start);
                assert!(bytes != good, "{name}");
                assert_not_pinned(&resealed(bytes), K);
                let y = point_at(at).start + 32..point_at(at).end;
                let mut bytes = good.clone();
                let repr = bytes[y.clone()].try_into().unwrap();
                let negated = -Option::<Fq>::from(Fq::from_repr(repr)).unwrap();
                bytes[y].copy_from_slice(&negated.to_repr());
                assert_not_pinned(&resealed(bytes), K);
            }
        }
    }
    // Two points that changed places, which no sum over the file would notice.
    let mut bytes = good.clone();
    let (a, b) = (point_at(table), point_at(table + 1));
    bytes[a.clone()].copy_from_slice(&good[b.clone()]);
    bytes[b].copy_from_slice(&good[a]);
    assert_not_pinned(&resealed(bytes), K);
}

#[test]
fn rejects_parameters_of_another_size_and_other_files_in_their_place() {
    let (four, five) = (
        stored(&Params::derive(4).unwrap()),
        stored(&Params::derive(5).unwrap()),
    );
    // A file that says it is of another size, cut or filled to that size's length.
    for (from, to, k) in [(&four, &five, 5u32), (&five, &four, 4)] {
        let mut bytes = from.clone();
        bytes.resize(to.len(), 1);
        bytes[HEAD - 4..HEAD].copy_from_slice(&k.to_le_bytes());
        bytes[to.len() - 32..].fill(0);
        // What was filled in may be no element.
        assert!(Params::read(resealed(bytes).as_slice()).is_err());
    }
    let mut bytes = five.clone();
    bytes[HEAD - 4..HEAD].copy_from_slice(&3u32.to_le_bytes());
    assert_not_pinned(&resealed(bytes), 3);
    for k in [16u32, 18, u32::MAX] {
        let mut bytes = five.clone();
        bytes[HEAD - 4..HEAD].copy_from_slice(&k.to_le_bytes());
        assert!(matches!(
            Params::read(resealed(bytes).as_slice()).unwrap_err(),
            FileError::Range { what: "k", .. }
        ));
    }
    // Bytes after the end.
    let longer = [&five[..], &[0]].concat();
    assert!(matches!(
        Params::read(longer.as_slice()).unwrap_err(),
        FileError::Checksum
    ));
    for k in [3, 16, 40] {
        assert_eq!(
            Params::derive(k).map(|_| ()).unwrap_err(),
            ParamsError::UnknownSize { k }
        );
    }
}

/// The attack that the digest is for: with other Lagrange points the columns of one circuit have the commitments of
/// another, so that a key that is derived for the one verifies proofs of the other.
#[test]
fn rejects_points_that_give_one_circuit_the_key_of_another() {
    const K: u32 = 5;
    let params = Params::derive(K).unwrap();
    let column = Column {
        kind: ColumnKind::Fixed,
        index: 0,
    };
    let cs = ConstraintSystem {
        num_fixed: 1,
        fixed_queries: vec![Query {
            column,
            rotation: 0,
        }],
        ..ConstraintSystem::default()
    };
    let key = |weights: &[u64]| {
        let fixed = weights.iter().copied().map(Fp::from).collect();
        let key = keygen_columns(&params, &cs, vec![fixed], &[], OWNER).unwrap();
        key.circuit().fixed_commitments()[0]
    };
    let (a, b) = ([3, 5, 7], [3, 6, 7]);
    assert_ne!(key(&a), key(&b));
    // 5·L' = 6·L in row 1, and all multiples of L' with it.
    let factor = Fp::from(6) * Fp::from(5).invert().unwrap();
    let good = stored(&params);
    let (bases, table) = ((1 << K) + 2, (good.len() - HEAD - 32) / 64 / 2);
    let mut evil = good.clone();
    let read = |bytes: &[u8], index: usize| {
        let coordinate = |at: usize| {
            let repr = bytes[point_at(index)][at..at + 32].try_into().unwrap();
            Option::<Fq>::from(Fq::from_repr(repr)).unwrap()
        };
        Option::<EqAffine>::from(EqAffine::from_xy(coordinate(0), coordinate(32))).unwrap()
    };
    for multiple in 0..table / bases {
        let index = table + multiple * bases + 1;
        let point = (read(&good, index) * factor).to_affine();
        let coordinates = point.coordinates().unwrap();
        let bytes = [coordinates.x().to_repr(), coordinates.y().to_repr()].concat();
        evil[point_at(index)].copy_from_slice(&bytes);
    }
    // Under these points the weights of A have the commitment of B.
    let lagrange = |row: usize| Eq::from(read(&evil, table + row));
    let weights = a.iter().enumerate();
    let sum: Eq = weights
        .map(|(row, weight)| lagrange(row) * Fp::from(*weight))
        .sum();
    assert_eq!((sum + params.w()).to_affine(), key(&b));
    assert_not_pinned(&resealed(evil.clone()), K);
    // Nor through the stock library's form.
    let mut halo2 = vec![];
    let stock = params.to_halo2().unwrap();
    stock.write(&mut halo2).unwrap();
    let at = 4 + 32 * ((1 << K) + 1);
    halo2[at..at + 32].copy_from_slice(&lagrange(1).to_affine().to_bytes());
    let stock = halo2_proofs::poly::commitment::Params::read(&mut halo2.as_slice()).unwrap();
    assert!(matches!(
        Params::from_halo2(&stock).unwrap_err(),
        FileError::NotPinned { k: K }
    ));
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
    for at in [20, stored.len() / 2, stored.len() - 1] {
        stored[at] ^= 1;
        assert!(matches!(
            Params::read(stored.as_slice()).unwrap_err(),
            FileError::Checksum
        ));
        stored[at] ^= 1;
    }
    assert!(Params::read(stored.as_slice()).is_ok());
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

/// A circuit with columns of every need: one that only a gate reads, a lookup table, one under the permutation.
fn columns() -> (ConstraintSystem, Vec<Vec<Fp>>, Vec<(Cell, Cell)>) {
    let column = |kind, index| Column { kind, index };
    let query = |kind, index| Query {
        column: column(kind, index),
        rotation: 0,
    };
    let (fixed, advice) = (ColumnKind::Fixed, ColumnKind::Advice);
    let gate = [
        Node::Fixed(0),
        Node::Advice(0),
        Node::Product,
        Node::Advice(0),
        Node::Product,
    ];
    let cs = ConstraintSystem {
        num_fixed: 3,
        num_advice: 2,
        fixed_queries: (0..3).map(|index| query(fixed, index)).collect(),
        advice_queries: (0..2).map(|index| query(advice, index)).collect(),
        gates: vec![Expression {
            nodes: gate.to_vec(),
        }],
        permutation: vec![column(advice, 0), column(advice, 1), column(fixed, 2)],
        lookups: vec![Lookup {
            inputs: vec![Expression {
                nodes: vec![Node::Advice(1)],
            }],
            tables: vec![Expression {
                nodes: vec![Node::Fixed(1)],
            }],
        }],
        ..ConstraintSystem::default()
    };
    let values = |start: u64| (start..start + 9).map(Fp::from).collect();
    let copies = vec![
        ((column(advice, 0), 1), (column(advice, 1), 2)),
        ((column(advice, 1), 3), (column(fixed, 2), 4)),
    ];
    (cs, vec![values(1), values(0), values(20)], copies)
}

#[test]
fn rejects_a_key_of_other_columns_or_copies() {
    let params = Params::derive(5).unwrap();
    let (cs, fixed, copies) = columns();
    let weight = Fp::random(&mut StdRng::seed_from_u64(5));
    let key = keygen_columns(&params, &cs, fixed.clone(), &copies, OWNER).unwrap();
    let key = ProvingKey::read(bytes(&key).as_slice(), Some(&OWNER)).unwrap();
    let check = |fixed: Vec<Vec<Fp>>, copies: &[(Cell, Cell)]| {
        key.check(&params, fixed, copies, weight).unwrap()
    };
    assert_eq!(check(fixed.clone(), &copies), Ok(()));
    for column in 0..3 {
        for row in [0, 8] {
            let mut other = fixed.clone();
            other[column][row] += Fp::ONE;
            assert!(check(other, &copies).is_err(), "column {column}");
        }
    }
    let mut longer = fixed.clone();
    longer[0].push(Fp::ONE);
    assert!(check(longer, &copies).is_err());
    for copies in [&copies[..1], &copies[1..], &[]] {
        assert_eq!(check(fixed.clone(), copies), Err(KeyMismatch::Copies));
    }
    let other = Params::derive(6).unwrap();
    assert_eq!(
        key.check(&other, fixed.clone(), &copies, weight).unwrap(),
        Err(KeyMismatch::Size)
    );
    assert!(key.check(&params, vec![], &copies, weight).is_err());
}

/// A key whose parts were changed one by one, with a checksum that matches.
#[test]
fn rejects_a_key_of_which_any_part_was_exchanged() {
    let params = Params::derive(5).unwrap();
    let (cs, fixed, copies) = columns();
    let weight = Fp::random(&mut StdRng::seed_from_u64(6));
    let key = keygen_columns(&params, &cs, fixed.clone(), &copies, OWNER).unwrap();
    let good = bytes(&key);
    let read = |bytes: Vec<u8>| {
        let key = ProvingKey::read(resealed(bytes).as_slice(), Some(&OWNER)).unwrap();
        key.check(&params, fixed.clone(), &copies, weight).unwrap()
    };
    assert_eq!(read(good.clone()), Ok(()));
    // From the end: the mapping, then elements, then the six commitments.
    let (rows, columns) = (32, cs.permutation.len());
    let mapping = good.len() - 32 - 4 * rows * columns;
    let mut bytes = good.clone();
    bytes.swap(mapping, mapping + 4);
    assert_eq!(read(bytes), Err(KeyMismatch::Copies));
    let points = [
        key.circuit().fixed_commitments(),
        key.circuit().permutation_commitments(),
    ]
    .concat();
    let first = points[0].coordinates().unwrap().x().to_repr();
    let commitments = good.windows(32).position(|window| window == first).unwrap();
    for index in 0..points.len() {
        let mut bytes = good.clone();
        let from = commitments + 64 * ((index + 1) % points.len());
        bytes.copy_within(from..from + 64, commitments + 64 * index);
        assert_eq!(read(bytes), Err(KeyMismatch::Commitments), "{index}");
    }
    // Two commitments that changed places.
    let mut bytes = good.clone();
    bytes[commitments..commitments + 128].rotate_left(64);
    assert_eq!(read(bytes), Err(KeyMismatch::Commitments));
    let elements = commitments + 64 * points.len();
    let mut kinds = std::collections::BTreeSet::new();
    for at in (elements..mapping).step_by(32) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let Err(mismatch) = read(bytes) else {
            panic!("element {}", (at - elements) / 32);
        };
        kinds.insert(format!("{mismatch:?}"));
    }
    assert!(kinds.len() > 2, "{kinds:?}");
}
