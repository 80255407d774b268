//! Reads the rows of a table in the order of the table itself, without copying them.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{SqliteSource, identity};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;
use crate::transfer::source::{RowKey, SourceTable};
use crate::transfer::value::Value;

/// One row, which is valid until the next one is read. A value is read when it is asked for.
pub struct SourceRow<'a> {
    row: &'a rusqlite::Row<'a>,
    table: &'a SourceTable,
    query: &'a RowQuery,
    number: u64,
}

impl<'a> SourceRow<'a> {
    /// Returns the value of the requested column at the index `at`. Text has its true length, with whatever bytes it
    /// contains; text of a UTF-16 database is converted, and lone surrogates are replaced.
    pub fn value(&self, at: usize) -> Value<'a> {
        debug_assert!(at < self.query.column_count, "a column that was not asked for");
        value(self.row, at)
    }

    /// Returns the values of all requested columns, in their order.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let row = self.row;
        (0..self.query.column_count).map(move |at| value(row, at))
    }

    /// Returns the number of the row in the table's order, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the name of the row for messages: `rowid 42`, `(a, b) = (1, 'x')`, or its number (`row 3`) without a
    /// key.
    pub fn identity(&self) -> String {
        let key = self.query.key.iter().map(|&at| value(self.row, at));
        identity_of(self.table, key).unwrap_or_else(|| format!("row {}", self.number))
    }
}

/// Returns the name of a row from the values of its key; `None` if the table has no key.
fn identity_of<'a>(table: &'a SourceTable, mut key: impl Iterator<Item = Value<'a>>) -> Option<String> {
    match &table.key {
        RowKey::Rowid { .. } => match key.next() {
            Some(Value::Integer(rowid)) => Some(format!("rowid {rowid}")),
            _ => None,
        },
        RowKey::Columns(columns) => {
            let names = columns.iter().map(|&at| table.columns[at].name.as_str());
            Some(identity::describe_columns(names.zip(key)))
        }
        RowKey::Unnamed => None,
    }
}

/// Returns the name of a row of a query that selects only the key.
pub(super) fn describe_key(table: &SourceTable, row: &rusqlite::Row<'_>) -> String {
    let parts = if let RowKey::Columns(columns) = &table.key { columns.len() } else { 1 };
    let key = (0..parts).map(|at| value(row, at));
    identity_of(table, key).unwrap_or_else(|| "a row".to_owned())
}

fn value<'a>(row: &'a rusqlite::Row<'a>, at: usize) -> Value<'a> {
    match row.get_ref(at).expect("a column of the query") {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Real(number) => ValueRef::Real(number),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A range of rowids. The default has all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowRange {
    /// The first rowid; `None` for the beginning of the table.
    pub(crate) first: Option<i64>,
    /// The rowid after the last one; `None` for the end of the table.
    pub(crate) end: Option<i64>,
}

impl RowRange {
    /// Returns the WHERE clause; empty for all rows. A range with a bound is of a table with a rowid that has a name.
    fn condition(self, table: &SourceTable) -> String {
        let RowKey::Rowid { name, .. } = table.key else { return String::new() };
        let bounds =
            [self.first.map(|first| format!("{name} >= {first}")), self.end.map(|end| format!("{name} < {end}"))];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if bounds.is_empty() { String::new() } else { format!(" WHERE {}", bounds.join(" AND ")) }
    }
}

/// A query for rows, and the positions of its results.
struct RowQuery {
    sql: String,
    /// Number of requested columns, which come first in the result.
    column_count: usize,
    /// Positions of the key's columns in the result.
    key: Vec<usize>,
}

impl RowQuery {
    fn for_columns(table: &SourceTable, columns: &[usize]) -> RowQuery {
        let name = |at: usize| identifier(&table.columns[at].name);
        let mut select: Vec<String> = columns.iter().map(|&at| name(at)).collect();
        let mut key = Vec::new();
        match &table.key {
            RowKey::Rowid { name, .. } => {
                key.push(select.len());
                select.push((*name).to_owned());
            }
            RowKey::Columns(parts) => {
                for &part in parts {
                    let position = columns.iter().position(|&at| at == part);
                    key.push(position.unwrap_or(select.len()));
                    if position.is_none() {
                        select.push(name(part));
                    }
                }
            }
            RowKey::Unnamed => {}
        }
        if select.is_empty() {
            select.push("NULL".to_owned());
        }
        let sql = format!("SELECT {} FROM main.{}", select.join(", "), identifier(&table.name));
        RowQuery { sql, column_count: columns.len(), key }
    }
}

impl SqliteSource {
    /// Calls `each` for every row of a table, with the columns at these positions in [`SourceTable::columns`], in the
    /// order of the rowid, or of the primary key of a table without one. Returns the number of rows, or the value with
    /// which `each` broke off.
    ///
    /// # Errors
    /// The file is damaged, the disk failed, or `stop` is set ([`DatabaseErrorKind::Cancelled`]).
    pub fn rows<B>(
        &self,
        table: &SourceTable,
        columns: &[usize],
        stop: &AtomicBool,
        each: impl FnMut(&SourceRow<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, u64>, DatabaseError> {
        self.rows_in(table, columns, RowRange::default(), stop, each)
    }

    /// Calls `each` for the rows of a range of rowids, as [`SqliteSource::rows`] does for all rows.
    ///
    /// # Errors
    /// Fails as [`SqliteSource::rows`] does.
    pub(crate) fn rows_in<B>(
        &self,
        table: &SourceTable,
        columns: &[usize],
        range: RowRange,
        stop: &AtomicBool,
        mut each: impl FnMut(&SourceRow<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, u64>, DatabaseError> {
        let query = RowQuery::for_columns(table, columns);
        // The table itself is read in sequence: a damaged index does not matter, and nothing is sorted.
        let order = self.order(table)?;
        let sql = format!("{} NOT INDEXED{}{order}", query.sql, range.condition(table));
        let mut number = 0;
        let mut statement = self.connection().prepare(&sql).map_err(|error| self.in_table(&error, table, 0))?;
        let mut rows = statement.query([]).map_err(|error| self.in_table(&error, table, 0))?;
        while let Some(row) = rows.next().map_err(|error| self.in_table(&error, table, number))? {
            if stop.load(Ordering::Relaxed) {
                return Err(DatabaseError::new(
                    DatabaseErrorKind::Cancelled,
                    format!("interrupted while reading {}", table.name),
                ));
            }
            number += 1;
            if let ControlFlow::Break(reason) = each(&SourceRow { row, table, query: &query, number }) {
                return Ok(ControlFlow::Break(reason));
            }
        }
        Ok(ControlFlow::Continue(number))
    }

    /// Returns the ORDER BY clause for the order in which the table's own tree holds its rows; empty if none is needed.
    fn order(&self, table: &SourceTable) -> Result<String, DatabaseError> {
        // NOT INDEXED does not exclude the other indexes of a WITHOUT ROWID table. The key's collations and directions
        // may differ from those of its columns, and SQLite would sort any other order in memory.
        const KEY: &str = "SELECT x.name, x.coll, x.desc FROM pragma_index_list(?1, 'main') l, \
             pragma_index_xinfo(l.name, 'main') x WHERE l.origin = 'pk' AND x.key ORDER BY x.seqno";
        let parts = match &table.key {
            RowKey::Rowid { name, .. } => vec![(*name).to_owned()],
            RowKey::Columns(_) => self.all(KEY, [&table.name], |row| {
                let direction = if row.get(2)? { "DESC" } else { "ASC" };
                let (name, collation): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(format!("{} COLLATE {} {direction}", identifier(&name), identifier(&collation)))
            })?,
            RowKey::Unnamed => Vec::new(),
        };
        let order = if parts.is_empty() { "" } else { " ORDER BY " };
        Ok(format!("{order}{}", parts.join(", ")))
    }

    fn in_table(&self, error: &rusqlite::Error, table: &SourceTable, rows: u64) -> DatabaseError {
        let fault = self.error_in(error);
        let message = format!("{} (in table {}, after {rows} rows)", fault.message, table.name);
        DatabaseError { message, ..fault }
    }
}
