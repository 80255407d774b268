//! Tests of `restore --in-place` on PostgreSQL: one transaction during which nobody else writes, or nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::backup::{last_line, manifest_path};
use crate::contract::expect_end;
use crate::restore::{NAMES, assert_log, backups, name, restore};
use crate::restore_postgres::{back_up, backed_up, dump, rows};
use crate::support::binary::{Run, Running};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::process::{clean_command, must_run, postgres_program};
use crate::support::proxy::{Peer, Proxy};
use crate::support::session::Session;
use crate::support::{DEFAULT_TIMEOUT, wait_until};
use crate::verbs_stamp::MASKS;

fn in_place(run: &Run, backup: &str) -> Run {
    restore(run, backup).args(["--yes", "--in-place"])
}

/// Returns the rows of `one` in an archive.
fn archived(archive: &Path) -> BTreeSet<i64> {
    let mut command = clean_command(postgres_program("pg_restore"));
    command.args(["--data-only", "--table=one", "--file=-"]).arg(archive);
    must_run(command).lines().filter_map(|line| line.parse().ok()).collect()
}

/// Starts an application with a session for each row, which counts the rows whose COMMIT was acknowledged.
fn write_until(stop: &AtomicBool, acknowledged: &AtomicUsize, database: &str) -> BTreeSet<i64> {
    let mut rows = BTreeSet::new();
    for id in 1000.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        if Postgres::shared().psql(database, &format!("insert into one values ({id})")).is_ok() {
            rows.insert(id);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }
    rows
}

#[test]
fn every_row_that_an_application_commits_meanwhile_is_in_the_backup_or_in_the_database() {
    let (database, run, backup) = backed_up();
    let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let application = {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let name = database.name().to_owned();
        std::thread::spawn(move || write_until(&stop, &acknowledged, &name))
    };
    for _ in 0..3 {
        let before = acknowledged.load(Ordering::SeqCst);
        wait_until("it writes", DEFAULT_TIMEOUT, || acknowledged.load(Ordering::SeqCst) > before + 1);
        expect_end(&in_place(&run, &backup), 0, &["restored", "the one before is kept as safe/"]);
    }
    stop.store(true, Ordering::SeqCst);
    let written = application.join().expect("its rows");
    let mut found: BTreeSet<i64> = backups(&run).iter().flat_map(|archive| archived(archive)).collect();
    found.extend(database.rows("select id from one").iter().map(|row| row[0].parse::<i64>().expect("an id")));
    let lost: Vec<_> = written.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} rows are lost: {lost:?}", lost.len(), written.len());
}

/// Creates an object of each kind that the archive does not have.
const NEWER: &str = "create table newer_table (id int); create view newer_view as select 1 as a; create sequence newer_sequence;
    create materialized view newer_summary as select 1 as a; create type newer_type as enum ('a');
    create domain newer_domain as int; create type newer_row as (a int); create type newer_range as range (subtype = int);
    create function newer_function() returns int language sql as 'select 1'; create schema newer_schema;
    create aggregate newer_aggregate(int) (sfunc = int4pl, stype = int); create collation newer_collation from \"C\";
    create operator === (leftarg = int, rightarg = int, function = int4eq);
    create cast (newer_row as text) with inout; create text search dictionary newer_dictionary (template = simple);
    create text search configuration newer_configuration (copy = simple); create publication newer_publication;
    create foreign data wrapper newer_wrapper; create server newer_server foreign data wrapper newer_wrapper;
    create foreign table newer_foreign (a int) server newer_server; create operator family newer_family using btree;
    create extension pg_trgm; select lo_create(424242); create access method newer_method type index handler bthandler;
    create conversion newer_conversion for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
    alter default privileges in schema public grant select on tables to public;
    create subscription newer_subscription connection 'host=127.0.0.1 port=1' publication x with (connect = false);
    create function newer_trigger() returns event_trigger language plpgsql as 'begin end'; create event trigger newer_event on ddl_command_end execute function newer_trigger();";

#[test]
fn objects_newer_than_the_backup_are_named_and_everything_is_rolled_back() {
    let (database, run, backup) = backed_up();
    database.execute(NEWER);
    // Tables are named before anything is restored.
    let parts = ["would leave them: table public.newer_table;", "the database is as it was"];
    expect_end(&in_place(&run, &backup), 64, &parts);
    database.execute("drop table newer_table");
    let was = dump(&database);
    let finished = expect_end(&in_place(&run, &backup), 64, &["would leave them: ", "the database is as it was"]);
    let last = last_line(&finished).replace(" belonging to role postgres", "");
    for object in [
        "view public.newer_view",
        "sequence public.newer_sequence",
        "materialized view public.newer_summary",
        "type public.newer_type",
        "type public.newer_domain",
        "type public.newer_row",
        "type public.newer_range",
        "function public.newer_function()",
        "schema newer_schema",
        "function public.newer_aggregate(integer)",
        "collation public.newer_collation",
        "operator public.===(integer,integer)",
        "cast from public.newer_row to text",
        "text search dictionary public.newer_dictionary",
        "text search configuration public.newer_configuration",
        "publication newer_publication",
        "foreign-data wrapper newer_wrapper",
        "server newer_server",
        "foreign table public.newer_foreign",
        "operator family public.newer_family",
        "extension pg_trgm",
        "large object 424242",
        "access method newer_method",
        "conversion public.newer_conversion",
        "default privileges on new relations",
        "subscription newer_subscription",
        "event trigger newer_event",
    ] {
        assert!(last.contains(object), "no {object:?} in {last}");
    }
    assert!(!last.contains(" pg_catalog.") && !last.contains("public.one") && !last.contains("gtrgm"), "{last}");
    assert_eq!(dump(&database), was);
    database
        .execute("alter subscription newer_subscription set (slot_name = none); drop subscription newer_subscription");
}

#[test]
fn objects_that_depend_on_an_object_of_the_backup_are_named_by_the_server() {
    let (database, run, backup) = backed_up();
    database.execute("create table later (id int)");
    let finished = expect_end(&in_place(&run, &backup), 64, &["would leave them: table public.later"]);
    assert_log!("with_newer_tables", finished);
    assert_eq!(rows(&database), "1");
    // A view that depends on a table prevents dropping it.
    database.execute("drop table later; create view newer as select * from one");
    let parts = [
        "cannot drop table public.one because other objects depend on it",
        "statement of the backup: DROP TABLE IF EXISTS public.one;",
        "view public.newer depends on table public.one",
        "the database is as it was",
    ];
    expect_end(&in_place(&run, &backup), 84, &parts);
    assert_eq!(rows(&database), "1");
    database.execute("drop view newer");
    expect_end(&in_place(&run, &backup), 0, &["the database is at 0002"]);
    assert_eq!(rows(&database), "1 2 3");
    expect_end(&run, 0, &["nothing pending"]);
}

/// Texts that look like the end of something, large objects, every kind of table.
#[test]
fn the_restored_content_is_identical() {
    let (database, run, _) = backed_up();
    let special_characters = r#"a\b\\n;'"$$ \. ü"#;
    database.execute(&format!(
        r#"create schema app; create table app.odd (id int generated always as identity primary key, note text, raw bytea);
         insert into app.odd (note, raw) values ($odd${special_characters}$odd$, '\x00ff5c2e0a'), (E'two\nlines\n\\.\nthree\tcells', null), (null, ''), ('\.', null);
         insert into app.odd (note) select repeat('x', 3000) from generate_series(1, 200);
         create function app.copies() returns text language plpgsql as $f$begin
/*
COPY app.odd (id) FROM stdin;
1
\.
*/ return 'a;b';
end$f$;
         create table app.log (at date not null) partition by range (at); create table app.log_1 partition of app.log default;
         insert into app.log values ('2026-01-01'); create view app.v as select * from app.odd; create type app.mood as enum ('good');
         comment on table app.odd is $odd${special_characters}$odd$; select lo_from_bytea(0, 'large; object'); create extension hstore schema app;
         create table app.empty (); create index on app.odd (note);
         create table app.child (one int references one, check (one > 0)); insert into app.child values (1);
         create rule quiet as on delete to app.child do instead nothing; create publication every for all tables"#
    ));
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = backups(&run).pop().expect("a backup");
    let was = dump(&database);
    database.execute(
        "delete from app.odd; drop view app.v; drop function app.copies(); select lo_unlink(oid) from pg_largeobject_metadata;
         alter table app.log add x int; drop type app.mood; drop table app.child; create table app.child ()",
    );
    expect_end(&in_place(&run, &name(&backup)), 0, &["restored"]);
    assert_eq!(dump(&database), was);
    assert_eq!(
        database.value("select convert_from(lo_get(oid), 'UTF8') from pg_largeobject_metadata"),
        "large; object"
    );
    expect_end(&run, 0, &["nothing pending"]);
}

#[test]
fn a_content_that_differs_from_the_manifest_is_rolled_back() {
    let (database, run, backup) = backed_up();
    let path = manifest_path(&run.dir().join("safe").join(&backup));
    let text = fs::read_to_string(&path).expect("a manifest");
    fs::write(&path, text.replace(r#""public.one": 3"#, r#""public.one": 4"#)).expect("write");
    let parts = ["table public.one has 3 rows instead of 4", "the database is as it was"];
    expect_end(&in_place(&run, &backup), 87, &parts);
    assert_eq!(rows(&database), "1");
}

const WAITS: &str =
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";

/// Starts a restore in place that waits for a session that reads.
fn behind_a_reader(database: &PgDatabase<'static>, run: &Run, backup: &str) -> (Session, Running) {
    let mut reader = database.session();
    reader.run("begin; select * from one");
    let running = in_place(run, backup).spawn();
    running.wait_for("as it is");
    wait_until("it waits for the reader", DEFAULT_TIMEOUT, || database.value(WAITS) == "1");
    (reader, running)
}

#[test]
fn a_signal_ends_a_restore_in_place_and_changes_nothing() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (database, run, backup) = backed_up();
        let (reader, running) = behind_a_reader(&database, &run, &backup);
        running.signal(signal);
        running.finish().expect_code(code).says("the database is as it was");
        drop(reader);
        assert_eq!(rows(&database), "1");
        wait_until("its session ends", DEFAULT_TIMEOUT, || database.value(WAITS) == "0");
        assert_eq!(rows(&database), "1");
    }
}

/// Readers continue until the tables are replaced; a writer is waited for, and named as the reason.
#[test]
fn tables_that_are_being_written_are_waited_for_until_the_lock_timeout() {
    let (database, run, backup) = backed_up();
    let mut writer = database.session();
    writer.run("begin; insert into one values (70)");
    let impatient = in_place(&run, &backup).args(["--lock-timeout", "1s"]);
    expect_end(&impatient, 82, &["lock timeout", "the database is as it was", "stop the application"]);
    let waiting = in_place(&run, &backup).spawn();
    waiting.wait_for("waiting for the tables");
    waiting.signal(Signal::TERM);
    waiting.finish().expect_code(143).says("the database is as it was");
    let waiting = in_place(&run, &backup).spawn();
    waiting.wait_for("waiting for the tables");
    writer.run("commit");
    waiting.finish().expect_code(0);
    assert_eq!(rows(&database), "1 2 3");
    let saved = backups(&run).into_iter().any(|archive| archived(&archive).contains(&70));
    assert!(saved, "what was committed while it waited is in the backup");
}

/// An application can write to a large object without locking a table.
#[test]
fn nobody_else_is_connected_while_large_objects_are_replaced() {
    let (database, run, _) = backed_up();
    database.execute("select lo_from_bytea(4243, 'old')");
    let backup = back_up(&run);
    let mut application = database.session();
    application.run("select lo_put(4243, 0, 'new')");
    let impatient = in_place(&run, &backup).args(["--lock-timeout", "1s"]);
    let words = ["other sessions of this database: 1", "large objects", "the database is as it was"];
    expect_end(&impatient, 82, &words);
    let waiting = in_place(&run, &backup).spawn();
    waiting.wait_for("waiting for the tables");
    application.run("select lo_put(4243, 0, 'NEW')");
    drop(application);
    waiting.finish().expect_code(0);
    assert_eq!(database.value("select convert_from(lo_get(4243), 'UTF8')"), "old");
    let is_saved = |archive: &std::path::PathBuf| {
        let mut command = clean_command(postgres_program("pg_restore"));
        command.args(["--data-only", "--file=-"]).arg(archive);
        must_run(command).contains("4e4557")
    };
    assert!(backups(&run).iter().any(is_saved), "what was written before is in the backup");
}

#[test]
fn a_session_that_is_lost_before_the_commit_has_changed_nothing() {
    let (database, run, backup) = backed_up();
    let (reader, running) = behind_a_reader(&database, &run, &backup);
    database.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'lockkeeper'");
    drop(reader);
    running.finish().expect_code(69).says("the database is as it was");
    assert_eq!(rows(&database), "1");
    expect_end(&in_place(&run, &backup), 0, &["restored"]);
}

#[test]
fn a_connection_cut_at_the_commit_is_an_unknown_outcome() {
    for (speaker, pattern, found) in [(Peer::Server, &b"COMMIT\0"[..], "1 2 3"), (Peer::Client, b"COMMIT;\n", "1")] {
        let (database, run, backup) = backed_up();
        let proxy = Proxy::start(Postgres::shared().port());
        let cut = run.clone().url(&proxy.url(database.name()));
        proxy.cut_at(speaker, pattern);
        let parts = ["either the whole backup was restored in place or nothing of it; try: run again"];
        expect_end(&in_place(&cut, &backup), 83, &parts);
        assert_eq!(rows(&database), found, "cut when the {speaker:?} speaks");
        expect_end(&in_place(&run, &backup), 0, &["restored"]);
        assert_eq!(rows(&database), "1 2 3");
    }
}
