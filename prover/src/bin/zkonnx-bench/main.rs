//! Benchmarks of whole models, over the command line that users have.
//!
//! `zkonnx-bench suite MODEL…` runs `zkonnx setup`, `prove` and `verify` of each model as processes of their own and
//! prints what they took beside what the planner predicted. `zkonnx-bench mutants MODEL…` lies about whole models and
//! prints how many lies were caught, and by which constraints. `zkonnx-bench verifier MODEL…` compares the verifier
//! with the stock one (set `RAYON_NUM_THREADS=1` for one thread), and `zkonnx-bench plot` draws a suite. `zkonnx-bench
//! batch` answers one command line after the other.

mod batch;
mod mutants;
mod plot;
mod verifier;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use zkonnx_prover::files;

/// Receipts of one model that are verified at once.
const BATCH: usize = 16;

type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(version, about = "Benchmarks of whole models")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up, prove and verify each model; print measured beside predicted
    Suite {
        /// Models; `input.json` or `samples.npz` in the folder of each is its input
        #[arg(required = true)]
        models: Vec<PathBuf>,
        /// How often each is proved; the least CPU time counts
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Write the result as JSON
        #[arg(long)]
        json: Option<PathBuf>,
        /// The commit that is measured
        #[arg(long, default_value = "")]
        commit: String,
        /// What `compare_models.py --json` wrote: equality with ONNX Runtime, for the result
        #[arg(long)]
        equality: Option<PathBuf>,
    },
    /// Compare verification with the stock verifier, and a batch with single verifications
    Verifier {
        /// Models
        #[arg(required = true)]
        models: Vec<PathBuf>,
        /// Receipts in the batch, over all models
        #[arg(long, default_value_t = 64)]
        batch: usize,
        /// Write the result as JSON
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Draw a suite: CPU time of proofs over multiply-accumulates
    Plot {
        /// What `suite --json` wrote
        suite: PathBuf,
        /// The manifest that states the multiply-accumulates of each model
        #[arg(long, default_value = "models/bench.json")]
        manifest: PathBuf,
        /// The drawing, SVG
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Answer command lines of `zkonnx` from stdin, each a JSON array of its arguments, with a line of JSON each
    Batch,
    /// Lie about each model and count the lies that are rejected
    Mutants {
        /// Models
        #[arg(required = true)]
        models: Vec<PathBuf>,
        /// Judge so many mutants of a model, drawn from all kinds of lies; all of them if there are fewer
        #[arg(long)]
        sample: Option<usize>,
        /// What the sample is drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Judge each only until something rejects it: fast on large models, but does not count what rejects alone
        #[arg(long)]
        hasty: bool,
        /// Keep the input private
        #[arg(long)]
        private_input: bool,
        /// Write the result as JSON
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Suite {
            models,
            runs,
            json,
            commit,
            equality,
        } => suite(&models, runs, json.as_deref(), &commit, equality.as_deref()),
        Task::Verifier {
            models,
            batch,
            json,
        } => verifier::run(&models, batch, json.as_deref()),
        Task::Plot {
            suite,
            manifest,
            output,
        } => plot::run(&suite, &manifest, &output),
        Task::Batch => batch::run(),
        Task::Mutants {
            models,
            sample,
            seed,
            hasty,
            private_input,
            json,
        } => {
            let how = mutants::How {
                sample,
                seed,
                hasty,
                private_input,
            };
            mutants::run(&models, &how, json.as_deref())
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("zkonnx-bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// `models/digits_cnn/qdq_u8s8_per_tensor.onnx` is `digits_cnn/qdq_u8s8_per_tensor`.
fn name_of(model: &Path) -> String {
    let stem = |p: &Path| {
        p.file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    match model.parent() {
        Some(folder) if folder.file_name().is_some() => format!("{}/{}", stem(folder), stem(model)),
        _ => stem(model),
    }
}

fn suite(
    models: &[PathBuf],
    runs: usize,
    out: Option<&Path>,
    commit: &str,
    equality: Option<&Path>,
) -> Result<bool, Failure> {
    let equality: Value = match equality {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => Value::Null,
    };
    let scratch = std::env::temp_dir().join(format!("zkonnx-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut rows = Vec::new();
    println!(
        "| model | k | columns | rows | lookups | keys CPU s | prove CPU s | predicted | wall s | verify ms | in a batch | proof B | vk B | pk MB | peak MB |"
    );
    println!(
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for model in models {
        let mut row = measure(model, runs, &scratch)?;
        let compared = &equality["models"][name_of(model)]["operators"];
        if let Some(operators) = compared.as_object() {
            let sum = |keys: &[&str]| -> u64 {
                let counts = operators
                    .values()
                    .flat_map(|count| keys.iter().map(|k| &count[*k]));
                counts.filter_map(Value::as_u64).sum()
            };
            row["onnxruntime"] = json!({
                "elements": sum(&["elements"]),
                "differ": sum(&["original", "inherited"]),
            });
        }
        println!("{}", table_row(&row));
        rows.push(row);
    }
    std::fs::remove_dir_all(&scratch)?;
    if let Some(path) = out {
        let result = json!({ "commit": commit, "machine": machine(), "models": rows });
        files::write(path, format!("{result:#}\n").as_bytes())?;
    }
    Ok(true)
}

fn machine() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("");
    json!({
        "cpu": model.trim_start_matches(['\t', ' ', ':']),
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
        "arch": std::env::consts::ARCH,
    })
}

/// Runs `zkonnx` and reads its answer, which is JSON.
fn zkonnx(args: &[&str], threads: Option<usize>) -> Result<Value, Failure> {
    let program = std::env::current_exe()?.with_file_name("zkonnx");
    let mut command = Command::new(&program);
    command.args(args).arg("--json");
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("zkonnx {}: {}", args.join(" "), said.trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure(model: &Path, runs: usize, scratch: &Path) -> Result<Value, Failure> {
    let folder = model.parent().unwrap_or(Path::new("."));
    let input = ["input.json", "samples.npz"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| {
            format!(
                "{}: no input.json or samples.npz beside it",
                model.display()
            )
        })?;
    let keys = scratch.join("keys");
    let receipt = scratch.join("receipt");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (model_arg, keys_arg, receipt_arg) = (text(model), text(&keys), text(&receipt));
    let check = zkonnx(&["check", &model_arg], None)?;
    let setup = zkonnx(&["setup", &model_arg, "-o", &keys_arg], None)?;
    let input_arg = text(&input);
    let mut prove = vec![
        "prove",
        &keys_arg,
        "-o",
        &receipt_arg,
        "--input",
        &input_arg,
    ];
    if input.extension().is_some_and(|e| e == "npz") {
        prove.extend(["--sample", "0"]);
    }
    let mut best: Option<Value> = None;
    let mut wall = f64::INFINITY;
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        let proved = zkonnx(&prove, None)?;
        wall = wall.min(start.elapsed().as_secs_f64());
        let cpu = |v: &Value| v["prove_cpu_s"].as_f64().unwrap_or(f64::INFINITY);
        if best.as_ref().is_none_or(|b| cpu(&proved) < cpu(b)) {
            best = Some(proved);
        }
    }
    let proved = best.unwrap_or_default();
    let vk = text(&keys.join("vk"));
    let verified = zkonnx(&["verify", &receipt_arg, "--vk", &vk], Some(1))?;
    let mut batch = vec!["verify", "--vk", &vk];
    batch.extend([receipt_arg.as_str(); BATCH]);
    let batch = zkonnx(&batch, Some(1))?;
    let batch = batch["verify_cpu_s"].as_f64().unwrap_or(f64::NAN) / BATCH as f64;
    let k = check["circuit"]["k"].as_u64().unwrap_or(0);
    let cache = zkonnx_prover::cache::Cache::of_user();
    let params = cache
        .folder()
        .unwrap_or(Path::new(""))
        .join(format!("verify-{k}.params"));
    let size = |name: &str| std::fs::metadata(keys.join(name)).map_or(0, |m| m.len());
    Ok(json!({
        "model": name_of(model),
        "k": check["circuit"]["k"],
        "advice_columns": check["circuit"]["advice_columns"],
        "fixed_columns": check["circuit"]["fixed_columns"],
        "rows_used": check["circuit"]["rows_used"],
        "filled": check["circuit"]["filled"],
        "lookups": check["circuit"]["lookups"],
        "keygen_cpu_s": setup["keygen_cpu_s"],
        "prove_cpu_s": proved["prove_cpu_s"],
        "load_cpu_s": proved["load_cpu_s"],
        "prove_process_wall_s": wall,
        "verify_cpu_s": verified["verify_cpu_s"],
        "batch_verify_cpu_s": batch,
        "verify_params_bytes": std::fs::metadata(params).map_or(0, |m| m.len()),
        "proof_bytes": proved["proof_bytes"],
        "receipt_bytes": proved["receipt_bytes"],
        "peak_rss_bytes": proved["peak_rss_bytes"],
        "vk_bytes": size("vk"),
        "pk_bytes": size("pk"),
        "program_id": proved["program_id"],
        "vk_id": proved["vk_id"],
        "predicted": check["predicted"],
    }))
}

fn table_row(row: &Value) -> String {
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    format!(
        "| {} | {} | {}+{} | {} | {} | {:.2} | {:.3} | {:.3} | {:.2} | {:.1} | {:.1} | {} | {} | {:.1} | {:.0} |",
        row["model"].as_str().unwrap_or(""),
        row["k"],
        row["advice_columns"],
        row["fixed_columns"],
        row["rows_used"],
        row["lookups"],
        number(&row["keygen_cpu_s"]),
        number(&row["prove_cpu_s"]),
        number(&row["predicted"]["prove_cpu_s"]),
        number(&row["prove_process_wall_s"]),
        1e3 * number(&row["verify_cpu_s"]),
        1e3 * number(&row["batch_verify_cpu_s"]),
        row["proof_bytes"],
        row["vk_bytes"],
        number(&row["pk_bytes"]) / 1e6,
        number(&row["peak_rss_bytes"]) / 1e6,
    )
}
