//! Loading tables, on the very session that holds the lock, in one transaction: what stands in the way is set aside, rows
//! come in by COPY, everything is put back, and nothing is committed without the proof that the lock is ours.
//!
//! Whatever ends the session before, SIGKILL among it, leaves the database as it was.

pub mod catalog;
mod copy;
mod detached;
mod nodelay;
mod orphan;
mod reattach;
pub mod rows;
mod sequence;
mod snapshot;
mod text;
pub mod violation;

use std::mem;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::error::is_division_by_zero;
use super::{Postgres, column, error, grant};
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::revision::render::{OWN_PATH, literal};
pub use catalog::{Element, IdentityKind, OwnedSequence, Storage, TargetColumn, TargetTable, TargetType};
pub use copy::CopyIn;
use detached::DetachedObjects;
pub use orphan::{Orphan, Removal};
pub use reattach::{ReattachError, ReattachStep};
pub use rows::{CopyReader, CopyRow};
pub use sequence::SequenceFloor;
pub use snapshot::Snapshot;
pub use violation::{ViolatedRule, Violation, ViolationGroup, ViolationTotal};

/// What became of the last COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyState {
    /// It has come to its end, if there was one.
    Idle,
    /// It was dropped on its way: the session is out of step.
    Busy,
    /// It was ended before all rows were there.
    GivenUp,
}

/// A transaction in which tables are loaded.
pub struct BulkLoad<'a> {
    database: &'a mut Postgres,
    tables: Vec<TargetTable>,
    aside: DetachedObjects,
    wire: CopyState,
}

/// The same when everything is as it was, but for the rows: only this can be committed.
pub struct CompletedLoad<'a> {
    database: &'a mut Postgres,
    wire: CopyState,
}

impl Postgres {
    /// Begins to load these tables: locks them against everybody else, and sets aside what stands in the way.
    ///
    /// # Errors
    /// Somebody uses a table; a privilege is missing. The transaction is rolled back then.
    pub async fn load(&mut self, tables: &[TargetTable]) -> Result<BulkLoad<'_>, DatabaseError> {
        match self.open_load(tables).await {
            Ok(aside) => Ok(BulkLoad { database: self, tables: tables.to_vec(), aside, wire: CopyState::Idle }),
            Err(fault) => {
                roll_back(self, CopyState::Idle).await;
                Err(fault)
            }
        }
    }

    async fn open_load(&mut self, tables: &[TargetTable]) -> Result<DetachedObjects, DatabaseError> {
        nodelay::set();
        // Each statement is to see what the ones before it, and whoever held a table, have done. Rows that policies hide
        // are an error. An index without a tablespace of its own goes where the database is, whatever the role prefers.
        // Deferred checks come at each COPY: a table with events that wait cannot be altered.
        execute(
            self,
            format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED;\n{OWN_PATH}SET LOCAL row_security = off;\n\
                 SET LOCAL default_tablespace = '';\nSET CONSTRAINTS ALL IMMEDIATE;\n"
            ),
        )
        .await?;
        if !tables.is_empty() {
            let names: Vec<String> = tables.iter().map(TargetTable::rows).collect();
            execute(self, format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "))).await?;
            self.still_tables(tables).await?;
        }
        let mut aside = self.detach(tables).await?;
        for sql in mem::take(&mut aside.away) {
            execute(self, sql).await?;
        }
        Ok(aside)
    }
}

impl Postgres {
    /// Refuses names that lead to something else than when the tables were listed: a view could have been put in the place
    /// of one before it was locked.
    async fn still_tables(&mut self, tables: &[TargetTable]) -> Result<(), DatabaseError> {
        let listed = |table: &TargetTable| format!("({}, {})", literal(&table.quoted()), table.oid);
        let listed: Vec<String> = tables.iter().map(listed).collect();
        let sql = format!(
            "SELECT t.name FROM (VALUES {}) t (name, id) WHERE NOT EXISTS (SELECT FROM pg_class c \
             WHERE c.oid = t.id::oid AND c.oid = to_regclass(t.name) AND c.relkind IN ('r', 'p'))",
            listed.join(", ")
        );
        match fetch(self, sql).await?.first() {
            None => Ok(()),
            Some(row) => {
                let name: String = column(row, 0)?;
                let message = format!("the table {name} was dropped or replaced meanwhile");
                Err(DatabaseError::new(DatabaseErrorKind::Contended, message))
            }
        }
    }
}

impl<'a> BulkLoad<'a> {
    /// Which of the tables had rows already when they were locked.
    ///
    /// # Errors
    /// A lost session.
    pub async fn filled(&mut self) -> Result<Vec<TargetTable>, DatabaseError> {
        self.database.filled(&self.tables).await
    }

    /// Begins to copy rows into columns of one of the tables; they are sent as the binary format has them.
    ///
    /// # Errors
    /// A generated column, a type that cannot be received.
    pub async fn copy_in(&mut self, table: &TargetTable, columns: &[&str]) -> Result<CopyIn<'_>, DatabaseError> {
        copy::copy_in(self.database, &mut self.wire, table, columns).await
    }

    /// Puts everything back, checks it, sets the sequences and gathers statistics. `tell` hears of each step before it is
    /// taken.
    ///
    /// # Errors
    /// Every row that breaks a constraint or a unique index; a sequence that is past its end. The transaction is rolled
    /// back then.
    pub async fn restore(
        self,
        marks: &[SequenceFloor<'_>],
        tell: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        self.put_back(marks, None, tell).await
    }

    /// The same when rows that lead nowhere are removed: they go before foreign keys are put back.
    ///
    /// # Errors
    /// As [`BulkLoad::restore`].
    pub async fn restore_without(
        self,
        removal: Removal<'_>,
        marks: &[SequenceFloor<'_>],
        tell: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        self.put_back(marks, Some(removal), tell).await
    }

    async fn put_back(
        self,
        marks: &[SequenceFloor<'_>],
        removal: Option<Removal<'_>>,
        tell: &mut dyn FnMut(ReattachStep<'_>),
    ) -> Result<CompletedLoad<'a>, ReattachError> {
        let BulkLoad { database, tables, aside, mut wire } = self;
        let restored = match wire {
            CopyState::Idle => {
                let back = reattach::Reattachment { tables: &tables, aside: &aside, marks };
                match execute(database, OWN_PATH.into()).await {
                    Ok(()) => reattach::restore(database, &mut wire, &back, removal, tell).await,
                    Err(fault) => Err(fault.into()),
                }
            }
            CopyState::Busy | CopyState::GivenUp => Err(given_up().into()),
        };
        match restored {
            Ok(()) => Ok(CompletedLoad { database, wire: CopyState::Idle }),
            Err(unrestored) => {
                roll_back(database, wire).await;
                Err(unrestored)
            }
        }
    }

    /// Gives up: the database is as it was.
    pub async fn roll_back(self) {
        roll_back(self.database, self.wire).await;
    }
}

impl CompletedLoad<'_> {
    /// Hands over every row of a query, as the binary format has it, in constant memory.
    ///
    /// # Errors
    /// The query's; a type that cannot be sent.
    pub async fn copy_out(&mut self, query: &str, each: impl FnMut(CopyRow<'_>)) -> Result<u64, DatabaseError> {
        copy::copy_out(self.database, &mut self.wire, query, each).await
    }

    /// Commits, if the lock is still ours.
    ///
    /// # Errors
    /// The lock is lost; the server refuses. Nothing is committed then. [`ApplyError::Unknown`]: the connection was lost, and
    /// nobody knows.
    pub async fn commit(self) -> Result<(), ApplyError> {
        if self.wire != CopyState::Idle {
            return Err(ApplyError::Bookkeeping(given_up()));
        }
        let message = self.database.assert_lock_held() + "COMMIT;\n";
        let Err((fault, done)) = self.database.run(message).await else {
            return Ok(());
        };
        if fault.kind == DatabaseErrorKind::Lost {
            return Err(ApplyError::Unknown(fault));
        }
        roll_back(self.database, CopyState::Idle).await;
        Err(match done {
            0 if is_division_by_zero(&fault) => ApplyError::LockLost,
            0 => ApplyError::Bookkeeping(fault),
            _ => ApplyError::Commit(fault),
        })
    }

    /// Gives up: the database is as it was.
    pub async fn roll_back(self) {
        roll_back(self.database, self.wire).await;
    }
}

fn given_up() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Cancelled, "a COPY was given up")
}

/// Without a session, or with one that is out of step, there is nothing to say: its end rolls back.
async fn roll_back(database: &mut Postgres, wire: CopyState) {
    if wire != CopyState::Busy {
        let _ = database.run("ROLLBACK".into()).await;
    }
}

/// Runs statements, however long they take.
async fn execute(database: &mut Postgres, sql: String) -> Result<(), DatabaseError> {
    let run = database.run(sql.clone()).await;
    run.map_err(|(fault, _)| grant::advised(fault, &sql, &database.facts.role))
}

/// Asks, however long the answer takes.
async fn fetch(database: &mut Postgres, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
    let _waiting = database.exchange.begin();
    let rows = sqlx::raw_sql(AssertSqlSafe(&*sql)).fetch_all(&mut database.connection).await;
    rows.map_err(|error| grant::advised(error::working(error), &sql, &database.facts.role))
}
