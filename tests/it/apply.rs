//! Tests of revisions that fail on PostgreSQL: the message, what remains applied, and that a rerun converges.

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::proxy::{Peer, Proxy};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

pub fn run_on(database: &PgDatabase, files: &[(&str, &str)]) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

/// Runs the files; expects this exit code and all of these parts in the last line.
#[track_caller]
pub fn expect_end(run: &Run, code: i32, parts: &[&str]) -> Finished {
    expect(run.output(), code, parts)
}

#[track_caller]
pub fn expect(finished: Finished, code: i32, parts: &[&str]) -> Finished {
    finished.expect_code(code).does_not_say(PASSWORD);
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

/// A failing statement of a script is shown with its file, its line and the whole error of the server.
#[test]
fn a_failing_statement_is_shown_with_its_place_and_the_whole_server_error() {
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
        // The server points to the semicolon that is added behind the file.
        ("select 1;\nselect 1 +\n", "2:1", &["syntax error at or near \";\"", "statement: select 1 +"]),
        (&format!("select {long};\n"), "1:8", &["SQLSTATE 42703", "xxx ..."]),
    ];
    let database = Postgres::shared().database("place");
    for (script, place, parts) in rows {
        if script.contains(PASSWORD) {
            continue;
        }
        let run = run_on(&database, &[("0001_a.sql", script)]);
        let place = if place.is_empty() { "0001_a.sql: ".into() } else { format!("0001_a.sql:{place}: ") };
        let finished = expect_end(&run, 80, &[&[place.as_str(), "rolled back", "correct the file"], *parts].concat());
        finished.does_not_say("no transaction in progress").does_not_say("recording it failed");
        assert_eq!(history(&database), "", "{script}");
        let remaining =
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relname !~ '^lockkeeper'";
        assert_eq!(database.value(remaining), "0", "{script}");
    }
}

/// More people read the log than the file, so passwords in a statement are masked.
#[test]
fn a_password_in_a_failing_statement_is_masked() {
    let database = Postgres::shared().database("masked");
    let script = format!("select 1;\ncreate role postgres\n login password '{PASSWORD}';");
    let run = run_on(&database, &[("0001_a.sql", &script)]);
    expect_end(&run, 80, &["0001_a.sql:2:1: role \"postgres\" already exists", "password '***'"]);
    for literal in [format!("'a''{PASSWORD}'"), format!("E'a\\'{PASSWORD}'"), format!("$a${PASSWORD}$a$")] {
        let script = format!("do $$ begin create role postgres password {literal}; end $$;");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        expect_end(&run, 80, &["context: SQL statement", "role postgres password '***'"]);
    }
}

/// A file that is larger than one message is sent in several.
#[test]
fn a_failure_in_a_later_message_names_its_place_too() {
    let filler = |lines: usize| format!("select 'ä{}';\n", "x".repeat(40)).repeat(lines);
    let wide = format!("select '{}', nothing;\n", "€".repeat(60_000));
    let rows = [
        // The third message fails at run time, in the analysis, and in the syntax.
        (format!("{}\n  select 1/0;\n{}", filler(6000), filler(10)), "6002:3", "division by zero"),
        (format!("{}select 'ö', nothing;\n{}", filler(6000), filler(10)), "6001:13", "nothing"),
        (
            format!("{}\n\nselect 'ö' form x y;\n{}", filler(6000), filler(10)),
            "6003:17",
            "statement: select 'ö' form x y;",
        ),
        // A message of one statement, which begins after a blank line.
        (format!("{}\n\n {wide}", filler(2600)), "2603:60013", "column \"nothing\""),
        (format!("{}\n\n-- c\n{wide}{wide}", filler(0)), "4:60012", "column \"nothing\""),
    ];
    let database = Postgres::shared().database("large");
    for (script, place, what) in rows {
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        expect_end(&run, 80, &[&format!("0001_a.sql:{place}: "), what]);
        assert_eq!(history(&database), "");
    }
}

/// Without a transaction, a failing statement is shown with its place as well.
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
        expect_end(&run, 81, &[&format!("0001_a.sql:{place}: "), what, "run again"]);
        let sql = "select statements_done, statements_total from lockkeeper_history where state like 'partial%'";
        assert_eq!(database.value(sql), journal, "{script}");
        database.execute("drop table lockkeeper_history");
    }
}

/// When the connection ends around a COMMIT, nobody knows whether it happened: the run says so, and a rerun finds out.
#[test]
fn a_connection_cut_at_commit_has_an_unknown_outcome_that_a_rerun_finds_out() {
    for (speaker, pattern, committed) in [(Peer::Server, &b"COMMIT\0"[..], true), (Peer::Client, b"COMMIT;\n", false)] {
        let database = Postgres::shared().database("cut");
        let proxy = Proxy::start(Postgres::shared().port());
        let one = ("0001_one.sql", "create table one (id int);");
        let two = ("0002_two.sql", "create table two (id int); insert into two values (1);");
        let run = run_on(&database, &[one, two]).url(&proxy.url(database.name()));
        expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
        proxy.cut_at(speaker, pattern);
        let parts =
            ["0002_two.sql", "connection was lost", "committed is not known", "run again: the history will tell"];
        expect_end(&run, 83, &parts);
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(has_table(&database, "two"), committed);
        let expected = if committed { "nothing pending" } else { "up to date at 0002: 1 revision" };
        expect_end(&run, 0, &[expected]);
        assert_eq!(history(&database), "0001|applied\n0002|applied\n");
        assert_eq!(database.value("select count(*) from two"), "1");
    }
}

/// A run without a transaction that is killed leaves a journal from which a rerun continues.
#[test]
fn a_killed_run_outside_of_a_transaction_leaves_its_journal() {
    let database = Postgres::shared().database("killed");
    let script = |second: &str| format!("-- no-transaction\ncreate table a ();\n{second};\ncreate table c ();\n");
    let run = run_on(&database, &[("0001_a.sql", &script("select pg_sleep(600)"))]);
    let running = run.spawn();
    let sleeps =
        "select count(*) from pg_stat_activity where datname = current_database() and query ~ '^select pg_sleep'";
    wait_until("statement 2 runs", DEFAULT_TIMEOUT, || database.value(sleeps) == "1");
    assert_eq!(running.kill().signal, Some(9));
    database.terminate_all();
    let journal = "select state, statements_done, statements_total from lockkeeper_history";
    assert_eq!(database.value(journal), "partial, see the journal|1|3");
    let run = run.migrations(&[("0001_a.sql", &script("create table b ()"))]);
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(database.value(journal), "applied|3|3");
    assert!(has_table(&database, "b") && has_table(&database, "c"));
}

/// An ordinary statement and its journal row are written in one transaction. A statement that cannot be is kept, and
/// the journal claims nothing else.
#[test]
fn a_journal_that_cannot_be_written_records_no_statement() {
    let database = Postgres::shared().database("unwritten");
    for (statement, is_logged, silent) in [
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
        let finished = expect_end(&run, 81, &["0001_a.sql:3:1: statement 2", is_logged, "1 of its statements"]);
        finished.does_not_say(silent);
        assert_eq!(finished.stderr.contains("finds out whether that statement is done"), silent == "rolled back");
        assert!(has_table(&database, "a"));
    }
}

/// An ordinary statement outside of a transaction runs exactly once, wherever the connection ends.
#[test]
fn a_connection_cut_around_a_journal_write_repeats_no_statement() {
    for (speaker, pattern) in [
        (Peer::Client, &b"update n"[..]),
        (Peer::Client, b"'up', 1, 2"),
        (Peer::Server, b"UPDATE 1\0"),
        (Peer::Server, b"INSERT 0 1\0"),
    ] {
        let database = Postgres::shared().database("once");
        database.execute("create table n (n int); insert into n values (0)");
        let proxy = Proxy::start(Postgres::shared().port());
        let script = "-- no-transaction\nupdate n set n = n + 1;\nselect pg_sleep(0);\n";
        let run = run_on(&database, &[("0001_a.sql", script)]).url(&proxy.url(database.name()));
        proxy.cut_at(speaker, pattern);
        assert!([83, 81].contains(&run.output().code.unwrap_or_default()));
        assert_eq!(proxy.cuts(), 1);
        expect_end(&run, 0, &["at 0001"]);
        assert_eq!(database.value("select n from n"), "1", "{speaker:?} {}", String::from_utf8_lossy(pattern));
    }
}

/// Notices and warnings of the server are logged with the file whose statement caused them.
#[test]
fn notices_and_warnings_are_logged_with_their_file() {
    let database = Postgres::shared().database("notice");
    let script = "do $$ begin raise notice 'tell ä %', 1; raise warning 'mind the gap'; end $$;
        drop table if exists nowhere; create table t ();";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    let finished = expect_end(&run, 0, &["up to date at 0001"]);
    for (level, text) in
        [("info", "tell ä 1"), ("warn", "mind the gap"), ("info", "\"nowhere\" does not exist, skipping")]
    {
        let is_logged = |line: &&str| line.contains(text) && line.contains("0001_a.sql") && line.contains(level);
        assert!(finished.stderr.lines().any(|line| is_logged(&line)), "{level} {text}: {finished}");
    }
    database.execute("drop table t, lockkeeper_history");
    let finished = expect_end(&run.env("LOCKKEEPER_LOG_FORMAT", "json"), 0, &[]);
    let line = finished.stderr.lines().find(|line| line.contains("mind the gap")).expect("the warning");
    assert!(line.contains("0001_a.sql") && line.contains("WARN"), "{line}");
}

/// A new value of an enum cannot be used in the transaction that adds it: the message explains that.
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
    expect_end(&run, 80, &parts);
    let alone = "-- no-transaction\nalter type mood add value 'alone';\ninsert into t values ('alone');\n";
    expect_end(&run.clone().migrations(&[("0002_b.sql", alone)]), 0, &["up to date at 0002"]);
    database.execute("delete from lockkeeper_history where revision = '0002'");
    let files = [("0002_b.sql", "alter type mood add value 'new';"), ("0003_c.sql", "insert into t values ('new');")];
    expect_end(&run.migrations(&files), 0, &["up to date at 0003"]);
}

/// The settings that the first statements made in their session are set again when a file is resumed in a new session.
#[test]
fn a_resumed_file_has_the_settings_of_its_first_statements() {
    let database = Postgres::shared().database("resumed");
    database.execute("create schema app; create table app.t (n int); create table public.t (n int)");
    database.execute("insert into app.t values (1), (1)");
    let script = "-- no-transaction\nset search_path = app;\nselect set_config('work_mem', '8MB', false);\n\
                  create unique index concurrently i on t (n);\n\
                  create table found as select current_setting('work_mem') as memory;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    expect_end(&run, 81, &["0001_a.sql:4:1: statement 3 failed", "2 of its statements"]);
    database.execute("drop index app.i; delete from app.t");
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(database.value("select schemaname from pg_indexes where indexname = 'i'"), "app");
    assert_eq!(database.value("select memory from app.found"), "8MB");
}

/// Without the checksum nobody can tell which statements were run: the file must not be started again.
#[test]
fn a_partial_row_whose_checksum_is_lost_stops_the_run() {
    let database = Postgres::shared().database("unsummed");
    let script = "-- no-transaction\ncreate table a ();\nselect 1/0;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    expect_end(&run, 81, &["statement 2 failed"]);
    database.execute("update lockkeeper_history_journal set fingerprint = 'by hand'; drop table a");
    expect_end(&run, 65, &["0001_a.sql", "checksum", "nothing was changed"]);
    assert!(!has_table(&database, "a"));
}

/// Extensions have statements that refuse transactions and that Lockkeeper does not know: such a statement is sent
/// again by itself.
#[test]
fn a_statement_that_refuses_transactions_is_run_outside_of_one() {
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
    expect_end(&run_on(&database, &[("0001_a.sql", script)]), 0, &["up to date at 0001"]);
    assert!(has_table(&database, "picky") && has_table(&database, "other"));
    assert_eq!(database.value("select statements_done from lockkeeper_history"), "2");
}
