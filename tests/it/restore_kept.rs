//! Tests of `restore` on SQLite while an application writes: a row that was acknowledged is in the database, in a
//! backup, or in the file that was replaced.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::backup::last_line;
use crate::backup_sqlite::Session;
use crate::contract::expect_end;
use crate::restore::restore;
use crate::restore_sqlite::{backed_up, failing, neighbouring_files};
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

/// Returns the files that earlier restores have kept.
fn kept(path: &Path) -> Vec<PathBuf> {
    let names = neighbouring_files(path).into_iter().filter(|name| name.contains(".before-restore-"));
    names.map(|name| path.with_file_name(name)).collect()
}

/// Returns the rows of a file, which must be valid without any other file.
#[track_caller]
fn rows(path: &Path) -> BTreeSet<i64> {
    assert_eq!(sqlite::value(path, "pragma integrity_check"), "ok", "{}", path.display());
    sqlite::rows(path, "select id from one").iter().map(|row| row[0].parse().expect("an id")).collect()
}

/// Returns all rows of the database, of the kept files and of the backups.
#[track_caller]
fn all_rows(path: &Path, backups: &Path) -> BTreeSet<i64> {
    let backups = crate::backup::backups(backups);
    let files = kept(path).into_iter().chain(backups).chain([path.to_owned()]);
    files.flat_map(|file| rows(&file)).collect()
}

/// An application that opens the file for each row, and counts the rows whose COMMIT was acknowledged.
struct Application {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<BTreeSet<i64>>,
}

impl Application {
    fn start(path: &Path, first: i64) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (path, told, counter) = (path.to_owned(), Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut rows = BTreeSet::new();
            for id in first.. {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                if sqlite::try_query(&path, &format!("insert into one values ({id});")).is_ok() {
                    rows.insert(id);
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
            rows
        });
        Self { stop, acknowledged, thread }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn finish(self) -> BTreeSet<i64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the application's rows")
    }
}

#[test]
fn every_row_that_an_application_commits_during_a_restore_is_in_one_of_the_files() {
    for journal in ["wal", "delete"] {
        let (_database, path, run, backup) = backed_up(journal);
        let application = Application::start(&path, 1000);
        wait_until("it writes", DEFAULT_TIMEOUT, || application.acknowledged() > 0);
        for _ in 0..3 {
            let before = application.acknowledged();
            expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored", "the one before is kept as "]);
            wait_until("it goes on", DEFAULT_TIMEOUT, || application.acknowledged() > before + 1);
        }
        let acknowledged = application.finish();
        let found = all_rows(&path, &run.dir().join("safe"));
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "{journal}: {} of {} rows are lost: {lost:?}", lost.len(), acknowledged.len());
        assert_eq!(kept(&path).len(), 3);
    }
}

/// The backup of the current state is taken; the restore waits for a connection, and a row is committed.
#[test]
fn rows_that_are_committed_after_the_last_backup_are_in_the_replaced_file() {
    for journal in ["wal", "delete"] {
        let (_database, path, run, backup) = backed_up(journal);
        let session = Session::open(&path);
        session.run("begin immediate; insert into one values (70);");
        let restoring = restore(&run, &backup).arg("--yes").spawn();
        restoring.wait_for("waiting for other connections");
        session.run("commit;");
        drop(session);
        let finished = restoring.finish();
        finished.expect_code(0);
        let [file] = &kept(&path)[..] else { panic!("one file: {:?}", neighbouring_files(&path)) };
        let says = format!("the one before is kept as {}; remove it when nobody needs it", file.display());
        assert!(last_line(&finished).contains(&says), "{finished}");
        assert_eq!(rows(file), [1, 70].into(), "{journal}");
        assert_eq!(rows(&path), [1, 2, 3].into());
        assert_eq!(fs::metadata(file).expect("it").nlink(), 1);
    }
}

/// SQLite prevents a write to a file that was moved only when the writer has a journal on the disk.
#[test]
fn a_writer_with_the_old_file_open_writes_to_the_file_that_is_kept() {
    for (journal, is_refused) in [("delete", true), ("memory", false)] {
        let (_database, path, run, backup) = backed_up("delete");
        let session = Session::open(&path);
        session.run(&format!("pragma journal_mode = {journal}; insert into one values (70);"));
        expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
        session.run("insert into one values (71);");
        drop(session);
        assert_eq!(rows(&path), [1, 2, 3].into(), "{journal}");
        let expected = if is_refused { vec![1, 70] } else { vec![1, 70, 71] };
        assert_eq!(rows(&kept(&path)[0]), expected.into_iter().collect(), "{journal}");
        assert_eq!(
            neighbouring_files(&path).len(),
            3,
            "no journal is left beside the new one: {:?}",
            neighbouring_files(&path)
        );
    }
}

#[test]
fn a_run_that_restores_its_backup_keeps_rows_that_were_committed_meanwhile() {
    let (_database, path, run) = failing("create table three (id integer);\nfail;\n");
    sqlite::query(&path, "pragma journal_mode = wal;");
    let session = Session::open(&path);
    session.run("select * from one;");
    let running = run.spawn();
    running.wait_for("waiting for other connections");
    sqlite::query(&path, "insert into one values (70);");
    drop(session);
    let finished = running.finish();
    finished.expect_code(80);
    let [file] = &kept(&path)[..] else { panic!("one file: {:?}", neighbouring_files(&path)) };
    let says = format!("as it was before this run; the file before is kept as {}", file.display());
    assert!(last_line(&finished).contains(&says), "{finished}");
    assert_eq!((rows(&path), rows(file)), ([1].into(), [1, 70].into()));
}

/// A run that was killed between the link and the rename leaves two names of the database, and neither belongs to
/// another file.
#[test]
fn a_second_name_that_a_killed_run_has_left_is_removed_and_nothing_else() {
    let (_database, path, run, backup) = backed_up("wal");
    let link = |name: &str| path.with_file_name(format!("app.db{name}"));
    let stale = link(".before-restore-20260112T093000Z");
    let (older, foreign) = (link(".before-restore-20250112T093000Z"), link(".mine"));
    fs::copy(&path, &older).expect("copy");
    for name in [&stale, &foreign] {
        fs::hard_link(&path, name).expect("link");
    }
    let migration = ("0003_three.up.sql", "create table three (id integer);");
    expect_end(&run.clone().migrations(&[migration]), 0, &["up to date at 0003"]).says("removed a second name");
    assert!(!stale.exists() && older.exists() && foreign.exists(), "{:?}", neighbouring_files(&path));
    fs::hard_link(&path, &stale).expect("link");
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]).says("removed a second name");
    assert!(!stale.exists() && older.exists() && foreign.exists(), "{:?}", neighbouring_files(&path));
    assert_eq!(rows(&path), [1, 2, 3].into());
}
