//! The lock of an SQLite database: `flock` on a file beside it, freed by the system however we end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sqlx::Connection;

use super::{Creation, Sqlite, fault};
use crate::database::{Fault, Limits, Released, beside};

/// The lock, held. The file stays behind: removing it would let two holders lock two files of one name.
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Whether the path still leads to the file that we hold.
    fn is_ours(&self) -> bool {
        let on_disk = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let held = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((on_disk, held), (Ok(on_disk), Ok(held)) if on_disk == held)
    }
}

/// The lock file of a database.
pub fn lock_path(database: &Path) -> PathBuf {
    beside(database, ".lockkeeper.lock")
}

impl Sqlite {
    fn lock_path(&self) -> PathBuf {
        lock_path(&self.path)
    }

    /// One attempt. On success the database file exists and is open.
    pub async fn try_lock(&mut self, holder: &str, limits: Limits) -> Result<bool, Fault> {
        self.patience = limits.busy;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| fault::file(folder, &error))?;
        }
        let path = self.lock_path();
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
        let mut file = open.map_err(|error| fault::file(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(fault::file(&path, &error)),
        }
        // Only for the next one's "who holds it?": a failure to write it does not matter.
        let _ = file.set_len(0);
        let _ = write!(file, "pid {} on {holder}", std::process::id());
        self.lock = Some(LockFile { file, path });
        self.reopen(Creation::IfMissing).await?;
        Ok(true)
    }

    pub fn holder(&self) -> Option<String> {
        fs::read_to_string(self.lock_path()).ok().filter(|text| !text.is_empty())
    }

    /// Whether the lock is still ours.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.as_ref().is_some_and(LockFile::is_ours)
    }

    pub async fn release(mut self) -> Result<Released, Fault> {
        let ours = self.is_locked();
        if let Some(connection) = self.connection.take() {
            // The last connection to go removes the WAL: a failure leaves it to the next one.
            let _ = connection.close().await;
        }
        if let Some(lock) = self.lock.take() {
            let _ = lock.file.set_len(0);
        }
        Ok(if ours { Released::WasOurs } else { Released::WasNotOurs })
    }
}
