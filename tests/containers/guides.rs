//! Runs the commands of `docs/containers.md` as they are printed, one after the other, in a clone of this repository.
//!
//! The info string of a fence says what is done with the block; anything else fails:
//!
//! - `console`: run. `# ends 1` is the exit code; every line that is printed below a command has to be in its output, except for times.
//!   The word FILE is the newest backup of the list that was printed last.
//! - `console built`: `tests/containers/run` has done it, to make the images that are tested.
//! - `... file=NAME`: written to NAME before the next commands, one of which has to use it.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::engine::{Container, Finished, PASSWORD, client_output, docker, run_client};
use crate::image::server_with_tls;
use crate::support::guide::{Block, Line, blocks};
use crate::support::{temporary_directory, unique};

const GUIDE: &str = "containers.md";

/// The images that the commands create.
const IMAGES: [&str; 3] = ["lockkeeper:0.1.0-pg17", "shop-migrate:1.4.0", "shop-server:1.4.0"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A clone of the repository, as far as the commands need it, and a Compose project.
struct Clone {
    directory: TempDir,
    project: String,
    /// The newest backup that was listed.
    backup: String,
}

impl Clone {
    fn new() -> Clone {
        let clone = Clone { directory: temporary_directory("clone"), project: unique("lk"), backup: String::new() };
        let names = [
            ".cargo",
            ".dockerignore",
            "Cargo.lock",
            "Cargo.toml",
            "Dockerfile",
            "docker-compose.yml",
            "migrations",
            "src",
        ];
        let mut copy = Command::new("cp");
        copy.arg("-a").args(names.map(|name| root().join(name))).arg(clone.directory.path());
        assert!(copy.status().expect("cp").success());
        // The engine of the tests has no bridge network to build on.
        let wrapper = "#!/bin/bash\n[ \"$1\" != build ] || set -- build --network host \"${@:2}\"\n\
            PATH=${PATH#*:} exec docker \"$@\"\n";
        clone.write("bin/docker", wrapper);
        assert!(Command::new("chmod").arg("+x").arg(clone.path("bin/docker")).status().expect("chmod").success());
        clone
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    fn shell(&self, line: &str) -> Finished {
        let mut bash = Command::new("bash");
        let bin = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("PATH"));
        bash.envs(docker().get_envs().filter_map(|(name, value)| Some((name, value?))));
        bash.env("PATH", bin).env("COMPOSE_PROJECT_NAME", &self.project).env("DOCKER_BUILDKIT", "1");
        bash.args(["-o", "pipefail", "-c", line]).current_dir(self.directory.path());
        bash.stdin(std::process::Stdio::null());
        Finished::from_output(bash.output().expect("bash"))
    }

    fn run(&mut self, line: &Line) {
        let finished = self.shell(&line.command.replace("FILE", &self.backup));
        assert_eq!(finished.code, line.code, "{}\n{finished}", line.command);
        for printed in line.printed.lines() {
            let actual = finished.stdout.lines().chain(finished.stderr.lines());
            let found = actual.into_iter().any(|actual| is_same_line(printed, actual));
            assert!(found, "{}\ndoes not print\n{printed}\n{finished}", line.command);
        }
        if line.command.ends_with(" backups") {
            let dump = finished.stdout.split_whitespace().find(|word| word.ends_with(".dump"));
            self.backup = dump.unwrap_or_else(|| panic!("no backup: {finished}")).into();
        }
    }

    /// Starts what the reader has in addition to a file: a pooler, or a database of a provider. It is removed when
    /// dropped.
    fn start_service(&self, name: &str) -> Option<Box<dyn Any>> {
        let network = format!("{}_default", self.project);
        match name {
            "pgbouncer.yml" => Some(Box::new(self.pooler(&network))),
            "managed.yml" => {
                let (database, directory) = server_with_tls("DNS:db.example.com");
                database.join(&network, "db.example.com");
                fs::copy(directory.path().join("ca.crt"), self.path("ca.pem")).expect("a copy");
                self.write("secrets/db_password", PASSWORD);
                Some(Box::new((database, directory)))
            }
            _ => None,
        }
    }

    /// Starts a pooler with transaction pooling in front of the project's server. (Without the setting it would refuse
    /// our startup parameter: 76.)
    fn pooler(&self, network: &str) -> Container {
        let password = self.shell("docker compose exec -T db cat /run/secrets/db_password").stdout;
        self.write("pooler/users", &format!("\"devops_hub\" \"{password}\"\n"));
        self.write(
            "pooler/pgbouncer.ini",
            "[databases]\n* = host=db\n[pgbouncer]\nlisten_addr = *\nlisten_port = 6432\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = /settings/users\npool_mode = transaction\n\
             ignore_startup_parameters = extra_float_digits\n",
        );
        let mount = format!("{}:/settings:ro", self.path("pooler").display());
        let pooler = Container::start(&[
            "--network",
            network,
            "--network-alias=pgbouncer",
            "--volume",
            &mount,
            "lockkeeper-test/pgbouncer:1",
        ]);
        pooler.wait_for("process up");
        pooler
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        self.shell("docker compose --profile '*' down --volumes --remove-orphans --timeout 0");
        for image in IMAGES {
            run_client(&["image", "rm", "--force", image]);
        }
    }
}

/// Returns whether two lines are equal, except for times. Sizes may differ by a sixth: the packages of a base image are
/// not ours.
fn is_same_line(printed: &str, actual: &str) -> bool {
    let time = |word: &str| word.len() == 9 && word.ends_with('Z') && word.contains(':');
    let size = |word: &str| word.strip_suffix("MB").and_then(|number| number.parse::<f64>().ok());
    let is_same_word = |(one, other): (&str, &str)| {
        let durations = [one, other].iter().all(|word| word.starts_with("duration_ms="));
        let sizes = size(one).zip(size(other)).is_some_and(|(one, other)| (one - other).abs() < one / 6.0);
        one == other || (time(one) && time(other)) || durations || sizes
    };
    let actual = without_control_sequences(actual);
    let (printed, actual): (Vec<&str>, Vec<&str>) =
        (printed.split_whitespace().collect(), actual.split_whitespace().collect());
    printed.len() == actual.len() && printed.into_iter().zip(actual).all(is_same_word)
}

/// Removes the control sequences of a line: `compose logs` of 2.26 moves the cursor, even in a file.
fn without_control_sequences(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| !c.is_alphabetic()).get(1..).unwrap_or(""))
}

/// Expects that each command is one of those that built the images of the tests.
fn expect_built(block: &Block) {
    let script = fs::read_to_string(root().join("tests/containers/run")).expect("the script");
    for line in block.lines() {
        let words: Vec<&str> = line.command.split(' ').collect();
        let ["docker", "build", "-t", tag, options @ .., "."] = words.as_slice() else {
            panic!("another command: {}", line.command);
        };
        let made = [&["    build", tag], options].concat().join(" ");
        assert!(script.lines().any(|line| line == made), "tests/containers/run does not: {made}");
        client_output(&["image", "inspect", tag]);
    }
}

/// Returns whether a command uses a file: by its name, by its directory, or because Compose finds it by itself.
fn uses(line: &Line, file: &str) -> bool {
    let directory = file.split_once('/').map_or(file, |(directory, _)| directory);
    let by_itself = file == "docker-compose.override.yml" && line.command.starts_with("docker compose up --build");
    line.command.contains(directory) || by_itself
}

#[test]
fn the_commands_run_as_they_are_printed() {
    let mut clone = Clone::new();
    let mut start_service = None;
    let mut count = 0;
    for block in blocks(GUIDE) {
        match (block.info.as_str(), block.info.split_once(" file=")) {
            ("console built", _) => expect_built(&block),
            ("console", _) => {
                block.lines().iter().for_each(|line| clone.run(line));
                count += block.lines().len();
                start_service = None;
            }
            (_, Some((_, name))) => {
                clone.write(name, &block.text);
                start_service = start_service.or(clone.start_service(name));
            }
            (info, None) => panic!("nothing is done with a block of {info:?}"),
        }
    }
    assert!(count > 25, "the guide has lost its commands: {count}");
}

#[test]
fn every_file_of_the_guide_is_used_by_a_command_that_follows() {
    let blocks = blocks(GUIDE);
    let mut files = 0;
    for (at, block) in blocks.iter().enumerate() {
        let Some((_, name)) = block.info.split_once(" file=") else { continue };
        let lines = blocks[at..].iter().filter(|block| block.info == "console").flat_map(Block::lines);
        assert!(lines.into_iter().any(|line| uses(&line, name)), "nothing uses {name}");
        files += 1;
    }
    assert!(files > 4, "only {files} files are shown");
}
