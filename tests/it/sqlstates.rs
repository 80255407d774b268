//! Tests of SQLSTATEs that mean different things at the login, in our own statements and in a statement of a file. The
//! table is in `docs/sqlstates.md`; a unit test compares it with the code, these tests produce the codes that can be
//! produced.

use std::fs;

use crate::contract::{expect_end, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::pgbouncer::Pgbouncer;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{free_port, unique};

const ONE: (&str, &str) = ("0001_one.sql", "create table one (id int);");

#[test]
fn errors_of_the_login_are_distinguished() {
    for (code, message, exit, part) in [
        ("XX000", "all servers are down", 69, "LOCKKEEPER_WAIT_TIMEOUT"),
        ("58000", "could not get connection from the pool", 69, "LOCKKEEPER_WAIT_TIMEOUT"),
        ("58000", "no such database: one", 78, "create the database"),
        ("XX000", "no more connections allowed (max_client_conn)", 69, "LOCKKEEPER_WAIT_TIMEOUT"),
        ("08P01", "server login has been failing, try again later (server_login_retry)", 69, ""),
        ("08006", "server closed the connection", 69, ""),
        ("57014", "canceling authentication due to timeout", 69, ""),
        ("26000", "something else", 69, ""),
        ("0A000", "unsupported frontend protocol 3.0", 76, "PostgreSQL's"),
        ("P0001", "no logins during the night", 77, ""),
        ("22023", "invalid value for a parameter", 78, ""),
    ] {
        let server = Scripted::start(vec![Answer::Error { code, message }]);
        let run = Run::new().url(&server.url("one")).migrations(&[ONE]);
        let run = run.env("LOCKKEEPER_WAIT_TIMEOUT", "500ms").env("LOCKKEEPER_AUTH_GRACE", "100ms");
        let finished = expect_end(&run, exit, &[message, &format!("SQLSTATE {code}"), "nothing was changed", part]);
        finished.does_not_say(PASSWORD);
    }
}

/// A pooler whose server is down has accepted the client already, or reports it; either way the server is waited for.
#[test]
fn a_pooler_without_its_server_is_waited_for() {
    for mode in ["session", "transaction"] {
        let server = Postgres::start(Setup::default());
        let pooler = Pgbouncer::start(
            &server,
            mode,
            &["ignore_startup_parameters = extra_float_digits", "server_login_retry = 1"],
        );
        let run = Run::new().url(&pooler.url("postgres")).migrations(&[ONE]);
        drop(server);
        let run = run.env("LOCKKEEPER_WAIT_TIMEOUT", "3s");
        expect_end(&run, 69, &["was not ready after", "nothing was changed"]).does_not_say(PASSWORD);
    }
}

/// The error of a connection to another server that a statement opens does not concern our own connection.
#[test]
fn a_failing_connection_of_a_statement_is_the_statements_failure() {
    let subscribe = |options: &str| {
        let port = free_port();
        format!(
            "create subscription {} connection 'host=127.0.0.1 port={port} dbname=nowhere' publication p{options};\n",
            unique("subscription")
        )
    };
    expect_statement_failure(
        &subscribe(" with (create_slot = false)"),
        80,
        "could not connect to the publisher",
        "08006",
    );
    let outside = format!("-- no-transaction\n{}", subscribe(""));
    expect_statement_failure(&outside, 81, "could not connect to the publisher", "08006");
    for code in ["08006", "08003", "57P01", "57P03", "57P05", "25P03"] {
        let raises = format!("do $$ begin raise 'another server' using errcode = '{code}'; end $$;\n");
        expect_statement_failure(&raises, 80, "another server", code);
        expect_statement_failure(&format!("-- no-transaction\n{raises}"), 81, "another server", code);
    }
}

#[track_caller]
fn expect_statement_failure(text: &str, exit: i32, message: &str, code: &str) {
    let database = PgDatabase::create("sqlstate");
    let run = run_on(&database, &[ONE, ("0002_two.sql", text)]);
    expect_end(&run, exit, &["0002_two.sql:", message, &format!("SQLSTATE {code}"), "correct"]);
    assert!(database.history().starts_with("0001|applied\n"), "{text}");
}

/// One file is named by the statement and missing, the other is missing in the server's own data directory.
#[test]
fn a_file_that_the_server_lacks_is_its_disks_failure_unless_the_statement_names_it() {
    let server = Postgres::start(Setup::default());
    let database = server.database("sqlstate");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[("0002_load.sql", "load 'no_such_library';")]);
    expect_end(&run, 80, &["SQLSTATE 58P01", "correct the file"]);
    database.execute(
        "create function no_file() returns trigger language plpgsql as $$ begin raise 'no such file' using errcode = '58P01'; end $$;
         create trigger no_file before insert on lockkeeper_history execute function no_file()",
    );
    let run = run.migrations(&[("0002_load.sql", "create table two ();")]);
    expect_end(&run, 74, &["recording it failed", "SQLSTATE 58P01", "rolled back"]);
    database.execute("drop function no_file cascade; create table lost as select 1 as n; checkpoint");
    let file = server.data().join(database.value("select pg_relation_filepath('lost')"));
    fs::remove_file(&file).expect("the table's file");
    server.restart(Stop::Fast);
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "backups");
    expect_end(&run, 74, &["backup: ", "SQLSTATE 58P01", "nothing was changed"]);
}
