//! The errors of a transfer of rows.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::database::{ApplyError, DatabaseError};
use crate::transfer::plan::MappingError;

/// The reason why rows were not transferred. Except for `LeftOut`, the target's tables are unchanged.
#[derive(Debug)]
pub enum TransferError {
    /// The source file cannot be read.
    Source(DatabaseError),
    /// Tables or columns have no counterpart or no value, or flags match nothing.
    Unmapped(Vec<MappingError>),
    /// Another session holds a lock on a table of the target.
    InUse(DatabaseError),
    /// These tables of the target have rows already.
    NotEmpty(Vec<String>),
    /// Values do not fit their columns.
    Bad {
        /// The values, one line each.
        found: Vec<String>,
        /// The casts that would accept them, in the form of `--cast`.
        casts: BTreeSet<String>,
    },
    /// Values do not fit, one line each, where nothing is cast: into SQLite.
    Unstorable(Vec<String>),
    /// Values do not fit, and all rows with such values are in a file.
    Reported {
        /// The values, one line each.
        found: Vec<String>,
        /// The casts that would accept them, in the form of `--cast`.
        casts: BTreeSet<String>,
        /// The number of values.
        values: u64,
        /// The number of rows.
        rows: u64,
        /// The file with the rows.
        file: PathBuf,
    },
    /// Rows were left out with `--on-error skip`, and are in a file. All other rows are committed.
    LeftOut {
        /// The number of rows left out.
        rows: u64,
        /// The file with the rows.
        file: PathBuf,
        /// A summary of the transferred rows.
        transferred: String,
    },
    /// The file for rejected rows cannot be written.
    Unkept {
        /// The path of the file.
        file: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The server refuses a row.
    Refused {
        /// The table of the row.
        table: String,
        /// The error of the server.
        fault: DatabaseError,
    },
    /// No revision can be written for some tables.
    Unwritable {
        /// The problems, one line each.
        found: Vec<String>,
        /// The casts that would help, in the form of `--cast`.
        casts: Vec<String>,
    },
    /// These rows have no parent, or violate a unique constraint.
    Violated(Vec<String>),
    /// The two sides differ in these points, one line each.
    Differs(Vec<String>),
    /// The COMMIT failed, or the check of the lock before it.
    Uncommitted(ApplyError),
}

impl TransferError {
    /// Returns everything that was found, one line each. The message has only the first line.
    pub(crate) fn found(&self) -> Vec<String> {
        match self {
            Self::Unmapped(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::Bad { found: messages, .. }
            | Self::Unstorable(messages)
            | Self::Reported { found: messages, .. }
            | Self::Differs(messages)
            | Self::Unwritable { found: messages, .. } => messages.clone(),
            Self::Violated(messages) => messages.iter().flat_map(|message| message.lines()).map(Into::into).collect(),
            Self::Source(_)
            | Self::InUse(_)
            | Self::NotEmpty(_)
            | Self::LeftOut { .. }
            | Self::Unkept { .. }
            | Self::Refused { .. }
            | Self::Uncommitted(_) => Vec::new(),
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(fault) => write!(f, "the source: {fault}"),
            Self::InUse(fault) => write!(f, "the target's tables are in use: {fault}"),
            Self::NotEmpty(tables) => write!(f, "the target has rows already: {}", tables.join(", ")),
            Self::Reported { values, rows, file, .. } => write!(
                f,
                "{} in {} {} not fit, every such row is in {}",
                counted(*values, "value"),
                counted(*rows, "row"),
                if *values == 1 { "does" } else { "do" },
                file.display()
            ),
            Self::LeftOut { rows, file, transferred } => {
                let (rows, were) = (counted(*rows, "row"), if *rows == 1 { "was" } else { "were" });
                write!(f, "{rows} {were} left out, kept in {}; {transferred}", file.display())
            }
            Self::Unkept { file, error } if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "--rejects: {} is there already", file.display())
            }
            Self::Unkept { file, error } => {
                let (file, uid) = (file.display(), rustix::process::geteuid().as_raw());
                write!(f, "{file}, where rejected rows go, cannot be written by uid {uid}: {error}")
            }
            Self::Refused { table, fault } => write!(f, "{table}: {fault}"),
            Self::Uncommitted(ApplyError::LockLost) => f.write_str("our lock was lost before the COMMIT"),
            Self::Uncommitted(
                ApplyError::Bookkeeping(fault) | ApplyError::Commit(fault) | ApplyError::Unknown(fault),
            ) => {
                write!(f, "COMMIT: {fault}")
            }
            Self::Uncommitted(error) => write!(f, "COMMIT: {error:?}"),
            Self::Unmapped(_)
            | Self::Bad { .. }
            | Self::Unstorable(_)
            | Self::Violated(_)
            | Self::Differs(_)
            | Self::Unwritable { .. } => first(f, &self.found()),
        }
    }
}

/// Formats a number with its noun: `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Writes the first line, and the number of the others.
fn first(f: &mut fmt::Formatter<'_>, messages: &[String]) -> fmt::Result {
    match messages {
        [] => Ok(()),
        [only] => f.write_str(only),
        [first, others @ ..] => write!(f, "{first}; and {} more, named above", others.len()),
    }
}
