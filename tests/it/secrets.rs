//! Tests that the password, a canary, is in nothing that is printed, written or passed as an argument.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, USER};
use crate::support::process::postgres_program;
use crate::support::scripted::{Answer, Scripted};
use crate::support::tls::Authority;
use crate::support::{free_port, unique, wait_until};

/// Forms of the canary that a reader could decode.
const FORMS: [&str; 3] = [PASSWORD, "canary%37secret", "Y2FuYXJ5N3NlY3JldA"];

fn run() -> Run {
    Run::new()
        .migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")])
        .env("LOCKKEEPER_TERMINATION_LOG", "termination")
        .env("LOCKKEEPER_LOG", "debug")
        .arg("--json")
        .args(["--wait-timeout", "600ms", "--auth-grace", "100ms"])
}

/// Returns all files below a directory that the run has written, without those of the test.
fn written(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.ends_with("given") || path.ends_with("migrations") => {}
            path if path.is_dir() => found.extend(written(&path)),
            path => found.push(path),
        }
    }
    found
}

/// Runs it in both formats of the log; returns the last run.
#[track_caller]
fn expect_masked(run: &Run, code: i32) -> Finished {
    let mut last = None;
    for format in ["json", "text"] {
        let finished = run.clone().env("LOCKKEEPER_LOG_FORMAT", format).output();
        finished.expect_code(code);
        for form in FORMS {
            finished.does_not_say(form);
        }
        let files = written(run.dir());
        assert!(files.iter().any(|file| file.ends_with("termination")), "no termination message: {finished}");
        for file in files {
            let bytes = fs::read(&file).expect("a file");
            let text = String::from_utf8_lossy(&bytes);
            assert!(!FORMS.iter().any(|form| text.contains(form)), "{}: {text}", file.display());
        }
        last = Some(finished);
    }
    last.expect("two runs")
}

#[track_caller]
fn expect_no_row_with_canary(database: &PgDatabase<'_>) {
    let rows = database.query("select * from lockkeeper_history");
    assert!(!rows.is_empty() && !rows.contains(PASSWORD), "{rows}");
}

#[test]
fn an_invalid_url_is_not_printed() {
    for url in [
        "postgres://u:canary7secret@h:port/d",
        "postgres://u:canary7secret@h:99999/d",
        "postgres://u:%zzcanary7secret@h/d",
        "postgres://u:x#canary7secret@h/d",
        "postgres://u:x/canary7secret@h/d",
        "postgres://u:x?canary7secret@h/d",
        "postgres://u:canary7secret@h/d?sslmode=maybe",
        "postgres://h/d?password=canary7secret&sslmodee=1",
        "postgres://h/d?canary7secret=1",
        "postgres//u:canary7secret@h/d",
        "canary7secret",
        "mysql://u:canary7secret@h/d",
        "postgres://u:canary7secret@[::1/d",
        "sqlite://u:canary7secret@h/x.db",
        "postgres://u:canary7secret@h/d\n#",
    ] {
        for name in ["DATABASE_URL", "LOCKKEEPER_DIRECT_URL"] {
            let finished = run().env(name, url).arg("check").output();
            // A few of these URLs are valid, and their host does not resolve.
            assert!(matches!(finished.code, Some(78 | 69)), "{url}: {finished}");
            expect_masked(&run().env(name, url).arg("check"), finished.code.unwrap_or_default());
        }
        expect_masked(&run().arg("--url").arg(url).arg("--offline-or-other-wrong-flag"), 64);
    }
}

#[test]
fn a_url_in_the_wrong_place_is_not_printed() {
    let url = format!("postgres://u:{PASSWORD}@h/d");
    let assigned = format!("--database={url}");
    let words = [
        &[url.as_str()][..],
        &["upgrade", &url],
        &["upgrade", "head", &url],
        &["check", &url],
        &[&assigned],
        &["--dir", "x", &url],
    ];
    for arguments in words {
        expect_masked(&run().args(arguments.iter().copied()), 64);
    }
    // A URL in place of a number: the message quotes it, but not its password.
    expect_masked(&run().args(["--ddl-retries", &url]), 64);
    expect_masked(&run().args(["--wait-timeout", &url]), 64);
}

#[test]
fn errors_of_a_server_do_not_print_the_password() {
    let server = Postgres::shared();
    let role = unique("canary");
    server.execute(&format!("create role {role} login password 'another'"));
    expect_masked(&run().url(&server.url_as(&role, PASSWORD, "postgres")), 77);
    expect_masked(&run().url(&server.url("no_such_database")), 78);
    expect_masked(&run().url(&format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/d", free_port())), 69);
    expect_masked(&run().url(&format!("postgres://{USER}:{PASSWORD}@no-such-host.invalid/d")), 69);
    expect_masked(&run().url(&format!("{}?sslmode=require", server.url("postgres"))), 76);
    // A server that repeats what it was sent.
    let message = "password canary7secret is wrong";
    let echo = Scripted::start(vec![Answer::Error { code: "28P01", message }]);
    expect_masked(&run().url(&echo.url("d")), 77);
    let garbage = Scripted::start(vec![Answer::Bytes(b"HTTP/1.1 400 canary7secret\r\n\r\n".to_vec())]);
    expect_masked(&run().url(&garbage.url("d")), 76);
}

#[test]
fn a_refused_certificate_does_not_print_the_password() {
    let (trusted, untrusted) = (Authority::new(), Authority::new());
    let server = Postgres::start(Setup::default().tls(&untrusted.good()).hba("hostnossl all all all reject"));
    let root = trusted.root();
    expect_masked(
        &run().url(&format!("{}?sslmode=verify-full&sslrootcert={}", server.url("postgres"), root.display())),
        76,
    );
    expect_masked(&run().url(&format!("{}?sslmode=disable", server.url("postgres"))), 77);
}

/// The password may come from a URL, a variable, a file or a password file.
#[test]
fn a_password_from_any_source_is_not_printed() {
    let server = Postgres::shared();
    let database = server.database("ways");
    let bare = format!("postgresql://{USER}@127.0.0.1:{}/{}", server.port(), database.name());
    let failing =
        || run().env("LOCKKEEPER_BACKUP", "off").migrations(&[("0002_bad.sql", &format!("SELECT '{PASSWORD}' / 0;"))]);
    let line = format!("127.0.0.1:{}:*:{USER}:{PASSWORD}\n", server.port());
    let with_passfile = failing().url(&bare).file("given", line).env("PGPASSFILE", "given");
    fs::set_permissions(with_passfile.dir().join("given"), fs::Permissions::from_mode(0o600)).expect("chmod");
    for run in [
        failing().url(&database.url()),
        failing().url(&format!("{bare}?password={PASSWORD}")),
        failing().url(&format!("postgresql://{USER}:canary%37secret@127.0.0.1:{}/{}", server.port(), database.name())),
        failing().url(&bare).env("DATABASE_PASSWORD", PASSWORD),
        failing().url(&bare).env("PGPASSWORD", PASSWORD),
        failing().url(&bare).file("given", format!("{PASSWORD}\r\n")).env("DATABASE_PASSWORD_FILE", "given"),
        failing().file("given", database.url()).env("DATABASE_URL_FILE", "given"),
        with_passfile,
    ] {
        expect_masked(&run, 80);
        expect_no_row_with_canary(&database);
    }
}

/// The output of the tool, its arguments, its environment, and the files on disk.
#[test]
fn pg_dump_gets_the_password_only_in_pgpassword() {
    let server = Postgres::shared();
    let database = server.database("dump_secret");
    let bare = format!("postgresql://{USER}@127.0.0.1:{}/{}", server.port(), database.name());
    let line = format!("127.0.0.1:{}:*:{USER}:{PASSWORD}\n", server.port());
    for way in ["url", "passfile"] {
        for code in [84, 0] {
            let bin = postgres_program("pg_dump");
            let text = format!(
                "#!/bin/sh\n[ \"$1\" = --version ] || {{ env; cat /proc/$$/cmdline /proc/$PPID/cmdline; }} >&2\n\
                 tr '\\0' '\\n' </proc/$$/cmdline >\"given/line-${{0##*/}}\"\n\
                 tr '\\0' '\\n' </proc/$$/environ >\"given/env-${{0##*/}}\"\n\
                 [ {code} = 0 ] || [ \"$1\" = --version ] || exit 1\nexec {}/${{0##*/}} \"$@\"\n",
                bin.parent().expect("a directory").display()
            );
            let run = run().file("tools/pg_dump", &text).file("tools/pg_restore", &text).file("given/passfile", &line);
            for name in ["tools/pg_dump", "tools/pg_restore"] {
                fs::set_permissions(run.dir().join(name), fs::Permissions::from_mode(0o755)).expect("chmod");
            }
            let tool = run.dir().join("tools/pg_dump").display().to_string();
            let run = match way {
                "url" => run.url(&database.url()),
                _ => run.url(&bare).env("PGPASSFILE", "given/passfile"),
            };
            database.execute("drop table if exists lockkeeper_history, t, precious; create table precious (a int)");
            let run = run.env("LOCKKEEPER_PG_DUMP", tool).env("LOCKKEEPER_BACKUP_DIR", "backups");
            expect_masked(&run, code);
            for tool in if code == 0 { &["pg_dump", "pg_restore"][..] } else { &["pg_dump"] } {
                let environment =
                    |name: &str| fs::read_to_string(run.dir().join(format!("given/{name}-{tool}"))).expect("given");
                assert!(!environment("line").contains(PASSWORD), "{}", environment("line"));
                let trusted = |line: &str| line.starts_with("LOCKKEEPER_") || line.starts_with("DATABASE_");
                assert!(!environment("env").lines().any(trusted), "{tool}: {}", environment("env"));
                let with = environment("env").lines().filter(|line| line.contains(PASSWORD)).count();
                let expected = usize::from(*tool == "pg_dump");
                assert_eq!(with, expected, "{tool}: {}", environment("env"));
                assert_eq!(environment("env").contains(&format!("\nPGPASSWORD={PASSWORD}\n")), expected == 1);
            }
            if code == 0 {
                expect_no_row_with_canary(&database);
            }
        }
    }
}

/// Every process of the run, as `ps` shows it to all users of the machine.
#[test]
fn no_argument_list_has_the_password_while_pg_dump_runs() {
    let database = Postgres::shared().database("ps_secret");
    database.execute("create table precious (a int)");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {} \"$@\"\nsleep 600\n",
        postgres_program("pg_dump").display()
    );
    let run = run().url(&database.url()).file("tools/pg_dump", text);
    let tool = run.dir().join("tools/pg_dump");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("chmod");
    let running = run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).spawn();
    let threads = format!("/proc/{}/task", running.pid());
    let dump = |line: &str| line.contains("--format=custom");
    let lines = || -> Vec<String> {
        let threads = fs::read_dir(&threads).into_iter().flatten().flatten();
        let ids: String =
            threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default()).collect();
        let line = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        ids.split_whitespace().map(|pid| String::from_utf8_lossy(&line(pid)).into_owned()).collect()
    };
    wait_until("pg_dump runs", crate::support::DEFAULT_TIMEOUT, || lines().iter().any(|line| dump(line)));
    let own = fs::read_to_string(format!("/proc/{}/cmdline", running.pid())).expect("our own");
    for line in lines().iter().chain([&own]) {
        assert!(!line.contains(PASSWORD), "{line}");
    }
    running.signal(Signal::TERM);
    running.finish().expect_code(143).does_not_say(PASSWORD);
}
