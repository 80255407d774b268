//! The verbs of a database whose lock is ours: everything that writes.

use super::postgres;
use super::postgres::load::{Load, TargetTable};
use super::sqlite;
use super::{Broken, Database, Defects, Fault, Kind, Limits, no_target};
use crate::revision::plan::{Outcome, Resume};
use crate::revision::render::{Change, History, Progress, Row, Took};
use crate::revision::statements::Window;
use crate::revision::{Batch, Batches, Checksum, Id, Script, Way};
use crate::signal::Cancel;

/// A database whose lock is ours. Dropping it ends the session and so frees the lock.
pub struct Locked {
    pub(super) database: Database,
    pub(super) history: History,
}

/// Ends the statement that runs, from outside.
pub enum Canceller {
    Postgres(Box<postgres::Watch>),
    Sqlite(sqlite::Interrupt),
}

/// One revision about to run.
pub struct Unit<'a> {
    pub script: &'a Script,
    /// The revision as the history spells it, or will.
    pub id: &'a Id,
    /// The file that runs.
    pub way: Way<'a>,
    pub batches: Batches,
    /// How far it has got without a transaction, in an earlier run or in this one.
    pub resume: Option<Resume>,
    /// The backup taken before, by file name.
    pub backup: Option<&'a str>,
    pub cancel: &'a Cancel,
}

/// What an earlier run has done of a script.
#[derive(Default)]
pub struct Resumed {
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
    pub async fn canceller(&mut self) -> Result<Canceller, Fault> {
        match &mut self.database {
            Database::Postgres(database) => Ok(Canceller::Postgres(Box::new(database.watch().await?))),
            Database::Sqlite(database) => Ok(Canceller::Sqlite(database.interrupt())),
        }
    }

    /// Readies the session for work: our timeouts instead of the role's, a place for the history table.
    ///
    /// # Errors
    /// A lost session; no schema for the history table, or no privilege in it.
    pub async fn prepare(&mut self, limits: Limits) -> Result<(), Fault> {
        match &mut self.database {
            Database::Postgres(database) => database.prepare(limits).await,
            Database::Sqlite(_) => Ok(()),
        }
    }

    /// Creates the history table if there is none.
    ///
    /// # Errors
    /// A missing privilege above all.
    pub async fn create_history(&mut self) -> Result<(), Fault> {
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
    pub async fn apply(&mut self, unit: &mut Unit<'_>) -> Result<(), Broken> {
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
    pub async fn restate(&mut self, changes: &[Change<'_>]) -> Result<(), Broken> {
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
    pub async fn defects(&mut self) -> Result<Defects, Fault> {
        match &mut self.database {
            Database::Postgres(database) => database.defects().await,
            Database::Sqlite(database) => database.defects().await,
        }
    }

    /// Begins to load tables, in a transaction that only a lock that is still ours commits.
    ///
    /// # Errors
    /// A table is in use, a privilege is missing, SQLite: nothing is loaded into that.
    pub async fn load(&mut self, tables: &[TargetTable]) -> Result<Load<'_>, Fault> {
        match &mut self.database {
            Database::Postgres(database) => database.load(tables).await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }

    /// Frees the lock and says whether it was still ours.
    ///
    /// # Errors
    /// A lost session, which frees it too.
    pub async fn release(self) -> Result<Released, Fault> {
        match self.database {
            Database::Postgres(database) => database.release().await,
            Database::Sqlite(database) => database.release().await,
        }
    }
}

/// The answer of an unlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    WasOurs,
    WasNotOurs,
}

/// Notices that the server is out of reach while both sessions are busy.
pub struct Probe(pub(super) Option<postgres::Probe>);

impl Probe {
    /// Ends when nothing has come from the server for too long: a tool would wait for its answer without an end.
    pub async fn silence(&mut self) -> Fault {
        match &mut self.0 {
            Some(probe) => probe.silence().await,
            None => std::future::pending().await,
        }
    }
}

impl Probe {
    /// Ends a session that [`Probe::silence`] has found to be lost, on the server.
    pub async fn terminate(&mut self) {
        if let Some(probe) = &mut self.0 {
            probe.terminate().await;
        }
    }
}

impl Canceller {
    /// What looks after the server during a backup.
    pub fn probe(&self) -> Probe {
        match self {
            Canceller::Postgres(watch) => Probe(Some(watch.probe())),
            Canceller::Sqlite(_) => Probe(None),
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
    pub async fn waiting_for(&mut self) -> Result<Option<String>, Fault> {
        match self {
            Canceller::Postgres(watch) => watch.waiting_for().await,
            Canceller::Sqlite(_) => Ok(None),
        }
    }
}

impl Unit<'_> {
    /// The history row of this revision.
    pub fn row(&self, checksum: Checksum, progress: Progress, took: Took) -> Row<'_> {
        Row {
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
    /// [`Broken::ResumeEdited`]; a script that cannot be read.
    pub fn skip_done(&mut self) -> Result<Resumed, Broken> {
        let Some(Resume { done, checksum, .. }) = self.resume else {
            return Ok(Resumed::default());
        };
        let settings = self.batches.skip(done, checksum)?.ok_or(Broken::ResumeEdited { done })?;
        Ok(Resumed { done, settings })
    }

    /// Asked before each message: a cancel request that arrives between two statements meets nothing.
    ///
    /// # Errors
    /// The run is to end.
    pub fn unless_stopped(&self) -> Result<(), Fault> {
        match self.cancel.reason() {
            Some(_) => Err(Fault::new(Kind::Cancelled, "it had not begun")),
            None => Ok(()),
        }
    }

    /// How much of a script without a transaction is done with this batch.
    ///
    /// # Errors
    /// [`Broken::ChangedOnDisk`], found out with the last one.
    pub fn reached(&self, batch: &Batch, done: usize) -> Result<Progress, Broken> {
        match batch.window {
            Window::Partial => Ok(Progress::Part { done, total: self.way.statements }),
            Window::Last => self.unchanged().map(|()| Progress::Whole { statements: done }),
        }
    }

    /// So many statements are done and recorded, up to where the script was read.
    pub fn advance(&mut self, done: usize) {
        let checksum = self.batches.checksum();
        self.resume = Some(Resume { done, checksum, outcome: Outcome::Known });
    }

    /// The whole script has been read: is it what was checked before the run began?
    ///
    /// # Errors
    /// [`Broken::ChangedOnDisk`]
    pub fn unchanged(&self) -> Result<(), Broken> {
        match self.batches.checksum() == self.way.checksum {
            true => Ok(()),
            false => Err(Broken::ChangedOnDisk),
        }
    }
}
