//! Inputs as users have them: JSON, `.npy`, `.npz` and ONNX tensors, of one sample or of many.
//!
//! A file is read into arrays ([`read_inputs`]), and arrays are fitted to the inputs of a program ([`Samples::new`]):
//! by name where they have names, by position otherwise. Real numbers become integers with the model's own scale and
//! zero point, outside of any proof; the claim says which integers were proved.

mod json;
mod pb;
mod samples;

use std::path::{Path, PathBuf};

pub use json::JsonError;
pub use pb::PbError;
pub use samples::{Meaning, SampleError, Samples, Saturation, array_names};

use crate::files::{self, FileError};
use crate::numpy::{
    Array, Elements, NPY_MAGIC, NPZ_MAGIC, NpyError, NpzError, npz_names, read_npz,
};

/// Largest input file, in bytes.
pub const MAX_INPUT_BYTES: u64 = 1 << 28;

/// Why an input file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A JSON file that is malformed or holds no tensors.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JsonError,
    },
    /// A malformed array.
    #[error("{}: {source}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NpyError,
    },
    /// A malformed archive.
    #[error("{}: {source}", path.display())]
    Npz {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NpzError,
    },
    /// A malformed ONNX tensor.
    #[error("{}: {source}", path.display())]
    Pb {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PbError,
    },
    /// Tensors that the model does not take.
    #[error("{}: it holds {}, which the model does not take; its inputs are {}", path.display(), quoted(names), quoted(known))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Names in the file that are none of inputs.
        names: Vec<String>,
        /// The names of the model's inputs.
        known: Vec<String>,
    },
    /// Arrays that do not fit the program.
    #[error("{}: {source}", path.display())]
    Sample {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SampleError,
    },
}

/// Something in a file that is used otherwise than its author may have meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InputNote {
    /// The only tensor of a file, with another name than the only input that it is taken for.
    Renamed {
        /// Its name.
        array: String,
        /// The input.
        input: String,
    },
    /// Labels that are not compared with anything.
    Labels {
        /// Name of the array.
        array: String,
        /// Why not.
        why: &'static str,
    },
}

impl std::fmt::Display for InputNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Renamed { array, input } => {
                write!(
                    f,
                    "`{array}` is taken for the input `{input}`, the only one of the model"
                )
            }
            Self::Labels { array, why } => write!(f, "the labels `{array}` are not used: {why}"),
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The tensors of an input file, before anything is known of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// The tensors with their names, if they have any, in the order of the file.
    pub arrays: Vec<(Option<String>, Array)>,
    /// Integer arrays of the file that may be labels: those called `y` or `y_<output>`.
    pub labels: Vec<(String, Vec<i64>)>,
    /// What is used otherwise than it may have been meant.
    pub notes: Vec<InputNote>,
}

/// Reads the tensors of a file for inputs with the given names. The kind of file follows from its contents.
pub fn read_inputs(path: &Path, names: &[&str]) -> Result<Inputs, InputError> {
    read_inputs_from(
        path,
        &files::read(path, MAX_INPUT_BYTES, "an input")?,
        names,
    )
}

/// As [`read_inputs`], from the bytes of a file; `path` is for errors.
pub fn read_inputs_from(path: &Path, bytes: &[u8], names: &[&str]) -> Result<Inputs, InputError> {
    let mut labels = Vec::new();
    let mut notes = Vec::new();
    let unknown = |unknown: Vec<String>| InputError::Unknown {
        path: path.into(),
        names: unknown,
        known: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let arrays = if bytes.starts_with(NPY_MAGIC) {
        let array = Array::read(bytes).map_err(|source| InputError::Npy {
            path: path.into(),
            source,
        })?;
        vec![(None, array)]
    } else if bytes.starts_with(NPZ_MAGIC) {
        let failed = |source| InputError::Npz {
            path: path.into(),
            source,
        };
        let present = npz_names(bytes).map_err(failed)?;
        let by_name = by_name(&present, names, &mut notes).map_err(unknown)?;
        let mut arrays = read_npz(bytes, |_| true).map_err(failed)?;
        labels = take_labels(&mut arrays, names, &mut notes);
        let named = |(name, array)| (Some(name).filter(|_| by_name), array);
        arrays.into_iter().map(named).collect()
    } else if is_json(path, bytes) {
        json::read(bytes, names).map_err(|source| match source {
            JsonError::Unknown(names) => unknown(names),
            source => InputError::Json {
                path: path.into(),
                source,
            },
        })?
    } else {
        let (name, array) = pb::read(bytes).map_err(|source| InputError::Pb {
            path: path.into(),
            source,
        })?;
        let by_name = match &name {
            Some(name) => {
                by_name(std::slice::from_ref(name), names, &mut notes).map_err(unknown)?
            }
            None => false,
        };
        vec![(name.filter(|_| by_name), array)]
    };
    Ok(Inputs {
        arrays,
        labels,
        notes,
    })
}

/// By the name's end, or else by the first character that is no blank: a tensor's first field is never one of these.
fn is_json(path: &Path, bytes: &[u8]) -> bool {
    match path.extension().and_then(|end| end.to_str()) {
        Some("pb" | "onnx") => false,
        Some("json") => true,
        _ => matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[')),
    }
}

fn is_label(name: &str) -> bool {
    name == "y" || name.starts_with("y_")
}

/// Whether the arrays of a file go by their names, or else by their order: those that NumPy has numbered, and the only
/// one for the only input. All other names than those of inputs and labels are an error.
fn by_name(
    present: &[String],
    names: &[&str],
    notes: &mut Vec<InputNote>,
) -> Result<bool, Vec<String>> {
    let input = |name: &String| names.contains(&name.as_str());
    let unknown: Vec<String> = present
        .iter()
        .filter(|name| !input(name) && !is_label(name))
        .cloned()
        .collect();
    if unknown.is_empty() {
        return Ok(true);
    }
    if present.iter().any(input) {
        return Err(unknown);
    }
    let numbered = |name: &String| {
        let number = name.strip_prefix("arr_");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
    };
    match (unknown.as_slice(), names) {
        (arrays, _) if arrays.iter().all(numbered) => Ok(false),
        ([array], [input]) => {
            notes.push(InputNote::Renamed {
                array: array.clone(),
                input: (*input).to_owned(),
            });
            Ok(false)
        }
        _ => Err(unknown),
    }
}

fn take_labels(
    arrays: &mut Vec<(String, Array)>,
    names: &[&str],
    notes: &mut Vec<InputNote>,
) -> Vec<(String, Vec<i64>)> {
    let mut labels = Vec::new();
    arrays.retain(|(name, array)| {
        if !is_label(name) || names.contains(&name.as_str()) {
            return true;
        }
        match &array.elements {
            Elements::Int(_, values) => labels.push((name.clone(), values.clone())),
            Elements::F32(_) => notes.push(InputNote::Labels {
                array: name.clone(),
                why: "they are not integers",
            }),
        }
        false
    });
    labels
}
