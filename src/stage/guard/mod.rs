//! Runs a command of another tool while the lock is held, and ends everything that it has started before the lock is
//! given up.

mod pending;
mod rehearse;

use std::time::Duration;

use crate::database::command_sessions::CommandSessions;
use crate::database::{Canceller, Database, DatabaseError, Locked};
use crate::error::{Cause, Failure, Stage};
use crate::revision::other_tools::ToolHistories;
pub(crate) use pending::{PendingAnswer, ask};
pub(crate) use rehearse::GuardRehearsal;

/// The time in which the server has to end the sessions of a killed run.
const DEAD_SESSION_END: Duration = Duration::from_secs(10);

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
