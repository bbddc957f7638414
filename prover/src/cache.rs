//! The cache of the transparent parameters.
//!
//! Parameters come out of a hash, so they are derived on this machine and never downloaded. Deriving takes seconds, so
//! they are kept in a folder. A file there is written as a whole or not at all, so processes that share the folder do
//! not disturb each other.
//!
//! Nothing in the folder is trusted: whoever can write there (a shared folder, a restored cache of a build service) could
//! otherwise choose points under which one model's key is derived for another. All bytes of a file are compared with a
//! digest that is compiled in, and a file that does not match is derived again, with a word on stderr.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zkonnx_engine as engine;
use zkonnx_verifier as verifier;

use crate::error::Error;
use crate::files;
use crate::progress::Progress;

/// Largest file of verification parameters, in bytes: more than 2^18 points of 64 bytes.
const MAX_PARAMS_BYTES: u64 = 1 << 25;

/// A folder of derived parameters.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// A cache in a folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
        }
    }

    /// No cache: everything is derived anew.
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// The user's cache: `$ZKONNX_CACHE`, else `zkonnx` in `$XDG_CACHE_HOME` or in `~/.cache`.
    pub fn of_user() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let folder = variable("ZKONNX_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("zkonnx")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/zkonnx")));
        Self { folder }
    }

    /// The folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// The parameters for proving circuits of 2^k rows.
    pub fn prover(&self, k: u32, progress: &Progress) -> Result<Arc<engine::Params>, Error> {
        let path = self.path(&format!("prove-{k}.params"));
        // Asked first, so that no file and no work stand for a size that nobody could verify.
        engine::Params::pinned_digest(k).ok_or(verifier::ParamsError::UnknownSize { k })?;
        if let Some(params) = path.as_deref().and_then(|path| read_prover(path, k)) {
            return Ok(Arc::new(params));
        }
        progress.step(format!("deriving parameters for 2^{k} rows (once)"));
        let params = engine::Params::derive(k)?;
        self.store(path.as_deref(), |path| {
            files::write_with(path, |out| {
                params.write(out).map_err(|source| Error::Stored {
                    path: path.into(),
                    source,
                })
            })
        });
        Ok(Arc::new(params))
    }

    /// The parameters for verifying circuits of at most 2^k rows.
    pub fn verifier(&self, k: u32, progress: &Progress) -> Result<Arc<verifier::Params>, Error> {
        let path = self.path(&format!("verify-{k}.params"));
        verifier::Params::pinned_digest(k).ok_or(verifier::ParamsError::UnknownSize { k })?;
        if let Some(params) = path.as_deref().and_then(|path| read_verifier(path, k)) {
            return Ok(Arc::new(params));
        }
        progress.step(format!(
            "deriving verification parameters for 2^{k} rows (once)"
        ));
        let params = verifier::Params::derive(k)?;
        self.store(path.as_deref(), |path| {
            Ok(files::write(path, &params.encode())?)
        });
        Ok(Arc::new(params))
    }

    /// Writes into the cache. That it cannot be written makes the next run slower and this one no worse.
    fn store(&self, path: Option<&Path>, write: impl FnOnce(&Path) -> Result<(), Error>) {
        let (Some(folder), Some(path)) = (&self.folder, path) else {
            return;
        };
        let stored = files::create_folder(folder)
            .map_err(Error::from)
            .and_then(|()| write(path));
        if let Err(error) = stored {
            eprintln!("note: parameters are not kept for the next run: {error}");
        }
    }
}

fn read_prover(path: &Path, k: u32) -> Option<engine::Params> {
    let file = files::open(path).ok()?;
    // Reading compares with the pinned digest.
    match engine::Params::read(std::io::BufReader::with_capacity(1 << 20, file)) {
        Ok(params) if params.k() == k => Some(params),
        Ok(other) => derived_again(path, format!("it is for 2^{} rows", other.k())),
        Err(error) => derived_again(path, error),
    }
}

fn read_verifier(path: &Path, k: u32) -> Option<verifier::Params> {
    let bytes = match files::read(path, MAX_PARAMS_BYTES, "parameters") {
        Ok(bytes) => bytes,
        Err(files::FileError::Missing { .. }) => return None,
        Err(error) => return derived_again(path, error),
    };
    // Decoding compares with the pinned digest.
    match verifier::Params::decode(&bytes) {
        Ok(params) if params.k() == k => Some(params),
        Ok(other) => derived_again(path, format!("it is for 2^{} rows", other.k())),
        Err(error) => derived_again(path, error),
    }
}

/// A cached file is replaced: somebody should know, for it was damaged, or an attempt.
fn derived_again<T>(path: &Path, why: impl std::fmt::Display) -> Option<T> {
    eprintln!(
        "note: cached parameters are not used and are derived again: {}: {why}",
        path.display()
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("zkonnx-cache-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn accepts_only_undamaged_files_and_derives_again() {
        let folder = folder("damage");
        let cache = Cache::at(&folder);
        let progress = Progress::hidden();
        let first = cache.verifier(5, &progress).unwrap();
        let stored = |params: &engine::Params| {
            let mut bytes = Vec::new();
            params.write(&mut bytes).unwrap();
            bytes
        };
        let own = stored(&cache.prover(5, &progress).unwrap());
        for name in ["verify-5.params", "prove-5.params"] {
            let path = folder.join(name);
            let whole = std::fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            damaged[200] ^= 1;
            for bytes in [&damaged[..], &whole[..100], &[]] {
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(cache.verifier(5, &progress).unwrap(), first);
                assert!(stored(&cache.prover(5, &progress).unwrap()) == own);
                assert_eq!(std::fs::read(&path).unwrap(), whole, "{name}");
            }
        }
        // Right contents under the wrong name are another size.
        std::fs::copy(
            folder.join("verify-5.params"),
            folder.join("verify-6.params"),
        )
        .unwrap();
        assert_eq!(cache.verifier(6, &progress).unwrap().k(), 6);
    }

    /// What `engine/tests/files.rs` shows of single files, through the cache: the poisoned file is not used, and gone.
    #[test]
    fn rejects_poisoned_files_whose_checksum_matches() {
        let folder = folder("poison");
        let cache = Cache::at(&folder);
        let progress = Progress::hidden();
        let points =
            |params: &engine::Params| -> Vec<_> { params.g().chain(params.g_lagrange()).collect() };
        let honest = points(&cache.prover(5, &progress).unwrap());
        let path = folder.join("prove-5.params");
        let whole = std::fs::read(&path).unwrap();
        let (end, table) = (whole.len() - 32, (whole.len() - 52) / 2);
        // Two points of the Lagrange basis, and two multiples of them, change places.
        for at in [20 + table, 20 + 2 * table - 128] {
            let mut evil = whole.clone();
            evil[at..at + 128].rotate_left(64);
            let mut state = blake2b_simd::blake2bp::Params::new()
                .hash_length(32)
                .to_state();
            state.update(&evil[..end]);
            evil[end..].copy_from_slice(state.finalize().as_bytes());
            std::fs::write(&path, &evil).unwrap();
            assert_eq!(points(&cache.prover(5, &progress).unwrap()), honest);
            assert!(std::fs::read(&path).unwrap() == whole);
        }
        // Another size's parameters under this name, and a size that nobody pinned.
        cache.prover(6, &progress).unwrap();
        std::fs::copy(folder.join("prove-6.params"), &path).unwrap();
        assert_eq!(cache.prover(5, &progress).unwrap().k(), 5);
        assert!(std::fs::read(&path).unwrap() == whole);
        for k in [verifier::MAX_K + 1, 18, 64] {
            let unknown = |error| matches!(error, Error::Params(verifier::ParamsError::UnknownSize { k: got }) if got == k);
            assert!(unknown(cache.prover(k, &progress).unwrap_err()));
            assert!(unknown(cache.verifier(k, &progress).unwrap_err()));
        }
    }

    #[test]
    fn accepts_a_folder_that_cannot_be_written() {
        let cache = Cache::at("/dev/null/zkonnx");
        assert_eq!(cache.verifier(4, &Progress::hidden()).unwrap().k(), 4);
    }
}
