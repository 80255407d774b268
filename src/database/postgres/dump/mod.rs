//! Location and execution of `pg_dump` and `pg_restore`, with the connection to the server in their environment.

pub(crate) mod archive_list;
pub(crate) mod capacity;
pub(crate) mod compression;
pub(crate) mod request;
pub(crate) mod sample;

use std::fs;
use std::io::Seek;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::tool::{command, only_unknown_setting, run, run_forgiving, version};

pub(crate) use super::tool_error::ToolError;
use super::{Postgres, connect};
use crate::database::url::{Address, SslMode};

/// The connection string by which the tools notice a network that goes silent: the kernel gives a connection up within
/// two minutes, whether the tool waits for an answer (keepalives) or its query is not received (libpq's
/// `tcp_user_timeout`, in ms). Secrets are passed in the environment.
const KEEPALIVES: &str =
    "--dbname=keepalives_idle=30 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=120000";

/// The tools that were found on this machine.
#[derive(Clone, Debug)]
pub(crate) struct DumpTools {
    /// The path of `pg_dump`.
    pub(crate) dump: PathBuf,
    /// The path of `pg_restore`.
    pub(crate) restore: PathBuf,
    /// The output of `pg_dump --version`.
    pub(crate) version: String,
    major: u32,
    restore_major: u32,
}

/// A part of an archive. The two parts, restored one after the other, are the whole archive (manual, pg_restore,
/// `--section`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The definitions of all objects, without rows.
    Definitions,
    /// Rows, and objects built of them; restoring them runs functions of the database in checks and computed values.
    Content,
}

impl Part {
    fn sections(self) -> &'static [&'static str] {
        match self {
            Part::Definitions => &["--section=pre-data"],
            Part::Content => &["--section=data", "--section=post-data"],
        }
    }
}

impl DumpTools {
    /// Finds a `pg_dump` that is not older than the server: the configured one, or else the first suitable one of PATH
    /// and of Debian's versioned directories, where newer versions come first. `server` is the server's major version.
    ///
    /// # Errors
    /// Fails when there is no `pg_dump`, or only older ones, or no `pg_restore` that can read its archives.
    pub(crate) async fn find(configured: Option<&Path>, server: u32) -> Result<DumpTools, ToolError> {
        let candidates = configured.map_or_else(|| candidates("pg_dump"), |path| vec![path.to_owned()]);
        let mut best = missing("pg_dump");
        for dump in candidates {
            match version(&dump).await {
                Ok((major, _)) if major < server => {
                    best = ToolError::TooOld {
                        tool: dump.display().to_string(),
                        version: major,
                        than: format!("the server's {server}"),
                    };
                }
                Ok((major, version)) => {
                    let (restore_major, restore) = reader(&dump, major).await?;
                    return Ok(DumpTools { dump, restore, version, major, restore_major });
                }
                Err(error) if matches!(best, ToolError::TooOld { .. }) => {
                    tracing::debug!("{error}");
                }
                Err(error) => best = error,
            }
        }
        Err(best)
    }

    /// Restores one part of an archive into a database of the server, the content with this number of sessions.
    ///
    /// # Errors
    /// Fails when the tool cannot be run or ends with an error, which is returned.
    pub(crate) async fn restore(
        &self,
        server: &Postgres,
        database: &str,
        (how, part): (RestoreMode, Part),
        (archive, jobs): (&Path, NonZero<usize>),
    ) -> Result<(), ToolError> {
        let mut command = command(&self.restore);
        command.args(["--no-password", KEEPALIVES]).args(part.sections());
        let complains = self.complains(server);
        // Each of several sessions would complain, and the tool would count the complaints.
        if jobs > NonZero::<usize>::MIN && !complains && part == Part::Content {
            command.arg(format!("--jobs={jobs}"));
        }
        match complains {
            true => tracing::info!(
                "pg_restore {} will complain once of transaction_timeout, which a server of version {} does not have",
                self.restore_major,
                server.major()
            ),
            false => drop(command.arg("--exit-on-error")),
        }
        match how {
            RestoreMode::Empty => {}
            RestoreMode::Discarded => drop(command.arg("--no-subscriptions")),
        }
        command.arg(archive);
        connection(&mut command, server, database, self.major);
        command.env("PGAPPNAME", "lockkeeper pg_restore");
        run_forgiving(command, "pg_restore", |said| complains && only_unknown_setting(said)).await
    }

    /// Reports whether the tool begins with a setting that the server does not have: `pg_restore` 17 and newer send
    /// `SET transaction_timeout` to every server.
    fn complains(&self, server: &Postgres) -> bool {
        const SINCE: u32 = 17;
        self.restore_major >= SINCE && server.major() < SINCE
    }

    /// Returns the command that makes a script of an archive; the script drops and creates every object of the archive.
    pub(crate) fn script(&self, archive: &Path) -> Command {
        let mut command = command(&self.restore);
        command.args(["--clean", "--if-exists", "--file=-"]).arg(archive);
        command
    }

    /// Reads the whole archive back from the open file to which it was written, because `--list` alone accepts a
    /// truncated archive.
    ///
    /// # Errors
    /// Fails when the tool cannot be run or ends with an error, which is returned.
    pub(crate) async fn read_back(&self, mut file: &fs::File) -> Result<(), ToolError> {
        let not_run = |error| ToolError::NotRun { tool: self.restore.display().to_string(), error };
        file.rewind().map_err(not_run)?;
        self.read_back_stream(file.try_clone().map_err(not_run)?).await
    }

    /// Reads a whole archive from a file or a pipe.
    ///
    /// # Errors
    /// Fails when the tool cannot be run or ends with an error, which is returned.
    pub(crate) async fn read_back_stream(&self, archive: impl Into<Stdio>) -> Result<(), ToolError> {
        let mut command = command(&self.restore);
        command.arg("--file=/dev/null").stdin(archive);
        run(command, "pg_restore").await
    }
}

/// The kind of database into which an archive is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreMode {
    /// An empty database.
    Empty,
    /// An empty database that is to be dropped again: subscriptions are left out, because a database that has one
    /// cannot be dropped.
    Discarded,
}

fn missing(tool: &str) -> ToolError {
    let detail = "not on PATH and not in /usr/lib/postgresql; install postgresql-client";
    ToolError::Missing { tool: tool.into(), detail: detail.into() }
}

/// Finds a `pg_restore` that can read the archives of this `pg_dump`: the one in the same directory, or another one
/// that is not older. `written` is the major version of `pg_dump`.
async fn reader(dump: &Path, written: u32) -> Result<(u32, PathBuf), ToolError> {
    let neighbour =
        Some(dump.with_file_name("pg_restore")).filter(|path| path.components().count() > 1 && path.exists());
    let mut best = missing("pg_restore");
    for restore in neighbour.into_iter().chain(candidates("pg_restore")) {
        match version(&restore).await {
            Ok((major, _)) if major >= written => return Ok((major, restore)),
            Ok((version, _)) => {
                best = ToolError::TooOld {
                    tool: restore.display().to_string(),
                    version,
                    than: format!("{} ({written})", dump.display()),
                };
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }
    Err(best)
}

/// Returns the paths of a tool: those on PATH first, then those in Debian's versioned directories, newest first.
fn candidates(tool: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).map(|directory| directory.join(tool)).filter(|file| file.is_file()).collect();
    let directories = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versioned: Vec<(u32, PathBuf)> = directories
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(tool))))
        .filter(|(_, file)| file.exists())
        .collect();
    versioned.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.extend(versioned.into_iter().map(|(_, file)| file));
    found
}

/// Sets the connection in the environment of a command, because arguments are visible to every user of the machine.
fn connection(command: &mut Command, server: &Postgres, database: &str, major: u32) {
    let login = &server.login;
    let user = server.user();
    match &server.host.address {
        Address::Tcp(name) => command.env("PGHOST", name),
        Address::Socket(directory) => command.env("PGHOST", directory),
    };
    if let Some(address) = &server.host.hostaddr {
        command.env("PGHOSTADDR", address);
    }
    command.env("PGPORT", server.host.port.to_string());
    command.env("PGUSER", user).env("PGDATABASE", database);
    if let Some(password) = connect::password(login, &server.host, user) {
        command.env("PGPASSWORD", password.expose());
    }
    let mode = match login.tls.mode {
        SslMode::Disable => "disable",
        SslMode::Allow | SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    command.env("PGSSLMODE", mode);
    let files = [("PGSSLROOTCERT", &login.tls.root_cert), ("PGSSLCERT", &login.tls.cert), ("PGSSLKEY", &login.tls.key)];
    for (name, file) in files {
        if let Some(file) = file {
            command.env(name, file);
        }
    }
    // Our root certificates are built in; libpq takes the system's, by this value, from version 16 on (`sslrootcert`).
    if login.tls.mode == SslMode::VerifyFull && login.tls.root_cert.is_none() && major >= 16 {
        command.env("PGSSLROOTCERT", "system");
    }
    if let Some(options) = &login.options {
        command.env("PGOPTIONS", options);
    }
}
