//! Tests of the binary as PID 1 of its container: `docker stop` ends it at every stage within the grace period and
//! leaves nothing behind; after `docker kill` the next run finishes the work.
//!
//! `docker stop` kills after ten seconds, which is 137: every 143 here was in time.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::engine::{Container, Database, EXAMPLE, Network, client_output};
use crate::support::temporary_directory;

const SLEEP: (&str, &str) = ("0002_sleep.sql", "CREATE TABLE t (a int);\nSELECT pg_sleep(seconds) FROM pace;");
const FIRST: (&str, &str) = ("0001_first.sql", "CREATE TABLE pace (seconds int);\nINSERT INTO pace VALUES (600);");
const SLEEPS: &str =
    "select count(*) > 0 from pg_stat_activity where application_name like 'lockkeeper%' and wait_event = 'PgSleep'";
const NO_SESSION: &str =
    "select count(*) = 0 from pg_stat_activity where backend_type = 'client backend' and application_name <> 'psql'";

/// Creates a migration directory; returns it and the option that mounts it.
fn migrations(files: &[(&str, &str)]) -> (TempDir, String) {
    let directory = temporary_directory("migrations");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a migration");
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let mount = format!("--volume={}:/migrations:ro", directory.path().display());
    (directory, mount)
}

/// Runs `docker stop` and expects the exit code and these words in the last line.
#[track_caller]
fn stop(run: &Container, code: i32, words: &[&str]) {
    client_output(&["stop", &run.name]);
    let log = run.logs();
    assert_eq!(run.wait_for_exit(), code, "{log}");
    let last = log.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "the last line lacks {word:?}:\n{log}");
    }
}

#[test]
fn stop_ends_the_wait_for_a_server() {
    let network = Network::new();
    let run = Container::start(&["--network", &network.0, "--env=DATABASE_URL=postgresql://u@nowhere/d", EXAMPLE]);
    run.wait_for("waiting for");
    stop(&run, 143, &["wait: stopped by SIGTERM", "nothing was changed"]);
}

#[test]
fn stop_ends_the_wait_for_the_lock_and_the_statement_of_the_holder() {
    let database = Database::new();
    let (_directory, mount) = migrations(&[FIRST, SLEEP]);
    let holder = database.spawn(&[&mount], EXAMPLE, &[]);
    database.wait_for(SLEEPS);
    let waiter = database.spawn(&[&mount], EXAMPLE, &[]);
    waiter.wait_for("waiting for the lock");
    stop(&waiter, 143, &["lock: stopped by SIGTERM", "nothing was changed"]);
    stop(&holder, 143, &["migrate: stopped by SIGTERM", "rolled back", "0001 was applied and kept"]);
    database.wait_for(NO_SESSION);
    assert_eq!(database.value("select to_regclass('t') is null"), "t");
}

#[test]
fn stop_ends_pg_dump_and_leaves_no_partial_file() {
    let database = Database::new();
    database.value("CREATE TABLE before (a int)");
    // pg_dump waits for this lock.
    database.session("BEGIN; LOCK before; SELECT pg_sleep(600)");
    database.wait_for("select count(*) > 0 from pg_locks where mode = 'AccessExclusiveLock' and granted");
    let backups = temporary_directory("backups");
    fs::set_permissions(backups.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let mount = format!("--volume={}:/backups", backups.path().display());
    let run = database.spawn(&[&mount], EXAMPLE, &[]);
    database.wait_for("select count(*) > 0 from pg_stat_activity where application_name = 'lockkeeper pg_dump'");
    stop(&run, 143, &["backup: stopped by SIGTERM", "nothing was changed"]);
    let remaining: Vec<_> =
        fs::read_dir(backups.path()).expect("the directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(remaining.is_empty(), "{remaining:?}");
    database.wait_for(NO_SESSION);
}

#[test]
fn stop_in_a_file_without_a_transaction_says_how_far_it_got() {
    let database = Database::new();
    let steps = (
        "0001_steps.sql",
        "-- no-transaction\nCREATE TABLE one (a int);\nSELECT pg_sleep(600);\nCREATE TABLE three (a int);",
    );
    let (_directory, mount) = migrations(&[steps]);
    let run = database.spawn(&[&mount], EXAMPLE, &[]);
    database.wait_for(SLEEPS);
    stop(&run, 81, &["stopped by SIGTERM", "1 of its statements is already committed"]);
    database.wait_for(NO_SESSION);
    assert_eq!(database.value("select state, statements_done from lockkeeper_history"), "partial, see the journal|1");
}

#[test]
fn a_killed_run_is_finished_by_the_next_one() {
    let database = Database::new();
    let (_directory, mount) = migrations(&[FIRST, SLEEP]);
    let killed = database.spawn(&[&mount], EXAMPLE, &[]);
    database.wait_for(SLEEPS);
    client_output(&["kill", &killed.name]);
    assert_eq!(killed.wait_for_exit(), 137);
    database.value("UPDATE pace SET seconds = 0");
    // Two runs at once, as an orchestrator may start them: one waits until the server has noticed that the killed run
    // is gone.
    let rerun = database.spawn(&[&mount], EXAMPLE, &[]);
    let other = database.spawn(&[&mount], EXAMPLE, &[]);
    assert_eq!((rerun.wait_for_exit(), other.wait_for_exit()), (0, 0), "{}\n{}", rerun.logs(), other.logs());
    assert_eq!(
        database.value("select string_agg(revision || state, ' ' order by revision) from lockkeeper_history"),
        "0001applied 0002applied"
    );
    assert_eq!(database.value("select count(*) from t"), "0");
}

/// One of many containers does the work.
#[test]
fn ten_containers_at_once_apply_each_revision_once() {
    let database = Database::new();
    let runs: Vec<Container> = (0..10).map(|_| database.spawn(&[], EXAMPLE, &[])).collect();
    for run in &runs {
        assert_eq!(run.wait_for_exit(), 0, "{}", run.logs());
    }
    let applied: usize = runs.iter().map(|run| run.logs().matches("applied 000").count()).sum();
    assert_eq!(applied, 5);
    assert_eq!(database.value("select count(*), count(distinct applied_by) from lockkeeper_history"), "5|1");
}
