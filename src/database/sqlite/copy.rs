//! Copies a database with the online backup API: the copy has every committed row, whoever writes meanwhile, and needs
//! no WAL beside it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::check_file_types;
use super::error::{self, is_reading};
use crate::database::row_counts::RowCounts;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;

/// The number of pages copied between two checks for a cancellation.
const PAGES_PER_STEP: std::ffi::c_int = 1024;
/// The time that the copy waits for a locked source.
const WRITER_TIMEOUT: Duration = Duration::from_secs(60);

/// The reason why a copy failed, by the file that caused it.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The original could not be read, or the copy was cancelled.
    Source(DatabaseError),
    /// The copy could not be written.
    Copy(DatabaseError),
}

/// Copies `source` into the file `copy`, which must be empty or absent.
///
/// # Errors
/// SQLite cannot read or write one of the files, or `cancelled` is set ([`DatabaseErrorKind::Cancelled`]).
pub(crate) fn copy(source: &Path, copy: &Path, cancelled: &AtomicBool) -> Result<(), CopyError> {
    let source_error = |error| CopyError::Source(error::from_rusqlite(&error, source));
    let copy_error = |error| CopyError::Copy(error::from_rusqlite(&error, copy));
    let source_connection = open(source, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(CopyError::Source)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut copy_connection = open_without_link(copy, flags).map_err(CopyError::Copy)?;
    // One read transaction over the whole copy keeps a writer in WAL mode from restarting the copy again and again.
    source_connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;").map_err(source_error)?;
    let backup = Backup::new(&source_connection, &mut copy_connection).map_err(copy_error)?;
    let deadline = Instant::now() + WRITER_TIMEOUT;
    loop {
        if cancelled.load(Ordering::SeqCst) {
            return Err(CopyError::Source(DatabaseError::new(
                DatabaseErrorKind::Cancelled,
                "the copy was interrupted",
            )));
        }
        let step = backup.step(PAGES_PER_STEP).map_err(|error| match extended(&error).is_some_and(is_reading) {
            true => source_error(error),
            false => copy_error(error),
        })?;
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ if Instant::now() >= deadline => {
                let message = format!("{}: another connection is writing", source.display());
                return Err(CopyError::Source(DatabaseError::new(DatabaseErrorKind::Busy, message)));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Reads the whole file with SQLite's integrity check.
///
/// # Errors
/// The check found damage, or SQLite failed.
pub(crate) fn check(file: &Path) -> Result<(), DatabaseError> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let result: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| error::from_rusqlite(&error, file))?;
    match result.as_str() {
        "ok" => Ok(()),
        found => {
            let found = found.replace('\n', " ");
            Err(DatabaseError::new(DatabaseErrorKind::Corrupt, format!("{}: {found}", file.display())))
        }
    }
}

/// Counts the rows of every table. The tables in which a virtual table keeps its data are counted; the virtual table
/// itself is not, because its module may not be built in.
///
/// # Errors
/// SQLite fails, or `cancelled` is set ([`DatabaseErrorKind::Cancelled`]).
pub(crate) fn count(file: &Path, cancelled: &AtomicBool) -> Result<RowCounts, DatabaseError> {
    const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    let to_error = |error| error::from_rusqlite(&error, file);
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare(TABLES).map_err(to_error)?;
    let tables = statement.query_map([], |row| row.get(0)).map_err(to_error)?;
    let mut rows = RowCounts::new();
    for table in tables {
        if cancelled.load(Ordering::SeqCst) {
            return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "the counting was interrupted"));
        }
        let table: String = table.map_err(to_error)?;
        let sql = format!("SELECT count(*) FROM {}", identifier(&table));
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(to_error)?;
        rows.insert(table, u64::try_from(count).unwrap_or(0));
    }
    Ok(rows)
}

/// Returns the version of the SQLite library that is built in.
pub(crate) fn library_version() -> &'static str {
    rusqlite::version()
}

pub(super) fn open(path: &Path, flags: OpenFlags) -> Result<Connection, DatabaseError> {
    check_file_types(path)?;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| error::from_rusqlite(&error, path))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(|error| error::from_rusqlite(&error, path))?;
    connection.execute_batch("PRAGMA temp_store = MEMORY").map_err(|error| error::from_rusqlite(&error, path))?;
    Ok(connection)
}

/// Opens a file that this run has created. A symbolic link in its place is refused and not written through.
fn open_without_link(path: &Path, flags: OpenFlags) -> Result<Connection, DatabaseError> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // SQLite would also refuse links among the directories.
    let directory = directory.canonicalize().map_err(|error| error::file(directory, &error))?;
    open(&directory.join(path.file_name().unwrap_or_default()), flags | OpenFlags::SQLITE_OPEN_NOFOLLOW)
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error::code_and_message(error).map(|(code, _)| code)
}
