//! Tests of every command through a connection pooler: what session pooling supports, what other modes are refused for,
//! and the direct URL.

use rustix::process::Signal;

use crate::backup::{backups, last_line};
use crate::contract::expect_end;
use crate::lock::lock_holders;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::pgbouncer::Pgbouncer;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Returns the settings that the driver needs, and that disable prepared statements where this pgbouncer supports them.
fn settings(more: &[&'static str]) -> Vec<&'static str> {
    let mut settings = vec!["ignore_startup_parameters = extra_float_digits"];
    if Pgbouncer::supports_prepared_statements() {
        settings.push("max_prepared_statements = 0");
    }
    settings.extend(more);
    settings
}

const FILES: [(&str, &str); 5] = [
    ("0001_one.up.sql", "create table one (id int primary key); insert into one values (1);\n"),
    ("0002_two.up.sql", "create table two (id int);\n"),
    ("0002_two.down.sql", "drop table two;\n"),
    ("0003_index.up.sql", "-- no-transaction\ncreate index concurrently one_id on one (id);\n"),
    ("0003_index.down.sql", "-- no-transaction\ndrop index concurrently one_id;\n"),
];

fn run_on(database: &PgDatabase<'_>) -> Run {
    database.execute("create table old as select generate_series(1, 100) as id");
    Run::new().env("LOCKKEEPER_BACKUP_DIR", "backups").url(&database.url()).migrations(&FILES)
}

fn state(database: &PgDatabase<'_>) -> (String, String) {
    (database.dump_schema(), database.history_without_times())
}

/// Runs the commands one after the other, and expects each exit code and last line.
fn run_all_commands(run: &Run) {
    let edited = format!("-- edited\n{}", FILES[0].1);
    let verb = |words: &[&str], code: i32, parts: &[&str]| {
        expect_end(&run.clone().args(words.iter().copied()), code, parts);
    };
    verb(&["check"], 2, &["3 revisions are pending"]);
    verb(&["upgrade"], 0, &["up to date at 0003: 3 "]);
    verb(&["check"], 0, &[]);
    verb(&["current"], 0, &[]);
    verb(&["history"], 0, &[]);
    verb(&["wait", "--migrated"], 0, &[]);
    verb(&["downgrade", "0001"], 0, &["up to date at 0001: 2 "]);
    verb(&["stamp", "0002"], 0, &["stamped"]);
    verb(&["stamp", "0001"], 0, &["stamped"]);
    verb(&["backup"], 0, &["backup"]);
    let run = run.clone().migrations(&[("0001_one.up.sql", &edited)]);
    expect_end(&run, 65, &["0001_one.up.sql"]);
    verb(&["repair", "--yes"], 0, &["repaired: 1 file"]);
    expect_end(&run, 0, &["up to date at 0003: 2 "]);
    // There is a backup before the first upgrade, the downgrade, either stamp and the last upgrade, and one by
    // `backup`.
    assert_eq!(backups(&run.dir().join("backups")).len(), 6);
}

/// Every command works through session pooling.
#[test]
fn a_session_pooler_supports_every_command() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &settings(&[]));
    let run = run_on(&database).env("LOCKKEEPER_BACKUP_KEEP", "100").url(&pooler.url(database.name()));
    run_all_commands(&run);
    assert_eq!(database.history(), "0001|applied\n0002|applied\n0003|applied\n");
    assert_eq!(lock_holders(&database), [""; 0]);
}

/// The statement is cancelled in the server, through the pooler.
#[test]
fn a_signal_ends_a_statement_behind_a_session_pooler() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &settings(&[]));
    let run = run_on(&database).env("LOCKKEEPER_BACKUP", "off").url(&pooler.url(database.name()));
    let run = run.migrations(&[("0002_two.up.sql", "create table two (id int); select pg_sleep(600);")]);
    let running = run.spawn();
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    wait_until("the statement runs", DEFAULT_TIMEOUT, || database.value(sleeps) == "1");
    running.signal(Signal::TERM);
    running.finish().expect_code(143).does_not_say(PASSWORD);
    assert_eq!(database.value(sleeps), "0");
    wait_until("the lock is free", DEFAULT_TIMEOUT, || lock_holders(&database).is_empty());
    assert_eq!(database.history(), "0001|applied\n");
}

/// Each command changes nothing, takes no backup and leaves no lock.
#[test]
fn every_command_that_writes_is_refused_behind_poolers_that_share_sessions() {
    let database = Postgres::shared().database("pooled");
    let direct = run_on(&database);
    expect_end(&direct.clone().args(["upgrade", "0002"]), 0, &["up to date at 0002"]);
    let taken = backups(&direct.dir().join("backups"));
    let edited = format!("-- edited\n{}", FILES[0].1);
    let before = state(&database);
    let modes: [(&str, &[&str]); 4] = [
        ("transaction", &[]),
        ("transaction", &["default_pool_size = 1"]),
        ("statement", &[]),
        ("statement", &["default_pool_size = 1"]),
    ];
    for (mode, more) in modes {
        let pooler = Pgbouncer::start(Postgres::shared(), mode, &settings(more));
        let run = direct.clone().url(&pooler.url(database.name()));
        for words in [&["upgrade"][..], &["downgrade", "0001"], &["stamp", "0001"], &["repair", "--yes"]] {
            let text = if words[0] == "repair" { &edited } else { FILES[0].1 };
            let run = run.clone().migrations(&[("0001_one.up.sql", text)]).args(words.iter().copied());
            let finished = run.output();
            let what = format!("{words:?} in {mode} mode with {more:?}: {finished}");
            assert_eq!(finished.code, Some(78), "{what}");
            finished.does_not_say(PASSWORD).within(DEFAULT_TIMEOUT);
            let mode = format!("{mode}{}", if mode == "statement" { " pooling mode" } else { " mode" });
            for part in [mode.as_str(), "nothing was changed", "LOCKKEEPER_DIRECT_URL"] {
                assert!(last_line(&finished).contains(part), "{part:?} is not in the last line; {what}");
            }
            assert_eq!(lock_holders(&database), [""; 0], "{what}");
            assert_eq!(state(&database), before, "{what}");
            assert_eq!(backups(&direct.dir().join("backups")), taken, "{what}");
        }
    }
}

/// A pool of one connection is too small for the two sessions that a run needs, and the run reports that in time.
#[test]
fn a_session_pooler_with_one_server_connection_times_out() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "session", &settings(&["default_pool_size = 1"]));
    let run = run_on(&database).url(&pooler.url(database.name())).env("LOCKKEEPER_CONNECT_TIMEOUT", "1s");
    let finished = run.env("LOCKKEEPER_WAIT_TIMEOUT", "2s").output();
    finished.expect_code(69).does_not_say(PASSWORD).within(DEFAULT_TIMEOUT);
    for part in ["second session", "nothing was changed", "LOCKKEEPER_DIRECT_URL"] {
        assert!(last_line(&finished).contains(part), "{part:?}: {finished}");
    }
    wait_until("the lock is free", DEFAULT_TIMEOUT, || lock_holders(&database).is_empty());
    assert!(!database.has_table("one"));
}

/// A parameter of the URL that pgbouncer does not forward.
#[test]
fn startup_parameters_that_a_pooler_refuses_end_the_run() {
    let database = Postgres::shared().database("pooled");
    for mode in ["session", "transaction"] {
        for (more, parameter) in
            [(&[][..], "extra_float_digits"), (&["ignore_startup_parameters = extra_float_digits"], "options")]
        {
            let pooler = Pgbouncer::start(Postgres::shared(), mode, more);
            let asked = format!("{}?options=-c%20geqo=off", pooler.url(database.name()));
            let finished = Run::new().url(&asked).migrations(&FILES).output();
            finished.expect_code(76).does_not_say(PASSWORD).within(DEFAULT_TIMEOUT);
            for part in [parameter, "nothing was changed", "LOCKKEEPER_DIRECT_URL"] {
                assert!(last_line(&finished).contains(part), "{part:?} in {mode} mode: {finished}");
            }
        }
    }
}

/// The pooler's server connection must not keep the lock of the first session when there is no second one.
#[test]
fn a_transaction_pooler_without_room_for_the_second_session_keeps_no_lock() {
    let database = Postgres::shared().database("pooled");
    let pooler = Pgbouncer::start(Postgres::shared(), "transaction", &settings(&["max_client_conn = 1"]));
    let run = run_on(&database).url(&pooler.url(database.name())).env("LOCKKEEPER_WAIT_TIMEOUT", "1s");
    expect_end(&run, 69, &["no more connections", "nothing was changed"]);
    assert_eq!(lock_holders(&database), [""; 0]);
}

/// LOCKKEEPER_DIRECT_URL is used for everything, pg_dump included: nothing connects to the pooler.
#[test]
fn the_direct_url_is_used_for_everything_when_it_is_set() {
    let database = Postgres::shared().database("direct");
    let pooler = Pgbouncer::start(Postgres::shared(), "transaction", &settings(&[]));
    let run = run_on(&database).url(&pooler.url(database.name())).env("LOCKKEEPER_BACKUP_KEEP", "100");
    run_all_commands(&run.clone().env("LOCKKEEPER_DIRECT_URL", database.url()));
    assert!(!pooler.log().contains(database.name()), "{}", pooler.log());
    // A connection through the pooler would be in its log.
    run.arg("current").output().expect_code(0);
    assert!(pooler.log().contains(database.name()), "{}", pooler.log());
}
