//! Decoding holds at most the multiple of its input that FORMATS.md states, whatever the input.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::claims::Model;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};
use zkonnx_verifier::interface::{
    Attribute, AttributeValue, FloatNode, Interface, InterfaceOutput, InterfaceParts, ModelOutput,
    Source,
};
use zkonnx_verifier::{
    Claim, ClaimInput, DataType, InputVisibility, PortSpec, PublicLayout, Receipt, TensorData,
    VerifyingKey,
};

/// Counts what is allocated, and the most that was at once.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// Every call goes to the system's allocator unchanged; only sizes are counted on the way.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(held, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a call holds at most, beyond what was held before.
fn peak(run: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    run();
    PEAK.load(Ordering::SeqCst) - before
}

fn assert_bounded(name: &str, bytes: &[u8], decode: impl FnOnce(&[u8])) {
    let held = peak(|| decode(bytes));
    let bound = 128 * bytes.len() + (1 << 20);
    println!("{name}: {} bytes, {held} held, bound {bound}", bytes.len());
    assert!(
        held <= bound,
        "{name}: {held} held for {} bytes",
        bytes.len()
    );
}

fn query(kind: ColumnKind, index: u32) -> Query {
    Query {
        column: Column { kind, index },
        rotation: 0,
    }
}

/// A key with these gates and lookups over so many advice columns.
fn key_bytes(advice: u32, gates: Vec<Expression>, lookups: Vec<Lookup>) -> Vec<u8> {
    let cs = ConstraintSystem {
        num_advice: advice,
        num_instance: 1,
        gates,
        advice_queries: (0..advice)
            .map(|index| query(ColumnKind::Advice, index))
            .collect(),
        lookups,
        ..ConstraintSystem::default()
    };
    let output = PortSpec::new(DataType::U8, vec![1]).unwrap();
    let layout = PublicLayout::new(InputVisibility::Private, vec![], vec![output]).unwrap();
    VerifyingKey::new(6, cs, vec![], vec![], layout, [0; 32])
        .unwrap()
        .encode()
}

fn repeated(start: &[Node], step: &[Node], count: usize) -> Expression {
    let mut nodes = start.to_vec();
    for _ in 0..count {
        nodes.extend_from_slice(step);
    }
    Expression { nodes }
}

/// The most that decoding a verifying key may hold, whatever its size: what FORMATS.md states.
const KEY_CAP: usize = 32 << 20;

/// Keys of 33 MB that promise more of something than a key may have, and hold it. The head is that of a whole key up to
/// its gates.
fn oversized(head: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    const SIZE: usize = 33 << 20;
    let count = |count: usize| (count as u32).to_le_bytes();
    let key = |parts: &[&[u8]]| [&[head], parts].concat().concat();
    let expression = |nodes: usize| [&count(nodes)[..], &vec![4; nodes]].concat();
    // A lookup of one input and one table.
    let lookup = [&1u16.to_le_bytes()[..], &expression(1), &expression(1)].concat();
    let lookups = SIZE / lookup.len();
    vec![
        ("one gate", key(&[&count(1), &expression(SIZE)])),
        (
            "gates of the most nodes",
            key(&[&count(8192), &expression(SIZE / 8192).repeat(8192)]),
        ),
        (
            "gates without nodes",
            key(&[&count(SIZE / 4), &vec![0; SIZE]]),
        ),
        (
            "gates within the cap, then one lookup",
            key(&[
                &count(1),
                &expression(1 << 18),
                &count(1),
                &1u16.to_le_bytes(),
                &expression(SIZE),
            ]),
        ),
        (
            "lookups",
            key(&[&count(0), &count(lookups), &lookup.repeat(lookups)]),
        ),
        (
            "wide lookups",
            key(&[
                &count(0),
                &count(1024),
                &[&64u16.to_le_bytes()[..], &expression(200).repeat(128)]
                    .concat()
                    .repeat(1024),
            ]),
        ),
        ("zeros", key(&[&count(0), &count(0), &vec![0; SIZE]])),
    ]
}

/// One test, because the allocator counts for the whole process.
#[test]
fn accepts_decoding_within_the_stated_multiple_of_the_input() {
    let cell = Node::Advice(0);
    let decode_key = |bytes: &[u8]| drop(std::hint::black_box(VerifyingKey::decode(bytes)));
    let keys = [
        (
            "negations",
            key_bytes(
                1,
                vec![repeated(&[cell], &[Node::Negated], 200_000)],
                vec![],
            ),
        ),
        (
            "sums to the left",
            key_bytes(
                1,
                vec![repeated(&[cell], &[cell, Node::Sum], 100_000)],
                vec![],
            ),
        ),
        (
            "small gates",
            key_bytes(1, vec![repeated(&[cell], &[], 0); 8192], vec![]),
        ),
        ("columns", key_bytes(4096, vec![], vec![])),
        ("small lookups", {
            let lookup = Lookup {
                inputs: vec![repeated(&[cell], &[], 0)],
                tables: vec![repeated(&[cell], &[], 0)],
            };
            key_bytes(1, vec![], vec![lookup; 1024])
        }),
        ("a small model", Model::small(1, 5).key.encode()),
    ];
    for (name, bytes) in &keys {
        assert!(VerifyingKey::decode(bytes).is_ok(), "{name}");
        assert_bounded(name, bytes, decode_key);
        assert!(peak(|| decode_key(bytes)) <= KEY_CAP, "{name}");
        // Cut short, it is refused at the end of all that work.
        assert_bounded(name, &bytes[..bytes.len() - 1], decode_key);
        // A count of all ones promises more than there is.
        let mut lying = bytes.clone();
        for at in (0..bytes.len().min(200)).step_by(7) {
            lying[at..(at + 4).min(bytes.len())].fill(0xff);
            assert_bounded(name, &lying, decode_key);
            lying.copy_from_slice(bytes);
        }
    }
    // Everything before the number of gates: a key without any ends in two empty lists.
    let whole = key_bytes(1, vec![], vec![]);
    for (name, bytes) in oversized(&whole[..whole.len() - 8]) {
        let held = peak(|| assert!(VerifyingKey::decode(&bytes).is_err(), "{name}"));
        println!("{name}: {} bytes, {held} held", bytes.len());
        assert!(held <= KEY_CAP, "{name}: {held} held");
        assert_bounded(name, &bytes, decode_key);
    }
    let values = TensorData::new(DataType::U8, vec![1 << 20], vec![1; 1 << 20]).unwrap();
    let claim = Claim::new([0; 32], ClaimInput::private(1), vec![values], [0; 32]).unwrap();
    let decode_claim = |bytes: &[u8]| drop(std::hint::black_box(Claim::decode(bytes)));
    assert_bounded("a claim", &claim.encode(), decode_claim);
    let scalars = vec![TensorData::new(DataType::U8, vec![], vec![1]).unwrap(); 64];
    let claim = Claim::new(
        [0; 32],
        ClaimInput::public(scalars.clone()),
        scalars,
        [0; 32],
    )
    .unwrap();
    let receipt = Receipt::new([0; 32], vec![claim; 64], vec![0; 1 << 20]).unwrap();
    let decode_receipt = |bytes: &[u8]| drop(std::hint::black_box(Receipt::decode(bytes)));
    assert_bounded("a receipt", &receipt.encode(), decode_receipt);
    let decode_interface = |bytes: &[u8]| drop(std::hint::black_box(Interface::decode(bytes)));
    for (name, interface) in interfaces() {
        let bytes = interface.encode();
        assert_bounded(name, &bytes, decode_interface);
        for at in (0..200).step_by(3) {
            let mut lying = bytes.clone();
            lying[at..at + 4].fill(0xff);
            assert_bounded(name, &lying, decode_interface);
        }
    }
}

/// Interfaces of many small parts.
fn interfaces() -> [(&'static str, Interface); 3] {
    let node = |attributes, inputs| FloatNode {
        domain: String::new(),
        op: String::new(),
        opset: 1,
        attributes,
        inputs,
        captures: vec![],
        outputs: 1,
    };
    let with = |nodes| {
        let spec = PortSpec::new(DataType::U8, vec![]).unwrap();
        let output = InterfaceOutput {
            spec,
            quantization: None,
        };
        let named = ModelOutput {
            name: String::new(),
            source: Source::Output(0),
        };
        Interface::new(InterfaceParts {
            outputs: vec![output],
            model_outputs: vec![named],
            nodes,
            ..InterfaceParts::default()
        })
        .unwrap()
    };
    let strings = Attribute {
        name: String::new(),
        value: AttributeValue::Strings(vec![vec![]; 1 << 16]),
    };
    [
        ("many strings", with(vec![node(vec![strings], vec![])])),
        ("many inputs", with(vec![node(vec![], vec![None; 1 << 16])])),
        ("many nodes", with(vec![node(vec![], vec![]); 1 << 14])),
    ]
}
