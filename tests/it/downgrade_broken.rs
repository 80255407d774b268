//! A down migration that fails, stops part way, is interrupted or killed, or meets another run.

use rustix::process::Signal;

use crate::contract::{ended, ends, run_on};
use crate::downgrade::{FIVE, at_five, downgrade, expect_applied, result};
use crate::signals::wait_for_query;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::sqlite;
use crate::support::{SOON, wait_until};

const ALL: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

fn a_failing_way_back_is_rolled_back_and_what_was_undone_before_is_named<D: Database>() {
    let database = D::create("either");
    let failing = "-- zurück\ndrop table three;\n  drop table nowhere;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    ends(&run, 0, &[]);
    let parts = [
        "0003_three.down.sql:3:",
        "nowhere",
        "statement: drop table nowhere",
        "rolled back",
        "2 revisions were undone before, the last is 0004",
        "try: correct the file",
    ];
    let finished = ends(&downgrade(&run, "base").arg("--json"), 80, &parts);
    let told = result(&finished);
    assert_eq!(told["undone"], serde_json::json!(["0005", "0004"]));
    expect_applied(&database, &ALL[..3]);
    // The file was corrected, which is an edit that the history does not know.
    let run = run.migrations(&[FIVE[5]]);
    ends(&downgrade(&run, "base"), 65, &["0003_three.down.sql was edited after revision 0003 was applied"]);
    ends(&run, 0, &["up to date at 0005: 2 revisions applied"]);
    ends(&run.clone().args(["repair", "--yes"]), 0, &[]);
    ends(&downgrade(&run, "base"), 0, &["up to date at base"]);
}

/// Steps are counted from where the database is: after a part of them, the same words lead further.
fn after_a_part_of_the_steps_the_place_to_go_on_to_is_named<D: Database>() {
    let database = D::create("either");
    let failing = ("0004_four.down.sql", "drop table four;\ndrop table nowhere;\n");
    let run = run_on(&database, &FIVE).migrations(&[failing]);
    ends(&run, 0, &[]);
    for (steps, place) in [("-3", "0002"), ("-5", "base")] {
        let parts = [
            "try: correct the file, accept it with lockkeeper repair, and run again",
            &format!("now as lockkeeper downgrade {place}, for {steps} would"),
        ];
        ends(&downgrade(&run, steps), 80, &parts);
        expect_applied(&database, &ALL[..4]);
        // Before the first of them nothing is different.
        ends(&downgrade(&run, "-1"), 80, &["no revision was undone before it"]).silent_about("now as");
        ends(&downgrade(&run, "0002"), 80, &[]).silent_about("now as");
        ends(&run, 0, &["up to date at 0005"]);
    }
}

/// Nothing of it is undone, and the history goes on saying what is applied.
fn a_way_back_that_fails_at_once_without_a_transaction_leaves_the_row_alone<D: Database>() {
    let database = D::create("either");
    let failing = "-- no-transaction\ndrop table nowhere;\ndrop table three;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    ends(&run, 0, &[]);
    let row = "select * from lockkeeper_history where revision = '0003'";
    let before = database.query(row);
    ends(&downgrade(&run, "0002"), 81, &["0003_three.down.sql:2", "accept it with lockkeeper repair"]);
    assert_eq!(database.query(row), before);
    ends(&run, 0, &["up to date at 0005: 2 revisions applied"]);
}

/// A rerun has to look for what it may have left behind.
#[test]
fn what_runs_outside_of_a_transaction_is_written_down_before_it_runs() {
    let database = Postgres::shared().database("back_alone");
    let failing = "-- no-transaction\nreindex index concurrently nowhere;\ndrop table three;\n";
    let run = run_on(&database, &FIVE).migrations(&[("0003_three.down.sql", failing)]);
    ends(&run, 0, &[]);
    ends(&downgrade(&run, "0002"), 81, &["0003_three.down.sql:2", "nowhere"]);
    let row = "select state, statements_done from lockkeeper_history where revision = '0003'";
    assert_eq!(database.query(row), "undoing|0\n");
}

/// Whoever may write new rows need not be allowed to remove them.
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
    ends(&downgrade(&writer, "-1"), 77, &[denied, &grant, "rolled back", "try: grant the privilege named"]);
    expect_applied(&database, &ALL);
    database.execute(&grant);
    ends(&downgrade(&writer, "-1"), 0, &["up to date at 0004"]);
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// Rights on the rows are none on the table.
#[test]
fn whoever_may_not_change_an_older_history_is_told_who_may() {
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
        ends(&writer.clone().args(words), 77, &["must be owner of table", hint, "nothing was changed"]);
        expect_applied(&database, &ALL);
    }
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// One step back from a merge can be taken by several ways: what is to be typed must be a target.
#[test]
fn a_half_undone_merge_names_a_command_that_finishes_it() {
    let database = SqliteFile::create("back_merge");
    let run = run_on(&database, &FIVE[..6]).migrations(&[
        ("0002_two.up.sql", "-- depends: 0001\ncreate table two (id integer);\n"),
        ("0003_three.up.sql", "-- depends: 0001\ncreate table three (id integer);\n"),
        ("0004_both.up.sql", "-- depends: 0002 0003\ncreate table four (id integer);\n"),
        ("0004_both.down.sql", "-- no-transaction\ndrop table four;\ninsert into gate values (1);\n"),
    ]);
    ends(&run, 0, &["up to date at 0004"]);
    ends(&downgrade(&run, "0002"), 81, &["1 of its statements"]);
    ends(&run, 65, &["revision 0004 is half undone", "finish that first: lockkeeper downgrade 0002"]);
    sqlite::query(&database.path, "create table gate (n integer)");
    ends(&downgrade(&run, "0002"), 0, &["up to date at 0002, 0003"]);
    ends(&run, 0, &["up to date at 0004"]);
}

/// A file without a transaction whose second statement fails, as often as the table `gate` is there.
const PART_WAY: &str = "-- no-transaction\ndrop table two;\ninsert into gate values (1);\ndrop table if exists late;\n";

/// At 0003, where undoing 0002 stops after one of three statements.
fn half_undone<D: Database>(database: &D) -> Run {
    let run = run_on(database, &FIVE[..6]).migrations(&[("0002_two.down.sql", PART_WAY)]);
    ends(&run, 0, &["up to date at 0003"]);
    let parts = [
        "0002_two.down.sql:3:",
        "statement 2 failed",
        "gate",
        "1 of its statements is already committed",
        "revision 0003 was undone before",
        "run again: it goes on there",
    ];
    ends(&downgrade(&run, "0001"), 81, &parts);
    assert_eq!(journal(database), "0001|applied|1|1\n0002|undoing|1|3\n");
    assert!(!database.has_table("two") && !database.has_table("three"));
    run
}

fn journal(database: &impl Database) -> String {
    database.query("select revision, state, statements_done, statements_total from lockkeeper_history order by 1")
}

fn a_half_undone_revision_is_in_everybodys_way_until_it_is_finished<D: Database>() {
    let database = D::create("either");
    let run = half_undone(&database);
    let parts = ["revision 0002 is half undone", "lockkeeper downgrade 0002-1", "nothing was changed"];
    for arguments in [&["upgrade"][..], &["upgrade", "0001"], &["check"], &["downgrade", "0002"]] {
        ends(&run.clone().args(arguments.iter().copied()), 65, &parts);
    }
    // The very same again, and again: it stops where it stopped.
    ends(&downgrade(&run, "0002-1"), 81, &["0002_two.down.sql:3:", "statement 2 failed", "no revision was undone"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing|1|3\n");
    database.query("create table gate (n integer)");
    database.query("create table late (n integer)");
    // One step back from where it is half is to finish it.
    ends(&downgrade(&run, "-1"), 0, &["up to date at 0001: 1 revision undone"]);
    ends(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n");
    assert_eq!(database.query("select n from gate"), "1\n");
    assert!(!database.has_table("late"));
    ends(&run, 0, &["up to date at 0003: 2 revisions applied"]);
}

/// 27, the other way: what is done must stay as it was, what comes after it may be corrected.
fn what_is_undone_already_must_stay_as_it_was<D: Database>() {
    let database = D::create("either");
    let run = half_undone(&database);
    let with = |text: &str| run.clone().migrations(&[("0002_two.down.sql", text)]);
    for edited in [
        PART_WAY.replace("drop table two", "drop table if exists two"),
        PART_WAY.replace("drop table two", "-- new\ndrop table two"),
    ] {
        let parts = ["0002_two.down.sql", "first 1 statements", "edited", "restore those statements"];
        ends(&downgrade(&with(&edited), "0001"), 65, &parts);
    }
    let whole = with(&PART_WAY.replace("-- no-transaction", "-- plain"));
    ends(&downgrade(&whole, "0001"), 65, &["0002_two.down.sql", "keep its -- no-transaction line"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing|1|3\n");
    let corrected = with("-- no-transaction\ndrop table two;\n-- nothing else\n");
    ends(&downgrade(&corrected, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n");
}

/// A up migration that stopped part way can be undone: the down migration has to bear what is not there.
fn a_partial_way_up_can_be_undone<D: Database>() {
    let database = D::create("either");
    let up = "-- no-transaction\ncreate table two (id integer);\ninsert into nowhere values (1);\n";
    let down = ("0002_two.down.sql", "drop table if exists two;\n");
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_two.up.sql", up), down]);
    ends(&run, 81, &["0002_two.up.sql:3:", "statement 2 failed"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|partial|1|2\n");
    ends(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_applied(&database, &ALL[..1]);
    ends(&run, 81, &[]);
    ends(&downgrade(&run, "-1"), 0, &["up to date at 0001: 1 revision undone"]);
    ends(&run, 81, &[]);
    ends(&downgrade(&run, "base"), 0, &["up to date at base: 2 revisions undone"]);
    expect_applied(&database, &[]);
}

/// The same where the down migration has no transaction either: it has a journal of its own.
fn a_partial_way_up_can_be_undone_without_a_transaction<D: Database>() {
    let database = D::create("either");
    let up = "-- no-transaction\ncreate table two (id integer);\ninsert into nowhere values (1);\n";
    let down = "-- no-transaction\ndrop table if exists two;\ninsert into gate values (1);\n";
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_two.up.sql", up), ("0002_two.down.sql", down)]);
    ends(&run, 81, &[]);
    ends(&downgrade(&run, "0001"), 81, &["0002_two.down.sql:3:", "statement 2 failed"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing|1|2\n");
    ends(&run, 65, &["revision 0002 is half undone", "lockkeeper downgrade 0002-1"]);
    database.query("create table gate (n integer)");
    ends(&downgrade(&run, "0001"), 0, &["up to date at 0001: 1 revision undone"]);
    expect_applied(&database, &ALL[..1]);
}

/// Whatever comes next would have no history.
fn a_way_back_that_drops_the_history_is_no_success<D: Database>() {
    let database = D::create("either");
    let down = ("0003_three.down.sql", "drop table three;\ndrop table lockkeeper_history;\n");
    let run = run_on(&database, &FIVE).migrations(&[down]);
    ends(&run, 0, &[]);
    let parts = ["0003_three.down.sql", "lockkeeper_history", "rolled back", "2 revisions were undone before"];
    ends(&downgrade(&run, "base"), 80, &parts);
    expect_applied(&database, &ALL[..3]);
}

fn two_at_once_undo_once<D: Database>() {
    let database = D::create("either");
    let run = at_five(&database);
    let both = [downgrade(&run, "0002").spawn(), downgrade(&run, "0002").spawn()].map(|running| running.finish());
    let undone: usize = both.iter().map(|one| one.stderr.matches("undone 000").count()).sum();
    assert_eq!(undone, 3, "{}\n{}", both[0], both[1]);
    for one in both {
        ended(one, 0, &["0002"]);
    }
    expect_applied(&database, &ALL[..2]);
}

on_either!(
    a_failing_way_back_is_rolled_back_and_what_was_undone_before_is_named,
    after_a_part_of_the_steps_the_place_to_go_on_to_is_named,
    a_way_back_that_fails_at_once_without_a_transaction_leaves_the_row_alone,
    a_half_undone_revision_is_in_everybodys_way_until_it_is_finished,
    what_is_undone_already_must_stay_as_it_was,
    a_partial_way_up_can_be_undone,
    a_partial_way_up_can_be_undone_without_a_transaction,
    a_way_back_that_drops_the_history_is_no_success,
    two_at_once_undo_once,
);

/// At 0003; undoing it takes until somebody ends it.
fn slow(database: &PgDatabase<'static>, header: &str) -> Run {
    let down = format!("{header}\ndrop table three;\nselect pg_sleep(600);\n");
    let run = run_on(database, &FIVE[..6]).migrations(&[("0003_three.down.sql", &down)]);
    ends(&run, 0, &[]);
    run
}

/// No session of ours is left in the server, and so no statement and no lock.
#[track_caller]
fn expect_no_session(database: &PgDatabase<'_>) {
    let sql = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and application_name like 'lockkeeper%'",
        database.name()
    );
    wait_until("the server has no session of ours", SOON, || database.value(&sql) == "0");
}

/// 57
#[test]
fn a_signal_rolls_a_way_back_back() {
    let database = Postgres::shared().database("back_signal");
    let run = slow(&database, "");
    let running = downgrade(&run, "base").spawn();
    wait_for_query(&database, "pg_sleep");
    running.signal(Signal::TERM);
    let parts =
        ["stopped by SIGTERM", "the running revision was rolled back", "no revision was undone", "try: run again"];
    ended(running.finish(), 143, &parts);
    expect_no_session(&database);
    expect_applied(&database, &ALL[..3]);
}

/// 57
#[test]
fn a_signal_rolls_a_way_back_of_sqlite_back() {
    let database = SqliteFile::create("back_signal");
    let endless = "drop table three;\nwith recursive n (i) as (select 1 union all select i + 1 from n where i < 100000000000)\n\
                   select max(i) from n;\n";
    let run = run_on(&database, &FIVE[..6]).migrations(&[("0003_three.down.sql", endless)]);
    ends(&run, 0, &[]);
    let running = downgrade(&run, "base").spawn();
    let journal = database.path.with_extension("db-journal");
    wait_until("the transaction has written", SOON, || journal.exists());
    running.signal(Signal::TERM);
    ended(running.finish(), 143, &["stopped by SIGTERM", "the running revision was rolled back"]);
    expect_applied(&database, &ALL[..3]);
}

/// 57: without a transaction the journal has what is undone, and a rerun goes on.
#[test]
fn a_signal_in_a_way_back_without_a_transaction_leaves_a_true_journal() {
    let database = Postgres::shared().database("back_signal");
    let run = slow(&database, "-- no-transaction");
    let running = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "pg_sleep");
    running.signal(Signal::TERM);
    ended(running.finish(), 81, &["0003_three.down.sql:3:1", "stopped by SIGTERM", "run again: it goes on"]);
    expect_no_session(&database);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|applied|1|1\n0003|undoing|1|2\n");
    let corrected = "-- no-transaction\ndrop table three;\nselect pg_sleep(0);\n";
    ends(&downgrade(&run.migrations(&[("0003_three.down.sql", corrected)]), "0002"), 0, &["up to date at 0002"]);
}

/// 25: killed in the middle of a revision, a rerun converges.
#[test]
fn a_killed_way_back_is_gone_through_by_a_rerun() {
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
        // The server finds out by itself that nobody is there any more, before the gate opens.
        expect_no_session(&database);
        gate.run("rollback");
        let state = if header.is_empty() { "applied|1|1" } else { "undoing|1|2" };
        assert_eq!(journal(&database), format!("0001|applied|1|1\n0002|applied|1|1\n0003|{state}\n"));
        ends(&downgrade(&run, "base"), 0, &["up to date at base: 3 revisions undone"]);
        expect_applied(&database, &[]);
    }
}

/// Whoever comes up meanwhile waits for the lock, and then finds its way from where the other has left off.
#[test]
fn an_upgrade_waits_for_a_downgrade() {
    let database = Postgres::shared().database("back_waits");
    let run = at_five(&database).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    let mut gate = database.session();
    gate.run("begin; lock table four in access exclusive mode");
    let back = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "drop table four");
    let up = run.clone().spawn();
    // It has still four revisions applied, so there is something to do for whoever comes.
    up.wait_for("waiting for the lock");
    gate.run("rollback");
    ended(back.finish(), 0, &["up to date at 0002: 3 revisions undone"]);
    ended(up.finish(), 0, &["up to date at 0005: 3 revisions applied"]);
    expect_applied(&database, &ALL);
}

/// A revision that is being undone without a transaction is recorded as unfinished meanwhile: only under the lock is it
/// known whether somebody has to finish it.
#[test]
fn an_upgrade_waits_for_a_revision_that_is_undone_without_a_transaction() {
    let database = Postgres::shared().database("back_waits");
    let down = "-- no-transaction\ndrop table three;\nselect count(*) from two;\n";
    let run = run_on(&database, &FIVE[..6])
        .migrations(&[("0003_three.down.sql", down)])
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    ends(&run, 0, &[]);
    let mut gate = database.session();
    gate.run("begin; lock table two in access exclusive mode");
    let back = downgrade(&run, "0002").spawn();
    wait_for_query(&database, "from two");
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|applied|1|1\n0003|undoing|1|2\n");
    let [up, to_two, next] = [&["upgrade"][..], &["upgrade", "0002"], &["upgrade", "+1"]]
        .map(|arguments| run.clone().args(arguments.iter().copied()).spawn());
    for waiting in [&up, &to_two, &next] {
        waiting.wait_for("waiting for the lock");
    }
    let migrated = run.clone().args(["wait", "--migrated"]).spawn();
    migrated.wait_for("a revision is unfinished: waiting for the run that finishes it");
    // Nobody has finished it in time.
    let brief = run.clone().args(["wait", "--migrated", "--wait-timeout", "900ms"]);
    ends(&brief, 65, &["revision 0003 is half undone"]);
    // Who only reads says what is recorded.
    ends(&run.clone().arg("check"), 65, &["revision 0003 is half undone"]);
    gate.run("rollback");
    ended(back.finish(), 0, &["up to date at 0002: 1 revision undone"]);
    ended(to_two.finish(), 0, &[]);
    // `+1` means 0003 when it is the first to look; afterwards nothing is left for it.
    let next = next.finish();
    assert!(next.code == Some(0) || next.stderr.contains("goes too far"), "{next}");
    ended(up.finish(), 0, &["0003"]);
    ended(migrated.finish(), 0, &["0003"]);
    expect_applied(&database, &ALL[..3]);
}

/// The goal of `-1` is settled before the lock is waited for: two who say it mean the same revision.
#[test]
fn two_who_go_back_one_step_go_back_one_step() {
    let database = Postgres::shared().database("back_relative");
    let run = at_five(&database).env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "60s");
    let mut gate = database.session();
    gate.run("begin; lock table five in access exclusive mode");
    let first = downgrade(&run, "-1").spawn();
    wait_for_query(&database, "drop table five");
    let second = downgrade(&run, "-1").spawn();
    second.wait_for("waiting for the lock");
    gate.run("rollback");
    ended(first.finish(), 0, &["up to date at 0004: 1 revision undone"]);
    ended(second.finish(), 0, &["nothing to undo, the database is at 0004"]);
    expect_applied(&database, &ALL[..4]);
}

/// What PostgreSQL runs outside of a transaction only.
#[test]
fn an_index_is_dropped_concurrently_and_the_rest_goes_on_later() {
    let database = Postgres::shared().database("back_concurrently");
    let up = "-- no-transaction\ncreate index concurrently first on one (id);\ncreate index concurrently second on one (id);\n";
    let down = "-- no-transaction\ndrop index concurrently second;\ndrop index concurrently missing;\ndrop index concurrently first;\n";
    let run = run_on(&database, &FIVE[..2]).migrations(&[("0002_i.up.sql", up), ("0002_i.down.sql", down)]);
    ends(&run, 0, &[]);
    ends(&downgrade(&run, "-1"), 81, &["0002_i.down.sql:3:", "\"missing\" does not exist", "1 of its statements"]);
    assert_eq!(
        database
            .value("select string_agg(indexrelid::regclass::text, ' ') from pg_index where indrelid = 'one'::regclass"),
        "first"
    );
    let corrected = down.replace("drop index concurrently missing;\n", "");
    ends(&downgrade(&run.migrations(&[("0002_i.down.sql", &corrected)]), "-1"), 0, &["up to date at 0001"]);
    assert_eq!(database.value("select count(*) from pg_index where indrelid = 'one'::regclass"), "0");
}

/// What SQLite runs outside of a transaction only.
#[test]
fn a_vacuum_on_the_way_back_has_its_place_in_the_journal() {
    let database = SqliteFile::create("either");
    let down = "-- no-transaction\ndrop table two;\nvacuum;\nfail;\n";
    let run = run_on(&database, &FIVE[..4]).migrations(&[("0002_two.down.sql", down)]);
    ends(&run, 0, &[]);
    ends(&downgrade(&run, "-1"), 81, &["0002_two.down.sql:4:1", "statement 3 failed", "2 of its statements"]);
    assert_eq!(journal(&database), "0001|applied|1|1\n0002|undoing|2|3\n");
    let corrected = run.migrations(&[("0002_two.down.sql", &down.replace("fail;\n", ""))]);
    ends(&downgrade(&corrected, "-1"), 0, &["up to date at 0001"]);
}

/// 39, the other way: rows whose parents a down migration takes away keep it from being done.
#[test]
fn a_way_back_that_leaves_orphans_is_rolled_back() {
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
    ends(&run, 0, &[]);
    sqlite::query(&database.path, "insert into child values (1), (2);");
    let parts = ["0002_rows.down.sql: foreign keys lead nowhere after it: child -> parent: 2", "rolled back"];
    ends(&downgrade(&run, "-1"), 80, &parts);
    assert_eq!(database.query("select count(*) from parent"), "2\n");
    assert_eq!(database.history(), "0001|applied\n0002|applied\n");
    sqlite::query(&database.path, "delete from child;");
    ends(&downgrade(&run, "base"), 0, &["up to date at base: 2 revisions undone"]);
}
