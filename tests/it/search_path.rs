//! Tests that our own statements use the system's objects, whatever a role, a database or a script has put before them
//! on the search path. A schema shadows every operator, function and type that the sources could mean; each of them
//! writes a line to the server's log when it is called, which no rollback removes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::postgres::{PASSWORD, Postgres, Setup};
use crate::support::process::run_with_input;
use crate::support::{sqlite, unique};

const EVIL_FIRST: &str = "evil, pg_catalog, public";

/// Returns every word of the sources: system functions of these names are shadowed.
fn shadowed_names() -> String {
    fn read(directory: &Path, shadowed_names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).expect("a directory of the source").flatten() {
            match entry.path() {
                path if path.is_dir() => read(&path, shadowed_names),
                path => {
                    let text = fs::read_to_string(path).expect("a source file");
                    let found = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                    let names =
                        found.filter(|word| word.len() > 2 && word.starts_with(|c: char| c.is_ascii_lowercase()));
                    shadowed_names.extend(names.map(str::to_owned));
                }
            }
        }
    }
    let mut shadowed_names = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut shadowed_names);
    shadowed_names.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

/// Fills a schema with objects that shadow the system's. Operators on types that have none would be an even better
/// match than the system's, which need a cast.
fn shadow(schema: &str) -> String {
    let body = format!(
        "'begin raise log ''shadowed % %'', ''{schema}'', '''||name||'''; raise exception ''shadowed %'', '''||name||'''; end'"
    );
    format!(
        r#"
create function {schema}.trap(what text) returns boolean language plpgsql set search_path to pg_catalog as
  $$ begin raise log 'shadowed {schema} %', what; return true; end $$;
create function pg_temp.make(name text, arguments text, result text) returns text language plpgsql set search_path to pg_catalog as $make$
begin
  execute format('create function {schema}.%I(%s) returns %s language plpgsql set search_path to pg_catalog as %L', name, arguments, result, {body});
  return name;
exception when others then return null;
end $make$;
create function pg_temp.make_operator(symbol text, l oid, r oid, result oid, number int) returns void language plpgsql set search_path to pg_catalog as $make$
declare name text := pg_temp.make(format('operator_%s_%s', number, symbol), concat_ws(', ', case when l <> 0 then format_type(l, null) end, format_type(r, null)), format_type(result, null));
begin
  if name is not null then
    execute format('create operator {schema}.%s (%s rightarg = %s, function = {schema}.%I)', symbol,
      case when l <> 0 then format('leftarg = %s,', format_type(l, null)) else '' end, format_type(r, null), name);
  end if;
exception when others then null;
end $make$;
set search_path to pg_catalog;
select count(pg_temp.make_operator(oprname, oprleft, oprright, oprresult, oid::int))
  from pg_operator where oprnamespace = 'pg_catalog'::regnamespace and oprresult <> 0
  and oprname in ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '%', '||', '~', '!~', '~~', '!~~', '->', '->>', '&&', '@>');
select count(pg_temp.make_operator(symbol, l::regtype, r::regtype, result::regtype, 0))
  from unnest(array['oid', 'regclass', 'name', 'text', '"char"', 'int', 'bigint', 'numeric', 'boolean', 'interval', 'varchar']) l,
       unnest(array['oid', 'regclass', 'name', 'text', '"char"', 'int', 'bigint', 'numeric', 'boolean', 'interval', 'varchar']) r,
       (values ('=', 'boolean'), ('<>', 'boolean'), ('<', 'boolean'), ('>', 'boolean'), ('~', 'boolean'), ('~~', 'boolean'), ('||', 'text'), ('/', 'int'), ('-', 'bigint'), ('+', 'bigint'), ('*', 'bigint')) o (symbol, result);
select count(pg_temp.make(proname, pg_catalog.oidvectortypes(proargtypes), case when proretset then 'setof ' else '' end || format_type(prorettype, null)))
  from pg_proc where pronamespace = 'pg_catalog'::regnamespace and prokind in ('f', 'a', 'w') and proname in ({shadowed_names});
select pg_temp.make('count', '', 'bigint'), pg_temp.make('format', 'text, text', 'text'), pg_temp.make('format', 'text, name, name', 'text'),
  pg_temp.make('concat', 'text, text', 'text'), pg_temp.make('concat_ws', 'text, text, text', 'text'), pg_temp.make('sum', 'numeric', 'numeric');
do $do$
declare name text;
begin
  foreach name in array array['text', 'name', 'oid', 'int8', 'int4', 'bool', 'regclass', 'timestamptz', 'bytea'] loop
    execute format('create domain {schema}.%I as pg_catalog.%I check ({schema}.trap(%L))', name, name, name);
  end loop;
  foreach name in array array['pg_class', 'pg_namespace', 'pg_settings', 'pg_locks', 'pg_database', 'pg_stat_activity', 'pg_attribute'] loop
    execute format('create view {schema}.%I as select {schema}.trap(%L) as oid', name, name);
  end loop;
end $do$;
"#,
        shadowed_names = shadowed_names()
    )
}

/// A server with a database whose search path begins with the shadowing schema, for the user of the runs alone.
struct Shadowed {
    server: Postgres,
    database: String,
    user: String,
    schema: &'static str,
    /// The length of the server's log before the first run.
    logged: usize,
}

impl Shadowed {
    fn new(schema: &'static str, path: Option<&str>) -> Shadowed {
        let server = Postgres::start(Setup::default());
        let (database, user) = (unique("shadowed"), unique("user"));
        server.execute(&format!("create database {database} template template0"));
        server.execute(&format!("create role {user} superuser login password '{PASSWORD}'"));
        if let Some(path) = path {
            server.execute(&format!("alter role {user} set search_path = {path}"));
        }
        let mut shadowed = Shadowed { server, database, user, schema, logged: 0 };
        if schema != "public" {
            shadowed.query(&format!("create schema {schema}"));
        }
        shadowed.query(&shadow(schema));
        let made = shadowed.query("select count(*) from pg_operator where oprnamespace <> 11");
        assert!(made.parse::<u32>().expect("a number") > 500, "only {made} operators are shadowed");
        let question = format!("set session authorization {}; set search_path = {schema}, pg_catalog;", shadowed.user);
        for expression in
            ["1 / 1", "'x'::text", "current_setting('x')", "'pg_class'::pg_catalog.regclass = 1::pg_catalog.oid"]
        {
            let _ = shadowed.server.psql(&shadowed.database, &format!("{question} select {expression}"));
            let called = format!("shadowed {schema} ");
            assert!(shadowed.server.log()[shadowed.logged..].contains(&called), "{expression} is not shadowed");
            shadowed.logged = shadowed.server.log().len();
        }
        shadowed
    }

    /// Runs SQL as the superuser of the tests, with a search path on which nothing is shadowed.
    #[track_caller]
    fn query(&self, sql: &str) -> String {
        let sql = format!("set search_path to pg_catalog;\n{sql}");
        let answer = self.server.psql(&self.database, &sql).unwrap_or_else(|complaint| panic!("{complaint}"));
        answer.trim_end().to_owned()
    }

    fn run(&self) -> Run {
        let partitions = "create table parts (id int) partition by list (id);
            create table part partition of parts for values in (1);";
        Run::new()
            .url(&self.server.url_as(&self.user, PASSWORD, &self.database))
            .env("LOCKKEEPER_BACKUP_DIR", "safe")
            .migrations(&[
                ("0001_one.up.sql", "create table one (id int primary key, name varchar(9));"),
                ("0001_one.down.sql", "drop table one;"),
                ("0002_two.up.sql", partitions),
                ("0002_two.down.sql", "drop table parts;"),
                (
                    "0003_three.up.sql",
                    "-- no-transaction\ncreate table three (id int);\ncreate index concurrently three_id on three (id);\n\
                     alter table parts detach partition part concurrently;\nvacuum three;\n",
                ),
                ("0003_three.down.sql", "-- no-transaction\ndrop index concurrently three_id;\ndrop table three;\ndrop table part;\n"),
            ])
    }

    /// Expects that nothing that shadows a name was called.
    #[track_caller]
    fn expect_no_call(&self, by: &str) {
        let mark = format!("shadowed {} ", self.schema);
        let log = self.server.log();
        let calls: BTreeSet<&str> =
            log[self.logged..].lines().filter_map(|line| line.split_once(&mark)).map(|(_, what)| what).collect();
        assert!(calls.is_empty(), "{by} has called {calls:?}");
    }

    #[track_caller]
    fn expect_end(&self, run: &Run, code: i32, parts: &[&str]) {
        let finished = expect_end(run, code, parts);
        self.expect_no_call(&format!("{finished}"));
    }
}

/// Runs every command that connects to a database.
fn run_every_command(shadowed: &Shadowed) {
    let run = shadowed.run();
    let verb = |arguments: &[&str]| run.clone().args(arguments.iter().copied());
    shadowed.expect_end(&verb(&["check"]), 2, &["3 revisions are pending"]);
    shadowed.expect_end(&verb(&["upgrade", "--plan"]), 0, &[]);
    shadowed.expect_end(&verb(&["upgrade", "0002"]), 0, &["up to date at 0002"]);
    shadowed.expect_end(&verb(&["upgrade", "--rehearse"]), 0, &["up to date at 0003"]);
    for reading in
        [&["check"][..], &["current"], &["history"], &["heads"], &["wait"], &["wait", "--migrated"], &["backups"]]
    {
        shadowed.expect_end(&verb(reading), 0, &[]);
    }
    shadowed.expect_end(&verb(&["downgrade", "0001"]), 0, &[]);
    shadowed.expect_end(&verb(&["stamp", "0002"]), 0, &[]);
    shadowed.expect_end(&verb(&["stamp", "0001"]), 0, &[]);
    let edited = verb(&["repair"]).file("migrations/0001_one.down.sql", "drop table one; -- edited");
    shadowed.expect_end(&edited.arg("--yes"), 0, &[]);
    shadowed.expect_end(&verb(&["downgrade", "base"]), 0, &[]);
    shadowed.expect_end(&verb(&["upgrade"]), 0, &["up to date at 0003"]);
}

#[test]
fn no_command_calls_a_shadowing_operator_function_or_type() {
    run_every_command(&Shadowed::new("evil", Some(EVIL_FIRST)));
}

/// A user who may create objects in `public` needs no search path of their own: a better match than the system's is
/// enough.
#[test]
fn no_command_calls_objects_that_another_role_has_created_in_public() {
    run_every_command(&Shadowed::new("public", None));
}

#[test]
fn backups_and_rows_are_read_and_restored_without_calling_shadowing_objects() {
    let shadowed = Shadowed::new("evil", Some(EVIL_FIRST));
    let run = shadowed.run();
    let verb = |arguments: &[&str]| run.clone().args(arguments.iter().copied());
    shadowed.expect_end(&verb(&["upgrade"]), 0, &[]);
    let one = shadowed.query(
        "select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relname = 'one'",
    );
    sqlite::query(
        &run.dir().join("source.db"),
        "create table one (id integer primary key, name text); insert into one values (1, 'x'), (2, null)",
    );
    let from = ["--from", "sqlite:///source.db"];
    shadowed.expect_end(&verb(&["transfer"]).args(from), 0, &[]);
    shadowed.expect_end(&verb(&["compare"]).args(from), 0, &[]);
    shadowed.expect_end(&verb(&["export", "rows.json"]), 0, &[]);
    shadowed.query(&format!("delete from {one}.one"));
    shadowed.expect_end(&verb(&["import", "rows.json"]), 0, &[]);
    shadowed.expect_end(&verb(&["backup"]), 0, &[]);
    let mut archives: Vec<String> = fs::read_dir(run.dir().join("safe"))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".dump"))
        .collect();
    archives.sort();
    let newest = format!("safe/{}", archives.last().expect("a backup"));
    for place in [&["restore", "--yes"][..], &["restore", "--yes", "--in-place"]] {
        shadowed.expect_end(&verb(place).arg(&newest), 0, &[]);
    }
    assert_eq!(shadowed.query(&format!("select count(*) from {one}.one")), "2");
}

/// psql runs the printed script under the same search path.
#[test]
fn a_printed_script_calls_no_shadowing_objects() {
    let shadowed = Shadowed::new("evil", Some(EVIL_FIRST));
    for (verb, target) in
        [("upgrade", "base:head"), ("downgrade", "head:base"), ("upgrade", "head"), ("downgrade", "base")]
    {
        let printed = shadowed.run().args([verb, "--sql", target]).output();
        shadowed.expect_no_call("printing");
        feed(&shadowed, &printed.expect_code(0).stdout);
        shadowed.expect_no_call(&format!("the script of {verb} {target}"));
        let state = if verb == "upgrade" { 0 } else { 2 };
        expect_end(&shadowed.run().arg("check"), state, &[]);
    }
}

/// Feeds a script to psql as the user of the runs.
fn feed(shadowed: &Shadowed, script: &str) {
    let mut command = shadowed.server.psql_command(&shadowed.database);
    command.env("PGUSER", &shadowed.user).env("PGPASSWORD", PASSWORD);
    let output = run_with_input(command, script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The journal statements of a script do not use the search path that the script has set.
#[test]
fn a_search_path_of_the_script_does_not_affect_our_statements() {
    let shadowed = Shadowed::new("evil", None);
    let path = "set search_path = evil, pg_catalog, public;";
    let run = shadowed.run().env("LOCKKEEPER_BACKUP", "off");
    let run = run
        .file("migrations/0001_one.up.sql", format!("{path} create table public.one (id int primary key);"))
        .file("migrations/0002_two.up.sql", format!("-- no-transaction\n{path}\ncreate table public.parts (id int);\ncreate index concurrently parts_id on public.parts (id);\nvacuum public.parts;\n"))
        .file("migrations/0003_three.up.sql", "create table three (id int);");
    shadowed.expect_end(&run, 0, &["up to date at 0003"]);
    assert_eq!(shadowed.query("select 'public.three'::regclass is not null"), "t");
}
