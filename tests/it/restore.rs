//! Tests of `restore` on both databases: afterwards everything is as it was at the backup, or as it was before the
//! command.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::backup::{last_line, manifest, manifest_path, names};
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::either::{Database, SqliteFile};
use crate::support::{DEFAULT_TIMEOUT, wait_until};
use crate::verbs_repair::on_terminal;
use crate::verbs_stamp::{MASKS, history, lock_holder};

/// Masks for names that differ from run to run.
pub const NAMES: &[(&str, &str)] = &[
    (r"restore_\d+_\d+", "[name]"),
    (r"safe/\[name\]-\S+-from-(\w+?)(-2)?\.dump", "[backup from $1]"),
    (r"_before_restore_\d{8}T\d{6}Z", "_before_restore_[time]"),
    (r"\.before-restore-\d{8}T\d{6}Z", ".before-restore-[time]"),
    (r"_lockkeeper_restore_[0-9a-f]{16}", "_lockkeeper_restore_[key]"),
    (r"safe/app\.db-\S+-from-(\w+?)(-2)?\.db", "[backup from $1]"),
    (r"/\S*/app\.db", "[directory]/app.db"),
];

/// Compares the log of a run with a snapshot.
macro_rules! assert_log {
    ($name:expr, $finished:expr) => {
        insta::with_settings!({filters => MASKS.iter().chain(NAMES).copied()}, {
            insta::assert_snapshot!($name, $finished.stderr);
        })
    };
}
pub(crate) use assert_log;

/// Runs with backups, into the directory `safe`.
pub fn with_backups(run: Run) -> Run {
    run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe")
}

/// Returns the backups in `safe`, oldest first.
pub fn backups(run: &Run) -> Vec<PathBuf> {
    let mut found = crate::backup::backups(&run.dir().join("safe"));
    // Several backups of one second have names that do not sort by age.
    found.sort_by_key(|path| path.metadata().and_then(|facts| facts.modified()).expect("a time"));
    found
}

/// Returns the file name of the backup.
pub fn name(backup: &Path) -> String {
    backup.file_name().expect("a name").to_string_lossy().into_owned()
}

pub fn restore(run: &Run, file: &str) -> Run {
    run.clone().args(["restore", file])
}

/// Creates a database at 0002 with three rows in `one`, backed up, then changed in content and schema.
fn changed<D: Database>() -> (D, Run, PathBuf) {
    let database = D::create("restore");
    let run = with_backups(run_on(&database, &[ONE, TWO]));
    expect_end(&run, 0, &["up to date at 0002"]);
    database.query("insert into one (id) values (1), (2), (3)");
    expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
    let backup = backups(&run).pop().expect("a backup");
    database.query("delete from one where id > 1");
    database.query("drop table two");
    database.query("create table later (id integer)");
    database.query("insert into lockkeeper_history select '0003', description, checksum, applied_at, duration_ms, state, statements_done, \
                    statements_total, applied_by, lockkeeper_version, backup, down_checksum from lockkeeper_history where revision = '0002'");
    (database, run, backup)
}

/// Expects the state that `changed` leaves.
#[track_caller]
fn expect_changed(database: &impl Database) {
    assert_eq!(database.query("select id from one order by id"), "1\n");
    assert!(!database.has_table("two") && database.has_table("later"));
    assert_eq!(history(database), "0001 applied, 0002 applied, 0003 applied");
}

/// Expects the state of the backup of `changed`.
#[track_caller]
fn expect_backed_up(database: &impl Database) {
    assert_eq!(database.query("select id from one order by id"), "1\n2\n3\n");
    assert!(database.has_table("two") && !database.has_table("later"));
    assert_eq!(history(database), "0001 applied, 0002 applied");
}

fn kind(database: &impl Database) -> &'static str {
    if database.url().starts_with("sqlite") { "sqlite" } else { "postgres" }
}

fn a_restore_brings_the_backup_back_and_keeps_the_previous_state<D: Database>() {
    let (database, run, backup) = changed::<D>();
    let refused = expect_end(&restore(&run, &name(&backup)), 64, &["--yes", "nothing was changed"]);
    assert_log!(format!("refused_without_yes_{}", kind(&database)), refused);
    expect_changed(&database);
    let finished = expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["the database is at 0002"]);
    assert_log!(format!("restored_{}", kind(&database)), finished);
    expect_backed_up(&database);
    let taken = backups(&run);
    assert_eq!(taken.len(), 2, "what was there was backed up, and nothing was retired");
    expect_end(&run, 0, &["nothing pending, the database is at 0002"]);

    // Restored again to the changed state, by the path of that backup.
    let previous_state = taken.into_iter().find(|taken| *taken != backup).expect("the other one");
    let path = format!("safe/{}", name(&previous_state));
    let finished = expect_end(&restore(&run, &path).args(["--yes", "--json"]), 0, &["restored safe/"]);
    let result: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(result["revision"], "0003");
    assert!(result["backup"].as_str().is_some_and(|file| file.starts_with("safe/")), "{result}");
    expect_changed(&database);
}

/// Files without a valid manifest must not be restored: nothing is changed, and no file remains.
fn a_backup_without_a_valid_manifest_is_refused<D: Database>() {
    let (database, run, backup) = changed::<D>();
    let vouching = manifest_path(&backup);
    let (valid, good_manifest) = (fs::read(&backup).expect("it"), fs::read_to_string(&vouching).expect("it"));
    let write = |bytes: &[u8], manifest: &str| {
        fs::write(&backup, bytes).expect("write");
        fs::write(&vouching, manifest).expect("write");
    };
    let edit = |name: &str, value: Value| {
        let mut edited = manifest(&backup);
        edited[name] = value;
        edited.to_string()
    };
    let mut flipped = valid.clone();
    *flipped.last_mut().expect("a byte") ^= 1;
    let (size, sum) = (valid.len(), manifest(&backup)["sha256"].as_str().expect("a sum").to_owned());
    let cut = good_manifest.len() / 2;
    let other = if kind(&database) == "sqlite" { "postgresql" } else { "sqlite" };
    let rows: Vec<(&[u8], String, i32, String)> = vec![
        (&valid[1..], good_manifest.clone(), 85, format!("it has {} bytes, its manifest says {size}", size - 1)),
        (&flipped, good_manifest.clone(), 85, format!("its manifest says {sum}")),
        (&valid, edit("sha256", "00".into()), 85, format!("its SHA-256 is {sum}, its manifest says 00")),
        (&valid, good_manifest[..cut].to_owned(), 85, "it is no manifest that can be read".into()),
        (&valid, edit("file", "other.dump".into()), 85, "it vouches for other.dump".into()),
        (&valid, edit("kind", other.into()), 64, format!("is a backup of {other}")),
        (&valid, edit("database", "other".into()), 64, "is a backup of the database other".into()),
        (&valid, edit("from_revision", "0009".into()), 87, "it is at 0002 instead of 0009".into()),
    ];
    for (bytes, manifest, code, says) in rows {
        write(bytes, &manifest);
        let parts = [&says, "; the database is as it was; try: "];
        expect_end(&restore(&run, &name(&backup)).arg("--yes"), code, &parts);
        expect_changed(&database);
    }
    write(&valid, &good_manifest);
    let mut wrong_counts = manifest(&backup);
    let table = if kind(&database) == "sqlite" { "one" } else { "public.one" };
    wrong_counts["rows"][table] = 4.into();
    write(&valid, &wrong_counts.to_string());
    let says = format!("table {table} has 3 rows instead of 4");
    expect_end(&restore(&run, &name(&backup)).arg("--yes"), 87, &[&says]);
    expect_changed(&database);

    fs::remove_file(&vouching).expect("remove");
    let says = "without its manifest nothing vouches for";
    let finished = expect_end(&restore(&run, &name(&backup)).arg("--yes"), 85, &[says]);
    assert_log!(format!("no_manifest_{}", kind(&database)), finished);
    expect_end(&restore(&run, "nowhere.dump").arg("--yes"), 64, &["nowhere.dump", "lockkeeper backups"]);
    expect_end(&restore(&run, "safe").arg("--yes"), 64, &["is not a file"]);
    expect_changed(&database);

    // A manifest from before rows were counted.
    let mut old: Value = serde_json::from_str(&good_manifest).expect("JSON");
    old.as_object_mut().expect("an object").remove("rows");
    write(&valid, &old.to_string());
    let finished = expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["restored safe/"]);
    finished.says("it has no numbers of rows");
    expect_backed_up(&database);
}

fn switching_backups_off_is_logged<D: Database>() {
    let (database, run, backup) = changed::<D>();
    let run = restore(&run, &name(&backup)).args(["--yes", "--backup", "off"]);
    expect_end(&run, 0, &["restored safe/"]).says("no backup: LOCKKEEPER_BACKUP is off");
    assert_eq!(backups(&run).len(), 1);
    expect_backed_up(&database);
}

/// The backup to be restored may be the oldest that is kept.
fn a_restore_retires_no_backup<D: Database>() {
    let (database, run, backup) = changed::<D>();
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "1");
    expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["restored safe/"]);
    assert_eq!(backups(&run).len(), 2);
    expect_backed_up(&database);
}

/// A container that restarts again and again takes a backup each time.
fn the_backup_that_was_named_survives_a_crash_loop<D: Database>() {
    let database = D::create("restore");
    let run = with_backups(run_on(&database, &[ONE])).env("LOCKKEEPER_BACKUP_KEEP", "3");
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[TWO, ("0003_bad.up.sql", "fail;")]);
    let first = expect_end(&run, 80, &["or go back: lockkeeper restore safe/"]);
    let restore_target = last_line(&first).split("lockkeeper restore ").nth(1).and_then(|rest| rest.split(' ').next());
    let restore_target = restore_target.expect("a file").to_owned();
    for _ in 0..4 {
        expect_end(&run, 80, &["correct the file"]);
        assert!(backups(&run).len() <= 3);
    }
    expect_end(&restore(&run, &restore_target).arg("--yes"), 0, &["restored safe/"]);
    assert_eq!(history(&database), "0001 applied");
}

fn another_run_that_holds_the_lock_is_waited_for<D: Database>() {
    let (database, run, backup) = changed::<D>();
    database.query("delete from lockkeeper_history where revision = '0003'");
    let lock_holder = lock_holder(&database, &run.clone().migrations(&[ONE, TWO]));
    let impatient = restore(&run, &name(&backup)).args(["--yes", "--lock-timeout", "0"]);
    expect_end(&impatient, 75, &["another run held the lock", "nothing was changed"]);
    let waiting = restore(&run, &name(&backup)).arg("--yes").spawn();
    waiting.wait_for("waiting for the lock");
    lock_holder.kill();
    waiting.finish().expect_code(0).says("restored safe/");
    expect_backed_up(&database);
}

/// An empty database has nothing to back up.
fn a_backup_can_be_restored_into_an_empty_database<D: Database>() {
    let (database, run, backup) = changed::<D>();
    for table in ["one", "later", "lockkeeper_history"] {
        database.query(&format!("drop table {table}"));
    }
    let finished = expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["restored safe/"]);
    finished.says("no backup: the database is empty");
    expect_backed_up(&database);
}

/// Whenever a restore is killed, the database is complete, and a rerun succeeds. The current revision need not be the
/// greatest one of the history.
fn the_backup_of_any_history_can_be_rehearsed_on_and_restored<D: Database>() {
    let late = ("0005_late.up.sql", "-- depends: 0001\ncreate table late (id integer);");
    let joined = ("0003_joined.up.sql", "-- depends: 0005\ncreate table joined (id integer);");
    let next = ("0006_next.up.sql", "-- depends: 0003\ncreate table other (id integer);");
    let half = |rest: &str| format!("-- no-transaction\ncreate table half (id integer);\n{rest}");
    let [broken, corrected] = [half("fail;"), half("create table other (id integer);")];
    type Files<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Files<'_>, i32, Files<'_>, &str); 3] = [
        (&[ONE, late, joined], 0, &[next], "from-0003"),
        (&[("0001_half.up.sql", &broken)], 81, &[("0001_half.up.sql", &corrected)], "from-unversioned"),
        (&[ONE, ("0002_half.up.sql", &broken)], 81, &[("0002_half.up.sql", &corrected)], "from-0001"),
    ];
    for (before, code, then, from) in rows {
        let database = D::create("restore");
        let run = with_backups(run_on(&database, before));
        expect_end(&run, code, &[]);
        let was = history(&database);
        expect_end(&run.clone().migrations(then).env("LOCKKEEPER_REHEARSE", "true"), 0, &["up to date at"]);
        let backup = backups(&run).pop().expect("a backup");
        assert!(name(&backup).contains(from), "{}", name(&backup));
        expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["restored"]);
        assert_eq!(history(&database), was);
        assert!(!database.has_table("other"));
    }
}

fn a_killed_restore_leaves_the_old_or_the_new_database<D: Database>() {
    let (database, run, backup) = changed::<D>();
    let undisturbed = restore(&run, &name(&backup)).arg("--yes");
    let again = || {
        let previous_state = backups(&run).into_iter().find(|other| manifest(other)["from_revision"] == "0003");
        expect_end(&restore(&run, &name(&previous_state.expect("one"))).arg("--yes"), 0, &[]);
        expect_changed(&database);
    };
    let length = expect_end(&undisturbed, 0, &[]).elapsed;
    again();
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..12 {
        let mut running = undisturbed.spawn();
        let moment = std::time::Instant::now() + length.mul_f64(random.f64());
        while std::time::Instant::now() < moment && !running.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let signal = if number % 3 == 0 { Signal::TERM } else { Signal::KILL };
        running.signal(signal);
        let finished = running.finish();
        if finished.signal.is_none() && finished.code != Some(0) {
            finished.expect_code(143);
            let last = last_line(&finished);
            assert!(
                ["nothing was changed", "as it was", "everything was done"].iter().any(|state| last.contains(state)),
                "{finished}"
            );
        }
        match database.query("select count(*) from one").as_str() {
            "1\n" => expect_changed(&database),
            _ => expect_backed_up(&database),
        }
        expect_end(&undisturbed, 0, &["restored safe/"]);
        expect_backed_up(&database);
        again();
    }
    let leftovers: Vec<String> =
        names(&run.dir().join("safe")).into_iter().filter(|name| name.contains("partial")).collect();
    assert_eq!(leftovers, [""; 0]);
}

/// When a part of the run is applied, the last line says how to restore the backup, and that works.
fn after_a_failed_migration_the_last_line_names_the_restore_command<D: Database>() {
    let database = D::create("restore");
    let run = with_backups(run_on(&database, &[ONE]));
    expect_end(&run, 0, &[]);
    let fails = ("0003_three.up.sql", "create table three (id integer);\ninsert into nowhere values (1);\n");
    let run = run.migrations(&[TWO, fails]);
    let finished = expect_end(&run, 80, &["try: correct the file and run again; or go back: lockkeeper restore safe/"]);
    assert_log!(format!("way_back_{}", kind(&database)), finished);
    let last = last_line(&finished);
    let command = last.split("or go back: lockkeeper ").nth(1).expect("a command");
    let file = command.split_whitespace().nth(1).expect("a file");
    expect_end(&restore(&run, file).arg("--yes"), 0, &["the database is at 0001"]);
    assert!(!database.has_table("two"));

    // Nothing of this revision is applied.
    let run = run.migrations(&[("0002_two.up.sql", "create table two (id integer);\nfail;\n")]);
    expect_end(&run, 80, &["try: correct the file"]).does_not_say("lockkeeper restore");
    // Half of this revision is applied.
    let half = "-- no-transaction\ncreate table two (id integer);\nfail;\n";
    let run = run.migrations(&[("0002_two.up.sql", half)]);
    expect_end(&run, 81, &["or go back: lockkeeper restore safe/"]);
    // The backup of a second attempt at the same statement contains that half, too.
    expect_end(&run, 81, &["run again"]).does_not_say("or go back");
}

#[test]
fn a_path_with_spaces_is_quoted_in_the_restore_command() {
    let database = SqliteFile::create("restore");
    let run = with_backups(run_on(&database, &[ONE])).env("LOCKKEEPER_BACKUP_DIR", "it's safe");
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[TWO, ("0003_x.up.sql", "fail;")]);
    expect_end(&run, 80, &["or go back: lockkeeper restore 'it'\\''s safe/app.db-"]);
}

/// A backup from another database may be restored, with a warning.
#[test]
fn a_backup_of_another_database_is_warned_about() {
    let (database, run, backup) = changed::<SqliteFile>();
    let mut moved = manifest(&backup);
    moved["source"] = "/elsewhere/app.db".into();
    fs::write(manifest_path(&backup), moved.to_string()).expect("write");
    let finished: Finished = expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["restored"]);
    finished.says("this backup was taken of /elsewhere/app.db");
    expect_backed_up(&database);
}

/// The answer that is typed decides.
#[test]
fn on_a_terminal_a_restore_asks_for_confirmation() {
    for (answer, code) in [("n\n", 64), ("\u{3}", 130), ("y\n", 0)] {
        let (database, run, backup) = changed::<SqliteFile>();
        let (running, mut typed) = on_terminal(&restore(&run, &name(&backup)));
        wait_until("it asks", DEFAULT_TIMEOUT, || running.stderr().contains("[y/N]"));
        typed.write_all(answer.as_bytes()).expect("type");
        let finished = running.finish();
        finished.expect_code(code).says("replace what is in app.db by app.db-").says("(at 0002, taken at ");
        if code == 0 { expect_backed_up(&database) } else { expect_changed(&database) }
    }
}

#[test]
fn restoring_something_else_than_a_backup_is_a_usage_error() {
    let (database, run, backup) = changed::<SqliteFile>();
    let in_place = restore(&run, &name(&backup)).args(["--yes", "--in-place"]);
    expect_end(&in_place, 64, &["--in-place is for PostgreSQL"]);
    expect_end(&run.clone().arg("restore"), 64, &["FILE"]);
    expect_end(&run.clone().args(["restore", "x", "--", "program"]), 64, &["a program after --"]);
    expect_changed(&database);
}

on_either!(
    a_restore_brings_the_backup_back_and_keeps_the_previous_state,
    a_backup_without_a_valid_manifest_is_refused,
    switching_backups_off_is_logged,
    a_restore_retires_no_backup,
    the_backup_that_was_named_survives_a_crash_loop,
    another_run_that_holds_the_lock_is_waited_for,
    a_backup_can_be_restored_into_an_empty_database,
    the_backup_of_any_history_can_be_rehearsed_on_and_restored,
    a_killed_restore_leaves_the_old_or_the_new_database,
    after_a_failed_migration_the_last_line_names_the_restore_command,
);
