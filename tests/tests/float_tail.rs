//! The part of a model that is not proved: computed by `run`, named by every command that shows what a proof is about.

use std::path::{Path, PathBuf};

use serde_json::Value;
use zkonnx_tests::{Folder, zkonnx};

/// Written by `tests/oracle/float_tail.py`.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/float_tail.onnx")
}

const INPUT: &str = r#"{"x": [[0.3, -1.2, 2.0, 0.0, 0.51, 0.5]]}"#;
const NODES: [&str; 5] = ["Reshape", "Softmax", "ArgMax", "Mul", "Tanh"];

/// What ONNX Runtime 1.31 answers, as the script prints it.
const SOFTMAX: [f64; 6] = [
    0.149_318_858_981_132_5,
    0.033_317_539_840_936_66,
    0.817_363_619_804_382_3,
    0.232_696_548_104_286_2,
    0.383_651_733_398_437_5,
    0.383_651_733_398_437_5,
];
const TANH: [f64; 6] = [
    0.148_885_026_574_134_83,
    -0.537_049_591_541_290_3,
    0.761_594_176_292_419_4,
    0.0,
    0.244_918_659_329_414_37,
    0.244_918_659_329_414_37,
];

#[track_caller]
fn names_the_tail(nodes: &Value) {
    let ops: Vec<&str> = nodes
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["op"].as_str().unwrap())
        .collect();
    assert_eq!(ops, NODES);
}

#[track_caller]
fn holds_the_values_of_onnx_runtime(outputs: &Value) {
    for (output, name, expected) in [(0, "p", SOFTMAX), (2, "t", TANH)] {
        let output = &outputs[output];
        assert_eq!(output["name"], name);
        assert_eq!(
            (&output["dtype"], &output["proved"]),
            (&"f32".into(), &false.into())
        );
        for (got, expected) in output["values"].as_array().unwrap().iter().zip(expected) {
            assert!(
                (got.as_f64().unwrap() - expected).abs() < 1e-6,
                "{name}: {got} {expected}"
            );
        }
    }
    assert_eq!(outputs[1]["values"], serde_json::json!([2, 1]));
}

#[test]
fn accepts_a_float_tail_with_the_values_of_onnx_runtime() {
    let folder = Folder::new();
    let input = folder.join("input.json");
    std::fs::write(&input, INPUT).unwrap();
    let json = zkonnx!("run", model(), "--input", &input, "--json")
        .expect(0)
        .json();
    names_the_tail(&json["not_proved"]);
    holds_the_values_of_onnx_runtime(&json["results"][0]["float_outputs"]);
    let text = zkonnx!("run", model(), "--input", &input).expect(0).out;
    assert!(
        text.contains("float   p f32[2,3] = 0.1493 0.0333 0.8174"),
        "{text}"
    );
    assert!(
        text.contains("float   a i64[2] = 2 1, not proved"),
        "{text}"
    );
}

#[test]
fn accepts_that_every_command_names_what_is_not_proved() {
    let folder = Folder::new();
    let (input, receipt, keys) = (
        folder.join("input.json"),
        folder.join("receipt"),
        folder.join("keys"),
    );
    std::fs::write(&input, INPUT).unwrap();
    let proved = zkonnx!(
        "prove",
        model(),
        "--input",
        &input,
        "-o",
        &receipt,
        "--json"
    )
    .expect(0)
    .json();
    names_the_tail(&proved["not_proved"]);
    holds_the_values_of_onnx_runtime(&proved["claims"][0]["float_outputs"]);
    let verified = zkonnx!("verify", &receipt, "--model", model(), "--json")
        .expect(0)
        .json();
    names_the_tail(&verified["receipts"][0]["not_proved"]);
    let text = zkonnx!("verify", &receipt, "--model", model())
        .expect(0)
        .out;
    assert!(
        text.contains("not proved: r (Reshape), p (Softmax)"),
        "{text}"
    );
    names_the_tail(&zkonnx!("inspect", model(), "--json").expect(0).json()["not_proved"]);

    let made = zkonnx!("setup", model(), "-o", &keys, "--json")
        .expect(0)
        .json();
    names_the_tail(&made["not_proved"]);
    names_the_tail(&zkonnx!("inspect", &keys, "--json").expect(0).json()["not_proved"]);
    let again = zkonnx!("prove", &keys, "--input", &input, "-o", &receipt, "--json")
        .expect(0)
        .json();
    names_the_tail(&again["not_proved"]);
    // The floats need the model, of which the keys hold the integers alone.
    assert_eq!(again["claims"][0]["float_outputs"], serde_json::json!([]));
}
