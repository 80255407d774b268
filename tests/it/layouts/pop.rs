//! pop and popx, by the tables and the statements in their sources: no registry has their programs.

use std::fs;
use std::path::Path;

use super::lockkeeper;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(
    a_directory_of_pop_is_read_from_beginning_to_end,
    a_file_of_a_dialect_replaces_the_plain_one,
    the_table_of_pop_decides,
    rows_that_popx_keeps_of_pop_do_not_count,
    a_late_file_is_applied,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    files_that_only_pop_can_run_are_refused_by_name,
    files_in_folders_are_read,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    a_new_revision_is_a_pair_of_empty_files,
);

/// Makes the table as popx makes it.
fn make_table<D: Database>(database: &D) {
    database
        .query("create table schema_migration (version varchar (48) not null, version_self int not null default 0)");
    database.query("create unique index schema_migration_version_idx on schema_migration (version)");
    database.query("create index schema_migration_version_self_idx on schema_migration (version_self)");
}

/// Makes the table as pop makes it.
fn make_old_table<D: Database>(database: &D) {
    let version =
        if D::DIALECT == "postgres" { "varchar (14) not null, primary key (version)" } else { "text primary key" };
    database.query(&format!("create table schema_migration (version {version})"));
    database.query("create unique index schema_migration_version_idx on schema_migration (version)");
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("pop");
    for (name, text) in files {
        write(directory.path(), name, text);
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

const FILES: [(&str, &str); 4] = [
    ("20150100000001000000_one.up.sql", "create table one (id integer);"),
    ("20150100000001000000_one.down.sql", "drop table one;"),
    ("20150100000002000000_two.up.sql", "create table two (id integer);"),
    ("20150100000002000000_two.down.sql", "drop table two;"),
];

fn rows<D: Database>(database: &D) -> String {
    database.query("select version from schema_migration order by version")
}

fn a_directory_of_pop_is_read_from_beginning_to_end<D: Database>() {
    let database = D::create("whole");
    let (_files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LAYOUT", "pop");
    run.output().expect_code(0).says("up to date at 20150100000002000000: 2");
    assert_eq!(rows(&database), "20150100000001000000\n20150100000002000000\n");
    // The columns are those of popx, and a version has one row.
    assert_eq!(database.query("select version_self from schema_migration"), "0\n0\n");
    assert!(run.output().expect_code(0).stderr.contains("nothing pending"));
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert_eq!(rows(&database), "20150100000001000000\n");
    assert!(database.has_table("one") && !database.has_table("two"));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert_eq!(rows(&database), "");
}

fn a_file_of_a_dialect_replaces_the_plain_one<D: Database>() {
    let database = D::create("dialect");
    let (ours, other) = if D::DIALECT == "postgres" { ("pg", "sqlite3") } else { ("sqlite3", "postgres") };
    let named = |dialect: &str, kind: &str| format!("2_two.{dialect}.{kind}.sql");
    let (up, down, other_up) = (named(ours, "up"), named(ours, "down"), named(other, "up"));
    let files = [
        ("1_one.up.sql", "create table one (id integer);"),
        ("1_one.down.sql", "drop table one;"),
        ("2_two.up.sql", "not SQL"),
        ("2_two.down.sql", "not SQL"),
        (&*up, "create table two (id integer);"),
        (&*down, "drop table two;"),
        (&*other_up, "not SQL"),
        ("3_three.mysql.up.sql", "not SQL"),
        ("3_three.down.sql", "not SQL"),
        ("4_four.oracle.up.sql", "not SQL"),
        ("schema.sql", "not SQL"),
    ];
    let (files, run) = run_on(&database, &files);
    run.output().expect_code(0).says("the layout is pop").says("up to date at 2: 2");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("one") && !database.has_table("two"));
    let again = if D::DIALECT == "postgres" { "2_b.postgresql.up.sql" } else { "2_b.sqlite.up.sql" };
    write(files.path(), again, "select 1;");
    run.output().expect_code(65).says("two files claim version 2: ").says(again);
}

fn the_table_of_pop_decides<D: Database>() {
    let database = D::create("table");
    make_old_table(&database);
    database.query("insert into schema_migration (version) values ('20150101000001')");
    let files = [
        ("20150101000001_one.up.sql", "create table one (id integer);"),
        ("20150101000002_two.up.sql", "create table two (id integer);"),
    ];
    let (_files, run) = run_on(&database, &files);
    let name = if D::DIALECT == "postgres" { "public.schema_migration" } else { "schema_migration" };
    let said = format!("the layout is pop: the database has its table {name}");
    run.output().expect_code(0).says(&said).says("up to date at 20150101000002: 1");
    assert_eq!(rows(&database), "20150101000001\n20150101000002\n");
    assert!(!database.has_table("one") && database.has_table("two"));
    run.clone().args(["stamp", "20150101000001"]).output().expect_code(0);
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "20150101000001\n20150101000002\n");
}

/// Where a team has gone from pop to popx, the table has both versions of a migration.
fn rows_that_popx_keeps_of_pop_do_not_count<D: Database>() {
    let database = D::create("both");
    make_table(&database);
    database.query("insert into schema_migration (version) values ('20150100000001'), ('20150100000001000000')");
    let (_files, run) = run_on(&database, &FILES);
    run.output().expect_code(0).says("up to date at 20150100000002000000: 1");
    assert_eq!(rows(&database), "20150100000001\n20150100000001000000\n20150100000002000000\n");
    run.output().expect_code(0).says("nothing pending");
}

fn a_late_file_is_applied<D: Database>() {
    let database = D::create("late");
    make_table(&database);
    let (files, run) = run_on(&database, &FILES);
    run.output().expect_code(0);
    write(files.path(), "20150100000001500000_late.up.sql", "create table late (id integer);");
    run.output().expect_code(0).says("applied 20150100000001500000_late.up.sql");
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let up = |last: &str| format!("create table a (id integer);\ncreate table b (id integer);\n{last};\n");
    let (first, name) = (up("insert into missing values (1)"), "1_a.autocommit.up.sql");
    let (files, run) =
        run_on(&database, &[(name, &first), ("1_a.autocommit.down.sql", "drop table a;\ndrop table b;\n")]);
    run.output().expect_code(81).says("the layout is pop").says("1_a.autocommit.up.sql:3:1");
    assert_eq!(rows(&database), "");
    run.clone().arg("history").output().expect_code(0).says("partial");
    write(files.path(), name, &up("insert into b values (1)"));
    run.output().expect_code(0).says("up to date at 1");
    assert_eq!(database.query("select count(*) from b").trim(), "1");
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("a") && !database.has_table("b"));
    let lone = if D::DIALECT == "postgres" { "create index concurrently i on c (id);" } else { "vacuum;" };
    write(files.path(), "2_c.up.sql", "create table c (id integer);");
    write(files.path(), "3_lone.up.sql", lone);
    run.output().expect_code(65).says("3_lone.up.sql:1:1").says("NAME.autocommit.up.sql");
    fs::rename(files.path().join("3_lone.up.sql"), files.path().join("3_lone.autocommit.up.sql")).unwrap();
    run.output().expect_code(0).says("up to date at 3");
}

fn files_that_only_pop_can_run_are_refused_by_name<D: Database>() {
    let database = D::create("programs");
    let files = [
        ("1_one.up.sql", "create table one (id integer);"),
        ("2_two.up.fizz", "create_table(\"two\") {}"),
        ("3_three.up.sql", "select 1;\nselect '{{ .DialectDetails.Name }}';\n"),
    ];
    let (files, run) = run_on(&database, &files);
    let refused = run.output();
    refused.expect_code(65).says("2_two.up.fizz: it is written in fizz, which only pop can run");
    refused.says("3_three.up.sql: line 2 has a template of Go ({{), which only pop can fill in");
    assert!(!database.has_table("one"));
    run.clone().args(["upgrade", "1"]).output().expect_code(0);
    // Whoever ran them with pop has their rows.
    database.query("insert into schema_migration (version) values ('2'), ('3')");
    run.output().expect_code(0).says("nothing pending, the database is at 3");
    let fizz = if D::DIALECT == "postgres" { "4_x.postgres.up.fizz" } else { "4_x.sqlite3.up.fizz" };
    write(files.path(), fizz, "");
    run.output().expect_code(65).says(&format!("{fizz}: fizz is for every database"));
}

fn files_in_folders_are_read<D: Database>() {
    let database = D::create("folders");
    let (files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LAYOUT", "pop");
    write(files.path(), "more/20150100000003000000_three.up.sql", "create table three (id integer);");
    write(files.path(), "more/README.md", "");
    run.output().expect_code(0).says("applied more/20150100000003000000_three.up.sql");
    write(files.path(), "more/deep/20150100000004000000_four.up.sql", "create table four (id integer);");
    run.output().expect_code(65).says("more: the folder has folders, and this layout does not read what is in those");
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("sql");
    let (_files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LAYOUT", "pop");
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "20150100000001000000\n20150100000002000000\n");
    run.output().expect_code(0).says("nothing pending");
    let back = run.clone().args(["downgrade", "--sql", "20150100000002000000:20150100000001000000"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(rows(&database), "20150100000001000000\n");
    assert!(!database.has_table("two"));
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "20150100000001000000\n20150100000002000000\n");
}

fn a_new_revision_is_a_pair_of_empty_files<D: Database>() {
    let database = D::create("new");
    make_table(&database);
    let (files, run) = run_on(&database, &FILES);
    let run = run.env("LOCKKEEPER_LAYOUT", "pop");
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0).says("000000_add_widgets.up.sql");
    let names = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let added: Vec<String> = names.filter(|name| name.contains("add_widgets")).collect();
    assert_eq!(added.len(), 2, "{added:?}");
    for name in &added {
        assert_eq!(fs::read_to_string(files.path().join(name)).unwrap(), "");
        assert_eq!(name.split('_').next().unwrap().len(), 20);
    }
    run.output().expect_code(0).says("up to date at 20");
}
