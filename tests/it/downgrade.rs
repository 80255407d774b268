//! Tests of downgrade: what each target means, what is undone, and that a backup is taken first.

use std::fs;

use serde_json::{Value, json};

use crate::contract::{expect_end, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::either::Database;

/// Five revisions; each creates a table and has a down migration.
pub const FIVE: [(&str, &str); 10] = [
    ("0001_one.up.sql", "create table one (id integer);\n"),
    ("0001_one.down.sql", "drop table one;\n"),
    ("0002_two.up.sql", "create table two (id integer);\n"),
    ("0002_two.down.sql", "drop table two;\n"),
    ("0003_three.up.sql", "create table three (id integer);\n"),
    ("0003_three.down.sql", "drop table three;\n"),
    ("0004_four.up.sql", "create table four (id integer);\n"),
    ("0004_four.down.sql", "drop table four;\n"),
    ("0005_five.up.sql", "create table five (id integer);\n"),
    ("0005_five.down.sql", "drop table five;\n"),
];

/// Creates a database at 0005.
pub fn at_five(database: &impl Database) -> Run {
    let run = run_on(database, &FIVE);
    expect_end(&run, 0, &["up to date at 0005"]);
    run
}

pub fn downgrade(run: &Run, target: &str) -> Run {
    run.clone().args(["downgrade", target])
}

/// Expects that these revisions are applied, and that only their tables exist.
#[track_caller]
pub fn expect_applied(database: &impl Database, revisions: &[&str]) {
    let rows: String = revisions.iter().map(|revision| format!("{revision}|applied\n")).collect();
    assert_eq!(database.history(), rows);
    for (number, table) in ["one", "two", "three", "four", "five"].iter().enumerate() {
        let is_wanted = revisions.contains(&format!("{:04}", number + 1).as_str());
        assert_eq!(database.has_table(table), is_wanted, "table {table}");
    }
}

/// Returns the result on standard output.
#[track_caller]
pub fn result(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished}"))
}

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

fn a_target_decides_how_many_revisions_are_undone<D: Database>() {
    for (target, left, place) in [
        ("-1", 4, "0004: 1 revision undone"),
        ("-3", 2, "0002: 3 revisions undone"),
        ("-5", 0, "base: 5 revisions undone"),
        ("0002", 2, "0002: 3 revisions undone"),
        ("2", 2, "0002: 3 revisions undone"),
        ("0004-1", 3, "0003: 2 revisions undone"),
        ("0001+2", 3, "0003: 2 revisions undone"),
        ("head-2", 3, "0003: 2 revisions undone"),
        ("base+1", 1, "0001: 4 revisions undone"),
        ("0001-1", 0, "base: 5 revisions undone"),
        ("base", 0, "base: 5 revisions undone"),
    ] {
        let database = D::create("either");
        let run = at_five(&database);
        let finished = expect_end(&downgrade(&run, target), 0, &[&format!("up to date at {place}")]);
        expect_applied(&database, &ALL[..left]);
        let undone: Vec<&str> = finished.stderr.lines().filter_map(|line| line.split(" undone 0").nth(1)).collect();
        let newest_first: Vec<&str> =
            FIVE.iter().rev().map(|(name, _)| *name).filter(|name| name.contains("down")).collect();
        assert_eq!(undone.len(), 5 - left, "{finished}");
        for (line, name) in undone.iter().zip(newest_first) {
            assert!(name.ends_with(line.split(' ').next().unwrap_or_default()), "newest first: {finished}");
        }
        expect_end(&run, 0, &["up to date at 0005", "applied"]);
    }
}

fn with_nothing_to_undo_there_is_no_lock_no_backup_and_no_write<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database).env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    let rows = "select * from lockkeeper_history order by revision";
    let before = database.query(rows);
    for target in ["head", "heads", "0005", "0004+1"] {
        let finished = expect_end(&downgrade(&run, target), 0, &["nothing to undo, the database is at 0005"]);
        finished.does_not_say("lock").does_not_say("backup");
    }
    assert_eq!(database.query(rows), before);
    assert!(!run.dir().join("safe").exists(), "a directory for backups");

    // Base is where a new database is; it is not even created.
    let fresh = D::create("either");
    let run = run.url(&fresh.url());
    expect_end(&downgrade(&run, "base"), 0, &["nothing to undo, the database is at base"]);
    assert!(!fresh.has_table("lockkeeper_history"));
}

fn an_invalid_target_is_a_usage_error_and_changes_nothing<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    expect_end(&downgrade(&run, "0003"), 0, &[]);
    for (arguments, parts) in [
        (["downgrade", "-4"], ["-4 goes past base", "can be undone: 3"]),
        (["downgrade", "0005"], ["revision 0005 is not applied", "downgrade cannot end at it"]),
        (["downgrade", "head"], ["revision 0005 is not applied", "downgrade cannot end at it"]),
        (["downgrade", "000"], ["000 fits several revisions: 0001, 0002, 0003, 0004, 0005", "more digits"]),
        (["downgrade", "0009"], ["no revision", "0009"]),
        (["downgrade", "+1"], ["downgrade goes back", "lockkeeper upgrade +1"]),
        (["downgrade", "0001-2"], ["0001-2 lies beyond", "directory"]),
        (["downgrade", "0005+1"], ["0005+1 lies beyond", "directory"]),
        (["downgrade", "base-1"], ["base-1 lies beyond", "directory"]),
        (["downgrade", "-0"], ["\"-0\" is not a target", "-N"]),
        (["downgrade", "--jsn"], ["unexpected argument '--jsn' found", "a similar argument exists: '--json'"]),
        (["stamp", "--jsn"], ["unexpected argument '--jsn' found", "a similar argument exists: '--json'"]),
        (["downgrade", "-1x"], ["unexpected argument '-1' found;", "try: see lockkeeper --help"]),
        (["downgrade", "0001:0002"], ["\"0001:0002\" is a range", "goes with --sql"]),
        (["upgrade", "-1"], ["upgrade goes up", "lockkeeper downgrade -1"]),
        (["upgrade", "base"], ["upgrade goes up", "lockkeeper downgrade base"]),
        (["upgrade", "+3"], ["+3 goes too far", "pending: 2"]),
    ] {
        let finished = run.clone().args(arguments).output();
        assert_eq!(finished.code, Some(64), "{arguments:?}: {finished}");
        let last = crate::contract::last(&finished);
        for part in parts.iter().chain(&["nothing was changed"]) {
            assert!(last.contains(part), "{arguments:?}, {part:?}: {finished}");
        }
    }
    expect_applied(&database, &ALL[..3]);
    expect_end(&run.clone().arg("downgrade"), 64, &["TARGET"]);
    for arguments in [&["downgrade", "-1", "--", "true"][..], &["downgrade", "--", "-1"], &["downgrade", "-1", "-2"]] {
        expect_end(&run.clone().args(arguments.iter().copied()), 64, &[]).does_not_say("use '--");
    }
    // A wrong setting has its own code; what downgrade takes comes from its command line alone.
    let relative = run.clone().env("LOCKKEEPER_TARGET", "+1");
    expect_end(&relative, 78, &["LOCKKEEPER_TARGET", "+1"]);
    expect_end(&run.clone().env("LOCKKEEPER_TARGET", "99"), 78, &["LOCKKEEPER_TARGET", "begins with 99"]);
    expect_applied(&database, &ALL[..3]);
}

fn a_backup_is_taken_first_and_named<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database).env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    let finished = expect_end(&downgrade(&run, "-2").arg("--json"), 0, &["up to date at 0003: 2 undone, backup safe/"]);
    expect_applied(&database, &ALL[..3]);
    let document = result(&finished);
    assert_eq!(document["undone"], json!(["0005", "0004"]));
    assert_eq!(
        (&document["code"], &document["revision"], &document["applied"]),
        (&json!(0), &json!("0003"), &json!([]))
    );
    let file = document["backup"].as_str().expect("a backup");
    let log = &finished.stderr;
    assert!(log.find("backup").expect("told") < log.find("undone 0005").expect("told"), "{finished}");
    // The backup has the state before the first revision was undone.
    let manifest = fs::read_to_string(run.dir().join(format!("{file}.json"))).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest");
    assert_eq!((&manifest["from_revision"], &manifest["to_revision"]), (&json!("0005"), &json!("0003")));
    if D::DIALECT == "sqlite" {
        let copy = run.dir().join(file);
        assert_eq!(crate::support::sqlite::value(&copy, "select count(*) from lockkeeper_history;"), "5");
    }

    // Without a backup there is no down migration.
    let full = downgrade(&run, "-1").env("LOCKKEEPER_BACKUP_DIR", "migrations/0001_one.up.sql");
    expect_end(&full, 73, &["backup", "nothing was changed"]);
    expect_applied(&database, &ALL[..3]);
    let finished =
        expect_end(&downgrade(&run, "base").arg("--json"), 0, &["up to date at base: 3 undone, backup safe/"]);
    let file = result(&finished)["backup"].as_str().expect("a backup").to_owned();
    let manifest = fs::read_to_string(run.dir().join(format!("{file}.json"))).expect("a manifest");
    assert!(
        manifest.contains(r#""to_revision":"base""#) || manifest.contains(r#""to_revision": "base""#),
        "{manifest}"
    );
    expect_applied(&database, &[]);
}

/// An image that was rolled back has the older files: the newer image's revisions have to be undone first.
fn a_downgrade_below_revisions_of_another_image_is_refused<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    for name in ["0004_four.up.sql", "0004_four.down.sql", "0005_five.up.sql", "0005_five.down.sql"] {
        crate::contract::remove(&run, name);
    }
    for target in ["-1", "0002", "base"] {
        let parts = ["does not know (0004, 0005)", "they come first", "the image that has them", "nothing was changed"];
        expect_end(&downgrade(&run, target), 65, &parts);
        expect_end(&downgrade(&run, target).arg("--strict"), 65, &parts[..1]);
    }
    expect_applied(&database, &ALL);
}

/// 0002 and 0003 depend on 0001, and 0004 depends on both.
const DIAMOND: [(&str, &str); 8] = [
    ("0001_one.up.sql", "create table one (id integer);"),
    ("0001_one.down.sql", "drop table one;"),
    ("0002_two.up.sql", "-- depends: 1\ncreate table two (id integer);"),
    ("0002_two.down.sql", "drop table two;"),
    ("0003_three.up.sql", "-- depends: 1\ncreate table three (id integer);"),
    ("0003_three.down.sql", "drop table three;"),
    ("0004_four.up.sql", "-- depends: 2 3\ncreate table four (id integer);"),
    ("0004_four.down.sql", "drop table four;"),
];

fn downgrading_to_a_branch_undoes_only_the_merge<D: Database>() {
    for branch in ["0002", "0003"] {
        let database = D::create("either");
        let run = run_on(&database, &DIAMOND);
        expect_end(&run, 0, &[]);
        expect_end(&downgrade(&run, branch), 0, &["up to date at 0002, 0003: 1 revision undone"]);
        expect_applied(&database, &ALL[..3]);
        // A count does not say which of the two branches comes next.
        expect_end(&downgrade(&run, "-1"), 64, &["-1", "several ways (0002, 0003)", "name a revision"]);
        expect_end(&downgrade(&run, "head-1"), 64, &["head-1", "several ways (0002, 0003)"]);
        expect_applied(&database, &ALL[..3]);
        expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 2 revisions undone"]);
        expect_end(&run, 0, &["up to date at 0004: 3 revisions applied"]);
        expect_end(&downgrade(&run, "-2"), 64, &["-2", "several ways (0002, 0003)"]);
        expect_applied(&database, &ALL[..4]);
    }
}

/// Only one branch is applied: revisions that are not applied do not prevent the downgrade.
fn revisions_that_are_not_applied_are_not_undone<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &DIAMOND);
    expect_end(&run.clone().args(["upgrade", "0003"]), 0, &["up to date at 0003: 2 revisions applied"]);
    expect_end(&downgrade(&run, "-1"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_end(&run.clone().args(["upgrade", "0003"]), 0, &[]);
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 2 revisions undone"]);
    expect_applied(&database, &[]);
}

on_either!(
    a_target_decides_how_many_revisions_are_undone,
    with_nothing_to_undo_there_is_no_lock_no_backup_and_no_write,
    an_invalid_target_is_a_usage_error_and_changes_nothing,
    a_backup_is_taken_first_and_named,
    a_downgrade_below_revisions_of_another_image_is_refused,
    downgrading_to_a_branch_undoes_only_the_merge,
    revisions_that_are_not_applied_are_not_undone,
);
