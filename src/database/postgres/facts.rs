//! Properties of the server, the session and the history table, which one message reads after the login.

use super::readiness::ServerReadiness;
use super::stall::STARTED;
use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName};
use crate::revision::Backslash;
use crate::revision::backslash::EscapeReason;
use crate::revision::render::OWN_PATH;
use crate::revision::render::trust::trusted_roles;
use crate::sql::literal;

/// The properties of the server, the session and the history table.
pub(super) struct SessionFacts {
    pub pid: i32,
    /// The start time of the session's backend: see [`super::stall::BackendId`].
    pub started: String,
    pub version: i32,
    pub version_text: String,
    pub database: String,
    /// The current role: the login user, or the role that ALTER ROLE ... SET role has made of it.
    pub role: String,
    /// The roles whose tables are trusted as a history, as an SQL expression for an array of OIDs.
    pub trusted_roles: String,
    /// The schema in which the history table is or would be created; `None` when there is no schema to create it in.
    pub schema: Option<String>,
    /// The unqualified name of the history table.
    pub table: String,
    pub history_exists: bool,
    /// True if the table has the column `down_checksum`, which an earlier release lacked; also true when there is
    /// no table.
    pub has_down_checksum: bool,
    /// True if the table has the column `catalog_before`, which an earlier release lacked; also true when there
    /// is no table.
    pub has_catalog_before: bool,
    /// True if the history is a plain table: see `render/trust`.
    pub history_is_plain: bool,
    /// True if `synchronous_commit` is `remote_apply` in a new session.
    pub has_remote_apply: bool,
    /// The meaning of backslashes in string literals in a new session.
    pub backslash: Backslash,
}

impl SessionFacts {
    /// Returns the placeholder that is used until the server has answered.
    pub fn unknown(role: String, table: String) -> SessionFacts {
        SessionFacts {
            pid: 0,
            started: String::new(),
            version: 0,
            version_text: String::new(),
            database: String::new(),
            role,
            trusted_roles: String::new(),
            schema: None,
            table,
            history_exists: false,
            has_down_checksum: true,
            has_catalog_before: true,
            history_is_plain: false,
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
        let rows = self.message(question(name)).await?;
        let [found, row] = rows.as_slice() else {
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
            started: column::<Option<String>>(row, 13)?.unwrap_or_default(),
            version,
            version_text: column(row, 4)?,
            database: column(row, 5)?,
            role: column(row, 8)?,
            trusted_roles: format!("{}::pg_catalog.oid[]", literal(&column::<String>(row, 11)?)),
            history_exists: existing.is_some(),
            has_down_checksum: existing.is_none() || column(row, 9)?,
            has_catalog_before: existing.is_none() || column(row, 10)?,
            schema: existing.or_else(|| name.schema.clone()).or(column(found, 0)?),
            table: name.table.clone(),
            history_is_plain: false,
            has_remote_apply: column(row, 14)?,
            backslash: match column::<bool>(row, 12)? {
                true => Backslash::Ordinary,
                false => Backslash::MayEscape(EscapeReason::Default),
            },
        })
    }
}

/// Returns the two queries that [`Postgres::facts`] sends in one message.
fn question(name: &HistoryName) -> String {
    const OID: &str = "pg_catalog.current_setting('lockkeeper.history')::oid";
    format!(
        "SELECT pg_catalog.current_schema()::pg_catalog.text, pg_catalog.set_config('lockkeeper.history', \
         coalesce(pg_catalog.to_regclass({})::pg_catalog.oid::pg_catalog.text, '0'), true);\n{OWN_PATH}\
         SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('transaction_read_only'), \
         current_setting('server_version_num')::int, current_setting('server_version'), current_database()::text, \
         (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {OID}), \
         current_setting('listen_addresses') = '' AND clock_timestamp() - pg_postmaster_start_time() < interval '5 s', \
         current_user::text, \
         EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = {OID} AND attname = 'down_checksum'), \
         EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = {OID} AND attname = 'catalog_before'), ({})::text, \
         current_setting('standard_conforming_strings')::boolean, {STARTED}, current_setting('synchronous_commit') = 'remote_apply'",
        literal(&name.quoted()),
        trusted_roles()
    )
}
