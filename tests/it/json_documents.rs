//! Tests the keys of the documents of `--json` against `docs/commands.md`, for every command, on success and on
//! failure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contract::run_on;
use crate::support::binary::{Finished, Run};
use crate::support::postgres::Postgres;
use crate::support::sqlite;

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md"));

/// Returns the words in backticks.
fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the rows of the table that begins with this header: the first cell, and the words in backticks of the other
/// cells.
fn table(header: &str) -> Vec<(String, Vec<String>)> {
    let (_, rows) = GUIDE.split_once(header).expect(header);
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    let split = |line: &str| {
        let (first, rest) = line.trim_matches('|').split_once('|').expect("two cells");
        (first.trim().to_owned(), words(rest))
    };
    rows.map(split).collect()
}

/// Returns the keys of each document and of its parts, by the first cell of their row.
fn documents() -> BTreeMap<String, BTreeSet<String>> {
    table("| document | keys |").into_iter().map(|(name, keys)| (name, keys.into_iter().collect())).collect()
}

/// Returns the keys of a result.
fn result() -> BTreeSet<String> {
    table("| key | meaning |").iter().flat_map(|(cell, _)| words(cell)).collect()
}

/// Returns the commands that the guide lists.
fn commands() -> BTreeSet<String> {
    let rows = table("| verb | what it does | writes to | lock, backup |");
    let names = rows.iter().flat_map(|(cell, _)| words(cell));
    names.filter_map(|name| name.split(' ').next().map(str::to_owned)).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[track_caller]
fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished}"))
}

/// Runs commands with `--json`, records which, and returns the only document that each prints.
struct Recorder {
    run: Run,
    commands: BTreeSet<String>,
}

impl Recorder {
    #[track_caller]
    fn ask(&mut self, code: i32, arguments: &[&str]) -> Value {
        self.commands.insert(arguments[0].to_owned());
        let finished = self.run.clone().args(arguments.iter().copied()).arg("--json").output();
        finished.expect_code(code);
        document(&finished)
    }

    /// Expects that the document is a result.
    #[track_caller]
    fn result(&mut self, code: i32, arguments: &[&str]) -> Value {
        let value = self.ask(code, arguments);
        assert_eq!(keys(&value), result(), "{arguments:?}");
        assert_eq!(value["code"], code, "{arguments:?}");
        for (key, is_failure) in [("stage", code != 0), ("advice", code != 0)] {
            assert_eq!(value[key].is_string(), is_failure, "{key} of {arguments:?}: {value}");
        }
        for key in ["applied", "undone", "differences"] {
            assert!(value[key].is_array(), "{key} of {arguments:?}: {value}");
        }
        value
    }
}

const FILES: [(&str, &str); 3] = [
    ("0001_one.up.sql", "create table one (id integer primary key, name text);"),
    ("0001_one.down.sql", "drop table one;"),
    ("0002_two.sql", "-- no-transaction\ncreate table two (id integer primary key);"),
];

#[test]
fn every_command_prints_the_documents_of_the_guide() {
    let documents = documents();
    let part = |name: &str| documents.get(name).unwrap_or_else(|| panic!("{name} is not in {documents:?}"));
    let run = Run::new().url("sqlite:///app.db").migrations(&FILES);
    let mut recorder = Recorder { run, commands: BTreeSet::new() };
    recorder.result(2, &["check"]);
    recorder.result(69, &["wait", "--migrated", "--wait-timeout", "600ms"]);
    let plan = recorder.ask(0, &["upgrade", "--plan"]);
    assert_eq!(&keys(&plan), part("`upgrade --plan`, `downgrade --plan`"));
    assert_eq!(&keys(&plan["steps"][0]), part("each of `steps`"));
    recorder.result(0, &["upgrade"]);
    recorder.result(65, &["downgrade", "0001"]);
    for verb in ["current", "history"] {
        let value = recorder.ask(0, &[verb]);
        assert_eq!(&keys(&value), part("`current`, `history`"));
        assert_eq!(&keys(&value["revisions"][0]), part("each of their `revisions`"));
    }
    let heads = recorder.ask(0, &["heads"]);
    assert_eq!(&keys(&heads), part("`heads`"));
    assert_eq!(&keys(&heads["revisions"][0]), part("each of its `revisions`"));
    recorder.result(0, &["check"]);
    recorder.result(0, &["check", "--offline"]);
    recorder.result(0, &["wait"]);
    recorder.result(0, &["wait", "--migrated"]);
    recorder.result(0, &["stamp", "0001"]);
    recorder.result(0, &["repair"]);
    recorder.result(0, &["revision", "-m", "three"]);
    recorder.result(64, &["merge"]);
    let taken = recorder.result(0, &["backup"]);
    let backup = taken["backup"].as_str().expect("the backup of this run");
    let list = recorder.ask(0, &["backups"]);
    let newest = list.as_array().and_then(|rows| rows.last()).expect("a backup");
    assert_eq!((&keys(newest), newest["file"].as_str()), (part("each of `backups`"), Some(backup)));
    assert_eq!(&keys(&newest["manifest"]), part("its `manifest`"));
    recorder.result(64, &["restore", backup]);
    recorder.result(0, &["restore", backup, "--yes"]);
    recorder.result(0, &["export", "rows.json"]);
    recorder.result(64, &["export", "rows.json"]);
    recorder.result(64, &["guard"]);
    recorder.result(78, &["transfer", "--from", "sqlite:///app.db"]);
    recorder.result(78, &["compare", "--from", "sqlite:///app.db"]);
    recorder.result(0, &["adopt", "--to", "native"]);
    let other =
        "create table schema_migrations (version uint64, dirty bool); insert into schema_migrations values (1, 0)";
    sqlite::query(&recorder.run.dir().join("app.db"), other);
    let plan = recorder.ask(0, &["adopt", "--to", "sqlx", "--plan"]);
    assert_eq!(&keys(&plan), part("`adopt --plan`"));
    assert_eq!(&keys(&plan["rows"][0]), part("each of its `rows`"));
    recorder.result(64, &["adopt", "--to", "nowhere"]);
    from_sqlite_to_postgresql(&mut recorder, &documents);
    // Its script is printed to standard output instead of a document; its failures are documents.
    recorder.result(64, &["completions", "no-such-shell"]);
    assert_eq!(recorder.commands, commands());
}

fn from_sqlite_to_postgresql(recorder: &mut Recorder, documents: &BTreeMap<String, BTreeSet<String>>) {
    let database = Postgres::shared().database("json");
    let run = run_on(&database, &[("0001_one.sql", "create table one (id bigint primary key, name text);")]);
    sqlite::query(
        &run.dir().join("source.db"),
        "create table one (id integer primary key, name text); insert into one values (1, 'a');",
    );
    let from = ["--from", "sqlite:///source.db"];
    recorder.run = run;
    recorder.result(0, &["upgrade"]);
    let plan = recorder.ask(0, &["transfer", "--plan", from[0], from[1]]);
    assert_eq!(&keys(&plan), &documents["`transfer --plan`"]);
    assert_eq!(&keys(&plan["tables"][0]), &documents["each of `tables`"]);
    assert_eq!(&keys(&plan["tables"][0]["columns"][0]), &documents["each of `columns`"]);
    recorder.result(87, &["compare", from[0], from[1]]);
    recorder.result(0, &["transfer", from[0], from[1]]);
    recorder.result(0, &["compare", from[0], from[1]]);
    recorder.result(0, &["export", "rows.json"]);
    database.execute("delete from one");
    recorder.result(0, &["import", "rows.json"]);
    recorder.result(78, &["import", "rows.json"]);
}

/// Nothing is known about an invalid command line but that a document is requested.
#[test]
fn errors_of_the_command_line_are_documents_too() {
    for arguments in [
        &["--json", "no-such-verb"][..],
        &["upgrade", "--no-such-flag", "--json"],
        &["downgrade", "--json"],
        &["--json", "--wait-timeout", "soon"],
        &["check", "--json=yes"],
        &["stamp", "--json", "0001", "0002"],
        &["--json", "upgrade", "nowhere+"],
        &["--json", "heads", "--", "program"],
    ] {
        let run = Run::new().url("sqlite:///app.db").migrations(&FILES).args(arguments.iter().copied());
        let finished = run.output();
        let value = document(&finished);
        assert_eq!(keys(&value), result(), "{finished}");
        assert_eq!((value["code"].as_i64(), finished.code), (finished.code.map(i64::from), finished.code));
        assert!([Some(64), Some(78)].contains(&finished.code), "{finished}");
        assert!(value["message"].as_str().is_some_and(|text| !text.is_empty()), "{finished}");
    }
    // Everything after -- belongs to the program.
    let finished = Run::new().url("sqlite:///app.db").args(["no-such-verb", "--", "echo", "--json"]).output();
    assert_eq!(finished.expect_code(64).stdout, "");
}
