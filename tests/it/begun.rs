//! Statements that share no transaction with their row and that a run has begun. The connection ends before one of them
//! reaches the server, or behind it, and somebody changes the database before the next run: nothing is recorded as done that
//! is not what the statement asks for.

use crate::apply::{ends, has_table, run_on};
use crate::leftovers::{cut_behind, journal, validity};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Proxy, Speaker};
use crate::support::unique;

const TABLES: &str = "create table t (a int, b int); create index i on t (a); create index i_right on t (b); \
     create table p (a int) partition by list (a); create table p1 partition of p for values in (1)";

fn script(statement: &str) -> String {
    format!("-- no-transaction\n{statement};\ncreate table behind ();\n")
}

/// A run whose connection is cut when it sends the statement, which the server never sees.
fn cut_before(database: &PgDatabase, statement: &str) -> Run {
    let proxy = Proxy::to(Postgres::shared().port());
    let run = run_on(database, &[("0001_a.sql", &script(statement))]);
    proxy.cut_at(Speaker::Client, statement.as_bytes());
    let finished = run.clone().url(&proxy.url(database.name())).output();
    finished.expect_code(83);
    assert_eq!(proxy.cuts(), 1, "{finished}");
    database.terminate_all();
    assert_eq!(journal(database), "partial|-1|2", "{statement}");
    run
}

/// What the statement would have failed at is still in its way.
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
        ends(&run, 81, &[complaint, "0001_a.sql:2:1"]).silent_about("the database has it already");
        assert_eq!(journal(&database), "partial|0|2", "{statement}");
        assert!(!has_table(&database, "behind"), "{statement}");
    }
    Postgres::shared().execute(&format!("drop database {other}"));
}

/// What nothing stands in the way of is done by the next run.
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
        ends(&run, 0, &["up to date at 0001"]).silent_about("the database has it already");
        assert_eq!(database.value(fact), value, "{statement}");
        assert_eq!(journal(&database), "applied|2|2", "{statement}");
    }
}

/// What others have done in between is the statement's work only if it is what the statement asks for.
#[test]
fn what_somebody_else_has_done_meanwhile_is_compared() {
    for (statement, meanwhile) in [
        // By definition another index.
        ("create index concurrently j on t (b)", "create index j on t (a)"),
        ("create unique index concurrently j on t (b)", "create index j on t (b)"),
        ("create index concurrently j on t (b)", "create index j on t (b desc)"),
        ("create index concurrently j on t (b)", "create index j on t (b) where a > 0"),
        ("create index concurrently j on t (b)", "create index j on t (b) include (a)"),
        ("create index concurrently j on t (b)", "create index j on t using hash (b)"),
        ("create index concurrently j on t (b) with (fillfactor = 50)", "create index j on t (b)"),
        // By its name another one, or one that somebody has renamed.
        ("create index concurrently j on t (b)", "create index k on t (b)"),
        ("create index concurrently on t (b)", "create index on t (b); create index on t (b)"),
        // Another table.
        (
            "create index concurrently j on t (b)",
            "drop table t; create table t (a int, b int); create index j on t (b)",
        ),
        ("create index concurrently j on t (b)", "alter table t rename to u"),
        // It is there still, under another name, or another one has its name.
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
            ends(&run, 81, &parts);
            assert_eq!(journal(&database), "partial|-1|2", "{statement}, {meanwhile}");
        }
        ends(&run.clone().args(["repair", "--done"]), 0, &["marked as done"]);
        ends(&run, 0, &["up to date at 0001"]);
    }
}

/// The same when it is exactly what the statement asks for, however it is written.
#[test]
fn what_is_as_the_statement_asks_for_is_done() {
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
        // Something else on the same table does not matter.
        let run = cut_before(&database, statement);
        database.execute(&format!("create index unrelated on t (a desc); {meanwhile}"));
        ends(&run, 0, &["up to date at 0001"]).says("the database has it already");
        assert_eq!(journal(&database), "applied|2|2", "{statement}, {meanwhile}");
        assert_eq!(database.value("select count(*) from pg_class where relname ~ 'sample'"), "0");
    }
}

/// An index whose definition the server does not build on a sample is asked for.
#[test]
fn a_definition_that_cannot_be_compared_is_asked_for() {
    let database = Postgres::shared().database("sample");
    database.execute(TABLES);
    let statement = "create index concurrently j on t ((t.a + t.b))";
    cut_behind(&database, &script(statement), b"CREATE INDEX\0").expect_code(83);
    let run = run_on(&database, &[("0001_a.sql", &script(statement))]);
    ends(&run, 81, &["statement 1 was begun", "repair --done"]);
    assert_eq!(validity(&database, "^j$"), "j true");
    ends(&run.clone().args(["repair", "--done"]), 0, &["marked as done"]);
    ends(&run, 0, &["up to date at 0001"]);
}

/// The state is of the moment before the statement, whoever the script is and wherever it looks.
#[test]
fn names_are_those_of_the_scripts_session() {
    let database = Postgres::shared().database("session");
    database.execute("create schema app; create table app.t (a int); create table t (a int); create index i on t (a)");
    for (statement, answer) in
        [("create index concurrently i on t (a)", "CREATE INDEX\0"), ("drop index concurrently i", "DROP INDEX\0")]
    {
        let script = script(&format!("set search_path = app;\n{statement}"));
        cut_behind(&database, &script, answer.as_bytes()).expect_code(83);
        assert_eq!(journal(&database), "partial|-2|3");
        let run = run_on(&database, &[("0001_a.sql", &script)]);
        ends(&run, 0, &["up to date at 0001"]).says("the database has it already");
        assert_eq!(database.value("select to_regclass('public.i') is null"), "f");
        database.execute("drop table if exists app.behind; drop table lockkeeper_history");
    }
}

/// Rows of releases that recorded no state: what is untouched is run, everything else is asked for.
#[test]
fn a_row_without_a_state_is_not_guessed_at() {
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
        database.execute(&format!("alter table lockkeeper_history drop column catalog_before; {meanwhile}"));
        let part = if code == 0 { "up to date at 0001" } else { "statement 1 was begun" };
        ends(&run, code, &[part]).silent_about("the database has it already");
        let column = "select count(*) from pg_attribute where attrelid = 'lockkeeper_history'::regclass and attname = 'catalog_before'";
        assert_eq!(database.value(column), "1", "{statement}");
    }
}
