//! The verbs that a database answers: reads on [`Database`], writes on [`Locked`], which only taking the lock returns.

mod apply_error;
pub mod error;
mod history_name;
mod identity;
mod locked;
pub mod postgres;
pub mod record;
pub mod row_counts;
mod server;
pub mod sqlite;
mod table_names;
pub mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use apply_error::ApplyError;
pub use error::{DatabaseError, DatabaseErrorKind};
pub use history_name::HistoryName;
pub use locked::{ApplyRequest, Canceller, Locked, ReachabilityProbe, UnlockResult};
use postgres::Postgres;
use postgres::bulk_load::{Snapshot, TargetTable};
pub use record::HistoryRecord;
pub use server::{DatabaseIdentity, ServerInfo};
use sqlite::Sqlite;
pub use table_names::TableNames;
use url::DatabaseTarget;

use crate::revision::other_tools::ForeignHistory;
use crate::revision::render::HistoryTable;
use crate::revision::{Applied, Dialect};

/// Limits that a locked database keeps while it works.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
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
pub enum LockAttempt {
    Taken(Locked),
    Held(Database),
}

/// What the database itself finds wrong, in words.
#[derive(Clone, Debug, Default)]
pub struct SchemaDefects {
    pub invalid: Vec<String>,
    /// Constraints that were added with NOT VALID.
    pub unvalidated: Vec<String>,
}

/// What a backup must copy.
pub enum BackupSource<'a> {
    Postgres(&'a Postgres),
    Sqlite(&'a Path),
}

/// Opens a session, each host within `attempt`; for SQLite a missing file is an empty database that only locking creates.
///
/// # Errors
/// The fault says whether another attempt may help: see [`DatabaseErrorKind`].
pub async fn open(
    target: &DatabaseTarget,
    history: &HistoryName,
    attempt: Duration,
) -> Result<Database, DatabaseError> {
    match target {
        DatabaseTarget::Postgres(target) => {
            Ok(Database::Postgres(Box::new(Postgres::connect(target, history, attempt).await?)))
        }
        DatabaseTarget::Sqlite(target) => Ok(Database::Sqlite(Box::new(Sqlite::open(target, history).await?))),
    }
}

/// Creates the PostgreSQL database that a target names. One that exists by now is fine.
///
/// # Errors
/// No maintenance database to ask from, no CREATEDB.
pub async fn create(target: &DatabaseTarget, attempt: Duration) -> Result<(), DatabaseError> {
    match target {
        DatabaseTarget::Postgres(target) => postgres::create(target, attempt).await,
        DatabaseTarget::Sqlite(_) => Ok(()),
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
    pub async fn history(&mut self) -> Result<Vec<Applied>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.history().await,
            Database::Sqlite(database) => database.history().await,
        }
    }

    /// Whether the history table was there when the history was read.
    pub fn has_history(&self) -> bool {
        match self {
            Database::Postgres(database) => database.has_history(),
            Database::Sqlite(database) => database.has_history(),
        }
    }

    /// Reads every column of the history, in no order; nothing when reading the history has found no table.
    ///
    /// # Errors
    /// As [`Database::history`].
    pub async fn records(&mut self) -> Result<Vec<HistoryRecord>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.records().await,
            Database::Sqlite(database) => database.records().await,
        }
    }

    /// The history tables that other tools have left.
    ///
    /// # Errors
    /// A lost session.
    pub async fn foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.foreign_histories().await,
            Database::Sqlite(database) => database.foreign_histories().await,
        }
    }

    /// Reads the names of the tables outside of the system's schemas that no extension owns, but for the history's.
    ///
    /// # Errors
    /// A lost session.
    pub async fn table_names(&mut self) -> Result<TableNames, DatabaseError> {
        match self {
            Database::Postgres(database) => database.table_names().await,
            Database::Sqlite(database) => database.table_names().await,
        }
    }

    /// Whether nothing is in the database that a backup could save.
    ///
    /// # Errors
    /// A lost session.
    pub async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        match self {
            Database::Postgres(database) => database.is_empty().await,
            Database::Sqlite(database) => database.is_empty().await,
        }
    }

    /// Bytes that a backup may need at most, as far as the database can tell.
    ///
    /// # Errors
    /// A lost session.
    pub async fn size(&mut self) -> Result<u64, DatabaseError> {
        match self {
            Database::Postgres(database) => database.size().await,
            Database::Sqlite(database) => database.size().await,
        }
    }

    pub fn identity(&self) -> DatabaseIdentity {
        match self {
            Database::Postgres(database) => database.identity(),
            Database::Sqlite(database) => database.identity(),
        }
    }

    /// Where the history is or would be, quoted, and its schema on PostgreSQL.
    pub fn history_place(&self) -> (String, Option<String>) {
        match self {
            Database::Postgres(database) => (database.table(), database.schema()),
            Database::Sqlite(database) => (database.table(), None),
        }
    }

    pub fn server(&self) -> ServerInfo {
        match self {
            Database::Postgres(database) => database.server(),
            Database::Sqlite(database) => database.server(),
        }
    }

    pub fn source(&self) -> BackupSource<'_> {
        match self {
            Database::Postgres(database) => BackupSource::Postgres(database),
            Database::Sqlite(database) => BackupSource::Sqlite(database.path()),
        }
    }

    /// The tables that rows can be copied into, but for the history.
    ///
    /// # Errors
    /// A lost session; SQLite: nothing is loaded into that.
    pub async fn target_tables(&mut self) -> Result<Vec<TargetTable>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.target_tables().await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }

    /// Begins to read some of those tables, as of one moment.
    ///
    /// # Errors
    /// As [`Database::target_tables`]; a table that is not what was listed any more, a missing privilege.
    pub async fn snapshot(&mut self, tables: &[TargetTable]) -> Result<Snapshot<'_>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.snapshot(tables).await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }

    /// What looks after the server while it is read.
    pub fn probe(&self) -> ReachabilityProbe {
        match self {
            Database::Postgres(database) => ReachabilityProbe(Some(database.probe())),
            Database::Sqlite(_) => ReachabilityProbe(None),
        }
    }

    /// Tries the lock once, without waiting.
    ///
    /// # Errors
    /// A lost session; a pooler that does not keep sessions; a folder that cannot be written.
    pub async fn try_lock(mut self, applied_by: &str, limits: SessionLimits) -> Result<LockAttempt, DatabaseError> {
        let taken = match &mut self {
            Database::Postgres(database) => database.try_lock().await?,
            Database::Sqlite(database) => database.try_lock(applied_by, limits).await?,
        };
        if !taken {
            return Ok(LockAttempt::Held(self));
        }
        let (table, _) = self.history_place();
        let history = HistoryTable { dialect: self.dialect(), table, applied_by: applied_by.into() };
        Ok(LockAttempt::Taken(Locked { database: self, history }))
    }

    /// Closes SQLite's file until the next question: the holder of the lock may need it alone, to change its journal mode.
    pub async fn close_file(&mut self) {
        if let Database::Sqlite(database) = self {
            database.close().await;
        }
    }

    /// Who holds the lock, in words; `None` when nobody does any more.
    ///
    /// # Errors
    /// A lost session.
    pub async fn holder(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.holder().await,
            Database::Sqlite(database) => Ok(database.holder()),
        }
    }
}

fn no_target() -> DatabaseError {
    DatabaseError::new(
        DatabaseErrorKind::Setting,
        "rows are loaded into PostgreSQL alone: DATABASE_URL names an SQLite database",
    )
}

/// A file beside another: `name.suffix`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
