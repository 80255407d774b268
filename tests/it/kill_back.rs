//! Tests of downgrades that are killed at any moment and started again: the result is that of an undisturbed run.
//!
//! The long form is that of `kill.rs`.

use crate::contract::{expect_end, run_on};
use crate::support::either::Database;
use crate::support::kill::Kills;

const REVISIONS: usize = 15;
const KILLS: usize = 10;

fn is_transactional(number: usize) -> bool {
    number % 4 != 3
}

/// Every down migration inserts a row into `undone`; those in a transaction can do that only once.
fn files(busy: &str) -> Vec<(String, String)> {
    let both = |number: usize| {
        let up = format!("create table t_{number} (id integer);\n");
        let down = match is_transactional(number) {
            true => format!("drop table t_{number};\n{busy};\ninsert into undone values ({number});\n"),
            false => format!(
                "-- no-transaction\ndrop table if exists t_{number};\n{busy};\n\
                 insert into again values ({number}) on conflict do nothing;\n"
            ),
        };
        [(format!("{number:04}_x.up.sql"), up), (format!("{number:04}_x.down.sql"), down)]
    };
    (1..=REVISIONS).flat_map(both).collect()
}

fn a_downgrade_converges_however_often_it_is_killed<D: Database>() {
    let mut kills = Kills::new(KILLS);
    let busy = match D::DIALECT {
        "sqlite" => {
            "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000) select max(x) from c"
        }
        _ => "select pg_sleep(0.005)",
    };
    let files = files(busy);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let database = D::create("kill_back");
    let up = run_on(&database, &files);
    let down = up.clone().args(["downgrade", "base"]);
    database.query("create table undone (id integer primary key)");
    database.query("create table again (id integer primary key)");
    expect_end(&up, 0, &[]);
    let undisturbed = expect_end(&down, 0, &["15 revisions undone"]);
    let state = || {
        let notes = ["undone", "again"].map(|table| database.query(&format!("select id from {table} order by id")));
        (database.schema(), database.history(), notes)
    };
    let expected = state();
    while kills.has_moments_left() {
        database.query("delete from undone");
        database.query("delete from again");
        expect_end(&up, 0, &["15 revisions applied"]);
        kills.converge(&down, undisturbed.elapsed);
        assert_eq!(state(), expected, "{kills}");
    }
}

on_either!(a_downgrade_converges_however_often_it_is_killed);
