//! Tests of the lock on PostgreSQL: which run gets it, which waits, what they log, and what happens when the holder
//! dies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::support::binary::{Finished, Run, Running};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, USER};
use crate::support::session::Session;
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};

/// A limit for what happens at once or within a few seconds. It is shorter than any keepalive.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Runs on a database, with the backups in its working directory.
fn run_on(database: &PgDatabase) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP_DIR", "backups")
}

/// Adds three revisions; each inserts a row into `log`.
fn with_three(run: Run) -> Run {
    run.migrations(&[
        ("0001_log.sql", "create table log (id int not null); insert into log values (1);"),
        ("0002_type.sql", "create type mood as enum ('fine'); insert into log values (2);"),
        ("0003_index.sql", "create index on log (id); insert into log values (3);"),
    ])
}

/// Creates a table `gate` and a session that locks it.
fn lock_gate(database: &PgDatabase) -> Session {
    database.execute("create table gate (id int)");
    let mut gate_session = database.session();
    gate_session.run("begin; lock table gate");
    gate_session
}

/// A run whose second revision waits for the table `gate`, without a backup, because pg_dump would wait as well.
fn run_to_the_gate(database: &PgDatabase) -> Run {
    run_on(database).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0").migrations(&[
        ("0001_log.sql", "create table log (id int not null); insert into log values (1);"),
        ("0002_gated.sql", "insert into log values (2);\nlock table gate;"),
        ("0003_last.sql", "insert into log values (3);"),
    ])
}

/// Starts a run and waits until it waits at the gate.
fn hold_at_the_gate(database: &PgDatabase, run: &Run) -> Running {
    let running = run.spawn();
    wait_until("the holder stands at the gate", DEFAULT_TIMEOUT, || {
        database.value("select count(*) from pg_locks where relation = 'gate'::regclass and not granted") == "1"
    });
    running
}

/// Returns the backends that hold an advisory lock in this database.
pub fn lock_holders(database: &PgDatabase) -> Vec<String> {
    let sql = "select pid from pg_locks where locktype = 'advisory' and granted \
               and database = (select oid from pg_database where datname = current_database())";
    database.query(sql).lines().map(str::to_owned).collect()
}

/// Returns the rows that the revisions have inserted.
fn log(database: &PgDatabase) -> String {
    database.value("select string_agg(id::text, ' ' order by id) from log")
}

fn history(database: &PgDatabase) -> String {
    let sql = "select string_agg(revision || ' ' || state, ', ' order by revision) from lockkeeper_history";
    database.value(sql)
}

/// Returns the last line that a run has logged.
#[track_caller]
fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_else(|| panic!("it has said nothing: {finished}"))
}

/// Returns the files of a directory with this ending.
pub fn files(directory: &Path, ending: &str) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.ends_with(ending)).collect()
}

/// Many replicas take one backup, and none of an empty database.
#[test]
fn twenty_runs_at_once_apply_each_revision_once() {
    for (before, backups) in [("select 1", 0), ("create table old (id int)", 1)] {
        let database = Postgres::shared().database("twenty");
        database.execute(before);
        let run = with_three(run_on(&database));
        let running: Vec<Running> = (0..20).map(|_| run.spawn()).collect();
        for one in running {
            one.finish().expect_code(0).does_not_say(PASSWORD);
        }
        assert_eq!(log(&database), "1 2 3");
        assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
        assert_eq!(files(&run.dir().join("backups"), ".dump").len(), backups, "after {before}");
        assert_eq!(lock_holders(&database), [""; 0]);
        let log_prefix = format!("@{} ", database.name());
        let log = Postgres::shared().log();
        let errors: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(&log_prefix) && (line.contains("ERROR:") || line.contains("FATAL:")))
            .collect();
        assert_eq!(errors, [""; 0], "the server has seen errors");
    }
}

/// Waiting runs hold no snapshot that a concurrent build would wait for.
#[test]
fn a_concurrent_index_build_is_not_blocked_by_five_waiting_runs() {
    let database = Postgres::shared().database("concurrently");
    database.execute("create table t (id int); insert into t select generate_series(1, 1000)");
    let run = run_on(&database)
        .env("LOCKKEEPER_BACKUP", "off")
        .migrations(&[("0001_index.sql", "-- no-transaction\ncreate index concurrently t_id on t (id);")]);
    let mut writer = database.session();
    writer.run("begin; insert into t values (0)");
    let holder = run.spawn();
    wait_until("the build waits for the writer", DEFAULT_TIMEOUT, || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and query like 'create index concurrently%' and wait_event_type = 'Lock'";
        database.value(sql) == "1"
    });
    let waiters: Vec<Running> = (0..5).map(|_| run.spawn()).collect();
    for waiter in &waiters {
        let line = waiter.wait_for("waiting for the lock");
        assert!(line.contains("create index concurrently t_id"), "does not say what the holder runs: {line}");
    }
    writer.run("commit");
    for one in std::iter::once(holder).chain(waiters) {
        one.finish().expect_code(0);
    }
    assert_eq!(database.value("select indisvalid from pg_index where indexrelid = 't_id'::regclass"), "t");
    assert_eq!(history(&database), "0001 applied");
}

/// A run that waits in vain ends with a message that names the session with the lock.
#[test]
fn a_waiter_that_gives_up_names_the_holder() {
    let database = Postgres::shared().database("waiter");
    let mut gate_session = lock_gate(&database);
    let run = run_to_the_gate(&database);
    let holder = hold_at_the_gate(&database, &run);
    let pid = lock_holders(&database).concat();
    let waiter = run.clone().args(["--lock-timeout", "1s"]).output();
    waiter.expect_code(75).does_not_say(PASSWORD).within(TIME_LIMIT);
    let line = last_line(&waiter);
    for part in [
        &*format!("pid {pid}, lockkeeper from 127.0.0.1"),
        "connected for ",
        "active: ",
        "0002_gated.sql",
        "nothing was changed",
        "LOCKKEEPER_LOCK_TIMEOUT",
    ] {
        assert!(line.contains(part), "{part:?} is not in this: {line}");
    }
    gate_session.run("commit");
    holder.finish().expect_code(0);
    assert_eq!(log(&database), "1 2 3");
}

/// The session of an idle holder ends with its connection.
#[test]
fn killing_an_idle_holder_releases_the_lock_at_once() {
    let database = Postgres::shared().database("idle");
    let mut gate_session = lock_gate(&database);
    // The holder's own session is idle while pg_dump waits at the gate.
    let run = with_three(run_on(&database));
    let holder = run.spawn();
    wait_until("pg_dump stands at the gate", DEFAULT_TIMEOUT, || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and application_name = 'lockkeeper pg_dump' and wait_event_type = 'Lock'";
        database.value(sql) == "1"
    });
    let waiter = run.spawn();
    waiter.wait_for("waiting for the lock");
    let old = lock_holders(&database);
    holder.kill();
    wait_until("the waiter has the lock", TIME_LIMIT, || {
        let new = lock_holders(&database);
        !new.is_empty() && new != old
    });
    gate_session.run("commit");
    waiter.finish().expect_code(0);
    assert_eq!(log(&database), "1 2 3");
    let backups = run.dir().join("backups");
    assert_eq!(files(&backups, ".partial"), [""; 0]);
    assert_eq!(files(&backups, ".dump").len(), 1);
}

/// The server checks during a statement whether the client is still connected (client_connection_check_interval).
#[test]
fn killing_a_holder_during_a_statement_releases_the_lock_soon() {
    let database = Postgres::shared().database("busy");
    let mut gate_session = lock_gate(&database);
    let run = run_to_the_gate(&database);
    hold_at_the_gate(&database, &run).kill();
    // The gate is locked all the time: only the check can end that statement.
    wait_until("the lock is free", TIME_LIMIT, || lock_holders(&database).is_empty());
    assert_eq!(history(&database), "0001 applied");
    gate_session.run("commit");
    run.output().expect_code(0);
    assert_eq!(log(&database), "1 2 3");
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
}

/// A run that has lost the lock commits nothing more, and the next run applies the rest.
#[test]
fn a_terminated_lock_session_commits_nothing_more() {
    let database = Postgres::shared().database("terminated");
    let mut gate_session = lock_gate(&database);
    let run = run_to_the_gate(&database);
    let holder = hold_at_the_gate(&database, &run);
    let pid = lock_holders(&database).concat();
    let waiter = run.spawn();
    waiter.wait_for("waiting for the lock");
    // The first revision is reported while the second one waits at the gate: it is on the disk.
    holder.wait_for("applied 0001");
    assert_eq!(database.value(&format!("select pg_terminate_backend({pid}, 10000)")), "t");
    let finished = holder.finish();
    finished.expect_code(83).does_not_say(PASSWORD);
    let line = last_line(&finished);
    for part in ["0002_gated.sql", "57P01", "revision 0001 was applied and kept", "run again"] {
        assert!(line.contains(part), "{part:?} is not in this: {line}");
    }
    assert_eq!(history(&database), "0001 applied");
    gate_session.run("commit");
    waiter.finish().expect_code(0).says("0003");
    assert_eq!(log(&database), "1 2 3");
    run.output().expect_code(0);
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
}

/// The session of the holder is terminated while it is idle during pg_dump.
#[test]
fn a_lock_session_terminated_during_the_backup_changes_nothing() {
    let database = Postgres::shared().database("terminated");
    let mut gate_session = lock_gate(&database);
    let run = with_three(run_on(&database));
    let holder = run.spawn();
    wait_until("pg_dump stands at the gate", DEFAULT_TIMEOUT, || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and application_name = 'lockkeeper pg_dump' and wait_event_type = 'Lock'";
        database.value(sql) == "1"
    });
    let pid = lock_holders(&database).concat();
    assert_eq!(database.value(&format!("select pg_terminate_backend({pid}, 10000)")), "t");
    gate_session.run("commit");
    let finished = holder.finish();
    finished.expect_code(83).says("nothing was changed").says("run again");
    assert_eq!(database.value("select to_regclass('log') is null"), "t");
    run.output().expect_code(0);
    assert_eq!(log(&database), "1 2 3");
}

/// A script that calls pg_advisory_unlock_all() is detected.
#[test]
fn a_script_that_releases_the_lock_is_detected() {
    let unlocks = "insert into log values (2);\nselect pg_advisory_unlock_all();";
    let unlocks_alone = format!("-- no-transaction\n{unlocks}");
    let discards = "-- no-transaction\ninsert into log values (2);\ndiscard all;";
    for (script, code, says, kept) in [
        (unlocks, 80, "it was rolled back", "0001 applied"),
        (&*unlocks_alone, 81, "1 of its statements", "0001 applied, 0002 partial, see the journal"),
        (discards, 81, "1 of its statements", "0001 applied, 0002 partial, see the journal"),
    ] {
        let database = Postgres::shared().database("unlock");
        let run = run_on(&database).migrations(&[
            ("0001_log.sql", "create table log (id int not null); insert into log values (1);"),
            ("0002_frees.sql", script),
            ("0003_last.sql", "insert into log values (3);"),
        ]);
        let finished = run.output();
        finished.expect_code(code);
        let line = last_line(&finished);
        for part in ["0002_frees.sql", "lock was lost", says, "revision 0001 was applied and kept"] {
            assert!(line.contains(part), "{part:?} is not in this: {line}");
        }
        assert_eq!(history(&database), kept, "after {script}");
        assert_eq!(lock_holders(&database), [""; 0]);
        let corrected = script.replace("select pg_advisory_unlock_all();", "select 2;");
        let corrected = corrected.replace("discard all;", "select 2;");
        run.clone().migrations(&[("0002_frees.sql", &corrected)]).output().expect_code(0);
        assert_eq!(log(&database), "1 2 3", "after {script}");
    }
}

/// DISCARD ALL would release the lock as well.
#[test]
fn discard_all_within_a_transaction_is_refused_before_anything_runs() {
    let database = Postgres::shared().database("discard");
    let run = run_on(&database)
        .migrations(&[("0001_log.sql", "create table log (id int);"), ("0002_d.sql", "\ndiscard all;")]);
    let finished = run.output();
    finished.expect_code(65).says("0002_d.sql:2").says("no-transaction");
    assert_eq!(database.value("select to_regclass('log') is null"), "t");
}

/// The key of the lock depends on the history table, and not on the URL, the host or the user.
#[test]
fn the_lock_is_that_of_the_history_table_whatever_the_url() {
    let server = Postgres::shared();
    let database = server.database("reached");
    let mut gate_session = lock_gate(&database);
    let run = run_to_the_gate(&database);
    let holder = hold_at_the_gate(&database, &run);
    run_on(&database)
        .migrations(&[("0001_other.sql", "create table other (id int);")])
        .env("LOCKKEEPER_BACKUP", "off")
        .env("LOCKKEEPER_HISTORY_TABLE", "other_history")
        .output()
        .expect_code(0);
    assert_eq!(database.value("select revision || ' ' || state from other_history"), "0001 applied");
    let by_name = database.url().replace("127.0.0.1", "localhost");
    let by_socket = format!(
        "postgresql://{USER}:{PASSWORD}@/{}?host={}&port={}",
        database.name(),
        server.socket_dir().display(),
        server.port()
    );
    for (url, table) in [
        (database.url(), "lockkeeper_history"),
        (by_name, "lockkeeper_history"),
        (by_socket, "lockkeeper_history"),
        (database.url(), "public.lockkeeper_history"),
    ] {
        let other = run.clone().url(&url).env("LOCKKEEPER_HISTORY_TABLE", table);
        let finished = other.args(["--lock-timeout", "0"]).output();
        finished.expect_code(75).says("0002_gated.sql").does_not_say(PASSWORD);
    }
    gate_session.run("commit");
    holder.finish().expect_code(0);
    assert_eq!(log(&database), "1 2 3");
}

/// Waiting, locking, backing up, migrating and verifying work for every name, and so does a second run with nothing
/// pending.
#[test]
fn databases_with_unusual_names_are_migrated() {
    for name in ["Capitals", "it's \"quoted\" $1 %s", "Ünïcode 数据库 🗝", "a/b\\c?d=e&f#g:h@i"] {
        let database = Postgres::shared().database_named(&unique(name));
        database.execute("create table old (id int)");
        let run = with_three(run_on(&database));
        run.output().expect_code(0).does_not_say(PASSWORD);
        assert_eq!(log(&database), "1 2 3", "{name}");
        assert_eq!(files(&run.dir().join("backups"), ".dump").len(), 1, "{name}");
        assert_eq!(lock_holders(&database), [""; 0], "{name}");
        run.output().expect_code(0);
        let backups = run.clone().arg("backups").output();
        assert_eq!(backups.expect_code(0).stdout.matches("verified").count(), 1, "{name}: {backups}");
    }
}

/// The test computes the key of the lock itself: it must be the same in every release.
#[test]
fn nothing_pending_takes_no_lock_no_backup_and_no_write() {
    let server = Postgres::shared();
    let database = server.database("settled");
    let run = with_three(run_on(&database));
    run.output().expect_code(0);
    let reader = unique("reader");
    server.execute(&format!("create role {reader} login password '{PASSWORD}'"));
    database.execute(&format!("grant select on lockkeeper_history to {reader}"));
    let sum = Sha256::digest(format!("lockkeeper\0{}\0public\0lockkeeper_history", database.name()));
    let key = i64::from_be_bytes(sum[..8].try_into().expect("eight bytes"));
    let mut holder = database.session();
    holder.run(&format!("begin; select pg_advisory_lock({key})"));
    let as_reader = run.clone().url(&database.url_as(&reader, PASSWORD)).args(["--lock-timeout", "0"]);
    for settled in [run.clone().args(["--lock-timeout", "0"]), as_reader] {
        settled.output().expect_code(0).does_not_say(PASSWORD);
    }
    assert_eq!(files(&run.dir().join("backups"), ""), [""; 0]);
    assert_eq!(log(&database), "1 2 3");
    // The session does hold the lock as soon as something is pending.
    let pending = run.migrations(&[("0004_more.sql", "insert into log values (4);")]);
    let finished = pending.clone().args(["--lock-timeout", "0"]).output();
    finished.expect_code(75).says(&format!("pid {}, test session", holder.backend()));
    holder.run("commit");
    drop(holder);
    pending.output().expect_code(0);
    assert_eq!(log(&database), "1 2 3 4");
    drop(database);
    server.execute(&format!("drop role {reader}"));
}

/// An index that an administrator is building is invalid until it is ready: that is no defect of this run.
#[test]
fn an_index_that_another_session_is_building_is_no_error() {
    let database = Postgres::shared().database("building");
    database.execute("create table big (n int)");
    let (mut writer, mut builder) = (database.session(), database.session());
    writer.run("begin; insert into big values (1)");
    builder.send("create index concurrently theirs on big (n)");
    let begun = "select count(*) from pg_index where indexrelid = to_regclass('theirs')";
    let script = "create table t ();\nselect pg_sleep(2);";
    let run = run_on(&database).env("LOCKKEEPER_BACKUP", "off").migrations(&[("0001_t.sql", script)]);
    let running = run.spawn();
    wait_until("the build has begun", DEFAULT_TIMEOUT, || database.value(begun) == "1");
    running.finish().expect_code(0);
    writer.run("commit");
    builder.finish();
    assert_eq!(database.value("select indisvalid from pg_index where indexrelid = 'theirs'::regclass"), "t");
}
