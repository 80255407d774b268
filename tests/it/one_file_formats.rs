//! Tests of files in the formats of tools that keep both directions in one file: they are refused before anything runs.

use crate::apply::{expect_end, has_table, run_on};
use crate::support::binary::Run;
use crate::support::postgres::Postgres;
use crate::support::sqlite;

/// A second revision in the format of each tool, with the place of its first directive, the directive, and the tool.
const FILES: [(&str, &str, &str, &str); 8] = [
    (
        "-- migrate:up\ncreate table b (id integer);\n\n-- migrate:down\ndrop table b;\n",
        "1:1",
        "-- migrate:up",
        "dbmate",
    ),
    (
        "-- why\n-- +goose Up\n-- +goose StatementBegin\ncreate table b (id integer);\n-- +goose StatementEnd\n-- +goose Down\ndrop table b;\n",
        "2:1",
        "-- +goose Up",
        "goose",
    ),
    (
        "-- +migrate Up notransaction\ncreate table b (id integer);\n-- +migrate Down\ndrop table b;\n",
        "1:1",
        "-- +migrate Up notransaction",
        "sql-migrate",
    ),
    (
        "create table b (id integer);\n---- create above / drop below ----\ndrop table b;\n",
        "2:1",
        "---- create above / drop below ----",
        "tern",
    ),
    ("create table b (id integer);\n-- //@UNDO\ndrop table b;\n", "2:1", "-- //@UNDO", "MyBatis Migrations"),
    (
        "-- Up Migration\ncreate table b (id integer);\n\n-- Down Migration\ndrop table b;\n",
        "4:1",
        "-- Down Migration",
        "node-pg-migrate",
    ),
    ("-- Up\ncreate table b (id integer);\n  -- Down\ndrop table b;\n", "3:3", "-- Down", "sqlite of Node.js"),
    (
        "--liquibase formatted sql\n--changeset me:1\ncreate table b (id integer);\n--rollback drop table b;\n",
        "1:1",
        "--liquibase formatted sql",
        "Liquibase",
    ),
];

const GOOD: (&str, &str) = ("0001_a.sql", "create table a (id integer);");

/// A text that a file may contain without being in such a format.
const ORDINARY: &str =
    "-- migrate:up is what dbmate writes\ncreate table b (\n  name text default '\n-- +goose Down\n'\n);
/*
-- migrate:down
*/
create table c (id integer); -- migrate:down
";

fn on_sqlite(file: &str) -> Run {
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off");
    run.migrations(&[GOOD, ("0002_b.sql", file)])
}

#[test]
fn files_with_both_directions_are_refused_before_anything_runs() {
    for (file, place, marker, tool) in FILES {
        let run = on_sqlite(file);
        let parts = [
            format!("0002_b.sql:{place}: \"{marker}\" is a directive of {tool}"),
            "NNNN_description.down.sql".into(),
            "nothing was changed".into(),
        ];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        expect_end(&run, 65, &parts);
        assert!(!run.dir().join("app.db").exists(), "{tool}");
        expect_end(&run.clone().args(["check", "--offline"]), 65, &parts[..2]);
    }
}

/// The rows of an application's table are kept.
#[test]
fn the_second_half_of_such_a_file_drops_nothing_on_postgresql() {
    let database = Postgres::shared().database("halves");
    expect_end(&run_on(&database, &[GOOD]), 0, &["up to date at 0001"]);
    database.execute("create table b (id integer); insert into b values (1)");
    let file = "-- +goose Up\ncreate table if not exists b (id integer);\n-- +goose Down\ndrop table b;\n";
    let run = run_on(&database, &[GOOD, ("0002_b.sql", file)]);
    expect_end(&run, 65, &["0002_b.sql:1:1: \"-- +goose Up\" is a directive of goose"]);
    expect_end(&run.clone().arg("check"), 65, &["goose"]);
    assert!(has_table(&database, "b") && database.value("select count(*) from b") == "1");
    assert_eq!(database.value("select count(*) from lockkeeper_history"), "1");
    // The down file is read when a downgrade is run.
    let down = [("0002_b.up.sql", "select 1;"), ("0002_b.down.sql", "-- migrate:down\ndrop table b;")];
    let run = run_on(&database, &[GOOD]).migrations(&down);
    expect_end(&run, 0, &["up to date at 0002"]);
    let downgrade = run.args(["downgrade", "-1"]);
    expect_end(&downgrade, 65, &["0002_b.down.sql:1:1: \"-- migrate:down\" is a directive of dbmate"]);
}

#[test]
fn literals_and_comments_that_mention_a_directive_are_accepted() {
    let run = on_sqlite(&ORDINARY.replacen("-- migrate:up is", "-- the line -- migrate:up is", 1));
    expect_end(&run, 0, &["up to date at 0002"]);
    let file = run.dir().join("app.db");
    assert_eq!(sqlite::value(&file, "select count(*) from sqlite_schema where name in ('b', 'c');"), "2");
    let body = "create function f() returns text language sql as $$ select '\n-- +goose Down\n' $$;";
    let database = Postgres::shared().database("remarks");
    expect_end(&run_on(&database, &[("0001_a.sql", body)]), 0, &["up to date at 0001"]);
}

/// A heading of the other direction divides a file only when the file's name does not tell its direction.
#[test]
fn a_heading_in_a_down_file_is_accepted() {
    let undo = "set lock_timeout = '1s';\n-- Down\ndrop table b;\n";
    let both = format!("{undo}-- Up\n");
    for (text, code, part) in [(undo, 0, "up to date at 0001"), (&both, 65, "0002_b.down.sql:4:1: \"-- Up\"")] {
        let database = Postgres::shared().database("headings");
        let files = [GOOD, ("0002_b.up.sql", "create table b (id int);"), ("0002_b.down.sql", text)];
        let run = run_on(&database, &files);
        expect_end(&run, 0, &["up to date at 0002"]);
        expect_end(&run.args(["downgrade", "-1"]), code, &[part]);
        assert_eq!(has_table(&database, "b"), code != 0);
    }
}
