//! The second session: it cancels the first one's statement and says what that waits for.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::connect::poll_login_eagerly;
use super::grant::advised;
use super::probe::LoginProbe;
use super::stall::StallDetector;
use super::{Postgres, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::masking::mask_query;
use crate::revision::render::{OWN_PATH_SETTING, set};

/// How long the second session may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// So many times what one login may take (a minute, by default) nothing at all has come: the server is out of reach. It
/// gives us up after as long (`tcp_keepalives_*`), while a statement's answer would be waited for without an end.
pub(super) const SILENT_LOGINS: u32 = 12;

/// A session beside the working one. Opened with the lock, not when it is needed: then there may be no slot left.
pub struct MonitorSession {
    /// `None` when somebody has ended it: it is opened again when it is needed.
    connection: Option<PgConnection>,
    pub(super) options: PgConnectOptions,
    /// What a session of ours begins with.
    settings: String,
    /// Looks at the working session.
    stall: StallDetector,
    role: String,
    /// After this the server is out of reach.
    pub(super) endurance: Duration,
    /// When the first question was asked that has no answer.
    silent: Option<Instant>,
}

impl Postgres {
    /// Opens the second session, within the time of a login. A pooler that shares sessions gives itself away: while the
    /// second one holds a backend in a transaction, the first one must still meet its own.
    pub(super) async fn open_watch(&mut self) -> Result<MonitorSession, DatabaseError> {
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
        // A pooler with one backend has none left to answer while the second session holds it.
        if !pooled {
            let first = self.row("SELECT pg_catalog.pg_backend_pid()".into()).await?;
            pooled = column::<i32>(&first, 0)? != self.facts.pid;
        }
        let settling = async {
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.map_err(error::working)?;
            if pooled {
                return Err(self.transaction_pooler_error());
            }
            // Not before: behind a pooler they would reach others.
            sqlx::raw_sql(AssertSqlSafe(&*settings)).execute(&mut connection).await.map_err(error::working)
        };
        let silent = |_| DatabaseError::new(DatabaseErrorKind::Lost, "no answer to the second session after its login");
        tokio::time::timeout(self.attempt, settling).await.map_err(silent)??;
        let (stall, role, endurance) = (self.stall_detector(), self.facts.role.clone(), self.response_timeout());
        Ok(MonitorSession { connection: Some(connection), options, settings, stall, role, endurance, silent: None })
    }
}

impl MonitorSession {
    pub fn probe(&self) -> LoginProbe {
        let StallDetector { backend, exchange, .. } = &self.stall;
        let stall = StallDetector::new(backend.clone(), exchange.clone(), self.endurance);
        LoginProbe::new(self.options.clone(), stall, self.endurance)
    }

    /// `pg_cancel_backend` on the working session; needs no privilege, the role is the same.
    pub async fn cancel(&mut self) {
        match self.ask(format!("SELECT pg_catalog.pg_cancel_backend({})", self.stall.backend.pid)).await {
            ProbeReply::Rows(_) => {}
            ProbeReply::Failed(fault) => {
                let fault = advised(fault, "", &self.role);
                tracing::warn!("the running statement could not be cancelled: {fault}")
            }
            ProbeReply::Silence => tracing::warn!("the running statement could not be cancelled: no answer"),
        }
    }

    /// The wait event of the working session and who blocks it; `None` when it waits for nothing, or nobody can tell.
    ///
    /// # Errors
    /// The server has been silent for so long that our working session is lost, too; or that one waits in vain.
    pub async fn waiting_for(&mut self) -> Result<Option<String>, DatabaseError> {
        self.check_session().await?;
        let asked = Instant::now();
        let rows = match self.ask(waiting_for(self.stall.backend.pid)).await {
            ProbeReply::Rows(rows) => rows,
            ProbeReply::Failed(_) => Vec::new(),
            ProbeReply::Silence => {
                let silence = self.silent.get_or_insert(asked).elapsed();
                if silence < self.endurance {
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

    /// Looks at the working session. One that is lost is ended on the server, too: no message of ours may reach it later.
    async fn check_session(&mut self) -> Result<(), DatabaseError> {
        let Some((wait, sql)) = self.stall.question() else {
            return Ok(());
        };
        let ProbeReply::Rows(rows) = self.ask(sql).await else {
            return Ok(());
        };
        match self.stall.judge(wait, &rows).fault() {
            Some(fault) => {
                self.ask(self.stall.backend.terminate()).await;
                Err(fault)
            }
            None => Ok(()),
        }
    }

    /// Gives the session up: it is opened again when it is needed.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The session itself; one that somebody was seen to have ended is opened again.
    ///
    /// # Errors
    /// No login.
    pub(super) async fn connected(&mut self) -> Result<&mut PgConnection, DatabaseError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => tokio::time::timeout(PATIENCE, open(&self.options, &self.settings))
                .await
                .map_err(|_| DatabaseError::new(DatabaseErrorKind::Unreachable, "no answer to the login"))??,
        };
        Ok(self.connection.insert(connection))
    }

    /// Asks; a session that somebody has ended is opened again first.
    async fn ask(&mut self, sql: String) -> ProbeReply {
        // It is found to have ended, opened again, and asked.
        const TURNS: usize = 2;
        for _ in 0..TURNS {
            let connection = match self.connected().await {
                Ok(connection) => connection,
                // A server that lets nobody in says nothing of the session that works.
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

/// What a question of the second session came to.
enum ProbeReply {
    Rows(Vec<PgRow>),
    Failed(DatabaseError),
    Silence,
}

async fn open(options: &PgConnectOptions, settings: &str) -> Result<PgConnection, DatabaseError> {
    let mut connection = poll_login_eagerly(options.connect()).await.map_err(error::connecting)?;
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await.map_err(error::working)?;
    Ok(connection)
}

/// Asks what a session waits for; of several that block it, for the oldest transaction's.
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
