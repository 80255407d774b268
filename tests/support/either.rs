//! Runs a test on either database, for behaviour that both must share.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::database::PgDatabase;
use super::postgres::Postgres;
use super::process::{clean_command, postgres_program, run_with_input};
use super::{sqlite, temporary_directory};

/// A database of one test, with the operations that tests of both databases need.
pub trait Database {
    /// The name of its directory of migrations.
    const DIALECT: &'static str;

    fn create(prefix: &str) -> Self;
    fn url(&self) -> String;
    /// Returns rows as lines, columns separated by `|`.
    fn query(&self, sql: &str) -> String;
    fn has_table(&self, name: &str) -> bool;
    /// Returns a text that is equal for equal schemas.
    fn schema(&self) -> String;
    /// Returns the database's own shell, which reads a script from its input and has default settings for errors.
    fn shell(&self) -> Command;

    /// Runs a script in the database's shell, as a person would.
    ///
    /// # Errors
    /// Returns the shell's error message when it failed.
    fn feed(&self, script: &str) -> Result<(), String> {
        let output = run_with_input(self.shell(), script);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Returns the revisions and their states, one per line.
    fn history(&self) -> String {
        self.query("select revision, state from lockkeeper_history order by revision")
    }

    /// Returns all of the history but its times.
    fn history_without_times(&self) -> String {
        self.query(
            "select revision, description, checksum, state, statements_done, statements_total, applied_by, \
             lockkeeper_version, backup, down_checksum from lockkeeper_history order by revision",
        )
    }
}

impl Database for PgDatabase<'_> {
    const DIALECT: &'static str = "postgres";

    fn create(prefix: &str) -> Self {
        Postgres::shared().database(prefix)
    }

    fn url(&self) -> String {
        self.url()
    }

    fn query(&self, sql: &str) -> String {
        self.query(sql)
    }

    fn has_table(&self, name: &str) -> bool {
        self.value(&format!("select to_regclass('{name}') is not null")) == "t"
    }

    fn schema(&self) -> String {
        self.dump_schema()
    }

    fn shell(&self) -> Command {
        let mut command = clean_command(postgres_program("psql"));
        self.server().set_connection(&mut command, self.name());
        command.env_remove("PGCLIENTENCODING").args(["-X", "-f", "-"]);
        command
    }
}

/// A SQLite file that no program has created yet.
pub struct SqliteFile {
    _directory: TempDir,
    pub path: PathBuf,
}

impl Database for SqliteFile {
    const DIALECT: &'static str = "sqlite";

    fn create(prefix: &str) -> Self {
        let directory = temporary_directory(prefix);
        let path = directory.path().join("app.db");
        Self { _directory: directory, path }
    }

    fn url(&self) -> String {
        format!("sqlite:///{}", self.path.display())
    }

    fn query(&self, sql: &str) -> String {
        sqlite::query(&self.path, &format!("{sql};"))
    }

    fn has_table(&self, name: &str) -> bool {
        self.path.exists() && self.query(&format!("select 1 from sqlite_schema where name = '{name}'")) == "1\n"
    }

    fn schema(&self) -> String {
        sqlite::schema(&self.path)
    }

    fn shell(&self) -> Command {
        let mut command = clean_command("sqlite3");
        command.arg(&self.path);
        command
    }
}

/// Turns each of these functions into a test on each database: `fn a_behaviour<D: Database>()`.
macro_rules! on_either {
    ($($behaviour:ident),* $(,)?) => {
        on_either!(postgres, crate::support::database::PgDatabase<'static>, $($behaviour),*);
        on_either!(sqlite_file, crate::support::either::SqliteFile, $($behaviour),*);
    };
    ($module:ident, $database:ty, $($behaviour:ident),*) => {
        mod $module {
            $(#[test]
            fn $behaviour() {
                super::$behaviour::<$database>();
            })*
        }
    };
}
