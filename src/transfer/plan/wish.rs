//! What a person wants of a transfer, and what stands against it.

use std::fmt;

use crate::transfer::cast::Zone;

/// What a person wants of a transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub purpose: Purpose,
    /// Tables of the source; empty: all of them.
    pub only: Vec<String>,
    pub exclude: Vec<String>,
    pub casts: Vec<Ruled>,
    /// Of times that name none.
    pub zone: Zone,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Load,
    /// The rows of an export: what PostgreSQL has written as text is taken back.
    Import,
    /// Nothing is written: whoever may read is enough.
    Compare,
}

/// `--cast table.column=rule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// `table.column`, as it was written: names may have dots in them.
    pub place: String,
    pub rule: String,
}

/// Something that stands against a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// `table` or `table.column`.
    pub place: String,
    pub reason: String,
    pub of: Of,
}

/// What is to be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// One of the two databases.
    Databases,
    /// Who we are in the target.
    Owner,
    /// `--only`, `--exclude`, `--cast`.
    Flags,
}

impl Of {
    /// What is to be corrected before the rest can be.
    pub fn gravest(objections: &[Objection]) -> Of {
        objections.iter().map(|objection| objection.of).max().unwrap_or(Of::Databases)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
