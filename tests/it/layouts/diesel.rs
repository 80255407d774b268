//! Diesel, with its own tool.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::traps::Trap;
use super::{Tool, each_continues_the_other, lockkeeper};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::other_tools::{self, Step};
use crate::support::temporary_directory;

const DIESEL: Tool = Tool {
    files: |trap| {
        let Trap { number, name, up, down, refuses_transactions, .. } = trap;
        // Hyphens are no part of a version.
        let folder = match number % 2 {
            0 => format!("20{number:02}0101000000_{name}"),
            _ => format!("20{number:02}-01-01-000000_{name}"),
        };
        let mut files = vec![(format!("{folder}/up.sql"), up.clone()), (format!("{folder}/down.sql"), down.clone())];
        if *refuses_transactions || number % 3 == 0 {
            let text = format!("# how it runs\nrun_in_transaction = {}\n", !refuses_transactions);
            files.push((format!("{folder}/metadata.toml"), text));
        }
        files
    },
    // Diesel loses its transaction, and refuses an empty query of PostgreSQL.
    runs: |trap, dialect| !trap.has_brackets && (dialect == "sqlite" || trap.name != "only_a_comment"),
    up: |directory, url| other_tools::diesel(directory, url, Step::Up),
    found_nothing: |run| !run.output.contains("Running migration"),
    history: "select version from __diesel_schema_migrations order by version",
    table: "__diesel_schema_migrations",
    layout: "diesel",
};

on_either!(
    each_continues_what_the_other_began,
    each_undoes_what_the_other_did,
    a_late_folder_is_applied,
    metadata_decide_on_the_transaction,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    folders_that_diesel_refuses_are_refused,
    a_folder_among_files_is_not_taken_for_a_migration,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    a_new_revision_is_one_of_the_tool,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&DIESEL);
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes a folder with both scripts of a table.
fn folder(directory: &Path, name: &str, table: &str) {
    write(directory, &format!("{name}/up.sql"), &format!("create table {table} (id integer);\n"));
    write(directory, &format!("{name}/down.sql"), &format!("drop table {table};\n"));
}

fn run_on<D: Database>(database: &D) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("diesel");
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

fn rows<D: Database>(database: &D) -> String {
    database.query(DIESEL.history)
}

fn each_undoes_what_the_other_did<D: Database>() {
    let database = D::create("undo");
    let (files, run) = run_on(&database);
    folder(files.path(), "00000000000000_one", "one");
    folder(files.path(), "2026-01-02-030405-0000_two", "two");
    (DIESEL.up)(files.path(), &database.url()).expect_success();
    assert_eq!(rows(&database), "00000000000000\n202601020304050000\n");
    run.clone().args(["downgrade", "00000000000000"]).output().expect_code(0).says("the layout is diesel");
    assert!(!database.has_table("two") && database.has_table("one"));
    assert_eq!(rows(&database), "00000000000000\n");
    run.output().expect_code(0).says("up to date at 202601020304050000: 1");
    run.clone().arg("history").output().expect_code(0).says("202601020304050000 (head)");
    other_tools::diesel(files.path(), &database.url(), Step::Down).expect_success().says("Rolling back migration");
    run.clone().arg("check").output().expect_code(2).says("1 revision is pending");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert_eq!(rows(&database), "");
    fs::remove_file(files.path().join("00000000000000_one/down.sql")).unwrap();
    run.output().expect_code(0);
    run.clone().args(["downgrade", "base"]).output().expect_code(65).says("00000000000000_one/up.sql");
}

fn a_late_folder_is_applied<D: Database>() {
    let database = D::create("late");
    let (files, run) = run_on(&database);
    folder(files.path(), "1_one", "one");
    folder(files.path(), "3_three", "three");
    (DIESEL.up)(files.path(), &database.url()).expect_success();
    folder(files.path(), "2_two", "two");
    run.output().expect_code(0).says("applied 2_two/up.sql");
    assert!((DIESEL.found_nothing)((DIESEL.up)(files.path(), &database.url()).expect_success()));
}

/// A file without the key means that there is no transaction.
fn metadata_decide_on_the_transaction<D: Database>() {
    let failing = "create table kept (id integer);\ninsert into missing values (1);\n";
    for (metadata, is_kept) in [(None, false), (Some("run_in_transaction = true"), false), (Some("# none"), true)] {
        let database = D::create("metadata");
        let (files, run) = run_on(&database);
        write(files.path(), "1_one/up.sql", failing);
        if let Some(metadata) = metadata {
            write(files.path(), "1_one/metadata.toml", metadata);
        }
        run.output().expect_code(if is_kept { 81 } else { 80 }).says("1_one/up.sql:2:");
        assert_eq!(database.has_table("kept"), is_kept, "{metadata:?}");
    }
    let database = D::create("metadata");
    let (files, run) = run_on(&database);
    folder(files.path(), "1_one", "one");
    for (text, problem) in [
        ("a = 1\nrun_in_transaction = 1\n", "1_one/metadata.toml:2: invalid type: integer"),
        ("a = 1\n\nrun_in_transaction\n", "1_one/metadata.toml:3: "),
    ] {
        write(files.path(), "1_one/metadata.toml", text);
        run.output().expect_code(65).says(problem);
    }
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let (files, run) = run_on(&database);
    let up = |last: &str| format!("create table a (id integer);\ncreate table b (id integer);\n{last};\n");
    write(files.path(), "1_a/up.sql", &up("insert into missing values (1)"));
    write(files.path(), "1_a/down.sql", "drop table a;\ndrop table b;\n");
    write(files.path(), "1_a/metadata.toml", "run_in_transaction = false");
    run.output().expect_code(81).says("1_a/up.sql:3:1");
    assert_eq!(rows(&database), "");
    run.clone().arg("history").output().expect_code(0).says("partial");
    write(files.path(), "1_a/up.sql", &up("insert into b values (1)"));
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select count(*) from b").trim(), "1");
    assert!((DIESEL.found_nothing)((DIESEL.up)(files.path(), &database.url()).expect_success()));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("a") && !database.has_table("b"));
}

fn folders_that_diesel_refuses_are_refused<D: Database>() {
    let database = D::create("refused");
    let (files, run) = run_on(&database);
    folder(files.path(), "1_one", "one");
    write(files.path(), "2_two/README.md", "");
    run.output().expect_code(65).says("2_two: the folder has no file up.sql, and Diesel takes each folder");
    (DIESEL.up)(files.path(), &D::create("tool").url()).says("Invalid migration directory");
    write(files.path(), "2_two/up.sql", "");
    run.output().expect_code(65).says("2_two/up.sql: the file is empty, and Diesel refuses an empty file");
    (DIESEL.up)(files.path(), &D::create("tool").url()).says("empty");
    assert!(!database.has_table("one"));
    symlink("3_loop", files.path().join("3_loop")).unwrap();
    run.output().expect_code(65).says("3_loop: cannot be read");
    fs::remove_file(files.path().join("3_loop")).unwrap();
    // Hidden folders and files are no migrations.
    fs::rename(files.path().join("2_two"), files.path().join(".2_two")).unwrap();
    write(files.path(), "README.md", "");
    run.output().expect_code(0).says("up to date at 1: 1");
    folder(files.path(), "-1_two", "two");
    run.output().expect_code(65).says("two files claim version 1: -1_two/up.sql, 1_one/up.sql");
}

fn a_folder_among_files_is_not_taken_for_a_migration<D: Database>() {
    let database = D::create("native");
    let (files, run) = run_on(&database);
    write(files.path(), "0001_one.up.sql", "create table one (id integer);");
    folder(files.path(), "old", "two");
    run.output().expect_code(0).says("up to date at 0001").says("the layout is native");
    assert!(database.has_table("lockkeeper_history") && !database.has_table("two"));
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("sql");
    let (files, run) = run_on(&database);
    folder(files.path(), "01_one", "one");
    folder(files.path(), "02_two", "two");
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "01\n02\n");
    assert!((DIESEL.found_nothing)((DIESEL.up)(files.path(), &database.url()).expect_success()));
    let back = run.clone().args(["downgrade", "--sql", "02:01"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(rows(&database), "01\n");
    assert!(!database.has_table("two"));
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "01\n02\n");
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let (files, run) = run_on(&database);
    let run = run.env("LOCKKEEPER_LAYOUT", "diesel");
    folder(files.path(), "00000000000000_diesel_initial_setup", "one");
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0).says("-0000_add_widgets/up.sql");
    let mut names: Vec<String> =
        fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let [first, added] = &names[..] else { panic!("{names:?}") };
    assert_eq!(first, "00000000000000_diesel_initial_setup");
    let read = |file: &str| fs::read_to_string(files.path().join(added).join(file)).unwrap();
    assert_eq!(read("up.sql"), "-- Your SQL goes here\n");
    assert_eq!(read("down.sql"), "-- This file should undo anything in `up.sql`\n");
    // Diesel refuses a file that has only a comment.
    write(files.path(), &format!("{added}/up.sql"), "select 1;\n");
    (DIESEL.up)(files.path(), &database.url()).expect_success().says("add_widgets");
    run.output().expect_code(0).says("nothing pending");
}
