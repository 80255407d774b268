//! A tool as a child process: run with a clean environment, its words passed on, ended with us.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a child may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_millis(500);
/// Lines of a tool's output that an error quotes.
const QUOTED: usize = 5;

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("{tool} was not found ({detail})")]
    Missing { tool: String, detail: String },
    #[error("{tool} is version {version}, older than {than}")]
    TooOld { tool: String, version: u32, than: String },
    #[error(
        "{tool} is version {version}: it cannot replace what is in a server of version {server} in one transaction"
    )]
    TooNew { tool: String, version: u32, server: u32 },
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

    /// Whether the tool has lost its session, or got none from a server that may have room for it later. Most words are
    /// libpq's, which speaks English here.
    pub fn is_lost(&self) -> bool {
        const GONE: [&str; 9] = [
            "server closed the connection",
            "SSL connection has been closed",
            "no connection to the server",
            "could not receive data from server",
            "Connection refused",
            "the database system is ",
            "too many clients already",
            "too many connections for",
            "remaining connection slots",
        ];
        matches!(self, DumpError::Failed { output, .. } if GONE.iter().any(|text| output.contains(text)))
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

/// What a short-spoken tool says, on one line.
pub async fn all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).trim().replace('\n', " / ")
}

/// A command that inherits no secret and no PG* variable, ends with us, and speaks English.
pub fn command(tool: &Path) -> Command {
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

/// Runs a tool to its end; what it prints is logged line by line. Dropping the future ends the tool.
pub async fn run(mut command: Command, tool: &'static str) -> Result<(), DumpError> {
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

pub fn judge(status: ExitStatus, tool: &str, output: String) -> Result<(), DumpError> {
    let tool = tool.to_owned();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(DumpError::Failed { tool, code, output }),
        (None, signal) => Err(DumpError::Killed { tool, signal: signal.unwrap_or(0), output }),
    }
}

/// A child and its group, ended when dropped: first asked, so that it cancels its query on the server, then forced.
pub struct Running(pub Child);

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
