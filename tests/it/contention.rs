//! Tests of migrations with concurrent traffic: which sessions a migration waits for, and which wait for the migration.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::apply::{expect, expect_end, history, run_on};
use crate::support::binary::Running;
use crate::support::database::PgDatabase;
use crate::support::postgres::{Postgres, Setup};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Starts a run that retries many times, so that its log can be checked meanwhile.
fn spawn_with_many_attempts(database: &PgDatabase) -> Running {
    let run = run_on(database, &[("0001_a.sql", "alter table t add more int;")]);
    run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "1s").env("LOCKKEEPER_DDL_RETRIES", "1000").spawn()
}

/// Readers queue behind a blocked ALTER TABLE, and never for longer than its lock timeout.
#[test]
fn readers_behind_a_blocked_alter_wait_no_longer_than_the_lock_timeout() {
    const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
    // The margin is far shorter than the time for which the table stays blocked, and far longer than a busy machine
    // needs for a SELECT.
    const MARGIN: Duration = Duration::from_secs(5);
    const ATTEMPTS: usize = 4;
    let database = Postgres::shared().database("readers");
    database.execute("create table t (id int); insert into t values (1)");
    let mut long = database.session();
    long.run("begin; select * from t");
    let run = run_on(&database, &[("0001_a.sql", "alter table t add more int;")])
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", format!("{}s", LOCK_TIMEOUT.as_secs()))
        .env("LOCKKEEPER_DDL_RETRIES", "100");
    let running = run.spawn();
    let waits = format!(
        "select count(*) from pg_stat_activity where application_name = 'lockkeeper' and {} = any (pg_blocking_pids(pid))",
        long.backend()
    );
    wait_until("the migration waits for the long reader", DEFAULT_TIMEOUT, || database.value(&waits) == "1");
    let over = AtomicBool::new(false);
    let waited: Vec<Duration> = thread::scope(|scope| {
        let read = || {
            let mut reader = database.session();
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert!(reader.run("select count(*) from t").starts_with('1'));
                longest = longest.max(begun.elapsed());
            }
            longest
        };
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        let tries = || running.stderr().lines().filter(|line| line.contains("will try again in")).count();
        wait_until("it has given way several times", DEFAULT_TIMEOUT, || tries() >= ATTEMPTS);
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("a reader")).collect()
    });
    assert!(waited.iter().all(|&longest| longest < LOCK_TIMEOUT + MARGIN), "readers waited {waited:?}");
    // The readers did queue: otherwise this measures nothing.
    assert!(waited.iter().any(|&longest| longest > LOCK_TIMEOUT / 4), "readers waited {waited:?}");
    long.run("rollback");
    expect(running.finish(), 0, &["up to date at 0001"]);
}

/// The lock timeout is five seconds, unless the file sets another one.
#[test]
fn each_file_has_its_own_lock_timeout() {
    let database = Postgres::shared().database("timeouts");
    let seen = "insert into seen values (current_setting('lock_timeout'), current_setting('statement_timeout'));";
    let files = [
        ("0001_a.sql", "create table seen (lock_timeout text, statement_timeout text);".to_owned()),
        ("0002_b.sql", seen.into()),
        ("0003_c.sql", format!("-- lock-timeout: 700ms\n-- statement-timeout: 3min\n{seen}")),
        ("0004_d.sql", format!("-- no-transaction\n-- lock-timeout: 800ms\n{seen}")),
        ("0005_e.sql", format!("-- no-transaction\n{seen}")),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    expect_end(&run_on(&database, &files), 0, &["up to date at 0005"]);
    assert_eq!(database.query("select * from seen"), "5s|0\n700ms|3min\n800ms|0\n5s|0\n");
}

/// An ordinary statement of a file without a transaction leaves nothing behind when its lock times out, so it is
/// retried.
#[test]
fn a_statement_outside_of_a_transaction_is_retried_after_a_lock_timeout() {
    let database = Postgres::shared().database("alone");
    database.execute("create table t (id int)");
    let mut holder = database.session();
    holder.run("begin; lock table t in access share mode");
    let script = "-- no-transaction\nset work_mem = '3MB';\ncreate table first ();\nalter table t add more int;\n\
                  create table seen as select current_setting('work_mem') as memory;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "1s");
    let blocker = format!("blocked by pid {}", holder.backend());
    let parts = ["0001_a.sql:4:1", "SQLSTATE 55P03", "2 of its statements are already committed"];
    let finished = expect_end(&run.clone().env("LOCKKEEPER_DDL_RETRIES", "2"), 82, &parts);
    let tries = finished.stderr.lines().filter(|line| line.contains("will try again in"));
    assert_eq!(tries.count(), 2, "{finished}");
    assert_eq!(history(&database), "0001|partial, see the journal\n");
    let running = run.env("LOCKKEEPER_DDL_RETRIES", "100").spawn();
    let line = running.wait_for(&blocker);
    assert!(line.contains("will try again in"), "{line}");
    holder.run("rollback");
    expect(running.finish(), 0, &["up to date at 0001"]);
    // The lock timeout is set again in each attempt, and completed statements are not repeated.
    assert_eq!(database.value("select memory from seen"), "3MB");
    assert_eq!(database.value("select statements_done from lockkeeper_history"), "4");
}

/// A signal arrives in the pause between two attempts; completed statements stay.
#[test]
fn a_signal_between_two_attempts_is_reported_as_a_signal() {
    for (directive, code, parts) in [
        ("", 143, ["stopped by SIGTERM", "the running revision was rolled back"]),
        ("-- no-transaction\n", 81, ["stopped by SIGTERM", "1 of its statements is already committed"]),
    ] {
        let database = Postgres::shared().database("pause");
        database.execute("create table t (id int)");
        let mut holder = database.session();
        holder.run("begin; lock table t in access share mode");
        let script = format!("{directive}create table first ();\nalter table t add more int;\n");
        let run = run_on(&database, &[("0001_a.sql", &script)])
            .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "10ms")
            .env("LOCKKEEPER_DDL_RETRIES", "1000")
            .spawn();
        // The pauses are far longer than the attempts by then.
        run.wait_for("attempt=6");
        run.signal(Signal::TERM);
        expect(run.finish(), code, &parts);
    }
}

/// A serialization failure is retried, with and without a transaction.
#[test]
fn a_serialization_failure_is_retried_with_and_without_a_transaction() {
    for directive in ["", "-- no-transaction\n"] {
        let database = Postgres::shared().database("serial");
        database.execute("create table t (n int); insert into t values (0)");
        let mut application = database.session();
        application.run("begin; update t set n = n + 1");
        // Its snapshot is older than the application's commit.
        let isolated = match directive {
            "" => "set local transaction isolation level repeatable read;\nupdate t set n = n + 10;\n",
            _ => "set default_transaction_isolation = 'repeatable read';\nupdate t set n = n + 10;\n",
        };
        let run = run_on(&database, &[("0001_a.sql", &format!("{directive}{isolated}"))]).spawn();
        let waits = format!(
            "select count(*) from pg_stat_activity where application_name = 'lockkeeper' and {} = any (pg_blocking_pids(pid))",
            application.backend()
        );
        wait_until("the migration waits for the application", DEFAULT_TIMEOUT, || database.value(&waits) == "1");
        application.run("commit");
        let finished = expect(run.finish(), 0, &["up to date at 0001"]);
        finished.says("SQLSTATE 40001").says("will try again in");
        assert_eq!(database.value("select n from t"), "11", "{directive}");
    }
}

/// Of several blocking sessions the oldest is named. A session that does not release its lock, or is a backup, is
/// described.
#[test]
fn blocking_sessions_are_named_and_described() {
    let database = Postgres::shared().database("who");
    database.execute("create table t (id int)");
    let hold = "begin; lock table t in access share mode";
    let mut dump = database.session();
    dump.run(&format!("set application_name = 'pg_dump'; {hold}"));
    let mut later = database.session();
    later.run(hold);
    let running = spawn_with_many_attempts(&database);
    let blocker_in_message =
        format!("blocked by pid {} (a pg_dump, postgres, idle in transaction, transaction open for ", dump.backend());
    let line = running.wait_for(&blocker_in_message);
    assert!(line.contains(" s) and 1 more: lock table t"), "{line}");
    dump.run("rollback");
    let blocker_in_message = format!("blocked by pid {} (test session, postgres, idle in transaction", later.backend());
    let line = running.wait_for(&blocker_in_message);
    assert!(!line.contains(" more: "), "{line}");
    later.run("rollback");
    expect(running.finish(), 0, &["up to date at 0001"]);
}

/// Unlike others, an autovacuum to prevent wraparound does not release its lock.
#[test]
fn an_autovacuum_to_prevent_wraparound_is_named() {
    let setup = Setup::default()
        .conf("autovacuum_freeze_max_age = 100000")
        .conf("autovacuum_naptime = 1s")
        .conf("synchronous_commit = off");
    let server = Postgres::start(setup);
    let database = server.database("old");
    // The autovacuum is slow on this table alone, and starts for no other reason.
    database.execute(
        "create table t (id int) with (autovacuum_enabled = false, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
         insert into t select generate_series(1, 200000);
         do $$ begin for i in 1..110000 loop perform txid_current(); commit; end loop; end $$",
    );
    let vacuums =
        "select count(*) from pg_stat_activity where query like 'autovacuum: VACUUM %public.t (to prevent wraparound)'";
    wait_until("the table is vacuumed", DEFAULT_TIMEOUT, || database.value(vacuums) == "1");
    spawn_with_many_attempts(&database)
        .wait_for("(an autovacuum to prevent wraparound, which does not give way, active, transaction open for ");
}

/// A prepared transaction has no session that could be terminated, so it is named by its identifier.
#[test]
fn a_prepared_transaction_that_blocks_is_named() {
    let server = Postgres::start(Setup::default().conf("max_prepared_transactions = 2"));
    let database = server.database("prepared");
    database.execute("create table t (id int)");
    database.session().run("begin; lock table t in access share mode; prepare transaction 'gone'");
    let running = spawn_with_many_attempts(&database);
    running.wait_for("blocked by a prepared transaction (pg_prepared_xacts)");
    database.execute("rollback prepared 'gone'");
    expect(running.finish(), 0, &["up to date at 0001"]);
}

/// The second session does not run the migration: when it was ended, it is opened again.
#[test]
fn a_second_session_that_was_ended_is_opened_again() {
    let database = Postgres::shared().database("watch");
    database.execute("create table t (id int)");
    let mut holder = database.session();
    holder.run("begin; lock table t in access share mode");
    let run = run_on(&database, &[("0001_a.sql", "alter table t add more int;")])
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "1s")
        .env("LOCKKEEPER_DDL_RETRIES", "100")
        .spawn();
    run.wait_for("will try again in");
    let end = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity \
               where application_name = 'lockkeeper watch' and datname = current_database()";
    assert_eq!(database.value(end), "1");
    let before = run.stderr().lines().count();
    let blocker = format!("blocked by pid {}", holder.backend());
    wait_until("the blocker is named again", DEFAULT_TIMEOUT, || {
        run.stderr().lines().skip(before + 1).any(|line| line.contains("will try again in") && line.contains(&blocker))
    });
    assert_eq!(database.value(end), "1");
    // It cancels a statement that would wait for ever.
    holder.run("rollback");
    expect(run.finish(), 0, &["up to date at 0001"]);
    let endless =
        run_on(&database, &[("0002_b.sql", "select pg_sleep(600);"), ("0001_a.sql", "alter table t add more int;")]);
    let running = endless.spawn();
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'lockkeeper' and wait_event = 'PgSleep'";
    wait_until("the statement runs", DEFAULT_TIMEOUT, || database.value(sleeps) == "1");
    assert_eq!(database.value(end), "1");
    running.signal(Signal::TERM);
    expect(running.finish(), 143, &["rolled back"]).does_not_say("could not be cancelled");
    assert_eq!(database.value(sleeps), "0");
}
