//! Compares the engine with the stock prover on one synthetic circuit, in one run, and prints JSON.
//!
//! `cargo bench -p zkonnx-engine --bench engine` measures at k = 11 with 32 value columns, 8 accumulators, 256 weight
//! columns and 8 lookups; `-- K VALUES ACCUMULATORS LOOKUPS ROUNDS` measures another circuit. Times are CPU seconds of all
//! threads of the process, the best of the rounds; peak memory is that of a process which proves and does nothing else.
#![allow(missing_docs, unreachable_pub, reason = "a program")]
#![allow(clippy::unwrap_used, reason = "a failed measurement is a bug")]

#[path = "../tests/common/wide.rs"]
mod wide;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use ff::Field;
use halo2_proofs::plonk::{ProvingKey as StockKey, create_proof, keygen_pk, keygen_vk};
use halo2_proofs::poly::commitment::{Blind, Params as StockParams, create_proof as stock_opening};
use halo2_proofs::poly::multiopen::{ProverQuery, create_proof as stock_multiopening};
use halo2_proofs::transcript::{Blake2bWrite, Challenge255};
use pasta_curves::{EqAffine, Fp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use wide::{Wide, WideCircuit};
use zkonnx_engine::{
    AdviceColumn, Memory, Options, Params, ProvingKey, Stage, Tag, constraint_system, keygen,
    prove, prove_witness,
};
use zkonnx_verifier::cs::ColumnKind;

fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The peak of resident memory, in MiB.
fn peak() -> f64 {
    memory("VmHWM:")
}

/// A figure of this process' memory, in MiB.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn instances() -> Vec<Vec<Vec<Fp>>> {
    vec![vec![vec![Fp::from(0)]]]
}

fn engine_proof(
    params: &Params,
    key: &ProvingKey,
    circuit: &WideCircuit,
    options: Options<'_>,
) -> Vec<u8> {
    prove(
        params,
        key,
        std::slice::from_ref(circuit),
        &instances(),
        StdRng::seed_from_u64(1),
        options,
    )
    .unwrap()
}

fn stock_proof(
    params: &StockParams<EqAffine>,
    key: &StockKey<EqAffine>,
    circuit: &WideCircuit,
) -> Vec<u8> {
    let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(vec![]);
    let public = [&[Fp::from(0)][..]];
    create_proof(
        params,
        key,
        std::slice::from_ref(circuit),
        &[&public],
        StdRng::seed_from_u64(1),
        &mut transcript,
    )
    .unwrap();
    transcript.finalize()
}

/// CPU seconds of the engine's proof, in total and by stage.
fn engine_stages(
    params: &Params,
    key: &ProvingKey,
    circuit: &WideCircuit,
) -> (f64, Vec<(Stage, f64)>, Vec<u8>) {
    let marks: Mutex<Vec<(Stage, f64)>> = Mutex::new(vec![]);
    let progress = |stage| marks.lock().unwrap().push((stage, cpu()));
    let start = cpu();
    let proof = engine_proof(
        params,
        key,
        circuit,
        Options {
            progress: Some(&progress),
            ..Options::default()
        },
    );
    let end = cpu();
    let mut marks = marks.into_inner().unwrap();
    marks.push((Stage::Opening, end));
    let stages = marks
        .windows(2)
        .map(|pair| (pair[0].0, pair[1].1 - pair[0].1))
        .collect();
    (end - start, stages, proof)
}

/// CPU seconds of the stock opening of one polynomial.
fn stock_opening_cpu(params: &StockParams<EqAffine>, key: &StockKey<EqAffine>) -> f64 {
    let n = 1 << params.k();
    let coefficients = (0..n)
        .map(|i| Fp::from(i).square().square().square())
        .collect();
    let polynomial = key.get_vk().get_domain().coeff_from_vec(coefficients);
    let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(vec![]);
    let start = cpu();
    let rng = StdRng::seed_from_u64(2);
    stock_opening(
        params,
        rng,
        &mut transcript,
        &polynomial,
        Blind(Fp::from(3)),
        Fp::from(5),
    )
    .unwrap();
    cpu() - start
}

/// CPU seconds of the stock opening of as many polynomials at the same points as a proof of the circuit opens.
///
/// The coefficients do not matter to it, so they are the same ones, rotated.
fn stock_multiopening_cpu(
    params: &StockParams<EqAffine>,
    key: &StockKey<EqAffine>,
    engine: &ProvingKey,
) -> f64 {
    let (cs, shape) = (engine.circuit().cs(), engine.shape());
    let n = shape.n;
    let mut coefficients: Vec<Fp> = (0..n as u64)
        .map(|i| Fp::from(i + 3).square().square().square().square())
        .collect();
    let x = Fp::from(5).square().square().square();
    let omega = key.get_vk().get_domain().get_omega();
    let inverse = omega.invert().unwrap();
    let last = inverse.pow_vartime([shape.blinding_factors as u64 + 1]);
    // The rotations at which each polynomial is opened, as the engine's proof does.
    let mut rotations: BTreeMap<(ColumnKind, u32), Vec<Fp>> = BTreeMap::new();
    for query in [&cs.instance_queries, &cs.advice_queries, &cs.fixed_queries]
        .into_iter()
        .flatten()
    {
        let base = if query.rotation < 0 { inverse } else { omega };
        let point = x * base.pow_vartime([u64::from(query.rotation.unsigned_abs())]);
        let column = (query.column.kind, query.column.index);
        rotations.entry(column).or_default().push(point);
    }
    let mut sets: Vec<Vec<Fp>> = rotations.into_values().collect();
    let chunks = cs.permutation.len().div_ceil(shape.chunk);
    sets.extend((0..chunks).map(|chunk| {
        let linked = (chunk + 1 < chunks).then_some(x * last);
        [x, x * omega].into_iter().chain(linked).collect()
    }));
    for _ in &cs.lookups {
        sets.extend([vec![x, x * omega], vec![x, x * inverse], vec![x]]);
    }
    sets.extend((0..cs.permutation.len() + 2).map(|_| vec![x]));
    let polynomials: Vec<_> = sets
        .iter()
        .map(|_| {
            coefficients.rotate_left(1);
            key.get_vk()
                .get_domain()
                .coeff_from_vec(coefficients.clone())
        })
        .collect();
    let queries: Vec<ProverQuery<'_, EqAffine>> = polynomials
        .iter()
        .zip(&sets)
        .flat_map(|(poly, points)| {
            let blind = Blind(Fp::from(3));
            points.iter().map(move |point| ProverQuery {
                point: *point,
                poly,
                blind,
            })
        })
        .collect();
    let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(vec![]);
    let rng = StdRng::seed_from_u64(2);
    let start = cpu();
    stock_multiopening(params, rng, &mut transcript, queries).unwrap();
    cpu() - start
}

/// The speed-up of two threads on one proof, and of two proofs side by side with one thread each, in wall time.
fn speed_ups(rounds: usize, proof: impl Fn() + Sync) -> (f64, f64) {
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    let (one, other, both) = (pool(1), pool(1), pool(2));
    let wall = |f: &dyn Fn()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    let best = |f: &dyn Fn()| (0..rounds).map(|_| wall(f)).fold(f64::INFINITY, f64::min);
    let single = best(&|| one.install(&proof));
    let double = best(&|| both.install(&proof));
    let aside = best(&|| {
        std::thread::scope(|scope| {
            scope.spawn(|| one.install(&proof));
            other.install(&proof);
        });
    });
    (single / double, 2.0 * single / aside)
}

/// Where the parent process leaves the key and the parameters.
fn stored(name: &str) -> std::path::PathBuf {
    let parent = std::os::unix::process::parent_id();
    std::env::temp_dir().join(format!("zkonnx-bench-{parent}.{name}"))
}

/// The memory that a proof takes in a process that reads key and parameters, beyond what the circuit itself takes.
fn proving_peak(circuit: &WideCircuit) -> f64 {
    let open = |name| BufReader::new(File::open(stored(name)).unwrap());
    let before = memory("VmRSS:");
    let params = Params::read(open("params")).unwrap();
    let key = ProvingKey::read(open("key"), None).unwrap();
    let columns = circuit
        .advice()
        .map(|column| AdviceColumn::Full(column.clone()));
    let witness = vec![columns.collect()];
    let rng = StdRng::seed_from_u64(1);
    prove_witness(
        &params,
        &key,
        witness,
        &instances(),
        rng,
        Options::default(),
    )
    .unwrap();
    peak() - before
}

/// Measured and predicted memory of a proof, in MiB.
fn proving_memory(params: &Params, key: &ProvingKey, numbers: &[usize]) -> (f64, f64) {
    let own = |name: &str| {
        let id = std::process::id();
        std::env::temp_dir().join(format!("zkonnx-bench-{id}.{name}"))
    };
    let create = |name| BufWriter::new(File::create(own(name)).unwrap());
    params.write(create("params")).unwrap();
    key.write(create("key")).unwrap();
    let measured = peak_of("peak-of-proving", numbers);
    for name in ["params", "key"] {
        std::fs::remove_file(own(name)).unwrap();
    }
    let threads = rayon::current_num_threads();
    let cs = key.circuit().cs();
    let predicted = Memory::predict(cs, params.k(), 1, threads).unwrap();
    (measured, predicted.total() as f64 / f64::from(1 << 20))
}

/// Runs this program again to measure the memory of one prover.
fn peak_of(which: &str, numbers: &[usize]) -> f64 {
    let numbers = numbers.iter().map(ToString::to_string);
    let child = Command::new(std::env::current_exe().unwrap())
        .arg(which)
        .args(numbers)
        .output()
        .unwrap();
    String::from_utf8(child.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<usize> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let number = |i: usize, default: usize| given.get(i).copied().unwrap_or(default);
    let (k, values, accumulators, lookups) =
        (number(0, 11), number(1, 32), number(2, 8), number(3, 8));
    let rounds = number(4, 3);
    let numbers = [k, values, accumulators, lookups, rounds];
    let circuit = WideCircuit::new(
        Wide {
            k: k as u32,
            values,
            accumulators,
            lookups,
        },
        88_172_645_463_325_252,
    );
    let params = Params::derive(k as u32).unwrap();
    let engine_key = || {
        let cs = constraint_system::<WideCircuit>().unwrap();
        keygen(&params, &cs, &circuit, Tag::default()).unwrap()
    };
    let stock_setup = || {
        let stock_params = params.to_halo2().unwrap();
        let vk = keygen_vk(&stock_params, &circuit).unwrap();
        let key = keygen_pk(&stock_params, vk, &circuit).unwrap();
        (stock_params, key)
    };
    match arguments.first().map(String::as_str) {
        Some("peak-of-engine") => {
            engine_proof(&params, &engine_key(), &circuit, Options::default());
            return println!("{}", peak());
        }
        Some("peak-of-proving") => return println!("{}", proving_peak(&circuit)),
        Some("peak-of-stock") => {
            let (stock_params, key) = stock_setup();
            stock_proof(&stock_params, &key, &circuit);
            return println!("{}", peak());
        }
        _ => {}
    }
    let start = cpu();
    let key = engine_key();
    let keygen_cpu = cpu() - start;
    let runs: Vec<_> = (0..rounds)
        .map(|_| engine_stages(&params, &key, &circuit))
        .collect();
    let (engine, stages, proof) = runs.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let stage = |stage: Stage| {
        stages
            .iter()
            .filter(|(own, _)| *own == stage)
            .map(|(_, time)| time)
            .sum::<f64>()
    };
    let opening = stage(Stage::Opening);
    let list: Vec<String> = stages
        .iter()
        .map(|(stage, time)| format!("\"{stage:?}\": {time:.4}"))
        .collect();
    println!("{{");
    println!(
        "  \"k\": {k}, \"values\": {values}, \"accumulators\": {accumulators}, \"lookups\": {lookups},"
    );
    println!(
        "  \"proof_bytes\": {}, \"keygen_cpu\": {keygen_cpu:.3},",
        proof.len()
    );
    println!("  \"engine_stages_cpu\": {{ {} }},", list.join(", "));
    let mut stored = vec![];
    key.write(&mut stored).unwrap();
    let start = cpu();
    ProvingKey::read(stored.as_slice(), None).unwrap();
    println!(
        "  \"key_bytes\": {}, \"key_read_cpu\": {:.4},",
        stored.len(),
        cpu() - start
    );
    drop(stored);
    let mut stored = vec![];
    params.write(&mut stored).unwrap();
    let start = cpu();
    Params::read(stored.as_slice()).unwrap();
    println!(
        "  \"params_bytes\": {}, \"params_read_cpu\": {:.4},",
        stored.len(),
        cpu() - start
    );
    let (measured, predicted) = proving_memory(&params, &key, &numbers);
    println!(
        "  \"proving_mib\": {measured:.1}, \"predicted_mib\": {predicted:.1}, \"predicted_to_measured\": {:.2},",
        predicted / measured
    );
    if std::env::var_os("ENGINE_ONLY").is_some() {
        return println!("  \"engine_cpu\": {engine:.4}\n}}");
    }
    let (alone, aside) = speed_ups(rounds, || {
        drop(engine_proof(&params, &key, &circuit, Options::default()))
    });
    println!(
        "  \"two_threads\": {alone:.3}, \"two_proofs\": {aside:.3}, \"thread_ratio\": {:.3},",
        alone / aside
    );
    let (stock_params, stock_key) = stock_setup();
    let mut stock = f64::INFINITY;
    for _ in 0..rounds {
        let start = cpu();
        let expected = stock_proof(&stock_params, &stock_key, &circuit);
        stock = stock.min(cpu() - start);
        assert!(expected == proof, "the proofs differ");
    }
    println!(
        "  \"engine_cpu\": {engine:.4}, \"stock_cpu\": {stock:.4}, \"cpu_ratio\": {:.3},",
        engine / stock
    );
    let best = |f: &dyn Fn() -> f64| (0..rounds).map(|_| f()).fold(f64::INFINITY, f64::min);
    let stock_opening = best(&|| stock_opening_cpu(&stock_params, &stock_key));
    let stock_multiopening = best(&|| stock_multiopening_cpu(&stock_params, &stock_key, &key));
    println!(
        "  \"engine_multiopening_cpu\": {opening:.4}, \"stock_multiopening_cpu\": {stock_multiopening:.4}, \"multiopening_ratio\": {:.3},",
        opening / stock_multiopening
    );
    println!(
        "  \"stock_single_opening_cpu\": {stock_opening:.4}, \"engine_multiopening_to_stock_single_opening\": {:.3},",
        opening / stock_opening
    );
    let (own, other) = (
        peak_of("peak-of-engine", &numbers),
        peak_of("peak-of-stock", &numbers),
    );
    println!(
        "  \"engine_peak_mib\": {own:.0}, \"stock_peak_mib\": {other:.0}, \"peak_ratio\": {:.3}",
        own / other
    );
    println!("}}");
}
