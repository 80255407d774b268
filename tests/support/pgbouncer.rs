//! Runs a real pgbouncer in front of a server.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use super::postgres::{PASSWORD, Postgres, USER, url};
use super::process::{Daemon, clean_command, give_to_server_user, must_run};
use super::{DEFAULT_TIMEOUT, free_port, server_directory, wait_until};

/// A pooler that forwards every database of its server. Dropping it stops it.
pub struct Pgbouncer {
    _daemon: Daemon,
    directory: TempDir,
    port: u16,
}

impl Pgbouncer {
    /// Starts a pooler. `mode` is `session`, `transaction` or `statement`; `settings` are lines of its [pgbouncer]
    /// section, such as `ignore_startup_parameters = extra_float_digits`: by default it refuses clients that send that.
    pub fn start(server: &Postgres, mode: &str, settings: &[&str]) -> Self {
        let directory = server_directory("bouncer");
        let port = free_port();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("users"), format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("a list of users");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\nadmin_users = {USER}\npool_mode = {mode}\n{}\n",
            server.port(),
            path("users").display(),
            settings.join("\n")
        );
        fs::write(path("ini"), settings).expect("pgbouncer's settings");
        for file in [directory.path().to_owned(), path("users"), path("ini")] {
            give_to_server_user(&file);
        }
        let program = program();
        let ini = path("ini");
        let mut daemon = Daemon::start(&program, &[ini.to_str().expect("a plain path")], &path("log"), Signal::KILL);
        wait_until("pgbouncer listens", DEFAULT_TIMEOUT, || {
            if daemon.has_ended() {
                panic!("pgbouncer has ended:\n{}", fs::read_to_string(path("log")).unwrap_or_default());
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Self { _daemon: daemon, directory, port }
    }

    /// Returns whether it has `max_prepared_statements`, which came with 1.21. Older versions behave as if it were 0.
    pub fn supports_prepared_statements() -> bool {
        let mut version = clean_command(program());
        version.arg("--version");
        let text = must_run(version);
        let number = text.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a version");
        let mut parts = number.split('.').map(|part| part.parse::<u32>().expect("a number"));
        (parts.next(), parts.next()) >= (Some(1), Some(21))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the superuser's URL for a database of the server, through the pooler.
    pub fn url(&self, database: &str) -> String {
        url(USER, PASSWORD, self.port, database)
    }

    /// Returns all that it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.path().join("log")).unwrap_or_default()).into_owned()
    }
}

fn program() -> PathBuf {
    let mut find = clean_command("sh");
    find.args(["-c", "command -v pgbouncer || echo 'pgbouncer is missing: run tests/install'"]);
    must_run(find).trim().into()
}
