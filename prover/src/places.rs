//! Where results go, looked at before any work: nothing that a command reads is ever written over, and a place that
//! cannot be written is found out at once instead of after the proof.
//!
//! The policy for what is there already: a file is replaced as a whole, a folder or a file without write permission is
//! refused, a device or a pipe is written into.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::Error;
use crate::files::{FileError, create_beside, folder_of};
use crate::keys::KEY_FILES;

/// Refuses outputs that are among the inputs, that are one place twice, or that cannot be written.
///
/// Inputs that are folders stand for the files of keys in them. Files are compared by what they are and not by name, so
/// that links and other spellings of a path make no difference.
pub fn check(outputs: &[PathBuf], inputs: &[&Path]) -> Result<(), Error> {
    let inputs: Vec<PathBuf> = inputs.iter().flat_map(|input| files_of(input)).collect();
    for (number, output) in outputs.iter().enumerate() {
        if let Some(input) = inputs.iter().find(|input| same_file(output, input)) {
            return Err(Error::OutputIsInput {
                output: output.clone(),
                input: input.clone(),
            });
        }
        let before = outputs.iter().take(number);
        if before.into_iter().any(|other| same_place(output, other)) {
            return Err(Error::OutputTwice {
                path: output.clone(),
            });
        }
        writable(output)?;
    }
    Ok(())
}

/// As [`check`], for files in a folder that may have to be made.
pub fn check_folder(folder: &Path, names: &[&str], inputs: &[&Path]) -> Result<(), Error> {
    if fs::metadata(folder).is_ok_and(|data| !data.is_dir()) {
        return Err(FileError::NotDirectory {
            path: folder.into(),
        }
        .into());
    }
    if folder.is_dir() {
        let outputs: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        return check(&outputs, inputs);
    }
    // The nearest folder above that exists is where the new ones go.
    let above = folder.ancestors().skip(1).map(existing_or_here);
    match above.into_iter().find(|path| path.exists()) {
        Some(path) if !path.is_dir() => Err(FileError::NotDirectory { path: path.into() }.into()),
        Some(path) => may_create(path, folder),
        None => Ok(()),
    }
}

fn existing_or_here(path: &Path) -> &Path {
    if path == Path::new("") {
        Path::new(".")
    } else {
        path
    }
}

/// The files that a path stands for.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        KEY_FILES.iter().map(|name| path.join(name)).collect()
    } else {
        vec![path.into()]
    }
}

fn regular(path: &Path) -> Option<Metadata> {
    fs::metadata(path).ok().filter(Metadata::is_file)
}

/// Whether both are one regular file. Devices may be read and written: a terminal is both.
fn same_file(a: &Path, b: &Path) -> bool {
    match (regular(a), regular(b)) {
        (Some(a), Some(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Whether what is written to one is found at the other, also where neither exists yet.
fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let named = place(a).zip(place(b)).is_some_and(|(a, b)| a == b);
    let device = fs::metadata(a).is_ok_and(|data| !data.is_file());
    !device && (named || same_file(a, b))
}

/// Refuses what cannot be written.
fn writable(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(data) if data.is_dir() => Err(FileError::Directory { path: path.into() }.into()),
        Ok(data) if !data.is_file() => permitted(path),
        // A file is replaced through its folder; one that nobody may write is not to be replaced either.
        Ok(_) => permitted(path).and_then(|()| may_create(folder_of(path), path)),
        Err(_) if path.file_name().is_none() => {
            Err(FileError::Directory { path: path.into() }.into())
        }
        Err(_) => may_create(folder_of(path), path),
    }
}

/// Asks the system whether what is there may be written.
fn permitted(path: &Path) -> Result<(), Error> {
    access(path, Access::WRITE_OK).map_err(|source| failed(path, source.into()))
}

/// Tries to make a file in a folder, since no permission says all of what a file system allows; `path` is for the error.
fn may_create(folder: &Path, path: &Path) -> Result<(), Error> {
    if fs::metadata(folder).is_ok_and(|data| !data.is_dir()) {
        return Err(FileError::NotDirectory {
            path: folder.into(),
        }
        .into());
    }
    let name = path.file_name().unwrap_or_default();
    create_beside(&folder.join(name))
        .and_then(|(temporary, _)| fs::remove_file(temporary))
        .map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    FileError::Write {
        path: path.into(),
        source,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("zkonnx-places-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("sub")).unwrap();
        fs::write(path.join("model"), "m").unwrap();
        path
    }

    #[test]
    fn rejects_an_input_under_any_of_its_names() {
        let folder = folder("names");
        let model = folder.join("model");
        symlink(&model, folder.join("link")).unwrap();
        symlink("link", folder.join("chain")).unwrap();
        fs::hard_link(&model, folder.join("hard")).unwrap();
        symlink(&folder, folder.join("sub/up")).unwrap();
        for name in [
            "model",
            "./model",
            "sub/../model",
            "link",
            "chain",
            "hard",
            "sub/up/model",
        ] {
            let result = check(&[folder.join(name)], &[&model]);
            assert!(
                matches!(result, Err(Error::OutputIsInput { .. })),
                "{name}: {result:?}"
            );
        }
        check(&[folder.join("other"), folder.join("sub/model")], &[&model]).unwrap();
        fs::write(folder.join("other"), "o").unwrap();
        check(&[folder.join("other")], &[&model]).unwrap();
    }

    #[test]
    fn rejects_the_files_of_a_folder_of_keys() {
        let folder = folder("keys");
        fs::write(folder.join("pk"), "p").unwrap();
        let result = check(&[folder.join("pk")], &[&folder]);
        assert!(
            matches!(result, Err(Error::OutputIsInput { .. })),
            "{result:?}"
        );
        let program = folder.join("sub/program");
        fs::write(&program, "p").unwrap();
        let result = check_folder(&folder.join("sub"), &KEY_FILES, &[&program]);
        assert!(
            matches!(result, Err(Error::OutputIsInput { .. })),
            "{result:?}"
        );
        check(&[folder.join("receipt")], &[&folder]).unwrap();
    }

    #[test]
    fn rejects_two_outputs_in_one_place() {
        let folder = folder("twice");
        symlink(&folder, folder.join("sub/up")).unwrap();
        for name in ["a", "./a", "sub/../a", "sub/up/a"] {
            let result = check(&[folder.join("a"), folder.join(name)], &[]);
            assert!(
                matches!(result, Err(Error::OutputTwice { .. })),
                "{name}: {result:?}"
            );
        }
        check(&["/dev/null".into(), "/dev/null".into()], &[]).unwrap();
    }

    #[test]
    fn rejects_places_that_cannot_be_written() {
        let folder = folder("places");
        let directory = check(std::slice::from_ref(&folder), &[]);
        assert!(matches!(
            directory,
            Err(Error::File(FileError::Directory { .. }))
        ));
        let missing = check(&[folder.join("no/such")], &[]);
        assert!(matches!(missing, Err(Error::File(FileError::Write { .. }))));
        let below = check(&[folder.join("model/below")], &[]);
        assert!(matches!(below, Err(Error::File(_))), "{below:?}");
        let file = check_folder(&folder.join("model"), &KEY_FILES, &[]);
        assert!(matches!(
            file,
            Err(Error::File(FileError::NotDirectory { .. }))
        ));
        let inside = check_folder(&folder.join("model/keys"), &KEY_FILES, &[]);
        assert!(matches!(inside, Err(Error::File(_))), "{inside:?}");
        check_folder(&folder.join("new/deep"), &KEY_FILES, &[]).unwrap();
        check_folder(Path::new("new-and-relative"), &KEY_FILES, &[]).unwrap();
        // Not even root writes here.
        let proc = check(&["/proc/zkonnx".into()], &[]);
        assert!(
            matches!(proc, Err(Error::File(FileError::Write { .. }))),
            "{proc:?}"
        );
    }
}
