//! Tests of `stamp`, which records revisions without running them, on both databases.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::backup_sqlite::Session;
use crate::contract::{ONE, THREE, TWO, expect_end, remove, run_on};
use crate::lock_sqlite::Writer;
use crate::support::binary::{Finished, Run, Running};
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Masks for what differs from run to run, and from database to database.
pub const MASKS: &[(&str, &str)] = &[
    (r"\d\d:\d\d:\d\dZ", "[time]"),
    (r"(duration_ms|bytes)=\d+", "$1=[n]"),
    // Each run has a database of its own; a separate test checks how it is named.
    (r"\[time\] info  using the database .*\n", ""),
    (r#" database="[^"]*""#, ""),
    (r#","database":"[^"]*""#, ""),
    (r"([0-9a-f]{8})[0-9a-f]{56}", "$1..."),
    // A second backup of the same second has a number.
    (r#"safe/[^\s"]+-from-([a-z0-9]+)(-\d+)?\.(db|dump)"#, "[backup from $1]"),
];

/// Compares the whole log of a run with a snapshot; both databases share one when they must log the same.
macro_rules! assert_log {
    ($name:expr, $finished:expr) => {
        insta::with_settings!({filters => MASKS.iter().copied()}, {
            insta::assert_snapshot!($name, $finished.stderr);
        })
    };
}
pub(crate) use assert_log;

/// Takes backups into the directory `safe`.
fn with_backups(run: Run) -> Run {
    run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe")
}

fn stamp(run: &Run, target: &str) -> Run {
    run.clone().args(["stamp", target])
}

/// Returns the history as `0001 applied, 0002 partial`.
pub fn history(database: &impl Database) -> String {
    let rows = database.query("select revision, state from lockkeeper_history order by revision");
    rows.lines().map(|row| row.replace('|', " ")).collect::<Vec<_>>().join(", ")
}

fn backups(run: &Run) -> usize {
    let endings = [".db", ".dump"];
    endings.map(|ending| crate::lock::files(&run.dir().join("safe"), ending).len()).iter().sum()
}

fn an_existing_schema_is_stamped_and_the_next_upgrade_applies_new_revisions<D: Database>() {
    let database = D::create("stamp");
    database.query("create table one (id integer primary key)");
    database.query("create table two (id integer primary key)");
    let down = ("0002_two.down.sql", "drop table two;\n");
    // The output of pg_dump cannot be run as a migration, and need not be.
    let dumped = "COPY public.one (id) FROM stdin;\n1\n\\.\n";
    let run = with_backups(run_on(&database, &[("0001_one.up.sql", dumped), TWO, down]));
    let finished = expect_end(&stamp(&run, "head"), 0, &["it is assumed"]);
    assert_log!("an_existing_schema", finished);
    let columns = "select revision, description, state, duration_ms, statements_done, statements_total,
                   length(checksum), length(down_checksum) from lockkeeper_history order by revision";
    assert_eq!(database.query(columns), "0001|one|applied|0|0|0|64|\n0002|two|applied|0|0|0|64|64\n");
    let backup_names = database.query("select distinct backup from lockkeeper_history");
    assert!(run.dir().join("safe").join(backup_names.trim()).is_file(), "the backup of the rows: {backup_names}");
    expect_end(&run.clone().arg("check"), 0, &["0002"]);

    let finished = expect_end(&run.clone().migrations(&[THREE]), 0, &["up to date at 0003"]);
    finished.does_not_say("applied 0002").says("applied 0003_three.up.sql");
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
}

fn stamping_down_and_up_changes_only_the_rows_between<D: Database>() {
    let database = D::create("stamp");
    let run = with_backups(run_on(&database, &[ONE, TWO, THREE]));
    expect_end(&run, 0, &["up to date at 0003"]);
    let first = "select * from lockkeeper_history where revision = '0001'";
    let before = database.query(first);
    assert_log!("back", expect_end(&stamp(&run, "0001"), 0, &[]));
    assert_eq!(history(&database), "0001 applied");
    assert!(database.has_table("three"), "a stamp runs nothing");
    // Objects that exist already would make it fail now: the history records what stamp was told.
    expect_end(&run, 80, &["0002_two.up.sql"]);

    let backups_before = backups(&run);
    let finished = stamp(&run, "0001+1").arg("--json").output();
    let result: Value = serde_json::from_str(&finished.expect_code(0).stdout).expect("JSON");
    assert_eq!(result["revision"], "0002");
    assert_eq!(result["applied"], Value::Array(vec![]), "nothing was applied: {finished}");
    assert!(run.dir().join(result["backup"].as_str().expect("a file")).is_file(), "{finished}");
    assert_eq!(backups(&run), backups_before + 1);
    for target in ["0002", "2", "head-1"] {
        assert_log!("nothing_to_stamp", expect_end(&stamp(&run, target), 0, &["nothing to stamp"]));
    }
    assert_eq!(backups(&run), backups_before + 1, "nothing to do, and yet a backup");
    expect_end(&stamp(&run, "head"), 0, &["stamped at 0003: 1 recorded without running"]);
    assert_eq!(database.query(first), before, "a row that stays");
    expect_end(&run, 0, &["nothing pending"]);
}

/// An empty history records that no revision is applied, and that no other tool's history counts.
fn base_leaves_an_empty_history<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, TWO]);
    assert_log!("base_of_a_fresh_database", expect_end(&stamp(&run, "base"), 0, &[]));
    assert!(database.has_table("lockkeeper_history"));
    expect_end(&stamp(&run, "base"), 0, &["nothing to stamp, the history is at base"]);
    expect_end(&run, 0, &["up to date at 0002: 2 revisions applied"]);
    assert_log!("base", expect_end(&stamp(&run, "base"), 0, &[]));
    assert_eq!(history(&database), "");
    assert!(database.has_table("lockkeeper_history") && database.has_table("one"));
}

const HALF: (&str, &str) =
    ("0002_half.up.sql", "-- no-transaction\ncreate table half (id integer);\ninsert into nowhere values (1);\n");
const HALF_DOWN: (&str, &str) = ("0002_half.down.sql", "-- no-transaction\ndrop table half;\ndelete from nowhere;\n");

fn an_unfinished_row_becomes_applied_or_is_removed<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, HALF, HALF_DOWN]);
    expect_end(&run, 81, &["0002_half.up.sql"]);
    assert_eq!(history(&database), "0001 applied, 0002 partial, see the journal");
    assert_log!("a_partial_row_becomes_applied", expect_end(&stamp(&run, "head"), 0, &[]));
    assert_eq!(history(&database), "0001 applied, 0002 applied");
    expect_end(&run, 0, &["nothing pending"]);

    expect_end(&run.clone().args(["downgrade", "-1"]), 81, &["0002_half.down.sql"]);
    assert_eq!(history(&database), "0001 applied, 0002 undoing, see the journal");
    assert_log!("a_half_undone_row_goes", expect_end(&stamp(&run, "0001"), 0, &[]));
    assert_eq!(history(&database), "0001 applied");

    expect_end(&stamp(&run, "head"), 0, &[]);
    database.query("create table half (id integer)");
    expect_end(&run.clone().args(["downgrade", "-1"]), 81, &["0002_half.down.sql"]);
    assert_eq!(history(&database), "0001 applied, 0002 undoing, see the journal");
    assert_log!("a_half_undone_row_becomes_applied", expect_end(&stamp(&run, "head"), 0, &[]));
    assert_eq!(history(&database), "0001 applied, 0002 applied");
}

/// The history table from before there were down migrations.
fn an_older_history_gets_its_new_column<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, TWO, ("0002_two.down.sql", "drop table two;\n")]);
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    database.query("alter table lockkeeper_history drop column down_checksum");
    expect_end(&stamp(&run, "head"), 0, &["1 recorded"]);
    let sums = "select revision, length(down_checksum) from lockkeeper_history order by revision";
    assert_eq!(database.query(sums), "0001|\n0002|64\n");
}

/// Invalid targets are found before the run connects; this database does not exist.
#[test]
fn invalid_targets_are_refused_without_a_database() {
    let files = [("0001_one.sql", ""), ("0021_two.sql", ""), ("0022_three.sql", "")];
    let run = Run::new().url("postgresql://nobody@127.0.0.1:1/none").migrations(&files);
    let mut errors = String::new();
    for target in ["0003", "002", "+1", "-1", "0001-2", "head+1", "nonsense", ""] {
        let finished = expect_end(&stamp(&run, target), 64, &["nothing was changed"]);
        errors += &format!("stamp {target:?}\n{}", finished.stderr);
    }
    let finished = Finished { stderr: errors, ..run.clone().args(["stamp", "nonsense"]).output() };
    assert_log!("targets_that_fit_nothing", finished);
    let run = run.migrations(&[("0023_fork.sql", "-- depends: 0001\n")]);
    expect_end(&stamp(&run, "head"), 65, &["2 heads", "0022_three.sql, 0023_fork.sql", "lockkeeper merge"]);
}

fn several_heads_are_stamped_together<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, TWO, ("0003_fork.sql", "-- depends: 0001\ncreate table f (a int);")]);
    expect_end(&stamp(&run, "heads"), 0, &["stamped at 0002, 0003: 3 recorded", "what 0002, 0003 leave"]);
    expect_end(&stamp(&run, "0002"), 0, &["stamped at 0002: 1 removed"]);
    assert_eq!(history(&database), "0001 applied, 0002 applied");
}

/// The parents of these revisions are unknown, so nobody can tell whether they stay.
fn revisions_without_a_file_are_named<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, TWO, THREE]);
    expect_end(&run, 0, &[]);
    remove(&run, "0001_one.up.sql");
    remove(&run, "0003_three.up.sql");
    for target in ["head", "base"] {
        assert_log!("revisions_not_in_the_directory", expect_end(&stamp(&run, target), 65, &["0001, 0003"]));
    }
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
}

/// Creates twenty revisions, and a history that refuses the thirteenth row.
fn twenty(database: &impl Database, at_the_thirteenth: &str) -> Run {
    let run = run_on(database, &[]);
    expect_end(&stamp(&run.clone().migrations(&[ONE]), "base"), 0, &[]);
    remove(&run, "0001_one.up.sql");
    let refusal = match is_sqlite(database) {
        // PostgreSQL refuses triggers on a history table.
        true => "drop table lockkeeper_history;
             create table lockkeeper_history (revision text primary key check (revision <> '0013'), description, checksum,
             applied_at, duration_ms, state, statements_done, statements_total, applied_by, lockkeeper_version, backup,
             down_checksum)"
            .to_owned(),
        false => format!(
            "create function thirteen() returns trigger language plpgsql as
             $$ begin if new.revision = '0013' then perform {at_the_thirteenth}; end if; return new; end $$;
             create trigger thirteen before insert on lockkeeper_history for each row execute function thirteen()"
        ),
    };
    database.query(&refusal);
    (1..=20).fold(run, |run, number| run.file(format!("migrations/{number:04}_x.sql"), "select 1;"))
}

fn is_sqlite(database: &impl Database) -> bool {
    database.url().starts_with("sqlite")
}

fn a_failure_in_the_middle_records_nothing<D: Database>() {
    let database = D::create("stamp");
    let run = twenty(&database, "1 / (random() * 0)::int");
    expect_end(&stamp(&run, "head"), 80, &["record: changing the history failed", "nothing was changed"]);
    assert_eq!(history(&database), "");
    let why = if is_sqlite(&database) { "CHECK constraint failed" } else { "division by zero" };
    expect_end(&stamp(&run, "0013"), 80, &[why]);
    expect_end(&stamp(&run, "0012"), 0, &["12 recorded"]);
    expect_end(&stamp(&run, "head"), 80, &[]);
    assert_eq!(history(&database).matches("applied").count(), 12);
}

/// Starts a stamp that cannot finish, and waits until it has written something.
fn unfinished_stamp<D: Database>(database: &D, run: &Run) -> (Running, Option<Session>) {
    let file = database.url().trim_start_matches("sqlite:///").to_owned();
    // A reader keeps a commit waiting.
    let reader = is_sqlite(database).then(|| Session::open(Path::new(&file)));
    if let Some(reader) = &reader {
        reader.run("begin; select count(*) from sqlite_schema;");
    }
    let running = stamp(run, "head").spawn();
    wait_until("the stamp is in the middle", DEFAULT_TIMEOUT, || match is_sqlite(database) {
        true => Path::new(&(file.clone() + "-journal")).exists(),
        false => {
            let sql =
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
            database.query(sql) == "1\n"
        }
    });
    (running, reader)
}

/// A query that runs long enough for any machine.
const ENDLESS_QUERY: &str = "(with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n)";

fn a_stamp_that_is_killed_or_stopped_records_nothing<D: Database>() {
    let database = D::create("stamp");
    let run = match is_sqlite(&database) {
        true => (1..=20)
            .fold(run_on(&database, &[]), |run, number| run.file(format!("migrations/{number:04}_x.sql"), "select 1;")),
        false => twenty(&database, "pg_sleep(600)"),
    };
    database.query("create table precious (id integer)");
    let (stopped, reader) = unfinished_stamp(&database, &run);
    stopped.signal(Signal::TERM);
    let finished = stopped.finish();
    finished.expect_code(143).says("stopped by SIGTERM; nothing was changed");
    drop(reader);
    let recorded = || match database.has_table("lockkeeper_history") {
        true => history(&database),
        false => String::new(),
    };
    assert_eq!(recorded(), "", "{finished}");

    let (killed, reader) = unfinished_stamp(&database, &run);
    killed.kill();
    drop(reader);
    wait_until("the server has noticed", DEFAULT_TIMEOUT, || {
        is_sqlite(&database)
            || database.query("select count(*) from pg_stat_activity where application_name = 'lockkeeper' and datname = current_database()") == "0\n"
    });
    assert_eq!(recorded(), "");
    if !is_sqlite(&database) {
        database.query("drop function thirteen cascade");
    }
    expect_end(&stamp(&run, "head"), 0, &["20 recorded"]);
}

fn without_a_backup_nothing_is_recorded<D: Database>() {
    let database = D::create("stamp");
    database.query("create table precious (id integer)");
    let run = with_backups(run_on(&database, &[ONE])).file("safe", "a file, no directory");
    expect_end(&stamp(&run, "head"), 73, &["nothing was changed", "LOCKKEEPER_BACKUP_DIR"]);
    assert!(!database.has_table("lockkeeper_history"));
}

/// Starts a run that holds the lock until it is killed.
pub fn lock_holder(database: &impl Database, run: &Run) -> Running {
    let lasts = if is_sqlite(database) { ENDLESS_QUERY } else { "pg_sleep(600)" };
    let other = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    for entry in fs::read_dir(run.dir().join("migrations")).expect("a directory").flatten() {
        let to = other.dir().join("migrations");
        fs::create_dir_all(&to).expect("a directory");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
    let lock_holder = other.migrations(&[("0099_lasts.sql", &format!("select {lasts};"))]).spawn();
    lock_holder.wait_for("LOCKKEEPER_BACKUP is off");
    lock_holder
}

fn a_stamp_waits_for_a_run_that_holds_the_lock<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&stamp(&run, "0001"), 0, &[]);
    let lock_holder = lock_holder(&database, &run.clone().file("migrations/0002_two.up.sql", ""));
    let impatient = stamp(&run, "base").args(["--lock-timeout", "0"]);
    expect_end(&impatient, 75, &["another run held the lock", "nothing was changed"]);
    let waiting = stamp(&run, "base").spawn();
    waiting.wait_for("waiting for the lock");
    waiting.signal(Signal::TERM);
    waiting.finish().expect_code(143).says("nothing was changed");
    let waiting = stamp(&run, "base").spawn();
    waiting.wait_for("waiting for the lock");
    lock_holder.kill();
    waiting.finish().expect_code(0).says("stamped at base");
    assert_eq!(history(&database), "");
}

fn ten_thousand_revisions_are_one_transaction<D: Database>() {
    let database = D::create("stamp");
    let run = run_on(&database, &[]);
    for number in 1..=10_000 {
        fs::write(run.dir().join(format!("migrations/{number:05}_x.sql")), "select 1;").expect("a file");
    }
    expect_end(&stamp(&run, "head"), 0, &["stamped at 10000: 10000 recorded"]);
    let times = "select count(*), count(distinct revision) from lockkeeper_history where state = 'applied'";
    assert_eq!(database.query(times), "10000|10000\n");
    expect_end(&run, 0, &["nothing pending"]);
}

#[test]
fn a_missing_sqlite_file_is_created() {
    let database = SqliteFile::create("stamp");
    let run = run_on(&database, &[ONE]);
    let finished = expect_end(&stamp(&run, "1"), 0, &["stamped at 0001: 1 recorded"]);
    finished.says("the database is empty: nothing of what is recorded now is in it");
    assert_eq!(history(&database), "0001 applied");
}

#[test]
fn a_locked_history_table_is_not_changed() {
    let database = Postgres::shared().database("stamp");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&stamp(&run, "0001"), 0, &[]);
    let mut lock_session = database.session();
    lock_session.run("begin; lock table lockkeeper_history in share mode");
    let brief = stamp(&run, "head").env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "2s");
    let blocked = format!("blocked by pid {}", lock_session.backend());
    expect_end(&brief, 82, &["changing the history failed", &blocked, "nothing was changed"]);
    let waiting = stamp(&run, "head").env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0").spawn();
    wait_until("the stamp waits for the table", DEFAULT_TIMEOUT, || {
        let waits = "select count(*) from pg_locks where relation = 'lockkeeper_history'::regclass and not granted";
        database.value(waits) == "1"
    });
    waiting.signal(Signal::INT);
    waiting.finish().expect_code(130).says("stopped by SIGINT; nothing was changed");
    lock_session.run("commit");
    assert_eq!(history(&database), "0001 applied");
}

#[test]
fn another_writer_of_the_sqlite_file_is_waited_for() {
    let database = SqliteFile::create("stamp");
    database.query("create table app (id integer)");
    let run = run_on(&database, &[ONE, TWO]);
    let file = database.url().trim_start_matches("sqlite:///").to_owned();
    let writer = Writer::open(Path::new(&file), "begin immediate");
    expect_end(&stamp(&run, "head").args(["--lock-timeout", "1s"]), 75, &["app.db", "nothing was changed"]);
    let patient = stamp(&run, "head").spawn();
    patient.wait_for("waiting for another connection");
    writer.commit();
    patient.finish().expect_code(0);
    assert_eq!(history(&database), "0001 applied, 0002 applied");
}

#[test]
fn a_connection_lost_at_the_commit_is_an_unknown_outcome() {
    let database = Postgres::shared().database("stamp");
    let run = twenty(&database, "pg_sleep(600)");
    let (running, _) = unfinished_stamp(&database, &run);
    database.terminate_all();
    let finished = running.finish();
    finished.expect_code(83).says("whether the history was changed is not known; try: run again");
    assert_eq!(history(&database), "");
}

/// While a stamp waits for another writer, the file that it has locked, or the database file, is removed.
#[test]
fn files_that_are_removed_meanwhile_are_noticed_before_anything_is_recorded() {
    for (ending, code, says) in [
        (".lockkeeper.lock", 80, "our lock was lost before the history was changed"),
        ("", 74, "the file was moved or replaced by another"),
    ] {
        let database = SqliteFile::create("stamp");
        database.query("create table app (id integer)");
        let run = run_on(&database, &[ONE, TWO]);
        let file = database.url().trim_start_matches("sqlite:///").to_owned();
        let writer = Writer::open(Path::new(&file), "begin immediate");
        let waiting = stamp(&run, "head").spawn();
        waiting.wait_for("waiting for another connection");
        fs::rename(format!("{file}{ending}"), format!("{file}.moved")).expect("take it away");
        if ending.is_empty() {
            fs::write(&file, "").expect("another file");
        }
        writer.commit();
        waiting.finish().expect_code(code).says(says).says("nothing was changed");
        assert!(!database.has_table("lockkeeper_history"));
    }
}

/// A role that may read the history but not write it.
#[test]
fn a_missing_privilege_is_named() {
    let server = Postgres::shared();
    let database = server.database("stamp");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&stamp(&run, "0001"), 0, &[]);
    let role = crate::support::unique("reader");
    server.execute(&format!("create role {role} login password 'reader7secret'"));
    database.execute(&format!("grant select on lockkeeper_history to {role}"));
    let reader = run.clone().url(&database.url_as(&role, "reader7secret"));
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"lockkeeper_history\" TO \"{role}\"");
    let parts = ["permission denied", "lockkeeper_history", &grant, "nothing was changed", "try: grant the privilege"];
    expect_end(&stamp(&reader, "head"), 77, &parts);
    assert_eq!(history(&database), "0001 applied");
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

on_either!(
    an_existing_schema_is_stamped_and_the_next_upgrade_applies_new_revisions,
    stamping_down_and_up_changes_only_the_rows_between,
    base_leaves_an_empty_history,
    an_unfinished_row_becomes_applied_or_is_removed,
    an_older_history_gets_its_new_column,
    several_heads_are_stamped_together,
    revisions_without_a_file_are_named,
    a_failure_in_the_middle_records_nothing,
    a_stamp_that_is_killed_or_stopped_records_nothing,
    without_a_backup_nothing_is_recorded,
    a_stamp_waits_for_a_run_that_holds_the_lock,
    ten_thousand_revisions_are_one_transaction,
);
