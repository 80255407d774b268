//! Tests of the output of a run: closed and blocked outputs, the termination message, JSON, colours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::support::binary::{Finished, Run};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::postgres_program;
use crate::support::sqlite;

const GOOD: (&str, &str) = ("0001_t.sql", "CREATE TABLE t (a);");

fn sqlite_run() -> Run {
    Run::new().url("sqlite:///some.db").migrations(&[GOOD])
}

fn tables(run: &Run) -> String {
    sqlite::value(&run.dir().join("some.db"), "select count(*) from sqlite_schema where name = 't';")
}

/// A run works with closed standard streams.
#[test]
fn closed_outputs_change_nothing() {
    for closing in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let run = sqlite_run().under(["sh", "-c", &format!("exec \"$0\" \"$@\" {closing}")]).arg("--json");
        run.output().expect_code(0);
        assert_eq!(tables(&run), "1", "{closing}");
        let run = run.migrations(&[("0002_bad.sql", "SELECT * FROM no_such_table;")]);
        run.output().expect_code(80);
    }
}

/// The reader of the log has ended, and SIGPIPE must not end a migration.
#[test]
fn a_log_reader_that_has_ended_changes_nothing() {
    let text = "\"$0\" \"$@\" 2>&1 | true; echo \"${PIPESTATUS[0]}\"";
    let run = sqlite_run().under(["bash", "-c", text]).env("LOCKKEEPER_LOG", "debug");
    assert_eq!(run.output().stdout, "0\n");
    assert_eq!(tables(&run), "1");
}

/// The pipe is full and nobody reads it. A run that waited for its reader would never end.
#[test]
fn a_reader_that_stops_reading_does_not_stop_a_migration() {
    let database = Postgres::shared().database("stalled");
    let notices = "CREATE TABLE t (a int); DO $$ BEGIN FOR i IN 1..4000 LOOP RAISE NOTICE 'notice % %', i, repeat('x', 100); END LOOP; END $$;";
    for format in ["text", "json"] {
        let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_LOG_FORMAT", format);
        let run = run.env("LOCKKEEPER_HISTORY_TABLE", format).migrations(&[("0001_noise.sql", notices)]);
        // Opened for reading and writing: it never breaks, and it is never drained.
        let stuck = "[ -p stuck ] || mkfifo stuck; exec 3<>stuck && exec \"$0\" \"$@\" >&3 2>&3 3>&-";
        // The result waits a while for its reader: once is enough.
        let run = run.under(["sh", "-c", stuck]).args((format == "json").then_some("--json"));
        run.output().expect_code(0).within(Duration::from_secs(30));
        assert_eq!(database.value(&format!("select state from {format}")), "applied");
        database.execute("drop table t");
        let run = run.migrations(&[("0002_bad.sql", &format!("{notices} SELECT 1 / 0;"))]);
        run.output().expect_code(80).within(Duration::from_secs(30));
        assert_eq!(database.value("select to_regclass('t') is null"), "t");
    }
}

/// Returns the termination message that a run writes, and checks what holds for every message.
#[track_caller]
fn termination(run: &Run, code: i32) -> String {
    let run = run.clone().env("LOCKKEEPER_TERMINATION_LOG", "termination");
    let finished = run.output();
    finished.expect_code(code);
    let bytes = fs::read(run.dir().join("termination")).unwrap_or_else(|error| panic!("{error}: {finished}"));
    assert!(bytes.len() <= 1000, "{} bytes", bytes.len());
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(!text.contains(['\n', '\r']), "{text}");
    assert!(text.starts_with(&format!("lockkeeper: exit {code} (")), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert_eq!(text.contains("; try: "), code != 0, "{text}");
    text
}

/// Kubernetes takes at most 4096 bytes, so the message is truncated at a character and has no line breaks.
#[test]
fn the_termination_message_is_short_valid_and_on_one_line() {
    let run = sqlite_run();
    assert!(termination(&run, 0).ends_with("up to date at 0001: 1 revision applied"));
    assert!(termination(&run, 0).contains("nothing pending"));
    termination(&run.clone().arg("--wrong"), 64);
    termination(&run.clone().env("LOCKKEEPER_LOG", "loud"), 78);
    termination(&run.clone().arg("--dir").arg("nowhere"), 66);
    termination(&run.clone().args(["--", "no-such-program"]), 127);

    let database = Postgres::shared().database("termination");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    for shift in 0..4 {
        // Characters of one, two, three and four bytes, so that every truncation would divide one.
        let raise = format!(
            "DO $$ BEGIN RAISE EXCEPTION E'{}%\\nsecond\\r\\nline', repeat('ü€𝄞', 3000); END $$;",
            "a".repeat(shift)
        );
        let text = termination(&run.clone().migrations(&[("0001_raise.sql", &raise)]), 80);
        assert!(text.contains("ü€𝄞") && text.ends_with("; try: correct the file and run again"), "{text}");
        assert!(text.len() > 990, "{}", text.len());
    }
}

/// The content of an older message must not remain behind a shorter one.
#[test]
fn the_termination_message_replaces_an_older_one_and_may_fail() {
    let run = sqlite_run().file("termination", "#".repeat(5000));
    assert!(!termination(&run, 0).contains('#'));
    for path in ["no/such/directory/file", ".", "/proc/version"] {
        sqlite_run().env("LOCKKEEPER_TERMINATION_LOG", path).output().expect_code(0);
        sqlite_run().env("LOCKKEEPER_TERMINATION_LOG", path).arg("--wrong").output().expect_code(64);
    }
}

/// Expects that every line of stderr is a JSON object with level and message; returns the messages.
#[track_caller]
fn json_lines(finished: &Finished) -> Vec<String> {
    assert!(!finished.stderr.is_empty(), "{finished}");
    let messages = finished.stderr.lines().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?} in {finished}"));
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}")).to_owned();
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&text("level").as_str()), "{line}");
        assert!(value["timestamp"].is_string(), "{line}");
        text("message")
    });
    messages.collect()
}

/// An empty variable counts as unset, so the format is `auto` without a terminal.
#[test]
fn the_log_is_json_without_a_terminal() {
    for format in ["", "auto", "json"] {
        let run = sqlite_run().env("LOCKKEEPER_LOG_FORMAT", format);
        let messages = json_lines(run.output().expect_code(0));
        assert!(messages.last().is_some_and(|last| last.starts_with("up to date at 0001")), "{messages:?}");
        json_lines(run.clone().arg("--wrong").output().expect_code(64));
        json_lines(run.clone().arg("no-such-command").output().expect_code(64));
        json_lines(run.clone().env("LOCKKEEPER_LOG", "loud").output().expect_code(78));
        json_lines(run.env("DATABASE_URL", "nonsense\n\"://\u{1b}[31m").output().expect_code(78));
    }
    // An invalid format counts as the one for machines.
    json_lines(sqlite_run().env("LOCKKEEPER_LOG_FORMAT", "xml").output().expect_code(78));
}

/// Control characters and quotes in the messages of servers and tools are escaped.
#[test]
fn messages_of_servers_and_tools_are_valid_json_too() {
    let database = Postgres::shared().database("json");
    database.execute("create table precious (a int)");
    let notices = r#"DO $$ BEGIN RAISE NOTICE E'"quoted" \\ back\nnew line\ttab \x1b[31m ünï'; RAISE WARNING E'careful\r'; END $$;"#;
    let tool = format!(
        "#!/bin/sh\nprintf 'odd \\377 bytes \\033[31m \"quoted\"\\n\\001\\n' >&2\ncase \"$*\" in *--no-password*) env >&2 ;; esac\nexec {} \"$@\"\n",
        postgres_program("pg_dump").display()
    );
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_LOG_FORMAT", "json").file("tools/pg_dump", tool);
    let path = run.dir().join("tools/pg_dump");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    let run = run.env("LOCKKEEPER_PG_DUMP", path.display().to_string()).migrations(&[("0001_notices.sql", notices)]);
    let finished = run.output();
    let messages = json_lines(finished.expect_code(0).does_not_say(PASSWORD));
    assert!(messages.iter().any(|message| message.contains("\"quoted\" \\ back\nnew line\ttab")), "{messages:?}");
    assert!(messages.iter().any(|message| message.contains("odd \u{fffd} bytes")), "{messages:?}");
    assert!(messages.iter().any(|message| message == "PGPASSWORD=***"), "{messages:?}");
    let notice = finished.stderr.lines().find(|line| line.contains("back\\nnew")).expect("the notice");
    assert!(notice.contains("0001_notices.sql"), "a notice names its file: {notice}");
}

/// The documented keys are there in text and in JSON logs, for success and failure.
#[test]
fn the_result_is_one_json_object() {
    let keys = |finished: &Finished| -> Vec<String> {
        assert_eq!(finished.stdout.lines().count(), 1, "{finished}");
        let value: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        assert_eq!(value["code"].as_i64(), finished.code.map(i64::from), "{finished}");
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let database = Postgres::shared().database("result");
    database.execute("create table precious (a int)");
    let run = Run::new().url(&database.url()).arg("--json").migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]);
    let all = [
        "advice",
        "applied",
        "backup",
        "class",
        "code",
        "database",
        "differences",
        "duration_ms",
        "message",
        "name",
        "revision",
        "stage",
        "undone",
    ];
    let applied = run.output();
    assert_eq!(keys(applied.expect_code(0)), all);
    let value: Value = serde_json::from_str(&applied.stdout).expect("JSON");
    assert_eq!((&value["applied"], &value["revision"]), (&Value::from(vec!["0001"]), &Value::from("0001")));
    assert!(run.dir().join(value["backup"].as_str().expect("a file")).exists());
    assert_eq!(keys(run.output().expect_code(0)), all);
    let failing = run.clone().migrations(&[("0002_bad.sql", "SELECT 1 / 0;")]);
    assert_eq!(keys(failing.output().expect_code(80)), all);
    assert_eq!(keys(run.env("LOCKKEEPER_LOG", "loud").output().expect_code(78)), all);
}

/// Runs with a terminal as stdout and stderr.
pub fn on_terminal(run: Run) -> Run {
    // Each word is quoted for the shell that `script` starts.
    let text =
        "line=; for word in \"$0\" \"$@\"; do line=\"$line '$word'\"; done; exec script -qec \"$line\" /dev/null";
    run.under(["sh", "-c", text])
}

#[test]
fn colours_are_for_terminals_only() {
    let coloured = |run: Run| {
        let finished = run.output();
        finished.expect_code(0).says("up to date at 0001");
        finished.stdout.contains('\x1b') || finished.stderr.contains('\x1b')
    };
    for format in ["auto", "text"] {
        let run = || sqlite_run().env("LOCKKEEPER_LOG_FORMAT", format).env("TERM", "xterm");
        assert!(coloured(on_terminal(run())), "{format} on a terminal");
        assert!(coloured(on_terminal(run().env("NO_COLOR", ""))), "an empty NO_COLOR counts as unset");
        assert!(!coloured(on_terminal(run().env("NO_COLOR", "1"))), "{format} with NO_COLOR");
        assert!(!coloured(run()), "{format} in a pipe");
    }
    assert!(!coloured(on_terminal(sqlite_run().env("LOCKKEEPER_LOG_FORMAT", "json"))), "JSON has none");
}
