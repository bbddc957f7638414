//! Running the command as a user does: a process, its output, its exit code, the files it leaves.

pub mod schema;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// What a process answered.
#[derive(Debug)]
pub struct Answer {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// The answer, which has to have this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.out, self.err
        );
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.out) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {:?}", self.out),
        }
    }

    /// Asserts that stderr is one line that contains `text`, without a trace of a panic.
    #[track_caller]
    pub fn one_line(&self, text: &str) {
        assert_eq!(self.err.lines().count(), 1, "stderr: {}", self.err);
        assert!(self.err.starts_with("error: "), "stderr: {}", self.err);
        assert!(self.err.contains(text), "`{text}` is not in: {}", self.err);
        assert!(
            !self.err.contains("panicked") && !self.err.contains("internal error"),
            "stderr: {}",
            self.err
        );
    }
}

/// A folder that is removed in the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("zkonnx-tests-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        if let Err(error) = std::fs::create_dir_all(&path) {
            panic!("{}: {error}", path.display());
        }
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in the folder.
    #[track_caller]
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            panic!("{}: {error}", path.display());
        }
        path
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the models folder.
pub fn model(name: &str) -> PathBuf {
    root().join("models").join(name)
}

/// The command with the given arguments and a cache that all tests share, not yet started.
pub fn command<S: AsRef<OsStr>>(binary: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary);
    let cache = Path::new(binary)
        .parent()
        .unwrap_or(Path::new("."))
        .join("zkonnx-tests-cache");
    command
        .args(args)
        .env("ZKONNX_CACHE", cache)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    command
}

/// What a prepared command answers.
#[track_caller]
pub fn answer(mut command: Command) -> Answer {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}"),
    };
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the command of this package with arguments that are strings or paths.
#[macro_export]
macro_rules! zkonnx {
    ($($arg:expr),* $(,)?) => {
        $crate::answer($crate::command(
            env!("CARGO_BIN_EXE_zkonnx-under-test"),
            [$(::std::ffi::OsString::from($arg)),*],
        ))
    };
}
