//! The operations of a database: [`Database`] reads; [`Locked`], which only taking the lock returns, writes.

mod apply_error;
pub(crate) mod apply_request;
pub(crate) mod command_sessions;
pub(crate) mod durability;
pub(crate) mod error;
mod history_mark;
mod history_name;
mod identity;
mod locked;
mod open;
pub mod postgres;
pub(crate) mod row_counts;
mod server;
pub mod sqlite;
mod table_names;
mod transfer_target;
pub mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dialect::Dialect;

pub use apply_error::ApplyError;
pub use apply_request::ApplyRequest;
pub use error::{DatabaseError, DatabaseErrorKind};
pub use history_mark::HistoryMark;
pub use history_name::HistoryName;
pub use locked::{Canceller, Locked, ReachabilityProbe};
pub use open::{HistoryPoll, connect, open, poll};
use postgres::Postgres;
pub(crate) use server::{DatabaseIdentity, ServerInfo};
use sqlite::Sqlite;
pub(crate) use table_names::TableNames;
use url::DatabaseTarget;

use crate::revision::Applied;
use crate::revision::history::{HistoryFormat, HistoryRecord, HistoryTable};
use crate::revision::other_tools::ForeignHistory;

/// Time limits that a locked database keeps while it works.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// PostgreSQL: `lock_timeout` of each migration; zero means no limit.
    pub lock: Duration,
    /// PostgreSQL: `statement_timeout` of each migration; zero means no limit.
    pub statement: Duration,
    /// SQLite: the time that the run waits for another writer.
    pub busy: Duration,
}

/// A database that is open and not locked.
pub enum Database {
    /// A session on a PostgreSQL server.
    Postgres(Box<Postgres>),
    /// An SQLite file.
    Sqlite(Box<Sqlite>),
}

/// The outcome of one attempt to take the lock.
pub enum LockAttempt {
    /// The lock was taken.
    Taken(Locked),
    /// Somebody else holds the lock; the database is returned without it.
    Held(Database),
}

/// The answer to an unlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlockResult {
    /// This run held the lock until now.
    WasOurs,
    /// The lock was lost before.
    WasNotOurs,
}

/// Defects that the database reports in its own schema, one description for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaDefects {
    /// Invalid indexes (PostgreSQL), or references to tables that do not exist (SQLite).
    pub(crate) invalid: Vec<String>,
    /// Constraints that were added with NOT VALID and were not validated since (PostgreSQL).
    pub(crate) unvalidated: Vec<String>,
}

/// The source of a backup.
pub(crate) enum BackupSource<'a> {
    /// The session on the server that holds the database.
    Postgres(&'a Postgres),
    /// The path of the database file.
    Sqlite(&'a Path),
}

/// Creates the PostgreSQL database that a target names; succeeds if it exists by now. Does nothing for SQLite.
///
/// # Errors
/// No maintenance database can be reached, or the role lacks CREATEDB.
pub(crate) async fn create(target: &DatabaseTarget, timeout: Duration) -> Result<(), DatabaseError> {
    match target {
        DatabaseTarget::Postgres(target) => postgres::create(target, timeout).await,
        DatabaseTarget::Sqlite(_) => Ok(()),
    }
}

impl Database {
    /// Returns the SQL dialect of the database.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Database::Postgres(_) => Dialect::Postgres,
            Database::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Reads the history; returns no rows if there is no history table.
    ///
    /// # Errors
    /// The session is lost, a privilege is missing, or the table was not made by Lockkeeper.
    pub async fn history(&mut self) -> Result<Vec<Applied>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.history().await,
            Database::Sqlite(database) => database.history().await,
        }
    }

    /// Reports whether the history table existed when the history was last read.
    pub(crate) fn has_history(&self) -> bool {
        match self {
            Database::Postgres(database) => database.has_history(),
            Database::Sqlite(database) => database.has_history(),
        }
    }

    /// Reads every column of the history, in no order; returns no rows if the last read of the history found no table.
    ///
    /// # Errors
    /// Fails as [`Database::history`] does: a lost session, a missing privilege, or another program's table.
    pub(crate) async fn records(&mut self) -> Result<Vec<HistoryRecord>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.records().await,
            Database::Sqlite(database) => database.records().await,
        }
    }

    /// Reads the history tables of other migration tools.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.foreign_histories().await,
            Database::Sqlite(database) => database.foreign_histories().await,
        }
    }

    /// Reads the names of the tables, without system schemas, tables of extensions and the history table.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn table_names(&mut self) -> Result<TableNames, DatabaseError> {
        match self {
            Database::Postgres(database) => database.table_names().await,
            Database::Sqlite(database) => database.table_names().await,
        }
    }

    /// Reports whether the database holds nothing that a backup could save.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        match self {
            Database::Postgres(database) => database.is_empty().await,
            Database::Sqlite(database) => database.is_empty().await,
        }
    }

    /// Returns the size in bytes that a backup may need at most, as far as the database can estimate.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn size(&mut self) -> Result<u64, DatabaseError> {
        match self {
            Database::Postgres(database) => database.size().await,
            Database::Sqlite(database) => database.size().await,
        }
    }

    /// Returns the dialect and the name by which backups identify the database.
    pub(crate) fn identity(&self) -> DatabaseIdentity {
        match self {
            Database::Postgres(database) => database.identity(),
            Database::Sqlite(database) => database.identity(),
        }
    }

    /// Returns the quoted name of the history table, whether it exists or not, and its schema (PostgreSQL only).
    pub(crate) fn history_place(&self) -> (String, Option<String>) {
        match self {
            Database::Postgres(database) => (database.table(), database.schema()),
            Database::Sqlite(database) => (database.table(), None),
        }
    }

    /// Returns the name of the journal, quoted and qualified.
    fn journal_table(&self) -> String {
        match self {
            Database::Postgres(database) => database.journal_table(),
            Database::Sqlite(database) => database.journal_table(),
        }
    }

    fn history_format(&self) -> &'static dyn HistoryFormat {
        match self {
            Database::Postgres(database) => database.history_format(),
            Database::Sqlite(database) => database.history_format(),
        }
    }

    /// Returns the version and the address of the server or file.
    pub(crate) fn server(&self) -> ServerInfo {
        match self {
            Database::Postgres(database) => database.server(),
            Database::Sqlite(database) => database.server(),
        }
    }

    /// Returns the source of a backup of this database.
    pub(crate) fn source(&self) -> BackupSource<'_> {
        match self {
            Database::Postgres(database) => BackupSource::Postgres(database),
            Database::Sqlite(database) => BackupSource::Sqlite(database.path()),
        }
    }

    /// Returns a probe that checks whether the server is reachable while it is read.
    pub(crate) fn probe(&self) -> ReachabilityProbe {
        match self {
            Database::Postgres(database) => ReachabilityProbe(Some(database.probe())),
            Database::Sqlite(_) => ReachabilityProbe(None),
        }
    }

    /// Tries to take the lock once, without waiting.
    ///
    /// # Errors
    /// The session is lost, a pooler does not keep sessions, or the directory of the lock file is not writable.
    pub async fn try_lock(mut self, applied_by: &str, limits: SessionLimits) -> Result<LockAttempt, DatabaseError> {
        let is_locked = match &mut self {
            Database::Postgres(database) => database.try_lock().await?,
            Database::Sqlite(database) => database.try_lock(applied_by, limits).await?,
        };
        if !is_locked {
            return Ok(LockAttempt::Held(self));
        }
        let (table, _) = self.history_place();
        let history = HistoryTable {
            format: self.history_format(),
            dialect: self.dialect(),
            table,
            journal: self.journal_table(),
            applied_by: applied_by.into(),
        };
        Ok(LockAttempt::Taken(Locked { database: self, history }))
    }

    /// Closes an SQLite file until the next query: the lock's holder may need it alone to change the journal mode.
    pub(crate) fn close_file(&mut self) {
        if let Database::Sqlite(database) = self {
            database.close();
        }
    }

    /// Describes the holder of the lock; `None` if nobody holds the lock any more.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn holder(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.holder().await,
            Database::Sqlite(database) => Ok(database.holder()),
        }
    }
}

/// Reports whether a statement failed because the object that it creates exists already.
pub(crate) fn is_duplicate_object(fault: &DatabaseError) -> bool {
    postgres::error::is_duplicate_object(fault) || sqlite::error::is_duplicate_object(fault)
}

/// Returns the path of a file beside another one: the path with `suffix` appended to the file name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
