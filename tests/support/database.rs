//! A database in a PostgreSQL server for one test.

use super::postgres::{Postgres, quoted};
use super::process::{clean_command, must_run, postgres_program};
use super::session::Session;
use super::{DEFAULT_TIMEOUT, wait_until};

/// A database of a server. Dropping it drops the database and ends all of its sessions.
pub struct PgDatabase<'a> {
    server: &'a Postgres,
    name: String,
}

impl<'a> PgDatabase<'a> {
    /// Refers to the existing database `name` of `server`.
    pub fn new(server: &'a Postgres, name: &str) -> Self {
        Self { server, name: name.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server(&self) -> &Postgres {
        self.server
    }

    /// Returns the superuser's URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.server.url_as(user, password, &self.name)
    }

    /// Runs SQL, each statement in its own transaction; panics at the first error.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs SQL and returns its rows: one line each, columns separated by `|`, NULL as nothing.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|complaint| panic!("{complaint}in this SQL: {sql}"))
    }

    /// Runs SQL like `query`; returns the error message of psql if it fails.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        self.server.psql(&self.name, sql)
    }

    /// Returns the only value of a query.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        rows.strip_suffix('\n').unwrap_or(&rows).to_owned()
    }

    /// Returns the rows of a query, for values that contain neither `|` nor line ends.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self.query(sql);
        rows.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
    }

    /// Returns the schema as pg_dump writes it, without comments, owners and blank lines: equal for equal schemas.
    #[track_caller]
    pub fn dump_schema(&self) -> String {
        let mut command = clean_command(postgres_program("pg_dump"));
        self.server.set_connection(&mut command, &self.name);
        // The journal stays when the scripts that needed it are undone.
        command.args(["--schema-only", "--no-owner", "--exclude-table=*_journal"]);
        let dump = must_run(command);
        // Newer versions frame their output with \restrict and a random word.
        let boring = |line: &&str| !(line.is_empty() || line.starts_with("--") || line.starts_with('\\'));
        dump.lines().filter(boring).flat_map(|line| [line, "\n"]).collect()
    }

    /// Opens a psql session for tests that hold locks or transactions.
    pub fn session(&self) -> Session {
        Session::open(self.server, &self.name)
    }

    /// Panics if a session of ours is left in the server, and with it a statement or a lock.
    #[track_caller]
    pub fn expect_no_session(&self) {
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid()",
            self.name()
        );
        wait_until("the server has no session of ours", DEFAULT_TIMEOUT, || self.value(&sql) == "0");
    }

    /// Ends all sessions of this database.
    pub fn terminate_all(&self) {
        self.server.terminate_all(&self.name);
    }
}

impl Drop for PgDatabase<'_> {
    fn drop(&mut self) {
        if self.server.is_running() {
            // A test may have dropped the database, or its server may be unable to: both are fine.
            let sql = format!("drop database if exists {} with (force)", quoted(&self.name));
            let _ = self.server.psql("postgres", &sql);
        }
    }
}
