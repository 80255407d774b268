//! The lock of an SQLite database: `flock` on a file beside it, which the kernel frees however the process ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{OpenMode, Sqlite, error};
use crate::database::{DatabaseError, DatabaseErrorKind, SessionLimits, UnlockResult, with_suffix};
use crate::safe_file;

/// The first characters that a holder writes into the file.
const HOLDER_PREFIX: &str = "pid ";
/// The maximum number of bytes that are read from the file.
const MAX_HOLDER_BYTES: u64 = 4096;

/// The lock file, locked. The file is never removed: two runs could then lock two files of one name.
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Reports whether the path still leads to the locked file.
    fn is_ours(&self) -> bool {
        let on_disk = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let opened = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((on_disk, opened), (Ok(on_disk), Ok(opened)) if on_disk == opened)
    }
}

/// Reports whether the content may be replaced: a file of another user that is linked there may hold anything.
fn is_lock_file(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(HOLDER_PREFIX.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == HOLDER_PREFIX.as_bytes())
}

/// Returns the path of the lock file of a database.
pub(crate) fn lock_path(database: &Path) -> PathBuf {
    with_suffix(database, ".lockkeeper.lock")
}

impl Sqlite {
    fn lock_path(&self) -> PathBuf {
        lock_path(&self.path)
    }

    /// Tries once to take the lock, and returns whether it was taken. Then the database file exists and is open.
    ///
    /// # Errors
    /// The directory or a file cannot be created, opened or locked, or the lock file holds something else.
    pub(crate) async fn try_lock(&mut self, holder: &str, limits: SessionLimits) -> Result<bool, DatabaseError> {
        self.busy_timeout = limits.busy;
        if let Some(directory) = self.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|error| error::file(directory, &error))?;
        }
        let path = self.lock_path();
        let mut file = safe_file::open_or_create(&path, 0o644).map_err(|error| error::file(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error::file(&path, &error)),
        }
        if !is_lock_file(&mut file).map_err(|error| error::file(&path, &error))? {
            let message = format!("{}: it is not empty and not a lock file of Lockkeeper", path.display());
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message));
        }
        // The text only names the holder to the next run: a failure to write it does not matter.
        let _ = file.set_len(0);
        let _ = file.write_all_at(format!("{HOLDER_PREFIX}{} on {holder}", std::process::id()).as_bytes(), 0);
        self.lock = Some(LockFile { file, path });
        self.open_and_read(OpenMode::IfMissing).await?;
        Ok(true)
    }

    /// Returns the text that the last holder has written, as `pid 7 on host`. `None` if there is none: a release
    /// empties the file.
    pub(crate) fn holder(&self) -> Option<String> {
        let text = safe_file::read_ours(&self.lock_path(), MAX_HOLDER_BYTES).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
    }

    /// Reports whether this run still holds the lock.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.as_ref().is_some_and(LockFile::is_ours)
    }

    /// Checks that the lock is still held, and closes the database file, so that no other connection waits for this one.
    ///
    /// # Errors
    /// Fails with `Lost` when the lock file was removed or replaced.
    pub(crate) async fn check_lock(&mut self) -> Result<(), DatabaseError> {
        self.close();
        match self.is_locked() {
            true => Ok(()),
            false => {
                let message = format!("the lock file {} was removed or replaced", self.lock_path().display());
                Err(DatabaseError::new(DatabaseErrorKind::Lost, message))
            }
        }
    }

    /// Returns another handle of the locked file: the lock lasts until all of them are closed.
    pub(crate) fn lock_file(&self) -> Option<File> {
        self.lock.as_ref().and_then(|lock| lock.file.try_clone().ok())
    }

    /// Closes the database, frees the lock, and reports whether this run still held it.
    ///
    /// # Errors
    /// Never fails; PostgreSQL's method of the same name does.
    pub(crate) async fn release(mut self) -> Result<UnlockResult, DatabaseError> {
        let is_locked = self.is_locked();
        self.close();
        if let Some(lock) = self.lock.take() {
            let _ = lock.file.set_len(0);
        }
        Ok(if is_locked { UnlockResult::WasOurs } else { UnlockResult::WasNotOurs })
    }
}
