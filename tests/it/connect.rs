//! Waiting until the database is ready: what comes up late, never, or is not yet what it should be (CASES 1 to 6, 10).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop, USER, quoted};
use crate::support::proxy::{Proxy, Speaker};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{SOON, free_port, unique, wait_until};

/// An upgrade that creates the table `a`.
pub fn upgrade(url: &str) -> Run {
    Run::new().url(url).migrations(&[("0001_create_a.sql", "create table a (id int);")])
}

/// The line that says what happened and what to do.
pub fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_default()
}

/// Panics unless it ended so, said so in its last line, and kept the password to itself.
#[track_caller]
pub fn ended(finished: &Finished, code: i32, parts: &[&str]) {
    finished.expect_code(code).silent_about(PASSWORD);
    for part in parts {
        assert!(last_line(finished).contains(part), "{part:?} is not in the last line: {finished}");
    }
}

/// Panics unless `upgrade` has done its work there, once.
#[track_caller]
pub fn is_upgraded(database: &PgDatabase) {
    assert_eq!(database.value("select count(*) from a"), "0");
    assert_eq!(database.query("select revision, state from lockkeeper_history"), "0001|applied\n");
}

/// Panics if anything was created there.
#[track_caller]
pub fn is_untouched(database: &PgDatabase) {
    let relations = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(database.value(relations), "0");
}

fn waiting_lines(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains(" waiting for ")).collect()
}

/// Panics if there are more waiting lines than seconds.
#[track_caller]
fn is_quiet(finished: &Finished) {
    let lines = waiting_lines(&finished.stderr).len();
    assert!(lines as u64 <= finished.elapsed.as_secs() + 1, "more than one line a second: {finished}");
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// The pause between two lines doubles: 0, 1, 3, and the next one after 7 seconds.
#[test]
fn a_long_wait_writes_a_line_ever_more_rarely() {
    let url = format!("postgresql://lockkeeper@127.0.0.1:{}/none", free_port());
    let finished = upgrade(&url).args(["--wait-timeout", "6s"]).output();
    finished.expect_code(69);
    let lines = waiting_lines(&finished.stderr);
    assert!((1..=3).contains(&lines.len()), "{} lines: {finished}", lines.len());
}

/// Case 1.
#[test]
fn a_server_that_comes_up_late_is_waited_for() {
    let server = Postgres::start_later(Setup::default());
    let mut running = upgrade(&server.url("postgres")).spawn();
    wait_until("three lines about waiting", SOON, || waiting_lines(&running.stderr()).len() >= 3);
    assert!(!running.has_ended());
    server.boot();
    let finished = running.finish();
    ended(&finished, 0, &["up to date at 0001"]);
    finished.says("is ready after ");
    is_quiet(&finished);
    for line in waiting_lines(&finished.stderr) {
        let known = ["refused", "57P03", "reset", "closed"];
        assert!(known.iter().any(|reason| line.contains(reason)), "no reason: {line}");
    }
    is_upgraded(&PgDatabase::new(&server, "postgres"));
}

/// Case 1, and the rows of CONTRACT's readiness table that end in 69.
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
        ended(&finished, 69, &["was not ready after", reason, "nothing was changed", "; try: "]);
        finished.within(Duration::from_millis(2500));
        assert!(finished.elapsed >= Duration::from_millis(1400), "given up early: {finished}");
        assert!(waiting_lines(&finished.stderr)[0].contains(reason), "{finished}");
        is_quiet(&finished);
    }
}

/// Case 1: a mesh proxy accepts, and closes while its server is not there yet.
#[test]
fn a_proxy_that_hangs_up_is_no_foreign_protocol() {
    let database = Postgres::shared().database("hung_up");
    let real = (Ipv4Addr::LOCALHOST, Postgres::shared().port()).into();
    for mode in ["prefer", "disable"] {
        let answers = vec![Answer::Close, Answer::Close, Answer::Close, Answer::Forward(real)];
        let url = format!("{}?sslmode={mode}", Scripted::start(answers).url(database.name()));
        let finished = upgrade(&url).output();
        ended(&finished, 0, &["0001"]);
        let ready = finished.stderr.lines().find(|line| line.contains("is ready after 4 attempts"));
        let reason = |line: &str| line.contains("closed the connection") || line.contains("reset by peer");
        assert!(ready.is_some_and(reason), "{finished}");
    }
    is_upgraded(&database);
}

/// Case 1. What resolvers say differs, and some take their time.
#[test]
fn a_name_that_does_not_resolve_is_given_up_in_time() {
    let run = upgrade("postgresql://u@no-such-host.invalid/d").args(["--wait-timeout", "1s"]);
    let finished = run.output();
    ended(&finished, 69, &["no-such-host.invalid:5432", "was not ready after"]);
    finished.within(Duration::from_secs(2));
}

/// Case 2: within a second there is one line alone, so the line that ends the wait names every reason.
#[test]
fn each_answer_of_a_server_on_its_bad_days_is_named() {
    let database = Postgres::shared().database("bad_days");
    let real = (Ipv4Addr::LOCALHOST, Postgres::shared().port()).into();
    let answers = [
        ("57P03", "the database system is starting up"),
        ("53300", "sorry, too many clients already"),
        ("57P01", "terminating connection due to administrator command"),
    ];
    let errors = answers.map(|(code, message)| Answer::Error { code, message });
    let server = Scripted::start(errors.into_iter().chain([Answer::Forward(real)]).collect());
    let finished = upgrade(&server.url(database.name())).output();
    ended(&finished, 0, &["up to date at 0001"]);
    let ready = finished.stderr.lines().find(|line| line.contains("is ready after 4 attempts"));
    for (code, message) in answers {
        assert!(ready.is_some_and(|line| line.contains(&format!("{message} (SQLSTATE {code})"))), "{finished}");
    }
    is_quiet(&finished);
    is_upgraded(&database);
}

/// Case 2: whoever gives up tells what came before as well.
#[test]
fn reasons_before_the_last_one_are_told_when_giving_up() {
    let starting = Answer::Error { code: "57P03", message: "the database system is starting up" };
    let full = Answer::Error { code: "53300", message: "sorry, too many clients already" };
    let finished = upgrade(&Scripted::start(vec![starting, full]).url("d")).args(["--wait-timeout", "500ms"]).output();
    ended(&finished, 69, &["sorry, too many clients already", "try: free connection slots"]);
    finished.says("met before: the database system is starting up (SQLSTATE 57P03)");
}

/// Case 3.
#[test]
fn a_silent_host_is_left_after_each_attempts_time() {
    let server = Scripted::start(vec![Answer::Silent]);
    let run =
        upgrade(&server.url("d")).env("LOCKKEEPER_CONNECT_TIMEOUT", "200ms").env("LOCKKEEPER_WAIT_TIMEOUT", "1500ms");
    let finished = run.output();
    ended(&finished, 69, &["no answer within 200ms"]);
    finished.within(Duration::from_millis(2500));
    assert!((3..=8).contains(&server.connections()), "{} attempts: {finished}", server.connections());
}

/// Case 3.
#[test]
fn a_total_shorter_than_one_attempt_holds() {
    let server = Scripted::start(vec![Answer::Silent]);
    let finished = upgrade(&server.url("d")).args(["--connect-timeout", "30s", "--wait-timeout", "400ms"]).output();
    ended(&finished, 69, &["no answer until the wait timeout"]);
    finished.within(Duration::from_millis(1400));
    assert_eq!(server.connections(), 1);
}

/// Case 3: one silent host costs its own time and not that of the next.
#[test]
fn a_silent_host_does_not_keep_from_the_next() {
    let database = Postgres::shared().database("after_silence");
    let silent = Scripted::start(vec![Answer::Silent]);
    let port = Postgres::shared().port();
    let url =
        format!("postgresql://{USER}:{PASSWORD}@127.0.0.1:{},127.0.0.1:{port}/{}", silent.port(), database.name());
    ended(&upgrade(&url).args(["--connect-timeout", "300ms"]).output(), 0, &["up to date at 0001"]);
    is_upgraded(&database);
}

/// A role of one's own with the password given, and a database that it owns.
pub fn owned<'a>(server: &'a Postgres, prefix: &str, password: &str) -> (PgDatabase<'a>, String) {
    let role = unique("role");
    let database = server.database(prefix);
    let password = password.replace('\'', "''");
    server.execute(&format!(
        "create role {role} login password '{password}'; alter database {} owner to {role}",
        quoted(database.name())
    ));
    (database, role)
}

/// Case 4: servers and password policies lock accounts.
#[test]
fn a_wrong_password_is_tried_three_times_at_most() {
    let server = Postgres::shared();
    for (grace, logins) in [("1s", 2..=3), ("0", 1..=1)] {
        let (database, role) = owned(server, "denied", "right");
        let run = upgrade(&database.url_as(&role, PASSWORD)).env("LOCKKEEPER_AUTH_GRACE", grace);
        let finished = run.output();
        let refusal = format!("password authentication failed for user \"{role}\"");
        ended(&finished, 77, &[&refusal, "(SQLSTATE 28P01)", "try: check user and password"]);
        finished.within(Duration::from_secs(10));
        let tried = count(&server.log(), &format!("FATAL:  {refusal}"));
        assert!(logins.contains(&tried), "{tried} logins: {finished}");
        is_untouched(&database);
    }
}

/// Case 4: a last attempt that the wait timeout cuts short does not turn a refusal into an outage.
#[test]
fn a_wrong_password_stays_denied_when_the_wait_is_shorter_than_the_grace() {
    let (database, role) = owned(Postgres::shared(), "denied", "right");
    let finished = upgrade(&database.url_as(&role, PASSWORD)).args(["--wait-timeout", "500ms"]).output();
    ended(&finished, 77, &["password authentication failed"]);
    is_untouched(&database);
}

/// Case 4.
#[test]
fn roles_and_hosts_without_a_way_in_are_denied() {
    let database = Postgres::shared().database("denied");
    let (unknown, locked_out) = (unique("nobody"), unique("locked_out"));
    Postgres::shared().execute(&format!("create role {locked_out} nologin password '{PASSWORD}'"));
    for (role, code) in [(unknown, "28P01"), (locked_out, "28000")] {
        let finished = upgrade(&database.url_as(&role, PASSWORD)).args(["--auth-grace", "0"]).output();
        ended(&finished, 77, &[&role, code, "after 1 attempt in", "try: check user and password"]);
    }
    is_untouched(&database);
}

/// Case 4: a secret may be rotated, or mounted, while we wait.
#[test]
fn a_password_file_corrected_during_the_grace_is_read_again() {
    let (database, role) = owned(Postgres::shared(), "rotated", PASSWORD);
    let url = database.url_as(&role, PASSWORD).replace(&format!(":{PASSWORD}"), "");
    let run = upgrade(&url)
        .file("password", "canary7secret-of-yesterday\n")
        .env("DATABASE_PASSWORD_FILE", "password")
        .env("LOCKKEEPER_AUTH_GRACE", "4s");
    let running = run.spawn();
    running.wait_for("password authentication failed");
    run.file("password", format!("{PASSWORD}\n"));
    ended(&running.finish(), 0, &["up to date at 0001"]);
    is_upgraded(&database);
}

/// Case 5.
#[test]
fn a_missing_database_is_named() {
    let name = unique("missing");
    let finished = upgrade(&Postgres::shared().url(&name)).args(["--auth-grace", "200ms"]).output();
    let refusal = format!("database \"{name}\" does not exist (SQLSTATE 3D000)");
    ended(&finished, 78, &[&refusal, "try: create the database, or give --create-database"]);
    let found = Postgres::shared().query(&format!("select 1 from pg_database where datname = '{name}'"));
    assert_eq!(found, "");
}

/// Case 5.
/// Looking changes nothing, whatever it is given.
#[test]
fn what_only_reads_creates_no_database() {
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
        ended(&run.output(), 64, &["--create-database goes with what may write", "nothing was changed"]);
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
    ended(&running.finish(), 0, &["up to date at 0001"]);
    is_upgraded(&database);
}

/// Case 5.
#[test]
fn a_missing_database_is_created_once_by_all_who_start_at_once() {
    let server = Postgres::shared();
    let name = unique("Created \"by\" us");
    let run = upgrade(&server.url(&name)).arg("--create-database");
    let running = [run.spawn(), run.spawn(), run.spawn()];
    for run in running {
        ended(&run.finish(), 0, &["0001"]);
    }
    is_upgraded(&PgDatabase::new(server, &name));
}

/// Case 5.
#[test]
fn whoever_may_not_create_the_database_is_told_what_to_grant() {
    let (_database, role) = owned(Postgres::shared(), "creator", PASSWORD);
    let name = unique("never");
    let url = Postgres::shared().url_as(&role, PASSWORD, &name);
    let finished = upgrade(&url).arg("--create-database").output();
    ended(&finished, 77, &["permission denied to create database", &format!("ALTER ROLE \"{role}\" CREATEDB")]);
}

/// Case 6.
#[test]
fn a_standby_is_waited_for_until_it_is_promoted() {
    let primary = Postgres::start(Setup::default().conf("log_statement = all"));
    let [through_the_list, promoted] = ["list", "promoted"].map(|name| primary.database(name));
    let standby = Postgres::standby_of(&primary);
    let url = standby.url(promoted.name());

    let finished = upgrade(&url).args(["--wait-timeout", "1s"]).output();
    ended(&finished, 69, &["the server is a standby (in recovery)", "try: point DATABASE_URL at the primary"]);

    // Of several hosts the standby is passed over.
    let list = format!("@127.0.0.1:{},127.0.0.1:{}/", standby.port(), primary.port());
    let several = standby.url(through_the_list.name()).replace(&format!("@127.0.0.1:{}/", standby.port()), &list);
    ended(&upgrade(&several).args(["--wait-timeout", "10s"]).output(), 0, &["up to date at 0001"]);
    is_upgraded(&through_the_list);
    // The database is created on the primary as well, though the standby is the first to miss it.
    let name = unique("created");
    let missing = several.replace(through_the_list.name(), &name);
    ended(&upgrade(&missing).arg("--create-database").output(), 0, &["up to date at 0001"]);
    is_upgraded(&PgDatabase::new(&primary, &name));

    let running = upgrade(&url).spawn();
    running.wait_for("the server is a standby");
    let before = sessions(&standby, &promoted);
    assert!(
        before.iter().all(|(_, said)| said.starts_with("SELECT") || said.starts_with("connection")),
        "more than questions: {before:?}"
    );
    standby.promote();
    ended(&running.finish(), 0, &["up to date at 0001"]);
    is_upgraded(&PgDatabase::new(&standby, promoted.name()));
    let pids: BTreeSet<_> = before.into_iter().map(|(pid, _)| pid).collect();
    let after = sessions(&standby, &promoted);
    let changed = after.iter().find(|(_, said)| said.starts_with("CREATE")).expect("a change");
    assert!(!pids.contains(&changed.0), "the session of the standby was used on: {changed:?}");
}

/// What lockkeeper has said to a server, with the process that it said it to.
fn sessions(server: &Postgres, database: &PgDatabase) -> BTreeSet<(String, String)> {
    let ours = format!("] {USER}@{} lockkeeper LOG:  ", database.name());
    let log = server.log();
    let said = log.lines().filter_map(|line| {
        let (head, said) = line.split_once(&ours)?;
        let said = said.trim_start_matches("statement: ");
        Some((head.split_once('[')?.1.to_owned(), said.to_owned()))
    });
    said.collect()
}

/// Case 10: the official image sets itself up with a server that listens on its socket alone, then starts it again.
#[test]
fn the_temporary_server_of_a_first_boot_is_not_taken_for_ready() {
    let server = Postgres::start_later(Setup::default().conf("listen_addresses = ''"));
    let socket = server.socket_dir().display();
    let by_socket = format!("postgresql://{USER}:{PASSWORD}@/postgres?host={socket}&port={}", server.port());
    let running = upgrade(&by_socket).spawn();
    running.wait_for("No such file");
    server.boot();
    running.wait_for_line(|line| line.contains("listens on its socket alone"), SOON);
    is_untouched(&PgDatabase::new(&server, "postgres"));
    server.stop(Stop::Fast);
    let mut conf = File::options().append(true).open(server.data().join("postgresql.conf")).expect("conf");
    writeln!(conf, "listen_addresses = '127.0.0.1'").expect("write the conf");
    server.boot();
    ended(&running.finish(), 0, &["up to date at 0001"]);
    is_upgraded(&PgDatabase::new(&server, "postgres"));
}

/// 3: a connection that goes dead behind the login is left, and another one is made.
#[test]
fn a_session_that_falls_silent_is_left_after_the_attempts_time() {
    for pattern in [&b"pg_is_in_recovery"[..], b"to_regclass('\"public\""] {
        let database = Postgres::shared().database("mute");
        let proxy = Proxy::to(Postgres::shared().port());
        proxy.swallow_at(Speaker::Client, pattern);
        let run = Run::new().url(&proxy.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "1s");
        let finished = run.env("LOCKKEEPER_WAIT_TIMEOUT", "30s").arg("wait").output();
        finished.expect_code(0).says("no answer").within(Duration::from_secs(15));
    }
}
