//! Tests of a primary that fails in the middle of a run, and a standby that is promoted: two real servers with
//! streaming replication, and a URL that names both.

use crate::contract::{check_end, expect_end};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::{PASSWORD, Postgres, Setup, Stop, USER};
use crate::support::proxy::Proxy;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// A primary, and a standby whose replication uses a network that can fail.
struct ReplicationPair {
    primary: Postgres,
    standby: Postgres,
    network: Proxy,
}

impl ReplicationPair {
    fn start() -> Self {
        let primary = Postgres::start(Setup::default().conf("wal_keep_size = 64MB"));
        let network = Proxy::start(primary.port());
        let standby = Postgres::standby_of(&primary);
        standby.execute(&format!(
            "alter system set primary_conninfo = 'host=127.0.0.1 port={} user={USER} password={PASSWORD}'",
            network.port()
        ));
        standby.execute("select pg_reload_conf()");
        let pair = Self { primary, standby, network };
        let streams = "select count(*) from pg_stat_replication where state = 'streaming' and client_addr is not null";
        wait_until("the standby streams", DEFAULT_TIMEOUT, || pair.primary.query(streams) == "1\n");
        pair
    }

    /// Returns a URL with both hosts. The second one is to be found first, so that each login has to tell them apart.
    fn url(&self, database: &str) -> String {
        format!(
            "postgresql://{USER}:{PASSWORD}@127.0.0.1:{},127.0.0.1:{}/{database}?target_session_attrs=read-write",
            self.standby.port(),
            self.primary.port()
        )
    }

    /// Waits until the standby has all data of the primary.
    fn catch_up(&self) {
        let end = self.primary.query("select pg_current_wal_flush_lsn()");
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{}'", end.trim());
        wait_until("the standby has caught up", DEFAULT_TIMEOUT, || self.standby.query(&replayed) == "t\n");
    }

    /// Stops the primary as if its machine failed, and promotes the standby.
    fn fail_over(&self) {
        self.primary.stop(Stop::Immediate);
        self.standby.promote();
    }
}

/// Runs four revisions; each inserts a row that can be inserted only once, the third one waits at a gate.
fn run_on(pair: &ReplicationPair, database: &str, third: &str) -> Run {
    Run::new()
        .url(&pair.url(database))
        .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "0")
        .env("LOCKKEEPER_BACKUP", "off")
        .migrations(&[
            ("0001_log.sql", "create table log (id int primary key); insert into log values (1);"),
            ("0002_more.sql", "insert into log values (2);"),
            ("0003_gated.sql", third),
            ("0004_last.sql", "insert into log values (4);"),
        ])
}

const GATED: &str = "insert into log values (3);\nlock table gate;";
const GATED_NON_TRANSACTIONAL: &str =
    "-- no-transaction\ninsert into log values (3) on conflict do nothing;\nselect count(*) from gate;";

/// Waits until the run waits at the gate in the primary's database.
fn wait_at_gate(database: &PgDatabase<'_>) {
    let waits = "select count(*) from pg_locks where relation = 'gate'::regclass and not granted";
    wait_until("the run stands at the gate", DEFAULT_TIMEOUT, || database.value(waits) == "1");
}

/// Both the repeated run, and the one that waited for the lock of the run that failed, continue from what the new
/// primary has.
#[test]
fn a_failover_in_the_middle_of_a_step_is_survived_by_a_waiter_and_by_a_rerun() {
    let pair = ReplicationPair::start();
    let names = ["followed", "alone", "behind"];
    let databases = names.map(|name| pair.primary.database(name));
    let mut keepers = Vec::new();
    for database in &databases {
        database.execute("create table gate (id int)");
        let mut lock_session = database.session();
        lock_session.run("begin; lock table gate");
        keepers.push(lock_session);
    }
    let [followed, alone, behind] = &databases;
    let run = run_on(&pair, followed.name(), GATED);
    let holder = run.spawn();
    wait_at_gate(followed);
    let waiter = run.spawn();
    waiter.wait_for("waiting for the lock");
    let run_alone = run_on(&pair, alone.name(), GATED_NON_TRANSACTIONAL);
    let holder_alone = run_alone.spawn();
    wait_at_gate(alone);
    // The first revision is on the standby, the second one is committed on the primary alone.
    let run_behind = run_on(&pair, behind.name(), GATED);
    expect_end(&run_behind.clone().args(["upgrade", "0001"]), 0, &["up to date at 0001"]);
    pair.catch_up();
    pair.network.freeze();
    let holder_behind = run_behind.spawn();
    wait_at_gate(behind);
    assert_eq!(behind.history(), "0001|applied\n0002|applied\n");

    pair.fail_over();
    check_end(holder.finish(), 83, &["0003_gated.sql", "run again: the history will tell"]);
    let last = holder_alone.finish();
    assert!(matches!(last.code, Some(81 | 83)), "{last}");
    check_end(holder_behind.finish(), 83, &["0003_gated.sql", "run again: the history will tell"]);
    check_end(waiter.finish(), 0, &["0004"]);

    let [followed, alone, behind] = databases.each_ref().map(|old| PgDatabase::new(&pair.standby, old.name()));
    assert_eq!(behind.history(), "0001|applied\n", "the second one is lost with the old primary");
    for (run, database, last_words) in [
        (run, followed, "nothing pending"),
        (run_alone, alone, "up to date at 0004"),
        (run_behind, behind, "3 revisions applied"),
    ] {
        expect_end(&run, 0, &[last_words]);
        assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from log"), "1 2 3 4");
        let rows: String = (1..=4).map(|number| format!("{number:04}|applied\n")).collect();
        assert_eq!(database.history(), rows);
    }
}
