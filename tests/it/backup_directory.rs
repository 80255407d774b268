//! Tests of the backup directory: its place, its content, retention, and a full disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::Value;

use crate::backup::{
    NEXT, as_other_user, backups, expect_unchanged, last_line, manifest, names, only, other_uid, with_data,
};
use crate::support::binary::{Finished, Run};
use crate::support::kill::{repetitions, seed};
use crate::support::postgres::{PASSWORD, Postgres, url};
use crate::support::process::{clean_command, must_run, run_with_input};
use crate::support::{sqlite, temporary_directory, unique};

/// No name of a database is used as a path, whatever the database is called.
#[test]
fn a_database_of_any_name_gets_a_safe_file_name() {
    let server = Postgres::shared();
    let unusual_name = unique("../a b=c;é\"x");
    let database = server.database_named(&unusual_name);
    database.execute("create table kept (id int)");
    let run = Run::new().url(&database.url()).migrations(&[NEXT]);
    run.output().expect_code(0);
    let backup = only(&run.dir().join("backups"));
    let name = backup.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with(".._a_b_c_é_x_"), "{name}");
    assert_eq!(manifest(&backup)["database"], unusual_name);
    run.arg("backups").output().expect_code(0).says("verified").says(&name);
}

/// `backup` takes a backup whatever is pending, and `backups` lists the backups without asking the server.
#[test]
fn backup_takes_a_backup_and_backups_lists_all() {
    let (database, run) = with_data("backup_list");
    let list = run.clone().arg("backups");
    let none = list.output();
    none.expect_code(0).says("backups of ").says(": 0 code=0");
    assert_eq!(none.stdout, "");
    fs::create_dir(run.dir().join("backups")).expect("a directory");
    assert_eq!(list.clone().arg("--json").output().expect_code(0).stdout.trim(), "[]");

    let taken = run.clone().arg("backup").env("LOCKKEEPER_BACKUP", "off").output();
    let directory = run.dir().join("backups");
    let first = only(&directory);
    let name = first.file_name().expect("a name").to_string_lossy().into_owned();
    taken.expect_code(0).says(&format!("backup taken and verified: backups/{name}")).does_not_say(PASSWORD);
    assert_eq!(database.value("select to_regclass('lockkeeper_history') is null"), "t", "backup changes nothing");
    run.output().expect_code(0);
    let second = backups(&directory).into_iter().find(|backup| *backup != first).expect("two");
    // The second backup has lost a byte since.
    let bytes = fs::read(&second).expect("a backup");
    fs::write(&second, &bytes[1..]).expect("write");
    fs::write(directory.join("of another tool.dump"), "").expect("write");

    let offline = list.url(&url("nobody", PASSWORD, 1, database.name()));
    let text = offline.output();
    text.expect_code(0).does_not_say(PASSWORD);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("unverified  backups/"), "{text}");
    assert!(lines[1].starts_with("verified    20") && lines[1].ends_with(&name), "{text}");
    assert!(last_line(&text).contains(": 2 code=0"), "{text}");
    let json = offline.arg("--json").output();
    let rows: Value = serde_json::from_str(&json.expect_code(0).stdout).expect("JSON");
    assert_eq!((&rows[0]["verified"], &rows[0]["manifest"]), (&Value::Bool(false), &Value::Null));
    assert_eq!((&rows[1]["verified"], &rows[1]["manifest"]["file"]), (&Value::Bool(true), &Value::from(name)));
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
}

/// `backup` reports a missing tool too, and an empty database needs none.
#[test]
fn backup_of_an_empty_database_reports_that_there_is_nothing_to_save() {
    let database = Postgres::shared().database("backup_nothing");
    let run = Run::new().url(&database.url()).arg("backup");
    run.output().expect_code(0).says("no backup: the database is empty");
    assert_eq!(names(&run.dir().join("backups")), [""; 0]);
    database.execute("create table kept (id int)");
    run.env("LOCKKEEPER_PG_DUMP", "/nowhere").output().expect_code(84).says("was not found");
}

/// LOCKKEEPER_BACKUP_DIR may be relative to the working directory or absolute, and the directory is created.
#[test]
fn the_directory_may_be_relative_or_absolute_and_is_created() {
    let elsewhere = temporary_directory("elsewhere");
    let absolute = elsewhere.path().join("a/b");
    for (name, value) in [("relative", "x/y"), ("absolute", absolute.to_str().expect("UTF-8"))] {
        let (_database, run) = with_data(&format!("backup_{name}"));
        let run = run.env("LOCKKEEPER_BACKUP_DIR", value);
        let finished = run.output();
        let backup = only(&run.dir().join(value));
        finished.expect_code(0).says(&format!("{value}/"));
        assert!(last_line(&finished).contains(backup.file_name().expect("a name").to_str().expect("UTF-8")));
        assert!(!run.dir().join("backups").exists());
    }
}

/// Directories that cannot be written, for whatever reason.
#[test]
fn a_directory_that_cannot_be_written_stops_the_run_before_any_change() {
    let uid = other_uid().to_string();
    for (name, obstacle) in [
        ("read-only", "mkdir backups; chmod 555 backups"),
        ("another's", "mkdir backups; chmod 700 backups; chown 0 backups"),
        ("a file", "touch backups"),
        ("a dead link", "ln -s nowhere/at/all backups"),
        ("below a file", "touch file; ln -s file/backups backups"),
        ("not to be made", "rm -rf backups; chmod 555 ."),
    ] {
        if name == "another's" && !rustix::process::geteuid().is_root() {
            continue;
        }
        let (path, run) = crate::backup_sqlite::with_data();
        // The database may be written; its backups are elsewhere.
        let run = as_other_user(run).env("LOCKKEEPER_BACKUP_DIR", "place/backups");
        let place = run.dir().join("place");
        fs::create_dir(&place).expect("a directory");
        for path in [&path, &place] {
            chown(path, Some(other_uid()), Some(other_uid())).expect("chown");
        }
        let mut command = clean_command("sh");
        command.args(["-ec", obstacle]).current_dir(&place);
        // When root creates the directories they belong to root: only their modes matter then.
        must_run(command);
        if name == "read-only" {
            chown(place.join("backups"), Some(other_uid()), Some(other_uid())).expect("chown");
        }
        let finished = run.output();
        finished.expect_code(73).says("place/backups").says(&format!("cannot be written by uid {uid}"));
        assert!(last_line(&finished).contains("set LOCKKEEPER_BACKUP_DIR"), "{name}: {finished}");
        assert!(last_line(&finished).contains("nothing was changed"), "{name}: {finished}");
        assert_eq!(sqlite::value(&path, "select group_concat(name) from sqlite_schema"), "kept", "{name}");
        if place.join("backups").is_dir() {
            assert_eq!(names(&place.join("backups")), [""; 0], "{name}");
        }
        let _ = fs::set_permissions(&place, fs::Permissions::from_mode(0o755));
    }
}

/// Runs with a directory `backups` of `bytes` bytes in a mount namespace of its own, so that nothing stays mounted however
/// the test ends. The files that remain in the directory are on the last line of stdout. Without the right to mount, the
/// size of a file is limited instead.
fn with_small_directory(run: &Run, bytes: u64) -> Run {
    const MOUNTED: &str = r#"
        mount -t tmpfs -o size="$0" none backups || exit
        "$@"; code=$?
        echo "left:" $(ls -A backups); exit $code
    "#;
    let mount = mount_namespace();
    let bytes = bytes.to_string();
    let mut prefix = vec!["unshare"];
    match can_mount(&mount) {
        true => prefix.extend(mount.into_iter().chain(["sh", "-c", MOUNTED, &bytes])),
        false => {
            prefix = vec![
                "sh",
                "-c",
                r#"prlimit --fsize="$0" "$@"; code=$?; echo "left:" $(ls -A backups); exit $code"#,
                &bytes,
            ]
        }
    }
    fs::create_dir_all(run.dir().join("backups")).expect("a directory");
    run.clone().under(prefix)
}

/// Returns the command that runs another one in a mount namespace of its own.
fn mount_namespace() -> Vec<&'static str> {
    match rustix::process::geteuid().is_root() {
        true => vec!["--mount"],
        false => vec!["--mount", "--map-root-user"],
    }
}

/// Returns whether a file system can be mounted. Otherwise a limit for the size of a file replaces it, which holds for
/// the database too.
fn can_mount(namespace: &[&str]) -> bool {
    let mut probe = clean_command("unshare");
    probe.args(namespace).args(["sh", "-c", "mount -t tmpfs none /mnt"]);
    run_with_input(probe, "").status.success()
}

/// Expects exit code 73, no file in the directory, and both numbers in the message.
#[track_caller]
fn expect_no_space(finished: &Finished) {
    finished.expect_code(73).does_not_say(PASSWORD);
    let line = last_line(finished);
    assert!(line.contains("bytes free, the backup may need ") && line.contains("nothing was changed"), "{finished}");
    assert!(line.contains("set LOCKKEEPER_BACKUP_DIR"), "{finished}");
    assert_eq!(finished.stdout.trim(), "left:", "{finished}");
}

/// The disk is too small from the start, or becomes full at the end of the copy or of its manifest.
#[test]
fn a_disk_that_is_full_at_any_byte_keeps_sqlite_unchanged() {
    let (path, run) = crate::backup_sqlite::with_data();
    sqlite::query(
        &path,
        "with recursive n(i) as (select 2 union all select i + 1 from n where i < 300) insert into kept select i, hex(randomblob(100)) from n;",
    );
    let size = fs::metadata(&path).expect("metadata").len();
    let (mut refused, mut room) = (0, size / 2);
    if !can_mount(&mount_namespace()) {
        for room in [size / 2, size - 1] {
            expect_no_space(&with_small_directory(&run, room).output());
        }
        run.output().expect_code(0);
        return;
    }
    loop {
        let finished = with_small_directory(&run, room).output();
        if finished.code == Some(0) {
            break;
        }
        expect_no_space(&finished);
        assert_eq!(sqlite::value(&path, "select group_concat(name) from sqlite_schema"), "kept");
        assert!(room < size * 3, "so much room must do: {finished}");
        refused += 1;
        // Page by page from the point where the copy alone would fit.
        room = if room < size { size } else { room + 4096 };
    }
    assert!(refused >= 2, "the copy needs more than its own size: {refused}");
    assert_eq!(sqlite::value(&path, "select count(*) from next"), "0");
}

/// pg_dump runs out of space, and the database is unchanged.
#[test]
fn a_disk_that_fills_up_while_pg_dump_writes_keeps_the_database_unchanged() {
    let (database, run) = with_data("backup_full");
    // Text that does not compress.
    database.execute("insert into kept select i, (select string_agg(md5(random()::text), '') from generate_series(1, 30) where i > 0) from generate_series(2, 1500) i");
    for room in [0x1000, 0x3_0000, 0x6_0000] {
        let finished = with_small_directory(&run, room).output();
        expect_no_space(&finished);
        expect_unchanged(&database, &finished);
    }
    with_small_directory(&run, 0x100_0000).output().expect_code(0);
}

/// Wherever the disk becomes full, byte by byte or page by page, there is a complete backup under its final name and
/// the change, or neither. LOCKKEEPER_TEST_KILLS sets how many bytes are tried, LOCKKEEPER_TEST_SEED repeats them.
#[test]
fn a_disk_that_is_full_at_a_random_byte_leaves_a_whole_backup_or_none() {
    let mut random = fastrand::Rng::with_seed(seed());
    let rows = "insert into kept select i, (select string_agg(md5(random()::text), '') from generate_series(1, 30) where i > 0) from generate_series(2, 600) i";
    let (database, postgres) = with_data("backup_random");
    database.execute(rows);
    let (path, sqlite) = crate::backup_sqlite::with_data();
    sqlite::query(
        &path,
        "with recursive n(i) as (select 2 union all select i + 1 from n where i < 600) insert into kept select i, hex(randomblob(400)) from n;",
    );
    for run in [postgres, sqlite] {
        let taken = run.clone().arg("backup").output();
        let bytes: u64 = taken
            .expect_code(0)
            .stderr
            .split("bytes=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .expect("a size");
        let directory = run.dir().join("backups");
        fs::remove_dir_all(&directory).expect("remove it");
        for _ in 0..repetitions(3) {
            // A quota, which can end at any byte.
            let room = random.u64(1..bytes);
            let finished = run.clone().under(["prlimit", &format!("--fsize={room}"), "--"]).output();
            finished.expect_code(73).says("bytes free, the backup may need").does_not_say(PASSWORD);
            assert_eq!(names(&directory), [""; 0], "room for {room} of {bytes}: {finished}");
            // A file system of whole pages, with enough room for what a run checks before it begins.
            let room = random.u64(bytes / 2..bytes * 2);
            let finished = with_small_directory(&run.clone().arg("backup"), room).output();
            match finished.code {
                Some(0) => {
                    let remaining: Vec<&str> =
                        finished.stdout.lines().last().unwrap_or_default().split_whitespace().collect();
                    assert!(
                        matches!(remaining[..], ["left:", file, manifest] if manifest == format!("{file}.json")),
                        "{finished}"
                    );
                }
                _ => expect_no_space(&finished),
            }
        }
        run.output().expect_code(0);
        only(&directory);
    }
}

/// A limit for the size of a file is a quota that everybody can set. It ends a process that does not handle it.
#[test]
fn a_file_size_limit_is_reported_like_a_full_disk() {
    let (database, run) = with_data("backup_limit");
    database.execute("insert into kept select i, (select string_agg(md5(random()::text), '') from generate_series(1, 30) where i > 0) from generate_series(2, 500) i");
    let (path, small) = crate::backup_sqlite::with_data();
    sqlite::query(&path, "insert into kept values (2, hex(randomblob(200000)))");
    for run in [&run, &small] {
        let finished = run.clone().under(["prlimit", "--fsize=65536", "--"]).output();
        finished.expect_code(73).says("bytes free, the backup may need").says("file size limit");
        assert!(last_line(&finished).contains("nothing was changed"), "{finished}");
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{finished}");
    }
    assert_eq!(database.value("select to_regclass('next') is null"), "t");
    assert_eq!(sqlite::value(&path, "select group_concat(name) from sqlite_schema"), "kept");
}
