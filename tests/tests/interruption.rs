//! Processes that are killed, and processes that share a cache and an output.

use std::ffi::OsString;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zkonnx_tests::{Folder, command, model, zkonnx};

const NAME: &str = "cancer_mlp/qdq_u8s8_per_tensor.onnx";

fn start(args: &[OsString], cache: &Folder) -> Child {
    let mut command: Command = command(env!("CARGO_BIN_EXE_zkonnx-under-test"), args);
    command
        .env("ZKONNX_CACHE", cache.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn setup_args(folder: &Folder) -> Vec<OsString> {
    vec![
        "setup".into(),
        model(NAME).into(),
        "-o".into(),
        folder.join("keys").into(),
    ]
}

#[test]
fn accepts_a_kill_at_any_moment() {
    let folder = Folder::new();
    let input = model("cancer_mlp/input.json");
    for step in 0..12u64 {
        let cache = Folder::new();
        let mut child = start(&setup_args(&folder), &cache);
        std::thread::sleep(Duration::from_millis(step * step * 12));
        child.kill().unwrap();
        child.wait().unwrap();
        let keys = folder.join("keys");
        let mut prove = command(
            env!("CARGO_BIN_EXE_zkonnx-under-test"),
            ["prove", "--input"],
        );
        prove
            .arg(&input)
            .arg(&keys)
            .arg("-o")
            .arg(folder.join("receipt"));
        prove.env("ZKONNX_CACHE", cache.path());
        let answer = zkonnx_tests::answer(prove);
        // A whole set of keys, or none: never a key that is half there, never a cache that is in the way.
        if keys.join("manifest.json").exists() {
            answer.expect(0);
        } else {
            answer.expect(2);
        }
        // What the kill left behind goes with the next write into the same folder.
        zkonnx_tests::answer({
            let mut again = command(env!("CARGO_BIN_EXE_zkonnx-under-test"), setup_args(&folder));
            again.env("ZKONNX_CACHE", cache.path());
            again
        })
        .expect(0);
        let entries = std::fs::read_dir(&keys).unwrap();
        let left: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().ends_with("tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let _ = std::fs::remove_dir_all(keys);
    }
}

#[test]
fn accepts_processes_side_by_side_on_one_cache_and_one_output() {
    let (folder, cache) = (Folder::new(), Folder::new());
    let args = setup_args(&folder);
    let children: Vec<Child> = (0..3).map(|_| start(&args, &cache)).collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let left: Vec<String> = cache
        .names()
        .into_iter()
        .filter(|name| name.ends_with("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let (keys, receipt) = (folder.join("keys"), folder.join("receipt"));
    zkonnx!(
        "prove",
        &keys,
        "--input",
        model("cancer_mlp/input.json"),
        "-o",
        &receipt
    )
    .expect(0);
    zkonnx!("verify", &receipt, "--vk", keys.join("vk")).expect(0);
}

#[test]
fn accepts_a_cache_that_cannot_be_written() {
    let mut demo = command(env!("CARGO_BIN_EXE_zkonnx-under-test"), ["demo", "--json"]);
    demo.env("ZKONNX_CACHE", "/dev/null/nowhere");
    let answer = zkonnx_tests::answer(demo).expect(0);
    assert_eq!(answer.json()["accepted"], true);
    assert!(
        answer.err.contains("not kept for the next run"),
        "{}",
        answer.err
    );
}
