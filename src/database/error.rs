//! What can go wrong with a database, in words that know no driver.

use std::fmt;

use crate::masking::{StatementLiterals, mask_message};

/// A class of fault: what a stage decides by. Only the drivers' `fault` files know SQLSTATEs and result codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The host's name does not resolve.
    Unresolved,
    /// Refused, reset, no answer, end of file in the handshake, socket file not there.
    Unreachable,
    /// Starting, shutting down or recovering.
    Starting,
    /// No connection slots, out of memory.
    Exhausted,
    /// The disk of the server is full.
    Full,
    /// A standby, or read-only for another reason.
    ReadOnly,
    /// Password, role or `pg_hba.conf` entry.
    Authentication,
    NoDatabase,
    NoPrivilege,
    /// TLS failed or is missing.
    Tls,
    /// Something else than PostgreSQL answers, or a pooler refuses what we need.
    Protocol,
    /// The pooler hands our session to others.
    TransactionPooler,
    /// A setting cannot work: a table that is not ours, no schema to create in.
    Setting,
    /// The server is too old.
    Unsupported,
    /// SQLite: another connection is writing.
    Busy,
    /// Lock timeout, deadlock, serialization failure.
    Contended,
    /// Ended by a cancel request or an interrupt.
    Cancelled,
    /// The session is gone.
    Lost,
    /// The database file is damaged or no database.
    Corrupt,
    /// The disk failed or is full.
    Io,
    /// A file that the server lacks, or one that a statement names.
    ServerFile,
    /// Any other answer to a statement.
    Statement,
}

/// One fault.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    pub kind: DatabaseErrorKind,
    pub message: String,
    /// SQLSTATE, or SQLite's extended result code.
    pub code: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// PostgreSQL's context: the function that was running.
    pub context: Option<String>,
    /// Where in the text that was sent: characters from 1.
    pub position: Option<usize>,
}

impl DatabaseError {
    pub fn new(kind: DatabaseErrorKind, message: impl Into<String>) -> DatabaseError {
        DatabaseError {
            kind,
            message: message.into(),
            code: None,
            detail: None,
            hint: None,
            context: None,
            position: None,
        }
    }

    /// The same with our own advice instead of the server's.
    pub fn with_hint(self, hint: impl Into<String>) -> DatabaseError {
        DatabaseError { hint: Some(hint.into()), ..self }
    }

    /// Returns the fault of a statement without what the server repeats of the statement's secret literals.
    #[must_use]
    pub fn of_statement(self, statement: &str) -> DatabaseError {
        let literals = StatementLiterals::from_statement(statement);
        literals.map_or_else(|| self.clone(), |literals| self.without(&literals))
    }

    fn without(&self, literals: &StatementLiterals) -> DatabaseError {
        let mask = |text: &Option<String>| text.as_ref().map(|text| literals.mask_in(text));
        DatabaseError {
            message: literals.mask_in(&self.message),
            detail: mask(&self.detail),
            hint: mask(&self.hint),
            context: mask(&self.context),
            ..self.clone()
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The context quotes the statement of a function, and the message a part of that.
        if let Some(literals) = self.context.as_deref().and_then(StatementLiterals::from_message) {
            let context = self.context.clone();
            return DatabaseError { context, ..self.without(&literals) }.write(f);
        }
        self.write(f)
    }
}

impl DatabaseError {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_message(&self.message))?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        for (name, text) in [("detail", &self.detail), ("hint", &self.hint), ("context", &self.context)] {
            if let Some(text) = text {
                write!(f, "; {name}: {}", mask_message(text).replace('\n', " / "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for DatabaseError {}
