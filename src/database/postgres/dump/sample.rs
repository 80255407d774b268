//! A sample of the rows of a database: how much a dump of them is, and how quickly the server sends them.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::super::rows::lock_table;
use super::super::{MonitorSession, column, error, no_answer_error};
use crate::database::DatabaseError;
use crate::revision::render::OWN_PATH;

/// The number of bytes of the tables' pages that the sample takes, about.
const SAMPLED_BYTES: i64 = 8 << 20;
/// The number of the largest tables that are sampled.
const SAMPLED_TABLES: usize = 4;
/// The longest time for the sample of one table. A table that takes longer, or whose lock others hold, is left out.
const LIMITS: &str = "SET LOCAL statement_timeout = 800; SET LOCAL lock_timeout = 200";

/// The query for the largest tables and their sizes in bytes, with the values that are stored out of line.
const LARGEST_TABLES: &str = "SELECT t.name, t.bytes FROM (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, \
     pg_catalog.pg_table_size(c.oid) AS bytes FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     AND pg_catalog.has_table_privilege(c.oid, 'SELECT')) t WHERE t.bytes > 0 ORDER BY t.bytes DESC LIMIT ";

/// A sample of the rows of the largest tables.
#[derive(Debug, Default)]
pub(crate) struct RowSample {
    /// The number of bytes that the sampled rows take in the database.
    pub(crate) stored_bytes: u64,
    /// The rows as text, nearly as a dump has them.
    pub(crate) text: Vec<u8>,
    /// The time in which the server has sent them.
    pub(crate) elapsed: Duration,
}

impl MonitorSession {
    /// Takes a sample within a few seconds, in a transaction of its own. Tables that cannot be read at once are left out.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn sample_rows(&mut self) -> Result<RowSample, DatabaseError> {
        let response_timeout = self.response_timeout;
        let result = tokio::time::timeout(response_timeout, sample(self.connected().await?)).await;
        let result = result.unwrap_or_else(|_| Err(no_answer_error(response_timeout)));
        if result.is_err() {
            // The server rolls the transaction back when the session is closed.
            self.disconnect();
        }
        result
    }
}

async fn sample(connection: &mut PgConnection) -> Result<RowSample, DatabaseError> {
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL row_security = off; {LIMITS}; {OWN_PATH}SAVEPOINT sample; {LARGEST_TABLES}{SAMPLED_TABLES}"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(begin)).fetch_all(&mut *connection).await.map_err(error::working)?;
    let tables: Vec<(String, i64)> =
        rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_, DatabaseError>>()?;
    let all_bytes: i64 = tables.iter().map(|(_, bytes)| bytes).sum();
    let fraction = (SAMPLED_BYTES as f64 / all_bytes.max(1) as f64).min(1.0);
    let mut sample = RowSample::default();
    for (table, bytes) in &tables {
        // A failure aborts the transaction up to the savepoint only, and the table is left out.
        if let Err(fault) = sample_table(connection, (table, *bytes), fraction, &mut sample).await {
            tracing::debug!("no sample of {table}: {fault}");
        }
        let back = sqlx::raw_sql("ROLLBACK TO SAVEPOINT sample").execute(&mut *connection).await;
        back.map_err(error::working)?;
    }
    sqlx::raw_sql("ROLLBACK").execute(connection).await.map_err(error::working)?;
    Ok(sample)
}

/// Adds a fraction of the rows of a table. `format` uses the output functions of the types, which only a superuser can
/// make, and never a cast, which the owner of the table can.
async fn sample_table(
    connection: &mut PgConnection,
    (table, bytes): (&str, i64),
    fraction: f64,
    sample: &mut RowSample,
) -> Result<(), DatabaseError> {
    sqlx::raw_sql(AssertSqlSafe(lock_table(table))).execute(&mut *connection).await.map_err(error::working)?;
    let percent = fraction * 100.0;
    let sql =
        format!("SELECT pg_catalog.format('%s', t.*) FROM ONLY {table} t TABLESAMPLE pg_catalog.system ({percent})");
    let start = Instant::now();
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(error::working)?;
    sample.elapsed += start.elapsed();
    sample.stored_bytes += (bytes as f64 * fraction) as u64;
    for row in &rows {
        sample.text.extend_from_slice(column::<String>(row, 0)?.as_bytes());
        sample.text.push(b'\n');
    }
    Ok(())
}
