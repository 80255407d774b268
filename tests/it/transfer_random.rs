//! Tests that random values are transferred exactly: tables with a column of every type that is cast, and the values
//! that PostgreSQL returns, compared with what the generator knows. LOCKKEEPER_TEST_SEED repeats a test.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::contract::run_on;
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::kill;
use crate::support::postgres::Postgres;
use crate::support::session::Session;

const ROWS: usize = 100_000;
/// The rows of the second table, whose values are changed.
const CHANGED_TABLE_ROWS: usize = 2_000;

/// A table of random rows.
struct Table {
    name: &'static str,
    rows: usize,
    columns: Vec<&'static Column>,
}

impl Table {
    /// Creates a table with a column of every type.
    fn with_all_columns(name: &'static str, rows: usize) -> Self {
        Self { name, rows, columns: COLUMNS.iter().collect() }
    }

    /// Creates a table with some of the columns, which is faster.
    fn narrow(name: &'static str, rows: usize, columns: &[&str]) -> Self {
        let columns = COLUMNS.iter().filter(|column| columns.contains(&column.name)).collect();
        Self { name, rows, columns }
    }

    /// Returns the columns in SQL; the key is the first.
    fn definition(&self, key: &str, ty: impl Fn(&Column) -> &'static str) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!(", {} {}", column.name, ty(column))).collect();
        format!("create table {} (id {key} primary key{});\n", self.name, columns.concat())
    }
}

/// A value for SQLite, and the text that the server returns for it.
type GeneratedValue = (Value, String);

/// A column: its name, its types in SQLite and PostgreSQL, the query for its value (`$` is the column), and its values,
/// which may depend on earlier columns of the row.
struct Column {
    name: &'static str,
    declared: &'static str,
    ty: &'static str,
    server_rows: &'static str,
    make: fn(&mut Rng, &[Value]) -> GeneratedValue,
}

const fn column(
    name: &'static str,
    declared: &'static str,
    ty: &'static str,
    server_rows: &'static str,
    make: fn(&mut Rng, &[Value]) -> GeneratedValue,
) -> Column {
    Column { name, declared, ty, server_rows, make }
}

const SENT_TEXT: &str = "encode(textsend($::text), 'hex')";
const MICROSECONDS: &str = "trunc(extract(epoch from $) * 1000000)";

/// SQLite's affinities change stored values (`-0.0` in a REAL column is 0.0): most columns have the suitable one, those
/// whose values need every storage class have none.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    column("flag", "BOOLEAN", "boolean", "$::int", |rng, _| boolean(rng)),
    column("tiny", "INT", "smallint", "$", |rng, _| integer(rng, i16::MIN.into(), i16::MAX.into())),
    column("whole", "", "integer", "$", |rng, _| integer_or_real(rng)),
    column("big", "INTEGER", "bigint", "$", |rng, _| integer(rng, i64::MIN, i64::MAX)),
    column("single", "", "real", "encode(float4send($), 'hex')", |rng, _| single(rng)),
    column("fine", "", "double precision", "encode(float8send($), 'hex')", |rng, _| double(rng)),
    column("declared", "REAL", "double precision", "encode(float8send($), 'hex')", |rng, _| declared_double(rng)),
    column("money", "DECIMAL(12,3)", "numeric(12,3)", "$", |rng, _| thousandths(rng)),
    column("exact", "", "numeric", "trim_scale($)", |rng, _| decimal(rng)),
    column("words", "TEXT", "text", SENT_TEXT, |rng, _| words(rng, 40)),
    column("short", "VARCHAR(12)", "varchar(12)", SENT_TEXT, |rng, _| words(rng, 12)),
    column("padded", "CHAR(6)", "char(6)", "encode(bpcharsend($), 'hex')", |rng, _| padded(rng)),
    column("called", "TEXT", "name", SENT_TEXT, |rng, _| words(rng, 15)),
    column("doc", "TEXT", "json", "encode(json_send($), 'hex')", |rng, _| document(rng)),
    // The same texts as before, so that the server can say whether they have the same meaning.
    column("docb", "TEXT", "jsonb", "$ is not distinct from doc::text::jsonb", |_, before| {
        (before[before.len() - 1].clone(), "t".into())
    }),
    column("moment", "TIMESTAMP", "timestamptz", MICROSECONDS, |rng, _| moment(rng)),
    column("wall", "DATETIME", "timestamp", MICROSECONDS, |rng, _| moment(rng)),
    column("day", "DATE", "date", "$ - date '1970-01-01'", |rng, _| day(rng)),
    column("clock", "TIME", "time", MICROSECONDS, |rng, _| clock(rng)),
    column("id128", "TEXT", "uuid", "replace($::text, '-', '')", |rng, _| uuid(rng)),
    column("bytes", "BLOB", "bytea", "encode($, 'hex')", |rng, _| bytes(rng)),
    column("host", "TEXT", "inet", "encode(inet_send($), 'hex')", |rng, _| address(rng, Address::Host)),
    column("net", "TEXT", "cidr", "encode(cidr_send($), 'hex')", |rng, _| address(rng, Address::Network)),
    column("tags", "TEXT", "text[]",
        "cardinality($) || coalesce((select string_agg(' ' || coalesce(encode(textsend(t), 'hex'), 'null'), '' order by n) from unnest($) with ordinality u (t, n)), '')",
        |rng, _| texts(rng)),
    column("counts", "TEXT", "integer[]", "cardinality($) || case when cardinality($) > 0 then ' ' || array_to_string($, ' ', 'null') else '' end", |rng, _| integers(rng)),
    column("mood", "TEXT", "mood", "$", |rng, _| mood(rng)),
    column("code", "TEXT", "code", SENT_TEXT, |rng, _| words(rng, 5)),
];

const TYPES: &str = "create type mood as enum ('sad', 'ok', 'größer', '1');
    create domain code as varchar(5) check (value <> 'no way');";

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

fn boolean(rng: &mut Rng) -> GeneratedValue {
    let is = rng.bool();
    let value = match rng.u8(..6) {
        0 => Value::Text(one(rng, if is { &["t", "TRUE", "1"] } else { &["f", "False", "0"] }).into()),
        1 => Value::Real(f64::from(u8::from(is))),
        _ => Value::Integer(i64::from(is)),
    };
    (value, u8::from(is).to_string())
}

fn number(rng: &mut Rng, least: i64, most: i64) -> i64 {
    match rng.u8(..8) {
        0 => one(rng, &[least, most, least + 1, most - 1, 0, -1, 1]),
        1 => rng.i64(-100..100),
        _ => rng.i64(least..=most),
    }
}

fn integer(rng: &mut Rng, least: i64, most: i64) -> GeneratedValue {
    let number = number(rng, least, most);
    (Value::Integer(number), number.to_string())
}

fn integer_or_real(rng: &mut Rng) -> GeneratedValue {
    let number = number(rng, i32::MIN.into(), i32::MAX.into());
    let value = if rng.u8(..4) == 0 { Value::Real(number as f64) } else { Value::Integer(number) };
    (value, number.to_string())
}

fn single(rng: &mut Rng) -> GeneratedValue {
    let number = match rng.u8(..6) {
        0 => one(rng, &[0.0, -0.0, 1e-45, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY, 0.1]),
        _ => f32::from_bits(rng.u32(..)),
    };
    // SQLite has no NaN: it is NULL.
    let rendered = if number.is_nan() { "\\N".into() } else { hex(&number.to_be_bytes()) };
    (Value::Real(number.into()), rendered)
}

fn any_double(rng: &mut Rng) -> f64 {
    const EDGES: &[f64] = &[
        0.0,
        -0.0,
        5e-324,
        -2.225_073_858_507_201e-308,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        1.0 / 3.0,
        9007199254740993.0,
        1e22,
        2.0,
    ];
    match rng.u8(..6) {
        0 => one(rng, EDGES),
        1 => rng.i64(-1_000_000..1_000_000) as f64 / 100.0,
        _ => f64::from_bits(rng.u64(..)),
    }
}

fn double(rng: &mut Rng) -> GeneratedValue {
    if rng.u8(..8) == 0 {
        let number = rng.i64(-(1 << 53)..=1 << 53);
        return (Value::Integer(number), hex(&(number as f64).to_be_bytes()));
    }
    let number = any_double(rng);
    let rendered = if number.is_nan() { "\\N".into() } else { hex(&number.to_be_bytes()) };
    (Value::Real(number), rendered)
}

fn declared_double(rng: &mut Rng) -> GeneratedValue {
    let number = any_double(rng);
    let rendered = if number.is_nan() { "\\N".into() } else { hex(&(number + 0.0).to_be_bytes()) };
    (Value::Real(number), rendered)
}

fn thousandths(rng: &mut Rng) -> GeneratedValue {
    let most = 999_999_999_999;
    let number = if rng.u8(..3) == 0 { 1000 * rng.i64(-999..999) } else { number(rng, -most, most) };
    let sign = if number < 0 { "-" } else { "" };
    let rendered = format!("{sign}{}.{:03}", number.abs() / 1000, number.abs() % 1000);
    let value = match rng.u8(..3) {
        0 if number % 1000 == 0 => Value::Integer(number / 1000),
        1 => Value::Text(rendered.clone()),
        _ => Value::Real(number as f64 / 1000.0),
    };
    (value, rendered)
}

fn decimal(rng: &mut Rng) -> GeneratedValue {
    if rng.u8(..6) == 0 {
        return integer(rng, i64::MIN, i64::MAX);
    }
    let text = if rng.u8(..6) == 0 {
        let number = rng.f64() * 10_f64.powi(rng.i32(-30..30));
        // The shortest digits that read back as the same number, without an exponent.
        return (Value::Real(number), number.to_string());
    } else {
        let digits = |rng: &mut Rng| -> String {
            let zeros = rng.bool();
            let count = rng.usize(1..30);
            (0..count).map(|at| if zeros && at % 7 > 1 { '0' } else { rng.char('0'..='9') }).collect()
        };
        let (with_all_columns, fraction) = (digits(rng), digits(rng));
        let sign = if rng.bool() { "-" } else { "" };
        if rng.bool() { format!("{sign}{with_all_columns}") } else { format!("{sign}{with_all_columns}.{fraction}") }
    };
    (Value::Text(text.clone()), without_redundant_zeros(&text))
}

/// Returns a decimal without redundant zeros.
fn without_redundant_zeros(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (with_all_columns, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (with_all_columns, fraction) = (with_all_columns.trim_start_matches('0'), fraction.trim_end_matches('0'));
    match (with_all_columns, fraction) {
        ("", "") => "0".into(),
        _ => {
            let point = if fraction.is_empty() { "" } else { "." };
            let with_all_columns = if with_all_columns.is_empty() { "0" } else { with_all_columns };
            format!("{sign}{with_all_columns}{point}{fraction}")
        }
    }
}

/// Returns a text of at most `most` characters; of a few hundred sometimes, where that is allowed.
fn text(rng: &mut Rng, most: usize) -> String {
    const PIECES: &[&str] = &[
        " ",
        "\\",
        "\\N",
        "\\.",
        "\t",
        "\r\n",
        "'",
        "\"",
        "e\u{301}",
        "é",
        "ß",
        "🚀",
        "👩\u{200d}🔬",
        "\u{10ffff}",
        "\u{ffff}",
        "\u{1}",
        "\u{7f}",
        "\u{202e}",
        "\u{feff}",
        "null",
        "{}",
        "%s",
        "|",
    ];
    let length = match rng.u8(..10) {
        0 => 0,
        1 => most,
        2 if most > 30 => rng.usize(..400),
        _ => rng.usize(..=most / 2),
    };
    let mut text = String::new();
    let mut count = 0;
    loop {
        let mut letter = [0; 4];
        let piece = match rng.u8(..5) {
            0 => one(rng, PIECES),
            _ => rng.alphanumeric().encode_utf8(&mut letter),
        };
        count += piece.chars().count();
        if count > length {
            break;
        }
        text.push_str(piece);
    }
    let blanks = rng.u8(..8) == 0 && count > 1 && text.chars().count() < most;
    if blanks { text + " " } else { text }
}

fn words(rng: &mut Rng, most: usize) -> GeneratedValue {
    let text = text(rng, most);
    (Value::Text(text.clone()), hex(text.as_bytes()))
}

fn padded(rng: &mut Rng) -> GeneratedValue {
    let text = text(rng, 6);
    let blanks = " ".repeat(6 - text.chars().count());
    (Value::Text(text.clone()), hex((text + &blanks).as_bytes()))
}

/// Returns a JSON text: characters that may stand for themselves, and escapes of all kinds.
fn quoted(rng: &mut Rng, text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' if rng.bool() => quoted.push_str("\\n"),
            '\t' if rng.bool() => quoted.push_str("\\t"),
            c if c < ' ' || rng.u8(..10) == 0 => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    quoted.push_str(&if rng.bool() { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
                }
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn json(rng: &mut Rng, depth: u8) -> String {
    let blank = one(rng, &["", "", "", " ", "\n\t"]);
    match rng.u8(..if depth > 2 { 5 } else { 8 }) {
        0 => one(rng, &["null", "true", "false", "-0", "0e5", "1e400", "-1E-30", "12345678901234567890123.10", "1.0"])
            .into(),
        1 => rng.i64(..).to_string(),
        2 => format!("{}.{}e{}", rng.u8(..), rng.u32(..), rng.i8(-50..50)),
        3 | 4 => {
            let text = text(rng, 10);
            quoted(rng, &text)
        }
        5 => {
            let members: Vec<String> = (0..rng.u8(..4)).map(|_| json(rng, depth + 1)).collect();
            format!("[{blank}{}]", members.join(&format!("{blank},")))
        }
        _ => {
            // There are only a few keys, so that some occur twice.
            let member = |rng: &mut Rng| {
                let key = one(rng, &["a", "b", "bb", "", "é", "\"", "key of some length"]);
                format!("{blank}{}{blank}: {}", quoted(rng, key), json(rng, depth + 1))
            };
            let members: Vec<String> = (0..rng.u8(..5)).map(|_| member(rng)).collect();
            format!("{{{}{blank}}}", members.join(","))
        }
    }
}

fn document(rng: &mut Rng) -> GeneratedValue {
    let json = json(rng, 0);
    (Value::Text(json.clone()), hex(json.as_bytes()))
}

/// Returns a day as text, and as a number of days since 1970.
fn calendar(rng: &mut Rng, most: i64) -> (String, i64) {
    let year = match rng.u8(..8) {
        0 => one(rng, &[1, 4, 100, 400, 1582, 1600, 1899, 1900, 1999, 2000, 9999, 10_000]),
        1 => rng.i64(1..10_000),
        2 => rng.i64(10_000..most),
        _ => rng.i64(1960..2040),
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = rng.usize(1..=12);
    let day = if rng.u8(..5) == 0 { lengths[month - 1] } else { rng.i64(1..=lengths[month - 1]) };
    let before = year - 1;
    let days = 365 * before + before / 4 - before / 100 + before / 400;
    // There are 719,162 days between the first day of year 1 and 1970.
    let days = days + lengths[..month - 1].iter().sum::<i64>() + day - 1 - 719_162;
    (format!("{year:04}-{month:02}-{day:02}"), days)
}

/// Returns a time of day as text, and in microseconds since midnight.
fn hours(rng: &mut Rng) -> (String, i64) {
    if rng.u8(..20) == 0 {
        let edges = [("24:00:00", 86_400), ("23:59:60", 86_400), ("00:00", 0), ("12:34", 45_240)];
        let (text, seconds) = one(rng, &edges);
        return (text.to_owned(), seconds * 1_000_000);
    }
    let (hour, minute, second) = (rng.i64(0..24), rng.i64(0..60), rng.i64(0..60));
    let with_all_columns = ((hour * 60 + minute) * 60 + second) * 1_000_000;
    let text = format!("{hour:02}:{minute:02}:{second:02}");
    match rng.u32(..8) {
        0 => (text, with_all_columns),
        7 => (format!("{text}.999999"), with_all_columns + 999_999),
        digits => {
            let fraction = rng.i64(0..10_i64.pow(digits));
            let width = digits as usize;
            (format!("{text}.{fraction:0width$}"), with_all_columns + fraction * 10_i64.pow(6 - digits))
        }
    }
}

fn moment(rng: &mut Rng) -> GeneratedValue {
    let ((date, days), (time, microseconds)) = (calendar(rng, 294_000), hours(rng));
    let minutes = rng.i64(-15 * 60 - 59..=15 * 60 + 59);
    let sign = if minutes < 0 { '-' } else { '+' };
    let (of_hour, hour) = (minutes.abs() % 60, minutes.abs() / 60);
    let (zone, minutes) = match rng.u8(..6) {
        0 => ("Z".to_owned(), 0),
        1 => (format!("{sign}{hour:02}:{of_hour:02}"), minutes),
        2 => (format!("{sign}{hour:02}{of_hour:02}"), minutes),
        3 => (format!("{sign}{hour:02}"), minutes - minutes % 60),
        _ => (String::new(), 0),
    };
    let between = one(rng, &["T", " ", "t"]);
    let day = i128::from(days) * 86_400_000_000;
    match rng.u8(..10) {
        0 => (Value::Text(date), day.to_string()),
        _ => {
            let utc = day + i128::from(microseconds) - i128::from(minutes) * 60_000_000;
            (Value::Text(format!("{date}{between}{time}{zone}")), utc.to_string())
        }
    }
}

fn day(rng: &mut Rng) -> GeneratedValue {
    let (date, days) = calendar(rng, 5_000_000);
    let midnight = one(rng, &["", "", "", "T00:00:00Z", " 00:00"]);
    (Value::Text(date + midnight), days.to_string())
}

fn clock(rng: &mut Rng) -> GeneratedValue {
    let (time, microseconds) = hours(rng);
    (Value::Text(time), microseconds.to_string())
}

fn uuid(rng: &mut Rng) -> GeneratedValue {
    let number = if rng.u8(..20) == 0 { one(rng, &[0, u128::MAX]) } else { rng.u128(..) };
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    let value = match rng.u8(..4) {
        0 => Value::Blob(number.to_be_bytes().to_vec()),
        1 => Value::Text(digits.clone()),
        2 => Value::Text(parts.join("-").to_uppercase()),
        _ => Value::Text(parts.join("-")),
    };
    (value, digits)
}

fn bytes(rng: &mut Rng) -> GeneratedValue {
    let length = if rng.u8(..10) == 0 { 0 } else { rng.usize(..40) };
    let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
    let rendered = hex(&bytes);
    (Value::Blob(bytes), rendered)
}

#[derive(Clone, Copy, PartialEq)]
enum Address {
    Host,
    Network,
}

fn address(rng: &mut Rng, kind: Address) -> GeneratedValue {
    let is_four = rng.bool();
    let width = if is_four { 32 } else { 128 };
    let bits = if rng.u8(..4) == 0 { width } else { rng.u32(..=width) };
    let mut number = if is_four { u128::from(rng.u32(..)) } else { rng.u128(..) };
    if rng.u8(..4) == 0 {
        // Runs of zeros, which are abbreviated.
        number &= u128::MAX << rng.u32(8..100) | 0xff;
        number &= if is_four { u128::from(u32::MAX) } else { u128::MAX };
    }
    if kind == Address::Network {
        number &= u128::MAX.checked_shl(width - bits).unwrap_or(0);
    }
    let text = match is_four {
        true => std::net::Ipv4Addr::from(number as u32).to_string(),
        false => std::net::Ipv6Addr::from(number).to_string(),
    };
    let text = if bits == width && rng.bool() { text } else { format!("{text}/{bits}") };
    // Family, bits, whether it is a network, length: the format of `network_send`.
    let head = if is_four { [2, bits as u8, 0, 4] } else { [3, bits as u8, 0, 16] };
    let head = if kind == Address::Network { [head[0], head[1], 1, head[3]] } else { head };
    let all = number.to_be_bytes();
    (Value::Text(text), hex(&head) + &hex(&all[16 - usize::from(head[3])..]))
}

fn texts(rng: &mut Rng) -> GeneratedValue {
    let (mut list, mut rendered) = (Vec::new(), Vec::new());
    for _ in 0..rng.u8(..4) {
        if rng.u8(..5) == 0 {
            list.push("null".to_owned());
            rendered.push(" null".to_owned());
        } else {
            let text = text(rng, 8);
            rendered.push(format!(" {}", hex(text.as_bytes())));
            list.push(quoted(rng, &text));
        }
    }
    (Value::Text(format!("[{}]", list.join(", "))), format!("{}{}", list.len(), rendered.concat()))
}

fn integers(rng: &mut Rng) -> GeneratedValue {
    let list: Vec<String> = (0..rng.u8(..4))
        .map(|_| match rng.u8(..5) {
            0 => "null".to_owned(),
            _ => number(rng, i32::MIN.into(), i32::MAX.into()).to_string(),
        })
        .collect();
    let rendered = [vec![list.len().to_string()], list.clone()].concat().join(" ");
    (Value::Text(format!("[{}]", list.join(","))), rendered)
}

fn mood(rng: &mut Rng) -> GeneratedValue {
    let label = one(rng, &["sad", "ok", "größer", "1"]);
    (Value::Text(label.into()), label.into())
}

/// Fills a table, and returns what the server should have, a line for each row, ordered by their keys.
fn fill(connection: &mut Connection, table: &Table, rng: &mut Rng) -> Vec<String> {
    let transaction = connection.transaction().expect("a transaction");
    transaction.execute_batch(&table.definition("integer", |column| column.declared)).expect("a table");
    let places = vec!["?"; table.columns.len() + 1].join(", ");
    let mut insert =
        transaction.prepare(&format!("insert into {} values ({places})", table.name)).expect("a statement");
    let mut expected = Vec::with_capacity(table.rows);
    for row in 0..table.rows {
        let id = match row {
            0 => i64::MIN,
            last if last + 1 == table.rows => i64::MAX,
            row => row as i64 - 2,
        };
        let (mut values, mut line) = (vec![Value::Integer(id)], id.to_string());
        for column in &table.columns {
            let (value, rendered) = match rng.u8(..12) {
                // A value that is compared with another column has to equal it.
                0 if column.name != "docb" => (Value::Null, "\\N".to_owned()),
                _ => (column.make)(rng, &values),
            };
            values.push(value);
            line.push('\t');
            line.push_str(&rendered);
        }
        insert.execute(rusqlite::params_from_iter(&values)).expect("a row");
        expected.push(line);
    }
    drop(insert);
    transaction.commit().expect("a commit");
    expected
}

/// Returns what the server has, a line for each row.
fn server_rows(database: &PgDatabase<'_>, directory: &Path, table: &Table) -> String {
    let server_rows =
        table.columns.iter().map(|column| format!(", ({})", column.server_rows.replace('$', column.name)));
    let server_rows: Vec<String> = server_rows.collect();
    let file = directory.join(table.name);
    database.execute(&format!(
        "\\copy (select id{} from {} order by id) to '{}'\n",
        server_rows.concat(),
        table.name,
        file.display()
    ));
    fs::read_to_string(file).expect("what COPY wrote")
}

/// Panics with the first row that differs.
#[track_caller]
fn expect_rows(database: &PgDatabase<'_>, directory: &Path, table: &Table, expected: &[String]) {
    let found = server_rows(database, directory, table);
    assert_eq!(found.lines().count(), expected.len(), "rows of {}", table.name);
    let Some((found, expected)) = found.lines().zip(expected).find(|(found, expected)| found != expected) else {
        return;
    };
    let names = ["id"].into_iter().chain(table.columns.iter().map(|column| column.name));
    let both = names.zip(found.split('\t').zip(expected.split('\t')));
    let other: Vec<String> = both
        .filter(|(_, (found, expected))| found != expected)
        .map(|(name, (found, expected))| format!("{name} is {found} instead of {expected}"))
        .collect();
    panic!("{}, in the row\n{expected}\n{other:#?}", table.name);
}

fn run(run: &Run, arguments: &[&str]) -> Finished {
    run.clone().args(arguments.iter().copied()).args(["--from", "sqlite:///app.db"]).output()
}

/// Creates a run whose target and source have these tables, transfers them and compares the rows with those of the
/// generator.
fn transferred(tables: &[Table], rng: &mut Rng) -> (PgDatabase<'static>, Run) {
    let database = Postgres::shared().database("random");
    let migration: String = tables.iter().map(|table| table.definition("bigint", |column| column.ty)).collect();
    let it = run_on(&database, &[("0001_all.sql", &format!("{TYPES}{migration}"))]);
    let mut connection = Connection::open(it.dir().join("app.db")).expect("a database");
    let expected: Vec<Vec<String>> = tables.iter().map(|table| fill(&mut connection, table, rng)).collect();
    drop(connection);
    run(&it, &["transfer"]).expect_code(0);
    for (table, expected) in tables.iter().zip(&expected) {
        expect_rows(&database, it.dir(), table, expected);
    }
    (database, it)
}

/// Returns the rows of `table` that a comparison names.
#[track_caller]
fn named_rows(finished: &Finished, table: &str) -> Vec<String> {
    let begin = format!("{table}, id = ");
    let mut lines: Vec<&str> = finished.expect_code(87).stderr.lines().collect();
    // The last line repeats the first difference.
    lines.pop();
    lines.iter().filter_map(|line| line.find(&begin).map(|at| line[at + begin.len()..].to_owned())).collect()
}

/// Returns `count` rows for which the condition holds, in an order that depends on the seed.
fn some_rows(session: &mut Session, table: &str, which: &str, count: usize, rng: &mut Rng) -> Vec<String> {
    let salt = rng.u64(..);
    let rows =
        session.run(&format!("select id from {table} where {which} order by md5(id::text || {salt}) limit {count}"));
    let rows: Vec<String> = rows.lines().map(str::to_owned).collect();
    assert_eq!(rows.len(), count, "{table} has too few rows where {which}: {rows:?}");
    rows
}

#[test]
fn every_value_of_a_hundred_thousand_random_rows_is_transferred_and_differences_are_found() {
    let mut rng = Rng::with_seed(kill::seed());
    let tables =
        [Table::with_all_columns("everything", ROWS), Table::narrow("narrow", ROWS, &["words", "moment", "id128"])];
    let (database, it) = transferred(&tables, &mut rng);
    run(&it, &["compare"]).expect_code(0).says(&format!("equal: 2 tables, {} rows", 2 * ROWS));

    // Two rows have each other's value, one is lost, one is duplicated: the number of rows is unchanged.
    let usual = "id128 > '00000000-0000-0000-0000-000000000000' and id128 < 'ffffffff-ffff-ffff-ffff-ffffffffffff'";
    let [a, b, lost, twice] = &some_rows(&mut database.session(), "narrow", usual, 4, &mut rng)[..] else {
        panic!("four")
    };
    database.execute(&format!(
        "begin; update narrow n set id128 = o.id128 from narrow o where (n.id, o.id) in (({a}, {b}), ({b}, {a}));
         delete from narrow where id = {lost}; alter table narrow drop constraint narrow_pkey;
         insert into narrow select * from narrow where id = {twice}; commit"
    ));
    let found = run(&it, &["compare", "--only", "narrow"]);
    found.says(&format!("have {ROWS} rows each, and not the same ones"));
    let found = named_rows(&found, "narrow");
    assert_eq!(found.len(), 4, "{found:#?}");
    for begin in [
        format!("{a}: id128 is "),
        format!("{b}: id128 is "),
        format!("{lost}: only in the source"),
        format!("{twice}: once in the source, 2 times in the target"),
    ] {
        assert!(found.iter().any(|line| line.starts_with(&begin)), "{begin}: {found:#?}");
    }
}

/// The smallest changes: the column, the rows that have room for it, and the new value. `$` is the column.
const CHANGES: &[(&str, &str, &str)] = &[
    ("flag", "true", "not $"),
    ("tiny", "true", "$ # 1::smallint"),
    ("whole", "true", "$ # 1"),
    ("big", "true", "$ # 1"),
    ("single", "$ not in ('inf', '-inf')", "BIT"),
    ("single", "$ = 0", "-$"),
    ("fine", "$ not in ('inf', '-inf')", "BIT"),
    ("fine", "$ = 0", "-$"),
    ("fine", "$ = 'inf'", "'nan'"),
    ("declared", "$ not in ('inf', '-inf')", "BIT"),
    ("money", "$ < 1000000", "$ + 0.001"),
    ("money", "$ <> 0", "-$"),
    ("exact", "true", "$ + 1e-40"),
    ("exact", "true", "'nan'"),
    ("words", "$ = ''", "null"),
    ("words", "true", "$ || ' '"),
    ("words", "$ ~ '^[a-z]'", "initcap($)"),
    ("words", "$ like '%é%'", "replace($, 'é', e'e\\u0301')"),
    ("words", "$ like e'%\\r\\n%'", "replace($, e'\\r\\n', e'\\n')"),
    ("short", "length($) < 12", "$ || e'\\u200b'"),
    ("short", "$ like '% '", "rtrim($)"),
    ("padded", "$ = ''", "'x'"),
    ("padded", "$ ~ '^[A-Z]'", "lower($)"),
    ("called", "true", "($ || ' ')::name"),
    ("doc", "true", "json_build_array($)"),
    ("doc", "$::text = '1.0'", "'1.00000000000000000001'"),
    ("docb", "$ = 'null'", "null"),
    ("docb", "jsonb_typeof($) = 'number' and scale($::numeric) < 1000", "to_jsonb($::numeric + 1e-1000)"),
    ("docb", "jsonb_typeof($) = 'string'", "to_jsonb(($ #>> '{}') || ' ')"),
    ("docb", "jsonb_typeof($) = 'boolean'", "to_jsonb($::text)"),
    ("docb", "jsonb_typeof($) = 'object' and not $ ? 'new'", "$ || '{\"new\": null}'"),
    ("docb", "jsonb_array_length(case jsonb_typeof($) when 'array' then $ else '[]' end) > 0", "$ - 0"),
    ("moment", "true", "$ + interval '1 microsecond'"),
    ("moment", "true", "$ - interval '1 hour'"),
    ("wall", "true", "$ - interval '1 microsecond'"),
    ("day", "true", "$ + 1"),
    ("clock", "$ < '23:59:59'", "$ + interval '1 microsecond'"),
    ("clock", "$ = '24:00'", "'00:00'"),
    ("id128", "$ >= '10000000-0000-0000-0000-000000000000'", "overlay($::text placing '0' from 1 for 1)::uuid"),
    ("bytes", "length($) > 0", "set_bit($, 0, 1 - get_bit($, 0))"),
    ("bytes", "true", "$ || '\\x00'"),
    ("bytes", "$ = ''", "null"),
    ("host", "masklen($) > 0", "set_masklen($, masklen($) - 1)"),
    ("net", "masklen($) > 0 and host($) = host(set_masklen($, masklen($) - 1))", "set_masklen($, masklen($) - 1)"),
    ("tags", "true", "array_append($, '')"),
    ("tags", "$ = '{}'", "null"),
    ("tags", "array_position($, null) is not null", "array_replace($, null, 'null')"),
    ("counts", "cardinality($) = 2 and $[1] <> $[2]", "array[$[2], $[1]]"),
    ("mood", "$ <> 'ok'", "'ok'"),
    ("code", "length($) < 5", "$ || 'x'"),
    ("code", "true", "null"),
];

/// Returns the next number, which differs in the last bit.
fn flipped(bits: &str) -> String {
    match bits.len() {
        8 => f32::from_bits(u32::from_str_radix(bits, 16).expect("bits") ^ 1).to_string(),
        _ => format!("{:e}", f64::from_bits(u64::from_str_radix(bits, 16).expect("bits") ^ 1)),
    }
}

/// Changes a row that was not changed yet, and returns its key.
fn change(session: &mut Session, (name, room, new): (&str, &str, &str), used: &[String], rng: &mut Rng) -> String {
    let free = format!("{name} is not null and {} and id <> all ('{{{}}}')", room.replace('$', name), used.join(","));
    let [id] = &some_rows(session, "few", &free, 1, rng)[..] else { panic!("one") };
    let new = match new {
        "BIT" => {
            let send = if name == "single" { "float4send" } else { "float8send" };
            let bits = session.run(&format!("select encode({send}({name}), 'hex') from few where id = {id}"));
            format!("'{}'", flipped(bits.trim_end()))
        }
        new => new.replace('$', name),
    };
    let answer = session.run(&format!("update few set {name} = {new} where id = {id}"));
    assert_eq!(answer, "", "{name} = {new}");
    id.clone()
}

#[test]
fn the_smallest_difference_of_any_value_is_found_in_its_row_and_column() {
    // The maximal number of rows that are named, less one.
    const AT_ONCE: usize = 9;
    let mut rng = Rng::with_seed(kill::seed());
    let (database, it) = transferred(&[Table::with_all_columns("few", CHANGED_TABLE_ROWS)], &mut rng);
    database.execute("create table kept as table few");
    let mut session = database.session();
    let mut changes = CHANGES.to_vec();
    rng.shuffle(&mut changes);
    for some in changes.chunks(AT_ONCE) {
        let mut used: Vec<String> = Vec::new();
        for it in some {
            used.push(change(&mut session, *it, &used, &mut rng));
        }
        let found = named_rows(&run(&it, &["compare"]), "few");
        assert_eq!(found.len(), some.len(), "{some:#?}\n{found:#?}");
        for (id, change) in used.iter().zip(some) {
            let begin = format!("{id}: {} is ", change.0);
            let line = found.iter().find(|line| line.starts_with(&begin));
            let line = line.unwrap_or_else(|| panic!("{begin}{change:?} is not named: {found:#?}"));
            assert_eq!(line.matches(" in the source, ").count(), 1, "{change:?}: {line}");
        }
        let rows = used.join(", ");
        session.run(&format!("delete from few where id in ({rows})"));
        session.run(&format!("insert into few select * from kept where id in ({rows})"));
    }
    run(&it, &["compare"]).expect_code(0);
}

/// The text of a value does not matter, only its meaning does.
#[test]
fn another_spelling_of_any_value_is_not_a_difference() {
    let mut rng = Rng::with_seed(kill::seed());
    let (database, it) = transferred(&[Table::with_all_columns("few", CHANGED_TABLE_ROWS)], &mut rng);
    database.execute(
        "create table kept as table few;
         update few set doc = doc::jsonb::json, docb = case jsonb_typeof(docb) when 'number' then to_jsonb(docb::numeric * 1.000) else docb end,
             exact = exact + 0.00000000000000000000000000000000000",
    );
    let differ = "select count(*) filter (where f.doc::text <> k.doc::text) > 200, count(*) filter (where f.docb::text <> k.docb::text) > 50, \
         count(*) filter (where f.exact::text <> k.exact::text) > 200 from few f join kept k using (id)";
    assert_eq!(database.value(differ), "t|t|t");
    run(&it, &["compare"]).expect_code(0).says(&format!("equal: 1 table, {CHANGED_TABLE_ROWS} rows"));
}
