//! `wait`: only until the database is ready, or until somebody else has migrated it.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Direction;
use crate::signal::Cancel;
use crate::stage::wait::wait;

/// Between two looks at the history.
const POLL: Duration = Duration::from_millis(500);

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
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = config.patience.total.saturating_sub(began.elapsed());
        let patience = crate::config::Patience { total: left, ..config.patience };
        let (database, applied) = wait(&config.database, &config.history, &patience, cancel).await?;
        let (_, plan) = errand.settle(&applied)?;
        if plan.steps.is_empty() {
            return Ok(entrypoint::settled(&plan));
        }
        if began.elapsed() + POLL >= config.patience.total {
            let cause = Cause::NotMigrated { steps: plan.steps.len(), waited: began.elapsed() };
            return Err(Failure::new(Stage::Wait, cause));
        }
        if attempts == 1 {
            tracing::info!(
                "ready, but revisions are pending ({}): waiting for the run that applies them",
                plan.steps.len()
            );
        }
        drop(database);
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
    }
}
