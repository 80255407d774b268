//! Tests of the text of a file: what is refused when it is read, before anything runs, and what runs.

use std::fmt::Write;

use crate::apply::{expect_end, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, sqlite, unique};

const GOOD: (&str, &str) = ("0001_good.sql", "create table good (id integer);");

fn on_sqlite(files: &[(&str, &str)]) -> Run {
    Run::new().url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off").migrations(files)
}

/// Expects that the files are refused before anything ran: neither the valid file nor the history table was created.
#[track_caller]
fn expect_refused(database: &PgDatabase, files: &[(&str, &str)], parts: &[&str]) -> Finished {
    let run = run_on(database, &[GOOD]).migrations(files);
    let finished = expect_end(&run, 65, &[parts, &["nothing was changed"]].concat());
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(database.value(tables), "0", "{finished}");
    finished
}

#[track_caller]
fn expect_refused_by_sqlite(files: &[(&str, &str)], parts: &[&str]) {
    let run = on_sqlite(&[GOOD]).migrations(files);
    let finished = expect_end(&run, 65, &[parts, &["nothing was changed"]].concat());
    assert!(!run.dir().join("app.db").exists(), "{finished}");
}

/// Statements that PostgreSQL refuses inside of a transaction need `-- no-transaction`.
#[test]
fn statements_that_cannot_run_in_a_transaction_are_found_before_anything_runs() {
    let database = Postgres::shared().database("alone");
    let files = [
        ("0002_a.sql", "-- why\n\ncreate index concurrently i on good (id);"),
        ("0003_b.sql", "select 1;\nvacuum (analyze) good;"),
        ("0004_c.sql", "alter /* ; */ system set work_mem = '1GB';"),
        ("0005_d.sql", "create table x ();\nCREATE DATABASE other;\n drop database other;"),
        ("0006_e.sql", "reindex table concurrently good"),
    ];
    let places = [
        "0002_a.sql:3:1: ",
        "0003_b.sql:2:1: ",
        "0004_c.sql:1:1: ",
        "0005_d.sql:2:1: ",
        "0005_d.sql:3:2: ",
        "0006_e.sql:1:1: ",
    ];
    expect_refused(
        &database,
        &files,
        &[&places[..], &["add the line `-- no-transaction` at the top of the file"]].concat(),
    );
    let other = unique("other");
    let files = [
        ("0002_a.sql", "-- no-transaction\n-- why\n\ncreate index concurrently i on good (id);".to_owned()),
        ("0003_b.sql", "-- no-transaction\nselect 1;\nvacuum (analyze) good;".into()),
        ("0004_d.sql", format!("-- no-transaction\nCREATE DATABASE {other};\n drop database {other};")),
        ("0005_e.sql", "--no-transaction\nreindex table concurrently good".into()),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    expect_end(&run_on(&database, &[GOOD]).migrations(&files), 0, &["up to date at 0005: 5 revisions"]);
    assert_eq!(database.value("select indisvalid from pg_index where indexrelid = 'i'::regclass"), "t");
}

/// A file must not begin or end transactions itself.
#[test]
fn a_files_own_transactions_are_found_before_anything_runs() {
    let database = Postgres::shared().database("own");
    let files = [
        ("0002_a.sql", "BEGIN;\ncreate table a (id integer);\nCOMMIT;"),
        ("0003_b.sql", "-- no-transaction\ncreate table b (id integer);\n\n  rollback;"),
        ("0004_c.sql", "select 'begin;'; /* commit; */ end"),
    ];
    let both = [
        "0002_a.sql:1:1: ",
        "0002_a.sql:3:1: ",
        "0003_b.sql:4:3: ",
        "0004_c.sql:1:32: ",
        "remove BEGIN, COMMIT and ROLLBACK",
    ];
    expect_refused(&database, &files, &both);
    expect_refused_by_sqlite(&files, &both);
    let files = [("0002_a.sql", "start transaction isolation level serializable;\nabort;\nprepare transaction 'x'")];
    expect_refused(&database, &files, &["0002_a.sql:1:1: ", "0002_a.sql:2:1: ", "0002_a.sql:3:1: "]);
    let savepoints = "savepoint a; create table a (id integer); rollback to a; release savepoint a;
        create table begin (\"commit\" integer);";
    expect_end(&run_on(&database, &[GOOD, ("0002_a.sql", savepoints)]), 0, &["up to date at 0002"]);
}

/// pg_dump writes COPY data blocks unless it is called with --inserts.
#[test]
fn data_blocks_and_psql_commands_are_found_before_anything_runs() {
    let database = Postgres::shared().database("copy");
    let data = "create table t (id int, name text);\n\nCOPY public.t (id, name) FROM stdin;\n1\tO'Neil; \"\n2\t\\N\n\\N\t$a$\n\\.\n\nselect 1;";
    let rows = [
        (data, vec!["0002_a.sql:3:1: ", "COPY data blocks cannot be run", "pg_dump --inserts"]),
        ("select 1;\n\\connect other\nselect 2;", vec!["0002_a.sql:2:1: ", "a command of psql", "remove the line"]),
        (
            "\\restrict abcDEF\n\nselect 1;\n\n\\unrestrict abcDEF\n",
            vec!["0002_a.sql:1:1: ", "0002_a.sql:5:1: ", "\\restrict"],
        ),
        ("copy t to stdout", vec!["0002_a.sql:1:1: "]),
    ];
    for (script, parts) in &rows {
        let finished = expect_refused(&database, &[("0002_a.sql", script)], parts);
        let last = finished.stderr.lines().last().expect("a last line");
        assert!(last.len() < 700, "a line for each row of data: {finished}");
    }
    let many = format!("copy t from stdin;\n{}\\.\n", "\\N\tit's\n".repeat(3_000));
    let finished = expect_refused(&database, &[("0002_a.sql", &many)], &["0002_a.sql:1:1: ", "pg_dump --inserts"]);
    assert!(finished.stderr.len() < 1000, "{} bytes", finished.stderr.len());
    expect_refused_by_sqlite(&[("0002_a.sql", "select 1;\n.read more.sql\n")], &["0002_a.sql:2:1: ", "sqlite3 shell"]);
}

/// A string, comment or statement that is not closed is refused.
#[test]
fn unterminated_texts_are_found_before_anything_runs() {
    let database = Postgres::shared().database("unended");
    for (script, place, what) in [
        ("select 1;\n select 'it''s;\n;", "2:9", "string"),
        ("select E'\\';", "1:8", "string"),
        ("/* a /* b */;\nselect 1;", "1:1", "comment"),
        ("do $a$ begin end $b$;", "1:4", "dollar-quoted string"),
        ("select \"a;", "1:8", "quoted identifier"),
        ("select (1;", "1:8", "parenthesis"),
    ] {
        expect_refused(&database, &[("0002_a.sql", script)], &[&format!("0002_a.sql:{place}: this {what} never ends")]);
    }
    let trigger = "create trigger t after insert on good begin select 1;";
    expect_refused_by_sqlite(&[("0002_a.sql", trigger)], &["0002_a.sql:1:1: this trigger body never ends"]);
}

/// A file has to be UTF-8 with ordinary line ends.
#[test]
fn a_file_that_is_not_utf8_or_has_unusual_line_ends_is_refused() {
    let utf16: Vec<u8> = "select 1;".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let rows: &[(&[u8], &[&str])] = &[
        (&[&[0xff, 0xfe], &utf16[..]].concat(), &["0002_a.sql:1: it is UTF-16; save it as UTF-8"]),
        (b"\xfe\xff\0s\0e", &["0002_a.sql:1: it is UTF-16"]),
        (&utf16, &["0002_a.sql:1: it has a NUL byte"]),
        (b"select 1;\nselect '\xe4';\n", &["0002_a.sql:2: it is not UTF-8"]),
        (b"select 1;\n\nselect '\xc3", &["0002_a.sql:3: it is not UTF-8"]),
        (b"select 1;\nselect 2;\rselect 3;", &["0002_a.sql:2: it has a carriage return without a line feed"]),
        (b"select 1;\n\0", &["0002_a.sql:2: it has a NUL byte"]),
    ];
    for (bytes, parts) in rows {
        let run = on_sqlite(&[GOOD]).file("migrations/0002_a.sql", bytes);
        expect_end(&run, 65, &[*parts, &["nothing was changed"]].concat());
        assert!(!run.dir().join("app.db").exists());
    }
}

/// Every construct of the lexical syntax is accepted on PostgreSQL.
#[test]
fn a_file_with_every_construct_runs_on_postgresql() {
    let script = r#"
create table t (id int primary key, "odd; ""name" text default 'a;''b;', tags jsonb default '{"a": 1}');
/* outer /* inner; */ still; */ -- a line; with 'quotes
insert into t values (1, E'it\'s; \\', '{"b;": 2}'), (2, U&'d\0061t\+000061;', null);
create function f(a int) returns int language plpgsql as $$ begin raise notice ';'; return a + 1; end; $$;
create function g(a int) returns text language sql as $body$ select $$;$$ || ($1)::text || '$body;' $body$;
create function h(a int) returns int language sql begin atomic
    insert into t (id) values (a); select case when a > 1 then (case a when 20 then 7 end) else 0 end; end;
create or replace procedure p() language sql begin atomic insert into t (id) values (100); end;
create rule r as on delete to t do instead (update t set "odd; ""name" = 'gone;' where id = old.id; select 1;);
create view v as select id::text || ';' as "a;b", tags ? 'b;' as has, tags ?| array['b;', ';'] as any_of, tags @> '{}' as c from t;
do $do$ declare x int; begin x := f(1); execute 'create table made (id int);'; if x <> 2 then raise 'no;'; end if; end $do$;
select h(10); call p(); delete from t where id = 1;
create table "Grüße; 日本" ("ä;" int); comment on table "Grüße; 日本" is 'it''s; fine';;; ;
select -1 - -1, 5 != -1, '1'::int, array[1,2]::text[], 1 <@ int4range(0, 9), $q$a$$b$q$
"#;
    for mode in ["", "-- no-transaction\n"] {
        let database = Postgres::shared().database("constructs");
        let run = run_on(&database, &[("0001_a.sql", &format!("{mode}{script}-- the end;"))]);
        expect_end(&run, 0, &["up to date at 0001"]);
        let names = "select id, \"odd; \"\"name\" from t order by id";
        assert_eq!(database.query(names), "1|gone;\n2|data;\n10|a;'b;\n100|a;'b;\n", "{mode}");
        assert_eq!(database.value("select g(1), h(20)"), ";1$body;|7");
        assert_eq!(database.value("select has, any_of from v where \"a;b\" = '1;'"), "t|t");
        assert_eq!(database.value("select count(*) from made, \"Grüße; 日本\""), "0");
        assert_eq!(database.value("select statements_total from lockkeeper_history"), "15");
    }
}

/// Every construct of the lexical syntax is accepted on SQLite.
#[test]
fn a_file_with_every_construct_runs_on_sqlite() {
    let script = r#"
create table t (id integer primary key, [odd; name] text default 'a;''b;', `tick; ` text, "quote; """ text);
/* no /* nesting; */ create table log (what text);
-- a line; with 'quotes
create trigger on_insert after insert on t begin
    update t set [odd; name] = case when new.id > 1 then 'big;' else (select case new.id when 1 then 'one;' end) end
        where id = new.id; -- a comment; in it
    insert into log values ('insert;' || new.id);
end;
create temp trigger if not exists passing after delete on t when old.id > 100 begin select raise(abort, 'no;'); end;
insert into t (id) values (1), (2);;; ;
create view v as select id, '\' as backslash, x'3b' as blob, [odd; name] as "end" from t;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) insert into log select 'n;' || i from n;
explain query plan select * from t;
create table "Grüße; 日本" ("ä;" integer) strict; pragma user_version = 7;
select json_extract('{"a;": [1]}', '$."a;"[0]'), '{"a": 1}' ->> 'a'
"#;
    for mode in ["", "-- no-transaction\n"] {
        let run = on_sqlite(&[("0001_a.sql", &format!("{mode}{script}-- the end;"))]);
        expect_end(&run, 0, &["up to date at 0001"]);
        let file = run.dir().join("app.db");
        let rows = sqlite::query(
            &file,
            "select id, backslash, \"end\" from v; select count(*) from log; pragma user_version;",
        );
        assert_eq!(rows, "1|\\|one;\n2|\\|big;\n12\n7\n", "{mode}");
        assert_eq!(sqlite::value(&file, "select statements_total from lockkeeper_history;"), "11");
        assert_eq!(sqlite::value(&file, "select count(*) from \"Grüße; 日本\";"), "0");
    }
}

/// Many revisions and large files are applied on both databases.
#[test]
fn many_revisions_and_large_files_run_on_both_databases() {
    let database = Postgres::shared().database("many");
    let runs = [run_on(&database, &[]), on_sqlite(&[])];
    let mut inserts = "create table n (i integer);\n".to_owned();
    for i in 1..20_000 {
        writeln!(inserts, "insert into n values ({i});").expect("text");
    }
    let wide = format!("create table w (t text); insert into w values ('{}');", "ä;".repeat(3_500_000));
    for run in runs {
        for number in 1..=298 {
            let name = format!("migrations/{number:04}_r.sql");
            let _ = run.clone().file(name, format!("create table r{number} (id integer);"));
        }
        let run = run.migrations(&[("0299_inserts.sql", &inserts), ("0300_wide.sql", &wide)]);
        expect_end(&run, 0, &["up to date at 0300: 300 revisions"]).within(DEFAULT_TIMEOUT);
        expect_end(&run, 0, &["nothing pending"]);
        let sql = "select (select count(*) from n), (select sum(i) from n), (select length(t) from w), (select statements_total from lockkeeper_history where revision = '0299');";
        let file = run.dir().join("app.db");
        let row = if file.exists() { sqlite::value(&file, sql) } else { database.value(sql) };
        assert_eq!(row, "19999|199990000|7000000|20000");
    }
}
