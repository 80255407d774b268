//! The settings of a PostgreSQL session around the scripts, so that the settings of one script do not reach the next.

use std::time::Duration;

use crate::revision::SectionOptions;
use crate::sql::{identifier, literal};

/// The settings that the sessions of a run have.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// `lock_timeout`; zero means no limit.
    pub(crate) lock: Duration,
    /// `statement_timeout`; zero means no limit.
    pub(crate) statement: Duration,
    /// The settings that depend on the server: they keep the connection alive, and make commits wait for the disk.
    pub(crate) lasting: Vec<(&'static str, String)>,
}

/// Statements that end the temporary tables, listeners, cursors, prepared statements and settings of a script.
const CLEAN: [&str; 7] = [
    "RESET SESSION AUTHORIZATION;\n",
    // RESET ALL leaves out the role. Its default may come from ALTER ROLE ... SET role.
    "RESET ROLE;\n",
    "RESET ALL;\n",
    "CLOSE ALL;\n",
    "DEALLOCATE ALL;\n",
    "UNLISTEN *;\n",
    "DISCARD TEMP;\n",
];

/// The settings that the driver asks for when it logs in, so that a script has the same session in psql as in a run.
const LOGIN: [(&str, &str); 3] = [("client_encoding", "UTF8"), ("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")];

/// The time for which a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingScope {
    /// Until the end of the session.
    Session,
    /// Until the end of the transaction.
    Transaction,
}

/// Returns a statement that makes COMMIT wait until the transaction is on the server's disk, whatever value of
/// `synchronous_commit` the role, the database or a script has set. `remote_apply` waits for more than `on` does and is
/// kept (manual, 20.5.1).
pub(crate) fn synchronous_commit(scope: SettingScope) -> String {
    let is_local = scope == SettingScope::Transaction;
    format!(
        "SELECT pg_catalog.set_config('synchronous_commit', 'on', {is_local}) \
         WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply';\n"
    )
}

/// An expression that sets `synchronous_commit` in this way for the rest of the transaction.
pub(crate) const COMMIT_TO_DISK: &str = "CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply' \
     THEN pg_catalog.set_config('synchronous_commit', 'on', true) END";

/// An expression that lets COMMIT end the rest of the transaction without a wait for the disk.
pub(crate) const COMMIT_TO_MEMORY: &str = "pg_catalog.set_config('synchronous_commit', 'off', true)";

/// Makes names in the rest of a transaction refer to the objects of the system, whatever search path the role, the
/// database or a script has set: whoever can create objects in a schema of that path decides the meaning of a name or
/// operator without a schema. The tables and types of a session's temporary schema come first unless that schema is in
/// the path.
pub(crate) const OWN_PATH: &str = "SET LOCAL search_path TO pg_catalog, pg_temp; ";

/// The name and value of that search path, for sessions in which no script ever runs.
pub(crate) const OWN_PATH_SETTING: (&str, &str) = ("search_path", "pg_catalog, pg_temp");

impl SessionSettings {
    /// Returns the statements that reset the session, whatever a script, the role or the database has set. Each setting
    /// has a `SET` of its own: the server would have to plan a query that calls `set_config`, and these statements run
    /// for every revision.
    pub(crate) fn restore(&self, options: &SectionOptions) -> Vec<String> {
        let ours = self.settings(options);
        let ours = ours.iter().map(|(name, value)| format!("SET {name} = {};\n", literal(value)));
        CLEAN.into_iter().map(Into::into).chain(ours).collect()
    }

    /// Returns the statements that reset a session of psql, as three lines for a reader.
    pub(crate) fn restore_lines(&self) -> String {
        let clean: Vec<&str> = CLEAN.iter().map(|statement| statement.trim_end()).collect();
        let setting = |(name, value): (&str, String)| format!("SET {name} = {};", literal(&value));
        let login = LOGIN.map(|(name, value)| (name, value.to_owned()));
        let settings: Vec<String> =
            login.into_iter().chain(self.settings(&SectionOptions::default())).map(setting).collect();
        let commit = synchronous_commit(SettingScope::Session);
        format!("{}\n{}\n{commit}", clean.join(" "), settings.join(" "))
    }

    fn settings(&self, options: &SectionOptions) -> Vec<(&'static str, String)> {
        let lock = options.lock_timeout.unwrap_or(self.lock).as_millis();
        let statement = options.statement_timeout.unwrap_or(self.statement).as_millis();
        let settings = [
            ("statement_timeout", statement.to_string()),
            ("lock_timeout", lock.to_string()),
            ("default_transaction_isolation", "read committed".into()),
            ("application_name", "lockkeeper".into()),
        ];
        [settings.to_vec(), self.lasting.clone()].concat()
    }
}

/// Returns one statement that sets all these settings.
pub(crate) fn set(settings: &[(&'static str, String)]) -> String {
    let call = |(name, value): &(&str, String)| format!("pg_catalog.set_config('{name}', '{value}', false)");
    let calls: Vec<String> = settings.iter().map(call).collect();
    format!("SELECT {};\n", calls.join(", "))
}

/// Returns the statements that restore the login role for the rest of a transaction: a script may have taken a role
/// that has no right to write the history.
pub(crate) fn own_role(role: &str) -> [String; 2] {
    let role = format!("SET LOCAL ROLE {};\n", identifier(role));
    ["SET LOCAL SESSION AUTHORIZATION DEFAULT;\n".into(), role]
}
