//! Tests, one process each: what each reaches, and which of them fail under a mutant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::workspace::Binary;

/// CPU seconds of a test under a mutant: so many, and so many times its own.
const LEAST_CPU_S: f64 = 3.0;
const TIMES_CPU: f64 = 5.0;
/// Seconds that may pass for each CPU second that is allowed; what waits forever ends too.
const PATIENCE: u64 = 40;
/// Address space of a test, in KiB: what allocates without end fails before the machine does.
const MEMORY_KIB: u64 = 6 << 20;

/// Runs its arguments with limits on CPU time and memory, then says the CPU time of its children.
const SCRIPT: &str = r#"ulimit -t "$1"; ulimit -v "$2"; wait=$3; shift 3
timeout --signal=KILL "$wait" "$@" >/dev/null 2>&1; status=$?; times; exit $status"#;

/// A test of the package.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) binary: Binary,
    pub(crate) name: String,
    /// CPU seconds, unmutated.
    pub(crate) cpu_s: f64,
    /// Mutants that it reaches.
    pub(crate) reached: BTreeSet<u32>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    TimedOut,
}

/// How a mutant fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// By this test, which failed or ran too long.
    Killed { test: String, timeout: bool },
    /// All tests that reach it pass.
    Survived,
    /// No test reaches it.
    Unreached,
}

/// Runs tests of a package.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) folder: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) jobs: usize,
}

impl Runner {
    fn names(&self, binary: &Binary) -> Result<Vec<String>, Error> {
        let output = Command::new(&binary.path)
            .args(["--list", "--format", "terse"])
            .current_dir(&self.folder)
            .output()
            .map_err(|e| Error::file(&binary.path, e))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let tests = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(tests.map(str::to_owned).collect())
    }

    fn run(
        &self,
        binary: &Binary,
        test: &str,
        limit: u64,
        setting: (&str, &str),
    ) -> Result<(Ending, f64), Error> {
        let limits = [limit, MEMORY_KIB, limit * PATIENCE].map(|n| n.to_string());
        let output = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args(limits)
            .arg(&binary.path)
            .args(["--exact", test])
            .env(setting.0, setting.1)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::file(Path::new("sh"), e))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let cpu = cpu_seconds(&text).ok_or(Error::Times)?;
        let ending = match output.status.code() {
            Some(0) => Ending::Passed,
            // Killed by a limit, and not because of memory.
            Some(124 | 137 | 152) => Ending::TimedOut,
            _ => Ending::Failed,
        };
        Ok((ending, cpu))
    }

    /// Every test with its time and what it reaches, and the names of those that fail unmutated.
    pub(crate) fn record(&self, binaries: &[Binary]) -> Result<(Vec<Test>, Vec<String>), Error> {
        fs::create_dir_all(&self.scratch).map_err(|e| Error::file(&self.scratch, e))?;
        let mut all = Vec::new();
        for binary in binaries {
            let names = self.names(binary)?.into_iter();
            all.extend(names.map(|name| (binary.clone(), name)));
        }
        let runs = self.parallel(&all, |index, (binary, name)| {
            let file = self.scratch.join(format!("{index}.reached"));
            let _ = fs::remove_file(&file);
            let setting = ("ZKONNX_MUTANTS_REACHED", &*file.to_string_lossy());
            let (ending, cpu_s) = self.run(binary, name, 3600, setting)?;
            // A test that reaches nothing writes nothing.
            let reached = match fs::read_to_string(&file) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
                read => read.map_err(|e| Error::file(&file, e))?,
            };
            let reached = reached.lines().filter_map(|line| line.parse().ok());
            let test = Test {
                binary: binary.clone(),
                name: name.clone(),
                cpu_s,
                reached: reached.collect(),
            };
            Ok((ending, test))
        })?;
        let mut tests = Vec::new();
        let mut failing = Vec::new();
        for (ending, test) in runs {
            match ending {
                Ending::Passed => tests.push(test),
                _ => failing.push(format!("{} {}", test.binary.name, test.name)),
            }
        }
        tests.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        Ok((tests, failing))
    }

    /// Runs the tests that reach each mutant until one fails, and calls `done` with each verdict.
    pub(crate) fn judge(
        &self,
        mutants: &[(u32, String)],
        tests: &[Test],
        done: impl Fn(u32, &Verdict, f64) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        // A test that killed a mutant of a file is asked first for the next one.
        let kills: Mutex<BTreeMap<(String, String), usize>> = Mutex::default();
        let count = |file: &str, test: &Test| {
            let key = (file.to_owned(), test.name.clone());
            let kills = kills.lock().map(|kills| kills.get(&key).copied());
            kills.ok().flatten().unwrap_or(0)
        };
        self.parallel(mutants, |_, (id, file)| {
            let mut reaching: Vec<&Test> =
                tests.iter().filter(|t| t.reached.contains(id)).collect();
            let cost = |test: &Test| (test.cpu_s + 0.05) / (1 + count(file, test)) as f64;
            reaching.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
            let mut spent = 0.0;
            let mut verdict = match reaching.is_empty() {
                true => Verdict::Unreached,
                false => Verdict::Survived,
            };
            for test in reaching {
                let limit = (LEAST_CPU_S + TIMES_CPU * test.cpu_s).ceil() as u64;
                let setting = ("ZKONNX_MUTANT", &*id.to_string());
                let (ending, cpu_s) = self.run(&test.binary, &test.name, limit, setting)?;
                spent += cpu_s;
                if ending != Ending::Passed {
                    let key = (file.clone(), test.name.clone());
                    if let Ok(mut kills) = kills.lock() {
                        *kills.entry(key).or_default() += 1;
                    }
                    verdict = Verdict::Killed {
                        test: format!("{} {}", test.binary.name, test.name),
                        timeout: ending == Ending::TimedOut,
                    };
                    break;
                }
            }
            done(*id, &verdict, spent)
        })?;
        Ok(())
    }

    /// Maps `items` on as many threads as there are jobs; the results are in their order.
    fn parallel<T: Sync, R: Send>(
        &self,
        items: &[T],
        run: impl Fn(usize, &T) -> Result<R, Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, Result<R, Error>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { break };
                        let result = run(index, item);
                        let failed = result.is_err();
                        if let Ok(mut results) = results.lock() {
                            results.push((index, result));
                        }
                        if failed {
                            break;
                        }
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(|e| e.into_inner());
        results.sort_by_key(|&(index, _)| index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// User and system time of a shell's children: the second line of `times`.
fn cpu_seconds(times: &str) -> Option<f64> {
    let line = times.lines().nth(1)?;
    line.split_whitespace().try_fold(0.0, |sum, part| {
        let (minutes, seconds) = part.strip_suffix('s')?.split_once('m')?;
        let minutes: f64 = minutes.parse().ok()?;
        let seconds: f64 = seconds.parse().ok()?;
        Some(sum + 60.0 * minutes + seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_times_of_children() {
        assert_eq!(cpu_seconds("0m0.5s 0m0.1s\n1m2.5s 0m0.25s\n"), Some(62.75));
        assert_eq!(cpu_seconds("0m0.5s 0m0.1s\n"), None);
    }
}
