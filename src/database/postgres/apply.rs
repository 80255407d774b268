//! Application of one revision: script, bookkeeping and transaction are sent in as few messages as their size allows.

use super::message::{Label, Message, MessageError, MessagePart};
use super::migrator::Migrator;
use super::send::OnCancel;
use super::trust::TrustCheck;
use super::{column, no_answer_error};
use crate::database::durability::{ApplyOutcome, CommitMode};
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::masking::excerpt;
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::history::Elapsed;
use crate::revision::journal::RecordedProgress;
use crate::revision::policy::SessionPolicy;
use crate::revision::render::{COMMIT, begin};
use crate::revision::statements::Window;
use crate::revision::{Batch, BatchLimit, SectionOptions, TransactionMode};

/// A statement that fails (division by zero) when string literals are read in another way than when the script was
/// parsed.
const LITERALS_ARE_CERTAIN: &str =
    "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.current_setting('standard_conforming_strings')::boolean::int;\n";

/// The size of one message in bytes; a smaller script is sent in one message with its transaction and its history row.
const MESSAGE: usize = 128 * 1024;

impl Migrator<'_> {
    /// Creates the history table, or adds the columns that it lacks.
    ///
    /// # Errors
    /// Fails when the role may not do so, or when the relation of that name is not trusted.
    pub(crate) async fn create_history(&mut self) -> Result<(), DatabaseError> {
        let Some(sql) = self.missing_history() else {
            return Ok(());
        };
        let (hint, limit) = (self.grant_history(), self.session.response_timeout());
        // An existing relation of this name is not created again, and need not be a table.
        let message =
            Message::new([MessagePart::new(Label::CreateHistory, sql)]).and(self.before_writing(self.trust_check()));
        let made =
            tokio::time::timeout(limit, self.session.send(&message)).await.map_err(|_| no_answer_error(limit))?;
        if let Err(MessageError { fault, .. }) = made {
            let table = self.session.table();
            if let Some(distrust) = self.session.distrust(&table).await? {
                return Err(distrust);
            }
            return Err(match fault.kind {
                DatabaseErrorKind::NoPrivilege => fault.with_hint(hint),
                _ => fault,
            });
        }
        self.has_made_history();
        // An event trigger may have changed the table, so the check is made once more.
        let row = self.session.row(format!("SELECT {}", self.session.is_plain())).await?;
        self.session.facts.history_is_plain = column(&row, 0)?;
        Ok(())
    }

    /// Returns the statement that creates the history table, or that gives it the columns that it lacks. `None` when it
    /// needs none.
    pub(super) fn missing_history(&self) -> Option<String> {
        match (self.session.facts.history_exists, self.session.facts.history_lacks.is_empty()) {
            (true, true) => None,
            (true, false) => Some(self.extend_history()),
            (false, _) => Some(self.history.create()),
        }
    }

    pub(super) fn has_made_history(&mut self) {
        self.session.facts.history_exists = true;
        self.session.facts.history_lacks.clear();
    }

    /// Returns the statement that adds the columns that a table of an earlier release lacks.
    fn extend_history(&self) -> String {
        self.history.format.extend(self.history, &self.session.facts.table)
    }

    /// Returns the advice by which the history table can be created or extended: only its owner may change an existing
    /// one.
    pub(super) fn grant_history(&self) -> String {
        match self.session.facts.history_exists {
            true => {
                format!("let the table's owner run {}", self.extend_history().trim_end().trim_end_matches(';'))
            }
            false => self.session.grant(),
        }
    }

    /// Applies one revision, in the direction that the request names, and records it in the history.
    ///
    /// # Errors
    /// Fails when a statement or the bookkeeping fails. The error names the GRANT statement when a privilege is
    /// missing.
    pub(crate) async fn apply(&mut self, request: &mut ApplyRequest<'_>) -> Result<ApplyOutcome, ApplyError> {
        request.commit = self.commit_mode(request);
        let applied = self.attempt_to_apply(request).await.map_err(|broken| self.with_grant(broken));
        applied.map(|()| match request.commit {
            CommitMode::Own => ApplyOutcome::Durable,
            CommitMode::Shared => ApplyOutcome::Pending,
        })
    }

    async fn attempt_to_apply(&mut self, request: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        match request.script.section.options.mode {
            TransactionMode::Transaction => {
                if self.history.writes_journal_alone(request.id) {
                    self.create_journal().await.map_err(ApplyError::NotBegun)?;
                }
                let mut transaction = Transaction::NotBegun;
                let result = self.in_transaction(request, &mut transaction).await;
                let failed = result.as_ref().is_err_and(|broken| !matches!(broken, ApplyError::Commit(_)));
                if failed && transaction == Transaction::Begun {
                    // Without a session there is nothing to roll back: the server has done so when the session ended.
                    let _ = self.session.run("ROLLBACK".into()).await;
                }
                result
            }
            TransactionMode::NoTransaction => self.run_non_transactional(request).await,
        }
    }

    /// Runs a script in a transaction. The session is clean at the beginning: settings of a script that was rolled back
    /// were rolled back with it.
    async fn in_transaction(
        &mut self,
        request: &mut ApplyRequest<'_>,
        transaction: &mut Transaction,
    ) -> Result<(), ApplyError> {
        let mut opening = Some(MessagePart::new(Label::Begin, begin(Dialect::Postgres, &request.script).concat()));
        let mut literals = None;
        while let Some(batch) = request.batches.next(BatchLimit::Bytes(MESSAGE))? {
            if batch.has_backslash {
                literals = Some(MessagePart::new(Label::LiteralsAreCertain, LITERALS_ARE_CERTAIN));
            }
            if batch.window == Window::Last {
                request.unchanged()?;
            }
            request.unless_stopped().map_err(ApplyError::Bookkeeping)?;
            for index in 0..batch.starts.len() {
                self.session
                    .refuse_beyond_copy(batch.statement(index), &CatalogEffect::None)
                    .map_err(|fault| failed(fault, &batch, index, None))?;
            }
            let ending = |migrator: &Migrator<'_>, check| migrator.ending(request, literals.clone(), check);
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
        ending: impl Fn(&Migrator<'_>, TrustCheck) -> Vec<MessagePart<'static>>,
    ) -> Result<(), MessageError> {
        match (batch.window, opening) {
            (Window::Partial, opening) => {
                self.session.send(&Message::new(opening).and([MessagePart::script(batch)])).await
            }
            // The script may turn the history into another kind of table.
            (Window::Last, Some(opening)) => {
                let whole = |migrator: &Migrator<'_>, check| {
                    Message::new([opening.clone(), MessagePart::script(batch)]).and(ending(migrator, check))
                };
                self.send_checked(OnCancel::Fail, whole).await
            }
            // The earlier messages cannot be sent again, so the long check of the history is used at once.
            (Window::Last, None) => {
                let message = Message::new([MessagePart::script(batch)]).and(ending(self, TrustCheck::Long));
                self.session.send(&message).await
            }
        }
    }

    /// Returns the statements that follow a script: its history row, the commit, and the reset of the session.
    fn ending(
        &self,
        request: &ApplyRequest<'_>,
        literals: Option<MessagePart<'static>>,
        check: TrustCheck,
    ) -> Vec<MessagePart<'static>> {
        let progress = RecordedProgress::Whole { statements: request.script.statements };
        let row = self.history.record(&request.row(request.script.section.fingerprint, progress, Elapsed::SinceBegin));
        let mut parts = self.before_bookkeeping(check, request.commit);
        if self.history.writes_journal_alone(request.id) {
            parts.push(self.before_writing_journal());
        }
        parts.push(MessagePart::new(Label::Record, row));
        parts.extend(literals);
        parts.push(MessagePart::new(Label::Commit, COMMIT));
        if request.policy.session == SessionPolicy::Reset {
            let reset = self.session.session_reset(&SectionOptions::default());
            parts.push(MessagePart::new(Label::ResetSession, reset));
        }
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
