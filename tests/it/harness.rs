//! Tests of the test harness itself.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::binary::Run;
use crate::support::pgbouncer::Pgbouncer;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop, USER};
use crate::support::process::{clean_command, postgres_program, run_with_input};
use crate::support::proxy::{Peer, Proxy};
use crate::support::scripted::{Answer, Scripted};
use crate::support::tls::{Authority, Certificate};
use crate::support::{DEFAULT_TIMEOUT, free_port, sqlite, temporary_directory, unique, wait_until};

/// Runs psql with a URL, as users do: returns its rows or its error message.
fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut command = clean_command(postgres_program("psql"));
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]);
    let output = run_with_input(command, sql);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn databases_of_the_shared_server_are_isolated() {
    let [one, two] = ["one", "two"].map(|name| Postgres::shared().database(name));
    one.execute("create table t (a int, b text); insert into t values (1, 'x'), (2, null)");
    assert_eq!(one.query("select * from t order by a"), "1|x\n2|\n");
    assert_eq!(one.rows("select * from t where a = 1"), [["1", "x"]]);
    assert_eq!(one.value("select count(*) from t"), "2");
    let complaint = two.try_query("select * from t").expect_err("a table of another database");
    assert!(complaint.contains("does not exist"), "{complaint}");
    assert_eq!(psql(&one.url(), "select current_user"), Ok(USER.into()));
    assert!(one.dump_schema().starts_with("SET "), "{}", one.dump_schema());
    assert!(one.dump_schema().contains("CREATE TABLE public.t"), "{}", one.dump_schema());
}

#[test]
fn unusual_database_names_are_usable() {
    let database = Postgres::shared().database_named(&unique("Ünüsual \"name'; / ?=%"));
    assert_eq!(psql(&database.url(), "select current_database()").as_deref(), Ok(database.name()));
    database.terminate_all();
}

#[test]
fn a_session_holds_a_lock() {
    let database = Postgres::shared().database("session");
    database.execute("create table t (a int)");
    let (mut holder, mut waiter) = (database.session(), database.session());
    assert_eq!(holder.run("begin; lock table t; select 7"), "7\n");
    waiter.send("select 'got it' from t right join (select 1) as one on true");
    let waits = format!("select cardinality(pg_blocking_pids({})) = 1", waiter.backend());
    wait_until("the waiter waits", DEFAULT_TIMEOUT, || database.value(&waits) == "t");
    assert!(waiter.is_busy());
    holder.run("commit");
    assert_eq!(waiter.finish(), "got it\n");
    assert!(waiter.run("select 1 / 0").contains("division by zero"));
    assert_eq!(waiter.run("select 1"), "1\n");
}

#[test]
fn a_server_stops_restarts_and_recovers() {
    let server = Postgres::start_later(Setup::default().conf("max_connections = 17"));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
    server.boot();
    let database = server.database("kept");
    database.execute("create table t (a int)");
    for how in [Stop::Fast, Stop::Immediate, Stop::Smart] {
        server.restart(how);
        assert_eq!(database.value("select count(*) from t"), "0");
    }
    assert_eq!(server.query("show max_connections"), "17\n");
    assert!(server.log().contains("database system is ready"));
}

#[test]
fn roles_log_in_by_tcp_and_by_socket_with_their_password() {
    let server = Postgres::shared();
    let role = unique("role");
    server.execute(&format!("create role {role} login password 'p@ss/w:rd'"));
    assert_eq!(psql(&server.url_as(&role, "p@ss/w:rd", "postgres"), "select 1"), Ok("1".into()));
    assert!(psql(&server.url_as(&role, "wrong", "postgres"), "select 1").is_err());
    let socket = server.socket_dir().display();
    let by_socket = format!("postgresql://{USER}:{PASSWORD}@/postgres?host={socket}&port={}", server.port());
    assert_eq!(psql(&by_socket, "select inet_server_addr() is null"), Ok("t".into()));
}

#[test]
fn a_standby_is_in_recovery_until_promoted() {
    let primary = Postgres::start(Setup::default());
    primary.execute("create table t (a int)");
    let standby = Postgres::standby_of(&primary);
    assert_eq!(standby.query("select pg_is_in_recovery()"), "t\n");
    wait_until("the standby has the table", DEFAULT_TIMEOUT, || standby.query("select to_regclass('t')") == "t\n");
    standby.promote();
    assert_eq!(standby.query("select pg_is_in_recovery()"), "f\n");
    standby.execute("insert into t values (1)");
}

#[test]
fn valid_and_invalid_certificates_are_distinguished() {
    let (trusted, untrusted) = (Authority::new(), Authority::new());
    let meet = |certificate: Certificate, root: &Authority| {
        let server = Postgres::start(Setup::default().tls(&certificate).hba("hostnossl all all all reject"));
        let url = server.url("postgres");
        let complaint = psql(&format!("{url}?sslmode=disable"), "select 1").expect_err("plain text");
        assert!(complaint.contains("no encryption"), "{complaint}");
        psql(&format!("{url}?sslmode=verify-full&sslrootcert={}", root.root().display()), "select 1")
    };
    assert_eq!(meet(trusted.good(), &trusted), Ok("1".into()));
    let complaint = meet(trusted.good(), &untrusted).expect_err("an unknown CA");
    assert!(complaint.contains("certificate verify failed"), "{complaint}");
    let complaint = meet(trusted.expired(), &trusted).expect_err("expired");
    assert!(complaint.contains("certificate verify failed"), "{complaint}");
    let complaint = meet(trusted.wrong_name(), &trusted).expect_err("another's name");
    assert!(complaint.contains("does not match host name"), "{complaint}");
}

#[test]
fn a_script_is_answered_connection_by_connection() {
    let real_server = (Ipv4Addr::LOCALHOST, Postgres::shared().port()).into();
    let server = Scripted::start(vec![
        Answer::Error { code: "57P03", message: "the database system is starting up" },
        Answer::Close,
        Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Answer::Silent,
        Answer::Forward(real_server),
    ]);
    let url = format!("{}?sslmode=disable&gssencmode=disable&connect_timeout=2", server.url("postgres"));
    let complaints: Vec<String> = (0..4).map(|_| psql(&url, "select 1").expect_err("a bad answer")).collect();
    for (complaint, part) in
        complaints.iter().zip(["is starting up", "closed", "expected authentication request", "timeout"])
    {
        assert!(complaint.contains(part), "{part:?} is not in this: {complaint}");
    }
    assert_eq!(psql(&url, "select 1"), Ok("1".into()));
    assert_eq!(psql(&url, "select 2"), Ok("2".into()), "the last answer is given again");
    assert_eq!(server.connections(), 6);
    let first = String::from_utf8_lossy(&server.received()[0]).into_owned();
    assert!(first.contains("user\0postgres\0"), "{first:?}");
}

#[test]
fn a_scripted_error_comes_after_a_declined_request_for_tls() {
    let server = Scripted::start(vec![Answer::Error { code: "53300", message: "sorry, too many clients already" }]);
    let complaint = psql(&server.url("postgres"), "select 1").expect_err("an error");
    assert!(complaint.contains("too many clients"), "{complaint}");
}

#[test]
fn a_proxy_cuts_before_and_after_the_commit() {
    let database = Postgres::shared().database("cut");
    database.execute("create table t (a int)");
    let proxy = Proxy::start(Postgres::shared().port());
    let url = proxy.url(database.name());
    assert_eq!(psql(&url, "select 1"), Ok("1".into()));
    for (speaker, rows) in [(Peer::Client, "0"), (Peer::Server, "1")] {
        proxy.cut_at(speaker, b"COMMIT\0");
        psql(&url, "BEGIN; INSERT INTO t VALUES (1);\nCOMMIT").expect_err("a cut connection");
        assert_eq!(database.value("select count(*) from t"), rows, "cut when the {speaker:?} speaks");
    }
    assert_eq!(proxy.cuts(), 2);
    psql(&url, "insert into t values (1)").expect("a proxy that cuts no more");
}

#[test]
fn a_frozen_proxy_forwards_nothing_until_it_thaws() {
    let proxy = Proxy::start(Postgres::shared().port());
    let url = format!("{}?connect_timeout=2", proxy.url("postgres"));
    proxy.freeze();
    assert!(psql(&url, "select 1").expect_err("a freeze").contains("timeout"));
    proxy.thaw();
    assert_eq!(psql(&url, "select 1"), Ok("1".into()));
}

#[test]
fn a_pooler_answers_in_each_mode() {
    let server = Postgres::shared();
    for mode in ["session", "transaction"] {
        let pooler = Pgbouncer::start(server, mode, &[]);
        let database = server.database("pooled");
        assert_eq!(psql(&pooler.url(database.name()), "select 1"), Ok("1".into()), "{}", pooler.log());
        assert!(
            psql(&pooler.url("pgbouncer"), "show config").is_ok_and(|text| text.contains(&format!("pool_mode|{mode}")))
        );
    }
}

#[test]
fn sqlite_files_can_be_queried() {
    let directory = temporary_directory("sqlite");
    let path = directory.path().join("some.db");
    sqlite::query(&path, "create table t (a, b); insert into t values (1, 'x');");
    assert_eq!(sqlite::rows(&path, "select * from t;"), [["1", "x"]]);
    assert_eq!(sqlite::value(&path, "select a from t;"), "1");
    assert_eq!(sqlite::schema(&path), "CREATE TABLE t (a, b);\n");
    assert!(sqlite::try_query(&path, "select * from nothing;").is_err());
}

#[test]
fn the_binary_runs_in_its_own_directory_and_environment() {
    let run = Run::new().migrations(&[("0001_a.sql", "select 1;")]).file("a/b", "c");
    assert!(run.dir().join("migrations/0001_a.sql").exists() && run.dir().join("a/b").exists());
    let finished = run.clone().arg("--help").output();
    finished.expect_code(0).says("lockkeeper").does_not_say(PASSWORD).within(DEFAULT_TIMEOUT);
    run.clone().arg("no-such-command").output().expect_code(64).says("error");
    let environment = run.clone().env("EXTRA", "1").under(["sh", "-c", "env"]).output().stdout;
    let foreign = |line: &&str| {
        ![
            "DATABASE_URL=",
            "EXTRA=",
            "HOME=",
            "LANG=",
            "LLVM_",
            "LOCKKEEPER_LOG_FORMAT=",
            "OLDPWD=",
            "PATH=",
            "PWD=",
            "SHLVL=",
            "_=",
        ]
        .iter()
        .any(|known| line.starts_with(known))
    };
    assert_eq!(environment.lines().filter(foreign).collect::<Vec<_>>(), [""; 0]);
    assert!(environment.contains(&format!("HOME={}", run.dir().display())), "{environment}");
}

#[test]
fn a_running_binary_can_be_observed_and_signalled() {
    // No server answers there, so it waits and logs that.
    let url = format!("postgresql://nobody@127.0.0.1:{}/nowhere", free_port());
    let run = Run::new().url(&url).migrations(&[("0001_a.sql", "select 1;")]).arg("wait");
    let mut running = run.spawn();
    running.wait_for_line(|line| !line.is_empty(), DEFAULT_TIMEOUT);
    assert!(!running.has_ended());
    running.signal(Signal::STOP);
    running.signal(Signal::CONT);
    let finished = running.kill();
    assert_eq!((finished.code, finished.signal), (None, Some(9)));
}

#[test]
fn servers_die_with_the_test_process_and_leave_no_files() {
    const CHILD: &str = "LOCKKEEPER_TEST_HARNESS_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = Postgres::start(Setup::default());
        println!("server {} {}", server.pid(), server.socket_dir().display());
        // The process dies as by SIGKILL, which prevents any cleanup.
        rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).expect("kill");
    }
    let this = std::env::current_exe().expect("the test binary");
    let name = "harness::servers_die_with_the_test_process_and_leave_no_files";
    let output = Command::new(this).args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        text.lines().find_map(|line| line.split_once("server ")).unwrap_or_else(|| panic!("no server: {output:?}")).1;
    let (pid, directory) = line.split_once(' ').expect("a pid and a directory");
    // A process that is dead but not reaped yet has no command line either.
    let command_line = Path::new("/proc").join(pid).join("cmdline");
    wait_until("the server has died", DEFAULT_TIMEOUT, || fs::read(&command_line).unwrap_or_default().is_empty());
    let scratch = Path::new(directory).parent().expect("the directory of the process");
    wait_until("its files are gone", DEFAULT_TIMEOUT, || !scratch.exists());
}
