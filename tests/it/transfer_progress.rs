//! Tests of the progress of a transfer: a line that is redrawn on a terminal, and never in a log.

use std::fs;

use rustix::process::Signal;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::process::send_signal;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};
use crate::transfer::expect_last_line;

/// Runs a program on a pseudo-terminal and copies its output to standard error.
const TERMINAL: &str =
    "import os, pty, sys; os.dup2(2, 1); sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

/// Creates a transfer that waits at its third row until nobody locks `gate`.
fn waiting_transfer() -> (PgDatabase<'static>, Run) {
    let database = Postgres::shared().database("progress");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    sqlite::query(
        &run.dir().join("source.db"),
        "create table t (id integer primary key, words text); \
         insert into t select value, printf('%0100d', value) from generate_series(1, 20000);",
    );
    let to = "create table gate (); create function ask(id int) returns boolean language plpgsql as \
         $$ begin if id = 3 then perform from gate; end if; return true; end $$; \
         create table t (id int primary key check (ask(id)), words text);";
    let run = run.migrations(&[("0001_tables.sql", to)]).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "120s");
    Run::clone(&run).output().expect_code(0);
    (database, run.args(["transfer", "--from", "sqlite:///source.db"]))
}

fn on_a_terminal(run: &Run, term: &str) -> Run {
    run.clone()
        .under(["python3", "-c", TERMINAL, "sh", "-c", "stty rows 24 cols 200; exec \"$0\" \"$@\""])
        .env("TERM", term)
        .env("LOCKKEEPER_LOG_FORMAT", "auto")
}

#[test]
fn a_terminal_shows_rows_speed_and_remaining_time() {
    let (database, run) = waiting_transfer();
    let mut gate_session = database.session();
    gate_session.run("begin; lock table gate");
    let running = on_a_terminal(&run, "xterm").spawn();
    for words in ["copying t: ", " of ~20,000 rows, ", " s left, ", " rows/s, ", "iB, ", "iB/s"] {
        wait_until(words, DEFAULT_TIMEOUT, || running.stderr().contains(words));
    }
    gate_session.run("commit");
    let finished = running.finish();
    finished.expect_code(0).says("transferred 1 table, 20000 rows").says("comparing t");
    // The progress line is removed before a line is logged.
    let is_line = |line: &&str| line.contains("copied t to");
    let text = finished.stderr.replace("\r\n", "\n");
    let line = text.lines().find(is_line).unwrap_or_else(|| panic!("no such line: {finished}"));
    let progress = line.rsplit('\r').next().unwrap_or_default();
    assert!(!progress.contains("copying"), "{progress:?}");
    database.execute("truncate t");
    let dumb = on_a_terminal(&run, "dumb").output();
    dumb.expect_code(0).does_not_say("copying t").does_not_say("comparing t");
}

/// A line of the log must not follow the progress on the same line.
#[test]
fn a_line_of_the_log_replaces_the_progress() {
    let (database, run) = waiting_transfer();
    let mut gate_session = database.session();
    gate_session.run("begin; lock table gate");
    let running = on_a_terminal(&run, "xterm").spawn();
    wait_until("rows", DEFAULT_TIMEOUT, || running.stderr().contains("copying t: "));
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let child = fs::read_to_string(children).expect("the children of the terminal");
    send_signal(child.trim().parse().expect("one child"), Signal::TERM);
    let finished = running.finish();
    finished.expect_code(143);
    let position = finished.stderr.find("stopped by SIGTERM: ending").expect("the line");
    let begin = finished.stderr[..position].rfind('\r').expect("a beginning");
    let line = &finished.stderr[begin..position];
    assert!(line.starts_with("\r\u{1b}[2K") && !line.contains("copying"), "{line:?}");
    assert_eq!(database.value("select count(*) from t"), "0");
}

#[test]
fn a_log_contains_only_complete_lines() {
    let (database, run) = waiting_transfer();
    let clean = |finished: &Finished| {
        expect_last_line(finished, 0, &["20000 rows"]);
        finished.does_not_say("\u{1b}").does_not_say("\r").does_not_say("copying t");
    };
    clean(&run.output());
    let json = run.clone().env("LOCKKEEPER_LOG_FORMAT", "json");
    database.execute("truncate t");
    let finished = json.output();
    finished.expect_code(0).does_not_say("copying t");
    for line in finished.stderr.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

/// The name of a table could contain escape sequences for the terminal.
#[test]
fn a_table_name_sends_no_escape_sequences() {
    let database = Postgres::shared().database("progress_name");
    let name = "t\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    let table = format!("create table \"{name}\" (id int primary key);");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    sqlite::query(&run.dir().join("source.db"), &format!("{table} insert into \"{name}\" values (1);"));
    let run = run.migrations(&[("0001_tables.sql", &table)]);
    let run = run.args(["transfer", "--from", "sqlite:///source.db"]);
    let finished = on_a_terminal(&run, "xterm").output();
    finished.expect_code(0).says("copying t\\u001b]0;owned\\u0007\\u009b2J\\u202e");
    for order in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}"] {
        finished.does_not_say(order);
    }
}
