//! sql-migrate, with its own tool.

use std::fs;

use super::traps::Trap;
use super::{Tool, each_continues_the_other, lockkeeper};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::other_tools::{self, Step};
use crate::support::temporary_directory;

const SQL_MIGRATE: Tool = Tool {
    files: |trap| {
        let Trap { number, name, up, down, refuses_transactions, .. } = trap;
        let option = if *refuses_transactions { " notransaction" } else { "" };
        // Without these lines, the tool ends a statement at each line that ends with a semicolon.
        let whole = |text: &str| match number % 2 == 0 || text.matches('\n').count() > 1 || !text.ends_with(";\n") {
            true => format!("-- +migrate StatementBegin\n{text}\n-- +migrate StatementEnd\n"),
            false => text.to_owned(),
        };
        let text = format!("-- +migrate Up{option}\n{}\n-- +migrate Down{option}\n{}", whole(up), whole(down));
        vec![(format!("{number}_{name}.sql"), text)]
    },
    // sql-migrate loses its transaction.
    runs: |trap, _| !trap.has_brackets,
    up: |directory, url| other_tools::sql_migrate(directory, url, Step::Up),
    found_nothing: |run| run.output.contains("Applied 0 migrations"),
    history: "select id from gorp_migrations order by id",
    table: "gorp_migrations",
    layout: "sql-migrate",
};

on_either!(
    each_continues_what_the_other_began,
    each_undoes_what_the_other_did,
    versions_are_the_names_in_the_order_of_the_tool,
    a_late_file_is_applied,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    lines_that_sql_migrate_refuses_are_refused,
    a_printed_script_and_a_stamp_write_the_rows_of_the_tool,
    a_new_revision_is_one_of_the_tool,
);

fn each_continues_what_the_other_began<D: Database>() {
    each_continues_the_other::<D>(&SQL_MIGRATE);
}

fn file(table: &str) -> String {
    format!("\n-- +migrate Up\ncreate table {table} (id integer);\n-- +migrate Down\ndrop table {table};\n")
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (tempfile::TempDir, Run) {
    let directory = temporary_directory("sqlmigrate");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let run = lockkeeper(directory.path(), &database.url());
    (directory, run)
}

fn rows<D: Database>(database: &D) -> String {
    database.query(SQL_MIGRATE.history)
}

fn each_undoes_what_the_other_did<D: Database>() {
    let database = D::create("undo");
    let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("2_two.sql", &file("two"))]);
    (SQL_MIGRATE.up)(files.path(), &database.url()).expect_success();
    let history = run.clone().arg("history").output();
    history.expect_code(0).says("the layout is sql-migrate").says("2_two.sql");
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert!(!database.has_table("two") && database.has_table("one"));
    assert_eq!(rows(&database), "1_one.sql\n");
    run.output().expect_code(0).says("up to date at 2_two.sql: 1");
    other_tools::sql_migrate(files.path(), &database.url(), Step::Down).expect_success();
    assert!(!database.has_table("two"));
    run.clone().arg("check").output().expect_code(2).says("1 revision is pending");
    // The beginning of a name names the revision.
    run.clone().args(["upgrade", "2_"]).output().expect_code(0);
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert_eq!(rows(&database), "");
}

/// Numbers come first and are compared as numbers, then names are compared.
fn versions_are_the_names_in_the_order_of_the_tool<D: Database>() {
    let names = ["10_a.sql", "2_a.sql", "x.sql", "02_b.sql", "a1.sql", ".hidden.sql", "it's 7.sql"];
    let insert =
        |name: &str| format!("-- +migrate Up\ninsert into v values ('{}');\n", name.replace('\'', "''").to_owned());
    let mut files: Vec<(&str, String)> = names.map(|name| (name, insert(name))).to_vec();
    files.push(("0.sql", "-- +migrate Up\ncreate table v (n varchar(20));\n".into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let (ours, tools) = (D::create("ours"), D::create("tools"));
    let (directory, run) = run_on(&ours, &files);
    run.output().expect_code(0);
    (SQL_MIGRATE.up)(directory.path(), &tools.url()).expect_success();
    let order = "select n from v";
    assert_eq!(ours.query(order), "02_b.sql\n2_a.sql\n10_a.sql\n.hidden.sql\na1.sql\nit's 7.sql\nx.sql\n");
    assert_eq!(ours.query(order), tools.query(order));
    assert_eq!(rows(&ours), rows(&tools));
    assert!((SQL_MIGRATE.found_nothing)(&(SQL_MIGRATE.up)(directory.path(), &ours.url())));
    run.output().expect_code(0).says("nothing pending");
    run.clone().args(["downgrade", "-1"]).output().expect_code(65).says("x.sql");
    fs::write(directory.path().join("99999999999999999999_x.sql"), insert("")).unwrap();
    run.output().expect_code(65).says("99999999999999999999_x.sql: its name has to begin with a number of 64 bits");
}

fn a_late_file_is_applied<D: Database>() {
    let database = D::create("late");
    let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("3_three.sql", &file("three"))]);
    (SQL_MIGRATE.up)(files.path(), &database.url()).expect_success();
    fs::write(files.path().join("2_two.sql"), file("two")).unwrap();
    run.output().expect_code(0).says("applied 2_two.sql");
    assert!((SQL_MIGRATE.found_nothing)((SQL_MIGRATE.up)(files.path(), &database.url()).expect_success()));
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let text = |last: &str| {
        format!(
            "-- +migrate Up notransaction\ncreate table a (id integer);\ncreate table b (id integer);\n{last};\n-- +migrate Down notransaction\ndrop table a;\ndrop table b;\n"
        )
    };
    let (files, run) = run_on(&database, &[("1_it's.sql", &text("insert into missing values (1)"))]);
    run.output().expect_code(81).says("1_it's.sql:4:1");
    assert_eq!(rows(&database), "");
    run.clone().arg("history").output().expect_code(0).says("partial");
    fs::write(files.path().join("1_it's.sql"), text("insert into b values (1)")).unwrap();
    run.output().expect_code(0).says("up to date at 1_it's.sql");
    assert_eq!(database.query("select count(*) from b").trim(), "1");
    assert!((SQL_MIGRATE.found_nothing)((SQL_MIGRATE.up)(files.path(), &database.url()).expect_success()));
    run.clone().args(["downgrade", "base"]).output().expect_code(0);
    assert!(!database.has_table("a") && !database.has_table("b"));
}

fn lines_that_sql_migrate_refuses_are_refused<D: Database>() {
    let database = D::create("refused");
    let open = "the statement that begins on line 2 is not ended: sql-migrate needs a semicolon";
    let refused_by_both = [
        ("-- +migrate Up\nselect 1\n-- +migrate Down\n", format!("2_x.sql:3: {open}")),
        ("-- +migrate Up\nselect 1; select 2\n", format!("2_x.sql:2: {open}")),
        (
            "-- +migrate Up\n-- +migrate StatementBegin\nselect 1;\n",
            "2_x.sql:2: -- +migrate StatementBegin has no".into(),
        ),
        ("-- +migrate \n", "2_x.sql:1: the command of sql-migrate is missing".into()),
        ("-- nothing\n", "2_x.sql: the line -- +migrate Up is missing".into()),
    ];
    for (text, problem) in refused_by_both {
        let (files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("2_x.sql", text)]);
        run.output().expect_code(65).says(&problem);
        (SQL_MIGRATE.up)(files.path(), &D::create("tool").url()).says("Error while parsing 2_x.sql");
    }
    // The tool ignores these lines, and with them what somebody has meant to run.
    for (text, problem) in [
        ("-- +migrate up\nselect 1;\n", "2_x.sql:1: \"up\" is no command of sql-migrate"),
        ("select 1;\n-- +migrate Up\n", "2_x.sql:1: there is SQL before the line -- +migrate Up"),
        ("-- +migrate Down\nselect 1;\n", "2_x.sql: the line -- +migrate Up is missing"),
        ("-- +migrate Up\n-- +migrate Down\n-- +migrate Up\n", "2_x.sql:3: a second section of the same direction"),
    ] {
        let (_files, run) = run_on(&database, &[("1_one.sql", &file("one")), ("2_x.sql", text)]);
        run.output().expect_code(65).says(problem);
    }
    assert!(!database.has_table("one"));
}

fn a_printed_script_and_a_stamp_write_the_rows_of_the_tool<D: Database>() {
    let database = D::create("sql");
    let (files, run) = run_on(&database, &[("01_one.sql", &file("one")), ("2-two's.sql", &file("two"))]);
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), "01_one.sql\n2-two's.sql\n");
    assert!((SQL_MIGRATE.found_nothing)((SQL_MIGRATE.up)(files.path(), &database.url()).expect_success()));
    let back = run.clone().args(["downgrade", "--sql", "2-two's.sql:01_one.sql"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(rows(&database), "01_one.sql\n");
    assert!(!database.has_table("two"));
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), "01_one.sql\n2-two's.sql\n");
}

fn a_new_revision_is_one_of_the_tool<D: Database>() {
    let database = D::create("new");
    let (files, run) = run_on(&database, &[("20260101000000-one.sql", &file("one"))]);
    run.clone().args(["revision", "-m", "Add widgets"]).output().expect_code(0).says("-add_widgets.sql");
    let mut names: Vec<String> =
        fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let text = fs::read_to_string(files.path().join(&names[1])).unwrap();
    assert_eq!(text, "\n-- +migrate Up\n\n-- +migrate Down\n");
    (SQL_MIGRATE.up)(files.path(), &database.url()).expect_success().says("Applied 2 migrations");
    run.output().expect_code(0).says("nothing pending");
}
