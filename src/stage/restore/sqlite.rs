//! Restores a SQLite backup: makes a copy beside the database, which then gets the name of the database.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::archive::verified_checksum;
use super::{BackupArchive, compare, failed, timestamp};
use crate::database::sqlite::{Sqlite, copy, lock_path, restore};
use crate::database::url::{self, SqliteLocation};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName, with_suffix};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::safe_file;
use crate::signal::Cancel;
use crate::stage::blocking::{self, run};

/// The suffix of the copy until it gets the name of the database.
const SUFFIX: &str = ".lockkeeper.restore";

/// Puts a copy of the archive in the place of the locked database. The archive itself stays where it is. Returns the
/// name under which the replaced file is kept; `None` if it had no tables, in which case it is not kept.
///
/// # Errors
/// Fails when the copy differs from the manifest, when another connection does not end within `timeout`, or when a
/// signal arrives. The database is unchanged then, unless only opening or syncing it after the exchange has failed.
pub(crate) async fn put_back(
    locked: &mut Sqlite,
    archive: &BackupArchive,
    history: &HistoryName,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, Failure> {
    let candidate = with_suffix(locked.path(), SUFFIX);
    tracing::info!("restoring {} beside {}", archive.shown, locked.path().display());
    let result = tokio::select! {
        result = fill(archive, locked.path(), &candidate, history) => result.map_err(failed),
        reason = cancel.cancelled() => Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
    };
    let result = match result {
        Ok(()) => replace(locked, &candidate, timeout, cancel).await,
        Err(failure) => Err(failure),
    };
    if result.is_err() {
        // An error is ignored: the next run removes the file as well.
        let _ = restore::remove(&candidate);
    }
    result
}

/// A copy of an archive beside a database. Dropping it removes the file.
pub(crate) struct ArchiveCopy {
    path: PathBuf,
}

/// Makes a copy of the archive beside a database, and compares it with the manifest. A copy that a killed run has left
/// is removed first: call this function under the lock.
///
/// # Errors
/// Fails when the copy differs from the manifest, with the error of the file system, or when a signal arrives.
pub(crate) async fn copy_beside(
    locked: &Sqlite,
    archive: &BackupArchive,
    suffix: &str,
    history: &HistoryName,
    cancel: &Cancel,
) -> Result<ArchiveCopy, Failure> {
    let copy = ArchiveCopy { path: with_suffix(locked.path(), suffix) };
    tokio::select! {
        result = fill(archive, locked.path(), &copy.path, history) => result.map_err(failed)?,
        reason = cancel.cancelled() => return Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
    }
    Ok(copy)
}

/// Removes what a killed run has left, if there is something, the copy and second names of the database: call it under
/// the lock.
pub(crate) fn discard_copies(locked: &Sqlite, suffix: &str) {
    drop(ArchiveCopy { path: with_suffix(locked.path(), suffix) });
    restore::remove_stale_links(locked.path());
}

impl ArchiveCopy {
    /// Returns the path of the copy.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the copy.
    ///
    /// # Errors
    /// Fails as [`Sqlite::open`] does.
    pub(crate) async fn open(&self, history: &HistoryName) -> Result<Sqlite, DatabaseError> {
        Sqlite::open(&url::SqliteTarget { location: SqliteLocation::File(self.path.clone()) }, history).await
    }
}

impl Drop for ArchiveCopy {
    fn drop(&mut self) {
        // A file that cannot be removed now is removed when the next copy is made.
        let _ = restore::remove(&self.path);
        let _ = fs::remove_file(lock_path(&self.path));
    }
}

/// Copies the archive and compares the copy with the manifest: SHA-256, integrity, revision, numbers of rows.
async fn fill(
    archive: &BackupArchive,
    database: &Path,
    candidate: &Path,
    history: &HistoryName,
) -> Result<(), RestoreError> {
    let (from, to, template) = (archive.path.clone(), candidate.to_owned(), database.to_owned());
    run(move |stop| copy_file(&from, &to, &template, stop)).await.map_err(RestoreError::Database)?;
    verified_checksum(candidate, &candidate.display().to_string(), &archive.manifest).await?;
    let path = candidate.to_owned();
    let rows = run(move |stop| {
        copy::check(&path)?;
        copy::count(&path, stop)
    });
    let rows = rows.await.map_err(RestoreError::Database)?;
    let target = url::SqliteTarget { location: SqliteLocation::File(candidate.to_owned()) };
    let mut copy = Sqlite::open(&target, history).await.map_err(RestoreError::Database)?;
    let applied = copy.history().await;
    copy.close();
    let applied = applied.map_err(RestoreError::Database)?;
    // SQLite's files beside the copy: usually the last connection has removed them already.
    restore::remove_companions(candidate).map_err(RestoreError::Database)?;
    let mismatches = compare(&archive.manifest, &applied, &rows);
    if mismatches.is_empty() { Ok(()) } else { Err(RestoreError::Differs(mismatches)) }
}

/// Copies the file `from` to the new file `to`, with the owner and the mode of `template`: only this user may read the
/// backup, but others may use the database.
fn copy_file(from: &Path, to: &Path, template: &Path, stop: &AtomicBool) -> Result<(), DatabaseError> {
    restore::remove(to)?;
    let result = (|| -> io::Result<()> {
        let mut source = safe_file::open(from)?;
        let mut copy = safe_file::create_new(to, 0o600)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if stop.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match source.read(&mut buffer)? {
                0 => break,
                read => copy.write_all(&buffer[..read])?,
            }
        }
        if let Ok(metadata) = fs::metadata(template) {
            // Only root can change the owner. Other users own the file already, or have access through its group.
            let _ = fchown(&copy, Some(metadata.uid()), Some(metadata.gid()));
            copy.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        Ok(())
    })();
    result.map_err(|error| {
        DatabaseError::new(DatabaseErrorKind::Io, format!("{} -> {}: {error}", from.display(), to.display()))
    })
}

/// Exchanges the files, and never leaves that half done: a signal is passed on to the thread, and its answer is
/// awaited.
async fn replace(
    locked: &mut Sqlite,
    candidate: &Path,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, Failure> {
    if !locked.is_ours() {
        let message = "the lock file or the database file was replaced by another while we ran";
        return Err(failed(RestoreError::Database(DatabaseError::new(DatabaseErrorKind::Io, message))));
    }
    let paths: [PathBuf; 2] = [locked.path().to_owned(), candidate.to_owned()];
    locked.close();
    let kept = format!("{}{}", restore::KEPT, timestamp());
    let work = move |stop: &AtomicBool| restore::replace(&paths[0], &paths[1], &kept, timeout, stop);
    let (result, _) = blocking::run_to_its_end(cancel, work).await;
    let opened = locked.open_again().await;
    match (result, cancel.reason()) {
        (Err(fault), Some(reason)) if fault.kind == DatabaseErrorKind::Cancelled => {
            Err(Failure::new(Stage::Restore, Cause::Stopped(reason)))
        }
        (Err(fault), _) => Err(failed(RestoreError::Database(fault))),
        (Ok(kept), _) => opened.map(|()| kept).map_err(|fault| failed(RestoreError::Database(fault))),
    }
}
