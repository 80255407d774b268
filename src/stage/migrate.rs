//! Runs the plan, up or down: each step in one transaction, together with its row of the history.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::backup::Safety;
use crate::database::{ApplyError, ApplyRequest, Canceller, DatabaseError, DatabaseErrorKind, Locked, SchemaDefects};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::progress;
use crate::revision::plan::Resume;
use crate::revision::{Completed, DirectedScript, Direction, Migration, Plan, Section, Step};
use crate::signal::{Cancel, CancelReason};

/// The upper bound of the first pause between attempts at a contended step; the bound doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The largest upper bound of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The time after which a statement that still runs is cancelled once more.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// The pauses before the first checks of who blocks a running step: soon at first, then every [`LOOK`].
const FIRST_LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// The pause between the later checks.
const LOOK: Duration = Duration::from_secs(2);

/// The result of the migrate stage.
#[derive(Debug)]
pub struct Migrated {
    /// The revisions that were applied or rolled back.
    pub done: Completed,
    /// The defects that the database had before the first step.
    pub defects: SchemaDefects,
}

/// The result of reading a step's file to its end.
#[derive(Debug)]
pub struct Inspection {
    /// The number of statements in the file.
    pub statements: usize,
    /// The down script, if the revision has one.
    pub back: Option<Section>,
}

/// A migration directory with the inspections of its scripts.
pub struct InspectedDir<'a> {
    /// The migration directory.
    pub folder: &'a MigrationDir,
    /// The inspections, by position in the directory; only the scripts of the plan have one.
    pub inspections: Vec<Option<Inspection>>,
}

impl InspectedDir<'_> {
    /// Returns the script that a step runs. The step must be one of the inspected plan.
    pub fn way(&self, step: &Step, direction: Direction) -> DirectedScript<'_> {
        let migration = &self.folder.migrations[step.migration];
        let inspection = self.inspections[step.migration].as_ref().expect("every step of the plan was inspected");
        let (statements, back) = (inspection.statements, inspection.back.as_ref());
        match direction {
            Direction::Up => {
                let down = back.map(|back| back.checksum);
                DirectedScript { direction, section: &migration.up, statements, down }
            }
            Direction::Down => {
                let section = back.expect("what cannot be undone is refused before");
                DirectedScript { direction, section, statements, down: None }
            }
        }
    }
}

/// Runs every step of the plan.
///
/// # Errors
/// Fails with the first step that fails. Its transaction is rolled back; the steps before it remain done, and are named
/// in the failure.
pub async fn migrate(
    locked: &mut Locked,
    canceller: &mut Canceller,
    safety: &Safety,
    inspected: &InspectedDir<'_>,
    plan: &Plan,
    retries: u32,
    cancel: &Cancel,
) -> Result<Migrated, Failure> {
    let database = |fault| Failure::new(Stage::Migrate, Cause::Database(fault));
    let direction = plan.direction;
    let defects = locked.defects().await.map_err(database)?;
    let mut migrated = Migrated { done: Completed { direction, ..Completed::default() }, defects };
    locked.create_history().await.map_err(database)?;
    for step in &plan.steps {
        let (migration, way) = (&inspected.folder.migrations[step.migration], inspected.way(step, direction));
        let span = tracing::info_span!("step", file = &*way.section.file);
        let run = StepRun { inspected, step, migration, way, safety, retries, cancel };
        match run.with_retries(locked, canceller).instrument(span).await {
            Ok(took) => {
                tracing::info!(duration_ms = took.as_millis() as u64, "{} {}", direction.done(), way.section.file);
                // A revision that joins several branches has no statements on purpose.
                let joins = migration.parents.as_ref().is_some_and(|parents| parents.len() > 1);
                if way.statements == 0 && !joins {
                    tracing::warn!("{} holds no statement: only the history has changed", way.section.file);
                }
            }
            Err(cause) => return Err(Failure { done: migrated.done, ..Failure::new(Stage::Migrate, cause) }),
        }
        migrated.done.revisions.push(migration.version.to_string());
    }
    Ok(migrated)
}

/// One step, with everything that is needed to run it.
struct StepRun<'a> {
    inspected: &'a InspectedDir<'a>,
    step: &'a Step,
    migration: &'a Migration,
    way: DirectedScript<'a>,
    safety: &'a Safety,
    retries: u32,
    cancel: &'a Cancel,
}

impl StepRun<'_> {
    /// Runs the step, and tries again after growing pauses when it could not get its locks: the whole transaction each
    /// time, or the one statement of a script without a transaction. Returns the duration of the last attempt.
    async fn with_retries(&self, locked: &mut Locked, canceller: &mut Canceller) -> Result<Duration, Cause> {
        let mut pause = FIRST_PAUSE;
        let mut resume = self.step.resume.as_deref().copied();
        for attempt in 0.. {
            if let Some(reason) = self.cancel.reason() {
                return Err(Cause::Stopped(reason));
            }
            let began = Instant::now();
            let mut blocker = None;
            let mut broken = match self.once(locked, canceller, &mut resume, &mut blocker).await {
                Ok(()) => return Ok(began.elapsed()),
                Err(broken) => broken,
            };
            let contended = broken.contended();
            let is_over = contended.is_none() || attempt >= self.retries;
            if let Some(fault) = contended {
                fault.detail = fault.detail.take().or(blocker);
            }
            if is_over {
                return Err(self.cause(broken));
            }
            let delay = pause.mul_f64(fastrand::f64());
            let now = if matches!(broken, ApplyError::Yielded { .. }) { "stopped" } else { "rolled back" };
            let cause = self.cause(broken);
            tracing::warn!(attempt = attempt + 1, "{now}, will try again in {delay:.1?}: {cause}");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                reason = self.cancel.cancelled() => return Err(self.stopped(cause, reason)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("the last attempt returns")
    }

    /// Makes one attempt. Writes to `resume` where the next attempt continues, and to `blocker` who blocks this one.
    async fn once(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        resume: &mut Option<Resume>,
        blocker: &mut Option<String>,
    ) -> Result<(), ApplyError> {
        let mut unit = ApplyRequest {
            migration: self.migration,
            id: self.step.id(self.migration),
            way: self.way,
            batches: self.inspected.folder.open(self.way.section)?,
            resume: *resume,
            backup: self.safety.name(),
            cancel: self.cancel,
        };
        let result = run_cancellable(locked.apply(&mut unit), canceller, blocker, self.cancel).await;
        *resume = unit.resume;
        result
    }

    /// Returns the cause for a signal between two attempts. Committed statements of a script without a transaction
    /// remain.
    fn stopped(&self, cause: Cause, reason: CancelReason) -> Cause {
        match cause {
            Cause::Step { broken: ApplyError::Yielded { fault, place, excerpt, done }, .. } => {
                let fault = DatabaseError { kind: DatabaseErrorKind::Cancelled, ..fault };
                self.cause(ApplyError::Partial { fault, place, excerpt, done })
            }
            _ => Cause::Stopped(reason),
        }
    }

    /// Returns the cause for a failed attempt. A cancelled statement counts as stopped by the signal, if there was one.
    /// Statements that a script without a transaction has committed before remain, and make it a partial one.
    fn cause(&self, mut broken: ApplyError) -> Cause {
        let file = self.way.section.file.to_string();
        let Some(reason) = self.cancel.reason() else {
            return Cause::Step { file, broken };
        };
        if broken.rolled_back_by().is_some_and(|fault| fault.kind == DatabaseErrorKind::Cancelled) {
            return Cause::Stopped(reason);
        }
        match broken {
            ApplyError::Partial { fault, done: 0, .. } if fault.kind == DatabaseErrorKind::Cancelled => {
                Cause::Halted { file, reason, left: fault.hint }
            }
            ApplyError::Partial { fault, place, excerpt, done } if fault.kind == DatabaseErrorKind::Cancelled => {
                let fault = DatabaseError { message: format!("{reason}: {}", fault.message), ..fault };
                Cause::Step { file, broken: ApplyError::Partial { fault, place, excerpt, done } }
            }
            ApplyError::Unfinished { fault, done } if fault.kind == DatabaseErrorKind::Cancelled => {
                let fault = DatabaseError { message: format!("{reason}: {}", fault.message), ..fault };
                Cause::Step { file, broken: ApplyError::Unfinished { fault, done } }
            }
            broken => Cause::Step { file, broken },
        }
    }
}

/// Waits for work on the database. A signal cancels the statement on the server and waits for the answer: the work is
/// then known to be rolled back, or to be done after all. Writes to `blocker` who blocks the work, because nobody can
/// find that out after the lock timeout has ended the statement.
pub(super) async fn run_cancellable(
    work: impl Future<Output = Result<(), ApplyError>>,
    canceller: &mut Canceller,
    blocker: &mut Option<String>,
    cancel: &Cancel,
) -> Result<(), ApplyError> {
    let mut work = std::pin::pin!(work);
    let mut looks = FIRST_LOOKS.into_iter().chain(std::iter::repeat(LOOK));
    let mut intervals = progress::intervals();
    let mut tell_at = intervals.next().unwrap_or(Duration::MAX);
    let began = Instant::now();
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = cancel.cancelled() => {
                return stop(work, canceller).await;
            }
            () = tokio::time::sleep(looks.next().unwrap_or(LOOK)) => {
                let waiting = canceller.waiting_for().await.map_err(ApplyError::Unknown)?;
                *blocker = waiting.as_deref().and_then(|what| what.find("blocked by").map(|at| what[at..].to_owned()));
                if began.elapsed() >= tell_at {
                    tell_at += intervals.next().unwrap_or(Duration::MAX);
                    let waiting = waiting.map_or(String::new(), |what| format!(", waiting for {what}"));
                    tracing::info!("still running after {} s{waiting}", began.elapsed().as_secs());
                }
            }
        }
    }
}

/// Cancels the work and waits for its end. A cancel request that arrives between two statements has no effect, so it is
/// sent again.
async fn stop(
    mut work: Pin<&mut impl Future<Output = Result<(), ApplyError>>>,
    canceller: &mut Canceller,
) -> Result<(), ApplyError> {
    loop {
        canceller.cancel().await;
        if let Ok(result) = tokio::time::timeout(CANCEL_AGAIN, work.as_mut()).await {
            return result;
        }
    }
}
