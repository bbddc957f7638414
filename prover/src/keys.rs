//! Keys on disk: the folder that `zkonnx setup` makes.
//!
//! | file | what |
//! | --- | --- |
//! | `program` | the integer program, with names |
//! | `pk` | the proving key |
//! | `vk` | the verifying key |
//! | `manifest.json` | ids, sizes and digests of the three |
//!
//! Each file is written as a whole, and the manifest last: a folder with a manifest that matches holds a whole set of
//! keys, and any other is refused.
//!
//! Whoever can write into the folder can make all of its files agree. What loading rests on is the program: its circuit is
//! built again, and the keys are compared with it as if they were generated again, for a small part of the time.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zkonnx_circuits::chips::{Check, Guests, Shape};
use zkonnx_circuits::compile::{CompileError, Compiled, compile, compile_with_shape};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::Program;
use zkonnx_engine::{self as engine, ProvingKey, Tag};
use zkonnx_onnx::TailNode;
use zkonnx_verifier::{InputVisibility, PortSpec, VerifyingKey};

use crate::artifact::{MAX_MODEL_BYTES, hex, read_verifying_key};
use crate::cache::Cache;
use crate::error::{Error, SetupProblem};
use crate::measure::timed;
use crate::progress::Progress;
use crate::{backend, files, model};

/// Version of the folder's format, and of everything that the keys depend on.
pub const SETUP_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/3");

/// Names of the files in the folder.
pub const PROGRAM: &str = "program";
/// The proving key.
pub const PROVING_KEY: &str = "pk";
/// The verifying key.
pub const VERIFYING_KEY: &str = "vk";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";

/// All of them.
pub const KEY_FILES: [&str; 4] = [PROGRAM, PROVING_KEY, VERIFYING_KEY, MANIFEST];

const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Everything that proving a program takes.
#[derive(Debug)]
pub struct Keys {
    /// The program with its circuit.
    pub compiled: Compiled,
    /// The proving key.
    pub proving: ProvingKey,
    /// The verifying key.
    pub verifying: VerifyingKey,
    /// The parameters for proving.
    pub params: Arc<engine::Params>,
    /// CPU seconds that key generation took; zero if the keys were loaded.
    pub keygen_cpu_s: f64,
    /// The nodes of the model that are not proved, as far as they are known: they are no part of the program.
    pub not_proved: Vec<TailNode>,
}

impl Keys {
    /// Compiles a program and generates its keys.
    pub fn generate(
        program: Arc<Program>,
        visibility: InputVisibility,
        options: &PlanOptions,
        cache: &Cache,
        progress: &Progress,
    ) -> Result<Self, Error> {
        progress.step("planning the circuit");
        let compiled = compile(program, visibility, options)?;
        let k = compiled.assembly.layout.shape.k;
        let params = cache.prover(k, progress)?;
        progress.step(format!("generating keys for 2^{k} rows"));
        let (proving, keygen_cpu_s) = timed(|| backend::generate(&params, &compiled));
        let proving = proving?;
        let verifying = backend::verifying_key(&proving, &compiled)?;
        Ok(Self {
            compiled,
            proving,
            verifying,
            params,
            keygen_cpu_s,
            not_proved: Vec::new(),
        })
    }

    /// Writes the folder that [`Keys::load`] reads.
    pub fn store(&self, folder: &Path, progress: &Progress) -> Result<Manifest, Error> {
        files::create_folder(folder)?;
        progress.step("writing keys");
        let program = self.compiled.program.to_file();
        files::write(&folder.join(PROGRAM), &program)?;
        let path = folder.join(PROVING_KEY);
        let failed = |source| Error::Stored {
            path: path.clone(),
            source,
        };
        files::write_with(&path, |out| self.proving.write(out).map_err(failed))?;
        let pk_bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
        let vk = self.verifying.encode();
        files::write(&folder.join(VERIFYING_KEY), &vk)?;
        let manifest = self.manifest(&program, &vk, pk_bytes);
        let mut text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        text.push(b'\n');
        files::write(&folder.join(MANIFEST), &text)?;
        Ok(manifest)
    }

    fn manifest(&self, program: &[u8], vk: &[u8], pk_bytes: u64) -> Manifest {
        let layout = self.verifying.layout();
        let names = |ports: &[zkonnx_circuits::program::Port], specs: &[PortSpec]| {
            ports
                .iter()
                .zip(specs)
                .map(|(port, spec)| ManifestPort::new(&port.name, spec))
                .collect()
        };
        Manifest {
            version: SETUP_VERSION.to_owned(),
            program_id: hex(&self.compiled.program_id),
            vk_id: hex(self.verifying.id()),
            input: visibility_name(layout.visibility()).to_owned(),
            k: self.verifying.circuit().k(),
            shape: ManifestShape::new(&self.compiled.assembly.layout.shape),
            inputs: names(self.compiled.program.inputs(), layout.inputs()),
            outputs: names(self.compiled.program.outputs(), layout.outputs()),
            program_bytes: program.len() as u64,
            program_digest: digest(program),
            pk_bytes,
            vk_bytes: vk.len() as u64,
            vk_digest: digest(vk),
            not_proved: self.not_proved.iter().map(ManifestNode::new).collect(),
        }
    }

    /// Loads the keys of a folder, after comparing all files with the manifest and the keys with the program. Nothing is
    /// generated.
    pub fn load(folder: &Path, cache: &Cache, progress: &Progress) -> Result<Self, Error> {
        progress.step("loading keys");
        let (manifest, program) = load_program(folder)?;
        let mismatch = |file| Error::Setup {
            path: folder.into(),
            reason: SetupProblem::Mismatch { file },
        };
        let verifying = read_verifying_key(&folder.join(VERIFYING_KEY))?;
        if hex(verifying.id()) != manifest.vk_id {
            return Err(mismatch(VERIFYING_KEY));
        }
        let path = folder.join(PROVING_KEY);
        let failed = |source| Error::Stored {
            path: path.clone(),
            source,
        };
        let program_id = program.id();
        let input: BufReader<File> = BufReader::with_capacity(1 << 20, files::open(&path)?);
        let proving = ProvingKey::read(input, Some(&Tag(program_id))).map_err(failed)?;
        let visibility = verifying.layout().visibility();
        // The planner's choice is known: only its placement is repeated.
        let shape = manifest.shape.shape().filter(|shape| shape.k == manifest.k);
        let shape = shape.ok_or(mismatch(MANIFEST))?;
        let compiled = compile_with_shape(Arc::new(program), visibility, &shape);
        let compiled = compiled.map_err(|error| match error {
            // It fitted when the folder was made.
            CompileError::Plan { .. } => mismatch(MANIFEST),
            other => other.into(),
        })?;
        let params = cache.prover(shape.k, progress)?;
        progress.step("comparing keys with the program");
        if !backend::is_key_of(&proving, &params, &compiled)? {
            return Err(mismatch(PROVING_KEY));
        }
        if backend::verifying_key(&proving, &compiled)? != verifying {
            return Err(mismatch(VERIFYING_KEY));
        }
        let keys = Self {
            compiled,
            proving,
            verifying,
            params,
            keygen_cpu_s: 0.0,
            not_proved: manifest.not_proved(),
        };
        let pk_bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
        let expected = keys.manifest(
            &keys.compiled.program.to_file(),
            &keys.verifying.encode(),
            pk_bytes,
        );
        if manifest != expected {
            return Err(mismatch(MANIFEST));
        }
        Ok(keys)
    }
}

/// The manifest and the program of a folder, compared with each other.
pub fn load_program(folder: &Path) -> Result<(Manifest, Program), Error> {
    let setup = |reason| Error::Setup {
        path: folder.into(),
        reason,
    };
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Err(setup(SetupProblem::NoManifest));
    }
    let text = files::read(&path, MAX_MANIFEST_BYTES, "a manifest")?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| setup(SetupProblem::Manifest(error)))?;
    if manifest.version != SETUP_VERSION {
        let (expected, got) = (SETUP_VERSION.to_owned(), manifest.version);
        return Err(setup(SetupProblem::Version { expected, got }));
    }
    let path = folder.join(PROGRAM);
    let bytes = files::read(&path, MAX_MODEL_BYTES, "a program")?;
    let program = model::program(&path, &bytes)?;
    if digest(&bytes) != manifest.program_digest || hex(&program.id()) != manifest.program_id {
        return Err(setup(SetupProblem::Mismatch { file: PROGRAM }));
    }
    Ok((manifest, program))
}

/// What is in a folder of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version that made the folder.
    pub version: String,
    /// The program's id.
    pub program_id: String,
    /// The verifying key's id.
    pub vk_id: String,
    /// `public` or `private`.
    pub input: String,
    /// The circuit has 2^k rows.
    pub k: u32,
    /// The columns that the planner chose.
    pub shape: ManifestShape,
    /// The inputs.
    pub inputs: Vec<ManifestPort>,
    /// The outputs.
    pub outputs: Vec<ManifestPort>,
    /// Size of `program`.
    pub program_bytes: u64,
    /// BLAKE2b-256 of `program`, names included.
    pub program_digest: String,
    /// Size of `pk`, which has a checksum of its own.
    pub pk_bytes: u64,
    /// Size of `vk`.
    pub vk_bytes: u64,
    /// BLAKE2b-256 of `vk`.
    pub vk_digest: String,
    /// The nodes of the model after its last integer tensors, for display only.
    #[serde(default)]
    pub not_proved: Vec<ManifestNode>,
}

impl Manifest {
    /// The nodes of the model that are not proved.
    pub fn not_proved(&self) -> Vec<TailNode> {
        self.not_proved.iter().map(ManifestNode::node).collect()
    }
}

/// A node of a float head or tail in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestNode {
    /// Name of the node, or of its first output.
    pub node: String,
    /// Operator.
    pub op: String,
    /// Domain.
    pub domain: String,
    /// Whether it stands before the integers; left out where it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before: bool,
}

impl ManifestNode {
    fn new(node: &TailNode) -> Self {
        Self {
            node: node.node.clone(),
            op: node.op.clone(),
            domain: node.domain.clone(),
            before: node.before,
        }
    }

    fn node(&self) -> TailNode {
        TailNode {
            node: self.node.clone(),
            op: self.op.clone(),
            domain: self.domain.clone(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            before: self.before,
        }
    }
}

/// The columns of a circuit in a manifest; see [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each field is the one of `Shape`")]
pub struct ManifestShape {
    pub k: u32,
    pub range_bits: u32,
    pub limbs: usize,
    pub widest_step: u32,
    pub unit_banks: Vec<usize>,
    pub banks: usize,
    pub maxima: usize,
    pub max_limbs: usize,
    pub max_top: bool,
    pub shared_slots: bool,
    pub guests: u8,
    pub bytes: usize,
    pub plain: usize,
    pub accumulators: usize,
}

impl ManifestShape {
    fn new(shape: &Shape) -> Self {
        Self {
            k: shape.k,
            range_bits: shape.range_bits,
            limbs: shape.limbs(),
            widest_step: match shape.check {
                Check::Limbs(_) => 0,
                Check::Width(widest) => widest,
            },
            unit_banks: shape.unit_banks.clone(),
            banks: shape.banks,
            maxima: shape.maxima,
            max_limbs: shape.max_limbs,
            max_top: shape.max_top,
            shared_slots: shape.shared_slots,
            guests: shape.guests as u8,
            bytes: shape.bytes,
            plain: shape.plain,
            accumulators: shape.accumulators,
        }
    }

    /// The shape, if it is one that the planner could have chosen.
    fn shape(&self) -> Option<Shape> {
        let units = self.unit_banks.len();
        let check = match (self.limbs, self.widest_step) {
            (0, widest @ 1..) => Check::Width(widest),
            (limbs @ 1..=6, 0) => Check::Limbs(limbs),
            _ => return None,
        };
        let guests = match self.guests {
            0 => Guests::None,
            1 => Guests::Values,
            2 => Guests::Starts,
            3 if self.range_bits >= 8 => Guests::All,
            _ => return None,
        };
        let plausible = (5..=20).contains(&self.k)
            && (4..self.k).contains(&self.range_bits)
            && (1..=64).contains(&units)
            && (1..=units).contains(&self.banks)
            && self.unit_banks.iter().all(|&bank| bank < self.banks)
            && self.maxima <= 64
            && (1..=8).contains(&self.max_limbs)
            && self.bytes <= 1024
            && self.plain <= 1024
            && (1..=256).contains(&self.accumulators);
        plausible.then(|| Shape {
            k: self.k,
            range_bits: self.range_bits,
            check,
            unit_banks: self.unit_banks.clone(),
            banks: self.banks,
            maxima: self.maxima,
            max_limbs: self.max_limbs,
            max_top: self.max_top,
            shared_slots: self.shared_slots,
            guests,
            bytes: self.bytes,
            plain: self.plain,
            accumulators: self.accumulators,
        })
    }
}

/// An input or output in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestPort {
    /// Its name in the model.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u32>,
}

impl ManifestPort {
    fn new(name: &str, spec: &PortSpec) -> Self {
        let dtype = format!("{:?}", spec.dtype()).to_lowercase();
        Self {
            name: name.to_owned(),
            dtype,
            shape: spec.shape().to_vec(),
        }
    }
}

/// `public` or `private`.
pub fn visibility_name(visibility: InputVisibility) -> &'static str {
    match visibility {
        InputVisibility::Public => "public",
        InputVisibility::Private => "private",
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(blake2b_simd::Params::new()
        .hash_length(32)
        .hash(bytes)
        .as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    const MODEL: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/cancer_mlp/qdq_u8s8_per_tensor.onnx"
    );

    fn compiled(bytes: &[u8]) -> Option<Compiled> {
        let program = Model::import(Path::new(MODEL), bytes, &zkonnx_onnx::Bindings::default())
            .ok()?
            .program;
        let options = PlanOptions::default();
        compile(program, InputVisibility::Public, &options).ok()
    }

    /// A model, and one that differs from it in a weight and has the same constraint system.
    fn pair() -> (Vec<u8>, Vec<u8>) {
        let bytes = std::fs::read(MODEL).unwrap();
        let own = compiled(&bytes).unwrap();
        let other = (bytes.len() / 4..bytes.len()).step_by(17).find_map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let other = compiled(&bytes)?;
            let (a, b) = (&own.assembly, &other.assembly);
            let same = own.program_id == other.program_id || a.fixed == b.fixed;
            (!same && a.chips.cs == b.chips.cs).then_some(bytes)
        });
        (bytes, other.unwrap())
    }

    /// The keys of the circuit of one model under the name of another.
    fn keys_of(circuit: &[u8], name: &[u8], cache: &Cache) -> Keys {
        let name = compiled(name).unwrap();
        let mut renamed = compiled(circuit).unwrap();
        renamed.program_id = name.program_id;
        let k = renamed.assembly.layout.shape.k;
        let params = cache.prover(k, &Progress::hidden()).unwrap();
        let proving = backend::generate(&params, &renamed).unwrap();
        let verifying = backend::verifying_key(&proving, &renamed).unwrap();
        Keys {
            compiled: name,
            proving,
            verifying,
            params,
            keygen_cpu_s: 0.0,
            not_proved: Vec::new(),
        }
    }

    /// All files of the folder agree with each other, and the keys are another circuit's.
    #[test]
    fn rejects_a_folder_with_the_keys_of_another_circuit_under_the_programs_name() {
        let folder = std::env::temp_dir().join(format!("zkonnx-keys-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let cache = Cache::at(folder.join("cache"));
        let progress = Progress::hidden();
        let (own, other) = pair();
        let path = folder.join("keys");
        let honest = keys_of(&own, &own, &cache);
        honest.store(&path, &progress).unwrap();
        let loaded = Keys::load(&path, &cache, &progress).unwrap();
        assert_eq!(loaded.verifying, honest.verifying);
        let forged = keys_of(&other, &own, &cache);
        assert_ne!(forged.verifying.id(), honest.verifying.id());
        forged.store(&path, &progress).unwrap();
        let error = Keys::load(&path, &cache, &progress).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Setup {
                    reason: SetupProblem::Mismatch { file: PROVING_KEY },
                    ..
                }
            ),
            "{error}"
        );
        // The forged proving key beside the honest verifying key, and the other way round.
        for (proving, verifying, file) in [
            (&forged, &honest, PROVING_KEY),
            (&honest, &forged, VERIFYING_KEY),
        ] {
            let mixed = Keys {
                compiled: compiled(&own).unwrap(),
                proving: proving.proving.clone(),
                verifying: verifying.verifying.clone(),
                params: honest.params.clone(),
                keygen_cpu_s: 0.0,
                not_proved: Vec::new(),
            };
            mixed.store(&path, &progress).unwrap();
            let error = Keys::load(&path, &cache, &progress).unwrap_err();
            assert!(error.to_string().contains(&format!("`{file}`")), "{error}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
