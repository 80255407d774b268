//! Tests that only a table of a trusted owner is read and written as the history: any other relation could run its
//! owner's code with our privileges.

use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres, quoted};
use crate::support::unique;

/// The columns of the history table, as a select list that calls `trap` for its first value.
const ROW: &str = "trap()::text as revision, 'x'::text as description, repeat('0', 64) as checksum, now() as applied_at, \
    1::bigint as duration_ms, 'applied'::text as state, 1::bigint as statements_done, 1::bigint as statements_total, \
    'x'::text as applied_by, 'x'::text as lockkeeper_version, null::text as backup, null::text as down_checksum";

/// A database of a superuser, and a role that may create objects in its `public`.
pub struct Shared {
    pub database: PgDatabase<'static>,
    pub stranger: String,
}

impl Shared {
    pub fn new() -> Shared {
        let (database, stranger) = (Postgres::shared().database("trust"), unique("stranger"));
        database.execute(&format!(
            "create role {stranger} login password '{PASSWORD}'; grant create on schema public to {stranger};
             create sequence calls; grant all on sequence calls to public;
             set role {stranger};
             create function trap() returns text language sql as $$ select nextval('public.calls')::text $$;
             create function trap_row() returns trigger language plpgsql as $$ begin perform nextval('public.calls'); return new; end $$"
        ));
        Shared { database, stranger }
    }

    /// Runs SQL as the untrusted role.
    pub fn execute_untrusted(&self, sql: &str) {
        self.database.execute(&format!("set role {}; {sql}", self.stranger));
    }

    fn run(&self) -> Run {
        Run::new().url(&self.database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(&[
            ("0001_one.up.sql", "create table one (id int);"),
            ("0002_two.up.sql", "create table two (id int);"),
        ])
    }

    /// Expects that nobody has called a function of the untrusted role.
    #[track_caller]
    pub fn expect_no_call(&self) {
        assert_eq!(self.database.value("select is_called from calls"), "f", "the stranger's function ran");
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.database.try_query(&format!("drop owned by {0} cascade; drop role {0}", self.stranger));
    }
}

/// Commands that read the history, write it, or both.
const COMMANDS: [&[&str]; 11] = [
    &["check"],
    &["current"],
    &["history"],
    &["upgrade"],
    &["upgrade", "--plan"],
    &["upgrade", "--sql"],
    &["downgrade", "base"],
    &["stamp", "0001"],
    &["repair"],
    &["wait"],
    &["backup"],
];

#[test]
fn a_view_named_like_the_history_is_refused_and_not_read() {
    let shared = Shared::new();
    shared.execute_untrusted(&format!("create view lockkeeper_history as select {ROW}"));
    let what = format!("public.lockkeeper_history is a view of {}, not a table", shared.stranger);
    for verb in COMMANDS {
        let finished =
            expect_end(&shared.run().args(verb.iter().copied()), 78, &["cannot be trusted as a history", &what]);
        finished.says("LOCKKEEPER_HISTORY_TABLE");
        shared.expect_no_call();
    }
    assert!(!shared.database.has_table("one"));
}

#[test]
fn other_relations_of_that_name_are_refused_too() {
    for (made, kind) in [
        (
            format!(
                "create materialized view lockkeeper_history as select {} with no data",
                ROW.replace("trap()", "1")
            ),
            "a materialized view",
        ),
        ("create sequence lockkeeper_history".to_owned(), "a relation"),
        ("create type lockkeeper_history as (revision text)".to_owned(), "a relation"),
    ] {
        let shared = Shared::new();
        shared.execute_untrusted(&made);
        expect_end(&shared.run(), 78, &[&format!("public.lockkeeper_history is {kind} of {}", shared.stranger)]);
        expect_end(&shared.run().arg("check"), 78, &["cannot be trusted as a history"]);
    }
}

/// A table of another user may run code through its defaults, constraints and policies.
#[test]
fn a_table_is_the_history_only_when_its_owner_is_trusted() {
    let shared = Shared::new();
    expect_end(&shared.run().args(["upgrade", "0001"]), 0, &[]);
    let owned_by = |owner: &str| {
        shared.database.execute(&format!("alter table lockkeeper_history owner to {}", quoted(owner)));
    };
    owned_by(&shared.stranger);
    let refused = format!("the table public.lockkeeper_history belongs to {}", shared.stranger);
    for verb in COMMANDS {
        expect_end(
            &shared.run().args(verb.iter().copied()),
            78,
            &[&refused, "ALTER TABLE public.lockkeeper_history OWNER TO"],
        );
    }
    // The owner of the database is trusted by everybody who works in it.
    let database = quoted(shared.database.name());
    shared.database.execute(&format!("alter database {database} owner to {}", shared.stranger));
    expect_end(&shared.run().arg("check"), 2, &["1 revision is pending"]);
}

/// A role that is no superuser, is a member of one group, and may only grant another.
#[test]
fn the_table_of_a_role_that_we_are_a_member_of_is_trusted() {
    let shared = Shared::new();
    let (user, group) = (unique("member"), unique("group"));
    shared.database.execute(&format!(
        "create role {user} login noinherit password '{PASSWORD}'; create role {group};
         grant usage, create on schema public to {user}, {group}"
    ));
    let run = shared.run().url(&shared.database.url_as(&user, PASSWORD));
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    shared.database.execute(&format!(
        "alter table lockkeeper_history owner to {group}; grant all on lockkeeper_history to {user}"
    ));
    let stranger = format!("belongs to {group}, who is neither {user}, nor a role that {user} is a member of");
    expect_end(&run, 78, &[&stranger]);
    shared.database.execute(&format!("grant {group} to {user}"));
    expect_end(&run, 0, &["up to date at 0002"]);
    // A superuser is a member of every role, which proves nothing.
    expect_end(&shared.run().arg("check"), 78, &[&format!("belongs to {group}")]);
    shared.database.execute(&format!("drop owned by {user}, {group} cascade; drop role {user}, {group}"));
}

/// GRANT ALL ON ALL TABLES includes TRIGGER.
#[test]
fn a_trigger_of_another_role_is_refused_before_it_fires() {
    let shared = Shared::new();
    expect_end(&shared.run().args(["upgrade", "0001"]), 0, &[]);
    shared.database.execute(&format!("grant trigger on lockkeeper_history to {}", shared.stranger));
    shared.execute_untrusted(
        "create trigger spy before insert or update on lockkeeper_history for each row execute function trap_row()",
    );
    let refused = format!("the trigger spy on public.lockkeeper_history calls a function of {}", shared.stranger);
    for verb in [&["upgrade"][..], &["check"], &["stamp", "0002"]] {
        expect_end(&shared.run().args(verb.iter().copied()), 78, &[&refused, "DROP TRIGGER"]);
    }
    shared.expect_no_call();
    shared.database.execute("drop trigger spy on lockkeeper_history");
    expect_end(&shared.run(), 0, &["up to date at 0002"]);
    // A trigger of our own is allowed.
    shared.database.execute(
        "create table seen (revision text); create function note() returns trigger language plpgsql as
         $$ begin insert into public.seen values (new.revision); return new; end $$;
         create trigger note before insert on lockkeeper_history for each row execute function note()",
    );
    let run = shared.run().file("migrations/0003_three.up.sql", "select 3;");
    expect_end(&run, 0, &["up to date at 0003"]);
    assert_eq!(shared.database.query("select * from seen"), "0003\n");
}

/// The table is checked again in the transaction that writes.
#[test]
fn a_relation_that_replaces_the_history_during_a_run_gets_no_row() {
    let execute_untrusted =
        |shared: &Shared, sql: &str| format!("set local role {}; {sql}; reset role", shared.stranger);
    let trigger =
        "create trigger spy before insert or update on lockkeeper_history for each row execute function trap_row()";
    // A table that has a trigger already is checked in more detail.
    let own = "create function note() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger note before insert on lockkeeper_history for each row execute function note()";
    for (directive, before) in [("", ""), ("-- no-transaction\n", ""), ("", own), ("-- no-transaction\n", own)] {
        let shared = Shared::new();
        expect_end(&shared.run().args(["upgrade", "0001"]), 0, &[]);
        shared.database.execute(before);
        shared.database.execute(&format!("grant trigger on lockkeeper_history to {}", shared.stranger));
        let third = execute_untrusted(&shared, trigger);
        let third = match directive {
            "" => format!("{third};"),
            // One statement, so that the history row is sent with it.
            _ => format!("{directive}do $do$ begin {third}; end $do$;"),
        };
        let run = shared.run().file("migrations/0002_two.up.sql", &third);
        let code = if directive.is_empty() { 78 } else { 81 };
        expect_end(
            &run,
            code,
            &["public\".\"lockkeeper_history\" was replaced, given to another role, or given a trigger"],
        );
        shared.expect_no_call();
        assert_eq!(shared.database.value("select count(*) from pg_trigger where tgname = 'spy'"), "0");
        expect_end(&shared.run(), if directive.is_empty() { 0 } else { 65 }, &[]);
    }
    let shared = Shared::new();
    expect_end(&shared.run().args(["upgrade", "0001"]), 0, &[]);
    let view = format!(
        "drop table lockkeeper_history; {}",
        execute_untrusted(&shared, &format!("create view lockkeeper_history as select {ROW}"))
    );
    let run = shared.run().file("migrations/0002_two.up.sql", format!("{view};"));
    expect_end(&run, 78, &["was replaced"]);
    shared.expect_no_call();
    expect_end(&shared.run(), 0, &["up to date at 0002"]);
}

/// A table can get another owner while its name, its kind and its triggers stay the same, and a script can replace it
/// by another kind of trusted table.
#[test]
fn a_history_that_changes_during_a_run_is_checked_again() {
    let shared = Shared::new();
    expect_end(&shared.run().args(["upgrade", "0001"]), 0, &[]);
    let change_of_owner = format!("alter table lockkeeper_history owner to {};", shared.stranger);
    expect_end(&shared.run().file("migrations/0002_two.up.sql", &change_of_owner), 78, &["given to another role"]);
    expect_end(&shared.run().args(["upgrade", "0002"]), 0, &["up to date at 0002"]);
    // A trigger and a child table of our own are allowed, in any form of script.
    let child = "create table archived () inherits (lockkeeper_history);";
    let trigger = "create function note() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger note before insert on lockkeeper_history for each row execute function note();";
    for directive in ["", "-- no-transaction\n"] {
        for (script, padding) in [(child, 0), (trigger, 0), (child, 300_000)] {
            let shared = Shared::new();
            expect_end(&shared.run().args(["upgrade", "0002"]), 0, &[]);
            let script =
                format!("{directive}create table once (id int);\n{script}\n-- {}\nselect 3;\n", "x".repeat(padding));
            let run = shared.run().file("migrations/0003_three.up.sql", &script);
            expect_end(
                &run.file("migrations/0004_four.up.sql", "select 4;"),
                0,
                &["up to date at 0004: 2 revisions applied"],
            );
        }
    }
}

/// The effects of event triggers on a new table are checked before the first row is written.
#[test]
fn a_history_that_an_event_trigger_changes_at_its_creation_is_written() {
    let database = Postgres::shared().database("trust");
    database.execute(
        "create table made (tag text); create function watch() returns trigger language plpgsql as $$ begin return new; end $$;
         create function on_ddl() returns event_trigger language plpgsql as $$ begin
           if tg_tag = 'CREATE TABLE' and exists (select from pg_class where relname = 'lockkeeper_history' and not relhastriggers) then
             create trigger watch before insert on public.lockkeeper_history for each row execute function public.watch();
           end if; end $$;
         create event trigger e on ddl_command_end execute function on_ddl()",
    );
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    expect_end(&run.migrations(&[("0001_one.up.sql", "select 1;")]), 0, &["up to date at 0001"]);
    assert_eq!(database.value("select count(*) from pg_trigger where tgname = 'watch'"), "1");
}

/// `CREATE TABLE IF NOT EXISTS` succeeds when another user has created a view of that name meanwhile.
#[test]
fn a_printed_script_stops_at_a_history_that_is_not_trusted() {
    let shared = Shared::new();
    let printed = shared.run().args(["upgrade", "--sql"]).output();
    let script = printed.expect_code(0).stdout.clone();
    shared.execute_untrusted(&format!("create view lockkeeper_history as select {ROW}"));
    let complaint = shared.database.feed(&script).expect_err("it did not stop");
    assert!(complaint.contains("division by zero"), "{complaint}");
    shared.expect_no_call();
    assert!(!shared.database.has_table("one"));
    shared.database.execute("drop view lockkeeper_history");
    assert_eq!(shared.database.feed(&script), Ok(()));
    expect_end(&shared.run(), 0, &["nothing pending"]);
}

/// Views are no history; the table of an untrusted owner is named, and none of its code runs.
#[test]
fn the_tables_of_other_tools_are_read_only_from_trusted_owners() {
    let shared = Shared::new();
    shared.execute_untrusted(
        "create view schema_migrations as select trap()::bigint as version, false as dirty;
         create function trap_rows(text) returns boolean language sql as $$ select nextval('public.calls') > 0 $$;
         create table alembic_version (version_num text not null); insert into alembic_version values ('abc');
         alter table alembic_version enable row level security, force row level security;
         create policy p on alembic_version using (trap_rows(version_num)); grant select on alembic_version to public",
    );
    let description = "Alembic (public.alembic_version, not read: it belongs to a role that is not trusted)";
    expect_end(&shared.run(), 78, &[description]).does_not_say("schema_migrations");
    shared.expect_no_call();
    // Rows that a policy hides are not taken for missing.
    let (user, group) = (unique("reader"), unique("group"));
    shared.database.execute(&format!(
        "create role {group}; create role {user} login password '{PASSWORD}' in role {group}; grant create on schema public to {user};
         alter table alembic_version owner to {group}"
    ));
    let run = shared.run().url(&shared.database.url_as(&user, PASSWORD));
    expect_end(&run, 78, &["Alembic (public.alembic_version, not readable)"]);
    shared.expect_no_call();
    shared.database.execute(&format!("drop owned by {user}, {group} cascade; drop role {user}, {group}"));
}

#[test]
fn sqlite_reads_and_writes_only_an_ordinary_table() {
    for (made, what) in [
        ("create view lockkeeper_history as select 1 as revision", "lockkeeper_history is a view"),
        ("create view LOCKKEEPER_History as select 1 as revision", "LOCKKEEPER_History is a view"),
        (
            "create virtual table lockkeeper_history using fts5(revision, checksum, state, statements_done)",
            "is a virtual table",
        ),
    ] {
        let database = SqliteFile::create("trust");
        database.query(made);
        let run = Run::new()
            .url(&database.url())
            .env("LOCKKEEPER_BACKUP", "off")
            .migrations(&[("0001_one.sql", "create table one (id);")]);
        for verb in [&["upgrade"][..], &["check"], &["current"], &["stamp", "0001"]] {
            expect_end(&run.clone().args(verb.iter().copied()), 78, &["cannot be trusted as a history", what, "DROP"]);
        }
        assert!(!database.has_table("one"));
    }
    let database = SqliteFile::create("trust");
    let run = Run::new()
        .url(&database.url())
        .env("LOCKKEEPER_BACKUP", "off")
        .migrations(&[("0001_one.sql", "create table one (id);")]);
    expect_end(&run, 0, &[]);
    database.query("create table seen (id); create trigger spy after insert on lockkeeper_history begin insert into seen values (1); end");
    let run = run.file("migrations/0002_two.sql", "create table two (id);");
    expect_end(&run, 78, &["spy is a trigger on it", "DROP TRIGGER \"spy\""]);
    assert_eq!(database.query("select * from seen"), "");
    database.query("drop trigger spy");
    expect_end(&run, 0, &["up to date at 0002"]);
}
