//! Tests of `export` and `import` from end to end: exported and imported rows are equal, on both databases and from one
//! to the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::postgres::Postgres;
use crate::support::process::{clean_command, must_run};
use crate::support::{guide, sqlite};
use crate::transfer::expect_last_line;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

pub fn database() -> PgDatabase<'static> {
    Postgres::shared().database("dump")
}

/// Runs with migrations that create these tables on both databases.
pub fn with_schema(postgres: &str, sqlite: &str) -> Run {
    let run = Run::new().env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DIR", "schema");
    run.file("schema/postgres/0001_tables.sql", postgres).file("schema/sqlite/0001_tables.sql", sqlite)
}

/// Runs with DevOps Hub's schema.
pub fn hub() -> Run {
    Run::new().env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_DIR", SHIPPED)
}

pub fn at(run: &Run, file: &str) -> PathBuf {
    run.dir().join(file)
}

/// Creates a SQLite file with the schema and these rows.
pub fn filled(run: &Run, file: &str, rows: &str) {
    run.clone().url(&format!("sqlite:///{file}")).output().expect_code(0);
    sqlite::query(&at(run, file), rows);
}

fn export(run: &Run, url: &str, file: &str) -> String {
    expect_last_line(&run.clone().url(url).args(["export", file]).output(), 0, &["exported ", file]);
    fs::read_to_string(at(run, file)).expect("an export in UTF-8")
}

fn import(run: &Run, file: &str, url: &str, counts: &str) {
    let finished = run.clone().url(url).args(["import", file]).output();
    expect_last_line(&finished, 0, &["imported ", counts, "compared every one of them"]);
}

fn compare(run: &Run, file: &str, database: &PgDatabase<'_>) {
    let run = run.clone().url(&database.url());
    expect_last_line(&run.args(["compare", "--from", &format!("sqlite:///{file}")]).output(), 0, &["equal: "]);
}

/// Every storage class in columns of every affinity, names that need quotes, and keys of every kind.
const TRAPS: &str = r#"
    create table "Order ""Details""" (id integer primary key autoincrement, "select" text, "naïve, key" real, flag boolean, n numeric, any, b blob);
    create table pair (a text, b int, primary key (b, a)) without rowid;
    create table heap (t text, at);
    create table empty (id integer primary key autoincrement, what text not null);
    create table child (id integer primary key, parent int references "Order ""Details""", twice int as (id * 2) stored);
    create table log (id integer);
    create trigger tell after insert on child begin insert into log values (new.id); end;
"#;
const TRAP_ROWS: &str = r#"
    insert into "Order ""Details""" values
        (1, '', 0.1, 1, 1.50, null, null),
        (2, null, -0.0, 'yes', 12345678901234567, 'text', x''),
        (-9223372036854775808, 'a' || char(0) || 'b "\/' || char(10, 13, 9, 27, 127), 1e308, 2, 9e999, 2.0, x'00ff'),
        (9223372036854775806, 'Zoë 🚀 ' || char(8232), 5e-324, null, '12x', 9223372036854775807, 'text in a blob'),
        (5, cast(x'61ff62' as text), 2, 0, 'abc', x'0102', 7),
        (6, '{"$base64": "no marker"}', 0.1 + 0.2, 0, -9e999, -0.0, '12');
    insert into pair values ('x', 2), ('', 1), ('x', 1);
    insert into heap values ('same', 1), ('same', 1), (null, '2026-01-01');
    insert into child (id, parent) values (1, 5), (2, null);
    insert into log values (77);
    insert into empty values (9, 'x');
    delete from empty;
"#;

#[test]
fn a_sqlite_file_that_is_exported_and_imported_has_equal_values() {
    let run = with_schema("select 1;", TRAPS);
    filled(&run, "a.db", &format!("delete from log; {TRAP_ROWS} delete from log where id <> 77;"));
    let first = export(&run, "sqlite:///a.db", "first.json");
    assert!(first.contains(r#""select": {"$text-base64": "Yf9i"}"#) && first.contains(r#""any": 2.0"#), "{first}");
    assert!(first.contains(r#""any": -0.0"#) && first.contains(r#"{"$number": "-Infinity"}"#), "{first}");
    assert!(!first.contains("lockkeeper_history") && !first.contains("twice"), "{first}");
    let mode = fs::metadata(at(&run, "first.json")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    import(&run, "first.json", "sqlite:///b.db", "6 tables, 15 rows");
    assert_eq!(export(&run, "sqlite:///b.db", "second.json"), first);
    for table in [r#""Order ""Details""""#, "pair", "heap", "child", "log", "sqlite_sequence"] {
        let dumped = |file| sqlite::query(&at(&run, file), &format!(".mode insert\nselect * from {table} order by 1;"));
        assert_eq!(dumped("a.db"), dumped("b.db"), "{table}");
    }
    // Sequences continue where they were, also in a table without rows.
    let next = "insert into empty (what) values ('y') returning id;";
    assert_eq!(sqlite::value(&at(&run, "b.db"), next), "10");
}

const TYPES: &str = r#"
    create type mood as enum ('fine', 'so "so"');
    create domain short as varchar(5);
    create table kinds (id bigint generated always as identity primary key, b boolean, s smallint, i integer, r real, d double precision,
        n numeric, m numeric(10, 2), t text, v short, c char(4), j json, jb jsonb, tz timestamptz, ts timestamp, dt date, ti time,
        u uuid, y bytea, e mood, ip inet, ci cidr, ta text[], ia int[], g int generated always as (s * 2) stored);
    create table "Mixed" ("Key" text, part int, primary key (part, "Key"));
    create table heap (t text);
    create view seen as select 1;
"#;
const LITE_TYPES: &str = r#"
    create table kinds (id integer primary key, b integer, s integer, i integer, r real, d real, n text, m numeric, t text, v text, c text, j text,
        jb text, tz text, ts text, dt text, ti text, u text, y blob, e text, ip text, ci text, ta text, ia text, g integer as (s * 2));
    create table "Mixed" ("Key" text, part int, primary key (part, "Key")) without rowid;
    create table heap (t text);
"#;
/// Values that SQLite can store as well: no infinite times, no NaN.
const TYPE_ROWS: &str = r#"
    insert into kinds overriding system value values
        (-5, true, -32768, 2147483647, 0.1, 0.1, 12345678901234567890.50, -0.05, e'a\n"\\ \u2028 Zoë 🚀', 'ab ', 'x', '{"b" : 1,  "a":[]}', '{"b": 1.50, "a": [null, "\u00e9"]}',
         '2026-01-02 03:04:05.678901+02', '1999-12-31 23:59:59', '2024-02-29', '23:59:59.5', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff', 'so "so"',
         '10.0.0.1', '10.0.0.0/8', array['a', null, 'NULL', '', '{"'], array[1, null, -3]),
        (7, false, 1, 0, 3, -0.0, 3, 12.50, '', null, null, '1', '"x"', '10000-01-01 00:00:00Z', '0001-01-01', '0001-01-01', '00:00', null, '', 'fine', '::1/64', null, '{}', '{}'),
        (8, null, null, null, 3.4028235e38, 5e-324, 0.1, null, null, 'null', '', null, null, null, null, null, null, null, null, null, null, null, null, null);
    insert into "Mixed" values ('b', 1), ('a', 2), ('B', 1);
    insert into heap values ('same'), ('same'), (null);
"#;
/// Values that only PostgreSQL can store.
const ENDLESS: &str = "insert into kinds (r, d, n, tz, ts, dt) values ('-0', '-0', 'NaN', 'infinity', '-infinity', 'infinity'), ('NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity'), \
     ('-Infinity', 'Infinity', '-Infinity', '-infinity', 'infinity', '-infinity');";

#[test]
fn a_postgresql_database_that_is_exported_and_imported_has_equal_values() {
    let run = with_schema(TYPES, LITE_TYPES);
    let (from, to) = (database(), database());
    run.clone().url(&from.url()).output().expect_code(0);
    // The file is the same whatever the settings of the role.
    from.execute(&format!(
        "{TYPE_ROWS}{ENDLESS} alter database {} set timezone = 'Asia/Kathmandu'; \
         alter database {0} set extra_float_digits = -5; alter database {0} set datestyle = 'German'",
        from.name()
    ));
    let first = export(&run, &from.url(), "first.json");
    for part in [
        r#""b": true, "s": -32768"#,
        r#""r": 0.10000000149011612, "d": 0.1, "n": "12345678901234567890.50", "m": "-0.05""#,
        r#""j": "{\"b\" : 1,  \"a\":[]}""#,
        r#""tz": "2026-01-02T01:04:05.678901Z", "ts": "1999-12-31T23:59:59", "dt": "2024-02-29""#,
        r#""ta": "[\"a\",null,\"NULL\",\"\",\"{\\\"\"]""#,
        r#""d": {"$number": "Infinity"}"#,
        r#""r": -0.0, "d": -0.0"#,
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    import(&run, "first.json", &to.url(), "3 tables, 12 rows");
    assert_eq!(export(&run, &to.url(), "second.json"), first);
    let digest = "select md5(string_agg(k::text, '|' order by id)) from kinds k";
    assert_eq!(
        to.value(digest),
        from.value(&format!("set timezone = 'UTC'; set datestyle = 'ISO'; set extra_float_digits = 1; {digest}"))
            .lines()
            .last()
            .unwrap_or_default()
    );
    assert_eq!(to.value("insert into kinds (s) values (21) returning id::text || g"), "942");
}

#[test]
fn an_export_can_be_imported_into_the_other_database_and_back_without_differences() {
    let run = with_schema(TYPES, LITE_TYPES);
    let (from, to) = (database(), database());
    run.clone().url(&from.url()).output().expect_code(0);
    from.execute(TYPE_ROWS);
    export(&run, &from.url(), "first.json");
    import(&run, "first.json", "sqlite:///app.db", "3 tables, 9 rows");
    assert_eq!(
        sqlite::value(
            &at(&run, "app.db"),
            "select typeof(b) || b || typeof(y) || typeof(d) || n || m || g from kinds where id = -5;"
        ),
        "integer1blobreal12345678901234567890.50-0.05-65536"
    );
    compare(&run, "app.db", &from);
    export(&run, "sqlite:///app.db", "lite.json");
    import(&run, "lite.json", &to.url(), "3 tables, 9 rows");
    compare(&run, "app.db", &to);
    assert_eq!(export(&run, &to.url(), "last.json"), fs::read_to_string(at(&run, "first.json")).expect("the first"));
}

const HUB_ROWS: &str = r#"
    insert into agents (id, name, domain, version, capabilities, created_at) values
        (1, 'Zoë 🚀', 'ops', '1.0', '["deploy"]', '2026-01-02T03:04:05.678Z'), (40, 'it''s "so"', 'ops', '2', '[]', '2026-01-02 03:04:05');
    insert into workflows (id, name, definition, is_enabled) values (1, 'w', '{"steps": [1e2]}', 0);
    insert into events (id, event_type, source, agent_id, payload) select value, 'tick', 'clock', 1, json_object('n', value) from generate_series(1, 500);
    create table alembic_version (version_num varchar(32) not null);
    insert into alembic_version values ('abc');
"#;

/// The code block that the guide prints, on a real file.
#[test]
fn the_output_of_the_guides_python_code_is_imported_into_both_databases() {
    let run = hub();
    filled(&run, "data/devops_hub.db", HUB_ROWS);
    let blocks = guide::blocks("sqlite-to-postgres.md");
    let snippet = blocks.iter().find(|block| block.info == "python").expect("a python block");
    let mut python = clean_command("python3");
    python.args(["-c", &snippet.text]).current_dir(run.dir());
    must_run(python);
    let written = fs::read_to_string(at(&run, "data_export.json")).expect("what Python has written");
    assert!(written.contains("\\ud83d\\ude80") && written.contains("alembic_version"), "{written}");
    let target = database();
    let finished = run.clone().url(&target.url()).args(["import", "data_export.json"]).output();
    expect_last_line(&finished, 0, &["imported 7 tables, 503 rows"]);
    finished.says("left alone: alembic_version, the bookkeeping of Alembic");
    finished.says("left alone: lockkeeper_history, the bookkeeping of Lockkeeper");
    let compared = run.clone().url(&target.url());
    expect_last_line(
        &compared.args(["compare", "--from", "sqlite:///data/devops_hub.db"]).output(),
        0,
        &["equal: 7 tables, 503 rows"],
    );
    import(&run, "data_export.json", "sqlite:///again.db", "7 tables, 503 rows");
    let exported = |name: &str, url| export(&run, url, name);
    assert_eq!(exported("a.json", "sqlite:///data/devops_hub.db"), exported("b.json", "sqlite:///again.db"));
}

/// Numbers as Python writes them, keys in any order, nested values, and rows without columns that the target fills in.
#[test]
fn values_that_other_programs_write_are_converted_exactly() {
    let run = with_schema(
        "create table t (id bigint primary key, d double precision, n numeric, j jsonb, b boolean, made text default 'now', g int generated always as (id * 2) stored);",
        "create table t (id integer primary key, d real, n text, j text, b boolean, made text default 'now', g int as (id * 2));",
    );
    let run = run.file(
        "other.json",
        "{\"t\": [{\"id\": 1, \"d\": Infinity, \"n\": 0.12345678901234567890, \"j\": {\"a\": [1, \"\\u00e9\"]}, \"b\": true, \"g\": 2},\n \
         {\"b\": false, \"j\": [], \"g\": 4, \"n\": 18446744073709551616, \"d\": -0.0, \"id\": 2}],\n \"gone\": [], \"sqlite_stat1\": [{\"tbl\": \"t\"}]}",
    );
    let target = database();
    import(&run, "other.json", &target.url(), "1 table, 2 rows");
    let finished = run.clone().url(&database().url()).args(["import", "other.json"]).output();
    for line in [
        "t.g, the target generates it",
        "gone, it has no rows, and the target has no such table",
        "sqlite_stat1, SQLite's own",
    ] {
        finished.says(&format!("left alone: {line}"));
    }
    import(&run, "other.json", "sqlite:///app.db", "1 table, 2 rows");
    let query = "select id, d, n, b, made, g from t order by id";
    assert_eq!(target.query(query), "1|Infinity|0.12345678901234567890|t|now|2\n2|-0|18446744073709551616|f|now|4\n");
    let lite = sqlite::query(&at(&run, "app.db"), "select id, d, n, b, made, g, typeof(n), j from t order by id;");
    assert_eq!(
        lite,
        "1|Inf|0.12345678901234567890|1|now|2|text|{\"a\": [1, \"\\u00e9\"]}\n2|0.0|18446744073709551616|0|now|4|text|[]\n"
    );
    target.execute("update t set d = 0 where id = 2");
    compare(&run, "app.db", &target);
}

fn a_choice_of_tables_is_exported_and_imported<D: Database>() {
    let run = with_schema(
        "create table a (id int); create table b (id int);",
        "create table a (id int); create table b (id int);",
    );
    let (from, to) = (D::create("from"), D::create("to"));
    run.clone().url(&from.url()).output().expect_code(0);
    from.query("insert into a values (1)");
    from.query("insert into b values (2)");
    let run = run.url(&from.url());
    expect_last_line(
        &run.clone().args(["export", "b.json", "--only", "B"]).output(),
        0,
        &["exported 1 table, 1 row to b.json"],
    );
    assert_eq!(fs::read_to_string(at(&run, "b.json")).expect("b"), "{\n\"b\": [\n{\"id\": 2}\n]\n}\n");
    expect_last_line(
        &run.clone().args(["export", "c.json", "--only", "c"]).output(),
        64,
        &["c: --only names it", "nothing was changed"],
    );
    assert!(!at(&run, "c.json").exists() && !at(&run, "c.json.lockkeeper-partial").exists());
    // The result and the rows are not mixed on standard output.
    let printed = run.clone().args(["export", "-", "--exclude", "a", "--json"]).output();
    expect_last_line(&printed, 0, &["exported 1 table, 1 row to standard output"]);
    assert_eq!(printed.stdout, "{\n\"b\": [\n{\"id\": 2}\n]\n}\n");
    run.clone().args(["export", "all.json"]).output().expect_code(0);
    let run = run.url(&to.url());
    let result = run.clone().args(["import", "all.json", "--exclude", "a", "--json"]).output();
    expect_last_line(&result, 0, &["imported 1 table, 1 row, "]);
    assert!(result.stdout.starts_with("{\"code\":0,\"name\":\"settled\""), "{result}");
    assert_eq!(to.query("select (select count(*) from a), (select id from b)"), "0|2\n");
}

on_either!(a_choice_of_tables_is_exported_and_imported);

#[test]
fn values_that_no_import_could_accept_are_reported_by_the_export() {
    let schema = "create table t (id int primary key, took interval, many int[]); \
         create table none (twice int generated always as (2) stored); create table cases (a int, \"A\" int);";
    let run = with_schema(schema, "create table t (id int, took text, many text);");
    let from = database();
    let run = run.url(&from.url());
    run.output().expect_code(0);
    from.execute("insert into public.t values (1, '1 day 02:00', '{{1,2},{3,4}}'), (2, null, '[0:1]={5,6}'); create schema other; create table other.t (id int)");
    let several = run.clone().args(["export", "t.json"]).output();
    expect_last_line(&several, 65, &["t: there are several such tables", "--exclude", "nothing was changed"]);
    from.execute("drop table other.t");
    let finished = run.clone().args(["export", "t.json", "--only", "t"]).output();
    expect_last_line(&finished, 0, &["exported 1 table, 2 rows"]);
    finished.says("t.took: values of the type interval are written as text");
    let text = fs::read_to_string(at(&run, "t.json")).expect("the export");
    assert!(text.contains(r#"{"id": 1, "took": "1 day 02:00:00", "many": "{{1,2},{3,4}}"}"#), "{text}");
    assert!(text.contains(r#""many": "[0:1]={5,6}""#), "{text}");
    let to = database();
    let imported = run.clone().url(&to.url()).args(["import", "t.json"]).output();
    expect_last_line(&imported, 65, &["t.took: values of the type interval cannot be written"]);
    import(&run, "t.json", "sqlite:///app.db", "1 table, 2 rows");
    from.execute("insert into none default values; insert into none default values");
    let finished = run.clone().args(["export", "none.json", "--exclude", "t"]).output();
    expect_last_line(&finished, 0, &["exported 2 tables, 2 rows"]);
    finished.says("none: no column has values of its own");
    finished.says("cases: the columns a and A differ in case alone");
    let text = fs::read_to_string(at(&run, "none.json")).expect("the export");
    assert_eq!(text, "{\n\"cases\": [],\n\"none\": [\n{},\n{}\n]\n}\n");
}

/// Neither the history nor the journal belongs to the data.
#[test]
fn the_tables_of_lockkeeper_are_not_exported() {
    let target = database();
    let run = Run::new().env("LOCKKEEPER_BACKUP", "off");
    let run = run.migrations(&[("0001_a.sql", "-- no-transaction\ncreate table a (id integer);\n")]);
    for (url, file) in [(&*target.url(), "postgres.json"), ("sqlite:///app.db", "sqlite.json")] {
        run.clone().url(url).output().expect_code(0);
        let exported = export(&run, url, file);
        assert!(exported.contains("\"a\"") && !exported.contains("lockkeeper"), "{exported}");
    }
}
