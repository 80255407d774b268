//! Opens a database without writing: no byte of the database or of its log changes, and no new file remains.
//!
//! A database with a log is read through a shared index beside it (`-shm`), which SQLite creates when it is missing.
//! Where SQLite cannot do that (a mount that is read-only), there are two ways without it, both without locks (SQLite
//! manual, "WAL", 5 and 8): a log is read with an index in memory, as in exclusive locking mode; and without a log the
//! file holds everything, which `immutable` asserts.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::SnapshotKind;
use crate::database::sqlite::busy::retry_while_busy;
use crate::database::sqlite::{BUSY_TIMEOUT, check_file_types, error};
use crate::database::{DatabaseError, DatabaseErrorKind, with_suffix};

/// A connection in a read transaction.
pub(super) struct OpenedSource {
    pub(crate) connection: Connection,
    pub(crate) snapshot: SnapshotKind,
}

/// The files that exist beside a database file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SidecarFiles {
    log: bool,
    index: bool,
}

impl SidecarFiles {
    pub(crate) fn find(path: &Path) -> SidecarFiles {
        let exists = |suffix| with_suffix(path, suffix).exists();
        SidecarFiles { log: exists("-wal"), index: exists("-shm") }
    }
}

/// The device, inode, size in bytes, and the times of modification and change in seconds and nanoseconds; `None`
/// without a file.
pub(super) type FileFingerprint = Option<[i64; 7]>;

/// Returns the fingerprints of the database and of its log, which change when a file is written or replaced.
pub(super) fn fingerprints(path: &Path) -> [FileFingerprint; 2] {
    [path, &with_suffix(path, "-wal")].map(|path| {
        let it = std::fs::metadata(path).ok()?;
        let (mtime, ctime) = ((it.mtime(), it.mtime_nsec()), (it.ctime(), it.ctime_nsec()));
        Some([it.dev() as i64, it.ino() as i64, it.size() as i64, mtime.0, mtime.1, ctime.0, ctime.1])
    })
}

/// Returns the device and the inode of a file; `None` without a file.
pub(super) fn file_identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Checks everything that the file system alone shows: the file exists, is regular, not empty and readable.
pub(super) fn check_file(path: &Path) -> Result<(), DatabaseError> {
    let fail = |kind, what: &str| Err(DatabaseError::new(kind, format!("{}: {what}", path.display())));
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return fail(DatabaseErrorKind::NoDatabase, "there is no such file");
        }
        other => other.map_err(|error| error::file(path, &error))?,
    };
    if metadata.is_dir() {
        return fail(DatabaseErrorKind::Setting, "this is a directory, not a database file");
    }
    if !metadata.is_file() {
        return fail(DatabaseErrorKind::Setting, "this is not a regular file");
    }
    if metadata.len() == 0 {
        return fail(DatabaseErrorKind::Corrupt, "the file is empty");
    }
    check_file_types(path)?;
    // Opening it is no option: closing a file drops the locks that this process has on it (fcntl(2)).
    rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(|error| error::file(path, &error.into()))
}

/// Opens the file and begins to read.
pub(super) fn open(
    path: &Path,
    initial_sidecars: SidecarFiles,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<OpenedSource, DatabaseError> {
    let shared = connect(path, None).and_then(|connection| begin(connection, path, timeout, stop));
    let connection = match shared {
        Err(OpenError { code: Some(code), .. }) if error::is_about_companions(code) => {
            let uri_parameter = if initial_sidecars.log { "vfs=unix-none" } else { "immutable=1" };
            let connection = connect(path, Some(uri_parameter))
                .and_then(|connection| begin(connection, path, timeout, stop))
                .map_err(|error| error.fault)?;
            return Ok(OpenedSource { connection, snapshot: SnapshotKind::Unprotected });
        }
        other => other.map_err(|error| error.fault)?,
    };
    let mode: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(|error| read_error(&error, path))?;
    let snapshot = match mode.as_str() {
        // SQLite does not use an index that is not writable unless somebody else holds a lock on it (wal.c,
        // walBeginShmUnreliable): a writer that comes later does not see this reader.
        "wal" if !is_writable(&with_suffix(path, "-shm")) => SnapshotKind::Unprotected,
        "wal" => SnapshotKind::Log,
        _ => SnapshotKind::Lock,
    };
    Ok(OpenedSource { connection, snapshot })
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Opens a connection that locks the file as every other one does; `None` if that fails.
pub(super) fn connect_shared(path: &Path) -> Option<Connection> {
    connect(path, None).ok()
}

struct OpenError {
    code: Option<i32>,
    fault: DatabaseError,
}

impl AsRef<DatabaseError> for OpenError {
    fn as_ref(&self) -> &DatabaseError {
        &self.fault
    }
}

impl From<DatabaseError> for OpenError {
    fn from(fault: DatabaseError) -> OpenError {
        OpenError { code: None, fault }
    }
}

impl OpenError {
    fn from_rusqlite(error: &rusqlite::Error, path: &Path) -> OpenError {
        OpenError { code: error::code_and_message(error).map(|(code, _)| code), fault: read_error(error, path) }
    }
}

fn connect(path: &Path, uri_parameter: Option<&str>) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match uri_parameter {
        None => Connection::open_with_flags(path, flags),
        Some(uri_parameter) => {
            Connection::open_with_flags(uri(path, uri_parameter), flags | OpenFlags::SQLITE_OPEN_URI)
        }
    };
    let set = |connection: &Connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // An application's own collation is unknown here, and without it SQLite cannot even read its tables. They are
        // read in their stored order, and no query searches by such a column.
        connection.collation_needed(|connection, name| connection.create_collation(name, |a, b| a.cmp(b)))?;
        // Closing must not carry the log into the database, and the schema must not call functions with side effects.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.execute_batch("PRAGMA query_only = 1; PRAGMA cell_size_check = 1; PRAGMA temp_store = MEMORY;")?;
        match uri_parameter {
            // The mode is set before the log is opened, so that its index is in memory.
            Some(_) => connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE"),
            None => Ok(()),
        }
    };
    let connection = connection.map_err(|error| OpenError::from_rusqlite(&error, path))?;
    set(&connection).map_err(|error| OpenError::from_rusqlite(&error, path))?;
    Ok(connection)
}

fn uri(path: &Path, parameter: &str) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(byte)),
            other => write!(uri, "%{other:02X}").expect("a String takes everything"),
        }
    }
    uri + "?" + parameter
}

/// Begins the read transaction, as soon as a writer allows it.
fn begin(connection: Connection, path: &Path, timeout: Duration, stop: &AtomicBool) -> Result<Connection, OpenError> {
    let to_error = |error| OpenError::from_rusqlite(&error, path);
    connection.execute_batch("BEGIN").map_err(to_error)?;
    retry_while_busy(timeout, stop, || {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(to_error)
    })?;
    Ok(connection)
}

/// Removes the files that opening has made, if nobody else has the database open. A failure leaves them, which is
/// harmless.
///
/// The lock is SQLite's own: every connection to a database with a log holds a shared lock on it, so an exclusive lock
/// proves that there is no other one. A connection in exclusive mode from its beginning makes no index file.
pub(super) fn remove_new_sidecars(path: &Path, initial_sidecars: SidecarFiles) {
    let index = with_suffix(path, "-shm");
    // Without an index file nothing was made, and opening the file for writing could undo a transaction.
    if initial_sidecars.index || !index.exists() {
        return;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let exclusive = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
        Ok(connection)
    });
    let Ok(_exclusive) = exclusive else { return };
    let log = with_suffix(path, "-wal");
    // A log that is not empty comes from another writer since.
    let is_new_empty_log = !initial_sidecars.log && std::fs::metadata(&log).is_ok_and(|metadata| metadata.len() == 0);
    // After a failure the next connection removes the file.
    let _ = std::fs::remove_file(index);
    if is_new_empty_log {
        let _ = std::fs::remove_file(log);
    }
}

/// Converts an error of a connection that only reads.
pub(super) fn read_error(error: &rusqlite::Error, path: &Path) -> DatabaseError {
    match error::code_and_message(error) {
        Some((code, message)) => error::from_read_error(code, &message, path),
        None => DatabaseError::new(DatabaseErrorKind::Io, format!("{}: {error}", path.display())),
    }
}
