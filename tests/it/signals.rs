//! Tests of SIGTERM, SIGINT and the deadline at every stage: partial work is rolled back, and nothing is left running.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::binary::{Finished, Run, Running};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::{postgres_program, send_signal};
use crate::support::{DEFAULT_TIMEOUT, free_port, sqlite, unique, wait_until};

/// The default grace period: Compose would kill a run that takes longer with SIGKILL.
const GRACE: Duration = Duration::from_secs(8);
const SLEEP: (&str, &str) = ("0001_sleep.sql", "CREATE TABLE t (a int);\nSELECT pg_sleep(600);");
/// A statement that no cancel request ends.
const STUBBORN: &str =
    "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;";
/// A SQLite statement that runs for hours.
const ENDLESS: &str = "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) \
    INSERT INTO t SELECT max(i) FROM n;";

fn database(name: &str) -> PgDatabase<'static> {
    Postgres::shared().database(name)
}

fn run(database: &PgDatabase<'_>) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off")
}

/// Sends a signal; expects that the run ends within the grace period, with this code and these words in the last line.
#[track_caller]
fn stop(running: Running, signal: Signal, code: i32, words: &[&str]) -> Finished {
    let pid = running.pid();
    ends_by(running, move || send_signal(pid, signal), code, words)
}

#[track_caller]
fn ends_by(running: Running, signal: impl FnOnce(), code: i32, words: &[&str]) -> Finished {
    let start = Instant::now();
    signal();
    let finished = running.finish();
    assert!(start.elapsed() < GRACE, "it took {:?}: {finished}", start.elapsed());
    finished.expect_code(code).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().unwrap_or_default();
    for word in words.iter().chain(&["; try: "]) {
        assert!(last.contains(word), "the last line lacks {word:?}: {finished}");
    }
    finished
}

/// Waits until a session of a run executes a statement that contains `query`.
#[track_caller]
pub fn wait_for_query(database: &PgDatabase<'_>, query: &str) {
    let sql = format!(
        "select count(*) > 0 from pg_stat_activity where datname = '{}' and state = 'active' \
         and application_name like 'lockkeeper%' and query like '%{query}%'",
        database.name()
    );
    wait_until("the statement runs", DEFAULT_TIMEOUT, || database.value(&sql) == "t");
}

#[track_caller]
fn expect_no_table(database: &PgDatabase<'_>, name: &str) {
    assert_eq!(database.value(&format!("select to_regclass('{name}') is null")), "t");
}

/// Returns whether a process exists and is no zombie.
fn is_alive(pid: &str) -> bool {
    fs::read(Path::new("/proc").join(pid).join("cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn a_signal_ends_the_wait_for_a_server() {
    for (signal, code, words) in [(Signal::TERM, 143, "by SIGTERM"), (Signal::INT, 130, "by SIGINT")] {
        let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:{}/d", free_port());
        let running = Run::new().url(&url).migrations(&[SLEEP]).spawn();
        running.wait_for("waiting for");
        stop(running, signal, code, &["wait: stopped", words, "nothing was changed"]);
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_lock_and_the_statement_of_the_holder() {
    for (signal, code, words) in [(Signal::TERM, 143, "by SIGTERM"), (Signal::INT, 130, "by SIGINT")] {
        let database = database("signal_lock");
        let run = run(&database).migrations(&[("0000_first.sql", "CREATE TABLE first (a int);"), SLEEP]);
        let holder = run.spawn();
        wait_for_query(&database, "pg_sleep");
        let waiter = run.spawn();
        waiter.wait_for("waiting for the lock");
        stop(waiter, signal, code, &["lock: stopped", words, "nothing was changed"]);
        stop(holder, signal, code, &["migrate: stopped", words, "rolled back; revision 0000 was applied and kept"]);
        database.expect_no_session();
        expect_no_table(&database, "t");
        assert_eq!(database.value("select string_agg(revision, ' ') from lockkeeper_history"), "0000");
    }
}

/// The child is terminated first; one that does not react is killed, with its own children.
#[test]
fn a_signal_ends_pg_dump_and_leaves_no_partial_file() {
    for trap in ["", "trap '' TERM INT"] {
        let database = database("signal_dump");
        database.execute("create table precious (a int)");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {} \"$@\"\n{trap}\necho $$ > shell\nsleep 600 & echo $! > sleeper\n\
             echo begun >&2\nwhile :; do wait; sleep 600; done\n",
            postgres_program("pg_dump").display()
        );
        let run = Run::new().url(&database.url()).migrations(&[SLEEP]).file("tools/pg_dump", script);
        let tool = run.dir().join("tools/pg_dump");
        fs::set_permissions(&tool, Permissions::from_mode(0o755)).expect("chmod");
        let run = run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
        let running = run.spawn();
        running.wait_for("begun");
        stop(running, Signal::TERM, 143, &["backup: stopped by SIGTERM", "nothing was changed"]);
        for name in ["shell", "sleeper"] {
            let pid = fs::read_to_string(run.dir().join(name)).expect("a pid");
            wait_until(name, DEFAULT_TIMEOUT, || !is_alive(pid.trim()));
        }
        assert_eq!(fs::read_dir(run.dir().join("backups")).expect("the directory").count(), 0);
        database.expect_no_session();
        expect_no_table(&database, "t");
    }
}

/// No statement is done yet, so a rerun simply starts again: 143.
#[test]
fn a_signal_in_the_first_statement_without_a_transaction_is_an_interruption() {
    let database = database("signal_first");
    let text = "-- no-transaction\nSELECT pg_sleep(600);\nCREATE TABLE t (a int);";
    let run = run(&database).migrations(&[("0001_sleep.sql", text)]);
    let running = run.spawn();
    wait_for_query(&database, "pg_sleep");
    let words = ["0001_sleep.sql: stopped by SIGTERM", "none of its statements is recorded as done"];
    stop(running, Signal::TERM, 143, &words);
    database.expect_no_session();
    assert_eq!(
        database.rows("select state, statements_done, statements_total from lockkeeper_history"),
        [["partial, see the journal", "0", "2"]]
    );
    run.migrations(&[("0001_sleep.sql", &text.replace("600", "0"))]).output().expect_code(0);
    assert_eq!(database.value("select count(*) from t"), "0");
}

/// Completed statements stay and are in the journal: 81, as for every other script that was partially applied.
#[test]
fn a_signal_in_a_later_statement_without_a_transaction_is_a_partial_run() {
    let database = database("signal_later");
    let text = "-- no-transaction\nCREATE TABLE t (a int);\nSELECT pg_sleep(600);";
    let run = run(&database).migrations(&[("0001_sleep.sql", text)]);
    let running = run.spawn();
    wait_for_query(&database, "pg_sleep");
    let words =
        ["0001_sleep.sql:3:1", "statement 2", "stopped by SIGTERM", "1 of its statements", "run again: it goes on"];
    stop(running, Signal::TERM, 81, &words);
    database.expect_no_session();
    assert_eq!(
        database.rows("select state, statements_done, statements_total from lockkeeper_history"),
        [["partial, see the journal", "1", "2"]]
    );
    run.migrations(&[("0001_sleep.sql", &text.replace("600", "0"))]).output().expect_code(0);
    assert_eq!(database.value("select state from lockkeeper_history"), "applied");
}

/// Whenever the signal arrives, the journal counts exactly the completed statements: a rerun repeats none.
#[test]
fn a_signal_between_short_statements_leaves_a_correct_journal() {
    const COUNT: usize = 4000;
    let inserts: String = (0..COUNT).map(|i| format!("INSERT INTO t VALUES ({i});\n")).collect();
    let text = format!("-- no-transaction\nCREATE TABLE t (a int PRIMARY KEY);\n{inserts}");
    let database = database("signal_short");
    let run = run(&database).migrations(&[("0001_many.sql", &text)]);
    let running = run.spawn();
    let begun = "select to_regclass('t') is not null and (select count(*) from lockkeeper_history where statements_done > 20) = 1";
    wait_until("it has begun", DEFAULT_TIMEOUT, || database.try_query(begun).is_ok_and(|answer| answer == "t\n"));
    stop(running, Signal::TERM, 81, &["0001_many.sql", "stopped by SIGTERM"]);
    database.expect_no_session();
    let done: usize = database.value("select statements_done - 1 from lockkeeper_history").parse().expect("a number");
    assert!(done < COUNT, "it had done everything already");
    assert_eq!(database.value("select count(*) from t"), done.to_string());
    run.output().expect_code(0);
    assert_eq!(database.value("select count(*) from t"), COUNT.to_string());
}

/// A cancel request may hit the journal write after a statement that cannot share a transaction with it. The statement
/// must not stay unrecorded: the rerun would repeat it.
#[test]
fn a_signal_during_a_journal_write_leaves_a_correct_journal() {
    let text = "-- no-transaction
CREATE SEQUENCE once;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.statements_done = 4 AND nextval('once') = 1 THEN PERFORM pg_sleep(600); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON lockkeeper_history FOR EACH ROW EXECUTE FUNCTION slow();
DO $$ BEGIN CREATE TABLE t (a int); COMMIT; END $$;
INSERT INTO t VALUES (1);";
    let database = database("signal_journal");
    let run = run(&database).migrations(&[("0001_slow.sql", text)]);
    let running = run.spawn();
    let sleeps = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event = 'PgSleep'",
        database.name()
    );
    wait_until("the journal is being written", DEFAULT_TIMEOUT, || database.value(&sleeps) == "1");
    stop(running, Signal::TERM, 81, &["0001_slow.sql:9:1", "stopped by SIGTERM", "4 of its statements"]);
    database.expect_no_session();
    assert_eq!(database.value("select statements_done from lockkeeper_history"), "4");
    run.output().expect_code(0);
    assert_eq!(database.value("select count(*) from t"), "1");
}

#[test]
fn a_signal_ends_a_long_statement_of_sqlite() {
    for (head, code, words) in [
        ("", 143, ["migrate: stopped by SIGTERM", "rolled back"]),
        ("-- no-transaction\n", 81, ["stopped by SIGTERM", "1 of its statements is already committed"]),
    ] {
        let run = Run::new().url("sqlite:///some.db");
        let run = run.migrations(&[("0001_endless.sql", &format!("{head}{ENDLESS}"))]);
        let running = run.spawn();
        let journal = if head.is_empty() { run.dir().join("some.db-journal") } else { run.dir().join("some.db") };
        // A transaction writes its journal when it first changes something.
        wait_until("the statement runs", DEFAULT_TIMEOUT, || match head {
            "" => journal.exists(),
            _ => sqlite::try_query(&journal, "select 1 from t;").is_ok(),
        });
        stop(running, Signal::TERM, code, &words);
        let tables = sqlite::value(&run.dir().join("some.db"), "select count(*) from sqlite_schema where name = 't';");
        assert_eq!(tables, if code == 81 { "1" } else { "0" });
        let lock = File::open(run.dir().join("some.db.lockkeeper.lock")).expect("the lock file");
        lock.try_lock().expect("the lock is free");
    }
}

#[test]
fn a_signal_ends_many_short_statements_of_sqlite() {
    let inserts: String = (0..400_000).map(|i| format!("INSERT INTO t VALUES ({i});\n")).collect();
    let run = Run::new().url("sqlite:///some.db");
    let run = run.migrations(&[("0001_many.sql", &format!("CREATE TABLE t (a);\n{inserts}"))]);
    let running = run.spawn();
    let journal = run.dir().join("some.db-journal");
    wait_until("the transaction writes", DEFAULT_TIMEOUT, || journal.exists());
    stop(running, Signal::TERM, 143, &["migrate: stopped by SIGTERM", "rolled back"]);
    let tables = "select count(*) from sqlite_schema where name = 't';";
    assert_eq!(sqlite::value(&run.dir().join("some.db"), tables), "0");
}

/// Without a handler the kernel would ignore SIGTERM for PID 1, and the container would be killed after its grace
/// period.
#[test]
fn a_signal_ends_a_run_that_is_pid_1() {
    let database = database("signal_pid1");
    let mut prefix = vec!["unshare", "--pid", "--fork", "--mount-proc"];
    if !rustix::process::geteuid().is_root() {
        prefix.extend(["--user", "--map-root-user"]);
    }
    let running = run(&database).migrations(&[SLEEP]).under(prefix).spawn();
    wait_for_query(&database, "pg_sleep");
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let inner: u32 = fs::read_to_string(children).expect("children").trim().parse().expect("one child");
    let status = fs::read_to_string(format!("/proc/{inner}/status")).expect("its status");
    let ids = status.lines().find(|line| line.starts_with("NSpid:")).expect("its ids");
    assert_eq!(ids.split_whitespace().last(), Some("1"), "{ids}");
    let words = ["migrate: stopped by SIGTERM", "rolled back"];
    ends_by(running, || send_signal(inner, Signal::TERM), 143, &words);
    database.expect_no_session();
    expect_no_table(&database, "t");
}

#[test]
fn a_statement_that_does_not_end_is_abandoned_after_the_grace() {
    let database = database("signal_grace");
    let run = run(&database).migrations(&[("0001_stubborn.sql", &format!("CREATE TABLE t (a int);\n{STUBBORN}"))]);
    let running = run.env("LOCKKEEPER_SHUTDOWN_GRACE", "1s").spawn();
    wait_for_query(&database, "query_canceled");
    let finished = stop(running, Signal::TERM, 143, &["stopped by SIGTERM", "LOCKKEEPER_SHUTDOWN_GRACE (1s)"]);
    finished.says("a second signal ends it at once");
    database.expect_no_session();
    expect_no_table(&database, "t");
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let database = database("signal_twice");
        let text = format!("CREATE TABLE t (a int);\n{STUBBORN}");
        let run = run(&database).migrations(&[("0001_stubborn.sql", &text)]);
        let running = run.env("LOCKKEEPER_SHUTDOWN_GRACE", "10m").spawn();
        wait_for_query(&database, "query_canceled");
        running.signal(Signal::TERM);
        running.wait_for("a second signal ends it at once");
        let start = Instant::now();
        running.signal(second);
        running.finish().expect_code(code);
        assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
        database.expect_no_session();
        expect_no_table(&database, "t");
    }
}

/// The migration is done and stays, but who sent the signal does not want a server to be started now.
#[test]
fn a_signal_at_the_end_of_a_migration_fails_the_run_and_starts_no_program() {
    let database = database("signal_survived");
    let text =
        "CREATE TABLE t (a int);\nDO $$ BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END $$;";
    let run = run(&database).migrations(&[("0001_survivor.sql", text)]).args(["--", "touch", "started"]);
    let running = run.spawn();
    wait_for_query(&database, "query_canceled");
    stop(running, Signal::TERM, 143, &["stopped by SIGTERM", "revision 0001 was applied and kept"]);
    assert!(!run.dir().join("started").exists());
    run.output().expect_code(0);
    assert!(run.dir().join("started").exists());
}

#[test]
fn the_deadline_ends_every_stage() {
    let deadline = |run: &Run| run.clone().env("LOCKKEEPER_DEADLINE", "700ms");
    let words = "the overall deadline has passed";
    let ends = |run: &Run, stage: &str| {
        let finished = deadline(run).output();
        finished.expect_code(124).says(&format!("{stage}: {words}")).does_not_say(PASSWORD).within(GRACE);
    };
    let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:{}/d", free_port());
    ends(&Run::new().url(&url).migrations(&[SLEEP]), "wait");

    let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", ENDLESS)]);
    let run = run.file("some.db.lockkeeper.lock", "pid 1 on another");
    let lock = File::open(run.dir().join("some.db.lockkeeper.lock")).expect("the lock file");
    lock.lock().expect("the lock");
    ends(&run, "lock");
    lock.unlock().expect("unlock");
    ends(&run, "migrate");
    assert_eq!(sqlite::value(&run.dir().join("some.db"), "select count(*) from sqlite_schema where name = 't';"), "0");

    let database = database("deadline_all");
    let run = self::run(&database).migrations(&[SLEEP]);
    ends(&run, "migrate");
    database.expect_no_session();
    expect_no_table(&database, "t");
}

/// The signal arrives while the slow reader of the result is waited for: the program would never receive it.
#[test]
fn a_signal_after_the_migration_starts_no_program() {
    let full = "mkfifo full && exec 3<>full && head -c 65536 /dev/zero >&3 && exec \"$@\" >&3";
    let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")]);
    let run = run.under(["sh", "-c", full, "sh"]).args(["--json", "--", "touch", "started"]);
    let running = run.spawn();
    running.wait_for("up to date at 0001");
    stop(running, Signal::TERM, 143, &["exec: stopped by SIGTERM", "the program was not started"]);
    assert!(!run.dir().join("started").exists());
}

/// The second session is idle for a long time: idle_session_timeout of the role must not end it, because it cancels
/// statements.
#[test]
fn an_idle_session_timeout_of_the_role_does_not_prevent_cancelling() {
    let database = database("signal_idle");
    let role = unique("idler");
    database.execute(&format!(
        "create role {role} login superuser password '{PASSWORD}'; alter role {role} set idle_session_timeout = '300ms'; \
         alter role {role} set statement_timeout = '3s'"
    ));
    let url = Postgres::shared().url_as(&role, PASSWORD, database.name());
    let running = run(&database).url(&url).migrations(&[SLEEP]).spawn();
    wait_for_query(&database, "pg_sleep");
    // Between two checks of what the statement waits for.
    std::thread::sleep(Duration::from_millis(3500));
    let finished = stop(running, Signal::TERM, 143, &["migrate: stopped by SIGTERM", "rolled back"]);
    finished.does_not_say("could not be cancelled");
    database.expect_no_session();
}
