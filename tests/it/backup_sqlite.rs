//! Tests of backups of SQLite, and of files that are no database.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::backup::{NEXT, as_other_user, backups, last_line, manifest, manifest_path, mode, names, only, other_uid};
use crate::support::binary::{Finished, Run};
use crate::support::process::{Transcript, clean_command};
use crate::support::{DEFAULT_TIMEOUT, sqlite, wait_until};

/// Creates a database with rows at `app.db`, and a run with one pending revision.
pub fn with_data() -> (PathBuf, Run) {
    let run = Run::new().url("sqlite:///app.db").migrations(&[NEXT]);
    let path = run.dir().join("app.db");
    sqlite::query(&path, "create table kept (id integer primary key, note text); insert into kept values (1, 'one');");
    (path, run)
}

/// Returns the names of the tables.
fn tables(path: &Path) -> String {
    sqlite::value(
        path,
        "select group_concat(name, ' ') from (select name from sqlite_schema where type = 'table' order by name)",
    )
}

/// A sqlite3 process that keeps its connection open.
pub struct Session {
    child: Child,
    output: Transcript,
}

impl Session {
    pub fn open(path: &Path) -> Self {
        let mut command = clean_command("sqlite3");
        command.args(["-batch", "-cmd", ".timeout 60000"]).arg(path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sqlite3");
        let output = Transcript::read_from(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    fn send(&self, sql: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("a pipe");
        stdin.write_all(sql.as_bytes()).expect("sqlite3 listens");
    }

    /// Sends SQL and waits until it has run.
    pub fn run(&self, sql: &str) {
        self.send(&format!("{sql}\nselect 'done {0}';\n", sql.len()));
        let done = format!("done {}", sql.len());
        self.output.wait_for(DEFAULT_TIMEOUT, |text| text.contains(&done).then_some(())).expect("an answer");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Commits rows until it is stopped, each in a transaction of its own.
struct Writer {
    stop: Arc<AtomicBool>,
    output: Transcript,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let session = Session::open(path);
        let (stop, output) = (Arc::new(AtomicBool::new(false)), session.output.clone());
        let stop_requested = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for answers in 1.. {
                session.send("insert into kept (note) values (hex(randomblob(500))) returning id;\n");
                let answered = |text: &str| (text.lines().count() >= answers).then_some(());
                session.output.wait_for(DEFAULT_TIMEOUT, answered).expect("a committed row");
                if stop_requested.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { stop, output, thread: Some(thread) }
    }

    /// Returns the last row that is known to be committed.
    fn committed(&self) -> i64 {
        let text = self.output.text();
        let complete_lines = &text[..text.rfind('\n').unwrap_or(0)];
        complete_lines.lines().last().map_or(0, |line| line.parse().expect("an id"))
    }

    fn finish(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("the thread").join().expect("the writer met no error");
    }
}

/// A copy contains every row that was committed before it began, although an application writes meanwhile.
#[test]
fn a_copy_has_every_row_that_an_active_writer_committed_before_it() {
    let (path, run) = with_data();
    sqlite::query(
        &path,
        "pragma journal_mode = wal; with recursive n(i) as (select 2 union all select i + 1 from n where i < 20000)
         insert into kept select i, hex(randomblob(400)) from n;",
    );
    let writer = Writer::start(&path);
    wait_until("the writer writes", DEFAULT_TIMEOUT, || writer.committed() > 20010);
    let before = writer.committed();
    let finished = run.output();
    wait_until("the writer still writes", DEFAULT_TIMEOUT, || writer.committed() > before);
    writer.finish();
    finished.expect_code(0);
    let directory = run.dir().join("backups");
    let copy = only(&directory);
    // The backup consists of one file and the manifest.
    assert_eq!(
        names(&directory),
        [copy.clone(), manifest_path(&copy)].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
    );
    // The copy is opened in another directory, without any other file.
    let alone = run.dir().join("alone.db");
    fs::copy(&copy, &alone).expect("copy");
    assert_eq!(sqlite::value(&alone, "pragma integrity_check"), "ok");
    let rows = sqlite::rows(&alone, "select count(*), max(id) from kept");
    assert_eq!(rows[0][0], rows[0][1], "a snapshot has no gaps");
    assert!(rows[0][0].parse::<i64>().expect("a number") >= before, "{rows:?}, {before} were committed before");
    assert_eq!(tables(&alone), "kept");
    assert_eq!(tables(&path), "kept lockkeeper_history next");
}

/// The manifest is complete, and the files are readable for their owner alone.
#[test]
fn a_copy_of_sqlite_has_a_complete_manifest_and_is_private() {
    let run = Run::new().url("sqlite:///data/app.db").migrations(&[("0001_kept.sql", "create table kept (id int);")]);
    run.output().expect_code(0).says("no backup: the database is empty");
    let directory = run.dir().join("data/backups");
    run.output().expect_code(0).says("nothing pending");
    assert_eq!(names(&directory), [""; 0]);
    let run = run.migrations(&[NEXT]);
    run.output().expect_code(0);
    let copy = only(&directory);
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

/// A missing or empty file is an empty database and needs no backup.
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

/// Expects that the file is unchanged and that there is no backup.
#[track_caller]
fn expect_untouched(run: &Run, before: &[u8], finished: &Finished) {
    assert_eq!(fs::read(run.dir().join("app.db")).expect("the file"), before, "{finished}");
    assert_eq!(names(&run.dir().join("backups")), [""; 0], "{finished}");
    assert!(last_line(finished).contains("nothing was changed; try: "), "{finished}");
}

/// A file that is no database, or a damaged one, is not written to.
#[test]
fn a_file_that_is_no_database_or_a_damaged_one_is_not_touched() {
    let (path, run) = with_data();
    sqlite::query(
        &path,
        "with recursive n(i) as (select 2 union all select i + 1 from n where i < 500) insert into kept select i, hex(randomblob(200)) from n;",
    );
    let valid_content = fs::read(&path).expect("the file");
    let mut torn = valid_content.clone();
    torn[4096 * 5..4096 * 6].fill(0x5a);
    let mut cut = valid_content.clone();
    cut.truncate(valid_content.len() * 6 / 10);
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
        expect_untouched(&run, &bytes, &finished);
    }
    fs::write(&path, valid_content).expect("write");
    run.output().expect_code(0);
}

/// A file or directory without write permission is a missing privilege.
#[test]
fn a_file_or_directory_that_may_not_be_written_is_a_missing_privilege() {
    let uid = other_uid();
    for (name, path, permissions) in
        [("file", "app.db", 0o444), ("directory", "", 0o555), ("unreadable file", "app.db", 0o000)]
    {
        let (_, run) = with_data();
        let run = as_other_user(run).env("LOCKKEEPER_BACKUP_DIR", "elsewhere/backups");
        let other_directory = run.dir().join("elsewhere");
        fs::create_dir(&other_directory).expect("a directory");
        for owned in [run.dir().join("app.db"), other_directory] {
            std::os::unix::fs::chown(owned, Some(uid), Some(uid)).expect("chown");
        }
        let before = fs::read(run.dir().join("app.db")).expect("the file");
        fs::set_permissions(run.dir().join(path), fs::Permissions::from_mode(permissions)).expect("chmod");
        let finished = run.output();
        fs::set_permissions(run.dir(), fs::Permissions::from_mode(0o755)).expect("chmod");
        finished.expect_code(77).says("app.db");
        assert!(last_line(&finished).contains("make the file or directory writable"), "{name}: {finished}");
        expect_untouched(&run, &before, &finished);
    }
}

/// A directory at the path of the database is a configuration error.
#[test]
fn a_directory_in_place_of_the_file_is_a_configuration_error() {
    let run = Run::new().url("sqlite:///app.db").migrations(&[NEXT]).file("app.db/inside", "");
    run.output().expect_code(78).says("app.db is a directory, not a database file");
    assert_eq!(names(&run.dir().join("app.db")), ["inside"]);
}

/// A file that is replaced while the run works is not written to.
#[test]
fn a_file_that_is_replaced_during_the_run_gets_nothing() {
    let (path, run) = with_data();
    let writer = Session::open(&path);
    writer.run("begin immediate;");
    let running = run.spawn();
    // It has read everything and waits for the writer.
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
    // Rows of the file that was replaced.
    assert_eq!(tables(&only(&run.dir().join("backups"))), "kept");
}

/// The backups of a database are next to the name by which it was opened, and are listed under it.
#[test]
fn backups_of_a_database_behind_a_link_are_found_again() {
    let (path, run) = with_data();
    fs::create_dir(run.dir().join("real")).expect("a directory");
    fs::rename(&path, run.dir().join("real/store.db")).expect("rename");
    std::os::unix::fs::symlink("real/store.db", &path).expect("a link");
    run.output().expect_code(0);
    let copy = only(&run.dir().join("backups"));
    assert_eq!(manifest(&copy)["database"], "store.db");
    run.arg("backups").output().expect_code(0).says("verified").says(copy.file_name().unwrap().to_str().unwrap());
}

/// File systems accept names of 255 bytes, and a backup adds to the name.
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
