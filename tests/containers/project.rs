//! A Compose project: our docker-compose.yml in a directory of the test, with override files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::engine::{Finished, client_output, docker, run_client};
use crate::support::{DEFAULT_TIMEOUT, temporary_directory, unique, wait_until};

/// A Compose project. Its containers, networks and volumes are removed when it is dropped.
pub struct Project {
    name: String,
    directory: TempDir,
    /// The override files in the directory, in this order.
    over: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Project {
    pub fn new() -> Project {
        let directory = temporary_directory("project");
        Project { name: unique("lk"), directory, over: Vec::new(), environment: Vec::new() }
    }

    /// Adds an override file for docker-compose.yml.
    pub fn with_override(mut self, name: &str, text: &str) -> Project {
        self.write(name, text);
        self.over.push(name.into());
        self
    }

    /// Sets a variable that Compose itself reads.
    pub fn with_variable(mut self, name: &str, value: &str) -> Project {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of its directory, and creates the directories that it is in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Mounts a directory with DevOps Hub's migrations over those of the image, for revisions of the test.
    pub fn with_own_migrations(self) -> Project {
        copy_migrations("postgres", &self.path("release"));
        self.with_override("release.yml", "services:\n  migrate:\n    volumes: [\"./release:/migrations:ro\"]\n")
    }

    /// Builds a `docker compose` command with these arguments.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = docker();
        command.args(["compose", "--project-name", &self.name, "--project-directory"]).arg(self.directory.path());
        command.arg("--file").arg(root().join("docker-compose.yml"));
        for name in &self.over {
            command.arg("--file").arg(self.path(name));
        }
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    pub fn compose(&self, words: &[&str]) -> Finished {
        Finished::from_output(self.command(words).output().expect("docker"))
    }

    /// Runs the command that the README tells everybody to type.
    pub fn up(&self) -> Finished {
        self.compose(&["up", "--wait"])
    }

    /// Returns the ids of a service's containers, ended or not.
    #[track_caller]
    pub fn containers(&self, service: &str) -> Vec<String> {
        let listed = self.compose(&["ps", "--all", "--quiet", service]);
        listed.expect_code(0);
        listed.stdout.lines().map(str::to_owned).collect()
    }

    /// Returns a value of `docker inspect` about a service's only container, by a Go template.
    #[track_caller]
    pub fn inspect(&self, service: &str, template: &str) -> String {
        let containers = self.containers(service);
        assert_eq!(containers.len(), 1, "containers of {service}");
        client_output(&["inspect", "--format", template, &containers[0]])
    }

    /// Returns the state of a service's only container and its exit code, such as `exited 0`.
    #[track_caller]
    pub fn state(&self, service: &str) -> String {
        self.inspect(service, "{{.State.Status}} {{.State.ExitCode}}")
    }

    /// Returns the output of a service's containers, one after the other. (`compose logs` of 2.26 puts control
    /// sequences between the lines, even into a file.)
    #[track_caller]
    pub fn logs(&self, service: &str) -> String {
        let logs = self.containers(service).into_iter().map(|container| run_client(&["logs", &container]));
        logs.map(|logs| logs.stdout + &logs.stderr).collect()
    }

    #[track_caller]
    pub fn last_line(&self, service: &str) -> String {
        self.logs(service).trim_end().lines().last().unwrap_or_default().to_owned()
    }

    /// Waits until a service has logged `text`.
    #[track_caller]
    pub fn wait_for(&self, service: &str, text: &str) {
        wait_until(&format!("{text:?} in the log of {service}"), DEFAULT_TIMEOUT, || self.logs(service).contains(text));
    }

    /// Waits until each of a service's containers has logged `text`.
    #[track_caller]
    pub fn wait_for_each(&self, service: &str, text: &str) {
        let containers = self.containers(service);
        wait_until(&format!("{text:?} in each log of {service}"), DEFAULT_TIMEOUT, || {
            self.logs(service).matches(text).count() == containers.len()
        });
    }

    /// Waits for a service's only container to end and returns its exit code.
    #[track_caller]
    pub fn wait_for_exit(&self, service: &str) -> i32 {
        let container = self.containers(service);
        client_output(&["wait", &container[0]]).parse().expect("a code")
    }

    /// Returns the value of a query that is sent over the server's socket.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        let finished = self.compose(&["exec", "-T", "db", "psql", "-U", "devops_hub", "-XAtc", sql]);
        finished.expect_code(0);
        finished.stdout.trim_end().to_owned()
    }

    /// Returns the number of recorded revisions.
    #[track_caller]
    pub fn recorded_revisions(&self) -> String {
        self.value("select count(*) from lockkeeper_history")
    }

    /// Runs our image in the project, with further options of `docker compose run`.
    pub fn run(&self, options: &[&str], arguments: &[&str]) -> Finished {
        let words = ["run", "--rm", "-T", "--no-deps"];
        let words: Vec<&str> = words.iter().chain(options).chain(&["migrate"]).chain(arguments).copied().collect();
        self.compose(&words)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let words = ["--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "0"];
        let down = self.compose(&words);
        // A second panic would end all tests at once, and hide the first.
        if !std::thread::panicking() {
            down.expect_code(0);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies the example's revisions for a dialect into a directory of migrations.
pub fn copy_migrations(dialect: &str, migrations: &Path) {
    let to = migrations.join(dialect);
    fs::create_dir_all(&to).expect("a directory");
    for file in fs::read_dir(root().join("migrations").join(dialect)).expect("the example").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}
