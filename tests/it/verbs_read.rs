//! Tests of `current`, `history` and `heads`, the commands that only read.

use std::fs;

use serde_json::Value;

use super::output::on_terminal;
use crate::support::binary::{Finished, Run};
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres, quoted};
use crate::support::unique;

const ONE: (&str, &str) = ("0001_one.sql", "create table one (id integer primary key);\n");
const TWO: (&str, &str) = ("0002_add_two_tables.up.sql", "create table two (id integer);\n");
const THREE: (&str, &str) = ("0003_three.sql", "create table three (id integer);\n");
const FOUR: (&str, &str) = ("0004_four.sql", "create table four (id integer);\n");

fn run_on(database: &impl Database, files: &[(&str, &str)]) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

fn remove(run: &Run, name: &str) {
    fs::remove_file(run.dir().join("migrations").join(name)).expect("remove a migration");
}

/// Runs a command, which must succeed with this part in its last line, and returns its output.
#[track_caller]
fn prints(run: &Run, words: &[&str], last: &str) -> String {
    let finished = run.clone().args(words.iter().copied()).output();
    finished.expect_code(0).does_not_say(PASSWORD);
    let line = finished.stderr.lines().last().expect("a last line");
    assert!(line.contains(&format!("{last} code=0")), "{last:?} is not in the last line: {finished}");
    finished.stdout
}

#[track_caller]
fn fails(run: &Run, code: i32, parts: &[&str]) -> Finished {
    let finished = run.output();
    finished.expect_code(code).does_not_say(PASSWORD);
    let line = finished.stderr.lines().last().expect("a last line");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in the last line: {finished}");
    }
    finished
}

#[track_caller]
fn revisions(document: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    value["revisions"].as_array().expect("revisions").clone()
}

/// Gives every row the same time, host, duration and backup: the output of the two databases is the same then.
fn with_equal_columns(database: &impl Database) {
    let constant_columns = "applied_at = '2026-01-12T09:30:05.250Z', applied_by = 'pod-7'";
    database.query(&format!("update lockkeeper_history set {constant_columns}, duration_ms = 12"));
    database.query("update lockkeeper_history set duration_ms = 125900, backup = 'app.dump' where revision = '0001'");
}

/// Returns a document without what differs between the two databases and from version to version.
#[track_caller]
fn masked(document: &str) -> String {
    let value: Value = serde_json::from_str(document).expect("JSON");
    let text = |key: &str| value[key].as_str().expect("a string");
    assert!(["postgresql", "sqlite"].contains(&text("dialect")) && !text("database").is_empty(), "{document}");
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    let database = format!("\"database\": \"{}\"", text("database"));
    let dialect = format!("\"dialect\": \"{}\"", text("dialect"));
    document
        .replace(&database, "\"database\": \"NAME\"")
        .replace(&dialect, "\"dialect\": \"DIALECT\"")
        .replace(&version, "\"VERSION\"")
}

/// Creates a database with a revision in every state but `undoing`, and a migration directory that differs from it.
fn with_every_state(database: &impl Database) -> Run {
    let nine = ("0009_nine.sql", "create table nine (id integer);\n");
    let run = run_on(database, &[ONE, TWO, THREE, FOUR, nine]);
    run.output().expect_code(0);
    remove(&run, "0009_nine.sql");
    let five =
        "-- no-transaction\n-- depends: 0004\ncreate table five (id integer);\ninsert into nowhere values (1);\n";
    let run = run.migrations(&[("0005_five.sql", five)]);
    run.output().expect_code(81);
    remove(&run, "0003_three.sql");
    with_equal_columns(database);
    run.migrations(&[("0002_add_two_tables.up.sql", "create table two (id text);\n"), ("0006_six.sql", "select 6;")])
}

fn history_and_current_show_every_state<D: Database>() {
    let database = D::create("states");
    let run = with_every_state(&database);
    let sum = "the database is at 0009: 3 of 5 revisions are applied, 1 partial, 1 edited, 1 missing, 1 ahead";
    insta::assert_snapshot!("history_every_state", prints(&run, &["history"], sum));
    insta::assert_snapshot!("history_every_state_json", masked(&prints(&run, &["history", "--json"], sum)));
    insta::assert_snapshot!("current_every_state", prints(&run, &["current"], sum));
    insta::assert_snapshot!("current_every_state_json", masked(&prints(&run, &["current", "--json"], sum)));
}

fn a_partial_downgrade_is_shown_with_its_progress<D: Database>() {
    let database = D::create("undoing");
    let down = "-- no-transaction\ndrop table two;\ndrop table nowhere;\n";
    let run = run_on(&database, &[ONE, TWO, ("0002_add_two_tables.down.sql", down)]);
    run.output().expect_code(0);
    run.clone().args(["downgrade", "-1"]).output().expect_code(81);
    with_equal_columns(&database);
    let sum = "the database is at 0001: 1 of 2 revisions are applied, 1 undoing";
    insta::assert_snapshot!("current_undoing", prints(&run, &["current"], sum));
    let printed = prints(&run, &["history", "--json"], sum);
    let two = &revisions(&printed)[1];
    assert_eq!(
        (&two["state"], &two["statements_done"], &two["statements_total"]),
        (&"undoing".into(), &1.into(), &2.into())
    );
}

/// The descendants of a revision without a file are unknown; it is the current revision unless something newer is
/// applied.
fn a_missing_revision_is_current_when_nothing_newer_is_applied<D: Database>() {
    let database = D::create("missing");
    let run = run_on(&database, &[TWO]);
    run.output().expect_code(0);
    with_equal_columns(&database);
    remove(&run, TWO.0);
    let run = run.migrations(&[ONE, THREE]);
    let sum = "the database is at base: 0 of 2 revisions are applied, 1 missing";
    let printed = revisions(&prints(&run, &["current", "--json"], sum));
    assert_eq!((printed.len(), &printed[0]["revision"], &printed[0]["state"]), (1, &"0002".into(), &"missing".into()));
}

fn in_a_forked_graph_the_parents_have_a_column<D: Database>() {
    let database = D::create("forks");
    let branch = ("0003_three.sql", "-- depends: 0001\ncreate table three (id integer);\n");
    let run = run_on(&database, &[ONE, TWO, branch]);
    run.clone().args(["upgrade", "heads"]).output().expect_code(0);
    with_equal_columns(&database);
    let sum = "the database is at 0002, 0003: 3 of 3 revisions are applied";
    insta::assert_snapshot!("current_two_heads", prints(&run, &["current"], sum));
    let run = run.migrations(&[("0004_both.sql", "-- depends: 0002 0003\n")]);
    let sum = "the database is at 0002, 0003: 3 of 4 revisions are applied";
    insta::assert_snapshot!("history_fork", prints(&run, &["history"], sum));
    let parents: Vec<Value> = revisions(&prints(&run, &["history", "--json"], sum))
        .iter()
        .map(|revision| revision["parents"].clone())
        .collect();
    let wanted: Vec<Value> =
        [vec![], vec!["0001"], vec!["0001"], vec!["0002", "0003"]].into_iter().map(Value::from).collect();
    assert_eq!(parents, wanted);
}

/// Reading creates nothing: no table, and on SQLite no file.
fn a_new_database_is_at_base_and_is_not_changed<D: Database>() {
    let database = D::create("fresh");
    let run = run_on(&database, &[ONE, TWO]);
    let sum = "the database is at base: 0 of 2 revisions are applied";
    assert_eq!(prints(&run, &["current"], sum), "no revision is applied\n");
    insta::assert_snapshot!("current_base_json", masked(&prints(&run, &["current", "--json"], sum)));
    insta::assert_snapshot!("history_base", prints(&run, &["history"], sum));
    if let Some(path) = database.url().strip_prefix("sqlite:///") {
        assert!(!fs::exists(path).expect("a directory"), "reading has made {path}");
    }
    assert!(!database.has_table("lockkeeper_history"));
    run.clone().args(["upgrade", "1"]).output().expect_code(0);
    let rows = "select * from lockkeeper_history";
    let before = database.query(rows);
    prints(&run, &["current"], "the database is at 0001: 1 of 2 revisions are applied");
    prints(&run, &["history"], "the database is at 0001: 1 of 2 revisions are applied");
    assert_eq!(database.query(rows), before);
}

/// A revision that runs for ever holds the lock.
fn reading_commands_wait_for_no_run<D: Database>() {
    let database = D::create("unlocked");
    let sleep = match database.url().starts_with("sqlite") {
        true => "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n;",
        false => "select pg_sleep(3600);",
    };
    run_on(&database, &[ONE]).output().expect_code(0);
    let run = run_on(&database, &[ONE, ("0002_sleep.sql", sleep)]);
    let holder = run.spawn();
    // The lock is held by then.
    holder.wait_for("no backup");
    let sum = "the database is at 0001: 1 of 2 revisions are applied";
    let states: Vec<Value> = revisions(&prints(&run, &["history", "--json"], sum))
        .iter()
        .map(|revision| revision["state"].clone())
        .collect();
    assert_eq!(states, ["applied", "pending"]);
    prints(&run, &["current"], sum);
    holder.kill();
}

/// History tables from before there were down migrations lack a column.
fn a_history_table_of_an_older_version_is_read<D: Database>() {
    let database = D::create("old");
    let run = run_on(&database, &[ONE]);
    run.output().expect_code(0);
    let sum = "the database is at 0001: 1 of 1 revision is applied";
    let printed = prints(&run, &["history", "--json"], sum);
    database.query("alter table lockkeeper_history drop column down_checksum");
    assert_eq!(prints(&run, &["history", "--json"], sum), printed);
}

/// The longest texts of the table may contain control characters for a terminal.
fn no_control_character_is_printed<D: Database>() {
    let database = D::create("controls");
    let run = run_on(&database, &[("0001_\u{1b}]0;owned\u{7}\u{9b}31m_加.sql", "select 1;")]);
    run.output().expect_code(0);
    with_equal_columns(&database);
    database.query("update lockkeeper_history set applied_by = 'pod \u{1b}[2J\u{202e}7'");
    let sum = "the database is at 0001: 1 of 1 revision is applied";
    let unfit = |text: &str| text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}');
    for words in [["history"], ["current"]] {
        let text = prints(&run, &words, sum);
        assert!(!unfit(&text), "{text:?}");
        assert!(text.contains("\\u001b]0;owned\\u0007\\u009b31m 加 "), "{text:?}");
        assert!(text.contains("pod \\u001b[2J\\u202e7"), "{text:?}");
        let json = prints(&run, &[words[0], "--json"], sum);
        assert!(!unfit(&json), "{json:?}");
        assert_eq!(revisions(&json)[0]["applied_by"], "pod \u{1b}[2J\u{202e}7");
    }
    assert!(!unfit(&prints(&run, &["heads"], "the head of migrations is 0001")));
}

fn errors_of_the_directory_are_reported_before_connecting<D: Database>() {
    let database = D::create("bad");
    let run = run_on(&database, &[ONE, ("0001_again.sql", "")]);
    for verb in ["current", "history", "heads"] {
        let run = run.clone().arg(verb);
        assert_eq!(fails(&run, 65, &["two files claim revision 0001", "nothing was changed"]).stdout, "");
        fails(&run.clone().args(["--dir", "nowhere"]), 66, &["nowhere"]);
        let printed = fails(&run.arg("--json"), 65, &[]).stdout;
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON")["code"], 65);
    }
}

on_either!(
    history_and_current_show_every_state,
    a_partial_downgrade_is_shown_with_its_progress,
    a_missing_revision_is_current_when_nothing_newer_is_applied,
    in_a_forked_graph_the_parents_have_a_column,
    a_new_database_is_at_base_and_is_not_changed,
    reading_commands_wait_for_no_run,
    a_history_table_of_an_older_version_is_read,
    no_control_character_is_printed,
    errors_of_the_directory_are_reported_before_connecting,
);

/// Times are stored with a time zone of their own, and printed in UTC.
#[test]
fn times_are_in_utc_whatever_the_time_zone_of_the_session() {
    let database = Postgres::shared().database("zone");
    let run = run_on(&database, &[ONE]);
    run.output().expect_code(0);
    database.execute("update lockkeeper_history set applied_at = '2026-07-01 01:30:00.5+02'");
    database.execute(&format!("alter database {} set timezone = 'Asia/Tokyo'", quoted(database.name())));
    let sum = "the database is at 0001: 1 of 1 revision is applied";
    let printed = prints(&run, &["current", "--json"], sum);
    assert_eq!(revisions(&printed)[0]["applied_at"], "2026-06-30T23:30:00.500Z");
    assert!(prints(&run, &["current"], sum).contains(" 2026-06-30 23:30:00Z "));
}

#[test]
fn a_role_that_may_only_read_the_history_is_enough() {
    let database = Postgres::shared().database("reader");
    let run = run_on(&database, &[ONE, TWO]);
    run.output().expect_code(0);
    let role = unique("reader");
    database.execute(&format!("create role {role} login password '{PASSWORD}'"));
    let run = run.url(&database.url_as(&role, PASSWORD));
    for verb in ["current", "history"] {
        fails(&run.clone().arg(verb), 77, &["permission denied", "GRANT SELECT ON", &role]);
    }
    database.execute(&format!("grant select on lockkeeper_history to {role}"));
    for verb in ["current", "history"] {
        prints(&run, &[verb], "the database is at 0002: 2 of 2 revisions are applied");
    }
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn heads_need_no_database() {
    let run = Run::new().url("postgres://nobody:canary7secret@127.0.0.1:1/none");
    let run = run.file("migrations/sqlite/0007_other.sql", "");
    let run = run.file("migrations/postgres/0001_one.sql", "").file("migrations/postgres/0002_two_things.sql", "");
    let sum = "the head of migrations/postgres is 0002";
    insta::assert_snapshot!("heads_one", prints(&run, &["heads"], sum));
    insta::assert_snapshot!("heads_one_json", prints(&run, &["heads", "--json"], sum));
    let run = run.file("migrations/postgres/0003_three.up.sql", "-- depends: 0001\n");
    let sum = "migrations/postgres has 2 heads: 0002, 0003";
    insta::assert_snapshot!("heads_two", prints(&run, &["heads"], sum));
    insta::assert_snapshot!("heads_two_json", prints(&run, &["heads", "--json"], sum));
}

#[test]
fn tables_are_coloured_on_a_terminal_only() {
    let database = SqliteFile::create("colour");
    let run = run_on(&database, &[ONE, TWO]).env("TERM", "xterm");
    run.clone().args(["upgrade", "1"]).output().expect_code(0);
    let coloured = |run: Run| {
        let finished = run.output();
        finished.expect_code(0).says("pending");
        finished.stdout.contains("\x1b[32mapplied\x1b[0m")
    };
    let run = run.arg("history");
    assert!(coloured(on_terminal(run.clone())));
    assert!(coloured(on_terminal(run.clone().env("NO_COLOR", ""))), "an empty NO_COLOR counts as unset");
    assert!(!coloured(on_terminal(run.clone().env("NO_COLOR", "1"))));
    assert!(!coloured(on_terminal(run.clone().arg("--json"))));
    assert!(!coloured(run));
}

/// Returns a run on ten thousand revisions, none of them applied.
fn ten_thousand() -> Run {
    let run = Run::new().url("sqlite:///some.db");
    let files: Vec<String> = (1..=10_000).map(|number| format!("{number:05}_revision.sql")).collect();
    run.migrations(&files.iter().map(|name| (&**name, "select 1;\n")).collect::<Vec<_>>())
}

/// A pager reads a page and then nothing for minutes: the rest of the output must wait for it.
#[test]
fn long_output_is_printed_completely_however_slowly_it_is_read() {
    let run = ten_thousand();
    let sum = "the database is at base: 0 of 10000 revisions are applied";
    assert_eq!(prints(&run, &["history"], sum).lines().count(), 10_001);
    // Longer than any other result waits for its reader; the test asserts that nothing is missing.
    let slow = "\"$0\" \"$@\" | { sleep 4; cat; }; exit \"${PIPESTATUS[0]}\"";
    let printed = prints(&run.clone().under(["bash", "-c", slow]), &["history", "--json"], sum);
    let revisions = revisions(&printed);
    assert_eq!((revisions.len(), &revisions[9_999]["revision"]), (10_000, &"10000".into()));
    // A reader that closes the pipe has read enough.
    let head = "\"$0\" \"$@\" | head -n 1; exit \"${PIPESTATUS[0]}\"";
    let printed = prints(&run.under(["bash", "-c", head]), &["history"], sum);
    assert_eq!(printed.lines().count(), 1);
}

/// Truncated output makes the run fail.
#[test]
fn output_that_cannot_be_printed_completely_is_a_failure() {
    let run = ten_thousand().arg("history");
    let full = run.clone().under(["sh", "-c", "exec \"$0\" \"$@\" >/dev/full"]);
    fails(&full, 74, &["not printed to its end", "No space left", "nothing was changed", "try:"]);
    // Opened for reading and writing: it never breaks, and it is never drained.
    let stuck = "mkfifo stuck; exec 3<>stuck && exec \"$0\" \"$@\" >&3 3>&-";
    let run = run.under(["sh", "-c", stuck]).args(["--deadline", "3s"]);
    fails(&run, 124, &["deadline", "nothing was changed"]);
}
