//! Tests of databases with tables, but in which no revision is recorded as applied: the tables may be this
//! application's, or another's.

use crate::contract::{ONE, THREE, TWO, expect_end, run_on};
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;

const WARNING: &str = "but no revision is recorded as applied";
const ADVICE: &str = "try: lockkeeper stamp";

fn tables_that_the_first_revision_creates_are_named_with_the_stamp_that_records_it<D: Database>() {
    let database = D::create("unrecorded");
    database.query("create table one (id integer primary key)");
    database.query("create table customers (id integer)");
    let run = run_on(&database, &[ONE, TWO]);
    let advice = "lockkeeper stamp 0001 if everything that the revisions up to 0001 create is there already";
    let finished = expect_end(&run, 80, &["0001_one.up.sql:1:1: ", "already exists", advice]);
    finished.says(WARNING).says("has 2 tables (").says("customers").says("lockkeeper stamp REVISION");
    // Every restart of a container logs the same, although the history table exists by now.
    expect_end(&run, 80, &[advice]).says(WARNING).says("has 2 tables (");
    let log = &finished.stderr;
    assert!(log.find(WARNING) < log.find("already exists"), "the warning comes first: {finished}");
    assert!(!database.has_table("lockkeeper_history") || database.history().is_empty(), "{finished}");
    expect_end(&run.clone().args(["stamp", "0001"]), 0, &[]);
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]).does_not_say(WARNING);
}

/// A schema may be shared with another application: its tables are no reason to refuse.
fn tables_of_another_application_are_warned_about_once<D: Database>() {
    let database = D::create("unrecorded");
    for number in 1..=7 {
        database.query(&format!("create table theirs_{number} (id integer)"));
    }
    let run = run_on(&database, &[ONE, TWO]);
    let finished = expect_end(&run.clone().args(["upgrade", "0001"]), 0, &["up to date at 0001: 1 revision applied"]);
    finished.says(WARNING).says("has 7 tables (").says("theirs_1").says("and 2 more").does_not_say("theirs_6");
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]).does_not_say(WARNING);
    // A failure with another cause, and one after the first run, is the file's.
    let broken = ("0003_three.up.sql", "create table three (id integer);\ncreate table one (id integer);\n");
    expect_end(&run.migrations(&[broken]), 80, &["already exists", "try: correct the file"]).does_not_say(ADVICE);
}

fn a_failure_with_another_cause_advises_no_stamp<D: Database>() {
    let database = D::create("unrecorded");
    database.query("create table theirs (id integer)");
    let run = run_on(&database, &[("0001_one.up.sql", "insert into nowhere values (1);\n")]);
    expect_end(&run, 80, &["nowhere", "try: correct the file"]).says(WARNING).does_not_say(ADVICE);
}

fn an_empty_database_is_not_warned_about<D: Database>() {
    let database = D::create("unrecorded");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&run, 0, &["up to date at 0002"]).does_not_say(WARNING);
}

fn a_rehearsal_that_fails_by_such_tables_advises_the_stamp<D: Database>() {
    let database = D::create("unrecorded");
    database.query("create table two (id integer)");
    let run = run_on(&database, &[ONE, TWO, THREE])
        .env("LOCKKEEPER_BACKUP", "required")
        .env("LOCKKEEPER_BACKUP_DIR", "backups")
        .env("LOCKKEEPER_REHEARSE", "true");
    expect_end(&run, 80, &["already exists", "production was not touched", "lockkeeper stamp 0002 if everything"]);
    assert!(!database.has_table("one"));
}

on_either!(
    tables_that_the_first_revision_creates_are_named_with_the_stamp_that_records_it,
    tables_of_another_application_are_warned_about_once,
    a_failure_with_another_cause_advises_no_stamp,
    an_empty_database_is_not_warned_about,
    a_rehearsal_that_fails_by_such_tables_advises_the_stamp,
);

/// The advice does not depend on whether SQLite's backup is restored after the failure.
#[test]
fn a_restored_backup_does_not_change_the_advice() {
    let database = SqliteFile::create("unrecorded");
    database.query("create table two (id integer)");
    let run = run_on(&database, &[ONE, TWO])
        .env("LOCKKEEPER_BACKUP", "required")
        .env("LOCKKEEPER_BACKUP_DIR", "backups")
        .env("LOCKKEEPER_ON_FAILURE", "restore");
    expect_end(&run, 80, &["already exists", "was put back", "lockkeeper stamp 0002 if everything"]);
}

/// Everything that a first revision creates may exist already, inside of a transaction or outside of one.
#[test]
fn every_kind_of_existing_object_advises_the_stamp() {
    let existing = "create table one (id integer); create schema app; create type mood as enum ('a');
        create function f() returns integer language sql as 'select 1'";
    for statement in [
        "create table one (id integer)",
        "alter table one add column id integer",
        "create type mood as enum ('a')",
        "create schema app",
        "create function f() returns integer language sql as 'select 1'",
        "create index one on one (id)",
    ] {
        for header in ["", "-- no-transaction\n"] {
            let database = Postgres::shared().database("unrecorded");
            database.execute(existing);
            let run: Run = run_on(&database, &[("0001_one.up.sql", &format!("{header}{statement};\n"))]);
            let code = if header.is_empty() { 80 } else { 81 };
            for _ in 0..2 {
                expect_end(&run, code, &["already exists", "lockkeeper stamp 0001 if everything"]).says(WARNING);
            }
            expect_end(&run.clone().args(["stamp", "0001"]), 0, &[]);
            expect_end(&run, 0, &["nothing pending"]);
        }
    }
}

#[test]
fn an_existing_column_advises_the_stamp_on_sqlite() {
    let database = SqliteFile::create("unrecorded");
    database.query("create table one (id integer, name text); create index i on one (id);");
    for statement in ["alter table one add column name text", "create index i on one (id)"] {
        let run = run_on(&database, &[("0001_one.up.sql", &format!("{statement};\n"))]);
        expect_end(&run, 80, &["lockkeeper stamp 0001 if everything"]).says(WARNING);
    }
}

/// PostGIS and other extensions create tables; partitions are a part of their table.
#[test]
fn tables_of_extensions_and_partitions_do_not_count() {
    let database = Postgres::shared().database("unrecorded");
    database.execute("create table brought (id integer); alter extension plpgsql add table brought");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &["up to date at 0001"]).does_not_say(WARNING);
    let database = Postgres::shared().database("unrecorded");
    database.execute(
        "create schema other; create table other.whole (id integer) partition by range (id);
         create table other.part partition of other.whole default; create view v as select 1",
    );
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &["up to date at 0001"]).says("has 1 table (other.whole)").says(WARNING);
}
