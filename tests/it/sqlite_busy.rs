//! Tests of SQLite files that another connection keeps locked, or whose disk is full, in the middle of a file without a
//! transaction: that is not the file's fault, and the next run resumes there.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::contract::{check_end, expect_end};
use crate::lock_sqlite::Writer;
use crate::support::binary::{Run, Running};
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

fn run(files: &[(&str, &str)]) -> Run {
    Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

fn journal(path: &Path) -> String {
    sqlite::query(path, "select revision, state, statements_done, statements_total from lockkeeper_history order by 1;")
}

/// Expects that a run ends in the middle of 0002 while another connection to `file` holds `lock`, and reaches 0002 when
/// it is released.
#[track_caller]
fn expect_wait(setup: &str, file: &str, lock: &str, script: &str, done: usize) {
    let run = run(&[("0001_one.sql", "create table one (a);"), ("0002_half.sql", script)]);
    let path = run.dir().join("app.db");
    for name in ["app.db", file] {
        sqlite::query(&run.dir().join(name), &format!("{setup} create table if not exists app (id int);"));
    }
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    let writer = Writer::open(&run.dir().join(file), lock);
    let total = script.matches(';').count();
    let place = format!("0002_half.sql:{}:1: statement {} failed", done + 2, done + 1);
    let verb = if done == 1 { "is" } else { "are" };
    let state = format!("{done} of its statements {verb} already committed");
    let parts = [&place, "SQLite 5", &state, "LOCKKEEPER_LOCK_TIMEOUT", "it goes on at that statement"];
    let finished = expect_end(&run.clone().args(["--lock-timeout", "1s"]), 75, &parts);
    finished.does_not_say("correct that statement").does_not_say("recording it failed");
    drop(writer);
    assert_eq!(journal(&path), format!("0001|applied|1|1\n0002|partial, see the journal|{done}|{total}\n"), "{script}");
    expect_end(&run, 0, &["up to date at 0002"]);
    assert_eq!(journal(&path), format!("0001|applied|1|1\n0002|applied|{total}|{total}\n"), "{script}");
}

#[test]
fn a_lock_in_the_middle_of_a_file_without_a_transaction_ends_with_75() {
    let attached = |statement: &str| {
        format!("-- no-transaction\ncreate table two (a);\nattach 'other.db' as other;\n{statement};\n")
    };
    expect_wait("", "other.db", "begin immediate", &attached("insert into other.app values (1)"), 2);
    expect_wait("", "other.db", "begin exclusive", &attached("create table other.more (a)"), 1);
    let journal_mode =
        "-- no-transaction\ncreate table two (a);\npragma journal_mode = delete;\ncreate table more (a);\n";
    expect_wait("pragma journal_mode = wal;", "app.db", "begin; create temp table app (id int)", journal_mode, 1);
}

#[test]
fn a_full_disk_in_the_middle_of_a_file_without_a_transaction_ends_with_74() {
    let big = "-- no-transaction\ncreate table two (a);\ninsert into two select zeroblob(400000);\nvacuum;\n";
    let run = run(&[("0001_big.sql", big)]);
    let path = run.dir().join("app.db");
    let parts = ["0001_big.sql:3:1: statement 2 failed", "1 of its statements", "disk", "it goes on at that statement"];
    expect_end(&run.clone().under(["prlimit", "--fsize=100000", "--"]), 74, &parts)
        .does_not_say("correct that statement");
    assert_eq!(journal(&path), "0001|partial, see the journal|1|3\n");
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(sqlite::value(&path, "select sum(length(a)) from two;"), "400000");
}

/// Before a file starts there is nothing to record.
#[test]
fn a_file_that_never_started_is_not_reported_as_recorded() {
    for (text, begun) in [("create table two (a);", "in a transaction"), ("-- no-transaction\nvacuum;", "without")] {
        let run = run(&[("0001_one.sql", "create table app (id int);"), ("0002_two.sql", text)]);
        let path = run.dir().join("app.db");
        expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
        let writer = Writer::open(&path, "begin immediate");
        let parts = ["0002_two.sql: it was not begun: ", "SQLite 5", "nothing was changed"];
        expect_end(&run.clone().args(["--lock-timeout", "1s"]), 75, &parts).does_not_say("recording it failed");
        drop(writer);
        assert_eq!(journal(&path), "0001|applied|1|1\n", "{begun}");
    }
}

/// The file's own commit makes the database unreadable for a new connection: the history row was written before that.
#[test]
fn a_database_that_cannot_be_reopened_has_its_revision_recorded() {
    let breaks =
        "pragma writable_schema = on;\nupdate sqlite_schema set sql = 'create table one (' where name = 'one';";
    for header in ["", "-- no-transaction\n"] {
        let run =
            run(&[("0001_one.sql", "create table one (a);"), ("0002_breaks.sql", &format!("{header}{breaks}\n"))]);
        let parts = ["verify: ", "malformed database schema", "2 revisions were applied and kept"];
        expect_end(&run, 65, &parts).does_not_say("recording it failed");
        let rows = "pragma writable_schema = on; select revision, state from lockkeeper_history order by 1;";
        assert_eq!(sqlite::query(&run.dir().join("app.db"), rows), "0001|applied\n0002|applied\n");
    }
}

/// Returns whether the process has the file open.
fn has_open(process: &Running, path: &Path) -> bool {
    let directory = format!("/proc/{}/fd", process.pid());
    let entries = fs::read_dir(directory).map(|entries| entries.flatten().collect::<Vec<_>>());
    entries.unwrap_or_default().iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

/// SQLite leaves WAL mode only when no other connection has the file open.
#[test]
fn processes_that_wait_for_the_lock_close_the_file() {
    let run = run(&[
        ("0001_one.sql", "create table one (a);"),
        ("0002_delete.sql", "-- no-transaction\npragma journal_mode = delete;\n"),
    ]);
    let path = run.dir().join("app.db");
    sqlite::query(&path, "pragma journal_mode = wal; create table app (id int);");
    let writer = Writer::open(&path, "begin immediate");
    let holder = run.clone().args(["--lock-timeout", "30s"]).spawn();
    holder.wait_for("waiting for another connection");
    let holder_in_message = format!("held by pid {}", holder.pid());
    let waiting: Vec<Running> = (0..3).map(|_| run.spawn()).collect();
    for one in &waiting {
        one.wait_for(&holder_in_message);
        wait_until("a waiting process has closed the file", DEFAULT_TIMEOUT, || !has_open(one, &path));
    }
    writer.commit();
    check_end(holder.finish(), 0, &["up to date at 0002"]);
    for one in waiting {
        check_end(one.finish(), 0, &["the database is at 0002"]);
    }
    assert_eq!(sqlite::value(&path, "pragma journal_mode;"), "delete");
}

/// An application that keeps the file locked nearly always, so that the lock comes between two questions of the run.
#[test]
fn a_file_that_is_busy_between_two_questions_is_waited_for() {
    let run = run(&[("0001_one.sql", "create table one (a);")]);
    let path = run.dir().join("app.db");
    sqlite::query(&path, "create table app (id int);");
    let count = |rows: u32| {
        format!(
            "with recursive c(i) as (select 1 union all select i + 1 from c where i < {rows}) select count(*) from c;"
        )
    };
    let round = format!("begin exclusive; {} commit; {}\n", count(400_000), count(8_000));
    let mut writer = Command::new("sqlite3");
    let writer = writer.arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut writer = writer.spawn().expect("sqlite3");
    let mut input = writer.stdin.take().expect("a piped stdin");
    writeln!(input, ".timeout 30000\n{}", round.repeat(40)).expect("sqlite3 reads");
    expect_end(&run, 0, &["up to date at 0001"]);
    drop(input);
    writer.wait().expect("sqlite3 ends");
}
