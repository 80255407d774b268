//! Waits for the database and takes its lock, again and again while the server is not ready after all, and runs the
//! work under the lock.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::lock::{LockOutcome, LockRequest, lock};
use super::wait::wait;
use crate::config::{DatabaseUrlSource, WaitPolicy};
use crate::database::{Canceller, Database, HistoryName, Locked, UnlockResult};
use crate::error::{Cause, Failure, Stage};
use crate::revision::Applied;
use crate::signal::Cancel;

/// The longest wait for the answer to an unlock.
const UNLOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause before the run waits again for a server that was not ready after all.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The settings of the wait for the database and of its lock.
pub(crate) struct LockSettings<'a> {
    /// The source of the database URL.
    pub(crate) source: &'a DatabaseUrlSource,
    /// The name of the history table.
    pub(crate) history: &'a HistoryName,
    /// The time limits of the wait for readiness.
    pub(crate) wait_policy: &'a WaitPolicy,
    /// The settings of the lock.
    pub(crate) lock: LockRequest<'a>,
}

/// The decision about a database that is ready, before its lock is asked for.
pub(crate) enum LockDecision<P, T> {
    /// The work needs the lock of this database. `P` is what was prepared for the work.
    Lock(Database, P),
    /// Nothing is left to do; this is the result.
    Answer(T),
    /// The decision took long, or another run has worked meanwhile: the run waits for the database anew.
    WaitAgain,
}

/// The end of the wait for the lock.
pub(crate) enum TakenLock<P, T> {
    /// The locked database, the canceller that can end its statements from outside, and what was prepared.
    Locked(Locked, Canceller, P),
    /// Nothing is left to do; this is the result.
    Answer(T),
}

/// Waits for the database and takes its lock. `decide` looks at each database that is ready, with its history. While
/// another run holds the lock, `answer` looks at the history, and returns the result when nothing is left to do.
///
/// A server that goes away, or has no room, before the lock is taken was not ready: nothing was changed, and the run
/// waits for it again, within the wait timeout.
///
/// # Errors
/// Fails as the wait and lock stages or `decide` do.
pub(crate) async fn take_lock<P, T>(
    settings: &LockSettings<'_>,
    cancel: &Cancel,
    mut decide: impl AsyncFnMut(Database, Vec<Applied>) -> Result<LockDecision<P, T>, Failure>,
    answer: impl Fn(&P, &[Applied]) -> Option<T>,
) -> Result<TakenLock<P, T>, Failure> {
    let deadline = Instant::now() + settings.wait_policy.total;
    loop {
        let (database, applied) = wait(settings.source, settings.history, settings.wait_policy, cancel).await?;
        let attempt = async {
            let (database, prepared) = match decide(database, applied).await? {
                LockDecision::Lock(database, prepared) => (database, prepared),
                LockDecision::Answer(answer) => return Ok(Some(TakenLock::Answer(answer))),
                LockDecision::WaitAgain => return Ok(None),
            };
            let outcome = lock(database, &settings.lock, |applied| answer(&prepared, applied), cancel).await?;
            Ok(Some(match outcome {
                LockOutcome::Ours(locked, canceller) => TakenLock::Locked(locked, canceller, prepared),
                LockOutcome::NotNeeded(answer) => TakenLock::Answer(answer),
            }))
        };
        match attempt.await {
            Ok(Some(taken)) => return Ok(taken),
            Ok(None) => {}
            Err(failure) => pause_if_unready(failure, deadline, cancel).await?,
        }
    }
}

/// Takes the lock as [`take_lock`] does, runs `work` under it, and frees it.
///
/// # Errors
/// Fails as [`take_lock`] or the work does.
pub(crate) async fn with_lock_unless_done<P, T>(
    settings: &LockSettings<'_>,
    cancel: &Cancel,
    decide: impl AsyncFnMut(Database, Vec<Applied>) -> Result<LockDecision<P, T>, Failure>,
    answer: impl Fn(&P, &[Applied]) -> Option<T>,
    work: impl AsyncFnOnce(&mut Locked, Canceller, P) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match take_lock(settings, cancel, decide, answer).await? {
        TakenLock::Answer(answer) => Ok(answer),
        TakenLock::Locked(mut locked, canceller, prepared) => {
            let result = work(&mut locked, canceller, prepared).await;
            release_lock(locked).await;
            result
        }
    }
}

/// Takes the lock whatever the history contains, runs `work` under it, and frees it.
///
/// # Errors
/// Fails as the wait and lock stages or the work do.
pub(crate) async fn with_lock<T>(
    settings: &LockSettings<'_>,
    cancel: &Cancel,
    work: impl AsyncFnOnce(&mut Locked, Canceller) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let decide = async |database, _| Ok(LockDecision::<(), Infallible>::Lock(database, ()));
    match take_lock(settings, cancel, decide, |(), _| None).await? {
        TakenLock::Answer(never) => match never {},
        TakenLock::Locked(mut locked, canceller, ()) => {
            let result = work(&mut locked, canceller).await;
            release_lock(locked).await;
            result
        }
    }
}

/// Pauses before the run waits again for a server that was not ready after all.
///
/// # Errors
/// Fails with `failure` if that is of another kind or the time is up, and when a signal arrives.
async fn pause_if_unready(failure: Failure, deadline: Instant, cancel: &Cancel) -> Result<(), Failure> {
    if !failure.is_unready() || Instant::now() >= deadline {
        return Err(failure);
    }
    tracing::info!("not ready after all: {}", failure.cause);
    tokio::select! {
        () = tokio::time::sleep(RETRY_PAUSE) => Ok(()),
        reason = cancel.cancelled() => Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
    }
}

/// Frees the lock. Everything is committed or rolled back by now: the end of a lost session has freed the lock, too.
pub(crate) async fn release_lock(locked: Locked) {
    match tokio::time::timeout(UNLOCK_TIMEOUT, locked.release()).await {
        Ok(Ok(UnlockResult::WasOurs)) => {}
        Ok(Ok(UnlockResult::WasNotOurs)) => {
            tracing::warn!("the lock was not ours any more when it was to be freed")
        }
        Ok(Err(fault)) => tracing::debug!("the session ended before the lock was freed: {fault}"),
        Err(_) => tracing::debug!("no answer to the unlock; the end of the session frees it"),
    }
}
