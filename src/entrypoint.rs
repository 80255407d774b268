//! The story of a release changing its database, told once for every command that writes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::{Ahead, Config};
use crate::database::{Canceller, Locked, Released};
use crate::directory::Folder;
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan::{self, list};
use crate::revision::{Applied, Plan};
use crate::signal::Cancel;
use crate::stage::backup::{Span, backup};
use crate::stage::lock::{Gate, Wanted, lock};
use crate::stage::migrate::{Inspected, migrate};
use crate::stage::verify::verify;
use crate::stage::wait::wait;

/// How long the answer to an unlock is waited for.
const FAREWELL: Duration = Duration::from_secs(3);

/// Before a server that was not ready after all is waited for again.
const PAUSE: Duration = Duration::from_secs(1);

/// How a run that succeeded left the database.
#[derive(Debug, Default)]
pub struct Settled {
    pub applied: Vec<String>,
    /// The newest revision.
    pub revision: Option<String>,
    pub backup: Option<PathBuf>,
}

/// Brings the database to the target.
///
/// # Errors
/// The failure of the stage that could not go on; see [`crate::exit`] for what each means.
pub async fn upgrade(config: &Config, cancel: &Cancel) -> Result<Settled, Failure> {
    let folder = load(config)?;
    let until = Instant::now() + config.patience.total;
    loop {
        let (database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
        let pending = planned(config, &folder, &applied)?;
        if pending.steps.is_empty() {
            return Ok(settled(&pending));
        }
        let inspected = inspect(&folder, &pending)?;
        let is_done =
            |applied: &[Applied]| planned(config, &folder, applied).is_ok_and(|plan| plan.steps.is_empty());
        match lock(database, &wanted(config, &is_done), cancel).await {
            Ok(Gate::NotNeeded(applied)) => return Ok(settled(&planned(config, &folder, &applied)?)),
            Ok(Gate::Ours(mut locked, canceller)) => {
                let ended = alone(config, &pending, inspected, &mut locked, canceller, cancel).await;
                free(locked).await;
                return ended;
            }
            // A server that goes away or has no room before anything was changed was not ready after all.
            Err(failure) if failure.is_unready() && Instant::now() < until => {
                tracing::info!("not ready after all: {}", failure.cause);
            }
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
    }
}

/// What the lock stage needs to know.
pub fn wanted<'a>(config: &'a Config, is_done: &'a dyn Fn(&[Applied]) -> bool) -> Wanted<'a> {
    Wanted { limits: config.limits, timeout: config.lock_timeout, applied_by: &config.applied_by, is_done }
}

/// The part of the story in which nobody else can write.
async fn alone(
    config: &Config,
    pending: &Plan,
    inspected: Inspected<'_>,
    locked: &mut Locked,
    mut canceller: Canceller,
    cancel: &Cancel,
) -> Result<Settled, Failure> {
    let folder = inspected.folder;
    let fault = |fault| Failure::new(Stage::Plan, Cause::Database(fault));
    let applied = locked.database().history().await.map_err(fault)?;
    let plan = planned(config, folder, &applied)?;
    if plan.steps.is_empty() {
        return Ok(settled(&plan));
    }
    // The holder before us may have done some of our work: what is new to us is read first, too.
    let inspected = if plan == *pending { inspected } else { inspect(folder, &plan)? };
    let span = Span { from: plan.current.as_ref().map(ToString::to_string), to: Some(list(&plan.goal)) };
    let safety = backup(locked, &config.backup, &span, cancel).await?;
    let migrated =
        migrate(locked, &mut canceller, &safety, &inspected, &plan, config.retries, cancel).await?;
    let now = match verify(locked, folder, &config.target, &migrated.defects).await {
        Ok(now) => now,
        Err(failure) => return Err(Failure { applied: migrated.applied, ..failure }),
    };
    Ok(Settled { applied: migrated.applied, backup: safety.file().map(Into::into), ..settled(&now) })
}

/// Loads the migrations: a bad folder, or one in which the target cannot be found, fails before any waiting.
///
/// # Errors
/// As [`Folder::load`]; a target that fits no revision or several, several heads.
pub fn load(config: &Config) -> Result<Folder, Failure> {
    let failed = |cause| Failure::new(Stage::Load, cause);
    let folder = Folder::load(&config.dir, config.dialect).map_err(failed)?;
    match plan::upgrade(&folder.graph, &folder.scripts, &[], &config.target) {
        Ok(_) => Ok(folder),
        Err(objections) => Err(failed(Cause::objected(&objections))),
    }
}

/// What is left to do.
///
/// # Errors
/// Whatever keeps the plan from being run; with `strict`, revisions that the folder does not know.
pub fn planned(config: &Config, folder: &Folder, applied: &[Applied]) -> Result<Plan, Failure> {
    let failed = |cause| Failure::new(Stage::Plan, cause);
    let plan = plan::upgrade(&folder.graph, &folder.scripts, applied, &config.target)
        .map_err(|objections| failed(Cause::objected(&objections)))?;
    if config.ahead == Ahead::Fail && !plan.ahead.is_empty() {
        return Err(failed(Cause::Ahead(plan.ahead.iter().map(ToString::to_string).collect())));
    }
    Ok(plan)
}

/// Reads the scripts of the plan to their ends: nothing runs while one of them cannot.
///
/// # Errors
/// Every statement that cannot run where it stands.
pub fn inspect<'a>(folder: &'a Folder, plan: &Plan) -> Result<Inspected<'a>, Failure> {
    let mut statements = vec![0; folder.scripts.len()];
    let mut problems = Vec::new();
    for step in &plan.steps {
        match folder.inspect(&folder.scripts[step.script]) {
            Ok(count) => statements[step.script] = count,
            Err(found) => problems.extend(found),
        }
    }
    match problems.is_empty() {
        true => Ok(Inspected { folder, statements }),
        false => Err(Failure::new(Stage::Load, Cause::Invalid(problems))),
    }
}

/// The state in which a plan with nothing left finds the database.
pub fn settled(plan: &Plan) -> Settled {
    if !plan.ahead.is_empty() {
        tracing::warn!("the database is ahead of this image: it has {}", list(&plan.ahead));
    }
    Settled { revision: plan.current.as_ref().map(ToString::to_string), ..Settled::default() }
}

/// Opens the gate. Everything is committed or rolled back: a session that is lost now has freed the lock, too.
pub async fn free(locked: Locked) {
    match tokio::time::timeout(FAREWELL, locked.release()).await {
        Ok(Ok(Released::WasOurs)) => {}
        Ok(Ok(Released::WasNotOurs)) => {
            tracing::warn!("the lock was not ours any more when it was to be freed")
        }
        Ok(Err(fault)) => tracing::debug!("the session ended before the lock was freed: {fault}"),
        Err(_) => tracing::debug!("no answer to the unlock; the end of the session frees it"),
    }
}
