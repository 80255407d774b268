//! Flyway, by the table, the rows and the rules in its sources: no registry has its program.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::lockkeeper;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(
    each_revision_has_a_row,
    the_table_and_the_rows_of_the_tool_are_continued,
    versions_up_to_a_baseline_are_applied,
    the_newest_row_of_a_version_counts,
    repeatable_migrations_run_when_their_text_has_changed,
    a_failed_row_is_explained_and_cleared_by_repair,
    a_late_or_edited_file_is_refused,
    a_script_without_a_transaction_goes_on_where_it_stopped,
    statements_of_both_kinds_need_a_setting,
    placeholders_have_their_values_from_the_environment,
    files_that_only_flyway_runs_are_refused_by_name,
    undo_scripts_are_down_scripts,
    a_printed_script_and_a_stamp_write_the_same_rows,
    the_table_of_an_early_release_has_to_be_named,
    a_new_revision_has_the_form_of_flyway,
);

const ONE: &str = "create table one (id integer);\n";
const TWO: &str = "create table two (id integer);\ninsert into two values (1);\n";
const TEN: &str = "create table ten (id integer);\n";

/// What Flyway's own CRC-32 gives these files: that of their lines without line ends.
const SUMS: [&str; 3] = ["583121257", "-936804233", "70629709"];

fn add(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (TempDir, Run) {
    let directory = temporary_directory("flyway");
    files.iter().for_each(|(name, text)| add(directory.path(), name, text));
    let run = lockkeeper(directory.path(), &database.url()).env("LOCKKEEPER_LAYOUT", "flyway");
    (directory, run)
}

const FILES: [(&str, &str); 3] = [("V1__one.sql", ONE), ("sub/deep/V1_1__two_words.sql", TWO), ("V010__ten.sql", TEN)];

fn rows<D: Database>(database: &D) -> String {
    database.query(
        "select installed_rank, version, description, type, script, checksum, case when success then 'yes' else 'no' end \
         from flyway_schema_history order by installed_rank",
    )
}

/// The rows after all of [`FILES`].
fn expected() -> String {
    let [one, two, ten] = SUMS;
    format!(
        "1|1|one|SQL|V1__one.sql|{one}|yes\n2|1.1|two words|SQL|sub/deep/V1_1__two_words.sql|{two}|yes\n3|010|ten|SQL|V010__ten.sql|{ten}|yes\n"
    )
}

/// The statements with which Flyway makes its table (`getRawCreateScript`).
fn make_table<D: Database>(database: &D, name: &str) {
    let (start, end) = match D::DIALECT {
        "postgres" => (
            "\"installed_on\" TIMESTAMP NOT NULL DEFAULT now(), \"execution_time\" INTEGER NOT NULL",
            format!("ALTER TABLE \"{name}\" ADD CONSTRAINT \"{name}_pk\" PRIMARY KEY (\"installed_rank\");"),
        ),
        _ => (
            "\"installed_on\" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f','now')), \"execution_time\" INT NOT NULL",
            String::new(),
        ),
    };
    let (key, integer) = if D::DIALECT == "postgres" { ("", "INTEGER") } else { (" PRIMARY KEY", "INT") };
    let table = format!(
        "CREATE TABLE \"{name}\" (\"installed_rank\" INT NOT NULL{key}, \"version\" VARCHAR(50), \"description\" VARCHAR(200) NOT NULL, \
         \"type\" VARCHAR(20) NOT NULL, \"script\" VARCHAR(1000) NOT NULL, \"checksum\" {integer}, \"installed_by\" VARCHAR(100) NOT NULL, \
         {start}, \"success\" BOOLEAN NOT NULL);\n{end}\nCREATE INDEX \"{name}_s_idx\" ON \"{name}\" (\"success\");\n"
    );
    database.feed(&table).unwrap();
}

/// Inserts a row as Flyway does; the values are SQL.
fn insert<D: Database>(database: &D, rank: u32, version: &str, kind: &str, checksum: &str, success: bool) {
    database.query(&format!(
        "insert into flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) \
         values ({rank}, {version}, 'words', '{kind}', 'script', {checksum}, 'app', 5, {success})"
    ));
}

fn each_revision_has_a_row<D: Database>() {
    let database = D::create("rows");
    let (files, run) = run_on(&database, &FILES);
    run.clone()
        .env("LOCKKEEPER_LAYOUT", "auto")
        .output()
        .expect_code(0)
        .says("the layout is flyway")
        .says("up to date at 010: 3");
    assert_eq!(rows(&database), expected());
    let by = database.query("select distinct installed_by from flyway_schema_history");
    assert_eq!(by.trim().is_empty(), D::DIALECT == "sqlite");
    let made = database.schema();
    let other = D::create("table");
    make_table(&other, "flyway_schema_history");
    if D::DIALECT == "postgres" {
        [ONE, TWO, TEN].iter().for_each(|text| other.feed(text).unwrap());
        assert_eq!(made, other.schema());
    }
    // A byte order mark and other line ends make no other checksum.
    add(files.path(), "V1__one.sql", "\u{feff}create table one (id integer);\r\n");
    add(files.path(), "sub/deep/V1_1__two_words.sql", "create table two (id integer);\r\ninsert into two values (1);");
    run.output().expect_code(0).says("nothing pending");
}

fn the_table_and_the_rows_of_the_tool_are_continued<D: Database>() {
    let database = D::create("continue");
    make_table(&database, "flyway_schema_history");
    insert(&database, 0, "null", "SCHEMA", "null", true);
    insert(&database, 1, "'1.0'", "SQL", SUMS[0], true);
    insert(&database, 2, "null", "SQL", "17", true);
    let (_files, run) = run_on(&database, &FILES);
    run.output().expect_code(0).says("up to date at 010: 2");
    assert!(!database.has_table("one") && database.has_table("ten"));
    let ranks =
        database.query("select installed_rank, version from flyway_schema_history where installed_rank > 2 order by 1");
    assert_eq!(ranks, "3|1.1\n4|010\n");
    run.clone().arg("check").output().expect_code(0);
    run.clone().arg("history").output().expect_code(0).says("two words");
}

fn versions_up_to_a_baseline_are_applied<D: Database>() {
    for (version, pending) in [("'1'", "2"), ("'1.1'", "1"), ("'9'", "1"), ("'11'", "")] {
        let database = D::create("baseline");
        make_table(&database, "flyway_schema_history");
        insert(&database, 1, version, "BASELINE", "null", true);
        let (files, run) = run_on(&database, &FILES);
        match pending {
            "" => run.output().expect_code(0).says("nothing pending"),
            pending => run.output().expect_code(0).says(&format!("up to date at 010: {pending}")),
        };
        // Files below the baseline do not count, whatever they have.
        add(files.path(), "V0.5__late.sql", "select 1;");
        add(files.path(), "V1__one.sql", "select 'edited';");
        run.output().expect_code(0).says("nothing pending");
        assert!(!database.has_table("one"));
        run.clone().args(["repair", "--yes"]).output().expect_code(0).says("nothing to repair");
    }
}

fn the_newest_row_of_a_version_counts<D: Database>() {
    for kind in ["UNDO_SQL", "DELETE"] {
        let database = D::create("newest");
        let (_files, run) = run_on(&database, &FILES);
        run.output().expect_code(0);
        insert(&database, 4, "'010'", kind, "null", true);
        database.query("drop table ten");
        run.clone().arg("check").output().expect_code(2).says("1 revision is pending");
        run.output().expect_code(0).says("up to date at 010: 1");
        run.output().expect_code(0).says("nothing pending");
        assert_eq!(database.query("select max(installed_rank) from flyway_schema_history"), "5\n");
    }
}

fn repeatable_migrations_run_when_their_text_has_changed<D: Database>() {
    let database = D::create("repeatable");
    let (files, run) = run_on(&database, &FILES);
    add(files.path(), "R__b_view.sql", "drop view if exists b;\ncreate view b as select id from a;\n");
    let sqlite = |text: &str| if D::DIALECT == "sqlite" { text.replace(" cascade", "") } else { text.into() };
    let a =
        |column: &str| sqlite(&format!("drop view if exists a cascade;\ncreate view a as select {column} from one;\n"));
    add(files.path(), "sub/R__A_view.sql", &a("id"));
    run.output().expect_code(0).says("3 revisions and 2 repeatable scripts applied");
    let repeatables =
        "select installed_rank, description, type, script from flyway_schema_history where version is null order by 1";
    assert_eq!(database.query(repeatables), "4|A view|SQL|sub/R__A_view.sql\n5|b view|SQL|R__b_view.sql\n");
    run.output().expect_code(0).says("nothing pending");
    // Flyway's own row of it counts, and each run adds one.
    let sum = database.query("select checksum from flyway_schema_history where installed_rank = 4");
    add(files.path(), "sub/R__A_view.sql", &a("id, 2 as two"));
    add(files.path(), "R__b_view.sql", "drop view if exists b;\ncreate view b as select two from a;\n");
    run.clone().arg("check").output().expect_code(2).says("2 repeatable scripts are pending");
    run.output().expect_code(0).says("2 repeatable scripts applied");
    assert_eq!(database.query("select two from b"), "");
    assert_eq!(database.query("select count(*) from flyway_schema_history"), "7\n");
    database.query(&format!(
        "insert into flyway_schema_history (installed_rank, description, type, script, checksum, installed_by, execution_time, success) \
         values (8, 'A view', 'SQL', 'sub/R__A_view.sql', {}, 'app', 5, true)",
        sum.trim()
    ));
    run.output().expect_code(0).says("1 repeatable script applied");
    // One that has failed runs again, and one whose file is gone does no harm.
    database.query("update flyway_schema_history set success = false where installed_rank = 9");
    run.output().expect_code(0).says("1 repeatable script applied");
    assert_eq!(database.query("select count(*) from flyway_schema_history where success"), "9\n");
    fs::remove_file(files.path().join("R__b_view.sql")).unwrap();
    run.output().expect_code(0).says("nothing pending");
    add(files.path(), "R__values.sql", "vacuum;");
    run.output().expect_code(65).says("R__values.sql: Lockkeeper runs a repeatable migration in a transaction");
}

fn a_failed_row_is_explained_and_cleared_by_repair<D: Database>() {
    let database = D::create("failed");
    let (_files, run) = run_on(&database, &FILES);
    run.clone().args(["upgrade", "1.1"]).output().expect_code(0);
    insert(&database, 3, "'010'", "SQL", "5", false);
    run.output().expect_code(65).says("revision 010 (V010__ten.sql) failed in another tool");
    run.clone().args(["repair", "--again"]).output().expect_code(0);
    run.output().expect_code(0).says("up to date at 010: 1");
    assert_eq!(rows(&database), expected());
    database.query("update flyway_schema_history set success = false where version = '010'");
    run.clone().args(["repair", "--done"]).output().expect_code(0);
    assert_eq!(rows(&database), expected());
}

fn a_late_or_edited_file_is_refused<D: Database>() {
    let database = D::create("late");
    let (files, run) = run_on(&database, &FILES);
    run.output().expect_code(0);
    add(files.path(), "V2__late.sql", "select 1;");
    run.output().expect_code(65).says("V2__late.sql is out of order: 010 is applied already");
    fs::remove_file(files.path().join("V2__late.sql")).unwrap();
    add(files.path(), "V1__one.sql", "select 1;");
    run.output().expect_code(65).says("V1__one.sql was edited after revision 1 was applied");
    run.clone().args(["repair", "--yes"]).output().expect_code(0);
    run.output().expect_code(0).says("nothing pending");
    add(files.path(), "V1.0__again.sql", "select 1;");
    run.output().expect_code(65).says("two files claim version 1");
}

fn a_script_without_a_transaction_goes_on_where_it_stopped<D: Database>() {
    let database = D::create("resume");
    let (files, run) = run_on(&database, &FILES[..1]);
    let write = |last: &str| {
        add(
            files.path(),
            "V2__two.sql",
            &format!("create table a (id integer);\ncreate table b (id integer);\n{last};\n"),
        );
    };
    add(files.path(), "V2__two.sql.conf", "# alone\nexecuteInTransaction=false\n");
    write("insert into missing values (1)");
    run.output().expect_code(81).says("V2__two.sql:3:1");
    // Flyway stops at such a row, too.
    assert!(rows(&database).contains("2|2|two|SQL|V2__two.sql|") && rows(&database).contains("|no\n"));
    write("insert into a values (1)");
    run.output().expect_code(0).says("up to date at 2");
    assert_eq!(database.query("select count(*) from a").trim(), "1");
    assert!(!rows(&database).contains("|no\n"));
    assert_eq!(database.query("select count(*) from flyway_schema_history"), "2\n");
}

fn statements_of_both_kinds_need_a_setting<D: Database>() {
    let database = D::create("mixed");
    let (files, run) = run_on(&database, &FILES[..1]);
    let refusing = if D::DIALECT == "postgres" {
        "create index concurrently i on one (id);\n"
    } else {
        "pragma foreign_keys = on;\n"
    };
    add(files.path(), "V2__alone.sql", refusing);
    run.output().expect_code(0).says("up to date at 2");
    add(
        files.path(),
        "V3__mixed.sql",
        &format!("create table three (id integer);\n\n{}", refusing.replace(" i ", " j ")),
    );
    let refused = run.output();
    refused.expect_code(65).says("V3__mixed.sql: line 3: only some of the statements refuse transactions");
    assert!(!database.has_table("three"));
    add(files.path(), "V3__mixed.sql.conf", "executeInTransaction=false");
    run.output().expect_code(0).says("up to date at 3");
    add(files.path(), "V3__mixed.sql.conf", "executeInTransaction=false\nshouldExecute=x\n");
    run.output().expect_code(65).says("V3__mixed.sql.conf:2: Lockkeeper does not have the setting shouldExecute");
}

fn placeholders_have_their_values_from_the_environment<D: Database>() {
    let database = D::create("placeholders");
    let (files, run) = run_on(&database, &FILES[..1]);
    let two = "create table ${prefix}_two (id integer);\ninsert into ${PREFIX}_two values (${count});\n-- ${prefix}\n";
    add(files.path(), "V2__two.sql", two);
    let refused = run.clone().env("FLYWAY_PLACEHOLDERS_PREFIX", "secretive").output();
    refused.expect_code(65);
    refused
        .says("V2__two.sql:2: the variable count has no value: set the environment variable FLYWAY_PLACEHOLDERS_COUNT");
    assert!(!database.has_table("one"));
    let given = run.clone().env("FLYWAY_PLACEHOLDERS_PREFIX", "secretive").env("FLYWAY_PLACEHOLDERS_COUNT", "7");
    given.output().expect_code(0).does_not_say("secretive");
    assert_eq!(database.query("select id from secretive_two"), "7\n");
    // The checksum is that of the file, and an applied file needs no values.
    run.output().expect_code(0).says("nothing pending");
    add(files.path(), "V3__three.sql", "select 1;\nselect '${flyway:timestamp}';");
    run.output()
        .expect_code(65)
        .says("V3__three.sql: line 2: Lockkeeper has no value for Flyway's own placeholder ${flyway:timestamp}");
    add(files.path(), "V3__three.sql.conf", "placeholderReplacement=false");
    run.output().expect_code(0).says("up to date at 3");
}

fn files_that_only_flyway_runs_are_refused_by_name<D: Database>() {
    let database = D::create("refused");
    for (name, reason) in [
        ("R__View.java", "it is a program"),
        ("beforeMigrate.sql", "callbacks"),
        ("sub/afterEachMigrate__x.sql", "callbacks"),
        ("B1__all.sql", "baseline migrations"),
        ("V2_two.sql", "its name has to have the form V1.2__description.sql"),
        ("U7__seven.sql", "a down script without its up script"),
    ] {
        let (_files, run) = run_on(&database, &[FILES[0], (name, "select 1;")]);
        run.output().expect_code(65).says(&format!("{name}: ")).says(reason);
    }
    for name in ["V2__Two.java", "V2__two.sh", "db/V2__Two.class"] {
        let (_files, run) = run_on(&database, &[FILES[0], (name, "")]);
        run.output().expect_code(65).says(&format!("{name}: it is a program, which only Flyway can run"));
        assert!(!database.has_table("one"));
    }
    let ignored = [FILES[0], ("README.md", "x"), ("data.sql", "x"), ("afterClean.sql", "x"), ("v2__two.sql", "x")];
    let (_files, run) = run_on(&database, &ignored);
    run.output().expect_code(0).says("up to date at 1: 1");
}

fn undo_scripts_are_down_scripts<D: Database>() {
    let database = D::create("undo");
    let (_files, run) = run_on(&database, &[FILES[0], FILES[2], ("U10__ten.sql", "drop table ten;")]);
    run.output().expect_code(0);
    run.clone().args(["downgrade", "-1"]).output().expect_code(0);
    assert!(!database.has_table("ten"));
    assert_eq!(database.query("select version from flyway_schema_history"), "1\n");
    run.output().expect_code(0).says("up to date at 010: 1");
    let back = run.clone().args(["downgrade", "--sql", "10:1"]).output();
    database.feed(&back.stdout).unwrap();
    assert_eq!(database.query("select version from flyway_schema_history"), "1\n");
    run.clone().args(["downgrade", "base"]).output().expect_code(65).says("V1__one.sql cannot be undone");
}

fn a_printed_script_and_a_stamp_write_the_same_rows<D: Database>() {
    let database = D::create("printed");
    let (_files, run) = run_on(&database, &FILES);
    let script = run.clone().args(["upgrade", "base:head", "--sql"]).output();
    database.feed(&script.stdout).unwrap();
    assert_eq!(rows(&database), expected());
    assert!(database.has_table("ten"));
    database.query("delete from flyway_schema_history where installed_rank > 1");
    run.clone().args(["stamp", "head"]).output().expect_code(0);
    assert_eq!(rows(&database), expected());
    run.clone().args(["stamp", "1"]).output().expect_code(0);
    assert_eq!(database.query("select version from flyway_schema_history"), "1\n");
    // A script that was printed behind a baseline expects no row of what is below.
    database.query("delete from flyway_schema_history");
    insert(&database, 1, "'1.1'", "BASELINE", "null", true);
    database.query("drop table ten");
    let script = run.clone().args(["upgrade", "--sql"]).output();
    script.expect_code(0);
    database.feed(&script.stdout).unwrap();
    assert!(database.has_table("ten"));
    run.output().expect_code(0).says("nothing pending");
}

fn the_table_of_an_early_release_has_to_be_named<D: Database>() {
    let database = D::create("early");
    make_table(&database, "schema_version");
    let (_files, run) = run_on(&database, &FILES);
    run.output().expect_code(78).says("schema_version");
    assert!(!database.has_table("one"));
    let named = run.env("LOCKKEEPER_HISTORY_TABLE", "schema_version");
    named.output().expect_code(0).says("up to date at 010: 3");
    assert_eq!(database.query("select count(*) from schema_version"), "3\n");
    assert!(!database.has_table("flyway_schema_history"));
}

fn a_new_revision_has_the_form_of_flyway<D: Database>() {
    let database = D::create("new");
    let (files, run) = run_on(&database, &FILES);
    run.clone().args(["revision", "-m", "add widgets"]).output().expect_code(0).says("V011__add_widgets.sql");
    fs::write(files.path().join("V011__add_widgets.sql"), "create table widgets (id integer);").unwrap();
    run.output().expect_code(0).says("up to date at 011: 4");
}
