//! Waits until the database is ready: the login succeeds, the database is the right one, and it is writable. An open
//! port alone is not enough.

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::config::{DatabaseUrlSource, MissingDatabase, WaitPolicy};
use crate::database::url::DatabaseTarget;
use crate::database::{self, Database, DatabaseError, DatabaseErrorKind, HistoryMark, HistoryName, HistoryPoll};
use crate::error::{Cause, Failure, Stage};
use crate::revision::Applied;
use crate::signal::Cancel;
use crate::stage::layout_tables::find_layouts;

/// The number of logins that may fail before the run gives up: servers lock accounts.
const MAX_LOGINS: u32 = 3;
/// The pause between the first two log lines about waiting. It doubles with each line, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two log lines about waiting.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The beginning of a wait in which a server that is started together with the run becomes ready.
const EAGER: Duration = Duration::from_secs(20);
/// The number of different reasons that are remembered for the summary at the end.
const MAX_REASONS: usize = 8;

/// The reaction to an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryDecision {
    /// Retries at short intervals: the server is coming up, or will at any moment, and an attempt costs it nothing.
    Soon,
    /// Retries at growing intervals.
    Later,
    /// Retries a few times within the grace period: these may be the last moments of a server's set-up.
    Grace,
    /// Gives up: waiting cannot correct the error.
    Stop,
}

/// Returns the reaction to an error of this kind.
fn retry_decision(kind: DatabaseErrorKind) -> RetryDecision {
    match kind {
        DatabaseErrorKind::Starting | DatabaseErrorKind::Unreachable => RetryDecision::Soon,
        DatabaseErrorKind::Unresolved
        | DatabaseErrorKind::Exhausted
        | DatabaseErrorKind::Full
        | DatabaseErrorKind::ReadOnly
        | DatabaseErrorKind::Lost
        | DatabaseErrorKind::Busy
        | DatabaseErrorKind::Cancelled => RetryDecision::Later,
        DatabaseErrorKind::Authentication | DatabaseErrorKind::NoDatabase => RetryDecision::Grace,
        DatabaseErrorKind::NoPrivilege
        | DatabaseErrorKind::Tls
        | DatabaseErrorKind::Protocol
        | DatabaseErrorKind::TransactionPooler
        | DatabaseErrorKind::Setting
        | DatabaseErrorKind::Unsupported
        | DatabaseErrorKind::Contended
        | DatabaseErrorKind::Corrupt
        | DatabaseErrorKind::Io
        | DatabaseErrorKind::ServerFile
        | DatabaseErrorKind::Statement => RetryDecision::Stop,
    }
}

/// Waits until the database is ready. Returns the database and its history: the server has read a table.
///
/// # Errors
/// Fails with the last error when the time is up, with an error that waiting cannot correct, or when a signal arrives.
pub(crate) async fn wait(
    source: &DatabaseUrlSource,
    history: &HistoryName,
    policy: &WaitPolicy,
    cancel: &Cancel,
) -> Result<(Database, Vec<Applied>), Failure> {
    let open = async |target: &DatabaseTarget| database::open(target, history, policy.attempt).await;
    wait_with(source, history, policy, cancel, open).await
}

/// Waits as [`wait`] does, and reads the history unless it has the mark that was `seen`.
///
/// # Errors
/// Fails as [`wait`] does.
pub(crate) async fn wait_and_poll(
    source: &DatabaseUrlSource,
    history: &HistoryName,
    policy: &WaitPolicy,
    cancel: &Cancel,
    seen: Option<&HistoryMark>,
) -> Result<(Database, HistoryPoll), Failure> {
    let open = async |target: &DatabaseTarget| database::poll(target, history, policy.attempt, seen).await;
    wait_with(source, history, policy, cancel, open).await
}

/// Waits until `open` has opened a database that is ready. Returns what it has read, too.
async fn wait_with<T>(
    source: &DatabaseUrlSource,
    history: &HistoryName,
    policy: &WaitPolicy,
    cancel: &Cancel,
    open: impl AsyncFn(&DatabaseTarget) -> Result<(Database, T), DatabaseError>,
) -> Result<(Database, T), Failure> {
    let mut state = WaitState::new(*policy);
    loop {
        let attempt = tokio::select! {
            attempt = state.attempt(source, history, &open) => attempt,
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        };
        let (fault, target) = match attempt {
            Ok(ready) => return Ok(ready),
            Err(AttemptError::Cause(cause)) => return Err(Failure::new(Stage::Wait, cause)),
            Err(AttemptError::Fault(fault, target)) => (fault, target),
        };
        let Some(delay) = state.delay(&fault) else {
            return Err(Failure::new(Stage::Wait, state.into_cause(fault, target)));
        };
        state.log_attempt(fault, &target);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
    }
}

/// The reason why an attempt failed.
enum AttemptError {
    /// The error of the database, and the target for display.
    Fault(DatabaseError, String),
    /// An error in the settings.
    Cause(Cause),
}

/// The state of a wait.
struct WaitState {
    policy: WaitPolicy,
    start: Instant,
    attempts: u32,
    /// The number of attempts that count against the grace period, and the time of the first one.
    refused_logins: Option<(u32, Instant)>,
    log: LogPace,
    /// Every reason met, once: a reason that comes within a second of a log line has no line of its own.
    reasons: Vec<String>,
    /// The last error; an attempt that the wait timeout has cut short does not change it.
    last_error: Option<DatabaseError>,
    /// The delays of [`RetryDecision::Soon`] in the first [`EAGER`] of a wait.
    eager_backoff: ExponentialBackoff,
    /// The delays of [`RetryDecision::Soon`] after that.
    soon_backoff: ExponentialBackoff,
    /// The delays of [`RetryDecision::Later`].
    later_backoff: ExponentialBackoff,
}

impl WaitState {
    fn new(policy: WaitPolicy) -> WaitState {
        WaitState {
            policy,
            start: Instant::now(),
            attempts: 0,
            refused_logins: None,
            log: LogPace { last_logged: None, pause: FIRST_PAUSE },
            reasons: Vec::new(),
            last_error: None,
            eager_backoff: full_jitter(Duration::from_millis(20), Duration::from_millis(40)),
            soon_backoff: full_jitter(Duration::from_millis(50), Duration::from_millis(100)),
            later_backoff: full_jitter(Duration::from_millis(100), Duration::from_secs(5)),
        }
    }

    /// Makes one attempt: opens the database, or creates it if it is missing and the policy allows that, and reads the
    /// history.
    async fn attempt<T>(
        &mut self,
        source: &DatabaseUrlSource,
        history: &HistoryName,
        open: &impl AsyncFn(&DatabaseTarget) -> Result<(Database, T), DatabaseError>,
    ) -> Result<(Database, T), AttemptError> {
        self.attempts += 1;
        let target = source.resolve().map_err(AttemptError::Cause)?;
        let target_name = target.display();
        let remaining = self.policy.total.saturating_sub(self.start.elapsed()).max(Duration::from_millis(10));
        let connect = async {
            let (mut database, applied) = match open(&target).await {
                Err(fault)
                    if fault.kind == DatabaseErrorKind::NoDatabase
                        && self.policy.missing == MissingDatabase::Create =>
                {
                    database::create(&target, self.policy.attempt).await?;
                    open(&target).await?
                }
                other => other?,
            };
            let found = find_layouts(&mut database, history).await?;
            Ok((database, applied, found))
        };
        match tokio::time::timeout(remaining, connect).await {
            Ok(Ok((_, _, found))) if !found.is_empty() => Err(AttemptError::Cause(Cause::Layout(found))),
            Ok(Ok((database, applied, _))) => {
                if self.attempts > 1 {
                    let waited = self.start.elapsed().as_secs_f64();
                    let reasons = self.reasons.join("; ");
                    tracing::info!(
                        "{target_name} is ready after {} attempts in {waited:.1} s; met: {reasons}",
                        self.attempts
                    );
                }
                Ok((database, applied))
            }
            Ok(Err(fault)) => Err(AttemptError::Fault(fault, target_name)),
            Err(_) => Err(AttemptError::Fault(self.timeout_error(remaining), target_name)),
        }
    }

    /// Returns the error of an attempt that the wait timeout has ended: if the attempt had less than its full time, it
    /// shows nothing new, and the error before it is returned.
    fn timeout_error(&mut self, remaining: Duration) -> DatabaseError {
        let no_answer = DatabaseError::new(DatabaseErrorKind::Unreachable, "no answer until the wait timeout");
        self.last_error.take().filter(|_| remaining < self.policy.attempt).unwrap_or(no_answer)
    }

    /// Returns the delay before the next attempt; `None` when there is to be none.
    fn delay(&mut self, fault: &DatabaseError) -> Option<Duration> {
        let remaining = self.policy.total.checked_sub(self.start.elapsed()).filter(|remaining| !remaining.is_zero())?;
        let delay = match retry_decision(fault.kind) {
            RetryDecision::Stop => return None,
            RetryDecision::Soon if self.start.elapsed() < EAGER => self.eager_backoff.next_backoff(),
            RetryDecision::Soon => self.soon_backoff.next_backoff(),
            RetryDecision::Later => self.later_backoff.next_backoff(),
            RetryDecision::Grace => {
                let (count, since) = self.refused_logins.get_or_insert((0, Instant::now()));
                *count += 1;
                let over = *count >= MAX_LOGINS || since.elapsed() >= self.policy.grace;
                Some(self.policy.grace / (MAX_LOGINS - 1)).filter(|_| !over)
            }
        };
        delay.map(|delay| delay.min(remaining))
    }

    /// Logs a failed attempt if a line is due, and remembers the reason.
    fn log_attempt(&mut self, fault: DatabaseError, target: &str) {
        let reason = fault.to_string();
        let is_new = self.reasons.len() < MAX_REASONS && !self.reasons.contains(&reason);
        let change = if is_new { AttemptChange::NewReason } else { AttemptChange::SameAgain };
        if self.log.is_due(self.start.elapsed(), change) {
            tracing::info!(attempt = self.attempts, "waiting for {target}: {fault}");
        }
        if is_new {
            self.reasons.push(reason);
        }
        self.last_error = Some(fault);
    }

    /// Returns the cause for giving up, and logs the other reasons that were met.
    fn into_cause(self, fault: DatabaseError, target: String) -> Cause {
        let last_reason = fault.to_string();
        let earlier_reasons: Vec<String> = self.reasons.into_iter().filter(|reason| *reason != last_reason).collect();
        if !earlier_reasons.is_empty() {
            tracing::info!("met before: {}", earlier_reasons.join("; "));
        }
        Cause::NeverReady { target, fault, attempts: self.attempts, waited: self.start.elapsed() }
    }
}

/// The news that an attempt has brought.
#[derive(Clone, Copy)]
enum AttemptChange {
    /// A reason that no attempt has met before.
    NewReason,
    /// A reason that was met before, or one more than [`MAX_REASONS`].
    SameAgain,
}

/// A limit on log lines: half an hour of waiting has a dozen lines instead of eight hundred.
struct LogPace {
    /// The time of the last line, since the beginning of the wait.
    last_logged: Option<Duration>,
    /// The pause that is due before the next line about a known reason.
    pause: Duration,
}

impl LogPace {
    /// Returns whether a line is due, and if so, doubles the pause before the next one. A new reason begins with short
    /// pauses again; there are at most [`MAX_REASONS`] of them.
    fn is_due(&mut self, elapsed: Duration, change: AttemptChange) -> bool {
        let since = self.last_logged.map(|last| elapsed.saturating_sub(last));
        let (interval, next_pause) = match change {
            AttemptChange::NewReason => (FIRST_PAUSE, FIRST_PAUSE),
            AttemptChange::SameAgain => (self.pause, (self.pause * 2).min(LONGEST_PAUSE)),
        };
        let is_due = since.is_none_or(|since| since >= interval);
        if is_due {
            self.last_logged = Some(elapsed);
            self.pause = next_pause;
        }
        is_due
    }
}

/// Returns random delays from zero to a bound that begins at `first` and doubles up to `cap`. The crate `backoff` draws
/// from around a middle, so it gets half of each bound and a randomization factor of 1.
fn full_jitter(first: Duration, cap: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        current_interval: first / 2,
        initial_interval: first / 2,
        randomization_factor: 1.0,
        multiplier: 2.0,
        max_interval: cap / 2,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_their_bound_and_grow_to_the_cap() {
        let mut delays = full_jitter(Duration::from_millis(100), Duration::from_secs(5));
        let mut bound = Duration::from_millis(100);
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let delay = delays.next_backoff().unwrap();
            assert!(delay <= bound + Duration::from_millis(1), "{delay:?} > {bound:?}");
            longest = longest.max(delay);
            bound = (bound * 2).min(Duration::from_secs(5));
        }
        assert!(longest > Duration::from_secs(3), "{longest:?}");
    }

    /// Returns the times, in seconds, at which attempts that come every 2.3 s write a line.
    fn lines(seconds: f64, change: impl Fn(f64) -> AttemptChange) -> Vec<f64> {
        let mut pace = LogPace { last_logged: None, pause: FIRST_PAUSE };
        let attempts = (0..).map(|attempt| f64::from(attempt) * 2.3).take_while(|at| *at < seconds);
        attempts.filter(|at| pace.is_due(Duration::from_secs_f64(*at), change(*at))).collect()
    }

    #[test]
    fn the_pause_between_log_lines_doubles_up_to_five_minutes() {
        let first = |at: f64| if at == 0.0 { AttemptChange::NewReason } else { AttemptChange::SameAgain };
        let half_an_hour = lines(1800.0, first);
        assert!(half_an_hour.len() <= 16, "{half_an_hour:?}");
        let pauses: Vec<f64> = half_an_hour.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1] + 2.4), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 303.0), "{pauses:?}");
        assert!(pauses.last().is_some_and(|last| *last >= 300.0), "{pauses:?}");
    }

    #[test]
    fn a_new_reason_has_a_line_at_once_and_short_pauses_after_it() {
        let change = |at: f64| {
            if at == 0.0 || (690.0..692.0).contains(&at) { AttemptChange::NewReason } else { AttemptChange::SameAgain }
        };
        let lines = lines(720.0, change);
        let after: Vec<&f64> = lines.iter().skip_while(|at| **at < 689.0).collect();
        assert!((after[0] - 690.0).abs() < 1e-6 && *after[1] < 693.0, "{lines:?}");
    }
}
