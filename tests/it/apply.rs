//! Revisions that fail, on PostgreSQL: what is said, what stands, and that a rerun converges.

use std::fs;
use std::time::Duration;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::proxy::{Proxy, Speaker};
use crate::support::{SOON, unique, wait_until};

pub fn run_on(database: &PgDatabase, files: &[(&str, &str)]) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

/// Ends with this code, and its last line has all of these.
#[track_caller]
pub fn ends(run: &Run, code: i32, parts: &[&str]) -> Finished {
    expect(run.output(), code, parts)
}

#[track_caller]
pub fn expect(finished: Finished, code: i32, parts: &[&str]) -> Finished {
    finished.expect_code(code).silent_about(PASSWORD);
    let last = finished.stderr.lines().last().expect("a last line");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in the last line: {finished}");
    }
    finished
}

fn has_table(database: &PgDatabase, name: &str) -> bool {
    database.value(&format!("select to_regclass('{name}') is not null")) == "t"
}

fn history(database: &PgDatabase) -> String {
    database.query("select revision, state from lockkeeper_history order by revision")
}

/// 24: scripts that fail, where, and what has to be said of it.
#[test]
fn a_failing_statement_is_shown_with_its_place_and_all_that_the_server_says() {
    let long = "x".repeat(400);
    let rows: &[(&str, &str, &[&str])] = &[
        ("-- ä€𝄞\nselect 'ß'; selec 1;", "2:13", &["syntax error", "SQLSTATE 42601", "statement: selec 1;"]),
        (
            "select 1;\n\tselect 'é€' ,\n  sum(1) form x;\nselect 2;",
            "3:15",
            &["SQLSTATE 42601", "select 'é€' , / sum"],
        ),
        (
            "create table people (name text);\r\nselect 1;\r\n/* ö */ select\r\n nmae from people;\r\n",
            "4:2",
            &[
                "SQLSTATE 42703",
                "hint: Perhaps you meant to reference the column \"people.name\"",
                "select / nmae",
            ],
        ),
        (
            "create table t (id int unique);\ninsert into t values (1);\n\n  insert into t values (1);\nselect 1;",
            "4:3",
            &[
                "SQLSTATE 23505",
                "detail: Key (id)=(1) already exists.",
                "statement: insert into t values (1)",
            ],
        ),
        (
            "select 1;\n-- ü\n select 1/(1 - 1);",
            "3:2",
            &["division by zero", "SQLSTATE 22012", "select 1/(1 - 1)"],
        ),
        (
            "select 1;\ndo $$ begin\n raise exception 'no %', 'good' using detail = 'so it is',\n hint = 'mend it', errcode = 'LK001';\nend $$;",
            "2:1",
            &[
                "no good (SQLSTATE LK001)",
                "detail: so it is",
                "hint: mend it",
                "context: PL/pgSQL function inline_code_block line 2 at RAISE",
            ],
        ),
        (
            "create function f() returns int language plpgsql as $$\nbegin\n  retrn 1;\nend $$;",
            "3:3",
            &["syntax error at or near \"retrn\""],
        ),
        (
            "create function g() returns int language sql as\n$$ select 'ä' || nothing $$;",
            "2:18",
            &["column \"nothing\" does not exist"],
        ),
        (
            "create table p (id int primary key);\ncreate table c (p int references p deferrable initially deferred);\ninsert into c values (7);",
            "",
            &["COMMIT was refused", "SQLSTATE 23503", "detail: Key (p)=(7) is not present in table \"p\"."],
        ),
        ("select 1; set lock_timeout = 'canary7secret'", "1:11", &["SQLSTATE 22023"]),
        (&format!("select {long};\n"), "1:8", &["SQLSTATE 42703", "xxx ..."]),
    ];
    let database = Postgres::shared().database("place");
    for (script, place, parts) in rows {
        if script.contains(PASSWORD) {
            continue;
        }
        let run = run_on(&database, &[("0001_a.sql", script)]);
        let place = if place.is_empty() { "0001_a.sql: ".into() } else { format!("0001_a.sql:{place}: ") };
        let finished =
            ends(&run, 80, &[&[place.as_str(), "rolled back", "correct the file"], *parts].concat());
        finished.silent_about("no transaction in progress").silent_about("recording it failed");
        assert_eq!(history(&database), "", "{script}");
        let left = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relname !~ '^lockkeeper'";
        assert_eq!(database.value(left), "0", "{script}");
    }
}

/// 24, 62: the log is read by more people than the file.
#[test]
fn a_password_in_a_failing_statement_is_masked() {
    let database = Postgres::shared().database("masked");
    let script = format!("select 1;\ncreate role postgres\n login password '{PASSWORD}';");
    let run = run_on(&database, &[("0001_a.sql", &script)]);
    ends(&run, 80, &["0001_a.sql:2:1: role \"postgres\" already exists", "password '***'"]);
}

/// 24: files larger than a message.
#[test]
fn a_failure_in_a_later_message_names_its_place_too() {
    let filler = |lines: usize| format!("select 'ä{}';\n", "x".repeat(40)).repeat(lines);
    let wide = format!("select '{}', nothing;\n", "€".repeat(60_000));
    let rows = [
        // The third message: run-time, analysis, syntax.
        (format!("{}\n  select 1/0;\n{}", filler(6000), filler(10)), "6002:3", "division by zero"),
        (format!("{}select 'ö', nothing;\n{}", filler(6000), filler(10)), "6001:13", "nothing"),
        (
            format!("{}\n\nselect 'ö' form x y;\n{}", filler(6000), filler(10)),
            "6003:17",
            "statement: select 'ö' form x y;",
        ),
        // A message of one statement, which begins behind a blank line.
        (format!("{}\n\n {wide}", filler(2600)), "2603:60013", "column \"nothing\""),
        (format!("{}\n\n-- c\n{wide}{wide}", filler(0)), "4:60012", "column \"nothing\""),
    ];
    let database = Postgres::shared().database("large");
    for (script, place, what) in rows {
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        ends(&run, 80, &[&format!("0001_a.sql:{place}: "), what]);
        assert_eq!(history(&database), "");
    }
}

/// 24 without a transaction.
#[test]
fn a_failure_without_a_transaction_names_its_place() {
    let database = Postgres::shared().database("alone");
    let rows = [
        ("-- no-transaction\n\n-- ä\n /* ö */ select 'ü', nothing;", "4:22", "nothing", "0|1"),
        ("-- no-transaction\nselect 1;\n  select\n 1/0;", "3:3", "division by zero", "1|2"),
        ("-- no-transaction\nselect 1; select 2;\nvacuum nowhere", "3:1", "nowhere", "2|3"),
    ];
    for (script, place, what, journal) in rows {
        let run = run_on(&database, &[("0001_a.sql", script)]);
        ends(&run, 81, &[&format!("0001_a.sql:{place}: "), what, "run again"]);
        let sql = "select statements_done, statements_total from lockkeeper_history where state = 'partial'";
        assert_eq!(database.value(sql), journal, "{script}");
        database.execute("drop table lockkeeper_history");
    }
}

/// 26
#[test]
fn a_connection_cut_at_commit_is_unknown_and_a_rerun_knows() {
    for (speaker, pattern, committed) in
        [(Speaker::Server, &b"COMMIT\0"[..], true), (Speaker::Client, b"COMMIT;\n", false)]
    {
        let database = Postgres::shared().database("cut");
        let proxy = Proxy::to(Postgres::shared().port());
        let one = ("0001_one.sql", "create table one (id int);");
        let two = ("0002_two.sql", "create table two (id int); insert into two values (1);");
        let run = run_on(&database, &[one, two]).url(&proxy.url(database.name()));
        ends(&run.clone().args(["upgrade", "0001"]), 0, &[]);
        proxy.cut_at(speaker, pattern);
        let parts = [
            "0002_two.sql",
            "connection was lost",
            "committed is not known",
            "run again: the history will tell",
        ];
        ends(&run, 83, &parts);
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(has_table(&database, "two"), committed);
        let settled = if committed { "nothing pending" } else { "settled at 0002: 1 revision" };
        ends(&run, 0, &[settled]);
        assert_eq!(history(&database), "0001|applied\n0002|applied\n");
        assert_eq!(database.value("select count(*) from two"), "1");
    }
}

/// 27
#[test]
fn a_killed_run_without_a_transaction_leaves_its_journal() {
    let database = Postgres::shared().database("killed");
    let script =
        |second: &str| format!("-- no-transaction\ncreate table a ();\n{second};\ncreate table c ();\n");
    let run = run_on(&database, &[("0001_a.sql", &script("select pg_sleep(600)"))]);
    let running = run.spawn();
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and query ~ '^select pg_sleep'";
    wait_until("statement 2 runs", SOON, || database.value(sleeps) == "1");
    assert_eq!(running.kill().signal, Some(9));
    database.terminate_all();
    let journal = "select state, statements_done, statements_total from lockkeeper_history";
    assert_eq!(database.value(journal), "partial|1|3");
    let run = run.migrations(&[("0001_a.sql", &script("create table b ()"))]);
    ends(&run, 0, &["settled at 0001"]);
    assert_eq!(database.value(journal), "applied|3|3");
    assert!(has_table(&database, "b") && has_table(&database, "c"));
}

/// 27: what ran without a transaction stays, recorded or not, and nothing else is claimed.
#[test]
fn a_journal_that_cannot_be_written_is_no_rollback() {
    let database = Postgres::shared().database("unwritten");
    for statement in ["drop table lockkeeper_history", "select pg_advisory_unlock_all()"] {
        let script =
            format!("-- no-transaction\ncreate table if not exists a ();\n{statement};\nselect 3;\n");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        let finished = ends(&run, 81, &["0001_a.sql:3:1: statement 2", "it ran, but", "1 of its statements"]);
        finished.silent_about("rolled back");
        assert!(has_table(&database, "a"));
    }
}

/// 33
#[test]
fn what_one_file_sets_does_not_reach_the_next() {
    let database = Postgres::shared().database("settings");
    let role = unique("lowly");
    database
        .execute(&format!("create role {role}; create schema other; grant all on schema other to {role}"));
    let leaks = [
        "set search_path = other".to_owned(),
        format!("set role {role}"),
        format!("set session authorization {role}"),
        format!("set local role {role}"),
        "set lock_timeout = 1; set statement_timeout = '1h'; set session_replication_role = replica".into(),
        "create temp table leak (); create temp table leak_too () on commit drop".into(),
        "set default_transaction_read_only = on; set default_transaction_isolation = serializable".into(),
        "declare leak cursor with hold for select 1; listen leak; prepare leak as select 1".into(),
        "set standard_conforming_strings = off; set client_min_messages = error; set datestyle = german"
            .into(),
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
            fs::write(run.dir().join(format!("migrations/{:04}_probe.sql", number + 1)), probe)
                .expect("write");
        }
        ends(&run, 0, &["settled at 0019: 19 revisions applied"]);
        assert_eq!(database.query("select facts from seen"), format!("{clean}\n").repeat(10), "{directive}");
        database.execute("drop table seen, lockkeeper_history");
    }
}

/// 33: the last file's leavings must not reach our own last look at the history.
#[test]
fn a_role_taken_by_a_file_does_not_write_or_read_the_history() {
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
    // As the login role alone may create nothing, what it takes at login has to hold again after each file.
    database.execute(&format!("grant create on schema public to {login}"));
    let run = run_on(&database, &files).url(&database.url_as(&login, "pass7word"));
    ends(&run, 0, &["settled at 0003: 3 revisions"]);
    let owners = "select tablename, tableowner from pg_tables where schemaname = 'public' order by 1";
    let expected = format!("a|{owner}\nb|{login}\nc|{login}\nlockkeeper_history|{owner}\n");
    assert_eq!(database.query(owners), expected);
    ends(&run, 0, &["nothing pending"]);
    database.execute(&format!("drop owned by {owner}, {login}; drop role {owner}, {login}"));
}

/// 33: a baseline as pg_dump 15 writes it.
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
    ends(&run, 0, &["settled at 0002: 2 revisions"]);
    ends(&run, 0, &["nothing pending"]);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
    assert!(has_table(&database, "public.b"));
}

/// 37
#[test]
fn notices_and_warnings_are_logged_with_their_file() {
    let database = Postgres::shared().database("notice");
    let script = "do $$ begin raise notice 'tell ä %', 1; raise warning 'mind the gap'; end $$;
        drop table if exists nowhere; create table t ();";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    let finished = ends(&run, 0, &["settled at 0001"]);
    for (level, text) in
        [("info", "tell ä 1"), ("warn", "mind the gap"), ("info", "\"nowhere\" does not exist, skipping")]
    {
        let told = |line: &&str| line.contains(text) && line.contains("0001_a.sql") && line.contains(level);
        assert!(finished.stderr.lines().any(|line| told(&line)), "{level} {text}: {finished}");
    }
    database.execute("drop table t, lockkeeper_history");
    let finished = ends(&run.env("LOCKKEEPER_LOG_FORMAT", "json"), 0, &[]);
    let line = finished.stderr.lines().find(|line| line.contains("mind the gap")).expect("the warning");
    assert!(line.contains("0001_a.sql") && line.contains("WARN"), "{line}");
}

/// 38
#[test]
fn a_migration_that_drops_the_history_is_reported() {
    let database = Postgres::shared().database("drops");
    let files = [
        ("0001_a.sql", "create table a ();"),
        ("0002_b.sql", "create table b ();\ndrop table lockkeeper_history;"),
    ];
    let run = run_on(&database, &files);
    ends(&run, 80, &["0002_b.sql", "recording it failed", "lockkeeper_history", "rolled back"]);
    assert_eq!(history(&database), "0001|applied\n");
    // Emptied instead: everything looks fine until it is read again.
    let run = run.migrations(&[("0002_b.sql", "create table b ();\ndelete from lockkeeper_history;")]);
    ends(&run, 87, &["0001_a.sql", "look at what is named above"]);
    ends(&run, 65, &["0001_a.sql is out of order"]);
}

/// 38
#[test]
fn a_migration_that_terminates_all_sessions_is_reported_and_a_rerun_converges() {
    let database = Postgres::shared().database("ends");
    let all = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()";
    let run = run_on(
        &database,
        &[("0001_a.sql", "create table a ();"), ("0002_b.sql", &format!("create table b ();\n{all};"))],
    );
    ends(&run, 83, &["0002_b.sql", "SQLSTATE 57P01", "run again"]);
    assert_eq!(history(&database), "0001|applied\n");
    // All others, as files do that are about to change what those use: our second session among them.
    let run =
        run.migrations(&[("0002_b.sql", &format!("{all} and pid <> pg_backend_pid();\ncreate table b ();"))]);
    ends(&run, 0, &["settled at 0002: 1 revision"]);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
}

/// 47
#[test]
fn a_new_value_of_an_enum_that_is_used_at_once_is_explained() {
    let database = Postgres::shared().database("enums");
    let one = ("0001_a.sql", "create type mood as enum ('ok'); create table t (m mood);");
    let both = "alter type mood add value 'new';\n\ninsert into t values ('new');\n";
    let run = run_on(&database, &[one, ("0002_b.sql", both)]);
    let parts = [
        "0002_b.sql:3:23: ",
        "unsafe use of new value",
        "must be committed before they can be used",
        "into a later revision",
    ];
    ends(&run, 80, &parts);
    let files =
        [("0002_b.sql", "alter type mood add value 'new';"), ("0003_c.sql", "insert into t values ('new');")];
    ends(&run.migrations(&files), 0, &["settled at 0003"]);
}

/// 31
#[test]
fn a_table_that_stays_locked_ends_the_run_and_names_who_holds_it() {
    let database = Postgres::shared().database("held");
    database.execute("create table t (id int)");
    let mut session = database.session();
    session.run("begin; lock table t in access share mode");
    let run = run_on(
        &database,
        &[
            ("0001_a.sql", "create table a ();"),
            ("0002_b.sql", "create table b ();\nalter table t add more int;"),
        ],
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
    ];
    let finished = ends(&run, 82, &parts);
    let tries: Vec<_> = finished.stderr.lines().filter(|line| line.contains("will try again in")).collect();
    assert_eq!(tries.len(), 2, "{finished}");
    assert!(tries.iter().all(|line| line.contains(&blocker)), "{finished}");
    assert_eq!(history(&database), "0001|applied\n");
    assert!(!has_table(&database, "b"));

    let running = run.env("LOCKKEEPER_DDL_RETRIES", "100").spawn();
    running.wait_for("will try again");
    session.run("commit");
    expect(running.finish(), 0, &["settled at 0002: 1 revision"]).within(SOON);
    assert_eq!(history(&database), "0001|applied\n0002|applied\n");
}

/// 32
#[test]
fn a_deadlock_with_the_application_is_tried_again() {
    let database = Postgres::shared().database("deadlock");
    database.execute("create table a (id int); create table b (id int)");
    let mut session = database.session();
    // The application's deadlock check never comes: ours does, or our lock timeout.
    session.run("set deadlock_timeout = '1h'; begin; lock table a");
    let run =
        run_on(&database, &[("0001_a.sql", "alter table b add x int;\nalter table a add x int;")]).spawn();
    let waits = format!(
        "select {} = any (pg_blocking_pids(pid)) from pg_stat_activity where application_name = 'lockkeeper' and datname = current_database()",
        session.backend()
    );
    wait_until("the migration waits for the application", SOON, || database.value(&waits).contains('t'));
    session.send("lock table b");
    run.wait_for("will try again");
    session.finish();
    session.run("commit");
    expect(run.finish(), 0, &["settled at 0001: 1 revision"]).within(SOON + Duration::from_secs(10));
    assert_eq!(
        database.value("select count(*) from information_schema.columns where column_name = 'x'"),
        "2"
    );
}
