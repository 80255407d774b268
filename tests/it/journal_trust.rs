//! Tests that the journal is trusted as the history is: whatever else has its name is neither read nor written, and
//! nothing of a script runs.

use crate::contract::{expect_end, run_on};
use crate::history_trust::Shared;
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};

const SCRIPT: &str = "-- no-transaction\ncreate table one (id integer);\ninsert into gate values (1);\n";
/// The columns of the journal.
const COLUMNS: &str = "revision text primary key, direction text, statements_done bigint, statements_total bigint, \
    statement_begun boolean, fingerprint text, catalog_before text";

fn run(shared: &Shared) -> Run {
    run_on(&shared.database, &[("0001_one.up.sql", SCRIPT)])
}

#[test]
fn a_relation_of_a_stranger_in_the_place_of_the_journal_is_refused() {
    for (made, what) in [
        ("create view lockkeeper_history_journal as select public.trap() as revision".to_owned(), "is a view of"),
        (format!("create table lockkeeper_history_journal ({COLUMNS})"), "the table public.lockkeeper_history_journal"),
        (
            format!(
                "create table lockkeeper_history_journal ({COLUMNS}); create trigger trap before insert \
                 on lockkeeper_history_journal for each row execute function trap_row()"
            ),
            "the table public.lockkeeper_history_journal belongs to",
        ),
    ] {
        let shared = Shared::new();
        shared.execute_untrusted(&made);
        let run = run(&shared);
        let finished = expect_end(&run, 78, &["cannot be trusted", what, &shared.stranger]);
        finished.says("lockkeeper_history_journal");
        shared.expect_no_call();
        assert!(!shared.database.has_table("one"), "{made}");
    }
}

#[test]
fn a_trigger_of_a_stranger_on_the_journal_is_refused_before_it_fires() {
    let shared = Shared::new();
    let run = run(&shared);
    expect_end(&run, 81, &["0001_one.up.sql:3:"]);
    let stranger = &shared.stranger;
    shared.database.execute(&format!("grant trigger on lockkeeper_history_journal to {stranger}"));
    shared.execute_untrusted(
        "create trigger trap before insert or update or delete on lockkeeper_history_journal \
         for each row execute function trap_row()",
    );
    let said = "the trigger trap on public.lockkeeper_history_journal calls a function of";
    for verb in [&["upgrade"][..], &["check"], &["current"], &["stamp", "head"], &["repair", "--done"]] {
        expect_end(&run.clone().args(verb.iter().copied()), 78, &[said, stranger]);
    }
    shared.expect_no_call();
    shared.database.execute("drop trigger trap on lockkeeper_history_journal; create table gate (n int)");
    expect_end(&run, 0, &["up to date at 0001"]);
}

/// On SQLite everybody who can write the file is the owner; other kinds of objects are mistakes.
#[test]
fn a_view_or_a_trigger_on_sqlite_is_refused() {
    let database = SqliteFile::create("journal");
    let run = run_on(&database, &[("0001_one.up.sql", SCRIPT)]);
    database.query("create view LOCKKEEPER_HISTORY_JOURNAL as select 1 as revision");
    expect_end(&run, 78, &["lockkeeper_history_journal has to be an ordinary table", "is a view"]);
    assert!(!database.has_table("one"));
    database.query("drop view lockkeeper_history_journal");
    expect_end(&run, 81, &["0001_one.up.sql:3:"]);
    database
        .query("create trigger t after update on lockkeeper_history_journal begin delete from lockkeeper_history; end");
    expect_end(&run, 78, &["lockkeeper_history_journal has to be an ordinary table", "is a trigger on it"]);
    database.query("drop trigger t");
    database.query("create table gate (n integer)");
    expect_end(&run, 0, &["up to date at 0001"]);
}

fn a_journal_that_is_gone_is_reported<D: Database>() {
    let database = D::create("journal");
    let run = run_on(&database, &[("0001_one.up.sql", SCRIPT)]);
    expect_end(&run, 81, &["0001_one.up.sql:3:"]);
    database.query("delete from lockkeeper_history_journal");
    let said = "the journal has the progress of revision 0001, and the journal has no such row";
    expect_end(&run, 78, &[said]);
    database.query("drop table lockkeeper_history_journal");
    for verb in ["upgrade", "check", "current"] {
        let finished = expect_end(&run.clone().arg(verb), 78, &["the history refers to the journal"]);
        finished.says("restore that table from a backup").does_not_say("LOCKKEEPER_HISTORY_TABLE");
    }
}

on_either!(a_journal_that_is_gone_is_reported);
