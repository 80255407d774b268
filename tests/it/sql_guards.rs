//! What stops a printed script before it does harm: another place, another run, a failing statement, orphans.

use crate::contract::{expect_end, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied};
use crate::sql::{nowhere, printed};
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::process::run_with_input;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

/// Fed to the database's program it stops with these words, and everything is as before.
#[track_caller]
fn stops(database: &impl Database, script: &str, words: &[&str]) {
    let state = || (database.schema(), database.query("select * from lockkeeper_history order by revision"));
    let before = state();
    let complaint = database.feed(script).expect_err("it did not stop");
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in: {complaint}");
    }
    assert_eq!(state(), before, "{complaint}");
}

/// What the guard says, in the words of the program.
fn not_there<D: Database>() -> &'static str {
    if D::DIALECT == "sqlite" { "malformed JSON" } else { "division by zero" }
}

fn a_script_stops_when_the_database_is_not_where_it_begins<D: Database>() {
    let database = D::create("guard");
    let run = at_five(&database);
    let up = |range: &str| printed(&nowhere::<D>(&run), "upgrade", range);
    let down = |range: &str| printed(&nowhere::<D>(&run), "downgrade", range);
    for script in [up("base:head"), up("0003:0004"), up("0004:head"), down("0004:base"), down("0001:base")] {
        assert!(script.contains(&format!("-- {}", if D::DIALECT == "sqlite" { "\"malformed" } else { "Division" })));
        stops(&database, &script, &[not_there::<D>()]);
    }
    // Twice the same: the second time it is not there any more.
    let once = down("head:0003");
    assert_eq!(database.feed(&once), Ok(()));
    stops(&database, &once, &[not_there::<D>()]);
    expect_applied(&database, &ALL[..3]);
    // What it was printed for while it was elsewhere.
    let stale = printed(&run, "upgrade", "head");
    expect_end(&run.clone().args(["upgrade", "0004"]), 0, &[]);
    stops(&database, &stale, &[not_there::<D>()]);
    expect_applied(&database, &ALL[..4]);
}

/// A file has got other zeros since it was applied: nothing may be undone whose row would stay.
fn a_way_back_stops_when_a_row_spells_its_number_otherwise<D: Database>() {
    let database = D::create("guard");
    expect_end(&run_on(&database, &FIVE[..4]), 0, &[]);
    let renamed = [("1_one.up.sql", FIVE[0].1), ("1_one.down.sql", FIVE[1].1), FIVE[2], FIVE[3]];
    let run = run_on(&database, &renamed);
    expect_end(&run, 0, &["nothing pending"]);
    stops(&database, &printed(&nowhere::<D>(&run), "downgrade", "2:base"), &[not_there::<D>()]);
    assert_eq!(database.feed(&printed(&run, "downgrade", "base")), Ok(()));
    expect_applied(&database, &[]);
}

fn a_script_for_a_database_that_has_no_history_yet<D: Database>() {
    let database = D::create("guard");
    let run = run_on(&database, &FIVE);
    let complaint = database.feed(&printed(&run, "downgrade", "base")).is_ok();
    assert!(complaint || !database.has_table("lockkeeper_history"));
    assert!(database.feed(&printed(&nowhere::<D>(&run), "downgrade", "head:base")).is_err());
    assert!(!database.has_table("lockkeeper_history"));
    assert_eq!(database.feed(&printed(&run, "upgrade", "head")), Ok(()));
    expect_applied(&database, &ALL);
}

fn a_failing_statement_ends_the_script_and_its_revision<D: Database>() {
    let database = D::create("guard");
    let failing = ("0003_three.up.sql", "create table three (id integer);\ninsert into nowhere values (1);\n");
    let run = run_on(&database, &FIVE).migrations(&[failing]);
    let script = printed(&run, "upgrade", "head");
    let complaint = database.feed(&script).expect_err("it did not stop");
    assert!(complaint.contains("nowhere"), "{complaint}");
    expect_applied(&database, &ALL[..2]);
    expect_end(&run.migrations(&FIVE), 0, &["up to date at 0005: 3 revisions applied"]);

    let failing = ("0004_four.down.sql", "drop table four;\ndrop table nowhere;\n");
    let database = D::create("guard");
    let run = run_on(&database, &FIVE).migrations(&[failing]);
    expect_end(&run, 0, &[]);
    assert!(database.feed(&printed(&run, "downgrade", "base")).is_err());
    expect_applied(&database, &ALL[..4]);
}

const UP: &str = "-- no-transaction\ncreate table two (id integer);\ninsert into gate values (1);\ncreate table late (id integer);\n";
const DOWN: &str = "-- no-transaction\ndrop table late;\ndelete from gate;\ndrop table two;\n";

fn without_a_transaction(database: &impl Database) -> Run {
    run_on(database, &FIVE[..2]).migrations(&[("0002_two.up.sql", UP), ("0002_two.down.sql", DOWN)])
}

fn journal(database: &impl Database) -> String {
    database.query("select revision, state, statements_done, statements_total from lockkeeper_history order by 1")
}

fn what_a_run_began_a_script_finishes_and_the_other_way_round<D: Database>() {
    let database = D::create("guard");
    let run = without_a_transaction(&database);
    expect_end(&run, 81, &["0002_two.up.sql:3:"]);
    let half = "0001|applied|1|1\n0002|partial|1|3\n";
    assert_eq!(journal(&database), half);
    // Another that takes it for not begun must not begin it again.
    let blind = printed(&nowhere::<D>(&run), "upgrade", "0001:0002");
    stops(&database, &blind, &[not_there::<D>()]);
    let script = printed(&run, "upgrade", "head");
    assert!(script.contains("-- An earlier run has done 1 of its 3 statements."), "{script}");
    assert!(!script.contains("create table two"), "{script}");
    stops(&database, &script, &["gate"]);
    database.query("create table gate (n integer)");
    assert_eq!(database.feed(&script), Ok(()));
    let whole = "0001|applied|1|1\n0002|applied|3|3\n";
    assert_eq!(journal(&database), whole);
    // It had its place once.
    stops(&database, &script, &[not_there::<D>()]);

    // The down migration, begun by a script and finished by a run.
    database.query("drop table gate");
    let script = printed(&run, "downgrade", "0001");
    assert!(database.feed(&script).expect_err("it did not stop").contains("gate"));
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing|1|3\n");
    stops(&database, &script, &[not_there::<D>()]);
    expect_end(&run, 65, &["revision 0002 is half undone"]);
    expect_end(&run.clone().args(["upgrade", "--sql"]), 65, &["revision 0002 is half undone"]);
    database.query("create table gate (n integer)");
    expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);

    // And the up migration, begun by a script and finished by a run.
    database.query("drop table gate");
    assert!(database.feed(&printed(&run, "upgrade", "head")).is_err());
    assert_eq!(journal(&database), half);
    database.query("create table gate (n integer)");
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]);
    assert_eq!(journal(&database), whole);
}

/// The statements done must be those of the file: as in a run.
fn a_script_does_not_go_on_with_what_was_edited<D: Database>() {
    let database = D::create("guard");
    let run = without_a_transaction(&database);
    expect_end(&run, 81, &[]);
    let edited = UP.replace("create table two (id", "create table two (more text, id");
    let run = run.migrations(&[("0002_two.up.sql", &edited)]);
    let parts = ["0002_two.up.sql", "first 1 statements", "edited", "restore those statements"];
    expect_end(&run.args(["upgrade", "--sql"]), 65, &parts);
}

on_either!(
    a_script_stops_when_the_database_is_not_where_it_begins,
    a_way_back_stops_when_a_row_spells_its_number_otherwise,
    a_script_for_a_database_that_has_no_history_yet,
    a_failing_statement_ends_the_script_and_its_revision,
    what_a_run_began_a_script_finishes_and_the_other_way_round,
    a_script_does_not_go_on_with_what_was_edited,
);

/// The lock of the script is the lock of runs, whichever table the history is in.
#[test]
fn a_script_and_a_run_keep_each_other_away() {
    for table in ["lockkeeper_history", "ops.history", "\"Odd\"\"Name"] {
        let database = Postgres::shared().database("guard_lock");
        database.query("create schema ops");
        let sleep = ("0002_sleep.sql", "select pg_sleep(600);");
        let run = run_on(&database, &FIVE[..2]).env("LOCKKEEPER_HISTORY_TABLE", table);
        expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
        let run = run.migrations(&[sleep]);
        let known = printed(&run, "upgrade", "head").replace("pg_sleep(600)", "pg_sleep(0)");
        let offline = printed(&nowhere::<crate::support::database::PgDatabase>(&run), "upgrade", "0001:head");
        let holder = run.spawn();
        let sleeps = "select count(*) > 0 from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()";
        wait_until("the run holds the lock", DEFAULT_TIMEOUT, || database.value(sleeps) == "t");
        for script in [&known, &offline] {
            let complaint = database.feed(script).expect_err("it did not stop");
            assert!(complaint.contains("division by zero"), "{complaint}");
        }
        holder.signal(rustix::process::Signal::TERM);
        holder.finish().expect_code(143);

        // The other way round: a script that goes on holds it.
        let mut psql = database.session();
        let lock = offline.lines().find(|line| line.contains("pg_try_advisory_lock")).expect("the lock");
        assert_eq!(psql.run(lock), "1\n");
        expect_end(&run.clone().args(["--lock-timeout", "300ms"]), 75, &["held the lock"]);
        drop(psql);
        assert_eq!(database.feed(&known), Ok(()), "{table}");
        expect_end(&run, 0, &["nothing pending"]);
    }
}

/// Its own transactions are the script's: a `psql` that is told nothing, and one that is told everything.
#[test]
fn psql_stops_however_it_is_called() {
    for arguments in [&["-v", "ON_ERROR_STOP=1"][..], &["-v", "ON_ERROR_STOP=0"], &["-q", "-A", "-t"], &["-e"]] {
        let database = Postgres::shared().database("guard_psql");
        let failing = ("0002_two.up.sql", "create table two (id integer);\nselect 1/0;\n");
        let run = run_on(&database, &FIVE).migrations(&[failing]);
        let mut shell = database.shell();
        shell.args(arguments);
        let output = run_with_input(shell, &printed(&run, "upgrade", "head"));
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        expect_applied(&database, &ALL[..1]);
    }
}

/// 39: what was broken before is not the script's doing, what is broken by it stops it.
#[test]
fn new_orphans_stop_a_script_and_old_ones_do_not() {
    let database = SqliteFile::create("guard_orphans");
    let files = [
        (
            "0001_p.sql",
            "create table parent (id integer primary key);\ncreate table child (parent_id integer references parent (id));\ninsert into parent values (1), (2);\n",
        ),
        ("0002_more.sql", "create table more (id integer);\n"),
        ("0003_less.sql", "delete from parent where id = 2;\n"),
    ];
    let run = run_on(&database, &files);
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    sqlite::query(&database.path, "insert into child values (9), (2);");
    assert_eq!(database.feed(&printed(&run, "upgrade", "0002")), Ok(()));
    stops(&database, &printed(&run, "upgrade", "head"), &["malformed JSON"]);
    assert_eq!(database.query("select count(*) from parent"), "2\n");
    sqlite::query(&database.path, "delete from child where parent_id = 2;");
    assert_eq!(database.feed(&printed(&run, "upgrade", "head")), Ok(()));
    assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n");
}
