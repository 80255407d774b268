//! The options of a transfer, and the errors of its mapping.

use std::fmt;

use crate::transfer::cast::Zone;

/// The options of a transfer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransferOptions {
    /// The purpose of the plan.
    pub(crate) purpose: PlanPurpose,
    /// The tables of the source that are copied (`--only`). An empty list means all tables.
    pub(crate) only: Vec<String>,
    /// The tables of the source that are not copied (`--exclude`).
    pub(crate) exclude: Vec<String>,
    /// The rules for single columns (`--cast`).
    pub(crate) casts: Vec<CastOverride>,
    /// The time zone of times that contain none.
    pub(crate) zone: Zone,
}

/// The purpose of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanPurpose {
    /// The rows of a SQLite database are written to the target.
    Load,
    /// The rows of an export are written to the target: words that PostgreSQL writes as text, such as `Infinity`, are
    /// accepted.
    Import,
    /// The rows are compared and nothing is written: permission to read is enough.
    Compare,
}

/// An option `--cast table.column=rule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CastOverride {
    /// The column as it was written, `table.column`, not split: names may contain dots.
    pub(crate) column: String,
    /// The name of the rule.
    pub(crate) rule: String,
}

/// An error that prevents the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// The object with the error: `table` or `table.column` of the source.
    pub(crate) object: String,
    /// The reason, for a message.
    pub(crate) reason: String,
    /// The side that has to be corrected.
    pub(crate) scope: ErrorScope,
}

/// The side that has to be corrected. Errors of a later variant have to be corrected before those of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorScope {
    /// One of the two databases has to be changed.
    Databases,
    /// The role with which Lockkeeper connects to the target has to be changed, or the owner of the table.
    Owner,
    /// An option has to be changed: `--only`, `--exclude` or `--cast`.
    Flags,
}

impl ErrorScope {
    /// Returns the scope among some errors that has to be corrected first.
    pub(crate) fn gravest(errors: &[MappingError]) -> ErrorScope {
        errors.iter().map(|error| error.scope).max().unwrap_or(ErrorScope::Databases)
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}
