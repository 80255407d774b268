//! Commands for `lockkeeper guard` that migrate a database by a shell script, and what their runs leave.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use super::binary::Run;
use super::either::Database;
use super::process::postgres_program;

/// Returns a shell line that runs SQL on the database of DATABASE_URL.
pub fn sql<D: Database>(statements: &str) -> String {
    match D::DIALECT {
        "postgres" => {
            let psql = postgres_program("psql");
            format!("{} -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c \"{statements}\"", psql.display())
        }
        _ => format!("sqlite3 -bail -cmd '.timeout 10000' \"${{DATABASE_URL#sqlite:///}}\" \"{statements}\""),
    }
}

/// A history as Alembic has it, at this version.
pub fn alembic_at(version: &str) -> String {
    format!(
        "create table alembic_version (version_num varchar(32) not null); insert into alembic_version values ('{version}');"
    )
}

/// Returns a run of `guard` on a database, with a shell script as its command.
pub fn guard<D: Database>(database: &D, script: &str) -> Run {
    guard_with(database, &["--preset", "none"], script)
}

/// Returns a run of `guard` as [`guard`] does, with these arguments before the command.
pub fn guard_with<D: Database>(database: &D, arguments: &[&str], script: &str) -> Run {
    let run = Run::new().url(&database.url()).arg("guard").args(arguments.iter().copied());
    let backups = run.dir().join("backups").display().to_string();
    run.env("LOCKKEEPER_BACKUP_DIR", backups).args(["--", "sh", "-c", script])
}

/// Returns the backups of a run, oldest first, without their manifests.
pub fn backups(run: &Run) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.dir().join("backups")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "json"));
    paths.sort();
    paths
}

/// Returns the part of a backup's manifest that is about the guarded command.
#[track_caller]
pub fn guarded(backup: &Path) -> Value {
    let path = format!("{}.json", backup.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["guarded"].clone()
}

/// Returns whether a process with the id in this file exists.
#[track_caller]
pub fn is_alive(pid_file: &Path) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_else(|error| panic!("{}: {error}", pid_file.display()));
    let pid = Pid::from_raw(text.trim().parse().expect("a pid")).expect("a pid");
    // A zombie has ended: whoever is process 1 here may never wait for it.
    let state = fs::read_to_string(format!("/proc/{}/stat", text.trim())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !state.contains(") Z ")
}

/// Panics unless no history of Lockkeeper was made.
#[track_caller]
pub fn expect_no_history_of_ours<D: Database>(database: &D) {
    assert!(!database.has_table("lockkeeper_history"));
}
