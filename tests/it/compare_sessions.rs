//! Tests of `compare` with several sessions: they read one state of each side, and fewer of them read where there is no
//! room for more.

use std::thread::available_parallelism;

use rustix::process::Signal;

use crate::contract::{check_end, last, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup};
use crate::support::proxy::{Peer, Proxy};
use crate::support::{DEFAULT_TIMEOUT, sqlite, unique, wait_until};

/// About 24 MB on each side, which are three parts or more.
const SOURCE: &str = "
    pragma journal_mode = wal;
    create table documents (id integer primary key, text text);
    insert into documents with recursive n(i) as (values (1) union all select i + 1 from n where i < 12000)
        select i, hex(randomblob(900)) from n;
    create table tags (name text primary key, number numeric) without rowid;
    insert into tags values ('a', 1.5), ('b', 2);
";
const TARGET: (&str, &str) = (
    "0001_all.sql",
    "create table documents (id bigint primary key, text text); create table tags (name text primary key, number numeric);",
);

/// The first message of a session that reads the snapshot of another one.
const FURTHER: &str = "SET TRANSACTION SNAPSHOT";
/// A message that reads a part.
const READS: &[u8] = b"COPY (SELECT";

/// Returns a server whose log names the statements of each session.
fn server() -> Postgres {
    let setup = Setup::default().conf("log_statement = all").conf("log_line_prefix = '%a|'");
    Postgres::start(setup.conf("max_connections = 20").conf("superuser_reserved_connections = 0"))
}

/// Creates both sides of a finished transfer.
fn transferred<'a>(server: &'a Postgres, prefix: &str) -> (PgDatabase<'a>, Run) {
    let database = server.database(prefix);
    let run = run_on(&database, &[TARGET]);
    sqlite::query(&run.dir().join("app.db"), SOURCE);
    run.clone().args(["transfer", "--from", "sqlite:///app.db"]).output().expect_code(0);
    (database, run)
}

fn compare(run: &Run) -> Run {
    run.clone().args(["compare", "--from", "sqlite:///app.db"])
}

#[track_caller]
fn expect_equal(finished: &Finished) {
    finished.expect_code(0);
    assert!(last(finished).contains("equal: 2 tables, 12002 rows"), "{finished}");
}

/// Returns the number of further sessions that the server's log knows of, with two processors or more.
fn further_sessions(server: &Postgres) -> usize {
    server.log().lines().filter(|line| line.contains(FURTHER)).count()
}

/// Returns the number of parts that sessions with this application name have begun to read.
fn parts_read(server: &Postgres, application_name: &str) -> usize {
    let begins = format!("{application_name}|");
    server.log().lines().filter(|line| line.starts_with(&begins) && line.contains("COPY (SELECT")).count()
}

/// Returns the number of sessions for three parts.
fn sessions() -> usize {
    available_parallelism().expect("processors").get().min(3)
}

/// The application changes both sides when the snapshots are taken; one session reads before the change, and one after.
#[test]
fn all_sessions_read_one_state_while_an_application_writes() {
    let server = server();
    let (database, run) = transferred(&server, "sessions");
    let proxy = Proxy::start(server.port());
    proxy.hold_at(Peer::Client, READS);
    let running = compare(&run.clone().url(&proxy.url(database.name()))).spawn();
    proxy.wait_for_hold();
    sqlite::query(
        &run.dir().join("app.db"),
        "update documents set text = 'x' where id % 2; delete from tags; insert into documents values (-5, 'y')",
    );
    database.execute("delete from documents where id % 3 = 0; insert into documents values (99999, 'z')");
    let readers = || ["lockkeeper", "lockkeeper compare"].map(|name| parts_read(&server, name));
    if sessions() > 1 {
        // The transfer has read both tables, too.
        wait_until("another session reads", DEFAULT_TIMEOUT, || readers().iter().sum::<usize>() >= 2 + 2);
    }
    proxy.release();
    expect_equal(&running.finish());
    assert_eq!(further_sessions(&server), sessions() - 1);
    assert_eq!(readers()[1] > 0, sessions() > 1, "{:?}", readers());
    compare(&run).output().expect_code(87).says("tags, name = 'a': only in the target");
}

#[test]
fn the_pool_of_the_settings_bounds_the_sessions() {
    let server = server();
    let (_database, run) = transferred(&server, "pool");
    let mut before = further_sessions(&server);
    for (size, overflow, allowed) in
        [("1", "", 1), ("1", "1", 2), ("1", "-1", 4), ("0", "", 4), ("", "1", 4), ("", "", 4)]
    {
        let run = run.clone().env("DATABASE_POOL_SIZE", size).env("DATABASE_MAX_OVERFLOW", overflow);
        expect_equal(&compare(&run).output());
        let now = further_sessions(&server);
        assert_eq!(now - before, sessions().min(allowed) - 1, "{size:?} and {overflow:?}");
        before = now;
    }
}

#[test]
fn a_role_without_room_for_more_sessions_compares_with_one() {
    let (database, run) = transferred(Postgres::shared(), "limited");
    let role = unique("limited");
    database.execute(&format!(
        "create role {role} login password '{PASSWORD}' connection limit 1; \
         grant select on lockkeeper_history, documents, tags to {role}"
    ));
    let finished = compare(&run.url(&database.url_as(&role, PASSWORD))).output();
    expect_equal(&finished);
    if sessions() > 1 {
        finished.says("one session less").says("too many connections for role");
    }
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// A TRUNCATE waits for the first session, and a further one waits for the TRUNCATE.
#[test]
fn a_further_session_that_has_to_wait_for_a_lock_leaves_its_part_to_the_first_one() {
    let (database, run) = transferred(Postgres::shared(), "queue");
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.hold_at(Peer::Client, b"SELECT pg_catalog.pg_export_snapshot");
    let running = compare(&run.clone().url(&proxy.url(database.name()))).spawn();
    if sessions() > 1 {
        proxy.wait_for_hold();
        let mut session = database.session();
        session.send("truncate documents");
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        wait_until("it waits", DEFAULT_TIMEOUT, || database.value(waits) == "1");
        proxy.hold_at(Peer::Client, READS);
        proxy.release();
        running.wait_for("one session less");
        proxy.release();
    }
    expect_equal(&running.finish());
}

#[test]
fn a_signal_ends_all_sessions() {
    let (database, run) = transferred(Postgres::shared(), "stopped");
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.hold_at(Peer::Client, READS);
    let running = compare(&run.clone().url(&proxy.url(database.name()))).spawn();
    proxy.wait_for_hold();
    running.signal(Signal::TERM);
    check_end(running.finish(), 143, &["compare: stopped by SIGTERM; nothing was changed"]);
    proxy.release();
    database.expect_no_session();
    expect_equal(&compare(&run).output());
}

#[test]
fn a_further_session_that_is_lost_is_an_error() {
    if sessions() == 1 {
        return;
    }
    let (database, run) = transferred(Postgres::shared(), "lost");
    let proxy = Proxy::start(Postgres::shared().port());
    // Both sessions are about to read.
    proxy.hold_at(Peer::Client, READS);
    proxy.hold_at(Peer::Client, READS);
    let running = compare(&run.clone().url(&proxy.url(database.name()))).spawn();
    let further = "from pg_stat_activity where datname = current_database() and application_name = 'lockkeeper compare' \
        and state = 'idle in transaction' and starts_with(query, 'EXPLAIN')";
    wait_until("a further session is about to read", DEFAULT_TIMEOUT, || {
        database.value(&format!("select count(pg_terminate_backend(pid)) {further}")) != "0"
    });
    proxy.wait_for_hold();
    proxy.release();
    let finished = running.finish();
    assert!(last(finished.expect_code(69)).contains("nothing was changed; try: run again"), "{finished}");
}

#[test]
fn rows_that_differ_are_named_in_whichever_part_they_are() {
    let (database, run) = transferred(Postgres::shared(), "differing");
    database.execute(
        "update documents set text = 'first' where id = 1; delete from documents where id = 6000; \
         insert into documents values (12001, 'last'); update tags set number = 1.50 where name = 'a'",
    );
    let finished = compare(&run).output();
    finished
        .expect_code(87)
        .says("in the source, 'first' in the target")
        .says("documents, id = 6000: only in the source")
        .says("documents, id = 12001: only in the target")
        .says("tags and \"public\".\"tags\" are equal");
    sqlite::query(&run.dir().join("app.db"), "update tags set number = 'dear' where name = 'b'");
    compare(&run).output().expect_code(87).says("tags.number, name = 'b': 'dear' ").says("documents, id = 12001");
}

/// No file beside it remains.
#[test]
fn a_source_with_a_rollback_journal_is_read_by_several_connections_too() {
    let (_database, run) = transferred(Postgres::shared(), "journal");
    sqlite::query(&run.dir().join("app.db"), "pragma journal_mode = delete");
    expect_equal(&compare(&run).output());
    let left = std::fs::read_dir(run.dir()).expect("a directory").filter_map(Result::ok);
    let left = left.filter(|file| file.file_name().to_string_lossy().starts_with("app.db-")).count();
    assert_eq!(left, 0);
}
