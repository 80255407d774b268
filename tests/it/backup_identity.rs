//! Retention tells databases apart that share a name and a place, as two containers see them: nobody's last backup is
//! retired by somebody else's run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::backup::{backups, manifest, manifest_path};
use crate::contract::{ONE, ends, run_on};
use crate::restore::{name, restore};
use crate::restore_postgres::Relatives;
use crate::support::binary::Run;
use crate::support::either::{Database, SqliteFile};
use crate::support::postgres::{PASSWORD, Postgres, Setup, quoted};
use crate::support::process::must_run;
use crate::support::{sqlite, temporary_folder, unique};

/// The run, which keeps one backup, in a folder that others use as well.
fn keeping_one(run: Run, folder: &Path) -> Run {
    run.env("LOCKKEEPER_BACKUP_KEEP", "1").env("LOCKKEEPER_BACKUP_DIR", folder.display().to_string())
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

/// `app@db:5432` in two namespaces: their backups say the same but for the id. Both servers are copies of one, and so have
/// even the identifier of the server in common.
#[test]
fn servers_of_one_name_with_databases_of_one_name_keep_each_others_backups() {
    let (one, two) = (Postgres::start(Setup::default()), Postgres::start(Setup::default()));
    let folder = temporary_folder("shared");
    let mut first: Option<PathBuf> = None;
    for server in [&one, &two] {
        let database = server.database_named("app");
        database.execute("create table kept (id int)");
        let run = keeping_one(Run::new().url(&database.url()), folder.path());
        for _ in 0..2 {
            ends(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
        }
        let taken = backups(folder.path());
        match &first {
            None => {
                assert_eq!(taken.len(), 1, "its own are retired: {taken:?}");
                first = taken.first().cloned();
            }
            Some(first) => {
                // As both would be seen from their containers.
                let newest = taken.iter().find(|backup| *backup != first).expect("another one");
                edit(first, "source", Some(manifest(newest)["source"].clone()));
                ends(&run.clone().arg("backup"), 0, &[]);
                let taken = backups(folder.path());
                assert_eq!(taken.len(), 2, "{taken:?}");
                assert!(taken.contains(first));
                let restored = ends(&restore(&run, &name(first)).arg("--yes"), 0, &["restored"]);
                restored.says("taken of another database that has the same name at ");
            }
        }
    }
}

/// A database that was dropped: its backups are all that is left of it.
#[test]
fn a_database_made_anew_keeps_the_backups_of_the_one_before() {
    let server = Postgres::shared();
    let database = server.database("identity");
    let _relatives = Relatives(&database);
    let folder = temporary_folder("shared");
    let run = keeping_one(run_on(&database, &[ONE]), folder.path()).env("LOCKKEEPER_BACKUP", "required");
    ends(&run, 0, &[]);
    ends(&run.clone().arg("backup"), 0, &[]);
    let before = backups(folder.path());
    let db = quoted(database.name());
    server.execute(&format!("drop database {db}"));
    server.execute(&format!("create database {db}"));
    ends(&run, 0, &[]);
    for _ in 0..2 {
        ends(&run.clone().arg("backup"), 0, &[]).says("are never deleted: 1");
    }
    let after = backups(folder.path());
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.contains(&before[0]));
    let restored = ends(&restore(&run, &name(&before[0])).arg("--yes"), 0, &["restored"]);
    restored.says("taken of another database that has the same name at ");
}

/// A restored database has another OID, and is the same to its user: its backups go on being retired. Without a comment
/// that we may write, the OID is all there is.
#[test]
fn a_restored_database_is_the_same_as_before() {
    let database = Postgres::shared().database("identity");
    let _relatives = Relatives(&database);
    let folder = temporary_folder("shared");
    let run = keeping_one(run_on(&database, &[ONE]), folder.path());
    ends(&run, 0, &[]);
    ends(&run.clone().arg("backup"), 0, &[]);
    let before = backups(folder.path()).remove(0);
    let restored = ends(&restore(&run, &name(&before)).arg("--yes"), 0, &["restored"]);
    restored.silent_about("another database that has the same name");
    ends(&run.clone().arg("backup"), 0, &[]).silent_about("are never deleted");
    assert_eq!(backups(folder.path()).len(), 1);

    let other = Postgres::shared().database("identity");
    let _relatives = Relatives(&other);
    other.execute(&format!("comment on database {} is 'the one'", quoted(other.name())));
    let folder = temporary_folder("shared");
    let run = keeping_one(run_on(&other, &[ONE]), folder.path());
    ends(&run, 0, &[]);
    for _ in 0..2 {
        ends(&run.clone().arg("backup"), 0, &[]);
    }
    let before = backups(folder.path());
    assert_eq!(before.len(), 1);
    ends(&restore(&run, &name(&before[0])).arg("--yes"), 0, &["restored"]);
    ends(&run.clone().arg("backup"), 0, &[]).says("are never deleted: 1");
    assert!(backups(folder.path()).contains(&before[0]));
    let comment = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()";
    assert_eq!(other.value(comment), "the one");
}

/// A role that may not ask for the server's identifier, and manifests of before there were ids.
#[test]
fn what_has_no_id_is_never_retired_and_can_be_restored() {
    let server = Postgres::start(Setup::default());
    let database = server.database("identity");
    let folder = temporary_folder("shared");
    let run = keeping_one(Run::new().url(&database.url()).migrations(&[ONE]), folder.path());
    ends(&run, 0, &[]);
    ends(&run.clone().arg("backup"), 0, &[]);
    let old = backups(folder.path()).remove(0);
    edit(&old, "database_id", None);
    for _ in 0..2 {
        ends(&run.clone().arg("backup"), 0, &[]);
    }
    assert_eq!(backups(folder.path()).len(), 2);
    ends(&restore(&run, &name(&old)).arg("--yes"), 0, &["restored"]);

    let role = unique("plain");
    server.execute(&format!("create role {role} login password '{}'", PASSWORD));
    database.execute(&format!(
        "grant all on all tables in schema public to {role}; grant all on schema public to {role};
         revoke execute on function pg_control_system() from public"
    ));
    let before = backups(folder.path()).len();
    let plain = run.url(&database.url_as(&role, PASSWORD));
    for _ in 0..2 {
        ends(&plain.clone().arg("backup"), 0, &[]);
    }
    assert_eq!(backups(folder.path()).len(), before + 2);
    database.execute(&format!("drop owned by {role}"));
    server.execute(&format!("drop role {role}"));
}

/// The same path in two containers, one volume for the backups.
#[test]
fn files_of_one_path_keep_each_others_backups_and_a_restored_one_is_the_same() {
    let (database, folder) = (SqliteFile::create("identity"), temporary_folder("shared"));
    let run = keeping_one(run_on(&database, &[ONE]), folder.path());
    let take = || {
        ends(&run.clone().arg("backup"), 0, &[]);
        backups(folder.path())
    };
    ends(&run, 0, &[]);
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
        let restored = ends(&restore(&run, &name(&first[0])).arg("--yes"), 0, &["restored"]);
        restored.silent_about("another database that has the same name");
        for backup in backups(folder.path()).iter().filter(|backup| **backup != first[0]) {
            if id(backup) == id(&first[0]) {
                fs::remove_file(backup).expect("remove");
            }
        }
    }
    // The restored file has inherited the id: its backups go on being retired.
    let ours = id(&first[0]);
    take();
    let taken = take();
    assert_eq!(taken.iter().filter(|backup| id(backup) == ours).count(), 1, "{taken:?}");
    assert_eq!(taken.len(), 3);
}

/// A container that fails again and again puts its backup back each time: that must not fill the disk with backups.
#[test]
fn a_run_that_puts_its_backup_back_again_and_again_keeps_its_retention() {
    let database = SqliteFile::create("identity");
    let run = run_on(&database, &[ONE]).env("LOCKKEEPER_BACKUP", "required");
    ends(&run, 0, &[]);
    let run = run.migrations(&[("0002_two.up.sql", "create table two (a);"), ("0003_bad.up.sql", "fail;")]);
    let folder = run.dir().join("safe");
    let run = run
        .env("LOCKKEEPER_ON_FAILURE", "restore")
        .env("LOCKKEEPER_BACKUP_DIR", "safe")
        .env("LOCKKEEPER_BACKUP_KEEP", "2");
    for _ in 0..4 {
        ends(&run, 80, &["was put back"]);
    }
    assert_eq!(backups(&folder).len(), 2);
}
