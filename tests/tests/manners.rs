//! What commands owe their users: nothing of theirs is destroyed, nothing that they said is ignored, and nothing is
//! done to their data without a word.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use zkonnx_prover::numpy::{Array, Elements, write_npz};
use zkonnx_tests::{Folder, model, zkonnx};

const MLP: &str = "digits_mlp/qdq_u8s8_per_tensor.onnx";
const TWO: &str = "two_io/qdq_u8s8_per_tensor.onnx";

/// A folder with a model, an input and keys.
fn workplace() -> Folder {
    let folder = Folder::new();
    folder.write("model.onnx", std::fs::read(model(MLP)).unwrap());
    folder.write(
        "input.json",
        std::fs::read(model("digits_mlp/input.json")).unwrap(),
    );
    zkonnx!(
        "setup",
        folder.join("model.onnx"),
        "-o",
        folder.join("keys")
    )
    .expect(0);
    folder
}

fn floats(shape: &[usize], values: Vec<f32>) -> Array {
    Array {
        shape: shape.to_vec(),
        elements: Elements::F32(values),
    }
}

fn npz(folder: &Folder, name: &str, arrays: &[(&str, Array)]) -> std::path::PathBuf {
    let arrays = arrays.iter().map(|(name, array)| (*name, array.clone()));
    folder.write(name, write_npz(arrays).unwrap())
}

#[test]
fn rejects_outputs_that_are_inputs_before_anything_is_done() {
    let folder = workplace();
    let (name, input, keys) = (
        folder.join("model.onnx"),
        folder.join("input.json"),
        folder.join("keys"),
    );
    symlink(&name, folder.join("link")).unwrap();
    std::fs::hard_link(&input, folder.join("hard")).unwrap();
    symlink(folder.path(), folder.join("again")).unwrap();
    let contents = |path: &Path| std::fs::read(path).unwrap();
    let before =
        [&name, &input, &keys.join("pk"), &keys.join("program")].map(|path| contents(path));
    for output in [
        "model.onnx",
        "keys/../model.onnx",
        "link",
        "again/model.onnx",
        "input.json",
        "hard",
    ] {
        let output = folder.join(output);
        let proved = zkonnx!("prove", &name, "--input", &input, "-o", &output, "--json").expect(2);
        proved.one_line("this is also what the command reads");
        assert_eq!(proved.json()["error"]["kind"], "output_place");
        for option in ["--claim", "--dump-tensors"] {
            zkonnx!("run", &name, "--input", &input, option, &output)
                .expect(2)
                .one_line("this is also what the command reads");
        }
        zkonnx!("quantize", &name, "--calibrate", &input, "-o", &output)
            .expect(2)
            .one_line("this is also what the command reads");
    }
    for file in ["pk", "program", "vk", "manifest.json"] {
        zkonnx!("prove", &keys, "--input", &input, "-o", keys.join(file))
            .expect(2)
            .one_line("this is also what the command reads");
    }
    zkonnx!("setup", keys.join("program"), "-o", &keys)
        .expect(2)
        .one_line("this is also what the command reads");
    zkonnx!("check", &name, "--html", folder.join("link"))
        .expect(2)
        .one_line("this is also what the command reads");
    let both = folder.join("both");
    zkonnx!(
        "run",
        &name,
        "--input",
        &input,
        "--claim",
        &both,
        "--dump-tensors",
        folder.join("again/both")
    )
    .expect(2)
    .one_line("two results");
    let after = [&name, &input, &keys.join("pk"), &keys.join("program")].map(|path| contents(path));
    assert!(before == after);
}

#[test]
fn rejects_places_that_cannot_be_written_before_anything_is_read() {
    let folder = Folder::new();
    // There is no model: whoever reads first complains of that.
    let (name, input) = (folder.join("no.onnx"), folder.join("no.json"));
    let file = folder.write("file", "x");
    for output in [
        folder.join("no/such"),
        file.join("below"),
        folder.path().into(),
        "/proc/receipt".into(),
    ] {
        for answer in [
            zkonnx!("prove", &name, "--input", &input, "-o", &output, "--json"),
            zkonnx!(
                "quantize",
                &name,
                "--calibrate",
                &input,
                "-o",
                &output,
                "--json"
            ),
            zkonnx!(
                "run", &name, "--input", &input, "--claim", &output, "--json"
            ),
        ] {
            let kind = answer.expect(2).json()["error"]["kind"].clone();
            assert!(
                kind == "file_write" || kind == "file_type",
                "{kind}: {}",
                output.display()
            );
        }
    }
    zkonnx!("setup", &name, "-o", file.join("keys"))
        .expect(2)
        .one_line("a folder is needed");
    zkonnx!("demo", "-o", &file)
        .expect(2)
        .one_line("a folder is needed");
    assert_eq!(folder.names(), ["file"]);
    // Root may write what nobody may, so the rule shows only for others.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    if std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .is_err()
    {
        zkonnx!("prove", &name, "--input", &input, "-o", &file)
            .expect(2)
            .one_line("Permission denied");
    }
}

#[test]
fn accepts_a_file_that_is_there_and_replaces_it() {
    let folder = workplace();
    let old = folder.write("receipt", "old");
    zkonnx!(
        "prove",
        folder.join("keys"),
        "--input",
        folder.join("input.json"),
        "-o",
        &old
    )
    .expect(0);
    zkonnx!("verify", &old, "--vk", folder.join("keys/vk")).expect(0);
}

#[test]
fn rejects_options_that_would_change_nothing() {
    let folder = workplace();
    let (name, input, keys) = (
        folder.join("model.onnx"),
        folder.join("input.json"),
        folder.join("keys"),
    );
    let receipt = folder.join("receipt");
    for option in [
        "--optimize=memory",
        "--optimize=prover",
        "--max-proof-bytes=30000",
    ] {
        zkonnx!("prove", &keys, "--input", &input, "-o", &receipt, option)
            .expect(2)
            .one_line("planned already");
        zkonnx!(
            "prove", &name, "--keys", &keys, "--input", &input, "-o", &receipt, option
        )
        .expect(2)
        .one_line("planned already");
        zkonnx!("verify", &receipt, "--vk", keys.join("vk"), option)
            .expect(2)
            .one_line("every key was given");
    }
    zkonnx!(
        "prove",
        &name,
        "--input",
        &input,
        "-o",
        &receipt,
        "--engine",
        "stock",
        "--max-memory",
        "1GB"
    )
    .expect(2)
    .one_line("--max-memory does not apply");
    // A dimension of a model is nothing to what has none that is open, and has one extent.
    let dim = ["--dim", "batch=2"];
    for answer in [
        zkonnx!("run", &keys, "--input", &input, dim[0], dim[1]),
        zkonnx!("check", keys.join("program"), dim[0], dim[1]),
        zkonnx!("inspect", keys.join("vk"), dim[0], dim[1]),
        zkonnx!("verify", &receipt, "--vk", keys.join("vk"), dim[0], dim[1]),
        zkonnx!("check", &name, dim[0], dim[1], dim[0], "batch=3"),
    ] {
        answer.expect(2).one_line("--dim does not apply");
    }
    zkonnx!("ops", dim[0], dim[1]).expect(2);
    for command in ["check", "mock", "setup"] {
        let place = folder.join("other");
        let answer = match command {
            "check" => zkonnx!(command, &keys),
            "mock" => zkonnx!(command, &keys, "--input", &input),
            _ => zkonnx!(command, &keys, "-o", &place),
        };
        answer.expect(2).one_line("planned already");
    }
    // What the message says to do, works.
    zkonnx!("check", keys.join("program")).expect(0);
    let claim = folder.join("claim");
    zkonnx!("run", &keys, "--input", &input, "--claim", &claim).expect(0);
    let zeros = "00".repeat(32);
    zkonnx!(
        "mock",
        &name,
        "--input",
        &input,
        "--claim",
        &claim,
        "--context",
        zeros
    )
    .expect(2);
    let samples = model("digits_mlp/samples.npz");
    zkonnx!("mock", &name, "--input", samples, "--claim", &claim)
        .expect(2)
        .one_line("choose with --sample");
    zkonnx!("ops", "--markdown", "--json").expect(2);
    assert!(!receipt.exists());
}

#[test]
fn rejects_tensors_that_the_model_does_not_take() {
    let folder = Folder::new();
    let (mlp, two) = (model(MLP), model(TWO));
    let x = || floats(&[1, 64], vec![0.5; 64]);
    let extra = npz(
        &folder,
        "extra.npz",
        &[("x", x()), ("x_mask", x()), ("more", x())],
    );
    let answer = zkonnx!("run", &mlp, "--input", &extra, "--json").expect(2);
    answer.one_line("`x_mask`, `more`, which the model does not take; its inputs are `x`");
    assert_eq!(answer.json()["error"]["kind"], "input_mismatch");
    let json = format!("{{\"x\": {0:?}, \"z\": {0:?}}}", vec![0.5; 64]);
    for text in [json.clone(), json.replace("\"x\"", "\"input_data\"")] {
        zkonnx!("run", &mlp, "--input", folder.write("extra.json", text))
            .expect(2)
            .one_line("`z`, which the model does not take; its inputs are `x`");
    }
    let wrong = npz(&folder, "wrong.npz", &[("u", x()), ("v", x())]);
    zkonnx!("run", &two, "--input", &wrong)
        .expect(2)
        .one_line("its inputs are");
    // One tensor for one input needs no name, but is not taken for another without a word.
    let renamed = npz(&folder, "renamed.npz", &[("image", x())]);
    let answer = zkonnx!("run", &mlp, "--input", &renamed, "--json").expect(0);
    assert_eq!(answer.json()["warnings"][0]["kind"], "input_renamed");
    assert!(
        answer.err.contains("`image` is taken for the input `x`"),
        "{}",
        answer.err
    );
    let numbered = npz(&folder, "numbered.npz", &[("arr_0", x())]);
    let answer = zkonnx!("run", &mlp, "--input", &numbered, "--json").expect(0);
    assert_eq!(answer.json()["warnings"], serde_json::json!([]));
    assert_eq!(answer.err, "");
    let calibrated = zkonnx!(
        "quantize",
        model("digits_mlp/float.onnx"),
        "--calibrate",
        &extra,
        "-o",
        folder.join("q")
    );
    calibrated.expect(2).one_line("its inputs are `x`");
}

#[test]
fn accepts_values_beyond_the_range_and_counts_them() {
    let folder = Folder::new();
    let mlp = model(MLP);
    let mut values = vec![0.5; 3 * 64];
    (values[3], values[4], values[70], values[71]) = (1e9, -3.5, f32::INFINITY, f32::NEG_INFINITY);
    let input = npz(
        &folder,
        "wide.npz",
        &[("x", floats(&[3, 64], values.clone()))],
    );
    let receipt = folder.join("receipt");
    for answer in [
        zkonnx!("run", &mlp, "--input", &input, "--json"),
        zkonnx!("prove", &mlp, "--input", &input, "-o", &receipt, "--json"),
        zkonnx!("mock", &mlp, "--input", &input, "--json"),
    ] {
        let answer = answer.expect(0);
        let warning = answer.json()["warnings"][0].clone();
        assert_eq!(warning["kind"], "saturated");
        assert_eq!(warning["input"], "x");
        assert_eq!(
            (&warning["elements"], &warning["of"]),
            (&4.into(), &192.into())
        );
        assert_eq!(
            (&warning["least"], &warning["greatest"]),
            (&"-Infinity".into(), &"Infinity".into())
        );
        assert!(
            warning["range"][0].as_f64() < warning["range"][1].as_f64(),
            "{warning}"
        );
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
        assert!(
            answer.err.starts_with("warning: ") && answer.err.contains("4 of 192"),
            "{}",
            answer.err
        );
    }
    // Of the chosen sample only.
    let one = |sample: &str| {
        zkonnx!("run", &mlp, "--input", &input, "--sample", sample, "--json")
            .expect(0)
            .json()["warnings"]
            .clone()
    };
    assert_eq!(
        (&one("0")[0]["elements"], &one("0")[0]["of"]),
        (&2.into(), &64.into())
    );
    assert_eq!(one("2"), serde_json::json!([]));
    values[100] = f32::NAN;
    let nan = npz(&folder, "nan.npz", &[("x", floats(&[3, 64], values))]);
    zkonnx!("run", &mlp, "--input", &nan)
        .expect(2)
        .one_line("not a number at position 36");
}

#[test]
fn accepts_the_ends_of_the_range_without_a_word() {
    let folder = Folder::new();
    let json = zkonnx!("inspect", model(MLP), "--json").expect(0).json();
    let quantization = &json["inputs"][0]["quantization"];
    let scale = quantization["scale"][0].as_f64().unwrap() as f32;
    let zero = quantization["zero_point"][0].as_i64().unwrap() as f32;
    let mut values = vec![(0.0 - zero) * scale; 64];
    values[1] = (255.0 - zero) * scale;
    let warnings = |values: &[f32]| {
        let input = npz(
            &folder,
            "ends.npz",
            &[("x", floats(&[64], values.to_vec()))],
        );
        zkonnx!("run", model(MLP), "--input", &input, "--json")
            .expect(0)
            .json()["warnings"]
            .clone()
    };
    assert_eq!(warnings(&values), serde_json::json!([]));
    values[1] = (255.75 - zero) * scale;
    assert_eq!(warnings(&values)[0]["elements"], 1);
}

#[test]
fn accepts_labels_or_says_why_not() {
    let folder = Folder::new();
    let x = || floats(&[3, 64], vec![0.5; 192]);
    let labels = |count: usize| Array {
        shape: vec![count],
        elements: Elements::Int("<i8", vec![1; count]),
    };
    for (name, array, used) in [
        ("y", labels(3), true),
        ("y_logits", labels(3), true),
        ("y", labels(2), false),
        ("y_other", labels(3), false),
        ("y", floats(&[3], vec![0.5; 3]), false),
    ] {
        let input = npz(&folder, "labels.npz", &[("x", x()), (name, array)]);
        let json = zkonnx!("run", model(MLP), "--input", &input, "--json")
            .expect(0)
            .json();
        assert_eq!(
            json["accuracy"].as_array().unwrap().len(),
            usize::from(used),
            "{name}"
        );
        assert_eq!(
            json["warnings"].as_array().unwrap().len(),
            usize::from(!used),
            "{name}"
        );
        if !used {
            assert_eq!(json["warnings"][0]["kind"], "labels_unused");
        }
    }
    // Labels of several files belong to their samples.
    let input = npz(&folder, "labels.npz", &[("x", x()), ("y", labels(3))]);
    let json = zkonnx!(
        "run",
        model(MLP),
        "--input",
        &input,
        "--input",
        &input,
        "--json"
    )
    .expect(0)
    .json();
    assert_eq!(json["accuracy"][0]["samples"], 6);
}

#[test]
fn accepts_several_samples_and_shows_the_first() {
    let samples = model("digits_mlp/samples.npz");
    let text = zkonnx!("run", model(MLP), "--input", &samples)
        .expect(0)
        .out;
    assert_eq!(text.matches("output  logits").count(), 10, "{text}");
    assert!(
        text.contains("sample 9\n") && text.contains("more samples"),
        "{text}"
    );
    assert!(text.len() < 4000);
}

#[test]
fn rejects_some_receipts_and_says_what_became_of_each() {
    let folder = workplace();
    let (input, keys) = (folder.join("input.json"), folder.join("keys"));
    let (good, vk) = (folder.join("good"), keys.join("vk"));
    zkonnx!("prove", &keys, "--input", &input, "-o", &good).expect(0);
    let bytes = std::fs::read(&good).unwrap();
    let mut lie = bytes.clone();
    lie[bytes.len() - 3000] ^= 1;
    let lie = folder.write("lie", lie);
    let malformed = folder.write("malformed", &bytes[..bytes.len() / 2]);
    let verdicts = |paths: &[&Path], keys: &[&Path]| {
        let mut args: Vec<std::ffi::OsString> = vec!["verify".into(), "--json".into()];
        args.extend(paths.iter().map(Into::into));
        for key in keys {
            args.extend(["--vk".into(), key.into()]);
        }
        let answer = zkonnx_tests::answer(zkonnx_tests::command(
            env!("CARGO_BIN_EXE_zkonnx-under-test"),
            args,
        ));
        let json = answer.json();
        assert_eq!(json["exit_code"], answer.code);
        assert_eq!(json["error"].is_object(), answer.code > 1);
        let entries = json["receipts"].as_array().unwrap().iter();
        let words: Vec<String> = entries
            .map(|entry| entry["verdict"].as_str().unwrap().to_owned())
            .collect();
        (answer.code, words.join(" "))
    };
    let absent = folder.join("absent");
    assert_eq!(
        verdicts(&[&good, &lie], &[&vk]),
        (1, "accepted rejected".into())
    );
    assert_eq!(
        verdicts(&[&malformed, &good], &[&vk]),
        (2, "unchecked accepted".into())
    );
    assert_eq!(
        verdicts(&[&good, &absent, &lie, folder.path(), &good], &[&vk]),
        (2, "accepted unchecked rejected unchecked accepted".into())
    );
    // The same for keys: one that is bad hides nothing that the others say.
    assert_eq!(
        verdicts(&[&good], &[&vk, &malformed]),
        (2, "accepted".into())
    );
    assert_eq!(verdicts(&[&good], &[&malformed]), (2, "unchecked".into()));
    let text = zkonnx!("verify", &malformed, &good, "--vk", &vk).expect(2);
    assert!(
        text.out.contains("unchecked") && text.out.contains("accepted"),
        "{}",
        text.out
    );
    text.one_line("not a valid receipt");
}

#[test]
fn accepts_a_mock_that_names_inputs_and_outputs() {
    let folder = Folder::new();
    let (name, input, claim) = (
        model(MLP),
        model("digits_mlp/input.json"),
        folder.join("claim"),
    );
    let samples = model("digits_mlp/samples.npz");
    // The claim of another sample: input and output differ, the weights of the model do not.
    zkonnx!(
        "run", &name, "--input", &samples, "--sample", "5", "--claim", &claim
    )
    .expect(0);
    let places = |claim: &Path| -> Vec<String> {
        let json = zkonnx!("mock", &name, "--input", &input, "--claim", claim, "--json")
            .expect(1)
            .json();
        let failures = json["failures"].as_array().unwrap().iter();
        let mut places: Vec<String> = failures
            .inspect(|failure| assert!(failure["node"].is_null(), "{failure}"))
            .map(|failure| failure["place"].as_str().unwrap().to_owned())
            .collect();
        places.sort();
        places.dedup();
        places
    };
    assert_eq!(places(&claim), ["input `x`", "output `logits`"]);
    let ones = "11".repeat(32);
    zkonnx!(
        "run",
        &name,
        "--input",
        &input,
        "--claim",
        &claim,
        "--context",
        ones
    )
    .expect(0);
    // Any context is as true as another, so nothing fails.
    zkonnx!("mock", &name, "--input", &input, "--claim", &claim).expect(0);
}

#[test]
fn rejects_usage_in_json_too() {
    for (args, command) in [
        (&["--json"][..], None),
        (&["no-such-command", "--json"], None),
        (&["prove", "--json"], Some("prove")),
        (&["--json", "run", "--no-such-option"], Some("run")),
        (
            &["verify", "a", "--json", "--expect-vk", "12"],
            Some("verify"),
        ),
        (
            &["quantize", "--json", "m", "--method", "no"],
            Some("quantize"),
        ),
    ] {
        let answer = zkonnx_tests::answer(zkonnx_tests::command(
            env!("CARGO_BIN_EXE_zkonnx-under-test"),
            args,
        ));
        let json = answer.expect(2).json();
        assert_eq!(json["error"]["kind"], "usage", "{args:?}");
        assert_eq!(json["command"], serde_json::json!(command), "{args:?}");
        assert!(
            json["error"]["message"].as_str().unwrap().len() > 10,
            "{json}"
        );
    }
    for args in [&["--version", "--json"][..], &["prove", "--json", "--help"]] {
        let answer = zkonnx_tests::answer(zkonnx_tests::command(
            env!("CARGO_BIN_EXE_zkonnx-under-test"),
            args,
        ));
        assert!(answer.expect(0).json()["text"].is_string());
    }
}
