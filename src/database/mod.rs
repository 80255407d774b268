//! The verbs that a database answers: reads on [`Database`], writes on [`Locked`], which only taking the lock returns.

pub mod fault;
mod locked;
pub mod postgres;
pub mod sqlite;
pub mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::{Broken, Fault, Kind};
pub use locked::{Canceller, Locked, Released, Unit};
use postgres::Postgres;
use sqlite::Sqlite;
use url::Target;

use crate::revision::render::History;
use crate::revision::{Applied, Checksum, Dialect};

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

/// What one attempt at the lock gave.
pub enum Attempt {
    Taken(Locked),
    Held(Database),
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

    /// Whether there is a history table, as of the last look at the history.
    ///
    /// # Errors
    /// A lost session.
    pub async fn has_history(&mut self) -> Result<bool, Fault> {
        match self {
            Database::Postgres(database) => Ok(database.has_history()),
            Database::Sqlite(database) => database.has_history().await,
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

/// The columns of [`applied`], in its order. Tables of before there was a `down_checksum` lack it.
const COLUMNS: &str = "revision, checksum, state, statements_done";

/// Reads a history row of either dialect.
///
/// # Errors
/// The table holds something that we have not written.
fn applied(
    revision: &str,
    checksum: &str,
    state: &str,
    done: i64,
    down: Option<&str>,
) -> Result<Applied, Fault> {
    use crate::revision::{Id, State};
    let foreign = || {
        Fault::new(
            Kind::Setting,
            format!(
                "the history table holds a row that is not ours: revision \"{revision}\", state \"{state}\""
            ),
        )
    };
    let done = usize::try_from(done).map_err(|_| foreign())?;
    let state = match state {
        "applied" => State::Applied,
        "partial" => State::Partial { done },
        "undoing" => State::Undoing { done },
        _ => return Err(foreign()),
    };
    let id = Id::parse(revision).ok_or_else(foreign)?;
    Ok(Applied { id, checksum: Checksum::parse(checksum), down: down.and_then(Checksum::parse), state })
}

/// A file beside another: `name.suffix`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
