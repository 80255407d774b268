//! Runs a program of another tool to its end: under a lock, together with everything that it has started.

mod active;

use tracing::Instrument;

use crate::database::Database;
use crate::error::GuardError;
use crate::guarded_command::{
    CommandEnd, CommandEnvironment, GuardedCommand, InheritedFiles, OutputLines, OutputUse, RunningCommand, input_file,
};
use crate::signal::Cancel;
use active::ActiveRun;
pub(crate) use active::LockHold;

/// A command that is about to run, with everything that decides how.
pub(crate) struct CommandRun<'a> {
    /// The command.
    pub(crate) command: &'a GuardedCommand,
    /// Its environment.
    pub(crate) environment: &'a CommandEnvironment,
    /// The use of its output.
    pub(crate) output_use: OutputUse,
    /// The text that it reads from standard input; without one, its standard input is empty.
    pub(crate) input: Option<&'a str>,
    /// The cancellation of the run.
    pub(crate) cancel: &'a Cancel,
}

impl CommandRun<'_> {
    /// Runs the command to its end. Under a lock, watches that lock, and returns only when neither a process nor a
    /// running session of the command is left.
    ///
    /// # Errors
    /// Fails when the command cannot be started, when a signal or a lost lock has ended it, and when it has ended with 0
    /// and left something running that did not end within the grace period; that was ended, too.
    pub(crate) async fn to_end(&self, mut hold: Option<LockHold<'_>>) -> Result<(CommandEnd, OutputLines), GuardError> {
        let (mut mark, mut lock_file) = (None, None);
        if let Some(LockHold { locked, .. }) = &mut hold {
            mark = locked.command_mark().await.map_err(GuardError::LockLost)?;
            locked.check_lock().await.map_err(GuardError::LockLost)?;
            if let Database::Sqlite(file) = locked.database() {
                // The supervisor keeps the lock until nothing of the command runs, even when this process is killed.
                lock_file = file.lock_file();
            }
        }
        let environment = active::with_session_name(self.environment, mark.as_ref());
        let input = self.input.map(input_file).transpose().map_err(GuardError::NotStarted)?;
        let files = InheritedFiles { lock: lock_file, input };
        let started = RunningCommand::start(self.command, &environment, self.output_use, files).await;
        let running = started.map_err(GuardError::NotStarted)?;
        ActiveRun::new(self, hold, mark).finish(running).in_current_span().await
    }
}
