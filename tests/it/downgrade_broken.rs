//! Tests of down migrations that fail, stop part way, are interrupted or killed, or run at the same time as another
//! run.

use rustix::process::Signal;

use crate::contract::{check_end, expect_end, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied, result};
use crate::signals::wait_for_query;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::sqlite;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

fn a_failing_down_migration_is_rolled_back_and_earlier_ones_are_named<D: Database>() {
    let database = D::create("either");
    let failing = "-- zurück\ndrop table three;\n  drop table nowhere;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    expect_end(&run, 0, &[]);
    let parts = [
        "0003_three.down.sql:3:",
        "nowhere",
        "statement: drop table nowhere",
        "rolled back",
        "2 revisions were undone before, the last is 0004",
        "try: correct the file",
    ];
    let finished = expect_end(&downgrade(&run, "base").arg("--json"), 80, &parts);
    let document = result(&finished);
    assert_eq!(document["undone"], serde_json::json!(["0005", "0004"]));
    expect_applied(&database, &ALL[..3]);
    // The file was corrected, and the history does not know this edit.
    let run = run.migrations(&[FIVE[5]]);
    expect_end(&downgrade(&run, "base"), 65, &["0003_three.down.sql was edited after revision 0003 was applied"]);
    expect_end(&run, 0, &["up to date at 0005: 2 revisions applied"]);
    expect_end(&run.clone().args(["repair", "--yes"]), 0, &[]);
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base"]);
}

/// Steps are counted from the current revision: after some of them, the same count leads further down.
fn after_some_of_the_steps_the_target_that_finishes_them_is_named<D: Database>() {
    let database = D::create("either");
    let failing = ("0004_four.down.sql", "drop table four;\ndrop table nowhere;\n");
    let run = run_on(&database, &FIVE).migrations(&[failing]);
    expect_end(&run, 0, &[]);
    for (steps, place) in [("-3", "0002"), ("-5", "base")] {
        let parts = [
            "try: correct the file, accept it with lockkeeper repair, and run again",
            &format!("now as lockkeeper downgrade {place}, for {steps} would"),
        ];
        expect_end(&downgrade(&run, steps), 80, &parts);
        expect_applied(&database, &ALL[..4]);
        // Before the first step nothing has changed.
        expect_end(&downgrade(&run, "-1"), 80, &["no revision was undone before it"]).does_not_say("now as");
        expect_end(&downgrade(&run, "0002"), 80, &[]).does_not_say("now as");
        expect_end(&run, 0, &["up to date at 0005"]);
    }
}

/// Nothing is undone, and the history table still says that the revision is applied.
fn a_down_migration_whose_first_statement_fails_leaves_its_row_unchanged<D: Database>() {
    let database = D::create("either");
    let failing = "-- no-transaction\ndrop table nowhere;\ndrop table three;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    expect_end(&run, 0, &[]);
    let row = "select * from lockkeeper_history where revision = '0003'";
    let before = database.query(row);
    expect_end(&downgrade(&run, "0002"), 81, &["0003_three.down.sql:2", "accept it with lockkeeper repair"]);
    assert_eq!(database.query(row), before);
    expect_end(&run, 0, &["up to date at 0005: 2 revisions applied"]);
}

/// A rerun has to find out what the killed one has left.
#[test]
fn a_statement_outside_of_a_transaction_is_recorded_before_it_runs() {
    let database = Postgres::shared().database("back_alone");
    let failing = "-- no-transaction\nreindex index concurrently nowhere;\ndrop table three;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    expect_end(&run, 0, &[]);
    expect_end(&downgrade(&run, "0002"), 81, &["0003_three.down.sql:2", "nowhere"]);
    let row = "select state, statements_done from lockkeeper_history where revision = '0003'";
    assert_eq!(database.query(row), "undoing, see the journal|0\n");
}

/// A role that may insert rows into the history may lack the right to delete them.
#[test]
fn a_missing_privilege_on_the_history_is_named_and_granted() {
    let server = Postgres::shared();
    let database = server.database("back");
    let run = at_five(&database);
    let role = crate::support::unique("writer");
    server.execute(&format!("create role {role} login password 'writer7secret'"));
    database.execute(&format!("grant select, insert on lockkeeper_history to {role}; alter table five owner to {role}; grant create on schema public to {role}"));
    let writer = run.clone().url(&database.url_as(&role, "writer7secret")).env("LOCKKEEPER_BACKUP", "off");
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"lockkeeper_history\" TO \"{role}\"");
    let denied = "permission denied for table lockkeeper_history";
    expect_end(&downgrade(&writer, "-1"), 77, &[denied, &grant, "rolled back", "try: grant the privilege named"]);
    expect_applied(&database, &ALL);
    database.execute(&grant);
    expect_end(&downgrade(&writer, "-1"), 0, &["up to date at 0004"]);
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// Privileges on the rows are none on the table.
#[test]
fn the_owner_of_an_older_history_is_named_when_it_cannot_be_altered() {
    let server = Postgres::shared();
    let database = server.database("back");
    let run = at_five(&database);
    let role = crate::support::unique("writer");
    server.execute(&format!("create role {role} login password 'writer7secret'"));
    database.execute(&format!(
        "alter table lockkeeper_history drop column down_checksum; grant all on lockkeeper_history to {role}"
    ));
    let writer = run.clone().url(&database.url_as(&role, "writer7secret")).env("LOCKKEEPER_BACKUP", "off");
    let hint = "let the table's owner run ALTER TABLE \"public\".\"lockkeeper_history\" ADD COLUMN";
    for verb in ["downgrade", "stamp"] {
        let words = [verb, "0004"];
        expect_end(&writer.clone().args(words), 77, &["must be owner of table", hint, "nothing was changed"]);
        expect_applied(&database, &ALL);
    }
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// A merge can be undone in several orders: the command that the message names must have a valid target.
#[test]
fn a_partially_undone_merge_names_the_command_that_finishes_it() {
    let database = SqliteFile::create("back_merge");
    let run = run_on(&database, &FIVE[..6]).migrations(&[
        ("0002_two.up.sql", "-- depends: 0001\ncreate table two (id integer);\n"),
        ("0003_three.up.sql", "-- depends: 0001\ncreate table three (id integer);\n"),
        ("0004_both.up.sql", "-- depends: 0002 0003\ncreate table four (id integer);\n"),
        ("0004_both.down.sql", "-- no-transaction\ndrop table four;\ninsert into gate values (1);\n"),
    ]);
    expect_end(&run, 0, &["up to date at 0004"]);
    expect_end(&downgrade(&run, "0002"), 81, &["1 of its statements"]);
    expect_end(&run, 65, &["revision 0004 is half undone", "finish that first: lockkeeper downgrade 0002"]);
    sqlite::query(&database.path, "create table gate (n integer)");
    expect_end(&downgrade(&run, "0002"), 0, &["up to date at 0002, 0003"]);
    expect_end(&run, 0, &["up to date at 0004"]);
}

/// A file without a transaction whose second statement fails while the table `gate` exists.
const FAILS_PART_WAY: &str =
    "-- no-transaction\ndrop table two;\ninsert into gate values (1);\ndrop table if exists late;\n";

/// Creates a database at 0003, where undoing 0002 stops after one of three statements.
fn partially_undone<D: Database>(database: &D) -> Run {
    let run = run_on(database, &FIVE[..6]).migrations(&[("0002_two.down.sql", FAILS_PART_WAY)]);
    expect_end(&run, 0, &["up to date at 0003"]);
    let parts = [
        "0002_two.down.sql:3:",
        "statement 2 failed",
        "gate",
        "1 of its statements is already committed",
        "revision 0003 was undone before",
        "run again: it goes on there",
    ];
    expect_end(&downgrade(&run, "0001"), 81, &parts);
    assert_eq!(journal(database), "0001|applied|1|1\n0002|undoing, see the journal|1|3\n");
    assert!(!database.has_table("two") && !database.has_table("three"));
    run
}

fn journal(database: &impl Database) -> String {
    database.query("select revision, state, statements_done, statements_total from lockkeeper_history order by 1")
}

fn a_partially_undone_revision_blocks_every_run_until_it_is_finished<D: Database>() {
    let database = D::create("either");
    let run = partially_undone(&database);
    let parts = ["revision 0002 is half undone", "lockkeeper downgrade 0002-1", "nothing was changed"];
    for arguments in [&["upgrade"][..], &["upgrade", "0001"], &["check"], &["downgrade", "0002"]] {
        expect_end(&run.clone().args(arguments.iter().copied()), 65, &parts);
    }
    // Running it again stops at the same statement.
    expect_end(
        &downgrade(&run, "0002-1"),
        81,
        &["0002_two.down.sql:3:", "statement 2 failed", "no revision was undone"],
    );
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing, see the journal|1|3\n");
    database.query("create table gate (n integer)");
    database.query("create table late (n integer)");
    // A downgrade by one step finishes the revision that is partially undone.
    expect_end(&downgrade(&run, "-1"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n");
    assert_eq!(database.query("select n from gate"), "1\n");
    assert!(!database.has_table("late"));
    expect_end(&run, 0, &["up to date at 0003: 2 revisions applied"]);
}

/// The completed statements must not be edited; the later ones may be corrected.
fn completed_down_statements_must_not_be_edited<D: Database>() {
    let database = D::create("either");
    let run = partially_undone(&database);
    let with = |text: &str| run.clone().migrations(&[("0002_two.down.sql", text)]);
    for edited in [
        FAILS_PART_WAY.replace("drop table two", "drop table if exists two"),
        FAILS_PART_WAY.replace("drop table two", "-- new\ndrop table two"),
    ] {
        let parts = ["0002_two.down.sql", "first 1 statements", "edited", "restore those statements"];
        expect_end(&downgrade(&with(&edited), "0001"), 65, &parts);
    }
    let with_transaction = with(&FAILS_PART_WAY.replace("-- no-transaction", "-- plain"));
    expect_end(&downgrade(&with_transaction, "0001"), 65, &["0002_two.down.sql", "keep its -- no-transaction line"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing, see the journal|1|3\n");
    let corrected = with("-- no-transaction\ndrop table two;\n-- nothing else\n");
    expect_end(&downgrade(&corrected, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n");
}

/// A revision that was partially applied can be undone: its down migration has to tolerate missing objects.
fn a_partial_upgrade_can_be_undone<D: Database>() {
    let database = D::create("either");
    let up = "-- no-transaction\ncreate table two (id integer);\ninsert into nowhere values (1);\n";
    let down = ("0002_two.down.sql", "drop table if exists two;\n");
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_two.up.sql", up), down]);
    expect_end(&run, 81, &["0002_two.up.sql:3:", "statement 2 failed"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|partial, see the journal|1|2\n");
    expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_applied(&database, &ALL[..1]);
    expect_end(&run, 81, &[]);
    expect_end(&downgrade(&run, "-1"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_end(&run, 81, &[]);
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 2 revisions undone"]);
    expect_applied(&database, &[]);
}

/// The down migration runs without a transaction as well, with a journal of its own.
fn a_partial_upgrade_can_be_undone_without_a_transaction<D: Database>() {
    let database = D::create("either");
    let up = "-- no-transaction\ncreate table two (id integer);\ninsert into nowhere values (1);\n";
    let down = "-- no-transaction\ndrop table if exists two;\ninsert into gate values (1);\n";
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_two.up.sql", up), ("0002_two.down.sql", down)]);
    expect_end(&run, 81, &[]);
    expect_end(&downgrade(&run, "0001"), 81, &["0002_two.down.sql:3:", "statement 2 failed"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing, see the journal|1|2\n");
    expect_end(&run, 65, &["revision 0002 is half undone", "lockkeeper downgrade 0002-1"]);
    database.query("create table gate (n integer)");
    expect_end(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_applied(&database, &ALL[..1]);
}

/// The next revisions could not be recorded.
fn a_down_migration_that_drops_the_history_fails<D: Database>() {
    let database = D::create("either");
    let down = ("0003_three.down.sql", "drop table three;\ndrop table lockkeeper_history;\n");
    let run = run_on(&database, &FIVE).migrations(&[down]);
    expect_end(&run, 0, &[]);
    let parts = ["0003_three.down.sql", "lockkeeper_history", "rolled back", "2 revisions were undone before"];
    expect_end(&downgrade(&run, "base"), 80, &parts);
    expect_applied(&database, &ALL[..3]);
}

fn two_runs_at_once_undo_a_revision_once<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    let both = [downgrade(&run, "0002").spawn(), downgrade(&run, "0002").spawn()].map(|running| running.finish());
    let undone: usize = both.iter().map(|one| one.stderr.matches("undone 000").count()).sum();
    assert_eq!(undone, 3, "{}\n{}", both[0], both[1]);
    for one in both {
        check_end(one, 0, &["0002"]);
    }
    expect_applied(&database, &ALL[..2]);
}

on_either!(
    a_failing_down_migration_is_rolled_back_and_earlier_ones_are_named,
    after_some_of_the_steps_the_target_that_finishes_them_is_named,
    a_down_migration_whose_first_statement_fails_leaves_its_row_unchanged,
    a_partially_undone_revision_blocks_every_run_until_it_is_finished,
    completed_down_statements_must_not_be_edited,
    a_partial_upgrade_can_be_undone,
    a_partial_upgrade_can_be_undone_without_a_transaction,
    a_down_migration_that_drops_the_history_fails,
    two_runs_at_once_undo_a_revision_once,
);

/// Creates a database at 0003 whose down migration runs until somebody ends it.
fn slow(database: &PgDatabase<'static>, header: &str) -> Run {
    let down = format!("{header}\ndrop table three;\nselect pg_sleep(600);\n");
    let run = run_on(database, &FIVE[..6]).migrations(&[("0003_three.down.sql", &down)]);
    expect_end(&run, 0, &[]);
    run
}

/// Expects that no session of ours is left in the server, and with it no statement and no lock.
#[track_caller]
fn expect_no_session(database: &PgDatabase<'_>) {
    let sql = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and application_name like 'lockkeeper%'",
        database.name()
    );
    wait_until("the server has no session of ours", DEFAULT_TIMEOUT, || database.value(&sql) == "0");
}

/// SIGTERM rolls the current down migration back on PostgreSQL.
#[test]
fn a_signal_rolls_a_down_migration_back() {
    let database = Postgres::shared().database("back_signal");
    let run = slow(&database, "");
    let running = downgrade(&run, "base").spawn();
    wait_for_query(&database, "pg_sleep");
    running.signal(Signal::TERM);
    let parts =
        ["stopped by SIGTERM", "the running revision was rolled back", "no revision was undone", "try: run again"];
    check_end(running.finish(), 143, &parts);
    expect_no_session(&database);
    expect_applied(&database, &ALL[..3]);
}

/// SIGTERM rolls the current down migration back on SQLite.
#[test]
fn a_signal_rolls_a_down_migration_of_sqlite_back() {
    let database = SqliteFile::create("back_signal");
    let endless = "drop table three;\nwith recursive n (i) as (select 1 union all select i + 1 from n where i < 100000000000)\n\
                   select max(i) from n;\n";
    let run = run_on(&database, &FIVE[..6]).migrations(&[("0003_three.down.sql", endless)]);
    expect_end(&run, 0, &[]);
    let running = downgrade(&run, "base").spawn();
    let journal = database.path.with_extension("db-journal");
    wait_until("the transaction has written", DEFAULT_TIMEOUT, || journal.exists());
    running.signal(Signal::TERM);
    check_end(running.finish(), 143, &["stopped by SIGTERM", "the running revision was rolled back"]);
    expect_applied(&database, &ALL[..3]);
}

/// Without a transaction the journal lists the statements that are undone, and a rerun continues.
#[test]
fn a_signal_in_a_down_migration_without_a_transaction_leaves_a_correct_journal() {
    let database = Postgres::shared().database("back_signal");
    let run = slow(&database, "-- no-transaction");
    let running = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "pg_sleep");
    running.signal(Signal::TERM);
    check_end(running.finish(), 81, &["0003_three.down.sql:3:1", "stopped by SIGTERM", "run again: it goes on"]);
    expect_no_session(&database);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|applied|1|1\n0003|undoing, see the journal|1|2\n");
    let corrected = "-- no-transaction\ndrop table three;\nselect pg_sleep(0);\n";
    expect_end(&downgrade(&run.migrations(&[("0003_three.down.sql", corrected)]), "0002"), 0, &["up to date at 0002"]);
}

/// A run is killed in the middle of a down migration, and a rerun converges.
#[test]
fn a_killed_down_migration_is_finished_by_a_rerun() {
    for header in ["", "-- no-transaction"] {
        let database = Postgres::shared().database("back_killed");
        let run = slow(&database, header);
        let mut gate = database.session();
        gate.run("begin; lock table two in access exclusive mode");
        let down = format!("{header}\ndrop table three;\nselect count(*) from two;\n");
        let run = run.migrations(&[("0003_three.down.sql", &down)]);
        database.query("update lockkeeper_history set down_checksum = null");
        let run = run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
        let running = downgrade(&run, "base").spawn();
        wait_for_query(&database, "from two");
        running.kill();
        // The server notices by itself that its client is gone, before the gate opens.
        expect_no_session(&database);
        gate.run("rollback");
        let state = if header.is_empty() { "applied|1|1" } else { "undoing, see the journal|1|2" };
        assert_eq!(journal(&database), format!("0001|applied|1|1\n0002|applied|1|1\n0003|{state}\n"));
        expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 3 revisions undone"]);
        expect_applied(&database, &[]);
    }
}

/// An upgrade that starts meanwhile waits for the lock, and then plans from where the downgrade has ended.
#[test]
fn an_upgrade_waits_for_a_downgrade() {
    let database = Postgres::shared().database("back_waits");
    let run = at_five(&database).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    let mut gate = database.session();
    gate.run("begin; lock table four in access exclusive mode");
    let downgrade_run = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "drop table four");
    let up = run.clone().spawn();
    // Four revisions are still applied, so there is something to do for the upgrade.
    up.wait_for("waiting for the lock");
    gate.run("rollback");
    check_end(downgrade_run.finish(), 0, &["up to date at 0002: 3 revisions undone"]);
    check_end(up.finish(), 0, &["up to date at 0005: 3 revisions applied"]);
    expect_applied(&database, &ALL);
}

/// A revision that is being undone without a transaction is recorded as unfinished meanwhile: only a run with the lock
/// knows whether it has to be finished.
#[test]
fn an_upgrade_waits_for_a_revision_that_is_undone_without_a_transaction() {
    let database = Postgres::shared().database("back_waits");
    let down = "-- no-transaction\ndrop table three;\nselect count(*) from two;\n";
    let run = run_on(&database, &FIVE[..6])
        .migrations(&[("0003_three.down.sql", down)])
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    expect_end(&run, 0, &[]);
    let mut gate = database.session();
    gate.run("begin; lock table two in access exclusive mode");
    let downgrade_run = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "from two");
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|applied|1|1\n0003|undoing, see the journal|1|2\n");
    let [up, to_two, next] = [&["upgrade"][..], &["upgrade", "0002"], &["upgrade", "+1"]]
        .map(|arguments| run.clone().args(arguments.iter().copied()).spawn());
    for waiting in [&up, &to_two, &next] {
        waiting.wait_for("waiting for the lock");
    }
    let migrated = run.clone().args(["wait", "--migrated"]).spawn();
    migrated.wait_for("a revision is unfinished: waiting for the run that finishes it");
    // The other run has not finished in time.
    let brief = run.clone().args(["wait", "--migrated", "--wait-timeout", "900ms"]);
    expect_end(&brief, 65, &["revision 0003 is half undone"]);
    // Commands that only read print what is recorded.
    expect_end(&run.clone().arg("check"), 65, &["revision 0003 is half undone"]);
    gate.run("rollback");
    check_end(downgrade_run.finish(), 0, &["up to date at 0002: 1 revision undone"]);
    check_end(to_two.finish(), 0, &[]);
    // `+1` means 0003 when it is resolved first; afterwards nothing is left for it.
    let next = next.finish();
    assert!(next.code == Some(0) || next.stderr.contains("goes too far"), "{next}");
    check_end(up.finish(), 0, &["0003"]);
    check_end(migrated.finish(), 0, &["0003"]);
    expect_applied(&database, &ALL[..3]);
}

/// The target of `-1` is resolved before the lock is waited for: two runs that use it mean the same revision.
#[test]
fn two_downgrades_by_one_step_undo_one_revision() {
    let database = Postgres::shared().database("back_relative");
    let run = at_five(&database).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    let mut gate = database.session();
    gate.run("begin; lock table five in access exclusive mode");
    let first = downgrade(&run, "-1").spawn();
    wait_for_query(&database, "drop table five");
    let second = downgrade(&run, "-1").spawn();
    second.wait_for("waiting for the lock");
    gate.run("rollback");
    check_end(first.finish(), 0, &["up to date at 0004: 1 revision undone"]);
    check_end(second.finish(), 0, &["nothing to undo, the database is at 0004"]);
    expect_applied(&database, &ALL[..4]);
}

/// PostgreSQL runs DROP INDEX CONCURRENTLY only outside of a transaction.
#[test]
fn an_index_is_dropped_concurrently_and_a_rerun_finishes_the_rest() {
    let database = Postgres::shared().database("back_concurrently");
    let up = "-- no-transaction\ncreate index concurrently first on one (id);\ncreate index concurrently second on one (id);\n";
    let down = "-- no-transaction\ndrop index concurrently second;\ndrop index concurrently missing;\ndrop index concurrently first;\n";
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_i.up.sql", up), ("0002_i.down.sql", down)]);
    expect_end(&run, 0, &[]);
    expect_end(
        &downgrade(&run, "-1"),
        81,
        &["0002_i.down.sql:3:", "\"missing\" does not exist", "1 of its statements"],
    );
    assert_eq!(
        database
            .value("select string_agg(indexrelid::regclass::text, ' ') from pg_index where indrelid = 'one'::regclass"),
        "first"
    );
    let corrected = down.replace("drop index concurrently missing;\n", "");
    expect_end(&downgrade(&run.migrations(&[("0002_i.down.sql", &corrected)]), "-1"), 0, &["up to date at 0001"]);
    assert_eq!(database.value("select count(*) from pg_index where indrelid = 'one'::regclass"), "0");
}

/// SQLite runs VACUUM only outside of a transaction.
#[test]
fn a_vacuum_in_a_down_migration_is_recorded_in_the_journal() {
    let database = SqliteFile::create("either");
    let down = "-- no-transaction\ndrop table two;\nvacuum;\nfail;\n";
    let run = run_on(&database, &FIVE[..4]).migrations(&[("0002_two.down.sql", down)]);
    expect_end(&run, 0, &[]);
    expect_end(&downgrade(&run, "-1"), 81, &["0002_two.down.sql:4:1", "statement 3 failed", "2 of its statements"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing, see the journal|2|3\n");
    let corrected = run.migrations(&[("0002_two.down.sql", &down.replace("fail;\n", ""))]);
    expect_end(&downgrade(&corrected, "-1"), 0, &["up to date at 0001"]);
}

/// A down migration that removes the parents of existing rows is rolled back.
#[test]
fn a_down_migration_that_leaves_orphans_is_rolled_back() {
    let database = SqliteFile::create("either");
    let files = [
        (
            "0001_p.up.sql",
            "create table parent (id integer primary key);\ncreate table child (parent_id integer references parent (id));\n",
        ),
        ("0001_p.down.sql", "drop table child;\ndrop table parent;\n"),
        ("0002_rows.up.sql", "insert into parent values (1), (2);\n"),
        ("0002_rows.down.sql", "delete from parent;\n"),
    ];
    let run = run_on(&database, &files);
    expect_end(&run, 0, &[]);
    sqlite::query(&database.path, "insert into child values (1), (2);");
    let parts = ["0002_rows.down.sql: it leaves foreign keys without a parent row: child -> parent: 2", "rolled back"];
    expect_end(&downgrade(&run, "-1"), 80, &parts);
    assert_eq!(database.query("select count(*) from parent"), "2\n");
    assert_eq!(database.history(), "0001|applied\n0002|applied\n");
    sqlite::query(&database.path, "delete from child;");
    expect_end(&downgrade(&run, "base"), 0, &["up to date at base: 2 revisions undone"]);
}
