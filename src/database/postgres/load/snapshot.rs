//! Reading the tables that could be loaded, without a lock and without a write.

use std::ops::ControlFlow;

use super::catalog::TargetTable;
use super::rows::Row;
use super::{Wire, copy, execute, fetch, roll_back};
use crate::database::Fault;
use crate::database::postgres::{Postgres, column};
use crate::revision::render::OWN_PATH;

/// A transaction that only reads, and to which all tables are of one moment.
pub struct Snapshot<'a> {
    database: &'a mut Postgres,
    wire: Wire,
}

impl Postgres {
    /// Begins to read.
    ///
    /// # Errors
    /// A lost session.
    pub async fn snapshot(&mut self) -> Result<Snapshot<'_>, Fault> {
        // Rows that policies hide are an error. The other side is read meanwhile, however long that takes. Texts of values
        // are for people.
        let mut settings = self.lasting();
        settings.extend(
            [
                ("statement_timeout", "0"),
                ("row_security", "off"),
                ("TimeZone", "UTC"),
                ("DateStyle", "ISO"),
                ("bytea_output", "hex"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        let settings: String =
            settings.iter().map(|(name, value)| format!("SET LOCAL {name} = '{value}';\n")).collect();
        let begun =
            execute(self, format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{OWN_PATH}{settings}"))
                .await;
        match begun {
            Ok(()) => Ok(Snapshot { database: self, wire: Wire::Idle }),
            Err(fault) => {
                roll_back(self, Wire::Idle).await;
                Err(fault)
            }
        }
    }
}

impl Snapshot<'_> {
    /// As [`Postgres::target_tables`].
    ///
    /// # Errors
    /// A lost session.
    pub async fn tables(&mut self) -> Result<Vec<TargetTable>, Fault> {
        self.database.target_tables().await
    }

    /// Hands over every row of a query, as the binary format has it, in constant memory.
    ///
    /// # Errors
    /// The query's; a type that cannot be sent.
    pub async fn copy_out(&mut self, query: &str, each: impl FnMut(Row<'_>)) -> Result<u64, Fault> {
        copy::copy_out(self.database, &mut self.wire, query, each).await
    }

    /// The same; between rows `pause` is waited for, and may break off.
    ///
    /// # Errors
    /// As [`Snapshot::copy_out`]; [`Kind::Cancelled`](crate::database::Kind::Cancelled) when a pause broke off.
    pub async fn copy_out_pausing(
        &mut self,
        query: &str,
        each: impl FnMut(Row<'_>),
        pause: impl AsyncFnMut() -> ControlFlow<()>,
    ) -> Result<u64, Fault> {
        copy::copy_out_pausing(self.database, &mut self.wire, query, each, pause).await
    }

    /// The texts of a query's first row.
    ///
    /// # Errors
    /// The query's.
    pub async fn texts(&mut self, query: String, columns: usize) -> Result<Vec<Option<String>>, Fault> {
        let rows = fetch(self.database, query).await?;
        rows.first().map_or(Ok(Vec::new()), |row| (0..columns).map(|at| column(row, at)).collect())
    }

    /// Ends the transaction.
    pub async fn end(self) {
        roll_back(self.database, self.wire).await;
    }
}
