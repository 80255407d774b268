//! The choice of the layout: by the files, by the tables of the database, or by the settings.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::lockkeeper;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(
    files_that_several_tools_read_are_ours_without_a_table,
    the_table_of_a_tool_decides,
    several_tables_are_refused_and_the_setting_decides,
    our_own_table_goes_before_others,
    another_name_of_the_history_is_kept,
    a_layout_that_does_not_exist_is_refused,
    a_table_of_the_tool_in_another_schema_is_named,
    a_name_that_is_not_utf_8_is_refused_in_every_layout,
);

fn run_on<D: Database>(database: &D) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("choice");
    for (name, text) in
        [("0001_one.up.sql", "create table one (id integer);"), ("0001_one.down.sql", "drop table one;")]
    {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

const GOLANG: &str = "create table schema_migrations (version bigint not null primary key, dirty boolean not null)";

/// Makes the table of sqlx, which is empty.
fn make_sqlx<D: Database>(database: &D) {
    let bytes = if D::DIALECT == "postgres" { "bytea" } else { "blob" };
    database.query(&format!("create table _sqlx_migrations (version bigint primary key, description text not null, installed_on timestamp not null default current_timestamp, success boolean not null, checksum {bytes} not null, execution_time bigint not null)"));
}

fn files_that_several_tools_read_are_ours_without_a_table<D: Database>() {
    let database = D::create("ours");
    let (_files, run) = run_on(&database);
    run.clone().arg("check").output().expect_code(2).does_not_say("the layout is");
    run.output().expect_code(0).says("the layout is native: the files fit golang-migrate, sqlx");
    run.output().expect_code(0).says("nothing pending").does_not_say("the layout is");
    assert!(database.has_table("lockkeeper_history") && !database.has_table("schema_migrations"));
}

fn the_table_of_a_tool_decides<D: Database>() {
    let database = D::create("golang");
    database.query(GOLANG);
    let (_files, run) = run_on(&database);
    let name = if D::DIALECT == "postgres" { "public.schema_migrations" } else { "schema_migrations" };
    let chosen = format!("the layout is golang-migrate: the database has its table {name}");
    for verb in ["current", "history", "wait", "check"] {
        let finished = run.clone().arg(verb).output();
        finished.says(&chosen);
        assert!(matches!(finished.code, Some(0 | 2)), "{finished}");
    }
    run.clone().args(["upgrade", "--plan"]).output().expect_code(0).says(&chosen);
    run.output().expect_code(0).says(&chosen);
    assert!(!database.has_table("lockkeeper_history"));
    run.clone().args(["wait", "--migrated"]).output().expect_code(0);
    run.clone().args(["downgrade", "base"]).output().expect_code(0).says(&chosen);
    run.clone().args(["stamp", "head"]).output().expect_code(0).says(&chosen);
    assert_eq!(database.query("select version from schema_migrations"), "1\n");
}

fn several_tables_are_refused_and_the_setting_decides<D: Database>() {
    let database = D::create("several");
    database.query(GOLANG);
    make_sqlx(&database);
    let (_files, run) = run_on(&database);
    let refused = run.output();
    refused.expect_code(78).says("golang-migrate (").says("sqlx (").says("set LOCKKEEPER_LAYOUT to the one in use");
    assert!(!database.has_table("one"));
    run.clone().env("LOCKKEEPER_LAYOUT", "sqlx").output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select count(*) from schema_migrations"), "0\n");
    run.clone().args(["--layout", "sqlx"]).output().expect_code(0).says("nothing pending");
}

fn our_own_table_goes_before_others<D: Database>() {
    let database = D::create("own");
    let (_files, run) = run_on(&database);
    run.output().expect_code(0);
    database.query(GOLANG);
    run.output().expect_code(0).says("nothing pending").does_not_say("the layout is");
}

fn another_name_of_the_history_is_kept<D: Database>() {
    let database = D::create("named");
    database.query(&GOLANG.replace("schema_migrations", "versions"));
    let (_files, run) = run_on(&database);
    let run = run.env("LOCKKEEPER_LAYOUT", "golang-migrate").env("LOCKKEEPER_HISTORY_TABLE", "versions");
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select version from versions"), "1\n");
    assert!(!database.has_table("schema_migrations"));
}

fn a_layout_that_does_not_exist_is_refused<D: Database>() {
    let database = D::create("unknown");
    let (_files, run) = run_on(&database);
    run.clone()
        .env("LOCKKEEPER_LAYOUT", "rails")
        .output()
        .expect_code(78)
        .says("LOCKKEEPER_LAYOUT: \"rails\" is no layout; write auto or one of native, golang-migrate");
    run.clone().args(["--layout", "x"]).output().expect_code(64).says("--layout: \"x\" is no layout");
}

fn a_table_of_the_tool_in_another_schema_is_named<D: Database>() {
    if D::DIALECT == "sqlite" {
        return;
    }
    let database = D::create("schema");
    database.query("create schema app");
    database.query(&GOLANG.replace("schema_migrations", "app.schema_migrations"));
    database.query("insert into app.schema_migrations values (1, false)");
    let (_files, run) = run_on(&database);
    let run = run.env("LOCKKEEPER_LAYOUT", "golang-migrate");
    let said = "golang-migrate (app.schema_migrations, at 1) but none in the table of the layout golang-migrate; \
                nothing was changed; try: set LOCKKEEPER_HISTORY_TABLE to app.schema_migrations, so that it goes on";
    run.output().expect_code(78).says(said);
    let named = run.env("LOCKKEEPER_HISTORY_TABLE", "app.schema_migrations");
    named.output().expect_code(0).says("nothing pending, the database is at 1");
}

fn a_name_that_is_not_utf_8_is_refused_in_every_layout<D: Database>() {
    let database = D::create("utf");
    let (files, run) = run_on(&database);
    let name = OsStr::from_bytes(b"0002_two\xff.up.sql");
    std::fs::write(files.path().join(name), "create table two (id integer);").unwrap();
    for layout in ["native", "golang-migrate", "sqlx", "pop"] {
        let refused = run.clone().env("LOCKKEEPER_LAYOUT", layout).output();
        refused.expect_code(65).says(".up.sql: its name is not UTF-8; give it another name");
    }
    assert!(!database.has_table("one"));
}
