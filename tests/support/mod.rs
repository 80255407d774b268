//! The helpers of the integration tests.
//!
//! Everything started here ends with the test process, even when that is killed, and leaves no files behind.

// // Each module offers what tests are likely to need, not only what they use today.
#![allow(dead_code, unused_macros)]

pub mod archiving;
pub mod binary;
pub mod chart;
pub mod database;
#[macro_use]
pub mod either;
pub mod guarded;
pub mod guide;
pub mod kill;
pub mod lease;
pub mod ledger;
pub mod manifests;
pub mod migration_tools;
pub mod object_store;
pub mod other_tools;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod scripted;
pub mod session;
pub mod sqlite;
pub mod template;
pub mod tls;
pub mod tools;

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use tempfile::TempDir;

/// Default timeout for everything that normally takes a moment. It is generous, since a busy machine is slow.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The tables of DevOps Hub.
pub const TABLES: [&str; 7] = [
    "agents",
    "api_keys",
    "documentation_examples",
    "documentation_guides",
    "events",
    "workflow_executions",
    "workflows",
];

/// Waits until `fact` holds. Panics with `what` when `limit` has passed.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for this: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the text that `read` returns contains `text`. Panics with the last text when that takes too long.
#[track_caller]
pub fn wait_for_text(place: &str, text: &str, mut read: impl FnMut() -> String) {
    let start = Instant::now();
    loop {
        let text_so_far = read();
        if text_so_far.contains(text) {
            return;
        }
        assert!(start.elapsed() < DEFAULT_TIMEOUT, "{text:?} does not come up in {place}, which has\n{text_so_far}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns a name that no other test uses, in this process or another, for a database, a role or a file.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{number}", std::process::id())
}

/// Returns a TCP port on loopback on which nothing listens. The port stays reserved for this process, so a server may
/// start there later, stop, and start again.
pub fn free_port() -> u16 {
    // Below the range from which the kernel picks the ports of outgoing connections (32768 and up).
    const FIRST: u16 = 15000;
    const COUNT: u16 = 17000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

    // An abstract socket per port keeps test processes that run at the same time apart. It leaves no file, and it belongs to
    // the same network namespace as the port.
    let start = (std::process::id() as u16).wrapping_mul(61) % COUNT;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let name = format!("lockkeeper-test-port-{port}");
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        let Ok(claim) = UnixListener::bind_addr(&address) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            CLAIMS.lock().expect("claims").push(claim);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Creates a temporary directory. It is removed when dropped, and at the latest when the test process has ended.
pub fn temporary_directory(prefix: &str) -> TempDir {
    directory_in(&scratch().disk, prefix)
}

/// Creates a temporary directory for the files of a server, in memory where there is enough of it: a server consists of a
/// thousand files, which take seconds on some disks.
pub fn server_directory(prefix: &str) -> TempDir {
    directory_in(&scratch().memory, prefix)
}

fn directory_in(parent: &Path, prefix: &str) -> TempDir {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).expect("a temporary directory");
    // The mode does not depend on the umask: servers run as another user, and some tests run lockkeeper as a third one.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
    directory
}

/// The root directories of all files of this test process.
struct Scratch {
    disk: PathBuf,
    memory: PathBuf,
    _janitor: Child,
}

fn scratch() -> &'static Scratch {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        // Servers run as another user and read files that are written here, whatever umask the tests were started with.
        rustix::process::umask(Mode::from_raw_mode(0o022));
        // A socket's path has to stay under 108 bytes.
        let parent = Some(std::env::temp_dir()).filter(|path| path.as_os_str().len() < 50 && others_may_enter(path));
        let disk = directory_in(&parent.unwrap_or_else(|| "/tmp".into()), "lk").keep();
        let memory = match has_room(Path::new("/dev/shm")) {
            true => directory_in(Path::new("/dev/shm"), "lk").keep(),
            false => disk.clone(),
        };
        let _janitor = start_janitor(&disk, &memory);
        Scratch { disk, memory, _janitor }
    })
}

/// Returns whether other users may enter the directory. Tests that run as root need that: some run lockkeeper as another
/// user.
fn others_may_enter(directory: &Path) -> bool {
    let opens = |directory: &Path| fs::metadata(directory).is_ok_and(|facts| facts.permissions().mode() & 0o1 != 0);
    !rustix::process::geteuid().is_root() || directory.ancestors().all(opens)
}

/// Returns whether the directory's file system has enough space: containers often have a small /dev/shm, or none.
fn has_room(directory: &Path) -> bool {
    const ENOUGH: u64 = 2 << 30;
    rustix::fs::statvfs(directory).is_ok_and(|facts| facts.f_bavail * facts.f_frsize >= ENOUGH)
        && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Starts a process that removes the directories when this process ends, however it ends: the standard input of the janitor
/// reaches its end then. Servers may still be shutting down and writing, so the janitor retries for a while.
fn start_janitor(disk: &Path, memory: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        n=0
        while { [ -e "$1" ] || [ -e "$2" ]; } && [ $n -lt 100 ]; do rm -rf "$1" "$2"; n=$((n + 1)); sleep 0.1; done
    "#;
    Command::new("sh")
        .args(["-c", SCRIPT, "lockkeeper-test-janitor"])
        .args([disk, memory])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A process group of its own: a Ctrl-C that is meant for the tests must not stop it.
        .process_group(0)
        .spawn()
        .expect("cannot start sh")
}
