//! dbmate, with its own tool.

use std::fs;

use super::traps::Trap;
use super::{Tool, each_continues_the_other, lockkeeper};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::other_tools::{self, Step};
use crate::support::postgres::Postgres;
use crate::support::temporary_directory;

const DBMATE: Tool = Tool {
    files: |trap| {
        let Trap { number, name, up, down, refuses_transactions, .. } = trap;
        let option = if *refuses_transactions { " transaction:false" } else { "" };
        let text = format!("-- migrate:up{option}\n{up}\n--migrate:down{option}\n{down}");
        vec![(format!("{number:03}_{name}.sql"), text)]
    },
    // dbmate loses its transaction.
    runs: |trap, _| !trap.has_brackets,
    up: |directory, url| other_tools::dbmate(directory, url, Step::Up),
    found_nothing: |run| !run.output.contains("Applying"),
    history: "select version from schema_migrations order by version",
    table: "schema_migrations",
    layout: "dbmate",
};

on_either!(
    each_continues_what_the_other_began,
    each_undoes_what_the_other_did,
    files_run_in_the_order_of_their_names,
    a_late_file_is_applied,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    lines_that_dbmate_refuses_are_refused,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    a_new_revision_is_one_of_the_tool,
    an_empty_table_of_another_tool_is_refused,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&DBMATE);
}

fn file(table: &str) -> String {
    format!("-- migrate:up\ncreate table {table} (id integer);\n\n-- migrate:down\ndrop table {table};\n")
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("dbmate");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

fn rows<D: Database>(database: &D) -> String {
    database.query(DBMATE.history)
}

fn each_undoes_what_the_other_did<D: Database>() {
    let database = D::create("undo");
    let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("2_two.sql", &file("two"))]);
    (DBMATE.up)(files.path(), &database.url()).expect_success();
    run.clone().args(["downgrade", "1"]).output().expect_code(0).says("the layout is dbmate");
    assert!(!database.has_table("two") && database.has_table("one"));
    assert_eq!(rows(&database), "1\n");
    run.output().expect_code(0).says("up to date at 2: 1");
    other_tools::dbmate(files.path(), &database.url(), Step::Down).expect_success().says("Rolling back: 2_two.sql");
    run.clone().arg("check").output().expect_code(2).says("1 revision is pending");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert_eq!(rows(&database), "");
}

/// 10_ comes before 2_, and before 1_: the underscore is behind the digits.
fn files_run_in_the_order_of_their_names<D: Database>() {
    let insert = |value: &str| format!("-- migrate:up\ninsert into v values ('{value}');\n-- migrate:down\n");
    let first = "-- migrate:up\ncreate table v (n varchar(9));\n-- migrate:down\n";
    let (one, two, ten) = (insert("1"), insert("2"), insert("10"));
    let files = [("0_v.sql", first), ("1_a.sql", &*one), ("2_a.sql", &*two), ("10_a.sql", &*ten)];
    let (ours, tools) = (D::create("ours"), D::create("tools"));
    let (directory, run) = run_on(&ours, &files);
    run.output().expect_code(0);
    (DBMATE.up)(directory.path(), &tools.url()).expect_success();
    let order = "select n from v";
    assert_eq!(ours.query(order), "10\n1\n2\n");
    assert_eq!(tools.query(order), "10\n1\n2\n");
    // Without an underscore, the order of the names is another one.
    fs::rename(directory.path().join("1_a.sql"), directory.path().join("1.sql")).unwrap();
    run.output().expect_code(65).says("1.sql: dbmate sorts the files by their names and runs it before 10_a.sql");
}

fn a_late_file_is_applied<D: Database>() {
    let database = D::create("late");
    let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("3_three.sql", &file("three"))]);
    (DBMATE.up)(files.path(), &database.url()).expect_success();
    fs::write(files.path().join("2_two.sql"), file("two")).unwrap();
    run.output().expect_code(0).says("applied 2_two.sql");
    assert!((DBMATE.found_nothing)((DBMATE.up)(files.path(), &database.url()).expect_success()));
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let text = |last: &str| {
        format!(
            "-- migrate:up transaction:false\ncreate table a (id integer);\ncreate table b (id integer);\n{last};\n\n-- migrate:down transaction:false\ndrop table a;\ndrop table b;\n"
        )
    };
    let (files, run) = run_on(&database, &[("1_a.sql", &text("insert into missing values (1)"))]);
    run.output().expect_code(81).says("1_a.sql:4:1");
    assert_eq!(rows(&database), "");
    run.clone().arg("history").output().expect_code(0).says("partial");
    fs::write(files.path().join("1_a.sql"), text("insert into b values (1)")).unwrap();
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select count(*) from b").trim(), "1");
    assert!((DBMATE.found_nothing)((DBMATE.up)(files.path(), &database.url()).expect_success()));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("a") && !database.has_table("b"));
}

fn lines_that_dbmate_refuses_are_refused<D: Database>() {
    let database = D::create("refused");
    let refused_by_both = [
        ("-- migrate:up\nselect 1;\n", "2_x.sql: the line -- migrate:down is missing"),
        ("select 1;\n-- migrate:up\n-- migrate:down\n", "2_x.sql:1: there is SQL before the line -- migrate:up"),
        ("-- migrate:down\n-- migrate:up\n", "2_x.sql:1: -- migrate:down needs a -- migrate:up of its own"),
        ("-- migrate:up\n-- migrate:down\n--migrate:down\n", "2_x.sql:3: -- migrate:down needs a -- migrate:up"),
        ("-- migrate:update\n-- x\n", "2_x.sql: the line -- migrate:up is missing"),
        (" -- migrate:up\n", "2_x.sql: the line -- migrate:up is missing"),
    ];
    for (text, problem) in refused_by_both {
        let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("2_x.sql", text)]);
        run.output().expect_code(65).says(problem);
        (DBMATE.up)(files.path(), &D::create("tool").url()).says("dbmate ");
    }
    let two = [file("two"), file("three")].concat();
    let (_files, run) = run_on(&database, &[("2_x.sql", &two)]);
    run.output().expect_code(65).says("2_x.sql:6: a second -- migrate:up in one file is not supported");
    let (_files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("1.two.sql", &file("two"))]);
    run.output().expect_code(65).says("two files claim version 1: 1.two.sql, 1_one.sql");
    assert!(!database.has_table("one"));
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("sql");
    let (files, run) = run_on(&database, &[("01_one.sql", &file("one")), ("02_two.sql", &file("two"))]);
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "01\n02\n");
    assert!((DBMATE.found_nothing)((DBMATE.up)(files.path(), &database.url()).expect_success()));
    let back = run.clone().args(["downgrade", "--sql", "02:01"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(rows(&database), "01\n");
    assert!(!database.has_table("two"));
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "01\n02\n");
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let (files, run) = run_on(&database, &[("20260101000000_one.sql", &file("one"))]);
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0).says("_add_widgets.sql");
    let mut names: Vec<String> =
        fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let text = fs::read_to_string(files.path().join(&names[1])).unwrap();
    assert_eq!(text, "-- migrate:up\n\n\n\n-- migrate:down\n\n");
    (DBMATE.up)(files.path(), &database.url()).expect_success().says("add_widgets.sql");
    run.output().expect_code(0).says("nothing pending");
}

/// The table of older releases has another type, and `--migration-lock` takes a lock.
#[test]
fn tables_of_older_releases_and_the_lock_of_the_tool_are_known() {
    let database = Postgres::shared().database("older");
    database.query("create table schema_migrations (version varchar(255) primary key)");
    let (_files, run) = run_on(&database, &[("1_one.sql", &file("one"))]);
    let mut tool = database.session();
    tool.run("select pg_advisory_lock(48372615)");
    run.clone().env("LOCKKEEPER_LOCK_TIMEOUT", "1s").output().expect_code(75).says("another run held the lock");
    drop(tool);
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(rows(&database), "1\n");
}

fn an_empty_table_of_another_tool_is_refused<D: Database>() {
    for (column, tool) in [("inserted_at timestamp", "Ecto"), ("dirty boolean", "golang-migrate")] {
        let database = D::create("others");
        database.query(&format!("create table schema_migrations (version bigint primary key, {column})"));
        let (_files, run) = run_on(&database, &[("1_a.sql", &file("a"))]);
        run.output().expect_code(78).says(&format!("the history table is that of {tool}, as its column"));
        assert!(!database.has_table("a"));
        assert_eq!(database.query("select count(*) from schema_migrations").trim(), "0");
    }
}
