//! The monitor session: a second session that cancels the statement of the working session and reports the reason for
//! its waiting.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::connect::poll_login_eagerly;
use super::grant::advised;
use super::probe::{LoginProbe, PATIENCE};
use super::stall::{BackendId, StallDetector};
use super::{Postgres, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::masking::mask_query;
use crate::revision::render::{OWN_PATH_SETTING, set};

/// A session beside the working one. It is opened together with the lock and not on demand, when there may be no
/// connection slot left.
pub struct MonitorSession {
    /// The connection; `None` when another session has ended it: then it is opened again on demand.
    connection: Option<PgConnection>,
    pub(super) options: PgConnectOptions,
    /// The SET statements with which each of our sessions begins.
    settings: String,
    /// The detector that checks whether the working session still makes progress.
    stall: StallDetector,
    role: String,
    /// The time without any answer after which the server counts as unreachable.
    pub(super) response_timeout: Duration,
    /// The time of the first query that has no answer.
    silent: Option<Instant>,
    /// True until a commit of the monitor session turns out to be impossible or to have no answer.
    pub(super) can_commit: bool,
}

impl Postgres {
    /// Opens the monitor session, within the time of one login, and detects a pooler that shares server sessions: while
    /// the monitor session holds a backend in a transaction, the working session must still reach its own backend.
    pub(super) async fn connect_monitor(&mut self) -> Result<MonitorSession, DatabaseError> {
        let options = self.options.clone().application_name("lockkeeper watch");
        let own = [("statement_timeout", "0"), OWN_PATH_SETTING];
        let own = own.map(|(name, value)| (name, value.to_owned())).to_vec();
        let settings = set(&[self.keepalive_settings(), own].concat());
        let opening = async {
            let mut connection = poll_login_eagerly(options.connect()).await.map_err(error::connecting)?;
            let sql = "BEGIN; SELECT pg_catalog.pg_backend_pid()";
            let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.map_err(error::working)?;
            Ok((connection, column::<i32>(&row, 0)?))
        };
        let silent = |_| {
            let hint =
                "a pooler needs room for two sessions of ours, or set LOCKKEEPER_DIRECT_URL to the server itself";
            DatabaseError::new(DatabaseErrorKind::Lost, "no answer to the second session's login").with_hint(hint)
        };
        let (mut connection, second) = tokio::time::timeout(self.attempt, opening).await.map_err(silent)??;
        let mut pooled = second == self.facts.pid;
        // A pooler with one backend cannot answer the working session while the monitor session holds that backend.
        if !pooled {
            let first = self.row("SELECT pg_catalog.pg_backend_pid()".into()).await?;
            pooled = column::<i32>(&first, 0)? != self.facts.pid;
        }
        let settling = async {
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.map_err(error::working)?;
            if pooled {
                return Err(self.transaction_pooler_error());
            }
            // Not earlier: behind a pooler the settings would reach other clients.
            sqlx::raw_sql(AssertSqlSafe(&*settings)).execute(&mut connection).await.map_err(error::working)
        };
        let silent = |_| DatabaseError::new(DatabaseErrorKind::Lost, "no answer to the second session after its login");
        tokio::time::timeout(self.attempt, settling).await.map_err(silent)??;
        let (stall, role, response_timeout) = (self.stall_detector(), self.facts.role.clone(), self.response_timeout());
        Ok(MonitorSession {
            connection: Some(connection),
            options,
            settings,
            stall,
            role,
            response_timeout,
            silent: None,
            can_commit: true,
        })
    }
}

impl MonitorSession {
    /// Returns a probe that notices by logins of its own that the working session is lost.
    pub(crate) fn probe(&self) -> LoginProbe {
        let StallDetector { backend, exchange, .. } = &self.stall;
        let stall = StallDetector::new(backend.clone(), exchange.clone(), self.response_timeout);
        LoginProbe::new(self.options.clone(), stall, self.response_timeout)
    }

    /// Cancels the working session's statement with `pg_cancel_backend`, which needs no privilege because the role is
    /// the same.
    pub(crate) async fn cancel(&mut self) {
        match self.query(format!("SELECT pg_catalog.pg_cancel_backend({})", self.stall.backend.pid)).await {
            ProbeReply::Rows(_) => {}
            ProbeReply::Failed(fault) => {
                let fault = advised(fault, "", &self.role);
                tracing::warn!("the running statement could not be cancelled: {fault}")
            }
            ProbeReply::Silence => tracing::warn!("the running statement could not be cancelled: no answer"),
        }
    }

    /// Describes the wait event of the working session and the session that blocks it; `None` when it waits for
    /// nothing, or the server does not answer.
    ///
    /// # Errors
    /// Fails when the server has not answered for so long that the working session counts as lost, too, or when that
    /// session waits for an answer that will not come.
    pub(crate) async fn waiting_for(&mut self) -> Result<Option<String>, DatabaseError> {
        self.check_session().await?;
        let asked = Instant::now();
        let rows = match self.query(waiting_for(self.stall.backend.pid)).await {
            ProbeReply::Rows(rows) => rows,
            ProbeReply::Failed(_) => Vec::new(),
            ProbeReply::Silence => {
                let silence = self.silent.get_or_insert(asked).elapsed();
                if silence < self.response_timeout {
                    return Ok(None);
                }
                let message = format!("the connection was lost: no answer for {} s", silence.as_secs());
                return Err(DatabaseError::new(DatabaseErrorKind::Lost, message));
            }
        };
        self.silent = None;
        let text = rows.first().and_then(|row| column::<String>(row, 0).ok());
        Ok(text.filter(|text| !text.is_empty()).map(|text| mask_query(&text)))
    }

    /// Checks the working session. A lost one is terminated on the server, too, so that no delayed message of ours can
    /// reach it.
    async fn check_session(&mut self) -> Result<(), DatabaseError> {
        let Some((wait, sql)) = self.stall.question() else {
            return Ok(());
        };
        let ProbeReply::Rows(rows) = self.query(sql).await else {
            return Ok(());
        };
        match self.stall.judge(wait, &rows).fault() {
            Some(fault) => {
                self.query(self.stall.backend.terminate()).await;
                Err(fault)
            }
            None => Ok(()),
        }
    }

    pub(super) fn working_backend(&self) -> &BackendId {
        &self.stall.backend
    }

    /// Drops the connection of the monitor session: it is opened again on demand.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Returns the connection of the monitor session; if another session has ended it, it is opened again.
    ///
    /// # Errors
    /// Fails when the login fails.
    pub(super) async fn connected(&mut self) -> Result<&mut PgConnection, DatabaseError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => tokio::time::timeout(PATIENCE, open(&self.options, &self.settings))
                .await
                .map_err(|_| DatabaseError::new(DatabaseErrorKind::Unreachable, "no answer to the login"))??,
        };
        Ok(self.connection.insert(connection))
    }

    /// Runs a query; a connection that another session has ended is opened again first.
    pub(super) async fn query(&mut self, sql: String) -> ProbeReply {
        // The first turn finds that the connection has ended; the second one opens another.
        const TURNS: usize = 2;
        for _ in 0..TURNS {
            let connection = match self.connected().await {
                Ok(connection) => connection,
                // A server that refuses the login says nothing about the working session.
                Err(fault) => return ProbeReply::Failed(fault),
            };
            let rows = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_all(connection);
            match tokio::time::timeout(PATIENCE, rows).await.map(|rows| rows.map_err(error::working)) {
                Ok(Ok(rows)) => return ProbeReply::Rows(rows),
                Ok(Err(fault)) if fault.kind == DatabaseErrorKind::Lost => self.connection = None,
                Ok(Err(fault)) => return ProbeReply::Failed(fault),
                Err(_) => return ProbeReply::Silence,
            }
        }
        ProbeReply::Failed(DatabaseError::new(DatabaseErrorKind::Lost, "the second session is ended again and again"))
    }
}

/// The result of a query in the monitor session.
pub(super) enum ProbeReply {
    Rows(Vec<PgRow>),
    Failed(DatabaseError),
    Silence,
}

async fn open(options: &PgConnectOptions, settings: &str) -> Result<PgConnection, DatabaseError> {
    let mut connection = poll_login_eagerly(options.connect()).await.map_err(error::connecting)?;
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await.map_err(error::working)?;
    Ok(connection)
}

/// Returns the query for the reason of a session's waiting; of several blocking sessions it takes the one with the
/// oldest transaction.
fn waiting_for(pid: i32) -> String {
    format!(
        "SELECT pg_catalog.concat_ws(' ', a.wait_event_type, a.wait_event, \
         (SELECT pg_catalog.format('blocked by pid %s (%s)%s: %s', b.pid, pg_catalog.concat_ws(', ', \
          CASE WHEN b.backend_type = 'autovacuum worker' AND b.query LIKE '%to prevent wraparound%' THEN 'an autovacuum to prevent wraparound, which does not give way' \
               WHEN b.application_name = 'pg_dump' THEN 'a pg_dump' ELSE coalesce(nullif(b.application_name, ''), b.backend_type) END, \
          b.usename, b.state, 'transaction open for ' || extract(epoch from pg_catalog.clock_timestamp() - b.xact_start)::bigint || ' s'), \
          CASE count(*) OVER () WHEN 1 THEN '' ELSE ' and ' || count(*) OVER () - 1 || ' more' END, \
          pg_catalog.left(pg_catalog.split_part(b.query, E'\\n', 1), 80)) \
          FROM pg_catalog.pg_stat_activity b WHERE b.pid = ANY (w.pids) ORDER BY b.xact_start LIMIT 1), \
         CASE WHEN 0 = ANY (w.pids) THEN 'blocked by a prepared transaction (pg_prepared_xacts)' END) \
         FROM pg_catalog.pg_stat_activity a, pg_catalog.pg_blocking_pids(a.pid) w (pids) WHERE a.pid = {pid}"
    )
}
