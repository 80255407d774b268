//! Tests of revisions on SQLite: rebuilt tables with foreign keys, and pragmas.

use std::path::PathBuf;

use crate::apply::expect_end;
use crate::support::binary::Run;
use crate::support::sqlite;

const FAMILY: (&str, &str) = (
    "0001_family.sql",
    "create table parent (id integer primary key, name text);
create table child (id integer primary key, parent integer references parent (id) on delete cascade);
insert into parent values (1, 'a'), (2, 'b');
insert into child values (10, 1), (20, 2), (30, 2);
",
);

/// The procedure of SQLite's manual to change a table ("ALTER TABLE", section 7).
const REBUILD: &str = "create table parent_new (id integer primary key, name text not null, more text);
insert into parent_new (id, name) select id, name from parent;
drop table parent;
alter table parent_new rename to parent;
";

fn run(files: &[(&str, &str)]) -> (Run, PathBuf) {
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(files);
    let file = run.dir().join("app.db");
    (run, file)
}

fn revisions(file: &std::path::Path) -> String {
    sqlite::value(file, "select group_concat(revision) from lockkeeper_history;")
}

/// Rebuilding a parent table does not delete the rows of its children.
#[test]
fn rebuilding_a_table_keeps_the_rows_of_its_children() {
    let (run, file) = run(&[FAMILY, ("0002_rebuild.sql", REBUILD)]);
    expect_end(&run, 0, &["up to date at 0002"]);
    assert_eq!(sqlite::query(&file, "select id, parent from child;"), "10|1\n20|2\n30|2\n");
    assert_eq!(sqlite::value(&file, "select count(*) from parent where more is null;"), "2");
    assert_eq!(sqlite::query(&file, "pragma foreign_key_check;"), "");
    // The key still refers to the new table: as an application would, delete a parent with its children.
    let remaining =
        sqlite::query(&file, "pragma foreign_keys = on; delete from parent where id = 2; select id from child;");
    assert_eq!(remaining, "10\n");
}

/// A file must not switch foreign keys on or off; the message gives the reason.
#[test]
fn switching_foreign_keys_is_refused_with_the_reason() {
    for (pragma, line) in [("PRAGMA foreign_keys=off;", 1), ("\n pragma main.foreign_keys(0) ;", 2)] {
        let script = format!("{pragma}\n{REBUILD}pragma foreign_keys = on;\n");
        let (run, file) = run(&[FAMILY, ("0002_rebuild.sql", &script)]);
        let place = format!("0002_rebuild.sql:{line}:");
        expect_end(
            &run,
            65,
            &[&place, "remove it", "switched off while a migration runs", "checked before it commits"],
        );
        assert!(!file.exists());
    }
    let (run, _) = run(&[FAMILY, ("0002_wal.sql", "pragma journal_mode = wal;\nvacuum;")]);
    expect_end(&run, 65, &["0002_wal.sql:1:1: ", "0002_wal.sql:2:1: ", "`-- no-transaction`"]);
    let run = run.migrations(&[("0002_wal.sql", "-- no-transaction\npragma journal_mode = wal;\nvacuum;")]);
    expect_end(&run, 0, &["up to date at 0002"]);
    assert_eq!(sqlite::value(&run.dir().join("app.db"), "pragma journal_mode;"), "wal");
}

/// A file that leaves rows without a parent is rolled back, and the message names them.
#[test]
fn rows_left_without_a_parent_are_refused_and_named() {
    let (run, file) = run(&[FAMILY]);
    expect_end(&run, 0, &[]);
    for (script, named) in [
        ("delete from parent where id = 2;", "child -> parent: 2"),
        ("insert into child values (40, 9);", "child -> parent: 1"),
        ("drop table parent;", "child -> parent: 3"),
        ("create table pet (owner integer references child); insert into pet values (99);", "pet -> child: 1"),
    ] {
        let run = run.clone().migrations(&[("0002_orphan.sql", script)]);
        expect_end(
            &run,
            80,
            &[
                "0002_orphan.sql",
                "it leaves foreign keys without a parent row",
                named,
                "rolled back",
                "delete or correct those rows",
            ],
        );
        assert_eq!(revisions(&file), "0001");
        assert_eq!(sqlite::value(&file, "select count(*) from child, parent;"), "6");
    }
}

/// Rows that had no parent before a file ran do not make it fail.
#[test]
fn rows_that_had_no_parent_before_do_not_fail_a_file() {
    let (run, file) = run(&[FAMILY]);
    expect_end(&run, 0, &[]);
    sqlite::query(&file, "insert into child values (40, 9);");
    let run = run.migrations(&[("0002_rebuild.sql", REBUILD), ("0003_more.sql", "create table more (id integer);")]);
    expect_end(&run, 0, &["up to date at 0003"]);
    assert_eq!(sqlite::value(&file, "select count(*) from child;"), "4");
    let orphan = "insert into child values (50, 9);";
    let run = run.migrations(&[("0004_orphan.sql", orphan)]);
    expect_end(&run, 80, &["0004_orphan.sql", "child -> parent"]);
    let correct = "delete from child where id = 40;";
    expect_end(&run.migrations(&[("0004_orphan.sql", correct)]), 0, &["up to date at 0004"]);
}

/// Settings of one file are reset before the next file.
#[test]
fn settings_of_one_file_do_not_affect_the_next() {
    let files = [
        (
            "0001_a.sql",
            "create temp table leak (id integer); pragma recursive_triggers = on; pragma case_sensitive_like = on;",
        ),
        ("0002_b.sql", "create table leak as select 'A' like 'a' as loose;"),
        (
            "0003_c.sql",
            "-- no-transaction\nattach ':memory:' as extra;\npragma foreign_keys = on;\ncreate temp view leaks as select 1;",
        ),
        (
            "0004_d.sql",
            "create table leaks as select count(*) as attached from pragma_database_list where name = 'extra';",
        ),
    ];
    let (run, file) = run(&files);
    expect_end(&run, 0, &["up to date at 0004"]);
    assert_eq!(
        sqlite::query(
            &file,
            "select * from leak; select * from leaks; select count(*) from main.sqlite_schema where name like 'leak%';"
        ),
        "1\n0\n2\n"
    );
}

/// An error is reported as SQLite words it, also outside of a transaction and from a trigger.
#[test]
fn a_failure_reports_the_error_of_sqlite() {
    for (script, code, parts) in [
        (
            "create table t (id integer primary key);\ninsert into t values (1), (1);",
            80,
            &["0001_a.sql:2:1: ", "UNIQUE constraint failed: t.id", "SQLite 1555"][..],
        ),
        ("create table t (a);\n-- ä\n  selec 1;", 80, &["0001_a.sql:3:3: ", "near \"selec\": syntax error"]),
        (
            "create table t (a);\ncreate trigger r before insert on t begin select raise(abort, 'not here'); end;\n insert into t values (1);",
            80,
            &["0001_a.sql:3:2: ", "not here"],
        ),
        (
            "create table t (a unique);\ninsert or rollback into t values (1), (1);",
            80,
            &["0001_a.sql:2:1: ", "rolled back"],
        ),
        (
            "-- no-transaction\ncreate table t (a);\n\nselect missing;",
            81,
            &["0001_a.sql:4:1: ", "statement 2", "no such column: missing"],
        ),
        (
            "create table t (a);\ndrop table lockkeeper_history;",
            80,
            &["0001_a.sql", "recording it failed", "lockkeeper_history"],
        ),
    ] {
        let (run, file) = run(&[("0001_a.sql", script)]);
        expect_end(&run, code, parts);
        let remaining = sqlite::value(&file, "select count(*) from sqlite_schema where name = 't';");
        assert_eq!(remaining, if code == 81 { "1" } else { "0" }, "{script}");
    }
}

/// The databases that the first statements attached are attached again when the file is resumed in a new session.
#[test]
fn a_resumed_file_has_the_databases_that_its_first_statements_attached() {
    let script = |third: &str| {
        format!(
            "-- no-transaction\nattach 'other.db' as other;\ncreate table other.t (n);\ninsert into {third} values (1);\n"
        )
    };
    let (run, _) = run(&[("0001_a.sql", &script("nowhere"))]);
    expect_end(&run, 81, &["0001_a.sql:4:1: statement 3 failed"]);
    let run = run.migrations(&[("0001_a.sql", &script("other.t"))]);
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(sqlite::value(&run.dir().join("other.db"), "select n from t;"), "1");
}

/// SQLite answers a check of such a key with an error although no row is wrong; the rows of other keys are checked all
/// the same.
#[test]
fn a_foreign_key_to_no_unique_column_is_warned_about_when_it_is_created() {
    let misfit = "create table p (a); create table c (x references p (a)); insert into c values (1);";
    let (run, file) = run(&[("0001_mend.sql", "create table other (id int);")]);
    sqlite::query(&file, misfit);
    const WARNING: &str = "has a foreign key that SQLite cannot check (foreign key mismatch";
    expect_end(&run, 0, &["up to date at 0001"]).does_not_say(WARNING);
    let made = "create table d (x references p (a)); create table q (id integer primary key);";
    let orphan = "create table r (x references q); insert into r values (9);";
    let run = run.migrations(&[("0002_misfit.sql", &format!("{made} {orphan}"))]);
    expect_end(&run, 80, &["0002_misfit.sql: it leaves foreign keys without a parent row: r -> q: 1"]);
    let run = run.migrations(&[("0002_misfit.sql", made)]);
    expect_end(&run, 0, &["up to date at 0002"]).says(&format!("table d {WARNING}"));
    let run = run.migrations(&[("0003_mend.sql", "insert into p values (1); create unique index i on p (a);")]);
    expect_end(&run, 0, &["up to date at 0003"]).does_not_say(WARNING);
}

/// A savepoint outside of a transaction begins one that nobody commits: everything after it would be lost.
#[test]
fn a_savepoint_without_a_transaction_is_refused() {
    for (script, place) in [
        ("savepoint a;\ncreate table t (n);\n", "2:1"),
        ("create table t (n);\nrelease a;\n", "3:1"),
        ("create table t (n);\nrollback to a;\n", "3:1"),
    ] {
        let (run, file) = run(&[("0001_a.sql", &format!("-- no-transaction\n{script}"))]);
        expect_end(&run, 65, &[&format!("0001_a.sql:{place}:"), "SAVEPOINT", "nothing was changed"]);
        assert!(!file.exists());
    }
    let (run, file) = run(&[("0001_a.sql", "savepoint a; create table t (n); release a; savepoint b;")]);
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(revisions(&file), "0001");
}

/// Files that were concatenated have a byte order mark inside, which SQLite reads as white space.
#[test]
fn a_commit_behind_a_byte_order_mark_is_refused() {
    for before in ["\u{feff}", "\n\u{b}", " \u{feff}/* c */\u{feff}\u{feff} "] {
        let script = format!("create table a (n);{before}commit;\ncreate table b (n);");
        let (run, file) = run(&[("0001_a.sql", &script)]);
        expect_end(&run, 65, &["0001_a.sql:", "remove BEGIN, COMMIT and ROLLBACK", "nothing was changed"]);
        assert!(!file.exists());
    }
    let (run, file) = run(&[("0001_a.sql", "create table a (n);\u{feff}create table b (n);")]);
    expect_end(&run, 0, &["up to date at 0001"]);
    assert_eq!(revisions(&file), "0001");
}

/// A space that is not ASCII is a letter to SQLite: it is part of the name next to it.
#[test]
fn a_name_may_end_with_a_space_that_is_not_ascii() {
    let (run, file) = run(&[
        ("0001_a.sql", "create table a (n);"),
        ("0002_drop.sql", "-- no-transaction\ndrop table a\u{a0}\n"),
        ("0003_commit.sql", "-- no-transaction\ncreate table b (n);\n\u{2003}begin"),
    ]);
    expect_end(&run, 81, &["0002_drop.sql", "no such table: a\u{a0}"]);
    assert_eq!(sqlite::value(&file, "select count(*) from a;"), "0");
    let run = run.migrations(&[("0002_drop.sql", "-- no-transaction\ndrop table a;\n")]);
    expect_end(&run, 81, &["0003_commit.sql", "near \"\u{2003}begin\""]);
    let all_files = [("0001_a.sql", "create table a (n);"), ("0002_drop.sql", "select 1;\ndrop table a\u{3000}")];
    let (run, file) = self::run(&all_files);
    expect_end(&run, 80, &["0002_drop.sql:2:1:", "no such table: a\u{3000}"]);
    assert_eq!(sqlite::value(&file, "select count(*) from a;"), "0");
}

/// Applications register functions with their connections, and this program cannot call them.
#[test]
fn functions_that_sqlite_lacks_are_found_before_anything_runs() {
    let slugs = ("0002_slugs.sql", "-- fills\nupdate parent set name = 'x' || slug(name);\n");
    let (run, file) = run(&[FAMILY, slugs]);
    expect_end(
        &run,
        65,
        &["0002_slugs.sql:2:33: SQLite has no function slug: if the application registers it", "nothing was changed"],
    );
    assert!(!file.exists() || sqlite::query(&file, "select count(*) from sqlite_schema") == "0\n");
    run.clone().args(["check", "--offline"]).output().expect_code(65).says("SQLite has no function slug");
    // A view or a trigger may have it: the application uses them.
    let view = ("0002_slugs.sql", "create view slugs as select slug(name) from parent;\n");
    expect_end(&run.migrations(&[view]), 0, &["up to date at 0002"]);
}

#[test]
fn the_functions_that_sqlite_has_are_known() {
    let (run, file) = run(&[("0001_f.sql", "create table f as select distinct name from pragma_function_list;\n")]);
    expect_end(&run, 0, &["up to date at 0001"]);
    let names = sqlite::query(&file, "select name from f where name glob '[a-z_]*'");
    assert!(names.lines().count() > 100, "{names}");
    let calls: String = names.lines().map(|name| format!("select {name}(1);\n")).collect();
    run.migrations(&[("0002_calls.sql", &calls)]).args(["check", "--offline"]).output().expect_code(0);
}
