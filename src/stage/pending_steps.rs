//! The steps of a plan by what is known of them: done, and reported as such; run, and not yet durable; still to run.

use std::time::{Duration, Instant};

use tracing::Span;

use super::inspected::InspectedDir;
use crate::database::durability::{ApplyOutcome, CommitMode, SettleError};
use crate::database::{ApplyError, Canceller, DatabaseErrorKind, Locked};
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Completed, Plan, Step};

/// The progress in a plan.
pub(super) struct PendingSteps<'a> {
    inspected: &'a InspectedDir<'a>,
    plan: &'a Plan,
    done: Completed,
    /// The steps that have run since the last durable commit, by the time that each took.
    pending: Vec<Duration>,
    /// The number of steps that are done.
    settled: usize,
    /// The time of the first of the pending steps.
    since: Instant,
    commit: CommitMode,
    /// The time after which pending steps are made durable.
    longest: Duration,
    /// The span of the run: a step may be reported while another one runs.
    span: Span,
}

impl<'a> PendingSteps<'a> {
    /// Returns the state before the first step.
    pub(super) fn new(inspected: &'a InspectedDir<'a>, plan: &'a Plan, longest: Duration) -> PendingSteps<'a> {
        PendingSteps {
            inspected,
            plan,
            done: Completed { direction: plan.direction, ..Completed::default() },
            pending: Vec::new(),
            settled: 0,
            since: Instant::now(),
            commit: CommitMode::Shared,
            longest,
            span: Span::current(),
        }
    }

    /// Returns the next step to run; `None` when all have run and are done.
    pub(super) fn next(&self) -> Option<&'a Step> {
        self.plan.steps.get(self.position())
    }

    fn position(&self) -> usize {
        self.settled + self.pending.len()
    }

    /// Returns the commit of the next step: the last one waits for the disk.
    pub(super) fn commit(&self) -> CommitMode {
        if self.position() + 1 == self.plan.steps.len() { CommitMode::Own } else { self.commit }
    }

    /// Adds the step that has run, and makes the steps durable if they have waited long enough or no step follows.
    ///
    /// # Errors
    /// Fails as [`Locked::settle`] does.
    pub(super) async fn add(
        &mut self,
        locked: &mut Locked,
        outcome: ApplyOutcome,
        elapsed: Duration,
    ) -> Result<(), SettleError> {
        if self.pending.is_empty() {
            self.since = Instant::now() - elapsed;
        }
        self.pending.push(elapsed);
        match outcome {
            ApplyOutcome::Durable => self.report(),
            _ if self.have_waited() || self.next().is_none() => self.settle(locked).await?,
            _ => {}
        }
        Ok(())
    }

    fn have_waited(&self) -> bool {
        self.since.elapsed() >= self.longest
    }

    /// Makes the pending steps durable while another one runs, if they have waited long enough, and reports them.
    pub(super) async fn settle_beside(&mut self, canceller: &mut Canceller) {
        if !self.pending.is_empty() && self.have_waited() && canceller.settle().await {
            self.report();
        }
    }

    /// Makes the steps that have run durable, and reports them.
    ///
    /// # Errors
    /// Fails as [`Locked::settle`] does.
    pub(super) async fn settle(&mut self, locked: &mut Locked) -> Result<(), SettleError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let settled = locked.settle().await;
        match settled {
            Ok(()) => self.report(),
            Err(SettleError::Unproven(_)) => self.note_unproven(),
            Err(SettleError::RolledBack(_)) => {}
        }
        settled
    }

    /// Notes that the pending steps may be lost if the server crashes, or has crashed.
    pub(super) fn note_unproven(&mut self) {
        self.done.unproven = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
    }

    /// Logs the steps that have become durable.
    fn report(&mut self) {
        for elapsed in std::mem::take(&mut self.pending) {
            let step = &self.plan.steps[self.settled];
            let migration = self.inspected.directory.migration(step.migration);
            let script = self.inspected.script(step, self.plan.direction);
            let duration_ms = elapsed.as_millis() as u64;
            tracing::info!(parent: &self.span, duration_ms, "{} {}", self.plan.direction.done(), script.section.file);
            // A revision that joins several branches has no statements on purpose.
            let joins = migration.parents.as_ref().is_some_and(|parents| parents.len() > 1);
            if script.statements == 0 && !joins {
                let file = &script.section.file;
                tracing::warn!(parent: &self.span, "{file} holds no statement: only the history has changed");
            }
            self.done.revisions.push(migration.version.to_string());
            self.done.repeatables += usize::from(migration.version.is_repeatable());
            self.settled += 1;
        }
    }

    /// Lets the pending steps run again, each with a commit of its own, if they were rolled back because they shared
    /// one. Returns whether they do.
    pub(super) fn runs_again(&mut self, error: &SettleError) -> bool {
        let SettleError::RolledBack(ApplyError::Commit(fault)) = error else {
            return false;
        };
        // The next commit of one alone would wait for the same connections once more.
        let runs_again = self.commit == CommitMode::Shared && fault.kind != DatabaseErrorKind::Busy;
        if runs_again {
            self.pending.clear();
            self.commit = CommitMode::Own;
        }
        runs_again
    }

    /// Returns the failure of the commit that the pending steps share.
    pub(super) fn failure(self, error: SettleError) -> Failure {
        let cause = match error {
            SettleError::RolledBack(error) => {
                let script = self.inspected.script(&self.plan.steps[self.settled], self.plan.direction);
                Cause::Step { file: script.section.file.to_string(), error }
            }
            SettleError::Unproven(fault) => Cause::Database(fault),
        };
        Failure { done: self.completed(), ..Failure::new(Stage::Migrate, cause) }
    }

    /// Returns the steps that are done.
    pub(super) fn completed(self) -> Completed {
        self.done
    }
}
