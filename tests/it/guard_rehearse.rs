//! Tests of `lockkeeper guard --rehearse`: the command runs on a copy restored from the backup first.

use std::fs;

use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::guarded::{alembic_at, backups, guard_with, sql};

on_either!(
    a_command_runs_on_the_copy_first_and_then_on_the_database,
    a_command_that_fails_on_the_copy_never_runs_on_the_database,
    a_command_that_ignores_the_variable_is_found_out,
    another_variable_may_have_the_url,
    an_empty_database_has_no_rehearsal,
);

fn database<D: Database>() -> D {
    let database = D::create("guard_rehearse");
    database.feed(&format!("{}create table kept (a int);", alembic_at("a1"))).expect("a history");
    database
}

/// Runs the rehearsal of a script, which keeps the URLs with which it runs in the file `urls`.
fn rehearsed<D: Database>(database: &D, arguments: &[&str], script: &str) -> Run {
    let arguments = [&["--rehearse", "--preset", "none"], arguments].concat();
    guard_with(database, &arguments, &format!("echo \"$DATABASE_URL\" >> urls; {script}"))
}

fn urls(run: &Run) -> Vec<String> {
    let text = fs::read_to_string(run.dir().join("urls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn a_command_runs_on_the_copy_first_and_then_on_the_database<D: Database>() {
    let database = database::<D>();
    let script = sql::<D>("create table added (a int); update alembic_version set version_num = 'b2'");
    let run = rehearsed(&database, &[], &script);
    let finished = run.output();
    finished.expect_code(0).says("rehearsed on the backup: sh has led to b2").says("has moved from a1 to b2");
    let [copy, original] = urls(&run).try_into().expect("two runs");
    assert!(copy.contains("_lockkeeper_rehearsal") && original == database.url(), "{copy} {original}");
    assert_eq!(backups(&run).len(), 1);
    assert!(database.has_table("added"));
}

fn a_command_that_fails_on_the_copy_never_runs_on_the_database<D: Database>() {
    let database = database::<D>();
    let run = rehearsed(&database, &[], "echo broken >&2; exit 3");
    let finished = run.output();
    finished.expect_code(80).says("rehearsal: on a copy made of the backup: sh: it ended with the exit code 3");
    finished.says("production was not touched: nothing was changed; try: read its output above");
    assert_eq!(urls(&run).len(), 1);
}

fn a_command_that_ignores_the_variable_is_found_out<D: Database>() {
    let database = database::<D>();
    let script = sql::<D>("update alembic_version set version_num = 'b2'").replace("DATABASE_URL", "OWN_URL");
    let run = rehearsed(&database, &[], &script).env("OWN_URL", database.url());
    let finished = run.output();
    finished.expect_code(78).says("the command does not take its database from DATABASE_URL");
    finished.says("its history has moved from a1 to b2").says("--url-env").says("lockkeeper restore ");
    assert_eq!(urls(&run).len(), 1);
}

fn another_variable_may_have_the_url<D: Database>() {
    let database = database::<D>();
    let script = sql::<D>("update alembic_version set version_num = 'b2'").replace("DATABASE_URL", "OWN_URL");
    let run = rehearsed(&database, &["--url-env", "OWN_URL"], &script).env("OWN_URL", database.url());
    run.output().expect_code(0).says("rehearsed on the backup").says("has moved from a1 to b2");
    assert_eq!(database.query("select version_num from alembic_version"), "b2\n");
}

fn an_empty_database_has_no_rehearsal<D: Database>() {
    let database = D::create("guard_empty");
    let run = rehearsed(&database, &[], &sql::<D>("create table added (a int)"));
    run.output().expect_code(0).says("no rehearsal: the database is empty");
    assert_eq!(urls(&run).len(), 1);
}
