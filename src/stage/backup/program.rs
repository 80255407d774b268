//! Runs a program of the user's that has to do with the backup, within the time for the backup.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::{BackupError, Cause, GuardError};
use crate::guarded_command::{CommandEnd, CommandEnvironment, GuardedCommand, OutputLines, OutputUse, excerpt};
use crate::signal::{Cancel, CancelReason};
use crate::stage::command_run::{CommandRun, LockHold};

/// The number of lines of standard error that are a part of an error.
const QUOTED_LINES: usize = 3;

/// The time for a backup, from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimit {
    /// The longest time, if there is a limit.
    pub(super) limit: Option<Duration>,
    end: Option<Instant>,
}

impl TimeLimit {
    /// Returns the limit of a backup that begins now.
    pub(super) fn start(limit: Option<Duration>) -> TimeLimit {
        TimeLimit { limit, end: limit.map(|limit| Instant::now() + limit) }
    }

    /// Waits until the time is up.
    pub(super) async fn is_up(self) {
        match self.end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

/// A program that is about to run.
pub(super) struct BackupProgram<'a> {
    /// The command.
    pub(super) command: &'a GuardedCommand,
    /// The cancellation of the run.
    pub(super) cancel: &'a Cancel,
    /// The time for the backup.
    pub(super) time: TimeLimit,
}

impl BackupProgram<'_> {
    /// Runs the program under the lock until it ends with 0, and returns its output. A signal, a lost lock or the end of
    /// the time ends it with everything that it has started.
    ///
    /// # Errors
    /// Fails when the program cannot be started, is ended, or ends in another way; the error has a part of its output.
    pub(super) async fn run(
        &self,
        input: Option<&str>,
        output_use: OutputUse,
        hold: LockHold<'_>,
    ) -> Result<OutputLines, Cause> {
        // A child is ended like the run itself, and leaves the run alone.
        let cancel = self.cancel.child();
        let environment = CommandEnvironment::default();
        let run = CommandRun { command: self.command, environment: &environment, output_use, input, cancel: &cancel };
        let mut work = std::pin::pin!(run.to_end(Some(hold)));
        let result = tokio::select! {
            result = &mut work => result,
            () = self.time.is_up() => {
                cancel.cancel(CancelReason::Deadline);
                work.await
            }
        };
        match result {
            Ok((CommandEnd::Exited(0), output)) => Ok(output),
            Ok((end, output)) => Err(self.failed(end, &output)),
            Err(GuardError::Stopped(CancelReason::Deadline)) if self.cancel.reason().is_none() => {
                Err(Cause::Backup(BackupError::TimedOut(self.time.limit.unwrap_or_default())))
            }
            Err(GuardError::Stopped(reason)) => Err(Cause::Stopped(reason)),
            Err(GuardError::LockLost(fault)) => Err(Cause::Database(fault)),
            Err(GuardError::NotStarted(error)) => Err(self.error(format!("it could not be started: {error}"))),
            Err(GuardError::LeftRunning(left)) => {
                Err(self.error(format!("it ended with 0, but what it had started still ran: {}", left.join("; "))))
            }
            Err(GuardError::Ended(end)) => Err(self.failed(end, &OutputLines::default())),
            // Only the command of guard is asked for a change of the database.
            Err(GuardError::StillPending | GuardError::Defects(_) | GuardError::NotRehearsed(_)) => {
                Err(self.error("it has not done its work".into()))
            }
        }
    }

    /// Returns the error of a program that has ended in another way than with 0.
    fn failed(&self, end: CommandEnd, output: &OutputLines) -> Cause {
        let end = match end {
            CommandEnd::Exited(code) => format!("it ended with the exit code {code}"),
            CommandEnd::Killed(signal) => format!("signal {signal} has killed it"),
            CommandEnd::Abandoned => "the process that supervised it was killed".into(),
        };
        let skipped = output.stderr.len().saturating_sub(QUOTED_LINES);
        let lines = [&output.stderr[skipped..], &output.stdout].concat();
        let quoted = excerpt(&lines.join("\n"));
        self.error(if quoted.is_empty() { end } else { format!("{end}: {quoted}") })
    }

    /// Returns the error of a program whose result cannot be used.
    pub(super) fn error(&self, problem: String) -> Cause {
        Cause::Backup(BackupError::Program { command: self.command.to_string(), problem })
    }
}
