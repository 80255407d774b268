//! sqlx, with its own tool.

use super::traps::Trap;
use super::{Tool, directory, each_continues_the_other, lockkeeper};
use crate::support::either::Database;
use crate::support::other_tools::{self, Step};

const SQLX: Tool = Tool {
    files: |trap| {
        let Trap { number, name, up, down, refuses_transactions, .. } = trap;
        let mark = if *refuses_transactions { "-- no-transaction\n" } else { "" };
        match number % 2 {
            0 => vec![(format!("{number}_{name}.sql"), format!("{mark}{up}"))],
            _ => vec![
                (format!("{number:04}_{name}.up.sql"), format!("{mark}{up}")),
                (format!("{number:04}_{name}.down.sql"), format!("{mark}{down}")),
            ],
        }
    },
    runs: |trap, dialect| !(trap.has_brackets && dialect == "sqlite"),
    up: |directory, url| other_tools::sqlx(directory, url, Step::Up),
    found_nothing: |run| run.output.is_empty(),
    history: "select version, description, success, checksum from _sqlx_migrations order by version",
    table: "_sqlx_migrations",
    layout: "sqlx",
};

on_either!(
    each_continues_what_the_other_began,
    each_undoes_what_the_other_did,
    a_late_file_is_applied,
    an_edited_file_is_named,
    a_row_without_success_is_explained_and_cleared_by_repair,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    a_script_whose_row_was_removed_begins_anew,
    a_revision_that_the_tool_applies_meanwhile_is_not_applied_twice,
    a_name_without_a_number_is_refused,
    a_new_revision_is_one_of_the_tool,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&SQLX);
}

/// The first migrations, of which each has a down script.
fn three() -> Vec<Trap> {
    let trap = |number, name, up: &str, down: &str| Trap {
        number,
        name,
        up: up.into(),
        down: down.into(),
        refuses_transactions: false,
        has_brackets: false,
    };
    vec![
        trap(1, "one", "create table one (id integer);\n", "drop table one;\n"),
        trap(3, "three", "create table three (id integer);\n", "drop table three;\n"),
        trap(5, "five", "create table five (id integer);\n", "drop table five;\n"),
    ]
}

fn each_undoes_what_the_other_did<D: Database>() {
    let database = D::create("undo");
    let files = directory(&SQLX, &three());
    (SQLX.up)(files.path(), &database.url()).expect_success();
    lockkeeper(files.path(), &database.url()).args(["downgrade", "3"]).output().expect_code(0);
    assert!(!database.has_table("five") && database.has_table("three"));
    (SQLX.up)(files.path(), &database.url()).expect_success().says("Applied 5/migrate five");
    lockkeeper(files.path(), &database.url()).args(["downgrade", "base"]).output().expect_code(0);
    lockkeeper(files.path(), &database.url()).output().expect_code(0).says("up to date at 5: 3 revisions applied");
    other_tools::sqlx(files.path(), &database.url(), Step::Down).expect_success();
    lockkeeper(files.path(), &database.url()).arg("check").output().expect_code(2).says("1 revision is pending");
}

fn a_late_file_is_applied<D: Database>() {
    let database = D::create("late");
    let all = three();
    let files = directory(&SQLX, &[all[0].clone(), all[2].clone()]);
    (SQLX.up)(files.path(), &database.url()).expect_success();
    super::write(files.path(), &SQLX, &all);
    lockkeeper(files.path(), &database.url()).output().expect_code(0).says("applied 0003_three.up.sql");
    assert!((SQLX.found_nothing)(&(SQLX.up)(files.path(), &database.url())));
}

fn an_edited_file_is_named<D: Database>() {
    let database = D::create("edited");
    let files = directory(&SQLX, &three());
    (SQLX.up)(files.path(), &database.url()).expect_success();
    std::fs::write(files.path().join("0003_three.up.sql"), "create table three (id integer);\r\n").unwrap();
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("0003_three.up.sql was edited after revision 3 was applied");
    run.clone().args(["repair", "--yes"]).output().expect_code(0);
    run.output().expect_code(0).says("nothing pending");
    (SQLX.up)(files.path(), &database.url()).expect_success();
}

fn a_row_without_success_is_explained_and_cleared_by_repair<D: Database>() {
    let database = D::create("dirty");
    let files = directory(&SQLX, &three());
    (SQLX.up)(files.path(), &database.url()).expect_success();
    database.query("update _sqlx_migrations set success = false where version = 5");
    let run = lockkeeper(files.path(), &database.url());
    run.output().expect_code(65).says("revision 5 (0005_five.up.sql) failed in another tool");
    run.clone().arg("history").output().expect_code(0).says("failed");
    run.clone().args(["repair", "--done"]).output().expect_code(0);
    run.output().expect_code(0).says("nothing pending");
    assert!((SQLX.found_nothing)(&(SQLX.up)(files.path(), &database.url())));
    database.query("update _sqlx_migrations set success = false where version = 5");
    database.query("drop table five");
    run.clone().args(["repair", "--again"]).output().expect_code(0);
    run.output().expect_code(0).says("applied 0005_five.up.sql");
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let files = directory(&SQLX, &three()[..1]);
    let write = |last: &str| {
        let text = format!("-- no-transaction\ncreate table a (id integer);\ncreate table b (id integer);\n{last};\n");
        std::fs::write(files.path().join("2_two.sql"), text).unwrap();
    };
    write("insert into missing values (1)");
    let run = lockkeeper(files.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "sqlx");
    run.output().expect_code(81).says("2_two.sql:4:1");
    // The tool stops, too, and says why.
    let stopped = (SQLX.up)(files.path(), &database.url());
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    stopped.says("migration 2 is partially applied");
    write("insert into a values (1)");
    run.output().expect_code(0).says("up to date at 2");
    assert_eq!(database.query("select count(*) from a").trim(), "1");
    assert!((SQLX.found_nothing)((SQLX.up)(files.path(), &database.url()).expect_success()));
}

/// sqlx advises to undo what is done by hand and to remove the row.
fn a_script_whose_row_was_removed_begins_anew<D: Database>() {
    let database = D::create("anew");
    let files = directory(&SQLX, &three()[..1]);
    let write = |last: &str| {
        let text = format!("-- no-transaction\ncreate table a (id integer);\ncreate table b (id integer);\n{last};\n");
        std::fs::write(files.path().join("2_two.sql"), text).unwrap();
    };
    write("insert into missing values (1)");
    let run = lockkeeper(files.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "sqlx");
    run.output().expect_code(81).says("2_two.sql:4:1");
    for undo in ["drop table a", "drop table b", "delete from _sqlx_migrations where version = 2"] {
        database.query(undo);
    }
    write("insert into a values (1)");
    run.clone().arg("check").output().expect_code(2);
    run.output().expect_code(0).says("up to date at 2");
    assert!(database.has_table("a") && database.has_table("b"));
    assert_eq!(database.query("select count(*) from a").trim(), "1");
}

/// The tool takes no lock: its row comes while the script of the same revision runs.
fn a_revision_that_the_tool_applies_meanwhile_is_not_applied_twice<D: Database>() {
    let database = D::create("meanwhile");
    let files = directory(&SQLX, &three()[..1]);
    let checksum = if D::DIALECT == "postgres" { "'\\x00'" } else { "x'00'" };
    let script = format!(
        "create table effects (id integer);\ninsert into effects values (1);\n\
         insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (2, 'two', true, {checksum}, 1);\n"
    );
    std::fs::write(files.path().join("2_two.sql"), script).unwrap();
    let run = lockkeeper(files.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "sqlx");
    run.output().expect_code(80).says("_sqlx_migrations").says("it was rolled back");
    assert!(!database.has_table("effects"));
}

fn a_name_without_a_number_is_refused<D: Database>() {
    let database = D::create("names");
    let files = directory(&SQLX, &three());
    std::fs::write(files.path().join("x_y.sql"), "select 1;").unwrap();
    let run = lockkeeper(files.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "sqlx");
    run.output().expect_code(65).says("x_y.sql: its name has to begin with a number");
    std::fs::remove_file(files.path().join("x_y.sql")).unwrap();
    // The tool ignores these.
    for ignored in ["schema.sql", "5.sql", "README.md", "3_x.SQL"] {
        std::fs::write(files.path().join(ignored), "not sql").unwrap();
    }
    run.output().expect_code(0).says("up to date at 5");
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let files = directory(&SQLX, &three());
    let run = lockkeeper(files.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "sqlx");
    run.clone().args(["revision", "-m", "add widgets"]).output().expect_code(0).says("0006_add_widgets.up.sql");
    (SQLX.up)(files.path(), &database.url()).expect_success().says("Applied 6/migrate add widgets");
    run.output().expect_code(0).says("nothing pending, the database is at 6");
}
