//! The contract's rules on the native build, which needs no wasm target: `host/` runs the same under wasmi.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs;
use std::path::PathBuf;

use zkonnx_settlement::{Refusal, Settlement, context, input_digest};
use zkonnx_verifier::{ClaimInput, DataType, InputVisibility, Receipt, TensorData, VerifyingKey};

fn vector(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    fs::read(folder.join(name)).unwrap()
}

fn key(name: &str) -> VerifyingKey {
    VerifyingKey::decode(&vector(name)).unwrap()
}

/// The inputs of a claim of a receipt.
fn inputs(receipt: &str, claim: usize) -> Vec<ClaimInput> {
    let receipt = Receipt::decode(&vector(receipt)).unwrap();
    receipt.claims()[claim].inputs().to_vec()
}

/// The inputs of the claims that answer requests 1, 2 and 3.
fn asked() -> [[u8; 32]; 3] {
    [
        inputs("receipt-settle-one.bin", 0),
        inputs("receipt-settle-two.bin", 0),
        inputs("receipt-settle-two.bin", 1),
    ]
    .map(|inputs| input_digest(&inputs))
}

fn payee(nonce: u8) -> [u8; 32] {
    [0x70 + nonce; 32]
}

/// A contract that knows the vectors' keys and one more, which is key A under the name of another program.
fn ready() -> (Settlement, [u8; 32]) {
    let mut contract = Settlement::default();
    contract.load_params(&vector("params-6.bin")).unwrap();
    contract.register(&vector("key-a.bin")).unwrap();
    contract.register(&vector("key-b.bin")).unwrap();
    let a = key("key-a.bin");
    let circuit = a.circuit();
    let other = VerifyingKey::new(
        circuit.k(),
        circuit.cs().clone(),
        circuit.fixed_commitments().to_vec(),
        circuit.permutation_commitments().to_vec(),
        a.layout().clone(),
        [0xcc; 32],
    );
    let other = contract.register(&other.unwrap().encode()).unwrap();
    (contract, other)
}

/// A contract with requests 1, 2 and 3 of model A about these inputs, each worth ten times its number.
fn open(inputs: [[u8; 32]; 3]) -> Settlement {
    let (mut contract, _) = ready();
    for (nonce, input) in (1..).zip(inputs) {
        let (id, amount) = (*key("key-a.bin").id(), 10 * u64::from(nonce));
        let made = contract.request([nonce; 32], id, input, payee(nonce), amount);
        assert_eq!(made, Ok(context(&[nonce; 32], &payee(nonce))));
    }
    contract
}

fn balances(contract: &Settlement) -> [u64; 3] {
    [1, 2, 3].map(|nonce| contract.balance(&payee(nonce)))
}

#[test]
fn accepts_answers_to_the_inputs_that_were_asked_about() {
    let mut contract = open(asked());
    assert_eq!(contract.submit(&vector("receipt-settle-one.bin")), Ok(1));
    assert_eq!(contract.submit(&vector("receipt-settle-two.bin")), Ok(2));
    assert_eq!(contract.settle(), Ok(3));
    assert_eq!(balances(&contract), [10, 20, 30]);
    // Closed once paid, in this round and in every other.
    for name in ["receipt-settle-one.bin", "receipt-settle-two.bin"] {
        assert_eq!(contract.submit(&vector(name)), Err(Refusal::Replay));
    }
    assert_eq!(contract.settle(), Ok(0));
}

/// The payee proves, honestly, the answer for an input that he likes better: the receipt is valid, and unpaid.
#[test]
fn rejects_an_answer_to_another_input_of_the_same_shape() {
    let [one, two, three] = asked();
    let receipt = vector("receipt-settle-one.bin");
    for input in [two, three, [0; 32], input_digest(&[])] {
        let mut contract = open([input, two, three]);
        assert_eq!(contract.check(&receipt), Ok(()));
        assert_eq!(contract.submit(&receipt), Err(Refusal::WrongInput));
        assert_eq!(contract.settle(), Ok(0));
        assert_eq!(balances(&contract), [0, 0, 0]);
    }
    assert_eq!(open([one, two, three]).submit(&receipt), Ok(1));
}

#[test]
fn rejects_a_whole_receipt_of_which_one_claim_is_foreign() {
    let [one, two, three] = asked();
    for inputs in [[one, two, one], [one, three, three], [one, three, two]] {
        let mut contract = open(inputs);
        let receipt = vector("receipt-settle-two.bin");
        assert_eq!(contract.submit(&receipt), Err(Refusal::WrongInput));
        // Nothing of it stays behind, and the right receipt of the same round is paid.
        assert_eq!(contract.submit(&vector("receipt-settle-one.bin")), Ok(1));
        assert_eq!(contract.settle(), Ok(1));
        assert_eq!(balances(&contract), [10, 0, 0]);
    }
}

#[test]
fn rejects_another_models_answer_for_the_same_input() {
    let (mut contract, other) = ready();
    let made = contract.request([1; 32], other, asked()[0], payee(1), 10);
    assert!(made.is_ok());
    assert_eq!(
        contract.submit(&vector("receipt-settle-one.bin")),
        Err(Refusal::WrongModel)
    );
}

#[test]
fn rejects_requests_of_a_key_for_private_input() {
    let (mut contract, _) = ready();
    let b = key("key-b.bin");
    assert_eq!(b.layout().visibility(), InputVisibility::Private);
    for input in [input_digest(&[]), asked()[0]] {
        assert_eq!(
            contract.request([1; 32], *b.id(), input, payee(1), 10),
            Err(Refusal::PrivateInput)
        );
    }
}

#[test]
fn accepts_one_digest_for_each_input() {
    let tensor = |dtype, shape: &[u32], values: &[i64]| {
        TensorData::new(dtype, shape.to_vec(), values.to_vec()).unwrap()
    };
    let inputs = [
        vec![],
        vec![tensor(DataType::U8, &[2], &[1, 2])],
        vec![tensor(DataType::I8, &[2], &[1, 2])],
        vec![tensor(DataType::U8, &[1, 2], &[1, 2])],
        vec![tensor(DataType::U8, &[2, 1], &[1, 2])],
        vec![tensor(DataType::U8, &[2], &[2, 1])],
        vec![tensor(DataType::U16, &[1], &[0x0201])],
        vec![
            tensor(DataType::U8, &[1], &[1]),
            tensor(DataType::U8, &[1], &[2]),
        ],
        vec![
            tensor(DataType::U8, &[1], &[2]),
            tensor(DataType::U8, &[1], &[1]),
        ],
        vec![tensor(DataType::U8, &[], &[1])],
        vec![tensor(DataType::U8, &[1], &[1])],
    ];
    let digest = |input: &Vec<TensorData>| input_digest(&ClaimInput::public(input.clone()));
    let mut digests: Vec<_> = inputs.iter().map(digest).collect();
    digests.push(input_digest(&ClaimInput::private(1)));
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), inputs.len() + 1);
}
