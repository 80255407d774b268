//! Tests of `adopt`, which records the history of another migration tool in that of a layout. The tools that go on are
//! the real ones.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::layouts::lockkeeper;
use crate::support::binary::{Finished, Run, Running};
use crate::support::either::Database;
use crate::support::kill::Kills;
use crate::support::other_tools::{self, Step};
use crate::support::postgres::Postgres;
use crate::support::temporary_directory;

on_either!(
    golang_migrate_is_left_for_sqlx_which_finds_nothing_to_do,
    dbmate_is_left_for_goose_and_the_next_file_runs,
    sqlx_is_left_for_our_own_layout_and_the_next_file_runs,
    only_missing_rows_are_added_and_other_rows_are_refused,
    a_hole_is_refused_where_the_layout_refuses_it,
    rows_without_a_revision_are_listed,
    a_row_of_another_description_is_refused,
    an_unfinished_row_is_refused_with_the_remedy_of_its_tool,
    of_two_tools_one_has_to_be_named,
    two_histories_of_one_tool_are_both_named,
    a_plan_shows_the_rows_and_records_nothing,
    an_empty_history_is_adopted,
    without_another_history_there_is_nothing_to_adopt,
    a_table_that_both_tools_name_alike_is_not_written,
    versions_up_to_the_newest_are_numbers_in_every_layout,
    names_of_files_and_folders_are_found_by_their_numbers,
    diesel_is_joined_and_left_again,
    heads_of_alembic_keep_the_advice_to_stamp,
    wrong_names_are_usage_errors,
    adoptions_at_once_record_each_row_once,
    killed_adoptions_converge,
);

/// The files of a layout with one file for each direction.
const PAIRS: [(&str, &str); 6] = [
    ("0001_one.up.sql", "create table one (id integer);"),
    ("0001_one.down.sql", "drop table one;"),
    ("0002_two.up.sql", "create table two (id integer);"),
    ("0002_two.down.sql", "drop table two;"),
    ("0003_three.up.sql", "create table three (id integer);"),
    ("0003_three.down.sql", "drop table three;"),
];

/// Writes files into a directory, which may have some already.
fn add(directory: &TempDir, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a migration");
    }
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = temporary_directory("adopt");
    add(&directory, files);
    directory
}

/// Returns a run on the files; its layout is found by itself.
fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (TempDir, Run) {
    let directory = directory(files);
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

fn adopt(run: &Run, words: &[&str]) -> Run {
    run.clone().arg("adopt").args(words.iter().copied())
}

/// Creates the history of golang-migrate as it writes it, and the tables of the versions up to this one.
fn golang_migrate<D: Database>(database: &D, version: usize) {
    let columns = match D::DIALECT {
        "postgres" => "version bigint not null primary key, dirty boolean not null",
        _ => "version uint64, dirty bool",
    };
    database.query(&format!("create table schema_migrations ({columns})"));
    database.query(&format!("insert into schema_migrations values ({version}, false)"));
    for table in &["one", "two", "three"][..version] {
        database.query(&format!("create table {table} (id integer)"));
    }
}

/// Creates the history of dbmate as it writes it.
fn dbmate<D: Database>(database: &D, versions: &[&str]) {
    database.query("create table schema_migrations (version varchar(128) primary key)");
    for version in versions {
        database.query(&format!("insert into schema_migrations values ('{version}')"));
    }
}

/// Returns the name of a table as messages have it.
fn shown<D: Database>(table: &str) -> String {
    if D::DIALECT == "postgres" { format!("public.{table}") } else { table.into() }
}

fn golang_migrate_is_left_for_sqlx_which_finds_nothing_to_do<D: Database>() {
    let database = D::create("golang");
    golang_migrate(&database, 3);
    let (files, run) = run_on(&database, &PAIRS);
    let (old, new) = (shown::<D>("schema_migrations"), shown::<D>("_sqlx_migrations"));
    let adopted = adopt(&run, &["--to", "sqlx"]).output();
    adopted
        .expect_code(0)
        .says("recorded 0002_two.up.sql without running it: golang-migrate has 3")
        .says(&format!(
            "adopted the history of golang-migrate ({old}) as that of sqlx ({new}): 3 recorded without running, at 3"
        ))
        .says(&format!("{old} is as it was: its owner may drop it when no release runs golang-migrate any more"))
        .says("set LOCKKEEPER_LAYOUT=sqlx");
    assert_eq!(
        database.query("select version, description from _sqlx_migrations order by 1"),
        "1|one|\n2|two|\n3|three|\n".replace("|\n", "\n")
    );
    let ran = other_tools::sqlx(files.path(), &database.url(), Step::Up);
    assert_eq!(ran.expect_success().output, "");

    let both = format!("golang-migrate ({old})");
    run.output().expect_code(78).says(&both).says("set LOCKKEEPER_LAYOUT to the one in use: ");
    let run = run.env("LOCKKEEPER_LAYOUT", "sqlx");
    run.output().expect_code(0).says("nothing pending, the database is at 3");
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0).says("already adopted");
    add(&files, &[("0004_four.sql", "create table four (id integer);")]);
    run.output().expect_code(0).says("up to date at 4: 1 revision applied");
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0).says("already adopted").says("is at 4");
    assert_eq!(database.query("select version from schema_migrations"), "3\n");

    // Without the old table, the files and the tables say by themselves which layout it is.
    database.query("drop table schema_migrations");
    run.env("LOCKKEEPER_LAYOUT", "auto").output().expect_code(0).says("nothing pending");
    adopt(&lockkeeper(files.path(), &database.url()), &["--to", "sqlx"])
        .output()
        .expect_code(0)
        .says("nothing to adopt: no other tool has a history, and sqlx has one");
}

fn dbmate_is_left_for_goose_and_the_next_file_runs<D: Database>() {
    let database = D::create("dbmate");
    let both = |up: &str, down: &str, texts: (&str, &str)| format!("{up}\n{};\n{down}\n{};\n", texts.0, texts.1);
    let names = ["20240101000000_one.sql", "20240102000000_two.sql"];
    let texts =
        [("create table one (id integer)", "drop table one"), ("create table two (id integer)", "drop table two")];
    let old: Vec<String> = texts.iter().map(|texts| both("-- migrate:up", "-- migrate:down", *texts)).collect();
    let new: Vec<String> = texts.iter().map(|texts| both("-- +goose Up", "-- +goose Down", *texts)).collect();
    let pairs = |texts: &[String]| -> TempDir {
        directory(&names.iter().copied().zip(texts.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    other_tools::dbmate(pairs(&old).path(), &database.url(), Step::Up).expect_success();
    let files = pairs(&new);
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(78).says("dbmate or Rails").says("try: lockkeeper adopt --to goose");
    adopt(&run, &["--to", "goose", "--from", "dbmate"])
        .output()
        .expect_code(0)
        .says("2 recorded without running, at 20240102000000")
        .does_not_say("LOCKKEEPER_LAYOUT");
    let rows = "select version_id from goose_db_version order by id";
    assert_eq!(database.query(rows), "0\n20240101000000\n20240102000000\n");
    run.output().expect_code(0).says("nothing pending");
    add(&files, &[("20240103000000_three.sql", "-- +goose Up\ncreate table three (id integer);\n")]);
    run.output().expect_code(0).says("up to date at 20240103000000: 1 revision applied");
    assert_eq!(database.query("select count(*) from schema_migrations"), "2\n");
}

fn sqlx_is_left_for_our_own_layout_and_the_next_file_runs<D: Database>() {
    let database = D::create("sqlx");
    let files = directory(&PAIRS);
    other_tools::sqlx(files.path(), &database.url(), Step::Up).expect_success();
    let run = lockkeeper(files.path(), &database.url());
    let backups = files.path().join("backups").display().to_string();
    let kept = run.clone().env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", &backups);
    let adopted = adopt(&kept, &["--to", "native", "--json"]).output();
    let result: Value = serde_json::from_str(&adopted.expect_code(0).stdout).expect("JSON");
    assert_eq!(result["revision"], "0003");
    let backup = result["backup"].as_str().expect("a backup");
    assert!(fs::exists(backup).expect("a path"), "{adopted}");
    adopted.does_not_say("LOCKKEEPER_LAYOUT");
    let columns = "select revision, state, length(checksum), length(down_checksum) from lockkeeper_history order by 1";
    assert_eq!(database.query(columns), "0001|applied|64|64\n0002|applied|64|64\n0003|applied|64|64\n");
    add(&files, &[("0004_four.sql", "create table four (id integer);")]);
    run.output().expect_code(0).says("up to date at 0004: 1 revision applied").does_not_say("the layout is");
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("already adopted").says("is at 0004");
    assert_eq!(database.query("select count(*) from _sqlx_migrations"), "3\n");
}

fn only_missing_rows_are_added_and_other_rows_are_refused<D: Database>() {
    let database = D::create("partly");
    golang_migrate(&database, 2);
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0);
    database.query("update schema_migrations set version = 3");
    database.query("create table three (id integer)");
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0).says("1 recorded without running, at 3");

    database.query("delete from _sqlx_migrations where version < 3");
    database.query("update schema_migrations set version = 2");
    let table = shown::<D>("_sqlx_migrations");
    adopt(&run, &["--to", "sqlx"]).output().expect_code(65).says(&format!(
        "the history of sqlx ({table}) does not agree: 3 is applied in it, and golang-migrate has no such row"
    ));
    assert_eq!(database.query("select version from _sqlx_migrations"), "3\n");
    database.query("update schema_migrations set version = 3");
    database.query("update _sqlx_migrations set success = false");
    adopt(&run, &["--to", "sqlx"]).output().expect_code(65).says("3 is not finished in it");
}

fn a_hole_is_refused_where_the_layout_refuses_it<D: Database>() {
    let database = D::create("holes");
    dbmate(&database, &["1", "3"]);
    let (_files, run) = run_on(&database, &PAIRS);
    for (layout, table) in [("native", "lockkeeper_history"), ("golang-migrate", "other")] {
        adopt(&run.clone().env("LOCKKEEPER_HISTORY_TABLE", table), &["--to", layout])
            .output()
            .expect_code(65)
            .says(&format!("dbmate or Rails has not run 0002_two.up.sql, and {layout} refuses a revision before one"))
            .says("apply these files with dbmate or Rails, then run again");
        assert!(!database.has_table(table));
    }
    run.output().expect_code(78).says("dbmate or Rails has not run 0002_two.up.sql").does_not_say("lockkeeper adopt");
    // sqlx applies what comes late.
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0).says("2 recorded");
    run.env("LOCKKEEPER_LAYOUT", "sqlx").output().expect_code(0).says("applied 0002_two.up.sql");
}

fn rows_without_a_revision_are_listed<D: Database>() {
    let database = D::create("unknown");
    dbmate(&database, &["0001", "0002", "7", "20240101000000"]);
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "sqlx"])
        .output()
        .expect_code(65)
        .says("no file of the directory is the revision of ")
        .says("20240101000000")
        .says("7")
        .says("nothing was changed; try: put the files of these versions into the directory");
    assert!(!database.has_table("_sqlx_migrations"));
    database.query("drop table schema_migrations");
    golang_migrate(&database, 0);
    database.query("update schema_migrations set version = 9");
    adopt(&run, &["--to", "native"]).output().expect_code(65).says("is the revision of 9; nothing was changed");
    assert!(!database.has_table("lockkeeper_history"));
}

fn a_row_of_another_description_is_refused<D: Database>() {
    let database = D::create("described");
    let files = directory(&PAIRS);
    other_tools::sqlx(files.path(), &database.url(), Step::Up).expect_success();
    fs::rename(files.path().join("0002_two.up.sql"), files.path().join("0002_other.up.sql")).expect("a file");
    fs::rename(files.path().join("0002_two.down.sql"), files.path().join("0002_other.down.sql")).expect("a file");
    let run = lockkeeper(files.path(), &database.url());
    adopt(&run, &["--to", "native"])
        .output()
        .expect_code(65)
        .says("sqlx calls its 2 \"two\", and the file is 0002_other.up.sql");
    assert!(!database.has_table("lockkeeper_history"));
}

fn an_unfinished_row_is_refused_with_the_remedy_of_its_tool<D: Database>() {
    let database = D::create("dirty");
    golang_migrate(&database, 2);
    database.query("update schema_migrations set dirty = true");
    let (files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "sqlx"])
        .output()
        .expect_code(65)
        .says("stopped within 2")
        .says("complete 2 by hand and run migrate force 2, or undo it by hand");
    assert!(!database.has_table("_sqlx_migrations"));
    let database = D::create("failed");
    other_tools::sqlx(files.path(), &database.url(), Step::Up).expect_success();
    database.query("update _sqlx_migrations set success = false where version = 3");
    adopt(&run.url(&database.url()), &["--to", "native"])
        .output()
        .expect_code(65)
        .says("stopped within 3")
        .says("complete 3 by hand and set success to true in its row");
    assert!(!database.has_table("lockkeeper_history"));
}

fn of_two_tools_one_has_to_be_named<D: Database>() {
    let database = D::create("two");
    let files = directory(&PAIRS);
    other_tools::sqlx(files.path(), &database.url(), Step::UpTo(2)).expect_success();
    golang_migrate(&database, 0);
    database.query("update schema_migrations set version = 1");
    let run = lockkeeper(files.path(), &database.url());
    adopt(&run, &["--to", "native"])
        .output()
        .expect_code(78)
        .says(&format!("sqlx ({}, at 2)", shown::<D>("_sqlx_migrations")))
        .says(&format!("golang-migrate ({}, at 1)", shown::<D>("schema_migrations")))
        .says("name one of them with --from");
    adopt(&run, &["--to", "native", "--from", "goose"])
        .output()
        .expect_code(78)
        .says("this database has no history of goose, only that of ");
    assert!(!database.has_table("lockkeeper_history"));
    adopt(&run, &["--to", "native", "--from", "SQLX"]).output().expect_code(0).says("2 recorded without running");
    run.output().expect_code(0).says("up to date at 0003: 1 revision applied");
}

fn two_histories_of_one_tool_are_both_named<D: Database>() {
    let columns = "(installed_rank int, version varchar(50), description varchar(200), type varchar(20), \
                   script varchar(1000), installed_on timestamp, success boolean)";
    let database = D::create("twice");
    for table in ["schema_version", "flyway_schema_history"] {
        database.query(&format!("create table {table} {columns}"));
    }
    let (_files, run) = run_on(&database, &PAIRS);
    let [one, other] = ["schema_version", "flyway_schema_history"].map(shown::<D>);
    for words in [&["--to", "sqlx"][..], &["--to", "sqlx", "--from", "flyway"]] {
        let refused = adopt(&run, words).output();
        refused.expect_code(78).says(&one).says(&other).says("find out which one is this application's");
    }
    assert!(!database.has_table("_sqlx_migrations"));
}

/// The same table in two schemas.
#[test]
fn two_schemas_with_a_history_of_one_tool_are_both_named() {
    let database = Postgres::shared().database("schemas");
    golang_migrate(&database, 1);
    database.query("create schema other");
    database.query("create table other.schema_migrations (like public.schema_migrations)");
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "sqlx"])
        .output()
        .expect_code(78)
        .says("public.schema_migrations")
        .says("other.schema_migrations");
}

fn a_plan_shows_the_rows_and_records_nothing<D: Database>() {
    let database = D::create("plan");
    golang_migrate(&database, 2);
    let (_files, run) = run_on(&database, &PAIRS);
    let shown_plan = adopt(&run, &["--to", "sqlx", "--plan"]).output();
    shown_plan.expect_code(0).says("rows that would be recorded: 2; nothing was changed");
    let lines: Vec<&str> = shown_plan.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        ["REVISION  FILE             RECORDED AS", "1         0001_one.up.sql  2", "2         0002_two.up.sql  2"]
    );
    let json = adopt(&run, &["--to", "sqlx", "--plan", "--json"]).output();
    let document: Value = serde_json::from_str(&json.expect_code(0).stdout).expect("JSON");
    assert_eq!(document["tool"], "golang-migrate");
    assert_eq!(document["table"], shown::<D>("schema_migrations"));
    assert_eq!(document["layout"], "sqlx");
    assert_eq!(document["history"], shown::<D>("_sqlx_migrations"));
    assert_eq!(document["to"][0], "2");
    assert_eq!(document["rows"][1]["revision"], "2");
    assert_eq!(document["rows"][1]["file"], "0002_two.up.sql");
    assert_eq!(document["rows"][1]["recorded_as"], "2");
    assert!(!database.has_table("_sqlx_migrations"));
    adopt(&run, &["--to", "sqlx"]).output().expect_code(0);
    let nothing = adopt(&run, &["--to", "sqlx", "--plan"]).output();
    assert_eq!(nothing.expect_code(0).says("already adopted").stdout, "nothing is to be recorded\n");
}

fn an_empty_history_is_adopted<D: Database>() {
    let database = D::create("empty");
    dbmate(&database, &[]);
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("an empty history was made, at base");
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("already adopted").says("is at base");
    run.output().expect_code(0).says("up to date at 0003: 3 revisions applied");
}

fn without_another_history_there_is_nothing_to_adopt<D: Database>() {
    let database = D::create("none");
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "native"]).output().expect_code(78).says("this database has no history of another tool");
    run.output().expect_code(0);
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("nothing to adopt");
    database.query("create table alembic_version (version_num varchar(32) not null)");
    database.query("create table django_migrations (id integer, app text, name text, applied text)");
    adopt(&run, &["--to", "sqlx", "--from", "django"])
        .output()
        .expect_code(78)
        .says("the rows of the history of Django")
        .says("lockkeeper stamp REVISION");
}

/// dbmate's table and golang-migrate's have one name.
fn a_table_that_both_tools_name_alike_is_not_written<D: Database>() {
    let database = D::create("alike");
    dbmate(&database, &["1", "2"]);
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "golang-migrate"]).output().expect_code(78).says("LOCKKEEPER_HISTORY_TABLE");
    assert_eq!(database.query("select version from schema_migrations order by 1"), "1\n2\n");
    let run = run.env("LOCKKEEPER_HISTORY_TABLE", "versions");
    adopt(&run, &["--to", "golang-migrate"]).output().expect_code(0).says("2 recorded without running, at 2");
    assert_eq!(database.query("select version, dirty = false from versions").replace('t', "1"), "2|1\n");
    run.env("LOCKKEEPER_LAYOUT", "golang-migrate").output().expect_code(0).says("up to date at 3: 1 revision applied");

    let database = D::create("alike");
    golang_migrate(&database, 1);
    let (_files, run) = run_on(&database, &[("1_one.sql", "-- migrate:up\nselect 1;\n-- migrate:down\n")]);
    for refused in [adopt(&run, &["--to", "dbmate"]), run.clone()] {
        refused
            .output()
            .expect_code(78)
            .says("the history table is that of golang-migrate, as its column dirty says")
            .says("set LOCKKEEPER_HISTORY_TABLE to another name");
    }
    assert_eq!(database.query("select version from schema_migrations"), "1\n");
    let run = run.env("LOCKKEEPER_HISTORY_TABLE", "versions");
    adopt(&run, &["--to", "dbmate"]).output().expect_code(0).says("1 recorded without running, at 1");
    assert_eq!(database.query("select version from versions"), "1\n");
}

/// From golang-migrate to sql-migrate, and from there to Prisma.
fn names_of_files_and_folders_are_found_by_their_numbers<D: Database>() {
    let database = D::create("names");
    golang_migrate(&database, 2);
    let texts = [1, 2].map(|n| format!("-- +migrate Up\ncreate table t{n} (id integer);\n-- +migrate Down\n"));
    let (files, run) = run_on(&database, &[("1_one.sql", &texts[0]), ("02-two.sql", &texts[1])]);
    adopt(&run, &["--to", "sql-migrate"]).output().expect_code(0).says("2 recorded without running, at 02-two.sql");
    assert_eq!(database.query("select id from gorp_migrations order by id"), "02-two.sql\n1_one.sql\n");
    other_tools::sql_migrate(files.path(), &database.url(), Step::Up).expect_success().says("Applied 0 migrations");

    let folders = temporary_directory("prisma");
    for name in ["0001_one", "0002_two"] {
        fs::create_dir(folders.path().join(name)).expect("a folder");
        fs::write(folders.path().join(name).join("migration.sql"), "CREATE TABLE t (id integer);\n").expect("a file");
    }
    let run = lockkeeper(folders.path(), &database.url());
    run.output().expect_code(78).does_not_say("lockkeeper adopt");
    adopt(&run, &["--to", "prisma", "--from", "sql-migrate"]).output().expect_code(0).says("recorded 0002_two");
    let query = "select migration_name from _prisma_migrations where finished_at is not null order by 1";
    assert_eq!(database.query(query), "0001_one\n0002_two\n");
    other_tools::prisma(folders.path(), &database.url()).expect_success().says("No pending migrations");
    fs::rename(folders.path().join("0002_two"), folders.path().join("0002_deux")).expect("a folder");
    database.query("drop table _prisma_migrations");
    adopt(&run, &["--to", "prisma", "--from", "sql-migrate"]).output().expect_code(65).says("the file is 0002_deux");
}

/// From dbmate to Diesel, whose folders write a version with hyphens, and from there to our own layout. Diesel's own first
/// version needs no file.
fn diesel_is_joined_and_left_again<D: Database>() {
    let database = D::create("diesel");
    dbmate(&database, &["20240101000000", "20240102000000"]);
    let folders = temporary_directory("diesel");
    for name in ["2024-01-01-000000_one", "2024-01-02-000000_two"] {
        fs::create_dir(folders.path().join(name)).expect("a folder");
        fs::write(folders.path().join(name).join("up.sql"), "CREATE TABLE t (id integer);\n").expect("a file");
        fs::write(folders.path().join(name).join("down.sql"), "DROP TABLE t;\n").expect("a file");
    }
    let run = lockkeeper(folders.path(), &database.url());
    adopt(&run, &["--to", "diesel"]).output().expect_code(0).says("2 recorded without running, at 20240102000000");
    other_tools::diesel(folders.path(), &database.url(), Step::Up).expect_success();
    assert!(!database.has_table("t"), "Diesel has run a file");
    database.query("insert into __diesel_schema_migrations (version) values ('00000000000000')");
    database.query("drop table schema_migrations");

    let files = [("20240101000000_one.sql", "select 1;"), ("20240102000000_two.sql", "select 2;")];
    let (_files, run) = run_on(&database, &files);
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("2 recorded without running, at 20240102000000");
    run.output().expect_code(0).says("nothing pending");
}

/// golang-migrate's 2 is 1 and 2, and not 10, which dbmate has between them.
fn versions_up_to_the_newest_are_numbers_in_every_layout<D: Database>() {
    let database = D::create("order");
    golang_migrate(&database, 2);
    let text = "-- migrate:up\ncreate table ten (id integer);\n-- migrate:down\n";
    let (_files, run) = run_on(&database, &[("1_a.sql", text), ("10_b.sql", text), ("2_c.sql", text)]);
    let run = run.env("LOCKKEEPER_HISTORY_TABLE", "versions");
    adopt(&run, &["--to", "dbmate"]).output().expect_code(0).says("2 recorded without running");
    assert_eq!(database.query("select version from versions order by version"), "1\n2\n");
    run.output().expect_code(0).says("applied 10_b.sql");
}

fn heads_of_alembic_keep_the_advice_to_stamp<D: Database>() {
    let database = D::create("alembic");
    database.query("create table alembic_version (version_num varchar(32) not null)");
    // It begins with the number of a file, and is none.
    database.query("insert into alembic_version values ('2a1027a6acf')");
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "native"]).output().expect_code(65).says("2a1027a6acf").says("lockkeeper stamp REVISION");
    run.output().expect_code(78).says("try: lockkeeper stamp 0001 if 0001_one.up.sql holds the schema as it is");
    database.query("update alembic_version set version_num = '0002'");
    run.output().expect_code(78).says("try: lockkeeper adopt --to native");
    adopt(&run, &["--to", "native"]).output().expect_code(0).says("2 recorded without running, at 0002");
}

fn wrong_names_are_usage_errors<D: Database>() {
    let database = D::create("names");
    golang_migrate(&database, 1);
    let (_files, run) = run_on(&database, &PAIRS);
    adopt(&run, &["--to", "rails"]).output().expect_code(64).says("rails").says("native, golang-migrate, sqlx, goose");
    adopt(&run, &["--to", "auto"]).output().expect_code(64);
    adopt(&run, &["--to", "sqlx", "--from", "x"]).output().expect_code(64).says("--from");
    adopt(&run, &["--to", "sqlx", "--layout", "goose"]).output().expect_code(64).says("--layout");
    adopt(&run, &[]).output().expect_code(64).says("--to");
    adopt(&run, &["--to", "sqlx", "--", "true"]).output().expect_code(64).says("a program after --");
    assert!(!database.has_table("_sqlx_migrations"));
    // The setting is that of the release before.
    let before = run.env("LOCKKEEPER_LAYOUT", "golang-migrate");
    adopt(&before, &["--to", "sqlx", "--from", "golang-migrate"]).output().expect_code(0);
}

/// The files of many revisions, which dbmate has applied; each run adopts them for sqlx.
fn many<D: Database>() -> (TempDir, impl Fn() -> (D, Run)) {
    let files: Vec<(String, String)> = (1..=200).map(|n| (format!("{n:04}_x.sql"), format!("select {n};"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let files = directory(&files);
    let path = files.path().to_owned();
    let fresh = move || {
        let database = D::create("many");
        dbmate(&database, &[]);
        let rows: Vec<String> = (1..=200).map(|n| format!("('{n}')")).collect();
        database.query(&format!("insert into schema_migrations values {}", rows.join(", ")));
        let run = adopt(&lockkeeper(&path, &database.url()), &["--to", "sqlx"]);
        (database, run)
    };
    (files, fresh)
}

/// The rows of many revisions, once each.
const MANY: (&str, &str) = ("select count(*), max(version) from _sqlx_migrations", "200|200\n");

fn adoptions_at_once_record_each_row_once<D: Database>() {
    let (_files, fresh) = many::<D>();
    let (database, run) = fresh();
    let running: Vec<Running> = (0..4).map(|_| run.spawn()).collect();
    let ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
    let recorded = ended.iter().filter(|finished| finished.expect_code(0).stderr.contains("200 recorded")).count();
    assert_eq!((recorded, &*database.query(MANY.0)), (1, MANY.1));
}

fn killed_adoptions_converge<D: Database>() {
    let (_files, fresh) = many::<D>();
    let (_database, run) = fresh();
    let undisturbed = run.output();
    undisturbed.expect_code(0);
    let mut kills = Kills::new(6);
    while kills.has_moments_left() {
        let (database, run) = fresh();
        kills.converge(&run, undisturbed.elapsed);
        assert_eq!(database.query(MANY.0), MANY.1, "{kills}");
        run.output().expect_code(0).says("already adopted");
    }
}
