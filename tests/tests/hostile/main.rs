//! Model files that are damaged or mean harm: no panic, no more memory than is stated, one clear error, exit code 2.
//!
//! Files are mutated in their bytes and in their structure, from a seed. A mutated model may still be a valid one;
//! then it imports, and these are counted apart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod mutation;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mutation::{KINDS, Kind, mutate};
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};
use zkonnx_circuits::compile::{CompileError, Compiled, compile};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::Program;
use zkonnx_onnx::import;
use zkonnx_tests::{Folder, model, root, zkonnx};
use zkonnx_verifier::InputVisibility;

/// Mutants that are imported in this process.
const MUTANTS: usize = 2000;
/// Mutants that the command reads, if `HOSTILE_FILES` does not say another number.
const PROCESSES: usize = 40;

/// What an import may hold, and a planner after it: a multiple of the file, and what a few bytes may ask for. Constants
/// that are computed from smaller ones have at most 2^22 elements.
fn cap(file: usize) -> usize {
    64 * file + (512 << 20)
}

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
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let result = run();
    (result, PEAK.load(Ordering::SeqCst).saturating_sub(before))
}

/// Small models of most operators, and trained ones.
fn originals() -> Vec<(String, Vec<u8>)> {
    let folder = root().join("tests/tests/data/graphs");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.extend(
        [
            "digits_mlp/qdq_u8s8_per_channel.onnx",
            "digits_cnn/qdq_u8s8_per_tensor.onnx",
            "digits_res/qoperator_u8s8_per_channel.onnx",
            "two_io/qoperator_s8s8_per_tensor.onnx",
            "cancer_mlp/float.onnx",
        ]
        .map(model),
    );
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    let read = |p: PathBuf| (name(&p), std::fs::read(&p).unwrap());
    paths.into_iter().map(read).collect()
}

/// The mutants of a seed, with what they were made of.
fn mutants(seed: u64, count: usize) -> impl Iterator<Item = (String, Kind, Vec<u8>)> {
    let originals: Vec<_> = originals()
        .into_iter()
        .map(|(name, bytes)| {
            let model = ModelProto::decode(bytes.as_slice()).unwrap();
            (name, bytes, model)
        })
        .collect();
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(move |i| {
        let (name, bytes, model) = &originals[i / KINDS.len() % originals.len()];
        let kind = KINDS[i % KINDS.len()];
        (name.clone(), kind, mutate(bytes, model, kind, &mut rng))
    })
}

/// One test, since the allocator counts what all threads allocate.
#[test]
fn rejects_hostile_files_within_bounds() {
    let mut counts: BTreeMap<Kind, [usize; 2]> = BTreeMap::new();
    let mut most = (0, String::new());
    for (name, kind, bytes) in mutants(1, MUTANTS) {
        let context = format!("{kind:?} of {name}");
        let (result, held) = peak(|| import(&bytes).map_err(|e| e.to_string()));
        assert!(held <= cap(bytes.len()), "{context}: {held} bytes held");
        if held > most.0 {
            most = (held, context.clone());
        }
        counts.entry(kind).or_default()[usize::from(result.is_ok())] += 1;
        match result {
            Err(error) => assert!(
                !error.trim().is_empty() && !error.contains("panic"),
                "{context}: {error}"
            ),
            // What is still a model is planned, too; of the larger ones a few are enough.
            Ok(imported) if bytes.len() < 6000 => {
                let (_, held) = peak(|| compiled(imported.program));
                assert!(held <= cap(bytes.len()), "{context}: {held} bytes held");
            }
            Ok(_) => {}
        }
    }
    let sum = |i: usize| counts.values().map(|c| c[i]).sum::<usize>();
    println!("kind: refused, still valid");
    for (kind, [refused, valid]) in &counts {
        println!("{kind:?}: {refused}, {valid}");
    }
    println!(
        "{MUTANTS} mutants: {} refused, {} still valid; at most {} bytes held ({})",
        sum(0),
        sum(1),
        most.0,
        most.1
    );
    assert!(counts.values().all(|c| c[0] > 0), "{counts:?}");
    // Above and at the largest constant that is computed.
    bombs(1 << 12);
    bombs(1 << 11);
    too_public();
    processes();
}

/// A claim is larger than what a verifier has room for: said before anything is planned.
fn too_public() {
    let bytes = std::fs::read(root().join("tests/tests/data/graphs/random_60.onnx")).unwrap();
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    let input = &mut model.graph.as_mut().unwrap().input[0];
    let dims = mutation::input_dims(input).unwrap();
    dims[3].value = Some(dimension::Value::DimValue(1024));
    let program = import(&model.encode_to_vec()).unwrap().program;
    let error = compiled(program).unwrap_err();
    assert!(matches!(error, CompileError::TooPublic { .. }), "{error}");
}

fn compiled(program: Program) -> Result<Compiled, CompileError> {
    let options = PlanOptions::default();
    compile(Arc::new(program), InputVisibility::Public, &options)
}

/// Shape and values of a constant.
type Integers = (Vec<i64>, Vec<i64>);

/// A few bytes that ask for large constants.
fn bombs(side: i64) {
    let all: [(&str, Vec<Integers>); 6] = [
        ("ConstantOfShape", vec![(vec![2], vec![side, side])]),
        (
            "Range",
            vec![
                (vec![], vec![0]),
                (vec![], vec![side * side]),
                (vec![], vec![1]),
            ],
        ),
        (
            "Expand",
            vec![(vec![1], vec![7]), (vec![2], vec![side, side])],
        ),
        (
            "Tile",
            vec![(vec![1, 1], vec![7]), (vec![2], vec![side, side])],
        ),
        (
            "Add",
            vec![
                (vec![side, 1], (0..side).collect()),
                (vec![1, side], (0..side).collect()),
            ],
        ),
        (
            "Pad",
            vec![
                (vec![1, 1], vec![7]),
                (vec![4], vec![0, 0, side - 1, side - 1]),
            ],
        ),
    ];
    let (_, bytes) = &originals()[0];
    let original = ModelProto::decode(bytes.as_slice()).unwrap();
    for (op, constants) in all {
        let mut model = original.clone();
        let graph = model.graph.as_mut().unwrap();
        let mut names = Vec::new();
        for (i, (dims, values)) in constants.into_iter().enumerate() {
            let name = format!("bomb{i}");
            graph.initializer.push(TensorProto {
                name: name.clone(),
                dims,
                data_type: 7,
                int64_data: values,
                ..Default::default()
            });
            names.push(name);
        }
        for i in 0..8 {
            graph.node.push(NodeProto {
                op_type: op.into(),
                input: names.clone(),
                output: vec![format!("filled{i}")],
                ..Default::default()
            });
        }
        let bytes = model.encode_to_vec();
        let (result, held) = peak(|| import(&bytes).map(|_| ()));
        println!(
            "8 x {op}: {} bytes, {held} held, {}",
            bytes.len(),
            result.is_err()
        );
        assert!(held <= cap(bytes.len()), "{op}: {held} bytes held");
        assert!(result.is_err(), "{op}: all of it is computed");
    }
}

/// The command says the same: one error, exit code 2; or the model is valid, and it describes it.
fn processes() {
    let folder = Folder::new();
    let asked = std::env::var("HOSTILE_FILES");
    let count = asked.map_or(PROCESSES, |n| n.parse().expect("a number of files"));
    let mut refused = 0;
    for (name, kind, bytes) in mutants(2, count) {
        let path = folder.write("model.onnx", &bytes);
        let answer = zkonnx!("setup", &path, "-o", folder.join("keys"));
        let context = format!("{kind:?} of {name}: {answer:?}");
        if import(&bytes).is_ok() {
            assert!(answer.code == 0 || answer.code == 2, "{context}");
        } else {
            assert_eq!(answer.code, 2, "{context}");
        }
        let errors = answer.err.lines().filter(|l| l.starts_with("error: "));
        assert_eq!(errors.count(), usize::from(answer.code == 2), "{context}");
        assert!(!answer.err.contains("panicked"), "{context}");
        refused += usize::from(answer.code == 2);
    }
    println!("{count} files read by the command: {refused} refused with exit code 2");
}
