//! Takes the lock by asking again and again: a session that waited inside SQL would stand in the way of the holder's
//! concurrent index builds.

use std::time::{Duration, Instant};

use crate::database::{Attempt, Canceller, Database, Limits, Locked};
use crate::error::{Cause, Failure, Stage};
use crate::signal::Cancel;

/// Milliseconds between two attempts, drawn anew each time.
const POLL: std::ops::Range<u64> = 100..400;
/// The holder is named at once and then at growing intervals.
const FIRST_TOLD: Duration = Duration::from_secs(5);

/// Polls until the lock is ours; with it comes what can end our statements from outside.
///
/// # Errors
/// The holder when time is up, a lost session, a pooler that shares sessions, a signal.
pub async fn lock(
    mut database: Database,
    limits: Limits,
    timeout: Duration,
    applied_by: &str,
    cancel: &Cancel,
) -> Result<(Locked, Canceller), Failure> {
    let failed = |cause| Failure::new(Stage::Lock, cause);
    database.prepare(limits).await.map_err(|fault| failed(Cause::Database(fault)))?;
    let began = Instant::now();
    let mut tell_at = Duration::ZERO;
    loop {
        let attempt = tokio::select! {
            attempt = database.try_lock(applied_by) => attempt,
            reason = cancel.cancelled() => return Err(failed(Cause::Stopped(reason))),
        };
        database = match attempt.map_err(|fault| failed(Cause::Database(fault)))? {
            Attempt::Taken(mut locked) => {
                let canceller = locked.canceller().await.map_err(|fault| failed(Cause::Database(fault)))?;
                return Ok((locked, canceller));
            }
            Attempt::Held(database) => database,
        };
        let waited = began.elapsed();
        if waited >= tell_at || waited >= timeout {
            let holder = database.holder().await.map_err(|fault| failed(Cause::Database(fault)))?;
            let holder = holder.unwrap_or_else(|| "it has just been freed".into());
            if waited >= timeout {
                return Err(failed(Cause::Held { holder, waited }));
            }
            tracing::info!("waiting for the lock for {:.0} s: held by {holder}", waited.as_secs_f64());
            tell_at = (tell_at * 2).max(FIRST_TOLD);
        }
        let delay = Duration::from_millis(fastrand::u64(POLL)).min(timeout.saturating_sub(waited));
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            reason = cancel.cancelled() => return Err(failed(Cause::Stopped(reason))),
        }
    }
}
