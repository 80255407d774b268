//! Tests of `restore` on PostgreSQL: the new database equals the old one, and no session is left in the old one.

use std::fs;

use rustix::process::Signal;

use crate::backup::{last_line, manifest, names, script};
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::restore::{NAMES, assert_log, backups, name, restore, with_backups};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::pgbouncer::Pgbouncer;
use crate::support::postgres::{PASSWORD, Postgres, quoted};
use crate::support::process::{clean_command, must_run, postgres_program};
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};
use crate::verbs_stamp::{MASKS, lock_holder};

/// Returns everything that a dump contains, as text.
pub fn dump(database: &PgDatabase<'_>) -> String {
    let mut command = clean_command(postgres_program("pg_dump"));
    database.server().set_connection(&mut command, database.name());
    let text = must_run(command);
    text.lines().filter(|line| !line.starts_with('\\')).flat_map(|line| [line, "\n"]).collect()
}

/// Returns the properties of a database outside of its content.
fn properties(database: &PgDatabase<'_>) -> String {
    database.query(
        "select pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datallowconn, datistemplate,
                shobj_description(d.oid, 'pg_database'),
                (select string_agg(g::text, ' ' order by g::text) from unnest(datacl) g),
                (select string_agg(coalesce(r.rolname, '') || ': ' || s.setconfig::text, '; ' order by r.rolname nulls first)
                 from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole where s.setdatabase = d.oid)
         from pg_database d where datname = current_database()",
    )
}

/// Returns the databases whose names begin with this one's.
pub fn family(database: &PgDatabase<'_>) -> Vec<String> {
    let sql =
        format!("select datname from pg_database where starts_with(datname, '{}') order by datname", database.name());
    database.server().query(&sql).lines().map(str::to_owned).collect()
}

/// Drops the databases that restores have kept.
pub struct KeptDatabases<'a>(pub &'a PgDatabase<'a>);

impl Drop for KeptDatabases<'_> {
    fn drop(&mut self) {
        for name in family(self.0).iter().filter(|name| *name != self.0.name()) {
            let _ = self.0.server().psql("postgres", &format!("drop database {} with (force)", quoted(name)));
        }
    }
}

/// Creates a database at 0002 with rows, its run, and the name of its backup.
pub fn backed_up() -> (PgDatabase<'static>, Run, String) {
    let database = Postgres::shared().database("restore");
    let run = with_backups(run_on(&database, &[ONE, TWO]));
    expect_end(&run, 0, &[]);
    database.execute("insert into one select generate_series(1, 3)");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    database.execute("delete from one where id > 1");
    (database, run, backup)
}

/// Takes one more backup and returns its name.
pub fn back_up(run: &Run) -> String {
    let before = backups(run);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    name(backups(run).iter().find(|file| !before.contains(file)).expect("a new backup"))
}

pub fn rows(database: &PgDatabase<'_>) -> String {
    database.value("select string_agg(id::text, ' ' order by id) from one")
}

/// Tables of every kind, sequences, large objects, roles and settings are restored.
#[test]
fn the_new_database_equals_the_old_one_including_privileges() {
    let server = Postgres::shared();
    let database = server.database("restore");
    let relatives = KeptDatabases(&database);
    let (owner, guest) = (unique("owner"), unique("guest"));
    server.execute(&format!("create role {owner}; create role {guest}"));
    let db = quoted(database.name());
    database.execute(&format!(
        "create schema app; create table app.log (id bigint generated always as identity, at timestamptz not null, note text) partition by range (at);
         create table app.log_2026 partition of app.log for values from ('2026-01-01') to ('2027-01-01');
         insert into app.log (at, note) select '2026-03-01', 'x' from generate_series(1, 50);
         create table parent (a int primary key); create table child (b int) inherits (parent);
         insert into parent values (1); insert into child values (2, 3), (4, 5);
         create materialized view summed as select count(*) from app.log; create view shown as select * from parent;
         create type mood as enum ('good', 'bad'); create function f() returns int language sql as 'select 1';
         create unlogged table scratch (x int); insert into scratch values (1);
         create table \"odd \"\"name\" (x int); insert into \"odd \"\"name\" values (1);
         alter table parent owner to {owner}; grant select on parent to {guest}; comment on table parent is 'it''s';
         select lo_from_bytea(0, 'large'); create sequence counter; select setval('counter', 41);
         alter database {db} set search_path to app, \"$user\", public; alter database {db} set work_mem to '5MB';
         alter database {db} set default_transaction_read_only to off; alter role {guest} in database {db} set datestyle to 'ISO, DMY';
         comment on database {db} is 'the one'; revoke connect on database {db} from public;
         grant connect, temporary on database {db} to {guest} with grant option; alter database {db} connection limit 50;
         alter database {db} owner to {owner}"
    ));
    let run = with_backups(run_on(&database, &[("0001_one.sql", "create table app.one (id int);")]));
    expect_end(&run, 0, &["up to date at 0001"]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = backups(&run).into_iter().find(|backup| name(backup).contains("-from-0001")).expect("a backup");
    assert_eq!(
        crate::backup::manifest(&backup)["rows"].to_string(),
        r#"{"app.lockkeeper_history":1,"app.log_2026":50,"app.one":0,"public.\"odd \"\"name\"":1,"public.child":2,"public.parent":1,"public.scratch":1}"#
    );
    let (content, facts) = (dump(&database), properties(&database));
    assert!(facts.contains("the one") && facts.contains("work_mem=5MB"), "{facts}");
    database.execute("drop schema app cascade; drop table child; select lo_unlink(oid) from pg_largeobject_metadata; select nextval('counter')");
    expect_end(&restore(&run, &name(&backup)).arg("--yes"), 0, &["the database is at 0001"]);
    assert_eq!(properties(&database), facts);
    assert_eq!(dump(&database), content);
    assert_eq!(database.value("select reltuples from pg_class where relname = 'log_2026'"), "50", "it is analyzed");
    drop(relatives);
    server.execute(&format!("alter database {db} owner to postgres"));
    database.execute(&format!("drop owned by {owner}, {guest} cascade"));
    server.execute(&format!("alter role {guest} in database {db} reset all; drop role {owner}, {guest}"));
}

/// No session keeps writing to the replaced database, and the next login reaches the new one.
#[test]
fn sessions_of_the_application_are_terminated_and_reconnect_to_the_new_database() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let mut idle = database.session();
    let mut busy = database.session();
    idle.run("begin; insert into one values (70)");
    busy.send("select pg_sleep(600)");
    let finished = expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    assert_log!("with_sessions", finished);
    let remaining =
        format!("select count(*) from pg_stat_activity where pid in ({}, {})", idle.backend(), busy.backend());
    assert_eq!(database.value(&remaining), "0");
    assert_eq!(rows(&database), "1 2 3");
    let kept = family(&database).into_iter().find(|name| name.contains("_before_restore_")).expect("it is kept");
    let old = PgDatabase::new(Postgres::shared(), &kept);
    assert_eq!(rows(&old), "1", "the old one is as it was");
    assert!(last_line(&finished).contains(&format!("DROP DATABASE \"{kept}\"")), "{finished}");
}

/// A run that waits for the lock cannot get it in between: it continues with the new database.
#[test]
fn a_run_that_waits_for_the_lock_continues_with_the_new_database() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    // Restoring the archive takes a while.
    let tool = run.dir().join("pg_dump");
    let real_tool = postgres_program("pg_dump").display().to_string();
    script(&tool, &format!("exec {real_tool} \"$@\""));
    let gate = run.dir().join("gate");
    let restore_tool = postgres_program("pg_restore").display().to_string();
    script(
        &run.dir().join("pg_restore"),
        &format!(
            "case \"$*\" in *--file=/dev/null*|*--version*) ;; *) while [ ! -e '{}' ]; do sleep 0.02; done;; esac\nexec {restore_tool} \"$@\"",
            gate.display()
        ),
    );
    let slow = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    let restoring = restore(&slow, &backup).arg("--yes").spawn();
    restoring.wait_for("into the database");
    let three = ("0003_three.up.sql", "create table three (id integer);\n");
    let run = run.migrations(&[three]);
    let upgrades: Vec<_> = (0..3).map(|_| run.spawn()).collect();
    for upgrade in &upgrades {
        upgrade.wait_for("waiting for the lock");
    }
    fs::write(&gate, "").expect("open the gate");
    restoring.finish().expect_code(0);
    for upgrade in upgrades {
        upgrade.finish().expect_code(0).says("0003");
    }
    assert_eq!(rows(&database), "1 2 3");
    assert_eq!(database.value("select max(revision) from lockkeeper_history"), "0003");
    let kept = family(&database).into_iter().find(|name| name.contains("_before_restore_")).expect("it is kept");
    let old = PgDatabase::new(Postgres::shared(), &kept);
    assert_eq!(old.value("select max(revision) from lockkeeper_history"), "0002", "nobody wrote to the old one");
}

/// When the lock is taken away, the restore stops: the old database stays in service.
#[test]
fn losing_the_lock_during_a_restore_changes_nothing() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let tool = run.dir().join("pg_dump");
    script(&tool, &format!("exec {} \"$@\"", postgres_program("pg_dump").display()));
    let end = format!(
        "case \"$*\" in *--file=/dev/null*|*--version*) ;; *) PGPASSWORD='{PASSWORD}' PGDATABASE='{}' {} -Xqc \"select pg_terminate_backend(pid) \
         from pg_stat_activity where application_name = 'lockkeeper' and datname = current_database()\" >/dev/null;; esac\nexec {} \"$@\"",
        database.name(),
        postgres_program("psql").display(),
        postgres_program("pg_restore").display()
    );
    script(&run.dir().join("pg_restore"), &end);
    let run = run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    expect_end(&restore(&run, &backup).arg("--yes"), 69, &["the database is as it was"]);
    assert_eq!(rows(&database), "1");
    assert!(!family(&database).iter().any(|name| name.contains("_before_restore_")));
}

/// A role that may not create databases can still restore into the existing one.
#[test]
fn a_role_without_createdb_is_advised_to_restore_in_place() {
    let server = Postgres::shared();
    let role = unique("plain");
    server.execute(&format!("create role {role} login password '{PASSWORD}'"));
    let database = server.database("restore");
    let _relatives = KeptDatabases(&database);
    database.execute(&format!("alter database {} owner to {role}", quoted(database.name())));
    let run = with_backups(run_on(&database, &[ONE, TWO])).url(&database.url_as(&role, PASSWORD));
    expect_end(&run, 0, &[]);
    database.execute("insert into one values (1), (2)");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    database.execute("delete from one");
    let refused =
        expect_end(&restore(&run, &backup).arg("--yes"), 77, &["CREATEDB", "or give --in-place", "as it was"]);
    assert_eq!(rows(&database), "");
    refused.does_not_say(PASSWORD);
    let finished = expect_end(&restore(&run, &backup).args(["--yes", "--in-place"]), 0, &["the database is at 0002"]);
    assert!(last_line(&finished).contains("the one before is kept as safe/"), "{finished}");
    assert_eq!(rows(&database), "1 2");
    assert_eq!(family(&database), [database.name()]);
    database.execute(&format!(
        "alter database {} owner to postgres; reassign owned by {role} to postgres; drop owned by {role}",
        quoted(database.name())
    ));
    server.execute(&format!("drop role {role}"));
}

/// The worker of a subscription continues in the database that is kept.
#[test]
fn subscriptions_that_continue_in_the_kept_database_are_reported() {
    let (database, run, _) = backed_up();
    let _relatives = KeptDatabases(&database);
    database.execute(
        "create subscription followed connection 'host=127.0.0.1 port=1 password=canary7secret' publication p \
         with (connect = false, slot_name = none); alter subscription followed set (slot_name = unreachable); \
         alter subscription followed enable",
    );
    let backup = back_up(&run);
    let finished = expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    finished
        .says("the subscription followed still writes into")
        .says("disabled in the restored one")
        .does_not_say("canary7secret");
    for relative in family(&database) {
        Postgres::shared()
            .psql(&relative, "alter subscription followed disable; alter subscription followed set (slot_name = none); drop subscription followed")
            .expect("no subscription");
    }
}

/// pg_restore cannot restore the archive completely: nothing of it remains.
#[test]
fn an_archive_that_cannot_be_restored_changes_nothing() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let role = unique("gone");
    database.execute(&format!("create role {role}; create table owned (id int); alter table owned owner to {role}"));
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let with_role = backups(&run).into_iter().map(|path| name(&path)).find(|file| *file != backup).expect("two");
    database.execute(&format!("drop table owned; drop role {role}"));
    let finished = expect_end(&restore(&run, &with_role).arg("--yes"), 84, &[&role, "the database is as it was"]);
    finished.does_not_say(PASSWORD);
    assert_eq!(rows(&database), "1");
    assert_eq!(family(&database), [database.name()]);
}

/// A server that goes away during the restore does not make the backup invalid.
#[test]
fn a_server_that_is_lost_during_pg_restore_is_a_transient_failure() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let tool = run.dir().join("pg_dump");
    script(&tool, &format!("exec {} \"$@\"", postgres_program("pg_dump").display()));
    let lost = "pg_restore: error: could not execute query: server closed the connection unexpectedly\n1\n2\n3\n4\n5";
    script(
        &run.dir().join("pg_restore"),
        &format!(
            "case \"$*\" in *--file=/dev/null*|*--version*) exec {} \"$@\";; esac\nprintf '{lost}\n' >&2\nexit 1",
            postgres_program("pg_restore").display()
        ),
    );
    let run = run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    let parts = ["server closed the connection", "the database is as it was; try: run again"];
    expect_end(&restore(&run, &backup).arg("--yes"), 69, &parts);
    assert_eq!(rows(&database), "1");
    assert_eq!(family(&database), [database.name()]);
}

/// A signal at each of its steps leaves nothing of the restore behind.
#[test]
fn a_signal_ends_a_restore_and_removes_the_new_database() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let tool = run.dir().join("pg_dump");
    script(&tool, &format!("exec {} \"$@\"", postgres_program("pg_dump").display()));
    let real_tool = postgres_program("pg_restore").display().to_string();
    script(
        &run.dir().join("pg_restore"),
        &format!(
            "case \"$*\" in *--file=/dev/null*|*--version*) exec {real_tool} \"$@\";; *) echo here >&2; exec sleep 600;; esac"
        ),
    );
    let slow = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let running = restore(&slow, &backup).arg("--yes").spawn();
        running.wait_for("here");
        assert_eq!(family(&database).len(), 2);
        running.signal(signal);
        let finished = running.finish();
        finished.expect_code(code).says("the database is as it was");
        assert_eq!(family(&database), [database.name()]);
        assert_eq!(rows(&database), "1");
    }
    assert!(names(&run.dir().join("safe")).iter().all(|name| !name.contains("partial")));
}

/// PostgreSQL does not support `--on-failure restore`.
#[test]
fn on_failure_restore_is_refused() {
    let (database, run, _) = backed_up();
    let refused =
        expect_end(&run.clone().env("LOCKKEEPER_ON_FAILURE", "restore"), 78, &["LOCKKEEPER_ON_FAILURE", "SQLite"]);
    assert_log!("on_failure_refused", refused);
    expect_end(&run.clone().args(["--on-failure", "restore"]), 64, &["--on-failure", "SQLite"]);
    expect_end(&run.env("LOCKKEEPER_ON_FAILURE", "keep"), 0, &["nothing pending"]);
    assert_eq!(rows(&database), "1");
}

/// A pooler keeps its server connections to the old database and to the new one.
#[test]
fn a_restore_works_behind_a_session_pooler() {
    let (database, run, backup) = backed_up();
    let _relatives = KeptDatabases(&database);
    let settings = ["ignore_startup_parameters = extra_float_digits"];
    let pooler = Pgbouncer::start(database.server(), "session", &settings);
    let run = run.url(&pooler.url(database.name()));
    expect_end(&run, 0, &["nothing pending"]);
    expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]).says("this backup was taken of");
    assert_eq!(rows(&database), "1 2 3");
    expect_end(&run, 0, &["nothing pending"]);
}

/// The names are used in statements, in messages and in arguments of psql.
#[test]
fn a_database_of_any_name_is_restored() {
    let server = Postgres::shared();
    for odd in [unique("a b%s\"c'é"), unique(&"long".repeat(12))] {
        let database = server.database_named(&odd);
        let run = with_backups(Run::new().url(&database.url()).migrations(&[ONE]));
        expect_end(&run, 0, &[]);
        database.execute(&format!("revoke temporary on database {} from public", quoted(&odd)));
        expect_end(&run.clone().arg("backup"), 0, &[]);
        let before = properties(&database);
        let backup = name(&backups(&run)[0]);
        let finished = expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
        assert_eq!(properties(&database), before);
        let printed_command = last_line(&finished).split("when nobody needs it: ").nth(1).expect("what to type");
        let drop = printed_command.split(" code=").next().expect("the statement");
        server.execute(drop);
    }
}

/// Sessions that the role may not terminate stay, and so does the database.
#[test]
fn sessions_that_may_not_be_terminated_prevent_the_restore() {
    let server = Postgres::shared();
    let role = unique("maker");
    server.execute(&format!("create role {role} login createdb password '{PASSWORD}'"));
    let database = server.database("restore");
    let relatives = KeptDatabases(&database);
    let db = quoted(database.name());
    database.execute(&format!("alter database {db} owner to {role}"));
    let run = with_backups(run_on(&database, &[ONE, TWO])).url(&database.url_as(&role, PASSWORD));
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let backup = name(&backups(&run)[0]);
    database.execute("insert into one values (1)");
    let mut session = database.session();
    let parts = ["end the application's sessions, or GRANT pg_signal_backend TO", "or give --in-place", "as it was"];
    expect_end(&restore(&run, &backup).arg("--yes"), 77, &parts);
    assert_eq!(session.run("select count(*) from one"), "1\n", "it has not noticed");
    assert_eq!(family(&database), [database.name()]);
    drop(session);
    wait_until("the session ends", DEFAULT_TIMEOUT, || {
        database.value("select count(*) from pg_stat_activity where application_name = 'test session' and datname = current_database()") == "0"
    });
    // It may terminate all sessions of its own role.
    let finished = expect_end(&restore(&run, &backup).arg("--yes"), 0, &["restored"]);
    finished.does_not_say("only superuser can analyze it");
    assert_eq!(rows(&database), "");
    database.execute(&format!("alter database {db} owner to postgres; drop owned by {role} cascade"));
    drop(relatives);
    server.execute(&format!("drop role {role}"));
}

/// The run that had the lock before may have changed the revision of the database.
#[test]
fn the_backup_records_the_revision_under_the_lock() {
    for command in ["backup", "restore"] {
        let (database, run, backup) = backed_up();
        let _relatives = KeptDatabases(&database);
        let lock_holder = lock_holder(&database, &run);
        let waiting = match command {
            "restore" => restore(&run, &backup).arg("--yes"),
            _ => run.clone().arg(command),
        };
        let waiting = waiting.spawn();
        waiting.wait_for("waiting for the lock");
        database.query("delete from lockkeeper_history where revision = '0002'");
        lock_holder.kill();
        waiting.finish().expect_code(0);
        let taken = backups(&run).into_iter().find(|file| name(file) != backup).expect("another one");
        assert_eq!(manifest(&taken)["from_revision"], "0001", "{command}");
    }
}
