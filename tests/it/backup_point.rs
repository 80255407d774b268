//! Tests of backups by a restore point: with real servers that archive their log, and recoveries to the point.

use rustix::process::Signal;

use crate::backup::{NEXT, last_line, script, with_data};
use crate::support::archiving::{ArchivingServer, copy_to};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::kill::Kills;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Creates a database with a table and rows, and a run with one pending revision, which is backed up by a point.
fn with_rows<'s>(server: &'s Postgres, name: &str) -> (PgDatabase<'s>, Run) {
    let database = server.database(name);
    database.execute("create table kept (id int primary key, note text); insert into kept values (1, 'one');");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "point").migrations(&[NEXT]);
    (database, run)
}

/// Returns the name of the restore point that a run has logged.
#[track_caller]
fn point_of(finished: &Finished) -> String {
    let (_, rest) = finished.stderr.split_once("restore point lockkeeper-").unwrap_or_else(|| panic!("{finished}"));
    format!("lockkeeper-{}", rest.split_whitespace().next().expect("a name"))
}

fn tables(database: &PgDatabase) -> String {
    database.value("select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'")
}

#[track_caller]
fn expect_untouched(database: &PgDatabase, finished: &Finished) {
    assert_eq!(tables(database), "kept", "{finished}");
    assert!(last_line(finished).contains("nothing was changed; try: "), "{finished}");
    finished.does_not_say(PASSWORD);
}

/// The base backup with the archived log is exactly the database before the change, and nothing of the change.
#[test]
fn a_recovery_to_the_point_is_the_old_revision_with_its_rows() {
    let archiving = ArchivingServer::start();
    let (database, run) = with_rows(&archiving.server, "point");
    let run = run.migrations(&[("0001_first.sql", "create table first (id int); insert into first values (7);")]);
    let base_command = run.dir().join("base is there");
    script(&base_command, "echo 'the base backup of today' && exit 0");
    let run = run.arg("--backup-base-command").arg(format!("'{}' --today", base_command.display()));
    run.clone().arg("upgrade").arg("0001").output().expect_code(0);
    let base = archiving.base_backup();
    database.execute("insert into kept values (2, 'after the base backup')");
    let change = "alter table kept drop column note; delete from kept; update first set id = 8;";
    let run = run.migrations(&[("0003_change.sql", change)]);
    let finished = run.output();
    finished.expect_code(0).says("the base backup of today").does_not_say("WAL only").does_not_say(PASSWORD);
    let point = point_of(&finished);
    assert!(point.contains("-from-0001") && point.len() <= 63, "{point}");
    assert!(last_line(&finished).contains(&point), "{finished}");
    let recorded = database.value("select distinct backup from lockkeeper_history where revision = '0003'");
    assert!(recorded.contains(&point), "{recorded}");
    database.execute("insert into kept values (9)");
    archiving.server.execute("select pg_switch_wal()");

    let recovered = archiving.recover_to(&base, &point);
    let old = PgDatabase::new(&recovered, database.name());
    assert_eq!(old.query("select id, note from kept order by id"), "1|one\n2|after the base backup\n");
    assert_eq!(old.query("select id from first"), "7\n");
    assert_eq!(old.query("select revision, state from lockkeeper_history"), "0001|applied\n");
    assert_eq!(tables(&old), "first kept lockkeeper_history");
    // The same release migrates what was recovered.
    run.url(&old.url()).env("LOCKKEEPER_BACKUP", "off").output().expect_code(0);
    assert_eq!(tables(&old), "first kept lockkeeper_history next");
}

/// Each run has a point of its own name, also on a server on which nothing else happens; a run that fails says how to go
/// back.
#[test]
fn a_failed_run_names_the_recovery_target() {
    let archiving = ArchivingServer::start();
    let (database, run) = with_rows(&archiving.server, "point_failed");
    let finished = run.output();
    finished.expect_code(0).says("WAL only: no base backup was confirmed");
    assert!(last_line(&finished).contains("WAL only: no base backup was confirmed"), "{finished}");
    let failing = run.migrations(&[
        ("0003_part.sql", "create table part (id int);"),
        ("0004_failing.sql", "insert into nowhere values (1);"),
    ]);
    let failed = failing.output();
    failed.expect_code(80);
    let (first, second) = (point_of(&finished), point_of(&failed));
    assert_ne!(first, second);
    assert!(last_line(&failed).contains(&format!("recovery_target_name = '{second}'")), "{failed}");
    assert!(failing.output().expect_code(80).stderr.contains("restore point lockkeeper-"));
    assert_eq!(tables(&database), "kept lockkeeper_history next part");
}

/// A run waits for an archive that is repaired meanwhile.
#[test]
fn an_archive_that_is_repaired_is_waited_for() {
    let archiving = ArchivingServer::start_with(|_| "archive_command = 'false'".into());
    let (database, run) = with_rows(&archiving.server, "point_repaired");
    let running = run.spawn();
    running.wait_for("the archiver of the server fails: it could not archive 0000000100000000");
    assert_eq!(tables(&database), "kept");
    archiving.set_archive_command(&copy_to(&archiving.archive()));
    let finished = running.finish();
    finished.expect_code(0).says(" is archived");
    let segment = finished.stderr.split("in the segment ").nth(1).expect("a segment")[..24].to_owned();
    assert!(archiving.archive().join(&segment).exists(), "{segment}: {finished}");
    assert_eq!(tables(&database), "kept lockkeeper_history next");
}

/// The label of a backup that is archived after the segment hides it in the statistics: another segment shows it.
#[test]
fn a_base_backup_that_is_taken_meanwhile_does_not_hide_the_segment() {
    let archiving = ArchivingServer::start_with(|_| "archive_command = 'false'".into());
    let (database, run) = with_rows(&archiving.server, "point_hidden");
    let running = run.spawn();
    running.wait_for("the archiver of the server fails");
    archiving.base_backup_without_archive();
    archiving.set_archive_command(&copy_to(&archiving.archive()));
    running.finish().expect_code(0);
    assert_eq!(tables(&database), "kept lockkeeper_history next");
    let label = "select count(*) from pg_ls_dir('pg_wal/archive_status') where pg_ls_dir like '%.backup.done'";
    assert_eq!(archiving.server.query(label), "1\n");
}

/// Without proof there is no change. Signals and a lost session end the wait.
#[test]
fn an_archive_that_never_works_stops_the_run_before_any_change() {
    let archiving = ArchivingServer::start_with(|_| "archive_command = 'false'".into());
    let (database, run) = with_rows(&archiving.server, "point_never");
    let failing = "select failed_count > 0 from pg_stat_archiver";
    archiving.server.execute("select pg_switch_wal()");
    wait_until("the archiver fails", DEFAULT_TIMEOUT, || archiving.server.query(failing) == "t\n");
    let finished = run.clone().env("LOCKKEEPER_BACKUP_TIMEOUT", "2s").output();
    finished.expect_code(85).says("was not archived within 2s: the archiver failed last with 0000000100000000");
    assert!(last_line(&finished).contains("SELECT * FROM pg_stat_archiver"), "{finished}");
    expect_untouched(&database, &finished);

    let running = run.spawn();
    running.wait_for("restore point lockkeeper-");
    running.signal(Signal::TERM);
    let stopped = running.finish();
    expect_untouched(&database, stopped.expect_code(143));

    let running = run.spawn();
    running.wait_for("restore point lockkeeper-");
    archiving.server.terminate_all(database.name());
    let lost = running.finish();
    expect_untouched(&database, lost.expect_code(69));
    database.expect_no_session();
}

/// The archiver may be a library, and reports nothing else than with a command.
#[test]
fn an_archive_library_is_an_archive() {
    let library = "archive_library = 'basic_archive'\narchive_command = ''";
    let archiving = ArchivingServer::start_with(|archive| {
        format!("{library}\nbasic_archive.archive_directory = '{}'", archive.display())
    });
    let (database, run) = with_rows(&archiving.server, "point_library");
    run.output().expect_code(0).says(" is archived");
    assert_eq!(tables(&database), "kept lockkeeper_history next");
}

/// A server that archives nothing can be backed up in another way.
#[test]
fn a_server_without_an_archive_needs_another_way() {
    let (database, run) = with_data("point_off");
    let finished = run.clone().env("LOCKKEEPER_BACKUP", "point").output();
    finished.expect_code(84).says("the server does not archive its write-ahead log: archive_mode is off");
    expect_untouched(&database, &finished);
    run.env("LOCKKEEPER_BACKUP", "point,dump").output().expect_code(0).says("archive_mode is off").says("verified: ");
    let empty = ArchivingServer::start_with(|_| "archive_command = ''".into());
    let (database, run) = with_rows(&empty.server, "point_empty");
    let finished = run.output();
    expect_untouched(&database, finished.expect_code(84).says("archive_command and archive_library are empty"));
}

/// A missing privilege is found before anything is written, and the statement in the message gives it.
#[test]
fn a_role_without_the_functions_gets_the_statement_that_grants_them() {
    let archiving = ArchivingServer::start();
    let (database, run) = with_rows(&archiving.server, "point_role");
    let role = "point \"role\"";
    archiving.server.execute("create role \"point \"\"role\"\"\" login password 'canary-of-role'");
    database.execute("grant all on schema public to \"point \"\"role\"\"\"; grant select on kept to public");
    let run = run.url(&database.url_as(role, "canary-of-role"));
    let segment = "select pg_walfile_name(pg_current_wal_lsn())";
    let before = archiving.server.query(segment);
    let finished = run.output();
    finished.expect_code(77).says("a restore point needs the privilege to execute").does_not_say("canary");
    expect_untouched(&database, &finished);
    assert_eq!(archiving.server.query(segment), before);
    let (_, grant) = last_line(&finished).split_once("GRANT EXECUTE").expect("a GRANT");
    let (grant, _) = grant.split_once("; ").expect("the end of the GRANT");
    database.execute(&format!("GRANT EXECUTE{grant}"));
    run.output().expect_code(0);
    assert_eq!(tables(&database), "kept lockkeeper_history next");
}

/// Nothing is changed unless the base command has confirmed that there is a base backup.
#[test]
fn a_base_command_that_fails_stops_the_run_before_any_change() {
    let archiving = ArchivingServer::start();
    let (database, run) = with_rows(&archiving.server, "point_base");
    let run = run.env("BACKUP_PASSWORD", "canary-of-base");
    for (command, code, words) in [
        (
            "sh -c 'echo no base backup; echo canary-of-base >&2; exit 3'",
            84,
            "sh: it ended with the exit code 3: *** no",
        ),
        ("/nowhere/program", 84, "program: it could not be started: No such file"),
        ("sh -c 'kill -9 $$'", 84, "sh: signal 9 has killed it"),
        ("sh -c 'echo", 78, "LOCKKEEPER_BACKUP_BASE_COMMAND: a quote or a backslash has no end"),
    ] {
        let finished = run.clone().env("LOCKKEEPER_BACKUP_BASE_COMMAND", command).output();
        finished.expect_code(code).says(words).does_not_say("canary").does_not_say("restore point lockkeeper-");
        assert_eq!(tables(&database), "kept", "{finished}");
    }
    let limit = run.clone().env("LOCKKEEPER_BACKUP_TIMEOUT", "1s");
    let finished = limit.env("LOCKKEEPER_BACKUP_BASE_COMMAND", "sleep 600").output();
    expect_untouched(&database, finished.expect_code(84).says("it took longer than LOCKKEEPER_BACKUP_TIMEOUT"));
}

#[test]
fn sqlite_has_no_restore_points() {
    let run = Run::new().migrations(&[NEXT]);
    run.env("LOCKKEEPER_BACKUP", "point").output().expect_code(78).says("SQLite has no restore points");
}

/// A killed run leaves a point at most, and the next run does all the work.
#[test]
fn killed_runs_converge() {
    let archiving = ArchivingServer::start();
    let (reference, run) = with_rows(&archiving.server, "point_kill");
    let undisturbed = run.output();
    undisturbed.expect_code(0);
    let expected = (tables(&reference), reference.query("select revision, state from lockkeeper_history"));
    let mut kills = Kills::new(6);
    while kills.has_moments_left() {
        let (database, run) = with_rows(&archiving.server, "point_kill");
        kills.converge(&run, undisturbed.elapsed);
        let state = (tables(&database), database.query("select revision, state from lockkeeper_history"));
        assert_eq!(state, expected, "{kills}");
    }
}
