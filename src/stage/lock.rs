//! Takes the lock by asking again and again: a session that waited inside SQL would stand in the way of the holder's
//! concurrent index builds.

use std::time::{Duration, Instant};

use crate::database::{Canceller, Database, DatabaseError, DatabaseErrorKind, LockAttempt, Locked, SessionLimits};
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Applied, Dialect};
use crate::signal::Cancel;

/// Between two attempts: short at first, since most holders have little to do, then doubling up to the longest; each
/// drawn from half to one and a half of that.
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_millis(300);
/// The holder is named after this, and then at growing intervals.
const FIRST_TOLD: Duration = Duration::from_secs(1);

/// How long a server may be silent beyond the time for the lock.
const SILENCE: Duration = Duration::from_secs(30);

/// How a wait for the lock ends well.
pub enum LockOutcome {
    /// It is ours; with it comes what can end our statements from outside.
    Ours(Locked, Canceller),
    /// The holder has done what we came for.
    NotNeeded(Vec<Applied>),
}

/// What is asked of the lock stage.
pub struct LockRequest<'a> {
    pub limits: SessionLimits,
    /// How long others are waited for.
    pub timeout: Duration,
    /// Host or pod name, for whoever waits for us.
    pub applied_by: &'a str,
    /// Whether a history leaves nothing to do.
    pub is_done: &'a dyn Fn(&[Applied]) -> bool,
}

/// Polls until the lock is ours, or not needed any more.
///
/// # Errors
/// The holder when time is up, a lost session, a pooler that shares sessions, a signal.
pub async fn lock(mut database: Database, wanted: &LockRequest<'_>, cancel: &Cancel) -> Result<LockOutcome, Failure> {
    let mut waiting = LockWait { began: Instant::now(), delay: FIRST_DELAY, tell_at: FIRST_TOLD };
    loop {
        let limit = waiting.limit(&database, wanted.timeout);
        let round = tokio::time::timeout(limit, waiting.round(database, wanted));
        let answer = tokio::select! {
            answer = round => answer,
            reason = cancel.cancelled() => return Err(Failure::new(Stage::Lock, Cause::Stopped(reason))),
        };
        let silent = |_| failed(DatabaseError::new(DatabaseErrorKind::Lost, "the server does not answer any more"));
        match answer.map_err(silent)?? {
            LockRound::Ended(gate) => return Ok(gate),
            LockRound::Held(given_back) => database = given_back,
        }
    }
}

fn failed(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Lock, Cause::Database(fault))
}

/// What one attempt and the pause after it came to.
enum LockRound {
    Ended(LockOutcome),
    Held(Database),
}

/// The history while somebody else works; `None` when SQLite cannot be read just now.
async fn known(database: &mut Database) -> Result<Option<Vec<Applied>>, DatabaseError> {
    match database.history().await {
        Ok(applied) => Ok(Some(applied)),
        Err(fault) if fault.kind == DatabaseErrorKind::Busy => Ok(None),
        Err(fault) => Err(fault),
    }
}

struct LockWait {
    began: Instant,
    delay: Duration,
    tell_at: Duration,
}

impl LockWait {
    /// One attempt; when the lock is held, whether it is still needed, and a pause.
    async fn round(&mut self, database: Database, wanted: &LockRequest<'_>) -> Result<LockRound, Failure> {
        let attempt = database.try_lock(wanted.applied_by, wanted.limits).await;
        let mut database = match attempt.map_err(failed)? {
            LockAttempt::Taken(mut locked) => {
                let canceller = locked.canceller().await.map_err(failed)?;
                // Not before: behind a transaction pooler our settings would be somebody else's.
                locked.prepare(wanted.limits).await.map_err(failed)?;
                return Ok(LockRound::Ended(LockOutcome::Ours(locked, canceller)));
            }
            LockAttempt::Held(database) => database,
        };
        let applied = known(&mut database).await.map_err(failed)?;
        database.close_file().await;
        if let Some(applied) = applied
            && (wanted.is_done)(&applied)
        {
            return Ok(LockRound::Ended(LockOutcome::NotNeeded(applied)));
        }
        self.log_holder(&mut database, wanted.timeout).await?;
        tokio::time::sleep(self.next_delay(wanted.timeout)).await;
        Ok(LockRound::Held(database))
    }

    /// How long a round may take: a server that has fallen silent must not keep us much longer than the lock would.
    /// SQLite's waits are its own, and limited.
    fn limit(&self, database: &Database, timeout: Duration) -> Duration {
        match database.dialect() {
            Dialect::Postgres => timeout.saturating_sub(self.began.elapsed()) + SILENCE,
            Dialect::Sqlite => Duration::MAX,
        }
    }

    /// Names the holder now and then.
    ///
    /// # Errors
    /// Time is up.
    async fn log_holder(&mut self, database: &mut Database, timeout: Duration) -> Result<(), Failure> {
        let waited = self.began.elapsed();
        if waited < self.tell_at && waited < timeout {
            return Ok(());
        }
        let holder = database.holder().await.map_err(failed)?;
        let holder = holder.unwrap_or_else(|| "it has just been freed".into());
        if waited >= timeout {
            return Err(Failure::new(Stage::Lock, Cause::Held { holder, waited }));
        }
        tracing::info!("waiting for the lock for {:.0} s: held by {holder}", waited.as_secs_f64());
        self.tell_at = (self.tell_at * 2).max(FIRST_TOLD);
        Ok(())
    }

    fn next_delay(&mut self, timeout: Duration) -> Duration {
        let delay = self.delay.mul_f64(0.5 + fastrand::f64());
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        delay.min(timeout.saturating_sub(self.began.elapsed()))
    }
}
