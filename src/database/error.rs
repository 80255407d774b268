//! Errors of a database, without types of a driver.

use std::fmt;

use crate::masking::{StatementLiterals, mask_message};

/// A class of errors, by which a stage decides what to do. Only the modules `error` and `sqlstate` of the two databases
/// know SQLSTATEs and result codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The host name does not resolve.
    Unresolved,
    /// The connection was refused or reset, nothing answered, the handshake ended early, or the socket file is missing.
    Unreachable,
    /// The server is starting, shutting down or recovering.
    Starting,
    /// The server has no free connection slot or no memory.
    Exhausted,
    /// The disk of the server is full.
    Full,
    /// The server is a standby, or read-only for another reason.
    ReadOnly,
    /// The password, the role or the `pg_hba.conf` entry does not allow the login.
    Authentication,
    /// The database does not exist.
    NoDatabase,
    /// A privilege is missing.
    NoPrivilege,
    /// TLS failed, or the server does not offer it.
    Tls,
    /// The peer is not PostgreSQL, or a pooler refuses a feature that Lockkeeper needs.
    Protocol,
    /// A pooler shares the session with other clients.
    TransactionPooler,
    /// A setting cannot work: the history table was not made by Lockkeeper, or there is no schema to create it in.
    Setting,
    /// The server is too old.
    Unsupported,
    /// SQLite: another connection is writing.
    Busy,
    /// A lock timeout, a deadlock or a serialization failure.
    Contended,
    /// A cancel request or an interrupt ended the statement.
    Cancelled,
    /// The session is lost.
    Lost,
    /// The database file is damaged, or is not a database.
    Corrupt,
    /// The disk failed or is full.
    Io,
    /// The server lacks a file, or a statement names a file that cannot be used.
    ServerFile,
    /// Any other error of a statement.
    Statement,
}

/// An error of a database.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    /// Class of the error.
    pub kind: DatabaseErrorKind,
    /// Message of the server, the library or Lockkeeper.
    pub message: String,
    /// SQLSTATE, or SQLite's extended result code as `SQLite 5`.
    pub(crate) code: Option<String>,
    /// Detail from the server.
    pub(crate) detail: Option<String>,
    /// Hint from the server, or advice of Lockkeeper.
    pub(crate) hint: Option<String>,
    /// Context from PostgreSQL: the function that was running.
    pub context: Option<String>,
    /// Position in the text that was sent, in characters from 1.
    pub(crate) position: Option<usize>,
}

impl AsRef<DatabaseError> for DatabaseError {
    fn as_ref(&self) -> &DatabaseError {
        self
    }
}

impl DatabaseError {
    /// Creates an error without code, detail, hint, context and position.
    pub(crate) fn new(kind: DatabaseErrorKind, message: impl Into<String>) -> DatabaseError {
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

    /// Replaces the server's hint by advice of Lockkeeper.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> DatabaseError {
        DatabaseError { hint: Some(hint.into()), ..self }
    }

    /// Returns the error of a statement with the secret literals of that statement masked where the server quotes them.
    #[must_use]
    pub(crate) fn with_statement(self, statement: &str) -> DatabaseError {
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
        // The context quotes the statement of a function, and the message quotes a part of that statement.
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
