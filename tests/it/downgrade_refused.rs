//! Tests of downgrades that are refused: all problems of the range are reported at once, before the first revision is
//! undone.

use crate::contract::{expect_end, remove, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied};
use crate::support::binary::Run;
use crate::support::either::Database;

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

/// One message names every revision of the range that has no down migration.
fn every_revision_without_a_down_migration_is_named_before_the_first_is_undone<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &FIVE).migrations(&[
        ("0002_two.up.sql", "-- irreversible: the rows of one are merged\ncreate table two (id integer);\n"),
        ("0003_three.down.sql", "-- irreversible: nobody knows\ndrop table three;\n"),
        ("0004_four.down.sql", "-- to be written\n"),
    ]);
    remove(&run, "0001_one.down.sql");
    expect_end(&run, 0, &["up to date at 0005"]);
    let parts = [
        "0004_four.down.sql holds no statement that undoes revision 0004",
        "say why there is none with -- irreversible:",
        "0003_three.down.sql is irreversible: nobody knows",
        "0002_two.up.sql is irreversible: the rows of one are merged",
        "0001_one.up.sql cannot be undone: there is no down script of revision 0001",
        "nothing was changed",
        "try:",
    ];
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    expect_end(&downgrade(&run, "base"), 65, &parts);
    expect_end(&downgrade(&run, "-3"), 65, &parts[..3]).does_not_say("0002_two").does_not_say("0001_one");
    expect_applied(&database, &ALL);
    assert!(!run.dir().join("safe").exists(), "a backup for nothing");
    // The revisions before them can be undone.
    expect_end(&downgrade(&run, "-1").env("LOCKKEEPER_BACKUP", "off"), 0, &["up to date at 0004: 1 revision undone"]);
    expect_applied(&database, &ALL[..4]);
}

/// The reason may be given in an up file that has no down file at all.
fn an_irreversible_revision_needs_no_file<D: Database>() {
    let database = D::create("either");
    let one = ("0001_one.sql", "-- irreversible: it deletes\ncreate table one (id integer);");
    let run = run_on(&database, &[one]);
    expect_end(&run, 0, &[]);
    let finished = expect_end(&downgrade(&run, "-1"), 65, &["0001_one.sql is irreversible: it deletes"]);
    finished.does_not_say("no .down.sql");
    expect_applied(&database, &ALL[..1]);
}

/// An empty down file undoes an up file without statements.
fn an_empty_down_migration_undoes_an_empty_up_migration<D: Database>() {
    let database = D::create("either");
    let files = [("0001_merge.up.sql", "-- joins two branches\n"), ("0001_merge.down.sql", "-- parts them\n")];
    let run = run_on(&database, &files);
    expect_end(&run, 0, &[]);
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 1 revision undone"]);
}

fn invalid_down_statements_are_found_before_the_first_is_undone<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    let run = run.migrations(&[
        ("0005_five.down.sql", "drop table five;\n"),
        ("0004_four.down.sql", "drop table four;\ncommit;\n"),
        ("0003_three.down.sql", "\nvacuum;\n"),
        ("0002_two.down.sql", "drop table two;\nselect 'never ends;\n"),
        ("0001_one.down.sql", "-- lock-timeout: soon\ndrop table one;\n"),
    ]);
    let parts = [
        "0004_four.down.sql:2:1: ",
        "remove BEGIN, COMMIT and ROLLBACK",
        "0003_three.down.sql:2:1: ",
        "add the line `-- no-transaction`",
        "0002_two.down.sql:2:8: this string never ends",
        "0001_one.down.sql:1: ",
        "nothing was changed",
    ];
    expect_end(&downgrade(&run, "base"), 65, &parts);
    expect_applied(&database, &ALL);
    let run = run.file("migrations/0004_four.down.sql", b"drop table four; -- \xff\n");
    expect_end(&downgrade(&run, "0003"), 65, &["0004_four.down.sql:1: ", "UTF-8"]);
    expect_applied(&database, &ALL);
}

fn edited_down_migrations_are_noticed<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    let recorded = |column: &str, revision: &str| {
        let sum = database.query(&format!("select {column} from lockkeeper_history where revision = '{revision}'"));
        assert_eq!(sum.trim().len(), 64, "{column} of {revision}: {sum:?}");
        sum.trim().to_owned()
    };
    let down = [("0004_four.down.sql", "drop table four cascade;\n")];
    let up = [("0003_three.up.sql", "create table three (id integer, more text);\n")];
    let edited = run.clone().migrations(&down).migrations(&up);
    let [down_sum, up_sum] = [recorded("down_checksum", "0004"), recorded("checksum", "0003")];
    let parts = [
        "0004_four.down.sql was edited after revision 0004 was applied",
        down_sum.as_str(),
        "lockkeeper repair",
        "nothing was changed",
    ];
    expect_end(&downgrade(&edited, "-2"), 65, &parts);
    expect_end(&downgrade(&edited, "0002"), 65, &["0003_three.up.sql was edited", up_sum.as_str()]);
    // A file outside of the range does not matter here.
    expect_end(&downgrade(&edited, "-1"), 0, &["up to date at 0004"]);
    // An upgrade does not use down files.
    let run = run.migrations(&[FIVE[4]]);
    expect_end(&run, 0, &["up to date at 0005"]);
    expect_end(&downgrade(&run, "0002"), 65, &parts[..2]);
    expect_end(&downgrade(&run.migrations(&[FIVE[7]]), "0002"), 0, &["up to date at 0002: 3 revisions undone"]);
    expect_applied(&database, &ALL[..2]);
}

/// A down file was removed or added since the revision was applied.
fn a_down_migration_that_was_added_or_removed_is_noticed<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &FIVE);
    remove(&run, "0005_five.down.sql");
    expect_end(&run, 0, &[]);
    remove(&run, "0004_four.down.sql");
    expect_end(
        &downgrade(&run, "0003"),
        65,
        &["0005_five.up.sql cannot be undone", "0004_four.up.sql cannot be undone"],
    );
    let run = run.migrations(&[FIVE[9]]);
    expect_end(&downgrade(&run, "-1"), 0, &["up to date at 0004: 1 revision undone"]);
    expect_applied(&database, &ALL[..4]);
}

/// A down file that exists but cannot be read, because of its mode or because it is a directory.
#[test]
fn an_unreadable_down_migration_is_named() {
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(&FIVE);
    expect_end(&run, 0, &[]);
    remove(&run, "0005_five.down.sql");
    std::fs::create_dir(run.dir().join("migrations/0005_five.down.sql")).expect("a directory");
    remove(&run, "0003_three.down.sql");
    let link = run.dir().join("migrations/0003_three.down.sql");
    std::os::unix::fs::symlink("gone.sql", link).expect("a link");
    let parts = [
        "0005_five.down.sql",
        "it is a directory, not a regular file",
        "0003_three.down.sql",
        "No such file",
        "nothing was changed",
    ];
    expect_end(&downgrade(&run, "0002"), 65, &parts);
    let count = crate::support::sqlite::value(&run.dir().join("app.db"), "select count(*) from lockkeeper_history;");
    assert_eq!(count, "5");
}

on_either!(
    every_revision_without_a_down_migration_is_named_before_the_first_is_undone,
    an_irreversible_revision_needs_no_file,
    an_empty_down_migration_undoes_an_empty_up_migration,
    invalid_down_statements_are_found_before_the_first_is_undone,
    edited_down_migrations_are_noticed,
    a_down_migration_that_was_added_or_removed_is_noticed,
);
