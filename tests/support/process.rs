//! Child processes: servers that die with the tests, tools that answer, and what a child has said so far.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A command that inherits nothing but PATH, and whose working folder everybody may read.
pub fn clean_command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", search_path()).env("LANG", "C.UTF-8").current_dir("/");
    command
}

/// PATH with the folders where Debian keeps pgbouncer.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into()))
}

/// `program`, run as the user that servers run as: PostgreSQL and pgbouncer refuse to run as root.
pub fn server_command(program: impl AsRef<Path>, settings: &[&str]) -> Command {
    let mut command = clean_command("setpriv");
    command.args(settings);
    if let Some(user) = server_user() {
        let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
        command.args(["--reuid", &uid, "--regid", &gid, "--init-groups"]);
    }
    command.arg("--").arg(program.as_ref());
    command
}

/// A command that becomes the one given to it, and sees a disk of so many bytes mounted at `folder`, which is the
/// server's. Nobody else sees it, and it goes with the last process that does.
pub fn with_small_disk(folder: &Path, bytes: u64) -> Command {
    let mut command = clean_command("unshare");
    let mount = r#"mount -t tmpfs -o "$0" none "$1" && shift && exec "$@""#;
    match server_user() {
        Some(User { uid, gid }) => {
            let options = format!("size={bytes},mode=700,uid={uid},gid={gid}");
            command.args(["--mount", "sh", "-c", mount, &options]).arg(folder);
        }
        // Whoever may not mount may do so in a namespace where it is root; PostgreSQL must not think that it is.
        None => {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            command.args(["--mount", "--map-root-user", "sh", "-c", mount, &format!("size={bytes},mode=700")]);
            command.arg(folder).args(["unshare", "--user"]);
            command.args([format!("--map-user={uid}"), format!("--map-group={gid}")]);
        }
    }
    command
}

/// Makes the server's user the owner of `path`.
pub fn give_to_server_user(path: &Path) {
    if let Some(user) = server_user() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
    }
}

struct User {
    uid: u32,
    gid: u32,
}

/// The user that servers run as when the tests run as root; otherwise they run as the tests do.
fn server_user() -> Option<&'static User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    USER.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let user = users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&"postgres"))
                .then(|| User { uid: fields[2].parse().expect("a uid"), gid: fields[3].parse().expect("a gid") })
        });
        Some(user.expect("no user named postgres: run tests/install"))
    })
    .as_ref()
}

/// A running server. It gets its last signal when it is dropped, and when the test process ends.
pub struct Daemon {
    child: Child,
    last_signal: Signal,
}

impl Daemon {
    /// Starts `program`; what it says is appended to the file `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path, last_signal: Signal) -> Self {
        Self::start_under(None, program, arguments, log, last_signal)
    }

    /// The same, started by another command that becomes the program.
    pub fn start_under(
        outer: Option<Command>,
        program: &Path,
        arguments: &[&str],
        log: &Path,
        last_signal: Signal,
    ) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let name = match last_signal {
            Signal::QUIT => "QUIT",
            Signal::KILL => "KILL",
            other => panic!("no name for {other:?}"),
        };
        let mut command = server_command(program, &["--pdeathsig", name]);
        if let Some(mut outer) = outer {
            outer.arg(command.get_program()).args(command.get_args());
            command = outer;
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle on the log"))
            .stderr(log);
        Self { child: spawn_from_lasting_thread(command), last_signal }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Sends `signal` and waits for the end.
    pub fn end_with(&mut self, signal: Signal) {
        send_signal(self.pid(), signal);
        assert!(
            wait_for_exit(&mut self.child, super::SOON).is_some(),
            "the server {} did not end on {signal:?}",
            self.pid()
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Not SIGKILL at once: PostgreSQL would leave shared memory behind.
        send_signal(self.pid(), self.last_signal);
        if wait_for_exit(&mut self.child, Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The kernel sends the death signal when the *thread* that started the child ends. Tests' threads end early, so one
/// thread that lasts as long as the process starts all servers.
fn spawn_from_lasting_thread(command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let name = format!("{command:?}");
    let (reply, answer) = channel();
    spawner.lock().expect("spawner").send((command, reply)).expect("the spawning thread");
    answer.recv().expect("the spawning thread").unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}

/// Sends a signal; a process that is gone already is no mistake.
pub fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process id");
    let _ = kill_process(pid, signal);
}

/// Waits for the end of `child`, at most `limit`.
pub fn wait_for_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return Some(status);
        }
        if start.elapsed() >= limit {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a tool to its end with `input` on its stdin.
pub fn run_with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a piped stdin");
    thread::scope(|scope| {
        // Beside the reading, so that neither side waits for the other. A tool may stop reading early.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("the output")
    })
}

/// Runs a tool to its end and returns what it printed; panics with what it said if it failed.
#[track_caller]
pub fn must_run(command: Command) -> String {
    let name = format!("{command:?}");
    let output = run_with_input(command, "");
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where PostgreSQL's `name` is: Debian keeps most of its programs off the PATH.
pub fn postgres_program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            if let Some(folder) = std::env::var_os("LOCKKEEPER_TEST_PGBIN") {
                return folder.into();
            }
            let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            let newest = versions
                .filter(|entry| entry.path().join("bin/postgres").exists())
                .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
                .max();
            let newest = newest.expect("no PostgreSQL server under /usr/lib/postgresql: run tests/install");
            format!("/usr/lib/postgresql/{newest}/bin").into()
        })
        .join(name)
}

/// What a child has said so far, gathered by a thread.
#[derive(Clone)]
pub struct Transcript(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    ended: bool,
}

impl Transcript {
    pub fn of(mut source: impl Read + Send + 'static) -> Self {
        let transcript = Self(Arc::default());
        let theirs = transcript.clone();
        thread::spawn(move || {
            let (said, news) = &*theirs.0;
            let mut buffer = [0; 8192];
            loop {
                let count = source.read(&mut buffer).unwrap_or(0);
                let mut said = said.lock().expect("transcript");
                said.bytes.extend_from_slice(&buffer[..count]);
                said.ended = count == 0;
                news.notify_all();
                if said.ended {
                    return;
                }
            }
        });
        transcript
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().expect("transcript").bytes).into_owned()
    }

    /// Waits until `find` finds what it wants in the text so far. `None` if the source ended without it, or at `limit`.
    pub fn wait_for<T>(&self, limit: Duration, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let (said, news) = &*self.0;
        let start = Instant::now();
        let mut said = said.lock().expect("transcript");
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(&said.bytes)) {
                return Some(found);
            }
            let left = limit.checked_sub(start.elapsed())?;
            if said.ended {
                return None;
            }
            said = news.wait_timeout(said, left).expect("transcript").0;
        }
    }

    /// Waits for the end of the source, at most `limit`: a grandchild may hold it open.
    pub fn wait_for_end(&self, limit: Duration) {
        let (said, news) = &*self.0;
        let said = said.lock().expect("transcript");
        let _ended = news.wait_timeout_while(said, limit, |said| !said.ended).expect("transcript");
    }
}
