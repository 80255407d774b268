//! Tests of how a guarded command is ended: by signals, the deadline, a lost lock and SIGKILL. Nothing of it goes on
//! without the lock.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::binary::{Run, Running};
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::guarded::{alembic_at, guard, guard_with, is_alive, sql};
use crate::support::postgres::Postgres;
use crate::support::process::{postgres_program, send_signal};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

on_either!(
    a_command_that_ignores_sigterm_is_killed_within_the_grace_period,
    a_command_that_ends_by_sigterm_may_clean_up,
    a_check_is_ended_like_a_command,
    the_deadline_ends_a_command,
    what_a_command_leaves_running_is_ended_and_named,
    what_ends_soon_after_the_command_is_waited_for,
    nothing_of_a_command_survives_a_killed_lockkeeper,
    a_command_whose_supervisor_is_killed_ends,
);

/// The script of a child and a detached process that never end and ignore SIGTERM. Each writes its process id into a file.
const LEFT: &str = r#"
    trap '' TERM INT HUP
    sh -c 'echo $$ > child.new && mv child.new child; while :; do sleep 0.1; done' &
    setsid sh -c 'echo $$ > detached.new && mv detached.new detached; while :; do sleep 0.1; done' &
"#;

/// The script of a command that does the same itself.
fn stubborn() -> String {
    LEFT.to_owned() + "echo $$ > command.new && mv command.new command; while :; do sleep 0.1; done\n"
}

const FILES: [&str; 3] = ["command", "child", "detached"];

/// Waits until all processes of [`stubborn`] run, and returns the files with their ids.
#[track_caller]
fn started(run: &Run) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = FILES.iter().map(|name| run.dir().join(name)).collect();
    wait_until("the command runs", DEFAULT_TIMEOUT, || files.iter().all(|file| file.exists()));
    files
}

#[track_caller]
fn expect_ended(files: &[PathBuf]) {
    for file in files {
        wait_until("the process has ended", DEFAULT_TIMEOUT, || !is_alive(file));
    }
}

/// The processes have to be gone when the run has ended: with it the lock is given up.
#[track_caller]
fn expect_gone(files: &[PathBuf]) {
    let alive: Vec<&PathBuf> = files.iter().filter(|file| is_alive(file)).collect();
    assert!(alive.is_empty(), "still alive: {alive:?}");
}

fn a_command_that_ignores_sigterm_is_killed_within_the_grace_period<D: Database>() {
    for (signal, code, reason) in [(Signal::TERM, 143, "stopped by SIGTERM"), (Signal::INT, 130, "stopped by SIGINT")] {
        let database = D::create("guard_term");
        let run = guard(&database, &stubborn()).env("LOCKKEEPER_SHUTDOWN_GRACE", "4s");
        let running = run.spawn();
        let files = started(&run);
        running.signal(signal);
        let finished = running.finish();
        finished.expect_code(code).says("sh does not end by SIGTERM, and is killed").says(reason);
        finished.says("and the command was ended; what it has committed is kept; try: run again to go on");
        expect_gone(&files);
    }
}

fn a_command_that_ends_by_sigterm_may_clean_up<D: Database>() {
    let database = D::create("guard_clean");
    let script = "trap 'echo cleaning up; touch cleaned; exit 1' TERM; touch command; while :; do sleep 0.1; done";
    let run = guard(&database, script);
    let running = run.spawn();
    wait_until("the command runs", DEFAULT_TIMEOUT, || run.dir().join("command").exists());
    running.signal(Signal::TERM);
    running.finish().expect_code(143).says("cleaning up").does_not_say("is killed");
    assert!(run.dir().join("cleaned").exists());
}

fn a_check_is_ended_like_a_command<D: Database>() {
    let database = D::create("guard_check");
    let run = guard_with(&database, &["--pending-command", "sh check.sh"], "touch ran").file("check.sh", stubborn());
    let running = run.clone().env("LOCKKEEPER_SHUTDOWN_GRACE", "2s").spawn();
    let files = started(&run);
    running.signal(Signal::TERM);
    running.finish().expect_code(143).says("plan: the check sh: stopped by SIGTERM").says("nothing was changed; try: ");
    expect_gone(&files);
    assert!(!run.dir().join("ran").exists());
}

fn the_deadline_ends_a_command<D: Database>() {
    let database = D::create("guard_deadline");
    let run = guard(&database, &stubborn()).env("LOCKKEEPER_DEADLINE", "3s").env("LOCKKEEPER_SHUTDOWN_GRACE", "2s");
    let running = run.spawn();
    let files = started(&run);
    running.finish().expect_code(124).says("the overall deadline has passed, and the command was ended");
    expect_gone(&files);
}

fn what_a_command_leaves_running_is_ended_and_named<D: Database>() {
    let database = D::create("guard_left");
    let script = LEFT.to_owned() + "until [ -e child ] && [ -e detached ]; do sleep 0.05; done; exit 0";
    let run = guard(&database, &script).env("LOCKKEEPER_SHUTDOWN_GRACE", "1s");
    let finished = run.output();
    finished.expect_code(81).says("it ended with 0, but what it had started still ran and was ended: process ");
    finished.says(" (sh)").says("try: let the command wait for what it starts");
    expect_gone(&FILES[1..].iter().map(|name| run.dir().join(name)).collect::<Vec<_>>());
}

fn what_ends_soon_after_the_command_is_waited_for<D: Database>() {
    let database = D::create("guard_soon");
    let late = format!("sleep 0.5; {}; touch done", sql::<D>("create table late (a int)"));
    let run = guard(&database, "setsid sh late.sh & exit 0").file("late.sh", late);
    run.output().expect_code(0).says("sh ended with 0");
    assert!(run.dir().join("done").exists() && database.has_table("late"));
}

fn nothing_of_a_command_survives_a_killed_lockkeeper<D: Database>() {
    let database = D::create("guard_kill");
    let run = guard(&database, &stubborn());
    let running = run.spawn();
    let files = started(&run);
    assert_eq!(running.kill().signal, Some(9));
    expect_ended(&files);
    guard(&database, &sql::<D>("create table next (a int)")).output().expect_code(0);
    assert!(database.has_table("next"));
}

fn a_command_whose_supervisor_is_killed_ends<D: Database>() {
    let database = D::create("guard_supervisor");
    let run = guard(&database, &stubborn());
    let running = run.spawn();
    started(&run);
    send_signal(supervisor_of(&running), Signal::KILL);
    running.finish().expect_code(83).says("the process that supervised it was killed");
    expect_ended(&[run.dir().join("command"), run.dir().join("child")]);
    // It has left its process group and its supervisor is gone: nobody else could find it.
    let detached = fs::read_to_string(run.dir().join("detached")).expect("a pid");
    send_signal(detached.trim().parse().expect("a pid"), Signal::KILL);
}

/// Returns the process id of the supervisor that a run has started.
#[track_caller]
fn supervisor_of(running: &Running) -> u32 {
    let children = format!("/proc/{0}/task", running.pid());
    let tasks = fs::read_dir(children).expect("the threads").flatten();
    let mut pids = tasks.flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect::<Vec<u32>>()
    });
    pids.find(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("supervise")))
        .expect("the supervisor")
}

/// A SQLite file stays locked until the last process of the command has ended, whoever is killed.
#[test]
fn the_lock_of_a_sqlite_file_outlives_a_killed_lockkeeper() {
    let database = SqliteFile::create("guard_flock");
    let run = guard(&database, "echo $$ > command.new && mv command.new command; exec sleep 600");
    let running = run.spawn();
    let command = run.dir().join("command");
    wait_until("the command runs", DEFAULT_TIMEOUT, || command.exists());
    let supervisor = supervisor_of(&running);
    // A supervisor that is stopped cannot kill anything yet.
    send_signal(supervisor, Signal::STOP);
    wait_until("all threads of the supervisor are stopped", DEFAULT_TIMEOUT, || {
        let threads = fs::read_dir(format!("/proc/{supervisor}/task")).expect("the threads").flatten();
        let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
        states.all(|stat| stat.contains(") T "))
    });
    running.kill();
    let next = guard(&database, "true").env("LOCKKEEPER_LOCK_TIMEOUT", "300ms");
    next.output().expect_code(75);
    assert!(is_alive(&command));
    send_signal(supervisor, Signal::CONT);
    wait_until("the process has ended", DEFAULT_TIMEOUT, || !is_alive(&command));
    next.env("LOCKKEEPER_LOCK_TIMEOUT", "60s").output().expect_code(0);
}

/// A shell line that runs a statement which takes very long; `prefix` stands before psql.
fn endless(prefix: &str) -> String {
    let psql = postgres_program("psql");
    format!("{prefix} {} -X -q \"$DATABASE_URL\" -c 'select 1 as endless, pg_sleep(600)'", psql.display())
}

fn endless_statements(database: &PgDatabase<'_>) -> String {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and query like '%as endless%' \
               and pid <> pg_backend_pid() and state = 'active'";
    database.value(sql)
}

#[track_caller]
fn wait_for_endless(database: &PgDatabase<'_>, count: &str) {
    wait_until("the statement runs", DEFAULT_TIMEOUT, || endless_statements(database) == count);
}

/// The server does not notice that a client is gone while it executes a statement.
#[test]
fn statements_that_a_killed_command_has_left_are_ended_before_the_lock_is_given_up() {
    for prefix in ["", "env -u PGAPPNAME", "env PGAPPNAME=another"] {
        let database = Postgres::shared().database("guard_statement");
        let script = format!("trap '' TERM; {} & while :; do sleep 0.1; done", endless(prefix));
        let run = guard(&database, &script).env("LOCKKEEPER_SHUTDOWN_GRACE", "4s");
        let running = run.spawn();
        wait_for_endless(&database, "1");
        running.signal(Signal::TERM);
        running.finish().expect_code(143);
        assert_eq!(endless_statements(&database), "0", "{prefix}");
        database.expect_no_session();
    }
}

/// The name that somebody has given to the sessions stays visible.
#[test]
fn a_session_of_a_command_has_the_name_of_the_run_and_its_own() {
    let database = Postgres::shared().database("guard_name");
    let script =
        format!("{} -X -A -t \"$DATABASE_URL\" -c 'show application_name'", postgres_program("psql").display());
    let finished = guard(&database, &script).env("PGAPPNAME", "the shop").output();
    let line = finished.stderr.lines().find(|line| line.contains("the shop")).unwrap_or_default();
    assert!(line.contains("lockkeeper guard "), "{finished}");
}

#[test]
fn a_statement_that_goes_on_after_the_end_of_the_command_is_named() {
    let database = Postgres::shared().database("guard_orphan");
    let count = format!(
        "{} -X -A -t \"$DATABASE_URL\" -c \"select count(*) from pg_stat_activity where query like '%as endless%' and pid <> pg_backend_pid() and datname = current_database()\"",
        postgres_program("psql").display()
    );
    let script =
        format!("{} & p=$!; until [ \"$({count})\" = 1 ]; do sleep 0.1; done; kill -9 $p; exit 0", endless(""));
    let finished = guard(&database, &script).output();
    finished
        .expect_code(81)
        .says("what it had started still ran and was ended: session ")
        .says("(active): select 1 as endless");
    assert_eq!(endless_statements(&database), "0");
}

/// The next run holds the lock, and ends what the command of the killed one still does on the server.
#[test]
fn a_statement_of_a_killed_run_is_ended_by_the_next_one() {
    let database = Postgres::shared().database("guard_dead");
    let run = guard(&database, &endless("exec"));
    let running = run.spawn();
    wait_for_endless(&database, "1");
    running.kill();
    let finished = guard(&database, &sql::<PgDatabase<'_>>("create table next (a int)")).output();
    finished.expect_code(0).says("ended what the command of a killed run had left: session ");
    assert_eq!(endless_statements(&database), "0");
}

#[test]
fn a_lost_lock_ends_the_command() {
    let database = Postgres::shared().database("guard_lost");
    let run = guard(&database, &format!("{} &\n{}", endless(""), stubborn()));
    let running = run.spawn();
    let files = started(&run);
    wait_for_endless(&database, "1");
    database.execute(
        "select pg_terminate_backend(l.pid) from pg_locks l where l.locktype = 'advisory' and l.database = \
         (select oid from pg_database where datname = current_database())",
    );
    let finished = running.finish();
    finished.expect_code(83).says("the lock was lost while it ran, and the command was ended: ").says("try: run again");
    expect_gone(&files);
    assert_eq!(endless_statements(&database), "0");
}

#[test]
fn a_lock_file_that_is_removed_is_a_lost_lock() {
    let database = SqliteFile::create("guard_removed");
    let run = guard(&database, &stubborn());
    let running = run.spawn();
    let files = started(&run);
    fs::remove_file(format!("{}.lockkeeper.lock", database.path.display())).expect("the lock file");
    running.finish().expect_code(83).says("the lock was lost while it ran").says("was removed or replaced");
    expect_gone(&files);
}

/// With LOCKKEEPER_ON_FAILURE=restore nothing of a failed command stays in a SQLite file; after a signal nobody waits for
/// that, and the backup is named.
#[test]
fn a_failed_command_is_undone_when_that_is_asked_for() {
    let database = SqliteFile::create("guard_undo");
    database.feed(&alembic_at("a1")).expect("a history");
    let migrate = sql::<SqliteFile>("update alembic_version set version_num = 'b2'");
    let run = guard(&database, &format!("{migrate}; exit 1")).env("LOCKKEEPER_ON_FAILURE", "restore");
    let finished = run.output();
    finished.expect_code(80).says("was put back: the database is as it was before this run");
    finished.says("try: read its output above, correct what it names, and run again code=80");
    assert_eq!(database.query("select version_num from alembic_version"), "a1\n");
    let script = format!("{migrate}; touch command; exec sleep 600");
    let run = guard(&database, &script).env("LOCKKEEPER_ON_FAILURE", "restore");
    let running = run.spawn();
    wait_until("the command has migrated", DEFAULT_TIMEOUT, || run.dir().join("command").exists());
    running.signal(Signal::TERM);
    running
        .finish()
        .expect_code(143)
        .says("its history has moved from a1 to b2")
        .says("or go back: lockkeeper restore ");
}
