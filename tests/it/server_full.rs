//! Tests that a server without space on its disk is distinguished from a failing migration.

use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::{PASSWORD, Postgres, Setup};
use crate::support::scripted::{Answer, Scripted};
use crate::support::sqlite;

const ADVICE: &str = "make room on the disk of the server";

fn run_on(database: &PgDatabase<'_>) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off")
}

/// A real disk is full: in a transaction everything is rolled back and a rerun succeeds; without one, completed
/// statements stay and the rerun continues.
#[test]
fn a_full_disk_of_the_server_is_not_reported_as_a_failed_migration() {
    let server = Postgres::start(Setup::default().small_disk(10 << 20));
    server.execute(&format!("create tablespace small location '{}'", server.small_disk().display()));
    let rows = "select repeat(md5(i::text), 20) as text from generate_series(1, 10000) i";
    for (header, code, state) in [
        ("", 74, "it was rolled back; revision 0001 was applied and kept"),
        ("-- no-transaction\ncreate table first ();\n", 74, "1 of its statements is already committed"),
    ] {
        let database = server.database("full");
        database.execute(&format!("create table filler tablespace small as {rows}"));
        let run = run_on(&database).migrations(&[
            ("0001_one.sql", "create table one ();"),
            ("0002_big.sql", &format!("{header}create table big tablespace small as {rows};\n")),
        ]);
        expect_end(&run, code, &["0002_big.sql:", "No space left on device", "SQLSTATE 53100", state, ADVICE]);
        assert!(!database.has_table("big"));
        database.execute("drop table filler");
        expect_end(&run, 0, &["up to date at 0002: 1 revision"]);
        assert_eq!(database.value("select count(*) from big"), "10000");
    }
}

/// The disk becomes full during a COPY: the tables are unchanged, and a rerun succeeds.
#[test]
fn a_full_disk_during_a_transfer_rolls_it_back() {
    let server = Postgres::start(Setup::default().small_disk(10 << 20));
    server.execute(&format!("create tablespace small location '{}'", server.small_disk().display()));
    let database = server.database("full");
    database.execute(
        "create table filler tablespace small as select repeat(md5(i::text), 20) from generate_series(1, 3000) i",
    );
    let run = run_on(&database).migrations(&[(
        "0001_texts.sql",
        "create table texts (id bigint primary key, text text unique) tablespace small;",
    )]);
    let rows = "create table texts (id integer primary key, text text); \
                insert into texts select value, hex(randomblob(600)) from generate_series(1, 10000);";
    sqlite::query(&run.dir().join("source.db"), rows);
    expect_end(&run, 0, &["up to date at 0001"]);
    let schema = database.dump_schema();
    let transfer = run.clone().args(["transfer", "--from", "sqlite:///source.db"]);
    expect_end(&transfer, 74, &["No space left on device", "SQLSTATE 53100", "nothing was changed", ADVICE]);
    assert_eq!(database.value("select count(*) from texts"), "0");
    assert_eq!(database.dump_schema(), schema);
    // There is room for a hundred rows next to the rolled back rows, which were not vacuumed yet.
    database.execute("drop table filler");
    sqlite::query(&run.dir().join("source.db"), "delete from texts where id > 100");
    expect_end(&transfer, 0, &["transferred 1 table, 100 rows"]);
}

/// The server may notice that also in our own statements and at COMMIT.
#[test]
fn a_full_disk_is_recognized_wherever_the_server_notices_it() {
    let function = "create function full_disk() returns trigger language plpgsql as $$ begin \
                    raise 'could not extend file' using errcode = '53100'; end $$";
    for (trigger, what) in [
        (
            "create trigger full_disk before insert on lockkeeper_history execute function full_disk()",
            "recording it failed",
        ),
        (
            "create constraint trigger full_disk after insert on late deferrable initially deferred for each row execute function full_disk()",
            "COMMIT was refused",
        ),
    ] {
        let database = Postgres::shared().database("full");
        let run = run_on(&database).migrations(&[("0001_late.sql", "create table late (id int);")]);
        expect_end(&run, 0, &["up to date at 0001"]);
        database.execute(function);
        database.execute(trigger);
        let run = run.migrations(&[("0002_two.sql", "insert into late values (1);")]);
        expect_end(&run, 74, &[what, "SQLSTATE 53100", "rolled back", ADVICE]);
        database.execute("drop function full_disk cascade");
        expect_end(&run, 0, &["up to date at 0002"]);
    }
}

/// Before anything is changed, such a server is not ready.
#[test]
fn a_full_disk_before_the_login_is_waited_for() {
    let message = "could not write init file: No space left on device";
    let server = Scripted::start(vec![Answer::Error { code: "53100", message }]);
    let run = Run::new().url(&server.url("any")).migrations(&[("0001_one.sql", "select 1;")]);
    let finished = expect_end(&run.env("LOCKKEEPER_WAIT_TIMEOUT", "1s"), 69, &[message, "SQLSTATE 53100", ADVICE]);
    finished.does_not_say(PASSWORD);
    assert!(server.connections() > 1, "{finished}");
}
