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
pub use samples::{Meaning, SampleError, Samples};

use crate::files::{self, FileError};
use crate::numpy::{Array, NPY_MAGIC, NPZ_MAGIC, NpyError, NpzError, npz_names, read_npz};

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
    /// Arrays that do not fit the program.
    #[error("{}: {source}", path.display())]
    Sample {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SampleError,
    },
}

/// The tensors of an input file, before anything is known of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// The tensors with their names, if they have any, in the order of the file.
    pub arrays: Vec<(Option<String>, Array)>,
    /// Integer arrays of the file that may be labels: those called `y` or `y_<output>`.
    pub labels: Vec<(String, Vec<i64>)>,
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
        let mut arrays = archive(bytes, names).map_err(failed)?;
        labels = take_labels(&mut arrays, names);
        arrays
            .into_iter()
            .map(|(name, array)| (Some(name), array))
            .collect()
    } else if is_json(path, bytes) {
        json::read(bytes, names).map_err(|source| InputError::Json {
            path: path.into(),
            source,
        })?
    } else {
        let (name, array) = pb::read(bytes).map_err(|source| InputError::Pb {
            path: path.into(),
            source,
        })?;
        vec![(name.filter(|name| names.contains(&name.as_str())), array)]
    };
    Ok(Inputs { arrays, labels })
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

/// The arrays of an archive that are inputs or labels; without any input by name, all of them.
fn archive(bytes: &[u8], names: &[&str]) -> Result<Vec<(String, Array)>, NpzError> {
    let present = npz_names(bytes)?;
    let any = present.iter().any(|name| names.contains(&name.as_str()));
    read_npz(bytes, |name| {
        names.contains(&name) || is_label(name) || !any
    })
}

fn take_labels(arrays: &mut Vec<(String, Array)>, names: &[&str]) -> Vec<(String, Vec<i64>)> {
    let mut labels = Vec::new();
    arrays.retain(|(name, array)| {
        if !is_label(name) || names.contains(&name.as_str()) {
            return true;
        }
        if let crate::numpy::Elements::Int(_, values) = &array.elements {
            labels.push((name.clone(), values.clone()));
        }
        false
    });
    labels
}
