//! Execution of a tool as a child process: in a clean environment, with its output logged, and ended together with this
//! process.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal, umask};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use super::tool_error::{FailureReason, ToolError};
use crate::masking::ToolOutput;

/// The time in which a child process may end after SIGTERM.
const FAREWELL: Duration = Duration::from_millis(500);
/// The number of lines of a tool's output that an error quotes.
const QUOTED: usize = 5;

/// The longest time that a tool may take to print its version.
const VERSION_TIME: Duration = Duration::from_secs(30);

/// Runs a tool with `--version`, which prints `pg_dump (PostgreSQL) 15.18 (Debian ...)`; returns the major version and
/// the output.
pub(crate) async fn version(path: &Path) -> Result<(u32, String), ToolError> {
    let tool = path.display().to_string();
    let mut command = command(path);
    command.arg("--version").stdout(Stdio::piped());
    let spawned = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ToolError::Missing { tool: tool.clone(), detail: error.to_string() },
        _ => ToolError::NotRun { tool: tool.clone(), error },
    });
    let not_run = |error| ToolError::NotRun { tool: tool.clone(), error };
    let mut child = ChildGroup(spawned?);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    let answer = async {
        let (text, complaint) = tokio::join!(first_bytes(stdout), first_bytes(stderr));
        Ok((child.0.wait().await?, text?, complaint?))
    };
    let answered = tokio::time::timeout(VERSION_TIME, answer).await;
    let silent = |_| std::io::Error::other(format!("it has not told its version within {VERSION_TIME:?}"));
    let (status, text, complaint) = answered.map_err(silent).flatten().map_err(not_run)?;
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let major = number.and_then(|word| word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    match major {
        Some(major) => Ok((major, text)),
        None => {
            let complaint = if complaint.is_empty() { "it does not say which version it is" } else { &complaint };
            check_status(status, &tool, &[complaint.to_owned()])?;
            let (output, reason) = (complaint.to_owned(), FailureReason::Other);
            Err(ToolError::Failed { tool, code: 0, output, reason })
        }
    }
}

/// Reads the output of a tool, at most 4096 bytes, and returns it as one line.
///
/// # Errors
/// Fails when the tool writes more than that, or the pipe cannot be read.
async fn first_bytes(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    const MOST: u64 = 4096;
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST + 1).read_to_end(&mut bytes).await?;
    }
    match bytes.len() as u64 > MOST {
        true => Err(std::io::Error::other(format!("it writes more than {MOST} bytes about its version"))),
        false => Ok(String::from_utf8_lossy(&bytes).trim().replace('\n', " / ")),
    }
}

/// Returns a command that inherits no secret and no PG* variable, ends with this process, and writes English messages.
pub(crate) fn command(tool: &Path) -> Command {
    let mut command = Command::new(tool);
    command.env_clear().env("LC_ALL", "C");
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: prctl and umask are async-signal-safe; nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // The files of an archive that is a directory are for this user only, as a single file is.
            umask(Mode::RWXG | Mode::RWXO);
            set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
        });
    }
    command
}

/// Runs a tool to its end and logs its output line by line. Dropping the future ends the tool.
pub(crate) async fn run(command: Command, tool: &'static str) -> Result<(), ToolError> {
    run_forgiving(command, tool, |_| false).await
}

/// Runs a tool as [`run`] does; a failure counts as success if `forgiven` accepts the lines that the tool has written.
pub(crate) async fn run_forgiving(
    mut command: Command,
    tool: &'static str,
    forgiven: impl Fn(&[String]) -> bool,
) -> Result<(), ToolError> {
    let child = command.spawn().map_err(|error| ToolError::NotRun { tool: tool.into(), error })?;
    let mut child = ChildGroup(child);
    let said = log_lines(child.0.stderr.take(), tool).await;
    let status = child.0.wait().await.map_err(|error| ToolError::NotRun { tool: tool.into(), error })?;
    if status.code().is_some() && forgiven(&said) {
        return Ok(());
    }
    check_status(status, tool, &said)
}

/// Logs the error output of a tool line by line until its end, and returns the lines.
pub(crate) async fn log_lines(stderr: Option<ChildStderr>, tool: &'static str) -> Vec<String> {
    let mut said = Vec::new();
    let mut output = ToolOutput::default();
    if let Some(stderr) = stderr {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            let line = output.mask(tool, &line);
            tracing::info!(tool, "{line}");
            said.push(line);
        }
    }
    said
}

/// Returns the lines that an error quotes: those from the first error on, because a tool may print a long query after
/// it; the last ones when no line is marked as an error.
fn quoted(lines: &[String]) -> String {
    let first = lines.iter().position(|line| line.contains(" error: "));
    let first = first.unwrap_or_else(|| lines.len().saturating_sub(QUOTED));
    let quoted: Vec<&str> = lines[first..].iter().take(QUOTED).map(String::as_str).collect();
    quoted.join(" / ")
}

/// Reports whether the only error that `pg_restore` ignored is that of a server that does not know
/// `transaction_timeout`. A tool that does not send this setting has met another error.
pub(crate) fn only_unknown_setting(said: &[String]) -> bool {
    let one = said.last().is_some_and(|line| line == "pg_restore: warning: errors ignored on restore: 1");
    let unknown = "unrecognized configuration parameter \"transaction_timeout\"";
    one && said.iter().any(|line| line.contains(unknown))
}

/// Checks the exit status of a tool that has written `lines`.
///
/// # Errors
/// Fails when the tool was killed or has failed.
pub(crate) fn check_status(status: ExitStatus, tool: &str, lines: &[String]) -> Result<(), ToolError> {
    let (tool, output) = (tool.to_owned(), quoted(lines));
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(ToolError::Failed { tool, code, output, reason: FailureReason::find(lines) }),
        (None, signal) => Err(ToolError::Killed { tool, signal: signal.unwrap_or(0), output }),
    }
}

/// A child process with its process group. Dropping it ends them: SIGTERM first, so that the tool cancels its query on
/// the server, then SIGKILL.
pub(crate) struct ChildGroup(pub(crate) Child);

impl Drop for ChildGroup {
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

#[cfg(test)]
mod tests {
    use super::{FailureReason, only_unknown_setting, quoted};

    #[test]
    fn the_reason_is_found_however_much_follows_it() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let query = "\npg_dump: detail: Query was: SELECT 1,\n2,\n3,\n4,\n5,\n6";
        let lost = "pg_dump: hint: none\npg_dump: error: query failed: server closed the connection unexpectedly";
        let snapshot = "pg_dump: error: query failed: ERROR:  invalid snapshot identifier: \"00000003-0000001B-1\"";
        for (text, reason) in [
            (format!("{lost}{query}"), FailureReason::Lost),
            (format!("{snapshot}{query}"), FailureReason::Lost),
            (format!("pg_dump: error: oh no{query}"), FailureReason::Other),
        ] {
            assert_eq!(FailureReason::find(&lines(&text)), reason, "{text}");
            assert!(quoted(&lines(&text)).starts_with("pg_dump: error: "), "{text}");
        }
        assert_eq!(quoted(&lines("1\n2\n3\n4\n5\n6")), "2 / 3 / 4 / 5 / 6");
    }

    #[test]
    fn another_error_is_not_taken_for_the_unknown_setting() {
        let setting = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"";
        let other = "pg_restore: error: could not execute query: ERROR:  relation \"t\" does not exist";
        let end = |count: u32| format!("pg_restore: warning: errors ignored on restore: {count}");
        let forgiven =
            |lines: &[&str]| only_unknown_setting(&lines.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(forgiven(&[setting, "Command was: SET transaction_timeout = 0;", &end(1)]));
        assert!(!forgiven(&[other, &end(1)]));
        assert!(!forgiven(&[setting, other, &end(2)]));
        assert!(!forgiven(&[setting, "pg_restore: error: could not read from input file: end of file"]));
    }
}
