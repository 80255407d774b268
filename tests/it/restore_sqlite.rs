//! Tests of `restore` on SQLite: the new file is never combined with an old log, and no open file is replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::backup::{last_line, mode, names};
use crate::backup_sqlite::Session;
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::restore::{NAMES, assert_log, backups, name, restore, with_backups};
use crate::support::binary::{Finished, Run};
use crate::support::either::{Database, SqliteFile};
use crate::support::sqlite;
use crate::verbs_stamp::{MASKS, history};

/// Creates a database at 0002 with rows; returns it, its file, its run, and the name of its backup; then rows are
/// deleted. Both are in this journal mode.
pub fn backed_up(journal: &str) -> (SqliteFile, PathBuf, Run, String) {
    let database = SqliteFile::create("restore");
    let path = PathBuf::from(database.url().trim_start_matches("sqlite:///"));
    let run = with_backups(run_on(&database, &[ONE, TWO]));
    expect_end(&run, 0, &[]);
    database.query(&format!("pragma journal_mode = {journal}"));
    database.query("insert into one values (1), (2), (3)");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    database.query("delete from one where id > 1");
    (database, path, run, backup)
}

fn rows(path: &Path) -> String {
    sqlite::value(path, "select group_concat(id, ' ') from one")
}

/// Returns the files next to the database.
pub fn neighbouring_files(path: &Path) -> Vec<String> {
    names(path.parent().expect("a directory"))
}

/// Expects that the database is as it was before the restore, and that nothing of the restore remains.
#[track_caller]
fn expect_unchanged(path: &Path, finished: &Finished) {
    assert!(last_line(finished).contains("the database is as it was"), "{finished}");
    assert_eq!(rows(path), "1", "{finished}");
    assert!(neighbouring_files(path).iter().all(|name| !name.contains("restore")), "{:?}", neighbouring_files(path));
}

/// Expects next to the database only its lock file and the file that was replaced.
#[track_caller]
fn expect_only_replaced_file(path: &Path, what: &str) {
    let names = neighbouring_files(path);
    let [database, kept, lock] = &names[..] else { panic!("{what}: {names:?}") };
    assert!(kept.starts_with("app.db.before-restore-"), "{what}: {names:?}");
    assert_eq!([database.as_str(), lock], ["app.db", "app.db.lockkeeper.lock"], "{what}");
}

/// An old log is not replayed into the restored database.
#[test]
fn stale_logs_are_removed() {
    for journal in ["wal", "delete"] {
        let (_database, path, run, backup) = backed_up(journal);
        // The log of another database, as a manual copy leaves it.
        let other = run.dir().join("other.db");
        let session = Session::open(&other);
        session.run("pragma journal_mode = wal; create table stranger (id int); insert into stranger values (1);");
        for suffix in ["-wal", "-shm"] {
            let from = format!("{}{suffix}", other.display());
            fs::copy(&from, format!("{}{suffix}", path.display())).expect("copy");
        }
        drop(session);
        let finished = restore(&run, &backup).arg("--yes").output();
        finished.expect_code(0);
        expect_only_replaced_file(&path, &format!("{journal}: {finished}"));
        assert_eq!(sqlite::value(&path, "pragma integrity_check"), "ok");
        assert_eq!(rows(&path), "1 2 3");
        assert_eq!(sqlite::value(&path, "pragma journal_mode"), journal);
    }
}

/// The file of the database is missing, and its log still exists.
#[test]
fn a_missing_database_is_restored_without_its_old_log() {
    let (_database, path, run, backup) = backed_up("wal");
    let session = Session::open(&path);
    session.run("insert into one values (70);");
    let kept = run.dir().join("kept-wal");
    fs::copy(format!("{}-wal", path.display()), &kept).expect("copy");
    drop(session);
    fs::remove_file(&path).expect("remove");
    fs::copy(&kept, format!("{}-wal", path.display())).expect("copy");
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored safe/", "the one before is not kept"]);
    assert_eq!(rows(&path), "1 2 3");
    assert_eq!(neighbouring_files(&path), ["app.db", "app.db.lockkeeper.lock"]);
}

/// A connection to a database with a log locks it even when it is idle.
#[test]
fn open_connections_are_waited_for_and_then_the_restore_is_refused() {
    for (journal, opening) in
        [("wal", "select * from one;"), ("delete", "begin immediate; insert into one values (9);")]
    {
        let (_database, path, run, backup) = backed_up(journal);
        let session = Session::open(&path);
        session.run(opening);
        let command = restore(&run, &backup).args(["--yes", "--lock-timeout", "1s"]);
        let finished = expect_end(&command, 75, &["app.db: another connection has it open", "stop the application"]);
        drop(session);
        expect_unchanged(&path, &finished);
        assert_eq!(sqlite::value(&path, "pragma journal_mode"), journal);
        assert_log!(format!("another_connection_{journal}"), finished);

        let session = Session::open(&path);
        session.run(opening);
        let waiting = restore(&run, &backup).arg("--yes").spawn();
        waiting.wait_for("waiting for other connections");
        drop(session);
        waiting.finish().expect_code(0);
        assert_eq!(rows(&path), "1 2 3");
    }
}

#[test]
fn a_signal_during_the_wait_changes_nothing() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (_database, path, run, backup) = backed_up("wal");
        let session = Session::open(&path);
        session.run("select * from one;");
        let waiting = restore(&run, &backup).arg("--yes").spawn();
        waiting.wait_for("waiting for other connections");
        waiting.signal(signal);
        let finished = waiting.finish();
        finished.expect_code(code);
        session.run("insert into one values (5);");
        session.run("delete from one where id = 5;");
        drop(session);
        expect_unchanged(&path, &finished);
    }
}

/// The backup is readable only for its owner, the database belongs to the application.
#[test]
fn owner_and_mode_stay_those_of_the_database() {
    let (_database, path, run, backup) = backed_up("delete");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("chmod");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(5678)).expect("chown");
    }
    let before = fs::metadata(&path).expect("metadata");
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &[]);
    let after = fs::metadata(&path).expect("metadata");
    assert_eq!((after.uid(), after.gid(), mode(&path)), (before.uid(), before.gid(), 0o664));
    assert_ne!(after.ino(), before.ino());
    assert_eq!(mode(&run.dir().join("safe").join(&backup)), 0o600, "the backup stays where and what it is");
}

/// The leftovers of a killed run do not prevent a restore.
#[test]
fn a_copy_that_a_killed_run_left_is_replaced() {
    let (_database, path, run, backup) = backed_up("wal");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        fs::write(format!("{}.lockkeeper.restore{suffix}", path.display()), "half").expect("write");
    }
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    assert_eq!(rows(&path), "1 2 3");
    expect_only_replaced_file(&path, "restored");
}

/// A person moves the damaged file away; then the backup can be restored.
#[test]
fn a_damaged_database_has_to_be_moved_away_first() {
    let (_database, path, run, backup) = backed_up("delete");
    fs::write(&path, "This is not a database, but a long enough text. ".repeat(100)).expect("write");
    expect_end(&restore(&run, &backup).arg("--yes"), 65, &["move the file aside"]);
    fs::rename(&path, path.with_extension("damaged")).expect("rename");
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    assert_eq!(rows(&path), "1 2 3");
}

/// Creates a run at 0001 with a row; 0002 succeeds, 0003 fails in its second statement.
pub fn failing(third: &str) -> (SqliteFile, PathBuf, Run) {
    let database = SqliteFile::create("restore");
    let path = PathBuf::from(database.url().trim_start_matches("sqlite:///"));
    let run = with_backups(run_on(&database, &[ONE]));
    expect_end(&run, 0, &[]);
    database.query("insert into one values (1)");
    let run = run.migrations(&[TWO, ("0003_three.up.sql", third)]);
    (database, path, run.env("LOCKKEEPER_ON_FAILURE", "restore"))
}

#[test]
fn on_failure_the_run_itself_restores_the_backup() {
    for (third, code) in [("delete from one;\nfail;\n", 80), ("-- no-transaction\ndelete from one;\nfail;\n", 81)] {
        let (database, path, run) = failing(third);
        let finished =
            expect_end(&run.clone().arg("--json"), code, &["was put back: the database is as it was before this run"]);
        finished.does_not_say("or go back").does_not_say("stands");
        assert!(finished.stdout.contains("\"applied\":[]"), "{finished}");
        assert_log!(format!("put_back_{code}"), finished);
        assert_eq!(history(&database), "0001 applied");
        assert_eq!(rows(&path), "1");
        assert!(!database.has_table("two"));
        let corrected = run.migrations(&[("0003_three.up.sql", "create table three (id integer);\n")]);
        expect_end(&corrected, 0, &["up to date at 0003"]);
    }
}

/// Nothing of the run is applied: there is nothing to restore.
#[test]
fn on_failure_nothing_is_restored_when_nothing_is_applied() {
    let (database, _path, run) = failing("select 1;");
    let run = run.migrations(&[("0002_two.up.sql", "create table two (id integer);\nfail;\n")]);
    expect_end(&run, 80, &["it was rolled back", "no revision was applied"]).does_not_say("put back");
    assert_eq!(history(&database), "0001 applied");
}

/// The flag overrides the variable, and contradictory settings are refused.
#[test]
fn on_failure_is_validated() {
    let (_database, _path, run) = failing("fail;");
    expect_end(&run.clone().env("LOCKKEEPER_ON_FAILURE", "perhaps"), 78, &["LOCKKEEPER_ON_FAILURE", "keep or restore"]);
    expect_end(&run.clone().args(["--on-failure", "perhaps"]), 64, &["--on-failure", "keep or restore"]);
    expect_end(&run.clone().args(["--backup", "off"]), 78, &["LOCKKEEPER_ON_FAILURE", "LOCKKEEPER_BACKUP is off"]);
    expect_end(
        &run.clone().args(["--on-failure", "keep"]),
        80,
        &["0002 was applied and kept", "or go back: lockkeeper restore"],
    );
}

/// A restore that fails is reported, names the backup, and does not change the exit code.
#[test]
fn on_failure_a_backup_that_cannot_be_restored_is_named() {
    let (database, path, run) = failing("fail;");
    sqlite::query(&path, "pragma journal_mode = wal;");
    let session = Session::open(&path);
    session.run("select * from one;");
    let run = run.args(["--lock-timeout", "1s"]);
    let parts =
        ["could not be put back: restore:", "another connection has it open", "or go back: lockkeeper restore safe/"];
    let finished = expect_end(&run, 80, &parts);
    drop(session);
    assert_log!("not_put_back", finished);
    assert_eq!(history(&database), "0001 applied, 0002 applied");
}
