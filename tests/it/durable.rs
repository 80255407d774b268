//! Settings of a role or a database that could make exit code 0 untrue. `synchronous_commit = off` is the main one: the
//! server says that a transaction is committed before it is on the disk.

use crate::backup::names;
use crate::contract::{ONE, TWO, ends, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{Postgres, Setup, Stop, USER};

/// A server that writes no commit to its disk by itself for ten seconds, and a role for which no commit waits.
fn forgetful() -> Postgres {
    let server = Postgres::start(
        Setup::default()
            .conf("wal_writer_delay = 10s")
            .conf("wal_writer_flush_after = 1GB")
            .conf("autovacuum = off"),
    );
    server.execute(&format!("alter role {USER} set synchronous_commit = off"));
    server
}

/// A database that has survived a crash of its server.
fn crashed<'a>(database: &'a PgDatabase<'_>) -> &'a PgDatabase<'a> {
    database.server().restart(Stop::Immediate);
    database
}

/// Makes everything so far survive.
fn checkpoint(database: &PgDatabase<'_>) {
    database.execute("checkpoint");
}

fn applied(database: &PgDatabase<'_>) -> String {
    database.value(
        "select coalesce(string_agg(revision || ' ' || state || ' ' || statements_done, ', ' order by revision), 'none') \
         from lockkeeper_history",
    )
}

#[test]
fn what_a_run_has_reported_survives_a_crash_of_the_server() {
    let server = forgetful();
    for (name, script, history) in [
        ("transaction", "create table t (a int);\n", "0001 applied 1"),
        ("own_setting", "set synchronous_commit = off;\ncreate table t (a int);\n", "0001 applied 2"),
        (
            "journal",
            "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\n",
            "0001 applied 2",
        ),
        (
            "alone",
            "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\ncreate index concurrently i on t (a);\n",
            "0001 applied 3",
        ),
    ] {
        let database = server.database(name);
        checkpoint(&database);
        ends(&run_on(&database, &[("0001_a.sql", script)]), 0, &["settled at 0001"]);
        assert_eq!(applied(crashed(&database)), history, "{name}");
        assert_eq!(database.value("select count(*) from t"), "0", "{name}");
    }
}

#[test]
fn what_other_verbs_have_reported_survives_a_crash_of_the_server() {
    let server = forgetful();
    let database = server.database("verbs");
    let run = run_on(&database, &[ONE, TWO]);
    ends(&run, 0, &["settled at 0002"]);
    checkpoint(&database);
    ends(&run.clone().args(["stamp", "base"]), 0, &["stamped"]);
    assert_eq!(applied(crashed(&database)), "none", "stamp");
    ends(&run.clone().args(["stamp", "head"]), 0, &["stamped"]);
    let run = run.migrations(&[("0001_one.up.sql", "-- edited\ncreate table one (id int);\n")]);
    checkpoint(&database);
    let before = database.value("select checksum from lockkeeper_history where revision = '0001'");
    ends(&run.clone().args(["repair", "--yes"]), 0, &["repaired"]);
    crashed(&database);
    let after = database.value("select checksum from lockkeeper_history where revision = '0001'");
    assert_ne!(before, after, "repair");
}

#[test]
fn a_printed_script_survives_a_crash_of_the_server() {
    let server = forgetful();
    for (name, script) in [
        ("printed", "set synchronous_commit = off;\ncreate table t (a int);\n"),
        ("printed_journal", "-- no-transaction\nset synchronous_commit = off;\ncreate table t (a int);\n"),
    ] {
        let database = server.database(name);
        checkpoint(&database);
        let run = run_on(&database, &[("0001_a.sql", script)]).args(["upgrade", "--sql", "head"]);
        let printed = run.output().expect_code(0).stdout.clone();
        server.psql(database.name(), &printed).expect("a script that runs");
        assert_eq!(applied(crashed(&database)), "0001 applied 2", "{name}");
    }
}

#[test]
fn what_a_restore_has_reported_survives_a_crash_of_the_server() {
    let server = forgetful();
    for how in [&["--yes"][..], &["--yes", "--in-place"]] {
        let database = server.database("restored");
        let run: Run = run_on(&database, &[ONE]).env("LOCKKEEPER_BACKUP_DIR", "saved");
        ends(&run, 0, &["settled at 0001"]);
        database.execute("insert into one values (7)");
        ends(&run.clone().arg("backup"), 0, &[]);
        let backup = names(&run.dir().join("saved")).into_iter().find(|name| name.ends_with(".dump"));
        let backup = format!("saved/{}", backup.expect("a backup"));
        database.execute("delete from one");
        checkpoint(&database);
        let restore = run.args(["restore", &backup]).args(how.iter().copied());
        ends(&restore, 0, &["restored"]);
        assert_eq!(crashed(&database).query("select id from one"), "7\n", "{how:?}");
    }
}

/// What a standby has to have applied before a commit returns stays so: that is more than a disk that has it.
#[test]
fn a_commit_that_waits_for_more_goes_on_waiting_for_it() {
    let database = Postgres::shared().database("remote_apply");
    database.execute(&format!(
        "alter database {} set synchronous_commit = remote_apply; create table seen (a text)",
        database.name()
    ));
    let script = "insert into seen values (current_setting('synchronous_commit'));\n";
    ends(&run_on(&database, &[("0001_a.sql", script), ("0002_b.sql", script)]), 0, &["settled at 0002"]);
    assert_eq!(database.query("select a from seen"), "remote_apply\nremote_apply\n");
}

#[test]
fn settings_that_make_a_success_untrue_are_refused() {
    for (setting, value, safe, why) in [
        ("session_replication_role", "replica", "origin", "without checking foreign keys"),
        ("zero_damaged_pages", "on", "off", "would lack the rows of damaged pages"),
        ("ignore_checksum_failure", "on", "off", "could hold rows of damaged pages"),
    ] {
        let database = Postgres::shared().database("unsafe");
        let name = database.name();
        database.execute(&format!("alter database {name} set {setting} = {value}"));
        let run = run_on(&database, &[ONE]);
        let command = format!("ALTER ROLE \"{USER}\" IN DATABASE \"{name}\" SET {setting} = {safe}");
        ends(&run, 78, &[&format!("{setting} is {value}"), why, &command]);
        assert_eq!(database.value("select to_regclass('lockkeeper_history') is null"), "t");
        // The command that is printed helps.
        database.execute(&command);
        ends(&run, 0, &["settled at 0001"]);
    }
}
