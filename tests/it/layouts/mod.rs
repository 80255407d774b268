//! Tests of the layouts of other tools: Lockkeeper and the tool continue each other's work.

mod choice;
mod dbmate;
mod diesel;
mod flyway;
mod flyway_repeatable;
mod golang_migrate;
mod goose;
mod pop;
mod prisma;
mod refinery;
mod sql_migrate;
mod sqlx_migrate;
mod traps;
mod verbs;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use traps::{Trap, traps};

use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::other_tools::ToolRun;
use crate::support::temporary_directory;

/// A tool and its habits.
pub struct Tool {
    /// Returns the names and the texts of the files of a migration.
    pub files: fn(&Trap) -> Vec<(String, String)>,
    /// Reports whether the tool can run a migration on a database of this dialect.
    pub runs: fn(&Trap, &str) -> bool,
    /// Applies everything that is pending.
    pub up: fn(&Path, &str) -> ToolRun,
    /// Reports whether the tool's output says that nothing was pending.
    pub found_nothing: fn(&ToolRun) -> bool,
    /// The query for the history without times and durations.
    pub history: &'static str,
    /// The name of the history table.
    pub table: &'static str,
    /// The name of the layout.
    pub layout: &'static str,
}

/// Writes the files of migrations to a directory.
fn write(directory: &Path, tool: &Tool, migrations: &[Trap]) {
    for (name, text) in migrations.iter().flat_map(tool.files) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a migration");
    }
}

/// The directory of a tool with its first migrations; more come by [`write`].
fn directory(tool: &Tool, migrations: &[Trap]) -> TempDir {
    let directory = temporary_directory("layout");
    write(directory.path(), tool, migrations);
    directory
}

/// Returns the schema. SQLite keeps the text of a statement, and of the history table only the columns matter.
fn schema<D: Database>(database: &D, tool: &Tool) -> String {
    if D::DIALECT == "postgres" {
        return database.schema();
    }
    let tables = format!(
        "select sql from sqlite_schema where sql is not null and tbl_name <> '{0}' and tbl_name not like '%\\_journal' escape '\\' \
         union all select name || type || \"notnull\" || coalesce(dflt_value, '') || pk from pragma_table_info('{0}')",
        tool.table
    );
    database.query(&tables)
}

/// Runs Lockkeeper on a directory.
pub fn lockkeeper(directory: &Path, url: &str) -> Run {
    Run::new().url(url).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DIR", directory.display().to_string())
}

/// The tool migrates half and Lockkeeper the rest, and the other way round; both find nothing to do then. Schema and
/// history are those of the tool alone.
pub fn each_continues_the_other<D: Database>(tool: &Tool) {
    let all: Vec<Trap> = traps(D::DIALECT).into_iter().filter(|trap| (tool.runs)(trap, D::DIALECT)).collect();
    let (first, rest) = all.split_at(all.len() / 2);
    let alone = D::create("alone");
    let files = directory(tool, &all);
    (tool.up)(files.path(), &alone.url()).expect_success();
    let expected = (alone.query(tool.history), schema(&alone, tool));
    let check = |database: &D, files: &Path| {
        let again = (tool.up)(files, &database.url());
        assert!((tool.found_nothing)(again.expect_success()), "{again:?}");
        lockkeeper(files, &database.url()).output().expect_code(0).says("nothing pending");
        lockkeeper(files, &database.url()).arg("check").output().expect_code(0);
        assert_eq!((database.query(tool.history), schema(database, tool)), expected);
    };

    let database = D::create("toolfirst");
    let files = directory(tool, first);
    (tool.up)(files.path(), &database.url()).expect_success();
    write(files.path(), tool, rest);
    lockkeeper(files.path(), &database.url()).output().expect_code(0).says("up to date at");
    check(&database, files.path());

    let database = D::create("ourfirst");
    let files = directory(tool, first);
    lockkeeper(files.path(), &database.url())
        .env("LOCKKEEPER_LAYOUT", tool.layout)
        .output()
        .expect_code(0)
        .says("up to date at");
    write(files.path(), tool, rest);
    (tool.up)(files.path(), &database.url()).expect_success();
    check(&database, files.path());
}
