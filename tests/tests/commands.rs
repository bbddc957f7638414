//! Every command, as a user runs it, on real models.

use zkonnx_tests::{Folder, model, zkonnx};

const MLP: &str = "digits_mlp/qdq_u8s8_per_tensor.onnx";

#[test]
fn accepts_the_demonstration() {
    let answer = zkonnx!("demo").expect(0);
    assert!(answer.out.contains("the model says"), "{}", answer.out);
    assert!(
        answer.out.contains("██") && answer.out.contains("verified"),
        "{}",
        answer.out
    );
    // Nothing but the answer, since nobody watches.
    assert_eq!(answer.err, "");
    assert!(!answer.out.contains('\x1b'));
    let json = zkonnx!("demo", "--json", "--sample", "3").expect(0).json();
    assert_eq!(json["accepted"], true);
    assert!(json["proof_bytes"].as_u64().unwrap() < 25_000);
}

#[test]
fn accepts_a_proof_of_each_small_model() {
    let folder = Folder::new();
    for (name, input) in [
        (MLP, "digits_mlp/input.json"),
        (
            "digits_mlp/qoperator_s8s8_per_channel.onnx",
            "digits_mlp/input.json",
        ),
        (
            "cancer_mlp/qdq_u8u8_per_tensor.onnx",
            "cancer_mlp/input.json",
        ),
        ("two_io/qoperator_u8s8_per_tensor.onnx", "two_io/input.json"),
    ] {
        let receipt = folder.join("receipt");
        let proved = zkonnx!(
            "prove",
            model(name),
            "--input",
            model(input),
            "-o",
            &receipt,
            "--json"
        )
        .expect(0)
        .json();
        let verified = zkonnx!("verify", &receipt, "--model", model(name), "--json")
            .expect(0)
            .json();
        assert_eq!(verified["accepted"], true, "{name}");
        assert_eq!(verified["receipts"][0]["vk_id"], proved["vk_id"], "{name}");
        assert_eq!(verified["receipts"][0]["program_derived"], true);
        let claim = &verified["receipts"][0]["claims"][0];
        assert_eq!(claim["claim_digest"], proved["claim_digest"], "{name}");
        assert_eq!(
            claim["outputs"][0]["values"], proved["outputs"][0]["values"],
            "{name}"
        );
        let run = zkonnx!("run", model(name), "--input", model(input), "--json")
            .expect(0)
            .json();
        assert_eq!(
            run["results"][0]["claim_digest"], proved["claim_digest"],
            "{name}"
        );
        assert_eq!(run["program_id"], proved["program_id"], "{name}");
    }
}

#[test]
fn accepts_what_a_proof_reports() {
    let folder = Folder::new();
    let receipt = folder.join("receipt");
    let input = model("digits_mlp/input.json");
    let proved = zkonnx!(
        "prove",
        model(MLP),
        "--input",
        &input,
        "-o",
        &receipt,
        "--json"
    )
    .expect(0)
    .json();
    for field in [
        "k",
        "keygen_cpu_s",
        "prove_cpu_s",
        "verify_cpu_s",
        "proof_bytes",
        "peak_rss_bytes",
    ] {
        assert!(proved[field].is_number(), "{field}: {proved}");
    }
    for field in ["program_id", "vk_id", "claim_digest"] {
        assert_eq!(
            proved[field].as_str().map(str::len),
            Some(64),
            "{field}: {proved}"
        );
    }
    assert!(proved["outputs"].is_array());
    let size = std::fs::metadata(&receipt).unwrap().len();
    assert_eq!(proved["receipt_bytes"], size);
}

#[test]
fn accepts_keys_of_a_folder_and_generates_nothing() {
    let folder = Folder::new();
    let (keys, receipt) = (folder.join("keys"), folder.join("receipt"));
    let setup = zkonnx!("setup", model(MLP), "-o", &keys, "--json")
        .expect(0)
        .json();
    let mut names: Vec<_> = std::fs::read_dir(&keys)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "pk", "program", "vk"]);
    let input = model("digits_mlp/input.json");
    let proved = zkonnx!("prove", &keys, "--input", &input, "-o", &receipt, "--json")
        .expect(0)
        .json();
    assert_eq!(proved["keygen_cpu_s"], 0.0);
    assert_eq!(proved["vk_id"], setup["vk_id"]);
    let vk_id = setup["vk_id"].as_str().unwrap();
    zkonnx!(
        "verify",
        &receipt,
        "--vk",
        keys.join("vk"),
        "--expect-vk",
        vk_id
    )
    .expect(0);
    // The same keys with the model at hand, and another model.
    zkonnx!(
        "prove",
        model(MLP),
        "--keys",
        &keys,
        "--input",
        &input,
        "-o",
        &receipt
    )
    .expect(0);
    let other = model("digits_mlp/qdq_u8u8_per_channel.onnx");
    zkonnx!(
        "prove", other, "--keys", &keys, "--input", &input, "-o", &receipt
    )
    .expect(2)
    .one_line("are of program");
    zkonnx!(
        "prove",
        &keys,
        "--input",
        &input,
        "-o",
        &receipt,
        "--private-input"
    )
    .expect(2)
    .one_line("for public inputs");
}

#[test]
fn accepts_several_inferences_in_one_proof() {
    let folder = Folder::new();
    let receipt = folder.join("receipt");
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    let input = model("digits_mlp/input.json");
    let proved = zkonnx!(
        "prove",
        model(MLP),
        "--input",
        &input,
        "--input",
        &input,
        "--context",
        &one,
        "--context",
        &two,
        "-o",
        &receipt,
        "--json"
    );
    let proved = proved.expect(0).json();
    assert_eq!(proved["claims"].as_array().map(Vec::len), Some(2));
    let verified = zkonnx!("verify", &receipt, "--model", model(MLP), "--json")
        .expect(0)
        .json();
    let claims = verified["receipts"][0]["claims"].as_array().unwrap();
    assert_eq!(claims[0]["context"], one.as_str());
    assert_eq!(claims[1]["context"], two.as_str());
    assert_ne!(claims[0]["claim_digest"], claims[1]["claim_digest"]);
    zkonnx!(
        "verify",
        &receipt,
        "--model",
        model(MLP),
        "--expect-context",
        &one
    )
    .expect(1);
    let three = zkonnx!(
        "prove",
        model(MLP),
        "--input",
        &input,
        "--context",
        &one,
        "--context",
        &two,
        "-o",
        &receipt
    );
    three
        .expect(2)
        .one_line("2 contexts were given for 1 samples");
}

#[test]
fn accepts_a_memory_limit_or_says_what_is_needed() {
    let folder = Folder::new();
    let receipt = folder.join("receipt");
    let (name, input) = (model(MLP), model("digits_mlp/input.json"));
    let limit = |size: &str| {
        zkonnx!(
            "prove",
            &name,
            "--input",
            &input,
            "-o",
            &receipt,
            "--max-memory",
            size
        )
    };
    limit("1MB").expect(2).one_line("bytes of memory");
    assert!(!receipt.exists());
    limit("500MB").expect(0);
}

/// The limit is on the process, model and circuit included: what is accepted keeps to it.
#[test]
fn keeps_to_a_memory_limit_that_it_accepts() {
    let folder = Folder::new();
    let (mut kept, mut refused) = (0, 0);
    for (name, sample) in [
        (
            "digits_mlp/qdq_u8s8_per_channel.onnx",
            "digits_mlp/input.json",
        ),
        (
            "digits_res/qdq_u8s8_per_channel.onnx",
            "digits_res/input.json",
        ),
        ("two_io/qoperator_u8s8_per_tensor.onnx", "two_io/input.json"),
    ] {
        let keys = folder.join(&format!("keys-{}", name.replace('/', "-")));
        zkonnx!("setup", model(name), "-o", &keys).expect(0);
        let receipt = folder.join("receipt");
        let prove = |limit: &str| {
            zkonnx!(
                "prove",
                &keys,
                "--input",
                model(sample),
                "-o",
                &receipt,
                "--json",
                "--max-memory",
                limit
            )
        };
        let peak = |answer: &serde_json::Value| answer["peak_rss_bytes"].as_u64().unwrap();
        let unlimited = peak(&prove("4GB").expect(0).json());
        // What a process takes before it proves differs between machines; half as much again is always enough.
        for percent in [150, 110, 90, 80, 70, 60, 50, 40, 30] {
            let limit = unlimited * percent / 100;
            let answer = prove(&limit.to_string());
            if answer.code == 0 {
                let taken = peak(&answer.json());
                assert!(taken <= limit, "{name}: {taken} of {limit}");
                kept += 1;
            } else {
                let json = answer.expect(2).json();
                assert_eq!(json["error"]["kind"], "memory_limit", "{name}");
                refused += 1;
            }
        }
    }
    assert!(kept >= 3 && refused >= 3, "{kept} kept, {refused} refused");
}

#[test]
fn accepts_the_stock_prover_as_reference() {
    let folder = Folder::new();
    let receipt = folder.join("receipt");
    let name = "cancer_mlp/qdq_u8s8_per_tensor.onnx";
    let input = model("cancer_mlp/input.json");
    let stock = zkonnx!(
        "prove",
        model(name),
        "--input",
        &input,
        "-o",
        &receipt,
        "--engine",
        "stock",
        "--json"
    );
    let stock = stock.expect(0).json();
    zkonnx!("verify", &receipt, "--model", model(name)).expect(0);
    let own = zkonnx!(
        "prove",
        model(name),
        "--input",
        &input,
        "-o",
        &receipt,
        "--json"
    )
    .expect(0)
    .json();
    assert_eq!(own["vk_id"], stock["vk_id"]);
    assert_eq!(own["proof_bytes"], stock["proof_bytes"]);
}

#[test]
fn accepts_a_check_and_its_predictions() {
    let answer = zkonnx!("check", model(MLP)).expect(0);
    for word in ["exact", "rows", "lookups", "proof", "memory"] {
        assert!(answer.out.contains(word), "{word}: {}", answer.out);
    }
    let json = zkonnx!("check", model(MLP), "--json").expect(0).json();
    assert_eq!(json["supported"], true);
    let folder = Folder::new();
    let input = model("digits_mlp/input.json");
    let proved = zkonnx!(
        "prove",
        model(MLP),
        "--input",
        input,
        "-o",
        folder.join("r"),
        "--json"
    )
    .expect(0)
    .json();
    assert_eq!(json["circuit"]["k"], proved["k"]);
    assert_eq!(json["predicted"]["proof_bytes"], proved["proof_bytes"]);
}

#[test]
fn accepts_the_whole_test_split_with_labels_and_tensors() {
    let folder = Folder::new();
    let out = folder.join("tensors.npz");
    let samples = model("digits_mlp/samples.npz");
    let json = zkonnx!(
        "run",
        model(MLP),
        "--input",
        samples,
        "--dump-tensors",
        &out,
        "--json"
    )
    .expect(0)
    .json();
    let count = json["samples"].as_u64().unwrap();
    assert_eq!(json["results"].as_array().unwrap().len() as u64, count);
    let right = json["accuracy"][0]["right"].as_u64().unwrap();
    assert!(right * 100 > count * 95, "{right} of {count}");
    let arrays = zkonnx_prover::numpy::read_npz(&std::fs::read(out).unwrap(), |_| true).unwrap();
    assert!(arrays.len() >= 4);
    assert!(
        arrays
            .iter()
            .all(|(_, array)| array.shape[0] as u64 == count)
    );
}

#[test]
fn accepts_one_sample_of_many() {
    let folder = Folder::new();
    let (claim, receipt) = (folder.join("claim"), folder.join("receipt"));
    let samples = model("digits_mlp/samples.npz");
    let run = zkonnx!(
        "run",
        model(MLP),
        "--input",
        &samples,
        "--sample",
        "7",
        "--claim",
        &claim,
        "--json"
    );
    let run = run.expect(0).json();
    let proved = zkonnx!(
        "prove",
        model(MLP),
        "--input",
        &samples,
        "--sample",
        "7",
        "-o",
        &receipt,
        "--json"
    );
    let digest = proved.expect(0).json()["claim_digest"].clone();
    assert_eq!(run["results"][0]["claim_digest"], digest);
    let inspected = zkonnx!("inspect", &claim, "--json").expect(0).json();
    assert_eq!(inspected["claim_digest"], digest);
    zkonnx!("run", model(MLP), "--input", &samples, "--claim", &claim)
        .expect(2)
        .one_line("choose with --sample");
    zkonnx!("run", model(MLP), "--input", &samples, "--sample", "450")
        .expect(2)
        .one_line("no sample 450");
}

#[test]
fn accepts_a_mock_and_names_what_fails() {
    let folder = Folder::new();
    let (claim, input) = (folder.join("claim"), model("cancer_mlp/input.json"));
    let name = "cancer_mlp/qdq_u8s8_per_tensor.onnx";
    zkonnx!("mock", model(name), "--input", &input).expect(0);
    zkonnx!("run", model(name), "--input", &input, "--claim", &claim).expect(0);
    zkonnx!("mock", model(name), "--input", &input, "--claim", &claim).expect(0);
    let samples = model("cancer_mlp/samples.npz");
    zkonnx!(
        "run",
        model(name),
        "--input",
        &samples,
        "--sample",
        "1",
        "--claim",
        &claim
    )
    .expect(0);
    let lie = zkonnx!(
        "mock",
        model(name),
        "--input",
        &input,
        "--claim",
        &claim,
        "--json"
    )
    .expect(1)
    .json();
    assert_eq!(lie["satisfied"], false);
    assert!(
        lie["failures"][0]["constraint"]
            .as_str()
            .unwrap()
            .contains("copy"),
        "{lie}"
    );
}

#[test]
fn accepts_every_artifact_for_inspection() {
    let folder = Folder::new();
    let (keys, receipt, claim) = (
        folder.join("keys"),
        folder.join("receipt"),
        folder.join("claim"),
    );
    let (name, input) = (
        model("cancer_mlp/qdq_u8s8_per_tensor.onnx"),
        model("cancer_mlp/input.json"),
    );
    zkonnx!("setup", &name, "-o", &keys).expect(0);
    zkonnx!("prove", &keys, "--input", &input, "-o", &receipt).expect(0);
    zkonnx!("run", &name, "--input", &input, "--claim", &claim).expect(0);
    for (path, kind) in [
        (name, "model"),
        (keys.clone(), "keys"),
        (keys.join("program"), "program"),
        (keys.join("vk"), "verifying_key"),
        (keys.join("pk"), "proving_key"),
        (receipt, "receipt"),
        (claim, "claim"),
    ] {
        let json = zkonnx!("inspect", &path, "--json").expect(0).json();
        assert_eq!(json["kind"], kind, "{}", path.display());
        assert!(zkonnx!("inspect", &path).expect(0).out.len() > 100);
    }
    let listing = zkonnx!("inspect", keys.join("program")).expect(0).out;
    assert!(
        listing.contains("input  %0 : u8[1,30]") && listing.contains("output %"),
        "{listing}"
    );
}

#[test]
fn accepts_a_program_instead_of_its_model() {
    let folder = Folder::new();
    let keys = folder.join("keys");
    let (name, input) = (
        model("cancer_mlp/qdq_u8s8_per_tensor.onnx"),
        model("cancer_mlp/input.json"),
    );
    zkonnx!("setup", &name, "-o", &keys).expect(0);
    let of_model = zkonnx!("run", &name, "--input", &input, "--json")
        .expect(0)
        .json();
    let of_program = zkonnx!("run", keys.join("program"), "--input", &input, "--json")
        .expect(0)
        .json();
    assert_eq!(of_model["results"], of_program["results"]);
}

#[test]
fn accepts_a_batch_over_models_and_names_the_bad_one() {
    let folder = Folder::new();
    let mut receipts = Vec::new();
    for (name, input) in [
        (MLP, "digits_mlp/input.json"),
        (
            "cancer_mlp/qdq_u8s8_per_tensor.onnx",
            "cancer_mlp/input.json",
        ),
    ] {
        let receipt = folder.join(&format!("receipt{}", receipts.len()));
        zkonnx!(
            "prove",
            model(name),
            "--input",
            model(input),
            "-o",
            &receipt
        )
        .expect(0);
        receipts.push(receipt);
    }
    let (one, two) = (model(MLP), model("cancer_mlp/qdq_u8s8_per_tensor.onnx"));
    let both = zkonnx!(
        "verify",
        &receipts[0],
        &receipts[1],
        "--model",
        &one,
        "--model",
        &two
    );
    assert!(both.expect(0).out.contains("2 of 2 receipts accepted"));
    let mut bytes = std::fs::read(&receipts[1]).unwrap();
    let middle = bytes.len() - 5000;
    bytes[middle] ^= 1;
    let bad = folder.write("bad", bytes);
    let json = zkonnx!(
        "verify",
        &receipts[0],
        &bad,
        "--model",
        &one,
        "--model",
        &two,
        "--json"
    )
    .expect(1)
    .json();
    assert_eq!(json["accepted"], false);
    assert_eq!(json["receipts"][0]["accepted"], true);
    assert_eq!(json["receipts"][1]["accepted"], false);
    assert!(json["receipts"][1]["reason"].is_string());
}

#[test]
fn accepts_help_with_examples() {
    for command in [
        "check", "run", "prove", "setup", "verify", "mock", "inspect",
    ] {
        let help = zkonnx!(command, "--help").expect(0).out;
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(help.contains("--json"), "{command}: {help}");
    }
    let help = zkonnx!("--help").expect(0).out;
    assert!(
        help.contains("Exit codes") && help.contains("zkonnx demo"),
        "{help}"
    );
    zkonnx!("--version").expect(0);
    zkonnx!("--json").expect(2);
    zkonnx!("no-such-command").expect(2);
    zkonnx!("prove").expect(2);
}
