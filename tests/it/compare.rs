//! Tests of `compare`: whether a SQLite file and PostgreSQL have the same rows, and which rows differ.

use rustix::process::Signal;

use crate::contract::{check_end, last, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, sqlite, unique, wait_until};

const SOURCE: &str = "
    create table widgets (id integer primary key, name text, price numeric, made text);
    insert into widgets values (1, 'one', 1.5, '2026-01-01 10:00:00'), (2, 'two', null, null), (3, 'three', 3, '2026-01-03');
    create table pairs (a text, b integer, doc text, primary key (a, b)) without rowid;
    insert into pairs values ('x', 1, '{\"k\": [1, 2]}'), ('x', 2, null), ('Y', 1, '{}');
    create table notes (text text, at integer);
    insert into notes values ('same', 1), ('same', 1), ('other', 2);
    create table empty (id integer primary key);
";
const TARGET: (&str, &str) = (
    "0001_all.sql",
    "create table widgets (id bigint primary key, name varchar(40), price numeric(10, 2), made timestamptz);
     create table pairs (a text, b int, doc jsonb, primary key (a, b));
     create table notes (text text, at bigint);
     create table empty (id bigint primary key);",
);

/// Creates both sides of a finished transfer.
fn transferred(prefix: &str) -> (PgDatabase<'static>, Run) {
    let database = Postgres::shared().database(prefix);
    let run = run_on(&database, &[TARGET]);
    sqlite::query(&run.dir().join("app.db"), SOURCE);
    compared_by(&run, "transfer").expect_code(0);
    (database, run)
}

fn compared_by(run: &Run, verb: &str) -> Finished {
    run.clone().args([verb, "--from", "sqlite:///app.db"]).output()
}

#[track_caller]
fn expect_differences(run: &Run, lines: &[&str], equal: &[&str]) {
    let finished = compared_by(run, "compare");
    finished.expect_code(87);
    assert!(last(&finished).contains("nothing was changed; try: "), "{finished}");
    for line in lines {
        finished.says(line);
    }
    for name in equal {
        finished.says(&format!("{name} and \"public\".\"{name}\" are equal"));
    }
}

#[test]
fn both_sides_of_a_transfer_are_equal_and_nothing_is_changed() {
    let (database, run) = transferred("compare");
    let state = || {
        database.query(
            "select pg_current_xact_id_if_assigned(), sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables",
        )
    };
    let before = state();
    for _ in 0..2 {
        let finished = compared_by(&run, "compare");
        finished.expect_code(0);
        assert!(last(&finished).contains("equal: 4 tables, 9 rows"), "{finished}");
    }
    assert_eq!(state(), before);
    let json = run.clone().args(["compare", "--json", "--from", "sqlite:///app.db"]).output();
    let outcome: serde_json::Value = serde_json::from_str(&json.stdout).expect("a document");
    assert_eq!(outcome["message"], "equal: 4 tables, 9 rows");
}

#[test]
fn json_lists_every_difference() {
    let (database, run) = transferred("compare");
    database.execute("delete from widgets where id = 3; insert into empty values (1)");
    let finished = run.args(["compare", "--json", "--from", "sqlite:///app.db"]).output();
    assert!(last(finished.expect_code(87)).contains("named above"), "{finished}");
    let outcome: serde_json::Value = serde_json::from_str(&finished.stdout).expect("a document");
    assert_eq!((&outcome["code"], &outcome["stage"]), (&87.into(), &"compare".into()));
    let lines = [
        "empty has 0 rows, \"public\".\"empty\" 1",
        "empty, id = 1: only in the target",
        "widgets has 3 rows, \"public\".\"widgets\" 2",
        "widgets, id = 3: only in the source",
    ];
    assert_eq!(outcome["differences"], serde_json::json!(lines));
}

/// A table that is locked against readers is waited for; a signal ends the wait.
#[test]
fn a_signal_ends_a_comparison_and_leaves_no_session_in_the_server() {
    let (database, run) = transferred("compare");
    let mut session = database.session();
    session.run("begin");
    session.run("lock table widgets in access exclusive mode");
    let running = run.args(["compare", "--from", "sqlite:///app.db"]).spawn();
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    wait_until("it waits", DEFAULT_TIMEOUT, || database.value(waits) == "1");
    running.signal(Signal::TERM);
    check_end(running.finish(), 143, &["compare: stopped by SIGTERM; nothing was changed"]);
    wait_until("its session is gone", DEFAULT_TIMEOUT, || database.value(waits) == "0");
}

/// A statement for the target and one for the source, the differences that are found, and the tables that stay equal.
#[test]
fn every_difference_is_named_with_its_table_and_its_key() {
    let rows: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "update widgets set name = 'zwei' where id = 2",
            "",
            &["widgets, id = 2: name is 'two' in the source, 'zwei' in the target", "have 3 rows each"],
            &["pairs", "notes", "empty"],
        ),
        (
            "delete from widgets where id = 3",
            "",
            &["widgets has 3 rows, \"public\".\"widgets\" 2", "widgets, id = 3: only in the source"],
            &["pairs", "notes"],
        ),
        // Two rows have swapped values.
        (
            "update widgets set name = case id when 1 then 'two' else 'one' end where id < 3",
            "",
            &["widgets, id = 1: name is 'one' in the source, 'two' in the target", "widgets, id = 2: name is 'two'"],
            &["pairs"],
        ),
        (
            "update pairs set doc = case b when 1 then null else '{\"k\": [1, 2]}'::jsonb end where a = 'x'",
            "",
            &["pairs, (a, b) = ('x', 1): doc is ", "pairs, (a, b) = ('x', 2): doc is NULL in the source"],
            &["widgets", "notes"],
        ),
        // One row more, and one row less.
        (
            "insert into notes values ('other', 2)",
            "",
            &[
                "notes has 3 rows, \"public\".\"notes\" 4",
                "notes, (text, at) = ('other', 2): once in the source, 2 times in the target",
            ],
            &["widgets"],
        ),
        (
            "delete from notes where ctid in (select min(ctid) from notes where text = 'same')",
            "",
            &["notes, (text, at) = ('same', 1): 2 times in the source, once in the target"],
            &["widgets"],
        ),
        (
            "alter table widgets drop constraint widgets_pkey; insert into widgets select * from widgets where id = 1",
            "",
            &["widgets has 3 rows", "widgets, id = 1: once in the source, 2 times in the target"],
            &["notes"],
        ),
        // Rows that the application writes.
        ("insert into empty values (7)", "", &["empty has 0 rows", "empty, id = 7: only in the target"], &["widgets"]),
        (
            "",
            "insert into widgets values (9, 'nine', 'dear', null)",
            &["widgets.price, rowid 9: 'dear' ", "widgets, id = 9: only in the source"],
            &["pairs"],
        ),
        (
            "",
            "update widgets set price = 'dear' where id = 1",
            &["widgets.price, rowid 1: 'dear' ", "id = 1: price is 'dear' in the source, 1.50 in the target"],
            &["pairs"],
        ),
        (
            "update widgets set price = null, made = null where id = 1; delete from pairs",
            "",
            &[
                "price is 1.5 in the source, NULL in the target, made is '2026-01-01 10:00:00' in the source, NULL",
                "pairs has 3 rows, \"public\".\"pairs\" 0",
            ],
            &["notes"],
        ),
    ];
    for (target, source, lines, equal) in rows {
        let (database, run) = transferred("compare");
        database.execute(target);
        sqlite::query(&run.dir().join("app.db"), source);
        expect_differences(&run, lines, equal);
    }
}

#[test]
fn at_most_ten_differing_rows_are_named_and_one_among_many_is_found() {
    let (database, run) = transferred("compare");
    let many = "with recursive n(i) as (values (10) union all select i + 1 from n where i < 30000) insert into widgets select i, 'name ' || i, i, null from n";
    sqlite::query(&run.dir().join("app.db"), many);
    let finished = compared_by(&run, "compare");
    finished
        .expect_code(87)
        .says("widgets has 29994 rows, \"public\".\"widgets\" 3")
        .says("no more than 10 rows are named");
    assert_eq!(finished.stderr.matches("only in the source").count(), 10, "{finished}");
    // One differing row among many is found.
    database.execute("insert into widgets select i, 'name ' || i, i, null from generate_series(10, 30000) i; update widgets set price = price + 0.01 where id = 23456");
    let finished = compared_by(&run, "compare");
    finished.expect_code(87).says("widgets, id = 23456: price is 23456 in the source, 23456.01 in the target");
    assert_eq!(finished.stderr.matches(" in the target").count(), 1, "{finished}");
}

#[test]
fn partitions_are_compared_with_their_table_and_inherited_rows_are_not() {
    let database = Postgres::shared().database("compare");
    let tables = r#"create table parts (id bigint primary key, text text) partition by range (id);
        create table low partition of parts for values from (0) to (10);
        create table high partition of parts for values from (10) to (20);
        create table parent (id bigint primary key);
        create table child () inherits (parent);
        create table "Odd ""Table" ("The Key" uuid primary key, "select" bytea);
        insert into "Odd ""Table" values ('00000000-0000-0000-0000-00000000000a', '\x01ff');
        insert into parts values (1, 'one'), (11, 'eleven'), (12, 'twelve'); insert into child values (5);"#;
    let run = run_on(&database, &[("0001_all.sql", tables)]);
    run.output().expect_code(0);
    let source = "create table parts (id integer primary key, text text); create table parent (id integer primary key);
        create table \"odd \"\"table\" (\"the key\" text primary key, \"select\" blob);
        insert into \"odd \"\"table\" values ('0000000000000000000000000000000A', x'02');
        insert into parts values (1, 'one'), (11, 'elf'), (12, 'twelve');";
    sqlite::query(&run.dir().join("app.db"), source);
    let lines = [
        "parts, id = 11: text is 'elf' in the source, 'eleven' in the target",
        "the key = '0000000000000000000000000000000A': select is x'02' in the source, '\\\\x01ff' in the target",
    ];
    expect_differences(&run, &lines, &["parent"]);
}

/// The role owns nothing, and may neither write nor lock.
#[test]
fn a_role_that_may_only_read_is_enough() {
    let (database, run) = transferred("compare");
    let role = unique("reader");
    database.execute(&format!("create role {role} login password '{PASSWORD}'; grant select on lockkeeper_history, widgets, pairs, empty to {role}"));
    let reader = run.url(&database.url_as(&role, PASSWORD));
    let denied = compared_by(&reader, "compare");
    denied.expect_code(77).says("permission denied").says("notes");
    let only = |verb| reader.clone().args([verb, "--from", "sqlite:///app.db", "--exclude", "notes"]).output();
    only("compare").expect_code(0).says("equal: 3 tables, 6 rows");
    database.execute("update widgets set made = '2026-01-03 00:00:01+00' where id = 3");
    only("compare").expect_code(87).says("made is '2026-01-03' in the source, '2026-01-03 00:00:01+00' in the target");
    // Rows that a policy hides are an error, and not taken for missing.
    database.execute("alter table widgets enable row level security");
    only("compare").expect_code(77).says("row-level security");
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn a_comparison_does_not_block_writers_and_reads_tables_that_are_locked_against_them() {
    let (database, run) = transferred("compare");
    let mut session = database.session();
    session.run("begin");
    session.run("lock table widgets in exclusive mode");
    session.run("insert into widgets values (8, 'not committed', 1, null)");
    compared_by(&run, "compare").expect_code(0);
    session.run("commit");
    expect_differences(&run, &["widgets, id = 8: only in the target"], &["notes"]);
}

#[test]
fn flags_and_missing_tables_have_the_meaning_of_a_transfer() {
    let (database, run) = transferred("compare");
    let with = |arguments: &[&str]| {
        run.clone().args(["compare", "--from", "sqlite:///app.db"]).args(arguments.iter().copied()).output()
    };
    with(&["--only", "notes", "--only", "empty"]).expect_code(0).says("equal: 2 tables, 3 rows");
    with(&["--timezone", "+02:00"]).expect_code(87).says("id = 1: made is '2026-01-01 10:00:00' in the source");
    with(&["--timezone", "nowhere"]).expect_code(64).says("--timezone");
    with(&["--cast", "widgets=x"]).expect_code(64).says("--cast");
    // The target may require more than the source has by now.
    database.execute("alter table empty add more int not null");
    with(&[]).expect_code(0);
    database.execute("drop table notes");
    with(&[]).expect_code(65).says("notes");
    with(&["--exclude", "notes"]).expect_code(0);
    let missing = run.clone().args(["compare", "--from", "sqlite:///none.db"]).output();
    assert_ne!(missing.code, Some(0));
    missing.says("none.db");
    with(&["--create-database"]).expect_code(64).says("this only reads");
}

/// The last line has the first missing table, and says that the others are listed above.
#[test]
fn every_table_that_is_missing_is_named() {
    let database = Postgres::shared().database("compare_missing");
    let run = run_on(&database, &[("0001_one.sql", "create table one (id int);")]);
    run.output().expect_code(0);
    sqlite::query(&run.dir().join("app.db"), "create table first (id integer); create table second (id integer);");
    let finished = compared_by(&run, "compare");
    finished.expect_code(65).says("first: the target has no such table").says("second: the target has no such table");
    assert!(last(&finished).contains("and 1 more, named above"), "{finished}");
}
