//! Tests of retention with databases that share a name and a place, as two containers see them: no run retires the last
//! backup of another database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::backup::{backups, manifest, manifest_path};
use crate::contract::{ONE, expect_end, run_on};
use crate::restore::{name, restore};
use crate::restore_postgres::KeptDatabases;
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres, Setup, quoted};
use crate::support::process::must_run;
use crate::support::{sqlite, temporary_directory, unique};

/// Runs with one backup to keep, in a directory that other databases use as well.
fn keeping_one(run: Run, directory: &Path) -> Run {
    run.env("LOCKKEEPER_BACKUP_KEEP", "1").env("LOCKKEEPER_BACKUP_DIR", directory.display().to_string())
}

/// Changes a field of a manifest.
fn edit(backup: &Path, key: &str, value: Option<Value>) {
    let mut edited = manifest(backup);
    let fields = edited.as_object_mut().expect("an object");
    match value {
        Some(value) => drop(fields.insert(key.into(), value)),
        None => drop(fields.remove(key)),
    }
    fs::write(manifest_path(backup), edited.to_string()).expect("write");
}

fn id(backup: &Path) -> String {
    manifest(backup)["database_id"].as_str().expect("an id").to_owned()
}

/// `app@db:5432` in two namespaces: the manifests differ only in the id. Both servers are copies of one, so that even
/// the server's system identifier is the same.
#[test]
fn servers_with_equal_host_and_database_names_keep_each_others_backups() {
    let (one, two) = (Postgres::start(Setup::default()), Postgres::start(Setup::default()));
    let directory = temporary_directory("shared");
    let mut first: Option<PathBuf> = None;
    for server in [&one, &two] {
        let database = server.database_named("app");
        database.execute("create table kept (id int)");
        let run = keeping_one(Run::new().url(&database.url()), directory.path());
        for _ in 0..2 {
            expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
        }
        let taken = backups(directory.path());
        match &first {
            None => {
                assert_eq!(taken.len(), 1, "its own are retired: {taken:?}");
                first = taken.first().cloned();
            }
            Some(first) => {
                // The URL of both as their containers see them.
                let newest = taken.iter().find(|backup| *backup != first).expect("another one");
                edit(first, "source", Some(manifest(newest)["source"].clone()));
                expect_end(&run.clone().arg("backup"), 0, &[]);
                let taken = backups(directory.path());
                assert_eq!(taken.len(), 2, "{taken:?}");
                assert!(taken.contains(first));
                let restored = expect_end(&restore(&run, &name(first)).arg("--yes"), 0, &["restored"]);
                restored.says("taken of another database that has the same name at ");
            }
        }
    }
}

/// The backups of a dropped database are all that is left of it.
#[test]
fn a_recreated_database_keeps_the_backups_of_the_previous_one() {
    let server = Postgres::shared();
    let database = server.database("identity");
    let _relatives = KeptDatabases(&database);
    let directory = temporary_directory("shared");
    let run = keeping_one(run_on(&database, &[ONE]), directory.path()).env("LOCKKEEPER_BACKUP", "required");
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let before = backups(directory.path());
    let db = quoted(database.name());
    server.execute(&format!("drop database {db}"));
    server.execute(&format!("create database {db}"));
    expect_end(&run, 0, &[]);
    for _ in 0..2 {
        expect_end(&run.clone().arg("backup"), 0, &[]).says("are never deleted: 1");
    }
    let after = backups(directory.path());
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.contains(&before[0]));
    let restored = expect_end(&restore(&run, &name(&before[0])).arg("--yes"), 0, &["restored"]);
    restored.says("taken of another database that has the same name at ");
}

/// A restored database has another OID but is the same to its user: its backups are retired as before. Without the
/// right to write a comment, only the OID identifies it.
#[test]
fn a_restored_database_is_the_same_as_before() {
    let database = Postgres::shared().database("identity");
    let _relatives = KeptDatabases(&database);
    let directory = temporary_directory("shared");
    let run = keeping_one(run_on(&database, &[ONE]), directory.path());
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let before = backups(directory.path()).remove(0);
    let restored = expect_end(&restore(&run, &name(&before)).arg("--yes"), 0, &["restored"]);
    restored.does_not_say("another database that has the same name");
    expect_end(&run.clone().arg("backup"), 0, &[]).does_not_say("are never deleted");
    assert_eq!(backups(directory.path()).len(), 1);

    let other = Postgres::shared().database("identity");
    let _relatives = KeptDatabases(&other);
    other.execute(&format!("comment on database {} is 'the one'", quoted(other.name())));
    let directory = temporary_directory("shared");
    let run = keeping_one(run_on(&other, &[ONE]), directory.path());
    expect_end(&run, 0, &[]);
    for _ in 0..2 {
        expect_end(&run.clone().arg("backup"), 0, &[]);
    }
    let before = backups(directory.path());
    assert_eq!(before.len(), 1);
    expect_end(&restore(&run, &name(&before[0])).arg("--yes"), 0, &["restored"]);
    expect_end(&run.clone().arg("backup"), 0, &[]).says("are never deleted: 1");
    assert!(backups(directory.path()).contains(&before[0]));
    let comment = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()";
    assert_eq!(other.value(comment), "the one");
}

/// A role that may not read the server's identifier, and manifests that are older than ids.
#[test]
fn backups_without_an_id_are_never_deleted_and_can_be_restored() {
    let server = Postgres::start(Setup::default());
    let database = server.database("identity");
    let directory = temporary_directory("shared");
    let run = keeping_one(Run::new().url(&database.url()).migrations(&[ONE]), directory.path());
    expect_end(&run, 0, &[]);
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let old = backups(directory.path()).remove(0);
    edit(&old, "database_id", None);
    for _ in 0..2 {
        expect_end(&run.clone().arg("backup"), 0, &[]);
    }
    assert_eq!(backups(directory.path()).len(), 2);
    expect_end(&restore(&run, &name(&old)).arg("--yes"), 0, &["restored"]);

    let role = unique("plain");
    server.execute(&format!("create role {role} login password '{}'", PASSWORD));
    database.execute(&format!(
        "grant all on all tables in schema public to {role}; grant all on schema public to {role};
         revoke execute on function pg_control_system() from public"
    ));
    let before = backups(directory.path()).len();
    let plain = run.url(&database.url_as(&role, PASSWORD));
    for _ in 0..2 {
        expect_end(&plain.clone().arg("backup"), 0, &[]);
    }
    assert_eq!(backups(directory.path()).len(), before + 2);
    database.execute(&format!("drop owned by {role}"));
    server.execute(&format!("drop role {role}"));
}

/// Two containers have the same path, and one volume for the backups.
#[test]
fn files_with_equal_paths_keep_each_others_backups_and_a_restored_file_counts_as_the_same() {
    let (database, directory) = (SqliteFile::create("identity"), temporary_directory("shared"));
    let run = keeping_one(run_on(&database, &[ONE]), directory.path());
    let take = || {
        expect_end(&run.clone().arg("backup"), 0, &[]);
        backups(directory.path())
    };
    expect_end(&run, 0, &[]);
    take();
    let first = take();
    assert_eq!(first.len(), 1, "its own are retired: {first:?}");

    // Another volume at that path, with a file of its own, or with a copy that has even the attributes.
    let elsewhere = database.path.with_extension("elsewhere");
    for (copy, count) in [(false, 2), (true, 3)] {
        fs::rename(&database.path, &elsewhere).expect("rename");
        match copy {
            true => drop(must_run({
                let mut command = Command::new("cp");
                command.arg("-a").args([&elsewhere, &database.path]);
                command
            })),
            false => drop(sqlite::query(&database.path, "create table other (a);")),
        }
        take();
        let taken = take();
        assert_eq!(taken.len(), count, "{taken:?}");
        assert!(taken.contains(&first[0]));
        fs::rename(&elsewhere, &database.path).expect("rename");
        let restored = expect_end(&restore(&run, &name(&first[0])).arg("--yes"), 0, &["restored"]);
        restored.does_not_say("another database that has the same name");
        for backup in backups(directory.path()).iter().filter(|backup| **backup != first[0]) {
            if id(backup) == id(&first[0]) {
                fs::remove_file(backup).expect("remove");
            }
        }
    }
    // The restored file has inherited the id: its backups are retired as before.
    let own_id = id(&first[0]);
    take();
    let taken = take();
    assert_eq!(taken.iter().filter(|backup| id(backup) == own_id).count(), 1, "{taken:?}");
    assert_eq!(taken.len(), 3);
}

/// A container that fails again and again restores its backup each time: that must not fill the disk with backups.
#[test]
fn a_run_that_restores_its_backup_again_and_again_respects_retention() {
    let database = SqliteFile::create("identity");
    let run = run_on(&database, &[ONE]).env("LOCKKEEPER_BACKUP", "required");
    expect_end(&run, 0, &[]);
    let run = run.migrations(&[("0002_two.up.sql", "create table two (a);"), ("0003_bad.up.sql", "fail;")]);
    let directory = run.dir().join("safe");
    let run = run
        .env("LOCKKEEPER_ON_FAILURE", "restore")
        .env("LOCKKEEPER_BACKUP_DIR", "safe")
        .env("LOCKKEEPER_BACKUP_KEEP", "2");
    for _ in 0..4 {
        expect_end(&run, 80, &["was put back"]);
    }
    assert_eq!(backups(&directory).len(), 2);
}
