//! Runs podman, each instance on its own: containers, volumes and secrets are in directories that are removed with it; the
//! images are in one store, which all instances read. No other podman of the machine is seen or changed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::engine::{self, EXAMPLE, Finished, SERVER};
use crate::support::{DEFAULT_TIMEOUT, temporary_directory, unique, wait_for_text, wait_until};

/// The image that the examples deploy as the application.
const APPLICATION: &str = "devops-hub:1.0.0";

/// A stand-in for the application: it may use nothing but its database, prints the tables that it finds, and stays.
/// Like an application it retries: podman writes the password for the second pod into the file that the first pod has
/// mounted, and the file is empty for a moment.
const WITH_PSQL: &str = r#"
FROM postgres:16-alpine
ENTRYPOINT ["sh", "-c", "trap 'exit 0' TERM; until PGPASSWORD=$(cat \"$DATABASE_PASSWORD_FILE\") psql \"$DATABASE_URL\" -XAtc \"select 'found ' || tablename from pg_tables where schemaname = 'public' order by 1\"; do sleep 0.2; done; sleep infinity & wait"]
"#;

/// The stand-in for the application on SQLite's file.
const WITH_SQLITE: &str = r#"
FROM python:3.13-alpine
ENTRYPOINT ["python3", "-uc", "import os, signal, sqlite3\nfor name, in sqlite3.connect(os.environ['DATABASE_URL'].removeprefix('sqlite:///')).execute('select name from sqlite_schema where type = ? order by 1', ('table',)): print('found', name)\nsignal.pause()"]
"#;

/// The directories of one podman instance.
struct PodmanDirs {
    /// The directory of images, volumes and the files of containers.
    root: PathBuf,
    /// The directory of what is only needed while it runs. podman needs a short path for it.
    run: PathBuf,
}

impl PodmanDirs {
    /// Creates the directories, with the images of another instance if there are any.
    fn new(name: &str, images: Option<&PodmanDirs>) -> PodmanDirs {
        let run = std::env::var_os("LOCKKEEPER_TEST_PODMAN").expect("no podman: run tests/containers/run");
        let run = Path::new(&run);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/containers/podman").join(name);
        let dirs = PodmanDirs { root, run: run.join(name) };
        fs::create_dir_all(&dirs.run).expect("a directory");
        let images = images.map(|images| format!("{:?}", images.root)).unwrap_or_default();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n[storage.options]\nadditionalimagestores = [{images}]\n",
            dirs.root, dirs.run
        );
        fs::write(dirs.run.join("storage.conf"), storage).expect("a file");
        fs::write(dirs.hosts(), "").expect("a file");
        fs::write(dirs.run.join("containers.conf"), dirs.settings(&run.join("networks"))).expect("a file");
        dirs
    }

    /// Returns the file with the host names of all containers.
    fn hosts(&self) -> PathBuf {
        self.run.join("hosts")
    }

    fn settings(&self, networks: &Path) -> String {
        // Two settings need limits that a machine may not offer: podman asks for a million open files and processes.
        // The locks in shared memory are one set for all podman instances of the machine, and a new instance would free
        // them all.
        format!(
            r#"[containers]
base_hosts_file = {:?}
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = {:?}
[network]
network_backend = "netavark"
network_config_dir = {networks:?}
"#,
            self.hosts(),
            self.run.join("tmp")
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.run.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.run.join("storage.conf")).stdin(Stdio::null());
        command
    }

    fn execute<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Finished {
        Finished::from_output(self.command().args(arguments).output().expect("podman"))
    }

    #[track_caller]
    fn output_of<T: AsRef<OsStr>>(&self, arguments: &[T]) -> String {
        let finished = self.execute(arguments);
        finished.expect_code(0);
        finished.stdout.trim_end().to_owned()
    }

    /// Builds an image from these lines and files.
    #[track_caller]
    fn build(&self, image: &str, dockerfile: &str, files: &[(&str, &str)]) {
        let directory = temporary_directory("image");
        fs::write(directory.path().join("Dockerfile"), dockerfile).expect("a file");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        let directory = directory.path().to_str().expect("UTF-8");
        self.output_of(&["build", "--quiet", "--pull=never", "--tag", image, directory]);
    }

    /// Copies an image from Docker's engine, unless it is in the store already.
    fn copy_from_docker(&self, image: &str) {
        let id = engine::client_output(&["image", "inspect", "--format", "{{.Id}}", image]);
        if self.execute(&["image", "inspect", "--format", "sha256:{{.Id}}", image]).stdout.trim_end() == id {
            return;
        }
        let mut save = engine::docker().args(["save", image]).stdout(Stdio::piped()).spawn().expect("docker");
        let load = self.command().args(["load", "--quiet"]).stdin(save.stdout.take().expect("piped")).output();
        Finished::from_output(load.expect("podman")).expect_code(0);
        assert!(save.wait().expect("docker").success(), "docker save {image}");
    }
}

/// Returns the store with the images of all instances.
fn images() -> &'static PodmanDirs {
    static IMAGES: OnceLock<PodmanDirs> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let dirs = PodmanDirs::new("images", None);
        // Its database contains the directory of the previous run, and overrides what is configured now.
        let _ = fs::remove_dir_all(dirs.root.join("libpod"));
        for image in [EXAMPLE, SERVER, "python:3.13-alpine"] {
            dirs.copy_from_docker(image);
        }
        dirs.build(APPLICATION, WITH_PSQL, &[]);
        // Images that had these names before.
        dirs.output_of(&["image", "prune", "--force"]);
        dirs
    })
}

/// An instance of podman with no containers in it, and a network where the name `postgres` is known from the start.
pub struct Podman {
    dirs: PodmanDirs,
    network: String,
}

impl Podman {
    #[track_caller]
    pub fn new() -> Podman {
        let network = unique("lk");
        let podman = Podman { dirs: PodmanDirs::new(&network, Some(images())), network };
        // The containers have the name of the database in their hosts file, and the network has no DNS: aardvark-dns is one
        // process for all podman instances of the machine. Version 1.4 reads the files of all networks whenever a container
        // starts or stops, and ends when one of them is removed meanwhile. No name is resolved then until the next
        // container starts.
        podman.output_of(&["network", "create", "--disable-dns", &podman.network]);
        fs::write(podman.dirs.hosts(), format!("{} postgres\n", podman.database_address())).expect("a file");
        podman
    }

    /// Returns the address of the database, also before it runs. podman gives the other containers the lowest addresses.
    #[track_caller]
    fn database_address(&self) -> String {
        let subnet = ["network", "inspect", "--format", "{{(index .Subnets 0).Subnet}}", &self.network];
        let subnet = self.output_of(&subnet);
        let prefix = subnet.strip_suffix(".0/24").unwrap_or_else(|| panic!("a network of 256 addresses: {subnet}"));
        format!("{prefix}.250")
    }

    pub fn execute<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Finished {
        self.dirs.execute(arguments)
    }

    #[track_caller]
    pub fn output_of<T: AsRef<OsStr>>(&self, arguments: &[T]) -> String {
        self.dirs.output_of(arguments)
    }

    /// Adds migrations for PostgreSQL to those that the examples deploy, in the image of the same name.
    #[track_caller]
    pub fn add_migrations(&self, files: &[(&str, &str)]) {
        self.dirs.build(EXAMPLE, &format!("FROM {EXAMPLE}\nCOPY *.sql /migrations/postgres/\n"), files);
    }

    /// Makes the application use SQLite from now on.
    #[track_caller]
    pub fn use_sqlite(&self) {
        self.dirs.build(APPLICATION, WITH_SQLITE, &[]);
    }

    /// Starts the server that the examples expect outside of their manifests, with this password.
    #[track_caller]
    pub fn start_database(&self, password: &str) {
        let network = format!("{}:ip={}", self.network, self.database_address());
        let password = format!("POSTGRES_PASSWORD={password}");
        let mut run = vec!["run", "--detach", "--name=database", "--network", &network];
        run.extend(["--tmpfs=/var/lib/postgresql/data", "--env=POSTGRES_USER=devops_hub", "--env", &password]);
        run.push(SERVER);
        self.output_of(&run);
    }

    /// Returns the value of a query that is sent over the server's socket.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        self.query(sql).expect_code(0).stdout.trim_end().to_owned()
    }

    /// Waits until the query returns this value. The server may still be starting.
    #[track_caller]
    pub fn wait_for_value(&self, sql: &str, value: &str) {
        wait_until(&format!("{value} for {sql}"), DEFAULT_TIMEOUT, || self.query(sql).stdout.trim_end() == value);
    }

    fn query(&self, sql: &str) -> Finished {
        self.execute(&["exec", "database", "psql", "-U", "devops_hub", "-XAtc", sql])
    }

    /// Runs `podman kube play`, which ends when the applications run, or at the first init container that fails.
    pub fn play(&self, documents: &[Value]) -> Finished {
        Finished::from_output(self.play_command(documents).output().expect("podman"))
    }

    /// Runs `podman kube play` in the background.
    pub fn spawn_play(&self, documents: &[Value]) -> JoinHandle<Finished> {
        let mut play_command = self.play_command(documents);
        thread::spawn(move || Finished::from_output(play_command.output().expect("podman")))
    }

    fn play_command(&self, documents: &[Value]) -> Command {
        let file = self.dirs.run.join("manifests.yaml");
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(&file, text.join("\n---\n")).expect("a file");
        let mut command = self.dirs.command();
        command.args(["kube", "play", "--network", &self.network]).arg(file);
        command
    }

    /// Stops a pod that is started again later.
    #[track_caller]
    pub fn stop_pod(&self, pod: &str) {
        let containers = self.output_of(&["pod", "inspect", "--format", "{{range .Containers}}{{.ID}} {{end}}", pod]);
        let monitors: Vec<String> =
            containers.split_whitespace().map(|container| self.inspect(container, "{{.State.ConmonPid}}")).collect();
        self.output_of(&["pod", "stop", pod]);
        // The monitor of each container runs `podman container cleanup` at its end. It stops the pod when all other
        // containers have ended, also if the pod has been started again in the meantime.
        for monitor in monitors {
            wait_until("the end of the monitors", DEFAULT_TIMEOUT, || !is_running(&monitor));
        }
    }

    /// Removes the pods; the volumes stay.
    #[track_caller]
    pub fn remove_pods(&self) {
        self.output_of(&["pod", "rm", "--all", "--force", "--time=0"]);
    }

    /// Returns both output streams of a container so far.
    pub fn logs(&self, container: &str) -> String {
        let logs = self.execute(&["logs", container]);
        logs.stdout + &logs.stderr
    }

    #[track_caller]
    pub fn wait_for(&self, container: &str, text: &str) {
        wait_for_text(&format!("the log of {container}"), text, || self.logs(container));
    }

    /// Returns a value of `podman inspect`, by a Go template.
    #[track_caller]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.output_of(&["container", "inspect", "--format", template, container])
    }

    /// Returns the directory of a volume's files.
    #[track_caller]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.output_of(&["volume", "inspect", "--format", "{{.Mountpoint}}", name]).into()
    }
}

/// Returns true unless the process has ended: then it has no command line, also while its parent has not waited for it.
fn is_running(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

impl Drop for Podman {
    fn drop(&mut self) {
        // A play that still waits for an init container has the pod's lock: `rm` alone would wait for it.
        self.execute(&["kill", "--all"]);
        self.execute(&["pod", "rm", "--all", "--force", "--time=0"]);
        self.execute(&["rm", "--all", "--force", "--time=0"]);
        self.execute(&["network", "rm", &self.network]);
        for directory in [&self.dirs.root, &self.dirs.run] {
            if let Err(error) = fs::remove_dir_all(directory) {
                eprintln!("{} stays: {error}", directory.display());
            }
        }
    }
}
