//! The contract under wasmi: its verdicts, its rules, its fuel and its size. `test.sh` builds the module first.

use std::fs;
use std::path::PathBuf;

use wasmi::{Config, Engine, Instance, Linker, Module, Store, TypedFunc};
use zkonnx_settlement::{Refusal, Settlement, context, input_digest};
use zkonnx_verifier::{Receipt, VerifyingKey};

/// The size that the module must not exceed, in bytes.
const MAX_MODULE_BYTES: usize = 400_000;

fn vector(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../vectors");
    fs::read(folder.join(name)).unwrap()
}

fn module_bytes() -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let path = target.join("wasm32v1-none/release/zkonnx_settlement.wasm");
    fs::read(&path)
        .unwrap_or_else(|error| panic!("run test.sh, which builds {}: {error}", path.display()))
}

/// The contract as a chain would hold it.
struct Contract {
    store: Store<()>,
    instance: Instance,
    spent: u64,
}

const TANK: u64 = 1 << 50;

impl Contract {
    fn new() -> Self {
        let mut config = Config::default();
        config.consume_fuel(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, module_bytes()).unwrap();
        assert_eq!(
            module.imports().count(),
            0,
            "the module needs nothing of its host"
        );
        let mut store = Store::new(&engine, ());
        store.set_fuel(TANK).unwrap();
        let linker = Linker::new(&engine);
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        Self {
            store,
            instance,
            spent: 0,
        }
    }

    fn call(&mut self, name: &str, argument: &[u8]) -> i64 {
        self.store.set_fuel(TANK).unwrap();
        let buffer: TypedFunc<u32, u32> =
            self.instance.get_typed_func(&self.store, "buffer").unwrap();
        let at = buffer.call(&mut self.store, argument.len() as u32).unwrap();
        let memory = self.instance.get_memory(&self.store, "memory").unwrap();
        memory
            .write(&mut self.store, at as usize, argument)
            .unwrap();
        let run: TypedFunc<(), i64> = self.instance.get_typed_func(&self.store, name).unwrap();
        let result = run.call(&mut self.store, ()).unwrap();
        self.spent = TANK - self.store.get_fuel().unwrap();
        result
    }

    fn result(&mut self) -> [u8; 32] {
        let result: TypedFunc<(), u32> =
            self.instance.get_typed_func(&self.store, "result").unwrap();
        let at = result.call(&mut self.store, ()).unwrap();
        let mut bytes = [0; 32];
        let memory = self.instance.get_memory(&self.store, "memory").unwrap();
        memory.read(&self.store, at as usize, &mut bytes).unwrap();
        bytes
    }

    /// Opens a request about the input of the settlement's claim of that number.
    fn request(&mut self, nonce: [u8; 32], vk_id: [u8; 32], payee: [u8; 32], amount: u64) -> i64 {
        self.request_input(nonce, vk_id, input(nonce[0]), payee, amount)
    }

    fn request_input(
        &mut self,
        nonce: [u8; 32],
        vk_id: [u8; 32],
        input: [u8; 32],
        payee: [u8; 32],
        amount: u64,
    ) -> i64 {
        let argument = [&nonce[..], &vk_id, &input, &payee, &amount.to_le_bytes()].concat();
        self.call("request", &argument)
    }
}

/// The digest of the input of claim 1, 2 or 3, which the settlement's receipts are about; else of no input.
fn input(number: u8) -> [u8; 32] {
    let (name, at) = match number {
        1 => ("receipt-settle-one.bin", 0),
        2 => ("receipt-settle-two.bin", 0),
        3 => ("receipt-settle-two.bin", 1),
        _ => return input_digest(&[]),
    };
    let receipt = Receipt::decode(&vector(name)).unwrap();
    input_digest(receipt.claims()[at].inputs())
}

/// The contract with the vectors' parameters and keys.
fn ready() -> Contract {
    let mut contract = Contract::new();
    assert_eq!(contract.call("load_params", &vector("params-6.bin")), 0);
    println!("fuel: loading parameters {}", contract.spent);
    for name in ["key-a.bin", "key-b.bin"] {
        let bytes = vector(name);
        assert_eq!(contract.call("register", &bytes), 0);
        println!(
            "fuel: registering a key of {} bytes {}",
            bytes.len(),
            contract.spent
        );
        assert_eq!(
            contract.result(),
            *VerifyingKey::decode(&bytes).unwrap().id()
        );
    }
    contract
}

#[test]
fn accepts_a_module_of_bounded_size() {
    let size = module_bytes().len();
    println!("module: {size} bytes");
    assert!(size <= MAX_MODULE_BYTES);
}

#[test]
fn accepts_and_rejects_every_vector_as_the_native_contract_does() {
    let mut native = Settlement::default();
    native.load_params(&vector("params-6.bin")).unwrap();
    for name in ["key-a.bin", "key-b.bin"] {
        native.register(&vector(name)).unwrap();
    }
    let mut contract = ready();
    let index = String::from_utf8(vector("INDEX")).unwrap();
    let mut valid = 0;
    for line in index.lines().filter(|line| line.starts_with("receipt ")) {
        let fields: Vec<&str> = line.split(' ').collect();
        let bytes = vector(fields[1]);
        let expected = match native.check(&bytes) {
            Ok(()) => 0,
            Err(refusal) => refusal as i64,
        };
        assert_eq!(contract.call("check", &bytes), expected, "{line}");
        // The index is about one key, the contract looks the key up that the receipt names.
        if fields[4] != "WrongKey" {
            assert_eq!(expected == 0, fields[3] == "valid", "{line}");
        }
        if expected == 0 {
            valid += 1;
            println!(
                "fuel: verifying {} of {} bytes {}",
                fields[1],
                bytes.len(),
                contract.spent
            );
        }
    }
    assert_eq!(valid, 7);
}

fn payee(nonce: u8) -> [u8; 32] {
    [0x70 + nonce; 32]
}

fn id_of(key: &str) -> [u8; 32] {
    *VerifyingKey::decode(&vector(key)).unwrap().id()
}

/// A contract with open requests 1 to 4, each worth ten times its number.
fn open() -> Contract {
    let mut contract = ready();
    for nonce in 1..=4 {
        let amount = 10 * u64::from(nonce);
        let result = contract.request([nonce; 32], id_of("key-a.bin"), payee(nonce), amount);
        assert_eq!(result, 0);
        assert_eq!(contract.result(), context(&[nonce; 32], &payee(nonce)));
    }
    contract
}

fn balances(contract: &mut Contract) -> Vec<i64> {
    (1..=4)
        .map(|nonce| contract.call("balance", &payee(nonce)))
        .collect()
}

#[test]
fn accepts_each_claim_once_and_pays_only_after_the_discharge() {
    let mut contract = open();
    let (one, two, lie) = (
        vector("receipt-settle-one.bin"),
        vector("receipt-settle-two.bin"),
        vector("receipt-settle-lie.bin"),
    );
    assert_eq!(contract.call("submit", &one), 1);
    println!("fuel: submitting one claim {}", contract.spent);
    assert_eq!(contract.call("submit", &two), 2);
    // The same receipt again in the same round, and one whose claim is of another input than was asked for.
    assert_eq!(contract.call("submit", &one), 1);
    assert_eq!(contract.call("submit", &lie), Refusal::WrongInput as i64);
    assert_eq!(balances(&mut contract), [0, 0, 0, 0]);
    assert_eq!(contract.call("settle", &[]), 3);
    println!(
        "fuel: settling three receipts of which one comes twice {}",
        contract.spent
    );
    assert_eq!(balances(&mut contract), [10, 20, 30, 0]);
    // Nothing is left of the round, and what was paid is closed.
    assert_eq!(contract.call("settle", &[]), 0);
    for receipt in [&one, &two] {
        assert_eq!(contract.call("submit", receipt), Refusal::Replay as i64);
    }
    assert_eq!(balances(&mut contract), [10, 20, 30, 0]);
}

#[test]
fn accepts_several_right_receipts_in_one_discharge() {
    let mut contract = open();
    assert_eq!(
        contract.call("submit", &vector("receipt-settle-one.bin")),
        1
    );
    assert_eq!(
        contract.call("submit", &vector("receipt-settle-two.bin")),
        2
    );
    assert_eq!(contract.call("settle", &[]), 3);
    println!("fuel: settling two receipts {}", contract.spent);
}

#[test]
fn rejects_contexts_nobody_asked_for_and_models_nobody_registered() {
    let mut contract = open();
    // A valid receipt whose context is no request.
    assert_eq!(
        contract.call("submit", &vector("receipt-a1.bin")),
        Refusal::WrongContext as i64
    );
    let mut stranger = vector("receipt-settle-one.bin");
    stranger[6] ^= 1;
    assert_eq!(
        contract.call("submit", &stranger),
        Refusal::UnknownModel as i64
    );
    assert_eq!(
        contract.request([9; 32], [0; 32], payee(1), 1),
        Refusal::UnknownModel as i64
    );
    // A request cannot be opened twice.
    assert_eq!(
        contract.request([1; 32], id_of("key-a.bin"), payee(1), 1),
        Refusal::Replay as i64
    );
    assert_eq!(
        contract.call("submit", &[1, 2, 3]),
        Refusal::Malformed as i64
    );
    assert_eq!(balances(&mut contract), [0, 0, 0, 0]);
}

/// The payee proves, honestly, the answer for an input that he likes better.
#[test]
fn rejects_an_answer_to_another_input_than_was_asked() {
    let mut contract = ready();
    let result = contract.request_input([1; 32], id_of("key-a.bin"), input(2), payee(1), 10);
    assert_eq!(result, 0);
    assert_eq!(
        contract.call("submit", &vector("receipt-settle-one.bin")),
        Refusal::WrongInput as i64
    );
    assert_eq!(contract.call("settle", &[]), 0);
    assert_eq!(contract.call("balance", &payee(1)), 0);
}

#[test]
fn rejects_a_request_of_a_key_for_private_input() {
    let mut contract = ready();
    assert_eq!(
        contract.request([1; 32], id_of("key-b.bin"), payee(1), 10),
        Refusal::PrivateInput as i64
    );
}

#[test]
fn rejects_a_receipt_that_pays_somebody_else() {
    let mut contract = ready();
    // The same request, but opened for another payee: its context is another, and the copied receipt does not fit.
    assert_eq!(
        contract.request([1; 32], id_of("key-a.bin"), payee(2), 10),
        0
    );
    assert_eq!(
        contract.call("submit", &vector("receipt-settle-one.bin")),
        Refusal::WrongContext as i64
    );
}

#[test]
fn rejects_everything_before_parameters_are_loaded() {
    let mut contract = Contract::new();
    assert_eq!(contract.call("register", &vector("key-a.bin")), 0);
    let receipt = vector("receipt-a1.bin");
    assert_eq!(contract.call("check", &receipt), Refusal::NoParams as i64);
    assert_eq!(contract.call("settle", &[]), Refusal::NoParams as i64);
    let mut params = vector("params-6.bin");
    params[100] ^= 1;
    assert_eq!(
        contract.call("load_params", &params),
        Refusal::Malformed as i64
    );
}

/// The fuel for receipts of your own: a folder with `params.bin`, `key.bin` and `receipt.bin`.
#[test]
#[ignore = "needs ZKONNX_SETTLEMENT_FOLDER"]
fn measures_a_receipt_from_a_folder() {
    let folder = PathBuf::from(std::env::var_os("ZKONNX_SETTLEMENT_FOLDER").unwrap());
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let mut contract = Contract::new();
    for (call, file) in [
        ("load_params", "params.bin"),
        ("register", "key.bin"),
        ("check", "receipt.bin"),
    ] {
        let bytes = read(file);
        assert_eq!(contract.call(call, &bytes), 0);
        println!("fuel: {call} of {} bytes {}", bytes.len(), contract.spent);
    }
}
