//! Revisions that fail, on PostgreSQL: what is said, what stands, and that a rerun converges.

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::proxy::{Proxy, Speaker};
use crate::support::{SOON, wait_until};

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

pub fn has_table(database: &PgDatabase, name: &str) -> bool {
    database.value(&format!("select to_regclass('{name}') is not null")) == "t"
}

pub fn history(database: &PgDatabase) -> String {
    database.query("select revision, state from lockkeeper_history order by revision")
}

/// 24: scripts that fail, where, and what has to be said of it.
#[test]
fn a_failing_statement_is_shown_with_its_place_and_all_that_the_server_says() {
    let long = "x".repeat(400);
    let rows: &[(&str, &str, &[&str])] = &[
        ("-- ä€𝄞\nselect 'ß'; selec 1;", "2:13", &["syntax error", "SQLSTATE 42601", "statement: selec 1;"]),
        ("select 1;\n\tselect 'é€' ,\n  sum(1) form x;\nselect 2;", "3:15", &["SQLSTATE 42601", "select 'é€' , / sum"]),
        (
            "create table people (name text);\r\nselect 1;\r\n/* ö */ select\r\n nmae from people;\r\n",
            "4:2",
            &["SQLSTATE 42703", "hint: Perhaps you meant to reference the column \"people.name\"", "select / nmae"],
        ),
        (
            "create table t (id int unique);\ninsert into t values (1);\n\n  insert into t values (1);\nselect 1;",
            "4:3",
            &["SQLSTATE 23505", "detail: Key (id)=(1) already exists.", "statement: insert into t values (1)"],
        ),
        ("select 1;\n-- ü\n select 1/(1 - 1);", "3:2", &["division by zero", "SQLSTATE 22012", "select 1/(1 - 1)"]),
        (
            "select 1;\ndo $$ begin\n raise exception 'no %', 'good' using detail = 'so it is',\n hint = 'correct it', errcode = 'LK001';\nend $$;",
            "2:1",
            &[
                "no good (SQLSTATE LK001)",
                "detail: so it is",
                "hint: correct it",
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
        let finished = ends(&run, 80, &[&[place.as_str(), "rolled back", "correct the file"], *parts].concat());
        finished.silent_about("no transaction in progress").silent_about("recording it failed");
        assert_eq!(history(&database), "", "{script}");
        let left =
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relname !~ '^lockkeeper'";
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
    for literal in [format!("'a''{PASSWORD}'"), format!("E'a\\'{PASSWORD}'"), format!("$a${PASSWORD}$a$")] {
        let script = format!("do $$ begin create role postgres password {literal}; end $$;");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        ends(&run, 80, &["context: SQL statement", "role postgres password '***'"]);
    }
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
        let parts =
            ["0002_two.sql", "connection was lost", "committed is not known", "run again: the history will tell"];
        ends(&run, 83, &parts);
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(has_table(&database, "two"), committed);
        let settled = if committed { "nothing pending" } else { "up to date at 0002: 1 revision" };
        ends(&run, 0, &[settled]);
        assert_eq!(history(&database), "0001|applied\n0002|applied\n");
        assert_eq!(database.value("select count(*) from two"), "1");
    }
}

/// 27
#[test]
fn a_killed_run_without_a_transaction_leaves_its_journal() {
    let database = Postgres::shared().database("killed");
    let script = |second: &str| format!("-- no-transaction\ncreate table a ();\n{second};\ncreate table c ();\n");
    let run = run_on(&database, &[("0001_a.sql", &script("select pg_sleep(600)"))]);
    let running = run.spawn();
    let sleeps =
        "select count(*) from pg_stat_activity where datname = current_database() and query ~ '^select pg_sleep'";
    wait_until("statement 2 runs", SOON, || database.value(sleeps) == "1");
    assert_eq!(running.kill().signal, Some(9));
    database.terminate_all();
    let journal = "select state, statements_done, statements_total from lockkeeper_history";
    assert_eq!(database.value(journal), "partial|1|3");
    let run = run.migrations(&[("0001_a.sql", &script("create table b ()"))]);
    ends(&run, 0, &["up to date at 0001"]);
    assert_eq!(database.value(journal), "applied|3|3");
    assert!(has_table(&database, "b") && has_table(&database, "c"));
}

/// 27: an ordinary statement and its row are one; what cannot be, stays, and nothing else is claimed.
#[test]
fn a_journal_that_cannot_be_written_claims_nothing() {
    let database = Postgres::shared().database("unwritten");
    for (statement, told, silent) in [
        (
            "drop table lockkeeper_history",
            "it was rolled back, for it could not be recorded",
            "ran, but recording it failed",
        ),
        ("do $$ begin drop table lockkeeper_history; commit; end $$", "ran, but recording it failed", "rolled back"),
        ("select pg_advisory_unlock_all()", "our lock was lost in it", "ran, but recording it failed"),
    ] {
        let script = format!("-- no-transaction\ncreate table if not exists a ();\n{statement};\nselect 3;\n");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        let finished = ends(&run, 81, &["0001_a.sql:3:1: statement 2", told, "1 of its statements"]);
        finished.silent_about(silent);
        assert_eq!(finished.stderr.contains("finds out whether that statement is done"), silent == "rolled back");
        assert!(has_table(&database, "a"));
    }
}

/// 25: an ordinary statement without a transaction happens exactly once, wherever the connection ends.
#[test]
fn a_connection_cut_around_a_journal_repeats_nothing() {
    for (speaker, pattern) in [
        (Speaker::Client, &b"update n"[..]),
        (Speaker::Client, b"'partial', 1, 2"),
        (Speaker::Server, b"UPDATE 1\0"),
        (Speaker::Server, b"INSERT 0 1\0"),
    ] {
        let database = Postgres::shared().database("once");
        database.execute("create table n (n int); insert into n values (0)");
        let proxy = Proxy::to(Postgres::shared().port());
        let script = "-- no-transaction\nupdate n set n = n + 1;\nselect pg_sleep(0);\n";
        let run = run_on(&database, &[("0001_a.sql", script)]).url(&proxy.url(database.name()));
        proxy.cut_at(speaker, pattern);
        assert!([83, 81].contains(&run.output().code.unwrap_or_default()));
        assert_eq!(proxy.cuts(), 1);
        ends(&run, 0, &["at 0001"]);
        assert_eq!(database.value("select n from n"), "1", "{speaker:?} {}", String::from_utf8_lossy(pattern));
    }
}

/// 37
#[test]
fn notices_and_warnings_are_logged_with_their_file() {
    let database = Postgres::shared().database("notice");
    let script = "do $$ begin raise notice 'tell ä %', 1; raise warning 'mind the gap'; end $$;
        drop table if exists nowhere; create table t ();";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    let finished = ends(&run, 0, &["up to date at 0001"]);
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
    let alone = "-- no-transaction\nalter type mood add value 'alone';\ninsert into t values ('alone');\n";
    ends(&run.clone().migrations(&[("0002_b.sql", alone)]), 0, &["up to date at 0002"]);
    database.execute("delete from lockkeeper_history where revision = '0002'");
    let files = [("0002_b.sql", "alter type mood add value 'new';"), ("0003_c.sql", "insert into t values ('new');")];
    ends(&run.migrations(&files), 0, &["up to date at 0003"]);
}

/// 27: the session in which the first statements ran is gone, and what they had set in it with them.
#[test]
fn a_resumed_file_has_the_settings_of_its_first_statements() {
    let database = Postgres::shared().database("resumed");
    database.execute("create schema app; create table app.t (n int); create table public.t (n int)");
    database.execute("insert into app.t values (1), (1)");
    let script = "-- no-transaction\nset search_path = app;\nselect set_config('work_mem', '8MB', false);\n\
                  create unique index concurrently i on t (n);\n\
                  create table found as select current_setting('work_mem') as memory;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    ends(&run, 81, &["0001_a.sql:4:1: statement 3 failed", "2 of its statements"]);
    database.execute("drop index app.i; delete from app.t");
    ends(&run, 0, &["up to date at 0001"]);
    assert_eq!(database.value("select schemaname from pg_indexes where indexname = 'i'"), "app");
    assert_eq!(database.value("select memory from app.found"), "8MB");
}

/// Nobody can tell what was done of it: it must not begin anew.
#[test]
fn a_partial_row_whose_checksum_is_lost_stops_the_run() {
    let database = Postgres::shared().database("unsummed");
    let script = "-- no-transaction\ncreate table a ();\nselect 1/0;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    ends(&run, 81, &["statement 2 failed"]);
    database.execute("update lockkeeper_history set checksum = 'by hand'; drop table a");
    ends(&run, 65, &["0001_a.sql", "checksum", "nothing was changed"]);
    assert!(!has_table(&database, "a"));
}

/// Extensions have statements that refuse transactions, of which we know nothing: they are sent alone then.
#[test]
fn an_ordinary_statement_that_refuses_company_runs_alone() {
    let database = Postgres::shared().database("alone");
    database.execute(
        "create function refuse() returns event_trigger language plpgsql as $$ begin
             if current_query() like '%picky%lockkeeper_history%' then
                 raise 'cannot run inside a transaction block' using errcode = '25001';
             end if;
         end $$;
         create event trigger refuse on ddl_command_start execute function refuse()",
    );
    let script = "-- no-transaction\ncreate table picky ();\ncreate table other ();\n";
    ends(&run_on(&database, &[("0001_a.sql", script)]), 0, &["up to date at 0001"]);
    assert!(has_table(&database, "picky") && has_table(&database, "other"));
    assert_eq!(database.value("select statements_done from lockkeeper_history"), "2");
}
