//! Runs a command of another tool while the lock is held, and ends everything that it has started before the lock is
//! given up.

mod active;
mod pending;
mod rehearse;

use std::time::Duration;

use tracing::Instrument;

use crate::database::command_sessions::CommandSessions;
use crate::database::{Canceller, Database, DatabaseError, Locked};
use crate::error::{Cause, Failure, GuardError, Stage};
use crate::guarded_command::{CommandEnd, CommandEnvironment, GuardedCommand, OutputLines, OutputUse, RunningCommand};
use crate::revision::other_tools::ToolHistories;
use crate::signal::Cancel;
use active::ActiveRun;
pub(crate) use active::LockHold;
pub(crate) use pending::{PendingAnswer, ask};
pub(crate) use rehearse::GuardRehearsal;

/// The time in which the server has to end the sessions of a killed run.
const DEAD_SESSION_END: Duration = Duration::from_secs(10);

/// A command that is about to run, with everything that decides how.
pub(crate) struct CommandRun<'a> {
    /// The command.
    pub(crate) command: &'a GuardedCommand,
    /// Its environment.
    pub(crate) environment: &'a CommandEnvironment,
    /// The use of its output.
    pub(crate) output_use: OutputUse,
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
        let started = RunningCommand::start(self.command, &environment, self.output_use, lock_file).await;
        let running = started.map_err(GuardError::NotStarted)?;
        ActiveRun::new(self, hold, mark).finish(running).in_current_span().await
    }
}

/// Reads the histories of other tools.
///
/// # Errors
/// Fails when the session is lost, or the SQLite file stays locked.
pub(crate) async fn histories(database: &mut Database) -> Result<ToolHistories, DatabaseError> {
    database.foreign_histories().await.map(ToolHistories::new)
}

/// Ends the sessions that the command of a killed run has left: they may still write, and this run has the lock.
///
/// # Errors
/// Fails when the session that holds the lock is lost, and with a session that does not end.
pub(crate) async fn end_sessions_of_dead_runs(locked: &mut Locked, canceller: &mut Canceller) -> Result<(), Failure> {
    let failed = |cause| Failure::new(Stage::Lock, cause);
    let mark = locked.command_mark().await.map_err(|fault| failed(Cause::Database(fault)))?;
    let ended = canceller.end_command_sessions(mark.as_ref(), CommandSessions::OfDeadRuns, DEAD_SESSION_END).await;
    if !ended.left.is_empty() {
        return Err(failed(Cause::Held { holder: ended.left.join("; "), waited: DEAD_SESSION_END }));
    }
    if !ended.found.is_empty() {
        tracing::warn!("ended what the command of a killed run had left: {}", ended.found.join("; "));
    }
    Ok(())
}
