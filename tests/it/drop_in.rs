//! Tests of `docs/drop-in.md`: its commands run as they are printed, with the real Alembic, on both databases.

use std::fs;

use crate::support::either::Database;
use crate::support::guide::{Workspace, lines};
use crate::support::migration_tools::MigrationTool;
use crate::support::tools::migrations;

on_either!(the_commands_run_as_they_are_printed);

fn the_commands_run_as_they_are_printed<D: Database>() {
    let database = D::create("drop_in");
    let workspace = Workspace::new();
    for (name, text) in MigrationTool::Alembic.files() {
        let path = workspace.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file of the project");
    }
    workspace.program("alembic", &migrations("alembic"));
    let dir = workspace.path().join("backups").display().to_string();
    fs::write(workspace.path().join(".env"), format!("LOCKKEEPER_BACKUP_DIR={dir}\n")).expect("the settings");
    let mut log_so_far = String::new();
    for line in lines("drop-in.md") {
        let (code, out, log) = workspace.shell(&line.command, Some(&database.url()));
        assert_eq!(code, line.code, "{}\n{out}{log}", line.command);
        if !line.printed.is_empty() {
            assert_eq!(out, line.printed, "{}\n{log}", line.command);
        }
        log_so_far.push_str(&log);
    }
    for text in ["alembic upgrade head ended with 0", "nothing pending, the database is at c3", "has led to c3"] {
        assert!(log_so_far.contains(text), "{text}: {log_so_far}");
    }
}
