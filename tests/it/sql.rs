//! Tests that a script printed by `--sql` and fed to psql or sqlite3 leaves the same schema and the same history as a
//! run.

use std::borrow::Cow;

use crate::contract::{expect_end, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::{free_port, unique};

/// Returns the printed script; the command line ends with `--sql` and the target.
#[track_caller]
pub fn printed(run: &Run, verb: &str, target: &str) -> String {
    let finished = run.clone().args([verb, "--sql", target]).output();
    finished.expect_code(0).does_not_say(crate::support::postgres::PASSWORD);
    finished.stdout
}

/// Returns the same files with a database that does not exist: printing must not need it.
pub fn with_unreachable_url<D: Database>(run: &Run) -> Run {
    let url = match D::DIALECT {
        "sqlite" => "sqlite:////no/such/directory/app.db".into(),
        _ => format!("postgresql://someone@127.0.0.1:{}/nowhere", free_port()),
    };
    run.clone().url(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "1ms")
}

#[track_caller]
fn feed_successfully(database: &impl Database, script: &str) {
    if let Err(complaint) = database.feed(script) {
        let head: Vec<&str> = script.lines().take(3).collect();
        panic!("{complaint}\n--- in the script {head:?}");
    }
}

/// Files with everything that could go wrong between a file and a program that reads scripts.
trait DifficultFiles: Database {
    fn prepare(&self);
    fn files() -> Vec<(&'static str, Cow<'static, str>)>;
    /// Queries whose rows must be equal.
    const ROWS: &[&str];
}

const POSTGRES: &[(&str, &str)] = &[
    ("0001_a.up.sql", "create table a (id int primary key, note text) -- no semicolon\n-- the last line is a comment"),
    ("0001_a.down.sql", "drop table a -- no semicolon"),
    (
        "0002_strings.up.sql",
        "set standard_conforming_strings = on;\ninsert into a values (1, 'C:\\dir :name :''x'' :\"y\" \\n \\\\ ;'), (2, E'\\'tab\\there\\' :name'),\n\
         (3, $$dollar ; -- :name\n\\copy a from x\n$$), (4, $q$ $$ \\q $q$), (5, U&'\\0041'), (6, '\n.line\n/\n\\q\ngo\n');\n\
         select ('{1,2,3}'::int[])[1:2], '{\"a\": 1}'::jsonb ? 'a' /* :name \\q /* nested */ ; */;\n",
    ),
    ("0002_strings.down.sql", "set standard_conforming_strings = on; delete from a where note like '%\\\\%' or true;"),
    ("0003_path.up.sql", "SET search_path = '';\ncreate table public.quiet (id int)"),
    ("0003_path.down.sql", "SET search_path = '';\ndrop table public.quiet"),
    ("0004_role.up.sql", "SET ROLE {role};\ncreate table theirs (id int);"),
    ("0004_role.down.sql", "SET SESSION AUTHORIZATION {role};\ndrop table theirs;"),
    (
        "0005_functions.up.sql",
        "create function plus(a int, b int) returns int language sql begin atomic select a + b; select a + b; end;\n\
         create function twice(a int) returns int language plpgsql as $body$\nbegin\n  return a * 2; -- :name\nend;\n$body$;",
    ),
    ("0005_functions.down.sql", "drop function plus;\ndrop function twice;\n"),
    (
        "0006_alone.up.sql",
        "-- no-transaction\n-- lock-timeout: 10min\ncreate type mood as enum ('sad');\ncreate table moods (m mood);\n\
         -- alone\ncreate index concurrently moods_m on moods (m);\nalter type mood add value 'ok';\n\
         set work_mem = '8MB';\ninsert into moods values ('ok');\nvacuum moods;\nset role {role};\ncreate table late (id int)",
    ),
    (
        "0006_alone.down.sql",
        "-- no-transaction\ndrop table late;\ndrop index concurrently moods_m;\nvacuum a;\ndrop table moods;\ndrop type mood -- end",
    ),
    (
        "0007_timeouts.up.sql",
        "-- lock-timeout: 2s\n-- statement-timeout: 1min\nset timezone = 'Asia/Tokyo';\ncreate temp table left_over (id int);\n\
         create table settings as select current_setting('lock_timeout') as a, current_setting('statement_timeout') as b;",
    ),
    ("0007_timeouts.down.sql", "drop table settings;"),
    (
        "0008_times.up.sql",
        "create table times as select '02/03/2024 12:00'::timestamptz at time zone 'UTC' as t, 'ä€ß' as word,\n\
         current_setting('TimeZone') as zone, current_setting('DateStyle') as style, current_setting('lock_timeout') as a,\n\
         current_setting('statement_timeout') as b, current_setting('search_path') as c, current_user as d, to_regclass('left_over') is null as e;",
    ),
    ("0008_times.down.sql", "drop table times;"),
    ("0009_empty.up.sql", ""),
    ("0009_empty.down.sql", "-- nothing"),
    ("0010_comments.up.sql", "/* ; */ -- no-op"),
    ("0010_comments.down.sql", ""),
    ("0011_alone.up.sql", "-- no-transaction\n\n-- nothing at all\n"),
    ("0011_alone.down.sql", "-- no-transaction\n"),
];

impl DifficultFiles for PgDatabase<'static> {
    /// Gives the database settings that differ from those of a run.
    fn prepare(&self) {
        let role = Self::role();
        let name = self.name();
        self.execute(&format!(
            "do $$ begin create role {role}; exception when duplicate_object or unique_violation then null; end $$;
             grant create, usage on schema public to {role};
             alter database {name} set timezone = 'America/New_York';
             alter database {name} set datestyle = 'SQL, DMY';
             alter database {name} set client_encoding = 'LATIN1';
             alter database {name} set lock_timeout = '7s';
             alter database {name} set standard_conforming_strings = off;"
        ));
    }

    fn files() -> Vec<(&'static str, Cow<'static, str>)> {
        POSTGRES.iter().map(|(name, text)| (*name, text.replace("{role}", &Self::role()).into())).collect()
    }

    const ROWS: &[&str] = &[
        "select encode(convert_to(a::text, 'UTF8'), 'hex') from a order by id",
        "select * from settings",
        "select t, zone, style, a, b, c, d, e, encode(convert_to(word, 'UTF8'), 'hex') from times",
        "select * from moods",
        "select tablename, tableowner from pg_tables where schemaname = 'public' order by 1",
    ];
}

trait Role {
    fn role() -> String;
}

impl Role for PgDatabase<'static> {
    /// Returns one role for all tests of this process: roles belong to the whole server.
    fn role() -> String {
        static ROLE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        ROLE.get_or_init(|| unique("nasty")).clone()
    }
}

const SQLITE: &[(&str, &str)] = &[
    (
        "0001_a.up.sql",
        "create table a (id integer primary key, note text);\ncreate table b (a_id integer not null references a (id) on delete cascade) -- no semicolon\n-- the last line is a comment",
    ),
    ("0001_a.down.sql", "drop table b;\ndrop table a -- no semicolon"),
    (
        "0002_strings.up.sql",
        "insert into a values (1, 'C:\\dir :name :''x'' \\n ;'), (2, '\n.quit\n#no\n/\ngo\n;\n'), (3, '\"it''s\"'), (4, '-- no /* comment');\n\
         insert into b values (1), (1), (2);\n/* ; ' -- */ insert into a values (5, 'ä€'); -- it's '",
    ),
    ("0002_strings.down.sql", "delete from b;\ndelete from a where note like '%\\%' or 1;"),
    (
        "0003_trigger.up.sql",
        "create table log (id integer);\n-- a comment ; before\ncreate trigger noted after insert on a begin\n  insert into log values (case when new.id > 3 then 1 else 0 end);\n  select 1;\nend;\n\
         insert into a values (9, 'nine')",
    ),
    ("0003_trigger.down.sql", "delete from a where id = 9;\ndrop trigger noted;\ndrop table log"),
    (
        "0004_alone.up.sql",
        "-- no-transaction\ncreate table c (id integer);\nvacuum;\npragma user_version = 7;\ninsert into c values (1);\nreindex -- end",
    ),
    ("0004_alone.down.sql", "-- no-transaction\ndrop table c;\npragma user_version = 0;\nvacuum"),
    (
        "0005_rebuild.up.sql",
        "create table a_new (id integer primary key, note text, more text);\ninsert into a_new (id, note) select id, note from a;\n\
         drop table a;\nalter table a_new rename to a;\ncreate trigger again after insert on a begin select 1; end",
    ),
    (
        "0005_rebuild.down.sql",
        "drop trigger again;\nalter table a drop column more;\ncreate trigger noted after insert on a begin\n  insert into log values (1);\nend;",
    ),
    ("0006_empty.up.sql", ""),
    ("0006_empty.down.sql", "-- nothing"),
    ("0007_comments.up.sql", "/* ; */ -- no-op"),
    ("0007_comments.down.sql", ""),
    ("0008_alone.up.sql", "-- no-transaction\n\n-- nothing at all\n"),
    ("0008_alone.down.sql", "-- no-transaction\n"),
];

impl DifficultFiles for SqliteFile {
    fn prepare(&self) {}

    fn files() -> Vec<(&'static str, Cow<'static, str>)> {
        SQLITE.iter().map(|(name, text)| (*name, (*text).into())).collect()
    }

    const ROWS: &[&str] = &[
        "select id, hex(note), more from a order by id",
        "select * from b order by 1",
        "select * from log order by 1",
        "select * from c",
        "pragma user_version",
    ];
}

/// Compares two databases: one that scripts are fed to, one that is migrated by a run.
fn compare<D: Database>(run: &Run, fed_to: &D, online: &D, rows: &[&str]) {
    let down = |target: &str| run.clone().url(&online.url()).args(["downgrade", target]);
    let same = |what: &str| {
        assert_eq!(fed_to.schema(), online.schema(), "the schema {what}");
        assert_eq!(fed_to.history_without_times(), online.history_without_times(), "the history {what}");
    };
    expect_end(&run.clone().url(&online.url()), 0, &[]);
    feed_successfully(fed_to, &printed(&with_unreachable_url::<D>(run), "upgrade", "base:head"));
    same("after the up migration");
    for sql in rows {
        assert_eq!(fed_to.query(sql), online.query(sql), "{sql}");
    }
    let on_fed = run.clone().url(&fed_to.url());
    expect_end(&on_fed, 0, &["nothing pending"]);

    feed_successfully(fed_to, &printed(&with_unreachable_url::<D>(run), "downgrade", "head:base"));
    expect_end(&down("base"), 0, &["up to date at base"]);
    same("after the down migration");
    expect_end(&on_fed, 0, &["up to date at", "applied"]);
}

fn scripts_of_the_shipped_migrations_equal_a_run<D: Database>() {
    let run =
        run_on(&D::create("either"), &[]).env("LOCKKEEPER_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
    compare(&run, &D::create("either"), &D::create("either"), &[]);
}

fn scripts_of_difficult_files_equal_a_run<D: DifficultFiles>() {
    let [fed_to, online] = [D::create("either"), D::create("either")];
    fed_to.prepare();
    online.prepare();
    let files = D::files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    compare(&run_on(&online, &files), &fed_to, &online, D::ROWS);
}

/// Every revision has a script of its own, from the current revision: up without FROM, and down again.
fn scripts_may_start_at_the_current_revision<D: DifficultFiles>() {
    let [fed_to, online] = [D::create("either"), D::create("either")];
    fed_to.prepare();
    online.prepare();
    let files = D::files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let run = run_on(&online, &files);
    let on_fed = run.clone().url(&fed_to.url());
    let count = files.len() / 2;
    let mut states = Vec::new();
    for _ in 0..count {
        expect_end(&run.clone().args(["upgrade", "+1"]), 0, &[]);
        feed_successfully(&fed_to, &printed(&on_fed, "upgrade", "+1"));
        assert_eq!(fed_to.schema(), online.schema());
        assert_eq!(fed_to.history_without_times(), online.history_without_times());
        states.push(fed_to.history_without_times());
    }
    let nothing = on_fed.clone().args(["upgrade", "--sql"]).output();
    nothing.expect_code(0).says("printed revisions: 0");
    feed_successfully(&fed_to, &nothing.stdout);
    assert_eq!(states.pop(), Some(fed_to.history_without_times()));
    while let Some(expected) = states.pop() {
        feed_successfully(&fed_to, &printed(&on_fed, "downgrade", "-1"));
        assert_eq!(fed_to.history_without_times(), expected);
    }
}

on_either!(
    scripts_of_the_shipped_migrations_equal_a_run,
    scripts_of_difficult_files_equal_a_run,
    scripts_may_start_at_the_current_revision,
);
