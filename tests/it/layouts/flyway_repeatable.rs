//! Flyway's repeatable migrations, by the rows and the rules in its sources.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::lockkeeper;
use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(
    they_run_after_the_versions_and_again_when_they_change,
    rows_of_the_tool_are_continued,
    a_placeholder_is_part_of_the_checksum,
    a_failed_attempt_is_repeated,
    a_printed_script_has_them,
    what_cannot_run_is_refused_by_name,
);

const ONE: (&str, &str) = ("V1__one.sql", "create table one (id integer);\n");
const COUNTS: (&str, &str) =
    ("views/R__the_counts.sql", "drop view if exists counts;\ncreate view counts as select count(*) as n from one;\n");
const WORDS: (&str, &str) =
    ("R__words.sql", "drop view if exists names;\ncreate view names as select '${greeting}' as word from one;\n");

/// The checksums that Flyway computes: of the first file, and of the second one with the values `Hello` and `Bye`.
const SUMS: [&str; 3] = ["604394712", "63046966", "-751149309"];

fn add(directory: &Path, (name, text): (&str, &str)) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).expect("a migration");
}

fn run_on<D: Database>(database: &D, files: &[(&str, &str)]) -> (TempDir, Run) {
    let directory = temporary_directory("flyway");
    files.iter().for_each(|file| add(directory.path(), *file));
    let run = lockkeeper(directory.path(), &database.url()).env("FLYWAY_PLACEHOLDERS_GREETING", "Hello");
    (directory, run)
}

fn rows<D: Database>(database: &D) -> String {
    database.query(
        "select installed_rank, coalesce(version, 'none'), description, type, script, checksum, case when success then 'yes' else 'no' end \
         from flyway_schema_history where version is null order by installed_rank",
    )
}

fn they_run_after_the_versions_and_again_when_they_change<D: Database>() {
    let database = D::create("repeat");
    let (files, run) = run_on(&database, &[ONE, COUNTS, WORDS]);
    let [counts, hello, _] = SUMS;
    expect_end(&run, 0, &["up to date at 1: 1 revision and 2 repeatable scripts applied"]).says("the layout is flyway");
    let first = format!(
        "2|none|the counts|SQL|views/R__the_counts.sql|{counts}|yes\n3|none|words|SQL|R__words.sql|{hello}|yes\n"
    );
    assert_eq!(rows(&database), first);
    assert!(!database.has_table("flyway_schema_history_journal"));
    expect_end(&run, 0, &["nothing pending"]);
    add(files.path(), (COUNTS.0, &COUNTS.1.replace("count(*)", "1 + count(*)")));
    expect_end(&run.clone().arg("check"), 2, &["1 repeatable script is pending"]);
    let listed = run.clone().arg("history").output();
    listed.expect_code(0).says("R__the_counts").says("R__words");
    expect_end(&run, 0, &["1 repeatable script applied"]);
    assert!(rows(&database).starts_with(&first), "a row is added, none is replaced");
    assert_eq!(rows(&database).lines().count(), 3);
    expect_end(&run, 0, &["nothing pending"]);
    assert_eq!(database.query("select n from counts"), "1\n");
}

fn rows_of_the_tool_are_continued<D: Database>() {
    let database = D::create("tool");
    let (_files, run) = run_on(&database, &[ONE, COUNTS, WORDS]);
    expect_end(&run, 0, &["up to date at 1"]);
    // Flyway has an older attempt at one, and knows another that is gone.
    let insert = |rank: i32, description: &str, kind: &str, sum: &str| {
        database.query(&format!(
            "insert into flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) \
             values ({rank}, null, '{description}', '{kind}', 'script', {sum}, 'app', 5, true)"
        ));
    };
    insert(-1, "words", "SQL", "1");
    insert(10, "gone", "SQL", "2");
    insert(11, "words", "JDBC", "3");
    expect_end(&run, 0, &["nothing pending"]);
    insert(12, "words", "SQL", "4");
    expect_end(&run, 0, &["1 repeatable script applied"]).says("applied R__words.sql");
    assert!(rows(&database).contains("13|none|words|SQL|R__words.sql|"));
    // Such a row is left by flyway repair when the file is gone for a while.
    insert(14, "words", "DELETE", "4");
    expect_end(&run.clone().arg("check"), 2, &["1 repeatable script is pending"]);
    expect_end(&run, 0, &["1 repeatable script applied"]).says("applied R__words.sql");
    expect_end(&run, 0, &["nothing pending"]);
}

fn a_placeholder_is_part_of_the_checksum<D: Database>() {
    let database = D::create("placeholder");
    let (files, run) = run_on(&database, &[ONE, WORDS]);
    expect_end(&run, 0, &["1 revision and 1 repeatable script applied"]);
    let other = run.clone().env("FLYWAY_PLACEHOLDERS_GREETING", "Bye");
    expect_end(&other, 0, &["1 repeatable script applied"]);
    assert!(rows(&database).contains(&format!("|R__words.sql|{}|yes", SUMS[2])), "{}", rows(&database));
    let without = lockkeeper(files.path(), &database.url());
    without.output().expect_code(65).says("R__words.sql:2: the variable greeting has no value");
}

fn a_failed_attempt_is_repeated<D: Database>() {
    let database = D::create("failed");
    let (files, run) =
        run_on(&database, &[ONE, (COUNTS.0, "create table made (id integer);\nselect * from missing;\n")]);
    expect_end(&run, 80, &["views/R__the_counts.sql:2"]);
    assert!(!database.has_table("made"));
    assert_eq!(rows(&database), "");
    // On a database without transactional DDL, Flyway leaves such a row.
    database.query(
        "insert into flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) \
         values (2, null, 'the counts', 'SQL', 'views/R__the_counts.sql', 1, 'app', 5, false)",
    );
    add(files.path(), COUNTS);
    expect_end(&run, 0, &["1 repeatable script applied"]);
    assert_eq!(rows(&database).lines().count(), 1);
}

fn a_printed_script_has_them<D: Database>() {
    let database = D::create("printed");
    let (files, run) = run_on(&database, &[ONE, COUNTS, WORDS]);
    for expected in [2, 3] {
        let script = run.clone().args(["upgrade", "--sql"]).output();
        database.feed(&script.expect_code(0).stdout).expect("the printed script");
        expect_end(&run, 0, &["nothing pending"]);
        assert_eq!(rows(&database).lines().count(), expected);
        add(files.path(), (COUNTS.0, &format!("-- again\n{}", COUNTS.1)));
    }
}

fn what_cannot_run_is_refused_by_name<D: Database>() {
    let database = D::create("refused");
    for (name, text, problem) in [
        ("R__x.sql", "vacuum;", "R__x.sql: Lockkeeper runs a repeatable migration in a transaction"),
        ("R__x.java", "", "R__x.java: it is a program, which only Flyway can run"),
        ("sub/R__the_counts.sql", "select 1;", "two repeatable migrations have the description \"the counts\""),
    ] {
        let (_files, run) = run_on(&database, &[ONE, COUNTS, (name, text)]);
        run.output().expect_code(65).says(problem);
    }
    assert!(!database.has_table("one"));
}
