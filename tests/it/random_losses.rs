//! Tests of losses at random moments: the server stops, a session is ended, a connection becomes silent. The run
//! reports the outcome, the history records exactly what happened, and a rerun converges.
//!
//! The long form. A failure prints the seed, which LOCKKEEPER_TEST_SEED sets:
//!
//! ```text
//! LOCKKEEPER_TEST_KILLS=100 tests/run --test it random_losses -- --nocapture
//! ```

use std::path::Path;

use crate::contract::expect_end;
use crate::lock::files;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::kill::{Disruption, Kills};
use crate::support::ledger::{self, REVISIONS};
use crate::support::postgres::{Postgres, Setup, Stop};
use crate::support::process::{clean_command, must_run, postgres_program};
use crate::support::proxy::Proxy;

/// The exit codes: lost at the login or in the backup; a statement that never ran; lost in a transaction or at its end.
const LOST: &[i32] = &[69, 81, 83];

fn new_run(database: &PgDatabase<'_>) -> Run {
    ledger::prepare(database);
    let files = ledger::files::<PgDatabase<'_>>();
    Run::new()
        .url(&database.url())
        .env("LOCKKEEPER_BACKUP_DIR", "backups")
        .env("LOCKKEEPER_BACKUP_KEEP", "1000")
        .migrations(&ledger::as_str_pairs(&files))
}

/// Disrupts runs until the count is reached, each round in a database of its own.
fn disrupt_until_enough<'a>(
    short: usize,
    what: &str,
    fresh: impl Fn() -> PgDatabase<'a>,
    mut disruption: impl FnMut(&PgDatabase<'_>, &mut fastrand::Rng),
) {
    let mut kills = Kills::new(short);
    let database = fresh();
    let undisturbed = expect_end(&new_run(&database), 0, &["up to date at 0012"]).elapsed;
    let expected = database.dump_schema();
    while kills.has_moments_left() {
        let database = fresh();
        let run = new_run(&database);
        let mut disruption = Disruption {
            what,
            codes: LOST,
            disruption: &mut |random| disruption(&database, random),
            check: &mut |finished| {
                database.expect_no_session();
                ledger::expect_consistent(&database, &finished.to_string());
                if finished.code == Some(0) {
                    ledger::expect_at(&database, REVISIONS, &finished.to_string());
                }
            },
        };
        kills.converge_disrupted(&run, undisturbed, &mut disruption);
        assert_eq!(database.dump_schema(), expected, "{kills}");
        expect_end(&run, 0, &["nothing pending"]);
        expect_restorable(&run, &database);
    }
}

/// Expects that nothing unfinished is left, and that every backup contains the rows from before and a history that
/// agrees with them.
fn expect_restorable(run: &Run, database: &PgDatabase<'_>) {
    let directory = run.dir().join("backups");
    assert_eq!(files(&directory, ".partial"), [""; 0]);
    run.clone().arg("backups").output().expect_code(0).does_not_say("unverified");
    for name in files(&directory, ".dump") {
        let restored = restored(database, &directory.join(&name));
        assert_eq!(restored.value("select count(*) from old"), "3", "{name}");
        ledger::expect_consistent(&restored, &name);
    }
}

fn restored<'a>(database: &'a PgDatabase<'_>, backup: &Path) -> PgDatabase<'a> {
    let scratch = database.server().database("restored");
    let mut restore = clean_command(postgres_program("pg_restore"));
    database.server().set_connection(&mut restore, scratch.name());
    restore.args(["--exit-on-error", "--no-owner", "--dbname", scratch.name()]).arg(backup);
    must_run(restore);
    scratch
}

/// The server is stopped in order, or as after a crash: what was reported as done is there after the recovery.
#[test]
fn a_server_that_stops_at_a_random_moment_loses_nothing() {
    let server = Postgres::start(Setup::default());
    disrupt_until_enough(
        3,
        "the server was restarted",
        || server.database("stopped"),
        |_, random| server.restart(if random.bool() { Stop::Fast } else { Stop::Immediate }),
    );
}

/// The working session, the second one or pg_dump's, whichever exists.
#[test]
fn a_session_that_is_ended_at_a_random_moment_loses_nothing() {
    disrupt_until_enough(
        6,
        "a session was ended",
        || Postgres::shared().database("ended"),
        |database, random| {
            let sessions = database.query(
                "select pid from pg_stat_activity where datname = current_database() \
                 and application_name like 'lockkeeper%' order by backend_start",
            );
            let sessions: Vec<&str> = sessions.lines().collect();
            if let Some(session) = random.choice(&sessions) {
                database.query(&format!("select pg_terminate_backend({session})"));
            }
        },
    );
}

/// The network reports no error: the connection stays open, and no byte arrives any more.
#[test]
fn a_connection_that_falls_silent_at_a_random_moment_loses_nothing() {
    let mut kills = Kills::new(3);
    let shared = Postgres::shared();
    let settings = |run: Run, proxy: &Proxy, database: &PgDatabase<'_>| {
        // The run does not monitor pg_dump's connection, and the kernel of this machine answers the keepalives.
        run.url(&proxy.url(database.name())).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_CONNECT_TIMEOUT", "300ms")
    };
    let (database, proxy) = (shared.database("spoken"), Proxy::start(shared.port()));
    let run = settings(new_run(&database), &proxy, &database);
    let undisturbed = expect_end(&run, 0, &["up to date at 0012"]).elapsed;
    let expected = database.dump_schema();
    while kills.has_moments_left() {
        let (database, proxy) = (shared.database("silent"), Proxy::start(shared.port()));
        let run = settings(new_run(&database), &proxy, &database);
        let mut disruption = Disruption {
            what: "a connection fell silent",
            codes: LOST,
            // The newest connections are those of this run.
            disruption: &mut |random| proxy.silence_one(|count| count - 1 - random.usize(..count.min(2))),
            check: &mut |finished| {
                // A server does this when nobody answers its keepalives.
                proxy.cut();
                database.terminate_all();
                database.expect_no_session();
                ledger::expect_consistent(&database, &finished.to_string());
                if finished.code == Some(0) {
                    ledger::expect_at(&database, REVISIONS, &finished.to_string());
                }
            },
        };
        kills.converge_disrupted(&run, undisturbed, &mut disruption);
        assert_eq!(database.dump_schema(), expected, "{kills}");
    }
}
