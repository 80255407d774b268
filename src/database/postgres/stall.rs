//! Detection of a lost message between a session and its backend: each of them then waits for the other, and neither
//! wait would ever end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::{Postgres, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;

/// A counter of the beginnings and ends of waits for an answer: an odd number means that an answer is awaited.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplyTracker(Arc<AtomicU64>);

/// One wait for an answer, which ends when the value is dropped.
pub(super) struct PendingReply(Arc<AtomicU64>);

impl ReplyTracker {
    pub(crate) fn begin(&self) -> PendingReply {
        self.0.fetch_add(1, Ordering::Relaxed);
        PendingReply(Arc::clone(&self.0))
    }

    /// Returns the number of the current wait; `None` when no answer is awaited.
    fn pending(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The identity of the server process that serves a session.
#[derive(Clone, Debug, Default)]
pub(super) struct BackendId {
    pub(crate) pid: i32,
    /// The start time of the process, to the microsecond: another session may get the same pid later.
    pub(crate) started: String,
}

/// The SQL expression for the start time of the session's own backend, in the format of [`BackendId::started`].
pub(super) const STARTED: &str = "(SELECT pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') \
     FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a)";

impl BackendId {
    /// Asks the server which of its processes serves the session.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn from_session(connection: &mut PgConnection) -> Result<BackendId, DatabaseError> {
        let sql = AssertSqlSafe(format!("SELECT pg_catalog.pg_backend_pid(), {STARTED}"));
        let row = sqlx::raw_sql(sql).fetch_one(connection).await.map_err(error::working)?;
        Ok(BackendId { pid: column(&row, 0)?, started: column(&row, 1)? })
    }

    pub(crate) fn condition(&self) -> String {
        format!(
            "a.pid = {} AND pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') = '{}'",
            self.pid, self.started
        )
    }

    /// Returns the statement that ends this backend and no other.
    pub(crate) fn terminate(&self) -> String {
        format!(
            "{OWN_PATH}SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a WHERE {}",
            self.condition()
        )
    }
}

/// The state of the working session, as another session sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SessionHealth {
    /// No problem is visible.
    Healthy,
    /// The server has ended the session, and this process has got no message about that.
    Gone,
    /// Client and backend have waited for each other for longer than allowed; the value is the time since this was
    /// first seen.
    Stalled(Duration),
}

/// A detector that checks the working session from another session.
pub(super) struct StallDetector {
    pub(crate) backend: BackendId,
    pub(crate) exchange: ReplyTracker,
    /// The longest time for which both sides may wait for each other.
    bound: Duration,
    /// The number of the wait during which the current suspicion was first seen, the suspicion, and the time.
    since: Option<(u64, Suspicion, Instant)>,
}

/// A possible problem of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// The server has ended the session.
    Gone,
    /// The backend waits for the client, too.
    Waits,
}

/// The time that the message about the end of a session may need to reach the client.
const NEWS: Duration = Duration::from_secs(1);

impl Postgres {
    /// Returns a detector for this session, to be used from another session.
    pub(super) fn stall_detector(&self) -> StallDetector {
        let backend = BackendId { pid: self.facts.pid, started: self.facts.started.clone() };
        StallDetector::new(backend, self.exchange.clone(), self.response_timeout())
    }
}

impl StallDetector {
    pub(crate) fn new(backend: BackendId, exchange: ReplyTracker, bound: Duration) -> Self {
        StallDetector { backend, exchange, bound, since: None }
    }

    /// Returns the number of the current wait and the query that checks the session during it; `None` when no answer is
    /// awaited.
    pub(crate) fn question(&mut self) -> Option<(u64, String)> {
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

    /// Evaluates the result of the query. A backend waits for the client whenever it is idle, so a message counts as
    /// lost only if the backend is seen to wait repeatedly during one and the same wait of the client.
    pub(crate) fn judge(&mut self, wait: u64, rows: &[PgRow]) -> SessionHealth {
        let suspicion = match rows.first().map(|row| column::<bool>(row, 0)) {
            None => Some(Suspicion::Gone),
            Some(Ok(true)) => Some(Suspicion::Waits),
            Some(_) => None,
        };
        let Some(suspicion) = suspicion.filter(|_| self.exchange.pending() == Some(wait)) else {
            self.since = None;
            return SessionHealth::Healthy;
        };
        let known = self.since.filter(|(seen, what, _)| (*seen, *what) == (wait, suspicion));
        let (.., first) = *self.since.insert(known.unwrap_or_else(|| (wait, suspicion, Instant::now())));
        match suspicion {
            Suspicion::Gone if first.elapsed() >= NEWS => SessionHealth::Gone,
            Suspicion::Waits if first.elapsed() >= self.bound => SessionHealth::Stalled(first.elapsed()),
            _ => SessionHealth::Healthy,
        }
    }
}

impl SessionHealth {
    /// Returns the error for a lost session; `None` when the session is well.
    pub(crate) fn fault(&self) -> Option<DatabaseError> {
        let message = match self {
            SessionHealth::Healthy => return None,
            SessionHealth::Gone => "the connection was lost: no answer, and the server has ended our session".into(),
            SessionHealth::Stalled(waited) => {
                format!("the connection was lost: no answer for {} s, while the server waits for us", waited.as_secs())
            }
        };
        Some(DatabaseError::new(DatabaseErrorKind::Lost, message))
    }
}
