//! Tests of a server that goes away between the readiness check and the lock: it is waited for again.

use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::support::postgres::Postgres;
use crate::support::proxy::{Peer, Proxy};

#[test]
fn a_connection_that_is_cut_at_the_lock_request_is_opened_again() {
    let commands: [(&[&str], &str); 4] = [
        (&["upgrade"], "up to date at 0002"),
        (&["stamp", "0002"], "0002"),
        (&["backup"], "backup taken and verified"),
        (&["upgrade", "--rehearse"], "up to date at 0002"),
    ];
    for (command, says) in commands {
        let database = Postgres::shared().database("cut_lock");
        expect_end(&run_on(&database, &[ONE, TWO]).args(["upgrade", "0001"]), 0, &[]);
        let proxy = Proxy::start(Postgres::shared().port());
        let run = run_on(&database, &[ONE, TWO]).url(&proxy.url(database.name())).args(command.iter().copied());
        let run = run.env("LOCKKEEPER_BACKUP", "required");
        proxy.cut_at(Peer::Client, b"pg_try_advisory_lock");
        expect_end(&run, 0, &[says]).says("not ready after all");
        assert_eq!(proxy.cuts(), 1);
    }
}

/// The server has given the lock to the session, which is lost with the answer to the next question.
#[test]
fn a_lost_session_that_holds_the_lock_is_not_waited_for() {
    let database = Postgres::shared().database("silent_lock");
    let proxy = Proxy::start(Postgres::shared().port());
    let run = run_on(&database, &[ONE, TWO]).url(&proxy.url(database.name()));
    let run = run.env("LOCKKEEPER_CONNECT_TIMEOUT", "300ms").env("LOCKKEEPER_LOCK_TIMEOUT", "5s");
    proxy.silence_at(Peer::Client, b"FROM pg_catalog.pg_locks WHERE");
    expect_end(&run, 0, &["up to date at 0002"]).says("not ready after all: the connection was lost");
}
