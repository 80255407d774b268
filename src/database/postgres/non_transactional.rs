//! Execution of a statement that cannot share a transaction with its history row.

use std::time::Duration;

use super::catalog_state::StatementState;
use super::index_state::{CatalogIndex, IndexValidity, can_be_asked};
use super::journal::stopped_at;
use super::migrator::Migrator;
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::masking::excerpt;
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::{Batch, Classified, SectionOptions};

/// The part of a statement that is still to be run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    Everything,
    Nothing,
}

impl Migrator<'_> {
    /// Runs a statement; `earlier` is the state in which an earlier run, or attempt, stopped at the statement. Objects
    /// that the earlier run has left half done are removed first, and a completed effect is not repeated.
    pub(super) async fn run_outside_transaction(
        &mut self,
        request: &ApplyRequest<'_>,
        batch: &Batch,
        done: usize,
        earlier: Option<Resume>,
    ) -> Result<(), ApplyError> {
        let effect = CatalogEffect::from_statement(batch.statement(0), &batch.classes[0]);
        let again = |broken: ApplyError| if effect.can_be_run_again() { broken.into_retryable() } else { broken };
        let failed = |fault| again(ApplyError::partial(fault, batch, done));
        if earlier.is_some_and(|resume| resume.outcome == StatementOutcome::Open) {
            let excerpt = excerpt(batch.statement(0));
            match self.state_after_earlier_run(request, batch, done, &effect).await.map_err(failed)? {
                StatementState::Done => {
                    tracing::info!("the database has it already, an earlier run did it: {excerpt}");
                    return Ok(());
                }
                StatementState::NotDone => {}
                StatementState::Unknown => return Err(ApplyError::Open { place: batch.first(), excerpt, done }),
            }
        }
        self.session.refuse_beyond_copy(batch.statement(0), &effect).map_err(failed)?;
        let options = &request.script.section.options;
        if self.clear_away(options, &effect, earlier).await.map_err(failed)? == Remaining::Nothing {
            return Ok(());
        }
        let before = self.invalid_before(&effect).await.map_err(failed)?;
        if effect.must_be_known() {
            self.mark_as_begun(request, batch, done, &effect).await.map_err(again)?;
        }
        let Err(fault) = self.run_and_check(options, batch, &effect).await else {
            return Ok(());
        };
        if !can_be_asked(&fault) {
            return Err(stopped_at(fault, batch, done));
        }
        // Best effort: the statement's own error is the one to report.
        let left = self.session.describe_leftovers(&effect, &before).await.ok().flatten();
        if effect.must_be_known() {
            let _ = self.mark(request, RecordedProgress::Part { done, total: request.script.statements }, "").await;
        }
        Err(again(stopped_at(with_second_hint(fault, left), batch, done)))
    }

    /// Runs a statement and checks that an index that it has built is usable.
    async fn run_and_check(
        &mut self,
        options: &SectionOptions,
        batch: &Batch,
        effect: &CatalogEffect,
    ) -> Result<(), DatabaseError> {
        self.run_without_lock_timeout(options, batch.statement(0), &batch.classes[0]).await?;
        self.is_usable(effect).await
    }

    /// Records that a statement begins, with the state of the catalog before it.
    async fn mark_as_begun(
        &mut self,
        request: &ApplyRequest<'_>,
        batch: &Batch,
        done: usize,
        effect: &CatalogEffect,
    ) -> Result<(), ApplyError> {
        let state = self.catalog_state(effect).await.map_err(|error| ApplyError::partial(error, batch, done))?;
        let state = state.map(|state| state.to_text(done + 1, batch.statement(0)));
        let remember = self.history.journal().set_catalog_before(request.id, state.as_deref());
        let progress = RecordedProgress::Begun { done, total: request.script.statements };
        let marked = self.mark(request, progress, &remember).await;
        marked.map_err(|error| not_begun(error, batch, done).into_retryable())
    }

    /// Compares the catalog with the state that was recorded before an earlier run sent this statement.
    async fn state_after_earlier_run(
        &mut self,
        request: &ApplyRequest<'_>,
        batch: &Batch,
        done: usize,
        effect: &CatalogEffect,
    ) -> Result<StatementState, DatabaseError> {
        let before = self.remembered(request, (done + 1, batch.statement(0))).await?;
        self.statement_state(effect, before.as_ref()).await
    }

    /// Records that the next statement begins, or that its failure is known, with the fingerprint of the statements
    /// before it. `more` is a statement that runs in the same transaction, or empty.
    async fn mark(
        &mut self,
        request: &ApplyRequest<'_>,
        progress: RecordedProgress,
        more: &str,
    ) -> Result<(), ApplyError> {
        let executed = request.resume.map_or_else(|| request.batches.fingerprint(), |resume| resume.executed);
        self.journal_and(request, (executed, progress, Duration::ZERO), more).await
    }

    /// Removes objects that an attempt at the same statement has left half done, or finishes the statement.
    async fn clear_away(
        &mut self,
        options: &SectionOptions,
        effect: &CatalogEffect,
        earlier: Option<Resume>,
    ) -> Result<Remaining, DatabaseError> {
        match effect {
            // The script names the index and asks for a valid one, so it does not matter who has left the invalid one.
            CatalogEffect::Index { name, build } => {
                if let Some(index) = self.session.built(name, &build.table).await?
                    && index.state == IndexValidity::Invalid
                {
                    self.drop_invalid(options, &index).await?;
                }
            }
            // Other sessions may have left copies, too: drop them only if an earlier run has reached this statement.
            CatalogEffect::Rebuilt(scope) if earlier.is_some() => {
                for index in self.session.copies(scope).await? {
                    self.drop_invalid(options, &index).await?;
                }
            }
            CatalogEffect::Detached { table, partition }
                if self.session.is_detach_pending(table, partition).await? =>
            {
                tracing::warn!("{partition} is half detached from {table}: finalizing that");
                let sql = format!("ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE");
                self.run_without_lock_timeout(options, &sql, &Classified::new(&sql, Dialect::Postgres)).await?;
                return Ok(Remaining::Nothing);
            }
            _ => {}
        }
        Ok(Remaining::Everything)
    }

    async fn drop_invalid(&mut self, options: &SectionOptions, index: &CatalogIndex) -> Result<(), DatabaseError> {
        let CatalogIndex { name, definition, .. } = index;
        tracing::warn!("dropping the invalid index {name}, left by a build that did not end: {definition}");
        let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let class = Classified::new(&sql, Dialect::Postgres);
        let dropped = self.run_without_lock_timeout(options, &sql, &class).await;
        dropped.map_err(|fault| DatabaseError {
            message: format!("the invalid index {name} cannot be dropped: {}", fault.message),
            position: None,
            ..fault
        })
    }

    /// Returns the indexes that are invalid before the statement runs, if it is a statement that may add invalid ones.
    async fn invalid_before(&mut self, effect: &CatalogEffect) -> Result<Vec<CatalogIndex>, DatabaseError> {
        match effect {
            CatalogEffect::Index { .. }
            | CatalogEffect::UnnamedIndex(_)
            | CatalogEffect::NoIndex { .. }
            | CatalogEffect::Rebuilt(_) => self.session.invalid_indexes().await,
            _ => Ok(Vec::new()),
        }
    }

    /// Checks that the index of a statement is usable: `IF NOT EXISTS` accepts an unusable one.
    async fn is_usable(&mut self, effect: &CatalogEffect) -> Result<(), DatabaseError> {
        let CatalogEffect::Index { name, build } = effect else {
            return Ok(());
        };
        match self.session.built(name, &build.table).await? {
            Some(index) if index.state != IndexValidity::Valid => {
                // The index did not exist, or was not invalid, before the statement.
                let message = format!("another session has left the index {} invalid meanwhile", index.name);
                Err(DatabaseError::new(DatabaseErrorKind::Contended, message))
            }
            _ => Ok(()),
        }
    }

    /// Runs a statement that refuses transactions without Lockkeeper's lock timeout; a lock timeout that the header or
    /// the script has set is kept.
    async fn run_without_lock_timeout(
        &mut self,
        options: &SectionOptions,
        text: &str,
        class: &Classified,
    ) -> Result<(), DatabaseError> {
        let limits = self.session.limits.expect("prepare() comes before every other write");
        let ours = limits.lock.as_millis();
        let patient = options.lock_timeout.is_none() && class.refuses_transactions() && {
            let sql = format!(
                "SELECT pg_catalog.set_config('lock_timeout', '0', false) FROM pg_catalog.pg_settings \
                 WHERE name = 'lock_timeout' AND setting = '{ours}'"
            );
            !self.session.rows(sql).await?.is_empty()
        };
        let result = self.session.run(text.to_owned()).await;
        if patient && result.as_ref().err().is_none_or(can_be_asked) {
            // An error is ignored: the journal comes next and shows whether the session answers.
            let _ = self.session.run_despite_cancel(format!("SET lock_timeout = {ours}")).await;
        }
        result
    }
}

/// Returns the error for a statement that was not begun because the beginning could not be recorded.
fn not_begun(broken: ApplyError, batch: &Batch, done: usize) -> ApplyError {
    let fault = match broken {
        ApplyError::Bookkeeping(fault) => fault,
        ApplyError::LockLost => DatabaseError::new(DatabaseErrorKind::Statement, "our lock was lost before it"),
        other => return other,
    };
    let message = format!("it was not begun, for that could not be recorded: {}", fault.message);
    ApplyError::partial(DatabaseError { message, position: None, ..fault }, batch, done)
}

/// Appends a hint to the one that an error has.
fn with_second_hint(error: DatabaseError, second: Option<String>) -> DatabaseError {
    let hint = [error.hint.clone(), second].into_iter().flatten().collect::<Vec<_>>().join("; ");
    DatabaseError { hint: Some(hint).filter(|hint| !hint.is_empty()), ..error }
}
