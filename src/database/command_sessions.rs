//! The sessions that a guarded command has in the database: how they are recognised, and how they are ended.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::postgres::command_sessions::mark;
pub(crate) use super::postgres::command_sessions::{CommandMark, CommandSessions, EndedSessions};
use super::{Canceller, Database, DatabaseError, Locked};

impl Locked {
    /// Returns the marks for the sessions of a command that is about to be started; `None` for SQLite, which has no
    /// sessions.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn command_mark(&mut self) -> Result<Option<CommandMark>, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => mark(database).await.map(Some),
            Database::Sqlite(_) => Ok(None),
        }
    }
}

impl Canceller {
    /// Ends sessions of a guarded command and waits at most `limit` until they are gone, because only then nothing of
    /// the command can be committed any more. Does nothing on SQLite. A server that does not answer is only logged.
    pub(crate) async fn end_command_sessions(
        &mut self,
        mark: Option<&CommandMark>,
        sessions: CommandSessions<'_>,
        limit: Duration,
    ) -> EndedSessions {
        match (self, mark) {
            (Canceller::Postgres(monitor), Some(mark)) => monitor.end_command_sessions(mark, sessions, limit).await,
            _ => EndedSessions::default(),
        }
    }

    /// Returns a description of each session that executes a statement or is in a transaction, as
    /// [`Canceller::end_command_sessions`] does, without ending it.
    pub(crate) async fn running_command_sessions(
        &mut self,
        mark: Option<&CommandMark>,
        addresses: &BTreeSet<SocketAddr>,
    ) -> Vec<String> {
        match (self, mark) {
            (Canceller::Postgres(monitor), Some(mark)) => monitor.running_command_sessions(mark, addresses).await,
            _ => Vec::new(),
        }
    }
}
