//! Tests of the choice among the ways to back up, of the budget for a file, and of which backups are kept.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::backup::{backups, expect_unchanged, last_line, manifest, manifest_path, names, only, with_data};
use crate::backup_sqlite;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::postgres::{Postgres, Setup};

/// Sets a field of a manifest.
fn set(backup: &Path, key: &str, value: impl Into<Value>) {
    let mut changed = manifest(backup);
    changed[key] = value.into();
    fs::write(manifest_path(backup), changed.to_string()).expect("write");
}

#[test]
fn a_list_of_ways_or_a_budget_that_makes_no_sense_is_refused_before_anything_is_done() {
    let (_, run) = backup_sqlite::with_data();
    for (variable, value, reason) in [
        ("LOCKKEEPER_BACKUP", "dump,snapshot", "\"snapshot\" is no way to back up"),
        ("LOCKKEEPER_BACKUP", "off,dump", "write off last"),
        ("LOCKKEEPER_BACKUP", "dump,required", "given twice"),
        ("LOCKKEEPER_BACKUP", "point", "SQLite has no restore points"),
        ("LOCKKEEPER_BACKUP_MAX_SIZE", "20 gigabytes", "is not a size"),
        ("LOCKKEEPER_BACKUP_MAX_TIME", "soon", "is not a duration"),
        ("LOCKKEEPER_BACKUP_KEEP", "30 days", "write 5, 30d or 5,30d"),
    ] {
        let finished = run.clone().env(variable, value).output();
        finished.expect_code(78).says(variable).says(reason);
    }
    run.clone().arg("--backup=of").output().expect_code(64).says("--backup").says("\"of\"");
    for (ways, variable, value) in
        [("dump,off", "LOCKKEEPER_ON_FAILURE", "restore"), ("dump,off", "LOCKKEEPER_REHEARSE", "true")]
    {
        let finished = run.clone().env("LOCKKEEPER_BACKUP", ways).env(variable, value).output();
        finished.expect_code(78).says(variable).says(&format!("LOCKKEEPER_BACKUP is {ways}"));
    }
    assert_eq!(names(&run.dir().join("backups")), Vec::<String>::new());
    run.env("LOCKKEEPER_BACKUP", "required").output().expect_code(0).says("backup taken and verified");
}

/// A file that is estimated to be over the budget is not begun, and the run ends before it changes anything.
#[test]
fn a_file_over_the_budget_is_not_begun() {
    let (database, run) = with_data("backup_budget");
    database.execute("insert into kept select n, md5(n::text) from generate_series(2, 20000) n");
    for (variable, value, basis) in [
        ("LOCKKEEPER_BACKUP_MAX_SIZE", "8kB", "by a sample of"),
        ("LOCKKEEPER_BACKUP_MAX_TIME", "1ms", "by a sample of"),
    ] {
        let finished = run.clone().env(variable, value).output();
        finished.expect_code(84).says("no way to back up fits: dump: it would take about").says(basis);
        expect_unchanged(&database, finished.says(&format!("and {variable} is")));
        assert!(last_line(&finished).contains("raise LOCKKEEPER_BACKUP_MAX_SIZE"), "{finished}");
    }
    assert_eq!(names(&run.dir().join("backups")), Vec::<String>::new());
    let run = run.env("LOCKKEEPER_BACKUP_MAX_SIZE", "1GB").env("LOCKKEEPER_BACKUP_MAX_TIME", "1h");
    run.output().expect_code(0).says("the file would have about").says("up to date at 0002: 1 applied, backup");
}

/// The rows of a table that only its owner may read, that row security hides, or that somebody has locked are not
/// sampled, and no function of its owner runs.
#[test]
fn a_sample_runs_nothing_of_the_owner_of_a_table() {
    let (database, run) = with_data("backup_sample");
    database.execute(
        "insert into kept select n, md5(n::text) from generate_series(2, 20000) n; analyze kept; \
         create function spy(kept) returns text language plpgsql as $$ begin raise exception 'the cast ran'; end $$; \
         create cast (kept as text) with function spy(kept)",
    );
    let finished = run.env("LOCKKEEPER_BACKUP_MAX_SIZE", "1GB").output();
    finished.expect_code(0).says("by a sample of").does_not_say("the cast ran");
}

/// What did not fit is in the log, in the history, and in the last line of a run without a backup.
#[test]
fn a_way_that_is_passed_over_is_recorded_with_its_reason() {
    let (database, run) = with_data("backup_passed_over");
    let run = run.env("LOCKKEEPER_BACKUP", "dump,off").env("LOCKKEEPER_BACKUP_MAX_SIZE", "0B");
    let finished = run.output();
    finished.expect_code(0).says("no backup by dump: it would take about").says("LOCKKEEPER_BACKUP_MAX_SIZE is 0 B");
    let recorded = database.value("select backup from lockkeeper_history where revision = '0002'");
    assert!(recorded.starts_with("off; dump passed over: it would take about"), "{recorded}");
    assert_eq!(names(&run.dir().join("backups")), Vec::<String>::new());
}

/// The time and the size of an earlier backup of the same database count for more than a sample, and those of another
/// one do not count.
#[test]
fn an_estimate_is_based_on_the_last_backup_of_the_same_database() {
    let (_, run) = backup_sqlite::with_data();
    run.clone().arg("backup").output().expect_code(0);
    let taken = only(&run.dir().join("backups"));
    set(&taken, "started_at", "2026-01-12T09:00:00Z");
    set(&taken, "verified_at", "2026-01-12T10:00:00Z");
    let limited = run.clone().env("LOCKKEEPER_BACKUP_MAX_TIME", "30m");
    let finished = limited.output();
    finished.expect_code(84).says("it would take about 1 h 0 min by the backup ").says("is 30 min 0 s");
    set(&taken, "database_id", "1.5-1:another");
    limited.output().expect_code(0).says("the file would have about");
}

/// A connection that the server does not have any more, or a lock table that is too small, is an obstacle that another
/// way can avoid.
#[test]
fn a_server_without_room_for_the_dump_is_an_obstacle() {
    let (database, run) = with_data("backup_no_room");
    database.execute("create role narrow login superuser password 'narrow'");
    database.execute("alter role narrow nosuperuser connection limit 2; grant all on schema public to narrow; grant all on kept to narrow");
    let run = run.url(&database.url_as("narrow", "narrow")).env("LOCKKEEPER_BACKUP", "dump,off");
    run.output().expect_code(0).says("no backup by dump: the server has no free connection");
}

/// With an age and a number, a backup stays if either of them keeps it.
#[test]
fn backups_are_kept_by_number_and_by_age() {
    for (keep, left) in [("2", 2), ("30d", 3), ("4,30d", 4), ("1,30d", 3), ("100w", 5)] {
        let (_, run) = backup_sqlite::with_data();
        let directory = run.dir().join("backups");
        for _ in 0..4 {
            run.clone().arg("backup").output().expect_code(0);
        }
        let old = "2024-01-12T09:30:00Z";
        for backup in &backups(&directory)[..2] {
            set(backup, "verified_at", if keep == "100w" { "2026-01-12T09:30:00Z" } else { old });
        }
        run.clone().env("LOCKKEEPER_BACKUP_KEEP", keep).arg("backup").output().expect_code(0);
        assert_eq!(backups(&directory).len(), left, "{keep}: {:?}", names(&directory));
    }
}

on_either!(the_backup_before_a_failed_release_outlives_those_of_later_runs);

/// Later ups and downs delete each other's backups, and not the one from which the failed release can be undone.
fn the_backup_before_a_failed_release_outlives_those_of_later_runs<D: Database>() {
    let database = D::create("backup_failed_release");
    let good = [("0001_one.up.sql", "create table one (id int);"), ("0001_one.down.sql", "drop table one;")];
    let next = [("0002_two.up.sql", "create table two (id int);"), ("0002_two.down.sql", "drop table two;")];
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP_DIR", "kept").env("LOCKKEEPER_BACKUP_KEEP", "2");
    let run = run.migrations(&good);
    run.output().expect_code(0);
    let run = run.migrations(&[("0002_two.up.sql", "create table two (id int); no;")]);
    run.output().expect_code(80);
    let before_failure = only(&run.dir().join("kept"));
    assert_eq!(manifest(&before_failure)["run"], "begun");
    let run = run.migrations(&next);
    for _ in 0..3 {
        run.clone().output().expect_code(0);
        run.clone().args(["downgrade", "0001"]).output().expect_code(0);
    }
    let left = backups(&run.dir().join("kept"));
    assert!(before_failure.exists(), "{left:?}");
    assert_eq!(left.len(), 2, "{left:?}");
    let newest = left.iter().find(|backup| **backup != before_failure).expect("another one");
    assert_eq!(manifest(newest)["run"], "succeeded");
}

/// The plan says which ways a run would try.
#[test]
fn a_plan_names_the_ways() {
    let (_database, run) = with_data("backup_plan_ways");
    let run = run.args(["upgrade", "--plan"]).env("LOCKKEEPER_BACKUP", "point,dump");
    let finished = run.output();
    assert!(finished.expect_code(0).stdout.contains("by the first of these ways that fits: point,dump"), "{finished}");
}

/// Counting the rows takes a lock on each table and on each of its indexes, and gives them back: the lock table need not
/// have room for more than `pg_dump` takes.
#[test]
fn a_database_of_many_tables_needs_no_more_locks_than_pg_dump() {
    let server = Postgres::start(Setup::default().conf("max_locks_per_transaction = 10").conf("max_connections = 20"));
    let database = server.database("many");
    // Each in a transaction of its own, for the same reason.
    let tables: Vec<String> = (0..400)
        .map(|table| format!("create table t{table} (id int primary key, a int unique, b int unique, c int unique);"))
        .collect();
    database.execute(&tables.join("\n"));
    let run = Run::new().url(&database.url()).arg("backup");
    run.output().expect_code(0).says("backup taken and verified");
    let taken = only(&run.dir().join("backups"));
    assert_eq!(manifest(&taken)["rows"].as_object().map(serde_json::Map::len), Some(400));
}
