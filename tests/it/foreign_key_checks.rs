//! Tests of the check of foreign keys behind each script, in a database in which the check of all tables takes long, so
//! that only the tables that a script writes and those that refer to them are checked.

use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::sqlite;

/// A parent with one row more than its child refers to, a trigger that writes the child, and half a million rows in a
/// table that refers to another one.
const TABLES: &str = "create table parent (id integer primary key, code text unique);
    create table child (id integer primary key, parent integer references parent (id), code text references PARENT (code));
    create table noted (id integer);
    create trigger noted_child after insert on noted begin insert into child (parent) values (new.id); end;
    insert into parent values (1, 'one'), (2, 'two');
    insert into child values (1, 1, 'one');
    create table many (id integer primary key, parent integer references parent (id));
    with recursive n (i) as (select 1 union all select i + 1 from n where i < 500000) insert into many select i, 2 from n;
    insert into many values (0, 77);";

/// Runs a script behind one that changes nothing, on a fresh copy of the tables.
fn with_script(script: &str) -> Run {
    let files = [("0001_first.sql", "create table first (id integer);\n"), ("0002_second.sql", script)];
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(&files);
    sqlite::query(&run.dir().join("app.db"), TABLES);
    run
}

#[test]
fn rows_without_a_parent_are_found_however_a_script_makes_them() {
    for (script, violation) in [
        ("insert into child values (2, 9, null);\n", "child -> parent: 1"),
        ("insert into noted values (8);\n", "child -> parent: 1"),
        ("update child set parent = 5;\n", "child -> parent: 1"),
        ("delete from parent where id = 1;\n", "child -> "),
        ("delete from parent where id = 2;\n", "many -> parent: 500001"),
        ("update parent set id = 3 where id = 1;\n", "child -> parent: 1"),
        ("insert or replace into parent values (3, 'one');\n", "child -> parent: 1"),
        ("drop table parent;\n", "child -> "),
        ("alter table parent rename to other;\ninsert into child values (2, 9, null);\n", "child -> other: 1"),
    ] {
        let run = with_script(script);
        expect_end(&run, 80, &["0002_second.sql", violation]);
        let path = run.dir().join("app.db");
        assert_eq!(sqlite::query(&path, "select count(*) from child;"), "1\n", "{script}");
        assert_eq!(sqlite::query(&path, "select revision from lockkeeper_history;"), "0001\n", "{script}");
    }
}

/// Rows that had no parent before the run are not blamed on it.
#[test]
fn scripts_that_leave_the_keys_as_they_were_are_applied() {
    for script in [
        "insert into child values (2, 2, 'two');\n",
        "delete from many where id = 0;\n",
        "delete from child;\ndelete from parent where id = 1;\n",
        "create unique index codes on parent (code);\ndrop index codes;\n",
    ] {
        expect_end(&with_script(script), 0, &["up to date at 0002"]);
    }
}
