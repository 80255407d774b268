//! `check`: is the database at the target? Reads only.

use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::error::{Cause, Failure, Stage};
use crate::signal::Cancel;
use crate::stage::wait::wait;

/// Plans and says whether anything is left.
///
/// # Errors
/// [`Cause::Pending`], or whatever keeps the plan from being made.
pub async fn check(config: &Config, cancel: &Cancel) -> Result<Settled, Failure> {
    let folder = entrypoint::load(config)?;
    let (_, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let plan = entrypoint::planned(config, &folder, &applied)?;
    if plan.steps.is_empty() {
        return Ok(entrypoint::settled(&plan));
    }
    entrypoint::inspect(&folder, &plan)?;
    for step in &plan.steps {
        tracing::info!("pending: {}", folder.scripts[step.script].up);
    }
    Err(Failure::new(Stage::Plan, Cause::Pending { steps: plan.steps.len() }))
}
