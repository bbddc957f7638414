//! Files that somebody else could have written, as a user meets them: a poisoned cache, a folder with foreign keys, keys
//! of sizes that nobody verifies, a full disk, what killed processes left behind.

use std::fs;
use std::path::{Path, PathBuf};

use zkonnx_tests::{Answer, Folder, answer, command, model, zkonnx};
use zkonnx_verifier::{DecodeError, KeyError, MAX_K, VerifyingKey};

const NAME: &str = "cancer_mlp/qdq_u8s8_per_tensor.onnx";

fn with_cache(cache: &Path, args: &[&Path]) -> Answer {
    let mut command = command(env!("CARGO_BIN_EXE_zkonnx-under-test"), args);
    command.env("ZKONNX_CACHE", cache);
    answer(command)
}

/// A receipt of the model, the folder of its keys, and the cache that both were made with.
fn proved(folder: &Folder) -> (PathBuf, PathBuf, PathBuf) {
    let [receipt, keys, cache] = ["receipt", "keys", "cache"].map(|name| folder.join(name));
    let setup = [
        "setup".as_ref(),
        model(NAME).as_path(),
        "-o".as_ref(),
        &keys,
    ]
    .map(Path::to_owned);
    with_cache(&cache, &setup.each_ref().map(PathBuf::as_path)).expect(0);
    let input = model("cancer_mlp/input.json");
    with_cache(
        &cache,
        &[
            "prove".as_ref(),
            &keys,
            "--input".as_ref(),
            &input,
            "-o".as_ref(),
            &receipt,
        ],
    )
    .expect(0);
    (receipt, keys, cache)
}

/// Bytes before the first point of a file of parameters for proving.
const HEAD: usize = 20;

#[test]
fn rejects_a_poisoned_cache_and_derives_the_same_key_from_it() {
    let folder = Folder::new();
    let (receipt, _, cache) = proved(&folder);
    let names: Vec<String> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let name = names
        .iter()
        .find(|name| name.starts_with("prove-"))
        .unwrap();
    let path = cache.join(name);
    let whole = fs::read(&path).unwrap();
    let table = (whole.len() - HEAD - 32) / 2;
    // Two Lagrange points, and two of their multiples, change places: all are points of the curve.
    for at in [HEAD + table, HEAD + 2 * table - 128] {
        let mut evil = whole.clone();
        evil[at..at + 128].rotate_left(64);
        fs::write(&path, &evil).unwrap();
        let answer = with_cache(
            &cache,
            &[
                "verify".as_ref(),
                &receipt,
                "--model".as_ref(),
                &model(NAME),
                "--json".as_ref(),
            ],
        )
        .expect(0);
        assert_eq!(answer.json()["receipts"][0]["program_derived"], true);
        assert!(answer.err.contains("derived again"), "{}", answer.err);
        assert!(fs::read(&path).unwrap() == whole);
    }
}

#[test]
fn rejects_keys_of_sizes_without_pinned_parameters_before_any_work() {
    let folder = Folder::new();
    let (receipt, keys, _) = proved(&folder);
    let bytes = fs::read(keys.join("vk")).unwrap();
    let k = MAX_K + 1;
    let with_size = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] = k as u8;
        bytes
    };
    let refused = Err(DecodeError::Key(KeyError::SizeOutOfRange { k }));
    let at = (0..bytes.len())
        .find(|&at| VerifyingKey::decode(&with_size(at)) == refused)
        .unwrap();
    let vk = folder.write("vk", with_size(at));
    let cache = folder.join("untouched");
    let answer = with_cache(&cache, &["verify".as_ref(), &receipt, "--vk".as_ref(), &vk]);
    answer.expect(2).one_line("verifying key");
    assert!(!cache.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn rejects_a_full_disk_with_the_same_code_for_every_file() {
    let folder = Folder::new();
    for name in ["program", "pk", "vk", "manifest.json"] {
        let keys = folder.join(name);
        fs::create_dir(&keys).unwrap();
        std::os::unix::fs::symlink("/dev/full", keys.join(name)).unwrap();
        zkonnx!("setup", model(NAME), "-o", &keys)
            .expect(3)
            .one_line(name);
    }
    let input = model("cancer_mlp/input.json");
    zkonnx!("prove", model(NAME), "--input", &input, "-o", "/dev/full").expect(3);
}

#[test]
fn accepts_what_a_killed_process_left_behind_and_removes_it() {
    let folder = Folder::new();
    let keys = folder.join("keys");
    fs::create_dir(&keys).unwrap();
    let left = ".pk.0123456789abcdef.zkonnx-tmp";
    fs::write(keys.join(left), b"half a key").unwrap();
    zkonnx!("setup", model(NAME), "-o", &keys).expect(0);
    let mut names: Vec<String> = fs::read_dir(&keys)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "pk", "program", "vk"]);
}
