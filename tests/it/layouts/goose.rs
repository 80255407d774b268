//! goose, by the table and the parser in its sources: no registry has its program.

use std::fs;

use super::lockkeeper;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(
    each_revision_has_a_row,
    the_newest_row_of_a_version_counts,
    a_late_file_is_refused,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    steps_that_only_goose_can_run_are_refused_by_name,
    annotations_that_goose_refuses_are_refused,
    a_new_revision_has_the_form_of_goose,
);

const ONE: &str = "-- a comment\n\n-- +goose Up\ncreate table one (id integer);\n\n-- +goose Down\ndrop table one;\n";
const TWO: &str = "-- +goose up\n-- +goose StatementBegin\ncreate table two (id integer);\n-- +goose StatementEnd\n--+goose DOWN\ndrop table two;";

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("goose");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

fn rows<D: Database>(database: &D) -> String {
    database.query("select version_id, case when is_applied then 'yes' else 'no' end from goose_db_version order by id")
}

fn each_revision_has_a_row<D: Database>() {
    let database = D::create("rows");
    let (_files, run) = run_on(&database, &[("00001_one.sql", ONE), ("20260101120000_two.sql", TWO)]);
    run.output().expect_code(0).says("the layout is goose").says("up to date at 20260101120000: 2");
    assert_eq!(rows(&database), "0|yes\n1|yes\n20260101120000|yes\n");
    run.output().expect_code(0).says("nothing pending");
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert_eq!(rows(&database), "0|yes\n1|yes\n");
    assert!(!database.has_table("two") && database.has_table("one"));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "0|yes\n1|yes\n20260101120000|yes\n");
    let back = run.clone().args(["downgrade", "--sql", "20260101120000:1"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(rows(&database), "0|yes\n1|yes\n");
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "0|yes\n1|yes\n20260101120000|yes\n");
}

/// Old releases insert a row for what was undone.
fn the_newest_row_of_a_version_counts<D: Database>() {
    let database = D::create("newest");
    let (_files, run) = run_on(&database, &[("1_one.sql", ONE), ("2_two.sql", TWO)]);
    run.output().expect_code(0);
    database.query("insert into goose_db_version (version_id, is_applied) values (2, false)");
    database.query("drop table two");
    run.clone().arg("check").output().expect_code(2).says("1 revision is pending");
    run.output().expect_code(0).says("up to date at 2: 1");
}

fn a_late_file_is_refused<D: Database>() {
    let database = D::create("late");
    let (files, run) = run_on(&database, &[("1_one.sql", ONE), ("3_two.sql", TWO)]);
    run.output().expect_code(0);
    fs::write(files.path().join("2_late.sql"), "-- +goose Up\nselect 1;").unwrap();
    run.output().expect_code(65).says("2_late.sql is out of order: 3 is applied already");
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let text = |last: &str| {
        format!(
            "-- +goose NO TRANSACTION\n-- +goose Up\ncreate table a (id integer);\ncreate table b (id integer);\n{last};\n-- +goose Down\ndrop table a;\ndrop table b;\n"
        )
    };
    let (files, run) = run_on(&database, &[("1_a.sql", &text("insert into missing values (1)"))]);
    run.output().expect_code(81).says("1_a.sql:5:1");
    assert_eq!(rows(&database), "0|yes\n");
    run.clone().arg("history").output().expect_code(0).says("partial");
    // The other direction of the same file is not part of what was done.
    fs::write(files.path().join("1_a.sql"), text("insert into b values (1)").replace("drop table b", "drop table b "))
        .unwrap();
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select count(*) from b").trim(), "1");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("a") && !database.has_table("b"));
}

fn steps_that_only_goose_can_run_are_refused_by_name<D: Database>() {
    let database = D::create("programs");
    let files = [("1_one.sql", ONE), ("2_step.go", "package migrations"), ("2_step_test.go", ""), ("helper.go", "")];
    let (files, run) = run_on(&database, &files);
    run.output().expect_code(65).says("2_step.go: it is a program in Go, which only goose can run");
    assert!(!database.has_table("one"));
    run.clone().args(["upgrade", "1"]).output().expect_code(0);
    // Whoever ran it with goose has its row.
    database.query("insert into goose_db_version (version_id, is_applied) values (2, true)");
    run.output().expect_code(0).says("nothing pending, the database is at 2");
    fs::write(files.path().join("3_env.sql"), "-- +goose ENVSUB ON\n-- +goose Up\nselect '${HOME}';").unwrap();
    run.output().expect_code(65).says("3_env.sql: the line -- +goose ENVSUB ON asks for variables");
}

fn annotations_that_goose_refuses_are_refused<D: Database>() {
    let database = D::create("annotations");
    for (text, problem) in [
        ("select 1;\n-- +goose Up\n", "2_x.sql:1: there is SQL before the line -- +goose Up"),
        ("-- +goose Up\n-- +goose Up\n", "2_x.sql:2: -- +goose UP is not expected here"),
        ("-- +goose Down\n", "2_x.sql:1: -- +goose DOWN is not expected here"),
        ("-- +goose Up\n  -- +goose Down\n", "2_x.sql:2: the line has white space before its -- +goose"),
        ("-- +goose Up\n-- see +goose docs\n", "2_x.sql:2: \"-- see +goose docs\" is no annotation of goose"),
        ("", "2_x.sql: the line -- +goose Up is missing"),
    ] {
        let (_files, run) = run_on(&database, &[("1_one.sql", ONE), ("2_x.sql", text)]);
        run.output().expect_code(65).says(problem);
    }
    for name in ["x.sql", "0_x.sql", "-1_x.sql", "1.sql"] {
        let (_files, run) = run_on(&database, &[("1_one.sql", ONE), (name, ONE)]);
        run.output().expect_code(65).says(&format!("{name}: its name has to begin with a number from 1"));
    }
    let (_files, run) = run_on(&database, &[("1_one.sql", ONE), ("01_two.sql", TWO)]);
    run.output().expect_code(65).says("two files claim version 1: 01_two.sql, 1_one.sql");
}

fn a_new_revision_has_the_form_of_goose<D: Database>() {
    let database = D::create("new");
    let (files, run) = run_on(&database, &[("00001_one.sql", ONE)]);
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0).says("00002_add_widgets.sql");
    let text = fs::read_to_string(files.path().join("00002_add_widgets.sql")).unwrap();
    assert!(text.starts_with("-- +goose Up\n-- +goose StatementBegin\nSELECT 'up SQL query';\n"), "{text}");
    run.output().expect_code(0).says("up to date at 2");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
}
