//! Sends messages of several statements and counts the answers, which tell the statement that failed. No other file
//! counts them.

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either};

use super::message::{Label, Message, MessageError, MessagePart};
use super::{Postgres, error, no_answer_error};
use crate::database::{DatabaseError, DatabaseErrorKind};

/// The reaction to a cancel request that hits a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnCancel {
    /// The message fails.
    Fail,
    /// The message, which is Lockkeeper's own, is sent again: the request was meant for a statement of the script, and
    /// an effect of the script that is not recorded would be repeated by a rerun.
    SendAgain,
}

impl Postgres {
    /// Sends a message and discards its rows.
    ///
    /// # Errors
    /// Fails with the statement that failed.
    pub(super) async fn send(&mut self, message: &Message<'_>) -> Result<(), MessageError> {
        let sent = self.count_answers(message.text()).await;
        sent.map_err(|(fault, answers)| message.error(fault, answers))
    }

    /// Sends statements and discards their rows.
    ///
    /// # Errors
    /// Fails when one of them does; [`Postgres::send`] tells which.
    pub(super) async fn run(&mut self, sql: String) -> Result<(), DatabaseError> {
        self.count_answers(sql).await.map_err(|(fault, _)| fault)
    }

    async fn count_answers(&mut self, sql: String) -> Result<(), (DatabaseError, usize)> {
        let mut answers = 0;
        let _waiting = self.exchange.begin();
        let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => answers += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err((error::working(error), answers)),
            }
        }
    }

    /// Sends a message and passes the rows of its [`Label::Question`] to `each`, one by one: ten thousand rows of the
    /// driver would take more memory than everything else.
    ///
    /// # Errors
    /// Fails when a statement fails, when the server is silent for too long, and as `each` does.
    pub(super) async fn ask(
        &mut self,
        message: &Message<'_>,
        mut each: impl FnMut(&PgRow) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let each = |label, row| if label == Label::Question { each(&row) } else { Ok(()) };
        self.ask_all(message, each).await
    }

    /// Sends a message and passes each of its rows to `each`, with the label of its part.
    ///
    /// # Errors
    /// Fails as [`Postgres::ask`] does.
    pub(super) async fn ask_all(
        &mut self,
        message: &Message<'_>,
        mut each: impl FnMut(Label, PgRow) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let limit = self.response_timeout();
        let mut labels = message.labels();
        let mut label = labels.next();
        let _waiting = self.exchange.begin();
        let mut results = sqlx::raw_sql(AssertSqlSafe(message.text())).fetch_many(&mut self.connection);
        let reading = async {
            while let Some(result) = results.try_next().await.map_err(error::working)? {
                match result {
                    Either::Left(_) => label = labels.next(),
                    Either::Right(row) => label.map_or(Ok(()), |label| each(label, row))?,
                }
            }
            Ok(())
        };
        tokio::time::timeout(limit, reading).await.map_err(|_| no_answer_error(limit))?
    }

    /// Sends a message, again and again for a while if cancel requests hit it and it is to be sent again then.
    pub(super) async fn send_despite_cancel(
        &mut self,
        message: &Message<'_>,
        on_cancel: OnCancel,
    ) -> Result<(), MessageError> {
        const TRIES: usize = 5;
        let mut sent = self.send(message).await;
        for _ in 1..TRIES {
            match &sent {
                Err(error) if error.fault.kind == DatabaseErrorKind::Cancelled && on_cancel == OnCancel::SendAgain => {
                    sent = self.send(message).await;
                }
                _ => break,
            }
        }
        sent
    }

    /// Runs a statement of Lockkeeper's that sets the session up, whatever cancel requests hit it.
    pub(super) async fn run_despite_cancel(&mut self, sql: String) -> Result<(), DatabaseError> {
        let message = Message::new([MessagePart::new(Label::ResetSession, sql)]);
        self.send_despite_cancel(&message, OnCancel::SendAgain).await.map_err(|error| error.fault)
    }
}
