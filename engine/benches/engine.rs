//! Compares the engine with the stock prover on one synthetic circuit, in one run, and prints JSON.
//!
//! `cargo bench -p zkonnx-engine` measures at k = 11; `cargo bench -p zkonnx-engine -- K VALUES ACCUMULATORS LOOKUPS
//! ROUNDS` measures another circuit. Times are CPU seconds of all threads of the process, the best of the rounds.
#![allow(missing_docs, unreachable_pub, reason = "a program")]

#[path = "../tests/common/wide.rs"]
mod wide;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use halo2_proofs::plonk::{create_proof, keygen_pk, keygen_vk};
use halo2_proofs::transcript::{Blake2bWrite, Challenge255};
use pasta_curves::{EqAffine, Fp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use wide::{Wide, WideCircuit};
use zkonnx_engine::{Options, Params, ProvingKey, Stage, Tag, constraint_system, keygen, prove};

fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The peak of resident memory, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(0.0) / 1024.0
}

fn engine_proof(
    params: &Params,
    key: &ProvingKey,
    circuit: &WideCircuit,
    options: Options<'_>,
) -> Vec<u8> {
    let instances = [vec![vec![Fp::from(0)]]];
    prove(
        params,
        key,
        &[circuit.clone()],
        &instances,
        StdRng::seed_from_u64(1),
        options,
    )
    .unwrap()
}

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let number = |i: usize, default: usize| numbers.get(i).copied().unwrap_or(default);
    let shape = Wide {
        k: number(0, 11) as u32,
        values: number(1, 32),
        accumulators: number(2, 8),
        lookups: number(3, 8),
    };
    let rounds = number(4, 3);
    let circuit = WideCircuit::new(shape, 88_172_645_463_325_252);
    let params = Params::derive(shape.k).unwrap();
    let cs = constraint_system::<WideCircuit>().unwrap();
    let start = cpu();
    let key = keygen(&params, &cs, &circuit, Tag::default()).unwrap();
    let keygen_cpu = cpu() - start;

    let mut best = f64::INFINITY;
    let mut best_stages: BTreeMap<String, f64> = BTreeMap::new();
    let mut proof = vec![];
    for _ in 0..rounds {
        let marks: Mutex<Vec<(Stage, f64)>> = Mutex::new(vec![]);
        let progress = |stage| marks.lock().unwrap().push((stage, cpu()));
        let start = cpu();
        proof = engine_proof(
            &params,
            &key,
            &circuit,
            Options {
                progress: Some(&progress),
                ..Options::default()
            },
        );
        let end = cpu();
        if end - start < best {
            best = end - start;
            let mut marks = marks.into_inner().unwrap();
            marks.push((Stage::Opening, end));
            best_stages = marks
                .windows(2)
                .map(|w| (format!("{:?}", w[0].0), w[1].1 - w[0].1))
                .collect();
        }
    }
    eprintln!(
        "engine {best:.3} keygen {keygen_cpu:.3} peak {:.0} proof {}",
        peak(),
        proof.len()
    );
    for (stage, time) in &best_stages {
        eprintln!("  {stage:12} {time:.4}");
    }
    if std::env::var_os("ENGINE_ONLY").is_some() {
        return;
    }
    let halo2 = params.to_halo2().unwrap();
    let vk = keygen_vk(&halo2, &circuit).unwrap();
    let pk = keygen_pk(&halo2, vk, &circuit).unwrap();
    let mut stock = f64::INFINITY;
    for _ in 0..rounds.min(2) {
        let start = cpu();
        let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(vec![]);
        create_proof(
            &halo2,
            &pk,
            &[circuit.clone()],
            &[&[&[Fp::from(0)]]],
            StdRng::seed_from_u64(1),
            &mut transcript,
        )
        .unwrap();
        stock = stock.min(cpu() - start);
        assert!(transcript.finalize() == proof);
    }
    println!("stock {stock:.3} ratio {:.3}", best / stock);
    let _ = (Instant::now(), RefCell::new(0));
}
