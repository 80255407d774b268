//! Writes new files into the directory: all of them or none, and never over another file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::read_error;
use crate::error::Cause;
use crate::safe_file;

/// A file that is to be written.
#[derive(Debug)]
pub(crate) struct NewFile {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// The folder of the file, if it is created together with its files.
    pub(crate) new_folder: Option<PathBuf>,
    /// The content of the file.
    pub(crate) text: String,
}

/// An exclusive lock of a directory, held while new files are numbered and written. Dropping it ends the lock.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _directory: File,
}

/// Waits for the lock of a directory: two runs at once would use the same number.
///
/// # Errors
/// Fails if the directory does not exist or cannot be opened.
pub(crate) fn lock_directory(path: &Path) -> Result<DirectoryLock, Cause> {
    let directory = safe_file::open_directory(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cause::NoDirectory(path.to_owned()),
        _ => read_error(path, &error),
    })?;
    // Some network file systems have no such lock. Even there, no file replaces another.
    if let Err(error) = directory.lock() {
        tracing::debug!("{} cannot be locked: {error}", path.display());
    }
    Ok(DirectoryLock { _directory: directory })
}

/// The files and folders that a call has created so far.
#[derive(Default)]
struct Created<'a> {
    files: Vec<&'a Path>,
    folders: Vec<&'a Path>,
}

/// Writes the files in this order. Each file gets its name when its whole text is written.
///
/// # Errors
/// Fails with the first file that cannot be written, or if a new folder exists; neither a file nor a folder stays then.
pub(crate) fn write(files: &[NewFile]) -> Result<(), Cause> {
    let mut created = Created::default();
    let written = write_all(files, &mut created);
    if written.is_err() {
        let files = created.files.into_iter().map(|path| (path, fs::remove_file(path)));
        for (path, removed) in files.chain(created.folders.into_iter().map(|path| (path, fs::remove_dir(path)))) {
            if let Err(error) = removed {
                tracing::warn!("{} was written and cannot be removed: {error}", path.display());
            }
        }
    }
    written
}

fn write_all<'a>(files: &'a [NewFile], created: &mut Created<'a>) -> Result<(), Cause> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.new_folder.as_deref()).collect();
    for folder in folders {
        fs::create_dir(folder).map_err(write_error(folder))?;
        created.folders.push(folder);
    }
    // The texts of all files are on the disk before the first file gets its name.
    let prepared = files.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    publish(files, prepared, created)
}

/// Writes the text to a hidden temporary file, which is removed when the value is dropped. The hidden file that a
/// killed run leaves is ignored like all hidden files.
fn prepare(file: &NewFile) -> Result<NamedTempFile, Cause> {
    let directory = file.path.parent().unwrap_or(Path::new("."));
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let mut hidden = Builder::new()
        .prefix(&format!(".{name}."))
        // Temporary files are usually private to their user; here the umask decides.
        .make_in(directory, |path| safe_file::create_new(path, 0o666))
        .map_err(write_error(directory))?;
    let written = hidden.as_file_mut().write_all(file.text.as_bytes());
    written.and_then(|()| hidden.as_file().sync_all()).map_err(write_error(&file.path))?;
    Ok(hidden)
}

fn publish<'a>(
    files: &'a [NewFile],
    prepared: Vec<NamedTempFile<File>>,
    created: &mut Created<'a>,
) -> Result<(), Cause> {
    for (file, hidden) in files.iter().zip(prepared) {
        hidden.persist_noclobber(&file.path).map_err(|refused| write_error(&file.path)(refused.error))?;
        created.files.push(&file.path);
    }
    let paths = files.iter().flat_map(|file| [Some(&file.path), file.new_folder.as_ref()]).flatten();
    let directories: BTreeSet<&Path> = paths.filter_map(|path| path.parent()).collect();
    for directory in directories {
        safe_file::open_directory(directory).and_then(|open| open.sync_all()).map_err(write_error(directory))?;
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
        NewFile { path, new_folder: None, text: "-- new\n".into() }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_that_is_taken_keeps_its_file_and_takes_the_others_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("b"), "old").unwrap();
        let refused = write(&[file(path("a")), file(path("b")), file(path("c"))]).unwrap_err();
        assert!(
            matches!(&refused, Cause::Unwritten { path, error }
                if path.ends_with("b") && error.kind() == io::ErrorKind::AlreadyExists),
            "{refused}"
        );
        assert_eq!(names(directory.path()), ["b"]);
        assert_eq!(fs::read_to_string(path("b")).unwrap(), "old");
    }

    #[test]
    fn a_directory_that_is_not_there_leaves_nothing_in_the_others() {
        let directory = tempfile::tempdir().unwrap();
        write(&[file(directory.path().join("a")), file(directory.path().join("gone/b"))]).unwrap_err();
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_new_folder_comes_with_its_files_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("1_one");
        let in_folder = |name: &str| NewFile { new_folder: Some(folder.clone()), ..file(folder.join(name)) };
        write(&[in_folder("up.sql"), file(directory.path().join("gone/b"))]).unwrap_err();
        assert_eq!(names(directory.path()), [""; 0]);
        write(&[in_folder("up.sql"), in_folder("down.sql")]).unwrap();
        assert_eq!(names(&folder), ["down.sql", "up.sql"]);
        write(&[in_folder("other.sql")]).unwrap_err();
        assert_eq!(names(&folder), ["down.sql", "up.sql"]);
    }
}
