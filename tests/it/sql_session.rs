//! Tests that a migration directory that is run and the same directory printed with `--sql` and fed to sqlite3 leave
//! the same schema and the same rows, whatever a file sets in its session; and that both stop at the same foreign keys.

use std::path::Path;

use crate::contract::{expect_end, run_on};
use crate::sql::{printed, with_unreachable_url};
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::sqlite;

const FAMILY: (&str, &str) = (
    "0001_family.sql",
    "create table p (id integer primary key, name text check (name <> ''));
create table c (id integer primary key, p integer references p (id) on delete cascade);
insert into p values (1, 'a'), (2, 'b'), (3, 'c');
insert into c values (10, 1), (20, 2), (30, 2);
",
);

const REBUILD: &str =
    "drop table p;\ncreate table p (id integer primary key, name text);\ninsert into p values (1, 'a'), (2, 'b');";

/// A setting of a file, and a later file whose result would show it.
const SETTINGS: &[(&str, &str)] = &[
    ("pragma legacy_alter_table = on;", "alter table p rename to q;"),
    ("-- no-transaction\npragma foreign_keys = on;", REBUILD),
    ("-- no-transaction\npragma main.foreign_keys(1);\npragma defer_foreign_keys = on;", REBUILD),
    ("pragma ignore_check_constraints = on;", "insert or ignore into p values (9, '');"),
    (
        "pragma recursive_triggers = on;",
        "create table n (a);\ncreate trigger again after insert on n when new.a < 5 begin insert into n values (new.a + 1); end;\ninsert into n values (1);",
    ),
    ("explain pragma case_sensitive_like = on;", "create table x as select 'A' like 'a' as same;"),
    ("PRAGMA Case_Sensitive_Like = on;", "create table x as select 'A' like 'a' as same;"),
    ("pragma reverse_unordered_selects = on;", "create table x as select name from p;"),
    (
        "pragma trusted_schema = off;",
        "create virtual table r using rtree(id, low, high);\ncreate view v as select rtreecheck('main', 'r') as answer;\ncreate table x as select answer from v;",
    ),
    ("pragma full_column_names = on;\npragma short_column_names = off;", "create table x as select p.id from p;"),
    (
        "pragma max_page_count = 40;",
        "create table x as with recursive r (n) as (select 1 union all select n + 1 from r where n < 400) select n, hex(zeroblob(1000)) as t from r;",
    ),
    (
        "pragma writable_schema = on;\nupdate sqlite_schema set sql = replace(sql, 'name', 'title') where name = 'p';",
        "insert into p (id, title) values (4, 'd');",
    ),
    ("create temp table p as select 'shadow' as name;", "create table x as select * from p;"),
    (
        "create temp table memory (a);\ncreate temp trigger spy after insert on p begin insert into c values (99, 1); end;",
        "insert into p values (4, 'd');",
    ),
    (
        "attach ':memory:' as \"extra one\";\ncreate table \"extra one\".only_there (a);",
        "attach ':memory:' as \"extra one\";\ncreate table x as select count(*) as n from \"extra one\".sqlite_schema;",
    ),
    (
        "-- no-transaction\nattach ':memory:' as a;\nattach ':memory:' as 'b';\ndetach a;\nattach ':memory:' as a;",
        "attach ':memory:' as a;\nattach ':memory:' as b;",
    ),
    ("-- no-transaction\npragma synchronous = off;\npragma temp_store = 1;", "insert into p values (4, 'd');"),
    ("-- no-transaction\npragma journal_mode = wal;", "insert into p values (4, 'd');"),
    (
        "-- no-transaction\npragma locking_mode = exclusive;\ninsert into p values (5, 'e');",
        "insert into p values (4, 'd');",
    ),
    ("pragma encoding = 'UTF-16';\npragma user_version = 7;", "create table x as select hex(name) as bytes from p;"),
];

/// Settings after which a later file fails in a run: the script must not leave anything of it either.
const FAILING: &[(&str, &str)] = &[
    (
        "-- no-transaction\npragma journal_mode = off;",
        "create table half (a);\ninsert into half values (1);\ninsert into p values (1, 'twice');",
    ),
    ("pragma writable_schema = on;", "update sqlite_schema set sql = replace(sql, 'name', 'title') where name = 'p';"),
];

/// Returns schema and rows, without the times of the history.
fn content(path: &Path) -> String {
    let dump = sqlite::query(path, ".dump");
    dump.lines().filter(|line| !line.contains("INTO lockkeeper_history")).collect::<Vec<_>>().join("\n")
}

/// Runs the files on one database and feeds them as a script to another. Both begin with what `before` creates.
#[track_caller]
fn both_ways(files: &[(&str, &str)], before: &str, code: i32, parts: &[&str]) -> [(Run, SqliteFile); 2] {
    let [online, fed] = [SqliteFile::create("session"), SqliteFile::create("session")];
    for database in [&online, &fed] {
        sqlite::query(&database.path, before);
    }
    let run = run_on(&online, files);
    expect_end(&run, code, parts);
    let script = printed(&with_unreachable_url::<SqliteFile>(&run), "upgrade", "base:head");
    let answer = fed.feed(&script);
    assert_eq!(answer.is_ok(), code == 0, "{files:?}: {answer:?}\n{script}");
    let [left, right] = [&online, &fed].map(|database| content(&database.path));
    assert_eq!(right, left, "{files:?}: the script's result, then the run's");
    assert_eq!(fed.history_without_times(), online.history_without_times(), "{files:?}");
    let on_fed = run.clone().url(&fed.url());
    [(run, online), (on_fed, fed)]
}

#[test]
fn settings_of_a_file_end_with_it_in_a_script_as_in_a_run() {
    for (sets, shows) in SETTINGS {
        both_ways(&[FAMILY, ("0002_sets.sql", sets), ("0003_shows.sql", shows)], "", 0, &["up to date at 0003"]);
    }
    for (sets, shows) in FAILING {
        both_ways(&[FAMILY, ("0002_sets.sql", sets), ("0003_shows.sql", shows)], "", 80, &["0003_shows.sql"]);
    }
}

/// All of these files are in one directory, one after the other.
#[test]
fn many_settings_have_equal_effects_in_a_script_and_in_a_run() {
    let sets = SETTINGS.iter().map(|(sets, _)| *sets).filter(|sets| !sets.contains("update sqlite_schema"));
    let files: Vec<(String, &str)> =
        sets.enumerate().map(|(number, sets)| (format!("{:04}_sets.sql", number + 2), sets)).collect();
    let files = files.iter().map(|(name, text)| (name.as_str(), *text));
    let rebuild = ("0099_shows.sql", "create table x as select 'A' like 'a' as same;\nalter table p rename to q;");
    let files: Vec<(&str, &str)> = [FAMILY].into_iter().chain(files).chain([rebuild]).collect();
    both_ways(&files, "", 0, &["up to date at 0099"]);
}

/// The settings of the user's own sqlite3 do not affect the script.
#[test]
fn a_script_has_the_session_settings_of_a_run_whatever_sqliterc_sets() {
    let [online, fed] = [SqliteFile::create("session"), SqliteFile::create("session")];
    let shows = "alter table p rename to q;\ninsert or ignore into q values (9, '');\ncreate table x as select 'A' like 'a' as same;";
    let run = run_on(&online, &[FAMILY, ("0002_shows.sql", shows)]);
    expect_end(&run, 0, &[]);
    let rc =
        "pragma legacy_alter_table = on;\npragma ignore_check_constraints = on;\npragma case_sensitive_like = on;\n";
    let script = format!("{rc}{}", printed(&with_unreachable_url::<SqliteFile>(&run), "upgrade", "base:head"));
    assert_eq!(fed.feed(&script), Ok(()));
    assert_eq!(content(&fed.path), content(&online.path));
}

/// SQLite's rename rewrites the references of other tables: they then refer to the table that the file drops.
const DANGLING: &str = "alter table p rename to p_old;\ncreate table p (id integer primary key, name text);\ninsert into p select * from p_old;\ndelete from c;\ndrop table p_old;\n";

#[test]
fn a_new_reference_to_a_missing_table_is_reported() {
    let messages = ["table c references p_old, which does not exist", "2 revisions were applied and kept"];
    for header in ["", "-- no-transaction\n"] {
        let text = format!("{header}{DANGLING}");
        for (run, _) in both_ways(&[FAMILY, ("0002_rename.sql", &text)], "", 87, &messages) {
            // What existed before that run is not known any more.
            expect_end(&run, 0, &["nothing pending"]).says(messages[0]);
        }
    }
}

/// SQLite refuses to check such a key, and a check of all tables with it.
#[test]
fn a_key_to_a_column_that_is_not_unique_stops_neither_a_run_nor_a_script() {
    let misfit = |name: &str| {
        format!(
            "create table {name}_p (a, b); create table {name}_c (x references {name}_p (a)); insert into {name}_c values (1);"
        )
    };
    for header in ["", "-- no-transaction\n"] {
        let text = format!("{header}{}", misfit("new"));
        let files = [FAMILY, ("0002_misfit.sql", text.as_str())];
        both_ways(&files, &misfit("old"), 0, &["up to date at 0002"]);
        let text = format!("{header}{} insert into c values (40, 9);", misfit("new"));
        let code = if header.is_empty() { 80 } else { 81 };
        both_ways(&[FAMILY, ("0002_misfit.sql", &text)], &misfit("old"), code, &["c -> p: 1"]);
    }
}

#[test]
fn a_reference_that_missed_its_table_before_is_not_reported() {
    let before = "create table old (x references nowhere);";
    both_ways(&[FAMILY, ("0002_more.sql", "create table more (a);")], before, 0, &["up to date at 0002"]);
    // A later file may create the table.
    let forward = ("0001_child.sql", "create table child (x references later (id));");
    let later = ("0002_later.sql", "create table Later (id integer primary key);");
    both_ways(&[forward, later], before, 0, &["up to date at 0002"]);
    let messages = ["table child references later, which does not exist"];
    both_ways(&[forward], before, 87, &messages);
}

/// The check before a COMMIT is done at the end of a file without a transaction.
#[test]
fn rows_left_without_a_parent_are_found_without_a_transaction() {
    let before = "create table old (id integer primary key);\ncreate table young (x references old (id));\ninsert into young values (7);";
    let orphan = "-- no-transaction\ninsert into c values (40, 9);\nvacuum;\n";
    let files = [FAMILY, ("0002_orphan.sql", orphan)];
    let parts =
        ["0002_orphan.sql", "foreign key", "c -> p: 1", "2 of its statements are already committed", "run again"];
    for (run, database) in both_ways(&files, before, 81, &parts) {
        let run = run.migrations(&files);
        // Running it again does not fix it.
        expect_end(&run, 81, &parts).does_not_say("young");
        assert_eq!(database.history(), "0001|applied\n0002|partial, see the journal\n");
        let script = printed(&run, "upgrade", "head");
        assert!(database.feed(&script).expect_err("it did not stop").contains("malformed JSON"));
        let corrected = format!("{orphan}delete from c where id = 40;\n");
        expect_end(&run.clone().migrations(&[("0002_orphan.sql", &corrected)]), 0, &["up to date at 0002"]);
        assert_eq!(sqlite::value(&database.path, "select count(*) from c;"), "3");
        assert!(!sqlite::schema(&database.path).contains("foreign_keys"));
    }
}

/// Orphans from before do not fail a file that another run finishes, and orphans of its own statements do.
#[test]
fn a_resumed_file_fails_for_orphans_of_its_first_statements() {
    let before = "create table old (id integer primary key);\ncreate table young (x references old (id));\ninsert into young values (7);";
    let script = |first: &str, last: &str| format!("-- no-transaction\n{first};\n{last};\n");
    let harmless = "create table more (a)";
    let half = script(harmless, "insert into nowhere values (1)");
    for (run, _) in both_ways(&[FAMILY, ("0002_half.sql", &half)], before, 81, &["statement 2"]) {
        let all_files = script(harmless, "insert into more values (1)");
        expect_end(&run.migrations(&[("0002_half.sql", &all_files)]), 0, &["up to date at 0002"]);
    }
    let orphan = "insert into c values (40, 9)";
    let half = script(orphan, "insert into nowhere values (1)");
    for (run, _) in both_ways(&[FAMILY, ("0002_half.sql", &half)], before, 81, &["statement 2"]) {
        let all_files = script(orphan, "create table more (a)");
        let run = run.migrations(&[("0002_half.sql", &all_files)]);
        expect_end(&run, 81, &["c -> p: 1"]).does_not_say("young");
    }
}

/// A down migration is checked as well.
#[test]
fn a_downgrade_without_a_transaction_is_checked() {
    let database = SqliteFile::create("session");
    let files = [
        FAMILY,
        ("0002_more.up.sql", "insert into p values (9, 'z');\ninsert into c values (90, 9);"),
        ("0002_more.down.sql", "-- no-transaction\ndelete from p where id = 9;\n"),
    ];
    let run = run_on(&database, &files);
    expect_end(&run, 0, &[]);
    let script = printed(&run, "downgrade", "0001");
    expect_end(&run.clone().args(["downgrade", "0001"]), 81, &["0002_more.down.sql", "c -> p: 1"]);
    assert_eq!(database.history(), "0001|applied\n0002|undoing, see the journal\n");
    sqlite::query(&database.path, "delete from c where id = 90;");
    expect_end(&run.clone().args(["downgrade", "0001"]), 0, &["up to date at 0001"]);
    expect_end(&run, 0, &[]);
    assert!(database.feed(&script).expect_err("it did not stop").contains("malformed JSON"));
    assert_eq!(database.history(), "0001|applied\n0002|undoing, see the journal\n");
}

/// SQLite closes a block comment at the end of a file: what the script has after that file is not part of it.
#[test]
fn a_comment_that_a_file_does_not_close_ends_with_the_file() {
    let files = [
        FAMILY,
        ("0002_statement.sql", "insert into p values (4, 'd') /* and so on;"),
        ("0003_comment.sql", "insert into p values (5, 'e'); /* and so on\n;"),
        ("0004_none.sql", "/* nothing"),
        ("0005_alone.sql", "-- no-transaction\npragma synchronous = off;\ninsert into p values (6, 'f') /* x"),
        ("0006_alone.sql", "-- no-transaction\ninsert into p values (7, 'g'); -- /* no comment"),
        ("0007_alone.sql", "-- no-transaction\ninsert into p values (8, 'h');\n/*/ nothing;"),
    ];
    both_ways(&files, "", 0, &["up to date at 0007"]);
}
