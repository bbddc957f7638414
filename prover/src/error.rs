//! What can go wrong, and whose fault it is.

use std::path::PathBuf;

use zkonnx_circuits::compile::{CompileError, InferenceError};
use zkonnx_circuits::program::{DecodeError as ProgramDecodeError, ExecuteError};
use zkonnx_engine as engine;
use zkonnx_onnx::ImportError;
use zkonnx_onnx::quantize::QuantizeError;
use zkonnx_verifier as verifier;

use crate::artifact::Kind;
use crate::files::{self, FileError};
use crate::input::InputError;
use crate::numpy::ZipError;

/// The verdict on a request, as the exit code of the process says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done; or the answer is yes.
    Yes = 0,
    /// The question was valid and the answer is no: a proof that does not hold.
    No = 1,
    /// The request or its files are at fault.
    BadInput = 2,
    /// This program or the machine is at fault.
    Failure = 3,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An input file cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A model that cannot be imported.
    #[error("{}: {source}", path.display())]
    Import {
        /// The model.
        path: PathBuf,
        /// Why; names all nodes that are not supported.
        source: Box<ImportError>,
    },
    /// A float model that is to be proved and that could not be quantized either.
    #[error("{}: this is a float model, and it cannot be quantized as it is: {source}", path.display())]
    FloatModel {
        /// The model.
        path: PathBuf,
        /// Why not.
        source: Box<QuantizeError>,
    },
    /// A float model that is not quantized.
    #[error("{}: {source}", path.display())]
    Quantize {
        /// The model.
        path: PathBuf,
        /// Why not.
        source: Box<QuantizeError>,
    },
    /// A file that should be a program and is not.
    #[error("{}: {source}", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ProgramDecodeError,
    },
    /// A program without a circuit.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Inputs that the program refuses.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// Inputs without a witness or a claim.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A file of another kind than the one that is needed.
    #[error("{}: this is {got}, {expected} is needed", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What is needed.
        expected: Kind,
        /// What it is.
        got: Kind,
    },
    /// A receipt, claim or key that is malformed.
    #[error("{}: this is not a valid {what}: {source}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        what: &'static str,
        /// Why not.
        source: verifier::DecodeError,
    },
    /// A folder that `setup` did not finish, or did not make.
    #[error("{}: this is not a folder made by `zkonnx setup`: {reason}", path.display())]
    Setup {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: SetupProblem,
    },
    /// A stored key or stored parameters that cannot be used.
    #[error("{}: {source}", path.display())]
    Stored {
        /// The file.
        path: PathBuf,
        /// Why.
        source: engine::FileError,
    },
    /// Parameters for a size that nobody pinned.
    #[error(transparent)]
    Params(#[from] verifier::ParamsError),
    /// Key generation failed.
    #[error(transparent)]
    Keygen(#[from] engine::KeygenError),
    /// Proving failed.
    #[error(transparent)]
    Prove(#[from] engine::ProveError),
    /// The limit on the memory of the process does not suffice.
    #[error(
        "{needed} bytes of memory are needed, and {limit} are allowed: allow more with --max-memory, or prove with keys \
         of `zkonnx setup`, since making them takes memory too"
    )]
    MemoryLimit {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The stock prover failed.
    #[error("the stock prover failed: {0}")]
    Stock(halo2_proofs::plonk::Error),
    /// The key that was generated is refused by the verifier.
    #[error("the generated key is not acceptable to the verifier: {0}; please report this model")]
    Key(#[from] verifier::KeyError),
    /// A proof that was just made does not verify.
    #[error(
        "the proof was made and does not verify, so nothing was written: {0}; please report this model"
    )]
    SelfCheck(verifier::VerifyError),
    /// A receipt that cannot be formed.
    #[error(transparent)]
    Receipt(#[from] verifier::ReceiptError),
    /// The operating system has no random numbers to give.
    #[error("the operating system gives no random numbers")]
    Randomness,
    /// The tensors do not fit an archive.
    #[error("the tensors cannot be written: {0}")]
    Archive(#[from] ZipError),
    /// The sample that was asked for does not exist.
    #[error("there is no sample {wanted}: the input has {available}, counted from 0")]
    NoSuchSample {
        /// The sample.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// More samples than one receipt holds, or than the request allows.
    #[error("{got} samples were given, {max} at most are possible {place}; choose with --sample")]
    TooManySamples {
        /// Samples.
        got: usize,
        /// Largest number.
        max: usize,
        /// Where.
        place: &'static str,
    },
    /// Contexts that are not one for all or one for each sample.
    #[error("{got} contexts were given for {samples} samples; give one for all, or one for each")]
    Contexts {
        /// Contexts.
        got: usize,
        /// Samples.
        samples: usize,
    },
    /// The inputs are public in one place and private in the other.
    #[error("the keys in {} are for {keys} inputs: run `zkonnx setup` again for the other", path.display())]
    Visibility {
        /// The folder of the keys.
        path: PathBuf,
        /// What the keys are for.
        keys: &'static str,
    },
    /// The keys are of another program than the model.
    #[error("the keys in {} are of program {keys}, the model is program {model}", path.display())]
    OtherProgram {
        /// The folder of the keys.
        path: PathBuf,
        /// The program of the keys, in hexadecimal.
        keys: String,
        /// The program of the model, in hexadecimal.
        model: String,
    },
    /// Two options that exclude or need each other.
    #[error("{0}")]
    Usage(&'static str),
    /// An option that would change nothing, because something else decides what it is about.
    #[error("{option} does not apply here: {why}")]
    NotApplicable {
        /// The option.
        option: &'static str,
        /// What decides instead, and what to do.
        why: String,
    },
    /// A folder of keys where a circuit is planned.
    #[error(
        "{0}: this is a folder of keys, whose circuit is planned already; to plan anew, give its program: {0}/program",
        path.display()
    )]
    PlannedAlready {
        /// The folder.
        path: PathBuf,
    },
    /// An output that would replace something that the same command reads.
    #[error(
        "{}: this is also what the command reads ({}); writing there would destroy it, so give another place",
        output.display(),
        input.display()
    )]
    OutputIsInput {
        /// The output.
        output: PathBuf,
        /// The input that it is.
        input: PathBuf,
    },
    /// Two outputs in one place.
    #[error("{}: two results of this command would be written there; give each its own place", path.display())]
    OutputTwice {
        /// The place.
        path: PathBuf,
    },
    /// Standard output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(std::io::Error),
}

/// What is wrong with a folder of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupProblem {
    /// There is no manifest, which is written last.
    #[error("it has no manifest.json")]
    NoManifest,
    /// The manifest is malformed.
    #[error("manifest.json is malformed: {0}")]
    Manifest(serde_json::Error),
    /// Made by a version with another format.
    #[error("it was made by version {got}, this is version {expected}; run `zkonnx setup` again")]
    Version {
        /// This version.
        expected: String,
        /// The version that made it.
        got: String,
    },
    /// A file that does not match the manifest or the program.
    #[error("`{file}` does not belong to the other files; run `zkonnx setup` again")]
    Mismatch {
        /// The file.
        file: &'static str,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::File(file) | Self::Input(InputError::File(file))
                if file.is_failure_of_machine() =>
            {
                Exit::Failure
            }
            Self::Stored {
                source: engine::FileError::Io(source),
                ..
            } if files::is_failure_of_machine(source.kind()) => Exit::Failure,
            // Parameters that are derived here and not the pinned ones: the machine computes wrongly.
            Self::Params(verifier::ParamsError::DigestMismatch { .. }) => Exit::Failure,
            // The limit was the caller's.
            Self::Prove(engine::ProveError::Memory { .. }) => Exit::BadInput,
            Self::Keygen(_)
            | Self::Prove(_)
            | Self::Stock(_)
            | Self::Key(_)
            | Self::SelfCheck(_)
            | Self::Receipt(_)
            | Self::Randomness
            | Self::Output(_) => Exit::Failure,
            Self::Compile(error) if error.is_internal() => Exit::Failure,
            Self::Inference(error) if error.is_internal() => Exit::Failure,
            Self::Execute(ExecuteError::Op { .. } | ExecuteError::Promise { .. }) => Exit::Failure,
            _ => Exit::BadInput,
        }
    }
}

impl Error {
    /// The cause in one word that stays the same between versions: `error.kind` of the JSON answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(file) => file_kind(file),
            Self::Input(input) => input_kind(input),
            Self::Import { source, .. } => import_kind(source),
            Self::FloatModel { .. } => "model_float",
            Self::Quantize { source, .. } => quantize_kind(source),
            Self::Program { .. } => "program_malformed",
            Self::Compile(error) if error.is_internal() => "internal",
            Self::Compile(CompileError::TooPublic { .. }) => "claim_too_large",
            Self::Compile(_) => "no_circuit",
            Self::Execute(ExecuteError::Op { .. } | ExecuteError::Promise { .. }) => "internal",
            Self::Execute(_) => "input_mismatch",
            Self::Inference(error) if error.is_internal() => "internal",
            Self::Inference(InferenceError::Execute(_)) => "input_mismatch",
            Self::Inference(_) => "claim_mismatch",
            Self::Kind { .. } | Self::PlannedAlready { .. } => "wrong_kind",
            Self::Decode { .. } => "malformed",
            Self::Setup { .. } => "keys_unusable",
            Self::Stored { .. } => "stored_unusable",
            Self::Params(_) => "parameters",
            Self::Prove(engine::ProveError::Memory { .. }) | Self::MemoryLimit { .. } => {
                "memory_limit"
            }
            Self::Keygen(_)
            | Self::Prove(_)
            | Self::Stock(_)
            | Self::Key(_)
            | Self::SelfCheck(_)
            | Self::Receipt(_) => "internal",
            Self::Randomness => "randomness",
            Self::Archive(_) => "archive",
            Self::NoSuchSample { .. } => "no_such_sample",
            Self::TooManySamples { .. } => "too_many_samples",
            Self::Contexts { .. } => "contexts",
            Self::Visibility { .. } | Self::OtherProgram { .. } => "keys_mismatch",
            Self::Usage(_) | Self::NotApplicable { .. } => "usage",
            Self::OutputIsInput { .. } | Self::OutputTwice { .. } => "output_place",
            Self::Output(_) => "file_write",
        }
    }
}

fn file_kind(error: &FileError) -> &'static str {
    match error {
        FileError::Missing { .. } => "file_missing",
        FileError::Directory { .. } | FileError::NotDirectory { .. } => "file_type",
        FileError::Empty { .. } => "file_empty",
        FileError::TooLarge { .. } => "file_too_large",
        FileError::Read { .. } => "file_read",
        FileError::Write { .. } => "file_write",
    }
}

fn input_kind(error: &InputError) -> &'static str {
    match error {
        InputError::File(file) => file_kind(file),
        InputError::Json { .. }
        | InputError::Npy { .. }
        | InputError::Npz { .. }
        | InputError::Pb { .. } => "input_malformed",
        InputError::Unknown { .. } | InputError::Sample { .. } => "input_mismatch",
    }
}

fn import_kind(error: &ImportError) -> &'static str {
    match error {
        ImportError::FloatModel => "model_float",
        ImportError::Unsupported(_) => "model_unsupported",
        ImportError::Opset { .. } | ImportError::IrVersion(_) => "model_version",
        ImportError::Input { .. } => "model_input",
        ImportError::TooMany { .. } => "model_too_large",
        _ => "model_malformed",
    }
}

fn quantize_kind(error: &QuantizeError) -> &'static str {
    match error {
        QuantizeError::Model(source) | QuantizeError::NotProvable(source) => import_kind(source),
        QuantizeError::AlreadyQuantized(_) => "model_quantized",
        QuantizeError::Percentile(_) => "usage",
        QuantizeError::NoSample
        | QuantizeError::Sample { .. }
        | QuantizeError::NotFinite { .. } => "input_mismatch",
        _ => "model_unsupported",
    }
}
