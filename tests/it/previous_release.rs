//! Tests with the previous release, which recorded the progress of scripts without a transaction in the history: the
//! present release finishes what it has begun, and it refuses what the present release has begun.

use crate::contract::{expect_end, run_on};
use crate::downgrade::downgrade;
use crate::leftovers::validity;
use crate::sql::printed;
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};

const ONE: (&str, &str) = ("0001_one.up.sql", "create table one (id integer);\n");
const UP: (&str, &str) = (
    "0002_two.up.sql",
    "-- no-transaction\ncreate table two (id integer);\ninsert into gate values (1);\ncreate table late (id integer);\n",
);
const DOWN: (&str, &str) =
    ("0002_two.down.sql", "-- no-transaction\ndrop table late;\ninsert into gate values (2);\ndrop table two;\n");
const HISTORY: &str = "select revision, state, statements_done, statements_total from lockkeeper_history order by 1";
const JOURNAL: &str = "select revision, direction, statements_done, statements_total from lockkeeper_history_journal";

fn prepare(database: &impl Database) -> Run {
    run_on(database, &[ONE, UP, DOWN])
}

/// Lets the previous release begin the second revision, which stops after the first of its three statements.
fn begun_by_previous(database: &impl Database) -> Run {
    let run = prepare(database);
    expect_end(&run.clone().previous_release(), 81, &["0002_two.up.sql:3:"]);
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n0002|partial|1|3\n");
    run
}

fn an_unfinished_revision_of_the_previous_release_is_read_without_a_change<D: Database>() {
    let database = D::create("previous");
    let run = begun_by_previous(&database);
    let before = (database.schema(), database.query("select * from lockkeeper_history order by 1"));
    let sum = "the database is at 0001: 1 of 2 revisions are applied, 1 partial";
    expect_end(&run.clone().arg("current"), 0, &[sum]);
    let json = expect_end(&run.clone().args(["history", "--json"]), 0, &[sum]);
    json.says("\"state\": \"partial\"").says("\"statements_done\": 1");
    expect_end(&run.clone().arg("check"), 2, &[]);
    expect_end(&run.clone().args(["upgrade", "--plan"]), 0, &[]);
    run.clone().args(["upgrade", "--sql"]).output().expect_code(0).says("-- An earlier run has done 1 of its 3");
    assert_eq!((database.schema(), database.query("select * from lockkeeper_history order by 1")), before);
    assert!(!database.has_table("lockkeeper_history_journal"));
}

fn an_unfinished_revision_of_the_previous_release_is_finished<D: Database>() {
    let database = D::create("previous");
    let run = begun_by_previous(&database);
    // The first attempt moves the progress to the journal, and stops at the same statement.
    expect_end(&run, 81, &["0002_two.up.sql:3:", "1 of its statements"]);
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n0002|partial, see the journal|1|3\n");
    assert_eq!(database.query(JOURNAL), "0002|up|1|3\n");
    database.query("create table gate (n integer)");
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]);
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n0002|applied|3|3\n");
    assert_eq!(database.query(JOURNAL), "");
    assert_eq!(database.query("select n from gate"), "1\n");
}

fn a_revision_that_the_previous_release_has_half_undone_is_undone<D: Database>() {
    let database = D::create("previous");
    database.query("create table gate (n integer)");
    let run = prepare(&database);
    let previous = run.clone().previous_release();
    expect_end(&previous, 0, &["0002"]);
    database.query("alter table gate rename to shut");
    expect_end(&downgrade(&previous, "0001"), 81, &["0002_two.down.sql:3:"]);
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n0002|undoing|1|3\n");
    expect_end(&downgrade(&run, "0001"), 81, &["0002_two.down.sql:3:"]);
    assert_eq!(database.query(JOURNAL), "0002|down|1|3\n");
    database.query("alter table shut rename to gate");
    expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n");
    assert_eq!(database.query(JOURNAL), "");
}

fn the_previous_release_refuses_an_unfinished_revision_in_the_journal<D: Database>() {
    let database = D::create("previous");
    let run = prepare(&database);
    expect_end(&run, 81, &["0002_two.up.sql:3:"]);
    let state = || (database.schema(), database.query("select * from lockkeeper_history order by 1"));
    let before = state();
    let previous = run.clone().previous_release();
    for verb in [&["upgrade"][..], &["downgrade", "base"], &["check"], &["current"], &["repair", "--yes"], &["wait"]] {
        let said = "revision \"0002\", state \"partial, see the journal\"";
        expect_end(&previous.clone().args(verb.iter().copied()), 78, &["a row that is not ours", said]);
    }
    assert_eq!(state(), before);
    database.query("create table gate (n integer)");
    expect_end(&run, 0, &["up to date at 0002"]);
}

/// A rollback to an image with the previous release starts, since applied revisions are recorded as before.
fn the_previous_release_accepts_a_history_in_which_everything_is_applied<D: Database>() {
    let database = D::create("previous");
    database.query("create table gate (n integer)");
    let run = prepare(&database);
    expect_end(&run, 0, &["up to date at 0002"]);
    let previous = run.clone().previous_release();
    expect_end(&previous, 0, &["nothing pending, the database is at 0002"]);
    expect_end(&previous.clone().arg("check"), 0, &["0002"]);
    expect_end(&previous.migrations(&[("0003_three.up.sql", "create table three (id integer);\n")]), 0, &["0003"]);
    expect_end(&run, 0, &["nothing pending, the database is at 0003"]);
}

/// The progress that the previous release records would not be in the journal.
fn the_previous_release_cannot_begin_a_script_without_a_transaction<D: Database>() {
    let database = D::create("previous");
    database.query("create table gate (n integer)");
    let run = prepare(&database);
    expect_end(&run, 0, &["up to date at 0002"]);
    let before = database.query(HISTORY);
    let third = ("0003_three.up.sql", "-- no-transaction\ncreate table three (id integer);\n");
    let refused = run.clone().previous_release().migrations(&[third]).output();
    assert_ne!(refused.code, Some(0), "{refused}");
    refused.says("unfinished_revisions_are_in_the_journal");
    assert_eq!(database.query(HISTORY), before);
    assert!(!database.has_table("three"), "it ran a statement that it could not record");
    expect_end(&run, 0, &["up to date at 0003: 1 revision applied"]);
}

on_either!(
    an_unfinished_revision_of_the_previous_release_is_read_without_a_change,
    an_unfinished_revision_of_the_previous_release_is_finished,
    a_revision_that_the_previous_release_has_half_undone_is_undone,
    the_previous_release_refuses_an_unfinished_revision_in_the_journal,
    the_previous_release_accepts_a_history_in_which_everything_is_applied,
    the_previous_release_cannot_begin_a_script_without_a_transaction,
);

#[test]
fn a_printed_script_finishes_a_revision_of_the_previous_release() {
    let database = Postgres::shared().database("previous");
    let run = begun_by_previous(&database);
    database.query("create table gate (n integer)");
    assert_eq!(database.feed(&printed(&run, "upgrade", "head")), Ok(()));
    // Now the history refers to the journal.
    let third = ("0003_three.up.sql", "-- no-transaction\ncreate table three (id integer);\n");
    assert_eq!(database.feed(&printed(&run.migrations(&[third]), "upgrade", "head")), Ok(()));
    assert_eq!(database.query(HISTORY), "0001|applied|1|1\n0002|applied|3|3\n0003|applied|1|1\n");
    assert_eq!(database.query(JOURNAL), "");
}

/// The shell of SQLite cannot decide whether the table is to be made anew.
#[test]
fn a_printed_script_stops_at_a_history_of_the_previous_release_on_sqlite() {
    let database = SqliteFile::create("previous");
    let run = begun_by_previous(&database);
    database.query("create table gate (n integer)");
    let script = printed(&run, "upgrade", "head");
    assert!(script.contains("run the migrations with Lockkeeper instead"), "{script}");
    assert!(database.feed(&script).expect_err("it did not stop").contains("malformed JSON"));
    assert_eq!(database.query("select count(*) from gate"), "0\n");
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]);
}

/// What the previous release knew about the catalog before a statement is moved as well.
#[test]
fn a_statement_that_the_previous_release_has_sent_is_not_repeated() {
    for (peer, pattern) in [(Peer::Client, "create index concurrently i"), (Peer::Server, "CREATE INDEX\0")] {
        let database = Postgres::shared().database("previous");
        database.execute("create table t (a int)");
        let script = "-- no-transaction\ncreate index concurrently i on t (a);\n";
        let run = run_on(&database, &[("0001_a.sql", script)]);
        let proxy = Proxy::start(Postgres::shared().port());
        proxy.cut_at(peer, pattern.as_bytes());
        run.clone().previous_release().url(&proxy.url(database.name())).output().expect_code(83);
        database.terminate_all();
        assert_eq!(database.value("select statements_done from lockkeeper_history"), "-1");
        let finished = expect_end(&run, 0, &["up to date at 0001"]);
        if peer == Peer::Server {
            finished.says("the database has it already");
        }
        assert_eq!(validity(&database, "^i$"), "i true");
        let column = "select count(*) from pg_attribute where attrelid = 'lockkeeper_history'::regclass and attname = 'catalog_before'";
        assert_eq!(database.value(column), "0");
    }
}
