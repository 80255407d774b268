//! Tests of SQLite files with unusual schemas and values: valid values are transferred exactly, and one run names all
//! others.

use std::fs;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};
use crate::transfer::expect_last_line;

/// Transfers `source.db`, created by the SQL `from`, into the tables of a migration.
fn transfer(from: &str, to: &str) -> (PgDatabase<'static>, Run) {
    let database = Postgres::shared().database("traps");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    let run = run.migrations(&[("0001_tables.sql", to)]);
    sqlite::query(&run.dir().join("source.db"), from);
    (database, run)
}

fn transferred(run: &Run) -> Finished {
    run.clone().args(["transfer", "--from", "sqlite:///source.db"]).output()
}

fn compared(run: &Run) -> Finished {
    run.clone().args(["compare", "--from", "sqlite:///source.db"]).output()
}

/// The type of a column, its values as SQL, and the text that the server returns for each (of `v`), exact to the last
/// bit.
type ValidValues = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Values that are transferred, grouped by the difference between SQLite and PostgreSQL that they are for.
const VALID_VALUES: &[ValidValues] = &[
    // Booleans are stored as integers, reals or words.
    ("boolean", "v", &[("1", "t"), ("0", "f"), ("1.0", "t"), ("'F'", "f"), ("'true'", "t")]),
    // Empty and blank texts are no NULLs, and lengths are counted in characters.
    (
        "text",
        "coalesce(encode(textsend(v), 'hex'), 'NULL')",
        &[("''", ""), ("null", "NULL"), ("'Edinburgh '", "4564696e627572676820"), ("'NULL'", "4e554c4c")],
    ),
    (
        "varchar(3)",
        "encode(textsend(v), 'hex')",
        &[("'🚀🚀🚀'", "f09f9a80f09f9a80f09f9a80"), ("'e' || char(769) || ' '", "65cc8120"), ("'é'", "c3a9")],
    ),
    // Integers have 64 bits, and are not converted to floating point numbers.
    (
        "bigint",
        "v",
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("1797657063271174144", "1797657063271174144"),
        ],
    ),
    // Floating point numbers keep every bit, including infinities and the sign of zero.
    (
        "double precision",
        "encode(float8send(v), 'hex')",
        &[
            ("1.0 / 3", "3fd5555555555555"),
            ("5e-324", "0000000000000001"),
            ("ieee754_from_blob(x'7fe1ccf385ebc8a0')", "7fe1ccf385ebc8a0"),
            ("-0.0", "8000000000000000"),
            ("9e999", "7ff0000000000000"),
            ("-9e999", "fff0000000000000"),
            ("9007199254740992", "4340000000000000"),
        ],
    ),
    // Reals with an integral value are integers.
    ("integer", "v", &[("2.0", "2"), ("-2147483648", "-2147483648")]),
    // Decimals are exact, also as texts.
    ("numeric(10,4)", "v", &[("1.0001", "1.0001"), ("'1.00010'", "1.0001"), ("12.5e2", "1250.0000")]),
    ("numeric", "v", &[("'1.50'", "1.50"), ("0.1", "0.1"), ("9223372036854775807", "9223372036854775807")]),
    // JSON keeps large numbers and deep nesting; jsonb keeps the last of duplicate keys.
    (
        "jsonb",
        "v",
        &[
            (r#"'{"b":1, "a":2,"b":3}'"#, r#"{"a": 2, "b": 3}"#),
            ("'12345678901234567890123'", "12345678901234567890123"),
            ("'-0'", "0"),
            ("' [ ] '", "[]"),
            ("'null'", "null"),
        ],
    ),
    ("jsonb", "v = (1 || repeat('0', 400))::jsonb", &[("'1e400'", "t")]),
    ("jsonb", "length(v::text)", &[("printf('%.*c%.*c', 1000, '[', 1000, ']')", "2000")]),
    ("json", "v", &[(r#"'{"b":1, "a":2,"b":3}'"#, r#"{"b":1, "a":2,"b":3}"#)]),
    // Times have many formats, offsets, leap seconds and the end of the day.
    (
        "timestamptz",
        "trunc(extract(epoch from v) * 1000000)",
        &[
            ("'2024-02-29 12:00:00'", "1709208000000000"),
            ("'2024-02-29T12:00:00Z'", "1709208000000000"),
            ("'2024-02-29T12:00:00+05:30'", "1709188200000000"),
            ("'2024-02-29T12:00:00-0800'", "1709236800000000"),
            ("'2024-02-29T12:00:00.1+01'", "1709204400100000"),
            ("'2024-02-29'", "1709164800000000"),
            ("'2024-02-29 12:00'", "1709208000000000"),
            ("'2024-02-29 12:00:00.123457'", "1709208000123457"),
            ("'2024-02-29 12:00:00.1234560'", "1709208000123456"),
            ("'10000-01-01T00:00:00Z'", "253402300800000000"),
            ("'0001-01-01T00:00:00Z'", "-62135596800000000"),
            ("'2016-12-31T23:59:60Z'", "1483228800000000"),
            ("'2016-12-31 24:00:00'", "1483228800000000"),
        ],
    ),
    ("date", "v", &[("'2024-02-29'", "2024-02-29"), ("'10000-01-01'", "10000-01-01")]),
    ("time", "v", &[("'24:00:00'", "24:00:00"), ("'23:59:60'", "24:00:00")]),
    ("uuid", "v", &[("x'000102030405060708090a0b0c0d0e0f'", "00010203-0405-0607-0809-0a0b0c0d0e0f")]),
    ("bytea", "encode(v, 'hex')", &[("x''", ""), ("x'00ff'", "00ff"), ("x'59574a6a'", "59574a6a")]),
];

/// Tables with unusual names, keys and sequences, and queries that check them.
const SPECIAL_SOURCE: &str = r#"
    create table "Order Details" ("Group" int, "off""set" text, "a.b" text, `back``tick` text, "[x]" int, "ž" text, primary key ("Group", "off""set"));
    insert into "Order Details" values (1, 'x', 'a', 'b', 2, 'ž'), (1, 'y', null, '', null, '');
    create table "users.old" (ID integer primary key, "select" text); insert into "users.old" values (-5, 'minus'), (0, 'zero'), (7, 'seven');
    create table "without" (a text collate nocase, b int, c blob, primary key (b desc, a)) without rowid; insert into "without" values ('A', 1, x'01'), ('b', 1, null);
    create table keyless (a text, b real); insert into keyless values ('same', 0.5), ('same', 0.5), (null, null);
    create table taken (rowid text, _rowid_ text, oid text); insert into taken values ('r', '_', 'o');
    create table node (id integer primary key, parent int references node, code text unique); insert into node values (1, 3, 'a'), (2, 2, 'b'), (3, 1, 'c');
    create table hen (id integer primary key, egg int); create table egg (id integer primary key, hen int references hen, code text references node (code));
    insert into hen values (1, 2), (2, 1); insert into egg values (1, 1, 'c'), (2, 2, null);
    create table counted (id integer primary key autoincrement, v text); insert into counted values (3, 'kept'), (90, 'gone'); delete from counted where id = 90;
    create table emptied (id integer primary key autoincrement, v text); insert into emptied values (41, 'gone'); delete from emptied;
    create table always (id integer primary key, v text, twice int as (id * 2) stored); insert into always (id, v) values (5, 'five');
    create table unused (id integer primary key, v text);
    create view seen as select * from node; create view broken as select * from nowhere;
    create trigger fires after insert on node begin insert into keyless values ('fired', 1); end;
    create virtual table found using fts5 (words); insert into found values ('some words');
    create virtual table spots using rtree (id, x, y);
    create table alembic_version (version_num text); insert into alembic_version values ('abc');
    analyze;
"#;
const SPECIAL_TARGET: &str = r#"
    create table "Order Details" ("Group" int, "off""set" text, "a.b" text, "back`tick" text, "[x]" int, "ž" text, primary key ("Group", "off""set"));
    create table "Users.Old" (id bigint primary key, "select" text);
    create table "without" (a text, b int, c bytea, primary key (a, b));
    create table keyless (a text, b double precision);
    create table taken (rowid text, _rowid_ text, oid text);
    create table node (id int primary key, parent int references node, code text unique);
    create table hen (id int primary key, egg int); create table egg (id int primary key, hen int references hen, code text references node (code));
    alter table hen add foreign key (egg) references egg;
    create table counted (id bigserial primary key, v text);
    create table emptied (id bigint generated by default as identity primary key, v text);
    create table always (id bigint generated always as identity primary key, v text, twice bigint generated always as (id * 2) stored);
    create table unused (id serial primary key, v text);
    create function fire() returns trigger language plpgsql as $$ begin insert into keyless values ('fired', 1); return new; end $$;
    create trigger fires after insert on node for each row execute function fire();
"#;
const SPECIAL_QUERIES: &[(&str, &str)] = &[
    (
        r#"select string_agg(concat_ws('|', "Group", "off""set", coalesce("a.b", 'NULL'), "back`tick", coalesce("[x]", -1), "ž"), ' ' order by 1) from "Order Details""#,
        "1|x|a|b|2|ž 1|y|NULL||-1|",
    ),
    (r#"select string_agg(id || "select", ' ' order by id) from "Users.Old""#, "-5minus 0zero 7seven"),
    (r#"select string_agg(a || b || coalesce(c::text, 'NULL'), ' ' order by a) from "without""#, "A1\\x01 b1NULL"),
    ("select count(*) || ' ' || count(a) || ' ' || count(distinct a) from keyless", "3 2 1"),
    ("select rowid || _rowid_ || oid from taken", "r_o"),
    ("select string_agg(id || code || parent, ' ' order by id) from node", "1a3 2b2 3c1"),
    (
        "select string_agg(hen.egg::text || egg.hen || coalesce(code, '-'), ' ' order by hen.id) from hen join egg using (id)",
        "21c 12-",
    ),
    ("insert into counted (v) values ('next') returning id", "91"),
    ("insert into emptied (v) values ('next') returning id", "42"),
    ("insert into always (v) values ('next') returning id || ' ' || twice", "6 12"),
    ("select twice from always where id = 5", "10"),
    ("insert into unused (v) values ('first') returning id", "1"),
];

/// Returns a table for each of `VALID_VALUES`, as SQL for both sides.
fn tables() -> (String, String) {
    let (mut from, mut to) = (String::new(), String::new());
    for ((ty, _, values), number) in VALID_VALUES.iter().zip(0..) {
        from += &format!("create table loads_{number} (id integer primary key, v);\n");
        to += &format!("create table loads_{number} (id int primary key, v {ty});\n");
        for ((value, _), id) in values.iter().zip(1..) {
            from += &format!("insert into loads_{number} values ({id}, {value});\n");
        }
    }
    (from, to)
}

/// The database has its own time zone and date style, which must not matter.
#[test]
fn valid_values_are_transferred_exactly_in_every_encoding() {
    for encoding in ["UTF-8", "UTF-16be"] {
        let (from, to) = tables();
        let from = format!("pragma encoding = '{encoding}'; {from} {SPECIAL_SOURCE}");
        let (database, run) = transfer(&from, &format!("{to} {SPECIAL_TARGET}"));
        database.execute(&format!(
            "alter database {} set timezone = 'America/St_Johns'; alter database {0} set datestyle = 'SQL, DMY'",
            database.name()
        ));
        let finished = transferred(&run);
        expect_last_line(&finished, 0, &[&format!("transferred {} tables, ", VALID_VALUES.len() + 12)]);
        for name in ["seen, a view", "broken, a view", "found, a virtual table", "spots, a virtual table"] {
            finished.says(&format!("left alone: {name}"));
        }
        finished.says("left alone: alembic_version, the bookkeeping of Alembic");
        compared(&run).expect_code(0);
        for ((ty, asked, values), number) in VALID_VALUES.iter().zip(0..) {
            let found = database.query(&format!("set datestyle = iso; select {asked} from loads_{number} order by id"));
            let expected: String = values.iter().flat_map(|(_, text)| [*text, "\n"]).collect();
            assert_eq!(found, expected, "{ty}, {encoding}");
        }
        for (query, expected) in SPECIAL_QUERIES {
            assert_eq!(database.value(query), *expected, "{query}, {encoding}");
        }
        let fires = "insert into node values (4, null, 'd'); select count(*) from keyless where a = 'fired'";
        assert_eq!(database.value(fires), "1", "the trigger fires again, and did not before");
    }
}

/// The type of a column, a value for it as SQL, the value as it is named, and a word of the reason or of the hint.
type Bad = (&'static str, &'static str, &'static str, &'static str);

const BAD: &[Bad] = &[
    // Booleans: only 0, 1 and their words.
    ("boolean", "2", "2", "neither 0 nor 1"),
    ("boolean", "'yes'", "'yes'", "=words"),
    ("boolean", "x'01'", "x'01'", "blob"),
    // An empty text is no value of other types.
    ("timestamptz", "''", "''", "=empty-as-null"),
    ("jsonb", "''", "''", "=empty-as-null"),
    ("int", "''", "''", "=empty-as-null"),
    ("uuid", "''", "''", "=empty-as-null"),
    // Integers outside of the range of the type, and texts.
    ("int", "2147483648", "2147483648", "-2147483648 to 2147483647"),
    ("smallint", "-32769", "-32769", "-32768 to 32767"),
    ("bigint", "9223372036854775808.0", "9.223372036854776e18", "outside of bigint"),
    ("int", "'12'", "'12'", "=integer-text"),
    ("int", "'0x10'", "'0x10'", "no whole number"),
    // Numbers that a floating point type or numeric cannot represent exactly.
    ("double precision", "9007199254740993", "9007199254740993", "=round"),
    ("real", "0.1", "0.1", "=round"),
    ("numeric(5,2)", "9e999", "inf", "not a finite number"),
    // A real with a fraction in an integer column.
    ("int", "1.5", "1.5", "whole number"),
    // Decimals with too many digits.
    ("numeric(10,4)", "1.00005", "1.00005", "rounded to scale 4"),
    ("numeric(5,2)", "1000", "1000", "3 digits before the point"),
    // Texts with NUL bytes or invalid UTF-8.
    ("text", "cast(x'6100' as text)", r"'a\u{0}'", "NUL at byte 1"),
    ("text", "cast(x'61ff' as text)", "x'61ff'", "byte 1 is 0xff"),
    ("text", "cast(x'eda080' as text)", "x'eda080'", "byte 0 is 0xed"),
    ("text", "cast(x'edb8aded' as text)", "x'edb8aded'", "not UTF-8"),
    // Values of another storage class.
    ("text", "x'616263'", "x'616263'", "=utf8"),
    ("text", "x'ff'", "x'ff'", "=hex"),
    ("bytea", "'YWJj'", "'YWJj'", "=utf8"),
    ("text", "5", "5", "=as-text"),
    // JSON that PostgreSQL refuses, or that is no JSON.
    ("jsonb", r#"'"\u0000"'"#, r#"'"\\u0000"'"#, r"\u0000"),
    ("jsonb", r#"'["\ud800"]'"#, r#"'["\\ud800"]'"#, "surrogate"),
    ("jsonb", r#"'{''a'': 1}'"#, "'{''a'': 1}'", "key in double quotes"),
    ("json", "'NaN'", "'NaN'", "no value begins so"),
    ("json", "'{\"a\":1'", "'{\"a\":1'", "ends early"),
    // {"a": 1} in SQLite's binary format.
    ("jsonb", "x'4c17611331'", "x'4c17611331'", "json()"),
    ("jsonb", "cast('{}' as blob)", "x'7b7d'", "=utf8"),
    // More than six digits of a second's fraction.
    ("timestamptz", "'2024-01-01 00:00:00.1234567'", "'2024-01-01 00:00:00.1234567'", "=truncate-fraction"),
    // Words with a meaning that depends on the time.
    ("date", "'now'", "'now'", "is a word"),
    ("timestamptz", "'tomorrow'", "'tomorrow'", "is a word"),
    ("timestamp", "'epoch'", "'epoch'", "is a word"),
    ("date", "'Infinity'", "'Infinity'", "is a word"),
    // Days that do not exist, or a day with a time.
    ("date", "'0000-00-00'", "'0000-00-00'", "year 0"),
    ("timestamptz", "'2023-02-29'", "'2023-02-29'", "does not exist"),
    ("date", "'0000-01-01'", "'0000-01-01'", "year 0"),
    ("date", "'-0044-03-15'", "'-0044-03-15'", "ISO 8601"),
    ("date", "'2024-01-01 12:00'", "'2024-01-01 12:00'", "a time of day"),
    // Times of day after the end of the day.
    ("time", "'24:00:01'", "'24:00:01'", "does not exist"),
    ("timestamptz", "'2016-12-31 23:59:61'", "'2016-12-31 23:59:61'", "does not exist"),
    // Numbers as times: the unit is unknown.
    ("timestamptz", "1700000000", "1700000000", "=unix-s"),
    ("timestamptz", "1700000000123", "1700000000123", "=unix-ms"),
    ("timestamptz", "1700000000123456", "1700000000123456", "=unix-us"),
    ("timestamptz", "12957891582318795", "12957891582318795", "=webkit"),
    ("timestamptz", "635403600.5", "635403600.5", "=cocoa"),
    ("timestamptz", "132521875559025799", "132521875559025799", "=filetime"),
    ("timestamptz", "2460000.5", "2460000.5", "=julian"),
    // Dates in other formats than ISO 8601.
    ("date", "'02/29/2024'", "'02/29/2024'", "ISO 8601"),
    ("date", "'20240229'", "'20240229'", "ISO 8601"),
    // Texts with too many characters.
    ("varchar(3)", "'🚀🚀🚀🚀'", "'🚀🚀🚀🚀'", "has 4 characters"),
    ("varchar(3)", "'abe' || char(769)", "'abe\u{301}'", "has 4 characters"),
    ("varchar(3)", "'abc '", "'abc '", "has 4 characters"),
    // NULL in a NOT NULL column.
    ("int not null default 0", "null", "NULL", "NOT NULL"),
    // Types without a counterpart in SQLite.
    ("inet", "'10.1'", "'10.1'", "IP address"),
    ("cidr", "'10.1.2.3/8'", "'10.1.2.3/8'", "bits set"),
    ("text[]", "'{a,b}'", "'{a,b}'", "not a JSON list"),
    ("mood", "'Sad'", "'Sad'", "none of the enum's labels"),
];

/// Each value with a mistake is named with its row, and no other value is.
#[test]
fn all_bad_values_are_named_in_one_run_and_nothing_is_committed() {
    let columns = |of: &dyn Fn(&Bad) -> &'static str| -> String {
        BAD.iter().zip(0..).map(|(bad, number)| format!(", c{number} {}", of(bad))).collect()
    };
    // The value is in a row of its own, with no other mistake in its column.
    let mut from = format!("create table bad (id integer primary key{});", columns(&|_| ""));
    for ((_, value, ..), number) in BAD.iter().zip(0..) {
        let not_null = BAD.iter().position(|(ty, ..)| ty.contains("not null")).expect("one that is NOT NULL");
        let zero = if number == not_null { String::new() } else { format!(", c{not_null}") };
        let none = if zero.is_empty() { "" } else { ", 0" };
        from += &format!("insert into bad (id, c{number}{zero}) values ({}, {value}{none});\n", number + 1);
    }
    // Every row of a column with mixed values is named, and rows are named by their key or rowid.
    from += "create table mixed (at, fine text); insert into mixed values ('2024-01-01', 'a'), (1, 'b'), ('2024-01-02', 'c'), (2.5, 'd'), (3, 'e');
        create table composite (a text, b int, n, primary key (a, b)) without rowid; insert into composite values ('it''s', 2, 'bad'), ('x', 1, 1);
        create table taken (rowid, _rowid_, oid, n); insert into taken values (9, 9, 9, 1), (8, 8, 8, 'bad');
        create table \"a.b\" (\"c d\" text); insert into \"a.b\" values (x'00');
        create table nameless (code text primary key); insert into nameless values (null), ('a'), (null);";
    let to = format!(
        "create type mood as enum ('sad'); create table bad (id int primary key{});
         create table mixed (at timestamptz, fine text); create table composite (a text, b int, n int, primary key (a, b));
         create table taken (rowid int, _rowid_ int, oid int, n int); create table \"a.b\" (\"c d\" text); create table nameless (code text primary key);",
        columns(&|bad| bad.0)
    );
    let (database, run) = transfer(&from, &to);
    let finished = run.args(["transfer", "--from", "sqlite:///source.db", "--max-errors", "1000"]).output();
    let others = [
        ("mixed.at, rowid 2: 1 ", "of which unit"),
        ("mixed.at, rowid 4: 2.5 ", "of which unit"),
        ("mixed.at, rowid 5: 3 ", "of which unit"),
        ("composite.n, (a, b) = ('it''s', 2): 'bad' ", "no whole number"),
        ("taken.n, row 2: 'bad' ", "no whole number"),
        ("a.b.c d, rowid 1: x'00' ", "blob"),
        ("nameless.code, rowid 1: NULL ", "NOT NULL"),
        ("nameless.code, rowid 3: NULL ", "NOT NULL"),
    ];
    let all = BAD.len() + others.len();
    let more = format!("and {} more, named above", all - 1);
    expect_last_line(&finished, 65, &[&more, "no row was transferred; revision 0001 was applied and kept"]);
    let places = BAD
        .iter()
        .zip(0..)
        .map(|((_, _, shown, reason), number)| (format!("bad.c{number}, rowid {}: {shown} ", number + 1), *reason));
    let log: Vec<&str> = finished.stderr.lines().collect();
    let log = &log[..log.len() - 1];
    for (place, reason) in places.chain(others.map(|(place, reason)| (place.to_owned(), reason))) {
        let line = log.iter().find(|line| line.contains(&place));
        let line = line.unwrap_or_else(|| panic!("{place} is not named: {finished}"));
        assert!(line.contains(reason), "{reason}: {line}");
    }
    let named_rows = log.iter().filter(|line| line.contains(", row") || line.contains(", (a, b) = ")).count();
    assert_eq!(named_rows, all, "something that is not bad is named: {finished}");
    for table in ["bad", "mixed", "composite", "taken", "\"a.b\"", "nameless"] {
        assert_eq!(database.value(&format!("select count(*) from {table}")), "0", "{table}");
    }
}

/// Keys and references that are valid in SQLite and not in PostgreSQL are listed with all of their rows, and the schema
/// of the target is unchanged.
#[test]
fn duplicates_by_the_rules_of_the_target_and_orphans_are_listed_together() {
    let from = "create table names (id integer primary key, folded text, padded text, one int);
        insert into names values (1, 'Ann', 'x', 1), (2, 'ANN', 'x ', null), (3, 'bob', 'y', null), (4, 'Bob', 'z', 2);
        create table child (id integer primary key, names int references names, a int, b int);
        insert into child values (10, 1, 1, 1), (11, 99, 1, 2), (12, null, 3, null), (13, 98, null, null);
        create table parent (a int, b int, primary key (a, b)); insert into parent values (1, 1);";
    let to = "create table names (id int primary key, folded text, padded char(3) constraint padded_once unique, one int constraint one_null unique nulls not distinct);
        create unique index folded_once on names (lower(folded));
        create table parent (a int, b int, primary key (a, b));
        create table child (id int primary key, names int constraint of_names references names, a int, b int,
            constraint of_parent foreign key (a, b) references parent);";
    let (database, run) = transfer(from, to);
    run.clone().output().expect_code(0);
    let before = database.dump_schema();
    let finished = transferred(&run);
    expect_last_line(&finished, 65, &["named above", "nothing was changed"]);
    for words in [
        "folded_once: public.names (lower(folded)) is not unique, rows: 4",
        "(ann) in 1, 2",
        "(bob) in 3, 4",
        "padded_once: public.names (padded) is not unique, rows: 2",
        "one_null: public.names (one) is not unique, rows: 2",
        "(NULL) in 2, 3",
        "of_names: public.child (names) leads to nothing in public.names (id), rows: 2",
        "(98) in 13",
        "(99) in 11",
        "of_parent: public.child (a, b) leads to nothing in public.parent (a, b), rows: 1",
        "(1, 2) in 11",
    ] {
        finished.says(words);
    }
    assert_eq!(database.dump_schema(), before);
    assert_eq!(database.value("select count(*) from names"), "0");
}

/// SQLite folds only ASCII letters, and does not truncate names.
#[test]
fn names_that_become_equal_are_refused_before_anything_is_written() {
    let long = "x".repeat(70);
    let from = format!(
        "create table Ä (a int); insert into Ä values (1); create table ä (a int); insert into ä values (2);
         create table t (Ö int, ö int); insert into t values (1, 2); create table {long}1 (a int); create table {long}2 (a int);"
    );
    let to = format!("create table ä (a int); create table t (ö int); create table {} (a int);", &long[..63]);
    let (database, run) = transfer(&from, &to);
    let finished = transferred(&run);
    expect_last_line(&finished, 65, &["named above", "revision 0001 was applied and kept"]);
    for words in [
        "it goes to \"public\".\"ä\", and so does ",
        "another column of the source goes to the same one of the target",
        &format!("{long}1: the target has no such table"),
        &format!("{long}2: the target has no such table"),
    ] {
        finished.says(words);
    }
    let count =
        format!("select (select count(*) from ä) + (select count(*) from t) + (select count(*) from {})", &long[..63]);
    assert_eq!(database.value(&count), "0");
}

/// The maximal number of columns of PostgreSQL, and hundreds of tables.
#[test]
fn the_widest_table_hundreds_of_tables_and_none_are_transferred() {
    const COLUMNS: usize = 1600;
    let columns = |ty: &str| (2..=COLUMNS).map(|at| format!(", c{at} {ty}")).collect::<String>();
    let values: String = (2..=COLUMNS).map(|at| format!(", {}", ["0", "1", "null"][at % 3])).collect();
    let many =
        |ty: &str| (0..300).map(|at| format!("create table many_{at} (id {ty} primary key);\n")).collect::<String>();
    let rows: String = (0..300).step_by(2).map(|at| format!("insert into many_{at} values ({at});\n")).collect();
    let from = format!(
        "create table wide (id integer primary key{}); insert into wide values (1{values}), (2{values}); {} {rows}",
        columns("int"),
        many("integer")
    );
    let to = format!("create table wide (id int primary key{}); {}", columns("boolean"), many("int"));
    let (database, run) = transfer(&from, &to);
    expect_last_line(&transferred(&run), 0, &["transferred 301 tables, 152 rows"]);
    compared(&run).expect_code(0).says("equal: 301 tables, 152 rows");
    assert_eq!(
        database.value("select array[c2, c3, c4, c1598, c1599, c1600] from wide where id = 2"),
        "{NULL,f,t,NULL,f,t}"
    );
    assert_eq!(
        database.value("select (select count(*) from many_298) || ' ' || (select count(*) from many_299)"),
        "1 0"
    );

    let (_database, run) = transfer("create table t (a); drop table t;", "select 1;");
    expect_last_line(&transferred(&run), 0, &["transferred 0 tables, 0 rows"]);
    compared(&run).expect_code(0).says("equal: 0 tables, 0 rows");
}

/// Returns the maximal memory of a running process so far, in kilobytes.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Returns the maximal memory of a run that succeeded, in MiB.
fn memory(run: &Run, verb: &str) -> u64 {
    let mut running = run.clone().args([verb, "--from", "sqlite:///source.db"]).spawn();
    let mut most = 0;
    wait_until("its end", DEFAULT_TIMEOUT, || {
        most = peak(running.pid()).unwrap_or(0).max(most);
        running.has_ended()
    });
    running.finish().expect_code(0);
    assert!(most > 0, "its memory was never seen");
    most / 1024
}

/// The memory depends on the length of a few values, and not on the number of rows.
#[test]
fn long_values_take_memory_by_their_length_and_not_by_their_number() {
    const MIB: u64 = 50;
    let from = format!(
        "create table long (id integer primary key, v text);
         insert into long select value, printf('%.*c', {}, 'x') || value from generate_series(1, 3);",
        MIB << 20
    );
    let (database, run) = transfer(&from, "create table long (id int primary key, v text);");
    // Each session of a comparison has values of its own in memory.
    let run = run.env("DATABASE_POOL_SIZE", "1");
    for verb in ["transfer", "compare"] {
        let most = memory(&run, verb);
        assert!(most < 64 + 5 * MIB, "{verb} took {most} MiB");
    }
    let row_counts = "select count(*) || ' ' || bool_and(v = repeat('x', 50 << 20) || id) from long";
    assert_eq!(database.value(row_counts), "3 true");
}
