//! Tests of the lock on SQLite: several processes and one file.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::lock::files;
use crate::support::binary::{Run, Running};
use crate::support::process::clean_command;
use crate::support::sqlite;

/// A limit for what happens at once.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Creates three revisions for the file `app.db`; each inserts a row into `log`.
fn run() -> (Run, PathBuf) {
    let run = Run::new().url("sqlite:///./app.db").migrations(&[
        ("0001_log.sql", "create table log (id int not null); insert into log values (1);"),
        ("0002_more.sql", "insert into log values (2);"),
        ("0003_index.sql", "create index log_id on log (id); insert into log values (3);"),
    ]);
    let path = run.dir().join("app.db");
    (run, path)
}

fn log(path: &Path) -> String {
    sqlite::value(path, "select group_concat(id, ' ') from (select id from log order by id);")
}

fn history(path: &Path) -> String {
    sqlite::value(
        path,
        "select group_concat(revision || ' ' || state, ', ') from (select * from lockkeeper_history order by revision);",
    )
}

/// An application with an open transaction. Dropping it kills it.
pub struct Writer(Child);

impl Writer {
    /// `begin` is the statement that begins the transaction.
    pub fn open(path: &Path, begin: &str) -> Self {
        let mut child = clean_command("sqlite3")
            .args(["-batch", "-cmd", ".timeout 10000"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3");
        let stdin = child.stdin.as_mut().expect("a piped stdin");
        let sql = format!("{begin};\ninsert into app values (2);\nselect 'inside';\n");
        stdin.write_all(sql.as_bytes()).expect("write to sqlite3");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a piped stdout")).read_line(&mut line).expect("a line");
        assert_eq!(line, "inside\n");
        Self(child)
    }

    pub fn commit(mut self) {
        let mut stdin = self.0.stdin.take().expect("a piped stdin");
        stdin.write_all(b"commit;\n").expect("write to sqlite3");
        drop(stdin);
        assert!(self.0.wait().expect("sqlite3").success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Many runs at once apply each revision exactly once.
#[test]
fn twenty_runs_at_once_apply_each_revision_once() {
    for (before, backups) in [(None, 0), (Some("create table old (id int);"), 1)] {
        let (run, path) = run();
        if let Some(sql) = before {
            sqlite::query(&path, sql);
        }
        let running: Vec<Running> = (0..20).map(|_| run.spawn()).collect();
        for one in running {
            one.finish().expect_code(0);
        }
        assert_eq!(log(&path), "1 2 3");
        assert_eq!(history(&path), "0001 applied, 0002 applied, 0003 applied");
        assert_eq!(files(&run.dir().join("backups"), ".db").len(), backups, "after {before:?}");
    }
}

/// A link to a missing file is the same file under another name.
#[test]
fn a_file_reached_by_a_link_is_the_same_file() {
    let (run, path) = run();
    std::fs::create_dir(run.dir().join("data")).expect("a directory");
    std::os::unix::fs::symlink("data/real.db", &path).expect("a link");
    let by_link = run.clone();
    let by_name = run.clone().url("sqlite:///./data/real.db");
    let running: Vec<Running> = (0..10).flat_map(|_| [by_link.spawn(), by_name.spawn()]).collect();
    for one in running {
        one.finish().expect_code(0);
    }
    assert_eq!(log(&path), "1 2 3");
    assert_eq!(files(run.dir(), ".lock"), [""; 0], "a lock file beside the link");
    assert_eq!(files(&run.dir().join("data"), ".lock").len(), 1);
}

/// The holder waits for an application, a second run waits for the holder.
#[test]
fn a_killed_holder_leaves_no_stale_lock() {
    let (run, path) = run();
    let run = run.env("LOCKKEEPER_BACKUP", "off");
    sqlite::query(&path, "create table app (id int);");
    let writer = Writer::open(&path, "begin immediate");
    let holder = run.spawn();
    holder.wait_for("LOCKKEEPER_BACKUP is off");
    let holder_in_message = format!("pid {}", holder.pid());
    run.clone()
        .args(["--lock-timeout", "0"])
        .output()
        .expect_code(75)
        .says(&holder_in_message)
        .says("nothing was changed");
    let waiter = run.spawn();
    waiter.wait_for(&holder_in_message);
    holder.kill();
    waiter.wait_for("LOCKKEEPER_BACKUP is off");
    writer.commit();
    waiter.finish().expect_code(0);
    assert_eq!(log(&path), "1 2 3");
    assert_eq!(sqlite::value(&path, "select count(*) from app;"), "1");
}

/// The wait works in both journal modes, whether the writer blocks readers or not.
#[test]
fn an_open_writer_is_waited_for_and_then_the_run_ends_with_75() {
    for journal in ["delete", "wal"] {
        for begin in ["begin immediate", "begin exclusive"] {
            let (run, path) = run();
            sqlite::query(&path, &format!("pragma journal_mode = {journal}; create table app (id int);"));
            let writer = Writer::open(&path, begin);
            let finished = run.clone().args(["--lock-timeout", "1s", "--wait-timeout", "1s"]).output();
            finished.expect_code(75).says("app.db").says("nothing was changed").within(TIME_LIMIT);
            writer.commit();
            let tables = "select name from sqlite_schema;";
            assert_eq!(sqlite::query(&path, tables), "app\n", "{journal}, {begin}: {finished}");
            let writer = Writer::open(&path, begin);
            let patient = run.spawn();
            patient.wait_for("waiting for");
            writer.commit();
            patient.finish().expect_code(0);
            assert_eq!(log(&path), "1 2 3", "{journal}, {begin}");
            assert_eq!(sqlite::value(&path, "select count(*) from app;"), "2");
            assert_eq!(files(&run.dir().join("backups"), ".partial"), [""; 0]);
        }
    }
}

/// A writer begins its transaction while a run waits for the lock.
#[test]
fn a_writer_that_blocks_readers_is_waited_for_while_holding_the_lock() {
    let (run, path) = run();
    let run = run.env("LOCKKEEPER_BACKUP", "off");
    sqlite::query(&path, "create table app (id int);");
    let writer = Writer::open(&path, "begin immediate");
    let holder = run.spawn();
    holder.wait_for("LOCKKEEPER_BACKUP is off");
    let waiter = run.spawn();
    waiter.wait_for(&format!("pid {}", holder.pid()));
    // The waiting run has found the database ready before, and gets the lock when nobody can read.
    waiter.signal(Signal::STOP);
    holder.kill();
    writer.commit();
    let writer = Writer::open(&path, "begin exclusive");
    waiter.signal(Signal::CONT);
    waiter.wait_for("another connection");
    writer.commit();
    waiter.finish().expect_code(0);
    assert_eq!(log(&path), "1 2 3");
    assert_eq!(sqlite::value(&path, "select count(*) from app;"), "2");
}
