//! `zkonnx quantize` says how far it is from the float model, and does not write a model that is another one.

use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::Value;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use zkonnx_prover::numpy::{Array, Elements, write_npz};
use zkonnx_tests::{Answer, Folder, model, zkonnx};

fn info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension {
        value: Some(dimension::Value::DimValue(d)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn constant(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: data.to_vec(),
        ..Default::default()
    }
}

fn node(name: &str, op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: name.into(),
        op_type: op.into(),
        input: inputs.iter().map(|&s| s.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

/// A float model from `x`, a row of `width`, to outputs with their numbers of columns.
fn float_model(
    folder: &Folder,
    width: i64,
    outputs: &[(&str, i64)],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
) -> PathBuf {
    let outputs = outputs
        .iter()
        .map(|(name, columns)| info(name, &[1, *columns]));
    let graph = GraphProto {
        node: nodes,
        initializer: constants,
        input: vec![info("x", &[1, width])],
        output: outputs.collect(),
        ..Default::default()
    };
    let opset = OperatorSetIdProto {
        version: 17,
        ..Default::default()
    };
    let proto = ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    };
    folder.write("float.onnx", proto.encode_to_vec())
}

/// Samples of uniform numbers, each column times its size.
fn samples(folder: &Folder, count: usize, sizes: &[f32]) -> PathBuf {
    let mut state = 1u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values =
        (0..count).flat_map(|_| sizes.iter().map(|size| size * next()).collect::<Vec<_>>());
    let array = Array {
        shape: vec![count, sizes.len()],
        elements: Elements::F32(values.collect()),
    };
    folder.write("samples.npz", write_npz([("x", array)]).unwrap())
}

fn quantize(folder: &Folder, name: &Path, samples: &Path, more: &[&str]) -> Answer {
    let mut args: Vec<std::ffi::OsString> = vec![
        "quantize".into(),
        name.into(),
        "--calibrate".into(),
        samples.into(),
    ];
    args.extend(["-o".into(), folder.join("q.onnx").into(), "--json".into()]);
    args.extend(more.iter().map(Into::into));
    zkonnx_tests::answer(zkonnx_tests::command(
        env!("CARGO_BIN_EXE_zkonnx-under-test"),
        args,
    ))
}

#[track_caller]
fn reason(json: &Value, text: &str) {
    let reasons = json["reasons"].as_array().unwrap();
    let found = reasons
        .iter()
        .any(|reason| reason.as_str().unwrap().contains(text));
    assert!(found, "`{text}` is not in {reasons:?}");
}

#[test]
fn rejects_an_error_above_the_bound() {
    let folder = Folder::new();
    // Two features of very different size, standardized in the model: the small one is lost in the scale of the other.
    let nodes = vec![node("scaler", "Mul", &["x", "s"], "y")];
    let name = float_model(
        &folder,
        2,
        &[("y", 2)],
        nodes,
        vec![constant("s", &[2], &[0.001, 1.0])],
    );
    let far = samples(&folder, 20, &[1000.0, 1.0]);
    let json = quantize(&folder, &name, &far, &[]).expect(1).json();
    assert_eq!(json["accepted"], false);
    assert!(json["output"].is_null() && !folder.join("q.onnx").exists());
    reason(&json, "output `y` is");
    reason(&json, "above 10.000 %");
    reason(&json, "do this scaling outside of the model");
    let share = json["outputs"][0]["relative_rms"].as_f64().unwrap();
    assert!(share > 0.3, "{share}");
    // A bound of one's own is held too, and anything may be accepted.
    quantize(&folder, &name, &far, &["--accept-error=20"]).expect(1);
    assert!(!folder.join("q.onnx").exists());
    let json = quantize(&folder, &name, &far, &["--accept-error"])
        .expect(0)
        .json();
    assert!(json["accepted"] == true && json["error_bound"].is_null());
    assert!(folder.join("q.onnx").exists());
    quantize(&folder, &name, &far, &["--accept-error=100"]).expect(0);
    // What the message says to do, works.
    let near = samples(&folder, 20, &[1.0, 1.0]);
    let nodes = vec![node("scaler", "Mul", &["x", "s"], "y")];
    let name = float_model(
        &folder,
        2,
        &[("y", 2)],
        nodes,
        vec![constant("s", &[2], &[1.0, 1.0])],
    );
    quantize(&folder, &name, &near, &[]).expect(0);
}

#[test]
fn rejects_a_proof_of_less_than_the_model() {
    let folder = Folder::new();
    let weights = || {
        vec![constant(
            "w",
            &[3, 2],
            &[0.5, -0.25, 0.125, 0.75, -0.5, 0.25],
        )]
    };
    let data = samples(&folder, 20, &[1.0, 1.0, 1.0]);
    // An operator that nobody knows, and one that is known elsewhere but not proved, hold what the model does.
    for op in ["Frobnicate", "Det", "NonZero"] {
        let nodes = vec![
            node("t", "Identity", &["x"], "i"),
            node("net", op, &["i"], "y"),
        ];
        let name = float_model(&folder, 3, &[("y", 3)], nodes, weights());
        let answer = quantize(&folder, &name, &data, &[]);
        assert!(
            answer.code == 1 || answer.code == 2,
            "{op}: {} {}",
            answer.out,
            answer.err
        );
        assert!(!folder.join("q.onnx").exists(), "{op}");
        assert!(answer.out.contains(op), "{}", answer.out);
    }
    let nodes = vec![
        node("m", "MatMul", &["x", "w"], "a"),
        node("net", "Frobnicate", &["a"], "y"),
    ];
    let name = float_model(&folder, 3, &[("y", 2)], nodes, weights());
    let json = quantize(&folder, &name, &data, &["--accept-error=1000"])
        .expect(1)
        .json();
    reason(
        &json,
        "`net` (Frobnicate) would stay float and outside the proof",
    );
    reason(&json, "output `y` cannot be compared");
    assert_eq!(json["not_covered"][0]["op"], "Frobnicate");
    quantize(&folder, &name, &data, &["--accept-error"]).expect(0);
    // The usual end of a classifier is no part that is missed.
    let nodes = vec![
        node("m", "MatMul", &["x", "w"], "a"),
        node("p", "Softmax", &["a"], "y"),
    ];
    let name = float_model(&folder, 3, &[("y", 2)], nodes, weights());
    let json = quantize(&folder, &name, &data, &[]).expect(0).json();
    assert_eq!(json["not_proved"][0]["op"], "Softmax");
    assert_eq!(json["not_covered"], serde_json::json!([]));
}

#[test]
fn accepts_classes_only_where_there_are_several() {
    let folder = Folder::new();
    let data = samples(&folder, 20, &[1.0, 1.0]);
    for (columns, classes) in [(1, false), (3, true)] {
        let weights: Vec<f32> = (0..2 * columns).map(|i| 0.5 - 0.3 * i as f32).collect();
        let nodes = vec![node("m", "MatMul", &["x", "w"], "y")];
        let name = float_model(
            &folder,
            2,
            &[("y", columns)],
            nodes,
            vec![constant("w", &[2, columns], &weights)],
        );
        let json = quantize(&folder, &name, &data, &[]).expect(0).json();
        assert_eq!(
            json["outputs"][0]["same_argmax"].is_number(),
            classes,
            "{json}"
        );
        let text = zkonnx!(
            "quantize",
            &name,
            "--calibrate",
            &data,
            "-o",
            folder.join("q.onnx")
        )
        .expect(0)
        .out;
        assert_eq!(text.contains("argmax"), classes, "{text}");
    }
}

#[test]
fn accepts_samples_of_their_own_for_the_report() {
    let folder = Folder::new();
    let float = model("digits_mlp/float.onnx");
    let all = model("digits_mlp/samples.npz");
    let json = quantize(&folder, &float, &all, &[]).expect(0).json();
    let (calibrated, measured) = (
        json["samples"].as_u64().unwrap(),
        json["measured_samples"].as_u64().unwrap(),
    );
    assert!(
        json["held_out"] == true && measured == (calibrated + measured) / 5,
        "{calibrated} {measured}"
    );
    assert!(
        json["outputs"][0]["labels_right"]["float"]
            .as_u64()
            .unwrap()
            * 10
            > measured * 9
    );
    let few = samples(&folder, 20, &[1.0; 64]);
    let json = quantize(&folder, &float, &few, &[]).expect(0).json();
    assert!(json["held_out"] == false && json["measured_samples"] == 20);
    // Calibrated on numbers around zero, digits are far out of range: only other samples show it.
    let narrow = samples(&folder, 20, &[0.01; 64]);
    quantize(&folder, &float, &narrow, &[]).expect(0);
    let validate = all.to_string_lossy().into_owned();
    let json = quantize(&folder, &float, &narrow, &["--validate", &validate])
        .expect(1)
        .json();
    assert!(json["held_out"] == true && json["samples"] == 20 && json["measured_samples"] == 450);
    reason(&json, "calibrate with more samples");
}

#[test]
fn rejects_samples_that_have_no_range() {
    let folder = Folder::new();
    let nodes = vec![node("r", "Relu", &["x"], "y")];
    let name = float_model(&folder, 2, &[("y", 2)], nodes, Vec::new());
    for value in [f32::NAN, f32::INFINITY] {
        let array = Array {
            shape: vec![2, 2],
            elements: Elements::F32(vec![1.0, 2.0, value, 3.0]),
        };
        let data = folder.write("samples.npz", write_npz([("x", array)]).unwrap());
        let answer = quantize(&folder, &name, &data, &[]).expect(2);
        answer.one_line("sample 1: input `x` is");
        assert_eq!(answer.json()["error"]["kind"], "input_mismatch");
    }
}

#[test]
fn accepts_advice_that_can_be_followed() {
    let folder = Folder::new();
    let weights = || {
        vec![constant(
            "w",
            &[3, 2],
            &[0.5, -0.25, 0.125, 0.75, -0.5, 0.25],
        )]
    };
    // `check` does not send to `quantize` a model that `quantize` refuses.
    let nodes = vec![
        node("net", "Frobnicate", &["x"], "a"),
        node("m", "MatMul", &["a", "w"], "y"),
    ];
    let name = float_model(&folder, 3, &[("y", 2)], nodes, weights());
    let checked = zkonnx!("check", &name).expect(2);
    checked.one_line("node `net` (Frobnicate) is not an operator that is proved");
    assert!(!checked.err.contains("zkonnx quantize"), "{}", checked.err);
    assert!(
        checked.err.contains("cut the model behind `net`"),
        "{}",
        checked.err
    );
    // And where it does, that works, and what comes of it is accepted.
    let nodes = vec![node("m", "MatMul", &["x", "w"], "y")];
    let name = float_model(&folder, 3, &[("y", 2)], nodes, weights());
    zkonnx!("check", &name)
        .expect(2)
        .one_line("zkonnx quantize MODEL --calibrate");
    let data = samples(&folder, 20, &[1.0, 1.0, 1.0]);
    quantize(&folder, &name, &data, &[]).expect(0);
    zkonnx!("check", folder.join("q.onnx")).expect(0);
}

#[test]
fn accepts_a_report_with_the_worst_layers_first() {
    let folder = Folder::new();
    let float = model("digits_mlp/float.onnx");
    let data = model("digits_mlp/samples.npz");
    let page = folder.join("page.html");
    let option = format!("--report={}", page.display());
    let json = quantize(&folder, &float, &data, &[&option])
        .expect(0)
        .json();
    assert_eq!(json["report"], page.display().to_string());
    let mut layers: Vec<(f64, String)> = json["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| {
            let tensor = layer["tensor"].as_str().unwrap().to_owned();
            (layer["relative_rms"].as_f64().unwrap(), tensor)
        })
        .collect();
    layers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let html = std::fs::read_to_string(&page).unwrap();
    let table = html.split("Layers, the worst first").nth(1).unwrap();
    let places: Vec<usize> = layers
        .iter()
        .map(|(_, tensor)| table.find(&format!("<td>{tensor}</td>")).unwrap())
        .collect();
    assert!(places.is_sorted() && places.len() > 3, "{places:?}");
    // Of a model that is not accepted, the page says why, and nothing else is written.
    let option = format!("--report={}", folder.join("no.html").display());
    std::fs::remove_file(folder.join("q.onnx")).unwrap();
    quantize(&folder, &float, &data, &[&option, "--accept-error=0"]).expect(1);
    let html = std::fs::read_to_string(folder.join("no.html")).unwrap();
    assert!(html.contains("not accepted: output"));
    assert!(!folder.join("q.onnx").exists());
    // The page is not written over the model.
    let option = format!("--report={}", folder.join("q.onnx").display());
    quantize(&folder, &float, &data, &[&option]).expect(2);
}
