//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use zkonnx_circuits::plan::{Objective, PlanOptions};
use zkonnx_onnx::Bindings;
use zkonnx_verifier::InputVisibility;

use crate::artifact::parse_hex32;
use crate::error::Error;
use crate::input::Meaning;

const ABOUT: &str = "Prove that a quantized ONNX model gave this output, and check such proofs";

const LONG_ABOUT: &str = "\
Prove that a quantized ONNX model gave this output, and check such proofs.

A model becomes an integer program, and an inference a receipt: program, input, output and 32 bytes of your own, with a \
proof of a few kilobytes that anybody checks in milliseconds. There is no trusted setup: parameters are derived on this \
machine once and kept in a cache.";

const EXAMPLES: &str = "\
Examples:
  zkonnx demo                                              a real digit, proved and verified
  zkonnx check model.onnx                                  can it be proved, and at what cost
  zkonnx run model.onnx --input input.json                 execute in integers, without a proof
  zkonnx prove model.onnx --input input.json -o receipt    prove one inference
  zkonnx verify receipt --model model.onnx                 check it, given the model

Exit codes: 0 done or accepted, 1 rejected, 2 bad input or usage, 3 failure of this program or machine.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "zkonnx", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[command(
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Answer with one JSON object on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Folder for derived parameters [default: $ZKONNX_CACHE, or zkonnx in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the open dimensions of a model are bound to.
#[derive(Debug, Args)]
pub(crate) struct DimArgs {
    /// Extent of an open dimension of the model, by its name, or by INPUT:AXIS; may be repeated
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dim)]
    dims: Vec<(String, usize)>,
}

impl DimArgs {
    /// As an import takes them.
    pub(super) fn bindings(&self) -> Result<Bindings, Error> {
        let mut bindings = Bindings::default();
        for (name, extent) in &self.dims {
            if bindings.dims.insert(name.clone(), *extent).is_some() {
                return Err(Error::NotApplicable {
                    option: "--dim",
                    why: format!("it is given twice for `{name}`; give it once"),
                });
            }
        }
        Ok(bindings)
    }

    /// Refuses the option where there is no model whose dimensions are open.
    pub(super) fn absent(&self, why: &str) -> Result<(), Error> {
        match self.dims.is_empty() {
            true => Ok(()),
            false => Err(Error::NotApplicable {
                option: "--dim",
                why: why.to_owned(),
            }),
        }
    }
}

/// `NAME=N`.
fn dim(text: &str) -> Result<(String, usize), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, extent)| {
        let extent = extent.parse().ok().filter(|extent| *extent > 0)?;
        (!name.is_empty()).then(|| (name.to_owned(), extent))
    });
    parsed.ok_or_else(|| "a name and a positive number are meant, such as seq=64".into())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether a model can be proved, how exactly, and at what cost
    #[command(after_help = "\
Every node is listed with what becomes of it; unsupported nodes are all listed, with the reason and the remedy, and the \
exit code is 2. The costs are predictions for this kind of machine, before any key is made.

Example: zkonnx check models/digits_cnn/qdq_u8s8_per_tensor.onnx")]
    Check(CheckArgs),
    /// Execute a model in integers, without a proof
    #[command(after_help = "\
Examples:
  zkonnx run model.onnx --input samples.npz                    all samples; with labels `y`, their accuracy
  zkonnx run model.onnx --input input.json --claim claim       the claim that a receipt would prove
  zkonnx run model.onnx --input samples.npz --dump-tensors out.npz")]
    Run(RunArgs),
    /// Prove inferences, and write a receipt once it has been verified
    #[command(after_help = "\
Examples:
  zkonnx prove model.onnx --input input.json -o receipt
  zkonnx prove keys/ --input a.json --input b.json -o receipt  keys from `zkonnx setup`; two inferences, one proof
  zkonnx prove model.onnx --input x.npy -o receipt --private-input --context 00…2a

With --private-input the receipt says nothing of the input but that some input gives this output. The model's weights \
are public in any case.")]
    Prove(ProveArgs),
    /// Generate the keys of a model, so that proving starts at once
    #[command(after_help = "\
DIR receives `program`, `pk` (the proving key), `vk` (the verifying key, a few kilobytes, to be given to those who verify) \
and `manifest.json`. All of it is public.

Example: zkonnx setup model.onnx -o keys && zkonnx prove keys --input input.json -o receipt")]
    Setup(SetupArgs),
    /// Check receipts; exit code 0 if all hold, 1 if not
    #[command(after_help = "\
Examples:
  zkonnx verify receipt --vk keys/vk --expect-vk 5f…           under a key whose id you trust
  zkonnx verify receipt --model model.onnx                     deriving the key from the model
  zkonnx verify a b c --vk one/vk --vk two/vk                  a batch over two models, in one go

A verifying key claims which program it is of; --model derives the key and --expect-vk pins its id, so use one of them \
unless you trust where the key came from.")]
    Verify(VerifyArgs),
    /// Check the circuit on an input without a proof, and name what fails
    #[command(after_help = "\
Example: zkonnx mock model.onnx --input input.json
With --claim, the claim in the file is checked instead of the one that the execution gives.")]
    Mock(MockArgs),
    /// Say what a file is: a model, program, receipt, claim, key or folder of keys
    #[command(after_help = "\
A program, or the program of a model, is listed line by line: every tensor with its type, shape and range, every \
operator with its parameters.

Example: zkonnx inspect receipt")]
    Inspect(InspectArgs),
    /// Make a quantized model that can be proved from a float one
    #[command(after_help = "\
Every operator that can be proved is quantized, so nothing in between stays float; the report says how far each tensor is \
from the float model on the samples. The result is a standard ONNX model, which ONNX Runtime runs as well.

Nothing is written and the exit code is 1 if an output is more than 10 % (relative root mean square; of integers, the \
share that differs) from the float model, or if nodes that compute something would stay outside the proof. \
--accept-error says otherwise: --accept-error=25 allows 25 %, --accept-error alone anything.

Example: zkonnx quantize float.onnx --calibrate samples.npz -o model.onnx")]
    Quantize(super::quantize::QuantizeArgs),
    /// Prove and verify a handwritten digit with a small model that is built in
    Demo(DemoArgs),
    /// List the ONNX operators that can be proved, with opsets, types, limits and exactness
    Ops(OpsArgs),
}

impl Command {
    /// Its name, as it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Run(_) => "run",
            Self::Prove(_) => "prove",
            Self::Setup(_) => "setup",
            Self::Verify(_) => "verify",
            Self::Mock(_) => "mock",
            Self::Inspect(_) => "inspect",
            Self::Quantize(_) => "quantize",
            Self::Demo(_) => "demo",
            Self::Ops(_) => "ops",
        }
    }
}

/// Whether a claim states the input.
#[derive(Debug, Args)]
pub(crate) struct VisibilityArgs {
    /// Keep the input out of the claim: some input gives this output
    #[arg(long)]
    pub(crate) private_input: bool,
}

impl VisibilityArgs {
    pub(crate) fn visibility(&self) -> InputVisibility {
        if self.private_input {
            InputVisibility::Private
        } else {
            InputVisibility::Public
        }
    }
}

/// What the planner makes small.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum OptimizeArg {
    /// CPU time of the prover
    Prover,
    /// CPU time of the verifier
    Verifier,
    /// Bytes of the proof
    ProofSize,
    /// Memory of the prover
    Memory,
}

/// How the circuit is planned.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// What the planner makes small; another choice is another circuit, with other keys [default: prover]
    #[arg(long, value_enum)]
    pub(crate) optimize: Option<OptimizeArg>,
    /// Longest proof of one inference [default: 28000]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_proof_bytes: Option<usize>,
}

impl PlanArgs {
    pub(crate) fn options(&self) -> PlanOptions {
        let default = PlanOptions::default();
        PlanOptions {
            objective: match self.optimize {
                None => default.objective,
                Some(OptimizeArg::Prover) => Objective::Prover,
                Some(OptimizeArg::Verifier) => Objective::Verifier,
                Some(OptimizeArg::ProofSize) => Objective::ProofSize,
                Some(OptimizeArg::Memory) => Objective::Memory,
            },
            max_proof_bytes: self.max_proof_bytes.unwrap_or(default.max_proof_bytes),
            ..default
        }
    }

    /// The first of these options that was given, for commands where something else has planned already.
    pub(crate) fn given(&self) -> Option<&'static str> {
        match (self.optimize, self.max_proof_bytes) {
            (Some(_), _) => Some("--optimize"),
            (None, Some(_)) => Some("--max-proof-bytes"),
            (None, None) => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Input tensors: JSON, .npy, .npz or an ONNX tensor (.pb); several files are several inferences
    #[arg(long, short, required = true, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,
    /// Use only this sample of the input, counted from 0
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// The input holds the program's integers, also where the model takes real numbers
    #[arg(long)]
    pub(crate) quantized_input: bool,
}

impl InputArgs {
    pub(crate) fn meaning(&self) -> Meaning {
        if self.quantized_input {
            Meaning::Integers
        } else {
            Meaning::Model
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    /// 32 bytes of your own, bound by the proof: a request, a nonce; once, or once for each inference
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub(crate) context: Vec<[u8; 32]>,
}

/// A number of bytes, with one of the usual units or without.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a size such as 300MB or 2GiB, got `{text}`");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1048576.0,
        "gib" => 1073741824.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if bytes.is_finite() && bytes < 1e18 {
        Ok(bytes as u64)
    } else {
        Err(wrong())
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// An ONNX model or a program
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    /// Draw the circuit as a page for a browser: what stands where, what is idle, where the time goes
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) visibility: VisibilityArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// An ONNX model, a program, or a folder made by setup
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Write every quantized tensor of all samples, by its ONNX name, as a .npz archive
    #[arg(long, value_name = "OUT")]
    pub(crate) dump_tensors: Option<PathBuf>,
    /// Write the claim of the inference (of one sample)
    #[arg(long, value_name = "OUT")]
    pub(crate) claim: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) visibility: VisibilityArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

/// Who makes the proof.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum EngineArg {
    /// This project's engine
    Own,
    /// The stock halo2_proofs prover, the reference; its keys are generated each time
    Stock,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// An ONNX model, a program, or a folder made by setup, whose keys are then used
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Where to write the receipt
    #[arg(long, short, value_name = "RECEIPT")]
    pub(crate) output: PathBuf,
    /// Use the keys of this folder, made by setup for this model
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) visibility: VisibilityArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Memory that proving must not exceed, such as 200MB; slower where that asks for it
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_memory: Option<u64>,
    /// Who makes the proof
    #[arg(long, value_enum, default_value = "own")]
    pub(crate) engine: EngineArg,
}

#[derive(Debug, Args)]
pub(crate) struct OpsArgs {
    /// As a page of Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// An ONNX model or a program
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    /// Folder to write the keys to
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) visibility: VisibilityArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Receipts to check, all at once
    #[arg(required = true, value_name = "RECEIPT")]
    pub(crate) receipts: Vec<PathBuf>,
    /// Verifying keys; each receipt is checked under the one it names
    #[arg(long, value_name = "FILE", required_unless_present = "model")]
    pub(crate) vk: Vec<PathBuf>,
    /// Models to derive the verifying keys from
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Reject unless every receipt is under the verifying key with this id
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub(crate) expect_vk: Option<[u8; 32]>,
    /// Reject unless every claim is about the program with this id
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub(crate) expect_program: Option<[u8; 32]>,
    /// Reject unless every claim has this context
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub(crate) expect_context: Option<[u8; 32]>,
}

#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// An ONNX model or a program
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Check this claim instead of the one that the execution gives
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    pub(crate) claim: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) visibility: VisibilityArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A file, or a folder made by setup
    pub(crate) artifact: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which digit of the built-in test split, counted from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) sample: usize,
    /// Keep the receipt and the verifying key in this folder
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn accepts_its_own_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn accepts_sizes_with_units() {
        let sizes = ["0", "300MB", "1.5 GiB", "7k"].map(parse_size);
        assert_eq!(
            sizes,
            [Ok(0), Ok(300_000_000), Ok(1_610_612_736), Ok(7_000)]
        );
    }

    #[test]
    fn rejects_other_sizes() {
        for text in [
            "",
            "MB",
            "1XB",
            "-1",
            "1e9",
            "1.2.3",
            "9999999999999999999999",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
