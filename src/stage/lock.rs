//! Takes the lock by polling: a session that waited for the lock inside SQL would block the concurrent index builds of
//! the lock's holder.

use std::time::{Duration, Instant};

use crate::database::{Canceller, Database, DatabaseError, DatabaseErrorKind, LockAttempt, Locked, SessionLimits};
use crate::dialect::Dialect;
use crate::error::{Cause, Failure, Stage};
use crate::revision::Applied;
use crate::signal::Cancel;

/// The pause after the first attempt: short, since most holders have little to do. Pauses double up to
/// [`LONGEST_DELAY`]; each one is drawn from half to one and a half of that.
const FIRST_DELAY: Duration = Duration::from_millis(10);
/// The longest pause between two attempts, before the random factor.
const LONGEST_DELAY: Duration = Duration::from_millis(300);
/// The time after which the holder is logged first; it is logged again at growing intervals.
const FIRST_LOG_DELAY: Duration = Duration::from_secs(1);

/// The time for which a server may be silent beyond the lock timeout.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The successful end of a wait for the lock.
pub(crate) enum LockOutcome<T> {
    /// The locked database, and the canceller that can end its statements from outside.
    Ours(Locked, Canceller),
    /// The holder of the lock has done all the work of this run; this is its result.
    NotNeeded(T),
}

/// The settings of the lock stage.
pub(crate) struct LockRequest<'a> {
    /// The timeouts of the locked session.
    pub(crate) limits: SessionLimits,
    /// The longest wait for other runs.
    pub(crate) timeout: Duration,
    /// The host or pod name, which is shown to runs that wait for this one.
    pub(crate) applied_by: &'a str,
    /// The use of the history.
    pub(crate) history_use: HistoryUse,
}

/// The use that a run makes of Lockkeeper's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryUse {
    /// It may write the history: a place for the table is looked for before anything is done.
    Written,
    /// It writes none: a guarded command has a history of its own.
    Untouched,
}

/// Polls until the lock is taken or is not needed any more: `answer` returns the result of this run if a history leaves
/// nothing to do.
///
/// # Errors
/// Fails with the holder when the time is up, when the session is lost, when a connection pooler shares sessions, or
/// when a signal arrives.
pub(crate) async fn lock<T>(
    mut database: Database,
    request: &LockRequest<'_>,
    answer: impl Fn(&[Applied]) -> Option<T>,
    cancel: &Cancel,
) -> Result<LockOutcome<T>, Failure> {
    let mut probe = database.probe();
    let mut wait = LockWait { start: Instant::now(), delay: FIRST_DELAY, next_log: FIRST_LOG_DELAY };
    loop {
        let limit = wait.limit(&database, request.timeout);
        let round = tokio::time::timeout(limit, wait.round(database, request, &answer));
        let result = tokio::select! {
            result = round => result,
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Lock, Cause::Stopped(reason))),
        };
        let no_response =
            |_| failed(DatabaseError::new(DatabaseErrorKind::Lost, "the server does not answer any more"));
        match result.map_err(no_response).flatten() {
            Ok(LockRound::Ended(outcome)) => return Ok(outcome),
            Ok(LockRound::Held(returned)) => database = returned,
            Err(failure) => {
                // The lost session may hold the lock, and the run would wait for itself.
                if failure.is_session_lost() {
                    probe.log_in_and_terminate().await;
                }
                return Err(failure);
            }
        }
    }
}

fn failed(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Lock, Cause::Database(fault))
}

/// The result of one attempt and of the pause after it.
enum LockRound<T> {
    /// The wait is over.
    Ended(LockOutcome<T>),
    /// Another run holds the lock; the database is kept for the next attempt.
    Held(Database),
}

/// Reads the history while another run is at work. Returns `None` when SQLite cannot be read at the moment.
async fn read_history(database: &mut Database) -> Result<Option<Vec<Applied>>, DatabaseError> {
    match database.history().await {
        Ok(applied) => Ok(Some(applied)),
        Err(fault) if fault.kind == DatabaseErrorKind::Busy => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The state of a wait for the lock.
struct LockWait {
    start: Instant,
    /// The next pause, before the random factor.
    delay: Duration,
    /// The time since the beginning at which the holder is logged next.
    next_log: Duration,
}

impl LockWait {
    /// Makes one attempt. When another run holds the lock, checks whether the lock is still needed, and pauses.
    async fn round<T>(
        &mut self,
        database: Database,
        request: &LockRequest<'_>,
        answer: &impl Fn(&[Applied]) -> Option<T>,
    ) -> Result<LockRound<T>, Failure> {
        let attempt = database.try_lock(request.applied_by, request.limits).await;
        let mut database = match attempt.map_err(failed)? {
            LockAttempt::Taken(mut locked) => {
                let canceller = locked.canceller().await.map_err(failed)?;
                // After `canceller`, which finds transaction poolers: behind one, the settings would be made in another
                // session.
                let prepared = match request.history_use {
                    HistoryUse::Written => locked.prepare(request.limits).await,
                    HistoryUse::Untouched => locked.prepare_session(request.limits).await,
                };
                prepared.map_err(failed)?;
                return Ok(LockRound::Ended(LockOutcome::Ours(locked, canceller)));
            }
            LockAttempt::Held(database) => database,
        };
        let applied = read_history(&mut database).await.map_err(failed)?;
        database.close_file();
        if let Some(answer) = applied.and_then(|applied| answer(&applied)) {
            return Ok(LockRound::Ended(LockOutcome::NotNeeded(answer)));
        }
        self.log_holder(&mut database, request.timeout).await?;
        tokio::time::sleep(self.next_delay(request.timeout)).await;
        Ok(LockRound::Held(database))
    }

    /// Returns the longest time that a round may take: a server that has fallen silent must not delay the run much
    /// longer than the lock would. On SQLite there is no limit here, because each of its waits has one.
    fn limit(&self, database: &Database, timeout: Duration) -> Duration {
        match database.dialect() {
            Dialect::Postgres => timeout.saturating_sub(self.start.elapsed()) + RESPONSE_TIMEOUT,
            Dialect::Sqlite => Duration::MAX,
        }
    }

    /// Logs the holder now and then.
    ///
    /// # Errors
    /// Fails with the holder when the time is up, and when the session is lost.
    async fn log_holder(&mut self, database: &mut Database, timeout: Duration) -> Result<(), Failure> {
        let waited = self.start.elapsed();
        if waited < self.next_log && waited < timeout {
            return Ok(());
        }
        let holder = database.holder().await.map_err(failed)?;
        let holder = holder.unwrap_or_else(|| "it has just been freed".into());
        if waited >= timeout {
            return Err(Failure::new(Stage::Lock, Cause::Held { holder, waited }));
        }
        tracing::info!("waiting for the lock for {:.0} s: held by {holder}", waited.as_secs_f64());
        self.next_log = (self.next_log * 2).max(FIRST_LOG_DELAY);
        Ok(())
    }

    /// Returns the next pause, and doubles the one after it.
    fn next_delay(&mut self, timeout: Duration) -> Duration {
        let delay = self.delay.mul_f64(0.5 + fastrand::f64());
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        delay.min(timeout.saturating_sub(self.start.elapsed()))
    }
}
