//! Tests of the lock through a connection pooler.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::lock::{files, lock_holders};
use crate::support::binary::Run;
use crate::support::pgbouncer::Pgbouncer;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::{clean_command, postgres_program, run_with_input};
use crate::support::{DEFAULT_TIMEOUT, unique};

const IGNORE: &str = "ignore_startup_parameters = extra_float_digits";

fn run_on(url: &str) -> Run {
    Run::new().url(url).env("LOCKKEEPER_BACKUP_DIR", "backups").migrations(&[
        ("0001_log.sql", "create table log (id int not null); insert into log values (1);"),
        ("0002_more.sql", "insert into log values (2);"),
    ])
}

/// Makes the pooler open `servers` connections to its server and keep them idle.
fn warm_up(url: &str, servers: usize) {
    let sessions: Vec<Child> = (0..servers).map(|_| in_transaction(url)).collect();
    for mut session in sessions {
        // psql ends when its input ends.
        drop(session.stdin.take());
        session.wait().expect("psql");
    }
}

/// Opens a psql with a transaction: the pooler must assign it a server connection.
fn in_transaction(url: &str) -> Child {
    let mut psql = clean_command(postgres_program("psql"))
        .args(["-XAtq", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql");
    let stdin = psql.stdin.as_mut().expect("a piped stdin");
    stdin.write_all(b"begin;\nselect 'inside';\n").expect("write to psql");
    let mut line = String::new();
    BufReader::new(psql.stdout.as_mut().expect("a piped stdout")).read_line(&mut line).expect("a line");
    assert_eq!(line, "inside\n");
    psql
}

/// Returns the settings that an application would find on the pooler's server connections.
fn settings_behind(url: &str) -> Vec<String> {
    let mut command = clean_command(postgres_program("psql"));
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]);
    let sql = "select current_setting('lock_timeout') || ' ' || current_setting('application_name');\n";
    let output = run_with_input(command, &sql.repeat(10));
    assert!(output.status.success(), "{output:?}");
    let mut found: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

/// Session pooling keeps the lock, as a direct connection does.
#[test]
fn a_session_pooler_is_supported() {
    let database = Postgres::shared().database("pooled");
    database.execute("create table old (id int)");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &[IGNORE]);
    let run = run_on(&pooler.url(database.name()));
    run.output().expect_code(0).does_not_say(PASSWORD);
    assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from log"), "1 2");
    assert_eq!(files(&run.dir().join("backups"), ".dump").len(), 1);
    assert_eq!(lock_holders(&database), [""; 0]);
}

/// The pooler may assign the same server connection each time or another one, and may have any number of them.
#[test]
fn a_transaction_pooler_is_refused_before_any_change() {
    let server = Postgres::shared();
    for (round_robin, servers) in [(0, 0), (0, 3), (1, 2), (1, 3), (1, 4), (1, 7)] {
        let database = server.database("pooled");
        database.execute("create table old (id int)");
        let setting = format!("server_round_robin = {round_robin}");
        let pooler = Pgbouncer::start(server, "transaction", &[IGNORE, &setting]);
        let url = pooler.url(database.name());
        warm_up(&url, servers);
        let run = run_on(&url);
        let finished = run.output();
        let what = format!("round robin {round_robin}, {servers} servers: {finished}");
        finished.expect_code(78).does_not_say(PASSWORD);
        let line = finished.stderr.lines().last().unwrap_or_default();
        for part in ["transaction mode", "nothing was changed", "LOCKKEEPER_DIRECT_URL"] {
            assert!(line.contains(part), "{part:?} is not in the last line; {what}");
        }
        assert_eq!(lock_holders(&database), [""; 0], "{what}");
        assert_eq!(database.query("select tablename from pg_tables where schemaname = 'public'"), "old\n");
        assert_eq!(files(&run.dir().join("backups"), ""), [""; 0], "{what}");
        assert_eq!(settings_behind(&url), ["0 psql"], "settings were left on the pooler's servers; {what}");
        run.env("LOCKKEEPER_DIRECT_URL", database.url()).output().expect_code(0).does_not_say(PASSWORD);
        assert_eq!(database.value("select count(*) from log"), "2");
    }
}

/// With its default settings, pgbouncer refuses a parameter that the driver sends.
#[test]
fn a_pooler_that_refuses_startup_parameters_is_recognized() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &[]);
    let finished = run_on(&pooler.url(database.name())).output();
    finished.expect_code(76).does_not_say(PASSWORD);
    let line = finished.stderr.lines().last().unwrap_or_default();
    for part in ["extra_float_digits", "nothing was changed", "LOCKKEEPER_DIRECT_URL"] {
        assert!(line.contains(part), "{part:?} is not in the last line: {finished}");
    }
}

/// Our second session holds the pooler's only server connection, so that the first one gets no answer.
#[test]
fn a_transaction_pooler_with_one_server_is_refused_as_well() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "transaction", &[IGNORE, "default_pool_size = 1"]);
    let finished = run_on(&pooler.url(database.name())).output();
    finished.expect_code(78).says("transaction mode").within(DEFAULT_TIMEOUT);
    assert_eq!(lock_holders(&database), [""; 0]);
}

/// When there is no room for our second session, the run waits and does not retry in a tight loop.
#[test]
fn a_pooler_or_role_without_room_for_the_second_session_is_waited_for() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &[IGNORE, "max_client_conn = 1"]);
    let role = unique("single");
    database.execute(&format!("create role {role} login connection limit 1 password '{PASSWORD}'"));
    database.execute(&format!("grant create on schema public to {role}"));
    let single = Postgres::shared().url_as(&role, PASSWORD, database.name());
    for (url, what) in [(pooler.url(database.name()), "max_client_conn"), (single, "too many connections")] {
        let finished = run_on(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "3s").output();
        finished.expect_code(69).says(what).does_not_say(PASSWORD);
        assert!(finished.elapsed > Duration::from_secs(2), "{finished}");
        assert!(finished.stderr.lines().count() < 20, "{finished}");
        assert_eq!(lock_holders(&database), [""; 0]);
    }
    let running = run_on(&Postgres::shared().url_as(&role, PASSWORD, database.name())).spawn();
    running.wait_for("too many connections");
    database.execute(&format!("alter role {role} connection limit -1"));
    running.finish().expect_code(0);
}
