//! Runs the work of commands that need the lock whatever the history contains.

use std::time::Instant;

use crate::config::Config;
use crate::database::{Canceller, Database, Locked};
use crate::entrypoint::{lock_request, not_ready_after_all, release_lock};
use crate::error::Failure;
use crate::signal::Cancel;
use crate::stage::lock::{LockOutcome, lock};
use crate::stage::wait::wait;

/// Waits for the database, takes the lock and runs `work` under it. Waits again if the server is lost before the lock
/// is taken.
///
/// # Errors
/// Fails as the wait and lock stages or the work do.
pub async fn behind_the_lock<T>(
    config: &Config,
    cancel: &Cancel,
    work: impl AsyncFnOnce(&mut Locked, Canceller) -> Result<T, Failure>,
) -> Result<T, Failure> {
    unless_answered(config, cancel, async |_: &mut Database| Ok(None), work).await
}

/// Does the same unless `look` has the answer before the lock is asked for.
///
/// # Errors
/// Fails as [`behind_the_lock`] does, and with the error of `look`.
pub async fn unless_answered<T>(
    config: &Config,
    cancel: &Cancel,
    mut look: impl AsyncFnMut(&mut Database) -> Result<Option<T>, Failure>,
    work: impl AsyncFnOnce(&mut Locked, Canceller) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let until = Instant::now() + config.patience.total;
    let (mut locked, canceller) = loop {
        // Anew: an answer may have taken its time.
        let (mut database, _) = wait(&config.database, &config.history, &config.patience, cancel).await?;
        match look(&mut database).await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(answer),
            Err(failure) => {
                not_ready_after_all(failure, until, cancel).await?;
                continue;
            }
        }
        match lock(database, &lock_request(config, &|_| false), cancel).await {
            Ok(LockOutcome::NotNeeded(_)) => unreachable!("only a look under the lock tells"),
            Ok(LockOutcome::Ours(locked, canceller)) => break (locked, canceller),
            Err(failure) => not_ready_after_all(failure, until, cancel).await?,
        }
    };
    let ended = work(&mut locked, canceller).await;
    release_lock(locked).await;
    ended
}
