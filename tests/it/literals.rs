//! Tests of string literals whose meaning depends on a setting: the text inside of one is never run as statements.

use crate::apply::{expect_end, history, run_on};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::{sqlite, unique};

/// One literal when a backslash escapes the quote, three statements when it does not.
const DELETES: &str = "insert into kept select 'it\\'; delete from kept; --';";

/// Creates a database with revision 0001 and a table `kept` with one row.
fn with_kept_row(name: &str) -> PgDatabase<'static> {
    let database = Postgres::shared().database(name);
    database.execute("create table kept (note text); insert into kept values ('first')");
    expect_end(&run_on(&database, &[FIRST]), 0, &["up to date at 0001"]);
    database
}

const FIRST: (&str, &str) = ("0001_a.sql", "create table a ();");

#[track_caller]
fn expect_nothing_deleted(database: &PgDatabase) {
    assert_eq!(database.query("select note from kept"), "first\n");
    assert_eq!(history(database), "0001|applied\n");
}

#[test]
fn a_script_that_switches_the_setting_off_is_refused_where_it_matters() {
    let database = with_kept_row("switched");
    for set in [
        "set standard_conforming_strings = off;",
        "set session Standard_Conforming_Strings to 'off';",
        "set local standard_conforming_strings = f;",
        "select set_config('standard_conforming_strings', 'off', false);",
        "do $$ begin set standard_conforming_strings = off; end $$;",
    ] {
        for directive in ["", "-- no-transaction\n"] {
            let file = format!("{directive}select 1;\n{set}\n  {DELETES}");
            let run = run_on(&database, &[FIRST, ("0002_b.sql", &file)]);
            let lines = directive.lines().count();
            let place = format!("0002_b.sql:{}:27: a backslash in this string literal", lines + 3);
            let line = format!("line {} may switch standard_conforming_strings off", lines + 2);
            expect_end(&run, 65, &[&place, &line, "nothing was changed"]);
            expect_end(&run.args(["check", "--offline"]), 65, &[&place, &line]);
            expect_nothing_deleted(&database);
        }
    }
}

#[test]
fn a_default_that_is_off_is_noticed_before_anything_runs() {
    let database = with_kept_row("default");
    let (role, name) = (unique("legacy"), database.name());
    database.execute(&format!("create role {role} superuser login password 'pass7word'"));
    let as_role = database.url_as(&role, "pass7word");
    let with_options = format!("{}?options=-c%20standard_conforming_strings%3Doff", database.url());
    let on = format!("alter role {role} reset all; alter database {name} reset all");
    for (off, url) in [
        (format!("alter role {role} set standard_conforming_strings = off"), &as_role),
        (format!("alter database {name} set standard_conforming_strings = off"), &as_role),
        ("select 1".into(), &with_options),
    ] {
        database.execute(&off);
        for directive in ["", "-- no-transaction\n"] {
            let file = format!("{directive}{DELETES}");
            let run = run_on(&database, &[FIRST, ("0002_b.sql", &file)]).url(url);
            let why = "standard_conforming_strings is off for this role or in this database";
            for verb in [&["upgrade"][..], &["check"], &["upgrade", "--plan"], &["upgrade", "--sql"]] {
                expect_end(&run.clone().args(verb.iter().copied()), 65, &["a backslash in this string", why]);
            }
            expect_nothing_deleted(&database);
        }
        database.execute(&on);
    }
    database.execute(&format!("drop owned by {role}; drop role {role}"));
}

/// A default that one file changes applies to the next files, as it does when psql runs each by itself.
#[test]
fn a_default_that_an_earlier_file_changes_is_noticed() {
    let database = with_kept_row("earlier");
    let alter = format!("alter database {} set standard_conforming_strings = off;", database.name());
    let run = run_on(&database, &[FIRST, ("0002_b.sql", &alter), ("0003_c.sql", DELETES)]);
    expect_end(&run, 65, &["0003_c.sql:1:25: ", "an earlier file may switch standard_conforming_strings off"]);
    expect_nothing_deleted(&database);
}

/// Files with the same meaning either way run, and their functions behave as with psql.
#[test]
fn with_the_setting_off_other_files_run_as_with_psql() {
    let files = [
        ("0001_a.sql", "create table t (note text); insert into t values (E'it\\'s'), ($$a\\b$$), ('plain');"),
        ("0002_b.sql", "insert into t select said();"),
        (
            "0003_c.sql",
            "-- no-transaction\nset standard_conforming_strings = on;\nselect 1;\ninsert into t values ('C:\\'), ('D:\\');",
        ),
        ("0004_d.sql", "set standard_conforming_strings = on;\ninsert into t values ('C:\\'), ('D:\\');"),
        ("0005_it\\'s; drop table t; --.sql", "-- no-transaction\ninsert into t select said();\nselect 1;"),
    ];
    let [by_psql, ours] = ["psql", "ours"].map(|name| Postgres::shared().database(name));
    for database in [&by_psql, &ours] {
        // The function body was written for the setting: one literal, no statement.
        database.execute(&format!(
            "set standard_conforming_strings = off;
             create function said() returns text language plpgsql as $f$ declare said text; begin said := 'it\\'; delete from t; --'; return said; end $f$;
             alter database {} set standard_conforming_strings = off",
            database.name()
        ));
    }
    let run = run_on(&ours, &files);
    expect_end(&run, 0, &["up to date at 0005: 5 revisions"]);
    for (_, text) in files {
        by_psql.execute(text);
    }
    let rows = "select note from t order by note";
    assert_eq!(ours.query(rows), by_psql.query(rows));
    assert_eq!(ours.value("select count(*) from t where note like 'it%delete%'"), "2");
    assert_eq!(
        ours.value("select description from lockkeeper_history where revision = '0005'"),
        "it\\'s; drop table t; --"
    );
    // The same files as a script for psql, in a session with that default.
    by_psql.execute("drop table t");
    by_psql.execute(&run.args(["upgrade", "--sql", "base:head"]).output().expect_code(0).stdout);
    assert_eq!(ours.query(rows), by_psql.query(rows));
    assert_eq!(history(&ours), history(&by_psql));
}

/// The file does not show it: it is found before the transaction is committed.
#[test]
fn a_function_that_switches_the_setting_off_is_noticed() {
    let database = with_kept_row("hidden");
    let body = "select set_config('standard_' || 'conforming_strings', 'off', false)";
    database.execute(&format!("create function legacy() returns text language sql as $$ {body} $$"));
    // One literal for psql. Here it is two statements, and they are rolled back.
    let file = format!("select legacy();\n{DELETES}");
    let run = run_on(&database, &[FIRST, ("0002_b.sql", &file)]);
    expect_end(&run, 65, &["0002_b.sql: a function that it calls has switched standard_conforming_strings off"]);
    expect_nothing_deleted(&database);
    let without = file.replace("\\'", "");
    expect_end(&run.migrations(&[("0002_b.sql", &without)]), 0, &["up to date at 0002"]);
    assert_eq!(database.value("select count(*) from kept"), "2");
}

/// In these encodings a character may end with the byte of a backslash.
#[test]
fn a_script_that_changes_the_encoding_is_refused() {
    let database = with_kept_row("encoding");
    let deletes = "insert into kept values (E'中\\'); delete from kept; --');";
    for set in [
        "set client_encoding = 'GBK';",
        "SET NAMES 'big5';",
        "select set_config('client_encoding', 'uhc', false);",
        "do $$ begin set client_encoding = 'gb18030'; end $$;",
    ] {
        let file = format!("-- no-transaction\n{set}\n{deletes}");
        let run = run_on(&database, &[FIRST, ("0002_b.sql", &file)]);
        expect_end(&run, 65, &["0002_b.sql:2:1: files are sent as UTF-8", "nothing was changed"]);
        expect_nothing_deleted(&database);
    }
    let file = "set client_encoding = 'UTF8'; set names 'unicode'; insert into kept values ('中');";
    expect_end(&run_on(&database, &[FIRST, ("0002_b.sql", file)]), 0, &["up to date at 0002"]);
}

#[test]
fn on_sqlite_a_backslash_is_a_character_like_any_other() {
    let name = "0002_it\\'s; drop table t; --.sql";
    let run = Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(&[
        ("0001_a.sql", "create table t (note text); insert into t values ('C:\\');"),
        (name, "insert into t values ('it\\''s');"),
    ]);
    expect_end(&run, 0, &["up to date at 0002"]);
    let file = run.dir().join("app.db");
    assert_eq!(sqlite::value(&file, "select group_concat(note, ' ') from t;"), "C:\\ it\\'s");
    let description = "select description from lockkeeper_history where revision = '0002';";
    assert_eq!(sqlite::value(&file, description), "it\\'s; drop table t; --");
}
