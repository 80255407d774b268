//! The `wait` command: waits until the database is ready, or until another run has migrated it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::{DatabaseConfig, WaitPolicy};
use crate::database::HistoryPoll;
use crate::entrypoint::{self, MigratedDatabase};
use crate::error::{Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::plan::ScriptCount;
use crate::revision::{Applied, Direction};
use crate::signal::Cancel;
use crate::stage::wait::{wait, wait_and_poll};

/// The first pause between two reads of the history.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause. Each read is a login, and many pods may wait for many minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits until the database is ready.
///
/// # Errors
/// Fails as the wait stage does.
pub(crate) async fn ready(config: &DatabaseConfig, cancel: &Cancel) -> Result<String, Failure> {
    wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    Ok("the database is ready".into())
}

/// Waits until every revision of this image is applied, within the wait timeout.
///
/// # Errors
/// Fails as the wait stage does, and when the time is up: with the pending revisions (exit code 69), or with the
/// unfinished revision that prevents the plan (65).
pub(crate) async fn migrated(config: &DatabaseConfig, cancel: &Cancel) -> Result<MigratedDatabase, Failure> {
    let request = MigrationRequest::new(config, &config.target, Direction::Up)?;
    let start = Instant::now();
    let remaining = || config.wait_policy.total.saturating_sub(start.elapsed());
    let (_, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let mut not_migrated = match check_history(&request, &applied)? {
        SchemaCheck::UpToDate(migrated) => return Ok(migrated),
        SchemaCheck::NotUpToDate(not_migrated) => not_migrated,
    };
    let (mut pause, mut last_logged, mut mark) = (FIRST_PAUSE, None, None);
    loop {
        let line = not_migrated.to_string();
        let left = remaining();
        if left <= FIRST_PAUSE {
            return Err(not_migrated.failure(start.elapsed()));
        }
        if last_logged.as_ref() != Some(&line) {
            tracing::info!("{line}");
            last_logged = Some(line);
        }
        let delay = pause.mul_f64(0.5 + fastrand::f64() / 2.0).min(left - FIRST_PAUSE);
        pause = (pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
        let policy = WaitPolicy { total: remaining(), ..config.wait_policy };
        let (_, answer) = wait_and_poll(&config.database, &config.history, &policy, cancel, mark.as_ref()).await?;
        if let HistoryPoll::Changed { mark: changed, applied } = answer {
            mark = changed;
            not_migrated = match check_history(&request, &applied)? {
                SchemaCheck::UpToDate(migrated) => return Ok(migrated),
                SchemaCheck::NotUpToDate(not_migrated) => not_migrated,
            };
        }
    }
}

/// The result of one read of the history.
enum SchemaCheck {
    /// Every revision is applied.
    UpToDate(MigratedDatabase),
    /// Revisions are pending or unfinished.
    NotUpToDate(NotMigrated),
}

/// The reason why the schema does not have all revisions of this image yet.
enum NotMigrated {
    /// This number of revisions and repeatable scripts is pending.
    Pending(ScriptCount),
    /// A revision is recorded as unfinished, which prevents a plan. The run that is working on it may finish it at any
    /// moment.
    Unfinished(Box<Failure>),
}

/// Checks whether every revision is applied.
///
/// # Errors
/// Fails with the cause that prevents the plan from being run, unless it is a revision on which another run may be
/// working.
fn check_history(request: &MigrationRequest, applied: &[Applied]) -> Result<SchemaCheck, Failure> {
    match request.resolve(applied) {
        Ok((_, plan)) if plan.steps.is_empty() => Ok(SchemaCheck::UpToDate(entrypoint::migrated_database(&plan))),
        Ok((_, plan)) => Ok(SchemaCheck::NotUpToDate(NotMigrated::Pending(plan.count()))),
        Err(failure) if entrypoint::has_unfinished(applied) => {
            Ok(SchemaCheck::NotUpToDate(NotMigrated::Unfinished(Box::new(failure))))
        }
        Err(failure) => Err(failure),
    }
}

impl NotMigrated {
    /// Returns the failure of a wait whose time is up.
    fn failure(self, waited: Duration) -> Failure {
        match self {
            NotMigrated::Pending(steps) => Failure::new(Stage::Wait, Cause::NotMigrated { steps, waited }),
            NotMigrated::Unfinished(failure) => *failure,
        }
    }
}

impl fmt::Display for NotMigrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotMigrated::Pending(steps) => {
                write!(f, "ready, but {} pending: waiting for the run that applies them", steps.with_verb())
            }
            NotMigrated::Unfinished(failure) => write!(
                f,
                "ready, but a revision is unfinished: waiting for the run that finishes it ({})",
                failure.cause
            ),
        }
    }
}
