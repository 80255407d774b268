//! A guarded command that runs, under its supervisor.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, setsid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument;

use super::input::InheritedFiles;
use super::output::{OutputUse, keep, pass_on};
use super::processes::{Process, descendants, local_addresses};
use super::protocol::{CommandEnd, KILL, SupervisorReport, TERMINATE};
use super::supervisor::ARGUMENT;
use super::{CommandEnvironment, GuardedCommand};
use crate::signal;

/// The path of this program, also after its file was replaced by another version.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The time for the rest of the output after the last process has ended: something outside may have got the pipe.
const OUTPUT_REST: Duration = Duration::from_secs(1);

/// A command that was started. Dropping it ends the command and its descendants: their supervisor kills them when the
/// connection to it ends.
pub(crate) struct RunningCommand {
    supervisor: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    requests: OwnedWriteHalf,
    /// The tasks that read standard output and standard error.
    output: [Option<JoinHandle<Vec<String>>>; 2],
    /// The process group of the command.
    group: Option<Pid>,
    end: Option<CommandEnd>,
}

impl RunningCommand {
    /// Starts a command with the files that it inherits.
    ///
    /// # Errors
    /// Fails with the error of the system when the command cannot be started.
    pub(crate) async fn start(
        command: &GuardedCommand,
        environment: &CommandEnvironment,
        output_use: OutputUse,
        files: InheritedFiles,
    ) -> io::Result<RunningCommand> {
        let (own_end, their_end) = StdUnixStream::pair()?;
        let mut supervisor = supervisor_command(command, environment, files)?;
        supervisor.stdin(Stdio::from(std::os::fd::OwnedFd::from(their_end)));
        let mut child = supervisor.spawn()?;
        // The command holds the other end of the socket, and would keep it open.
        drop(supervisor);
        own_end.set_nonblocking(true)?;
        let (reports, requests) = UnixStream::from_std(own_end)?.into_split();
        let name = command.name();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = [
            stdout.map(|pipe| match output_use {
                OutputUse::Document => tokio::spawn(keep(pipe).in_current_span()),
                _ => tokio::spawn(pass_on(pipe, name.clone(), output_use).in_current_span()),
            }),
            stderr.map(|pipe| tokio::spawn(pass_on(pipe, name, output_use).in_current_span())),
        ];
        let mut running = RunningCommand {
            supervisor: child,
            reports: BufReader::new(reports).lines(),
            requests,
            output,
            group: None,
            end: None,
        };
        match running.report().await {
            Some(SupervisorReport::Started(pid)) => running.group = Pid::from_raw(pid),
            Some(SupervisorReport::NotStarted(number)) => return Err(io::Error::from_raw_os_error(number)),
            _ => return Err(io::Error::other("the process that supervises the command has ended early")),
        }
        Ok(running)
    }

    /// Reads the next line of the supervisor; `None` when it has ended.
    async fn report(&mut self) -> Option<SupervisorReport> {
        loop {
            match self.reports.next_line().await {
                Ok(Some(line)) => {
                    if let Some(report) = SupervisorReport::parse(&line) {
                        return Some(report);
                    }
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Waits for the end of the command. Processes that it has started may go on. The future may be dropped and made
    /// anew.
    pub(crate) async fn ended(&mut self) -> CommandEnd {
        if let Some(end) = self.end {
            return end;
        }
        let end = match self.report().await {
            Some(SupervisorReport::Ended(end)) => end,
            // Somebody has killed the supervisor. The command itself has died with it.
            _ => {
                if let Some(group) = self.group {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                CommandEnd::Abandoned
            }
        };
        *self.end.insert(end)
    }

    /// Waits until the command and all of its descendants have ended. The future may be dropped and made anew.
    pub(crate) async fn all_ended(&mut self) -> CommandEnd {
        let end = self.ended().await;
        while self.report().await.is_some() {}
        end
    }

    /// Sends SIGTERM to the process group of the command.
    pub(crate) async fn terminate(&mut self) {
        self.request(TERMINATE).await;
    }

    /// Kills the command and all of its descendants.
    pub(crate) async fn kill(&mut self) {
        self.request(KILL).await;
    }

    async fn request(&mut self, word: &str) {
        // A supervisor that does not read has ended, and with it everything.
        let _ = self.requests.write_all(format!("{word}\n").as_bytes()).await;
    }

    /// Returns the command with its descendants.
    pub(crate) fn tree(&self) -> ProcessTree {
        ProcessTree(self.supervisor.id().map(u32::cast_signed))
    }

    /// Waits for the rest of the output, when everything has ended. Returns the last lines of it.
    pub(crate) async fn output(mut self) -> OutputLines {
        // The supervisor has closed its connection: it ends now. An error means that it has ended before.
        let _ = self.supervisor.wait().await;
        let [stdout, stderr] = self.output;
        OutputLines { stdout: finished(stdout).await, stderr: finished(stderr).await }
    }
}

/// The last lines of the output of a command.
#[derive(Debug, Default)]
pub(crate) struct OutputLines {
    /// Those of standard output; a document is one line.
    pub(crate) stdout: Vec<String>,
    /// Those of standard error.
    pub(crate) stderr: Vec<String>,
}

/// The processes below a supervisor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessTree(Option<i32>);

impl ProcessTree {
    /// Returns the command and its descendants, as far as they have not ended.
    pub(crate) fn processes(self) -> Vec<Process> {
        self.0.map(descendants).unwrap_or_default()
    }

    /// Returns the local addresses of the TCP connections of all its processes.
    pub(crate) fn local_addresses(self) -> BTreeSet<SocketAddr> {
        local_addresses(&self.processes())
    }
}

/// Returns the lines of a task that reads a pipe, or nothing if the pipe does not end.
async fn finished(task: Option<JoinHandle<Vec<String>>>) -> Vec<String> {
    let Some(mut task) = task else { return Vec::new() };
    match timeout(OUTPUT_REST, &mut task).await {
        Ok(lines) => lines.unwrap_or_default(),
        Err(_) => {
            task.abort();
            Vec::new()
        }
    }
}

/// Returns the command line of the supervisor. It is in a session of its own, so that Ctrl-C on a terminal reaches
/// Lockkeeper alone, which ends the command in order.
fn supervisor_command(
    command: &GuardedCommand,
    environment: &CommandEnvironment,
    files: InheritedFiles,
) -> io::Result<Command> {
    let mut supervisor = Command::new(OWN_PROGRAM);
    supervisor.arg0("lockkeeper").arg(ARGUMENT).args(files.descriptors()).args(command.line());
    supervisor.stdout(Stdio::piped()).stderr(Stdio::piped());
    environment.apply(&mut supervisor);
    signal::keep_ignored(supervisor.as_std_mut());
    // SAFETY: setsid and fcntl are async-signal-safe; nothing is allocated between fork and exec.
    unsafe {
        supervisor.pre_exec(move || {
            setsid()?;
            files.keep_on_exec()
        });
    }
    Ok(supervisor)
}
