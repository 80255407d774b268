//! Bulk loading of tables in one transaction of the session that holds the lock: objects that slow loading down or
//! prevent it are detached, COPY writes the rows, the objects are reattached, and the transaction is committed only
//! with the proof that the lock is still ours.
//!
//! Whatever ends the session before, even SIGKILL, leaves the database unchanged.

mod catalog;
mod copy;
mod detached;
mod extent;
mod nodelay;
mod orphan;
mod reattach;
pub mod rows;
mod sequence;
mod shared_snapshot;
mod snapshot;
mod text;
pub(crate) mod violation;

use std::mem;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::message::Label;
use super::{Postgres, column, error, grant};
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;
use crate::sql::literal;
use crate::transfer::target::TargetTable;
pub(crate) use catalog::TargetCatalog;
pub(crate) use copy::CopyIn;
use detached::DetachedObjects;
pub(crate) use extent::TableExtent;
pub(crate) use orphan::{Orphan, Removal};
pub use reattach::{ReattachError, ReattachStep};
pub(crate) use rows::CopyRow;
pub use sequence::SequenceFloor;
pub(crate) use shared_snapshot::SharedSnapshot;
pub(crate) use snapshot::Snapshot;
pub use violation::{ViolatedRule, Violation, ViolationGroup, ViolationTotal};

/// The state of the last COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyState {
    /// The COPY has ended, or there was none.
    Idle,
    /// The COPY was dropped before its end: the session is out of step with the server.
    Busy,
    /// The COPY was ended before all rows were sent.
    GivenUp,
}

/// A transaction in which tables are loaded.
pub struct BulkLoad<'a> {
    session: &'a mut Postgres,
    tables: Vec<TargetTable>,
    detached: DetachedObjects,
    copy_state: CopyState,
}

/// A loaded transaction in which all detached objects are reattached: only this type can be committed.
pub struct CompletedLoad<'a> {
    session: &'a mut Postgres,
    copy_state: CopyState,
}

impl<'a> BulkLoad<'a> {
    /// Begins to load tables in a session that holds the lock: locks the tables against all other sessions, and
    /// detaches objects of them.
    ///
    /// # Errors
    /// Fails when another session uses a table, or a privilege is missing. The transaction is then rolled back.
    pub(crate) async fn open(session: &'a mut Postgres, tables: &[TargetTable]) -> Result<BulkLoad<'a>, DatabaseError> {
        match begin(session, tables).await {
            Ok(detached) => Ok(BulkLoad { session, tables: tables.to_vec(), detached, copy_state: CopyState::Idle }),
            Err(fault) => {
                roll_back(session, CopyState::Idle).await;
                Err(fault)
            }
        }
    }

    /// Returns those of the tables that had rows when they were locked.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub async fn filled(&mut self) -> Result<Vec<TargetTable>, DatabaseError> {
        TargetCatalog::new(self.session).filled(&self.tables).await
    }

    /// Begins to copy rows into columns of one of the tables; the rows are sent in the binary format of COPY.
    ///
    /// # Errors
    /// Fails when a column is generated, or a type has no binary form.
    pub async fn copy_in(&mut self, table: &TargetTable, columns: &[&str]) -> Result<CopyIn<'_>, DatabaseError> {
        copy::copy_in(self.session, &mut self.copy_state, table, columns).await
    }

    /// Reattaches all detached objects, checks the rows, sets the sequences and gathers statistics. `report` is called
    /// before each step.
    ///
    /// # Errors
    /// Fails when rows violate constraints or unique indexes, and returns all of these, or when a sequence is past its
    /// end. The transaction is then rolled back.
    pub async fn reattach(
        self,
        floors: &[SequenceFloor<'_>],
        report: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        self.reattach_tables(floors, None, report).await
    }

    /// Reattaches all detached objects as [`BulkLoad::reattach`] does, and removes rows without a parent before the
    /// foreign keys are added.
    ///
    /// # Errors
    /// Fails as [`BulkLoad::reattach`] does: rows violate other constraints, or a sequence is past its end.
    pub(crate) async fn reattach_without(
        self,
        removal: Removal<'_>,
        floors: &[SequenceFloor<'_>],
        report: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        self.reattach_tables(floors, Some(removal), report).await
    }

    async fn reattach_tables(
        self,
        floors: &[SequenceFloor<'_>],
        removal: Option<Removal<'_>>,
        report: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        let BulkLoad { session, tables, detached, mut copy_state } = self;
        let result = match copy_state {
            CopyState::Idle => {
                let reattachment = reattach::Reattachment { tables: &tables, detached: &detached, floors };
                match execute(session, OWN_PATH.into()).await {
                    Ok(()) => reattach::reattach(session, &mut copy_state, &reattachment, removal, report).await,
                    Err(fault) => Err(fault.into()),
                }
            }
            CopyState::Busy | CopyState::GivenUp => Err(given_up().into()),
        };
        match result {
            Ok(()) => Ok(CompletedLoad { session, copy_state: CopyState::Idle }),
            Err(error) => {
                roll_back(session, copy_state).await;
                Err(error)
            }
        }
    }

    /// Rolls the load back: the database is unchanged.
    pub async fn roll_back(self) {
        roll_back(self.session, self.copy_state).await;
    }
}

impl CompletedLoad<'_> {
    /// Passes every row of a query to `each`, in the binary format of COPY and in constant memory; returns the number
    /// of rows.
    ///
    /// # Errors
    /// Fails when the server refuses the query, or a type has no binary form.
    pub async fn copy_out(&mut self, query: &str, each: impl FnMut(CopyRow<'_>)) -> Result<u64, DatabaseError> {
        copy::copy_out(self.session, &mut self.copy_state, query, each).await
    }

    /// Commits the load if the lock is still ours.
    ///
    /// # Errors
    /// Fails when the lock is lost or the server refuses the commit; nothing is committed then. With
    /// [`ApplyError::Unknown`] the connection was lost, and the outcome is unknown.
    pub async fn commit(self) -> Result<(), ApplyError> {
        if self.copy_state != CopyState::Idle {
            return Err(ApplyError::Bookkeeping(given_up()));
        }
        let Err(error) = self.session.send(&self.session.commit()).await else {
            return Ok(());
        };
        if error.is_outcome_unknown() {
            return Err(ApplyError::Unknown(error.fault));
        }
        roll_back(self.session, CopyState::Idle).await;
        Err(match error.label {
            Label::Commit => ApplyError::Commit(error.fault),
            label if error.is_failed_check(label) => ApplyError::LockLost,
            _ => ApplyError::Bookkeeping(error.fault),
        })
    }

    /// Rolls the load back: the database is unchanged.
    pub async fn roll_back(self) {
        roll_back(self.session, self.copy_state).await;
    }
}

/// Begins the transaction, locks the tables and detaches their objects.
async fn begin(session: &mut Postgres, tables: &[TargetTable]) -> Result<DetachedObjects, DatabaseError> {
    nodelay::set();
    // READ COMMITTED, so that each statement sees all earlier changes, also those of sessions that held a table. Rows
    // that policies hide are an error. Indexes without a tablespace go to the database's, whatever the role prefers.
    // Deferred checks run at each COPY, because a table with pending events cannot be altered. The queries that check
    // foreign keys compute little for each row: compiling them takes longer (0.2 s to 0.8 s each) than it saves.
    let transaction = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED;\n{OWN_PATH}SET LOCAL row_security = off;\n\
         SET LOCAL default_tablespace = '';\nSET LOCAL jit = off;\nSET CONSTRAINTS ALL IMMEDIATE;\n"
    );
    execute(session, transaction).await?;
    if !tables.is_empty() {
        let names: Vec<String> = tables.iter().map(TargetTable::rows).collect();
        execute(session, format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "))).await?;
        check_still_tables(session, tables).await?;
    }
    let mut detached = DetachedObjects::from_catalog(session, tables).await?;
    for sql in mem::take(&mut detached.detach_statements) {
        execute(session, sql).await?;
    }
    Ok(detached)
}

/// Checks that the names still lead to the tables that were listed: a view could have been put in the place of a table
/// before the table was locked.
async fn check_still_tables(session: &mut Postgres, tables: &[TargetTable]) -> Result<(), DatabaseError> {
    let row = |table: &TargetTable| format!("({}, {})", literal(&table.quoted()), table.oid);
    let rows: Vec<String> = tables.iter().map(row).collect();
    let sql = format!(
        "SELECT t.name FROM (VALUES {}) t (name, id) WHERE NOT EXISTS (SELECT FROM pg_class c \
         WHERE c.oid = t.id::oid AND c.oid = to_regclass(t.name) AND c.relkind IN ('r', 'p'))",
        rows.join(", ")
    );
    match fetch(session, sql).await?.first() {
        None => Ok(()),
        Some(row) => {
            let name: String = column(row, 0)?;
            let message = format!("the table {name} was dropped or replaced meanwhile");
            Err(DatabaseError::new(DatabaseErrorKind::Contended, message))
        }
    }
}

fn given_up() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Cancelled, "a COPY was given up")
}

/// Rolls the transaction back. A session that is out of step gets no statement: its end rolls back.
async fn roll_back(session: &mut Postgres, copy_state: CopyState) {
    if copy_state != CopyState::Busy {
        let _ = session.run("ROLLBACK".into()).await;
    }
}

/// Runs statements, without a limit on their duration.
async fn execute(session: &mut Postgres, sql: String) -> Result<(), DatabaseError> {
    let result = session.run(sql.clone()).await;
    result.map_err(|fault| grant::advised(fault, &sql, &session.facts.role))
}

/// Runs a query and returns its rows, without a limit on the duration.
async fn fetch(session: &mut Postgres, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
    let _waiting = session.exchange.begin();
    let rows = sqlx::raw_sql(AssertSqlSafe(&*sql)).fetch_all(&mut session.connection).await;
    rows.map_err(|error| grant::advised(error::working(error), &sql, &session.facts.role))
}
