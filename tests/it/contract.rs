//! Tests of the behaviour that both databases share.

use std::fs;

use crate::support::DEFAULT_TIMEOUT;
use crate::support::binary::{Finished, Run};
use crate::support::either::Database;
use crate::support::postgres::PASSWORD;

pub const ONE: (&str, &str) = ("0001_one.up.sql", "create table one (id integer primary key);\n");
pub const TWO: (&str, &str) = ("0002_two.up.sql", "create table two (id integer primary key);\n");
pub const THREE: (&str, &str) = ("0003_three.up.sql", "create table three (id integer primary key);\n");

/// Runs these files on a database, without a backup.
pub fn run_on(database: &impl Database, files: &[(&str, &str)]) -> Run {
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    fs::create_dir_all(run.dir().join("migrations")).expect("a directory");
    run.migrations(files)
}

pub fn remove(run: &Run, name: &str) {
    fs::remove_file(run.dir().join("migrations").join(name)).expect("remove a migration");
}

/// Returns the last line of the log, which has to say what happened and what to do.
#[track_caller]
pub fn last(finished: &Finished) -> &str {
    finished.does_not_say(PASSWORD);
    finished.stderr.lines().last().expect("a last line")
}

/// Runs; expects this exit code and all of these parts in the last line.
#[track_caller]
pub fn expect_end(run: &Run, code: i32, parts: &[&str]) -> Finished {
    check_end(run.output(), code, parts)
}

/// Expects this exit code and all of these parts in the last line.
#[track_caller]
pub fn check_end(finished: Finished, code: i32, parts: &[&str]) -> Finished {
    finished.expect_code(code);
    for part in parts {
        assert!(last(&finished).contains(part), "{part:?} is not in the last line: {finished}");
    }
    finished
}

fn a_new_database_is_migrated_and_a_second_run_changes_nothing<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&run, 0, &["up to date at 0002: 2 revisions applied"]);
    assert!(database.has_table("one") && database.has_table("two"));
    let rows = "select * from lockkeeper_history order by revision";
    let before = database.query(rows);
    let again = expect_end(&run, 0, &["nothing pending", "0002"]);
    again.does_not_say("applied 0001");
    assert_eq!(database.query(rows), before);
}

fn only_pending_revisions_are_applied<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &["up to date at 0001"]);
    let finished = expect_end(&run.clone().migrations(&[TWO, THREE]), 0, &["up to date at 0003", "2 revisions"]);
    finished.does_not_say("0001_one").says("applied 0002_two.up.sql").says("applied 0003_three.up.sql");
    assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n");
}

/// The third of five files fails: the first two stay applied, and the message names the failing line.
fn a_failing_third_file_leaves_two_applied_and_names_its_line<D: Database>() {
    let database = D::create("contract");
    let failing = "-- fäil\ncreate table three (id integer);\n  insert into nowhere values (1);\n";
    let four = ("0004_four.up.sql", "create table four (id integer);");
    let five = ("0005_five.up.sql", "create table five (id integer);");
    let run = run_on(&database, &[ONE, TWO, ("0003_three.up.sql", failing), four, five]);
    let parts = [
        "0003_three.up.sql:3:",
        "nowhere",
        "insert into nowhere",
        "rolled back",
        "2 revisions were applied and kept, the last is 0002",
        "try: correct the file",
    ];
    expect_end(&run, 80, &parts);
    assert_eq!(database.history(), "0001|applied\n0002|applied\n");
    assert!(!database.has_table("three") && !database.has_table("four"));
    let run = run.migrations(&[THREE]);
    expect_end(&run, 0, &["up to date at 0005", "3 revisions"]);
    assert!(database.has_table("five"));
}

/// One message names every edited, missing and out-of-order file.
fn edited_missing_and_late_files_are_named_all_at_once<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, TWO, ("0004_four.up.sql", "create table four (id integer);")]);
    expect_end(&run, 0, &[]);
    let edited = ("0001_one.up.sql", "create table one (id integer primary key, more text);\n");
    let run = run.migrations(&[edited, THREE]);
    remove(&run, "0002_two.up.sql");
    let recorded = database.query("select checksum from lockkeeper_history where revision = '0001'");
    let parts = [
        "0001_one.up.sql was edited",
        recorded.trim(),
        "revision 0002 is applied but its file is missing",
        "0003_three.up.sql is out of order",
        "0004",
        "try:",
    ];
    for command in ["upgrade", "check"] {
        expect_end(&run.clone().arg(command), 65, &parts);
    }
    assert!(!database.has_table("three"));
    let run = run.migrations(&[ONE, TWO]);
    remove(&run, "0003_three.up.sql");
    expect_end(&run, 0, &["nothing pending"]);
}

/// An older image accepts a newer database, unless `--strict` is set.
fn a_database_ahead_of_the_image_is_up_to_date_unless_strict<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, TWO, THREE]);
    expect_end(&run, 0, &[]);
    remove(&run, "0002_two.up.sql");
    remove(&run, "0003_three.up.sql");
    for command in ["upgrade", "check"] {
        let finished = expect_end(&run.clone().arg(command), 0, &["0003"]);
        finished.says("warn").says("ahead of this image: it has 0002, 0003");
        expect_end(&run.clone().args([command, "--strict"]), 86, &["0002, 0003", "deploy the newer image"]);
        expect_end(&run.clone().arg(command).env("LOCKKEEPER_STRICT", "true"), 86, &[]);
    }
    assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n");
}

/// Another image has applied a newer revision, and this one brings an older revision.
fn a_revision_older_than_one_that_is_ahead_is_out_of_order<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, THREE]);
    expect_end(&run, 0, &[]);
    remove(&run, "0003_three.up.sql");
    let run = run.migrations(&[TWO]);
    expect_end(&run, 65, &["0002_two.up.sql is out of order", "0003"]);
    assert!(!database.has_table("two"));
}

fn a_target_may_be_a_revision_or_its_prefix<D: Database>() {
    let database = D::create("contract");
    let files = [
        ("20260101000000_a.sql", "create table a (id integer);"),
        ("20260201000000_b.sql", "create table b (id integer);"),
        ("20260202000000_c.sql", "create table c (id integer);"),
    ];
    let run = run_on(&database, &files);
    let upgrade = |target: &str| run.clone().args(["upgrade", target]);
    expect_end(&upgrade("202601"), 0, &["up to date at 20260101000000: 1 revision applied"]);
    for (target, parts) in [
        ("202602", ["fits several revisions: 20260201000000, 20260202000000", "more digits"]),
        ("2027", ["no revision", "2027"]),
        ("nonsense", ["\"nonsense\" is not a target", "head"]),
        ("", ["\"\" is not a target", "head"]),
    ] {
        expect_end(&upgrade(target), 64, &parts);
    }
    expect_end(&run.clone().env("LOCKKEEPER_TARGET", "20260201000000"), 0, &["1 revision"]);
    assert!(database.has_table("b") && !database.has_table("c"));
    expect_end(&upgrade("20260101000000"), 0, &["nothing pending"]);
    expect_end(&upgrade("heads"), 0, &["up to date at 20260202000000"]);
    assert!(database.has_table("c"));
}

/// A number with other leading zeros is the same revision.
fn a_target_is_compared_by_its_number<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&run.clone().args(["upgrade", "1"]), 0, &["up to date at 0001"]);
    assert_eq!(database.history(), "0001|applied\n");
}

/// A file without a transaction is resumed at the statement that failed.
fn without_a_transaction_a_rerun_resumes_at_the_failed_statement<D: Database>() {
    let database = D::create("contract");
    let text = |second: &str| {
        format!("-- no-transaction\ncreate table a (id integer);\n\n{second};\ncreate table c (id integer);\n")
    };
    let run = run_on(&database, &[]).migrations(&[("0001_a.sql", &text("insert into nowhere values (1)"))]);
    let parts = [
        "0001_a.sql:4:",
        "statement 2 failed",
        "nowhere",
        "1 of its statements is already committed",
        "run again: it goes on there",
    ];
    expect_end(&run, 81, &parts);
    let journal = "select state, statements_done, statements_total from lockkeeper_history";
    assert_eq!(database.query(journal), "partial, see the journal|1|3\n");
    assert!(database.has_table("a") && !database.has_table("c"));
    expect_end(&run.clone().arg("check"), 2, &["1 revision is pending"]);

    // The completed statements must not be edited: a comment above one counts, too.
    for edited in ["create table a (id integer, b text);", "-- new\ncreate table a (id integer);"] {
        let edited = text("select 1").replace("create table a (id integer);", edited);
        let run = run.clone().migrations(&[("0001_a.sql", &edited)]);
        expect_end(&run, 65, &["0001_a.sql", "first 1 statements", "edited", "restore those statements"]);
    }
    let failing_file = text("select 1").replace("-- no-transaction", "-- a comment");
    let run = run.migrations(&[("0001_a.sql", &failing_file)]);
    expect_end(&run, 65, &["0001_a.sql", "keep its -- no-transaction line"]);

    let run = run.migrations(&[("0001_a.sql", &text("create table b (id integer)"))]);
    expect_end(&run, 0, &["up to date at 0001"]);
    assert!(database.has_table("b") && database.has_table("c"));
    assert_eq!(database.query(journal), "applied|3|3\n");
    expect_end(&run, 0, &["nothing pending"]);
}

/// The failed statements may be removed from the file.
fn without_a_transaction_the_statements_that_failed_may_be_removed<D: Database>() {
    let database = D::create("contract");
    let start = "-- no-transaction\ncreate table a (id integer);\n";
    let run = run_on(&database, &[]).migrations(&[("0001_a.sql", &format!("{start}fail;\n"))]);
    expect_end(&run, 81, &["0001_a.sql:3:"]);
    let run = run.migrations(&[("0001_a.sql", &format!("{start}-- it was not to be\n"))]);
    expect_end(&run, 0, &["up to date at 0001"]);
    let journal = "select state, statements_done, statements_total from lockkeeper_history";
    assert_eq!(database.query(journal), "applied|1|1\n");
    expect_end(&run, 0, &["nothing pending"]);
}

/// A file with nothing but comments is recorded as applied.
fn files_without_a_statement_are_applied<D: Database>() {
    let database = D::create("contract");
    let files = [
        ("0001_empty.sql", ""),
        ("0002_comments.sql", "-- nothing\n/* at; all */\n"),
        ("0003_semicolons.sql", ";\n;;\n"),
        ("0004_empty.sql", "-- no-transaction"),
        ("0005_comments.sql", "-- no-transaction\n\n/* nothing */\n"),
    ];
    let run = run_on(&database, &files);
    let finished = expect_end(&run, 0, &["up to date at 0005: 5 revisions applied"]);
    finished.says("0001_empty.sql holds no statement: only the history has changed");
    expect_end(&run, 0, &["nothing pending"]);
    let totals = "select sum(statements_total), count(*) from lockkeeper_history where state = 'applied'";
    assert_eq!(database.query(totals), "0|5\n");
}

/// Line ends and the byte order mark are not part of the checksum.
fn line_ends_and_the_byte_order_mark_do_not_change_the_checksum<D: Database>() {
    let database = D::create("contract");
    let lf = "-- ä\ncreate table a (\n  id integer);\n";
    let run = run_on(&database, &[("0001_a.sql", lf)]);
    expect_end(&run, 0, &[]);
    let crlf = lf.replace('\n', "\r\n");
    for same in [crlf.clone(), format!("\u{feff}{lf}"), format!("\u{feff}{crlf}")] {
        expect_end(&run.clone().migrations(&[("0001_a.sql", &same)]), 0, &["nothing pending"]);
    }
    expect_end(&run.clone().migrations(&[("0001_a.sql", &format!("{lf}\n"))]), 65, &["0001_a.sql was edited"]);
    let other = D::create("contract");
    expect_end(&run_on(&other, &[("0001_a.sql", &crlf)]), 0, &[]);
    let sum = "select checksum from lockkeeper_history";
    assert_eq!(other.query(sum), database.query(sum));
}

fn every_column_of_the_history_is_filled<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &[]);
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("HOSTNAME", "pod-7").env("LOCKKEEPER_BACKUP_DIR", "safe");
    let two = ("0002_add_two_tables.up.sql", "create table two (id integer);\ncreate table too (id integer)");
    expect_end(&run.clone().migrations(&[two]), 0, &["backup"]);
    let columns = "select revision, description, state, statements_done, statements_total, lockkeeper_version,
                   length(checksum), duration_ms >= 0 and duration_ms < 60000, applied_at is not null,
                   length(applied_by) > 0, coalesce(backup, 'none') from lockkeeper_history order by revision";
    let rows = database.query(columns).replace("|t", "|1");
    let rows: Vec<&str> = rows.lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(rows[0], format!("0001|one|applied|1|1|{version}|64|1|1|1|none"));
    let (other_columns, backup) = rows[1].rsplit_once('|').expect("columns");
    assert_eq!(other_columns, format!("0002|add two tables|applied|2|2|{version}|64|1|1|1"));
    assert!(run.dir().join("safe").join(backup).is_file(), "the backup of the row: {backup}");
}

fn check_and_wait_distinguish_pending_from_up_to_date<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE, TWO]);
    let finished = expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending", "run lockkeeper upgrade"]);
    finished.says("pending: 0001_one.up.sql").says("pending: 0002_two.up.sql");
    assert!(!database.has_table("lockkeeper_history"), "a reading command wrote");
    let brief = run.clone().args(["wait", "--migrated", "--wait-timeout", "300ms"]);
    expect_end(&brief, 69, &["look at the run that is to apply them"]);

    let waiting = run.clone().args(["wait", "--migrated"]).spawn();
    waiting.wait_for("ready, but 2 revisions are pending");
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    expect_end(&run, 0, &[]);
    waiting.finish().expect_code(0).says("0002").within(DEFAULT_TIMEOUT);
    expect_end(&run.clone().arg("check"), 0, &["0002"]);
}

fn the_history_table_may_have_another_name<D: Database>() {
    let database = D::create("contract");
    let run = run_on(&database, &[ONE]).env("LOCKKEEPER_HISTORY_TABLE", "Odd \"name'; --");
    expect_end(&run, 0, &["up to date at 0001"]);
    expect_end(&run, 0, &["nothing pending"]);
    assert_eq!(database.query("select revision from \"Odd \"\"name'; --\""), "0001\n");
    assert!(!database.has_table("lockkeeper_history"));
}

on_either!(
    a_new_database_is_migrated_and_a_second_run_changes_nothing,
    only_pending_revisions_are_applied,
    a_failing_third_file_leaves_two_applied_and_names_its_line,
    edited_missing_and_late_files_are_named_all_at_once,
    a_database_ahead_of_the_image_is_up_to_date_unless_strict,
    a_revision_older_than_one_that_is_ahead_is_out_of_order,
    a_target_may_be_a_revision_or_its_prefix,
    a_target_is_compared_by_its_number,
    without_a_transaction_a_rerun_resumes_at_the_failed_statement,
    without_a_transaction_the_statements_that_failed_may_be_removed,
    files_without_a_statement_are_applied,
    line_ends_and_the_byte_order_mark_do_not_change_the_checksum,
    every_column_of_the_history_is_filled,
    check_and_wait_distinguish_pending_from_up_to_date,
    the_history_table_may_have_another_name,
);
