//! Notices that a message between a session of ours and its backend was lost: each of them waits for the other then, and
//! neither would ever end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::{Postgres, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;

/// Counts the beginnings and the ends of our waits for an answer: an odd number means that one is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplyTracker(Arc<AtomicU64>);

/// One wait for an answer. It ends when this value is dropped.
pub(super) struct PendingReply(Arc<AtomicU64>);

impl ReplyTracker {
    pub fn begin(&self) -> PendingReply {
        self.0.fetch_add(1, Ordering::Relaxed);
        PendingReply(Arc::clone(&self.0))
    }

    /// Returns the number of the wait that goes on.
    fn pending(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The server's process that serves a session.
#[derive(Clone, Debug, Default)]
pub(super) struct BackendId {
    pub pid: i32,
    /// When it started, to the microsecond: another session may get the same pid later.
    pub started: String,
}

/// An expression for the start of our own backend, as [`BackendId::started`] has it.
pub(super) const STARTED: &str = "(SELECT pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') \
     FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a)";

impl BackendId {
    /// Asks a session which process of the server serves it.
    ///
    /// # Errors
    /// A lost session.
    pub async fn of_session(connection: &mut PgConnection) -> Result<BackendId, DatabaseError> {
        let sql = AssertSqlSafe(format!("SELECT pg_catalog.pg_backend_pid(), {STARTED}"));
        let row = sqlx::raw_sql(sql).fetch_one(connection).await.map_err(error::working)?;
        Ok(BackendId { pid: column(&row, 0)?, started: column(&row, 1)? })
    }

    fn condition(&self) -> String {
        format!(
            "a.pid = {} AND pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') = '{}'",
            self.pid, self.started
        )
    }

    /// Returns the statement that ends this backend and no other.
    pub fn terminate(&self) -> String {
        format!(
            "{OWN_PATH}SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a WHERE {}",
            self.condition()
        )
    }
}

/// What another session sees of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SessionHealth {
    /// Nothing that is wrong.
    Well,
    /// The server has ended it, and we have not been told.
    Gone,
    /// Both have waited for each other for too long.
    Stalled(Duration),
}

/// Looks at our working session from another one.
pub(super) struct StallDetector {
    pub backend: BackendId,
    pub exchange: ReplyTracker,
    /// How long both may wait for each other.
    bound: Duration,
    /// The wait during which this was first seen, and when that was.
    since: Option<(u64, Suspicion, Instant)>,
}

/// What may be wrong with a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// The server has ended it.
    Gone,
    /// The backend waits for us as well.
    Waits,
}

/// How long the news that a session was ended may take to reach it.
const NEWS: Duration = Duration::from_secs(1);

impl Postgres {
    /// Returns what sees from another session that this one waits in vain.
    pub(super) fn stall_detector(&self) -> StallDetector {
        let backend = BackendId { pid: self.facts.pid, started: self.facts.started.clone() };
        StallDetector::new(backend, self.exchange.clone(), self.response_timeout())
    }
}

impl StallDetector {
    pub fn new(backend: BackendId, exchange: ReplyTracker, bound: Duration) -> Self {
        StallDetector { backend, exchange, bound, since: None }
    }

    /// Returns the question to ask the server, and for which of our waits its answer is meant; nothing when no answer is
    /// waited for.
    pub fn question(&mut self) -> Option<(u64, String)> {
        let Some(wait) = self.exchange.pending() else {
            self.since = None;
            return None;
        };
        let sql = format!(
            "{OWN_PATH}SELECT coalesce(a.wait_event, '') = 'ClientRead' OR pg_catalog.starts_with(coalesce(a.state, ''), 'idle') \
             FROM pg_catalog.pg_stat_activity a WHERE {}",
            self.backend.condition()
        );
        Some((wait, sql))
    }

    /// Judges the answer. The backend waits for us whenever it has nothing to do, so only one that was seen to do so again
    /// and again during one and the same wait of ours has missed something.
    pub fn judge(&mut self, wait: u64, rows: &[PgRow]) -> SessionHealth {
        let suspicion = match rows.first().map(|row| column::<bool>(row, 0)) {
            None => Some(Suspicion::Gone),
            Some(Ok(true)) => Some(Suspicion::Waits),
            Some(_) => None,
        };
        let Some(suspicion) = suspicion.filter(|_| self.exchange.pending() == Some(wait)) else {
            self.since = None;
            return SessionHealth::Well;
        };
        let known = self.since.filter(|(seen, what, _)| (*seen, *what) == (wait, suspicion));
        let (.., first) = *self.since.insert(known.unwrap_or_else(|| (wait, suspicion, Instant::now())));
        match suspicion {
            Suspicion::Gone if first.elapsed() >= NEWS => SessionHealth::Gone,
            Suspicion::Waits if first.elapsed() >= self.bound => SessionHealth::Stalled(first.elapsed()),
            _ => SessionHealth::Well,
        }
    }
}

impl SessionHealth {
    /// Returns the fault of a session that is lost.
    pub fn fault(&self) -> Option<DatabaseError> {
        let message = match self {
            SessionHealth::Well => return None,
            SessionHealth::Gone => "the connection was lost: no answer, and the server has ended our session".into(),
            SessionHealth::Stalled(waited) => {
                format!("the connection was lost: no answer for {} s, while the server waits for us", waited.as_secs())
            }
        };
        Some(DatabaseError::new(DatabaseErrorKind::Lost, message))
    }
}
