//! Tests of a view that replaces a table between the moment at which Lockkeeper lists the tables and the moment at
//! which it reads them, and of a type with a cast of its owner. Their functions must never run with the privileges of
//! the run; each of them writes a line to the server's log, which no rollback removes.

use crate::apply::expect;
use crate::contract::run_on;
use crate::dump::at;
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::session::Session;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

const TABLES: (&str, &str) =
    ("0001_tables.sql", "create table a (id int primary key);\ninsert into a values (1);\ncreate table t (id int);\n");

/// Creates a function that would run with our privileges.
fn trap(database: &PgDatabase) {
    database.execute(
        "create function trap(what text) returns int language plpgsql as \
         $$ begin raise log 'trap % in % as %', what, current_database(), current_user; return 1; end $$",
    );
}

#[track_caller]
fn expect_no_trap(database: &PgDatabase, what: &str) {
    let line = format!("trap {what} in {}", database.name());
    assert!(!database.server().log().contains(&line), "{what}: a function of somebody else's has run");
}

/// The statements by which a view replaces the table `t`.
const SWAPS: [(&str, &str); 2] = [
    ("swap", "drop table t; create view t as select trap('swap') as id"),
    // The table becomes a view and keeps its OID, up to version 15.
    ("rule", "create rule \"_RETURN\" as on select to t do instead select trap('rule') as id"),
];

/// Locks the table `t`; a view replaces it as soon as the session commits.
fn swap(database: &PgDatabase, statements: &str) -> Session {
    let mut session = database.session();
    let answer = session.run(&format!("begin; {statements}; lock table t in access exclusive mode"));
    assert!(!answer.contains("ERROR"), "{answer}");
    session
}

/// Runs a command that waits for the lock on the table, and then lets the other session commit.
fn run_and_swap(run: &Run, database: &PgDatabase, reader: &str, mut session: Session) -> Finished {
    let running = run.spawn();
    wait_until("the run waits for the table", DEFAULT_TIMEOUT, || {
        let waiting = format!(
            "select count(*) > 0 from pg_stat_activity where datname = current_database() \
             and application_name = '{reader}' and wait_event_type = 'Lock'"
        );
        database.value(&waiting) == "t"
    });
    session.run("commit");
    running.finish()
}

#[test]
fn a_view_in_the_place_of_a_table_is_not_exported() {
    for (what, statements) in SWAPS {
        let database = Postgres::shared().database("replaced");
        let run = run_on(&database, &[TABLES]);
        run.output().expect_code(0);
        trap(&database);
        let session = swap(&database, statements);
        let export = run.clone().args(["export", "out.json"]);
        let finished = run_and_swap(&export, &database, "lockkeeper", session);
        expect_no_trap(&database, what);
        expect(finished, 82, &["\"public\".\"t\"", "was dropped, replaced or altered", "run again"]);
        assert!(!at(&run, "out.json").exists(), "nothing is left of the file");
    }
}

#[test]
fn a_view_in_the_place_of_a_table_is_not_compared() {
    for (what, statements) in SWAPS {
        let database = Postgres::shared().database("replaced");
        let run = run_on(&database, &[TABLES]);
        run.output().expect_code(0);
        trap(&database);
        let rows = "create table a (id integer primary key); insert into a values (1); create table t (id integer)";
        sqlite::query(&at(&run, "app.db"), rows);
        let session = swap(&database, statements);
        let compare = run.clone().args(["compare", "--from", "sqlite:///app.db"]);
        let finished = run_and_swap(&compare, &database, "lockkeeper", session);
        expect_no_trap(&database, what);
        expect(finished, 82, &["\"public\".\"t\"", "was dropped, replaced or altered", "run again"]);
    }
}

#[test]
fn a_table_that_has_become_a_view_is_not_counted_for_a_backup() {
    let database = Postgres::shared().database("replaced");
    let run = run_on(&database, &[TABLES]);
    run.output().expect_code(0);
    trap(&database);
    let (what, statements) = SWAPS[1];
    let session = swap(&database, statements);
    let finished = run_and_swap(&run.clone().arg("backup"), &database, "lockkeeper watch", session);
    expect_no_trap(&database, what);
    assert_ne!(finished.code, Some(0), "{finished}");
}

/// The owner of a type may define casts of it.
#[test]
fn a_cast_of_a_types_owner_is_not_called() {
    let database = Postgres::shared().database("casts");
    let types = "create type mood as enum ('sad', 'so so');\ncreate type pair as (a int, b text);\n\
         create table t (id int primary key, one mood, many mood[], two pair, empty mood[]);\n\
         insert into t values (1, 'sad', '{sad,NULL,so so}', '(1,x y)', null), (2, null, '{}', '(,)', '{}');\n";
    let run = run_on(&database, &[("0001_types.sql", types)]);
    run.output().expect_code(0);
    trap(&database);
    for (from, to) in [("mood", "text"), ("pair", "text"), ("mood", "json"), ("mood[]", "text")] {
        let name = from.trim_end_matches("[]").to_owned() + if from.ends_with(']') { "s" } else { "" };
        database.execute(&format!(
            "create function {name}_{to}({from}) returns {to} language plpgsql as \
             $$ begin perform public.trap('cast'); return '\"wrong\"'; end $$; \
             create cast ({from} as {to}) with function {name}_{to}({from})"
        ));
    }
    expect(run.clone().args(["export", "out.json"]).output(), 0, &["exported 1 table, 2 rows"]);
    let text = std::fs::read_to_string(at(&run, "out.json")).expect("the export");
    expect_no_trap(&database, "cast");
    for row in [
        r#"{"id": 1, "one": "sad", "many": "{sad,NULL,\"so so\"}", "two": "(1,\"x y\")", "empty": null}"#,
        r#"{"id": 2, "one": null, "many": "{}", "two": "(,)", "empty": "{}"}"#,
    ] {
        assert!(text.contains(row), "{row} in {text}");
    }
    sqlite::query(
        &at(&run, "app.db"),
        "create table t (id integer primary key, one text); insert into t values (1, 'so so'), (2, 'sad')",
    );
    let finished = run.clone().args(["compare", "--from", "sqlite:///app.db"]).output();
    expect_no_trap(&database, "cast");
    finished.expect_code(87).says("one is 'so so' in the source, 'sad' in the target");
}
