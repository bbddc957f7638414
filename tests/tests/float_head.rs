//! What a model computes before its integers: outside of the proof, the same from the model and from a folder of keys.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zkonnx_prover::numpy::{Array, Elements, write_npz};
use zkonnx_tests::{Folder, zkonnx};

/// Written by `tests/oracle/float_head.py`.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/float_head.onnx")
}

/// Rows, and what ONNX Runtime 1.31 answers, as the script prints it.
const ROWS: [[f32; 3]; 3] = [
    [3.0, 1500.0, -0.25],
    [4.0, 1500.5, 0.25],
    [f32::NAN, 900.0, 0.0],
];
const LABELS: [i64; 3] = [10, 30, 30];
const SCORES: [[f64; 3]; 3] = [[1.0, 0.25, 0.75], [0.0, 0.125, 1.875], [0.25, 0.5, 1.25]];

#[track_caller]
fn holds_the_values_of_onnx_runtime(answer: &Value) {
    for (i, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["outputs"][0]["values"], json!([LABELS[i]]), "{i}");
        assert_eq!(result["outputs"][1]["real"], json!(SCORES[i]), "{i}");
    }
}

#[test]
fn accepts_one_answer_from_the_model_and_from_its_keys() {
    let folder = Folder::new();
    let array = Array {
        shape: vec![3, 1, 3],
        elements: Elements::F32(ROWS.concat()),
    };
    let rows = folder.write("rows.npz", write_npz([("x", array)]).unwrap());
    let one = folder.write("one.json", r#"{"x": [[4.0, 1500.5, 0.25]]}"#);
    let (keys, receipt) = (folder.join("keys"), folder.join("receipt"));
    let run = zkonnx!("run", model(), "--input", &rows, "--json").expect(0);
    holds_the_values_of_onnx_runtime(&run.json());
    let nodes = run.json()["not_proved"].clone();
    let before = nodes.as_array().unwrap();
    assert_eq!(before[0]["op"], "Sub");
    assert!(before.iter().all(|node| node["before"] == true));

    zkonnx!("setup", model(), "-o", &keys).expect(0);
    let same = zkonnx!("run", &keys, "--input", &rows, "--json").expect(0);
    holds_the_values_of_onnx_runtime(&same.json());
    assert_eq!(same.json()["not_proved"], nodes);
    zkonnx!("prove", &keys, "--input", &one, "-o", &receipt).expect(0);
    let verified = zkonnx!("verify", &receipt, "--model", model(), "--json").expect(0);
    assert_eq!(verified.json()["receipts"][0]["not_proved"], nodes);
    // The integers of a program can be given as they are, under their own name.
    let name = zkonnx!("inspect", &keys, "--json").expect(0);
    assert!(name.json().to_string().contains("x prepared"));
    let integers = folder.write("ranks.json", r#"{"x prepared": [[2, 2, 1]]}"#);
    let ranks = zkonnx!(
        "run",
        &keys,
        "--input",
        &integers,
        "--quantized-input",
        "--json"
    );
    assert_eq!(
        ranks.expect(0).json()["results"][0]["outputs"][0]["values"],
        json!([30])
    );
    zkonnx!("run", &keys, "--input", &integers)
        .expect(2)
        .one_line("nor an input of the model (x)");
}
