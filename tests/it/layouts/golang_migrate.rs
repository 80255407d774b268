//! golang-migrate, by the table and the statements in its sources: no registry has its program.

use std::fs;

use super::lockkeeper;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::postgres::Postgres;
use crate::support::temporary_directory;

on_either!(
    a_failed_way_down_to_the_beginning_is_explained,
    the_row_is_that_of_the_newest_version,
    a_dirty_row_is_explained_and_cleared_by_repair,
    a_late_file_stays_behind_the_row,
    brackets_and_a_lone_concurrent_statement_run,
    names_are_read_as_the_tool_reads_them,
    a_new_revision_is_a_pair_of_empty_files,
);

/// Makes the table as the tool makes it.
fn make_table<D: Database>(database: &D) {
    database.query(match D::DIALECT {
        "postgres" => "create table schema_migrations (version bigint not null primary key, dirty boolean not null)",
        _ => "create table schema_migrations (version uint64,dirty bool); create unique index version_unique on schema_migrations (version)",
    });
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("golang");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

const FILES: [(&str, &str); 6] = [
    ("000001_one.up.sql", "create table one (id integer);"),
    ("000001_one.down.sql", "drop table one;"),
    ("000002_two.up.sql", "create table two (id integer);"),
    ("000002_two.down.sql", "drop table two;"),
    ("000004_four.up.sql", "create table four (id integer);"),
    ("000004_four.down.sql", "drop table four;"),
];

fn rows<D: Database>(database: &D) -> String {
    database.query("select version, case when dirty then 'dirty' else 'clean' end from schema_migrations")
}

fn the_row_is_that_of_the_newest_version<D: Database>() {
    let database = D::create("row");
    make_table(&database);
    database.query("insert into schema_migrations values (1, false)");
    database.query("create table one (id integer)");
    let (_files, run) = run_on(&database, &FILES);
    run.clone()
        .args(["upgrade", "2"])
        .output()
        .expect_code(0)
        .says("the layout is golang-migrate")
        .says("up to date at 2: 1");
    assert_eq!(rows(&database), "2|clean\n");
    run.output().expect_code(0).says("up to date at 4: 1");
    run.output().expect_code(0).says("nothing pending, the database is at 4");
    assert_eq!(rows(&database), "4|clean\n");
    let history = run.clone().arg("history").output();
    assert_eq!(history.stdout.matches("applied").count(), 3, "{history}");
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert_eq!(rows(&database), "2|clean\n");
    run.clone().args(["stamp", "4"]).output().expect_code(0);
    assert_eq!(rows(&database), "4|clean\n");
    run.clone().args(["stamp", "2"]).output().expect_code(0);
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert_eq!(rows(&database), "");
    assert!(!database.has_table("one") && !database.has_table("lockkeeper_history"));
    // The printed script does the same.
    let script = run.clone().args(["upgrade", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "4|clean\n");
    database.feed(&script.stdout).expect_err("the database is not at base any more");
}

fn a_dirty_row_is_explained_and_cleared_by_repair<D: Database>() {
    let database = D::create("dirty");
    make_table(&database);
    database.query("insert into schema_migrations values (2, true)");
    database.query("create table one (id integer)");
    let (_files, run) = run_on(&database, &FILES);
    for command in ["upgrade", "check"] {
        let refused = run.clone().arg(command).output();
        refused.expect_code(65).says("revision 2 (000002_two.up.sql) failed in another tool").says("repair --again");
    }
    run.clone().args(["downgrade", "base"]).output().expect_code(65).says("revision 2 (000002_two.up.sql) failed");
    let listed = run.clone().arg("history").output();
    listed.says("failed   2").says("applied  1");
    assert_eq!(rows(&database), "2|dirty\n");
    run.clone()
        .args(["repair", "--again"])
        .output()
        .expect_code(0)
        .says("revision 2 will be run again by the next run");
    assert_eq!(rows(&database), "1|clean\n");
    run.output().expect_code(0).says("up to date at 4: 2");
    database.query("delete from schema_migrations");
    database.query("insert into schema_migrations values (4, true)");
    run.clone().args(["repair", "--done"]).output().expect_code(0).says("revision 4 is recorded as applied");
    assert_eq!(rows(&database), "4|clean\n");
    run.clone().args(["repair", "--done"]).output().expect_code(0).says("no statement is open");
    if D::DIALECT == "sqlite" {
        // The tool refuses a row that does not say whether it is dirty.
        database.query("update schema_migrations set dirty = null");
        run.output().expect_code(65).says("revision 4 (000004_four.up.sql) failed in another tool");
    }
}

fn a_failed_way_down_to_the_beginning_is_explained<D: Database>() {
    let database = D::create("nil");
    make_table(&database);
    database.query("insert into schema_migrations values (-1, true)");
    let (_files, run) = run_on(&database, &FILES);
    run.output().expect_code(78).says("golang-migrate has failed to undo the first migration").says("delete that row");
    assert!(!database.has_table("one"));
    database.query("delete from schema_migrations");
    run.output().expect_code(0).says("up to date at 4: 3");
}

/// The tool never looks at what comes before its row.
fn a_late_file_stays_behind_the_row<D: Database>() {
    let database = D::create("late");
    make_table(&database);
    let (files, run) = run_on(&database, &FILES);
    run.output().expect_code(0).says("up to date at 4: 3");
    fs::write(files.path().join("000003_three.up.sql"), "create table three (id integer);").unwrap();
    run.output().expect_code(0).says("nothing pending");
    assert!(!database.has_table("three"));
}

fn brackets_and_a_lone_concurrent_statement_run<D: Database>() {
    let database = D::create("brackets");
    make_table(&database);
    let lone = if D::DIALECT == "postgres" { "create index concurrently i on one (id);" } else { "vacuum;" };
    let files = [
        ("1_one.up.sql", "BEGIN;\ncreate table one (id integer);\nCOMMIT;\n"),
        ("1_one.down.sql", "BEGIN;\ndrop table one;\n"),
        ("2_lone.up.sql", lone),
        ("2_lone.down.sql", "select 1;"),
        ("3_failing.up.sql", "begin transaction;\ncreate table three (id integer);\nselect * from missing;\ncommit;"),
    ];
    let (files, run) = run_on(&database, &files);
    run.output().expect_code(80).says("3_failing.up.sql:3:").says("2 revisions were applied and kept, the last is 2");
    assert_eq!(rows(&database), "2|clean\n");
    fs::write(files.path().join("3_failing.up.sql"), "begin;\nrollback;").unwrap();
    run.output().expect_code(65).says("3_failing.up.sql:2:1: the runner makes the transaction itself");
    fs::remove_file(files.path().join("3_failing.up.sql")).unwrap();
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("one"));
    assert_eq!(rows(&database), "");
}

fn names_are_read_as_the_tool_reads_them<D: Database>() {
    let database = D::create("names");
    make_table(&database);
    let (files, run) = run_on(
        &database,
        &[
            ("30_x.up..sql", "create table thirty (id integer);"),
            ("7_a.up.b.down.sql", "select 1;"),
            ("7_a.up.sql", "create table seven (id integer);"),
            ("schema.sql", "not SQL"),
            ("99999999999999999999999_x.up.sql", "not SQL"),
            ("README.md", ""),
        ],
    );
    run.output().expect_code(0).says("up to date at 30: 2");
    assert!(database.has_table("seven") && database.has_table("thirty"));
    fs::write(files.path().join("0030_y.up.sql"), "select 1;").unwrap();
    run.output().expect_code(65).says("two files claim version 30: 0030_y.up.sql, 30_x.up..sql");
    fs::rename(files.path().join("0030_y.up.sql"), files.path().join("31_y.down.sql")).unwrap();
    run.output().expect_code(65).says("31_y.down.sql: a down script without its up script");
}

fn a_new_revision_is_a_pair_of_empty_files<D: Database>() {
    let database = D::create("new");
    make_table(&database);
    let (files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LAYOUT", "golang-migrate");
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0);
    for name in ["000005_add_widgets.up.sql", "000005_add_widgets.down.sql"] {
        assert_eq!(fs::read_to_string(files.path().join(name)).unwrap(), "");
    }
    run.output().expect_code(0).says("up to date at 5");
}

/// The tool's program names the database by the path of its URL, a library by the name of the database.
#[test]
fn the_locks_of_the_tool_are_waited_for() {
    let database = Postgres::shared().database("locks");
    make_table(&database);
    let (_files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LOCK_TIMEOUT", "1s");
    for name in [format!("/{}", database.name()), database.name().to_owned()] {
        let key = crc32(format!("public\0schema_migrations\0{name}").as_bytes()).wrapping_mul(1_486_364_155);
        let mut tool = database.session();
        tool.run(&format!("select pg_advisory_lock({key})"));
        run.output().expect_code(75).says("another run held the lock").says("pid ");
        drop(tool);
    }
    run.output().expect_code(0).says("up to date at 4");
    assert_eq!(database.query("select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), "0\n");
}

/// Returns the CRC-32 of Go's `crc32.ChecksumIEEE`, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (0_u32.wrapping_sub(crc & 1))))
    })
}
