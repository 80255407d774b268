//! Tests of backups in a bucket: written without a volume, read back, listed, kept, restored; a store that refuses, cuts
//! connections and changes what it has got; runs that are killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::backup::{NEXT, last_line, names};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::kill::Kills;
use crate::support::object_store::{Fault, FaultyStore, Message, ObjectStore, SECRET, TestBucket};
use crate::support::postgres::Postgres;
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

/// Creates a database with some rows, and a run on it with one pending revision.
fn with_rows<'a>(bucket: &TestBucket) -> (PgDatabase<'a>, Run) {
    let database = Postgres::shared().database("objects");
    database.execute("create table kept (id int primary key, note text); insert into kept values (1, 'one')");
    let run = bucket.settings(Run::new().url(&database.url()).migrations(&[NEXT]));
    (database, run)
}

/// As [`with_rows`], on SQLite.
fn with_sqlite(bucket: &TestBucket) -> Run {
    let run = bucket.settings(Run::new().url("sqlite:///app.db").migrations(&[NEXT]));
    let sql = "create table kept (id integer primary key, note text); insert into kept values (1, 'one');";
    sqlite::query(&run.dir().join("app.db"), sql);
    run
}

fn is_part(method: &str, path: &str) -> bool {
    method == "PUT" && path.contains("partNumber=")
}

#[test]
fn an_archive_of_several_parts_is_sent_without_a_file_and_restored() {
    let bucket = ObjectStore::shared().bucket();
    let database = Postgres::shared().database("objects");
    // Text that compresses by half only: it fills more than two parts.
    database.execute(
        "create table kept (id int primary key, note text);
         insert into kept select i, (select string_agg(md5(random()::text || i || j), '') from generate_series(1, 320) j)
         from generate_series(1, 4000) i",
    );
    let store = FaultyStore::start(|_, _| None);
    let run = bucket.settings_through(Run::new().url(&database.url()).migrations(&[NEXT]), store.port);
    let finished = run.output();
    finished.expect_code(0).says("backup taken and verified: s3://").does_not_say(SECRET);
    let name = bucket.only();
    let parts: BTreeSet<String> =
        store.requests.lock().expect("requests").iter().filter(|line| line.contains("partNumber=")).cloned().collect();
    assert!(parts.len() > 2, "{parts:?}");
    assert_eq!(names(run.dir()), ["migrations"]);
    let manifest = bucket.manifest(&name);
    assert_eq!(manifest["bytes"], bucket.objects()[&name]);
    assert_eq!(manifest["run"], "succeeded");
    assert_eq!(manifest["rows"]["public.kept"], 4000);
    let listed = run.clone().arg("backups").output();
    listed.expect_code(0).says("verified ").says(&format!("{}/{name}", bucket.url()));

    let sum = "select md5(string_agg(note, '' order by id)) from kept";
    let before = database.value(sum);
    database.execute("delete from kept");
    run.clone().args(["restore", &name, "--yes"]).output().expect_code(0).says(&name);
    assert_eq!(database.value(sum), before);
    assert_eq!(database.value("select to_regclass('next') is null"), "t");
    database.execute("delete from kept");
    let url = format!("{}/{name}", bucket.url());
    let elsewhere = run.clone().env("LOCKKEEPER_BACKUP_DIR", "local").args(["restore", &url, "--yes", "--in-place"]);
    elsewhere.output().expect_code(0).says(&url);
    assert_eq!(database.value(sum), before);
}

#[test]
fn a_copy_of_sqlite_is_sent_and_put_back() {
    let bucket = ObjectStore::shared().bucket();
    let run = with_sqlite(&bucket).env("LOCKKEEPER_ON_FAILURE", "restore");
    let temporary = run.dir().join("temporary");
    std::fs::create_dir(&temporary).expect("a directory");
    let run = run.env("TMPDIR", temporary.to_str().expect("a plain path"));
    let path = run.dir().join("app.db");
    run.output().expect_code(0).does_not_say(SECRET);
    let name = bucket.only();
    assert!(name.ends_with(".db"), "{name}");
    sqlite::query(&path, "delete from kept");
    run.clone().args(["restore", &name, "--yes"]).output().expect_code(0);
    assert_eq!(sqlite::value(&path, "select note from kept"), "one");
    // A script without a transaction leaves something to put back.
    let broken = "-- lockkeeper:no-transaction\ncreate table half (id int);\nselect nothing from nowhere;";
    let failed = run.clone().migrations(&[("0003_broken.sql", broken)]).output();
    failed.says("was put back");
    assert_eq!(sqlite::value(&path, "select count(*) from sqlite_schema where name in ('half', 'next')"), "0");
    assert_eq!(names(&temporary), Vec::<String>::new());
}

#[test]
fn a_rehearsal_runs_on_the_backup_in_the_bucket() {
    let bucket = ObjectStore::shared().bucket();
    let (database, run) = with_rows(&bucket);
    run.env("LOCKKEEPER_REHEARSE", "true").output().expect_code(0).says("rehearsed on the backup");
    assert_eq!(database.value("select count(*) from next"), "0");
    let run = with_sqlite(&ObjectStore::shared().bucket());
    run.env("LOCKKEEPER_REHEARSE", "true").output().expect_code(0).says("rehearsed on the backup");
}

#[test]
fn old_backups_are_deleted_and_what_is_not_ours_stays() {
    let bucket = ObjectStore::shared().bucket();
    let (database, run) = with_rows(&bucket);
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "2").arg("backup");
    let foreign = format!("{}-20200101T000000Z-from-0001.dump", database.name());
    bucket.put(&foreign, b"somebody's");
    bucket.put("readme.txt", b"text");
    let mut taken = Vec::new();
    for _ in 0..4 {
        run.output().expect_code(0);
        let name = bucket.backups().into_iter().find(|name| !taken.contains(name)).expect("a new backup");
        taken.push(name);
    }
    let kept: BTreeSet<String> = bucket.backups().into_iter().collect();
    assert_eq!(kept, taken[2..].iter().cloned().collect());
    let objects = bucket.objects();
    assert_eq!(objects.len(), 6, "{objects:?}");
    assert!(objects.contains_key(&foreign) && objects.contains_key("readme.txt"), "{objects:?}");
    let list = listed(&bucket, &database);
    let verified: Vec<bool> = list.iter().map(|entry| entry["verified"].as_bool().expect("a bool")).collect();
    assert_eq!(verified, [false, true, true], "{list:?}");
}

fn listed(bucket: &TestBucket, database: &PgDatabase<'_>) -> Vec<serde_json::Value> {
    let run = bucket.settings(Run::new().url(&database.url()));
    let listed = run.args(["backups", "--json"]).output();
    listed.expect_code(0);
    let document: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    document.as_array().expect("a list").clone()
}

#[test]
fn a_store_that_refuses_ends_the_run_before_any_change() {
    let bucket = ObjectStore::shared().bucket();
    let (database, run) = with_rows(&bucket);
    for (is_refused, permission) in [
        ((|method, path| method == "GET" && path.contains("list-type")) as fn(&str, &str) -> bool, "s3:ListBucket"),
        (|method, path| method == "POST" && path.contains("uploads"), "s3:PutObject"),
        (|method, path| method == "GET" && path.contains(".dump"), "s3:GetObject"),
        (|method, path| method == "PUT" && path.contains(".json"), "s3:PutObject"),
    ] {
        let store = FaultyStore::start(move |method, path| {
            is_refused(method, path).then_some(Fault::Refuse(403, "AccessDenied"))
        });
        let finished = bucket.settings_through(run.clone(), store.port).output();
        finished.expect_code(73).says("AccessDenied by the test").says(permission).does_not_say(SECRET);
        assert!(last_line(&finished).contains("grant the permission"), "{finished}");
        assert_eq!(bucket.backups(), Vec::<String>::new(), "{permission}");
    }
    let finished = run.clone().env("LOCKKEEPER_BACKUP_DIR", "s3://there-is-none/prod").output();
    finished.expect_code(73).says("NoSuchBucket");
    assert!(last_line(&finished).contains("create the bucket"), "{finished}");
    assert_eq!(database.value("select to_regclass('next') is null"), "t");
}

#[test]
fn a_part_whose_connection_is_cut_is_sent_again() {
    let bucket = ObjectStore::shared().bucket();
    let (database, run) = with_rows(&bucket);
    let cut = AtomicBool::new(false);
    let store = FaultyStore::start(move |method, path| {
        let is_first = is_part(method, path) && !cut.swap(true, Ordering::SeqCst);
        is_first.then_some(Fault::Cut)
    });
    bucket.settings_through(run, store.port).output().expect_code(0);
    bucket.only();
    assert_eq!(database.value("select count(*) from next"), "0");
}

#[test]
fn parts_that_never_arrive_end_the_run_and_leave_nothing() {
    let bucket = ObjectStore::shared().bucket();
    let (_database, run) = with_rows(&bucket);
    let store = FaultyStore::start(|method, path| is_part(method, path).then_some(Fault::Cut));
    let finished = bucket.settings_through(run, store.port).output();
    finished.expect_code(73).says("cannot be written").within(Duration::from_secs(60));
    assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
    let requests = store.requests.lock().expect("requests");
    assert!(requests.iter().any(|line| line.starts_with("DELETE") && line.contains("uploadId")), "{requests:?}");
}

#[test]
fn an_object_that_is_not_what_was_sent_is_no_backup() {
    for change in [(|answer| answer.body[0] ^= 1) as fn(&mut Message), |answer| {
        let whole = format!("ontent-Length: {}", answer.body.len());
        answer.body.truncate(100);
        answer.head = answer.head.replace(&whole, "ontent-Length: 100");
    }] {
        let bucket = ObjectStore::shared().bucket();
        let (database, run) = with_rows(&bucket);
        let store = FaultyStore::start(move |method, path| {
            (method == "GET" && path.contains(".dump")).then_some(Fault::Change(change))
        });
        let finished = bucket.settings_through(run, store.port).output();
        finished.expect_code(85).says("SHA-256");
        assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
        assert_eq!(database.value("select to_regclass('next') is null"), "t");
    }
}

#[test]
fn a_backup_that_was_changed_in_the_bucket_is_not_restored() {
    let bucket = ObjectStore::shared().bucket();
    let (database, run) = with_rows(&bucket);
    run.output().expect_code(0);
    let name = bucket.only();
    let mut content = bucket.get(&name);
    let last = content.len() - 1;
    content[last] ^= 1;
    bucket.put(&name, &content);
    let restore = |name: &str| run.clone().args(["restore", name, "--yes"]).output();
    restore(&name).expect_code(85).says("its SHA-256 is");
    bucket.delete(&format!("{name}.json"));
    restore(&name).expect_code(85).says("nothing vouches for");
    restore("none.dump").expect_code(64).says("there is no such backup");
    assert_eq!(database.value("select count(*) from next"), "0");
}

#[test]
fn runs_that_are_killed_leave_no_backup_and_the_next_one_succeeds() {
    let bucket = ObjectStore::shared().bucket();
    let (_database, run) = with_rows(&bucket);
    let run = run.arg("backup").env("LOCKKEEPER_BACKUP_KEEP", "100");
    let start = Instant::now();
    run.output().expect_code(0);
    let undisturbed = start.elapsed();
    let mut kills = Kills::new(6);
    while kills.has_moments_left() {
        kills.converge(&run, undisturbed);
    }
    // Whatever has a manifest is whole; what has none is no backup.
    for name in bucket.backups() {
        assert_eq!(bucket.manifest(&name)["bytes"], bucket.objects()[&name], "{name}{kills}");
    }

    // A day later, as the store tells the time, a run removes what has no manifest.
    let unfinished = bucket.objects().keys().filter(|name| name.ends_with(".dump")).count() - bucket.backups().len();
    let store = FaultyStore::start(|method, path| {
        (method == "GET" && path.contains("list-type")).then_some(Fault::Change(|answer| {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let year = text.split_once("<LastModified>").map_or("none", |(_, rest)| &rest[..4]);
            answer.body = text.replace(&format!("<LastModified>{year}"), "<LastModified>2020").into_bytes();
        }))
    });
    let later = bucket.settings_through(run, store.port).output();
    later.expect_code(0);
    assert_eq!(later.stderr.matches("removed what a stopped run left").count(), unfinished, "{later}");
    assert_eq!(bucket.objects().len(), 2 * bucket.backups().len(), "{:?}", bucket.objects());
}

#[test]
fn a_signal_and_the_time_limit_end_an_upload_that_hangs() {
    let bucket = ObjectStore::shared().bucket();
    let (_database, run) = with_rows(&bucket);
    let store = FaultyStore::start(|method, path| {
        if is_part(method, path) {
            thread::park();
        }
        None
    });
    let run = bucket.settings_through(run, store.port);
    let running = run.spawn();
    wait_until("a part is sent", DEFAULT_TIMEOUT, || {
        store.requests.lock().expect("requests").iter().any(|line| line.contains("partNumber="))
    });
    running.signal(Signal::TERM);
    running.finish().expect_code(143);
    let late = run.env("LOCKKEEPER_BACKUP_TIMEOUT", "1s").output();
    late.expect_code(84).says("LOCKKEEPER_BACKUP_TIMEOUT");
    assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
}

#[test]
fn a_url_that_is_wrong_is_refused_before_anything() {
    for (url, reason) in [
        ("s3://", "there is no bucket in it"),
        ("s3://user:word@bucket", "has no login"),
        ("gs://bucket/a//b", "a part of its prefix is empty"),
    ] {
        Run::new()
            .env("LOCKKEEPER_BACKUP_DIR", url)
            .output()
            .expect_code(78)
            .says(reason)
            .says("LOCKKEEPER_BACKUP_DIR");
    }
}
