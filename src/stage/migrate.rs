//! Runs the plan, up or down: each step in one transaction, together with its row of the history.

use std::time::{Duration, Instant};

use tracing::Instrument;

use super::backup::Safety;
use super::cancellable::run_cancellable;
use super::inspected::InspectedDir;
use super::pending_steps::PendingSteps;
use crate::database::durability::{ApplyOutcome, CommitMode, SettleError};
use crate::database::{ApplyError, ApplyRequest, Canceller, DatabaseError, DatabaseErrorKind, Locked, SchemaDefects};
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan::Resume;
use crate::revision::{Completed, DirectedScript, Migration, Plan, Step};
use crate::signal::{Cancel, CancelReason};

/// The upper bound of the first pause between attempts at a contended step; the bound doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The largest upper bound of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The result of the migrate stage.
#[derive(Debug)]
pub(crate) struct Migrated {
    /// The revisions that were applied or rolled back.
    pub(crate) done: Completed,
    /// The defects that the database had before the first step.
    pub(crate) defects: SchemaDefects,
}

/// Runs every step of the plan.
///
/// # Errors
/// Fails with the first step that fails. Its transaction is rolled back; the steps before it remain done, and are named
/// in the failure.
pub(crate) async fn migrate(
    locked: &mut Locked,
    canceller: &mut Canceller,
    safety: &Safety,
    inspected: &InspectedDir<'_>,
    plan: &Plan,
    retries: u32,
    cancel: &Cancel,
) -> Result<Migrated, Failure> {
    let failed = |fault| Failure::new(Stage::Migrate, Cause::Database(fault));
    let defects = locked.defects().await.map_err(failed)?;
    locked.create_history().await.map_err(failed)?;
    let run = PlanRun { inspected, plan, safety, retries, cancel };
    let done = run.all_steps(locked, canceller).await?;
    Ok(Migrated { done, defects })
}

/// A plan, with everything that is needed to run it.
struct PlanRun<'a> {
    inspected: &'a InspectedDir<'a>,
    plan: &'a Plan,
    safety: &'a Safety,
    retries: u32,
    cancel: &'a Cancel,
}

impl<'a> PlanRun<'a> {
    /// Runs the steps in their order. Those that share a commit run again, each with its own, when the database has
    /// rolled all of them back for one: the outcome is that of single commits.
    async fn all_steps(&self, locked: &mut Locked, canceller: &mut Canceller) -> Result<Completed, Failure> {
        let mut pending = PendingSteps::new(self.inspected, self.plan, locked.longest_pending());
        while let Some(step) = pending.next() {
            let run = self.step(step, pending.commit());
            let span = tracing::info_span!("step", file = &*run.script.section.file);
            let result = run.with_retries(locked, canceller, &mut pending).instrument(span).await;
            let settled = match &result {
                Ok((ApplyOutcome::SettleFirst, _)) => pending.settle(locked).await,
                Ok((outcome, elapsed)) => pending.add(locked, *outcome, *elapsed).await,
                Err(Cause::Step { error, .. }) if error.has_lost_session() => {
                    pending.note_unproven();
                    Ok(())
                }
                Err(_) => pending.settle(locked).await,
            };
            match (settled, result) {
                (Ok(()), Ok(_)) => {}
                (Err(error), _) if self.cancel.reason().is_none() && pending.runs_again(&error) => {
                    tracing::warn!(
                        "SQLite has rolled back the revisions that shared a transaction: they run again one by one"
                    );
                }
                (settled, Err(cause)) => {
                    if let Err(SettleError::RolledBack(_)) = settled {
                        tracing::warn!("the revisions before it in the same transaction were rolled back, too");
                    }
                    return Err(Failure { done: pending.completed(), ..Failure::new(Stage::Migrate, cause) });
                }
                (Err(error), Ok(_)) => return Err(pending.failure(error)),
            }
        }
        Ok(pending.completed())
    }

    fn step(&self, step: &'a Step, commit: CommitMode) -> StepRun<'a> {
        let PlanRun { inspected, plan, safety, retries, cancel } = *self;
        let migration = inspected.directory.migration(step.migration);
        StepRun {
            inspected,
            step,
            migration,
            script: inspected.script(step, plan.direction),
            safety,
            retries,
            commit,
            cancel,
        }
    }
}

/// One step, with everything that is needed to run it.
struct StepRun<'a> {
    inspected: &'a InspectedDir<'a>,
    step: &'a Step,
    migration: &'a Migration,
    script: DirectedScript<'a>,
    safety: &'a Safety,
    retries: u32,
    commit: CommitMode,
    cancel: &'a Cancel,
}

impl StepRun<'_> {
    /// Runs the step, and tries again after growing pauses when it could not get its locks: the whole transaction each
    /// time, or the one statement of a script without a transaction. Returns the duration of the last attempt.
    async fn with_retries(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        pending: &mut PendingSteps<'_>,
    ) -> Result<(ApplyOutcome, Duration), Cause> {
        let mut pause = FIRST_PAUSE;
        let mut resume = self.step.resume.as_deref().copied();
        if let Some(Resume { done: done @ 1.., .. }) = resume {
            tracing::info!(
                "goes on after statement {done} of {}, which an earlier run has done",
                self.script.statements
            );
        }
        for attempt in 0.. {
            if let Some(reason) = self.cancel.reason() {
                return Err(Cause::Stopped(reason));
            }
            let start = Instant::now();
            let mut blocker = None;
            let mut error = match self.apply_once(locked, canceller, pending, &mut resume, &mut blocker).await {
                Ok(outcome) => return Ok((outcome, start.elapsed())),
                Err(error) => error,
            };
            let contention = error.contended();
            let is_over = contention.is_none() || attempt >= self.retries;
            if let Some(fault) = contention {
                fault.detail = fault.detail.take().or(blocker);
            }
            if is_over {
                return Err(self.cause(error));
            }
            let delay = pause.mul_f64(fastrand::f64());
            let outcome = if matches!(error, ApplyError::Yielded { .. }) { "stopped" } else { "rolled back" };
            let cause = self.cause(error);
            tracing::warn!(attempt = attempt + 1, "{outcome}, will try again in {delay:.1?}: {cause}");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                reason = self.cancel.cancelled() => return Err(self.stopped(cause, reason)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("the last attempt returns")
    }

    /// Makes one attempt. Writes to `resume` where the next attempt continues, and to `blocker` who blocks this one.
    async fn apply_once(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        pending: &mut PendingSteps<'_>,
        resume: &mut Option<Resume>,
        blocker: &mut Option<String>,
    ) -> Result<ApplyOutcome, ApplyError> {
        let mut request = ApplyRequest {
            migration: self.migration,
            previous: self.inspected.directory.previous(&self.migration.version),
            id: self.step.id(self.migration),
            script: self.script,
            batches: self.inspected.directory.open(self.script.section)?,
            resume: *resume,
            backup: self.safety.recorded(),
            policy: self.inspected.directory.layout.policy(),
            commit: self.commit,
            cancel: self.cancel,
        };
        let work = locked.apply(&mut request);
        let result = run_cancellable(work, canceller, blocker, Some(pending), self.cancel).await;
        *resume = request.resume;
        result
    }

    /// Returns the cause for a signal between two attempts. Committed statements of a script without a transaction
    /// remain.
    fn stopped(&self, cause: Cause, reason: CancelReason) -> Cause {
        match cause {
            Cause::Step { error: ApplyError::Yielded { fault, place, excerpt, done }, .. } => {
                let fault = DatabaseError { kind: DatabaseErrorKind::Cancelled, ..fault };
                self.cause(ApplyError::Partial { fault, place, excerpt, done })
            }
            _ => Cause::Stopped(reason),
        }
    }

    /// Returns the cause for a failed attempt. A cancelled statement counts as stopped by the signal, if there was one.
    /// Statements that a script without a transaction has committed before remain, and make it a partial one.
    fn cause(&self, mut error: ApplyError) -> Cause {
        let file = self.script.section.file.to_string();
        let Some(reason) = self.cancel.reason() else {
            return Cause::Step { file, error };
        };
        if error.rolled_back_by().is_some_and(|fault| fault.kind == DatabaseErrorKind::Cancelled) {
            return Cause::Stopped(reason);
        }
        match error {
            ApplyError::Partial { fault, done: 0, .. } if fault.kind == DatabaseErrorKind::Cancelled => {
                Cause::Halted { file, reason, left: fault.hint }
            }
            ApplyError::Partial { fault, place, excerpt, done } if fault.kind == DatabaseErrorKind::Cancelled => {
                let fault = DatabaseError { message: format!("{reason}: {}", fault.message), ..fault };
                Cause::Step { file, error: ApplyError::Partial { fault, place, excerpt, done } }
            }
            ApplyError::Unfinished { fault, done } if fault.kind == DatabaseErrorKind::Cancelled => {
                let fault = DatabaseError { message: format!("{reason}: {}", fault.message), ..fault };
                Cause::Step { file, error: ApplyError::Unfinished { fault, done } }
            }
            error => Cause::Step { file, error },
        }
    }
}
