//! PostgreSQL's session around the scripts: what one of them leaves does not reach the next.

use std::time::Duration;

use super::{identifier, literal};
use crate::revision::Header;

/// What our sessions keep.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// `lock_timeout`; zero is off.
    pub lock: Duration,
    /// `statement_timeout`; zero is off.
    pub statement: Duration,
    /// What depends on the server: what keeps a session alive, and makes commits wait for the disk.
    pub lasting: Vec<(&'static str, String)>,
}

/// They end temporary tables, listeners, cursors, prepared statements and settings that a script has left.
const CLEAN: [&str; 7] = [
    "RESET SESSION AUTHORIZATION;\n",
    // Not among ALL; back to what ALTER ROLE ... SET role says, if it says anything.
    "RESET ROLE;\n",
    "RESET ALL;\n",
    "CLOSE ALL;\n",
    "DEALLOCATE ALL;\n",
    "UNLISTEN *;\n",
    "DISCARD TEMP;\n",
];

/// What the driver asks for when it logs in: a script that is fed to psql finds the session that a run gives it.
const LOGIN: [(&str, &str); 3] = [("client_encoding", "UTF8"), ("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")];

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingScope {
    Session,
    Transaction,
}

/// Returns a statement that makes COMMIT wait until the transaction is on the server's disk, whatever the role, the
/// database or a script has set as `synchronous_commit`. `remote_apply` waits for more than `on` does and is kept
/// (manual, 20.5.1).
pub fn synchronous_commit(scope: SettingScope) -> String {
    let is_local = scope == SettingScope::Transaction;
    format!(
        "SELECT pg_catalog.set_config('synchronous_commit', 'on', {is_local}) \
         WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply';\n"
    )
}

/// An expression that does the same for the rest of the transaction.
pub const COMMIT_TO_DISK: &str = "CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply' \
     THEN pg_catalog.set_config('synchronous_commit', 'on', true) END";

/// Makes names in the rest of a transaction mean the system's own objects, whatever the role, the database or a script has
/// made of the search path: whoever can create in a schema of that decides what a bare name or operator means. Tables and
/// types of a session's temporary schema come first unless that schema is named.
pub const OWN_PATH: &str = "SET LOCAL search_path TO pg_catalog, pg_temp; ";

/// The same as a setting, for sessions in which no script ever runs.
pub const OWN_PATH_SETTING: (&str, &str) = ("search_path", "pg_catalog, pg_temp");

impl SessionSettings {
    /// Returns statements that bring the session into our state, whatever a script, the role or the database has set. A
    /// `SET` for each setting: the server plans a query that calls `set_config`, and runs this one for every revision.
    pub fn restore(&self, header: &Header) -> Vec<String> {
        let ours = self.settings(header);
        let ours = ours.iter().map(|(name, value)| format!("SET {name} = {};\n", literal(value)));
        CLEAN.into_iter().map(Into::into).chain(ours).collect()
    }

    /// The same for a reader and a session that is not ours: three lines.
    pub fn restore_lines(&self) -> String {
        let clean: Vec<&str> = CLEAN.iter().map(|statement| statement.trim_end()).collect();
        let setting = |(name, value): (&str, String)| format!("SET {name} = {};", literal(&value));
        let login = LOGIN.map(|(name, value)| (name, value.to_owned()));
        let settings: Vec<String> = login.into_iter().chain(self.settings(&Header::default())).map(setting).collect();
        let commit = synchronous_commit(SettingScope::Session);
        format!("{}\n{}\n{commit}", clean.join(" "), settings.join(" "))
    }

    fn settings(&self, header: &Header) -> Vec<(&'static str, String)> {
        let lock = header.lock_timeout.unwrap_or(self.lock).as_millis();
        let statement = header.statement_timeout.unwrap_or(self.statement).as_millis();
        let settings = [
            ("statement_timeout", statement.to_string()),
            ("lock_timeout", lock.to_string()),
            ("default_transaction_isolation", "read committed".into()),
            ("application_name", "lockkeeper".into()),
        ];
        [settings.to_vec(), self.lasting.clone()].concat()
    }
}

/// One statement for all of these.
pub fn set(settings: &[(&'static str, String)]) -> String {
    let call = |(name, value): &(&str, String)| format!("pg_catalog.set_config('{name}', '{value}', false)");
    let calls: Vec<String> = settings.iter().map(call).collect();
    format!("SELECT {};\n", calls.join(", "))
}

/// Statements that make us, for the rest of a transaction, who we were when we logged in: a script may have taken a role
/// that must not write the history.
pub fn own_role(role: &str) -> [String; 2] {
    let role = format!("SET LOCAL ROLE {};\n", identifier(role));
    ["SET LOCAL SESSION AUTHORIZATION DEFAULT;\n".into(), role]
}
