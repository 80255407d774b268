//! The second session: it cancels the first one's statement and says what that waits for.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::connect::hurried;
use super::{Postgres, column, fault};
use crate::database::fault::mask_passwords;
use crate::database::{Fault, Kind};
use crate::revision::render::set;

/// How long the second session may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many times what one login may take (a minute, by default) nothing at all has come: the server is out of reach. It
/// gives us up after as long (`tcp_keepalives_*`), while a statement's answer would be waited for without an end.
const SILENT_LOGINS: u32 = 12;

/// A session beside the working one. Opened with the lock, not when it is needed: then there may be no slot left.
pub struct Watch {
    pub(super) connection: PgConnection,
    pid: i32,
    /// After this the server is out of reach.
    endurance: Duration,
    /// When the first question was asked that has no answer.
    silent: Option<Instant>,
}

impl Postgres {
    /// Opens the second session, within the time of a login. A pooler that shares sessions gives itself away: while the
    /// second one holds a backend in a transaction, the first one must still meet its own. The lock is given back then,
    /// and nothing was changed.
    pub async fn watch(&mut self) -> Result<Watch, Fault> {
        let options = self.options.clone().application_name("lockkeeper watch");
        let opening = async {
            let mut connection = hurried(options.connect()).await.map_err(fault::connecting)?;
            let sql = "BEGIN; SELECT pg_catalog.pg_backend_pid()";
            let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.map_err(fault::working)?;
            Ok((connection, column::<i32>(&row, 0)?))
        };
        let silent = |_| Fault::new(Kind::Lost, "no answer to the second session's login");
        let (mut connection, second) =
            tokio::time::timeout(self.attempt, opening).await.map_err(silent)??;
        let mut pooled = second == self.facts.pid;
        // A pooler with one backend has none left to answer while the second session holds it.
        if !pooled {
            let first = self.row("SELECT pg_catalog.pg_backend_pid()".into()).await?;
            pooled = column::<i32>(&first, 0)? != self.facts.pid;
        }
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.map_err(fault::working)?;
        if pooled {
            self.give_back(self.facts.pid).await?;
            return Err(self.pooled());
        }
        let settings = [self.lasting(), vec![("statement_timeout", "0".into())]].concat();
        let sql = AssertSqlSafe(set(&settings));
        sqlx::raw_sql(sql).execute(&mut connection).await.map_err(fault::working)?;
        let endurance = self.attempt * SILENT_LOGINS;
        Ok(Watch { connection, pid: self.facts.pid, endurance, silent: None })
    }
}

impl Watch {
    /// `pg_cancel_backend` on the working session; needs no privilege, the role is the same.
    pub async fn cancel(&mut self) {
        let sql = format!("SELECT pg_catalog.pg_cancel_backend({})", self.pid);
        let sent = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!("the running statement could not be cancelled: {}", fault::working(error))
            }
            Err(_) => tracing::warn!("the running statement could not be cancelled: no answer"),
        }
    }

    /// The wait event of the working session and who blocks it; `None` when it waits for nothing, or nobody can tell.
    ///
    /// # Errors
    /// The server has been silent for so long that our working session is lost, too.
    pub async fn waiting_for(&mut self) -> Result<Option<String>, Fault> {
        let sql = format!(
            "SELECT pg_catalog.concat_ws(' ', a.wait_event_type, a.wait_event, \
             (SELECT pg_catalog.format('blocked by pid %s (%s, %s, %s, transaction open for %s s): %s', b.pid, coalesce(nullif(b.application_name, ''), b.backend_type), \
              b.usename, b.state, extract(epoch from pg_catalog.clock_timestamp() - b.xact_start)::bigint, pg_catalog.left(pg_catalog.split_part(b.query, E'\\n', 1), 80)) \
              FROM pg_catalog.pg_stat_activity b WHERE b.pid = ANY (pg_catalog.pg_blocking_pids(a.pid)) ORDER BY b.xact_start LIMIT 1)) \
             FROM pg_catalog.pg_stat_activity a WHERE a.pid = {}",
            self.pid
        );
        let asked = Instant::now();
        let answer = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else {
            let silence = self.silent.get_or_insert(asked).elapsed();
            return match silence < self.endurance {
                true => Ok(None),
                false => {
                    let message = format!("the connection was lost: no answer for {} s", silence.as_secs());
                    Err(Fault::new(Kind::Lost, message))
                }
            };
        };
        self.silent = None;
        let text = answer.ok().and_then(|row| column::<String>(&row, 0).ok());
        Ok(text.filter(|text| !text.is_empty()).map(|text| mask_passwords(&text)))
    }
}
