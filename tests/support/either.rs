//! A database of either kind, for what both must do alike: `on_both!(a_test, another);`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::binary::{Finished, Run};
use super::database::PgDatabase;
use super::postgres::{PASSWORD, Postgres};
use super::process::{clean_command, postgres_program, run_with_input};
use super::{sqlite, temporary_folder};

/// A database of a test's own, as far as such tests need to know it.
pub trait Database {
    /// The name of its folder of migrations.
    const DIALECT: &'static str;

    fn create() -> Self;
    fn url(&self) -> String;
    /// Rows as lines, columns divided by `|`.
    fn query(&self, sql: &str) -> String;
    fn has_table(&self, name: &str) -> bool;
    /// Equal for equal schemas.
    fn schema(&self) -> String;
    /// The database's own program with this script on its input, and nothing that makes it stop at errors.
    fn shell(&self) -> Command;

    /// Runs a script as a person would, and returns what the program complained about when it failed.
    fn feed(&self, script: &str) -> Result<(), String> {
        let output = run_with_input(self.shell(), script);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The history, but for what the time of day is.
    fn timeless_history(&self) -> String {
        self.query(
            "select revision, description, checksum, state, statements_done, statements_total, applied_by, \
             lockkeeper_version, backup, down_checksum from lockkeeper_history order by revision",
        )
    }

    /// The revisions and their states, one a line.
    fn history(&self) -> String {
        self.query("select revision, state from lockkeeper_history order by revision")
    }
}

impl Database for PgDatabase<'static> {
    const DIALECT: &'static str = "postgres";

    fn create() -> Self {
        Postgres::shared().database("either")
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

/// A database file in a folder of its own.
pub struct SqliteFile {
    _folder: TempDir,
    pub path: PathBuf,
}

impl Database for SqliteFile {
    const DIALECT: &'static str = "sqlite";

    fn create() -> Self {
        let folder = temporary_folder("either");
        let path = folder.path().join("app.db");
        Self { _folder: folder, path }
    }

    fn url(&self) -> String {
        format!("sqlite:///{}", self.path.display())
    }

    fn query(&self, sql: &str) -> String {
        sqlite::query(&self.path, &format!("{sql};"))
    }

    fn has_table(&self, name: &str) -> bool {
        self.path.exists()
            && self.query(&format!("select 1 from sqlite_schema where name = '{name}'")) == "1\n"
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

/// A run on this database, without backups.
pub fn run_on(database: &impl Database, files: &[(&str, &str)]) -> Run {
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    fs::create_dir_all(run.dir().join("migrations")).expect("a folder");
    run.migrations(files)
}

/// Removes a migration.
#[track_caller]
pub fn remove(run: &Run, name: &str) {
    fs::remove_file(run.dir().join("migrations").join(name)).expect("remove a migration");
}

/// The last line of the log, which has to say what happened and what to do.
#[track_caller]
pub fn last(finished: &Finished) -> &str {
    finished.silent_about(PASSWORD);
    finished.stderr.lines().last().expect("a last line")
}

/// Ends with this code, and its last line has all of these.
#[track_caller]
pub fn ends(run: &Run, code: i32, parts: &[&str]) -> Finished {
    ended(run.output(), code, parts)
}

/// Has ended with this code, and its last line has all of these.
#[track_caller]
pub fn ended(finished: Finished, code: i32, parts: &[&str]) -> Finished {
    finished.expect_code(code);
    for part in parts {
        assert!(last(&finished).contains(part), "{part:?} is not in the last line: {finished}");
    }
    finished
}

/// Makes tests of functions that are generic over the database: one for each kind.
macro_rules! on_both {
    ($($behaviour:ident),* $(,)?) => {
        $crate::support::either::on_both!(postgres, $crate::support::database::PgDatabase<'static>, $($behaviour),*);
        $crate::support::either::on_both!(sqlite_file, $crate::support::either::SqliteFile, $($behaviour),*);
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
pub(crate) use on_both;
