//! Tests that every exit code is the result of a run, and that every text that lists the codes agrees.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use lockkeeper::exit::{ExitClass, TABLE};
use rustix::process::Signal;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::postgres_program;
use crate::support::proxy::{Peer, Proxy};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{free_port, sqlite};

/// Declares one test per code, and the list of the codes that have one.
macro_rules! codes {
    ($($code:literal $name:ident => $body:block)*) => {
        $(#[test] fn $name() $body)*
        const COVERED: &[u8] = &[$($code),*];
    };
}

const TABLE_T: (&str, &str) = ("0001_t.sql", "CREATE TABLE t (a int);");

/// A run against its own database, without a backup unless a test asks for one.
fn run(database: &PgDatabase<'_>) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off")
}

fn database(name: &str) -> PgDatabase<'static> {
    Postgres::shared().database(name)
}

/// Expects a failure with this code whose last line has its name, `what` happened, and what to try.
#[track_caller]
fn fails(finished: &Finished, code: u8, what: &str) {
    let row = TABLE.iter().find(|row| row.code == code).expect("a row of the table");
    finished.expect_code(i32::from(code)).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().unwrap_or_default();
    let end = format!("code={code} name=\"{}\"", row.name);
    assert!(last.contains(" error ") && last.contains(&end), "the last line lacks {end}: {finished}");
    assert!(last.contains(what), "the last line lacks {what:?}: {finished}");
    assert!(last.contains("; try: "), "the last line has no advice: {finished}");
}

/// Returns the revisions that the history records as applied.
fn applied(database: &PgDatabase<'_>) -> String {
    database.value("select string_agg(revision, ' ' order by revision) from lockkeeper_history where state = 'applied'")
}

/// Installs a pg_dump that first runs this script; `$REAL` is the real one.
fn with_pg_dump(run: Run, script: &str) -> Run {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let pg_dump = postgres_program("pg_dump");
    let text = format!("#!/bin/sh\nREAL={}\n{script}\n", pg_dump.display());
    let run = run.file("tools/pg_dump", text);
    let tool = run.dir().join("tools/pg_dump");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("chmod");
    symlink(postgres_program("pg_restore"), run.dir().join("tools/pg_restore")).expect("symlink");
    run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).env("LOCKKEEPER_BACKUP", "required")
}

codes! {
    0 settled_when_applied_and_when_nothing_is_pending => {
        let database = database("settled");
        let run = run(&database).migrations(&[TABLE_T]);
        run.output().expect_code(0).says("up to date at 0001").does_not_say(PASSWORD);
        run.output().expect_code(0).says("nothing pending, the database is at 0001").does_not_say(PASSWORD);
        assert_eq!(applied(&database), "0001");
    }

    2 pending_is_what_check_answers => {
        let database = database("pending");
        let finished = run(&database).migrations(&[TABLE_T]).arg("check").output();
        finished.expect_code(2).says("1 revision is pending; nothing was changed").does_not_say(PASSWORD);
        assert_eq!(database.value("select to_regclass('lockkeeper_history') is null"), "t");
    }

    64 usage_for_a_flag_that_there_is_not => {
        fails(&Run::new().arg("--no-such-flag").output(), 64, "--no-such-flag");
    }

    65 invalid_for_a_migration_edited_after_it_was_applied => {
        let database = database("edited");
        let run = run(&database).migrations(&[TABLE_T]);
        run.output().expect_code(0);
        let finished = run.migrations(&[("0001_t.sql", "CREATE TABLE t (b int);")]).output();
        fails(&finished, 65, "0001");
    }

    66 no_migrations_when_the_directory_is_missing => {
        let finished = Run::new().arg("--dir").arg("nowhere").output();
        fails(&finished, 66, "nowhere");
    }

    69 unavailable_when_nothing_answers => {
        let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:{}/d", free_port());
        let finished = Run::new().url(&url).migrations(&[TABLE_T]).arg("--wait-timeout").arg("300ms").output();
        fails(&finished, 69, "was not ready after");
    }

    70 internal_when_the_server_lets_us_in_and_breaks => {
        // AuthenticationOk, ReadyForQuery, and to the first question: internal_error.
        let error = b"SERROR\0VERROR\0CXX000\0Mcache lookup failed\0\0";
        let length = u32::try_from(error.len() + 4).expect("short").to_be_bytes();
        let ready = b"Z\0\0\0\x05I";
        let words = [b"R\0\0\0\x08\0\0\0\0".as_slice(), ready, b"E", &length, error, ready].concat();
        let server = Scripted::start(vec![Answer::Bytes(words)]);
        let url = format!("{}?sslmode=disable", server.url("d"));
        let finished = Run::new().url(&url).migrations(&[TABLE_T]).output();
        fails(&finished, 70, "cache lookup failed");
    }

    73 backup_target_when_the_directory_cannot_be_made => {
        let database = database("target");
        database.execute("create table precious (a int)");
        let run = run(&database).env("LOCKKEEPER_BACKUP", "required").migrations(&[TABLE_T]);
        let run = run.file("occupied", "").env("LOCKKEEPER_BACKUP_DIR", "occupied/backups");
        fails(&run.output(), 73, "occupied/backups");
        assert_eq!(database.value("select to_regclass('t') is null"), "t");
    }

    74 io_when_the_database_cannot_grow => {
        let fill = "PRAGMA max_page_count = 20; CREATE TABLE t (a); WITH RECURSIVE n(i) AS \
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT zeroblob(4000) FROM n;";
        let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_fill.sql", fill)]);
        fails(&run.output(), 74, "0001_fill.sql");
        let tables = "select count(*) from sqlite_schema where name = 't';";
        assert_eq!(sqlite::value(&run.dir().join("some.db"), tables), "0");
    }

    75 locked_when_another_run_keeps_the_lock => {
        let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")]);
        let run = run.file("some.db.lockkeeper.lock", "pid 1 on the-other-pod").env("LOCKKEEPER_LOCK_TIMEOUT", "300ms");
        let file = File::open(run.dir().join("some.db.lockkeeper.lock")).expect("the lock file");
        file.lock().expect("the lock");
        fails(&run.output(), 75, "pid 1 on the-other-pod");
        assert!(!run.dir().join("some.db").exists());
    }

    76 protocol_when_something_else_answers => {
        let server = Scripted::start(vec![Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]);
        let finished = Run::new().url(&server.url("d")).migrations(&[TABLE_T]).output();
        fails(&finished, 76, "");
    }

    77 denied_for_a_wrong_password => {
        let url = Postgres::shared().url_as("postgres", "not-the-password", "postgres");
        let run = Run::new().url(&url).migrations(&[TABLE_T]).arg("--auth-grace").arg("100ms");
        let finished = run.output();
        fails(&finished, 77, "password authentication failed");
        finished.does_not_say("not-the-password");
    }

    78 config_when_there_is_no_such_database => {
        let url = Postgres::shared().url("no_such_database");
        let finished = Run::new().url(&url).migrations(&[TABLE_T]).arg("--auth-grace").arg("100ms").output();
        fails(&finished, 78, "no_such_database");
    }

    80 failed_when_a_migration_fails => {
        let database = database("failed");
        let broken = ("0002_broken.sql", "CREATE TABLE u (a int);\nSELECT 1 / 0;");
        let finished = run(&database).migrations(&[TABLE_T, broken]).output();
        fails(&finished, 80, "0002_broken.sql:2:1: division by zero");
        finished.says("it was rolled back; revision 0001 was applied and kept");
        assert_eq!(applied(&database), "0001");
        assert_eq!(database.value("select to_regclass('u') is null"), "t");
    }

    81 partial_when_a_concurrent_index_fails => {
        let database = database("partial");
        let text = "-- no-transaction\nINSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (a);";
        let finished = run(&database).migrations(&[TABLE_T, ("0002_index.sql", text)]).output();
        fails(&finished, 81, "1 of its statements is already committed");
        assert_eq!(
            database.rows("select revision, state, statements_done from lockkeeper_history order by 1"),
            [["0001", "applied", "1"], ["0002", "partial, see the journal", "1"]]
        );
    }

    82 contended_when_the_table_stays_locked => {
        let database = database("contended");
        database.execute("create table t (a int)");
        let mut application = database.session();
        application.run("begin; lock table t");
        let run = run(&database).migrations(&[("0001_alter.sql", "ALTER TABLE t ADD b int;")]);
        let run = run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "100ms").env("LOCKKEEPER_DDL_RETRIES", "1");
        fails(&run.output(), 82, "0001_alter.sql");
        application.run("commit");
        run.output().expect_code(0);
    }

    83 unknown_when_the_connection_is_lost_in_the_commit => {
        let database = database("unknown");
        let proxy = Proxy::start(Postgres::shared().port());
        proxy.cut_at(Peer::Server, b"COMMIT\0");
        let run = run(&database).url(&proxy.url(database.name())).migrations(&[TABLE_T]);
        fails(&run.output(), 83, "whether its transaction was committed is not known");
        run.output().expect_code(0).says("nothing pending, the database is at 0001");
    }

    84 backup_failed_without_pg_dump => {
        let database = database("dumpless");
        database.execute("create table precious (a int)");
        let run = run(&database).env("LOCKKEEPER_BACKUP", "required").migrations(&[TABLE_T]);
        fails(&run.env("LOCKKEEPER_PG_DUMP", "./missing/pg_dump").output(), 84, "./missing/pg_dump");
        assert_eq!(database.value("select to_regclass('t') is null"), "t");
    }

    85 backup_unverified_when_the_archive_is_cut => {
        let database = database("cut");
        database.execute("create table precious (a text); insert into precious select md5(i::text) from generate_series(1, 20000) i");
        let script = r#""$REAL" "$@" || exit; [ "$1" = --version ] || truncate -s 20000 /proc/$$/fd/1"#;
        let run = with_pg_dump(run(&database).migrations(&[TABLE_T]), script);
        fails(&run.output(), 85, "cannot be read back");
        assert_eq!(fs::read_dir(run.dir().join("backups")).expect("the directory").count(), 0);
        assert_eq!(database.value("select to_regclass('t') is null"), "t");
    }

    86 ahead_when_strict => {
        let database = database("ahead");
        let run = run(&database).migrations(&[TABLE_T, ("0002_u.sql", "CREATE TABLE u (a int);")]);
        run.output().expect_code(0);
        fs::remove_file(run.dir().join("migrations/0002_u.sql")).expect("remove");
        run.output().expect_code(0).says("the database is ahead of this image");
        fails(&run.arg("--strict").output(), 86, "0002");
    }

    87 mismatch_when_verify_finds_an_index_invalid => {
        let database = database("mismatch");
        let text = "CREATE TABLE t (a int); CREATE INDEX i ON t (a); \
            UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass;";
        let finished = run(&database).migrations(&[("0001_t.sql", text)]).output();
        fails(&finished, 87, "index public.i is invalid; revision 0001 was applied and kept");
    }

    124 deadline_when_it_passes => {
        let database = database("deadline");
        let sleep = ("0001_sleep.sql", "CREATE TABLE t (a int); SELECT pg_sleep(60);");
        let finished = run(&database).migrations(&[sleep]).arg("--deadline").arg("1s").output();
        fails(&finished, 124, "the overall deadline has passed");
        assert_eq!(database.value("select to_regclass('t') is null"), "t");
    }

    126 not_executable_for_a_program_without_the_permission => {
        let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")]);
        let run = run.file("program", "#!/bin/sh\n").arg("--").arg("./program");
        fails(&run.output(), 126, "exec: ./program: Permission denied (os error 13); the schema is up to date");
        assert_eq!(sqlite::value(&run.dir().join("some.db"), "select revision from lockkeeper_history;"), "0001");
    }

    127 not_found_for_a_program_that_is_not_there => {
        let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_t.sql", "CREATE TABLE t (a);")]);
        let run = run.arg("--").arg("no-such-program");
        fails(&run.output(), 127, "exec: no-such-program: No such file or directory (os error 2); the schema is up to date");
        assert_eq!(sqlite::value(&run.dir().join("some.db"), "select revision from lockkeeper_history;"), "0001");
    }

    130 interrupted_by_sigint => {
        stopped_while_waiting(Signal::INT, 130, "stopped by SIGINT");
    }

    143 interrupted_by_sigterm => {
        stopped_while_waiting(Signal::TERM, 143, "stopped by SIGTERM");
    }
}

fn stopped_while_waiting(signal: Signal, code: u8, what: &str) {
    let url = format!("postgresql://u:{PASSWORD}@127.0.0.1:{}/d", free_port());
    let running = Run::new().url(&url).migrations(&[TABLE_T]).spawn();
    running.wait_for("waiting for");
    running.signal(signal);
    fails(&running.finish(), code, what);
}

#[test]
fn every_code_of_the_table_has_a_test() {
    let covered: BTreeSet<u8> = COVERED.iter().copied().collect();
    let table_codes: BTreeSet<u8> = TABLE.iter().map(|row| row.code).collect();
    assert_eq!(covered, table_codes);
    assert_eq!(COVERED.len(), TABLE.len(), "a code has two tests");
}

#[test]
fn help_lists_every_code_in_order() {
    let help = Run::new().arg("--help").output();
    help.expect_code(0);
    let section = help.stdout.split_once("Exit codes:\n").expect("a table of exit codes").1;
    let listed: Vec<(u8, String, String)> = section
        .lines()
        .filter_map(|line| {
            let (code, rest) = line.trim().split_once("  ")?;
            let (name, when) = rest.trim().split_once(' ')?;
            Some((code.parse().ok()?, name.to_owned(), when.trim().to_owned()))
        })
        .collect();
    let table_codes: Vec<_> = TABLE.iter().map(|row| (row.code, row.name.to_owned(), row.when.to_owned())).collect();
    assert_eq!(listed, table_codes);
}

fn class(class: ExitClass) -> &'static str {
    match class {
        ExitClass::Success => "success",
        ExitClass::Answer => "answer",
        ExitClass::Transient => "transient",
        ExitClass::Permanent => "permanent",
    }
}

#[test]
fn the_readme_lists_every_code_and_the_permanent_ones() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("README.md");
    let section = readme.split_once("\n## Exit codes\n").expect("a section named Exit codes").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    // Only rows that begin with a number: the header of the table is skipped.
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect())
        .filter(|cells: &Vec<String>| cells[0].parse::<u8>().is_ok())
        .collect();
    let table_codes: Vec<Vec<String>> = TABLE
        .iter()
        .map(|row| vec![row.code.to_string(), row.name.into(), row.when.into(), class(row.class).into()])
        .collect();
    assert_eq!(rows, table_codes);
    let permanent = TABLE.iter().filter(|row| row.class == ExitClass::Permanent);
    let permanent: Vec<String> = permanent.map(|row| row.code.to_string()).collect();
    let list = format!("[{}]", permanent.join(", "));
    assert!(section.contains(&list), "README.md does not have the permanent codes as {list}");
}
