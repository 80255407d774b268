//! Runs a script without a transaction: statement by statement, each with its entry in the journal.

use std::time::{Duration, Instant};

use super::Sqlite;
use super::apply::SessionResidue;
use super::foreign_keys::new_violations;
use super::group::BEGIN;
use crate::database::apply_request::ResumePoint;
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::revision::history::{Elapsed, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::{Batch, BatchLimit, Direction};

/// The pragma with which the next commit waits until the file, with all earlier writes, is on the disk.
const SYNCHRONOUS: &str = "PRAGMA synchronous = FULL";

impl Sqlite {
    pub(super) async fn run_non_transactional(
        &mut self,
        history: &HistoryTable,
        request: &mut ApplyRequest<'_>,
        session: &mut SessionResidue,
    ) -> Result<(), ApplyError> {
        self.create_journal(history).await.map_err(ApplyError::NotBegun)?;
        let ResumePoint { mut done, settings } = request.skip_done()?;
        for batch in settings {
            session.note(&batch.text);
            self.keep_within(batch.statement(0)).map_err(|fault| ApplyError::not_resumed(fault, &batch, done))?;
            let again = self.retry_while_busy(batch.statement(0)).await;
            again.map_err(|fault| ApplyError::not_resumed(fault, &batch, done))?;
        }
        self.note_violations(history, request, done).await?;
        while let Some(batch) = request.batches.next(BatchLimit::Statement)? {
            session.note(&batch.text);
            let began = Instant::now();
            if batch.classes.first().is_some_and(|class| class.is_ordinary) {
                self.with_journal(history, request, &batch, done).await?;
                done += 1;
                continue;
            }
            // An empty batch holds what follows the last statement: comments, or nothing.
            if batch.starts.is_empty() {
                let progress = request.reached(&batch, done)?;
                return self.finish(history, request, progress, done).await;
            }
            let result = match request.unless_stopped().and_then(|()| self.keep_within(batch.statement(0))) {
                Ok(()) => self.retry_while_busy(batch.statement(0)).await,
                Err(fault) => Err(fault),
            };
            result.map_err(|fault| ApplyError::partial(fault, &batch, done))?;
            done += 1;
            let progress = request.reached(&batch, done)?;
            let written = self.journal(history, request, progress, began.elapsed()).await;
            written.map_err(|broken| broken.after_statement(&batch, done))?;
        }
        Ok(())
    }

    /// Records the rows without a parent row before the first statement, in the transaction of the first journal entry.
    /// A resumed run finds them recorded, unless an older release that did not record them has begun the script.
    async fn note_violations(
        &mut self,
        history: &HistoryTable,
        request: &ApplyRequest<'_>,
        done: usize,
    ) -> Result<(), ApplyError> {
        let kept = if done == 0 { None } else { self.noted_violations().await.map_err(ApplyError::NotBegun)? };
        if kept.is_some() {
            return Ok(());
        }
        let violations = self.find_violations().await.map_err(ApplyError::NotBegun)?;
        let mut sql = self.baseline(&violations);
        // For a down script the row keeps its state until a statement is undone.
        if request.script.direction == Direction::Up && done == 0 {
            let progress = RecordedProgress::Part { done, total: request.script.statements };
            let row = request.row(request.batches.fingerprint(), progress, Elapsed::Known(Duration::ZERO));
            sql.push_str(&history.record(&row));
        }
        self.in_own_transaction(async |database| database.run_all(&sql)).await.map_err(ApplyError::NotBegun)
    }

    /// Records the script as done unless it has left more rows without a parent row than there were before. Nothing can
    /// be rolled back: the revision stays partial until somebody has corrected the rows.
    async fn finish(
        &mut self,
        history: &HistoryTable,
        request: &ApplyRequest<'_>,
        progress: RecordedProgress,
        done: usize,
    ) -> Result<(), ApplyError> {
        let record =
            history.record(&request.row(request.batches.fingerprint(), progress, Elapsed::Known(Duration::ZERO)));
        let mut grown = Vec::new();
        // The script may have set another value, with which its writes might not be on the disk.
        self.retry_while_busy(SYNCHRONOUS).await.map_err(|fault| ApplyError::Unfinished { fault, done })?;
        let ended = self.in_own_transaction(async |database| {
            let now = database.find_violations().await?;
            let before = database.noted_violations().await?.unwrap_or_default();
            grown = new_violations(&before, &now);
            database.violations = Some(now);
            match grown.is_empty() {
                true => database.run_all(&format!("DROP TABLE IF EXISTS {};\n{record}", database.baseline_table())),
                false => Ok(()),
            }
        });
        ended.await.map_err(|fault| ApplyError::Unfinished { fault, done })?;
        match grown.is_empty() {
            true => Ok(()),
            false => Err(ApplyError::PartialViolations { rows: grown, done }),
        }
    }

    /// Runs work between BEGIN IMMEDIATE and COMMIT; rolls back when it fails.
    pub(super) async fn in_own_transaction(
        &mut self,
        work: impl AsyncFnOnce(&mut Sqlite) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.retry_while_busy(BEGIN).await?;
        let result = match work(self).await {
            Ok(()) => self.retry_while_busy("COMMIT").await,
            Err(fault) => Err(fault),
        };
        if result.is_err() {
            // ROLLBACK fails when the error itself has ended the transaction.
            let _ = self.run("ROLLBACK");
        }
        result
    }

    /// Runs a statement and writes the journal in one transaction, so that no kill comes between the two.
    async fn with_journal(
        &mut self,
        history: &HistoryTable,
        request: &ApplyRequest<'_>,
        batch: &Batch,
        done: usize,
    ) -> Result<(), ApplyError> {
        let progress = RecordedProgress::Part { done: done + 1, total: request.script.statements };
        let began = Instant::now();
        let row =
            history.record(&request.row(request.batches.fingerprint(), progress, Elapsed::Known(began.elapsed())));
        let ran = self.in_own_transaction(async |database| {
            request.unless_stopped()?;
            database.run_all(batch.statement(0))?;
            database.run_all(&row)
        });
        ran.await.map_err(|fault| ApplyError::partial(fault, batch, done))
    }

    /// Writes the journal after a statement. BEGIN IMMEDIATE would take the write lock of attached files, too, which others
    /// may hold.
    async fn journal(
        &mut self,
        history: &HistoryTable,
        request: &ApplyRequest<'_>,
        progress: RecordedProgress,
        took: Duration,
    ) -> Result<(), ApplyError> {
        let record = history.record(&request.row(request.batches.fingerprint(), progress, Elapsed::Known(took)));
        let sql = ["BEGIN;\n", &record, "COMMIT"].concat();
        let mut waiting_since = None;
        loop {
            let Err(fault) = self.run_all(&sql) else {
                return Ok(());
            };
            // ROLLBACK fails when the error itself has ended the transaction.
            let _ = self.run("ROLLBACK");
            if fault.kind != DatabaseErrorKind::Busy {
                return Err(ApplyError::Bookkeeping(fault));
            }
            self.pause(&mut waiting_since, fault).await.map_err(ApplyError::Bookkeeping)?;
        }
    }
}
