//! Runs the real `lockkeeper` as a child process: its arguments, its output and its exit code.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Transcript, send_signal, wait_for_exit};
use super::temporary_directory;

/// The longest time that a run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A call of `lockkeeper` in a working directory of its own, with an environment that has nothing of this machine but
/// PATH.
///
/// A clone shares the working directory, so that `run.clone().arg("current").output()` inspects what an earlier run
/// left.
#[derive(Clone)]
pub struct Run {
    directory: Arc<TempDir>,
    prefix: Vec<String>,
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// The URL of the database of a test that names none.
    url: Option<&'static str>,
}

/// The variables that name the database.
const URLS: [&str; 4] = ["DATABASE_URL", "DATABASE_URL_FILE", "LOCKKEEPER_DIRECT_URL", "LOCKKEEPER_DIRECT_URL_FILE"];

impl Run {
    /// Calls `lockkeeper` without arguments. The log format is text, and the database a SQLite file unless the test
    /// names another.
    #[allow(clippy::new_without_default, reason = "a run is not a value that has a default")]
    pub fn new() -> Self {
        let run = Self {
            directory: Arc::new(temporary_directory("run")),
            prefix: Vec::new(),
            program: env!("CARGO_BIN_EXE_lockkeeper").into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            url: Some("sqlite:///./data/devops_hub.db"),
        };
        run.env("LOCKKEEPER_LOG_FORMAT", "text")
    }

    /// Returns the working directory, which is HOME as well.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the last call for a name counts.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Removes all variables that name a database.
    pub fn without_url(self) -> Self {
        Self { url: None, ..self }
    }

    /// Sets DATABASE_URL.
    pub fn url(self, url: &str) -> Self {
        self.env("DATABASE_URL", url)
    }

    /// Writes files into the directory `migrations`.
    pub fn migrations(mut self, files: &[(&str, &str)]) -> Self {
        for (name, text) in files {
            self = self.file(format!("migrations/{name}"), text);
        }
        self
    }

    /// Writes a file below the working directory and creates the directories that it needs.
    pub fn file(self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("create directories");
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        self
    }

    /// Runs it through another program, such as `["setpriv", "--reuid", "54321", "--"]` or `["unshare", "--pid",
    /// "--fork"]`.
    pub fn under<T: Into<String>>(mut self, prefix: impl IntoIterator<Item = T>) -> Self {
        self.prefix = prefix.into_iter().map(Into::into).collect();
        self
    }

    /// Calls the previous release instead.
    pub fn previous_release(mut self) -> Self {
        self.program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/previous/lockkeeper").into();
        assert!(Path::new(&self.program).exists(), "no {}: run tests/previous/install", self.program);
        self
    }

    /// Runs it and waits until it has ended.
    #[track_caller]
    pub fn output(&self) -> Finished {
        self.spawn().finish()
    }

    /// Starts it in the background.
    pub fn spawn(&self) -> Running {
        let start = Instant::now();
        let mut child = self.command().spawn().expect("cannot start lockkeeper");
        let stdout = Transcript::read_from(child.stdout.take().expect("a piped stdout"));
        let stderr = Transcript::read_from(child.stderr.take().expect("a piped stderr"));
        Running { child, stdout, stderr, start, _directory: Arc::clone(&self.directory) }
    }

    fn command(&self) -> Command {
        let words: Vec<&str> = self.prefix.iter().chain([&self.program]).map(String::as_str).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(&self.arguments).current_dir(self.dir()).env_clear();
        // The last one is for runs that measure coverage.
        for name in ["PATH", "LANG", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.dir());
        let is_named = self.environment.iter().any(|(name, _)| URLS.contains(&name.as_str()));
        command.envs(self.url.filter(|_| !is_named).map(|url| ("DATABASE_URL", url)));
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: signal(2) is async-signal-safe; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(default_signals);
        }
        command
    }
}

/// Restores the default signal handling: the process that started the tests may ignore signals, as a script does for
/// its background jobs.
fn default_signals() -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGXFSZ] {
        // SAFETY: it sets no handler.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A running `lockkeeper`. Dropping it kills it.
pub struct Running {
    child: Child,
    stdout: Transcript,
    stderr: Transcript,
    start: Instant,
    _directory: Arc<TempDir>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns all that it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has logged a line that `accepts` accepts, earlier lines included, and returns the first such line.
    #[track_caller]
    pub fn wait_for_line(&self, accepts: impl Fn(&str) -> bool, limit: Duration) -> String {
        let found = self.stderr.wait_for(limit, |text| {
            let complete_lines = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            complete_lines.lines().find(|line| accepts(line)).map(str::to_owned)
        });
        found.unwrap_or_else(|| {
            panic!("the awaited line did not come within {limit:?}, or before the end; stderr:\n{}", self.stderr())
        })
    }

    /// Waits until it has logged `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_line(|line| line.contains(text), super::DEFAULT_TIMEOUT)
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Sends a signal. With a prefix (`Run::under`) the signal goes to the process that the prefix started.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(mut self) -> Finished {
        self.child.kill().expect("kill");
        self.finish()
    }

    /// Waits for its end. Kills it and panics when that takes too long.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = wait_for_exit(&mut self.child, LIMIT.saturating_sub(self.start.elapsed()));
        let elapsed = self.start.elapsed();
        let Some(status) = status else {
            let _ = self.child.kill();
            panic!(
                "lockkeeper has not ended within {LIMIT:?}; stdout:\n{}\nstderr:\n{}",
                self.stdout.text(),
                self.stderr()
            );
        };
        // A grandchild that is still running may hold these pipes open.
        self.stdout.wait_for_end(Duration::from_secs(5));
        self.stderr.wait_for_end(Duration::from_secs(5));
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            elapsed,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit status and the output of a run that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code, unless a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Finished {
    /// Panics unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(self.code == Some(code), "not the code {code}: {self}");
        self
    }

    /// Panics unless stdout or stderr contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "does not say {text:?}: {self}");
        self
    }

    /// Panics if stdout or stderr contains `text`.
    #[track_caller]
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "says {text:?}: {self}");
        self
    }

    /// Panics if the run took longer than `limit`.
    #[track_caller]
    pub fn within(&self, limit: Duration) -> &Self {
        assert!(self.elapsed <= limit, "took longer than {limit:?}: {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "it ended with code {code}")?,
            (None, signal) => write!(f, "it was killed by signal {}", signal.unwrap_or_default())?,
        }
        write!(f, " after {:?}\n--- stdout\n{}\n--- stderr\n{}", self.elapsed, self.stdout, self.stderr)
    }
}
