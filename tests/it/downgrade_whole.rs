//! Tests of complete downgrades: the shipped migrations down and up again, and history tables from before there were
//! down migrations.

use crate::contract::{check_end, expect_end, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

fn shipped(database: &impl Database) -> Run {
    run_on(database, &[]).env("LOCKKEEPER_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
}

/// Every revision of DevOps Hub has a down migration: step by step, each restores the schema before its revision.
fn the_shipped_migrations_can_be_undone_and_applied_again<D: Database>() {
    let database = D::create("either");
    let run = shipped(&database);
    let mut schemas = Vec::new();
    for revision in ALL {
        expect_end(&run.clone().args(["upgrade", revision]), 0, &[&format!("up to date at {revision}")]);
        schemas.push(database.schema());
    }
    let last_schema = schemas.pop();
    for (place, expected) in ["0004", "0003", "0002", "0001"].iter().zip(schemas.iter().rev()) {
        expect_end(&downgrade(&run, "-1"), 0, &[&format!("up to date at {place}: 1 revision undone")]);
        assert_eq!(&database.schema(), expected, "back at {place}");
    }
    expect_end(&run, 0, &["up to date at 0005: 4 revisions applied"]);
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 5 revisions undone"]);
    assert_eq!(database.query("select count(*) from lockkeeper_history"), "0\n");
    assert!(!database.has_table("agents"));
    expect_end(&run, 0, &["up to date at 0005: 5 revisions applied"]);
    assert_eq!(Some(database.schema()), last_schema);
}

/// Creates the history table of an earlier version: eleven columns, two states.
fn old_history(database: &impl Database) {
    let (time, integer) = match database.url().starts_with("sqlite") {
        true => ("TEXT", "INTEGER"),
        false => ("timestamptz", "bigint"),
    };
    let old = "create table old_history as select * from lockkeeper_history";
    database.query(old);
    database.query("drop table lockkeeper_history");
    database.query(&format!(
        "CREATE TABLE \"lockkeeper_history\" (
    revision text NOT NULL PRIMARY KEY,
    description text NOT NULL,
    checksum text NOT NULL,
    applied_at {time} NOT NULL,
    duration_ms {integer} NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'partial')),
    statements_done {integer} NOT NULL,
    statements_total {integer} NOT NULL,
    applied_by text NOT NULL,
    lockkeeper_version text NOT NULL,
    backup text
)"
    ));
    database.query(
        "insert into lockkeeper_history select revision, description, checksum, applied_at, duration_ms, state, \
         statements_done, statements_total, applied_by, lockkeeper_version, backup from old_history",
    );
    database.query("drop table old_history");
}

fn an_older_history_table_is_read_as_it_is_and_extended_by_the_first_write<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &FIVE[..8]);
    expect_end(&run, 0, &[]);
    old_history(&database);
    let before = database.schema();
    expect_end(&run.clone().arg("check"), 0, &["0004"]);
    expect_end(&run, 0, &["nothing pending, the database is at 0004"]);
    expect_end(&downgrade(&run, "0004"), 0, &["nothing to undo, the database is at 0004"]);
    assert_eq!(database.schema(), before, "reading changed the table");
    expect_end(&run.clone().migrations(&FIVE), 0, &["up to date at 0005: 1 revision applied"]);
    let with_down_checksum = "select revision from lockkeeper_history where down_checksum is not null";
    assert_eq!(database.query(with_down_checksum), "0005\n");
    expect_end(&downgrade(&run.migrations(&FIVE), "base"), 0, &["up to date at base: 5 revisions undone"]);
    expect_applied(&database, &[]);
}

fn an_older_history_table_accepts_a_downgrade<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    old_history(&database);
    expect_end(&downgrade(&run, "-2"), 0, &["up to date at 0003: 2 revisions undone"]);
    expect_end(&run, 0, &["up to date at 0005: 2 revisions applied"]);
}

/// The earlier version did not have the third state.
fn an_older_history_table_accepts_a_partially_undone_revision<D: Database>() {
    let database = D::create("either");
    let down = ("0005_five.down.sql", "-- no-transaction\ndrop table five;\ninsert into gate values (1);\n");
    let run = run_on(&database, &FIVE).migrations(&[down]);
    expect_end(&run, 0, &[]);
    old_history(&database);
    expect_end(&downgrade(&run, "-1"), 81, &["0005_five.down.sql:3:", "statement 2 failed"]);
    let journal = "select state, statements_done from lockkeeper_history where revision = '0005'";
    assert_eq!(database.query(journal), "undoing, see the journal|1\n");
    database.query("create table gate (n integer)");
    expect_end(&downgrade(&run, "0005-1"), 0, &["up to date at 0004: 1 revision undone"]);
    expect_end(&run, 0, &["up to date at 0005"]);
}

on_either!(
    the_shipped_migrations_can_be_undone_and_applied_again,
    an_older_history_table_is_read_as_it_is_and_extended_by_the_first_write,
    an_older_history_table_accepts_a_downgrade,
    an_older_history_table_accepts_a_partially_undone_revision,
);

/// The file is changed between the check of all files and its execution.
#[test]
fn a_down_migration_that_changes_during_the_run_is_not_run() {
    let database = Postgres::shared().database("back_changed");
    let run = at_five(&database).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    let mut gate = database.session();
    gate.run("begin; lock table five in access exclusive mode");
    let running = downgrade(&run, "0003").spawn();
    let waiting =
        "select count(*) > 0 from pg_stat_activity where query like '%drop table five%' and wait_event_type = 'Lock'";
    wait_until("the statement waits", DEFAULT_TIMEOUT, || database.value(waiting) == "t");
    let run = run.migrations(&[("0004_four.down.sql", "drop table four;\ndrop table one;\n")]);
    gate.run("rollback");
    let parts =
        ["0004_four.down.sql: the file was changed while we ran", "rolled back", "revision 0005 was undone before"];
    check_end(running.finish(), 65, &parts);
    expect_applied(&database, &ALL[..4]);
    expect_end(&downgrade(&run.migrations(&FIVE), "0003"), 0, &["up to date at 0003: 1 revision undone"]);
}
