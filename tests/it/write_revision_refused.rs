//! Tests of what `lockkeeper transfer --write-revision` refuses: values that PostgreSQL cannot store are named by
//! table, key and reason; no file remains.

use std::fs;
use std::path::Path;

use crate::support::sqlite;
use crate::transfer::expect_last_line;
use crate::write_revision::{command, source, transfer_with_revision, write_revision};

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join("migrations")).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[track_caller]
fn expect_refused(sql: &str, flags: &[&str], code: i32, words: &[&str]) {
    let run = source(sql);
    expect_last_line(&write_revision(&run, flags), code, words);
    assert_eq!(files(run.dir()), [""; 0], "{sql}");
}

#[test]
fn values_that_fit_no_type_are_refused_with_a_flag_that_helps() {
    const MIXED: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME);
        INSERT INTO t VALUES (1, '2024-01-01'), (7, 1700000000);";
    expect_refused(
        MIXED,
        &[],
        65,
        &["t.at, rowid 7 holds 1700000000", "numbers and texts", "--cast t.at=as-text", "--exclude t"],
    );
    transfer_with_revision(MIXED, &["--cast", "t.at=as-text"])
        .has("at text")
        .value("select at from t where id = 7", "1700000000");
    transfer_with_revision(MIXED, &["--cast", "t.at=unix-s"]).has("at timestamptz");
    const NUL: &str = "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
        INSERT INTO t VALUES ('a', 'b'), ('c', CAST(x'610062' AS TEXT));";
    expect_refused(NUL, &[], 65, &["t.v, k = 'c' holds", "a NUL or are not UTF-8", "--cast t.v=utf8"]);
    transfer_with_revision(NUL, &["--cast", "t.v=utf8"])
        .has("v bytea")
        .value("select v from t where k = 'c'", "\\x610062");
    const BLOBS: &str = "CREATE TABLE t (v); INSERT INTO t VALUES (1), ('x'), (x'ff')";
    expect_refused(BLOBS, &[], 65, &["t.v, rowid 2 holds 'x'", "--cast t.v=as-text --cast t.v=hex"]);
    transfer_with_revision(BLOBS, &["--cast", "t.v=as-text", "--cast", "t.v=hex"])
        .value("select string_agg(v, ' ') from t", "1 x ff");
    transfer_with_revision(&format!("{BLOBS}; CREATE TABLE u (v INT)"), &["--exclude", "t"]).has("CREATE TABLE u");
}

/// Many casts are one command, which works in a shell.
#[test]
fn all_missing_casts_are_printed_as_one_command() {
    const MANY: &str = "CREATE TABLE t (a, \"b c\"); INSERT INTO t VALUES (1, 2), ('x', x'ff'), (2, 'y');
        CREATE TABLE u (v INT, w INT); INSERT INTO u VALUES (1, 5), ('x', 6); CREATE TABLE left_out (v INT)";
    let run = source(MANY);
    let finished = write_revision(&run, &["--exclude", "left_out"]);
    expect_last_line(&finished, 65, &["and 2 more, named above"]);
    let printed = &finished.stderr;
    let command = printed.split("with all of these casts: lockkeeper ").nth(1).and_then(|rest| rest.lines().next());
    let command = command.unwrap_or_else(|| panic!("{finished}"));
    for flag in ["--exclude left_out", "--cast t.a=as-text", "--cast 't.b c=as-text'", "--cast u.v=as-text"] {
        assert!(command.contains(flag), "{command}");
    }
    let words = shell_words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    expect_last_line(&run.clone().args(words).url("postgresql://nobody@127.0.0.1:1/none").output(), 0, &["2 tables"]);
}

/// Returns the words that a shell makes of a line.
fn shell_words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {line}");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("words").lines().map(Into::into).collect()
}

/// The printed command works as it is printed.
#[test]
fn a_flag_for_a_name_that_begins_with_dashes_uses_an_equals_sign() {
    const DASHES: &str = "CREATE TABLE \"--t\" (v); INSERT INTO \"--t\" VALUES (1), ('x')";
    expect_refused(DASHES, &[], 65, &["--cast=--t.v=as-text makes them one", "--exclude=--t leaves the table out"]);
    transfer_with_revision(DASHES, &["--cast=--t.v=as-text"])
        .has("--   --cast=--t.v=as-text\n")
        .value("select string_agg(v, ' ') from \"--t\"", "1 x");
}

#[test]
fn every_table_that_cannot_be_created_is_named_before_anything_is_written() {
    let wide: Vec<String> = (0..1700).map(|at| format!("c{at}")).collect();
    let long = "n".repeat(64);
    let sql = format!(
        "CREATE TABLE sys (xmin INT); CREATE TABLE wide ({}); CREATE TABLE {long} (v INT);
         CREATE TABLE cols ({long} INT); CREATE TABLE nameless (\"\" INT); CREATE TABLE lockkeeper_history (v INT);",
        wide.join(", ")
    );
    let run = source(&sql);
    let finished = write_revision(&run, &[]);
    expect_last_line(&finished, 65, &["and 5 more, named above", "nothing was changed"]);
    for words in [
        "sys: column xmin: every table of PostgreSQL has a column of this name",
        "wide: it has 1700 columns, and a table of PostgreSQL 1600 at most",
        &format!("{long}: its name has 64 bytes"),
        "cols: column n",
        "nameless: column : its name is empty",
        "lockkeeper_history: Lockkeeper's own history has this name",
    ] {
        finished.says(words);
    }
    assert_eq!(files(run.dir()), [""; 0]);
}

#[test]
fn rows_and_index_entries_that_exceed_a_page_are_found_before_the_transfer() {
    let columns: Vec<String> = (0..1200).map(|at| format!("c{at} INT DEFAULT 7")).collect();
    let wide = format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {});", columns.join(", "));
    expect_refused(
        &format!("{wide} INSERT INTO wide (id) VALUES (3)"),
        &[],
        65,
        &["wide, rowid 3: its values need", "8000"],
    );
    transfer_with_revision(&wide, &[]).value("select count(*) from wide", "0");
    transfer_with_revision(
        "CREATE TABLE t (body TEXT); CREATE INDEX i ON t (lower(body)); INSERT INTO t VALUES (hex(randomblob(4000)))",
        &[],
    )
    .has("-- Not carried of t: its expression may be longer than an entry of an index.")
    .value("select length(body) from t", "8000");
}

#[test]
fn invalid_flags_and_directories_leave_nothing_behind() {
    const T: &str = "CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('x')";
    expect_refused(T, &["--cast", "t.v=unix-parsec"], 64, &["t.v: --cast: \"unix-parsec\" is no rule"]);
    // The transfer itself knows that, too, before it connects to any server.
    let magic = command(&source(T), "transfer", &["--cast", "t.v=magic"]).url("postgresql://nobody@127.0.0.1:1/none");
    expect_last_line(&magic.output(), 64, &["t.v: --cast: \"magic\" is no rule: the rules are unix-s", "as-text"]);
    expect_refused(T, &["--cast", "t.w=utf8"], 64, &["t.w: --cast names it"]);
    expect_refused(T, &["--only", "u"], 64, &["u: --only names it"]);
    expect_refused(T, &["--exclude", "t"], 65, &["there is no table to be carried"]);
    expect_refused(T, &["--timezone", "Mars"], 64, &["--timezone"]);
    expect_refused("CREATE VIEW v AS SELECT 1", &[], 65, &["there is no table to be carried"]);
    expect_last_line(&write_revision(&source(T).env("LOCKKEEPER_DIR", "gone"), &[]), 66, &["gone"]);
    let run = source(T);
    fs::write(run.dir().join("source.db"), "no database at all, but long enough").expect("write");
    expect_last_line(&write_revision(&run, &[]), 65, &["source.db"]);
    assert_eq!(files(run.dir()), [""; 0]);
    let both = write_revision(&source(T), &["--plan"]);
    both.expect_code(64);
}

#[test]
fn a_source_that_is_being_written_is_read_at_one_moment_and_not_changed() {
    let run = source("PRAGMA journal_mode = WAL; CREATE TABLE t (v INT); INSERT INTO t VALUES (1)");
    let path = run.dir().join("source.db");
    let before = fs::read(&path).expect("the source");
    expect_success(&run);
    assert_eq!(fs::read(&path).expect("the source"), before);
    assert_eq!(sqlite::value(&path, "select count(*) from t"), "1");
}

#[track_caller]
fn expect_success(run: &crate::support::binary::Run) {
    write_revision(run, &[]).expect_code(0).says("revision 0001 written: 1 table; review it");
}
