//! The operations of a database whose lock this run holds: everything that writes.

use super::postgres;
use super::postgres::migrator::Migrator;
use super::sqlite;
use super::{ApplyError, Database, DatabaseError, DatabaseErrorKind, SchemaDefects, SessionLimits};
use crate::revision::history::{Elapsed, HistoryChange, HistoryRow, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::statements::Window;
use crate::revision::{Batch, Batches, DirectedScript, Fingerprint, Migration, Version};
use crate::signal::Cancel;

/// A database whose lock this run holds. Dropping this value ends the session, which frees the lock.
pub struct Locked {
    pub(super) database: Database,
    pub(super) history: HistoryTable,
}

/// A handle that ends the running statement from another task.
pub enum Canceller {
    /// The monitor session, which cancels on the server.
    Postgres(Box<postgres::MonitorSession>),
    /// The flag that SQLite's progress handler reads.
    Sqlite(sqlite::Interrupt),
}

/// A script of a revision that is about to run.
pub struct ApplyRequest<'a> {
    /// Revision of the script.
    pub(crate) migration: &'a Migration,
    /// Revision identifier as the history spells it, or will spell it.
    pub(crate) id: &'a Version,
    /// Direction and section of the script.
    pub(crate) script: DirectedScript<'a>,
    /// Statements of the script, read in batches.
    pub(crate) batches: Batches,
    /// Progress of a script without a transaction, from an earlier run or from this one; `None` if there is none.
    pub(crate) resume: Option<Resume>,
    /// File name of the backup that was taken before the run.
    pub(crate) backup: Option<&'a str>,
    /// Request to end the run.
    pub(crate) cancel: &'a Cancel,
}

/// The part of a script that an earlier run has done.
#[derive(Default)]
pub(crate) struct ResumePoint {
    /// Number of statements done.
    pub(crate) done: usize,
    /// Statements among them whose effect ended with that run's session (SET, ATTACH, ...), in their order: the
    /// following statements may depend on it.
    pub(crate) settings: Vec<Batch>,
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
            Database::Sqlite(database) => Ok(Canceller::Sqlite(database.interrupt())),
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
    pub(crate) async fn apply(&mut self, request: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        match &mut self.database {
            Database::Postgres(database) => Migrator::new(database, &self.history).apply(request).await,
            Database::Sqlite(database) => database.apply(&self.history, request).await,
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

/// The answer to an unlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlockResult {
    /// This run held the lock until now.
    WasOurs,
    /// The lock was lost before.
    WasNotOurs,
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
            Canceller::Sqlite(interrupt) => interrupt.cancel(),
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

impl ApplyRequest<'_> {
    /// Returns the history row of this revision; `executed` is the fingerprint of the text that was executed.
    pub(crate) fn row(&self, executed: Fingerprint, progress: RecordedProgress, took: Elapsed) -> HistoryRow<'_> {
        HistoryRow {
            direction: self.script.direction,
            id: self.id,
            description: &self.migration.description,
            checksum: self.script.section.checksum,
            executed,
            down: self.script.down,
            progress,
            mode: self.script.section.options.mode,
            backup: self.backup,
            elapsed: took,
        }
    }

    /// Reads past the statements that an earlier run has done, and compares their fingerprint.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ResumeEdited`] if they were edited. Also fails if the script cannot be read.
    pub(crate) fn skip_done(&mut self) -> Result<ResumePoint, ApplyError> {
        let Some(Resume { done, executed, .. }) = self.resume else {
            return Ok(ResumePoint::default());
        };
        let settings = self.batches.skip(done, executed)?.ok_or(ApplyError::ResumeEdited { done })?;
        Ok(ResumePoint { done, settings })
    }

    /// Checks before each message whether the run is to end: a cancel request that arrives between two statements
    /// cancels nothing on the server.
    ///
    /// # Errors
    /// The run is to end.
    pub(crate) fn unless_stopped(&self) -> Result<(), DatabaseError> {
        match self.cancel.reason() {
            Some(_) => Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "it had not begun")),
            None => Ok(()),
        }
    }

    /// Returns the progress of a script without a transaction after this batch; `done` counts the statements.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ChangedOnDisk`], found after the last batch.
    pub(crate) fn reached(&self, batch: &Batch, done: usize) -> Result<RecordedProgress, ApplyError> {
        match batch.window {
            Window::Partial => Ok(RecordedProgress::Part { done, total: self.script.statements }),
            Window::Last => self.unchanged().map(|()| RecordedProgress::Whole { statements: done }),
        }
    }

    /// Notes that `done` statements are done and recorded, up to where the script was read.
    pub(crate) fn advance(&mut self, done: usize) {
        let executed = self.batches.fingerprint();
        self.resume = Some(Resume { done, executed, outcome: StatementOutcome::Known });
    }

    /// Checks that the script, which has been read to its end, is the one that was checked before the run began.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ChangedOnDisk`] if the fingerprints differ.
    pub(crate) fn unchanged(&self) -> Result<(), ApplyError> {
        match self.batches.fingerprint() == self.script.section.fingerprint {
            true => Ok(()),
            false => Err(ApplyError::ChangedOnDisk),
        }
    }
}
