//! Tests of losses during a run: sessions, servers, networks, the answer to a COMMIT. Only what happened is recorded,
//! all of it is, and a rerun converges.

use std::thread;
use std::time::Duration;

use crate::contract::{check_end, expect_end, run_on};
use crate::support::binary::{Run, Running};
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::{Postgres, Setup, Stop};
use crate::support::proxy::{Peer, Proxy};
use crate::support::session::Session;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// A command that changes the database, and the words that distinguish a rerun with something to do from one without.
struct Command {
    arguments: &'static [&'static str],
    again: &'static str,
    nothing: &'static str,
}

const COMMANDS: [Command; 4] = [
    Command { arguments: &["upgrade"], again: "up to date at 0003: 1 revision applied", nothing: "nothing pending" },
    Command {
        arguments: &["downgrade", "0001"],
        again: "up to date at 0001: 1 revision undone",
        nothing: "nothing to undo",
    },
    Command { arguments: &["stamp", "0003"], again: "stamped", nothing: "nothing to stamp" },
    Command { arguments: &["repair", "--yes"], again: "repaired: 1 file", nothing: "nothing to repair" },
];

/// Creates a database at 0002, with 0003 pending; for `repair`, the file of 0001 is edited.
fn database_at_two(database: &PgDatabase<'_>, verb: &Command) -> Run {
    let one = ("0001_one.up.sql", "create table one (id int);\n");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(&[
        one,
        ("0002_two.up.sql", "create table two (id int); insert into two values (2);\n"),
        ("0002_two.down.sql", "drop table two; create table gone (id int);\n"),
    ]);
    expect_end(&run, 0, &["up to date at 0002"]);
    let run = match verb.arguments[0] {
        "repair" => run.migrations(&[("0001_one.up.sql", "-- edited\ncreate table one (id int);\n")]),
        _ => run.migrations(&[("0003_three.up.sql", "create table three (id int); insert into three values (3);\n")]),
    };
    run.args(verb.arguments.iter().copied())
}

fn state(database: &PgDatabase<'_>) -> (String, String) {
    (database.dump_schema(), database.history_without_times())
}

/// When the connection ends around a COMMIT, each command reports an unknown outcome, and a rerun succeeds either way.
#[test]
fn a_connection_cut_at_commit_is_an_unknown_outcome_for_every_command() {
    for verb in &COMMANDS {
        let undisturbed = Postgres::shared().database("undisturbed");
        let run = database_at_two(&undisturbed, verb);
        let before = state(&undisturbed);
        expect_end(&run, 0, &[verb.again]);
        let after = state(&undisturbed);
        assert_ne!(before, after);
        for (speaker, pattern, found, rerun) in
            [(Peer::Server, &b"COMMIT\0"[..], &after, verb.nothing), (Peer::Client, b"COMMIT;\n", &before, verb.again)]
        {
            let database = Postgres::shared().database("cut");
            let proxy = Proxy::start(Postgres::shared().port());
            let run = database_at_two(&database, verb).url(&proxy.url(database.name()));
            proxy.cut_at(speaker, pattern);
            expect_end(&run, 83, &["is not known", "run again: the history will tell"]);
            assert_eq!(proxy.cuts(), 1);
            assert_eq!(&state(&database), found, "{:?} cut when the {speaker:?} speaks", verb.arguments);
            expect_end(&run, 0, &[rerun]);
            assert_eq!(state(&database), after, "{:?} cut when the {speaker:?} speaks", verb.arguments);
        }
    }
}

/// A script of many messages, of which only the last one has the COMMIT.
#[test]
fn a_large_script_cut_at_commit_is_an_unknown_outcome_as_well() {
    let filler = format!("select '{}';\n", "x".repeat(100)).repeat(4000);
    let script = format!("create table one (id int);\n{filler}insert into one values (1);\n");
    for (speaker, pattern, rerun) in [
        (Peer::Server, &b"COMMIT\0"[..], "nothing pending"),
        (Peer::Client, b"COMMIT;\n", "up to date at 0001: 1 revision"),
    ] {
        let database = Postgres::shared().database("large");
        let proxy = Proxy::start(Postgres::shared().port());
        let run = run_on(&database, &[("0001_large.sql", &script)]).url(&proxy.url(database.name()));
        proxy.cut_at(speaker, pattern);
        expect_end(&run, 83, &["0001_large.sql", "is not known"]);
        expect_end(&run, 0, &[rerun]);
        assert_eq!(database.value("select string_agg(id::text, ' ') from one"), "1");
    }
}

/// Returns three revisions, of which the second one waits; each inserts a row that can be inserted only once.
fn three_revisions(second: &str) -> Vec<(&'static str, String)> {
    vec![
        ("0001_log.sql", "create table log (id int primary key); insert into log values (1);".into()),
        ("0002_second.sql", second.into()),
        ("0003_last.sql", "insert into log values (3);".into()),
    ]
}

fn with(run: &Run, files: &[(&'static str, String)]) -> Run {
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    run.clone().migrations(&files)
}

const IN_TRANSACTION: &str = "insert into log values (2);\nlock table gate;";
const OUTSIDE_OF_TRANSACTION: &str = "-- no-transaction\ninsert into log values (2);\nselect count(*) from gate;";

/// A run that waits at a known point until it is disturbed.
struct WaitingRun<'a> {
    database: PgDatabase<'a>,
    /// Holds the lock that the run waits for.
    lock_session: Session,
    proxy: Proxy,
    run: Run,
    running: Running,
    what: &'static str,
    code: &'static [i32],
}

/// Starts a run that waits at the point `what` when its server goes away.
fn waiting_at<'a>(server: &'a Postgres, what: &'static str, attempt: &str) -> WaitingRun<'a> {
    let database = server.database("standing");
    database.execute("create table gate (id int)");
    let proxy = Proxy::start(server.port());
    let run = Run::new()
        .url(&proxy.url(database.name()))
        .env("LOCKKEEPER_BACKUP", "off")
        .env("LOCKKEEPER_CONNECT_TIMEOUT", attempt)
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0");
    let mut lock_session = database.session();
    lock_session.run("begin; lock table gate");
    let waits = |application: &str| {
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = current_database() \
             and application_name = '{application}' and wait_event_type = 'Lock'"
        );
        wait_until(what, DEFAULT_TIMEOUT, || database.value(&sql) == "1");
    };
    let (running, run, code): (_, _, &[i32]) = match what {
        "in a transaction" => {
            let run = with(&run, &three_revisions(IN_TRANSACTION));
            let running = run.spawn();
            waits("lockkeeper");
            (running, run, &[83])
        }
        "in a statement without a transaction" => {
            let run = with(&run, &three_revisions(OUTSIDE_OF_TRANSACTION));
            let running = run.spawn();
            waits("lockkeeper");
            (running, run, &[81, 83])
        }
        "between two steps" => {
            let run = with(&run, &three_revisions("insert into log values (2);"));
            proxy.hold_at(Peer::Client, b"-- 0003_last.sql");
            let running = run.spawn();
            proxy.wait_for_hold();
            (running, run, &[83])
        }
        "in the backup" => {
            let run = with(&run, &three_revisions("insert into log values (2);")).env("LOCKKEEPER_BACKUP", "required");
            let running = run.spawn();
            waits("lockkeeper pg_dump");
            (running, run, &[69])
        }
        other => panic!("{other}: where is that?"),
    };
    WaitingRun { database, lock_session, proxy, run, running, what, code }
}

const WAIT_POINTS: [&str; 4] =
    ["in a transaction", "in a statement without a transaction", "between two steps", "in the backup"];

impl WaitingRun<'_> {
    /// Expects that the run has ended with a valid code and recorded only what happened; then a rerun does the rest.
    fn converges(self) {
        let WaitingRun { database, lock_session, proxy, run, running, what, code } = self;
        proxy.release();
        let finished = running.finish();
        drop(lock_session);
        assert!(finished.code.is_some_and(|found| code.contains(&found)), "{what}, not {code:?}: {finished}");
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("try: "), "{what}: {finished}");
        let rows = |sql: &str| database.try_query(sql).unwrap_or_default();
        let recorded = rows("select revision::int from lockkeeper_history where state = 'applied' order by 1");
        let happened = rows("select id from log order by 1");
        match what {
            "in a statement without a transaction" => {
                assert_eq!((recorded.as_str(), happened.as_str()), ("1\n", "1\n2\n"))
            }
            _ => assert_eq!(recorded, happened, "{what}: {finished}"),
        }
        expect_end(&run, 0, &["0003"]);
        assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from log"), "1 2 3", "{what}");
        assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n", "{what}");
        expect_end(&run, 0, &["nothing pending"]);
    }
}

/// The server is restarted, in order or as after a crash.
#[test]
fn a_server_restarted_at_any_point_is_survived_by_a_rerun() {
    let server = Postgres::start(Setup::default());
    for how in [Stop::Fast, Stop::Immediate] {
        let waiting_at: Vec<WaitingRun<'_>> = WAIT_POINTS.iter().map(|what| waiting_at(&server, what, "5s")).collect();
        server.restart(how);
        waiting_at.into_iter().for_each(WaitingRun::converges);
    }
}

/// An administrator terminates all sessions of a run: the working one, the second one, pg_dump's.
#[test]
fn sessions_ended_by_an_administrator_at_any_point_are_survived_by_a_rerun() {
    for what in WAIT_POINTS {
        let waiting_at = waiting_at(Postgres::shared(), what, "5s");
        waiting_at.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and application_name like 'lockkeeper%'",
        );
        waiting_at.converges();
    }
}

/// A run that only waits for the lock has nothing to lose: it logs in again and keeps waiting.
#[test]
fn a_waiting_run_whose_session_is_ended_keeps_waiting() {
    let database = Postgres::shared().database("waiter");
    database.execute("create table gate (id int)");
    let mut lock_session = database.session();
    lock_session.run("begin; lock table gate");
    let run = run_on(&database, &[]).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0");
    let run = with(&run, &three_revisions(IN_TRANSACTION));
    let holder = run.spawn();
    let sessions = "select pid from pg_stat_activity where datname = current_database() \
                    and application_name like 'lockkeeper%'";
    wait_until("the holder stands at the gate", DEFAULT_TIMEOUT, || {
        database.value("select count(*) from pg_locks where relation = 'gate'::regclass and not granted") == "1"
    });
    let holders: Vec<String> = database.query(sessions).lines().map(str::to_owned).collect();
    let waiter = run.spawn();
    waiter.wait_for("waiting for the lock");
    let others =
        format!("select pg_terminate_backend(pid, 10000) from ({sessions} and pid not in ({})) o", holders.join(", "));
    assert_eq!(database.query(&others), "t\n");
    waiter.wait_for("not ready after all");
    lock_session.run("commit");
    check_end(holder.finish(), 0, &["up to date at 0003"]);
    check_end(waiter.finish(), 0, &["0003"]);
    assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from log"), "1 2 3");
}

/// The second session only monitors: the work continues without it.
#[test]
fn a_run_whose_second_session_is_ended_continues() {
    let database = Postgres::shared().database("second");
    database.execute("create table gate (id int)");
    let mut lock_session = database.session();
    lock_session.run("begin; lock table gate");
    let run = run_on(&database, &[]).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0");
    let running = with(&run, &three_revisions(IN_TRANSACTION)).spawn();
    let second = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
                  where datname = current_database() and application_name = 'lockkeeper watch'";
    wait_until("the run stands at the gate", DEFAULT_TIMEOUT, || {
        database.value("select count(*) from pg_locks where relation = 'gate'::regclass and not granted") == "1"
    });
    assert_eq!(database.query(second), "t\n");
    lock_session.run("commit");
    check_end(running.finish(), 0, &["up to date at 0003: 3 revisions applied"]);
}

/// The network becomes silent, at whatever point the run is: the run ends within a bounded time, and a rerun converges.
/// Most of that time is waiting, so all cases wait at the same time.
#[test]
fn a_network_that_falls_silent_anywhere_ends_the_run() {
    thread::scope(|scope| {
        scope.spawn(silent_at_wait_points);
        silent_at_queries();
    });
}

fn silent_at_wait_points() {
    let waiting_at = WAIT_POINTS.map(|what| waiting_at(Postgres::shared(), what, "300ms"));
    waiting_at.iter().for_each(|run| run.proxy.freeze());
    for WaitingRun { database, lock_session, proxy, run, running, what, code } in waiting_at {
        let finished = running.finish();
        assert!(finished.code.is_some_and(|found| code.contains(&found)), "{what}, not {code:?}: {finished}");
        finished.says("no answer").says("run again").within(Duration::from_secs(30));
        drop((lock_session, proxy));
        database.terminate_all();
        expect_end(&run.url(&database.url()), 0, &["0003"]);
        assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from log"), "1 2 3", "{what}");
    }
}

/// At each of our own queries during the work, one connection is silent and the others are not.
fn silent_at_queries() {
    let questions: [(&[u8], &str); 4] = [
        (b"pg_largeobject_metadata", "backup: "),
        (b"pg_table_size", "backup: "),
        (b"NOT i.indisvalid", "migrate: "),
        (b"CREATE TABLE IF NOT EXISTS", "migrate: "),
    ];
    let runs = questions.map(|(question, stage)| {
        let database = Postgres::shared().database("unanswered");
        database.execute("create table old (id int)");
        let proxy = Proxy::start(Postgres::shared().port());
        let run = run_on(&database, &[]).env("LOCKKEEPER_BACKUP", "required");
        let run = with(&run, &three_revisions("insert into log values (2);"));
        proxy.silence_at(Peer::Client, question);
        let attempt = run.clone().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "300ms");
        (attempt.spawn(), run, database, proxy, stage)
    });
    for (running, run, _database, proxy, stage) in runs {
        let finished = running.finish();
        assert!(matches!(finished.code, Some(69 | 83)), "{stage} {finished}");
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(stage) && last.contains("no answer"), "{stage} {finished}");
        drop(proxy);
        expect_end(&run, 0, &["up to date at 0003"]);
    }
}
