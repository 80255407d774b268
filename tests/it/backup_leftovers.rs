//! Tests of what is removed from the backup directory: the oldest verified backups, leftovers of killed runs, and nothing
//! else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backup::{NEXT, backups, last_line, manifest, manifest_path, names, only, script, with_data};
use crate::backup_sqlite;
use crate::support::binary::Run;
use crate::support::postgres::Postgres;
use crate::support::process::postgres_program;
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Takes a backup and returns its path.
#[track_caller]
fn take(run: &Run) -> PathBuf {
    let directory = run.dir().join("backups");
    let finished = run.clone().arg("backup").output();
    let line = last_line(finished.expect_code(0)).to_owned();
    let found = backups(&directory).into_iter().find(|backup| line.contains(&format!("/{} ", file_name(backup))));
    found.unwrap_or_else(|| panic!("no backup of that name: {finished}"))
}

/// Sets the time of a backup.
fn set_time(backup: &Path, time: &str) {
    let mut changed = manifest(backup);
    changed["verified_at"] = time.into();
    fs::write(manifest_path(backup), changed.to_string()).expect("write");
}

/// Retention removes the oldest verified backups and no other file.
#[test]
fn retention_removes_the_oldest_verified_backups_and_nothing_else() {
    let (_, run) = backup_sqlite::with_data();
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "2");
    let directory = run.dir().join("backups");
    let first = take(&run);
    set_time(&first, "2001-01-01T00:00:00Z");
    // Files of others, backups of other databases, and one without a manifest.
    let copy = fs::read(&first).expect("a backup");
    let mut others = Vec::new();
    for name in [
        "other-tool.dump",
        "app.db-notes-from-monday.db",
        "app.db-20000101T000000Z-from-0001.db.gpg",
        "app.db-20000101T000000Z-from-0001.db",
        "app.db-blue-20000101T000000Z-from-0001.db",
        "app.db-20000101T000000Z-from-0001-2.db",
        "app.db-20000101T000000Z-from-0001-3.db",
    ] {
        fs::write(directory.join(name), &copy).expect("write");
        others.push(name.to_owned());
    }
    // A verified backup of another database whose name gives the same file name, and one whose size differs from the
    // manifest.
    for (name, database, bytes) in [
        ("app.db-20000101T000000Z-from-0001-2.db", "app/db", 0),
        ("app.db-20000101T000000Z-from-0001-3.db", "app.db", 1),
    ] {
        let mut other_manifest = manifest(&first);
        other_manifest["database"] = database.into();
        other_manifest["file"] = name.into();
        other_manifest["bytes"] = (copy.len() as u64 + bytes).into();
        fs::write(manifest_path(&directory.join(name)), other_manifest.to_string()).expect("write");
        others.push(format!("{name}.json"));
    }
    let second = take(&run);
    assert!(first.exists(), "two may stay");
    let third = take(&run);
    let mut expected: Vec<String> = others.clone();
    expected.extend([&second, &third].into_iter().flat_map(|backup| [file_name(backup), file_name(backup) + ".json"]));
    expected.sort();
    assert_eq!(names(&directory), expected);
    // Two backups of one second: the later one is newer.
    for backup in [&second, &third] {
        set_time(backup, "2001-01-01T00:00:00Z");
    }
    take(&run);
    assert_eq!((second.exists(), third.exists()), (false, true));
}

/// Retention does not remove the backup that was just taken, even when the clock went backwards.
#[test]
fn a_clock_that_went_backwards_does_not_retire_the_new_backup() {
    let (_, run) = backup_sqlite::with_data();
    let ahead = take(&run);
    set_time(&ahead, "2999-01-01T00:00:00Z");
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "1");
    let new = take(&run);
    assert_eq!(names(&run.dir().join("backups")), [file_name(&new), file_name(&new) + ".json"]);
    run.env("LOCKKEEPER_BACKUP_KEEP", "0").output().expect_code(78).says("LOCKKEEPER_BACKUP_KEEP");
}

/// Retention removes nothing when the new backup fails.
#[test]
fn nothing_is_retired_when_the_new_backup_fails() {
    let (_database, run) = with_data("backup_fails");
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "1");
    let valid_backup = take(&run);
    let tool = run.dir().join("tool");
    script(
        &tool,
        &format!(
            "[ \"$1\" = --version ] && exec {0} --version\n{0} \"$@\" || exit\nsize=$(stat -L -c %s /proc/$$/fd/1)\ntruncate -s $((size * 6 / 10)) /proc/$$/fd/1",
            postgres_program("pg_dump").display()
        ),
    );
    run.clone().env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8")).output().expect_code(85);
    assert_eq!(names(&run.dir().join("backups")), [file_name(&valid_backup), file_name(&valid_backup) + ".json"]);
}

/// Installs a pg_dump that creates the file `started` when it runs, and then waits until the file `go` exists.
fn waiting_tool(run: &Run) -> (Run, PathBuf, PathBuf) {
    let (tool, started, go) = (run.dir().join("tool"), run.dir().join("started"), run.dir().join("go"));
    script(
        &tool,
        &format!(
            "[ \"$1\" = --version ] && exec {0} --version\necho $$ >'{1}'\n\
             while [ ! -e '{2}' ]; do sleep 0.05; done\nexec {0} \"$@\"",
            postgres_program("pg_dump").display(),
            started.display(),
            go.display()
        ),
    );
    (run.clone().env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8")), started, go)
}

/// The files of a run that was killed with SIGKILL during its backup are removed by the next run.
#[test]
fn the_files_of_a_killed_run_are_removed_by_the_next_one() {
    let (_database, run) = with_data("backup_killed");
    let directory = run.dir().join("backups");
    let (patient, started, _) = waiting_tool(&run);
    let running = patient.spawn();
    wait_until("pg_dump runs", DEFAULT_TIMEOUT, || fs::read_to_string(&started).is_ok_and(|pid| pid.ends_with('\n')));
    running.kill();
    assert!(backups(&directory).is_empty() && names(&directory).iter().any(|name| name.ends_with(".partial")));
    let pid = fs::read_to_string(&started).expect("a pid");
    let command_line = Path::new("/proc").join(pid.trim()).join("cmdline");
    wait_until("its pg_dump has ended too", DEFAULT_TIMEOUT, || fs::read(&command_line).unwrap_or_default().is_empty());
    run.output().expect_code(0).says("removed what a stopped run left");
    let backup = only(&directory);
    assert_eq!(names(&directory), [file_name(&backup), file_name(&backup) + ".json"]);
}

/// Every state of the directory that a SIGKILL can leave, built by hand.
#[test]
fn every_unfinished_backup_is_removed_and_finished_ones_are_kept() {
    let (_, run) = backup_sqlite::with_data();
    let directory = run.dir().join("backups");
    let finished = take(&run);
    let stem = "app.db-20000101T000000Z-from-0001";
    let unfinished = [
        // During the copy, before the manifest was written.
        format!("{stem}.db.partial"),
        format!("{stem}.db.partial-journal"),
        format!("{stem}.db.partial-wal"),
        format!("{stem}.db.partial-shm"),
        format!("{stem}.db.json.partial"),
        // The manifest has its final name, the backup has not.
        format!("{stem}-2.db.json"),
        format!("{stem}-2.db.partial"),
        // The backup was retired, but not its manifest.
        format!("{stem}-3.db.json"),
    ];
    let others = [
        "app.db-blue-20000101T000000Z-from-0001.db.partial",
        "app.db-20000101T000000Z-from-0001.dump.partial",
        "app.db-20000101T000000Z-from-0001.db.tmp",
        "somebody.partial",
    ];
    for name in unfinished.iter().map(String::as_str).chain(others) {
        fs::write(directory.join(name), "{}").expect("write");
    }
    let new = take(&run);
    let mut expected: Vec<String> = others.map(str::to_owned).into();
    expected.extend([&finished, &new].into_iter().flat_map(|backup| [file_name(backup), file_name(backup) + ".json"]));
    expected.sort();
    assert_eq!(names(&directory), expected);
}

/// Two databases may share a directory, and even the part of the file name that comes from their names.
#[test]
fn a_backup_that_another_database_is_writing_is_not_removed() {
    let server = Postgres::shared();
    let [slow, quick] = ["a b", "a_b"].map(|name| server.database_named(&unique(name)));
    let same_file_name = server.database_named(&slow.name().replace(' ', "_"));
    let shared = Run::new().migrations(&[NEXT]);
    for database in [&slow, &quick, &same_file_name] {
        database.execute("create table kept (id int)");
    }
    let (patient, started, go) = waiting_tool(&shared);
    let running = patient.url(&slow.url()).spawn();
    wait_until("pg_dump runs", DEFAULT_TIMEOUT, || started.exists());
    for database in [&quick, &same_file_name] {
        shared.clone().url(&database.url()).output().expect_code(0).does_not_say("removed");
    }
    fs::write(go, "").expect("write");
    running.finish().expect_code(0);
    let mut of: Vec<String> = backups(&shared.dir().join("backups"))
        .iter()
        .map(|backup| manifest(backup)["database"].as_str().expect("a name").to_owned())
        .collect();
    of.sort();
    let mut expected = [&slow, &quick, &same_file_name].map(|database| database.name().to_owned());
    expected.sort();
    assert_eq!(of, expected);
}

/// Two files of one name share a directory for their backups; neither retires the other's.
#[test]
fn a_database_of_the_same_name_in_another_directory_keeps_its_backup() {
    let (_, first) = backup_sqlite::with_data();
    let (_, second) = backup_sqlite::with_data();
    let shared = first.dir().join("shared");
    for run in [&first, &second, &first, &second] {
        let run = run.clone().env("LOCKKEEPER_BACKUP_KEEP", "1");
        run.env("LOCKKEEPER_BACKUP_DIR", shared.display().to_string()).arg("backup").output().expect_code(0);
    }
    let mut sources: Vec<String> =
        backups(&shared).iter().map(|backup| manifest(backup)["source"].to_string()).collect();
    sources.sort();
    sources.dedup();
    assert_eq!((backups(&shared).len(), sources.len()), (2, 2), "{sources:?}");
}

/// A run that is killed between the first and the second file of a backup leaves only the manifest's.
#[test]
fn an_unfinished_manifest_is_removed_by_the_next_run() {
    let (_, run) = backup_sqlite::with_data();
    let directory = run.dir().join("backups");
    fs::create_dir(&directory).expect("a directory");
    let begun = directory.join("app.db-20260112T093000Z-from-unversioned.db.json.partial");
    fs::write(&begun, "").expect("a file");
    run.clone().arg("backup").output().expect_code(0).says("removed what a stopped run left");
    assert!(!begun.exists(), "{:?}", names(&directory));
}
