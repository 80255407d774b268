//! Runs a script of a revision on SQLite.

use std::time::Instant;

use super::Sqlite;
use super::group::{BEGIN, ScriptTransaction};
use crate::database::durability::ApplyOutcome;
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::masking::excerpt;
use crate::revision::history::{Elapsed, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::policy::{ForeignKeyPolicy, SessionPolicy};
use crate::revision::render::leaves_session_state;
use crate::revision::{Batch, BatchLimit, TransactionMode};

/// The size of one batch in bytes. A script of one batch can share its transaction.
const BATCH_BYTES: usize = 32 * 1024;

impl Sqlite {
    /// Creates the history table, or converts a table of an older release.
    ///
    /// # Errors
    /// A statement failed, or another connection writes for too long.
    pub(crate) async fn create_history(&mut self, history: &HistoryTable) -> Result<(), DatabaseError> {
        let Some(sql) = self.renewal(history).await? else {
            return self.retry_while_busy(&history.create()).await;
        };
        let rebuild = async {
            self.retry_while_busy(BEGIN).await?;
            self.run_all(&sql)?;
            self.retry_while_busy("COMMIT").await
        };
        let result = rebuild.await;
        if result.is_err() {
            // ROLLBACK fails when there is no transaction, or the error has ended it.
            let _ = self.run("ROLLBACK");
        }
        result
    }

    /// Returns SQL that converts a history table of an older release, for use in a transaction; `None` if there is no
    /// such table.
    pub(super) async fn renewal(&mut self, history: &HistoryTable) -> Result<Option<String>, DatabaseError> {
        let is_old = self.made_by().await?.is_some_and(|create_sql| !self.lacking(&create_sql).is_empty());
        Ok(is_old.then(|| history.format.extend(history, &self.history)))
    }

    /// Checks that the lock file and the database file are still those of this run.
    pub(super) fn assert_lock_held(&self) -> Result<(), ApplyError> {
        match (self.is_locked(), self.is_same_file()) {
            (false, _) => Err(ApplyError::LockLost),
            (true, false) => Err(ApplyError::Replaced),
            (true, true) => Ok(()),
        }
    }

    /// Runs a script and records it, in a transaction or statement by statement.
    ///
    /// # Errors
    /// A statement failed; the error names it and its position. A transaction is rolled back.
    pub(crate) async fn apply(
        &mut self,
        history: &HistoryTable,
        request: &mut ApplyRequest<'_>,
    ) -> Result<ApplyOutcome, ApplyError> {
        self.monitor.begin(request.cancel, self.group.uncommitted());
        let result = self.apply_watched(history, request).await;
        self.monitor.end();
        result
    }

    async fn apply_watched(
        &mut self,
        history: &HistoryTable,
        request: &mut ApplyRequest<'_>,
    ) -> Result<ApplyOutcome, ApplyError> {
        self.assert_lock_held()?;
        let first = match request.script.section.options.mode {
            TransactionMode::Transaction => request.batches.next(BatchLimit::Bytes(BATCH_BYTES))?,
            TransactionMode::NoTransaction => None,
        };
        let Some(transaction) = self.transaction_of(history, request, first.as_ref()) else {
            return Ok(ApplyOutcome::SettleFirst);
        };
        let foreign_keys = request.script.section.foreign_keys(request.policy.foreign_keys);
        self.switch_foreign_keys(foreign_keys).await.map_err(ApplyError::NotBegun)?;
        let mut residue = SessionResidue::Clean;
        let result = match request.script.section.options.mode {
            TransactionMode::Transaction => {
                if history.writes_journal_alone(request.id) {
                    self.create_journal(history).await.map_err(ApplyError::NotBegun)?;
                }
                self.in_transaction(transaction, history, request, first, &mut residue).await
            }
            TransactionMode::NoTransaction => {
                let run = self.run_non_transactional(history, request, &mut residue).await;
                run.map(|()| ApplyOutcome::Durable)
            }
        };
        if residue == SessionResidue::Touched && request.policy.session == SessionPolicy::Reset {
            // The next query opens the file again; a failure then is not a failure of this script.
            self.close();
        }
        result
    }

    /// Switches foreign keys if the last script ran with others. Scripts may switch them, too.
    async fn switch_foreign_keys(&mut self, wanted: ForeignKeyPolicy) -> Result<(), DatabaseError> {
        if wanted != self.foreign_keys {
            self.retry_while_busy(wanted.pragma()).await?;
            self.foreign_keys = wanted;
        }
        Ok(())
    }

    async fn in_transaction(
        &mut self,
        transaction: ScriptTransaction,
        history: &HistoryTable,
        request: &mut ApplyRequest<'_>,
        first: Option<Batch>,
        residue: &mut SessionResidue,
    ) -> Result<ApplyOutcome, ApplyError> {
        let started = Instant::now();
        if self.violations.is_none() {
            self.find_earlier_violations().await.map_err(ApplyError::NotBegun)?;
        }
        self.begin(transaction).await.map_err(ApplyError::NotBegun)?;
        let result = async {
            self.run_script(request, first, residue)?;
            self.check_foreign_keys().await?;
            let progress = RecordedProgress::Whole { statements: request.script.statements };
            let row = request.row(request.script.section.fingerprint, progress, Elapsed::Known(started.elapsed()));
            self.record(transaction, &history.record(&row)).await
        };
        let result = result.await;
        if result.is_err() {
            self.roll_back(transaction);
        }
        result
    }

    /// Runs the statements of a script, of which the first batch has been read.
    fn run_script(
        &mut self,
        request: &mut ApplyRequest<'_>,
        first: Option<Batch>,
        residue: &mut SessionResidue,
    ) -> Result<(), ApplyError> {
        let mut next = first;
        while let Some(batch) = next {
            residue.note(&batch.text);
            request.unless_stopped().map_err(ApplyError::Bookkeeping)?;
            self.keep_all_within(&batch)?;
            self.run_batch(&batch)?;
            next = request.batches.next(BatchLimit::Bytes(BATCH_BYTES))?;
        }
        request.unchanged()
    }

    fn keep_all_within(&self, batch: &Batch) -> Result<(), ApplyError> {
        for (index, &start) in batch.starts.iter().enumerate() {
            let statement = batch.statement(index);
            self.keep_within(statement).map_err(|fault| ApplyError::Statement {
                fault,
                place: batch.place(start),
                excerpt: excerpt(statement),
            })?;
        }
        Ok(())
    }

    fn run_batch(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        let Err((fault, completed)) = self.run(&batch.text) else {
            return Ok(());
        };
        Err(match batch.starts.get(completed) {
            None => ApplyError::Bookkeeping(fault),
            Some(&start) => ApplyError::Statement {
                fault: fault.with_statement(batch.statement(completed)),
                place: batch.place(start),
                excerpt: excerpt(batch.statement(completed)),
            },
        })
    }

    /// Runs one statement, and repeats it for up to `busy_timeout` while another connection is writing.
    pub(super) async fn retry_while_busy(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let mut waiting_since = None;
        loop {
            match self.run_all(sql) {
                Err(fault) if fault.kind == DatabaseErrorKind::Busy => self.pause(&mut waiting_since, fault).await?,
                result => return result,
            }
        }
    }
}

/// The state in which a script leaves the session: `Touched` if it may have left settings, temporary tables or attached
/// files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionResidue {
    Clean,
    Touched,
}

impl SessionResidue {
    pub(super) fn note(&mut self, text: &str) {
        if *self == SessionResidue::Clean && leaves_session_state(text) {
            *self = SessionResidue::Touched;
        }
    }
}
