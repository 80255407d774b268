//! Tests of the encoders of the transfer against a real server: their output is loaded by binary COPY, read back as
//! text and as binary fields, and compared with what the server itself makes of the same texts.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use lockkeeper::transfer::canonical::CanonicalForm;
use lockkeeper::transfer::cast::{CanonicalRow, Cast, TypeFacts, WritableType, Zone};
use lockkeeper::transfer::digest::Digest;
use lockkeeper::transfer::value::Value;
use lockkeeper::transfer::value::Value::{Blob, Integer, Null, Real, Text};

use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;
use crate::support::temporary_directory;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: &[u8] = &[255, 255];
const IN_UTC: &str =
    "set timezone = 'UTC'; set extra_float_digits = 1; set bytea_output = hex; set intervalstyle = iso_8601;\n";

/// Returns the type of the column `v` of a table, from the catalog facts that `WritableType` needs.
fn type_of(database: &PgDatabase<'_>, table: &str) -> Option<WritableType> {
    let facts = database.value(&format!(
        "select b.oid, b.typname, case when t.typtype = 'd' then t.typtypmod else a.atttypmod end, \
         case when b.typcategory = 'A' then b.typelem end, \
         (select string_agg(enumlabel, ',') from pg_enum e where e.enumtypid = b.oid) \
         from pg_attribute a join pg_type t on t.oid = a.atttypid \
         join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end \
         where a.attrelid = '{table}'::regclass and a.attname = 'v'"
    ));
    let facts: Vec<&str> = facts.split('|').collect();
    let labels: Vec<String> = facts[4].split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
    WritableType::from_facts(&TypeFacts {
        oid: facts[0].parse().expect("an OID"),
        name: facts[1],
        typmod: facts[2].parse().expect("a typmod"),
        labels: &labels,
        element: facts[3].parse().ok(),
    })
}

/// Returns the cast of that column, with rules and a time zone.
fn cast(database: &PgDatabase<'_>, table: &str, rules: &[&str], zone: &str) -> Cast {
    let ty = type_of(database, table).unwrap_or_else(|| panic!("the type of {table} is not known"));
    let cast = Cast::new(ty, Zone::parse(zone).expect("a zone"));
    rules.iter().fold(cast, |cast, rule| cast.with(rule).expect("a rule"))
}

/// Encodes a row of a number and a value: both fields, without their count.
fn row(cast: &Cast, id: i32, value: Value<'_>) -> Vec<u8> {
    let mut row = [4_i32.to_be_bytes(), id.to_be_bytes()].concat();
    cast.encode(value, &mut row).unwrap_or_else(|bad| panic!("{value:?} is bad: {bad:?}"));
    row
}

/// Returns the row as the server is expected to send it back.
fn expected_row(cast: &Cast, id: i32, value: Value<'_>) -> Vec<u8> {
    let mut canonical_row = CanonicalRow::default();
    cast.encode_with(value, &mut Vec::new(), &mut canonical_row)
        .unwrap_or_else(|bad| panic!("{value:?} is bad: {bad:?}"));
    [&4_i32.to_be_bytes()[..], &id.to_be_bytes(), canonical_row.row()].concat()
}

/// Loads rows of two fields each into `table (id, v)`.
fn load(database: &PgDatabase<'_>, directory: &Path, table: &str, rows: &[Vec<u8>]) {
    let file = directory.join(format!("{table}.in"));
    let mut bytes = SIGNATURE.to_vec();
    for row in rows {
        bytes.extend_from_slice(&2_i16.to_be_bytes());
        bytes.extend_from_slice(row);
    }
    bytes.extend_from_slice(END);
    fs::write(&file, bytes).expect("a file for COPY");
    database.execute(&format!("\\copy {table} from '{}' with (format binary)\n", file.display()));
}

/// Returns the rows as the server sends them, ordered by their numbers, each without the count of its fields.
fn unload(database: &PgDatabase<'_>, directory: &Path, table: &str) -> Vec<Vec<u8>> {
    let file = directory.join(format!("{table}.out"));
    database.execute(&format!(
        "\\copy (select id, v from {table} order by id) to '{}' with (format binary)\n",
        file.display()
    ));
    let bytes = fs::read(file).expect("the file of COPY");
    let mut rest = bytes.strip_prefix(SIGNATURE).expect("a header");
    let mut rows = Vec::new();
    while rest != END {
        let start = &rest[2..];
        let mut length = 0;
        for _ in 0..2 {
            let field = i32::from_be_bytes(start[length..length + 4].try_into().expect("a length"));
            length += 4 + usize::try_from(field).unwrap_or(0);
        }
        rows.push(start[..length].to_vec());
        rest = &start[length..];
    }
    rows
}

/// The type of the column, rules, time zone, values, and the texts that the server should have for them.
type Case = (&'static str, &'static [&'static str], &'static str, &'static [(Value<'static>, &'static str)]);

const CASES: &[Case] = &[
    (
        "boolean",
        &["words"],
        "UTC",
        &[
            (Integer(0), "false"),
            (Integer(1), "true"),
            (Real(1.0), "true"),
            (Text(b"T"), "true"),
            (Text(b"false"), "false"),
            (Text(b"OFF"), "false"),
            (Text(b"yes"), "true"),
            (Null, "NULL"),
        ],
    ),
    ("smallint", &[], "UTC", &[(Integer(-32768), "-32768"), (Integer(32767), "32767"), (Real(-2.0), "-2")]),
    (
        "integer",
        &["integer-text"],
        "UTC",
        &[(Integer(-2147483648), "-2147483648"), (Text(b"-0042"), "-42"), (Null, "NULL")],
    ),
    (
        "bigint",
        &[],
        "UTC",
        &[
            (Integer(i64::MIN), "-9223372036854775808"),
            (Integer(i64::MAX), "9223372036854775807"),
            (Integer(1797657063271174144), "1797657063271174144"),
            (Real(-9223372036854775808.0), "-9223372036854775808"),
        ],
    ),
    (
        "real",
        &["round"],
        "UTC",
        &[
            (Real(0.1), "0.1"),
            (Real(-0.0), "-0"),
            (Integer(16777217), "1.6777216e+07"),
            (Real(f64::INFINITY), "Infinity"),
        ],
    ),
    (
        "double precision",
        &["decimal-text"],
        "UTC",
        &[
            (Real(1.0 / 3.0), "0.3333333333333333"),
            (Real(5e-324), "5e-324"),
            (Real(1.7976931348623157e308), "1.7976931348623157e+308"),
            (Real(-0.0), "-0"),
            (Real(f64::NEG_INFINITY), "-Infinity"),
            (Integer(9007199254740992), "9.007199254740992e+15"),
            (Text(b"0.1"), "0.1"),
            (Text(b"-1.50e3"), "-1500"),
        ],
    ),
    (
        "numeric",
        &[],
        "UTC",
        &[
            (Integer(0), "0"),
            (Integer(i64::MIN), "-9223372036854775808"),
            (Integer(10000), "10000"),
            (Integer(1234500000000), "1234500000000"),
            (Real(0.1), "0.1"),
            (Real(-0.0), "0"),
            (Real(1e22), "10000000000000000000000"),
            (Real(-1.5e-7), "-0.00000015"),
            (Text(b"1.50"), "1.50"),
            (Text(b"-0.000010"), "-0.000010"),
            (Text(b"0.000"), "0.000"),
            (Text(b"00012345678901234567890.12345678901234567890"), "12345678901234567890.12345678901234567890"),
        ],
    ),
    (
        "numeric(10,2)",
        &["round"],
        "UTC",
        &[
            (Integer(12345678), "12345678.00"),
            (Real(59.970000000000006), "59.97"),
            (Text(b"1.005"), "1.01"),
            (Text(b"-99999.995"), "-100000.00"),
            (Text(b"0.004"), "0.00"),
            (Text(b"0.0004"), "0.00"),
            (Text(b"-0.005"), "-0.01"),
            (Text(b"1.10"), "1.10"),
        ],
    ),
    ("numeric(3,-3)", &[], "UTC", &[(Integer(123000), "123000"), (Real(-999000.0), "-999000"), (Integer(0), "0")]),
    ("numeric(2,4)", &[], "UTC", &[(Text(b"0.0099"), "0.0099"), (Real(-0.0012), "-0.0012")]),
    (
        "text",
        &["as-text", "hex"],
        "UTC",
        &[
            (Text(b""), ""),
            (Text("Zoë 🚀 e\u{301} ".as_bytes()), "Zoë 🚀 e\u{301} "),
            (Integer(-7), "-7"),
            (Real(2.0), "2.0"),
            (Real(1e-7), "1e-7"),
            (Blob(b"\0\xff"), "00ff"),
            (Null, "NULL"),
        ],
    ),
    (
        "varchar(3)",
        &["utf8"],
        "UTC",
        &[(Text("🚀🚀🚀".as_bytes()), "🚀🚀🚀"), (Text(b"a  "), "a  "), (Blob(b"abc"), "abc")],
    ),
    // The cast to text removes the trailing blanks; the binary field has them.
    ("char(5)", &["base64"], "UTC", &[(Text("Zoë".as_bytes()), "Zoë"), (Text(b""), ""), (Blob(b"abc"), "YWJj")]),
    ("bpchar", &[], "UTC", &[(Text(b"ab"), "ab")]),
    ("name", &[], "UTC", &[(Text(b"Group"), "Group")]),
    (
        "json",
        &["as-text"],
        "UTC",
        &[(Text(br#" {"b":1, "a":1e400,"b":2} "#), r#" {"b":1, "a":1e400,"b":2} "#), (Real(1.5), "1.5")],
    ),
    (
        "jsonb",
        &["utf8", "as-text"],
        "UTC",
        &[
            (Text(br#"{"bb":1, "a":[true,null,"\u00e9\n"],"bb":-0}"#), r#"{"a": [true, null, "é\n"], "bb": 0}"#),
            (Text(b"12345678901234567890123.10"), "12345678901234567890123.10"),
            (Text(b"\t[ ]\r\n"), "[]"),
            (Text(br#""\ud83d\ude80""#), "\"🚀\""),
            (Integer(5), "5"),
            (Blob(b"{}"), "{}"),
            (Null, "NULL"),
        ],
    ),
    (
        "timestamptz",
        &["unix-ms", "truncate-fraction"],
        "+05:30",
        &[
            (Text(b"2024-02-29T12:00:00Z"), "2024-02-29 12:00:00+00"),
            (Text(b"2024-02-29 12:00"), "2024-02-29 06:30:00+00"),
            (Text(b"2024-02-29"), "2024-02-28 18:30:00+00"),
            (Text(b"2024-02-29t12:00:00.1-0800"), "2024-02-29 20:00:00.1+00"),
            (Text(b"2024-02-29 12:00:00.1234569+01"), "2024-02-29 11:00:00.123456+00"),
            (Text(b"2016-12-31T23:59:60Z"), "2017-01-01 00:00:00+00"),
            (Text(b"1999-12-31T24:00:00Z"), "2000-01-01 00:00:00+00"),
            (Text(b"0001-01-01T00:00:00Z"), "0001-01-01 00:00:00+00"),
            (Text(b"294276-12-31T23:59:59.999999Z"), "294276-12-31 23:59:59.999999+00"),
            (Integer(1700000000123), "2023-11-14 22:13:20.123+00"),
            (Integer(-1), "1969-12-31 23:59:59.999+00"),
            (Real(0.5), "1970-01-01 00:00:00.0005+00"),
        ],
    ),
    (
        "timestamp(3)",
        &["cocoa"],
        "UTC",
        &[
            (Real(635403600.5), "2021-02-19 05:00:00.5"),
            (Text(b"2024-02-29T12:00:00.120+02:00"), "2024-02-29 10:00:00.12"),
            (Text(b"10000-01-01"), "10000-01-01 00:00:00"),
        ],
    ),
    (
        "timestamp",
        &["julian"],
        "+01:00",
        &[(Real(2460000.5), "2023-02-25 01:00:00"), (Text(b"2024-01-01"), "2024-01-01 00:00:00")],
    ),
    ("timestamptz(0)", &["webkit"], "UTC", &[(Integer(12957891582000000), "2011-08-15 14:19:42+00")]),
    ("timestamptz(6)", &["filetime"], "UTC", &[(Integer(132521875559025790), "2020-12-11 19:12:35.902579+00")]),
    ("timestamptz(5)", &["unix-us"], "UTC", &[(Integer(1700000000123450), "2023-11-14 22:13:20.12345+00")]),
    (
        "timestamptz(6)",
        &["unix-ns", "truncate-fraction"],
        "UTC",
        &[
            (Integer(1700000000123456789), "2023-11-14 22:13:20.123456+00"),
            (Integer(-1), "1969-12-31 23:59:59.999999+00"),
        ],
    ),
    (
        "date",
        &["unix-s"],
        "UTC",
        &[
            (Text(b"2024-02-29"), "2024-02-29"),
            (Text(b"2024-02-29T00:00:00.000Z"), "2024-02-29"),
            (Text(b"0001-01-01"), "0001-01-01"),
            (Text(b"99999-12-31"), "99999-12-31"),
            (Integer(-86400), "1969-12-31"),
        ],
    ),
    (
        "time",
        &[],
        "UTC",
        &[(Text(b"00:00"), "00:00:00"), (Text(b"23:59:59.999999"), "23:59:59.999999"), (Text(b"24:00:00"), "24:00:00")],
    ),
    ("time(0)", &["truncate-fraction"], "UTC", &[(Text(b"23:59:59.999"), "23:59:59"), (Text(b"23:59:60"), "24:00:00")]),
    (
        "uuid",
        &[],
        "UTC",
        &[
            (Text(b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (Text(b"a0eebc999c0b4ef8bb6d6bb9bd380a11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (Blob(&[0xab; 16]), "abababab-abab-abab-abab-abababababab"),
        ],
    ),
    ("bytea", &["base64"], "UTC", &[(Blob(b""), "\\x"), (Blob(b"\0\xff"), "\\x00ff"), (Text(b"YWJj"), "\\x616263")]),
    (
        "inet",
        &[],
        "UTC",
        &[
            (Text(b"10.1.2.3"), "10.1.2.3/32"),
            (Text(b"10.1.2.3/8"), "10.1.2.3/8"),
            (Text(b"::1"), "::1/128"),
            (Text(b"2001:DB8::ffff/32"), "2001:db8::ffff/32"),
            (Text(b"::ffff:1.2.3.4"), "::ffff:1.2.3.4/128"),
        ],
    ),
    (
        "cidr",
        &[],
        "UTC",
        &[
            (Text(b"10.0.0.0/8"), "10.0.0.0/8"),
            (Text(b"0.0.0.0/0"), "0.0.0.0/0"),
            (Text(b"2001:db8::/32"), "2001:db8::/32"),
        ],
    ),
    (
        "mood",
        &["empty-as-null"],
        "UTC",
        &[(Text(b"so so"), "so so"), (Text("größer".as_bytes()), "größer"), (Text(b""), "NULL")],
    ),
    ("price", &[], "UTC", &[(Real(9.5), "9.50")]),
    (
        "text[]",
        &[],
        "UTC",
        &[
            (Text(br#"["a", "", "b\"c,d", "null", null, "\u00e9"]"#), r#"{a,"","b\"c,d","null",NULL,é}"#),
            (Text(b"[]"), "{}"),
            (Null, "NULL"),
        ],
    ),
    ("integer[]", &[], "UTC", &[(Text(b" [1, -2, 3] "), "{1,-2,3}"), (Text(b"[null]"), "{NULL}")]),
    ("varchar(2)[]", &[], "UTC", &[(Text(r#"["éé"]"#.as_bytes()), "{éé}")]),
];

#[test]
fn the_server_returns_the_encoded_bytes_unchanged() {
    let database = Postgres::shared().database("casts");
    let directory = temporary_directory("casts");
    database.execute(
        "create type mood as enum ('so so', 'größer', 'A'); create domain price as numeric(8,2) check (value > 0)",
    );
    for (number, (ty, rules, zone, values)) in CASES.iter().enumerate() {
        let table = format!("case_{number}");
        database.execute(&format!("create table {table} (id integer, v {ty})"));
        let cast = cast(&database, &table, rules, zone);
        let rows: Vec<Vec<u8>> = values.iter().zip(0..).map(|((value, _), id)| row(&cast, id, *value)).collect();
        load(&database, directory.path(), &table, &rows);

        let text = format!("{IN_UTC} select coalesce(v::text, 'NULL') from {table} order by id");
        let expected: String = values.iter().flat_map(|(_, text)| [*text, "\n"]).collect();
        assert_eq!(database.query(&text), expected, "{ty}");

        let read = unload(&database, directory.path(), &table);
        let expected: Vec<Vec<u8>> =
            values.iter().zip(0..).map(|((value, _), id)| expected_row(&cast, id, *value)).collect();
        assert_eq!(read, expected, "{ty}");
        let mut canonical = CanonicalForm::new(vec![WritableType::Integer, cast.ty().clone()]);
        let mut digests = [Digest::default(); 2];
        for (digest, side) in digests.iter_mut().zip([&rows, &read]) {
            side.iter().for_each(|row| digest.add(canonical.row(row).expect("a row")));
        }
        assert_eq!(digests[0], digests[1], "{ty}");
    }
}

/// Types whose values are not encoded are refused by the plan: none may be taken for one that is.
#[test]
fn types_that_are_not_encoded_are_not_known() {
    let database = Postgres::shared().database("casts_unknown");
    database.execute("create type pair as (a integer, b text); create domain texts as text[]; create type span as range (subtype = date)");
    let types = [
        "\"char\"",
        "interval",
        "timetz",
        "money",
        "xml",
        "point",
        "tsvector",
        "bit(3)",
        "int4range",
        "pair",
        "span",
        "oid",
        "macaddr",
        "boolean[]",
        "jsonb[]",
        "pair[]",
        "texts[]",
    ];
    for (number, ty) in types.iter().enumerate() {
        database.execute(&format!("create table unknown_{number} (id integer, v {ty})"));
        assert_eq!(type_of(&database, &format!("unknown_{number}")), None, "{ty}");
    }
}

/// Expects that texts that we accept are accepted by the server with the same meaning, and that texts in our own format
/// are accepted. (The session is in UTC, the time zone of times without one.)
fn expect_agreement(ty: &str, rules: &[&str], well_formed: &[String], unusual: &[String]) {
    let database = Postgres::shared().database("casts_agree");
    let directory = temporary_directory("casts");
    database.execute(&format!(
        "create table ours (id integer, v {ty}); create table texts (id integer, v text); \
         create function theirs(given text) returns {ty} language plpgsql as $$ begin return given::{ty}; \
         exception when data_exception then return null; end $$"
    ));
    let cast = cast(&database, "ours", rules, "UTC");
    let text = Cast::new(WritableType::Text, Zone::UTC);
    let (mut ours, mut texts, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (value, id) in well_formed.iter().chain(unusual).zip(0_i32..) {
        let mut encoded = [4_i32.to_be_bytes(), id.to_be_bytes()].concat();
        let taken = cast.encode(Text(value.as_bytes()), &mut encoded);
        if (id as usize) < well_formed.len() {
            assert_eq!(taken, Ok(()), "{value}");
        }
        if taken.is_ok() {
            ours.push(encoded);
            expected.push(expected_row(&cast, id, Text(value.as_bytes())));
            texts.push(row(&text, id, Text(value.as_bytes())));
        }
    }
    load(&database, directory.path(), "ours", &ours);
    load(&database, directory.path(), "texts", &texts);
    let read = unload(&database, directory.path(), "ours");
    for (expected, read) in expected.iter().zip(&read) {
        assert!(expected == read, "{ty}: {} {}", String::from_utf8_lossy(expected), String::from_utf8_lossy(read));
    }
    assert_eq!(expected.len(), read.len(), "{ty}");
    let mut canonical = CanonicalForm::new(vec![WritableType::Integer, cast.ty().clone()]);
    let mut normal = |row: &Vec<u8>| canonical.row(row).expect("a row").to_vec();
    for (sent, read) in ours.iter().zip(&read) {
        assert_eq!(normal(sent), normal(read), "{ty}: {}", String::from_utf8_lossy(sent));
    }
    let differing = database.query(&format!(
        "{IN_UTC} select t.v, o.v, theirs(t.v) from ours o join texts t using (id) \
         where o.v::text is distinct from theirs(t.v)::text order by id limit 10"
    ));
    assert_eq!(differing, "", "{ty}: text, ours, theirs");
    assert!(ours.len() > well_formed.len(), "{ty}: none of the odd texts was taken");
}

/// Changes, removes or adds a character of some texts.
fn with_mistakes(rng: &mut Rng, texts: &[String], characters: &str) -> Vec<String> {
    let characters: Vec<char> = characters.chars().collect();
    texts
        .iter()
        .map(|text| {
            let mut letters: Vec<char> = text.chars().collect();
            for _ in 0..rng.usize(1..3) {
                let (at, new) = (rng.usize(..letters.len().max(1)), characters[rng.usize(..characters.len())]);
                match rng.u8(..3) {
                    0 if !letters.is_empty() => letters[at] = new,
                    1 if !letters.is_empty() => drop(letters.remove(at)),
                    _ => letters.insert(at, new),
                }
            }
            letters.into_iter().collect()
        })
        .collect()
}

fn random_date(rng: &mut Rng) -> String {
    let year = match rng.u8(..4) {
        0 => rng.u32(1..10_000),
        1 => rng.u32(10_000..200_000),
        _ => rng.u32(1890..2110),
    };
    format!("{year:04}-{:02}-{:02}", rng.u8(1..=12), rng.u8(1..=28))
}

fn random_time(rng: &mut Rng) -> String {
    let (hour, minute, second) = (rng.u8(..24), rng.u8(..60), rng.u8(..=60));
    match rng.usize(..8) {
        0 => format!("{hour:02}:{minute:02}"),
        // The end of a minute may be after the end of the day.
        1 => format!("{hour:02}:{minute:02}:{:02}", second.min(59)),
        digits => {
            let fraction = rng.u32(..10_u32.pow(digits as u32 - 1));
            format!("{hour:02}:{minute:02}:{:02}.{fraction:0width$}", second.min(59), width = digits - 1)
        }
    }
}

#[test]
fn times_have_the_meaning_of_the_server() {
    let mut rng = Rng::with_seed(17);
    let times: Vec<String> = (0..3000)
        .map(|_| {
            let zone = match rng.u8(..6) {
                0 => "Z".to_owned(),
                1 => format!("{:+03}:{:02}", rng.i8(-15..=15), rng.u8(..60)),
                2 => format!("{:+03}{:02}", rng.i8(-15..=15), rng.u8(..60)),
                3 => format!("{:+03}", rng.i8(-15..=15)),
                _ => String::new(),
            };
            let between = if rng.bool() { 'T' } else { ' ' };
            format!("{}{between}{}{zone}", random_date(&mut rng), random_time(&mut rng))
        })
        .collect();
    let edges = [
        "2016-12-31T23:59:60Z",
        "2016-12-31T24:00:00Z",
        "2015-06-30 23:59:60.0",
        "1900-02-28",
        "2000-02-29",
        "1600-02-29T00:00",
        "0001-01-01",
        "294276-12-31T23:59:59.999999Z",
        "2024-02-29",
    ];
    let times: Vec<String> = times.into_iter().chain(edges.map(str::to_owned)).collect();
    let unusual = with_mistakes(&mut rng, &times, "0123456789-:. TZ+/");
    expect_agreement("timestamptz", &[], &times, &unusual);
}

#[test]
fn dates_and_times_of_day_have_the_meaning_of_the_server() {
    let mut rng = Rng::with_seed(18);
    let dates: Vec<String> = (0..2000).map(|_| random_date(&mut rng)).collect();
    let unusual = with_mistakes(&mut rng, &dates, "0123456789-/ T");
    expect_agreement("date", &[], &dates, &unusual);
    let times: Vec<String> = (0..2000).map(|_| random_time(&mut rng)).chain(["24:00:00".to_owned()]).collect();
    let unusual = with_mistakes(&mut rng, &times, "0123456789:. ");
    expect_agreement("time", &[], &times, &unusual);
}

fn random_decimal(rng: &mut Rng, whole: usize, fraction: usize) -> String {
    let mut digits = |most: usize| -> String {
        let length = rng.usize(1..=most);
        let zeros = rng.usize(..3);
        // Runs of zeros give empty groups.
        (0..length).map(|at| if at % 5 > zeros { '0' } else { char::from(b'0' + rng.u8(..10)) }).collect()
    };
    let (whole, fraction) = (digits(whole), digits(fraction));
    let sign = if rng.bool() { "-" } else { "" };
    match rng.u8(..4) {
        0 => format!("{sign}{whole}"),
        1 => format!("{sign}0.{fraction}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}

#[test]
fn decimals_have_the_meaning_of_the_server() {
    let mut rng = Rng::with_seed(19);
    let numbers: Vec<String> = (0..3000).map(|_| random_decimal(&mut rng, 30, 30)).collect();
    let unusual = with_mistakes(&mut rng, &numbers, "0123456789.-eE+ _");
    expect_agreement("numeric", &[], &numbers, &unusual);
    // Rounded by rule: halves are rounded away from zero.
    let numbers: Vec<String> = (0..3000).map(|_| random_decimal(&mut rng, 7, 8)).collect();
    let unusual = with_mistakes(&mut rng, &numbers, "59.");
    expect_agreement("numeric(10,2)", &["round"], &numbers, &unusual);
    expect_agreement("double precision", &["decimal-text", "round"], &numbers, &unusual);
    expect_agreement("real", &["decimal-text", "round"], &numbers, &unusual);
    let whole: Vec<String> = (0..500).map(|_| rng.i64(..).to_string()).collect();
    let unusual = with_mistakes(&mut rng, &whole, "0123456789-+ _x");
    expect_agreement("bigint", &["integer-text"], &whole, &unusual);
}

/// A REAL in a numeric column is a decimal that the server reads as the same number, and in a column of its own type it
/// keeps its bits. (The server itself would print some with another last digit: of two equally near ones it takes the
/// even one.)
#[test]
fn reals_become_decimals_that_read_back_as_the_same_number() {
    let database = Postgres::shared().database("casts_reals");
    let directory = temporary_directory("casts");
    database
        .execute("create table reals (id integer, v double precision); create table decimals (id integer, v numeric)");
    let reals = cast(&database, "reals", &[], "UTC");
    let decimals = cast(&database, "decimals", &[], "UTC");
    let mut rng = Rng::with_seed(21);
    let numbers: Vec<f64> = (0..4000)
        .map(|index| match index % 3 {
            0 => f64::from_bits(rng.u64(..)),
            1 => rng.i64(-1_000_000_000..1_000_000_000) as f64 / 1000.0,
            _ => rng.f64() * 10_f64.powi(rng.i32(-20..20)),
        })
        .filter(|number| number.is_finite())
        .collect();
    let rows = |cast: &Cast| -> Vec<Vec<u8>> {
        numbers.iter().zip(0..).map(|(number, id)| row(cast, id, Real(*number))).collect()
    };
    load(&database, directory.path(), "reals", &rows(&reals));
    load(&database, directory.path(), "decimals", &rows(&decimals));
    let differing =
        "select r.v, d.v from reals r join decimals d using (id) where d.v::double precision <> r.v limit 10";
    assert_eq!(database.query(&format!("{IN_UTC}{differing}")), "");
    assert_eq!(unload(&database, directory.path(), "reals"), rows(&reals));
    assert_eq!(unload(&database, directory.path(), "decimals"), rows(&decimals));
}

#[test]
fn json_has_the_meaning_of_the_server() {
    fn value(rng: &mut Rng, depth: u8) -> String {
        let inner = |rng: &mut Rng| value(rng, depth + 1);
        match rng.u8(..if depth > 4 { 6 } else { 9 }) {
            0 => ["null", "true", "false", "-0", "0e5", "-0.00", "0.0e-3"][rng.usize(..7)].to_owned(),
            1 => random_decimal(rng, 1, 9).replace("-0", "-1"),
            2 => format!("{}{}e{:+}", ["", "-", "1.50", "-0.0"][rng.usize(..4)], rng.u8(1..10), rng.i16(-400..400)),
            3 | 4 => ["\"\"", "\"a\\n\\u00e9\"", "\"\\ud83d\\ude80 é\"", "\" \\\\ \\/ \""][rng.usize(..4)].to_owned(),
            5 => rng.i64(..).to_string(),
            6 => format!("[{} , {}]", inner(rng), inner(rng)),
            7 => format!("[{}]", inner(rng)),
            _ => format!("{{\"k\": {}, \"{}\":\t{}}}", inner(rng), KEYS[rng.usize(..KEYS.len())], inner(rng)),
        }
    }
    // Some of these are the same key written differently, and some are ordered differently than they are written.
    const KEYS: [&str; 14] =
        ["", "j", "k", "\\u006b", "l", "\\n", "\\u000a", "\\\"", "\\\\", "\\/", "\u{7f}", "\\u001F", "é", "\\u00e9x"];
    let mut rng = Rng::with_seed(20);
    let texts: Vec<String> = (0..2000).map(|_| value(&mut rng, 0)).collect();
    let unusual = with_mistakes(&mut rng, &texts, "{}[],:\"\\u0001eE+-. dtn\t");
    expect_agreement("jsonb", &[], &texts, &unusual);
}

/// Our limit of depth is within the server's, with its default stack.
#[test]
fn the_server_accepts_json_of_our_maximal_depth() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let nested = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
    expect_agreement("jsonb", &[], &[deep(1000)], &[nested(1000), nested(1001), deep(1001)]);
    expect_agreement("json", &[], &[deep(1000)], &[nested(1000), nested(1001), deep(1001)]);
}

/// Numbers of the maximal length are accepted, longer ones are not.
#[test]
fn numbers_have_the_maximal_length_of_the_server() {
    let whole = "9".repeat(131_072);
    let fraction = format!("0.{}1", "0".repeat(16_382));
    expect_agreement(
        "numeric",
        &[],
        std::slice::from_ref(&whole),
        &[format!("9{whole}"), fraction.clone(), format!("{fraction}1")],
    );
    expect_agreement("numeric", &[], &[format!("-{whole}.{}", "9".repeat(16_383))], &["0.0".to_owned()]);
    let unusual = ["1e131072", "1e-16384", "0e999999", "1e-16383"].map(str::to_owned);
    expect_agreement("jsonb", &[], &["1e131071".to_owned(), whole], &unusual);
}
