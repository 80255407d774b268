//! Application of one revision: script, bookkeeping and transaction are sent in as few messages as their size allows.

use super::grant::advised;
use super::message::{Label, Message, MessageError, MessagePart};
use super::send::OnCancel;
use super::trust::TrustCheck;
use super::{Postgres, column, no_answer_error};
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::masking::excerpt;
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::history::{Elapsed, HistoryTable, RecordedProgress};
use crate::revision::render::{COMMIT, begin};
use crate::revision::statements::Window;
use crate::revision::{Batch, BatchLimit, SectionOptions, TransactionMode};
use crate::sql::identifier;

/// A statement that fails (division by zero) when string literals are read in another way than when the script was
/// parsed.
const LITERALS_ARE_CERTAIN: &str =
    "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.current_setting('standard_conforming_strings')::boolean::int;\n";

/// The size of one message in bytes; a smaller script is sent in one message with its transaction and its history row.
const MESSAGE: usize = 128 * 1024;

impl Postgres {
    /// Creates the history table, or adds the columns that it lacks.
    ///
    /// # Errors
    /// Fails when the role may not do so, or when the relation of that name is not trusted.
    pub async fn create_history(&mut self, history: &HistoryTable) -> Result<(), DatabaseError> {
        let Some(sql) = self.missing_history(history) else {
            return Ok(());
        };
        let (hint, limit) = (self.grant_history(history), self.response_timeout());
        // An existing relation of this name is not created again, and need not be a table.
        let message =
            Message::new([MessagePart::new(Label::CreateHistory, sql)]).and(self.before_writing(self.trust_check()));
        let made = tokio::time::timeout(limit, self.send(&message)).await.map_err(|_| no_answer_error(limit))?;
        if let Err(MessageError { fault, .. }) = made {
            let table = self.table();
            if let Some(distrust) = self.distrust(&table).await? {
                return Err(distrust);
            }
            return Err(match fault.kind {
                DatabaseErrorKind::NoPrivilege => fault.with_hint(hint),
                _ => fault,
            });
        }
        self.has_made_history();
        // An event trigger may have changed the table, so the check is made once more.
        let row = self.row(format!("SELECT {}", self.is_plain())).await?;
        self.facts.history_is_plain = column(&row, 0)?;
        Ok(())
    }

    /// Returns the statement that creates the history table, or that gives it the columns that it lacks. `None` when it
    /// needs none.
    pub(super) fn missing_history(&self, history: &HistoryTable) -> Option<String> {
        match (self.facts.history_exists, self.facts.history_lacks.is_empty()) {
            (true, true) => None,
            (true, false) => Some(self.extend_history(history)),
            (false, _) => Some(history.create()),
        }
    }

    pub(super) fn has_made_history(&mut self) {
        self.facts.history_exists = true;
        self.facts.history_lacks.clear();
    }

    /// Returns the statement that adds the columns that a table of an earlier release lacks.
    fn extend_history(&self, history: &HistoryTable) -> String {
        history.format.extend(history, &self.facts.table)
    }

    /// Returns the advice by which the history table can be created or extended: only its owner may change an existing
    /// one.
    pub(super) fn grant_history(&self, history: &HistoryTable) -> String {
        match self.facts.history_exists {
            true => {
                format!("let the table's owner run {}", self.extend_history(history).trim_end().trim_end_matches(';'))
            }
            false => self.grant(),
        }
    }

    /// Applies one revision, in the direction that the request names, and records it in the history.
    ///
    /// # Errors
    /// Fails when a statement or the bookkeeping fails. The error names the GRANT statement when a privilege is
    /// missing.
    pub async fn apply(&mut self, history: &HistoryTable, unit: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        let applied = self.attempt_to_apply(history, unit).await;
        applied.map_err(|broken| self.with_grant(broken))
    }

    /// Adds the GRANT statement that a refused statement needs, be it the script's or one of Lockkeeper's on the
    /// history.
    pub(super) fn with_grant(&self, mut broken: ApplyError) -> ApplyError {
        let (table, role) = (self.table(), &self.facts.role);
        let ours = format!("permission denied for table {}", self.facts.table);
        let Some((fault, statement)) = broken.refused() else {
            return broken;
        };
        let refused = fault.clone();
        *fault = match statement {
            None if refused.message == ours => {
                refused.with_hint(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {}", identifier(role)))
            }
            statement => advised(refused, statement.unwrap_or_default(), role),
        };
        broken
    }

    async fn attempt_to_apply(
        &mut self,
        history: &HistoryTable,
        unit: &mut ApplyRequest<'_>,
    ) -> Result<(), ApplyError> {
        match unit.way.section.options.mode {
            TransactionMode::Transaction => {
                let mut transaction = Transaction::NotBegun;
                let result = self.in_transaction(history, unit, &mut transaction).await;
                let failed = result.as_ref().is_err_and(|broken| !matches!(broken, ApplyError::Commit(_)));
                if failed && transaction == Transaction::Begun {
                    // Without a session there is nothing to roll back: the server has done so when the session ended.
                    let _ = self.run("ROLLBACK".into()).await;
                }
                result
            }
            TransactionMode::NoTransaction => self.run_non_transactional(history, unit).await,
        }
    }

    /// Runs a script in a transaction. The session is clean at the beginning: settings of a script that was rolled back
    /// were rolled back with it.
    async fn in_transaction(
        &mut self,
        history: &HistoryTable,
        unit: &mut ApplyRequest<'_>,
        transaction: &mut Transaction,
    ) -> Result<(), ApplyError> {
        let mut opening = Some(MessagePart::new(Label::Begin, begin(Dialect::Postgres, &unit.way).concat()));
        let mut literals = None;
        while let Some(batch) = unit.batches.next(BatchLimit::Bytes(MESSAGE))? {
            if batch.has_backslash {
                literals = Some(MessagePart::new(Label::LiteralsAreCertain, LITERALS_ARE_CERTAIN));
            }
            if batch.window == Window::Last {
                unit.unchanged()?;
            }
            unit.unless_stopped().map_err(ApplyError::Bookkeeping)?;
            for index in 0..batch.starts.len() {
                self.refuse_beyond_copy(batch.statement(index), &CatalogEffect::None)
                    .map_err(|fault| failed(fault, &batch, index, None))?;
            }
            let ending = |database: &Postgres, check| database.ending(history, unit, literals.clone(), check);
            let sent = self.send_batch(opening.take(), &batch, ending).await;
            if sent.as_ref().err().is_none_or(MessageError::has_begun) {
                *transaction = Transaction::Begun;
            }
            if let Err(error) = sent {
                self.explain(error, &batch).await?;
            }
        }
        Ok(())
    }

    /// Sends a batch of a script: the first one with the beginning of the transaction, the last one with its ending.
    async fn send_batch(
        &mut self,
        opening: Option<MessagePart<'static>>,
        batch: &Batch,
        ending: impl Fn(&Postgres, TrustCheck) -> Vec<MessagePart<'static>>,
    ) -> Result<(), MessageError> {
        match (batch.window, opening) {
            (Window::Partial, opening) => self.send(&Message::new(opening).and([MessagePart::script(batch)])).await,
            // The script may turn the history into another kind of table.
            (Window::Last, Some(opening)) => {
                let whole = |database: &Postgres, check| {
                    Message::new([opening.clone(), MessagePart::script(batch)]).and(ending(database, check))
                };
                self.send_checked(OnCancel::Fail, whole).await
            }
            // The earlier messages cannot be sent again, so the long check of the history is used at once.
            (Window::Last, None) => {
                let message = Message::new([MessagePart::script(batch)]).and(ending(self, TrustCheck::Long));
                self.send(&message).await
            }
        }
    }

    /// Returns the statements that follow a script: its history row, the commit, and the reset of the session.
    fn ending(
        &self,
        history: &HistoryTable,
        unit: &ApplyRequest<'_>,
        literals: Option<MessagePart<'static>>,
        check: TrustCheck,
    ) -> Vec<MessagePart<'static>> {
        let progress = RecordedProgress::Whole { statements: unit.way.statements };
        let row = history.record(&unit.row(unit.way.section.fingerprint, progress, Elapsed::SinceBegin));
        let mut parts = self.before_bookkeeping(check);
        parts.push(MessagePart::new(Label::Record, row));
        parts.extend(literals);
        parts.push(MessagePart::new(Label::Commit, COMMIT));
        parts.push(MessagePart::new(Label::ResetSession, self.session(&SectionOptions::default())));
        parts
    }

    /// Explains why a message with a batch of a script failed.
    ///
    /// # Errors
    /// Fails with the reason, unless the script is committed: then only the session is reset.
    async fn explain(&mut self, error: MessageError, batch: &Batch) -> Result<(), ApplyError> {
        Err(match error.label {
            _ if error.is_outcome_unknown() => ApplyError::Unknown(error.fault),
            Label::Script => failed(error.fault, batch, error.number, error.byte),
            Label::Commit => ApplyError::Commit(error.fault),
            // A signal or a timeout came after the commit: only the reset of the session was interrupted.
            Label::ResetSession => return self.clean().await,
            label @ Label::LiteralsAreCertain if error.is_failed_check(label) => ApplyError::LiteralsInDoubt,
            _ => self.not_written(error),
        })
    }
}

/// The state of a transaction: `Begun` once a message with Lockkeeper's BEGIN has run, at least in part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    NotBegun,
    Begun,
}

/// Returns the error for a statement of the script that failed. The place is the one that the server reports, else the
/// beginning of the statement.
fn failed(fault: DatabaseError, batch: &Batch, index: usize, at: Option<usize>) -> ApplyError {
    let start = batch.starts.get(index).copied().unwrap_or(0);
    ApplyError::Statement {
        place: batch.place(at.unwrap_or(start)),
        excerpt: excerpt(batch.statement(index)),
        fault: fault.with_statement(batch.statement(index)),
    }
}
