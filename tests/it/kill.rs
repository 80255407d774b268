//! Tests of runs that are killed at any moment and started again: the result is that of an undisturbed run.
//!
//! The long form, for each database and both directions. A failure prints the seed, which LOCKKEEPER_TEST_SEED sets:
//!
//! ```text
//! LOCKKEEPER_TEST_KILLS=100 tests/run --test it kill -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::lock::files;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::kill::Kills;
use crate::support::postgres::Postgres;
use crate::support::process::{clean_command, must_run, postgres_program};
use crate::support::sqlite;

const REVISIONS: usize = 30;
const KILLS: usize = 20;
const OLD_ROWS: usize = 500;

/// A database that is migrated and queried.
enum Subject<'a> {
    Postgres(PgDatabase<'a>),
    Sqlite(PathBuf),
}

impl Subject<'_> {
    fn query(&self, sql: &str) -> String {
        match self {
            Subject::Postgres(database) => database.query(sql),
            Subject::Sqlite(path) => sqlite::query(path, sql),
        }
    }

    fn schema(&self) -> String {
        match self {
            Subject::Postgres(database) => database.dump_schema(),
            Subject::Sqlite(path) => sqlite::schema(path),
        }
    }

    /// Returns everything that must be equal however often a run was killed.
    fn state(&self) -> Vec<String> {
        let history = "select revision || ' ' || description || ' ' || checksum || ' ' || state || ' ' || \
                       statements_done || ' of ' || statements_total from lockkeeper_history order by revision;";
        let parts: String = (1..=REVISIONS)
            .filter(|&number| !is_transactional(number))
            .map(|number| self.query(&format!("select id from part_{number} order by id;")))
            .collect();
        vec![self.schema(), self.query(history), self.query("select id from log order by id;"), parts]
    }
}

fn is_transactional(number: usize) -> bool {
    number % 5 != 4
}

/// Returns revisions of a few milliseconds each: transactional ones insert one row into `log`, the others may run twice
/// and end with `last_statement`, in which `#` is the revision's number.
fn revisions(busy: &str, last_statement: &str) -> Vec<(String, String)> {
    let script = |number: usize| match is_transactional(number) {
        true => {
            let first = if number == 1 { "create table log (id integer not null);\n" } else { "" };
            format!("{first}create table t_{number} (id integer);\n{busy};\ninsert into log values ({number});\n")
        }
        false => format!(
            "-- no-transaction\ncreate table if not exists part_{number} (id integer primary key);\n\
             insert into part_{number} values (1) on conflict do nothing;\n{busy};\n\
             insert into part_{number} values (2) on conflict do nothing;\n{}",
            last_statement.replace('#', &number.to_string())
        ),
    };
    (1..=REVISIONS).map(|number| (format!("{number:04}_step.sql"), script(number))).collect()
}

/// Kills runs until there were enough; `fresh` creates a new database with rows.
fn kill_and_run_again<'a>(busy: &str, last_statement: &str, mut fresh: impl FnMut(&Run) -> (Run, Subject<'a>)) {
    let mut kills = Kills::new(KILLS);
    let files = revisions(busy, last_statement);
    let new_run = || {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        // No backup may be retired before it was checked.
        Run::new().env("LOCKKEEPER_BACKUP_DIR", "backups").env("LOCKKEEPER_BACKUP_KEEP", "1000").migrations(&files)
    };
    let (undisturbed, subject) = fresh(&new_run());
    let finished = undisturbed.output();
    finished.expect_code(0);
    let expected = subject.state();
    let revisions: Vec<String> = (1..=REVISIONS).map(|number| format!("{number:04}")).collect();
    let recorded: Vec<&str> = expected[1].lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(recorded, revisions, "the history has gaps or doubles");
    while kills.has_moments_left() {
        let (run, subject) = fresh(&new_run());
        kills.converge(&run, finished.elapsed);
        for (found, expected) in subject.state().iter().zip(&expected) {
            assert_eq!(found, expected, "{kills}");
        }
        check_backups(&run, &subject);
    }
}

/// Returns the manifest of a backup.
fn manifest(backup: &Path) -> BTreeMap<String, serde_json::Value> {
    let file = format!("{}.json", backup.display());
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Checks that every backup with a final name is verified, that nothing unfinished remains, and that each can be
/// restored.
fn check_backups(run: &Run, subject: &Subject<'_>) {
    let directory = run.dir().join("backups");
    for left in [".partial", ".partial-wal", ".partial-shm", ".partial-journal"] {
        assert_eq!(files(&directory, left), [""; 0], "{:?}", files(&directory, ""));
    }
    let ending = if matches!(subject, Subject::Postgres(_)) { ".dump" } else { ".db" };
    let backups: Vec<PathBuf> = files(&directory, ending).iter().map(|name| directory.join(name)).collect();
    assert!(!backups.is_empty(), "the database was not empty, so there must be a backup");
    for backup in &backups {
        let sum: String =
            Sha256::digest(fs::read(backup).expect("a backup")).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(manifest(backup)["sha256"], sum, "{}", backup.display());
    }
    let listed = run.clone().arg("backups").output();
    listed.expect_code(0).does_not_say("unverified");
    assert_eq!(listed.stdout.lines().count(), backups.len(), "{listed}");
    for backup in &backups {
        check_restored(subject, backup);
    }
}

/// Restores a backup into another database: it has the rows from before the first run, and the revision that it claims.
fn check_restored(subject: &Subject<'_>, backup: &Path) {
    let restored = match subject {
        Subject::Postgres(database) => {
            let scratch = Postgres::shared().database("restored");
            let mut restore = clean_command(postgres_program("pg_restore"));
            database.server().set_connection(&mut restore, scratch.name());
            restore.args(["--exit-on-error", "--no-owner", "--dbname", scratch.name()]).arg(backup);
            must_run(restore);
            Subject::Postgres(scratch)
        }
        Subject::Sqlite(_) => {
            assert_eq!(sqlite::query(backup, "pragma integrity_check;"), "ok\n", "{}", backup.display());
            Subject::Sqlite(backup.to_owned())
        }
    };
    assert_eq!(restored.query("select count(*) from old;"), format!("{OLD_ROWS}\n"));
    let claimed = &manifest(backup)["from_revision"];
    let held = match claimed.as_str() {
        None => String::from("\n"),
        Some(revision) => format!("{revision}\n"),
    };
    let newest = match claimed.as_str() {
        None => String::from("\n"),
        Some(_) => restored.query("select max(revision) from lockkeeper_history where state = 'applied';"),
    };
    assert_eq!(newest, held, "{}", backup.display());
}

#[test]
fn postgres_converges_however_often_a_run_is_killed() {
    let last_statement = "create index concurrently a_# on part_# (id);\nreindex table concurrently part_#;\n\
                 create index concurrently b_# on part_# (id);\ndrop index concurrently a_#;\nvacuum part_#;\n";
    kill_and_run_again("select pg_sleep(0.005)", last_statement, |run| {
        let database = Postgres::shared().database("killed");
        database.execute(&format!("create table old as select generate_series(1, {OLD_ROWS}) as id"));
        (run.clone().url(&database.url()), Subject::Postgres(database))
    });
}

#[test]
fn sqlite_converges_however_often_a_run_is_killed() {
    let busy = "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000) select max(x) from c";
    kill_and_run_again(busy, "vacuum;\n", |run| {
        let path = run.dir().join("app.db");
        let rows = "with recursive c (x) as (select 1 union all select x + 1 from c) select x from c";
        sqlite::query(&path, &format!("create table old as {rows} limit {OLD_ROWS};"));
        (run.clone().url("sqlite:///./app.db"), Subject::Sqlite(path))
    });
}
