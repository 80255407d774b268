//! `pg_dump` and `pg_restore` as child processes: found, run, ended, their words passed on.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Postgres, connect};
use crate::database::url::{Address, SslMode};

/// How long a child may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_millis(500);
/// Lines of a tool's output that an error quotes.
const QUOTED: usize = 5;

/// The tools that were found.
#[derive(Clone, Debug)]
pub struct Tools {
    pub dump: PathBuf,
    pub restore: PathBuf,
    /// As `pg_dump --version` says it.
    pub version: String,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("{tool} was not found ({detail})")]
    Missing { tool: String, detail: String },
    #[error("{tool} is version {version}, older than {than}")]
    TooOld { tool: String, version: u32, than: String },
    #[error("{tool} could not be run: {error}")]
    NotRun { tool: String, error: std::io::Error },
    #[error("{tool} was killed by signal {signal}{output}", output = said(output))]
    Killed { tool: String, signal: i32, output: String },
    #[error("{tool} failed with code {code}{output}", output = said(output))]
    Failed { tool: String, code: i32, output: String },
}

impl DumpError {
    /// Whether a table stayed locked for as long as the tool waits.
    pub fn is_contended(&self) -> bool {
        matches!(self, DumpError::Failed { output, .. } if output.contains("due to lock timeout"))
    }

    /// Whether the disk was full, or a quota or the limit for a file's size was used up.
    pub fn is_no_room(&self) -> bool {
        const FULL: [&str; 3] = ["No space left", "Disk quota exceeded", "File too large"];
        match self {
            DumpError::Failed { output, .. } => FULL.iter().any(|text| output.contains(text)),
            DumpError::Killed { signal, .. } => *signal == Signal::XFSZ.as_raw(),
            _ => false,
        }
    }
}

/// What a tool has said, as the end of a sentence.
fn said(output: &str) -> String {
    if output.is_empty() { " and said nothing".into() } else { format!(": {output}") }
}

impl Tools {
    /// Finds a `pg_dump` that is not older than the server: the one configured, or the first of PATH and the
    /// newest of Debian's folders that suits.
    ///
    /// # Errors
    /// None, or only older ones.
    pub async fn find(configured: Option<&Path>, server: u32) -> Result<Tools, DumpError> {
        let candidates = configured.map_or_else(|| candidates("pg_dump"), |path| vec![path.to_owned()]);
        let mut best = missing("pg_dump");
        for dump in candidates {
            match version(&dump).await {
                Ok((major, _)) if major < server => {
                    best = DumpError::TooOld {
                        tool: dump.display().to_string(),
                        version: major,
                        than: format!("the server's {server}"),
                    };
                }
                Ok((major, version)) => {
                    let restore = reader(&dump, major).await?;
                    return Ok(Tools { dump, restore, version });
                }
                Err(error) if matches!(best, DumpError::TooOld { .. }) => {
                    tracing::debug!("{error}");
                }
                Err(error) => best = error,
            }
        }
        Err(best)
    }

    /// Dumps into `file`, which exists with the mode that it is to keep.
    ///
    /// # Errors
    /// What the tool said.
    pub async fn dump(&self, server: &Postgres, lock_wait: Duration, file: &Path) -> Result<(), DumpError> {
        let mut command = command(&self.dump);
        command.args(["--format=custom", "--no-password"]);
        command.arg(format!("--lock-wait-timeout={}", lock_wait.as_millis()));
        command.arg("--file").arg(file);
        connection(&mut command, server);
        run(command, "pg_dump").await
    }

    /// Reads the whole archive back: `--list` alone accepts a truncated one (CONTRACT, 'Backup').
    ///
    /// # Errors
    /// What the tool said.
    pub async fn read_back(&self, file: &Path) -> Result<(), DumpError> {
        let mut command = command(&self.restore);
        command.arg("--file=/dev/null").arg(file);
        run(command, "pg_restore").await
    }
}

fn missing(tool: &str) -> DumpError {
    let detail = "not on PATH and not in /usr/lib/postgresql; install postgresql-client";
    DumpError::Missing { tool: tool.into(), detail: detail.into() }
}

/// A `pg_restore` that can read what this `pg_dump` writes: its neighbour, or another that is not older.
async fn reader(dump: &Path, written: u32) -> Result<PathBuf, DumpError> {
    let neighbour =
        Some(dump.with_file_name("pg_restore")).filter(|path| path.components().count() > 1 && path.exists());
    let mut best = missing("pg_restore");
    for restore in neighbour.into_iter().chain(candidates("pg_restore")) {
        match version(&restore).await {
            Ok((major, _)) if major >= written => return Ok(restore),
            Ok((version, _)) => {
                best = DumpError::TooOld {
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

/// PATH first, then Debian's versioned folders, newest first.
fn candidates(tool: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).map(|folder| folder.join(tool)).filter(|file| file.is_file()).collect();
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versioned: Vec<(u32, PathBuf)> = folders
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(tool)))
        })
        .filter(|(_, file)| file.exists())
        .collect();
    versioned.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.extend(versioned.into_iter().map(|(_, file)| file));
    found
}

/// `pg_dump (PostgreSQL) 15.18 (Debian ...)`
async fn version(path: &Path) -> Result<(u32, String), DumpError> {
    let tool = path.display().to_string();
    let mut command = command(path);
    command.arg("--version").stdout(Stdio::piped());
    let spawned = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => DumpError::Missing { tool: tool.clone(), detail: error.to_string() },
        _ => DumpError::NotRun { tool: tool.clone(), error },
    });
    let mut child = Running(spawned?);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    let (text, complaint) = tokio::join!(all(stdout), all(stderr));
    let status = child.0.wait().await.map_err(|error| DumpError::NotRun { tool: tool.clone(), error })?;
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let major = number.and_then(|word| word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    match major {
        Some(major) => Ok((major, text)),
        None => {
            let complaint =
                if complaint.is_empty() { "it does not say which version it is" } else { &complaint };
            judge(status, &tool, complaint.to_owned())?;
            Err(DumpError::Failed { tool, code: 0, output: complaint.to_owned() })
        }
    }
}

/// What a short-spoken tool says, on one line.
async fn all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).trim().replace('\n', " / ")
}

/// A command that inherits no secret and no PG* variable, ends with us, and speaks English.
fn command(tool: &Path) -> Command {
    let mut command = Command::new(tool);
    command.env_clear().env("LC_ALL", "C");
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: prctl is async-signal-safe; nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into));
    }
    command
}

/// The connection's parts, by environment only: arguments are for everybody to read.
fn connection(command: &mut Command, server: &Postgres) {
    let login = &server.login;
    let user = login.user.as_deref().unwrap_or_default();
    match &server.host.address {
        Address::Tcp(name) => command.env("PGHOST", name),
        Address::Socket(folder) => command.env("PGHOST", folder),
    };
    if let Some(address) = &server.host.hostaddr {
        command.env("PGHOSTADDR", address);
    }
    command.env("PGPORT", server.host.port.to_string());
    command
        .env("PGUSER", user)
        .env("PGDATABASE", &server.facts.database)
        .env("PGAPPNAME", "lockkeeper pg_dump");
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
    let files = [
        ("PGSSLROOTCERT", &login.tls.root_cert),
        ("PGSSLCERT", &login.tls.cert),
        ("PGSSLKEY", &login.tls.key),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            command.env(name, file);
        }
    }
    if let Some(options) = &login.options {
        command.env("PGOPTIONS", options);
    }
}

/// Runs a tool to its end; what it prints is logged line by line. Dropping the future ends the tool.
async fn run(mut command: Command, tool: &'static str) -> Result<(), DumpError> {
    let child = command.spawn().map_err(|error| DumpError::NotRun { tool: tool.into(), error })?;
    let mut child = Running(child);
    let mut last = Vec::new();
    if let Some(stderr) = child.0.stderr.take() {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            tracing::info!(tool, "{line}");
            last.push(line);
        }
    }
    let status = child.0.wait().await.map_err(|error| DumpError::NotRun { tool: tool.into(), error })?;
    let output = last[last.len().saturating_sub(QUOTED)..].join(" / ");
    judge(status, tool, output)
}

fn judge(status: ExitStatus, tool: &str, output: String) -> Result<(), DumpError> {
    let tool = tool.to_owned();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(DumpError::Failed { tool, code, output }),
        (None, signal) => Err(DumpError::Killed { tool, signal: signal.unwrap_or(0), output }),
    }
}

/// A child and its group, ended when dropped: first asked, so that it cancels its query on the server, then forced.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
            return;
        };
        let _ = kill_process_group(pid, Signal::TERM);
        let until = std::time::Instant::now() + FAREWELL;
        while matches!(self.0.try_wait(), Ok(None)) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
