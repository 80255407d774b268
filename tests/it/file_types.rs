//! Tests of named pipes, sockets, directories, devices and symbolic links in place of a file: no run waits for them or
//! writes through them. A read that does not end is ended by a signal and by the deadline.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;

use crate::support::binary::{Finished, Run};
use crate::support::lease::Lease;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, free_port, sqlite, wait_until};

const GOOD: (&str, &str) = ("0001_t.sql", "create table t (a integer);");

fn sqlite_run() -> Run {
    Run::new().url("sqlite:///some.db").migrations(&[GOOD])
}

/// A run on a server that does not exist; it must not try to connect.
fn run_without_server() -> Run {
    let url = format!("postgresql://someone@127.0.0.1:{}/nowhere", free_port());
    Run::new().url(&url).migrations(&[GOOD]).env("LOCKKEEPER_WAIT_TIMEOUT", "1s")
}

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).expect("mkfifo");
}

/// Expects that the run ends by itself, with this code and these words.
#[track_caller]
fn expect_end(run: &Run, code: i32, words: &[&str]) -> Finished {
    let finished = run.clone().env("LOCKKEEPER_DEADLINE", "60s").output();
    finished.expect_code(code);
    for words in words {
        finished.says(words);
    }
    finished
}

#[test]
fn a_migration_that_is_no_regular_file_is_invalid() {
    for run in [sqlite_run(), run_without_server()] {
        let place = run.dir().join("migrations/0002_more.sql");
        pipe(&place);
        let command = |words: &[&str]| run.clone().args(words.iter().copied());
        for run in [run.clone(), command(&["check", "--offline"]), command(&["history"])] {
            expect_end(&run, 65, &["0002_more.sql: cannot be read", "it is a named pipe, not a regular file"]);
        }
        fs::remove_file(&place).expect("the pipe");
        let listener = UnixListener::bind(&place).expect("a socket");
        expect_end(&run, 65, &["0002_more.sql", "it is a socket"]);
        drop(listener);
        fs::remove_file(&place).expect("the socket");
        fs::create_dir(&place).expect("a directory");
        expect_end(&run, 65, &["0002_more.sql", "it is a directory"]);
        fs::remove_dir(&place).expect("the directory");
        symlink("/dev/zero", &place).expect("a link");
        expect_end(&run, 65, &["0002_more.sql", "it is a device"]);
        assert!(!run.dir().join("some.db").exists());
    }
    let run = sqlite_run();
    pipe(&run.dir().join("migrations/0001_t.down.sql"));
    expect_end(&run, 65, &["0001_t.down.sql", "it is a named pipe"]);
    let run = run.env("LOCKKEEPER_DIR", "pipe");
    pipe(&run.dir().join("pipe"));
    expect_end(&run, 66, &["pipe"]);
    expect_end(&run.clone().args(["revision", "-m", "more"]), 66, &["pipe"]);
}

/// In the volume of a ConfigMap or Secret, names are links to a directory behind another link.
#[test]
fn files_that_users_provide_are_read_through_links() {
    let database = Postgres::shared().database("links");
    let url = database.url();
    let run = Run::new().file("volume/..one/0001_t.sql", GOOD.1).file("volume/..one/url", &url);
    let volume = run.dir().join("volume");
    symlink("..one", volume.join("..data")).expect("a link");
    for name in ["0001_t.sql", "url"] {
        symlink(format!("..data/{name}"), volume.join(name)).expect("a link");
    }
    let run = run.env("LOCKKEEPER_DIR", "volume").env("DATABASE_URL_FILE", "volume/url");
    expect_end(&run.env("LOCKKEEPER_BACKUP", "off"), 0, &["up to date at 0001"]);
    assert_eq!(database.value("select count(*) from t"), "0");
}

#[test]
fn a_secret_that_is_no_regular_file_is_denied() {
    let run = run_without_server();
    pipe(&run.dir().join("pipe"));
    for name in ["DATABASE_PASSWORD_FILE", "LOCKKEEPER_DIRECT_URL_FILE", "PGPASSFILE"] {
        for (place, what) in [("pipe", "a named pipe"), (".", "a directory"), ("/dev/zero", "a device")] {
            expect_end(&run.clone().env(name, place), 77, &[what, "not a regular file"]);
        }
    }
    pipe(&run.dir().join(".pgpass"));
    expect_end(&run, 77, &[".pgpass", "a named pipe"]);
    // libpq's users switch the file off like this.
    expect_end(&run.clone().env("PGPASSFILE", "/dev/null"), 69, &[]);
    let run = run_without_server().file("large", "x".repeat(2 << 20));
    expect_end(&run.env("DATABASE_PASSWORD_FILE", "large"), 77, &["more than 1048576 bytes"]);
}

/// A password file is read again at each attempt, so its type can change.
#[test]
fn a_secret_that_becomes_a_pipe_while_the_server_is_waited_for_is_denied() {
    let run = run_without_server().file("password", PASSWORD).env("DATABASE_PASSWORD_FILE", "password");
    let running = run.clone().env("LOCKKEEPER_WAIT_TIMEOUT", "60s").spawn();
    running.wait_for("waiting for");
    pipe(&run.dir().join("password"));
    running.finish().expect_code(77).says("a named pipe").does_not_say(PASSWORD);
}

#[test]
fn a_certificate_that_is_no_regular_file_fails_tls() {
    let run = run_without_server().env("PGSSLMODE", "verify-full");
    pipe(&run.dir().join("pipe"));
    for name in ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"] {
        expect_end(&run.clone().env(name, "pipe"), 76, &[": pipe: it is a named pipe"]);
    }
}

#[test]
fn a_termination_log_that_is_no_regular_file_is_warned_about_and_left_alone() {
    let run = sqlite_run().env("LOCKKEEPER_TERMINATION_LOG", "message").file("precious", "precious");
    let (message, precious) = (run.dir().join("message"), run.dir().join("precious"));
    let says_last = |finished: Finished, words: &str| {
        let last = finished.stderr.lines().last().expect("a line").to_owned();
        assert!(last.contains(words), "{finished}");
    };
    pipe(&message);
    let warning = "the termination message is not written to message: it is a named pipe";
    says_last(expect_end(&run, 0, &[warning]), "up to date at 0001");
    fs::remove_file(&message).expect("the pipe");
    symlink("precious", &message).expect("a link");
    says_last(expect_end(&run, 0, &["message: it is a symbolic link"]), "nothing pending");
    fs::remove_file(&message).expect("the link");
    fs::hard_link(&precious, &message).expect("a link");
    expect_end(&run, 0, &["message: it has 2 names"]);
    assert_eq!(fs::read_to_string(&precious).expect("the file"), "precious");
}

#[test]
fn a_lock_file_that_is_a_link_or_a_pipe_is_refused_and_nothing_is_overwritten() {
    let run = sqlite_run().file("precious", "precious");
    let (lock, precious) = (run.dir().join("some.db.lockkeeper.lock"), run.dir().join("precious"));
    symlink("precious", &lock).expect("a link");
    expect_end(&run, 78, &["some.db.lockkeeper.lock: it is a symbolic link"]);
    fs::remove_file(&lock).expect("the link");
    symlink("new", &lock).expect("a link");
    expect_end(&run, 78, &["some.db.lockkeeper.lock: it is a symbolic link"]);
    assert!(!run.dir().join("new").exists());
    fs::remove_file(&lock).expect("the link");
    fs::hard_link(&precious, &lock).expect("a link");
    expect_end(&run, 78, &["not a lock file of Lockkeeper"]);
    assert_eq!(fs::read_to_string(&precious).expect("the file"), "precious");
    pipe(&lock);
    expect_end(&run, 78, &["some.db.lockkeeper.lock: it is a named pipe"]);
    assert!(!run.dir().join("some.db").exists());
    fs::remove_file(&lock).expect("the pipe");
    expect_end(&run, 0, &["up to date at 0001"]);
}

/// A reader that waits for runs opens the lock file, too.
#[test]
fn a_lock_file_that_is_a_pipe_does_not_stop_a_transfer() {
    let run = Run::new().file("out.json", "");
    sqlite::query(&run.dir().join("app.db"), "create table t (a integer); insert into t values (1);");
    pipe(&run.dir().join("app.db.lockkeeper.lock"));
    expect_end(&run.url("sqlite:///app.db").args(["export", "-"]), 0, &["\"a\": 1"]);
}

/// SQLite opens these by their names, and would wait for a pipe.
#[test]
fn a_database_or_a_file_beside_it_that_is_a_pipe_is_refused() {
    for name in ["some.db", "some.db-wal", "some.db-journal", "some.db-shm"] {
        let run = sqlite_run();
        if name != "some.db" {
            sqlite::query(&run.dir().join("some.db"), "create table old (a integer);");
        }
        pipe(&run.dir().join(name));
        let words = [name, "it is a named pipe, not a regular file"];
        for verb in ["upgrade", "check", "backup"] {
            expect_end(&run.clone().arg(verb), 78, &words);
        }
        expect_end(&run.clone().args(["export", "-"]), 78, &[name, "not a regular file"]);
    }
}

#[test]
fn a_manifest_that_is_a_pipe_vouches_for_nothing() {
    let run = sqlite_run();
    expect_end(&run, 0, &["up to date at 0001"]);
    expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
    let backups = run.dir().join("backups");
    let entries = fs::read_dir(&backups).expect("the directory").map(|entry| entry.expect("an entry").path());
    let manifest = entries.into_iter().find(|path| path.extension().is_some_and(|it| it == "json"));
    let manifest = manifest.expect("a manifest");
    pipe(&manifest);
    expect_end(&run.clone().arg("backups"), 0, &["unverified"]);
    let file = manifest.with_extension("");
    let restore = ["restore".into(), "--yes".into(), file.display().to_string()];
    expect_end(&run.clone().args(restore), 85, &["it is a named pipe"]);
    pipe(&file);
    expect_end(&run.clone().args(["restore", "--yes", &file.display().to_string()]), 64, &["is not a file"]);
    // The next backup is not stopped by it, nor by partial files that are pipes.
    for name in ["some.db-20200101T000000Z-from-0001.db.partial", "some.db-20200101T000000Z-from-0001.db.json.partial"]
    {
        pipe(&backups.join(name));
    }
    expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
}

#[test]
fn an_export_writes_through_no_link_and_waits_for_no_pipe() {
    let run = Run::new().url("sqlite:///app.db").file("precious", "precious");
    sqlite::query(&run.dir().join("app.db"), "create table t (a integer); insert into t values (1);");
    let partial = run.dir().join("out.json.lockkeeper-partial");
    let export = run.clone().args(["export", "out.json"]);
    pipe(&partial);
    expect_end(&export, 74, &["out.json.lockkeeper-partial", "it is a named pipe"]);
    fs::remove_file(&partial).expect("the pipe");
    symlink("precious", &partial).expect("a link");
    expect_end(&export, 74, &["out.json.lockkeeper-partial", "it is a symbolic link"]);
    assert_eq!(fs::read_to_string(run.dir().join("precious")).expect("the file"), "precious");
    pipe(&run.dir().join("out.json"));
    expect_end(&export, 64, &["out.json"]);
}

/// A pipe that is named as the source of an import is read: another program writes to it.
#[test]
fn an_import_reads_from_a_pipe_and_a_signal_ends_its_wait() {
    let run = sqlite_run();
    let pipe_path = run.dir().join("pipe");
    pipe(&pipe_path);
    let import = run.clone().args(["import", "pipe"]);
    let running = import.spawn();
    let mut writer = None;
    wait_until("somebody reads from the pipe", DEFAULT_TIMEOUT, || {
        // Without a reader this is refused.
        let opened = rustix::fs::open(&pipe_path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
        writer = opened.ok();
        writer.is_some()
    });
    running.signal(Signal::TERM);
    running.finish().expect_code(143).says("stopped by SIGTERM");
    drop(writer);
    let running = import.spawn();
    fs::write(&pipe_path, r#"{"t": [{"a": 7}]}"#).expect("the pipe");
    running.finish().expect_code(0);
    assert_eq!(sqlite::value(&run.dir().join("some.db"), "select a from t;"), "7");
}

/// The file system does not answer: one signal, or the deadline, ends the run all the same.
#[test]
fn a_read_that_does_not_end_is_ended_by_a_signal_and_by_the_deadline() {
    let grace = "did not end within LOCKKEEPER_SHUTDOWN_GRACE (100ms)";
    for (signal, code) in [(Some(Signal::TERM), 143), (Some(Signal::INT), 130), (None, 124)] {
        let run = sqlite_run().file("migrations/0002_u.sql", "select 1;").env("LOCKKEEPER_SHUTDOWN_GRACE", "100ms");
        let lease = Lease::take(&run.dir().join("migrations/0002_u.sql"));
        let run = if signal.is_none() { run.env("LOCKKEEPER_DEADLINE", "500ms") } else { run };
        let running = run.spawn();
        lease.wait_until_requested();
        signal.into_iter().for_each(|signal| running.signal(signal));
        running.finish().expect_code(code).says(grace).within(Duration::from_secs(40));
    }
    // The top of the first file tells the layout, before there is anything to end.
    for (signal, code) in [(Some(Signal::TERM), 143), (None, 124)] {
        let run = sqlite_run().env("LOCKKEEPER_SHUTDOWN_GRACE", "10m");
        let lease = Lease::take(&run.dir().join("migrations/0001_t.sql"));
        let run = if signal.is_none() { run.env("LOCKKEEPER_DEADLINE", "500ms") } else { run };
        let running = run.spawn();
        lease.wait_until_requested();
        signal.into_iter().for_each(|signal| running.signal(signal));
        running
            .finish()
            .expect_code(code)
            .says("configuration: ")
            .says("nothing was changed")
            .within(Duration::from_secs(40));
    }
    // Where only settings are read, there is nothing to end either.
    let run = run_without_server().file("password", PASSWORD).env("DATABASE_PASSWORD_FILE", "password");
    let lease = Lease::take(&run.dir().join("password"));
    let running = run.env("LOCKKEEPER_SHUTDOWN_GRACE", "10m").spawn();
    lease.wait_until_requested();
    running.signal(Signal::TERM);
    let finished = running.finish();
    finished.expect_code(143).says("configuration: stopped by SIGTERM").says("nothing was changed");
}

/// Another process may have a lease on a file for a moment, as Samba and NFS servers do: that is no error.
#[test]
fn a_file_that_another_process_has_a_lease_on_is_waited_for() {
    let run = sqlite_run();
    let lease = Lease::take(&run.dir().join("migrations/0001_t.sql"));
    let running = run.spawn();
    lease.wait_until_requested();
    drop(lease);
    running.finish().expect_code(0).says("up to date at 0001");
}
