//! Tests of `lockkeeper guard` with the real Knex and node-pg-migrate, on PostgreSQL: their driver of SQLite is a program
//! that npm would have to compile.

use std::os::unix::fs::symlink;

use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::guarded::{backups, expect_no_history_of_ours, guarded};
use crate::support::tools::{binary, node_modules};

const KNEX: &[(&str, &str)] = &[
    ("knexfile.js", "module.exports = { client: 'pg', connection: process.env.DATABASE_URL };\n"),
    (
        "migrations/20260101000001_items.js",
        "exports.up = (knex) => knex.schema.createTable('item', (table) => table.integer('id'));\nexports.down = (knex) => knex.schema.dropTable('item');\n",
    ),
];

const NODE_PG_MIGRATE: &[(&str, &str)] = &[(
    "migrations/1_items.js",
    "export const up = (pgm) => pgm.createTable('item', { id: 'integer' });\nexport const down = (pgm) => pgm.dropTable('item');\n",
)];

/// Returns a run of `guard` with the program of a package.
fn guard(database: &PgDatabase, files: &[(&str, &str)], program: &str, arguments: &[&str]) -> Run {
    let run = files.iter().fold(Run::new().url(&database.url()), |run, (name, text)| run.file(name, text));
    symlink(node_modules(), run.dir().join("node_modules")).expect("a link to the packages");
    let backups = run.dir().join("backups").display().to_string();
    let run = run.env("LOCKKEEPER_BACKUP_DIR", backups).args(["guard", "--"]);
    run.arg(binary("node").display().to_string()).arg(program).args(arguments.iter().copied())
}

/// The first run moves the history, and a second one finds it where it is.
fn is_guarded(database: &PgDatabase, run: &Run, head: &str) {
    let first = run.output();
    first.expect_code(0).says(&format!("ended with 0, the database has moved from base to {head}"));
    let [backup] = backups(run).try_into().expect("one backup");
    assert_eq!(guarded(&backup)["to_revision"], head);
    assert!(database.has_table("item"));
    run.output().expect_code(0).says(&format!("the database is still at {head}"));
    expect_no_history_of_ours(database);
}

#[test]
fn knex_is_guarded() {
    let database = PgDatabase::create("knex");
    database.query("create table kept (id integer)");
    let run = guard(&database, KNEX, "node_modules/knex/bin/cli.js", &["migrate:latest"]);
    is_guarded(&database, &run, "20260101000001_items.js");
}

#[test]
fn node_pg_migrate_is_guarded() {
    let database = PgDatabase::create("node_pg");
    database.query("create table kept (id integer)");
    let run = guard(&database, NODE_PG_MIGRATE, "node_modules/node-pg-migrate/bin/node-pg-migrate.js", &["up"]);
    is_guarded(&database, &run, "1_items");
}
