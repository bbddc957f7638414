//! The verifier links what is listed here and nothing else.

use std::process::Command;

/// Everything that a settlement layer has to trust or audit. `rand` and `rand_core` come with pasta_curves, for traits
/// only; nothing here draws randomness from anywhere.
const RUNTIME: [&str; 14] = [
    "arrayvec",
    "blake2b_simd",
    "constant_time_eq",
    "ff",
    "group",
    "hex-literal",
    "pasta_curves",
    "rand",
    "rand_core",
    "static_assertions",
    "subtle",
    "thiserror",
    "thiserror-impl",
    "zkonnx-verifier",
];

/// What `thiserror-impl` needs while compiling.
const COMPILE_TIME: [&str; 4] = ["proc-macro2", "quote", "syn", "unicode-ident"];

fn dependencies(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--package",
            "zkonnx-verifier",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--target",
            "all",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_string)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn rejects_a_dependency_that_is_not_listed() {
    let mut expected: Vec<&str> = RUNTIME.into_iter().chain(COMPILE_TIME).collect();
    expected.sort_unstable();
    for arguments in [&["--no-default-features"][..], &[]] {
        assert_eq!(dependencies(arguments), expected, "with {arguments:?}");
    }
}
