//! Writes new files into the directory: all of them or none, and never over another file.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

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

/// The names that a call has given so far.
#[derive(Default)]
struct Named<'a> {
    files: Vec<&'a Path>,
    folders: Vec<&'a Path>,
}

/// Texts that are on the disk under hidden names, which are removed when the value is dropped. What a killed run leaves
/// is ignored like everything that is hidden.
#[derive(Default)]
struct Prepared<'a> {
    files: Vec<(&'a Path, NamedTempFile<File>)>,
    folders: BTreeMap<&'a Path, TempDir>,
}

/// Writes the files in this order. Each file, and each new folder with its files, gets its name when its whole content
/// is written.
///
/// # Errors
/// Fails with the first file that cannot be written, or if a new folder exists; neither a file nor a folder stays then.
pub(crate) fn write(files: &[NewFile]) -> Result<(), Cause> {
    // The texts of all files are on the disk before the first file gets its name.
    let prepared = prepare(files)?;
    let mut named = Named::default();
    let published = publish(prepared, &mut named);
    if published.is_err() {
        let in_folder = |file: &&NewFile| file.new_folder.as_deref().is_some_and(|it| named.folders.contains(&it));
        let in_folders = files.iter().filter(in_folder).map(|file| file.path.as_path());
        let removed = named.files.iter().copied().chain(in_folders).map(|path| (path, fs::remove_file(path)));
        for (path, removed) in removed.chain(named.folders.iter().map(|&path| (path, fs::remove_dir(path)))) {
            if let Err(error) = removed {
                tracing::warn!("{} was written and cannot be removed: {error}", path.display());
            }
        }
    }
    published
}

/// Writes the texts under hidden names: files beside their names, and files of a new folder in a hidden folder.
fn prepare(files: &[NewFile]) -> Result<Prepared<'_>, Cause> {
    let mut prepared = Prepared::default();
    for file in files {
        let Some(folder) = file.new_folder.as_deref() else {
            prepared.files.push((&file.path, hidden_file(file)?));
            continue;
        };
        let hidden = match prepared.folders.entry(folder) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(hidden_folder(folder)?),
        };
        let path = hidden.path().join(file.path.file_name().unwrap_or_default());
        let written = safe_file::create_new(&path, 0o666)
            .and_then(|mut open| open.write_all(file.text.as_bytes()).and_then(|()| open.sync_all()));
        written.map_err(write_error(&file.path))?;
    }
    for (folder, hidden) in &prepared.folders {
        sync(hidden.path()).map_err(write_error(folder))?;
    }
    Ok(prepared)
}

/// Writes the text of a file to a hidden file beside it.
fn hidden_file(file: &NewFile) -> Result<NamedTempFile, Cause> {
    let (directory, prefix) = hidden_name(&file.path);
    let mut hidden = Builder::new()
        .prefix(&prefix)
        // Temporary files are usually private to their user; here the umask decides.
        .make_in(directory, |path| safe_file::create_new(path, 0o666))
        .map_err(write_error(directory))?;
    let written = hidden.as_file_mut().write_all(file.text.as_bytes());
    written.and_then(|()| hidden.as_file().sync_all()).map_err(write_error(&file.path))?;
    Ok(hidden)
}

/// Creates a hidden folder beside a new folder.
fn hidden_folder(folder: &Path) -> Result<TempDir, Cause> {
    let (directory, prefix) = hidden_name(folder);
    Builder::new().prefix(&prefix).tempdir_in(directory).map_err(write_error(directory))
}

/// Returns the directory of a path, and the beginning of a hidden name in it.
fn hidden_name(path: &Path) -> (&Path, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (path.parent().unwrap_or(Path::new(".")), format!(".{name}."))
}

fn publish<'a>(prepared: Prepared<'a>, named: &mut Named<'a>) -> Result<(), Cause> {
    for (path, hidden) in prepared.files {
        hidden.persist_noclobber(path).map_err(|refused| write_error(path)(refused.error))?;
        named.files.push(path);
    }
    for (folder, hidden) in prepared.folders {
        safe_file::rename_to_free_name(hidden.path(), folder).map_err(write_error(folder))?;
        // The hidden name is gone.
        let _ = hidden.keep();
        named.folders.push(folder);
    }
    let directories: BTreeSet<&Path> =
        named.files.iter().chain(&named.folders).filter_map(|path| path.parent()).collect();
    for directory in directories {
        sync(directory).map_err(write_error(directory))?;
    }
    Ok(())
}

/// Writes the names in a directory to the disk.
fn sync(directory: &Path) -> io::Result<()> {
    safe_file::open_directory(directory)?.sync_all()
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
        assert_eq!(names(directory.path()), ["1_one"]);
        let other = directory.path().join("0_zero");
        let in_other = NewFile { new_folder: Some(other.clone()), ..file(other.join("up.sql")) };
        write(&[in_other, in_folder("up.sql"), file(directory.path().join("a"))]).unwrap_err();
        assert_eq!(names(directory.path()), ["1_one"]);
    }
}
