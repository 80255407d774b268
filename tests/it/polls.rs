//! Tests of how often a server is asked: once by a start, and by a run that waits for another one only for what has
//! changed.

use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::support::DEFAULT_TIMEOUT;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::wait_until;

const REPEATABLE: (&str, &str) = ("R__view.sql", "create or replace view latest as select 1 as one;\n");

/// Returns the lines of the server's log about Lockkeeper's sessions of a database that contain a text.
fn logged(database: &PgDatabase, text: &str) -> Vec<String> {
    let session = format!("@{} lockkeeper ", database.name());
    let log = Postgres::shared().log();
    log.lines().filter(|line| line.contains(&session) && line.contains(text)).map(str::to_owned).collect()
}

/// Returns the number of Lockkeeper's sessions of a database so far.
fn logins(database: &PgDatabase) -> usize {
    let session = format!("database={} application_name=lockkeeper", database.name());
    Postgres::shared().log().lines().filter(|line| line.contains(&session)).count()
}

/// The server is asked one question after the login: whatever the schema of the history is, and if there is a journal.
#[test]
fn a_start_with_nothing_pending_sends_one_message() {
    for (settings, files) in [
        (&[][..], &[ONE, TWO][..]),
        (&[("LOCKKEEPER_HISTORY_TABLE", "other.history")], &[ONE, TWO]),
        (&[], &[ONE, REPEATABLE]),
    ] {
        let database = Postgres::shared().database("one_message");
        database.execute("create schema other");
        let run = settings.iter().fold(run_on(&database, files), |run, (name, value)| run.env(name, *value));
        expect_end(&run, 0, &["up to date"]);
        database.execute(&format!("alter database \"{}\" set log_statement = 'all'", database.name()));
        let before = logged(&database, "LOG:  statement: ").len();
        expect_end(&run, 0, &["nothing pending"]);
        let messages = logged(&database, "LOG:  statement: ").split_off(before);
        assert_eq!(messages.len(), 1, "{settings:?} {messages:#?}");
        assert_eq!(logged(&database, "ERROR:"), [""; 0], "{settings:?}");
    }
}

/// Runs `wait --migrated` on a database whose history has another revision in the place of the second one, and changes the
/// history when the run has read it and found it unchanged since.
fn expect_noticed(change: &str) {
    let database = Postgres::shared().database("noticed");
    // With its parents stated it may be pending below a later revision.
    let two = format!("-- depends: 0001\n{}", TWO.1);
    let run = run_on(&database, &[ONE, (TWO.0, &two)]);
    expect_end(&run, 0, &[]);
    database.execute("update lockkeeper_history set revision = '0009' where revision = '0002'");
    let logins = || logins(&database);
    let before = logins();
    let waiting = run.args(["wait", "--migrated"]).spawn();
    waiting.wait_for("ready, but 1 revision is pending");
    wait_until("the history was polled", DEFAULT_TIMEOUT, || logins() >= before + 4);
    database.execute(change);
    waiting.finish().expect_code(0).says("0002").within(DEFAULT_TIMEOUT);
}

#[test]
fn a_waiting_run_notices_a_row_that_is_changed_in_its_place() {
    expect_noticed("update lockkeeper_history set revision = '0002' where revision = '0009'");
}

#[test]
fn a_waiting_run_notices_a_row_that_takes_the_place_of_another() {
    expect_noticed(
        "begin; create table kept as select * from lockkeeper_history where revision = '0009'; update kept set revision = '0002'; \
         delete from lockkeeper_history where revision = '0009'; insert into lockkeeper_history select * from kept; drop table kept; commit",
    );
}

/// The journal has the records of repeatable scripts.
#[test]
fn a_waiting_run_notices_a_repeatable_script() {
    let database = Postgres::shared().database("noticed");
    let run = run_on(&database, &[ONE, REPEATABLE]);
    expect_end(&run, 0, &[]);
    let changed = run.migrations(&[(REPEATABLE.0, "create or replace view latest as select 2 as one;\n")]);
    let logins = || logins(&database);
    let before = logins();
    let waiting = changed.clone().args(["wait", "--migrated"]).spawn();
    waiting.wait_for("ready, but 1 repeatable script is pending");
    wait_until("the history was polled", DEFAULT_TIMEOUT, || logins() >= before + 4);
    expect_end(&changed, 0, &[]);
    waiting.finish().expect_code(0).within(DEFAULT_TIMEOUT);
}
