//! SQLite: a copy of the backup beside the database, which then gets its name.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::archive::verified_checksum;
use super::{BackupArchive, compare, failed, stamp};
use crate::database::sqlite::{Sqlite, copy, lock_path, restore};
use crate::database::url::{self, SqliteLocation};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName, with_suffix};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::safe_file;
use crate::signal::Cancel;
use crate::stage::blocking::run;

/// What lies beside the database until it has its name.
const SUFFIX: &str = ".lockkeeper.restore";

/// Puts the archive in the place of the locked database. The archive itself stays where it is. Returns the name under
/// which the file that was replaced is kept; one without tables is not.
///
/// # Errors
/// A copy that is not what the manifest says; another connection that does not let go within `patience`; a signal. The
/// database is as it was then.
pub async fn put_back(
    locked: &mut Sqlite,
    archive: &BackupArchive,
    history: &HistoryName,
    patience: Duration,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, Failure> {
    let candidate = with_suffix(locked.path(), SUFFIX);
    tracing::info!("restoring {} beside {}", archive.path.display(), locked.path().display());
    let filled = tokio::select! {
        filled = fill(archive, locked.path(), &candidate, history) => filled.map_err(failed),
        reason = cancel.cancelled() => Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
    };
    let replaced = match filled {
        Ok(()) => replace(locked, &candidate, patience, cancel).await,
        Err(failure) => Err(failure),
    };
    if replaced.is_err() {
        // The next run would do so as well.
        let _ = restore::remove(&candidate);
    }
    replaced
}

/// A copy of an archive beside a database; it goes when this is dropped.
pub struct ArchiveCopy {
    path: PathBuf,
}

/// Makes a copy beside a database that holds what the archive holds, compared with its manifest. One that a killed run
/// has left goes first: call it under the lock.
///
/// # Errors
/// A copy that is not what the manifest says; the file system's; a signal.
pub async fn copy_beside(
    locked: &Sqlite,
    archive: &BackupArchive,
    suffix: &str,
    history: &HistoryName,
    cancel: &Cancel,
) -> Result<ArchiveCopy, Failure> {
    let copied = ArchiveCopy { path: with_suffix(locked.path(), suffix) };
    tokio::select! {
        filled = fill(archive, locked.path(), &copied.path, history) => filled.map_err(failed)?,
        reason = cancel.cancelled() => return Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
    }
    Ok(copied)
}

/// Removes what a killed run has left, if there is something, the copy and second names of the database: call it under
/// the lock.
pub fn discard_beside(locked: &Sqlite, suffix: &str) {
    drop(ArchiveCopy { path: with_suffix(locked.path(), suffix) });
    restore::remove_stale_links(locked.path());
}

impl ArchiveCopy {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub async fn open(&self, history: &HistoryName) -> Result<Sqlite, DatabaseError> {
        Sqlite::open(&url::SqliteTarget { place: SqliteLocation::File(self.path.clone()) }, history).await
    }
}

impl Drop for ArchiveCopy {
    fn drop(&mut self) {
        // What cannot be removed now goes when the next copy is made.
        let _ = restore::remove(&self.path);
        let _ = fs::remove_file(lock_path(&self.path));
    }
}

/// Copies the archive and compares the copy with the manifest: sum, integrity, revision, rows.
async fn fill(
    archive: &BackupArchive,
    database: &Path,
    candidate: &Path,
    history: &HistoryName,
) -> Result<(), RestoreError> {
    let (from, to, like) = (archive.path.clone(), candidate.to_owned(), database.to_owned());
    run(move |stop| copy_file(&from, &to, &like, stop)).await.map_err(RestoreError::Database)?;
    verified_checksum(candidate, &archive.manifest).await?;
    let counted = candidate.to_owned();
    let rows = run(move |stop| {
        copy::check(&counted)?;
        copy::count(&counted, stop)
    });
    let rows = rows.await.map_err(RestoreError::Database)?;
    let target = url::SqliteTarget { place: SqliteLocation::File(candidate.to_owned()) };
    let mut copied = Sqlite::open(&target, history).await.map_err(RestoreError::Database)?;
    let applied = copied.history().await;
    copied.close().await;
    let applied = applied.map_err(RestoreError::Database)?;
    // The last connection has removed them already.
    restore::remove_companions(candidate).map_err(RestoreError::Database)?;
    let wrong = compare(&archive.manifest, &applied, &rows);
    if wrong.is_empty() { Ok(()) } else { Err(RestoreError::Differs(wrong)) }
}

/// Copies a file to a new one that has owner and mode of a third: the backup is ours alone, the database is not.
fn copy_file(from: &Path, to: &Path, like: &Path, stop: &AtomicBool) -> Result<(), DatabaseError> {
    restore::remove(to)?;
    let copied = (|| -> io::Result<()> {
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
        if let Ok(known) = fs::metadata(like) {
            // Only root can give a file away; the owner is us already then, or the group decides.
            let _ = fchown(&copy, Some(known.uid()), Some(known.gid()));
            copy.set_permissions(Permissions::from_mode(known.mode() & 0o7777))?;
        }
        Ok(())
    })();
    copied.map_err(|error| {
        DatabaseError::new(DatabaseErrorKind::Io, format!("{} -> {}: {error}", from.display(), to.display()))
    })
}

/// The exchange itself, which is never left half way: a signal is passed on, and its answer waited for.
async fn replace(
    locked: &mut Sqlite,
    candidate: &Path,
    patience: Duration,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, Failure> {
    if !locked.is_ours() {
        let message = "the lock file or the database file was replaced by another while we ran";
        return Err(failed(RestoreError::Database(DatabaseError::new(DatabaseErrorKind::Io, message))));
    }
    let paths: [PathBuf; 2] = [locked.path().to_owned(), candidate.to_owned()];
    locked.close().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (told, kept) = (Arc::clone(&stop), format!("{}{}", restore::KEPT, stamp()));
    let mut work = tokio::task::spawn_blocking(move || restore::replace(&paths[0], &paths[1], &kept, patience, &told));
    let joined = tokio::select! {
        joined = &mut work => joined,
        _ = cancel.cancelled() => {
            stop.store(true, Ordering::SeqCst);
            work.await
        }
    };
    let replaced = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let opened = locked.open_again().await;
    match (replaced, cancel.reason()) {
        (Err(fault), Some(reason)) if fault.kind == DatabaseErrorKind::Cancelled => {
            Err(Failure::new(Stage::Restore, Cause::Stopped(reason)))
        }
        (Err(fault), _) => Err(failed(RestoreError::Database(fault))),
        (Ok(kept), _) => opened.map(|()| kept).map_err(|fault| failed(RestoreError::Database(fault))),
    }
}
