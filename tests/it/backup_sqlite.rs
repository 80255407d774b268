//! Backups of SQLite, and what the file of a database may be instead of one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::backup::{NEXT, as_stranger, backups, last_line, manifest, manifest_path, mode, names, only, stranger};
use crate::support::binary::{Finished, Run};
use crate::support::process::{Transcript, clean_command};
use crate::support::{SOON, sqlite, wait_until};

/// A database with something in it at `app.db`, and a run that has one revision more.
pub fn with_data() -> (PathBuf, Run) {
    let run = Run::new().url("sqlite:///app.db").migrations(&[NEXT]);
    let path = run.dir().join("app.db");
    sqlite::query(&path, "create table kept (id integer primary key, note text); insert into kept values (1, 'one');");
    (path, run)
}

/// The tables that there are.
fn tables(path: &Path) -> String {
    sqlite::value(
        path,
        "select group_concat(name, ' ') from (select name from sqlite_schema where type = 'table' order by name)",
    )
}

/// A sqlite3 that keeps its connection.
pub struct Session {
    child: Child,
    said: Transcript,
}

impl Session {
    pub fn open(path: &Path) -> Self {
        let mut command = clean_command("sqlite3");
        command.args(["-batch", "-cmd", ".timeout 60000"]).arg(path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sqlite3");
        let said = Transcript::of(child.stdout.take().expect("a pipe"));
        Self { child, said }
    }

    fn send(&self, sql: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("a pipe");
        stdin.write_all(sql.as_bytes()).expect("sqlite3 listens");
    }

    /// Sends SQL and waits until it is done.
    pub fn run(&self, sql: &str) {
        self.send(&format!("{sql}\nselect 'done {0}';\n", sql.len()));
        let done = format!("done {}", sql.len());
        self.said.wait_for(SOON, |text| text.contains(&done).then_some(())).expect("an answer");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Commits rows until it is told to stop, each with a transaction of its own.
struct Writer {
    stop: Arc<AtomicBool>,
    said: Transcript,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let session = Session::open(path);
        let (stop, said) = (Arc::new(AtomicBool::new(false)), session.said.clone());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for answers in 1.. {
                session.send("insert into kept (note) values (hex(randomblob(500))) returning id;\n");
                let answered = |text: &str| (text.lines().count() >= answers).then_some(());
                session.said.wait_for(SOON, answered).expect("a committed row");
                if told.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { stop, said, thread: Some(thread) }
    }

    /// The last row that is known to be committed.
    fn committed(&self) -> i64 {
        let text = self.said.text();
        let whole = &text[..text.rfind('\n').unwrap_or(0)];
        whole.lines().last().map_or(0, |line| line.parse().expect("an id"))
    }

    fn finish(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("the thread").join().expect("the writer met no error");
    }
}

/// Case 54
#[test]
fn a_copy_beside_an_active_writer_has_every_row_that_was_committed_before() {
    let (path, run) = with_data();
    sqlite::query(
        &path,
        "pragma journal_mode = wal; with recursive n(i) as (select 2 union all select i + 1 from n where i < 20000)
         insert into kept select i, hex(randomblob(400)) from n;",
    );
    let writer = Writer::start(&path);
    wait_until("the writer writes", SOON, || writer.committed() > 20010);
    let before = writer.committed();
    let finished = run.output();
    wait_until("the writer still writes", SOON, || writer.committed() > before);
    writer.finish();
    finished.expect_code(0);
    let folder = run.dir().join("backups");
    let copy = only(&folder);
    // Nothing that the copy would need, and nothing else.
    assert_eq!(
        names(&folder),
        [copy.clone(), manifest_path(&copy)].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
    );
    // Alone, in another folder.
    let alone = run.dir().join("alone.db");
    fs::copy(&copy, &alone).expect("copy");
    assert_eq!(sqlite::value(&alone, "pragma integrity_check"), "ok");
    let rows = sqlite::rows(&alone, "select count(*), max(id) from kept");
    assert_eq!(rows[0][0], rows[0][1], "a snapshot has no gaps");
    assert!(rows[0][0].parse::<i64>().expect("a number") >= before, "{rows:?}, {before} were committed before");
    assert_eq!(tables(&alone), "kept");
    assert_eq!(tables(&path), "kept lockkeeper_history next");
}

/// Case 48
#[test]
fn a_copy_of_sqlite_has_a_complete_manifest_and_is_private() {
    let run = Run::new().url("sqlite:///data/app.db").migrations(&[("0001_kept.sql", "create table kept (id int);")]);
    run.output().expect_code(0).says("no backup: the database is empty");
    let folder = run.dir().join("data/backups");
    run.output().expect_code(0).says("nothing pending");
    assert_eq!(names(&folder), [""; 0]);
    let run = run.migrations(&[NEXT]);
    run.output().expect_code(0);
    let copy = only(&folder);
    let manifest = manifest(&copy);
    assert_eq!((mode(&copy), mode(&manifest_path(&copy))), (0o600, 0o600));
    assert_eq!(manifest["kind"], "sqlite");
    assert_eq!(manifest["database"], "app.db");
    assert_eq!((&manifest["from_revision"], &manifest["to_revision"]), (&"0001".into(), &"0002".into()));
    assert_eq!(manifest["bytes"], fs::metadata(&copy).expect("metadata").len());
    assert!(manifest["tool_version"].as_str().is_some_and(|text| text.starts_with("SQLite 3.")), "{manifest}");
    let backup =
        sqlite::value(&run.dir().join("data/app.db"), "select backup from lockkeeper_history where revision = '0002'");
    assert_eq!(copy.file_name().expect("a name").to_str(), Some(backup.as_str()));
    assert_eq!(tables(&copy), "kept lockkeeper_history");
}

/// Case 55
#[test]
fn a_file_that_is_missing_or_has_no_bytes_is_an_empty_database() {
    for zero in [false, true] {
        let run = Run::new().url("sqlite:///data/deep/app.db").migrations(&[NEXT]);
        let run = if zero { run.file("data/deep/app.db", "") } else { run };
        run.output().expect_code(0).says("no backup: the database is empty");
        let path = run.dir().join("data/deep/app.db");
        assert_eq!(tables(&path), "lockkeeper_history next");
        assert_eq!(names(&path.with_file_name("backups")), [""; 0]);
    }
}

/// The file is as it was, and there is no backup.
#[track_caller]
fn untouched(run: &Run, before: &[u8], finished: &Finished) {
    assert_eq!(fs::read(run.dir().join("app.db")).expect("the file"), before, "{finished}");
    assert_eq!(names(&run.dir().join("backups")), [""; 0], "{finished}");
    assert!(last_line(finished).contains("nothing was changed; try: "), "{finished}");
}

/// Case 55
#[test]
fn a_file_that_is_no_database_or_a_damaged_one_is_not_touched() {
    let (path, run) = with_data();
    sqlite::query(
        &path,
        "with recursive n(i) as (select 2 union all select i + 1 from n where i < 500) insert into kept select i, hex(randomblob(200)) from n;",
    );
    let good = fs::read(&path).expect("the file");
    let mut torn = good.clone();
    torn[4096 * 5..4096 * 6].fill(0x5a);
    let mut cut = good.clone();
    cut.truncate(good.len() * 6 / 10);
    for (name, bytes) in [
        ("no database", b"This is not a database, but a long enough text. ".repeat(100)),
        ("torn page", torn),
        ("cut off", cut),
    ] {
        fs::write(&path, &bytes).expect("write");
        let finished = run.output();
        finished
            .expect_code(65)
            .says("app.db")
            .says("move the file aside")
            .says("then restore the newest verified backup");
        assert!(last_line(&finished).contains("app.db: "), "{name}: {finished}");
        untouched(&run, &bytes, &finished);
    }
    fs::write(&path, good).expect("write");
    run.output().expect_code(0);
}

/// Case 55
#[test]
fn a_file_or_folder_that_may_not_be_written_is_a_missing_privilege() {
    let uid = stranger();
    for (name, path, permissions) in
        [("file", "app.db", 0o444), ("folder", "", 0o555), ("unreadable file", "app.db", 0o000)]
    {
        let (_, run) = with_data();
        let run = as_stranger(run).env("LOCKKEEPER_BACKUP_DIR", "elsewhere/backups");
        let elsewhere = run.dir().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        for owned in [run.dir().join("app.db"), elsewhere] {
            std::os::unix::fs::chown(owned, Some(uid), Some(uid)).expect("chown");
        }
        let before = fs::read(run.dir().join("app.db")).expect("the file");
        fs::set_permissions(run.dir().join(path), fs::Permissions::from_mode(permissions)).expect("chmod");
        let finished = run.output();
        fs::set_permissions(run.dir(), fs::Permissions::from_mode(0o755)).expect("chmod");
        finished.expect_code(77).says("app.db");
        assert!(last_line(&finished).contains("make the file or folder writable"), "{name}: {finished}");
        untouched(&run, &before, &finished);
    }
}

/// Case 55
#[test]
fn a_folder_in_place_of_the_file_is_a_wrong_setting() {
    let run = Run::new().url("sqlite:///app.db").migrations(&[NEXT]).file("app.db/inside", "");
    run.output().expect_code(78).says("app.db is a folder, not a database file");
    assert_eq!(names(&run.dir().join("app.db")), ["inside"]);
}

/// Case 55
#[test]
fn a_file_that_is_replaced_during_the_run_gets_nothing() {
    let (path, run) = with_data();
    let writer = Session::open(&path);
    writer.run("begin immediate;");
    let running = run.spawn();
    // It has read everything, and now waits for the writer.
    running.wait_for("backup taken and verified");
    let other = run.dir().join("other.db");
    sqlite::query(&other, "create table somebody_elses (id int);");
    let inode = fs::metadata(&other).expect("metadata").ino();
    fs::rename(&other, &path).expect("rename");
    writer.run("rollback;");
    let finished = running.finish();
    finished.expect_code(74).says("replaced by another while we ran");
    assert_eq!(fs::metadata(&path).expect("metadata").ino(), inode);
    assert_eq!(tables(&path), "somebody_elses");
    // Of the one that was.
    assert_eq!(tables(&only(&run.dir().join("backups"))), "kept");
}

/// By whatever name a database is opened, its backups lie beside that name and are listed.
#[test]
fn backups_of_a_database_behind_a_link_are_found_again() {
    let (path, run) = with_data();
    fs::create_dir(run.dir().join("real")).expect("a folder");
    fs::rename(&path, run.dir().join("real/store.db")).expect("rename");
    std::os::unix::fs::symlink("real/store.db", &path).expect("a link");
    run.output().expect_code(0);
    let copy = only(&run.dir().join("backups"));
    assert_eq!(manifest(&copy)["database"], "store.db");
    run.arg("backups").output().expect_code(0).says("verified").says(copy.file_name().unwrap().to_str().unwrap());
}

/// File systems take names of 255 bytes, and a backup adds to the name.
#[test]
fn a_name_with_spaces_and_of_any_length_gets_a_backup() {
    for name in ["with space é.db".to_owned(), format!("{}.db", "é".repeat(100))] {
        let run = Run::new().migrations(&[NEXT]);
        let path = run.dir().join(&name);
        sqlite::query(&path, "create table kept (id int);");
        let run = run.url(&format!("sqlite:///{}", name.replace(' ', "%20")));
        run.output().expect_code(0);
        assert_eq!(backups(&run.dir().join("backups")).len(), 1, "{name}");
        run.clone().arg("backups").output().expect_code(0).says(": 1 code=0").says("verified ");
    }
}
