//! Properties of the server, the session and the history table, which one message reads after the login.

use sqlx::postgres::PgRow;

use super::readiness::ServerReadiness;
use super::stall::STARTED;
use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName};
use crate::dialect::Dialect;
use crate::revision::Backslash;
use crate::revision::backslash::EscapeReason;
use crate::revision::history::{HistoryFormat, JournalUse};
use crate::revision::journal;
use crate::revision::render::OWN_PATH;
use crate::revision::render::trust::trusted_roles;
use crate::sql::literal;

/// The expression for the OID of the history in a message that begins with [`question`]; 0 if there is none.
pub(super) const HISTORY_OID: &str = "pg_catalog.current_setting('lockkeeper.history')::pg_catalog.oid";

/// The setting with the OIDs of the trusted roles in such a message.
pub(super) const TRUSTED_ROLES: &str = "lockkeeper.trusted_roles";

/// The properties of the server, the session and the history table.
#[derive(Clone)]
pub(super) struct SessionFacts {
    pub(crate) pid: i32,
    /// The start time of the session's backend: see [`super::stall::BackendId`].
    pub(crate) started: String,
    pub(crate) version: i32,
    pub(crate) version_text: String,
    pub(crate) database: String,
    /// The current role: the login user, or the role that ALTER ROLE ... SET role has made of it.
    pub(crate) role: String,
    /// The roles whose tables are trusted as a history, as an SQL expression for an array of OIDs.
    pub(crate) trusted_roles: String,
    /// The schema in which the history table is or would be created; `None` when there is no schema to create it in.
    pub(crate) schema: Option<String>,
    /// The unqualified name of the history table.
    pub(crate) table: String,
    pub(crate) history_exists: bool,
    /// The format of the history table.
    pub(crate) format: &'static dyn HistoryFormat,
    /// The columns that an existing table of an earlier release lacks.
    pub(crate) history_lacks: Vec<&'static str>,
    /// True if the journal exists and the history refers to it, as far as this session knows.
    pub(crate) has_journal: bool,
    /// True if the history is read together with the journal.
    pub(crate) reads_journal: bool,
    /// True if the history is a plain table: see `render/trust`.
    pub(crate) history_is_plain: bool,
    /// True if the role can lock rows of the history, or will own it.
    pub(crate) can_lock_rows: bool,
    /// True if `synchronous_commit` is `remote_apply` in a new session.
    pub(crate) has_remote_apply: bool,
    /// The meaning of backslashes in string literals in a new session.
    pub(crate) backslash: Backslash,
}

impl SessionFacts {
    /// Returns the placeholder that is used until the server has answered.
    pub(crate) fn unknown(role: String, history: &HistoryName) -> SessionFacts {
        SessionFacts {
            pid: 0,
            started: String::new(),
            version: 0,
            version_text: String::new(),
            database: String::new(),
            role,
            trusted_roles: String::new(),
            schema: None,
            table: history.table.clone(),
            history_exists: false,
            format: history.format,
            history_lacks: Vec::new(),
            has_journal: false,
            reads_journal: false,
            history_is_plain: false,
            can_lock_rows: false,
            has_remote_apply: false,
            backslash: Backslash::Ordinary,
        }
    }
}

impl Postgres {
    /// Reads the properties. Only the search path of the session decides which table an unqualified history name means.
    ///
    /// # Errors
    /// Fails when the session is lost, or when the server is not usable.
    pub(super) async fn facts(&mut self, name: &HistoryName) -> Result<SessionFacts, DatabaseError> {
        SessionFacts::from_answers(name, &self.message(question(name)).await?)
    }
}

impl SessionFacts {
    /// Reads the answers to [`question`].
    ///
    /// # Errors
    /// Fails when the server is not usable.
    pub(super) fn from_answers(name: &HistoryName, rows: &[PgRow]) -> Result<SessionFacts, DatabaseError> {
        let [found, row] = rows else {
            return Err(DatabaseError::new(DatabaseErrorKind::Protocol, "the server's first answers cannot be read"));
        };
        let existing: Option<String> = column(row, 6)?;
        let version: i32 = column(row, 3)?;
        let condition = ServerReadiness {
            version,
            recovering: column(row, 1)?,
            read_only: column::<&str>(row, 2)? == "on",
            first_boot: column(row, 7)?,
        };
        condition.refuse()?;
        Ok(SessionFacts {
            pid: column(row, 0)?,
            started: column::<Option<String>>(row, 12)?.unwrap_or_default(),
            version,
            version_text: column(row, 4)?,
            database: column(row, 5)?,
            role: column(row, 8)?,
            trusted_roles: format!("{}::pg_catalog.oid[]", literal(&column::<String>(row, 10)?)),
            history_exists: existing.is_some(),
            history_lacks: lacking(name.format, existing.as_deref(), column(row, 9)?),
            format: name.format,
            schema: existing.or_else(|| name.schema.clone()).or(column(found, 0)?),
            table: name.table.clone(),
            has_journal: false,
            reads_journal: column(row, 14)?,
            history_is_plain: false,
            can_lock_rows: false,
            has_remote_apply: column(row, 13)?,
            backslash: match column::<bool>(row, 11)? {
                true => Backslash::Ordinary,
                false => Backslash::MayEscape(EscapeReason::Default),
            },
        })
    }
}

/// Returns the two queries whose answers are the properties. They leave the OID of the history and the OIDs of the
/// trusted roles in two settings of the transaction, for what follows in the same message.
pub(super) fn question(name: &HistoryName) -> String {
    format!(
        "SELECT pg_catalog.current_schema()::pg_catalog.text, pg_catalog.set_config('lockkeeper.history', \
         coalesce(pg_catalog.to_regclass({})::pg_catalog.oid::pg_catalog.text, '0'), true);\n{OWN_PATH}\
         SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('transaction_read_only'), \
         current_setting('server_version_num')::int, current_setting('server_version'), current_database()::text, \
         (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {HISTORY_OID}), \
         current_setting('listen_addresses') = '' AND clock_timestamp() - pg_postmaster_start_time() < interval '5 s', \
         current_user::text, \
         {}, set_config('{TRUSTED_ROLES}', ({})::text, true), \
         current_setting('standard_conforming_strings')::boolean, {STARTED}, current_setting('synchronous_commit') = 'remote_apply', {}",
        literal(&name.quoted()),
        later_columns(name.format, HISTORY_OID),
        trusted_roles(),
        has_journal(name, HISTORY_OID)
    )
}

/// Returns an expression for whether a history, given by its OID, is read together with a journal in its schema.
fn has_journal(name: &HistoryName, oid: &str) -> String {
    match name.format.journal_use() {
        JournalUse::WhenReferred => "false".into(),
        JournalUse::WhenPresent => format!(
            "EXISTS (SELECT 1 FROM pg_class c WHERE c.relname = {} \
             AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = {oid}))",
            literal(&journal::name(Dialect::Postgres, &name.table))
        ),
    }
}

/// Returns an expression for the columns of later releases that a table has, by its OID, with line feeds between them.
pub(super) fn later_columns(format: &dyn HistoryFormat, oid: &str) -> String {
    let names: Vec<String> = format.later_columns().iter().map(|name| literal(name)).collect();
    if names.is_empty() {
        return "NULL".into();
    }
    format!(
        "(SELECT pg_catalog.string_agg(attname::pg_catalog.text, pg_catalog.chr(10)) FROM pg_catalog.pg_attribute \
         WHERE attrelid = {oid} AND attname IN ({}))",
        names.join(", ")
    )
}

/// Returns the columns of later releases that a table lacks; `present` is the value of [`later_columns`]. Nothing is
/// lacking where there is no table.
pub(super) fn lacking(format: &dyn HistoryFormat, table: Option<&str>, present: Option<&str>) -> Vec<&'static str> {
    let is_lacking =
        |name: &&'static str| table.is_some() && !present.unwrap_or_default().lines().any(|it| it == *name);
    format.later_columns().iter().copied().filter(is_lacking).collect()
}
