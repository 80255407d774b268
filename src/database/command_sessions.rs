//! The sessions that a guarded command has in the database: how they are recognised, and how they are ended.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::postgres::command_sessions;
use super::{Canceller, Database, DatabaseError, Locked};

/// The marks by which the sessions of a guarded command are recognised on PostgreSQL.
///
/// Every program that uses libpq, and most other drivers, take the application name from the variable PGAPPNAME. The
/// sessions of others are found by the address and port of their connections, as long as the processes exist, and nothing
/// between them and the server translates addresses.
#[derive(Clone, Debug)]
pub(crate) struct CommandMark {
    /// The application name of the command's sessions: that of the lock, and a random number for this run.
    pub(crate) name: String,
    /// The part of the name that the commands of all runs with the same lock have in common.
    pub(crate) lock_name: String,
    /// The server's time before the command was started, as `YYYYMMDDHH24MISSUS` in UTC.
    pub(crate) since: String,
}

/// A choice among the sessions of commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommandSessions<'a> {
    /// All sessions of the command, which had connections from these local addresses.
    All(&'a BTreeSet<SocketAddr>),
    /// The sessions of the command that execute a statement or are in a transaction.
    Running(&'a BTreeSet<SocketAddr>),
    /// The sessions that commands of killed runs with the same lock have left. Whoever holds the lock knows that no such
    /// run is alive.
    OfDeadRuns,
}

/// The end of sessions.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    /// A description of each session that there was.
    pub(crate) found: Vec<String>,
    /// A description of each session that is still there.
    pub(crate) left: Vec<String>,
}

impl Locked {
    /// Returns the marks for the sessions of a command that is about to be started; `None` for SQLite, which has no
    /// sessions.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn command_mark(&mut self) -> Result<Option<CommandMark>, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => command_sessions::mark(database).await.map(Some),
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
