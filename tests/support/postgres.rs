//! A real PostgreSQL server of the tests, and databases in it.
//!
//! Most tests share one server and get a database each: `Postgres::shared().database("name")`. A test that needs
//! settings of its own, or stops the server, starts one: `Postgres::start(Setup::default().conf("..."))`.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;
use tempfile::TempDir;

use super::database::PgDatabase;
use super::process::{
    Daemon, give_to_server_user, must_run, postgres_program, run_with_input, server_command, with_small_disk,
};
use super::template;
use super::tls::Certificate;
use super::{DEFAULT_TIMEOUT, free_port, server_directory, unique, wait_until};

/// The superuser of every server.
pub const USER: &str = "postgres";
/// The superuser's password: a canary that no output may show.
pub const PASSWORD: &str = "canary7secret";

/// The differences from an ordinary server.
#[derive(Default)]
pub struct Setup {
    conf: Vec<String>,
    hba: Vec<String>,
    certificate: Option<Certificate>,
    small_disk: Option<u64>,
}

impl Setup {
    /// Adds a line to postgresql.conf; it overrides the harness's own.
    pub fn conf(mut self, line: &str) -> Self {
        self.conf.push(line.into());
        self
    }

    /// Adds a line to pg_hba.conf, before the ordinary ones, which ask everyone for a password. The superuser can
    /// always log in by the socket: the harness needs it.
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.into());
        self
    }

    /// Mounts a small file system of `bytes` bytes at `Postgres::small_disk`.
    pub fn small_disk(mut self, bytes: u64) -> Self {
        self.small_disk = Some(bytes);
        self
    }

    /// Offers TLS with this certificate. To insist on it, add `.hba("hostnossl all all all reject")`.
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }
}

/// The shutdown mode of a server.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Smart shutdown: waits until all clients have disconnected.
    Smart,
    /// Fast shutdown: ends all sessions, then shuts down.
    Fast,
    /// Immediate shutdown, like a crash: the next start recovers.
    Immediate,
}

/// A PostgreSQL server. Dropping it stops it and removes its files.
pub struct Postgres {
    server: Mutex<Option<Daemon>>,
    directory: TempDir,
    port: u16,
    disk: Option<u64>,
}

impl Postgres {
    /// Returns the server that all tests share. Take care with what belongs to the whole server: roles, settings.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Setup::default()))
    }

    /// Starts a server of its own, ready for connections.
    pub fn start(setup: Setup) -> Self {
        let server = Self::start_later(setup);
        server.boot();
        server
    }

    /// Prepares a server that is complete but not running: `boot` starts it.
    pub fn start_later(setup: Setup) -> Self {
        let mut server = Self::without_data();
        server.disk = setup.small_disk;
        must_run(template::copy_command(template::path(), &server.data()));
        server.configure(&setup);
        server
    }

    /// Starts a hot standby that follows `primary`.
    pub fn standby_of(primary: &Postgres) -> Self {
        let server = Self::without_data();
        let mut command = server_command(postgres_program("pg_basebackup"), &[]);
        primary.set_connection(&mut command, "postgres");
        command.args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast", "--wal-method=stream", "--pgdata"]);
        command.arg(server.data());
        must_run(command);
        server.configure(&Setup::default());
        server.boot();
        server
    }

    /// Starts a server on the files that `restore` puts into the data directory, with further settings, and waits until it
    /// is a primary. It archives nothing.
    pub fn recovered(settings: &[&str], restore: impl FnOnce(&Path)) -> Self {
        let server = Self::without_data();
        restore(&server.data());
        let setup = settings.iter().fold(Setup::default().conf("archive_mode = off"), |setup, line| setup.conf(line));
        server.configure(&setup);
        server.boot();
        wait_until("the recovery has ended", DEFAULT_TIMEOUT, || {
            server.query("select pg_is_in_recovery()").trim() == "f"
        });
        server
    }

    fn without_data() -> Self {
        let directory = server_directory("pg");
        give_to_server_user(directory.path());
        Self { server: Mutex::new(None), directory, port: free_port(), disk: None }
    }

    fn configure(&self, setup: &Setup) {
        let mut conf = format!(
            "\n# The tests' settings\nport = {}\nlisten_addresses = '127.0.0.1, ::1'\nunix_socket_directories = '{}'\n",
            self.port,
            self.socket_dir().display()
        );
        conf.push_str(
            "max_connections = 200\nshared_buffers = 64MB\nmax_wal_size = 1GB\n\
             fsync = off\nfull_page_writes = off\n\
             dynamic_shared_memory_type = mmap\nlog_connections = on\nlog_line_prefix = '%m [%p] %q%u@%d %a '\n",
        );
        if let Some(certificate) = &setup.certificate {
            self.install(&certificate.certificate, "server.crt");
            self.install(&certificate.key, "server.key");
            conf.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
        }
        for line in &setup.conf {
            conf.push_str(line);
            conf.push('\n');
        }
        let mut file = File::options().append(true).open(self.data().join("postgresql.conf")).expect("postgresql.conf");
        file.write_all(conf.as_bytes()).expect("write postgresql.conf");

        let hba = format!(
            "local all {USER} scram-sha-256\n{}\nlocal all all scram-sha-256\n\
             host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n\
             local replication {USER} scram-sha-256\nhost replication {USER} 127.0.0.1/32 scram-sha-256\n",
            setup.hba.join("\n")
        );
        fs::write(self.data().join("pg_hba.conf"), hba).expect("write pg_hba.conf");
    }

    /// Copies a file into the data directory with the owner and mode that the server insists on.
    fn install(&self, source: &Path, name: &str) {
        let path = self.data().join(name);
        fs::copy(source, &path).expect("copy a file for TLS");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        give_to_server_user(&path);
    }

    /// Starts the server and waits until it answers.
    pub fn boot(&self) {
        let mut server = self.server.lock().expect("server");
        assert!(server.is_none(), "the server on port {} runs already", self.port);
        let data = self.data();
        let arguments = ["-D", data.to_str().expect("a plain path")];
        // QUIT is an immediate shutdown: nobody needs the data of a test that has ended.
        let outer = self.disk.map(|bytes| {
            fs::create_dir_all(self.small_disk()).expect("a directory for a disk");
            with_small_disk(&self.small_disk(), bytes)
        });
        let daemon = server.insert(Daemon::start_under(
            outer,
            &postgres_program("postgres"),
            &arguments,
            &self.log_path(),
            Signal::QUIT,
        ));
        let start = Instant::now();
        loop {
            let Err(complaint) = self.psql("postgres", "select 1") else {
                return;
            };
            let late = start.elapsed() > DEFAULT_TIMEOUT;
            if late || daemon.has_ended() {
                panic!("PostgreSQL does not come up: {complaint}\nIts log:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server and waits until it has ended. A server that does not run stays as it is.
    pub fn stop(&self, how: Stop) {
        if let Some(mut server) = self.server.lock().expect("server").take() {
            server.end_with(match how {
                Stop::Smart => Signal::TERM,
                Stop::Fast => Signal::INT,
                Stop::Immediate => Signal::QUIT,
            });
        }
    }

    /// Stops the server and starts it again.
    pub fn restart(&self, how: Stop) {
        self.stop(how);
        self.boot();
    }

    /// Promotes a standby to a primary, and waits until it is one.
    pub fn promote(&self) {
        let answer = self.query("select pg_promote(true, 60)");
        assert_eq!(answer.trim(), "t", "the standby was not promoted");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of the server's Unix socket, for `?host=` of a URL.
    pub fn socket_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the mount point of `Setup::small_disk`, which only the server sees. Its content is lost when the server
    /// stops.
    pub fn small_disk(&self) -> PathBuf {
        self.directory.path().join("small")
    }

    /// Returns the process id of the server; panics when it does not run.
    pub fn pid(&self) -> u32 {
        let server = self.server.lock().expect("server");
        server.as_ref().expect("the server does not run").pid()
    }

    /// Returns all that the server has logged so far, each connection included.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Returns the superuser's URL for a database of this server, by TCP.
    pub fn url(&self, database: &str) -> String {
        self.url_as(USER, PASSWORD, database)
    }

    /// Returns a URL for another user, each part percent-encoded.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        url(user, password, self.port, database)
    }

    /// Creates an empty database. Its name begins with `prefix`.
    pub fn database(&self, prefix: &str) -> PgDatabase<'_> {
        self.database_named(&unique(prefix))
    }

    /// Creates an empty database of exactly this name, however unusual.
    pub fn database_named(&self, name: &str) -> PgDatabase<'_> {
        self.execute(&format!("create database {} template template0", quoted(name)));
        PgDatabase::new(self, name)
    }

    /// Runs SQL in the database `postgres`, for roles and settings.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs SQL in the database `postgres` and returns its rows as `PgDatabase::query` does.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.psql("postgres", sql).unwrap_or_else(|complaint| panic!("{complaint}in this SQL: {sql}"))
    }

    /// Ends all sessions of a database, and waits until they have ended.
    pub fn terminate_all(&self, database: &str) {
        let literal = database.replace('\'', "''");
        self.execute(&format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{literal}' and pid <> pg_backend_pid()"
        ));
    }

    /// Returns whether it is running.
    pub fn is_running(&self) -> bool {
        self.server.lock().is_ok_and(|server| server.is_some())
    }

    /// Runs SQL and returns its rows, or the error message of psql.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = run_with_input(self.psql_command(database), sql);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Builds a psql command that reads from stdin, as superuser by the socket.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut command = super::process::clean_command(postgres_program("psql"));
        self.set_connection(&mut command, database);
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        command
    }

    /// Sets the variables that tell one of PostgreSQL's own programs where the server is.
    pub fn set_connection(&self, command: &mut Command, database: &str) {
        command
            .env("PGHOST", self.socket_dir())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", database)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGAPPNAME", "test harness");
    }
}

/// Returns a URL of a server on loopback, each part percent-encoded.
pub fn url(user: &str, password: &str, port: u16, database: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
    let [user, password, database] = [user, password, database].map(|part| utf8_percent_encode(part, RESERVED));
    format!("postgresql://{user}:{password}@127.0.0.1:{port}/{database}")
}

/// Returns a quoted identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
