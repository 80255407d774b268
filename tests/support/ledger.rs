//! Revisions that record their own effects, and the check that the history and these effects agree whenever no run is
//! active.
//!
//! Revision K creates the table `t_K` and inserts K into the table `ledger`; its down migration drops the table and
//! deletes the row. Every fourth revision runs outside of a transaction, in statements that may be repeated.

use std::collections::{BTreeMap, BTreeSet};

use super::either::Database;

pub const REVISIONS: usize = 12;

fn is_transactional(number: usize) -> bool {
    !number.is_multiple_of(4)
}

/// Creates the table `ledger` and a table with rows, so that there is something to back up.
pub fn prepare(database: &impl Database) {
    database.query("create table ledger (id integer primary key)");
    database.query("create table old (id integer primary key)");
    database.query("insert into old values (1), (2), (3)");
}

/// Returns the files of the revisions. Each takes some milliseconds to run.
pub fn files<D: Database>() -> Vec<(String, String)> {
    let (busy, alone) = match D::DIALECT {
        "sqlite" => (
            "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000) select max(x) from c",
            "",
        ),
        _ => ("select pg_sleep(0.01)", "create index concurrently if not exists i_# on t_# (id);\n"),
    };
    let both = |number: usize| {
        let (up, down) = match is_transactional(number) {
            true => (
                format!("create table t_{number} (id integer);\n{busy};\ninsert into ledger values ({number});\n"),
                format!("drop table t_{number};\n{busy};\ndelete from ledger where id = {number};\n"),
            ),
            false => (
                format!(
                    "-- no-transaction\ncreate table if not exists t_{number} (id integer);\n{busy};\n{}\
                     insert into ledger values ({number}) on conflict do nothing;\n",
                    alone.replace('#', &number.to_string())
                ),
                format!(
                    "-- no-transaction\ndrop table if exists t_{number};\n{busy};\n\
                     delete from ledger where id = {number};\n"
                ),
            ),
        };
        [(format!("{number:04}_step.up.sql"), up), (format!("{number:04}_step.down.sql"), down)]
    };
    (1..=REVISIONS).flat_map(both).collect()
}

/// Returns `files` in the form that `Run::migrations` takes.
pub fn as_str_pairs(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// Returns the state of each revision in the history. It is empty when there is no history table yet.
pub fn history(database: &impl Database) -> BTreeMap<usize, String> {
    if !database.has_table("lockkeeper_history") {
        return BTreeMap::new();
    }
    let rows = database.history();
    let row = |line: &str| {
        let (revision, state) = line.split_once('|').expect("two columns");
        (revision.parse().expect("a number"), state.to_owned())
    };
    rows.lines().map(row).collect()
}

/// Panics with `context` unless history and effects agree. Only a revision without a transaction may be partially done,
/// and then its history row says so.
#[track_caller]
pub fn expect_consistent<D: Database>(database: &D, context: &str) {
    let history = history(database);
    let numbers = |sql: &str| -> BTreeSet<usize> {
        let number = |line: &str| line.trim_start_matches("t_").parse().expect("a number");
        database.query(sql).lines().map(number).collect()
    };
    let tables = numbers(match D::DIALECT {
        "sqlite" => "select name from sqlite_schema where type = 'table' and name like 't!_%' escape '!'",
        _ => "select relname from pg_class where relkind = 'r' and relname like 't!_%' escape '!'",
    });
    let noted = numbers("select id from ledger");
    for number in 1..=REVISIONS {
        let found = (tables.contains(&number), noted.contains(&number));
        let fits = match history.get(&number).map(String::as_str) {
            Some("applied") => found == (true, true),
            None => found == (false, false),
            Some(_) => !is_transactional(number),
        };
        let state = history.get(&number);
        assert!(fits, "revision {number} is {state:?}, its table and its note are there: {found:?}; {context}");
    }
}

/// Panics with `context` unless exactly the first `count` revisions are applied.
#[track_caller]
pub fn expect_at(database: &impl Database, count: usize, context: &str) {
    let expected: BTreeMap<usize, String> = (1..=count).map(|number| (number, "applied".into())).collect();
    assert_eq!(history(database), expected, "{context}");
}
