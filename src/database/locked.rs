//! The verbs of a database whose lock is ours: everything that writes.

use super::postgres;
use super::postgres::bulk_load::{BulkLoad, TargetTable};
use super::sqlite;
use super::{ApplyError, Database, DatabaseError, DatabaseErrorKind, SchemaDefects, SessionLimits, no_target};
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::render::{Elapsed, HistoryChange, HistoryRow, HistoryTable, RecordedProgress};
use crate::revision::statements::Window;
use crate::revision::{Batch, Batches, Checksum, DirectedScript, Id, Script};
use crate::signal::Cancel;

/// A database whose lock is ours. Dropping it ends the session and so frees the lock.
pub struct Locked {
    pub(super) database: Database,
    pub(super) history: HistoryTable,
}

/// Ends the statement that runs, from outside.
pub enum Canceller {
    Postgres(Box<postgres::MonitorSession>),
    Sqlite(sqlite::Interrupt),
}

/// One revision about to run.
pub struct ApplyRequest<'a> {
    pub script: &'a Script,
    /// The revision as the history spells it, or will.
    pub id: &'a Id,
    /// The file that runs.
    pub way: DirectedScript<'a>,
    pub batches: Batches,
    /// How far it has got without a transaction, in an earlier run or in this one.
    pub resume: Option<Resume>,
    /// The backup taken before, by file name.
    pub backup: Option<&'a str>,
    pub cancel: &'a Cancel,
}

/// What an earlier run has done of a script.
#[derive(Default)]
pub struct ResumePoint {
    /// Statements.
    pub done: usize,
    /// Those among them whose effect went with that run's session, in their order: what follows may rest on them.
    pub settings: Vec<Batch>,
}

impl Locked {
    /// The reads of an unlocked database.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// The database itself; with it goes the lock.
    pub fn into_database(self) -> Database {
        self.database
    }

    /// Something that can end our running statement while this value is busy.
    ///
    /// # Errors
    /// PostgreSQL: no second connection, or a pooler that shares our session with others.
    pub async fn canceller(&mut self) -> Result<Canceller, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => Ok(Canceller::Postgres(Box::new(database.watch().await?))),
            Database::Sqlite(database) => Ok(Canceller::Sqlite(database.interrupt())),
        }
    }

    /// Readies the session for work: our timeouts instead of the role's, a place for the history table.
    ///
    /// # Errors
    /// A lost session; no schema for the history table, or no privilege in it.
    pub async fn prepare(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.prepare(limits).await,
            Database::Sqlite(_) => Ok(()),
        }
    }

    /// Creates the history table if there is none.
    ///
    /// # Errors
    /// A missing privilege above all.
    pub async fn create_history(&mut self) -> Result<(), DatabaseError> {
        let sql = self.history.create();
        match &mut self.database {
            Database::Postgres(database) => database.create_history(&sql).await,
            Database::Sqlite(database) => database.create_history(&sql).await,
        }
    }

    /// Runs one file of a revision and records it: in one transaction, or statement by statement with a journal.
    ///
    /// # Errors
    /// What broke and where; the transaction is rolled back then.
    pub async fn apply(&mut self, unit: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        match &mut self.database {
            Database::Postgres(database) => database.apply(&self.history, unit).await,
            Database::Sqlite(database) => database.apply(&self.history, unit).await,
        }
    }

    /// Changes the history without running anything: all of it in one transaction, or nothing. The table is made in the
    /// same transaction if there is none.
    ///
    /// # Errors
    /// What broke; the transaction is rolled back then.
    pub async fn restate(&mut self, changes: &[HistoryChange<'_>]) -> Result<(), ApplyError> {
        let create = self.history.create();
        let changes: Vec<String> = changes.iter().map(|change| self.history.change(change)).collect();
        match &mut self.database {
            Database::Postgres(database) => database.restate(&create, &changes).await,
            Database::Sqlite(database) => database.restate(&create, &changes).await,
        }
    }

    /// What the database itself finds wrong: invalid indexes and constraints that are not validated on PostgreSQL,
    /// references to tables that do not exist on SQLite.
    ///
    /// # Errors
    /// A lost session.
    pub async fn defects(&mut self) -> Result<SchemaDefects, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.defects().await,
            Database::Sqlite(database) => database.defects().await,
        }
    }

    /// Begins to load tables, in a transaction that only a lock that is still ours commits.
    ///
    /// # Errors
    /// A table is in use, a privilege is missing, SQLite: nothing is loaded into that.
    pub async fn load(&mut self, tables: &[TargetTable]) -> Result<BulkLoad<'_>, DatabaseError> {
        match &mut self.database {
            Database::Postgres(database) => database.load(tables).await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }

    /// Frees the lock and says whether it was still ours.
    ///
    /// # Errors
    /// A lost session, which frees it too.
    pub async fn release(self) -> Result<UnlockResult, DatabaseError> {
        match self.database {
            Database::Postgres(database) => database.release().await,
            Database::Sqlite(database) => database.release().await,
        }
    }
}

/// The answer of an unlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlockResult {
    WasOurs,
    WasNotOurs,
}

/// Notices that the server is out of reach while both sessions are busy.
pub struct ReachabilityProbe(pub(super) Option<postgres::LoginProbe>);

impl ReachabilityProbe {
    /// Ends when nothing has come from the server for too long: a tool would wait for its answer without an end.
    pub async fn silence(&mut self) -> DatabaseError {
        match &mut self.0 {
            Some(probe) => probe.silence().await,
            None => std::future::pending().await,
        }
    }
}

impl ReachabilityProbe {
    /// Ends a session that [`ReachabilityProbe::silence`] has found to be lost, on the server.
    pub async fn terminate(&mut self) {
        if let Some(probe) = &mut self.0 {
            probe.terminate().await;
        }
    }
}

impl Canceller {
    /// What looks after the server during a backup.
    pub fn probe(&self) -> ReachabilityProbe {
        match self {
            Canceller::Postgres(watch) => ReachabilityProbe(Some(watch.probe())),
            Canceller::Sqlite(_) => ReachabilityProbe(None),
        }
    }

    /// Ends the running statement. Best effort: a failure is logged, the grace period does the rest.
    pub async fn cancel(&mut self) {
        match self {
            Canceller::Postgres(watch) => watch.cancel().await,
            Canceller::Sqlite(interrupt) => interrupt.cancel(),
        }
    }

    /// What our running statement is waiting for, in words.
    ///
    /// # Errors
    /// The server is out of reach.
    pub async fn waiting_for(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Canceller::Postgres(watch) => watch.waiting_for().await,
            Canceller::Sqlite(_) => Ok(None),
        }
    }
}

impl ApplyRequest<'_> {
    /// The history row of this revision.
    pub fn row(&self, checksum: Checksum, progress: RecordedProgress, took: Elapsed) -> HistoryRow<'_> {
        HistoryRow {
            direction: self.way.direction,
            id: self.id,
            description: &self.script.description,
            checksum,
            down: self.way.down,
            progress,
            mode: self.way.header.mode,
            backup: self.backup,
            took,
        }
    }

    /// Reads past the statements that an earlier run has done, and compares them.
    ///
    /// # Errors
    /// [`ApplyError::ResumeEdited`]; a script that cannot be read.
    pub fn skip_done(&mut self) -> Result<ResumePoint, ApplyError> {
        let Some(Resume { done, checksum, .. }) = self.resume else {
            return Ok(ResumePoint::default());
        };
        let settings = self.batches.skip(done, checksum)?.ok_or(ApplyError::ResumeEdited { done })?;
        Ok(ResumePoint { done, settings })
    }

    /// Asked before each message: a cancel request that arrives between two statements meets nothing.
    ///
    /// # Errors
    /// The run is to end.
    pub fn unless_stopped(&self) -> Result<(), DatabaseError> {
        match self.cancel.reason() {
            Some(_) => Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "it had not begun")),
            None => Ok(()),
        }
    }

    /// How much of a script without a transaction is done with this batch.
    ///
    /// # Errors
    /// [`ApplyError::ChangedOnDisk`], found out with the last one.
    pub fn reached(&self, batch: &Batch, done: usize) -> Result<RecordedProgress, ApplyError> {
        match batch.window {
            Window::Partial => Ok(RecordedProgress::Part { done, total: self.way.statements }),
            Window::Last => self.unchanged().map(|()| RecordedProgress::Whole { statements: done }),
        }
    }

    /// So many statements are done and recorded, up to where the script was read.
    pub fn advance(&mut self, done: usize) {
        let checksum = self.batches.checksum();
        self.resume = Some(Resume { done, checksum, outcome: StatementOutcome::Known });
    }

    /// The whole script has been read: is it what was checked before the run began?
    ///
    /// # Errors
    /// [`ApplyError::ChangedOnDisk`]
    pub fn unchanged(&self) -> Result<(), ApplyError> {
        match self.batches.checksum() == self.way.checksum {
            true => Ok(()),
            false => Err(ApplyError::ChangedOnDisk),
        }
    }
}
