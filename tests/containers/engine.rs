//! Docker by its own client: networks, volumes, databases and runs of our images, all gone when dropped.

use std::fmt;
use std::process::{Command, Output, Stdio};

use crate::support::{SOON, tools, unique, wait_for_text, wait_until};

/// What the examples deploy: the tools and DevOps Hub's migrations.
pub const EXAMPLE: &str = "devops-hub-migrate:1.0.0";
/// What an application's own image starts FROM.
pub const TOOLS: &str = "lockkeeper:0.1.0";
/// The static binary alone.
pub const MINIMAL: &str = "lockkeeper:0.1.0-minimal";
pub const SERVER: &str = "postgres:16-alpine";
pub const PASSWORD: &str = "a canal/lock%raises@ships";

/// The engine's client, with the compose plugin.
pub fn docker() -> Command {
    assert!(std::env::var_os("DOCKER_HOST").is_some(), "no engine: run tests/containers/run");
    let mut command = Command::new("docker");
    command.env("DOCKER_CONFIG", tools::docker_config());
    command
}

/// How a command ended.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: Output) -> Finished {
        Finished {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text) || self.stdout.contains(text), "it does not say {text:?}: {self}");
        self
    }

    #[track_caller]
    pub fn silent_about(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text) && !self.stdout.contains(text), "it says {text:?}: {self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the client to its end.
pub fn ask<T: AsRef<str>>(arguments: &[T]) -> Finished {
    let mut command = docker();
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    Finished::of(command.output().expect("docker"))
}

/// What the client prints; it must end with 0.
#[track_caller]
pub fn must<T: AsRef<str>>(arguments: &[T]) -> String {
    let finished = ask(arguments);
    finished.expect_code(0);
    finished.stdout.trim_end().to_owned()
}

/// A network on which containers find each other by name.
pub struct Network(pub String);

impl Network {
    pub fn new() -> Network {
        let name = unique("lk");
        must(&["network", "create", &name]);
        Network(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ask(&["network", "rm", &self.0]);
    }
}

/// A named volume.
pub struct Volume(pub String);

impl Volume {
    pub fn new() -> Volume {
        Volume(must(&["volume", "create", &unique("lk")]))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        ask(&["volume", "rm", "--force", &self.0]);
    }
}

/// A container that was started and goes on by itself.
pub struct Container {
    pub name: String,
}

impl Container {
    /// `docker run --detach` with these options, image and arguments.
    #[track_caller]
    pub fn start<T: AsRef<str>>(arguments: &[T]) -> Container {
        let name = unique("lk");
        let mut all = vec!["run", "--detach", "--name", &name];
        all.extend(arguments.iter().map(AsRef::as_ref));
        must(&all);
        Container { name }
    }

    /// Both streams so far.
    pub fn logs(&self) -> String {
        let logs = ask(&["logs", &self.name]);
        logs.stdout + &logs.stderr
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        wait_for_text(&format!("the log of {}", self.name), text, || self.logs());
    }

    /// Waits for its end; its code.
    #[track_caller]
    pub fn end(&self) -> i32 {
        must(&["wait", &self.name]).parse().expect("a code")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        ask(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// A PostgreSQL container, reached as `db` on its network, with the empty database `devops_hub`.
pub struct Database {
    container: Container,
    pub network: Network,
}

impl Database {
    /// Starts it with more options for `docker run` and more arguments for the server; it may still be starting.
    #[track_caller]
    pub fn start(options: &[&str], arguments: &[&str]) -> Database {
        let network = Network::new();
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        let mut all = vec!["--network", &network.0, "--network-alias", "db", "--env", &password];
        all.extend(["--env", "POSTGRES_USER=devops_hub", "--tmpfs", "/var/lib/postgresql/data"]);
        all.extend(options);
        all.push(SERVER);
        all.extend(arguments);
        Database { container: Container::start(&all), network }
    }

    #[track_caller]
    pub fn new() -> Database {
        let database = Database::start(&[], &[]);
        wait_until("the server listens", SOON, || {
            let name = &database.container.name;
            ask(&["exec", name, "pg_isready", "--quiet", "--host", "127.0.0.1"]).code == 0
        });
        database
    }

    /// Makes it one of a network's servers, by this name.
    #[track_caller]
    pub fn join(&self, network: &str, alias: &str) {
        must(&["network", "connect", "--alias", alias, network, &self.container.name]);
    }

    /// One value, asked over the server's socket.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        must(&["exec", &self.container.name, "psql", "-U", "devops_hub", "-XAtc", sql])
    }

    /// Waits until the answer is true.
    #[track_caller]
    pub fn wait_for(&self, sql: &str) {
        wait_until(sql, SOON, || self.value(sql) == "t");
    }

    /// A session that executes this, in the background; it ends with the server.
    pub fn session(&self, sql: &str) {
        must(&["exec", "--detach", &self.container.name, "psql", "-U", "devops_hub", "-Xc", sql]);
    }

    fn words(&self, options: &[&str], image: &str, arguments: &[&str]) -> Vec<String> {
        let mut words = vec!["--network".into(), self.network.0.clone()];
        words.extend(["--env".into(), "DATABASE_URL=postgresql://devops_hub@db:5432/devops_hub".into()]);
        words.extend(["--env".into(), format!("DATABASE_PASSWORD={PASSWORD}")]);
        words.extend(options.iter().chain(&[image]).chain(arguments).map(|word| (*word).to_owned()));
        words
    }

    /// A run of an image to its end, with more options of `docker run` and the binary's arguments.
    pub fn run(&self, options: &[&str], image: &str, arguments: &[&str]) -> Finished {
        let words = ["run", "--rm"].map(str::to_owned);
        ask(&words.into_iter().chain(self.words(options, image, arguments)).collect::<Vec<_>>())
    }

    /// The same, going on by itself.
    #[track_caller]
    pub fn begin(&self, options: &[&str], image: &str, arguments: &[&str]) -> Container {
        Container::start(&self.words(options, image, arguments))
    }
}
