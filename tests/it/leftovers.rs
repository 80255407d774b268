//! Tests of what statements outside of a transaction leave behind when they fail or are killed: invalid indexes,
//! partitions whose detach is pending, statements with an unknown outcome.

use rustix::process::Signal;

use crate::apply::{expect, expect_end, has_table, history, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};
use crate::support::session::Session;
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};
use crate::verbs_stamp::{MASKS, assert_log};

/// Creates a table with a duplicate row: a unique index on it fails.
fn with_duplicates(name: &str) -> PgDatabase<'static> {
    let database = Postgres::shared().database(name);
    database.execute("create schema app; create table app.t (n int); insert into app.t values (1), (1)");
    database
}

pub fn validity(database: &PgDatabase, index: &str) -> String {
    database.value(&format!(
        "select string_agg(c.relname || ' ' || i.indisvalid, ', ' order by c.relname) from pg_index i \
         join pg_class c on c.oid = i.indexrelid where c.relname ~ '{index}'"
    ))
}

/// Returns the state of revision 0001, the number of its statements that are done, and the number of all.
pub fn journal(database: &PgDatabase) -> String {
    database.value(
        "select case when j.statement_begun then 'begun' else split_part(h.state, ',', 1) end, \
         coalesce(j.statements_done, h.statements_done), h.statements_total from lockkeeper_history h \
         left join lockkeeper_history_journal j on j.revision = h.revision where h.revision = '0001'",
    )
}

/// Opens a transaction that prevents concurrent builds from finishing: they wait for every transaction that may still
/// see the table.
fn writer(database: &PgDatabase, table: &str) -> Session {
    let mut writer = database.session();
    writer.run(&format!("begin; lock table {table} in row exclusive mode; select txid_current()"));
    writer
}

/// Waits until the run's statement that begins with `statement` waits for the writer.
fn wait_for_block(database: &PgDatabase, writer: &Session, statement: &str) {
    let waits = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and query ilike '{statement}%' \
         and {} = any (pg_blocking_pids(pid))",
        writer.backend()
    );
    wait_until("the statement waits for the writer", DEFAULT_TIMEOUT, || database.value(&waits) == "1");
}

/// A concurrent build that fails leaves an invalid index: the run drops it and builds it again.
#[test]
fn a_concurrent_build_that_fails_is_named_dropped_and_built_again() {
    let database = with_duplicates("build");
    for build in [
        "create unique index concurrently i on app.t (n)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"i\" ON app.\"t\" (n)",
        "set search_path = app; create unique index concurrently i on t (n)",
    ] {
        let script = format!("-- no-transaction\nselect 1;\n{build};\nselect 3;\n");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        let parts =
            ["SQLSTATE 23505", "Key (n)=(1) is duplicated", "it left the invalid index app.i", "drops it concurrently"];
        for _ in 0..2 {
            expect_end(&run, 81, &parts).does_not_say("already exists");
            assert_eq!(validity(&database, "^i"), "i false", "{build}");
            assert!(journal(&database).starts_with("partial|"), "{build}");
        }
        let names_in_message = build.starts_with("create").then(|| expect_end(&run, 81, &[]));
        database.execute("delete from app.t where ctid = (select min(ctid) from app.t)");
        let finished = expect_end(&run, 0, &["up to date at 0001"]);
        if let Some(names_in_message) = names_in_message {
            assert_log!("build_failed", names_in_message);
            assert_log!("build_again", finished);
        }
        finished.says("dropping the invalid index app.i").says("CREATE UNIQUE INDEX i ON app.t USING btree (n)");
        assert_eq!(validity(&database, "^i"), "i true", "{build}");
        database.execute("drop index app.i; insert into app.t values (1); drop table lockkeeper_history");
    }
}

/// The invalid index may come from another program.
#[test]
fn an_invalid_index_of_that_name_does_not_count_as_built() {
    let database = with_duplicates("notsuccess");
    let failed = database.try_query("create unique index concurrently i on app.t (n)").expect_err("duplicates");
    assert!(failed.contains("duplicate"), "{failed}");
    // An index of the same name on another table is no leftover.
    database.execute("create table t (n int); insert into t values (1), (1)");
    assert!(database.try_query("create unique index concurrently other on t (n)").is_err());
    let script = "-- no-transaction\ncreate index concurrently if not exists i on app.t (n);\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    expect_end(&run, 0, &["up to date at 0001"]).says("dropping the invalid index app.i").does_not_say("public.other");
    assert_eq!(validity(&database, "^(i|other)$"), "i true, other false");
    // A valid index counts as done.
    let run = run.migrations(&[("0002_b.sql", &script.replace("-- no", "-- again\n-- no"))]);
    expect_end(&run, 0, &["up to date at 0002"]).does_not_say("dropping");
}

/// The index becomes invalid while the run waits for its table.
#[test]
fn an_index_that_another_session_fails_to_build_meanwhile_is_built() {
    let database = Postgres::shared().database("meanwhile");
    database.execute("create table t (n int)");
    let mut writer = writer(&database, "t");
    let mut other_session = database.session();
    other_session.send("create index concurrently i on t (n)");
    wait_for_block(&database, &writer, "create index concurrently i on");
    let script = "-- no-transaction\ncreate index concurrently if not exists i on t (n);\n";
    let running = run_on(&database, &[("0001_a.sql", script)]).spawn();
    let waits = format!(
        "select count(*) from pg_stat_activity where application_name = 'lockkeeper' and {} = any (pg_blocking_pids(pid))",
        other_session.backend()
    );
    wait_until("ours waits for theirs", DEFAULT_TIMEOUT, || database.value(&waits) == "1");
    database.execute(&format!("select pg_cancel_backend({})", other_session.backend()));
    assert!(other_session.finish().contains("canceling statement"));
    running.wait_for("another session has left the index public.i invalid meanwhile");
    writer.run("commit");
    expect(running.finish(), 0, &["up to date at 0001"]).says("dropping the invalid index public.i");
    assert_eq!(validity(&database, "^i"), "i true");
}

/// A concurrent build that is the victim of a deadlock leaves an invalid index, which is dropped before the retry.
#[test]
fn a_build_that_fails_by_a_deadlock_is_dropped_and_retried() {
    let database = Postgres::shared().database("deadlocked");
    database.execute("create table t (n int)");
    let mut application = writer(&database, "t");
    application.run("set deadlock_timeout = '1h'");
    // Checked once, before the application waits as well.
    let script = "-- no-transaction\nset deadlock_timeout = '4s';\ncreate index concurrently i on t (n);\n";
    let running = run_on(&database, &[("0001_a.sql", script)]).spawn();
    wait_for_block(&database, &application, "create index concurrently");
    application.send("lock table t in share row exclusive mode");
    let line = running.wait_for("will try again in");
    assert!(line.contains("SQLSTATE 40P01") && line.contains("the invalid index public.i"), "{line}");
    application.finish();
    application.run("commit");
    expect(running.finish(), 0, &["up to date at 0001"]).says("dropping the invalid index public.i");
    assert_eq!(validity(&database, "^i"), "i true");
}

/// Without a name in the file nobody can identify the index later.
#[test]
fn an_index_without_a_name_in_the_file_is_reported_with_its_drop_command() {
    let database = with_duplicates("unnamed");
    let script = "-- no-transaction\ncreate unique index concurrently on app.t (n);\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    expect_end(&run, 81, &["the invalid index app.t_n_idx", "DROP INDEX CONCURRENTLY app.t_n_idx"]);
    assert_eq!(journal(&database), "partial|0|1");
    database.execute("delete from app.t; drop index concurrently app.t_n_idx");
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(validity(&database, "t_n_idx"), "t_n_idx true");
}

/// A build that times out on a lock is retried, and its invalid index is dropped each time.
#[test]
fn a_build_with_its_own_lock_timeout_is_retried() {
    let database = Postgres::shared().database("impatient");
    database.execute("create table t (n int)");
    for script in [
        "-- no-transaction\n-- lock-timeout: 1s\ncreate index concurrently i on t (n);\n",
        "-- no-transaction\nset lock_timeout = '1s';\ncreate index concurrently i on t (n);\n",
    ] {
        let run = run_on(&database, &[("0001_a.sql", script)]).env("LOCKKEEPER_DDL_RETRIES", "1");
        let mut writer = writer(&database, "t");
        let parts = ["lock timeout", "SQLSTATE 55P03", "the invalid index public.i", "LOCKKEEPER_DDL_RETRIES"];
        expect_end(&run, 82, &parts).says("will try again in");
        assert_eq!(validity(&database, "^i"), "i false");
        let running = run.env("LOCKKEEPER_DDL_RETRIES", "100").spawn();
        running.wait_for(&format!("blocked by pid {}", writer.backend()));
        writer.run("rollback");
        expect(running.finish(), 0, &["up to date at 0001"]);
        assert_eq!(validity(&database, "^i"), "i true");
        database.execute("drop index i; drop table lockkeeper_history");
    }
}

/// lock_timeout is off during the build unless the script sets one, and is restored after it.
#[test]
fn a_build_uses_the_scripts_lock_timeout_and_restores_ours() {
    let database = Postgres::shared().database("patient");
    database.execute("create table t (n int); create table seen (at text, lock_timeout text)");
    let seen = |at: &str| format!("insert into seen values ('{at}', current_setting('lock_timeout'));\n");
    let script = format!(
        "-- no-transaction\n{}create index concurrently i on t (n);\n{}set lock_timeout = '45s';\n\
         create index concurrently j on t (n);\n{}",
        seen("1 before"),
        seen("2 behind ours"),
        seen("3 behind the other")
    );
    let run = run_on(&database, &[("0001_a.sql", &script)]).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "1s");
    let mut writer = writer(&database, "t");
    let running = run.spawn();
    wait_for_block(&database, &writer, "create index concurrently i");
    // It waits far longer than our lock timeout.
    let line = running.wait_for("still running after 10 s");
    assert!(line.contains("blocked by"), "{line}");
    writer.run("rollback");
    expect(running.finish(), 0, &["up to date at 0001"]).does_not_say("will try again");
    assert_eq!(
        database.query("select * from seen order by at"),
        "1 before|1s\n2 behind ours|1s\n3 behind the other|45s\n"
    );
}

/// Kills the run while its statement waits, terminates its session in the server, and releases the others.
fn kill_blocked(database: &PgDatabase, run: &Run, table: &str, statement: &str) {
    let writer = writer(database, table);
    let running = run.spawn();
    wait_for_block(database, &writer, statement);
    assert_eq!(running.kill().signal, Some(9));
    terminate_own_sessions(database);
    drop(writer);
}

/// Terminates the sessions that a killed run has left in the server, before they end by themselves.
fn terminate_own_sessions(database: &PgDatabase) {
    database.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
         where datname = current_database() and application_name ~ '^lockkeeper'",
    );
}

/// The invalid index of a killed build is dropped, and the index is built again.
#[test]
fn the_index_of_a_killed_build_is_dropped_and_built_again() {
    let database = Postgres::shared().database("killed");
    database.execute("create table t (n int)");
    let script = "-- no-transaction\ncreate index concurrently i on t (n);\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    kill_blocked(&database, &run, "t", "create index concurrently");
    assert_eq!((validity(&database, "^i").as_str(), journal(&database).as_str()), ("i false", "begun|0|1"));
    let history_json = run.clone().args(["history", "--json"]).output();
    history_json.expect_code(0).says("\"statements_done\": 0");
    expect_end(&run, 0, &["up to date at 0001"]).says("dropping the invalid index public.i");
    assert_eq!((validity(&database, "^i").as_str(), journal(&database).as_str()), ("i true", "applied|1|1"));
}

/// A signal arrives during the first statement of a file, and during a later one.
#[test]
fn the_index_of_an_interrupted_build_is_named_and_built_again() {
    let database = Postgres::shared().database("signalled");
    database.execute("create table t (n int)");
    for (first, code, parts) in [
        ("", 143, ["stopped by SIGTERM while its first statement ran", "run again"]),
        ("select 1;\n", 81, ["stopped by SIGTERM", "1 of its statements is already committed"]),
    ] {
        let script = format!("-- no-transaction\n{first}create index concurrently i on t (n);\n");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        let writer = writer(&database, "t");
        let running = run.spawn();
        wait_for_block(&database, &writer, "create index concurrently");
        running.signal(Signal::TERM);
        expect(running.finish(), code, &[&parts[..], &["it left the invalid index public.i"]].concat());
        drop(writer);
        expect_end(&run, 0, &["up to date at 0001"]).says("dropping the invalid index public.i");
        assert_eq!(validity(&database, "^i"), "i true");
        database.execute("drop index i; drop table lockkeeper_history");
    }
}

/// A REINDEX CONCURRENTLY that is stopped leaves copies of the index, which the next run drops.
#[test]
fn the_copies_of_a_stopped_reindex_are_dropped() {
    let database = Postgres::shared().database("rebuild");
    database.execute("create table t (n int, x text); create index i on t (n); create table other (n int); create index o on other (n)");
    for (statement, code) in [
        ("reindex index concurrently i", 81),
        ("reindex (verbose, concurrently) table t", 81),
        ("reindex schema concurrently public", 81),
    ] {
        let script = format!("-- no-transaction\nselect 1;\n{statement};\n");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        let writer = writer(&database, "t");
        let running = run.spawn();
        wait_for_block(&database, &writer, "reindex");
        database.execute("select pg_cancel_backend(pid) from pg_stat_activity where datname = current_database() and query ~ '^reindex'");
        let finished =
            expect(running.finish(), code, &["SQLSTATE 57014", "i_ccnew", "running again drops that concurrently"]);
        assert!(finished.stderr.contains("1 of its statements"), "{finished}");
        assert_eq!(validity(&database, "^i"), "i true, i_ccnew false", "{statement}");
        drop(writer);
        expect_end(&run, 0, &["up to date at 0001"]).says("dropping the invalid index public.i_ccnew");
        assert_eq!(validity(&database, "^(i|o)"), "i true, o true", "{statement}");
        database.execute("drop table lockkeeper_history");
    }
    // Copies of another user's REINDEX stay until a REINDEX of ours was stopped there.
    let writer = writer(&database, "t");
    let mut other_session = database.session();
    other_session.send("reindex index concurrently i");
    wait_for_block(&database, &writer, "reindex");
    database.execute("select pg_cancel_backend(pid) from pg_stat_activity where query ~ '^reindex index concurrently i' and datname = current_database()");
    other_session.finish();
    drop(writer);
    let run = run_on(&database, &[("0001_a.sql", "-- no-transaction\nreindex index concurrently i;\n")]);
    expect_end(&run, 0, &["up to date at 0001"]).does_not_say("dropping");
    assert_eq!(validity(&database, "^i"), "i true, i_ccnew false");
}

/// A DETACH CONCURRENTLY that is stopped has to be finalized.
#[test]
fn a_pending_detach_of_a_partition_is_finalized() {
    let database = Postgres::shared().database("detach");
    let script = "-- no-transaction\nalter table p detach partition p1 concurrently;\ncreate table done ();\n";
    for kill in [false, true] {
        database
            .execute("create table p (n int) partition by list (n); create table p1 partition of p for values in (1)");
        let run = run_on(&database, &[("0001_a.sql", script)]);
        let mut reader = database.session();
        reader.run("begin; select * from p");
        let running = run.spawn();
        wait_for_block(&database, &reader, "alter table p detach");
        if kill {
            assert_eq!(running.kill().signal, Some(9));
            terminate_own_sessions(&database);
        } else {
            database.execute("select pg_cancel_backend(pid) from pg_stat_activity where datname = current_database() and query ~ '^alter table p'");
            expect(running.finish(), 81, &["it left p1 half detached from p", "finalizes"]);
        }
        reader.run("rollback");
        assert_eq!(database.value("select inhdetachpending from pg_inherits"), "t");
        expect_end(&run, 0, &["up to date at 0001"]).says("p1 is half detached from p");
        assert_eq!(database.value("select count(*) from pg_inherits"), "0");
        database.execute("drop table p, p1, done, lockkeeper_history");
    }
}

/// Cuts the connection when the server answers a statement: it was executed, and not recorded.
pub fn cut_after(database: &PgDatabase, script: &str, answer: &[u8]) -> Finished {
    let proxy = Proxy::start(Postgres::shared().port());
    let run = run_on(database, &[("0001_a.sql", script)]);
    proxy.cut_at(Peer::Server, answer);
    let finished = run.url(&proxy.url(database.name())).output();
    assert_eq!(proxy.cuts(), 1, "{finished}");
    database.terminate_all();
    finished
}

/// The catalog tells whether a statement was executed that the journal does not know.
#[test]
fn the_outcome_of_an_unrecorded_statement_is_looked_up_in_the_catalog() {
    let other = unique("other");
    let rows = [
        (
            "create index concurrently i on t (n)",
            "CREATE INDEX\0",
            "select count(*) from pg_class where relname = 'i'",
            "1",
        ),
        ("drop index concurrently old", "DROP INDEX\0", "select count(*) from pg_class where relname = 'old'", "0"),
        (
            "alter table p detach partition p1 concurrently",
            "ALTER TABLE\0",
            "select count(*) from pg_inherits where inhrelid = 'p1'::regclass",
            "0",
        ),
        (&format!("create database {other}"), "CREATE DATABASE\0", "select 1", "1"),
        (&format!("drop database {other}"), "DROP DATABASE\0", "select 1", "1"),
        ("vacuum t", "VACUUM\0", "select 1", "1"),
        ("reindex index concurrently old", "REINDEX\0", "select count(*) from pg_class where relname ~ '^old'", "1"),
    ];
    for (statement, answer, fact, value) in rows {
        let database = Postgres::shared().database("lookup");
        database.execute(
            "create table t (n int); create index old on t (n); create table p (n int) partition by list (n); \
             create table p1 partition of p for values in (1)",
        );
        let script = format!("-- no-transaction\n{statement};\ncreate table behind ();\n");
        let finished = cut_after(&database, &script, answer.as_bytes());
        finished.expect_code(83).says("it finds out whether that statement is done");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        expect_end(&run, 0, &["up to date at 0001"]);
        assert_eq!(database.value(fact), value, "{statement}");
        assert_eq!(journal(&database), "applied|2|2", "{statement}");
        assert!(has_table(&database, "behind"));
    }
}

/// Tablespaces and subscriptions belong to the whole server.
#[test]
fn tablespaces_and_subscriptions_are_looked_up() {
    let database = Postgres::shared().database("server");
    let [space, subscription] = ["space", "subscription"].map(unique);
    database.execute(&format!(
        "create subscription {subscription} connection 'dbname=nowhere' publication p with (connect = false); \
         alter subscription {subscription} disable; alter subscription {subscription} set (slot_name = none)"
    ));
    let setting = "set allow_in_place_tablespaces = on;\n";
    for (statement, answer, is_certain) in [
        // A tablespace of that name exists now; its location is not compared.
        (format!("{setting}create tablespace {space} location ''"), "CREATE TABLESPACE\0", false),
        (format!("drop tablespace {space}"), "DROP TABLESPACE\0", true),
        (format!("drop subscription {subscription}"), "DROP SUBSCRIPTION\0", true),
    ] {
        let script = format!("-- no-transaction\n{statement};\ncreate table behind ();\n");
        cut_after(&database, &script, answer.as_bytes()).expect_code(83);
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        if is_certain {
            expect_end(&run, 0, &["up to date at 0001"]).says("the database has it already");
        } else {
            expect_end(&run, 81, &["was begun by a run that ended", "lockkeeper repair --done"]);
            expect_end(&run.clone().args(["repair", "--done"]), 0, &["marked as done"]);
            expect_end(&run, 0, &["up to date at 0001"]).does_not_say("the database has it already");
        }
        database.execute("drop table behind, lockkeeper_history");
    }
}

/// A known failure leaves no open outcome: an index of that name that existed before is not ours.
#[test]
fn an_index_that_existed_before_does_not_count_as_done() {
    let database = Postgres::shared().database("before");
    database.execute("create table t (n int, m int); create index i on t (m)");
    let script = "-- no-transaction\ncreate index concurrently i on t (n);\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    for _ in 0..2 {
        expect_end(&run, 81, &["relation \"i\" already exists", "SQLSTATE 42P07"]);
        assert_eq!(journal(&database), "partial|0|1");
    }
}

const BATCHES: &str = "create procedure batches() language plpgsql as $$ begin \
     insert into log values (1); commit; perform pg_sleep(0); insert into log values (2); end $$; create table log (n int)";

/// A person decides about statements that the catalog knows nothing of, with one command or the other.
#[test]
fn an_outcome_that_cannot_be_looked_up_is_left_to_the_user() {
    for (statement, answer) in [
        ("call batches()", "CALL\0"),
        // A start sends a DO statement, too, with others behind it: Z ends the answers to a message.
        ("do $$ begin insert into log values (1); commit; insert into log values (2); end $$", "DO\0Z"),
    ] {
        for (choice, rows, said) in [("--done", "2", "marked as done"), ("--again", "4", "will be run again")] {
            let database = Postgres::shared().database("open");
            database.execute(BATCHES);
            let script = format!("-- no-transaction\nselect 1;\n{statement};\ncreate table behind ();\n");
            cut_after(&database, &script, answer.as_bytes()).expect_code(83);
            let run = run_on(&database, &[("0001_a.sql", &script)]);
            for _ in 0..2 {
                let parts = [
                    "0001_a.sql:3:1: statement 2 was begun by a run that ended",
                    "1 of its statements is already committed",
                    "lockkeeper repair --done",
                    "lockkeeper repair --again",
                ];
                expect_end(&run, 81, &parts);
                assert_eq!(
                    (database.value("select count(*) from log"), journal(&database)),
                    ("2".into(), "begun|1|3".into())
                );
            }
            run.clone().args(["upgrade", "--sql"]).output().expect_code(0).says("-- It ended while the next one ran");
            let opened = expect_end(&run, 81, &[]);
            let decided = expect_end(&run.clone().args(["repair", choice]), 0, &["0001_a.sql:3:1", said]);
            expect_end(&run, 0, &["up to date at 0001"]);
            if statement.starts_with("call") {
                assert_log!("left_open", opened);
                assert_log!(format!("repair{choice}"), decided);
            }
            assert_eq!(database.value("select count(*) from log"), rows, "{statement} {choice}");
            assert_eq!((journal(&database).as_str(), has_table(&database, "behind")), ("applied|3|3", true));
            expect_end(&run.args(["repair", choice]), 0, &["no statement is open"]);
        }
    }
}

/// In a downgrade, the open statement may be the last one, which then needs only its history row.
#[test]
fn an_open_statement_of_a_downgrade_is_left_to_the_user_too() {
    let database = Postgres::shared().database("openback");
    database.execute(BATCHES);
    let files = [("0001_a.up.sql", "select 1;"), ("0001_a.down.sql", "-- no-transaction\ncall batches();\n")];
    let run = run_on(&database, &files);
    expect_end(&run, 0, &["up to date at 0001"]);
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.cut_at(Peer::Server, b"CALL\0");
    run.clone().url(&proxy.url(database.name())).args(["downgrade", "base"]).output().expect_code(83);
    database.terminate_all();
    assert_eq!(journal(&database), "begun|0|1");
    expect_end(&run.clone().args(["downgrade", "base"]), 81, &["statement 1 was begun", "repair --done"]);
    expect_end(&run.clone().args(["repair", "--done"]), 0, &["0001_a.down.sql:2:1", "marked as done"]);
    expect_end(&run.args(["downgrade", "base"]), 0, &["1 revision undone"]);
    assert_eq!((database.value("select count(*) from log"), history(&database)), ("2".into(), String::new()));
}

/// Statements that return rows or begin with WITH may have effects as well, and those happen once.
#[test]
fn a_select_with_effects_happens_once() {
    for (statement, answer) in [
        ("select grow()", "SELECT 1\0"),
        ("with g as (update n set n = n + 1 returning n) select * from g", "SELECT 1\0"),
        ("do $$ begin perform grow(); end $$", "DO\0"),
    ] {
        let database = Postgres::shared().database("effects");
        database.execute(
            "create table n (n int); insert into n values (0); \
             create function grow() returns int language sql as 'update n set n = n + 1 returning n'",
        );
        let script = format!("-- no-transaction\n{statement};\nselect 2;\n");
        cut_after(&database, &script, answer.as_bytes());
        expect_end(&run_on(&database, &[("0001_a.sql", &script)]), 0, &["at 0001"]);
        assert_eq!(database.value("select n from n"), "1", "{statement}");
    }
}

/// Constraints that this run has left unvalidated are named; an invalid index fails it.
#[test]
fn verify_names_constraints_that_are_not_validated_and_refuses_invalid_indexes() {
    let database = with_duplicates("verify");
    database.execute("alter table app.t add constraint earlier check (n > 1) not valid");
    let script = "alter table app.t add constraint positive check (n > 0) not valid;\n";
    let run = run_on(&database, &[("0001_a.sql", script)]);
    let finished = expect_end(&run, 0, &["up to date at 0001"]);
    finished.says("constraint positive of app.t was added with NOT VALID").does_not_say("earlier");
    let run = run.migrations(&[("0002_b.sql", "create table u (n int);\ncreate index i on u (n);\nupdate pg_index set indisvalid = false where indexrelid = 'i'::regclass;")]);
    let run = run.env("LOCKKEEPER_BACKUP", "off");
    expect_end(&run, 87, &["index public.i is invalid"]).does_not_say("NOT VALID");
}
