//! Tests of waiting until the database is ready: servers that start late, never start, or are not ready yet.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::contract::{ONE, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop, USER, quoted};
use crate::support::proxy::{Peer, Proxy};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{DEFAULT_TIMEOUT, free_port, unique, wait_until};

/// Runs an upgrade that creates the table `a`.
pub fn upgrade(url: &str) -> Run {
    Run::new().url(url).migrations(&[("0001_create_a.sql", "create table a (id int);")])
}

/// Returns the last line, which says what happened and what to do.
pub fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_default()
}

/// Panics unless the run ended with this code, its last line has these parts, and its output does not contain the
/// password.
#[track_caller]
pub fn expect_end(finished: &Finished, code: i32, parts: &[&str]) {
    finished.expect_code(code).does_not_say(PASSWORD);
    for part in parts {
        assert!(last_line(finished).contains(part), "{part:?} is not in the last line: {finished}");
    }
}

/// Panics unless `upgrade` was applied to this database exactly once.
#[track_caller]
pub fn expect_upgraded(database: &PgDatabase) {
    assert_eq!(database.value("select count(*) from a"), "0");
    assert_eq!(database.query("select revision, state from lockkeeper_history"), "0001|applied\n");
}

/// Panics if anything was created in this database.
#[track_caller]
pub fn expect_untouched(database: &PgDatabase) {
    let relations = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(database.value(relations), "0");
}

fn waiting_lines(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains(" waiting for ")).collect()
}

/// Panics if there are more waiting lines than seconds.
#[track_caller]
fn expect_few_waiting_lines(finished: &Finished) {
    let lines = waiting_lines(&finished.stderr).len();
    assert!(lines as u64 <= finished.elapsed.as_secs() + 1, "more than one line a second: {finished}");
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// The pause between two lines doubles: 0, 1, 3, and the next one after 7 seconds.
#[test]
fn a_long_wait_is_logged_at_growing_intervals() {
    let url = format!("postgresql://lockkeeper@127.0.0.1:{}/none", free_port());
    let finished = upgrade(&url).args(["--wait-timeout", "6s"]).output();
    finished.expect_code(69);
    let lines = waiting_lines(&finished.stderr);
    assert!((1..=3).contains(&lines.len()), "{} lines: {finished}", lines.len());
}

/// The server starts a few seconds after the run.
#[test]
fn a_server_that_comes_up_late_is_waited_for() {
    let server = Postgres::start_later(Setup::default());
    let mut running = upgrade(&server.url("postgres")).spawn();
    wait_until("three lines about waiting", DEFAULT_TIMEOUT, || waiting_lines(&running.stderr()).len() >= 3);
    assert!(!running.has_ended());
    server.boot();
    let finished = running.finish();
    expect_end(&finished, 0, &["up to date at 0001"]);
    finished.says("is ready after ");
    expect_few_waiting_lines(&finished);
    for line in waiting_lines(&finished.stderr) {
        let known_reasons = ["refused", "57P03", "reset", "closed"];
        assert!(known_reasons.iter().any(|reason| line.contains(reason)), "no reason: {line}");
    }
    expect_upgraded(&PgDatabase::new(&server, "postgres"));
}

/// Covers every row of the readiness table that ends with 69.
#[test]
fn a_server_that_never_comes_up_is_given_up_in_time() {
    let starting = "the database system is starting up";
    let scripted = [
        (Answer::Error { code: "57P03", message: starting }, "(SQLSTATE 57P03)"),
        (Answer::Error { code: "57P02", message: "terminating connection" }, "(SQLSTATE 57P02)"),
        (Answer::Error { code: "53300", message: "sorry, too many clients" }, "(SQLSTATE 53300)"),
        (Answer::Error { code: "08P01", message: "server login has been failing" }, "(SQLSTATE 08P01)"),
        (Answer::Silent, "no answer within 300ms"),
    ]
    .map(|(answer, reason)| (Scripted::start(vec![answer]), reason));
    let mut rows: Vec<(String, &str)> = scripted.iter().map(|(server, reason)| (server.url("d"), *reason)).collect();
    rows.push((format!("postgresql://u:{PASSWORD}@127.0.0.1:{}/d", free_port()), "refused"));
    rows.push((format!("postgresql://u:{PASSWORD}@/d?host=/nowhere/at/all"), "No such file"));
    let started = rows.into_iter().flat_map(|(url, reason)| {
        ["prefer", "disable"].map(|mode| {
            let separator = if url.contains('?') { '&' } else { '?' };
            let run = upgrade(&format!("{url}{separator}sslmode={mode}")).args([
                "--wait-timeout",
                "1500ms",
                "--connect-timeout",
                "300ms",
            ]);
            (run.spawn(), reason)
        })
    });
    let started: Vec<_> = started.collect();
    for (running, reason) in started {
        let finished = running.finish();
        expect_end(&finished, 69, &["was not ready after", reason, "nothing was changed", "; try: "]);
        finished.within(Duration::from_millis(2500));
        assert!(finished.elapsed >= Duration::from_millis(1400), "given up early: {finished}");
        assert!(waiting_lines(&finished.stderr)[0].contains(reason), "{finished}");
        expect_few_waiting_lines(&finished);
    }
}

/// A mesh proxy accepts the connection, and closes it while its server is not running yet.
#[test]
fn a_proxy_that_closes_the_connection_is_no_foreign_protocol() {
    let database = Postgres::shared().database("hung_up");
    let real_server = (Ipv4Addr::LOCALHOST, Postgres::shared().port()).into();
    for mode in ["prefer", "disable"] {
        let answers = vec![Answer::Close, Answer::Close, Answer::Close, Answer::Forward(real_server)];
        let url = format!("{}?sslmode={mode}", Scripted::start(answers).url(database.name()));
        let finished = upgrade(&url).output();
        expect_end(&finished, 0, &["0001"]);
        let ready = finished.stderr.lines().find(|line| line.contains("is ready after 4 attempts"));
        let reason = |line: &str| line.contains("closed the connection") || line.contains("reset by peer");
        assert!(ready.is_some_and(reason), "{finished}");
    }
    expect_upgraded(&database);
}

/// The messages of resolvers differ, and some resolvers are slow.
#[test]
fn a_host_name_that_does_not_resolve_times_out() {
    let run = upgrade("postgresql://u@no-such-host.invalid/d").args(["--wait-timeout", "1s"]);
    let finished = run.output();
    expect_end(&finished, 69, &["no-such-host.invalid:5432", "was not ready after"]);
    finished.within(Duration::from_secs(2));
}

/// Within a second only one line is logged, so the line that ends the wait names every reason.
#[test]
fn each_answer_of_a_server_that_is_not_ready_is_named() {
    let database = Postgres::shared().database("bad_days");
    let real_server = (Ipv4Addr::LOCALHOST, Postgres::shared().port()).into();
    let answers = [
        ("57P03", "the database system is starting up"),
        ("53300", "sorry, too many clients already"),
        ("57P01", "terminating connection due to administrator command"),
    ];
    let errors = answers.map(|(code, message)| Answer::Error { code, message });
    let server = Scripted::start(errors.into_iter().chain([Answer::Forward(real_server)]).collect());
    let finished = upgrade(&server.url(database.name())).output();
    expect_end(&finished, 0, &["up to date at 0001"]);
    let ready = finished.stderr.lines().find(|line| line.contains("is ready after 4 attempts"));
    for (code, message) in answers {
        assert!(ready.is_some_and(|line| line.contains(&format!("{message} (SQLSTATE {code})"))), "{finished}");
    }
    expect_few_waiting_lines(&finished);
    expect_upgraded(&database);
}

/// The final message also names the reasons of earlier attempts.
#[test]
fn earlier_reasons_are_named_when_giving_up() {
    let starting = Answer::Error { code: "57P03", message: "the database system is starting up" };
    let full = Answer::Error { code: "53300", message: "sorry, too many clients already" };
    let finished = upgrade(&Scripted::start(vec![starting, full]).url("d")).args(["--wait-timeout", "500ms"]).output();
    expect_end(&finished, 69, &["sorry, too many clients already", "try: free connection slots"]);
    finished.says("met before: the database system is starting up (SQLSTATE 57P03)");
}

/// A silent host costs no more than the connect timeout of one attempt.
#[test]
fn a_silent_host_is_given_up_after_the_time_of_each_attempt() {
    let server = Scripted::start(vec![Answer::Silent]);
    let run =
        upgrade(&server.url("d")).env("LOCKKEEPER_CONNECT_TIMEOUT", "200ms").env("LOCKKEEPER_WAIT_TIMEOUT", "1500ms");
    let finished = run.output();
    expect_end(&finished, 69, &["no answer within 200ms"]);
    finished.within(Duration::from_millis(2500));
    assert!((3..=8).contains(&server.connections()), "{} attempts: {finished}", server.connections());
}

#[test]
fn a_wait_timeout_shorter_than_one_attempt_is_respected() {
    let server = Scripted::start(vec![Answer::Silent]);
    let finished = upgrade(&server.url("d")).args(["--connect-timeout", "30s", "--wait-timeout", "400ms"]).output();
    expect_end(&finished, 69, &["no answer until the wait timeout"]);
    finished.within(Duration::from_millis(1400));
    assert_eq!(server.connections(), 1);
}

/// A silent host costs its own timeout only, and the next host is tried.
#[test]
fn a_silent_host_does_not_prevent_connecting_to_the_next() {
    let database = Postgres::shared().database("after_silence");
    let silent = Scripted::start(vec![Answer::Silent]);
    let port = Postgres::shared().port();
    let url =
        format!("postgresql://{USER}:{PASSWORD}@127.0.0.1:{},127.0.0.1:{port}/{}", silent.port(), database.name());
    expect_end(&upgrade(&url).args(["--connect-timeout", "300ms"]).output(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);
}

/// Creates a role with this password, and a database that it owns.
pub fn owned_database<'a>(server: &'a Postgres, prefix: &str, password: &str) -> (PgDatabase<'a>, String) {
    let role = unique("role");
    let database = server.database(prefix);
    let password = password.replace('\'', "''");
    server.execute(&format!(
        "create role {role} login password '{password}'; alter database {} owner to {role}",
        quoted(database.name())
    ));
    (database, role)
}

/// Servers and password policies lock accounts after several failures, so a wrong password is not retried often.
#[test]
fn a_wrong_password_is_tried_three_times_at_most() {
    let server = Postgres::shared();
    for (grace, logins) in [("1s", 2..=3), ("0", 1..=1)] {
        let (database, role) = owned_database(server, "denied", "right");
        let run = upgrade(&database.url_as(&role, PASSWORD)).env("LOCKKEEPER_AUTH_GRACE", grace);
        let finished = run.output();
        let refusal = format!("password authentication failed for user \"{role}\"");
        expect_end(&finished, 77, &[&refusal, "(SQLSTATE 28P01)", "try: check user and password"]);
        finished.within(Duration::from_secs(10));
        let tried = count(&server.log(), &format!("FATAL:  {refusal}"));
        assert!(logins.contains(&tried), "{tried} logins: {finished}");
        expect_untouched(&database);
    }
}

/// The wait timeout may cut the last attempt short: the result is still a refusal and not an outage.
#[test]
fn a_wrong_password_stays_denied_when_the_wait_is_shorter_than_the_grace() {
    let (database, role) = owned_database(Postgres::shared(), "denied", "right");
    let finished = upgrade(&database.url_as(&role, PASSWORD)).args(["--wait-timeout", "500ms"]).output();
    expect_end(&finished, 77, &["password authentication failed"]);
    expect_untouched(&database);
}

/// Missing roles and hosts that pg_hba.conf does not allow are denied.
#[test]
fn roles_and_hosts_without_access_are_denied() {
    let database = Postgres::shared().database("denied");
    let (unknown, locked_out) = (unique("nobody"), unique("locked_out"));
    Postgres::shared().execute(&format!("create role {locked_out} nologin password '{PASSWORD}'"));
    for (role, code) in [(unknown, "28P01"), (locked_out, "28000")] {
        let finished = upgrade(&database.url_as(&role, PASSWORD)).args(["--auth-grace", "0"]).output();
        expect_end(&finished, 77, &[&role, code, "after 1 attempt in", "try: check user and password"]);
    }
    expect_untouched(&database);
}

/// A secret may be rotated, or mounted, while the run waits.
#[test]
fn a_password_file_corrected_during_the_grace_is_read_again() {
    let (database, role) = owned_database(Postgres::shared(), "rotated", PASSWORD);
    let url = database.url_as(&role, PASSWORD).replace(&format!(":{PASSWORD}"), "");
    let run = upgrade(&url)
        .file("password", "canary7secret-of-yesterday\n")
        .env("DATABASE_PASSWORD_FILE", "password")
        .env("LOCKKEEPER_AUTH_GRACE", "4s");
    let running = run.spawn();
    running.wait_for("password authentication failed");
    run.file("password", format!("{PASSWORD}\n"));
    expect_end(&running.finish(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);
}

/// The migrations are read for one kind of database before the wait: they must not run on another kind.
#[test]
fn a_url_that_is_rotated_to_another_kind_of_database_is_refused() {
    let nobody = format!("postgresql://{USER}@127.0.0.1:{}/app", free_port());
    let run = Run::new()
        .migrations(&[("0001_create_a.sql", "create table a (id int);")])
        .file("url", nobody)
        .env("DATABASE_URL_FILE", "url");
    let running = run.spawn();
    running.wait_for("waiting for");
    let run = run.file("url", "sqlite:app.db");
    let message = "DATABASE_URL_FILE: it is a URL of SQLite now, but the run was planned for PostgreSQL";
    expect_end(&running.finish(), 78, &[message, "try: correct the setting and run again"]);
    assert!(!run.dir().join("app.db").exists());
}

/// A missing database is named in the message.
#[test]
fn a_missing_database_is_named() {
    let name = unique("missing");
    let finished = upgrade(&Postgres::shared().url(&name)).args(["--auth-grace", "200ms"]).output();
    let refusal = format!("database \"{name}\" does not exist (SQLSTATE 3D000)");
    expect_end(&finished, 78, &[&refusal, "try: create the database, or give --create-database"]);
    let found = Postgres::shared().query(&format!("select 1 from pg_database where datname = '{name}'"));
    assert_eq!(found, "");
}

/// Commands that only read change nothing, whatever the settings.
#[test]
fn commands_that_only_read_create_no_database() {
    let server = Postgres::shared();
    let name = unique("looked_at");
    for words in [
        &["upgrade", "--plan"][..],
        &["upgrade", "--sql"],
        &["downgrade", "base", "--plan"],
        &["downgrade", "base", "--sql"],
        &["current"],
        &["history"],
        &["check"],
    ] {
        let run = upgrade(&server.url(&name)).args(words.iter().copied()).arg("--create-database");
        expect_end(&run.output(), 64, &["--create-database goes with what may write", "nothing was changed"]);
        let found = server.query(&format!("select 1 from pg_database where datname = '{name}'"));
        assert_eq!(found, "", "{words:?}");
    }
}

#[test]
fn a_database_created_during_the_grace_is_enough() {
    let name = unique("late");
    let running = upgrade(&Postgres::shared().url(&name)).args(["--auth-grace", "4s"]).spawn();
    running.wait_for("does not exist");
    let database = Postgres::shared().database_named(&name);
    expect_end(&running.finish(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);
}

/// Several runs that start at once create the missing database exactly once.
#[test]
fn a_missing_database_is_created_once_by_all_who_start_at_once() {
    let server = Postgres::shared();
    let name = unique("Created \"by\" us");
    let run = upgrade(&server.url(&name)).arg("--create-database");
    let running = [run.spawn(), run.spawn(), run.spawn()];
    for run in running {
        expect_end(&run.finish(), 0, &["0001"]);
    }
    expect_upgraded(&PgDatabase::new(server, &name));
}

/// A role that may not create the missing database is told which privilege to grant.
#[test]
fn a_missing_privilege_to_create_the_database_is_named() {
    let (_database, role) = owned_database(Postgres::shared(), "creator", PASSWORD);
    let name = unique("never");
    let url = Postgres::shared().url_as(&role, PASSWORD, &name);
    let finished = upgrade(&url).arg("--create-database").output();
    expect_end(&finished, 77, &["permission denied to create database", &format!("ALTER ROLE \"{role}\" CREATEDB")]);
}

/// A standby is waited for until it is promoted.
#[test]
fn a_standby_is_waited_for_until_it_is_promoted() {
    let primary = Postgres::start(Setup::default().conf("log_statement = all"));
    let [through_the_list, promoted] = ["list", "promoted"].map(|name| primary.database(name));
    let standby = Postgres::standby_of(&primary);
    let url = standby.url(promoted.name());

    let finished = upgrade(&url).args(["--wait-timeout", "1s"]).output();
    expect_end(&finished, 69, &["the server is a standby (in recovery)", "try: point DATABASE_URL at the primary"]);

    // Of several hosts, the standby is skipped.
    let list = format!("@127.0.0.1:{},127.0.0.1:{}/", standby.port(), primary.port());
    let several = standby.url(through_the_list.name()).replace(&format!("@127.0.0.1:{}/", standby.port()), &list);
    expect_end(&upgrade(&several).args(["--wait-timeout", "10s"]).output(), 0, &["up to date at 0001"]);
    expect_upgraded(&through_the_list);
    // The database is created on the primary as well, although the standby is the first host without it.
    let name = unique("created");
    let missing = several.replace(through_the_list.name(), &name);
    expect_end(&upgrade(&missing).arg("--create-database").output(), 0, &["up to date at 0001"]);
    expect_upgraded(&PgDatabase::new(&primary, &name));

    let running = upgrade(&url).spawn();
    running.wait_for("the server is a standby");
    let before = sessions(&standby, &promoted);
    // A session that is closed at once makes the server report that the client is gone.
    let harmless = ["SELECT", "connection", "could not receive data from client"];
    let is_harmless = |text: &str| harmless.iter().any(|start| text.starts_with(start));
    assert!(before.iter().all(|(_, text)| is_harmless(text)), "more than questions: {before:?}");
    standby.promote();
    expect_end(&running.finish(), 0, &["up to date at 0001"]);
    expect_upgraded(&PgDatabase::new(&standby, promoted.name()));
    let pids: BTreeSet<_> = before.into_iter().map(|(pid, _)| pid).collect();
    let after = sessions(&standby, &promoted);
    let changed = after.iter().find(|(_, statement)| statement.starts_with("CREATE")).expect("a change");
    assert!(!pids.contains(&changed.0), "the session of the standby was used on: {changed:?}");
}

/// Returns the statements that lockkeeper has sent to a server, with the backend that received them.
fn sessions(server: &Postgres, database: &PgDatabase) -> BTreeSet<(String, String)> {
    let log_prefix = format!("] {USER}@{} lockkeeper LOG:  ", database.name());
    let log = server.log();
    let statement = log.lines().filter_map(|line| {
        let (head, statement) = line.split_once(&log_prefix)?;
        let statement = statement.trim_start_matches("statement: ");
        Some((head.split_once('[')?.1.to_owned(), statement.to_owned()))
    });
    statement.collect()
}

/// The official image initializes its data with a temporary server that listens on the socket alone, then restarts it.
#[test]
fn the_temporary_server_of_a_first_boot_is_not_taken_for_ready() {
    let server = Postgres::start_later(Setup::default().conf("listen_addresses = ''"));
    let socket = server.socket_dir().display();
    let by_socket = format!("postgresql://{USER}:{PASSWORD}@/postgres?host={socket}&port={}", server.port());
    let running = upgrade(&by_socket).spawn();
    running.wait_for("No such file");
    server.boot();
    running.wait_for_line(|line| line.contains("listens on its socket alone"), DEFAULT_TIMEOUT);
    expect_untouched(&PgDatabase::new(&server, "postgres"));
    server.stop(Stop::Fast);
    let mut conf = File::options().append(true).open(server.data().join("postgresql.conf")).expect("conf");
    writeln!(conf, "listen_addresses = '127.0.0.1'").expect("write the conf");
    server.boot();
    expect_end(&running.finish(), 0, &["up to date at 0001"]);
    expect_upgraded(&PgDatabase::new(&server, "postgres"));
}

/// A connection that becomes silent after the login is abandoned, and another one is opened.
#[test]
fn a_session_that_falls_silent_is_abandoned_after_the_connect_timeout() {
    for (pattern, before) in [
        (&b"pg_is_in_recovery"[..], "select 1"),
        // The history of an earlier release is read with a second message.
        (b"NULL::text", "alter table lockkeeper_history drop column down_checksum"),
    ] {
        let database = Postgres::shared().database("mute");
        expect_end(&run_on(&database, &[ONE]).output(), 0, &[]);
        database.execute(before);
        let proxy = Proxy::start(Postgres::shared().port());
        proxy.silence_at(Peer::Client, pattern);
        let run = Run::new().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "1s");
        let finished = run.env("LOCKKEEPER_WAIT_TIMEOUT", "30s").arg("wait").output();
        finished.expect_code(0).says("no answer").within(Duration::from_secs(15));
    }
}
