//! CPU time against the stock verifier, in one process and on one thread. Run in release:
//! `RAYON_NUM_THREADS=1 cargo test --release -p zkonnx-verifier --test speed -- --ignored --nocapture`.

mod common;

use std::time::Duration;

use common::claims::Model;
use common::{Proved, Setup, Spec};
use zkonnx_verifier::{InputVisibility, Params, Receipt, VerifyingKey, verify, verify_batch};

/// The shape of a small network: 2^k rows, some thirty value columns, eight lookups.
fn network(seed: u64, k: u32) -> Spec {
    Spec {
        seed,
        k,
        instances: vec![4],
        gates: vec![vec![0, 1]; 16],
        lookups: vec![1; 8],
        copies: 8,
        minimum_degree: None,
    }
}

/// The CPU time that all threads of the process have used, as Linux counts it.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = tasks.filter_map(|task| {
        // A thread may end while the list is read.
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The clock advances by ticks of some milliseconds, so it is read around a block of runs.
const BLOCK: u32 = 20;

/// CPU time of a run: the mean over a block, the least of several blocks, for what the machine's other users take from
/// the caches is noise on top of it.
fn fastest(blocks: usize, mut run: impl FnMut()) -> Duration {
    let block = |()| {
        let start = cpu_time();
        (0..BLOCK).for_each(|_| run());
        cpu_time().saturating_sub(start) / BLOCK
    };
    std::iter::repeat_n((), blocks)
        .map(block)
        .min()
        .unwrap_or_default()
}

#[test]
#[ignore = "a measurement, for a quiet machine"]
fn measures_single_proofs_against_the_stock_verifier() {
    for k in [9, 10, 11, 12] {
        let setup = Setup::new(network(k.into(), k));
        let params = Params::derive(k).unwrap();
        let proved: Proved = setup.prove(1);
        let (mut stock, mut ours) = (Duration::MAX, Duration::MAX);
        for _ in 0..6 {
            stock = stock.min(fastest(1, || assert!(setup.stock_accepts(&proved))));
            ours = ours.min(fastest(1, || assert!(setup.accepts(&params, &proved))));
        }
        println!(
            "k = {k}, {} bytes: stock {stock:?}, ours {ours:?}, ratio {:.2}",
            proved.proof.len(),
            ours.as_secs_f64() / stock.as_secs_f64()
        );
    }
}

#[test]
#[ignore = "a measurement, for a quiet machine"]
fn measures_a_batch_against_single_receipts() {
    let params = Params::derive(11).unwrap();
    let models: Vec<Model> = [(1, 11), (2, 11), (3, 10)]
        .into_iter()
        .map(|(seed, k)| Model::new(network(seed, k), InputVisibility::Public, [seed as u8; 32]))
        .collect();
    let receipts: Vec<Receipt> = models.iter().map(|model| model.receipt(1)).collect();
    let items: Vec<(&VerifyingKey, &Receipt)> = (0..64)
        .map(|i| (&models[i % 3].key, &receipts[i % 3]))
        .collect();
    let single = fastest(1, || {
        for (key, receipt) in &items {
            verify(key, &params, receipt).unwrap();
        }
    });
    let batch = fastest(2, || verify_batch(&items, &params).unwrap());
    println!(
        "64 receipts: single {single:?}, batch {batch:?}, ratio {:.3}",
        batch.as_secs_f64() / single.as_secs_f64()
    );
}

#[test]
#[ignore = "a measurement, for a quiet machine"]
fn measures_loading() {
    let model = Model::new(network(4, 11), InputVisibility::Public, [4; 32]);
    let key = model.key.encode();
    let params = Params::derive(11).unwrap().encode();
    let load_key = fastest(5, || assert!(VerifyingKey::decode(&key).is_ok()));
    let load_params = fastest(5, || assert!(Params::decode(&params).is_ok()));
    println!(
        "key of {} bytes: {load_key:?}; parameters of {} bytes: {load_params:?}",
        key.len(),
        params.len()
    );
}
