//! Waits until the database is ready: authenticated, the right database, writable; not merely a port that is open.

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::config::{Locator, Missing, Patience};
use crate::database::url::Target;
use crate::database::{self, Database, Fault, HistoryName, Kind};
use crate::error::{Cause, Failure, Stage};
use crate::revision::Applied;
use crate::signal::Cancel;

/// Logins that may fail before the account is left alone: servers lock accounts.
const LOGINS: u32 = 3;
/// Log lines about waiting: at most one in this time.
const QUIET: Duration = Duration::from_secs(1);
/// Different reasons that are remembered for the summary at the end.
const REASONS: usize = 8;

/// What is done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A server is coming up, or will at any moment, and asking costs it nothing: stay close.
    Soon,
    /// Ask again, ever more slowly.
    Later,
    /// May be the last moments of a server's set-up: ask a few times within the grace.
    Grace,
    Stop,
}

/// CONTRACT's readiness table.
fn verdict(kind: Kind) -> Verdict {
    match kind {
        Kind::Starting | Kind::Unreachable => Verdict::Soon,
        Kind::Unresolved
        | Kind::Exhausted
        | Kind::Full
        | Kind::ReadOnly
        | Kind::Lost
        | Kind::Busy
        | Kind::Cancelled => Verdict::Later,
        Kind::Authentication | Kind::NoDatabase => Verdict::Grace,
        Kind::NoPrivilege
        | Kind::Tls
        | Kind::Protocol
        | Kind::TransactionPooler
        | Kind::Setting
        | Kind::Unsupported
        | Kind::Contended
        | Kind::Corrupt
        | Kind::Io
        | Kind::Statement => Verdict::Stop,
    }
}

/// Waits; the history that comes with the database is the second question that the session has answered.
///
/// # Errors
/// The last fault when time is up, one that waiting cannot mend, or a signal.
pub async fn wait(
    locator: &Locator,
    history: &HistoryName,
    patience: &Patience,
    cancel: &Cancel,
) -> Result<(Database, Vec<Applied>), Failure> {
    let mut waiting = Waiting::new(*patience);
    loop {
        let attempt = tokio::select! {
            attempt = waiting.attempt(locator, history) => attempt,
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        };
        let (fault, target) = match attempt {
            Ok(ready) => return Ok(ready),
            Err(Attempt::Cause(cause)) => return Err(Failure::new(Stage::Wait, cause)),
            Err(Attempt::Fault(fault, target)) => (fault, target),
        };
        let Some(delay) = waiting.delay(&fault) else {
            return Err(Failure::new(Stage::Wait, waiting.given_up(fault, target)));
        };
        waiting.tell(fault, &target);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Wait, Cause::Stopped(reason))),
        }
    }
}

/// Why an attempt failed.
enum Attempt {
    /// The database's answer, and what was asked.
    Fault(Fault, String),
    /// Our own settings.
    Cause(Cause),
}

struct Waiting {
    patience: Patience,
    began: Instant,
    attempts: u32,
    /// Attempts that the grace counts, and when the first was.
    refused: Option<(u32, Instant)>,
    told: Option<Instant>,
    /// Every reason met, once: those that come within a second of a line have no line of their own.
    met: Vec<String>,
    /// The last answer, which a last attempt that time has cut short does not change.
    last: Option<Fault>,
    soon: ExponentialBackoff,
    later: ExponentialBackoff,
}

impl Waiting {
    fn new(patience: Patience) -> Waiting {
        Waiting {
            patience,
            began: Instant::now(),
            attempts: 0,
            refused: None,
            told: None,
            met: Vec::new(),
            last: None,
            soon: full_jitter(Duration::from_millis(50), Duration::from_millis(100)),
            later: full_jitter(Duration::from_millis(100), Duration::from_secs(5)),
        }
    }

    async fn attempt(
        &mut self,
        locator: &Locator,
        history: &HistoryName,
    ) -> Result<(Database, Vec<Applied>), Attempt> {
        self.attempts += 1;
        let target = locator.locate().map_err(Attempt::Cause)?;
        let shown = shown(&target);
        let left = self.patience.total.saturating_sub(self.began.elapsed()).max(Duration::from_millis(10));
        let asked = async {
            let mut database = match database::open(&target, history, self.patience.attempt).await {
                Err(fault) if fault.kind == Kind::NoDatabase && self.patience.missing == Missing::Create => {
                    database::create(&target, self.patience.attempt).await?;
                    database::open(&target, history, self.patience.attempt).await?
                }
                other => other?,
            };
            let silent = |_| Fault::new(Kind::Unreachable, "no answer to the second question");
            let applied =
                tokio::time::timeout(self.patience.attempt, database.history()).await.map_err(silent)?;
            Ok((database, applied?))
        };
        match tokio::time::timeout(left, asked).await {
            Ok(Ok(ready)) => {
                if self.attempts > 1 {
                    let waited = self.began.elapsed().as_secs_f64();
                    let met = self.met.join("; ");
                    tracing::info!(
                        "{shown} is ready after {} attempts in {waited:.1} s; met: {met}",
                        self.attempts
                    );
                }
                Ok(ready)
            }
            Ok(Err(fault)) => Err(Attempt::Fault(fault, shown)),
            Err(_) => Err(Attempt::Fault(self.cut_short(left), shown)),
        }
    }

    /// The fault of an attempt that the wait timeout has ended: one that had less than its time proves nothing new.
    fn cut_short(&mut self, left: Duration) -> Fault {
        let silent = Fault::new(Kind::Unreachable, "no answer until the wait timeout");
        self.last.take().filter(|_| left < self.patience.attempt).unwrap_or(silent)
    }

    /// How long to wait before the next attempt; `None` when there is to be none.
    fn delay(&mut self, fault: &Fault) -> Option<Duration> {
        let left = self.patience.total.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())?;
        let delay = match verdict(fault.kind) {
            Verdict::Stop => return None,
            Verdict::Soon => self.soon.next_backoff(),
            Verdict::Later => self.later.next_backoff(),
            Verdict::Grace => {
                let (count, since) = self.refused.get_or_insert((0, Instant::now()));
                *count += 1;
                let over = *count >= LOGINS || since.elapsed() >= self.patience.grace;
                Some(self.patience.grace / (LOGINS - 1)).filter(|_| !over)
            }
        };
        delay.map(|delay| delay.min(left))
    }

    fn tell(&mut self, fault: Fault, target: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            tracing::info!(attempt = self.attempts, "waiting for {target}: {fault}");
        }
        let reason = fault.to_string();
        if self.met.len() < REASONS && !self.met.contains(&reason) {
            self.met.push(reason);
        }
        self.last = Some(fault);
    }

    fn given_up(self, fault: Fault, target: String) -> Cause {
        let now = fault.to_string();
        let before: Vec<String> = self.met.into_iter().filter(|reason| *reason != now).collect();
        if !before.is_empty() {
            tracing::info!("met before: {}", before.join("; "));
        }
        Cause::NeverReady { target, fault, attempts: self.attempts, waited: self.began.elapsed() }
    }
}

/// A random delay from zero to a bound that doubles up to `cap`: backoff draws from half of twice the middle.
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

/// What a target is called in the log.
fn shown(target: &Target) -> String {
    match target {
        Target::Postgres(target) => target.display(),
        Target::Sqlite(target) => match &target.place {
            database::url::Place::File(path) => path.display().to_string(),
            database::url::Place::Memory => ":memory:".into(),
        },
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
}
