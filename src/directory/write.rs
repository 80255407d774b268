//! Writes new files into the folder: all of them or none, and never over another.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::read_error;
use crate::error::Cause;
use crate::safe_file;

/// A file that is to be.
#[derive(Debug)]
pub struct NewFile {
    pub path: PathBuf,
    pub text: String,
}

/// Our turn to number new files; the next run has its turn when this is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _folder: File,
}

/// Waits for our turn in a folder: two runs at once would take the same number.
///
/// # Errors
/// There is no such folder, or it cannot be opened.
pub fn turn(path: &Path) -> Result<DirectoryLock, Cause> {
    let folder = safe_file::open_folder(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cause::NoFolder(path.to_owned()),
        _ => read_error(path, &error),
    })?;
    // Some network file systems know no such lock. Then it is still true that no file replaces another.
    if let Err(error) = folder.lock() {
        tracing::debug!("{} cannot be locked: {error}", path.display());
    }
    Ok(DirectoryLock { _folder: folder })
}

/// Writes the files in this order; each appears under its name with all its text.
///
/// # Errors
/// The first that cannot be written; nothing stays then.
pub fn write(files: &[NewFile]) -> Result<(), Cause> {
    // All the texts are on the disk before the first name is given.
    let prepared = files.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let mut named = Vec::new();
    let published = publish(files, prepared, &mut named);
    if published.is_err() {
        for path in named {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!("{} was written and cannot be removed: {error}", path.display());
            }
        }
    }
    published
}

/// The text under a hidden name, which goes when it is dropped; what a killed run leaves is passed over like all hidden
/// files.
fn prepare(file: &NewFile) -> Result<NamedTempFile, Cause> {
    let folder = file.path.parent().unwrap_or(Path::new("."));
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let mut hidden = Builder::new()
        .prefix(&format!(".{name}."))
        // Not for us alone, as is usual for temporary files: the umask decides.
        .make_in(folder, |path| safe_file::create_new(path, 0o666))
        .map_err(write_error(folder))?;
    let written = hidden.as_file_mut().write_all(file.text.as_bytes());
    written.and_then(|()| hidden.as_file().sync_all()).map_err(write_error(&file.path))?;
    Ok(hidden)
}

fn publish<'a>(
    files: &'a [NewFile],
    prepared: Vec<NamedTempFile<File>>,
    named: &mut Vec<&'a Path>,
) -> Result<(), Cause> {
    for (file, hidden) in files.iter().zip(prepared) {
        hidden.persist_noclobber(&file.path).map_err(|refused| write_error(&file.path)(refused.error))?;
        named.push(&file.path);
    }
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.path.parent()).collect();
    for folder in folders {
        safe_file::open_folder(folder).and_then(|open| open.sync_all()).map_err(write_error(folder))?;
    }
    Ok(())
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> Cause {
    move |error| Cause::Unwritten { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> NewFile {
        NewFile { path, text: "-- new\n".into() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_that_is_taken_keeps_its_file_and_takes_the_others_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("b"), "old").unwrap();
        let refused = write(&[file(path("a")), file(path("b")), file(path("c"))]).unwrap_err();
        assert!(
            matches!(&refused, Cause::Unwritten { path, error }
                if path.ends_with("b") && error.kind() == io::ErrorKind::AlreadyExists),
            "{refused}"
        );
        assert_eq!(names(folder.path()), ["b"]);
        assert_eq!(fs::read_to_string(path("b")).unwrap(), "old");
    }

    #[test]
    fn a_folder_that_is_not_there_leaves_nothing_in_the_others() {
        let folder = tempfile::tempdir().unwrap();
        write(&[file(folder.path().join("a")), file(folder.path().join("gone/b"))]).unwrap_err();
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
