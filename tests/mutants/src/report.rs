//! What came out, and what is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::catalog::{Key, Mutant};
use crate::runner::Verdict;

/// A line of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) ordinal: usize,
    pub(crate) line: usize,
    pub(crate) kind: String,
    /// `killed`, `timeout`, `survived` or `unreached`.
    pub(crate) verdict: String,
    /// The test that failed.
    pub(crate) test: Option<String>,
    /// CPU seconds of its tests.
    pub(crate) cpu_s: f64,
}

impl Entry {
    pub(crate) fn new(mutant: &Mutant, verdict: &Verdict, cpu_s: f64) -> Self {
        let (word, test) = match verdict {
            Verdict::Killed {
                test,
                timeout: false,
            } => ("killed", Some(test.clone())),
            Verdict::Killed {
                test,
                timeout: true,
            } => ("timeout", Some(test.clone())),
            Verdict::Survived => ("survived", None),
            Verdict::Unreached => ("unreached", None),
        };
        Self {
            key: mutant.key.clone(),
            ordinal: mutant.ordinal,
            line: mutant.line,
            kind: mutant.kind.to_owned(),
            verdict: word.to_owned(),
            test,
            cpu_s,
        }
    }

    /// As a line of the report.
    pub(crate) fn to_line(&self) -> Result<String, Error> {
        let text = serde_json::to_string(self).map_err(|source| Error::Json {
            file: self.key.file.clone(),
            source,
        })?;
        Ok(text + "\n")
    }

    /// Whether no test noticed it.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.verdict.as_str(), "survived" | "unreached")
    }
}

/// A mutant that no test can notice, and why.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    pub(crate) file: String,
    pub(crate) function: String,
    pub(crate) original: String,
    pub(crate) mutated: String,
    /// One sentence.
    pub(crate) because: String,
}

impl Accepted {
    pub(crate) fn key(&self) -> Key {
        Key {
            file: self.file.clone(),
            function: self.function.clone(),
            original: self.original.clone(),
            mutated: self.mutated.clone(),
        }
    }
}

/// Reads a former report, or the parts of one.
pub(crate) fn read_report(path: &Path) -> Result<Vec<Entry>, Error> {
    let text = fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    let lines = text.lines().map(|line| {
        serde_json::from_str(line).map_err(|source| Error::Json {
            file: path.display().to_string(),
            source,
        })
    });
    lines.collect()
}

/// What is wrong with the accepted mutants themselves, one line each. `known` are all mutants of the packages that
/// ran, `ran` what came out.
pub(crate) fn needless(
    accepted: &[Accepted],
    known: &BTreeSet<Key>,
    folders: &[String],
    ran: &[Entry],
) -> Vec<String> {
    let mut lives: BTreeMap<&Key, bool> = BTreeMap::new();
    for entry in ran {
        *lives.entry(&entry.key).or_default() |= entry.lives();
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in accepted {
        let key = entry.key();
        let say = |what: &str| format!("{}: {}: {what}", entry.file, entry.mutated);
        if entry.because.split_whitespace().count() < 4 {
            wrong.push(say("no sentence says why it is accepted"));
        }
        if !seen.insert(key.clone()) {
            wrong.push(say("accepted twice"));
        }
        if !folders.iter().any(|folder| entry.file.starts_with(folder)) {
            continue;
        }
        if !known.contains(&key) {
            wrong.push(say("accepted, but there is no such mutant"));
        } else if lives.get(&key) == Some(&false) {
            wrong.push(say("accepted, but a test kills it"));
        }
    }
    wrong
}
