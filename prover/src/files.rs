//! Reading with a limit and writing all or nothing.
//!
//! A file that others will trust is written under a temporary name in the same folder, synced, and renamed: whoever
//! looks finds the old file, or none, or the whole new one. Its writer holds a lock on the temporary file, which ends
//! with the process however that ends: a temporary file that can be locked was left behind by one that was killed, and
//! the next write into the folder removes it. (A file without a name, O_TMPFILE, would need none of this, but it cannot
//! be put in the place of a file that exists.) Reading is bounded before the first byte, so that a wrong
//! path costs an error and not the machine's memory.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("{}: this is a folder, a file is needed", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
    },
    /// The path is a file where a folder is needed.
    #[error("{}: this is a file, a folder is needed", path.display())]
    NotDirectory {
        /// The path.
        path: PathBuf,
    },
    /// There is nothing in the file.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than anything of its kind.
    #[error("{}: the file is larger than {} MB, too large for {what}", path.display(), max >> 20)]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// What it was read as.
        what: &'static str,
        /// Largest size, in bytes.
        max: u64,
    },
    /// Reading failed.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed; nothing was changed at the path.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    /// Whether the machine failed rather than the caller: a full disk, a failing one.
    pub fn is_failure_of_machine(&self) -> bool {
        let (Self::Write { source, .. } | Self::Read { source, .. }) = self else {
            return false;
        };
        is_failure_of_machine(source.kind())
    }
}

/// Whether an error of this kind is the machine's, such as a full disk, rather than the caller's, such as a file that ends
/// too early.
pub fn is_failure_of_machine(kind: io::ErrorKind) -> bool {
    !matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::UnexpectedEof
    )
}

/// Opens a file to read. Folders are refused here, because opening them succeeds.
pub fn open(path: &Path) -> Result<File, FileError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.into() },
        _ => FileError::Read {
            path: path.into(),
            source,
        },
    })?;
    match file.metadata() {
        Ok(data) if data.is_dir() => Err(FileError::Directory { path: path.into() }),
        Ok(_) => Ok(file),
        Err(source) => Err(FileError::Read {
            path: path.into(),
            source,
        }),
    }
}

/// The bytes of a file that is not empty and has at most `max` bytes; `what` names its kind in errors.
pub fn read(path: &Path, max: u64, what: &'static str) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let failed = |source| FileError::Read {
        path: path.into(),
        source,
    };
    let size = file.metadata().map_err(failed)?.len();
    if size > max {
        return Err(FileError::TooLarge {
            path: path.into(),
            what,
            max,
        });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // Pipes and devices have no size to trust.
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(FileError::Empty { path: path.into() }),
        n if n > max => Err(FileError::TooLarge {
            path: path.into(),
            what,
            max,
        }),
        _ => Ok(bytes),
    }
}

/// Writes a file as a whole; an error leaves what was there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_with(path, |out| {
        out.write_all(bytes).map_err(|source| FileError::Write {
            path: path.into(),
            source,
        })
    })
}

/// Writes a file as a whole with the bytes that `fill` produces; an error of either leaves what was there.
///
/// A path that exists and is no regular file (a pipe, a device) is written in place, because replacing it by a file is
/// never what was meant.
pub fn write_with<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&mut io::BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |source| {
        E::from(FileError::Write {
            path: path.into(),
            source,
        })
    };
    match fs::metadata(path) {
        Ok(data) if data.is_dir() => return Err(FileError::Directory { path: path.into() }.into()),
        Ok(data) if !data.is_file() => {
            let mut out =
                io::BufWriter::new(OpenOptions::new().write(true).open(path).map_err(failed)?);
            fill(&mut out)?;
            return out.flush().map_err(failed);
        }
        _ => {}
    }
    remove_abandoned(folder_of(path));
    let (temporary, file) = create_beside(path).map_err(failed)?;
    let guard = Remove(temporary);
    let mut out = io::BufWriter::new(file);
    fill(&mut out)?;
    let file = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    fs::rename(&guard.0, path).map_err(failed)?;
    std::mem::forget(guard);
    // Only now does the lock end: before, another process could have taken the file for an abandoned one.
    drop(file);
    // The rename is in the folder; without this a crash of the machine may lose it, though never half of it.
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Removes a temporary file unless it was renamed.
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What the names of temporary files end in, after a number that nobody else draws.
const TEMPORARY: &str = ".zkonnx-tmp";

/// A new file in the folder of `path`, locked, under a name that no other process or thread uses.
pub(crate) fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    loop {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        let number = RandomState::new().hash_one(std::process::id());
        temporary.push(format!(".{number:016x}{TEMPORARY}"));
        let temporary = folder_of(path).join(temporary);
        let file = match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            // Between the two calls another process may have found it unlocked and removed it.
            Ok(()) if !temporary.exists() => {}
            Err(TryLockError::WouldBlock) => {}
            // Where files cannot be locked, no temporary file is ever taken for an abandoned one.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok((temporary, file)),
        }
    }
}

/// Whether a file has the name of a temporary one.
fn is_temporary(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let number = name.strip_suffix(TEMPORARY);
    let number = number.and_then(|rest| rest.rsplit_once('.'));
    name.starts_with('.')
        && number.is_some_and(|(_, number)| {
            number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit())
        })
}

/// Removes the temporary files in a folder that processes left behind when they were killed. What cannot be removed stays
/// and is in nobody's way.
fn remove_abandoned(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_temporary(&entry.file_name())) {
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        let file = regular.then(|| OpenOptions::new().write(true).open(entry.path()));
        if let Some(Ok(file)) = file
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Creates a folder and those above it.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    if path.exists() && !path.is_dir() {
        return Err(FileError::NotDirectory { path: path.into() });
    }
    fs::create_dir_all(path).map_err(|source| FileError::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("zkonnx-files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn accepts_a_whole_file_and_leaves_nothing_else() {
        let folder = folder("whole");
        let path = folder.join("a");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3, "a test").unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn rejects_a_failed_write_and_keeps_what_was_there() {
        let folder = folder("failed");
        let path = folder.join("a");
        write(&path, b"one").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"two").unwrap();
            Err(FileError::Empty { path: path.clone() })
        });
        assert!(failed.is_err());
        assert_eq!(read(&path, 3, "a test").unwrap(), b"one");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn rejects_folders_absent_empty_and_large_files() {
        let folder = folder("reading");
        let path = folder.join("a");
        assert!(matches!(
            read(&folder, 9, "a test"),
            Err(FileError::Directory { .. })
        ));
        assert!(matches!(
            read(&path, 9, "a test"),
            Err(FileError::Missing { .. })
        ));
        write(&path, b"").unwrap();
        assert!(matches!(
            read(&path, 9, "a test"),
            Err(FileError::Empty { .. })
        ));
        write(&path, b"0123456789").unwrap();
        assert!(matches!(
            read(&path, 9, "a test"),
            Err(FileError::TooLarge { .. })
        ));
        assert!(matches!(
            write(&folder, b"x"),
            Err(FileError::Directory { .. })
        ));
        assert!(matches!(
            write(&folder.join("no/such"), b"x"),
            Err(FileError::Write { .. })
        ));
    }

    #[test]
    fn accepts_what_killed_processes_left_behind_and_removes_it() {
        let folder = folder("abandoned");
        let left = folder.join(".pk.0123456789abcdef.zkonnx-tmp");
        // Not ours, though they look it.
        let others = [".pk.tmp", ".zkonnx-tmp", "pk.0123456789abcdef.zkonnx-tmp"];
        for path in others
            .map(|name| folder.join(name))
            .iter()
            .chain([&left, &folder.join(".pk.xyz.zkonnx-tmp")])
        {
            fs::write(path, b"half").unwrap();
        }
        // Another process is still writing this one.
        let busy = folder.join(".vk.fedcba9876543210.zkonnx-tmp");
        let file = File::create(&busy).unwrap();
        file.lock().unwrap();
        write(&folder.join("pk"), b"whole").unwrap();
        assert!(!left.exists());
        assert!(busy.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 6);
        drop(file);
        write(&folder.join("other"), b"whole").unwrap();
        assert!(!busy.exists());
    }

    #[test]
    fn accepts_many_writers_of_one_file() {
        let folder = folder("writers");
        let path = folder.join("a");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write(path, &[writer; 1000]).unwrap();
                    }
                });
            }
        });
        let bytes = read(&path, 1000, "a test").unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn rejects_a_full_disk_and_keeps_the_device() {
        let full = Path::new("/dev/full");
        let error = write(full, b"x").unwrap_err();
        assert!(error.is_failure_of_machine(), "{error}");
        assert!(!fs::metadata(full).unwrap().is_file());
    }
}
