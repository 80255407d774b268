//! The reasons why a revision was not applied, without types of a driver.

use super::{DatabaseError, DatabaseErrorKind};
use crate::masking::excerpt;
use crate::revision::batch::{Batch, BatchError, SourcePosition};

/// The reason why a revision was not applied.
#[derive(Debug)]
pub enum ApplyError {
    /// A statement of the script failed, and its transaction was rolled back.
    Statement {
        /// Error of the statement.
        fault: DatabaseError,
        /// Position of the statement in the script.
        place: SourcePosition,
        /// Beginning of the statement, without secrets.
        excerpt: String,
    },
    /// A statement of a script without a transaction failed, or the session was lost while it ran.
    Partial {
        /// Error of the statement.
        fault: DatabaseError,
        /// Position of the statement in the script.
        place: SourcePosition,
        /// Beginning of the statement, without secrets.
        excerpt: String,
        /// Number of statements done before it.
        done: usize,
    },
    /// A statement of a script without a transaction could not get its locks. The next run of that statement removes
    /// what it may have left.
    Yielded {
        /// Error of the statement.
        fault: DatabaseError,
        /// Position of the statement in the script.
        place: SourcePosition,
        /// Beginning of the statement, without secrets.
        excerpt: String,
        /// Number of statements done before it.
        done: usize,
    },
    /// An earlier run ended while this statement of a script without a transaction ran, and the state of the database
    /// does not show whether the statement took effect.
    Open {
        /// Position of the statement in the script.
        place: SourcePosition,
        /// Beginning of the statement, without secrets.
        excerpt: String,
        /// Number of statements done before it.
        done: usize,
    },
    /// A statement of a script without a transaction ran and its effect stays, but the journal has no entry for it.
    Unrecorded {
        /// Error of the journal entry.
        fault: DatabaseError,
        /// Position of the statement in the script.
        place: SourcePosition,
        /// Beginning of the statement, without secrets.
        excerpt: String,
        /// Number of statements that are recorded.
        done: usize,
    },
    /// Nothing of the script has run: its transaction or its journal could not be begun.
    NotBegun(DatabaseError),
    /// A statement of Lockkeeper's own failed, around the script.
    Bookkeeping(DatabaseError),
    /// SQLite: the foreign keys could not be checked before COMMIT.
    Unchecked(DatabaseError),
    /// SQLite: all statements of a script without a transaction are done and recorded, but the script could not be
    /// recorded as done.
    Unfinished {
        /// Error of the check or of the record.
        fault: DatabaseError,
        /// Number of statements done.
        done: usize,
    },
    /// COMMIT was refused by a deferred constraint or trigger.
    Commit(DatabaseError),
    /// The session was lost during COMMIT; the transaction may or may not be committed.
    Unknown(DatabaseError),
    /// The script has released the lock of the run, or the lock file was removed.
    LockLost,
    /// PostgreSQL: the script called something that switched `standard_conforming_strings` off, and the meaning of one
    /// of its literals depends on that setting.
    LiteralsInDoubt,
    /// SQLite: rows without the parent row that their foreign key references, as `table -> parent: number of rows`.
    Violations(Vec<String>),
    /// SQLite: foreign key violations after a script without a transaction, all of whose statements are done.
    PartialViolations {
        /// Violations, as `table -> parent: number of rows`.
        rows: Vec<String>,
        /// Number of statements done.
        done: usize,
    },
    /// The script differs from the text that was read before the run.
    ChangedOnDisk,
    /// The statements that an earlier run has done were edited since.
    ResumeEdited {
        /// Number of statements done by that run.
        done: usize,
    },
    /// The database file was replaced by another one during the run.
    Replaced,
    /// The script could not be read or divided into statements.
    Text(BatchError),
}

impl ApplyError {
    /// Returns the error of the script's statement if no effect of the script remains; `None` for every other failure.
    pub(crate) fn statement_without_effect(&self) -> Option<&DatabaseError> {
        match self {
            ApplyError::Statement { fault, .. } | ApplyError::Partial { fault, done: 0, .. } => Some(fault),
            _ => None,
        }
    }

    /// Returns the error with which the server ended and rolled back the transaction; `None` for every other failure.
    pub(crate) fn rolled_back_by(&mut self) -> Option<&mut DatabaseError> {
        match self {
            ApplyError::Statement { fault, .. }
            | ApplyError::NotBegun(fault)
            | ApplyError::Bookkeeping(fault)
            | ApplyError::Unchecked(fault)
            | ApplyError::Commit(fault) => Some(fault),
            _ => None,
        }
    }

    /// Reports whether the session is lost, or may be: no further message can be sent in it.
    pub(crate) fn has_lost_session(&self) -> bool {
        match self {
            ApplyError::Unknown(_) => true,
            ApplyError::Statement { fault, .. }
            | ApplyError::Partial { fault, .. }
            | ApplyError::Yielded { fault, .. }
            | ApplyError::Unrecorded { fault, .. }
            | ApplyError::Unfinished { fault, .. }
            | ApplyError::NotBegun(fault)
            | ApplyError::Bookkeeping(fault)
            | ApplyError::Unchecked(fault)
            | ApplyError::Commit(fault) => fault.kind == DatabaseErrorKind::Lost,
            _ => false,
        }
    }

    /// Returns the error if it is a missing privilege, with the beginning of the script's statement (`None` for a
    /// statement of Lockkeeper's own); `None` for every other error.
    pub(crate) fn refused(&mut self) -> Option<(&mut DatabaseError, Option<&str>)> {
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

    /// Returns the error if locks could not be got, so that trying again may help and is harmless; `None` otherwise.
    pub(crate) fn contended(&mut self) -> Option<&mut DatabaseError> {
        match self {
            ApplyError::Yielded { fault, .. } => Some(fault),
            _ => self.rolled_back_by().filter(|fault| fault.kind == DatabaseErrorKind::Contended),
        }
    }

    /// Turns a partial failure for want of locks into [`ApplyError::Yielded`], which may be tried again; returns every
    /// other error unchanged. Call it for a statement that has left everything as before, or whose leftovers the next
    /// run removes.
    #[must_use]
    pub(crate) fn into_retryable(self) -> ApplyError {
        match self {
            ApplyError::Partial { fault, place, excerpt, done } if fault.kind == DatabaseErrorKind::Contended => {
                ApplyError::Yielded { fault, place, excerpt, done }
            }
            other => other,
        }
    }

    /// Creates the error of a statement of a script without a transaction; `done` statements were done before it.
    pub(crate) fn partial(fault: DatabaseError, batch: &Batch, done: usize) -> ApplyError {
        let fault = fault.with_statement(batch.statement(0));
        ApplyError::Partial { fault, place: batch.first(), excerpt: excerpt(batch.statement(0)), done }
    }

    /// Creates the error for a session that could not be set up again as the `done` statements of an earlier run had
    /// left it.
    pub(crate) fn not_resumed(fault: DatabaseError, batch: &Batch, done: usize) -> ApplyError {
        let message = format!("it was done before and had to be repeated in this session: {}", fault.message);
        ApplyError::partial(DatabaseError { message, ..fault }, batch, done)
    }

    /// Turns an error behind `done` statements without a transaction into [`ApplyError::Unrecorded`]: nothing was
    /// rolled back, and the journal has no entry for the last of them.
    #[must_use]
    pub(crate) fn after_statement(self, batch: &Batch, done: usize) -> ApplyError {
        let fault = match self {
            ApplyError::Bookkeeping(fault) => fault,
            ApplyError::LockLost => {
                DatabaseError::new(DatabaseErrorKind::Statement, "our lock was lost in it: does it release locks?")
            }
            other => return other,
        };
        ApplyError::Unrecorded {
            fault: fault.with_statement(batch.statement(0)),
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
