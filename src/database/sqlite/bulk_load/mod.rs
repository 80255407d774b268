//! Loads the rows of a temporary database into the tables of a database file, in one transaction. Each row is read
//! back, because the type of a column may change a value.

mod last_row;

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params_from_iter};

use super::busy::retry_while_busy;
use super::source::{SourceRow, SqliteSource};
use super::{BUSY_TIMEOUT, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::{identifier, sqlite_literal};
use crate::transfer::digest::Digest;
use crate::transfer::import::ImportTable;
use crate::transfer::plan::TableMapping;
use crate::transfer::value::Value;
use last_row::{LastRowQuery, append, value};

/// The reason why nothing was loaded. The transaction is rolled back.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// Tables of the target that have rows already.
    Filled(Vec<String>),
    /// Rows and values that do not fit, one line each.
    Bad(Vec<String>),
    /// Rows without a parent row, one line each.
    Violated(Vec<String>),
    /// Tables whose rows differ in the end from the rows that were written, one line each.
    Differs(Vec<String>),
    /// An error of one of the two databases, or the end of the run.
    Fault(DatabaseError),
}

/// The parameters of a load.
pub(crate) struct LoadRequest<'a> {
    /// Path of the target database.
    pub(crate) target: &'a Path,
    /// Tables and columns to copy.
    pub(crate) mappings: &'a [TableMapping<ImportTable>],
    /// Time that the load waits for another writer.
    pub(crate) busy_timeout: Duration,
    /// Number of bad values after which the load ends.
    pub(crate) max_errors: usize,
    /// Flag that ends the load.
    pub(crate) stop: &'a AtomicBool,
}

/// A load that is complete, compared and not committed. Dropping this value rolls it back.
pub(crate) struct Loaded {
    source: SqliteSource,
    target: PathBuf,
    /// Number of rows of each pair.
    pub(crate) rows: Vec<u64>,
}

impl Loaded {
    /// Commits the load, as soon as nobody reads any more (without WAL).
    ///
    /// # Errors
    /// The disk failed, a reader did not end within `timeout`, or `stop` is set; nothing is loaded then.
    pub(crate) fn commit(self, timeout: Duration, stop: &AtomicBool) -> Result<(), DatabaseError> {
        execute_when_not_busy(self.source.connection(), "COMMIT", &self.target, timeout, stop)
    }
}

/// Executes a statement as soon as other connections allow it.
fn execute_when_not_busy(
    connection: &Connection,
    sql: &str,
    target: &Path,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<(), DatabaseError> {
    retry_while_busy(timeout, stop, || {
        connection.execute_batch(sql).map_err(|error| error::from_rusqlite(&error, target))
    })
}

fn refuse_if_stopped(stop: &AtomicBool) -> Result<(), DatabaseError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "interrupted while rows were imported")),
        false => Ok(()),
    }
}

/// Loads the rows and compares them; the transaction stays open.
///
/// # Errors
/// See [`LoadError`]: nothing is loaded then.
pub(crate) fn load(source: SqliteSource, request: &LoadRequest<'_>) -> Result<Loaded, LoadError> {
    let mut loading = Loading { connection: source.connection(), request, bad: Vec::new() };
    loading.open()?;
    let filled: Vec<String> = loading
        .for_each_table(|loading, at| Ok(loading.is_filled(at)?.then(|| request.mappings[at].target.name.clone())))?;
    if !filled.is_empty() {
        return Err(LoadError::Filled(filled));
    }
    let mut digests = Vec::new();
    for mapping in request.mappings {
        digests.push(loading.insert(&source, mapping)?);
    }
    if !loading.bad.is_empty() {
        return Err(LoadError::Bad(loading.bad));
    }
    let orphans: Vec<Vec<String>> = loading.for_each_table(|loading, at| loading.orphans(at).map(Some))?;
    if orphans.iter().any(|rows| !rows.is_empty()) {
        return Err(LoadError::Violated(orphans.concat()));
    }
    let differences: Vec<String> = loading.for_each_table(|loading, at| loading.compare(at, &digests[at]))?;
    if !differences.is_empty() {
        return Err(LoadError::Differs(differences));
    }
    for mapping in request.mappings {
        loading.set_sequence(mapping)?;
    }
    let rows = digests.iter().map(Digest::rows).collect();
    Ok(Loaded { source, target: request.target.to_owned(), rows })
}

struct Loading<'a> {
    connection: &'a Connection,
    request: &'a LoadRequest<'a>,
    bad: Vec<String>,
}

impl Loading<'_> {
    fn error_at(&self, error: &rusqlite::Error) -> LoadError {
        LoadError::Fault(error::from_rusqlite(error, self.request.target))
    }

    fn unless_stopped(&self) -> Result<(), LoadError> {
        refuse_if_stopped(self.request.stop).map_err(LoadError::Fault)
    }

    /// Calls `ask` with the index of every pair, and collects the answers that are not `None`.
    fn for_each_table<T>(
        &self,
        check: impl Fn(&Self, usize) -> Result<Option<T>, LoadError>,
    ) -> Result<Vec<T>, LoadError> {
        let results = (0..self.request.mappings.len()).map(|at| check(self, at)).collect::<Result<Vec<_>, _>>()?;
        Ok(results.into_iter().flatten().collect())
    }

    /// Attaches the target, and begins to write as soon as another writer allows it.
    fn open(&self) -> Result<(), LoadError> {
        let path = Value::Text(self.request.target.as_os_str().as_bytes());
        let attach = |connection: &Connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Triggers must not run: the rows are as they were after their triggers had run.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            connection.execute("ATTACH ?1 AS target", [path])
        };
        attach(self.connection).map_err(|error| self.error_at(&error))?;
        let LoadRequest { target, busy_timeout: patience, stop, .. } = self.request;
        execute_when_not_busy(self.connection, "BEGIN IMMEDIATE", target, *patience, stop).map_err(LoadError::Fault)
    }

    fn is_filled(&self, at: usize) -> Result<bool, LoadError> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", name(&self.request.mappings[at]));
        self.connection.query_row(&sql, [], |row| row.get(0)).map_err(|error| self.error_at(&error))
    }

    /// Inserts the rows of a table, and returns the digest of the rows as they were read back.
    fn insert(&mut self, source: &SqliteSource, mapping: &TableMapping<ImportTable>) -> Result<Digest, LoadError> {
        let placeholders = vec!["?"; mapping.columns.len()].join(", ");
        // ABORT overrides the table's ON CONFLICT clauses, which could skip or replace a row, or end the transaction.
        let sql = format!("INSERT OR ABORT INTO {} ({}) VALUES ({placeholders})", name(mapping), columns(mapping));
        let (connection, request) = (self.connection, self.request);
        let to_error = |error: rusqlite::Error| error::from_rusqlite(&error, request.target);
        let mut insert = connection.prepare(&sql).map_err(|error| self.error_at(&error))?;
        let mut last_row = LastRowQuery::new(connection, mapping).map_err(|error| self.error_at(&error))?;
        let (mut digest, bad) = (Digest::default(), &mut self.bad);
        let outcome = source.rows(&mapping.source, &mapping.read(), request.stop, |row: &SourceRow<'_>| {
            let values: Vec<Value<'_>> = row.values().collect();
            let describe = |what: &str| format!("{}, {}: {what}", mapping.source.name, row.identity());
            let inserted = insert.execute(params_from_iter(&values));
            let result = inserted.and_then(|_| last_row.check(row, &values, &mut digest, bad));
            match result.map_err(to_error) {
                // Only this statement is undone; the next rows are tried.
                Err(fault) if fault.kind == DatabaseErrorKind::Statement => bad.push(describe(&fault.message)),
                Err(fault) => return ControlFlow::Break(Some(fault)),
                Ok(()) => {}
            }
            if bad.len() < request.max_errors { ControlFlow::Continue(()) } else { ControlFlow::Break(None) }
        });
        match outcome.map_err(LoadError::Fault)? {
            ControlFlow::Break(Some(fault)) => Err(LoadError::Fault(fault)),
            ControlFlow::Break(None) => Err(LoadError::Bad(std::mem::take(&mut self.bad))),
            ControlFlow::Continue(_) => Ok(digest),
        }
    }

    /// Describes the rows of a table whose foreign keys reference no row.
    fn orphans(&self, at: usize) -> Result<Vec<String>, LoadError> {
        let mapping = &self.request.mappings[at];
        let sql = format!(
            "SELECT rowid, parent FROM pragma_foreign_key_check({}, 'target') LIMIT {}",
            sqlite_literal(&mapping.target.name),
            self.request.max_errors
        );
        let describe = |row: &rusqlite::Row<'_>| {
            let (rowid, parent): (Option<i64>, String) = (row.get(0)?, row.get(1)?);
            let row_description = rowid.map_or(String::new(), |rowid| format!(", rowid {rowid}"));
            Ok(format!("{}{row_description}: a foreign key leads to no row of {parent}", mapping.target.name))
        };
        let orphans = self.connection.prepare(&sql).and_then(|mut it| it.query_map([], describe)?.collect());
        orphans.map_err(|error| self.error_at(&error))
    }

    /// Compares the rows of a table with the digest of those that were read back; describes a difference.
    fn compare(&self, at: usize, expected: &Digest) -> Result<Option<String>, LoadError> {
        let mapping = &self.request.mappings[at];
        let mut statement = self.connection.prepare(&select(mapping)).map_err(|error| self.error_at(&error))?;
        let mut rows = statement.query([]).map_err(|error| self.error_at(&error))?;
        let mut found = Digest::default();
        let mut bytes = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.error_at(&error))? {
            self.unless_stopped()?;
            bytes.clear();
            for at in 0..mapping.columns.len() {
                append(value(row, at).map_err(|error| self.error_at(&error))?, &mut bytes);
            }
            found.add(&bytes);
        }
        Ok((found != *expected).then(|| {
            let rows = (expected.rows(), found.rows());
            format!(
                "{}: {} rows were written, {} are there, and not the same ones",
                mapping.source.name, rows.0, rows.1
            )
        }))
    }

    /// Raises the high-water mark of a table with AUTOINCREMENT to that of the source: AUTOINCREMENT never reuses a
    /// number, even that of a deleted row.
    fn set_sequence(&self, mapping: &TableMapping<ImportTable>) -> Result<(), LoadError> {
        const HAS_AUTOINCREMENT: &str = "SELECT EXISTS (SELECT 1 FROM target.sqlite_schema \
             WHERE type = 'table' AND name = ?1 AND sql LIKE '%AUTOINCREMENT%')";
        let Some(sequence) = mapping.source.sequence else { return Ok(()) };
        let update = || {
            if !self.connection.query_row(HAS_AUTOINCREMENT, [&mapping.target.name], |row| row.get(0))? {
                return Ok(());
            }
            let raise = "UPDATE target.sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
            if self.connection.execute(raise, (&mapping.target.name, sequence))? == 0 {
                let begin = "INSERT INTO target.sqlite_sequence (name, seq) VALUES (?1, ?2)";
                self.connection.execute(begin, (&mapping.target.name, sequence))?;
            }
            Ok(())
        };
        update().map_err(|error: rusqlite::Error| self.error_at(&error))
    }
}

fn name(mapping: &TableMapping<ImportTable>) -> String {
    format!("target.{}", identifier(&mapping.target.name))
}

fn columns(mapping: &TableMapping<ImportTable>) -> String {
    mapping.written().into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

fn select(mapping: &TableMapping<ImportTable>) -> String {
    format!("SELECT {} FROM {}", columns(mapping), name(mapping))
}
