//! The content of a database as a backup has it: tables and rows, before and after a restore.

use super::{Postgres, column, rows};
use crate::database::DatabaseError;
use crate::database::row_counts::RowCounts;

/// The content of the database of a session.
pub(crate) struct DatabaseContent<'a> {
    pub(super) session: &'a mut Postgres,
}

impl<'a> DatabaseContent<'a> {
    /// Returns the content of the session's database.
    pub(crate) fn new(session: &'a mut Postgres) -> DatabaseContent<'a> {
        DatabaseContent { session }
    }

    /// Reads the names of the tables whose rows a dump would contain.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        let tables = rows::tables(&mut self.session.connection, &self.session.exchange).await?;
        Ok(tables.into_iter().map(|(name, _)| name).collect())
    }

    /// Counts the rows of every table.
    ///
    /// # Errors
    /// Fails when the session is lost, or a privilege is missing.
    pub(crate) async fn count(&mut self) -> Result<RowCounts, DatabaseError> {
        self.session.rows("SET row_security = off".into()).await?;
        let (probe, exchange) = (self.session.probe(), self.session.exchange.clone());
        let rows = probe.watch(rows::count(&mut self.session.connection, &exchange, "")).await?;
        Ok(rows.counts)
    }

    /// Gathers the statistics, which an archive does not contain: without them the first queries would get bad plans.
    /// There is no limit on the duration.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn analyze(&mut self) -> Result<(), DatabaseError> {
        // An ordinary role gets a warning for each table of the system that it may not analyze.
        self.session.rows("SET client_min_messages = error".into()).await?;
        // ANALYZE is sent as a message of its own, so that each table gets a transaction of its own.
        let probe = self.session.probe();
        probe.watch(self.session.run("ANALYZE".into())).await
    }

    /// Reads the quoted names of the subscriptions of this database that are enabled.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn enabled_subscriptions(&mut self) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT pg_catalog.quote_ident(s.subname) FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d \
                   ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database() AND s.subenabled ORDER BY 1";
        self.session.rows(sql.into()).await?.iter().map(|row| column(row, 0)).collect()
    }
}
