//! Tests of backups of PostgreSQL: when they are taken, that they are complete and private, their manifest, and that
//! nothing is changed without one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::{clean_command, run_with_input};

/// The pending revision, which a run would apply if nothing stopped it.
pub const NEXT: (&str, &str) = ("0002_next.sql", "create table next (id int);");

/// Returns the names of all entries of a directory, sorted. A missing directory has none.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Returns the backups in a directory, by their final names.
pub fn backups(directory: &Path) -> Vec<PathBuf> {
    let is_backup = |name: &String| [".dump", ".dumpdir", ".db"].iter().any(|suffix| name.ends_with(suffix));
    names(directory).into_iter().filter(is_backup).map(|name| directory.join(name)).collect()
}

/// Returns the only backup in a directory.
#[track_caller]
pub fn only(directory: &Path) -> PathBuf {
    let found = backups(directory);
    assert_eq!(found.len(), 1, "{:?}", names(directory));
    found[0].clone()
}

pub fn manifest_path(backup: &Path) -> PathBuf {
    let name = backup.file_name().expect("a name").to_string_lossy().into_owned();
    backup.with_file_name(name + ".json")
}

#[track_caller]
pub fn manifest(backup: &Path) -> Value {
    let text = fs::read(manifest_path(backup)).expect("a manifest");
    serde_json::from_slice(&text).expect("JSON")
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

/// Returns the last line, which says what happened and what to do.
#[track_caller]
pub fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_else(|| panic!("it said nothing: {finished}"))
}

/// Writes an executable script. Another process writes it: a child that another test starts meanwhile would inherit our
/// open file, and a file that is open for writing cannot be executed.
pub fn script(path: &Path, text: &str) {
    let mut command = clean_command("sh");
    command.args(["-c", r#"cat >"$0"; chmod 755 "$0""#]).arg(path);
    assert!(run_with_input(command, &format!("#!/bin/sh\n{text}\n")).status.success());
}

/// A uid that no user of this machine has.
pub const OTHER_UID: u32 = 54321;

/// Runs as a user who may not override permissions.
pub fn as_other_user(run: Run) -> Run {
    if !rustix::process::geteuid().is_root() {
        return run;
    }
    chown(run.dir(), Some(OTHER_UID), Some(OTHER_UID)).expect("chown");
    let id = OTHER_UID.to_string();
    run.under(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"])
}

/// Returns the uid under which `as_other_user` runs.
pub fn other_uid() -> u32 {
    let uid = rustix::process::geteuid();
    if uid.is_root() { OTHER_UID } else { uid.as_raw() }
}

/// Creates a database with a table and rows, and a run with one pending revision.
pub fn with_data(name: &str) -> (PgDatabase<'static>, Run) {
    let database = Postgres::shared().database(name);
    database.execute("create table kept (id int primary key, note text); insert into kept values (1, 'one');");
    let run = Run::new().url(&database.url()).migrations(&[NEXT]);
    (database, run)
}

/// Expects that nothing was changed, and that the last line says so.
#[track_caller]
pub fn expect_unchanged(database: &PgDatabase, finished: &Finished) {
    let tables = database.value("select string_agg(tablename, ' ') from pg_tables where schemaname = 'public'");
    assert_eq!(tables, "kept", "{finished}");
    assert!(last_line(finished).contains("nothing was changed; try: "), "{finished}");
    finished.does_not_say(PASSWORD);
}

/// A backup is taken only when there is something to lose and something to apply.
#[test]
fn an_empty_database_and_one_with_nothing_pending_need_no_backup_and_no_pg_dump() {
    let database = Postgres::shared().database("fresh");
    let run = Run::new()
        .url(&database.url())
        .env("LOCKKEEPER_PG_DUMP", "/nowhere/pg_dump")
        .env("LOCKKEEPER_BACKUP_DIR", "/proc/no-such-directory")
        .migrations(&[("0001_first.sql", "create table first (id int);")]);
    run.output().expect_code(0).says("no backup: the database is empty");
    assert_eq!(database.value("select backup is null from lockkeeper_history"), "t");
    let again = run.output();
    again.expect_code(0).does_not_say("backup");
    assert!(last_line(&again).contains("nothing pending"), "{again}");
    // The same run with data and a pending revision.
    let finished = run.migrations(&[NEXT]).output();
    finished.expect_code(73);
    assert_eq!(database.value("select count(*) from lockkeeper_history"), "1");
}

/// The backup before a change is complete, verified and readable for its owner alone.
#[test]
fn a_pending_revision_is_preceded_by_exactly_one_verified_private_backup() {
    let database = Postgres::shared().database("backup_one");
    let run = Run::new()
        .url(&database.url())
        .migrations(&[("0001_first.sql", "create table first (id int); insert into first values (7);")]);
    run.output().expect_code(0);
    let clock = "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let before = database.value(clock);
    let run = run.migrations(&[NEXT, ("0003_last.sql", "create table last (id int);")]);
    let directory = run.dir().join("backups");
    let replicas: Vec<_> = (0..4).map(|_| run.spawn()).collect();
    for replica in replicas {
        replica.finish().expect_code(0).does_not_say(PASSWORD);
    }
    let backup = only(&directory);
    let name = backup.file_name().expect("a name").to_str().expect("UTF-8");
    assert_eq!(names(&directory), [name.to_owned(), format!("{name}.json")]);
    let rows = database.query("select revision, backup from lockkeeper_history order by revision");
    assert_eq!(rows, format!("0001|\n0002|{name}\n0003|{name}\n"));
    assert_eq!((mode(&directory), mode(&backup), mode(&manifest_path(&backup))), (0o700, 0o600, 0o600));

    let manifest = manifest(&backup);
    let mut sum = clean_command("sha256sum");
    sum.arg(&backup);
    let sum = String::from_utf8(run_with_input(sum, "").stdout).expect("UTF-8");
    let text = |key: &str| manifest[key].as_str().unwrap_or_else(|| panic!("{key}: {manifest}")).to_owned();
    assert_eq!(text("sha256"), sum.split(' ').next().unwrap_or_default());
    assert_eq!(manifest["bytes"].as_u64(), Some(fs::metadata(&backup).expect("metadata").len()));
    assert_eq!(text("file"), name);
    assert_eq!((text("kind"), text("database")), ("postgresql".into(), database.name().into()));
    assert_eq!(text("server_version"), database.value("show server_version"));
    assert!(text("tool_version").starts_with("pg_dump (PostgreSQL) "), "{manifest}");
    assert_eq!(text("lockkeeper_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!((text("from_revision"), text("to_revision")), ("0001".into(), "0003".into()));
    let times = [before, text("started_at"), text("verified_at"), database.value(clock)];
    assert!(times.is_sorted(), "{times:?}");
}

/// Restoring a backup gives the rows, the large objects and the schema that were backed up.
#[test]
fn a_backup_restores_with_equal_rows_and_large_objects() {
    let (database, run) = with_data("backup_restore");
    database.execute(
        "insert into kept select i, repeat(md5(i::text), 20) from generate_series(2, 3000) i;
         create schema other; create view other.few as select * from kept where id < 3;
         select lo_from_bytea(4242, decode(repeat('00ff10', 5000), 'hex'));",
    );
    run.output().expect_code(0);
    let scratch = Postgres::shared().database("backup_restored");
    let mut restore = clean_command(crate::support::process::postgres_program("pg_restore"));
    Postgres::shared().set_connection(&mut restore, scratch.name());
    restore.args(["--exit-on-error", "--dbname", scratch.name()]).arg(only(&run.dir().join("backups")));
    let restored = run_with_input(restore, "");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    for sql in [
        "select count(*), md5(string_agg(id || note, ',' order by id)) from kept",
        "select * from other.few",
        "select md5(lo_get(4242))",
    ] {
        assert_eq!(scratch.query(sql), database.query(sql), "{sql}");
    }
    // The backup was taken before the change.
    assert_eq!(scratch.value("select to_regclass('next') is null"), "t");
}

/// A run with backups switched off records the waiver in the log and in the history.
#[test]
fn switching_backups_off_is_logged() {
    let (database, run) = with_data("backup_waived");
    let run = run.env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_PG_DUMP", "/nowhere/pg_dump");
    run.output().expect_code(0).says("warn").says("no backup: LOCKKEEPER_BACKUP is off");
    assert_eq!(names(&run.dir().join("backups")), [""; 0]);
    assert_eq!(database.value("select backup is null from lockkeeper_history"), "t");
}
