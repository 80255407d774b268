//! Tests of names and messages that contain line breaks or escape sequences: they must not forge lines of the log or
//! control a terminal.

use std::fs;

use crate::support::binary::{Finished, Run};
use crate::support::postgres::Postgres;
use crate::support::sqlite;

/// A text that a reader would take for the last line of a run.
const FORGED: &str = "00:00:00Z info  up to date at 9999";
/// ESC, C1, a change of direction, and line separators.
const CONTROLS: [char; 8] = ['\u{1b}', '\u{7}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{61c}'];

/// Returns a name with all of these.
fn hostile() -> String {
    format!("x\r\n{FORGED}\n{}", String::from_iter(CONTROLS))
}

/// Runs it in both formats of the log, and checks that no control character is printed.
#[track_caller]
fn expect_no_control_characters(run: &Run, code: i32) -> Finished {
    let mut last = None;
    for format in ["json", "text"] {
        let run = run.clone().arg("--json").env("LOCKKEEPER_LOG_FORMAT", format).env("LOCKKEEPER_LOG", "debug");
        let finished = run.clone().env("LOCKKEEPER_TERMINATION_LOG", "termination").output();
        let message = fs::read_to_string(run.dir().join("termination")).expect("a termination message");
        finished.expect_code(code);
        for text in [&finished.stdout, &finished.stderr, &message] {
            assert!(!text.contains(CONTROLS) && !text.contains('\r'), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("00:00:00Z")), "{finished}");
        }
        assert!(!message.contains('\n'), "{message:?}");
        assert!(finished.stdout.lines().count() <= 1, "{finished}");
        last = Some(finished);
    }
    last.expect("two runs")
}

#[test]
fn notices_and_errors_stay_on_their_line() {
    let database = Postgres::shared().database("injection");
    let text = hostile().replace('\'', "''");
    let run = || Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    let notice = format!("DO $a$ BEGIN RAISE WARNING '{text}'; END $a$; SELECT 1 / 0");
    expect_no_control_characters(&run().migrations(&[("0001_a.sql", &notice)]), 80).says("server: x\\n00:00:00Z info");
    let error =
        format!("DO $a$ BEGIN RAISE EXCEPTION USING MESSAGE = '{text}', DETAIL = '{text}', HINT = '{text}'; END $a$");
    expect_no_control_characters(&run().migrations(&[("0001_a.sql", &error)]), 80).says("x\\n00:00:00Z info");
    let name = format!("SELECT * FROM \"{}\"", hostile().replace('\r', ""));
    expect_no_control_characters(&run().migrations(&[("0001_a.sql", &name)]), 80).says("relation \"x\\n00:00:00Z");
}

#[test]
fn file_names_stay_on_their_line() {
    let name = format!("0001_{}.sql", hostile());
    let run = || Run::new().url("sqlite:///some.db");
    expect_no_control_characters(&run().migrations(&[(&name, "SELECT * FROM nosuch;")]), 80)
        .says("0001_x\\r\\n00:00:00Z info");
    let applied = run().migrations(&[(&name, "CREATE TABLE t (a);")]);
    applied.output().expect_code(0).says("applied 0001_x\\r\\n00:00:00Z info");
    expect_no_control_characters(&applied, 0);
    expect_no_control_characters(&run().arg("--dir").arg(hostile()), 66);
    expect_no_control_characters(&run().arg(hostile()), 64);
}

#[test]
fn table_names_stay_on_their_line() {
    let run = Run::new().url("sqlite:///some.db");
    let name = hostile().replace('\r', "");
    let script = format!(
        "CREATE TABLE \"{name}\" (a INTEGER PRIMARY KEY); CREATE TABLE c (a REFERENCES \"{name}\"); INSERT INTO c VALUES (1);"
    );
    expect_no_control_characters(&run.migrations(&[("0001_a.sql", &script)]), 80).says("c -> x\\n00:00:00Z info");
}

/// Answers for people have only line breaks and colours of our own.
#[test]
fn answers_keep_their_lines_and_colours_only() {
    let name = format!("0001_{}.sql", hostile());
    let run = Run::new().url("sqlite:///some.db").migrations(&[(&name, "CREATE TABLE t (a);")]);
    for words in [&["heads"][..], &["history"], &["upgrade", "--plan"], &["backups"]] {
        let finished = run.clone().args(words.iter().copied()).output();
        finished.expect_code(0);
        assert!(!finished.stdout.contains(CONTROLS) && !finished.stdout.contains('\r'), "{finished}");
        assert!(!finished.stdout.lines().any(|line| line.starts_with("00:00:00Z")), "{finished}");
    }
    run.clone().output().expect_code(0);
    let rename = format!("update lockkeeper_history set applied_by = '{}'", hostile());
    sqlite::query(&run.dir().join("some.db"), &rename);
    let finished = run.arg("history").output();
    finished.expect_code(0).says("x\\r\\n00:00:00Z info");
    assert!(!finished.stdout.contains(CONTROLS), "{finished}");
}
