//! Work of a verb that needs the lock, whatever the history says.

use std::time::Instant;

use crate::config::Config;
use crate::database::{Canceller, Locked};
use crate::entrypoint::{lock_request, not_ready_after_all, release_lock};
use crate::error::Failure;
use crate::signal::Cancel;
use crate::stage::lock::{LockOutcome, lock};
use crate::stage::wait::wait;

/// Takes the lock, waits again for a server that was not ready after all, and does the work that needs the lock.
///
/// # Errors
/// As the wait and lock stages; the work's.
pub async fn behind_the_lock<T>(
    config: &Config,
    cancel: &Cancel,
    work: impl AsyncFnOnce(&mut Locked, Canceller) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let until = Instant::now() + config.patience.total;
    let (mut locked, canceller) = loop {
        // Anew: an answer may have taken its time.
        let (database, _) = wait(&config.database, &config.history, &config.patience, cancel).await?;
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
