//! NumPy's files: `.npy` arrays and `.npz` archives of them.

mod npy;
mod zip;

pub use npy::{Array, Elements, NpyError};
pub use zip::ZipError;

/// The first bytes of a `.npy` file.
pub const NPY_MAGIC: &[u8] = b"\x93NUMPY";
/// The first bytes of a `.npz` file.
pub const NPZ_MAGIC: &[u8] = b"PK\x03\x04";

/// Why an archive cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The archive is damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// A member is no array.
    #[error("array `{name}`: {source}")]
    Array {
        /// Its name.
        name: String,
        /// Why.
        source: NpyError,
    },
}

/// The arrays of an archive, in its order. Members that are not `.npy` files are left out. Arrays that are not asked
/// for by `wanted` are not decoded, so their types do not matter.
pub fn read_npz(
    bytes: &[u8],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Array)>, NpzError> {
    let mut arrays = Vec::new();
    for member in zip::members(bytes)? {
        let Some(name) = member.name.strip_suffix(".npy") else {
            continue;
        };
        if !wanted(name) {
            continue;
        }
        let array = Array::read(&member.contents()?).map_err(|source| NpzError::Array {
            name: name.into(),
            source,
        })?;
        arrays.push((name.to_owned(), array));
    }
    Ok(arrays)
}

/// The names of the arrays of an archive.
pub fn npz_names(bytes: &[u8]) -> Result<Vec<String>, NpzError> {
    let members = zip::members(bytes)?;
    Ok(members
        .iter()
        .filter_map(|member| member.name.strip_suffix(".npy").map(str::to_owned))
        .collect())
}

/// An archive of arrays, as `numpy.savez` writes it: nothing compressed, fixed dates, so equal arrays give equal bytes.
pub fn write_npz<'a>(
    arrays: impl IntoIterator<Item = (&'a str, Array)>,
) -> Result<Vec<u8>, ZipError> {
    let mut archive = zip::Archive::default();
    for (name, array) in arrays {
        archive.add(&format!("{name}.npy"), &array.write())?;
    }
    archive.finish()
}
