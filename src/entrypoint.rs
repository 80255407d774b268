//! The story of a release changing its database, told once for every command that writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{Config, OnFailure, RehearsalMode};
use crate::database::{Canceller, Database, Locked, UnlockResult};
use crate::error::{BackupDisposition, Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::plan::{describe_heads, list};
use crate::revision::{Applied, Backslash, Completed, Goal, Plan, RecordedState};
use crate::signal::Cancel;
use crate::stage::backup::{RevisionRange, Safety, backup};
use crate::stage::foreign_history::{advise_stamp, refuse_foreign_history, warn_of_unrecorded_tables};
use crate::stage::lock::{LockOutcome, LockRequest, lock};
use crate::stage::migrate::{InspectedDir, migrate};
use crate::stage::rehearse::{Rehearsal, tidy};
use crate::stage::restore::{BackupArchive, sqlite};
use crate::stage::verify::{verify, warn_of_missing_parents};
use crate::stage::wait::wait;

/// How long the answer to an unlock is waited for.
const FAREWELL: Duration = Duration::from_secs(3);

/// Before a server that was not ready after all is waited for again.
const PAUSE: Duration = Duration::from_secs(1);

/// How a run that succeeded left the database.
#[derive(Debug, Default)]
pub struct MigratedDatabase {
    pub done: Completed,
    /// Where the database is; `None` is base.
    pub revision: Option<String>,
    pub backup: Option<PathBuf>,
}

/// Brings the database to the target.
///
/// # Errors
/// The failure of the stage that could not go on; see [`crate::exit`] for what each means.
pub async fn run(config: &Config, request: &MigrationRequest, cancel: &Cancel) -> Result<MigratedDatabase, Failure> {
    let until = Instant::now() + config.patience.total;
    let mut settled_goal = None;
    loop {
        let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
        let (goal, pending) = match resolve_and_plan(request, settled_goal.as_ref(), &applied) {
            Ok(planned) => planned,
            Err(refusal) if !has_unfinished(&applied) => return Err(refusal),
            Err(_) => {
                match resolve_and_plan_locked(database, config, request, settled_goal.as_ref(), cancel).await {
                    Ok(goal) => settled_goal = Some(goal),
                    Err(failure) => not_ready_after_all(failure, until, cancel).await?,
                }
                continue;
            }
        };
        if pending.steps.is_empty() {
            warn_of_missing_parents(&mut database).await;
            return Ok(migrated_database(&pending));
        }
        let reading = database.server().backslash;
        let inspected = request.inspect(&pending, &applied, reading)?;
        let is_done = |applied: &[Applied]| request.plan(&goal, applied).is_ok_and(|plan| plan.steps.is_empty());
        let gate = match refuse_foreign_history(&mut database, &request.folder).await {
            Ok(()) => lock(database, &lock_request(config, &is_done), cancel).await,
            Err(failure) => Err(failure),
        };
        match gate {
            Ok(LockOutcome::NotNeeded(applied)) => {
                return Ok(migrated_database(&request.plan(&goal, &applied)?));
            }
            Ok(LockOutcome::Ours(mut locked, canceller)) => {
                let work = UpgradeWork { config, request, goal: &goal, pending: &pending, reading };
                let mut ended = work.run_locked(inspected, &mut locked, canceller, cancel).await;
                release_lock(locked).await;
                let done = ended.as_mut().map_or_else(|failure| &mut failure.done, |now| &mut now.done);
                done.again = request.again(&pending);
                return ended;
            }
            Err(failure) => not_ready_after_all(failure, until, cancel).await?,
        }
        settled_goal = Some(goal);
    }
}

/// Plans the way to the goal, which is settled first when it is not yet.
fn resolve_and_plan(
    request: &MigrationRequest,
    goal: Option<&Goal>,
    applied: &[Applied],
) -> Result<(Goal, Plan), Failure> {
    match goal {
        None => request.settle(applied),
        Some(goal) => request.plan(goal, applied).map(|plan| (goal.clone(), plan)),
    }
}

/// Returns whether a revision is recorded as unfinished: by a run that ended, or by one that is at work.
pub fn has_unfinished(applied: &[Applied]) -> bool {
    applied.iter().any(|row| row.state != RecordedState::Applied)
}

/// Waits until no other run is at work, and settles the goal then: the run that holds the lock may finish the revision
/// whose state stands in the way now.
///
/// # Errors
/// As the lock stage; what stands in the way when nobody else is at work.
async fn resolve_and_plan_locked(
    database: Database,
    config: &Config,
    request: &MigrationRequest,
    goal: Option<&Goal>,
    cancel: &Cancel,
) -> Result<Goal, Failure> {
    let mut locked = match lock(database, &lock_request(config, &|_| false), cancel).await? {
        LockOutcome::Ours(locked, _) => locked,
        LockOutcome::NotNeeded(applied) => {
            return resolve_and_plan(request, goal, &applied).map(|(goal, _)| goal);
        }
    };
    let applied = locked.database().history().await;
    release_lock(locked).await;
    let applied = applied.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))?;
    resolve_and_plan(request, goal, &applied).map(|(goal, _)| goal)
}

/// A server that goes away or has no room before anything was changed was not ready after all: comes back when it is to
/// be waited for again.
///
/// # Errors
/// The failure when it is another one, or time is up; a signal.
pub async fn not_ready_after_all(failure: Failure, until: Instant, cancel: &Cancel) -> Result<(), Failure> {
    if !failure.is_unready() || Instant::now() >= until {
        return Err(failure);
    }
    tracing::info!("not ready after all: {}", failure.cause);
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => Ok(()),
        reason = cancel.cancelled() => Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
    }
}

/// What the lock stage needs to know.
pub fn lock_request<'a>(config: &'a Config, is_done: &'a dyn Fn(&[Applied]) -> bool) -> LockRequest<'a> {
    LockRequest { limits: config.limits, timeout: config.lock_timeout, applied_by: &config.applied_by, is_done }
}

/// What is to be done behind the lock.
struct UpgradeWork<'a> {
    config: &'a Config,
    request: &'a MigrationRequest,
    goal: &'a Goal,
    /// As it was planned before the lock was taken.
    pending: &'a Plan,
    /// How the server reads string literals in a new session.
    reading: Backslash,
}

impl UpgradeWork<'_> {
    /// The part of the story in which nobody else can write.
    async fn run_locked(
        &self,
        inspected: InspectedDir<'_>,
        locked: &mut Locked,
        mut canceller: Canceller,
        cancel: &Cancel,
    ) -> Result<MigratedDatabase, Failure> {
        let UpgradeWork { request, goal, pending, reading, .. } = *self;
        let fault = |fault| Failure::new(Stage::Plan, Cause::Database(fault));
        let applied = locked.database().history().await.map_err(fault)?;
        let plan = request.plan(goal, &applied)?;
        if plan.steps.is_empty() {
            return Ok(migrated_database(&plan));
        }
        // The holder before us may have done some of our work: what is new to us is read first, too.
        let inspected = if plan == *pending { inspected } else { request.inspect(&plan, &applied, reading)? };
        let has_unrecorded = warn_of_unrecorded_tables(locked, plan.direction, &applied).await.map_err(fault)?;
        let ended = self.carry_out(inspected, &plan, locked, &mut canceller, cancel).await;
        match has_unrecorded {
            true => ended.map_err(|failure| advise_stamp(failure, &request.folder.scripts)),
            false => ended,
        }
    }

    /// Saves the database, rehearses the plan, carries it out and looks at the result.
    async fn carry_out(
        &self,
        inspected: InspectedDir<'_>,
        plan: &Plan,
        locked: &mut Locked,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<MigratedDatabase, Failure> {
        let UpgradeWork { config, request, goal, .. } = *self;
        let newest = plan.current.iter().max().map(ToString::to_string);
        let span = RevisionRange { from: newest, to: Some(describe_heads(&plan.goal)) };
        let safety = backup(locked, canceller, &config.backup, &span, cancel).await?;
        match config.rehearse {
            RehearsalMode::Yes => rehearsal(config, &safety).hold(locked, &inspected, plan, cancel).await?,
            RehearsalMode::No => tidy(locked).await,
        }
        let ended = async {
            let migrated = migrate(locked, canceller, &safety, &inspected, plan, config.retries, cancel).await?;
            match verify(locked, &request.folder, goal, &migrated.defects).await {
                Ok(now) => Ok((migrated, now)),
                Err(failure) => Err(Failure { done: migrated.done, ..failure }),
            }
        };
        let (migrated, now) = match ended.await {
            Ok(ended) => ended,
            Err(failure) => {
                let resumed = plan.steps.first().and_then(|step| step.resume.as_deref());
                let leaves_something = failure.leaves_something(resumed.map(|resume| resume.done));
                let Some(file) = safety.file().filter(|_| leaves_something) else {
                    return Err(failure);
                };
                return Err(handle_failure(config, failure, locked, file, cancel).await);
            }
        };
        Ok(MigratedDatabase { done: migrated.done, backup: safety.file().map(Into::into), ..migrated_database(&now) })
    }
}

fn rehearsal<'a>(config: &'a Config, safety: &'a Safety) -> Rehearsal<'a> {
    Rehearsal {
        safety,
        dir: &config.backup.dir,
        pg_dump: config.backup.pg_dump.as_deref(),
        history: &config.history,
        applied_by: &config.applied_by,
        limits: config.limits,
        retries: config.retries,
    }
}

/// What becomes of the backup when something of a failed run stands.
async fn handle_failure(
    config: &Config,
    failure: Failure,
    locked: &mut Locked,
    file: &Path,
    cancel: &Cancel,
) -> Failure {
    let backup = file.to_owned();
    let Database::Sqlite(database) = locked.database() else {
        return Failure { aftermath: BackupDisposition::Kept(backup), ..failure };
    };
    if config.on_failure == OnFailure::Keep {
        return Failure { aftermath: BackupDisposition::Kept(backup), ..failure };
    }
    tracing::error!("{failure}; putting the backup {} back", backup.display());
    let put_back = async {
        let archive = BackupArchive::find(file, &config.backup.dir)
            .map_err(|error| Failure::new(Stage::Restore, Cause::Restore(error)))?;
        sqlite::put_back(database, &archive, &config.history, config.lock_timeout, cancel).await
    };
    match put_back.await {
        Ok(kept) => {
            Failure { aftermath: BackupDisposition::PutBack { backup, kept }, done: Completed::default(), ..failure }
        }
        Err(why) => {
            let why = why.to_string();
            tracing::error!("the backup {} could not be put back: {why}", backup.display());
            Failure { aftermath: BackupDisposition::NotPutBack { backup, why }, ..failure }
        }
    }
}

/// The state in which a plan with nothing left finds the database.
pub fn migrated_database(plan: &Plan) -> MigratedDatabase {
    if !plan.ahead.is_empty() {
        tracing::warn!("the database is ahead of this image: it has {}", list(&plan.ahead));
    }
    for id in &plan.untouched {
        tracing::warn!(
            "another image has begun revision {id}, and nothing of it is done: deploy the image that has its file and run again, or give the revision up with lockkeeper repair"
        );
    }
    let done = Completed { direction: plan.direction, ..Completed::default() };
    let revision = (!plan.current.is_empty()).then(|| list(&plan.current));
    MigratedDatabase { done, revision, backup: None }
}

/// Opens the gate. Everything is committed or rolled back: a session that is lost now has freed the lock, too.
pub async fn release_lock(locked: Locked) {
    match tokio::time::timeout(FAREWELL, locked.release()).await {
        Ok(Ok(UnlockResult::WasOurs)) => {}
        Ok(Ok(UnlockResult::WasNotOurs)) => {
            tracing::warn!("the lock was not ours any more when it was to be freed")
        }
        Ok(Err(fault)) => tracing::debug!("the session ended before the lock was freed: {fault}"),
        Err(_) => tracing::debug!("no answer to the unlock; the end of the session frees it"),
    }
}
