//! Tests of `lockkeeper -- PROGRAM ARG...`: the process is replaced by the program, and only when the schema is up to
//! date.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::Signal;

use crate::support::binary::Run;
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, free_port, sqlite, wait_until};

/// A run on a SQLite file with one valid migration.
fn run() -> Run {
    Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")])
}

fn script(run: Run, name: &str, text: &str) -> Run {
    let run = run.file(name, text);
    fs::set_permissions(run.dir().join(name), fs::Permissions::from_mode(0o755)).expect("chmod");
    run
}

/// It is the same process: who watches its id, or sends it signals, watches the program now.
#[test]
fn the_program_replaces_the_process_with_its_arguments_and_its_exit_code() {
    let text = "#!/bin/sh\necho \"$$\"\nfor word; do echo \"[$word]\"; done\nexit 42\n";
    let run = script(run(), "server", text).args(["--", "./server", "--flag", "two words", "", "--", "ünï", "--help"]);
    let running = run.spawn();
    let pid = running.pid();
    let finished = running.finish();
    finished.expect_code(42).says("up to date at 0001");
    assert_eq!(finished.stdout, format!("{pid}\n[--flag]\n[two words]\n[]\n[--]\n[ünï]\n[--help]\n"));
    assert_eq!(sqlite::value(&run.dir().join("some.db"), "select revision from lockkeeper_history;"), "0001");
}

/// Returns a signal mask of `/proc/self/status` in the run. glibc's own two signals are left out: `posix_spawn` ignores
/// them in a child, and `fork` does not.
#[track_caller]
fn mask(run: &Run, name: &str) -> u64 {
    const INTERNAL: u64 = 3 << 31;
    let finished = run.output();
    finished.expect_code(0);
    let line = finished.stdout.lines().find(|line| line.starts_with(name)).expect("the mask");
    let number = line.split_whitespace().last().expect("a number");
    u64::from_str_radix(number, 16).expect("hexadecimal") & !INTERNAL
}

/// A server that inherited an ignored SIGPIPE, blocked signals or our handlers would behave differently.
#[test]
fn the_program_starts_with_default_signals_and_no_files_of_ours() {
    const SIGPIPE: u64 = 1 << 12;
    let masks = |run: Run| ["SigBlk", "SigIgn", "SigCgt"].map(|name| mask(&run, name));
    // The process that started the tests may ignore some signals: these stay ignored.
    let inherited = masks(run().under(["sh", "-c", "exec cat /proc/self/status"]));
    assert_eq!(inherited[1] & SIGPIPE, 0);
    assert_eq!(masks(run().args(["--", "cat", "/proc/self/status"])), inherited);
    let inherited = run().under(["sh", "-c", "exec ls /proc/self/fd"]).output().stdout;
    assert_eq!(run().args(["--", "ls", "/proc/self/fd"]).output().stdout, inherited);
}

/// `nohup`, the background jobs of shells and systemd start programs with ignored signals, which stay ignored.
#[test]
fn ignored_signals_stay_ignored_for_the_program_and_for_lockkeeper() {
    let ignoring = |run: Run, command: &str| {
        run.under(["sh", "-c", &format!("trap '' HUP INT QUIT PIPE USR1 XFSZ; exec {command}"), "sh"])
    };
    let inherited = mask(&ignoring(run(), "cat /proc/self/status"), "SigIgn");
    assert_eq!(inherited.count_ones(), 6);
    let run_as = |run: Run| ignoring(run, "\"$@\"");
    assert_eq!(mask(&run_as(run()).args(["--", "cat", "/proc/self/status"]), "SigIgn"), inherited);

    let url = format!("postgresql://u@127.0.0.1:{}/d", free_port());
    let running = run_as(run()).url(&url).env("LOCKKEEPER_LOG", "debug").spawn();
    running.wait_for("waiting for");
    running.signal(Signal::INT);
    // Two signals in this order are delivered in this order: the first one would have decided.
    running.signal(Signal::TERM);
    running.finish().expect_code(143).says("stopped by SIGTERM").does_not_say("SIGINT");
}

/// The settings of Lockkeeper may name the owner of the schema: the program does not need them.
#[test]
fn the_program_has_the_environment_without_the_settings_of_lockkeeper() {
    let secret = "postgresql://u:canary7secret@h/d";
    let run = run()
        .env("PGPASSWORD", "kept")
        .env("ODD", "a=b\tc")
        .env("LOCKKEEPER_DIRECT_URL", "sqlite:some.db")
        .env("LOCKKEEPER_NOT_A_SETTING", secret)
        .env("LOCKKEEPER_EMPTY", "")
        .env("LOCKKEEPERISH", "kept")
        .env("OTHER_URL", secret);
    // The environment that the shell sees is the one that lockkeeper is given.
    let before = run.clone().under(["sh", "-c", "env | sort"]).output().stdout;
    assert!(before.contains("LOCKKEEPER_DIRECT_URL=") && before.contains("LOCKKEEPER_EMPTY="), "{before}");
    let expected: Vec<&str> = before.lines().filter(|line| !line.starts_with("LOCKKEEPER_")).collect();
    assert!(expected.iter().any(|line| line.starts_with("DATABASE_URL=")), "{before}");
    let after = run.args(["--", "sh", "-c", "env | sort"]).output();
    after.expect_code(0);
    assert_eq!(after.stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_program_gets_signals_directly() {
    let mut running = run().args(["--", "sleep", "600"]).spawn();
    let command = format!("/proc/{}/cmdline", running.pid());
    wait_until("the program runs", DEFAULT_TIMEOUT, || {
        fs::read(&command).is_ok_and(|line| line.starts_with(b"sleep\0"))
    });
    assert!(!running.has_ended());
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!((finished.code, finished.signal), (None, Some(15)));
}

#[test]
fn the_program_is_searched_on_the_path() {
    let run = script(run(), "bin/only-here", "#!/bin/sh\necho found\n");
    let path = format!("{}:{}", run.dir().join("bin").display(), env::var("PATH").expect("PATH"));
    let finished = run.env("PATH", path).args(["--", "only-here"]).output();
    finished.expect_code(0);
    assert_eq!(finished.stdout, "found\n");
}

#[test]
fn a_program_that_cannot_be_started_has_the_codes_of_a_shell() {
    let run = run().file("plain", "#!/bin/sh\n");
    let run = script(run, "lost", "#!/no/such/interpreter\n");
    for (program, code) in [("no-such-program", 127), ("./missing", 127), ("./plain", 126), (".", 126)] {
        let finished = run.clone().args(["--", program]).output();
        finished.expect_code(code).says("the schema is up to date").says("correct the program after --");
        assert_eq!(sqlite::value(&run.dir().join("some.db"), "select revision from lockkeeper_history;"), "0001");
    }
}

/// There is one result of the run: a program that parses the output reads the exit code of the process.
#[test]
fn the_json_result_precedes_the_program_and_names_its_failure() {
    let finished = run().args(["--json", "--", "echo", "program"]).output();
    let mut lines = finished.stdout.lines();
    let result: serde_json::Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
    assert_eq!((result["code"].as_u64(), lines.next()), (Some(0), Some("program")));
    let finished = run().args(["--json", "--", "no-such-program"]).output();
    finished.expect_code(127);
    let last: serde_json::Value = serde_json::from_str(finished.stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["code"], 127);
}

#[test]
fn the_program_is_not_started_unless_the_schema_is_up_to_date() {
    let started = ["--", "touch", "started"];
    let database = Postgres::shared().database("program");
    let failing = ("0002_bad.sql", "SELECT 1 / 0;");
    let run = Run::new()
        .url(&database.url())
        .env("LOCKKEEPER_BACKUP", "off")
        .migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]);
    run.clone().arg("check").args(started).output().expect_code(2);
    let pending = run.clone().args(["wait", "--migrated", "--wait-timeout", "700ms"]).args(started).output();
    pending.expect_code(69);
    let broken = run.clone().migrations(&[failing]);
    broken.clone().args(started).output().expect_code(80);
    for command in ["backup", "backups"] {
        run.clone().arg(command).args(started).output().expect_code(64).says("a program after --");
    }
    assert!(!run.dir().join("started").exists());
    assert_eq!(database.value("select string_agg(revision, ' ') from lockkeeper_history"), "0001");
    fs::remove_file(run.dir().join("migrations/0002_bad.sql")).expect("remove");
    for command in [&["check"][..], &["wait"], &["wait", "--migrated"], &[], &["upgrade", "head"]] {
        run.clone().args(command.iter().copied()).args(started).output().expect_code(0);
        fs::remove_file(run.dir().join("started")).unwrap_or_else(|_| panic!("{command:?} has not started it"));
    }
}

/// `--` with nothing after it is an ordinary run.
#[test]
fn no_program_after_the_dashes_is_an_ordinary_run() {
    let start = Instant::now();
    run().arg("--").output().expect_code(0).says("up to date at 0001");
    assert!(start.elapsed() < Duration::from_secs(60));
}
