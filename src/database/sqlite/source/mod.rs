//! A database file as the source of a transfer, which is read and never written.
//!
//! Everything is read in one transaction, so that all tables are of one moment. [`SnapshotKind`] names the mechanism
//! that ensures this.

mod definition;
mod estimate;
mod identity;
mod open;
mod readers;
mod run_guard;
mod scan;
mod schema;
mod tool_tables;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, Params};

use super::resolved;
use crate::database::{DatabaseError, DatabaseErrorKind};
use open::{FileFingerprint, OpenedSource, SidecarFiles};
pub(crate) use run_guard::wait_for_runs;
pub(crate) use scan::RowRange;
pub use scan::SourceRow;
pub(super) use schema::is_internal;
pub(crate) use tool_tables::owning_tool;

/// The mechanism that keeps the rows unchanged while they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// A write-ahead log: writers go on, and the log grows until the reading ends.
    Log,
    /// A shared lock: a writer waits for the end of the reading, or gives up.
    Lock,
    /// No protection: the files beside the database, in which SQLite would lock, are not writable.
    /// [`SqliteSource::confirm`] reports whether somebody wrote.
    Unprotected,
}

/// An open database file, in a read transaction.
///
/// In rollback-journal mode ([`SnapshotKind::Lock`]) its shared lock keeps every writer from committing until this
/// value is dropped.
pub struct SqliteSource {
    /// `None` only while this value is dropped.
    connection: Option<Connection>,
    path: PathBuf,
    snapshot: SnapshotKind,
    initial_sidecars: SidecarFiles,
    fingerprints: [FileFingerprint; 2],
    bytes: u64,
    /// Shared lock that keeps runs of Lockkeeper away.
    run_lock: Option<File>,
}

impl SqliteSource {
    /// Opens a file and begins to read; waits for another writer for up to `timeout`.
    ///
    /// # Errors
    /// The file is missing, a directory, not readable, empty, not a database, encrypted or damaged; it is locked for
    /// longer; `stop` is set; or a process died in a transaction that must first be undone, which would be a write.
    pub fn open(path: &Path, timeout: Duration, stop: &AtomicBool) -> Result<SqliteSource, DatabaseError> {
        // SQLite gives names such as `:memory:` and `file:x` a meaning of their own, but no absolute path.
        let path = std::path::absolute(resolved(path)).map_err(|error| super::error::file(path, &error))?;
        open::check_file(&path)?;
        let initial_sidecars = SidecarFiles::find(&path);
        let fingerprints = open::fingerprints(&path);
        let opened = open::open(&path, initial_sidecars, timeout, stop)
            .inspect_err(|_| open::remove_new_sidecars(&path, initial_sidecars))?;
        let OpenedSource { connection, snapshot } = opened;
        let mut source = SqliteSource {
            connection: Some(connection),
            path,
            snapshot,
            initial_sidecars,
            fingerprints,
            bytes: 0,
            run_lock: None,
        };
        source.bytes = source.used_bytes()?;
        Ok(source)
    }

    /// Creates a source from a temporary database that only this connection can reach.
    pub(super) fn from_temporary(connection: Connection) -> SqliteSource {
        let initial_sidecars = SidecarFiles::default();
        SqliteSource {
            connection: Some(connection),
            path: "the temporary database".into(),
            snapshot: SnapshotKind::Lock,
            initial_sidecars,
            fingerprints: [None; 2],
            bytes: u64::MAX,
            run_lock: None,
        }
    }

    /// Keeps the lock that `run_guard` has taken until the reading ends.
    pub(crate) fn holding_run_lock(mut self, run_lock: Option<File>) -> SqliteSource {
        self.run_lock = run_lock;
        self
    }

    /// Returns the mechanism that keeps the rows unchanged.
    pub fn snapshot(&self) -> SnapshotKind {
        self.snapshot
    }

    /// Returns the size of all tables and indexes in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn used_bytes(&self) -> Result<u64, DatabaseError> {
        const USED_BYTES: &str = "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let bytes: i64 =
            self.connection().query_row(USED_BYTES, [], |row| row.get(0)).map_err(|error| self.error_in(&error))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Checks, after the last row was read, that all rows were of one moment. Under a lock or with a log they always
    /// are.
    ///
    /// # Errors
    /// Somebody has written to the file since it was opened, and no lock could prevent that.
    pub fn confirm(&self) -> Result<(), DatabaseError> {
        if self.snapshot != SnapshotKind::Unprotected || open::fingerprints(&self.path) == self.fingerprints {
            return Ok(());
        }
        let message = format!("{}: somebody has written to it while it was read", self.path.display());
        let hint = "stop the application, or let its directory be written, so that SQLite can lock";
        Err(DatabaseError::new(DatabaseErrorKind::Busy, message).with_hint(hint))
    }

    /// Returns a handle that ends a query of another thread.
    pub(crate) fn interrupter(&self) -> InterruptHandle {
        self.connection().get_interrupt_handle()
    }

    /// Runs a query with a short result, and returns all its rows.
    fn all<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, DatabaseError> {
        let mut statement = self.connection().prepare(sql).map_err(|error| self.error_in(&error))?;
        let rows = statement.query_map(parameters, read).map_err(|error| self.error_in(&error))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|error| self.error_in(&error))
    }

    pub(in crate::database::sqlite) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("open until it is dropped")
    }

    fn error_in(&self, error: &rusqlite::Error) -> DatabaseError {
        open::read_error(error, &self.path)
    }
}

impl Drop for SqliteSource {
    fn drop(&mut self) {
        drop(self.connection.take());
        if self.snapshot == SnapshotKind::Log {
            open::remove_new_sidecars(&self.path, self.initial_sidecars);
        }
    }
}
