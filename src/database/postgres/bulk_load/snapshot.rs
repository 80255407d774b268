//! A consistent read of the tables that could be loaded: the transaction writes nothing, and blocks no reads or writes
//! of rows.

use std::ops::ControlFlow;

use super::catalog::TargetCatalog;
use super::extent::{self, TableExtent};
use super::rows::CopyRow;
use super::{CopyState, copy, execute, fetch, roll_back};
use crate::database::postgres::rows::REFUSE_VIEWS;
use crate::database::postgres::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;
use crate::transfer::target::{TargetColumn, TargetTable};

/// A read-only transaction. It sees all of its tables as of one moment, and no session can drop, rename or alter them.
pub(crate) struct Snapshot<'a> {
    session: &'a mut Postgres,
    copy_state: CopyState,
}

impl<'a> Snapshot<'a> {
    /// Opens a snapshot of tables that were listed before.
    ///
    /// # Errors
    /// Fails when a table is no longer as it was listed, a privilege is missing, or the session is lost.
    pub(crate) async fn open(session: &'a mut Postgres, tables: &[TargetTable]) -> Result<Snapshot<'a>, DatabaseError> {
        match begin(session, tables).await {
            Ok(()) => Ok(Snapshot::from_transaction(session)),
            Err(fault) => {
                roll_back(session, CopyState::Idle).await;
                Err(fault)
            }
        }
    }

    /// Returns the snapshot of a session that is in such a transaction.
    pub(super) fn from_transaction(session: &'a mut Postgres) -> Snapshot<'a> {
        Snapshot { session, copy_state: CopyState::Idle }
    }

    /// Passes every row of a query to `each`, in the binary format of COPY and in constant memory; returns the number
    /// of rows.
    ///
    /// # Errors
    /// Fails when the server refuses the query, or a type has no binary form.
    pub(crate) async fn copy_out(&mut self, query: &str, each: impl FnMut(CopyRow<'_>)) -> Result<u64, DatabaseError> {
        copy::copy_out(self.session, &mut self.copy_state, query, each).await
    }

    /// Passes every row of a query to `each` as [`Snapshot::copy_out`] does, and awaits `pause` between chunks of rows;
    /// a pause can end the copying.
    ///
    /// # Errors
    /// Fails as [`Snapshot::copy_out`] does, and with [`DatabaseErrorKind::Cancelled`] when a pause ended the copying.
    pub(crate) async fn copy_out_pausing(
        &mut self,
        query: &str,
        each: impl FnMut(CopyRow<'_>),
        pause: impl AsyncFnMut() -> ControlFlow<()>,
    ) -> Result<u64, DatabaseError> {
        copy::copy_out_pausing(self.session, &mut self.copy_state, query, each, pause).await
    }

    /// Returns the first row of a query as texts; `None` is NULL.
    ///
    /// # Errors
    /// Fails when the server refuses the query, or the session is lost.
    pub(crate) async fn texts(&mut self, query: String, columns: usize) -> Result<Vec<Option<String>>, DatabaseError> {
        let rows = fetch(self.session, query).await?;
        rows.first().map_or(Ok(Vec::new()), |row| (0..columns).map(|at| column(row, at)).collect())
    }

    /// Returns the numbers of blocks and bytes of tables, in their order.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn extents(&mut self, tables: &[&TargetTable]) -> Result<Vec<TableExtent>, DatabaseError> {
        extent::read(self.session, tables).await
    }

    /// Returns the session.
    pub(super) fn session(&mut self) -> &mut Postgres {
        self.session
    }

    /// Ends the transaction.
    pub(crate) async fn end(self) {
        roll_back(self.session, self.copy_state).await;
    }
}

/// Begins the transaction, locks the tables against being dropped, renamed or altered before it takes its snapshot, and
/// then checks that their names still lead to the listed tables: a view in the place of a table would run its functions
/// with our privileges.
async fn begin(session: &mut Postgres, tables: &[TargetTable]) -> Result<(), DatabaseError> {
    let settings = settings(session);
    execute(session, format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{OWN_PATH}{settings}")).await?;
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(|table| format!("ONLY {}", table.quoted())).collect();
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
    execute(session, lock).await.map_err(|fault| match fault.kind {
        DatabaseErrorKind::Statement => DatabaseError { kind: DatabaseErrorKind::Contended, ..fault },
        _ => fault,
    })?;
    execute(session, REFUSE_VIEWS.into()).await?;
    let now = TargetCatalog::new(session).tables().await?;
    match tables.iter().find(|table| !now.iter().any(|found| reads_like(found, table))) {
        None => Ok(()),
        Some(table) => {
            let name = table.quoted();
            let message = format!("the table {name} was dropped, replaced or altered after it was listed");
            Err(DatabaseError::new(DatabaseErrorKind::Contended, message).with_hint("nothing was read; run again"))
        }
    }
}

/// Returns the settings of a transaction that reads a snapshot.
pub(super) fn settings(session: &Postgres) -> String {
    // Rows that policies hide are an error. The source is read meanwhile, however long that takes. The texts of
    // values are for people.
    let mut settings = session.keepalive_settings();
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
    settings.iter().map(|(name, value)| format!("SET LOCAL {name} = '{value}';\n")).collect()
}

/// Reports whether a read of a table still returns the columns that were listed.
fn reads_like(now: &TargetTable, listed: &TargetTable) -> bool {
    let is_alike = |(now, then): (&TargetColumn, &TargetColumn)| {
        let types = (now.type_oid, now.typmod) == (then.type_oid, then.typmod) && now.base == then.base;
        now.name == then.name && types && now.element == then.element && now.generated == then.generated
    };
    (now.oid, now.storage, &now.key) == (listed.oid, listed.storage, &listed.key)
        && now.quoted() == listed.quoted()
        && now.columns.len() == listed.columns.len()
        && now.columns.iter().zip(&listed.columns).all(is_alike)
}
