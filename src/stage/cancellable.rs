//! Waits for work on the database while signals, the deadline and other sessions are watched.

use std::pin::Pin;
use std::time::{Duration, Instant};

use super::pending_steps::PendingSteps;
use crate::database::{ApplyError, Canceller};
use crate::duration::log_intervals;
use crate::signal::Cancel;

/// The time after which a statement that still runs is cancelled once more.
const CANCEL_INTERVAL: Duration = Duration::from_millis(500);

/// The pauses before the first checks of who blocks a running step: soon at first, then every [`POLL_INTERVAL`].
const FIRST_POLL_INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// The pause between the later checks.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Waits for work on the database. A signal cancels the statement on the server and waits for the answer: the work is
/// then known to be rolled back, or to be done after all. Writes to `blocker` who blocks the work, because nobody can
/// find that out after the lock timeout has ended the statement. The steps that are pending meanwhile are made durable
/// and reported where that can be done beside the work.
pub(super) async fn run_cancellable<T>(
    work: impl Future<Output = Result<T, ApplyError>>,
    canceller: &mut Canceller,
    blocker: &mut Option<String>,
    mut pending: Option<&mut PendingSteps<'_>>,
    cancel: &Cancel,
) -> Result<T, ApplyError> {
    let mut work = std::pin::pin!(work);
    let mut poll_intervals = FIRST_POLL_INTERVALS.into_iter().chain(std::iter::repeat(POLL_INTERVAL));
    let mut intervals = log_intervals();
    let mut next_log = intervals.next().unwrap_or(Duration::MAX);
    let start = Instant::now();
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = cancel.cancelled() => {
                return stop(work, canceller).await;
            }
            () = tokio::time::sleep(poll_intervals.next().unwrap_or(POLL_INTERVAL)) => {
                let waiting = canceller.waiting_for().await.map_err(ApplyError::Unknown)?;
                *blocker = waiting.as_deref().and_then(|text| text.find("blocked by").map(|at| text[at..].to_owned()));
                if let Some(pending) = &mut pending {
                    pending.settle_beside(canceller).await;
                }
                if start.elapsed() >= next_log {
                    next_log += intervals.next().unwrap_or(Duration::MAX);
                    let waiting = waiting.map_or(String::new(), |description| format!(", waiting for {description}"));
                    tracing::info!("still running after {} s{waiting}", start.elapsed().as_secs());
                }
            }
        }
    }
}

/// Cancels the work and waits for its end. A cancel request that arrives between two statements has no effect, so it is
/// sent again.
async fn stop<T>(
    mut work: Pin<&mut impl Future<Output = Result<T, ApplyError>>>,
    canceller: &mut Canceller,
) -> Result<T, ApplyError> {
    loop {
        canceller.cancel().await;
        if let Ok(result) = tokio::time::timeout(CANCEL_INTERVAL, work.as_mut()).await {
            return result;
        }
    }
}
