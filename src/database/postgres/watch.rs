//! The second session: it cancels the first one's statement and says what that waits for.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::connect::hurried;
use super::{Postgres, column, fault};
use crate::database::{Fault, Kind};

/// How long the second session may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A session beside the working one. Opened with the lock, not when it is needed: then there may be no slot left.
pub struct Watch {
    connection: PgConnection,
    pid: i32,
}

impl Postgres {
    /// Opens the second session. A pooler that shares sessions gives itself away: while the second one holds a backend
    /// in a transaction, the first one must still meet its own. The lock is given back then, and nothing was changed.
    pub async fn watch(&mut self) -> Result<Watch, Fault> {
        let options = self.options.clone().application_name("lockkeeper watch");
        let opening = async {
            let mut connection = hurried(options.connect()).await.map_err(fault::connecting)?;
            let sql = "BEGIN; SELECT pg_catalog.pg_backend_pid()";
            let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await.map_err(fault::working)?;
            Ok((connection, column::<i32>(&row, 0)?))
        };
        let silent = |_| Fault::new(Kind::Lost, "no answer to the second session's login");
        let (mut connection, second) = tokio::time::timeout(PATIENCE, opening).await.map_err(silent)??;
        let first = self.row("SELECT pg_catalog.pg_backend_pid()".into()).await?;
        let pooled = second == self.facts.pid || column::<i32>(&first, 0)? != self.facts.pid;
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.map_err(fault::working)?;
        if pooled {
            self.give_back(self.facts.pid).await?;
            return Err(self.pooled());
        }
        Ok(Watch { connection, pid: self.facts.pid })
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

    /// The wait event of the working session and who blocks it.
    pub async fn waiting_for(&mut self) -> Option<String> {
        let sql = format!(
            "SELECT pg_catalog.concat_ws(' ', a.wait_event_type, a.wait_event, \
             (SELECT pg_catalog.format('blocked by pid %s (%s, %s, %s, transaction open for %s s): %s', b.pid, coalesce(nullif(b.application_name, ''), b.backend_type), \
              b.usename, b.state, extract(epoch from pg_catalog.clock_timestamp() - b.xact_start)::bigint, pg_catalog.left(pg_catalog.split_part(b.query, E'\\n', 1), 80)) \
              FROM pg_catalog.pg_stat_activity b WHERE b.pid = ANY (pg_catalog.pg_blocking_pids(a.pid)) ORDER BY b.xact_start LIMIT 1)) \
             FROM pg_catalog.pg_stat_activity a WHERE a.pid = {}",
            self.pid
        );
        let asked = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        let row = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
        column::<String>(&row, 0).ok().filter(|text| !text.is_empty())
    }
}
