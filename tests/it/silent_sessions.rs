//! Tests of one additional connection that becomes silent, as in `silent`: the session that creates, renames and drops
//! databases, and the one that counts rows. Nothing waits for it for ever.

use crate::apply::{expect, expect_end};
use crate::backup::with_data;
use crate::contract::{ONE, TWO, run_on};
use crate::restore::{backups, name, restore, with_backups};
use crate::restore_postgres::{KeptDatabases, backed_up, family, rows};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Runs through a proxy, with a few seconds for twelve connect timeouts.
fn through(proxy: &Proxy, run: &Run, database: &PgDatabase) -> Run {
    run.clone().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "300ms")
}

#[test]
fn a_restore_whose_maintenance_session_falls_silent_ends_and_the_next_one_restores() {
    let runs = [
        (Peer::Client, &b"CREATE DATABASE"[..]),
        (Peer::Server, b"CREATE DATABASE\0"),
        (Peer::Client, b"RENAME TO"),
        (Peer::Server, b"ALTER DATABASE\0"),
    ]
    .map(|(speaker, pattern)| {
        let (database, run, backup) = backed_up();
        let proxy = Proxy::start(Postgres::shared().port());
        proxy.silence_at(speaker, pattern);
        let running = restore(&through(&proxy, &run, &database), &backup).arg("--yes").spawn();
        (running, database, run, backup, proxy, String::from_utf8_lossy(pattern))
    });
    for (running, database, run, backup, _proxy, place) in runs {
        let relatives = KeptDatabases(&database);
        let finished = running.finish();
        assert!(finished.code == Some(69), "{place}: {finished}");
        finished.says("no answer").says("run again");
        assert_eq!(rows(&database), "1", "{place}");
        let others = "select count(*) from pg_stat_activity where application_name = 'lockkeeper restore' \
                      and query like '%' || current_database() || '%'";
        wait_until("its session is ended on the server", DEFAULT_TIMEOUT, || database.value(others) == "0");
        expect_end(&restore(&run, &backup).arg("--yes"), 0, &[]);
        assert_eq!(rows(&database), "1 2 3", "{place}");
        let remaining: Vec<String> =
            family(&database).into_iter().filter(|name| name.contains("_lockkeeper_restore")).collect();
        assert!(remaining.is_empty(), "{place}: {remaining:?}");
        drop(relatives);
    }
}

/// The databases were exchanged or not: the session that renamed them cannot tell, another session can.
#[test]
fn when_the_answer_to_the_exchange_is_lost_another_session_checks_it() {
    let (database, run, backup) = backed_up();
    let relatives = KeptDatabases(&database);
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.hold_at(Peer::Client, b"RENAME TO");
    let running = restore(&through(&proxy, &run, &database), &backup).arg("--yes").spawn();
    proxy.wait_for_hold();
    proxy.silence_at(Peer::Server, b"COMMIT\0");
    proxy.release();
    expect(running.finish(), 0, &["restored"]);
    assert_eq!(rows(&database), "1 2 3");
    drop(relatives);
}

#[test]
fn a_rehearsal_whose_scratch_database_cannot_be_dropped_in_time_does_not_delay_the_run() {
    let database = Postgres::shared().database("silentcopy");
    let run = with_backups(run_on(&database, &[ONE])).env("LOCKKEEPER_REHEARSE", "true");
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[TWO]);
    let relatives = KeptDatabases(&database);
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.silence_at(Peer::Client, b"DROP DATABASE");
    let finished = through(&proxy, &run, &database).output();
    expect(finished, 0, &["up to date at 0002"]).says("stays until the next run removes it").says("no answer");
    drop(relatives);
}

/// The statistics of a large table, with an expression index that is slow.
#[test]
fn statistics_that_take_longer_are_waited_for() {
    let database = Postgres::shared().database("analyze");
    let slow = "create function slow(n int) returns int immutable language plpgsql as \
         $$ begin perform pg_catalog.pg_sleep(4); return n; end $$;\n\
         create table t (n int);\ncreate index on t (slow(n));\ninsert into t values (1);\n";
    let run = with_backups(run_on(&database, &[("0001_slow.sql", slow)]));
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    let relatives = KeptDatabases(&database);
    expect_end(&restore(&run, &backup).arg("--yes").env("LOCKKEEPER_CONNECT_TIMEOUT", "250ms"), 0, &["restored"]);
    drop(relatives);
}

#[test]
fn a_session_that_counts_rows_for_a_backup_and_falls_silent_ends_the_run() {
    let runs = [
        (69, &b"SELECT count(*) FROM ONLY"[..]),
        (69, b"pg_export_snapshot"),
        // Right after the login of the second session, before anything was done: the server is waited for again.
        (0, b"ROLLBACK\0"),
    ]
    .map(|(code, pattern)| {
        let (database, run) = with_data("silentcount");
        let proxy = Proxy::start(Postgres::shared().port());
        proxy.silence_at(Peer::Client, pattern);
        (through(&proxy, &run, &database).arg("backup").spawn(), database, run, proxy, pattern, code)
    });
    for (running, _database, run, _proxy, pattern, code) in runs {
        let finished = running.finish();
        let place = String::from_utf8_lossy(pattern);
        assert!(finished.code == Some(code), "{place}: {finished}");
        finished.says("no answer");
        expect_end(&run.arg("backup"), 0, &[]);
    }
}
