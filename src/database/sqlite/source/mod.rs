//! A database file as the source of a transfer: read, and never written.
//!
//! Everything is read in one transaction, so that all tables are of one moment. What keeps it is [`SnapshotKind`].

mod definition;
mod estimate;
mod identity;
mod open;
mod run_guard;
mod scan;
mod schema;
mod table;
mod tool_tables;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, Params};

use super::resolved;
use crate::database::{DatabaseError, DatabaseErrorKind};
pub use definition::{IndexOrigin, IndexPart, IndexedValue, ReferentialAction, SourceIndex, TableDefinition};
use open::{FileFingerprint, OpenedSource, SidecarFiles};
pub use run_guard::turn;
pub use scan::SourceRow;
pub(super) use schema::is_internal;
pub use table::{
    ColumnVisibility, RowKey, SkipReason, SkippedObject, SourceColumn, SourceContents, SourceForeignKey, SourceTable,
};
pub use tool_tables::owning_tool;

/// What keeps the rows as they are while they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// A write-ahead log: writers go on, and the log grows until the reading ends.
    Log,
    /// A shared lock: whoever writes waits for the end of the reading, or gives up.
    Lock,
    /// Nothing for certain: what is beside the file, where one would lock, cannot be written. [`SqliteSource::confirm`] tells
    /// whether anybody wrote.
    Unprotected,
}

/// An open database file, in a read transaction.
///
/// In rollback-journal mode ([`SnapshotKind::Lock`]) its shared lock keeps every writer from committing until it is dropped.
pub struct SqliteSource {
    /// `None` only while it is dropped.
    connection: Option<Connection>,
    path: PathBuf,
    snapshot: SnapshotKind,
    before: SidecarFiles,
    prints: [FileFingerprint; 2],
    bytes: u64,
    /// The lock of Lockkeeper's runs, shared.
    turn: Option<File>,
}

impl SqliteSource {
    /// Opens a file and begins to read; a writer is waited for as long as `patience`.
    ///
    /// # Errors
    /// Missing, a folder, not readable, empty, no database, encrypted, damaged; locked for longer; `stop`; a transaction of
    /// somebody who died must be undone first, which would be a write.
    pub fn open(path: &Path, patience: Duration, stop: &AtomicBool) -> Result<SqliteSource, DatabaseError> {
        // Absolute: SQLite gives names such as `:memory:` and `file:x` a meaning of their own.
        let path = std::path::absolute(resolved(path)).map_err(|error| super::error::file(path, &error))?;
        open::examine(&path)?;
        let before = SidecarFiles::find(&path);
        let prints = open::prints(&path);
        let opened = open::open(&path, before, patience, stop).inspect_err(|_| open::tidy(&path, before))?;
        let OpenedSource { connection, snapshot } = opened;
        let mut source =
            SqliteSource { connection: Some(connection), path, snapshot, before, prints, bytes: 0, turn: None };
        source.bytes = source.used()?;
        Ok(source)
    }

    /// A database that only this connection knows.
    pub(super) fn unnamed(connection: Connection) -> SqliteSource {
        let before = SidecarFiles::default();
        SqliteSource {
            connection: Some(connection),
            path: "the temporary database".into(),
            snapshot: SnapshotKind::Lock,
            before,
            prints: [None; 2],
            bytes: u64::MAX,
            turn: None,
        }
    }

    /// Keeps the lock that [`turn`] has taken until the reading ends.
    pub fn beside_runs(mut self, turn: Option<File>) -> SqliteSource {
        self.turn = turn;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn snapshot(&self) -> SnapshotKind {
        self.snapshot
    }

    /// Bytes of all tables and indexes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn used(&self) -> Result<u64, DatabaseError> {
        const USED: &str = "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let bytes: i64 =
            self.connection().query_row(USED, [], |row| row.get(0)).map_err(|error| self.error_in(&error))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Whether everything that was read was of one moment: to be asked when the last row is read. Under a lock or beside
    /// a log it always is.
    ///
    /// # Errors
    /// Somebody has written to the file meanwhile, and nothing could keep them from it.
    pub fn confirm(&self) -> Result<(), DatabaseError> {
        if self.snapshot != SnapshotKind::Unprotected || open::prints(&self.path) == self.prints {
            return Ok(());
        }
        let message = format!("{}: somebody has written to it while it was read", self.path.display());
        let hint = "stop the application, or let its folder be written, so that SQLite can lock";
        Err(DatabaseError::new(DatabaseErrorKind::Busy, message).with_hint(hint))
    }

    /// Ends a question that another thread waits for.
    pub fn interrupter(&self) -> InterruptHandle {
        self.connection().get_interrupt_handle()
    }

    /// Every row of a short answer.
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
            open::tidy(&self.path, self.before);
        }
    }
}
