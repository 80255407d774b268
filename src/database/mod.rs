//! The verbs that a database answers: reads on [`Database`], writes on [`Locked`], which only taking the lock returns.

pub mod fault;
pub mod postgres;
pub mod sqlite;
pub mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::{Broken, Fault, Kind};
use postgres::Postgres;
use sqlite::Sqlite;
use url::Target;

use crate::revision::render::{History, Progress, Row, Took};
use crate::revision::{Applied, Batches, Checksum, Dialect, Script};
use crate::signal::Cancel;

/// The history table's name as configured; without a schema the session's search path decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryName {
    pub schema: Option<String>,
    pub table: String,
}

/// Limits that a locked database keeps while it works.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// PostgreSQL: `lock_timeout` of each migration; zero is off.
    pub lock: Duration,
    /// PostgreSQL: `statement_timeout`; zero is off.
    pub statement: Duration,
    /// SQLite: how long another writer is waited for.
    pub busy: Duration,
}

/// An open, unlocked database.
pub enum Database {
    Postgres(Box<Postgres>),
    Sqlite(Box<Sqlite>),
}

/// A database whose lock is ours. Dropping it ends the session and so frees the lock.
pub struct Locked {
    database: Database,
    history: History,
}

/// What one attempt at the lock gave.
pub enum Attempt {
    Taken(Locked),
    Held(Database),
}

/// Ends the statement that runs, from outside.
pub enum Canceller {
    Postgres(Box<postgres::Watch>),
    Sqlite(sqlite::Interrupt),
}

/// One revision about to run.
pub struct Unit<'a> {
    pub script: &'a Script,
    pub batches: Batches,
    /// Statements in the script.
    pub statements: usize,
    /// Statements that an earlier run has done, and their checksum.
    pub resume: Option<(usize, Checksum)>,
    /// The backup taken before, by file name.
    pub backup: Option<&'a str>,
    pub cancel: &'a Cancel,
}

/// A database's identity in backups: `postgresql` or `sqlite`, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub dialect: Dialect,
    pub name: String,
}

/// What a database is served by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Of PostgreSQL's server (`15.18`), of SQLite's library.
    pub version: String,
    /// Host and port, or the file's absolute path: tells apart two databases of one name.
    pub place: String,
}

/// What a backup must copy.
pub enum Source<'a> {
    Postgres(&'a Postgres),
    Sqlite(&'a Path),
}

/// Opens a session, each host within `attempt`; for SQLite a missing file is an empty database that only locking creates.
///
/// # Errors
/// The fault says whether another attempt may help: see [`Kind`].
pub async fn open(target: &Target, history: &HistoryName, attempt: Duration) -> Result<Database, Fault> {
    match target {
        Target::Postgres(target) => {
            Ok(Database::Postgres(Box::new(Postgres::connect(target, history, attempt).await?)))
        }
        Target::Sqlite(target) => Ok(Database::Sqlite(Box::new(Sqlite::open(target, history).await?))),
    }
}

/// Creates the PostgreSQL database that a target names. One that exists by now is fine.
///
/// # Errors
/// No maintenance database to ask from, no CREATEDB.
pub async fn create(target: &Target, attempt: Duration) -> Result<(), Fault> {
    match target {
        Target::Postgres(target) => postgres::create(target, attempt).await,
        Target::Sqlite(_) => Ok(()),
    }
}

impl Database {
    pub fn dialect(&self) -> Dialect {
        match self {
            Database::Postgres(_) => Dialect::Postgres,
            Database::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Reads the history; no table is no history.
    ///
    /// # Errors
    /// A lost session, a missing privilege, a table that is not ours.
    pub async fn history(&mut self) -> Result<Vec<Applied>, Fault> {
        match self {
            Database::Postgres(database) => database.history().await,
            Database::Sqlite(database) => database.history().await,
        }
    }

    /// Whether nothing is in the database that a backup could save.
    ///
    /// # Errors
    /// A lost session.
    pub async fn is_empty(&mut self) -> Result<bool, Fault> {
        match self {
            Database::Postgres(database) => database.is_empty().await,
            Database::Sqlite(database) => database.is_empty().await,
        }
    }

    /// Bytes that a backup may need at most, as far as the database can tell.
    ///
    /// # Errors
    /// A lost session.
    pub async fn size(&mut self) -> Result<u64, Fault> {
        match self {
            Database::Postgres(database) => database.size().await,
            Database::Sqlite(database) => database.size().await,
        }
    }

    pub fn identity(&self) -> Identity {
        match self {
            Database::Postgres(database) => database.identity(),
            Database::Sqlite(database) => database.identity(),
        }
    }

    pub fn server(&self) -> Server {
        match self {
            Database::Postgres(database) => database.server(),
            Database::Sqlite(database) => database.server(),
        }
    }

    pub fn source(&self) -> Source<'_> {
        match self {
            Database::Postgres(database) => Source::Postgres(database),
            Database::Sqlite(database) => Source::Sqlite(database.path()),
        }
    }

    /// Tries the lock once, without waiting.
    ///
    /// # Errors
    /// A lost session; a pooler that does not keep sessions; a folder that cannot be written.
    pub async fn try_lock(mut self, applied_by: &str, limits: Limits) -> Result<Attempt, Fault> {
        let taken = match &mut self {
            Database::Postgres(database) => database.try_lock().await?,
            Database::Sqlite(database) => database.try_lock(applied_by, limits).await?,
        };
        if !taken {
            return Ok(Attempt::Held(self));
        }
        let (dialect, table) = match &self {
            Database::Postgres(database) => (Dialect::Postgres, database.table()),
            Database::Sqlite(database) => (Dialect::Sqlite, database.table()),
        };
        let history = History { dialect, table, applied_by: applied_by.into() };
        Ok(Attempt::Taken(Locked { database: self, history }))
    }

    /// Who holds the lock, in words; `None` when nobody does any more.
    ///
    /// # Errors
    /// A lost session.
    pub async fn holder(&mut self) -> Result<Option<String>, Fault> {
        match self {
            Database::Postgres(database) => database.holder().await,
            Database::Sqlite(database) => Ok(database.holder()),
        }
    }
}

impl Locked {
    /// The reads of an unlocked database.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
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

    /// Runs one revision and records it: in one transaction, or statement by statement with a journal.
    ///
    /// # Errors
    /// What broke and where; the transaction is rolled back then.
    pub async fn apply(&mut self, unit: &mut Unit<'_>) -> Result<(), Broken> {
        match &mut self.database {
            Database::Postgres(database) => database.apply(&self.history, unit).await,
            Database::Sqlite(database) => database.apply(&self.history, unit).await,
        }
    }

    /// What the database itself finds wrong after the run: invalid indexes on PostgreSQL.
    ///
    /// # Errors
    /// A lost session.
    pub async fn defects(&mut self) -> Result<Vec<String>, Fault> {
        match &mut self.database {
            Database::Postgres(database) => database.defects().await,
            Database::Sqlite(_) => Ok(Vec::new()),
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

impl Canceller {
    /// Ends the running statement. Best effort: a failure is logged, the grace period does the rest.
    pub async fn cancel(&mut self) {
        match self {
            Canceller::Postgres(watch) => watch.cancel().await,
            Canceller::Sqlite(interrupt) => interrupt.cancel(),
        }
    }

    /// What our running statement is waiting for, in words.
    pub async fn waiting_for(&mut self) -> Option<String> {
        match self {
            Canceller::Postgres(watch) => watch.waiting_for().await,
            Canceller::Sqlite(_) => None,
        }
    }
}

impl Unit<'_> {
    /// The history row of this revision.
    pub fn row(&self, checksum: Checksum, progress: Progress, took: Took) -> Row<'_> {
        Row {
            id: &self.script.id,
            description: &self.script.description,
            checksum,
            progress,
            mode: self.script.header.mode,
            backup: self.backup,
            took,
        }
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

    /// The whole script has been read: is it what was checked before the run began?
    ///
    /// # Errors
    /// [`Broken::ChangedOnDisk`]
    pub fn unchanged(&self) -> Result<(), Broken> {
        match self.batches.checksum() == self.script.checksum {
            true => Ok(()),
            false => Err(Broken::ChangedOnDisk),
        }
    }
}

/// Reads a history row of either dialect.
///
/// # Errors
/// The table holds something that we have not written.
fn applied(revision: &str, checksum: &str, state: &str, done: i64) -> Result<Applied, Fault> {
    use crate::revision::{Id, State};
    let foreign = || {
        Fault::new(
            Kind::Setting,
            format!(
                "the history table holds a row that is not ours: revision \"{revision}\", state \"{state}\""
            ),
        )
    };
    let state = match state {
        "applied" => State::Applied,
        "partial" => State::Partial { done: usize::try_from(done).map_err(|_| foreign())? },
        _ => return Err(foreign()),
    };
    let id = Id::parse(revision).ok_or_else(foreign)?;
    Ok(Applied { id, checksum: Checksum::parse(checksum), state })
}

/// A file beside another: `name.suffix`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
