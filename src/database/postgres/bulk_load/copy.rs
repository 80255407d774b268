//! COPY in its binary format: into tables, and out of queries.

use std::ops::ControlFlow;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgCopyIn};

use super::CopyState;
use super::rows::{CopyFormatError, CopyReader, CopyRow, SIGNATURE};
use crate::database::postgres::stall::ReplyTracker;
use crate::database::postgres::{Postgres, error, grant};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;
use crate::transfer::target::TargetTable;

/// The number of fields that marks the end of the stream.
const TRAILER: i16 = -1;

/// A COPY of rows into a table. End it with [`CopyIn::finish`] or [`CopyIn::abort`]: when it is dropped, the session
/// cannot be used any more.
pub struct CopyIn<'l> {
    copy: PgCopyIn<&'l mut PgConnection>,
    exchange: ReplyTracker,
    copy_state: &'l mut CopyState,
    advice: Advice,
}

/// The data that explain a refusal: the statement and the role.
struct Advice {
    sql: String,
    role: String,
}

impl Advice {
    fn describe_error(&self, error: sqlx::Error) -> DatabaseError {
        grant::advised(error::working(error), &self.sql, &self.role)
    }
}

/// Begins `COPY t (a, b) FROM STDIN`. The caller sends whole rows; the header and the end marker are sent here.
pub(super) async fn copy_in<'l>(
    session: &'l mut Postgres,
    copy_state: &'l mut CopyState,
    table: &TargetTable,
    columns: &[&str],
) -> Result<CopyIn<'l>, DatabaseError> {
    let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
    // Without columns there are no parentheses, because a table may have no columns.
    let column_list = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let sql = format!("COPY {}{column_list} FROM STDIN (FORMAT binary)", table.quoted());
    let advice = Advice { role: session.facts.role.clone(), sql };
    // Checks and domains of the tables call functions that look names up on the application's search path. The COPY
    // itself has no ambiguous name; `BulkLoad::reattach_tables` sets Lockkeeper's own path again.
    super::execute(session, "SET LOCAL search_path TO DEFAULT".into()).await?;
    let exchange = session.exchange.clone();
    let waiting = exchange.begin();
    let copy = session.connection.copy_in_raw(&advice.sql).await.map_err(|error| advice.describe_error(error))?;
    drop(waiting);
    *copy_state = CopyState::Busy;
    let mut copy = CopyIn { copy, exchange, copy_state, advice };
    // Eight zero bytes: no flags and no extension.
    copy.send(&[SIGNATURE.as_slice(), &[0; 8]].concat()).await?;
    Ok(copy)
}

impl CopyIn<'_> {
    /// Sends bytes of rows, in chunks of any size. The server reports errors in them only at the end.
    ///
    /// # Errors
    /// Fails when the connection is lost.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), DatabaseError> {
        let _waiting = self.exchange.begin();
        self.copy.send(bytes).await.map(drop).map_err(|error| self.advice.describe_error(error))
    }

    /// Ends the stream and returns the number of rows that were written to the table.
    ///
    /// # Errors
    /// Fails when the server refuses a row; the error's context names row and column. The transaction has failed then.
    pub async fn finish(mut self) -> Result<u64, DatabaseError> {
        self.send(&TRAILER.to_be_bytes()).await?;
        let CopyIn { copy, exchange, copy_state, advice } = self;
        let _waiting = exchange.begin();
        let result = copy.finish().await.map_err(|error| advice.describe_error(error));
        *copy_state = CopyState::Idle;
        result
    }

    /// Ends the stream before a ROLLBACK: the load cannot be committed any more. The driver's own abort is not used,
    /// because it gets out of step after an error of the server.
    ///
    /// # Errors
    /// Fails when the connection is lost.
    pub async fn abort(self) -> Result<(), DatabaseError> {
        let CopyIn { copy, exchange, copy_state, advice } = self;
        let _waiting = exchange.begin();
        let result = copy.finish().await.map_err(|error| advice.describe_error(error));
        *copy_state = CopyState::GivenUp;
        match result {
            Err(fault) if fault.kind == DatabaseErrorKind::Lost => Err(fault),
            _ => Ok(()),
        }
    }
}

/// Runs `COPY (query) TO STDOUT` and passes the rows to `each` one by one, in the memory of one row; returns their
/// number.
pub(super) async fn copy_out(
    session: &mut Postgres,
    copy_state: &mut CopyState,
    query: &str,
    each: impl FnMut(CopyRow<'_>),
) -> Result<u64, DatabaseError> {
    copy_out_pausing(session, copy_state, query, each, async || ControlFlow::Continue(())).await
}

/// Copies as [`copy_out`] does, and awaits `pause` after each chunk, without reading meanwhile: for rows that must be
/// written before more are read, in bounded memory. A pause can end the copying.
pub(super) async fn copy_out_pausing(
    session: &mut Postgres,
    copy_state: &mut CopyState,
    query: &str,
    mut each: impl FnMut(CopyRow<'_>),
    mut pause: impl AsyncFnMut() -> ControlFlow<()>,
) -> Result<u64, DatabaseError> {
    // The driver gets out of step if the server refuses a COPY before it begins. EXPLAIN fails for the same reasons.
    super::execute(session, format!("EXPLAIN {query}")).await?;
    let advice = Advice { role: session.facts.role.clone(), sql: format!("COPY ({query}) TO STDOUT (FORMAT binary)") };
    *copy_state = CopyState::Busy;
    let exchange = session.exchange.clone();
    let waiting = exchange.begin();
    let mut stream =
        session.connection.copy_out_raw(&advice.sql).await.map_err(|error| advice.describe_error(error))?;
    drop(waiting);
    let mut rows = CopyReader::default();
    loop {
        let waiting = exchange.begin();
        let next = stream.try_next().await;
        drop(waiting);
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                *copy_state = CopyState::Idle;
                return Err(advice.describe_error(error));
            }
        };
        rows.feed(&chunk, &mut each).map_err(copy_format_error)?;
        if pause().await.is_break() {
            return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "a COPY was given up"));
        }
    }
    *copy_state = CopyState::Idle;
    rows.finish().map_err(copy_format_error)
}

fn copy_format_error(error: CopyFormatError) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Lost, format!("the server's answer to COPY cannot be read: {error}"))
}
