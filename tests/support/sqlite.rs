//! Queries of a SQLite file through the sqlite3 program.

use std::path::Path;

use super::process::{clean_command, run_with_input};

/// Runs SQL on a file, which is created if missing, and returns its rows: one line each, columns separated by `|`.
#[track_caller]
pub fn query(path: &Path, sql: &str) -> String {
    try_query(path, sql).unwrap_or_else(|complaint| panic!("{complaint}in this SQL: {sql}"))
}

/// Runs SQL like `query`; returns the error message if it fails.
pub fn try_query(path: &Path, sql: &str) -> Result<String, String> {
    let mut command = clean_command("sqlite3");
    command.args(["-batch", "-bail", "-cmd", ".timeout 10000"]).arg(path);
    let output = run_with_input(command, sql);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Returns the only value of a query.
#[track_caller]
pub fn value(path: &Path, sql: &str) -> String {
    let rows = query(path, sql);
    rows.strip_suffix('\n').unwrap_or(&rows).to_owned()
}

/// Returns the rows of a query, for values that contain neither `|` nor line ends.
#[track_caller]
pub fn rows(path: &Path, sql: &str) -> Vec<Vec<String>> {
    let rows = query(path, sql);
    rows.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// Returns the statements that create the schema, in a fixed order.
#[track_caller]
pub fn schema(path: &Path) -> String {
    // The journal stays when the scripts that needed it are undone.
    query(
        path,
        "select sql || ';' from sqlite_schema where sql is not null and tbl_name not like '%\\_journal' escape '\\' \
         order by type, name;",
    )
}
