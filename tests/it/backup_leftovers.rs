//! What may leave the folder of the backups: the oldest verified ones, what killed runs left, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backup::{NEXT, backups, last_line, manifest, manifest_path, names, only, script, with_data};
use crate::backup_sqlite;
use crate::support::binary::Run;
use crate::support::postgres::Postgres;
use crate::support::process::postgres_program;
use crate::support::{SOON, unique, wait_until};

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Takes a backup and returns it.
#[track_caller]
fn take(run: &Run) -> PathBuf {
    let folder = run.dir().join("backups");
    let finished = run.clone().arg("backup").output();
    let line = last_line(finished.expect_code(0)).to_owned();
    let found = backups(&folder).into_iter().find(|backup| line.contains(&format!("/{} ", file_name(backup))));
    found.unwrap_or_else(|| panic!("no backup of that name: {finished}"))
}

/// Makes a backup one of another time.
fn set_time(backup: &Path, time: &str) {
    let mut changed = manifest(backup);
    changed["verified_at"] = time.into();
    fs::write(manifest_path(backup), changed.to_string()).expect("write");
}

/// Case 53
#[test]
fn the_oldest_verified_backups_go_and_nothing_else() {
    let (_, run) = backup_sqlite::with_data();
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "2");
    let folder = run.dir().join("backups");
    let first = take(&run);
    set_time(&first, "2001-01-01T00:00:00Z");
    // Files of others, of other databases, and one that nobody vouches for.
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
        fs::write(folder.join(name), &copy).expect("write");
        others.push(name.to_owned());
    }
    // Verified, but of another database whose name makes the same file name; and one whose size is not the manifest's.
    for (name, database, bytes) in [
        ("app.db-20000101T000000Z-from-0001-2.db", "app/db", 0),
        ("app.db-20000101T000000Z-from-0001-3.db", "app.db", 1),
    ] {
        let mut theirs = manifest(&first);
        theirs["database"] = database.into();
        theirs["file"] = name.into();
        theirs["bytes"] = (copy.len() as u64 + bytes).into();
        fs::write(manifest_path(&folder.join(name)), theirs.to_string()).expect("write");
        others.push(format!("{name}.json"));
    }
    let second = take(&run);
    assert!(first.exists(), "two may stay");
    let third = take(&run);
    let mut expected: Vec<String> = others.clone();
    expected.extend([&second, &third].into_iter().flat_map(|backup| [file_name(backup), file_name(backup) + ".json"]));
    expected.sort();
    assert_eq!(names(&folder), expected);
    // Two of one second: the later one is the newer.
    for backup in [&second, &third] {
        set_time(backup, "2001-01-01T00:00:00Z");
    }
    take(&run);
    assert_eq!((second.exists(), third.exists()), (false, true));
}

/// Case 53
#[test]
fn a_clock_that_went_backwards_does_not_cost_the_new_backup() {
    let (_, run) = backup_sqlite::with_data();
    let ahead = take(&run);
    set_time(&ahead, "2999-01-01T00:00:00Z");
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "1");
    let new = take(&run);
    assert_eq!(names(&run.dir().join("backups")), [file_name(&new), file_name(&new) + ".json"]);
    run.env("LOCKKEEPER_BACKUP_KEEP", "0").output().expect_code(78).says("LOCKKEEPER_BACKUP_KEEP");
}

/// Case 53
#[test]
fn nothing_goes_when_the_new_backup_fails() {
    let (_database, run) = with_data("backup_fails");
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "1");
    let good = take(&run);
    let tool = run.dir().join("tool");
    script(
        &tool,
        &format!(
            "[ \"$1\" = --version ] && exec {0} --version\n{0} \"$@\" || exit\nsize=$(stat -L -c %s /proc/$$/fd/1)\ntruncate -s $((size * 6 / 10)) /proc/$$/fd/1",
            postgres_program("pg_dump").display()
        ),
    );
    run.clone().env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8")).output().expect_code(85);
    assert_eq!(names(&run.dir().join("backups")), [file_name(&good), file_name(&good) + ".json"]);
}

/// A pg_dump that says in the file `started` that it runs, and then waits until the file `go` is there.
fn patient_tool(run: &Run) -> (Run, PathBuf, PathBuf) {
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

/// What a run that was killed with SIGKILL in the middle of its backup left is removed by the next.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let (_database, run) = with_data("backup_killed");
    let folder = run.dir().join("backups");
    let (patient, started, _) = patient_tool(&run);
    let running = patient.spawn();
    wait_until("pg_dump runs", SOON, || fs::read_to_string(&started).is_ok_and(|pid| pid.ends_with('\n')));
    running.kill();
    assert!(backups(&folder).is_empty() && names(&folder).iter().any(|name| name.ends_with(".partial")));
    let pid = fs::read_to_string(&started).expect("a pid");
    let command_line = Path::new("/proc").join(pid.trim()).join("cmdline");
    wait_until("its pg_dump has ended too", SOON, || fs::read(&command_line).unwrap_or_default().is_empty());
    run.output().expect_code(0).says("removed what a stopped run left");
    let backup = only(&folder);
    assert_eq!(names(&folder), [file_name(&backup), file_name(&backup) + ".json"]);
}

/// Every state of the folder in which a SIGKILL can leave it, built by hand.
#[test]
fn every_unfinished_state_of_the_folder_is_tidied_and_finished_ones_stay() {
    let (_, run) = backup_sqlite::with_data();
    let folder = run.dir().join("backups");
    let finished = take(&run);
    let stem = "app.db-20000101T000000Z-from-0001";
    let unfinished = [
        // Within the copy, the manifest not yet written.
        format!("{stem}.db.partial"),
        format!("{stem}.db.partial-journal"),
        format!("{stem}.db.partial-wal"),
        format!("{stem}.db.partial-shm"),
        format!("{stem}.db.json.partial"),
        // The manifest has its name, the backup has not.
        format!("{stem}-2.db.json"),
        format!("{stem}-2.db.partial"),
        // Retired, but not its manifest.
        format!("{stem}-3.db.json"),
    ];
    let others = [
        "app.db-blue-20000101T000000Z-from-0001.db.partial",
        "app.db-20000101T000000Z-from-0001.dump.partial",
        "app.db-20000101T000000Z-from-0001.db.tmp",
        "somebody.partial",
    ];
    for name in unfinished.iter().map(String::as_str).chain(others) {
        fs::write(folder.join(name), "{}").expect("write");
    }
    let new = take(&run);
    let mut expected: Vec<String> = others.map(str::to_owned).into();
    expected.extend([&finished, &new].into_iter().flat_map(|backup| [file_name(backup), file_name(backup) + ".json"]));
    expected.sort();
    assert_eq!(names(&folder), expected);
}

/// Two databases may share a folder, and even the part of a name that their names come to.
#[test]
fn a_backup_that_another_database_is_writing_is_no_leftover() {
    let server = Postgres::shared();
    let [slow, quick] = ["a b", "a_b"].map(|name| server.database_named(&unique(name)));
    let twin = server.database_named(&slow.name().replace(' ', "_"));
    let shared = Run::new().migrations(&[NEXT]);
    for database in [&slow, &quick, &twin] {
        database.execute("create table kept (id int)");
    }
    let (patient, started, go) = patient_tool(&shared);
    let running = patient.url(&slow.url()).spawn();
    wait_until("pg_dump runs", SOON, || started.exists());
    for database in [&quick, &twin] {
        shared.clone().url(&database.url()).output().expect_code(0).silent_about("removed");
    }
    fs::write(go, "").expect("write");
    running.finish().expect_code(0);
    let mut of: Vec<String> = backups(&shared.dir().join("backups"))
        .iter()
        .map(|backup| manifest(backup)["database"].as_str().expect("a name").to_owned())
        .collect();
    of.sort();
    let mut expected = [&slow, &quick, &twin].map(|database| database.name().to_owned());
    expected.sort();
    assert_eq!(of, expected);
}

/// Case 53: two files of one name share a folder for their backups; neither retires the other's.
#[test]
fn a_database_of_the_same_name_elsewhere_keeps_its_backup() {
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

/// Case 25: killed between the first and the second file of a backup, a run leaves the manifest's alone.
#[test]
fn a_manifest_that_was_only_begun_is_removed_by_the_next_run() {
    let (_, run) = backup_sqlite::with_data();
    let folder = run.dir().join("backups");
    fs::create_dir(&folder).expect("a folder");
    let begun = folder.join("app.db-20260112T093000Z-from-unversioned.db.json.partial");
    fs::write(&begun, "").expect("a file");
    run.clone().arg("backup").output().expect_code(0).says("removed what a stopped run left");
    assert!(!begun.exists(), "{:?}", names(&folder));
}
