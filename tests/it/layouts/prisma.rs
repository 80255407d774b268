//! Prisma, with its own tool.

use std::fs;
use std::path::Path;

use super::traps::Trap;
use super::{Tool, directory, each_continues_the_other, lockkeeper, write};
use crate::support::either::{Database, SqliteFile};
use crate::support::other_tools::{prisma, prisma_resolve_applied};

const PRISMA: Tool = Tool {
    files: |trap| {
        let folder = format!("{:02}_{}", trap.number, trap.name);
        vec![(format!("{folder}/migration.sql"), trap.up.clone()), (format!("{folder}/down.sql"), trap.down.clone())]
    },
    // A savepoint needs a transaction, and Prisma begins none.
    runs: |trap, _| trap.name != "savepoints",
    up: prisma,
    found_nothing: |run| run.output.contains("No pending migrations to apply"),
    history: "select migration_name, checksum, applied_steps_count, logs, case when finished_at is null then 'open' else 'done' end, \
              case when rolled_back_at is null then '' else 'rolled back' end from _prisma_migrations order by 1",
    table: "_prisma_migrations",
    layout: "prisma",
};

on_either!(
    each_continues_what_the_other_began,
    each_undoes_what_the_other_did,
    names_have_the_order_of_the_tool,
    a_late_folder_is_applied,
    migrations_may_be_squashed,
    either_line_end_is_the_same_file,
    a_failed_attempt_is_explained_and_cleared_by_repair,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    a_folder_without_a_script_is_refused,
    migrations_for_another_kind_of_database_are_refused,
    a_new_revision_is_one_of_the_tool,
    files_of_another_tool_beside_the_folders_are_not_passed_over,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&PRISMA);
}

fn one(number: usize, name: &'static str) -> Trap {
    Trap {
        number,
        name,
        up: format!("create table {name} (id integer);\n"),
        down: format!("drop table {name};\n"),
        refuses_transactions: false,
        has_brackets: false,
    }
}

fn three() -> Vec<Trap> {
    vec![one(1, "one"), one(3, "three"), one(5, "five")]
}

fn up_to_date(directory: &Path, url: &str) {
    let run = prisma(directory, url);
    assert!((PRISMA.found_nothing)(run.expect_success()), "{run:?}");
}

fn each_undoes_what_the_other_did<D: Database>() {
    let database = D::create("undo");
    let files = directory(&PRISMA, &three());
    prisma(files.path(), &database.url()).expect_success();
    let run = lockkeeper(files.path(), &database.url());
    run.clone().args(["downgrade", "03_three"]).output().expect_code(0);
    assert!(!database.has_table("five") && database.has_table("three"));
    prisma(files.path(), &database.url()).expect_success().says("05_five");
    assert!(database.has_table("five"));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    run.output().expect_code(0).says("up to date at 05_five: 3 revisions applied");
    up_to_date(files.path(), &database.url());
    fs::remove_file(files.path().join("05_five/down.sql")).unwrap();
    run.clone().args(["downgrade", "-1"]).output().expect_code(65).says("05_five/migration.sql cannot be undone");
}

/// The first migration needs no row of those behind it, but not the other way round.
fn names_have_the_order_of_the_tool<D: Database>() {
    let files = crate::support::temporary_directory("prisma");
    let names = ["0_init", "1_a", "10_b", "2_c", "20240101000000_d", "a_e", "B_f"];
    for (at, name) in names.iter().enumerate() {
        let first = if at == 0 { "create table steps (id integer primary key, name varchar(40));\n" } else { "" };
        fs::create_dir(files.path().join(name)).unwrap();
        let text = format!("{first}insert into steps select count(*), '{name}' from steps;\n");
        fs::write(files.path().join(name).join("migration.sql"), text).unwrap();
    }
    let steps = "select name from steps order by id";
    let expected = names.join("\n") + "\n";
    let database = D::create("tool");
    prisma(files.path(), &database.url()).expect_success();
    assert_eq!(database.query(steps), expected);
    let database = D::create("ours");
    lockkeeper(files.path(), &database.url()).output().expect_code(0).says("the layout is prisma");
    assert_eq!(database.query(steps), expected);
    up_to_date(files.path(), &database.url());
}

fn a_late_folder_is_applied<D: Database>() {
    let database = D::create("late");
    let all = three();
    let files = directory(&PRISMA, &[all[0].clone(), all[2].clone()]);
    prisma(files.path(), &database.url()).expect_success();
    write(files.path(), &PRISMA, &all);
    lockkeeper(files.path(), &database.url()).output().expect_code(0).says("applied 03_three/migration.sql");
    up_to_date(files.path(), &database.url());
}

/// The rows of the folders that are gone stay in the table.
fn migrations_may_be_squashed<D: Database>() {
    let database = D::create("squashed");
    let files = directory(&PRISMA, &three());
    prisma(files.path(), &database.url()).expect_success();
    for name in ["01_one", "03_three", "05_five"] {
        fs::remove_dir_all(files.path().join(name)).unwrap();
    }
    write(files.path(), &PRISMA, &[Trap { up: "create table one (id integer);".into(), ..one(0, "squashed") }]);
    prisma_resolve_applied(files.path(), &database.url(), "00_squashed").expect_success();
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(0).says("nothing pending");
    write(files.path(), &PRISMA, &[one(7, "seven")]);
    run.output().expect_code(0).says("up to date at 07_seven: 1 revision applied");
    up_to_date(files.path(), &database.url());
    run.clone().arg("check").output().expect_code(0);
    run.clone().args(["repair", "--yes"]).output().expect_code(0).says("nothing to repair");
    write(files.path(), &PRISMA, &[one(8, "eight")]);
    let script = run.clone().args(["upgrade", "--sql"]).output();
    database.feed(&script.expect_code(0).stdout).unwrap();
    up_to_date(files.path(), &database.url());
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert!(!database.has_table("eight") && database.has_table("seven"));
}

fn either_line_end_is_the_same_file<D: Database>() {
    let database = D::create("ends");
    let files = directory(&PRISMA, &three());
    prisma(files.path(), &database.url()).expect_success();
    let file = files.path().join("03_three/migration.sql");
    fs::write(&file, "create table three (id integer);\r\n").unwrap();
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(0).says("nothing pending");
    let sum = "select checksum from _prisma_migrations where migration_name = '03_three'";
    // Early releases left out zeros.
    let padded = database.query(sum);
    let unpadded: String = padded
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|two| match two {
            [b'0', digit] => (*digit as char).to_string(),
            two => String::from_utf8_lossy(two).into_owned(),
        })
        .collect();
    database.query(&format!("update _prisma_migrations set checksum = '{unpadded}' where migration_name = '03_three'"));
    run.output().expect_code(0).says("nothing pending");
    fs::write(&file, "create table three (id integer); \n").unwrap();
    run.output().expect_code(65).says("03_three/migration.sql was edited after revision 03_three was applied");
    run.clone().args(["repair", "--yes"]).output().expect_code(0);
    run.output().expect_code(0).says("nothing pending");
    assert_ne!(database.query(sum), padded);
}

fn a_failed_attempt_is_explained_and_cleared_by_repair<D: Database>() {
    let database = D::create("failed");
    let mut all = three();
    all[2].up = "insert into missing values (1);\n".into();
    let files = directory(&PRISMA, &all);
    assert_ne!(prisma(files.path(), &database.url()).code, Some(0));
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("revision 05_five (05_five/migration.sql) failed in another tool");
    run.clone().args(["repair", "--again"]).output().expect_code(0).says("will be run again");
    fs::write(files.path().join("05_five/migration.sql"), "insert into missing values (2);\n").unwrap();
    // Our own failure leaves no row: all of it is rolled back.
    run.output().expect_code(80).says("05_five/migration.sql:1:1");
    assert_ne!(prisma(files.path(), &database.url()).code, Some(0));
    run.clone().args(["repair", "--done"]).output().expect_code(0).says("is recorded as applied");
    up_to_date(files.path(), &database.url());
    run.output().expect_code(0).says("nothing pending");
    let rows = "select applied_steps_count, logs, case when rolled_back_at is null then 'kept' else 'rolled back' end \
                from _prisma_migrations where migration_name = '05_five' and (logs = '' or logs is null) order by 3";
    let ours = database.query(rows);
    // The tool writes the same row.
    database.query("delete from _prisma_migrations where migration_name = '05_five'");
    prisma_resolve_applied(files.path(), &database.url(), "05_five").expect_success();
    assert_eq!(database.query(rows), ours);
    run.output().expect_code(0).says("nothing pending");
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let files = directory(&PRISMA, &three()[..1]);
    let folder = files.path().join("02_two");
    fs::create_dir(&folder).unwrap();
    let write = |last: &str| {
        let text = format!("create table a (id integer);\nvacuum;\ncreate table b (id integer);\n{last};\n");
        fs::write(folder.join("migration.sql"), text).unwrap();
    };
    write("insert into missing values (1)");
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(81).says("02_two/migration.sql:4:1");
    // The tool stops, too, and says why.
    let stopped = prisma(files.path(), &database.url());
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    stopped.says("The `02_two` migration started at");
    write("insert into a values (1)");
    run.output().expect_code(0).says("up to date at 02_two");
    assert_eq!(database.query("select count(*) from a").trim(), "1");
    up_to_date(files.path(), &database.url());
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("printed");
    let files = directory(&PRISMA, &three());
    let run = lockkeeper(files.path(), &database.url());
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    up_to_date(files.path(), &database.url());
    assert!(database.has_table("five"));
    let printed = database.query(PRISMA.history);
    let other = D::create("tool");
    prisma(files.path(), &other.url()).expect_success();
    assert_eq!(printed, other.query(PRISMA.history));
    let back = run.clone().args(["downgrade", "--sql", "05_five:01_one"]).output();
    database.feed(&back.stdout).unwrap();
    assert!(!database.has_table("five"));
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    up_to_date(files.path(), &database.url());
    run.clone().args(["stamp", "01_one"]).output().expect_code(0);
    run.output().expect_code(0).says("up to date at 05_five: 2");
}

fn a_folder_without_a_script_is_refused<D: Database>() {
    let database = D::create("folder");
    let files = directory(&PRISMA, &three());
    fs::create_dir(files.path().join("04_empty")).unwrap();
    fs::write(files.path().join("README.md"), "not sql").unwrap();
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("04_empty: the folder has no file migration.sql");
}

fn migrations_for_another_kind_of_database_are_refused<D: Database>() {
    let database = D::create("provider");
    let files = directory(&PRISMA, &three());
    let lock = |provider: &str| {
        let text = format!("# Please do not edit this file manually\nprovider = \"{provider}\"\n");
        fs::write(files.path().join("migration_lock.toml"), text).unwrap();
    };
    let run = lockkeeper(files.path(), &database.url());
    lock("mysql");
    run.output().expect_code(65).says("migration_lock.toml:2: the migrations are for the provider \"mysql\"");
    lock(if D::DIALECT == "postgres" { "postgresql" } else { "sqlite" });
    run.output().expect_code(0).says("up to date at 05_five");
    up_to_date(files.path(), &database.url());
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let files = directory(&PRISMA, &three());
    let run = lockkeeper(files.path(), &database.url());
    run.clone().args(["revision", "-m", "add widgets"]).output().expect_code(0).says("_add_widgets/migration.sql");
    prisma(files.path(), &database.url()).expect_success().says("_add_widgets");
    run.output().expect_code(0).says("nothing pending");
}

/// What Prisma writes when a column changes. With foreign keys on, DROP TABLE would delete the rows of `child`.
#[test]
fn rebuilds_on_sqlite_keep_the_rows_that_refer_to_a_table() {
    let files = directory(&PRISMA, &[]);
    let add = |name: &str, text: &str| {
        fs::create_dir(files.path().join(name)).unwrap();
        fs::write(files.path().join(name).join("migration.sql"), text).unwrap();
    };
    add(
        "1_tables",
        "create table parent (id integer primary key);\ncreate table child (id integer primary key, parent integer references parent (id) on delete cascade);\n\
         insert into parent values (1), (2);\ninsert into child values (1, 1), (2, 2);\n",
    );
    add(
        "2_rebuild",
        "-- RedefineTables\nPRAGMA defer_foreign_keys=ON;\nPRAGMA foreign_keys=OFF;\ncreate table new_parent (id integer primary key, name text);\n\
         insert into new_parent (id) select id from parent;\ndrop table parent;\nalter table new_parent rename to parent;\n\
         PRAGMA foreign_keys=ON;\nPRAGMA defer_foreign_keys=OFF;\n",
    );
    add("3_cascade", "delete from parent where id = 2;\n");
    let rows = "select id from child order by id";
    let database = SqliteFile::create("tool");
    prisma(files.path(), &database.url()).expect_success();
    assert_eq!(database.query(rows), "1\n");
    let database = SqliteFile::create("ours");
    let run = lockkeeper(files.path(), &database.url());
    run.clone().args(["upgrade", "2_rebuild"]).output().expect_code(0);
    assert_eq!(database.query(rows), "1\n2\n");
    run.output().expect_code(0);
    assert_eq!(database.query(rows), "1\n");
    let database = SqliteFile::create("printed");
    let script = lockkeeper(files.path(), &database.url()).args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(database.query(rows), "1\n");
}

fn files_of_another_tool_beside_the_folders_are_not_passed_over<D: Database>() {
    let database = D::create("beside");
    let files = directory(&PRISMA, &[one(1, "one")]);
    fs::write(files.path().join("V2__two.sql"), "create table two (id integer);").unwrap();
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("several layouts fit this directory").says("prisma, refinery, flyway");
    assert!(!database.has_table("one"));
    run.env("LOCKKEEPER_LAYOUT", "prisma").output().expect_code(0).says("up to date at 01_one");
}
