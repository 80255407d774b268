//! The operations of a database whose lock this run holds: everything that writes.

use super::durability::{ApplyOutcome, SettleError};
use std::time::Duration;

use super::postgres;
use super::postgres::migrator::Migrator;
use super::sqlite;
use super::{ApplyError, ApplyRequest, Database, DatabaseError, SchemaDefects, SessionLimits, UnlockResult};
use crate::revision::history::{HistoryChange, HistoryTable};

/// A database whose lock this run holds. Dropping this value ends the session, which frees the lock.
pub struct Locked {
    pub(super) database: Database,
    pub(super) history: HistoryTable,
}

/// A handle that ends the running statement from another task.
pub enum Canceller {
    /// The monitor session, which cancels on the server.
    Postgres(Box<postgres::MonitorSession>),
    /// The monitor of SQLite's statements, which ends the one that runs.
    Sqlite(sqlite::StatementMonitor),
}

impl Locked {
    /// Returns the database, for its reading operations.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Returns the database itself, which keeps the lock.
    pub(crate) fn into_database(self) -> Database {
        self.database
    }

    /// Returns a handle that can end the running statement while this value is busy.
    ///
    /// # Errors
    /// PostgreSQL: the second connection cannot be opened, or a pooler shares the session with others.
    pub(crate) async fn canceller(&mut self) -> Result<Canceller, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => Ok(Canceller::Postgres(Box::new(database.open_monitor().await?))),
            Database::Sqlite(database) => Ok(Canceller::Sqlite(database.monitor())),
        }
    }

    /// Prepares the session: sets Lockkeeper's timeouts instead of the role's, and finds a schema for the history
    /// table.
    ///
    /// # Errors
    /// The session is lost, there is no schema for the history table, or a privilege in it is missing.
    pub async fn prepare(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.prepare(limits).await,
            Database::Sqlite(_) => Ok(()),
        }
    }

    /// Prepares the session as [`Locked::prepare`] does, for a run that writes no history.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn prepare_session(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.prepare_session(limits).await,
            Database::Sqlite(_) => Ok(()),
        }
    }

    /// Checks that this run still holds the lock; closes an SQLite file until the next query.
    ///
    /// # Errors
    /// The lock or the session is lost.
    pub(crate) async fn check_lock(&mut self) -> Result<(), DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.check_lock().await,
            Database::Sqlite(database) => database.check_lock().await,
        }
    }

    /// Creates the history table if there is none.
    ///
    /// # Errors
    /// The session is lost, or a privilege is missing.
    pub(crate) async fn create_history(&mut self) -> Result<(), DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => Migrator::new(database, &self.history).create_history().await,
            Database::Sqlite(database) => database.create_history(&self.history).await,
        }
    }

    /// Runs a script of a revision and records it: in one transaction, or statement by statement with a journal.
    ///
    /// # Errors
    /// A statement failed; the error names it and its position. A transaction is rolled back.
    pub(crate) async fn apply(&mut self, request: &mut ApplyRequest<'_>) -> Result<ApplyOutcome, ApplyError> {
        match &mut self.database {
            Database::Postgres(database) => Migrator::new(database, &self.history).apply(request).await,
            Database::Sqlite(database) => database.apply(&self.history, request).await,
        }
    }

    /// Returns the time after which scripts that share a commit should be made durable: a wait for the disk, and for the
    /// standbys of a server, takes a small part of it. Other connections to a SQLite file wait that long for their turn.
    pub(crate) fn longest_pending(&self) -> Duration {
        match &self.database {
            Database::Postgres(_) => Duration::from_millis(500),
            Database::Sqlite(_) => Duration::from_millis(100),
        }
    }

    /// Makes everything durable that the scripts so far have written.
    ///
    /// # Errors
    /// The scripts that were pending are rolled back, or it is not known whether they survive a crash.
    pub(crate) async fn settle(&mut self) -> Result<(), SettleError> {
        match &mut self.database {
            Database::Postgres(database) => Migrator::new(database, &self.history).settle().await,
            Database::Sqlite(database) => database.settle().await,
        }
    }

    /// Changes the history without running a script, in one transaction. Creates the table in it if there is none.
    ///
    /// # Errors
    /// A change failed, and the transaction was rolled back.
    pub(crate) async fn rewrite_history(&mut self, changes: &[HistoryChange<'_>]) -> Result<(), ApplyError> {
        match &mut self.database {
            Database::Postgres(database) => Migrator::new(database, &self.history).rewrite_history(changes).await,
            Database::Sqlite(database) => database.rewrite_history(&self.history, changes).await,
        }
    }

    /// Lists the defects that the database finds in its schema: invalid indexes and constraints that are not validated
    /// on PostgreSQL, references to tables that do not exist on SQLite.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn defects(&mut self) -> Result<SchemaDefects, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.defects().await,
            Database::Sqlite(database) => database.defects().await,
        }
    }

    /// Frees the lock, and reports whether this run still held it.
    ///
    /// # Errors
    /// The session is lost, which frees the lock too.
    pub(crate) async fn release(self) -> Result<UnlockResult, DatabaseError> {
        match self.database {
            Database::Postgres(database) => database.release().await,
            Database::Sqlite(database) => database.release().await,
        }
    }
}

/// A probe that notices an unreachable server while both sessions are busy.
pub struct ReachabilityProbe(pub(super) Option<postgres::LoginProbe>);

impl ReachabilityProbe {
    /// Waits until nothing has come from the server for too long, and returns the error: a tool would wait for its
    /// answer forever. Never returns for SQLite.
    pub(crate) async fn silence(&mut self) -> DatabaseError {
        match &mut self.0 {
            Some(probe) => probe.silence().await,
            None => std::future::pending().await,
        }
    }
}

impl ReachabilityProbe {
    /// Ends the session on the server by a new login, because nothing has answered its last message. Does nothing for
    /// SQLite.
    pub(crate) async fn log_in_and_terminate(&mut self) {
        if let Some(probe) = &mut self.0 {
            probe.log_in_and_terminate().await;
        }
    }

    /// Ends on the server a session that [`ReachabilityProbe::silence`] has found to be lost.
    pub(crate) async fn terminate(&mut self) {
        if let Some(probe) = &mut self.0 {
            probe.terminate().await;
        }
    }
}

impl Canceller {
    /// Returns a probe that checks during a backup whether the server is reachable.
    pub(crate) fn probe(&self) -> ReachabilityProbe {
        match self {
            Canceller::Postgres(monitor) => ReachabilityProbe(Some(monitor.probe())),
            Canceller::Sqlite(_) => ReachabilityProbe(None),
        }
    }

    /// Ends the running statement. A failure is only logged, because the grace period ends the run anyway.
    pub(crate) async fn cancel(&mut self) {
        match self {
            Canceller::Postgres(monitor) => monitor.cancel().await,
            Canceller::Sqlite(monitor) => monitor.cancel(),
        }
    }

    /// Makes everything durable that the scripts before the running one have committed, and returns whether it is.
    /// Never does so for SQLite, where those scripts are not committed.
    pub(crate) async fn settle(&mut self) -> bool {
        match self {
            Canceller::Postgres(monitor) => monitor.settle().await,
            Canceller::Sqlite(_) => false,
        }
    }

    /// Describes what the running statement waits for; `None` if it waits for nothing, and always for SQLite.
    ///
    /// # Errors
    /// The server is unreachable.
    pub(crate) async fn waiting_for(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Canceller::Postgres(monitor) => monitor.waiting_for().await,
            Canceller::Sqlite(_) => Ok(None),
        }
    }
}
