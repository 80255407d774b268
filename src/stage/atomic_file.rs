//! A file that gets its name only when its content is complete on the disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::database::with_suffix;
use crate::safe_file;

/// The suffix of an unfinished file whose name a user has chosen. No other program uses it, so that a file of that name
/// is ours.
pub(crate) const PARTIAL: &str = ".lockkeeper-partial";

/// The reason why a file cannot be created or published.
#[derive(Debug)]
pub(crate) enum AtomicFileError {
    /// There is a file of this name.
    Taken,
    /// Another run is writing a file of this name.
    InUse,
    /// The error of the file system.
    Io(io::Error),
}

/// A file that does not have its name yet. Until it is published it has a suffix behind its name and is locked, so that
/// other runs can distinguish it from what a killed run has left. Dropping it before it is published removes it. Only
/// this user may read it, because the rows in it may be confidential.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    is_published: bool,
}

impl AtomicFile {
    /// Creates and locks the file for this final name. `suffix` is what stands behind the name until then; an unlocked
    /// file of that name is the leftover of a killed run and is removed.
    ///
    /// # Errors
    /// Fails when the name is taken, when another run is writing a file of this name, or with the error of the file
    /// system.
    pub(crate) fn create(file: &Path, suffix: &str) -> Result<AtomicFile, AtomicFileError> {
        let created = AtomicFile::create_partial(file, suffix)?;
        // The name is checked only now, when no other run can get it any more: a file that has just got its name must
        // not be overwritten.
        match fs::symlink_metadata(file) {
            Ok(_) => Err(AtomicFileError::Taken),
            Err(_) => Ok(created),
        }
    }

    /// Creates and locks the file, whether its final name is taken or not.
    fn create_partial(file: &Path, suffix: &str) -> Result<AtomicFile, AtomicFileError> {
        let partial = with_suffix(file, suffix);
        match lock_of(&partial) {
            Ok(None) => {}
            Ok(Some(lock)) => remove_locked(&partial, lock),
            Err(TryLockError::WouldBlock) => return Err(AtomicFileError::InUse),
            Err(TryLockError::Error(error)) => return Err(AtomicFileError::Io(error)),
        }
        let out = safe_file::create_new(&partial, 0o600).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => AtomicFileError::InUse,
            _ => AtomicFileError::Io(error),
        })?;
        lock(&out, &partial)?;
        Ok(AtomicFile { file: file.to_owned(), partial, out: BufWriter::new(out), is_published: false })
    }

    /// Makes the content durable, and gives the file its name. Returns the open file, which is locked until it is
    /// dropped.
    ///
    /// # Errors
    /// Fails when the name was taken meanwhile, or with the error of the file system. The name leads to nothing then,
    /// or to the file that had it before.
    pub(crate) fn publish(mut self) -> Result<File, AtomicFileError> {
        self.out.flush().map_err(AtomicFileError::Io)?;
        // The lock belongs to the open file, not to the handle.
        let file = self.out.get_ref().try_clone().map_err(AtomicFileError::Io)?;
        file.sync_all().map_err(AtomicFileError::Io)?;
        rename_to_free_name(&self.partial, &self.file)?;
        self.is_published = true;
        safe_file::sync_parent(&self.file).map_err(|error| {
            let _ = fs::remove_file(&self.file);
            AtomicFileError::Io(error)
        })?;
        Ok(file)
    }
}

/// Replaces the content of a file of ours: the name leads to the old content or to the new one, however the run ends.
///
/// # Errors
/// Fails when another run is writing a file of this name, or with the error of the file system.
pub(crate) fn replace(file: &Path, suffix: &str, content: &[u8]) -> io::Result<()> {
    let failed = |error| match error {
        AtomicFileError::Io(error) => error,
        AtomicFileError::Taken | AtomicFileError::InUse => ErrorKind::AlreadyExists.into(),
    };
    let mut partial = AtomicFile::create_partial(file, suffix).map_err(failed)?;
    partial.write_all(content)?;
    partial.flush()?;
    partial.out.get_ref().sync_all()?;
    fs::rename(&partial.partial, file)?;
    partial.is_published = true;
    safe_file::sync_parent(file)
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_published {
            // A file that cannot be removed now is removed by the next run that wants its name.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Renames a file without replacing another one.
fn rename_to_free_name(from: &Path, to: &Path) -> Result<(), AtomicFileError> {
    safe_file::rename_to_free_name(from, to).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => AtomicFileError::Taken,
        _ => AtomicFileError::Io(error),
    })
}

/// Returns whether an open file still has this name: between opening and locking it, another run may have removed or
/// renamed it.
pub(crate) fn has_name(file: &File, path: &Path) -> bool {
    let open_id = file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    let path_id = fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((open_id, path_id), (Ok(open_id), Ok(path_id)) if open_id == path_id)
}

/// Locks the new file, which another run may have removed as a leftover meanwhile.
fn lock(out: &File, partial: &Path) -> Result<(), AtomicFileError> {
    // A file system without locks is accepted: no other run can take the file for a leftover there, either.
    let _ = out.lock();
    match has_name(out, partial) {
        true => Ok(()),
        false => Err(AtomicFileError::InUse),
    }
}

/// Removes the unfinished file of a killed run. One that is locked stays: another run is writing it.
pub(crate) fn remove_leftover(partial: &Path) {
    if let Ok(Some(lock)) = lock_of(partial) {
        remove_locked(partial, lock);
    }
}

/// Removes a file whose lock is held until it is removed.
fn remove_locked(partial: &Path, _lock: File) {
    if fs::remove_file(partial).is_ok() {
        tracing::info!("removed what a stopped run left: {}", partial.display());
    }
}

/// Locks a file and returns it; `None` if there is no file.
///
/// # Errors
/// Fails when another run holds the lock, or with the error of the file system.
pub(crate) fn lock_of(path: &Path) -> Result<Option<File>, TryLockError> {
    match safe_file::open_for_writing(path) {
        Ok(file) => file.try_lock().map(|()| Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_another_run_took_for_a_leftover_before_it_was_locked_is_not_ours() {
        let directory = tempfile::tempdir().expect("a directory");
        let partial = directory.path().join("rows.partial");
        let first = File::create_new(&partial).expect("our file");
        lock(&first, &partial).expect("it is ours");
        first.unlock().expect("as before it was locked");
        remove_leftover(&partial);
        assert!(lock(&first, &partial).is_err(), "it has no name any more");
        let second = File::create_new(&partial).expect("their file");
        lock(&second, &partial).expect("it is theirs");
        assert!(lock(&first, &partial).is_err(), "the name is theirs");
    }

    #[test]
    fn a_file_has_its_name_when_it_is_published_and_no_other_name_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows");
        let mut file = AtomicFile::create(&path, PARTIAL).expect("a new file");
        assert!(matches!(AtomicFile::create(&path, PARTIAL), Err(AtomicFileError::InUse)));
        file.write_all(b"all").expect("some bytes");
        assert!(!path.exists());
        file.publish().expect("a free name");
        assert_eq!(fs::read(&path).expect("the file"), b"all");
        assert!(matches!(AtomicFile::create(&path, PARTIAL), Err(AtomicFileError::Taken)));
        assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 1);
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_keeps_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows");
        let file = AtomicFile::create(&path, PARTIAL).expect("a new file");
        fs::write(&path, "theirs").expect("another file");
        assert!(matches!(file.publish(), Err(AtomicFileError::Taken)));
        assert_eq!(fs::read(&path).expect("the file"), b"theirs");
        assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 1);
    }
}
