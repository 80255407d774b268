//! The PostgreSQL implementation: one session that reads, holds the lock and applies migrations. Everything goes by the
//! simple query protocol: one message, one answer, and no prepared statements, which a pooler could lose.

mod apply;
mod archive_script;
pub mod bulk_load;
mod catalog_state;
pub(crate) mod command_sessions;
mod connect;
pub(crate) mod content;
mod create_options;
mod definition;
pub(crate) mod dump;
pub(crate) mod error;
mod facts;
mod first_read;
mod grant;
mod history;
mod identity;
pub(crate) mod in_place;
mod index_state;
mod isolation;
mod journal;
mod journal_table;
mod lock;
mod maintenance;
mod message;
pub(crate) mod migrator;
mod monitor;
mod non_transactional;
mod probe;
mod readiness;
pub(crate) mod rehearsal;
pub(crate) mod restore_point;
mod rewrite_history;
pub(crate) mod rows;
pub(crate) mod scratch_database;
mod scratch_names;
mod send;
mod session_template;
mod settings;
mod settle;
mod sqlstate;
mod stall;
mod survivors;
pub(crate) mod swap;
mod tool;
mod tool_error;
mod trust;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use connect::OpenedSession;

use crate::dialect::Dialect;
use crate::sql::{identifier, literal};

pub(crate) use connect::create;
use facts::SessionFacts;
use first_read::FirstQuestion;
pub(crate) use monitor::MonitorSession;
pub(crate) use probe::LoginProbe;
use scratch_database::ScratchDatabase;
use stall::ReplyTracker;

use super::url::{self, Host};
use super::{
    DatabaseError, DatabaseErrorKind, DatabaseIdentity, HistoryName, SchemaDefects, ServerInfo, SessionLimits,
    TableNames,
};
use crate::revision::Applied;
use crate::revision::journal::quoted_name;
use crate::revision::render::OWN_PATH;

/// A session of a PostgreSQL server.
pub struct Postgres {
    connection: PgConnection,
    /// The driver's options, with which the monitor session is opened later.
    options: PgConnectOptions,
    /// The host that granted the session.
    pub(crate) host: Host,
    /// The parts of the database URL with which the session was opened.
    pub(crate) login: url::PostgresTarget,
    facts: SessionFacts,
    /// The state by which the monitor session sees that this session waits for an answer.
    exchange: ReplyTracker,
    /// The longest time that one login may take.
    attempt: Duration,
    /// The lock and statement timeouts; `None` before `prepare`.
    limits: Option<SessionLimits>,
    /// True if the database is a copy on which a plan is rehearsed.
    is_rehearsal: bool,
}

impl Postgres {
    /// Logs in and checks that the server is usable: that it is no standby, not read-only, and not too old.
    ///
    /// # Errors
    /// Fails with the kind by which the wait stage decides whether to try again: `Unresolved`, `Unreachable`,
    /// `Starting`, `ReadOnly` and so on.
    pub(crate) async fn connect(
        target: &url::PostgresTarget,
        name: &HistoryName,
        attempt: Duration,
    ) -> Result<Postgres, DatabaseError> {
        Postgres::connect_with(target, name, attempt, FirstQuestion::Facts).await.map(|(database, _)| database)
    }

    /// Does the same as [`Postgres::connect`] and reads the history with the first message. The rows are `None` if they
    /// have to be read with another one.
    ///
    /// # Errors
    /// Fails as [`Postgres::connect`] does.
    pub(crate) async fn connect_and_read(
        target: &url::PostgresTarget,
        name: &HistoryName,
        attempt: Duration,
    ) -> Result<(Postgres, Option<Vec<Applied>>), DatabaseError> {
        Postgres::connect_with(target, name, attempt, FirstQuestion::FactsAndHistory).await
    }

    async fn connect_with(
        target: &url::PostgresTarget,
        name: &HistoryName,
        attempt: Duration,
        asked: FirstQuestion,
    ) -> Result<(Postgres, Option<Vec<Applied>>), DatabaseError> {
        connect::first_usable_host(target, attempt, async |OpenedSession { connection, options, host }| {
            let mut database = Postgres {
                connection,
                options,
                host,
                login: target.clone(),
                facts: SessionFacts::unknown(target.user.clone().unwrap_or_default(), name),
                exchange: ReplyTracker::default(),
                attempt,
                limits: None,
                is_rehearsal: false,
            };
            // A host that accepts the login and never answers must not block the next host or another attempt.
            let silent = |_| {
                DatabaseError::new(
                    DatabaseErrorKind::Unreachable,
                    format!("no answer within {attempt:?} after the login"),
                )
            };
            let answers = tokio::time::timeout(attempt, database.first_answers(name, asked)).await.map_err(silent)?;
            let (facts, applied) = answers?;
            database.facts = facts;
            Ok((database, applied))
        })
        .await
    }

    /// Reports whether the database has no objects of its own: no relation, function, type or large object.
    ///
    /// # Errors
    /// Fails when the server refuses the query or the connection is lost.
    pub(crate) async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        // Looks for objects outside of the system's schemas that no extension owns; large objects are looked for below.
        let mine = |catalog: &str, namespace: &str, also: &str| {
            format!(
                "EXISTS (SELECT 1 FROM pg_catalog.{catalog} o JOIN pg_catalog.pg_namespace n ON n.oid = o.{namespace} \
                 WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' {also} \
                 AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e'))"
            )
        };
        let sql = format!(
            "SELECT {} OR {} OR {} OR EXISTS (SELECT 1 FROM pg_catalog.pg_largeobject_metadata)",
            mine("pg_class", "relnamespace", ""),
            mine("pg_proc", "pronamespace", ""),
            mine("pg_type", "typnamespace", "AND o.typtype IN ('d', 'e', 'r')"),
        );
        let row = self.row(sql).await?;
        column::<bool>(&row, 0).map(|anything| !anything)
    }

    /// Reads the names of the tables outside of the system's schemas, without those that an extension owns and without
    /// the history table and its journal. A partition counts as a part of its table.
    pub(crate) async fn table_names(&mut self) -> Result<TableNames, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text || '.' || c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.oid IS DISTINCT FROM to_regclass({}) AND c.oid IS DISTINCT FROM to_regclass({}) \
             AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1",
            literal(&self.table()),
            literal(&self.journal_table())
        );
        let names = self.rows(sql).await?;
        TableNames::from_names(names.iter().map(|row| column(row, 0)))
    }

    /// Returns the size of the tables with their TOAST tables in bytes, without the indexes, whose contents a dump does
    /// not hold. Where a table is locked, returns the size of the whole database: an estimate is not worth waiting for.
    pub(crate) async fn size(&mut self) -> Result<u64, DatabaseError> {
        let tables = "SELECT pg_catalog.set_config('lock_timeout', '200', true); \
                      SELECT coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c \
                      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                      WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
        let all = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
        let rows = match self.rows(tables.into()).await {
            Err(fault) if fault.kind == DatabaseErrorKind::Contended => self.rows(all.into()).await?,
            rows => rows?,
        };
        let bytes: i64 = rows.last().map_or(Ok(0), |row| column(row, 0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Returns the name of the database, with its dialect.
    pub(crate) fn identity(&self) -> DatabaseIdentity {
        DatabaseIdentity { dialect: Dialect::Postgres, name: self.facts.database.clone() }
    }

    /// Returns the server's version, its host, and how it reads backslashes in string literals.
    pub(crate) fn server(&self) -> ServerInfo {
        let SessionFacts { version_text, backslash, .. } = &self.facts;
        ServerInfo { version: version_text.clone(), address: self.host.to_string(), backslash: *backslash }
    }

    /// Returns the server's major version.
    pub(crate) fn major(&self) -> u32 {
        u32::try_from(self.facts.version / 10_000).unwrap_or(0)
    }

    /// Returns the name of the history table, quoted and qualified.
    pub(crate) fn table(&self) -> String {
        let schema = self.facts.schema.as_deref().unwrap_or_default();
        format!("{}.{}", identifier(schema), identifier(&self.facts.table))
    }

    /// Returns the name of the journal, quoted and qualified.
    pub(crate) fn journal_table(&self) -> String {
        quoted_name(Dialect::Postgres, self.facts.schema.as_deref(), &self.facts.table)
    }

    /// Returns the unquoted name of the history table's schema; `None` when the search path names no schema that
    /// exists.
    pub(crate) fn schema(&self) -> Option<String> {
        self.facts.schema.clone()
    }

    fn user(&self) -> &str {
        self.login.user.as_deref().unwrap_or_default()
    }

    /// Reads the invalid indexes and the constraints that are not validated, which existing rows need not fulfil. An
    /// invalid index is one that a failed concurrent build has left; indexes that another session is building at the
    /// moment do not count.
    pub(crate) async fn defects(&mut self) -> Result<SchemaDefects, DatabaseError> {
        let indexes = self.invalid_indexes().await?;
        let invalid = indexes.iter().map(|index| format!("index {} is invalid", index.name)).collect();
        let sql = "SELECT pg_catalog.format('constraint %I of %s', o.conname, o.conrelid::pg_catalog.regclass) FROM pg_catalog.pg_constraint o \
                   WHERE NOT o.convalidated AND o.conrelid <> 0 ORDER BY 1";
        let rows = self.rows(sql.into()).await?;
        let unvalidated = rows.iter().map(|row| column(row, 0)).collect::<Result<_, DatabaseError>>()?;
        Ok(SchemaDefects { invalid, unvalidated })
    }

    async fn row(&mut self, sql: String) -> Result<PgRow, DatabaseError> {
        let rows = self.rows(sql).await?;
        rows.into_iter()
            .next()
            .ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Statement, "the server sent no row"))
    }

    /// Runs a query of Lockkeeper's under the system's search path, so that unqualified names and operators in it are
    /// the system's. Names that a script contains could mean another object there: [`Postgres::message`] looks those
    /// up.
    async fn rows(&mut self, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
        self.message(format!("{OWN_PATH}{sql}")).await
    }

    /// Sends one message under the search path that the session has, and returns the rows of all its statements.
    async fn message(&mut self, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
        let limit = self.response_timeout();
        let _waiting = self.exchange.begin();
        let answer = sqlx::raw_sql(AssertSqlSafe(&*sql)).fetch_all(&mut self.connection);
        let rows = tokio::time::timeout(limit, answer).await.map_err(|_| no_answer_error(limit))?;
        rows.map_err(|error| grant::advised(error::working(error), &sql, &self.facts.role))
    }

    /// Closes the session: otherwise the server counts the session until it notices that the connection has ended.
    pub(crate) async fn close(self) {
        // An error is ignored: a session that is lost has ended as well.
        let _ = self.connection.close().await;
    }

    /// Returns how long an answer may take: without a limit a network that drops packets silently would never be
    /// noticed.
    fn response_timeout(&self) -> Duration {
        self.attempt * probe::SILENT_LOGINS
    }
}

/// Returns the error for a server that has not answered within `limit`.
fn no_answer_error(limit: Duration) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Lost, format!("the connection was lost: no answer for {} s", limit.as_secs()))
}

/// Decodes one column of a row.
fn column<'r, T>(row: &'r PgRow, index: usize) -> Result<T, DatabaseError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(index).map_err(unreadable)
}

/// Returns the columns of a row of a simple query, which are texts.
fn texts(row: &PgRow) -> Result<Vec<Option<&str>>, DatabaseError> {
    let text = |index| row.try_get_unchecked(index);
    (0..row.len()).map(text).collect::<Result<_, _>>().map_err(unreadable)
}

fn unreadable(error: sqlx::Error) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Statement, format!("an answer cannot be read: {error}"))
}
