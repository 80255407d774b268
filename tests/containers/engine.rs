//! Docker through its own client: networks, volumes, databases and runs of our images. All of them are removed when
//! dropped.

use std::fmt;
use std::process::{Command, Output, Stdio};

use crate::support::{DEFAULT_TIMEOUT, tools, unique, wait_for_text, wait_until};

/// The image that the examples deploy: the tools and DevOps Hub's migrations.
pub const EXAMPLE: &str = "devops-hub-migrate:1.0.0";
/// The image that an application's own image is built FROM.
pub const TOOLS: &str = "lockkeeper:0.1.0";
/// The image with the static binary alone.
pub const MINIMAL: &str = "lockkeeper:0.1.0-minimal";
pub const SERVER: &str = "postgres:16-alpine";
pub const PASSWORD: &str = "a canal/lock%raises@ships";

/// Builds a command of the engine's client, with the compose plugin.
pub fn docker() -> Command {
    assert!(std::env::var_os("DOCKER_HOST").is_some(), "no engine: run tests/containers/run");
    let mut command = Command::new("docker");
    command.env("DOCKER_CONFIG", tools::docker_config());
    command
}

/// The exit code and the output of a command that has ended.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn from_output(output: Output) -> Finished {
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
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text) && !self.stdout.contains(text), "it says {text:?}: {self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the client and waits for its end.
pub fn run_client<T: AsRef<str>>(arguments: &[T]) -> Finished {
    let mut command = docker();
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    Finished::from_output(command.output().expect("docker"))
}

/// Runs the client, which must succeed, and returns its standard output.
#[track_caller]
pub fn client_output<T: AsRef<str>>(arguments: &[T]) -> String {
    let finished = run_client(arguments);
    finished.expect_code(0);
    finished.stdout.trim_end().to_owned()
}

/// A network on which containers find each other by name.
pub struct Network(pub String);

impl Network {
    pub fn new() -> Network {
        let name = unique("lk");
        client_output(&["network", "create", &name]);
        Network(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        run_client(&["network", "rm", &self.0]);
    }
}

/// A named volume.
pub struct Volume(pub String);

impl Volume {
    pub fn new() -> Volume {
        Volume(client_output(&["volume", "create", &unique("lk")]))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run_client(&["volume", "rm", "--force", &self.0]);
    }
}

/// A container that was started in the background.
pub struct Container {
    pub name: String,
}

impl Container {
    /// Runs `docker run --detach` with these options, image and arguments.
    #[track_caller]
    pub fn start<T: AsRef<str>>(arguments: &[T]) -> Container {
        let name = unique("lk");
        let mut all = vec!["run", "--detach", "--name", &name];
        all.extend(arguments.iter().map(AsRef::as_ref));
        client_output(&all);
        Container { name }
    }

    /// Returns both output streams so far.
    pub fn logs(&self) -> String {
        let logs = run_client(&["logs", &self.name]);
        logs.stdout + &logs.stderr
    }

    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        wait_for_text(&format!("the log of {}", self.name), text, || self.logs());
    }

    /// Waits for its end and returns its exit code.
    #[track_caller]
    pub fn wait_for_exit(&self) -> i32 {
        client_output(&["wait", &self.name]).parse().expect("a code")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        run_client(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// A PostgreSQL container, reached as `db` on its network, with the empty database `devops_hub`.
pub struct Database {
    container: Container,
    pub network: Network,
}

impl Database {
    /// Starts it with further options for `docker run` and further arguments for the server. The server may still be
    /// starting.
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
        wait_until("the server listens", DEFAULT_TIMEOUT, || {
            let name = &database.container.name;
            run_client(&["exec", name, "pg_isready", "--quiet", "--host", "127.0.0.1"]).code == 0
        });
        database
    }

    /// Connects it to a network under this name.
    #[track_caller]
    pub fn join(&self, network: &str, alias: &str) {
        client_output(&["network", "connect", "--alias", alias, network, &self.container.name]);
    }

    /// Returns the value of a query that is sent over the server's socket.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        client_output(&["exec", &self.container.name, "psql", "-U", "devops_hub", "-XAtc", sql])
    }

    /// Waits until the query returns true.
    #[track_caller]
    pub fn wait_for(&self, sql: &str) {
        wait_until(sql, DEFAULT_TIMEOUT, || self.value(sql) == "t");
    }

    /// Runs SQL in a session in the background; it ends with the server.
    pub fn session(&self, sql: &str) {
        client_output(&["exec", "--detach", &self.container.name, "psql", "-U", "devops_hub", "-Xc", sql]);
    }

    fn run_arguments(&self, options: &[&str], image: &str, arguments: &[&str]) -> Vec<String> {
        let mut words = vec!["--network".into(), self.network.0.clone()];
        words.extend(["--env".into(), "DATABASE_URL=postgresql://devops_hub@db:5432/devops_hub".into()]);
        words.extend(["--env".into(), format!("DATABASE_PASSWORD={PASSWORD}")]);
        words.extend(options.iter().chain(&[image]).chain(arguments).map(|word| (*word).to_owned()));
        words
    }

    /// Runs an image and waits for its end, with further options of `docker run` and the arguments of the binary.
    pub fn run(&self, options: &[&str], image: &str, arguments: &[&str]) -> Finished {
        let words = ["run", "--rm"].map(str::to_owned);
        run_client(&words.into_iter().chain(self.run_arguments(options, image, arguments)).collect::<Vec<_>>())
    }

    /// Starts an image in the background, with the same options as `run`.
    #[track_caller]
    pub fn spawn(&self, options: &[&str], image: &str, arguments: &[&str]) -> Container {
        Container::start(&self.run_arguments(options, image, arguments))
    }
}
