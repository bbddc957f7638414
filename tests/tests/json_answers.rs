//! Every command answers as `docs/json/` describes, whatever becomes of it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use zkonnx_prover::numpy::{Array, Elements, write_npz};
use zkonnx_tests::schema::Schema;
use zkonnx_tests::{Folder, answer, command, model, root};

const MLP: &str = "digits_mlp/qdq_u8s8_per_tensor.onnx";

/// Asks commands and remembers which documents came.
struct Asked {
    schema: Schema,
    seen: BTreeSet<String>,
}

impl Asked {
    fn new() -> Self {
        let text = std::fs::read_to_string(root().join("docs/json/answers.schema.json")).unwrap();
        Self {
            schema: Schema::new(&text).unwrap(),
            seen: BTreeSet::new(),
        }
    }

    /// The answer to a command, which has to be one object that fits the definition and says the exit code.
    #[track_caller]
    fn ask(&mut self, document: &str, code: i32, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Value {
        let mut all: Vec<OsString> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        all.push("--json".into());
        let got = answer(command(env!("CARGO_BIN_EXE_zkonnx-under-test"), all)).expect(code);
        assert_eq!(got.out.lines().count(), 1, "{}", got.out);
        let json = got.json();
        if let Err(reason) = self.schema.check(document, &json) {
            panic!("{reason}");
        }
        assert_eq!(json["exit_code"], code);
        assert_eq!(json.get("error").is_some(), code > 1, "{json}");
        self.seen.insert(document.to_owned());
        json
    }

    /// As [`Asked::ask`] for what was not carried out.
    #[track_caller]
    fn fails(&mut self, kind: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Value {
        let json = self.ask("failure", 2, args);
        assert_eq!(json["error"]["kind"], kind, "{json}");
        json
    }
}

/// A model in which an operator has another name of the same length.
fn renamed(folder: &Folder) -> std::path::PathBuf {
    let mut bytes = std::fs::read(model("two_io/qoperator_u8s8_per_tensor.onnx")).unwrap();
    let (from, to) = (b"QLinearMatMul", b"QLinearMatMad");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    folder.write("renamed.onnx", bytes)
}

#[test]
fn accepts_the_answers_of_all_commands() {
    let mut asked = Asked::new();
    let folder = Folder::new();
    let (mlp, input, samples) = (
        model(MLP),
        model("digits_mlp/input.json"),
        model("digits_mlp/samples.npz"),
    );
    let tail = root().join("tests/tests/data/float_tail.onnx");
    let tail_input = folder.write("tail.json", r#"{"x": [[0.3, -1.2, 2.0, 0.0, 0.51, 0.5]]}"#);
    let (keys, receipt, claim) = (
        folder.join("keys"),
        folder.join("receipt"),
        folder.join("claim"),
    );

    asked.ask("help", 0, &[&"--version"]);
    asked.ask("help", 0, &[&"prove", &"--help"]);
    asked.ask("ops", 0, &[&"ops"]);
    asked.ask("demo", 0, &[&"demo"]);
    asked.ask("check", 0, &[&"check", &mlp, &"--private-input"]);
    asked.ask("check", 0, &[&"check", &tail]);
    asked.ask("check_unsupported", 2, &[&"check", &renamed(&folder)]);
    asked.ask("setup", 0, &[&"setup", &mlp, &"-o", &keys]);
    asked.ask("run", 0, &[&"run", &mlp, &"--input", &samples]);
    asked.ask("run", 0, &[&"run", &tail, &"--input", &tail_input]);
    asked.ask(
        "run",
        0,
        &[&"run", &mlp, &"--input", &input, &"--claim", &claim],
    );
    asked.ask(
        "prove",
        0,
        &[
            &"prove", &keys, &"--input", &input, &"--input", &input, &"-o", &receipt,
        ],
    );
    let accepted = asked.ask(
        "verify",
        0,
        &[&"verify", &receipt, &receipt, &"--model", &mlp],
    );
    assert_eq!(accepted["receipts"][1]["verdict"], "accepted");
    let zeros = "00".repeat(32);
    asked.ask(
        "verify",
        1,
        &[
            &"verify",
            &receipt,
            &"--vk",
            &keys.join("vk"),
            &"--expect-vk",
            &zeros,
        ],
    );
    asked.ask(
        "verify",
        2,
        &[
            &"verify",
            &receipt,
            &claim,
            &folder.join("no"),
            &"--vk",
            &keys.join("vk"),
        ],
    );
    asked.ask(
        "mock",
        0,
        &[&"mock", &mlp, &"--input", &input, &"--claim", &claim],
    );
    asked.ask(
        "run",
        0,
        &[
            &"run",
            &mlp,
            &"--input",
            &samples,
            &"--sample",
            &"3",
            &"--claim",
            &claim,
        ],
    );
    asked.ask(
        "mock",
        1,
        &[&"mock", &mlp, &"--input", &input, &"--claim", &claim],
    );
    inspected(&mut asked, &[&mlp, &keys, &receipt, &claim]);
    inspected(
        &mut asked,
        &["program", "vk", "pk"]
            .map(|name| keys.join(name))
            .each_ref()
            .map(|p| p.as_path()),
    );
    let (cache, again) = (folder.join("cache"), folder.join("again"));
    asked.ask(
        "setup",
        0,
        &[&"setup", &mlp, &"-o", &again, &"--cache", &cache],
    );
    asked.ask(
        "prove",
        0,
        &[
            &"prove", &again, &"--input", &input, &"-o", &receipt, &"--cache", &cache,
        ],
    );
    let params = std::fs::read_dir(&cache).unwrap().flatten();
    let params: Vec<_> = params.map(|entry| entry.path()).collect();
    assert_eq!(
        params.len(),
        2,
        "parameters for proving and for verifying: {params:?}"
    );
    let paths: Vec<&Path> = params.iter().map(|path| path.as_path()).collect();
    inspected(&mut asked, &paths);
    let float = model("digits_mlp/float.onnx");
    let q = folder.join("q.onnx");
    asked.ask(
        "quantize",
        0,
        &[&"quantize", &float, &"--calibrate", &samples, &"-o", &q],
    );
    let strict = asked.ask(
        "quantize",
        1,
        &[
            &"quantize",
            &float,
            &"--calibrate",
            &samples,
            &"-o",
            &folder.join("s"),
            &"--accept-error=0.001",
        ],
    );
    assert!(
        strict["reasons"][0]
            .as_str()
            .unwrap()
            .contains("output `logits` is"),
        "{strict}"
    );

    asked.fails("usage", &[&"prove"]);
    let all: BTreeSet<String> = asked.schema.documents().into_iter().collect();
    assert_eq!(
        asked.seen, all,
        "every document of the schema is one that some command answers"
    );
}

fn inspected(asked: &mut Asked, paths: &[&Path]) {
    for path in paths {
        asked.ask("inspect", 0, &[&"inspect", path]);
    }
}

#[test]
fn accepts_failures_with_a_kind() {
    let mut asked = Asked::new();
    let folder = Folder::new();
    let (mlp, input) = (model(MLP), model("digits_mlp/input.json"));
    let float = model("digits_mlp/float.onnx");
    let out = folder.join("out");
    let empty = folder.write("empty", "");
    let text = folder.write("text", "hello, I am no model");
    asked.fails("usage", &[&"no-such-command"]);
    asked.fails("file_missing", &[&"check", &folder.join("absent")]);
    asked.fails("file_empty", &[&"inspect", &empty]);
    asked.fails("file_type", &[&"run", &mlp, &"--input", &folder.path()]);
    asked.fails(
        "keys_unusable",
        &[&"prove", &folder.path(), &"--input", &input, &"-o", &out],
    );
    asked.fails("model_malformed", &[&"check", &text]);
    asked.fails("model_float", &[&"check", &float]);
    asked.fails(
        "model_quantized",
        &[&"quantize", &mlp, &"--calibrate", &input, &"-o", &out],
    );
    asked.fails(
        "input_mismatch",
        &[&"run", &mlp, &"--input", &model("cancer_mlp/input.json")],
    );
    asked.fails("input_malformed", &[&"run", &mlp, &"--input", &text]);
    asked.fails(
        "output_place",
        &[&"prove", &mlp, &"--input", &input, &"-o", &input],
    );
    asked.fails(
        "file_write",
        &[
            &"prove",
            &mlp,
            &"--input",
            &input,
            &"-o",
            &folder.join("no/such"),
        ],
    );
    asked.fails(
        "no_such_sample",
        &[&"run", &mlp, &"--input", &input, &"--sample", &"1"],
    );
    asked.fails(
        "memory_limit",
        &[
            &"prove",
            &mlp,
            &"--input",
            &input,
            &"-o",
            &out,
            &"--max-memory",
            &"1MB",
        ],
    );
    let json = asked.fails(
        "model_unsupported",
        &[&"prove", &renamed(&folder), &"--input", &input, &"-o", &out],
    );
    assert!(json["problems"][0]["node"].is_string(), "{json}");
    asked.ask("verify", 2, &[&"verify", &text, &"--vk", &text]);
    assert!(!out.exists());
}

#[test]
fn accepts_warnings_and_numbers_that_json_has_no_word_for() {
    let mut asked = Asked::new();
    let folder = Folder::new();
    let mut values = vec![0.5; 64];
    values[9] = f32::INFINITY;
    let labels = Array {
        shape: vec![1],
        elements: Elements::F32(vec![1.0]),
    };
    let image = Array {
        shape: vec![64],
        elements: Elements::F32(values),
    };
    let arrays = [("x", image), ("y", labels)];
    let input = folder.write(
        "wide.npz",
        write_npz(arrays.iter().map(|(n, a)| (*n, a.clone()))).unwrap(),
    );
    let json = asked.ask("run", 0, &[&"run", &model(MLP), &"--input", &input]);
    let kinds: Vec<&str> = json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["labels_unused", "saturated"]);
    assert_eq!(json["warnings"][1]["greatest"], "Infinity");
    let inspected = asked.ask("inspect", 0, &[&"inspect", &model(MLP)]);
    assert!(inspected["inputs"][0]["quantization"]["scale"][0].is_number());
}

#[test]
fn rejects_what_a_schema_does_not_describe() {
    let schema = Schema::new(r##"{"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {
        "a": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}, "l": {"type": "array", "items": {"$ref": "#/$defs/b"}}}, "required": ["n"]},
        "b": {"anyOf": [{"type": "number"}, {"enum": ["NaN"]}]},
        "c": {"maximum": 3}}}"##).unwrap();
    for good in [json!({"n": 1}), json!({"n": 0, "l": [1.5, "NaN"]})] {
        assert_eq!(schema.check("a", &good), Ok(()));
    }
    for bad in [
        json!([]),
        json!({}),
        json!({"n": -1}),
        json!({"n": 1.5}),
        json!({"n": 1, "m": 1}),
        json!({"n": 1, "l": ["x"]}),
    ] {
        assert!(schema.check("a", &bad).is_err(), "{bad}");
    }
    assert!(
        schema
            .check("c", &json!(1))
            .is_err_and(|e| e.contains("maximum"))
    );
}
