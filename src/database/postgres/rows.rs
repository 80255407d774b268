//! Counting of the rows of every table that a dump contains.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::probe::LoginProbe;
use super::stall::{BackendId, ReplyTracker, StallDetector};
use super::{MonitorSession, column, error, no_answer_error};
use crate::database::row_counts::RowCounts;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;
use crate::sql::literal;

/// The query for ordinary tables outside of the system's schemas that no extension owns; it includes partitions, and
/// excludes partitioned tables.
const TABLES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.oid::bigint FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
     WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";

/// The query that refuses views until the end of the transaction, on servers that have the setting (the versions that
/// correct CVE-2024-7348): the name of a locked table can still lead to another schema once its own schema was renamed.
pub(super) const REFUSE_VIEWS: &str = "SELECT pg_catalog.set_config('restrict_nonsystem_relation_kind', 'view', true) \
     WHERE pg_catalog.current_setting('restrict_nonsystem_relation_kind', true) IS NOT NULL; ";

/// The numbers of rows of the tables of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct SnapshotRows {
    /// The numbers of rows by the names of the tables.
    pub(crate) counts: RowCounts,
    /// The names of the tables by their OIDs.
    pub(crate) names: BTreeMap<i64, String>,
}

/// Reads the names of the tables, qualified and quoted, with their OIDs.
///
/// # Errors
/// Fails when the session is lost.
pub(super) async fn tables(
    connection: &mut PgConnection,
    exchange: &ReplyTracker,
) -> Result<Vec<(String, i64)>, DatabaseError> {
    let _waiting = exchange.begin();
    let sql = AssertSqlSafe(format!("{OWN_PATH}{TABLES}"));
    let tables = sqlx::raw_sql(sql).fetch_all(connection).await.map_err(error::working)?;
    tables.iter().map(|table| Ok((column(table, 0)?, column(table, 1)?))).collect()
}

/// The statement behind the count of a table that gives its locks back: a table has one, and each of its indexes, and
/// the lock table of the server has room for some thousands.
const RELEASE_LOCKS: &str = "; ROLLBACK TO SAVEPOINT counting";

/// Counts the rows of the tables, as the session's transaction sees them. `after` is what follows the statement that
/// counts a table.
///
/// # Errors
/// Fails when the session is lost, a privilege is missing, or a lock is not released in time.
pub(super) async fn count(
    connection: &mut PgConnection,
    exchange: &ReplyTracker,
    after: &str,
) -> Result<SnapshotRows, DatabaseError> {
    let mut rows = SnapshotRows::default();
    for (table, oid) in tables(connection, exchange).await? {
        let _waiting = exchange.begin();
        let rows_of = sqlx::raw_sql(AssertSqlSafe(counting(&table, after))).fetch_all(&mut *connection).await;
        let rows_of = rows_of.map_err(error::working)?;
        let count: i64 = rows_of.last().map_or(Ok(0), |row| column(row, 0))?;
        rows.counts.insert(table.clone(), u64::try_from(count).unwrap_or(0));
        rows.names.insert(oid, table);
    }
    Ok(rows)
}

/// Returns the statements that lock a table and check that it is still a table. The check divides by zero when it fails:
/// a role that can put a view in the table's place could have its functions run with our rights. The snapshot may be
/// older than the lock, and a table that has become a view keeps its OID up to version 15: the check relies on
/// `pg_relation_filenode`, which knows the current state and gives NULL for a view.
pub(super) fn lock_table(table: &str) -> String {
    format!(
        "{OWN_PATH}LOCK TABLE ONLY {table} IN ACCESS SHARE MODE; {REFUSE_VIEWS}\
         SELECT 1 / count(*) FROM pg_class WHERE oid = to_regclass({}) AND relkind = 'r' AND pg_relation_filenode(oid) IS NOT NULL; ",
        literal(table)
    )
}

/// Returns the statements that lock and check a table, and count its rows.
fn counting(table: &str, after: &str) -> String {
    format!("{}SELECT count(*) FROM ONLY {table}{after}", lock_table(table))
}

/// The monitor session counts: the working session, which holds the lock, stays idle, so that a signal that ends the
/// counting finds that session ready to release the lock.
impl MonitorSession {
    /// Opens a transaction with an exported snapshot and returns the name of the snapshot, for `pg_dump --snapshot`.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn snapshot(&mut self, lock_wait: Duration) -> Result<String, DatabaseError> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL row_security = off; SET LOCAL lock_timeout = {}; \
             SELECT pg_catalog.pg_export_snapshot(); SAVEPOINT counting",
            lock_wait.as_millis()
        );
        let rows = self.answer(sql).await?;
        let row = rows
            .last()
            .ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Lost, "the server exported no snapshot"))?;
        column(row, 0)
    }

    /// Counts the rows in that transaction. After an error the snapshot is kept: the dump reports the cause.
    ///
    /// # Errors
    /// Fails when the session is lost, a privilege is missing, or a lock is not released in time.
    pub(crate) async fn count(&mut self) -> Result<SnapshotRows, DatabaseError> {
        let (options, response_timeout) = (self.options.clone(), self.response_timeout);
        let exchange = ReplyTracker::default();
        let connection = self.connected().await?;
        let backend = tokio::time::timeout(response_timeout, BackendId::from_session(connection)).await;
        let backend = backend.map_err(|_| no_answer_error(response_timeout))??;
        let probe =
            LoginProbe::new(options, StallDetector::new(backend, exchange.clone(), response_timeout), response_timeout);
        let rows = probe.watch(count(connection, &exchange, RELEASE_LOCKS)).await;
        match &rows {
            Err(fault) if fault.kind == DatabaseErrorKind::Lost => self.disconnect(),
            // An error of a lost session was returned by the counting already.
            Err(_) => drop(self.answer("ROLLBACK TO counting".into()).await),
            Ok(_) => {}
        }
        rows
    }

    /// Ends that transaction, and with it the snapshot.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn end_snapshot(&mut self) -> Result<(), DatabaseError> {
        self.answer("ROLLBACK".into()).await.map(drop)
    }

    /// Runs a query that the server answers at once.
    async fn answer(&mut self, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
        let response_timeout = self.response_timeout;
        let asking = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(self.connected().await?);
        let rows = match tokio::time::timeout(response_timeout, asking).await {
            Ok(rows) => rows.map_err(error::working),
            Err(_) => Err(no_answer_error(response_timeout)),
        };
        if matches!(&rows, Err(fault) if fault.kind == DatabaseErrorKind::Lost) {
            self.disconnect();
        }
        rows
    }
}
