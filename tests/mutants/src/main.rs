//! Mutation tests: see README.md.
#![forbid(unsafe_code)]

mod catalog;
mod places;
mod report;
mod returns;
mod rewrite;
mod runner;
#[cfg(test)]
mod tests;
mod workspace;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser;

use catalog::{Catalog, Config, Key, Mutant, Package, sample};
use report::{Accepted, Entry, needless, read_report};
use runner::Runner;
use workspace::Workspace;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{file}: {source}")]
    File {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: {source}")]
    Parse { file: String, source: syn::Error },
    #[error("{file}: {source}")]
    Json {
        file: String,
        source: serde_json::Error,
    },
    #[error("git does not list the files of the workspace: run this in a clone")]
    NoGit,
    #[error("the mutants do not compile, and no place is to blame:\n{0}")]
    Compile(String),
    #[error("no such package in mutants.json")]
    NoPackage,
    #[error("the shell's `times` says no CPU times")]
    Times,
}

impl Error {
    fn file(path: &Path, source: std::io::Error) -> Self {
        let file = path.display().to_string();
        Self::File { file, source }
    }
}

/// Compiles many source mutants at once and runs the tests that reach each.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only this package of the configuration.
    #[arg(long)]
    package: Option<String>,
    /// Only the i-th of n parts of the sample, as i/n with i from 1.
    #[arg(long, value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Only the mutants that no test noticed in a former report.
    #[arg(long)]
    rerun: Option<PathBuf>,
    /// Only mutants of files whose path has this in it.
    #[arg(long)]
    file: Option<String>,
    /// Only say what is sampled; nothing is built.
    #[arg(long)]
    list: bool,
    /// Where to write the report, a JSON object a line.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Tests at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/');
    let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("a part is i/n with 1 <= i <= n".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(match error {
                Error::NoPackage => 2,
                _ => 3,
            })
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    serde_json::from_str(&text).map_err(|source| Error::Json {
        file: path.display().to_string(),
        source,
    })
}

fn run(arguments: &Arguments) -> Result<bool, Error> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).unwrap_or(here);
    let config: Config = json(&here.join("mutants.json"))?;
    let accepted: Vec<Accepted> = json(&here.join("accepted.json"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root.join("target"));
    let wanted = |package: &&Package| {
        arguments
            .package
            .as_ref()
            .is_none_or(|p| *p == package.name)
    };
    let mut known = BTreeSet::new();
    let mut folders = Vec::new();
    let mut entries = Vec::new();
    for package in config.packages.iter().filter(wanted) {
        let mut catalog = Catalog::new(root, package)?;
        known.extend(catalog.mutants.iter().map(|mutant| mutant.key.clone()));
        folders.push(package.folder.to_string_lossy().into_owned());
        println!("{}: {} mutants", package.name, catalog.mutants.len());
        entries.extend(run_package(
            arguments,
            &config,
            root,
            &target,
            package,
            &mut catalog,
        )?);
    }
    if folders.is_empty() {
        return Err(Error::NoPackage);
    }
    let accepted_keys: BTreeSet<Key> = accepted.iter().map(Accepted::key).collect();
    if let Some(path) = &arguments.report {
        let lines: Result<String, Error> = entries.iter().map(Entry::to_line).collect();
        fs::write(path, lines?).map_err(|e| Error::file(path, e))?;
    }
    let count = |verdict: &str| entries.iter().filter(|e| e.verdict == verdict).count();
    let alive: Vec<&Entry> = entries.iter().filter(|entry| entry.lives()).collect();
    let new = alive
        .iter()
        .filter(|entry| !accepted_keys.contains(&entry.key));
    let new = new.count();
    let wrong = needless(&accepted, &known, &folders, &entries);
    wrong.iter().for_each(|line| println!("error: {line}"));
    println!(
        "{} mutants: {} killed, {} timed out, {} survived, {} unreached; {new} of these not accepted",
        entries.len(),
        count("killed"),
        count("timeout"),
        count("survived"),
        count("unreached"),
    );
    Ok(new == 0 && wrong.is_empty())
}

fn run_package(
    arguments: &Arguments,
    config: &Config,
    root: &Path,
    target: &Path,
    package: &Package,
    catalog: &mut Catalog,
) -> Result<Vec<Entry>, Error> {
    if arguments.list {
        for mutant in sample(
            &catalog.mutants,
            &config.seed,
            package.sample,
            config.least_per_file,
        ) {
            show(&mutant, "");
        }
        return Ok(Vec::new());
    }
    let workspace = Workspace::new(root, target, package)?;
    let dropped = workspace.uncompilable(catalog)?;
    let mut index = 0..;
    catalog
        .mutants
        .retain(|_| index.next().is_some_and(|i| !dropped.contains(&i)));
    println!(
        "{}: {} of them compile",
        package.name,
        catalog.mutants.len()
    );
    let chosen = choose(arguments, config, package, &catalog.mutants)?;
    println!("{}: {} of them are run", package.name, chosen.len());
    let numbered: Vec<(u32, &Mutant)> = (1..).zip(&chosen).collect();
    workspace.write(catalog, &numbered)?;
    let binaries = workspace.build()?;
    let runner = Runner {
        folder: workspace.folder(),
        scratch: target.join("mutants").join("reached"),
        jobs: arguments.jobs,
    };
    let (tests, failing) = runner.record(&binaries)?;
    println!("{}: {} tests", package.name, tests.len());
    for test in failing {
        println!("fails without a mutant, and is left out: {test}");
    }
    let entries = Mutex::new(Vec::new());
    let files: Vec<(u32, String)> = numbered
        .iter()
        .map(|(id, m)| (*id, m.key.file.clone()))
        .collect();
    runner.judge(&files, &tests, |id, verdict, cpu_s| {
        let mutant = &chosen[id as usize - 1];
        let entry = Entry::new(mutant, verdict, cpu_s);
        if let Some(path) = &arguments.report {
            // A run that is stopped has said what it knew.
            let part = path.with_extension("part");
            let file = fs::OpenOptions::new().create(true).append(true).open(&part);
            let line = entry.to_line()?;
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.map_err(|e| Error::file(&part, e))?;
        }
        show(mutant, &entry.verdict);
        if let Ok(mut entries) = entries.lock() {
            entries.push(entry);
        }
        Ok(())
    })?;
    let mut entries = entries.into_inner().unwrap_or_else(|e| e.into_inner());
    entries
        .sort_by(|a: &Entry, b| (&a.key.file, a.line, &a.key).cmp(&(&b.key.file, b.line, &b.key)));
    Ok(entries)
}

/// What is run: the sample or what survived before, of it the wanted files and part.
fn choose(
    arguments: &Arguments,
    config: &Config,
    package: &Package,
    all: &[Mutant],
) -> Result<Vec<Mutant>, Error> {
    let mut chosen = match &arguments.rerun {
        None => sample(all, &config.seed, package.sample, config.least_per_file),
        Some(path) => {
            let former = read_report(path)?.into_iter().filter(Entry::lives);
            let former: BTreeSet<(Key, usize)> = former.map(|e| (e.key, e.ordinal)).collect();
            let lived = |m: &&Mutant| former.contains(&(m.key.clone(), m.ordinal));
            all.iter().filter(lived).cloned().collect()
        }
    };
    if let Some(part) = &arguments.file {
        chosen.retain(|mutant| mutant.key.file.contains(part));
    }
    if let Some((i, n)) = arguments.shard {
        let mut index = 0..;
        chosen.retain(|_| index.next().is_some_and(|at: usize| at % n == i - 1));
    }
    Ok(chosen)
}

fn show(mutant: &Mutant, verdict: &str) {
    let key = &mutant.key;
    println!(
        "{verdict:9} {}:{} {} ({})\n    - {}\n    + {}",
        key.file, mutant.line, key.function, mutant.kind, key.original, key.mutated
    );
}
