//! `check`: is the database at the target? Reads only.

use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Direction;
use crate::signal::Cancel;
use crate::stage::wait::wait;

/// Plans and says whether anything is left.
///
/// # Errors
/// [`Cause::Pending`], or whatever keeps the plan from being made.
pub async fn check(config: &Config, cancel: &Cancel) -> Result<Settled, Failure> {
    let errand = Errand::new(config, &config.target, Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, plan) = errand.settle(&applied)?;
    if plan.steps.is_empty() {
        return Ok(entrypoint::settled(&plan));
    }
    errand.inspect(&plan, &applied)?;
    entrypoint::unadopted(&mut database, &errand.folder).await?;
    for step in &plan.steps {
        tracing::info!("pending: {}", errand.folder.scripts[step.script].up);
    }
    Err(Failure::new(Stage::Plan, Cause::Pending { steps: plan.steps.len() }))
}

/// Not there yet.
///
/// # Errors
/// Always.
pub fn offline(config: &Config) -> Result<String, Failure> {
    let _ = config;
    Err(Failure::new(Stage::Configure, Cause::Internal("not there yet".into())))
}
