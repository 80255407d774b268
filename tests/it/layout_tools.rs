//! Tests of the real tools whose directories and history tables are layouts: each migrates a database of either kind.

use std::fs;

use tempfile::TempDir;

use crate::support::either::Database;
use crate::support::other_tools::{self, Step};
use crate::support::temporary_directory;

on_either!(sqlx_migrates, dbmate_migrates, sql_migrate_migrates, refinery_migrates, diesel_migrates, prisma_migrates,);

/// The statements of three migrations, and those that revert them.
const MIGRATIONS: [(&str, &str); 3] = [
    ("create table item (id int);", "drop table item;"),
    ("insert into item values (1);\ninsert into item values (2);", "delete from item;"),
    ("create table label (id int);", "drop table label;"),
];

/// Creates the directory of a tool: `files` returns the names and texts of a migration from its number, up and down.
fn directory(files: impl Fn(usize, &str, &str) -> Vec<(String, String)>) -> TempDir {
    let directory = temporary_directory("migrations");
    for (index, (up, down)) in MIGRATIONS.iter().enumerate() {
        for (name, text) in files(index + 1, up, down) {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a migration");
        }
    }
    directory
}

/// Panics unless the database has what all three migrations make, once.
#[track_caller]
fn expect_migrated<D: Database>(database: &D) {
    assert_eq!(database.query("select count(*) from item"), "2\n");
    assert_eq!(database.query("select count(*) from label"), "0\n");
}

/// Panics unless the database is at the second migration.
#[track_caller]
fn expect_reverted<D: Database>(database: &D) {
    assert_eq!(database.query("select count(*) from item"), "2\n");
    assert!(!database.has_table("label"));
}

fn sqlx_migrates<D: Database>() {
    let database = D::create("sqlx");
    let migrations = directory(|number, up, down| {
        vec![(format!("{number}_a_step.up.sql"), up.into()), (format!("{number}_a_step.down.sql"), down.into())]
    });
    let run = |step| other_tools::sqlx(migrations.path(), &database.url(), step);
    let history = || database.query("select version, description, length(checksum) from _sqlx_migrations order by 1");
    run(Step::UpTo(1)).expect_success();
    assert_eq!(history(), "1|a step|48\n");
    run(Step::Up).expect_success();
    assert_eq!(history(), "1|a step|48\n2|a step|48\n3|a step|48\n");
    expect_migrated(&database);
    run(Step::Down).expect_success();
    assert_eq!(history(), "1|a step|48\n2|a step|48\n");
    expect_reverted(&database);
}

fn dbmate_migrates<D: Database>() {
    let database = D::create("dbmate");
    let text = |up: &str, down: &str| format!("-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n");
    let migrations = directory(|number, up, down| vec![(format!("{number}_step.sql"), text(up, down))]);
    let run = |step| other_tools::dbmate(migrations.path(), &database.url(), step);
    let history = || database.query("select version from schema_migrations order by 1");
    run(Step::Up).expect_success();
    assert_eq!(history(), "1\n2\n3\n");
    expect_migrated(&database);
    run(Step::Down).expect_success();
    assert_eq!(history(), "1\n2\n");
    expect_reverted(&database);
}

fn sql_migrate_migrates<D: Database>() {
    let database = D::create("sql_migrate");
    let text = |up: &str, down: &str| format!("-- +migrate Up\n{up}\n\n-- +migrate Down\n{down}\n");
    let migrations = directory(|number, up, down| vec![(format!("{number}_step.sql"), text(up, down))]);
    let run = |step| other_tools::sql_migrate(migrations.path(), &database.url(), step);
    let history = || database.query("select id from gorp_migrations order by 1");
    run(Step::UpTo(1)).expect_success();
    assert_eq!(history(), "1_step.sql\n");
    run(Step::Up).expect_success();
    assert_eq!(history(), "1_step.sql\n2_step.sql\n3_step.sql\n");
    expect_migrated(&database);
    run(Step::Down).expect_success();
    assert_eq!(history(), "1_step.sql\n2_step.sql\n");
    expect_reverted(&database);
}

fn refinery_migrates<D: Database>() {
    let database = D::create("refinery");
    let migrations = directory(|number, up, _| vec![(format!("V{number}__step.sql"), up.into())]);
    let run = |step| other_tools::refinery(migrations.path(), &database.url(), step);
    let history = || database.query("select version, name from refinery_schema_history order by 1");
    run(Step::UpTo(1)).expect_success();
    assert_eq!(history(), "1|step\n");
    run(Step::Up).expect_success();
    assert_eq!(history(), "1|step\n2|step\n3|step\n");
    expect_migrated(&database);
}

fn diesel_migrates<D: Database>() {
    let database = D::create("diesel");
    let migrations = directory(|number, up, down| {
        let name = format!("2024-01-0{number}-000000_step");
        vec![(format!("{name}/up.sql"), up.into()), (format!("{name}/down.sql"), down.into())]
    });
    let run = |step| other_tools::diesel(migrations.path(), &database.url(), step);
    let history = || database.query("select version from __diesel_schema_migrations order by 1");
    run(Step::Up).expect_success();
    assert_eq!(history(), "20240101000000\n20240102000000\n20240103000000\n");
    expect_migrated(&database);
    run(Step::Down).expect_success();
    assert_eq!(history(), "20240101000000\n20240102000000\n");
    expect_reverted(&database);
}

fn prisma_migrates<D: Database>() {
    let database = D::create("prisma");
    let migrations = directory(|number, up, _| vec![(format!("{number}_step/migration.sql"), up.into())]);
    other_tools::prisma(migrations.path(), &database.url()).expect_success().says("have been successfully applied");
    let history =
        "select migration_name, applied_steps_count from _prisma_migrations where finished_at is not null order by 1";
    assert_eq!(database.query(history), "1_step|1\n2_step|1\n3_step|1\n");
    expect_migrated(&database);
    other_tools::prisma(migrations.path(), &database.url()).expect_success().says("No pending migrations to apply");
}
