//! Revisions without a transaction: they run statement by statement, and the journal records the progress.

use std::time::{Duration, Instant};

use super::error::refuses_transactions;
use super::message::{Label, Message, MessagePart, byte_at};
use super::migrator::Migrator;
use super::send::OnCancel;
use super::trust::TrustCheck;
use crate::database::apply_request::ResumePoint;
use crate::database::durability::CommitMode;
use crate::database::{ApplyError, ApplyRequest, DatabaseError};
use crate::masking::excerpt;
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::history::{Elapsed, HistoryRow};
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::StatementOutcome;
use crate::revision::policy::SessionPolicy;
use crate::revision::{Batch, BatchLimit, Direction, Fingerprint, SectionOptions};

impl Migrator<'_> {
    pub(super) async fn run_non_transactional(&mut self, request: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        self.set_up_session(request).await?;
        self.create_journal().await.map_err(ApplyError::NotBegun)?;
        let mut earlier = request.resume;
        let ResumePoint { mut done, settings } = request.skip_done()?;
        self.repeat_settings(&settings, done).await?;
        // A row that says that the first statement has begun keeps saying so. For a down migration there is a row
        // already; until something is undone, its contents are what was applied.
        let is_new = request.script.direction == Direction::Up && done == 0;
        if is_new && earlier.is_none_or(|resume| resume.outcome == StatementOutcome::Known) {
            self.begin_journal(request).await?;
        }
        while let Some(batch) = request.batches.next(BatchLimit::Statement)? {
            let began = Instant::now();
            if !batch.starts.is_empty() {
                request.unless_stopped().map_err(|fault| ApplyError::partial(fault, &batch, done))?;
                self.session
                    .refuse_beyond_copy(batch.statement(0), &CatalogEffect::None)
                    .map_err(|fault| ApplyError::partial(fault, &batch, done))?;
                let earlier = earlier.take();
                if batch.classes[0].is_ordinary
                    && self.with_journal(request, &batch, done).await? == JournalWrite::SameMessage
                {
                    done += 1;
                    request.advance(done);
                    continue;
                }
                // Unlike an ordinary statement this one may leave objects behind, for which a rerun has to look.
                if request.resume.is_none() {
                    self.begin_journal(request).await?;
                }
                self.run_outside_transaction(request, &batch, done, earlier).await?;
                done += 1;
            }
            let progress = request.reached(&batch, done)?;
            let written = self.journal(request, request.batches.fingerprint(), progress, began.elapsed()).await;
            written.map_err(|broken| broken.after_statement(&batch, done))?;
            request.advance(done);
        }
        match request.policy.session {
            SessionPolicy::Reset => self.clean().await,
            SessionPolicy::Kept => Ok(()),
        }
    }

    /// Resets the session before a script, unless the settings of earlier scripts hold for it.
    async fn set_up_session(&mut self, request: &ApplyRequest<'_>) -> Result<(), ApplyError> {
        match request.policy.session {
            SessionPolicy::Reset => {
                let reset = self.session.session_reset(&request.script.section.options);
                self.session.run(reset).await.map_err(ApplyError::Bookkeeping)
            }
            SessionPolicy::Kept => Ok(()),
        }
    }

    /// Runs those settings again that statements of an earlier run have made for the remaining statements.
    async fn repeat_settings(&mut self, settings: &[Batch], done: usize) -> Result<(), ApplyError> {
        for batch in settings {
            let again = self.session.run(batch.statement(0).to_owned()).await;
            again.map_err(|fault| ApplyError::not_resumed(fault, batch, done))?;
        }
        Ok(())
    }

    /// Records that no statement of the script is completed yet.
    async fn begin_journal(&mut self, request: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        let progress = RecordedProgress::Part { done: 0, total: request.script.statements };
        self.journal(request, request.batches.fingerprint(), progress, Duration::ZERO).await?;
        request.advance(0);
        Ok(())
    }

    /// Resets the session after the revision was recorded. If that fails, the session cannot be used for another
    /// revision; the recorded row stays.
    pub(super) async fn clean(&mut self) -> Result<(), ApplyError> {
        self.session
            .run_despite_cancel(self.session.session_reset(&SectionOptions::default()))
            .await
            .map_err(ApplyError::Unknown)
    }

    /// Runs a statement and writes the journal in one message, which is one transaction: neither a kill nor a lost
    /// connection can separate the two.
    async fn with_journal(
        &mut self,
        request: &ApplyRequest<'_>,
        batch: &Batch,
        done: usize,
    ) -> Result<JournalWrite, ApplyError> {
        let progress = RecordedProgress::Part { done: done + 1, total: request.script.statements };
        let row = request.row(request.batches.fingerprint(), progress, Elapsed::SinceBegin);
        let message = |migrator: &Migrator<'_>, check| {
            Message::new([MessagePart::statement(batch.statement(0))]).and(migrator.journal_of(&row, check))
        };
        let Err(error) = self.send_checked(OnCancel::Fail, message).await else {
            return Ok(JournalWrite::SameMessage);
        };
        let unrecorded = |fault: DatabaseError, why: &str| {
            let message = format!("it was rolled back, for it could not be recorded: {why}");
            Err(ApplyError::partial(DatabaseError { message, ..fault }, batch, done).into_retryable())
        };
        match error.label {
            _ if error.is_outcome_unknown() => Err(ApplyError::Unknown(error.fault)),
            // After a query, a read-only transaction, which the script has asked for, cannot be made writable.
            Label::Script | Label::Writable if refuses_transactions(&error.fault) => Ok(JournalWrite::Separate),
            Label::Script => Err(stopped_at(error.fault, batch, done).into_retryable()),
            _ => {
                let fault = error.fault.clone();
                match self.not_written(error) {
                    ApplyError::LockLost => unrecorded(fault, "our lock was lost in it"),
                    ApplyError::Bookkeeping(why) => unrecorded(fault, &why.message),
                    _ => {
                        let why = fault.message.clone();
                        unrecorded(fault, &why)
                    }
                }
            }
        }
    }

    /// Returns the statements that write the journal and the history, preceded by the checks of the lock and of both
    /// tables.
    fn journal_of(&self, row: &HistoryRow<'_>, check: TrustCheck) -> Vec<MessagePart<'static>> {
        let writable = MessagePart::new(Label::Writable, "SET LOCAL transaction_read_only = off;\n");
        let record = MessagePart::new(Label::Record, self.history.record(row));
        let checks = self.before_bookkeeping(check, CommitMode::Own).into_iter().chain([self.before_writing_journal()]);
        [writable].into_iter().chain(checks).chain([record]).collect()
    }

    /// Records the progress of the script under Lockkeeper's own role, whichever role the script has taken.
    pub(super) async fn journal(
        &mut self,
        request: &ApplyRequest<'_>,
        executed: Fingerprint,
        progress: RecordedProgress,
        took: Duration,
    ) -> Result<(), ApplyError> {
        self.journal_and(request, (executed, progress, took), "").await
    }

    /// Records the progress as [`Migrator::journal`] does, and runs `more`, a statement that writes into the same row,
    /// in the same transaction.
    pub(super) async fn journal_and(
        &mut self,
        request: &ApplyRequest<'_>,
        (executed, progress, took): (Fingerprint, RecordedProgress, Duration),
        more: &str,
    ) -> Result<(), ApplyError> {
        let row = request.row(executed, progress, Elapsed::Known(took));
        let message = |migrator: &Migrator<'_>, check| {
            Message::new(migrator.journal_of(&row, check)).and([MessagePart::new(Label::Record, more)])
        };
        let sent = self.send_checked(OnCancel::SendAgain, message).await;
        sent.map_err(|error| self.not_written(error))
    }
}

/// The way in which the journal is written: in the message of the statement, or separately, since some statements of
/// extensions refuse to share a message.
#[derive(PartialEq, Eq)]
enum JournalWrite {
    SameMessage,
    Separate,
}

/// Returns the error for a statement that was sent alone, without a transaction around it, and failed.
pub(super) fn stopped_at(fault: DatabaseError, batch: &Batch, done: usize) -> ApplyError {
    let start = batch.starts.first().copied().unwrap_or(0);
    let at = fault.position.and_then(|position| byte_at(&batch.text[start..], position)).unwrap_or(0);
    let fault = fault.with_statement(batch.statement(0));
    ApplyError::Partial { fault, place: batch.place(start + at), excerpt: excerpt(batch.statement(0)), done }
}
