//! Tests of rehearsals: the plan runs on a database restored from the backup before production is changed.

use rustix::process::Signal;

use crate::contract::{ONE, THREE, TWO, expect_end, run_on};
use crate::restore_concurrent::with_gated_restore;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres};

const DOWN_TWO: (&str, &str) = ("0002_two.down.sql", "drop table two;\n");

/// Runs with backups and a rehearsal.
fn rehearsing(run: Run) -> Run {
    run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe").env("LOCKKEEPER_REHEARSE", "true")
}

/// Creates a database at 0001 with rows.
fn at_one<D: Database>() -> (D, Run) {
    let database = D::create("rehearse");
    let run = run_on(&database, &[ONE]);
    expect_end(&run, 0, &["up to date at 0001"]);
    database.query("insert into one values (1), (2), (3)");
    (database, rehearsing(run))
}

trait Scratch {
    /// Returns the databases for rehearsals that exist.
    fn copies(&self) -> Vec<String>;
}

impl Scratch for PgDatabase<'static> {
    fn copies(&self) -> Vec<String> {
        let name = format!("{}_lockkeeper_rehearsal_", self.name());
        let sql = format!("select datname from pg_database where starts_with(datname, '{name}')");
        let found = self.query(&sql);
        found.lines().map(str::to_owned).collect()
    }
}

impl Scratch for SqliteFile {
    fn copies(&self) -> Vec<String> {
        let path = self.url().trim_start_matches("sqlite:///").to_owned();
        let directory = std::path::Path::new(&path).parent().expect("a directory").to_owned();
        let names = std::fs::read_dir(directory).expect("the directory").flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("rehearsal")).collect()
    }
}

fn a_successful_rehearsal_is_followed_by_the_upgrade<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let finished = expect_end(&run.clone().migrations(&[TWO, THREE]), 0, &["up to date at 0003: 2 applied, backup"]);
    finished.says("rehearsed 0002_two.up.sql").says("rehearsed on the backup: 2 of 2 steps run");
    let log = &finished.stderr;
    let [rehearsed, applied] =
        ["rehearsed on the backup", "applied 0003"].map(|text| log.rfind(text).expect("in the log"));
    assert!(rehearsed < applied, "{log}");
    assert_eq!(database.copies(), [""; 0]);
    assert_eq!(database.query("select count(*) from one"), "3\n");
}

fn a_failing_rehearsal_does_not_change_production<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let before = database.query("select * from lockkeeper_history");
    // It would succeed on an empty table.
    let failing = ("0003_bad.up.sql", "insert into one values (9);\ninsert into one values (2);\n");
    let parts = [
        "rehearsal: on a copy made of the backup, after 1 steps that ran: 0003_bad.up.sql:2",
        "production was not touched",
    ];
    let finished = expect_end(&run.clone().migrations(&[TWO, failing]), 80, &parts);
    finished.does_not_say("go back: lockkeeper restore");
    assert_eq!(database.query("select * from lockkeeper_history"), before);
    assert!(!database.has_table("two"));
    assert_eq!(database.query("select count(*) from one"), "3\n");
    assert_eq!(database.copies(), [""; 0]);
}

fn a_rehearsal_that_stops_part_way_fails<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let partial =
        ("0002_part.up.sql", "-- no-transaction\ncreate table half (id integer);\nselect nothing from nowhere;\n");
    expect_end(&run.clone().migrations(&[partial]), 80, &["0002_part.up.sql:3", "production was not touched"]);
    assert!(!database.has_table("half"));
    assert_eq!(database.query("select revision, state from lockkeeper_history"), "0001|applied\n");
    assert_eq!(database.copies(), [""; 0]);
}

fn a_downgrade_is_rehearsed_as_well<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let run = run.migrations(&[TWO, DOWN_TWO]);
    expect_end(&run, 0, &["up to date at 0002"]);
    let finished = expect_end(&run.clone().args(["downgrade", "-1"]), 0, &["up to date at 0001: 1 undone"]);
    finished.says("rehearsed 0002_two.down.sql");
    assert!(!database.has_table("two"));
}

fn an_empty_database_and_one_with_nothing_pending_are_not_rehearsed<D: Database + Scratch>() {
    let database = D::create("untried");
    let run = rehearsing(run_on(&database, &[ONE]));
    expect_end(&run, 0, &["up to date at 0001"]).says("no rehearsal: the database is empty");
    expect_end(&run, 0, &["nothing pending"]).does_not_say("rehears");
}

fn without_a_backup_there_is_nothing_to_rehearse_on<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let run = run.migrations(&[TWO]).env("LOCKKEEPER_BACKUP", "off");
    expect_end(&run, 78, &["LOCKKEEPER_REHEARSE", "LOCKKEEPER_BACKUP is off", "nothing was changed"]);
    assert!(!database.has_table("two"));
}

/// Returns a file that runs for a long time: on PostgreSQL it sleeps, on SQLite it counts.
fn slow<D: Database>() -> (&'static str, String) {
    let statement = match D::create("dialect").url().starts_with("sqlite") {
        true => {
            "create table slow as with recursive c(n) as (select 1 union all select n + 1 from c where n < 300000000) select count(*) n from c;\n"
        }
        false => "select pg_sleep(300);\n",
    };
    ("0003_slow.up.sql", statement.to_owned())
}

fn a_signal_or_a_kill_in_a_rehearsal_leaves_production_unchanged<D: Database + Scratch>() {
    let (database, run) = at_one::<D>();
    let (name, statement) = slow::<D>();
    let stuck = run.clone().migrations(&[TWO, (name, &statement)]);
    let running = stuck.spawn();
    running.wait_for("rehearsed 0002_two.up.sql");
    running.signal(Signal::TERM);
    let finished = running.finish();
    finished.expect_code(143).says("production was not touched");
    assert_eq!(database.copies(), [""; 0], "{finished}");
    let running = stuck.spawn();
    running.wait_for("rehearsed 0002_two.up.sql");
    running.kill();
    assert_eq!(database.query("select revision from lockkeeper_history"), "0001\n");
    assert_ne!(database.copies(), [""; 0], "the killed one has left a copy");
    // The next run removes it, also without a rehearsal.
    let plain = run.clone().env("LOCKKEEPER_REHEARSE", "false");
    expect_end(&plain.migrations(&[TWO]).args(["upgrade", "0002"]), 0, &["up to date at 0002"]);
    assert_eq!(database.copies(), [""; 0]);
    let slow_run = run.migrations(&[TWO, (name, "create table slow (id integer);\n")]);
    expect_end(&slow_run, 0, &["up to date at 0003"]);
    assert_eq!(database.copies(), [""; 0]);
}

on_either!(
    a_successful_rehearsal_is_followed_by_the_upgrade,
    a_failing_rehearsal_does_not_change_production,
    a_rehearsal_that_stops_part_way_fails,
    a_downgrade_is_rehearsed_as_well,
    an_empty_database_and_one_with_nothing_pending_are_not_rehearsed,
    without_a_backup_there_is_nothing_to_rehearse_on,
    a_signal_or_a_kill_in_a_rehearsal_leaves_production_unchanged,
);

#[test]
fn a_rehearsal_reports_rewritten_tables_and_locks() {
    let (database, run) = at_one::<PgDatabase<'static>>();
    database.execute("create table child (id int references one, note text)");
    let files = [
        ("0002_rewrite.up.sql", "alter table one alter column id type bigint;\n"),
        ("0003_plain.up.sql", "create index on child (note);\nselect count(*) from one;\n"),
        ("0004_alone.up.sql", "-- no-transaction\ncreate index concurrently i on child (note);\n"),
    ];
    let finished = expect_end(&run.migrations(&files), 0, &["up to date at 0004"]);
    let line = |text: &str| finished.stderr.lines().find(|line| line.contains(text)).expect(text).to_owned();
    let rewrite = line("rehearsed 0002_rewrite");
    for part in ["rewritten: public.one", "public.one AccessExclusiveLock", "public.child AccessExclusiveLock"] {
        assert!(rewrite.contains(part), "{part}: {rewrite}");
    }
    let plain = line("rehearsed 0003_plain");
    assert!(plain.contains("no table rewritten") && plain.contains("public.child ShareLock"), "{plain}");
    assert!(!plain.contains("public.one "), "reading stands in nobody's way: {plain}");
    assert!(line("rehearsed 0004_alone").contains("no lock held to the end of a transaction"));
}

#[test]
fn a_missing_privilege_to_create_databases_is_named() {
    let database = Postgres::shared().database("rehearse");
    let role = crate::support::unique("plain");
    database.execute(&format!("create role {role} login password '{PASSWORD}'; grant all on schema public to {role}"));
    let run = run_on(&database, &[ONE]).url(&database.url_as(&role, PASSWORD));
    expect_end(&run, 0, &["up to date at 0001"]);
    let run = rehearsing(run).migrations(&[TWO]);
    expect_end(&run, 77, &["rehearsal", "CREATEDB", "production was not touched", "LOCKKEEPER_REHEARSE"]);
    assert!(!database.has_table("two"));
}

/// Objects that all databases of the server share would be changed for good, because the scratch database shares them.
#[test]
fn statements_on_shared_objects_are_not_rehearsed() {
    let name = crate::support::unique("shared");
    let transaction = format!("create role {name};\ncreate table two (id integer);\n");
    for (text, part) in [
        (transaction.clone(), "pg_authid, which all databases of the server share"),
        (format!("-- no-transaction\n{transaction}"), "pg_authid, which all databases"),
        (format!("-- no-transaction\ncreate database {name};\n"), "is not of this database alone"),
        ("-- no-transaction\nalter system reset work_mem;\n".into(), "is not of this database alone"),
    ] {
        let (database, run) = at_one::<PgDatabase<'static>>();
        let run = run.migrations(&[("0002_two.up.sql", &text)]);
        let parts = ["cannot be rehearsed, run it without a rehearsal", part, "production was not touched"];
        expect_end(&run, 80, &parts);
        let leftovers = "select (select count(*) from pg_roles where rolname = '{}') + (select count(*) from pg_database where datname = '{}')";
        assert_eq!(database.value(&leftovers.replace("{}", &name)), "0");
        expect_end(&run.env("LOCKKEEPER_REHEARSE", "false"), 0, &["up to date at 0002"]);
        database.execute("drop table if exists two");
        Postgres::shared().execute(&format!("drop role if exists {name}"));
        Postgres::shared().execute(&format!("drop database if exists {name}"));
        assert_eq!(database.copies(), [""; 0]);
    }
}

/// A run with another history table has another lock, and runs at the same time.
#[test]
fn a_run_with_another_history_table_does_not_disturb_a_rehearsal() {
    let (database, run) = at_one::<PgDatabase<'static>>();
    let (slow, gate) = with_gated_restore(run.migrations(&[TWO]));
    let rehearsing = slow.spawn();
    rehearsing.wait_for("into the database");
    let copies = database.copies();
    assert_eq!(copies.len(), 1);
    for rehearse in ["false", "true"] {
        let name = format!("other_{rehearse}");
        let file = format!("create table table_{name} (id integer);\n");
        let other = run_on(&database, &[("0001_other.up.sql", &file)]);
        let other = other.env("LOCKKEEPER_HISTORY_TABLE", &name).env("LOCKKEEPER_BACKUP", "required");
        expect_end(&other.env("LOCKKEEPER_REHEARSE", rehearse), 0, &["up to date at 0001"]);
        assert_eq!(database.copies(), copies, "{rehearse}");
    }
    std::fs::write(gate, "").expect("open the gate");
    rehearsing.finish().expect_code(0).says("rehearsed on the backup: 1 of 1 steps run");
    assert_eq!(database.copies(), [""; 0]);
}

/// A database with a subscription cannot be dropped.
#[test]
fn the_scratch_database_of_a_subscriber_is_removed() {
    let (database, run) = at_one::<PgDatabase<'static>>();
    database.execute(
        "create subscription rehearsed connection 'host=127.0.0.1 port=1' publication nobody with (connect = false)",
    );
    let ended = run.migrations(&[TWO]).output();
    let leftovers = database.copies();
    database.execute("alter subscription rehearsed set (slot_name = none); drop subscription rehearsed");
    ended.expect_code(0).says("rehearsed on the backup");
    assert_eq!(leftovers, [""; 0]);
}
