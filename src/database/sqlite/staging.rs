//! A database of our own for the rows of an export: what is read from it can be planned, copied and compared like a
//! file of an application.
//!
//! It has no name: SQLite removes the file as soon as it is open, so that nothing is left however we end. It lies in
//! SQLITE_TMPDIR, TMPDIR, /var/tmp, /usr/tmp or /tmp, the first of them that can be written (SQLite manual, "Temporary
//! Files", 5), and only what the page cache does not hold is written there.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params_from_iter};

use super::copy;
use super::source::{RowKey, SourceContents, SqliteSource, is_internal};
use crate::database::DatabaseError;
use crate::revision::render::identifier;
use crate::transfer::json_export::{ReadError, Reader};
use crate::transfer::value::Value;

/// The rows of an export.
pub struct StagedRows {
    pub source: SqliteSource,
    /// Tables without rows: nobody has said what columns they have.
    pub empty: Vec<String>,
    /// Tables of SQLite's own, which were passed over.
    pub internal: Vec<String>,
    /// The high-water marks of AUTOINCREMENT that the file has.
    marks: BTreeMap<String, i64>,
}

/// Why there are none.
#[derive(Debug)]
pub enum StagingError {
    Unread(ReadError),
    /// The temporary database's.
    Fault(DatabaseError),
    Stopped,
}

impl From<ReadError> for StagingError {
    fn from(unread: ReadError) -> StagingError {
        StagingError::Unread(unread)
    }
}

fn fault(error: &rusqlite::Error) -> StagingError {
    StagingError::Fault(copy::from_rusqlite(error, "the temporary database".as_ref()))
}

/// Reads the whole file, one row in memory at a time. Columns have no declared type: values stay as they are.
///
/// # Errors
/// The file is no export, the disk of one of the two, `stop`.
pub fn stage(from: impl Read, stop: &AtomicBool) -> Result<StagedRows, StagingError> {
    let connection = Connection::open("").map_err(|error| fault(&error))?;
    let settings = "PRAGMA main.journal_mode = OFF; PRAGMA main.synchronous = OFF; PRAGMA main.cache_size = -8192; \
         PRAGMA foreign_keys = OFF; BEGIN";
    connection.execute_batch(settings).map_err(|error| fault(&error))?;
    let mut reader = Reader::new(from);
    let (mut empty, mut internal, mut marks) = (Vec::new(), Vec::new(), BTreeMap::new());
    while let Some(table) = reader.table()?.map(str::to_owned) {
        if is_internal(&table) {
            while reader.next_row()? {
                marks.extend(if table == "sqlite_sequence" { mark(&reader) } else { None });
            }
            internal.push(table);
        } else if reader.next_row()? {
            create(&connection, &table, reader.columns()).map_err(|error| fault(&error))?;
            fill(&connection, &table, &mut reader, stop)?;
        } else {
            empty.push(table);
        }
    }
    connection.execute_batch("COMMIT").map_err(|error| fault(&error))?;
    Ok(StagedRows { source: SqliteSource::unnamed(connection), empty, internal, marks })
}

fn create(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<()> {
    let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
    connection.execute_batch(&format!("CREATE TABLE main.{} ({})", identifier(table), columns.join(", ")))
}

/// The row that was read, and all others of its table.
fn fill<R: Read>(
    connection: &Connection,
    table: &str,
    reader: &mut Reader<R>,
    stop: &AtomicBool,
) -> Result<(), StagingError> {
    let places = vec!["?"; reader.columns().len()].join(", ");
    let sql = format!("INSERT INTO main.{} VALUES ({places})", identifier(table));
    let mut statement = connection.prepare(&sql).map_err(|error| fault(&error))?;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(StagingError::Stopped);
        }
        statement.execute(params_from_iter(reader.values())).map_err(|error| fault(&error))?;
        if !reader.next_row()? {
            return Ok(());
        }
    }
}

/// A row of `sqlite_sequence`.
fn mark<R: Read>(reader: &Reader<R>) -> Option<(String, i64)> {
    let of = |name: &str| reader.columns().iter().position(|column| column == name);
    let values: Vec<Value<'_>> = reader.values().collect();
    match (values[of("name")?], values[of("seq")?]) {
        (Value::Text(name), Value::Integer(seq)) => String::from_utf8(name.to_vec()).ok().map(|name| (name, seq)),
        _ => None,
    }
}

impl StagedRows {
    /// Makes the tables that have no rows, with these columns.
    ///
    /// # Errors
    /// The temporary database's.
    pub fn add(&self, table: &str, columns: &[String]) -> Result<(), DatabaseError> {
        let made = create(self.source.connection(), table, columns);
        made.map_err(|error| copy::from_rusqlite(&error, "the temporary database".as_ref()))
    }

    /// What there is. Rows are named by their number in the file.
    ///
    /// # Errors
    /// As [`SqliteSource::tables`].
    pub fn contents(&self) -> Result<SourceContents, DatabaseError> {
        let mut contents = self.source.tables()?;
        for table in &mut contents.tables {
            table.key = RowKey::Unnamed;
            table.sequence = self.marks.get(&table.name).copied();
        }
        Ok(contents)
    }
}
