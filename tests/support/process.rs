//! Child processes: servers that end with the tests, tools, and the output that a child has written so far.

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

/// Builds a command that inherits nothing but PATH, in a working directory that everybody may read.
pub fn clean_command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", search_path()).env("LANG", "C.UTF-8").current_dir("/");
    command
}

/// Returns PATH with the directories where Debian keeps pgbouncer.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into()))
}

/// Builds a command for `program`, run as the user that servers run as: PostgreSQL and pgbouncer refuse to run as root.
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

/// Builds a command that executes the one given to it with a file system of `bytes` bytes mounted at `directory`, which
/// belongs to the server's user. No other process sees the mount, and it goes with the last process that does.
pub fn with_small_disk(directory: &Path, bytes: u64) -> Command {
    let mut command = clean_command("unshare");
    let mount = r#"mount -t tmpfs -o "$0" none "$1" && shift && exec "$@""#;
    match server_user() {
        Some(User { uid, gid }) => {
            let options = format!("size={bytes},mode=700,uid={uid},gid={gid}");
            command.args(["--mount", "sh", "-c", mount, &options]).arg(directory);
        }
        // A user who may not mount may do so in a user namespace as root; PostgreSQL must not see that it is root
        // there.
        None => {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            command.args(["--mount", "--map-root-user", "sh", "-c", mount, &format!("size={bytes},mode=700")]);
            command.arg(directory).args(["unshare", "--user"]);
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

/// Returns the user that servers run as when the tests run as root. Otherwise servers run as the tests do.
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

/// A running server. It is sent `last_signal` when it is dropped, and when the test process ends.
pub struct Daemon {
    child: Child,
    last_signal: Signal,
}

impl Daemon {
    /// Starts `program`; its output is appended to the file `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path, last_signal: Signal) -> Self {
        Self::start_under(None, program, arguments, log, last_signal)
    }

    /// Starts `program` through another command that executes it.
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
        Self { child: spawn_from_permanent_thread(command), last_signal }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Sends `signal` and waits until the server has ended.
    pub fn end_with(&mut self, signal: Signal) {
        send_signal(self.pid(), signal);
        assert!(
            wait_for_exit(&mut self.child, super::DEFAULT_TIMEOUT).is_some(),
            "the server {} did not end on {signal:?}",
            self.pid()
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGKILL at once would leave PostgreSQL's shared memory behind.
        send_signal(self.pid(), self.last_signal);
        if wait_for_exit(&mut self.child, Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Starts a child from a thread that lives as long as this process. The kernel sends the death signal when the *thread*
/// that started the child ends, and the threads of tests end early.
fn spawn_from_permanent_thread(command: Command) -> Child {
    type SpawnRequest = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<SpawnRequest>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<SpawnRequest>();
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

/// Sends a signal. A process that has ended already is no error.
pub fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process id");
    let _ = kill_process(pid, signal);
}

/// Waits at most `limit` for the end of `child`.
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

/// Runs a tool with `input` on its stdin and waits for its end.
pub fn run_with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a piped stdin");
    thread::scope(|scope| {
        // Written by a thread of its own, so that neither side blocks the other. A tool may stop reading early.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("the output")
    })
}

/// Runs a tool and returns its standard output. Panics with its standard error if it failed.
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

/// Returns the path of PostgreSQL's program `name`: Debian keeps most of its programs off the PATH.
pub fn postgres_program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            if let Some(directory) = std::env::var_os("LOCKKEEPER_TEST_PGBIN") {
                return directory.into();
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

/// The output of a child so far, collected by a thread.
#[derive(Clone)]
pub struct Transcript(Arc<(Mutex<TranscriptState>, Condvar)>);

#[derive(Default)]
struct TranscriptState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Transcript {
    pub fn read_from(mut source: impl Read + Send + 'static) -> Self {
        let transcript = Self(Arc::default());
        let shared = transcript.clone();
        thread::spawn(move || {
            let (state, changed) = &*shared.0;
            let mut buffer = [0; 8192];
            loop {
                let count = source.read(&mut buffer).unwrap_or(0);
                let mut state = state.lock().expect("transcript");
                state.bytes.extend_from_slice(&buffer[..count]);
                state.ended = count == 0;
                changed.notify_all();
                if state.ended {
                    return;
                }
            }
        });
        transcript
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().expect("transcript").bytes).into_owned()
    }

    /// Waits until `find` returns a value for the text so far. Returns `None` if the source ended without one, or after
    /// `limit`.
    pub fn wait_for<T>(&self, limit: Duration, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let (state, changed) = &*self.0;
        let start = Instant::now();
        let mut state = state.lock().expect("transcript");
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(&state.bytes)) {
                return Some(found);
            }
            let remaining = limit.checked_sub(start.elapsed())?;
            if state.ended {
                return None;
            }
            state = changed.wait_timeout(state, remaining).expect("transcript").0;
        }
    }

    /// Waits at most `limit` for the end of the source: a grandchild may hold it open.
    pub fn wait_for_end(&self, limit: Duration) {
        let (state, changed) = &*self.0;
        let state = state.lock().expect("transcript");
        let _ended = changed.wait_timeout_while(state, limit, |state| !state.ended).expect("transcript");
    }
}
