//! Tests of what `lockkeeper transfer` refuses: one run names everything that is wrong, and transfers no row.

use std::fs;

use crate::lock_sqlite::Writer;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{sqlite, unique};
use crate::transfer::expect_last_line;

fn database() -> PgDatabase<'static> {
    Postgres::shared().database("refused")
}

/// Transfers `source.db`, created by the SQL `from`, into the tables of a migration.
fn transfer(database: &PgDatabase<'_>, from: &str, to: &str) -> Run {
    let run = without_source(&database.url(), to);
    sqlite::query(&run.dir().join("source.db"), from);
    run
}

fn without_source(url: &str, to: &str) -> Run {
    let run = Run::new().url(url).env("LOCKKEEPER_BACKUP", "off").migrations(&[("0001_tables.sql", to)]);
    run.args(["transfer", "--from", "sqlite:///source.db"])
}

/// Expects that nothing was created, not even a table.
#[track_caller]
fn expect_nothing(database: &PgDatabase<'_>) {
    assert_eq!(database.value("select count(*) from pg_tables where schemaname = 'public'"), "0");
}

const SIMPLE: &str = "create table t (id integer primary key); insert into t values (1);";
const SIMPLE_TARGET: &str = "create table t (id int primary key);";

const BAD: &str = r#"
    create table t (id integer primary key, n int, small int, big, at text, doc text, flag int, words text);
    insert into t values (1, 'many', 70000, 9223372036854775808.0, '2026-02-30', '{', 2, cast(x'6100' as text));
    insert into t values (2, '', 1.5, 1, '', '{}', 'yes', cast(x'ff' as text));
    insert into t values (3, 1, 1, 1, 1700000000, '{"a": 1}', 1, 'fine');
    create table k (a text, b int, n int, primary key (a, b)) without rowid;
    insert into k values ('x', 1, 'bad'), ('it''s', 2, null);
"#;
const BAD_TARGET: &str = "
    create table t (id int primary key, n int, small smallint, big bigint, at timestamptz, doc jsonb, flag boolean, words text);
    create table k (a text, b int, n int not null, primary key (a, b));
";

#[test]
fn bad_values_of_every_kind_are_named_in_one_run() {
    let database = database();
    let run = transfer(&database, BAD, BAD_TARGET);
    let finished = run.output();
    expect_last_line(
        &finished,
        65,
        &["and 14 more, named above", "no row was transferred; revision 0001 was applied and kept"],
    );
    // References between rows are checked separately.
    finished.says("those that a check refuses are looked for when all values fit");
    for place in [
        "k.n, (a, b) = ('x', 1): 'bad' ",
        "k.n, (a, b) = ('it''s', 2): NULL ",
        "t.n, rowid 1: 'many' ",
        "t.small, rowid 1: 70000 ",
        "t.big, rowid 1: 9.223372036854776e18 ",
        "t.at, rowid 1: '2026-02-30' ",
        "t.doc, rowid 1: '{' ",
        "t.flag, rowid 1: 2 ",
        r"t.words, rowid 1: 'a\u{0}' ",
        "t.n, rowid 2: '' ",
        "t.small, rowid 2: 1.5 ",
        "t.at, rowid 2: '' ",
        "t.flag, rowid 2: 'yes' ",
        "t.words, rowid 2: x'ff' ",
        "t.at, rowid 3: ",
    ] {
        finished.says(place);
    }
    finished.does_not_say("copied");
    assert_eq!(database.value("select (select count(*) from t) + (select count(*) from k)"), "0");
    let finished = run.arg("--max-errors").arg("3").output();
    expect_last_line(&finished, 65, &["and 2 more", "nothing was changed"]);
    finished.says("gave up after 3 bad values").does_not_say("rowid 3");
}

/// The server stops at the row that a check constraint refuses; the tables after it are read all the same.
#[test]
fn bad_values_are_named_together_with_a_row_that_a_check_refuses() {
    let database = database();
    let from = "create table a (n int); insert into a values (1), (-1); create table b (n); insert into b values (1), ('x'), (1.5);";
    let to = "create table a (n int check (n > 0)); create table b (n int);";
    let run = transfer(&database, from, to);
    for action in ["stop", "report"] {
        let finished = run.clone().args(["--on-error", action]).output();
        finished.expect_code(65).says("a: new row for relation").says("a_n_check");
        finished.says("b.n, rowid 2: 'x' ").says("b.n, rowid 3: 1.5 ");
    }
    sqlite::query(&run.dir().join("source.db"), "delete from b where typeof(n) <> 'integer';");
    expect_last_line(&run.output(), 65, &["a: new row for relation", "a_n_check", "correct the row"]);
    assert_eq!(database.value("select (select count(*) from a) + (select count(*) from b)"), "0");
}

#[test]
fn a_cast_converts_bad_values() {
    let database = database();
    let from = "create table t (id integer primary key, at int, n text, flag text, local text); \
         insert into t values (1, 1700000000123, '', 'yes', '2026-01-01 12:00:00'), (2, 0, '7', 'off', '2026-01-01T12:00:00Z');";
    let to = "create table t (id int primary key, at timestamptz, n int, flag boolean, local timestamptz);";
    let run = transfer(&database, from, to);
    let refused = run.output();
    expect_last_line(&refused, 65, &["t.at, rowid 1: 1700000000123 ", "--cast t.at=unix-"]);
    // All suggested casts are one line that can be pasted.
    let source = refused.stderr.split("with all of these casts: lockkeeper transfer --from ").nth(1);
    let printed = source.and_then(|rest| rest.lines().next()).expect("one call for all casts");
    for cast in ["--cast t.at=unix-", "--cast t.n=empty-as-null", "--cast t.flag=words"] {
        assert!(printed.contains(cast), "{cast} is not in {printed}");
    }
    let casts = ["t.at=unix-ms", "t.n=empty-as-null", "t.n=integer-text", "T.Flag=words"];
    let run = casts.into_iter().fold(run, |run, cast| run.args(["--cast", cast]));
    expect_last_line(&run.args(["--timezone", "+02:00"]).output(), 0, &["transferred 1 table, 2 rows"]);
    let all = "select string_agg(concat_ws('|', extract(epoch from at)::numeric, n, flag, extract(hour from local at time zone 'UTC')), ' ' order by id) from t";
    assert_eq!(database.value(all), "1700000000.123000|t|10 0.000000|7|f|12");
}

#[test]
fn orphans_and_duplicates_are_named_with_their_rows() {
    let database = database();
    let from = "create table p (id integer primary key, code text); create table c (id integer primary key, p int); \
         insert into p values (1, 'a'), (2, 'b'), (3, 'a'); insert into c values (1, 1), (2, 77), (3, null), (4, 78);";
    let to = "create table p (id int primary key, code text constraint one unique); \
         create table c (id int primary key, p int constraint parent references p);";
    let run = transfer(&database, from, to);
    let finished = run.output();
    expect_last_line(&finished, 65, &["more, named above", "no row was transferred"]);
    for words in ["one: ", "(code) is not unique", "(a) in ", "parent: ", "leads to nothing", "(77) in ", "(78) in "] {
        finished.says(words);
    }
    assert_eq!(database.value("select (select count(*) from p) + (select count(*) from c)"), "0");
    // There is no list for a check constraint: the server stops at the first row.
    database.execute("alter table p add check (id < 3)");
    expect_last_line(&run.output(), 65, &["p: ", "p_id_check", "nothing was changed"]);
}

#[test]
fn a_target_that_has_rows_is_refused_and_keeps_them() {
    let database = database();
    let run = transfer(&database, SIMPLE, SIMPLE_TARGET);
    expect_last_line(&run.output(), 0, &["transferred 1 table, 1 row,"]);
    expect_last_line(&run.output(), 78, &["the target has rows already", r#""public"."t""#, "nothing was changed"]);
    assert_eq!(database.value("select count(*) from t"), "1");
}

#[test]
fn a_target_that_is_sqlite_is_refused() {
    let run = without_source("sqlite:///target.db", SIMPLE_TARGET);
    expect_last_line(&run.output(), 78, &["DATABASE_URL is SQLite", "nothing was changed"]);
    assert!(!run.dir().join("target.db").exists());
}

#[test]
fn wrong_flags_are_usage_errors_before_anything_is_changed() {
    let database = database();
    let run = transfer(&database, SIMPLE, SIMPLE_TARGET);
    for (flags, word) in [
        (["--cast", "t.id"], "TABLE.COLUMN=RULE"),
        (["--cast", "id=unix-ms"], "TABLE.COLUMN=RULE"),
        (["--cast", "t.nope=unix-ms"], "t.nope: --cast names it"),
        (["--timezone", "Europe/Berlin"], "--timezone: "),
        (["--only", "nope"], "nope: --only names it"),
        (["--exclude", "nope"], "nope: --exclude names it"),
        (["--max-errors", "0"], "--max-errors"),
    ] {
        let finished = run.clone().args(flags).output();
        finished.expect_code(64).says(word).says("nothing was changed");
        expect_nothing(&database);
    }
    for url in ["postgresql://u:geheim@h/d", "sqlite:///:memory:", "sqlite://", "nonsense"] {
        let run = Run::new().url(&database.url()).migrations(&[("0001_tables.sql", SIMPLE_TARGET)]);
        let finished = run.args(["transfer", "--from", url]).output();
        finished.does_not_say("geheim");
        expect_last_line(&finished, 64, &["--from", "nothing was changed"]);
        expect_nothing(&database);
    }
    // The cast rules of a column are known when the schema exists.
    for rule in ["nope", "unix-ms"] {
        let finished = run.clone().args(["--cast", &format!("t.id={rule}")]).output();
        expect_last_line(&finished, 64, &["t.id: --cast: ", rule]);
        finished.does_not_say("named above");
    }
    assert_eq!(database.value("select count(*) from t"), "0");
}

#[test]
fn a_source_that_cannot_be_read_is_found_before_anything_is_changed() {
    let cases: [(&[u8], i32, &str); 3] = [
        (b"", 65, "empty"),
        (b"this is no database, but it is long enough to be looked at", 65, "no SQLite database"),
        (b"SQLite format 3\0 and then nothing that makes sense", 65, "source.db"),
    ];
    let database = database();
    let missing = without_source(&database.url(), SIMPLE_TARGET);
    expect_last_line(&missing.output(), 78, &["there is no such file", "correct --from", "nothing was changed"]);
    assert!(!missing.dir().join("source.db").exists());
    fs::create_dir(missing.dir().join("source.db")).expect("a directory");
    expect_last_line(&missing.output(), 78, &["a directory", "nothing was changed"]);
    for (bytes, code, words) in cases {
        let run = without_source(&database.url(), SIMPLE_TARGET).file("source.db", bytes);
        expect_last_line(&run.output(), code, &[words, "nothing was changed"]);
    }
    expect_nothing(&database);
}

/// A damaged page in the middle is found when the rows are read.
#[test]
fn a_damaged_page_ends_a_transfer_without_a_row() {
    let database = database();
    let from = "create table t (id integer primary key, words text); \
         insert into t select value, printf('%0500d', value) from generate_series(1, 2000);";
    let run = transfer(&database, from, "create table t (id int primary key, words text);");
    let path = run.dir().join("source.db");
    let mut bytes = fs::read(&path).expect("the source");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xff);
    fs::write(&path, bytes).expect("damage");
    expect_last_line(&run.output(), 65, &["the source: ", "no row was transferred", "correct the file"]);
    assert_eq!(database.value("select count(*) from t"), "0");
}

#[test]
fn a_source_with_an_exclusive_lock_is_waited_for() {
    let database = database();
    let run = transfer(&database, "create table app (id int);", "create table app (id int);");
    let writer = Writer::open(&run.dir().join("source.db"), "begin exclusive");
    let late = run.clone().env("LOCKKEEPER_WAIT_TIMEOUT", "1s").output();
    expect_last_line(&late, 75, &["the source: ", "end the other writer", "nothing was changed"]);
    // The deadline, like a signal, ends the wait for the writer.
    let stopped = run.clone().env("LOCKKEEPER_DEADLINE", "1s").output();
    expect_last_line(&stopped, 124, &["the overall deadline has passed", "nothing was changed"]);
    expect_nothing(&database);
    let running = run.spawn();
    writer.commit();
    expect_last_line(&running.finish(), 0, &["transferred 1 table, 1 row,"]);
}

#[test]
fn all_tables_and_columns_that_cannot_be_mapped_are_named_at_once() {
    let database = database();
    let from = "create table gone (id int); create table t (id integer primary key, extra text, made int, place text); create view v as select 1;";
    let to = "create table t (id int primary key, needed text not null, made int generated always as (id * 2) stored, place point);";
    let run = transfer(&database, from, to);
    let finished = run.output();
    expect_last_line(&finished, 65, &["named above", "revision 0001 was applied and kept", "and 4 more", "--exclude"]);
    for words in [
        "gone: the target has no such table",
        r#"t.extra: "public"."t" has no such column"#,
        "t.made: the target's column is generated",
        "t.place: values of the type point cannot be written",
        r#"t -> "public"."t".needed: it is NOT NULL without a default"#,
    ] {
        finished.says(words);
    }
}

#[test]
fn a_role_that_does_not_own_the_tables_is_refused() {
    let database = database();
    let (owner, guest) = (unique("owner"), unique("guest"));
    for role in [&owner, &guest] {
        database
            .execute(&format!("create role {role} login password '{PASSWORD}'; grant all on schema public to {role}"));
    }
    // The history of another role is trusted when that role owns the database.
    let name = database.value("select current_database()");
    database.execute(&format!("alter database {name} owner to {owner}"));
    let run = transfer(&database, SIMPLE, SIMPLE_TARGET);
    run.clone().url(&database.url_as(&owner, PASSWORD)).arg("--exclude").arg("t").output().expect_code(0);
    database.execute(&format!("grant all on all tables in schema public to {guest}"));
    let finished = run.url(&database.url_as(&guest, PASSWORD)).output();
    expect_last_line(
        &finished,
        77,
        &[r#""public"."t" belongs to another role"#, "nothing was changed", "owns the tables"],
    );
    assert_eq!(database.value("select count(*) from t"), "0");
}

/// Between two revisions, the tables of the source have the schema of neither.
#[test]
fn a_run_that_migrates_the_source_is_waited_for_until_the_timeout() {
    let database = database();
    let run = transfer(&database, SIMPLE, SIMPLE_TARGET).env("LOCKKEEPER_WAIT_TIMEOUT", "1s");
    let lock = run.dir().join("source.db.lockkeeper.lock");
    let held = fs::File::create(&lock).expect("the file of the lock");
    held.lock().expect("the lock of a run");
    expect_last_line(&run.output(), 75, &["source.db: another run of lockkeeper works on it", "nothing was changed"]);
    expect_nothing(&database);
    held.unlock().expect("the end of that run");
    // Another reader does not disturb.
    held.lock_shared().expect("the lock of a reader");
    expect_last_line(&run.output(), 0, &["transferred 1 table, 1 row"]);
}

/// Tables that a newer image has added to the target do not matter, unless the transfer is strict.
#[test]
fn a_target_that_is_ahead_is_accepted_unless_strict() {
    let database = database();
    let run = transfer(&database, SIMPLE, SIMPLE_TARGET);
    let newer = [("0001_tables.sql", SIMPLE_TARGET), ("0002_more.sql", "create table more (id int);")];
    let ahead = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(&newer);
    ahead.output().expect_code(0);
    expect_last_line(&run.clone().arg("--strict").output(), 86, &["0002"]);
    assert_eq!(database.value("select count(*) from t"), "0");
    let finished = run.output();
    expect_last_line(&finished, 0, &["transferred 1 table, 1 row"]);
    finished.says("ahead of this image");
}
