//! Runs SQL in the session of a run and reads its answers. SQLite works on the thread that calls it, and nothing else of
//! a run waits there: signals and the deadline have a thread of their own (see [`crate::watchdog`]), which
//! [`super::monitor::StatementMonitor`] asks while a statement runs.

use std::borrow::Cow;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{FromSql, Value, ValueRef};
use rusqlite::{Batch, Connection};

use super::{Sqlite, error};
use crate::database::{DatabaseError, DatabaseErrorKind};

/// The values of a row.
pub(super) struct SqliteRow(Vec<Value>);

/// Returns one value of a row.
///
/// # Errors
/// Fails when the value is of another type.
pub(super) fn column<T: FromSql>(row: &SqliteRow, index: usize) -> Result<T, DatabaseError> {
    let value = row.0.get(index).map_or(ValueRef::Null, ValueRef::from);
    T::column_result(value).map_err(|error| unreadable(&error))
}

/// Returns the values of a row as texts, whatever their types are.
fn texts<'r>(row: &'r rusqlite::Row<'_>, columns: usize) -> Result<Vec<Option<Cow<'r, str>>>, DatabaseError> {
    let text = |index| match row.get_ref(index).map_err(|error| unreadable(&error))? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(number.to_string().into())),
        ValueRef::Real(number) => Ok(Some(format!("{number:?}").into())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) => Err(unreadable(&error)),
        },
    };
    let mut texts = Vec::with_capacity(columns);
    for index in 0..columns {
        texts.push(text(index)?);
    }
    Ok(texts)
}

fn unreadable(error: &dyn std::error::Error) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Setting, format!("an answer cannot be read: {error}"))
}

/// The reason why a text of several statements was not run to its end.
enum RunError {
    Sqlite(rusqlite::Error),
    Row(DatabaseError),
}

impl From<rusqlite::Error> for RunError {
    fn from(error: rusqlite::Error) -> RunError {
        RunError::Sqlite(error)
    }
}

/// Runs the statements of a text, one after the other, and passes each row with the number of its columns to `each`.
/// Counts in `completed` the statements that are done.
fn run_each(
    connection: &Connection,
    sql: &str,
    completed: &mut usize,
    mut each: impl FnMut(&rusqlite::Row<'_>, usize) -> Result<(), DatabaseError>,
) -> Result<(), RunError> {
    let mut statements = Batch::new(connection, sql);
    while let Some(mut statement) = statements.next()? {
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            each(row, columns).map_err(RunError::Row)?;
        }
        *completed += 1;
    }
    Ok(())
}

impl Sqlite {
    /// Runs the statements of a text and discards their rows.
    ///
    /// # Errors
    /// Returns the error and the number of statements done before it.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), (DatabaseError, usize)> {
        let mut completed = 0;
        self.run_counted(sql, &mut completed, |_, _| Ok(())).map_err(|fault| (fault, completed))
    }

    /// Runs the statements of a text and discards their rows.
    ///
    /// # Errors
    /// Fails with the first statement that fails.
    pub(super) fn run_all(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.run_counted(sql, &mut 0, |_, _| Ok(()))
    }

    /// Runs a query and passes the texts of each row to `each`.
    ///
    /// # Errors
    /// Fails as the query and `each` do.
    pub(super) fn ask(
        &mut self,
        sql: &str,
        mut each: impl FnMut(&[Option<&str>]) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.run_counted(sql, &mut 0, |row, columns| {
            let texts = texts(row, columns)?;
            each(&texts.iter().map(Option::as_deref).collect::<Vec<_>>())
        })
    }

    /// Runs a query and returns its rows. Under the lock, waits for other connections.
    ///
    /// # Errors
    /// Fails as the query does, or if another connection writes for too long.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<SqliteRow>, DatabaseError> {
        let mut waiting_since = None;
        loop {
            let mut rows = Vec::new();
            let asked = self.run_counted(sql, &mut 0, |row, columns| {
                let value = |index| row.get(index).map_err(|error| unreadable(&error));
                rows.push(SqliteRow((0..columns).map(value).collect::<Result<_, _>>()?));
                Ok(())
            });
            match asked {
                Err(fault) if fault.kind == DatabaseErrorKind::Busy => self.pause(&mut waiting_since, fault).await?,
                result => return result.map(|()| rows),
            }
        }
    }

    fn run_counted(
        &mut self,
        sql: &str,
        completed: &mut usize,
        each: impl FnMut(&rusqlite::Row<'_>, usize) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let connection = self.opened()?;
        run_each(connection, sql, completed, each).map_err(|error| match error {
            RunError::Sqlite(error) => error::from_rusqlite(&error, &self.path),
            RunError::Row(fault) => fault,
        })
    }
}
