//! podman, each one of its own: containers, volumes and secrets are in folders that go with it; the images are in one
//! store, which all of them read. Nobody else's podman is seen or changed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::engine::{self, EXAMPLE, Finished, SERVER};
use crate::support::{SOON, temporary_folder, unique, wait_for_text, wait_until};

/// What the examples deploy as the application.
const APPLICATION: &str = "devops-hub:1.0.0";

/// Stands for the application: it has no right to anything but its database, shows the tables that it finds, and stays. As
/// any application it asks again where the network of a new pod does not know a name yet.
const WITH_PSQL: &str = r#"
FROM postgres:16-alpine
ENTRYPOINT ["sh", "-c", "trap 'exit 0' TERM; until PGPASSWORD=$(cat \"$DATABASE_PASSWORD_FILE\") psql \"$DATABASE_URL\" -XAtc \"select 'found ' || tablename from pg_tables where schemaname = 'public' order by 1\"; do sleep 0.2; done; sleep infinity & wait"]
"#;

/// The same on SQLite's file.
const WITH_SQLITE: &str = r#"
FROM python:3.13-alpine
ENTRYPOINT ["python3", "-uc", "import os, signal, sqlite3\nfor name, in sqlite3.connect(os.environ['DATABASE_URL'].removeprefix('sqlite:///')).execute('select name from sqlite_schema where type = ? order by 1', ('table',)): print('found', name)\nsignal.pause()"]
"#;

/// Where one podman keeps what it has.
struct Place {
    /// Images, volumes, the files of containers.
    root: PathBuf,
    /// What is worth something only while it runs. podman wants a short path for it.
    run: PathBuf,
}

impl Place {
    /// With the images of another one, as far as there are any.
    fn new(name: &str, images: Option<&Place>) -> Place {
        let run = std::env::var_os("LOCKKEEPER_TEST_PODMAN").expect("no podman: run tests/containers/run");
        let run = Path::new(&run);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/containers/podman").join(name);
        let place = Place { root, run: run.join(name) };
        fs::create_dir_all(&place.run).expect("a folder");
        let images = images.map(|images| format!("{:?}", images.root)).unwrap_or_default();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n[storage.options]\nadditionalimagestores = [{images}]\n",
            place.root, place.run
        );
        fs::write(place.run.join("storage.conf"), storage).expect("a file");
        fs::write(place.run.join("containers.conf"), place.settings(&run.join("networks"))).expect("a file");
        place
    }

    fn settings(&self, networks: &Path) -> String {
        // The limits: podman asks for a million of each, and a machine may have fewer to give. The locks: those in shared
        // memory are one set for all of the machine's podmen, and a new one frees them all.
        format!(
            r#"[containers]
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
            self.run.join("tmp")
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.run.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.run.join("storage.conf")).stdin(Stdio::null());
        command
    }

    fn ask<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Finished {
        Finished::of(self.command().args(arguments).output().expect("podman"))
    }

    #[track_caller]
    fn must<T: AsRef<OsStr>>(&self, arguments: &[T]) -> String {
        let finished = self.ask(arguments);
        finished.expect_code(0);
        finished.stdout.trim_end().to_owned()
    }

    /// Builds an image from these lines and files.
    #[track_caller]
    fn build(&self, image: &str, dockerfile: &str, files: &[(&str, &str)]) {
        let folder = temporary_folder("image");
        fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let folder = folder.path().to_str().expect("UTF-8");
        self.must(&["build", "--quiet", "--pull=never", "--tag", image, folder]);
    }

    /// Takes an image from Docker's engine, unless it is here already.
    fn take(&self, image: &str) {
        let id = engine::must(&["image", "inspect", "--format", "{{.Id}}", image]);
        if self.ask(&["image", "inspect", "--format", "sha256:{{.Id}}", image]).stdout.trim_end() == id {
            return;
        }
        let mut save = engine::docker().args(["save", image]).stdout(Stdio::piped()).spawn().expect("docker");
        let load = self.command().args(["load", "--quiet"]).stdin(save.stdout.take().expect("piped")).output();
        Finished::of(load.expect("podman")).expect_code(0);
        assert!(save.wait().expect("docker").success(), "docker save {image}");
    }
}

/// The store with everybody's images.
fn images() -> &'static Place {
    static IMAGES: OnceLock<Place> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let place = Place::new("images", None);
        // Its database remembers the folder of the run before, and goes before what is said now.
        let _ = fs::remove_dir_all(place.root.join("libpod"));
        for image in [EXAMPLE, SERVER, "python:3.13-alpine"] {
            place.take(image);
        }
        place.build(APPLICATION, WITH_PSQL, &[]);
        // Those that had these names before.
        place.must(&["image", "prune", "--force"]);
        place
    })
}

/// podman with nothing in it, and a network.
pub struct Podman {
    place: Place,
    network: String,
}

impl Podman {
    #[track_caller]
    pub fn new() -> Podman {
        let network = unique("lk");
        let podman = Podman { place: Place::new(&network, Some(images())), network };
        podman.must(&["network", "create", &podman.network]);
        podman
    }

    pub fn ask<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Finished {
        self.place.ask(arguments)
    }

    #[track_caller]
    pub fn must<T: AsRef<OsStr>>(&self, arguments: &[T]) -> String {
        self.place.must(arguments)
    }

    /// Puts migrations of PostgreSQL's beside those that the examples deploy, in the image of the same name.
    #[track_caller]
    pub fn add_migrations(&self, files: &[(&str, &str)]) {
        self.place.build(EXAMPLE, &format!("FROM {EXAMPLE}\nCOPY *.sql /migrations/postgres/\n"), files);
    }

    /// The application has SQLite from now on.
    #[track_caller]
    pub fn use_sqlite(&self) {
        self.place.build(APPLICATION, WITH_SQLITE, &[]);
    }

    /// Starts the server that the examples expect outside of their manifests, with this password.
    #[track_caller]
    pub fn start_database(&self, password: &str) {
        let network = format!("{}:alias=postgres", self.network);
        let password = format!("POSTGRES_PASSWORD={password}");
        let mut run = vec!["run", "--detach", "--name=database", "--network", &network];
        run.extend(["--tmpfs=/var/lib/postgresql/data", "--env=POSTGRES_USER=devops_hub", "--env", &password]);
        run.push(SERVER);
        self.must(&run);
    }

    /// One value, asked over the server's socket.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        self.query(sql).expect_code(0).stdout.trim_end().to_owned()
    }

    /// Waits until the server answers so; it may still be starting.
    #[track_caller]
    pub fn wait_for_value(&self, sql: &str, value: &str) {
        wait_until(&format!("{value} for {sql}"), SOON, || self.query(sql).stdout.trim_end() == value);
    }

    fn query(&self, sql: &str) -> Finished {
        self.ask(&["exec", "database", "psql", "-U", "devops_hub", "-XAtc", sql])
    }

    /// `podman kube play`, which ends when the applications run, or at the first init container that fails.
    pub fn play(&self, documents: &[Value]) -> Finished {
        Finished::of(self.player(documents).output().expect("podman"))
    }

    /// The same, in the background.
    pub fn begin_to_play(&self, documents: &[Value]) -> JoinHandle<Finished> {
        let mut player = self.player(documents);
        thread::spawn(move || Finished::of(player.output().expect("podman")))
    }

    fn player(&self, documents: &[Value]) -> Command {
        let file = self.place.run.join("manifests.yaml");
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(&file, text.join("\n---\n")).expect("a file");
        let mut command = self.place.command();
        command.args(["kube", "play", "--network", &self.network]).arg(file);
        command
    }

    /// Takes the pods away; the volumes stay.
    #[track_caller]
    pub fn remove_pods(&self) {
        self.must(&["pod", "rm", "--all", "--force", "--time=0"]);
    }

    /// Both streams of a container so far.
    pub fn logs(&self, container: &str) -> String {
        let logs = self.ask(&["logs", container]);
        logs.stdout + &logs.stderr
    }

    #[track_caller]
    pub fn wait_for(&self, container: &str, text: &str) {
        wait_for_text(&format!("the log of {container}"), text, || self.logs(container));
    }

    /// A fact of `podman inspect`, by a Go template.
    #[track_caller]
    pub fn fact(&self, container: &str, template: &str) -> String {
        self.must(&["container", "inspect", "--format", template, container])
    }

    /// Where a volume's files are.
    #[track_caller]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.must(&["volume", "inspect", "--format", "{{.Mountpoint}}", name]).into()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // A play that still waits for an init container has the pod's lock: `rm` alone would wait for it.
        self.ask(&["kill", "--all"]);
        self.ask(&["pod", "rm", "--all", "--force", "--time=0"]);
        self.ask(&["rm", "--all", "--force", "--time=0"]);
        self.ask(&["network", "rm", &self.network]);
        for folder in [&self.place.root, &self.place.run] {
            if let Err(error) = fs::remove_dir_all(folder) {
                eprintln!("{} stays: {error}", folder.display());
            }
        }
    }
}
