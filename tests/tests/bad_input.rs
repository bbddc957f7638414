//! Bad input as users produce it: one clear line, exit code 2, and nothing written.

use std::path::Path;

use zkonnx_tests::{Folder, answer, command, model, zkonnx};

const MLP: &str = "digits_mlp/qdq_u8s8_per_tensor.onnx";

/// `zkonnx prove` of a model and an input fails with one line, and leaves no receipt behind.
#[track_caller]
fn refused(folder: &Folder, name: &Path, input: &Path, text: &str) {
    let before = folder.names();
    let receipt = folder.join("receipt");
    zkonnx!("prove", name, "--input", input, "-o", &receipt)
        .expect(2)
        .one_line(text);
    zkonnx!("run", name, "--input", input)
        .expect(2)
        .one_line(text);
    assert_eq!(folder.names(), before);
}

#[test]
fn rejects_bad_model_files() {
    let folder = Folder::new();
    let input = model("digits_mlp/input.json");
    let whole = std::fs::read(model(MLP)).unwrap();
    refused(
        &folder,
        &folder.join("absent.onnx"),
        &input,
        "there is no such file",
    );
    refused(
        &folder,
        &folder.write("empty.onnx", ""),
        &input,
        "the file is empty",
    );
    refused(
        &folder,
        &folder.write("text.onnx", "hello, I am no model"),
        &input,
        "not an ONNX model",
    );
    refused(
        &folder,
        &model("digits_mlp/float.onnx"),
        &input,
        "float model",
    );
    for part in [2, 3, 10] {
        let truncated = folder.write("truncated.onnx", &whole[..whole.len() * (part - 1) / part]);
        refused(&folder, &truncated, &input, "truncated.onnx: ");
    }
    let directory = folder.join("directory");
    std::fs::create_dir(&directory).unwrap();
    refused(
        &folder,
        &directory,
        &input,
        "not a folder made by `zkonnx setup`",
    );
    for command in ["check", "inspect"] {
        zkonnx!(command, folder.join("absent.onnx"))
            .expect(2)
            .one_line("there is no such file");
        zkonnx!(command, &directory)
            .expect(2)
            .one_line("manifest.json");
    }
}

/// A model in which operators have other names of the same lengths.
fn renamed(folder: &Folder, name: &str, pairs: &[(&str, &str)]) -> std::path::PathBuf {
    let mut bytes = std::fs::read(model(name)).unwrap();
    // The field `op_type` of a node: tag 4, length, text.
    let field = |text: &str| [&[0x22, text.len() as u8], text.as_bytes()].concat();
    for (from, to) in pairs {
        let (from, to) = (field(from), field(to));
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(&from) {
                bytes[at..at + from.len()].copy_from_slice(&to);
            }
        }
    }
    folder.write("renamed.onnx", bytes)
}

#[test]
fn rejects_all_unsupported_nodes_at_once() {
    let folder = Folder::new();
    let name = "two_io/qoperator_u8s8_per_tensor.onnx";
    let pairs = [("QLinearMatMul", "QLinearMatMad"), ("QGemm", "QGems")];
    let bad = renamed(&folder, name, &pairs);
    let answer = zkonnx!("check", &bad).expect(2);
    let json = zkonnx!("check", &bad, "--json").expect(2).json();
    assert_eq!(json["supported"], false);
    let problems = json["problems"].as_array().unwrap();
    for (_, op) in pairs {
        assert!(answer.out.contains(op), "{}", answer.out);
        let problem = problems.iter().find(|problem| problem["op"] == op);
        let problem = problem.unwrap_or_else(|| panic!("{op} is not in {json}"));
        assert!(problem["node"].is_string() && problem["opset"].is_number());
        assert!(problem["reason"].is_string(), "{problem}");
    }
    let receipt = folder.join("receipt");
    let input = model("two_io/input.json");
    let proved = zkonnx!("prove", &bad, "--input", input, "-o", &receipt).expect(2);
    assert!(
        pairs.iter().all(|(_, op)| proved.err.contains(op)),
        "{}",
        proved.err
    );
    assert!(!receipt.exists());
}

#[test]
fn rejects_bad_input_files() {
    let folder = Folder::new();
    let name = model(MLP);
    let sixty_four = |value: &str| format!("{{\"input_data\": [[{}]]}}", vec![value; 64].join(","));
    refused(
        &folder,
        &name,
        &folder.join("absent.json"),
        "there is no such file",
    );
    refused(&folder, &name, folder.path(), "this is a folder");
    for (text, expected) in [
        ("", "the file is empty"),
        ("{", "not valid JSON"),
        ("{\"input_data\": [[1, 2, 3]]}", "has shape [1, 64]"),
        ("{\"input_data\": [[[1, 2], [3]]]}", "of one length"),
        ("{\"data\": [[1]]}", "neither `input_data` nor"),
        ("{\"input_data\": [[\"a\"]]}", "not text"),
        ("{\"input_data\": [[null]]}", "not null"),
        ("{\"input_data\": []}", "expected 1, got 0"),
        ("[]", "has shape [1, 64]"),
        ("3", "expected {"),
        (&sixty_four("NaN"), "not valid JSON"),
        (&sixty_four("\"NaN\""), "not text"),
        (&sixty_four("1e999"), "not valid JSON"),
    ] {
        refused(&folder, &name, &folder.write("input.json", text), expected);
    }
    let nan = zkonnx_prover::numpy::Array {
        shape: vec![1, 64],
        elements: zkonnx_prover::numpy::Elements::F32(vec![f32::NAN; 64]),
    };
    let whole = nan.write();
    refused(
        &folder,
        &name,
        &folder.write("nan.npy", &whole),
        "position 0",
    );
    refused(
        &folder,
        &name,
        &folder.write("short.npy", &whole[..200]),
        "its header announces",
    );
    refused(
        &folder,
        &name,
        &folder.write("bytes.pb", [0xff; 40]),
        "neither JSON",
    );
    refused(
        &folder,
        &name,
        &folder.write("zip.npz", b"PK\x03\x04 and no more"),
        "truncated or damaged",
    );
    let samples = std::fs::read(model("digits_mlp/samples.npz")).unwrap();
    refused(
        &folder,
        &name,
        &folder.write("cut.npz", &samples[..samples.len() / 2]),
        "truncated or damaged",
    );
    refused(
        &folder,
        &name,
        &model("cancer_mlp/samples.npz"),
        "has shape [1, 64]",
    );
    refused(
        &folder,
        &model("two_io/qdq_u8s8_per_tensor.onnx"),
        &model("digits_mlp/input.json"),
        "expected 2, got 1",
    );
    let fraction = sixty_four("0.5");
    let fraction = folder.write("input.json", fraction);
    zkonnx!("run", &name, "--input", &fraction, "--quantized-input")
        .expect(2)
        .one_line("takes integers");
    let large = folder.write("input.json", sixty_four("256"));
    zkonnx!("run", &name, "--input", &large, "--quantized-input")
        .expect(2)
        .one_line("outside 0 to 255");
}

#[test]
fn rejects_bad_arguments() {
    let folder = Folder::new();
    let (name, input) = (model(MLP), model("digits_mlp/input.json"));
    for context in ["", "12", "zz", &"g".repeat(64), &"1".repeat(65)] {
        let answer = zkonnx!(
            "prove",
            &name,
            "--input",
            &input,
            "-o",
            folder.join("r"),
            "--context",
            context
        )
        .expect(2);
        assert!(
            answer.err.contains("64 hexadecimal digits"),
            "{}",
            answer.err
        );
    }
    zkonnx!("verify", folder.join("absent")).expect(2);
    zkonnx!("verify", folder.join("absent"), "--model", &name)
        .expect(2)
        .one_line("there is no such file");
    zkonnx!(
        "prove",
        &name,
        "--input",
        &input,
        "-o",
        folder.join("no/such/folder")
    )
    .expect(2)
    .one_line("cannot be written");
    zkonnx!("prove", &name, "--input", &input, "-o", folder.path())
        .expect(2)
        .one_line("this is a folder");
    zkonnx!("setup", &name, "-o", folder.write("file", "x"))
        .expect(2)
        .one_line("a folder is needed");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn rejects_in_json_too() {
    let folder = Folder::new();
    let answer = zkonnx!("check", folder.join("absent.onnx"), "--json").expect(2);
    answer.one_line("there is no such file");
    let json = answer.json();
    assert_eq!(json["exit_code"], 2);
    assert_eq!(json["error"]["kind"], "file_missing");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("there is no such file"), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn rejects_a_full_disk() {
    let (name, input) = (model(MLP), model("digits_mlp/input.json"));
    for args in [
        vec!["prove", "-o", "/dev/full"],
        vec!["run", "--claim", "/dev/full"],
        vec!["run", "--dump-tensors", "/dev/full"],
    ] {
        let mut args: Vec<_> = args.into_iter().map(std::ffi::OsString::from).collect();
        args.extend(["--input".into(), input.clone().into(), name.clone().into()]);
        let answer = answer(command(env!("CARGO_BIN_EXE_zkonnx-under-test"), args));
        answer.expect(3).one_line("No space left on device");
    }
    // Standard output as well.
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut inspect = command(
        env!("CARGO_BIN_EXE_zkonnx-under-test"),
        [std::ffi::OsString::from("inspect"), name.into()],
    );
    inspect.stdout(full);
    let status = inspect.status().unwrap();
    assert_eq!(status.code(), Some(3));
}

#[test]
fn accepts_a_reader_that_closes_early() {
    let mut run = command(
        env!("CARGO_BIN_EXE_zkonnx-under-test"),
        [std::ffi::OsString::from("inspect"), model(MLP).into()],
    );
    let mut child = run
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn rejects_folders_whose_shape_was_edited() {
    let folder = Folder::new();
    let keys = folder.join("keys");
    let input = model("digits_cnn/input.json");
    zkonnx!(
        "setup",
        model("digits_cnn/qdq_u8s8_per_tensor.onnx"),
        "-o",
        &keys
    )
    .expect(0);
    let manifest = keys.join("manifest.json");
    let honest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    let edits = [
        ("k", 20),
        ("k", 5),
        ("maxima", 0),
        ("max_limbs", 1),
        ("bytes", 0),
        ("plain", 0),
        ("accumulators", 1),
        ("widest_step", 40),
        ("guests", 9),
    ];
    for (field, value) in edits {
        let mut edited = honest.clone();
        assert_ne!(edited["shape"][field], value, "{field} is another");
        edited["shape"][field] = value.into();
        std::fs::write(&manifest, edited.to_string()).unwrap();
        let receipt = folder.join("receipt");
        zkonnx!("prove", &keys, "--input", &input, "-o", &receipt)
            .expect(2)
            .one_line("not a folder made by `zkonnx setup`");
        assert!(!receipt.exists(), "{field} = {value}");
    }
}
