//! Further connections that read a file at the same time, in the same state as the first one.
//!
//! A further connection is opened before the first one begins its transaction, and begins its own one after that. SQLite
//! counts for each connection how often others have changed the file (`PRAGMA data_version`). If that number is the same
//! before and after, nobody has committed anything meanwhile, so that both transactions read the same state. A file that
//! was changed is read by the first connection alone.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusqlite::Connection;

use super::open::{self, SidecarFiles};
use super::{SnapshotKind, SqliteSource};
use crate::database::DatabaseError;
use crate::database::sqlite::{error, resolved};
use crate::sql::identifier;
use crate::transfer::source::{RowKey, SourceTable};

/// A connection that has not begun its transaction yet.
struct IdleReader {
    connection: Connection,
    data_version: i64,
}

impl IdleReader {
    /// Opens a connection; `None` if the file cannot be read by it now.
    fn open(path: &Path) -> Option<IdleReader> {
        let connection = open::connect_shared(path)?;
        let data_version = data_version(&connection)?;
        Some(IdleReader { connection, data_version })
    }

    /// Begins the transaction; `None` if the file is locked or was changed.
    fn begin(self) -> Option<Connection> {
        // A writer that waits for the end of all readers would not let this one begin.
        self.connection.busy_timeout(Duration::ZERO).ok()?;
        self.connection.execute_batch("BEGIN").ok()?;
        (data_version(&self.connection)? == self.data_version).then_some(self.connection)
    }
}

fn data_version(connection: &Connection) -> Option<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0)).ok()
}

impl SqliteSource {
    /// Opens a file as [`SqliteSource::open`] does, and up to `count - 1` further connections that read the same state of
    /// it: fewer where that cannot be proved. The first element is the one that `open` returns.
    ///
    /// # Errors
    /// Fails as [`SqliteSource::open`] does.
    pub(crate) fn open_readers(
        path: &Path,
        count: usize,
        timeout: Duration,
        stop: &AtomicBool,
    ) -> Result<Vec<SqliteSource>, DatabaseError> {
        let path = std::path::absolute(resolved(path)).map_err(|error| error::file(path, &error))?;
        open::check_file(&path)?;
        let (sidecars, file) = (SidecarFiles::find(&path), open::file_identity(&path));
        let idle: Vec<IdleReader> = (1..count).map_while(|_| IdleReader::open(&path)).collect();
        let mut first = match SqliteSource::open(&path, timeout, stop) {
            Ok(first) => first,
            Err(fault) => {
                drop(idle);
                open::remove_new_sidecars(&path, sidecars);
                return Err(fault);
            }
        };
        first.initial_sidecars = sidecars;
        let wanted = idle.len();
        let begun: Vec<Connection> = match first.snapshot {
            SnapshotKind::Log | SnapshotKind::Lock => idle.into_iter().map_while(IdleReader::begin).collect(),
            SnapshotKind::Unprotected => Vec::new(),
        };
        // Another file may have got the name meanwhile.
        let begun = if file.is_some() && open::file_identity(&path) == file { begun } else { Vec::new() };
        if begun.len() < wanted {
            tracing::info!(
                "{}: it is being written or locked, so fewer connections read it at the same time",
                path.display()
            );
        }
        let mut sources: Vec<SqliteSource> = begun.into_iter().map(|connection| first.reader(connection)).collect();
        sources.insert(0, first);
        Ok(sources)
    }

    /// Returns a source that reads the same file through another connection, which is in a transaction.
    fn reader(&self, connection: Connection) -> SqliteSource {
        SqliteSource {
            connection: Some(connection),
            path: self.path.clone(),
            snapshot: self.snapshot,
            initial_sidecars: self.initial_sidecars,
            fingerprints: self.fingerprints,
            bytes: self.bytes,
            run_lock: None,
        }
    }

    /// Returns the lowest and the highest rowid of a table; `None` for a table without rows or without a rowid.
    ///
    /// # Errors
    /// The file is damaged, or the disk failed.
    pub(crate) fn rowid_bounds(&self, table: &SourceTable) -> Result<Option<(i64, i64)>, DatabaseError> {
        let RowKey::Rowid { name, .. } = table.key else { return Ok(None) };
        let table_name = identifier(&table.name);
        let sql =
            format!("SELECT (SELECT min({name}) FROM main.{table_name}), (SELECT max({name}) FROM main.{table_name})");
        let bounds = self.all(&sql, [], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        Ok(bounds.first().and_then(|&(first, last)| first.zip(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_begins_only_in_the_state_that_it_was_opened_in() {
        let directory = tempfile::tempdir().expect("a directory");
        for mode in ["wal", "delete"] {
            let path = directory.path().join(mode);
            let writer = Connection::open(&path).expect("a file");
            writer.execute_batch(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (a)")).expect("a table");
            let open = || IdleReader::open(&path).expect("a reader");
            let (unchanged, changed) = (open().begin(), open());
            assert!(unchanged.is_some());
            drop(unchanged);
            writer.execute_batch("INSERT INTO t VALUES (1)").expect("a row");
            assert!(changed.begin().is_none(), "{mode}");
            // A writer that has not committed changes nothing.
            let idle = open();
            writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)").expect("a row");
            assert!(idle.begin().is_some(), "{mode}");
            writer.execute_batch("ROLLBACK").expect("a rollback");
        }
    }
}
