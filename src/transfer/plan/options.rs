//! What a person wants of a transfer, and what stands against it.

use std::fmt;

use crate::transfer::cast::Zone;

/// What a person wants of a transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferOptions {
    pub purpose: PlanPurpose,
    /// Tables of the source; empty: all of them.
    pub only: Vec<String>,
    pub exclude: Vec<String>,
    pub casts: Vec<CastOverride>,
    /// Of times that name none.
    pub zone: Zone,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanPurpose {
    Load,
    /// The rows of an export: what PostgreSQL has written as text is taken back.
    Import,
    /// Nothing is written: whoever may read is enough.
    Compare,
}

/// `--cast table.column=rule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastOverride {
    /// `table.column`, as it was written: names may have dots in them.
    pub place: String,
    pub rule: String,
}

/// Something that stands against a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// `table` or `table.column`.
    pub place: String,
    pub reason: String,
    pub of: ErrorScope,
}

/// What is to be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorScope {
    /// One of the two databases.
    Databases,
    /// Who we are in the target.
    Owner,
    /// `--only`, `--exclude`, `--cast`.
    Flags,
}

impl ErrorScope {
    /// What is to be corrected before the rest can be.
    pub fn gravest(objections: &[MappingError]) -> ErrorScope {
        objections.iter().map(|objection| objection.of).max().unwrap_or(ErrorScope::Databases)
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
