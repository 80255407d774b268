//! Tests of what a file does to sessions, its own and others', and what they do to it: settings, roles, terminations,
//! locks.

use std::fs;
use std::time::Duration;

use crate::apply::{expect, expect_end, has_table, history, run_on};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};

/// Settings, roles and temporary objects of one file are reset before the next file.
#[test]
fn settings_of_one_file_do_not_affect_the_next() {
    let database = Postgres::shared().database("settings");
    let role = unique("lowly");
    database.execute(&format!("create role {role}; create schema other; grant all on schema other to {role}"));
    let leaks = [
        "set search_path = other".to_owned(),
        format!("set role {role}"),
        format!("set session authorization {role}"),
        format!("set local role {role}"),
        "set lock_timeout = 1; set statement_timeout = '1h'; set session_replication_role = replica".into(),
        "create temp table leak (); create temp table leak_too () on commit drop".into(),
        "set default_transaction_read_only = on; set default_transaction_isolation = serializable".into(),
        "declare leak cursor with hold for select 1; listen leak; prepare leak as select 1".into(),
        "set standard_conforming_strings = off; set client_min_messages = error; set datestyle = german".into(),
    ];
    let probe = "insert into seen select concat_ws(' ', current_user, session_user, current_schema(),
        current_setting('lock_timeout'), current_setting('statement_timeout'),
        current_setting('session_replication_role'), current_setting('transaction_isolation'),
        current_setting('transaction_read_only'), current_setting('standard_conforming_strings'),
        current_setting('client_min_messages'), current_setting('datestyle'),
        to_regclass('leak') is null and to_regclass('leak_too') is null,
        (select count(*) from pg_cursors where name = 'leak'), (select count(*) from pg_listening_channels()))";
    let clean = "postgres postgres public 5s 0 origin read committed off on notice ISO, MDY t 0 0";
    let seen = "create table seen (facts text);\n";
    for directive in ["", "-- no-transaction\n"] {
        let run = run_on(&database, &[("0001_seen.sql", &format!("{seen}{probe}"))]);
        for (index, leak) in leaks.iter().enumerate() {
            let number = 2 * index + 2;
            let leaking = format!("{directive}select 'x';\n{leak};\nselect 1;");
            let name = format!("migrations/{number:04}_leak.sql");
            fs::write(run.dir().join(name), leaking).expect("write");
            fs::write(run.dir().join(format!("migrations/{:04}_probe.sql", number + 1)), probe).expect("write");
        }
        expect_end(&run, 0, &["up to date at 0019: 19 revisions applied"]);
        assert_eq!(database.query("select facts from seen"), format!("{clean}\n").repeat(10), "{directive}");
        database.execute("drop table seen, lockkeeper_history");
    }
}

/// The session state that the last file leaves must not affect the final check of the history.
#[test]
fn a_role_that_a_file_sets_does_not_write_or_read_the_history() {
    let server = Postgres::shared();
    let database = server.database("roles");
    let (owner, login) = (unique("owner"), unique("login"));
    database.execute(&format!(
        "create role {owner}; create role {login} login password 'pass7word' in role {owner};
         alter role {login} set role = {owner}; grant create on schema public to {owner}"
    ));
    let files = [
        ("0001_a.sql", "create table a ();".to_owned()),
        ("0002_b.sql", format!("set role {login}; create table b ();")),
        ("0003_c.sql", format!("-- no-transaction\nset role {login};\ncreate table c ();")),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    // The login role alone may create nothing, so the role that it takes at login has to be active again after each
    // file.
    database.execute(&format!("grant create on schema public to {login}"));
    let run = run_on(&database, &files).url(&database.url_as(&login, "pass7word"));
    expect_end(&run, 0, &["up to date at 0003: 3 revisions"]);
    let owners = "select tablename, tableowner from pg_tables where schemaname = 'public' order by 1";
    let expected =
        format!("a|{owner}\nb|{login}\nc|{login}\nlockkeeper_history|{owner}\nlockkeeper_history_journal|{owner}\n");
    assert_eq!(database.query(owners), expected);
    expect_end(&run, 0, &["nothing pending"]);
    database.execute(&format!("drop owned by {owner}, {login}; drop role {owner}, {login}"));
}

/// A baseline file as pg_dump 15 writes it.
#[test]
fn a_baseline_of_pg_dump_does_not_lose_the_history() {
    let database = Postgres::shared().database("baseline");
    let dump = "--\n-- PostgreSQL database dump\n--\n
SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;\nSET xmloption = content;\nSET client_min_messages = warning;
SET row_security = off;\n\nSET default_tablespace = '';\n\nSET default_table_access_method = heap;\n
CREATE TABLE public.a (\n    id integer NOT NULL\n);\n\n\nALTER TABLE public.a OWNER TO postgres;\n
CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE sql\n    AS $$ select count(*) from a $$;\n\n";
    let run = run_on(&database, &[("0001_baseline.sql", dump), ("0002_b.sql", "create table b ();")]);
    expect_end(&run, 0, &["up to date at 0002: 2 revisions"]);
    expect_end(&run, 0, &["nothing pending"]);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
    assert!(has_table(&database, "public.b"));
}

/// A migration that drops or empties the history table makes the run fail.
#[test]
fn a_migration_that_drops_the_history_is_reported() {
    let database = Postgres::shared().database("drops");
    let files =
        [("0001_a.sql", "create table a ();"), ("0002_b.sql", "create table b ();\ndrop table lockkeeper_history;")];
    let run = run_on(&database, &files);
    expect_end(&run, 80, &["0002_b.sql", "recording it failed", "lockkeeper_history", "rolled back"]);
    assert_eq!(history(&database), "0001|applied\n");
    // A history table that was emptied looks fine until it is read again.
    let run = run.migrations(&[("0002_b.sql", "create table b ();\ndelete from lockkeeper_history;")]);
    expect_end(&run, 87, &["0001_a.sql", "fix the differences above"]);
    expect_end(&run, 65, &["0001_a.sql is out of order"]);
}

/// A migration that terminates the sessions of the database makes the run fail, and a rerun applies the rest.
#[test]
fn a_migration_that_terminates_all_sessions_is_reported_and_a_rerun_converges() {
    let database = Postgres::shared().database("ends");
    let all = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()";
    let run = run_on(
        &database,
        &[("0001_a.sql", "create table a ();"), ("0002_b.sql", &format!("create table b ();\n{all};"))],
    );
    expect_end(&run, 83, &["0002_b.sql", "SQLSTATE 57P01", "run again"]);
    assert_eq!(history(&database), "0001|applied\n");
    // Files that change what other sessions use often terminate all of them, and our second session with them.
    let run = run.migrations(&[("0002_b.sql", &format!("{all} and pid <> pg_backend_pid();\ncreate table b ();"))]);
    expect_end(&run, 0, &["up to date at 0002: 1 revision"]);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
}

/// A lock that is not granted in time ends the run, and the message names the session that holds it.
#[test]
fn a_table_that_stays_locked_ends_the_run_and_names_who_holds_it() {
    let database = Postgres::shared().database("held");
    database.execute("create table t (id int)");
    let mut session = database.session();
    // The statement of the other session is quoted, but for the password in it.
    session.run(&format!(
        "begin; lock table t in access share mode; create role {} password '{PASSWORD}'",
        unique("role")
    ));
    let run = run_on(
        &database,
        &[("0001_a.sql", "create table a ();"), ("0002_b.sql", "create table b ();\nalter table t add more int;")],
    );
    let run = run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "400ms").env("LOCKKEEPER_DDL_RETRIES", "2");
    let blocker = format!("blocked by pid {}", session.backend());
    let parts = [
        "0002_b.sql:2:1",
        "lock timeout",
        "SQLSTATE 55P03",
        "rolled back",
        "LOCKKEEPER_DDL_RETRIES",
        &blocker,
        "test session",
        "password '***'",
    ];
    let finished = expect_end(&run, 82, &parts);
    let tries: Vec<_> = finished.stderr.lines().filter(|line| line.contains("will try again in")).collect();
    assert_eq!(tries.len(), 2, "{finished}");
    assert!(tries.iter().all(|line| line.contains(&blocker)), "{finished}");
    assert_eq!(history(&database), "0001|applied\n");
    assert!(!has_table(&database, "b"));

    let running = run.env("LOCKKEEPER_DDL_RETRIES", "100").spawn();
    running.wait_for("will try again");
    session.run("rollback");
    expect(running.finish(), 0, &["up to date at 0002: 1 revision"]).within(DEFAULT_TIMEOUT);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
}

/// A statement that is the victim of a deadlock is retried.
#[test]
fn a_deadlock_with_the_application_is_tried_again() {
    let database = Postgres::shared().database("deadlock");
    database.execute("create table a (id int); create table b (id int)");
    let mut session = database.session();
    // The application's deadlock check never comes: ours does, or our lock timeout.
    session.run("set deadlock_timeout = '1h'; begin; lock table a");
    let run = run_on(&database, &[("0001_a.sql", "alter table b add x int;\nalter table a add x int;")]).spawn();
    let waits = format!(
        "select {} = any (pg_blocking_pids(pid)) from pg_stat_activity where application_name = 'lockkeeper' and datname = current_database()",
        session.backend()
    );
    wait_until("the migration waits for the application", DEFAULT_TIMEOUT, || database.value(&waits).contains('t'));
    session.send("lock table b");
    run.wait_for("will try again");
    session.finish();
    session.run("commit");
    expect(run.finish(), 0, &["up to date at 0001: 1 revision"]).within(DEFAULT_TIMEOUT + Duration::from_secs(10));
    assert_eq!(database.value("select count(*) from information_schema.columns where column_name = 'x'"), "2");
}

/// A long step logs regularly that it is still running and what it waits for; so does a long backup.
#[test]
fn long_steps_log_that_they_are_still_running() {
    let database = Postgres::shared().database("long");
    database.execute("create table held (a int)");
    let mut holder = database.session();
    holder.run("begin; lock table held");
    let run = run_on(&database, &[("0001_wait.sql", "alter table held add b int;")]);
    let running = run.env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0").spawn();

    let slow = "[ \"$1\" = --version ] || sleep 11\nexec pg_dump \"$@\"";
    let (_kept, backup) = crate::backup::with_data("long_backup");
    let tool = backup.dir().join("slow_pg_dump");
    crate::backup::script(&tool, slow);
    let dumping = backup.env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).spawn();

    let line = running.wait_for("still running after 10 s");
    assert!(line.contains("[file=\"0001_wait.sql\"]") && line.contains("waiting for Lock"), "{line}");
    assert!(line.contains("blocked by pid "), "{line}");
    holder.run("rollback");
    running.finish().expect_code(0);
    dumping.wait_for("still backing up ");
    dumping.finish().expect_code(0).does_not_say(PASSWORD);
}
