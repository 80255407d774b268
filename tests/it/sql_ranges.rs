//! Tests of the ranges of `--sql`, of history tables in other schemas, of readers that go away, and of the layout of
//! scripts.

use std::fs;

use crate::contract::run_on;
use crate::downgrade::{FIVE, at_five, downgrade};
use crate::sql::{printed, with_unreachable_url};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres};

fn without_database(files: &[(&str, &str)]) -> Run {
    with_unreachable_url::<SqliteFile>(&Run::new()).migrations(files)
}

#[test]
fn an_invalid_range_prints_nothing_and_gives_the_reason() {
    let run = without_database(&FIVE);
    for (arguments, parts) in [
        (&["upgrade", "--sql", "0003:0001"][..], ["0001 comes before 0003", "lockkeeper downgrade --sql 0003:0001"]),
        (&["downgrade", "--sql", "0001:0003"], ["revision 0003 is not applied", "downgrade cannot end at it"]),
        (&["upgrade", "--sql", "0009:head"], ["no revision", "0009"]),
        (&["upgrade", "--sql", "base:0009"], ["no revision", "0009"]),
        (&["upgrade", "--sql", "000:head"], ["000 fits several revisions", "more digits"]),
        (&["upgrade", "--sql", "heads:head"], ["\"heads\" is not where a script can begin", "base or a revision"]),
        (&["upgrade", "--sql", "+1:head"], ["\"+1\" is not where a script can begin", "base or a revision"]),
        (&["upgrade", "--sql", ":head"], ["\"\" is not where a script can begin", "base or a revision"]),
        (&["upgrade", "--sql", "head:"], ["\"\" is not a target", "write head"]),
        (&["upgrade", "--sql", "0001:0002:0003"], ["\"0001:0002:0003\" is not a range", "FROM:TO"]),
        (&["upgrade", "--sql", "base:base"], ["upgrade goes up", "downgrade base"]),
        (&["upgrade", "--sql", "0002:-1"], ["upgrade goes up", "downgrade -1"]),
        (&["downgrade", "--sql", "0002:+1"], ["downgrade goes back", "upgrade +1"]),
        (&["upgrade", "--sql", "0003:+3"], ["+3 goes too far", "pending: 2"]),
        (&["downgrade", "--sql", "0003:-4"], ["-4 goes past base", "can be undone: 3"]),
        (&["upgrade", "0001:0002"], ["\"0001:0002\" is a range", "goes with --sql"]),
        (&["upgrade", "--plan", "0001:0002"], ["FROM:TO", "--sql"]),
        (&["upgrade", "--sql", "--plan", "head"], ["--sql", "cannot be used with '--plan'"]),
        (&["upgrade", "--sql", "base:head", "--", "true"], ["a program after --", "upgrade, guard, check and wait"]),
    ] {
        let finished = run.clone().args(arguments.iter().copied()).output();
        assert_eq!(finished.code, Some(64), "{arguments:?}: {finished}");
        assert_eq!(finished.stdout, "", "{arguments:?}: {finished}");
        let last = crate::contract::last(&finished);
        for part in parts.iter().chain(&["nothing was changed"]) {
            assert!(last.contains(part), "{arguments:?}, {part:?}: {finished}");
        }
    }
}

/// Whatever prevents a run prevents a script from being printed.
#[test]
fn nothing_is_printed_of_files_that_cannot_run() {
    let run = without_database(&FIVE).migrations(&[
        ("0002_two.up.sql", "create table two (id integer);\ncommit;\n"),
        ("0003_three.down.sql", "-- irreversible: so it is\n"),
    ]);
    for (arguments, part) in [
        (["upgrade", "--sql", "base:head"], "0002_two.up.sql:2:1: "),
        (["downgrade", "--sql", "head:base"], "0003_three.up.sql is irreversible: so it is"),
    ] {
        let part = part.replace("0003_three.up.sql is", "0003_three.down.sql is");
        let finished = run.clone().args(arguments).output();
        finished.expect_code(65).says(&part);
        assert_eq!(finished.stdout, "", "{finished}");
    }
}

#[test]
fn a_range_says_which_revisions_are_printed() {
    let run = without_database(&FIVE);
    for (verb, range, revisions) in [
        ("upgrade", "base:head", "0001 0002 0003 0004 0005"),
        ("upgrade", "base:0002", "0001 0002"),
        ("upgrade", "2:4", "0003 0004"),
        ("upgrade", "0002:+2", "0003 0004"),
        ("upgrade", "base:0001+2", "0001 0002 0003"),
        ("upgrade", "0004:heads", "0005"),
        ("upgrade", "head:head", ""),
        ("downgrade", "head:base", "0005 0004 0003 0002 0001"),
        ("downgrade", "head:-2", "0005 0004"),
        ("downgrade", "0003:0001", "0003 0002"),
        ("downgrade", "0003:0003-1", "0003"),
        ("downgrade", "0003:0003", ""),
    ] {
        let script = printed(&run, verb, range);
        let steps = script.lines().filter_map(|line| line.strip_prefix("-- ========")?.split([' ', ':']).nth(2));
        assert_eq!(steps.collect::<Vec<_>>().join(" "), revisions, "{verb} {range}");
        let count = revisions.split_whitespace().count();
        assert!(script.lines().next().is_some_and(|line| line.ends_with(&format!("revisions: {count}"))));
    }
}

/// A branch is merged into a database with the other branch: only the missing revisions are printed.
#[test]
fn a_range_follows_the_graph() {
    let run = without_database(&FIVE[..6]).migrations(&[
        ("0002_two.up.sql", "-- depends: 1\n"),
        ("0003_three.up.sql", "-- depends: 1\n"),
        ("0004_four.up.sql", "-- depends: 2 3\n"),
    ]);
    for (range, revisions) in [("0002:head", "0003 0004"), ("0003:head", "0002 0004"), ("0002:0003", "0003")] {
        let script = printed(&run, "upgrade", range);
        let steps = script.lines().filter_map(|line| line.strip_prefix("-- ======== upgrade ")?.split(':').next());
        assert_eq!(steps.collect::<Vec<_>>().join(" "), revisions, "{range}");
    }
}

/// With and without a server, it is the same history table.
#[test]
fn the_history_table_may_be_in_another_schema() {
    let [fed_to, online] = [0, 1].map(|_| Postgres::shared().database("sql_schema"));
    let run = run_on(&online, &FIVE).env("LOCKKEEPER_HISTORY_TABLE", "ops.history");
    for database in [&fed_to, &online] {
        database.query("create schema ops; create schema app");
        database.execute(&format!("alter database {} set search_path = app, public", database.name()));
    }
    let offline = with_unreachable_url::<PgDatabase>(&run);
    crate::contract::expect_end(&run, 0, &[]);
    assert_eq!(fed_to.feed(&printed(&offline, "upgrade", "base:0003")), Ok(()));
    assert_eq!(fed_to.feed(&printed(&run.clone().url(&fed_to.url()), "upgrade", "head")), Ok(()));
    assert_eq!(fed_to.dump_schema(), online.dump_schema());
    let rows = "select revision, checksum, state from ops.history order by 1";
    assert_eq!(fed_to.query(rows), online.query(rows));
    assert_eq!(fed_to.feed(&printed(&offline, "downgrade", "head:base")), Ok(()));
    crate::contract::expect_end(&downgrade(&run, "base"), 0, &[]);
    assert_eq!(fed_to.dump_schema(), online.dump_schema());
}

/// `| head -1` closes the pipe: the run fails because its output was incomplete, and does not block.
#[test]
fn a_reader_that_goes_away_fails_the_run() {
    let long = format!("create table one (id integer);\n{}", "insert into one values (1);\n".repeat(20_000));
    let run = without_database(&[("0001_one.sql", &long)]).args(["upgrade", "--sql", "base:head"]);
    let finished = run.clone().under(["bash", "-c", "\"$0\" \"$@\" | head -1; exit ${PIPESTATUS[0]}"]).output();
    finished.expect_code(74).says("the answer was not printed to its end").says("write it to a file");
    assert_eq!(finished.stdout.lines().count(), 1);
    let full = run.under(["sh", "-c", "exec \"$0\" \"$@\" > /dev/full"]).output();
    full.expect_code(74).says("No space left on device");
}

/// A file that changes between its check and its printing is not recorded, and nothing of it is committed.
#[test]
fn a_file_that_changes_while_it_is_printed_is_not_recorded() {
    for header in ["", "-- no-transaction\n"] {
        let text = |n: u32| format!("{header}{}", format!("insert into one values ({n});\n").repeat(20_000));
        let run = without_database(&FIVE[..2]).migrations(&[("0002_two.sql", &text(1))]).file("new.sql", text(2));
        let reader = "\"$0\" \"$@\" | { head -c 20000 > part; dd if=new.sql of=migrations/0002_two.sql conv=notrunc bs=1M status=none; cat > rest; }; exit ${PIPESTATUS[0]}";
        let finished = run.clone().args(["upgrade", "--sql", "base:head"]).under(["bash", "-c", reader]).output();
        finished.expect_code(65).says("0002_two.sql: the file was changed while we ran; nothing was changed");
        let rest = fs::read_to_string(run.dir().join("rest")).expect("the rest");
        assert!(rest.contains("values (2)"), "it was read before it was changed");
        assert!(!rest.contains("'applied'"), "{finished}");
        assert!(!rest.contains("the database is at"), "{finished}");
    }
}

/// A script is printed while it is read, whatever its size.
#[test]
fn a_long_file_is_printed_in_bounded_memory() {
    let statement = format!("insert into one values (1, '{}');\n", "x".repeat(200));
    let long = format!("create table one (id integer, t text);\n{}", statement.repeat(200_000));
    let script = "ulimit -d 32768 && exec \"$0\" \"$@\" > script.sql";
    let run = without_database(&[("0001_one.sql", &long)]).under(["bash", "-c", script]);
    run.clone().args(["upgrade", "--sql", "base:head"]).output().expect_code(0);
    let script = fs::read_to_string(run.dir().join("script.sql")).expect("the script");
    assert_eq!(script.matches(&statement).count(), 200_000);
}

/// The script contains no secret, and printing it changes nothing in the database.
#[test]
fn a_script_holds_no_secret_and_printing_writes_nothing() {
    let database = Postgres::shared().database("sql_secret");
    let run = at_five(&database);
    let before = (database.dump_schema(), database.query("select * from lockkeeper_history order by 1"));
    let fresh = Postgres::shared().database("sql_secret");
    for run in [run.clone(), run.clone().url(&fresh.url())] {
        let up = run.args(["upgrade", "--sql", "head", "--log", "debug"]).output();
        up.expect_code(0).does_not_say(PASSWORD).says("nothing was changed");
        assert!(!up.stdout.contains("127.0.0.1"), "{up}");
    }
    let down = downgrade(&run, "base").args(["--sql", "--log", "debug"]).output();
    down.expect_code(0).does_not_say(PASSWORD);
    assert_eq!((database.dump_schema(), database.query("select * from lockkeeper_history order by 1")), before);
    assert_eq!(fresh.value("select to_regclass('lockkeeper_history') is null"), "t");
}

const SMALL: [(&str, &str); 4] = [
    (
        "0001_widgets.up.sql",
        "-- What the shop sells.\nCREATE TABLE widgets (\n    id integer PRIMARY KEY,\n    name text NOT NULL\n);\n",
    ),
    ("0001_widgets.down.sql", "DROP TABLE widgets;\n"),
    (
        "0002_index.up.sql",
        "-- no-transaction\n-- lock-timeout: 1min\n\n-- Looked up by name.\nCREATE INDEX {}widgets_name ON widgets (name);\nANALYZE widgets;\n",
    ),
    ("0002_index.down.sql", "-- no-transaction\nDROP INDEX {}widgets_name;\n"),
];

/// Returns scripts whose layout a person has to review.
fn scripts<D: Database>(concurrently: &str) -> [String; 2] {
    let files = SMALL.map(|(name, text)| (name, text.replace("{}", concurrently)));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let run = with_unreachable_url::<D>(&Run::new().migrations(&files));
    [printed(&run, "upgrade", "base:head"), printed(&run, "downgrade", "head:base")]
}

macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        let filters = [
            (r"[0-9a-f]{64}", "[checksum]"),
            (r"\b\d+\.\d+\.\d+\b", "[version]"),
            (r"applied_by = '[^']+'", "applied_by = '[host]'"),
            (r"(', \d, \d, )'[^']+'", "$1'[host]'"),
        ];
        insta::with_settings!({ filters => filters.to_vec(), omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn a_script_can_be_reviewed() {
    let [up, down] = scripts::<PgDatabase>("CONCURRENTLY ");
    snapshot!("postgres_up", up);
    snapshot!("postgres_down", down);
    let [up, down] = scripts::<SqliteFile>("");
    snapshot!("sqlite_up", up);
    snapshot!("sqlite_down", down);
}
