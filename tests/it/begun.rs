//! Tests of statements that share no transaction with their journal row and were started. The connection ends before
//! one of them reaches the server, or after it, and somebody changes the database before the next run: nothing is
//! recorded as done unless the database is as the statement asks for.

use crate::apply::{expect_end, has_table, run_on};
use crate::leftovers::{cut_after, journal, validity};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};
use crate::support::unique;

const TABLES: &str = "create table t (a int, b int); create index i on t (a); create index i_right on t (b); \
     create table p (a int) partition by list (a); create table p1 partition of p for values in (1)";

fn script(statement: &str) -> String {
    format!("-- no-transaction\n{statement};\ncreate table behind ();\n")
}

/// Runs with a connection that is cut when it sends the statement, which the server never sees.
fn cut_before(database: &PgDatabase, statement: &str) -> Run {
    let proxy = Proxy::start(Postgres::shared().port());
    let run = run_on(database, &[("0001_a.sql", &script(statement))]);
    proxy.cut_at(Peer::Client, statement.as_bytes());
    let finished = run.clone().url(&proxy.url(database.name())).output();
    finished.expect_code(83);
    assert_eq!(proxy.cuts(), 1, "{finished}");
    database.terminate_all();
    assert_eq!(journal(database), "begun|0|2", "{statement}");
    run
}

/// The obstacle that the statement would have failed at is still there.
#[test]
fn a_statement_that_never_ran_is_not_recorded_as_done() {
    let other = unique("other");
    Postgres::shared().execute(&format!("create database {other}"));
    for (statement, complaint) in [
        ("create index concurrently i on t (b)", "relation \"i\" already exists"),
        ("create unique index concurrently i on t (a)", "relation \"i\" already exists"),
        ("create index concurrently i on t (a)", "relation \"i\" already exists"),
        ("drop index concurrently i_wrong", "index \"i_wrong\" does not exist"),
        ("alter table p detach partition p_1 concurrently", "relation \"p_1\" does not exist"),
        ("alter table p detach partition t concurrently", "is not a partition"),
        (&format!("create database {other}"), "already exists"),
        ("drop database not_there", "does not exist"),
        ("drop tablespace not_there", "does not exist"),
        ("drop subscription not_there", "does not exist"),
    ] {
        let database = Postgres::shared().database("never");
        database.execute(TABLES);
        let run = cut_before(&database, statement);
        expect_end(&run, 81, &[complaint, "0001_a.sql:2:1"]).does_not_say("the database has it already");
        assert_eq!(journal(&database), "partial|0|2", "{statement}");
        assert!(!has_table(&database, "behind"), "{statement}");
    }
    Postgres::shared().execute(&format!("drop database {other}"));
}

/// The next run executes a statement that nothing prevents.
#[test]
fn a_statement_that_never_ran_is_run() {
    for (statement, fact, value) in [
        ("create index concurrently j on t (b)", "select to_regclass('j') is null", "f"),
        ("create index concurrently on t (a, b)", "select to_regclass('t_a_b_idx') is null", "f"),
        ("create index concurrently if not exists i on t (b)", "select to_regclass('i') is null", "f"),
        ("drop index concurrently i", "select to_regclass('i') is null", "t"),
        ("alter table p detach partition p1 concurrently", "select count(*) from pg_inherits", "0"),
    ] {
        let database = Postgres::shared().database("runs");
        database.execute(TABLES);
        let run = cut_before(&database, statement);
        expect_end(&run, 0, &["up to date at 0001"]).does_not_say("the database has it already");
        assert_eq!(database.value(fact), value, "{statement}");
        assert_eq!(journal(&database), "applied|2|2", "{statement}");
    }
}

/// A change by others in between counts as the statement's only if the result is what the statement asks for.
#[test]
fn changes_of_other_sessions_are_compared_with_the_statement() {
    for (statement, meanwhile) in [
        // The index of that name has another definition.
        ("create index concurrently j on t (b)", "create index j on t (a)"),
        ("create unique index concurrently j on t (b)", "create index j on t (b)"),
        ("create index concurrently j on t (b)", "create index j on t (b desc)"),
        ("create index concurrently j on t (b)", "create index j on t (b) where a > 0"),
        ("create index concurrently j on t (b)", "create index j on t (b) include (a)"),
        ("create index concurrently j on t (b)", "create index j on t using hash (b)"),
        ("create index concurrently j on t (b) with (fillfactor = 50)", "create index j on t (b)"),
        // Another object has that name, or somebody has renamed it.
        ("create index concurrently j on t (b)", "create index k on t (b)"),
        ("create index concurrently on t (b)", "create index on t (b); create index on t (b)"),
        // The index is on another table.
        (
            "create index concurrently j on t (b)",
            "drop table t; create table t (a int, b int); create index j on t (b)",
        ),
        ("create index concurrently j on t (b)", "alter table t rename to u"),
        // The object still exists under another name, or another one has its name.
        ("drop index concurrently i", "alter index i rename to k"),
        ("drop index concurrently i", "drop index i; create index i on t (a)"),
        ("drop index concurrently i", "alter index i rename to k; create index i on t (b)"),
        ("drop index concurrently not_there", "create index not_there on t (b)"),
        ("alter table p detach partition p1 concurrently", "drop table p1"),
        ("alter table p detach partition p1 concurrently", "alter table p1 rename to p2"),
        (
            "alter table p detach partition p1 concurrently",
            "alter table p detach partition p1; alter table p1 rename to p2",
        ),
    ] {
        let database = Postgres::shared().database("meanwhile");
        database.execute(TABLES);
        let run = cut_before(&database, statement);
        database.execute(meanwhile);
        for _ in 0..2 {
            let parts = ["0001_a.sql:2:1: statement 1 was begun", "repair --done", "repair --again"];
            expect_end(&run, 81, &parts);
            assert_eq!(journal(&database), "begun|0|2", "{statement}, {meanwhile}");
        }
        expect_end(&run.clone().args(["repair", "--done"]), 0, &["marked as done"]);
        expect_end(&run, 0, &["up to date at 0001"]);
    }
}

/// An object that is exactly as the statement asks for counts as done, however it is written.
#[test]
fn an_object_that_matches_its_statement_counts_as_done() {
    for (statement, meanwhile) in [
        ("create index concurrently j on t (b)", "create index j on public.t using btree (b asc nulls last)"),
        (
            "create unique index concurrently \"j\" on only public.t ((lower(a::text)), b desc) include (a) with (fillfactor = 50) where b > 0",
            "create unique index j on t (lower(a::text), b desc) include (a) with (fillfactor = 50) where (b > (0))",
        ),
        ("create index concurrently on t (b) /* a comment */", "create index whatever on t (b)"),
        ("drop index concurrently i", "drop index i"),
        ("alter table p detach partition p1 concurrently", "alter table p detach partition p1"),
    ] {
        let database = Postgres::shared().database("same");
        database.execute(TABLES);
        // Other objects on the same table do not matter.
        let run = cut_before(&database, statement);
        database.execute(&format!("create index unrelated on t (a desc); {meanwhile}"));
        expect_end(&run, 0, &["up to date at 0001"]).says("the database has it already");
        assert_eq!(journal(&database), "applied|2|2", "{statement}, {meanwhile}");
        assert_eq!(database.value("select count(*) from pg_class where relname ~ 'sample'"), "0");
    }
}

/// The run asks the user about an index whose definition the server does not normalize on a sample.
#[test]
fn a_definition_that_cannot_be_compared_is_left_to_the_user() {
    let database = Postgres::shared().database("sample");
    database.execute(TABLES);
    let statement = "create index concurrently j on t ((t.a + t.b))";
    cut_after(&database, &script(statement), b"CREATE INDEX\0").expect_code(83);
    let run = run_on(&database, &[("0001_a.sql", &script(statement))]);
    expect_end(&run, 81, &["statement 1 was begun", "repair --done"]);
    assert_eq!(validity(&database, "^j$"), "j true");
    expect_end(&run.clone().args(["repair", "--done"]), 0, &["marked as done"]);
    expect_end(&run, 0, &["up to date at 0001"]);
}

/// The state is that of the moment before the statement, with the role and the search path of the script.
#[test]
fn names_are_resolved_in_the_session_of_the_script() {
    let database = Postgres::shared().database("session");
    database.execute("create schema app; create table app.t (a int); create table t (a int); create index i on t (a)");
    for (statement, answer) in
        [("create index concurrently i on t (a)", "CREATE INDEX\0"), ("drop index concurrently i", "DROP INDEX\0")]
    {
        let script = script(&format!("set search_path = app;\n{statement}"));
        cut_after(&database, &script, answer.as_bytes()).expect_code(83);
        assert_eq!(journal(&database), "begun|1|3");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        expect_end(&run, 0, &["up to date at 0001"]).says("the database has it already");
        assert_eq!(database.value("select to_regclass('public.i') is null"), "f");
        database.execute("drop table if exists app.behind; drop table lockkeeper_history");
    }
}

/// Rows of releases that recorded no state: an untouched database is migrated, everything else is left to the user.
#[test]
fn a_row_without_a_recorded_state_is_not_taken_for_done() {
    for (statement, meanwhile, code) in [
        ("create index concurrently j on t (b)", "select 1", 0),
        ("create index concurrently j on t (b)", "create index j on t (b)", 81),
        ("drop index concurrently i", "select 1", 0),
        ("drop index concurrently i", "drop index i", 81),
        ("alter table p detach partition p1 concurrently", "select 1", 0),
        ("alter table p detach partition p1 concurrently", "alter table p detach partition p1", 81),
        ("drop database not_there", "select 1", 81),
    ] {
        let database = Postgres::shared().database("earlier");
        database.execute(TABLES);
        let run = cut_before(&database, statement);
        database.execute(&format!("update lockkeeper_history_journal set catalog_before = null; {meanwhile}"));
        let part = if code == 0 { "up to date at 0001" } else { "statement 1 was begun" };
        expect_end(&run, code, &[part]).does_not_say("the database has it already");
    }
}
