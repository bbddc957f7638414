//! A copy of the workspace in which a package is mutated, and what cargo makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Error;
use crate::catalog::{Catalog, Mutant, Package, is_tests};
use crate::rewrite::{Rewritten, blame, rewrite};

const SWITCH: &str = include_str!("switch.rs.txt");
const MODULE: &str = "#[doc(hidden)]\n#[path = \"zkonnx_mutants.rs\"]\npub mod zkonnx_mutants;\n";

/// A copy of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    copy: PathBuf,
    target: PathBuf,
    package: Package,
}

/// A test binary of the package.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Message>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
    children: Vec<Message>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Workspace {
    /// Copies what git knows of the workspace at `root`.
    pub(crate) fn new(root: &Path, target: &Path, package: &Package) -> Result<Self, Error> {
        let copy = target.join("mutants").join(&package.name);
        let files = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .map_err(|e| Error::file(Path::new("git"), e))?;
        if !files.status.success() {
            return Err(Error::NoGit);
        }
        let workspace = Self {
            root: root.to_owned(),
            copy,
            target: target.to_owned(),
            package: package.clone(),
        };
        let switch = workspace
            .copy
            .join(&package.folder)
            .join("src/zkonnx_mutants.rs");
        write_if_new(&switch, SWITCH.as_bytes())?;
        let mut known = BTreeSet::from([switch]);
        for name in String::from_utf8_lossy(&files.stdout).split('\0') {
            let from = root.join(name);
            if !name.is_empty() && from.is_file() {
                workspace.place(&from, Path::new(name))?;
                known.insert(workspace.copy.join(name));
            }
        }
        remove_others(&workspace.copy, &known)?;
        workspace.open_lints()?;
        Ok(workspace)
    }

    /// Copies a file, if it is not the same already, so that nothing is built again for it.
    fn place(&self, from: &Path, name: &Path) -> Result<(), Error> {
        let text = fs::read(from).map_err(|e| Error::file(from, e))?;
        // Cargo tells packages apart by name and version; those of the copy share a target directory with the others.
        if name == Path::new("Cargo.toml") || name == Path::new("Cargo.lock") {
            let text = String::from_utf8_lossy(&text);
            return write_if_new(&self.copy.join(name), renamed(&text).as_bytes());
        }
        // Sources that are mutated are written with their mutants.
        let below = name.strip_prefix(&self.package.folder).ok();
        let mutated = below.is_some_and(|below| {
            self.package.sources.iter().any(|s| below.starts_with(s))
                && !below.iter().any(is_tests)
                && below.extension().is_some_and(|e| e == "rs")
                || below == Path::new("src/lib.rs")
        });
        let to = self.copy.join(name);
        if mutated && to.exists() {
            return Ok(());
        }
        write_if_new(&to, &text)
    }

    /// Declares the switch, and lets pass what mutants are warned of or refused for.
    fn open_lints(&self) -> Result<(), Error> {
        let name = self.package.folder.join("src/lib.rs");
        let path = self.root.join(&name);
        let text = fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
        let file = syn::parse_file(&text).map_err(|source| Error::Parse {
            file: name.display().to_string(),
            source,
        })?;
        let first = file.items.first().map(syn::spanned::Spanned::span);
        let at = first.map_or(text.len(), |span| span.byte_range().start);
        let lints =
            "#![allow(warnings, arithmetic_overflow, unconditional_panic, overflowing_literals)]\n";
        let opened = [&text[..at], lints, MODULE, &text[at..]].concat();
        write_if_new(&self.copy.join(name), opened.as_bytes())
    }

    /// Where the package is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.copy.join(&self.package.folder)
    }

    /// Writes the sources with these mutants, numbered from one.
    pub(crate) fn write(
        &self,
        catalog: &Catalog,
        mutants: &[(u32, &Mutant)],
    ) -> Result<BTreeMap<String, Rewritten>, Error> {
        let mut written = BTreeMap::new();
        for source in &catalog.sources {
            let own = mutants.iter().filter(|(_, m)| m.key.file == source.path);
            let ids = own.map(|(id, mutant)| (mutant.at, *id)).collect();
            let new = rewrite(&source.text, &source.places, &ids);
            write_if_new(&self.copy.join(&source.path), new.text.as_bytes())?;
            written.insert(source.path.clone(), new);
        }
        Ok(written)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(bool, Vec<Line>), Error> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(arguments)
            .args(["--locked", "--message-format=json", "-p"])
            .arg(&self.package.name)
            .arg("--target-dir")
            .arg(&self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .current_dir(&self.copy)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::file(Path::new("cargo"), e))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        Ok((output.status.success(), lines.collect()))
    }

    /// The mutants that do not compile.
    pub(crate) fn uncompilable(&self, catalog: &Catalog) -> Result<BTreeSet<usize>, Error> {
        let mut dropped = BTreeSet::new();
        loop {
            let left: Vec<(u32, &Mutant)> = (1..)
                .zip(&catalog.mutants)
                .filter(|(id, _)| !dropped.contains(&(*id as usize - 1)))
                .collect();
            let written = self.write(catalog, &left)?;
            let (success, lines) = self.cargo(&["check", "--lib"])?;
            if success {
                return Ok(dropped);
            }
            let before = dropped.len();
            let mut unexplained = String::new();
            let messages = lines.into_iter().filter_map(|line| line.message);
            for message in messages.filter(|message| message.level == "error") {
                let blamed = blamed(&written, &message);
                if blamed.is_empty() && !message.spans.is_empty() {
                    unexplained.push_str(message.rendered.as_deref().unwrap_or_default());
                }
                dropped.extend(blamed.into_iter().map(|id| id as usize - 1));
            }
            eprintln!("{} mutants do not compile", dropped.len());
            if dropped.len() == before {
                return Err(Error::Compile(unexplained));
            }
        }
    }

    /// Compiles the tests of the package.
    pub(crate) fn build(&self) -> Result<Vec<Binary>, Error> {
        let (success, lines) = self.cargo(&["test", "--no-run", "--lib", "--tests"])?;
        if !success {
            let messages = lines.into_iter().filter_map(|line| line.message?.rendered);
            return Err(Error::Compile(messages.collect()));
        }
        let artifacts = lines.into_iter().filter(|line| {
            line.reason == "compiler-artifact" && line.profile.as_ref().is_some_and(|p| p.test)
        });
        let binaries = artifacts.filter_map(|line| {
            let (target, path) = (line.target?, line.executable?);
            let name = target.name;
            Some(Binary { name, path })
        });
        Ok(binaries.collect())
    }
}

/// The manifest or the lock file of the workspace, with versions of its own for the packages of the workspace.
fn renamed(text: &str) -> String {
    let section = |part: &str| -> String {
        let own = part.starts_with("workspace.package]")
            || part.starts_with("[package]]") && !part.contains("\nsource = ");
        let Some((before, after)) = part.split_once("\nversion = \"").filter(|_| own) else {
            return part.to_owned();
        };
        format!(
            "{before}\nversion = \"{}",
            after.replacen('"', "-mutants\"", 1)
        )
    };
    let parts: Vec<String> = text.split("\n[").map(section).collect();
    parts.join("\n[")
}

fn blamed(written: &BTreeMap<String, Rewritten>, message: &Message) -> Vec<u32> {
    let mut spans: Vec<&Span> = message.spans.iter().collect();
    spans.sort_by_key(|span| !span.is_primary);
    spans.extend(message.children.iter().flat_map(|child| &child.spans));
    for file in spans.iter().map(|span| &span.file_name) {
        let Some(rewritten) = written.get(file) else {
            continue;
        };
        let own = spans.iter().filter(|span| span.file_name == *file);
        let ranges: Vec<Range<usize>> = own.map(|s| s.byte_start..s.byte_end).collect();
        let ids = blame(&rewritten.marks, &ranges);
        if !ids.is_empty() {
            return ids;
        }
    }
    Vec::new()
}

/// Removes files that an earlier copy had.
fn remove_others(folder: &Path, known: &BTreeSet<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(|e| Error::file(folder, e))? {
        let path = entry.map_err(|e| Error::file(folder, e))?.path();
        if path.is_dir() {
            remove_others(&path, known)?;
        } else if !known.contains(&path) {
            fs::remove_file(&path).map_err(|e| Error::file(&path, e))?;
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    }
    fs::write(path, content).map_err(|e| Error::file(path, e))
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn only_packages_of_the_workspace_get_another_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n\n[[package]]\n\
                    name = \"other\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";
        let expected = lock.replacen("1.0.0", "1.0.0-mutants", 1);
        assert_eq!(renamed(lock), expected);
        let manifest = "[workspace]\n\n[workspace.package]\nversion = \"0.1.0\"\n\n\
                        [dependencies.a]\nversion = \"2\"\n";
        let expected = manifest.replace("0.1.0", "0.1.0-mutants");
        assert_eq!(renamed(manifest), expected);
    }
}
