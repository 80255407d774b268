//! Tests of `revision`, `merge` and `check --offline`: new files on top of the heads, and the state of the migration
//! directory without a database; and of the development on two branches.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::binary::{Finished, Run};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::{clean_command, must_run};
use crate::support::{DEFAULT_TIMEOUT, free_port, sqlite, wait_until};

const SQL: &str = "CREATE TABLE t (id integer);\n";

/// Runs with these files below `migrations` and a database that does not exist: a run that connected would end with
/// another code.
fn run(files: &[(&str, &str)]) -> Run {
    let url = format!("postgresql://someone:{PASSWORD}@127.0.0.1:{}/nowhere", free_port());
    let run = Run::new().url(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "1ms");
    fs::create_dir_all(run.dir().join("migrations")).expect("a directory");
    run.migrations(files)
}

/// Two revisions on PostgreSQL, the last of them in two branches, and one on SQLite.
fn forked() -> Run {
    run(&[
        ("postgres/0001_a.up.sql", SQL),
        ("postgres/0002_b.up.sql", "-- depends: 0001\n"),
        ("postgres/0003_c.up.sql", "-- depends: 0001\n"),
        ("sqlite/0001_a.up.sql", SQL),
    ])
}

/// Returns all files below `migrations`, hidden ones included, by their paths.
fn files(run: &Run) -> BTreeMap<String, String> {
    fn collect_files(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.path() {
                path if path.is_dir() => collect_files(&path, &format!("{name}/"), found),
                path => {
                    let bytes = fs::read(path).expect("a file");
                    found.insert(name, String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    collect_files(&run.dir().join("migrations"), "", &mut found);
    found
}

/// Returns the files that a run has added: names and texts.
#[track_caller]
fn added(run: &Run, before: &BTreeMap<String, String>) -> String {
    let after = files(run);
    for (name, text) in before {
        assert_eq!(after.get(name), Some(text), "{name} was changed");
    }
    let new = after.iter().filter(|(name, _)| !before.contains_key(*name));
    new.map(|(name, text)| format!("=== {name}\n{text}")).collect()
}

/// Expects this code and these words in the last line, and that nothing was written.
#[track_caller]
fn expect_refused(run: &Run, code: i32, parts: &[&str]) -> Finished {
    let before = files(run);
    let finished = run.output();
    finished.expect_code(code).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().expect("a last line");
    for part in parts.iter().chain(&["nothing was changed", "try: "]) {
        assert!(last.contains(part), "{part:?} is not in the last line: {finished}");
    }
    assert_eq!(files(run), before, "{finished}");
    finished
}

/// Compares the output of a run, and the files that it has written, with the snapshot.
macro_rules! assert_output {
    ($name:literal, $finished:expr $(, $more:expr)?) => {{
        let finished: &Finished = &$finished;
        let text = format!("{}{}", finished.stdout, finished.stderr);
        $(let text = format!("{text}{}", $more);)?
        let filters = [
            (r"(?m)^\d{2}:\d{2}:\d{2}Z", "[time]"),
            (r#"duration_ms("?[=:])\d+"#, "duration_ms$1[ms]"),
            (r"\b20\d{12}", "[now]"),
        ];
        insta::with_settings!({ filters => filters, omit_expression => true }, {
            insta::assert_snapshot!($name, text);
        });
    }};
}

#[test]
fn a_revision_is_written_for_every_dialect_on_top_of_its_own_head() {
    let run = run(&[
        ("postgres/0001_a.sql", SQL),
        ("postgres/0007_b.sql", SQL),
        ("sqlite/0001_a.sql", SQL),
        ("sqlite/0002_c.sql", SQL),
    ]);
    let before = files(&run);
    let finished = run.clone().args(["revision", "-m", "Add widgets, quickly"]).output();
    finished.expect_code(0);
    assert_output!("revision", finished, added(&run, &before));
    let finished = run.clone().args(["revision", "--message", "second", "--json"]).output();
    finished.expect_code(0);
    assert_output!("revision_json", finished);
    run.args(["check", "--offline"]).output().expect_code(0).says("head 0009");
}

#[test]
fn the_first_revision_depends_on_nothing() {
    let single = run(&[]);
    let finished = single.clone().args(["revision", "-m", "begin"]).output();
    finished.expect_code(0);
    assert_output!("revision_first", finished, added(&single, &BTreeMap::new()));

    // A dialect that is added later starts with the number that is next for all.
    let both = run(&[("postgres/0004_a.sql", SQL)]).file("migrations/sqlite/README", "soon");
    both.clone().args(["revision", "-m", "begin"]).output().expect_code(0);
    let files = files(&both);
    assert!(files["postgres/0005_begin.up.sql"].starts_with("-- depends: 0004\n"), "{files:?}");
    assert!(!files["sqlite/0005_begin.up.sql"].contains("depends:"), "{files:?}");
    both.args(["check", "--offline"]).output().expect_code(0);
}

#[test]
fn the_number_follows_the_existing_revisions() {
    for (newest, next) in
        [("0001", "0002"), ("9", "10"), ("000099", "000100"), ("29991231235959", "29991231235960"), ("2026", "2027")]
    {
        let run = run(&[(&format!("{newest}_a.sql"), SQL)]);
        run.clone().args(["revision", "-m", "x"]).output().expect_code(0);
        let files = files(&run);
        let text = files.get(&format!("{next}_x.up.sql")).unwrap_or_else(|| panic!("{next}: {files:?}"));
        assert!(text.starts_with(&format!("-- depends: {newest}\n")), "{text}");
    }
}

/// Returns the current time as a revision's number.
fn now() -> String {
    let mut date = clean_command("date");
    date.args(["-u", "+%Y%m%d%H%M%S"]);
    must_run(date).trim().to_owned()
}

#[test]
fn after_a_timestamp_the_number_is_the_current_time_in_utc() {
    let run = run(&[("0001_old.sql", SQL), ("20260112093000_a.sql", SQL)]).env("TZ", "Asia/Tokyo");
    let before = now();
    run.clone().args(["revision", "-m", "x"]).output().expect_code(0);
    let after = now();
    let files = files(&run);
    let written = files.keys().find_map(|name| name.strip_suffix("_x.up.sql")).expect("a new file");
    assert!(before.as_str() <= written && written <= after.as_str(), "{before} {written} {after}");
}

#[test]
fn a_message_stays_in_its_comment() {
    let message = "drop\nDROP TABLE t;\r-- no-transaction\n-- irreversible: ever\u{85}/* x";
    let run = run(&[("0001_a.sql", SQL)]).url("sqlite:///app.db").env("LOCKKEEPER_BACKUP", "off");
    let run = run.env("LOCKKEEPER_WAIT_TIMEOUT", "60s");
    let before = files(&run);
    let finished = run.clone().args(["revision", "-m", message]).output();
    finished.expect_code(0);
    assert_output!("revision_message", finished, added(&run, &before));
    run.output().expect_code(0).says("up to date at 0002: 2 revisions applied");
    run.args(["downgrade", "-1"]).output().expect_code(0).says("up to date at 0001: 1 revision undone");
}

#[test]
fn a_message_without_any_letter_for_a_file_name_is_a_usage_error() {
    let run = run(&[("0001_a.sql", SQL)]);
    for message in ["", "  ", "äöü", "!?", "\n"] {
        expect_refused(&run.clone().args(["revision", "-m", message]), 64, &["leaves nothing for a file name"]);
    }
    expect_refused(&run.clone().arg("revision"), 64, &["--message <TEXT>"]);
    let forked = forked();
    expect_refused(&forked.args(["merge", "-m", "ü"]), 64, &["-m \"ü\" leaves nothing for a file name"]);
}

#[test]
fn a_revision_on_several_heads_merges_them_and_reports_it() {
    let run = forked();
    let before = files(&run);
    let finished = run.clone().args(["revision", "-m", "use both"]).output();
    finished.expect_code(0);
    assert_output!("revision_joins", finished, added(&run, &before));
    run.args(["check", "--offline"]).output().expect_code(0);
}

#[test]
fn a_merge_joins_the_heads_and_contains_no_sql() {
    let run = forked();
    let before = files(&run);
    let finished = run.clone().arg("merge").output();
    finished.expect_code(0);
    assert_output!("merge", finished, added(&run, &before));
    run.args(["check", "--offline"]).output().expect_code(0);

    let forked_again = forked();
    forked_again.clone().args(["merge", "-m", "join b and c"]).output().expect_code(0);
    assert!(files(&forked_again).contains_key("sqlite/0004_join_b_and_c.down.sql"));
}

#[test]
fn a_merge_of_one_head_is_refused() {
    let one = run(&[("0001_a.sql", SQL), ("0002_b.sql", SQL)]).arg("merge");
    expect_refused(&one, 64, &["nothing is to be merged: migrations has one head, 0002"]);
    let two = run(&[("postgres/0001_a.sql", SQL), ("sqlite/0002_a.sql", SQL)]).arg("merge");
    expect_refused(&two, 64, &["migrations/postgres has one head, 0001; migrations/sqlite has one head, 0002"]);
    expect_refused(&run(&[]).arg("merge"), 64, &["migrations has no revision yet"]);
}

#[test]
fn an_unwritable_directory_is_named_with_the_uid() {
    let as_other = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--"];
    let run = forked().under(as_other);
    for arguments in [&["revision", "-m", "x"][..], &["merge"]] {
        let finished = expect_refused(
            &run.clone().args(arguments.iter().copied()),
            77,
            &["migrations/postgres cannot be written by uid 54321: Permission denied", "make the directory writable"],
        );
        assert_output!("unwritable", finished);
    }
    // The first of two directories may be written, the second not.
    let postgres = run.dir().join("migrations/postgres");
    fs::set_permissions(&postgres, fs::Permissions::from_mode(0o777)).expect("chmod");
    let parts = ["migrations/sqlite cannot be written by uid 54321"];
    expect_refused(&run.clone().args(["revision", "-m", "x"]), 77, &parts);
    fs::set_permissions(run.dir().join("migrations"), fs::Permissions::from_mode(0o700)).expect("chmod");
    let hidden = run.args(["revision", "-m", "x"]).output();
    hidden.expect_code(66).says("migrations cannot be read (uid 54321)");
}

#[test]
fn when_a_file_cannot_be_written_completely_nothing_remains() {
    // The up migration fits, the down migration does not.
    let written = forked().args(["revision", "-m", "x"]);
    written.output().expect_code(0);
    let room = files(&written)["postgres/0004_x.up.sql"].len();
    let limited = forked().under(["prlimit", &format!("--fsize={room}"), "--"]);
    let parts = ["0004_x.down.sql cannot be written", "File too large"];
    expect_refused(&limited.args(["revision", "-m", "x"]), 74, &parts);
}

#[test]
fn a_missing_directory_is_named_with_the_command_that_creates_it() {
    let missing = Run::new().arg("revision").args(["-m", "x", "--dir", "db/migrations"]);
    missing.output().expect_code(66).says("there is no directory db/migrations").says("try: mkdir -p db/migrations");
    let default = Run::new().args(["revision", "-m", "x"]);
    default.output().expect_code(66).says("try: mkdir -p migrations, or set LOCKKEEPER_DIR");
    let file = run(&[("0001_a.sql", SQL)]).args(["revision", "-m", "x", "--dir", "migrations/0001_a.sql"]);
    expect_refused(&file, 66, &["migrations/0001_a.sql", "Not a directory"]);
}

/// No revision is added to a migration directory with errors.
#[test]
fn a_directory_with_errors_gets_no_new_files() {
    let twice = run(&[("0001_a.sql", SQL), ("0001_b.sql", SQL)]);
    let circle = run(&[("0001_a.sql", "-- depends: 0002\n"), ("0002_b.sql", SQL)]);
    let last = run(&[("18446744073709551615_a.sql", SQL)]);
    for (run, part) in [
        (twice, "0001_a.sql, 0001_b.sql"),
        (circle, "in a circle: 0001_a.sql, 0002_b.sql"),
        (last, "no number is left"),
    ] {
        expect_refused(&run.args(["revision", "-m", "x"]), 65, &[part]);
    }
}

#[test]
fn the_umask_decides_who_may_read_new_files() {
    let run = run(&[]).under(["sh", "-c", "umask 027; exec \"$0\" \"$@\""]).args(["revision", "-m", "x"]);
    run.output().expect_code(0);
    let facts = fs::metadata(run.dir().join("migrations/0001_x.up.sql")).expect("a file");
    assert_eq!(facts.permissions().mode() & 0o777, 0o640);
}

#[test]
fn many_runs_at_once_get_different_numbers() {
    const RUNS: usize = 8;
    let run = run(&[("postgres/0001_a.sql", SQL), ("sqlite/0001_a.sql", SQL)]);
    let running: Vec<_> = (0..RUNS).map(|_| run.clone().args(["revision", "-m", "same"]).spawn()).collect();
    for one in running {
        one.finish().expect_code(0).says(": 4 files; ");
    }
    assert_eq!(files(&run).len(), 2 + 4 * RUNS);
    run.args(["check", "--offline"]).output().expect_code(0).says("postgres 9 revisions, head 0009");
}

/// Whenever the run is killed, each file is complete, no down migration lacks its up migration, and the next run works.
#[test]
fn a_killed_run_leaves_a_valid_directory() {
    let run = run(&[("postgres/0001_a.sql", SQL), ("sqlite/0001_a.sql", SQL)]);
    let write = run.clone().args(["revision", "-m", "x"]);
    let names = || {
        let directories = ["migrations/postgres", "migrations/sqlite"].map(|path| run.dir().join(path));
        directories.map(|path| fs::read_dir(path).expect("a directory").count())
    };
    for _ in 0..10 {
        let before = names();
        let mut running = write.spawn();
        wait_until("a new name, or the end", DEFAULT_TIMEOUT, || names() != before || running.has_ended());
        running.kill();
        run.clone().args(["check", "--offline"]).output().expect_code(0);
    }
    write.output().expect_code(0);
    let all = files(&run);
    for (name, text) in all.iter().filter(|(name, _)| name.contains("/0") && name.contains("_x.")) {
        let last = if name.ends_with(".up.sql") { "above them all.\n" } else { "irreversible: reason\".\n" };
        assert!(text.ends_with(last), "{name}: {text}");
    }
}

#[test]
fn check_offline_reads_every_file_and_asks_no_database() {
    let valid = run(&[
        ("postgres/0001_a.up.sql", SQL),
        ("postgres/0001_a.down.sql", "DROP TABLE t;"),
        ("postgres/0002_b.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (id);"),
        ("sqlite/0001_a.up.sql", SQL),
    ]);
    let finished = valid.clone().args(["check", "--offline"]).output();
    finished.expect_code(0);
    assert_output!("check_offline", finished);
    let finished = valid.clone().args(["check", "--offline", "--json"]).output();
    finished.expect_code(0);
    assert_output!("check_offline_json", finished);

    // A directory without dialects is read with the dialect of the database.
    let flat = run(&[("0001_a.sql", "SELECT $$;BEGIN;$$;")]).args(["check", "--offline"]);
    flat.output().expect_code(0).says("the files are fine: postgres 1 revision, head 0001");
    expect_refused(&flat.url("sqlite:///app.db"), 65, &["0001_a.sql:1:11", "remove BEGIN"]);
}

#[test]
fn check_offline_names_every_error_in_every_dialect() {
    let invalid = run(&[
        ("postgres/0001_a.up.sql", "BEGIN;\nCREATE TABLE t (id int);\nCOMMIT;\n"),
        ("postgres/0001_a.down.sql", "-- lock-timeout: soon\nDROP TABLE t;\n"),
        ("postgres/0002_b.up.sql", "-- depends: 0001\nVACUUM;\n"),
        ("postgres/0002_b.down.sql", "DROP INDEX CONCURRENTLY i;\nSELECT 'open"),
        ("postgres/0003_c.up.sql", "-- depends: 0001\n"),
        ("sqlite/0001_a.up.sql", SQL),
        ("sqlite/0001_b.up.sql", SQL),
        ("sqlite/0002_c.up.sql", "-- statement-timeouts: 1s\n"),
    ])
    .file("migrations/postgres/0003_c.down.sql", b"SELECT '\xff';");
    let finished = expect_refused(&invalid.args(["check", "--offline"]), 65, &[]);
    assert_output!("check_offline_problems", finished);
}

/// A target may exist in one dialect and not in the other.
#[test]
fn check_offline_finds_the_target_in_every_dialect() {
    let run = forked();
    let check = |target: &str| run.clone().env("LOCKKEEPER_TARGET", target).args(["check", "--offline"]);
    let finished = expect_refused(&check("head"), 65, &["lockkeeper merge -m \"merge 0002 and 0003\""]);
    assert_output!("check_offline_heads", finished);
    check("heads").output().expect_code(0).says("postgres 3 revisions, heads 0002, 0003; sqlite 1 revision, head 0001");
    check("0001").output().expect_code(0);
    expect_refused(&check("0003"), 64, &["sqlite: no revision in the directory begins with 0003"]);
    expect_refused(
        &check("0009"),
        64,
        &["postgres: no revision in the directory begins with 0009; sqlite: no revision"],
    );
    expect_refused(&check("+1"), 78, &["LOCKKEEPER_TARGET"]);
    let run = run.file("migrations/postgres/0003_c.down.sql", "COMMIT;");
    let both = run.clone().args(["check", "--offline"]);
    expect_refused(&both, 65, &["postgres: the directory has 2 heads", "postgres: 0003_c.down.sql:1:1"]);
}

#[test]
fn check_offline_finds_directories_without_migrations() {
    expect_refused(&run(&[]).args(["check", "--offline"]), 66, &["migrations holds no migrations"]);
    let empty = |dialect: &str| format!("migrations/{dialect}/README");
    let run = run(&[]).file(empty("postgres"), "").file(empty("sqlite"), "").args(["check", "--offline"]);
    let parts = ["postgres: migrations/postgres holds no", "sqlite: migrations/sqlite holds no"];
    expect_refused(&run, 66, &parts);
    expect_refused(&run.file("migrations/sqlite/0001_a.sql", "COMMIT;"), 65, &["migrations/postgres holds no"]);
    let missing = Run::new().args(["check", "--offline", "--dir", "gone"]);
    missing.output().expect_code(66).says("gone cannot be read");
}

/// Returns another developer's copy of the project.
fn copy(of: &Run) -> Run {
    files(of).iter().fold(run(&[]), |copy, (name, text)| copy.file(format!("migrations/{name}"), text))
}

/// Writes a revision that creates a table; returns its number.
fn develop(run: &Run, table: &str) -> String {
    run.clone().args(["revision", "-m", &format!("add {table}")]).output().expect_code(0);
    let ending = format!("_add_{table}.up.sql");
    let mut number = None;
    for (name, text) in files(run).iter().filter(|(name, _)| name.ends_with(&ending)) {
        let name = name.as_str();
        fs::write(run.dir().join("migrations").join(name), format!("{text}CREATE TABLE {table} (id integer);\n"))
            .expect("write the SQL");
        number = name.split('/').next_back().and_then(|file| file.strip_suffix(&ending)).map(str::to_owned);
    }
    number.expect("a new revision")
}

#[test]
fn two_branches_are_detected_merged_and_applied_to_a_database_with_either() {
    let begun = [("postgres/20260101000000_a.sql", SQL), ("sqlite/20260101000000_a.sql", SQL)];
    let (one, other) = (run(&begun), run(&begun));
    let first = develop(&one, "widgets");
    wait_until("another second", DEFAULT_TIMEOUT, || now() > first);
    let second = develop(&other, "gadgets");

    let both =
        files(&other).iter().fold(copy(&one), |both, (name, text)| both.file(format!("migrations/{name}"), text));
    let command = format!("merge {first} and {second}");
    let names = format!("2 heads: {first}_add_widgets.up.sql, {second}_add_gadgets.up.sql");
    let command_line = format!("lockkeeper merge -m \"{command}\"");
    let finished = expect_refused(&both.clone().args(["check", "--offline"]), 65, &[&names, &command_line]);
    assert_output!("two_branches", finished);
    both.clone().args(["merge", "-m", &command]).output().expect_code(0).says("4 files");
    both.clone().args(["check", "--offline"]).output().expect_code(0);

    for had in [&one, &other] {
        let database = Postgres::shared().database("branches");
        let file = had.dir().join("app.db");
        for url in [database.url(), format!("sqlite:///{}", file.display())] {
            let on =
                |run: &Run| run.clone().url(&url).env("LOCKKEEPER_BACKUP", "off").env("LOCKKEEPER_WAIT_TIMEOUT", "60s");
            on(had).output().expect_code(0).says("2 revisions applied");
            on(&both).output().expect_code(0).says("2 revisions applied");
            on(&both).arg("check").output().expect_code(0);
            on(&both).output().expect_code(0).says("nothing pending");
        }
        let tables = "select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'";
        assert_eq!(database.value(tables), "gadgets lockkeeper_history t widgets");
        let tables =
            "select group_concat(name, ' ') from (select name from sqlite_schema where type = 'table' order by name);";
        assert_eq!(sqlite::value(&file, tables), "gadgets lockkeeper_history t widgets");
    }
}
