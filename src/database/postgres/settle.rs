//! The commit that waits for the disk in place of those before it. The server writes its log in order, so that a commit
//! that is on the disk, and on the standbys that the role waits for, has all earlier ones before it there.

use super::message::{Label, Message, MessagePart};
use super::migrator::Migrator;
use super::monitor::{MonitorSession, ProbeReply};
use super::send::OnCancel;
use super::{column, no_answer_error};
use crate::database::durability::{CommitMode, SettleError};
use crate::database::{ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::revision::render::session::COMMIT_TO_DISK;
use crate::revision::render::{COMMIT, own_role};
use crate::revision::{Direction, TransactionMode};
use crate::sql::{DIVIDED_BY, literal};

/// The number of times that the commit is tried while another session keeps the history locked.
const TRIES: usize = 5;

/// The number of rows of the answer to a transaction that has written its message: one of each statement.
const ROWS_WITH_MESSAGE: usize = 2;

/// Returns an SQL expression for whether the role can lock a row of the history, whose name is quoted; NULL if there is
/// no history.
pub(super) fn rows_can_be_locked(history: &str) -> String {
    let table = format!("pg_catalog.to_regclass({})", literal(history));
    format!("pg_catalog.has_table_privilege({table}, 'UPDATE') AND NOT pg_catalog.row_security_active({table})")
}

impl Migrator<'_> {
    /// Returns the commit of a script. A script shares one only if [`Migrator::settle`] will find a row in the history
    /// and can lock it.
    pub(super) fn commit_mode(&self, request: &ApplyRequest<'_>) -> CommitMode {
        let leaves_row = request.script.direction == Direction::Up && !self.history.writes_journal_alone(request.id);
        let is_transaction = request.script.section.options.mode == TransactionMode::Transaction;
        match leaves_row && is_transaction && self.session.facts.can_lock_rows {
            true => request.commit,
            false => CommitMode::Own,
        }
    }

    /// Makes the commits so far durable: commits once more, and waits. A transaction that writes nothing would not wait,
    /// so this one locks a row of the history, which the server logs, and which nobody else sees.
    ///
    /// # Errors
    /// Fails when the session is lost, when another session keeps the history locked for too long, or when the
    /// server, or a standby that it waits for, does not answer.
    pub(crate) async fn settle(&mut self) -> Result<(), SettleError> {
        let limit = self.session.response_timeout();
        let settled = tokio::time::timeout(limit, self.commit_durably()).await;
        settled.unwrap_or_else(|_| Err(no_answer_error(limit))).map_err(SettleError::Unproven)
    }

    async fn commit_durably(&mut self) -> Result<(), DatabaseError> {
        let row = format!(
            "SELECT 1 {DIVIDED_BY} pg_catalog.count(*) FROM (SELECT FROM {} LIMIT 1 FOR UPDATE) locked;\n",
            self.session.table()
        );
        // The commits before were made under the lock: this one need not hold it any more, if a script has released it.
        let message = |migrator: &Migrator<'_>, check| {
            let role = own_role(&migrator.session.facts.role).concat();
            Message::new([MessagePart::new(Label::Begin, "BEGIN;\n"), MessagePart::new(Label::OwnRole, role)])
                .and([MessagePart::new(Label::Record, format!("SELECT {COMMIT_TO_DISK};\n"))])
                .and(migrator.before_writing(check))
                .and([MessagePart::new(Label::Record, row.clone()), MessagePart::new(Label::Commit, COMMIT)])
        };
        let mut tries = 1..TRIES;
        loop {
            let Err(error) = self.send_checked(OnCancel::SendAgain, message).await else {
                return Ok(());
            };
            // Without a session there is nothing to roll back.
            let _ = self.session.run("ROLLBACK".into()).await;
            if error.fault.kind != DatabaseErrorKind::Contended || tries.next().is_none() {
                return Err(error.fault);
            }
        }
    }
}

/// A query for whether the role may call the function of [`MonitorSession::settle`], in any of its forms.
const CAN_EMIT: &str = "SELECT coalesce(pg_catalog.bool_and(pg_catalog.has_function_privilege(oid, 'EXECUTE')), false) \
     FROM pg_catalog.pg_proc WHERE proname = 'pg_logical_emit_message' \
     AND pronamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace";

impl MonitorSession {
    /// Makes the commits of the working session durable while its next script runs, and returns whether they are: this
    /// session commits, and waits. A message for logical decoding is the one record of the log that a role without
    /// privileges can write, and that needs no lock, which the script could hold. The transaction sees the backend of
    /// the working session, so that the commits were made by this server, and not by one that has crashed since.
    pub(crate) async fn settle(&mut self) -> bool {
        if !self.can_commit {
            return false;
        }
        self.can_commit = match self.query(CAN_EMIT.into()).await {
            ProbeReply::Rows(rows) => rows.first().is_some_and(|row| column(row, 0).unwrap_or(false)),
            ProbeReply::Failed(_) | ProbeReply::Silence => return false,
        };
        if !self.can_commit {
            return false;
        }
        // The statements of one message without a BEGIN are one transaction, which is committed before the answer ends.
        let commit = format!(
            "SELECT {COMMIT_TO_DISK};\n\
             SELECT pg_catalog.pg_logical_emit_message(true, 'lockkeeper', ''::pg_catalog.text) \
             FROM pg_catalog.pg_stat_activity a WHERE {}",
            self.working_backend().condition()
        );
        match self.query(commit).await {
            ProbeReply::Rows(rows) => rows.len() == ROWS_WITH_MESSAGE,
            ProbeReply::Failed(_) => false,
            ProbeReply::Silence => {
                // The commit may wait for a standby without an end: a cancel request must not wait behind it.
                self.disconnect();
                self.can_commit = false;
                false
            }
        }
    }
}
