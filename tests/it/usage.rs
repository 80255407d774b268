//! Tests of wrong usage: an invalid command line ends with 64, an invalid setting with 78, a panic with 70; never with
//! 2 or 101.

use std::process::Command;

use crate::support::binary::{Finished, Run};
use crate::support::postgres::PASSWORD;
use crate::support::process::must_run;
use crate::support::sqlite;

fn run() -> Run {
    Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")])
}

/// Expects that the last line names what is wrong and where to look, and that nothing was done.
#[track_caller]
fn expect_refused(run: &Run, code: i32, name: &str) -> Finished {
    let finished = run.output();
    finished.expect_code(code).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(name) && last.contains("nothing was changed; try: "), "not about {name}: {finished}");
    assert_eq!(finished.stdout, "");
    assert!(!run.dir().join("some.db").exists());
    finished
}

#[test]
fn invalid_arguments_are_usage_errors() {
    let rows: &[(&[&str], &str)] = &[
        (&["--no-such-flag"], "--no-such-flag"),
        (&["-x"], "-x"),
        (&["no-such-command"], "no-such-command"),
        (&["help", "no-such-command"], "no-such-command"),
        (&[""], "''"),
        (&["upgrade", "head", "tail"], "tail"),
        (&["upgrade", "--migrated"], "--migrated"),
        (&["check", "head"], "head"),
        (&["--dir"], "--dir"),
        (&["restore"], "were not provided: <FILE>;"),
        (&["--strict=maybe"], "--strict"),
        (&["--url", "sqlite:x.db", "--url", "sqlite:y.db"], "--url"),
        (&["--wait-timeout", "soon"], "--wait-timeout"),
        (&["--wait-timeout", ""], "--wait-timeout"),
        (&["--wait-timeout", "999999999999h"], "--wait-timeout"),
        (&["--lock-timeout=-1s"], "--lock-timeout"),
        (&["--deadline=1d"], "--deadline"),
        (&["--ddl-retries", "many"], "--ddl-retries"),
        (&["--backup-keep", "0"], "--backup-keep"),
        (&["--backup", "perhaps"], "--backup"),
        (&["--log", "loud"], "--log"),
        (&["--log-format", "xml"], "--log-format"),
        (&["--history-table", "a.b.c"], "--history-table"),
        (&["--url", "mysql://u:canary7secret@h/d"], "--url"),
        (&["upgrade", "no such target"], "no such target"),
        (&["backup", "--", "program"], "a program after --"),
    ];
    for (arguments, name) in rows {
        expect_refused(&run().args(arguments.iter().copied()), 64, name);
    }
}

/// A target that matches no revision is the caller's mistake as well.
#[test]
fn an_unknown_target_is_a_usage_error() {
    for target in ["0002", "zzz"] {
        let run = run().arg("upgrade").arg(target);
        expect_refused(&run, 64, target);
    }
}

#[test]
fn arguments_that_are_not_utf8_are_usage_errors() {
    for (word, name) in [("--dir", "UTF-8"), ("upgrade", "UTF-8"), ("", "subcommand")] {
        let script = format!("exec \"$0\" {word} \"$(printf 'x\\377')\"");
        expect_refused(&run().under(["sh", "-c", &script]), 64, name);
    }
}

#[test]
fn invalid_variables_are_named() {
    for (name, value) in [
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "mysql://u:canary7secret@h/d"),
        ("LOCKKEEPER_DIRECT_URL", "postgres://u:canary7secret@h:x/d"),
        ("DATABASE_URL_FILE", "both"),
        ("DATABASE_POOL_SIZE", "many"),
        ("DATABASE_MAX_OVERFLOW", "-2"),
        ("LOCKKEEPER_TARGET", "+"),
        ("LOCKKEEPER_WAIT_TIMEOUT", "soon"),
        ("LOCKKEEPER_CONNECT_TIMEOUT", "1 s s"),
        ("LOCKKEEPER_AUTH_GRACE", "5 parsecs"),
        ("LOCKKEEPER_LOCK_TIMEOUT", "-1"),
        ("LOCKKEEPER_DDL_LOCK_TIMEOUT", "1.5s"),
        ("LOCKKEEPER_DDL_RETRIES", "-1"),
        ("LOCKKEEPER_STATEMENT_TIMEOUT", "x"),
        ("LOCKKEEPER_DEADLINE", "tomorrow"),
        ("LOCKKEEPER_SHUTDOWN_GRACE", "8 seconds"),
        ("LOCKKEEPER_BACKUP", "false"),
        ("LOCKKEEPER_BACKUP_KEEP", "0"),
        ("LOCKKEEPER_BACKUP_JOBS", "0"),
        ("LOCKKEEPER_BACKUP_COMPRESS", "lz4"),
        ("LOCKKEEPER_BACKUP_TIMEOUT", "1d"),
        ("LOCKKEEPER_STRICT", "maybe"),
        ("LOCKKEEPER_HISTORY_TABLE", "a.b.c"),
        ("LOCKKEEPER_LOG", "loud"),
        ("LOCKKEEPER_LOG_FORMAT", "xml"),
    ] {
        expect_refused(&run().env(name, value), 78, name);
    }
    let script = "LOCKKEEPER_DIR=\"$(printf '\\377')\" exec \"$0\"";
    expect_refused(&run().under(["sh", "-c", script]), 78, "LOCKKEEPER_DIR");
}

#[test]
fn empty_variables_count_as_unset() {
    let names = "DATABASE_URL_FILE DATABASE_PASSWORD DATABASE_PASSWORD_FILE DATABASE_POOL_SIZE \
        DATABASE_MAX_OVERFLOW LOCKKEEPER_DIRECT_URL LOCKKEEPER_DIRECT_URL_FILE LOCKKEEPER_DIR LOCKKEEPER_TARGET LOCKKEEPER_WAIT_TIMEOUT LOCKKEEPER_CONNECT_TIMEOUT LOCKKEEPER_AUTH_GRACE \
        LOCKKEEPER_LOCK_TIMEOUT LOCKKEEPER_DDL_LOCK_TIMEOUT LOCKKEEPER_DDL_RETRIES LOCKKEEPER_STATEMENT_TIMEOUT \
        LOCKKEEPER_DEADLINE LOCKKEEPER_SHUTDOWN_GRACE LOCKKEEPER_BACKUP LOCKKEEPER_BACKUP_DIR LOCKKEEPER_BACKUP_KEEP \
        LOCKKEEPER_BACKUP_JOBS LOCKKEEPER_BACKUP_COMPRESS LOCKKEEPER_BACKUP_TIMEOUT LOCKKEEPER_BACKUP_COMMAND LOCKKEEPER_BACKUP_BASE_COMMAND LOCKKEEPER_PG_DUMP LOCKKEEPER_STRICT LOCKKEEPER_HISTORY_TABLE LOCKKEEPER_TERMINATION_LOG \
        LOCKKEEPER_LOG LOCKKEEPER_LOG_FORMAT PGHOST PGPORT PGUSER PGPASSWORD PGSSLMODE NO_COLOR";
    let run = names.split_whitespace().fold(run(), |run, name| run.env(name, ""));
    run.output().expect_code(0).says("up to date at 0001");
    assert_eq!(sqlite::value(&run.dir().join("some.db"), "select count(*) from lockkeeper_history;"), "1");
    run.url("").output().expect_code(78).says("DATABASE_URL is empty");
}

#[test]
fn help_and_version_are_printed_to_stdout() {
    for arguments in
        [&["--help"][..], &["-h"], &["help"], &["help", "upgrade"], &["upgrade", "--help"], &["--version"], &["-V"]]
    {
        // Even when other settings are invalid.
        let run = Run::new().url("nonsense").env("LOCKKEEPER_LOG", "loud").args(arguments.iter().copied());
        let finished = run.output();
        finished.expect_code(0).says("lockkeeper");
        assert_eq!(finished.stderr, "", "{arguments:?}");
    }
}

/// Service links and the variables of other tools are ignored.
#[test]
fn variables_of_other_programs_are_ignored() {
    let foreign = [
        ("LOCKKEEPER_PORT", "tcp://10.0.0.1:5432"),
        ("LOCKKEEPER_SERVICE_HOST", "10.0.0.1"),
        ("DATABASE_PORT", "tcp://10.0.0.1:5432"),
        ("DB_PORT", "tcp://10.0.0.1:5432"),
    ];
    let run = foreign.into_iter().fold(run(), |run, (name, value)| run.env(name, value));
    run.output().expect_code(0);
}

/// A clock that fails once makes the standard library panic, wherever that is: each place has to end with 70, and the
/// log stays JSON.
#[test]
fn a_panic_anywhere_is_an_internal_error() {
    const CLOCK: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <stdlib.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            static int calls;
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
            const char *at = getenv("CLOCK_FAILS_AT");
            /* On our own thread: how often the driver's one asks before is nobody's to say. */
            if (clock == CLOCK_MONOTONIC && gettid() == getpid() && at && ++calls == atoi(at)) { errno = EINVAL; return -1; }
            return real(clock, now);
        }"#;
    let run = run().file("clock.c", CLOCK).env("LOCKKEEPER_LOG_FORMAT", "json");
    let library = run.dir().join("clock.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(run.dir().join("clock.c")).arg("-ldl");
    must_run(compile);
    let run = run.env("LD_PRELOAD", library.display().to_string()).env("LOCKKEEPER_TERMINATION_LOG", "termination");
    let (mut panics, mut messages) = (0, 0);
    for call in 1..=16 {
        let _ = std::fs::remove_file(run.dir().join("termination"));
        let finished = run.clone().env("CLOCK_FAILS_AT", call.to_string()).output();
        for line in finished.stderr.lines() {
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {finished}"));
            assert!(value["level"].is_string() && value["message"].is_string(), "{line}");
        }
        if finished.code != Some(0) {
            finished.expect_code(70).says("this is a bug in lockkeeper");
            let termination_message = std::fs::read_to_string(run.dir().join("termination")).unwrap_or_default();
            // The first calls happen before the destination of the message is known.
            assert!(
                termination_message.is_empty() || termination_message.starts_with("lockkeeper: exit 70 (internal)"),
                "call {call}: {termination_message:?} {finished}"
            );
            messages += usize::from(!termination_message.is_empty());
            panics += 1;
        }
    }
    assert!(panics >= 3 && messages >= 1, "{panics} panics, {messages} messages");
}

/// A misspelt name of a variable is reported; what Kubernetes sets for services is not.
#[test]
fn an_unknown_lockkeeper_variable_is_reported() {
    let run = Run::new().migrations(&[("0001_t.sql", "create table t (a int);")]).url("sqlite:app.db");
    let run = run.env("LOCKKEEPER_LOCK_TIMOUT", "1s").env("LOCKKEEPER_PORT", "tcp://10.0.0.1:80");
    let run = run.env("LOCKKEEPER_DB_SERVICE_HOST", "10.0.0.1").env("LOCKKEEPER_PORT_80_TCP_ADDR", "10.0.0.1");
    let finished = run.output();
    finished.expect_code(0).says("LOCKKEEPER_LOCK_TIMOUT is not a setting of this version");
    assert_eq!(finished.stderr.matches("is not a setting").count(), 1, "{finished}");
}

/// The database of `--url` is named in the log, without its password.
#[test]
fn the_url_of_the_flag_is_logged_without_its_password() {
    for form in
        [vec!["--url", "postgresql://u:canary-w0rd@127.0.0.1:1/shown"], vec!["--url=postgresql://u@127.0.0.1:1/shown"]]
    {
        let run = Run::new().migrations(&[("0001_t.sql", "create table t (a int);")]);
        let finished = run.args(form).args(["--wait-timeout", "100ms"]).output();
        finished.expect_code(69).says("postgresql://u@127.0.0.1:1/shown was not ready").does_not_say("canary-w0rd");
    }
}
