//! `wait`: only until the database is ready, or until somebody else has migrated it.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Direction;
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
/// As the wait stage; when time is up, what is still pending (69).
pub async fn migrated(config: &Config, cancel: &Cancel) -> Result<Settled, Failure> {
    let errand = Errand::new(config, &config.target, Direction::Up)?;
    let began = Instant::now();
    let mut pause = FIRST;
    loop {
        let left = config.patience.total.saturating_sub(began.elapsed());
        let patience = crate::config::Patience { total: left, ..config.patience };
        let (database, applied) = wait(&config.database, &config.history, &patience, cancel).await?;
        let (_, plan) = errand.settle(&applied)?;
        if plan.steps.is_empty() {
            return Ok(entrypoint::settled(&plan));
        }
        let left = config.patience.total.saturating_sub(began.elapsed());
        if left <= FIRST {
            let cause = Cause::NotMigrated { steps: plan.steps.len(), waited: began.elapsed() };
            return Err(Failure::new(Stage::Wait, cause));
        }
        if pause == FIRST {
            tracing::info!(
                "ready, but revisions are pending ({}): waiting for the run that applies them",
                plan.steps.len()
            );
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
