//! The target of a transfer, which is always PostgreSQL: its tables, a consistent read of them, and a load.

use super::postgres::bulk_load::{BulkLoad, Snapshot, TargetCatalog};
use super::{Database, DatabaseError, DatabaseErrorKind, Locked};
use crate::transfer::target::TargetTable;

impl Database {
    /// Lists the tables that rows can be copied into, without the history table.
    ///
    /// # Errors
    /// The session is lost, or the database is SQLite, which is never the target of a load.
    pub async fn target_tables(&mut self) -> Result<Vec<TargetTable>, DatabaseError> {
        match self {
            Database::Postgres(session) => TargetCatalog::new(session).tables().await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }

    /// Begins to read tables that were listed before, in one snapshot.
    ///
    /// # Errors
    /// Fails as [`Database::target_tables`] does, if a table has changed since it was listed, or without a privilege.
    pub(crate) async fn snapshot(&mut self, tables: &[TargetTable]) -> Result<Snapshot<'_>, DatabaseError> {
        match self {
            Database::Postgres(session) => Snapshot::open(session, tables).await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }
}

impl Locked {
    /// Begins to load tables, in a transaction that is committed only if this run still holds the lock.
    ///
    /// # Errors
    /// A table is in use, a privilege is missing, or the database is SQLite, which is never the target of a load.
    pub async fn load(&mut self, tables: &[TargetTable]) -> Result<BulkLoad<'_>, DatabaseError> {
        match &mut self.database {
            Database::Postgres(session) => BulkLoad::open(session, tables).await,
            Database::Sqlite(_) => Err(no_target()),
        }
    }
}

fn no_target() -> DatabaseError {
    DatabaseError::new(
        DatabaseErrorKind::Setting,
        "rows are loaded into PostgreSQL alone: DATABASE_URL names an SQLite database",
    )
}
