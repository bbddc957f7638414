//! The ids of the models of `models/` are those of `models/IDS`.
//!
//! A changed id is a changed meaning, and a changed key everybody's keys to make again: both belong in the changelog under
//! *Circuit*. To write the file anew: `cargo test -p zkonnx-tests --test pinned_ids -- --ignored`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::Program;
use zkonnx_onnx::Bindings;
use zkonnx_prover::artifact::hex;
use zkonnx_prover::cache::Cache;
use zkonnx_prover::keys::Keys;
use zkonnx_prover::model::Model;
use zkonnx_prover::progress::Progress;
use zkonnx_tests::model;
use zkonnx_verifier::InputVisibility;

const HEAD: &str = "# model, program id, id of the verifying key for public input\n";

/// All quantized models, by their paths below `models/`.
fn models() -> BTreeMap<String, Arc<Program>> {
    let root = model("");
    let mut folders = vec![root.clone()];
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "onnx")
                && path.file_name().is_some_and(|name| name != "float.onnx")
            {
                let name = path.strip_prefix(&root).unwrap();
                found.insert(name.to_str().unwrap().replace('\\', "/"), path);
            }
        }
    }
    let load = |path: &Path| Model::load(path, &Bindings::default()).unwrap().program;
    found
        .into_iter()
        .map(|(name, path)| (name, load(&path)))
        .collect()
}

/// The ids of verifying keys by program id: one key for each different program, made on all threads.
fn vk_ids(programs: &BTreeMap<[u8; 32], Arc<Program>>) -> BTreeMap<[u8; 32], String> {
    let programs: Vec<_> = programs.iter().collect();
    let (next, made) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let cache = Cache::of_user();
    let work = || {
        while let Some((id, program)) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let keys = Keys::generate(
                Arc::clone(program),
                InputVisibility::Public,
                &PlanOptions::default(),
                &cache,
                &Progress::hidden(),
            );
            let vk = hex(keys.unwrap().verifying.id());
            made.lock().unwrap().insert(**id, vk);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    made.into_inner().unwrap()
}

fn ids() -> String {
    let models = models();
    let programs = models.values().map(|p| (p.id(), Arc::clone(p))).collect();
    let keys = vk_ids(&programs);
    let mut text = HEAD.to_owned();
    for (name, program) in &models {
        let id = program.id();
        writeln!(text, "{name} {} {}", hex(&id), keys[&id]).unwrap();
    }
    text
}

fn pinned() -> String {
    std::fs::read_to_string(model("IDS")).unwrap()
}

#[test]
fn accepts_only_the_pinned_ids_of_all_models() {
    let (ids, pinned) = (ids(), pinned());
    let changed: Vec<&str> = ids.lines().filter(|line| !pinned.contains(line)).collect();
    assert!(
        changed.is_empty(),
        "other ids than models/IDS:\n{}",
        changed.join("\n")
    );
    // None is left over either.
    assert_eq!(ids, pinned);
    assert!(ids.lines().count() > 50);
}

/// Both forms of a network are one program.
#[test]
fn accepts_one_id_for_both_forms_of_a_network() {
    let pinned = pinned();
    let id = |name: &str| {
        let mut lines = pinned.lines().map(|line| line.split(' '));
        let mut line = lines
            .find(|line| line.clone().next() == Some(name))
            .unwrap();
        line.nth(1).unwrap().to_owned()
    };
    for network in ["digits_mlp", "digits_cnn", "cancer_mlp", "two_io"] {
        let form = |form: &str| id(&format!("{network}/{form}_u8s8_per_tensor.onnx"));
        assert_eq!(form("qdq"), form("qoperator"), "{network}");
    }
}

#[test]
#[ignore = "writes models/IDS"]
fn write_ids() {
    std::fs::write(model("IDS"), ids()).unwrap();
}
