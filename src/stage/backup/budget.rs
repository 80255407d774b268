//! The budget for a backup as a file, and the room for it: what is known before it is begun.

use super::directory::free_space;
use super::estimate::{Estimate, estimate};
use super::work::BackupWork;
use crate::byte_size::describe_bytes;
use crate::config::{BackupBudget, BackupPlace};
use crate::database::Database;
use crate::database::postgres::dump::capacity::Capacity;
use crate::duration::describe_milliseconds;
use crate::error::BackupError;

/// The answer to the question whether other ways may be tried after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherWays {
    Follow,
    None,
}

/// Returns the reason why no file can be written: it is over the budget or, if there is another way, finds no room. If
/// there is none, the error of the attempt says more.
///
/// # Errors
/// Fails when the session is lost.
pub(super) async fn obstacle(work: &mut BackupWork<'_>, others: OtherWays) -> Result<Option<String>, BackupError> {
    let budget = work.policy.budget;
    if others == OtherWays::None && budget == BackupBudget::default() {
        return Ok(None);
    }
    if let Database::Postgres(session) = work.hold.locked.database()
        && others == OtherWays::Follow
        && let Some(reason) = Capacity::new(session).obstacle().await.map_err(BackupError::Source)?
    {
        return Ok(Some(reason));
    }
    let estimate = estimate(work).await.map_err(BackupError::Source)?;
    let Estimate { bytes, time, basis } = &estimate;
    let time_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    tracing::info!(bytes, time_ms, "the file would have about {}, by {basis}", describe_bytes(*bytes));
    Ok(match others {
        OtherWays::None => over_budget(budget, &estimate),
        OtherWays::Follow => over_budget(budget, &estimate).or_else(|| no_room(work, &estimate)),
    })
}

/// Returns the sentence that an estimate is over the budget.
fn over_budget(budget: BackupBudget, estimate: &Estimate) -> Option<String> {
    let Estimate { bytes, time, basis } = estimate;
    if let Some(limit) = budget.size.filter(|limit| bytes > limit) {
        let [bytes, limit] = [*bytes, limit].map(describe_bytes);
        return Some(format!("it would take about {bytes} by {basis}, and LOCKKEEPER_BACKUP_MAX_SIZE is {limit}"));
    }
    let limit = budget.time.filter(|limit| time > limit)?;
    let [time, limit] =
        [*time, limit].map(|time| describe_milliseconds(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)));
    Some(format!("it would take about {time} by {basis}, and LOCKKEEPER_BACKUP_MAX_TIME is {limit}"))
}

/// Returns the sentence that the directory has less room than the estimate. A bucket has room.
fn no_room(work: &BackupWork<'_>, estimate: &Estimate) -> Option<String> {
    let BackupPlace::Directory(dir) = &work.policy.place else { return None };
    // The directory may not exist yet: its parent's file system is the one that it will be on.
    let existing = dir.ancestors().find(|ancestor| ancestor.is_dir())?;
    let free = free_space(existing).filter(|free| *free < estimate.bytes)?;
    let [needed, free] = [estimate.bytes, free].map(describe_bytes);
    Some(format!("it would take about {needed} by {}, and {} has {free} free", estimate.basis, dir.display()))
}
