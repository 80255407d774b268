//! Tests of settings of a role or a database that could make exit code 0 wrong. `synchronous_commit = off` is the main
//! one: the server reports a transaction as committed before it is on the disk.

use std::fs;
use std::process::Command;

use crate::backup::names;
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{Postgres, Setup, Stop, USER};
use crate::support::process::{must_run, run_with_input};

/// Starts a server that does not flush commits by itself for ten seconds, with a role for which no commit waits.
fn start_without_flushes() -> Postgres {
    let server = Postgres::start(
        Setup::default().conf("wal_writer_delay = 10s").conf("wal_writer_flush_after = 1GB").conf("autovacuum = off"),
    );
    server.execute(&format!("alter role {USER} set synchronous_commit = off"));
    server
}

/// Crashes and restarts the server of a database.
fn crash<'a>(database: &'a PgDatabase<'_>) -> &'a PgDatabase<'a> {
    database.server().restart(Stop::Immediate);
    database
}

/// Makes everything so far durable.
fn checkpoint(database: &PgDatabase<'_>) {
    database.execute("checkpoint");
}

fn applied(database: &PgDatabase<'_>) -> String {
    database.value(
        "select coalesce(string_agg(revision || ' ' || state || ' ' || statements_done, ', ' order by revision), 'none') \
         from lockkeeper_history",
    )
}

#[test]
fn a_reported_upgrade_survives_a_crash_of_the_server() {
    let server = start_without_flushes();
    for (name, script, history) in [
        ("transaction", "create table t (a int);\n", "0001 applied 1"),
        ("own_setting", "set synchronous_commit = off;\ncreate table t (a int);\n", "0001 applied 2"),
        ("journal", "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\n", "0001 applied 2"),
        (
            "alone",
            "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\ncreate index concurrently i on t (a);\n",
            "0001 applied 3",
        ),
    ] {
        let database = server.database(name);
        checkpoint(&database);
        expect_end(&run_on(&database, &[("0001_a.sql", script)]), 0, &["up to date at 0001"]);
        assert_eq!(applied(crash(&database)), history, "{name}");
        assert_eq!(database.value("select count(*) from t"), "0", "{name}");
    }
}

#[test]
fn other_reported_commands_survive_a_crash_of_the_server() {
    let server = start_without_flushes();
    let database = server.database("verbs");
    let run = run_on(&database, &[ONE, TWO]);
    expect_end(&run, 0, &["up to date at 0002"]);
    checkpoint(&database);
    expect_end(&run.clone().args(["stamp", "base"]), 0, &["stamped"]);
    assert_eq!(applied(crash(&database)), "none", "stamp");
    expect_end(&run.clone().args(["stamp", "head"]), 0, &["stamped"]);
    let run = run.migrations(&[("0001_one.up.sql", "-- edited\ncreate table one (id int);\n")]);
    checkpoint(&database);
    let before = database.value("select checksum from lockkeeper_history where revision = '0001'");
    expect_end(&run.clone().args(["repair", "--yes"]), 0, &["repaired"]);
    crash(&database);
    let after = database.value("select checksum from lockkeeper_history where revision = '0001'");
    assert_ne!(before, after, "repair");
}

#[test]
fn a_printed_script_survives_a_crash_of_the_server() {
    let server = start_without_flushes();
    for (name, script) in [
        ("printed", "set synchronous_commit = off;\ncreate table t (a int);\n"),
        ("printed_journal", "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\n"),
    ] {
        let database = server.database(name);
        checkpoint(&database);
        let run = run_on(&database, &[("0001_a.sql", script)]).args(["upgrade", "--sql", "head"]);
        let printed = run.output().expect_code(0).stdout.clone();
        server.psql(database.name(), &printed).expect("a script that runs");
        assert_eq!(applied(crash(&database)), "0001 applied 2", "{name}");
    }
}

#[test]
fn a_reported_restore_survives_a_crash_of_the_server() {
    let server = start_without_flushes();
    for how in [&["--yes"][..], &["--yes", "--in-place"]] {
        let database = server.database("restored");
        let run: Run = run_on(&database, &[ONE]).env("LOCKKEEPER_BACKUP_DIR", "saved");
        expect_end(&run, 0, &["up to date at 0001"]);
        database.execute("insert into one values (7)");
        expect_end(&run.clone().arg("backup"), 0, &[]);
        let backup = names(&run.dir().join("saved")).into_iter().find(|name| name.ends_with(".dump"));
        let backup = format!("saved/{}", backup.expect("a backup"));
        database.execute("delete from one");
        checkpoint(&database);
        let restore = run.args(["restore", &backup]).args(how.iter().copied());
        expect_end(&restore, 0, &["restored"]);
        assert_eq!(crash(&database).query("select id from one"), "7\n", "{how:?}");
    }
}

/// A commit that waits for a standby to apply it keeps doing so: that is more than a flush to disk.
#[test]
fn a_stricter_synchronous_commit_is_kept() {
    let database = Postgres::shared().database("remote_apply");
    database.execute(&format!(
        "alter database {} set synchronous_commit = remote_apply; create table seen (a text)",
        database.name()
    ));
    let script = "insert into seen values (current_setting('synchronous_commit'));\n";
    expect_end(&run_on(&database, &[("0001_a.sql", script), ("0002_b.sql", script)]), 0, &["up to date at 0002"]);
    assert_eq!(database.query("select a from seen"), "remote_apply\nremote_apply\n");
}

#[test]
fn settings_that_could_lose_a_reported_commit_are_refused() {
    for (setting, value, safe, why) in [
        ("session_replication_role", "replica", "origin", "without checking foreign keys"),
        ("zero_damaged_pages", "on", "off", "would lack the rows of damaged pages"),
        ("ignore_checksum_failure", "on", "off", "could hold rows of damaged pages"),
    ] {
        let database = Postgres::shared().database("unsafe");
        let name = database.name();
        database.execute(&format!("alter database {name} set {setting} = {value}"));
        let run = run_on(&database, &[ONE]);
        let command = format!("ALTER ROLE \"{USER}\" IN DATABASE \"{name}\" SET {setting} = {safe}");
        expect_end(&run, 78, &[&format!("{setting} is {value}"), why, &command]);
        assert_eq!(database.value("select to_regclass('lockkeeper_history') is null"), "t");
        // The command that is printed works.
        database.execute(&command);
        expect_end(&run, 0, &["up to date at 0001"]);
    }
}

/// A library that records each write to a database file as `w` and each flush as `s`.
const DISK: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    static ssize_t (*real_write)(int, const void *, size_t);
    static void note(int fd, const char *what) {
        char link[64], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length < 7 || memcmp(path + length - 7, "/app.db", 7)) return;
        int notes = open(getenv("DISK_NOTES"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        real_write(notes, what, 1);
        close(notes);
    }
    #define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name); \
        if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    ssize_t write(int fd, const void *b, size_t n) { REAL(write) note(fd, "w"); return real(fd, b, n); }
    ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { REAL(pwrite) note(fd, "w"); return real(fd, b, n, at); }
    ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) { REAL(pwrite64) note(fd, "w"); return real(fd, b, n, at); }
    int fsync(int fd) { REAL(fsync) note(fd, "s"); return real(fd); }
    int fdatasync(int fd) { REAL(fdatasync) note(fd, "s"); return real(fd); }"#;

/// A file may switch off that SQLite waits for the disk; a revision that is reported as applied is on the disk
/// nevertheless.
#[test]
fn a_sqlite_file_is_on_the_disk_when_its_revision_is_reported() {
    for script in [
        "create table t (a);\n",
        "-- no-transaction\npragma synchronous = off;\ncreate table t (a);\n",
        "-- no-transaction\npragma synchronous = off;\ncreate table t (a);\nvacuum;\n",
    ] {
        let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off");
        let run = run.migrations(&[("0001_a.sql", script)]).file("disk.c", DISK);
        let (library, notes) = (run.dir().join("disk.so"), run.dir().join("notes"));
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(run.dir().join("disk.c")).arg("-ldl");
        must_run(compile);
        let printed = run.clone().args(["upgrade", "--sql", "head"]).output().expect_code(0).stdout.clone();
        let variables = [("LD_PRELOAD", library.display().to_string()), ("DISK_NOTES", notes.display().to_string())];
        let watched = variables.iter().fold(run.clone(), |run, (name, value)| run.env(name, value));
        expect_end(&watched, 0, &["up to date at 0001"]);
        let noted = fs::read_to_string(&notes).expect("notes of a run");
        assert!(noted.contains('w') && noted.ends_with('s'), "{script}: {noted}");

        fs::remove_file(&notes).expect("the notes");
        fs::remove_file(run.dir().join("app.db")).expect("the database");
        let mut program = Command::new("sqlite3");
        program.arg(run.dir().join("app.db")).envs(variables);
        let ran = run_with_input(program, &printed);
        assert!(ran.status.success(), "{script}: {ran:?}");
        let noted = fs::read_to_string(&notes).expect("notes of a script");
        assert!(noted.contains('w') && noted.ends_with('s'), "printed {script}: {noted}");
    }
}
