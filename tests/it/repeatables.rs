//! Repeatable scripts: `R__name.sql` is applied after all revisions, and again whenever its text has changed.

use std::fs;

use crate::contract::{expect_end, run_on};
use crate::restore::{backups, restore, with_backups};
use crate::support::binary::Run;
use crate::support::either::Database;

on_either!(
    they_run_after_the_revisions_and_again_when_they_change,
    a_failed_one_is_rolled_back_and_runs_again,
    they_wait_for_the_newest_revision,
    a_downgrade_and_a_stamp_leave_them,
    a_database_that_is_ahead_keeps_its_own,
    they_are_listed_and_planned,
    a_printed_script_has_them,
    their_names_and_directives_are_checked,
    a_script_and_its_record_are_one_transaction,
    the_previous_release_runs_without_them,
    a_backup_is_of_the_revision_before_them,
);

const ONE: (&str, &str) = ("0001_one.up.sql", "create table item (id integer, name varchar(20));\n");
const ONE_DOWN: (&str, &str) = ("0001_one.down.sql", "drop view count;\ndrop view names;\ndrop table item;\n");
const TWO: (&str, &str) = ("0002_two.up.sql", "insert into item values (1, 'a');\n");
const TWO_DOWN: (&str, &str) = ("0002_two.down.sql", "delete from item;\n");
const COUNT: (&str, &str) =
    ("R__b_count.sql", "drop view if exists count;\ncreate view count as select count(*) as n from names;\n");
const NAMES: (&str, &str) = (
    "R__a_names.sql",
    "drop view if exists count;\ndrop view if exists names;\ncreate view names as select name from item;\n",
);
const RECORDS: &str =
    "select revision, direction, statements_done, statements_total from lockkeeper_history_journal order by 1";

fn run_with_all(database: &impl Database) -> Run {
    run_on(database, &[ONE, ONE_DOWN, TWO, TWO_DOWN, COUNT, NAMES])
}

fn write(run: &Run, name: &str, text: &str) {
    fs::write(run.dir().join("migrations").join(name), text).expect("a script");
}

fn they_run_after_the_revisions_and_again_when_they_change<D: Database>() {
    let database = D::create("repeat");
    let run = run_with_all(&database);
    let first = expect_end(&run, 0, &["up to date at 0002: 2 revisions and 2 repeatable scripts applied"]);
    let order =
        ["applied 0001_one.up.sql", "applied 0002_two.up.sql", "applied R__a_names.sql", "applied R__b_count.sql"];
    let places: Vec<usize> = order.iter().map(|text| first.stderr.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "{first}");
    assert_eq!(database.query("select n from count"), "1\n");
    assert_eq!(database.query(RECORDS), "R__a_names|up|3|3\nR__b_count|up|2|2\n");
    assert_eq!(database.query("select count(*) from lockkeeper_history"), "2\n");
    expect_end(&run, 0, &["nothing pending"]);

    write(&run, COUNT.0, &COUNT.1.replace("count(*)", "10 * count(*)"));
    expect_end(&run.clone().arg("check"), 2, &["1 repeatable script is pending"]).says("pending: R__b_count.sql");
    let again = expect_end(&run, 0, &["up to date at 0002: 1 repeatable script applied"]);
    again.does_not_say("applied R__a_names.sql");
    assert_eq!(database.query("select n from count"), "10\n");
    // A new revision does not repeat them.
    write(&run, "0003_three.up.sql", "insert into item values (2, 'b');\n");
    expect_end(&run, 0, &["up to date at 0003: 1 revision applied"]);
    assert_eq!(database.query("select n from count"), "20\n");
    // A script that is gone is no problem: what it has made stays.
    fs::remove_file(run.dir().join("migrations/R__b_count.sql")).unwrap();
    expect_end(&run, 0, &["nothing pending"]);
}

fn a_failed_one_is_rolled_back_and_runs_again<D: Database>() {
    let database = D::create("failed");
    let run = run_with_all(&database);
    write(
        &run,
        COUNT.0,
        "create table made (id integer);\ncreate view count as select n from missing_table;\ninsert into count values (1);\n",
    );
    expect_end(&run, 80, &["R__b_count.sql:"]).says("applied R__a_names.sql");
    assert!(!database.has_table("made"));
    assert_eq!(database.query(RECORDS), "R__a_names|up|3|3\n");
    expect_end(&run, 80, &["R__b_count.sql:"]).does_not_say("applied R__a_names.sql");
    write(&run, COUNT.0, COUNT.1);
    expect_end(&run, 0, &["up to date at 0002: 1 repeatable script applied"]);
}

fn they_wait_for_the_newest_revision<D: Database>() {
    let database = D::create("target");
    let run = run_with_all(&database);
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &["up to date at 0001: 1 revision applied"]);
    assert!(!database.has_table("lockkeeper_history_journal"));
    expect_end(&run.clone().args(["upgrade", "+1"]), 0, &["1 revision and 2 repeatable scripts applied"]);
}

fn a_downgrade_and_a_stamp_leave_them<D: Database>() {
    let database = D::create("leave");
    let run = run_with_all(&database);
    expect_end(&run, 0, &["up to date at 0002"]);
    let records = database.query(RECORDS);
    expect_end(&run.clone().args(["downgrade", "-1"]), 0, &["0001"]);
    expect_end(&run.clone().args(["stamp", "0002"]), 0, &["0002"]);
    expect_end(&run.clone().arg("repair"), 0, &[]);
    assert_eq!(database.query(RECORDS), records);
    expect_end(&run, 0, &["nothing pending"]);
    // Whoever drops what a script has made, lets it run again by a change of its text.
    expect_end(&run.clone().args(["downgrade", "base"]), 0, &["base"]);
    write(&run, NAMES.0, &format!("-- again\n{}", NAMES.1));
    write(&run, COUNT.0, &format!("-- again\n{}", COUNT.1));
    expect_end(&run, 0, &["2 revisions and 2 repeatable scripts applied"]);
    assert_eq!(database.query("select n from count"), "1\n");
}

fn a_database_that_is_ahead_keeps_its_own<D: Database>() {
    let database = D::create("ahead");
    expect_end(&run_with_all(&database), 0, &["up to date at 0002"]);
    let old = run_on(&database, &[ONE, (COUNT.0, "create view count as select 'old' as n;\n")]);
    expect_end(&old, 0, &["0002"]);
    assert_eq!(database.query("select n from count"), "1\n");
}

fn they_are_listed_and_planned<D: Database>() {
    let database = D::create("listed");
    let run = run_with_all(&database);
    let plan = run.clone().args(["upgrade", "--plan"]).output();
    plan.expect_code(0).says("R__a_names.sql").says("R__b_count.sql");
    expect_end(&run, 0, &["up to date at 0002"]);
    let all = "the database is at 0002: 2 of 2 revisions are applied";
    expect_end(&run.clone().arg("history"), 0, &[all]).says("R__a_names");
    write(&run, COUNT.0, &format!("-- again\n{}", COUNT.1));
    let listed = expect_end(&run.clone().arg("history"), 0, &[all, ", 1 repeatable script is pending"]);
    let line = |name: &str| listed.stdout.lines().find(|line| line.contains(name)).expect(name).to_owned();
    assert!(line("R__a_names").starts_with("applied") && line("R__b_count").starts_with("pending"), "{listed}");
    let current = expect_end(&run.clone().arg("current"), 0, &[all]);
    assert!(current.stdout.contains("0002") && !current.stdout.contains("R__"), "{current}");
    expect_end(&run.clone().args(["check", "--offline"]), 0, &["2 revisions", "2 repeatable scripts"]);
}

fn a_printed_script_has_them<D: Database>() {
    let database = D::create("printed");
    let run = run_with_all(&database);
    let script = run.clone().args(["upgrade", "--sql"]).output();
    database.feed(&script.expect_code(0).stdout).unwrap();
    assert_eq!(database.query("select n from count"), "1\n");
    expect_end(&run, 0, &["nothing pending"]);
    write(&run, COUNT.0, &format!("-- again\n{}", COUNT.1));
    let script = run.clone().args(["upgrade", "--sql"]).output();
    script.expect_code(0).does_not_say("R__a_names.sql");
    database.feed(&script.stdout).unwrap();
    expect_end(&run, 0, &["nothing pending"]);
}

fn their_names_and_directives_are_checked<D: Database>() {
    let database = D::create("names");
    for (name, text, problem) in [
        ("R__x.up.sql", "select 1;", "R__x.up.sql: not the name of a repeatable script; write R__description.sql"),
        ("r__x.sql", "select 1;", "r__x.sql: not the name of a repeatable script"),
        ("R__x.sql", "-- no-transaction\nselect 1;", "R__x.sql: a repeatable script runs in a transaction"),
        ("R__x.sql", "-- depends: 0001\nselect 1;", "`-- depends` is not possible in it"),
        ("R__x.sql", "-- irreversible: no\nselect 1;", "`-- irreversible` is not possible in it"),
        ("R__x.sql", "vacuum;", "R__x.sql:1:1: this statement cannot run inside a transaction"),
    ] {
        let run = run_on(&database, &[ONE, (name, text)]);
        run.output().expect_code(65).says(problem);
        run.clone().args(["check", "--offline"]).output().expect_code(65).says(problem);
    }
    assert!(!database.has_table("item"));
    let strange = run_on(&database, &[ONE, ("R__it's a \\ \"name\".sql", "create table strange (id integer);")]);
    expect_end(&strange, 0, &["1 repeatable script applied"]);
    expect_end(&strange, 0, &["nothing pending"]);
}

fn a_script_and_its_record_are_one_transaction<D: Database>() {
    let database = D::create("one");
    let run = run_with_all(&database);
    expect_end(&run, 0, &["up to date at 0002"]);
    // The record cannot be written.
    write(&run, COUNT.0, "drop view count;\ndrop table lockkeeper_history_journal;\n");
    run.output().expect_code(80);
    assert_eq!(database.query("select n from count"), "1\n");
    assert_eq!(database.query(RECORDS), "R__a_names|up|3|3\nR__b_count|up|2|2\n");
}

fn the_previous_release_runs_without_them<D: Database>() {
    let database = D::create("release");
    expect_end(&run_with_all(&database), 0, &["up to date at 0002"]);
    let previous = run_on(&database, &[ONE, ONE_DOWN, TWO, TWO_DOWN]).previous_release();
    expect_end(&previous, 0, &["nothing pending"]);
    expect_end(&run_with_all(&database), 0, &["nothing pending"]);
}

fn a_backup_is_of_the_revision_before_them<D: Database>() {
    let database = D::create("backup");
    let run = run_with_all(&database);
    expect_end(&run, 0, &["up to date at 0002"]);
    write(&run, COUNT.0, &format!("-- again\n{}", COUNT.1));
    let run = with_backups(run);
    expect_end(&run, 0, &["up to date at 0002: 1 applied, backup"]).says("applied R__b_count.sql");
    run.clone().args(["backups", "--json"]).output().expect_code(0).says("\"from_revision\": \"0002\"");
    let file = backups(&run).pop().expect("a backup").file_name().expect("a name").to_string_lossy().into_owned();
    expect_end(&restore(&run, &file).arg("--yes"), 0, &["0002"]);
    expect_end(&run.clone().arg("check"), 2, &["1 repeatable script is pending"]);
}
