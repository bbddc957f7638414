//! What has to be the same is the same: ids on any number of threads and in any process, claims with and without a
//! proof, and public values of private inputs.

use std::ffi::OsString;

use zkonnx_prover::numpy::{Array, Elements};
use zkonnx_tests::{Folder, answer, command, model, zkonnx};
use zkonnx_verifier::Receipt;

#[test]
fn accepts_one_id_for_any_number_of_threads() {
    let folder = Folder::new();
    for name in [
        "digits_mlp/qdq_u8s8_per_tensor.onnx",
        "digits_cnn/qoperator_u8s8_per_channel.onnx",
    ] {
        let ids = ["1", "2", "5"].map(|threads| {
            let args: [OsString; 5] = [
                "setup".into(),
                model(name).into(),
                "-o".into(),
                folder.join(threads).into(),
                "--json".into(),
            ];
            let mut setup = command(env!("CARGO_BIN_EXE_zkonnx-under-test"), args);
            setup.env("RAYON_NUM_THREADS", threads);
            let json = answer(setup).expect(0).json();
            (json["program_id"].clone(), json["vk_id"].clone())
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{name}: {ids:?}");
        // The keys themselves too, to the last byte.
        for file in ["program", "vk", "pk"] {
            let [one, two, five] = ["1", "2", "5"]
                .map(|threads| std::fs::read(folder.join(threads).join(file)).unwrap());
            assert!(one == two && two == five, "{name}: {file}");
        }
    }
}

#[test]
fn accepts_private_inputs_that_leave_no_trace() {
    let folder = Folder::new();
    let name = model("digits_mlp/qdq_u8s8_per_tensor.onnx");
    let base = std::fs::read(model("digits_mlp/input.json")).unwrap();
    let base: serde_json::Value = serde_json::from_slice(&base).unwrap();
    let base: Vec<f32> = serde_json::from_value(base["input_data"][0].clone()).unwrap();
    // The sample, and variants with one pixel a little brighter: some of them give the same output.
    let mut images = base.clone();
    for pixel in 0..64 {
        let mut image = base.clone();
        // One step of the quantization, whose scale is about 1/255.
        image[pixel] += if image[pixel] > 0.5 { -0.004 } else { 0.004 };
        images.extend(image);
    }
    let array = Array {
        shape: vec![65, 64],
        elements: Elements::F32(images),
    };
    let input = folder.write("images.npy", array.write());
    let run = zkonnx!("run", &name, "--input", &input, "--json")
        .expect(0)
        .json();
    let results = run["results"].as_array().unwrap();
    let twin = (1..65).find(|&i| {
        results[i]["outputs"] == results[0]["outputs"]
            && results[i]["claim_digest"] != results[0]["claim_digest"]
    });
    let twin = twin
        .expect("a variant with another input and the same output")
        .to_string();
    let context = "07".repeat(32);
    let [first, second] = ["0", twin.as_str()].map(|sample| {
        let receipt = folder.join(sample);
        let proved = zkonnx!(
            "prove",
            &name,
            "--input",
            &input,
            "--sample",
            sample,
            "--private-input",
            "--context",
            &context,
            "-o",
            &receipt
        );
        proved.expect(0);
        Receipt::decode(&std::fs::read(receipt).unwrap()).unwrap()
    });
    assert_eq!(first.claims(), second.claims());
    assert_eq!(first.vk_id(), second.vk_id());
    assert_ne!(first.proof(), second.proof());
    let keys = folder.join("keys");
    zkonnx!("setup", &name, "-o", &keys, "--private-input").expect(0);
    let vk =
        zkonnx_verifier::VerifyingKey::decode(&std::fs::read(keys.join("vk")).unwrap()).unwrap();
    let instances =
        [first, second].map(|receipt| vk.layout().instance(&receipt.claims()[0]).unwrap());
    assert_eq!(instances[0], instances[1]);
}

#[test]
fn accepts_one_claim_with_and_without_a_proof() {
    let folder = Folder::new();
    let (name, input) = (
        model("two_io/qdq_u8s8_per_tensor.onnx"),
        model("two_io/input.json"),
    );
    let context = "0f".repeat(32);
    for private in [false, true] {
        let mut args: Vec<OsString> =
            vec![name.clone().into(), "--input".into(), input.clone().into()];
        args.extend(["--context".into(), context.clone().into(), "--json".into()]);
        args.extend(private.then(|| "--private-input".into()));
        let with = |first: &str, rest: &[OsString]| {
            let all = [&[first.into()], args.as_slice(), rest].concat();
            answer(command(env!("CARGO_BIN_EXE_zkonnx-under-test"), all))
                .expect(0)
                .json()
        };
        let run = with("run", &["--claim".into(), folder.join("claim").into()]);
        let proved = with("prove", &["-o".into(), folder.join("receipt").into()]);
        assert_eq!(run["results"][0]["claim_digest"], proved["claim_digest"]);
        let receipt = Receipt::decode(&std::fs::read(folder.join("receipt")).unwrap()).unwrap();
        assert_eq!(
            std::fs::read(folder.join("claim")).unwrap(),
            receipt.claims()[0].encode()
        );
    }
}
