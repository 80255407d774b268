//! Why nothing was transferred.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::database::{ApplyError, DatabaseError};
use crate::transfer::plan::MappingError;

/// Why nothing was transferred. The target's tables are as they were before the copying began.
#[derive(Debug)]
pub enum TransferError {
    /// The file cannot be read.
    Source(DatabaseError),
    /// Tables or columns have no place, or no value; flags that fit nothing.
    Unmapped(Vec<MappingError>),
    /// Somebody keeps a table of the target locked.
    InUse(DatabaseError),
    NotEmpty(Vec<String>),
    /// Values that do not fit their columns, a line each, and the rules that would take them, as `--cast` takes them.
    Bad {
        found: Vec<String>,
        casts: BTreeSet<String>,
    },
    /// The same where nothing is cast: into SQLite.
    Unstorable(Vec<String>),
    /// Values that do not fit, with all of their rows in a file.
    Reported {
        found: Vec<String>,
        casts: BTreeSet<String>,
        values: u64,
        rows: u64,
        file: PathBuf,
    },
    /// Rows were left out, as it was wished, and are in a file. All the others are committed.
    LeftOut {
        rows: u64,
        file: PathBuf,
        /// The others, in words.
        transferred: String,
    },
    /// The file for such rows.
    Unkept {
        file: PathBuf,
        error: io::Error,
    },
    /// The server has something against a row.
    Refused {
        table: String,
        fault: DatabaseError,
    },
    /// Tables for which no revision can be written, a line each, and what `--cast` takes to help.
    Unwritable {
        found: Vec<String>,
        casts: Vec<String>,
    },
    /// Rows without a parent, or there twice.
    Violated(Vec<String>),
    /// The two sides are not the same, a line each.
    Differs(Vec<String>),
    /// The COMMIT, or the proof of the lock before it.
    Uncommitted(ApplyError),
}

impl TransferError {
    /// Everything that was found, a line each. The message has only the first.
    pub fn found(&self) -> Vec<String> {
        match self {
            Self::Unmapped(objections) => objections.iter().map(ToString::to_string).collect(),
            Self::Bad { found, .. }
            | Self::Unstorable(found)
            | Self::Reported { found, .. }
            | Self::Differs(found)
            | Self::Unwritable { found, .. } => found.clone(),
            Self::Violated(found) => found.iter().flat_map(|words| words.lines()).map(Into::into).collect(),
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
            Self::Uncommitted(broken) => write!(f, "COMMIT: {broken:?}"),
            Self::Unmapped(_)
            | Self::Bad { .. }
            | Self::Unstorable(_)
            | Self::Violated(_)
            | Self::Differs(_)
            | Self::Unwritable { .. } => first(f, &self.found()),
        }
    }
}

/// `1 row`, `2 rows`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn first(f: &mut fmt::Formatter<'_>, found: &[String]) -> fmt::Result {
    match found {
        [] => Ok(()),
        [one] => f.write_str(one),
        [first, more @ ..] => write!(f, "{first}; and {} more, named above", more.len()),
    }
}
