//! Tests of revisions that share a commit: what is reported survives a crash, and the outcome is that of single commits.

use std::time::Duration;

use rustix::process::Signal;

use crate::contract::{expect_end, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop, USER};
use crate::support::sqlite;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server that does not write its log to the disk by itself for ten seconds.
fn start_without_flushes() -> Postgres {
    Postgres::start(without_flushes())
}

fn without_flushes() -> Setup {
    Setup::default().conf("wal_writer_delay = 10s").conf("wal_writer_flush_after = 1GB").conf("autovacuum = off")
}

/// Returns the files of revisions that create the tables t_0001, t_0002, ..., and of one more with another script.
fn files(count: usize, last: &str) -> Vec<(String, String)> {
    let table = |number: usize| format!("create table t_{number:04} (id integer);\n");
    let mut files: Vec<_> = (1..=count).map(|number| (format!("{number:04}_t.sql"), table(number))).collect();
    if !last.is_empty() {
        files.push((format!("{:04}_last.sql", count + 1), last.to_owned()));
    }
    files
}

fn with_files(run: Run, files: &[(String, String)]) -> Run {
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    run.migrations(&files)
}

/// Returns the revisions that the history has, and those whose tables exist, which are the same.
fn applied(database: &PgDatabase<'_>) -> String {
    let list = |column: &str, from: &str| {
        database.value(&format!("select coalesce(string_agg({column}, ' ' order by {column}), 'none') from {from}"))
    };
    if database.value("select to_regclass('lockkeeper_history') is null") == "t" {
        assert_eq!(list("relname", "pg_class where relname like 't\\_0%'"), "none");
        return "none".into();
    }
    let recorded = list("revision", "lockkeeper_history");
    assert_eq!(recorded, list("substr(relname, 3)", "pg_class where relname like 't\\_0%'"));
    recorded
}

#[test]
fn what_a_failing_run_reports_survives_a_crash_of_the_server() {
    let server = start_without_flushes();
    let database = server.database("failing");
    let run = with_files(run_on(&database, &[]), &files(3, "select 1 / 0;\n"));
    expect_end(&run, 80, &["3 revisions were applied and kept, the last is 0003"]);
    server.restart(Stop::Immediate);
    assert_eq!(applied(&database), "0001 0002 0003");
}

#[test]
fn what_a_cancelled_run_reports_survives_a_crash_of_the_server() {
    let server = start_without_flushes();
    let database = server.database("cancelled");
    let run = with_files(run_on(&database, &[]), &files(3, "select pg_sleep(600);\n"));
    let running = run.spawn();
    wait_until("the last revision runs", LIMIT, || is_sleeping(&database));
    running.signal(Signal::TERM);
    let finished = running.finish();
    finished.expect_code(143);
    assert!(finished.stderr.contains("3 revisions were applied and kept"), "{}", finished.stderr);
    server.restart(Stop::Immediate);
    assert_eq!(applied(&database), "0001 0002 0003");
}

fn is_sleeping(database: &PgDatabase<'_>) -> bool {
    let sleeping =
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    database.value(sleeping) == "1"
}

/// While a long revision runs, those before it become durable and are reported: the second session's commit waits for the
/// disk, on a server without replication as well.
#[test]
fn what_is_reported_while_a_long_revision_runs_survives_a_crash_of_the_server() {
    for wal_level in ["minimal", "logical"] {
        let setup = without_flushes().conf(&format!("wal_level = {wal_level}")).conf("max_wal_senders = 0");
        let server = Postgres::start(setup);
        server.execute(&format!("alter role {USER} set synchronous_commit = off"));
        let database = server.database("long");
        database.execute("create table held (id integer)");
        let mut holder = database.session();
        holder.run("begin; lock table held");
        database.execute("checkpoint");
        let run = with_files(run_on(&database, &[]), &files(3, "alter table held add other integer;\n"));
        let running = run.env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0").spawn();
        let line = running.wait_for("applied 0003_t.sql");
        assert!(!line.contains("0004_last.sql"), "the line names the revision that runs: {line}");
        assert_eq!(reported(&running.stderr()), ["0001", "0002", "0003"]);
        server.restart(Stop::Immediate);
        running.finish().expect_code(83).says("3 revisions were applied and kept, the last is 0003");
        assert_eq!(applied(&database), "0001 0002 0003");
    }
}

/// The commit of the second session waits for a standby that is gone: a signal ends the revision that runs nevertheless.
#[test]
fn a_standby_that_is_gone_keeps_no_signal_from_a_long_revision() {
    let server = Postgres::start(Setup::default());
    let database = server.database("standby");
    let lose_standby = format!(
        "copy (select 'synchronous_standby_names = missing') to program 'cat >> {}/postgresql.conf';\nselect pg_reload_conf();\n",
        server.data().display()
    );
    let files = [("0001_a.sql", &*lose_standby), ("0002_b.sql", "select pg_sleep(600);\n")];
    let running = run_on(&database, &files).spawn();
    let waits =
        "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'lockkeeper watch'";
    wait_until("the second session waits for the standby", LIMIT, || database.value(waits) == "1");
    running.signal(Signal::TERM);
    wait_until("the revision has ended", LIMIT, || !is_sleeping(&database));
    assert!(!running.stderr().contains("applied 0001_a.sql"), "{}", running.stderr());
    server.execute("alter system set synchronous_standby_names = ''");
    server.execute("select pg_reload_conf()");
    running.finish().expect_code(143).says("revision 0001 was applied and kept");
}

/// The revisions before the one that runs are committed, and may not be on the disk: nobody is told of them, and a crash
/// loses the newest of them as a whole. An administrator has taken away the function by which they could become durable.
#[test]
fn what_a_crash_of_the_server_has_lost_was_not_reported() {
    const ASKED: &str = "has_function_privilege(oid, 'EXECUTE')";
    let server = Postgres::start(without_flushes().conf("log_statement = all"));
    let database = server.database("crashed");
    server.execute(&format!("create role deployer login password '{PASSWORD}'"));
    database.execute("grant create on schema public to deployer");
    database.execute("revoke execute on function pg_logical_emit_message(boolean, text, text) from public");
    database.execute("checkpoint");
    let run = with_files(run_on(&database, &[]), &files(3, "select pg_sleep(600);\n"));
    let run = run.url(&database.url_as("deployer", PASSWORD));
    let running = run.spawn();
    wait_until("the second session asks what it may do", LIMIT, || server.log().contains(ASKED));
    assert!(is_sleeping(&database) && !server.log().contains("permission denied"), "{}", server.log());
    assert_eq!(applied(&database), "0001 0002 0003");
    server.restart(Stop::Immediate);
    let finished = running.finish();
    let said = &finished.stderr;
    assert!(!said.contains("applied 0001_t.sql"), "{said}");
    assert!(said.contains("3 were committed, and may be lost if the server has crashed"), "{said}");
    assert_ne!(finished.code, Some(0), "{said}");
    let left = applied(&database);
    assert!(left == "none" || "0001 0002 0003".starts_with(&left), "{left}");
    let rest = with_files(run_on(&database, &[]), &files(3, ""));
    let rest = rest.url(&database.url_as("deployer", PASSWORD));
    expect_end(&rest, 0, &["up to date at 0003"]);
}

/// Crashes the server at moments that differ from run to run: what is recorded is what is there, what was reported is
/// recorded, and a rerun ends as an undisturbed run does.
#[test]
fn a_server_that_crashes_at_any_moment_loses_nothing_that_was_reported() {
    const REVISIONS: usize = 300;
    let server = Postgres::start(Setup::default().conf("autovacuum = off"));
    let files = files(REVISIONS, "");
    for crash in 1..=4 {
        let database = server.database("moments");
        let run = with_files(run_on(&database, &[]), &files);
        let running = run.spawn();
        let crash_after = format!("{:04}", crash * 50);
        let is_there = format!("select to_regclass('t_{crash_after}') is not null");
        wait_until("some revisions have run", LIMIT, || database.value(&is_there) == "t");
        let reported_before = reported(&running.stderr());
        server.restart(Stop::Immediate);
        let finished = running.finish();
        let recorded = applied(&database);
        for revision in reported_before.iter().chain(&reported(&finished.stderr)) {
            assert!(recorded.contains(revision), "{revision} was reported, and {recorded} is recorded");
        }
        run.output().expect_code(0).says("at 0300");
        assert_eq!(applied(&database).split(' ').count(), REVISIONS);
    }
}

/// Returns the revisions that a log reports as applied.
fn reported(log: &str) -> Vec<String> {
    let after = |line: &str| line.split_once("applied 0").map(|(_, rest)| format!("0{}", &rest[..3]));
    log.lines().filter_map(after).collect()
}

fn on_sqlite(files: &[(&str, &str)]) -> Run {
    Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

#[test]
fn sqlite_keeps_the_revisions_before_one_that_fails() {
    let run = on_sqlite(&[
        ("0001_a.sql", "create table a (id integer primary key);\n"),
        ("0002_b.sql", "insert into a values (1);\ncreate table b (id integer);\n"),
        ("0003_c.sql", "create table c (id integer);\ninsert into a values (1);\n"),
        ("0004_d.sql", "create table d (id integer);\n"),
    ]);
    expect_end(
        &run,
        80,
        &["0003_c.sql", "UNIQUE constraint failed", "2 revisions were applied and kept, the last is 0002"],
    );
    let path = run.dir().join("app.db");
    assert_eq!(sqlite::query(&path, "select name from sqlite_master where name in ('a','b','c','d');"), "a\nb\n");
    assert_eq!(sqlite::query(&path, "select revision from lockkeeper_history;"), "0001\n0002\n");
}

/// A conflict that rolls back the whole transaction takes the revisions before it along: they run once more, one by one.
#[test]
fn sqlite_keeps_the_revisions_before_one_that_rolls_everything_back() {
    let run = on_sqlite(&[
        ("0001_a.sql", "create table a (id integer unique on conflict rollback);\n"),
        ("0002_b.sql", "insert into a values (1);\n"),
        ("0003_c.sql", "insert into a values (2);\n"),
        ("0004_d.sql", "insert into a values (3), (1);\n"),
    ]);
    let finished = expect_end(&run, 80, &["UNIQUE constraint failed", "3 revisions were applied and kept"]);
    assert!(finished.stderr.contains("they run again one by one"), "{}", finished.stderr);
    let path = run.dir().join("app.db");
    assert_eq!(sqlite::query(&path, "select id from a;"), "1\n2\n");
    assert_eq!(sqlite::query(&path, "select revision from lockkeeper_history;"), "0001\n0002\n0003\n");
}

/// What a file sets or attaches does not reach the revisions that share a transaction.
#[test]
fn sqlite_runs_a_file_that_changes_its_session_alone() {
    let run = on_sqlite(&[
        ("0001_a.sql", "create table a (id integer);\n"),
        (
            "0002_b.sql",
            "create temp table scratch (id integer);\ninsert into scratch values (7);\ninsert into a select id from scratch;\n",
        ),
        ("0003_c.sql", "pragma recursive_triggers = on;\ninsert into a values (8);\n"),
        (
            "0004_d.sql",
            "insert into a select recursive_triggers from pragma_recursive_triggers;\ninsert into a select count(*) from temp.sqlite_master;\n",
        ),
    ]);
    expect_end(&run, 0, &["up to date at 0004"]);
    assert_eq!(sqlite::query(&run.dir().join("app.db"), "select id from a;"), "7\n8\n0\n0\n");
}

/// SQLite cannot commit inside of a transaction: a reader of the log is told what a long revision keeps from being committed.
#[test]
fn sqlite_says_which_revisions_a_long_one_keeps_from_being_committed() {
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n;\n";
    let run = on_sqlite(&[
        ("0001_a.sql", "create table a (id integer);\n"),
        ("0002_b.sql", "create table b (id integer);\n"),
        ("0003_c.sql", endless),
    ]);
    let running = run.spawn();
    let line = running.wait_for("still running after 10 s");
    assert!(line.contains("in one transaction with the 2 revisions before it, which are not committed yet"), "{line}");
    running.signal(Signal::TERM);
    running.finish().expect_code(143);
    assert_eq!(sqlite::query(&run.dir().join("app.db"), "select revision from lockkeeper_history;"), "0001\n0002\n");
}
