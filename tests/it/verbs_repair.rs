//! Tests of `repair`, which accepts edited files, on both databases, with and without a terminal.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::contract::{ONE, THREE, TWO, expect_end, remove, run_on};
use crate::support::binary::{Finished, Run, Running};
use crate::support::either::{Database, SqliteFile};
use crate::support::process::must_run;
use crate::verbs_stamp::{MASKS, assert_log, history, lock_holder};

const TWO_DOWN: (&str, &str) = ("0002_two.down.sql", "drop table two;\n");
const THREE_DOWN: (&str, &str) = ("0003_three.down.sql", "drop table three;\n");
const EDITED_ONE: (&str, &str) = ("0001_one.up.sql", "create table one (id integer primary key, more text);\n");
const EDITED_THREE_DOWN: (&str, &str) = ("0003_three.down.sql", "drop table if exists three;\n");

fn repair(run: &Run) -> Run {
    run.clone().arg("repair")
}

/// Returns the whole history, to be compared.
fn rows(database: &impl Database) -> String {
    database.query("select * from lockkeeper_history order by revision")
}

fn checksums(database: &impl Database) -> String {
    database.query("select checksum, down_checksum from lockkeeper_history order by revision")
}

/// The columns that a repair must not change.
const UNCHANGED_COLUMNS: &str =
    "select revision, description, applied_at, duration_ms, state, statements_done, statements_total,
                      applied_by, lockkeeper_version, backup from lockkeeper_history order by revision";

/// Creates three applied revisions, then an edited up migration and an edited down migration.
fn edited(database: &impl Database) -> Run {
    let run = run_on(database, &[ONE, TWO, THREE, TWO_DOWN, THREE_DOWN]);
    expect_end(&run, 0, &["up to date at 0003"]);
    run.migrations(&[EDITED_ONE, EDITED_THREE_DOWN])
}

fn edited_files_are_shown_refused_and_accepted_with_yes<D: Database>() {
    let database = D::create("repair");
    let run = edited(&database);
    expect_end(&run, 65, &["0001_one.up.sql was edited", "lockkeeper repair"]);
    expect_end(&run.clone().args(["downgrade", "-1"]), 65, &["0003_three.down.sql was edited"]);
    let (before, before_sums, others) = (rows(&database), checksums(&database), database.query(UNCHANGED_COLUMNS));
    // Standard input is no terminal here.
    assert_log!("refused_without_yes", expect_end(&repair(&run), 64, &["--yes"]));
    assert_eq!(rows(&database), before);

    let finished = expect_end(&repair(&run).arg("--yes"), 0, &["repaired: 2 files accepted"]);
    assert_log!("accepted", finished);
    let both = [before_sums, checksums(&database)];
    for (row, column) in [(0, 0), (2, 1)] {
        for checksums in &both {
            let sum = checksums.lines().nth(row).and_then(|line| line.split('|').nth(column)).expect("a sum");
            finished.says(sum);
        }
    }
    assert_eq!(database.query(UNCHANGED_COLUMNS), others, "more than the checksums was changed");
    assert_log!("nothing_to_repair", expect_end(&repair(&run), 0, &[]));
    assert_log!("nothing_to_repair", expect_end(&repair(&run).arg("--yes"), 0, &[]));

    let four = ("0004_four.up.sql", "create table four (id integer);");
    expect_end(&run.migrations(&[four]), 0, &["up to date at 0004: 1 revision applied"]);
}

fn an_accepted_down_migration_can_be_run<D: Database>() {
    let database = D::create("repair");
    let run = edited(&database);
    expect_end(&repair(&run).arg("--yes"), 0, &[]);
    expect_end(&run.clone().args(["downgrade", "-1"]), 0, &["up to date at 0002: 1 revision undone"]);
    assert!(!database.has_table("three"));
}

/// Differences that are no edited file are named and stay.
fn differences_that_cannot_be_repaired_are_named<D: Database>() {
    let database = D::create("repair");
    let half = ("0004_half.up.sql", "-- no-transaction\ncreate table half (id integer);\nfail;\n");
    let run = run_on(&database, &[ONE, TWO, TWO_DOWN, THREE, THREE_DOWN]);
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().migrations(&[half]), 81, &[]);
    let before = rows(&database);
    remove(&run, "0001_one.up.sql");
    remove(&run, "0003_three.down.sql");
    assert_log!("not_repairable", expect_end(&repair(&run).arg("--yes"), 0, &["nothing to repair"]));
    assert_eq!(rows(&database), before);

    remove(&run, "0004_half.up.sql");
    let run = run.migrations(&[("0002_two.down.sql", "drop table two; -- at last\n")]);
    let finished = expect_end(&repair(&run).arg("--yes"), 0, &["repaired: 1 file accepted"]);
    finished.says("revision 0004 is unfinished (statements that are done: 1)").says("0002_two.down.sql was edited");
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied, 0004 partial, see the journal");
}

/// A history row from before there were down migrations, and a down migration that was added later.
fn a_row_without_a_down_checksum_is_not_changed<D: Database>() {
    let database = D::create("repair");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[("0001_one.down.sql", "drop table one;\n")]);
    expect_end(&repair(&run).arg("--yes"), 0, &["nothing to repair"]);
    database.query("update lockkeeper_history set checksum = 'nonsense'");
    expect_end(&run, 65, &["recorded something else"]);
    expect_end(&repair(&run).arg("--yes"), 0, &["repaired: 1 file accepted"]).says("recorded something else");
    expect_end(&run, 0, &["nothing pending"]);
}

fn a_file_that_cannot_be_read_is_named<D: Database>() {
    let database = D::create("repair");
    let run = edited(&database);
    let before = rows(&database);
    let run = run.file("migrations/0002_two.down.sql", b"\xff\xfe");
    expect_end(&repair(&run).arg("--yes"), 65, &["0002_two.down.sql", "UTF-8", "nothing was changed"]);
    assert_eq!(rows(&database), before);
}

fn another_run_that_holds_the_lock_is_waited_for<D: Database>() {
    let database = D::create("repair");
    let run = edited(&database);
    let before = rows(&database);
    let lock_holder = lock_holder(&database, &run.clone().migrations(&[ONE]));
    let run = run.migrations(&[EDITED_ONE]);
    let impatient = repair(&run).args(["--yes", "--lock-timeout", "0"]);
    expect_end(&impatient, 75, &["another run held the lock", "nothing was changed"]);
    assert_eq!(rows(&database), before);
    let waiting = repair(&run).arg("--yes").spawn();
    waiting.wait_for("waiting for the lock");
    lock_holder.kill();
    waiting.finish().expect_code(0).says("repaired: 2 files accepted");
}

/// Several repairs at once: one of them accepts the files, the others find nothing to do.
fn many_repairs_at_once_succeed<D: Database>() {
    let database = D::create("repair");
    let run = edited(&database);
    let running: Vec<Running> = (0..8).map(|_| repair(&run).args(["--yes", "--json"]).spawn()).collect();
    let finished: Vec<Finished> = running.into_iter().map(Running::finish).collect();
    let mut accepted = 0;
    for one in &finished {
        let result: Value = serde_json::from_str(&one.expect_code(0).stdout).expect("JSON");
        let message = result["message"].as_str().unwrap_or_default();
        accepted += usize::from(message == "repaired: 2 files accepted");
        assert!(message.starts_with("repaired") || message.starts_with("nothing to repair"), "{message}");
    }
    assert_eq!(accepted, 1);
}

/// Runs on a terminal of its own, and returns the file to type into. The output of the terminal counts as stderr.
pub fn on_terminal(run: &Run) -> (Running, File) {
    let fifo = run.dir().join("typed");
    if !fifo.exists() {
        let mut command = Command::new("mkfifo");
        command.arg(&fifo);
        must_run(command);
    }
    let line = "line=; for word in \"$0\" \"$@\"; do line=\"$line '$word'\"; done; \
                exec script -qec \"$line\" /dev/null <typed >&2";
    let running = run.clone().under(["sh", "-c", line]).spawn();
    let typed = File::options().write(true).open(&fifo).expect("the terminal");
    (running, typed)
}

/// The answer that is typed decides.
#[test]
fn on_a_terminal_repair_asks_for_confirmation() {
    for (answer, code, says) in [
        ("n\n", 64, "not accepted: the answer was not y; nothing was changed"),
        ("\n", 64, "not accepted"),
        ("yellow\n", 64, "not accepted"),
        ("\u{4}", 64, "not accepted"),
        ("\u{3}", 130, "stopped by SIGINT; nothing was changed"),
        ("y\n", 0, "repaired: 2 files accepted"),
        ("Yes\n", 0, "repaired: 2 files accepted"),
    ] {
        let database = SqliteFile::create("repair");
        let run = edited(&database);
        let before = rows(&database);
        let (running, mut typed) = on_terminal(&repair(&run));
        running.wait_for("0003_three.down.sql was edited");
        typed.write_all(answer.as_bytes()).expect("type");
        let finished = running.finish();
        finished.expect_code(code).says("accept these 2 files? [y/N]").says(says);
        assert_eq!(rows(&database) == before, code != 0, "after {answer:?}: {finished}");
    }
}

/// Only the files that were shown are accepted.
#[test]
fn files_that_are_edited_during_the_confirmation_are_not_accepted() {
    for later in [("0001_one.up.sql", "create table other (id integer);\n"), ("0002_two.up.sql", "-- late\n")] {
        let database = SqliteFile::create("repair");
        let run = edited(&database);
        let before = rows(&database);
        let (running, mut typed) = on_terminal(&repair(&run));
        running.wait_for("0003_three.down.sql was edited");
        let run = run.migrations(&[later]);
        typed.write_all(b"y\n").expect("type");
        let finished = running.finish();
        finished.expect_code(65).says("what is edited has changed since it was shown").says("nothing was changed");
        assert_eq!(rows(&database), before, "{finished}");
        let (running, mut typed) = on_terminal(&repair(&run));
        running.wait_for("0003_three.down.sql was edited");
        let run = run.migrations(&[ONE, TWO, THREE_DOWN]);
        typed.write_all(b"y\n").expect("type");
        running.finish().expect_code(0).says("nothing to repair any more");
        assert_eq!(rows(&database), before);
        expect_end(&run, 0, &["nothing pending"]);
    }
}

on_either!(
    edited_files_are_shown_refused_and_accepted_with_yes,
    an_accepted_down_migration_can_be_run,
    differences_that_cannot_be_repaired_are_named,
    a_row_without_a_down_checksum_is_not_changed,
    a_file_that_cannot_be_read_is_named,
    another_run_that_holds_the_lock_is_waited_for,
    many_repairs_at_once_succeed,
);
