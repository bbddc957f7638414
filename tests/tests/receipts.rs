//! Receipts and keys that are not what they say: rejected (exit code 1) or refused (2), never accepted, never a panic.

use std::path::PathBuf;
use std::sync::LazyLock;

use zkonnx_tests::{Folder, model, zkonnx};
use zkonnx_verifier::{Claim, ClaimInput, Receipt, TensorData};

/// Keys, receipt and claim of one inference, made once for all tests.
struct Made {
    folder: Folder,
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let folder = Folder::new();
    let (name, input) = (
        model("cancer_mlp/qdq_u8s8_per_tensor.onnx"),
        model("cancer_mlp/input.json"),
    );
    let other = model("cancer_mlp/qdq_s8s8_per_tensor.onnx");
    let context = "2a".repeat(32);
    zkonnx!("setup", &name, "-o", folder.join("keys")).expect(0);
    zkonnx!(
        "setup",
        &name,
        "-o",
        folder.join("private"),
        "--private-input"
    )
    .expect(0);
    zkonnx!("setup", &other, "-o", folder.join("other")).expect(0);
    let keys = folder.join("keys");
    zkonnx!(
        "prove",
        &keys,
        "--input",
        &input,
        "-o",
        folder.join("receipt"),
        "--context",
        &context
    )
    .expect(0);
    zkonnx!(
        "run",
        &name,
        "--input",
        &input,
        "--claim",
        folder.join("claim"),
        "--context",
        &context
    )
    .expect(0);
    let private = folder.join("private");
    zkonnx!(
        "prove",
        &private,
        "--private-input",
        "--input",
        &input,
        "-o",
        folder.join("hidden")
    )
    .expect(0);
    Made { folder }
});

#[test]
fn accepts_the_receipt_that_the_others_are_made_from() {
    let (receipt, vk) = (MADE.path("receipt"), MADE.path("keys/vk"));
    let answer = zkonnx!("verify", &receipt, "--vk", &vk).expect(0);
    assert!(
        answer.out.contains("accepted") && answer.out.contains("context 2a2a"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.contains("the claim of the key"),
        "{}",
        answer.out
    );
    let receipt = Receipt::decode(&MADE.bytes("receipt")).unwrap();
    let claim = Claim::decode(&MADE.bytes("claim")).unwrap();
    assert_eq!(receipt.claims(), [claim]);
}

#[test]
fn rejects_other_keys_models_and_expectations() {
    let (receipt, vk) = (MADE.path("receipt"), MADE.path("keys/vk"));
    for wrong in ["other/vk", "private/vk"] {
        let answer = zkonnx!("verify", &receipt, "--vk", MADE.path(wrong)).expect(1);
        assert!(
            answer.out.contains("another verifying key"),
            "{}",
            answer.out
        );
    }
    zkonnx!(
        "verify",
        &receipt,
        "--model",
        model("cancer_mlp/qdq_s8s8_per_tensor.onnx")
    )
    .expect(1);
    zkonnx!(
        "verify",
        &receipt,
        "--model",
        model("digits_mlp/qdq_u8s8_per_tensor.onnx")
    )
    .expect(1);
    zkonnx!(
        "verify",
        &receipt,
        "--model",
        model("cancer_mlp/qdq_u8s8_per_tensor.onnx")
    )
    .expect(0);
    let zeros = "00".repeat(32);
    zkonnx!("verify", &receipt, "--vk", &vk, "--expect-vk", &zeros).expect(1);
    zkonnx!("verify", &receipt, "--vk", &vk, "--expect-program", &zeros).expect(1);
    zkonnx!("verify", &receipt, "--vk", &vk, "--expect-context", &zeros).expect(1);
    zkonnx!(
        "verify",
        &receipt,
        "--vk",
        &vk,
        "--expect-context",
        "2a".repeat(32)
    )
    .expect(0);
    // Private receipts under a derived key: the kind of input follows from the receipt.
    let hidden = MADE.path("hidden");
    let answer = zkonnx!(
        "verify",
        &hidden,
        "--model",
        model("cancer_mlp/qdq_u8s8_per_tensor.onnx")
    )
    .expect(0);
    assert!(answer.out.contains("input   private"), "{}", answer.out);
}

#[test]
fn rejects_files_of_another_kind() {
    let (receipt, vk, claim) = (
        MADE.path("receipt"),
        MADE.path("keys/vk"),
        MADE.path("claim"),
    );
    zkonnx!("verify", &vk, "--vk", &vk)
        .expect(2)
        .one_line("this is a verifying key, a receipt is needed");
    zkonnx!("verify", &claim, "--vk", &vk)
        .expect(2)
        .one_line("this is a claim, a receipt is needed");
    zkonnx!("verify", &receipt, "--vk", &receipt)
        .expect(2)
        .one_line("this is a receipt, a verifying key is needed");
    zkonnx!("check", &receipt)
        .expect(2)
        .one_line("this is a receipt");
    zkonnx!("run", &vk, "--input", model("cancer_mlp/input.json"))
        .expect(2)
        .one_line("this is a verifying key");
}

/// Offsets spread over a file, its first and last bytes among them.
fn offsets(len: usize, count: usize) -> Vec<usize> {
    let mut offsets: Vec<usize> = (0..count).map(|i| i * (len - 1) / (count - 1)).collect();
    offsets.extend(0..len.min(12));
    offsets
}

#[test]
fn rejects_a_flipped_byte_anywhere_in_a_receipt_or_a_key() {
    let folder = Folder::new();
    let (receipt, vk) = (MADE.path("receipt"), MADE.path("keys/vk"));
    for (name, count) in [("receipt", 40), ("keys/vk", 40)] {
        let whole = MADE.bytes(name);
        for at in offsets(whole.len(), count) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let bad = folder.write("bad", bytes);
            let answer = match name {
                "receipt" => zkonnx!("verify", &bad, "--vk", &vk),
                _ => zkonnx!("verify", &receipt, "--vk", &bad),
            };
            assert!(
                answer.code == 1 || answer.code == 2,
                "{name} byte {at}: {} {}",
                answer.code,
                answer.err
            );
            assert!(
                !answer.err.contains("panicked") && answer.err.lines().count() <= 1,
                "{}",
                answer.err
            );
            let _ = zkonnx!("inspect", &bad);
        }
    }
}

#[test]
fn rejects_truncated_and_extended_artifacts() {
    let folder = Folder::new();
    let vk = MADE.path("keys/vk");
    let whole = MADE.bytes("receipt");
    for len in [1, 4, 6, 40, whole.len() / 2, whole.len() - 1] {
        let bad = folder.write("bad", &whole[..len]);
        zkonnx!("verify", &bad, "--vk", &vk)
            .expect(2)
            .one_line("not a valid receipt");
    }
    let longer = folder.write("bad", [&whole[..], &[0]].concat());
    zkonnx!("verify", &longer, "--vk", &vk)
        .expect(2)
        .one_line("not a valid receipt");
}

#[test]
fn rejects_a_flipped_byte_in_each_file_of_the_keys() {
    let folder = Folder::new();
    let keys = folder.join("keys");
    let input = model("cancer_mlp/input.json");
    for (file, count) in [
        ("program", 12),
        ("vk", 12),
        ("manifest.json", 24),
        ("pk", 6),
    ] {
        std::fs::create_dir_all(&keys).unwrap();
        for name in ["program", "vk", "manifest.json", "pk"] {
            std::fs::copy(MADE.path(&format!("keys/{name}")), keys.join(name)).unwrap();
        }
        let whole = std::fs::read(keys.join(file)).unwrap();
        for at in offsets(whole.len(), count).into_iter().take(count) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(keys.join(file), bytes).unwrap();
            let answer = zkonnx!(
                "prove",
                &keys,
                "--input",
                &input,
                "-o",
                folder.join("receipt")
            );
            assert_eq!(answer.code, 2, "{file} byte {at}: {}", answer.err);
            assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
        }
        assert!(!folder.join("receipt").exists());
        // A file that is missing altogether.
        std::fs::remove_file(keys.join(file)).unwrap();
        zkonnx!(
            "prove",
            &keys,
            "--input",
            &input,
            "-o",
            folder.join("receipt")
        )
        .expect(2);
    }
}

#[test]
fn rejects_claims_that_were_edited() {
    let folder = Folder::new();
    let vk = MADE.path("keys/vk");
    let receipt = Receipt::decode(&MADE.bytes("receipt")).unwrap();
    let claim = &receipt.claims()[0];
    let edited = |tensors: &[TensorData]| -> Vec<TensorData> {
        let mut values = tensors[0].values().to_vec();
        values[0] ^= 1;
        vec![TensorData::with_spec(tensors[0].spec().clone(), values).unwrap()]
    };
    let [ClaimInput::Public(input)] = claim.inputs() else {
        panic!("the input is public")
    };
    let other_input = ClaimInput::public(edited(std::slice::from_ref(input)));
    let mut other_program = *claim.program_id();
    other_program[0] ^= 1;
    let (id, input, outputs) = (
        *claim.program_id(),
        claim.inputs().to_vec(),
        claim.outputs().to_vec(),
    );
    let context = *claim.context();
    for lie in [
        Claim::new(id, other_input, outputs.clone(), context),
        Claim::new(id, input.clone(), edited(&outputs), context),
        Claim::new(id, input.clone(), outputs.clone(), [0; 32]),
        Claim::new(other_program, input, outputs.clone(), context),
        Claim::new(id, ClaimInput::private(1), outputs, context),
    ] {
        let lie = Receipt::new(
            *receipt.vk_id(),
            vec![lie.unwrap()],
            receipt.proof().to_vec(),
        )
        .unwrap();
        let bad = folder.write("bad", lie.encode());
        let answer = zkonnx!("verify", &bad, "--vk", &vk).expect(1);
        assert!(answer.out.contains("rejected"), "{}", answer.out);
    }
    let twice = vec![claim.clone(), claim.clone()];
    let twice = Receipt::new(*receipt.vk_id(), twice, receipt.proof().to_vec()).unwrap();
    zkonnx!("verify", folder.write("bad", twice.encode()), "--vk", &vk).expect(1);
}
