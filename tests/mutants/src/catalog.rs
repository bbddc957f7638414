//! All mutants of a package, and a sample of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::places::{Form, Mutation, Place, find};

/// What is sampled, from where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Decides the sample.
    pub(crate) seed: String,
    /// Mutants of a file that are in the sample whatever its size, if it has so many.
    pub(crate) least_per_file: usize,
    pub(crate) packages: Vec<Package>,
}

/// A package to mutate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Mutants in the sample.
    pub(crate) sample: usize,
    /// Files and folders to mutate, below the package's folder.
    pub(crate) sources: Vec<PathBuf>,
}

/// A mutant by what it is, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) file: String,
    pub(crate) function: String,
    /// The lines it is on.
    pub(crate) original: String,
    /// The same lines, mutated.
    pub(crate) mutated: String,
}

/// A mutant.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    pub(crate) key: Key,
    /// Which of those with the same key.
    pub(crate) ordinal: usize,
    pub(crate) kind: &'static str,
    pub(crate) line: usize,
    /// Place and mutation in its file.
    pub(crate) at: (usize, usize),
}

/// A source with its places.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path below the workspace's root.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) places: Vec<Place>,
}

/// Every mutant of a package.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) sources: Vec<Source>,
    pub(crate) mutants: Vec<Mutant>,
}

impl Catalog {
    pub(crate) fn new(root: &Path, package: &Package) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for source in &package.sources {
            rust_files(&root.join(&package.folder).join(source), &mut paths)?;
        }
        paths.sort();
        let mut sources = Vec::new();
        let mut mutants = Vec::new();
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = below.to_string_lossy().into_owned();
            let places = find(&text).map_err(|source| Error::Parse {
                file: name.clone(),
                source,
            })?;
            let source = Source {
                path: name,
                text,
                places,
            };
            mutants.extend(mutants_of(&source));
            sources.push(source);
        }
        Ok(Self { sources, mutants })
    }
}

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    if path.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|e| Error::file(path, e))? {
        let path = entry.map_err(|e| Error::file(path, e))?.path();
        let source = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if source && !path.file_name().is_some_and(is_tests) {
            rust_files(&path, found)?;
        }
    }
    Ok(())
}

/// Whether a file or folder of this name is a module of tests, which are behind `#[cfg(test)]` where they are declared
/// and are not mutated.
pub(crate) fn is_tests(name: &OsStr) -> bool {
    name == "tests" || name == "tests.rs"
}

fn mutants_of(source: &Source) -> Vec<Mutant> {
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    let mut mutants = Vec::new();
    for (p, place) in source.places.iter().enumerate() {
        for (m, mutation) in place.mutations.iter().enumerate() {
            let (original, mutated) = lines(&source.text, place, mutation);
            if original == mutated {
                continue;
            }
            let key = Key {
                file: source.path.clone(),
                function: place.function.clone(),
                original,
                mutated,
            };
            let count = seen.entry(key.clone()).or_insert(0);
            mutants.push(Mutant {
                key,
                ordinal: *count,
                kind: mutation.kind,
                line: source.text[..place.range.start].matches('\n').count() + 1,
                at: (p, m),
            });
            *count += 1;
        }
    }
    mutants
}

/// The lines of a place as they are and as they become, with single spaces.
fn lines(text: &str, place: &Place, mutation: &Mutation) -> (String, String) {
    let range = &place.range;
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..]
        .find('\n')
        .map_or(text.len(), |at| range.end + at);
    let shown = match place.form {
        Form::Entry => format!(" {}", mutation.shown),
        _ => mutation.shown.clone(),
    };
    let mutated = [&text[start..range.start], &shown, &text[range.end..end]].concat();
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (plain(&text[start..end]), plain(&mutated))
}

/// The sample: of each file its share, those first whose hash with the seed is least. So it does not change with
/// lines that move, and little where code does.
pub(crate) fn sample(all: &[Mutant], seed: &str, count: usize, least: usize) -> Vec<Mutant> {
    let mut files: BTreeMap<&str, Vec<(u64, &Mutant)>> = BTreeMap::new();
    for mutant in all {
        let file = files.entry(mutant.key.file.as_str()).or_default();
        file.push((rank(seed, mutant), mutant));
    }
    let mut chosen = Vec::new();
    for file in files.values_mut() {
        file.sort_by_key(|&(rank, mutant)| (rank, mutant.at));
        let share = (file.len() * count).div_ceil(all.len().max(1)).max(least);
        chosen.extend(file.iter().take(share).map(|&(_, mutant)| mutant.clone()));
    }
    chosen
}

fn rank(seed: &str, mutant: &Mutant) -> u64 {
    let key = &mutant.key;
    let mut hash = blake2b_simd::Params::new().hash_length(8).to_state();
    for part in [seed, &key.file, &key.function, &key.original, &key.mutated] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(&(mutant.ordinal as u64).to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(hash.finalize().as_bytes());
    u64::from_le_bytes(bytes)
}
