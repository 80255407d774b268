//! The pipeline of upgrades and downgrades, with the parts of it that the other writing commands use.

use std::convert::Infallible;

use crate::config::{DatabaseConfig, OnFailure, RehearsalMode};
use crate::context::RunContext;
use crate::database::{Canceller, Database, Locked};
use crate::error::{BackupDisposition, Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::plan::{describe_heads, list};
use crate::revision::{Applied, Backslash, Completed, Goal, Plan, RecordedState};
use crate::signal::Cancel;
use crate::stage::backup::{RevisionRange, Safety, backup, note_success};
use crate::stage::foreign_history::{advise_stamp, refuse_foreign_history, warn_of_unrecorded_tables};
use crate::stage::inspected::InspectedDir;
use crate::stage::lock::{HistoryUse, LockOutcome, LockRequest, lock};
use crate::stage::migrate::migrate;
use crate::stage::rehearse::{Rehearsal, tidy};
use crate::stage::restore::{BackupArchive, sqlite};
use crate::stage::verify::{verify, warn_of_missing_parents};
use crate::stage::with_lock::{LockDecision, LockSettings, release_lock, with_lock_unless_done};

/// The state in which a successful run leaves the database.
#[derive(Debug, Default)]
pub struct MigratedDatabase {
    /// The revisions that the run has applied or rolled back.
    pub done: Completed,
    /// The current heads of the database, with commas between; `None` is base.
    pub(crate) revision: Option<String>,
    /// The path of the backup or what identifies it elsewhere, if the run has taken one.
    pub(crate) backup: Option<String>,
}

/// Brings the database to the target of the request.
///
/// # Errors
/// Fails with the failure of the stage that could not go on; see [`crate::exit`] for the exit code of each.
pub(crate) async fn run(
    config: &DatabaseConfig,
    request: &MigrationRequest,
    context: &RunContext,
) -> Result<MigratedDatabase, Failure> {
    let mut resolved_goal = None;
    let decide = async |database, applied: Vec<Applied>| {
        prepare(config, request, &mut resolved_goal, database, &applied, &context.cancel).await
    };
    let answer_if_done = |work: &UpgradeWork<'_>, applied: &[Applied]| {
        let plan = request.plan(&work.goal, applied).ok().filter(|plan| plan.steps.is_empty())?;
        Some(migrated_database(&plan))
    };
    let work = async |locked: &mut Locked, canceller, work: UpgradeWork<'_>| {
        let rerun_advice = request.rerun_command(&work.pending);
        let mut result = work.run_locked(locked, canceller, context).await;
        let completed = result.as_mut().map_or_else(|failure| &mut failure.done, |migrated| &mut migrated.done);
        completed.rerun_target = rerun_advice;
        result
    };
    with_lock_unless_done(&lock_settings(config), &context.cancel, decide, answer_if_done, work).await
}

/// Plans on a database that is ready, and inspects the files of the plan, so that nothing runs if one is invalid. The
/// goal is settled once: a relative target would go further each time it is resolved.
///
/// # Errors
/// Fails with whatever prevents the plan, and as the lock stage does while a revision is unfinished.
async fn prepare<'r>(
    config: &'r DatabaseConfig,
    request: &'r MigrationRequest,
    resolved_goal: &mut Option<Goal>,
    mut database: Database,
    applied: &[Applied],
    cancel: &Cancel,
) -> Result<LockDecision<UpgradeWork<'r>, MigratedDatabase>, Failure> {
    let (goal, pending) = match resolve_and_plan(request, resolved_goal.as_ref(), applied) {
        Ok(planned) => planned,
        Err(failure) if !has_unfinished(applied) => return Err(failure),
        Err(_) => {
            let goal = resolve_and_plan_locked(database, config, request, resolved_goal.as_ref(), cancel).await?;
            *resolved_goal = Some(goal);
            return Ok(LockDecision::WaitAgain);
        }
    };
    if pending.steps.is_empty() {
        warn_of_missing_parents(&mut database).await;
        return Ok(LockDecision::Answer(migrated_database(&pending)));
    }
    let backslash = database.server().backslash;
    let inspected = request.inspect(&pending, applied, backslash)?;
    *resolved_goal = Some(goal.clone());
    refuse_foreign_history(&mut database, &request.directory).await?;
    Ok(LockDecision::Lock(database, UpgradeWork { config, request, goal, pending, inspected, backslash }))
}

/// Plans the steps to the goal. Resolves the target first if there is no goal yet.
fn resolve_and_plan(
    request: &MigrationRequest,
    goal: Option<&Goal>,
    applied: &[Applied],
) -> Result<(Goal, Plan), Failure> {
    match goal {
        None => request.resolve(applied),
        Some(goal) => request.plan(goal, applied).map(|plan| (goal.clone(), plan)),
    }
}

/// Returns whether a revision is recorded as unfinished, by a run that has ended early or by one that is at work.
pub(crate) fn has_unfinished(applied: &[Applied]) -> bool {
    applied.iter().any(|row| row.state != RecordedState::Applied)
}

/// Takes the lock, which waits for other runs to end, and resolves the target then: the run that holds the lock may
/// finish the revision whose recorded state prevents the plan now.
///
/// # Errors
/// Fails as [`lock`] does, and when the history still prevents the plan.
async fn resolve_and_plan_locked(
    database: Database,
    config: &DatabaseConfig,
    request: &MigrationRequest,
    goal: Option<&Goal>,
    cancel: &Cancel,
) -> Result<Goal, Failure> {
    let mut locked = match lock(database, &lock_settings(config).lock, |_| None::<Infallible>, cancel).await? {
        LockOutcome::Ours(locked, _) => locked,
        LockOutcome::NotNeeded(never) => match never {},
    };
    let applied = locked.database().history().await;
    release_lock(locked).await;
    let applied = applied.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))?;
    resolve_and_plan(request, goal, &applied).map(|(goal, _)| goal)
}

/// Returns the settings of the wait for the database and of its lock.
pub(crate) fn lock_settings(config: &DatabaseConfig) -> LockSettings<'_> {
    let DatabaseConfig { limits, lock_timeout: timeout, applied_by, .. } = config;
    let history_use = HistoryUse::Written;
    let lock = LockRequest { limits: *limits, timeout: *timeout, applied_by, history_use };
    LockSettings { source: &config.database, history: &config.history, wait_policy: &config.wait_policy, lock }
}

/// The input of the work that is done under the lock.
struct UpgradeWork<'a> {
    config: &'a DatabaseConfig,
    request: &'a MigrationRequest,
    goal: Goal,
    /// The plan that was made before the lock was taken.
    pending: Plan,
    /// The files of that plan, read to their ends.
    inspected: InspectedDir<'a>,
    /// The way in which the server reads string literals in a new session.
    backslash: Backslash,
}

impl UpgradeWork<'_> {
    /// Plans again under the lock, when no other run can write, and carries out the plan.
    async fn run_locked(
        self,
        locked: &mut Locked,
        mut canceller: Canceller,
        context: &RunContext,
    ) -> Result<MigratedDatabase, Failure> {
        let UpgradeWork { config, request, goal, pending, inspected, backslash } = self;
        let fault = |fault| Failure::new(Stage::Plan, Cause::Database(fault));
        let applied = locked.database().history().await.map_err(fault)?;
        let plan = request.plan(&goal, &applied)?;
        if plan.steps.is_empty() {
            return Ok(migrated_database(&plan));
        }
        // The previous holder of the lock may have done a part of the plan: a plan that differs is inspected anew.
        let inspected = if plan == pending { inspected } else { request.inspect(&plan, &applied, backslash)? };
        let has_unrecorded = warn_of_unrecorded_tables(locked, plan.direction, &applied).await.map_err(fault)?;
        let work = PlannedWork { config, request, goal: &goal, plan: &plan, inspected: &inspected };
        let result = work.carry_out(locked, &mut canceller, context).await;
        match has_unrecorded {
            true => result.map_err(|failure| advise_stamp(failure, &request.directory.migrations)),
            false => result,
        }
    }
}

/// The plan that is carried out under the lock.
struct PlannedWork<'a> {
    config: &'a DatabaseConfig,
    request: &'a MigrationRequest,
    goal: &'a Goal,
    plan: &'a Plan,
    inspected: &'a InspectedDir<'a>,
}

impl PlannedWork<'_> {
    /// Backs up the database, rehearses the plan if asked to, runs it, and verifies the result.
    async fn carry_out(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        context: &RunContext,
    ) -> Result<MigratedDatabase, Failure> {
        let PlannedWork { config, request, goal, plan, inspected } = *self;
        let cancel = &context.cancel;
        if let Some(note) = config.undecided_layout_note().filter(|_| !locked.database().has_history()) {
            tracing::info!("{note}");
        }
        let newest = plan.current.iter().max().map(ToString::to_string);
        let range = RevisionRange { from: newest, to: Some(describe_heads(&plan.goal)), guarded: None };
        let safety = backup(locked, canceller, &config.backup, &range, context).await?;
        match config.rehearse {
            RehearsalMode::Yes => rehearsal(config, &safety).hold(locked, inspected, plan, cancel).await?,
            RehearsalMode::No => tidy(locked).await,
        }
        let result = async {
            let migrated = migrate(locked, canceller, &safety, inspected, plan, config.retries, cancel).await?;
            match verify(locked, &request.directory, goal, &migrated.defects).await {
                Ok(plan_after) => Ok((migrated, plan_after)),
                Err(failure) => Err(Failure { done: migrated.done, ..failure }),
            }
        };
        let (migrated, plan_after) = match result.await {
            Ok(result) => result,
            Err(failure) => {
                let resumed = plan.steps.first().and_then(|step| step.resume.as_deref());
                let leaves_something = failure.leaves_something(resumed.map(|resume| resume.done));
                return Err(match leaves_something {
                    true => handle_failure(config, failure, locked, &safety, cancel).await,
                    false => failure,
                });
            }
        };
        note_success(&safety, None).await;
        Ok(MigratedDatabase { done: migrated.done, backup: safety.shown(), ..migrated_database(&plan_after) })
    }
}

fn rehearsal<'a>(config: &'a DatabaseConfig, safety: &'a Safety) -> Rehearsal<'a> {
    Rehearsal {
        safety,
        place: &config.backup.place,
        pg_dump: config.backup.pg_dump.as_deref(),
        jobs: config.backup.jobs.count(),
        history: &config.history,
        applied_by: &config.applied_by,
        limits: config.limits,
        retries: config.retries,
    }
}

/// Decides what becomes of the backup when changes of a failed run remain: on SQLite it is put back, unless the
/// configuration keeps the changes.
pub(crate) async fn handle_failure(
    config: &DatabaseConfig,
    failure: Failure,
    locked: &mut Locked,
    safety: &Safety,
    cancel: &Cancel,
) -> Failure {
    let (Database::Sqlite(database), OnFailure::Restore, Some(file)) =
        (locked.database(), config.on_failure, safety.file())
    else {
        return Failure { backup_disposition: safety.kept(), ..failure };
    };
    let backup = file.to_owned();
    tracing::error!("{failure}; putting the backup {} back", backup.display());
    let put_back = async {
        let archive = BackupArchive::find(file, &config.backup.place)
            .await
            .map_err(|error| Failure::new(Stage::Restore, Cause::Restore(error)))?;
        sqlite::put_back(database, &archive, &config.history, config.lock_timeout, cancel).await
    };
    match put_back.await {
        Ok(failed_database) => Failure {
            backup_disposition: BackupDisposition::PutBack { backup, kept: failed_database },
            done: Completed::default(),
            ..failure
        },
        Err(error) => {
            let error = error.to_string();
            tracing::error!("the backup {} could not be put back: {error}", backup.display());
            Failure { backup_disposition: BackupDisposition::NotPutBack { backup, why: error }, ..failure }
        }
    }
}

/// Returns the state of the database after a plan with nothing left; warns of revisions of other images.
pub(crate) fn migrated_database(plan: &Plan) -> MigratedDatabase {
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
