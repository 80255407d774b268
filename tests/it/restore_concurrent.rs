//! Tests of `restore` on PostgreSQL with concurrent activity: a run with another lock, a killed run, an untrusted user.

use std::fs;
use std::path::PathBuf;

use crate::backup::{last_line, script};
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::restore::{backups, name, restore, with_backups};
use crate::restore_postgres::{KeptDatabases, family, rows};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{Postgres, Setup, quoted};
use crate::support::process::postgres_program;

/// Runs with a `pg_restore` that waits for a file before it restores; returns the run and that file.
pub fn with_gated_restore(run: Run) -> (Run, PathBuf) {
    let (tool, gate) = (run.dir().join("pg_dump"), run.dir().join("gate"));
    script(&tool, &format!("exec {} \"$@\"", postgres_program("pg_dump").display()));
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
    let restore = postgres_program("pg_restore").display().to_string();
    script(
        &run.dir().join("pg_restore"),
        &format!("case \"$*\" in *--file=/dev/null*|*--version*) ;; *) {wait};; esac\nexec {restore} \"$@\""),
    );
    (run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string()), gate)
}

/// Starts a server that supports prepared transactions: an open one prevents renaming its database.
fn server() -> Postgres {
    Postgres::start(Setup::default().conf("max_prepared_transactions = 2").conf("log_statement = all"))
}

/// Creates a run on a database at 0002 with three rows, and returns the name of its backup; then two rows are deleted
/// and a prepared transaction is open.
fn with_prepared_transaction(database: &PgDatabase<'_>) -> (Run, String) {
    let run = with_backups(Run::new().url(&database.url()).migrations(&[ONE, TWO]));
    expect_end(&run, 0, &[]);
    database.execute("insert into one select generate_series(1, 3)");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    database.execute("delete from one where id > 1; begin; insert into one values (9); prepare transaction 'open'");
    (run, backup)
}

#[test]
fn two_restores_with_different_history_tables_do_not_share_a_database() {
    let server = server();
    let database = server.database("restore");
    let (run, backup) = with_prepared_transaction(&database);
    let other = with_backups(run_on(&database, &[("0001_other.up.sql", "create table other (id integer);")]))
        .env("LOCKKEEPER_HISTORY_TABLE", "other_history");
    expect_end(&other, 0, &["up to date at 0001"]);
    expect_end(&other.clone().arg("backup"), 0, &[]);
    let of_other = name(backups(&other).last().expect("a backup"));

    let first = restore(&run, &backup).arg("--yes").spawn();
    first.wait_for("prepared transactions are open");
    let (other, gate) = with_gated_restore(other);
    let second = restore(&other, &of_other).arg("--yes").spawn();
    second.wait_for("into the database");
    assert_eq!(family(&database).len(), 3, "each has a database of its own");
    database.execute("rollback prepared 'open'");
    first.finish().expect_code(0).says("the database is at 0002");
    assert_eq!(rows(&database), "1 2 3", "the second one's empty database is not in service");
    fs::write(gate, "").expect("open the gate");
    second.finish().expect_code(69).says("the database is as it was");
    assert_eq!(rows(&database), "1 2 3");
    let leftovers = family(&database);
    assert_eq!(leftovers.len(), 2, "{leftovers:?}");
    assert!(leftovers.iter().all(|name| !name.contains("_lockkeeper_")), "{leftovers:?}");
}

/// The name does not prove that it is the database that was restored and compared.
#[test]
fn a_database_that_replaces_the_restored_one_is_not_put_into_service() {
    let server = server();
    let database = server.database("restore");
    let (run, backup) = with_prepared_transaction(&database);
    let restoring = restore(&run, &backup).arg("--yes").spawn();
    restoring.wait_for("prepared transactions are open");
    let names = family(&database);
    let made = names.iter().find(|name| name.contains("_lockkeeper_restore_")).expect("the new database");
    server.execute(&format!("drop database {0} with (force)", quoted(made)));
    server.execute(&format!("create database {}", quoted(made)));
    database.execute("rollback prepared 'open'");
    let finished = restoring.finish();
    finished.expect_code(69).says("somebody has put another in its place").says("the database is as it was");
    assert_eq!(rows(&database), "1");
    assert_eq!(family(&database), names, "what is not of this run is not dropped");
}

/// The message names what prevents renaming a database, and the command that ends it. Nobody is kept from logging in
/// meanwhile: the renames, which every login has to wait for, are not tried.
#[test]
fn prepared_transactions_are_named_and_the_renames_are_not_tried() {
    let server = server();
    let database = server.database("restore");
    let (run, backup) = with_prepared_transaction(&database);
    database.execute("begin; insert into one values (10); prepare transaction 'it''s'");
    let parts = [
        "prepared transactions are open in ",
        "'open', 'it''s'",
        "COMMIT PREPARED 'open', or ROLLBACK PREPARED 'open'",
        "as it was",
    ];
    let finished = expect_end(&restore(&run, &backup).args(["--yes", "--lock-timeout", "1s"]), 75, &parts);
    finished.does_not_say("lost");
    assert!(!server.log().contains(" RENAME TO "), "{}", server.log());
    assert_eq!(family(&database), [database.name()]);
    database.execute("commit prepared 'open'; commit prepared 'it''s'");
    assert_eq!(rows(&database), "1 9 10");
    let finished = expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    assert!(last_line(&finished).contains("the one before is kept as"), "{finished}");
    assert_eq!(rows(&database), "1 2 3");
}

/// The leftovers of a killed run do not prevent a restore, sessions in them included.
#[test]
fn a_database_that_a_killed_run_left_is_replaced() {
    let database = Postgres::shared().database("restore");
    let _relatives = KeptDatabases(&database);
    let run = with_backups(run_on(&database, &[ONE, TWO]));
    expect_end(&run, 0, &[]);
    database.execute("insert into one select generate_series(1, 3)");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    let (slow, gate) = with_gated_restore(run.clone());
    let killed = restore(&slow, &backup).arg("--yes").spawn();
    killed.wait_for("into the database");
    killed.kill();
    let leftovers = family(&database).into_iter().find(|name| name.contains("_lockkeeper_restore_"));
    let leftovers = leftovers.expect("the killed one has left it");
    let _still_there = PgDatabase::new(Postgres::shared(), &leftovers).session();
    fs::write(gate, "").expect("open the gate");
    database.execute("delete from one");
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    assert_eq!(rows(&database), "1 2 3");
    assert!(!family(&database).contains(&leftovers));
}
