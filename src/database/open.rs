//! Opens a database and reads its history, with as few questions as possible.

use std::time::Duration;

use tokio::time::error::Elapsed;

use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::url::DatabaseTarget;
use super::{Database, DatabaseError, DatabaseErrorKind, HistoryMark, HistoryName};
use crate::revision::Applied;

/// The answer to a poll.
pub enum HistoryPoll {
    /// The history is as it was when the mark was made.
    Unchanged,
    /// The history may be another one.
    Changed {
        /// The mark for the next poll, if the database has marks. It is older than the rows.
        mark: Option<HistoryMark>,
        /// The rows.
        applied: Vec<Applied>,
    },
}

/// Opens a session; each host has `timeout` to answer. A missing SQLite file is an empty database until it is locked.
///
/// # Errors
/// The kind of the error decides whether another attempt may help: see [`DatabaseErrorKind`].
pub async fn connect(
    target: &DatabaseTarget,
    history: &HistoryName,
    timeout: Duration,
) -> Result<Database, DatabaseError> {
    match target {
        DatabaseTarget::Postgres(target) => {
            Ok(Database::Postgres(Box::new(Postgres::connect(target, history, timeout).await?)))
        }
        DatabaseTarget::Sqlite(target) => Ok(Database::Sqlite(Box::new(Sqlite::open(target, history).await?))),
    }
}

/// Opens a session and reads the history. A server has `timeout` once more for the history if it takes a second
/// question.
///
/// # Errors
/// Fails as [`connect`] and [`Database::history`] do.
pub async fn open(
    target: &DatabaseTarget,
    history: &HistoryName,
    timeout: Duration,
) -> Result<(Database, Vec<Applied>), DatabaseError> {
    let (mut database, applied) = match target {
        DatabaseTarget::Postgres(target) => {
            let (session, applied) = Postgres::connect_and_read(target, history, timeout).await?;
            (Database::Postgres(Box::new(session)), applied)
        }
        DatabaseTarget::Sqlite(_) => (connect(target, history, timeout).await?, None),
    };
    let applied = match applied {
        Some(applied) => applied,
        None => tokio::time::timeout(timeout, database.history()).await.map_err(no_answer)??,
    };
    Ok((database, applied))
}

/// Opens a session, and reads the history unless it has the mark that was `seen`. A server makes the mark of a hundred
/// thousand rows in a fraction of the time that sending them would take; an SQLite file has no marks and is read.
///
/// # Errors
/// Fails as [`open`] does.
pub async fn poll(
    target: &DatabaseTarget,
    history: &HistoryName,
    timeout: Duration,
    seen: Option<&HistoryMark>,
) -> Result<(Database, HistoryPoll), DatabaseError> {
    let mut database = connect(target, history, timeout).await?;
    let read = async {
        let mark = match &mut database {
            Database::Postgres(session) => session.mark().await,
            Database::Sqlite(_) => None,
        };
        if mark.is_some() && mark.as_ref() == seen {
            return Ok(HistoryPoll::Unchanged);
        }
        Ok(HistoryPoll::Changed { mark, applied: database.history().await? })
    };
    let answer = tokio::time::timeout(timeout, read).await.map_err(no_answer)??;
    Ok((database, answer))
}

fn no_answer(_: Elapsed) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Unreachable, "no answer to the second question")
}
