//! What keeps a down migration from being begun: said for the whole range at once, before the first revision is undone.

use crate::contract::{ends, remove, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied};
use crate::support::binary::Run;
use crate::support::either::Database;

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

/// 45
fn every_step_without_a_way_back_is_named_before_the_first_is_undone<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &FIVE).migrations(&[
        ("0002_two.up.sql", "-- irreversible: the rows of one are merged\ncreate table two (id integer);\n"),
        ("0003_three.down.sql", "-- irreversible: nobody knows\ndrop table three;\n"),
        ("0004_four.down.sql", "-- to be written\n"),
    ]);
    remove(&run, "0001_one.down.sql");
    ends(&run, 0, &["up to date at 0005"]);
    let parts = [
        "0004_four.down.sql holds no statement that undoes revision 0004",
        "say why there is none with -- irreversible:",
        "0003_three.down.sql is irreversible: nobody knows",
        "0002_two.up.sql is irreversible: the rows of one are merged",
        "0001_one.up.sql cannot be undone: there is no .down.sql file of revision 0001",
        "nothing was changed",
        "try:",
    ];
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    ends(&downgrade(&run, "base"), 65, &parts);
    ends(&downgrade(&run, "-3"), 65, &parts[..3]).silent_about("0002_two").silent_about("0001_one");
    expect_applied(&database, &ALL);
    assert!(!run.dir().join("safe").exists(), "a backup for nothing");
    // What is before them can go.
    ends(&downgrade(&run, "-1").env("LOCKKEEPER_BACKUP", "off"), 0, &["up to date at 0004: 1 revision undone"]);
    expect_applied(&database, &ALL[..4]);
}

/// The reason may be given where there is no file at all.
fn an_irreversible_revision_needs_no_file<D: Database>() {
    let database = D::create("either");
    let one = ("0001_one.sql", "-- irreversible: it deletes\ncreate table one (id integer);");
    let run = run_on(&database, &[one]);
    ends(&run, 0, &[]);
    let finished = ends(&downgrade(&run, "-1"), 65, &["0001_one.sql is irreversible: it deletes"]);
    finished.silent_about("no .down.sql");
    expect_applied(&database, &ALL[..1]);
}

/// A down file that says nothing undoes an up file that did nothing.
fn an_empty_way_back_is_enough_for_an_empty_way_up<D: Database>() {
    let database = D::create("either");
    let files = [("0001_merge.up.sql", "-- joins two branches\n"), ("0001_merge.down.sql", "-- parts them\n")];
    let run = run_on(&database, &files);
    ends(&run, 0, &[]);
    ends(&downgrade(&run, "base"), 0, &["up to date at base: 1 revision undone"]);
}

fn what_cannot_run_in_a_way_back_is_found_before_the_first_is_undone<D: Database>() {
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
    ends(&downgrade(&run, "base"), 65, &parts);
    expect_applied(&database, &ALL);
    let run = run.file("migrations/0004_four.down.sql", b"drop table four; -- \xff\n");
    ends(&downgrade(&run, "0003"), 65, &["0004_four.down.sql:1: ", "UTF-8"]);
    expect_applied(&database, &ALL);
}

fn edited_files_are_noticed<D: Database>() {
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
    ends(&downgrade(&edited, "-2"), 65, &parts);
    ends(&downgrade(&edited, "0002"), 65, &["0003_three.up.sql was edited", up_sum.as_str()]);
    // Outside of the range it does not matter here.
    ends(&downgrade(&edited, "-1"), 0, &["up to date at 0004"]);
    // An upgrade has nothing to do with ways back.
    let run = run.migrations(&[FIVE[4]]);
    ends(&run, 0, &["up to date at 0005"]);
    ends(&downgrade(&run, "0002"), 65, &parts[..2]);
    ends(&downgrade(&run.migrations(&[FIVE[7]]), "0002"), 0, &["up to date at 0002: 3 revisions undone"]);
    expect_applied(&database, &ALL[..2]);
}

/// One that was there is gone, one that was not there has come.
fn a_way_back_that_has_come_or_gone_since<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &FIVE);
    remove(&run, "0005_five.down.sql");
    ends(&run, 0, &[]);
    remove(&run, "0004_four.down.sql");
    ends(&downgrade(&run, "0003"), 65, &["0005_five.up.sql cannot be undone", "0004_four.up.sql cannot be undone"]);
    let run = run.migrations(&[FIVE[9]]);
    ends(&downgrade(&run, "-1"), 0, &["up to date at 0004: 1 revision undone"]);
    expect_applied(&database, &ALL[..4]);
}

/// A down file that is there but cannot be read, because of rights or because it is a folder.
#[test]
fn an_unreadable_way_back_is_named() {
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(&FIVE);
    ends(&run, 0, &[]);
    remove(&run, "0005_five.down.sql");
    std::fs::create_dir(run.dir().join("migrations/0005_five.down.sql")).expect("a folder");
    remove(&run, "0003_three.down.sql");
    let link = run.dir().join("migrations/0003_three.down.sql");
    std::os::unix::fs::symlink("gone.sql", link).expect("a link");
    let parts = [
        "0005_five.down.sql",
        "it is a folder, not a regular file",
        "0003_three.down.sql",
        "No such file",
        "nothing was changed",
    ];
    ends(&downgrade(&run, "0002"), 65, &parts);
    let count = crate::support::sqlite::value(&run.dir().join("app.db"), "select count(*) from lockkeeper_history;");
    assert_eq!(count, "5");
}

on_either!(
    every_step_without_a_way_back_is_named_before_the_first_is_undone,
    an_irreversible_revision_needs_no_file,
    an_empty_way_back_is_enough_for_an_empty_way_up,
    what_cannot_run_in_a_way_back_is_found_before_the_first_is_undone,
    edited_files_are_noticed,
    a_way_back_that_has_come_or_gone_since,
);
