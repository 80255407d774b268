//! `wait`: only until the database is ready, or until somebody else has migrated it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::entrypoint::{self, MigratedDatabase};
use crate::error::{Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::{Applied, Direction};
use crate::signal::Cancel;
use crate::stage::wait::wait;

/// Between two looks at the history, each of which is a login: at first, and at most. Many pods may look for many minutes.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits for readiness.
///
/// # Errors
/// As the wait stage.
pub async fn ready(config: &Config, cancel: &Cancel) -> Result<String, Failure> {
    wait(&config.database, &config.history, &config.patience, cancel).await?;
    Ok("the database is ready".into())
}

/// Waits until every revision of this image is applied, within the wait timeout.
///
/// # Errors
/// As the wait stage; when time is up, what is still pending (69), or the unfinished revision that stands in the way (65).
pub async fn migrated(config: &Config, cancel: &Cancel) -> Result<MigratedDatabase, Failure> {
    let request = MigrationRequest::new(config, &config.target, Direction::Up)?;
    let began = Instant::now();
    let mut pause = FIRST;
    let mut told = None;
    loop {
        let left = config.patience.total.saturating_sub(began.elapsed());
        let patience = crate::config::WaitPolicy { total: left, ..config.patience };
        let (database, applied) = wait(&config.database, &config.history, &patience, cancel).await?;
        let unsettled = match check_history(&request, &applied)? {
            SchemaCheck::UpToDate(settled) => return Ok(settled),
            SchemaCheck::NotUpToDate(unsettled) => unsettled,
        };
        let left = config.patience.total.saturating_sub(began.elapsed());
        if left <= FIRST {
            return Err(unsettled.failure(began.elapsed()));
        }
        let line = unsettled.to_string();
        if told.as_ref() != Some(&line) {
            tracing::info!("{line}");
            told = Some(line);
        }
        drop(database);
        let delay = pause.mul_f64(0.5 + fastrand::f64() / 2.0).min(left - FIRST);
        pause = (pause * 2).min(LONGEST);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
    }
}

/// What one look at the history has found.
enum SchemaCheck {
    UpToDate(MigratedDatabase),
    NotUpToDate(NotMigrated),
}

/// Why the schema is not where this image needs it yet.
enum NotMigrated {
    /// So many revisions are pending.
    Pending(usize),
    /// A revision is recorded as unfinished, and no plan can be made while it is. The run that is at work on it may finish
    /// it at any moment.
    Unfinished(Box<Failure>),
}

/// Looks whether every revision is applied.
///
/// # Errors
/// What keeps the plan from being run, unless it is a revision that a run may be at work on.
fn check_history(request: &MigrationRequest, applied: &[Applied]) -> Result<SchemaCheck, Failure> {
    match request.settle(applied) {
        Ok((_, plan)) if plan.steps.is_empty() => Ok(SchemaCheck::UpToDate(entrypoint::migrated_database(&plan))),
        Ok((_, plan)) => Ok(SchemaCheck::NotUpToDate(NotMigrated::Pending(plan.steps.len()))),
        Err(refusal) if entrypoint::has_unfinished(applied) => {
            Ok(SchemaCheck::NotUpToDate(NotMigrated::Unfinished(Box::new(refusal))))
        }
        Err(refusal) => Err(refusal),
    }
}

impl NotMigrated {
    /// Returns the failure of a wait whose time is up.
    fn failure(self, waited: Duration) -> Failure {
        match self {
            NotMigrated::Pending(steps) => Failure::new(Stage::Wait, Cause::NotMigrated { steps, waited }),
            NotMigrated::Unfinished(refusal) => *refusal,
        }
    }
}

impl fmt::Display for NotMigrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotMigrated::Pending(steps) => {
                write!(f, "ready, but revisions are pending ({steps}): waiting for the run that applies them")
            }
            NotMigrated::Unfinished(refusal) => write!(
                f,
                "ready, but a revision is unfinished: waiting for the run that finishes it ({})",
                refusal.cause
            ),
        }
    }
}
