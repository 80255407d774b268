//! Why a revision was not applied, in words that know no driver.

use super::{DatabaseError, DatabaseErrorKind, postgres, sqlite};
use crate::masking::excerpt;
use crate::revision::batch::{Batch, BatchError, SourcePosition};

/// Why a revision was not applied.
#[derive(Debug)]
pub enum ApplyError {
    /// A statement of the script failed.
    Statement {
        fault: DatabaseError,
        place: SourcePosition,
        excerpt: String,
    },
    /// A statement of a script without a transaction failed, or the session was lost in it; so many were done before.
    Partial {
        fault: DatabaseError,
        place: SourcePosition,
        excerpt: String,
        done: usize,
    },
    /// A statement of such a script could not get its locks. What it may have left is cleared away when it is run again.
    Yielded {
        fault: DatabaseError,
        place: SourcePosition,
        excerpt: String,
        done: usize,
    },
    /// An earlier run ended while this statement of such a script ran, and the database does not tell what came of it.
    Open {
        place: SourcePosition,
        excerpt: String,
        done: usize,
    },
    /// A statement of such a script ran, and what it did stays, but the journal does not know of it.
    Unrecorded {
        fault: DatabaseError,
        place: SourcePosition,
        excerpt: String,
        done: usize,
    },
    /// Nothing of the script has run: its transaction or its journal could not be begun.
    NotBegun(DatabaseError),
    /// Our own statement around the script failed.
    Bookkeeping(DatabaseError),
    /// SQLite: the foreign keys could not be checked before COMMIT.
    Unchecked(DatabaseError),
    /// SQLite: all statements of a script without a transaction are done and recorded, but not that the script is done.
    Unfinished {
        fault: DatabaseError,
        done: usize,
    },
    /// COMMIT was refused: a constraint or trigger that waits for it.
    Commit(DatabaseError),
    /// The session was lost; whether the transaction was committed is not known.
    Unknown(DatabaseError),
    /// The script has released our lock, or the lock file is gone.
    LockLost,
    /// PostgreSQL: the script called what switched `standard_conforming_strings` off; one of its literals depends on it.
    LiteralsInDoubt,
    /// SQLite: rows whose foreign keys lead nowhere, as `table -> parent: rows`.
    Violations(Vec<String>),
    /// The same of a script without a transaction, all of whose statements are done.
    PartialViolations {
        rows: Vec<String>,
        done: usize,
    },
    /// The script differs from what was read before the run.
    ChangedOnDisk,
    /// The statements that an earlier run has done were edited.
    ResumeEdited {
        done: usize,
    },
    /// The database file was replaced while we worked.
    Replaced,
    Text(BatchError),
}

impl ApplyError {
    /// Returns whether a statement failed because what it creates is there already, and nothing of its script stands.
    pub fn is_duplicate_object(&self) -> bool {
        match self {
            ApplyError::Statement { fault, .. } | ApplyError::Partial { fault, done: 0, .. } => {
                postgres::error::is_duplicate_object(fault) || sqlite::error::is_duplicate_object(fault)
            }
            _ => false,
        }
    }

    /// The server's answer that ended and rolled back the transaction, when it was one.
    pub fn rolled_back_by(&mut self) -> Option<&mut DatabaseError> {
        match self {
            ApplyError::Statement { fault, .. }
            | ApplyError::NotBegun(fault)
            | ApplyError::Bookkeeping(fault)
            | ApplyError::Unchecked(fault)
            | ApplyError::Commit(fault) => Some(fault),
            _ => None,
        }
    }

    /// What was refused for want of a privilege, and the script's statement, when it was that.
    pub fn refused(&mut self) -> Option<(&mut DatabaseError, Option<&str>)> {
        let (fault, statement) = match self {
            ApplyError::Statement { fault, excerpt, .. } | ApplyError::Partial { fault, excerpt, .. } => {
                (fault, Some(excerpt.as_str()))
            }
            ApplyError::Unrecorded { fault, .. }
            | ApplyError::NotBegun(fault)
            | ApplyError::Bookkeeping(fault)
            | ApplyError::Commit(fault) => (fault, None),
            _ => return None,
        };
        (fault.kind == DatabaseErrorKind::NoPrivilege).then_some((fault, statement))
    }

    /// The fault of locks that could not be got: trying again may help, and does no harm.
    pub fn contended(&mut self) -> Option<&mut DatabaseError> {
        match self {
            ApplyError::Yielded { fault, .. } => Some(fault),
            _ => self.rolled_back_by().filter(|fault| fault.kind == DatabaseErrorKind::Contended),
        }
    }

    /// The same of a statement after which everything is as before, or will be when it is run again.
    #[must_use]
    pub fn as_retryable(self) -> ApplyError {
        match self {
            ApplyError::Partial { fault, place, excerpt, done } if fault.kind == DatabaseErrorKind::Contended => {
                ApplyError::Yielded { fault, place, excerpt, done }
            }
            other => other,
        }
    }

    /// A statement of a script without a transaction failed; so many were done before.
    pub fn partial(fault: DatabaseError, batch: &Batch, done: usize) -> ApplyError {
        let fault = fault.of_statement(batch.statement(0));
        ApplyError::Partial { fault, place: batch.first(), excerpt: excerpt(batch.statement(0)), done }
    }

    /// The session could not be set up again as the statements done before had left it.
    pub fn not_resumed(fault: DatabaseError, batch: &Batch, done: usize) -> ApplyError {
        let message = format!("it was done before and had to be repeated in this session: {}", fault.message);
        ApplyError::partial(DatabaseError { message, ..fault }, batch, done)
    }

    /// The same after so many statements without a transaction: nothing was rolled back, and the journal does not
    /// know of the last of them.
    #[must_use]
    pub fn after_statement(self, batch: &Batch, done: usize) -> ApplyError {
        let fault = match self {
            ApplyError::Bookkeeping(fault) => fault,
            ApplyError::LockLost => {
                DatabaseError::new(DatabaseErrorKind::Statement, "our lock was lost in it: does it release locks?")
            }
            other => return other,
        };
        ApplyError::Unrecorded {
            fault: fault.of_statement(batch.statement(0)),
            place: batch.first(),
            excerpt: excerpt(batch.statement(0)),
            done: done.saturating_sub(1),
        }
    }
}

impl From<BatchError> for ApplyError {
    fn from(error: BatchError) -> Self {
        ApplyError::Text(error)
    }
}
