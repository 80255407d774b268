//! The names of scratch databases, and their removal.
//!
//! A name ends with the key of the lock under which the database was created. A run that holds that lock may drop every
//! database with its suffix, because only a killed run can have left it. A run with another history table has another
//! lock and may work at the same time: its databases have another suffix.

use super::{Postgres, ScratchDatabase, column};
use crate::database::DatabaseError;
use crate::sql::{identifier, literal};

/// Returns the suffix of the names of databases that are created for a purpose under our lock.
pub(super) fn scratch_suffix(server: &Postgres, purpose: &str) -> String {
    format!("{purpose}_{:016x}", server.key().cast_unsigned())
}

impl ScratchDatabase {
    /// Drops the databases that killed runs under the same lock have left for a purpose; the caller must hold the lock.
    ///
    /// # Errors
    /// Fails when another session is connected to such a database, or another role owns it.
    pub(crate) async fn drop_leftovers(server: &mut Postgres, purpose: &str) -> Result<(), DatabaseError> {
        let suffix = scratch_suffix(server, purpose);
        let sql = format!(
            "SELECT datname::text, oid::bigint FROM pg_catalog.pg_database WHERE pg_catalog.right(datname::text, {}) = {}",
            suffix.len(),
            literal(&suffix)
        );
        for row in server.rows(sql).await? {
            let (name, oid) = (column(&row, 0)?, column(&row, 1)?);
            let (model, session) = (server.facts.database.clone(), server.maintenance().await?);
            ScratchDatabase { name, oid, model, model_oid: 0, session }.drop_database().await?;
        }
        Ok(())
    }

    /// Drops the database, and ends all sessions that a killed tool has left in it. Another database that has got the
    /// name meanwhile is kept.
    ///
    /// # Errors
    /// Fails when another session connects meanwhile, or another role owns the database.
    pub(crate) async fn drop_database(&mut self) -> Result<(), DatabaseError> {
        if self.oid_of(&self.name.clone()).await? != Some(self.oid) {
            return Ok(());
        }
        self.end_sessions().await?;
        self.run(&format!("DROP DATABASE {}", identifier(&self.name))).await
    }

    /// Ends all sessions in the database: those of tools, or those kept by a pooler.
    pub(super) async fn end_sessions(&mut self) -> Result<(), DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datid = {} AND usesysid IS NOT NULL",
            self.oid
        );
        self.rows(&sql).await.map(drop)
    }

    /// Returns the OID of the database of this name; `None` when there is none.
    pub(super) async fn oid_of(&mut self, name: &str) -> Result<Option<i64>, DatabaseError> {
        let sql = format!("SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = {}", literal(name));
        self.rows(&sql).await?.first().map(|row| column(row, 0)).transpose()
    }
}
