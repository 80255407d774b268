//! Tests of what `export` and `import` refuse, and of killed runs: nothing is changed, and no file remains.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dump::{at, database, filled, with_schema};
use crate::signals::wait_for_query;
use crate::support::binary::{Finished, Run};
use crate::support::either::Database;
use crate::support::process::clean_command;
use crate::support::{DEFAULT_TIMEOUT, kill, sqlite, wait_until};
use crate::transfer::expect_last_line;

const TABLES: &str = "create table parent (id integer primary key, name text not null check (name <> ''), n integer); \
     create table child (id integer primary key, parent integer references parent);";

fn tables() -> Run {
    with_schema(TABLES, TABLES)
}

fn import(run: &Run, url: &str, text: &str) -> Finished {
    run.clone().file("rows.json", text).url(url).args(["import", "rows.json"]).output()
}

fn rows<D: Database>(database: &D) -> String {
    database.query("select (select count(*) from parent), (select count(*) from child)")
}

fn a_file_that_is_no_export_is_named_by_line_and_column_before_anything_is_changed<D: Database>() {
    let (run, database) = (tables(), D::create("refused"));
    for (text, words) in [
        ("", "rows.json:1:1: the file is empty"),
        ("\u{feff}{}", "rows.json:1:1: a byte order mark"),
        ("{\"parent\": [\n{\"id\": 1, \"name\": \"a\", \"n\": 1},\n{\"id\": 2", "rows.json:3:9: the file ends early"),
        ("{\"parent\": [\n{\"id\": 1},\n{\"name\": \"x\"}]}", "rows.json:3:2: parent, row 2: it has the key \"name\""),
        ("{\"parent\": []}\n{}", "rows.json:2:1: something follows"),
    ] {
        expect_last_line(&import(&run, &database.url(), text), 65, &[words, "nothing was changed"]);
        assert!(!database.has_table("parent"), "{text}");
    }
    expect_last_line(
        &run.clone().url(&database.url()).args(["import", "none.json"]).output(),
        64,
        &["none.json: No such file"],
    );
    expect_last_line(
        &run.clone().url(&database.url()).args(["import", "schema"]).output(),
        64,
        &["schema: is a directory"],
    );
}

fn all_invalid_rows_are_named_by_number_and_none_is_imported<D: Database>() {
    let (run, database) = (tables(), D::create("refused"));
    let text = r#"{"parent": [{"id": 1, "name": "a", "n": 1}, {"id": 2, "name": null, "n": 0.5e400}, {"id": 3, "name": null, "n": 1}]}"#;
    let finished = import(&run, &database.url(), text);
    expect_last_line(&finished, 65, &["row 2: ", "more, named above", "no row was transferred"]);
    finished.says("row 3: ");
    assert_eq!(rows(&database), "0|0\n");
    let orphan = r#"{"child": [{"id": 1, "parent": 9}, {"id": 2, "parent": null}]}"#;
    let finished = import(&run, &database.url(), orphan);
    expect_last_line(&finished, 65, &["child", "parent", "nothing was changed"]);
    assert_eq!(rows(&database), "0|0\n");
}

fn tables_that_have_rows_and_names_that_the_target_lacks_are_refused<D: Database>() {
    let (run, database) = (tables(), D::create("refused"));
    run.clone().url(&database.url()).output().expect_code(0);
    for (text, words) in [
        (r#"{"parent": [], "other": [{"a": 1}]}"#, "other: the target has no such table"),
        (r#"{"parent": [{"id": 1, "name": "a", "wrong": 1}]}"#, "parent.wrong: "),
        (r#"{"parent": [{"id": 1}]}"#, "name: it is NOT NULL without a default"),
    ] {
        expect_last_line(&import(&run, &database.url(), text), 65, &[words, "nothing was changed"]);
    }
    database.query("insert into parent values (5, 'there', 1)");
    // A table that has no rows in the file must be empty, too.
    for text in [r#"{"parent": [{"id": 1, "name": "a", "n": 1}]}"#, r#"{"parent": []}"#] {
        expect_last_line(
            &import(&run, &database.url(), text),
            78,
            &["rows already", "parent", "nothing was changed", "empty those tables"],
        );
    }
    assert_eq!(rows(&database), "1|0\n");
}

fn a_file_is_never_overwritten_and_a_failed_export_leaves_none<D: Database>() {
    let (run, database) = (tables(), D::create("refused"));
    run.clone().url(&database.url()).output().expect_code(0);
    let run = run.url(&database.url()).file("taken.json", "mine");
    expect_last_line(
        &run.clone().args(["export", "taken.json"]).output(),
        64,
        &["taken.json is there already", "give another name"],
    );
    assert_eq!(fs::read_to_string(at(&run, "taken.json")).expect("the file"), "mine");
    expect_last_line(
        &run.clone().args(["export", "no/such/x.json"]).output(),
        64,
        &["no/such/x.json.lockkeeper-partial cannot be written"],
    );
    let gone = run.clone().url(&database.url()).under(["bash", "-c", "\"$@\" | true; exit ${PIPESTATUS[0]}", "-"]);
    database.query(&format!("insert into parent values (1, '{}', 1)", "x".repeat(300_000)));
    expect_last_line(&gone.args(["export", "-"]).output(), 74, &["not printed to its end"]);
    let full = run.clone().under(["prlimit", "--fsize=65536", "--"]);
    expect_last_line(
        &full.args(["export", "new.json"]).output(),
        74,
        &["new.json.lockkeeper-partial cannot be written", "has room"],
    );
    assert!(!at(&run, "new.json").exists() && !at(&run, "new.json.lockkeeper-partial").exists());
}

on_either!(
    a_file_that_is_no_export_is_named_by_line_and_column_before_anything_is_changed,
    all_invalid_rows_are_named_by_number_and_none_is_imported,
    tables_that_have_rows_and_names_that_the_target_lacks_are_refused,
    a_file_is_never_overwritten_and_a_failed_export_leaves_none,
    memory_is_bounded_whatever_the_number_of_rows,
    an_import_that_is_killed_is_complete_or_absent,
);

/// The reader is a thread of its own, and logs which tables it has read.
#[test]
fn nothing_is_logged_after_the_last_line_of_a_failing_export() {
    let tables: String = (0..300).map(|at| format!("create table t{at} (x);")).collect();
    let run = with_schema("select 1;", &format!("create table a (x); {tables}")).url("sqlite:///app.db");
    filled(&run, "app.db", "insert into a values (hex(zeroblob(300000)))");
    let gone = run.under(["bash", "-c", "\"$@\" | true; exit ${PIPESTATUS[0]}", "-"]);
    for _ in 0..20 {
        expect_last_line(&gone.clone().args(["export", "-"]).output(), 74, &["not printed to its end"]);
    }
}

/// SQLite converts a value to the type of its column, as long as it keeps the value.
#[test]
fn a_value_that_a_column_of_sqlite_would_change_is_named() {
    let schema = "create table t (id integer primary key, i integer, r real, x text); create table k (a text primary key, b real) without rowid; \
         create table u (a int unique on conflict replace, b int not null on conflict replace default 5); create table g (a int unique on conflict ignore); \
         create table l (a int unique on conflict rollback)";
    let run = with_schema("select 1;", schema);
    let text = r#"{"t": [{"id": 1, "i": "12", "r": 3, "x": 7}, {"id": 2, "i": "1.50", "r": 9007199254740993, "x": 1.5},
        {"id": 3, "i": "18446744073709551617", "r": 0.12345678901234567890, "x": 0.30000000000000004}],
        "k": [{"a": "x", "b": 1152921504606846977}], "g": [{"a": 1}, {"a": 1}],
        "u": [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": null}], "l": [{"a": 1}, {"a": 1}]}"#;
    let finished = import(&run, "sqlite:///app.db", text);
    expect_last_line(&finished, 65, &["and 8 more, named above", "try: correct the values in the file code"]);
    for line in [
        "t.r, row 2: 9007199254740993 would become 9007199254740992.0",
        "t.i, row 3: '18446744073709551617' would become 1.8446744073709552e19",
        "t.r, row 3: '0.12345678901234567890' would become 0.12345678901234568",
        "t.x, row 3: 0.30000000000000004 would become '0.3'",
        "k.b, row 1: 1152921504606846977 would become 1.152921504606847e18",
        "g, row 2: UNIQUE constraint failed",
        "u, row 2: UNIQUE constraint failed",
        "u, row 3: NOT NULL constraint failed",
        "l, row 2: UNIQUE constraint failed",
    ] {
        finished.says(line);
    }
    let fits = r#"{"t": [{"id": 1, "i": "12", "r": 3, "x": 7}, {"id": 2, "i": "1.50", "r": 1e3, "x": 1.5}]}"#;
    expect_last_line(&import(&run, "sqlite:///app.db", fits), 0, &["imported 1 table, 2 rows"]);
    let stored = "select typeof(i) || i || typeof(r) || r || typeof(x) || x from t;";
    assert_eq!(sqlite::query(&at(&run, "app.db"), stored), "integer12real3.0text7\nreal1.5real1000.0text1.5\n");
    expect_last_line(
        &run.clone().url("sqlite:///app.db").args(["import", "rows.json", "--cast", "t.i=round"]).output(),
        64,
        &["--cast is for PostgreSQL"],
    );
}

/// Rows are kept in a temporary file without a name; a limit for the size of files replaces a full disk.
#[test]
fn without_room_for_the_temporary_database_nothing_is_changed() {
    let run = tables();
    let name = "x".repeat(40_000_000);
    let full = run.clone().under(["prlimit", "--fsize=8388608", "--"]).env("TMPDIR", run.dir().display().to_string());
    let text = format!(r#"{{"parent": [{{"id": 1, "name": "{name}", "n": 1}}, {{"id": 2, "name": "b", "n": 1}}]}}"#);
    let finished = import(&full, "sqlite:///app.db", &text);
    expect_last_line(&finished, 74, &["the temporary database", "nothing was changed", "set TMPDIR to a directory"]);
    let mut remaining: Vec<_> =
        fs::read_dir(run.dir()).expect("the directory").flatten().map(|entry| entry.file_name()).collect();
    remaining.sort();
    assert_eq!(remaining, ["rows.json", "schema"]);
}

/// Neither the rows of one table nor the rows that a slow reader has not read yet are kept in memory.
fn memory_is_bounded_whatever_the_number_of_rows<D: Database>() {
    let (run, from) = (tables(), D::create("memory"));
    run.clone().url(&from.url()).output().expect_code(0);
    let numbers = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 800)";
    from.query(&format!("{numbers} insert into parent select i, '{}' || i, i from n", "x".repeat(100_000)));
    let small =
        |run: &Run, script: &str| run.clone().under(["bash", "-c", &format!("ulimit -d 49152 && {script}"), "-"]);
    let run = run.url(&from.url());
    let finished = small(&run, "\"$@\" > rows.json").args(["export", "-"]).output();
    expect_last_line(&finished, 0, &["exported 2 tables, 800 rows"]);
    let to = D::create("memory");
    let run = run.url(&to.url());
    expect_last_line(
        &small(&run, "exec \"$@\"").args(["import", "rows.json"]).output(),
        0,
        &["imported 2 tables, 800 rows"],
    );
    assert_eq!(
        to.query("select count(*), sum(length(name)) from parent"),
        from.query("select count(*), sum(length(name)) from parent")
    );
}

/// Creates a file with so many rows that a run can be killed in the middle.
fn many(run: &Run) {
    let rows = "insert into parent select value, 'a name of some length ' || value, value from generate_series(1, 10000); \
         insert into child select value, 10001 - value from generate_series(1, 10000);";
    filled(run, "full.db", rows);
    run.clone().url("sqlite:///full.db").args(["export", "rows.json"]).output().expect_code(0);
}

/// An import is killed at random moments: all rows are there, or none, and no file but the database's own.
fn an_import_that_is_killed_is_complete_or_absent<D: Database>() {
    let run = tables();
    many(&run);
    let temporary = at(&run, "tmp");
    fs::create_dir(&temporary).expect("a directory");
    let database = D::create("killed");
    let run = run.url(&database.url()).env("TMPDIR", temporary.display().to_string());
    run.clone().output().expect_code(0);
    let run = run.args(["import", "rows.json"]);
    let mut random = fastrand::Rng::with_seed(kill::seed());
    let mut undisturbed = Duration::from_secs(3);
    for _ in 0..kill::repetitions(4) {
        let mut running = run.spawn();
        let moment = Instant::now() + undisturbed.mul_f64(random.f64());
        while Instant::now() < moment && !running.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = if running.has_ended() { running.finish() } else { running.kill() };
        // The tables of a dead client are locked until the server has noticed its end.
        let counts = rows(&database);
        assert!(["0|0\n", "10000|10000\n"].contains(&&*counts), "{counts}: {ended}");
        assert_eq!(fs::read_dir(&temporary).expect("the directory").count(), 0, "{ended}");
        if counts != "0|0\n" {
            database.query("delete from child");
            database.query("delete from parent");
        }
        undisturbed = undisturbed.min(ended.elapsed.max(Duration::from_millis(500)));
    }
    expect_last_line(&run.output(), 0, &["imported 2 tables, 20000 rows"]);
    assert_eq!(rows(&database), "10000|10000\n");
}

#[test]
fn an_import_that_is_stopped_leaves_the_file_as_it_was() {
    let run = tables();
    many(&run);
    run.clone().url("sqlite:///app.db").output().expect_code(0);
    let writer = Session::begin(&run, "begin immediate;");
    let running = run.clone().url("sqlite:///app.db").args(["import", "rows.json", "--log", "debug"]).spawn();
    wait_until("the lock is taken", DEFAULT_TIMEOUT, || {
        fs::read_to_string(at(&run, "app.db.lockkeeper.lock")).is_ok_and(|text| !text.is_empty())
    });
    running.signal(Signal::TERM);
    expect_last_line(&running.finish(), 143, &["stopped by SIGTERM", "nothing was changed", "run again"]);
    writer.end();
    assert_eq!(sqlite::value(&at(&run, "app.db"), "select count(*) from parent;"), "0");
}

/// An application with an open transaction on `app.db`.
struct Session(Child);

impl Session {
    fn begin(run: &Run, sql: &str) -> Session {
        let mut command = clean_command("sqlite3");
        command.arg(at(run, "app.db")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sqlite3");
        writeln!(child.stdin.as_mut().expect("a pipe"), "{sql} select 'held';").expect("sqlite3 reads");
        let mut held = [0; 4];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut held).expect("sqlite3 answers");
        Session(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("sqlite3 ends");
    }
}

/// Without WAL nothing is committed while somebody reads; a session that begins to read then is locked out already.
#[test]
fn an_import_waits_for_readers_before_its_commit_and_a_signal_ends_the_wait() {
    let run = tables().file("rows.json", r#"{"parent": [{"id": 1, "name": "a", "n": 1}]}"#).url("sqlite:///app.db");
    run.output().expect_code(0);
    let count = || sqlite::try_query(&at(&run, "app.db"), ".timeout 0\nselect count(*) from parent;");
    let waiting = || {
        let reader = Session::begin(&run, "begin; select * from parent;");
        let running = run.clone().args(["import", "rows.json"]).spawn();
        wait_until("the commit waits", DEFAULT_TIMEOUT, || count().is_err_and(|error| error.contains("locked")));
        (reader, running)
    };
    let (reader, running) = waiting();
    running.signal(Signal::TERM);
    expect_last_line(&running.finish(), 143, &["stopped by SIGTERM", "nothing was changed"]);
    reader.end();
    assert_eq!(count().as_deref(), Ok("0\n"));
    let (reader, running) = waiting();
    reader.end();
    expect_last_line(&running.finish(), 0, &["imported 1 table, 1 row"]);
    assert_eq!(count().as_deref(), Ok("1\n"));
}

#[test]
fn an_interrupted_export_leaves_no_file_and_a_leftover_of_a_kill_is_replaced() {
    let (run, database) = (tables(), database());
    run.clone().url(&database.url()).output().expect_code(0);
    database.execute("insert into parent select i, 'name', i from generate_series(1, 100) i; create table z (id int)");
    let run = run.url(&database.url()).args(["export", "rows.json"]);
    let mut lock_session = database.session();
    lock_session.run("begin; lock table z");
    for signal in [Signal::TERM, Signal::KILL] {
        let running = run.spawn();
        wait_for_query(&database, "z");
        assert!(at(&run, "rows.json.lockkeeper-partial").exists() && !at(&run, "rows.json").exists());
        if signal == Signal::KILL {
            running.kill();
            break;
        }
        running.signal(signal);
        expect_last_line(&running.finish(), 143, &["export: stopped by SIGTERM", "nothing was changed"]);
        assert!(!at(&run, "rows.json.lockkeeper-partial").exists() && !at(&run, "rows.json").exists());
    }
    // Two exports at once do not write the same file.
    let first = run.spawn();
    wait_for_query(&database, "z");
    expect_last_line(&run.output(), 75, &["another export writes rows.json"]);
    lock_session.run("commit");
    expect_last_line(&first.finish(), 0, &["exported 3 tables, 100 rows"]);
    assert!(!at(&run, "rows.json.lockkeeper-partial").exists());
    let export_text = fs::read_to_string(at(&run, "rows.json")).expect("the export");
    assert!(export_text.ends_with("],\n\"z\": []\n}\n") && export_text.lines().count() == 106, "{export_text}");
}
