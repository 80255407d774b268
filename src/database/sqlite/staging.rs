//! A temporary database for the rows of an export, which can be planned, copied and compared like the file of an
//! application.
//!
//! It has no name: SQLite removes the file as soon as it is open, so that nothing is left however the process ends. It
//! lies in SQLITE_TMPDIR, TMPDIR, /var/tmp, /usr/tmp or /tmp, the first of them that is writable (SQLite manual,
//! "Temporary Files", 5), and SQLite writes only what the page cache does not hold.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params_from_iter};

use super::error;
use super::source::{SqliteSource, is_internal};
use crate::database::DatabaseError;
use crate::sql::identifier;
use crate::transfer::json_export::{ReadError, Reader};
use crate::transfer::source::{RowKey, SourceContents};
use crate::transfer::value::Value;

/// The rows of an export in a temporary database.
pub(crate) struct StagedRows {
    /// Temporary database.
    pub(crate) source: SqliteSource,
    /// Tables without rows, whose columns are therefore unknown.
    pub(crate) empty: Vec<String>,
    /// Internal tables of SQLite, which were skipped.
    pub(crate) internal: Vec<String>,
    /// High-water marks of AUTOINCREMENT in the export, by table.
    sequences: BTreeMap<String, i64>,
}

/// The reason why an export was not read.
#[derive(Debug)]
pub(crate) enum StagingError {
    /// The file is not a valid export, or reading it failed.
    Unread(ReadError),
    /// The temporary database failed.
    Fault(DatabaseError),
    /// The run is to end.
    Stopped,
}

impl From<ReadError> for StagingError {
    fn from(error: ReadError) -> StagingError {
        StagingError::Unread(error)
    }
}

fn database_error(error: &rusqlite::Error) -> StagingError {
    StagingError::Fault(error::from_rusqlite(error, "the temporary database".as_ref()))
}

/// Reads a whole export, with one row in memory at a time. The columns have no declared type, so that values stay
/// unchanged.
///
/// # Errors
/// The file is not an export, the disk of the file or of the temporary database failed, or `stop` is set.
pub(crate) fn stage(input: impl Read, stop: &AtomicBool) -> Result<StagedRows, StagingError> {
    let connection = Connection::open("").map_err(|error| database_error(&error))?;
    let settings = "PRAGMA main.journal_mode = OFF; PRAGMA main.synchronous = OFF; PRAGMA main.cache_size = -8192; \
         PRAGMA foreign_keys = OFF; BEGIN";
    connection.execute_batch(settings).map_err(|error| database_error(&error))?;
    let mut reader = Reader::new(input);
    let (mut empty, mut internal, mut sequences) = (Vec::new(), Vec::new(), BTreeMap::new());
    while let Some(table) = reader.table()?.map(str::to_owned) {
        if is_internal(&table) {
            while reader.next_row()? {
                sequences.extend(if table == "sqlite_sequence" { read_sequence(&reader) } else { None });
            }
            internal.push(table);
        } else if reader.next_row()? {
            create(&connection, &table, reader.columns()).map_err(|error| database_error(&error))?;
            fill(&connection, &table, &mut reader, stop)?;
        } else {
            empty.push(table);
        }
    }
    connection.execute_batch("COMMIT").map_err(|error| database_error(&error))?;
    Ok(StagedRows { source: SqliteSource::from_temporary(connection), empty, internal, sequences })
}

fn create(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<()> {
    let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
    connection.execute_batch(&format!("CREATE TABLE main.{} ({})", identifier(table), columns.join(", ")))
}

/// Inserts the row that was just read, and all following rows of its table.
fn fill<R: Read>(
    connection: &Connection,
    table: &str,
    reader: &mut Reader<R>,
    stop: &AtomicBool,
) -> Result<(), StagingError> {
    let placeholders = vec!["?"; reader.columns().len()].join(", ");
    let sql = format!("INSERT INTO main.{} VALUES ({placeholders})", identifier(table));
    let mut statement = connection.prepare(&sql).map_err(|error| database_error(&error))?;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(StagingError::Stopped);
        }
        statement.execute(params_from_iter(reader.values())).map_err(|error| database_error(&error))?;
        if !reader.next_row()? {
            return Ok(());
        }
    }
}

/// Returns the table and the mark of a row of `sqlite_sequence`; `None` if they have other types.
fn read_sequence<R: Read>(reader: &Reader<R>) -> Option<(String, i64)> {
    let of = |name: &str| reader.columns().iter().position(|column| column == name);
    let values: Vec<Value<'_>> = reader.values().collect();
    match (values[of("name")?], values[of("seq")?]) {
        (Value::Text(name), Value::Integer(seq)) => String::from_utf8(name.to_vec()).ok().map(|name| (name, seq)),
        _ => None,
    }
}

impl StagedRows {
    /// Creates a table that has no rows in the export, with these columns.
    ///
    /// # Errors
    /// The temporary database failed.
    pub(crate) fn add(&self, table: &str, columns: &[String]) -> Result<(), DatabaseError> {
        let made = create(self.source.connection(), table, columns);
        made.map_err(|error| error::from_rusqlite(&error, "the temporary database".as_ref()))
    }

    /// Lists the tables of the export. Messages name a row by its number in the file.
    ///
    /// # Errors
    /// Fails as [`SqliteSource::tables`] does: the temporary database failed.
    pub(crate) fn contents(&self) -> Result<SourceContents, DatabaseError> {
        let mut contents = self.source.tables()?;
        for table in &mut contents.tables {
            table.key = RowKey::Unnamed;
            table.sequence = self.sequences.get(&table.name).copied();
        }
        Ok(contents)
    }
}
