//! Tests of one connection that becomes silent while all others work: a message of the working session, or the answer
//! to it, is lost. The run ends within twelve connect timeouts and terminates its session on the server, and a rerun
//! converges.

use std::time::Duration;

use crate::apply::{expect, expect_end, run_on};
use crate::support::binary::{Run, Running};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};
use crate::support::{DEFAULT_TIMEOUT, wait_until};
use crate::transfer_lost::{migrated, rows, transfer};

const FILES: [(&str, &str); 2] = [
    ("0001_log.sql", "create table log (id int primary key);\ninsert into log values (1);\n"),
    (
        "0002_alone.sql",
        "-- no-transaction\ninsert into log values (2);\ncreate index concurrently log_id on log (id);\ninsert into log values (3);\n",
    ),
];

/// Runs through a proxy, with a few seconds for twelve connect timeouts.
fn through(proxy: &Proxy, run: &Run, database: &PgDatabase) -> Run {
    run.clone().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "300ms")
}

/// A run whose connection loses a message of one peer and everything after it.
struct SilencedRun {
    database: PgDatabase<'static>,
    run: Run,
    running: Running,
    /// Keeps the silent connection open.
    _proxy: Proxy,
}

fn silenced_at(speaker: Peer, pattern: &[u8]) -> SilencedRun {
    let database = Postgres::shared().database("silent");
    let proxy = Proxy::start(Postgres::shared().port());
    let run = run_on(&database, &FILES);
    proxy.silence_at(speaker, pattern);
    let running = through(&proxy, &run, &database).spawn();
    SilencedRun { database, run, running, _proxy: proxy }
}

fn sessions(database: &PgDatabase) -> String {
    database.value(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'lockkeeper'",
    )
}

#[test]
fn a_message_or_an_answer_that_is_lost_ends_the_run() {
    let runs = [
        (Peer::Client, &b"insert into log values (1)"[..]),
        (Peer::Server, b"COMMIT\0"),
        (Peer::Client, b"insert into log values (2)"),
        (Peer::Client, b"create index concurrently log_id"),
        (Peer::Server, b"CREATE INDEX\0"),
        (Peer::Client, b"insert into log values (3)"),
    ]
    .map(|(speaker, pattern)| (silenced_at(speaker, pattern), String::from_utf8_lossy(pattern)));
    for (SilencedRun { database, run, running, _proxy }, place) in runs {
        let finished = running.finish();
        assert!(finished.code == Some(83), "{place}: {finished}");
        finished.says("no answer").says("run again");
        // The proxy still holds the connection: the run has terminated the session, and so has released the lock.
        wait_until("no session is left", DEFAULT_TIMEOUT, || sessions(&database) == "0");
        expect_end(&run, 0, &["0002"]);
        let log = database.value("select string_agg(id::text, ' ' order by id) from log");
        assert_eq!(log, "1 2 3", "{place}");
    }
}

/// The server has ended the session, and that message is lost.
#[test]
fn a_session_whose_end_goes_unnoticed_ends_the_run() {
    let database = Postgres::shared().database("gone");
    let proxy = Proxy::start(Postgres::shared().port());
    let run = run_on(&database, &FILES);
    proxy.silence_at(Peer::Server, b"COMMIT\0");
    // Only the end of the session can end this run in time.
    let running = run.clone().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "1h").spawn();
    wait_until("the first revision is committed", DEFAULT_TIMEOUT, || {
        database.value("select to_regclass('log') is not null") == "t"
    });
    database.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
         where datname = current_database() and application_name = 'lockkeeper'",
    );
    expect(running.finish(), 83, &["the server has ended our session", "run again"]);
    expect_end(&run, 0, &["0002"]);
}

/// A long statement is no silence, and neither is a session that is idle.
#[test]
fn a_statement_that_takes_longer_is_waited_for() {
    let database = Postgres::shared().database("long");
    let run = run_on(&database, &[("0001_slow.sql", "select pg_sleep(3);\n")]);
    expect_end(&run.env("LOCKKEEPER_CONNECT_TIMEOUT", "100ms"), 0, &["up to date at 0001"]);
}

#[test]
fn rows_that_are_lost_in_the_network_end_a_transfer() {
    let runs = [
        (Peer::Client, &b"needle"[..], 69, "", "nothing was changed"),
        (Peer::Client, b"COMMIT;\n", 83, "", "either all rows were transferred or none"),
        (Peer::Server, b"COMMIT\0", 83, "one needle", "either all rows were transferred or none"),
    ]
    .map(|(speaker, pattern, code, found, words)| {
        let database = Postgres::shared().database("silentrows");
        let proxy = Proxy::start(Postgres::shared().port());
        let run = through(&proxy, &migrated(&database, &proxy), &database);
        proxy.silence_at(speaker, pattern);
        (transfer(&run).spawn(), database, proxy, code, found, words)
    });
    for (running, database, _proxy, code, found, words) in runs {
        let finished = running.finish();
        assert!(finished.code == Some(code), "not {code}: {finished}");
        finished.says("no answer").says(words).within(Duration::from_secs(60));
        wait_until("no session is left", DEFAULT_TIMEOUT, || sessions(&database) == "0");
        assert_eq!(rows(&database), found);
    }
}
