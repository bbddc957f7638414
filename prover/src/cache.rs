//! The cache of the transparent parameters.
//!
//! Parameters come out of a hash, so they are derived on this machine and never downloaded. Deriving takes seconds, so
//! they are kept in a folder. A file there is written as a whole or not at all, so processes that share the folder do
//! not disturb each other; a damaged file is derived again. The verifier's parameters are additionally compared with the
//! digests pinned in the verifier.

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
        if let Some(params) = path.as_deref().and_then(|path| read_prover(path, k)) {
            return Ok(Arc::new(params));
        }
        progress.step(format!("deriving parameters for 2^{k} rows (once)"));
        let params = engine::Params::derive(k).ok_or(verifier::ParamsError::UnknownSize { k })?;
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
        let stored = path
            .as_deref()
            .and_then(|path| files::read(path, MAX_PARAMS_BYTES, "parameters").ok());
        // Decoding compares with the pinned digest, so nothing that somebody put there is trusted.
        if let Some(params) = stored
            .and_then(|bytes| verifier::Params::decode(&bytes).ok())
            .filter(|p| p.k() == k)
        {
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
    let params = engine::Params::read(std::io::BufReader::with_capacity(1 << 20, file)).ok()?;
    (params.k() == k).then_some(params)
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
        let digest = cache.prover(5, &progress).unwrap().digest();
        for name in ["verify-5.params", "prove-5.params"] {
            let path = folder.join(name);
            let whole = std::fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            damaged[200] ^= 1;
            for bytes in [&damaged[..], &whole[..100], &[]] {
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(cache.verifier(5, &progress).unwrap(), first);
                assert_eq!(cache.prover(5, &progress).unwrap().digest(), digest);
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

    #[test]
    fn accepts_a_folder_that_cannot_be_written() {
        let cache = Cache::at("/dev/null/zkonnx");
        assert_eq!(cache.verifier(4, &Progress::hidden()).unwrap().k(), 4);
    }
}
