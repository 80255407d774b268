//! Tests of what stops a printed script before it does harm: another current revision, a concurrent run, a failing
//! statement, orphans.

use crate::contract::{expect_end, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied};
use crate::sql::{printed, with_unreachable_url};
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::process::run_with_input;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

/// Expects that the database's shell stops with these words, and that everything is as before.
#[track_caller]
fn expect_stop(database: &impl Database, script: &str, words: &[&str]) {
    let state = || (database.schema(), database.query("select * from lockkeeper_history order by revision"));
    let before = state();
    let complaint = database.feed(script).expect_err("it did not stop");
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in: {complaint}");
    }
    assert_eq!(state(), before, "{complaint}");
}

/// Returns the guard's message, as the shell prints it.
fn guard_message<D: Database>() -> &'static str {
    if D::DIALECT == "sqlite" { "malformed JSON" } else { "division by zero" }
}

fn a_script_stops_when_the_database_is_at_another_revision<D: Database>() {
    let database = D::create("guard");
    let run = at_five(&database);
    let up = |range: &str| printed(&with_unreachable_url::<D>(&run), "upgrade", range);
    let down = |range: &str| printed(&with_unreachable_url::<D>(&run), "downgrade", range);
    for script in [up("base:head"), up("0003:0004"), up("0004:head"), down("0004:base"), down("0001:base")] {
        assert!(script.contains(&format!("-- {}", if D::DIALECT == "sqlite" { "\"malformed" } else { "Division" })));
        expect_stop(&database, &script, &[guard_message::<D>()]);
    }
    // The second time, the database is no longer at the first revision.
    let once = down("head:0003");
    assert_eq!(database.feed(&once), Ok(()));
    expect_stop(&database, &once, &[guard_message::<D>()]);
    expect_applied(&database, &ALL[..3]);
    // The script was printed for another current revision.
    let stale = printed(&run, "upgrade", "head");
    expect_end(&run.clone().args(["upgrade", "0004"]), 0, &[]);
    expect_stop(&database, &stale, &[guard_message::<D>()]);
    expect_applied(&database, &ALL[..4]);
}

/// A file has other leading zeros than when it was applied: no revision may be undone whose row would stay.
fn a_downgrade_script_stops_when_a_row_has_other_leading_zeros<D: Database>() {
    let database = D::create("guard");
    expect_end(&run_on(&database, &FIVE[..4]), 0, &[]);
    let renamed = [("1_one.up.sql", FIVE[0].1), ("1_one.down.sql", FIVE[1].1), FIVE[2], FIVE[3]];
    let run = run_on(&database, &renamed);
    expect_end(&run, 0, &["nothing pending"]);
    expect_stop(&database, &printed(&with_unreachable_url::<D>(&run), "downgrade", "2:base"), &[guard_message::<D>()]);
    assert_eq!(database.feed(&printed(&run, "downgrade", "base")), Ok(()));
    expect_applied(&database, &[]);
}

fn a_script_for_a_database_without_a_history_stops_if_there_is_one<D: Database>() {
    let database = D::create("guard");
    let run = run_on(&database, &FIVE);
    let complaint = database.feed(&printed(&run, "downgrade", "base")).is_ok();
    assert!(complaint || !database.has_table("lockkeeper_history"));
    assert!(database.feed(&printed(&with_unreachable_url::<D>(&run), "downgrade", "head:base")).is_err());
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

fn a_script_finishes_what_a_run_started_and_the_other_way_round<D: Database>() {
    let database = D::create("guard");
    let run = without_a_transaction(&database);
    expect_end(&run, 81, &["0002_two.up.sql:3:"]);
    let half = "0001|applied|1|1\n0002|partial, see the journal|1|3\n";
    assert_eq!(journal(&database), half);
    // A script that takes the statement for not started must not start it again.
    let offline_script = printed(&with_unreachable_url::<D>(&run), "upgrade", "0001:0002");
    expect_stop(&database, &offline_script, &[guard_message::<D>()]);
    let script = printed(&run, "upgrade", "head");
    assert!(script.contains("-- An earlier run has done 1 of its 3 statements."), "{script}");
    assert!(!script.contains("create table two"), "{script}");
    expect_stop(&database, &script, &["gate"]);
    database.query("create table gate (n integer)");
    assert_eq!(database.feed(&script), Ok(()));
    let finished_history = "0001|applied|1|1\n0002|applied|3|3\n";
    assert_eq!(journal(&database), finished_history);
    // The journal had a row for it before.
    expect_stop(&database, &script, &[guard_message::<D>()]);

    // The down migration is started by a script and finished by a run.
    database.query("drop table gate");
    let script = printed(&run, "downgrade", "0001");
    assert!(database.feed(&script).expect_err("it did not stop").contains("gate"));
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing, see the journal|1|3\n");
    expect_stop(&database, &script, &[guard_message::<D>()]);
    expect_end(&run, 65, &["revision 0002 is half undone"]);
    expect_end(&run.clone().args(["upgrade", "--sql"]), 65, &["revision 0002 is half undone"]);
    database.query("create table gate (n integer)");
    expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);

    // The up migration is started by a script and finished by a run.
    database.query("drop table gate");
    assert!(database.feed(&printed(&run, "upgrade", "head")).is_err());
    assert_eq!(journal(&database), half);
    database.query("create table gate (n integer)");
    expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]);
    assert_eq!(journal(&database), finished_history);
}

/// The completed statements must be those of the file, as in a run.
fn a_script_does_not_resume_an_edited_file<D: Database>() {
    let database = D::create("guard");
    let run = without_a_transaction(&database);
    expect_end(&run, 81, &[]);
    let edited = UP.replace("create table two (id", "create table two (more text, id");
    let run = run.migrations(&[("0002_two.up.sql", &edited)]);
    let parts = ["0002_two.up.sql", "first 1 statements", "edited", "restore those statements"];
    expect_end(&run.args(["upgrade", "--sql"]), 65, &parts);
}

on_either!(
    a_script_stops_when_the_database_is_at_another_revision,
    a_downgrade_script_stops_when_a_row_has_other_leading_zeros,
    a_script_for_a_database_without_a_history_stops_if_there_is_one,
    a_failing_statement_ends_the_script_and_its_revision,
    a_script_finishes_what_a_run_started_and_the_other_way_round,
    a_script_does_not_resume_an_edited_file,
);

/// The script takes the lock of runs, whatever the history table.
#[test]
fn a_script_and_a_run_exclude_each_other() {
    for table in ["lockkeeper_history", "ops.history", "\"Odd\"\"Name"] {
        let database = Postgres::shared().database("guard_lock");
        database.query("create schema ops");
        let sleep = ("0002_sleep.sql", "select pg_sleep(600);");
        let run = run_on(&database, &FIVE[..2]).env("LOCKKEEPER_HISTORY_TABLE", table);
        expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
        let run = run.migrations(&[sleep]);
        let fast_script = printed(&run, "upgrade", "head").replace("pg_sleep(600)", "pg_sleep(0)");
        let offline =
            printed(&with_unreachable_url::<crate::support::database::PgDatabase>(&run), "upgrade", "0001:head");
        let holder = run.spawn();
        let sleeps = "select count(*) > 0 from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()";
        wait_until("the run holds the lock", DEFAULT_TIMEOUT, || database.value(sleeps) == "t");
        for script in [&fast_script, &offline] {
            let complaint = database.feed(script).expect_err("it did not stop");
            assert!(complaint.contains("division by zero"), "{complaint}");
        }
        holder.signal(rustix::process::Signal::TERM);
        holder.finish().expect_code(143);

        // The other way round: a script that is resumed holds the lock.
        let mut psql = database.session();
        let lock = offline.lines().find(|line| line.contains("pg_try_advisory_lock")).expect("the lock");
        assert_eq!(psql.run(lock), "1\n");
        expect_end(&run.clone().args(["--lock-timeout", "300ms"]), 75, &["held the lock"]);
        drop(psql);
        assert_eq!(database.feed(&fast_script), Ok(()), "{table}");
        expect_end(&run, 0, &["nothing pending"]);
    }
}

/// The script has its own transactions: psql may be called with default settings or with ON_ERROR_STOP and
/// --single-transaction.
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

/// Orphans from before do not stop the script, orphans that it causes do.
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
    expect_stop(&database, &printed(&run, "upgrade", "head"), &["malformed JSON"]);
    assert_eq!(database.query("select count(*) from parent"), "2\n");
    sqlite::query(&database.path, "delete from child where parent_id = 2;");
    assert_eq!(database.feed(&printed(&run, "upgrade", "head")), Ok(()));
    assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n");
}
