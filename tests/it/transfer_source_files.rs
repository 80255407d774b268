//! Tests of the source of a transfer as a file: how it is opened, that it is read at one moment, and that it is never
//! written.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, SystemTime};

use lockkeeper::database::sqlite::source::{SnapshotKind, SqliteSource};
use lockkeeper::database::{DatabaseError, DatabaseErrorKind};

use crate::lock_sqlite::Writer;
use crate::support::process::{clean_command, run_with_input};
use crate::support::{sqlite, temporary_directory};
use crate::transfer_source::{File, open, rows};

static NEVER_CANCELLED: AtomicBool = AtomicBool::new(false);

/// Rows 1 and 2; the second one is only in the log in the last two.
const ROLLBACK: &str = "create table app (id int); insert into app values (1), (2);";
const LOG: &str = "pragma journal_mode = wal; create table app (id int); insert into app values (1), (2);";
const LEFT_LOG: &str = "pragma journal_mode = wal; create table app (id int); insert into app values (1);
     pragma wal_checkpoint(truncate);\n.dbconfig no_ckpt_on_close on\ninsert into app values (2);";
const BOTH_ROWS: [&str; 2] = ["i 1", "i 2"];

/// Returns the files of a directory with their bytes and times of modification. The shared memory file may exist or not,
/// its content is no data.
fn files(directory: &Path) -> BTreeMap<String, (Vec<u8>, Option<SystemTime>)> {
    let entries = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").path());
    let facts = entries.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match name.ends_with("-shm") {
            true => (name, (Vec::new(), None)),
            false => {
                let modified = path.metadata().and_then(|metadata| metadata.modified()).expect("a time");
                (name, (fs::read(&path).expect("read"), Some(modified)))
            }
        }
    });
    facts.collect()
}

#[track_caller]
fn refused(path: &Path) -> DatabaseError {
    match SqliteSource::open(path, Duration::ZERO, &NEVER_CANCELLED) {
        Ok(source) => panic!("it was opened, as {:?}", source.snapshot()),
        Err(fault) => fault,
    }
}

#[track_caller]
fn expect_fault(path: &Path, kind: DatabaseErrorKind, words: &str) {
    let fault = refused(path);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.message.contains(words), "{fault}");
    assert!(fault.message.starts_with(&path.display().to_string()), "{fault}");
}

#[test]
fn reading_writes_nothing_and_leaves_no_file_behind() {
    for (name, sql, index, snapshot) in [
        ("without a log", ROLLBACK, true, SnapshotKind::Lock),
        ("with a log", LOG, true, SnapshotKind::Log),
        ("with a log left behind", LEFT_LOG, true, SnapshotKind::Log),
        ("with a log left behind and no index", LEFT_LOG, false, SnapshotKind::Log),
    ] {
        let file = File::new(sql);
        if !index {
            fs::remove_file(file.directory.path().join("source.db-shm")).expect("an index");
        }
        let before = files(file.directory.path());
        assert_eq!(
            before.len(),
            if sql != LEFT_LOG {
                1
            } else if index {
                3
            } else {
                2
            },
            "{name}"
        );
        let source = file.open();
        assert_eq!(source.snapshot(), snapshot, "{name}");
        assert_eq!(rows(&source, "app"), BOTH_ROWS, "{name}");
        source.confirm().expect("nobody wrote");
        drop(source);
        assert!(files(file.directory.path()) == before, "{name}: {:?}", files(file.directory.path()).keys());
    }
}

#[test]
fn an_invalid_schema_leaves_no_file_behind_either() {
    let file = File::new(LOG);
    let schema = "pragma writable_schema = on; update sqlite_schema set sql = 'CREATE TABLE app (';";
    sqlite::query(&file.path, schema);
    let before = files(file.directory.path());
    expect_fault(&file.path, DatabaseErrorKind::Corrupt, "malformed database schema (app)");
    assert!(files(file.directory.path()) == before, "{:?}", files(file.directory.path()).keys());
}

#[test]
fn with_a_log_writers_continue_and_the_reader_sees_one_moment() {
    let file = File::new(&format!("{LOG} create table other (id int);"));
    let source = file.open();
    sqlite::query(&file.path, "insert into app values (3); insert into other values (3); create table new (a);");
    assert_eq!(rows(&source, "app"), BOTH_ROWS);
    assert!(rows(&source, "other").is_empty());
    assert!(source.tables().expect("tables").tables.iter().all(|table| table.name != "new"));
    source.confirm().expect("one moment");
    drop(source);
    assert_eq!(sqlite::value(&file.path, "select count(*) from app"), "3");
    let names: Vec<String> = files(file.directory.path()).into_keys().collect();
    assert_eq!(names, ["source.db"], "the last one to go removes the log");
}

/// The log belongs to a writer that has ended: removing it would lose what it wrote.
#[test]
fn a_log_that_others_have_written_meanwhile_is_kept() {
    let file = File::new(LOG);
    let source = file.open();
    sqlite::query(&file.path, "insert into app values (3);");
    assert_eq!(rows(&source, "app"), BOTH_ROWS);
    let log = file.directory.path().join("source.db-wal");
    assert!(log.metadata().expect("a log").len() > 0);
    drop(source);
    assert!(log.metadata().expect("a log").len() > 0);
    assert_eq!(rows(&file.open(), "app").len(), 3);
}

#[test]
fn without_a_log_writers_wait_for_the_reader() {
    let file = File::new(ROLLBACK);
    let source = file.open();
    let insert = "pragma busy_timeout = 0; insert into app values (3);";
    let complaint = sqlite::try_query(&file.path, insert).expect_err("a shared lock is held");
    assert!(complaint.contains("database is locked"), "{complaint}");
    assert_eq!(rows(&source, "app"), BOTH_ROWS);
    drop(source);
    sqlite::query(&file.path, insert);
}

#[test]
fn an_exclusive_writer_is_waited_for_until_the_timeout() {
    for mode in ["delete", "wal"] {
        let sql = format!("pragma journal_mode = {mode}; create table app (id int); insert into app values (1);");
        let file = File::new(&sql);
        // In this mode, a log is only accessible to its writer.
        let alone = "\n.output /dev/null\npragma locking_mode = exclusive;\n.output\nbegin exclusive";
        let writer = Writer::open(&file.path, alone);
        expect_fault(&file.path, DatabaseErrorKind::Busy, "another connection keeps it locked");
        let stopped = SqliteSource::open(&file.path, Duration::from_secs(60), &AtomicBool::new(true));
        let fault = stopped.err().expect("it is locked");
        assert_eq!(fault.kind, DatabaseErrorKind::Cancelled, "{fault}");
        thread::scope(|scope| {
            let reader = scope.spawn(|| rows(&open(&file.path), "app"));
            drop(writer);
            assert_eq!(reader.join().expect("a reader"), ["i 1"], "{mode}");
        });
    }
}

#[test]
fn a_hot_journal_is_not_rolled_back_by_a_reader() {
    let file = File::new("create table app (id int); insert into app values (1);");
    let (journal, kept) = (file.directory.path().join("source.db-journal"), file.directory.path().join("kept"));
    // With a cache of one page, the transaction is written to the file before its end. The journal is that of a dead
    // writer.
    let sql = format!(
        "pragma cache_size = 1; begin;
         with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000) insert into app select i from n;\n.shell cp {} {}\nrollback;",
        journal.display(),
        kept.display()
    );
    sqlite::query(&file.path, &sql);
    fs::rename(&kept, &journal).expect("a journal was there");
    // The number of records is written when the journal is synced: as many as there are.
    OpenOptions::new().write(true).open(&journal).expect("open").write_at(&[0xff; 4], 8).expect("write");
    let magic = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    OpenOptions::new().write(true).open(&journal).expect("open").write_at(&magic, 0).expect("write");
    let before = files(file.directory.path());
    expect_fault(&file.path, DatabaseErrorKind::Corrupt, "must be undone first");
    assert!(files(file.directory.path()) == before);
    sqlite::query(&file.path, "select count(*) from app;");
    assert_eq!(rows(&file.open(), "app"), ["i 1"]);
}

#[test]
fn a_file_that_is_no_database_is_refused_with_a_reason() {
    let directory = temporary_directory("source");
    let at = |name: &str| directory.path().join(name);
    expect_fault(&at("missing.db"), DatabaseErrorKind::NoDatabase, "there is no such file");
    expect_fault(directory.path(), DatabaseErrorKind::Setting, "this is a directory");
    fs::write(at("empty.db"), "").expect("write");
    expect_fault(&at("empty.db"), DatabaseErrorKind::Corrupt, "the file is empty");
    fs::write(at("text.db"), "This is not a database, but a long enough text. ".repeat(100)).expect("write");
    expect_fault(&at("text.db"), DatabaseErrorKind::Corrupt, "this is no SQLite database, or it is encrypted");
    let mut encrypted = vec![0; 8192];
    fs::File::open("/dev/urandom").and_then(|mut it| it.read_exact(&mut encrypted)).expect("random bytes");
    fs::write(at("encrypted.db"), encrypted).expect("write");
    expect_fault(&at("encrypted.db"), DatabaseErrorKind::Corrupt, "this is no SQLite database, or it is encrypted");
    sqlite::query(&at("header.db"), ROLLBACK);
    // The page size.
    OpenOptions::new().write(true).open(at("header.db")).expect("open").write_at(b"xx", 16).expect("write");
    expect_fault(&at("header.db"), DatabaseErrorKind::Corrupt, "this is no SQLite database, or it is encrypted");
    let mut fifo = clean_command("mkfifo");
    fifo.arg(at("fifo.db"));
    assert!(run_with_input(fifo, "").status.success());
    expect_fault(&at("fifo.db"), DatabaseErrorKind::Setting, "this is not a regular file");
    symlink("nowhere.db", at("link.db")).expect("a link");
    assert_eq!(refused(&at("link.db")).kind, DatabaseErrorKind::NoDatabase);
    sqlite::query(&at("short.db"), "create table app (id int); insert into app values (zeroblob(20000));");
    OpenOptions::new().write(true).open(at("short.db")).expect("open").set_len(5000).expect("cut");
    let short = SqliteSource::open(&at("short.db"), Duration::ZERO, &NEVER_CANCELLED).map(drop).expect_err("cut");
    assert_eq!(short.kind, DatabaseErrorKind::Corrupt, "{short}");
}

#[test]
fn file_names_may_have_any_character_and_be_links() {
    let directory = temporary_directory("source");
    let directory = directory.path().join("50% of a #directory?x=1 ž");
    fs::create_dir(&directory).expect("a directory");
    for name in [":memory:", "file:x?mode=memory", "a b.db", "'\".db"] {
        sqlite::query(&directory.join("plain.db"), ROLLBACK);
        fs::rename(directory.join("plain.db"), directory.join(name)).expect("rename");
        assert_eq!(rows(&open(&directory.join(name)), "app"), BOTH_ROWS, "{name}");
    }
    // The log is next to the file, not next to the link.
    sqlite::query(&directory.join("real.db"), LEFT_LOG);
    symlink("real.db", directory.join("link.db")).expect("a link");
    assert_eq!(rows(&open(&directory.join("link.db")), "app"), BOTH_ROWS);
}

const DIRECTORY: &str = "SOURCE_DIRECTORY";

/// Runs the test of this name again with these commands, which prevent writing to `directory`.
fn without_writing(directory: &Path, ways: &[Vec<&str>], test: &str) {
    fs::set_permissions(directory, Permissions::from_mode(0o555)).expect("chmod");
    for way in ways {
        let mut again = command(way);
        again.arg(std::env::current_exe().expect("this program"));
        again.args(["--exact", test, "--nocapture"]).env(DIRECTORY, directory);
        let output = run_with_input(again, "");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stdout.contains("1 passed"), "{way:?}\n{stdout}\n{complaint}");
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("chmod");
}

/// Returns a command that runs as another user, who does not own the directory: permissions do not restrict root.
fn as_another() -> Vec<&'static str> {
    match rustix::process::geteuid().is_root() {
        true => vec!["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--"],
        false => vec!["env"],
    }
}

/// Returns a command that mounts the directory read-only, where mounting is possible.
fn mounted(directory: &Path) -> Option<Vec<&str>> {
    const MOUNT: &str = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    let mut words = vec!["unshare", "--mount"];
    if !rustix::process::geteuid().is_root() {
        words.push("--map-root-user");
    }
    words.extend(["sh", "-c", MOUNT, directory.to_str().expect("a name")]);
    let mut probe = command(&words);
    probe.arg("true");
    run_with_input(probe, "").status.success().then_some(words)
}

fn command(words: &[&str]) -> Command {
    let mut command = clean_command(words[0]);
    command.args(&words[1..]);
    command
}

#[test]
fn a_directory_that_cannot_be_written_needs_no_files_beside_the_database() {
    const TEST: &str = "transfer_source_files::a_directory_that_cannot_be_written_needs_no_files_beside_the_database";
    let cases = [
        ("rollback", ROLLBACK, SnapshotKind::Lock),
        ("log", LOG, SnapshotKind::Unprotected),
        ("left", LEFT_LOG, SnapshotKind::Unprotected),
        ("left without index", LEFT_LOG, SnapshotKind::Unprotected),
        ("being written", LOG, SnapshotKind::Unprotected),
    ];
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        for (name, _, snapshot) in cases {
            let source = open(&Path::new(&directory).join(name));
            assert_eq!(source.snapshot(), snapshot, "{name}");
            assert_eq!(rows(&source, "app"), BOTH_ROWS, "{name}");
            source.confirm().expect("nobody wrote");
        }
        return;
    }
    let directory = temporary_directory("source");
    for (name, sql, _) in cases {
        sqlite::query(&directory.path().join(name), sql);
    }
    fs::remove_file(directory.path().join("left without index-shm")).expect("an index");
    let writer = Writer::open(&directory.path().join("being written"), "begin");
    let before = files(directory.path());
    let ways: Vec<_> = [Some(as_another()), mounted(directory.path())].into_iter().flatten().collect();
    without_writing(directory.path(), &ways, TEST);
    assert!(files(directory.path()) == before);
    drop(writer);
}

#[test]
fn who_writes_where_nothing_can_be_locked_is_noticed() {
    const TEST: &str = "transfer_source_files::who_writes_where_nothing_can_be_locked_is_noticed";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let path = Path::new(&directory).join("log");
        let source = open(&path);
        source.confirm().expect("nobody wrote");
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.write_at(&[0; 8], 8000).expect("write");
        let fault = source.confirm().expect_err("it was written");
        assert_eq!(fault.kind, DatabaseErrorKind::Busy, "{fault}");
        assert!(fault.to_string().contains("somebody has written to it while it was read"), "{fault}");
        return;
    }
    let directory = temporary_directory("source");
    let path = directory.path().join("log");
    sqlite::query(&path, LOG);
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("chmod");
    without_writing(directory.path(), &[as_another()], TEST);
}
