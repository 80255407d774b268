//! Puts another file in the place of a database, so that the path leads to a whole database at every moment.
//!
//! A write-ahead log that outlives its database would be replayed into the next one of that name. SQLite therefore
//! carries the log into the old file and removes it before the new file gets the name, while no other connection can
//! read or write the old file. The old file is kept under another name: it has what was committed after its last
//! backup, and whatever a program that had opened it before still writes to it. (SQLite itself refuses such a writer,
//! because the file was moved, unless its rollback journal is in memory or off.)

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::copy::open;
use super::{OpenMode, Sqlite, error, file_id, path};
use crate::database::{DatabaseError, DatabaseErrorKind, with_suffix};
use crate::safe_file;

/// The pause between two attempts to open the file alone.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Sqlite {
    /// Closes the file and keeps the lock.
    pub(crate) fn close(&mut self) {
        // The last connection that closes removes the WAL; after a failure the next connection does it.
        self.connection = None;
    }

    /// Opens the file that has the name now.
    ///
    /// # Errors
    /// Fails as [`Sqlite::open`] does: the file is not a database, is damaged or not readable.
    pub(crate) async fn open_again(&mut self) -> Result<(), DatabaseError> {
        self.violations = None;
        self.open_and_read(OpenMode::Never).await
    }

    /// Reports whether the lock and the file are those that this run took: no other database may be replaced.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_locked() && self.is_same_file()
    }
}

/// Removes a file and the files that SQLite keeps beside it, if they exist.
///
/// # Errors
/// The file system refuses it.
pub(crate) fn remove(path: &Path) -> Result<(), DatabaseError> {
    remove_companions(path)?;
    remove_if_present(path)
}

/// Removes the files that SQLite keeps beside a file that nobody has open.
///
/// # Errors
/// The file system refuses it.
pub(crate) fn remove_companions(path: &Path) -> Result<(), DatabaseError> {
    path::COMPANIONS.iter().try_for_each(|suffix| remove_if_present(&with_suffix(path, suffix)))
}

fn remove_if_present(path: &Path) -> Result<(), DatabaseError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error::file(path, &error)),
        _ => Ok(()),
    }
}

/// Gives `candidate`, which is durable, the name of `database`. The previous file is kept under a second name, which is
/// returned, and with it everything that was committed to it since its backup. A file without tables is not kept
/// (`None`).
///
/// A kill before the rename leaves the old database, a kill after it the new one; neither has a log. The name always
/// exists: the old file gets its second name by a hard link, which a killed run may leave: see [`remove_stale_links`].
///
/// # Errors
/// Another connection does not close within `timeout`, `stop` is set, or the file system fails. The database is
/// unchanged then.
pub(crate) fn replace(
    database: &Path,
    candidate: &Path,
    suffix: &str,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<Option<PathBuf>, DatabaseError> {
    let (exclusive, journal_mode) = open_exclusively(database, timeout, stop)?;
    remove_stale_links(database);
    file_id::inherit(candidate, database);
    let kept = keep_old_file(&exclusive, database, suffix);
    let result = kept.as_ref().map_err(DatabaseError::clone).and_then(|_| {
        remove_companions(database)?;
        // The second name is durable before the first one leads elsewhere.
        sync_directory(database)?;
        fs::rename(candidate, database).map_err(|error| error::file(database, &error))
    });
    match result {
        Ok(()) => sync_directory(database).and(kept),
        Err(fault) => {
            if let Ok(Some(kept)) = kept {
                let _ = fs::remove_file(kept);
            }
            if journal_mode == WAL {
                // A failure is harmless: an application that wants WAL mode sets it.
                let _ = set_journal_mode(&exclusive, WAL, database);
            }
            Err(fault)
        }
    }
}

/// The text between the name of the database and the time in the names of the replaced files.
pub(crate) const KEPT: &str = ".before-restore-";

/// Gives the file of a database a second name, the first free one that begins with this suffix. Returns `None` if the
/// database has no objects.
fn keep_old_file(exclusive: &Connection, database: &Path, suffix: &str) -> Result<Option<PathBuf>, DatabaseError> {
    let objects: Result<i64, _> = exclusive.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0));
    if objects.map_err(|error| error::from_rusqlite(&error, database))? == 0 {
        return Ok(None);
    }
    let mut kept_path = with_suffix(database, suffix);
    for number in 2.. {
        match fs::hard_link(database, &kept_path) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                kept_path = with_suffix(database, &format!("{suffix}-{number}"));
            }
            Err(error) if is_without_links(&error) => {
                let message = format!(
                    "{}: the file that is to be replaced cannot be kept, because no hard link can be made there: {error}",
                    kept_path.display()
                );
                return Err(DatabaseError::new(DatabaseErrorKind::Setting, message));
            }
            Err(error) => return Err(error::file(&kept_path, &error)),
        }
    }
    Ok(Some(kept_path))
}

/// Reports whether a file system has no hard links (link(2): EPERM, EOPNOTSUPP), or no more for this file.
fn is_without_links(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | TooManyLinks | Unsupported)
}

/// Removes the second names that a killed run has given to the database although no file was replaced: a program that
/// opened the database by such a name would not see the locks and the log of the others. Call it under the lock.
pub(crate) fn remove_stale_links(database: &Path) {
    let Ok(metadata) = fs::metadata(database) else { return };
    let name = database.file_name().unwrap_or_default().as_encoded_bytes();
    let directory = parent_directory(database);
    if metadata.nlink() < 2 {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let entry_name = entry.file_name();
        let suffix = entry_name.as_encoded_bytes().strip_prefix(name);
        let is_kept = suffix.is_some_and(|suffix| suffix.starts_with(KEPT.as_bytes()));
        let is_same = fs::symlink_metadata(entry.path())
            .is_ok_and(|file| (file.dev(), file.ino()) == (metadata.dev(), metadata.ino()));
        if is_kept && is_same && fs::remove_file(entry.path()).is_ok() {
            tracing::info!("removed a second name that a stopped run has left: {}", entry.path().display());
        }
    }
}

const WAL: &str = "wal";

/// Opens a database alone and carries its write-ahead log into the file. Returns the connection, and the journal mode
/// that the database had.
fn open_exclusively(
    database: &Path,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<(Connection, String), DatabaseError> {
    let started = Instant::now();
    let mut is_reported = false;
    loop {
        if stop.load(Ordering::SeqCst) {
            return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "stopped before the file was replaced"));
        }
        match try_open_exclusively(database) {
            Err(fault) if fault.kind == DatabaseErrorKind::Busy && started.elapsed() < timeout => {
                if !is_reported {
                    tracing::info!("waiting for other connections to the database file to close: {fault}");
                }
                is_reported = true;
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(fault) if fault.kind == DatabaseErrorKind::Busy => {
                let message = format!("{}: another connection has it open", database.display());
                return Err(DatabaseError { message, ..fault });
            }
            result => return result,
        }
    }
}

fn try_open_exclusively(database: &Path) -> Result<(Connection, String), DatabaseError> {
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::ZERO).map_err(|error| error::from_rusqlite(&error, database))?;
    // The mode is set before the first access to the file: with a log SQLite opens it alone or not at all (SQLite
    // manual, "WAL", 8), and keeps the lock from the first transaction to the end of the connection.
    let sql = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;";
    connection.execute_batch(sql).map_err(|error| error::from_rusqlite(&error, database))?;
    let journal_mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|error| error::from_rusqlite(&error, database))?;
    if journal_mode == WAL && set_journal_mode(&connection, "delete", database)? == WAL {
        return Err(DatabaseError::new(DatabaseErrorKind::Busy, "its log is in use"));
    }
    Ok((connection, journal_mode))
}

fn set_journal_mode(connection: &Connection, mode: &str, database: &Path) -> Result<String, DatabaseError> {
    let sql = format!("PRAGMA journal_mode = {mode}");
    connection.query_row(&sql, [], |row| row.get(0)).map_err(|error| error::from_rusqlite(&error, database))
}

fn parent_directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> Result<(), DatabaseError> {
    safe_file::sync_parent(path).map_err(|error| error::file(path.parent().unwrap_or(path), &error))
}
