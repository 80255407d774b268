//! Tests of a release that was rolled back in the middle of a file without a transaction: its revision is unfinished,
//! and the current image does not have the file. Every message names a solution, and each of them works.

use crate::contract::{ONE, expect_end, remove, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};
use crate::verbs_stamp::history;

const NAME: &str = "0002_half.up.sql";

/// Applies the first revision, stops in the second one, and removes its file.
fn rolled_back(database: &impl Database, script: &str) -> Run {
    let run = run_on(database, &[ONE]);
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[(NAME, script)]);
    expect_end(&run, 81, &[]);
    remove(&run, NAME);
    run
}

fn command(run: &Run, arguments: &[&str]) -> Run {
    run.clone().args(arguments.iter().copied())
}

/// No statement of the revision is done, so it does not block other revisions.
fn a_revision_without_its_file_and_with_nothing_done_is_warned_about<D: Database>() {
    let database = D::create("untouched");
    let run = rolled_back(&database, "-- no-transaction\nfail;\n");
    let warning = "another image has begun revision 0002, and nothing of it is done";
    for verbs in [&["upgrade"][..], &["check"], &["wait", "--migrated"]] {
        expect_end(&command(&run, verbs), 0, &[]).says(warning).says("lockkeeper repair");
    }
    expect_end(&command(&run, &["current"]), 0, &[]).says("0001");
    expect_end(&run.clone().env("LOCKKEEPER_STRICT", "true"), 86, &["0002"]);
    // New revisions of this image are applied, whatever their number.
    let run = run.migrations(&[("0003_three.up.sql", "create table three (id integer);\n")]);
    expect_end(&run, 0, &["up to date at 0003: 1 revision applied"]).says(warning);
    assert_eq!(history(&database), "0001 applied, 0002 partial, see the journal, 0003 applied");
    // The history row is removed when a person confirms it.
    expect_end(&command(&run, &["repair"]), 64, &["lockkeeper repair --yes"]);
    expect_end(&command(&run, &["repair", "--yes"]), 0, &["repaired: 1 revision given up"])
        .says("revision 0002 was begun, nothing of it is done");
    assert_eq!(history(&database), "0001 applied, 0003 applied");
    expect_end(&run, 0, &["nothing pending"]).does_not_say("0002");
    expect_end(&command(&run, &["repair", "--yes"]), 0, &["nothing to repair"]);
}

/// The image that has the file resumes it.
fn the_image_that_has_the_file_finishes_it<D: Database>() {
    let database = D::create("again");
    for (begun, done) in [("fail;\n", "0"), ("create table half (id integer);\nfail;\n", "1")] {
        let run = rolled_back(&database, &format!("-- no-transaction\n{begun}"));
        let row = database.query("select statements_done from lockkeeper_history where revision = '0002'");
        assert_eq!(row.trim(), done);
        let corrected = format!("-- no-transaction\n{}", begun.replace("fail", "create table corrected (id integer)"));
        let run = run.migrations(&[(NAME, &corrected)]);
        expect_end(&run, 0, &["up to date at 0002: 1 revision applied"]);
        assert!(database.has_table("corrected"));
        database.query("drop table corrected");
        database.query("drop table one");
        database.query("drop table lockkeeper_history");
    }
}

/// Some statements are done: nothing runs, and the stamp that the message names abandons the revision.
fn a_partially_applied_revision_without_its_file_is_named_with_a_solution<D: Database>() {
    let database = D::create("progress");
    let run = rolled_back(&database, "-- no-transaction\ncreate table half (id integer);\nfail;\n");
    let parts =
        ["revision 0002 is unfinished (statements that are done: 1)", "deploy the image", "lockkeeper stamp 0001"];
    for verbs in [&["upgrade"][..], &["check"], &["downgrade", "base"]] {
        expect_end(&command(&run, verbs), 65, &parts);
    }
    expect_end(&command(&run, &["repair", "--yes"]), 0, &["nothing to repair"]).says(parts[0]).says(parts[2]);
    database.query("drop table half");
    expect_end(&command(&run, &["stamp", "0001"]), 0, &["stamped at 0001: 1 removed"])
        .says("removing the row of revision 0002: partial, statements done: 1");
    expect_end(&run, 0, &["nothing pending"]);
    assert_eq!(history(&database), "0001 applied");
}

on_either!(
    a_revision_without_its_file_and_with_nothing_done_is_warned_about,
    the_image_that_has_the_file_finishes_it,
    a_partially_applied_revision_without_its_file_is_named_with_a_solution,
);

/// A concurrent build failed.
#[test]
fn a_failed_concurrent_build_of_a_rolled_back_image_blocks_no_run() {
    let database = Postgres::shared().database("rolledback");
    database.execute("create table t (n int); insert into t values (1), (1)");
    let run = rolled_back(&database, "-- no-transaction\ncreate unique index concurrently i on t (n);\n");
    expect_end(&run, 0, &["nothing pending"]).says("nothing of it is done");
    expect_end(&command(&run, &["repair", "--yes"]), 0, &["1 revision given up"]);
    expect_end(&run, 0, &["nothing pending"]).does_not_say("0002");
}

/// A statement with an unknown outcome is not the same as none.
#[test]
fn an_open_statement_without_its_file_is_named_with_a_solution() {
    let database: PgDatabase = Postgres::shared().database("openfile");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[(NAME, "-- no-transaction\ncreate index concurrently i on one (id);\n")]);
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.cut_at(Peer::Client, b"create index concurrently i");
    run.clone().url(&proxy.url(database.name())).output().expect_code(83);
    database.terminate_all();
    remove(&run, NAME);
    let unknown = "of statement 1 it is not known whether it took effect";
    expect_end(&run, 65, &[unknown, "lockkeeper stamp 0001"]);
    for choice in ["--done", "--again"] {
        expect_end(&command(&run, &["repair", choice]), 65, &["run this with the image that has it"]);
    }
    expect_end(&command(&run, &["stamp", "0001"]), 0, &["stamped at 0001: 1 removed"]);
    expect_end(&run, 0, &["nothing pending"]);
}
