//! refinery, with its own tool.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::traps::Trap;
use super::{Tool, directory, each_continues_the_other, lockkeeper, write};
use crate::support::either::Database;
use crate::support::other_tools::{self, Step};
use crate::support::postgres::{Postgres, Setup, Stop};

const REFINERY: Tool = Tool {
    files: |trap| {
        let Trap { number, name, up, .. } = trap;
        match number % 3 {
            0 => vec![(format!("more/deep/V{number}__{name}.sql"), up.clone())],
            1 => vec![(format!("V{number:03}__{name}.sql"), up.clone())],
            _ => vec![(format!("U{number}__{name}.sql"), up.clone())],
        }
    },
    runs: |trap, dialect| !(trap.refuses_transactions || trap.has_brackets && dialect == "sqlite"),
    up: |directory, url| other_tools::refinery(directory, url, Step::Up),
    found_nothing: |run| run.output.contains("no migrations to apply"),
    history: "select version, name, checksum from refinery_schema_history order by version",
    table: "refinery_schema_history",
    layout: "refinery",
};

on_either!(
    each_continues_what_the_other_began,
    only_an_unversioned_file_comes_late,
    an_edited_or_renamed_file_is_named,
    versions_of_64_bits_are_those_of_the_feature,
    steps_in_rust_are_refused_by_name,
    statements_that_refuse_transactions_are_refused,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    files_that_flyway_reads_as_well_need_a_table_or_the_setting,
    a_new_revision_is_one_of_the_tool,
    no_file_in_a_folder_is_passed_over,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&REFINERY);
}

fn one(number: usize, name: &'static str) -> Trap {
    Trap {
        number,
        name,
        up: format!("create table {name} (id integer);\n"),
        down: String::new(),
        refuses_transactions: false,
        has_brackets: false,
    }
}

fn run_on<D: Database>(database: &D, directory: &Path) -> crate::support::binary::Run {
    lockkeeper(directory, &database.url()).env("LOCKKEEPER_LAYOUT", "refinery")
}

fn add(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

#[track_caller]
fn up_to_date<D: Database>(database: &D, directory: &Path) {
    let run = (REFINERY.up)(directory, &database.url());
    assert!((REFINERY.found_nothing)(run.expect_success()), "{run:?}");
}

fn only_an_unversioned_file_comes_late<D: Database>() {
    let database = D::create("late");
    let files = directory(&REFINERY, &[one(1, "one"), one(7, "seven")]);
    (REFINERY.up)(files.path(), &database.url()).expect_success();
    let run = run_on(&database, files.path());
    add(files.path(), "U3__three.sql", "create table three (id integer);");
    run.output().expect_code(0).says("applied U3__three.sql");
    up_to_date(&database, files.path());
    add(files.path(), "V4__four.sql", "create table four (id integer);");
    run.output().expect_code(65).says("V4__four.sql is out of order: 7 is applied already");
    (REFINERY.up)(files.path(), &database.url()).says("four");
    assert!(!database.has_table("four"));
    add(files.path(), "U4__other.sql", "");
    run.output().expect_code(65).says("two files claim version 4");
}

fn an_edited_or_renamed_file_is_named<D: Database>() {
    let database = D::create("edited");
    let files = directory(&REFINERY, &[one(1, "one"), one(7, "seven")]);
    (REFINERY.up)(files.path(), &database.url()).expect_success();
    let run = run_on(&database, files.path());
    // The name is a part of the checksum.
    fs::rename(files.path().join("V007__seven.sql"), files.path().join("V7__Seven.sql")).unwrap();
    run.output().expect_code(65).says("V7__Seven.sql was edited after revision 7 was applied");
    add(files.path(), "V001__one.sql", "create table one (id integer);\r\n");
    run.output().expect_code(65).says("V001__one.sql was edited");
    fs::rename(files.path().join("V7__Seven.sql"), files.path().join("V007__seven.sql")).unwrap();
    run.clone().args(["repair", "--yes"]).output().expect_code(0);
    run.output().expect_code(0).says("nothing pending");
    up_to_date(&database, files.path());
}

/// A program with refinery's feature int8-versions makes such a column, and hashes each version as one of 64 bits.
fn versions_of_64_bits_are_those_of_the_feature<D: Database>() {
    let database = D::create("wide");
    let files = directory(&REFINERY, &[one(1, "one")]);
    let run = run_on(&database, files.path());
    run.output().expect_code(0);
    let narrow = database.query("select checksum from refinery_schema_history");
    let database = D::create("made");
    database.query("create table refinery_schema_history (version int8 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255))");
    let run = run_on(&database, files.path());
    run.output().expect_code(0);
    let wide = database.query("select checksum from refinery_schema_history");
    assert_ne!(narrow, wide);
    run.output().expect_code(0).says("nothing pending");
    database.query(&format!("update refinery_schema_history set checksum = '{}'", narrow.trim()));
    run.output().expect_code(0).says("nothing pending");
    // A version of more than 32 bits makes the column such a one.
    add(files.path(), "V20240101000000__two.sql", "create table two (id integer);");
    let database = D::create("widened");
    let run = run_on(&database, files.path());
    run.output().expect_code(0).says("up to date at 20240101000000");
    run.output().expect_code(0).says("nothing pending");
    if D::DIALECT == "postgres" {
        let column = "select data_type from information_schema.columns where table_name = 'refinery_schema_history' and column_name = 'version'";
        assert_eq!(database.query(column), "bigint\n");
    }
}

fn steps_in_rust_are_refused_by_name<D: Database>() {
    let database = D::create("rust");
    let files = directory(&REFINERY, &[one(1, "one")]);
    add(files.path(), "V2__two.rs", "pub fn migration() -> String { String::new() }");
    add(files.path(), "mod.rs", "");
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("V2__two.rs: it is a module in Rust").says("the layout is refinery");
    assert!(!database.has_table("one"));
    run.clone().args(["upgrade", "1"]).output().expect_code(0);
    add(files.path(), "V1.5__half.sql", "");
    run.env("LOCKKEEPER_LAYOUT", "refinery")
        .output()
        .expect_code(65)
        .says("V1.5__half.sql: its version has to be a whole number");
}

fn statements_that_refuse_transactions_are_refused<D: Database>() {
    let database = D::create("vacuum");
    let files = directory(&REFINERY, &[one(1, "one")]);
    add(files.path(), "V2__two.sql", "select 1;\nvacuum;\n");
    let run = run_on(&database, files.path());
    run.output().expect_code(65).says("V2__two.sql:2:1: ").says("take it out of the migrations");
    assert!(!database.has_table("one"));
    let tool = (REFINERY.up)(files.path(), &database.url());
    assert_ne!(tool.code, Some(0), "{tool:?}");
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("printed");
    let files = directory(&REFINERY, &[one(1, "one"), one(3, "three"), one(7, "seven")]);
    let run = run_on(&database, files.path());
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    up_to_date(&database, files.path());
    let printed = database.query(REFINERY.history);
    database.query("delete from refinery_schema_history where version > 1");
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(database.query(REFINERY.history), printed);
    up_to_date(&database, files.path());
    run.clone().args(["downgrade", "-1"]).output().expect_code(65).says("V007__seven.sql cannot be undone");
}

fn files_that_flyway_reads_as_well_need_a_table_or_the_setting<D: Database>() {
    let database = D::create("choice");
    let files = directory(&REFINERY, &[one(1, "one")]);
    let run = lockkeeper(files.path(), &database.url());
    run.output()
        .expect_code(65)
        .says("several layouts fit this directory")
        .says("refinery, flyway; set LOCKKEEPER_LAYOUT");
    run.clone().args(["check", "--offline"]).output().expect_code(65).says("refinery, flyway");
    (REFINERY.up)(files.path(), &database.url()).expect_success();
    write(files.path(), &REFINERY, &[one(4, "four")]);
    run.output().expect_code(0).says("the layout is refinery: the database has its table").says("up to date at 4");
    up_to_date(&database, files.path());
    // Both have a history here.
    run.clone().args(["adopt", "--to", "flyway"]).output().expect_code(0).says("set LOCKKEEPER_LAYOUT=flyway");
    run.output().expect_code(78).says("refinery (").says("flyway (").says("set LOCKKEEPER_LAYOUT to the one in use");
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let files = directory(&REFINERY, &[one(1, "one")]);
    let run = run_on(&database, files.path());
    run.clone().args(["revision", "-m", "add widgets"]).output().expect_code(0).says("V2__add_widgets.sql");
    (REFINERY.up)(files.path(), &database.url()).expect_success().says("V2__add_widgets");
    run.output().expect_code(0).says("nothing pending");
}

fn no_file_in_a_folder_is_passed_over<D: Database>() {
    let database = D::create("folders");
    let files = directory(&REFINERY, &[one(1, "one")]);
    let deep = files.path().join("a/b/c/d/e/f/g/h/i/j/k/l");
    fs::create_dir_all(&deep).unwrap();
    add(&deep, "V2__two.sql", "create table two (id integer);");
    symlink(files.path().join("a"), deep.join("loop")).unwrap();
    let run = run_on(&database, files.path());
    run.output().expect_code(0).says("up to date at 2");
    up_to_date(&database, files.path());
    symlink("nowhere", deep.join("V3__three.sql")).unwrap();
    run.output().expect_code(65).says("V3__three.sql: cannot be read").says("No such file");
    fs::remove_file(deep.join("V3__three.sql")).unwrap();
    let short = files.path().join("a/V3__three.sql");
    let _socket = UnixListener::bind(&short).unwrap();
    run.output().expect_code(65).says("a/V3__three.sql: cannot be read");
}

/// A database that is still starting has not said which history it has.
#[test]
fn the_table_of_a_database_that_starts_later_decides() {
    let server = Postgres::start_later(Setup::default());
    let files = directory(&REFINERY, &[one(1, "one")]);
    let run = lockkeeper(files.path(), &server.url("postgres"));
    let undecided = run.spawn();
    undecided.wait_for("waiting for");
    server.boot();
    undecided.finish().expect_code(65).says("refinery, flyway; set LOCKKEEPER_LAYOUT");
    (REFINERY.up)(files.path(), &server.url("postgres")).expect_success();
    write(files.path(), &REFINERY, &[one(4, "four")]);
    server.stop(Stop::Fast);
    let decided = run.spawn();
    decided.wait_for("waiting for");
    server.boot();
    decided.finish().expect_code(0).says("the layout is refinery").says("up to date at 4");
    server.stop(Stop::Fast);
    run.env("LOCKKEEPER_WAIT_TIMEOUT", "1s").output().expect_code(69);
}
