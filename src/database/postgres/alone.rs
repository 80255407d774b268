//! A statement that can share no transaction with its row in the history.

use std::time::Duration;

use super::Postgres;
use super::catalog_state::Standing;
use super::journal::stopped_at;
use super::leftover::{Index, Validity, can_be_asked};
use crate::database::{Broken, Fault, Kind, Unit};
use crate::masking::excerpt;
use crate::revision::objection::runs_alone;
use crate::revision::plan::{Outcome, Resume};
use crate::revision::render::{History, Progress};
use crate::revision::trace::Trace;
use crate::revision::{Batch, Header};

/// Whether a statement is still to be run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Everything,
    Nothing,
}

impl Postgres {
    /// Runs a statement; `earlier` is how an earlier run, or attempt, stopped at it. What that has left half done is
    /// cleared away first, and what it has done is not done twice.
    pub(super) async fn alone(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        batch: &Batch,
        done: usize,
        earlier: Option<Resume>,
    ) -> Result<(), Broken> {
        let trace = Trace::of(batch.statement(0));
        let again = |broken: Broken| if trace.can_be_run_again() { broken.repeatable() } else { broken };
        let failed = |fault| again(Broken::partial(fault, batch, done));
        if earlier.is_some_and(|resume| resume.outcome == Outcome::Open) {
            let before = self.remembered(unit, (done + 1, batch.statement(0))).await.map_err(failed)?;
            match self.standing(&trace, before.as_ref()).await.map_err(failed)? {
                Standing::Done => {
                    tracing::info!(
                        "the database has it already, an earlier run did it: {}",
                        excerpt(batch.statement(0))
                    );
                    return Ok(());
                }
                Standing::NotDone => {}
                Standing::Unknown => {
                    let (place, excerpt) = (batch.first(), excerpt(batch.statement(0)));
                    return Err(Broken::Open { place, excerpt, done });
                }
            }
        }
        self.keep_within(batch.statement(0), &trace).map_err(failed)?;
        let header = unit.way.header;
        if self.clear_away(header, &trace, earlier).await.map_err(failed)? == Left::Nothing {
            return Ok(());
        }
        let before = self.invalid_before(&trace).await.map_err(failed)?;
        if trace.must_be_known() {
            let state = self.catalog_state(&trace).await.map_err(failed)?;
            let remember = self.remember(unit, (done + 1, batch.statement(0)), state.as_ref());
            self.mark(history, unit, Progress::Begun { done, total: unit.way.statements }, &remember)
                .await
                .map_err(|broken| not_begun(broken, batch, done).repeatable())?;
        }
        let result = match self.patiently(header, batch.statement(0)).await {
            Ok(()) => self.is_usable(&trace).await,
            failed => failed,
        };
        let Err(fault) = result else {
            return Ok(());
        };
        if !can_be_asked(&fault) {
            return Err(stopped_at(fault, batch, done));
        }
        // Best effort: the statement's own fault is what has to be told.
        let left = self.left_by(&trace, &before).await.ok().flatten();
        if trace.must_be_known() {
            let _ = self.mark(history, unit, Progress::Part { done, total: unit.way.statements }, "").await;
        }
        let hint = [fault.hint.clone(), left].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let fault = Fault { hint: Some(hint).filter(|hint| !hint.is_empty()), ..fault };
        Err(again(stopped_at(fault, batch, done)))
    }

    /// Writes that the next statement begins, or that its failure is known, with the checksum of those before it; `more`
    /// is a statement that goes with it.
    async fn mark(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        progress: Progress,
        more: &str,
    ) -> Result<(), Broken> {
        let checksum = unit.resume.map_or_else(|| unit.batches.checksum(), |resume| resume.checksum);
        self.journal_and(history, unit, (checksum, progress, Duration::ZERO), more).await
    }

    /// Removes what an attempt at the same statement has left half done, or finishes it.
    async fn clear_away(
        &mut self,
        header: &Header,
        trace: &Trace,
        earlier: Option<Resume>,
    ) -> Result<Left, Fault> {
        match trace {
            // The file names it, so whoever has left it: what is asked for is a valid one.
            Trace::Index { name, build } => {
                if let Some(index) = self.built(name, &build.table).await?
                    && index.state == Validity::Invalid
                {
                    self.drop_invalid(header, &index).await?;
                }
            }
            // Others may have left some, too: only where we have been before.
            Trace::Rebuilt(scope) if earlier.is_some() => {
                for index in self.copies(scope).await? {
                    self.drop_invalid(header, &index).await?;
                }
            }
            Trace::Detached { table, partition } if self.is_detach_pending(table, partition).await? => {
                tracing::warn!("{partition} is half detached from {table}: finalizing that");
                let sql = format!("ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE");
                self.patiently(header, &sql).await?;
                return Ok(Left::Nothing);
            }
            _ => {}
        }
        Ok(Left::Everything)
    }

    async fn drop_invalid(&mut self, header: &Header, index: &Index) -> Result<(), Fault> {
        let Index { name, definition, .. } = index;
        tracing::warn!("dropping the invalid index {name}, left by a build that did not end: {definition}");
        let dropped = self.patiently(header, &format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).await;
        dropped.map_err(|fault| Fault {
            message: format!("the invalid index {name} cannot be dropped: {}", fault.message),
            position: None,
            ..fault
        })
    }

    /// The invalid indexes of before, where the statement may add some.
    async fn invalid_before(&mut self, trace: &Trace) -> Result<Vec<Index>, Fault> {
        match trace {
            Trace::Index { .. } | Trace::UnnamedIndex(_) | Trace::NoIndex { .. } | Trace::Rebuilt(_) => {
                self.invalid_indexes().await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// `IF NOT EXISTS` is content with an index that cannot be used.
    async fn is_usable(&mut self, trace: &Trace) -> Result<(), Fault> {
        let Trace::Index { name, build } = trace else {
            return Ok(());
        };
        match self.built(name, &build.table).await? {
            Some(index) if index.state != Validity::Valid => {
                // It was not there, or not invalid, when we began.
                let message = format!("another session has left the index {} invalid meanwhile", index.name);
                Err(Fault::new(Kind::Contended, message))
            }
            _ => Ok(()),
        }
    }

    /// Runs a statement that refuses transactions without our lock timeout; one that the file or the script has set
    /// stays.
    async fn patiently(&mut self, header: &Header, text: &str) -> Result<(), Fault> {
        let limits = self.limits.expect("prepare() comes before every other write");
        let ours = limits.lock.as_millis();
        let patient = header.lock_timeout.is_none() && runs_alone(text) && {
            let sql = format!(
                "SELECT pg_catalog.set_config('lock_timeout', '0', false) FROM pg_catalog.pg_settings \
                 WHERE name = 'lock_timeout' AND setting = '{ours}'"
            );
            !self.rows(sql).await?.is_empty()
        };
        let result = self.run(text.to_owned()).await.map_err(|(fault, _)| fault);
        if patient && result.as_ref().err().is_none_or(can_be_asked) {
            // The journal is next, and it proves that the session answers.
            let _ = self.surely(&format!("SET lock_timeout = {ours}")).await;
        }
        result
    }
}

/// It could not be recorded that a statement begins, so it did not.
fn not_begun(broken: Broken, batch: &Batch, done: usize) -> Broken {
    let fault = match broken {
        Broken::Bookkeeping(fault) => fault,
        Broken::LockLost => Fault::new(Kind::Statement, "our lock was lost before it"),
        other => return other,
    };
    let message = format!("it was not begun, for that could not be recorded: {}", fault.message);
    Broken::partial(Fault { message, position: None, ..fault }, batch, done)
}
