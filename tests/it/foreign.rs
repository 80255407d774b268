//! Tests of databases that another migration tool has migrated and Lockkeeper has not: the run names them, with what to
//! do, before anything is applied.

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::{PASSWORD, Postgres, quoted};
use crate::support::unique;

/// The history that a tool leaves in a database, created by the statements of its own source.
struct Leftover {
    /// The statements on PostgreSQL; empty when the tool does not support it.
    postgres: &'static str,
    /// The statements on SQLite; empty when the tool does not support it.
    sqlite: &'static str,
    rows: &'static str,
    /// The description in the message; on PostgreSQL the table is in `public`.
    tool: &'static str,
    table: &'static str,
    at: &'static str,
    /// The beginning of the advice.
    advice: &'static str,
}

const FIRST: &str = "lockkeeper stamp 0001 if 0001_baseline.sql holds the schema as it is";

const ADOPT: &str = "lockkeeper adopt --to native; or lockkeeper stamp base";

const ALEMBIC: &str = "create table alembic_version (version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num))";

const FLYWAY: &str = "installed_rank int not null primary key, version varchar(50), description varchar(200) not null,
    type varchar(20) not null, script varchar(1000) not null, checksum integer, installed_by varchar(100) not null,
    installed_on timestamp not null default current_timestamp, execution_time integer not null, success boolean not null)";

const LEFTOVERS: &[Leftover] = &[
    Leftover {
        postgres: ALEMBIC,
        sqlite: ALEMBIC,
        rows: "insert into alembic_version values ('ae1027a6acf')",
        tool: "Alembic",
        table: "alembic_version",
        at: "at ae1027a6acf",
        advice: FIRST,
    },
    Leftover {
        postgres: ALEMBIC,
        sqlite: ALEMBIC,
        rows: "insert into alembic_version values ('1975ea83b712'), ('0d3f')",
        tool: "Alembic",
        table: "alembic_version",
        at: "at 0d3f, 1975ea83b712",
        advice: FIRST,
    },
    Leftover {
        postgres: ALEMBIC,
        sqlite: ALEMBIC,
        rows: "",
        tool: "Alembic",
        table: "alembic_version",
        at: "empty",
        advice: "lockkeeper stamp base code=78",
    },
    Leftover {
        postgres: "create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
            execution_time bigint not null)",
        sqlite: "create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on timestamp not null default current_timestamp, success boolean not null,
            checksum blob not null, execution_time bigint not null)",
        rows: "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
            values (1, 'baseline', true, '', 1), (2, 'two', true, '', 1)",
        tool: "sqlx",
        table: "_sqlx_migrations",
        at: "at 2",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table schema_migrations (version bigint not null primary key, dirty boolean not null)",
        sqlite: "create table schema_migrations (version uint64, dirty bool);
            create unique index version_unique on schema_migrations (version)",
        rows: "insert into schema_migrations values (2, false)",
        tool: "golang-migrate",
        table: "schema_migrations",
        at: "at 2",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table schema_migrations (version bigint not null primary key, dirty boolean not null)",
        sqlite: "create table schema_migrations (version uint64, dirty bool)",
        rows: "insert into schema_migrations values (2, true)",
        tool: "golang-migrate",
        table: "schema_migrations",
        at: "stopped within 2",
        advice: "correct 2 with golang-migrate first, then run again",
    },
    Leftover {
        postgres: "create table schema_migrations (version varchar primary key)",
        sqlite: "create table schema_migrations (version varchar(128) primary key)",
        rows: "insert into schema_migrations values ('20260112093000'), ('0001'), ('2')",
        tool: "dbmate or Rails",
        table: "schema_migrations",
        at: "at 20260112093000",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table schema_migrations (version bigint primary key, inserted_at timestamp(0))",
        sqlite: "create table schema_migrations (version integer primary key, inserted_at text)",
        rows: "insert into schema_migrations values (20260112093000, null), (1, null), (2, null)",
        tool: "Ecto",
        table: "schema_migrations",
        at: "at 20260112093000",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table goose_db_version (id integer primary key generated by default as identity,
            version_id bigint not null, is_applied boolean not null, tstamp timestamp not null default now())",
        sqlite: "create table goose_db_version (id integer primary key autoincrement, version_id integer not null,
            is_applied integer not null, tstamp timestamp default (datetime('now')))",
        // The last row is how old versions record a down migration.
        rows: "insert into goose_db_version (version_id, is_applied)
            values (0, true), (1, true), (2, true), (3, true), (3, false)",
        tool: "goose",
        table: "goose_db_version",
        at: "at 2",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table gorp_migrations (id text not null primary key, applied_at timestamptz)",
        sqlite: "create table gorp_migrations (id varchar(255) not null primary key, applied_at datetime)",
        rows: "insert into gorp_migrations values ('1_baseline.sql', null), ('2_two.sql', null)",
        tool: "sql-migrate",
        table: "gorp_migrations",
        at: "at 2_two.sql",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table refinery_schema_history (version int4 primary key, name varchar(255),
            applied_on varchar(255), checksum varchar(255))",
        sqlite: "create table refinery_schema_history (version int4 primary key, name varchar(255),
            applied_on varchar(255), checksum varchar(255))",
        rows: "insert into refinery_schema_history values (1, 'Baseline', '', '1'), (2, 'two', '', '2')",
        tool: "refinery",
        table: "refinery_schema_history",
        at: "at 2",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table flyway_schema_history (FLYWAY",
        sqlite: "create table flyway_schema_history (FLYWAY",
        rows: "insert into flyway_schema_history values
            (0, null, 'schema', 'SCHEMA', '\"public\"', null, 'me', current_timestamp, 1, true),
            (1, '1', 'baseline', 'SQL', 'V1__baseline.sql', 5, 'me', current_timestamp, 1, true),
            (2, '2', 'two', 'SQL', 'V2__two.sql', 5, 'me', current_timestamp, 1, true),
            (3, '3', 'three', 'SQL', 'V3__three.sql', 5, 'me', current_timestamp, 1, true),
            (4, '3', 'three', 'UNDO_SQL', 'U3__three.sql', 5, 'me', current_timestamp, 1, true),
            (5, null, 'views', 'SQL', 'R__views.sql', 5, 'me', current_timestamp, 1, true)",
        tool: "Flyway",
        table: "flyway_schema_history",
        at: "at 2",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table schema_version (FLYWAY",
        sqlite: "create table schema_version (FLYWAY",
        rows: "insert into schema_version values
            (1, '1.1', 'one', 'SQL', 'V1_1__one.sql', 5, 'me', current_timestamp, 1, false)",
        tool: "Flyway",
        table: "schema_version",
        at: "stopped within 1.1",
        advice: "correct 1.1 with Flyway first, then run again",
    },
    Leftover {
        postgres: "create table __diesel_schema_migrations (version varchar(50) primary key not null,
            run_on timestamp not null default current_timestamp)",
        sqlite: "create table __diesel_schema_migrations (version varchar(50) primary key not null,
            run_on timestamp not null default current_timestamp)",
        rows: "insert into __diesel_schema_migrations (version) values ('00000000000000'), ('20260112093000'), ('0001'), ('0002')",
        tool: "Diesel",
        table: "__diesel_schema_migrations",
        at: "at 20260112093000",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table _prisma_migrations (id varchar(36) primary key not null, checksum varchar(64) not null,
            finished_at timestamptz, migration_name varchar(255) not null, logs text, rolled_back_at timestamptz,
            started_at timestamptz not null default now(), applied_steps_count integer not null default 0)",
        sqlite: "create table \"_prisma_migrations\" (\"id\" text primary key not null, \"checksum\" text not null,
            \"finished_at\" datetime, \"migration_name\" text not null, \"logs\" text, \"rolled_back_at\" datetime,
            \"started_at\" datetime not null default current_timestamp,
            \"applied_steps_count\" integer unsigned not null default 0)",
        rows: "insert into _prisma_migrations (id, checksum, migration_name, finished_at, rolled_back_at) values
            ('a', '', '20260112093000_three', current_timestamp, null), ('c', '', '0002_two', current_timestamp, null),
            ('d', '', '0001_baseline', current_timestamp, null),
            ('b', '', '20270101000000_bad', null, current_timestamp)",
        tool: "Prisma",
        table: "_prisma_migrations",
        at: "at 20260112093000_three",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table schema_migration (version varchar(48) not null, version_self int not null default 0);
            create unique index on schema_migration (version)",
        sqlite: "create table schema_migration (version text not null, version_self int not null default 0)",
        rows: "insert into schema_migration (version) values ('20260112093000'), ('1'), ('2')",
        tool: "Pop",
        table: "schema_migration",
        at: "at 20260112093000",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table django_migrations (id bigint primary key generated by default as identity,
            app varchar(255) not null, name varchar(255) not null, applied timestamptz not null)",
        sqlite: "create table django_migrations (id integer not null primary key autoincrement,
            app varchar(255) not null, name varchar(255) not null, applied datetime not null)",
        rows: "insert into django_migrations (app, name, applied)
            values ('auth', '0001_initial', current_timestamp), ('shop', '0002_order', current_timestamp)",
        tool: "Django",
        table: "django_migrations",
        at: "at shop.0002_order",
        advice: FIRST,
    },
    Leftover {
        postgres: "create table databasechangelog (id varchar(255) not null, author varchar(255) not null,
            filename varchar(255) not null, dateexecuted timestamp not null, orderexecuted integer not null,
            exectype varchar(10) not null, md5sum varchar(35))",
        sqlite: "create table DATABASECHANGELOG (ID TEXT not null, AUTHOR TEXT not null, FILENAME TEXT not null,
            DATEEXECUTED TEXT not null, ORDEREXECUTED INTEGER not null, EXECTYPE TEXT not null, MD5SUM TEXT)",
        rows: "insert into databasechangelog values ('2', 'me', 'log.xml', current_timestamp, 1, 'EXECUTED', '')",
        tool: "Liquibase",
        table: "databasechangelog",
        at: "at 2",
        advice: FIRST,
    },
    Leftover {
        postgres: "create table knex_migrations (id serial primary key, name varchar(255), batch integer,
            migration_time timestamptz)",
        sqlite: "create table knex_migrations (id integer not null primary key autoincrement, name varchar(255),
            batch integer, migration_time datetime)",
        rows: "insert into knex_migrations (name, batch) values ('0001_baseline.js', 1), ('0002_two.js', 1), ('20260112093000_three.js', 2)",
        tool: "Knex",
        table: "knex_migrations",
        at: "at 20260112093000_three.js",
        advice: ADOPT,
    },
    Leftover {
        postgres: "create table pgmigrations (id serial primary key, name varchar(255) not null, run_on timestamp not null)",
        sqlite: "",
        rows: "insert into pgmigrations (name, run_on) values ('0001_baseline', now()), ('0002_two', now()), ('20260112093000_three', now())",
        tool: "node-pg-migrate",
        table: "pgmigrations",
        at: "at 20260112093000_three",
        advice: ADOPT,
    },
];

fn is_sqlite(database: &impl Database) -> bool {
    database.url().starts_with("sqlite")
}

/// Runs on three files, two of which the tools above have applied.
fn run_on(database: &impl Database) -> Run {
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_LAYOUT", "native");
    run.migrations(&[
        ("0001_baseline.sql", "create table ours (id integer);"),
        ("0002_two.sql", "select 2;"),
        ("20260112093000_three.sql", "select 3;"),
    ])
}

/// Runs; expects this exit code and all of these parts in the last line.
#[track_caller]
fn expect_end(run: &Run, code: i32, parts: &[&str]) -> Finished {
    let finished = run.output();
    finished.expect_code(code).does_not_say(PASSWORD);
    let line = finished.stderr.lines().last().expect("a last line").replace(" name=\"config\"", "");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in the last line: {finished}");
    }
    finished
}

/// The message has the command that adopts the history of each tool.
fn each_tools_history_is_named_with_the_command_that_adopts_it<D: Database>() {
    for leftover in LEFTOVERS {
        let database = D::create("foreign");
        let sqlite = is_sqlite(&database);
        let made_by = if sqlite { leftover.sqlite } else { leftover.postgres };
        if made_by.is_empty() {
            continue;
        }
        let made_by = made_by.replace("FLYWAY", FLYWAY);
        database.query(&made_by);
        if !leftover.rows.is_empty() {
            database.query(leftover.rows);
        }
        let rows = format!("select * from {}", leftover.table);
        let before = database.query(&rows);
        let table = match (sqlite, leftover.tool) {
            (true, "Liquibase") => "DATABASECHANGELOG".to_owned(),
            (true, _) => leftover.table.to_owned(),
            (false, _) => format!("public.{}", leftover.table),
        };
        let history = format!(
            "plan: this database has the history of {} ({table}, {}) but none of Lockkeeper's; nothing was changed; try: {}",
            leftover.tool, leftover.at, leftover.advice
        );
        for command in ["upgrade", "check"] {
            expect_end(&run_on(&database).arg(command), 78, &[&history]);
        }
        assert!(!database.has_table("ours") && !database.has_table("lockkeeper_history"), "{history}");
        if leftover.advice == ADOPT {
            expect_end(&run_on(&database).args(["adopt", "--to", "native"]), 0, &["adopted the history of"]);
            let is_at_end = !leftover.at.ends_with(" 2") && leftover.at != "at 2_two.sql";
            run_on(&database).arg("check").output().expect_code(if is_at_end { 0 } else { 2 });
        }
        assert_eq!(database.query(&rows), before);
    }
}

/// A table of an application may have such a name; so may a view.
fn a_table_of_that_name_with_other_columns_is_ignored<D: Database>() {
    let database = D::create("namesake");
    for sql in [
        "create table schema_version (id integer, version text)",
        "create table alembic_version (version text)",
        "create table schema_migrations (id integer, name text)",
        "create table goose_db_version (version integer)",
        "create view knex_migrations as select 1 as id, 'x' as name, 1 as batch, 1 as migration_time",
    ] {
        database.query(sql);
    }
    expect_end(&run_on(&database), 0, &["up to date at 20260112093000"]);
}

/// A database with our history table is not checked for other tools, even when the table is empty.
fn a_database_with_our_history_is_not_checked_for_other_tools<D: Database>() {
    let database = D::create("adopted");
    let run = run_on(&database);
    expect_end(&run.clone().args(["upgrade", "0001"]), 0, &[]);
    database.query(ALEMBIC);
    database.query("insert into alembic_version values ('ae1027a6acf')");
    expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    database.query("drop table ours");
    database.query("delete from lockkeeper_history");
    expect_end(&run, 0, &["up to date at 20260112093000"]);
}

/// Commands that only read, and runs with nothing pending, are not refused.
fn commands_that_only_read_ignore_another_tools_history<D: Database>() {
    let database = D::create("readers");
    database.query(ALEMBIC);
    for verb in ["current", "history", "wait"] {
        run_on(&database).arg(verb).output().expect_code(0);
    }
    expect_end(&run_on(&database).args(["downgrade", "base"]), 0, &["nothing to undo"]);
}

/// Projects move from one tool to another, and both tables stay.
fn several_histories_are_all_named<D: Database>() {
    let database = D::create("several");
    database.query("create table schema_migrations (version varchar primary key)");
    database.query("insert into schema_migrations values ('1')");
    database.query("create table _sqlx_migrations (version bigint primary key, description text, success boolean, checksum text, execution_time bigint)");
    database.query("insert into _sqlx_migrations values (2, 'two', true, '', 1)");
    let public = if is_sqlite(&database) { "" } else { "public." };
    let both = format!(
        "the history of sqlx ({public}_sqlx_migrations, at 2) and of dbmate or Rails ({public}schema_migrations, at 1) but none"
    );
    expect_end(&run_on(&database), 78, &[&both, "try: lockkeeper stamp 0002;"]);
}

fn control_characters_in_such_a_table_do_not_reach_the_terminal<D: Database>() {
    let database = D::create("orders");
    database.query(ALEMBIC);
    database.query("insert into alembic_version values ('\u{1b}[2J')");
    expect_end(&run_on(&database), 78, &["at \\u001b[2J)"]).does_not_say("\u{1b}");
}

/// Version 36 is newer than 9, in a column of numbers and in one of texts.
fn the_newest_version_is_the_greatest_number<D: Database>() {
    for made_by in ["create table schema_migrations (version varchar(50) primary key)", GOOSE] {
        let database = D::create("numbers");
        database.query(made_by);
        let insert = match made_by {
            GOOSE => "insert into goose_db_version (id, version_id, is_applied) values",
            _ => "insert into schema_migrations values",
        };
        let rows = (1..=12).map(|n| if made_by == GOOSE { format!("({n}, {n}, true)") } else { format!("('{n}')") });
        database.query(&format!("{insert} {}", rows.collect::<Vec<_>>().join(", ")));
        let files = (1..=13).map(|n| (format!("{n:04}_x.sql"), format!("create table t{n} (id integer);")));
        let run = files.fold(Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off"), |run, (name, sql)| {
            run.file(format!("migrations/{name}"), sql)
        });
        expect_end(&run, 78, &["at 12)", "try: lockkeeper adopt --to native;"]);
        expect_end(&run.clone().args(["adopt", "--to", "native"]), 0, &["12 recorded"]);
        expect_end(&run, 0, &["up to date at 0013: 1 revision applied"]);
        assert!(database.has_table("t13") && !database.has_table("t12"));
    }
}

const GOOSE: &str = "create table goose_db_version (id integer primary key, version_id bigint not null,
    is_applied boolean not null, tstamp timestamp default current_timestamp)";

/// No command is suggested that would record revisions that never ran, or run applied ones again.
fn versions_that_no_stamp_records_exactly_are_listed<D: Database>() {
    for (made_by, rows, parts) in [
        (
            "create table schema_migrations (version varchar(50) primary key)",
            "insert into schema_migrations values ('1'), ('20260112093000')",
            ["at 20260112093000)", "dbmate or Rails has not run 0002_two.sql"],
        ),
        (
            "create table schema_migrations (version varchar(50) primary key)",
            "insert into schema_migrations values ('1'), ('2'), ('3')",
            ["at 3)", "no file is dbmate or Rails's 3"],
        ),
        (
            "create table flyway_schema_history (FLYWAY",
            "insert into flyway_schema_history values
             (1, '1', 'baseline', 'SQL', 'V1__baseline.sql', 5, 'me', current_timestamp, 1, true),
             (2, '2', 'add users', 'SQL', 'V2__add_users.sql', 5, 'me', current_timestamp, 1, true)",
            ["at 2)", "Flyway calls its 2 \"add users\", and the file is 0002_two.sql"],
        ),
        (
            "create table flyway_schema_history (FLYWAY",
            "insert into flyway_schema_history values
             (1, '1', 'baseline', 'SQL', 'V1__baseline.sql', 5, 'me', current_timestamp, 1, true),
             (2, '1.10', 'x', 'SQL', 'V1_10__x.sql', 5, 'me', current_timestamp, 1, true),
             (3, '1.9', 'y', 'SQL', 'V1_9__y.sql', 5, 'me', current_timestamp, 1, true)",
            ["at 1.10)", "no file is Flyway's 1.9"],
        ),
    ] {
        let database = D::create("differs");
        database.query(&made_by.replace("FLYWAY", FLYWAY));
        database.query(rows);
        let finished = expect_end(&run_on(&database), 78, &parts);
        finished.says("no stamp records exactly that").does_not_say("stamp 0").does_not_say("stamp 2");
        assert!(!database.has_table("ours"));
    }
}

/// Versions that are part of the first file need no file of their own, and versions before a baseline need no row.
fn versions_before_a_baseline_are_no_difference<D: Database>() {
    let database = D::create("before");
    database.query(&format!("create table flyway_schema_history ({FLYWAY}"));
    database.query(
        "insert into flyway_schema_history values
         (1, '2', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', null, 'me', current_timestamp, 0, true),
         (2, '20260112093000', 'three', 'SQL', 'V20260112093000__three.sql', 5, 'me', current_timestamp, 1, true)",
    );
    expect_end(&run_on(&database), 78, &["at 20260112093000)", "try: lockkeeper adopt --to native;"]);
    let database = D::create("before");
    database.query("create table schema_migrations (version varchar(50) primary key)");
    database.query("insert into schema_migrations values ('5'), ('6'), ('7'), ('8')");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    let run = run.migrations(&[("7_squashed.sql", "select 7;"), ("8_x.sql", "select 8;"), ("9_x.sql", "select 9;")]);
    expect_end(&run, 78, &["at 8)", "try: lockkeeper stamp 8;"]);
}

fn two_histories_of_one_tool_are_ambiguous<D: Database>() {
    let database = D::create("two");
    for (table, version) in [("schema_version", 1), ("flyway_schema_history", 2)] {
        database.query(&format!("create table {table} ({FLYWAY}"));
        database.query(&format!(
            "insert into {table} values (1, '{version}', 'x', 'SQL', 'V1__x.sql', 5, 'me', current_timestamp, 1, true)"
        ));
    }
    let finished =
        expect_end(&run_on(&database), 78, &["find out which of the histories of Flyway is this application's"]);
    finished.does_not_say("stamp 0");
}

on_either!(
    the_newest_version_is_the_greatest_number,
    versions_that_no_stamp_records_exactly_are_listed,
    versions_before_a_baseline_are_no_difference,
    two_histories_of_one_tool_are_ambiguous,
    each_tools_history_is_named_with_the_command_that_adopts_it,
    a_table_of_that_name_with_other_columns_is_ignored,
    a_database_with_our_history_is_not_checked_for_other_tools,
    commands_that_only_read_ignore_another_tools_history,
    several_histories_are_all_named,
    control_characters_in_such_a_table_do_not_reach_the_terminal,
);

fn with_alembic_in(schemas: &[&str]) -> PgDatabase<'static> {
    let database = Postgres::shared().database("schemas");
    for schema in schemas {
        let table = ALEMBIC.replace("alembic_version (", &format!("{} (", quoted_in(schema)));
        database.execute(&format!("create schema if not exists {}; {table}", quoted(schema)));
        database.execute(&format!("insert into {} values ('{schema}')", quoted_in(schema)));
    }
    database
}

fn quoted_in(schema: &str) -> String {
    format!("{}.alembic_version", quoted(schema))
}

/// The schema of the run comes first, and a thousand schemas of tenants do not make a thousand lines.
#[test]
fn every_schema_is_searched_and_few_are_named() {
    let database = with_alembic_in(&["Odd \"one", "b", "c", "d", "public"]);
    let description = "Alembic (public.alembic_version, at public) and of Alembic (Odd \"one.alembic_version, at Odd \"one) \
                 and of Alembic (b.alembic_version, at b) and 2 more but none of Lockkeeper's";
    expect_end(
        &run_on(&database),
        78,
        &[description, "find out which of the histories of Alembic is this application's"],
    );
}

/// The catalog lists tables that the run may not read, or that somebody has locked.
#[test]
fn a_history_that_cannot_be_read_is_reported_too() {
    let database = with_alembic_in(&["public"]);
    let role = unique("stranger");
    database
        .execute(&format!("create role {role} login password '{PASSWORD}'; grant create on schema public to {role}"));
    let unread = "Alembic (public.alembic_version, not readable) but none";
    expect_end(&run_on(&database).url(&database.url_as(&role, PASSWORD)), 78, &[unread, FIRST]);
    let mut lock_session = database.session();
    lock_session.run("begin; lock table alembic_version");
    expect_end(&run_on(&database), 78, &[unread]);
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// The server's log counts the statements.
#[test]
fn only_a_database_without_our_history_is_searched_and_only_once() {
    let database = Postgres::shared().database("asked");
    database.execute(&format!("alter database {} set log_statement = 'all'", quoted(database.name())));
    let log_prefix = format!("@{} ", database.name());
    let asked = || {
        let log = Postgres::shared().log();
        let questions = log.lines().filter(|line| line.contains(&log_prefix) && line.contains("'alembic_version'"));
        questions.count()
    };
    expect_end(&run_on(&database).args(["upgrade", "0001"]), 0, &[]);
    assert_eq!(asked(), 1);
    expect_end(&run_on(&database).arg("check"), 2, &[]);
    expect_end(&run_on(&database), 0, &["up to date at 20260112093000"]);
    expect_end(&run_on(&database), 0, &["nothing pending"]);
    assert_eq!(asked(), 1);
}
