//! Tests of the migration directory: which files are migrations, what is refused, and that no database is needed for
//! that.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::binary::{Finished, Run};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{free_port, sqlite};

const SQL: &str = "create table t (id integer);";

/// A run on a SQLite file in its own directory.
fn run(files: &[(&str, &str)]) -> Run {
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off");
    fs::create_dir_all(run.dir().join("migrations")).expect("a directory");
    run.migrations(files)
}

/// A run on a PostgreSQL server that does not exist: a run that connected first would end with another code.
fn run_without_server(files: &[(&str, &str)]) -> Run {
    let url = format!("postgresql://someone:{PASSWORD}@127.0.0.1:{}/nowhere", free_port());
    run(files).url(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "1ms")
}

/// Expects this exit code, all of these parts in the last line, and that no database was created.
#[track_caller]
fn expect_refused(run: &Run, code: i32, parts: &[&str]) -> Finished {
    let finished = run.output();
    finished.expect_code(code).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().expect("a last line");
    for part in parts.iter().chain(&["nothing was changed", "try:"]) {
        assert!(last.contains(part), "{part:?} is not in the last line: {finished}");
    }
    assert!(!run.dir().join("app.db").exists(), "{finished}");
    finished
}

fn revisions(run: &Run) -> String {
    let sql = "select group_concat(revision, ' ') from (select * from lockkeeper_history order by applied_at, rowid);";
    sqlite::value(&run.dir().join("app.db"), sql)
}

/// Two files with the same number, or with numbers that differ only in zeros, are refused.
#[test]
fn a_duplicate_revision_is_refused() {
    type Files<'a> = &'a [(&'a str, &'a str)];
    let rows: &[(Files, &[&str])] = &[
        (&[("0001_a.sql", SQL), ("0001_b.sql", SQL)], &["0001_a.sql, 0001_b.sql"]),
        (&[("1_a.sql", SQL), ("0001_b.sql", SQL)], &["0001_b.sql, 1_a.sql"]),
        (&[("0001_a.sql", SQL), ("0001_A.sql", SQL)], &["0001_A.sql, 0001_a.sql"]),
        (&[("0001_a.sql", SQL), ("0001_a.up.sql", SQL)], &["0001_a.sql, 0001_a.up.sql"]),
        (
            &[("0001_a.up.sql", SQL), ("0001_a.down.sql", SQL), ("1_a.down.sql", SQL)],
            &["0001_a.down.sql, 1_a.down.sql"],
        ),
        (
            &[("0001_a.sql", SQL), ("1_b.sql", SQL), ("0002_a.sql", SQL), ("0002_b.sql", SQL)],
            &["0001_a.sql, 1_b.sql", "0002_a.sql, 0002_b.sql"],
        ),
    ];
    for (files, named) in rows {
        for run in [run(files), run_without_server(files)] {
            expect_refused(&run, 65, &[&["claim revision"], *named].concat());
        }
    }
}

/// A file that is named almost like a migration is refused.
#[test]
fn invalid_names_are_refused_and_not_ignored() {
    for name in [
        "create_table.sql",
        "1.sql",
        "0001.sql",
        "0001_.sql",
        "0001_.up.sql",
        "0001-a.sql",
        "V1__a.sql",
        "0001_a.SQL",
        "0001_a.DOWN.sql",
        "0001_a.Up.sql",
        "-1_a.sql",
        "99999999999999999999999_a.sql",
    ] {
        expect_refused(&run(&[("0002_b.sql", SQL), (name, SQL)]), 65, &[name, "NNNN_description.up.sql"]);
    }
}

#[test]
fn file_names_that_cannot_be_parsed_are_reported_with_the_reason() {
    let name = "20220217152313000000_x.up.sql";
    let files = [("0001_a.sql", SQL), (name, SQL)];
    let why = "its version number has 20 digits and is larger than 18446744073709551615";
    expect_refused(&run(&files), 65, &[name, why, "at most 19 digits"]);
    let run = run(&[("0001_a.sql", SQL)]);
    let bytes = std::ffi::OsStr::from_bytes(b"migrations/0002_\xff.sql");
    fs::write(run.dir().join(bytes), SQL).expect("a name that is not UTF-8");
    expect_refused(&run, 65, &["0002_", "its name is not UTF-8"]);
}

/// A down file without its up file is refused.
#[test]
fn a_down_file_needs_its_up_file() {
    let files = [("0001_a.sql", SQL), ("0002_b.down.sql", "drop table t;")];
    expect_refused(&run(&files), 65, &["0002_b.down.sql: a down migration without its up migration"]);
    let files = [("0001_a.up.sql", SQL), ("0001_b.down.sql", "drop table t;")];
    expect_refused(&run(&files), 65, &["0001_b.down.sql: its description differs from 0001_a.up.sql"]);
}

/// One message names everything that is wrong with the directory.
#[test]
fn all_problems_of_a_directory_are_reported_at_once() {
    let files = [
        ("0001_a.sql", SQL),
        ("0001_b.sql", SQL),
        ("nonsense.sql", SQL),
        ("0002_c.sql", "-- lock-timeout: soon\n"),
        ("0003_d.down.sql", SQL),
        ("0004_e.sql", "-- one\n-- depends: x\n"),
    ];
    let parts = [
        "0001_a.sql, 0001_b.sql",
        "nonsense.sql",
        "0002_c.sql:1:",
        "\"soon\" is not a duration",
        "0003_d.down.sql",
        "0004_e.sql:2:",
        "lockkeeper check",
    ];
    expect_refused(&run(&files), 65, &parts);
}

/// Numbers may have gaps and any width.
#[test]
fn gaps_and_numbers_of_any_width_are_fine() {
    let files = [
        ("7_a.sql", "create table a (id integer);"),
        ("0010_b.up.sql", "create table b (id integer);"),
        ("00009_c.sql", "create table c (id integer);"),
        ("20260112093000_d.up.sql", "create table d (id integer);"),
        ("0010_b.down.sql", "drop table b;"),
    ];
    let run = run(&files);
    run.output().expect_code(0).says("up to date at 20260112093000: 4 revisions applied");
    assert_eq!(revisions(&run), "7 00009 0010 20260112093000");
}

/// Backup files of editors and files of the operating system are ignored.
#[test]
fn files_of_editors_and_operating_systems_are_ignored() {
    let files = [
        ("0001_a.sql", SQL),
        (".0002_b.sql", "fail"),
        (".#0001_a.sql", "fail"),
        ("#0001_a.sql#", "fail"),
        ("0001_a.sql~", "fail"),
        (".0001_a.sql.swp", "fail"),
        ("0001_a.sql.orig", "fail"),
        ("0003_c.sql.bak", "fail"),
        ("README.md", "fail"),
        (".DS_Store", "fail"),
        ("old/0009_z.sql", "fail"),
    ];
    let run = run(&files);
    run.output().expect_code(0).says("up to date at 0001: 1 revision applied");
    assert_eq!(revisions(&run), "0001");
}

/// A migration directory without migrations has its own message and exit code.
#[test]
fn an_empty_migration_directory_has_its_own_error() {
    for run in [run(&[]), run(&[("README.md", "x"), (".0001_a.sql", SQL)])] {
        expect_refused(&run, 66, &["migrations holds no migrations", "LOCKKEEPER_DIR"]);
    }
    let missing = run(&[("0001_a.sql", SQL)]).env("LOCKKEEPER_DIR", "no/such/directory");
    expect_refused(&missing, 66, &["no/such/directory cannot be read", "No such file", "LOCKKEEPER_DIR"]);
    let file = run(&[("0001_a.sql", SQL)]).env("LOCKKEEPER_DIR", "migrations/0001_a.sql");
    expect_refused(&file, 66, &["migrations/0001_a.sql", "Not a directory"]);
    let other = run(&[]).file("migrations/postgres/0001_a.sql", SQL);
    expect_refused(&other, 66, &["has a directory postgres but none named sqlite"]);
    expect_refused(&run_without_server(&[]), 66, &["holds no migrations"]);
}

/// An unreadable migration directory is named with the uid of the run.
#[test]
fn an_unreadable_migration_directory_is_named_with_the_uid() {
    let run = run(&[("0001_a.sql", SQL)]);
    let directory = run.dir().join("migrations");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("chmod");
    let as_other = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--"];
    expect_refused(&run.clone().under(as_other), 66, &["migrations cannot be read (uid 54321)", "Permission denied"]);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::set_permissions(directory.join("0001_a.sql"), fs::Permissions::from_mode(0o600)).expect("chmod");
    expect_refused(&run.under(as_other), 65, &["0001_a.sql", "Permission denied", "uid 54321"]);
}

/// The kubelet mounts a ConfigMap through links, and changes one of them.
#[test]
fn a_config_map_volume_is_read_once() {
    let run = run(&[]);
    let directory = run.dir().join("migrations");
    let run = run.file("migrations/..2026_01_12/0001_a.sql", SQL);
    symlink("..2026_01_12", directory.join("..data")).expect("a link");
    symlink("..data/0001_a.sql", directory.join("0001_a.sql")).expect("a link");
    run.output().expect_code(0).says("up to date at 0001: 1 revision applied");
    let run = run
        .file("migrations/..2026_01_13/0001_a.sql", SQL)
        .file("migrations/..2026_01_13/0002_b.sql", "create table b (id integer);");
    symlink("..2026_01_13", directory.join("..data_tmp")).expect("a link");
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("rename");
    symlink("..data/0002_b.sql", directory.join("0002_b.sql")).expect("a link");
    run.output().expect_code(0).says("up to date at 0002: 1 revision applied");
    assert_eq!(revisions(&run), "0001 0002");
}

#[test]
fn a_dangling_link_and_a_directory_named_like_a_migration_are_refused() {
    let run = run(&[("0001_a.sql", SQL)]);
    symlink("gone.sql", run.dir().join("migrations/0002_b.sql")).expect("a link");
    fs::create_dir(run.dir().join("migrations/0003_c.sql")).expect("a directory");
    expect_refused(
        &run,
        65,
        &["0002_b.sql: cannot be read", "No such file", "0003_c.sql: cannot be read", "it is a directory"],
    );
}

/// Unknown dependencies, cycles and several heads are found without a database.
#[test]
fn errors_of_the_graph_are_found_without_a_database() {
    let two_heads = [("0001_a.sql", SQL), ("0002_b.sql", "-- depends: 0001\n"), ("0003_c.sql", "-- depends: 1\n")];
    let cycle = [("0001_a.sql", "-- depends: 0003\n"), ("0002_b.sql", ""), ("0003_c.sql", "")];
    let self_reference = [("0001_a.sql", SQL), ("0002_b.sql", "-- depends: 2\n")];
    let unknown = [("0001_a.sql", SQL), ("0002_b.sql", "-- depends: 0001 0007, 9\n")];
    for files in [&two_heads[..], &cycle, &self_reference, &unknown] {
        let parts: &[&str] = match files {
            _ if files == two_heads => {
                &["the directory has 2 heads: 0002_b.sql, 0003_c.sql", "lockkeeper merge -m \"merge 0002 and 0003\""]
            }
            _ if files == cycle => &["depend on each other in a circle: 0001_a.sql, 0003_c.sql, 0002_b.sql"],
            _ if files == self_reference => &["in a circle: 0002_b.sql"],
            _ => &["0002_b.sql depends on 0007, which is not in the directory", "0002_b.sql depends on 9"],
        };
        for command in ["upgrade", "check"] {
            expect_refused(&run_without_server(files).arg(command), 65, parts);
            expect_refused(&run(files).arg(command), 65, parts);
        }
    }
}

/// Two heads can be applied with the target `heads`, or joined by a merge.
#[test]
fn two_heads_can_be_applied_or_merged() {
    let files = [
        ("0001_a.sql", SQL),
        ("0002_b.sql", "-- depends: 0001\ncreate table b (id integer);"),
        ("0003_c.sql", "-- depends: 0001\ncreate table c (id integer);"),
    ];
    let run = run(&files);
    run.clone().args(["upgrade", "0003"]).output().expect_code(0).says("2 revisions applied");
    assert_eq!(revisions(&run), "0001 0003");
    run.clone().args(["upgrade", "heads"]).output().expect_code(0).says("1 revision applied");
    let run = run.migrations(&[("0004_join.sql", "-- depends: 0002 0003\n")]);
    run.output().expect_code(0).says("up to date at 0004: 1 revision applied");
    assert_eq!(revisions(&run), "0001 0003 0002 0004");
}

/// The shipped example has one schema in two dialects.
#[test]
fn the_shipped_migrations_run_on_both_databases() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let tables = "agents api_keys documentation_examples documentation_guides events workflow_executions workflows";
    let shipped = |url: &str| run(&[]).url(url).env("LOCKKEEPER_DIR", directory);

    let database = Postgres::shared().database("shipped");
    let postgres = shipped(&database.url());
    postgres.output().expect_code(0).says("5 revisions applied");
    postgres.output().expect_code(0).says("nothing pending");
    let sql = "select string_agg(tablename, ' ' order by tablename) from pg_tables
               where schemaname = 'public' and tablename not like 'lockkeeper%'";
    assert_eq!(database.value(sql), tables);

    let run = shipped("sqlite:///app.db");
    run.output().expect_code(0).says("5 revisions applied");
    run.output().expect_code(0).says("nothing pending");
    let file = run.dir().join("app.db");
    let sql = "select group_concat(name, ' ') from (select name from sqlite_schema where type = 'table'
               and name not like 'sqlite_%' and name not like 'lockkeeper%' order by name);";
    assert_eq!(sqlite::value(&file, sql), tables);

    let sql = "select revision, description, state from lockkeeper_history order by revision;";
    assert_eq!(database.rows(sql), sqlite::rows(&file, sql));
    assert_eq!(database.rows(sql).len(), 5);
}

/// A hundred problems of one file are named; the message says how many more there are.
#[test]
fn the_problems_of_a_file_beyond_a_hundred_are_counted() {
    let run = run(&[("0001_a.sql", &"BEGIN;\n".repeat(104))]);
    let finished = expect_refused(&run, 65, &["0001_a.sql:100:1: ", "0001_a.sql: and 4 more"]);
    assert!(!finished.stderr.contains("0001_a.sql:101:1"), "{finished}");
    let run = run.migrations(&[("0001_a.sql", &"BEGIN;\n".repeat(100))]);
    assert!(!expect_refused(&run, 65, &["0001_a.sql:100:1: "]).stderr.contains("more"));
}
